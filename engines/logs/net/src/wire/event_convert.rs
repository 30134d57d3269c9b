//! Between Vector's messages and the events of a pipeline.

use std::collections::BTreeMap;

use qd_logs_model::{
    Bucket, LogEvent, Metadata, Metric, MetricKind, MetricValue, Quantile, Sample, Statistic, TagValue, Tags, Value,
};

use super::{Timestamp, event as wire};

/// Nesting of a value beyond which it is read as null.
const MAX_DEPTH: usize = 128;

impl wire::Value {
    pub(crate) fn of(value: &Value) -> wire::Value {
        use wire::Kind;
        let kind = match value {
            Value::Bytes(b) => Kind::RawBytes(b.clone()),
            Value::Timestamp(t) => Kind::Timestamp((*t).into()),
            Value::Integer(i) => Kind::Integer(*i),
            Value::Float(f) => Kind::Float(f.into_inner()),
            Value::Boolean(b) => Kind::Boolean(*b),
            Value::Object(o) => Kind::Map(wire::ValueMap {
                fields: o.iter().map(|(k, v)| (k.to_string(), wire::Value::of(v))).collect(),
            }),
            Value::Array(a) => Kind::Array(wire::ValueArray {
                items: a.iter().map(wire::Value::of).collect(),
            }),
            Value::Null => Kind::Null(0),
            text => Kind::RawBytes(text.coerce_to_bytes()),
        };
        wire::Value { kind: Some(kind) }
    }

    pub(crate) fn into_value(self, depth: usize) -> Value {
        use wire::Kind;
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        match self.kind {
            Some(Kind::RawBytes(b)) => Value::Bytes(b),
            Some(Kind::Timestamp(t)) => t.time().map_or(Value::Null, Value::Timestamp),
            Some(Kind::Integer(i)) => Value::Integer(i),
            Some(Kind::Float(f)) => Value::from_f64_or_zero(f),
            Some(Kind::Boolean(b)) => Value::Boolean(b),
            Some(Kind::Map(m)) => object(m.fields, depth + 1),
            Some(Kind::Array(a)) => Value::Array(a.items.into_iter().map(|v| v.into_value(depth + 1)).collect()),
            Some(Kind::Null(_)) | None => Value::Null,
        }
    }
}

fn object(fields: BTreeMap<String, wire::Value>, depth: usize) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(k, v)| (k.into(), v.into_value(depth)))
            .collect(),
    )
}

fn metadata(m: &Metadata) -> Option<wire::Metadata> {
    m.value().map(|v| wire::Metadata {
        value: Some(wire::Value::of(v)),
        ..wire::Metadata::default()
    })
}

fn event(value: Value, full: Option<wire::Metadata>) -> LogEvent {
    let mut e = LogEvent::new(value);
    let Some(full) = full else { return e };
    if let Some(v) = full.value {
        let v = v.into_value(0);
        if v.as_object().is_some_and(|o| !o.is_empty()) {
            *e.metadata.value_mut() = v;
        }
    }
    for (name, secret) in full.secrets.unwrap_or_default().entries {
        e.metadata.set_secret(name, secret);
    }
    e
}

impl wire::Log {
    pub(crate) fn of(e: &LogEvent) -> wire::Log {
        wire::Log {
            value: Some(wire::Value::of(&e.value)),
            metadata_full: metadata(&e.metadata),
            ..wire::Log::default()
        }
    }

    pub(crate) fn into_event(self) -> LogEvent {
        let value = match self.value {
            Some(v) => v.into_value(0),
            None => object(self.fields, 1),
        };
        let full = self.metadata_full.or_else(|| {
            let value = self.metadata?;
            Some(wire::Metadata {
                value: Some(value),
                ..wire::Metadata::default()
            })
        });
        event(value, full)
    }
}

impl wire::Trace {
    pub(crate) fn of(e: &LogEvent) -> wire::Trace {
        let fields = match &e.value {
            Value::Object(o) => o.iter().map(|(k, v)| (k.to_string(), wire::Value::of(v))).collect(),
            other => BTreeMap::from([("message".to_owned(), wire::Value::of(other))]),
        };
        wire::Trace {
            fields,
            metadata_full: metadata(&e.metadata),
            ..wire::Trace::default()
        }
    }

    pub(crate) fn into_event(self) -> LogEvent {
        event(object(self.fields, 1), self.metadata_full)
    }
}

fn statistic(n: i32) -> Statistic {
    match n {
        1 => Statistic::Summary,
        _ => Statistic::Histogram,
    }
}

