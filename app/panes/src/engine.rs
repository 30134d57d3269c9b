//! Panes onto engines: what every one of them has in common (the engine's state, its failure and the restart), and the
//! table of kinds that the session can open. The kinds' own views live in modules of their own; here is only the test
//! kind, which exists so that crashes can be tried out on the real binary, and is offered only when asked for.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use qd_core::{
    Overflow, RealClock, Schema, SourceId, Wake,
    publish::WakeGuard,
    supervise::{Context, Engine, EngineHandle, EngineState, Handle, Policy, Restart, Supervisor},
};
use qd_frame::Frame;
use qd_mux::{Action, PaneSpec};
use qd_search_live::Source;
use qd_tty::{Cell, InputEvent, Key, KeyKind, Rect, Size};
use qd_ui::{Look, Role};

use crate::{Cursor, Focus, Pane, PaneEvent, Refused, SearchPane};

/// Records of an engine that wait for the channel of its pane.
const ANNOUNCED: usize = 1024;

/// Makes a pane of one kind.
type Make = Box<dyn Fn(&Engines, Wake, &PaneSpec, Size) -> Result<Box<dyn Pane>, Refused>>;

/// What the session tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Its numbers, in Prometheus' text form.
    Metrics,
    /// Itself, as JSON.
    Session,
    /// Its panes, as JSON.
    Panes,
}

/// Asks the session for a page; the answer comes when the session has its turn.
pub type Console = Arc<dyn Fn(Page, tokio::sync::oneshot::Sender<String>) + Send + Sync>;

/// What panes of engines may use of the session.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// A directory for sockets, which only this person can enter.
    pub sockets: Option<PathBuf>,
    /// What the session tells about itself.
    pub console: Option<Console>,
}

/// Which test-only kinds are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKinds {
    /// They are.
    Offered,
    /// They are not.
    Hidden,
}

/// The kinds of engine panes. The runtime for the engines is started with the first of them.
pub struct Factories {
    kinds: BTreeMap<&'static str, (&'static str, Make)>,
    wake: Wake,
    surroundings: Surroundings,
    engines: OnceLock<Engines>,
}

/// What the engines of a session run on.
struct Engines {
    runtime: tokio::runtime::Runtime,
    supervisor: Supervisor,
    surroundings: Surroundings,
}

impl Engines {
    /// Lets pipelines of this process read what an engine says: under its pane's name, else under its kind.
    fn announce(&self, handle: &dyn Handle, spec: &PaneSpec) {
        #[cfg(feature = "logs")]
        {
            let name = spec.name.as_deref().unwrap_or_else(|| handle.kind());
            let channel = qd_logs::pane::Hub::global().channel(name);
            let mut records = handle.subscribe(ANNOUNCED, Overflow::DropOldest);
            self.runtime.spawn(async move {
                while let Some(r) = records.recv().await {
                    channel.offer(r);
                }
            });
        }
        #[cfg(not(feature = "logs"))]
        let _ = (handle, spec, &self.runtime);
    }
}

