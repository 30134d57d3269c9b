//! Overlays over the panes: the palette, the command line, help, messages, pickers, prompts and confirmations. This module
//! fills them from the session's state and carries out what was chosen; how they look and move is the widgets' business.

use std::time::UNIX_EPOCH;

use qd_mux::{Action, Danger, Invocation, Mode, PaneId};
use qd_panes::SearchDirection;
use qd_tty::Chord;
use qd_ui::{
    Completion, Confirm, ConfirmKind, Multi, Outcome, Overlay, PickItem, Picker, Prompt, Role, Submit, Viewer,
    ViewerLine,
};

use crate::{messages::Level, session::Session};

/// What an overlay was opened for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// An action's name is chosen.
    Palette,
    /// A whole command is typed.
    CommandLine,
    /// Something is only looked at.
    Look,
    /// A pane is chosen.
    Pane,
    /// A tab is chosen.
    Tab,
    /// A session is chosen.
    Session,
    /// A theme is chosen.
    Theme,
    /// The leader is chosen.
    Leader,
    /// The kind of a new pane is chosen.
    Kind,
    /// A pane gets a name.
    RenamePane(PaneId),
    /// The active tab gets a name.
    RenameTab,
    /// A text is searched for in a pane.
    Search(PaneId, SearchDirection),
    /// These actions are carried out when they are confirmed.
    Confirm(Vec<Invocation>),
    /// This is pasted when it is confirmed.
    Paste(PaneId, Vec<u8>),
    /// Everything is searched.
    Everything,
    /// An action's missing argument is typed.
    Argument(&'static str),
}

/// An overlay and its purpose.
pub(crate) struct Open {
    pub(crate) overlay: Box<dyn Overlay>,
    pub(crate) purpose: Purpose,
}

impl Session {
    /// Opens an overlay over whatever is there.
    pub(crate) fn open_overlay(&mut self, overlay: Box<dyn Overlay>, purpose: Purpose) {
        self.overlays.push(Open { overlay, purpose });
        self.touch_chrome();
    }

    /// Keeps a message, and shows it for a while.
    pub(crate) fn say(&mut self, level: Level, text: &str) {
        self.messages.push(level, text);
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let first = lines.next().unwrap_or_default();
        match lines.next() {
            // A finding names its place in the second line; the whole of it is in the messages.
            Some(place) => {
                let place = place.trim_start_matches("--> ");
                self.toast(level, &format!("{first} ({place}; :messages)"));
            }
            None => self.toast(level, first),
        }
    }

    /// Shows a message for a while.
    pub(crate) fn toast(&mut self, level: Level, text: &str) {
        let kind = match level {
            Level::Info => qd_ui::Level::Info,
            Level::Warn => qd_ui::Level::Warn,
            Level::Error => qd_ui::Level::Error,
        };
        self.toasts.push(kind, text);
        self.touch_chrome();
    }

    /// What an overlay answered to input.
    pub(crate) fn overlay_outcome(&mut self, client: u32, outcome: Outcome) {
        match outcome {
            Outcome::Ignored => {}
            Outcome::Changed => {
                self.preview_theme();
                self.hear_search();
                self.touch_chrome();
            }
            Outcome::Close => {
                if let Some(o) = self.overlays.pop()
                    && matches!(o.purpose, Purpose::Theme)
                {
                    let name = self.config.theme.clone();
                    let _ = self.set_theme(&name);
                }
                self.touch_all();
            }
            Outcome::Submit(Submit::Copy(text)) => self.copy_out(&text),
            Outcome::Submit(submit) => {
                if let Some(o) = self.overlays.pop() {
                    self.touch_all();
                    self.submitted(client, o.purpose, submit);
                }
            }
        }
    }

