//! Drives sources through their traits, with an outlet that keeps what comes.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BoxFuture, Closed, ComponentError, Context, Delivery, Finalizers, Globals, InternalEvent, InternalLog,
    LogSchema, Metric, Outlet, Shutdown, SourceConfig, SourceOut, Telemetry, Value, telemetry::Reading,
};
use tokio::sync::watch;

/// How long a condition may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Default)]
struct State {
    events: Vec<Value>,
    metrics: Vec<Metric>,
    batches: Vec<usize>,
    held: Vec<Finalizers>,
}

/// Keeps what a source sends.
#[derive(Default)]
pub struct Collector {
    state: Mutex<State>,
    came: Condvar,
    hold: AtomicBool,
}

impl Outlet for Collector {
    fn send<'a>(&'a self, _port: usize, batch: Batch) -> BoxFuture<'a, Result<(), Closed>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            state.batches.push(batch.len());
            let finalizers = match batch {
                Batch::Logs(logs) => {
                    let (events, finalizers) = logs.into_events();
                    state.events.extend(events.into_iter().map(|e| e.value));
                    finalizers
                }
                Batch::Metrics(m) => {
                    state.metrics.extend(m.metrics);
                    m.finalizers
                }
            };
            if self.hold.load(Ordering::Acquire) {
                state.held.push(finalizers);
            } else {
                finalizers.report(Delivery::Delivered);
            }
            self.came.notify_all();
            Ok(())
        })
    }
}

impl Collector {
    /// Delivers everything that is held.
    pub fn deliver_all(&self) {
        let held = std::mem::take(&mut self.state.lock().held);
        for f in &held {
            f.report(Delivery::Delivered);
        }
    }
}

/// A configuration as a user writes it, without `type`.
pub fn parse(ty: &str, config: serde_json::Value) -> Result<Box<dyn SourceConfig>, String> {
    let entry = qd_logs_local::sources::entries()
        .into_iter()
        .find(|e| e.name == ty)
        .unwrap_or_else(|| panic!("no source `{ty}`"));
    (entry.parse)(&Node::from(config)).map_err(|e| e.to_string())
}

