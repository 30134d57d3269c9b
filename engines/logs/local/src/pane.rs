//! Where pipelines and panes meet: named channels of records in this process.
//!
//! A pane publishes its records into the channel of its name, the source `pane` subscribes to it; the sink `pane`
//! publishes events into a channel that a log pane subscribes to. Publishing never waits: every subscriber has a bounded
//! queue, and what does not fit is dropped from it and counted there (see [`Counters`](qd_core::Counters)).
//!
//! ```
//! use qd_core::{Overflow, Record, Severity, SourceId};
//! use qd_logs_local::pane::Hub;
//!
//! let hub = Hub::new();
//! let mut reader = hub.subscribe("vm-1", 1000, Overflow::DropOldest);
//! let record = Record::build(&SourceId::new("vm-1"), Default::default(), Severity::Info).body("booted").finish();
//! hub.publish("vm-1", record.clone());
//! assert_eq!(reader.try_recv(), Some(record));
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use qd_core::{Instant, Overflow, Receiver, Record, Severity, SourceId, Timestamp};
use qd_logs_model::{LogSchema, Value};

/// Channels of a hub, at the most; a name beyond that gets a channel that nobody else can reach.
pub const MAX_CHANNELS: usize = 4096;

/// Named channels of records. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<RwLock<BTreeMap<String, qd_core::Hub<Record>>>>);

static GLOBAL: LazyLock<Hub> = LazyLock::new(Hub::new);

impl Hub {
    /// A hub without channels, for tests.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// The hub of this process.
    pub fn global() -> &'static Hub {
        &GLOBAL
    }

    /// The channel of this name, made if it is not there. Who publishes often keeps it.
    pub fn channel(&self, name: &str) -> qd_core::Hub<Record> {
        if let Some(channel) = self.0.read().get(name) {
            return channel.clone();
        }
        let mut channels = self.0.write();
        if channels.len() >= MAX_CHANNELS && !channels.contains_key(name) {
            return qd_core::Hub::default();
        }
        channels.entry(name.to_owned()).or_default().clone()
    }

    /// Gives a record to everybody who has subscribed to this channel.
    pub fn publish(&self, name: &str, record: Record) {
        self.channel(name).offer(record);
    }

    /// Everything that is published into this channel from now on, in a queue of at most `capacity` records. Take
    /// [`Overflow::DropOldest`] or [`Overflow::DropNewest`]: publishers do not wait.
    pub fn subscribe(&self, name: &str, capacity: usize, overflow: Overflow) -> Receiver<Record> {
        self.channel(name).subscribe(capacity, overflow)
    }

    /// The names of all channels.
    pub fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }
}

/// Nesting of a value beyond which it is written as JSON.
const MAX_DEPTH: usize = 8;

/// A log event as a record: its message is the body, its time the record's (else `now`), the first of `level`,
/// `severity`, `log.level` that names a severity is that, and all fields are there under dotted names; lists are JSON.
pub fn record_of(event: &Value, source: &SourceId, now: Instant, schema: &LogSchema) -> Record {
    let time = schema.timestamp_key.as_ref().and_then(|p| event.get(p));
    let wall = match time {
        Some(Value::Timestamp(t)) => stamp(*t),
        Some(text) => text
            .to_str()
            .and_then(|s| DateTime::parse_from_rfc3339(s).ok())
            .and_then(|t| stamp(t.with_timezone(&Utc))),
        None => None,
    };
    let level = |name: &str| {
        let text = event.as_object()?.get(name)?.to_str_lossy()?;
        text.parse::<Severity>().ok()
    };
    let severity = level("level")
        .or_else(|| level("severity"))
        .or_else(|| level("log.level"));
    let at = Instant {
        wall: wall.unwrap_or(now.wall),
        mono: now.mono,
    };
    let message = event.get(&schema.message_key);
    let mut record = Record::build(source, at, severity.unwrap_or_default());
    let body = match message {
        Some(m) => m.to_string_lossy().into_owned(),
        None => event.to_string(),
    };
    let mut fields = Vec::new();
    flatten(event, &mut String::new(), 0, &mut fields);
    let message_name = schema.message_key.to_string();
    for (name, value) in fields {
        if name != message_name {
            record = record.field(name, value);
        }
    }
    record.body(body).finish()
}

fn stamp(t: DateTime<Utc>) -> Option<Timestamp> {
    t.timestamp_nanos_opt().map(Timestamp)
}

fn flatten(value: &Value, name: &mut String, depth: usize, out: &mut Vec<(String, qd_core::Value)>) {
    let scalar = match value {
        Value::Object(o) if depth < MAX_DEPTH => {
            for (k, v) in o {
                let len = name.len();
                if len > 0 {
                    name.push('.');
                }
                name.push_str(k.as_str());
                flatten(v, name, depth + 1, out);
                name.truncate(len);
            }
            return;
        }
        Value::Integer(i) => qd_core::Value::Int(*i),
        Value::Float(f) => qd_core::Value::Float(f.into_inner()),
        Value::Boolean(b) => qd_core::Value::Bool(*b),
        Value::Null => qd_core::Value::Null,
        Value::Timestamp(t) => stamp(*t).map_or(qd_core::Value::Null, qd_core::Value::Time),
        other => qd_core::Value::from(other.to_string_lossy().as_ref()),
    };
    out.push((name.clone(), scalar));
}
