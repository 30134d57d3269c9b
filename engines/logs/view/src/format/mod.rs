//! Formats: recognising what a log is written in, and reading its lines.
//!
//! Two ways to read a line: *quick* (time and level, for the index; tens of nanoseconds) and *full* (typed fields and the
//! span of the message, for what is on the screen, filters by field and SQL). A line that the quick look does not take for
//! the beginning of an entry continues the one before it. Sources of facts: RFC 3164 and 5424, the Common Log Format, the
//! W3C working draft on extended log files, ArcSight's CEF guide, systemd's journal export format, Kubernetes' CRI logging.

mod builtin;
mod detect;
mod fields;
pub(crate) mod json;
pub(crate) mod level;
pub(crate) mod text;
mod w3c;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

pub(crate) use detect::detect;
use fields::typed;
pub use fields::{Field, FieldValue, Parsed};
use level::{Level, UNKNOWN};
use text::Quick;

use crate::error::{Error, Result};
use crate::resolve::Resolver;
use crate::stamp::{self, NONE};

/// How large a user's pattern may become when compiled.
const PATTERN_LIMIT: usize = 4 << 20;

/// The keys of JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Keys {
    pub time: String,
    pub level: String,
    pub body: String,
}

#[derive(Debug)]
pub(crate) enum Family {
    Plain,
    Access,
    Syslog,
    Logfmt,
    Cef,
    Klog,
    JournalExport,
    Json(Keys),
    W3c(w3c::Header),
    /// The time after so many words; fields by a pattern, if there is one.
    Time {
        words: u8,
        pattern: Option<Regex>,
    },
    User(Regex),
}

#[derive(Debug)]
struct Def {
    name: String,
    family: Family,
}

/// What a log is written in. Cloning costs one reference count.
#[derive(Clone)]
pub struct Format(Arc<Def>);

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Format").field(&self.0.name).finish()
    }
}

impl Format {
    pub(crate) fn new(name: impl Into<String>, family: Family) -> Format {
        Format(Arc::new(Def {
            name: name.into(),
            family,
        }))
    }

    /// Lines without any structure that is known.
    pub fn plain() -> Format {
        Format::new("plain", Family::Plain)
    }

    /// A format of the user's: a regular expression with the named groups `time`, `level` and `body` (each may be missing)
    /// and any others, which become fields. Matching takes linear time whatever the pattern.
    pub fn user(name: &str, pattern: &str) -> Result<Format> {
        let wrong = |reason: String| Error::Format {
            name: name.to_owned(),
            reason,
        };
        let regex = RegexBuilder::new(pattern)
            .size_limit(PATTERN_LIMIT)
            .build()
            .map_err(|e| wrong(e.to_string()))?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(wrong(
                "the pattern has no named groups, such as (?<time>…) or (?<body>…)".to_owned(),
            ));
        }
        Ok(Format::new(name, Family::User(regex)))
    }

    /// Its name, as `json`, `syslog` or `access`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn family(&self) -> &Family {
        &self.0.family
    }

    /// Whether the format needs lines as text.
    fn quick(&self, line: &[u8]) -> Option<Quick> {
        match &self.0.family {
            Family::Plain => None,
            Family::Access => text::access(line),
            Family::Syslog => text::syslog(line),
            Family::Cef => text::cef(line),
            Family::Klog => klog(line),
            Family::JournalExport => journal_export(line),
            Family::Json(keys) => quick_json(line, keys),
            Family::W3c(header) => header.quick(line),
            Family::Time { words, pattern: _ } => quick_time(line, *words),
            Family::Logfmt => text::logfmt(&prefix(line, 1024)),
            Family::User(regex) => quick_user(line, regex),
        }
    }

    /// Everything that a line says; a line that is not of this format is all body.
    pub fn parse<'a>(&self, line: &'a str) -> Parsed<'a> {
        let parsed = match &self.0.family {
            Family::Plain => None,
            Family::Access => text::access_fields(line),
            Family::Syslog => text::syslog_fields(line),
            Family::Logfmt => text::logfmt_fields(line),
            Family::Cef => text::cef_fields(line),
            Family::Klog => klog_fields(line),
            Family::JournalExport => export_fields(line),
            Family::Json(keys) => json_fields(line, keys),
            Family::W3c(header) => header.fields(line),
            Family::Time { words, pattern } => pattern
                .as_ref()
                .and_then(|p| captures(line, p))
                .or_else(|| after_time(line, *words)),
            Family::User(regex) => captures(line, regex),
        };
        parsed.unwrap_or_else(|| Parsed {
            body: 0..line.len(),
            ..Parsed::default()
        })
    }
}

