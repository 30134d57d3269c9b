//! A block of the cold scrollback: pieces of logical lines, one after the other, and where their rows begin at the
//! present width. It knows nothing of budgets, and of numbers only its own first.

use super::row::{RowView, Run, Style, glyphs};

/// A block is closed when it has this many bytes of text…
const BLOCK_TEXT: usize = 48 * 1024;
/// …or this many pieces.
const BLOCK_PIECES: usize = 1024;
/// It never has more: a row may turn out to begin a piece when it is too late for another block.
pub(super) const PIECES_MAX: usize = 2 * BLOCK_PIECES;
/// …or so many runs, or so many styles: what is open is written into every checkpoint.
const BLOCK_RUNS: usize = 8192;
const BLOCK_STYLES: usize = 2048;

const OPEN: u32 = 1 << 31;
const ASCII: u32 = 1 << 30;
const CELLS: u32 = ASCII - 1;
/// The piece has no wide characters.
pub(super) const NARROW: u32 = u32::MAX;

/// A logical line, or a part of one that is too long to be kept in one part. How it is cut into rows follows from the
/// width alone, and is not stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Where its text ends in the block.
    pub(super) text_end: u32,
    /// Where its runs end. They may cover less than the cells: the rest is in the default style.
    pub(super) run_end: u32,
    /// How many rows the block has up to its end.
    pub(super) rows_end: u32,
    /// Where its bits begin that say in which cells wide characters begin, or [`NARROW`].
    pub(super) wide: u32,
    /// Its cells, and the flags.
    bits: u32,
}

impl Piece {
    pub(super) fn new(text_end: u32, run_end: u32, wide: u32, cells: u32, open: bool, ascii: bool) -> Self {
        let open = if open { OPEN } else { 0 };
        let ascii = if ascii { ASCII } else { 0 };
        Self {
            text_end,
            run_end,
            rows_end: 0,
            wide,
            bits: cells.min(CELLS) | open | ascii,
        }
    }

    pub(super) const fn cells(self) -> u32 {
        self.bits & CELLS
    }

    /// Whether the logical line goes on in the next piece.
    pub(super) const fn open(self) -> bool {
        self.bits & OPEN != 0
    }

    pub(super) const fn ascii(self) -> bool {
        self.bits & ASCII != 0
    }
}

/// A place in a block: where a row of a piece begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// The number of the piece, counted from the first ever.
    pub(super) piece: u64,
    row: u32,
    cell: u32,
    text: u32,
    run: u32,
    skip: u16,
}

impl Walk {
    /// A place that no piece has.
    pub(super) const NOWHERE: Self = Self {
        piece: u64::MAX,
        row: 0,
        cell: 0,
        text: 0,
        run: 0,
        skip: 0,
    };
}

#[derive(Debug, Default)]
pub(super) struct Block {
    /// What it is called outside; another one when it is changed after it was closed.
    pub(super) number: u64,
    /// The checksum of what was handed out of it, once it is closed and was handed out.
    pub(super) handed: Option<u32>,
    /// The number of its first row that is kept, as long as no piece is gone.
    pub(super) first: u64,
    /// The number of its first piece, counted from the first ever.
    pub(super) piece: u64,
    /// How many pieces at its front are gone.
    pub(super) gone: usize,
    /// The rows have to be counted anew.
    pub(super) stale: bool,
    /// The cells of its longest piece.
    pub(super) widest: u32,
    pub(super) text: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
    pub(super) runs: Vec<Run>,
    pub(super) styles: Vec<Style>,
    pub(super) wide: Vec<u64>,
}

impl Block {
    pub(super) fn clear(&mut self, number: u64, first: u64, piece: u64) {
        self.number = number;
        self.handed = None;
        self.first = first;
        self.piece = piece;
        self.gone = 0;
        self.stale = false;
        self.widest = 0;
        self.text.clear();
        self.pieces.clear();
        self.runs.clear();
        self.styles.clear();
        self.wide.clear();
    }

