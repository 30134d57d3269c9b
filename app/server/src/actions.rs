//! Carrying actions out. An action from a key, the palette, the mouse, the `:` line or `qd action` is the same value and
//! takes this one path: danger is asked about, the model decides, and what it hands back is done here.

use qd_mux::{Action, Effect, Extent, Invocation, PaneId, TabId};
use qd_panes::{PaneEvent, SearchDirection};
use qd_proto::{ActionReply, ActionRequest, ServerMsg};

use crate::{
    lists::list_commands,
    messages::Level,
    overlays::Purpose,
    session::{Fate, Session},
    slots::guarded,
};

/// What an action leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Done {
    output: String,
    created_pane: Option<PaneId>,
    created_tab: Option<TabId>,
}

impl Session {
    /// What there is, for judging what can be done.
    pub(crate) fn context(&self) -> qd_mux::Context {
        let mut ctx = self.model.context();
        if let Some(s) = self.model.focused().and_then(|id| self.slots.get(&id)) {
            ctx.scrolled = s.pane.is_scrolled();
            ctx.has_selection = s.pane.has_selection();
            ctx.focused_dead = s.pane.is_dead() || s.crashed.is_some();
        }
        ctx
    }

    /// Runs actions a person asked for; what is refused is told, and ends the row.
    pub(crate) fn run_actions(&mut self, client: u32, actions: &[Action]) {
        for a in actions {
            if !self.run_invocation(client, &a.clone().into()) {
                return;
            }
        }
    }

    /// Runs one, after asking where something would be lost; answers whether it was done.
    pub(crate) fn run_invocation(&mut self, client: u32, i: &Invocation) -> bool {
        if self.confirm_danger(i) {
            return true;
        }
        self.run_confirmed(client, i)
    }

    /// Runs one without asking.
    pub(crate) fn run_confirmed(&mut self, client: u32, i: &Invocation) -> bool {
        match self.perform(Some(client), i) {
            Ok(done) => {
                if !done.output.is_empty() {
                    let lines = done
                        .output
                        .lines()
                        .map(|l| qd_ui::ViewerLine::new(l, qd_ui::Role::Text))
                        .collect();
                    let title = i.action.name().to_owned();
                    self.open_overlay(Box::new(qd_ui::Viewer::new(title, lines)), Purpose::Look);
                }
                true
            }
            Err(why) => {
                self.toast(Level::Warn, &why);
                false
            }
        }
    }

    /// Runs the command of this name, asking for its argument where it needs one.
    pub(crate) fn run_named(&mut self, client: u32, name: &str) {
        match Action::parse(name, &[]) {
            Ok(a) => self.run_actions(client, &[a]),
            Err(e) => match qd_mux::command(name).filter(|c| !c.runs_bare()) {
                Some(c) => self.open_argument_prompt(c),
                None => self.say(Level::Error, &e.to_string()),
            },
        }
    }

    /// Runs a line that was typed.
    pub(crate) fn run_line(&mut self, client: u32, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        self.command_history.retain(|l| l != line);
        self.command_history.push(line.to_owned());
        let words = match qd_mux::split_words(line) {
            Ok(w) => w,
            Err(e) => return self.say(Level::Error, &format!(":{line}: {e}")),
        };
        match Invocation::parse(&words) {
            Ok(i) => {
                self.run_invocation(client, &i);
            }
            Err(e) => self.say(Level::Error, &format!(":{line}: {e}")),
        }
    }

    /// Runs an action from the command line.
    pub(crate) fn run_request(&mut self, r: &ActionRequest) -> ActionReply {
        let fail = |status: u8, e: String| ActionReply {
            status,
            output: String::new(),
            error: e,
        };
        let mut i = match Invocation::parse(&r.words) {
            Ok(i) => i,
            Err(e) => return fail(2, e.to_string()),
        };
        let needs_cwd = |cwd: &Option<String>| cwd.as_ref().is_none_or(|c| !c.starts_with(['/', '~']));
        let fix = |cwd: &mut Option<String>| {
            if needs_cwd(cwd)
                && let Some(base) = &r.cwd
            {
                let path = cwd
                    .as_ref()
                    .map_or_else(|| base.into(), |c| std::path::Path::new(base).join(c));
                *cwd = Some(path.to_string_lossy().into_owned());
            }
        };
        match &mut i.action {
            Action::NewPane { spec, .. } => fix(&mut spec.cwd),
            Action::NewTab { spec: Some(spec), .. } => fix(&mut spec.cwd),
            Action::NewTab { cwd, .. } => fix(cwd),
            Action::DumpScreen { path: Some(path), .. } if !path.starts_with('/') => {
                if let Some(base) = &r.cwd {
                    *path = std::path::Path::new(base).join(&*path).to_string_lossy().into_owned();
                }
            }
            _ => {}
        }
        match self.perform(None, &i) {
            Ok(done) => {
                let mut output = done.output;
                match (done.created_pane, done.created_tab) {
                    (Some(p), None) => output = format!("{p}\n"),
                    (_, Some(t)) => output = format!("{t}\n"),
                    _ => {}
                }
                ActionReply {
                    status: 0,
                    output,
                    error: String::new(),
                }
            }
            Err(e) => fail(1, e),
        }
    }

