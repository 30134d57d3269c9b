//! The session's panes: starting what they run, watching their PTYs, giving them input, hearing what they say, and what
//! happens when their programs end. A panic in a pane stays in its slot.

use std::time::{Duration, Instant};

use qd_config::Config;
use qd_mux::{PaneId, PaneSpec, PaneState};
use qd_panes::{IdlePane, Keeper, Pane, TerminalPane};
use qd_terminal::More;
use qd_tty::Size;
use tracing::warn;

use crate::{
    messages::Level,
    reactor::{Interest, Ready, Token},
    session::Session,
};

/// Bytes a pane may parse in one turn before the others, and the clients' input, are looked at again.
pub(crate) const PANE_TURN: usize = 64 * 1024;
/// Turns in which the last output of an ended program is read: more than a PTY holds, and too few for a grandchild that
/// goes on flooding to hold the session up.
const DRAIN_TURNS: u32 = 8;
/// How long a program may take to end after its terminal is gone.
const GRACE: Duration = Duration::from_secs(3);
/// How long floods wait for the echo of a key.
const HOLD: Duration = Duration::from_millis(3);
/// The same, while somebody types into another pane.
pub(crate) const SHORT_TURN: usize = 4 * 1024;
/// How long after a key somebody is taken to type.
const TYPING: Duration = Duration::from_secs(1);
/// What floods may bring in a span of time while somebody types into another pane: a hundred screens a second, and the
/// processors are mostly free for the next key.
const RATION: (usize, Duration) = (64 * 1024, Duration::from_millis(16));
/// How long after a key its pane's output is drawn at once.
const BOOST: Duration = Duration::from_millis(100);
/// When nothing was printed for so long, terminals are settled, one after the other.
const SETTLE: Duration = Duration::from_secs(2);
const SETTLE_NEXT: Duration = Duration::from_millis(20);
/// The argument of a layout's pane whose command is not to run by itself.
const START_SUSPENDED: &str = "start_suspended";

/// A pane with what the session keeps of it.
pub(crate) struct Slot {
    pub(crate) pane: Box<dyn Pane>,
    /// Grows with every visible change.
    pub(crate) generation: u64,
    /// Output until then is the echo of a key.
    pub(crate) boost_until: Option<Instant>,
    /// The message of its last panic, while it stands.
    pub(crate) crashed: Option<String>,
    /// Since when a synchronized update is open.
    pub(crate) sync_since: Option<Instant>,
    /// Whether its PTY is watched for writing.
    pub(crate) writing: bool,
    /// Whether its PTY is watched at all.
    pub(crate) watched: bool,
    /// Its spec, to start it again.
    pub(crate) spec: PaneSpec,
    pub(crate) bell: bool,
    pub(crate) activity: bool,
}

impl Session {
    fn size_of(&self, pane: PaneId) -> Size {
        let tab = self.model.pane_tab(pane);
        let inner = tab
            .and_then(|t| self.model.placements_of(t).into_iter().find(|p| p.pane == pane))
            .map_or(Size::new(80, 24), |p| p.inner.size());
        Size::new(inner.cols.max(1), inner.rows.max(1))
    }

    /// Opens a pane that runs nothing yet: it waited to be, or could not be before.
    pub(crate) fn respawn(&mut self, id: PaneId) {
        if let Some(mut s) = self.slots.remove(&id) {
            s.spec.args.remove(START_SUSPENDED);
            self.spawn(id, s.spec);
            self.relayout();
        }
    }

    pub(crate) fn spawn(&mut self, id: PaneId, spec: PaneSpec) {
        let waits = spec.args.get(START_SUSPENDED).is_some_and(|v| v == "true");
        let made = if waits {
            Ok(None)
        } else {
            self.start(id, &spec).map(Some)
        };
        let (pane, runs): (Box<dyn Pane>, bool) = match made {
            Ok(Some(pane)) => (pane, true),
            Ok(None) => (
                Box::new(IdlePane::waiting(&spec.kind, &default_title(&spec, &self.config))),
                false,
            ),
            Err(why) => {
                self.say(Level::Error, &why);
                (Box::new(IdlePane::failed(&spec.kind, &why)), false)
            }
        };
        self.model.set_title(id, default_title(&spec, &self.config));
        self.model
            .set_pane_state(id, if runs { PaneState::Running } else { PaneState::Exited });
        self.model.set_home(id, pane.home());
        self.slots.insert(id, Slot::new(pane, spec));
        self.watch(id);
        self.tell_scheme();
    }

    /// Starts what a pane runs.
    fn start(&self, id: PaneId, spec: &PaneSpec) -> Result<Box<dyn Pane>, String> {
        let size = self.size_of(id);
        if spec.kind == PaneSpec::TERMINAL {
            let t = crate::env::spawn_spec(self, id, spec, size);
            let options = crate::settings::terminal_options(&self.config);
            let keeper = match &self.keeping {
                Some(k) => Keeper::Holder(k.link.clone(), id.0),
                None => Keeper::Own,
            };
            return match TerminalPane::spawn(t, options, keeper) {
                Ok(p) => Ok(Box::new(p)),
                Err(e) => Err(e.to_string()),
            };
        }
        if let Some(location) = spec.args.get("location").filter(|_| spec.kind == "plugin") {
            return Err(format!(
                "the layout asks for the zellij plugin {location} here: Quarterdeck runs no plugins"
            ));
        }
        let mut spec = spec.clone();
        if spec.cwd.is_none() {
            spec.cwd = self.options.cwd.as_ref().and_then(|c| c.to_str()).map(str::to_owned);
        }
        self.factories.make(&spec, size).map_err(|e| e.to_string())
    }

