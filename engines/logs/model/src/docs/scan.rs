//! Finds the fields of a JSON object in one pass, and brings into canonical form what is not.

use super::{Field, FieldKind, Shape};
use crate::Value;

/// Offsets from here on lie in the scanner's `made`; real arenas end before.
pub(super) const MADE: u32 = 3 << 30;

/// How deep objects and lists may lie in each other; `parse_json` takes a little more, so that it has the last word.
const MAX_DEPTH: u32 = 100;

pub(super) struct Scanner<'a> {
    pub(super) text: &'a [u8],
    /// The offset of the text's first byte in its arena.
    pub(super) base: u32,
    pub(super) found: &'a mut Vec<Field>,
    pub(super) made: &'a mut Vec<u8>,
}

/// What a look over all bytes says about a text.
struct Look {
    ascii: bool,
    /// There are control characters or backslashes, so that each string must be looked at.
    careful: bool,
}

fn look(text: &[u8]) -> Look {
    let (mut high, mut special) = (0u8, 0u8);
    for b in text {
        high |= *b;
        special |= u8::from(*b < 0x20) | u8::from(*b == b'\\');
    }
    Look {
        ascii: high < 0x80,
        careful: special != 0,
    }
}

/// The end of a number, literal or string that stands in canonical form at `from`, or why not.
enum Scan {
    /// It ends here and is canonical.
    Canonical(usize),
    /// It ends here (for values that could be measured) and must be rewritten.
    Rewrite(usize),
}

/// The next `"` from `at` on.
#[inline]
fn quote(text: &[u8], at: usize) -> Option<usize> {
    // Most strings are short: eight bytes at a time, in a register.
    let mut i = at;
    for _ in 0..4 {
        let Some(chunk) = text.get(i..i + 8).and_then(|c| <[u8; 8]>::try_from(c).ok()) else {
            break;
        };
        let x = u64::from_le_bytes(chunk) ^ 0x2222_2222_2222_2222;
        let hit = x.wrapping_sub(0x0101_0101_0101_0101) & !x & 0x8080_8080_8080_8080;
        if hit != 0 {
            return Some(i + (hit.trailing_zeros() / 8) as usize);
        }
        i += 8;
    }
    memchr::memchr(b'"', text.get(i..)?).map(|n| i + n)
}

#[inline]
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// A string that begins at `at` with its quote, in a text with control characters or backslashes.
fn careful_string(text: &[u8], at: usize) -> Option<Scan> {
    let mut i = at + 1;
    let mut canonical = true;
    loop {
        match *text.get(i)? {
            b'"' => {
                let end = i + 1;
                return Some(if canonical {
                    Scan::Canonical(end)
                } else {
                    Scan::Rewrite(end)
                });
            }
            b'\\' => match *text.get(i + 1)? {
                b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => i += 2,
                b'u' => {
                    let hex = text.get(i + 2..i + 6)?;
                    // Control characters without a short form are the only ones written so, in lower case.
                    let kept = matches!(
                        hex,
                        [b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f'] | [b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f']
                    );
                    canonical &= kept;
                    i += 6;
                }
                _ => {
                    canonical = false;
                    i += 2;
                }
            },
            0..0x20 => return None,
            _ => i += 1,
        }
    }
}

/// A number that begins at `at`.
fn number(text: &[u8], at: usize) -> Option<Scan> {
    let digits = |from: usize| {
        let mut i = from;
        while matches!(text.get(i), Some(b'0'..=b'9')) {
            i += 1;
        }
        i
    };
    let start = if text.get(at) == Some(&b'-') { at + 1 } else { at };
    let whole = digits(start);
    let zero = text.get(start) == Some(&b'0');
    if whole == start || (zero && whole > start + 1) {
        return None;
    }
    match text.get(whole) {
        Some(b'.') => {}
        Some(b'e' | b'E') => return Some(Scan::Rewrite(number_end(text, whole))),
        _ if whole - start <= 18 && !(zero && start > at) => return Some(Scan::Canonical(whole)),
        _ => return Some(Scan::Rewrite(whole)),
    }
    let end = digits(whole + 1);
    let fraction = text.get(whole + 1..end)?;
    if fraction.is_empty() {
        return None;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        return Some(Scan::Rewrite(number_end(text, end)));
    }
    // Up to 15 digits survive the way through a double, and are its shortest form if they don't end in zeros.
    let short = (whole - start) + fraction.len() <= 15;
    let ends_well = fraction == b"0" || fraction.last() != Some(&b'0');
    // Small numbers are written with an exponent at some point.
    let plain = !zero || fraction == b"0" || fraction.iter().take(4).any(|d| *d != b'0');
    Some(if short && ends_well && plain {
        Scan::Canonical(end)
    } else {
        Scan::Rewrite(end)
    })
}

