//! Actions applied to the model. Each first finds out whether it can be done and only then changes anything, so a refusal
//! leaves the model as it was.

use std::borrow::Cow;

use super::{Effect, Frames, Model, Tab, clean_name};
use crate::{
    action::{Action, Change, CopyOp, Invocation, Target},
    error::Refusal,
    ids::{Direction, PaneId, Side, TabId},
    layout::Layout,
    mode::Mode,
    registry::closest_of,
    spec::{Node, PaneSpec, TabSpec},
};

type Effects<'a> = &'a mut Vec<Effect>;
type Outcome = Result<(), Refusal>;

impl Model {
    /// Does an action. What is not the model's business comes back as [`Effect::Delegate`], after its target was
    /// checked.
    ///
    /// # Errors
    /// When it cannot be done as things stand; nothing has changed then.
    pub fn apply(&mut self, invocation: &Invocation) -> Result<Vec<Effect>, Refusal> {
        let target = invocation.target;
        if let Some(pane) = target.pane.filter(|p| !self.panes.contains_key(p)) {
            return Err(Refusal::UnknownPane(pane));
        }
        if let Some(tab) = target.tab.filter(|t| self.tab(*t).is_none()) {
            return Err(Refusal::UnknownTab(tab));
        }
        let before = self.before();
        let mut effects = Vec::new();
        self.act(&invocation.action, target, &mut effects)?;
        Ok(self.finish(before, effects))
    }

    fn act(&mut self, action: &Action, target: Target, fx: Effects<'_>) -> Outcome {
        match action {
            Action::NewPane { spec, direction } => self.new_pane(target, spec, *direction, fx),
            Action::ClosePane => {
                let (tab, pane) = self.target_pane(target)?;
                self.close_pane(tab, pane, fx);
                Ok(())
            }
            Action::RenamePane(name) => {
                let (_, pane) = self.target_pane(target)?;
                if let Some(p) = self.panes.get_mut(&pane) {
                    p.name = clean_name(Some(name));
                }
                fx.push(Effect::Redraw);
                Ok(())
            }
            Action::MoveFocus(d) => self.move_focus(target, *d),
            Action::MoveFocusOrTab(d) => self.move_focus_or_tab(target, *d),
            Action::FocusNextPane => self.focus_step(target, 1),
            Action::FocusPreviousPane => self.focus_step(target, -1),
            Action::FocusLastPane => {
                let tab = self.target_tab(target)?;
                let only = self.tabs[tab].panes().len() < 2;
                let last = self.tabs[tab]
                    .last()
                    .ok_or(if only { Refusal::OnlyPane } else { Refusal::NoLastPane })?;
                self.tabs[tab].focus(last);
                Ok(())
            }
            Action::FocusPane(pane) => {
                let tab = self.tab_index_of(*pane).ok_or(Refusal::UnknownPane(*pane))?;
                self.tabs[tab].focus(*pane);
                self.activate(self.tabs[tab].id);
                Ok(())
            }
            Action::Resize { change, direction } => self.resize_pane(target, *change, *direction, fx),
            Action::EqualizePanes => {
                let tab = self.target_tab(target)?;
                self.tabs[tab].layout.equalize();
                self.laid_out(tab, fx);
                Ok(())
            }
            Action::MovePane(direction) => self.move_pane(target, *direction, fx),
            Action::ToggleFullscreen => {
                let (tab, pane) = self.target_pane(target)?;
                let tab = &mut self.tabs[tab];
                let fill = !(tab.fullscreen && tab.focused == pane);
                tab.focus(pane);
                tab.fullscreen = fill;
                fx.push(Effect::Relayout);
                Ok(())
            }
            Action::TogglePaneFrames => {
                let frames = if self.frames == Frames::On {
                    Frames::Off
                } else {
                    Frames::On
                };
                fx.extend(self.set_frames(frames));
                Ok(())
            }
            Action::BreakPane => self.break_pane(target, fx),
            Action::BreakPaneLeft => self.break_pane_to(target, Side::Left, fx),
            Action::BreakPaneRight => self.break_pane_to(target, Side::Right, fx),
            Action::NewTab { name, cwd, spec } => {
                let mut spec = spec.clone().unwrap_or_default();
                spec.cwd = spec.cwd.or_else(|| cwd.clone());
                self.new_tab(name.clone(), spec, fx);
                Ok(())
            }
            Action::CloseTab => {
                let tab = self.target_tab(target)?;
                for pane in self.tabs[tab].panes() {
                    self.panes.remove(&pane);
                    fx.push(Effect::Close { pane });
                }
                self.forget_tab(tab);
                fx.push(Effect::Relayout);
                Ok(())
            }
            Action::RenameTab(name) => {
                let tab = self.target_tab(target)?;
                let tab = &mut self.tabs[tab];
                tab.name = clean_name(Some(name)).unwrap_or_else(|| Tab::numbered(tab.id));
                fx.push(Effect::TabChanged);
                Ok(())
            }
            Action::GoToTab(_)
            | Action::GoToTabName(_)
            | Action::GoToNextTab
            | Action::GoToPreviousTab
            | Action::ToggleTab => {
                let tab = self.tab_to_go_to(action)?;
                self.activate(tab);
                Ok(())
            }
            Action::MoveTab(side) => self.move_tab(target, *side),
            Action::SwitchMode(mode) => {
                if *mode == Mode::Copy && self.focused().is_none() {
                    return Err(Refusal::NoPane);
                }
                self.set_mode(if *mode == Mode::Raw { self.home() } else { *mode });
                Ok(())
            }
            Action::Copy(op) => {
                self.target_pane(target)?;
                fx.push(Effect::Delegate(action.clone()));
                if matches!(op, CopyOp::Yank | CopyOp::Cancel) && self.mode == Mode::Copy {
                    self.set_mode(self.home());
                }
                Ok(())
            }
            Action::Quit => {
                fx.push(Effect::Quit);
                Ok(())
            }
            // What works on a pane needs one.
            Action::RerunPane
            | Action::SendLeader
            | Action::Write(_)
            | Action::WriteChars(_)
            | Action::SendKeys(_)
            | Action::Paste(_)
            | Action::ScrollUp
            | Action::ScrollDown
            | Action::PageScrollUp
            | Action::PageScrollDown
            | Action::HalfPageScrollUp
            | Action::HalfPageScrollDown
            | Action::ScrollToTop
            | Action::ScrollToBottom
            | Action::SearchScrollback(_)
            | Action::GoToLine(_)
            | Action::ClearScrollback
            | Action::DumpScreen { .. }
            | Action::RenamePanePrompt => {
                self.target_pane(target)?;
                fx.push(Effect::Delegate(action.clone()));
                Ok(())
            }
            Action::RenameTabPrompt => {
                self.target_tab(target)?;
                fx.push(Effect::Delegate(action.clone()));
                Ok(())
            }
            Action::DumpLayout
            | Action::ListPanes(_)
            | Action::ListTabs(_)
            | Action::ListClients(_)
            | Action::ListCommands(_)
            | Action::Detach
            | Action::Palette
            | Action::CommandLine
            | Action::Help
            | Action::Messages
            | Action::PanePicker
            | Action::TabPicker
            | Action::SessionPicker
            | Action::SearchEverything
            | Action::ThemePicker
            | Action::LeaderPicker
            | Action::LastPicker
            | Action::SetTheme(_)
            | Action::CycleHints
            | Action::ReloadConfig
            | Action::NewPanePicker => {
                fx.push(Effect::Delegate(action.clone()));
                Ok(())
            }
        }
    }

