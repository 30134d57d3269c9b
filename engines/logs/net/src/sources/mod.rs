//! Sources on the network.

mod docker_logs;
mod http_server;
mod opentelemetry;
mod vector;

use std::sync::{Arc, atomic::AtomicBool};

use ::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};
use qd_logs_config::{ConfigError, Node, carry};
use qd_logs_model::{
    Batch, BuildError, Closed, Context, Counter, Delivery, Entry, Finalizers, LogEvent, LogSchema, SourceConfig,
    SourceOut, Token, Value,
};
use serde::{Deserialize, Deserializer};
use tokio::sync::oneshot;
use vrl::path::{OwnedValuePath, parse_value_path};

/// Reads a source's configuration as its type.
fn read<T: SourceConfig + serde::de::DeserializeOwned + 'static>(
    node: &Node,
) -> Result<Box<dyn SourceConfig>, ConfigError> {
    Ok(Box::new(qd_logs_config::decode::<T>(node)?))
}

/// Every source of this crate.
pub(crate) fn entries() -> Vec<Entry<dyn SourceConfig>> {
    vec![
        Entry {
            name: "docker_logs",
            about: "Reads the logs of Docker's containers",
            parse: read::<docker_logs::DockerConfig>,
        },
        Entry {
            name: "http_server",
            about: "Takes events by HTTP requests",
            parse: read::<http_server::HttpServerConfig>,
        },
        Entry {
            name: "http",
            about: "The older name of http_server",
            parse: read::<http_server::HttpServerConfig>,
        },
        Entry {
            name: "opentelemetry",
            about: "Takes logs, metrics and traces by OTLP",
            parse: read::<opentelemetry::OtlpConfig>,
        },
        Entry {
            name: "vector",
            about: "Takes events from a Vector or Quarterdeck",
            parse: read::<vector::VectorSourceConfig>,
        },
    ]
}

/// Where a source puts something; the empty text suppresses it.
#[derive(Debug, Clone, PartialEq, Default)]
struct OptionalPath(Option<OwnedValuePath>);

impl OptionalPath {
    fn field(name: &str) -> OptionalPath {
        OptionalPath(Some(OwnedValuePath::single_field(name)))
    }
}

impl<'de> Deserialize<'de> for OptionalPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(OptionalPath(None));
        }
        let path = text.strip_prefix('.').unwrap_or(&text);
        parse_value_path(path)
            .map(|p| OptionalPath(Some(p)))
            .map_err(|_| carry(ConfigError::new(format!("`{text}` is no path to a field"))))
    }
}

/// Refuses Vector's other namespace, which this pipeline does not write.
fn legacy_namespace(given: Option<bool>) -> Result<(), BuildError> {
    match given {
        Some(true) => Err(BuildError::of(
            "log_namespace",
            "only the legacy log namespace is supported; remove `log_namespace` or set it to false",
        )),
        _ => Ok(()),
    }
}

/// Inserts a value where the event has none.
fn if_absent(value: &mut Value, path: Option<&OwnedValuePath>, new: impl FnOnce() -> Value) {
    if let Some(path) = path
        && value.get(path).is_none()
    {
        value.insert(path, new());
    }
}

/// Adds the headers of a request that are asked for, by name or by a pattern with `*`, where the event has no such field.
/// A named header that the request does not have is null.
fn add_headers(value: &mut Value, wanted: &[String], headers: &HeaderMap) {
    let mut add = |name: &str, header: Option<&HeaderValue>| {
        let path = OwnedValuePath::single_field(name);
        if_absent(value, Some(&path), || {
            header.map_or(Value::Null, |h| {
                Value::Bytes(bytes::Bytes::copy_from_slice(h.as_bytes()))
            })
        });
    };
    for pattern in wanted {
        match pattern.contains('*') {
            true => {
                let pattern = pattern.to_ascii_lowercase();
                // The first value of a header that comes more than once, as with a name.
                for name in headers.keys().filter(|n| matches(&pattern, n.as_str())) {
                    add(name.as_str(), headers.get(name));
                }
            }
            false => add(pattern, headers.get(pattern.as_str())),
        }
    }
}

/// Whether a name matches a pattern with `*` for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Adds what every source adds to an event: its type, and the time of reading if the event has no time.
fn stamp(event: &mut LogEvent, schema: &LogSchema, source_type: &'static str, now: DateTime<Utc>) {
    if let Some(path) = &schema.source_type_key {
        event.value.insert(path, Value::from(source_type));
    }
    if_absent(&mut event.value, schema.timestamp_key.as_ref(), || {
        Value::Timestamp(now)
    });
}

/// A source's way into the pipeline that can wait until the events of a request arrived.
#[derive(Clone)]
struct Entrance {
    out: SourceOut,
    acknowledges: bool,
    aborted: Arc<AtomicBool>,
    events: Counter,
    event_bytes: Counter,
    bytes: Counter,
}

impl Entrance {
    fn new(out: SourceOut, cx: &Context, acknowledges: bool) -> Entrance {
        Entrance {
            out,
            acknowledges: acknowledges || cx.acknowledgements,
            aborted: cx.aborted.clone(),
            events: cx.telemetry.counter("component_received_events_total"),
            event_bytes: cx.telemetry.counter("component_received_event_bytes_total"),
            bytes: cx.telemetry.counter("component_received_bytes_total"),
        }
    }

    /// Counts the bytes of a message.
    fn received(&self, bytes: usize) {
        self.bytes.add(bytes as u64);
    }

    /// Sends batches by their ports. With acknowledgements it waits for what becomes of them.
    async fn push(&self, batches: Vec<(usize, Batch)>) -> Result<Delivery, Closed> {
        let (heard, told) = oneshot::channel();
        let token = self.acknowledges.then(|| {
            Token::abort_flag(self.aborted.clone(), move |delivery| {
                let _gave_up = heard.send(delivery);
            })
        });
        let finalizers = token.map_or_else(Finalizers::none, Finalizers::one);
        for (port, mut batch) in batches {
            self.events.add(batch.len() as u64);
            self.event_bytes.add(batch.size() as u64);
            batch.finalizers_mut().merge(finalizers.clone());
            if let Err(closed) = self.out.send_to(port, batch).await {
                finalizers.report(Delivery::Errored);
                return Err(closed);
            }
        }
        drop(finalizers);
        match self.acknowledges {
            true => Ok(told.await.unwrap_or(Delivery::Errored)),
            false => Ok(Delivery::Delivered),
        }
    }
}
