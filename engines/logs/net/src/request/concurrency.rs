//! How many requests are on their way at once.
//!
//! Either a fixed number, or Vector's adaptive request concurrency: the limit grows by one after an interval in which it
//! was reached, nothing pushed back and the round trips were no slower than the running mean; it shrinks by a ratio when
//! the receiver pushed back or the round trips were slower than the mean by some deviations. An interval is one mean round
//! trip, and a request that is sent again is under way until it has an answer that stays: its waits count as round trip,
//! as Vector's do. The running mean and variance are exponentially weighted (T. Finch, "Incremental calculation of
//! weighted mean and variance", 2009, section 9).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_logs_config::common::{AdaptiveConcurrency, Concurrency};
use qd_logs_model::{Gauge, Histogram, Telemetry};
use tokio::sync::Notify;

/// What became of a request, as far as concurrency is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it: its round trip counts.
    Taken,
    /// The receiver is overloaded (429, 503, a timeout): the limit shrinks.
    PushedBack,
    /// It failed in a way that says nothing of the load.
    Other,
}

/// A weighted mean and its variance.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Past {
    mean: f64,
    variance: f64,
}

/// The pure part: told of starts and ends with their times, it knows the limit.
#[derive(Debug)]
pub struct Controller {
    adaptive: Option<AdaptiveConcurrency>,
    limit: usize,
    in_flight: usize,
    past: Option<Past>,
    interval_ends: Option<Instant>,
    rtt_sum: f64,
    rtt_count: u32,
    pushed_back: bool,
    reached: bool,
}

impl Controller {
    /// A controller as configured.
    pub fn new(concurrency: Concurrency, settings: AdaptiveConcurrency) -> Controller {
        Controller {
            adaptive: concurrency.fixed().is_none().then_some(settings),
            limit: concurrency
                .fixed()
                .map_or(settings.initial_concurrency, |n| n.get())
                .max(1),
            in_flight: 0,
            past: None,
            interval_ends: None,
            rtt_sum: 0.0,
            rtt_count: 0,
            pushed_back: false,
            reached: false,
        }
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Requests on their way now.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A request starts; the caller has seen that there is room.
    pub fn start(&mut self) {
        self.in_flight += 1;
        self.reached |= self.in_flight >= self.limit;
    }

    /// A request that took `rtt` has ended; the mean round trip of the interval, when one has ended with it.
    pub fn end(&mut self, now: Instant, rtt: Duration, outcome: Outcome) -> Option<Duration> {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Taken => {
                self.rtt_sum += rtt.as_secs_f64();
                self.rtt_count += 1;
            }
            Outcome::PushedBack => self.pushed_back = true,
            Outcome::Other => {}
        }
        // Microseconds are as fine as a clock that is read twice can say; below that equal times would look different.
        let current = (self.rtt_count > 0).then(|| (self.rtt_sum / f64::from(self.rtt_count) * 1e6).round() / 1e6);
        let alpha = self
            .adaptive
            .map_or(AdaptiveConcurrency::default().ewma_alpha, |a| a.ewma_alpha);
        let Some(past) = self.past else {
            if let Some(mean) = current {
                self.past = Some(Past { mean, variance: 0.0 });
                self.interval_ends = Some(now + Duration::from_secs_f64(mean));
            }
            return None;
        };
        if self.interval_ends.is_some_and(|end| now < end) {
            return None;
        }
        if let Some(a) = self.adaptive {
            self.adjust(&a, past, current);
        }
        let past = match current {
            None => past,
            Some(rtt) => {
                let difference = rtt - past.mean;
                let increment = alpha * difference;
                Past {
                    mean: past.mean + increment,
                    variance: (1.0 - alpha) * (past.variance + difference * increment),
                }
            }
        };
        self.past = Some(past);
        self.interval_ends = Some(now + Duration::from_secs_f64(past.mean.max(0.0)));
        self.rtt_sum = 0.0;
        self.rtt_count = 0;
        self.pushed_back = false;
        self.reached = false;
        current.map(Duration::from_secs_f64)
    }

    fn adjust(&mut self, a: &AdaptiveConcurrency, past: Past, current: Option<f64>) {
        let slow = past.mean + past.variance.max(0.0).sqrt() * a.rtt_deviation_scale;
        if self.limit < a.max_concurrency_limit
            && self.reached
            && !self.pushed_back
            && current.is_some_and(|rtt| rtt <= past.mean)
        {
            self.limit += 1;
        } else if self.limit > 1 && (self.pushed_back || current.unwrap_or(0.0) >= slow) {
            // The cast rounds down, so that the limit does shrink.
            self.limit = ((self.limit as f64 * a.decrease_ratio) as usize).max(1);
        }
    }
}

/// The limit of one sink. Clones share it.
#[derive(Debug, Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Controller>,
    room: Notify,
    limit: Gauge,
    in_flight: Gauge,
    observed: Histogram,
    averaged: Histogram,
}

