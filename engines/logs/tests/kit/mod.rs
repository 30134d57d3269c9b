//! Small components for tests: a source that is fed by hand, transforms that pass, hold or break, a sink that collects.
#![allow(dead_code, unreachable_pub)]

use std::{
    collections::HashMap,
    fmt::Debug,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_logs::{Common, OutputId, Plan, SinkPlan, SourcePlan, TransformPlan};
use qd_logs_config::{Node, common::BufferConfig};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, ComponentError, Context, Delivery, EventKind, Finalizers, Globals,
    InputKinds, LogBatch, LogEvent, LogSchema, OutputPort, ProxySettings, Resource, Shutdown, Sink, SinkConfig,
    SinkInput, Source, SourceConfig, SourceOut, Token, Transform, TransformConfig, TransformOut, Value,
};
use tokio::sync::{Semaphore, mpsc};

pub fn batch(numbers: impl IntoIterator<Item = i64>) -> Batch {
    let events = numbers.into_iter().map(|n| LogEvent::new(Value::Integer(n)));
    Batch::Logs(LogBatch::events(events.collect()))
}

pub fn numbers(batch: &Batch) -> Vec<i64> {
    let Batch::Logs(logs) = batch else { panic!("no logs") };
    (0..logs.len())
        .map(|i| match logs.value(i) {
            Value::Integer(n) => n,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// What became of batches, by the order of their verdicts.
#[derive(Clone, Default, Debug)]
pub struct Verdicts(pub Arc<Mutex<Vec<(i64, Delivery)>>>);

impl Verdicts {
    pub fn on(&self, mut b: Batch, key: i64) -> Batch {
        let all = self.0.clone();
        *b.finalizers_mut() = Finalizers::one(Token::new(move |d| all.lock().push((key, d))));
        b
    }

    pub fn count(&self) -> usize {
        self.0.lock().len()
    }
}

/// Feeds a source from outside. The queue outlives the source, so that a successor goes on where it ended.
#[derive(Clone, Debug)]
pub struct Feed {
    pub tx: Arc<Mutex<Option<mpsc::UnboundedSender<Batch>>>>,
    pub rx: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Batch>>>,
    pub queued: Arc<AtomicUsize>,
    pub built: Arc<AtomicUsize>,
    pub refuse: Arc<AtomicBool>,
    pub resource: Option<Resource>,
    /// Whether it sends from threads that no runtime knows, as sources of files do.
    pub threads: bool,
    /// Something that only one source can hold from when it is made to its end, as a checkpoint's lock.
    pub exclusive: Option<Arc<AtomicBool>>,
}

/// A feed that runs, and what it holds.
struct Feeding(Feed);

impl Drop for Feeding {
    fn drop(&mut self) {
        if let Some(held) = &self.0.exclusive {
            held.store(false, Ordering::Release);
        }
    }
}

impl Feed {
    pub fn new() -> Feed {
        let (tx, rx) = mpsc::unbounded_channel();
        Feed {
            tx: Arc::new(Mutex::new(Some(tx))),
            rx: Arc::new(tokio::sync::Mutex::new(rx)),
            queued: Arc::default(),
            built: Arc::default(),
            refuse: Arc::default(),
            resource: None,
            threads: false,
            exclusive: None,
        }
    }

    pub fn give(&self, b: Batch) {
        self.queued.fetch_add(1, Ordering::AcqRel);
        self.tx.lock().as_ref().expect("not ended").send(b).expect("received");
    }

    pub fn end(&self) {
        self.tx.lock().take();
    }

    /// Batches that no source has taken yet.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }
}

impl SourceConfig for Feed {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn resources(&self) -> Vec<Resource> {
        self.resource.iter().cloned().collect()
    }

    fn build(&self, _: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            if self.refuse.load(Ordering::Acquire) {
                return Err(BuildError::new("refused on purpose"));
            }
            if let Some(held) = &self.exclusive
                && held.swap(true, Ordering::AcqRel)
            {
                return Err(BuildError::new("another one holds it still"));
            }
            self.built.fetch_add(1, Ordering::AcqRel);
            Ok(Box::new(Feeding(self.clone())) as Box<dyn Source>)
        })
    }
}

impl Source for Feeding {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let this = &self.0;
            let mut rx = this.rx.lock().await;
            loop {
                let next = tokio::select! {
                    biased;
                    () = shutdown.wait() => return Ok(()),
                    next = rx.recv() => next,
                };
                let Some(b) = next else { return Ok(()) };
                this.queued.fetch_sub(1, Ordering::AcqRel);
                let sent = if this.threads {
                    let (out, (done, sent)) = (out.clone(), tokio::sync::oneshot::channel());
                    std::thread::spawn(move || {
                        let _waits_no_more = done.send(out.send_blocking(b));
                    });
                    sent.await
                        .map_err(|_| ComponentError::new("the sending thread panicked"))?
                } else {
                    out.send(b).await
                };
                if sent.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

/// What a transform does.
#[derive(Clone, Debug)]
pub enum Does {
    Pass,
    /// Even numbers by the default port, odd ones by `odd`.
    Route,
    /// Keeps everything until the end.
    Hold,
    /// Gives out what it holds at every tick.
    HoldAndTick,
    Panic,
    /// Cannot be made.
    Refuse,
}

impl TransformConfig for Does {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        let mut ports = vec![OutputPort::default_of(EventKind::Log)];
        if matches!(self, Does::Route) {
            ports.push(OutputPort::named("odd", EventKind::Log));
        }
        ports
    }

    fn build(&self, _: Context) -> Result<Box<dyn Transform>, BuildError> {
        if matches!(self, Does::Refuse) {
            return Err(BuildError::of("source", "refused on purpose"));
        }
        Ok(Box::new(Doing(self.clone(), Vec::new())))
    }
}

struct Doing(Does, Vec<Batch>);

impl Transform for Doing {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        match self.0 {
            Does::Pass => out.push(batch),
            Does::Route => {
                let Batch::Logs(mut even) = batch else { return };
                let mut odd = even.clone();
                let parity: Vec<bool> = numbers(&Batch::Logs(even.clone())).iter().map(|n| n % 2 == 0).collect();
                even.retain(|i| parity[i]);
                odd.retain(|i| !parity[i]);
                out.push(Batch::Logs(even));
                out.push_to(1, Batch::Logs(odd));
            }
            Does::Hold | Does::HoldAndTick => self.1.push(batch),
            Does::Panic => panic!("on purpose"),
            Does::Refuse => {}
        }
    }

    fn tick_every(&self) -> Option<Duration> {
        matches!(self.0, Does::HoldAndTick).then_some(Duration::from_millis(5))
    }

    fn tick(&mut self, _: Instant, out: &mut TransformOut) {
        self.finish(out);
    }

    fn finish(&mut self, out: &mut TransformOut) {
        for b in self.1.drain(..) {
            out.push(b);
        }
    }
}

/// A sink that collects; each batch costs a permit of the gate, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Collect {
    pub seen: Arc<Mutex<Vec<i64>>>,
    pub gate: Option<Arc<Semaphore>>,
    /// Fails at the first batch.
    pub fails: bool,
    pub built: Arc<AtomicUsize>,
    pub refuse: Arc<AtomicBool>,
    pub resource: Option<Resource>,
    pub unhealthy: bool,
}

