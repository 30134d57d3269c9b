//! A running pipeline: started from a [`Plan`], watched, changed, stopped.

mod build;
mod observe;
mod reload;
mod run;
mod stop;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use qd_core::{Published, Severity};
use qd_logs_model::{InternalLog, Telemetry};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
};

use crate::{
    Error, LoadedTables, Plan, Snapshot, StopReport,
    buffer::{BufferIn, BufferOut, BufferProbe},
    graph::{Graph, TransformNode},
    meter::PortMeter,
    sink::SinkControl,
    snapshot::State,
    tap::{Ring, TapRequest, Tapped},
};

pub use reload::Changes;

/// How a pipeline behaves beyond its configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a stop waits for sinks to finish; what is left then is counted as lost. 60 s by default.
    pub shutdown_deadline: Duration,
    /// How long a reload waits for a component that is replaced or removed before it cuts it off. 20 s by default.
    pub reload_deadline: Duration,
    /// How often the snapshot is taken. 1 s by default.
    pub snapshot_every: Duration,
    /// The registry of counters; a new one by default.
    pub telemetry: Telemetry,
    /// Where components say what happened; a new one by default.
    pub log: InternalLog,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            shutdown_deadline: Duration::from_secs(60),
            reload_deadline: Duration::from_secs(20),
            snapshot_every: Duration::from_secs(1),
            telemetry: Telemetry::new(),
            log: InternalLog::new(),
        }
    }
}

/// How the pipeline as a whole stands.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Running,
    /// A component failed; the rest is being stopped.
    Failing(Arc<Error>),
    /// Every component has ended.
    Ended(Option<Arc<Error>>, StopReport),
}

/// A source that runs or has run.
pub(crate) struct RunningSource {
    pub(crate) run: u64,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) ended: watch::Receiver<bool>,
    pub(crate) abort: AbortHandle,
    pub(crate) ports: Vec<Arc<PortMeter>>,
    pub(crate) state: Arc<Mutex<State>>,
}

/// A sink that runs or has run.
pub(crate) struct RunningSink {
    pub(crate) entry: Weak<BufferIn>,
    pub(crate) probe: BufferProbe,
    pub(crate) out: Weak<tokio::sync::Mutex<BufferOut>>,
    pub(crate) control: Arc<SinkControl>,
    pub(crate) ended: watch::Receiver<bool>,
    pub(crate) abort: AbortHandle,
    pub(crate) telemetry: Telemetry,
    pub(crate) state: Arc<Mutex<State>>,
}

/// All components, by id.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) sources: IndexMap<Arc<str>, RunningSource>,
    pub(crate) transforms: IndexMap<Arc<str>, Arc<TransformNode>>,
    pub(crate) sinks: IndexMap<Arc<str>, RunningSink>,
    /// Replaced and removed sinks that still read what is left.
    pub(crate) draining: Vec<(Arc<str>, RunningSink)>,
}

/// What everything that runs shares.
pub(crate) struct Core {
    pub(crate) graph: RwLock<Graph>,
    pub(crate) running: Mutex<Running>,
    pub(crate) plan: Mutex<Arc<Plan>>,
    /// The enrichment tables that components are made with.
    pub(crate) tables: Mutex<LoadedTables>,
    pub(crate) aborted: Arc<AtomicBool>,
    /// While a reload has the wiring in its hands, the end of a source ends nothing behind it.
    pub(crate) holding: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) status: watch::Sender<Status>,
    /// Tasks of sources and sinks, and deliveries on their way, that have not ended.
    pub(crate) live: watch::Sender<usize>,
    /// What a stop left behind.
    pub(crate) report: Mutex<StopReport>,
    pub(crate) next_run: AtomicU64,
    pub(crate) options: Options,
    pub(crate) taps: Mutex<Vec<Weak<Ring>>>,
    pub(crate) tap_count: AtomicUsize,
    pub(crate) snapshot: Published<Snapshot>,
    pub(crate) changed: Notify,
    pub(crate) reloads: AtomicU64,
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// Rates are computed against these: by component, received and sent and when.
    pub(crate) before: Mutex<HashMap<Arc<str>, (u64, u64)>>,
    pub(crate) before_at: Mutex<Instant>,
    pub(crate) runtime: Handle,
}

