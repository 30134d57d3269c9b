//! The layout of a tab: a tree of splits with panes as its leaves. It owns shares and fixed sizes, never cells on the
//! screen: those are computed from the area each time ([`Layout::solve`]), so that shrinking and growing the screen
//! loses nothing. Every change is refused or done whole; no operation panics at any size.
//!
//! Sizes along a split: fixed parts get their cells, the rest is shared by weight. Borders are the rounded partial sums
//! of the exact sizes, so parts always cover the split without gap or overlap.

use qd_tty::{Rect, Size};
use smallvec::SmallVec;

use crate::ids::{Axis, Direction, PaneId, TabId};

mod build;
mod change;
mod near;

/// How much of a split a part gets.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Basis {
    /// A share of what the fixed parts leave; finite and above zero.
    Share(f64),
    /// A number of cells.
    Cells(u16),
}

/// A part of a split.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Slot {
    basis: Basis,
    tree: Tree,
}

/// A pane, or parts in a line; a split has at least two.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Tree {
    Pane(PaneId),
    Split(Axis, Vec<Slot>),
}

/// The panes of a tab and how they share it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Layout {
    root: Tree,
}

/// A border between two parts of a tab, found by [`crate::Model::border_at`] and moved while the mouse is held. One that
/// outlived a change of the layout moves nothing or its successor; it is never an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Border {
    pub(crate) tab: TabId,
    pub(crate) place: Place,
    /// How far the mouse was beyond the border's cell when it took hold.
    pub(crate) grip: i32,
}

impl Border {
    /// How the border's two sides lie: [`Axis::Row`] for a border that moves left and right.
    #[must_use]
    pub const fn axis(&self) -> Axis {
        self.place.axis
    }
}

/// Where a border is in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The way from the root to the split.
    path: SmallVec<[usize; 8]>,
    /// The part before the border.
    index: usize,
    pub(crate) axis: Axis,
}

type Edges = SmallVec<[u16; 8]>;

/// The exact sizes of a split's parts in `total` cells.
fn exact(slots: &[Slot], total: u16) -> SmallVec<[f64; 8]> {
    let total = f64::from(total);
    let (mut cells, mut shares) = (0.0, 0.0);
    for s in slots {
        match s.basis {
            Basis::Share(w) => shares += w,
            Basis::Cells(n) => cells += f64::from(n),
        }
    }
    let rest = (total - cells).max(0.0);
    // Fixed parts that do not fit, or that nothing else fills up for, become shares of the whole.
    let stretch = if shares > 0.0 && cells <= total {
        1.0
    } else {
        total / f64::max(cells, f64::MIN_POSITIVE)
    };
    let size = |s: &Slot| match s.basis {
        Basis::Share(w) => rest * w / shares,
        Basis::Cells(_) if cells == 0.0 => total / slots.len() as f64,
        Basis::Cells(n) => f64::from(n) * stretch,
    };
    slots.iter().map(size).collect()
}

/// The borders of a split's parts in `total` cells, from 0 to `total`.
fn edges(slots: &[Slot], total: u16) -> Edges {
    let mut out = Edges::new();
    out.push(0);
    let (mut sum, mut last) = (0.0, 0);
    for size in exact(slots, total) {
        sum += size;
        // The little more keeps noise in the sum from moving a border that lies on a half.
        last = ((sum + 0.5 + 1e-6) as u16).clamp(last, total);
        out.push(last);
    }
    if let Some(end) = out.last_mut() {
        *end = total;
    }
    out
}

/// The part of `rect` between two borders.
fn slice(rect: Rect, axis: Axis, from: u16, to: u16) -> Rect {
    match axis {
        Axis::Row => Rect::new(rect.x + from, rect.y, to - from, rect.h),
        Axis::Column => Rect::new(rect.x, rect.y + from, rect.w, to - from),
    }
}

const fn along(rect: Rect, axis: Axis) -> u16 {
    match axis {
        Axis::Row => rect.w,
        Axis::Column => rect.h,
    }
}

/// The parts of a split with their rectangles.
fn parts(axis: Axis, slots: &[Slot], rect: Rect) -> impl Iterator<Item = (&Slot, Rect)> {
    let edges = edges(slots, along(rect, axis));
    slots
        .iter()
        .enumerate()
        .map(move |(i, s)| (s, slice(rect, axis, edges[i], edges[i + 1])))
}

impl Tree {
    fn solve(&self, rect: Rect, out: &mut Vec<(PaneId, Rect)>) {
        match self {
            Self::Pane(id) => out.push((*id, rect)),
            Self::Split(axis, slots) => parts(*axis, slots, rect).for_each(|(s, r)| s.tree.solve(r, out)),
        }
    }

    fn collect(&self, out: &mut Vec<PaneId>) {
        match self {
            Self::Pane(id) => out.push(*id),
            Self::Split(_, slots) => slots.iter().for_each(|s| s.tree.collect(out)),
        }
    }

