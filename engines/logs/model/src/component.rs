//! What a component is, and the ends by which the pipeline holds it.

use std::{
    fmt::Debug,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;
use vrl::path::OwnedValuePath;

use crate::{Batch, EventKind, InternalLog, Telemetry};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A component that could not be made from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// What was tried, on what, and what to do.
    pub message: String,
    /// The path of keys to the culprit within the component, outermost first; empty for the whole.
    pub path: Vec<String>,
}

impl BuildError {
    /// A failure of the whole component.
    pub fn new(message: impl Into<String>) -> BuildError {
        BuildError {
            message: message.into(),
            path: Vec::new(),
        }
    }

    /// A failure of one key: `encoding.codec`.
    pub fn of(key: &str, message: impl Into<String>) -> BuildError {
        BuildError {
            message: message.into(),
            path: key.split('.').map(str::to_owned).collect(),
        }
    }
}

/// A running component that can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ComponentError(pub String);

impl ComponentError {
    /// What happened, and what to do.
    pub fn new(message: impl Into<String>) -> ComponentError {
        ComponentError(message.into())
    }
}

/// Whoever should have taken the events is gone: the pipeline stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline is stopping")]
pub struct Closed;

/// Where Vector's common fields go in an event.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSchema {
    /// The text, `.message`.
    pub message_key: OwnedValuePath,
    /// The time, `.timestamp`; `None` when it was set to nothing.
    pub timestamp_key: Option<OwnedValuePath>,
    /// The host, `.host`.
    pub host_key: Option<OwnedValuePath>,
    /// The kind of source, `.source_type`.
    pub source_type_key: Option<OwnedValuePath>,
    /// Metadata of dropped events, `.metadata`.
    pub metadata_key: Option<OwnedValuePath>,
}

impl Default for LogSchema {
    fn default() -> Self {
        let key = OwnedValuePath::single_field;
        LogSchema {
            message_key: key("message"),
            timestamp_key: Some(key("timestamp")),
            host_key: Some(key("host")),
            source_type_key: Some(key("source_type")),
            metadata_key: Some(key("metadata")),
        }
    }
}

/// What all components of a pipeline share.
#[derive(Debug, Clone)]
pub struct Globals {
    /// Where checkpoints and disk buffers live; each component uses the folder of its id in it.
    pub data_dir: PathBuf,
    /// The zone of times without one; `None` is the machine's.
    pub timezone: Option<String>,
    /// Where the common fields go.
    pub log_schema: LogSchema,
    /// The machine's name, for `host`.
    pub hostname: Arc<str>,
    /// Proxies by default: `http_proxy` and such, as the configuration gave them.
    pub proxy: Arc<ProxySettings>,
}

/// Proxies of outgoing requests.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProxySettings {
    /// Whether proxies are used.
    pub enabled: bool,
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts that are reached directly.
    pub no_proxy: Vec<String>,
}

/// What a component is given when it is made.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its id.
    pub id: Arc<str>,
    /// What all share.
    pub globals: Arc<Globals>,
    /// Its counters.
    pub telemetry: Telemetry,
    /// Where it says what happened.
    pub log: InternalLog,
    /// True once the pipeline gave up on events that are still on their way; for [`crate::Token::abort_flag`].
    pub aborted: Arc<AtomicBool>,
    /// Whether acknowledgements end to end were asked for, for sources that answer their sender.
    pub acknowledgements: bool,
}

/// A way out of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPort {
    /// Its name; `None` is the default one, named as the component.
    pub name: Option<String>,
    /// What comes out; empty means: what went in.
    pub kinds: Vec<EventKind>,
}

impl OutputPort {
    /// The default port with one kind of events.
    pub fn default_of(kind: EventKind) -> OutputPort {
        OutputPort {
            name: None,
            kinds: vec![kind],
        }
    }

    /// A named port with one kind of events.
    pub fn named(name: impl Into<String>, kind: EventKind) -> OutputPort {
        OutputPort {
            name: Some(name.into()),
            kinds: vec![kind],
        }
    }
}

/// The kinds of events a transform or sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputKinds {
    /// Log events.
    pub logs: bool,
    /// Metrics.
    pub metrics: bool,
    /// Traces.
    pub traces: bool,
}

impl InputKinds {
    /// Everything.
    pub const ALL: InputKinds = InputKinds {
        logs: true,
        metrics: true,
        traces: true,
    };
    /// Log events only.
    pub const LOGS: InputKinds = InputKinds {
        logs: true,
        metrics: false,
        traces: false,
    };
    /// Metrics only.
    pub const METRICS: InputKinds = InputKinds {
        logs: false,
        metrics: true,
        traces: false,
    };

    /// Whether it takes this kind.
    pub fn takes(self, kind: EventKind) -> bool {
        match kind {
            EventKind::Log => self.logs,
            EventKind::Metric => self.metrics,
            EventKind::Trace => self.traces,
        }
    }
}

/// Something only one component can hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A TCP address, as `host:port`.
    Tcp(String),
    /// A UDP address, as `host:port`.
    Udp(String),
    /// A path: a unix socket, a disk buffer.
    Path(PathBuf),
    /// A file descriptor of this process.
    Fd(u32),
}

/// Says when a source must end, and how a component may notice.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A signal that becomes true.
    pub fn new(signal: watch::Receiver<bool>) -> Shutdown {
        Shutdown(signal)
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it is time to end (also when the pipeline is gone).
    pub async fn wait(&mut self) {
        let _gone = self.0.wait_for(|set| *set).await;
    }
}

