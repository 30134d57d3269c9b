//! Cold scrollback: lines that left the emulator's grid, packed as UTF-8 text with runs of styles, in blocks that are
//! recycled. It owns the lines' numbering and the budgets; it knows nothing of the emulator that the lines come from.
//!
//! A *row* is a line as wide as the screen was; a row that is `wrapped` goes on in the next, and the rows up to one that
//! is not make a logical line. The budget in lines counts logical lines, so that a narrow screen costs no history.

use std::collections::VecDeque;

use qd_tty::{Attrs, Cell, Color, LinkId, Sym};
use smallvec::SmallVec;
use unicode_width::UnicodeWidthChar;

/// A block is closed when it has this many bytes of text…
const BLOCK_TEXT: usize = 48 * 1024;
/// …or this many rows.
const BLOCK_ROWS: usize = 1024;

const WRAPPED: u32 = 1 << 31;
const ASCII: u32 = 1 << 30;
const RUN_MASK: u32 = ASCII - 1;

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

#[derive(Debug, Clone, Copy)]
struct Run {
    cells: u16,
    style: u16,
}

#[derive(Debug, Clone, Copy)]
struct RowRec {
    /// Where the row's text ends in the block.
    text_end: u32,
    /// Where its runs end, and the flags.
    run_end: u32,
}

#[derive(Debug, Default)]
struct Block {
    /// The number of its first row, counted from the first row ever.
    first: u64,
    /// How many rows at its front are gone.
    gone: usize,
    text: Vec<u8>,
    rows: Vec<RowRec>,
    runs: Vec<Run>,
    styles: Vec<Style>,
}

impl Block {
    fn clear(&mut self, first: u64) {
        self.first = first;
        self.gone = 0;
        self.text.clear();
        self.rows.clear();
        self.runs.clear();
        self.styles.clear();
    }

    fn full(&self) -> bool {
        self.text.len() >= BLOCK_TEXT
            || self.rows.len() >= BLOCK_ROWS
            || self.runs.len() >= BLOCK_TEXT / 2
            || self.styles.len() >= 60_000
    }

    fn bytes(&self) -> usize {
        self.text.len()
            + self.rows.len() * size_of::<RowRec>()
            + self.runs.len() * size_of::<Run>()
            + self.styles.len() * size_of::<Style>()
    }

    fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    fn style(&mut self, s: Style) -> u16 {
        // Programs use few styles at a time: the newest are looked at first, and not many of them.
        let from = self.styles.len().saturating_sub(16);
        if let Some(i) = self.styles[from..].iter().rposition(|x| *x == s) {
            return u16::try_from(from + i).unwrap_or(0);
        }
        self.styles.push(s);
        u16::try_from(self.styles.len() - 1).unwrap_or(0)
    }

    fn row(&self, i: usize) -> Option<RowView<'_>> {
        let rec = self.rows.get(i)?;
        let (text_start, run_start) = match i.checked_sub(1).and_then(|j| self.rows.get(j)) {
            Some(r) => (r.text_end as usize, (r.run_end & RUN_MASK) as usize),
            None => (0, 0),
        };
        Some(RowView {
            text: self.text.get(text_start..rec.text_end as usize)?,
            runs: self.runs.get(run_start..(rec.run_end & RUN_MASK) as usize)?,
            styles: &self.styles,
            wrapped: rec.run_end & WRAPPED != 0,
            ascii: rec.run_end & ASCII != 0,
        })
    }
}

/// A row as it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowView<'a> {
    text: &'a [u8],
    runs: &'a [Run],
    styles: &'a [Style],
    /// It goes on in the next row.
    pub(crate) wrapped: bool,
    ascii: bool,
}

/// One grapheme of a row.
pub(crate) struct Glyph<'a> {
    pub(crate) text: &'a str,
    /// Columns, 1 or 2.
    pub(crate) width: u16,
}

impl<'a> RowView<'a> {
    /// The row's text, as long as it was written.
    pub(crate) fn text(&self) -> &'a str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The graphemes as the emulator had them in its cells: a character and the zero-width ones after it.
    pub(crate) fn glyphs(&self) -> impl Iterator<Item = Glyph<'a>> {
        let text = self.text();
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

