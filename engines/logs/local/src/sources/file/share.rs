//! How many files may be open at once: half of what the process may have, so that sinks, positions and searches for files
//! find descriptors as well.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// Files that all sources of this process have open.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Files that may be open however few descriptors there are.
const LEAST: usize = 4;

/// What one source takes of it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    taken: usize,
    /// It was said that files take turns.
    pub(crate) said: bool,
}

impl Share {
    /// Whether one more file may be opened by a source that has so many open now.
    pub(crate) fn has_room(&mut self, own: usize) -> bool {
        let all = match own.checked_sub(self.taken) {
            Some(more) => OPEN.fetch_add(more, Ordering::Relaxed) + more,
            None => OPEN.fetch_sub(self.taken - own, Ordering::Relaxed) - (self.taken - own),
        };
        self.taken = own;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2;
        own < LEAST || (all as u64) < limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        OPEN.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
