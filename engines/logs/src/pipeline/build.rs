//! Making components, and putting them together.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use qd_core::{Published, Severity};
use qd_logs_model::{BoxFuture, BuildError, BuiltSink, Context, Sink, Source, Telemetry};
use smallvec::SmallVec;
use tokio::sync::{Notify, watch};

use super::{Core, Options, Pipeline, Running, Status, run::Live};
use crate::{
    Error, LoadedTables, OutputId, Plan, Snapshot, StopReport,
    buffer::{self, BufferIn, BufferOut},
    graph::{Edge, Graph, Port, SinkEntry, SourceEntry, TransformEntry, TransformNode, panic_text},
    meter::PortMeter,
    plan::{Common, SinkPlan, SourcePlan, TransformPlan},
};

/// A source that is made and does not run yet.
pub(super) struct MadeSource {
    pub(super) source: Box<dyn Source>,
    pub(super) ports: Vec<Arc<PortMeter>>,
}

/// A sink that is made and does not run yet.
pub(super) struct MadeSink {
    pub(super) sink: Box<dyn Sink>,
    pub(super) healthcheck: BoxFuture<'static, Result<(), String>>,
    pub(super) telemetry: Telemetry,
}

/// A health check of a sink, by its id.
pub(super) type Check = (Arc<str>, BoxFuture<'static, Result<(), String>>);

fn context(core: &Core, plan: &Plan, common: &Common, kind: &str, acknowledgements: bool) -> Context {
    Context {
        id: common.id.clone(),
        globals: plan.globals.clone(),
        telemetry: core.options.telemetry.component(&common.id, kind, &common.kind),
        log: core.options.log.component(&common.id),
        aborted: core.aborted.clone(),
        acknowledgements,
    }
}

fn built<T>(id: &Arc<str>, result: std::thread::Result<Result<T, BuildError>>) -> Result<T, Error> {
    match result {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(Error::Build {
            component: id.to_string(),
            error,
        }),
        Err(payload) => Err(Error::Panicked {
            component: id.to_string(),
            reason: panic_text(&*payload),
        }),
    }
}

impl Core {
    pub(super) async fn make_source(&self, plan: &Plan, source: &SourcePlan) -> Result<MadeSource, Error> {
        let mut cx = context(self, plan, &source.common, "source", source.acknowledgements);
        cx.globals = with_proxy(&cx.globals, &source.proxy);
        let telemetry = cx.telemetry.clone();
        let tables = self.tables.lock().clone();
        let made = AssertUnwindSafe(tables.within_future(source.config.build(cx)));
        let made = made.catch_unwind().await;
        Ok(MadeSource {
            source: built(&source.common.id, made)?,
            ports: PortMeter::all(&source.common.id, source.config.outputs(), &telemetry),
        })
    }

    pub(super) fn make_transform(&self, plan: &Plan, transform: &TransformPlan) -> Result<Arc<TransformNode>, Error> {
        let common = &transform.common;
        let cx = context(self, plan, common, "transform", false);
        let telemetry = cx.telemetry.clone();
        let tables = self.tables.lock().clone();
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| tables.within(|| transform.config.build(cx))));
        Ok(Arc::new(TransformNode::new(
            common.id.clone(),
            built(&common.id, made)?,
            transform.config.input(),
            PortMeter::all(&common.id, transform.config.outputs(), &telemetry),
            telemetry,
        )))
    }

    pub(super) async fn make_sink(&self, plan: &Plan, sink: &SinkPlan) -> Result<MadeSink, Error> {
        let mut cx = context(self, plan, &sink.common, "sink", false);
        cx.globals = with_proxy(&cx.globals, &sink.proxy);
        let telemetry = cx.telemetry.clone();
        let tables = self.tables.lock().clone();
        let made = AssertUnwindSafe(tables.within_future(sink.config.build(cx)));
        let made = made.catch_unwind().await;
        let BuiltSink { sink, healthcheck } = built(&sink.common.id, made)?;
        Ok(MadeSink {
            sink,
            healthcheck,
            telemetry,
        })
    }

    /// Opens the buffer of a sink.
    pub(super) fn open_buffer(&self, plan: &Plan, sink: &SinkPlan) -> Result<(Arc<BufferIn>, BufferOut), Error> {
        let telemetry = self
            .options
            .telemetry
            .component(&sink.common.id, "sink", &sink.common.kind);
        let log = self.options.log.component(&sink.common.id);
        buffer::open(&plan.globals.data_dir, &sink.common.id, &sink.buffer, &telemetry, &log).map_err(|error| {
            Error::Buffer {
                component: sink.common.id.to_string(),
                error,
            }
        })
    }

    /// Probes sinks: waits for the answers if one that is unhealthy shall end the start.
    pub(super) async fn probe(self: &Arc<Core>, plan: &Plan, checks: Vec<Check>) -> Result<(), Error> {
        if !plan.healthchecks {
            return Ok(());
        }
        let mut probes = Vec::new();
        for (id, check) in checks {
            let Some(sink) = plan.sinks.get(&id).filter(|s| s.healthcheck.enabled) else {
                continue;
            };
            let limit = sink.healthcheck.timeout;
            let core = self.clone();
            probes.push(async move {
                let check = AssertUnwindSafe(check).catch_unwind();
                let result = match tokio::time::timeout(limit, check).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(payload)) => Err(format!("it crashed: {}", panic_text(&*payload))),
                    Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
                };
                match &result {
                    Ok(()) => core.say(Severity::Info, &id, "the health check passed"),
                    Err(reason) => core.say(Severity::Error, &id, format!("the health check failed: {reason}")),
                }
                result.map_err(|reason| Error::Unhealthy {
                    component: id.to_string(),
                    reason,
                })
            });
        }
        let all = futures::future::join_all(probes);
        if plan.require_healthy {
            all.await.into_iter().collect()
        } else {
            self.runtime.spawn(async move {
                let _told_already = all.await;
            });
            Ok(())
        }
    }
}