/// At most the first bytes of a line, as text.
fn prefix(line: &[u8], max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(&line[..line.len().min(max)])
}

/// Where the time stands after `words` words (cut at blanks or `::`) and opening brackets or quotes.
fn time_at(line: &[u8], words: u8) -> Option<usize> {
    let mut i = 0;
    for _ in 0..words {
        let rest = line.get(i..)?;
        let end = rest[..rest.len().min(96)]
            .iter()
            .position(|c| matches!(c, b' ' | b'\t' | b':' | b'|'))?;
        i += end;
        while matches!(line.get(i), Some(b' ' | b'\t' | b':' | b'|')) {
            i += 1;
        }
    }
    while matches!(line.get(i), Some(b'[' | b'"' | b'(' | b'<')) && i < 160 {
        i += 1;
    }
    Some(i)
}

fn quick_time(line: &[u8], words: u8) -> Option<Quick> {
    let i = time_at(line, words)?;
    let (found, end) = stamp::parse(line.get(i..)?)?;
    if words > 0 {
        // Behind other words a bare time of day is rather the second half of a date and a time, but for a process number
        // in front; and JSON has its own reader.
        let number = line
            .iter()
            .position(|c| *c == b' ')
            .is_some_and(|n| line[..n].iter().all(u8::is_ascii_digit));
        if line.first() == Some(&b'{') || (found.missing == stamp::Missing::Date && !number) {
            return None;
        }
    }
    let mut level = level::near(&line[i + end..], 4);
    if level == UNKNOWN && i > 1 {
        level = level::near(&line[..i], 3);
    }
    Some(Quick {
        stamp: Some(found),
        level,
    })
}

fn after_time(line: &str, words: u8) -> Option<Parsed<'_>> {
    let i = time_at(line.as_bytes(), words)?;
    let (_, end) = stamp::parse(line.as_bytes().get(i..)?)?;
    let rest = line.get(i + end..)?;
    let body = rest
        .find(|c: char| !matches!(c, ' ' | ']' | ')' | '"' | ':' | '\t' | '-' | '|' | '>'))
        .unwrap_or(rest.len());
    Some(Parsed {
        body: i + end + body..line.len(),
        ..Parsed::default()
    })
}

fn klog(line: &[u8]) -> Option<Quick> {
    let level = level::letter(*line.first()?)?;
    let (found, end) = stamp::glog(line.get(1..)?)?;
    (line.get(1 + end) == Some(&b' ')).then_some(Quick {
        stamp: Some(found),
        level,
    })
}

