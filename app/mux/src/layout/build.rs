//! Between the tree and the description of a layout: building one from the other, and back.

use super::{Axis, Basis, Layout, PaneId, Slot, Tree};
use crate::spec::{Dim, Node, PaneSpec};

/// Makes sense of the sizes of a split's parts: percents are shares of a hundred, and parts without a size share evenly
/// what is left of it. Sizes that make no sense count as none.
fn bases(children: &[Option<Dim>]) -> Vec<Basis> {
    let percent = |d: &Option<Dim>| match d {
        Some(Dim::Percent(p)) if p.is_finite() && *p > 0.0 => Some(f64::from(*p).clamp(0.01, 100.0)),
        _ => None,
    };
    let is_cells = |d: &&Option<Dim>| matches!(d, Some(Dim::Cells(n)) if *n > 0);
    let taken: f64 = children.iter().filter_map(percent).sum();
    let open = children.iter().filter(|d| percent(d).is_none() && !is_cells(d)).count();
    let left = ((100.0 - taken) / open.max(1) as f64).max(5.0);
    children
        .iter()
        .map(|d| match d {
            Some(Dim::Cells(n)) if *n > 0 => Basis::Cells(*n),
            d => Basis::Share(percent(d).unwrap_or(left)),
        })
        .collect()
}

fn build(node: &Node, make: &mut dyn FnMut(&PaneSpec, bool) -> PaneId) -> Option<Tree> {
    match node {
        Node::Pane { spec, focus, .. } => Some(Tree::Pane(make(spec, *focus))),
        Node::Split { axis, children, .. } => {
            let built: Vec<(Option<Dim>, Tree)> = children
                .iter()
                .filter_map(|c| Some((c.size(), build(c, make)?)))
                .collect();
            if built.len() < 2 {
                return built.into_iter().next().map(|(_, t)| t);
            }
            let sizes: Vec<Option<Dim>> = built.iter().map(|(d, _)| *d).collect();
            let slots = bases(&sizes)
                .into_iter()
                .zip(built)
                .map(|(basis, (_, tree))| Slot { basis, tree });
            Some(Tree::Split(*axis, slots.collect()))
        }
    }
}

fn dump(tree: &Tree, size: Option<Dim>, describe: &dyn Fn(PaneId) -> (PaneSpec, bool)) -> Node {
    match tree {
        Tree::Pane(id) => {
            let (spec, focus) = describe(*id);
            Node::Pane { spec, size, focus }
        }
        Tree::Split(axis, slots) => {
            let share = |s: &Slot| match s.basis {
                Basis::Share(w) => w,
                Basis::Cells(_) => 0.0,
            };
            let all: f64 = slots.iter().map(share).sum();
            let even = slots.iter().all(|s| s.basis == slots[0].basis);
            let child = |s: &Slot| {
                let size = match s.basis {
                    Basis::Cells(n) => Some(Dim::Cells(n)),
                    Basis::Share(_) if even => None,
                    // A hundredth of a percent is finer than any screen.
                    Basis::Share(w) => Some(Dim::Percent(((w / all * 1e4).round() / 100.0).max(0.01) as f32)),
                };
                dump(&s.tree, size, describe)
            };
            Node::Split {
                axis: *axis,
                size,
                children: slots.iter().map(child).collect(),
            }
        }
    }
}

impl Layout {
    /// Builds a tree; `make` gives each pane an identity, in order. `None` when the description has no pane.
    pub(crate) fn build(node: &Node, make: &mut dyn FnMut(&PaneSpec, bool) -> PaneId) -> Option<Self> {
        build(node, make).map(|root| Self { root })
    }

    /// Describes the tree; `describe` tells what a pane runs and whether it has the focus.
    pub(crate) fn dump(&self, describe: &dyn Fn(PaneId) -> (PaneSpec, bool)) -> Node {
        dump(&self.root, None, describe)
    }

    /// The axis that splits a rectangle across its longer side, as it looks: a cell is about twice as high as wide.
    pub(crate) const fn longer(w: u16, h: u16) -> Axis {
        if w as u32 >= 2 * h as u32 {
            Axis::Row
        } else {
            Axis::Column
        }
    }
}
