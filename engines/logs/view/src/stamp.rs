//! Reading the times in logs: the many ways to write one, cheaply.
//!
//! [`parse`] recognises a time at the beginning of some bytes by its shape alone and gives its parts; [`crate::resolve::Resolver`] makes a
//! moment of it, knowing the zone of times that name none and the neighbourhood of times without a year or a date. No
//! allocation and no table larger than a year; a second of 60 is the first of the next minute, as in POSIX.

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;
/// "No time is known" where a plain number is kept.
pub(crate) const NONE: i64 = i64::MIN;

/// What a time leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Nothing,
    Year,
    Date,
}

/// The parts of a time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Civil seconds since 1970 as if written in UTC; without a year: within 1972; without a date: within a day.
    pub secs: i64,
    pub nanos: u32,
    /// The offset from UTC in seconds, when written.
    pub zone: Option<i32>,
    pub missing: Missing,
}

/// Days since 1970-01-01 of a civil date (proleptic Gregorian).
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (month + 9) % 12;
    let doy = (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The year of a day since 1970-01-01, its month and its day.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

fn digit(b: &[u8], i: usize) -> Option<i64> {
    let d = b.get(i)?.wrapping_sub(b'0');
    (d < 10).then_some(i64::from(d))
}

fn two(b: &[u8], i: usize) -> Option<i64> {
    Some(digit(b, i)? * 10 + digit(b, i + 1)?)
}

fn four(b: &[u8], i: usize) -> Option<i64> {
    Some(two(b, i)? * 100 + two(b, i + 2)?)
}

fn at(b: &[u8], i: usize) -> u8 {
    b.get(i).copied().unwrap_or(0)
}

/// The English month whose three letters stand at `i`, from 1.
fn month(b: &[u8], i: usize) -> Option<i64> {
    let name = [at(b, i) | 0x20, at(b, i + 1) | 0x20, at(b, i + 2) | 0x20];
    Some(match &name {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    })
}

fn weekday(b: &[u8]) -> bool {
    let name = [at(b, 0) | 0x20, at(b, 1) | 0x20, at(b, 2) | 0x20];
    matches!(&name, b"mon" | b"tue" | b"wed" | b"thu" | b"fri" | b"sat" | b"sun")
}

fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| days(year, month, day) * DAY)
}

/// `HH:MM:SS[.,frac]` (or `HH:MM` alone, `HHMMSS` when compact): seconds of the day, nanoseconds, where it ends.
fn clock(b: &[u8], mut i: usize) -> Option<(i64, u32, usize)> {
    let (hour, minute) = if at(b, i + 1) == b':' {
        let hour = digit(b, i)?;
        i += 1;
        (hour, two(b, i + 1)?)
    } else {
        let hour = two(b, i)?;
        i += 2;
        (hour, two(b, i + 1).filter(|_| at(b, i) == b':')?)
    };
    i += 3;
    let mut second = 0;
    if at(b, i) == b':' {
        second = two(b, i + 1)?;
        i += 3;
    }
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, i) = fraction(b, i);
    Some((hour * 3600 + minute * 60 + second, nanos, i))
}

/// A fraction after `.` or `,`: nanoseconds and where it ends; further digits are read over.
fn fraction(b: &[u8], i: usize) -> (u32, usize) {
    if !matches!(at(b, i), b'.' | b',') || digit(b, i + 1).is_none() {
        return (0, i);
    }
    let (mut nanos, mut scale, mut j) = (0u32, 100_000_000u32, i + 1);
    while let Some(d) = digit(b, j) {
        nanos += d as u32 * scale;
        scale /= 10;
        j += 1;
    }
    (nanos, j)
}

