//! How rows get into the cold scrollback: a row that goes on where the last one was cut becomes one piece with it.

use super::{
    Scrollback,
    block::{Block, NARROW, PIECES_MAX, Piece, Walk},
    row::{Run, Style},
};

/// A piece that has so many cells takes no further row…
pub(super) const PIECE_CELLS: u32 = 8192;
/// …nor one with so many bytes of text.
const PIECE_TEXT: u32 = 32 * 1024;
/// So many places are remembered where a logical line was cut between two widths.
const SEAMS_MAX: usize = 64;

/// The last piece, while rows may be added to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    /// It goes on, and may become longer.
    pub(super) open: bool,
    /// Its cells.
    pub(super) cells: u32,
    /// How many of them its runs cover.
    pub(super) covered: u32,
    /// The cells of its last row.
    pub(super) last: u32,
    /// Where its bits for wide characters begin, or [`NARROW`].
    pub(super) wide: u32,
    pub(super) ascii: bool,
    /// Where its text begins in the block.
    pub(super) text: usize,
}

impl Tail {
    pub(super) const fn new(text: usize) -> Self {
        Self {
            open: false,
            cells: 0,
            covered: 0,
            last: 0,
            wide: NARROW,
            ascii: true,
            text,
        }
    }
}

/// Whether more rows may be added to piece `i` of a block, which has so many cells and bytes of text.
pub(super) fn may_grow(cells: u32, text: u32, i: usize) -> bool {
    cells < PIECE_CELLS && text < PIECE_TEXT && i + 2 < PIECES_MAX
}

/// Whether a row belongs to the piece before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Yes,
    No,
    /// When it begins with a wide character: the row before has one column left, where that did not fit.
    IfWide,
}

/// Writes one row into the store.
pub(crate) struct RowWriter<'a> {
    store: &'a mut Scrollback,
    tail: Tail,
    join: Join,
    /// Where the row's text begins.
    text: usize,
    cells: u32,
    styled: bool,
    run: Run,
    run_style: Style,
}

impl Scrollback {
    /// Begins a row. Its parts are pushed, then it is [`RowWriter::finish`]ed.
    #[inline]
    pub(crate) fn push(&mut self) -> RowWriter<'_> {
        let join = if !self.tail.open {
            Join::No
        } else if self.tail.last == self.cols {
            Join::Yes
        } else if self.tail.last + 1 == self.cols {
            Join::IfWide
        } else {
            Join::No
        };
        if join == Join::No {
            if self.tail.open {
                self.note_seam();
            }
            if self.blocks.back().is_none_or(Block::full) {
                self.next_block();
            }
        }
        let text = self.blocks.back().map_or(0, |b| b.text.len());
        let tail = if join == Join::No { Tail::new(text) } else { self.tail };
        RowWriter {
            store: self,
            tail,
            join,
            text,
            cells: 0,
            styled: false,
            run: Run { cells: 0, style: 0 },
            run_style: Style::DEFAULT,
        }
    }

    /// Remembers that the last piece and the next are one line, for when the width changes.
    #[cold]
    fn note_seam(&mut self) {
        if self.seams.len() < SEAMS_MAX
            && let Some(b) = self.blocks.back()
        {
            self.seams.push(b.piece + b.pieces.len() as u64 - 1);
        }
    }
}

