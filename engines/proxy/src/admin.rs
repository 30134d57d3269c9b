//! Where the proxy itself is asked, with Linkerd's paths: `/live`, `/ready`, `/metrics`, `/proxy-log-level`, `/shutdown`; and
//! what panes show, as JSON: `/snapshot`, `/stat`, `/routes`, `/endpoints`, `/connections`, `/errors`.
//!
//! It is a small server of HTTP/1 that closes after each answer, for tools and probes. A request with an `Origin` is refused:
//! no page that a browser shows may end a proxy that listens on the same machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use qd_proxy_policy::{BreakerState, Room};
use qd_proxy_telemetry::metrics::Page;
use qd_proxy_wire::{Limits, RequestHead, Scan, head::reason};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    time::timeout,
};

use crate::{
    io::Io,
    listener::{Accepting, Bound},
    plan::Bind,
    shared::Shared,
};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// For a request to come and for its answer to go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a body.
const BODY: usize = 1_024;

/// Whoever decides what is logged: how it is asked and told from `/proxy-log-level`.
pub trait LogLevel: Send + Sync {
    /// The present filter, such as `warn,qd_proxy=debug`.
    fn get(&self) -> String;

    /// Changes it.
    ///
    /// # Errors
    /// What is wrong with the new one, in words.
    fn set(&self, filter: &str) -> Result<(), String>;
}

/// An admin socket.
#[derive(Debug)]
pub(crate) struct AdminSlot {
    pub(crate) bind: Bind,
    pub(crate) local: Option<SocketAddr>,
    closed: AtomicBool,
    close: Notify,
}

