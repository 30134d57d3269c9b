//! `dedupe`: drops events whose fields were seen lately.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use qd_logs_model::{
    Batch, BuildError, Context, EventKind, InputKinds, LogBatch, OutputPort, Telemetry, Transform, TransformConfig,
    TransformOut, Value, telemetry::Intent,
};
use vrl::path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix};

use super::{keep, target_path, value_at};

/// The configuration of `dedupe`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupeConfig {
    fields: Option<FieldsConfig>,
    #[serde(default)]
    cache: CacheConfig,
    time_settings: Option<TimeConfig>,
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
enum FieldsConfig {
    #[serde(rename = "match")]
    Match(Vec<String>),
    #[serde(rename = "ignore")]
    Ignore(Vec<String>),
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheConfig {
    num_events: NonZeroUsize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            num_events: NonZeroUsize::MIN.saturating_add(4999),
        }
    }
}

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeConfig {
    #[serde(deserialize_with = "super::millis")]
    max_age_ms: Duration,
    #[serde(default)]
    refresh_on_drop: bool,
}

impl TransformConfig for DedupeConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let paths =
            |list: &[String], key: &str| list.iter().map(|p| target_path(p, key)).collect::<Result<Vec<_>, _>>();
        let fields = match &self.fields {
            Some(FieldsConfig::Match(list)) => Fields::Match(paths(list, "fields.match")?),
            Some(FieldsConfig::Ignore(list)) => Fields::Ignore(paths(list, "fields.ignore")?),
            None => {
                let s = &cx.globals.log_schema;
                let keys = [Some(&s.message_key), s.host_key.as_ref(), s.timestamp_key.as_ref()];
                Fields::Match(
                    keys.into_iter()
                        .flatten()
                        .cloned()
                        .map(OwnedTargetPath::event)
                        .collect(),
                )
            }
        };
        Ok(Box::new(Dedupe {
            fields,
            seen: Seen::new(self.cache.num_events.get()),
            time: self.time_settings.clone(),
            keys: (RandomState::new(), RandomState::new()),
            telemetry: cx.telemetry,
        }))
    }
}

enum Fields {
    Match(Vec<OwnedTargetPath>),
    Ignore(Vec<OwnedTargetPath>),
}

struct Dedupe {
    fields: Fields,
    seen: Seen,
    time: Option<TimeConfig>,
    keys: (RandomState, RandomState),
    telemetry: Telemetry,
}

/// The fingerprints seen last, the most recent kept. A fingerprint has 128 bits and secret keys, so that two different
/// events practically never share one, and an event's size does not matter.
struct Seen {
    room: usize,
    clock: u64,
    entries: HashMap<u128, (u64, Instant)>,
    /// Uses in order of time; older uses of the same fingerprint are passed over.
    uses: VecDeque<(u128, u64)>,
}

impl Seen {
    fn new(room: usize) -> Seen {
        Seen {
            room,
            clock: 0,
            entries: HashMap::new(),
            uses: VecDeque::new(),
        }
    }

    /// Marks a use, at a new time if `at` is given.
    fn touch(&mut self, id: u128, at: Option<Instant>) {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entries.entry(id).or_insert((clock, Instant::now()));
        entry.0 = clock;
        if let Some(at) = at {
            entry.1 = at;
        }
        self.uses.push_back((id, clock));
        while self.entries.len() > self.room {
            if let Some((old, used)) = self.uses.pop_front()
                && self.entries.get(&old).is_some_and(|e| e.0 == used)
            {
                self.entries.remove(&old);
            }
        }
        if self.uses.len() > 2 * self.room + 64 {
            let entries = &self.entries;
            self.uses
                .retain(|(id, used)| entries.get(id).is_some_and(|e| e.0 == *used));
        }
    }

    fn time(&self, id: u128) -> Option<Instant> {
        self.entries.get(&id).map(|e| e.1)
    }
}

