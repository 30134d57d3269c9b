//! The pipeline as an engine of the session: supervised, restarted when it fails, watched by panes.
//!
//! One life reads the configuration, starts the pipeline and lives until that ends or the session stops it. What its
//! components have to say goes out as records; a configuration that changes is taken over while it runs, and one that
//! cannot work leaves the old pipeline as it was and is told in the snapshot.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use qd_core::{
    Instant, Mono, Record, Schema, Severity, SourceId, Timestamp,
    filter::FieldType,
    supervise::{Context, Engine, Health, ReplyTo, Request},
};
use qd_logs_config::{ConfigError, Files, load, load_text};
pub use qd_logs_config::{ConfigPath, Format, LoadOptions};
use qd_logs_model::{InternalEvent, LogSchema};
use tokio::{sync::broadcast::error::RecvError, task::JoinHandle, time::MissedTickBehavior};

use crate::{
    Changes, Error, Options, Pipeline, Plan, Snapshot, State, Tap, TapRequest, Tapped,
    facade::{explain, full_catalog, refusals},
};

/// How often the snapshot of a pipeline with a pane is taken.
const PACE: Duration = Duration::from_secs(1);
/// How often the files of a configuration are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Files, directories and patterns, as `qd logs run` takes them. They are watched: a change is a reload.
    Files(Vec<ConfigPath>),
    /// A text of the program's own.
    Text {
        /// Its name in messages.
        name: String,
        /// The text.
        text: String,
        /// Its language.
        format: Format,
    },
}

impl Origin {
    /// What it is called in a title.
    pub fn name(&self) -> String {
        match self {
            Origin::Files(paths) => {
                let path = |p: &ConfigPath| match p {
                    ConfigPath::File(p, _) | ConfigPath::Dir(p) => p.display().to_string(),
                };
                paths.iter().map(path).collect::<Vec<_>>().join(" ")
            }
            Origin::Text { name, .. } => name.clone(),
        }
    }

    /// When each file was changed last; of a directory, every file in it.
    fn stamps(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        fn stamp(path: &Path, depth: usize, out: &mut Vec<(PathBuf, Option<SystemTime>, u64)>) {
            let meta = std::fs::metadata(path).ok();
            if meta.as_ref().is_some_and(std::fs::Metadata::is_dir) && depth > 0 {
                let mut inside: Vec<_> = std::fs::read_dir(path)
                    .into_iter()
                    .flatten()
                    .take(10_000)
                    .filter_map(|e| Some(e.ok()?.path()))
                    .collect();
                inside.sort();
                inside.iter().for_each(|p| stamp(p, depth - 1, out));
            }
            let (changed, length) = meta.map_or((None, 0), |m| (m.modified().ok(), m.len()));
            out.push((path.to_owned(), changed, length));
        }
        let mut out = Vec::new();
        if let Origin::Files(paths) = self {
            for ConfigPath::File(p, _) | ConfigPath::Dir(p) in paths {
                stamp(p, 3, &mut out);
            }
        }
        out
    }

    fn plan(&self, options: &LoadOptions) -> Result<Read, Error> {
        let loaded = match self {
            Origin::Files(paths) => load(paths, options),
            Origin::Text { name, text, format } => load_text(name, text, *format, options),
        };
        let refused = |files: &Files, errors: &[ConfigError]| {
            let places: Vec<String> = errors.iter().map(|e| files.render(e)).collect();
            Error::Config(vec![ConfigError::new(places.join("\n"))])
        };
        let catalog = full_catalog();
        let loaded = loaded.map_err(|e| refused(&e.files, &refusals(&e, &catalog)))?;
        let plan = Plan::new(&loaded.config, &catalog).map_err(|e| refused(&loaded.files, &e))?;
        let odd = loaded.warnings.iter().chain(&plan.warnings);
        Ok(Read {
            odd: odd.map(|w| loaded.files.render(w)).collect(),
            plan,
            files: loaded.files,
        })
    }
}

/// A configuration that was read.
struct Read {
    plan: Plan,
    /// What is odd about it.
    odd: Vec<String>,
    /// For the places of what goes wrong later.
    files: Files,
}

impl Read {
    fn explained(plan: &Plan, files: &Files, error: &Error) -> Error {
        Error::Config(vec![ConfigError::new(
            explain(error, plan, files).trim_end().to_owned(),
        )])
    }
}

