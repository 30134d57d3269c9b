//! The counters as text for Prometheus.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{
    Answers, BUCKETS_MS, Closed, ConnectionLabels, Connections, Metrics, OTHER, PeerSide, RequestLabels, Requests,
};

impl Metrics {
    /// Adds everything to a page, in a stable order.
    pub fn write(&self, page: &mut Page) {
        let mut requests: Vec<_> = self
            .requests
            .lock()
            .iter()
            .map(|(l, r)| (l.clone(), Arc::clone(r)))
            .collect();
        let mut connections: Vec<_> = self
            .connections
            .lock()
            .iter()
            .map(|(l, c)| (l.clone(), Arc::clone(c)))
            .collect();
        requests.sort_by(|a, b| a.0.cmp(&b.0));
        connections.sort_by(|a, b| a.0.cmp(&b.0));
        let requests: Vec<(String, Arc<Requests>)> =
            requests.into_iter().map(|(l, r)| (request_labels(&l), r)).collect();
        let connections: Vec<(String, Arc<Connections>)> = connections
            .into_iter()
            .map(|(l, c)| (connection_labels(&l), c))
            .collect();
        let mut out = std::mem::take(&mut page.0);
        head(&mut out, "request_total", "counter", "Total count of HTTP requests.");
        for (labels, r) in &requests {
            line(&mut out, "request_total", labels, r.total());
        }
        head(
            &mut out,
            "retry_total",
            "counter",
            "Total count of requests that were sent again.",
        );
        for (labels, r) in &requests {
            line(&mut out, "retry_total", labels, r.retries.load(Ordering::Relaxed));
        }
        head(&mut out, "response_total", "counter", "Total count of HTTP responses.");
        for (labels, r) in &requests {
            for answers in r.all() {
                let labels = format!(
                    "{labels},classification=\"{}\"{}",
                    answers.class.word(),
                    answer_labels(answers)
                );
                line(
                    &mut out,
                    "response_total",
                    &labels,
                    answers.count.load(Ordering::Relaxed),
                );
            }
        }
        let help = "Elapsed times between a request's headers being received and its response stream completing.";
        head(&mut out, "response_latency_ms", "histogram", help);
        for (labels, r) in &requests {
            latencies(&mut out, labels, r);
        }
        for (name, kind, help, get) in CONNECTION_METRICS {
            head(&mut out, name, kind, help);
            for (labels, c) in &connections {
                line(&mut out, name, labels, get(c));
            }
        }
        head(
            &mut out,
            "tcp_close_total",
            "counter",
            "Total count of closed connections.",
        );
        for (labels, c) in &connections {
            for (closed, count) in Closed::ALL.iter().zip(&c.closed) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 || *closed == Closed::Well {
                    line(
                        &mut out,
                        "tcp_close_total",
                        &format!("{labels},errno=\"{}\"", closed.errno()),
                        count,
                    );
                }
            }
        }
        page.0 = out;
    }

    /// Only these counters as a text.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        self.write(&mut page);
        page.finish()
    }
}

/// A text for Prometheus (format 0.0.4) that is being written.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Adds a metric with its rows: labels and a value each. Nothing is written for a metric without rows.
    pub fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Vec<(&'static str, String)>, f64)>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        head(&mut self.0, name, kind, help);
        for (labels, value) in rows {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            match labels.is_empty() {
                true => drop(writeln!(self.0, "{name} {value}")),
                false => line(&mut self.0, name, &labels.join(","), value),
            }
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

type ConnectionMetric = (&'static str, &'static str, &'static str, fn(&Connections) -> i128);

const CONNECTION_METRICS: [ConnectionMetric; 4] = [
    (
        "tcp_open_connections",
        "gauge",
        "Number of currently-open connections.",
        |c| c.count().into(),
    ),
    ("tcp_open_total", "counter", "Total count of opened connections.", |c| {
        c.opened.load(Ordering::Relaxed).into()
    }),
    (
        "tcp_read_bytes_total",
        "counter",
        "Total count of bytes read from peers.",
        |c| c.read.load(Ordering::Relaxed).into(),
    ),
    (
        "tcp_write_bytes_total",
        "counter",
        "Total count of bytes written to peers.",
        |c| c.written.load(Ordering::Relaxed).into(),
    ),
];

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

/// A label's value, escaped; at most 256 bytes of it.
fn escaped(value: &str) -> String {
    let mut end = value.len().min(256);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = String::with_capacity(end);
    for c in value.get(..end).unwrap_or_default().chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

fn request_labels(l: &RequestLabels) -> String {
    let mut out = format!(
        "direction=\"{}\",authority=\"{}\",tls=\"{}\"",
        l.direction.word(),
        escaped(&l.authority),
        l.tls.word()
    );
    if !l.route.is_empty() {
        let _ = write!(out, ",route_name=\"{}\"", escaped(&l.route));
    }
    if !l.endpoint.is_empty() {
        let _ = write!(out, ",target_addr=\"{}\"", escaped(&l.endpoint));
    }
    out
}

fn connection_labels(l: &ConnectionLabels) -> String {
    let name = match l.peer {
        PeerSide::Src => "listener",
        PeerSide::Dst => "target_addr",
    };
    format!(
        "direction=\"{}\",peer=\"{}\",tls=\"{}\",{name}=\"{}\"",
        l.direction.word(),
        l.peer.word(),
        l.tls.word(),
        escaped(&l.name)
    )
}

fn answer_labels(a: &Answers) -> String {
    let status = a.status.map_or_else(|| OTHER.to_owned(), |s| s.to_string());
    let grpc = a.grpc.map_or_else(String::new, |g| g.0.to_string());
    format!(",http_status=\"{status}\",grpc_status=\"{grpc}\"")
}

/// The histogram of one set, all statuses of one number together.
fn latencies(out: &mut String, labels: &str, requests: &Requests) {
    let mut by_status: HashMap<Option<u16>, (u64, [u64; BUCKETS_MS.len() + 1])> = HashMap::new();
    for answers in requests.all() {
        let (sum, buckets) = by_status
            .entry(answers.status)
            .or_insert((0, [0; BUCKETS_MS.len() + 1]));
        *sum = sum.saturating_add(answers.sum_micros.load(Ordering::Relaxed));
        for (all, bucket) in buckets.iter_mut().zip(&answers.buckets) {
            *all += bucket.load(Ordering::Relaxed);
        }
    }
    let mut statuses: Vec<_> = by_status.into_iter().collect();
    statuses.sort_unstable_by_key(|(status, _)| *status);
    for (status, (sum, buckets)) in statuses {
        let status = status.map_or_else(|| OTHER.to_owned(), |s| s.to_string());
        let labels = format!("{labels},http_status=\"{status}\"");
        let mut count = 0;
        let bounds = BUCKETS_MS.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (le, bucket) in bounds.zip(buckets) {
            count += bucket;
            line(
                out,
                "response_latency_ms_bucket",
                &format!("{labels},le=\"{le}\""),
                count,
            );
        }
        line(out, "response_latency_ms_sum", &labels, sum as f64 / 1_000.0);
        line(out, "response_latency_ms_count", &labels, count);
    }
}