    pub(super) fn full(&self) -> bool {
        self.text.len() >= BLOCK_TEXT
            || self.pieces.len() >= BLOCK_PIECES
            || self.runs.len() >= BLOCK_RUNS
            || self.styles.len() >= BLOCK_STYLES
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
            + self.pieces.len() * size_of::<Piece>()
            + self.runs.len() * size_of::<Run>()
            + self.styles.len() * size_of::<Style>()
            + self.wide.len() * size_of::<u64>()
    }

    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
            + self.pieces.capacity() * size_of::<Piece>()
            + self.runs.capacity() * size_of::<Run>()
            + self.styles.capacity() * size_of::<Style>()
            + self.wide.capacity() * size_of::<u64>()
    }

    /// How many rows it has.
    pub(super) fn rows(&self) -> u32 {
        self.pieces.last().map_or(0, |p| p.rows_end)
    }

    /// The number after its last row.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.rows())
    }

    /// How many rows there are before a piece.
    pub(super) fn rows_before(&self, i: usize) -> u32 {
        i.checked_sub(1)
            .and_then(|j| self.pieces.get(j))
            .map_or(0, |p| p.rows_end)
    }

    pub(super) fn style(&mut self, s: Style) -> u16 {
        // Programs use few styles at a time: the newest are looked at first, and not many of them.
        let from = self.styles.len().saturating_sub(16);
        if let Some(i) = self.styles[from..].iter().rposition(|x| *x == s) {
            return u16::try_from(from + i).unwrap_or(0);
        }
        self.styles.push(s);
        u16::try_from(self.styles.len() - 1).unwrap_or(0)
    }

    /// Notes that a wide character begins in a cell of the piece whose bits begin at `from`, the block's last.
    pub(super) fn set_wide(&mut self, from: u32, cell: u32) {
        let word = (from + cell / 64) as usize;
        if self.wide.len() <= word {
            self.wide.resize(word + 1, 0);
        }
        self.wide[word] |= 1 << (cell % 64);
    }

    fn is_wide(&self, p: Piece, cell: u32) -> bool {
        let word = self.wide.get((p.wide + cell / 64) as usize).copied().unwrap_or(0);
        word >> (cell % 64) & 1 != 0
    }

    /// Where the row ends that begins at a cell of a piece. A wide character is not cut in two.
    fn row_end(&self, p: Piece, cell: u32, cols: u32) -> u32 {
        let end = cell + cols;
        if end >= p.cells() {
            p.cells()
        } else if p.wide != NARROW && self.is_wide(p, end - 1) {
            end - 1
        } else {
            end
        }
    }

    /// The row of a piece that a cell is in, and where it begins.
    pub(super) fn row_of(&self, p: Piece, cell: u32, cols: u32) -> (u32, u32) {
        let cell = cell.min(p.cells().saturating_sub(1));
        if p.wide == NARROW {
            return (cell / cols, cell / cols * cols);
        }
        let (mut row, mut at) = (0, 0);
        loop {
            let end = self.row_end(p, at, cols);
            if cell < end || end >= p.cells() {
                return (row, at);
            }
            at = end;
            row += 1;
        }
    }

    /// The cell where row `k` of a piece begins.
    pub(super) fn row_start(&self, i: usize, k: u32, cols: u32) -> u32 {
        let Some(&p) = self.pieces.get(i) else { return 0 };
        if p.wide == NARROW {
            return k.saturating_mul(cols);
        }
        (0..k).fold(0, |cell, _| self.row_end(p, cell, cols))
    }

    /// How many rows a piece makes.
    pub(super) fn count(&self, p: Piece, cols: u32) -> u32 {
        self.row_of(p, u32::MAX, cols).0 + 1
    }

    /// Counts all rows anew.
    pub(super) fn recount(&mut self, cols: u32) {
        let mut rows = 0;
        for i in 0..self.pieces.len() {
            if i >= self.gone {
                rows += self.count(self.pieces[i], cols);
            }
            self.pieces[i].rows_end = rows;
        }
        self.stale = false;
    }

    /// Where the text and the runs of a piece begin.
    pub(super) fn begin(&self, i: usize) -> (u32, u32) {
        i.checked_sub(1)
            .and_then(|j| self.pieces.get(j))
            .map_or((0, 0), |p| (p.text_end, p.run_end))
    }

    fn text_of(&self, from: u32, to: u32) -> &[u8] {
        self.text.get(from as usize..to as usize).unwrap_or_default()
    }

    /// Goes on to a later cell of the piece.
    fn advance(&self, p: Piece, at: &mut Walk, cell: u32) {
        let mut left = cell.saturating_sub(at.cell);
        if p.ascii() {
            at.text += left;
        } else {
            let text = std::str::from_utf8(self.text_of(at.text, p.text_end)).unwrap_or_default();
            let (mut cells, mut bytes) = (0, 0);
            for g in glyphs(text) {
                if cells >= left {
                    break;
                }
                cells += u32::from(g.width);
                bytes += g.text.len();
            }
            at.text += u32::try_from(bytes).unwrap_or(0);
        }
        while left > 0 && at.run < p.run_end {
            let Some(run) = self.runs.get(at.run as usize) else {
                break;
            };
            let rest = u32::from(run.cells.saturating_sub(at.skip));
            if rest > left {
                at.skip += u16::try_from(left).unwrap_or(0);
                break;
            }
            left -= rest;
            at.run += 1;
            at.skip = 0;
        }
        at.cell = cell;
    }

    /// Row `k` of a piece. `near` is where the last reading ended, and is moved on: rows are mostly read in order.
    pub(super) fn row(&self, i: usize, k: u32, cols: u32, near: &mut Walk) -> Option<RowView<'_>> {
        let p = *self.pieces.get(i)?;
        let piece = self.piece + i as u64;
        if near.piece != piece || near.row > k {
            let (text, run) = self.begin(i);
            *near = Walk {
                piece,
                text,
                run,
                ..Walk::NOWHERE
            };
        }
        let mut at = *near;
        if p.wide == NARROW {
            self.advance(p, &mut at, k.saturating_mul(cols).min(p.cells()));
        } else {
            let mut cell = at.cell;
            for _ in at.row..k {
                cell = self.row_end(p, cell, cols);
            }
            self.advance(p, &mut at, cell);
        }
        let to = self.row_end(p, at.cell, cols);
        let mut end = at;
        self.advance(p, &mut end, to);
        let last = to >= p.cells();
        if last {
            end.text = p.text_end;
        }
        end.row = k + 1;
        *near = end;
        Some(RowView {
            text: self.text_of(at.text, end.text),
            cells: to - at.cell,
            runs: self.runs.get(at.run as usize..p.run_end as usize).unwrap_or_default(),
            skip: at.skip,
            styles: &self.styles,
            wrapped: !last || p.open(),
            ascii: p.ascii(),
        })
    }

    /// Makes one piece of two neighbours, of which the first is open. The rows have to be counted afterwards.
    pub(super) fn merge(&mut self, i: usize) {
        let (Some(&a), Some(&b)) = (self.pieces.get(i), self.pieces.get(i + 1)) else {
            return;
        };
        let (_, run) = self.begin(i);
        if b.run_end > a.run_end {
            let covered: u32 = self.runs[run as usize..a.run_end as usize]
                .iter()
                .map(|r| u32::from(r.cells))
                .sum();
            if let Ok(gap @ 1..) = u16::try_from(a.cells().saturating_sub(covered)) {
                let style = self.style(Style::DEFAULT);
                self.runs.insert(a.run_end as usize, Run { cells: gap, style });
                for p in &mut self.pieces[i..] {
                    p.run_end += 1;
                }
            }
        }
        let run_end = self.pieces[i + 1].run_end;
        let (cells, ascii) = (a.cells() + b.cells(), a.ascii() && b.ascii());
        self.pieces[i] = Piece::new(b.text_end, run_end, NARROW, cells, b.open(), ascii);
        self.pieces.remove(i + 1);
        if a.wide != NARROW || b.wide != NARROW {
            self.note_wide(i);
        }
        self.widest = self.widest.max(cells);
        self.stale = true;
    }

    /// Notes anew where the wide characters of a piece are.
    pub(super) fn note_wide(&mut self, i: usize) {
        let Some(&p) = self.pieces.get(i) else { return };
        let from = u32::try_from(self.wide.len()).unwrap_or(NARROW);
        let mut bits = vec![0_u64; p.cells().div_ceil(64) as usize];
        let text = std::str::from_utf8(self.text_of(self.begin(i).0, p.text_end)).unwrap_or_default();
        let mut cell = 0_usize;
        for g in glyphs(text) {
            if g.width == 2
                && let Some(word) = bits.get_mut(cell / 64)
            {
                *word |= 1 << (cell % 64);
            }
            cell += usize::from(g.width);
        }
        self.wide.append(&mut bits);
        self.pieces[i].wide = from;
    }
}
