//! What must always hold of a model, for tests to check after every step.

use std::collections::BTreeSet;

use super::{Model, PaneId, Placement, TITLE_LIMIT, Tab};

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

impl Model {
    /// Checks what must always hold: panes cover their tab's area exactly and without overlap, ids are unique and
    /// known, every focus is on a pane that is there, names are bounded.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for tab in &self.tabs {
            self.check_tab(tab)?;
            for pane in tab.panes() {
                ensure(seen.insert(pane), || format!("pane {pane} is there twice"))?;
            }
        }
        let known: BTreeSet<PaneId> = self.panes.keys().copied().collect();
        ensure(seen == known, || format!("tabs hold {seen:?}, known are {known:?}"))?;
        ensure(
            self.panes.iter().all(|(id, p)| *id == p.id && id.0 < self.next_pane),
            || "a pane's id is wrong".into(),
        )?;
        let ids: BTreeSet<_> = self.tabs.iter().map(|t| t.id).collect();
        ensure(ids.len() == self.tabs.len(), || "a tab's id is there twice".into())?;
        ensure(ids.iter().all(|t| t.0 < self.next_tab), || {
            "a tab's id is from the future".into()
        })?;
        let recent: BTreeSet<_> = self.recent_tabs.iter().copied().collect();
        ensure(recent.len() == self.recent_tabs.len() && recent.is_subset(&ids), || {
            format!("tabs {ids:?}, remembered {:?}", self.recent_tabs)
        })?;
        ensure(self.tabs.is_empty() == self.recent_tabs.is_empty(), || {
            "no tab is active".into()
        })?;
        let long = |s: &str| s.chars().count() > TITLE_LIMIT || s.chars().any(char::is_control);
        let names = self.panes.values().flat_map(|p| p.name.iter().chain([&p.title]));
        ensure(!names.chain(self.tabs.iter().map(|t| &t.name)).any(|s| long(s)), || {
            "a title is not bounded".into()
        })
    }

    fn check_tab(&self, tab: &Tab) -> Result<(), String> {
        tab.layout.check()?;
        let area = self.area();
        let tiles = tab.layout.solve(area);
        let sum: usize = tiles.iter().map(|(_, r)| r.size().area()).sum();
        ensure(sum == area.size().area(), || {
            format!("panes cover {sum} cells of {area:?}: {tiles:?}")
        })?;
        for (i, (a, r)) in tiles.iter().enumerate() {
            let inside = r.x >= area.x && r.y >= area.y && r.right() <= area.right() && r.bottom() <= area.bottom();
            ensure(inside, || format!("pane {a} at {r:?} is outside of {area:?}"))?;
            for (b, s) in &tiles[i + 1..] {
                ensure(r.intersect(*s).is_empty(), || {
                    format!("panes {a} at {r:?} and {b} at {s:?} overlap")
                })?;
            }
        }
        let panes = tab.panes();
        ensure(panes.contains(&tab.focused), || {
            format!("the focus of tab {} is on {}", tab.id, tab.focused)
        })?;
        ensure(tab.recent.last() == Some(&tab.focused), || {
            "the focus is not the latest focus".into()
        })?;
        let recent: BTreeSet<_> = tab.recent.iter().collect();
        ensure(recent.len() == tab.recent.len(), || {
            "a focus is remembered twice".into()
        })?;
        ensure(tab.recent.iter().all(|p| panes.contains(p)), || {
            "a focus that is gone is remembered".into()
        })?;
        let placed = self.placements_of(tab.id);
        let held = |p: &Placement| p.inner.is_empty() || p.inner.intersect(p.outer) == p.inner;
        ensure(placed.len() == panes.len() && placed.iter().all(held), || {
            format!("placements are wrong: {placed:?}")
        })
    }
}
