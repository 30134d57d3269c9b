//! Log formats read without patterns, from text to the fields of a row.
//!
//! Each takes only lines of the plain form that programs write, in which every reading agrees; all others are declined.

use chrono::{DateTime, SecondsFormat, Utc};
use qd_logs_model::{DocsBuilder, FieldKind};

use super::expr::Fail;

/// What a line is parsed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `parse_json`; an object.
    Json,
    /// `parse_logfmt`, and `parse_key_value` without options.
    Logfmt,
    /// `parse_nginx_log` with `combined`.
    Nginx,
}

/// Times rendered last: lines that come together mostly share their second.
#[derive(Debug, Default)]
pub(super) struct Times {
    text: Vec<u8>,
    json: String,
}

impl Times {
    /// The JSON text of a time in nginx's form, `02/Jan/2026:03:04:05 +0100`.
    fn nginx(&mut self, text: &[u8]) -> Result<&str, Fail> {
        // Nothing has been rendered at first, which is not the rendering of no text.
        if self.json.is_empty() || self.text != text {
            let s = std::str::from_utf8(text).map_err(|_| Fail::Unsure)?;
            let digits = |r: std::ops::Range<usize>| text.get(r).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
            let plain =
                text.len() == 26 && digits(0..2) && digits(7..11) && digits(12..14) && digits(15..17) && digits(18..20);
            // A leap second is written in ways of its own.
            if !plain || text.get(18..20) == Some(b"60") {
                return Err(Fail::Unsure);
            }
            let time = DateTime::parse_from_str(s, "%d/%b/%Y:%T %z").map_err(|_| Fail::Unsure)?;
            let time = time.with_timezone(&Utc);
            self.json = format!("\"{}\"", time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            self.text = text.to_vec();
        }
        Ok(&self.json)
    }
}

/// Whether a text needs no care but for its quotes: ASCII without control characters and backslashes.
fn is_plain(text: &[u8]) -> bool {
    let mut bad = 0u8;
    for b in text {
        bad |= (*b & 0x80) | u8::from(*b < 0x20) | u8::from(*b == b'\\') | u8::from(*b == 0x7f);
    }
    bad == 0
}

/// Sets a field to a text that [`is_plain`]. One with quotes in it would have to be escaped, which is left to VRL.
fn set_text(row: &mut DocsBuilder, key: &str, text: &[u8], scratch: &mut Vec<u8>) -> Result<(), Fail> {
    if memchr::memchr(b'"', text).is_some() {
        return Err(Fail::Unsure);
    }
    scratch.clear();
    scratch.push(b'"');
    scratch.extend_from_slice(text);
    scratch.push(b'"');
    Ok(row.set(key, scratch, FieldKind::Json)?)
}

/// Keys of a line at the most.
const MAX_KEYS: usize = 64;

/// `key=value key="a value"` with single spaces, no key twice.
pub(super) fn logfmt(text: &[u8], row: &mut DocsBuilder, scratch: &mut Vec<u8>) -> Result<(), Fail> {
    if !is_plain(text) || memchr::memchr(b'\'', text).is_some() {
        return Err(Fail::Unsure);
    }
    let mut keys: [&[u8]; MAX_KEYS] = [b""; MAX_KEYS];
    let mut count = 0;
    let mut rest = text;
    loop {
        let eq = memchr::memchr(b'=', rest).ok_or(Fail::Unsure)?;
        let (key, after) = rest.split_at(eq);
        let value = after.get(1..).unwrap_or_default();
        let simple = |b: &u8| *b != b' ' && *b != b'"';
        if key.is_empty() || !key.iter().all(simple) || keys.iter().take(count).any(|k| *k == key) {
            return Err(Fail::Unsure);
        }
        *keys.get_mut(count).ok_or(Fail::Unsure)? = key;
        count += 1;
        let (value, after) = if let Some(quoted) = value.strip_prefix(b"\"") {
            let end = memchr::memchr(b'"', quoted).ok_or(Fail::Unsure)?;
            let (value, after) = quoted.split_at(end);
            (value, after.get(1..).unwrap_or_default())
        } else {
            let end = memchr::memchr(b' ', value).unwrap_or(value.len());
            let (value, after) = value.split_at(end);
            if value.is_empty() || memchr::memchr(b'"', value).is_some() {
                return Err(Fail::Unsure);
            }
            (value, after)
        };
        let key = std::str::from_utf8(key).map_err(|_| Fail::Unsure)?;
        set_text(row, key, value, scratch)?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after.strip_prefix(b" ").ok_or(Fail::Unsure)?;
        if matches!(rest.first(), None | Some(b' ' | b'=')) {
            return Err(Fail::Unsure);
        }
    }
}

/// The part before `end` and what comes after it.
fn until<'a>(text: &'a [u8], end: &[u8]) -> Result<(&'a [u8], &'a [u8]), Fail> {
    let last = *end.first().ok_or(Fail::Unsure)?;
    let at = memchr::memchr(last, text).ok_or(Fail::Unsure)?;
    let (before, after) = text.split_at(at);
    after.strip_prefix(end).map(|a| (before, a)).ok_or(Fail::Unsure)
}

