//! Batches as bytes, for disk buffers.
//!
//! Everything is little-endian and begins with a version; numbers have fixed widths, texts and lists their length before
//! them. Lines stay lines, with what they have in common written once. A batch comes back with the same events, kinds,
//! metadata and times; documents come back as values. Nobody waits for a batch that comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use qd_logs_model::{
    Batch, Bucket, EventKind, Line, Lines, LogBatch, LogEvent, Metadata, Metric, MetricBatch, MetricKind, MetricValue,
    Origin, Quantile, Rows, Sample, Statistic, TagValue, Value,
};
use vrl::{
    compiler::prelude::NotNan,
    path::{OwnedSegment, OwnedValuePath},
    value::{KeyString, ValueRegex},
};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;
/// How deep values may nest.
const MAX_DEPTH: usize = 512;
/// Different names of types of sources that are kept for good.
const MAX_TYPES: usize = 256;

/// Why a batch cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodeError {
    /// Values nest too deep.
    #[error("values nest deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A length does not fit 32 bits.
    #[error("it is larger than 4 GiB")]
    Size,
    /// The bytes end too early, or say what cannot be.
    #[error("the bytes are no batch")]
    Bytes,
    /// Another version.
    #[error("the batch is of another version")]
    Version,
}

type Coded<T> = Result<T, CodeError>;

/// Appends a batch.
pub(crate) fn encode(batch: &Batch, out: &mut Vec<u8>) -> Coded<()> {
    out.push(VERSION);
    match batch {
        Batch::Logs(logs) => {
            let kind = u8::from(logs.kind == EventKind::Trace);
            match &logs.rows {
                Rows::Lines(lines) => {
                    out.extend([0, kind]);
                    put_lines(lines, out)
                }
                Rows::Docs(docs) => {
                    out.extend([1, kind]);
                    put_len(docs.len(), out)?;
                    for i in 0..docs.len() {
                        put_value(&docs.value(i), 0, out)?;
                        out.push(0);
                    }
                    Ok(())
                }
                Rows::Events(events) => {
                    out.extend([1, kind]);
                    put_len(events.len(), out)?;
                    events.iter().try_for_each(|e| put_event(e, out))
                }
            }
        }
        Batch::Metrics(metrics) => {
            out.extend([2, 0]);
            put_len(metrics.metrics.len(), out)?;
            metrics.metrics.iter().try_for_each(|m| put_metric(m, out))
        }
    }
}

/// Reads a batch; its texts share the block.
pub(crate) fn decode(block: &Bytes) -> Coded<Batch> {
    let mut r = Reader { block, at: 0 };
    if r.u8()? != VERSION {
        return Err(CodeError::Version);
    }
    let (form, kind) = (r.u8()?, r.u8()?);
    let kind = match kind {
        0 => EventKind::Log,
        1 => EventKind::Trace,
        _ => return Err(CodeError::Bytes),
    };
    let batch = match form {
        0 | 1 => {
            let rows = if form == 0 {
                r.lines()?
            } else {
                Rows::Events(r.many(2, Reader::event)?)
            };
            let mut logs = LogBatch::events(Vec::new());
            logs.rows = rows;
            logs.kind = kind;
            Batch::Logs(logs)
        }
        2 => Batch::Metrics(MetricBatch {
            metrics: r.many(8, Reader::metric)?,
            ..MetricBatch::default()
        }),
        _ => return Err(CodeError::Bytes),
    };
    if r.at == block.len() {
        Ok(batch)
    } else {
        Err(CodeError::Bytes)
    }
}

fn put_len(n: usize, out: &mut Vec<u8>) -> Coded<()> {
    let n = u32::try_from(n).map_err(|_| CodeError::Size)?;
    out.extend(n.to_le_bytes());
    Ok(())
}

fn put_bytes(b: &[u8], out: &mut Vec<u8>) -> Coded<()> {
    put_len(b.len(), out)?;
    out.extend_from_slice(b);
    Ok(())
}

fn put_time(t: &DateTime<Utc>, out: &mut Vec<u8>) {
    out.extend(t.timestamp().to_le_bytes());
    out.extend(t.timestamp_subsec_nanos().to_le_bytes());
}

fn put_path(path: &OwnedValuePath, out: &mut Vec<u8>) -> Coded<()> {
    put_len(path.segments.len(), out)?;
    for segment in &path.segments {
        match segment {
            OwnedSegment::Field(name) => {
                out.push(0);
                put_bytes(name.as_str().as_bytes(), out)?;
            }
            OwnedSegment::Index(i) => {
                out.push(1);
                out.extend((*i as i64).to_le_bytes());
            }
        }
    }
    Ok(())
}