impl Collect {
    pub fn gated() -> (Collect, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let sink = Collect {
            gate: Some(gate.clone()),
            ..Collect::default()
        };
        (sink, gate)
    }

    pub fn sorted(&self) -> Vec<i64> {
        let mut all = self.seen.lock().clone();
        all.sort_unstable();
        all
    }
}

impl SinkConfig for Collect {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn resources(&self) -> Vec<Resource> {
        self.resource.iter().cloned().collect()
    }

    fn build(&self, _: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            if self.refuse.load(Ordering::Acquire) {
                return Err(BuildError::new("refused on purpose"));
            }
            self.built.fetch_add(1, Ordering::AcqRel);
            let unhealthy = self.unhealthy;
            Ok(BuiltSink {
                sink: Box::new(self.clone()),
                healthcheck: Box::pin(async move { if unhealthy { Err("nobody there".into()) } else { Ok(()) } }),
            })
        })
    }
}

impl Sink for Collect {
    fn run(self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            while let Some(b) = input.recv().await {
                if self.fails {
                    b.finalizers().report(Delivery::Errored);
                    return Err(ComponentError::new("failed on purpose"));
                }
                if let Some(gate) = &self.gate {
                    gate.acquire().await.expect("open").forget();
                }
                self.seen.lock().extend(numbers(&b));
            }
            Ok(())
        })
    }
}

