//! Lines by their number, wherever they are kept: cold store, grid above the screen, screen. Text of ranges, and what
//! must find its place again when lines are wrapped anew.

use alacritty_terminal::{
    grid::Dimensions,
    index::{Column, Line},
    term::cell::Cell as Src,
};
use qd_tty::Cell;

use super::{
    cells,
    core::Core,
    types::{Pos, Shape},
};
use crate::scrollback::{Part, RowView};

/// How many rows of one logical line are looked at together, at the most.
pub(super) const LOGICAL_MAX: u64 = 4096;
/// How much text a range gives, at the most.
const TEXT_MAX: usize = 256 << 20;

/// A row, wherever it is kept.
pub(super) enum RowRef<'a> {
    Cold(RowView<'a>),
    Grid(&'a [Src]),
}

impl RowRef<'_> {
    pub(super) fn wrapped(&self) -> bool {
        match self {
            Self::Cold(r) => r.wrapped,
            Self::Grid(cells) => cells::wraps(cells),
        }
    }

    pub(super) fn fill(&self, out: &mut [Cell]) {
        match self {
            Self::Cold(r) => r.fill(out),
            Self::Grid(cells) => cells::convert(cells, out),
        }
    }

    /// Appends the text of columns `from..to`; a character is in when any column of it is. Where each byte stands goes
    /// to `cols`.
    pub(super) fn push_text(&self, from: usize, to: usize, out: &mut String, mut cols: Option<&mut Vec<u16>>) {
        match self {
            Self::Grid(cells) => {
                let end = if cells::wraps(cells) {
                    cells.len()
                } else {
                    cells::used(cells, usize::MAX)
                };
                cells::push_text(cells, from, to.min(end), out, cols);
            }
            Self::Cold(r) => {
                let mut x = 0usize;
                for g in r.glyphs() {
                    let width = usize::from(g.width);
                    if x >= to {
                        break;
                    }
                    if x + width > from {
                        out.push_str(g.text);
                        if let Some(cols) = cols.as_deref_mut() {
                            cols.resize(cols.len() + g.text.len(), u16::try_from(x).unwrap_or(u16::MAX));
                        }
                    }
                    x += width;
                }
            }
        }
    }
}

/// A line that must be found again after the screen changed its width.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    /// In the cold store, by number.
    Cold(u64),
    /// In the grid: how many logical lines begin above it or on it, from the grid's top.
    Grid(u64),
}

/// The prompts and the view, on their way through a change of size.
#[derive(Debug)]
pub(super) struct Anchors {
    base: u64,
    prompts: Vec<Anchor>,
    view: Option<Anchor>,
}

impl Core {
    /// The number of the first line that can be reached now.
    pub(super) fn first_line(&self) -> u64 {
        if self.alt() {
            self.screen_top()
        } else {
            self.store.first()
        }
    }

    /// The number after the last line.
    pub(super) fn end_line(&self) -> u64 {
        self.screen_top() + self.dims.rows as u64
    }

    /// The number after the last line of the cold store.
    pub(super) fn cold_end(&self) -> u64 {
        self.store.next()
    }

    /// The cold store from a line on.
    pub(super) fn copy_cold(&self, from: u64) -> Vec<Part> {
        self.store.copy(from)
    }

    fn grid_row(&self, line: i64) -> Option<&[Src]> {
        let grid = self.term.grid();
        let hot = i64::try_from(self.term.grid().history_size()).ok()?;
        if line < -hot || line >= i64::try_from(self.dims.rows).ok()? {
            return None;
        }
        let row = &grid[Line(i32::try_from(line).ok()?)];
        Some(&row[Column(0)..Column(row.len())])
    }

