//! What the model shows and tells: panes, placements on the screen, effects. Values only; how they come about is told by
//! the modules beside this one.

use qd_tty::Rect;

use crate::{
    action::Action,
    ids::{PaneId, TabId},
    mode::Mode,
    spec::PaneSpec,
};

/// Whether panes are drawn with a box around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum Frames {
    /// Each pane has a box of its own.
    #[default]
    On,
    /// Panes have no box; one blank column or row parts neighbours.
    Off,
}

/// Whether a pane's program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub enum PaneState {
    /// It runs.
    #[default]
    Running,
    /// It has ended, and the pane is held.
    Exited,
}

/// What is known of a pane.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PaneInfo {
    /// Its identity.
    pub id: PaneId,
    /// What it runs.
    pub spec: PaneSpec,
    /// The title the program set, or else the command; at most 256 characters and free of control characters.
    pub title: String,
    /// The name a person gave it; bounded like the title.
    pub name: Option<String>,
    /// Whether its program runs.
    pub state: PaneState,
    /// The mode the keys are in when it has the focus and nothing else is going on: [`Mode::Raw`] for programs,
    /// [`Mode::Nav`] for our own views.
    pub home: Mode,
}

impl PaneInfo {
    /// What to show as its title: the person's name for it, else the program's title.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.title)
    }
}

/// Where a pane lies on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The pane.
    pub pane: PaneId,
    /// All of it, with its frame.
    pub outer: Rect,
    /// Its content; may be empty.
    pub inner: Rect,
    /// It has its tab's focus.
    pub focused: bool,
    /// It has a frame: `inner` is `outer` without its outermost ring.
    pub framed: bool,
}

/// A side of a pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// The left one.
    Left,
    /// The right one.
    Right,
    /// The top, with both corners; the title is here.
    Top,
    /// The bottom, with both corners.
    Bottom,
}

/// A part of a pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its content.
    Inner,
    /// Its frame, or the blank that parts it from its neighbour.
    Frame(Edge),
}

/// What the session has to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start what the pane runs.
    Spawn {
        /// The pane.
        pane: PaneId,
        /// What it runs.
        spec: PaneSpec,
    },
    /// The pane is no more: end its program, free what belongs to it.
    Close {
        /// The pane.
        pane: PaneId,
    },
    /// Sizes may have changed.
    Relayout,
    /// Something visible changed.
    Redraw,
    /// The focus moved.
    FocusChanged {
        /// The pane that had it; it may be gone.
        from: Option<PaneId>,
        /// The pane that has it.
        to: Option<PaneId>,
    },
    /// Tabs came, went, moved, were renamed, or another one is active.
    TabChanged,
    /// The keys are in another mode.
    ModeChanged(Mode),
    /// The session ends.
    Quit,
    /// The action is not the model's business: the session carries it out, on the target of the invocation.
    Delegate(Action),
    /// New things got these ids.
    Created {
        /// The new pane.
        pane: Option<PaneId>,
        /// The new tab.
        tab: Option<TabId>,
    },
}

/// What a key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOutcome {
    /// It belongs to the pane.
    Forward,
    /// Apply these actions in order.
    Run(Vec<Action>),
    /// Apply these actions in order, then give the key to the pane.
    RunThenForward(Vec<Action>),
    /// It was ours and there is no more to do, but to draw the mode.
    Swallow,
    /// It is not bound, and cancelled the menu.
    Unbound,
}
