//! Protocol buffers without their schema, and the frames of gRPC.
//!
//! A message is numbered fields of five kinds. What a length-delimited field holds is not said: it is shown as a message
//! if it can be read as one to its end, else as text if it is printable, else as bytes.

use crate::out::{Full, Out};
use crate::text;

/// How deep messages may nest.
const MAX_DEPTH: usize = 24;
/// Bytes that are shown of a field of bytes.
const SHOWN: usize = 64;

/// One field as it stands there.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in 0..10 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift * 7)?;
        if byte & 0x80 == 0 {
            // The tenth byte has room for one bit.
            return (shift < 9 || byte <= 1).then_some(value);
        }
    }
    None
}

/// The next field; `None` for what is none.
fn field<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(u64, Value<'a>)> {
    let tag = varint(bytes, at)?;
    let number = tag >> 3;
    if number == 0 || number >= 1 << 29 {
        return None;
    }
    let value = match tag & 7 {
        0 => Value::Varint(varint(bytes, at)?),
        1 => {
            let fixed = bytes.get(*at..at.checked_add(8)?)?;
            *at += 8;
            Value::Fixed64(fixed.try_into().ok()?)
        }
        2 => {
            let length = usize::try_from(varint(bytes, at)?).ok()?;
            let data = bytes.get(*at..at.checked_add(length)?)?;
            *at += length;
            Value::Bytes(data)
        }
        5 => {
            let fixed = bytes.get(*at..at.checked_add(4)?)?;
            *at += 4;
            Value::Fixed32(fixed.try_into().ok()?)
        }
        // Groups are long gone.
        _ => return None,
    };
    Some((number, value))
}

/// Whether bytes are fields to their end. Looks at one level only, so that asking at each level stays linear in depth.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if field(bytes, &mut at).is_none() {
            return false;
        }
    }
    !bytes.is_empty()
}

fn message(bytes: &[u8], indent: usize, depth: usize, out: &mut Out<'_>) -> Result<(), Full> {
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let Some((number, value)) = field(bytes, &mut at) else {
            return out.line(indent, &format!("… {} bytes that are no field", bytes.len() - start));
        };
        match value {
            Value::Varint(v) => {
                let zigzag = (v >> 1) as i64 ^ -((v & 1) as i64);
                let signed = v as i64;
                let also = match v {
                    0 | 1 => String::new(),
                    _ if signed < 0 => format!("  (signed {signed})"),
                    _ => format!("  (zigzag {zigzag})"),
                };
                out.line(indent, &format!("{number}: {v}{also}"))?;
            }
            Value::Fixed64(raw) => {
                let (int, float) = (u64::from_le_bytes(raw), f64::from_le_bytes(raw));
                out.line(indent, &format!("{number}: {float:?}  (fixed64 {int})"))?;
            }
            Value::Fixed32(raw) => {
                let (int, float) = (u32::from_le_bytes(raw), f32::from_le_bytes(raw));
                out.line(indent, &format!("{number}: {float:?}  (fixed32 {int})"))?;
            }
            Value::Bytes(data) => {
                let plain = std::str::from_utf8(data).ok().filter(|t| text::is_printable(t));
                // Many messages are printable by chance, but theirs begins with the tag of a low field, which is a control
                // character (field 1 of bytes is a line break), and texts hardly ever begin so and can be read to their end.
                let tagged = data.first().is_some_and(|b| *b < b' ') && is_message(data);
                match plain {
                    Some(plain) if !tagged => out.line(indent, &format!("{number}: {plain:?}"))?,
                    _ if depth < MAX_DEPTH && is_message(data) => {
                        out.line(indent, &format!("{number} {{"))?;
                        message(data, indent + 1, depth + 1, out)?;
                        out.line(indent, "}")?;
                    }
                    _ => out.line(indent, &format!("{number}: {}", hex(data)))?,
                }
            }
        }
    }
    Ok(())
}

/// Bytes in hex, cut where they are many.
pub(crate) fn hex(data: &[u8]) -> String {
    let shown: Vec<String> = data.iter().take(SHOWN).map(|b| format!("{b:02x}")).collect();
    let more = if data.len() > SHOWN { " …" } else { "" };
    format!("{} bytes: {}{more}", data.len(), shown.join(" "))
}

/// A message alone.
pub(crate) fn show(bytes: &[u8], out: &mut Out<'_>) -> Result<bool, Full> {
    if !is_message(bytes) {
        return Ok(false);
    }
    message(bytes, 0, 0, out)?;
    Ok(true)
}

/// Frames of gRPC: a byte of flags, four of length, and the message; the last one may be cut. `encoding` is `grpc-encoding`.
pub(crate) fn show_grpc(bytes: &[u8], encoding: &str, limit: usize, out: &mut Out<'_>) -> Result<bool, Full> {
    let mut rest = bytes;
    let mut number = 0;
    let mut room = limit;
    while let [flags, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        // Of the flags gRPC has one bit and grpc-web another, for trailers.
        if flags & 0x7e != 0 {
            return Ok(false);
        }
        number += 1;
        let data = after.get(..length.min(after.len())).unwrap_or_default();
        let cut = if data.len() < length { ", cut" } else { "" };
        if flags & 0x80 != 0 {
            out.plain(format!("trailers, {length} bytes{cut}"))?;
            for line in String::from_utf8_lossy(data).lines() {
                let (key, value) = line.split_once(':').unwrap_or((line, ""));
                let shown = out.rules.header(key.trim(), value.trim()).into_owned();
                out.line(1, &format!("{}: {shown}", key.trim()))?;
            }
        } else {
            let packed = flags & 1 == 1;
            let how = if packed { ", compressed" } else { "" };
            out.plain(format!("message {number}, {length} bytes{how}{cut}"))?;
            let plain = match packed {
                true => crate::decode::decode(data, encoding, room).bytes,
                false => data.to_vec(),
            };
            // All messages together unpack to no more than one body may.
            room = room.saturating_sub(if packed { plain.len() } else { 0 });
            if !plain.is_empty() {
                message(&plain, 1, 0, out)?;
            }
        }
        rest = after.get(length.min(after.len())..).unwrap_or_default();
    }
    Ok(number > 0)
}