/// What the engine is started with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where the configuration comes from.
    pub origin: Origin,
    /// How it is read.
    pub load: LoadOptions,
    /// How long a stop waits for sinks; what is left then is counted as lost.
    pub deadline: Duration,
}

/// What the engine can be asked.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again and take over what has changed.
    Reload,
    /// Look at events as they pass.
    Tap(TapRequest),
}

/// What it answers.
#[derive(Debug)]
pub enum Reply {
    /// What a reload changed, or why it did not; the old pipeline runs on then.
    Reloaded(Result<Changes, String>),
    /// The look that was asked for.
    Tap(Tap),
}

/// What panes see.
#[derive(Debug, Clone, Default)]
pub struct EngineView {
    /// The pipeline's numbers.
    pub pipeline: Arc<Snapshot>,
    /// What is odd about the configuration, with places.
    pub warnings: Vec<String>,
    /// Why the newest configuration was not taken over.
    pub problem: Option<String>,
    /// Whether a reload goes on.
    pub reloading: bool,
    /// What components said that could not be kept for the records.
    pub unheard: u64,
}

/// The log pipeline's engine.
#[derive(Debug)]
pub struct LogsEngine;

/// Ends a pipeline that nobody holds any more: the engine was aborted, or panicked.
struct EndOnDrop(Pipeline, tokio::runtime::Handle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let pipeline = self.0.clone();
        self.1.spawn(async move { pipeline.stop_within(Duration::ZERO).await });
    }
}

/// A reload that goes on, and who waits for it.
struct Reloading {
    task: JoinHandle<(Result<Changes, String>, Vec<String>)>,
    asked: Option<ReplyTo<Reply>>,
}

impl Reloading {
    fn begin(config: &EngineConfig, pipeline: &Pipeline, asked: Option<ReplyTo<Reply>>) -> Reloading {
        let (config, pipeline) = (config.clone(), pipeline.clone());
        let task = tokio::spawn(async move {
            match plan(config).await {
                Ok(read) => {
                    let plan = read.plan.clone();
                    let result = pipeline.reload(read.plan).await;
                    (result.map_err(|e| explain(&e, &plan, &read.files)), read.odd)
                }
                Err(e) => (Err(e.to_string()), Vec::new()),
            }
        });
        Reloading { task, asked }
    }
}

/// Reading compiles programs, which takes its time.
async fn plan(config: EngineConfig) -> Result<Read, Error> {
    let work = move || config.origin.plan(&config.load);
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Config(vec![ConfigError::new(format!(
            "the configuration could not be read: {e}"
        ))])),
    }
}

fn say(cx: &Context<LogsEngine>, event: InternalEvent) {
    let mut record = cx.record(event.severity);
    if !event.component.is_empty() {
        record = record.field("component", event.component.to_string());
    }
    for (name, value) in &event.fields {
        record = record.field(*name, value.to_string_lossy().into_owned());
    }
    cx.records().offer(record.body(event.message).finish());
}

/// An event that passed, as a record: what filters of the console look at. Its source is the output it came from; fields
/// have dotted names, `message` is the body.
pub fn record_of(tapped: &Tapped) -> Record {
    let at = Instant {
        wall: Timestamp(tapped.time.timestamp_nanos_opt().unwrap_or(0)),
        mono: Mono::default(),
    };
    let source = SourceId::new(tapped.output.to_string());
    qd_logs_local::pane::record_of(&tapped.value, &source, at, &LogSchema::default())
}

fn health(view: &EngineView) -> Health {
    let components = &view.pipeline.components;
    if let Some(c) = components.iter().find(|c| c.state == State::Failed) {
        return Health::failing(format!("{} failed", c.id));
    }
    if let Some(problem) = &view.problem {
        return Health::degraded(format!("the changed configuration was not taken over: {problem}"));
    }
    let lost: u64 = components.iter().map(|c| c.lost).sum();
    let full: u64 = components.iter().filter_map(|c| c.buffer).map(|b| b.dropped).sum();
    if lost + full > 0 {
        return Health::degraded(format!("{} events were lost, {full} by full buffers", lost + full));
    }
    Health::healthy()
}