fn klog_fields<'a>(line: &'a str) -> Option<Parsed<'a>> {
    let (_, end) = stamp::glog(line.as_bytes().get(1..)?)?;
    let rest = line.get(1 + end..)?;
    let close = rest.find("] ").map(|n| 1 + end + n)?;
    let head = line.get(1 + end..close)?;
    let mut fields = Vec::with_capacity(4);
    let mut push = |name: &'static str, text: &'a str, span| {
        fields.push(Field {
            name: Cow::Borrowed(name),
            value: typed(text),
            span: Some(span),
        });
    };
    let tid = head.trim_start().split(' ').next()?;
    let at = 1 + end + head.find(tid)?;
    push("tid", tid, at..at + tid.len());
    if let Some((file, number)) = head.rsplit(' ').next()?.rsplit_once(':') {
        let at = close - number.len();
        push("file", file, at - 1 - file.len()..at - 1);
        push("line", number, at..close);
    }
    let mut body = close + 2..line.len();
    let mut more = Vec::new();
    // Structured klog: `"message" key="value"`.
    if line[body.clone()].starts_with('"') {
        let from = body.start;
        if let Some(end) = line[from + 1..].find('"').map(|n| from + 1 + n) {
            body = from + 1..end;
            text::pairs(line, end + 1, &mut |key, value, span| {
                more.push(Field {
                    name: Cow::Borrowed(key),
                    value: typed(value),
                    span: Some(span),
                });
                true
            });
        }
    }
    fields.append(&mut more);
    Some(Parsed {
        fields,
        body,
        unescaped: None,
    })
}

fn journal_export(line: &[u8]) -> Option<Quick> {
    let cursor = line.strip_prefix(b"__CURSOR=")?;
    let at = memchr::memmem::find(cursor, b";t=")? + 3;
    let digits = &cursor[at..];
    let end = digits
        .iter()
        .position(|c| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let micros = i64::from_str_radix(std::str::from_utf8(&digits[..end]).ok()?, 16).ok()?;
    Some(Quick {
        stamp: Some(stamp::Stamp {
            secs: micros.div_euclid(1_000_000),
            nanos: (micros.rem_euclid(1_000_000) * 1_000) as u32,
            zone: Some(0),
            missing: stamp::Missing::Nothing,
        }),
        level: UNKNOWN,
    })
}

fn export_fields(line: &str) -> Option<Parsed<'_>> {
    let (name, value) = line.split_once('=')?;
    let from = name.len() + 1;
    Some(Parsed {
        fields: vec![Field {
            name: Cow::Borrowed(name),
            value: typed(value),
            span: Some(from..line.len()),
        }],
        body: if name == "MESSAGE" {
            from..line.len()
        } else {
            0..line.len()
        },
        unescaped: None,
    })
}

/// The level that a raw JSON value of the level's key says.
fn json_level(raw: &[u8], key: &str) -> Level {
    let inner = raw
        .strip_prefix(b"\"")
        .and_then(|r| r.strip_suffix(b"\""))
        .unwrap_or(raw);
    let number = || std::str::from_utf8(inner).ok()?.parse::<i64>().ok();
    match number() {
        Some(value) if key.ends_with("PRIORITY") || key.ends_with("priority") => level::syslog(value),
        Some(value) => level::number(value),
        None if inner.len() == 1 => level::letter(inner[0].to_ascii_uppercase()).unwrap_or(UNKNOWN),
        None => level::word(inner).unwrap_or(UNKNOWN),
    }
}

fn quick_json(line: &[u8], keys: &Keys) -> Option<Quick> {
    let start = line.iter().take(64).position(|c| *c == b'{')?;
    if start > 0 && !line[..start].iter().all(|c| matches!(c, b' ' | b'\t')) {
        return None;
    }
    let line = &line[start..];
    let [time, raw_level] = json::find(line, [keys.time.as_bytes(), keys.level.as_bytes()]);
    if time.is_none() && raw_level.is_none() && !line.trim_ascii_end().ends_with(b"}") {
        return None;
    }
    let stamp = time.and_then(|raw| stamp::parse(raw.strip_prefix(b"\"").unwrap_or(raw)));
    let mut level = raw_level.map_or(UNKNOWN, |raw| json_level(raw, &keys.level));
    if level == UNKNOWN && keys.level == "stream" && raw_level == Some(b"\"stderr\"") {
        level = level::ERROR;
    }
    Some(Quick {
        stamp: stamp.map(|(stamp, _)| stamp),
        level,
    })
}