impl RowWriter<'_> {
    /// Where the row's text goes: only for text that is pushed with [`RowWriter::ascii`] beside it.
    #[inline]
    pub(crate) fn buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.store.blocks.back_mut().map(|b| &mut b.text)
    }

    /// Says what the row begins with, which may decide where it belongs.
    #[inline]
    fn begins(&mut self, wide: bool) {
        if self.join == Join::IfWide {
            self.join = if wide { Join::Yes } else { Join::No };
            if !wide {
                self.store.note_seam();
                self.tail = Tail::new(self.text);
            }
        }
    }

    /// Counts `n` bytes of printable ASCII in the default style that were put in the buffer.
    #[inline]
    pub(crate) fn ascii(&mut self, n: usize) {
        if n > 0 {
            self.begins(false);
        }
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        self.cells += n;
        if self.styled {
            self.extend_run(n, Style::DEFAULT);
        }
    }

    /// Adds a grapheme.
    pub(crate) fn glyph(&mut self, text: &str, width: u16, style: Style) {
        self.begins(width == 2);
        let cell = self.tail.cells + self.cells;
        if let Some(b) = self.store.blocks.back_mut() {
            b.text.extend_from_slice(text.as_bytes());
            if width == 2 {
                if self.tail.wide == NARROW {
                    self.tail.wide = u32::try_from(b.wide.len()).unwrap_or(NARROW - 1);
                }
                b.set_wide(self.tail.wide, cell);
            }
        }
        self.tail.ascii &= text.len() == 1;
        if !self.styled && style != Style::DEFAULT {
            self.styled = true;
            self.extend_run(cell - self.tail.covered, Style::DEFAULT);
        }
        self.cells += u32::from(width);
        if self.styled {
            self.extend_run(u32::from(width), style);
        }
    }

    fn extend_run(&mut self, mut n: u32, style: Style) {
        while n > 0 {
            if self.run.cells > 0 && (self.run_style != style || self.run.cells == u16::MAX) {
                self.flush_run();
            }
            self.run_style = style;
            let part = u16::try_from(n).unwrap_or(u16::MAX).min(u16::MAX - self.run.cells);
            self.run.cells += part;
            n -= u32::from(part);
        }
    }

    fn flush_run(&mut self) {
        if self.run.cells == 0 {
            return;
        }
        if let Some(b) = self.store.blocks.back_mut() {
            let style = b.style(self.run_style);
            b.runs.push(Run {
                cells: self.run.cells,
                style,
            });
        }
        self.tail.covered += u32::from(self.run.cells);
        self.run.cells = 0;
    }

    /// Ends the row.
    #[inline]
    pub(crate) fn finish(mut self, wrapped: bool) {
        self.begins(false);
        if self.cells == 0 && self.join == Join::Yes {
            // A row without cells is one only by itself.
            self.join = Join::IfWide;
            self.begins(false);
        }
        // A default run at the end says nothing.
        if self.styled && self.run_style != Style::DEFAULT {
            self.flush_run();
        }
        let store = self.store;
        let mut tail = self.tail;
        tail.cells += self.cells;
        tail.last = self.cells;
        let Some(b) = store.blocks.back_mut() else { return };
        let joins = self.join == Join::Yes && b.pieces.pop().is_some();
        let text = u32::try_from(b.text.len() - tail.text.min(b.text.len())).unwrap_or(u32::MAX);
        tail.open = wrapped && may_grow(tail.cells, text, b.pieces.len());
        if tail.wide != NARROW {
            let words = (tail.wide + tail.cells.div_ceil(64)) as usize;
            if b.wide.len() < words {
                b.wide.resize(words, 0);
            }
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut piece = Piece::new(
            number(b.text.len()),
            number(b.runs.len()),
            tail.wide,
            tail.cells,
            wrapped,
            tail.ascii,
        );
        let before = b.rows_before(b.pieces.len());
        let mut old = 0;
        if joins {
            old = store.tail_rows;
            store.near.set(Walk::NOWHERE);
        }
        let rows = if self.cells <= store.cols {
            old + 1
        } else {
            b.count(piece, store.cols)
        };
        piece.rows_end = before + rows;
        b.pieces.push(piece);
        b.widest = b.widest.max(tail.cells);
        store.widest = store.widest.max(tail.cells);
        store.next += u64::from(rows - old);
        store.tail_rows = rows;
        store.kept += usize::from(!joins);
        store.tail = tail;
        store.settle();
    }
}
