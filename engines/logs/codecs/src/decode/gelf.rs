//! GELF 1.1. What the strict reading refuses, the relaxed one takes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use qd_logs_model::{LogSchema, Value};
use serde::Deserialize;
use vrl::{path::OwnedValuePath, value::ObjectMap};

use super::{GelfValidation, Parsed};

/// The version that the format's specification names.
pub(crate) const VERSION: &str = "1.1";

/// Whether an additional field may have this name: letters, digits, `_`, `.`, `-`, and `@`, which receivers take too.
pub(crate) fn valid_name(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || "_.-@".contains(c))
}

#[derive(Deserialize)]
struct Message {
    version: String,
    host: String,
    short_message: String,
    full_message: Option<String>,
    timestamp: Option<f64>,
    level: Option<u8>,
    facility: Option<String>,
    line: Option<f64>,
    file: Option<String>,
    #[serde(flatten)]
    additional: BTreeMap<String, serde_json::Value>,
}

pub(super) fn parse(
    frame: &[u8],
    lossy: bool,
    validation: GelfValidation,
    schema: &LogSchema,
    out: &mut Parsed,
) -> Result<(), String> {
    let text = super::text(frame, lossy)?;
    let m: Message = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let strict = validation == GelfValidation::Strict;
    if strict && m.version != VERSION {
        return Err(format!("`version` is not {VERSION}"));
    }
    let time = match m.timestamp {
        Some(seconds) => time(seconds).ok_or("`timestamp` is no time")?,
        None => Utc::now(),
    };
    let mut value = Value::Object(ObjectMap::new());
    value.insert(&schema.message_key, Value::from(m.short_message));
    if let Some(path) = &schema.timestamp_key {
        value.insert(path, Value::Timestamp(time));
    }
    let mut set = |name: &str, v: Value| {
        value.insert(&OwnedValuePath::single_field(name), v);
    };
    set("version", m.version.into());
    set("host", m.host.into());
    if let Some(v) = m.full_message {
        set("full_message", v.into());
    }
    if let Some(v) = m.level {
        set("level", i64::from(v).into());
    }
    if let Some(v) = m.facility {
        set("facility", v.into());
    }
    if let Some(v) = m.line {
        set("line", Value::from_f64_or_zero(v));
    }
    if let Some(v) = m.file {
        set("file", v.into());
    }
    for (name, v) in m.additional {
        if name == "_id" {
            continue;
        }
        if strict && !name.starts_with('_') {
            return Err(format!("the additional field `{name}` does not begin with `_`"));
        }
        if strict && !valid_name(&name) {
            return Err(format!(
                "the additional field `{name}` has characters other than letters, digits, `_`, `-`, `.`"
            ));
        }
        if strict && !v.is_string() && !v.is_number() {
            return Err(format!("the additional field `{name}` is neither text nor a number"));
        }
        set(&name, Value::from(v));
    }
    out.log(value);
    Ok(())
}

/// Seconds since the epoch, with a fraction, to the nanosecond as far as a double holds it.
fn time(seconds: f64) -> Option<DateTime<Utc>> {
    let whole = seconds.floor();
    if !whole.is_finite() || whole.abs() > 1e12 {
        return None;
    }
    let nanos = ((seconds - whole) * 1e9).round().min(999_999_999.0);
    DateTime::from_timestamp(whole as i64, nanos as u32)
}