impl Core {
    pub(crate) fn say(&self, severity: Severity, component: &str, message: impl Into<String>) {
        self.options.log.component(component).say(severity, message, Vec::new());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// A running pipeline. Clones hold the same one; it goes on when all are dropped, until its inputs end or it is stopped.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) core: Arc<Core>,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("status", &*self.core.status.borrow())
            .finish()
    }
}

impl Pipeline {
    /// Makes all components, and starts them: sinks first, sources last. Runs on the caller's tokio runtime.
    ///
    /// # Errors
    /// What kept a component from being made, or an unhealthy sink where `require_healthy` is set; nothing runs then.
    pub async fn start(plan: Plan, options: Options) -> Result<Pipeline, Error> {
        build::start(plan, options).await
    }

    /// Waits until everything has ended, be it that all sources came to their ends, that it was stopped, or that a
    /// component failed.
    ///
    /// # Errors
    /// The failure of a component, by its id.
    pub async fn wait(&self) -> Result<StopReport, Arc<Error>> {
        let mut status = self.core.status.subscribe();
        let result = match status.wait_for(|s| matches!(s, Status::Ended(..))).await {
            Ok(s) => s.clone(),
            // The sender lives in the core, which lives as long as this handle.
            Err(_) => return Err(Arc::new(Error::Stopping)),
        };
        match result {
            Status::Ended(Some(error), _) => Err(error),
            Status::Ended(None, report) => Ok(report),
            Status::Running | Status::Failing(_) => Err(Arc::new(Error::Stopping)),
        }
    }

    /// Stops: sources first, then everything behind them drains in the order of the data. After the deadline what is
    /// left is cut off, reported to its sources as not delivered, and counted.
    pub async fn stop(&self) -> StopReport {
        self.stop_within(self.core.options.shutdown_deadline).await
    }

    /// As [`Pipeline::stop`] with a deadline of its own.
    pub async fn stop_within(&self, deadline: Duration) -> StopReport {
        stop::stop(&self.core, deadline).await
    }

    /// Looks at events as they pass, from now on.
    pub fn tap(&self, request: TapRequest) -> Tap {
        let ring = Ring::new(request);
        self.core.taps.lock().push(Arc::downgrade(&ring));
        self.core.tap_count.fetch_add(1, Ordering::Relaxed);
        self.core.attach_taps();
        Tap {
            ring,
            core: Arc::downgrade(&self.core),
        }
    }

    /// The newest snapshot and all to come.
    pub fn snapshots(&self) -> Published<Snapshot> {
        self.core.snapshot.clone()
    }

    /// A snapshot of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.core.observe();
        self.core.snapshot.load()
    }

    /// The registry of counters.
    pub fn telemetry(&self) -> &Telemetry {
        &self.core.options.telemetry
    }

    /// Where components say what happened.
    pub fn log(&self) -> &InternalLog {
        &self.core.options.log
    }

    /// The plan that runs.
    pub fn plan(&self) -> Arc<Plan> {
        self.core.plan.lock().clone()
    }
}

/// A look at events as they pass; dropping it ends it.
pub struct Tap {
    ring: Arc<Ring>,
    core: Weak<Core>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").field("missed", &self.missed()).finish()
    }
}

impl Tap {
    /// The next event; `None` when the pipeline has ended.
    pub async fn next(&self) -> Option<Tapped> {
        self.ring.next().await
    }

    /// The next event, if there is one.
    pub fn try_next(&self) -> Option<Tapped> {
        self.ring.try_next()
    }

    /// Events that passed and were not kept, so far.
    pub fn missed(&self) -> u64 {
        self.ring.missed()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.taps
                .lock()
                .retain(|t| t.upgrade().is_some_and(|t| !Arc::ptr_eq(&t, &self.ring)));
            core.tap_count.fetch_sub(1, Ordering::Relaxed);
            core.attach_taps();
        }
    }
}
