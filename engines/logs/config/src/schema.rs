//! What a whole configuration holds: the globals, the components and the tests.

use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::common::{Acknowledgements, BufferConfig, Healthcheck, OneOrMany, ProxyConfig};
use crate::{ConfigError, Node, SecretBackend, Span};

/// The name of a component: unique among sources, transforms and sinks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ComponentId {
    fn from(s: &str) -> Self {
        ComponentId(s.into())
    }
}

impl Borrow<str> for ComponentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which kind of component it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Events come from it.
    Source,
    /// Events go through it.
    Transform,
    /// Events end in it.
    Sink,
    /// Programs look things up in it.
    EnrichmentTable,
}

impl Role {
    /// The word for messages.
    pub fn word(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Transform => "transform",
            Role::Sink => "sink",
            Role::EnrichmentTable => "enrichment table",
        }
    }

    /// The table of the configuration that holds them, and the directory below a `--config-dir`.
    pub fn section(self) -> &'static str {
        match self {
            Role::Source => "sources",
            Role::Transform => "transforms",
            Role::Sink => "sinks",
            Role::EnrichmentTable => "enrichment_tables",
        }
    }
}

/// One entry of `inputs` as it is written: an id, an output `id.port`, or a pattern of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A component as the configuration has it, its own keys not yet read.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentSpec {
    /// Its name.
    pub id: ComponentId,
    /// What it is.
    pub role: Role,
    /// Its `type`.
    pub kind: String,
    /// Where the `type` stands.
    pub kind_span: Option<Span>,
    /// Where its events come from; empty for sources.
    pub inputs: Vec<InputSpec>,
    /// Its own keys: all but those that other fields of this struct hold.
    pub node: Node,
    /// Where its table stands.
    pub span: Option<Span>,
    /// Where its name stands.
    pub key_span: Option<Span>,
    /// Its proxies over the global ones; sources and sinks only.
    pub proxy: ProxyConfig,
    /// What all sinks have.
    pub sink: Option<SinkOptions>,
    /// How it is drawn.
    pub graph: GraphOptions,
    /// Whether a transform's CPU time is measured.
    pub measure_cpu_usage: bool,
}

/// What all sinks have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkOptions {
    /// What stands between the sink and its inputs.
    pub buffer: BufferConfig,
    /// Whether the service is probed at the start.
    pub healthcheck: Healthcheck,
    /// Whether sources wait for this sink; over the global option.
    pub acknowledgements: Acknowledgements,
}

/// Attributes of a component in a drawing of the pipeline, in Graphviz' words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphOptions {
    /// Of its node.
    pub node_attributes: IndexMap<String, String>,
    /// Of the edges from its inputs, by input.
    pub edge_attributes: IndexMap<String, IndexMap<String, String>>,
}

/// Whether a pattern in `inputs` may match nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WildcardMatching {
    /// It must match something.
    #[default]
    Strict,
    /// It may match nothing.
    Relaxed,
}

/// Where sources put what they know about an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LogSchema {
    /// The field of the message; empty for none.
    pub message_key: String,
    /// The field of the time.
    pub timestamp_key: String,
    /// The field of the host.
    pub host_key: String,
    /// The field of the source's type.
    pub source_type_key: String,
    /// The field that transforms put errors in.
    pub metadata_key: String,
}

impl Default for LogSchema {
    fn default() -> Self {
        LogSchema {
            message_key: "message".to_owned(),
            timestamp_key: "timestamp".to_owned(),
            host_key: "host".to_owned(),
            source_type_key: "source_type".to_owned(),
            metadata_key: "metadata".to_owned(),
        }
    }
}

/// Which tags the metrics of components have in addition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// The tags.
    pub tags: TelemetryTags,
}

/// See [`Telemetry`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TelemetryTags {
    /// The service that an event names.
    pub emit_service: bool,
    /// The source that an event came from.
    pub emit_source: bool,
}

