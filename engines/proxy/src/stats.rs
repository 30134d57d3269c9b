//! What is counted of routes, endpoints and errors, for panes and for Prometheus.
//!
//! A request adds to handles that its route and its endpoint hold; nothing is looked up by name unless the client asks for
//! another host than the one before. Errors are rare and take a lock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use qd_core::{Mono, Timestamp};
use qd_proxy_policy::{Class, GrpcCode, RetryRefusal, class};
use qd_proxy_telemetry::{
    Direction, Metrics, Requests, TlsState, Windows,
    metrics::RequestLabels,
    window::{Recent, WINDOWS},
};
use serde::Serialize;

use crate::fault::Fault;

/// How a request or an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) status: u16,
    pub(crate) grpc: Option<u16>,
    pub(crate) faulty: bool,
    pub(crate) took: Duration,
}

impl Ended {
    /// Success or failure. A client that went away, or asked for what it may not, is no failure of the service.
    pub(crate) fn class(&self) -> Class {
        match (self.grpc, self.faulty) {
            (Some(code), _) => GrpcCode(code).class(),
            (None, true) if self.status == 0 => Class::Failure,
            (None, _) => class::of_http(self.status),
        }
    }

    /// Counts it under a set of labels.
    pub(crate) fn tell(&self, to: &Requests) {
        to.end(self.status, self.grpc.map(GrpcCode), self.class(), self.took);
    }
}

/// The counters of the host that was asked for last.
#[derive(Debug)]
struct Counted {
    host: Box<[u8]>,
    tls: TlsState,
    requests: Arc<Requests>,
}

/// What is counted of a route.
#[derive(Debug)]
pub(crate) struct RouteStats {
    pub(crate) listener: Arc<str>,
    pub(crate) name: Arc<str>,
    /// What clients got.
    effective: Windows,
    /// Attempts that were made again.
    again: Windows,
    /// Requests that never were sent to an endpoint.
    unsent: Windows,
    requests: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    /// Requests that never were sent, since the start.
    unsent_total: AtomicU64,
    timeouts: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) copied: AtomicU64,
    pub(crate) not_copied: AtomicU64,
    last: ArcSwapOption<Counted>,
}

/// A route as it is shown: rates and latencies of the last minute, sums since the start.
#[derive(Debug, Clone, Serialize)]
pub struct RouteView {
    /// The listener.
    pub listener: Arc<str>,
    /// Its name; `-` stands for requests that took no route.
    pub name: Arc<str>,
    /// What clients got.
    pub effective: Figures,
    /// What endpoints gave, each attempt counted.
    pub actual: Figures,
    /// Requests since the start.
    pub requests: u64,
    /// Failures among them.
    pub failures: u64,
    /// Attempts: requests that were sent to an endpoint, and those sent again.
    pub attempts: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Retries that were not made, by what spoke against them.
    pub refused_retries: BTreeMap<&'static str, u64>,
    /// Requests whose time was over.
    pub timeouts: u64,
    /// Copies that were sent.
    pub copies: u64,
    /// Copies that were not: their body was too long, or too many were on their way.
    pub skipped_copies: u64,
}

/// Rates and latencies of the last minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests in a second.
    pub rps: f64,
    /// The share of successes, 0 to 1; `None` when there was nothing.
    pub success: Option<f64>,
    /// The latency that half of them did not pass, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same for 95 of a hundred.
    pub p95_ms: Option<f64>,
    /// The same for 99 of a hundred.
    pub p99_ms: Option<f64>,
}

impl From<&Recent> for Figures {
    fn from(recent: &Recent) -> Figures {
        let ms = |share| recent.latencies.quantile(share).map(|l| l.as_secs_f64() * 1e3);
        Figures {
            rps: recent.rate(),
            success: recent.success(),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
        }
    }
}

