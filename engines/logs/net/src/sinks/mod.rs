//! Sinks on the network.

mod aws_s3;
mod clickhouse;
mod elasticsearch;
mod http;
mod loki;
mod prometheus;
mod vector;

use qd_core::Severity;
use qd_logs_codecs::{EncodingConfig, Template};
use qd_logs_config::{ConfigError, Node};
use qd_logs_model::{BoxFuture, BuildError, ComponentError, Context, Entry, Sink, SinkConfig, SinkInput};

pub(crate) use vector::Version;

use crate::request::{Driver, Intake, Service};

/// Reads a sink's configuration as its type.
fn read<T: SinkConfig + serde::de::DeserializeOwned + 'static>(
    node: &Node,
) -> Result<Box<dyn SinkConfig>, ConfigError> {
    Ok(Box::new(qd_logs_config::decode::<T>(node)?))
}

/// Every sink of this crate.
pub(crate) fn entries() -> Vec<Entry<dyn SinkConfig>> {
    vec![
        Entry {
            name: "aws_s3",
            about: "Stores events as objects in S3 or a service that speaks like it",
            parse: read::<aws_s3::S3Config>,
        },
        Entry {
            name: "clickhouse",
            about: "Inserts events into tables of ClickHouse",
            parse: read::<clickhouse::ClickhouseConfig>,
        },
        Entry {
            name: "elasticsearch",
            about: "Indexes events in Elasticsearch or OpenSearch",
            parse: read::<elasticsearch::ElasticsearchConfig>,
        },
        Entry {
            name: "http",
            about: "Sends events to an HTTP server",
            parse: read::<http::HttpConfig>,
        },
        Entry {
            name: "loki",
            about: "Sends events to Grafana Loki",
            parse: read::<loki::LokiConfig>,
        },
        Entry {
            name: "prometheus_exporter",
            about: "Shows metrics to Prometheus when it asks",
            parse: read::<prometheus::ExporterConfig>,
        },
        Entry {
            name: "vector",
            about: "Sends events to a Vector or Quarterdeck",
            parse: read::<vector::VectorConfig>,
        },
    ]
}

/// A sink that is a driver with its intake.
struct Requests<S: Service, I> {
    driver: Driver<S>,
    intake: I,
}

impl<S: Service, I: Intake<S> + 'static> Sink for Requests<S, I> {
    fn run(self: Box<Self>, input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(self.driver.run(input, self.intake))
    }
}

/// A template that stays below its constant beginning, unless that is switched off.
fn confined(template: &Template, cx: &Context, free: bool, key: &str) -> Result<Template, BuildError> {
    let template = template.clone().with_schema(&cx.globals.log_schema);
    match free {
        true => Ok(template),
        false => template.confined().map_err(|e| BuildError::of(key, e.to_string())),
    }
}

/// Says which keys of an encoding have no meaning for its codec.
fn warn_ignored(cx: &Context, encoding: &EncodingConfig) {
    for key in &encoding.ignored {
        let message = format!("`encoding.{key}` has no meaning for this codec and is ignored");
        cx.log.say(Severity::Warn, message, Vec::new());
    }
}

/// Text as a part of a query or of a path: all but letters, digits and `-._~` (and `/` if it may stay) by its bytes.
fn percent(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (slashes && b == b'/') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
