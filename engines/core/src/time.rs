//! Moments: nanosecond timestamps, and reading a moment the way a person types one.
//!
//! This module owns the two time scales (wall clock and monotonic) and the spelling of moments: a time of day, a date,
//! RFC 3339, or so long ago. It never looks at a clock by itself: whoever parses says what "now" is and in which zone.

use std::fmt;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::units::{UnitError, parse_duration};

/// A wall-clock moment: nanoseconds since 1970-01-01T00:00:00Z, from the year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A monotonic moment: nanoseconds since the origin of the clock that made it. It never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(pub u64);

/// A duration in nanoseconds, clamped to what 63 bits hold.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Timestamp {
    /// The moment `duration` earlier; stops at the earliest one.
    pub fn before(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(nanos(duration)))
    }

    /// The moment `duration` later; stops at the latest one.
    pub fn after(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(nanos(duration)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(i128::from(self.0) - i128::from(earlier.0)).unwrap_or(0))
    }

    /// The same moment for jiff; `None` never happens for a 64-bit count but jiff cannot know.
    fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).ok()
    }

    fn from_jiff(at: jiff::Timestamp) -> Option<Timestamp> {
        i64::try_from(at.as_nanosecond()).ok().map(Timestamp)
    }

    /// The time of day in a zone as `12:03:41`; empty only for a moment that jiff cannot represent.
    pub fn time_of_day(self, zone: &TimeZone) -> String {
        self.to_jiff()
            .map(|at| at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string())
            .unwrap_or_default()
    }

    /// Date and time in a zone as `2026-11-23 12:03:41.250`.
    pub fn date_time(self, zone: &TimeZone) -> String {
        self.to_jiff()
            .map(|at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
            .unwrap_or_default()
    }
}

impl Mono {
    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many fractional digits as the moment needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(at) => write!(f, "{at}"),
            None => write!(f, "@{}ns", self.0),
        }
    }
}

/// What relative moments are relative to: the present, and the zone in which people read clocks.
#[derive(Debug, Clone)]
pub struct Now {
    /// The present moment.
    pub at: Timestamp,
    /// The zone of bare dates and times of day.
    pub zone: TimeZone,
}

impl Now {
    /// The given moment in the system's time zone.
    pub fn local(at: Timestamp) -> Now {
        Now {
            at,
            zone: TimeZone::system(),
        }
    }

    /// The given moment in UTC.
    pub fn utc(at: Timestamp) -> Now {
        Now {
            at,
            zone: TimeZone::UTC,
        }
    }

    fn civil(&self) -> Option<civil::DateTime> {
        Some(self.at.to_jiff()?.to_zoned(self.zone.clone()).datetime())
    }

    fn resolve(&self, local: civil::DateTime) -> Option<Timestamp> {
        Timestamp::from_jiff(local.to_zoned(self.zone.clone()).ok()?.timestamp())
    }
}

/// A moment as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long before the present; it moves along with the clock.
    Ago(Duration),
    /// A fixed moment. As typed it covers `start..=end`: `12:30` is that whole minute, `12:30:05` that second.
    At {
        /// The first nanosecond covered.
        start: Timestamp,
        /// The last nanosecond covered.
        end: Timestamp,
    },
}

impl When {
    /// The first moment covered.
    pub fn start(self, now: Timestamp) -> Timestamp {
        match self {
            When::Ago(duration) => now.before(duration),
            When::At { start, .. } => start,
        }
    }

    /// The last moment covered.
    pub fn end(self, now: Timestamp) -> Timestamp {
        match self {
            When::Ago(duration) => now.before(duration),
            When::At { end, .. } => end,
        }
    }

    /// Reads a moment: `15m` or `-15m` (ago), `now`, `today`, `yesterday`, `12:30`, `12:30:05.25` (the latest such time
    /// that is not in the future), `2026-11-23`, `2026-11-23T12:30`, RFC 3339, or `@1700000000` (seconds since 1970).
    pub fn parse(text: &str, now: &Now) -> Result<When, UnitError> {
        let wrong = || {
            let message = "expected a time such as 15m (ago), 12:30, 2026-11-23T12:30 or 2026-11-23T12:30:00Z";
            UnitError::new(0..text.len(), message)
        };
        let ago = text.strip_prefix('-').unwrap_or(text);
        if text == "now" {
            Ok(When::Ago(Duration::ZERO))
        } else if let Ok(duration) = parse_duration(ago) {
            Ok(When::Ago(duration))
        } else if let Some(seconds) = text.strip_prefix('@') {
            epoch(seconds).ok_or_else(wrong)
        } else {
            let found = if text.starts_with(|c: char| c.is_ascii_digit()) && text.as_bytes().get(4) != Some(&b'-') {
                time_of_day(text, now).or_else(|| date_time(text, now))
            } else {
                day(text, now).or_else(|| date_time(text, now))
            };
            found.ok_or_else(wrong)
        }
    }
}

fn spanning(start: Timestamp, nanos: i64) -> When {
    When::At {
        start,
        end: Timestamp(start.0.saturating_add(nanos - 1)),
    }
}

const SECOND: i64 = 1_000_000_000;

