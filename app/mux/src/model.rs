//! The session's model: tabs, panes, focus, mode, size. The only thing that changes it is a call of one of its methods;
//! what the world has to do about a change is returned as effects, never done here. An action that cannot be done is
//! refused with a sentence and changes nothing.

use std::collections::BTreeMap;

use qd_tty::Size;

use crate::{
    context::Context,
    error::Refusal,
    ids::{PaneId, TabId},
    layout::Layout,
    mode::Mode,
    spec::{LayoutSpec, PaneSpec, TabSpec},
};

mod actions;
mod check;
mod keys;
mod screen;
mod tab;
mod types;

pub use tab::Tab;
pub use types::{Edge, Effect, Frames, KeyOutcome, PaneInfo, PaneState, Part, Placement};

/// The most characters a title or name keeps.
const TITLE_LIMIT: usize = 256;

/// Makes a title safe to show: bounded, on one line, without control characters or marks that turn the direction of the
/// text around it.
fn clean(text: &str) -> String {
    let hostile = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !hostile(*c)).take(TITLE_LIMIT).collect()
}

/// A name a person gave; an empty one is none.
fn clean_name(text: Option<&str>) -> Option<String> {
    text.map(clean).filter(|s| !s.trim().is_empty())
}

/// The session's model. It can be written down and read again; what was read is to be [`Model::check`]ed.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Model {
    name: String,
    size: Size,
    mode: Mode,
    /// The lock mode holds a leader back.
    leader_held: bool,
    frames: Frames,
    tabs: Vec<Tab>,
    /// The tabs that were active, oldest first, the active one last. Empty only when there is no tab.
    recent_tabs: Vec<TabId>,
    panes: BTreeMap<PaneId, PaneInfo>,
    next_pane: u32,
    next_tab: u32,
}

/// What is compared to find out what a change changed.
struct Before {
    focused: Option<PaneId>,
    active: Option<TabId>,
    tabs: Vec<TabId>,
    mode: Mode,
}

impl Model {
    /// A session of this name on a screen of this size, without tabs.
    #[must_use]
    pub fn new(name: &str, size: Size) -> Self {
        Self {
            name: clean(name),
            size,
            mode: Mode::Raw,
            leader_held: false,
            frames: Frames::On,
            tabs: Vec::new(),
            recent_tabs: Vec::new(),
            panes: BTreeMap::new(),
            next_pane: 1,
            next_tab: 1,
        }
    }

    /// The session's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the session.
    pub fn set_name(&mut self, name: &str) {
        self.name = clean(name);
    }

