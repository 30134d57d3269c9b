//! The text formats that are read by hand because they are everywhere: access logs, syslog, logfmt, CEF, W3C, key=value.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};

use super::fields::{Field, FieldValue, Parsed, typed, typed_with_units};
use super::level::{self, Level, UNKNOWN};
use crate::stamp::{self, Stamp};

/// What the quick look at a line gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quick {
    pub stamp: Option<Stamp>,
    pub level: Level,
}

fn part<'a>(line: &'a str, name: &'static str, span: Range<usize>) -> Option<Field<'a>> {
    let text = line.get(span.clone())?;
    Some(Field {
        name: Cow::Borrowed(name),
        value: if text == "-" { FieldValue::Null } else { typed(text) },
        span: Some(span),
    })
}

fn as_text<'a>(line: &'a str, name: &'static str, span: Range<usize>) -> Option<Field<'a>> {
    let text = line.get(span.clone())?;
    Some(Field {
        name: Cow::Borrowed(name),
        value: if text == "-" {
            FieldValue::Null
        } else {
            FieldValue::Str(Cow::Borrowed(text))
        },
        span: Some(span),
    })
}

/// The `[` of the time of an access log line.
fn access_bracket(b: &[u8]) -> Option<usize> {
    let head = &b[..b.len().min(512)];
    let mut i = memchr(b'[', head)?;
    // An IPv6 address in brackets may come first.
    for _ in 0..3 {
        if b.get(i + 3) == Some(&b'/') || b.get(i + 2) == Some(&b'/') {
            return (i > 0).then_some(i);
        }
        i += 1 + memchr(b'[', &head[i + 1..])?;
    }
    None
}

/// Time and level (by status) of a line of an access log.
pub(crate) fn access(b: &[u8]) -> Option<Quick> {
    let open = access_bracket(b)?;
    let (found, end) = stamp::parse(&b[open + 1..])?;
    let mut i = open + 1 + end;
    if b.get(i) != Some(&b']') {
        return None;
    }
    i += 1;
    let mut level = UNKNOWN;
    if b.get(i + 1) == Some(&b'"') {
        let mut j = i + 2;
        while let Some(found) = b.get(j..).and_then(|rest| memchr(b'"', rest)) {
            j += found;
            if b[j - 1] != b'\\' {
                break;
            }
            j += 1;
        }
        if b.get(j + 1) == Some(&b' ') && b.get(j + 4).is_some_and(u8::is_ascii_digit) {
            level = level::status(b[j + 2]);
        }
    } else {
        return None;
    }
    Some(Quick {
        stamp: Some(found),
        level,
    })
}

/// The end of a quoted text that begins after `i`.
fn closing(b: &[u8], i: usize) -> Option<usize> {
    let mut j = i;
    loop {
        j += memchr(b'"', b.get(j..)?)?;
        let slashes = b[..j].iter().rev().take_while(|c| **c == b'\\').count();
        if slashes % 2 == 0 {
            return Some(j);
        }
        j += 1;
    }
}

/// All fields of a line of an access log: common, combined, and with a virtual host in front.
pub(crate) fn access_fields(line: &str) -> Option<Parsed<'_>> {
    let b = line.as_bytes();
    let open = access_bracket(b)?;
    let close = open + memchr(b']', &b[open..])?;
    let mut fields = Vec::with_capacity(16);
    let mut words = Vec::new();
    let mut at = 0;
    for word in line.get(..open)?.split(' ') {
        if !word.is_empty() {
            words.push(at..at + word.len());
        }
        at += word.len() + 1;
    }
    let names: &[&'static str] = match words.len() {
        1 => &["client"],
        2 => &["client", "user"],
        3 => &["client", "ident", "user"],
        _ => &["vhost", "client", "ident", "user"],
    };
    for (name, span) in names.iter().zip(words) {
        fields.extend(as_text(line, name, span));
    }
    let mut i = close + 1;
    let mut body = close + 1..line.len();
    if b.get(i + 1) == Some(&b'"') {
        let start = i + 2;
        let end = closing(b, start)?;
        body = start..end;
        let request = line.get(start..end)?;
        if let Some(space) = memchr(b' ', request.as_bytes()) {
            fields.extend(as_text(line, "method", start..start + space));
            let target = start + space + 1;
            let stop = request
                .rfind(" HTTP/")
                .filter(|s| *s > space)
                .map_or(end, |s| start + s);
            let query = memchr(b'?', &b[target..stop]).map(|q| target + q);
            fields.extend(as_text(line, "path", target..query.unwrap_or(stop)));
            if let Some(query) = query {
                fields.extend(as_text(line, "query", query + 1..stop));
            }
            if stop < end {
                fields.extend(as_text(line, "protocol", stop + 1..end));
            }
        }
        i = end + 1;
    }
    let rest = [
        "status", "bytes", "referer", "agent", "extra1", "extra2", "extra3", "extra4",
    ];
    let mut names = rest.iter();
    while i < b.len() {
        if b[i] == b' ' {
            i += 1;
            continue;
        }
        let (span, next) = if b[i] == b'"' {
            let end = closing(b, i + 1).unwrap_or(b.len());
            (i + 1..end, end + 1)
        } else {
            let end = memchr(b' ', &b[i..]).map_or(b.len(), |n| i + n);
            (i..end, end)
        };
        let Some(name) = names.next() else { break };
        let field = if matches!(*name, "referer" | "agent") {
            as_text(line, name, span)
        } else {
            part(line, name, span)
        };
        fields.extend(field);
        i = next;
    }
    Some(Parsed {
        fields,
        body,
        unescaped: None,
    })
}

