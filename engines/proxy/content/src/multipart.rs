//! Multipart bodies: each part with its header and its content as what it is.

use crate::out::{Full, Out};
use crate::redact::COVER;
use crate::view::{Body, Kind, part};

/// Parts that are shown at most.
const MAX_PARTS: usize = 200;
/// Bytes of a part's header at most.
const MAX_HEAD: usize = 16 * 1024;

/// The parameter of a header's value: `name` of `form-data; name="a"`.
pub(crate) fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        rest = rest.trim_start_matches([' ', ';', '\t']);
        let (key, after) = rest.split_once('=')?;
        let (text, later) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut text = String::new();
                let mut chars = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, c)) = chars.next() {
                    match c {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => text.extend(chars.next().map(|(_, c)| c)),
                        c => text.push(c),
                    }
                }
                (text, quoted.get(end..).unwrap_or_default())
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (
                    after.get(..end)?.trim().to_owned(),
                    after.get(end..).unwrap_or_default(),
                )
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(text);
        }
        rest = later;
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len().max(1)).position(|w| w == needle)
}

/// The parts of a body, without the line break before the next boundary. `None` when there is no boundary.
fn parts<'b>(body: &'b [u8], boundary: &str) -> Option<Vec<&'b [u8]>> {
    let mark = format!("--{boundary}");
    let mut rest = body.get(find(body, mark.as_bytes())? + mark.len()..)?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") && parts.len() < MAX_PARTS {
        // What follows a boundary on its line is padding.
        let Some(start) = rest.iter().position(|b| *b == b'\n') else {
            break;
        };
        let content = rest.get(start + 1..).unwrap_or_default();
        match find(content, mark.as_bytes()) {
            Some(end) => {
                let part = content.get(..end).unwrap_or_default();
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                parts.push(part.strip_suffix(b"\r").unwrap_or(part));
                rest = content.get(end + mark.len()..).unwrap_or_default();
            }
            // The last one was cut.
            None => {
                parts.push(content);
                break;
            }
        }
    }
    Some(parts)
}

/// Whether it could be shown at all.
pub(crate) fn show(body: &[u8], content_type: &str, depth: usize, out: &mut Out<'_>) -> Result<bool, Full> {
    let Some(boundary) = parameter(content_type, "boundary").filter(|b| !b.is_empty() && b.len() <= 200) else {
        return Ok(false);
    };
    let Some(parts) = parts(body, &boundary) else {
        return Ok(false);
    };
    for (number, bytes) in parts.iter().enumerate() {
        if number > 0 {
            out.plain(String::new())?;
        }
        let window = bytes.get(..bytes.len().min(MAX_HEAD)).unwrap_or_default();
        let (head, content) = match (find(window, b"\r\n\r\n"), find(window, b"\n\n")) {
            _ if bytes.starts_with(b"\r\n") => (&b""[..], bytes.get(2..).unwrap_or_default()),
            (Some(at), other) if other.is_none_or(|o| at < o) => (
                bytes.get(..at).unwrap_or_default(),
                bytes.get(at + 4..).unwrap_or_default(),
            ),
            (_, Some(at)) => (
                bytes.get(..at).unwrap_or_default(),
                bytes.get(at + 2..).unwrap_or_default(),
            ),
            _ => (*bytes, &b""[..]),
        };
        let head = String::from_utf8_lossy(head);
        out.plain(format!("part {}, {} bytes", number + 1, content.len()))?;
        let (mut name, mut kind) = (String::new(), String::new());
        for line in head.lines() {
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.trim();
            if key.eq_ignore_ascii_case("content-disposition") {
                name = parameter(value, "name").unwrap_or_default();
            } else if key.eq_ignore_ascii_case("content-type") {
                value.clone_into(&mut kind);
            }
            let shown = out.rules.header(key, value).into_owned();
            out.line(1, &format!("{key}: {shown}"))?;
        }
        if out.rules.is_key(&name) {
            out.line(1, COVER)?;
            continue;
        }
        let body = Body {
            bytes: content,
            content_type: if kind.is_empty() { "text/plain" } else { &kind },
            content_encoding: "",
            grpc_encoding: "",
        };
        part(&body, Kind::of_type(body.content_type), depth + 1, out)?;
    }
    Ok(true)
}
