//! Timestamps that never come twice: not after a restart, and not when the clock goes back.

use qd_kv_model::{LOGICAL_BITS, Ts};

/// How far ahead of the clock the promise on disk reaches, in milliseconds: so often it has to be renewed.
const AHEAD_MS: u64 = 3_000;
/// It is renewed when so little of it is left.
const RENEW_MS: u64 = 1_000;

/// Gives timestamps below a bound that is on disk. It has no disk itself: [`Oracle::wants`] says what to write, and
/// [`Oracle::persisted`] is told when it is written.
#[derive(Debug, Clone)]
pub struct Oracle {
    /// The millisecond of the newest timestamp, and how much of its counter is used.
    physical: u64,
    logical: u64,
    /// All timestamps are of milliseconds before this one.
    bound: u64,
}

/// Why there is no timestamp now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OracleError {
    /// The bound has to be on disk first.
    #[error("the bound of timestamps has to be written first")]
    Bound,
    /// Too many at once.
    #[error("{0} timestamps at once are too many")]
    TooMany(u64),
}

impl Oracle {
    /// Begins behind everything the bound that was found on disk allows to have been given out.
    pub const fn new(persisted_bound_ms: u64) -> Self {
        Self {
            physical: persisted_bound_ms,
            logical: 0,
            bound: persisted_bound_ms,
        }
    }

    /// The bound that should be written next, in milliseconds since 1970; nothing while enough is left.
    pub fn wants(&self, now_ms: u64) -> Option<u64> {
        let at = self.physical.max(now_ms);
        (self.bound < at.saturating_add(RENEW_MS)).then(|| at.saturating_add(AHEAD_MS))
    }

    /// The bound is on disk.
    pub fn persisted(&mut self, bound_ms: u64) {
        self.bound = self.bound.max(bound_ms);
    }

    /// `count` timestamps in a row; what is answered is the largest. A clock that went back changes nothing.
    ///
    /// # Errors
    /// When the bound on disk does not allow it, or more are wanted than a millisecond has.
    pub fn next(&mut self, now_ms: u64, count: u64) -> Result<Ts, OracleError> {
        const ROOM: u64 = 1 << LOGICAL_BITS;
        if count == 0 || count >= ROOM {
            return Err(OracleError::TooMany(count));
        }
        let (mut physical, mut logical) = (self.physical, self.logical);
        if now_ms > physical {
            (physical, logical) = (now_ms, 0);
        }
        if logical + count >= ROOM {
            (physical, logical) = (physical + 1, 0);
        }
        if physical >= self.bound {
            return Err(OracleError::Bound);
        }
        (self.physical, self.logical) = (physical, logical + count);
        Ok(Ts::compose(physical, self.logical))
    }
}
