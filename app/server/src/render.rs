//! Composing frames: a client's frame is brought up to date pane by pane, and only where something changed; then its
//! painter sends the difference. The first change after a rest is drawn at once, after that at the configured rate; the
//! echo of a key is drawn at once always, and alone, so that it does not wait for a flood beside it.

use std::time::{Duration, Instant};

use qd_frame::Style;
use qd_mux::{PaneId, Placement, TabId};
use qd_panes::{Focus, Pane};
use qd_tty::{Cell, CursorShape, Rect, Size};
use qd_ui::{
    Glyphs, Look, Role,
    bars::{Hint, HintBar, StatusItem, TabBar, TabItem},
    pane_frame::{FrameState, PaneFrame},
};

use crate::{
    client::{Boost, Client, Got},
    session::Session,
    slots::{Slot, guarded},
};

/// How long the loop may sleep when nothing is due but the clock's business is to be looked after.
const IDLE_ATTACHED: Duration = Duration::from_secs(1);

/// The shortest wait for a pane that is to be drawn again by the clock.
const SHORTEST_DUE: Duration = Duration::from_millis(10);

/// A round trip that the bottom line tells of.
const SLOW_LINK: Duration = Duration::from_millis(50);

/// What a client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Frame,
    Echo,
}

impl Session {
    /// Sends every frame that is due; says how long the loop may wait.
    pub(crate) fn render_due(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let mut wait: Option<Duration> = None;
        let mut sooner = |d: Duration| wait = Some(wait.map_or(d, |w: Duration| w.min(d)));
        let ids: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, c)| c.is_attached())
            .map(|(id, _)| *id)
            .collect();
        let attached = !ids.is_empty();
        for id in ids {
            let need = self.need(id, now, &mut sooner);
            if need == Need::Nothing {
                continue;
            }
            let Some(c) = self.clients.get_mut(&id) else { continue };
            let boost = if need == Need::Echo { Boost::Yes } else { Boost::No };
            if !c.may_send(boost) {
                continue; // An acknowledgement, or room in the socket, wakes the loop.
            }
            if boost == Boost::No
                && let Err(d) = c.pace.take(now)
            {
                sooner(d);
                continue;
            }
            self.compose(id, boost, now);
            if let Some(c) = self.clients.get_mut(&id) {
                let gone = c.send_frame() == Got::Gone;
                self.after_client(id, gone);
            }
        }
        if attached {
            sooner(IDLE_ATTACHED);
            // A pane that cannot be drawn in time (a slow client) does not keep the loop running.
            self.seen_due()
                .for_each(|(_, t)| sooner(t.saturating_duration_since(now).max(SHORTEST_DUE)));
            if let Some(at) = self.toasts.next_expiry() {
                sooner(Duration::from_millis(at.saturating_sub(self.millis(now)).max(1)));
            }
        }
        wait
    }

    /// The panes on the screen that are to be drawn again by the clock, with when.
    pub(crate) fn seen_due(&self) -> impl Iterator<Item = (PaneId, Instant)> {
        self.model.placements().into_iter().filter_map(|p| {
            let s = self.slots.get(&p.pane).filter(|s| s.crashed.is_none())?;
            Some((p.pane, s.pane.due()?))
        })
    }

    /// Whether a client's frame is behind, and by what.
    fn need(&self, id: u32, now: Instant, sooner: &mut impl FnMut(Duration)) -> Need {
        let Some(c) = self.clients.get(&id) else {
            return Need::Nothing;
        };
        let mut need = if c.drawn_chrome != self.chrome || c.has_extra() {
            Need::Frame
        } else {
            Need::Nothing
        };
        for p in self.model.placements() {
            let Some(s) = self.slots.get(&p.pane) else { continue };
            if c.drawn.get(&p.pane) == Some(&s.generation) {
                continue;
            }
            if let Some(left) = Self::held_back(s, now) {
                sooner(left);
                continue;
            }
            if s.boost_until.is_some_and(|t| now < t) && self.overlays.is_empty() {
                return Need::Echo;
            }
            need = Need::Frame;
        }
        need
    }

    /// Brings a client's frame up to date.
    fn compose(&mut self, id: u32, boost: Boost, now: Instant) {
        let Some(mut c) = self.clients.remove(&id) else { return };
        let placements = self.model.placements();
        let covered = !self.overlays.is_empty() || !self.toasts.is_empty();
        let whole = c.drawn_chrome != self.chrome || covered;
        let echo_only = boost == Boost::Yes && !whole;
        if whole {
            c.frame.clear();
            c.drawn.clear();
        }
        for p in &placements {
            let Some(s) = self.slots.get_mut(&p.pane) else { continue };
            let fresh = c.drawn.get(&p.pane) == Some(&s.generation);
            let boosted = s.boost_until.is_some_and(|t| now < t);
            let held = !whole && Self::held_back(s, now).is_some();
            if fresh || held || (echo_only && !boosted) {
                continue;
            }
            let cursor = draw_pane(s, p, &mut c, self.model.pane(p.pane).map_or("", |i| i.label()));
            c.drawn.insert(p.pane, s.generation);
            if p.focused {
                c.frame.set_cursor(cursor);
            }
        }
        if whole {
            self.draw_bars(&mut c);
            c.drawn_chrome = self.chrome;
            if c.size != self.model.size() {
                shade_rest(&mut c, self.model.size());
            }
            let area = self.screen_of(&c);
            let Client { frame, look, .. } = &mut c;
            self.toasts.draw(area, frame, look);
            if let Some(top) = self.overlays.last_mut() {
                frame.set_cursor(None);
                top.overlay.draw(area, frame, look);
            }
            let title = self.outer_title();
            if c.title != title {
                c.push_extra(format!("\x1b]2;{title}\x1b\\").as_bytes());
                c.title = title;
            }
        }
        self.clients.insert(id, c);
    }

    fn screen_of(&self, c: &Client) -> Rect {
        let s = self.model.size();
        Rect::new(0, 0, s.cols.min(c.size.cols), s.rows.min(c.size.rows))
    }

    /// The title for the outer terminal.
    fn outer_title(&self) -> String {
        let pane = self
            .model
            .focused()
            .and_then(|id| self.model.pane(id))
            .map_or("", |i| i.label());
        let text = if pane.is_empty() {
            self.name.clone()
        } else {
            format!("{} \u{2014} {pane}", self.name)
        };
        text.chars().filter(|c| !c.is_control()).take(120).collect()
    }

    fn draw_bars(&mut self, c: &mut Client) {
        let screen = self.screen_of(c);
        if let Some(area) = self.model.tab_bar() {
            let tabs = self.tab_items();
            let bar = TabBar {
                session: &self.name,
                tabs: &tabs,
                right: "",
            };
            let hits = bar.draw(&mut c.frame, area.intersect(screen), &c.look);
            self.mouse.tab_hits = hits;
        }
        if let Some(area) = self.model.bottom_bar() {
            let (mode, role) = self.mode_word();
            let hints = self.hint_list();
            let right = self.status_items(c);
            let bar = HintBar {
                mode,
                mode_role: role,
                hints: &hints,
                right: &right,
            };
            let hits = bar.draw(&mut c.frame, area.intersect(screen), &c.look);
            self.mouse.hint_hits = hits;
        }
    }

    fn tab_items(&self) -> Vec<TabItem> {
        let active = self.model.active_tab().map(|t| t.id);
        let marks = |tab: TabId| {
            let of_tab = || {
                self.slots
                    .iter()
                    .filter(|(id, _)| self.model.pane_tab(**id) == Some(tab))
                    .map(|(_, s)| s)
            };
            (of_tab().any(|s| s.bell), of_tab().any(|s| s.activity))
        };
        self.model
            .tabs()
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let (bell, activity) = marks(t.id);
                TabItem {
                    index: i + 1,
                    name: t.name.clone(),
                    active: active == Some(t.id),
                    bell,
                    activity,
                }
            })
            .collect()
    }

    /// The word for what the keys do now.
    fn mode_word(&self) -> (&'static str, Role) {
        if let Some(o) = self.overlays.last() {
            let word = o.overlay.mode();
            return (word, Role::for_mode(word));
        }
        let prompts = || {
            let pane = self.model.focused().and_then(|id| self.slots.get(&id));
            pane.is_some_and(|s| s.pane.prompts())
        };
        let mode = match self.model.mode() {
            qd_mux::Mode::Nav if prompts() => qd_mux::Mode::Input,
            other => other,
        };
        (mode.word(), Role::for_mode(mode.word()))
    }

    /// What the keys do now, the most useful first; an entry's number finds its actions when it is clicked.
    fn hint_list(&mut self) -> Vec<Hint> {
        self.mouse.hint_actions.clear();
        if self.hints == qd_config::Hints::Off {
            return Vec::new();
        }
        if let Some(o) = self.overlays.last() {
            let own = o
                .overlay
                .hints()
                .into_iter()
                .map(|(key, label)| Hint::new(key, label, usize::MAX));
            return own.collect();
        }
        let mode = self.model.mode();
        let mut out = Vec::new();
        let mut add = |actions: Vec<qd_mux::Action>, key: String, label: String| {
            out.push(Hint::new(key, label, self.mouse.hint_actions.len()));
            self.mouse.hint_actions.push(actions);
        };
        let dead = self
            .model
            .focused()
            .and_then(|id| self.slots.get(&id))
            .is_some_and(|s| s.pane.is_dead());
        let crashed = self
            .model
            .focused()
            .and_then(|id| self.slots.get(&id))
            .is_some_and(|s| s.crashed.is_some());
        if mode == qd_mux::Mode::Raw && crashed {
            add(vec![qd_mux::Action::RerunPane], "r".into(), "restart".into());
        } else if mode == qd_mux::Mode::Raw && dead {
            add(vec![qd_mux::Action::RerunPane], "Enter".into(), "rerun".into());
            add(vec![qd_mux::Action::ClosePane], "Ctrl-c".into(), "close".into());
        }
        if mode == qd_mux::Mode::Nav {
            let own = self.model.focused().and_then(|id| self.slots.get(&id));
            for (key, label) in own.map(|s| s.pane.hints()).unwrap_or_default() {
                add(Vec::new(), key, label);
            }
        }
        if matches!(mode, qd_mux::Mode::Raw | qd_mux::Mode::Nav | qd_mux::Mode::Lock)
            && let Some(leader) = self.keymap.leader()
        {
            let text = if mode == qd_mux::Mode::Lock {
                "twice unlocks"
            } else {
                "menu"
            };
            add(
                vec![qd_mux::Action::SwitchMode(qd_mux::Mode::Leader)],
                leader.to_string(),
                text.into(),
            );
            let via = |key: &str| format!("{leader} {key}");
            if mode == qd_mux::Mode::Raw && self.hints == qd_config::Hints::Full {
                let wanted = [
                    qd_mux::Action::Palette,
                    qd_mux::Action::SwitchMode(qd_mux::Mode::New),
                    qd_mux::Action::SwitchMode(qd_mux::Mode::Tab),
                    qd_mux::Action::SwitchMode(qd_mux::Mode::Copy),
                    qd_mux::Action::Detach,
                    qd_mux::Action::Help,
                ];
                for a in wanted {
                    let found = self
                        .keymap
                        .bindings(qd_mux::Mode::Leader)
                        .find(|(_, b)| b.actions.as_slice() == std::slice::from_ref(&a))
                        .map(|(c, b)| (c.to_string(), b.label.clone()));
                    if let Some((key, label)) = found {
                        add(vec![a], via(&key), label);
                    }
                }
            }
        }
        let bound: Vec<_> = self
            .keymap
            .bindings(mode)
            .filter(|(_, b)| !b.label.is_empty())
            .map(|(c, b)| (c.to_string(), b.label.clone(), b.actions.clone()))
            .collect();
        let mut seen: Vec<String> = Vec::new();
        for (key, label, actions) in bound {
            if !seen.contains(&label) {
                seen.push(label.clone());
                add(actions, key, label);
            }
        }
        out
    }

    fn status_items(&self, c: &Client) -> Vec<StatusItem> {
        let mut out = Vec::new();
        if let Some(t) = c.round_trip.filter(|t| *t >= SLOW_LINK) {
            out.push(StatusItem {
                text: format!("link {} ms", t.as_millis()),
                role: Role::BarText,
            });
        }
        let n = self.clients.values().filter(|c| c.is_attached()).count() + 1;
        if n > 1 {
            out.push(StatusItem {
                text: format!("{n} clients"),
                role: Role::BarText,
            });
        }
        if self.model.active_tab().is_some_and(|t| t.fullscreen) {
            out.push(StatusItem {
                text: "zoomed".to_owned(),
                role: Role::BarText,
            });
        }
        let errors = self.messages.unseen_errors();
        if errors > 0 {
            out.push(StatusItem {
                text: format!("\u{2717} {errors} :messages"),
                role: Role::TabBell,
            });
        }
        out
    }
}