impl Limiter {
    /// A limiter as configured, counting under Vector's names `adaptive_concurrency_*`.
    pub fn new(concurrency: Concurrency, settings: AdaptiveConcurrency, telemetry: &Telemetry) -> Limiter {
        let state = Controller::new(concurrency, settings);
        let limit = telemetry.gauge("adaptive_concurrency_limit");
        limit.set(state.limit as f64);
        Limiter {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                room: Notify::new(),
                limit,
                in_flight: telemetry.gauge("adaptive_concurrency_in_flight"),
                observed: telemetry.histogram("adaptive_concurrency_observed_rtt"),
                averaged: telemetry.histogram("adaptive_concurrency_averaged_rtt"),
            }),
        }
    }

    /// Waits for room and takes it. Dropping the permit without an outcome (the request was given up) frees the room and
    /// teaches nothing.
    pub async fn acquire(&self) -> Permit {
        loop {
            let notified = self.shared.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.take() {
                return Permit {
                    shared: self.shared.clone(),
                    started: tokio::time::Instant::now().into_std(),
                    ended: false,
                };
            }
            notified.await;
        }
    }

    fn take(&self) -> bool {
        let mut s = self.shared.state.lock();
        let room = s.in_flight < s.limit;
        if room {
            s.start();
            self.shared.in_flight.set(s.in_flight as f64);
        }
        room
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.shared.state.lock().limit
    }

    /// Requests on their way now.
    pub fn in_flight(&self) -> usize {
        self.shared.state.lock().in_flight
    }
}

/// Room for one request.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    started: Instant,
    ended: bool,
}

impl Permit {
    /// The request is answered, or given up for a reason.
    pub fn end(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = tokio::time::Instant::now().into_std();
        let rtt = now.saturating_duration_since(self.started);
        if outcome == Outcome::Taken {
            self.shared.observed.record(rtt);
        }
        let mut s = self.shared.state.lock();
        if let Some(mean) = s.end(now, rtt, outcome) {
            self.shared.averaged.record(mean);
        }
        self.shared.limit.set(s.limit as f64);
        self.shared.in_flight.set(s.in_flight as f64);
        drop(s);
        self.shared.room.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.finish(Outcome::Other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adaptive() -> Controller {
        Controller::new(Concurrency::Adaptive, AdaptiveConcurrency::default())
    }

    /// Runs `n` full intervals: as many requests as the limit allows start together and end after `rtt`.
    fn rounds(s: &mut Controller, now: &mut Instant, n: usize, rtt: impl Fn(usize) -> Duration, outcome: Outcome) {
        for _ in 0..n {
            let at_once = s.limit;
            for _ in 0..at_once {
                s.start();
            }
            let rtt = rtt(at_once);
            *now += rtt;
            for _ in 0..at_once {
                s.end(*now, rtt, outcome);
            }
        }
    }

    #[test]
    fn a_steady_receiver_lets_it_grow_by_one_an_interval_up_to_the_maximum() {
        let (mut s, mut now) = (adaptive(), Instant::now());
        rounds(&mut s, &mut now, 2, |_| Duration::from_millis(100), Outcome::Taken);
        assert_eq!(s.limit, 2);
        rounds(&mut s, &mut now, 198, |_| Duration::from_millis(100), Outcome::Taken);
        assert_eq!(s.limit, 200);
        rounds(&mut s, &mut now, 100, |_| Duration::from_millis(100), Outcome::Taken);
        assert!(s.limit <= 200);
    }

    #[test]
    fn a_receiver_that_slows_down_under_load_is_not_buried() {
        let (mut s, mut now) = (adaptive(), Instant::now());
        let slower = |n: usize| Duration::from_millis(if n > 8 { 100 * (n as u64 - 7) } else { 100 });
        rounds(&mut s, &mut now, 300, slower, Outcome::Taken);
        assert!((4..=12).contains(&s.limit), "{}", s.limit);
    }

    #[test]
    fn push_back_shrinks_it_by_the_ratio_down_to_one() {
        let (mut s, mut now) = (adaptive(), Instant::now());
        rounds(&mut s, &mut now, 40, |_| Duration::from_millis(10), Outcome::Taken);
        let before = s.limit;
        rounds(&mut s, &mut now, 1, |_| Duration::from_millis(10), Outcome::PushedBack);
        assert_eq!(s.limit, (before as f64 * 0.9) as usize);
        rounds(
            &mut s,
            &mut now,
            100,
            |_| Duration::from_millis(10),
            Outcome::PushedBack,
        );
        assert_eq!(s.limit, 1);
    }

    #[test]
    fn a_limit_that_is_not_reached_does_not_grow() {
        let (mut s, mut now) = (adaptive(), Instant::now());
        s.limit = 5;
        for i in 0..50 {
            s.start();
            let rtt = Duration::from_millis(if i % 2 == 0 { 8 } else { 12 });
            now += rtt;
            s.end(now, rtt, Outcome::Taken);
        }
        assert!(s.limit <= 5, "{}", s.limit);
    }

    #[test]
    fn a_fixed_number_stays() {
        let mut s = Controller::new(
            Concurrency::Fixed(std::num::NonZeroUsize::new(3).unwrap()),
            AdaptiveConcurrency::default(),
        );
        let mut now = Instant::now();
        rounds(&mut s, &mut now, 50, |_| Duration::from_millis(10), Outcome::PushedBack);
        assert_eq!(s.limit, 3);
    }

    #[tokio::test]
    async fn permits_are_bounded_and_given_back_even_when_dropped() {
        let l = Limiter::new(Concurrency::None, AdaptiveConcurrency::default(), &Telemetry::new());
        let one = l.acquire().await;
        let waiting = tokio::spawn({
            let l = l.clone();
            async move { l.acquire().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(one);
        let two = waiting.await.unwrap();
        assert_eq!(l.in_flight(), 1);
        two.end(Outcome::Taken);
        assert_eq!(l.in_flight(), 0);
    }
}
