//! Spans for a collector: one for each request, in the trace that the client began or in a new one.
//!
//! Spans wait in a bounded queue and leave in batches as OTLP in JSON over HTTP. A batch that the collector does not take
//! is tried once more and then dropped; what is dropped is counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use qd_core::Timestamp;
use qd_proxy_policy::Dice;
use qd_proxy_telemetry::TraceContext;
use qd_proxy_wire::{Authority, Framing, RequestHead, Version};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    client::ask_within,
    cluster::Cluster,
    plan::{self, Address, Tracing, UpstreamProtocol},
    shared::Shared,
    tls::ClientTls,
};

/// Spans that may wait.
const QUEUE: usize = 4_096;
/// Spans of one message.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const PACE: Duration = Duration::from_millis(500);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) name: String,
    pub(crate) begun: Timestamp,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    pub(crate) attributes: Vec<(&'static str, Value)>,
}

/// Makes spans.
#[derive(Debug)]
pub(crate) struct Tracer {
    pub(crate) plan: Tracing,
    queue: mpsc::Sender<Span>,
    /// Until the exporter takes it.
    spans: Mutex<Option<mpsc::Receiver<Span>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Tracer {
    pub(crate) fn new(plan: &Tracing) -> Tracer {
        let (queue, spans) = mpsc::channel(QUEUE);
        Tracer {
            plan: plan.clone(),
            queue,
            spans: Mutex::new(Some(spans)),
            counts: Arc::default(),
        }
    }

    /// The span of a request, whose head is changed to say so; and the span it belongs to, if there is one.
    pub(crate) fn begin(&self, head: &mut RequestHead, dice: &mut Dice) -> (TraceContext, Option<[u8; 8]>) {
        let asked = head
            .fields
            .get(b"traceparent")
            .and_then(|parent| TraceContext::parse(parent, head.fields.get(b"tracestate")));
        let (context, parent) = match asked {
            Some(asked) => (asked.child(|| dice.bits()), Some(asked.span)),
            None => {
                head.fields.remove_name(b"tracestate");
                let sampled = dice.unit() < self.plan.sample;
                (TraceContext::new(sampled, || dice.bits()), None)
            }
        };
        head.fields.set(b"traceparent", context.to_string().as_bytes());
        (context, parent)
    }

    /// Sends a span, if there is room for it.
    pub(crate) fn offer(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Spans that the collector took, and those that were dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (get(&self.counts.sent), get(&self.counts.lost))
    }

    /// What sends the spans; once.
    pub(crate) fn exporter(&self, shared: &Shared) -> Option<impl Future<Output = ()> + Send + 'static> {
        let spans = self.spans.lock().take()?;
        let target = Target::new(&self.plan, shared);
        if target.is_none() {
            tracing::warn!("`{}` is no address of a collector", self.plan.endpoint);
        }
        let (counts, service) = (Arc::clone(&self.counts), self.plan.service.clone());
        Some(export(spans, target, service, counts))
    }
}

/// A collector.
struct Target {
    cluster: Cluster,
    host: String,
    path: String,
}

impl Target {
    fn new(plan: &Tracing, shared: &Shared) -> Option<Target> {
        let (rest, tls) = match plan.endpoint.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (plan.endpoint.strip_prefix("http://")?, false),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::parse(host.as_bytes())?;
        let port = authority.port.unwrap_or(if tls { 443 } else { 80 });
        let plan = plan::Cluster {
            protocol: UpstreamProtocol::Http1,
            tls: tls.then(ClientTls::default),
            ..plan::Cluster::new("tracing", [Address::Tcp(authority.host, port)])
        };
        Some(Target {
            cluster: Cluster::new(&plan, None, shared).ok()?,
            host: host.to_owned(),
            path: match path {
                "" | "/" => "/v1/traces".to_owned(),
                path => path.to_owned(),
            },
        })
    }

    async fn send(&self, body: &Bytes) -> Result<(), String> {
        let endpoint = self.cluster.members.first().map(|m| &m.endpoint).ok_or("no endpoint")?;
        let mut head = RequestHead::default();
        head.version = Version::Http11;
        head.set_method(b"POST");
        head.set_target(self.path.as_bytes());
        head.fields.push(b"host", self.host.as_bytes());
        head.fields.push(b"content-type", b"application/json");
        head.fields.push(b"content-length", body.len().to_string().as_bytes());
        let framing = Framing::Length(body.len() as u64);
        let answer = ask_within(PATIENCE, &self.cluster, endpoint, &head, framing, body.clone()).await;
        match answer.map_err(|fault| fault.to_string())?.status {
            200..=299 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}

async fn export(mut spans: mpsc::Receiver<Span>, target: Option<Target>, service: String, counts: Arc<Counts>) {
    let mut batch = Vec::new();
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH && !spans.is_closed() {
            // Others will come; they are cheaper together.
            tokio::time::sleep(PACE).await;
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
        }
        let count = batch.len() as u64;
        let body = Bytes::from(message(&service, &batch).to_string());
        batch.clear();
        let Some(target) = &target else {
            counts.lost.fetch_add(count, Ordering::Relaxed);
            continue;
        };
        let mut sent = target.send(&body).await;
        if sent.is_err() {
            tokio::time::sleep(PACE).await;
            sent = target.send(&body).await;
        }
        match sent {
            Ok(()) => counts.sent.fetch_add(count, Ordering::Relaxed),
            Err(e) => {
                tracing::debug!("the collector takes no spans: {e}");
                counts.lost.fetch_add(count, Ordering::Relaxed)
            }
        };
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A value as OTLP writes it.
fn any(value: &Value) -> Value {
    match value {
        Value::Bool(b) => json!({ "boolValue": b }),
        // 64-bit numbers are texts in the JSON of protobuf.
        Value::Number(n) if n.is_u64() || n.is_i64() => json!({ "intValue": n.to_string() }),
        Value::Number(n) => json!({ "doubleValue": n }),
        Value::String(s) => json!({ "stringValue": s }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

/// `ExportTraceServiceRequest` in JSON.
fn message(service: &str, spans: &[Span]) -> Value {
    let one = |span: &Span| {
        let end = span.begun.after(span.took);
        let attributes: Vec<Value> = span
            .attributes
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": any(value) }))
            .collect();
        let mut said = json!({
            "traceId": hex(&span.context.trace),
            "spanId": hex(&span.context.span),
            "name": span.name,
            // SERVER.
            "kind": 2,
            "startTimeUnixNano": span.begun.0.to_string(),
            "endTimeUnixNano": end.0.to_string(),
            "attributes": attributes,
            "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
        });
        if let (Some(parent), Some(fields)) = (span.parent, said.as_object_mut()) {
            fields.insert("parentSpanId".to_owned(), Value::from(hex(&parent)));
        }
        if let (Some(state), Some(fields)) = (&span.context.state, said.as_object_mut()) {
            fields.insert("traceState".to_owned(), Value::from(state.as_str()));
        }
        said
    };
    json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
        "scopeSpans": [{
            "scope": { "name": "quarterdeck-proxy" },
            "spans": spans.iter().map(one).collect::<Vec<_>>(),
        }],
    }] })
}
