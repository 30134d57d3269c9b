//! The transforms, with Vector's keys, defaults and behaviour.

pub mod aggregate;
pub mod dedupe;
pub mod exclusive_route;
pub mod filter;
pub mod log_to_metric;
pub mod reduce;
pub mod remap;
pub mod route;
pub mod sample;
pub mod throttle;

use std::time::{Duration, Instant};

use qd_logs_config::{ConfigError, Node, decode};
use qd_logs_model::{
    Batch, BuildError, Catalog, Context, Entry, EventKind, Finalizers, InternalLog, LogBatch, LogEvent, MetricBatch,
    Rows, TransformConfig, Value, catalog::Parse,
};
use serde::de::DeserializeOwned;
use vrl::path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix, parse_target_path};

use crate::{Condition, compile_condition};

/// The port of events that no route took.
pub(crate) const UNMATCHED: &str = "_unmatched";

fn parse<C: TransformConfig + DeserializeOwned + 'static>(
    node: &Node,
) -> Result<Box<dyn TransformConfig>, ConfigError> {
    Ok(Box::new(decode::<C>(node)?))
}

/// All transforms of this crate.
pub fn catalog() -> Catalog {
    let entry = |name, about, parse: Parse<dyn TransformConfig>| Entry { name, about, parse };
    Catalog {
        transforms: vec![
            entry(
                "aggregate",
                "Sums metrics up over an interval.",
                parse::<aggregate::AggregateConfig>,
            ),
            entry(
                "dedupe",
                "Drops events that were seen lately.",
                parse::<dedupe::DedupeConfig>,
            ),
            entry(
                "exclusive_route",
                "Sends each event to the first route it meets.",
                parse::<exclusive_route::ExclusiveRouteConfig>,
            ),
            entry(
                "filter",
                "Lets events through that meet a condition.",
                parse::<filter::FilterConfig>,
            ),
            entry(
                "log_to_metric",
                "Makes metrics of log events.",
                parse::<log_to_metric::LogToMetricConfig>,
            ),
            entry(
                "reduce",
                "Merges log events that belong together.",
                parse::<reduce::ReduceConfig>,
            ),
            entry("remap", "Changes events by a VRL program.", parse::<remap::RemapConfig>),
            entry(
                "route",
                "Sends each event to every route it meets.",
                parse::<route::RouteConfig>,
            ),
            entry(
                "sample",
                "Lets a part of the events through.",
                parse::<sample::SampleConfig>,
            ),
            entry(
                "throttle",
                "Lets so many events through in a time.",
                parse::<throttle::ThrottleConfig>,
            ),
        ],
        ..Catalog::default()
    }
}

/// Compiles the condition of a key, so that its errors say which.
pub(crate) fn condition(node: &Node, key: &str, cx: &Context) -> Result<Condition, BuildError> {
    compile_condition(node, &cx.globals).map_err(|mut e| {
        e.path.splice(0..0, key.split('.').map(str::to_owned));
        e
    })
}

/// Reads a path as Vector's configuration has it: `a.b`, `.a.b`, `%a.b`.
pub(crate) fn target_path(text: &str, key: &str) -> Result<OwnedTargetPath, BuildError> {
    parse_target_path(text).map_err(|_| BuildError::of(key, format!("`{text}` is no path of a field")))
}

/// The value at a path of event `i`, without making the event a value where that can be helped.
pub(crate) fn value_at(batch: &LogBatch, i: usize, path: &OwnedTargetPath) -> Option<Value> {
    match (&batch.rows, path.prefix) {
        (Rows::Events(e), PathPrefix::Event) => e.get(i)?.value.get(&path.path).cloned(),
        (Rows::Events(e), PathPrefix::Metadata) => e.get(i)?.metadata.value()?.get(&path.path).cloned(),
        (_, PathPrefix::Metadata) => None,
        (Rows::Docs(d), PathPrefix::Event) => match path.path.segments.as_slice() {
            [OwnedSegment::Field(f)] => d.field(i, f),
            [OwnedSegment::Field(f), rest @ ..] => d
                .field(i, f)?
                .get(&OwnedValuePath {
                    segments: rest.to_vec(),
                })
                .cloned(),
            _ => d.value(i).get(&path.path).cloned(),
        },
        (Rows::Lines(l), PathPrefix::Event) => l.value(i).get(&path.path).cloned(),
    }
}

/// Keeps the events of a batch whose flag is set.
pub(crate) fn keep(mut batch: Batch, flags: &[bool]) -> Batch {
    if flags.iter().all(|f| *f) {
        return batch;
    }
    let flag = |i: usize| flags.get(i).copied().unwrap_or_default();
    match &mut batch {
        Batch::Logs(b) => b.retain(flag),
        Batch::Metrics(b) => {
            let mut i = 0..;
            b.metrics.retain(|_| i.next().is_some_and(flag));
        }
    }
    batch
}

/// Log events as a batch of this kind.
pub(crate) fn events(events: Vec<LogEvent>, kind: EventKind, finalizers: Finalizers) -> Batch {
    Batch::Logs(LogBatch {
        rows: Rows::Events(events),
        kind,
        finalizers,
    })
}

/// Metrics as a batch.
pub(crate) fn metrics(metrics: Vec<qd_logs_model::Metric>, finalizers: Finalizers) -> Batch {
    Batch::Metrics(MetricBatch { metrics, finalizers })
}

/// Says the same thing at most every ten seconds, with how often it was not said.
#[derive(Debug)]
pub(crate) struct Seldom {
    log: InternalLog,
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    const EVERY: Duration = Duration::from_secs(10);

    pub(crate) fn new(log: InternalLog) -> Seldom {
        Seldom {
            log,
            last: None,
            unsaid: 0,
        }
    }

    pub(crate) fn error(&mut self, message: impl FnOnce() -> String) {
        self.say(qd_core::Severity::Error, message);
    }

    pub(crate) fn warn(&mut self, message: impl FnOnce() -> String) {
        self.say(qd_core::Severity::Warn, message);
    }

    fn say(&mut self, severity: qd_core::Severity, message: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.last.is_some_and(|l| now.duration_since(l) < Self::EVERY) {
            self.unsaid += 1;
            return;
        }
        self.last = Some(now);
        let mut text = message();
        if self.unsaid > 0 {
            text.push_str(&format!(" (and {} like it since the last time)", self.unsaid));
            self.unsaid = 0;
        }
        self.log.say(severity, text, Vec::new());
    }
}

pub(crate) fn yes() -> bool {
    true
}

/// A duration in whole milliseconds, for serde.
pub(crate) fn millis<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    <u64 as serde::Deserialize>::deserialize(d).map(Duration::from_millis)
}

/// The same for keys that may be absent.
pub(crate) fn some_millis<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    Ok(<Option<u64> as serde::Deserialize>::deserialize(d)?.map(Duration::from_millis))
}

#[cfg(test)]
mod tests;
