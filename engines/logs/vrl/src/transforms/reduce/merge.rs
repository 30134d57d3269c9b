//! How values of one field become one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use qd_logs_model::Value;
use vrl::{
    path::{OwnedSegment, OwnedValuePath},
    prelude::VrlValueArithmetic,
};

/// A merge strategy, by the name it has in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    Discard,
    Retain,
    Sum,
    Max,
    Min,
    Array,
    Concat,
    ConcatNewline,
    ConcatRaw,
    ShortestArray,
    LongestArray,
    FlatUnique,
}

/// What values of one field have become so far.
#[derive(Debug, Clone)]
pub(super) enum Merger {
    First(Value),
    LastNotNull(Value),
    Sum(Value),
    Max(Value),
    Min(Value),
    Array(Vec<Value>),
    Joined(Vec<u8>, &'static [u8]),
    Appended(Vec<Value>),
    Shortest(Vec<Value>),
    Longest(Vec<Value>),
    Unique(Vec<Value>, HashSet<Value>),
    /// The first and the last time.
    Times(DateTime<Utc>, DateTime<Utc>),
}

fn unexpected(what: &str, v: &Value) -> String {
    format!("expected {what} value, found: '{}'", v.to_string_lossy())
}

fn text(v: &Value) -> Option<Vec<u8>> {
    match v {
        Value::Bytes(b) => Some(b.to_vec()),
        v @ Value::String(_) => v.to_str_lossy().map(|s| s.into_owned().into_bytes()),
        _ => None,
    }
}

fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Integer(i) => Some(*i as f64),
        Value::Float(f) => Some(f.into_inner()),
        _ => None,
    }
}

/// Whether `new` is greater; whole numbers are compared as such.
fn greater(new: &Value, old: &Value) -> Result<bool, String> {
    match (new, old) {
        (Value::Integer(a), Value::Integer(b)) => Ok(a > b),
        _ => match (number(new), number(old)) {
            (Some(a), Some(b)) => Ok(a > b),
            _ => Err(unexpected("numeric", new)),
        },
    }
}

#[expect(
    clippy::mutable_key_type,
    reason = "the hash of a value never changes: its interior is a pattern's cache"
)]
fn insert_flat(v: Value, list: &mut Vec<Value>, known: &mut HashSet<Value>) {
    let mut one = |v: Value| {
        if known.insert(v.clone()) {
            list.push(v);
        }
    };
    match v {
        Value::Object(o) => o.into_values().for_each(one),
        Value::Array(a) => a.into_iter().for_each(one),
        v => one(v),
    }
}

impl Strategy {
    /// The merger of a field whose first value this is.
    pub(super) fn begin(self, v: Value) -> Result<Merger, String> {
        let array = |v: Value| match v {
            Value::Array(a) => Ok(a),
            v => Err(unexpected("array", &v)),
        };
        let numeric = |v: Value| match number(&v) {
            Some(_) => Ok(v),
            None => Err(unexpected("number", &v)),
        };
        let joined = |v: Value, by| match text(&v) {
            Some(t) => Ok(Merger::Joined(t, by)),
            None => Err(unexpected("string", &v)),
        };
        Ok(match self {
            Strategy::Discard => Merger::First(v),
            Strategy::Retain => Merger::LastNotNull(v),
            Strategy::Sum => Merger::Sum(numeric(v)?),
            Strategy::Max => Merger::Max(numeric(v)?),
            Strategy::Min => Merger::Min(numeric(v)?),
            Strategy::Array => Merger::Array(vec![v]),
            Strategy::Concat => match v {
                Value::Array(a) => Merger::Appended(a),
                v => joined(v, b" ").map_err(|e| e.replace("expected string", "expected string or array"))?,
            },
            Strategy::ConcatNewline => joined(v, b"\n")?,
            Strategy::ConcatRaw => joined(v, b"")?,
            Strategy::ShortestArray => Merger::Shortest(array(v)?),
            Strategy::LongestArray => Merger::Longest(array(v)?),
            Strategy::FlatUnique => {
                let (mut list, mut known) = (Vec::new(), HashSet::new());
                insert_flat(v, &mut list, &mut known);
                Merger::Unique(list, known)
            }
        })
    }
}

impl Merger {
    /// The merger of a field without a strategy: numbers are added, of times the first and the last are kept, of
    /// anything else the first.
    pub(super) fn by_type(v: Value) -> Merger {
        match v {
            Value::Integer(_) | Value::Float(_) => Merger::Sum(v),
            Value::Timestamp(t) => Merger::Times(t, t),
            v => Merger::First(v),
        }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, v: Value) -> Result<(), String> {
        match self {
            Merger::First(_) => {}
            Merger::LastNotNull(last) => {
                if !v.is_null() {
                    *last = v;
                }
            }
            Merger::Sum(sum) => {
                let next = sum.clone().try_add(v).map_err(|e| e.to_string())?;
                if number(&next).is_none() {
                    return Err("summing numeric values produced a non-numeric value".to_owned());
                }
                *sum = next;
            }
            Merger::Max(max) => {
                if greater(&v, max)? {
                    *max = v;
                }
            }
            Merger::Min(min) => {
                if number(&v).is_none() {
                    return Err(unexpected("numeric", &v));
                }
                if greater(min, &v)? {
                    *min = v;
                }
            }
            Merger::Array(list) => list.push(v),
            Merger::Joined(so_far, by) => {
                let t = text(&v).ok_or_else(|| unexpected("string", &v))?;
                so_far.extend_from_slice(by);
                so_far.extend_from_slice(&t);
            }
            Merger::Appended(list) => match v {
                Value::Array(a) => list.extend(a),
                v => list.push(v),
            },
            Merger::Shortest(old) => match v {
                Value::Array(a) if a.len() < old.len() => *old = a,
                Value::Array(_) => {}
                v => return Err(unexpected("array", &v)),
            },
            Merger::Longest(old) => match v {
                Value::Array(a) if a.len() > old.len() => *old = a,
                Value::Array(_) => {}
                v => return Err(unexpected("array", &v)),
            },
            Merger::Unique(list, known) => insert_flat(v, list, known),
            Merger::Times(_, last) => match v {
                Value::Timestamp(t) => *last = t,
                v => return Err(unexpected("timestamp", &v)),
            },
        }
        Ok(())
    }

    /// Writes what the values have become; times give two fields, the second with `_end` after its name.
    pub(super) fn insert_into(self, path: &OwnedValuePath, root: &mut Value) {
        let value = match self {
            Merger::First(v) | Merger::LastNotNull(v) | Merger::Sum(v) | Merger::Max(v) | Merger::Min(v) => v,
            Merger::Array(a)
            | Merger::Appended(a)
            | Merger::Shortest(a)
            | Merger::Longest(a)
            | Merger::Unique(a, _) => Value::Array(a),
            Merger::Joined(b, _) => Value::Bytes(b.into()),
            Merger::Times(first, last) => {
                let mut end = path.clone();
                if let Some(OwnedSegment::Field(name)) = end.segments.last_mut() {
                    *name = format!("{name}_end").into();
                }
                root.insert(&end, Value::Timestamp(last));
                Value::Timestamp(first)
            }
        };
        root.insert(path, value);
    }
}
