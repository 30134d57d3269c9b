//! Changes to the tree: splitting, removing, swapping, moving borders, equal shares. Each leaves a valid tree.

use super::{Axis, Basis, Direction, Layout, PaneId, Place, Rect, Size, Slot, Tree, along, exact, parts};

/// Puts a pane beside another: as a part of the split that holds it, where that lies along the direction, else in a new
/// split in its place.
fn insert(tree: &mut Tree, target: PaneId, new: PaneId, side: Direction) -> bool {
    match tree {
        Tree::Pane(id) if *id == target => {
            let half = |p| Slot {
                basis: Basis::Share(1.0),
                tree: Tree::Pane(p),
            };
            let (a, b) = if side.is_forward() {
                (target, new)
            } else {
                (new, target)
            };
            *tree = Tree::Split(side.axis(), vec![half(a), half(b)]);
            true
        }
        Tree::Pane(_) => false,
        Tree::Split(axis, slots) => {
            let Some(at) = slots.iter().position(|s| s.tree.contains(target)) else {
                return false;
            };
            let slot = &mut slots[at];
            if *axis != side.axis() || !matches!(slot.tree, Tree::Pane(_)) {
                return insert(&mut slot.tree, target, new, side);
            }
            let (old, added) = match slot.basis {
                Basis::Share(w) => (Basis::Share(w / 2.0), Basis::Share(w / 2.0)),
                Basis::Cells(n) => (Basis::Cells(n - n / 2), Basis::Cells(n / 2)),
            };
            slot.basis = old;
            slots.insert(
                at + usize::from(side.is_forward()),
                Slot {
                    basis: added,
                    tree: Tree::Pane(new),
                },
            );
            true
        }
    }
}

/// Gives what a part had to its neighbour, where both are of a kind; else the shares of the others take it anyway.
fn give(to: &mut Slot, basis: Basis) {
    match (&mut to.basis, basis) {
        (Basis::Share(a), Basis::Share(b)) => *a += b,
        (Basis::Cells(a), Basis::Cells(b)) => *a = a.saturating_add(b),
        _ => {}
    }
}

fn remove(tree: &mut Tree, target: PaneId) {
    let Tree::Split(axis, slots) = tree else { return };
    let Some(at) = slots.iter().position(|s| s.tree.contains(target)) else {
        return;
    };
    if matches!(slots[at].tree, Tree::Pane(_)) {
        let gone = slots.remove(at);
        if let Some(heir) = slots.get_mut(at.saturating_sub(1)) {
            give(heir, gone.basis);
        }
    } else {
        remove(&mut slots[at].tree, target);
        flatten(*axis, slots, at);
    }
    if slots.len() == 1
        && let Some(only) = slots.pop()
    {
        *tree = only.tree;
    }
}

/// Takes the parts of a split into the split that holds it, when both lie alike and all its parts are shares.
fn flatten(axis: Axis, slots: &mut Vec<Slot>, at: usize) {
    let Some(Slot {
        basis: Basis::Share(whole),
        tree: Tree::Split(inner, parts),
    }) = slots.get_mut(at)
    else {
        return;
    };
    let weights: Option<Vec<f64>> = parts
        .iter()
        .map(|p| match p.basis {
            Basis::Share(w) => Some(w),
            Basis::Cells(_) => None,
        })
        .collect();
    let Some(weights) = weights.filter(|_| *inner == axis) else {
        return;
    };
    let scale = *whole / weights.iter().sum::<f64>();
    let mut moved = std::mem::take(parts);
    for (part, w) in moved.iter_mut().zip(weights) {
        part.basis = Basis::Share(w * scale);
    }
    slots.splice(at..=at, moved);
}

fn swap(tree: &mut Tree, a: PaneId, b: PaneId) {
    match tree {
        Tree::Pane(id) if *id == a => *id = b,
        Tree::Pane(id) if *id == b => *id = a,
        Tree::Pane(_) => {}
        Tree::Split(_, slots) => slots.iter_mut().for_each(|s| swap(&mut s.tree, a, b)),
    }
}

