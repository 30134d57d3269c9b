//! The `loki` sink: events as entries of streams, which are sets of labels.
//!
//! With `compression: snappy`, the default, requests are Loki's protobuf messages; with any other they are JSON.

mod labels;
mod push;

use std::{collections::HashMap, sync::Arc};

use ::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use indexmap::IndexMap;
use qd_core::Severity;
use qd_logs_codecs::{Compression, Encoder, EncodingConfig, EventRef, RenderError, SinkType, Template};
use qd_logs_config::common::{BatchConfig, BatchDefaults, Concurrency, RequestConfig, TlsConfig};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, Context, Delivery, EventKind, InputKinds, LogSchema, SinkConfig, Value,
    telemetry::Intent,
};
use reqwest::{Request, Url};
use serde::Deserialize;

use super::{
    Requests, confined,
    http::{Prepared, compressed},
    warn_ignored,
};
use crate::{
    http::{Auth, Client, Protocol, endpoint, joined, standard},
    request::{Batcher, Driver, Intake, RequestSettings, Service, Verdict, driver::Report},
};

use labels::Pairs;
use push::Entry;

/// Tenants whose last time is remembered for `out_of_order_action`.
const MAX_TENANTS: usize = 10_000;

/// 1 MB, 100,000 events or 1 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LokiBatch;

impl BatchDefaults for LokiBatch {
    const MAX_EVENTS: Option<usize> = Some(100_000);
    const MAX_BYTES: Option<usize> = Some(1_000_000);
    const TIMEOUT_SECS: f64 = 1.0;
}

/// What becomes of an event that is older than one sent before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutOfOrder {
    /// It is sent; Loki since 2.4 takes it.
    #[default]
    Accept,
    /// It gets the time of the latest one.
    RewriteTimestamp,
    /// It is dropped.
    Drop,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LokiConfig {
    endpoint: String,
    #[serde(default = "push_path")]
    path: String,
    encoding: EncodingConfig,
    tenant_id: Option<Template>,
    labels: IndexMap<String, Template>,
    #[serde(default)]
    remove_label_fields: bool,
    #[serde(default)]
    structured_metadata: IndexMap<String, Template>,
    #[serde(default)]
    remove_structured_metadata_fields: bool,
    #[serde(default = "yes")]
    remove_timestamp: bool,
    #[serde(default = "snappy")]
    compression: Compression,
    #[serde(default)]
    out_of_order_action: OutOfOrder,
    auth: Option<Auth>,
    #[serde(default)]
    request: RequestConfig,
    #[serde(default)]
    batch: BatchConfig<LokiBatch>,
    tls: Option<TlsConfig>,
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
}

fn push_path() -> String {
    "/loki/api/v1/push".to_owned()
}

fn yes() -> bool {
    true
}

fn snappy() -> Compression {
    Compression::Snappy
}

impl LokiConfig {
    fn pairs(&self, map: &IndexMap<String, Template>, key: &str, cx: &Context) -> Result<Pairs, BuildError> {
        let free = self.dangerously_allow_unconfined_template_resolution;
        let mut pairs = Vec::new();
        for (name, value) in map {
            let name = Template::parse(name).map_err(|e| BuildError::of(key, e.to_string()))?;
            pairs.push((confined(&name, cx, free, key)?, confined(value, cx, free, key)?));
        }
        Ok(Pairs(pairs))
    }

    fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        warn_ignored(cx, &self.encoding);
        if self.labels.is_empty() {
            return Err(BuildError::of("labels", "`labels` must have one label at least"));
        }
        for name in self.labels.keys() {
            if !name.contains("{{") && !labels::is_name(name) {
                return Err(BuildError::of("labels", format!("`{name}` is no name of a label")));
            }
        }
        let free = self.dangerously_allow_unconfined_template_resolution;
        let base = endpoint(&self.endpoint, "endpoint", self.auth.as_ref())?;
        let schema = cx.globals.log_schema.clone();
        let labels = self.pairs(&self.labels, "labels", cx)?;
        let metadata = self.pairs(&self.structured_metadata, "structured_metadata", cx)?;
        let intake = LokiIntake {
            encoder: self.encoding.build(None, SinkType::Message, &schema)?,
            tenant: self
                .tenant_id
                .as_ref()
                .map(|t| confined(t, cx, free, "tenant_id"))
                .transpose()?,
            label_fields: match self.remove_label_fields {
                true => labels.fields(),
                false => Vec::new(),
            },
            metadata_fields: match self.remove_structured_metadata_fields {
                true => metadata.fields(),
                false => Vec::new(),
            },
            labels,
            metadata,
            remove_timestamp: self.remove_timestamp,
            schema,
            order: self.out_of_order_action,
            latest: HashMap::new(),
        };
        let client = Client::new(self.tls.as_ref(), Protocol::Any, cx)?;
        let authorization = self.auth.as_ref().and_then(|a| a.header().ok());
        let health = joined(&base, "/ready");
        let service = LokiService {
            client: client.clone(),
            url: joined(&base, &self.path),
            authorization: authorization.clone(),
            compression: self.compression,
        };
        let mut settings: RequestSettings = (&self.request).into();
        if self.out_of_order_action != OutOfOrder::Accept {
            // What is in order must stay so over requests.
            settings.concurrency = Concurrency::None;
        }
        let healthcheck = async move {
            let mut request = Request::new(Method::GET, health);
            if let Some(value) = authorization {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            // Hosted Lokis have no `/ready`.
            match client.send(request).await?.status.as_u16() {
                200 | 404 => Ok(()),
                status => Err(format!("Loki answers {status}")),
            }
        };
        Ok(BuiltSink {
            sink: Box::new(Requests {
                driver: Driver::new(service, settings, self.batch.settings(), cx),
                intake,
            }),
            healthcheck: Box::pin(healthcheck),
        })
    }
}

