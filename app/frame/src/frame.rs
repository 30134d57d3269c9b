//! The grid of cells that one screen is made of. It owns the cells and the cursor, clips everything that is drawn
//! outside of it, and keeps wide characters whole; it never knows what is on a terminal.

use qd_tty::{Attrs, Cell, Color, CursorShape, LinkId, Rect, Size, Sym};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::glyph;

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Style {
    /// Foreground.
    pub fg: Color,
    /// Background.
    pub bg: Color,
    /// Underline colour.
    pub ul: Color,
    /// Attributes; only those in [`Attrs::STYLE`] count.
    pub attrs: Attrs,
    /// Hyperlink.
    pub link: LinkId,
}

impl Style {
    /// A cell of this style with a narrow symbol in it.
    #[must_use]
    pub fn cell(self, sym: Sym) -> Cell {
        Cell {
            sym,
            fg: self.fg,
            bg: self.bg,
            ul: self.ul,
            attrs: self.attrs & Attrs::STYLE,
            link: self.link,
        }
    }

    /// The style of a cell.
    #[must_use]
    pub fn of(cell: &Cell) -> Self {
        Self {
            fg: cell.fg,
            bg: cell.bg,
            ul: cell.ul,
            attrs: cell.attrs & Attrs::STYLE,
            link: cell.link,
        }
    }
}

/// A screen: cells row by row, and the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    size: Size,
    cells: Vec<Cell>,
    cursor: Option<(u16, u16, CursorShape)>,
}

const WIDTH: Attrs = Attrs::WIDE.union(Attrs::WIDE_TAIL).union(Attrs::UNSURE_WIDTH);

/// The cell with nothing in it, in the same style.
fn emptied(c: Cell) -> Cell {
    Cell {
        sym: Sym::SPACE,
        attrs: c.attrs - WIDTH,
        ..c
    }
}

/// The right half that belongs to a wide head.
fn tail_of(head: Cell) -> Cell {
    Cell {
        sym: Sym::SPACE,
        attrs: (head.attrs - WIDTH) | Attrs::WIDE_TAIL,
        ..head
    }
}

/// Copies `from` to `to` with every wide symbol whole: halves without the other half become blanks, and a right half
/// has the style of its left one.
pub(crate) fn normalise(from: &[Cell], to: &mut Vec<Cell>) {
    to.clear();
    let mut it = from.iter().peekable();
    while let Some(c) = it.next() {
        if !c.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL) {
            to.push(*c);
        } else if c.attrs.contains(Attrs::WIDE)
            && !c.attrs.contains(Attrs::WIDE_TAIL)
            && it.next_if(|n| n.attrs.contains(Attrs::WIDE_TAIL)).is_some()
        {
            to.push(*c);
            to.push(tail_of(*c));
        } else {
            to.push(emptied(*c));
        }
    }
}

