//! Rate limits of a route and of each client: the generic cell rate algorithm, in whole nanoseconds.
//!
//! A cell remembers one moment, the theoretical arrival of the next request: each request moves it one interval on, and is
//! refused while it lies more than the burst ahead of now. That is a token bucket without a timer. A refused request costs
//! nothing, and says after how long the next one would pass.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use qd_core::Mono;

/// A rate and how much may come at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Requests in a second, above 0 and at most 10⁹.
    pub per_second: f64,
    /// Requests that may come at once, at least 1.
    pub burst: u32,
}

impl RateLimit {
    fn interval(&self) -> u64 {
        ((1e9 / self.per_second.clamp(1e-9, 1e9)).round() as u64).max(1)
    }

    /// How far ahead of now the theoretical arrival may be.
    fn tolerance(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst.max(1) - 1))
    }

    /// Takes one request out of a cell, or says how long to wait.
    fn take(&self, cell: &mut u64, now: Mono) -> Result<(), Duration> {
        let arrival = (*cell).max(now.0);
        let ahead = arrival - now.0;
        match ahead.checked_sub(self.tolerance()) {
            Some(wait) if wait > 0 => Err(Duration::from_nanos(wait)),
            _ => {
                *cell = arrival.saturating_add(self.interval());
                Ok(())
            }
        }
    }
}

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Whose limit it was.
    pub by: Scope,
    /// After how long the next request would pass: `Retry-After`, rounded up there.
    pub retry_after: Duration,
}

/// Whose limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's together.
    Route,
    /// One client's.
    Client,
}

/// Clients that a limiter remembers at most; default.
pub const MAX_CLIENTS: usize = 16_384;

/// The limits of one route. `K` is what a client is known by: its address or its identity.
#[derive(Debug, Clone)]
pub struct Limiter<K> {
    total: Option<RateLimit>,
    client: Option<RateLimit>,
    cell: u64,
    cells: HashMap<K, u64>,
    max_clients: usize,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// A limiter that has seen nothing.
    pub fn new(total: Option<RateLimit>, client: Option<RateLimit>) -> Limiter<K> {
        Limiter {
            total,
            client,
            cell: 0,
            cells: HashMap::new(),
            max_clients: MAX_CLIENTS,
        }
    }

    /// The same with room for other than [`MAX_CLIENTS`] clients.
    #[must_use]
    pub fn with_max_clients(mut self, max: usize) -> Limiter<K> {
        self.max_clients = max.max(1);
        self
    }

    /// Takes one request of a client, from its own limit and then from everybody's.
    ///
    /// # Errors
    /// Whose limit is used up; nothing is taken from either then.
    pub fn take(&mut self, client: &K, now: Mono) -> Result<(), Refused> {
        let mut own = None;
        if let Some(limit) = self.client {
            let mut cell = self.cells.get(client).copied().unwrap_or(0);
            limit.take(&mut cell, now).map_err(|retry_after| Refused {
                by: Scope::Client,
                retry_after,
            })?;
            own = Some(cell);
        }
        if let Some(limit) = self.total {
            limit.take(&mut self.cell, now).map_err(|retry_after| Refused {
                by: Scope::Route,
                retry_after,
            })?;
        }
        if let Some(cell) = own {
            self.keep(client, cell, now);
        }
        Ok(())
    }

    fn keep(&mut self, client: &K, cell: u64, now: Mono) {
        if let Some(known) = self.cells.get_mut(client) {
            *known = cell;
            return;
        }
        if self.cells.len() >= self.max_clients {
            // Whose moment has passed is as good as never seen. If all are still counted, those go that would be free
            // soonest: half of them, so that this is not done for each newcomer.
            self.cells.retain(|_, cell| *cell > now.0);
            if self.cells.len() >= self.max_clients {
                let mut moments: Vec<u64> = self.cells.values().copied().collect();
                let middle = moments.len() / 2;
                let (_, median, _) = moments.select_nth_unstable(middle);
                let median = *median;
                self.cells.retain(|_, cell| *cell > median);
            }
        }
        self.cells.insert(client.clone(), cell);
    }

    /// Clients that are remembered.
    pub fn clients(&self) -> usize {
        self.cells.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::{millis, ms};
    use proptest::prelude::*;

    fn rate(per_second: f64, burst: u32) -> Option<RateLimit> {
        Some(RateLimit { per_second, burst })
    }

    /// Ten a second with a burst of three: three at once, then one each 100 ms.
    #[test]
    fn the_golden_sequence() {
        let mut l: Limiter<u8> = Limiter::new(rate(10.0, 3), None);
        let mut at = |t| l.take(&0, ms(t)).map_err(|r| r.retry_after);
        assert_eq!([at(1_000), at(1_000), at(1_000)], [Ok(()); 3]);
        assert_eq!(at(1_000), Err(millis(100)));
        assert_eq!(at(1_060), Err(millis(40)));
        assert_eq!(at(1_100), Ok(()));
        assert_eq!(at(1_100), Err(millis(100)));
        // After a rest the whole burst is there again, and no more.
        assert_eq!([at(5_000), at(5_000), at(5_000)], [Ok(()); 3]);
        assert_eq!(at(5_000), Err(millis(100)));
    }

    #[test]
    fn clients_have_their_own_and_share_the_route() {
        let mut l: Limiter<&str> = Limiter::new(rate(1.0, 3), rate(1.0, 2));
        assert!(l.take(&"a", ms(0)).is_ok() && l.take(&"a", ms(0)).is_ok());
        assert_eq!(l.take(&"a", ms(0)).unwrap_err().by, Scope::Client);
        assert!(
            l.take(&"b", ms(0)).is_ok(),
            "the refused one took nothing from the route"
        );
        assert_eq!(l.take(&"b", ms(0)).unwrap_err().by, Scope::Route);
        assert_eq!(l.take(&"c", ms(0)).unwrap_err().by, Scope::Route);
        assert_eq!(l.clients(), 2, "nor did it make the limiter remember anybody");
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let mut l: Limiter<u32> = Limiter::new(None, rate(1.0, 100)).with_max_clients(64);
        for client in 0..10_000 {
            assert!(l.take(&client, ms(u64::from(client) / 100)).is_ok());
            assert!(l.clients() <= 64);
        }
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_than_rate_and_burst(
            waits in prop::collection::vec(0u64..300, 1..200), per_second in 1u32..50, burst in 1u32..10
        ) {
            let mut l: Limiter<u8> = Limiter::new(rate(f64::from(per_second), burst), None);
            let mut passed = Vec::new();
            let mut now = 1;
            for wait in waits {
                now += wait;
                if l.take(&0, ms(now)).is_ok() {
                    passed.push(now);
                }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let allowed = f64::from(burst) + (to - from) as f64 / 1e3 * f64::from(per_second);
                    prop_assert!((j - i + 1) as f64 <= allowed + 1e-6);
                }
            }
        }

        #[test]
        fn who_waits_as_told_passes(per_second in 0.1f64..1e6, burst in 1u32..5) {
            let mut l: Limiter<u8> = Limiter::new(rate(per_second, burst), None);
            let mut now = Mono(0);
            for _ in 0..50 {
                if let Err(refused) = l.take(&0, now) {
                    now = Mono(now.0 + refused.retry_after.as_nanos() as u64);
                    prop_assert!(l.take(&0, now).is_ok());
                }
            }
        }
    }
}