    /// Gives an action to the model, and does what it hands back.
    pub(crate) fn perform(&mut self, client: Option<u32>, i: &Invocation) -> Result<Done, String> {
        let mut i = i.clone();
        self.inherit_cwd(&mut i.action);
        let effects = self.model.apply(&i).map_err(|e| e.to_string())?;
        let mut done = Done::default();
        let mut rest = Vec::new();
        let mut delegated = Vec::new();
        for e in effects {
            match e {
                Effect::Delegate(a) => delegated.push(a),
                Effect::Created { pane, tab } => {
                    done.created_pane = done.created_pane.or(pane);
                    done.created_tab = done.created_tab.or(tab);
                }
                other => rest.push(other),
            }
        }
        // A yank needs the selection that leaving copy mode drops.
        let last = matches!(i.action, Action::Copy(_)).then(|| std::mem::take(&mut rest));
        self.run_effects(rest);
        for a in delegated {
            done.output.push_str(&self.delegated(client, &a, i.target.pane)?);
        }
        self.run_effects(last.unwrap_or_default());
        Ok(done)
    }

    /// A new pane starts where the focused one is, as shells in a multiplexer do.
    fn inherit_cwd(&self, action: &mut Action) {
        let here = || {
            let s = self.model.focused().and_then(|id| self.slots.get(&id))?;
            let cwd = s.pane.pid().and_then(qd_panes::process_cwd)?;
            Some(cwd.to_string_lossy().into_owned())
        };
        match action {
            Action::NewPane { spec, .. } if spec.cwd.is_none() => spec.cwd = here(),
            Action::NewTab { spec: Some(spec), .. } if spec.cwd.is_none() => spec.cwd = here(),
            Action::NewTab { cwd, spec: None, .. } if cwd.is_none() => *cwd = here(),
            _ => {}
        }
    }

    fn pane_of(&self, target: Option<PaneId>) -> Result<PaneId, String> {
        match target {
            Some(id) if self.slots.contains_key(&id) => Ok(id),
            Some(id) => Err(format!("there is no pane {id}")),
            None => self.model.focused().ok_or_else(|| "there is no pane".to_owned()),
        }
    }

    fn delegated(&mut self, client: Option<u32>, a: &Action, target: Option<PaneId>) -> Result<String, String> {
        match a {
            Action::SendLeader => {
                let leader = self.keymap.leader().ok_or("there is no leader key")?;
                let id = self.pane_of(target)?;
                self.act_on(id, &Action::SendKeys(vec![leader]))?;
            }
            Action::RerunPane => {
                let id = self.pane_of(target)?;
                self.restart_pane(id)?;
            }
            Action::Detach => match client {
                Some(id) => self.detach_client(id, "detached"),
                None => {
                    let all: Vec<u32> = self
                        .clients
                        .iter()
                        .filter(|(_, c)| c.is_attached())
                        .map(|(i, _)| *i)
                        .collect();
                    if all.is_empty() {
                        return Err("no client is attached".to_owned());
                    }
                    all.into_iter()
                        .for_each(|id| self.detach_client(id, "detached from the command line"));
                }
            },
            Action::Quit => self.fate = Fate::Ending("the session was ended".to_owned()),
            Action::ReloadConfig => self.reload(),
            Action::SetTheme(name) => {
                self.set_theme(name)?;
                self.config.theme.clone_from(name);
            }
            Action::CycleHints => {
                self.hints = match self.hints {
                    qd_config::Hints::Full => qd_config::Hints::Short,
                    qd_config::Hints::Short => qd_config::Hints::Off,
                    qd_config::Hints::Off => qd_config::Hints::Full,
                };
                self.touch_chrome();
            }
            Action::DumpScreen { path, full } => return self.dump_screen(target, path.as_deref(), *full),
            Action::DumpLayout => return Ok(qd_config::write_layout(&self.model.dump_layout())),
            Action::ListPanes(f) => return Ok(self.list_panes(*f)),
            Action::ListTabs(f) => return Ok(self.list_tabs(*f)),
            Action::ListClients(f) => return Ok(self.list_clients(*f)),
            Action::ListCommands(f) => return Ok(list_commands(*f)),
            Action::Palette
            | Action::CommandLine
            | Action::Help
            | Action::Messages
            | Action::PanePicker
            | Action::TabPicker
            | Action::SessionPicker
            | Action::ThemePicker
            | Action::LeaderPicker
            | Action::LastPicker
            | Action::SearchEverything
            | Action::NewPanePicker
            | Action::RenamePanePrompt
            | Action::RenameTabPrompt => self.open_view(a)?,
            _ => {
                let id = self.pane_of(target)?;
                self.act_on(id, a)?;
            }
        }
        Ok(String::new())
    }

