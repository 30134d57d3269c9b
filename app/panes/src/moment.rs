//! The time that the panes of a session stand at together: set from a row of one of them, the others go there too.

use std::sync::{Mutex, PoisonError};

use qd_core::Timestamp;

/// How often it was set, and to what; without a time everything is live.
static SHARED: Mutex<(u64, Option<Timestamp>)> = Mutex::new((0, None));

/// How often it was set, and to what.
pub(crate) fn shared() -> (u64, Option<Timestamp>) {
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets it; gives how often it was set by now.
pub(crate) fn set(to: Option<Timestamp>) -> u64 {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    *shared = (shared.0 + 1, to);
    shared.0
}