impl wire::Metric {
    pub(crate) fn of(m: &Metric) -> wire::Metric {
        use wire::MetricValue as W;
        let bare_or = |v: Option<&String>| wire::TagValue { value: v.cloned() };
        let mut tags_v1 = BTreeMap::new();
        let mut tags_v2 = BTreeMap::new();
        for (name, value) in &m.tags {
            let (single, values) = match value {
                TagValue::Bare => (None, vec![bare_or(None)]),
                TagValue::One(v) => (Some(v), vec![bare_or(Some(v))]),
                TagValue::Many(all) => (
                    all.iter().rev().flatten().next(),
                    all.iter().map(|v| bare_or(v.as_ref())).collect(),
                ),
            };
            if let Some(v) = single {
                tags_v1.insert(name.clone(), v.clone());
            }
            tags_v2.insert(name.clone(), wire::TagValues { values });
        }
        let value = match &m.value {
            MetricValue::Counter { value } => W::Counter(wire::Number { value: *value }),
            MetricValue::Gauge { value } => W::Gauge(wire::Number { value: *value }),
            MetricValue::Set { values } => W::Set(wire::Set {
                values: values.iter().cloned().collect(),
            }),
            MetricValue::Distribution { samples, statistic } => W::Distribution2(wire::Distribution2 {
                samples: samples
                    .iter()
                    .map(|s| wire::Sample {
                        value: s.value,
                        rate: s.rate,
                    })
                    .collect(),
                statistic: i32::from(*statistic == Statistic::Summary),
            }),
            MetricValue::AggregatedHistogram { buckets, count, sum } => {
                W::AggregatedHistogram3(wire::AggregatedHistogram3 {
                    buckets: buckets
                        .iter()
                        .map(|b| wire::Bucket3 {
                            upper_limit: b.upper_limit,
                            count: b.count,
                        })
                        .collect(),
                    count: *count,
                    sum: *sum,
                })
            }
            MetricValue::AggregatedSummary { quantiles, count, sum } => {
                W::AggregatedSummary3(wire::AggregatedSummary3 {
                    quantiles: quantiles
                        .iter()
                        .map(|q| wire::Quantile {
                            quantile: q.quantile,
                            value: q.value,
                        })
                        .collect(),
                    count: *count,
                    sum: *sum,
                })
            }
        };
        wire::Metric {
            name: m.name.clone(),
            timestamp: m.timestamp.map(Timestamp::from),
            tags_v1,
            tags_v2,
            kind: i32::from(m.kind == MetricKind::Absolute),
            value: Some(value),
            namespace: m.namespace.clone().unwrap_or_default(),
            interval_ms: m.interval_ms.unwrap_or_default(),
            metadata_full: None,
        }
    }

    /// `None` for a metric without a value that is known, such as a sketch.
    pub(crate) fn into_metric(self) -> Option<Metric> {
        use wire::MetricValue as W;
        let mut tags = Tags::new();
        match self.tags_v2.is_empty() {
            true => tags.extend(self.tags_v1.into_iter().map(|(k, v)| (k, TagValue::One(v)))),
            false => {
                for (name, values) in self.tags_v2 {
                    let mut all: Vec<_> = values.values.into_iter().map(|v| v.value).collect();
                    let value = match (all.len(), all.pop()) {
                        (0, _) | (_, None) => continue,
                        (1, Some(Some(v))) => TagValue::One(v),
                        (1, Some(None)) => TagValue::Bare,
                        (_, Some(last)) => {
                            all.push(last);
                            TagValue::Many(all)
                        }
                    };
                    tags.insert(name, value);
                }
            }
        }
        let histogram = |buckets: Vec<Bucket>, count, sum| MetricValue::AggregatedHistogram { buckets, count, sum };
        let bucket = |upper_limit, count: u64| Bucket { upper_limit, count };
        let quantiles = |all: Vec<wire::Quantile>| {
            let quantile = |q: wire::Quantile| Quantile {
                quantile: q.quantile,
                value: q.value,
            };
            all.into_iter().map(quantile).collect()
        };
        let value = match self.value? {
            W::Counter(n) => MetricValue::Counter { value: n.value },
            W::Gauge(n) => MetricValue::Gauge { value: n.value },
            W::Set(s) => MetricValue::Set {
                values: s.values.into_iter().collect(),
            },
            W::Distribution1(d) => MetricValue::Distribution {
                samples: d
                    .values
                    .into_iter()
                    .zip(d.sample_rates)
                    .map(|(value, rate)| Sample { value, rate })
                    .collect(),
                statistic: statistic(d.statistic),
            },
            W::Distribution2(d) => MetricValue::Distribution {
                samples: d
                    .samples
                    .into_iter()
                    .map(|s| Sample {
                        value: s.value,
                        rate: s.rate,
                    })
                    .collect(),
                statistic: statistic(d.statistic),
            },
            W::AggregatedHistogram1(h) => histogram(
                h.buckets
                    .into_iter()
                    .zip(h.counts)
                    .map(|(l, c)| bucket(l, c.into()))
                    .collect(),
                h.count.into(),
                h.sum,
            ),
            W::AggregatedHistogram2(h) => histogram(
                h.buckets
                    .into_iter()
                    .map(|b| bucket(b.upper_limit, b.count.into()))
                    .collect(),
                h.count.into(),
                h.sum,
            ),
            W::AggregatedHistogram3(h) => histogram(
                h.buckets.into_iter().map(|b| bucket(b.upper_limit, b.count)).collect(),
                h.count,
                h.sum,
            ),
            W::AggregatedSummary1(s) => MetricValue::AggregatedSummary {
                quantiles: s
                    .quantiles
                    .into_iter()
                    .zip(s.values)
                    .map(|(quantile, value)| Quantile { quantile, value })
                    .collect(),
                count: s.count.into(),
                sum: s.sum,
            },
            W::AggregatedSummary2(s) => MetricValue::AggregatedSummary {
                quantiles: quantiles(s.quantiles),
                count: s.count.into(),
                sum: s.sum,
            },
            W::AggregatedSummary3(s) => MetricValue::AggregatedSummary {
                quantiles: quantiles(s.quantiles),
                count: s.count,
                sum: s.sum,
            },
        };
        Some(Metric {
            name: self.name,
            namespace: Some(self.namespace).filter(|n| !n.is_empty()),
            tags,
            timestamp: self.timestamp.and_then(Timestamp::time),
            interval_ms: Some(self.interval_ms).filter(|n| *n > 0),
            kind: match self.kind {
                1 => MetricKind::Absolute,
                _ => MetricKind::Incremental,
            },
            value,
        })
    }
}
