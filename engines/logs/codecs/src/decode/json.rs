//! JSON: an object, or a list of objects, whose fields are the event's.

use chrono::Utc;
use qd_logs_model::{LogSchema, Value};

use super::Parsed;

pub(super) fn parse(frame: &[u8], lossy: bool, schema: &LogSchema, out: &mut Parsed) -> Result<(), String> {
    if frame.is_empty() {
        return Ok(());
    }
    let text = super::text(frame, lossy)?;
    let value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let mut values = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    if values.iter().any(|v| !v.is_object()) {
        return Err("an event must be an object".to_owned());
    }
    if let Some(path) = &schema.timestamp_key {
        let now = Utc::now();
        for v in &mut values {
            if !v.contains(path) {
                v.insert(path, Value::Timestamp(now));
            }
        }
    }
    values.into_iter().for_each(|v| out.log(v));
    Ok(())
}
