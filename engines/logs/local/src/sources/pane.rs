//! The source `pane`: the records of a pane, from a channel of this process.

use chrono::{DateTime, Utc};
use qd_core::{Overflow, Receiver, Record};
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, ComponentError, Context, Entry, EventKind, LogBatch, LogEvent, OutputPort, Shutdown,
    Source, SourceConfig, SourceOut, Value, batch::MAX_BATCH_EVENTS,
};
use serde::Deserialize;
use vrl::path::OwnedValuePath;

use super::stream::Received;
use crate::pane::Hub;

fn queue() -> usize {
    10_000
}

/// The options of the source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaneConfig {
    /// The channel; the component's id if nothing is said.
    channel: Option<String>,
    /// Records that may wait; the oldest of more are dropped and counted.
    #[serde(default = "queue")]
    queue: usize,
}

/// The catalogue's entry.
pub fn entry() -> Entry<dyn SourceConfig> {
    Entry {
        name: "pane",
        about: "what happens in a pane of this console",
        parse: |node: &Node| Ok(Box::new(qd_logs_config::decode::<PaneConfig>(node)?)),
    }
}

impl SourceConfig for PaneConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            if self.queue == 0 {
                return Err(BuildError::of("queue", "the queue must have room for a record"));
            }
            let name = self.channel.as_deref().unwrap_or(&cx.id);
            Ok(Box::new(Pane {
                records: Hub::global().subscribe(name, self.queue.min(1_000_000), Overflow::DropOldest),
                received: Received::new(&cx, "internal"),
                cx,
            }) as Box<dyn Source>)
        })
    }
}

struct Pane {
    records: Receiver<Record>,
    cx: Context,
    received: Received,
}

/// A value of a record's field as an event's.
fn value(v: &qd_core::Value) -> Value {
    use qd_core::Value as V;
    match v {
        V::Null => Value::Null,
        V::Bool(b) => Value::Boolean(*b),
        V::Int(i) => Value::Integer(*i),
        V::Uint(u) => i64::try_from(*u).map_or_else(|_| Value::from(u.to_string()), Value::Integer),
        V::Float(f) => Value::from_f64_or_zero(*f),
        V::Str(s) => Value::from(&**s),
        V::Duration(d) => Value::from_f64_or_zero(d.as_secs_f64()),
        V::Bytes(b) => Value::from(b.to_string()),
        V::Time(t) => Value::Timestamp(DateTime::<Utc>::from_timestamp_nanos(t.0)),
        V::Blob(b) => Value::from(b.as_ref()),
    }
}

impl Pane {
    fn event(&self, record: &Record) -> LogEvent {
        let schema = &self.cx.globals.log_schema;
        let mut event = Value::Object(Default::default());
        for (name, v) in record.fields() {
            let mut parts = name.split('.');
            let mut path = OwnedValuePath::single_field(parts.next().unwrap_or_default());
            for part in parts {
                path = path.with_field_appended(part);
            }
            event.insert(&path, value(v));
        }
        let field = OwnedValuePath::single_field;
        event.insert(&schema.message_key, Value::from(record.body()));
        event.insert(&field("level"), Value::from(record.severity().name()));
        event.insert(&field("pane"), Value::from(record.source().as_str()));
        if let Some(path) = &schema.timestamp_key {
            event.insert(
                path,
                Value::Timestamp(DateTime::<Utc>::from_timestamp_nanos(record.wall().0)),
            );
        }
        if let Some(path) = &schema.host_key {
            event.insert(path, Value::from(&*self.cx.globals.hostname));
        }
        if let Some(path) = &schema.source_type_key {
            event.insert(path, Value::from("pane"));
        }
        LogEvent::new(event)
    }
}

impl Source for Pane {
    fn run(
        mut self: Box<Self>,
        out: SourceOut,
        mut shutdown: Shutdown,
    ) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let mut waiting: Vec<Record> = Vec::new();
            let mut dropped = 0;
            let mut ending = false;
            while !ending {
                tokio::select! {
                    record = self.records.recv() => match record {
                        Some(record) => waiting.push(record),
                        None => ending = true,
                    },
                    // What waits already is sent.
                    () = shutdown.wait() => ending = true,
                }
                loop {
                    let room = MAX_BATCH_EVENTS.saturating_sub(waiting.len());
                    self.records.drain(&mut waiting, room);
                    if waiting.is_empty() {
                        break;
                    }
                    let events: Vec<LogEvent> = waiting.drain(..).map(|r| self.event(&r)).collect();
                    let batch = LogBatch::events(events);
                    self.received.bytes(batch.size());
                    self.received.events(batch.len(), batch.size());
                    if out.send(Batch::Logs(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                let all = self.records.counters().dropped;
                if all > dropped {
                    let text = format!(
                        "{} record(s) of the pane were dropped: the pipeline is too slow",
                        all - dropped
                    );
                    self.received.lost(all - dropped, text);
                    dropped = all;
                }
            }
            Ok(())
        })
    }
}