/// A context for a source with this id.
pub fn context(id: &str, data_dir: &Path) -> Context {
    Context {
        id: id.into(),
        globals: Arc::new(Globals {
            data_dir: data_dir.to_owned(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "testhost".into(),
            proxy: Arc::default(),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::default(),
        acknowledgements: false,
    }
}

/// A source that runs.
pub struct Running {
    pub collector: Arc<Collector>,
    pub cx: Context,
    said: tokio::sync::broadcast::Receiver<InternalEvent>,
    stop: watch::Sender<bool>,
    runtime: tokio::runtime::Runtime,
    task: tokio::task::JoinHandle<Result<(), ComponentError>>,
}

impl Running {
    /// Starts a source; its positions are in `data_dir`.
    pub fn start(ty: &str, config: serde_json::Value, data_dir: &Path) -> Running {
        Running::try_start(ty, config, data_dir).unwrap_or_else(|e| panic!("{ty} does not start: {e}"))
    }

    pub fn try_start(ty: &str, config: serde_json::Value, data_dir: &Path) -> Result<Running, String> {
        Running::with(context("in", data_dir), ty, config)
    }

    pub fn with(cx: Context, ty: &str, config: serde_json::Value) -> Result<Running, String> {
        let config = parse(ty, config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let said = cx.log.listen();
        let source = runtime.block_on(config.build(cx.clone())).map_err(|e| e.to_string())?;
        let collector = Arc::new(Collector::default());
        let (stop, signal) = watch::channel(false);
        let task = runtime.spawn(source.run(SourceOut::new(collector.clone()), Shutdown::new(signal)));
        Ok(Running {
            collector,
            cx,
            said,
            stop,
            runtime,
            task,
        })
    }

    /// From now on batches are not delivered.
    pub fn hold(&self) {
        self.collector.hold.store(true, Ordering::Release);
    }

    /// Delivers the held batches whose place is in `which` (of those still held).
    pub fn deliver(&self, which: impl Fn(usize) -> bool) {
        let taken: Vec<Finalizers> = {
            let mut state = self.collector.state.lock();
            let mut i = 0..;
            let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut state.held)
                .into_iter()
                .partition(|_| i.next().is_some_and(&which));
            state.held = later;
            now
        };
        for f in &taken {
            f.report(Delivery::Delivered);
        }
    }

    /// Waits until what came is as it should be.
    pub fn wait(&self, what: &str, done: impl Fn(&[Value]) -> bool) {
        let begin = Instant::now();
        let mut state = self.collector.state.lock();
        while !done(&state.events) {
            let last: Vec<String> = state.events.iter().rev().take(5).map(Value::to_string).collect();
            let count = state.events.len();
            assert!(
                begin.elapsed() < PATIENCE,
                "{what} did not happen; {count} events, the last: {last:#?}"
            );
            assert!(
                !self.task.is_finished() || done(&state.events),
                "the source ended before {what}"
            );
            let _again = self.collector.came.wait_for(&mut state, Duration::from_millis(50));
        }
    }

    /// Waits for so many events.
    pub fn wait_count(&self, n: usize) {
        self.wait(&format!("event {n}"), |e| e.len() >= n);
    }

    /// Waits for an event with this message.
    pub fn wait_message(&self, text: &str) {
        self.wait(text, |e| e.iter().any(|e| message(e) == text));
    }

    /// Waits until a counter, summed over its labels, has reached `n`.
    pub fn wait_counter(&self, name: &str, n: u64) {
        self.wait_until(&format!("{name} = {n}"), || self.counter(name) >= n);
    }

    pub fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < PATIENCE, "{what} did not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A counter, summed over its labels.
    pub fn counter(&self, name: &str) -> u64 {
        self.labelled(name, &[])
    }

    /// A counter with these labels, summed over others.
    pub fn labelled(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let all = self.cx.telemetry.read();
        all.iter()
            .filter(|(n, l, _)| *n == name && labels.iter().all(|(k, v)| l.get(k).is_some_and(|x| x == v)))
            .map(|(_, _, r)| match r {
                Reading::Counter(c) => *c,
                _ => 0,
            })
            .sum()
    }

    pub fn events(&self) -> Vec<Value> {
        self.collector.state.lock().events.clone()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.collector.state.lock().metrics.clone()
    }

    pub fn batches(&self) -> Vec<usize> {
        self.collector.state.lock().batches.clone()
    }

    pub fn messages(&self) -> Vec<String> {
        self.events().iter().map(message).collect()
    }

    /// What the source said so far.
    pub fn said(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(e) = self.said.try_recv() {
            all.push(e.message);
        }
        all
    }

    /// Asks it to end.
    pub fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends it, and gives what came.
    pub fn stop(self) -> Vec<Value> {
        self.ask_to_stop();
        self.finish().1
    }

    /// Waits for its own end.
    pub fn finish(self) -> (Result<(), ComponentError>, Vec<Value>) {
        let task = self.task;
        let result = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, task).await })
            .expect("the source must end")
            .expect("the source must not panic");
        let events = self.collector.state.lock().events.clone();
        (result, events)
    }
}

/// The message of an event.
pub fn message(event: &Value) -> String {
    field(event, "message").unwrap_or_default()
}

/// A field as text.
pub fn field(event: &Value, name: &str) -> Option<String> {
    Some(event.as_object()?.get(name)?.to_string_lossy().into_owned())
}

/// Numbered lines: the ground truth.
#[derive(Default)]
pub struct Numbers(pub usize);

impl Numbers {
    /// The next `n` lines, each with its newline.
    pub fn lines(&mut self, n: usize) -> String {
        let from = self.0;
        self.0 += n;
        (from..self.0).map(|i| format!("line {i:07}\n")).collect()
    }

    /// That every line came, and none twice.
    pub fn check(&self, events: &[Value]) {
        let mut seen = vec![0_u32; self.0];
        let mut strange = Vec::new();
        for e in events {
            let text = message(e);
            match text
                .strip_prefix("line ")
                .and_then(|n| n.parse::<usize>().ok())
                .and_then(|n| seen.get_mut(n))
            {
                Some(n) => *n += 1,
                None => strange.push(text),
            }
        }
        let lost: Vec<usize> = (0..self.0).filter(|i| seen[*i] == 0).collect();
        let twice: Vec<usize> = (0..self.0).filter(|i| seen[*i] > 1).collect();
        assert!(
            lost.is_empty() && twice.is_empty() && strange.is_empty(),
            "of {} lines lost: {lost:?}, twice: {twice:?}, strange: {strange:?}",
            self.0
        );
    }
}

/// What stands at a path of an event.
pub fn at<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    event.get(&vrl::path::parse_value_path(path).expect("a path"))
}
