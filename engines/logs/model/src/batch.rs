//! Batches: what flows.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use vrl::path::OwnedValuePath;

use crate::{Docs, Finalizers, LogEvent, MetricBatch, Value};

/// Events in a batch, at the most.
pub const MAX_BATCH_EVENTS: usize = 1000;
/// Bytes in a batch beyond which a source starts a new one (a single event may be larger).
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// What kind of event a batch holds, or a port carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Log events.
    Log,
    /// Metrics.
    Metric,
    /// Spans of traces, as values like logs.
    Trace,
}

/// Events that flow together.
#[derive(Debug, Clone)]
pub enum Batch {
    /// Log events, or traces.
    Logs(LogBatch),
    /// Metrics.
    Metrics(MetricBatch),
}

impl Batch {
    /// How many events.
    pub fn len(&self) -> usize {
        match self {
            Batch::Logs(b) => b.len(),
            Batch::Metrics(b) => b.metrics.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What kind they are.
    pub fn kind(&self) -> EventKind {
        match self {
            Batch::Logs(b) => b.kind,
            Batch::Metrics(_) => EventKind::Metric,
        }
    }

    /// About how many bytes of memory they hold: what byte credits count.
    pub fn size(&self) -> usize {
        match self {
            Batch::Logs(b) => b.size(),
            Batch::Metrics(b) => b.metrics.len() * 256,
        }
    }

    /// Who waits to hear of them.
    pub fn finalizers(&self) -> &Finalizers {
        match self {
            Batch::Logs(b) => &b.finalizers,
            Batch::Metrics(b) => &b.finalizers,
        }
    }

    /// Who waits to hear of them, to add to or take from.
    pub fn finalizers_mut(&mut self) -> &mut Finalizers {
        match self {
            Batch::Logs(b) => &mut b.finalizers,
            Batch::Metrics(b) => &mut b.finalizers,
        }
    }
}

/// What all lines of a batch have in common: what a source adds to each event.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The id of the source component.
    pub source: Arc<str>,
    /// The source's `type`, as in the event's `source_type`.
    pub source_type: &'static str,
    /// Where the line's text goes (`log_schema.message_key`, `.message`).
    pub message: OwnedValuePath,
    /// Where the time of reading goes; `None` for sources that add none.
    pub timestamp: Option<OwnedValuePath>,
    /// Where the line's offset goes (`offset_key`).
    pub offset: Option<OwnedValuePath>,
    /// What else each event gets, such as `file`, `host`, `source_type`: paths and values, added in this order.
    pub fields: Vec<(OwnedValuePath, Value)>,
}

/// A line in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its first byte in the block.
    pub start: u32,
    /// One past its last byte, without the delimiter.
    pub end: u32,
    /// Its offset in the file, for sources that have one.
    pub offset: u64,
}

/// Lines of one block of bytes, as they were read. The text is not checked to be UTF-8.
#[derive(Debug, Clone)]
pub struct Lines {
    /// The bytes.
    pub block: Bytes,
    /// Where the lines are.
    pub lines: Vec<Line>,
    /// When they were read.
    pub read_at: DateTime<Utc>,
    /// What they have in common.
    pub origin: Arc<Origin>,
}

impl Lines {
    /// The bytes of line `i`; empty beyond the end.
    pub fn text(&self, i: usize) -> &[u8] {
        self.lines
            .get(i)
            .and_then(|l| self.block.get(l.start as usize..l.end as usize))
            .unwrap_or_default()
    }

    /// Line `i` as the event the source would have made of it.
    pub fn value(&self, i: usize) -> Value {
        let o = &self.origin;
        let mut value = Value::Object(Default::default());
        let (text, offset) = match self.lines.get(i) {
            Some(l) => (
                self.block
                    .get(l.start as usize..l.end as usize)
                    .map(|s| self.block.slice_ref(s)),
                l.offset,
            ),
            None => (None, 0),
        };
        value.insert(&o.message, Value::Bytes(text.unwrap_or_default()));
        if let Some(path) = &o.timestamp {
            value.insert(path, Value::Timestamp(self.read_at));
        }
        if let Some(path) = &o.offset {
            value.insert(path, Value::Integer(i64::try_from(offset).unwrap_or(i64::MAX)));
        }
        for (path, v) in &o.fields {
            value.insert(path, v.clone());
        }
        value
    }
}