/// Writes into both hashers.
struct Print(std::hash::DefaultHasher, std::hash::DefaultHasher);

impl Print {
    fn bytes(&mut self, b: &[u8]) {
        for h in [&mut self.0, &mut self.1] {
            h.write_usize(b.len());
            h.write(b);
        }
    }

    fn value(&mut self, v: &Value) {
        let kind: u8 = match v {
            Value::Bytes(_) | Value::String(_) => 0,
            Value::Timestamp(_) => 1,
            Value::Integer(_) => 2,
            Value::Float(_) => 3,
            Value::Boolean(_) => 4,
            Value::Object(_) => 5,
            Value::Array(_) => 6,
            Value::Null => 7,
            Value::Regex(_) => 8,
        };
        self.bytes(&[kind]);
        self.bytes(&v.coerce_to_bytes());
    }

    fn end(self) -> u128 {
        (u128::from(self.0.finish()) << 64) | u128::from(self.1.finish())
    }
}

/// Calls `leaf` for each value that is no object or list with something in it.
fn leaves(v: &Value, path: &mut Vec<OwnedSegment>, leaf: &mut impl FnMut(&[OwnedSegment], &Value)) {
    match v {
        Value::Object(o) if !o.is_empty() => {
            for (k, v) in o {
                path.push(OwnedSegment::Field(k.clone()));
                leaves(v, path, leaf);
                path.pop();
            }
        }
        Value::Array(a) if !a.is_empty() => {
            for (i, v) in (0isize..).zip(a) {
                path.push(OwnedSegment::Index(i));
                leaves(v, path, leaf);
                path.pop();
            }
        }
        v => leaf(path, v),
    }
}

impl Dedupe {
    fn print(&self, batch: &LogBatch, i: usize) -> u128 {
        let mut p = Print(self.keys.0.build_hasher(), self.keys.1.build_hasher());
        match &self.fields {
            Fields::Match(paths) => {
                for path in paths {
                    match value_at(batch, i, path) {
                        Some(v) => p.value(&v),
                        None => p.bytes(&[255]),
                    }
                }
            }
            Fields::Ignore(ignored) => {
                let mut side = |prefix: PathPrefix, v: &Value| {
                    leaves(v, &mut Vec::new(), &mut |path, v| {
                        if !ignored.iter().any(|t| t.prefix == prefix && t.path.segments == path) {
                            let path = OwnedValuePath {
                                segments: path.to_vec(),
                            };
                            p.bytes(path.to_string().as_bytes());
                            p.value(v);
                        }
                    });
                };
                match &batch.rows {
                    qd_logs_model::Rows::Events(e) => {
                        if let Some(e) = e.get(i) {
                            side(PathPrefix::Event, &e.value);
                            if let Some(m) = e.metadata.value() {
                                side(PathPrefix::Metadata, m);
                            }
                        }
                    }
                    _ => side(PathPrefix::Event, &batch.value(i)),
                }
            }
        }
        p.end()
    }

    fn is_new(&mut self, id: u128) -> bool {
        let Some(time) = &self.time else {
            let new = self.seen.time(id).is_none();
            self.seen.touch(id, None);
            return new;
        };
        let now = Instant::now();
        let dropped = self
            .seen
            .time(id)
            .is_some_and(|t| now.duration_since(t) < time.max_age_ms);
        let at = (!dropped || time.refresh_on_drop).then_some(now);
        self.seen.touch(id, at);
        !dropped
    }
}

impl Transform for Dedupe {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Logs(b) = &batch else {
            out.push(batch);
            return;
        };
        let flags: Vec<bool> = (0..b.len())
            .map(|i| {
                let id = self.print(b, i);
                self.is_new(id)
            })
            .collect();
        let dropped = flags.iter().filter(|f| !**f).count();
        if dropped > 0 {
            self.telemetry.discarded(dropped as u64, Intent::Intended);
        }
        out.push(keep(batch, &flags));
    }
}
