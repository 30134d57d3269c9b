//! Recognising formats from a sample of lines.

use std::sync::Arc;

use super::builtin::BUILTIN;
use super::level;
use super::{Family, Format, Keys, json, w3c};

/// How many formats one source may mix.
const MIXED: usize = 8;

/// The keys that hold the time, the level and the message of JSON lines; the more particular first.
const TIME: [&str; 22] = [
    "@timestamp",
    "timestamp",
    "__REALTIME_TIMESTAMP",
    "time",
    "ts",
    "t.$date",
    "datetime",
    "date",
    "t",
    "eventTime",
    "asctime",
    "created_at",
    "started_at",
    "EdgeStartTimestamp",
    "event_time",
    "Timestamp",
    "Time",
    "when",
    "time_local",
    "resourceLogs",
    "timeUnixNano",
    "_time",
];
const LEVEL: [&str; 13] = [
    "level",
    "severity",
    "lvl",
    "log.level",
    "loglevel",
    "levelname",
    "PRIORITY",
    "severity_text",
    "Level",
    "level_name",
    "severityText",
    "s",
    "stream",
];
const BODY: [&str; 11] = [
    "message",
    "msg",
    "MESSAGE",
    "log",
    "fields.message",
    "body",
    "text",
    "event",
    "short_message",
    "Message",
    "attributes.message",
];

/// The formats of a source by its first lines, the most frequent first; at least [`Format::plain`].
pub(crate) fn detect(lines: &[&str], user: &[Format]) -> Arc<[Format]> {
    let mut open: Vec<&str> = lines.iter().copied().filter(|line| !line.trim().is_empty()).collect();
    let mut found: Vec<Format> = Vec::new();
    let total = open.len();
    while found.len() < MIXED && !open.is_empty() {
        let Some(format) = best(&open, user, &found) else { break };
        open.retain(|line| !fits(&format, line));
        found.push(format);
        // Few leftovers are continuation lines and noise, unless they look like entries of another format.
        if open.len() * 50 < total {
            break;
        }
    }
    if found.is_empty() {
        found.push(Format::plain());
    }
    found.into()
}

/// Whether a line is an entry of this format, by the whole pattern where there is one.
fn fits(format: &Format, line: &str) -> bool {
    match format.family() {
        Family::Time {
            pattern: Some(pattern), ..
        } => pattern.is_match(line) && format.quick(line.as_bytes()).is_some(),
        Family::Syslog => is_syslog(line),
        Family::Logfmt => is_logfmt(line),
        _ => format.quick(line.as_bytes()).is_some(),
    }
}

fn is_logfmt(line: &str) -> bool {
    let first = line.split(' ').next().unwrap_or("");
    let pairs = line.split(' ').filter(|word| word.contains('=')).count();
    first.contains('=') && pairs >= 2 && super::text::logfmt(line).is_some()
}

/// Whether a line is syslog: a priority, or a time without a year and a host, or an ISO time, a host and a tag.
fn is_syslog(line: &str) -> bool {
    if super::text::syslog(line.as_bytes()).is_none() {
        return false;
    }
    if line.starts_with('<') {
        return true;
    }
    let Some((found, end)) = crate::stamp::parse(line.as_bytes()) else {
        return false;
    };
    let Some(rest) = line.get(end..).and_then(|rest| rest.strip_prefix(' ')) else {
        return false;
    };
    if found.missing == crate::stamp::Missing::Date
        || line.starts_with(|c: char| c.is_ascii_digit()) && line.as_bytes().get(10) != Some(&b'T')
    {
        return false;
    }
    let mut words = rest.split(' ');
    let (Some(host), Some(tag)) = (words.next(), words.next()) else {
        return false;
    };
    if host.is_empty() || level::word(host.trim_matches(['[', ']']).as_bytes()).is_some() {
        return false;
    }
    if found.missing == crate::stamp::Missing::Year {
        return host.ends_with(':') || !host.starts_with(['[', '(']) && !tag.is_empty();
    }
    let name = tag.strip_suffix(':').unwrap_or(tag);
    let plain = |text: &str| {
        text.bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'/'))
    };
    match name.split_once('[') {
        Some((name, pid)) => plain(host) && plain(name) && pid.ends_with(']'),
        None => plain(host) && plain(name) && tag.ends_with(':') && level::word(name.as_bytes()).is_none(),
    }
}

