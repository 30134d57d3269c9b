//! What stands between the pipeline and a sink.
//!
//! A buffer is a chain of stages, each bounded and either in memory or on disk. A stage that is full lets the sender
//! wait (`block`), drops what does not fit and counts it (`drop_newest`), or passes it on to the next stage
//! (`overflow`). The sink takes from whichever stage has something, the first before the later ones; order is kept within
//! a stage but not between stages, as in Vector.
//!
//! Counters are Vector's: `buffer_received_events_total` and so on, by `buffer_id` and `stage`.

mod disk;
mod encode;
mod memory;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use qd_logs_config::common::{BufferConfig, BufferStage, WhenFull};
use qd_logs_model::{
    Batch, BoxFuture, Counter, Delivery, Gauge, InternalLog, LogBatch, Rows, Telemetry, batch::value_size,
    telemetry::Intent,
};

use self::{
    disk::{DiskIn, DiskOut},
    memory::{MemoryIn, MemoryOut},
};

/// Why a buffer could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// The files could not be read or written.
    #[error("{what} {path}: {error}")]
    Io {
        /// What was tried: "cannot create".
        what: &'static str,
        /// On what.
        path: String,
        /// What the machine said.
        error: std::io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another pipeline; two instances need a `data_dir` each")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// A newer program wrote it.
    #[error("{path} was written by a newer program (version {version}); use that, or move the file away")]
    Version {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
}

/// About how many bytes of memory a batch holds. Values are sampled: of many events, sixteen stand for all.
pub(crate) fn estimate(batch: &Batch) -> usize {
    const LOOKED_AT: usize = 16;
    match batch {
        Batch::Logs(LogBatch {
            rows: Rows::Events(events),
            ..
        }) if events.len() > LOOKED_AT => {
            let step = events.len() / LOOKED_AT;
            let (mut sum, mut seen) = (0, 0);
            for event in events.iter().step_by(step) {
                sum += value_size(&event.value);
                seen += 1;
            }
            sum * events.len() / seen
        }
        other => other.size(),
    }
}

/// The counters of one stage.
#[derive(Debug, Clone)]
pub(crate) struct StageStats {
    received_events: Counter,
    received_bytes: Counter,
    sent_events: Counter,
    sent_bytes: Counter,
    events: Gauge,
    bytes: Gauge,
    old_events: Gauge,
    old_bytes: Gauge,
    max_events: Gauge,
    max_bytes: Gauge,
    telemetry: Telemetry,
}

impl StageStats {
    fn new(telemetry: &Telemetry, id: &str, stage: usize) -> StageStats {
        let t = telemetry.with([("buffer_id", id.to_owned()), ("stage", stage.to_string())]);
        StageStats {
            received_events: t.counter("buffer_received_events_total"),
            received_bytes: t.counter("buffer_received_bytes_total"),
            sent_events: t.counter("buffer_sent_events_total"),
            sent_bytes: t.counter("buffer_sent_bytes_total"),
            events: t.gauge("buffer_size_events"),
            bytes: t.gauge("buffer_size_bytes"),
            old_events: t.gauge("buffer_events"),
            old_bytes: t.gauge("buffer_byte_size"),
            max_events: t.gauge("buffer_max_size_events"),
            max_bytes: t.gauge("buffer_max_size_bytes"),
            telemetry: t,
        }
    }

    fn filled(&self, events: u64, bytes: u64) {
        self.events.set(events as f64);
        self.old_events.set(events as f64);
        self.bytes.set(bytes as f64);
        self.old_bytes.set(bytes as f64);
    }

    fn received(&self, events: usize, bytes: usize, all_events: u64, all_bytes: u64) {
        self.received_events.add(events as u64);
        self.received_bytes.add(bytes as u64);
        self.filled(all_events, all_bytes);
    }

    fn sent(&self, events: usize, bytes: usize, all_events: u64, all_bytes: u64) {
        self.sent_events.add(events as u64);
        self.sent_bytes.add(bytes as u64);
        self.filled(all_events, all_bytes);
    }

    fn discarded(&self, events: u64, bytes: u64, intent: Intent) {
        let intentional = matches!(intent, Intent::Intended).to_string();
        let t = self.telemetry.with([("intentional", intentional)]);
        t.counter("buffer_discarded_events_total").add(events);
        t.counter("buffer_discarded_bytes_total").add(bytes);
    }
}

#[derive(Debug)]
enum StageIn {
    Memory(MemoryIn),
    Disk(DiskIn),
}

#[derive(Debug)]
enum StageOut {
    Memory(MemoryOut),
    Disk(DiskOut),
}

/// How full a buffer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Events in it.
    pub(crate) events: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Of these, the events that are on disk.
    pub(crate) on_disk: u64,
    /// Whether a stage is on disk, where what a sink has not finished stays.
    pub(crate) has_disk: bool,
}

