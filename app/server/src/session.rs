//! The session actor: the only writer of session state. It owns the model, the panes, the clients and the overlays, and
//! runs on one thread around one epoll set: input first, then every PTY a bounded turn, then the frames that are due.
//! Nothing here waits for a client, a program or a disk.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use qd_config::Config;
use qd_mux::{Effect, Keymap, LayoutSpec, Model, PaneId, PaneSpec};
use qd_panes::{Factories, Surroundings, TestKinds};
use qd_proto::{ServerMsg, SessionInfo};
use qd_tty::Size;
use qd_ui::{Theme, Toasts};
use tracing::{debug, info, warn};

use crate::{
    client::{Client, Got, Stage},
    keep::{Handed, Keeping},
    messages::{Level, Messages},
    overlays::Open,
    reactor::{Interest, Reactor, Ready, Token},
    signals::{Signal, Signals},
    slots::{PANE_TURN, SHORT_TURN, Slot, guarded},
    sockets::{Claim, SocketDir},
};

/// How long a program may keep a synchronized update open before it is drawn all the same.
const SYNC_LIMIT: Duration = Duration::from_millis(150);
/// How long to wait for programs to end when the session ends.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// How a session is started.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The directory of the sockets.
    pub sockets: SocketDir,
    /// The configuration file; reread when it changes.
    pub config_path: PathBuf,
    /// Where the session keeps what outlives it.
    pub state_dir: PathBuf,
    /// The directory of the person's layouts.
    pub layout_dir: PathBuf,
    /// The layout to open, by name or path; `None` is the configured one.
    pub layout: Option<String>,
    /// Where shells start.
    pub cwd: Option<PathBuf>,
    /// Open the layout at once, at this size, before any client has come.
    pub detached: Option<Size>,
    /// Whether the test-only pane kinds are offered.
    pub test_panes: TestPanes,
}

/// Whether panes that exist for tests are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestPanes {
    /// They are.
    Offered,
    /// They are not.
    Hidden,
}

/// Why a session could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system refused something the session cannot live without.
    #[error("the session's event loop failed: {0}")]
    Loop(#[from] io::Error),
    /// Not even a built-in theme can be read.
    #[error("none of the built-in themes can be read: this build is broken")]
    Theme,
}

/// What stops the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Running,
    /// The session ends, for this reason.
    Ending(String),
}

/// The session.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) created: SystemTime,
    pub(crate) started: Instant,
    pub(crate) options: Options,
    pub(crate) model: Model,
    pub(crate) slots: BTreeMap<PaneId, Slot>,
    pub(crate) clients: BTreeMap<u32, Client>,
    pub(crate) reactor: Reactor,
    pub(crate) config: Config,
    pub(crate) keymap: Keymap,
    pub(crate) theme: Theme,
    pub(crate) messages: Messages,
    pub(crate) toasts: Toasts,
    pub(crate) overlays: Vec<Open>,
    pub(crate) factories: Factories,
    /// What its own HTTP service asks for.
    pub(crate) asked: crate::console::Asked,
    /// Grows when anything outside the panes' insides changes.
    pub(crate) chrome: u64,
    pub(crate) fate: Fate,
    pub(crate) opened: bool,
    pub(crate) mouse: crate::mouse::MouseState,
    pub(crate) frecency: HashMap<String, u32>,
    pub(crate) last_picker: Option<qd_mux::Action>,
    pub(crate) command_history: Vec<String>,
    pub(crate) config_stamp: Option<SystemTime>,
    pub(crate) next_config_check: Instant,
    pub(crate) hints: qd_config::Hints,
    pub(crate) env: crate::env::SessionEnv,
    /// What was copied last, for programs that may read it.
    pub(crate) clipboard: String,
    /// Until when floods wait for the echo of a key, and the panes that do.
    pub(crate) hold: Option<Instant>,
    pub(crate) held: Vec<PaneId>,
    /// When somebody typed last and where, and what floods beside it may bring until when.
    pub(crate) typed: Option<(Instant, PaneId)>,
    pub(crate) ration: (usize, Instant),
    /// The shell that had the focus last.
    pub(crate) last_shell: Option<PaneId>,
    /// When programs that did not mind the hangup are ended.
    pub(crate) orphans_due: Option<Instant>,
    /// When terminals are settled.
    pub(crate) settle_due: Option<Instant>,
    /// What outlives this server; `None` when nothing does.
    pub(crate) keeping: Option<Keeping>,
    next_client: u32,
    signals: Signals,
    claim: Claim,
}

