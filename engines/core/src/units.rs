//! Quantities as people write them: byte sizes, durations and counts with a unit.
//!
//! This module owns the spelling of units, in both directions, for every engine, pane and command line, so that `1.5ms`
//! means the same everywhere. It computes in whole numbers (never through a float, except for plain fractional counts)
//! and must never panic: what does not fit is an error that points at the offending bytes.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A quantity that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// The bytes of the input that are wrong; always inside the input and on character boundaries.
    pub span: Range<usize>,
    /// One sentence that says what was expected.
    pub message: String,
}

impl UnitError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
        }
    }
}

/// A number of bytes.
///
/// Written with binary units (`KiB`, `MiB`, …, powers of 1024) or decimal ones (`kB`, `MB`, …, powers of 1000). A bare
/// letter (`4k`, `2M`) is binary, as in `find`, `dd` and ripgrep. No unit means bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A decimal number split into its digits: `value = digits / 10^scale`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    scale: u32,
}

impl Decimal {
    /// `self * multiplier`, rounded down; `None` when it does not fit.
    fn times(self, multiplier: u128) -> Option<u128> {
        Some(self.digits.checked_mul(multiplier)? / 10u128.checked_pow(self.scale)?)
    }
}

/// Reads digits with an optional fraction from the front of `text`; gives the number and the length read.
fn decimal(text: &str) -> Option<(Decimal, usize)> {
    let bytes = text.as_bytes();
    let (mut digits, mut scale, mut seen, mut at, mut dot) = (0u128, 0u32, 0usize, 0usize, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                // Eighteen fractional digits are finer than any unit here; more are read and ignored.
                if !(dot && scale >= 18) {
                    digits = digits.checked_mul(10)?.checked_add(u128::from(byte - b'0'))?;
                    scale += u32::from(dot);
                }
                seen += 1;
            }
            b'.' if !dot && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => dot = true,
            _ => break,
        }
        at += 1;
    }
    (seen > 0).then_some((Decimal { digits, scale }, at))
}

/// The multiplier of a byte unit, or `None` for a word that is no byte unit.
fn byte_unit(unit: &str) -> Option<u128> {
    let lower = unit.to_ascii_lowercase();
    let (letter, base) = match lower.as_str() {
        "" | "b" => return Some(1),
        _ if lower.len() == 1 => (lower.as_str(), 1024u128),
        _ => match (lower.strip_suffix("ib"), lower.strip_suffix('b')) {
            (Some(letter), _) => (letter, 1024),
            (None, Some(letter)) => (letter, 1000),
            (None, None) => return None,
        },
    };
    let power = match letter {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return None,
    };
    base.checked_pow(power)
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let whole = 0..text.len();
        let Some((number, used)) = decimal(text) else {
            return Err(UnitError::new(whole, "expected a size such as 512, 4k or 10MiB"));
        };
        let unit = &text[used..];
        let Some(multiplier) = byte_unit(unit.trim_start()) else {
            return Err(UnitError::new(
                used..text.len(),
                format!("`{unit}` is no unit of size; try B, KiB, MB or GiB"),
            ));
        };
        number
            .times(multiplier)
            .and_then(|value| u64::try_from(value).ok())
            .map(Bytes)
            .ok_or_else(|| UnitError::new(whole, "this size is larger than 16 EiB"))
    }
}

/// Writes `value / unit` with about three significant digits and no trailing zeros.
fn significant(f: &mut fmt::Formatter<'_>, value: u128, unit: u128, name: &str) -> fmt::Result {
    let whole = value / unit;
    let decimals = match whole {
        0..=9 => 2,
        10..=99 => 1,
        _ => 0,
    };
    let power = 10u128.pow(decimals);
    let scaled = (value * power + unit / 2) / unit;
    let (whole, fraction) = (scaled / power, scaled % power);
    if fraction == 0 {
        write!(f, "{whole}{name}")
    } else {
        let digits = format!("{fraction:0width$}", width = decimals as usize);
        write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
    }
}

impl fmt::Display for Bytes {
    /// Three significant digits and a binary unit: `512B`, `1.5KiB`, `10MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u128); 6] = [
            ("EiB", 1 << 60),
            ("PiB", 1 << 50),
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        let value = u128::from(self.0);
        match UNITS.iter().find(|(_, unit)| value >= *unit) {
            Some((name, unit)) => significant(f, value, *unit, name),
            None => write!(f, "{value}B"),
        }
    }
}

