//! What a running pipeline looks like from outside: numbers by component, and the edges between them.

use std::{sync::Arc, time::Instant};

use serde::Serialize;

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Brings events in.
    Source,
    /// Changes them.
    Transform,
    /// Sends them out.
    Sink,
}

/// Where a component is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Running,
    /// It reads what is left.
    Draining,
    /// Its input has ended and it has done its work.
    Ended,
    /// It ended with an error or crashed.
    Failed,
}

/// How full a sink's buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct BufferFill {
    /// Events in it.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, events on disk.
    pub on_disk: u64,
    /// Events dropped because it was full.
    pub dropped: u64,
    /// Events that the sink took out and has not finished.
    pub unfinished: u64,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentSnapshot {
    /// Its id.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// The name of its `type`.
    pub ty: String,
    /// Where it is in its life.
    pub state: State,
    /// Events that it received. Of a source: as it counts them itself, else as many as it sent.
    pub events_in: u64,
    /// Events that it sent by all its outputs. Of a sink: as it counts them itself.
    pub events_out: u64,
    /// About the bytes it received.
    pub bytes_in: u64,
    /// About the bytes it sent.
    pub bytes_out: u64,
    /// Events received in a second, over the time since the last snapshot.
    pub rate_in: f64,
    /// Events sent in a second, over the time since the last snapshot.
    pub rate_out: f64,
    /// Errors.
    pub errors: u64,
    /// Events dropped on purpose.
    pub discarded: u64,
    /// Events dropped by an error.
    pub lost: u64,
    /// The share of time that it works, 0 to 1; `None` for sources.
    pub utilization: Option<f64>,
    /// Of a sink, its buffer.
    pub buffer: Option<BufferFill>,
    /// What keeps it from its work at present, in one sentence: a disk that is full.
    pub trouble: Option<String>,
    /// By output: the name (`None` for the default one) and the events sent.
    pub outputs: Vec<(Option<Arc<str>>, u64)>,
}

/// An edge: events go from an output of one component to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeSnapshot {
    /// The component they come from.
    pub from: Arc<str>,
    /// Its output; `None` for the default one.
    pub output: Option<Arc<str>>,
    /// The component they go to.
    pub to: Arc<str>,
}

/// A pipeline at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Its components: sources, transforms in the order of the data, sinks.
    pub components: Vec<ComponentSnapshot>,
    /// Its edges.
    pub edges: Vec<EdgeSnapshot>,
    /// How often it was reloaded with success.
    pub reloads: u64,
    /// Events that taps could not keep.
    pub taps: usize,
    /// Whether it is stopping.
    pub stopping: bool,
    /// When it was taken.
    #[serde(skip)]
    pub at: Instant,
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot {
            components: Vec::new(),
            edges: Vec::new(),
            reloads: 0,
            taps: 0,
            stopping: false,
            at: Instant::now(),
        }
    }
}

impl Snapshot {
    /// The component of this id.
    pub fn component(&self, id: &str) -> Option<&ComponentSnapshot> {
        self.components.iter().find(|c| &*c.id == id)
    }
}
