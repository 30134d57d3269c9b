//! The sources `internal_logs` and `internal_metrics`: what the pipeline says of itself.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use qd_core::Severity;
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BoxFuture, Bucket, BuildError, ComponentError, Context, Entry, EventKind, InternalEvent, LogBatch, LogEvent,
    Metric, MetricBatch, MetricKind, MetricValue, OutputPort, Shutdown, Source, SourceConfig, SourceOut, TagValue,
    Tags, Value,
    batch::MAX_BATCH_EVENTS,
    telemetry::{BUCKETS, Reading},
};
use serde::Deserialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use vrl::path::OwnedValuePath;

use super::{
    keys::{OptionalPath, host_key, hostname, legacy_namespace},
    stream::Received,
};

fn pid_key() -> OptionalPath {
    OptionalPath::field("pid")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsConfig {
    host_key: Option<OptionalPath>,
    #[serde(default = "pid_key")]
    pid_key: OptionalPath,
    #[serde(default)]
    log_namespace: Option<bool>,
}

/// The catalogue's entry of `internal_logs`.
pub fn logs() -> Entry<dyn SourceConfig> {
    Entry {
        name: "internal_logs",
        about: "what the components of this pipeline say",
        parse: |node: &Node| Ok(Box::new(qd_logs_config::decode::<LogsConfig>(node)?)),
    }
}

impl SourceConfig for LogsConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            let host = host_key(&self.host_key, &cx.globals.log_schema).zip(hostname(&cx));
            Ok(Box::new(Logs {
                events: cx.log.listen(),
                received: Received::new(&cx, "internal"),
                host,
                pid: self.pid_key.0.clone(),
                cx,
            }) as Box<dyn Source>)
        })
    }
}

struct Logs {
    events: Receiver<InternalEvent>,
    cx: Context,
    received: Received,
    host: Option<(OwnedValuePath, Value)>,
    pid: Option<OwnedValuePath>,
}

impl Logs {
    fn event(&self, said: InternalEvent) -> LogEvent {
        let schema = &self.cx.globals.log_schema;
        let field = OwnedValuePath::single_field;
        let mut value = Value::Object(Default::default());
        for (name, v) in said.fields {
            value.insert(&field(name), v);
        }
        value.insert(&schema.message_key, Value::from(said.message));
        if let Some(path) = &schema.timestamp_key {
            value.insert(path, Value::Timestamp(said.time));
        }
        if let Some(path) = &schema.source_type_key {
            value.insert(path, Value::from("internal_logs"));
        }
        if let Some((path, host)) = &self.host {
            value.insert(path, host.clone());
        }
        if let Some(path) = &self.pid {
            value.insert(path, Value::from(i64::from(std::process::id())));
        }
        let level = match said.severity {
            Severity::Trace => "TRACE",
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error | Severity::Fatal => "ERROR",
        };
        value.insert(&field("metadata").with_field_appended("level"), Value::from(level));
        value.insert(&field("metadata").with_field_appended("kind"), Value::from("event"));
        if !said.component.is_empty() {
            let id = Value::from(&*said.component);
            value.insert(&field("vector").with_field_appended("component_id"), id);
        }
        LogEvent::new(value)
    }
}