fn with_proxy(
    globals: &Arc<qd_logs_model::Globals>,
    proxy: &Arc<qd_logs_model::ProxySettings>,
) -> Arc<qd_logs_model::Globals> {
    if globals.proxy == *proxy {
        return globals.clone();
    }
    let mut own = (**globals).clone();
    own.proxy = proxy.clone();
    Arc::new(own)
}

/// A source in the wiring: the number of its run, its ports, and whether it still runs.
type Wired = (u64, Vec<Arc<PortMeter>>, bool);

/// A way into the graph for every component that runs.
pub(super) struct Parts {
    /// By id: the number of the run, its ports, and whether it still runs.
    pub(super) sources: HashMap<Arc<str>, Wired>,
    pub(super) transforms: HashMap<Arc<str>, Arc<TransformNode>>,
    pub(super) sinks: HashMap<Arc<str>, (Option<Arc<BufferIn>>, Telemetry)>,
}

/// Wires components as a plan says.
pub(super) fn wire(plan: &Plan, parts: &Parts) -> Graph {
    let mut readers: HashMap<&OutputId, SmallVec<[Edge; 2]>> = HashMap::new();
    for (at, t) in plan.transforms.values().enumerate() {
        for input in &t.inputs {
            readers.entry(input).or_default().push(Edge::Transform(at));
        }
    }
    for (at, s) in plan.sinks.values().enumerate() {
        for input in &s.inputs {
            readers.entry(input).or_default().push(Edge::Sink(at));
        }
    }
    let ports = |meters: &[Arc<PortMeter>]| -> Vec<Port> {
        meters
            .iter()
            .map(|meter| Port {
                meter: meter.clone(),
                edges: readers.get(&meter.id).cloned().unwrap_or_default(),
            })
            .collect()
    };
    let mut graph = Graph::default();
    for id in plan.sources.keys() {
        if let Some((run, meters, live)) = parts.sources.get(id) {
            graph.sources.insert(
                *run,
                SourceEntry {
                    ports: ports(meters),
                    live: *live,
                },
            );
        }
    }
    for id in plan.transforms.keys() {
        if let Some(node) = parts.transforms.get(id) {
            graph.transforms.push(TransformEntry {
                node: node.clone(),
                ports: ports(&node.ports),
            });
        }
    }
    for (id, sink) in &plan.sinks {
        if let Some((entry, telemetry)) = parts.sinks.get(id) {
            graph.sinks.push(SinkEntry {
                id: id.clone(),
                takes: sink.config.input(),
                telemetry: telemetry.clone(),
                entry: entry.clone(),
            });
        }
    }
    graph
}

