//! Counters with Linkerd's names and labels, and their text for Prometheus.
//!
//! A set of labels is looked up once, for a route or a connection, and gives a handle; a request counts through that with a
//! few additions and without a lock. Sets of labels are bounded: what is beyond the bound is counted under `other`, so that
//! clients that invent hosts cost nothing.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use qd_proxy_policy::{Cause, Class, GrpcCode};

/// Upper bounds of the buckets of latencies, in milliseconds.
pub const BUCKETS_MS: [u64; 25] = [
    1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000,
    30_000, 40_000, 50_000,
];
/// Sets of labels of requests, or of connections, at most.
pub const MAX_SETS: usize = 1_024;
/// Combinations of status, gRPC code and class that one set has at most.
const MAX_ANSWERS: usize = 64;
/// The word for what is beyond a bound.
const OTHER: &str = "other";

/// Which way a request goes, from the proxy's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From a client: what was asked for.
    Inbound,
    /// To an endpoint: each try.
    Outbound,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        }
    }
}

/// Which end of the proxy a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerSide {
    /// The client's.
    Src,
    /// The endpoint's.
    Dst,
}

impl PeerSide {
    fn word(self) -> &'static str {
        match self {
            PeerSide::Src => "src",
            PeerSide::Dst => "dst",
        }
    }
}

/// Whether there is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsState {
    /// There is.
    True,
    /// There is none.
    Disabled,
    /// It is passed through, closed.
    Opaque,
}

impl TlsState {
    fn word(self) -> &'static str {
        match self {
            TlsState::True => "true",
            TlsState::Disabled => "disabled",
            TlsState::Opaque => "opaque",
        }
    }
}

/// The labels of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestLabels {
    /// Which way.
    pub direction: Direction,
    /// The host that is asked for, with its port if it has one.
    pub authority: Arc<str>,
    /// Whether there is TLS.
    pub tls: TlsState,
    /// The route's name; empty for none.
    pub route: Arc<str>,
    /// The endpoint's address; empty for requests of clients.
    pub endpoint: Arc<str>,
}

/// The labels of connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionLabels {
    /// Which way.
    pub direction: Direction,
    /// Which end.
    pub peer: PeerSide,
    /// Whether there is TLS.
    pub tls: TlsState,
    /// The listener's name, or the endpoint's address.
    pub name: Arc<str>,
}

/// Status, gRPC code and class in one number; 0 is none.
fn answer_key(status: u16, grpc: Option<GrpcCode>, class: Class) -> u32 {
    let grpc = grpc.map_or(0, |code| u32::from(code.0.min(1_022)) + 1);
    1 << 31 | u32::from(status.min(1_023)) << 12 | grpc << 1 | u32::from(class == Class::Success)
}

#[derive(Debug)]
struct Answers {
    status: Option<u16>,
    grpc: Option<GrpcCode>,
    class: Class,
    count: AtomicU64,
    sum_micros: AtomicU64,
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
}

impl Answers {
    fn new(status: Option<u16>, grpc: Option<GrpcCode>, class: Class) -> Answers {
        Answers {
            status,
            grpc,
            class,
            count: AtomicU64::new(0),
            sum_micros: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS_MS.len() + 1],
        }
    }

    fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MS.partition_point(|le| le.saturating_mul(1_000) < micros);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters of one set of labels. Shared.
#[derive(Debug)]
pub struct Requests {
    total: AtomicU64,
    retries: AtomicU64,
    /// A table that only grows: a place is taken once and for all, so looking needs no lock.
    answers: [OnceLock<(u32, Box<Answers>)>; MAX_ANSWERS],
    /// Those that found no place.
    beyond: [OnceLock<Box<Answers>>; 2],
}

impl Requests {
    fn new() -> Requests {
        Requests {
            total: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            answers: [const { OnceLock::new() }; MAX_ANSWERS],
            beyond: [const { OnceLock::new() }; 2],
        }
    }

    /// A request came.
    pub fn begin(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// It was sent again.
    pub fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Its response is over, body and trailers included; `latency` is from its head to there.
    pub fn end(&self, status: u16, grpc: Option<GrpcCode>, class: Class, latency: Duration) {
        self.answers_of(status, grpc, class).record(latency);
    }

    fn answers_of(&self, status: u16, grpc: Option<GrpcCode>, class: Class) -> &Answers {
        let key = answer_key(status, grpc, class);
        let start = (key.wrapping_mul(0x9e37_79b1) >> 26) as usize;
        for slot in (0..MAX_ANSWERS).filter_map(|step| self.answers.get((start + step) % MAX_ANSWERS)) {
            let (taken, answers) = slot.get_or_init(|| (key, Box::new(Answers::new(Some(status), grpc, class))));
            if *taken == key {
                return answers;
            }
        }
        let [failed, good] = &self.beyond;
        let slot = if class == Class::Success { good } else { failed };
        slot.get_or_init(|| Box::new(Answers::new(None, None, class)))
    }

    /// Requests that came.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn all(&self) -> impl Iterator<Item = &Answers> {
        let kept = self
            .answers
            .iter()
            .filter_map(OnceLock::get)
            .map(|(_, answers)| &**answers);
        kept.chain(self.beyond.iter().filter_map(OnceLock::get).map(|answers| &**answers))
    }