impl Factories {
    /// The kinds this build has. `wake` makes the session look at its engines.
    #[must_use]
    pub fn new(wake: Wake, tests: TestKinds, surroundings: Surroundings) -> Self {
        let mut kinds: BTreeMap<&'static str, (&'static str, Make)> = BTreeMap::new();
        #[cfg(feature = "logs")]
        {
            let make: Make = Box::new(|engines, wake, spec, size| {
                let pane = crate::logs::LogPane::open(engines.runtime.handle(), wake, spec, size)?;
                Ok(Box::new(pane))
            });
            kinds.insert("logs", ("log files and streams, followed, filtered and searched", make));
            let make: Make = Box::new(|engines, wake, spec, _| {
                let pane = crate::pipeline::PipelinePane::open(&engines.supervisor, wake, spec)?;
                engines.announce(pane.handle(), spec);
                Ok(Box::new(pane))
            });
            kinds.insert(
                "pipeline",
                ("a log pipeline: its components, its wiring, the events in it", make),
            );
        }
        let make: Make = Box::new(|engines, wake, spec, _| {
            let around = crate::proxy::Around {
                runtime: engines.runtime.handle(),
                supervisor: &engines.supervisor,
                dir: engines.surroundings.sockets.as_ref().map(|d| d.join("proxy")),
                console: engines.surroundings.console.clone(),
            };
            let pane = crate::proxy::ProxyPane::open(&around, wake, spec)?;
            engines.announce(pane.handle(), spec);
            Ok(Box::new(pane))
        });
        kinds.insert("proxy", ("a proxy: its flows, routes, endpoints, connections", make));
        let make: Make = Box::new(|engines, wake, spec, size| {
            let pane = crate::search::SearchPane::open(&engines.supervisor, wake, spec, size)?;
            engines.announce(pane.handle(), spec);
            Ok(Box::new(pane))
        });
        kinds.insert("search", ("text in files, found as you type, and replaced", make));
        if tests == TestKinds::Offered {
            let make: Make = Box::new(|engines, wake, spec, size| {
                let source = SourceId::new(spec.name.as_deref().unwrap_or("test"));
                let policy = Policy {
                    restart: Restart::Never,
                    ..Policy::default()
                };
                let handle = engines
                    .supervisor
                    .start::<TestEngine>(source, (), policy)
                    .map_err(|e| Refused(e.to_string()))?;
                engines.announce(&handle, spec);
                Ok(Box::new(TestPane::new(handle, wake, size)))
            });
            kinds.insert("test", ("counts, and crashes on p (engine) and d (drawing)", make));
        }
        Self {
            kinds,
            wake,
            surroundings,
            engines: OnceLock::new(),
        }
    }

    /// The kinds with what they are, the terminal first.
    #[must_use]
    pub fn kinds(&self) -> Vec<(String, String)> {
        let own = self
            .kinds
            .iter()
            .map(|(k, (doc, _))| ((*k).to_owned(), (*doc).to_owned()));
        std::iter::once(("terminal".to_owned(), "a shell".to_owned()))
            .chain(own)
            .collect()
    }

    /// Opens a pane of the kind that `spec` names.
    ///
    /// # Errors
    /// When there is no such kind, or its engine cannot be started.
    pub fn make(&self, spec: &PaneSpec, size: Size) -> Result<Box<dyn Pane>, Refused> {
        let Some((_, make)) = self.kinds.get(spec.kind.as_str()) else {
            let known: Vec<String> = self.kinds().into_iter().map(|(k, _)| k).collect();
            return Err(Refused(format!(
                "there is no pane of kind \u{201c}{}\u{201d}; there are: {}",
                spec.kind,
                known.join(", ")
            )));
        };
        make(self.engines()?, Arc::clone(&self.wake), spec, size)
    }

    /// The search over everything: these sources, with `root` as the directory of relative names.
    ///
    /// # Errors
    /// When its engine cannot be started.
    pub fn search_everything(&self, sources: Vec<Arc<dyn Source>>, root: PathBuf) -> Result<SearchPane, Refused> {
        let wake = Arc::clone(&self.wake);
        SearchPane::everything(&self.engines()?.supervisor, wake, sources, root)
    }

    fn engines(&self) -> Result<&Engines, Refused> {
        if let Some(e) = self.engines.get() {
            return Ok(e);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("qd-engines")
            .enable_all()
            .build()
            .map_err(|e| Refused(format!("the engines' runtime could not be started: {e}")))?;
        let supervisor = Supervisor::new(runtime.handle().clone(), Arc::new(RealClock::new()));
        let surroundings = self.surroundings.clone();
        Ok(self.engines.get_or_init(|| Engines {
            runtime,
            supervisor,
            surroundings,
        }))
    }

    /// Ends every engine, each within `deadline`.
    pub fn shut_down(&self, deadline: Duration) {
        if let Some(e) = self.engines.get() {
            e.supervisor.shutdown_blocking(deadline);
        }
    }
}

/// A pane that runs nothing: what it should run could not be started, or waits to be. It says why, and Enter tries.
pub struct IdlePane {
    kind: String,
    text: String,
    waits: bool,
}

impl IdlePane {
    /// A pane of `kind` that could not be opened, and why.
    #[must_use]
    pub fn failed(kind: &str, why: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            text: why.to_owned(),
            waits: false,
        }
    }

    /// A pane whose command waits for Enter.
    #[must_use]
    pub fn waiting(kind: &str, command: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            text: format!("Waiting to run: {command}"),
            waits: true,
        }
    }
}

impl Pane for IdlePane {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, _focus: Focus) -> Cursor {
        frame.fill(area, Cell::BLANK);
        let role = if self.waits { Role::Text } else { Role::TextError };
        put_wrapped(frame, area, &self.text, look.style(role));
        None
    }

    fn resize(&mut self, _size: Size) {}

    fn input(&mut self, _event: &InputEvent) -> bool {
        false
    }

    fn act(&mut self, _action: &Action) -> Result<(), Refused> {
        Err(Refused("nothing runs in this pane".to_owned()))
    }

    fn status(&self) -> String {
        let (state, verb) = if self.waits {
            ("waiting", "runs it")
        } else {
            ("not started", "tries again")
        };
        format!("{state} \u{b7} Enter {verb} \u{b7} Ctrl-c closes")
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        Vec::new()
    }

    fn restart(&mut self) -> Result<(), Refused> {
        Err(Refused(self.text.clone()))
    }

    fn is_dead(&self) -> bool {
        true
    }

    fn screen_text(&self) -> String {
        format!("{}\n", self.text)
    }
}