/// Reads how full a buffer is, without holding it open.
#[derive(Debug, Clone, Default)]
pub(crate) struct BufferProbe {
    stages: Vec<(Gauge, Gauge, bool)>,
    dropped: Arc<AtomicU64>,
}

impl BufferProbe {
    /// Events dropped because it was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How full it is.
    pub(crate) fn fill(&self) -> Fill {
        let mut fill = Fill::default();
        for (events, bytes, disk) in &self.stages {
            let n = events.get() as u64;
            fill.events += n;
            fill.bytes += bytes.get() as u64;
            if *disk {
                fill.on_disk += n;
                fill.has_disk = true;
            }
        }
        fill
    }
}

/// A buffer's way in. When the last holder lets it go, the sink reads what is left and then the end.
#[derive(Debug)]
pub(crate) struct BufferIn {
    stages: Vec<(StageIn, StageStats)>,
    config: RwLock<BufferConfig>,
    dropped: Arc<AtomicU64>,
}

/// A buffer's way out.
#[derive(Debug)]
pub(crate) struct BufferOut {
    stages: Vec<Option<StageOut>>,
}

/// What became of an offer.
enum Offer {
    /// All of it is in.
    Taken,
    /// This rest did not fit.
    Left(Batch),
    /// Nobody reads any more.
    Gone(Batch),
}

/// Opens a buffer.
pub(crate) fn open(
    data_dir: &Path,
    id: &str,
    config: &BufferConfig,
    telemetry: &Telemetry,
    log: &InternalLog,
) -> Result<(Arc<BufferIn>, BufferOut), BufferError> {
    let (mut ins, mut outs) = (Vec::new(), Vec::new());
    for (i, stage) in config.stages().iter().enumerate() {
        let stats = StageStats::new(telemetry, id, i);
        match stage {
            BufferStage::Memory { bound, .. } => {
                let (way_in, way_out) = memory::channel(*bound, stats.clone());
                ins.push((StageIn::Memory(way_in), stats));
                outs.push(Some(StageOut::Memory(way_out)));
            }
            BufferStage::Disk { max_size, .. } => {
                let dir = disk::folder(data_dir, id);
                let (way_in, way_out) = disk::open(&dir, max_size.get(), None, stats.clone(), log.clone())?;
                ins.push((StageIn::Disk(way_in), stats));
                outs.push(Some(StageOut::Disk(way_out)));
            }
        }
    }
    let buffer = BufferIn {
        stages: ins,
        config: RwLock::new(config.clone()),
        dropped: Arc::default(),
    };
    Ok((Arc::new(buffer), BufferOut { stages: outs }))
}

