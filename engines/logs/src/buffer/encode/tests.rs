use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use qd_logs_model::{
    Bucket, DocsBuilder, EventKind, FieldKind, Line, Lines, LogBatch, LogEvent, Metric, MetricBatch, MetricKind,
    MetricValue, Origin, Quantile, Rows, Sample, Statistic, TagValue, Value,
};
use vrl::{
    compiler::prelude::NotNan,
    path::{OwnedSegment, OwnedValuePath},
    value::{KeyString, ValueRegex},
};

use super::*;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|b| Value::Bytes(b.into())),
        ".{0,6}".prop_map(|s| Value::String(s.into())),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_filter_map("not a number", |f| NotNan::new(f).ok().map(Value::Float)),
        any::<bool>().prop_map(Value::Boolean),
        time().prop_map(Value::Timestamp),
        "[a-z]{0,4}".prop_map(|s| Value::Regex(ValueRegex::new(Arc::new(regex::Regex::new(&s).unwrap())))),
    ]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_000_000_000i64..200_000_000_000, 0u32..1_000_000_000)
        .prop_map(|(s, n)| DateTime::from_timestamp(s, n).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-z.]{0,5}".prop_map(KeyString::from), inner, 0..5).prop_map(Value::Object),
        ]
    })
}

fn event() -> impl Strategy<Value = LogEvent> {
    let secrets = prop::collection::btree_map(".{0,4}", ".{0,6}", 0..3);
    (value(), prop::option::of(value()), secrets).prop_map(|(v, m, secrets)| {
        let mut e = LogEvent::new(v);
        if let Some(m) = m {
            *e.metadata.value_mut() = m;
        }
        for (name, secret) in secrets {
            e.metadata.set_secret(name, secret);
        }
        e
    })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        prop::num::f64::NORMAL.prop_map(serde_json::Value::from),
        ".{0,6}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![prop::num::f64::NORMAL, Just(f64::INFINITY), Just(0.0), Just(-0.0)]
}

fn metric() -> impl Strategy<Value = Metric> {
    let tag = prop_oneof![
        Just(TagValue::Bare),
        ".{0,4}".prop_map(TagValue::One),
        prop::collection::vec(prop::option::of(".{0,4}"), 0..4).prop_map(TagValue::Many),
    ];
    let value = prop_oneof![
        finite().prop_map(|value| MetricValue::Counter { value }),
        finite().prop_map(|value| MetricValue::Gauge { value }),
        prop::collection::btree_set(".{0,4}", 0..4).prop_map(|values| MetricValue::Set { values }),
        (prop::collection::vec((finite(), any::<u32>()), 0..4), any::<bool>()).prop_map(|(s, b)| {
            MetricValue::Distribution {
                samples: s.into_iter().map(|(value, rate)| Sample { value, rate }).collect(),
                statistic: if b { Statistic::Histogram } else { Statistic::Summary },
            }
        }),
        (
            prop::collection::vec((finite(), any::<u64>()), 0..4),
            any::<u64>(),
            finite()
        )
            .prop_map(|(b, count, sum)| MetricValue::AggregatedHistogram {
                buckets: b
                    .into_iter()
                    .map(|(upper_limit, count)| Bucket { upper_limit, count })
                    .collect(),
                count,
                sum
            }),
        (
            prop::collection::vec((finite(), finite()), 0..4),
            any::<u64>(),
            finite()
        )
            .prop_map(|(q, count, sum)| {
                MetricValue::AggregatedSummary {
                    quantiles: q
                        .into_iter()
                        .map(|(quantile, value)| Quantile { quantile, value })
                        .collect(),
                    count,
                    sum,
                }
            }),
    ];
    (
        ".{0,6}",
        prop::option::of(".{0,6}"),
        prop::collection::btree_map(".{0,4}", tag, 0..4),
        prop::option::of(time()),
        prop::option::of(any::<u32>()),
        any::<bool>(),
        value,
    )
        .prop_map(
            |(name, namespace, tags, timestamp, interval_ms, absolute, value)| Metric {
                name,
                namespace,
                tags,
                timestamp,
                interval_ms,
                kind: if absolute {
                    MetricKind::Absolute
                } else {
                    MetricKind::Incremental
                },
                value,
            },
        )
}

fn again(batch: &Batch) -> Batch {
    let mut out = Vec::new();
    encode(batch, &mut out).unwrap();
    decode(&out.into()).unwrap()
}

fn exact(v: &Value) -> String {
    // Vector's equality takes bytes and text for the same; the debug form does not.
    format!("{v:?}")
}

