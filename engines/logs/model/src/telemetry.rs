//! What components count and say: Vector's internal metrics and logs.
//!
//! A component asks once for each [`Counter`], [`Gauge`] or [`Histogram`] and keeps it; adding to one is an atomic
//! addition. Names and labels are Vector's (`component_received_events_total` with `component_id`, `component_kind`,
//! `component_type`). All values of a pipeline are in one registry, from which `internal_metrics`, `top` and the pane
//! read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use qd_core::Severity;
use tokio::sync::broadcast;

use crate::Value;

/// Names and values of labels, sorted by name.
pub type Labels = BTreeMap<&'static str, String>;

type Name = (&'static str, Labels);

/// Something counted.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that goes up and down, as a float.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// The upper limits of a histogram's buckets, in seconds: powers of two from 2⁻⁶ to 2⁵, as Vector has them.
pub const BUCKETS: [f64; 12] = [
    0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0,
];

/// Durations in buckets.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Mutex<HistogramState>>);

/// What a histogram has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HistogramState {
    /// Counts by the limits of [`BUCKETS`] and one for what is greater; not running sums.
    pub counts: [u64; 13],
    /// How many.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Adds a duration.
    pub fn record(&self, d: Duration) {
        let s = d.as_secs_f64();
        let i = BUCKETS.iter().position(|b| s <= *b).unwrap_or(BUCKETS.len());
        let mut h = self.0.lock();
        if let Some(c) = h.counts.get_mut(i) {
            *c += 1;
        }
        h.count += 1;
        h.sum += s;
    }

    /// What it has seen.
    pub fn get(&self) -> HistogramState {
        *self.0.lock()
    }
}

/// One value as it stood when it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(HistogramState),
}

#[derive(Default, Debug)]
struct Registry {
    counters: Mutex<BTreeMap<Name, Counter>>,
    gauges: Mutex<BTreeMap<Name, Gauge>>,
    histograms: Mutex<BTreeMap<Name, Histogram>>,
    troubles: Mutex<BTreeMap<String, String>>,
}

/// A component's view on the pipeline's registry: what it asks for carries its labels.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    registry: Arc<Registry>,
    labels: Labels,
}

impl Telemetry {
    /// A registry of its own, without labels.
    pub fn new() -> Telemetry {
        Telemetry::default()
    }

    /// The view of one component: `kind` is `source`, `transform` or `sink`, `ty` the name of its type.
    pub fn component(&self, id: &str, kind: &str, ty: &str) -> Telemetry {
        self.with([
            ("component_id", id.to_owned()),
            ("component_kind", kind.to_owned()),
            ("component_type", ty.to_owned()),
        ])
    }

