//! From the emulator's cells to the house's, and to packed scrollback rows. Pure functions. Both ways see a row in the
//! same light: half of a wide character is a blank, a tab is a blank, and a row ends after its last cell that shows.

use alacritty_terminal::{
    term::cell::{Cell as Src, Flags},
    vte::ansi::{Color as SrcColor, NamedColor},
};
use qd_tty::{Attrs, Cell, Color, LinkId, Sym, Underline};

use crate::scrollback::{RowWriter, Scrollback, Style, unsure_char};

pub(super) const DEFAULT_FG: SrcColor = SrcColor::Named(NamedColor::Foreground);
pub(super) const DEFAULT_BG: SrcColor = SrcColor::Named(NamedColor::Background);

/// Flags that change how a blank looks, or what it means.
const SHOWS: Flags = Flags::INVERSE
    .union(Flags::ALL_UNDERLINES)
    .union(Flags::STRIKEOUT)
    .union(Flags::WIDE_CHAR)
    .union(Flags::WIDE_CHAR_SPACER);

/// A colour; the named ones that are not of the sixteen mean the default.
#[inline]
pub(super) fn color(c: SrcColor) -> Color {
    match c {
        SrcColor::Named(n) => {
            let n = n as usize;
            if n < 16 {
                Color::indexed(n as u8)
            } else {
                Color::DEFAULT
            }
        }
        SrcColor::Spec(rgb) => Color::rgb(rgb.r, rgb.g, rgb.b),
        SrcColor::Indexed(i) => Color::indexed(i),
    }
}

fn attrs(f: Flags) -> Attrs {
    if f.is_empty() {
        return Attrs::empty();
    }
    let mut a = Attrs::empty();
    for (flag, attr) in [
        (Flags::BOLD, Attrs::BOLD),
        (Flags::DIM, Attrs::DIM),
        (Flags::ITALIC, Attrs::ITALIC),
        (Flags::INVERSE, Attrs::REVERSE),
        (Flags::HIDDEN, Attrs::HIDDEN),
        (Flags::STRIKEOUT, Attrs::STRIKE),
    ] {
        if f.contains(flag) {
            a |= attr;
        }
    }
    if f.intersects(Flags::ALL_UNDERLINES) {
        let kind = if f.contains(Flags::DOUBLE_UNDERLINE) {
            Underline::Double
        } else if f.contains(Flags::UNDERCURL) {
            Underline::Curly
        } else if f.contains(Flags::DOTTED_UNDERLINE) {
            Underline::Dotted
        } else if f.contains(Flags::DASHED_UNDERLINE) {
            Underline::Dashed
        } else {
            Underline::Single
        };
        a = a.with_underline(kind);
    }
    a
}

#[inline]
fn style(c: &Src) -> Style {
    let mut s = Style {
        fg: color(c.fg),
        bg: color(c.bg),
        ul: Color::DEFAULT,
        attrs: attrs(c.flags),
        link: LinkId::NONE,
    };
    if c.extra.is_some() {
        s.ul = c.underline_color().map_or(Color::DEFAULT, color);
        if let Some(link) = c.hyperlink() {
            s.link = LinkId::from_uri(link.uri());
        }
    }
    s
}

/// Whether the cell is one that was never written, or written as such.
#[inline]
fn blank(c: &Src) -> bool {
    (c.c == ' ' || c.c == '\t') && c.extra.is_none() && !c.flags.intersects(SHOWS) && c.bg == DEFAULT_BG
}

/// How many cells of a row there are up to the last that shows; `hint` is known to be enough.
#[inline]
pub(super) fn used(cells: &[Src], hint: usize) -> usize {
    let cells = cells.get(..hint).unwrap_or(cells);
    cells.iter().rposition(|c| !blank(c)).map_or(0, |i| i + 1)
}

/// Whether the row goes on in the next.
#[inline]
pub(super) fn wraps(cells: &[Src]) -> bool {
    cells.last().is_some_and(|c| c.flags.contains(Flags::WRAPLINE))
}

/// The text of a cell: its character and what is attached to it.
fn text<'a>(c: &Src, buf: &'a mut String) -> &'a str {
    buf.clear();
    buf.push(if c.c.is_control() { ' ' } else { c.c });
    for z in c.zerowidth().unwrap_or_default() {
        buf.push(*z);
    }
    buf
}

