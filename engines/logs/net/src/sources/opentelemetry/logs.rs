//! OTLP's log records as events, with Vector's names.

use chrono::Utc;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use qd_logs_model::{LogEvent, LogSchema, Value};
use vrl::{owned_value_path, path::OwnedValuePath};

use super::value::{any, attributes, hex, time};

pub(super) fn events(all: Vec<ResourceLogs>, schema: &LogSchema) -> Vec<LogEvent> {
    let now = Utc::now();
    let mut events = Vec::new();
    for resource_logs in all {
        let resource = resource_logs.resource.map(|r| attributes(r.attributes)).filter(filled);
        for scope_logs in resource_logs.scope_logs {
            let scope = scope_logs.scope.unwrap_or_default();
            let scope_attributes = Some(attributes(scope.attributes)).filter(filled);
            for record in scope_logs.log_records {
                let mut value = Value::Object(Default::default());
                let mut set = |path: &OwnedValuePath, v: Value| {
                    value.insert(path, v);
                };
                if record.body.as_ref().is_some_and(|b| b.value.is_some()) {
                    set(&schema.message_key, any(record.body));
                }
                if !scope.name.is_empty() {
                    set(&owned_value_path!("scope", "name"), Value::from(scope.name.as_str()));
                }
                if !scope.version.is_empty() {
                    set(
                        &owned_value_path!("scope", "version"),
                        Value::from(scope.version.as_str()),
                    );
                }
                if let Some(v) = &scope_attributes {
                    set(&owned_value_path!("scope", "attributes"), v.clone());
                }
                if scope.dropped_attributes_count > 0 {
                    let path = owned_value_path!("scope", "dropped_attributes_count");
                    set(&path, Value::Integer(scope.dropped_attributes_count.into()));
                }
                if let Some(v) = &resource {
                    set(&owned_value_path!("resources"), v.clone());
                }
                if !record.attributes.is_empty() {
                    set(&owned_value_path!("attributes"), attributes(record.attributes));
                }
                if !record.trace_id.is_empty() {
                    set(&owned_value_path!("trace_id"), hex(&record.trace_id));
                }
                if !record.span_id.is_empty() {
                    set(&owned_value_path!("span_id"), hex(&record.span_id));
                }
                if !record.severity_text.is_empty() {
                    set(&owned_value_path!("severity_text"), Value::from(record.severity_text));
                }
                if record.severity_number != 0 {
                    set(
                        &owned_value_path!("severity_number"),
                        Value::Integer(record.severity_number.into()),
                    );
                }
                if record.flags > 0 {
                    set(&owned_value_path!("flags"), Value::Integer(record.flags.into()));
                }
                set(
                    &owned_value_path!("dropped_attributes_count"),
                    Value::Integer(record.dropped_attributes_count.into()),
                );
                let observed = match record.observed_time_unix_nano {
                    0 => Value::Timestamp(now),
                    nanos => time(nanos),
                };
                set(&owned_value_path!("observed_timestamp"), observed.clone());
                if let Some(path) = &schema.timestamp_key {
                    let at = match record.time_unix_nano {
                        0 => observed,
                        nanos => time(nanos),
                    };
                    set(path, at);
                }
                if let Some(path) = &schema.source_type_key {
                    set(path, Value::from("opentelemetry"));
                }
                events.push(LogEvent::new(value));
            }
        }
    }
    events
}

pub(super) fn filled(value: &Value) -> bool {
    value.as_object().is_some_and(|o| !o.is_empty())
}
