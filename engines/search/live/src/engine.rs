//! Search as an engine of the session: it is told what is searched for, runs the newest query only, and publishes how far
//! that is and the part of the list that is looked at. While nothing is asked of it, it does nothing at all.

mod life;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use qd_core::{
    Schema, Severity,
    filter::FieldType,
    supervise::{Context, Engine, ReplyTo, Request},
};
use tokio::{sync::mpsc, task::JoinError, time::MissedTickBehavior};

use self::life::Life;
use crate::{
    haystack::Source,
    look::{Look, Page},
    query::{Compiled, Query, QueryError},
    replace::{Plan, Report},
    results::{Results, Totals},
    work::Fault,
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
        let mut life = Life::new(config, tell);
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
                            .field("files", run.progress.files.load(Ordering::Relaxed))
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
            life.plan_on();
            life.relook();
            let picture = life.picture();
            cx.publish(picture);
        }
    }
}

fn answer(life: &mut Life, command: Command, reply: ReplyTo<Result<(), QueryError>>) {
    reply.send(life.obey(command));
}
