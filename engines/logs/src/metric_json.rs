//! A metric as a value, in the form of Vector's `native_json`, for taps and for conditions of tests.

use std::collections::BTreeMap;

use qd_logs_model::{Metric, MetricKind, MetricValue, Statistic, TagValue, Value};
use vrl::{compiler::prelude::NotNan, value::KeyString};

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(k, v)| (KeyString::from(k), v)).collect())
}

/// A number; null for what is none.
fn number(f: f64) -> Value {
    NotNan::new(f).map_or(Value::Null, Value::Float)
}

fn text(s: &str) -> Value {
    Value::from(s)
}

fn tag(value: &TagValue) -> Value {
    match value {
        TagValue::Bare => Value::Null,
        TagValue::One(s) => text(s),
        TagValue::Many(all) => Value::Array(all.iter().map(|s| s.as_deref().map_or(Value::Null, text)).collect()),
    }
}

fn count(n: u64) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// The metric as an object.
pub(crate) fn value(metric: &Metric) -> Value {
    let mut o: BTreeMap<KeyString, Value> = BTreeMap::new();
    o.insert("name".into(), text(&metric.name));
    if let Some(ns) = &metric.namespace {
        o.insert("namespace".into(), text(ns));
    }
    if !metric.tags.is_empty() {
        let tags = metric.tags.iter().map(|(k, v)| (KeyString::from(k.as_str()), tag(v)));
        o.insert("tags".into(), Value::Object(tags.collect()));
    }
    if let Some(t) = metric.timestamp {
        o.insert("timestamp".into(), Value::Timestamp(t));
    }
    if let Some(ms) = metric.interval_ms {
        o.insert("interval_ms".into(), Value::Integer(i64::from(ms)));
    }
    let kind = match metric.kind {
        MetricKind::Incremental => "incremental",
        MetricKind::Absolute => "absolute",
    };
    o.insert("kind".into(), text(kind));
    let (name, body) = match &metric.value {
        MetricValue::Counter { value } => ("counter", object([("value", number(*value))])),
        MetricValue::Gauge { value } => ("gauge", object([("value", number(*value))])),
        MetricValue::Set { values } => (
            "set",
            object([("values", Value::Array(values.iter().map(|s| text(s)).collect()))]),
        ),
        MetricValue::Distribution { samples, statistic } => {
            let samples = samples
                .iter()
                .map(|s| object([("value", number(s.value)), ("rate", Value::Integer(i64::from(s.rate)))]))
                .collect();
            let statistic = match statistic {
                Statistic::Histogram => "histogram",
                Statistic::Summary => "summary",
            };
            (
                "distribution",
                object([("samples", Value::Array(samples)), ("statistic", text(statistic))]),
            )
        }
        MetricValue::AggregatedHistogram { buckets, count: n, sum } => {
            let buckets = buckets
                .iter()
                .map(|b| object([("upper_limit", number(b.upper_limit)), ("count", count(b.count))]))
                .collect();
            (
                "aggregated_histogram",
                object([
                    ("buckets", Value::Array(buckets)),
                    ("count", count(*n)),
                    ("sum", number(*sum)),
                ]),
            )
        }
        MetricValue::AggregatedSummary {
            quantiles,
            count: n,
            sum,
        } => {
            let quantiles = quantiles
                .iter()
                .map(|q| object([("quantile", number(q.quantile)), ("value", number(q.value))]))
                .collect();
            (
                "aggregated_summary",
                object([
                    ("quantiles", Value::Array(quantiles)),
                    ("count", count(*n)),
                    ("sum", number(*sum)),
                ]),
            )
        }
    };
    o.insert(name.into(), body);
    Value::Object(o)
}
