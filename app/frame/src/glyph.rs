//! What a cell's symbol becomes on the wire: which bytes, how many columns they may take, and whether terminals agree
//! about that. It owns the rule that no control character leaves a cell.

use qd_tty::{Attrs, Cell};
use unicode_width::UnicodeWidthChar;

/// How a symbol has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyph {
    /// One printable ASCII character.
    Ascii(u8),
    /// Nothing that could be shown: blanks in its place.
    Blank,
    /// Text in the scratch string, of a width nobody disputes.
    Sure,
    /// Text in the scratch string that may take up to `most` columns; `first` is the byte length of its first
    /// character, which takes `first_columns`.
    Unsure {
        /// The most columns any terminal gives it.
        most: usize,
        /// Bytes of the first character.
        first: usize,
        /// Columns of the first character.
        first_columns: usize,
    },
}

/// The letters of flags: one column each or two, as terminals please.
const FLAG_A: char = '\u{1f1e6}';
const FLAG_Z: char = '\u{1f1ff}';

/// Characters that change the width of what is before them on some terminals only.
const fn joins(c: char) -> bool {
    matches!(c,
        '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}' | FLAG_A..=FLAG_Z)
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Whether terminals may give the cluster another width than `width`.
pub(crate) fn disputed(cluster: &str, width: u16) -> bool {
    cluster.chars().any(joins) || cluster.chars().map(columns).sum::<usize>() != usize::from(width)
}

/// Resolves a cell's symbol; text is left in `text`.
pub(crate) fn resolve(cell: &Cell, text: &mut String) -> Glyph {
    let wide = cell.attrs.contains(Attrs::WIDE);
    let flagged = cell.attrs.contains(Attrs::UNSURE_WIDTH);
    text.clear();
    match cell.sym.as_char() {
        Some(' ') => return Glyph::Blank,
        Some(c @ '!'..='~') if !wide => return Glyph::Ascii(c as u8),
        Some(c) if c.is_control() => return Glyph::Blank,
        Some(c) => text.push(c),
        None => {
            cell.sym.push_to(text);
            if text.chars().any(char::is_control) {
                return Glyph::Blank;
            }
            let lead = text.find(|c| columns(c) > 0).unwrap_or(text.len());
            text.drain(..lead);
        }
    }
    let Some(head) = text.chars().next() else {
        return Glyph::Blank;
    };
    let first_columns = columns(head);
    if first_columns == 0 {
        return Glyph::Blank;
    }
    let natural: usize = text.chars().map(columns).sum();
    let joined = text.chars().any(joins);
    if !flagged && !joined && natural == 1 + usize::from(wide) {
        return Glyph::Sure;
    }
    Glyph::Unsure {
        most: natural.max(2),
        first: head.len_utf8(),
        first_columns,
    }
}

#[cfg(test)]
mod tests {
    use qd_tty::Sym;

    use super::*;

    fn of(s: &str, attrs: Attrs) -> (Glyph, String) {
        let mut t = String::new();
        let g = resolve(
            &Cell {
                sym: Sym::from_cluster(s),
                attrs,
                ..Cell::BLANK
            },
            &mut t,
        );
        (g, t)
    }

    #[test]
    fn nothing_dangerous_comes_out() {
        for s in [
            "\x1b",
            "\n",
            "\u{7f}",
            "\u{9b}",
            "\u{301}",
            "a\x1b[",
            "\u{200d}\u{301}",
            " ",
        ] {
            assert_eq!(of(s, Attrs::empty()).0, Glyph::Blank, "{s:?}");
        }
        assert_eq!(of("x", Attrs::empty()).0, Glyph::Ascii(b'x'));
        assert_eq!(of("é", Attrs::empty()), (Glyph::Sure, "é".into()));
        assert_eq!(of("e\u{301}", Attrs::empty()), (Glyph::Sure, "e\u{301}".into()));
        assert_eq!(of("漢", Attrs::WIDE), (Glyph::Sure, "漢".into()));
        assert!(matches!(
            of("漢", Attrs::empty()).0,
            Glyph::Unsure {
                most: 2,
                first: 3,
                first_columns: 2
            }
        ));
        assert!(matches!(
            of("❤\u{fe0f}", Attrs::WIDE).0,
            Glyph::Unsure {
                most: 2,
                first_columns: 1,
                ..
            }
        ));
        assert!(matches!(
            of("👩\u{200d}👩\u{200d}👧", Attrs::WIDE).0,
            Glyph::Unsure { most: 6, .. }
        ));
        assert!(matches!(of("x", Attrs::WIDE).0, Glyph::Unsure { .. }));
    }
}
