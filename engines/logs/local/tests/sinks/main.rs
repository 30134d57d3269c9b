//! The sinks of this machine, each run as the pipeline runs it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod file;
mod kill;
mod others;
mod socket;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, ComponentError, Context, Delivery, Finalizers, Globals, Inlet, InternalLog, LogBatch,
    LogEvent, LogSchema, SinkInput, Telemetry, Token, Value, component::ProxySettings, telemetry::Reading,
};
use tokio::{sync::mpsc, task::JoinHandle};

pub(crate) fn context() -> Context {
    Context {
        id: "out".into(),
        globals: Arc::new(Globals {
            data_dir: std::env::temp_dir(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "host".into(),
            proxy: Arc::new(ProxySettings::default()),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::new(AtomicBool::new(false)),
        acknowledgements: true,
    }
}

struct Feed(mpsc::Receiver<Batch>);

impl Inlet for Feed {
    fn recv(&mut self) -> BoxFuture<'_, Option<Batch>> {
        Box::pin(self.0.recv())
    }
}

pub(crate) struct Running {
    pub(crate) cx: Context,
    input: mpsc::Sender<Batch>,
    task: JoinHandle<Result<(), ComponentError>>,
}

/// Makes a sink from its configuration.
pub(crate) async fn build(
    cx: &Context,
    ty: &str,
    json: serde_json::Value,
) -> Result<qd_logs_model::BuiltSink, BuildError> {
    let catalog = qd_logs_local::catalog();
    let entry = catalog.sinks.iter().find(|e| e.name == ty).unwrap();
    let config = (entry.parse)(&json.into()).map_err(|e| BuildError::new(e.to_string()))?;
    config.build(cx.clone()).await
}

pub(crate) async fn start(ty: &str, json: serde_json::Value) -> Running {
    let cx = context();
    let sink = build(&cx, ty, json).await.unwrap().sink;
    let (input, feed) = mpsc::channel(4);
    let task = tokio::spawn(sink.run(SinkInput::new(Box::new(Feed(feed)))));
    Running { cx, input, task }
}

impl Running {
    /// Sends events; what becomes of them will be in the cell.
    pub(crate) async fn send(&self, mut batch: Batch) -> Arc<Mutex<Option<Delivery>>> {
        let cell = Arc::new(Mutex::new(None));
        let told = cell.clone();
        *batch.finalizers_mut() = Finalizers::one(Token::new(move |d| *told.lock() = Some(d)));
        self.input.send(batch).await.unwrap();
        cell
    }

    /// Sends events and waits until their fate is known.
    pub(crate) async fn deliver(&self, batch: Batch) -> Delivery {
        let cell = self.send(batch).await;
        until(|| cell.lock().is_some()).await;
        let d = *cell.lock();
        d.unwrap()
    }

    pub(crate) async fn end(self) -> Context {
        drop(self.input);
        self.task.await.unwrap().unwrap();
        self.cx
    }

    pub(crate) fn kill(self) {
        self.task.abort();
    }
}

/// Waits for a condition, for a minute at the most.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn batch(json: impl IntoIterator<Item = serde_json::Value>) -> Batch {
    Batch::Logs(LogBatch::events(
        json.into_iter().map(|j| LogEvent::new(Value::from(j))).collect(),
    ))
}

/// The sum of all counters of a name.
pub(crate) fn counter(cx: &Context, name: &str) -> u64 {
    let all = cx.telemetry.read();
    all.iter()
        .filter(|(n, ..)| *n == name)
        .map(|(_, _, r)| match r {
            Reading::Counter(c) => *c,
            Reading::Gauge(g) => *g as u64,
            Reading::Histogram(h) => h.count,
        })
        .sum()
}