/// The keys of JSON lines, and what kind of JSON it is.
fn json_keys(lines: &[&str]) -> Option<(&'static str, Keys)> {
    let mut seen: Vec<String> = Vec::new();
    let mut objects = 0;
    for line in lines.iter().take(64) {
        let mut fields = Vec::new();
        if !json::flatten(line, &mut fields) {
            continue;
        }
        objects += 1;
        for field in fields {
            if seen.len() < 2048 && !seen.iter().any(|name| *name == field.name) {
                seen.push(field.name.into_owned());
            }
        }
    }
    if objects == 0 {
        return None;
    }
    let has = |name: &str| seen.iter().any(|known| known == name);
    let pick = |names: &[&str]| {
        let exact = names.iter().find(|name| has(name)).map(|name| (*name).to_owned());
        // Under one object, as `@fields.lvl` or `fields.message`.
        exact.or_else(|| {
            let under = |name: &&&str| {
                seen.iter().find(|known| {
                    known
                        .strip_suffix(**name)
                        .is_some_and(|head| head.ends_with('.') && head.matches('.').count() == 1)
                })
            };
            names
                .iter()
                .filter(|name| name.len() > 1)
                .find_map(|name| under(&name))
                .cloned()
        })
    };
    let keys = Keys {
        time: pick(&TIME).unwrap_or_default(),
        level: pick(&LEVEL).unwrap_or_default(),
        body: pick(&BODY).unwrap_or_default(),
    };
    let all = |names: &[&str]| names.iter().all(|name| has(name));
    let name = if all(&["log", "stream", "time"]) {
        "docker"
    } else if has("__REALTIME_TIMESTAMP") || has("__CURSOR") {
        "journald"
    } else if all(&["v", "pid", "hostname", "name", "level"]) {
        "bunyan"
    } else if all(&["ecs.version"]) {
        "ecs"
    } else if all(&["pid", "hostname", "level", "time"]) {
        "pino"
    } else if all(&["t.$date", "s", "c"]) {
        "mongodb"
    } else {
        "json"
    };
    Some((name, keys))
}

/// The candidates that are told without patterns, the more particular first.
fn direct(lines: &[&str], user: &[Format]) -> Vec<Format> {
    let mut list: Vec<Format> = user.to_vec();
    if let Some((name, keys)) = json_keys(lines) {
        list.push(Format::new(name, Family::Json(keys)));
    }
    for (name, family) in [
        ("journal_export", Family::JournalExport),
        ("cef", Family::Cef),
        ("access", Family::Access),
        ("klog", Family::Klog),
    ] {
        list.push(Format::new(name, family));
    }
    list
}

/// The other candidates, the more particular first. Their patterns are compiled when first needed, which takes some tens of
/// milliseconds.
fn patterns() -> Vec<Format> {
    let mut list = Vec::new();
    for builtin in &BUILTIN {
        if let Some(pattern) = builtin.regex() {
            let pattern = Some(pattern.clone());
            let words = builtin.words;
            list.push(Format::new(builtin.name, Family::Time { words, pattern }));
        }
    }
    list.push(Format::new("syslog", Family::Syslog));
    list.push(Format::new("logfmt", Family::Logfmt));
    for words in 0..=3 {
        list.push(Format::new("generic", Family::Time { words, pattern: None }));
    }
    list
}

fn best(lines: &[&str], user: &[Format], taken: &[Format]) -> Option<Format> {
    let count = |format: &Format| lines.iter().filter(|line| fits(format, line)).count();
    if taken.is_empty()
        && let Some(header) = w3c::Header::find(lines.iter().copied())
    {
        let format = Format::new("w3c", Family::W3c(header));
        if count(&format) > 0 {
            return Some(format);
        }
    }
    // Whatever else is in such a file is its headers.
    if taken.iter().any(|format| format.name() == "w3c") {
        return None;
    }
    let scored = |list: Vec<Format>| {
        list.into_iter()
            .map(|format| (count(&format), format))
            .filter(|(score, _)| *score > 0)
    };
    let mut known: Vec<(usize, Format)> = scored(direct(lines, user)).collect();
    if let Some((_, format)) = known.iter().find(|(score, _)| score * 20 >= lines.len() * 19) {
        return Some(format.clone());
    }
    known.extend(scored(patterns()));
    // Lines that a particular format takes as well are no merit of the general ones.
    let particular = |line: &str| known.iter().any(|(_, f)| f.name() != "generic" && fits(f, line));
    let rest: Vec<&str> = lines.iter().copied().filter(|line| !particular(line)).collect();
    let general = |f: &Format| rest.iter().filter(|line| fits(f, line)).count();
    let scores: Vec<usize> = known
        .iter()
        .map(|(n, f)| if f.name() == "generic" { general(f) } else { *n })
        .collect();
    let mut known: Vec<(usize, Format)> = known.into_iter().zip(scores).map(|((_, f), n)| (n, f)).collect();
    known.retain(|(score, _)| *score > 0);
    let most = known.iter().map(|(score, _)| *score).max()?;
    // A second format must be more than an accident inside the first one's messages.
    if !taken.is_empty() && (most < 2 || most * 100 < lines.len() || indented(lines)) {
        return None;
    }
    // The first by particularity that explains nearly as much as the best one does.
    known
        .into_iter()
        .find(|(score, _)| score * 10 >= most * 6)
        .map(|(_, format)| format)
}

/// Whether most lines begin with a blank, as stack traces and wrapped text do.
fn indented(lines: &[&str]) -> bool {
    let count = lines.iter().filter(|line| line.starts_with([' ', '\t'])).count();
    count * 2 > lines.len()
}
