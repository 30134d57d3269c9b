//! The wiring: which output feeds whom, and the one call in which a batch goes through all transforms up to the buffers.
//!
//! A [`Graph`] is read-locked while a batch goes through it, which takes as long as the transforms take and never waits;
//! batches for sinks come out as a list and are put into the buffers afterwards, without the lock. So a reload that holds
//! the write lock stands between two batches of every source. Transforms run one batch at a time each; batches of one
//! source stay in order, those of several sources (and of a transform's timer) have no order among them.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_logs_model::{Batch, InputKinds, Telemetry, Transform, TransformOut, telemetry::Intent};
use smallvec::SmallVec;

use crate::{
    buffer::{BufferIn, estimate},
    meter::{Busy, PortMeter, Received},
};

/// Batches on their way into buffers.
pub(crate) type Pending = SmallVec<[(Arc<BufferIn>, Batch); 4]>;

/// What a walk through the graph brought.
#[derive(Default)]
pub(crate) struct Walked {
    pub(crate) pending: Pending,
    /// The transform that panicked, with its message.
    pub(crate) panicked: Option<(Arc<str>, String)>,
}

/// A transform that runs.
pub(crate) struct TransformNode {
    pub(crate) id: Arc<str>,
    /// `None` when it has finished.
    cell: Mutex<Option<Box<dyn Transform>>>,
    pub(crate) takes: InputKinds,
    pub(crate) tick_every: Option<Duration>,
    pub(crate) received: Received,
    pub(crate) busy: Busy,
    pub(crate) ports: Vec<Arc<PortMeter>>,
    pub(crate) telemetry: Telemetry,
}

impl TransformNode {
    pub(crate) fn new(
        id: Arc<str>,
        transform: Box<dyn Transform>,
        takes: InputKinds,
        ports: Vec<Arc<PortMeter>>,
        telemetry: Telemetry,
    ) -> TransformNode {
        TransformNode {
            id,
            tick_every: transform.tick_every(),
            cell: Mutex::new(Some(transform)),
            takes,
            received: Received::new(&telemetry),
            busy: Busy::new(&telemetry),
            ports,
            telemetry,
        }
    }

    pub(crate) fn has_finished(&self) -> bool {
        self.cell.lock().is_none()
    }

    /// Runs code of the transform; a panic comes back as its message, and the transform is gone.
    fn run(&self, work: impl FnOnce(&mut dyn Transform, &mut TransformOut)) -> Result<TransformOut, String> {
        let mut out = TransformOut::default();
        let mut cell = self.cell.lock();
        let Some(transform) = &mut *cell else {
            return Ok(out);
        };
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut **transform, &mut out)));
        self.busy.add(begun.elapsed());
        match result {
            Ok(()) => Ok(out),
            Err(payload) => {
                *cell = None;
                Err(panic_text(&*payload))
            }
        }
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_owned(),
    }
}

/// Where an output leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// An index into the transforms.
    Transform(usize),
    /// An index into the sinks.
    Sink(usize),
}

/// An output and its readers.
pub(crate) struct Port {
    pub(crate) meter: Arc<PortMeter>,
    pub(crate) edges: SmallVec<[Edge; 2]>,
}

/// A source's place in the graph.
pub(crate) struct SourceEntry {
    pub(crate) ports: Vec<Port>,
    pub(crate) live: bool,
}

/// A transform's place in the graph.
pub(crate) struct TransformEntry {
    pub(crate) node: Arc<TransformNode>,
    pub(crate) ports: Vec<Port>,
}

/// A sink's place in the graph.
pub(crate) struct SinkEntry {
    pub(crate) id: Arc<str>,
    pub(crate) takes: InputKinds,
    pub(crate) telemetry: Telemetry,
    /// `None` once nothing can come any more: then the sink reads the end.
    pub(crate) entry: Option<Arc<BufferIn>>,
}

/// The wiring.
#[derive(Default)]
pub(crate) struct Graph {
    /// By the number of the source's run.
    pub(crate) sources: HashMap<u64, SourceEntry>,
    /// Each after those it reads from.
    pub(crate) transforms: Vec<TransformEntry>,
    pub(crate) sinks: Vec<SinkEntry>,
}

type Work = SmallVec<[(Edge, Batch); 8]>;

impl Graph {
    /// Takes a batch from a source through all transforms.
    pub(crate) fn enter(&self, run: u64, port: usize, batch: Batch) -> Walked {
        let mut walked = Walked::default();
        if let Some(port) = self.sources.get(&run).and_then(|s| s.ports.get(port)) {
            let mut work = Work::new();
            port.meter.count(&batch, estimate(&batch));
            spread(port, batch, &mut work);
            self.work_off(work, &mut walked);
        }
        walked
    }

