//! Active health checks: what a row of good or bad checks makes of an endpoint, and when the next one is due.

use std::time::Duration;

use qd_core::Mono;

use crate::dice::Dice;
use crate::when::{after, nanos};

/// How an endpoint is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// From one check to the next; default 10 s. Chance takes up to a tenth of it away, so that many endpoints are not
    /// checked in step.
    pub interval: Duration,
    /// How long one check may take; default 2 s.
    pub timeout: Duration,
    /// Good checks in a row that make it healthy; default 2.
    pub healthy: u32,
    /// Bad checks in a row that make it unhealthy; default 3.
    pub unhealthy: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            healthy: 2,
            unhealthy: 3,
        }
    }
}

/// A change of mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may get requests again.
    Up,
    /// It gets none.
    Down,
}

/// What is known of one endpoint.
#[derive(Debug, Clone)]
pub struct Health {
    config: HealthConfig,
    up: bool,
    /// Checks in a row that speak against the present state.
    against: u32,
    /// Whether there was any check.
    known: bool,
    next: Mono,
    last_error: Option<String>,
}

/// The longest error that is kept, in bytes.
const MAX_ERROR: usize = 200;

impl Health {
    /// An endpoint is taken for healthy until a check says otherwise; the first is due at once.
    pub fn new(config: HealthConfig, now: Mono) -> Health {
        Health {
            config,
            up: true,
            against: 0,
            known: false,
            next: now,
            last_error: None,
        }
    }

    /// Whether it may get requests.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// When the next check is due.
    pub fn next(&self) -> Mono {
        self.next
    }

    /// What the last bad check said, until one is good.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// A check ended at `now`. The very first one decides alone.
    pub fn record(&mut self, result: Result<(), String>, now: Mono, dice: &mut Dice) -> Option<Turn> {
        let interval = nanos(self.config.interval);
        let early = (dice.unit() * interval as f64 / 10.0) as u64;
        self.next = after(now, Duration::from_nanos((interval - early).max(1_000_000)));
        let good = result.is_ok();
        self.last_error = result.err().map(|mut error| {
            let mut end = error.len().min(MAX_ERROR);
            while !error.is_char_boundary(end) {
                end -= 1;
            }
            error.truncate(end);
            error
        });
        let first = !std::mem::replace(&mut self.known, true);
        if good == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if good {
            self.config.healthy
        } else {
            self.config.unhealthy
        };
        if !first && self.against < needed.max(1) {
            return None;
        }
        self.against = 0;
        self.up = good;
        Some(if good { Turn::Up } else { Turn::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::ms;

    #[test]
    fn thresholds_count_checks_in_a_row() {
        let mut dice = Dice::new(0);
        let mut h = Health::new(HealthConfig::default(), ms(0));
        let mut check = |h: &mut Health, good: bool| {
            let result = if good { Ok(()) } else { Err("503".to_owned()) };
            h.record(result, ms(0), &mut dice)
        };
        assert!(h.is_up());
        assert_eq!(check(&mut h, true), None);
        assert_eq!(
            (check(&mut h, false), check(&mut h, false), check(&mut h, true)),
            (None, None, None)
        );
        assert_eq!((check(&mut h, false), check(&mut h, false)), (None, None));
        assert_eq!(check(&mut h, false), Some(Turn::Down));
        assert_eq!((h.is_up(), h.last_error()), (false, Some("503")));
        assert_eq!(
            (check(&mut h, true), check(&mut h, false), check(&mut h, true)),
            (None, None, None)
        );
        assert_eq!(check(&mut h, true), Some(Turn::Up));
        assert_eq!(h.last_error(), None);
    }

    #[test]
    fn the_first_check_decides_alone() {
        let mut h = Health::new(HealthConfig::default(), ms(0));
        let error = "é".repeat(300);
        assert_eq!(h.record(Err(error), ms(0), &mut Dice::new(0)), Some(Turn::Down));
        assert_eq!(h.last_error().map(str::len), Some(200));
    }

    #[test]
    fn checks_are_spread_over_a_tenth_of_the_interval() {
        let mut dice = Dice::new(0);
        let mut h = Health::new(HealthConfig::default(), ms(0));
        assert_eq!(h.next(), ms(0));
        for _ in 0..100 {
            h.record(Ok(()), ms(1_000), &mut dice);
            assert!((ms(10_000)..=ms(11_000)).contains(&h.next()));
        }
    }
}
