//! The pane onto a proxy: flows as they pass, routes, endpoints, connections, what went wrong, and everything about one
//! flow. The proxy runs in the engine; the pane holds which flows are kept for the screen and where the cursor stands.

mod acts;
mod book;
mod bottom;
mod columns;
pub(crate) mod console;
mod detail;
mod diff;
mod draw;
mod export;
mod fault;
mod haystack;
mod held;
mod keys;
mod menu;
mod origin;
mod prompt;
mod rows;
mod send;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use qd_core::{
    EngineHandle, EngineState, Filter, Now, SourceId, Supervisor, Timestamp, Wake, WakeGuard,
    supervise::{Backoff, Handle, Pending, Policy, Restart},
};
use qd_frame::Frame;
use qd_mux::{Action, Mode, PaneId, PaneSpec};
use qd_proxy::{
    Options, ProxyEngine, Snapshot,
    control::Control,
    engine::{EngineConfig, Reply},
    source::{Source, WATCH},
};
use qd_search_live::Source as Searched;
use qd_tty::{InputEvent, KeyKind, MouseButton, MouseKind, Rect, Size};
use qd_ui::Look;

use crate::{Console, Cursor, Focus, Pane, PaneEvent, Refused};
use book::{Book, Seen};

/// The most characters of a filter that the frame shows.
const FILTER_SHOWN: usize = 40;
/// What an address `to` says for the session's own HTTP service.
const CONSOLE: &str = "console";
/// Where a pane listens when its layout does not say.
const LISTEN: &str = "127.0.0.1:0";
/// How long a stop of the pane waits for requests.
const DEADLINE: Duration = Duration::from_secs(3);
/// Pictures that rates are made of.
const SAMPLES: usize = 20;
/// How often the screen looks while something falls with time by itself.
const LOOK: Duration = Duration::from_millis(500);

/// What the pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Live,
    Routes,
    Endpoints,
    Connections,
    Errors,
}

impl View {
    const ALL: [View; 5] = [
        View::Live,
        View::Routes,
        View::Endpoints,
        View::Connections,
        View::Errors,
    ];

    fn word(self) -> &'static str {
        match self {
            View::Live => "Live",
            View::Routes => "Routes",
            View::Endpoints => "Endpoints",
            View::Connections => "Connections",
            View::Errors => "Errors",
        }
    }

    fn place(self) -> usize {
        View::ALL.iter().position(|v| *v == self).unwrap_or(0)
    }

    /// Whether its rows are flows.
    fn is_flows(self) -> bool {
        matches!(self, View::Live | View::Errors)
    }
}

/// The part that the keys move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    List,
    Detail,
}

/// What stands instead of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Panel {
    /// What can be done, with the row under the cursor.
    Menu(usize),
    /// What is held, with the row under the cursor.
    Held(usize),
    /// The keys, from a line on.
    Help(usize),
    /// How two flows differ, from a line on.
    Diff(Vec<draw::Line>, usize),
}

/// What a background task has to say: the words, and whether something is wrong.
type Said = (String, bool);

/// What the pane needs of the session.
pub(crate) struct Around<'a> {
    pub(crate) runtime: &'a tokio::runtime::Handle,
    pub(crate) supervisor: &'a Supervisor,
    /// The directory of the session's sockets, which only this person can enter.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) console: Option<Console>,
}

/// A pane onto a proxy.
pub(crate) struct ProxyPane {
    handle: EngineHandle<ProxyEngine>,
    _guard: WakeGuard,
    runtime: tokio::runtime::Handle,
    wake: Wake,
    book: Book,
    follower: tokio::task::AbortHandle,
    watcher: Option<tokio::task::AbortHandle>,
    _control: Option<Control>,
    _console: Option<console::Service>,
    source: Source,
    /// What it is, for the title.
    subject: String,
    titled: String,
    /// The hints that the bar shows.
    hinted: Vec<(String, String)>,
    say: mpsc::Sender<Said>,
    said: mpsc::Receiver<Said>,
    view: View,
    region: Region,
    /// What is shown of the flow under the cursor, if anything.
    detail: Option<detail::Detail>,
    laid: Option<detail::Laid>,
    panel: Option<Panel>,
    /// The flow under the cursor.
    at: Option<u64>,
    /// The row under the cursor of each view that shows no flows, by its key.
    keys: [Option<String>; 5],
    /// The first row that is shown, of each view.
    top: [usize; 5],
    follow: bool,
    filter: Option<(String, Filter)>,
    shown: VecDeque<Arc<Seen>>,
    upto: u64,
    errors: Vec<Arc<Seen>>,
    order: rows::Order,
    marks: Vec<Arc<Seen>>,
    samples: VecDeque<(Instant, u64, u64)>,
    typing: Option<prompt::Typing>,
    confirm: Option<(String, menu::Act)>,
    pending: Option<char>,
    editing: Option<send::Editing>,
    calls: Vec<(Pending<Reply>, String)>,
    /// What is held on its way, and what was asked for of it.
    held: Vec<qd_proxy::Held>,
    asked: Vec<u64>,
    note: Option<Said>,
    events: Vec<PaneEvent>,
    moment: u64,
    wrap: bool,
    page: usize,
    /// The row of the screen of each row of the list, for the mouse; and the columns of the names of the views.
    on_screen: Vec<(u16, usize)>,
    on_bar: Vec<(u16, u16, View)>,
    text: Vec<String>,
    due: Option<Instant>,
    origin: (u16, u16),
}