    /// The row of a line.
    pub(super) fn line(&self, line: u64) -> Option<RowRef<'_>> {
        if line < self.first_line() {
            return None;
        }
        if line < self.store.next() {
            return self.store.row(line).map(RowRef::Cold);
        }
        let rel = i64::try_from(line).ok()? - i64::try_from(self.screen_top()).ok()?;
        self.grid_row(rel).map(RowRef::Grid)
    }

    /// Whether a line goes on in the next.
    pub(super) fn wrapped(&self, line: u64) -> bool {
        if line >= self.first_line() && line < self.store.next() {
            self.store.wrapped(line)
        } else {
            self.line(line).is_some_and(|r| r.wrapped())
        }
    }

    /// The view's top line.
    pub(super) fn view_top(&self) -> u64 {
        let top = self.screen_top();
        match self.view {
            Some(v) if !self.alt() => v.max(self.store.first()).min(top),
            _ => top,
        }
    }

    pub(super) fn set_view(&mut self, line: u64) {
        let top = self.screen_top();
        self.view = (!self.alt() && line < top).then(|| line.max(self.store.first()));
        self.generation += 1;
    }

    /// The first row of the logical line that `line` is part of.
    pub(super) fn logical_start(&self, line: u64) -> u64 {
        let first = self.first_line().max(line.saturating_sub(LOGICAL_MAX));
        let mut at = line;
        while at > first && self.wrapped(at - 1) {
            at -= 1;
        }
        at
    }

    /// The text between two places, both included.
    pub(super) fn text_range(&self, a: Pos, b: Pos, shape: Shape) -> String {
        let (start, end) = if a <= b { (a, b) } else { (b, a) };
        let (left, right) = (usize::from(a.col.min(b.col)), usize::from(a.col.max(b.col)) + 1);
        let mut out = String::new();
        let from = start.line.max(self.first_line());
        let to = end.line.min(self.end_line().saturating_sub(1));
        for n in from..=to {
            let Some(row) = self.line(n) else { continue };
            let before = out.len();
            let (lo, hi) = match shape {
                Shape::Line => (0, usize::MAX),
                Shape::Block => (left, right),
                Shape::Stream => (
                    if n == start.line { usize::from(start.col) } else { 0 },
                    if n == end.line {
                        usize::from(end.col) + 1
                    } else {
                        usize::MAX
                    },
                ),
            };
            row.push_text(lo, hi, &mut out, None);
            let last = n == to;
            if shape == Shape::Block || !row.wrapped() || (last && shape == Shape::Line) {
                let kept = out[before..].trim_end_matches(' ').len();
                out.truncate(before + kept);
                if !last {
                    out.push('\n');
                }
            }
            if out.len() > TEXT_MAX {
                break;
            }
        }
        if shape == Shape::Line {
            out.push('\n');
        }
        out
    }

    /// Notes where prompts and view are, before the width changes.
    pub(super) fn anchors(&mut self) -> Anchors {
        let base = self.store.next();
        let prompts: Vec<u64> = self.prompts.iter().copied().collect();
        let view = self.view;
        self.with_main(|c| {
            let wanted: Vec<u64> = prompts.iter().chain(&view).copied().collect();
            let mut found = c.to_anchors(&wanted);
            let view = view.and_then(|_| found.pop());
            Anchors {
                base,
                prompts: found,
                view,
            }
        })
    }

    fn to_anchors(&self, lines: &[u64]) -> Vec<Anchor> {
        let base = self.store.next();
        lines
            .iter()
            .map(|line| {
                if *line < base {
                    return Anchor::Cold(*line);
                }
                let starts = (base..*line)
                    .filter(|n| self.line(*n).is_some_and(|r| !r.wrapped()))
                    .count();
                Anchor::Grid(starts as u64)
            })
            .collect()
    }

    /// Finds the place of those in the cold store again, which is given its new width with it. Nothing may have left the
    /// grid yet that has the new width.
    pub(super) fn rewrap(&mut self, a: &mut Anchors, cols: usize) {
        let mut lines = vec![a.base];
        let cold = || a.prompts.iter().chain(&a.view);
        lines.extend(cold().filter_map(|x| match x {
            Anchor::Cold(line) => Some(*line),
            Anchor::Grid(_) => None,
        }));
        self.store.rewrap(cols, &mut lines);
        let mut new = lines.into_iter();
        a.base = new.next().unwrap_or(a.base);
        for x in a.prompts.iter_mut().chain(&mut a.view) {
            if let Anchor::Cold(line) = x {
                *line = new.next().unwrap_or(*line);
            }
        }
    }

    /// Finds the others again; the grid has its new width.
    pub(super) fn restore_anchors(&mut self, a: &Anchors) {
        let resolve = |c: &Self, anchor: &Anchor| match anchor {
            Anchor::Cold(line) => *line,
            Anchor::Grid(starts) => {
                let mut left = *starts;
                let mut n = a.base;
                let end = c.end_line();
                while left > 0 && n < end {
                    if c.line(n).is_some() && !c.wrapped(n) {
                        left -= 1;
                    }
                    n += 1;
                }
                n.min(end.saturating_sub(1))
            }
        };
        let (prompts, view) = self.with_main(|c| {
            let p: Vec<u64> = a.prompts.iter().map(|x| resolve(c, x)).collect();
            (p, a.view.as_ref().map(|x| resolve(c, x)))
        });
        self.prompts = prompts.into();
        self.view = view.filter(|v| *v < self.screen_top());
    }
}