/// A zone after a time: `Z`, `+01:00`, `+0100`, `+01`, ` +0100`, ` UTC`, ` PDT`: the offset, when known, and where it ends.
fn zone(b: &[u8], i: usize) -> (Option<i32>, usize) {
    let mut j = i;
    if at(b, j) == b' ' {
        j += 1;
    }
    match at(b, j) {
        b'Z' | b'z' if !at(b, j + 1).is_ascii_alphanumeric() => (Some(0), j + 1),
        sign @ (b'+' | b'-') => {
            let Some(hours) = two(b, j + 1) else { return (None, i) };
            let (minutes, end) = match (at(b, j + 3), two(b, j + 3), two(b, j + 4)) {
                (b':', _, Some(minutes)) => (minutes, j + 6),
                (_, Some(minutes), _) => (minutes, j + 5),
                // After a blank, a lone pair of digits is rather something else: `- 10`.
                _ if j == i => (0, j + 3),
                _ => return (None, i),
            };
            if hours > 18 || minutes > 59 || at(b, end).is_ascii_digit() {
                return (None, i);
            }
            let offset = (hours * 3600 + minutes * 60) as i32;
            (Some(if sign == b'-' { -offset } else { offset }), end)
        }
        b'A'..=b'Z' => {
            let end = (j..b.len().min(j + 6))
                .find(|&k| !b[k].is_ascii_uppercase())
                .unwrap_or(b.len().min(j + 6));
            if at(b, end).is_ascii_alphanumeric() {
                return (None, i);
            }
            // Abbreviations are ambiguous; these are what logs of the common daemons carry.
            let hours = match &b[j..end] {
                b"UTC" | b"GMT" | b"WET" => 0,
                b"CET" | b"BST" | b"WEST" => 1,
                b"CEST" | b"EET" => 2,
                b"EEST" | b"MSK" => 3,
                b"JST" | b"KST" => 9,
                b"EST" | b"CDT" => -5,
                b"EDT" => -4,
                b"CST" | b"MDT" => -6,
                b"MST" | b"PDT" => -7,
                b"PST" => -8,
                _ => return (None, i),
            };
            (Some(hours * 3600), end)
        }
        _ => (None, i),
    }
}

fn full(secs: i64, nanos: u32, zone: Option<i32>) -> Stamp {
    Stamp {
        secs,
        nanos,
        zone,
        missing: Missing::Nothing,
    }
}

/// `YYYY-MM-DD` (or `/` between) and a clock after `T`, a blank or `:`; also `YYYY-DDD`.
fn iso(b: &[u8]) -> Option<(Stamp, usize)> {
    let year = four(b, 0)?;
    let dash = at(b, 4);
    if year < 1900 || !matches!(dash, b'-' | b'/' | b'.') {
        return None;
    }
    let (day, mut i) = if at(b, 7) == dash {
        (date(year, two(b, 5)?, two(b, 8)?)?, 10)
    } else if dash == b'-' && matches!(at(b, 8), b'T' | b' ') {
        let day = two(b, 5)? * 10 + digit(b, 7)?;
        ((days(year, 1, 1) + day - 1) * DAY, 8)
    } else {
        return None;
    };
    match at(b, i) {
        b'T' | b't' | b' ' | b':' | b'_' | b'-' => i += 1,
        _ => return Some((full(day, 0, None), i)).filter(|_| !at(b, i).is_ascii_alphanumeric()),
    }
    let (secs, nanos, end) = clock(b, i)?;
    let (zone, end) = zone(b, end);
    Some((full(day + secs, nanos, zone), end))
}

/// `YYYYMMDD` followed by `HHMMSS` or `HH:MM:SS` after `T`, `.`, `-` or a blank.
fn compact(b: &[u8]) -> Option<(Stamp, usize)> {
    let year = four(b, 0).filter(|y| (1970..2100).contains(y))?;
    let day = date(year, two(b, 4)?, two(b, 6)?)?;
    if !matches!(at(b, 8), b'T' | b'.' | b'-' | b' ') {
        return None;
    }
    let (secs, nanos, end) = match clock(b, 9) {
        Some(found) => found,
        None => {
            let (h, m, s) = (two(b, 9)?, two(b, 11)?, two(b, 13)?);
            if h > 23 || m > 59 || s > 60 {
                return None;
            }
            let (nanos, end) = fraction(b, 15);
            (h * 3600 + m * 60 + s, nanos, end)
        }
    };
    let (zone, end) = zone(b, end);
    Some((full(day + secs, nanos, zone), end))
}

/// `DD/Mon/YYYY:HH:MM:SS +0000`, `DD Mon YYYY HH:MM:SS`, `DD-Mon-YYYY HH:MM:SS`.
fn day_first(b: &[u8]) -> Option<(Stamp, usize)> {
    let (day, i) = match two(b, 0) {
        Some(day) => (day, 2),
        None => (digit(b, 0)?, 1),
    };
    let sep = at(b, i);
    if !matches!(sep, b'/' | b' ' | b'-') {
        return None;
    }
    let month = month(b, i + 1)?;
    let year = four(b, i + 5).filter(|_| at(b, i + 4) == sep)?;
    if !matches!(at(b, i + 9), b':' | b' ' | b'T') {
        return None;
    }
    let (secs, nanos, end) = clock(b, i + 10)?;
    let (zone, end) = zone(b, end);
    Some((full(date(year, month, day)? + secs, nanos, zone), end))
}

