//! GELF 1.1: the fields that the format knows must be there and have its types, all others get a `_` before their name.

use qd_logs_model::{LogSchema, Value};
use vrl::{path::OwnedValuePath, value::ObjectMap};

use crate::decode::gelf::{VERSION, valid_name};

/// The event as GELF has it.
///
/// # Errors
/// Which field is missing, or has a name or a type that GELF does not allow.
pub(super) fn event(mut value: Value, schema: &LogSchema) -> Result<Value, String> {
    let short = OwnedValuePath::single_field("short_message");
    let Some(object) = value.as_object_mut() else {
        return Err("the event is no object".to_owned());
    };
    if !object.contains_key("version") {
        object.insert("version".into(), VERSION.into());
    }
    if !object.contains_key("host") {
        return Err("the field `host` is missing".to_owned());
    }
    if !object.contains_key("short_message") {
        let message = value.remove(&schema.message_key, false);
        value.insert(&short, message.ok_or("the field `short_message` is missing")?);
    }
    let Value::Object(object) = value else {
        return Err("the event is no object".to_owned());
    };
    let mut out = ObjectMap::new();
    for (name, mut v) in object {
        let wrong = |wanted: &str, v: &Value| format!("the field `{name}` is {}, GELF wants {wanted}", v.kind_str());
        match name.as_str() {
            "version" | "host" | "short_message" | "full_message" | "facility" | "file" => {
                if !v.is_bytes() {
                    return Err(wrong("text", &v));
                }
            }
            "timestamp" => match &v {
                Value::Timestamp(t) => {
                    let ms = t.timestamp_millis();
                    v = match ms % 1000 {
                        0 => Value::Integer(t.timestamp()),
                        _ => Value::from_f64_or_zero(ms as f64 / 1000.0),
                    };
                }
                Value::Integer(_) => {}
                other => return Err(wrong("a time", other)),
            },
            "level" => {
                if !v.is_integer() {
                    return Err(wrong("a whole number", &v));
                }
            }
            "line" => {
                if !(v.is_float() || v.is_integer()) {
                    return Err(wrong("a number", &v));
                }
            }
            _ => {
                if !valid_name(&name) {
                    return Err(format!(
                        "the field `{name}` has characters other than letters, digits, `_`, `-`, `.`"
                    ));
                }
                if !(v.is_integer() || v.is_float() || v.is_bytes()) {
                    return Err(wrong("text or a number", &v));
                }
                if !name.is_empty() && !name.starts_with('_') {
                    out.insert(format!("_{name}").into(), v);
                    continue;
                }
            }
        }
        out.insert(name, v);
    }
    Ok(Value::Object(out))
}