    fn contains(&self, pane: PaneId) -> bool {
        match self {
            Self::Pane(id) => *id == pane,
            Self::Split(_, slots) => slots.iter().any(|s| s.tree.contains(pane)),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Self::Split(_, slots) = self else { return Ok(()) };
        if slots.len() < 2 {
            return Err(format!("a split has {} parts", slots.len()));
        }
        for s in slots {
            if let Basis::Share(w) = s.basis
                && !(w.is_finite() && w > 0.0)
            {
                return Err(format!("a share is {w}"));
            }
            s.tree.check()?;
        }
        Ok(())
    }
}

impl Layout {
    /// One pane.
    pub(crate) const fn new(pane: PaneId) -> Self {
        Self { root: Tree::Pane(pane) }
    }

    /// Where each pane lies, in order; the rectangles cover `area` exactly.
    pub(crate) fn solve(&self, area: Rect) -> Vec<(PaneId, Rect)> {
        let mut out = Vec::new();
        self.root.solve(area, &mut out);
        out
    }

    /// The panes, in order.
    pub(crate) fn panes(&self) -> Vec<PaneId> {
        let mut out = Vec::new();
        self.root.collect(&mut out);
        out
    }

    /// Whether a pane is in it.
    pub(crate) fn contains(&self, pane: PaneId) -> bool {
        self.root.contains(pane)
    }

    /// Where one pane lies.
    pub(crate) fn rect(&self, pane: PaneId, area: Rect) -> Option<Rect> {
        self.solve(area).into_iter().find(|(p, _)| *p == pane).map(|(_, r)| r)
    }

    /// Checks what must always hold of the tree.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.root.check()
    }

    /// The innermost border of a pane on a side.
    pub(crate) fn border_of(&self, pane: PaneId, side: Direction) -> Option<Place> {
        let mut found = None;
        let mut path = SmallVec::new();
        let mut tree = &self.root;
        while let Tree::Split(axis, slots) = tree {
            let at = slots.iter().position(|s| s.tree.contains(pane))?;
            if *axis == side.axis() {
                let index = if side.is_forward() {
                    Some(at).filter(|i| i + 1 < slots.len())
                } else {
                    at.checked_sub(1)
                };
                if let Some(index) = index {
                    found = Some(Place {
                        path: path.clone(),
                        index,
                        axis: *axis,
                    });
                }
            }
            path.push(at);
            tree = &slots[at].tree;
        }
        found
    }

    /// The border next to a cell, and how far the cell is beyond it; of several the innermost, and rather one that
    /// `wanted` moves.
    pub(crate) fn border_at(&self, area: Rect, x: u16, y: u16, wanted: Option<Axis>) -> Option<(Place, i32)> {
        let mut found: Option<(Place, i32)> = None;
        let mut path: SmallVec<[usize; 8]> = SmallVec::new();
        let (mut tree, mut rect) = (&self.root, area);
        while let Tree::Split(axis, slots) = tree {
            let (at, start) = match axis {
                Axis::Row => (x, rect.x),
                Axis::Column => (y, rect.y),
            };
            let offset = at.checked_sub(start)?;
            let edges = edges(slots, along(rect, *axis));
            for index in 0..slots.len() - 1 {
                // Both cells that touch the border belong to it: each pane's own frame.
                let grip = i32::from(offset) - i32::from(edges[index + 1]);
                let better = found.as_ref().is_none_or(|(f, _)| Some(f.axis) != wanted);
                if matches!(grip, -1 | 0) && better {
                    found = Some((
                        Place {
                            path: path.clone(),
                            index,
                            axis: *axis,
                        },
                        grip,
                    ));
                }
            }
            let inside = (0..slots.len()).find(|i| offset >= edges[*i] && offset < edges[i + 1])?;
            rect = slice(rect, *axis, edges[inside], edges[inside + 1]);
            path.push(inside);
            tree = &slots[inside].tree;
        }
        found
    }

    /// Where a border is now: the column or row of the first cell beyond it.
    pub(crate) fn position(&self, area: Rect, place: &Place) -> Option<u16> {
        let (mut tree, mut rect) = (&self.root, area);
        for step in &place.path {
            let Tree::Split(axis, slots) = tree else { return None };
            let (slot, r) = parts(*axis, slots, rect).nth(*step)?;
            (tree, rect) = (&slot.tree, r);
        }
        let Tree::Split(axis, slots) = tree else { return None };
        let start = if *axis == Axis::Row { rect.x } else { rect.y };
        (*axis == place.axis && place.index + 1 < slots.len())
            .then(|| start + edges(slots, along(rect, *axis))[place.index + 1])
    }

    /// Whether no pane fell below `need`, or shrank while it was below already.
    fn none_squeezed(before: &[(PaneId, Rect)], after: &[(PaneId, Rect)], need: Size) -> bool {
        before
            .iter()
            .zip(after)
            .all(|((_, b), (_, a))| a.w >= b.w.min(need.cols) && a.h >= b.h.min(need.rows))
    }
}
