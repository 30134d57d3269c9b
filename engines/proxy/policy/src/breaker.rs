//! Breakers: when an endpoint is left alone, and when it is tried again.
//!
//! Two things open one: failures in a row, and a share of successes over the last seconds that is too low. While it is open
//! the endpoint gets nothing for a back-off that doubles each time; then one request goes there as a probe. Each permit
//! carries the epoch it was given in, and what comes back with an old one is ignored, so that a request from before the
//! trouble can neither close the breaker nor open it again.

use std::time::Duration;

use qd_core::Mono;

use crate::dice::Dice;
use crate::when::{after, nanos};

/// Seconds over which successes are counted, one bucket each.
pub const WINDOW: usize = 10;

/// When a breaker opens by the share of successes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateConfig {
    /// The share below which it opens, 0 to 1; default 0.8.
    pub threshold: f64,
    /// How many requests there must be in the window; default 5.
    pub min_requests: u64,
}

impl Default for RateConfig {
    fn default() -> Self {
        RateConfig {
            threshold: 0.8,
            min_requests: 5,
        }
    }
}

/// How long an open breaker waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffConfig {
    /// The first wait; default 1 s.
    pub min: Duration,
    /// The longest wait; default 60 s.
    pub max: Duration,
    /// How much of a wait chance adds at most, 0 to 1; default 0.5.
    pub jitter: f64,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        BackoffConfig {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            jitter: 0.5,
        }
    }
}

impl BackoffConfig {
    /// The wait before try `i`, counted from 0: `base = min(min·2^i, max)`, `min(base + U·jitter·base, max)` with `U`
    /// evenly from 0 to 1.
    pub fn wait(&self, i: u32, dice: &mut Dice) -> Duration {
        let max = nanos(self.max);
        let doubled = nanos(self.min).saturating_mul(1u64.checked_shl(i).unwrap_or(u64::MAX));
        let base = doubled.min(max);
        let jitter = (dice.unit() * self.jitter.clamp(0.0, 1.0) * base as f64) as u64;
        Duration::from_nanos(base.saturating_add(jitter).min(max))
    }
}

/// When a breaker opens and how it closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerConfig {
    /// Failures in a row that open it; `None` for never by that. Default 7.
    pub consecutive: Option<u32>,
    /// The share of successes; `None` for never by that. Default `None`.
    pub rate: Option<RateConfig>,
    /// The waits.
    pub backoff: BackoffConfig,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerConfig {
            consecutive: Some(7),
            rate: None,
            backoff: BackoffConfig::default(),
        }
    }
}

/// How a request ended, for a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Well: it ends a streak.
    Success,
    /// It failed.
    Failure,
    /// The endpoint said that it gets too much (429, RESOURCE_EXHAUSTED): it hurts the share and leaves the streak as it is.
    Throttled,
}

/// Leave to send one request. What became of it is told to [`Breaker::record`], or [`Breaker::abandon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a probe that is not reported keeps the endpoint closed off"]
pub struct Permit {
    epoch: u64,
    probe: bool,
}

impl Permit {
    /// Whether it is the one request that tries an endpoint again.
    pub fn is_probe(self) -> bool {
        self.probe
    }
}

/// Where a breaker stands, for panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None passes before the moment; then one.
    Open {
        /// When the probe may go.
        until: Mono,
    },
    /// The probe is on its way.
    Probing,
}

/// What opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// Failures in a row.
    Streak,
    /// The share of successes.
    Rate,
    /// A probe that failed.
    Probe,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    second: u64,
    good: u64,
    all: u64,
}

