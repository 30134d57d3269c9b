//! Who waits while no endpoint is ready, and when nobody waits any more.
//!
//! A request passes at once when an endpoint is ready. Otherwise it waits, up to a number of requests and until the
//! endpoints have been unready for the failfast time; then everybody who waits is turned away together and newcomers are
//! not let in at all, until an endpoint is ready again. Waiting in vain is paid once, not by each request.

use std::time::Duration;

use qd_core::Mono;

use crate::cause::Cause;
use crate::when::after;

/// How many wait and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Requests that wait at most; default 10,000.
    pub capacity: usize,
    /// How long no endpoint may be ready before nobody waits any more; default 3 s.
    pub failfast: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            capacity: 10_000,
            failfast: Duration::from_secs(3),
        }
    }
}

/// What a newcomer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is sent at once.
    Pass,
    /// It waits, at most until the moment; it is counted until [`Queue::leave`].
    Wait {
        /// When it is turned away with [`Cause::FailFast`].
        until: Mono,
    },
    /// It is turned away.
    Refuse(Cause),
}

/// The state of the endpoints as the queue sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueState {
    /// One is ready.
    Ready,
    /// None is, and it is waited for.
    Blocked {
        /// Since when.
        since: Mono,
    },
    /// None has been for too long.
    FailFast {
        /// Since when none is ready.
        since: Mono,
    },
}

/// The queue of one cluster.
#[derive(Debug, Clone)]
pub struct Queue {
    config: QueueConfig,
    blocked: Option<Mono>,
    waiting: usize,
}

impl Queue {
    /// An empty queue in front of endpoints that are ready.
    pub fn new(config: QueueConfig) -> Queue {
        Queue {
            config,
            blocked: None,
            waiting: 0,
        }
    }

    /// What a newcomer does; `ready` says whether an endpoint is ready right now.
    pub fn enter(&mut self, ready: Readiness, now: Mono) -> Entry {
        self.observe(ready, now);
        match self.blocked {
            None => Entry::Pass,
            Some(since) => {
                let until = after(since, self.config.failfast);
                if now >= until {
                    Entry::Refuse(Cause::FailFast)
                } else if self.waiting >= self.config.capacity {
                    Entry::Refuse(Cause::QueueFull)
                } else {
                    self.waiting += 1;
                    Entry::Wait { until }
                }
            }
        }
    }

    /// One that waited goes: it is sent, turned away or gave up.
    pub fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The endpoints were looked at. The time without one begins with the first look that finds none.
    pub fn observe(&mut self, ready: Readiness, now: Mono) {
        match ready {
            Readiness::Ready => self.blocked = None,
            Readiness::Unready => {
                self.blocked.get_or_insert(now);
            }
        }
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How it stands.
    pub fn state(&self, now: Mono) -> QueueState {
        match self.blocked {
            None => QueueState::Ready,
            Some(since) if now >= after(since, self.config.failfast) => QueueState::FailFast { since },
            Some(since) => QueueState::Blocked { since },
        }
    }
}

/// Whether an endpoint is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// At least one.
    Ready,
    /// None.
    Unready,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::ms;
    use Readiness::{Ready, Unready};

    #[test]
    fn waiting_is_paid_once() {
        let mut q = Queue::new(QueueConfig::default());
        assert_eq!(q.enter(Ready, ms(0)), Entry::Pass);
        assert_eq!(q.enter(Unready, ms(1_000)), Entry::Wait { until: ms(4_000) });
        // Who comes later waits no longer than the first.
        assert_eq!(q.enter(Unready, ms(3_900)), Entry::Wait { until: ms(4_000) });
        assert_eq!(q.state(ms(3_999)), QueueState::Blocked { since: ms(1_000) });
        assert_eq!(q.enter(Unready, ms(4_000)), Entry::Refuse(Cause::FailFast));
        assert_eq!(q.state(ms(60_000)), QueueState::FailFast { since: ms(1_000) });
        assert_eq!(q.waiting(), 2);
        q.leave();
        q.leave();
        // One that is ready ends it, and the time begins anew.
        assert_eq!(q.enter(Ready, ms(60_000)), Entry::Pass);
        assert_eq!(q.enter(Unready, ms(61_000)), Entry::Wait { until: ms(64_000) });
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut q = Queue::new(QueueConfig {
            capacity: 2,
            ..QueueConfig::default()
        });
        assert!(matches!(q.enter(Unready, ms(0)), Entry::Wait { .. }));
        assert!(matches!(q.enter(Unready, ms(0)), Entry::Wait { .. }));
        assert_eq!(q.enter(Unready, ms(0)), Entry::Refuse(Cause::QueueFull));
        q.leave();
        assert!(matches!(q.enter(Unready, ms(0)), Entry::Wait { .. }));
        assert_eq!(q.waiting(), 2);
    }
}