/// `<PRI>` at the beginning: the priority and where it ends.
fn pri(b: &[u8]) -> Option<(i64, usize)> {
    if b.first() != Some(&b'<') {
        return None;
    }
    let end = memchr(b'>', &b[..b.len().min(5)])?;
    let value: i64 = std::str::from_utf8(&b[1..end]).ok()?.parse().ok()?;
    (value <= 191).then_some((value, end + 1))
}

/// Time and level of a line of syslog in any of its dialects: RFC 3164 and 5424, with or without a priority, ISO times.
pub(crate) fn syslog(b: &[u8]) -> Option<Quick> {
    let (level, mut i) = match pri(b) {
        Some((value, end)) => (Some(level::syslog(value & 7)), end),
        None => (None, 0),
    };
    if b.get(i) == Some(&b'1') && b.get(i + 1) == Some(&b' ') {
        i += 2;
        if b.get(i) == Some(&b'-') {
            return Some(Quick {
                stamp: None,
                level: level.unwrap_or(UNKNOWN),
            });
        }
    }
    let (found, end) = stamp::parse(b.get(i..)?)?;
    let level = match level {
        Some(level) => level,
        // Without a priority the word is in the text, if anywhere: after the tag.
        None => {
            let rest = &b[i + end..];
            let head = &rest[..rest.len().min(120)];
            memchr(b':', head).map_or(UNKNOWN, |colon| level::near(&head[colon..], 2))
        }
    };
    Some(Quick {
        stamp: Some(found),
        level,
    })
}

/// All fields of a line of syslog.
pub(crate) fn syslog_fields(line: &str) -> Option<Parsed<'_>> {
    let b = line.as_bytes();
    let mut fields = Vec::with_capacity(8);
    let mut i = 0;
    if let Some((value, end)) = pri(b) {
        let number = |name, value| Field {
            name: Cow::Borrowed(name),
            value: FieldValue::Int(value),
            span: Some(1..end - 1),
        };
        fields.push(number("facility", value >> 3));
        fields.push(number("priority", value & 7));
        i = end;
    }
    let word = |i: usize| memchr(b' ', &b[i.min(b.len())..]).map_or(b.len(), |n| i + n);
    if b.get(i) == Some(&b'1') && b.get(i + 1) == Some(&b' ') && i > 0 {
        i = word(i + 2) + 1;
        for name in ["host", "program", "pid", "msgid"] {
            let end = word(i);
            fields.extend(if name == "pid" {
                part(line, name, i..end)
            } else {
                as_text(line, name, i..end)
            });
            i = end + 1;
        }
        if b.get(i) == Some(&b'-') {
            i += 1;
        } else {
            i = structured(line, i, &mut fields);
        }
        let body = (i + 1).min(b.len())..b.len();
        return Some(Parsed {
            fields,
            body,
            unescaped: None,
        });
    }
    let (_, end) = stamp::parse(b.get(i..)?)?;
    i += end;
    while b.get(i) == Some(&b' ') {
        i += 1;
    }
    let mut start = i;
    let end = word(i);
    let tag_end = |from: usize| {
        let stop = b.len().min(from + 96);
        let found = from + memchr3(b':', b' ', b'[', b.get(from..stop)?)?;
        match b[found] {
            b'[' => {
                let close = found + memchr(b']', &b[found..stop])?;
                let colon = if b.get(close + 1) == Some(&b':') {
                    close + 2
                } else {
                    close + 1
                };
                Some((found, Some(found + 1..close), colon))
            }
            b':' => Some((found, None, found + 1)),
            _ => None,
        }
    };
    // The host may be missing (`… program[1]: text`), as when sent to /dev/log.
    if !line.get(start..end)?.ends_with(':') {
        fields.extend(as_text(line, "host", start..end));
        start = (end + 1).min(b.len());
    }
    let mut body = start..b.len();
    if let Some((name_end, pid, after)) = tag_end(start) {
        fields.extend(as_text(line, "program", start..name_end));
        if let Some(pid) = pid {
            fields.extend(part(line, "pid", pid));
        }
        let after = after + usize::from(b.get(after) == Some(&b' '));
        body = after.min(b.len())..b.len();
    }
    Some(Parsed {
        fields,
        body,
        unescaped: None,
    })
}