impl AdminSlot {
    pub(crate) fn new(bind: &Bind, bound: &Bound) -> AdminSlot {
        AdminSlot {
            bind: bind.clone(),
            local: bound.local(),
            closed: AtomicBool::new(false),
            close: Notify::new(),
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.close.notify_one();
        if let Bind::Unix(path) = &self.bind {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Answers until the socket is closed.
pub(crate) async fn serve(shared: Arc<Shared>, slot: Arc<AdminSlot>, bound: Bound) {
    let Ok(socket) = Accepting::new(bound) else {
        return;
    };
    let room = Room::new(CONNECTIONS);
    while !slot.closed.load(Ordering::Acquire) {
        tokio::select! {
            () = slot.close.notified() => {}
            taken = socket.accept() => match taken {
                Ok((io, _)) => {
                    // Whoever finds no seat is closed at once.
                    if let Some(seat) = room.sit() {
                        let shared = Arc::clone(&shared);
                        tokio::spawn(async move {
                            let _ = timeout(PATIENCE, converse(&shared, io)).await;
                            drop(seat);
                        });
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// What is answered.
struct Said {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Said {
    fn text(status: u16, body: impl Into<String>) -> Said {
        Said {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    fn json(value: &impl Serialize) -> Said {
        match serde_json::to_string(value) {
            Ok(body) => Said {
                status: 200,
                kind: "application/json",
                body: body + "\n",
            },
            Err(e) => Said::text(500, format!("{e}\n")),
        }
    }
}

async fn converse(shared: &Shared, mut io: Io) -> std::io::Result<()> {
    let limits = Limits {
        head_bytes: 16 * 1024,
        fields: 64,
    };
    let (mut buffer, mut scan, mut head) = (Vec::new(), Scan::default(), RequestHead::default());
    let mut chunk = [0; 2_048];
    let said = loop {
        match scan.find(&buffer, &limits) {
            Ok(None) => match io.read(&mut chunk).await? {
                0 => return Ok(()),
                n => buffer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            },
            Err(e) => break Said::text(e.status(), format!("{e}\n")),
            Ok(Some(end)) => {
                if let Err(e) = head.parse(buffer.get(..end).unwrap_or_default(), &limits) {
                    break Said::text(e.status(), format!("{e}\n"));
                }
                let mut body = buffer.split_off(end);
                let length = head
                    .fields
                    .get(b"content-length")
                    .map(|l| String::from_utf8_lossy(l).parse());
                let length: usize = match length {
                    None => 0,
                    Some(Ok(length)) if length <= BODY => length,
                    Some(_) => break Said::text(413, "the body is too large\n"),
                };
                while body.len() < length {
                    match io.read(&mut chunk).await? {
                        0 => return Ok(()),
                        n => body.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                    }
                }
                break answer(shared, &head, &body);
            }
        }
    };
    let head_only = head.method() == b"HEAD";
    let mut out = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        said.status,
        reason(said.status),
        said.kind,
        said.body.len()
    );
    if !head_only {
        out.push_str(&said.body);
    }
    io.write_all(out.as_bytes()).await?;
    io.shutdown().await?;
    // Reading to the end keeps what was said last from being taken back.
    while io.read(&mut chunk).await? > 0 {}
    Ok(())
}

fn answer(shared: &Shared, head: &RequestHead, body: &[u8]) -> Said {
    if head.fields.get(b"origin").is_some() {
        return Said::text(403, "pages of a browser are not answered\n");
    }
    let path = head.path();
    let reads = matches!(head.method(), b"GET" | b"HEAD");
    match path {
        b"/shutdown" => {
            if head.method() != b"POST" {
                return Said::text(405, "POST ends the proxy\n");
            }
            shared.ask_shutdown();
            Said::text(200, "shutting down\n")
        }
        b"/proxy-log-level" => log_level(shared, head.method(), body),
        _ if !reads => Said::text(405, "only GET is answered here\n"),
        b"/live" => Said::text(200, "live\n"),
        b"/ready" => match shared.ready.load(Ordering::Acquire) {
            true => Said::text(200, "ready\n"),
            false => Said::text(503, "not ready\n"),
        },
        b"/metrics" => Said {
            status: 200,
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: metrics(shared),
        },
        b"/snapshot" => Said::json(&shared.snapshot()),
        b"/stat" => {
            let s = shared.snapshot();
            Said::json(&serde_json::json!({
                "totals": s.totals, "listeners": s.listeners, "connections": s.connection_count,
                "in_flight": s.in_flight, "max_in_flight": s.max_in_flight, "plans": s.plans, "faults": s.faults,
            }))
        }
        b"/routes" => Said::json(&shared.snapshot().routes),
        b"/endpoints" => Said::json(&shared.snapshot().endpoints),
        b"/connections" => Said::json(&shared.snapshot().connections),
        b"/errors" => Said::json(&shared.snapshot().errors),
        _ => Said::text(
            404,
            "there are /live /ready /metrics /proxy-log-level /shutdown /snapshot /stat /routes /endpoints /connections /errors\n",
        ),
    }
}

fn log_level(shared: &Shared, method: &[u8], body: &[u8]) -> Said {
    let Some(log) = shared.log.lock().clone() else {
        return Said::text(404, "what is logged is not decided by this process\n");
    };
    match method {
        b"GET" | b"HEAD" => Said::text(200, log.get() + "\n"),
        b"PUT" | b"POST" => {
            let filter = String::from_utf8_lossy(body);
            match log.set(filter.trim()) {
                Ok(()) => Said::text(200, log.get() + "\n"),
                Err(why) => Said::text(400, why + "\n"),
            }
        }
        _ => Said::text(405, "GET tells it, PUT changes it\n"),
    }
}

type Rows = Vec<(Vec<(&'static str, String)>, f64)>;

#[allow(clippy::cast_precision_loss, reason = "Prometheus counts in floating point")]
fn count(n: u64) -> f64 {
    n as f64
}

/// Everything that is counted, as text for Prometheus.
pub(crate) fn metrics(shared: &Shared) -> String {
    shared.conns.count_bytes();
    let mut page = Page::default();
    shared.metrics.write(&mut page);
    routes(shared, &mut page);
    endpoints(shared, &mut page);
    let errors = shared.errors.view();
    page.family(
        "proxy_errors_total",
        "counter",
        "Total count of requests that were not answered by an endpoint.",
        errors
            .iter()
            .map(|e| (vec![("error", e.cause.to_owned())], count(e.count))),
    );
    let (log, tracer) = {
        let tellers = shared.tellers.lock();
        (
            tellers.log.as_ref().map(|l| l.counts()),
            tellers.tracer.as_ref().map(|t| t.counts()),
        )
    };
    for (name, help, counts) in [
        (
            "access_log_lines_total",
            "Lines of the access log, and those that were dropped.",
            log,
        ),
        (
            "span_export_total",
            "Spans that a collector took, and those that were dropped.",
            tracer,
        ),
    ] {
        let rows: Rows = counts
            .into_iter()
            .flat_map(|(good, lost)| {
                [
                    (vec![("outcome", "written".to_owned())], count(good)),
                    (vec![("outcome", "dropped".to_owned())], count(lost)),
                ]
            })
            .collect();
        page.family(name, "counter", help, rows);
    }
    let flight = [(Vec::new(), count(shared.room.taken() as u64))];
    page.family("requests_in_flight", "gauge", "Requests in flight.", flight);
    let plans = [(Vec::new(), count(shared.plans.load(Ordering::Relaxed)))];
    page.family(
        "config_applied_total",
        "counter",
        "Configurations that were taken over.",
        plans,
    );
    page.finish()
}

/// A label beside a route's own, where there is one, and the value.
type Labelled = (Option<(&'static str, String)>, u64);

fn routes(shared: &Shared, page: &mut Page) {
    let now = shared.clock.mono();
    let views: Vec<_> = shared.route_stats().iter().map(|s| s.view(now)).collect();
    let rows = |get: &dyn Fn(&crate::RouteView) -> Vec<Labelled>| -> Rows {
        let mut rows = Rows::new();
        for view in &views {
            for (more, value) in get(view) {
                let mut labels = vec![
                    ("listener", view.listener.to_string()),
                    ("route_name", view.name.to_string()),
                ];
                labels.extend(more);
                rows.push((labels, count(value)));
            }
        }
        rows
    };
    let one = |n: u64| vec![(None, n)];
    let class = |word: &str, n: u64| (Some(("classification", word.to_owned())), n);
    page.family(
        "route_request_total",
        "counter",
        "Total count of requests of a route.",
        rows(&|v| one(v.requests)),
    );
    page.family(
        "route_response_total",
        "counter",
        "Total count of responses of a route.",
        rows(&|v| {
            vec![
                class("success", v.requests - v.failures.min(v.requests)),
                class("failure", v.failures),
            ]
        }),
    );
    page.family(
        "route_actual_request_total",
        "counter",
        "Total count of attempts of a route's requests.",
        rows(&|v| one(v.attempts)),
    );
    page.family(
        "route_retry_total",
        "counter",
        "Total count of attempts beyond the first.",
        rows(&|v| one(v.retries)),
    );
    page.family(
        "retry_skipped_total",
        "counter",
        "Total count of retries that were not made.",
        rows(&|v| {
            v.refused_retries
                .iter()
                .map(|(why, n)| (Some(("error", (*why).to_owned())), *n))
                .collect()
        }),
    );
    page.family(
        "route_timeout_total",
        "counter",
        "Total count of requests whose time was over.",
        rows(&|v| one(v.timeouts)),
    );
    let outcome = |word: &str, n: u64| (Some(("outcome", word.to_owned())), n);
    page.family(
        "route_mirror_total",
        "counter",
        "Total count of copies, and of those that were not sent.",
        rows(&|v| match v.copies + v.skipped_copies {
            0 => Vec::new(),
            _ => vec![outcome("sent", v.copies), outcome("skipped", v.skipped_copies)],
        }),
    );
}

fn endpoints(shared: &Shared, page: &mut Page) {
    let now = shared.clock.mono();
    let (mut states, mut pending, mut latency, mut trips, mut connections) =
        (Rows::new(), Rows::new(), Rows::new(), Rows::new(), Rows::new());
    let clusters = shared.clusters.load();
    let mut clusters: Vec<_> = clusters.values().collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    for cluster in clusters {
        for endpoint in cluster.members.iter().map(|m| &m.endpoint) {
            let labels = || {
                vec![
                    ("authority", cluster.name.to_string()),
                    ("target_addr", endpoint.name.to_string()),
                ]
            };
            let state = match endpoint.breaker.lock().state() {
                _ if endpoint.is_draining() => "draining",
                _ if !endpoint.is_healthy() => "unhealthy",
                BreakerState::Closed => "ready",
                BreakerState::Open { .. } => "open",
                BreakerState::Probing => "probing",
            };
            for word in ["ready", "open", "probing", "unhealthy", "draining"] {
                let mut labels = labels();
                labels.push(("endpoint_state", word.to_owned()));
                states.push((labels, if word == state { 1.0 } else { 0.0 }));
            }
            pending.push((labels(), f64::from(endpoint.load.pending())));
            latency.push((labels(), endpoint.load.latency(now).as_secs_f64() * 1e3));
            trips.push((labels(), count(endpoint.tally.trips.load(Ordering::Relaxed))));
            for (word, n) in [
                ("idle", endpoint.idle()),
                ("all", endpoint.conns.load(Ordering::Relaxed)),
            ] {
                let mut labels = labels();
                labels.push(("pool", word.to_owned()));
                connections.push((labels, count(n as u64)));
            }
        }
    }
    let gauge = "gauge";
    page.family(
        "balancer_endpoints",
        gauge,
        "Endpoints by what they are taken for.",
        states,
    );
    page.family(
        "endpoint_pending",
        gauge,
        "Requests that wait for the first of their answers.",
        pending,
    );
    page.family("endpoint_latency_ewma_ms", gauge, "The averaged latency.", latency);
    page.family(
        "endpoint_breaker_trips_total",
        "counter",
        "Times that a breaker opened.",
        trips,
    );
    page.family(
        "endpoint_connections",
        gauge,
        "Connections to an endpoint.",
        connections,
    );
}
