//! Making log lines safe to show: no byte of a line ever acts on the terminal.
//!
//! Colours (SGR, `ESC [ … m`) become styles of stretches of text; every other control character and sequence is shown by
//! visible glyphs. What comes out never holds a byte below 0x20, 0x7f, a C1 control (U+0080 to U+009F), or a character that
//! turns the direction of text.

use std::ops::Range;

/// A colour of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    /// One of the 256 of the palette; 0 to 15 are the named ones.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a stretch of text was meant to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// The colour of the letters.
    pub fg: Option<Colour>,
    /// The colour behind them.
    pub bg: Option<Colour>,
    /// Bold.
    pub bold: bool,
    /// Faint.
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
    /// Foreground and background swapped.
    pub reverse: bool,
    /// Crossed out.
    pub strike: bool,
}

/// A stretch of printable text with one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// How it was meant to look.
    pub style: Style,
    /// Which bytes of the given text it stands for.
    pub from: Range<usize>,
    /// Whether it is a visible form of something that is not printable.
    pub escaped: bool,
}

/// How many columns apart tab stops are.
pub const TAB: usize = 8;

/// The printable pieces of a line. Tabs become blanks up to the next stop (by characters, not by width).
pub fn sanitize(text: &str) -> Vec<Piece> {
    let mut out = Out {
        pieces: Vec::new(),
        style: Style::default(),
        column: 0,
    };
    let b = text.as_bytes();
    let mut i = 0;
    while i < b.len() {
        // Runs of plain ASCII are by far the most.
        let plain = b[i..]
            .iter()
            .position(|c| !(0x20..0x7f).contains(c))
            .unwrap_or(b.len() - i);
        if plain > 0 {
            out.push(&text[i..i + plain], i..i + plain, false);
            i += plain;
            continue;
        }
        if b[i] == 0x1b
            && let Some((end, style)) = sgr(b, i, out.style)
        {
            out.style = style;
            i = end;
            continue;
        }
        let Some(c) = text[i..].chars().next() else { break };
        let end = i + c.len_utf8();
        match c {
            '\t' => {
                let blanks = TAB - out.column % TAB;
                out.push(&" ".repeat(blanks), i..end, false);
            }
            '\0'..='\x1f' => {
                let glyph = char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}');
                out.push(glyph.encode_utf8(&mut [0; 4]), i..end, true);
            }
            '\x7f' => out.push("\u{2421}", i..end, true),
            c if hidden(c) => out.push(&format!("<U+{:04X}>", c as u32), i..end, true),
            c => out.push(c.encode_utf8(&mut [0; 4]), i..end, false),
        }
        i = end;
    }
    out.pieces
}

/// The same as one text without styles.
pub fn plain(text: &str) -> String {
    sanitize(text).into_iter().map(|piece| piece.text).collect()
}

/// Lines without their colours and other `ESC [` sequences.
pub(crate) fn plain_lines(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(
            part.find(|c: char| c.is_ascii_alphabetic())
                .map_or("", |n| &part[n + 1..]),
        );
    }
    out
}

/// Characters that are no letters but do something: C1 controls, line separators, bidirectional overrides, tags.
fn hidden(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

struct Out {
    pieces: Vec<Piece>,
    style: Style,
    column: usize,
}

impl Out {
    fn push(&mut self, text: &str, from: Range<usize>, escaped: bool) {
        self.column += text.chars().count();
        if let Some(last) = self.pieces.last_mut()
            && last.style == self.style
            && last.escaped == escaped
            && last.from.end == from.start
        {
            last.text.push_str(text);
            last.from.end = from.end;
            return;
        }
        self.pieces.push(Piece {
            text: text.to_owned(),
            style: self.style,
            from,
            escaped,
        });
    }
}

/// A sequence that only sets colours: where it ends and what it makes of the style.
fn sgr(b: &[u8], at: usize, style: Style) -> Option<(usize, Style)> {
    if b.get(at + 1) != Some(&b'[') {
        return None;
    }
    let start = at + 2;
    let end = (start..b.len().min(start + 64)).find(|i| !matches!(b[*i], b'0'..=b'9' | b';' | b':'))?;
    if b[end] != b'm' {
        return None;
    }
    let text = std::str::from_utf8(&b[start..end]).ok()?;
    let numbers: Vec<u16> = text.split([';', ':']).map(|n| n.parse().unwrap_or(0)).collect();
    Some((end + 1, apply(style, &numbers)))
}

fn apply(mut style: Style, numbers: &[u16]) -> Style {
    let mut i = 0;
    while let Some(n) = numbers.get(i) {
        match *n {
            0 => style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            3 => style.italic = true,
            4 => style.underline = true,
            7 => style.reverse = true,
            9 => style.strike = true,
            22 => (style.bold, style.dim) = (false, false),
            23 => style.italic = false,
            24 => style.underline = false,
            27 => style.reverse = false,
            29 => style.strike = false,
            30..=37 => style.fg = Some(Colour::Indexed((*n - 30) as u8)),
            40..=47 => style.bg = Some(Colour::Indexed((*n - 40) as u8)),
            90..=97 => style.fg = Some(Colour::Indexed((*n - 82) as u8)),
            100..=107 => style.bg = Some(Colour::Indexed((*n - 92) as u8)),
            39 => style.fg = None,
            49 => style.bg = None,
            38 | 48 => {
                let part = |k: usize| numbers.get(i + k).map(|v| (*v).min(255) as u8);
                let (colour, used) = match (part(1), part(2), part(3), part(4)) {
                    (Some(5), Some(index), ..) => (Some(Colour::Indexed(index)), 2),
                    (Some(2), Some(r), Some(g), Some(b)) => (Some(Colour::Rgb(r, g, b)), 4),
                    _ => return style,
                };
                if *n == 38 {
                    style.fg = colour;
                } else {
                    style.bg = colour;
                }
                i += used;
            }
            _ => {}
        }
        i += 1;
    }
    style
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn harmless(text: &str) -> bool {
        text.chars().all(|c| !c.is_control() && !hidden(c))
    }

    #[test]
    fn colours_become_styles_and_the_rest_is_shown() {
        let pieces = sanitize("a\x1b[31;1mred\x1b[0m\x1b[2J\x1b]0;title\x07b");
        let texts: Vec<_> = pieces.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(texts, ["a", "red", "␛", "[2J", "␛", "]0;title", "␇", "b"]);
        assert_eq!(pieces[1].style.fg, Some(Colour::Indexed(1)));
        assert!(pieces[1].style.bold && !pieces[3].style.bold && pieces[2].escaped);
        assert_eq!(sanitize("\x1b[38;2;1;2;3mx")[0].style.fg, Some(Colour::Rgb(1, 2, 3)));
        assert_eq!(plain("a\tb"), "a       b");
        assert_eq!(plain("\u{9b}31m\u{202e}"), "<U+009B>31m<U+202E>");
    }

    proptest! {
        #[test]
        fn nothing_acts_on_a_terminal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = String::from_utf8_lossy(&bytes);
            let pieces = sanitize(&text);
            prop_assert!(pieces.iter().all(|p| harmless(&p.text)));
            for byte in plain(&text).bytes() {
                prop_assert!(byte >= 0x20 && byte != 0x7f);
            }
            prop_assert!(pieces.windows(2).all(|w| w[0].from.end <= w[1].from.start));
        }

        #[test]
        fn sequences_neither(text in "(\\PC|\x1b|\\[|[0-9;m]|\u{9b}|\r|\n){0,60}") {
            prop_assert!(sanitize(&text).iter().all(|p| harmless(&p.text)));
        }
    }
}