/// Serves a session until it ends. The claim's socket is listened on; it and the lock go when this returns.
///
/// # Errors
/// When the event loop cannot be set up or fails.
pub fn serve(options: Options, claim: Claim, handed: Option<Handed>) -> Result<(), ServeError> {
    let link = handed.as_ref().map(|h| h.link.clone());
    let mut session = Session::new(options, claim, handed)?;
    let served = session.run();
    drop(session);
    // Said last: a server that ends before this is started again.
    if let Some(link) = link.filter(|_| served.is_ok()) {
        link.bye();
    }
    served
}

impl Session {
    fn new(options: Options, claim: Claim, handed: Option<Handed>) -> Result<Self, ServeError> {
        let reactor = Reactor::new()?;
        claim.listener.set_nonblocking(true)?;
        reactor.add(&claim.listener, Token::Listener, Interest::Read)?;
        let signals = Signals::new()?;
        reactor.add(&signals.read, Token::Signal, Interest::Read)?;
        let loaded = qd_config::load(&options.config_path);
        let now = Instant::now();
        let mut messages = Messages::new();
        let theme = crate::settings::theme_of(&loaded.config, None, &mut messages).ok_or(ServeError::Theme)?;
        let mut model = Model::new(&options.name, options.detached.unwrap_or(Size::new(80, 24)));
        model.set_mode(loaded.config.default_mode);
        if !loaded.config.pane_frames.is_on() {
            model.set_frames(qd_mux::Frames::Off);
        }
        let kinds = if options.test_panes == TestPanes::Offered {
            TestKinds::Offered
        } else {
            TestKinds::Hidden
        };
        let (console, asked) = crate::console::console(reactor.waker());
        let surroundings = Surroundings {
            sockets: Some(options.sockets.path().to_owned()),
            console: Some(console),
        };
        let factories = Factories::new(reactor.waker(), kinds, surroundings);
        let env = crate::env::SessionEnv::new(&options.sockets, &options.name, &loaded.config);
        let mut session = Self {
            name: options.name.clone(),
            created: SystemTime::now(),
            started: now,
            model,
            slots: BTreeMap::new(),
            clients: BTreeMap::new(),
            reactor,
            hints: loaded.config.hints,
            config_stamp: crate::settings::stamp(&options.config_path),
            next_config_check: now,
            config: loaded.config.clone(),
            keymap: loaded.keymap.clone(),
            theme,
            messages,
            toasts: Toasts::new(),
            overlays: Vec::new(),
            factories,
            asked,
            chrome: 1,
            fate: Fate::Running,
            opened: false,
            mouse: crate::mouse::MouseState::default(),
            frecency: HashMap::new(),
            last_picker: None,
            command_history: Vec::new(),
            env,
            clipboard: String::new(),
            hold: None,
            held: Vec::new(),
            typed: None,
            ration: (1, now),
            last_shell: None,
            orphans_due: None,
            settle_due: None,
            keeping: None,
            next_client: 1,
            signals,
            claim,
            options,
        };
        session.report_diagnostics(&loaded);
        session.greet_first_run();
        if let Some(handed) = handed {
            session.reactor.add(handed.link.fd(), Token::Holder, Interest::Read)?;
            session.keeping = Some(Keeping::new(handed.link, handed.state));
            session.resume(handed.was, handed.held);
        }
        if session.options.detached.is_some() {
            session.open_layout();
        }
        Ok(session)
    }

