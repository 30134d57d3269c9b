//! JSON as serde_json writes it, without its overhead per character and per number.

use qd_logs_model::Value;

/// What is written for a byte of a string: 0 itself, `u` as `\u00XX`, else a backslash and this.
const ESCAPES: [u8; 256] = {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 0x20 {
        t[i] = b'u';
        i += 1;
    }
    t[0x08] = b'b';
    t[0x09] = b't';
    t[0x0a] = b'n';
    t[0x0c] = b'f';
    t[0x0d] = b'r';
    t[b'"' as usize] = b'"';
    t[b'\\' as usize] = b'\\';
    t
};

const HIGH: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

/// Whether one of eight bytes needs an escape (it may say so of a byte that doesn't, never the other way around).
fn suspicious(chunk: [u8; 8]) -> bool {
    let w = u64::from_ne_bytes(chunk);
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let control = w.wrapping_sub(ONES * 0x20) & !w;
    (control | zero(w ^ (ONES * 0x22)) | zero(w ^ (ONES * 0x5c))) & HIGH != 0
}

/// Appends UTF-8 text with what JSON does not allow escaped, without quotes.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    let mut clean = 0;
    loop {
        while let Some(chunk) = rest.get(clean..clean + 8).and_then(|c| <[u8; 8]>::try_from(c).ok()) {
            if suspicious(chunk) {
                break;
            }
            clean += 8;
        }
        let stop = rest.get(clean..).and_then(|r| {
            r.iter()
                .position(|b| ESCAPES.get(usize::from(*b)).is_some_and(|e| *e != 0))
        });
        let Some(stop) = stop.map(|s| s + clean) else {
            out.extend_from_slice(rest);
            return;
        };
        let (before, after) = rest.split_at(stop);
        out.extend_from_slice(before);
        let Some((byte, after)) = after.split_first() else {
            return;
        };
        match ESCAPES.get(usize::from(*byte)).copied().unwrap_or(0) {
            b'u' => {
                const HEX: [u8; 16] = *b"0123456789abcdef";
                let hex = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(*byte)]);
            }
            e => out.extend_from_slice(&[b'\\', e]),
        }
        rest = after;
        clean = 0;
    }
}

/// Appends text as a JSON string with its quotes. Bytes that are no UTF-8 become replacement characters.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    match std::str::from_utf8(text) {
        Ok(_) => escape(text, out),
        Err(_) => escape(String::from_utf8_lossy(text).as_bytes(), out),
    }
    out.push(b'"');
}

/// As [`write_string`], for text that is known to be UTF-8.
pub(super) fn write_utf8(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends a value: keys sorted, no white space, times as RFC 3339.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bytes(b) => write_string(b, out),
        Value::String(s) => write_utf8(s.as_bytes(), out),
        Value::Integer(i) => out.extend_from_slice(itoa::Buffer::new().format(*i).as_bytes()),
        Value::Float(f) => {
            // serde_json's digits are what everybody else writes; writing a number to memory does not fail.
            let start = out.len();
            if serde_json::to_writer(&mut *out, &f.into_inner()).is_err() {
                out.truncate(start);
                out.extend_from_slice(b"null");
            }
        }
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Object(o) => {
            out.push(b'{');
            for (i, (k, v)) in o.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_utf8(k.as_str().as_bytes(), out);
                out.push(b':');
                write_value(v, out);
            }
            out.push(b'}');
        }
        Value::Array(a) => {
            out.push(b'[');
            for (i, v) in a.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(v, out);
            }
            out.push(b']');
        }
        Value::Null => out.extend_from_slice(b"null"),
        Value::Timestamp(_) | Value::Regex(_) => write_string(value.to_string_lossy().as_bytes(), out),
    }
}