fn now() -> Now {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now::local(Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)))
}

impl ProxyPane {
    /// Starts the proxy that a layout names.
    ///
    /// # Errors
    /// What is wrong with what the layout says.
    pub(crate) fn open(around: &Around<'_>, wake: Wake, spec: &PaneSpec) -> Result<ProxyPane, Refused> {
        let own = !spec.args.contains_key("config") && spec.args.get("to").is_none_or(|t| t.trim() == CONSOLE);
        let own = own && spec.args.get("mode").is_none_or(|m| m != "forward");
        let service = match (&around.console, &around.dir) {
            (Some(console), Some(dir)) if own => {
                let service = console::Service::start(around.runtime, dir, Arc::clone(console));
                Some(service.map_err(|e| Refused(format!("the session's own service: {e}")))?)
            }
            _ => None,
        };
        let at = service.as_ref().map(|s| s.path().display().to_string());
        let (source, subject) = origin::source_of(spec, at.as_deref())?;
        let read = source.read().map_err(Refused)?;
        let name = spec.name.as_deref().unwrap_or("proxy");
        let config = EngineConfig {
            plan: read.plan,
            options: Options { workers: 1 },
            deadline: DEADLINE,
        };
        let policy = Policy {
            restart: Restart::OnFailure,
            backoff: Backoff::default(),
            stop_deadline: DEADLINE + Duration::from_secs(1),
            ..Policy::default()
        };
        let handle = around
            .supervisor
            .start::<ProxyEngine>(SourceId::new(name), config, policy)
            .map_err(|e| Refused(e.to_string()))?;
        let book = Book::new(Arc::clone(&wake));
        let follower = book.follow(around.runtime, handle.clone());
        let (say, said) = mpsc::channel();
        let control = around.dir.as_deref().and_then(|dir| {
            let kept = book.clone();
            let kept: qd_proxy::control::Kept = Arc::new(move || kept.all());
            let listen =
                |name: &str| Control::listen(around.runtime, dir, name, handle.clone(), Some(Arc::clone(&kept)));
            // Two panes of one name are told apart by a number.
            let names = std::iter::once(name.to_owned()).chain((2..20).map(|n| format!("{name}-{n}")));
            names.map(|n| listen(&n)).find_map(Result::ok)
        });
        let mut pane = ProxyPane {
            _guard: handle.on_change(Arc::clone(&wake)),
            handle,
            runtime: around.runtime.clone(),
            wake,
            book,
            follower,
            watcher: None,
            _control: control,
            _console: service,
            source,
            subject,
            titled: String::new(),
            hinted: Vec::new(),
            say,
            said,
            view: View::Live,
            region: Region::List,
            detail: None,
            laid: None,
            panel: None,
            at: None,
            keys: Default::default(),
            top: [0; 5],
            follow: true,
            filter: None,
            shown: VecDeque::new(),
            upto: 0,
            errors: Vec::new(),
            order: rows::Order::default(),
            marks: Vec::new(),
            samples: VecDeque::new(),
            typing: None,
            confirm: None,
            pending: None,
            editing: None,
            calls: Vec::new(),
            held: Vec::new(),
            asked: Vec::new(),
            note: None,
            events: Vec::new(),
            moment: crate::moment::shared().0,
            wrap: true,
            page: 1,
            on_screen: Vec::new(),
            on_bar: Vec::new(),
            text: Vec::new(),
            due: None,
            origin: (0, 0),
        };
        if let Some(filter) = spec.args.get("filter") {
            pane.set_filter(filter).map_err(Refused)?;
        }
        if let Some(view) = spec.args.get("view") {
            let known = View::ALL.into_iter().find(|v| v.word().eq_ignore_ascii_case(view));
            pane.view = known.ok_or_else(|| {
                Refused(format!(
                    "`{view}` is no view of a proxy pane: live, routes, endpoints, connections or errors"
                ))
            })?;
        }
        if let Some(first) = read.warnings.first() {
            pane.tell(first.replace('\n', " "), true);
        }
        pane.watch();
        Ok(pane)
    }

    /// The handle, for whoever publishes its records.
    pub(crate) fn handle(&self) -> &dyn Handle {
        &self.handle
    }

