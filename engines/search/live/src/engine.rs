//! Search as an engine of the session: it is told what is searched for, runs the newest query only, and publishes how far
//! that is and the part of the list that is looked at. While nothing is asked of it, it does nothing at all.

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use qd_core::{
    Schema, Severity,
    filter::FieldType,
    supervise::{Context, Engine, ReplyTo, Request},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
    time::MissedTickBehavior,
};

use crate::{
    haystack::Source,
    look::{Look, Page, page},
    query::{Compiled, Query, QueryError},
    replace::{Plan, Report, Work as Replacing},
    results::{Results, Totals},
    run,
    token::{Generations, Token},
    work::{Fault, Progress},
};

/// How often the numbers of a running query are published.
const PACE: Duration = Duration::from_millis(33);
/// How long what was found before stays in sight while a query has found nothing yet.
const LINGER: Duration = Duration::from_millis(150);
/// How long what a query has found may stand for what its extension can find: files change.
const FRESH: Duration = Duration::from_secs(10);

/// What the engine is started with.
#[derive(Clone)]
pub struct Config {
    /// What is searched.
    pub sources: Vec<Arc<dyn Source>>,
    /// Where journals of replacements are kept.
    pub state: PathBuf,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.sources.iter().map(|s| s.kind().word()).collect();
        f.debug_struct("Config")
            .field("sources", &kinds)
            .field("state", &self.state)
            .finish()
    }
}

/// What the engine can be asked.
pub enum Command {
    /// Search for this from now on. What runs is cancelled.
    Search(Query),
    /// Search for the same again, everywhere.
    Again,
    /// Stop; what was found stays.
    Cancel,
    /// Show this part of the list; it is shown anew whenever it changes.
    Look(Look),
    /// Search in these from now on.
    Sources(Vec<Arc<dyn Source>>),
    /// Work out what would be replaced by this.
    Plan(String),
    /// Replace, but for these hunks: a file's place in the plan, and the hunk's in the file.
    Apply(BTreeSet<(u32, u32)>),
    /// Take the last replacement back.
    Undo,
    /// Forget the plan.
    Leave,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search(_) => "Search",
            Self::Again => "Again",
            Self::Cancel => "Cancel",
            Self::Look(_) => "Look",
            Self::Sources(_) => "Sources",
            Self::Plan(_) => "Plan",
            Self::Apply(_) => "Apply",
            Self::Undo => "Undo",
            Self::Leave => "Leave",
        })
    }
}

/// Where the query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing is searched for.
    #[default]
    Idle,
    /// It runs.
    Running,
    /// It has searched everything.
    Done,
    /// It was stopped.
    Cancelled,
}

/// What a replacement is at.
#[derive(Debug, Clone, Default)]
pub enum Replace {
    /// There is none.
    #[default]
    Off,
    /// Something is being done, in a word.
    Working(&'static str),
    /// This would be replaced.
    Planned(Arc<Plan>),
    /// It cannot be worked out, and why.
    Refused(String),
    /// It was done.
    Applied(Arc<Report>),
    /// It was taken back.
    Undone(Arc<Report>),
}

/// What panes see.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The query whose finds are shown.
    pub query: Query,
    /// Its number; another number is another list.
    pub number: u64,
    /// Where it is.
    pub state: State,
    /// Why what was asked for last cannot run. The list is that of the query before.
    pub error: Option<QueryError>,
    /// What was found.
    pub results: Arc<Results>,
    /// The numbers of it.
    pub totals: Totals,
    /// Haystacks that were searched.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// How long it has taken.
    pub elapsed: Duration,
    /// How long it took to the first find.
    pub first: Option<Duration>,
    /// How much could not be searched.
    pub fault_count: u64,
    /// The first thousand of these.
    pub faults: Arc<Vec<Fault>>,
    /// The part of the list that is looked at.
    pub page: Option<Arc<Page>>,
    /// What a replacement is at.
    pub replace: Replace,
    /// What is searched.
    pub sources: Arc<Vec<Arc<dyn Source>>>,
    /// The query as it finds.
    pub compiled: Option<Compiled>,
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().word())
    }
}

/// Why the engine fails.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// One of its threads panicked.
    #[error("a thread of the search ended: {0}")]
    Thread(String),
}

impl From<JoinError> for LiveError {
    fn from(e: JoinError) -> Self {
        Self::Thread(e.to_string())
    }
}

/// The search engine.
#[derive(Debug)]
pub struct LiveEngine;