/// The structured data of RFC 5424 from `i`: `[id key="value" …]…`; gives where it ends.
fn structured<'a>(line: &'a str, mut i: usize, fields: &mut Vec<Field<'a>>) -> usize {
    let b = line.as_bytes();
    while b.get(i) == Some(&b'[') {
        let stop = memchr2(b' ', b']', &b[i..]).map_or(b.len(), |n| i + n);
        let id = line.get(i + 1..stop).unwrap_or("");
        i = stop;
        while b.get(i) == Some(&b' ') {
            let Some(equals) = memchr(b'=', &b[i..]).map(|n| i + n) else {
                return b.len();
            };
            let Some(end) = closing(b, equals + 2) else {
                return b.len();
            };
            if let (Some(key), Some(value)) = (line.get(i + 1..equals), line.get(equals + 2..end)) {
                fields.push(Field {
                    name: Cow::Owned(format!("{id}.{key}")),
                    value: FieldValue::Str(unescape(value)),
                    span: Some(equals + 2..end),
                });
            }
            i = end + 1;
        }
        if b.get(i) != Some(&b']') {
            return b.len();
        }
        i += 1;
    }
    i
}

/// Backslash escapes of quoted text resolved.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Calls `each` with key, value and the value's place for each `key=value` or `key="va lue"` until it says stop; gives how
/// many pairs there were and how many words were none.
pub(crate) fn pairs<'a>(
    line: &'a str,
    mut i: usize,
    each: &mut dyn FnMut(&'a str, &'a str, Range<usize>) -> bool,
) -> (usize, usize) {
    let b = line.as_bytes();
    let (mut good, mut bad) = (0, 0);
    while i < b.len() {
        if matches!(b[i], b' ' | b'\t' | b',' | b'{' | b'}') {
            i += 1;
            continue;
        }
        let start = i;
        i = memchr3(b'=', b' ', b'"', &b[i..]).map_or(b.len(), |n| i + n);
        if b.get(i) != Some(&b'=') || i == start {
            bad += 1;
            i += 1;
            continue;
        }
        let key = start..i;
        let span = if b.get(i + 1) == Some(&b'"') {
            let end = closing(b, i + 2).unwrap_or(b.len());
            let span = i + 2..end;
            i = end + 1;
            span
        } else {
            let end = memchr(b' ', &b[i..]).map_or(b.len(), |n| i + n);
            let span = i + 1..end;
            i = end;
            span
        };
        good += 1;
        if let (Some(key), Some(value)) = (line.get(key), line.get(span.start.min(b.len())..span.end))
            && !each(key, value, span)
        {
            break;
        }
    }
    (good, bad)
}

/// The names under which logfmt has its time, level and message.
pub(crate) const LOGFMT_TIME: [&str; 5] = ["time", "ts", "t", "timestamp", "@timestamp"];
const LOGFMT_LEVEL: [&str; 4] = ["level", "lvl", "severity", "loglevel"];
const LOGFMT_BODY: [&str; 3] = ["msg", "message", "event"];

/// Time and level of a line of logfmt.
pub(crate) fn logfmt(line: &str) -> Option<Quick> {
    let (mut found, mut level) = (None, None);
    let mut seen = 0;
    pairs(line, 0, &mut |key, value, _| {
        seen += 1;
        if found.is_none() && LOGFMT_TIME.contains(&key) {
            found = stamp::parse(value.as_bytes()).map(|(stamp, _)| stamp);
        } else if level.is_none() && LOGFMT_LEVEL.contains(&key) {
            level = level::word(value.as_bytes());
        }
        (found.is_none() || level.is_none()) && seen < 24
    });
    (found.is_some() || level.is_some()).then(|| Quick {
        stamp: found,
        level: level.unwrap_or(UNKNOWN),
    })
}