    /// Watches the configuration file, where there is one.
    fn watch(&mut self) {
        if self.source.path().is_none() {
            return;
        }
        let (source, handle) = (self.source.clone(), self.handle.clone());
        let (say, wake) = (self.say.clone(), Arc::clone(&self.wake));
        let task = self.runtime.spawn(async move {
            let mut stamp = source.stamp();
            loop {
                tokio::time::sleep(WATCH).await;
                let new = source.stamp();
                // A file that is being written has no size for a moment.
                if new == stamp || new.is_none() {
                    continue;
                }
                stamp = new;
                let said = reloaded(source.reload(&handle).await);
                if say.send(said).is_err() {
                    return;
                }
                wake();
            }
        });
        self.watcher = Some(task.abort_handle());
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.handle.snapshot()
    }

    fn tell(&mut self, words: impl Into<String>, bad: bool) {
        self.note = Some((words.into(), bad));
    }

    /// Takes what has come: flows, answers, what tasks have to say, and the time that other panes set.
    fn poll(&mut self) {
        self.take_flows();
        while let Ok((words, bad)) = self.said.try_recv() {
            self.tell(words, bad);
        }
        self.take_answers();
        self.poll_held();
        self.poll_editor();
        self.sample();
        self.follow_moment();
    }

    fn sample(&mut self) {
        let s = self.snapshot();
        let failed = s.totals.classes.get(5).copied().unwrap_or(0) + s.totals.classes.first().copied().unwrap_or(0);
        let new = (Instant::now(), s.totals.requests, failed);
        let same = self.samples.back().is_some_and(|(_, n, _)| *n == new.1);
        let young = self.samples.back().is_some_and(|(at, ..)| at.elapsed() < LOOK);
        if same && young {
            return;
        }
        if self.samples.back().is_some_and(|(_, n, _)| new.1 < *n) {
            self.samples.clear();
        }
        while self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(new);
    }

    /// Requests in a second, over the last few seconds.
    fn rate(&self) -> f64 {
        let (Some(new), now) = (self.samples.back(), Instant::now()) else {
            return 0.0;
        };
        let recent = |at: &Instant| now.duration_since(*at) < Duration::from_secs(4);
        let old = self.samples.iter().find(|(at, ..)| recent(at)).unwrap_or(new);
        let span = now.duration_since(old.0).as_secs_f64();
        if span < 0.2 {
            return 0.0;
        }
        (new.1 - old.1) as f64 / span
    }

    /// Moves new flows into the rows, and lets go of those that are no longer kept.
    fn take_flows(&mut self) {
        let (filter, upto) = (self.filter.as_ref().map(|(_, f)| f.clone()), self.upto);
        let passes = |s: &Arc<Seen>| filter.as_ref().is_none_or(|f| f.matches(&s.told));
        let (new, first, last, errors) = self.book.look(|kept| {
            let new: Vec<Arc<Seen>> = kept.after(upto).filter(|s| passes(s)).cloned().collect();
            let last = kept.flows.back().map_or(upto, |s| s.seq);
            let errors = kept.errors.iter().filter(|s| passes(s)).cloned().collect();
            (new, kept.first(), last, errors)
        });
        self.upto = last.max(upto);
        self.errors = errors;
        self.shown.extend(new);
        while self.shown.front().is_some_and(|s| s.seq < first) {
            self.shown.pop_front();
            let top = View::Live.place();
            if let Some(top) = self.top.get_mut(top) {
                *top = top.saturating_sub(1);
            }
        }
        if self.follow && self.view == View::Live {
            self.at = self.shown.back().map(|s| s.seq);
        }
    }

    /// Begins the rows anew: the filter changed, or a flow did.
    fn refill(&mut self) {
        self.shown.clear();
        self.upto = 0;
        self.take_flows();
    }

    /// Sets the filter; an empty text takes it away.
    fn set_filter(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        self.filter = match text.is_empty() {
            true => None,
            false => {
                let made = qd_proxy::telemetry::filter(text, &now());
                let filter = made.map_err(|all| all.first().map(ToString::to_string).unwrap_or_default())?;
                Some((text.to_owned(), filter))
            }
        };
        self.refill();
        Ok(())
    }

    /// The flow under the cursor.
    fn current(&self) -> Option<Arc<Seen>> {
        let here = |s: &&Arc<Seen>| Some(s.seq) == self.at;
        match self.view {
            // Their places rise.
            View::Live => {
                let at = self.shown.partition_point(|s| Some(s.seq) < self.at);
                self.shown.get(at).filter(here).cloned()
            }
            View::Errors => self.errors.iter().find(here).cloned(),
            _ => None,
        }
    }