/// A query that runs or has run.
struct Run {
    compiled: Compiled,
    token: Token,
    results: Arc<Results>,
    progress: Arc<Progress>,
    started: Instant,
    /// When it ended, and whether it had searched everything.
    ended: Option<(Instant, bool)>,
}

impl Run {
    fn state(&self) -> State {
        match self.ended {
            None => State::Running,
            Some((_, true)) => State::Done,
            Some((_, false)) => State::Cancelled,
        }
    }

    fn elapsed(&self) -> Duration {
        self.ended
            .map_or_else(Instant::now, |(at, _)| at)
            .saturating_duration_since(self.started)
    }
}

/// Everything of one life.
struct Life {
    sources: Arc<Vec<Arc<dyn Source>>>,
    state: PathBuf,
    generations: Generations,
    /// Whose finds are shown.
    shown: Option<Run>,
    /// What runs, while it has nothing to show.
    next: Option<Run>,
    threads: JoinSet<(u64, bool)>,
    tell: mpsc::UnboundedSender<u64>,
    look: Option<Look>,
    /// A look that is being read, and of which query.
    looking: Option<(u64, JoinHandle<Page>)>,
    /// What the newest page is of: the query and the version of its list.
    looked: Option<(u64, u64, Look)>,
    job: Option<JoinHandle<Replace>>,
    view: View,
}

impl Life {
    fn run_mut(&mut self, number: u64) -> Option<&mut Run> {
        [&mut self.next, &mut self.shown]
            .into_iter()
            .flatten()
            .find(|r| r.token.number() == number)
    }

    fn running(&self) -> bool {
        [&self.next, &self.shown]
            .into_iter()
            .flatten()
            .any(|r| r.ended.is_none())
    }

    /// Begins a query. `whole` searches everything, whatever was found before.
    fn begin(&mut self, query: Query, whole: bool) -> Result<(), QueryError> {
        if query.text.is_empty() {
            self.generations.cancel();
            self.next = None;
            self.shown = None;
            self.looked = None;
            self.view = View {
                query,
                number: self.view.number,
                sources: Arc::clone(&self.sources),
                replace: std::mem::take(&mut self.view.replace),
                ..View::default()
            };
            return Ok(());
        }
        let compiled = match query.compile() {
            Ok(c) => c,
            Err(e) => {
                self.view.error = Some(e.clone());
                return Err(e);
            }
        };
        self.view.error = None;
        let only = self.candidates(&query).filter(|_| !whole);
        let token = self.generations.begin();
        let results = Arc::new(Results::default());
        let progress = Arc::new(Progress::default());
        let run = Run {
            compiled: compiled.clone(),
            token: token.clone(),
            results: Arc::clone(&results),
            progress: Arc::clone(&progress),
            started: Instant::now(),
            ended: None,
        };
        let (sources, tell) = (Arc::clone(&self.sources), self.tell.clone());
        self.threads.spawn_blocking(move || {
            let number = token.number();
            let tell = || {
                let _ = tell.send(number);
            };
            run::search(&compiled, &sources, only.as_deref(), &token, &results, &progress, &tell);
            (number, token.is_live())
        });
        // A query that has shown nothing yet is forgotten; one that has, stays in sight until this one has something.
        if let Some(old) = self.shown.as_mut().filter(|r| r.ended.is_none()) {
            old.ended = Some((Instant::now(), false));
        }
        self.next = Some(run);
        Ok(())
    }

    /// What can match at all, when what was found last is fresh and this extends it.
    fn candidates(&self, query: &Query) -> Option<Vec<Vec<Vec<u8>>>> {
        let base = [&self.next, &self.shown]
            .into_iter()
            .flatten()
            .find(|r| matches!(r.ended, Some((at, true)) if at.elapsed() < FRESH))?;
        if !query.narrows(&base.compiled.query) || base.progress.fault_count() > 0 {
            return None;
        }
        base.results.names(self.sources.len())
    }

    /// Makes the query that runs the one that is shown.
    fn switch(&mut self) {
        if let Some(run) = self.next.take() {
            self.view.page = None;
            self.looked = None;
            self.look = None;
            self.shown = Some(run);
        }
    }

