//! Counters with Linkerd's names and labels, and their text for Prometheus.
//!
//! A set of labels is looked up once, for a route or a connection, and gives a handle; a request counts through that with a
//! few additions and without a lock. Sets of labels are bounded: what is beyond the bound is counted under `other`, so that
//! clients that invent hosts cost nothing.

mod prometheus;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use qd_proxy_policy::{Class, GrpcCode};

pub use prometheus::Page;

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
    /// Bytes came from the peers.
    pub fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went to the peers.
    pub fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

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
            // Endpoints that nobody holds any more are gone for good.
            sets.retain(|l, counters| l.endpoint.is_empty() || Arc::strong_count(counters) > 1);
        }
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
            sets.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        if sets.len() >= self.max_sets {
            labels.name = OTHER.into();
        }
        Arc::clone(sets.entry(labels).or_default())
    }
}