fn json_fields<'a>(line: &'a str, keys: &Keys) -> Option<Parsed<'a>> {
    let mut fields = Vec::with_capacity(24);
    if !json::flatten(line, &mut fields) {
        return None;
    }
    let body = fields
        .iter()
        .find(|f| f.name == keys.body.as_str() && !keys.body.is_empty());
    let (span, unescaped) = match body {
        Some(Field {
            value: FieldValue::Str(text),
            span: Some(span),
            ..
        }) => {
            let same = line.get(span.clone()) == Some(text.as_ref());
            (span.clone(), (!same).then(|| text.trim_end_matches('\n').to_owned()))
        }
        _ => (0..line.len(), None),
    };
    Some(Parsed {
        fields,
        body: span,
        unescaped,
    })
}

fn quick_user(line: &[u8], regex: &Regex) -> Option<Quick> {
    let text = prefix(line, 4096);
    let found = regex.captures(&text)?;
    let stamp = found.name("time").and_then(|m| stamp::parse(m.as_str().as_bytes()));
    let level = found.name("level").map_or(UNKNOWN, |m| {
        let word = m.as_str().as_bytes();
        let short = (word.len() == 1)
            .then(|| level::letter(word[0].to_ascii_uppercase()))
            .flatten();
        level::word(word).or(short).unwrap_or(UNKNOWN)
    });
    Some(Quick {
        stamp: stamp.map(|(stamp, _)| stamp),
        level,
    })
}

fn captures<'a>(line: &'a str, regex: &Regex) -> Option<Parsed<'a>> {
    let found = regex.captures(line)?;
    let mut fields = Vec::with_capacity(8);
    let mut body = 0..line.len();
    for name in regex.capture_names().flatten() {
        let Some(group) = found.name(name) else { continue };
        match name {
            "body" => body = group.range(),
            "time" | "level" => {}
            _ => fields.push(Field {
                name: Cow::Owned(name.to_owned()),
                value: typed(line.get(group.range())?),
                span: Some(group.range()),
            }),
        }
    }
    Some(Parsed {
        fields,
        body,
        unescaped: None,
    })
}

/// The bytes without control sequences (`ESC [ … letter`).
fn uncoloured(line: &[u8]) -> Vec<u8> {
    let (mut out, mut i) = (Vec::with_capacity(line.len()), 0);
    while i < line.len() {
        if line[i] == 0x1b && line.get(i + 1) == Some(&b'[') {
            i += 2;
            while i < line.len() && !line[i].is_ascii_alphabetic() {
                i += 1;
            }
        } else {
            out.push(line[i]);
        }
        i += 1;
    }
    out
}

/// What the index needs of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Nanoseconds since 1970, or [`NONE`].
    pub time: i64,
    pub level: Level,
    /// Which of the reader's formats took it.
    pub format: u8,
}

/// Reads heads of lines in one or a few formats, keeping what times need from line to line.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    formats: Arc<[Format]>,
    pub(crate) resolver: Resolver,
}

impl Reader {
    pub(crate) fn new(formats: Arc<[Format]>, resolver: Resolver) -> Reader {
        Reader { formats, resolver }
    }

    /// The head of the entry that begins with this line; `None` for a line that continues one.
    pub(crate) fn head(&mut self, line: &[u8]) -> Option<Head> {
        let (format, quick) = self.quick(line)?;
        let time = quick.stamp.map_or(NONE, |stamp| self.resolver.resolve(&stamp));
        Some(Head {
            time,
            level: quick.level,
            format,
        })
    }

    pub(crate) fn quick(&self, line: &[u8]) -> Option<(u8, Quick)> {
        // Colours in front of the time, as programs write them that think they have a terminal.
        if line.first() == Some(&0x1b) {
            return self.plain(&uncoloured(&line[..line.len().min(2048)]));
        }
        self.plain(line)
    }

    fn plain(&self, line: &[u8]) -> Option<(u8, Quick)> {
        for (n, format) in self.formats.iter().enumerate() {
            if let Some(quick) = format.quick(line) {
                return Some((n as u8, quick));
            }
        }
        None
    }
}
