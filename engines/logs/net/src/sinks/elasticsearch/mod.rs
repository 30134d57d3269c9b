//! The `elasticsearch` sink: events as documents of bulk requests.

mod document;
mod response;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use indexmap::IndexMap;
use qd_core::Severity;
use qd_logs_codecs::{Compression, MetricTagValues, Template, Transformer};
use qd_logs_config::{
    Node, NodeValue,
    common::{BatchConfig, RealtimeBySize, RequestConfig, TlsConfig},
};
use qd_logs_model::{Batch, BoxFuture, BuildError, BuiltSink, Context, InputKinds, SinkConfig};
use reqwest::{Request, Url};
use serde::Deserialize;
use vrl::path::{OwnedValuePath, parse_value_path};

use super::{
    Requests,
    clickhouse::transformer,
    confined,
    http::{Prepared, compressed},
    percent,
};
use crate::{
    http::{Auth, Client, Protocol, endpoint, joined},
    request::{Batcher, Driver, Intake, Service, Verdict, driver::Report},
};

use document::{Documents, Mode};

/// How documents are addressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeName {
    #[default]
    #[serde(alias = "normal")]
    Bulk,
    DataStream,
}

/// Which of Elasticsearch's interfaces is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ApiVersion {
    /// The server is asked.
    #[default]
    Auto,
    V6,
    V7,
    V8,
}

/// How a document's version is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VersionType {
    #[default]
    Internal,
    #[serde(alias = "external_gt")]
    External,
    ExternalGte,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct BulkConfig {
    action: String,
    index: String,
    template_fallback_index: Option<String>,
    version: Option<String>,
    version_type: VersionType,
}