/// Draws a pane's inside and its frame.
fn draw_pane(s: &mut Slot, p: &Placement, c: &mut Client, title: &str) -> Option<(u16, u16, CursorShape)> {
    let focus = if p.focused { Focus::Focused } else { Focus::Unfocused };
    let Client { frame, look, .. } = c;
    let mut cursor = None;
    if p.framed && PaneFrame::is_compact(p.outer) {
        frame.fill(p.outer, Cell::BLANK);
    } else if s.crashed.is_none() && !p.inner.is_empty() {
        cursor = guarded(s, |pane: &mut dyn Pane| pane.draw(frame, p.inner, look, focus)).flatten();
    }
    if let Some(message) = &s.crashed
        && !(p.framed && PaneFrame::is_compact(p.outer))
    {
        draw_crash(frame, p.inner, look, message);
        cursor = None;
    }
    if p.framed {
        let state = match (s.crashed.is_some() || s.pane.is_dead(), s.bell, p.focused) {
            (true, _, true) => FrameState::DeadFocused,
            (true, ..) => FrameState::Dead,
            (false, true, false) => FrameState::Alert,
            (false, _, true) => FrameState::Focused,
            _ => FrameState::Normal,
        };
        let status = match &s.crashed {
            Some(_) => "crashed \u{b7} r restarts".to_owned(),
            None => s.pane.status(),
        };
        let pf = PaneFrame {
            title,
            right: &status,
            state,
            scroll: s.pane.scroll(),
            ticks: &[],
        };
        pf.draw(frame, p.outer, look);
    } else {
        draw_dividers(frame, p, look);
    }
    cursor
}

