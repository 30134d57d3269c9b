//! The mouse: who gets it, and what a click, a drag and a turn of the wheel on the session's own parts do. It owns the
//! state of a drag and the places of the bars' parts as they were last drawn.

use qd_mux::{Action, Border, PaneId, Part};
use qd_tty::{InputEvent, MouseButton, MouseEvent, MouseKind};
use qd_ui::bars::{Hit, HitId, hit};

use crate::session::Session;

/// What a held button is doing.
#[derive(Debug, Clone, Default)]
enum Hold {
    /// Nothing.
    #[default]
    Nothing,
    /// It began inside a pane: that pane hears of it until it is released.
    Pane(PaneId),
    /// It drags a border.
    Border(Border),
}

/// The mouse's state.
#[derive(Debug, Default)]
pub(crate) struct MouseState {
    hold: Hold,
    pub(crate) tab_hits: Vec<Hit>,
    pub(crate) hint_hits: Vec<Hit>,
    pub(crate) hint_actions: Vec<Vec<Action>>,
}

impl Session {
    /// A mouse event from a client.
    pub(crate) fn on_mouse(&mut self, client: u32, m: &MouseEvent) {
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.overlay.mouse(m);
            self.overlay_outcome(client, outcome);
            return;
        }
        match (self.mouse.hold.clone(), m.kind) {
            (Hold::Pane(id), MouseKind::Drag(_) | MouseKind::Release(_)) => {
                if matches!(m.kind, MouseKind::Release(_)) {
                    self.mouse.hold = Hold::Nothing;
                }
                self.mouse_to_pane(id, m);
            }
            (Hold::Border(border), MouseKind::Drag(_)) => {
                let effects = self.model.move_border(&border, (m.col, m.row));
                self.run_effects(effects);
            }
            (Hold::Border(_), MouseKind::Release(_)) => self.mouse.hold = Hold::Nothing,
            (_, MouseKind::Press(MouseButton::Left)) if self.click_bars(client, m) => {}
            _ => self.mouse_elsewhere(m),
        }
    }

    fn mouse_elsewhere(&mut self, m: &MouseEvent) {
        let Some((id, part)) = self.model.pane_at(m.col, m.row) else {
            return;
        };
        let press = matches!(m.kind, MouseKind::Press(_));
        if press
            && self.model.focused() != Some(id)
            && let Ok(effects) = self.model.apply(&Action::FocusPane(id).into())
        {
            self.run_effects(effects);
        }
        match part {
            Part::Inner => {
                if press {
                    self.mouse.hold = Hold::Pane(id);
                }
                self.mouse_to_pane(id, m);
            }
            Part::Frame(_) if press => {
                self.mouse.hold = self.model.border_at(m.col, m.row).map_or(Hold::Nothing, Hold::Border);
            }
            Part::Frame(_) => {
                if matches!(m.kind, MouseKind::WheelUp | MouseKind::WheelDown) {
                    self.mouse_to_pane(id, m);
                }
            }
        }
    }

    /// Gives an event to a pane, with its place made relative and kept inside.
    fn mouse_to_pane(&mut self, id: PaneId, m: &MouseEvent) {
        let Some(p) = self.model.placements().into_iter().find(|p| p.pane == id) else {
            return;
        };
        if p.inner.is_empty() {
            return;
        }
        let event = MouseEvent {
            col: m.col.clamp(p.inner.x, p.inner.right() - 1) - p.inner.x,
            row: m.row.clamp(p.inner.y, p.inner.bottom() - 1) - p.inner.y,
            ..*m
        };
        self.input_to(id, &InputEvent::Mouse(event));
    }

    /// A click on a bar.
    fn click_bars(&mut self, client: u32, m: &MouseEvent) -> bool {
        let at = |hits: &[Hit]| hit(hits, m.col, m.row);
        let Some(id) = at(&self.mouse.tab_hits).or_else(|| at(&self.mouse.hint_hits)) else {
            return false;
        };
        let actions = match id {
            HitId::Tab(i) => vec![Action::GoToTab(u32::try_from(i + 1).unwrap_or(u32::MAX))],
            HitId::NewTab => vec![Action::NewTab {
                name: None,
                cwd: None,
                spec: None,
            }],
            HitId::Hint(i) => self.mouse.hint_actions.get(i).cloned().unwrap_or_default(),
            HitId::MoreHints => vec![Action::Help],
            HitId::Session => vec![Action::SessionPicker],
            HitId::Mode => vec![Action::SwitchMode(qd_mux::Mode::Leader)],
        };
        self.run_actions(client, &actions);
        true
    }
}