    /// Watches a pane's PTY.
    pub(crate) fn watch(&mut self, id: PaneId) {
        let Some(s) = self.slots.get_mut(&id) else { return };
        if let Some(fd) = s.pane.fd() {
            match self.reactor.add(fd, Token::Pane(id.0), Interest::Read) {
                Ok(()) => s.watched = true,
                Err(e) => warn!(pane = id.0, "its terminal could not be watched: {e}"),
            }
            s.writing = false;
        }
    }

    pub(crate) fn unwatch(&mut self, id: PaneId) {
        if let Some(s) = self.slots.get_mut(&id)
            && s.watched
        {
            if let Some(fd) = s.pane.fd() {
                self.reactor.remove(fd);
            }
            s.watched = false;
        }
    }

    pub(crate) fn close(&mut self, id: PaneId) {
        self.unwatch(id);
        self.orphans_due = Some(Instant::now() + GRACE);
        if let Some(s) = self.slots.remove(&id) {
            // A pane that panics while it is dropped must not take the session along.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(s)));
        }
        for c in self.clients.values_mut() {
            c.drawn.remove(&id);
        }
    }

    /// While the echo of a key is awaited, floods beside it wait, a few milliseconds at the most, and while somebody types
    /// they wait when they have had their ration: they would take the processor from everybody whom a key and its echo
    /// have to pass. Answers whether this pane waits.
    pub(crate) fn put_off(&mut self, id: PaneId, now: Instant) -> bool {
        let own = self.typed.is_some_and(|(_, into)| into == id);
        if own || self.held_until().is_none_or(|t| now >= t) {
            return false;
        }
        let Some(s) = self.slots.get(&id).filter(|s| s.watched) else {
            return false;
        };
        let Some(fd) = s.pane.fd() else { return false };
        let put_off = self.reactor.modify(fd, Token::Pane(id.0), Interest::Nothing).is_ok();
        if put_off {
            self.held.push(id);
        }
        put_off
    }