    /// Lets time pass for a transform.
    pub(crate) fn tick(&self, node: &Arc<TransformNode>) -> Walked {
        let mut walked = Walked::default();
        if let Some(at) = self.transforms.iter().position(|t| Arc::ptr_eq(&t.node, node)) {
            self.drive(at, &mut walked, |t, out| t.tick(Instant::now(), out));
        }
        walked
    }

    /// Ends a transform: what it holds comes out, and it takes nothing more.
    pub(crate) fn finish(&self, at: usize, walked: &mut Walked) {
        self.drive(at, walked, |t, out| t.finish(out));
        if let Some(entry) = self.transforms.get(at) {
            *entry.node.cell.lock() = None;
        }
    }

    fn drive(&self, at: usize, walked: &mut Walked, work: impl FnOnce(&mut dyn Transform, &mut TransformOut)) {
        let Some(entry) = self.transforms.get(at) else { return };
        let mut todo = Work::new();
        self.take(entry, entry.node.run(work), &mut todo, walked);
        self.work_off(todo, walked);
    }

    fn take(&self, entry: &TransformEntry, result: Result<TransformOut, String>, work: &mut Work, walked: &mut Walked) {
        match result {
            Ok(out) => {
                for (port, batch) in &out.0 {
                    if let Some(port) = entry.ports.get(*port) {
                        port.meter.count(batch, estimate(batch));
                    }
                }
                // The work list is a stack: what shall go first is put on it last.
                for (port, batch) in out.0.into_iter().rev() {
                    if let Some(port) = entry.ports.get(port) {
                        spread(port, batch, work);
                    }
                }
            }
            Err(message) => walked.panicked = Some((entry.node.id.clone(), message)),
        }
    }

    fn work_off(&self, mut work: Work, walked: &mut Walked) {
        while let Some((edge, batch)) = work.pop() {
            match edge {
                Edge::Transform(at) => {
                    let Some(entry) = self.transforms.get(at) else { continue };
                    let node = &entry.node;
                    if !node.takes.takes(batch.kind()) {
                        node.telemetry.discarded(batch.len() as u64, Intent::Intended);
                        continue;
                    }
                    node.received.count(batch.len(), estimate(&batch));
                    let result = node.run(|t, out| t.transform(batch, out));
                    self.take(entry, result, &mut work, walked);
                }
                Edge::Sink(at) => {
                    let Some(sink) = self.sinks.get(at) else { continue };
                    if !sink.takes.takes(batch.kind()) {
                        sink.telemetry.discarded(batch.len() as u64, Intent::Intended);
                    } else if let Some(entry) = &sink.entry {
                        walked.pending.push((entry.clone(), batch));
                    }
                }
            }
        }
    }

    /// Ends every transform and sink that nothing can reach any more, in the order of the data.
    pub(crate) fn settle(&mut self, walked: &mut Walked) {
        let mut transforms = vec![false; self.transforms.len()];
        let mut sinks = vec![false; self.sinks.len()];
        let mark = |ports: &[Port], transforms: &mut Vec<bool>, sinks: &mut Vec<bool>| {
            for edge in ports.iter().flat_map(|p| &p.edges) {
                let slot = match edge {
                    Edge::Transform(at) => transforms.get_mut(*at),
                    Edge::Sink(at) => sinks.get_mut(*at),
                };
                if let Some(live) = slot {
                    *live = true;
                }
            }
        };
        for source in self.sources.values().filter(|s| s.live) {
            mark(&source.ports, &mut transforms, &mut sinks);
        }
        for at in 0..self.transforms.len() {
            if transforms.get(at) == Some(&true) {
                if let Some(t) = self.transforms.get(at) {
                    mark(&t.ports, &mut transforms, &mut sinks);
                }
            } else {
                self.finish(at, walked);
            }
        }
        for (sink, live) in self.sinks.iter_mut().zip(sinks) {
            if !live {
                sink.entry = None;
            }
        }
    }

    /// The ids of the components that read an output.
    pub(crate) fn feeds(&self, port: &Port) -> Vec<&str> {
        port.edges
            .iter()
            .filter_map(|e| match e {
                Edge::Transform(at) => self.transforms.get(*at).map(|t| &*t.node.id),
                Edge::Sink(at) => self.sinks.get(*at).map(|s| &*s.id),
            })
            .collect()
    }

    /// Every output.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.sources
            .values()
            .flat_map(|s| &s.ports)
            .chain(self.transforms.iter().flat_map(|t| &t.ports))
    }
}

fn spread(port: &Port, batch: Batch, work: &mut Work) {
    let Some((first, rest)) = port.edges.split_first() else {
        return;
    };
    for edge in rest.iter().rev() {
        work.push((*edge, batch.clone()));
    }
    work.push((*first, batch));
}