/// `YY/MM/DD HH:MM:SS`.
fn short_year(b: &[u8]) -> Option<(Stamp, usize)> {
    let sep = at(b, 2);
    if !matches!(sep, b'/' | b'-') || at(b, 5) != sep || at(b, 8) != b' ' {
        return None;
    }
    let year = 2000 + two(b, 0)?;
    let (secs, nanos, end) = clock(b, 9)?;
    Some((full(date(year, two(b, 3)?, two(b, 6)?)? + secs, nanos, None), end))
}

/// `Mon DD HH:MM:SS[.frac]`, with a year after the day or at the end, or none; perhaps a weekday before it.
fn month_first(b: &[u8]) -> Option<(Stamp, usize)> {
    let mut i = 0;
    if weekday(b) {
        i = 3;
        while matches!(at(b, i), b' ' | b',') {
            i += 1;
        }
    }
    if i > 0 && at(b, i).is_ascii_digit() {
        let (stamp, end) = day_first(b.get(i..)?)?;
        return Some((stamp, end + i));
    }
    let month = month(b, i)?;
    i += 3;
    if at(b, i) != b' ' {
        return None;
    }
    i += 1;
    if at(b, i) == b' ' {
        i += 1;
    }
    let day = match two(b, i) {
        Some(day) => {
            i += 2;
            day
        }
        None => {
            i += 1;
            digit(b, i - 1)?
        }
    };
    let mut year = None;
    if at(b, i) == b',' {
        i += 1;
    }
    i += 1;
    if let Some(found) = four(b, i).filter(|_| at(b, i + 4) == b' ') {
        year = Some(found);
        i += 5;
    }
    let (mut secs, nanos, mut end) = clock(b, i)?;
    if let (b' ', half @ (b'A' | b'P'), b'M') = (at(b, end), at(b, end + 1), at(b, end + 2)) {
        let hour = secs / 3600;
        secs += match (half, hour) {
            (b'A', 12) => -12 * 3600,
            (b'P', 1..12) => 12 * 3600,
            _ => 0,
        };
        end += 3;
    }
    let (mut offset, after) = zone(b, end);
    if year.is_none()
        && at(b, after) == b' '
        && !at(b, after + 5).is_ascii_alphanumeric()
        && let Some(found) = four(b, after + 1).filter(|y| (1970..2200).contains(y))
    {
        year = Some(found);
        end = after + 5;
    } else if offset.is_some() && at(b, end) != b' ' || year.is_some() {
        end = after;
    } else {
        // `Nov  3 01:00:00 EST …`: three capitals after a year-less time are rather the host.
        offset = None;
    }
    Some(match year {
        Some(year) => (full(date(year, month, day)? + secs, nanos, offset), end),
        None => {
            let secs = date(1972, month, day)? + secs;
            let stamp = Stamp {
                secs,
                nanos,
                zone: offset,
                missing: Missing::Year,
            };
            (stamp, end)
        }
    })
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size (2001 to 2286).
pub(crate) fn epoch(b: &[u8]) -> Option<(Stamp, usize)> {
    let end = b
        .iter()
        .take(20)
        .position(|c| !c.is_ascii_digit())
        .unwrap_or(b.len().min(20));
    let scale = match end {
        10 => 1,
        13 => 1_000,
        16 => 1_000_000,
        19 => SECOND,
        _ => return None,
    };
    let value = b[..end]
        .iter()
        .fold(0i64, |n, d| n.wrapping_mul(10).wrapping_add(i64::from(d - b'0')));
    let mut nanos = (value % scale) * (SECOND / scale);
    let mut after = end;
    if scale == 1 {
        let (found, j) = fraction(b, end);
        nanos = i64::from(found);
        after = j;
    }
    (value / scale >= 100_000_000).then(|| (full(value / scale, nanos as u32, Some(0)), after))
}

/// `@40000000…`: the external TAI64N label of 24 hexadecimal digits.
fn tai64n(b: &[u8]) -> Option<(Stamp, usize)> {
    let digits = std::str::from_utf8(b.get(1..25)?).ok()?;
    let secs = i64::from_str_radix(digits.get(..16)?, 16).ok()?.checked_sub(1 << 62)?;
    let nanos = u32::from_str_radix(digits.get(16..)?, 16)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    // A label counts ten seconds more than POSIX did when leap seconds began.
    Some((full(secs - 10, nanos, Some(0)), 25))
}

/// `MMDD HH:MM:SS.ffffff`, as glog writes it after the letter of the level; `YYYYMMDD` too.
pub(crate) fn glog(b: &[u8]) -> Option<(Stamp, usize)> {
    if let Some(found) = compact(b) {
        return Some(found);
    }
    let day = date(1972, two(b, 0)?, two(b, 2)?)?;
    let (secs, nanos, end) = clock(b, 5).filter(|_| at(b, 4) == b' ')?;
    let stamp = Stamp {
        secs: day + secs,
        nanos,
        zone: None,
        missing: Missing::Year,
    };
    Some((stamp, end))
}

/// A time of day alone.
fn time_only(b: &[u8]) -> Option<(Stamp, usize)> {
    let (secs, nanos, end) = clock(b, 0).filter(|_| at(b, 2) == b':' && at(b, 5) == b':')?;
    let stamp = Stamp {
        secs,
        nanos,
        zone: None,
        missing: Missing::Date,
    };
    Some((stamp, end))
}

/// The time at the very beginning of some bytes, and where it ends.
pub(crate) fn parse(b: &[u8]) -> Option<(Stamp, usize)> {
    match at(b, 0) {
        b'0'..=b'9' => match (at(b, 2), at(b, 4)) {
            (b':', _) => time_only(b),
            (_, b'-' | b'/' | b'.') if at(b, 3).is_ascii_digit() => iso(b),
            (b'/' | b' ' | b'-', _) | (b'a'..=b'z', _) => day_first(b).or_else(|| short_year(b)),
            (b'0'..=b'9', _) => compact(b).or_else(|| epoch(b)),
            _ => None,
        },
        b'@' => tai64n(b),
        b'A'..=b'Z' | b'a'..=b'z' => month_first(b),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Resolver;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn show(text: &str) -> String {
        let near = "2026-11-01T00:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_nanosecond() as i64;
        let mut resolver = Resolver::new(TimeZone::UTC, near);
        match parse(text.as_bytes()) {
            Some((stamp, end)) => format!("{} {}", qd_core::Timestamp(resolver.resolve(&stamp)), &text[end..]),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn the_shapes_of_times() {
        for (text, expected) in [
            ("2026-11-01T10:20:30.5Z x", "2026-11-01T10:20:30.5Z  x"),
            ("2026-11-01 10:20:30,123 INFO", "2026-11-01T10:20:30.123Z  INFO"),
            ("2026-11-01T10:20:30+02:00 x", "2026-11-01T08:20:30Z  x"),
            ("2026/11/01 10:20:30 [error]", "2026-11-01T10:20:30Z  [error]"),
            ("01/Nov/2026:10:20:30 +0100] x", "2026-11-01T09:20:30Z ] x"),
            ("Nov  3 09:23:38 host", "2026-11-03T09:23:38Z  host"),
            ("Jan  3 09:23:38.25 host", "2027-01-03T09:23:38.25Z  host"),
            ("Wed May 19 08:00:01 EST 2021 line", "2021-05-19T13:00:01Z  line"),
            ("Sun Mar 13 22:49:12.123456 2016] x", "2016-03-13T22:49:12.123456Z ] x"),
            ("17/06/09 20:10:40 INFO", "2017-06-09T20:10:40Z  INFO"),
            ("1428634687123 Hello", "2015-04-10T02:58:07.123Z  Hello"),
            ("1697048351.000001 x", "2023-10-11T18:19:11.000001Z  x"),
            ("20120702.102240,672:DEBUG", "2012-07-02T10:22:40.672Z :DEBUG"),
            ("2012-025T10:22:40,672:DEBUG", "2012-01-25T10:22:40.672Z :DEBUG"),
            ("2016-12-31T23:59:60Z leap", "2017-01-01T00:00:00Z  leap"),
            ("2025-08-13 01:45:01.123 PDT [1]", "2025-08-13T08:45:01.123Z  [1]"),
            ("Jan 24, 2025 7:00:30 PM x", "2025-01-24T19:00:30Z  x"),
            ("@40000000433225833b6e1a8c x", "2005-09-22T03:31:05.9970715Z  x"),
            ("hello", "none"),
            ("2026-13-01 00:00:00", "none"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), near in any::<i64>()) {
            if let Some((stamp, end)) = parse(&bytes) {
                prop_assert!(end <= bytes.len());
                Resolver::new(TimeZone::UTC, near).resolve(&stamp);
            }
            let _ = glog(&bytes);
        }

        #[test]
        fn digits_do_not_panic(text in "[-0-9:./T,Z@+ ADJMPSabnov]{0,40}", near in any::<i64>()) {
            if let Some((stamp, end)) = parse(text.as_bytes()) {
                prop_assert!(end <= text.len());
                Resolver::new(TimeZone::UTC, near).before(&stamp, near);
            }
        }

        #[test]
        fn civil_and_days_agree(day in -100_000i64..100_000) {
            let (y, m, d) = civil(day);
            prop_assert_eq!(days(y, m, d), day);
        }
    }
}