/// What a place in a row is.
enum Kind {
    Narrow,
    Wide,
    /// Half of a wide character whose other half is gone, or the gap before one that did not fit.
    Broken,
    Gap,
}

fn kind(cells: &[Src], i: usize) -> Kind {
    let f = cells[i].flags;
    if f.contains(Flags::WIDE_CHAR) {
        let next = cells
            .get(i + 1)
            .is_some_and(|n| n.flags.contains(Flags::WIDE_CHAR_SPACER));
        if next { Kind::Wide } else { Kind::Broken }
    } else if f.contains(Flags::WIDE_CHAR_SPACER) {
        Kind::Broken
    } else if f.contains(Flags::LEADING_WIDE_CHAR_SPACER) && i + 1 == cells.len() && cells[i].c == ' ' {
        Kind::Gap
    } else {
        Kind::Narrow
    }
}

/// Writes a row as the house's cells.
pub(super) fn convert(cells: &[Src], out: &mut [Cell]) {
    let n = cells.len().min(out.len());
    let mut buf = String::new();
    let mut i = 0;
    while i < n {
        let src = &cells[i];
        if src.flags.is_empty() && src.extra.is_none() {
            out[i] = Cell {
                sym: if src.c == '\t' {
                    Sym::SPACE
                } else {
                    Sym::from_char(src.c)
                },
                fg: color(src.fg),
                bg: color(src.bg),
                ..Cell::BLANK
            };
            if src.c >= '\u{1f1e6}' && unsure_char(src.c) {
                out[i].attrs = Attrs::UNSURE_WIDTH;
            }
            i += 1;
            continue;
        }
        let s = style(src);
        match kind(cells, i) {
            Kind::Broken => out[i] = s.cell(Sym::SPACE),
            // Nothing was ever written there, and nothing of it is kept once the row is packed.
            Kind::Gap => out[i] = Cell::BLANK,
            k => {
                let wide = matches!(k, Kind::Wide);
                if wide && i + 1 >= n {
                    out[i] = s.cell(Sym::SPACE);
                    break;
                }
                let zero = src.zerowidth().unwrap_or_default();
                let c = if src.c.is_control() { ' ' } else { src.c };
                let sym = if zero.is_empty() {
                    Sym::from_char(c)
                } else {
                    Sym::from_cluster(text(src, &mut buf))
                };
                out[i] = s.cell(sym);
                if unsure_char(c) || zero.iter().any(|z| unsure_char(*z)) {
                    out[i].attrs |= Attrs::UNSURE_WIDTH;
                }
                if wide {
                    out[i].attrs |= Attrs::WIDE;
                    out[i + 1] = s.cell(Sym::SPACE);
                    out[i + 1].attrs |= Attrs::WIDE_TAIL;
                    i += 1;
                }
            }
        }
        i += 1;
    }
    if let Some(rest) = out.get_mut(cells.len()..) {
        rest.fill(Cell::BLANK);
    }
}

/// What is known of a row without looking at its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint(pub(super) u16);

impl Hint {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self(u16::MAX);
    /// All its cells are blanks in the default style.
    pub(super) const BLANK: Self = Self(Self::PLAIN);
    const PLAIN: u16 = 0x8000;

    /// Text was written up to column `end`.
    #[inline]
    pub(super) fn written(&mut self, end: usize, default_style: bool) {
        if *self == Self::UNKNOWN {
            return;
        }
        let width = (self.0 & !Self::PLAIN).max(u16::try_from(end).unwrap_or(u16::MAX));
        let plain = if default_style { self.0 & Self::PLAIN } else { 0 };
        *self = if width >= Self::PLAIN - 1 {
            Self::UNKNOWN
        } else {
            Self(width | plain)
        };
    }

    /// Whether it is true of a row.
    pub(super) fn holds(self, cells: &[Src]) -> bool {
        let n = self.width().min(cells.len());
        (!self.plain() || cells[..n].iter().all(is_plain)) && cells[n..].iter().all(blank)
    }

    /// How many cells there are before none but blanks follow.
    pub(super) fn width(self) -> usize {
        if self == Self::UNKNOWN {
            usize::MAX
        } else {
            usize::from(self.0 & !Self::PLAIN)
        }
    }

    /// Whether all cells up to there are printable ASCII in the default style.
    pub(super) fn plain(self) -> bool {
        self != Self::UNKNOWN && self.0 & Self::PLAIN != 0
    }
}

