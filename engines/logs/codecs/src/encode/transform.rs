//! What is done to log events before they are encoded.

use std::collections::BTreeMap;

use qd_logs_config::{ConfigError, Node, NodeValue};
use qd_logs_model::Value;
use serde::Deserialize;
use vrl::path::{OwnedValuePath, parse_value_path};

use crate::tagged;

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampFormat {
    /// Seconds since the epoch.
    Unix,
    /// RFC 3339, as text.
    Rfc3339,
    /// Milliseconds since the epoch.
    UnixMs,
    /// Microseconds since the epoch.
    UnixUs,
    /// Nanoseconds since the epoch.
    UnixNs,
    /// Seconds since the epoch with a fraction, to the microsecond.
    UnixFloat,
}

/// Keeps, removes and rewrites fields of log events. Metrics pass as they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transformer {
    /// The only fields that stay.
    pub only_fields: Option<Vec<OwnedValuePath>>,
    /// Fields that go.
    pub except_fields: Option<Vec<OwnedValuePath>>,
    /// How times are written.
    pub timestamp_format: Option<TimestampFormat>,
}

impl Transformer {
    pub(super) const KEYS: [&'static str; 3] = ["only_fields", "except_fields", "timestamp_format"];

    /// Reads the keys `only_fields`, `except_fields` and `timestamp_format` of a table; others are not looked at.
    ///
    /// # Errors
    /// A path that is none, an unknown format, a field that is in both lists.
    pub fn read(node: &Node) -> Result<Transformer, ConfigError> {
        let t = Transformer {
            only_fields: paths(node, "only_fields")?,
            except_fields: paths(node, "except_fields")?,
            timestamp_format: tagged::entry(node, "timestamp_format")?,
        };
        if let (Some(only), Some(except)) = (&t.only_fields, &t.except_fields)
            && let Some(both) = except.iter().find(|p| only.contains(p))
        {
            return Err(
                ConfigError::new(format!("the field `{both}` is in `only_fields` and in `except_fields`"))
                    .at(node.get("except_fields").and_then(|n| n.span))
                    .within("except_fields"),
            );
        }
        Ok(t)
    }

    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        self.only_fields.is_none()
            && self.except_fields.is_none()
            && matches!(self.timestamp_format, None | Some(TimestampFormat::Rfc3339))
    }

    /// Applies it to an event.
    pub fn apply(&self, value: &mut Value) {
        for path in self.except_fields.iter().flatten() {
            value.remove(path, false);
        }
        if let Some(only) = &self.only_fields {
            let mut old = std::mem::replace(value, Value::Object(BTreeMap::new()));
            for path in only {
                if let Some(v) = old.remove(path, true) {
                    value.insert(path, v);
                }
            }
        }
        if let Some(format) = self.timestamp_format
            && format != TimestampFormat::Rfc3339
        {
            times(value, format);
        }
    }
}

fn times(value: &mut Value, format: TimestampFormat) {
    match value {
        Value::Object(o) => o.values_mut().for_each(|v| times(v, format)),
        Value::Array(a) => a.iter_mut().for_each(|v| times(v, format)),
        Value::Timestamp(t) => {
            *value = match format {
                TimestampFormat::Unix => Value::Integer(t.timestamp()),
                TimestampFormat::UnixMs => Value::Integer(t.timestamp_millis()),
                TimestampFormat::UnixUs => Value::Integer(t.timestamp_micros()),
                // Beyond the years 1677 to 2262 nanoseconds do not fit; the nearest time that does.
                TimestampFormat::UnixNs => Value::Integer(t.timestamp_nanos_opt().unwrap_or(match t.timestamp() < 0 {
                    true => i64::MIN,
                    false => i64::MAX,
                })),
                TimestampFormat::UnixFloat => Value::from_f64_or_zero(t.timestamp_micros() as f64 / 1e6),
                TimestampFormat::Rfc3339 => return,
            };
        }
        _ => {}
    }
}

fn paths(node: &Node, key: &'static str) -> Result<Option<Vec<OwnedValuePath>>, ConfigError> {
    let Some(list) = node.get(key).filter(|n| n.value != NodeValue::Null) else {
        return Ok(None);
    };
    let NodeValue::Array(items) = &list.value else {
        return Err(ConfigError::new(format!("expected a list, found {}", list.kind()))
            .at(list.span)
            .within(key));
    };
    let path = |n: &Node| {
        n.as_str()
            .and_then(|s| parse_value_path(s).ok())
            .ok_or_else(|| ConfigError::new("expected the path of a field").at(n.span).within(key))
    };
    items.iter().map(path).collect::<Result<_, _>>().map(Some)
}