proptest! {
    #[test]
    fn events_come_back(events in prop::collection::vec(event(), 0..6), trace in any::<bool>()) {
        let mut logs = LogBatch::events(events.clone());
        if trace { logs.kind = EventKind::Trace; }
        let Batch::Logs(back) = again(&Batch::Logs(logs)) else { panic!("kind") };
        prop_assert_eq!(back.kind == EventKind::Trace, trace);
        let Rows::Events(found) = back.rows else { panic!("form") };
        prop_assert_eq!(found.len(), events.len());
        for (a, b) in found.iter().zip(&events) {
            prop_assert_eq!(exact(&a.value), exact(&b.value));
            prop_assert_eq!(a.metadata.value().map(exact), b.metadata.value().map(exact));
            prop_assert_eq!(&a.metadata, &b.metadata);
        }
    }

    #[test]
    fn metrics_come_back(metrics in prop::collection::vec(metric(), 0..6)) {
        let Batch::Metrics(back) = again(&Batch::Metrics(MetricBatch { metrics: metrics.clone(), ..Default::default() })) else { panic!("kind") };
        prop_assert_eq!(back.metrics, metrics);
    }

    #[test]
    fn lines_come_back(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
        keep in any::<u8>(), stamp in any::<bool>(), extra in value(), at in time(),
    ) {
        let mut block = Vec::new();
        let mut lines = Vec::new();
        for (i, t) in texts.iter().enumerate() {
            let start = block.len() as u32;
            block.extend_from_slice(t);
            lines.push(Line { start, end: block.len() as u32, offset: i as u64 * 7 });
            block.push(b'\n');
        }
        let key = OwnedValuePath::single_field;
        let origin = Origin {
            source: "in".into(), source_type: "file", message: key("message"),
            timestamp: stamp.then(|| key("timestamp")), offset: (!stamp).then(|| key("offset")),
            fields: vec![(key("file"), extra), (OwnedValuePath { segments: vec![OwnedSegment::Field("a".into()), OwnedSegment::Index(-2)] }, Value::Null)],
        };
        let mut logs = LogBatch::lines(Lines { block: block.into(), lines, read_at: at, origin: Arc::new(origin) });
        logs.retain(|i| keep >> (i % 8) & 1 == 1);
        let Batch::Logs(back) = again(&Batch::Logs(logs.clone())) else { panic!("kind") };
        prop_assert_eq!(back.len(), logs.len());
        for i in 0..logs.len() {
            prop_assert_eq!(exact(&back.value(i)), exact(&logs.value(i)));
        }
        let (Rows::Lines(a), Rows::Lines(b)) = (&back.rows, &logs.rows) else { panic!("form") };
        prop_assert_eq!(&a.origin, &b.origin);
    }

    #[test]
    fn documents_come_back_as_documents(
        objects in prop::collection::vec(prop::collection::btree_map("[a-z_.]{1,5}", json(), 0..6), 1..6),
        time in prop::option::of(time()), keep in any::<u8>(),
    ) {
        let mut block = Vec::new();
        let mut ends = Vec::new();
        for o in &objects {
            block.extend(serde_json::to_vec(o).unwrap());
            ends.push(block.len() as u32);
        }
        let mut docs = DocsBuilder::new(block.into());
        let mut start = 0;
        for end in ends {
            docs.parse(start, end).unwrap();
            if let Some(t) = &time {
                let text = serde_json::to_vec(&t.to_rfc3339()).unwrap();
                docs.set("timestamp", &text, FieldKind::Time).unwrap();
            }
            docs.commit();
            start = end;
        }
        let mut logs = LogBatch::events(Vec::new());
        logs.rows = Rows::Docs(docs.take());
        logs.retain(|i| keep >> (i % 8) & 1 == 1);
        let Batch::Logs(back) = again(&Batch::Logs(logs.clone())) else { panic!("kind") };
        let (Rows::Docs(a), Rows::Docs(b)) = (&back.rows, &logs.rows) else { panic!("form") };
        prop_assert_eq!(a.len(), b.len());
        for i in 0..a.len() {
            prop_assert_eq!(exact(&a.value(i)), exact(&b.value(i)));
            let (mut x, mut y) = (Vec::new(), Vec::new());
            a.write_json(i, &mut x);
            b.write_json(i, &mut y);
            prop_assert_eq!(x, y);
            for key in objects.iter().flat_map(|o| o.keys()) {
                prop_assert_eq!(a.get(i, key), b.get(i, key));
            }
        }
    }

    #[test]
    fn noise_is_refused_not_feared(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![VERSION];
        bytes.extend(noise);
        // What is taken for a batch must be one that can be looked at.
        if let Ok(Batch::Logs(logs)) = decode(&bytes.into()) {
            for i in 0..logs.len() {
                let _any_value_will_do = logs.value(i);
            }
        }
    }

    #[test]
    fn a_part_is_refused(events in prop::collection::vec(event(), 1..4), cut in any::<prop::sample::Index>()) {
        let mut out = Vec::new();
        encode(&Batch::Logs(LogBatch::events(events)), &mut out).unwrap();
        out.truncate(cut.index(out.len()));
        prop_assert!(decode(&out.into()).is_err());
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    let mut v = Value::Null;
    for _ in 0..=MAX_DEPTH {
        v = Value::Array(vec![v]);
    }
    let batch = Batch::Logs(LogBatch::events(vec![LogEvent::new(v)]));
    assert_eq!(encode(&batch, &mut Vec::new()), Err(CodeError::Depth));
}