/// Without frames, a line parts a pane from the one at its right and the one below it.
fn draw_dividers(frame: &mut qd_frame::Frame, p: &Placement, look: &Look) {
    let style = look.style(if p.focused {
        Role::PaneFrameFocused
    } else {
        Role::PaneFrame
    });
    let (down, across) = match look.glyphs() {
        Glyphs::Ascii => ('|', '-'),
        Glyphs::Unicode => ('\u{2502}', '\u{2500}'),
    };
    if p.inner.right() < p.outer.right() {
        let r = Rect::new(p.inner.right(), p.outer.y, p.outer.right() - p.inner.right(), p.outer.h);
        frame.fill(r, style.cell(qd_tty::Sym::from_char(down)));
    }
    if p.inner.bottom() < p.outer.bottom() {
        let r = Rect::new(
            p.outer.x,
            p.inner.bottom(),
            p.outer.w,
            p.outer.bottom() - p.inner.bottom(),
        );
        frame.fill(r, style.cell(qd_tty::Sym::from_char(across)));
    }
}

/// What a crashed pane shows.
fn draw_crash(frame: &mut qd_frame::Frame, area: Rect, look: &Look, message: &str) {
    frame.fill(area, Cell::BLANK);
    let rows = qd_panes::put_wrapped(
        frame,
        area,
        &format!("This pane crashed: {message}"),
        look.style(Role::TextError),
    );
    let rest = Rect::new(area.x, area.y + rows, area.w, area.h.saturating_sub(rows));
    qd_panes::put_wrapped(
        frame,
        rest,
        "r restarts it. What it ran goes on; nothing of it is lost.",
        look.style(Role::TextDim),
    );
}

/// Fills what lies outside the session's size on a client that is larger than the smallest.
fn shade_rest(c: &mut Client, size: Size) {
    let style: Style = c.look.style(Role::TextDim);
    let mut cell = Cell {
        sym: qd_tty::Sym::from_char('\u{b7}'),
        ..Cell::BLANK
    };
    if c.caps.ascii {
        cell.sym = qd_tty::Sym::from_char('.');
    }
    cell.fg = style.fg;
    cell.attrs = style.attrs;
    let (w, h) = (c.size.cols, c.size.rows);
    if w > size.cols {
        c.frame.fill(Rect::new(size.cols, 0, w - size.cols, h), cell);
    }
    if h > size.rows {
        c.frame
            .fill(Rect::new(0, size.rows, w.min(size.cols), h - size.rows), cell);
    }
}
