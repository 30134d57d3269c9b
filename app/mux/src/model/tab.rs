//! A tab: a layout with a focus and the memory of where the focus was.

use super::PaneId;
use crate::{ids::TabId, layout::Layout};

/// A tab: a name, and panes that share the screen.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Tab {
    /// Its identity.
    pub id: TabId,
    /// Its name; bounded like a pane's title.
    pub name: String,
    /// The pane that has the focus when the tab is active.
    pub focused: PaneId,
    /// The focused pane fills the tab.
    pub fullscreen: bool,
    pub(super) layout: Layout,
    /// The panes that had the focus, oldest first, the focused one last.
    pub(super) recent: Vec<PaneId>,
}

impl Tab {
    pub(super) fn new(id: TabId, name: Option<String>, focused: PaneId, layout: Layout) -> Self {
        let name = name.unwrap_or_else(|| Self::numbered(id));
        Self {
            id,
            name,
            focused,
            fullscreen: false,
            layout,
            recent: vec![focused],
        }
    }

    /// The name of a tab nobody named.
    pub(super) fn numbered(id: TabId) -> String {
        format!("Tab #{id}")
    }

    /// Its panes, in the order of the layout.
    #[must_use]
    pub fn panes(&self) -> Vec<PaneId> {
        self.layout.panes()
    }

    /// Gives a pane the focus; a pane that fills the tab makes room when another one gets it.
    pub(super) fn focus(&mut self, pane: PaneId) {
        if self.focused != pane {
            self.fullscreen = false;
        }
        self.recent.retain(|p| *p != pane);
        self.recent.push(pane);
        self.focused = pane;
    }

    /// The pane that had the focus before.
    pub(super) fn last(&self) -> Option<PaneId> {
        self.recent.iter().rev().nth(1).copied()
    }

    /// Takes out a pane that is not the only one; the focus goes to the pane that had it before.
    pub(super) fn remove(&mut self, pane: PaneId) {
        let order = self.panes();
        self.layout.remove(pane);
        self.recent.retain(|p| *p != pane);
        if self.focused == pane {
            self.fullscreen = false;
            // A layout may have panes that never had the focus: then the one beside, in order.
            let at = order.iter().position(|p| *p == pane).unwrap_or_default();
            let beside = order.get(at.wrapping_sub(1)).or_else(|| order.get(at + 1)).copied();
            if let Some(next) = self.recent.last().copied().or(beside) {
                self.focus(next);
            }
        }
    }
}