    /// The same registry with more labels.
    pub fn with(&self, labels: impl IntoIterator<Item = (&'static str, String)>) -> Telemetry {
        let mut t = self.clone();
        t.labels.extend(labels);
        t
    }

    /// The counter of this name.
    pub fn counter(&self, name: &'static str) -> Counter {
        let mut m = self.registry.counters.lock();
        m.entry((name, self.labels.clone())).or_default().clone()
    }

    /// The gauge of this name.
    pub fn gauge(&self, name: &'static str) -> Gauge {
        let mut m = self.registry.gauges.lock();
        m.entry((name, self.labels.clone())).or_default().clone()
    }

    /// The histogram of this name.
    pub fn histogram(&self, name: &'static str) -> Histogram {
        let mut m = self.registry.histograms.lock();
        m.entry((name, self.labels.clone())).or_default().clone()
    }

    /// Counts an error: `component_errors_total` by `error_type` and `stage` (`receiving`, `processing`, `sending`).
    pub fn error(&self, error_type: &str, stage: &str) {
        self.with([("error_type", error_type.to_owned()), ("stage", stage.to_owned())])
            .counter("component_errors_total")
            .add(1);
    }

    /// Counts events that go no further: `component_discarded_events_total` by `intentional`.
    pub fn discarded(&self, count: u64, intentional: Intent) {
        let intentional = matches!(intentional, Intent::Intended);
        self.with([("intentional", intentional.to_string())])
            .counter("component_discarded_events_total")
            .add(count);
    }

    /// Says what keeps the component from its work at present, in one sentence (a disk that is full); `None` when nothing
    /// does any more. Without the label `component_id` nobody is meant, and nothing happens.
    pub fn trouble(&self, what: Option<String>) {
        let Some(id) = self.labels.get("component_id") else {
            return;
        };
        let mut all = self.registry.troubles.lock();
        match what {
            Some(what) => {
                all.insert(id.clone(), what);
            }
            None => {
                all.remove(id);
            }
        }
    }

    /// What keeps components from their work at present, by their ids.
    pub fn troubles(&self) -> BTreeMap<String, String> {
        self.registry.troubles.lock().clone()
    }

    /// Every value, by name and labels.
    pub fn read(&self) -> Vec<(&'static str, Labels, Reading)> {
        let r = &self.registry;
        let mut all = Vec::new();
        for ((n, l), c) in r.counters.lock().iter() {
            all.push((*n, l.clone(), Reading::Counter(c.get())));
        }
        for ((n, l), g) in r.gauges.lock().iter() {
            all.push((*n, l.clone(), Reading::Gauge(g.get())));
        }
        for ((n, l), h) in r.histograms.lock().iter() {
            all.push((*n, l.clone(), Reading::Histogram(h.get())));
        }
        all
    }

    /// Forgets the values of a component that is no more.
    pub fn forget(&self, component_id: &str) {
        let of_it = |l: &Labels| l.get("component_id").is_some_and(|id| id == component_id);
        self.registry.counters.lock().retain(|(_, l), _| !of_it(l));
        self.registry.gauges.lock().retain(|(_, l), _| !of_it(l));
        self.registry.histograms.lock().retain(|(_, l), _| !of_it(l));
        self.registry.troubles.lock().remove(component_id);
    }
}

/// Whether events were discarded because somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A filter, a sample, a full buffer with `drop_newest`.
    Intended,
    /// An error.
    Unintended,
}

/// Something a component has to say.
#[derive(Debug, Clone)]
pub struct InternalEvent {
    /// When.
    pub time: DateTime<Utc>,
    /// How grave.
    pub severity: Severity,
    /// A sentence.
    pub message: String,
    /// Which component; empty for the pipeline itself.
    pub component: Arc<str>,
    /// What else there is to know.
    pub fields: Vec<(&'static str, Value)>,
}

/// Where components say what happened; `internal_logs` and the pane listen. A slow listener misses the oldest.
#[derive(Debug, Clone)]
pub struct InternalLog {
    hub: broadcast::Sender<InternalEvent>,
    component: Arc<str>,
}

impl Default for InternalLog {
    fn default() -> Self {
        InternalLog::new()
    }
}

impl InternalLog {
    /// Events kept for a slow listener.
    const KEPT: usize = 1024;

    /// A log of its own.
    pub fn new() -> InternalLog {
        InternalLog {
            hub: broadcast::Sender::new(Self::KEPT),
            component: Arc::from(""),
        }
    }

    /// The same log, for what a component says.
    pub fn component(&self, id: &str) -> InternalLog {
        InternalLog {
            hub: self.hub.clone(),
            component: id.into(),
        }
    }

    /// Says something. Also goes to `tracing` with target `qd_logs`.
    pub fn say(&self, severity: Severity, message: impl Into<String>, fields: Vec<(&'static str, Value)>) {
        let message = message.into();
        let component = &*self.component;
        match severity {
            Severity::Trace => tracing::trace!(target: "qd_logs", component, "{message}"),
            Severity::Debug => tracing::debug!(target: "qd_logs", component, "{message}"),
            Severity::Info => tracing::info!(target: "qd_logs", component, "{message}"),
            Severity::Warn => tracing::warn!(target: "qd_logs", component, "{message}"),
            Severity::Error | Severity::Fatal => tracing::error!(target: "qd_logs", component, "{message}"),
        }
        let _nobody_listens = self.hub.send(InternalEvent {
            time: Utc::now(),
            severity,
            message,
            component: self.component.clone(),
            fields,
        });
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<InternalEvent> {
        self.hub.subscribe()
    }
}