    /// Successes and failures so far.
    pub fn classes(&self) -> (u64, u64) {
        self.all().fold((0, 0), |(good, bad), a| {
            let count = a.count.load(Ordering::Relaxed);
            match a.class {
                Class::Success => (good + count, bad),
                Class::Failure => (good, bad + count),
            }
        })
    }
}

/// The counters of connections with one set of labels. Shared.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicI64,
    opened: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    /// By how it ended: well, reset, timed out, other.
    closed: [AtomicU64; 4],
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Both ends were done.
    Well,
    /// The peer broke it off.
    Reset,
    /// It timed out.
    TimedOut,
    /// Something else went wrong.
    Failed,
}

impl Closed {
    const ALL: [Closed; 4] = [Closed::Well, Closed::Reset, Closed::TimedOut, Closed::Failed];

    /// The label `errno`.
    fn errno(self) -> &'static str {
        match self {
            Closed::Well => "",
            Closed::Reset => "ECONNRESET",
            Closed::TimedOut => "ETIMEDOUT",
            Closed::Failed => "EIO",
        }
    }
}

impl Connections {
    /// Counts a connection as open until what is given is dropped.
    pub fn open(self: &Arc<Connections>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        Open {
            connections: Arc::clone(self),
            closed: Closed::Well,
        }
    }

    /// Those that are open.
    pub fn count(&self) -> i64 {
        self.open.load(Ordering::Relaxed)
    }
}

/// A connection that is open.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct Open {
    connections: Arc<Connections>,
    closed: Closed,
}

