//! What is counted at the edges of components: Vector's counters, added to once a batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use qd_logs_model::{Batch, Counter, Gauge, OutputPort, Telemetry};

use crate::{OutputId, tap::Ring};

/// Time spent working, and what share of the time that is.
#[derive(Debug)]
pub(crate) struct Busy {
    born: Instant,
    nanos: AtomicU64,
    /// Since when somebody waits or works, in nanoseconds after `born` plus one; 0 for nobody.
    since: AtomicU64,
    gauge: Gauge,
    mean: Mutex<Mean>,
}

#[derive(Debug)]
struct Mean {
    at: Instant,
    nanos: u64,
    value: Option<f64>,
}

impl Busy {
    /// The weight of the newest reading in the mean, as Vector has it.
    const ALPHA: f64 = 0.9;

    pub(crate) fn new(telemetry: &Telemetry) -> Busy {
        let born = Instant::now();
        Busy {
            born,
            nanos: AtomicU64::new(0),
            since: AtomicU64::new(0),
            gauge: telemetry.gauge("utilization"),
            mean: Mutex::new(Mean {
                at: born,
                nanos: 0,
                value: None,
            }),
        }
    }

    pub(crate) fn add(&self, d: Duration) {
        self.nanos
            .fetch_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
    }

    pub(crate) fn begin(&self) {
        self.since.store(self.now() + 1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        let since = self.since.swap(0, Ordering::Relaxed);
        if since > 0 {
            self.nanos
                .fetch_add(self.now().saturating_sub(since - 1), Ordering::Relaxed);
        }
    }

    /// Reads the share of time since the last reading, and takes it into the mean.
    pub(crate) fn utilization(&self) -> f64 {
        let mut mean = self.mean.lock();
        let now = Instant::now();
        let span = now.duration_since(mean.at).as_nanos() as f64;
        let open = match self.since.load(Ordering::Relaxed) {
            0 => 0,
            since => self.now().saturating_sub(since - 1),
        };
        let nanos = self.nanos.load(Ordering::Relaxed) + open;
        // Less than a millisecond says nothing.
        if span < 1e6 {
            return mean.value.unwrap_or(0.0);
        }
        let share = (nanos.saturating_sub(mean.nanos) as f64 / span).clamp(0.0, 1.0);
        let value = match mean.value {
            Some(old) => share * Self::ALPHA + old * (1.0 - Self::ALPHA),
            None => share,
        };
        *mean = Mean {
            at: now,
            nanos,
            value: Some(value),
        };
        self.gauge.set(value);
        value
    }
}

/// What goes into a component.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) events: Counter,
    pub(crate) bytes: Counter,
}

impl Received {
    pub(crate) fn new(telemetry: &Telemetry) -> Received {
        Received {
            events: telemetry.counter("component_received_events_total"),
            bytes: telemetry.counter("component_received_event_bytes_total"),
        }
    }

    pub(crate) fn count(&self, events: usize, bytes: usize) {
        self.events.add(events as u64);
        self.bytes.add(bytes as u64);
    }
}

/// What comes out of a port, and who listens there.
#[derive(Debug)]
pub(crate) struct PortMeter {
    pub(crate) id: OutputId,
    pub(crate) events: Counter,
    pub(crate) bytes: Counter,
    pub(crate) taps: ArcSwapOption<Vec<Arc<Ring>>>,
}

impl PortMeter {
    pub(crate) fn all(component: &Arc<str>, ports: Vec<OutputPort>, telemetry: &Telemetry) -> Vec<Arc<PortMeter>> {
        ports
            .into_iter()
            .map(|port| {
                let output = port.name.clone().unwrap_or_else(|| "_default".to_owned());
                let t = telemetry.with([("output", output)]);
                Arc::new(PortMeter {
                    id: OutputId {
                        component: component.clone(),
                        port: port.name.map(Arc::from),
                    },
                    events: t.counter("component_sent_events_total"),
                    bytes: t.counter("component_sent_event_bytes_total"),
                    taps: ArcSwapOption::empty(),
                })
            })
            .collect()
    }

    pub(crate) fn count(&self, batch: &Batch, bytes: usize) {
        self.events.add(batch.len() as u64);
        self.bytes.add(bytes as u64);
        if let Some(rings) = &*self.taps.load() {
            for ring in rings.iter() {
                ring.offer(&self.id, batch);
            }
        }
    }
}