/// Writes text into a rectangle, broken at its width; what does not fit is cut. Answers how many rows it took.
pub fn put_wrapped(frame: &mut Frame, area: Rect, text: &str, style: qd_frame::Style) -> u16 {
    let mut y = area.y;
    for line in text.lines() {
        let mut rest = line;
        loop {
            if y >= area.bottom() || area.w == 0 {
                return y - area.y;
            }
            let mut width = 0;
            let cut = rest
                .char_indices()
                .find(|(_, c)| {
                    width += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
                    width > usize::from(area.w)
                })
                .map_or(rest.len(), |(i, _)| i);
            frame.put_str(area.x, y, area.w, &rest[..cut], style);
            y += 1;
            rest = &rest[cut..];
            if rest.is_empty() || cut == 0 {
                break;
            }
        }
    }
    y - area.y
}

/// Counts, and crashes when told to.
struct TestEngine;

/// What the test engine can be told.
enum TestCommand {
    /// Panic.
    Panic,
}

/// The test engine does not fail, it panics.
#[derive(Debug, thiserror::Error)]
#[error("the test engine failed")]
struct TestError;

impl Engine for TestEngine {
    type Config = ();
    type Command = TestCommand;
    type Reply = ();
    type Snapshot = u64;
    type Error = TestError;
    const KIND: &'static str = "test";

    fn schema() -> Schema {
        Schema::default()
    }

    async fn run((): (), mut cx: Context<Self>) -> Result<(), TestError> {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut n = 0u64;
        cx.running();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    n += 1;
                    cx.publish(n);
                }
                request = cx.next() => match request {
                    None => return Ok(()),
                    Some(r) => match r.command {
                        TestCommand::Panic => deliberate("the test engine was told to panic"),
                    },
                },
            }
        }
    }
}

/// Panics, on purpose: this is what the test kind is for.
#[expect(clippy::panic, reason = "the test kind exists to panic")]
fn deliberate(why: &str) -> ! {
    panic!("{why}")
}

/// The view of the test engine.
struct TestPane {
    handle: EngineHandle<TestEngine>,
    panic_in_draw: bool,
    _guard: WakeGuard,
}

impl TestPane {
    fn new(handle: EngineHandle<TestEngine>, wake: Wake, _size: Size) -> Self {
        let guard = handle.on_change(wake);
        Self {
            handle,
            panic_in_draw: false,
            _guard: guard,
        }
    }

    fn text(&self) -> String {
        let state = self.handle.state();
        match state.failure() {
            Some(f) => format!("crashed: {}\nr restarts it", f.message),
            None => format!("count {}\n{}", self.handle.snapshot(), state.word()),
        }
    }
}

impl Pane for TestPane {
    fn kind(&self) -> &str {
        "test"
    }

    fn draw(&mut self, frame: &mut Frame, area: Rect, look: &Look, _focus: Focus) -> Cursor {
        if std::mem::take(&mut self.panic_in_draw) {
            deliberate("the test pane was told to panic while drawing");
        }
        frame.fill(area, Cell::BLANK);
        put_wrapped(frame, area, &self.text(), look.style(Role::Text));
        None
    }

    fn resize(&mut self, _size: Size) {}

    fn input(&mut self, event: &InputEvent) -> bool {
        let InputEvent::Key(k) = event else { return false };
        if k.kind == KeyKind::Release {
            return false;
        }
        match k.key {
            Key::Char('p') => drop(self.handle.call(TestCommand::Panic)),
            Key::Char('d') => self.panic_in_draw = true,
            Key::Char('r') => self.handle.restart(),
            _ => return false,
        }
        true
    }

    fn act(&mut self, _action: &Action) -> Result<(), Refused> {
        Err(Refused("the test pane has no text".to_owned()))
    }

    fn status(&self) -> String {
        match &*self.handle.state() {
            EngineState::Running { .. } => String::new(),
            other => other.word().to_owned(),
        }
    }

    fn events(&mut self) -> Vec<PaneEvent> {
        Vec::new()
    }

    fn restart(&mut self) -> Result<(), Refused> {
        self.handle.restart();
        Ok(())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn screen_text(&self) -> String {
        format!("{}\n", self.text())
    }
}

impl Drop for TestPane {
    fn drop(&mut self) {
        // The future only waits; the request to end holds without it.
        drop(self.handle.shutdown(Duration::from_secs(1)));
    }
}

/// The text of a caught panic.
#[must_use]
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}
