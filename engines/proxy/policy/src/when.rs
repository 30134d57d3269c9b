//! Arithmetic of moments: later ones saturate, and lengths are whole nanoseconds.

use std::time::Duration;

use qd_core::Mono;

/// A length in nanoseconds; lengths beyond 584 years are that long.
pub(crate) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

/// The moment so much later; stops at the last one.
pub(crate) fn after(at: Mono, length: Duration) -> Mono {
    Mono(at.0.saturating_add(nanos(length)))
}

#[cfg(test)]
pub(crate) mod test {
    use super::*;

    /// The moment so many milliseconds after the clock's origin.
    pub(crate) fn ms(at: u64) -> Mono {
        Mono(at * 1_000_000)
    }

    /// So many milliseconds.
    pub(crate) fn millis(length: u64) -> Duration {
        Duration::from_millis(length)
    }
}