impl SinkConfig for LokiConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx) })
    }
}

type Tenant = Option<Arc<str>>;

struct LokiIntake {
    encoder: Encoder,
    tenant: Option<Template>,
    labels: Pairs,
    label_fields: Vec<vrl::path::OwnedTargetPath>,
    metadata: Pairs,
    metadata_fields: Vec<vrl::path::OwnedTargetPath>,
    remove_timestamp: bool,
    schema: LogSchema,
    order: OutOfOrder,
    /// The latest time by tenant.
    latest: HashMap<Tenant, i64>,
}

impl Intake<LokiService> for LokiIntake {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<Tenant, Entry>, report: &Report) {
        let Batch::Logs(mut logs) = batch else { return };
        let finalizers = logs.finalizers.clone();
        for event in std::mem::take(logs.to_events()) {
            match self.entry(event.value, report) {
                Ok(Some((tenant, entry))) => {
                    let size = entry.size();
                    batcher.add(&tenant, entry, size);
                }
                Ok(None) => {}
                Err(Lost(delivery, why)) => {
                    finalizers.report(delivery);
                    report.dropped(1, "encoder_failed", || format!("an event is dropped: {why}"));
                }
            }
        }
    }
}

/// An event that can't be sent.
struct Lost(Delivery, String);

impl LokiIntake {
    fn entry(&mut self, mut value: Value, report: &Report) -> Result<Option<(Tenant, Entry)>, Lost> {
        let lost = |e: RenderError| Lost(Delivery::Rejected, e.to_string());
        let skipped = |e: &RenderError| {
            report.telemetry.error("template_failed", "processing");
            report.complain("template", Severity::Warn, || {
                format!("a template can't be rendered: {e}")
            });
        };
        let event = EventRef::Value(&value);
        let tenant: Tenant = match self.tenant.as_ref().map(|t| t.render(event)) {
            None => None,
            Some(Ok(tenant)) => Some(tenant.into()),
            Some(Err(e @ RenderError::Confined(_))) => return Err(lost(e)),
            Some(Err(e)) => {
                skipped(&e);
                None
            }
        };
        let mut labels = self.labels.render(event, skipped).map_err(lost)?;
        for path in &self.label_fields {
            value.remove(&path.path, false);
        }
        let metadata = self.metadata.render(EventRef::Value(&value), skipped).map_err(lost)?;
        for path in &self.metadata_fields {
            value.remove(&path.path, false);
        }
        let timestamp_path = self.schema.timestamp_key.as_ref();
        let mut time = match timestamp_path.and_then(|p| value.get(p)) {
            Some(Value::Timestamp(t)) => t
                .timestamp_nanos_opt()
                .ok_or_else(|| Lost(Delivery::Errored, format!("its time {t} is out of range")))?,
            _ => chrono::Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX),
        };
        if let (true, Some(path)) = (self.remove_timestamp, timestamp_path) {
            value.remove(path, false);
        }
        let mut line = Vec::new();
        self.encoder
            .serialize_value(value, EventKind::Log, &mut line)
            .map_err(|e| Lost(Delivery::Rejected, e.to_string()))?;
        if labels.is_empty() {
            report.telemetry.error("condition_failed", "processing");
            labels.push(("agent".to_owned(), "vector".to_owned()));
        }
        if self.order != OutOfOrder::Accept {
            if self.latest.len() >= MAX_TENANTS && !self.latest.contains_key(&tenant) {
                self.latest.clear();
            }
            let latest = self.latest.entry(tenant.clone()).or_insert(time);
            if time >= *latest {
                *latest = time;
            } else if self.order == OutOfOrder::RewriteTimestamp {
                time = *latest;
                report.telemetry.counter("rewritten_timestamp_events_total").add(1);
            } else {
                report.telemetry.discarded(1, Intent::Intended);
                report.complain("order", Severity::Warn, || {
                    "an event that is older than one sent before is dropped".to_owned()
                });
                return Ok(None);
            }
        }
        labels.sort();
        let entry = Entry {
            labels,
            time,
            line: Bytes::from(line),
            metadata,
        };
        Ok(Some((tenant, entry)))
    }
}

struct LokiService {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    compression: Compression,
}

impl Service for LokiService {
    type Key = Tenant;
    type Entry = Entry;
    type Request = Prepared;

    fn prepare(&self, tenant: &Tenant, entries: &[Entry]) -> Result<Prepared, String> {
        let mut headers = HeaderMap::new();
        let (plain, kind) = match self.compression {
            Compression::Snappy => (push::protobuf(entries), "application/x-protobuf"),
            _ => (push::json(entries), "application/json"),
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(value) = self.compression.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        if let Some(tenant) = tenant {
            let value = HeaderValue::try_from(&**tenant).map_err(|_| format!("`{tenant}` is no id of a tenant"))?;
            headers.insert("x-scope-orgid", value);
        }
        if let Some(value) = &self.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        Ok(Prepared {
            url: self.url.clone(),
            method: Method::POST,
            headers,
            body: compressed(self.compression, plain)?,
        })
    }

    fn letter(&self, entry: &Entry) -> Bytes {
        entry.line.clone()
    }

    fn body_len(&self, request: &Prepared) -> usize {
        request.body.len()
    }

    fn send<'a>(&'a self, request: &'a Prepared) -> BoxFuture<'a, Verdict> {
        Box::pin(async move { standard(self.client.send(request.request()).await) })
    }
}