impl RouteStats {
    pub(crate) fn new(listener: Arc<str>, name: Arc<str>, now: Mono) -> RouteStats {
        let stats = RouteStats {
            listener,
            name,
            effective: Windows::new(),
            again: Windows::new(),
            unsent: Windows::new(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            unsent_total: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            refusals: Mutex::default(),
            copied: AtomicU64::new(0),
            not_copied: AtomicU64::new(0),
            last: ArcSwapOption::empty(),
        };
        stats.tick(now);
        stats
    }

    /// The counters of requests for a host.
    pub(crate) fn counted(&self, metrics: &Metrics, host: &[u8], tls: bool) -> Arc<Requests> {
        let tls = match tls {
            true => TlsState::True,
            false => TlsState::Disabled,
        };
        if let Some(last) = &*self.last.load()
            && last.tls == tls
            && *last.host == *host
        {
            return Arc::clone(&last.requests);
        }
        let requests = metrics.requests(&RequestLabels {
            direction: Direction::Inbound,
            authority: Arc::from(String::from_utf8_lossy(host).to_ascii_lowercase()),
            tls,
            route: Arc::clone(&self.name),
            endpoint: Arc::from(""),
        });
        self.last.store(Some(Arc::new(Counted {
            host: Box::from(host),
            tls,
            requests: Arc::clone(&requests),
        })));
        requests
    }

    /// A request is over; `attempts` were made.
    pub(crate) fn over(&self, ended: &Ended, attempts: u32) {
        let class = ended.class();
        self.requests.fetch_add(1, Ordering::Relaxed);
        if class == Class::Failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.effective.record(ended.took, class);
        if attempts == 0 {
            self.unsent.record(ended.took, class);
            self.unsent_total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its time was over.
    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt was not the last.
    pub(crate) fn again(&self, ended: &Ended) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.again.record(ended.took, ended.class());
    }

    /// Another attempt was not made although the route has retries.
    pub(crate) fn not_again(&self, why: RetryRefusal) {
        // That an answer is good is no refusal.
        if why != RetryRefusal::Final {
            *self.refusals.lock().entry(why.word()).or_default() += 1;
        }
    }

    /// Lets windows take turns.
    pub(crate) fn tick(&self, now: Mono) {
        self.effective.tick(now);
        self.again.tick(now);
        self.unsent.tick(now);
    }

    /// Whether anything came.
    pub(crate) fn is_used(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn view(&self, now: Mono) -> RouteView {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let effective = self.effective.recent(WINDOWS, now);
        let (again, unsent) = (self.again.recent(WINDOWS, now), self.unsent.recent(WINDOWS, now));
        let mut actual = effective.clone();
        actual.latencies.merge(&again.latencies);
        actual.latencies.remove(&unsent.latencies);
        actual.all = (effective.all + again.all).saturating_sub(unsent.all);
        actual.good = (effective.good + again.good).saturating_sub(unsent.good);
        RouteView {
            listener: Arc::clone(&self.listener),
            name: Arc::clone(&self.name),
            effective: Figures::from(&effective),
            actual: Figures::from(&actual),
            requests: get(&self.requests),
            failures: get(&self.failures),
            attempts: (get(&self.requests) + get(&self.retries)).saturating_sub(get(&self.unsent_total)),
            retries: get(&self.retries),
            refused_retries: self.refusals.lock().clone(),
            timeouts: get(&self.timeouts),
            copies: get(&self.copied),
            skipped_copies: get(&self.not_copied),
        }
    }
}

/// What is counted of an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointStats {
    windows: Windows,
    counted: Arc<Requests>,
}

impl EndpointStats {
    pub(crate) fn new(
        metrics: &Metrics,
        cluster: &Arc<str>,
        address: &Arc<str>,
        tls: bool,
        now: Mono,
    ) -> EndpointStats {
        let stats = EndpointStats {
            windows: Windows::new(),
            counted: metrics.requests(&RequestLabels {
                direction: Direction::Outbound,
                authority: Arc::clone(cluster),
                tls: match tls {
                    true => TlsState::True,
                    false => TlsState::Disabled,
                },
                route: Arc::from(""),
                endpoint: Arc::clone(address),
            }),
        };
        stats.tick(now);
        stats
    }

    pub(crate) fn begin(&self) {
        self.counted.begin();
    }

    /// An attempt is over.
    pub(crate) fn over(&self, ended: &Ended) {
        ended.tell(&self.counted);
        self.windows.record(ended.took, ended.class());
    }

    pub(crate) fn tick(&self, now: Mono) {
        self.windows.tick(now);
    }

    pub(crate) fn figures(&self, now: Mono) -> Figures {
        Figures::from(&self.windows.recent(WINDOWS, now))
    }
}

/// An error as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorView {
    /// The word of the cause, as in the header `l5d-proxy-error`.
    pub cause: &'static str,
    /// How often.
    pub count: u64,
    /// When it happened last, in milliseconds since 1970.
    pub last_ms: i64,
    /// What was said then.
    pub message: String,
    /// On which route.
    pub route: Option<Arc<str>>,
    /// At which endpoint.
    pub endpoint: Option<Arc<str>>,
}

/// Errors by their cause: as many kinds as there are words for them.
#[derive(Debug, Default)]
pub(crate) struct Errors(Mutex<BTreeMap<&'static str, ErrorView>>);

/// Messages are made anew only so often, in milliseconds: under a storm of errors they are all the same.
const FRESH: i64 = 100;

impl Errors {
    pub(crate) fn add(&self, fault: &Fault, at: Timestamp, route: Option<&Arc<str>>, endpoint: Option<&Arc<str>>) {
        let now = at.0 / 1_000_000;
        let mut all = self.0.lock();
        let view = all.entry(fault.word()).or_insert_with(|| ErrorView {
            cause: fault.word(),
            count: 0,
            last_ms: i64::MIN,
            message: String::new(),
            route: None,
            endpoint: None,
        });
        view.count += 1;
        if now.saturating_sub(view.last_ms) >= FRESH {
            view.message = fault.to_string();
            view.route = route.cloned();
            view.endpoint = endpoint.cloned();
            view.last_ms = now;
        }
    }

    /// All, the last one first.
    pub(crate) fn view(&self) -> Vec<ErrorView> {
        let mut all: Vec<ErrorView> = self.0.lock().values().cloned().collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.last_ms));
        all
    }
}