/// How many panes stand in a line along an axis.
fn span(tree: &Tree, axis: Axis) -> u32 {
    match tree {
        Tree::Pane(_) => 1,
        Tree::Split(a, slots) => {
            let spans = slots.iter().map(|s| span(&s.tree, axis));
            if *a == axis {
                spans.sum()
            } else {
                spans.max().unwrap_or(1)
            }
        }
    }
}

fn equalize(tree: &mut Tree) {
    let Tree::Split(axis, slots) = tree else { return };
    for s in slots {
        if matches!(s.basis, Basis::Share(_)) {
            s.basis = Basis::Share(f64::from(span(&s.tree, *axis)));
        }
        equalize(&mut s.tree);
    }
}

/// Moves the border after part `index` by `by` cells, all other borders staying exactly where they are.
fn shift(slots: &mut [Slot], index: usize, by: i32, total: u16) -> bool {
    let sizes = exact(slots, total);
    let by = f64::from(by);
    let all_fixed = slots.iter().all(|s| matches!(s.basis, Basis::Cells(_)));
    // Shares are written in cells, so that a share and a fixed part can trade cells.
    for (i, (slot, size)) in slots.iter_mut().zip(&sizes).enumerate() {
        let moved = match i {
            _ if i == index => size + by,
            _ if i == index + 1 => size - by,
            _ => *size,
        };
        slot.basis = match slot.basis {
            Basis::Cells(n) if !all_fixed => {
                if i != index && i != index + 1 {
                    continue;
                }
                if f64::from(n) != *size || moved < 0.0 {
                    return false;
                }
                Basis::Cells(moved as u16)
            }
            _ if moved > 0.0 => Basis::Share(moved),
            _ => return false,
        };
    }
    true
}

impl Layout {
    /// Puts `new` beside `target`, which gives half of its room.
    pub(crate) fn split(&mut self, target: PaneId, new: PaneId, side: Direction) -> bool {
        insert(&mut self.root, target, new, side)
    }

    /// Takes a pane out; what it had goes to its sibling. The last pane stays.
    pub(crate) fn remove(&mut self, pane: PaneId) {
        remove(&mut self.root, pane);
    }

    /// Lets two panes trade places.
    pub(crate) fn swap(&mut self, a: PaneId, b: PaneId) {
        swap(&mut self.root, a, b);
    }

    /// Gives all panes equal shares, as far as they stand in lines; fixed sizes stay.
    pub(crate) fn equalize(&mut self) {
        equalize(&mut self.root);
    }

    fn shifted(&self, area: Rect, place: &Place, by: i32) -> Option<Self> {
        let mut out = self.clone();
        let (mut tree, mut rect) = (&mut out.root, area);
        for step in &place.path {
            let Tree::Split(axis, slots) = tree else { return None };
            rect = parts(*axis, slots, rect).nth(*step)?.1;
            tree = &mut slots.get_mut(*step)?.tree;
        }
        let Tree::Split(axis, slots) = tree else { return None };
        let fits = *axis == place.axis && place.index + 1 < slots.len();
        (fits && shift(slots, place.index, by, along(rect, *axis))).then_some(out)
    }

    /// Moves a border by as many of `by` cells as leave every pane at least `need`; gives back by how many.
    pub(crate) fn move_border(&mut self, area: Rect, place: &Place, by: i32, need: Size) -> i32 {
        let before = self.solve(area);
        for cells in (1..=by.unsigned_abs().min(u32::from(u16::MAX))).rev() {
            let step = by.signum() * cells.cast_signed();
            if let Some(next) = self.shifted(area, place, step)
                && Self::none_squeezed(&before, &next.solve(area), need)
            {
                *self = next;
                return step;
            }
        }
        0
    }
}