    fn submitted(&mut self, client: u32, purpose: Purpose, submit: Submit) {
        match (purpose, submit) {
            (Purpose::Palette, Submit::Pick { ids, .. }) => {
                for name in ids {
                    *self.frecency.entry(name.clone()).or_default() += 10;
                    self.run_named(client, &name);
                }
            }
            (Purpose::CommandLine, Submit::Text(text)) => self.run_line(client, &text),
            (Purpose::Argument(name), Submit::Text(text)) => self.run_line(client, &format!("{name} {text}")),
            (Purpose::Pane, Submit::Pick { ids, .. }) => {
                if let Some(id) = ids.first().and_then(|s| s.parse().ok()) {
                    self.run_actions(client, &[Action::FocusPane(PaneId(id))]);
                }
            }
            (Purpose::Tab, Submit::Pick { ids, .. }) => {
                if let Some(n) = ids.first().and_then(|s| s.parse().ok()) {
                    self.run_actions(client, &[Action::GoToTab(n)]);
                }
            }
            (Purpose::Session, Submit::Pick { ids, .. }) => {
                if let Some(name) = ids.first() {
                    self.switch_client(client, name);
                }
            }
            (Purpose::Theme, Submit::Pick { ids, .. }) => {
                if let Some(name) = ids.first() {
                    self.run_actions(client, &[Action::SetTheme(name.clone())]);
                }
            }
            (Purpose::Leader, Submit::Pick { ids, .. }) => {
                if let Some(chord) = ids.first() {
                    self.choose_leader(chord);
                }
            }
            (Purpose::Kind, Submit::Pick { ids, .. }) => {
                if let Some(kind) = ids.first() {
                    self.run_line(client, &format!("new-pane --kind {kind}"));
                }
            }
            (Purpose::RenamePane(id), Submit::Text(name)) => {
                let target = qd_mux::Target {
                    pane: Some(id),
                    tab: None,
                };
                self.run_invocation(
                    client,
                    &Invocation {
                        action: Action::RenamePane(name),
                        target,
                    },
                );
            }
            (Purpose::RenameTab, Submit::Text(name)) => self.run_actions(client, &[Action::RenameTab(name)]),
            (Purpose::Search(id, dir), Submit::Text(text)) => self.search_pane(id, &text, dir),
            (Purpose::Confirm(list), Submit::Confirmed) => {
                for i in list {
                    self.run_confirmed(client, &i);
                }
            }
            (Purpose::Paste(id, data), Submit::Confirmed) => self.paste_into(id, data),
            _ => {}
        }
    }

    fn search_pane(&mut self, id: PaneId, text: &str, dir: SearchDirection) {
        let found = self
            .slots
            .get_mut(&id)
            .and_then(|s| {
                s.generation += 1;
                s.pane.terminal()
            })
            .map(|t| t.search(text, dir));
        if self.model.mode() != Mode::Copy && self.model.focused() == Some(id) {
            self.model.set_mode(Mode::Copy);
        }
        if let Some(Err(e)) = found {
            self.toast(Level::Warn, &e.to_string());
        }
        self.touch_chrome();
    }