/// The events of a batch in the cheapest form that says the same.
#[derive(Debug, Clone)]
pub enum Rows {
    /// As they were read.
    Lines(Lines),
    /// Text with a table of fields.
    Docs(Docs),
    /// As values.
    Events(Vec<LogEvent>),
}

/// Log events that flow together.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// The events.
    pub rows: Rows,
    /// [`EventKind::Log`] or [`EventKind::Trace`].
    pub kind: EventKind,
    /// Who waits to hear of them.
    pub finalizers: Finalizers,
}

impl LogBatch {
    /// Log events as values.
    pub fn events(events: Vec<LogEvent>) -> LogBatch {
        LogBatch {
            rows: Rows::Events(events),
            kind: EventKind::Log,
            finalizers: Finalizers::none(),
        }
    }

    /// Log events as lines.
    pub fn lines(lines: Lines) -> LogBatch {
        LogBatch {
            rows: Rows::Lines(lines),
            kind: EventKind::Log,
            finalizers: Finalizers::none(),
        }
    }

    /// How many events.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Lines(l) => l.lines.len(),
            Rows::Docs(d) => d.len(),
            Rows::Events(e) => e.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory they hold.
    pub fn size(&self) -> usize {
        match &self.rows {
            Rows::Lines(l) => {
                l.lines
                    .last()
                    .zip(l.lines.first())
                    .map_or(0, |(b, a)| (b.end.saturating_sub(a.start)) as usize)
                    + l.lines.len() * size_of::<Line>()
            }
            Rows::Docs(d) => d.size(),
            Rows::Events(e) => e.iter().map(|e| value_size(&e.value)).sum(),
        }
    }

    /// The events as values, made if they are not there yet.
    pub fn to_events(&mut self) -> &mut Vec<LogEvent> {
        let made = match &self.rows {
            Rows::Events(_) => None,
            Rows::Lines(l) => Some((0..l.lines.len()).map(|i| LogEvent::new(l.value(i))).collect()),
            Rows::Docs(d) => Some((0..d.len()).map(|i| LogEvent::new(d.value(i))).collect()),
        };
        if let Some(made) = made {
            self.rows = Rows::Events(made);
        }
        match &mut self.rows {
            Rows::Events(e) => e,
            Rows::Lines(_) | Rows::Docs(_) => unreachable!("the rows were made events above"),
        }
    }

    /// The events as values, and who waits for them.
    pub fn into_events(mut self) -> (Vec<LogEvent>, Finalizers) {
        let events = std::mem::take(self.to_events());
        (events, self.finalizers)
    }

    /// Event `i` as a value, without changing the form of the batch; null beyond the end.
    pub fn value(&self, i: usize) -> Value {
        match &self.rows {
            Rows::Lines(l) if i < l.lines.len() => l.value(i),
            Rows::Docs(d) if i < d.len() => d.value(i),
            Rows::Events(e) => e.get(i).map_or(Value::Null, |e| e.value.clone()),
            Rows::Lines(_) | Rows::Docs(_) => Value::Null,
        }
    }

    /// Keeps the events for which `keep` is true, whatever form they are in.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut i = 0..;
        let mut next = move || i.next().is_some_and(&mut keep);
        match &mut self.rows {
            Rows::Lines(l) => l.lines.retain(|_| next()),
            Rows::Docs(d) => d.retain(|_| next()),
            Rows::Events(e) => e.retain(|_| next()),
        }
    }

    /// A part of the events with everybody who waits for the whole.
    pub fn slice(&self, range: Range<usize>) -> LogBatch {
        let rows = match &self.rows {
            Rows::Lines(l) => Rows::Lines(Lines {
                lines: l.lines.get(range).unwrap_or_default().to_vec(),
                ..l.clone()
            }),
            Rows::Docs(d) => {
                let mut d = d.clone();
                d.retain(|i| range.contains(&i));
                Rows::Docs(d)
            }
            Rows::Events(e) => Rows::Events(e.get(range).unwrap_or_default().to_vec()),
        };
        LogBatch {
            rows,
            kind: self.kind,
            finalizers: self.finalizers.clone(),
        }
    }
}

/// About how many bytes of memory a value holds.
pub fn value_size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Bytes(b) => b.len(),
            Value::String(s) => s.as_bytes().len(),
            Value::Object(o) => o.iter().map(|(k, v)| k.len() + 16 + value_size(v)).sum(),
            Value::Array(a) => a.iter().map(value_size).sum(),
            _ => 0,
        }
}
