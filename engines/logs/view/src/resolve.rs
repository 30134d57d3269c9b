//! Moments of the times in logs: knowing the zone of those that name none, and the neighbourhood of those that leave out the
//! year or the date.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::stamp::{DAY, Missing, NONE, SECOND, Stamp, civil as civil_of, days};

/// Makes moments of stamps: knows the zone, and where in time the neighbours are.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    zone: TimeZone,
    utc: bool,
    /// The quarter of an hour, in civil seconds, for which `offset` holds.
    slot: i64,
    offset: i64,
    /// Civil seconds of the last time that was resolved; times without a year or date are put near it.
    near: i64,
}

/// How far behind its predecessor a time without a year may be before the next year is meant: 60 days.
const LATE: i64 = 60 * DAY;
/// The same for a time without a date: six hours.
const LATE_CLOCK: i64 = 6 * 3600;

impl Resolver {
    /// `near` is a moment (nanoseconds since 1970) that the first line is near to, or after.
    pub(crate) fn new(zone: TimeZone, near: i64) -> Resolver {
        let utc = zone == TimeZone::UTC;
        let near = if near == NONE { 0 } else { near.div_euclid(SECOND) };
        Resolver {
            zone,
            utc,
            slot: i64::MIN,
            offset: 0,
            near,
        }
    }

    fn offset(&mut self, civil_secs: i64) -> i64 {
        if self.utc {
            return 0;
        }
        let slot = civil_secs.div_euclid(900);
        if slot != self.slot {
            self.slot = slot;
            let (year, month, day) = civil_of(civil_secs.div_euclid(DAY));
            let of_day = civil_secs.rem_euclid(DAY);
            let found = civil::Date::new(year as i16, month as i8, day as i8)
                .ok()
                .and_then(|date| {
                    let time = civil::Time::new((of_day / 3600) as i8, (of_day / 60 % 60) as i8, 0, 0).ok()?;
                    let zoned = date.to_datetime(time).to_zoned(self.zone.clone()).ok()?;
                    Some(i64::from(zoned.offset().seconds()))
                });
            self.offset = found.unwrap_or(0);
        }
        self.offset
    }

    /// The moment in nanoseconds since 1970; [`NONE`] outside 1677 to 2262.
    pub(crate) fn resolve(&mut self, stamp: &Stamp) -> i64 {
        let civil_secs = match stamp.missing {
            Missing::Nothing => stamp.secs,
            Missing::Year => place_year(stamp.secs, self.near - LATE),
            Missing::Date => {
                let floor = self.near - LATE_CLOCK;
                let day = floor.div_euclid(DAY) * DAY;
                let today = day + stamp.secs;
                if today < floor { today + DAY } else { today }
            }
        };
        let offset = match stamp.zone {
            Some(offset) => i64::from(offset),
            None => self.offset(civil_secs),
        };
        if stamp.missing != Missing::Nothing && civil_secs > self.near {
            self.near = civil_secs;
        }
        (civil_secs - offset)
            .checked_mul(SECOND)
            .and_then(|n| n.checked_add(i64::from(stamp.nanos)))
            .unwrap_or(NONE)
    }

    /// The latest moment that `stamp` can mean without being after `limit` (nanoseconds), but for a day when it
    /// has no year, and ten minutes when it has no date.
    pub(crate) fn before(&mut self, stamp: &Stamp, limit: i64) -> i64 {
        let limit = limit.div_euclid(SECOND);
        let floor = match stamp.missing {
            Missing::Nothing => return self.resolve(stamp),
            Missing::Year => limit - 365 * DAY + LATE,
            // Ten minutes for clocks that disagree.
            Missing::Date => limit + 600 - DAY + LATE_CLOCK,
        };
        self.near = floor;
        self.resolve(stamp)
    }
}

/// A time within 1972 moved to the first year in which it is not before `floor` (civil seconds).
fn place_year(secs: i64, floor: i64) -> i64 {
    let (_, month, day) = civil_of(secs.div_euclid(DAY));
    let of_day = secs.rem_euclid(DAY);
    let (mut year, _, _) = civil_of(floor.div_euclid(DAY));
    loop {
        let candidate = days(year, month, day) * DAY + of_day;
        if candidate >= floor {
            return candidate;
        }
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::parse;

    #[test]
    fn a_year_is_guessed_and_rolls_over() {
        let mut resolver = Resolver::new(TimeZone::UTC, NONE);
        let (dec, _) = parse(b"Dec 31 23:59:59 a").unwrap();
        let mtime = days(2024, 1, 2) * DAY * SECOND;
        assert_eq!(resolver.before(&dec, mtime), (days(2024, 1, 1) * DAY - 1) * SECOND);
        let (jan, _) = parse(b"Jan  1 00:00:00 a").unwrap();
        assert_eq!(resolver.resolve(&jan), days(2024, 1, 1) * DAY * SECOND);
        // A late line of the old year stays in the old year.
        assert_eq!(resolver.resolve(&dec), (days(2024, 1, 1) * DAY - 1) * SECOND);
        let (leap, _) = parse(b"Feb 29 00:00:00 a").unwrap();
        assert_eq!(resolver.resolve(&leap), days(2024, 2, 29) * DAY * SECOND);
    }

    #[test]
    fn a_zone_with_summer_time_is_kept() {
        let Ok(zone) = TimeZone::get("Europe/Berlin") else {
            return;
        };
        let mut resolver = Resolver::new(zone, 0);
        let mut at = |text: &str| qd_core::Timestamp(resolver.resolve(&parse(text.as_bytes()).unwrap().0)).to_string();
        assert_eq!(at("2026-03-29 01:59:59"), "2026-03-29T00:59:59Z");
        assert_eq!(at("2026-03-29 03:00:00"), "2026-03-29T01:00:00Z");
        assert_eq!(at("2026-10-25 03:00:00"), "2026-10-25T02:00:00Z");
        assert_eq!(at("2026-07-01 12:00:00"), "2026-07-01T10:00:00Z");
    }
}