impl BufferIn {
    /// Puts a batch in; waits, drops or passes on as the stages say.
    pub(crate) async fn send(&self, mut batch: Batch) {
        for (i, (stage, stats)) in self.stages.iter().enumerate() {
            let when_full = self.config.read().stages().get(i).map(BufferStage::when_full);
            let offered = match (when_full.unwrap_or_default(), stage) {
                (WhenFull::Block, StageIn::Memory(m)) => return m.send(batch).await,
                (_, StageIn::Memory(m)) => m.offer(batch),
                (WhenFull::Block, StageIn::Disk(d)) => return d.send(batch).await,
                (_, StageIn::Disk(d)) => d.offer(batch).await,
            };
            match offered {
                Offer::Taken => return,
                Offer::Gone(b) => {
                    b.finalizers().report(Delivery::Errored);
                    return;
                }
                Offer::Left(rest) if when_full == Some(WhenFull::DropNewest) => {
                    let events = rest.len() as u64;
                    stats.discarded(events, estimate(&rest) as u64, Intent::Intended);
                    self.dropped.fetch_add(events, Ordering::Relaxed);
                    return;
                }
                Offer::Left(rest) => batch = rest,
            }
        }
    }

    /// Reads how full it is, from now on.
    pub(crate) fn probe(&self) -> BufferProbe {
        let stage = |(stage, stats): &(StageIn, StageStats)| {
            let disk = matches!(stage, StageIn::Disk(_));
            (stats.events.clone(), stats.bytes.clone(), disk)
        };
        BufferProbe {
            stages: self.stages.iter().map(stage).collect(),
            dropped: self.dropped.clone(),
        }
    }

    /// Whether [`BufferIn::adapt`] can make it like this: the stages are of the same kinds.
    pub(crate) fn fits(&self, config: &BufferConfig) -> bool {
        let kinds = |c: &BufferConfig| -> Vec<bool> {
            c.stages()
                .iter()
                .map(|s| matches!(s, BufferStage::Disk { .. }))
                .collect()
        };
        kinds(&self.config.read()) == kinds(config)
    }

    /// Takes new bounds and new answers to being full.
    pub(crate) fn adapt(&self, config: &BufferConfig) {
        let mut own = self.config.write();
        if *own == *config {
            return;
        }
        for ((stage, _), new) in self.stages.iter().zip(config.stages()) {
            match (stage, new) {
                (StageIn::Memory(m), BufferStage::Memory { bound, .. }) => m.set_bound(*bound),
                (StageIn::Disk(d), BufferStage::Disk { max_size, .. }) => d.set_max_size(max_size.get()),
                (StageIn::Memory(_), BufferStage::Disk { .. }) | (StageIn::Disk(_), BufferStage::Memory { .. }) => {}
            }
        }
        *own = config.clone();
    }
}

impl BufferOut {
    /// Who reads from now on: when this is true, what it has and has not finished stays on disk.
    pub(crate) fn set_abort_flag(&mut self, aborted: &Arc<AtomicBool>) {
        for stage in self.stages.iter_mut().flatten() {
            if let StageOut::Disk(d) = stage {
                d.set_abort_flag(aborted.clone());
            }
        }
    }

    /// The next batch; `None` when nothing is left and nobody can put more in. Safe to cancel.
    pub(crate) async fn recv(&mut self) -> Option<Batch> {
        loop {
            let ready = {
                let mut reads: Vec<BoxFuture<'_, (usize, Option<Batch>)>> = Vec::with_capacity(self.stages.len());
                if let [Some(StageOut::Memory(m))] = &mut *self.stages {
                    return m.recv().await;
                }
                for (i, stage) in self.stages.iter_mut().enumerate() {
                    match stage {
                        Some(StageOut::Memory(m)) => reads.push(Box::pin(async move { (i, m.recv().await) })),
                        Some(StageOut::Disk(d)) => reads.push(Box::pin(async move { (i, d.recv().await) })),
                        None => {}
                    }
                }
                if reads.is_empty() {
                    return None;
                }
                // Polls in order, so the first stage goes before the later ones.
                futures::future::select_all(reads).await.0
            };
            match ready {
                (_, Some(batch)) => return Some(batch),
                (i, None) => {
                    if let Some(stage) = self.stages.get_mut(i) {
                        *stage = None;
                    }
                }
            }
        }
    }
}
