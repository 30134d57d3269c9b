//! How many retries there may be, as a share of the requests: a failing cluster must not get twice its load.
//!
//! Each request deposits 1, each retry takes `1/ratio`; what was deposited is forgotten slot by slot after the time to
//! live. Beside that there is a reserve of `min_per_second · ttl` retries, so that a quiet route can retry at all. All of
//! it is counted in thousandths, as whole numbers.

use std::time::Duration;

use qd_core::Mono;

use crate::when::nanos;

/// Slots that the time to live is divided into.
const SLOTS: usize = 10;
/// One deposit.
const ONE: i64 = 1_000;

/// How many retries there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetConfig {
    /// Retries for each request, from 0 to 1000; default 0.2.
    pub ratio: f64,
    /// Retries in a second that are always allowed; default 10.
    pub min_per_second: u32,
    /// How long a request counts, at least 10 ns; default 10 s.
    pub ttl: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        BudgetConfig {
            ratio: 0.2,
            min_per_second: 10,
            ttl: Duration::from_secs(10),
        }
    }
}

/// The retries that are left.
#[derive(Debug, Clone)]
pub struct Budget {
    slots: [i64; SLOTS],
    /// The number of the slot that is written: the time divided by the slot's length.
    current: u64,
    slot: u64,
    price: i64,
    reserve: i64,
}

impl Budget {
    /// A budget with its whole reserve and no deposits.
    pub fn new(config: BudgetConfig, now: Mono) -> Budget {
        let slot = (nanos(config.ttl) / SLOTS as u64).max(1);
        // A ratio of 0 has a price that nothing pays.
        let price = if config.ratio > 0.0 {
            ((ONE as f64 / config.ratio.min(1_000.0)).round() as i64).max(1)
        } else {
            i64::MAX
        };
        let seconds = config.ttl.as_secs_f64();
        let reserve = if price == i64::MAX {
            0
        } else {
            (f64::from(config.min_per_second) * seconds * price as f64) as i64
        };
        Budget {
            slots: [0; SLOTS],
            current: now.0 / slot,
            slot,
            price,
            reserve,
        }
    }

    /// Forgets what is older than the time to live.
    fn turn(&mut self, now: Mono) {
        let current = (now.0 / self.slot).max(self.current);
        let steps = current - self.current;
        for step in 1..=steps.min(SLOTS as u64) {
            if let Some(slot) = self.slots.get_mut(((self.current + step) % SLOTS as u64) as usize) {
                *slot = 0;
            }
        }
        self.current = current;
    }

    fn add(&mut self, amount: i64) {
        if let Some(slot) = self.slots.get_mut((self.current % SLOTS as u64) as usize) {
            *slot = slot.saturating_add(amount);
        }
    }

    fn sum(&self) -> i64 {
        self.slots
            .iter()
            .fold(self.reserve, |sum, slot| sum.saturating_add(*slot))
    }

    /// A request was sent, which was no retry.
    pub fn deposit(&mut self, now: Mono) {
        self.turn(now);
        self.add(ONE);
    }

    /// Takes one retry, if there is one.
    #[must_use = "without the budget there is no retry"]
    pub fn withdraw(&mut self, now: Mono) -> bool {
        self.turn(now);
        let enough = self.sum() >= self.price;
        if enough {
            self.add(-self.price);
        }
        enough
    }

    /// The retries that could be taken by now. Changes nothing.
    pub fn left(&self, now: Mono) -> u64 {
        let mut seen = self.clone();
        seen.turn(now);
        u64::try_from(seen.sum() / self.price).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::ms;
    use proptest::prelude::*;

    fn budget(ratio: f64, min: u32) -> Budget {
        let config = BudgetConfig {
            ratio,
            min_per_second: min,
            ..BudgetConfig::default()
        };
        Budget::new(config, ms(0))
    }

    fn take(budget: &mut Budget, at: u64) -> u64 {
        (0..).take_while(|_| budget.withdraw(ms(at))).count() as u64
    }

    #[test]
    fn the_reserve_is_the_least_rate_over_the_time_to_live() {
        let mut b = budget(0.2, 10);
        assert_eq!(take(&mut b, 0), 100);
        // What was taken comes back when its slot is forgotten: all was taken in the first second.
        assert_eq!(take(&mut b, 9_999), 0);
        assert_eq!(take(&mut b, 10_000), 100);
    }

    #[test]
    fn one_retry_for_five_requests() {
        let mut b = budget(0.2, 0);
        assert!(!b.withdraw(ms(0)));
        for i in 0..4 {
            b.deposit(ms(i));
        }
        assert!(!b.withdraw(ms(5)));
        b.deposit(ms(6));
        assert_eq!(b.left(ms(6)), 1);
        assert!(b.withdraw(ms(7)));
        assert!(!b.withdraw(ms(7)));
    }

    /// By hand: 50 requests in second 0 and 20 in second 5 are 14 retries; at second 10 only the 20 count and at second 15
    /// nothing. Three retries taken in second 6 weigh until second 16.
    #[test]
    fn the_golden_sequence() {
        let mut b = budget(0.2, 0);
        (0..50).for_each(|_| b.deposit(ms(500)));
        (0..20).for_each(|_| b.deposit(ms(5_500)));
        assert_eq!(b.left(ms(5_500)), 14);
        for _ in 0..3 {
            assert!(b.withdraw(ms(6_000)));
        }
        assert_eq!(b.left(ms(9_999)), 11);
        assert_eq!(b.left(ms(10_000)), 1);
        assert_eq!(b.left(ms(15_000)), 0);
        (0..15).for_each(|_| b.deposit(ms(15_000)));
        assert_eq!(b.left(ms(15_000)), 0);
        assert_eq!(b.left(ms(16_000)), 3);
    }

    #[test]
    fn ratios_are_not_rounded_to_whole_requests() {
        let mut b = budget(0.3, 0);
        (0..1_000).for_each(|_| b.deposit(ms(0)));
        // 1000 / 0.3 = 3333.33 thousandths, rounded to 3333.
        assert_eq!(take(&mut b, 0), 300);
        let mut never = budget(0.0, 10);
        (0..1_000).for_each(|_| never.deposit(ms(0)));
        assert_eq!(take(&mut never, 0), 0);
        let mut double = budget(2.0, 0);
        double.deposit(ms(0));
        assert_eq!(take(&mut double, 0), 2);
    }

    proptest! {
        #[test]
        fn over_any_time_to_live_retries_keep_the_ratio(
            steps in prop::collection::vec((0u64..1_500, 0usize..20, 0usize..20), 1..80)
        ) {
            let mut b = budget(0.2, 1);
            let mut now = 0;
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for (wait, deposits, tries) in steps {
                now += wait;
                for _ in 0..deposits {
                    b.deposit(ms(now));
                    requests.push(now);
                }
                for _ in 0..tries {
                    let left = b.left(ms(now));
                    let taken = b.withdraw(ms(now));
                    prop_assert_eq!(taken, left > 0);
                    if taken {
                        retries.push(now);
                    }
                }
                // Counted over whole slots, as the budget does.
                let since = (now / 1_000).saturating_sub(9) * 1_000;
                let count = |all: &[u64]| all.iter().filter(|at| **at >= since).count() as f64;
                // A retry may be paid by requests that were forgotten since, at most one time to live earlier.
                let earlier = since.saturating_sub(9_000);
                let paying = requests.iter().filter(|at| **at >= earlier).count() as f64;
                prop_assert!(count(&retries) <= paying * 0.2 + 10.0 + 1e-9);
            }
        }
    }
}