/// The breaker of one endpoint.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    state: BreakerState,
    epoch: u64,
    streak: u32,
    /// How often it opened since it was last closed.
    tries: u32,
    buckets: [Bucket; WINDOW],
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: BreakerConfig) -> Breaker {
        Breaker {
            config,
            state: BreakerState::Closed,
            epoch: 0,
            streak: 0,
            tries: 0,
            buckets: [Bucket::default(); WINDOW],
        }
    }

    /// Whether [`Breaker::admit`] would give a permit. Changes nothing.
    pub fn is_ready(&self, now: Mono) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open { until } => now >= until,
            BreakerState::Probing => false,
        }
    }

    /// Leave for one request; `None` while it is open or its probe is on its way. The first one after the wait is the probe.
    pub fn admit(&mut self, now: Mono) -> Option<Permit> {
        match self.state {
            BreakerState::Closed => Some(Permit {
                epoch: self.epoch,
                probe: false,
            }),
            BreakerState::Open { until } if now >= until => {
                self.epoch += 1;
                self.state = BreakerState::Probing;
                Some(Permit {
                    epoch: self.epoch,
                    probe: true,
                })
            }
            _ => None,
        }
    }

    /// What became of a request. Gives what opened the breaker, if this did.
    pub fn record(&mut self, permit: Permit, verdict: Verdict, now: Mono, dice: &mut Dice) -> Option<Trip> {
        if permit.epoch != self.epoch {
            return None;
        }
        let tripped = match self.state {
            BreakerState::Open { .. } => None,
            BreakerState::Probing if verdict == Verdict::Success => {
                self.close();
                None
            }
            BreakerState::Probing => Some(Trip::Probe),
            BreakerState::Closed => self.count(verdict, now),
        };
        if tripped.is_some() {
            self.open(now, dice);
        }
        tripped
    }

    /// The request was given up before anything could be said of the endpoint. If it was the probe, the next one may go.
    pub fn abandon(&mut self, permit: Permit, now: Mono) {
        if permit.epoch == self.epoch && self.state == BreakerState::Probing {
            self.epoch += 1;
            self.state = BreakerState::Open { until: now };
        }
    }

    /// Closes it, as a person or an active check may ask for.
    pub fn close(&mut self) {
        self.epoch += 1;
        self.state = BreakerState::Closed;
        self.streak = 0;
        self.tries = 0;
        self.buckets = [Bucket::default(); WINDOW];
    }

    fn open(&mut self, now: Mono, dice: &mut Dice) {
        let wait = self.config.backoff.wait(self.tries, dice);
        self.epoch += 1;
        self.tries = self.tries.saturating_add(1);
        self.state = BreakerState::Open {
            until: after(now, wait),
        };
    }

    fn count(&mut self, verdict: Verdict, now: Mono) -> Option<Trip> {
        match verdict {
            Verdict::Success => self.streak = 0,
            Verdict::Failure => self.streak = self.streak.saturating_add(1),
            Verdict::Throttled => {}
        }
        let second = now.0 / 1_000_000_000;
        if let Some(bucket) = self.buckets.get_mut((second % WINDOW as u64) as usize) {
            if bucket.second != second {
                *bucket = Bucket {
                    second,
                    ..Bucket::default()
                };
            }
            bucket.all += 1;
            bucket.good += u64::from(verdict == Verdict::Success);
        }
        if self.config.consecutive.is_some_and(|most| self.streak >= most.max(1)) {
            return Some(Trip::Streak);
        }
        let rate = self.config.rate?;
        let (good, all) = self.window(now);
        let low = all >= rate.min_requests.max(1) && (good as f64) < rate.threshold * all as f64;
        (verdict != Verdict::Success && low).then_some(Trip::Rate)
    }

    /// Successes and all requests of the window that ends now. Counted only while it is closed.
    pub fn window(&self, now: Mono) -> (u64, u64) {
        let second = now.0 / 1_000_000_000;
        self.buckets
            .iter()
            .filter(|b| b.second + WINDOW as u64 > second && b.second <= second)
            .fold((0, 0), |(good, all), b| (good + b.good, all + b.all))
    }

    /// Where it stands.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// Failures in a row.
    pub fn streak(&self) -> u32 {
        self.streak
    }

    /// How often it opened since it was last closed.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::ms;
    use proptest::prelude::*;

    fn fail(b: &mut Breaker, at: u64, dice: &mut Dice) -> Option<Trip> {
        let permit = b.admit(ms(at)).unwrap();
        b.record(permit, Verdict::Failure, ms(at), dice)
    }

    fn plain(jitter: f64) -> BreakerConfig {
        BreakerConfig {
            backoff: BackoffConfig {
                jitter,
                ..BackoffConfig::default()
            },
            ..BreakerConfig::default()
        }
    }

    /// Without jitter the waits are 1, 2, 4, 8, 16, 32, 60, 60 s, each from the probe that failed.
    #[test]
    fn the_golden_life_of_a_breaker() {
        let mut dice = Dice::new(0);
        let mut b = Breaker::new(plain(0.0));
        for i in 0..6 {
            assert_eq!(fail(&mut b, i, &mut dice), None);
        }
        assert_eq!(fail(&mut b, 6, &mut dice), Some(Trip::Streak));
        let mut until = 1_006;
        for wait in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(b.state(), BreakerState::Open { until: ms(until) });
            assert!(!b.is_ready(ms(until - 1)) && b.admit(ms(until - 1)).is_none());
            let probe = b.admit(ms(until)).unwrap();
            assert!(probe.is_probe());
            assert_eq!(b.state(), BreakerState::Probing);
            assert!(b.admit(ms(until + 500)).is_none(), "one probe at a time");
            assert_eq!(
                b.record(probe, Verdict::Failure, ms(until + 700), &mut dice),
                Some(Trip::Probe)
            );
            until += 700 + wait * 1_000;
        }
        let probe = b.admit(ms(until)).unwrap();
        assert_eq!(b.record(probe, Verdict::Success, ms(until), &mut dice), None);
        assert_eq!((b.state(), b.streak(), b.tries()), (BreakerState::Closed, 0, 0));
    }

    #[test]
    fn jitter_follows_the_formula() {
        let config = BackoffConfig::default();
        for seed in 0..50 {
            for i in 0..10 {
                let wait = config.wait(i, &mut Dice::new(seed)).as_secs_f64();
                let base = (2f64.powi(i as i32)).min(60.0);
                let expected = (base + Dice::new(seed).unit() * 0.5 * base).min(60.0);
                assert!((wait - expected).abs() < 1e-6, "{wait} {expected}");
            }
        }
        assert_eq!(config.wait(u32::MAX, &mut Dice::new(3)), config.max);
    }

    #[test]
    fn a_straggler_says_nothing() {
        let mut dice = Dice::new(0);
        let mut b = Breaker::new(plain(0.0));
        let early = b.admit(ms(0)).unwrap();
        for i in 0..7 {
            let _ = fail(&mut b, i, &mut dice);
        }
        // A success from before does not close it, neither while it is open nor beside the probe.
        b.record(early, Verdict::Success, ms(10), &mut dice);
        assert!(!b.is_ready(ms(10)));
        let probe = b.admit(ms(2_000)).unwrap();
        b.record(early, Verdict::Success, ms(2_001), &mut dice);
        assert_eq!(b.state(), BreakerState::Probing);
        b.record(early, Verdict::Failure, ms(2_002), &mut dice);
        assert_eq!(b.state(), BreakerState::Probing);
        b.record(probe, Verdict::Success, ms(2_003), &mut dice);
        // Nor does a failure from before begin a streak.
        b.record(early, Verdict::Failure, ms(2_004), &mut dice);
        assert_eq!((b.state(), b.streak()), (BreakerState::Closed, 0));
    }

    #[test]
    fn a_probe_that_is_given_up_lets_the_next_one_go() {
        let mut dice = Dice::new(0);
        let mut b = Breaker::new(plain(0.0));
        for i in 0..7 {
            let _ = fail(&mut b, i, &mut dice);
        }
        let probe = b.admit(ms(5_000)).unwrap();
        b.abandon(probe, ms(5_100));
        let next = b.admit(ms(5_100)).unwrap();
        assert!(next.is_probe());
        b.abandon(probe, ms(5_200));
        assert_eq!(b.state(), BreakerState::Probing, "the first one has no say any more");
        b.record(next, Verdict::Success, ms(5_300), &mut dice);
        assert_eq!(b.state(), BreakerState::Closed);
    }

    #[test]
    fn a_success_ends_a_streak_and_throttling_leaves_it() {
        let mut dice = Dice::new(0);
        let mut b = Breaker::new(BreakerConfig::default());
        let mut say = |b: &mut Breaker, verdict| {
            let permit = b.admit(ms(0)).unwrap();
            b.record(permit, verdict, ms(0), &mut dice)
        };
        for _ in 0..6 {
            let _ = say(&mut b, Verdict::Failure);
        }
        (0..50).for_each(|_| assert_eq!(say(&mut b, Verdict::Throttled), None));
        assert_eq!(b.streak(), 6);
        say(&mut b, Verdict::Success);
        assert_eq!(b.streak(), 0);
    }

    /// 4 of 5 are exactly 0.8, which is not below it; 7 of 9 are. Everything is forgotten after ten whole seconds.
    #[test]
    fn the_share_of_successes_opens_it() {
        let mut dice = Dice::new(0);
        let config = BreakerConfig {
            consecutive: None,
            rate: Some(RateConfig::default()),
            ..plain(0.0)
        };
        let mut b = Breaker::new(config);
        let mut say = |b: &mut Breaker, at, verdict| {
            let permit = b.admit(ms(at)).unwrap();
            b.record(permit, verdict, ms(at), &mut dice)
        };
        for at in [0, 100, 1_200, 2_900] {
            assert_eq!(say(&mut b, at, Verdict::Success), None);
        }
        assert_eq!(say(&mut b, 3_000, Verdict::Throttled), None);
        assert_eq!(b.window(ms(3_000)), (4, 5));
        for at in [4_000, 4_001, 4_002] {
            assert_eq!(say(&mut b, at, Verdict::Success), None);
        }
        assert_eq!(b.window(ms(9_999)), (7, 8));
        // Second 0 is forgotten now, with two successes: 5 of 7 with this failure.
        assert_eq!(b.window(ms(10_000)), (5, 6));
        assert_eq!(say(&mut b, 10_000, Verdict::Failure), Some(Trip::Rate));
        let mut few = Breaker::new(config);
        for at in 0..4 {
            assert_eq!(say(&mut few, at, Verdict::Failure), None, "four are too few");
        }
        assert_eq!(say(&mut few, 4, Verdict::Failure), Some(Trip::Rate));
    }

    proptest! {
        #[test]
        fn the_window_is_exact(events in prop::collection::vec((0u64..3_000, any::<bool>()), 1..200)) {
            let mut dice = Dice::new(0);
            let mut b = Breaker::new(BreakerConfig { consecutive: None, ..BreakerConfig::default() });
            let mut all = Vec::new();
            let mut now = 0;
            for (wait, good) in events {
                now += wait;
                let permit = b.admit(ms(now)).unwrap();
                let verdict = if good { Verdict::Success } else { Verdict::Failure };
                b.record(permit, verdict, ms(now), &mut dice);
                all.push((now / 1_000, good));
                let recent = all.iter().filter(|(second, _)| second + 10 > now / 1_000);
                let good = recent.clone().filter(|(_, good)| *good).count() as u64;
                prop_assert_eq!(b.window(ms(now)), (good, recent.count() as u64));
            }
        }

        #[test]
        fn at_most_one_probe_is_out_and_it_always_recovers(
            steps in prop::collection::vec((0u64..4_000, 0u8..4), 1..200)
        ) {
            let mut dice = Dice::new(9);
            let mut b = Breaker::new(BreakerConfig::default());
            let mut out: Vec<Permit> = Vec::new();
            let mut now = 0;
            for (wait, what) in steps {
                now += wait;
                match what {
                    0 | 1 => out.extend(b.admit(ms(now))),
                    2 => if let Some(permit) = out.pop() {
                        b.record(permit, Verdict::Failure, ms(now), &mut dice);
                    },
                    _ => if !out.is_empty() {
                        b.abandon(out.remove(0), ms(now));
                    },
                }
                let current = out.iter().filter(|p| p.probe && p.epoch == b.epoch).count();
                prop_assert!(current <= 1);
                prop_assert_eq!(current == 1, b.state() == BreakerState::Probing);
            }
            for permit in out {
                b.abandon(permit, ms(now));
            }
            let permit = b.admit(ms(now + 61_000)).unwrap();
            b.record(permit, Verdict::Success, ms(now + 61_000), &mut dice);
            prop_assert_eq!(b.state(), BreakerState::Closed);
        }
    }
}
