//! A batch to bytes.

use chrono::{DateTime, Utc};
use qd_logs_model::{
    Batch, Docs, EventKind, FieldKind, Lines, LogEvent, Metric, MetricKind, MetricValue, Rows, Statistic, TagValue,
    Value,
};
use vrl::path::{OwnedSegment, OwnedValuePath};

use super::{CodeError, Coded, MAX_DEPTH, form};

/// Appends a batch, without the version.
pub(super) fn put_batch(batch: &Batch, out: &mut Vec<u8>) -> Coded<()> {
    match batch {
        Batch::Logs(logs) => {
            let kind = u8::from(logs.kind == EventKind::Trace);
            match &logs.rows {
                Rows::Lines(lines) => {
                    out.extend([form::LINES, kind]);
                    put_lines(lines, out)
                }
                Rows::Docs(docs) => {
                    out.extend([form::DOCS, kind]);
                    put_docs(docs, out)
                }
                Rows::Events(events) => {
                    out.extend([form::EVENTS, kind]);
                    put_len(events.len(), out)?;
                    events.iter().try_for_each(|e| put_event(e, out))
                }
            }
        }
        Batch::Metrics(metrics) => {
            out.extend([form::METRICS, 0]);
            put_len(metrics.metrics.len(), out)?;
            metrics.metrics.iter().try_for_each(|m| put_metric(m, out))
        }
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

fn put_docs(docs: &Docs, out: &mut Vec<u8>) -> Coded<()> {
    put_len(docs.len(), out)?;
    for i in 0..docs.len() {
        let fields = docs.spans(i);
        put_len(fields.len(), out)?;
        for span in fields {
            put_len(span.text.len(), out)?;
            out.extend(span.key.to_le_bytes());
            out.push(u8::from(span.kind == FieldKind::Time));
        }
    }
    for i in 0..docs.len() {
        for span in docs.spans(i) {
            out.extend_from_slice(span.text);
        }
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
    put_option(event.metadata.value(), out, |v, out| put_value(v, 0, out))?;
    let secrets = event.metadata.secrets();
    put_len(secrets.len(), out)?;
    for (name, secret) in secrets {
        put_bytes(name.as_bytes(), out)?;
        put_bytes(secret.as_bytes(), out)?;
    }
    Ok(())
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