    fn keys_text(&self, name: &str) -> String {
        let leader = self.keymap.leader();
        let show = |(mode, chord): &(Mode, Chord)| match (mode, leader) {
            (Mode::Raw, _) => chord.to_string(),
            (m, _) => {
                let route = self.keymap.route(*m).unwrap_or_default();
                route
                    .iter()
                    .chain([chord])
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        };
        self.keymap
            .chords_for_name(name)
            .iter()
            .map(show)
            .min_by_key(String::len)
            .unwrap_or_default()
    }

    pub(crate) fn open_palette(&mut self) {
        let ctx = self.context();
        let items = qd_mux::registry()
            .iter()
            .filter(|c| c.name != "palette")
            .map(|c| PickItem {
                id: c.name.to_owned(),
                label: c.name.to_owned(),
                detail: c.doc.to_owned(),
                group: c.category.title().to_owned(),
                keys: self.keys_text(c.name),
                disabled: qd_mux::enabled(c.name, &ctx).err().map(str::to_owned),
                preview: None,
                score: self.frecency.get(c.name).copied().unwrap_or(0),
            })
            .collect();
        self.open_overlay(Box::new(Picker::new("commands", items, Multi::No)), Purpose::Palette);
    }

    pub(crate) fn open_command_line(&mut self) {
        let complete = |text: &str| -> Vec<Completion> {
            let word = text.trim_start();
            if word.contains(' ') {
                return Vec::new();
            }
            qd_mux::registry()
                .iter()
                .filter(|c| c.name.starts_with(word))
                .map(|c| Completion {
                    replace: 0..text.len(),
                    text: c.name.to_owned(),
                    doc: c.doc.to_owned(),
                })
                .collect()
        };
        let p = Prompt::new(":", "")
            .with_history(self.command_history.clone())
            .with_completer(Box::new(complete))
            .with_enter("run");
        self.open_overlay(Box::new(p), Purpose::CommandLine);
    }

    pub(crate) fn open_help(&mut self) {
        let mut lines = Vec::new();
        let mut push = |text: String, role: Role| lines.push(ViewerLine::new(text, role));
        if let Some(leader) = self.keymap.leader() {
            push(
                format!("Everything you type goes to the pane, but {leader}: that opens the menu."),
                Role::Text,
            );
            push(
                format!("{leader} twice sends {leader} itself. / filters this page, q closes it."),
                Role::Text,
            );
            push(String::new(), Role::Text);
        }
        for mode in Mode::ALL {
            let bindings: Vec<_> = self.keymap.bindings(mode).collect();
            if bindings.is_empty() {
                continue;
            }
            let route: Vec<String> = self
                .keymap
                .route(mode)
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect();
            let way = if route.is_empty() {
                String::new()
            } else {
                format!("  ({})", route.join(" "))
            };
            push(format!("{}{way}", mode.word()), Role::PaneTitle);
            for (chord, b) in bindings {
                let names: Vec<String> = b.actions.iter().map(|a| a.words().join(" ")).collect();
                // Of a menu, its name says more than that it is one.
                let doc = match b.actions.first() {
                    Some(Action::SwitchMode(_)) if !b.label.is_empty() => b.label.as_str(),
                    Some(a) => qd_mux::command(a.name()).map_or("", |c| c.doc),
                    None => "",
                };
                let what = if doc.is_empty() {
                    names.join("; ")
                } else {
                    format!("{doc}  [{}]", names.join("; "))
                };
                push(format!("  {:<14} {what}", chord.to_string()), Role::Text);
            }
            push(String::new(), Role::Text);
        }
        self.open_overlay(Box::new(Viewer::new("keys", lines)), Purpose::Look);
    }

    pub(crate) fn open_messages(&mut self) {
        let mut lines = Vec::new();
        for m in self.messages.iter() {
            let secs = m.at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let role = match m.level {
                Level::Info => Role::Text,
                Level::Warn => Role::TextWarn,
                Level::Error => Role::TextError,
            };
            let stamp = crate::messages::clock_text(secs);
            for (i, part) in m.text.lines().enumerate() {
                let head = if i == 0 { stamp.as_str() } else { "        " };
                lines.push(ViewerLine::new(format!("{head}  {part}"), role));
            }
        }
        if self.messages.dropped() > 0 {
            lines.insert(
                0,
                ViewerLine::new(
                    format!("({} older messages are gone)", self.messages.dropped()),
                    Role::TextDim,
                ),
            );
        }
        self.messages.mark_seen();
        self.toasts.clear();
        self.open_overlay(Box::new(Viewer::new("messages", lines)), Purpose::Look);
    }

    pub(crate) fn open_pane_picker(&mut self) {
        let mut items = Vec::new();
        for (i, tab) in self.model.tabs().iter().enumerate() {
            for p in self.model.placements_of(tab.id) {
                let Some(info) = self.model.pane(p.pane) else { continue };
                let preview = self.slots.get(&p.pane).map(|s| s.pane.screen_text());
                items.push(PickItem {
                    id: p.pane.to_string(),
                    label: info.label().to_owned(),
                    detail: format!("pane {}", p.pane),
                    group: format!("{} {}", i + 1, tab.name),
                    keys: String::new(),
                    disabled: None,
                    preview,
                    score: 0,
                });
            }
        }
        self.open_overlay(Box::new(Picker::new("panes", items, Multi::No)), Purpose::Pane);
    }

    pub(crate) fn open_tab_picker(&mut self) {
        let items = self
            .model
            .tabs()
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let panes = self.model.placements_of(t.id).len();
                PickItem {
                    id: (i + 1).to_string(),
                    label: t.name.clone(),
                    detail: format!("tab {} \u{b7} {panes} pane{}", i + 1, if panes == 1 { "" } else { "s" }),
                    ..PickItem::default()
                }
            })
            .collect();
        self.open_overlay(Box::new(Picker::new("tabs", items, Multi::No)), Purpose::Tab);
    }

    pub(crate) fn open_session_picker(&mut self) {
        let names = self.options.sockets.names().unwrap_or_default();
        let items = names
            .into_iter()
            .map(|n| PickItem {
                disabled: (n == self.name).then(|| "this is it".to_owned()),
                id: n.clone(),
                label: n,
                ..PickItem::default()
            })
            .collect();
        self.open_overlay(Box::new(Picker::new("sessions", items, Multi::No)), Purpose::Session);
    }

    pub(crate) fn open_theme_picker(&mut self) {
        let items = crate::settings::theme_names()
            .into_iter()
            .map(|n| PickItem {
                detail: if n == self.theme.name() {
                    "in use".to_owned()
                } else {
                    String::new()
                },
                id: n.clone(),
                label: n,
                ..PickItem::default()
            })
            .collect();
        self.config.theme = self.theme.name().to_owned();
        let picker = Picker::new("themes", items, Multi::No).with_current(&self.config.theme);
        self.open_overlay(Box::new(picker), Purpose::Theme);
    }

    /// The theme under the cursor of the theme picker is shown at once.
    fn preview_theme(&mut self) {
        let name = match self.overlays.last() {
            Some(Open {
                overlay,
                purpose: Purpose::Theme,
            }) => overlay.current().map(str::to_owned),
            _ => None,
        };
        if let Some(name) = name
            && name != self.theme.name()
        {
            let _ = self.set_theme(&name);
        }
    }

    /// The keys that suit as a leader, with what each takes from programs.
    pub(crate) fn open_leader_picker(&mut self) {
        let now = self.keymap.leader().map(|c| c.to_string()).unwrap_or_default();
        let choices = [
            ("Ctrl-Space", "takes emacs' set-mark (also Ctrl-@)"),
            ("Ctrl-g", "takes readline's and emacs' abort"),
            (
                "Ctrl-b",
                "takes readline's one character back, vim's page up; tmux' prefix",
            ),
            ("Ctrl-a", "takes readline's start of line; screen's prefix"),
            ("F12", "takes nothing of the shell's; far away"),
        ];
        let items = choices
            .iter()
            .map(|(key, shadows)| PickItem {
                id: (*key).to_owned(),
                label: (*key).to_owned(),
                detail: (*shadows).to_owned(),
                group: if *key == now {
                    "in use".to_owned()
                } else {
                    String::new()
                },
                ..PickItem::default()
            })
            .collect();
        let picker = Picker::new("the key that opens the menu", items, Multi::No).with_current(&now);
        self.open_overlay(Box::new(picker), Purpose::Leader);
    }

    pub(crate) fn open_kind_picker(&mut self) {
        let items = self
            .factories
            .kinds()
            .into_iter()
            .map(|(kind, doc)| PickItem {
                id: kind.clone(),
                label: kind,
                detail: doc,
                ..PickItem::default()
            })
            .collect();
        self.open_overlay(Box::new(Picker::new("new pane", items, Multi::No)), Purpose::Kind);
    }

    pub(crate) fn open_rename_pane(&mut self) {
        let Some(id) = self.model.focused() else { return };
        let old = self.model.pane(id).and_then(|p| p.name.clone()).unwrap_or_default();
        let p = Prompt::new("pane name: ", &old).with_enter("rename");
        self.open_overlay(Box::new(p), Purpose::RenamePane(id));
    }

    pub(crate) fn open_rename_tab(&mut self) {
        let old = self.model.active_tab().map(|t| t.name.clone()).unwrap_or_default();
        let p = Prompt::new("tab name: ", &old).with_enter("rename");
        self.open_overlay(Box::new(p), Purpose::RenameTab);
    }

    pub(crate) fn open_search_prompt(&mut self, id: PaneId, dir: SearchDirection) {
        let label = if dir == SearchDirection::Older {
            "search back: "
        } else {
            "search: "
        };
        let p = Prompt::new(label, "").with_enter("search");
        self.open_overlay(Box::new(p), Purpose::Search(id, dir));
    }

    /// Asks for an action's argument.
    pub(crate) fn open_argument_prompt(&mut self, command: &'static qd_mux::Command) {
        let label = command
            .args
            .first()
            .map_or_else(|| command.name.to_owned(), |a| format!("{} {}: ", command.name, a.name));
        let p = Prompt::new(label, "").with_enter("run");
        self.open_overlay(Box::new(p), Purpose::Argument(command.name));
    }

    /// Asks before several lines go to a program that would run them.
    pub(crate) fn confirm_paste(&mut self, id: PaneId, data: Vec<u8>) {
        let text = String::from_utf8_lossy(&data);
        let first = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(60)
            .collect::<String>();
        let question = format!(
            "Paste {} lines? The program did not ask for bracketed paste and may run them.",
            text.lines().count()
        );
        let c = Confirm::new(question, format!("It begins: {first}"), ConfirmKind::YesNo);
        self.open_overlay(Box::new(c), Purpose::Paste(id, data));
    }

    /// Asks before something is lost; answers whether it had to ask.
    pub(crate) fn confirm_danger(&mut self, i: &Invocation) -> bool {
        let danger = qd_mux::command(i.action.name()).map_or(Danger::None, |c| c.danger);
        if danger == Danger::None {
            return false;
        }
        let Some(what) = self.would_lose(&i.action, i.target.pane) else {
            return false;
        };
        let kind = match danger {
            Danger::TypeName => ConfirmKind::TypeName(self.name.clone()),
            _ => ConfirmKind::YesNo,
        };
        let doc = qd_mux::command(i.action.name()).map_or("", |c| c.doc);
        self.open_overlay(
            Box::new(Confirm::new(what, doc, kind)),
            Purpose::Confirm(vec![i.clone()]),
        );
        true
    }

    /// What is running that an action would end; `None` when nothing is.
    fn would_lose(&self, action: &Action, pane: Option<PaneId>) -> Option<String> {
        let running = |id: &PaneId| -> Option<String> {
            let s = self.slots.get(id)?;
            let pid = s.pane.pid().filter(|_| !s.pane.is_dead())?;
            crate::actions::foreground_child(pid, s.spec.command.is_some())
        };
        let ids: Vec<PaneId> = match action {
            Action::ClosePane => pane.or(self.model.focused()).into_iter().collect(),
            Action::CloseTab => {
                let tab = self.model.active_tab()?.id;
                self.model.placements_of(tab).iter().map(|p| p.pane).collect()
            }
            Action::Quit => {
                let n = self.slots.len();
                return Some(format!(
                    "End the session {} with {n} pane{}?",
                    self.name,
                    if n == 1 { "" } else { "s" }
                ));
            }
            _ => return None,
        };
        let busy: Vec<String> = ids.iter().filter_map(running).collect();
        (!busy.is_empty()).then(|| format!("Still running: {}. End it?", busy.join(", ")))
    }
}
