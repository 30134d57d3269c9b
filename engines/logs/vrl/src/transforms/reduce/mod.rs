//! `reduce`: merges log events that belong together.

mod merge;

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, EventKind, Finalizers, InputKinds, LogEvent, Metadata, OutputPort, Telemetry,
    Transform, TransformConfig, TransformOut, Value, batch::value_size,
};
use vrl::path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix};

use self::merge::{Merger, Strategy};
use super::{Seldom, condition, events, target_path};
use crate::Condition;

/// Groups that are open at the most; beyond, the older half is let out early.
const MAX_GROUPS: usize = 100_000;
/// Bytes that open groups hold at the most, about; beyond, the older half is let out early.
const MAX_BYTES: usize = 256 << 20;

/// The configuration of `reduce`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReduceConfig {
    #[serde(default = "half_a_minute", deserialize_with = "super::millis")]
    expire_after_ms: Duration,
    #[serde(default, deserialize_with = "super::some_millis")]
    end_every_period_ms: Option<Duration>,
    #[serde(default = "a_second", deserialize_with = "super::millis")]
    flush_period_ms: Duration,
    max_events: Option<std::num::NonZeroUsize>,
    #[serde(default)]
    group_by: Vec<String>,
    #[serde(default)]
    merge_strategies: IndexMap<String, Strategy>,
    ends_when: Option<Node>,
    starts_when: Option<Node>,
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn a_second() -> Duration {
    Duration::from_secs(1)
}

impl TransformConfig for ReduceConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        if self.ends_when.is_some() && self.starts_when.is_some() {
            return Err(BuildError::of(
                "starts_when",
                "only one of `ends_when` and `starts_when` can be provided",
            ));
        }
        if self.flush_period_ms.is_zero() {
            return Err(BuildError::of(
                "flush_period_ms",
                "`flush_period_ms` must be greater than zero",
            ));
        }
        let mut strategies = IndexMap::new();
        for (text, s) in &self.merge_strategies {
            let key = "merge_strategies";
            let path =
                target_path(text, key).map_err(|_| BuildError::of(key, format!("Could not parse path: `{text}`")))?;
            if path.path.segments.iter().any(|s| matches!(s, OwnedSegment::Index(_))) {
                return Err(BuildError::of(
                    key,
                    format!("Merge strategies with indexes are currently not supported. Path: `{text}`"),
                ));
            }
            strategies.insert(path, *s);
        }
        let when = |node: &Option<Node>, key: &str| node.as_ref().map(|n| condition(n, key, &cx)).transpose();
        Ok(Box::new(Reduce {
            expire_after: self.expire_after_ms,
            every: self.end_every_period_ms,
            flush_period: self.flush_period_ms,
            max_events: self.max_events.map(|n| n.get()),
            group_by: self
                .group_by
                .iter()
                .map(|p| target_path(p, "group_by"))
                .collect::<Result<_, _>>()?,
            strategies,
            ends_when: when(&self.ends_when, "ends_when")?,
            starts_when: when(&self.starts_when, "starts_when")?,
            groups: IndexMap::new(),
            bytes: 0,
            say: Seldom::new(cx.log),
            telemetry: cx.telemetry,
        }))
    }
}

/// Events being merged.
struct Group {
    events: usize,
    fields: IndexMap<OwnedTargetPath, Merger>,
    metadata: Metadata,
    finalizers: Finalizers,
    born: Instant,
    touched: Instant,
    bytes: usize,
}

impl Group {
    fn new(now: Instant) -> Group {
        Group {
            events: 0,
            fields: IndexMap::new(),
            metadata: Metadata::default(),
            finalizers: Finalizers::none(),
            born: now,
            touched: now,
            bytes: 0,
        }
    }

    fn into_event(self) -> (LogEvent, Finalizers) {
        let mut event = LogEvent {
            value: Value::Object(Default::default()),
            metadata: self.metadata,
        };
        for (path, merger) in self.fields {
            let root = match path.prefix {
                PathPrefix::Event => &mut event.value,
                PathPrefix::Metadata => event.metadata.value_mut(),
            };
            merger.insert_into(&path.path, root);
        }
        (event, self.finalizers)
    }
}

type Key = Vec<Option<Value>>;

struct Reduce {
    expire_after: Duration,
    every: Option<Duration>,
    flush_period: Duration,
    max_events: Option<usize>,
    group_by: Vec<OwnedTargetPath>,
    strategies: IndexMap<OwnedTargetPath, Strategy>,
    ends_when: Option<Condition>,
    starts_when: Option<Condition>,
    groups: IndexMap<Key, Group>,
    bytes: usize,
    say: Seldom,
    telemetry: Telemetry,
}

/// Values that are no objects with something in them, with their paths; lists are whole.
fn leaves(v: &Value, path: &mut Vec<OwnedSegment>, leaf: &mut impl FnMut(&[OwnedSegment], &Value)) {
    match v {
        Value::Object(o) if !o.is_empty() || path.is_empty() => {
            for (k, v) in o {
                path.push(OwnedSegment::Field(k.clone()));
                leaves(v, path, leaf);
                path.pop();
            }
        }
        v => leaf(path, v),
    }
}

fn get<'a>(event: &'a LogEvent, path: &OwnedTargetPath) -> Option<&'a Value> {
    match path.prefix {
        PathPrefix::Event => event.value.get(&path.path),
        PathPrefix::Metadata => event.metadata.value()?.get(&path.path),
    }
}

