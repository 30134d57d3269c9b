//! One life of the engine: the query that runs, the one that is shown, and what is asked of them.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{Command, Config, FRESH, Replace, State, View};
use crate::{
    haystack::Source,
    look::{Look, Page, page},
    query::{Compiled, Query, QueryError},
    replace::{Plan, Work as Replacing},
    results::Results,
    run,
    token::{Generations, Token},
    work::Progress,
};

/// A query that runs or has run.
pub(super) struct Run {
    pub(super) compiled: Compiled,
    pub(super) token: Token,
    pub(super) results: Arc<Results>,
    pub(super) progress: Arc<Progress>,
    pub(super) started: Instant,
    /// When it ended, and whether it had searched everything.
    pub(super) ended: Option<(Instant, bool)>,
}

impl Run {
    pub(super) fn state(&self) -> State {
        match self.ended {
            None => State::Running,
            Some((_, true)) => State::Done,
            Some((_, false)) => State::Cancelled,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.ended
            .map_or_else(Instant::now, |(at, _)| at)
            .saturating_duration_since(self.started)
    }
}

/// Everything of one life.
pub(super) struct Life {
    pub(super) sources: Arc<Vec<Arc<dyn Source>>>,
    pub(super) state: PathBuf,
    pub(super) generations: Generations,
    /// Whose finds are shown.
    pub(super) shown: Option<Run>,
    /// What runs, while it has nothing to show.
    pub(super) next: Option<Run>,
    pub(super) threads: JoinSet<(u64, bool)>,
    pub(super) tell: mpsc::UnboundedSender<u64>,
    pub(super) look: Option<Look>,
    /// What is to be replaced by, when the search is done.
    pub(super) template: Option<String>,
    /// A look that is being read, and of which query.
    pub(super) looking: Option<(u64, JoinHandle<Page>)>,
    /// What the newest page is of: the query and the version of its list.
    pub(super) looked: Option<(u64, u64, Look)>,
    pub(super) job: Option<JoinHandle<Replace>>,
    pub(super) view: View,
}

impl Life {
    /// A life that begins.
    pub(super) fn new(config: Config, tell: mpsc::UnboundedSender<u64>) -> Self {
        Self {
            sources: Arc::new(config.sources),
            state: config.state,
            generations: Generations::default(),
            shown: None,
            next: None,
            threads: JoinSet::new(),
            tell,
            look: None,
            template: None,
            looking: None,
            looked: None,
            job: None,
            view: View::default(),
        }
    }

    pub(super) fn run_mut(&mut self, number: u64) -> Option<&mut Run> {
        [&mut self.next, &mut self.shown]
            .into_iter()
            .flatten()
            .find(|r| r.token.number() == number)
    }

    pub(super) fn running(&self) -> bool {
        [&self.next, &self.shown]
            .into_iter()
            .flatten()
            .any(|r| r.ended.is_none())
    }

    /// Begins a query. `whole` searches everything, whatever was found before.
    pub(super) fn begin(&mut self, query: Query, whole: bool) -> Result<(), QueryError> {
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
    pub(super) fn candidates(&self, query: &Query) -> Option<Vec<Vec<Vec<u8>>>> {
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
    pub(super) fn switch(&mut self) {
        if let Some(run) = self.next.take() {
            self.view.page = None;
            self.looked = None;
            self.look = None;
            self.shown = Some(run);
        }
    }

    /// Reads the part of the list that is wanted, if it is not what was read last.
    pub(super) fn relook(&mut self) {
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
    pub(super) fn took(&mut self, number: u64, page: Page) {
        if self.next.as_ref().is_some_and(|r| r.token.number() == number) {
            self.switch();
        }
        if self.shown.as_ref().is_some_and(|r| r.token.number() == number) {
            self.view.page = Some(Arc::new(page));
        }
    }

    /// What panes see, as it is now.
    pub(super) fn picture(&mut self) -> View {
        let v = &mut self.view;
        v.sources = Arc::clone(&self.sources);
        if let Some(run) = &self.shown {
            let p = &run.progress;
            let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
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
    pub(super) fn start_job(&mut self, word: &'static str, job: impl FnOnce() -> Replace + Send + 'static) -> bool {
        if self.job.is_some() {
            return false;
        }
        self.view.replace = Replace::Working(word);
        self.job = Some(tokio::task::spawn_blocking(job));
        true
    }

    pub(super) fn plan(&mut self, template: String) {
        let Some(run) = &self.shown else {
            self.view.replace = Replace::Refused("nothing was found that could be replaced".to_owned());
            return;
        };
        if run.ended.is_none() || self.next.is_some() {
            self.template = Some(template);
            self.view.replace = Replace::Working("waiting for the search to end");
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

    pub(super) fn apply(&mut self, off: BTreeSet<(u32, u32)>) {
        let Replace::Planned(plan) = self.view.replace.clone() else {
            return;
        };
        let work = Replacing::new(&self.state);
        self.start_job("replacing", move || match work.apply(&plan, &off) {
            Ok(report) => Replace::Applied(Arc::new(report)),
            Err(e) => Replace::Refused(e.to_string()),
        });
    }

    pub(super) fn undo(&mut self) {
        let work = Replacing::new(&self.state);
        self.start_job("taking back", move || match work.undo() {
            Ok(report) => Replace::Undone(Arc::new(report)),
            Err(e) => Replace::Refused(e.to_string()),
        });
    }

    /// Works out the plan that waited for the search, when that is done.
    pub(super) fn plan_on(&mut self) {
        if !self.running()
            && self.next.is_none()
            && let Some(template) = self.template.take()
        {
            self.plan(template);
        }
    }

    /// Does what is asked.
    pub(super) fn obey(&mut self, command: Command) -> Result<(), QueryError> {
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
                self.template = None;
                if self.job.is_none() {
                    self.view.replace = Replace::Off;
                }
            }
        }
        Ok(())
    }
}
