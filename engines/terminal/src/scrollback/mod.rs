//! Cold scrollback: lines that left the emulator's grid, packed as UTF-8 text with runs of styles, in blocks that are
//! recycled. It owns the lines' numbering and the budgets; it knows nothing of the emulator that the lines come from.
//!
//! What is stored are logical lines, in pieces of a bounded length; how they are cut into rows follows from the width,
//! so that another width costs a division for each piece and no text is moved. A *row* is what fits into the width; one
//! that is `wrapped` goes on in the next. The budget in lines counts pieces: a narrow screen costs no history, and a
//! line that never ends is as many lines as it has pieces.

mod block;
mod row;
mod save;
mod write;

use std::{cell::Cell, collections::VecDeque};

pub use self::save::{ClosedBlock, block_number, split_blocks};
use self::{
    block::{Block, NARROW, Walk},
    write::{PIECE_CELLS, Tail},
};
pub(crate) use self::{
    row::{RowView, Style, unsure_char},
    save::{NUMBER_MAX, seal_blocks},
    write::RowWriter,
};

/// The store.
#[derive(Debug)]
pub(crate) struct Scrollback {
    blocks: VecDeque<Block>,
    spare: Option<Block>,
    /// The number of the next block.
    next_block: u64,
    /// The width, in cells.
    cols: u32,
    /// The number of the first row kept.
    first: u64,
    /// The number after the last row kept.
    next: u64,
    /// Pieces kept.
    kept: usize,
    /// Bytes of all blocks but the last.
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
    /// No piece has more cells.
    widest: u32,
    tail: Tail,
    /// The rows of the last piece.
    tail_rows: u32,
    /// Pieces that are one line with the next, and were cut only because the width changed between them.
    seams: Vec<u64>,
    /// Where the last reading ended.
    near: Cell<Walk>,
}