fn number(text: &[u8]) -> Result<i64, Fail> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Fail::Unsure);
    }
    let text = std::str::from_utf8(text).map_err(|_| Fail::Unsure)?;
    text.parse().map_err(|_| Fail::Unsure)
}

/// nginx's `combined`: `1.2.3.4 - user [time] "request" 200 15 "referer" "agent"` and perhaps `"compression"`.
pub(super) fn nginx(text: &[u8], row: &mut DocsBuilder, times: &mut Times, scratch: &mut Vec<u8>) -> Result<(), Fail> {
    if !is_plain(text) {
        return Err(Fail::Unsure);
    }
    let (client, rest) = until(text, b" ")?;
    let rest = rest.strip_prefix(b"- ").ok_or(Fail::Unsure)?;
    let (user, rest) = until(rest, b" ")?;
    let rest = rest.strip_prefix(b"[").ok_or(Fail::Unsure)?;
    let (time, rest) = until(rest, b"] \"")?;
    // A second `] ` could be the end of the time as well.
    if client.is_empty() || user.is_empty() || memchr::memmem::find(rest, b"] ").is_some() {
        return Err(Fail::Unsure);
    }
    let (request, rest) = until(rest, b"\" ")?;
    let (status, rest) = until(rest, b" ")?;
    let (size, rest) = until(rest, b" \"")?;
    let (referer, rest) = until(rest, b"\" \"")?;
    let (agent, rest) = until(rest, b"\"")?;
    let compression = match rest {
        b"" => None,
        rest => {
            let rest = rest.strip_prefix(b" \"").ok_or(Fail::Unsure)?;
            let (compression, rest) = until(rest, b"\"")?;
            if compression.is_empty() || !rest.is_empty() {
                return Err(Fail::Unsure);
            }
            Some(compression)
        }
    };
    let (status, size) = (number(status)?, number(size)?);
    // In the order of the keys, so that each is appended.
    set_text(row, "agent", agent, scratch)?;
    if client != b"-" {
        set_text(row, "client", client, scratch)?;
    }
    if let Some(c) = compression.filter(|c| *c != b"-") {
        set_text(row, "compression", c, scratch)?;
    }
    set_text(row, "referer", referer, scratch)?;
    set_text(row, "request", request, scratch)?;
    let mut digits = itoa::Buffer::new();
    row.set("size", digits.format(size).as_bytes(), FieldKind::Json)?;
    row.set("status", digits.format(status).as_bytes(), FieldKind::Json)?;
    row.set("timestamp", times.nginx(time)?.as_bytes(), FieldKind::Time)?;
    if user != b"-" {
        set_text(row, "user", user, scratch)?;
    }
    Ok(())
}
