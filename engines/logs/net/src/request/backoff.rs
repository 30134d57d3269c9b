//! The delays between the attempts of one request.
//!
//! They grow as the numbers of Fibonacci do, from the first one configured up to a longest one, and are spread by "full
//! jitter" (anywhere between nothing and the delay), so that many senders that failed together do not come back together.

use std::time::Duration;

use qd_logs_config::common::JitterMode;

/// An endless row of delays.
#[derive(Debug, Clone)]
pub struct Backoff {
    previous: Duration,
    current: Duration,
    longest: Duration,
    jitter: JitterMode,
}

impl Backoff {
    /// Delays from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration, jitter: JitterMode) -> Backoff {
        Backoff {
            previous: Duration::ZERO,
            current: first,
            longest,
            jitter,
        }
    }

    /// The next delay before it is spread: 1, 1, 2, 3, 5, … times the first, at most the longest.
    fn step(&mut self) -> Duration {
        let delay = self.current.min(self.longest);
        let next = self.previous.saturating_add(self.current);
        self.previous = self.current;
        self.current = next.min(self.longest);
        delay
    }

    /// The next delay; `random` is uniform in 0..1 and is not asked without jitter.
    pub fn next(&mut self, random: impl FnOnce() -> f64) -> Duration {
        let delay = self.step();
        match self.jitter {
            JitterMode::None => delay,
            JitterMode::Full => delay.mul_f64(random().clamp(0.0, 1.0)),
        }
    }

    /// What a receiver asked for by `Retry-After` replaces the delay when it is longer, up to the longest.
    pub fn at_least(&self, delay: Duration, asked: Option<Duration>) -> Duration {
        asked.map_or(delay, |a| delay.max(a.min(self.longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: u64, longest: u64, n: usize) -> Vec<u64> {
        let mut b = Backoff::new(
            Duration::from_secs(first),
            Duration::from_secs(longest),
            JitterMode::None,
        );
        (0..n).map(|_| b.next(|| unreachable!()).as_secs()).collect()
    }

    #[test]
    fn it_grows_as_fibonacci_does() {
        assert_eq!(row(1, 1000, 8), [1, 1, 2, 3, 5, 8, 13, 21]);
        assert_eq!(row(2, 30, 8), [2, 2, 4, 6, 10, 16, 26, 30]);
    }

    #[test]
    fn full_jitter_stays_below_the_delay() {
        let mut b = Backoff::new(Duration::from_secs(4), Duration::from_secs(30), JitterMode::Full);
        assert_eq!(b.next(|| 0.5), Duration::from_secs(2));
        assert_eq!(b.next(|| 0.0), Duration::ZERO);
        assert_eq!(b.next(|| 1.0), Duration::from_secs(8));
    }

    #[test]
    fn the_receiver_may_ask_for_more_but_not_for_ever() {
        let b = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), JitterMode::None);
        let s = Duration::from_secs;
        assert_eq!(b.at_least(s(3), Some(s(10))), s(10));
        assert_eq!(b.at_least(s(3), Some(s(1))), s(3));
        assert_eq!(b.at_least(s(3), Some(s(86_400))), s(30));
        assert_eq!(b.at_least(s(3), None), s(3));
    }
}