const NANOS: [(&[&str], u128); 8] = [
    (&["ns"], 1),
    (&["us", "µs", "μs"], 1_000),
    (&["ms"], 1_000_000),
    (&["s", "sec", "secs"], 1_000_000_000),
    (&["m", "min", "mins"], 60_000_000_000),
    (&["h", "hr", "hrs"], 3_600_000_000_000),
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["w", "week", "weeks"], 604_800_000_000_000),
];

/// Reads a duration: a number and a unit, or several in a row (`1h30m`). Units are ns, us (µs), ms, s, m, h, d and w;
/// only zero may go without.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let whole = 0..text.len();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut at) = (0u128, 0usize);
    while at < text.len() {
        let rest = &text[at..];
        let Some((number, used)) = decimal(rest) else {
            return Err(UnitError::new(
                at..text.len(),
                "expected a duration such as 1.5ms, 30s or 1h30m",
            ));
        };
        let unit_len = rest[used..]
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len() - used);
        let unit = &rest[used..used + unit_len];
        if unit.is_empty() {
            let message = format!("a duration needs a unit: {rest}ms, {rest}s or {rest}m");
            return Err(UnitError::new(at..text.len(), message));
        }
        let Some((_, nanos)) = NANOS.iter().find(|(names, _)| names.contains(&unit)) else {
            let span = at + used..at + used + unit_len;
            return Err(UnitError::new(
                span,
                format!("`{unit}` is no unit of time; use ns, us, ms, s, m, h, d or w"),
            ));
        };
        total = number
            .times(*nanos)
            .and_then(|value| total.checked_add(value))
            .ok_or_else(|| UnitError::new(whole.clone(), "this duration is too long"))?;
        at += used + unit_len;
    }
    if at == 0 {
        return Err(UnitError::new(whole, "expected a duration such as 1.5ms, 30s or 1h30m"));
    }
    // Whole nanoseconds in 64 bits (584 years) keep every later sum and comparison exact.
    u64::try_from(total)
        .map(Duration::from_nanos)
        .map_err(|_| UnitError::new(whole, "this duration is too long"))
}

/// Shows a duration as a person would say it: `850ns`, `1.5ms`, `2.35s`, `4m12s`, `3h4m`, `2d3h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let seconds = self.0.as_secs();
        let pair = |f: &mut fmt::Formatter<'_>, big: u64, name: &str, small: u64, small_name: &str| match small {
            0 => write!(f, "{big}{name}"),
            _ => write!(f, "{big}{name}{small}{small_name}"),
        };
        match nanos {
            0 => f.write_str("0s"),
            1..=999 => write!(f, "{nanos}ns"),
            1_000..=999_999 => significant(f, nanos, 1_000, "µs"),
            1_000_000..=999_999_999 => significant(f, nanos, 1_000_000, "ms"),
            _ if seconds < 60 => significant(f, nanos, 1_000_000_000, "s"),
            _ if seconds < 3_600 => pair(f, seconds / 60, "m", seconds % 60, "s"),
            _ if seconds < 86_400 => pair(f, seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
            _ => pair(f, seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        }
    }
}

/// A plain number, whole where it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number; holds every `i64` and `u64`.
    Int(i128),
    /// Anything with a fraction or an exponent.
    Float(f64),
}

impl Number {
    /// Orders two numbers exactly, whatever their kinds; `None` only when one is not a number.
    pub fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
            (Number::Int(a), Number::Float(b)) => int_float(a, b),
            (Number::Float(a), Number::Int(b)) => int_float(b, a).map(Ordering::reverse),
        }
    }
}

fn int_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        None
    } else {
        // The cast saturates, which is right for the infinities and everything else beyond an i128.
        let floor = float.floor();
        Some(
            int.cmp(&(floor as i128))
                .then(if float > floor { Ordering::Less } else { Ordering::Equal }),
        )
    }
}

impl FromStr for Number {
    type Err = UnitError;

