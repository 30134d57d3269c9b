//! Comparing values with what was typed, and with each other.
//!
//! What was typed is read once as everything it could be; the value decides which reading counts. Where value and reading
//! have nothing in common there is no order, and every comparison is false.

use std::cmp::Ordering;
use std::time::Duration;

use super::needle::ignores_case;
use super::schema::FieldType;
use crate::record::{Severity, ValueRef};
use crate::time::{Now, Timestamp, When};
use crate::units::{Bytes, Number, UnitError, parse_duration};

/// A typed operand in all its readings.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    text: Box<str>,
    kind: FieldType,
    any_case: bool,
    number: Option<Number>,
    bytes: Option<Bytes>,
    duration: Option<Duration>,
    time: Option<(Timestamp, Timestamp)>,
    flag: Option<bool>,
    severity: Option<Severity>,
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl Operand {
    /// Reads an operand for a field of this kind; an error when it cannot be one of that kind.
    pub(super) fn new(text: &str, kind: FieldType, now: &Now) -> Result<Operand, UnitError> {
        let whole = |message: String| UnitError::new(0..text.len(), message);
        let number = text.parse::<Number>();
        let bytes = text.parse::<Bytes>();
        let duration = parse_duration(text);
        // Outside a field of times, `15m` is a length and not a moment.
        let time = if kind == FieldType::Time || text.contains([':', '-']) {
            Some(When::parse(text, now))
        } else {
            None
        };
        let severity = text.parse::<Severity>();
        match kind {
            FieldType::Keyword | FieldType::Text | FieldType::Any => {}
            FieldType::Number => drop(number.clone()?),
            FieldType::Bytes => drop(bytes.clone()?),
            FieldType::Duration => drop(duration.clone()?),
            FieldType::Time => {
                if let Some(Err(error)) = time {
                    return Err(error);
                }
            }
            FieldType::Severity => drop(severity.clone().map_err(|error| whole(error.to_string()))?),
            FieldType::Bool => drop(flag(text).ok_or_else(|| whole("expected true or false".to_owned()))?),
        }
        Ok(Operand {
            text: text.into(),
            kind,
            any_case: ignores_case([text]),
            number: number.ok(),
            bytes: bytes.ok(),
            duration: duration.ok(),
            time: time
                .and_then(Result::ok)
                .map(|when| (when.start(now.at), when.end(now.at))),
            flag: flag(text),
            severity: severity.ok(),
        })
    }

    /// Whether it can be read as a moment.
    pub(super) fn is_timed(&self) -> bool {
        self.time.is_some()
    }

    /// How a value compares with the operand: `Less` when the value is the smaller one.
    pub(super) fn compare(&self, value: ValueRef<'_>) -> Option<Ordering> {
        match value {
            ValueRef::Null => None,
            ValueRef::Bool(value) => Some(value.cmp(&self.flag?)),
            ValueRef::Int(value) => self.number(Number::Int(value.into())),
            ValueRef::Uint(value) => self.number(Number::Int(value.into())),
            ValueRef::Float(value) => self.number(Number::Float(value)),
            ValueRef::Duration(value) => Some(value.cmp(&self.duration?)),
            ValueRef::Bytes(value) => Some(value.cmp(&self.bytes?)),
            ValueRef::Time(value) => self.time(value),
            ValueRef::Severity(value) => Some(value.cmp(&self.severity?)),
            ValueRef::Str(text) => self.text(text),
            ValueRef::Blob(_) => self.text(&value.text()),
        }
    }

    fn number(&self, value: Number) -> Option<Ordering> {
        // In a field of sizes `4k` is 4096 even when the engine stores plain numbers; elsewhere it is a count.
        let bytes = self.bytes.map(|bytes| Number::Int(bytes.0.into()));
        let own = if self.kind == FieldType::Bytes {
            bytes.or(self.number)
        } else {
            self.number.or(bytes)
        };
        value.compare(own?)
    }

    fn time(&self, value: Timestamp) -> Option<Ordering> {
        let (start, end) = self.time?;
        Some(match (value < start, value > end) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Greater,
            _ => Ordering::Equal,
        })
    }

    /// A text value is read as the kind the field is declared to have, so that parsed logs compare like typed records.
    fn text(&self, text: &str) -> Option<Ordering> {
        match self.kind {
            FieldType::Number => self.number(text.parse().ok()?),
            FieldType::Bytes => Some(text.parse::<Bytes>().ok()?.cmp(&self.bytes?)),
            FieldType::Duration => Some(parse_duration(text).ok()?.cmp(&self.duration?)),
            FieldType::Severity => Some(text.parse::<Severity>().ok()?.cmp(&self.severity?)),
            FieldType::Bool => Some(flag(text)?.cmp(&self.flag?)),
            FieldType::Time => {
                let value = When::parse(text, &Now::utc(Timestamp(0))).ok()?;
                self.time(value.start(Timestamp(0)))
            }
            FieldType::Any | FieldType::Keyword | FieldType::Text => {
                let numbers = self.number.and_then(|own| text.parse::<Number>().ok()?.compare(own));
                numbers.or_else(|| {
                    let fold = |c: char| {
                        if self.any_case {
                            c.to_lowercase().next().unwrap_or(c)
                        } else {
                            c
                        }
                    };
                    Some(text.chars().map(fold).cmp(self.text.chars().map(fold)))
                })
            }
        }
    }
}

/// A total order of values: by kind first (numbers are one kind), then by size. For sorting.
pub(super) fn order(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    fn number(value: ValueRef<'_>) -> Option<Number> {
        match value {
            ValueRef::Int(value) => Some(Number::Int(value.into())),
            ValueRef::Uint(value) => Some(Number::Int(value.into())),
            ValueRef::Float(value) => Some(Number::Float(value)),
            _ => None,
        }
    }
    fn rank(value: ValueRef<'_>) -> u8 {
        match value {
            ValueRef::Null => 0,
            ValueRef::Bool(_) => 1,
            ValueRef::Float(value) if value.is_nan() => 2,
            ValueRef::Int(_) | ValueRef::Uint(_) | ValueRef::Float(_) => 3,
            ValueRef::Bytes(_) => 4,
            ValueRef::Duration(_) => 5,
            ValueRef::Time(_) => 6,
            ValueRef::Severity(_) => 7,
            ValueRef::Str(_) | ValueRef::Blob(_) => 8,
        }
    }
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (ValueRef::Bool(a), ValueRef::Bool(b)) => a.cmp(&b),
        (ValueRef::Bytes(a), ValueRef::Bytes(b)) => a.cmp(&b),
        (ValueRef::Duration(a), ValueRef::Duration(b)) => a.cmp(&b),
        (ValueRef::Time(a), ValueRef::Time(b)) => a.cmp(&b),
        (ValueRef::Severity(a), ValueRef::Severity(b)) => a.cmp(&b),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.compare(b).unwrap_or(Ordering::Equal),
            (None, None) => a.text().cmp(&b.text()),
            _ => Ordering::Equal,
        },
    })
}
