//! What clients send: greetings, requests, keys. Keys go to the top overlay, else through the keymap, else to the focused
//! pane, in exactly the order they came.

use std::time::Instant;

use qd_mux::{Action, KeyOutcome, Mode, PaneId};
use qd_proto::{ActionReply, Attach, AttachMode, ClientMsg, Hello, ProtoError, Purpose, ServerMsg};
use qd_tty::{InputEvent, Key, KeyEvent, KeyKind, Mods};
use tracing::{debug, warn};

use crate::{
    client::Stage,
    messages::Level,
    session::{Fate, Session},
};

impl Session {
    /// Takes every whole message a client has sent.
    pub(crate) fn read_messages(&mut self, id: u32) {
        loop {
            let Some(c) = self.clients.get_mut(&id) else { return };
            let msg = match c.stage {
                Stage::Greeting => match Hello::parse(c.input.rest()) {
                    Ok(None) => return,
                    Ok(Some((hello, n))) => {
                        c.input.skip(n);
                        // The other side reads our greeting and says what does not fit; it will not go on.
                        c.stage = if hello.check().is_ok() {
                            Stage::Opening
                        } else {
                            Stage::Closing
                        };
                        continue;
                    }
                    Err(e) => Err(e),
                },
                Stage::Closing => return,
                _ => c.input.take_msg::<ClientMsg>(),
            };
            match msg {
                Ok(Some(msg)) => self.on_message(id, msg),
                Ok(None) => return,
                Err(e) => {
                    self.bad_client(id, &e);
                    return;
                }
            }
        }
    }

    fn bad_client(&mut self, id: u32, e: &ProtoError) {
        warn!(client = id, "dropped: {e}");
        if let Some(c) = self.clients.get_mut(&id) {
            c.farewell(&ServerMsg::Refused { reason: e.to_string() });
        }
    }

    fn on_message(&mut self, id: u32, msg: ClientMsg) {
        let Some(c) = self.clients.get_mut(&id) else { return };
        match (c.stage, msg) {
            (Stage::Opening, ClientMsg::Open(purpose)) => self.on_open(id, purpose),
            (Stage::Attached(_), ClientMsg::Ack(n)) => c.ack(n, Instant::now()),
            (Stage::Attached(_), ClientMsg::Caps(caps)) => {
                let light = caps.light != c.caps.light && caps.light.is_some();
                c.set_caps(caps, &self.theme);
                if light {
                    if let Some(t) = crate::settings::theme_of(&self.config, caps.light, &mut self.messages) {
                        self.theme = t;
                    }
                    for c in self.clients.values_mut() {
                        c.set_theme(&self.theme);
                    }
                    self.tell_scheme();
                }
            }
            (Stage::Attached(_), ClientMsg::Repaint) => c.repaint(),
            (Stage::Attached(_), ClientMsg::Direct(tty)) => c.borrow_tty(&tty),
            (Stage::Attached(_), ClientMsg::Own(bytes)) => c.push_extra(&bytes),
            (Stage::Attached(_), ClientMsg::Resize(size)) => {
                c.set_size(size);
                c.painter.invalidate();
                self.fit_to_clients();
            }
            (Stage::Attached(AttachMode::Interactive), ClientMsg::Input(events)) => {
                for e in events {
                    self.on_event(id, e);
                }
            }
            (Stage::Attached(AttachMode::ReadOnly), ClientMsg::Input(events)) => {
                let leave = events.iter().any(|e| matches!(e, InputEvent::Key(k)
                    if k.kind == KeyKind::Press && (k.key == Key::Char('q') || (k.key == Key::Char('c') && k.mods == Mods::CTRL))));
                if leave {
                    self.detach_client(id, "watched the session");
                }
            }
            (Stage::Attached(_), ClientMsg::Detach) => self.detach_client(id, "detached"),
            (_, other) => debug!(client = id, "an unexpected message was passed over: {other:?}"),
        }
    }

    fn on_open(&mut self, id: u32, purpose: Purpose) {
        match purpose {
            Purpose::Attach(a) => self.attach(id, a),
            Purpose::Info => {
                let info = self.info();
                self.answer(id, &ServerMsg::Info(info));
            }
            Purpose::Kill => {
                self.answer(
                    id,
                    &ServerMsg::Action(ActionReply {
                        status: 0,
                        output: String::new(),
                        error: String::new(),
                    }),
                );
                self.fate = Fate::Ending("the session was ended from the command line".to_owned());
            }
            Purpose::Action(request) => {
                self.open_layout();
                let reply = self.run_request(&request);
                self.answer(id, &ServerMsg::Action(reply));
            }
        }
    }

    fn answer(&mut self, id: u32, msg: &ServerMsg) {
        if let Some(c) = self.clients.get_mut(&id) {
            c.farewell(msg);
        }
    }