    /// The loop.
    fn run(&mut self) -> Result<(), ServeError> {
        info!(session = %self.name, "serving");
        if let Some(k) = &self.keeping {
            k.link.ready();
        }
        let mut ready: Vec<Ready> = Vec::new();
        let mut timeout = Some(Duration::ZERO);
        while self.fate == Fate::Running {
            self.reactor.wait(timeout, &mut ready)?;
            // Clients first: a key is never behind a flood.
            for r in &ready {
                match r.token {
                    Token::Client(id) => self.on_client(id, *r),
                    Token::Tty(id) => self.on_tty(id),
                    Token::Listener => self.accept(),
                    Token::Wake => {
                        self.reactor.clear_wake();
                        self.answer_console();
                        self.poll_engines();
                    }
                    Token::Signal => self.on_signal(),
                    Token::Holder => self.on_holder(),
                    Token::Pane(_) => {}
                }
            }
            // Then the panes that somebody types into, and their echo is drawn before a flood is looked at. While somebody
            // types, a flood's turns are short.
            let now = Instant::now();
            let typed = |s: &Slot| s.boost_until.is_some_and(|t| now < t);
            let (first, rest): (Vec<_>, Vec<_>) = ready
                .iter()
                .filter_map(|r| match r.token {
                    Token::Pane(id) => Some((PaneId(id), *r)),
                    _ => None,
                })
                .partition(|(id, _)| self.slots.get(id).is_some_and(typed));
            let budget = if self.slots.values().any(typed) {
                SHORT_TURN
            } else {
                PANE_TURN
            };
            for (id, r) in &first {
                self.on_pane(*id, *r, PANE_TURN);
            }
            if !first.is_empty() {
                self.render_due();
                self.end_hold();
            }
            for (id, r) in &rest {
                if !self.put_off(*id, now) {
                    self.on_pane(*id, *r, budget);
                }
            }
            self.tick();
            timeout = self.render_due();
            self.write_down();
            if let Some(t) = self.settle_due {
                let left = t.saturating_duration_since(Instant::now());
                timeout = Some(timeout.map_or(left, |t| t.min(left)));
            }
            if let Some(left) = self.hold_left() {
                timeout = Some(timeout.map_or(left, |t| t.min(left)));
            }
        }
        self.shut_down();
        Ok(())
    }

    /// Marks everything outside the panes' insides as changed.
    pub(crate) fn touch_chrome(&mut self) {
        self.chrome += 1;
    }

    /// Marks a pane's inside as changed.
    pub(crate) fn touch(&mut self, id: PaneId) {
        if let Some(s) = self.slots.get_mut(&id) {
            s.generation += 1;
        }
    }