    /// Goes where another pane set the time to.
    fn follow_moment(&mut self) {
        let (count, at) = crate::moment::shared();
        if count == self.moment {
            return;
        }
        self.moment = count;
        match at {
            Some(at) => {
                self.view = View::Live;
                self.follow = false;
                let found = self.shown.iter().rev().find(|s| s.told.started <= at);
                self.at = found.or_else(|| self.shown.front()).map(|s| s.seq);
            }
            None => self.follow = true,
        }
    }
}

/// What became of a reload, in words.
fn reloaded(result: Result<qd_proxy::Changes, String>) -> Said {
    match result {
        Ok(changes) => (format!("reloaded: {}", changes.words()), false),
        Err(e) => (format!("the old configuration runs on: {}", e.replace('\n', " ")), true),
    }
}

impl Pane for ProxyPane {
    fn kind(&self) -> &str {
        "proxy"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, focus: Focus) -> Cursor {
        self.poll();
        self.origin = (area.x, area.y);
        let cursor = self.paint(frame, area, look, focus);
        let s = self.snapshot();
        let restless = !s.faults.is_empty()
            || !s.held.is_empty()
            || self.rate() > 0.0
            || s.endpoints.iter().any(|e| e.breaker != "closed")
            || self.editing.is_some()
            || !self.calls.is_empty();
        self.due = restless.then(|| Instant::now() + LOOK);
        cursor
    }

    fn resize(&mut self, _size: Size) {}

    fn input(&mut self, event: &InputEvent) -> bool {
        let used = match event {
            InputEvent::Key(k) if k.kind != KeyKind::Release => self.key(k),
            InputEvent::Paste(bytes) => self.paste(&String::from_utf8_lossy(bytes)),
            InputEvent::Mouse(m) => match m.kind {
                MouseKind::WheelUp => {
                    self.step(-3);
                    true
                }
                MouseKind::WheelDown => {
                    self.step(3);
                    true
                }
                MouseKind::Press(MouseButton::Left) => {
                    self.click(m.col, m.row);
                    true
                }
                _ => false,
            },
            _ => false,
        };
        // The hint bar says what the keys do now.
        self.retitle();
        used
    }

    fn act(&mut self, action: &Action) -> Result<(), Refused> {
        let page = i64::try_from(self.page.max(2)).unwrap_or(2) - 1;
        match action {
            Action::ScrollUp => self.step(-1),
            Action::ScrollDown => self.step(1),
            Action::PageScrollUp => self.step(-page),
            Action::PageScrollDown => self.step(page),
            Action::HalfPageScrollUp => self.step(-(page / 2).max(1)),
            Action::HalfPageScrollDown => self.step((page / 2).max(1)),
            Action::ScrollToTop => self.step(i64::MIN),
            Action::ScrollToBottom => self.step(i64::MAX),
            _ => return Err(Refused("a proxy pane cannot do that".to_owned())),
        }
        Ok(())
    }

    fn go_to(&mut self, part: Option<u32>, line: u64) -> Result<(), Refused> {
        self.open_at(part, line)
    }

    fn source(&mut self, id: PaneId, _title: &str) -> Option<Arc<dyn Searched>> {
        Some(self.haystacks(id))
    }

    fn status(&self) -> String {
        match &*self.handle.state() {
            EngineState::Running { .. } => {
                let (came, lost) = self.book.look(|k| (k.came, k.lost));
                // A person's name for the pane takes the title's place; what is hidden is said here all the same.
                let total = match &self.filter {
                    Some((text, _)) => {
                        let text: String = qd_proxy_content::escape(text).chars().take(FILTER_SHOWN).collect();
                        format!(
                            "[{text}] {}/{}",
                            draw::count(self.shown.len() as u64),
                            draw::count(came)
                        )
                    }
                    None => draw::count(came),
                };
                let lost = if lost > 0 {
                    format!(" {} unseen", draw::count(lost))
                } else {
                    String::new()
                };
                let live = if self.follow { "\u{25cf}follow" } else { "paused" };
                format!("{total}{lost} {live}")
            }
            other => other.word().to_owned(),
        }
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        std::mem::take(&mut self.events)
    }

    fn restart(&mut self) -> Result<(), Refused> {
        self.handle.restart();
        Ok(())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn home(&self) -> Mode {
        Mode::Nav
    }

    fn prompts(&self) -> bool {
        self.typing.is_some()
    }

    fn hints(&self) -> Vec<(String, String)> {
        keys::hints(self)
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn screen_text(&self) -> String {
        let mut out = self.text.join("\n");
        out.push('\n');
        out
    }
}

impl Drop for ProxyPane {
    fn drop(&mut self) {
        self.follower.abort();
        if let Some(task) = &self.watcher {
            task.abort();
        }
        // The future only waits; the request to end holds without it.
        drop(self.handle.shutdown(DEADLINE + Duration::from_secs(1)));
    }
}