impl Frame {
    /// A blank frame without a cursor.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self {
            size,
            cells: vec![Cell::BLANK; size.area()],
            cursor: None,
        }
    }

    /// Its size.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The rectangle of the whole frame.
    #[must_use]
    pub const fn area(&self) -> Rect {
        Rect::new(0, 0, self.size.cols, self.size.rows)
    }

    /// Gives it another size; all cells become blank and the cursor goes.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        self.cells.resize(size.area(), Cell::BLANK);
        self.clear();
    }

    /// Makes all cells blank and takes the cursor away.
    pub fn clear(&mut self) {
        self.cells.fill(Cell::BLANK);
        self.cursor = None;
    }

    fn range(&self, y: u16) -> std::ops::Range<usize> {
        let n = usize::from(self.size.cols);
        if y >= self.size.rows {
            return 0..0;
        }
        let start = usize::from(y) * n;
        start..start + n
    }

    /// The cells of a row; empty below the last one.
    #[must_use]
    pub fn row(&self, y: u16) -> &[Cell] {
        self.cells.get(self.range(y)).unwrap_or_default()
    }

    /// The cells of a row, to be written directly. Who cuts a wide character this way leaves a half, which is drawn as
    /// a blank.
    pub fn row_mut(&mut self, y: u16) -> &mut [Cell] {
        let r = self.range(y);
        self.cells.get_mut(r).unwrap_or_default()
    }

    /// A cell.
    #[must_use]
    pub fn cell(&self, x: u16, y: u16) -> Option<&Cell> {
        self.row(y).get(usize::from(x))
    }

    /// Puts a cell in its place; a wide one takes the next column too, and becomes a blank in the last one. The other
    /// halves of wide characters it covers become blanks. Outside of the frame nothing happens.
    pub fn set(&mut self, x: u16, y: u16, cell: Cell) {
        let x = usize::from(x);
        let row = self.row_mut(y);
        if x >= row.len() {
            return;
        }
        cut(row, x);
        if cell.attrs.contains(Attrs::WIDE_TAIL) {
            put(row, x, emptied(cell));
        } else if !cell.attrs.contains(Attrs::WIDE) {
            put(row, x, cell);
        } else if x + 1 < row.len() {
            cut(row, x + 1);
            put(row, x, cell);
            put(row, x + 1, tail_of(cell));
        } else {
            put(row, x, emptied(cell));
        }
    }

    /// Writes text from `x`, `y` on, in at most `max_w` columns, and returns how many it took. Characters that would
    /// cross the end are left out, control characters and lone combining marks show as nothing.
    pub fn put_str(&mut self, x: u16, y: u16, max_w: u16, text: &str, style: Style) -> u16 {
        let end = x.saturating_add(max_w).min(self.size.cols);
        if y >= self.size.rows {
            return 0;
        }
        let mut at = x;
        for g in text.graphemes(true) {
            let mut chars = g.chars();
            let first = chars.next().unwrap_or(' ');
            let single = chars.next().is_none();
            if first.is_control() {
                continue;
            }
            let w = if single {
                first.width().unwrap_or(0)
            } else {
                g.width().min(2)
            };
            let w = w as u16;
            if w == 0 {
                continue;
            }
            if at.saturating_add(w) > end {
                break;
            }
            let mut cell = style.cell(if single {
                Sym::from_char(first)
            } else {
                Sym::from_cluster(g)
            });
            if w == 2 {
                cell.attrs |= Attrs::WIDE;
            }
            if !single && glyph::disputed(g, w) {
                cell.attrs |= Attrs::UNSURE_WIDTH;
            }
            self.set(at, y, cell);
            at += w;
        }
        at.saturating_sub(x)
    }

    /// Fills a rectangle with one narrow cell.
    pub fn fill(&mut self, rect: Rect, cell: Cell) {
        let r = rect.intersect(self.area());
        if r.is_empty() {
            return;
        }
        let cell = if cell.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL) {
            emptied(cell)
        } else {
            cell
        };
        for y in r.y..r.bottom() {
            let row = self.row_mut(y);
            cut(row, usize::from(r.x));
            cut(row, usize::from(r.right()) - 1);
            if let Some(s) = row.get_mut(usize::from(r.x)..usize::from(r.right())) {
                s.fill(cell);
            }
        }
    }

    /// Changes every cell of a rectangle.
    pub fn restyle(&mut self, rect: Rect, change: impl Fn(&mut Cell)) {
        let r = rect.intersect(self.area());
        for y in r.y..r.bottom() {
            let row = self.row_mut(y);
            if let Some(s) = row.get_mut(usize::from(r.x)..usize::from(r.right())) {
                s.iter_mut().for_each(&change);
            }
        }
    }

    /// The cursor's column, row and shape; `None` where it is hidden.
    #[must_use]
    pub const fn cursor(&self) -> Option<(u16, u16, CursorShape)> {
        self.cursor
    }

    /// Places or hides the cursor. A place outside of the frame hides it.
    pub fn set_cursor(&mut self, cursor: Option<(u16, u16, CursorShape)>) {
        self.cursor = cursor.filter(|(x, y, _)| *x < self.size.cols && *y < self.size.rows);
    }

    /// The text of a row, without the blanks at its end.
    #[must_use]
    pub fn text(&self, y: u16) -> String {
        let mut s = String::new();
        for c in self.row(y) {
            if !c.attrs.contains(Attrs::WIDE_TAIL) {
                c.sym.push_to(&mut s);
            }
        }
        s.truncate(s.trim_end_matches(' ').len());
        s
    }

    /// The text of all rows, each ended by a newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut s = String::new();
        for y in 0..self.size.rows {
            s.push_str(&self.text(y));
            s.push('\n');
        }
        s
    }
}