impl Open {
    /// Bytes came.
    pub fn read(&self, bytes: u64) {
        self.connections.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went.
    pub fn wrote(&self, bytes: u64) {
        self.connections.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It ends, and how.
    pub fn close(mut self, closed: Closed) {
        self.closed = closed;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(count) = self.connections.closed.get(self.closed as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Everything that a proxy counts.
#[derive(Debug)]
pub struct Metrics {
    requests: Mutex<HashMap<RequestLabels, Arc<Requests>>>,
    connections: Mutex<HashMap<ConnectionLabels, Arc<Connections>>>,
    causes: [AtomicU64; Cause::ALL.len()],
    max_sets: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new(MAX_SETS)
    }
}

impl Metrics {
    /// Counters with room for so many sets of labels of each kind.
    pub fn new(max_sets: usize) -> Metrics {
        Metrics {
            requests: Mutex::default(),
            connections: Mutex::default(),
            causes: [const { AtomicU64::new(0) }; Cause::ALL.len()],
            max_sets: max_sets.max(1),
        }
    }

    /// The counters of a set of labels. Beyond the bound, those of the same with the authority and the endpoint `other`.
    pub fn requests(&self, labels: &RequestLabels) -> Arc<Requests> {
        let mut sets = self.requests.lock();
        if let Some(known) = sets.get(labels) {
            return Arc::clone(known);
        }
        let mut labels = labels.clone();
        if sets.len() >= self.max_sets {
            labels.authority = OTHER.into();
            if !labels.endpoint.is_empty() {
                labels.endpoint = OTHER.into();
            }
            // Routes are the configuration's and few; but they are bounded too.
            if sets.len() >= self.max_sets * 2 {
                labels.route = OTHER.into();
            }
        }
        Arc::clone(sets.entry(labels).or_insert_with(|| Arc::new(Requests::new())))
    }

    /// The counters of connections with a set of labels. Beyond the bound, those of the same with the name `other`.
    pub fn connections(&self, labels: &ConnectionLabels) -> Arc<Connections> {
        let mut sets = self.connections.lock();
        if let Some(known) = sets.get(labels) {
            return Arc::clone(known);
        }
        let mut labels = labels.clone();
        if sets.len() >= self.max_sets {
            labels.name = OTHER.into();
        }
        Arc::clone(sets.entry(labels).or_default())
    }

    /// The proxy answered by itself.
    pub fn cause(&self, cause: Cause) {
        let at = Cause::ALL.iter().position(|c| *c == cause);
        if let Some(count) = at.and_then(|at| self.causes.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything as text for Prometheus (format 0.0.4), in a stable order.
    pub fn render(&self) -> String {
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
        let mut out = String::with_capacity(4_096);
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
        head(
            &mut out,
            "proxy_errors_total",
            "counter",
            "Total count of responses of the proxy itself.",
        );
        for (cause, count) in Cause::ALL.iter().zip(&self.causes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                line(
                    &mut out,
                    "proxy_errors_total",
                    &format!("error=\"{}\"", cause.word()),
                    count,
                );
            }
        }
        out
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(authority: &str) -> RequestLabels {
        RequestLabels {
            direction: Direction::Inbound,
            authority: authority.into(),
            tls: TlsState::True,
            route: "shop".into(),
            endpoint: "".into(),
        }
    }

    fn value(text: &str, start: &str) -> Option<f64> {
        let line = text.lines().find(|l| l.starts_with(start))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    #[test]
    fn requests_are_counted_with_linkerds_names() {
        let metrics = Metrics::default();
        let r = metrics.requests(&labels("web:80"));
        for (status, micros) in [(200, 900), (200, 1_000), (200, 1_001), (503, 12_000_000)] {
            r.begin();
            r.end(
                status,
                None,
                qd_proxy_policy::class::of_http(status),
                Duration::from_micros(micros),
            );
        }
        r.begin();
        r.end(
            200,
            Some(GrpcCode::UNAVAILABLE),
            Class::Failure,
            Duration::from_secs(100),
        );
        let text = metrics.render();
        let own = r#"direction="inbound",authority="web:80",tls="true",route_name="shop""#;
        let is = |start: String, expected: f64| assert_eq!(value(&text, &start), Some(expected), "{start}\n{text}");
        is(format!("request_total{{{own}}}"), 5.0);
        let total = |rest: &str| format!("response_total{{{own},classification={rest}}}");
        is(total(r#""success",http_status="200",grpc_status="""#), 3.0);
        is(total(r#""failure",http_status="503",grpc_status="""#), 1.0);
        is(total(r#""failure",http_status="200",grpc_status="14""#), 1.0);
        let bucket =
            |status: u16, le: &str| format!("response_latency_ms_bucket{{{own},http_status=\"{status}\",le=\"{le}\"}}");
        // A bound is included.
        is(bucket(200, "1"), 2.0);
        is(bucket(200, "2"), 3.0);
        is(bucket(200, "50000"), 3.0);
        is(bucket(200, "+Inf"), 4.0);
        is(bucket(503, "10000"), 0.0);
        is(bucket(503, "20000"), 1.0);
        is(
            format!("response_latency_ms_sum{{{own},http_status=\"503\"}}"),
            12_000.0,
        );
        is(format!("response_latency_ms_count{{{own},http_status=\"200\"}}"), 4.0);
        assert_eq!(r.classes(), (3, 2));
    }

    #[test]
    fn connections_are_counted_until_they_are_dropped() {
        let metrics = Metrics::default();
        let own = ConnectionLabels {
            direction: Direction::Outbound,
            peer: PeerSide::Dst,
            tls: TlsState::Disabled,
            name: "10.0.0.1:80".into(),
        };
        let c = metrics.connections(&own);
        let a = c.open();
        let b = metrics.connections(&own).open();
        a.read(10);
        b.wrote(7);
        b.close(Closed::Reset);
        let text = metrics.render();
        let own = r#"direction="outbound",peer="dst",tls="disabled",target_addr="10.0.0.1:80""#;
        for (name, expected) in [
            ("tcp_open_connections", 1.0),
            ("tcp_open_total", 2.0),
            ("tcp_read_bytes_total", 10.0),
            ("tcp_write_bytes_total", 7.0),
        ] {
            assert_eq!(value(&text, &format!("{name}{{{own}}}")), Some(expected), "{text}");
        }
        assert_eq!(
            value(&text, &format!("tcp_close_total{{{own},errno=\"ECONNRESET\"}}")),
            Some(1.0)
        );
        drop(a);
        assert_eq!(c.count(), 0);
    }

    #[test]
    fn invented_hosts_and_statuses_are_bounded() {
        let metrics = Metrics::new(10);
        for i in 0..1_000 {
            metrics.requests(&labels(&format!("host-{i}"))).begin();
        }
        let text = metrics.render();
        assert_eq!(text.lines().filter(|l| l.starts_with("request_total{")).count(), 11);
        assert_eq!(
            value(&text, r#"request_total{direction="inbound",authority="other""#),
            Some(990.0)
        );
        let r = metrics.requests(&labels("host-0"));
        for status in 100..999 {
            r.end(status, None, Class::Success, Duration::ZERO);
        }
        let text = metrics.render();
        let lines = text.lines().filter(|l| l.starts_with("response_total{"));
        assert_eq!(lines.clone().count(), MAX_ANSWERS + 1);
        assert_eq!(r.classes(), (899, 0), "nothing is lost");
    }

    #[test]
    fn values_are_escaped() {
        let metrics = Metrics::default();
        metrics.requests(&labels("a\"b\\c\nd")).begin();
        metrics.cause(Cause::NoRoute);
        let text = metrics.render();
        assert!(text.contains(r#"authority="a\"b\\c\nd""#), "{text}");
        assert!(text.contains("proxy_errors_total{error=\"no-route\"} 1"));
        assert!(text.lines().all(|l| l.starts_with('#') || l.contains("} ")));
    }

    #[test]
    fn threads_lose_nothing() {
        let metrics = Metrics::default();
        std::thread::scope(|scope| {
            for thread in 0..4u16 {
                let metrics = &metrics;
                scope.spawn(move || {
                    let r = metrics.requests(&labels("x"));
                    for i in 0..5_000u16 {
                        r.begin();
                        r.end(
                            200 + (i + thread) % 50,
                            None,
                            Class::Success,
                            Duration::from_micros(i.into()),
                        );
                    }
                });
            }
        });
        let r = metrics.requests(&labels("x"));
        assert_eq!((r.total(), r.classes()), (20_000, (20_000, 0)));
    }
}