pub fn globals(data_dir: PathBuf) -> Globals {
    Globals {
        data_dir,
        timezone: None,
        log_schema: LogSchema::default(),
        hostname: "here".into(),
        proxy: Arc::new(ProxySettings::default()),
    }
}

pub fn plan() -> Plan {
    Plan::empty(globals(PathBuf::from("/nonexistent")))
}

fn common(id: &str, version: i64) -> Common {
    Common {
        id: id.into(),
        kind: "test".into(),
        node: Node::new(qd_logs_config::NodeValue::Int(version)),
    }
}

pub fn outputs(inputs: &[&str]) -> Vec<OutputId> {
    inputs
        .iter()
        .map(|i| match i.split_once('.') {
            Some((c, p)) => OutputId {
                component: c.into(),
                port: Some(p.into()),
            },
            None => OutputId {
                component: (*i).into(),
                port: None,
            },
        })
        .collect()
}

/// Builds plans by hand.
pub trait Build: Sized {
    fn source(self, id: &str, version: i64, config: impl SourceConfig + 'static) -> Self;
    fn transform(self, id: &str, version: i64, config: impl TransformConfig + 'static, inputs: &[&str]) -> Self;
    fn sink(self, id: &str, version: i64, config: impl SinkConfig + 'static, inputs: &[&str]) -> Self;
    fn buffer(self, id: &str, buffer: &str) -> Self;
}

impl Build for Plan {
    fn source(mut self, id: &str, version: i64, config: impl SourceConfig + 'static) -> Self {
        let source = SourcePlan {
            common: common(id, version),
            config: Arc::new(config),
            acknowledgements: false,
            proxy: Arc::default(),
        };
        self.sources.insert(id.into(), source);
        self
    }

    fn transform(mut self, id: &str, version: i64, config: impl TransformConfig + 'static, inputs: &[&str]) -> Self {
        let transform = TransformPlan {
            common: common(id, version),
            config: Arc::new(config),
            inputs: outputs(inputs),
        };
        self.transforms.insert(id.into(), transform);
        self
    }

    fn sink(mut self, id: &str, version: i64, config: impl SinkConfig + 'static, inputs: &[&str]) -> Self {
        let sink = SinkPlan {
            common: common(id, version),
            config: Arc::new(config),
            inputs: outputs(inputs),
            buffer: BufferConfig::default(),
            healthcheck: Default::default(),
            proxy: Arc::default(),
        };
        self.sinks.insert(id.into(), sink);
        self
    }

    fn buffer(mut self, id: &str, buffer: &str) -> Self {
        let node = Node::from(serde_json::from_str::<serde_json::Value>(buffer).expect("json"));
        let buffer = qd_logs_config::decode(&node).expect("a buffer");
        self.sinks.get_mut(id).expect("a sink").buffer = buffer;
        self
    }
}

/// Waits until something holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn count<T: std::hash::Hash + Eq>(all: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for x in all {
        *counts.entry(x).or_default() += 1;
    }
    counts
}
