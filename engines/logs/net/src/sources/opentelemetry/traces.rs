//! OTLP's spans as traces, with Vector's names.

use std::collections::BTreeMap;

use chrono::Utc;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, Span,
    span::{Event, Link},
};
use qd_logs_model::{LogEvent, Value};

use super::{
    logs::filled,
    value::{attributes, hex, time},
};

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(k, v)| (k.into(), v))
            .collect::<BTreeMap<_, _>>(),
    )
}

pub(super) fn events(all: Vec<ResourceSpans>) -> Vec<LogEvent> {
    let now = Value::Timestamp(Utc::now());
    let mut events = Vec::new();
    for resource_spans in all {
        let resource = resource_spans.resource.map(|r| attributes(r.attributes)).filter(filled);
        for s in resource_spans.scope_spans.into_iter().flat_map(|s| s.spans) {
            let mut value = span(s);
            if let Value::Object(o) = &mut value {
                if let Some(v) = &resource {
                    o.insert("resources".into(), v.clone());
                }
                o.insert("ingest_timestamp".into(), now.clone());
            }
            events.push(LogEvent::new(value));
        }
    }
    events
}

fn span(s: Span) -> Value {
    let status = s.status.map_or(Value::Null, |s| {
        object([
            ("message", Value::from(s.message)),
            ("code", Value::Integer(s.code.into())),
        ])
    });
    let mut value = object([
        ("trace_id", hex(&s.trace_id)),
        ("span_id", hex(&s.span_id)),
        ("trace_state", Value::from(s.trace_state)),
        ("parent_span_id", hex(&s.parent_span_id)),
        ("name", Value::from(s.name)),
        ("kind", Value::Integer(s.kind.into())),
        ("start_time_unix_nano", time(s.start_time_unix_nano)),
        ("end_time_unix_nano", time(s.end_time_unix_nano)),
        (
            "dropped_attributes_count",
            Value::Integer(s.dropped_attributes_count.into()),
        ),
        ("dropped_events_count", Value::Integer(s.dropped_events_count.into())),
        ("dropped_links_count", Value::Integer(s.dropped_links_count.into())),
        ("status", status),
    ]);
    if let Value::Object(o) = &mut value {
        if !s.attributes.is_empty() {
            o.insert("attributes".into(), attributes(s.attributes));
        }
        if !s.events.is_empty() {
            o.insert("events".into(), Value::Array(s.events.into_iter().map(event).collect()));
        }
        if !s.links.is_empty() {
            o.insert("links".into(), Value::Array(s.links.into_iter().map(link).collect()));
        }
    }
    value
}

fn event(e: Event) -> Value {
    object([
        ("name", Value::from(e.name)),
        ("time_unix_nano", time(e.time_unix_nano)),
        ("attributes", attributes(e.attributes)),
        (
            "dropped_attributes_count",
            Value::Integer(e.dropped_attributes_count.into()),
        ),
    ])
}

fn link(l: Link) -> Value {
    object([
        ("trace_id", hex(&l.trace_id)),
        ("span_id", hex(&l.span_id)),
        ("trace_state", Value::from(l.trace_state)),
        ("attributes", attributes(l.attributes)),
        (
            "dropped_attributes_count",
            Value::Integer(l.dropped_attributes_count.into()),
        ),
    ])
}