    fn open_view(&mut self, a: &Action) -> Result<(), String> {
        if !self.clients.values().any(crate::client::Client::is_attached) {
            return Err("no client is attached to show it".to_owned());
        }
        let picker = !matches!(
            a,
            Action::LastPicker | Action::RenamePanePrompt | Action::RenameTabPrompt
        );
        if picker {
            self.last_picker = Some(a.clone());
        }
        match a {
            Action::Palette => self.open_palette(),
            Action::CommandLine => self.open_command_line(),
            Action::Help => self.open_help(),
            Action::Messages => self.open_messages(),
            Action::PanePicker => self.open_pane_picker(),
            Action::TabPicker => self.open_tab_picker(),
            Action::SessionPicker => self.open_session_picker(),
            Action::ThemePicker => self.open_theme_picker(),
            Action::LeaderPicker => self.open_leader_picker(),
            Action::NewPanePicker => self.open_kind_picker(),
            Action::RenamePanePrompt => self.open_rename_pane(),
            Action::RenameTabPrompt => self.open_rename_tab(),
            Action::SearchEverything => self.open_search()?,
            Action::LastPicker => match self.last_picker.clone() {
                Some(last) => return self.open_view(&last),
                None => return Err("no picker was opened yet".to_owned()),
            },
            _ => {}
        }
        Ok(())
    }

    /// An action that is a pane's business.
    fn act_on(&mut self, id: PaneId, a: &Action) -> Result<(), String> {
        let Some(s) = self.slots.get_mut(&id) else {
            return Err(format!("there is no pane {id}"));
        };
        if let Some(why) = &s.crashed {
            return Err(format!("the pane crashed ({why}): rerun-pane restarts it"));
        }
        let result = guarded(s, |pane| pane.act(a));
        s.generation += 1;
        self.after_pane(id);
        self.follow_copy_mode(id);
        match result {
            Some(r) => r.map_err(|e| e.to_string()),
            None => Err("the pane crashed".to_owned()),
        }
    }

    /// Takes the mode of the keys after a pane that may have entered copy mode, or left it.
    pub(crate) fn follow_copy_mode(&mut self, id: PaneId) {
        let copy_now = self
            .slots
            .get_mut(&id)
            .and_then(|s| s.pane.terminal())
            .is_some_and(|t| t.in_copy_mode());
        if self.model.focused() == Some(id) {
            let mode = self.model.mode();
            if copy_now && mode != qd_mux::Mode::Copy {
                self.model.set_mode(qd_mux::Mode::Copy);
            } else if !copy_now && mode == qd_mux::Mode::Copy {
                self.model.set_mode(self.model.home());
            }
        }
        self.touch_chrome();
    }

    /// Starts a pane's program or engine again; a pane that could not be opened is tried anew.
    pub(crate) fn restart_pane(&mut self, id: PaneId) -> Result<(), String> {
        let Some(s) = self.slots.get_mut(&id) else {
            return Err(format!("there is no pane {id}"));
        };
        let crashed = s.crashed.take().is_some();
        if crashed && s.pane.terminal().is_some() && !s.pane.is_dead() {
            // The program is well; only the drawing of it had failed.
            s.generation += 1;
            self.touch_chrome();
            return Ok(());
        }
        if s.pane.fd().is_none() && s.pane.is_dead() && s.pane.terminal().is_none() {
            self.respawn(id);
            return Ok(());
        }
        self.unwatch(id);
        let result = self.slots.get_mut(&id).and_then(|s| guarded(s, |pane| pane.restart()));
        self.watch(id);
        self.model.set_pane_state(id, qd_mux::PaneState::Running);
        self.touch(id);
        self.touch_chrome();
        result.unwrap_or(Ok(())).map_err(|e| e.to_string())
    }