    fn style_spans(&self) -> impl Iterator<Item = (u16, Style)> + use<'a> {
        let styles = self.styles;
        self.runs.iter().map(move |r| {
            (
                r.cells,
                styles.get(usize::from(r.style)).copied().unwrap_or(Style::DEFAULT),
            )
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

/// The store.
#[derive(Debug)]
pub(crate) struct Scrollback {
    blocks: VecDeque<Block>,
    spare: Option<Block>,
    /// The number of the first row kept.
    first: u64,
    /// The number after the last row kept.
    next: u64,
    /// Logical lines kept (rows that are not wrapped).
    logical: usize,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
    /// The widest row is at most this wide.
    widest: usize,
    any_wrapped: bool,
}

impl Scrollback {
    pub(crate) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            spare: None,
            first: 0,
            next: 0,
            logical: 0,
            bytes: 0,
            max_lines,
            max_bytes,
            widest: 0,
            any_wrapped: false,
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
        let one = |b: &Block| {
            b.text.capacity()
                + b.rows.capacity() * size_of::<RowRec>()
                + b.runs.capacity() * size_of::<Run>()
                + b.styles.capacity() * size_of::<Style>()
        };
        self.blocks.iter().map(one).sum::<usize>() + self.spare.as_ref().map_or(0, one)
    }

    /// Forgets everything; `skip` more numbers are used up (rows that were never stored).
    pub(crate) fn clear(&mut self, skip: u64) {
        self.blocks.clear();
        self.spare = None;
        self.next += skip;
        self.first = self.next;
        self.logical = 0;
        self.bytes = 0;
        self.widest = 0;
        self.any_wrapped = false;
    }

    /// Begins a row. Its parts are pushed, then it is [`RowWriter::finish`]ed.
    #[inline]
    pub(crate) fn push(&mut self) -> RowWriter<'_> {
        if self.blocks.back().is_none_or(Block::full) {
            let mut block = self.spare.take().unwrap_or_default();
            block.clear(self.next);
            self.blocks.push_back(block);
        }
        RowWriter {
            store: self,
            ascii: true,
            cells: 0,
            styled: false,
            run: Run { cells: 0, style: 0 },
            run_style: Style::DEFAULT,
        }
    }

    fn evict(&mut self) {
        while self.logical > self.max_lines || (self.bytes > self.max_bytes && self.next > self.first) {
            let over_bytes = self.bytes > self.max_bytes;
            let several = self.blocks.len() > 1;
            let Some(front) = self.blocks.front_mut() else { break };
            if over_bytes && several {
                // Bytes come back only with a whole block.
                let left = &front.rows[front.gone..];
                self.logical -= left.iter().filter(|r| r.run_end & WRAPPED == 0).count();
                self.first = front.end();
                front.gone = front.rows.len();
            } else {
                if let Some(r) = front.rows.get(front.gone) {
                    self.logical -= usize::from(r.run_end & WRAPPED == 0);
                    front.gone += 1;
                    self.first += 1;
                }
            }
            if front.gone >= front.rows.len()
                && let Some(block) = self.blocks.pop_front()
            {
                self.bytes = self.bytes.saturating_sub(block.bytes());
                self.spare = Some(block);
            }
        }
    }

    /// The row of a number.
    pub(crate) fn row(&self, line: u64) -> Option<RowView<'_>> {
        if line < self.first || line >= self.next {
            return None;
        }
        let i = self.blocks.partition_point(|b| b.end() <= line);
        let block = self.blocks.get(i)?;
        block.row(usize::try_from(line.checked_sub(block.first)?).ok()?)
    }

