//! Token buckets: so many bytes and operations in so much time.
//!
//! A bucket holds `size` tokens and is full again after `refill_time`; a burst on top is spent first and never comes back.
//! Refilling keeps the remainder of each division, so that a rate is held however often it is asked. A request larger than
//! the bucket is let through when the bucket is full, and puts it in debt for as long as it would have needed.
//! Time is nanoseconds of any clock that does not go back.

use serde::{Deserialize, Serialize};

/// A bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    size: u64,
    refill_ns: u64,
    burst: u64,
    // Tokens, below 0 in debt.
    tokens: i128,
    // The part of a token that is not yet one, in tokens × refill_ns.
    part: u128,
    last: u64,
}

impl Bucket {
    /// A full bucket, or none where size or time is 0, which does not limit. `refill_ms` is in milliseconds.
    pub fn new(size: u64, burst: u64, refill_ms: u64, now: u64) -> Option<Bucket> {
        let refill_ns = refill_ms.checked_mul(1_000_000)?;
        (size > 0 && refill_ns > 0).then_some(Bucket {
            size,
            refill_ns,
            burst,
            tokens: i128::from(size),
            part: 0,
            last: now,
        })
    }

    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let sum = u128::from(passed) * u128::from(self.size) + self.part;
        let whole = sum / u128::from(self.refill_ns);
        self.part = sum % u128::from(self.refill_ns);
        self.tokens = self.tokens.saturating_add(i128::try_from(whole).unwrap_or(i128::MAX));
        if self.tokens >= i128::from(self.size) {
            self.tokens = i128::from(self.size);
            self.part = 0;
        }
    }

    /// Nanoseconds until so many tokens can be had; 0 for now.
    fn wait(&self, wanted: u64) -> u64 {
        let beyond = wanted.saturating_sub(self.burst);
        if beyond == 0 {
            return 0;
        }
        let needed = i128::from(beyond.min(self.size)) - self.tokens;
        let Ok(needed) = u128::try_from(needed) else { return 0 };
        if needed == 0 {
            return 0;
        }
        let ns = (needed * u128::from(self.refill_ns))
            .saturating_sub(self.part)
            .div_ceil(u128::from(self.size));
        u64::try_from(ns).unwrap_or(u64::MAX).max(1)
    }

    fn take(&mut self, wanted: u64) {
        let of_burst = wanted.min(self.burst);
        self.burst -= of_burst;
        self.tokens -= i128::from(wanted - of_burst);
    }
}

/// A bucket for bytes and one for operations; either may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limiter {
    /// Bytes.
    pub bytes: Option<Bucket>,
    /// Operations.
    pub ops: Option<Bucket>,
}

impl Limiter {
    /// Whether nothing is limited.
    pub const fn is_open(&self) -> bool {
        self.bytes.is_none() && self.ops.is_none()
    }

    /// Takes the tokens of one operation of so many bytes.
    ///
    /// # Errors
    /// Nanoseconds after which it can be asked again; nothing was taken then.
    pub fn take(&mut self, bytes: u64, now: u64) -> Result<(), u64> {
        let mut wait = 0;
        for (bucket, wanted) in [(&mut self.bytes, bytes), (&mut self.ops, 1)] {
            if let Some(b) = bucket {
                b.refill(now);
                wait = wait.max(b.wait(wanted));
            }
        }
        if wait > 0 {
            return Err(wait);
        }
        if let Some(b) = &mut self.bytes {
            b.take(bytes);
        }
        if let Some(b) = &mut self.ops {
            b.take(1);
        }
        Ok(())
    }

    /// Moves the clock's zero, for one that was saved under another clock.
    pub fn rebase(&mut self, now: u64) {
        for b in [&mut self.bytes, &mut self.ops].into_iter().flatten() {
            b.last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_burst_first_then_the_rate() {
        let mut l = Limiter {
            bytes: Bucket::new(1000, 500, 1000, 0),
            ops: None,
        };
        assert_eq!(l.take(500, 0), Ok(()));
        assert_eq!(l.take(1000, 0), Ok(()));
        assert_eq!(l.take(100, 0), Err(S / 10));
        assert_eq!(l.take(100, S / 10 - 1), Err(1));
        assert_eq!(l.take(100, S / 10), Ok(()));
        assert_eq!(Bucket::new(0, 5, 1, 0), None);
        assert_eq!(Bucket::new(5, 5, 0, 0), None);
        assert!(Limiter::default().take(u64::MAX, 0).is_ok());
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_and_is_paid_for() {
        let mut l = Limiter {
            bytes: Bucket::new(1000, 0, 1000, 0),
            ops: None,
        };
        assert_eq!(l.take(3000, 0), Ok(()));
        assert_eq!(l.take(1, 0), Err(2 * S + S / 1000));
        assert_eq!(l.take(1, 2 * S + S / 1000), Ok(()));
    }

    proptest! {
        #[test]
        fn the_rate_is_held_however_it_is_asked(size in 1u64..1 << 40, ms in 1u64..100_000, asks in prop::collection::vec((0u64..S, 1u64..1 << 41), 1..200)) {
            let mut l = Limiter { bytes: Bucket::new(size, 0, ms, 0), ops: None };
            let (mut now, mut got, mut last) = (0u64, 0u128, 0u128);
            for (later, wanted) in asks {
                now += later;
                if let Err(wait) = l.take(wanted, now) {
                    prop_assert!(wait > 0);
                    let Some(then) = now.checked_add(wait) else { return Ok(()) };
                    now = then;
                    prop_assert_eq!(l.take(wanted, now), Ok(()), "what was promised is kept");
                }
                got += u128::from(wanted);
                last = u128::from(wanted);
            }
            // Never more than a full bucket, what time gave, and the last that went into debt.
            let most = u128::from(size) + u128::from(now) * u128::from(size) / u128::from(ms * 1_000_000) + last;
            prop_assert!(got <= most, "{} of {}", got, most);
        }
    }
}