    /// The tab an action is meant for, by its place.
    fn target_tab(&self, target: Target) -> Result<usize, Refusal> {
        match target {
            Target { tab: Some(id), .. } => self.tabs.iter().position(|t| t.id == id).ok_or(Refusal::UnknownTab(id)),
            Target { pane: Some(id), .. } => self.tab_index_of(id).ok_or(Refusal::UnknownPane(id)),
            _ => self.need_active(),
        }
    }

    /// The pane an action is meant for, with its tab's place.
    fn target_pane(&self, target: Target) -> Result<(usize, PaneId), Refusal> {
        if let Some(id) = target.pane {
            return Ok((self.tab_index_of(id).ok_or(Refusal::UnknownPane(id))?, id));
        }
        let tab = self
            .target_tab(target)
            .map_err(|e| if e == Refusal::NoTab { Refusal::NoPane } else { e })?;
        Ok((tab, self.tabs[tab].focused))
    }

    /// A tab's layout has changed: nothing fills it any more.
    fn laid_out(&mut self, tab: usize, fx: Effects<'_>) {
        self.tabs[tab].fullscreen = false;
        fx.push(Effect::Relayout);
    }

    /// A tab's layout with `new` beside `pane`, where there is room for it.
    fn split(&self, tab: usize, pane: PaneId, new: PaneId, side: Option<Direction>) -> Result<Layout, Refusal> {
        let layout = &self.tabs[tab].layout;
        let room = layout.rect(pane, self.area()).unwrap_or_default();
        let need = self.least();
        let longer = match Layout::longer(room.w, room.h) {
            crate::ids::Axis::Row => [Direction::Right, Direction::Down],
            crate::ids::Axis::Column => [Direction::Down, Direction::Right],
        };
        let sides = side.as_ref().map_or(longer.as_slice(), std::slice::from_ref);
        for side in sides {
            let mut next = layout.clone();
            next.split(pane, new, *side);
            let fits = |r: qd_tty::Rect| r.w >= need.cols && r.h >= need.rows;
            if next
                .solve(self.area())
                .iter()
                .filter(|(p, _)| *p == pane || *p == new)
                .all(|(_, r)| fits(*r))
            {
                return Ok(next);
            }
        }
        Err(Refusal::NoRoom {
            cols: room.w,
            rows: room.h,
            need_cols: need.cols,
            need_rows: need.rows,
        })
    }