fn put_option<T>(o: Option<&T>, out: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>) -> Coded<()>) -> Coded<()> {
    match o {
        None => {
            out.push(0);
            Ok(())
        }
        Some(v) => {
            out.push(1);
            put(v, out)
        }
    }
}

fn put_lines(lines: &Lines, out: &mut Vec<u8>) -> Coded<()> {
    let o = &lines.origin;
    put_bytes(o.source.as_bytes(), out)?;
    put_bytes(o.source_type.as_bytes(), out)?;
    put_path(&o.message, out)?;
    put_option(o.timestamp.as_ref(), out, put_path)?;
    put_option(o.offset.as_ref(), out, put_path)?;
    put_len(o.fields.len(), out)?;
    for (path, value) in &o.fields {
        put_path(path, out)?;
        put_value(value, 0, out)?;
    }
    put_time(&lines.read_at, out);
    put_len(lines.lines.len(), out)?;
    for (i, line) in lines.lines.iter().enumerate() {
        put_len(lines.text(i).len(), out)?;
        out.extend(line.offset.to_le_bytes());
    }
    // Only the lines: a filter may have left few of a block.
    for i in 0..lines.lines.len() {
        out.extend_from_slice(lines.text(i));
    }
    Ok(())
}

fn put_event(event: &LogEvent, out: &mut Vec<u8>) -> Coded<()> {
    put_value(&event.value, 0, out)?;
    if event.metadata.is_empty() {
        out.push(0);
        return Ok(());
    }
    out.push(1);
    put_option(event.metadata.value(), out, |v, out| put_value(v, 0, out))
}