impl Source for Logs {
    fn run(
        mut self: Box<Self>,
        out: SourceOut,
        mut shutdown: Shutdown,
    ) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            loop {
                let said = tokio::select! {
                    said = self.events.recv() => said,
                    () = shutdown.wait() => return Ok(()),
                };
                let mut waiting = Vec::new();
                match said {
                    Ok(said) => waiting.push(said),
                    Err(RecvError::Lagged(n)) => {
                        // Not said aloud: that would be one more event.
                        let intent = qd_logs_model::telemetry::Intent::Unintended;
                        self.received.telemetry().discarded(n, intent);
                    }
                    Err(RecvError::Closed) => return Ok(()),
                }
                while waiting.len() < MAX_BATCH_EVENTS
                    && let Ok(said) = self.events.try_recv()
                {
                    waiting.push(said);
                }
                // What this source itself says would come back to it for ever.
                let events: Vec<LogEvent> = waiting
                    .into_iter()
                    .filter(|e| *e.component != *self.cx.id)
                    .map(|e| self.event(e))
                    .collect();
                let batch = LogBatch::events(events);
                self.received.bytes(batch.size());
                self.received.events(batch.len(), batch.size());
                if out.send(Batch::Logs(batch)).await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

fn scrape_interval() -> f64 {
    1.0
}

fn namespace() -> String {
    "vector".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TagsConfig {
    host_key: Option<OptionalPath>,
    pid_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsConfig {
    #[serde(default = "scrape_interval")]
    scrape_interval_secs: f64,
    #[serde(default)]
    tags: TagsConfig,
    #[serde(default = "namespace")]
    namespace: String,
}

/// The catalogue's entry of `internal_metrics`.
pub fn metrics() -> Entry<dyn SourceConfig> {
    Entry {
        name: "internal_metrics",
        about: "what the components of this pipeline count",
        parse: |node: &Node| Ok(Box::new(qd_logs_config::decode::<MetricsConfig>(node)?)),
    }
}

/// The least time between two readings; less is not a measurement any more.
const LEAST: Duration = Duration::from_millis(10);

impl SourceConfig for MetricsConfig {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Metric)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            let every = Duration::try_from_secs_f64(self.scrape_interval_secs)
                .map_err(|e| BuildError::of("scrape_interval_secs", format!("the interval can't be used: {e}")))?;
            let mut tags = Tags::new();
            if let Some(key) = host_key(&self.tags.host_key, &cx.globals.log_schema) {
                tags.insert(key.to_string(), TagValue::One(cx.globals.hostname.to_string()));
            }
            if let Some(key) = self.tags.pid_key.as_ref().filter(|k| !k.is_empty()) {
                tags.insert(key.clone(), TagValue::One(std::process::id().to_string()));
            }
            Ok(Box::new(Metrics {
                every: every.max(LEAST),
                tags,
                namespace: self.namespace.as_str().into(),
                received: Received::new(&cx, "internal"),
            }) as Box<dyn Source>)
        })
    }
}

struct Metrics {
    every: Duration,
    tags: Tags,
    namespace: Arc<str>,
    received: Received,
}

impl Metrics {
    fn read(&self) -> Vec<Metric> {
        let now = Utc::now();
        let all = self.received.telemetry().read();
        all.into_iter()
            .map(|(name, labels, reading)| {
                let mut tags: Tags = labels
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), TagValue::One(v)))
                    .collect();
                tags.extend(self.tags.clone());
                let value = match reading {
                    Reading::Counter(n) => MetricValue::Counter { value: n as f64 },
                    Reading::Gauge(value) => MetricValue::Gauge { value },
                    Reading::Histogram(h) => MetricValue::AggregatedHistogram {
                        buckets: BUCKETS
                            .iter()
                            .copied()
                            .chain([f64::INFINITY])
                            .zip(h.counts)
                            .map(|(upper_limit, count)| Bucket { upper_limit, count })
                            .collect(),
                        count: h.count,
                        sum: h.sum,
                    },
                };
                Metric {
                    name: name.to_owned(),
                    namespace: (!self.namespace.is_empty()).then(|| self.namespace.to_string()),
                    tags,
                    timestamp: Some(now),
                    interval_ms: None,
                    kind: MetricKind::Absolute,
                    value,
                }
            })
            .collect()
    }
}

impl Source for Metrics {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let mut timer = tokio::time::interval(self.every);
            loop {
                tokio::select! {
                    _ = timer.tick() => {}
                    () = shutdown.wait() => return Ok(()),
                }
                let mut metrics = self.read();
                self.received.events(metrics.len(), metrics.len() * 256);
                self.received.bytes(metrics.len() * 256);
                while !metrics.is_empty() {
                    let rest = metrics.split_off(metrics.len().min(MAX_BATCH_EVENTS));
                    let batch = MetricBatch {
                        metrics: std::mem::replace(&mut metrics, rest),
                        ..MetricBatch::default()
                    };
                    if out.send(Batch::Metrics(batch)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        })
    }
}