    fn new_pane(&mut self, target: Target, spec: &PaneSpec, side: Option<Direction>, fx: Effects<'_>) -> Outcome {
        if self.tabs.is_empty() {
            self.new_tab(None, spec.clone(), fx);
            return Ok(());
        }
        let (tab, beside) = self.target_pane(target)?;
        let layout = self.split(tab, beside, PaneId(self.next_pane), side)?;
        let pane = self.make_pane(spec);
        self.tabs[tab].layout = layout;
        self.tabs[tab].focus(pane);
        fx.push(Effect::Created {
            pane: Some(pane),
            tab: None,
        });
        fx.extend(self.spawn(pane));
        fx.push(Effect::Relayout);
        Ok(())
    }

    fn new_tab(&mut self, name: Option<String>, spec: PaneSpec, fx: Effects<'_>) {
        let root = Node::Pane {
            spec,
            size: None,
            focus: true,
        };
        let tab = self.open_tab(
            &TabSpec {
                name,
                focus: true,
                root,
            },
            fx,
        );
        self.activate(tab);
        fx.push(Effect::Relayout);
    }

    fn neighbour(&self, tab: usize, pane: PaneId, side: Direction) -> Option<PaneId> {
        let tab = &self.tabs[tab];
        tab.layout.neighbour(pane, side, self.area(), &tab.recent)
    }

    fn move_focus(&mut self, target: Target, side: Direction) -> Outcome {
        let (tab, pane) = self.target_pane(target)?;
        let next = self.neighbour(tab, pane, side).ok_or(Refusal::NoNeighbour(side))?;
        self.tabs[tab].focus(next);
        Ok(())
    }

    fn move_focus_or_tab(&mut self, target: Target, side: Direction) -> Outcome {
        let refusal = match self.move_focus(target, side) {
            Err(refusal @ Refusal::NoNeighbour(_)) => refusal,
            done => return done,
        };
        let step = match side {
            Direction::Left => -1,
            Direction::Right => 1,
            Direction::Up | Direction::Down => return Err(refusal),
        };
        let next = self.tab_beside(self.need_active()?, step).ok_or(refusal)?;
        self.activate(self.tabs[next].id);
        Ok(())
    }

    fn focus_step(&mut self, target: Target, step: isize) -> Outcome {
        let (tab, pane) = self.target_pane(target)?;
        let next = beside(&self.tabs[tab].panes(), pane, step).ok_or(Refusal::OnlyPane)?;
        self.tabs[tab].focus(next);
        Ok(())
    }

    fn resize_pane(&mut self, target: Target, change: Change, side: Option<Direction>, fx: Effects<'_>) -> Outcome {
        let (tab, pane) = self.target_pane(target)?;
        let (area, need) = (self.area(), self.least());
        let layout = &mut self.tabs[tab].layout;
        let grow = if change == Change::Increase { 1 } else { -1 };
        // Where the pane has no border on that side, the opposite one moves the same way, as zellij and tmux have it.
        let borders: Vec<(Direction, i32)> = match side {
            None => Direction::ALL.map(|d| (d, grow)).to_vec(),
            Some(d) if layout.border_of(pane, d).is_some() => vec![(d, grow)],
            Some(d) => vec![(d.opposite(), -grow)],
        };
        let (mut found, mut moved) = (false, false);
        for (side, grow) in borders {
            let Some(border) = layout.border_of(pane, side) else {
                continue;
            };
            found = true;
            let length = if side.axis() == crate::ids::Axis::Row {
                area.w
            } else {
                area.h
            };
            let step = i32::from(length.saturating_add(10) / 20).max(1);
            let by = if side.is_forward() { step * grow } else { -step * grow };
            moved |= layout.move_border(area, &border, by, need) != 0;
        }
        match (found, moved) {
            (false, _) => Err(Refusal::NoBorder(side)),
            (true, false) => Err(Refusal::NoRoomToResize {
                need_cols: need.cols,
                need_rows: need.rows,
            }),
            (true, true) => {
                self.laid_out(tab, fx);
                Ok(())
            }
        }
    }

