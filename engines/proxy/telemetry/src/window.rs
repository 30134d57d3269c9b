//! Latencies of the last while: histograms of a few seconds each that are used in turn.
//!
//! Recording needs no clock: it goes to the window that is in use. Somebody calls [`Windows::tick`] now and then, which
//! takes the next window when its time has come. That one was emptied a whole turn before, so nobody can still be writing
//! to a window that is emptied, unless it was held up for that long.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qd_core::Mono;

use crate::histogram::{Histogram, Latencies};

/// Windows that are read at most.
pub const WINDOWS: usize = 6;
/// How long one is in use.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Those, and one that is empty for the next turn.
const SLOTS: usize = WINDOWS + 1;

/// Latencies of the last minute, and how many. Shared.
#[derive(Debug, Default)]
pub struct Windows {
    /// The number of the window in use: the time divided by its length.
    current: AtomicU64,
    slots: [Slot; SLOTS],
}

#[derive(Debug, Default)]
struct Slot {
    /// Made when something is recorded: most routes of most proxies are quiet.
    histogram: OnceLock<Box<Histogram>>,
    good: AtomicU64,
    all: AtomicU64,
}

/// What the last while was like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recent {
    /// The latencies.
    pub latencies: Latencies,
    /// Successes.
    pub good: u64,
    /// All.
    pub all: u64,
    /// The time that this is about.
    pub span: Duration,
}

impl Recent {
    /// Requests in a second.
    pub fn rate(&self) -> f64 {
        self.all as f64 / self.span.as_secs_f64().max(1e-3)
    }

    /// The share of successes; `None` when there was nothing.
    pub fn success(&self) -> Option<f64> {
        (self.all > 0).then(|| self.good as f64 / self.all as f64)
    }
}

impl Windows {
    /// Windows without anything in them.
    pub fn new() -> Windows {
        Windows::default()
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        self.slots.get((number % SLOTS as u64) as usize)
    }

    /// Counts one request.
    pub fn record(&self, latency: Duration, class: qd_proxy_policy::Class) {
        let Some(slot) = self.slot(self.current.load(Ordering::Relaxed)) else {
            return;
        };
        slot.histogram.get_or_init(Box::default).record(latency);
        if class == qd_proxy_policy::Class::Success {
            slot.good.fetch_add(1, Ordering::Relaxed);
        }
        slot.all.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the next window if its time has come. Called by one owner, at least once in a [`WINDOW`].
    pub fn tick(&self, now: Mono) {
        let due = now.0 / WINDOW.as_nanos() as u64;
        let current = self.current.load(Ordering::Relaxed);
        if due <= current {
            return;
        }
        // The window after the due one is emptied for its turn, and so are those that were never in use.
        let from = (current + 1).max(due.saturating_sub(SLOTS as u64 - 2));
        for slot in (from..=due + 1).filter_map(|number| self.slot(number)) {
            if let Some(histogram) = slot.histogram.get() {
                histogram.clear();
            }
            slot.good.store(0, Ordering::Relaxed);
            slot.all.store(0, Ordering::Relaxed);
        }
        self.current.store(due, Ordering::Relaxed);
    }

    /// The last `windows` windows, the one in use among them; at most [`WINDOWS`].
    pub fn recent(&self, windows: usize, now: Mono) -> Recent {
        let windows = windows.clamp(1, WINDOWS) as u64;
        let current = self.current.load(Ordering::Relaxed);
        let mut recent = Recent::default();
        let first = (current + 1).saturating_sub(windows);
        for slot in (first..=current).filter_map(|number| self.slot(number)) {
            if let Some(histogram) = slot.histogram.get() {
                histogram.add_to(&mut recent.latencies);
            }
            recent.good += slot.good.load(Ordering::Relaxed);
            recent.all += slot.all.load(Ordering::Relaxed);
        }
        recent.span = now.since(Mono(first * WINDOW.as_nanos() as u64));
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qd_proxy_policy::Class;

    fn secs(at: u64) -> Mono {
        Mono(at * 1_000_000_000)
    }

    fn one(windows: &Windows, at: u64, micros: u64) {
        windows.tick(secs(at));
        windows.record(Duration::from_micros(micros), Class::Success);
    }

    #[test]
    fn the_last_minute_is_kept_and_no_more() {
        let windows = Windows::new();
        for at in 0..200 {
            one(&windows, at, at + 1);
            let recent = windows.recent(WINDOWS, secs(at));
            // The window in use and the five before it.
            let kept = at.min(at % 10 + 50) + 1;
            assert_eq!((recent.all, recent.latencies.len()), (kept, kept), "{at}");
        }
        assert_eq!(windows.recent(1, secs(199)).all, 10);
        assert_eq!(windows.recent(1, secs(195)).span, Duration::from_secs(5));
    }

    #[test]
    fn a_long_rest_forgets_everything() {
        let windows = Windows::new();
        for rest in [60, 65, 71, 140, 1_000_000] {
            (0..7).for_each(|at| one(&windows, at * 10, 5));
            windows.record(Duration::from_millis(1), Class::Failure);
            let base = 61;
            windows.tick(secs(base + rest));
            assert_eq!(windows.recent(WINDOWS, secs(base + rest)).all, 0, "{rest}");
            one(&windows, base + rest, 7);
            assert_eq!(windows.recent(WINDOWS, secs(base + rest)).all, 1);
            windows.current.store(0, Ordering::Relaxed);
            windows.slots.iter().for_each(|slot| {
                slot.all.store(0, Ordering::Relaxed);
            });
        }
    }

    #[test]
    fn shares_and_rates() {
        let windows = Windows::new();
        windows.record(Duration::from_millis(1), Class::Failure);
        (0..3).for_each(|_| windows.record(Duration::from_millis(1), Class::Success));
        let recent = windows.recent(6, secs(2));
        assert_eq!((recent.success(), recent.rate()), (Some(0.75), 2.0));
        assert_eq!(Recent::default().success(), None);
    }
}