/// Packs a row into the scrollback.
pub(super) fn pack(cells: &[Src], hint: Hint, store: &mut Scrollback) {
    let wrapped = hint.width() >= cells.len() && wraps(cells);
    let mut w = store.push();
    if hint.plain() {
        let cells = cells.get(..hint.width()).unwrap_or(cells);
        let len = if wrapped {
            cells.len()
        } else {
            cells.iter().rposition(|c| c.c != ' ').map_or(0, |i| i + 1)
        };
        if let Some(buf) = w.buffer() {
            buf.extend(cells[..len].iter().map(|c| c.c as u8));
            w.ascii(len);
        }
    } else {
        let len = if wrapped {
            cells.len()
        } else {
            used(cells, hint.width())
        };
        let plain = pack_plain(&cells[..len], &mut w);
        if plain < len {
            pack_rest(cells, plain, len, &mut w);
        }
    }
    w.finish(wrapped);
}

/// Whether text written with this cell as its template is in the default style.
#[inline]
pub(super) fn default_style(c: &Src) -> bool {
    c.fg == DEFAULT_FG && c.bg == DEFAULT_BG && c.flags.is_empty() && c.extra.is_none()
}

/// Packs the plain ASCII at the start; the number of cells taken.
#[inline]
fn pack_plain(cells: &[Src], w: &mut RowWriter<'_>) -> usize {
    let Some(buf) = w.buffer() else { return 0 };
    let before = buf.len();
    // By the chunk, without a branch for each cell.
    for chunk in cells.chunks(CHUNK) {
        let mut bytes = [0; CHUNK];
        let mut plain = true;
        for (c, b) in chunk.iter().zip(&mut bytes) {
            plain &= is_plain(c);
            *b = c.c as u8;
        }
        let n = if plain {
            chunk.len()
        } else {
            chunk.iter().take_while(|c| is_plain(c)).count()
        };
        buf.extend_from_slice(&bytes[..n]);
        if !plain {
            break;
        }
    }
    let n = buf.len() - before;
    w.ascii(n);
    n
}

const CHUNK: usize = 16;

/// Printable ASCII in the default style.
#[inline]
fn is_plain(c: &Src) -> bool {
    ((c.c as u32).wrapping_sub(0x20) < 0x5f)
        & (c.fg == DEFAULT_FG)
        & (c.bg == DEFAULT_BG)
        & c.flags.difference(Flags::WRAPLINE).is_empty()
        & c.extra.is_none()
}

fn pack_rest(cells: &[Src], from: usize, to: usize, w: &mut RowWriter<'_>) {
    let mut buf = String::new();
    let mut i = from;
    let mut last: Option<(SrcColor, SrcColor, Flags, Style)> = None;
    while i < to {
        let c = &cells[i];
        let look = c.flags.difference(Flags::WRAPLINE);
        // Neighbours mostly look the same.
        let s = match last {
            Some((fg, bg, flags, s)) if c.extra.is_none() && fg == c.fg && bg == c.bg && flags == look => s,
            _ => {
                let s = style(c);
                last = c.extra.is_none().then_some((c.fg, c.bg, look, s));
                s
            }
        };
        match kind(cells, i) {
            Kind::Gap => {}
            Kind::Broken => w.glyph(" ", 1, s),
            Kind::Narrow => w.glyph(text(c, &mut buf), 1, s),
            Kind::Wide => {
                w.glyph(text(c, &mut buf), 2, s);
                i += 1;
            }
        }
        i += 1;
    }
}

/// Appends the text of columns `from..to` of a row; the column where each byte stands goes to `cols`, when given.
pub(super) fn push_text(cells: &[Src], from: usize, to: usize, out: &mut String, mut cols: Option<&mut Vec<u16>>) {
    let mut buf = String::new();
    let mut i = 0;
    let to = to.min(cells.len());
    while i < to {
        let (t, width) = match kind(cells, i) {
            Kind::Gap => ("", 1),
            Kind::Broken => (" ", 1),
            Kind::Narrow => (text(&cells[i], &mut buf), 1),
            Kind::Wide => (text(&cells[i], &mut buf), 2),
        };
        if i + width > from {
            out.push_str(t);
            if let Some(cols) = cols.as_deref_mut() {
                cols.resize(cols.len() + t.len(), u16::try_from(i).unwrap_or(u16::MAX));
            }
        }
        i += width;
    }
}