    fn accept(&mut self) {
        loop {
            match self.claim.listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_err() {
                        continue;
                    }
                    let id = self.next_client;
                    self.next_client += 1;
                    if let Err(e) = self.reactor.add(&stream, Token::Client(id), Interest::Read) {
                        warn!("a client could not be watched: {e}");
                        continue;
                    }
                    let rate = f64::from(self.config.frame_rate);
                    let mut c = Client::new(id, stream, &self.theme, rate, Instant::now());
                    c.send_raw(&qd_proto::Hello::ours().to_bytes());
                    self.clients.insert(id, c);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    if e.kind() != io::ErrorKind::WouldBlock {
                        warn!("a connection could not be accepted: {e}");
                    }
                    return;
                }
            }
        }
    }

    fn on_client(&mut self, id: u32, ready: Ready) {
        let Some(c) = self.clients.get_mut(&id) else { return };
        let mut gone = false;
        if ready.writable {
            gone |= c.flush() == Got::Gone;
        }
        if ready.readable && !gone {
            gone |= c.read() == Got::Gone;
            self.read_messages(id);
        }
        self.after_client(id, gone);
    }

    /// A client's terminal has room again, or is gone.
    fn on_tty(&mut self, id: u32) {
        let Some(c) = self.clients.get_mut(&id) else { return };
        let gone = c.write_on() == Got::Gone;
        self.after_client(id, gone);
    }

    /// Keeps the watch on a client's socket and terminal right, and drops a client that is gone or done.
    pub(crate) fn after_client(&mut self, id: u32, gone: bool) {
        let Some(c) = self.clients.get_mut(&id) else { return };
        if gone || (c.stage == Stage::Closing && !c.has_output()) {
            self.drop_client(id);
            return;
        }
        if let Some(d) = &mut c.direct
            && d.pending() != d.watched
        {
            if d.watched {
                self.reactor.remove(d.fd());
                d.watched = false;
            } else if self.reactor.add(d.fd(), Token::Tty(id), Interest::Write).is_ok() {
                d.watched = true;
            } else {
                c.let_go();
            }
        }
        let want = c.has_output();
        if want != c.writing {
            c.writing = want;
            let interest = match (want, c.stage) {
                (true, Stage::Closing) => Interest::Write,
                (true, _) => Interest::ReadWrite,
                (false, _) => Interest::Read,
            };
            if self.reactor.modify(&c.stream, Token::Client(id), interest).is_err() {
                self.drop_client(id);
            }
        }
    }

    pub(crate) fn drop_client(&mut self, id: u32) {
        if let Some(c) = self.clients.remove(&id) {
            self.reactor.remove(&c.stream);
            if let Some(d) = c.direct.as_ref().filter(|d| d.watched) {
                self.reactor.remove(d.fd());
            }
            if c.is_attached() {
                debug!(client = id, "left");
                self.fit_to_clients();
                self.touch_chrome();
            }
        }
    }

    /// The session is as large as its smallest client.
    pub(crate) fn fit_to_clients(&mut self) {
        let size = self
            .clients
            .values()
            .filter(|c| c.is_interactive())
            .map(|c| c.size)
            .reduce(|a, b| Size::new(a.cols.min(b.cols), a.rows.min(b.rows)));
        let Some(size) = size else { return };
        if size != self.model.size() {
            let effects = self.model.resize(size);
            self.run_effects(effects);
            for c in self.clients.values_mut() {
                c.redraw();
            }
            self.touch_chrome();
        }
    }

    /// Opens the layout the session starts with.
    pub(crate) fn open_layout(&mut self) {
        if self.opened {
            return;
        }
        self.opened = true;
        let name = self
            .options
            .layout
            .clone()
            .or_else(|| self.config.default_layout.clone());
        let spec = match crate::settings::find_layout(name.as_deref(), &self.options.layout_dir) {
            Ok((spec, warnings)) => {
                for w in warnings {
                    self.say(Level::Warn, w.trim_end());
                }
                spec
            }
            Err(text) => {
                self.say(Level::Error, &text);
                LayoutSpec::single(PaneSpec::default())
            }
        };
        let effects = self.model.open(&spec);
        self.run_effects(effects);
        self.touch_chrome();
    }

    /// Carries out what the model decided.
    pub(crate) fn run_effects(&mut self, effects: Vec<Effect>) {
        for e in effects {
            match e {
                Effect::Spawn { pane, spec } => self.spawn(pane, spec),
                Effect::Close { pane } => self.close(pane),
                Effect::Relayout => self.relayout(),
                Effect::Redraw | Effect::TabChanged => self.touch_all(),
                Effect::FocusChanged { from, to } => self.focus_changed(from, to),
                Effect::ModeChanged(mode) => self.mode_changed(mode),
                Effect::Quit => self.fate = Fate::Ending("the last pane was closed".to_owned()),
                Effect::Delegate(_) | Effect::Created { .. } => {}
            }
        }
        self.touch_chrome();
    }

    /// Everything on the screen may have changed.
    pub(crate) fn touch_all(&mut self) {
        for s in self.slots.values_mut() {
            s.generation += 1;
        }
        self.touch_chrome();
    }

    /// Gives every pane its size.
    pub(crate) fn relayout(&mut self) {
        let tabs: Vec<_> = self.model.tabs().iter().map(|t| t.id).collect();
        for tab in tabs {
            for p in self.model.placements_of(tab) {
                if let Some(s) = self.slots.get_mut(&p.pane) {
                    let size = p.inner.size();
                    guarded(s, |pane| pane.resize(size));
                }
            }
        }
        self.touch_all();
    }

    fn focus_changed(&mut self, from: Option<PaneId>, to: Option<PaneId>) {
        if from == to {
            return;
        }
        for id in [from, to].into_iter().flatten() {
            let is_shell = |s: &Slot| s.spec.kind == PaneSpec::TERMINAL && s.spec.command.is_none();
            if self.slots.get(&id).is_some_and(is_shell) {
                self.last_shell = Some(id);
            }
        }
        if let Some(id) = from {
            self.input_to(id, &qd_tty::InputEvent::FocusLost);
            self.touch(id);
        }
        if let Some(id) = to {
            self.input_to(id, &qd_tty::InputEvent::FocusGained);
            self.touch(id);
            let tab = self.model.pane_tab(id);
            for (other, s) in &mut self.slots {
                if self.model.pane_tab(*other) == tab {
                    s.activity = false;
                }
                s.bell &= *other != id;
            }
        }
        if self.model.mode() == qd_mux::Mode::Copy {
            if let Some(t) = from
                .and_then(|id| self.slots.get_mut(&id))
                .and_then(|s| s.pane.terminal())
            {
                t.leave_copy();
            }
            self.model.set_mode(self.model.home());
        }
    }

    pub(crate) fn mode_changed(&mut self, mode: qd_mux::Mode) {
        if let Some(id) = self.model.focused()
            && let Some(s) = self.slots.get_mut(&id)
            && let Some(t) = s.pane.terminal()
        {
            if mode == qd_mux::Mode::Copy {
                t.enter_copy();
            } else {
                t.leave_copy();
            }
            s.generation += 1;
        }
        self.touch_chrome();
    }

    /// Tells every program whether the surroundings are light or dark.
    pub(crate) fn tell_scheme(&mut self) {
        let light = self.clients.values().find_map(|c| c.caps.light);
        let Some(light) = light else { return };
        let scheme = if light {
            qd_terminal::Scheme::Light
        } else {
            qd_terminal::Scheme::Dark
        };
        let ids: Vec<PaneId> = self.slots.keys().copied().collect();
        for id in ids {
            if let Some(t) = self.slots.get_mut(&id).and_then(|s| s.pane.terminal()) {
                t.set_scheme(scheme);
                self.after_pane(id);
            }
        }
    }

    /// The holder said something: programs ended, or it did.
    fn on_holder(&mut self) {
        let Some(link) = self.keeping.as_ref().map(|k| k.link.clone()) else {
            return;
        };
        if !link.hear() {
            self.reactor.remove(link.fd());
            self.say(Level::Error, &qd_terminal::LinkError::Gone.to_string());
        }
        self.reap_all();
    }

    fn on_signal(&mut self) {
        for signal in self.signals.take() {
            match signal {
                Signal::Child => {
                    self.reap_all();
                    qd_terminal::reap_orphans();
                }
                Signal::Terminate => self.fate = Fate::Ending("the server was told to stop".to_owned()),
            }
        }
    }

    /// What is due by the clock.
    fn tick(&mut self) {
        let now = Instant::now();
        if (self.hold.is_some() || !self.held.is_empty()) && self.held_until().is_none_or(|t| now >= t) {
            self.end_hold();
        }
        if self.orphans_due.is_some_and(|t| now >= t) {
            self.orphans_due = None;
            qd_terminal::kill_orphans();
        }
        if self.settle_due.is_some_and(|t| now >= t) {
            self.settle();
        }
        let late: Vec<_> = self.seen_due().filter(|(_, t)| now >= *t).map(|(id, _)| id).collect();
        late.into_iter().for_each(|id| self.touch(id));
        if self.toasts.expire(self.millis(now)) == qd_ui::Turnover::Gone {
            self.touch_all();
        }
        if now >= self.next_config_check && self.clients.values().any(Client::is_attached) {
            self.next_config_check = now + Duration::from_secs(1);
            self.reload_if_changed();
        }
    }

    /// Milliseconds since the session began, for what has no clock of its own.
    pub(crate) fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a pane holds its picture back: a synchronized update is open and not for too long.
    pub(crate) fn held_back(slot: &Slot, now: Instant) -> Option<Duration> {
        let open = now.duration_since(slot.sync_since?);
        SYNC_LIMIT.checked_sub(open).filter(|d| !d.is_zero())
    }

    /// Listing data.
    pub(crate) fn info(&self) -> SessionInfo {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        SessionInfo {
            name: self.name.clone(),
            pid: std::process::id(),
            created: self.created.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            clients: count(self.clients.values().filter(|c| c.is_attached()).count()),
            tabs: count(self.model.tabs().len()),
            panes: count(self.slots.len()),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn shut_down(&mut self) {
        let Fate::Ending(reason) = self.fate.clone() else {
            return;
        };
        info!(session = %self.name, %reason, "ending");
        for c in self.clients.values_mut() {
            let attached = c.is_attached();
            let _ = c.stream.set_nonblocking(false);
            let _ = c.stream.set_write_timeout(Some(SHUTDOWN));
            if attached {
                c.farewell(&ServerMsg::Ended { reason: reason.clone() });
            } else {
                c.flush();
            }
        }
        for s in self.slots.values_mut() {
            if let Some(t) = s.pane.terminal() {
                t.hang_up();
            }
        }
        let deadline = Instant::now() + SHUTDOWN;
        while Instant::now() < deadline {
            let alive = self
                .slots
                .values_mut()
                .filter_map(|s| s.pane.terminal())
                .any(|t| t.poll_exit().is_none());
            if !alive {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for s in self.slots.values_mut() {
            if let Some(t) = s.pane.terminal() {
                t.kill();
            }
        }
        self.slots.clear();
        qd_terminal::kill_orphans();
        self.factories.shut_down(SHUTDOWN);
    }
}