    /// Reads the part of the list that is wanted, if it is not what was read last.
    fn relook(&mut self) {
        if self.looking.is_some() {
            return;
        }
        let (run, wanted) = match &self.next {
            Some(run) if run.results.version() > 0 => {
                run.results.settle();
                let rows = self.look.as_ref().map_or(100, |l| l.rows);
                let context = self.look.as_ref().map_or(0, |l| l.context);
                let top = run.results.first();
                let look = top.map(|top| Look {
                    top,
                    rows,
                    context,
                    folded: Arc::default(),
                });
                (run, look)
            }
            _ => {
                let Some(run) = &self.shown else { return };
                run.results.settle();
                let look = self.look.clone().or_else(|| {
                    Some(Look {
                        top: run.results.first()?,
                        rows: 100,
                        context: 0,
                        folded: Arc::default(),
                    })
                });
                (run, look)
            }
        };
        let Some(look) = wanted else { return };
        let (number, version) = (run.token.number(), run.results.version());
        let is = (number, version, look.clone());
        if self.looked.as_ref() == Some(&is) {
            return;
        }
        self.looked = Some(is);
        let (results, sources) = (Arc::clone(&run.results), Arc::clone(&self.sources));
        let compiled = run.compiled.clone();
        let task = tokio::task::spawn_blocking(move || page(&results, &sources, &compiled, look));
        self.looking = Some((number, task));
    }

    /// A page was read.
    fn took(&mut self, number: u64, page: Page) {
        if self.next.as_ref().is_some_and(|r| r.token.number() == number) {
            self.switch();
        }
        if self.shown.as_ref().is_some_and(|r| r.token.number() == number) {
            self.view.page = Some(Arc::new(page));
        }
    }

    /// What panes see, as it is now.
    fn picture(&mut self) -> View {
        let v = &mut self.view;
        v.sources = Arc::clone(&self.sources);
        if let Some(run) = &self.shown {
            let p = &run.progress;
            let load = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
            v.query.clone_from(&run.compiled.query);
            if v.number != run.token.number() {
                v.compiled = Some(run.compiled.clone());
            }
            v.number = run.token.number();
            v.state = run.state();
            v.results = Arc::clone(&run.results);
            v.totals = run.results.totals();
            v.files = load(&p.files);
            v.bytes = load(&p.bytes);
            v.elapsed = run.elapsed();
            v.first = Some(load(&p.first)).filter(|n| *n > 0).map(Duration::from_nanos);
            let count = p.fault_count();
            if count != v.fault_count || v.faults.len() as u64 > count {
                v.fault_count = count;
                v.faults = Arc::new(p.faults());
            }
        }
        if self.next.is_some() {
            v.state = State::Running;
        }
        v.clone()
    }

    /// Starts a piece of work on files; one at a time.
    fn start_job(&mut self, word: &'static str, job: impl FnOnce() -> Replace + Send + 'static) -> bool {
        if self.job.is_some() {
            return false;
        }
        self.view.replace = Replace::Working(word);
        self.job = Some(tokio::task::spawn_blocking(job));
        true
    }

    fn plan(&mut self, template: String) {
        let Some(run) = &self.shown else {
            self.view.replace = Replace::Refused("nothing was found that could be replaced".to_owned());
            return;
        };
        if run.ended.is_none() || self.next.is_some() {
            self.view.replace = Replace::Refused("the search still runs: replace when it is done".to_owned());
            return;
        }
        let (results, sources) = (Arc::clone(&run.results), Arc::clone(&self.sources));
        let compiled = run.compiled.clone();
        self.start_job("working out what would change", move || {
            match Plan::make(&results, &sources, &compiled, &template) {
                Ok(plan) => Replace::Planned(Arc::new(plan)),
                Err(e) => Replace::Refused(e.to_string()),
            }
        });
    }

    fn apply(&mut self, off: BTreeSet<(u32, u32)>) {
        let Replace::Planned(plan) = self.view.replace.clone() else {
            return;
        };
        let work = Replacing::new(&self.state);
        self.start_job("replacing", move || match work.apply(&plan, &off) {
            Ok(report) => Replace::Applied(Arc::new(report)),
            Err(e) => Replace::Refused(e.to_string()),
        });
    }

    fn undo(&mut self) {
        let work = Replacing::new(&self.state);
        self.start_job("taking back", move || match work.undo() {
            Ok(report) => Replace::Undone(Arc::new(report)),
            Err(e) => Replace::Refused(e.to_string()),
        });
    }

