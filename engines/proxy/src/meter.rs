//! Numbers of what passed, added up without locks.
//!
//! Each worker counts in a row of its own and readers add the rows up, so that counting costs a few uncontended additions.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;

/// Upper bounds of the buckets of latencies, in microseconds, five to a decade.
pub const BUCKETS: [u64; 26] = [
    100, 158, 251, 398, 631, 1_000, 1_580, 2_510, 3_980, 6_310, 10_000, 15_800, 25_100, 39_800, 63_100, 100_000,
    158_000, 251_000, 398_000, 631_000, 1_000_000, 2_510_000, 6_310_000, 10_000_000, 30_000_000, 60_000_000,
];

#[derive(Debug, Default)]
struct Row {
    requests: AtomicU64,
    classes: [AtomicU64; 6],
    faults: AtomicU64,
    retries: AtomicU64,
    reused: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    latency: [AtomicU64; BUCKETS.len() + 1],
    tunnels: AtomicU64,
    detect_timeouts: AtomicU64,
}

/// One request, when it is over.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) status: u16,
    pub(crate) faulty: bool,
    pub(crate) attempts: u32,
    pub(crate) reused: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) took: Duration,
}

/// The numbers of one proxy.
#[derive(Debug)]
pub(crate) struct Meter {
    rows: Box<[Row]>,
}

/// What they add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests that are over.
    pub requests: u64,
    /// By the first digit of the status; 0 for those without one.
    pub classes: [u64; 6],
    /// Requests that were not answered by their upstream.
    pub faults: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests over a connection that was kept.
    pub reused: u64,
    /// Bytes of bodies that came.
    pub request_bytes: u64,
    /// Bytes of bodies that went back.
    pub response_bytes: u64,
    /// How many took at most as long as [`BUCKETS`] say, and in the end the others.
    pub latency: Vec<u64>,
    /// Tunnels that are over.
    pub tunnels: u64,
    /// Connections whose protocol was not found out in time.
    pub detect_timeouts: u64,
}

impl Totals {
    /// The latency that a share of the requests did not pass, in microseconds; the bucket's upper bound.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let all: u64 = self.latency.iter().sum();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let mut left = (all as f64 * share).ceil() as u64;
        if all == 0 {
            return None;
        }
        for (count, bound) in self.latency.iter().zip(BUCKETS.iter().chain([&u64::MAX])) {
            match left.checked_sub(*count) {
                Some(rest) if rest > 0 => left = rest,
                _ => return Some(*bound),
            }
        }
        None
    }
}

impl Meter {
    pub(crate) fn new(workers: usize) -> Meter {
        Meter {
            rows: (0..workers.max(1)).map(|_| Row::default()).collect(),
        }
    }

    pub(crate) fn request(&self, worker: usize, m: &Measured) {
        let Some(row) = self.rows.get(worker) else {
            return;
        };
        let add = |counter: &AtomicU64, n: u64| {
            if n > 0 {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        };
        add(&row.requests, 1);
        if let Some(class) = row.classes.get(usize::from(m.status / 100)) {
            add(class, 1);
        }
        add(&row.faults, u64::from(m.faulty));
        add(&row.retries, u64::from(m.attempts.saturating_sub(1)));
        add(&row.reused, u64::from(m.reused));
        add(&row.request_bytes, m.request_bytes);
        add(&row.response_bytes, m.response_bytes);
        let micros = u64::try_from(m.took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|b| *b < micros);
        if let Some(counter) = row.latency.get(bucket) {
            add(counter, 1);
        }
    }

    pub(crate) fn tunnel(&self, worker: usize) {
        if let Some(row) = self.rows.get(worker) {
            row.tunnels.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn detect_timeout(&self, worker: usize) {
        if let Some(row) = self.rows.get(worker) {
            row.detect_timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut t = Totals {
            latency: vec![0; BUCKETS.len() + 1],
            ..Totals::default()
        };
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        for row in &self.rows {
            t.requests += get(&row.requests);
            t.classes.iter_mut().zip(&row.classes).for_each(|(a, b)| *a += get(b));
            t.faults += get(&row.faults);
            t.retries += get(&row.retries);
            t.reused += get(&row.reused);
            t.request_bytes += get(&row.request_bytes);
            t.response_bytes += get(&row.response_bytes);
            t.latency.iter_mut().zip(&row.latency).for_each(|(a, b)| *a += get(b));
            t.tunnels += get(&row.tunnels);
            t.detect_timeouts += get(&row.detect_timeouts);
        }
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up() {
        let meter = Meter::new(2);
        for (worker, micros, status) in [(0, 90, 200), (1, 100, 204), (1, 50_000, 503), (0, 100_000_000, 0)] {
            meter.request(
                worker,
                &Measured {
                    status,
                    took: Duration::from_micros(micros),
                    attempts: 2,
                    ..Measured::default()
                },
            );
        }
        let t = meter.totals();
        assert_eq!((t.requests, t.retries, t.classes), (4, 4, [1, 0, 2, 0, 0, 1]));
        assert_eq!(t.quantile(0.5), Some(100));
        assert_eq!(t.quantile(0.75), Some(63_100));
        assert_eq!(t.quantile(1.0), Some(u64::MAX));
        assert_eq!(Totals::default().quantile(0.5), None);
    }
}