fn number_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        at += 1;
    }
    at
}

fn literal(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let word: &[u8] = match rest.first()? {
        b't' => b"true",
        b'f' => b"false",
        b'n' => b"null",
        _ => return None,
    };
    rest.starts_with(word).then_some(at + word.len())
}

/// Whether an object or list that begins at `at` is canonical, and where it ends. `None` if it is not, or no JSON.
fn canonical_nested(text: &[u8], at: usize, careful: bool, depth: u32) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    let string = |at: usize| -> Option<usize> {
        if !careful {
            return quote(text, at + 1).map(|e| e + 1);
        }
        match careful_string(text, at)? {
            Scan::Canonical(end) => Some(end),
            Scan::Rewrite(_) => None,
        }
    };
    let value = |at: usize| -> Option<usize> {
        match *text.get(at)? {
            b'"' => string(at),
            b'{' | b'[' => canonical_nested(text, at, careful, depth + 1),
            b'-' | b'0'..=b'9' => match number(text, at)? {
                Scan::Canonical(end) => Some(end),
                Scan::Rewrite(_) => None,
            },
            _ => literal(text, at),
        }
    };
    let mut i = at + 1;
    if text.get(at) == Some(&b'[') {
        if text.get(i) == Some(&b']') {
            return Some(i + 1);
        }
        loop {
            i = value(i)?;
            match text.get(i)? {
                b',' => i += 1,
                b']' => return Some(i + 1),
                _ => return None,
            }
        }
    }
    if text.get(i) == Some(&b'}') {
        return Some(i + 1);
    }
    let mut before: Option<&[u8]> = None;
    loop {
        if text.get(i) != Some(&b'"') {
            return None;
        }
        let end = string(i)?;
        let key = text.get(i + 1..end - 1)?;
        // The order of escaped text is not that of the keys.
        if before.is_some_and(|b| b >= key) || (careful && memchr::memchr(b'\\', key).is_some()) {
            return None;
        }
        before = Some(key);
        if text.get(end) != Some(&b':') {
            return None;
        }
        i = value(end + 1)?;
        match text.get(i)? {
            b',' => i += 1,
            b'}' => return Some(i + 1),
            _ => return None,
        }
    }
}