/// The `schema` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaOptions {
    /// Whether definitions of events are followed through the pipeline.
    pub enabled: bool,
    /// Whether they are checked.
    pub validation: bool,
    /// Whether sources put their metadata beside the event (true) or into it (false, the default).
    pub log_namespace: Option<bool>,
}

/// The `healthchecks` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Healthchecks {
    /// Whether sinks are probed at all.
    pub enabled: bool,
    /// Whether a probe that fails ends the start.
    pub require_healthy: bool,
}

impl Default for Healthchecks {
    fn default() -> Self {
        Healthchecks {
            enabled: true,
            require_healthy: false,
        }
    }
}

/// The `api` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiOptions {
    /// Whether the interface is served.
    pub enabled: bool,
    /// Where.
    pub address: Option<SocketAddr>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        ApiOptions {
            enabled: false,
            address: Some(SocketAddr::from(([127, 0, 0, 1], 8686))),
        }
    }
}

/// When the metrics of one set are forgotten.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MetricSetExpiration {
    /// Which names; all if `None`.
    #[serde(default)]
    pub name: Option<Node>,
    /// Which labels; all if `None`.
    #[serde(default)]
    pub labels: Option<Node>,
    /// After how many seconds without a change.
    pub expire_secs: f64,
}

/// The options of the whole pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Globals {
    /// Where checkpoints and disk buffers are.
    pub data_dir: PathBuf,
    /// The zone of times without one: a name of the IANA database, or `local`.
    pub timezone: Option<String>,
    /// Whether a pattern in `inputs` may match nothing.
    pub wildcard_matching: WildcardMatching,
    /// The names of the fields that sources set.
    pub log_schema: LogSchema,
    /// Tags of metrics.
    pub telemetry: Telemetry,
    /// The proxies of all components.
    pub proxy: ProxyConfig,
    /// Whether sources wait for sinks.
    pub acknowledgements: Acknowledgements,
    /// After how many seconds without a change a metric is forgotten; `None` for 300 s, negative for never.
    pub expire_metrics_secs: Option<f64>,
    /// The same for sets of metrics.
    pub expire_metrics_per_metric_set: Vec<MetricSetExpiration>,
    /// The half-life of the mean of a buffer's utilisation in seconds, above zero.
    pub buffer_utilization_ewma_half_life_seconds: Option<f64>,
    /// The weight of the past in the mean latency, between 0 and 1.
    pub latency_ewma_alpha: Option<f64>,
    /// How often programs see new values of metrics, in seconds.
    pub metrics_storage_refresh_period: Option<f64>,
    /// Events' definitions and metadata.
    pub schema: SchemaOptions,
    /// The probing of sinks.
    pub healthchecks: Healthchecks,
    /// The interface for `top` and `tap`.
    pub api: ApiOptions,
}

impl Default for Globals {
    fn default() -> Self {
        Globals {
            data_dir: PathBuf::from(crate::DEFAULT_DATA_DIR),
            timezone: None,
            wildcard_matching: WildcardMatching::default(),
            log_schema: LogSchema::default(),
            telemetry: Telemetry::default(),
            proxy: ProxyConfig::default(),
            acknowledgements: Acknowledgements::default(),
            expire_metrics_secs: None,
            expire_metrics_per_metric_set: Vec::new(),
            buffer_utilization_ewma_half_life_seconds: None,
            latency_ewma_alpha: None,
            metrics_storage_refresh_period: None,
            schema: SchemaOptions::default(),
            healthchecks: Healthchecks::default(),
            api: ApiOptions::default(),
        }
    }
}

/// What a test feeds in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestInputKind {
    /// A line, from `value`.
    #[default]
    Raw,
    /// What a program makes, from `source`.
    Vrl,
    /// A log event, from `log_fields`.
    Log,
    /// A metric, from `metric`.
    Metric,
}

