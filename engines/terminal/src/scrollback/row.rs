//! How a row of the cold scrollback is read: its text, its graphemes, its cells.

use qd_tty::{Attrs, Cell, Color, LinkId, Sym};
use unicode_width::UnicodeWidthChar;

/// How a run of cells looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) fg: Color,
    pub(crate) bg: Color,
    pub(crate) ul: Color,
    pub(crate) attrs: Attrs,
    pub(crate) link: LinkId,
}

impl Style {
    pub(crate) const DEFAULT: Self = Self {
        fg: Color::DEFAULT,
        bg: Color::DEFAULT,
        ul: Color::DEFAULT,
        attrs: Attrs::empty(),
        link: LinkId::NONE,
    };

    /// A cell of this style.
    pub(crate) const fn cell(self, sym: Sym) -> Cell {
        Cell {
            sym,
            fg: self.fg,
            bg: self.bg,
            ul: self.ul,
            attrs: self.attrs,
            link: self.link,
        }
    }
}

/// So many cells in a row look the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) cells: u16,
    pub(super) style: u16,
}

/// A row as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowView<'a> {
    pub(super) text: &'a [u8],
    /// Columns it takes.
    pub(super) cells: u32,
    pub(super) runs: &'a [Run],
    /// How much of the first run belongs to rows before this one.
    pub(super) skip: u16,
    pub(super) styles: &'a [Style],
    /// It goes on in the next row.
    pub(crate) wrapped: bool,
    pub(super) ascii: bool,
}

/// One grapheme of a row.
pub(crate) struct Glyph<'a> {
    pub(crate) text: &'a str,
    /// Columns, 1 or 2.
    pub(crate) width: u16,
}

/// The graphemes of a text as the emulator had them in its cells: a character and the zero-width ones after it.
pub(super) fn glyphs(text: &str) -> impl Iterator<Item = Glyph<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let mut chars = rest.char_indices();
        let (_, c) = chars.next()?;
        let width = if c.width() == Some(2) { 2 } else { 1 };
        let end = chars.find(|(_, c)| c.width() != Some(0)).map_or(rest.len(), |(i, _)| i);
        at += end;
        Some(Glyph {
            text: &rest[..end],
            width,
        })
    })
}

impl<'a> RowView<'a> {
    /// The row's text, as long as it was written.
    pub(crate) fn text(&self) -> &'a str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The row's graphemes.
    pub(crate) fn glyphs(&self) -> impl Iterator<Item = Glyph<'a>> {
        glyphs(self.text())
    }

    fn style_spans(&self) -> impl Iterator<Item = (u16, Style)> + use<'a> {
        let styles = self.styles;
        let (mut skip, mut left) = (self.skip, self.cells);
        self.runs.iter().map_while(move |r| {
            let n = u32::from(r.cells - skip.min(r.cells)).min(left);
            skip = 0;
            left -= n;
            let style = styles.get(usize::from(r.style)).copied().unwrap_or(Style::DEFAULT);
            (n > 0).then(|| (u16::try_from(n).unwrap_or(u16::MAX), style))
        })
    }

    /// Writes the row's cells; what it does not reach is blank.
    pub(crate) fn fill(&self, out: &mut [Cell]) {
        let mut x = 0;
        if self.ascii {
            for (b, cell) in self.text.iter().zip(out.iter_mut()) {
                *cell = Style::DEFAULT.cell(Sym::from_char(char::from(*b)));
                x += 1;
            }
        } else {
            for g in self.glyphs() {
                let Some(cell) = out.get_mut(x) else { break };
                *cell = Style::DEFAULT.cell(sym_of(g.text));
                if unsure(g.text) {
                    cell.attrs |= Attrs::UNSURE_WIDTH;
                }
                x += 1;
                if g.width == 2 {
                    match out.get_mut(x) {
                        Some(tail) => {
                            *tail = Style::DEFAULT.cell(Sym::SPACE);
                            tail.attrs = Attrs::WIDE_TAIL;
                            out[x - 1].attrs |= Attrs::WIDE;
                            x += 1;
                        }
                        None => {
                            out[x - 1] = Cell::BLANK;
                        }
                    }
                }
            }
        }
        if let Some(rest) = out.get_mut(x..) {
            rest.fill(Cell::BLANK);
        }
        let mut at = 0;
        for (cells, style) in self.style_spans() {
            let end = (at + usize::from(cells)).min(out.len());
            for cell in out.get_mut(at..end).unwrap_or_default() {
                cell.fg = style.fg;
                cell.bg = style.bg;
                cell.ul = style.ul;
                cell.attrs |= style.attrs;
                cell.link = style.link;
            }
            at = end;
        }
    }
}

/// The symbol of a grapheme as the emulator has it.
pub(crate) fn sym_of(text: &str) -> Sym {
    let mut it = text.chars();
    match (it.next(), it.next()) {
        (Some(c), None) => Sym::from_char(c),
        _ => Sym::from_cluster(text),
    }
}

/// Whether terminals disagree about the width of a grapheme.
pub(crate) fn unsure(text: &str) -> bool {
    text.chars().any(unsure_char)
}

/// Whether terminals disagree about the width of what this character makes or is part of.
pub(crate) const fn unsure_char(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{20e3}')
}
