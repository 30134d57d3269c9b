//! The messages of `--json` for a piece: numbers in them are counted from the piece's beginning, and are put right here.

use std::io::{self, Write};

use grep_printer::Stats;
use memchr::memmem;

use crate::marked::Text;

/// In a message this is the key and no part of a text, in which quotes are escaped.
const LINE_NUMBER: &[u8] = b",\"line_number\":";
const OFFSET: &[u8] = b",\"absolute_offset\":";
const BEGIN: &[u8] = b"{\"type\":\"begin\",\"data\":{\"path\":";

/// The message that begins a file's results, if there are any, and the rest.
pub(super) fn split(messages: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', messages) {
        Some(i) if messages.starts_with(BEGIN) => messages.split_at(i + 1),
        _ => (&[], messages),
    }
}

/// The messages of a piece whose text begins at byte `at`. Line numbers are left to [`Text::write`].
pub(super) fn renumbered(messages: &[u8], at: u64) -> Text {
    let (line_number, offset) = (memmem::Finder::new(LINE_NUMBER), memmem::Finder::new(OFFSET));
    let mut text = Text::with_capacity(messages.len() + messages.len() / 16);
    let mut rest = messages;
    // Each message has one line number, and after it one offset.
    while let Some(i) = line_number.find(rest) {
        text.push(&rest[..i + LINE_NUMBER.len()]);
        rest = &rest[i + LINE_NUMBER.len()..];
        if let (Some(number), after) = decimal(rest) {
            text.push_line_number(number);
            rest = after;
        }
        let Some(i) = offset.find(rest) else { break };
        text.push(&rest[..i + OFFSET.len()]);
        rest = &rest[i + OFFSET.len()..];
        if let (Some(number), after) = decimal(rest) {
            text.push_number(at + number);
            rest = after;
        }
    }
    text.push(rest);
    text
}

/// Writes the message that ends the results of the file whose first message was `begin`.
pub(super) fn end(begin: &[u8], binary: Option<u64>, stats: &Stats, out: &mut impl Write) -> io::Result<()> {
    let path = begin.strip_prefix(BEGIN).and_then(|b| b.strip_suffix(b"}}\n"));
    out.write_all(b"{\"type\":\"end\",\"data\":{\"path\":")?;
    out.write_all(path.unwrap_or(b"null"))?;
    out.write_all(b",\"binary_offset\":")?;
    serde_json::to_writer(&mut *out, &binary)?;
    out.write_all(b",\"stats\":")?;
    serde_json::to_writer(&mut *out, stats)?;
    out.write_all(b"}}\n")
}

/// The number that the text begins with, and what comes after it.
fn decimal(text: &[u8]) -> (Option<u64>, &[u8]) {
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let number = digits
        .iter()
        .fold(0, |n: u64, d| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0')));
    ((length > 0).then_some(number), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_moved_and_texts_are_not() {
        let message = br#"{"type":"match","data":{"path":{"text":"f"},"lines":{"text":"\",\"line_number\":7,\"absolute_offset\":8"},"line_number":3,"absolute_offset":40,"submatches":[]}}"#;
        let messages = [&message[..], b"\n", message, b"\n"].concat();
        let mut out = Vec::new();
        renumbered(&messages, 1000).write(200, &mut out).unwrap();
        let expected = String::from_utf8(messages).unwrap();
        let expected = expected.replace("\"line_number\":3", "\"line_number\":203");
        let expected = expected.replace("\"absolute_offset\":40", "\"absolute_offset\":1040");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lines_may_have_no_numbers() {
        let message = br#"{"type":"context","data":{"lines":{"text":"x"},"line_number":null,"absolute_offset":4,"submatches":[]}}"#;
        let mut out = Vec::new();
        renumbered(message, 6).write(200, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\"line_number\":null,\"absolute_offset\":10,"), "{out}");
    }

    #[test]
    fn the_end_has_the_path_of_the_beginning() {
        let mut out = Vec::new();
        let (begin, rest) = split(b"{\"type\":\"begin\",\"data\":{\"path\":{\"bytes\":\"AA==\"}}}\nrest");
        end(begin, Some(7), &Stats::new(), &mut out).unwrap();
        let message: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (rest, &message["data"]["path"]["bytes"]),
            (&b"rest"[..], &"AA==".into())
        );
        assert_eq!(message["data"]["binary_offset"], 7);
        assert_eq!(split(b"x\n"), (&b""[..], &b"x\n"[..]));
    }
}