    /// Reads `42`, `-7`, `0x1f`, `2.5`, `1e3` and counts with a decimal suffix: `4k` is 4000, `1.5M` is 1500000.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::new(0..text.len(), "expected a number such as 500, 2.5 or 4k");
        if let Ok(value) = text.parse::<i128>() {
            return Ok(Number::Int(value));
        }
        if let Some(hex) = text.strip_prefix("0x") {
            return u64::from_str_radix(hex, 16)
                .map(|value| Number::Int(value.into()))
                .map_err(|_| wrong());
        }
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(wrong());
        }
        if let Some((number, used)) = decimal(unsigned) {
            let multiplier = match &unsigned[used..] {
                "k" | "K" => Some(1_000u128),
                "M" => Some(1_000_000),
                "G" => Some(1_000_000_000),
                "T" => Some(1_000_000_000_000),
                _ => None,
            };
            if let Some(multiplier) = multiplier {
                let value = number
                    .times(multiplier)
                    .and_then(|value| i128::try_from(value).ok())
                    .ok_or_else(wrong)?;
                return Ok(Number::Int(sign * value));
            }
        }
        text.parse::<f64>().map(Number::Float).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Option<u64> {
        text.parse::<Bytes>().ok().map(|b| b.0)
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512"), Some(512));
        assert_eq!(bytes("4k"), Some(4096));
        assert_eq!(bytes("4kB"), Some(4000));
        assert_eq!(bytes("10MiB"), Some(10 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("16EiB"), None);
        assert_eq!(bytes("MiB"), None);
        assert_eq!(bytes("3 parsecs"), None);
        assert_eq!("3zz".parse::<Bytes>().unwrap_err().span, 1..3);
    }

    #[test]
    fn durations_are_read() {
        let d = |text: &str| parse_duration(text).ok();
        assert_eq!(d("1.5ms"), Some(Duration::from_micros(1500)));
        assert_eq!(d("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(d("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(d("10µs"), Some(Duration::from_micros(10)));
        assert_eq!(d("0"), Some(Duration::ZERO));
        for bad in ["", "5", "ms", "1x", "-3s", "999999999999w", "1h30"] {
            let error = parse_duration(bad).unwrap_err();
            assert!(error.span.end <= bad.len(), "{bad}");
        }
        assert_eq!(parse_duration("1h3zz").unwrap_err().span, 3..5);
    }

    #[test]
    fn quantities_are_shown() {
        let h = |nanos| HumanDuration(Duration::from_nanos(nanos)).to_string();
        assert_eq!(h(1_500_000), "1.5ms");
        assert_eq!(h(2_346_000_000), "2.35s");
        assert_eq!(h(252_000_000_000), "4m12s");
        assert_eq!(h(183_600_000_000_000), "2d3h");
        assert_eq!(Bytes(1536).to_string(), "1.5KiB");
        assert_eq!(Bytes(10 << 20).to_string(), "10MiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16EiB");
    }

    #[test]
    fn numbers_are_read_and_ordered() {
        assert_eq!("4k".parse(), Ok(Number::Int(4000)));
        assert_eq!("-1.5M".parse(), Ok(Number::Int(-1_500_000)));
        assert_eq!("0x1f".parse(), Ok(Number::Int(31)));
        assert_eq!("2.5".parse(), Ok(Number::Float(2.5)));
        assert!("nan".parse::<Number>().is_err());
        assert!("infinity".parse::<Number>().is_err());
        let big = i128::from(i64::MAX);
        assert_eq!(
            Number::Int(big).compare(Number::Float(big as f64)),
            Some(Ordering::Less)
        );
        assert_eq!(Number::Float(2.5).compare(Number::Int(2)), Some(Ordering::Greater));
        assert_eq!(Number::Int(-3).compare(Number::Float(-2.5)), Some(Ordering::Less));
        assert_eq!(Number::Int(0).compare(Number::Float(f64::NAN)), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,24}") {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Number>();
            if let Err(error) = parse_duration(&text) {
                prop_assert!(text.get(error.span).is_some());
            }
        }

        #[test]
        fn a_shown_duration_reads_back_nearly(nanos in 0u64..10_000_000_000_000_000) {
            let back = parse_duration(&HumanDuration(Duration::from_nanos(nanos)).to_string()).unwrap().as_nanos() as f64;
            prop_assert!((back - nanos as f64).abs() <= nanos as f64 * 0.05);
        }

        #[test]
        fn a_shown_size_reads_back_nearly(size in 0u64..(1 << 62)) {
            let back = Bytes(size).to_string().parse::<Bytes>().unwrap().0 as f64;
            prop_assert!((back - size as f64).abs() <= size as f64 * 0.006);
        }
    }
}