/// Loads the tables of a plan, on a thread that may block.
pub(super) async fn load_tables(plan: &Arc<Plan>) -> Result<LoadedTables, Error> {
    let plan = plan.clone();
    match tokio::task::spawn_blocking(move || plan.load_tables()).await {
        Ok(loaded) => loaded,
        Err(_) => Err(Error::Stopping),
    }
}

pub(super) async fn start(plan: Plan, options: Options) -> Result<Pipeline, Error> {
    let core = Arc::new(Core {
        graph: RwLock::default(),
        running: Mutex::default(),
        plan: Mutex::new(Arc::new(plan)),
        tables: Mutex::default(),
        aborted: Arc::new(AtomicBool::new(false)),
        holding: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        status: watch::Sender::new(Status::Running),
        live: watch::Sender::new(0),
        report: Mutex::new(StopReport::default()),
        next_run: AtomicU64::new(0),
        options,
        taps: Mutex::default(),
        tap_count: AtomicUsize::new(0),
        snapshot: Published::new(Snapshot::default()),
        changed: Notify::new(),
        reloads: AtomicU64::new(0),
        reloading: tokio::sync::Mutex::new(()),
        before: Mutex::default(),
        before_at: Mutex::new(Instant::now()),
        runtime: tokio::runtime::Handle::current(),
    });
    let plan = core.plan.lock().clone();
    *core.tables.lock() = load_tables(&plan).await?;
    let mut parts = Parts {
        sources: HashMap::new(),
        transforms: HashMap::new(),
        sinks: HashMap::new(),
    };
    let mut running = Running::default();
    for (id, t) in &plan.transforms {
        let node = core.make_transform(&plan, t)?;
        parts.transforms.insert(id.clone(), node.clone());
        running.transforms.insert(id.clone(), node);
    }
    let (mut sinks, mut checks) = (Vec::new(), Vec::new());
    for (id, s) in &plan.sinks {
        let made = core.make_sink(&plan, s).await?;
        checks.push((id.clone(), made.healthcheck));
        sinks.push((id, s, made.sink, made.telemetry));
    }
    let mut sources = Vec::new();
    for (id, s) in &plan.sources {
        sources.push((id, core.make_source(&plan, s).await?));
    }
    core.probe(&plan, checks).await?;
    // From here on nothing can fail but a buffer, before anything flows.
    let mut opened = Vec::new();
    for (id, s, sink, telemetry) in sinks {
        let (entry, out) = core.open_buffer(&plan, s)?;
        opened.push((id, sink, telemetry, entry, out));
    }
    let live = Live::new(&core);
    for (id, sink, telemetry, entry, out) in opened {
        let out = Arc::new(tokio::sync::Mutex::new(out));
        let running_sink = core.spawn_sink(id, sink, &entry, out, telemetry.clone());
        parts.sinks.insert(id.clone(), (Some(entry), telemetry));
        running.sinks.insert(id.clone(), running_sink);
    }
    let mut starts = Vec::new();
    for (id, made) in sources {
        let run = core.next_run.fetch_add(1, Ordering::Relaxed);
        parts.sources.insert(id.clone(), (run, made.ports.clone(), true));
        starts.push((id, run, made));
    }
    {
        let mut graph = core.graph.write();
        *graph = wire(&plan, &parts);
    }
    drop(parts);
    for (id, run, made) in starts {
        let source = core.spawn_source(id, run, made.source, made.ports);
        running.sources.insert(id.clone(), source);
    }
    for node in running.transforms.values() {
        core.spawn_ticker(node);
    }
    *core.running.lock() = running;
    // A pipeline without sources has come to its end already.
    let mut walked = crate::graph::Walked::default();
    core.graph.write().settle(&mut walked);
    core.deliver_beside(walked);
    core.runtime.spawn(core.clone().watch());
    core.say(Severity::Info, "", "the pipeline has started");
    drop(live);
    Ok(Pipeline { core })
}
