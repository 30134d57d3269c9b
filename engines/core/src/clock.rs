//! Clocks and the shared time cursor.
//!
//! Everything that needs the time is given a [`Clock`], so that tests and replays own it. The [`TimeCursor`] is the moment
//! (or stretch) that every following pane looks at; it is published without locks and is never moved by an engine.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::publish::{Published, Wake, WakeGuard};
use crate::time::{Mono, Now, Timestamp, When};
use crate::units::{HumanDuration, UnitError};

/// One moment on both scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Instant {
    /// By the wall clock; may jump.
    pub wall: Timestamp,
    /// By the monotonic clock; never runs backwards.
    pub mono: Mono,
}

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment.
    fn now(&self) -> Instant;

    /// The present moment on the monotonic scale alone, which may cost less.
    fn mono(&self) -> Mono {
        self.now().mono
    }
}

/// The clock of the machine. Its monotonic scale starts when it is made.
#[derive(Debug, Clone)]
pub struct RealClock {
    origin: std::time::Instant,
}

impl RealClock {
    /// A clock whose monotonic scale starts now.
    pub fn new() -> RealClock {
        RealClock {
            origin: std::time::Instant::now(),
        }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn now(&self) -> Instant {
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(0).after(after),
            Err(before) => Timestamp(0).before(before.duration()),
        };
        Instant {
            wall,
            mono: self.mono(),
        }
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A clock that moves only when told to. Clones share the time.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    wall: Arc<AtomicI64>,
    mono: Arc<AtomicU64>,
}

impl VirtualClock {
    /// A clock that stands at `wall`, with its monotonic scale at zero.
    pub fn at(wall: Timestamp) -> VirtualClock {
        let clock = VirtualClock::default();
        clock.set_wall(wall);
        clock
    }

    /// Lets time pass on both scales.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.mono.fetch_add(nanos, Ordering::SeqCst);
        self.set_wall(Timestamp(self.wall.load(Ordering::SeqCst)).after(by));
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn set_wall(&self, wall: Timestamp) {
        self.wall.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant {
            wall: Timestamp(self.wall.load(Ordering::SeqCst)),
            mono: Mono(self.mono.load(Ordering::SeqCst)),
        }
    }
}

/// What moment the panes look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cursor {
    /// The present, and whatever comes.
    #[default]
    Live,
    /// One moment.
    At(Timestamp),
    /// A stretch from the first to the second moment, both included.
    Range(Timestamp, Timestamp),
}

impl Cursor {
    /// A stretch between two moments in either order.
    pub fn range(a: Timestamp, b: Timestamp) -> Cursor {
        Cursor::Range(a.min(b), a.max(b))
    }

    /// Reads `live`, a moment as [`When::parse`] does, or two of them joined by `..`.
    pub fn parse(text: &str, now: &Now) -> Result<Cursor, UnitError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("live") {
            return Ok(Cursor::Live);
        }
        match text.split_once("..") {
            Some((from, to)) => {
                let start = When::parse(from, now)?.start(now.at);
                let end = When::parse(to, now).map_err(|error| {
                    let shift = from.len() + 2;
                    UnitError {
                        span: error.span.start + shift..error.span.end + shift,
                        message: error.message,
                    }
                })?;
                Ok(Cursor::range(start, end.start(now.at)))
            }
            None => Ok(Cursor::At(When::parse(text, now)?.start(now.at))),
        }
    }

    /// Whether something that happened at `at` is within view: up to the moment, or inside the stretch.
    pub fn shows(self, at: Timestamp) -> bool {
        match self {
            Cursor::Live => true,
            Cursor::At(moment) => at <= moment,
            Cursor::Range(from, to) => from <= at && at <= to,
        }
    }

    /// What the status line says: `LIVE`, `12:03:41 (−4m)`, `12:00:00 – 12:05:00`.
    pub fn describe(self, now: Timestamp, zone: &TimeZone) -> String {
        match self {
            Cursor::Live => "LIVE".to_owned(),
            Cursor::At(at) => {
                let (sign, distance) = if at <= now {
                    ('−', now.since(at))
                } else {
                    ('+', at.since(now))
                };
                let whole = Duration::from_secs(distance.as_secs());
                format!("{} ({sign}{})", at.time_of_day(zone), HumanDuration(whole))
            }
            Cursor::Range(from, to) => format!("{} – {}", from.time_of_day(zone), to.time_of_day(zone)),
        }
    }
}

/// The cursor that the panes of a session share. Clones share it.
#[derive(Debug, Clone)]
pub struct TimeCursor(Published<Cursor>);

impl Default for TimeCursor {
    fn default() -> Self {
        TimeCursor(Published::new(Cursor::Live))
    }
}

impl TimeCursor {
    /// A cursor that is live.
    pub fn new() -> TimeCursor {
        TimeCursor::default()
    }

    /// Where it is.
    pub fn get(&self) -> Cursor {
        *self.0.load()
    }

    /// Moves it and tells everyone; nothing is said when it stays where it was.
    pub fn set(&self, cursor: Cursor) {
        if self.get() != cursor {
            self.0.publish(cursor);
        }
    }

    /// A tokio watch that changes when the cursor moves.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }

    /// Calls `wake` after each move for as long as the guard lives.
    #[must_use = "the callback goes away with the guard"]
    pub fn on_change(&self, wake: Wake) -> WakeGuard {
        self.0.on_change(wake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_told() {
        let clock = VirtualClock::at(Timestamp(100));
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.clone().advance(Duration::from_nanos(50));
        assert_eq!(
            clock.now(),
            Instant {
                wall: Timestamp(150),
                mono: Mono(50)
            }
        );
        clock.set_wall(Timestamp(3));
        assert_eq!(
            clock.now(),
            Instant {
                wall: Timestamp(3),
                mono: Mono(50)
            }
        );
    }

    #[test]
    fn the_real_monotonic_scale_does_not_run_backwards() {
        let clock = RealClock::new();
        let mut last = clock.now().mono;
        for _ in 0..1000 {
            let next = clock.now().mono;
            assert!(next >= last);
            last = next;
        }
        assert!(clock.now().wall > Timestamp(0));
    }

    #[test]
    fn the_cursor_is_parsed_described_and_shared() {
        let now = Now::utc(Timestamp(86_400_000_000_000));
        let at = Cursor::parse("4m", &now).unwrap();
        assert_eq!(at.describe(now.at, &now.zone), "23:56:00 (−4m)");
        let range = Cursor::parse("5m..10m", &now).unwrap();
        assert_eq!(range.describe(now.at, &now.zone), "23:50:00 – 23:55:00");
        assert_eq!(Cursor::parse("5m..zz", &now).unwrap_err().span, 4..6);
        let cursor = TimeCursor::new();
        let watch = cursor.watch();
        cursor.set(Cursor::Live);
        assert!(!watch.has_changed().unwrap());
        cursor.clone().set(at);
        assert!(watch.has_changed().unwrap());
        assert_eq!(cursor.get(), at);
    }

    #[test]
    fn the_cursor_decides_what_is_in_view() {
        assert!(Cursor::Live.shows(Timestamp(5)));
        assert!(Cursor::At(Timestamp(5)).shows(Timestamp(5)));
        assert!(!Cursor::At(Timestamp(5)).shows(Timestamp(6)));
        assert!(!Cursor::range(Timestamp(9), Timestamp(7)).shows(Timestamp(6)));
        assert!(Cursor::range(Timestamp(9), Timestamp(7)).shows(Timestamp(8)));
    }
}