    fn move_pane(&mut self, target: Target, side: Option<Direction>, fx: Effects<'_>) -> Outcome {
        let (tab, pane) = self.target_pane(target)?;
        let other = match side {
            Some(side) => self.neighbour(tab, pane, side).ok_or(Refusal::NoNeighbour(side))?,
            None => beside(&self.tabs[tab].panes(), pane, 1).ok_or(Refusal::OnlyPane)?,
        };
        self.tabs[tab].layout.swap(pane, other);
        self.laid_out(tab, fx);
        Ok(())
    }

    fn break_pane(&mut self, target: Target, fx: Effects<'_>) -> Outcome {
        let (from, pane) = self.target_pane(target)?;
        if self.tabs[from].panes().len() < 2 {
            return Err(Refusal::OnlyPane);
        }
        self.tabs[from].remove(pane);
        let tab = self.make_tab(None, pane, Layout::new(pane));
        self.activate(tab);
        fx.extend([
            Effect::Created {
                pane: None,
                tab: Some(tab),
            },
            Effect::Relayout,
        ]);
        Ok(())
    }

    fn break_pane_to(&mut self, target: Target, side: Side, fx: Effects<'_>) -> Outcome {
        let (from, pane) = self.target_pane(target)?;
        let to = self
            .tab_beside(from, if side == Side::Left { -1 } else { 1 })
            .ok_or(Refusal::OnlyTab)?;
        let layout = self.split(to, self.tabs[to].focused, pane, None)?;
        let id = self.tabs[to].id;
        self.tabs[to].layout = layout;
        self.tabs[to].focus(pane);
        self.detach(from, pane);
        self.activate(id);
        fx.push(Effect::Relayout);
        Ok(())
    }

    /// The place of the tab so many places on, round the ends; `None` when there is no other.
    fn tab_beside(&self, index: usize, step: isize) -> Option<usize> {
        let places: Vec<usize> = (0..self.tabs.len()).collect();
        beside(&places, index, step)
    }

    fn tab_to_go_to(&self, action: &Action) -> Result<TabId, Refusal> {
        let active = self.need_active()?;
        let at = |index: usize| self.tabs.get(index).map(|t| t.id);
        match action {
            Action::GoToTab(n) => {
                let index = usize::try_from(*n).unwrap_or(usize::MAX).checked_sub(1);
                index.and_then(at).ok_or(Refusal::NoTabAt {
                    index: *n,
                    count: self.tabs.len(),
                })
            }
            Action::GoToTabName(name) => {
                let found = self.tabs.iter().find(|t| t.name == *name).map(|t| t.id);
                found.ok_or_else(|| {
                    let names: Vec<Cow<'_, str>> = self.tabs.iter().map(|t| Cow::from(&t.name)).collect();
                    let closest = closest_of(name, names.iter().map(AsRef::as_ref)).map(str::to_owned);
                    Refusal::NoTabNamed {
                        name: name.clone(),
                        closest,
                    }
                })
            }
            Action::GoToPreviousTab => self.tab_beside(active, -1).and_then(at).ok_or(Refusal::OnlyTab),
            Action::GoToNextTab => self.tab_beside(active, 1).and_then(at).ok_or(Refusal::OnlyTab),
            _ => {
                let refusal = if self.tabs.len() < 2 {
                    Refusal::OnlyTab
                } else {
                    Refusal::NoLastTab
                };
                self.recent_tabs.iter().rev().nth(1).copied().ok_or(refusal)
            }
        }
    }

    fn move_tab(&mut self, target: Target, side: Side) -> Outcome {
        let from = self.target_tab(target)?;
        let to = self
            .tab_beside(from, if side == Side::Left { -1 } else { 1 })
            .ok_or(Refusal::OnlyTab)?;
        let tab = self.tabs.remove(from);
        self.tabs.insert(to, tab);
        Ok(())
    }
}

/// The value so many places after another, round the ends; `None` when there is no other.
fn beside<T: Copy + PartialEq>(all: &[T], of: T, step: isize) -> Option<T> {
    let at = all.iter().position(|x| *x == of)?;
    let len = all.len().cast_signed();
    let next = usize::try_from((at.cast_signed() + step).rem_euclid(len)).ok()?;
    all.get(next).copied().filter(|x| *x != of)
}