impl Scrollback {
    pub(crate) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            spare: None,
            next_block: 0,
            cols: u32::from(u16::MAX),
            first: 0,
            next: 0,
            kept: 0,
            bytes: 0,
            max_lines,
            max_bytes,
            widest: 0,
            tail: Tail::new(0),
            tail_rows: 0,
            seams: Vec::new(),
            near: Cell::new(Walk::NOWHERE),
        }
    }

    pub(crate) fn set_limits(&mut self, max_lines: usize, max_bytes: usize) {
        self.max_lines = max_lines;
        self.max_bytes = max_bytes;
        self.evict();
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn memory(&self) -> usize {
        self.blocks.iter().chain(&self.spare).map(Block::memory).sum()
    }

    /// Forgets everything; `skip` more numbers are used up (rows that were never stored).
    pub(crate) fn clear(&mut self, skip: u64) {
        *self = Self {
            cols: self.cols,
            first: self.next + skip,
            next: self.next + skip,
            next_block: self.next_block,
            ..Self::new(self.max_lines, self.max_bytes)
        };
    }

    /// Closes the last block and begins another.
    fn next_block(&mut self) {
        let mut block = self.spare.take().unwrap_or_default();
        let piece = self.blocks.back().map_or(0, |b| b.piece + b.pieces.len() as u64);
        block.clear(self.next_block, self.next, piece);
        self.next_block += 1;
        self.bytes += self.blocks.back().map_or(0, Block::bytes);
        self.blocks.push_back(block);
    }

    #[inline]
    fn settle(&mut self) {
        if self.kept > self.max_lines || self.bytes > self.max_bytes {
            self.evict();
        }
    }

    fn evict(&mut self) {
        while self.kept > self.max_lines || self.bytes > self.max_bytes {
            let over_bytes = self.bytes > self.max_bytes;
            let several = self.blocks.len() > 1;
            let Some(front) = self.blocks.front_mut() else { break };
            if over_bytes && several {
                // Bytes come back only with a whole block.
                self.kept -= front.pieces.len() - front.gone;
                self.first = front.end();
                front.gone = front.pieces.len();
            } else if front.gone < front.pieces.len() {
                self.first = front.first + u64::from(front.pieces[front.gone].rows_end);
                front.gone += 1;
                self.kept -= 1;
            }
            if front.gone >= front.pieces.len()
                && let Some(block) = self.blocks.pop_front()
            {
                if self.blocks.is_empty() {
                    self.tail = Tail::new(0);
                    self.near.set(Walk::NOWHERE);
                    self.seams.clear();
                    self.bytes = 0;
                } else {
                    self.bytes = self.bytes.saturating_sub(block.bytes());
                }
                self.spare = Some(block);
            }
        }
    }

    /// Where a row is kept: its block, its piece in that, and which of the piece's rows it is.
    fn locate(&self, line: u64) -> Option<(usize, usize, u32)> {
        if line < self.first || line >= self.next {
            return None;
        }
        let b = self.blocks.partition_point(|b| b.end() <= line);
        let block = self.blocks.get(b)?;
        let at = u32::try_from(line.checked_sub(block.first)?).ok()?;
        let i = block.pieces.partition_point(|p| p.rows_end <= at);
        Some((b, i, at - block.rows_before(i)))
    }

    /// The row of a number.
    pub(crate) fn row(&self, line: u64) -> Option<RowView<'_>> {
        let (b, i, k) = self.locate(line)?;
        let mut near = self.near.get();
        let row = self.blocks.get(b)?.row(i, k, self.cols, &mut near);
        self.near.set(near);
        row
    }

    /// Whether the row of a number goes on in the next.
    pub(crate) fn wrapped(&self, line: u64) -> bool {
        let Some((b, i, k)) = self.locate(line) else {
            return false;
        };
        let Some((block, p)) = self.blocks.get(b).and_then(|b| Some((b, b.pieces.get(i)?))) else {
            return false;
        };
        p.open() || block.rows_before(i) + k + 1 < p.rows_end
    }

    /// The pieces from the one that has row `from` on, as they are kept: a copy of bytes, in which nothing is looked at.
    pub(crate) fn copy(&self, from: u64) -> Vec<Part> {
        let begin = self.blocks.partition_point(|b| b.end() <= from);
        let parts = self.blocks.iter().skip(begin).map(|b| {
            let at = u32::try_from(from.saturating_sub(b.first)).unwrap_or(u32::MAX);
            let i = b.gone.max(b.pieces.partition_point(|p| p.rows_end <= at));
            let (text, _) = b.begin(i);
            let mut row = b.rows_before(i);
            let pieces = b.pieces.iter().skip(i).map(|p| {
                let first = b.first + u64::from(std::mem::replace(&mut row, p.rows_end));
                PartPiece {
                    first,
                    text_end: p.text_end - text,
                    open: p.open(),
                }
            });
            Part {
                pieces: pieces.collect(),
                text: b.text.get(text as usize..).unwrap_or_default().into(),
            }
        });
        parts.collect()
    }

    /// Another width: all rows are numbered anew, beginning with the first one's number. The numbers in `lines` are
    /// changed to those of the rows where the same text is now; those after the last row stay so far behind it.
    pub(crate) fn rewrap(&mut self, cols: usize, lines: &mut [u64]) {
        let (old, new) = (self.cols, u32::try_from(cols).unwrap_or(u32::MAX >> 2).max(2));
        if old == new {
            return;
        }
        self.cols = new;
        self.near.set(Walk::NOWHERE);
        if self.seams.is_empty() && self.widest <= old.min(new) {
            return;
        }
        let mut marks: Vec<Mark> = Vec::with_capacity(lines.len());
        for (which, line) in lines.iter().enumerate() {
            if let Some((block, piece, k)) = self.locate((*line).max(self.first)) {
                let cell = self.blocks[block].row_start(piece, k, old);
                marks.push(Mark {
                    which,
                    block,
                    piece,
                    cell,
                });
            }
        }
        self.merge_seams(&mut marks);
        let old_next = self.next;
        let (mut at, mut number) = (self.first, None);
        for b in &mut self.blocks {
            b.first = at;
            b.piece = number.unwrap_or(b.piece);
            if b.stale || b.gone > 0 || b.widest > old.min(new) {
                b.recount(new);
            }
            at = b.end();
            number = Some(b.piece + b.pieces.len() as u64);
        }
        self.next = at;
        if let Some(b) = self.blocks.back()
            && let Some(p) = b.pieces.last()
        {
            let (row, start) = b.row_of(*p, u32::MAX, new);
            self.tail_rows = row + 1;
            self.tail.last = p.cells() - start;
        }
        for line in lines.iter_mut().filter(|l| **l >= old_next) {
            *line = *line - old_next + at;
        }
        for m in marks {
            let b = &self.blocks[m.block];
            let k = b.row_of(b.pieces[m.piece], m.cell, new).0;
            lines[m.which] = b.first + u64::from(b.rows_before(m.piece) + k);
        }
    }

    /// Joins the pieces of a line that came at different widths.
    fn merge_seams(&mut self, marks: &mut [Mark]) {
        let seams = std::mem::take(&mut self.seams);
        let last = self.blocks.len().saturating_sub(1);
        for seam in seams.into_iter().rev() {
            let block = self.blocks.partition_point(|b| b.piece + b.pieces.len() as u64 <= seam);
            let Some(b) = self.blocks.get_mut(block) else { continue };
            let Some(i) = seam.checked_sub(b.piece).and_then(|i| usize::try_from(i).ok()) else {
                continue;
            };
            let (Some(one), Some(two)) = (b.pieces.get(i), b.pieces.get(i + 1)) else {
                continue;
            };
            let cells = one.cells();
            if i < b.gone || !one.open() || cells + two.cells() > PIECE_CELLS {
                continue;
            }
            let before = b.bytes();
            b.merge(i);
            self.widest = self.widest.max(b.widest);
            self.kept -= 1;
            if block < last {
                b.number = self.next_block;
                b.handed = None;
                self.next_block += 1;
                self.bytes = (self.bytes + b.bytes()).saturating_sub(before);
            }
            for m in marks.iter_mut().filter(|m| m.block == block && m.piece > i) {
                m.piece -= 1;
                if m.piece == i {
                    m.cell += cells;
                }
            }
        }
        let Some(b) = self.blocks.back_mut().filter(|b| b.stale) else {
            return;
        };
        let Some(i) = b.pieces.len().checked_sub(1) else { return };
        // The last piece may have become longer, and its bits must be the last.
        if b.pieces[i].wide != NARROW {
            b.note_wide(i);
        }
        let (text, run) = b.begin(i);
        let p = b.pieces[i];
        self.tail = Tail {
            cells: p.cells(),
            covered: b.runs[run as usize..].iter().map(|r| u32::from(r.cells)).sum(),
            wide: p.wide,
            ascii: p.ascii(),
            open: p.open() && p.cells() < PIECE_CELLS,
            ..Tail::new(text as usize)
        };
    }
}

/// A copy of what a block keeps, without its styles.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) text: Box<[u8]>,
    pub(crate) pieces: Box<[PartPiece]>,
}

/// One piece of a [`Part`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartPiece {
    /// The number of its first row.
    pub(crate) first: u64,
    /// Where its text ends.
    pub(crate) text_end: u32,
    /// The line goes on in the next piece.
    pub(crate) open: bool,
}

/// A place that is to be found again at another width.
struct Mark {
    /// Which of the lines asked for.
    which: usize,
    block: usize,
    piece: usize,
    cell: u32,
}

#[cfg(test)]
mod tests;