    /// Wraps all rows anew for a screen `cols` wide. Returns where the rows went, in order, when any moved: for each of
    /// the old rows from the first, its new number.
    pub(crate) fn rewrap(&mut self, cols: usize) -> Option<Vec<u64>> {
        if self.next == self.first || (!self.any_wrapped && self.widest <= cols) {
            return None;
        }
        let (first, next) = (self.first, self.next);
        let old = std::mem::take(&mut self.blocks);
        let mut new = Self::new(usize::MAX, usize::MAX);
        new.first = first;
        new.next = first;
        let mut moved = Vec::with_capacity(usize::try_from(next - first).unwrap_or(0));
        let mut line: SmallVec<[RowView<'_>; 8]> = SmallVec::new();
        for block in &old {
            for i in block.gone..block.rows.len() {
                let Some(row) = block.row(i) else { continue };
                line.push(row);
                if !row.wrapped {
                    new.push_line(&line, cols, false, &mut moved);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            new.push_line(&line, cols, true, &mut moved);
        }
        new.max_lines = self.max_lines;
        new.max_bytes = self.max_bytes;
        *self = new;
        self.evict();
        Some(moved)
    }

    /// Stores one logical line, cut to `cols`.
    fn push_line(&mut self, rows: &[RowView<'_>], cols: usize, open: bool, moved: &mut Vec<u64>) {
        let cols = cols.max(2);
        let spans: SmallVec<[(u16, Style); 16]> = rows
            .iter()
            .flat_map(|r| {
                let covered: usize = r.runs.iter().map(|x| usize::from(x.cells)).sum();
                let width: usize = if r.ascii {
                    r.text.len()
                } else {
                    r.glyphs().map(|g| usize::from(g.width)).sum()
                };
                let rest = u16::try_from(width.saturating_sub(covered)).unwrap_or(u16::MAX);
                r.style_spans().chain((rest > 0).then_some((rest, Style::DEFAULT)))
            })
            .collect();
        let mut spans = spans.into_iter();
        let mut span = spans.next().unwrap_or((u16::MAX, Style::DEFAULT));
        let mut glyphs = rows
            .iter()
            .enumerate()
            .flat_map(|(i, r)| r.glyphs().map(move |g| (i, g)))
            .peekable();
        let mut known = 0;
        loop {
            let number = self.next;
            let mut w = self.push();
            let mut x = 0usize;
            while let Some((i, g)) = glyphs.next_if(|(_, g)| x + usize::from(g.width) <= cols) {
                while known <= i {
                    moved.push(number);
                    known += 1;
                }
                w.glyph(g.text, g.width, span.1);
                x += usize::from(g.width);
                span.0 = span.0.saturating_sub(g.width);
                if span.0 == 0 {
                    span = spans.next().unwrap_or((u16::MAX, Style::DEFAULT));
                }
            }
            let more = glyphs.peek().is_some();
            w.finish(more || open);
            if !more {
                while known < rows.len() {
                    moved.push(number);
                    known += 1;
                }
                return;
            }
        }
    }
}

/// Writes one row into the store.
pub(crate) struct RowWriter<'a> {
    store: &'a mut Scrollback,
    ascii: bool,
    cells: usize,
    styled: bool,
    run: Run,
    run_style: Style,
}

impl RowWriter<'_> {
    /// Where the row's text goes: only for text that is pushed with [`RowWriter::ascii`] beside it.
    #[inline]
    pub(crate) fn buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.store.blocks.back_mut().map(|b| &mut b.text)
    }

    /// Counts `n` bytes of printable ASCII in the default style that were put in the buffer.
    #[inline]
    pub(crate) fn ascii(&mut self, n: usize) {
        self.cells += n;
        if self.styled {
            self.extend_run(n, Style::DEFAULT);
        }
    }

    /// Adds a grapheme.
    pub(crate) fn glyph(&mut self, text: &str, width: u16, style: Style) {
        if let Some(b) = self.store.blocks.back_mut() {
            b.text.extend_from_slice(text.as_bytes());
        }
        self.ascii &= text.len() == 1;
        if !self.styled && style != Style::DEFAULT {
            self.styled = true;
            self.run = Run { cells: 0, style: 0 };
            self.run_style = Style::DEFAULT;
            let before = self.cells;
            self.extend_run(before, Style::DEFAULT);
        }
        self.cells += usize::from(width);
        if self.styled {
            self.extend_run(usize::from(width), style);
        }
    }

    fn extend_run(&mut self, n: usize, style: Style) {
        if n == 0 {
            return;
        }
        let n = u16::try_from(n).unwrap_or(u16::MAX);
        if self.run.cells > 0 && self.run_style == style && self.run.cells.checked_add(n).is_some() {
            self.run.cells += n;
            return;
        }
        self.flush_run();
        self.run_style = style;
        self.run.cells = n;
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
        self.run.cells = 0;
    }

    /// Ends the row.
    #[inline]
    pub(crate) fn finish(mut self, wrapped: bool) {
        // A default run at the end says nothing.
        if self.styled && self.run_style != Style::DEFAULT {
            self.flush_run();
        }
        let Some(b) = self.store.blocks.back_mut() else { return };
        let text_end = u32::try_from(b.text.len()).unwrap_or(u32::MAX);
        let mut run_end = u32::try_from(b.runs.len()).unwrap_or(0) & RUN_MASK;
        if wrapped {
            run_end |= WRAPPED;
            self.store.any_wrapped = true;
        } else {
            self.store.logical += 1;
        }
        if self.ascii {
            run_end |= ASCII;
        }
        b.rows.push(RowRec { text_end, run_end });
        self.store.widest = self.store.widest.max(self.cells);
        self.store.next += 1;
        // The bytes of a block are counted when it is full, and once more for the open one: cheap and near enough.
        self.store.settle();
    }
}

impl Scrollback {
    #[inline]
    fn settle(&mut self) {
        if self.blocks.back().is_some_and(Block::full) {
            self.bytes = self.blocks.iter().map(Block::bytes).sum();
        }
        if self.logical > self.max_lines || self.bytes > self.max_bytes {
            self.evict();
        }
    }
}

#[cfg(test)]
#[path = "scrollback_tests.rs"]
mod tests;