    /// The size of the whole screen.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Sets the size of the whole screen.
    pub fn resize(&mut self, size: Size) -> Vec<Effect> {
        if size == self.size {
            return Vec::new();
        }
        self.size = size;
        vec![Effect::Relayout]
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Sets the mode.
    pub fn set_mode(&mut self, mode: Mode) {
        self.leader_held = false;
        self.mode = mode;
    }

    /// Whether panes have frames.
    #[must_use]
    pub const fn frames(&self) -> Frames {
        self.frames
    }

    /// Gives panes frames, or takes them away.
    pub fn set_frames(&mut self, frames: Frames) -> Vec<Effect> {
        if frames == self.frames {
            return Vec::new();
        }
        self.frames = frames;
        vec![Effect::Relayout]
    }

    /// The tabs, in the order of the tab bar.
    #[must_use]
    pub fn tabs(&self) -> &[Tab] {
        &self.tabs
    }

    /// A tab.
    #[must_use]
    pub fn tab(&self, tab: TabId) -> Option<&Tab> {
        self.tabs.iter().find(|t| t.id == tab)
    }

    /// The active tab's place in the tab bar, from 0.
    #[must_use]
    pub fn active_index(&self) -> Option<usize> {
        let active = self.recent_tabs.last()?;
        self.tabs.iter().position(|t| t.id == *active)
    }

    /// The active tab.
    #[must_use]
    pub fn active_tab(&self) -> Option<&Tab> {
        self.tabs.get(self.active_index()?)
    }

    /// The focused pane of the active tab.
    #[must_use]
    pub fn focused(&self) -> Option<PaneId> {
        self.active_tab().map(|t| t.focused)
    }

    /// A pane.
    #[must_use]
    pub fn pane(&self, pane: PaneId) -> Option<&PaneInfo> {
        self.panes.get(&pane)
    }

    /// All panes of all tabs, by id.
    pub fn panes(&self) -> impl Iterator<Item = &PaneInfo> {
        self.panes.values()
    }

    fn tab_index_of(&self, pane: PaneId) -> Option<usize> {
        self.tabs.iter().position(|t| t.layout.contains(pane))
    }

    /// The tab a pane is in.
    #[must_use]
    pub fn pane_tab(&self, pane: PaneId) -> Option<TabId> {
        self.tabs.get(self.tab_index_of(pane)?).map(|t| t.id)
    }

    /// Sets the title a pane's program gave itself; an empty one puts the command back.
    pub fn set_title(&mut self, pane: PaneId, title: String) {
        if let Some(p) = self.panes.get_mut(&pane) {
            p.title = clean_name(Some(&title)).unwrap_or_else(|| clean(&p.spec.fallback_title()));
        }
    }

    /// Tells whether a pane's program runs.
    pub fn set_pane_state(&mut self, pane: PaneId, state: PaneState) {
        if let Some(p) = self.panes.get_mut(&pane) {
            p.state = state;
        }
    }

    /// Sets the mode that the keys are in when this pane has the focus and nothing else is going on.
    pub fn set_home(&mut self, pane: PaneId, mode: Mode) {
        if let Some(p) = self.panes.get_mut(&pane) {
            p.home = mode;
            if self.focused() == Some(pane) && matches!(self.mode, Mode::Raw | Mode::Nav) {
                self.set_mode(mode);
            }
        }
    }

    /// Adds the tabs of a layout after the last, and goes to the one that has the layout's focus, or the first of them.
    pub fn open(&mut self, layout: &LayoutSpec) -> Vec<Effect> {
        let before = self.before();
        let mut effects = Vec::new();
        let mut goal = None;
        for spec in &layout.tabs {
            let id = self.open_tab(spec, &mut effects);
            goal = goal.or(Some(id)).filter(|_| !spec.focus).or(Some(id));
        }
        if let Some(id) = goal {
            self.activate(id);
            effects.push(Effect::Relayout);
        }
        self.finish(before, effects)
    }

    /// Removes a pane that went away by itself. As when it is closed, [`Effect::Close`] is among the effects, so that
    /// there is one place where what belongs to it is freed; the last pane of a tab takes the tab with it, and the last
    /// tab ends the session.
    pub fn remove_pane(&mut self, pane: PaneId) -> Vec<Effect> {
        let before = self.before();
        let mut effects = Vec::new();
        if let Some(tab) = self.tab_index_of(pane) {
            self.close_pane(tab, pane, &mut effects);
        }
        self.finish(before, effects)
    }

    /// The session as a layout that opens as the same tabs and panes.
    #[must_use]
    pub fn dump_layout(&self) -> LayoutSpec {
        let active = self.active_tab().map(|t| t.id);
        let dump = |tab: &Tab| {
            let describe = |pane| {
                let info = self.panes.get(&pane);
                let spec = info
                    .map(|p| PaneSpec {
                        name: p.name.clone(),
                        ..p.spec.clone()
                    })
                    .unwrap_or_default();
                (spec, pane == tab.focused)
            };
            let name = Some(tab.name.clone()).filter(|n| *n != Tab::numbered(tab.id));
            TabSpec {
                name,
                focus: active == Some(tab.id),
                root: tab.layout.dump(&describe),
            }
        };
        LayoutSpec {
            tabs: self.tabs.iter().map(dump).collect(),
        }
    }

    /// What there is, to judge what can be done; what the model does not know is as in the default.
    #[must_use]
    pub fn context(&self) -> Context {
        let tab = self.active_tab();
        let pane = tab.and_then(|t| self.panes.get(&t.focused));
        Context {
            panes: tab.map_or(0, |t| t.panes().len()),
            tabs: self.tabs.len(),
            focused_kind: pane.map(|p| p.spec.kind.clone()),
            focused_dead: pane.is_some_and(|p| p.state == PaneState::Exited),
            fullscreen: tab.is_some_and(|t| t.fullscreen),
            has_last_pane: tab.and_then(Tab::last).is_some(),
            has_last_tab: self.recent_tabs.len() > 1,
            mode: self.mode,
            ..Context::default()
        }
    }

    fn before(&self) -> Before {
        Before {
            focused: self.focused(),
            active: self.recent_tabs.last().copied(),
            tabs: self.tabs.iter().map(|t| t.id).collect(),
            mode: self.mode,
        }
    }

    /// Adds the effects that follow from comparing with how it was, and lets the mode follow the focus.
    fn finish(&mut self, before: Before, mut effects: Vec<Effect>) -> Vec<Effect> {
        let tabs: Vec<TabId> = self.tabs.iter().map(|t| t.id).collect();
        let known = effects.contains(&Effect::TabChanged);
        if !known && (tabs != before.tabs || self.recent_tabs.last().copied() != before.active) {
            effects.push(Effect::TabChanged);
        }
        let focused = self.focused();
        if focused != before.focused {
            effects.push(Effect::FocusChanged {
                from: before.focused,
                to: focused,
            });
            // The copy mode belongs to a pane, and each pane has a base mode of its own.
            if self.mode == before.mode && matches!(self.mode, Mode::Raw | Mode::Nav | Mode::Copy) {
                self.set_mode(self.home());
            }
        }
        if self.mode != before.mode {
            effects.push(Effect::ModeChanged(self.mode));
        }
        if self.tabs.is_empty() && !before.tabs.is_empty() {
            effects.push(Effect::Quit);
        }
        effects
    }

    /// Makes a pane that is in no tab yet.
    fn make_pane(&mut self, spec: &PaneSpec) -> PaneId {
        let id = PaneId(self.next_pane);
        self.next_pane = self.next_pane.saturating_add(1);
        // A command without words is none.
        let command = spec.command.clone().filter(|argv| !argv.is_empty());
        let spec = PaneSpec {
            command,
            ..spec.clone()
        };
        let info = PaneInfo {
            id,
            title: clean(&spec.fallback_title()),
            name: clean_name(spec.name.as_deref()),
            spec,
            state: PaneState::Running,
            home: Mode::Raw,
        };
        self.panes.insert(id, info);
        id
    }

    fn make_tab(&mut self, name: Option<&str>, focused: PaneId, layout: Layout) -> TabId {
        let id = TabId(self.next_tab);
        self.next_tab = self.next_tab.saturating_add(1);
        self.tabs.push(Tab::new(id, clean_name(name), focused, layout));
        id
    }

    /// Adds a tab after the last; a description without panes gets a shell.
    fn open_tab(&mut self, spec: &TabSpec, effects: &mut Vec<Effect>) -> TabId {
        let mut made = Vec::new();
        let mut focused = None;
        let layout = Layout::build(&spec.root, &mut |pane, focus| {
            let id = self.make_pane(pane);
            made.push(id);
            if focus {
                focused = Some(id);
            }
            id
        });
        let layout = layout.unwrap_or_else(|| {
            let id = self.make_pane(&PaneSpec::default());
            made.push(id);
            Layout::new(id)
        });
        let focused = focused.or_else(|| made.first().copied()).unwrap_or(PaneId(0));
        let tab = self.make_tab(spec.name.as_deref(), focused, layout);
        effects.push(Effect::Created {
            pane: Some(focused),
            tab: Some(tab),
        });
        effects.extend(made.into_iter().filter_map(|p| self.spawn(p)));
        tab
    }

    fn spawn(&self, pane: PaneId) -> Option<Effect> {
        Some(Effect::Spawn {
            pane,
            spec: self.panes.get(&pane)?.spec.clone(),
        })
    }

    /// Makes a tab the active one.
    fn activate(&mut self, tab: TabId) {
        self.recent_tabs.retain(|t| *t != tab);
        self.recent_tabs.push(tab);
    }

    fn forget_tab(&mut self, index: usize) {
        let tab = self.tabs.remove(index);
        self.recent_tabs.retain(|t| *t != tab.id);
        if self.recent_tabs.is_empty()
            && let Some(beside) = self.tabs.get(index).or_else(|| self.tabs.last())
        {
            self.recent_tabs.push(beside.id);
        }
    }

    /// Closes a pane of a tab, and the tab with its last pane.
    fn close_pane(&mut self, index: usize, pane: PaneId, effects: &mut Vec<Effect>) {
        self.detach(index, pane);
        self.panes.remove(&pane);
        effects.push(Effect::Close { pane });
        effects.push(Effect::Relayout);
    }

    /// Takes a pane out of its tab, and closes the tab when it was the last.
    fn detach(&mut self, index: usize, pane: PaneId) {
        match self.tabs.get_mut(index) {
            Some(tab) if tab.panes().len() > 1 => tab.remove(pane),
            Some(_) => self.forget_tab(index),
            None => {}
        }
    }

    /// The active tab's place, or the refusal of an action that needs one.
    fn need_active(&self) -> Result<usize, Refusal> {
        self.active_index().ok_or(Refusal::NoTab)
    }
}