/// One event of a test.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestInput {
    /// The transform that gets it.
    pub insert_at: String,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: TestInputKind,
    /// The line.
    pub value: Option<String>,
    /// The program.
    pub source: Option<String>,
    /// The fields.
    pub log_fields: Option<IndexMap<String, Node>>,
    /// The metric.
    pub metric: Option<Node>,
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestOutput {
    /// The outputs that are looked at.
    pub extract_from: OneOrMany<String>,
    /// What must hold: a program each, or a table with a `type`.
    pub conditions: Option<Vec<Node>>,
    /// How many events there must be.
    pub expected_event_count: Option<usize>,
}

/// A unit test of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSpec {
    /// Its name.
    pub name: String,
    /// The only input, in the older way.
    pub input: Option<TestInput>,
    /// The inputs.
    #[serde(default)]
    pub inputs: Vec<TestInput>,
    /// What is expected.
    #[serde(default)]
    pub outputs: Vec<TestOutput>,
    /// Outputs that must stay silent.
    #[serde(default)]
    pub no_outputs_from: Vec<String>,
    /// Where it stands.
    #[serde(skip)]
    pub span: Option<Span>,
}

impl TestSpec {
    /// All inputs, the older way's first.
    pub fn all_inputs(&self) -> impl Iterator<Item = &TestInput> {
        self.input.iter().chain(&self.inputs)
    }

    /// What keeps the test from being run: no input, nothing expected, or an input without the key of its type. Only
    /// those who run tests ask; a pipeline runs whatever its tests say.
    pub fn check(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.outputs.is_empty() && self.no_outputs_from.is_empty() {
            errors.push(
                ConfigError::new(format!(
                    "the test `{}` expects nothing: it needs `outputs` or `no_outputs_from`",
                    self.name
                ))
                .at(self.span),
            );
        }
        if self.all_inputs().next().is_none() {
            errors.push(ConfigError::new(format!("the test `{}` has no input", self.name)).at(self.span));
        }
        for input in self.all_inputs() {
            let missing = match input.kind {
                TestInputKind::Raw if input.value.is_none() => "value",
                TestInputKind::Vrl if input.source.is_none() => "source",
                TestInputKind::Log if input.log_fields.is_none() => "log_fields",
                TestInputKind::Metric if input.metric.is_none() => "metric",
                _ => continue,
            };
            errors.push(
                ConfigError::new(format!(
                    "the test `{}` has an input at `{}` without the key `{missing}` that its type needs",
                    self.name, input.insert_at
                ))
                .at(self.span),
            );
        }
        errors
    }
}

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The options of the whole pipeline.
    pub globals: Globals,
    /// Tables that programs look things up in.
    pub enrichment_tables: IndexMap<ComponentId, ComponentSpec>,
    /// Where events come from.
    pub sources: IndexMap<ComponentId, ComponentSpec>,
    /// What they go through.
    pub transforms: IndexMap<ComponentId, ComponentSpec>,
    /// Where they end.
    pub sinks: IndexMap<ComponentId, ComponentSpec>,
    /// Where secrets come from; all that the files asked for are in place already.
    pub secret: IndexMap<String, SecretBackend>,
    /// Unit tests.
    pub tests: Vec<TestSpec>,
    /// Whether it may have no sources and no sinks.
    pub allow_empty: bool,
}

impl Config {
    /// Sources, transforms and sinks.
    pub fn components(&self) -> impl Iterator<Item = &ComponentSpec> {
        self.sources
            .values()
            .chain(self.transforms.values())
            .chain(self.sinks.values())
    }

    /// The source, transform or sink of a name.
    pub fn component(&self, id: &str) -> Option<&ComponentSpec> {
        self.sources
            .get(id)
            .or_else(|| self.transforms.get(id))
            .or_else(|| self.sinks.get(id))
    }

    /// Whether sources wait for a sink: its own option, else the global one.
    pub fn acknowledges(&self, sink: &ComponentSpec) -> bool {
        sink.sink
            .as_ref()
            .map_or(Acknowledgements::default(), |s| s.acknowledgements)
            .or(self.globals.acknowledgements)
            .is_enabled()
    }
}
