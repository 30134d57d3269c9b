//! Timestamps of transactions, in TiKV's layout: milliseconds since 1970 above 18 bits of a counter.

use std::fmt;

/// How many of the low bits are the counter.
pub const LOGICAL_BITS: u32 = 18;

/// A point in the order of transactions. Zero is before all of them, and the time of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ts(pub u64);

impl Ts {
    /// Before everything.
    pub const ZERO: Self = Self(0);
    /// After everything; also what a lock carries that shall block nobody's read at a real timestamp.
    pub const MAX: Self = Self(u64::MAX);

    /// From milliseconds and counter. Bits that do not fit are cut off.
    pub const fn compose(physical_ms: u64, logical: u64) -> Self {
        Self((physical_ms << LOGICAL_BITS) | (logical & ((1 << LOGICAL_BITS) - 1)))
    }

    /// The milliseconds since 1970.
    pub const fn physical_ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The counter within the millisecond.
    pub const fn logical(self) -> u64 {
        self.0 & ((1 << LOGICAL_BITS) - 1)
    }

    /// Whether it is [`Ts::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The next one; the last has itself as the next.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before; zero has itself as the one before.
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let ts = Ts::compose(1_700_000_000_123, 77);
        assert_eq!((ts.physical_ms(), ts.logical()), (1_700_000_000_123, 77));
        assert!(ts < ts.next() && ts.prev() < ts);
        assert_eq!(Ts::MAX.next(), Ts::MAX);
        assert_eq!(Ts::ZERO.prev(), Ts::ZERO);
    }
}