    /// Does what is asked.
    fn obey(&mut self, command: Command) -> Result<(), QueryError> {
        match command {
            Command::Search(query) => return self.begin(query, false),
            Command::Again => {
                let run = self.next.as_ref().or(self.shown.as_ref());
                let query = run.map_or_else(|| self.view.query.clone(), |r| r.compiled.query.clone());
                return self.begin(query, true);
            }
            Command::Cancel => {
                self.generations.cancel();
                self.switch();
                if let Some(run) = self.shown.as_mut().filter(|r| r.ended.is_none()) {
                    run.ended = Some((Instant::now(), false));
                }
            }
            Command::Look(look) => self.look = Some(look),
            Command::Sources(sources) => {
                self.generations.cancel();
                let query = self.next.as_ref().or(self.shown.as_ref());
                let query = query.map(|r| r.compiled.query.clone());
                self.next = None;
                self.shown = None;
                self.sources = Arc::new(sources);
                self.view = View::default();
                if let Some(q) = query {
                    return self.begin(q, true);
                }
            }
            Command::Plan(template) => self.plan(template),
            Command::Apply(off) => self.apply(off),
            Command::Undo => self.undo(),
            Command::Leave => {
                if self.job.is_none() {
                    self.view.replace = Replace::Off;
                }
            }
        }
        Ok(())
    }
}

/// Says what has become of work on files.
fn say(cx: &Context<LiveEngine>, done: &Replace) {
    let (word, report) = match done {
        Replace::Applied(r) => ("replaced", r),
        Replace::Undone(r) => ("taken back", r),
        _ => return,
    };
    let severity = if report.refused.is_empty() {
        Severity::Info
    } else {
        Severity::Warn
    };
    let text = format!(
        "{word} in {} files, {} left as they are",
        report.done.len(),
        report.refused.len()
    );
    cx.records().offer(cx.record(severity).body(text).finish());
}

impl Engine for LiveEngine {
    type Config = Config;
    type Command = Command;
    type Reply = Result<(), QueryError>;
    type Snapshot = View;
    type Error = LiveError;
    const KIND: &'static str = "search";

    fn schema() -> Schema {
        Schema::records()
            .with("query", FieldType::Keyword, "what was searched for")
            .with("matches", FieldType::Number, "how many matches were found")
            .with("files", FieldType::Number, "how many files were searched")
    }

    async fn run(config: Config, mut cx: Context<Self>) -> Result<(), LiveError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut life = Life {
            sources: Arc::new(config.sources),
            state: config.state,
            generations: Generations::default(),
            shown: None,
            next: None,
            threads: JoinSet::new(),
            tell,
            look: None,
            looking: None,
            looked: None,
            job: None,
            view: View::default(),
        };
        let first = life.picture();
        cx.publish(first);
        cx.running();
        let mut tick = tokio::time::interval(PACE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let running = life.running();
            let looking = async {
                match &mut life.looking {
                    Some((n, task)) => (*n, task.await),
                    None => std::future::pending().await,
                }
            };
            let job = async {
                match &mut life.job {
                    Some(job) => job.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                request = cx.next() => {
                    let Some(Request { command, reply }) = request else {
                        life.generations.cancel();
                        while let Some(ended) = life.threads.join_next().await {
                            ended?;
                        }
                        return Ok(());
                    };
                    answer(&mut life, command, reply);
                }
                Some(number) = told.recv() => {
                    // The first find is shown at once.
                    if life.run_mut(number).is_none() {
                        continue;
                    }
                }
                Some(ended) = life.threads.join_next() => {
                    let (number, whole) = ended?;
                    let Some(run) = life.run_mut(number) else { continue };
                    run.ended = Some((Instant::now(), whole));
                    if whole {
                        let t = run.results.totals();
                        let record = cx.record(Severity::Debug)
                            .field("query", run.compiled.query.text.as_str())
                            .field("matches", t.matches)
                            .field("files", run.progress.files.load(std::sync::atomic::Ordering::Relaxed))
                            .body("searched");
                        cx.records().offer(record.finish());
                    }
                    if life.next.as_ref().is_some_and(|r| r.token.number() == number && r.results.version() == 0) {
                        life.switch();
                    }
                }
                (number, done) = looking => {
                    life.looking = None;
                    life.took(number, done?);
                }
                done = job => {
                    life.job = None;
                    let done = done?;
                    say(&cx, &done);
                    life.view.replace = done;
                }
                _ = tick.tick(), if running => {
                    if life.next.as_ref().is_some_and(|r| r.elapsed() >= LINGER && r.results.version() == 0) {
                        life.switch();
                    }
                }
            }
            life.relook();
            let picture = life.picture();
            cx.publish(picture);
        }
    }
}

fn answer(life: &mut Life, command: Command, reply: ReplyTo<Result<(), QueryError>>) {
    reply.send(life.obey(command));
}
