//! OTLP's values as the pipeline's.

use std::fmt::Write;

use chrono::DateTime;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use qd_logs_model::Value;

/// Nesting of a value beyond which it is read as null.
const MAX_DEPTH: usize = 64;

pub(super) fn any(value: Option<AnyValue>) -> Value {
    nested(value, 0)
}

fn nested(value: Option<AnyValue>, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    match value.and_then(|v| v.value) {
        Some(Any::StringValue(s)) => Value::Bytes(s.into()),
        Some(Any::BytesValue(b)) => Value::Bytes(b.into()),
        Some(Any::BoolValue(b)) => Value::Boolean(b),
        Some(Any::IntValue(i)) => Value::Integer(i),
        Some(Any::DoubleValue(f)) if f.is_nan() => Value::Null,
        Some(Any::DoubleValue(f)) => Value::from_f64_or_zero(f),
        Some(Any::ArrayValue(a)) => Value::Array(a.values.into_iter().map(|v| nested(Some(v), depth + 1)).collect()),
        Some(Any::KvlistValue(l)) => list(l.values, depth + 1),
        _ => Value::Null,
    }
}

/// Attributes as an object; those without a value are left out.
pub(super) fn attributes(list: Vec<KeyValue>) -> Value {
    self::list(list, 0)
}

fn list(list: Vec<KeyValue>, depth: usize) -> Value {
    Value::Object(
        list.into_iter()
            .filter(|kv| kv.value.is_some())
            .map(|kv| (kv.key.into(), nested(kv.value, depth)))
            .collect(),
    )
}

/// Ids in lower-case hexadecimal digits.
pub(super) fn hex(id: &[u8]) -> Value {
    let mut text = String::with_capacity(id.len() * 2);
    for b in id {
        let _never_fails = write!(text, "{b:02x}");
    }
    Value::from(text)
}

/// Nanoseconds since the epoch as a time.
pub(super) fn time(nanos: u64) -> Value {
    Value::Timestamp(DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)))
}