    /// Until when floods wait, and for whichever reason.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        let rest = (self.ration.0 == 0).then_some(self.ration.1);
        self.hold.max(rest)
    }

    /// Counts what a pane has brought, if somebody types into another one.
    fn take_ration(&mut self, id: PaneId, bytes: usize, now: Instant) {
        let Some((at, into)) = self.typed else { return };
        if now.saturating_duration_since(at) > TYPING {
            self.typed = None;
            self.ration = (RATION.0, now);
            return;
        }
        if into == id {
            return;
        }
        if now >= self.ration.1 {
            self.ration = (RATION.0, now + RATION.1);
        }
        self.ration.0 = self.ration.0.saturating_sub(bytes);
    }

    /// The echo is drawn, or did not come: the floods go on, unless they have had their ration.
    pub(crate) fn end_hold(&mut self) {
        self.hold = None;
        if self.held_until().is_some_and(|t| Instant::now() < t) {
            return;
        }
        for id in std::mem::take(&mut self.held) {
            let Some(s) = self.slots.get(&id).filter(|s| s.watched) else {
                continue;
            };
            let Some(fd) = s.pane.fd() else { continue };
            let interest = if s.writing { Interest::ReadWrite } else { Interest::Read };
            if let Err(e) = self.reactor.modify(fd, Token::Pane(id.0), interest) {
                warn!(pane = id.0, "its terminal could not be watched again: {e}");
            }
        }
    }

    /// How long floods still wait.
    pub(crate) fn hold_left(&self) -> Option<Duration> {
        let until = self.held_until().filter(|_| !self.held.is_empty())?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Gives input to a pane; a panic there becomes the pane's state.
    pub(crate) fn input_to(&mut self, id: PaneId, event: &qd_tty::InputEvent) {
        let Some(s) = self.slots.get_mut(&id) else { return };
        if s.crashed.is_some() {
            return;
        }
        guarded(s, |pane| {
            pane.input(event);
        });
        let now = Instant::now();
        // Being told of the focus is no key: a flood that is left is not to be drawn as an echo.
        if !matches!(event, qd_tty::InputEvent::FocusGained | qd_tty::InputEvent::FocusLost) {
            s.boost_until = Some(now + BOOST);
        }
        if matches!(event, qd_tty::InputEvent::Key(_)) && s.pane.fd().is_some() {
            self.hold = Some(now + HOLD);
            self.typed = Some((now, id));
        }
        s.generation += u64::from(s.pane.fd().is_none() || matches!(event, qd_tty::InputEvent::Mouse(_)));
        self.after_pane(id);
    }

    pub(crate) fn on_pane(&mut self, id: PaneId, ready: Ready, budget: usize) {
        let Some(s) = self.slots.get_mut(&id) else { return };
        let (mut eof, mut wrote, mut unsettled, mut brought) = (false, false, false, 0);
        if let Some(t) = s.pane.terminal() {
            if ready.writable {
                t.flush();
            }
            if ready.readable {
                let turn = t.read_turn(budget);
                eof = turn.more == More::Eof;
                if turn.bytes > 0 {
                    wrote = true;
                    brought = turn.bytes;
                    unsettled = t.unsettled();
                    let sync = t.engine().vt().sync_pending();
                    s.sync_since = sync.then(|| s.sync_since.unwrap_or_else(Instant::now));
                    s.generation += 1;
                }
            }
        }
        if unsettled {
            self.settle_due = Some(Instant::now() + SETTLE);
        }
        if brought > 0 && self.typed.is_some() {
            self.take_ration(id, brought, Instant::now());
        }
        if eof {
            self.unwatch(id);
        }
        self.after_pane(id);
        if wrote {
            self.mark_activity(id);
        }
        if eof {
            self.reap(id);
        }
    }

    /// Nothing was printed for a while: memory that only lively programs need goes back.
    pub(crate) fn settle(&mut self) {
        for s in self.slots.values_mut() {
            if let Some(t) = s.pane.terminal()
                && t.unsettled()
            {
                t.settle();
                // One at a time: a checkpoint must not be felt by somebody who types.
                self.settle_due = Some(Instant::now() + SETTLE_NEXT);
                return;
            }
        }
        self.settle_due = None;
    }

    /// Hears what a pane has to say, and keeps the watch on its PTY right.
    pub(crate) fn after_pane(&mut self, id: PaneId) {
        let Some(s) = self.slots.get_mut(&id) else { return };
        if let Some(t) = s.pane.terminal() {
            if t.wants_write() {
                t.flush();
            }
            let want = t.wants_write();
            if want != s.writing
                && s.watched
                && let Some(fd) = s.pane.fd()
            {
                let interest = if want { Interest::ReadWrite } else { Interest::Read };
                if self.reactor.modify(fd, Token::Pane(id.0), interest).is_ok() {
                    s.writing = want;
                }
            }
        }
        let events = s.pane.events();
        for e in events {
            self.on_pane_event(id, e);
        }
    }

    /// A program wrote something: that marks its tab, unless it is before the person's eyes.
    fn mark_activity(&mut self, id: PaneId) {
        let visible = self.model.active_tab().map(|t| t.id) == self.model.pane_tab(id);
        if let Some(s) = self.slots.get_mut(&id)
            && !visible
            && !s.activity
        {
            s.activity = true;
            self.touch_chrome();
        }
    }

    /// A pane's PTY is at its end, or its program may have ended.
    pub(crate) fn reap(&mut self, id: PaneId) {
        let Some(s) = self.slots.get_mut(&id) else { return };
        let Some(t) = s.pane.terminal() else { return };
        let status = t.poll_exit();
        if status.is_none() {
            return;
        }
        s.generation += 1;
        let close = s.spec.on_exit == qd_mux::OnExit::Close;
        self.after_pane(id);
        if close {
            let effects = self.model.remove_pane(id);
            self.run_effects(effects);
            self.close(id);
        }
        self.touch_chrome();
    }

    /// The program's last output may still wait in the PTY when it has ended: it is read to the end first.
    pub(crate) fn reap_all(&mut self) {
        let ids: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, s)| !s.pane.is_dead())
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(t) = self.slots.get_mut(&id).and_then(|s| s.pane.terminal()) else {
                continue;
            };
            if t.poll_exit().is_some() {
                let mut rounds = 0;
                while t.read_turn(PANE_TURN).more == More::Pending && rounds < DRAIN_TURNS {
                    rounds += 1;
                }
                self.unwatch(id);
                self.reap(id);
            }
        }
    }
}

impl Slot {
    pub(crate) fn new(pane: Box<dyn Pane>, spec: PaneSpec) -> Self {
        Self {
            pane,
            generation: 1,
            boost_until: None,
            crashed: None,
            sync_since: None,
            writing: false,
            watched: false,
            spec,
            bell: false,
            activity: false,
        }
    }
}

/// Calls into a pane; a panic there becomes its state, and is told.
pub(crate) fn guarded<R>(slot: &mut Slot, f: impl FnOnce(&mut dyn Pane) -> R) -> Option<R> {
    let pane = slot.pane.as_mut();
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || f(pane))) {
        Ok(r) => Some(r),
        Err(payload) => {
            slot.crashed = Some(qd_panes::panic_message(&*payload));
            slot.generation += 1;
            None
        }
    }
}

/// The title of a pane before its program gives it one.
fn default_title(spec: &PaneSpec, config: &Config) -> String {
    match &spec.command {
        Some(c) => c.join(" "),
        None if spec.kind != "terminal" => spec.kind.clone(),
        None => {
            let shell = crate::env::shell_of(config);
            shell.rsplit('/').next().unwrap_or("shell").to_owned()
        }
    }
}