impl Reduce {
    fn add(&mut self, group: &mut Group, event: &LogEvent, finalizers: &Finalizers, now: Instant) {
        let mut failures = Vec::new();
        let mut failed = |e: Result<(), String>| {
            if let Err(e) = e {
                failures.push(e);
            }
        };
        for (path, strategy) in &self.strategies {
            let Some(value) = get(event, path) else {
                continue;
            };
            match group.fields.get_mut(path) {
                Some(m) => failed(m.add(value.clone())),
                None => match strategy.begin(value.clone()) {
                    Ok(m) => {
                        group.fields.insert(path.clone(), m);
                    }
                    Err(e) => failed(Err(e)),
                },
            }
        }
        leaves(&event.value, &mut Vec::new(), &mut |segments, value| {
            let covered = |p: &OwnedTargetPath| p.prefix == PathPrefix::Event && segments.starts_with(&p.path.segments);
            if segments.is_empty() || self.strategies.keys().any(covered) {
                return;
            }
            let path = OwnedTargetPath::event(OwnedValuePath {
                segments: segments.to_vec(),
            });
            match group.fields.get_mut(&path) {
                Some(m) => failed(m.add(value.clone())),
                None => {
                    group.fields.insert(path, Merger::by_type(value.clone()));
                }
            }
        });
        if group.events == 0 {
            group.metadata = event.metadata.clone();
        }
        group.events += 1;
        group.touched = now;
        let grown = value_size(&event.value);
        group.bytes += grown;
        self.bytes += grown;
        group.finalizers.merge(finalizers.clone());
        for e in failures {
            self.telemetry.error("reduce_failed", "processing");
            self.say.warn(|| format!("Failed to merge value. {e}"));
        }
    }

    fn emit(&mut self, group: Group, out: &mut TransformOut) {
        self.bytes = self.bytes.saturating_sub(group.bytes);
        let (event, finalizers) = group.into_event();
        out.push(events(vec![event], EventKind::Log, finalizers));
    }

    fn one(&mut self, event: LogEvent, starts: bool, mut ends: bool, finalizers: &Finalizers, out: &mut TransformOut) {
        let now = Instant::now();
        let key: Key = self.group_by.iter().map(|p| get(&event, p).cloned()).collect();
        if let Some(max) = self.max_events {
            let so_far = self.groups.get(&key).map_or(0, |g| g.events);
            ends |= so_far + 1 >= max;
        }
        if starts {
            ends = false;
            if let Some(old) = self.groups.swap_remove(&key) {
                self.emit(old, out);
            }
        }
        let mut group = match self.groups.get_mut(&key) {
            Some(g) => std::mem::replace(g, Group::new(now)),
            None => Group::new(now),
        };
        self.add(&mut group, &event, finalizers, now);
        if ends {
            self.groups.swap_remove(&key);
            self.emit(group, out);
        } else {
            self.groups.insert(key, group);
            self.bound(out);
        }
    }

    /// Lets the older half out when too much is held.
    fn bound(&mut self, out: &mut TransformOut) {
        if self.groups.len() <= MAX_GROUPS && self.bytes <= MAX_BYTES {
            return;
        }
        let mut times: Vec<Instant> = self.groups.values().map(|g| g.touched).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.telemetry.counter("reduce_early_flushes_total").add(1);
        self.say
            .warn(|| "too much is waiting to be merged; the older half of the groups was let out early".to_owned());
        self.flush(out, |g| g.touched <= median);
    }

    fn flush(&mut self, out: &mut TransformOut, ripe: impl Fn(&Group) -> bool) -> u64 {
        let mut n = 0;
        for (key, group) in std::mem::take(&mut self.groups) {
            if ripe(&group) {
                n += 1;
                self.emit(group, out);
            } else {
                self.groups.insert(key, group);
            }
        }
        n
    }
}

impl Transform for Reduce {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Logs(b) = batch else {
            out.push(batch);
            return;
        };
        let ask = |c: &Option<Condition>| -> Vec<bool> {
            match c {
                Some(c) => (0..b.len()).map(|i| c.check_row(&b, i, &self.telemetry)).collect(),
                None => Vec::new(),
            }
        };
        let (starts, ends) = (ask(&self.starts_when), ask(&self.ends_when));
        let (all, finalizers) = b.into_events();
        for (i, event) in all.into_iter().enumerate() {
            let flag = |f: &[bool]| f.get(i).copied().unwrap_or_default();
            self.one(event, flag(&starts), flag(&ends), &finalizers, out);
        }
    }

    fn tick_every(&self) -> Option<Duration> {
        Some(self.flush_period)
    }

    fn tick(&mut self, now: Instant, out: &mut TransformOut) {
        let (expire, every) = (self.expire_after, self.every);
        let ripe = |g: &Group| {
            now.saturating_duration_since(g.touched) >= expire
                || every.is_some_and(|e| now.saturating_duration_since(g.born) >= e)
        };
        if self.groups.values().any(ripe) {
            let n = self.flush(out, ripe);
            self.telemetry.counter("stale_events_flushed_total").add(n);
        }
    }

    fn finish(&mut self, out: &mut TransformOut) {
        self.flush(out, |_| true);
    }
}