impl Engine for LogsEngine {
    type Config = EngineConfig;
    type Command = Command;
    type Reply = Reply;
    type Snapshot = EngineView;
    type Error = Error;
    const KIND: &'static str = "pipeline";

    fn schema() -> Schema {
        Schema::records()
            .with("component", FieldType::Keyword, "the component that says it")
            .open()
    }

    async fn run(config: EngineConfig, mut cx: Context<Self>) -> Result<(), Error> {
        let mut stamps = config.origin.stamps();
        let Read {
            plan,
            odd: warnings,
            files,
        } = plan(config.clone()).await?;
        let options = Options {
            shutdown_deadline: config.deadline,
            snapshot_every: PACE,
            ..Options::default()
        };
        let mut said = options.log.listen();
        let pipeline = match Pipeline::start(plan.clone(), options).await {
            Ok(p) => p,
            Err(e) => return Err(Read::explained(&plan, &files, &e)),
        };
        drop((plan, files));
        let _end = EndOnDrop(pipeline.clone(), cx.runtime().clone());
        let mut view = EngineView {
            pipeline: pipeline.snapshot(),
            warnings,
            ..EngineView::default()
        };
        let warn = |cx: &Context<LogsEngine>, all: &[String]| {
            let records = all.iter().map(|w| cx.record(Severity::Warn).body(w.as_str()).finish());
            records.for_each(|r| cx.records().offer(r));
        };
        warn(&cx, &view.warnings);
        cx.publish(view.clone());
        cx.running();
        let snapshots = pipeline.snapshots();
        let mut changed = snapshots.watch();
        let ended = pipeline.clone();
        let mut ended = std::pin::pin!(async move { ended.wait().await });
        let mut look = tokio::time::interval(WATCH);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloading: Option<Reloading> = None;
        loop {
            let idle = reloading.is_none();
            let reloaded = async {
                match &mut reloading {
                    Some(r) => (&mut r.task).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                end = &mut ended => {
                    view.pipeline = pipeline.snapshot();
                    cx.publish(view);
                    return match end {
                        Ok(_) => Ok(()),
                        Err(e) => Err(Error::Failed { component: "pipeline".to_owned(), reason: e.to_string() }),
                    };
                }
                Ok(()) = changed.changed() => {
                    view.pipeline = snapshots.load();
                    cx.set_health(health(&view));
                    cx.publish(view.clone());
                }
                event = said.recv() => match event {
                    Ok(event) => say(&cx, event),
                    Err(RecvError::Lagged(n)) => view.unheard += n,
                    Err(RecvError::Closed) => {}
                },
                result = reloaded => {
                    let asked = reloading.take().and_then(|r| r.asked);
                    let (result, odd) = result.unwrap_or_else(|e| (Err(e.to_string()), Vec::new()));
                    view.reloading = false;
                    view.problem = result.as_ref().err().cloned();
                    match &result {
                        Ok(_) => {
                            warn(&cx, &odd);
                            view.warnings = odd;
                        }
                        Err(e) => cx.records().offer(cx.record(Severity::Error).body(e.clone()).finish()),
                    }
                    view.pipeline = pipeline.snapshot();
                    cx.set_health(health(&view));
                    cx.publish(view.clone());
                    if let Some(asked) = asked {
                        asked.send(Reply::Reloaded(result));
                    }
                }
                _ = look.tick(), if idle => {
                    let now = config.origin.stamps();
                    if now != stamps {
                        stamps = now;
                        reloading = Some(Reloading::begin(&config, &pipeline, None));
                        view.reloading = true;
                        cx.publish(view.clone());
                    }
                }
                request = cx.next() => match request {
                    None => {
                        pipeline.stop_within(config.deadline).await;
                        return Ok(());
                    }
                    Some(Request { command: Command::Tap(request), reply }) => reply.send(Reply::Tap(pipeline.tap(request))),
                    Some(Request { command: Command::Reload, reply }) => {
                        if reloading.is_some() {
                            reply.send(Reply::Reloaded(Err("a reload goes on already".to_owned())));
                        } else {
                            stamps = config.origin.stamps();
                            reloading = Some(Reloading::begin(&config, &pipeline, Some(reply)));
                            view.reloading = true;
                            cx.publish(view.clone());
                        }
                    }
                },
            }
        }
    }
}