fn put(row: &mut [Cell], x: usize, cell: Cell) {
    if let Some(c) = row.get_mut(x) {
        *c = cell;
    }
}

/// Blanks the other half of the wide character that has a half at `x`.
fn cut(row: &mut [Cell], x: usize) {
    let Some(c) = row.get(x).copied() else { return };
    let other = if c.attrs.contains(Attrs::WIDE) {
        x + 1
    } else if c.attrs.contains(Attrs::WIDE_TAIL) && x > 0 {
        x - 1
    } else {
        return;
    };
    if let Some(o) = row.get_mut(other)
        && o.attrs.intersects(Attrs::WIDE | Attrs::WIDE_TAIL)
    {
        *o = emptied(*o);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_are_cut_whole() {
        let mut f = Frame::new(Size::new(8, 1));
        assert_eq!(f.put_str(0, 0, 8, "a漢字b", Style::default()), 6);
        assert_eq!(f.text(0), "a漢字b");
        f.put_str(2, 0, 1, "x", Style::default());
        assert_eq!(f.text(0), "a x字b");
        f.set(3, 0, Style::default().cell(Sym::from_char('y')));
        assert_eq!(f.text(0), "a xy b");
        assert_eq!(f.put_str(6, 0, 8, "漢漢", Style::default()), 2);
        assert_eq!(f.put_str(7, 0, 8, "漢", Style::default()), 0);
        f.fill(Rect::new(7, 0, 9, 9), Cell::BLANK);
        assert_eq!(f.text(0), "a xy b");
    }

    #[test]
    fn text_is_clipped_and_control_characters_vanish() {
        let mut f = Frame::new(Size::new(5, 2));
        assert_eq!(f.put_str(0, 0, 3, "a\x1b[31mbcd", Style::default()), 3);
        assert_eq!(f.text(0), "a[3");
        assert_eq!(f.put_str(4, 1, 9, "xyz", Style::default()), 1);
        assert_eq!(f.put_str(4, 9, 9, "xyz", Style::default()), 0);
        assert_eq!(f.put_str(70, 0, 9, "xyz", Style::default()), 0);
        assert_eq!(f.to_text(), "a[3\n    x\n");
        f.put_str(0, 1, 5, "e\u{301}\u{200b}❤\u{fe0f}", Style::default());
        assert!(!f.cell(0, 1).unwrap().attrs.contains(Attrs::UNSURE_WIDTH));
        assert!(f.row(1)[1..].iter().any(|c| c.attrs.contains(Attrs::UNSURE_WIDTH)));
        f.set_cursor(Some((5, 0, CursorShape::Default)));
        assert_eq!(f.cursor(), None);
    }

    #[test]
    fn normalising_mends_halves() {
        let mut f = Frame::new(Size::new(4, 1));
        f.put_str(0, 0, 4, "漢字", Style::default());
        let r = f.row_mut(0);
        r[1] = Cell::BLANK;
        let mut out = Vec::new();
        normalise(&r[..3], &mut out);
        assert_eq!(out, vec![Cell::BLANK; 3].into_iter().collect::<Vec<_>>());
    }
}