    /// What a pane has to say.
    pub(crate) fn on_pane_event(&mut self, id: PaneId, e: PaneEvent) {
        match e {
            PaneEvent::Title(t) => {
                self.model.set_title(id, t);
                self.touch_chrome();
            }
            PaneEvent::Bell => {
                for c in self.clients.values_mut().filter(|c| c.is_attached()) {
                    c.push_extra(b"\x07");
                }
                if self.model.focused() != Some(id)
                    && let Some(s) = self.slots.get_mut(&id)
                {
                    s.bell = true;
                    self.touch_chrome();
                }
            }
            PaneEvent::Clipboard(data) => self.copy_out(&String::from_utf8_lossy(&data)),
            PaneEvent::ClipboardQuery => {
                if self.config.osc52_read.is_on() {
                    let text = self.clipboard.clone();
                    if let Some(t) = self.slots.get_mut(&id).and_then(|s| s.pane.terminal()) {
                        t.answer_clipboard(text.as_bytes());
                    }
                }
            }
            PaneEvent::Copied(text) => {
                self.copy_out(&text);
                if self.model.mode() == qd_mux::Mode::Copy {
                    self.model.set_mode(self.model.home());
                }
            }
            PaneEvent::Notify { title, body } => {
                let text = if title.is_empty() {
                    body
                } else {
                    format!("{title}: {body}")
                };
                self.say(Level::Info, &text);
            }
            PaneEvent::Cwd(_) => {}
            PaneEvent::Exited(_) => {
                self.model.set_pane_state(id, qd_mux::PaneState::Exited);
                self.touch_chrome();
            }
            PaneEvent::Do(action) => {
                if let Err(why) = self.perform(None, &(*action).into()) {
                    self.say(Level::Warn, &why);
                }
            }
            PaneEvent::Go { pane, part, line } => self.go_to(pane, part, line),
            PaneEvent::ToShell(text) => self.send_to_shell(&text),
            PaneEvent::SearchPrompt { back } => {
                let dir = if back {
                    SearchDirection::Older
                } else {
                    SearchDirection::Newer
                };
                self.open_search_prompt(id, dir);
            }
        }
    }

    /// Engines may have published something: their panes are heard, and drawn anew.
    pub(crate) fn poll_engines(&mut self) {
        let mut heard = Vec::new();
        for (id, s) in &mut self.slots {
            if s.pane.fd().is_none() && !s.pane.is_dead() {
                s.generation += 1;
                heard.push(*id);
            }
        }
        heard.into_iter().for_each(|id| self.after_pane(id));
        self.hear_search();
    }

    /// Puts text on the person's clipboard: by OSC 52 through every terminal, and by the configured command.
    pub(crate) fn copy_out(&mut self, text: &str) {
        use base64::Engine as _;
        text.clone_into(&mut self.clipboard);
        let code = base64::engine::general_purpose::STANDARD.encode(text.as_bytes());
        for c in self.clients.values_mut().filter(|c| c.is_interactive()) {
            c.push_extra(format!("\x1b]52;c;{code}\x07").as_bytes());
        }
        if let Some(command) = self.config.copy_command.clone() {
            run_copy_command(command, text.to_owned());
        }
        let words = qd_panes::copied_words(text);
        self.toast(Level::Info, &words);
    }

    /// Sends a client to another session.
    pub(crate) fn switch_client(&mut self, client: u32, name: &str) {
        if let Some(c) = self.clients.get_mut(&client) {
            c.farewell(&ServerMsg::Switch {
                session: name.to_owned(),
            });
            self.after_client(client, false);
            self.fit_to_clients();
        }
    }

    fn dump_screen(&mut self, target: Option<PaneId>, path: Option<&str>, full: Extent) -> Result<String, String> {
        let id = self.pane_of(target)?;
        let Some(s) = self.slots.get_mut(&id) else {
            return Err(format!("there is no pane {id}"));
        };
        let text = guarded(s, |p| {
            if full == Extent::Full {
                p.full_text()
            } else {
                p.screen_text()
            }
        })
        .ok_or("the pane crashed while its text was read")?;
        match path {
            None => Ok(text),
            Some(p) => {
                std::fs::write(p, text).map_err(|e| format!("{p} could not be written: {e}"))?;
                Ok(String::new())
            }
        }
    }
}

/// Feeds text to a program, on a thread of its own, so that a slow one holds nothing up.
fn run_copy_command(command: String, text: String) {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let spawned = std::thread::Builder::new().name("qd-copy".into()).spawn(move || {
        let child = Command::new("/bin/sh")
            .args(["-c", &command])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(mut child) => {
                if let Some(mut stdin) = child.stdin.take() {
                    let _ = stdin.write_all(text.as_bytes());
                }
                let _ = child.wait();
            }
            Err(e) => tracing::warn!("the copy command could not be started: {e}"),
        }
    });
    if let Err(e) = spawned {
        tracing::warn!("the copy command's thread could not be started: {e}");
    }
}

/// What runs in a pane beside its shell: the name of a child of the process, or the process itself when it is a command.
pub(crate) fn foreground_child(pid: u32, is_command: bool) -> Option<String> {
    let name = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()
            .map(|s| s.trim().to_owned())
    };
    if is_command {
        return name(&pid.to_string());
    }
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next().and_then(name)
}