/// The pipeline behind a source: takes batches, and lets wait while it is full.
pub trait Outlet: Send + Sync {
    /// Takes a batch out of port `port` (an index into the source's `outputs()`); resolves when there is room again.
    fn send<'a>(&'a self, port: usize, batch: Batch) -> BoxFuture<'a, Result<(), Closed>>;
}

/// A source's way into the pipeline. It counts what it sends; clones share everything.
#[derive(Clone)]
pub struct SourceOut(Arc<dyn Outlet>);

impl SourceOut {
    /// A way to this pipeline.
    pub fn new(outlet: Arc<dyn Outlet>) -> SourceOut {
        SourceOut(outlet)
    }

    /// Sends a batch by the default (first) port. Transforms up to the next buffer run within this call.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline stops: the source ends.
    pub async fn send(&self, batch: Batch) -> Result<(), Closed> {
        self.send_to(0, batch).await
    }

    /// Sends a batch by port `port`, an index into the source's outputs.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline stops: the source ends.
    pub async fn send_to(&self, port: usize, batch: Batch) -> Result<(), Closed> {
        if batch.is_empty() {
            return Ok(());
        }
        self.0.send(port, batch).await
    }

    /// Sends from a thread of its own (never from a task): blocks while the pipeline is full.
    ///
    /// # Errors
    /// [`Closed`] when the pipeline stops: the source ends.
    pub fn send_blocking(&self, batch: Batch) -> Result<(), Closed> {
        futures::executor::block_on(self.send(batch))
    }
}

impl Debug for SourceOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceOut")
    }
}

/// The configuration of a source.
pub trait SourceConfig: Debug + Send + Sync {
    /// Its ways out, the default one first.
    fn outputs(&self) -> Vec<OutputPort>;

    /// What only it can hold.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Makes the source: binds its sockets, compiles its patterns. Nothing flows yet.
    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>>;
}

/// A source: brings events in.
pub trait Source: Send {
    /// Runs until the input ends, `shutdown` is set, or it can't go on. On shutdown it stops reading, sends what it has,
    /// and returns. Work that blocks goes to a thread of its own (`spawn_blocking`, [`SourceOut::send_blocking`]).
    fn run(self: Box<Self>, out: SourceOut, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>>;
}

/// The configuration of a transform.
pub trait TransformConfig: Debug + Send + Sync {
    /// What it takes.
    fn input(&self) -> InputKinds;

    /// Its ways out, the default one first if it has one.
    fn outputs(&self) -> Vec<OutputPort>;

    /// Makes the transform.
    ///
    /// # Errors
    /// What is wrong with a program or pattern, with the key that holds it.
    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError>;
}

/// What a transform puts out: batches with the index of their port.
#[derive(Debug, Default)]
pub struct TransformOut(pub Vec<(usize, Batch)>);

impl TransformOut {
    /// Puts a batch out by the first port; an empty one is let go.
    pub fn push(&mut self, batch: Batch) {
        self.push_to(0, batch);
    }

    /// Puts a batch out by port `port`, an index into the transform's outputs; an empty one is let go.
    pub fn push_to(&mut self, port: usize, batch: Batch) {
        if !batch.is_empty() {
            self.0.push((port, batch));
        }
    }
}

/// A transform: turns events into others. Called by one thread at a time; must not block.
pub trait Transform: Send {
    /// Works on one batch. Finalizers of the input must go on with the output, or be kept with what is held back;
    /// events dropped on purpose just let theirs go.
    fn transform(&mut self, batch: Batch, out: &mut TransformOut);

    /// How often [`Transform::tick`] is to be called; `None` for never.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// Time has passed.
    fn tick(&mut self, _now: Instant, _out: &mut TransformOut) {}

    /// The input has ended: what is held back comes out now.
    fn finish(&mut self, _out: &mut TransformOut) {}
}

/// The pipeline before a sink.
pub trait Inlet: Send {
    /// The next batch; `None` when there will be no more.
    fn recv(&mut self) -> BoxFuture<'_, Option<Batch>>;
}

/// A sink's buffer, to take batches from.
pub struct SinkInput(Box<dyn Inlet>);

impl SinkInput {
    /// What comes from this pipeline.
    pub fn new(inlet: Box<dyn Inlet>) -> SinkInput {
        SinkInput(inlet)
    }

    /// The next batch; `None` when the pipeline has ended and the buffer is empty: the sink sends what it has and
    /// returns. Safe to cancel: a batch is not lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Batch> {
        self.0.recv().await
    }
}

impl Debug for SinkInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SinkInput")
    }
}

/// A sink with its health check, both not started.
pub struct BuiltSink {
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// Asks once whether the receiver is there; the error says why not.
    pub healthcheck: BoxFuture<'static, Result<(), String>>,
}

/// The configuration of a sink. `buffer`, `healthcheck.enabled` and `acknowledgements` are the pipeline's business and
/// are taken out of the node before it is decoded.
pub trait SinkConfig: Debug + Send + Sync {
    /// What it takes.
    fn input(&self) -> InputKinds;

    /// What only it can hold.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// Makes the sink.
    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>>;
}

/// A sink: sends events out. It reports to each batch's finalizers what became of it, before it drops them.
pub trait Sink: Send {
    /// Runs until the input ends, then sends what it has and returns. Dropped in the middle when the deadline of the
    /// shutdown passes.
    fn run(self: Box<Self>, input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>>;
}

/// Sets the flag of [`Context::aborted`].
pub fn abort(flag: &AtomicBool) {
    flag.store(true, Ordering::Release);
}
