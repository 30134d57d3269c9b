//! Bytes to a batch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use qd_logs_model::{
    Batch, Bucket, DocsBuilder, EventKind, FieldKind, Line, Lines, LogBatch, LogEvent, Metric, MetricBatch, MetricKind,
    MetricValue, Origin, Quantile, Rows, Sample, Statistic, TagValue, Value,
};
use vrl::{
    compiler::prelude::NotNan,
    path::{OwnedSegment, OwnedValuePath},
    value::{KeyString, ValueRegex},
};

use super::{CodeError, Coded, MAX_DEPTH, MAX_TYPES, VERSION, form};

/// Reads from a block; every length is checked against what is there before anything is made of it.
pub(super) struct Reader<'a> {
    block: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader from the beginning.
    pub(super) fn new(block: &'a Bytes) -> Reader<'a> {
        Reader { block, at: 0 }
    }

    /// All there is, as a batch.
    pub(super) fn batch(mut self) -> Coded<Batch> {
        if self.u8()? != VERSION {
            return Err(CodeError::Version);
        }
        let (form, kind) = (self.u8()?, self.u8()?);
        let kind = match kind {
            0 => EventKind::Log,
            1 => EventKind::Trace,
            _ => return Err(CodeError::Bytes),
        };
        let rows = match form {
            form::LINES => self.lines()?,
            form::EVENTS => Rows::Events(self.many(2, Reader::event)?),
            form::DOCS => self.docs()?,
            form::METRICS => {
                let metrics = self.many(8, Reader::metric)?;
                self.end()?;
                return Ok(Batch::Metrics(MetricBatch {
                    metrics,
                    ..MetricBatch::default()
                }));
            }
            _ => return Err(CodeError::Bytes),
        };
        self.end()?;
        let mut logs = LogBatch::events(Vec::new());
        (logs.rows, logs.kind) = (rows, kind);
        Ok(Batch::Logs(logs))
    }

    fn end(&self) -> Coded<()> {
        if self.at == self.block.len() {
            Ok(())
        } else {
            Err(CodeError::Bytes)
        }
    }

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

    fn docs(&mut self) -> Coded<Rows> {
        let mut at: u32 = 0;
        let rows = self.many(4, |r| {
            r.many(7, |r| {
                let (len, key, kind) = (r.u32()?, u16::from_le_bytes(r.array()?), r.u8()?);
                let kind = match kind {
                    0 => FieldKind::Json,
                    1 => FieldKind::Time,
                    _ => return Err(CodeError::Bytes),
                };
                let start = at;
                at = at.checked_add(len).ok_or(CodeError::Bytes)?;
                Ok((start, len, key, kind))
            })
        })?;
        let start = self.at;
        self.take(at as usize)?;
        let mut docs = DocsBuilder::new(self.block.slice(start..start + at as usize));
        for fields in rows {
            docs.clear();
            for (at, len, key, kind) in fields {
                docs.push(at, len, key, kind).map_err(|_| CodeError::Bytes)?;
            }
            docs.commit();
        }
        Ok(Rows::Docs(docs.take()))
    }

    fn event(&mut self) -> Coded<LogEvent> {
        let mut event = LogEvent::new(self.value(0)?);
        match self.u8()? {
            0 => {}
            1 => {
                if let Some(value) = self.option(|r| r.value(0))? {
                    *event.metadata.value_mut() = value;
                }
                for (name, secret) in self.many(8, |r| Ok((r.text()?, r.text()?)))? {
                    event.metadata.set_secret(name, secret);
                }
            }
            _ => return Err(CodeError::Bytes),
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