fn put_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Coded<()> {
    if depth > MAX_DEPTH {
        return Err(CodeError::Depth);
    }
    match value {
        Value::Null => out.push(0),
        Value::Bytes(b) => {
            out.push(1);
            put_bytes(b, out)?;
        }
        Value::String(s) => {
            out.push(2);
            put_bytes(s.as_bytes(), out)?;
        }
        Value::Regex(r) => {
            out.push(3);
            put_bytes(r.as_bytes_slice(), out)?;
        }
        Value::Integer(i) => {
            out.push(4);
            out.extend(i.to_le_bytes());
        }
        Value::Float(f) => {
            out.push(5);
            out.extend(f.into_inner().to_le_bytes());
        }
        Value::Boolean(b) => out.push(if *b { 7 } else { 6 }),
        Value::Timestamp(t) => {
            out.push(8);
            put_time(t, out);
        }
        Value::Object(o) => {
            out.push(9);
            put_len(o.len(), out)?;
            for (k, v) in o {
                put_bytes(k.as_str().as_bytes(), out)?;
                put_value(v, depth + 1, out)?;
            }
        }
        Value::Array(a) => {
            out.push(10);
            put_len(a.len(), out)?;
            for v in a {
                put_value(v, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

fn put_tag(tag: &TagValue, out: &mut Vec<u8>) -> Coded<()> {
    match tag {
        TagValue::Bare => out.push(0),
        TagValue::One(s) => {
            out.push(1);
            put_bytes(s.as_bytes(), out)?;
        }
        TagValue::Many(all) => {
            out.push(2);
            put_len(all.len(), out)?;
            for s in all {
                put_option(s.as_ref(), out, |s, out| put_bytes(s.as_bytes(), out))?;
            }
        }
    }
    Ok(())
}

fn put_metric(m: &Metric, out: &mut Vec<u8>) -> Coded<()> {
    put_bytes(m.name.as_bytes(), out)?;
    put_option(m.namespace.as_ref(), out, |s, out| put_bytes(s.as_bytes(), out))?;
    put_len(m.tags.len(), out)?;
    for (k, v) in &m.tags {
        put_bytes(k.as_bytes(), out)?;
        put_tag(v, out)?;
    }
    put_option(m.timestamp.as_ref(), out, |t, out| {
        put_time(t, out);
        Ok(())
    })?;
    put_option(m.interval_ms.as_ref(), out, |i, out| {
        out.extend(i.to_le_bytes());
        Ok(())
    })?;
    out.push(u8::from(m.kind == MetricKind::Absolute));
    match &m.value {
        MetricValue::Counter { value } => {
            out.push(0);
            out.extend(value.to_le_bytes());
        }
        MetricValue::Gauge { value } => {
            out.push(1);
            out.extend(value.to_le_bytes());
        }
        MetricValue::Set { values } => {
            out.push(2);
            put_len(values.len(), out)?;
            for s in values {
                put_bytes(s.as_bytes(), out)?;
            }
        }
        MetricValue::Distribution { samples, statistic } => {
            out.extend([3, u8::from(*statistic == Statistic::Summary)]);
            put_len(samples.len(), out)?;
            for s in samples {
                out.extend(s.value.to_le_bytes());
                out.extend(s.rate.to_le_bytes());
            }
        }
        MetricValue::AggregatedHistogram { buckets, count, sum } => {
            out.push(4);
            put_len(buckets.len(), out)?;
            for b in buckets {
                out.extend(b.upper_limit.to_le_bytes());
                out.extend(b.count.to_le_bytes());
            }
            out.extend(count.to_le_bytes());
            out.extend(sum.to_le_bytes());
        }
        MetricValue::AggregatedSummary { quantiles, count, sum } => {
            out.push(5);
            put_len(quantiles.len(), out)?;
            for q in quantiles {
                out.extend(q.quantile.to_le_bytes());
                out.extend(q.value.to_le_bytes());
            }
            out.extend(count.to_le_bytes());
            out.extend(sum.to_le_bytes());
        }
    }
    Ok(())
}

/// Reads from a block; every length is checked against what is there before anything is made of it.
struct Reader<'a> {
    block: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Coded<&[u8]> {
        let end = self.at.checked_add(n).ok_or(CodeError::Bytes)?;
        let found = self.block.get(self.at..end).ok_or(CodeError::Bytes)?;
        self.at = end;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Coded<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| CodeError::Bytes)
    }

    fn u8(&mut self) -> Coded<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Coded<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Coded<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Coded<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn f64(&mut self) -> Coded<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Coded<Bytes> {
        let n = self.u32()? as usize;
        let start = self.at;
        self.take(n)?;
        Ok(self.block.slice(start..start + n))
    }

    fn text(&mut self) -> Coded<String> {
        let n = self.u32()? as usize;
        let b = self.take(n)?;
        std::str::from_utf8(b).map(str::to_owned).map_err(|_| CodeError::Bytes)
    }

    /// A list whose items take at least `least` bytes each.
    fn many<T>(&mut self, least: usize, mut read: impl FnMut(&mut Self) -> Coded<T>) -> Coded<Vec<T>> {
        let n = self.u32()? as usize;
        let left = self.block.len() - self.at;
        if n.checked_mul(least.max(1)).is_none_or(|bytes| bytes > left) {
            return Err(CodeError::Bytes);
        }
        (0..n).map(|_| read(self)).collect()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Coded<T>) -> Coded<Option<T>> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(CodeError::Bytes),
        }
    }

    fn time(&mut self) -> Coded<DateTime<Utc>> {
        let (s, n) = (self.i64()?, self.u32()?);
        DateTime::from_timestamp(s, n).ok_or(CodeError::Bytes)
    }

    fn path(&mut self) -> Coded<OwnedValuePath> {
        let segments = self.many(5, |r| {
            Ok(match r.u8()? {
                0 => OwnedSegment::Field(KeyString::from(r.text()?)),
                1 => OwnedSegment::Index(isize::try_from(r.i64()?).map_err(|_| CodeError::Bytes)?),
                _ => return Err(CodeError::Bytes),
            })
        })?;
        Ok(OwnedValuePath { segments })
    }

    fn lines(&mut self) -> Coded<Rows> {
        let source = Arc::from(self.text()?);
        let source_type = self.text()?;
        let origin = Origin {
            source,
            source_type: intern(&source_type).ok_or(CodeError::Bytes)?,
            message: self.path()?,
            timestamp: self.option(Self::path)?,
            offset: self.option(Self::path)?,
            fields: self.many(5, |r| Ok((r.path()?, r.value(0)?)))?,
        };
        let read_at = self.time()?;
        let heads = self.many(12, |r| Ok((r.u32()?, r.u64()?)))?;
        let mut at: u32 = 0;
        let mut lines = Vec::with_capacity(heads.len());
        for (len, offset) in heads {
            let end = at.checked_add(len).ok_or(CodeError::Bytes)?;
            lines.push(Line { start: at, end, offset });
            at = end;
        }
        let start = self.at;
        self.take(at as usize)?;
        Ok(Rows::Lines(Lines {
            block: self.block.slice(start..start + at as usize),
            lines,
            read_at,
            origin: Arc::new(origin),
        }))
    }

    fn event(&mut self) -> Coded<LogEvent> {
        let mut event = LogEvent::new(self.value(0)?);
        if let Some(Some(v)) = self.option(|r| r.option(|r| r.value(0)))? {
            let mut metadata = Metadata::default();
            *metadata.value_mut() = v;
            event.metadata = metadata;
        }
        Ok(event)
    }

    fn value(&mut self, depth: usize) -> Coded<Value> {
        if depth > MAX_DEPTH {
            return Err(CodeError::Depth);
        }
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bytes(self.bytes()?),
            2 => Value::String(self.text()?.into()),
            3 => {
                let text = self.text()?;
                match regex::Regex::new(&text) {
                    Ok(r) => Value::Regex(ValueRegex::new(Arc::new(r))),
                    Err(_) => Value::Bytes(text.into()),
                }
            }
            4 => Value::Integer(self.i64()?),
            5 => Value::Float(NotNan::new(self.f64()?).map_err(|_| CodeError::Bytes)?),
            6 => Value::Boolean(false),
            7 => Value::Boolean(true),
            8 => Value::Timestamp(self.time()?),
            9 => {
                let entries = self.many(5, |r| Ok((KeyString::from(r.text()?), r.value(depth + 1)?)))?;
                Value::Object(entries.into_iter().collect())
            }
            10 => Value::Array(self.many(1, |r| r.value(depth + 1))?),
            _ => return Err(CodeError::Bytes),
        })
    }

    fn tag(&mut self) -> Coded<TagValue> {
        Ok(match self.u8()? {
            0 => TagValue::Bare,
            1 => TagValue::One(self.text()?),
            2 => TagValue::Many(self.many(1, |r| r.option(Self::text))?),
            _ => return Err(CodeError::Bytes),
        })
    }

    fn metric(&mut self) -> Coded<Metric> {
        Ok(Metric {
            name: self.text()?,
            namespace: self.option(Self::text)?,
            tags: self
                .many(5, |r| Ok((r.text()?, r.tag()?)))?
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            timestamp: self.option(Self::time)?,
            interval_ms: self.option(Self::u32)?,
            kind: match self.u8()? {
                0 => MetricKind::Incremental,
                1 => MetricKind::Absolute,
                _ => return Err(CodeError::Bytes),
            },
            value: self.metric_value()?,
        })
    }

    fn metric_value(&mut self) -> Coded<MetricValue> {
        Ok(match self.u8()? {
            0 => MetricValue::Counter { value: self.f64()? },
            1 => MetricValue::Gauge { value: self.f64()? },
            2 => MetricValue::Set {
                values: self.many(4, Self::text)?.into_iter().collect::<BTreeSet<_>>(),
            },
            3 => {
                let statistic = match self.u8()? {
                    0 => Statistic::Histogram,
                    1 => Statistic::Summary,
                    _ => return Err(CodeError::Bytes),
                };
                let samples = self.many(12, |r| {
                    Ok(Sample {
                        value: r.f64()?,
                        rate: r.u32()?,
                    })
                })?;
                MetricValue::Distribution { samples, statistic }
            }
            4 => MetricValue::AggregatedHistogram {
                buckets: self.many(16, |r| {
                    Ok(Bucket {
                        upper_limit: r.f64()?,
                        count: r.u64()?,
                    })
                })?,
                count: self.u64()?,
                sum: self.f64()?,
            },
            5 => MetricValue::AggregatedSummary {
                quantiles: self.many(16, |r| {
                    Ok(Quantile {
                        quantile: r.f64()?,
                        value: r.f64()?,
                    })
                })?,
                count: self.u64()?,
                sum: self.f64()?,
            },
            _ => return Err(CodeError::Bytes),
        })
    }
}

/// The type of a source as text that lives for good; `None` when there would be too many.
fn intern(name: &str) -> Option<&'static str> {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock();
    if let Some(found) = known.get(name) {
        return Some(found);
    }
    if known.len() >= MAX_TYPES || name.len() > 64 {
        return None;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    known.insert(kept);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
                prop::collection::btree_map("[a-z.]{0,5}".prop_map(KeyString::from), inner, 0..5)
                    .prop_map(Value::Object),
            ]
        })
    }

    fn event() -> impl Strategy<Value = LogEvent> {
        (value(), prop::option::of(value())).prop_map(|(v, m)| {
            let mut e = LogEvent::new(v);
            if let Some(m) = m {
                *e.metadata.value_mut() = m;
            }
            e
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
                prop_assert_eq!(a.metadata.is_empty(), b.metadata.is_empty());
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
        fn noise_is_refused_not_feared(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![VERSION];
            bytes.extend(noise);
            let _any_answer_will_do = decode(&bytes.into());
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
}
