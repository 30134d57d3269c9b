//! Text in any charset, HTML in lines, and hex.

use crate::multipart::parameter;
use crate::out::{Full, Out};

/// Whether a text has nothing but what people write: at most one in 50 characters is a control character.
pub(crate) fn is_printable(text: &str) -> bool {
    let odd = text
        .chars()
        .filter(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || *c == char::REPLACEMENT_CHARACTER)
        .count();
    odd * 50 <= text.chars().count() && !text.contains('\0')
}

/// The text of a body by the charset of its type, else by its mark of byte order, else in UTF-8.
pub(crate) fn decoded<'b>(bytes: &'b [u8], content_type: &str) -> std::borrow::Cow<'b, str> {
    let named = parameter(content_type, "charset").and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    named.unwrap_or(encoding_rs::UTF_8).decode(bytes).0
}

/// A text in its lines.
pub(crate) fn show(text: &str, out: &mut Out<'_>) -> Result<(), Full> {
    text.lines()
        .try_for_each(|line| out.line(0, line.trim_end_matches('\r')))
}

/// HTML and XML in lines: each tag that follows another begins a new one, further in by what is open.
pub(crate) fn show_markup(text: &str, out: &mut Out<'_>) -> Result<(), Full> {
    const VOID: [&str; 14] = [
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
        "!doctype",
    ];
    let mut depth = 0usize;
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map_or(rest.len(), |at| at + 7),
            None if rest.starts_with('<') => rest.find('>').map_or(rest.len(), |at| at + 1),
            None => rest.find('<').unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        let name: String = piece
            .trim_start_matches(['<', '/'])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '!')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let is_tag = piece.starts_with('<') && !piece.starts_with("<!--") && !piece.starts_with("<?");
        if is_tag && piece.starts_with("</") {
            depth = depth.saturating_sub(1);
        }
        for line in piece.lines().map(str::trim).filter(|l| !l.is_empty()) {
            out.line(depth, line)?;
        }
        if is_tag && !piece.starts_with("</") && !piece.ends_with("/>") && !VOID.contains(&name.as_str()) {
            depth += 1;
            // What scripts and styles hold is no markup.
            if matches!(name.as_str(), "script" | "style") {
                let close = format!("</{name}");
                let end = rest.to_ascii_lowercase().find(&close).unwrap_or(rest.len());
                let (inner, after) = rest.split_at(end);
                rest = after;
                for line in inner.lines().map(str::trim_end).filter(|l| !l.trim().is_empty()) {
                    out.line(depth, line)?;
                }
            }
        }
    }
    Ok(())
}

/// Sixteen bytes a line, with their place and what of them is ASCII.
pub(crate) fn show_hex(bytes: &[u8], out: &mut Out<'_>) -> Result<(), Full> {
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let mut line = format!("{:08x} ", row * 16);
        for at in 0..16 {
            if at == 8 {
                line.push(' ');
            }
            match chunk.get(at) {
                Some(byte) => line.push_str(&format!(" {byte:02x}")),
                None => line.push_str("   "),
            }
        }
        line.push_str("  ");
        line.extend(
            chunk
                .iter()
                .map(|b| if (b' '..0x7f).contains(b) { char::from(*b) } else { '.' }),
        );
        out.plain(line)?;
    }
    Ok(())
}
