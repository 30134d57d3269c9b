//! Vector's own JSON: an event, or a list of events, each an object with the one key `log`, `metric` or `trace`.

use qd_logs_model::{LogEvent, Value};

use super::Parsed;
use crate::native;

pub(super) fn parse(frame: &[u8], lossy: bool, out: &mut Parsed) -> Result<(), String> {
    if frame.is_empty() {
        return Ok(());
    }
    let text = super::text(frame, lossy)?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let events = match json {
        serde_json::Value::Array(events) => events,
        one => vec![one],
    };
    let mut parsed = Parsed::default();
    for event in events {
        let serde_json::Value::Object(object) = event else {
            return Err("an event must be an object".to_owned());
        };
        let mut fields = object.into_iter();
        let (Some((kind, body)), None) = (fields.next(), fields.next()) else {
            return Err("an event must have exactly one of `log`, `metric` and `trace`".to_owned());
        };
        match kind.as_str() {
            "log" | "trace" => {
                let event = LogEvent::new(Value::from(body));
                match kind.as_str() {
                    "trace" if !event.value.is_object() => return Err("a trace must be an object".to_owned()),
                    "trace" => parsed.traces.push(event),
                    _ => parsed.logs.push(event),
                }
            }
            "metric" => parsed.metrics.push(native::metric_from_json(body)?),
            other => return Err(format!("unknown kind of event `{other}`")),
        }
    }
    out.logs.append(&mut parsed.logs);
    out.traces.append(&mut parsed.traces);
    out.metrics.append(&mut parsed.metrics);
    Ok(())
}
