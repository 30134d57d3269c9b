//! stub
use qd_tty::{Chord, Rect, Size};

use crate::{
    action::Invocation,
    context::Context,
    error::Refusal,
    ids::{PaneId, TabId},
    keymap::Keymap,
    layout::Border,
    mode::Mode,
    spec::LayoutSpec,
};

mod types;

pub use types::{Edge, Effect, Frames, KeyOutcome, PaneInfo, PaneState, Part, Placement};

/// A tab: a name, and panes that share the screen.
#[derive(Debug, Clone)]
pub struct Tab {
    /// Its identity.
    pub id: TabId,
    /// Its name; bounded like a pane's title.
    pub name: String,
    /// The pane that has the focus when the tab is active.
    pub focused: PaneId,
    /// The focused pane fills the tab.
    pub fullscreen: bool,
    panes: Vec<PaneId>,
}

impl Tab {
    /// Its panes, in the order of the layout.
    #[must_use]
    pub fn panes(&self) -> Vec<PaneId> {
        self.panes.clone()
    }
}

/// The session's model.
#[derive(Debug, Clone)]
pub struct Model {
    name: String,
    size: Size,
    mode: Mode,
    frames: Frames,
    tabs: Vec<Tab>,
    panes: std::collections::BTreeMap<PaneId, PaneInfo>,
}

#[expect(unused_variables, clippy::needless_pass_by_ref_mut, reason = "being built")]
impl Model {
    /// A session of this name on a screen of this size, without tabs.
    #[must_use]
    pub fn new(name: &str, size: Size) -> Self {
        Self {
            name: name.to_owned(),
            size,
            mode: Mode::Raw,
            frames: Frames::On,
            tabs: Vec::new(),
            panes: Default::default(),
        }
    }
    /// The session's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Renames the session.
    pub fn set_name(&mut self, name: &str) {
        self.name = name.to_owned();
    }
    /// Adds the tabs of a layout after the last.
    pub fn open(&mut self, layout: &LayoutSpec) -> Vec<Effect> {
        Vec::new()
    }
    /// Takes a key through the modes.
    pub fn key(&mut self, chord: &Chord, keymap: &Keymap) -> KeyOutcome {
        KeyOutcome::Forward
    }
    /// Does an action.
    ///
    /// # Errors
    /// When it cannot be done as things stand; nothing has changed then.
    pub fn apply(&mut self, invocation: &Invocation) -> Result<Vec<Effect>, Refusal> {
        Ok(vec![Effect::Delegate(invocation.action.clone())])
    }
    /// Sets the size of the whole screen.
    pub fn resize(&mut self, size: Size) -> Vec<Effect> {
        self.size = size;
        vec![Effect::Relayout]
    }
    /// Removes a pane that went away by itself; also gives `Close` for it.
    pub fn remove_pane(&mut self, pane: PaneId) -> Vec<Effect> {
        Vec::new()
    }
    /// Sets the title a pane's program gave itself.
    pub fn set_title(&mut self, pane: PaneId, title: String) {}
    /// Tells whether a pane's program runs.
    pub fn set_pane_state(&mut self, pane: PaneId, state: PaneState) {}
    /// Sets the mode that the keys are in when this pane has the focus.
    pub fn set_home(&mut self, pane: PaneId, mode: Mode) {}
    /// A pane.
    #[must_use]
    pub fn pane(&self, pane: PaneId) -> Option<&PaneInfo> {
        self.panes.get(&pane)
    }
    /// All panes of all tabs, by id.
    pub fn panes(&self) -> impl Iterator<Item = &PaneInfo> {
        self.panes.values()
    }
    /// The tab a pane is in.
    #[must_use]
    pub fn pane_tab(&self, pane: PaneId) -> Option<TabId> {
        None
    }
    /// The tabs, in the order of the tab bar.
    #[must_use]
    pub fn tabs(&self) -> &[Tab] {
        &self.tabs
    }
    /// The active tab.
    #[must_use]
    pub fn active_tab(&self) -> Option<&Tab> {
        None
    }
    /// The active tab's place in the tab bar, from 0.
    #[must_use]
    pub fn active_index(&self) -> Option<usize> {
        None
    }
    /// The focused pane of the active tab.
    #[must_use]
    pub fn focused(&self) -> Option<PaneId> {
        None
    }
    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
    /// Sets the mode.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }
    /// The size of the whole screen.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }
    /// The visible panes of the active tab, back to front.
    #[must_use]
    pub fn placements(&self) -> Vec<Placement> {
        Vec::new()
    }
    /// All panes of a tab; the one in fullscreen last, the ones behind it as they lie without fullscreen.
    #[must_use]
    pub fn placements_of(&self, tab: TabId) -> Vec<Placement> {
        Vec::new()
    }
    /// The pane at a cell of the screen.
    #[must_use]
    pub fn pane_at(&self, x: u16, y: u16) -> Option<(PaneId, Part)> {
        None
    }
    /// Moves the border at `from` by the way to `to`, as far as there is room.
    pub fn drag(&mut self, from: (u16, u16), to: (u16, u16)) -> Vec<Effect> {
        Vec::new()
    }
    /// The border at a cell, to be moved with [`Model::move_border`] while the mouse is held.
    #[must_use]
    pub fn border_at(&self, x: u16, y: u16) -> Option<Border> {
        None
    }
    /// Moves a border to the mouse, as far as there is room.
    pub fn move_border(&mut self, border: &Border, to: (u16, u16)) -> Vec<Effect> {
        Vec::new()
    }
    /// The row of the tab bar.
    #[must_use]
    pub fn tab_bar(&self) -> Option<Rect> {
        None
    }
    /// The row of the hint bar.
    #[must_use]
    pub fn bottom_bar(&self) -> Option<Rect> {
        None
    }
    /// The rows between the bars.
    #[must_use]
    pub fn area(&self) -> Rect {
        Rect::default()
    }
    /// The session as a layout that opens as the same tabs and panes.
    #[must_use]
    pub fn dump_layout(&self) -> LayoutSpec {
        LayoutSpec::default()
    }
    /// What there is, to judge what can be done.
    #[must_use]
    pub fn context(&self) -> Context {
        Context::default()
    }
    /// Whether panes have frames.
    #[must_use]
    pub fn frames(&self) -> Frames {
        self.frames
    }
    /// Gives panes frames, or takes them away.
    pub fn set_frames(&mut self, frames: Frames) -> Vec<Effect> {
        vec![Effect::Relayout]
    }
    /// Checks what must always hold.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
