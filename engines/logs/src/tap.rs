//! Looking at events as they pass.
//!
//! A tap is a bounded ring beside the outputs that its patterns match. It never holds the pipeline up: in each interval
//! so many events are copied, the others are counted as missed; a reader that is slow loses the oldest, which is counted
//! too. An output that nobody taps costs one read of a pointer a batch.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use qd_logs_model::{Batch, EventKind, Value};
use tokio::sync::Notify;

use crate::{OutputId, metric_json, plan::glob};

/// What a tap looks at. `*` and `?` are wildcards.
#[derive(Debug, Clone, PartialEq)]
pub struct TapRequest {
    /// Patterns of outputs, as `id` or `id.port`; a bare id means all its ports.
    pub outputs_of: Vec<String>,
    /// Patterns of components: the outputs that feed them.
    pub inputs_of: Vec<String>,
    /// Events copied in each interval, and events kept for a slow reader. At most 100,000.
    pub limit: usize,
    /// The interval.
    pub interval: Duration,
}

impl Default for TapRequest {
    /// All outputs, 100 events in 500 ms.
    fn default() -> Self {
        TapRequest {
            outputs_of: vec!["*".to_owned()],
            inputs_of: Vec::new(),
            limit: 100,
            interval: Duration::from_millis(500),
        }
    }
}

/// One event as it passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Tapped {
    /// The output it came from.
    pub output: OutputId,
    /// When it was seen.
    pub time: DateTime<Utc>,
    /// What it is.
    pub kind: EventKind,
    /// The event; a metric in the form of Vector's `native_json`.
    pub value: Value,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Tapped>,
    since: Instant,
    taken: usize,
    closed: bool,
}

/// A subscriber's ring.
#[derive(Debug)]
pub(crate) struct Ring {
    request: TapRequest,
    kept: Mutex<Kept>,
    missed: AtomicU64,
    readable: Notify,
}

impl Ring {
    /// Events that a tap may ask for at once.
    const MAX: usize = 100_000;

    pub(crate) fn new(mut request: TapRequest) -> Arc<Ring> {
        request.limit = request.limit.clamp(1, Self::MAX);
        Arc::new(Ring {
            request,
            kept: Mutex::new(Kept {
                events: VecDeque::new(),
                since: Instant::now(),
                taken: 0,
                closed: false,
            }),
            missed: AtomicU64::new(0),
            readable: Notify::new(),
        })
    }

    /// Whether it looks at this output, which feeds these components.
    pub(crate) fn wants(&self, output: &OutputId, feeds: &[&str]) -> bool {
        let full = output.to_string();
        self.request
            .outputs_of
            .iter()
            .any(|p| glob(p, &full) || glob(p, &output.component))
            || self
                .request
                .inputs_of
                .iter()
                .any(|p| feeds.iter().any(|id| glob(p, id)))
    }

    pub(crate) fn offer(&self, output: &OutputId, batch: &Batch) {
        let room = {
            let mut kept = self.kept.lock();
            if kept.since.elapsed() >= self.request.interval {
                kept.since = Instant::now();
                kept.taken = 0;
            }
            let room = self.request.limit.saturating_sub(kept.taken).min(batch.len());
            kept.taken += room;
            room
        };
        let mut missed = (batch.len() - room) as u64;
        if room > 0 {
            let time = Utc::now();
            let kind = batch.kind();
            let values: Vec<Value> = match batch {
                Batch::Logs(logs) => (0..room).map(|i| logs.value(i)).collect(),
                Batch::Metrics(m) => m.metrics.iter().take(room).map(metric_json::value).collect(),
            };
            let mut kept = self.kept.lock();
            for value in values {
                if kept.events.len() >= self.request.limit {
                    kept.events.pop_front();
                    missed += 1;
                }
                kept.events.push_back(Tapped {
                    output: output.clone(),
                    time,
                    kind,
                    value,
                });
            }
            drop(kept);
            self.readable.notify_one();
        }
        self.missed.fetch_add(missed, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.kept.lock().closed = true;
        self.readable.notify_one();
    }

    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(crate) fn try_next(&self) -> Option<Tapped> {
        self.kept.lock().events.pop_front()
    }

    /// The next event; `None` when the pipeline has ended.
    pub(crate) async fn next(&self) -> Option<Tapped> {
        loop {
            {
                let mut kept = self.kept.lock();
                if let Some(event) = kept.events.pop_front() {
                    return Some(event);
                }
                if kept.closed {
                    return None;
                }
            }
            self.readable.notified().await;
        }
    }
}