impl Default for BulkConfig {
    fn default() -> Self {
        BulkConfig {
            action: "index".to_owned(),
            index: "vector-%Y.%m.%d".to_owned(),
            template_fallback_index: None,
            version: None,
            version_type: VersionType::Internal,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct DataStreamConfig {
    r#type: String,
    dataset: String,
    namespace: String,
    auto_routing: bool,
    sync_fields: bool,
}

impl Default for DataStreamConfig {
    fn default() -> Self {
        DataStreamConfig {
            r#type: "logs".to_owned(),
            dataset: "generic".to_owned(),
            namespace: "default".to_owned(),
            auto_routing: true,
            sync_fields: true,
        }
    }
}

/// How metrics become logs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MetricsConfig {
    host_tag: Option<String>,
    /// Metrics carry full times; nothing is to be read by it.
    #[serde(rename = "timezone")]
    _timezone: Option<String>,
    metric_tag_values: MetricTagValues,
    log_namespace: Option<bool>,
}

/// Which of several servers are asked; here the next one is, whatever happened to the last.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Distribution {
    #[serde(rename = "retry_initial_backoff_secs")]
    _retry_initial_backoff_secs: Option<u64>,
    #[serde(rename = "retry_max_duration_secs")]
    _retry_max_duration_secs: Option<u64>,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ElasticsearchConfig {
    endpoint: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    #[serde(default = "doc_type")]
    doc_type: String,
    #[serde(default)]
    api_version: ApiVersion,
    #[serde(default)]
    suppress_type_name: bool,
    #[serde(default)]
    request_retry_partial: bool,
    id_key: Option<String>,
    pipeline: Option<String>,
    #[serde(default)]
    mode: ModeName,
    #[serde(default)]
    compression: Compression,
    #[serde(default, deserialize_with = "transformer")]
    encoding: Transformer,
    #[serde(default)]
    batch: BatchConfig<RealtimeBySize>,
    #[serde(default)]
    request: RequestConfig,
    auth: Option<Auth>,
    query: Option<IndexMap<String, Node>>,
    /// Signed requests, which are not supported.
    aws: Option<Node>,
    opensearch_service_type: Option<String>,
    tls: Option<TlsConfig>,
    #[serde(default, rename = "distribution")]
    _distribution: Option<Distribution>,
    #[serde(default, alias = "normal")]
    bulk: BulkConfig,
    data_stream: Option<DataStreamConfig>,
    #[serde(default)]
    metrics: MetricsConfig,
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
}

fn doc_type() -> String {
    "_doc".to_owned()
}

impl ElasticsearchConfig {
    fn servers(&self) -> Result<Vec<Url>, BuildError> {
        let all = match (&self.endpoint, self.endpoints.as_slice()) {
            (Some(one), []) => std::slice::from_ref(one),
            (Some(_), _) => {
                return Err(BuildError::of(
                    "endpoint",
                    "`endpoint` and `endpoints` can't be set both",
                ));
            }
            (None, []) => {
                return Err(BuildError::of(
                    "endpoints",
                    "`endpoints` must have one address at least",
                ));
            }
            (None, all) => all,
        };
        all.iter()
            .map(|text| match text.contains("://") {
                true => endpoint(text, "endpoints", self.auth.as_ref()),
                false => Err(BuildError::of("endpoints", format!("`{text}` must have a scheme"))),
            })
            .collect()
    }

    fn template(&self, text: &str, key: &str, cx: &Context, confine: bool) -> Result<Template, BuildError> {
        let t = Template::parse(text).map_err(|e| BuildError::of(key, e.to_string()))?;
        confined(
            &t,
            cx,
            !confine || self.dangerously_allow_unconfined_template_resolution,
            key,
        )
    }

    fn mode(&self, cx: &Context) -> Result<Mode, BuildError> {
        let b = &self.bulk;
        let external = b.version_type != VersionType::Internal;
        match (external, &b.version, &self.id_key) {
            (false, Some(_), _) => {
                return Err(BuildError::of(
                    "bulk.version",
                    "`bulk.version` needs a `bulk.version_type` that is not `internal`",
                ));
            }
            (true, Some(_), None) => {
                return Err(BuildError::of("id_key", "`bulk.version` needs an `id_key`"));
            }
            (true, None, _) => {
                return Err(BuildError::of(
                    "bulk.version",
                    "this `bulk.version_type` needs a `bulk.version`",
                ));
            }
            _ => {}
        }
        Ok(match self.mode {
            ModeName::Bulk => Mode::Bulk {
                index: self.template(&b.index, "bulk.index", cx, true)?,
                fallback: b.template_fallback_index.clone(),
                action: self.template(&b.action, "bulk.action", cx, false)?,
                version: b
                    .version
                    .as_deref()
                    .map(|v| self.template(v, "bulk.version", cx, false))
                    .transpose()?,
                version_type: b.version_type,
            },
            ModeName::DataStream => {
                let d = self.data_stream.clone().unwrap_or_default();
                Mode::DataStream {
                    parts: [
                        self.template(&d.r#type, "data_stream.type", cx, true)?,
                        self.template(&d.dataset, "data_stream.dataset", cx, true)?,
                        self.template(&d.namespace, "data_stream.namespace", cx, true)?,
                    ],
                    auto_routing: d.auto_routing,
                    sync_fields: d.sync_fields,
                }
            }
        })
    }

    fn query(&self) -> Result<String, BuildError> {
        let mut pairs = Vec::new();
        let text = |n: &Node| match &n.value {
            NodeValue::String(s) => Ok(s.clone()),
            NodeValue::Table(_) => match n.get("value").and_then(Node::as_str) {
                Some(s) => Ok(s.to_owned()),
                None => Err(BuildError::of("query", "a parameter needs a `value` that is text")),
            },
            _ => Err(BuildError::of("query", "a parameter must be text or a list of texts")),
        };
        for (name, node) in self.query.iter().flatten() {
            match &node.value {
                NodeValue::Array(items) => {
                    for item in items {
                        pairs.push((name.clone(), text(item)?));
                    }
                }
                _ => pairs.push((name.clone(), text(node)?)),
            }
        }
        pairs.retain(|(name, _)| name != "timeout");
        pairs.push(("timeout".to_owned(), format!("{}s", self.request.timeout_secs)));
        if let Some(pipeline) = self.pipeline.as_ref().filter(|p| !p.is_empty()) {
            pairs.retain(|(name, _)| name != "pipeline");
            pairs.push(("pipeline".to_owned(), pipeline.clone()));
        }
        let pairs = pairs
            .iter()
            .map(|(k, v)| format!("{}={}", percent(k, false), percent(v, false)));
        Ok(pairs.collect::<Vec<_>>().join("&"))
    }

    fn headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.request.headers {
            let bad = || BuildError::of("request.headers", format!("`{name}` is no header or has a bad value"));
            let header = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            headers.insert(header, HeaderValue::try_from(value.as_str()).map_err(|_| bad())?);
        }
        if let Some(value) = self.auth.as_ref().and_then(|a| a.header().ok()) {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }

    async fn make(&self, cx: &Context) -> Result<BuiltSink, BuildError> {
        if self.aws.is_some() || self.opensearch_service_type.as_deref() == Some("serverless") {
            return Err(BuildError::of("aws", "requests signed for AWS are not supported"));
        }
        if let Some(other) = self.opensearch_service_type.as_deref().filter(|t| *t != "managed") {
            return Err(BuildError::of(
                "opensearch_service_type",
                format!("unknown value `{other}`, expected one of `managed`, `serverless`"),
            ));
        }
        if matches!(self.auth, Some(Auth::Bearer(_) | Auth::Custom(_))) {
            return Err(BuildError::of("auth.strategy", "the strategy must be `basic`"));
        }
        if self.metrics.log_namespace == Some(true) {
            return Err(BuildError::of(
                "metrics.log_namespace",
                "only the legacy log namespace is supported",
            ));
        }
        let servers = self.servers()?;
        let client = Client::new(self.tls.as_ref(), Protocol::Any, cx)?;
        let headers = self.headers()?;
        let version = match self.api_version {
            ApiVersion::V6 => 6,
            ApiVersion::V7 => 7,
            ApiVersion::V8 => 8,
            ApiVersion::Auto => {
                let mut found = Err("there is no server".to_owned());
                for url in &servers {
                    found = ask_version(&client, url, &headers).await;
                    if found.is_ok() {
                        break;
                    }
                }
                found.unwrap_or_else(|why| {
                    let assumed = if self.suppress_type_name { 6 } else { 8 };
                    let text = format!(
                        "the version of Elasticsearch can't be told, {assumed} is assumed (set `api_version`): {why}"
                    );
                    cx.log.say(Severity::Warn, text, Vec::new());
                    assumed
                })
            }
        };
        let id_key: Option<OwnedValuePath> = match &self.id_key {
            Some(text) => Some(
                parse_value_path(text)
                    .map_err(|_| BuildError::of("id_key", format!("`{text}` is no path to a field")))?,
            ),
            None => None,
        };
        let documents = Documents {
            mode: self.mode(cx)?,
            id_key,
            doc_type: (!self.suppress_type_name && version < 7).then(|| self.doc_type.clone()),
            transformer: self.encoding.clone(),
            schema: cx.globals.log_schema.clone(),
            host_tag: self.metrics.host_tag.clone(),
            tags: self.metrics.metric_tag_values,
        };
        let query = self.query()?;
        let mut bulk = Vec::new();
        for url in &servers {
            let mut url = joined(url, "_bulk");
            url.set_query(Some(&query));
            bulk.push(url);
        }
        let service = ElasticsearchService {
            client: client.clone(),
            next: AtomicUsize::new(0),
            servers: bulk,
            headers: headers.clone(),
            compression: self.compression,
            retry_partial: self.request_retry_partial,
        };
        let healthcheck = async move {
            let mut last = Err("there is no server".to_owned());
            for url in &servers {
                let mut request = Request::new(Method::GET, joined(url, "_cluster/health"));
                *request.headers_mut() = headers.clone();
                last = match client.send(request).await {
                    Ok(a) if a.status.as_u16() == 200 => return Ok(()),
                    Ok(a) => Err(format!("Elasticsearch answers {}", a.status)),
                    Err(why) => Err(why),
                };
            }
            last
        };
        Ok(BuiltSink {
            sink: Box::new(Requests {
                driver: Driver::new(service, (&self.request).into(), self.batch.settings(), cx),
                intake: documents,
            }),
            healthcheck: Box::pin(healthcheck),
        })
    }
}

/// The major version a server says it has.
async fn ask_version(client: &Client, url: &Url, headers: &HeaderMap) -> Result<u32, String> {
    #[derive(Deserialize)]
    struct Version {
        number: String,
    }
    #[derive(Deserialize)]
    struct Root {
        version: Version,
    }
    let mut request = Request::new(Method::GET, joined(url, "/"));
    *request.headers_mut() = headers.clone();
    let answer = tokio::time::timeout(Duration::from_secs(10), client.send(request))
        .await
        .map_err(|_| "no answer within 10 s".to_owned())??;
    let root: Root = serde_json::from_slice(&answer.body).map_err(|_| answer.summary())?;
    let major = root.version.number.split('.').next().unwrap_or_default();
    major
        .parse()
        .map_err(|_| format!("`{}` is no version", root.version.number))
}

impl SinkConfig for ElasticsearchConfig {
    fn input(&self) -> InputKinds {
        InputKinds {
            logs: true,
            metrics: true,
            traces: false,
        }
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move { self.make(&cx).await })
    }
}

impl Intake<ElasticsearchService> for Documents {
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<(), Bytes>, report: &Report) {
        let finalizers = batch.finalizers().clone();
        for value in self.values(batch) {
            match self.encode(value, report) {
                Ok(bytes) => {
                    let len = bytes.len();
                    batcher.add(&(), bytes, len);
                }
                Err(why) => report.refuse(&finalizers, 1, "template_failed", || {
                    format!("an event is dropped: {why}")
                }),
            }
        }
    }
}

struct ElasticsearchService {
    client: Client,
    servers: Vec<Url>,
    /// Whose turn it is.
    next: AtomicUsize,
    headers: HeaderMap,
    compression: Compression,
    retry_partial: bool,
}

impl Service for ElasticsearchService {
    type Key = ();
    type Entry = Bytes;
    type Request = Arc<Prepared>;

    fn prepare(&self, (): &(), entries: &[Bytes]) -> Result<Arc<Prepared>, String> {
        let plain = entries.concat();
        let mut headers = self.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if let Some(value) = self.compression.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        let url = self.servers.first().ok_or("there is no server")?.clone();
        Ok(Arc::new(Prepared {
            url,
            method: Method::POST,
            headers,
            body: compressed(self.compression, plain)?,
        }))
    }

    fn letter(&self, entry: &Bytes) -> Bytes {
        entry.clone()
    }

    fn body_len(&self, request: &Arc<Prepared>) -> usize {
        request.body.len()
    }

    fn send<'a>(&'a self, prepared: &'a Arc<Prepared>) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let mut request = prepared.request();
            let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.servers.len().max(1);
            if let Some(url) = self.servers.get(turn) {
                *request.url_mut() = url.clone();
            }
            response::verdict(self.client.send(request).await, self.retry_partial)
        })
    }
}
