//! Which pane lies beside another.

use super::{Axis, Direction, Layout, PaneId, Rect};

/// How many cells two spans share.
fn overlap(a: (u16, u16), b: (u16, u16)) -> u16 {
    a.1.min(b.1).saturating_sub(a.0.max(b.0))
}

const fn span(r: Rect, axis: Axis) -> (u16, u16) {
    match axis {
        Axis::Row => (r.x, r.right()),
        Axis::Column => (r.y, r.bottom()),
    }
}

impl Layout {
    /// The pane that touches `from` on a side: of those that share some of its border the one in `recent` (oldest
    /// first) that had the focus last, else the one that shares most of it, else the first.
    ///
    /// It looks at the panes as they would lie on a large screen when this one is too small to show them all.
    pub(crate) fn neighbour(&self, from: PaneId, side: Direction, area: Rect, recent: &[PaneId]) -> Option<PaneId> {
        let mut solved = self.solve(area);
        if solved.iter().any(|(_, r)| r.is_empty()) {
            solved = self.solve(Rect::new(0, 0, 10_000, 10_000));
        }
        let (_, home) = *solved.iter().find(|(p, _)| *p == from)?;
        let touches = |r: Rect| match side {
            Direction::Left => r.right() == home.x,
            Direction::Right => r.x == home.right(),
            Direction::Up => r.bottom() == home.y,
            Direction::Down => r.y == home.bottom(),
        };
        let across = side.axis().other();
        solved
            .iter()
            .enumerate()
            .filter(|(_, (p, r))| *p != from && touches(*r))
            .map(|(i, (p, r))| (overlap(span(*r, across), span(home, across)), i, *p))
            .filter(|(shared, ..)| *shared > 0)
            .max_by_key(|(shared, i, p)| (recent.iter().position(|x| x == p), *shared, std::cmp::Reverse(*i)))
            .map(|(_, _, p)| p)
    }
}
