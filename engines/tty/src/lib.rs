//! The vocabulary of terminals, shared by the engine that emulates them and by the screen that draws them: keys, mouse
//! events, colours, attributes and cells. Pure data: it owns no I/O, no clock and no state but the bounded interner of
//! grapheme clusters and hyperlinks.

mod cell;
mod input;
mod intern;

pub use cell::{Attrs, Cell, Color, CursorShape, Underline, same_cells};
pub use input::{Chord, ChordError, InputEvent, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind};
pub use intern::{LinkId, Sym, link_uri};

/// A size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// A size of `cols` × `rows` cells.
    #[must_use]
    pub const fn new(cols: u16, rows: u16) -> Self {
        Self { cols, rows }
    }

    /// The number of cells.
    #[must_use]
    pub const fn area(self) -> usize {
        self.cols as usize * self.rows as usize
    }
}

/// A rectangle of cells; `x`, `y` is the top left corner, 0-based.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Rect {
    /// Left column, 0-based.
    pub x: u16,
    /// Top row, 0-based.
    pub y: u16,
    /// Width in columns.
    pub w: u16,
    /// Height in rows.
    pub h: u16,
}

impl Rect {
    /// A rectangle at `x`, `y`, `w` columns wide and `h` rows high.
    #[must_use]
    pub const fn new(x: u16, y: u16, w: u16, h: u16) -> Self {
        Self { x, y, w, h }
    }

    /// The rectangle's size.
    #[must_use]
    pub const fn size(self) -> Size {
        Size::new(self.w, self.h)
    }

    /// The first column right of the rectangle.
    #[must_use]
    pub const fn right(self) -> u16 {
        self.x.saturating_add(self.w)
    }

    /// The first row below the rectangle.
    #[must_use]
    pub const fn bottom(self) -> u16 {
        self.y.saturating_add(self.h)
    }

    /// Whether the cell at `x`, `y` lies inside.
    #[must_use]
    pub const fn contains(self, x: u16, y: u16) -> bool {
        x >= self.x && x < self.right() && y >= self.y && y < self.bottom()
    }

    /// Whether it covers no cell.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.w == 0 || self.h == 0
    }

    /// The part that both rectangles cover; empty when they do not meet.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let w = self.right().min(other.right()).saturating_sub(x);
        let h = self.bottom().min(other.bottom()).saturating_sub(y);
        Self { x, y, w, h }
    }

    /// The rectangle without its outermost ring of cells.
    #[must_use]
    pub const fn shrink(self, by: u16) -> Self {
        Self {
            x: self.x.saturating_add(by),
            y: self.y.saturating_add(by),
            w: self.w.saturating_sub(2 * by),
            h: self.h.saturating_sub(2 * by),
        }
    }
}
