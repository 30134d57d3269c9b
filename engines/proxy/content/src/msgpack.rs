//! MessagePack laid out like JSON.

use crate::out::{Full, Out};
use crate::proto::hex;
use crate::redact::COVER;

/// How deep it may nest.
const MAX_DEPTH: usize = 64;

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It ends here, is broken, or nests too deeply.
    Broken,
    Full,
}

impl From<Full> for Stop {
    fn from(_: Full) -> Stop {
        Stop::Full
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(length).ok_or(Stop::Broken)?;
        let data = self.bytes.get(self.at..end).ok_or(Stop::Broken)?;
        self.at = end;
        Ok(data)
    }

    /// A number of so many bytes, the highest first.
    fn uint(&mut self, length: usize) -> Result<u64, Stop> {
        Ok(self.take(length)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, Stop> {
        usize::try_from(self.uint(bytes)?).map_err(|_| Stop::Broken)
    }
}

enum Value<'a> {
    Plain(String),
    Text(&'a [u8]),
    Array(usize),
    Map(usize),
}

fn value<'a>(r: &mut Reader<'a>) -> Result<Value<'a>, Stop> {
    let first = *r.take(1)?.first().ok_or(Stop::Broken)?;
    let low = |bits: u8| usize::from(first & bits);
    let plain = |text: String| Ok(Value::Plain(text));
    let signed = |n: u64, bytes: u32| (n << (64 - bytes * 8)) as i64 >> (64 - bytes * 8);
    let ext = |r: &mut Reader<'a>, length: usize| -> Result<Value<'a>, Stop> {
        let kind = r.uint(1)? as u8 as i8;
        Ok(Value::Plain(format!("ext {kind}, {}", hex(r.take(length)?))))
    };
    match first {
        0x00..=0x7f => plain(first.to_string()),
        0x80..=0x8f => Ok(Value::Map(low(0x0f))),
        0x90..=0x9f => Ok(Value::Array(low(0x0f))),
        0xa0..=0xbf => Ok(Value::Text(r.take(low(0x1f))?)),
        0xc0 => plain("null".to_owned()),
        0xc1 => Err(Stop::Broken),
        0xc2 => plain("false".to_owned()),
        0xc3 => plain("true".to_owned()),
        0xc4..=0xc6 => {
            let length = r.length(1 << (first - 0xc4))?;
            plain(hex(r.take(length)?))
        }
        0xc7..=0xc9 => {
            let length = r.length(1 << (first - 0xc7))?;
            ext(r, length)
        }
        0xca => plain(format!("{:?}", f32::from_bits(r.uint(4)? as u32))),
        0xcb => plain(format!("{:?}", f64::from_bits(r.uint(8)?))),
        0xcc..=0xcf => plain(r.uint(1 << (first - 0xcc))?.to_string()),
        0xd0..=0xd3 => {
            let bytes = 1u32 << (first - 0xd0);
            plain(signed(r.uint(bytes as usize)?, bytes).to_string())
        }
        0xd4..=0xd8 => ext(r, 1 << (first - 0xd4)),
        0xd9..=0xdb => {
            let length = r.length(1 << (first - 0xd9))?;
            Ok(Value::Text(r.take(length)?))
        }
        0xdc | 0xdd => Ok(Value::Array(r.length(2 << (first - 0xdc))?)),
        0xde | 0xdf => Ok(Value::Map(r.length(2 << (first - 0xde))?)),
        0xe0..=0xff => plain((first as i8).to_string()),
    }
}

fn quoted(text: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(text))
}

fn write(r: &mut Reader<'_>, before: &str, depth: usize, out: &mut Out<'_>) -> Result<(), Stop> {
    if depth > MAX_DEPTH {
        return Err(Stop::Broken);
    }
    match value(r)? {
        Value::Plain(text) => out.line(depth, &format!("{before}{text}"))?,
        Value::Text(text) => out.line(depth, &format!("{before}{}", quoted(text)))?,
        Value::Array(length) => {
            out.line(depth, &format!("{before}["))?;
            for _ in 0..length {
                write(r, "", depth + 1, out)?;
            }
            out.line(depth, "]")?;
        }
        Value::Map(length) => {
            out.line(depth, &format!("{before}{{"))?;
            for _ in 0..length {
                let key = match value(r)? {
                    Value::Plain(text) => text,
                    Value::Text(text) => {
                        let plain = String::from_utf8_lossy(text);
                        if out.rules.is_key(&plain) {
                            out.line(depth + 1, &format!("{}: {COVER}", quoted(text)))?;
                            skip(r, depth + 1)?;
                            continue;
                        }
                        quoted(text)
                    }
                    // Nobody writes such keys.
                    Value::Array(_) | Value::Map(_) => return Err(Stop::Broken),
                };
                write(r, &format!("{key}: "), depth + 1, out)?;
            }
            out.line(depth, "}")?;
        }
    }
    Ok(())
}

fn skip(r: &mut Reader<'_>, depth: usize) -> Result<(), Stop> {
    if depth > MAX_DEPTH {
        return Err(Stop::Broken);
    }
    let inner = match value(r)? {
        Value::Plain(_) | Value::Text(_) => 0,
        Value::Array(length) => length,
        Value::Map(length) => length.saturating_mul(2),
    };
    (0..inner).try_for_each(|_| skip(r, depth + 1))
}

/// Whether it could be read; one that breaks off after its first value is shown as far as it goes.
pub(crate) fn show(bytes: &[u8], out: &mut Out<'_>) -> Result<bool, Full> {
    let mut r = Reader { bytes, at: 0 };
    let mut any = false;
    while r.at < bytes.len() {
        let start = r.at;
        match write(&mut r, "", 0, out) {
            Ok(()) => any = true,
            Err(Stop::Full) => return Err(Full),
            Err(Stop::Broken) => {
                // Whatever it is, a lone byte that happens to be a number is no sign of MessagePack.
                if !any && r.at - start < 2 {
                    return Ok(false);
                }
                out.line(0, &format!("… {} bytes that are no value", bytes.len() - r.at))?;
                return Ok(true);
            }
        }
    }
    Ok(any)
}
