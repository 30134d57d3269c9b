//! What an endpoint costs right now: its averaged latency times what waits there.
//!
//! Requests count as pending from their dispatch to the first data of the response, an error, or being given up. One that
//! is given up still gives a sample: an endpoint that lets everybody wait until they leave must not look fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qd_core::{Clock, Mono};

use crate::ewma::{EwmaConfig, PeakEwma};

/// What an estimate is taken to be at least, in nanoseconds: among endpoints whose estimates have decayed, pending
/// requests still make a difference.
const FLOOR: f64 = 1_000.0;
/// The least that a refusal with a wait (429, 503) counts for.
const PENALTY: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The latency that an answer of 429 or 503 counts for: what it asks to wait, from 5 s to 300 s.
pub fn penalty(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(MAX_RETRY_AFTER).max(PENALTY)
}

/// The load of one endpoint. Shared: every request of every worker touches it.
#[derive(Debug)]
pub struct Load {
    pending: AtomicU32,
    latency: Mutex<PeakEwma>,
}

impl Load {
    /// The load of an endpoint that nothing is known of.
    pub fn new(config: EwmaConfig, now: Mono) -> Load {
        Load {
            pending: AtomicU32::new(0),
            latency: Mutex::new(PeakEwma::new(config, now)),
        }
    }

    /// Requests that wait for their first data.
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// The averaged latency by now.
    pub fn latency(&self, now: Mono) -> Duration {
        Duration::from_nanos(self.latency.lock().estimate(now) as u64)
    }

    /// What one more request costs here, in nanoseconds times requests. Comparable among endpoints, changed by nothing
    /// but requests and time.
    pub fn cost(&self, now: Mono) -> f64 {
        let estimate = self.latency.lock().estimate(now).max(FLOOR);
        estimate * (f64::from(self.pending()) + 1.0)
    }

    /// Counts a request as pending until the dispatch is settled or dropped.
    pub fn dispatch(self: &Arc<Load>, clock: &Arc<dyn Clock>) -> Dispatch {
        self.dispatch_at(clock, clock.mono())
    }

    /// The same for one who has just looked at the clock, which is most of what a dispatch costs.
    pub fn dispatch_at(self: &Arc<Load>, clock: &Arc<dyn Clock>, now: Mono) -> Dispatch {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Dispatch {
            load: Arc::clone(self),
            clock: Arc::clone(clock),
            since: now,
            ended: None,
            penalty: None,
        }
    }
}

/// A request on its way to an endpoint. When it is dropped, which is the moment of the first data, the error or the
/// cancellation, it is no longer pending and the time it took is sampled.
#[derive(Debug)]
#[must_use = "a request is pending as long as this lives"]
pub struct Dispatch {
    load: Arc<Load>,
    clock: Arc<dyn Clock>,
    since: Mono,
    ended: Option<Mono>,
    penalty: Option<Duration>,
}

impl Dispatch {
    /// The first data of the response is here, or there will be none.
    pub fn settle(self) {}

    /// The same for one who has just looked at the clock.
    pub fn settle_at(mut self, now: Mono) {
        self.ended = Some(now);
    }

    /// The endpoint refused with 429 or 503: it counts as slow for a while, see [`penalty`].
    pub fn refused(mut self, retry_after: Option<Duration>) {
        self.penalty = Some(penalty(retry_after));
    }

    /// When the request was sent.
    pub fn since(&self) -> Mono {
        self.since
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(|| self.clock.mono());
        let sample = self.penalty.unwrap_or_else(|| now.since(self.since));
        self.load.pending.fetch_sub(1, Ordering::Relaxed);
        self.load.latency.lock().sample(sample, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::millis;
    use qd_core::VirtualClock;

    fn fixture() -> (VirtualClock, Arc<dyn Clock>, Arc<Load>) {
        let clock = VirtualClock::default();
        let load = Arc::new(Load::new(EwmaConfig::default(), clock.now().mono));
        (clock.clone(), Arc::new(clock), load)
    }

    #[test]
    fn pending_requests_multiply_the_cost() {
        let (clock, shared, load) = fixture();
        let now = clock.now().mono;
        assert_eq!(load.cost(now), 30e6);
        let a = load.dispatch(&shared);
        let b = load.dispatch(&shared);
        assert_eq!((load.pending(), load.cost(now)), (2, 90e6));
        clock.advance(millis(100));
        a.settle();
        b.settle();
        assert_eq!(load.pending(), 0);
        assert_eq!(load.latency(clock.now().mono), millis(100));
    }

    #[test]
    fn one_who_knows_the_time_may_say_it() {
        let (clock, shared, load) = fixture();
        let sent = load.dispatch_at(&shared, clock.now().mono);
        clock.advance(millis(70));
        sent.settle_at(Mono(50_000_000));
        assert_eq!((load.pending(), load.latency(Mono(50_000_000))), (0, millis(50)));
    }

    #[test]
    fn one_that_is_given_up_is_sampled() {
        let (clock, shared, load) = fixture();
        let waiting = load.dispatch(&shared);
        clock.advance(millis(800));
        drop(waiting);
        assert_eq!((load.pending(), load.latency(clock.now().mono)), (0, millis(800)));
    }

    #[test]
    fn a_refusal_counts_for_what_it_asks() {
        let (clock, shared, load) = fixture();
        load.dispatch(&shared).refused(None);
        assert_eq!(load.latency(clock.now().mono), Duration::from_secs(5));
        load.dispatch(&shared).refused(Some(Duration::from_secs(20)));
        assert_eq!(load.latency(clock.now().mono), Duration::from_secs(20));
        assert_eq!(penalty(Some(Duration::from_secs(1))), Duration::from_secs(5));
        assert_eq!(penalty(Some(Duration::from_secs(86_400))), Duration::from_secs(300));
    }

    #[test]
    fn the_cost_has_a_floor() {
        let (clock, shared, load) = fixture();
        clock.advance(Duration::from_secs(3_600));
        let now = clock.now().mono;
        assert_eq!(load.cost(now), 1_000.0);
        let one = load.dispatch(&shared);
        assert_eq!(load.cost(now), 2_000.0);
        one.settle();
    }
}
