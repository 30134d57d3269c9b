//! The picker that searches everything the session has: the files of the focused pane's directory, what terminals have
//! shown, logs that are open, the shells' history; and what follows from a find: a place in a pane, text for a shell.

use std::{any::Any, path::PathBuf, sync::Arc};

use qd_frame::Frame;
use qd_mux::{Action, PaneId, PaneSpec};
use qd_panes::{Focus, Pane, PaneEvent, SearchPane};
use qd_search_live::{Files, ShellHistory, Source};
use qd_tty::{InputEvent, KeyEvent, MouseEvent, Rect, Size};
use qd_ui::{Look, Outcome, Overlay, Role};

use crate::{messages::Level, overlays::Purpose, session::Session, slots::guarded};

/// The picker: the search pane's view in a box.
pub(crate) struct SearchOverlay {
    pane: SearchPane,
    inner: Rect,
}

impl SearchOverlay {
    fn done(&mut self, used: bool) -> Outcome {
        // What follows from a find is heard before the picker goes: the session asks for the events first.
        if used { Outcome::Changed } else { Outcome::Ignored }
    }
}

impl Overlay for SearchOverlay {
    fn key(&mut self, e: &KeyEvent) -> Outcome {
        let used = self.pane.input(&InputEvent::Key(*e));
        self.done(used)
    }

    fn mouse(&mut self, e: &MouseEvent) -> Outcome {
        let inside = self.inner.contains(e.col, e.row);
        let e = MouseEvent {
            col: e.col.saturating_sub(self.inner.x),
            row: e.row.saturating_sub(self.inner.y),
            ..*e
        };
        let used = inside && self.pane.input(&InputEvent::Mouse(e));
        self.done(used)
    }

    fn paste(&mut self, text: &str) -> Outcome {
        let used = self.pane.input(&InputEvent::Paste(text.as_bytes().to_vec()));
        self.done(used)
    }

    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look) {
        // The bars stay in sight: the hints are there.
        let room = Rect::new(area.x, area.y + area.h.min(1), area.w, area.h.saturating_sub(2));
        let outer = match room {
            r if r.w >= 60 && r.h >= 16 => Rect::new(r.x + 2, r.y, r.w - 4, r.h),
            r => r,
        };
        let boxed = outer.w >= 24 && outer.h >= 8;
        frame.fill(outer, look.blank(Role::Background));
        self.inner = outer;
        if boxed {
            let title = "search everything";
            let status = self.pane.status();
            let f = qd_ui::pane_frame::PaneFrame {
                title,
                right: &status,
                state: qd_ui::pane_frame::FrameState::Focused,
                scroll: None,
                ticks: &[],
            };
            f.draw(frame, outer, look);
            self.inner = Rect::new(outer.x + 1, outer.y + 1, outer.w - 2, outer.h - 2);
        }
        self.pane.resize(Size::new(self.inner.w, self.inner.h));
        let cursor = self.pane.draw(frame, self.inner, look, Focus::Focused);
        frame.set_cursor(cursor);
    }

    fn mode(&self) -> &'static str {
        if self.pane.prompts() { "INPUT" } else { "NAV" }
    }

    fn hints(&self) -> Vec<(String, String)> {
        self.pane.hints()
    }
}

impl Session {
    /// The directory of the focused pane's program, else where shells start.
    fn here(&self) -> PathBuf {
        let focused = self.model.focused().and_then(|id| self.slots.get(&id));
        focused
            .and_then(|s| s.pane.pid().and_then(qd_panes::process_cwd))
            .or_else(|| focused.and_then(|s| s.spec.cwd.clone()).map(PathBuf::from))
            .or_else(|| self.options.cwd.clone())
            .or_else(|| std::env::current_dir().ok())
            .unwrap_or_else(|| PathBuf::from("/"))
    }

    /// Opens the picker over everything there is now.
    pub(crate) fn open_search(&mut self) -> Result<(), String> {
        let root = self.here();
        let mut sources: Vec<Arc<dyn Source>> = Vec::new();
        let ids: Vec<PaneId> = self.slots.keys().copied().collect();
        for id in ids {
            let tab = self.model.pane_tab(id);
            let tab = self.model.tabs().iter().find(|t| Some(t.id) == tab);
            let tab = tab.map(|t| t.name.clone()).unwrap_or_default();
            let label = self.model.pane(id).map(|p| p.label().to_owned()).unwrap_or_default();
            let title = format!("{label} (pane {id}, {tab})");
            let Some(s) = self.slots.get_mut(&id) else { continue };
            if s.crashed.is_none() {
                sources.extend(guarded(s, |pane| pane.source(id, &title)).flatten());
            }
        }
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(home) = var("HOME") {
            sources.push(Arc::new(ShellHistory::new(&home, var("HISTFILE").as_deref())));
        }
        sources.push(Arc::new(Files::indexed(&root)));
        let pane = self
            .factories
            .search_everything(sources, root)
            .map_err(|e| e.to_string())?;
        let overlay = SearchOverlay {
            pane,
            inner: Rect::default(),
        };
        self.open_overlay(Box::new(overlay), Purpose::Everything);
        Ok(())
    }

    /// Hears what the picker has to say, and closes it when the person is done.
    pub(crate) fn hear_search(&mut self) {
        let Some(top) = self.overlays.last_mut() else { return };
        let any: &mut dyn Any = &mut *top.overlay;
        let Some(search) = any.downcast_mut::<SearchOverlay>() else {
            return;
        };
        let events = search.pane.events();
        let leave = search.pane.wants_to_leave();
        self.touch_chrome();
        if leave {
            self.overlays.pop();
            self.touch_all();
        }
        let Some(focused) = self.model.focused() else { return };
        for e in events {
            // The title is the picker's, not the pane's below it.
            if !matches!(e, PaneEvent::Title(_)) {
                self.on_pane_event(focused, e);
            }
        }
    }

    /// Goes to a line of a pane.
    pub(crate) fn go_to(&mut self, pane: PaneId, part: u32, line: u64) {
        if let Err(why) = self.perform(None, &Action::FocusPane(pane).into()) {
            self.say(Level::Warn, &why);
            return;
        }
        let Some(s) = self.slots.get_mut(&pane) else { return };
        let went = guarded(s, |p| p.go_to(Some(part), line));
        s.generation += 1;
        self.after_pane(pane);
        self.follow_copy_mode(pane);
        if let Some(Err(why)) = went {
            self.toast(Level::Warn, &why.to_string());
        }
    }

    /// Puts text before a shell: the one that had the focus last, else one of this tab, else any.
    pub(crate) fn send_to_shell(&mut self, text: &str) {
        let is_shell = |s: &crate::slots::Slot| {
            s.spec.kind == PaneSpec::TERMINAL && s.spec.command.is_none() && !s.pane.is_dead() && s.crashed.is_none()
        };
        let shells: Vec<PaneId> = self
            .slots
            .iter()
            .filter(|(_, s)| is_shell(s))
            .map(|(id, _)| *id)
            .collect();
        let tab = self.model.active_tab().map(|t| t.id);
        let last = self.last_shell.filter(|id| shells.contains(id));
        let here = || shells.iter().copied().find(|id| self.model.pane_tab(*id) == tab);
        let Some(shell) = last.or_else(here).or_else(|| shells.first().copied()) else {
            self.toast(Level::Warn, "there is no shell to send it to");
            return;
        };
        if let Err(why) = self.perform(None, &Action::FocusPane(shell).into()) {
            self.say(Level::Warn, &why);
            return;
        }
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        self.paste_into(shell, text.into_bytes());
    }
}