    fn attach(&mut self, id: u32, a: Attach) {
        if a.exclusive {
            let others: Vec<u32> = self
                .clients
                .iter()
                .filter(|(_, c)| c.is_attached())
                .map(|(i, _)| *i)
                .collect();
            for other in others {
                self.detach_client(other, "another client took the session over");
            }
        }
        if a.mode == AttachMode::Interactive {
            self.env.update(&a.env);
        }
        if let Some(c) = self.clients.get_mut(&id) {
            c.stage = Stage::Attached(a.mode);
            c.tty = a.tty;
            c.set_caps(a.caps, &self.theme);
            c.set_size(a.size);
        }
        self.fit_to_clients();
        self.open_layout();
        self.touch_chrome();
    }

    /// Lets a client go; the session goes on.
    pub(crate) fn detach_client(&mut self, id: u32, why: &str) {
        let Some(c) = self.clients.get_mut(&id) else { return };
        c.farewell(&ServerMsg::Detached {
            reason: format!("{why}: qd attach {} comes back", self.name),
        });
        self.fit_to_clients();
        self.touch_chrome();
    }

    fn on_event(&mut self, id: u32, e: InputEvent) {
        match e {
            InputEvent::Key(k) => self.on_key(id, &k),
            InputEvent::Mouse(m) => self.on_mouse(id, &m),
            InputEvent::Paste(data) => self.on_paste(id, data),
            InputEvent::FocusGained | InputEvent::FocusLost => {
                if let Some(pane) = self.model.focused() {
                    self.input_to(pane, &e);
                }
            }
            InputEvent::Unknown(_) => {
                if self.overlays.is_empty()
                    && matches!(self.model.mode(), Mode::Raw | Mode::Lock)
                    && let Some(pane) = self.model.focused()
                {
                    self.input_to(pane, &e);
                }
            }
        }
    }

    /// One key, wherever the keys go now.
    pub(crate) fn on_key(&mut self, client: u32, k: &KeyEvent) {
        if self.overlays.is_empty() {
            if k.kind == KeyKind::Release {
                if matches!(self.model.mode(), Mode::Raw | Mode::Lock)
                    && let Some(pane) = self.model.focused()
                {
                    self.input_to(pane, &InputEvent::Key(*k));
                }
                return;
            }
            let before = self.model.mode();
            let outcome = self.model.key(&k.chord(), &self.keymap);
            self.key_outcome(client, k, outcome);
            if self.model.mode() != before {
                let mode = self.model.mode();
                if before == Mode::Copy || mode == Mode::Copy {
                    self.mode_changed(mode);
                }
                self.touch_chrome();
            }
        } else if k.kind != KeyKind::Release
            && let Some(top) = self.overlays.last_mut()
        {
            let outcome = top.overlay.key(k);
            self.overlay_outcome(client, outcome);
        }
    }

    fn key_outcome(&mut self, client: u32, k: &KeyEvent, outcome: KeyOutcome) {
        match outcome {
            KeyOutcome::Forward => self.key_to_pane(client, k),
            KeyOutcome::Run(actions) => self.run_actions(client, &actions),
            KeyOutcome::RunThenForward(actions) => {
                self.run_actions(client, &actions);
                self.key_to_pane(client, k);
            }
            KeyOutcome::Swallow => self.touch_chrome(),
            KeyOutcome::Unbound => {
                let text = format!("{} does nothing here", k.chord());
                self.toast(Level::Info, &text);
            }
        }
    }

    /// A key for the focused pane: its program's, or, when that has ended, ours.
    fn key_to_pane(&mut self, client: u32, k: &KeyEvent) {
        let Some(id) = self.model.focused() else { return };
        let Some(s) = self.slots.get(&id) else { return };
        let (crashed, dead) = (s.crashed.is_some(), s.pane.is_dead());
        let action = match (k.key, k.mods) {
            (Key::Char('r'), m) if crashed && m.is_empty() => Some(Action::RerunPane),
            (Key::Enter, _) if dead && !crashed => Some(Action::RerunPane),
            (Key::Char('c'), Mods::CTRL) if dead || crashed => Some(Action::ClosePane),
            _ => None,
        };
        match action {
            Some(a) => self.run_actions(client, &[a]),
            None => self.input_to(id, &InputEvent::Key(*k)),
        }
    }

    fn on_paste(&mut self, client: u32, data: Vec<u8>) {
        if let Some(top) = self.overlays.last_mut() {
            let outcome = top.overlay.paste(&String::from_utf8_lossy(&data));
            self.overlay_outcome(client, outcome);
            return;
        }
        let Some(id) = self.model.focused() else { return };
        let guard = self.config.paste_guard.is_on();
        let ask = guard
            && self
                .slots
                .get_mut(&id)
                .and_then(|s| s.pane.terminal())
                .is_some_and(|t| t.paste_needs_confirmation(&data));
        if ask {
            self.confirm_paste(id, data);
        } else {
            self.paste_into(id, data);
        }
    }

    /// Pastes into a pane.
    pub(crate) fn paste_into(&mut self, id: PaneId, data: Vec<u8>) {
        self.input_to(id, &InputEvent::Paste(data));
    }
}
