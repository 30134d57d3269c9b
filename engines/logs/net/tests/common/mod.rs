//! Servers and pipelines of the tests' own.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use qd_logs_config::Node;
use qd_logs_model::*;
use tokio::sync::{mpsc, watch};
use vrl::path::OwnedValuePath;

/// A request as the server got it, its body decompressed.
#[derive(Debug, Clone)]
pub struct Got {
    pub method: http::Method,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

pub type Reply = (u16, Vec<(&'static str, String)>, String);

pub fn ok() -> Reply {
    (200, vec![], String::new())
}

/// Serves on a port of its own until the runtime ends.
pub async fn serve(handler: impl Fn(Got) -> BoxFuture<'static, Reply> + Send + Sync + 'static) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let handler = Arc::new(handler);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let handler = handler.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let handler = handler.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                    let got = Got {
                        method: parts.method,
                        path: parts.uri.path().to_owned(),
                        query: parts.uri.query().unwrap_or_default().to_owned(),
                        body: plain(&parts.headers, body),
                        headers: parts.headers,
                    };
                    let (status, headers, body) = handler(got).await;
                    let mut response = http::Response::new(Full::new(Bytes::from(body)));
                    *response.status_mut() = status.try_into().unwrap();
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(async move {
                let _ended = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    at
}

fn plain(headers: &http::HeaderMap, body: Bytes) -> Bytes {
    use std::io::Read;
    let mut out = Vec::new();
    match headers.get("content-encoding").map(|v| v.to_str().unwrap()) {
        Some("gzip") => {
            flate2::read::MultiGzDecoder::new(&*body).read_to_end(&mut out).unwrap();
        }
        Some("zstd") => out = zstd::decode_all(&*body).unwrap(),
        Some("snappy") => out = snap::raw::Decoder::new().decompress_vec(&body).unwrap(),
        Some(other) => panic!("{other}"),
        None => return body,
    }
    out.into()
}

pub fn context() -> Context {
    Context {
        id: "it".into(),
        globals: Arc::new(Globals {
            data_dir: std::env::temp_dir(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "here".into(),
            proxy: Arc::default(),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::new(AtomicBool::new(false)),
        acknowledgements: false,
    }
}

pub fn node(json: serde_json::Value) -> Node {
    Node::from(json)
}

pub struct Channel(pub mpsc::Receiver<Batch>);

impl Inlet for Channel {
    fn recv(&mut self) -> futures::future::BoxFuture<'_, Option<Batch>> {
        Box::pin(self.0.recv())
    }
}

/// What became of the batches of a sink that has ended.
pub struct Ended {
    pub deliveries: Vec<Delivery>,
    pub telemetry: Telemetry,
    /// Its `data_dir`.
    pub dir: tempfile::TempDir,
}

impl Ended {
    pub fn count(&self, name: &str) -> u64 {
        let all = self.telemetry.read();
        all.iter()
            .filter(|(n, ..)| *n == name)
            .map(|(_, _, r)| match r {
                telemetry::Reading::Counter(c) => *c,
                _ => 0,
            })
            .sum()
    }

    /// The dead letters it left: reasons and events.
    pub fn letters(&self) -> Vec<(String, String)> {
        let path = self.dir.path().join("dead_letters/it.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let all = text
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        all.map(|l| {
            (
                l["reason"].as_str().unwrap().into(),
                l["event"].as_str().unwrap().into(),
            )
        })
        .collect()
    }

    pub fn all_delivered(&self) -> bool {
        self.deliveries.iter().all(|d| *d == Delivery::Delivered)
    }
}

pub fn sink_config(kind: &str, config: serde_json::Value) -> Box<dyn SinkConfig> {
    let catalog = qd_logs_net::catalog();
    let entry = catalog.sinks.iter().find(|e| e.name == kind).unwrap();
    (entry.parse)(&node(config)).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a sink over these batches to its end.
pub async fn run_sink(kind: &str, config: serde_json::Value, batches: Vec<Batch>) -> Ended {
    let mut cx = context();
    let dir = tempfile::tempdir().unwrap();
    let mut globals = (*cx.globals).clone();
    globals.data_dir = dir.path().to_owned();
    cx.globals = Arc::new(globals);
    let telemetry = cx.telemetry.clone();
    let built = sink_config(kind, config)
        .build(cx)
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    let (tx, rx) = mpsc::channel(1);
    let running = tokio::spawn(built.sink.run(SinkInput::new(Box::new(Channel(rx)))));
    let deliveries = Arc::new(Mutex::new(vec![None; batches.len()]));
    for (i, mut batch) in batches.into_iter().enumerate() {
        let told = deliveries.clone();
        let token = Token::new(move |d| told.lock()[i] = Some(d));
        *batch.finalizers_mut() = Finalizers::one(token);
        tx.send(batch).await.unwrap();
    }
    drop(tx);
    running.await.unwrap().unwrap();
    let deliveries = deliveries.lock().iter().map(|d| d.expect("nobody reported")).collect();
    Ended {
        deliveries,
        telemetry,
        dir,
    }
}

/// Numbered log events from `from` on.
pub fn numbered(from: i64, count: i64) -> Batch {
    let event = |n: i64| {
        LogEvent::new(Value::from(serde_json::json!({
            "message": format!("event {n}"), "n": n, "app": if n % 2 == 0 { "even" } else { "odd" },
        })))
    };
    Batch::Logs(LogBatch::events((from..from + count).map(event).collect()))
}

/// `count` numbered events in batches of 100.
pub fn many(count: i64) -> Vec<Batch> {
    (0..count)
        .step_by(100)
        .map(|n| numbered(n, 100.min(count - n)))
        .collect()
}

/// Numbers in order, each as often as it came.
pub fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

/// Everything a source put out.
#[derive(Default, Clone)]
pub struct Collected {
    pub batches: Arc<Mutex<Vec<(usize, Batch)>>>,
    pub verdict: Arc<Mutex<Option<Delivery>>>,
}

impl Outlet for Collected {
    fn send<'a>(&'a self, port: usize, mut batch: Batch) -> futures::future::BoxFuture<'a, Result<(), Closed>> {
        let finalizers = batch.finalizers_mut().take();
        if let Some(verdict) = *self.verdict.lock() {
            finalizers.report(verdict);
        }
        self.batches.lock().push((port, batch));
        Box::pin(async { Ok(()) })
    }
}

impl Collected {
    pub fn values(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (_, batch) in self.batches.lock().iter() {
            if let Batch::Logs(logs) = batch {
                all.extend((0..logs.len()).map(|i| logs.value(i)));
            }
        }
        all
    }

    pub fn metrics(&self) -> Vec<Metric> {
        let mut all = Vec::new();
        for (_, batch) in self.batches.lock().iter() {
            if let Batch::Metrics(m) = batch {
                all.extend(m.metrics.iter().cloned());
            }
        }
        all
    }
}

pub struct RunningSource {
    pub addresses: Vec<SocketAddr>,
    pub out: Collected,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), ComponentError>>,
}

impl RunningSource {
    pub async fn stop(self) -> Collected {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
        self.out
    }
}

/// Starts a source; the addresses are those it says it listens on.
pub async fn run_source(kind: &str, config: serde_json::Value, acknowledgements: bool) -> RunningSource {
    let mut cx = context();
    cx.acknowledgements = acknowledgements;
    run_source_in(cx, kind, config).await
}

/// As [`run_source`], in a context that the test looks into.
pub async fn run_source_in(cx: Context, kind: &str, config: serde_json::Value) -> RunningSource {
    let mut said = cx.log.listen();
    let catalog = qd_logs_net::catalog();
    let entry = catalog.sources.iter().find(|e| e.name == kind).unwrap();
    let config = (entry.parse)(&node(config)).unwrap_or_else(|e| panic!("{e}"));
    let source = config.build(cx).await.unwrap_or_else(|e| panic!("{e}"));
    let mut addresses = Vec::new();
    while let Ok(event) = said.try_recv() {
        let at = event.fields.iter().find(|(k, _)| *k == "address");
        addresses.extend(at.and_then(|(_, v)| v.to_string_lossy().parse::<SocketAddr>().ok()));
    }
    let out = Collected::default();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(source.run(SourceOut::new(Arc::new(out.clone())), Shutdown::new(stopped)));
    RunningSource {
        addresses,
        out,
        stop,
        task,
    }
}

/// Waits for a condition.
pub async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

pub fn field(value: &Value, name: &str) -> Option<Value> {
    value.get(&OwnedValuePath::single_field(name)).cloned()
}

pub fn once(flag: &AtomicBool) -> bool {
    !flag.swap(true, Ordering::SeqCst)
}