fn depth(v: &Value) -> u32 {
    match v {
        Value::Object(o) => 1 + o.values().map(depth).max().unwrap_or_default(),
        Value::Array(a) => 1 + a.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

impl Scanner<'_> {
    /// Finds all fields; whether they came with the keys and in the order of `shape`. `None` to decline.
    pub(super) fn run(&mut self, shape: &Shape) -> Option<bool> {
        self.found.clear();
        self.made.clear();
        let text = self.text.trim_ascii_end();
        let look = look(text);
        if !look.ascii && std::str::from_utf8(text).is_err() {
            return None;
        }
        let mut i = skip_space(text, 0);
        if text.get(i) != Some(&b'{') {
            return None;
        }
        i = skip_space(text, i + 1);
        if text.get(i) == Some(&b'}') {
            return (i + 1 == text.len()).then_some(shape.ends.is_empty());
        }
        let mut expected = Some(0usize);
        let mut from = 0usize;
        loop {
            // The key: the one that came here last time, or any.
            let known = expected.and_then(|n| {
                let end = *shape.ends.get(n)? as usize;
                let key = shape.keys.get(from..end)?;
                text.get(i..)?.starts_with(key).then_some((n, end, key.len()))
            });
            let (key_len, at) = match known {
                Some((n, end, len)) => {
                    expected = Some(n + 1);
                    from = end;
                    (len - 1, i + len)
                }
                None => {
                    expected = None;
                    let end = self.key(text, i, look.careful)?;
                    let colon = skip_space(text, end);
                    if text.get(colon) != Some(&b':') {
                        return None;
                    }
                    (end - i, colon + 1)
                }
            };
            let value = skip_space(text, at);
            // Key and value are one span if nothing stands between them.
            let together = value == i + key_len + 1;
            let end = match *text.get(value)? {
                b'"' if !look.careful => Scan::Canonical(quote(text, value + 1)? + 1),
                b'"' => careful_string(text, value)?,
                b'-' | b'0'..=b'9' => number(text, value)?,
                b'{' | b'[' => match canonical_nested(text, value, look.careful, 2) {
                    Some(end) => Scan::Canonical(end),
                    None => Scan::Rewrite(usize::MAX),
                },
                _ => Scan::Canonical(literal(text, value)?),
            };
            let key = text.get(i..i + key_len)?;
            let end = match end {
                Scan::Canonical(end) if together => {
                    self.found.push(Field {
                        at: self.base + u32::try_from(i).ok()?,
                        len: u32::try_from(end - i).ok()?,
                        key: u16::try_from(key_len).ok()?,
                        kind: FieldKind::Json,
                    });
                    end
                }
                Scan::Canonical(end) => {
                    let from = self.begin(key);
                    self.made.extend_from_slice(text.get(value..end)?);
                    self.end(from, key_len)?;
                    end
                }
                Scan::Rewrite(end) => {
                    let from = self.begin(key);
                    let end = self.rewrite(text, value, end)?;
                    self.end(from, key_len)?;
                    end
                }
            };
            i = skip_space(text, end);
            match *text.get(i)? {
                b',' => i = skip_space(text, i + 1),
                b'}' if i + 1 == text.len() => {
                    return Some(expected.is_some_and(|n| n == shape.ends.len()));
                }
                _ => return None,
            }
        }
    }

    /// The end of a key that begins at `at`. Keys with escapes are declined: their text does not sort as they do.
    fn key(&self, text: &[u8], at: usize, careful: bool) -> Option<usize> {
        if text.get(at) != Some(&b'"') {
            return None;
        }
        if !careful {
            return Some(quote(text, at + 1)? + 1);
        }
        match careful_string(text, at)? {
            Scan::Canonical(end) if memchr::memchr(b'\\', text.get(at..end)?).is_none() => Some(end),
            _ => None,
        }
    }

    fn begin(&mut self, key: &[u8]) -> usize {
        let from = self.made.len();
        self.made.extend_from_slice(key);
        self.made.push(b':');
        from
    }

    fn end(&mut self, from: usize, key_len: usize) -> Option<()> {
        if self.made.len() >= 1 << 30 {
            return None;
        }
        self.found.push(Field {
            at: MADE + u32::try_from(from).ok()?,
            len: u32::try_from(self.made.len() - from).ok()?,
            key: u16::try_from(key_len).ok()?,
            kind: FieldKind::Json,
        });
        Some(())
    }

    /// Writes the value from `at` in canonical form, the way `parse_json` reads it and `json` writes it; where it ends.
    fn rewrite(&mut self, text: &[u8], at: usize, end: usize) -> Option<usize> {
        let (value, end) = if end == usize::MAX {
            let mut values = serde_json::Deserializer::from_slice(text.get(at..)?).into_iter::<Value>();
            let value = values.next()?.ok()?;
            (value, at + values.byte_offset())
        } else {
            (serde_json::from_slice::<Value>(text.get(at..end)?).ok()?, end)
        };
        if depth(&value) > MAX_DEPTH {
            return None;
        }
        serde_json::to_writer(&mut *self.made, &value).ok()?;
        Some(end)
    }
}
