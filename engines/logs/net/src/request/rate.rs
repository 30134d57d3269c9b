//! How many requests may start in a window of time.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets `count` requests start in each window; a window begins with its first request.
#[derive(Debug)]
pub(crate) struct RateLimit {
    limit: Option<(u64, Duration)>,
    ends: Instant,
    left: u64,
}

impl RateLimit {
    /// So many in a window of this length; `None` is no limit. Zero requests in a window are taken as one.
    pub(crate) fn new(limit: Option<(u64, Duration)>) -> RateLimit {
        RateLimit {
            limit,
            ends: Instant::now(),
            left: 0,
        }
    }

    /// Waits until one more may start, and counts it. Safe to cancel.
    pub(crate) async fn wait(&mut self) {
        let Some((count, window)) = self.limit else { return };
        let now = Instant::now();
        if now < self.ends && self.left == 0 {
            sleep_until(self.ends).await;
        }
        let now = Instant::now();
        if now >= self.ends {
            self.ends = now + window;
            self.left = count.max(1);
        }
        self.left -= 1;
    }
}