/// All pairs of a line of logfmt.
pub(crate) fn logfmt_fields(line: &str) -> Option<Parsed<'_>> {
    let mut fields = Vec::with_capacity(12);
    let mut body = 0..line.len();
    let mut unescaped = None;
    let (good, bad) = pairs(line, 0, &mut |key, value, span| {
        if LOGFMT_BODY.contains(&key) && unescaped.is_none() && body.start == 0 {
            body = span.clone();
            if value.contains('\\') {
                unescaped = Some(unescape(value).into_owned());
            }
        }
        let quoted = span.start > 0 && line.as_bytes().get(span.start - 1) == Some(&b'"');
        let value = if quoted {
            FieldValue::Str(unescape(value))
        } else {
            typed_with_units(value)
        };
        fields.push(Field {
            name: Cow::Borrowed(key),
            value,
            span: Some(span),
        });
        fields.len() < 512
    });
    (good > bad.saturating_mul(2)).then_some(Parsed {
        fields,
        body,
        unescaped,
    })
}

/// Level of a CEF line by its severity (0 to 10, or a word); the time is in front (syslog) or in `rt=`/`end=`.
pub(crate) fn cef(b: &[u8]) -> Option<Quick> {
    let at = memchr::memmem::find(&b[..b.len().min(256)], b"CEF:")?;
    let mut bars = 0;
    let (mut i, mut start, mut end) = (at, at, at);
    while i < b.len() && bars < 7 {
        i += memchr(b'|', &b[i..])?;
        if b[i - 1] != b'\\' {
            bars += 1;
            if bars == 6 {
                start = i + 1;
            }
            end = i;
        }
        i += 1;
    }
    let severity = b.get(start..end)?;
    let level = match std::str::from_utf8(severity)
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
    {
        Some(0..=3) => level::INFO,
        Some(4..=6) => level::WARN,
        Some(7 | 8) => level::ERROR,
        Some(9 | 10) => level::FATAL,
        Some(_) => UNKNOWN,
        None => match severity.first().map(|c| c | 0x20) {
            Some(b'l') => level::INFO,
            Some(b'm') => level::WARN,
            Some(b'h') => level::ERROR,
            Some(b'v') => level::FATAL,
            _ => UNKNOWN,
        },
    };
    let stamp = match syslog(&b[..at]) {
        Some(quick) => quick.stamp,
        None => {
            let rest = b.get(i..).unwrap_or(&[]);
            let key = [&b"rt="[..], b"end=", b"start="].into_iter();
            key.filter_map(|key| memchr::memmem::find(rest, key).map(|n| n + key.len()))
                .find_map(|n| stamp::parse(&rest[n..]))
                .map(|(stamp, _)| stamp)
        }
    };
    Some(Quick { stamp, level })
}

/// All fields of a CEF line.
pub(crate) fn cef_fields(line: &str) -> Option<Parsed<'_>> {
    let at = line.find("CEF:")?;
    let b = line.as_bytes();
    let mut fields = Vec::new();
    let mut body = 0..line.len();
    let names = [
        "cef_version",
        "vendor",
        "product",
        "device_version",
        "signature",
        "name",
        "severity",
    ];
    let mut start = at + 4;
    for name in names {
        let mut end = start;
        loop {
            end += memchr(b'|', b.get(end..)?)?;
            if b[end - 1] != b'\\' {
                break;
            }
            end += 1;
        }
        if name == "name" {
            body = start..end;
        }
        fields.extend(part(line, name, start..end));
        start = end + 1;
    }
    // Values have blanks in them: each lasts until the word before the next `=`.
    let rest = line.get(start..)?;
    let equals: Vec<usize> = memchr::memchr_iter(b'=', rest.as_bytes())
        .filter(|i| *i > 0 && rest.as_bytes()[i - 1] != b'\\')
        .collect();
    for (n, equal) in equals.iter().enumerate() {
        let key = rest[..*equal].rfind(' ').map_or(0, |i| i + 1);
        let end = match equals.get(n + 1) {
            Some(next) => rest[..*next].rfind(' ').unwrap_or(*next).max(equal + 1),
            None => rest.trim_end().len().max(equal + 1),
        };
        if let (Some(name), Some(value)) = (rest.get(key..*equal), rest.get(equal + 1..end)) {
            fields.push(Field {
                name: Cow::Borrowed(name),
                value: typed(value),
                span: Some(start + equal + 1..start + end),
            });
        }
    }
    Some(Parsed {
        fields,
        body,
        unescaped: None,
    })
}
