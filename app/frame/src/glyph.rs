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

/// Characters that every terminal gives the same columns: what has stood in Unicode for long, is no emoji and needs no
/// shaping. Of others the tables differ by their age, and some terminals drop what they do not know.
const fn agreed(c: char) -> bool {
    matches!(c,
        ' '..='~'
        | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{377}' | '\u{384}'..='\u{38a}' | '\u{38e}'..='\u{3a1}' | '\u{3a3}'..='\u{482}'
        | '\u{48a}'..='\u{527}' | '\u{1e00}'..='\u{1eff}'
        | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{20a0}'..='\u{20b5}' | '\u{2100}'..='\u{214e}'
        // Arrows, mathematics, technical signs, frames, blocks and shapes, without those that became emoji.
        | '\u{2190}'..='\u{2319}' | '\u{2320}'..='\u{2328}' | '\u{232b}'..='\u{23db}' | '\u{2460}'..='\u{25fc}'
        | '\u{2713}' | '\u{2717}' | '\u{2800}'..='\u{28ff}'
        // The signs of Powerline.
        | '\u{e0a0}'..='\u{e0a2}' | '\u{e0b0}'..='\u{e0b3}'
        // Two columns each.
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{30ff}' | '\u{3001}'..='\u{3029}' | '\u{4e00}'..='\u{9fa5}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff5e}'
        | '\u{fffd}')
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
    if !flagged && natural == 1 + usize::from(wide) && text.chars().all(agreed) {
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

    #[test]
    fn what_tables_differ_about_is_not_relied_on() {
        for (s, attrs) in [
            ("\u{378}", Attrs::empty()),
            ("\u{ad}", Attrs::empty()),
            ("\u{1fae8}", Attrs::WIDE),
            ("\u{5e1}\u{5b0}", Attrs::empty()),
        ] {
            let (glyph, _) = of(s, attrs);
            assert!(!matches!(glyph, Glyph::Sure | Glyph::Ascii(_)), "{s:?}: {glyph:?}");
        }
        for s in [
            "\u{2502}", "\u{256d}", "\u{25cf}", "\u{2588}", "\u{44f}", "\u{fffd}", "n\u{303}", "\u{2192}",
        ] {
            assert_eq!(of(s, Attrs::empty()).0, Glyph::Sure, "{s:?}");
        }
    }
}