fn epoch(text: &str) -> Option<When> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let base = whole.parse::<i64>().ok()?.checked_mul(SECOND)?;
    if fraction.is_empty() {
        return Some(spanning(Timestamp(base), SECOND));
    }
    let sub = format!("{fraction:0<9}").parse::<i64>().ok()?;
    Some(spanning(Timestamp(base.checked_add(sub)?), 1))
}

/// How much a typed time of day covers: a minute, a second, or one instant.
fn precision(text: &str) -> i64 {
    match (text.contains('.'), text.matches(':').count()) {
        (true, _) => 1,
        (false, 0 | 1) => 60 * SECOND,
        (false, _) => SECOND,
    }
}

fn time_of_day(text: &str, now: &Now) -> Option<When> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let number = |t: &str| (t.len() <= 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i8>().ok())?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nano = format!("{fraction:0<9}").parse::<i32>().ok()?;
    let time = civil::Time::new(number(hour)?, number(minute)?, number(second)?, nano).ok()?;
    let today = now.civil()?.date();
    let start = now.resolve(today.to_datetime(time)).filter(|at| *at <= now.at);
    let start = start.or_else(|| now.resolve(today.yesterday().ok()?.to_datetime(time)))?;
    Some(spanning(start, precision(text)))
}

fn whole_day(date: civil::Date, now: &Now) -> Option<When> {
    let start = now.resolve(date.to_datetime(civil::Time::midnight()))?;
    let end = now.resolve(date.tomorrow().ok()?.to_datetime(civil::Time::midnight()))?;
    Some(When::At {
        start,
        end: Timestamp(end.0.saturating_sub(1)),
    })
}

fn day(text: &str, now: &Now) -> Option<When> {
    match text {
        "today" => whole_day(now.civil()?.date(), now),
        "yesterday" => whole_day(now.civil()?.date().yesterday().ok()?, now),
        _ => whole_day(text.parse::<civil::Date>().ok().filter(|_| text.len() == 10)?, now),
    }
}

fn date_time(text: &str, now: &Now) -> Option<When> {
    // The date itself has no colon, and an offset begins after the time, so only the clock part counts.
    let clock = text.get(11..)?;
    let clock = clock.split(['Z', 'z', '+', '-', '[']).next()?;
    let start = match text.parse::<jiff::Timestamp>() {
        Ok(at) => Timestamp::from_jiff(at)?,
        Err(_) => match text.parse::<jiff::Zoned>() {
            Ok(zoned) => Timestamp::from_jiff(zoned.timestamp())?,
            Err(_) => now.resolve(text.parse::<civil::DateTime>().ok()?)?,
        },
    };
    Some(spanning(start, precision(clock)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Now {
        let at = "2026-11-23T13:25:25Z".parse::<jiff::Timestamp>().unwrap();
        Now::utc(Timestamp::from_jiff(at).unwrap())
    }

    fn start(text: &str) -> String {
        let now = now();
        When::parse(text, &now)
            .map(|when| when.start(now.at).to_string())
            .unwrap_or_else(|e| e.message)
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(start("15m"), "2026-11-23T13:10:25Z");
        assert_eq!(start("-1h"), "2026-11-23T12:25:25Z");
        assert_eq!(start("now"), "2026-11-23T13:25:25Z");
        assert_eq!(start("12:30"), "2026-11-23T12:30:00Z");
        assert_eq!(start("14:30:05.25"), "2026-11-22T14:30:05.25Z");
        assert_eq!(start("today"), "2026-11-23T00:00:00Z");
        assert_eq!(start("yesterday"), "2026-11-22T00:00:00Z");
        assert_eq!(start("2026-11-20"), "2026-11-20T00:00:00Z");
        assert_eq!(start("2026-11-20T08:15"), "2026-11-20T08:15:00Z");
        assert_eq!(start("2026-11-20 08:15:01"), "2026-11-20T08:15:01Z");
        assert_eq!(start("2026-11-20T08:15:00+02:00"), "2026-11-20T06:15:00Z");
        assert_eq!(start("@1700000000.5"), "2023-11-14T22:13:20.5Z");
    }

    #[test]
    fn a_moment_covers_what_was_typed() {
        let now = now();
        let length = |text: &str| match When::parse(text, &now).unwrap() {
            When::At { start, end } => end.0 - start.0 + 1,
            When::Ago(_) => 0,
        };
        assert_eq!(length("12:30"), 60 * SECOND);
        assert_eq!(length("12:30:01"), SECOND);
        assert_eq!(length("2026-11-20"), 86_400 * SECOND);
        assert_eq!(length("2026-11-20T08:15:00Z"), SECOND);
        assert_eq!(length("2026-11-20T08:15+02:00"), 60 * SECOND);
        assert_eq!(length("12:30:01.5"), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "25:00",
            "12:60",
            "soon",
            "@",
            "@1.",
            "2026-13-01",
            "2026",
            "12:3x",
            "999:00",
        ] {
            assert!(When::parse(bad, &now()).is_err() || bad == "@1.", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "([-0-9:.TZ@+ a-z]|\\PC){0,24}", at in any::<i64>()) {
            let _ = When::parse(&text, &Now::utc(Timestamp(at)));
        }

        #[test]
        fn rfc_3339_round_trips(at in any::<i64>()) {
            let now = Now::utc(Timestamp(0));
            let text = Timestamp(at).to_string();
            prop_assert_eq!(When::parse(&text, &now).unwrap().start(now.at), Timestamp(at));
        }
    }
}
