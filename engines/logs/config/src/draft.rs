//! Several files to one configuration: merging, conflicts, and reading the result.

use std::path::Path;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use crate::common::{Acknowledgements, BufferConfig, Healthcheck, ProxyConfig};
use crate::schema::{
    ApiOptions, ComponentId, ComponentSpec, Config, Globals, GraphOptions, Healthchecks, InputSpec, LogSchema, Role,
    SchemaOptions, SinkOptions, Telemetry, TestSpec, WildcardMatching,
};
use crate::secrets::Backends;
use crate::{ConfigError, DEFAULT_DATA_DIR, Key, Node, NodeValue, SecretBackend, decode, decode_all, nearest};

/// The keys of the top level that are not components.
const GLOBAL_KEYS: [&str; 16] = [
    "data_dir",
    "wildcard_matching",
    "log_schema",
    "telemetry",
    "timezone",
    "proxy",
    "acknowledgements",
    "expire_metrics",
    "expire_metrics_secs",
    "expire_metrics_per_metric_set",
    "buffer_utilization_ewma_half_life_seconds",
    "latency_ewma_alpha",
    "metrics_storage_refresh_period",
    "schema",
    "healthchecks",
    "api",
];

const OTHER_KEYS: [&str; 7] = [
    "sources",
    "transforms",
    "sinks",
    "enrichment_tables",
    "tests",
    "secret",
    "provider",
];

const ROLES: [Role; 4] = [Role::Source, Role::Transform, Role::Sink, Role::EnrichmentTable];

type Section = IndexMap<String, (Key, Node)>;

/// A configuration that files are still added to.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    globals: Vec<(Key, Node)>,
    sections: IndexMap<Role, Section>,
    secret: Section,
    tests: Vec<Node>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Draft {
    /// Adds the tree of a whole file: names must be new, and global options must not contradict.
    pub(crate) fn append(&mut self, root: Node) {
        let span = root.span;
        let kind = root.kind();
        let NodeValue::Table(entries) = root.value else {
            self.errors
                .push(ConfigError::new(format!("a configuration is a table, not {kind}")).at(span));
            return;
        };
        for (key, node) in entries {
            if let Some(role) = ROLES.into_iter().find(|r| r.section() == key.name) {
                for (id, spec) in self.table(&key, node) {
                    let section = self.sections.entry(role).or_default();
                    insert(section, role.word(), id, spec, &mut self.errors);
                }
                continue;
            }
            match key.name.as_str() {
                "secret" => {
                    for (id, backend) in self.table(&key, node) {
                        insert(&mut self.secret, "secret backend", id, backend, &mut self.errors);
                    }
                }
                "tests" => match node.value {
                    NodeValue::Array(items) => items.into_iter().for_each(|t| self.test(t)),
                    _ => self.errors.push(
                        ConfigError::new(format!("expected a list of tests, found {}", node.kind()))
                            .at(node.span)
                            .within("tests"),
                    ),
                },
                "provider" => self.errors.push({
                    let name = node.get("type").and_then(Node::as_str).unwrap_or("?").to_owned();
                    ConfigError::new(format!(
                        "the configuration provider `{name}` is not supported here; name the files instead"
                    ))
                    .at(key.span)
                    .within("provider")
                }),
                name if GLOBAL_KEYS.contains(&name) => self.global(key, node),
                name => {
                    let error = ConfigError::new(format!("unknown key `{name}` at the top of a configuration"))
                        .suggest(nearest(name, GLOBAL_KEYS.into_iter().chain(OTHER_KEYS)))
                        .at(key.span)
                        .within(name);
                    self.errors.push(error);
                }
            }
        }
    }

    /// Adds the components of a directory; one that has the name of another takes its place, with a warning.
    pub(crate) fn extend(&mut self, role: Role, entries: Vec<(Key, Node)>) {
        let section = self.sections.entry(role).or_default();
        for (key, node) in entries {
            if let Some((first, _)) = section.get(&key.name) {
                self.warnings.push(
                    ConfigError::new(format!(
                        "the {} `{}` of this directory takes the place of another",
                        role.word(),
                        key.name
                    ))
                    .at(key.span.or(node.span))
                    .related("the other is here", first.span),
                );
            }
            section.insert(key.name.clone(), (key, node));
        }
    }

    pub(crate) fn test(&mut self, node: Node) {
        let name = node.get("name").and_then(Node::as_str);
        let first = self
            .tests
            .iter()
            .find(|t| name.is_some() && t.get("name").and_then(Node::as_str) == name);
        if let (Some(first), Some(name)) = (first, name) {
            self.errors.push(
                ConfigError::new(format!("there are two tests with the name `{name}`"))
                    .at(node.get("name").and_then(|n| n.span).or(node.span))
                    .related(
                        "the first is here",
                        first.get("name").and_then(|n| n.span).or(first.span),
                    ),
            );
        }
        self.tests.push(node);
    }

    fn table(&mut self, key: &Key, node: Node) -> Vec<(Key, Node)> {
        let kind = node.kind();
        match node.value {
            NodeValue::Table(entries) => entries,
            _ => {
                self.errors.push(
                    ConfigError::new(format!("expected a table of names, found {kind}"))
                        .at(node.span)
                        .within(key.name.clone()),
                );
                Vec::new()
            }
        }
    }

    fn global(&mut self, key: Key, node: Node) {
        match self.globals.iter_mut().find(|(k, _)| k.name == key.name) {
            None => self.globals.push((key, node)),
            Some((mine, value)) => merge_global(&key.name, mine, value, &key, node, &mut self.errors),
        }
    }

    pub(crate) fn fail(&mut self, errors: impl IntoIterator<Item = ConfigError>) {
        self.errors.extend(errors);
    }

    /// The backends of secrets, for the files to be read again with the secrets in place.
    pub(crate) fn backends(&self) -> Result<Backends, Vec<ConfigError>> {
        let mut backends = IndexMap::new();
        let mut errors = Vec::new();
        for (name, (key, node)) in &self.secret {
            match SecretBackend::read(node) {
                Ok(backend) => {
                    backends.insert(name.clone(), (key.span, backend));
                }
                Err(found) => errors.extend(
                    found
                        .into_iter()
                        .map(|e| e.at(key.span).within(name.clone()).within("secret")),
                ),
            }
        }
        if errors.is_empty() { Ok(backends) } else { Err(errors) }
    }

    /// Reads everything but the components' own keys.
    pub(crate) fn finish(mut self, allow_empty: bool) -> (Config, Vec<ConfigError>, Vec<ConfigError>) {
        let mut errors = std::mem::take(&mut self.errors);
        let globals = self.read_globals(&mut errors);
        let secret = match self.backends() {
            Ok(backends) => backends.into_iter().map(|(name, (_, b))| (name, b)).collect(),
            Err(found) => {
                errors.extend(found);
                IndexMap::new()
            }
        };
        let mut read = |role: Role| -> IndexMap<ComponentId, ComponentSpec> {
            let mut specs = IndexMap::new();
            for (name, (key, node)) in self.sections.swap_remove(&role).unwrap_or_default() {
                match component(role, &key, node, &mut self.warnings) {
                    Ok(spec) => {
                        specs.insert(ComponentId::from(name.as_str()), spec);
                    }
                    Err(found) => errors.extend(
                        found
                            .into_iter()
                            .map(|e| e.at(key.span).within(name.clone()).within(role.section())),
                    ),
                }
            }
            specs
        };
        let (sources, transforms) = (read(Role::Source), read(Role::Transform));
        let (sinks, enrichment_tables) = (read(Role::Sink), read(Role::EnrichmentTable));
        let mut tests = Vec::new();
        for (at, node) in self.tests.iter().enumerate() {
            match decode_all::<TestSpec>(node) {
                Ok(mut test) => {
                    test.span = node.get("name").and_then(|n| n.span).or(node.span);
                    tests.push(test);
                }
                Err(found) => errors.extend(
                    found
                        .into_iter()
                        .map(|e| e.at(node.span).within(at.to_string()).within("tests")),
                ),
            }
        }
        let config = Config {
            globals,
            enrichment_tables,
            sources,
            transforms,
            sinks,
            secret,
            tests,
            allow_empty,
        };
        (config, errors, self.warnings)
    }

    fn read_globals(&self, errors: &mut Vec<ConfigError>) -> Globals {
        let default = Globals::default();
        let mut reader = GlobalReader {
            entries: &self.globals,
            errors,
        };
        let expire_metrics_secs = reader.read::<Option<f64>>("expire_metrics_secs").flatten();
        Globals {
            data_dir: reader
                .read::<Option<_>>("data_dir")
                .flatten()
                .unwrap_or(default.data_dir),
            timezone: reader.read("timezone").flatten(),
            wildcard_matching: reader
                .read::<Option<WildcardMatching>>("wildcard_matching")
                .flatten()
                .unwrap_or_default(),
            log_schema: reader.read::<LogSchema>("log_schema").unwrap_or_default(),
            telemetry: reader.read::<Telemetry>("telemetry").unwrap_or_default(),
            proxy: reader.read::<ProxyConfig>("proxy").unwrap_or_default(),
            acknowledgements: reader.read::<Acknowledgements>("acknowledgements").unwrap_or_default(),
            expire_metrics_secs: expire_metrics_secs.or_else(|| reader.deprecated_expiration()),
            expire_metrics_per_metric_set: reader
                .read::<Option<_>>("expire_metrics_per_metric_set")
                .flatten()
                .unwrap_or_default(),
            buffer_utilization_ewma_half_life_seconds: reader.number(
                "buffer_utilization_ewma_half_life_seconds",
                "above 0",
                |v| v > 0.0,
            ),
            latency_ewma_alpha: reader.number("latency_ewma_alpha", "between 0 and 1, both excluded", |v| {
                v > 0.0 && v < 1.0
            }),
            metrics_storage_refresh_period: reader.number("metrics_storage_refresh_period", "above 0", |v| v > 0.0),
            schema: reader.read::<SchemaOptions>("schema").unwrap_or_default(),
            healthchecks: reader.read::<Healthchecks>("healthchecks").unwrap_or_default(),
            api: reader.read::<ApiOptions>("api").unwrap_or_default(),
        }
    }
}

struct GlobalReader<'a> {
    entries: &'a [(Key, Node)],
    errors: &'a mut Vec<ConfigError>,
}

impl GlobalReader<'_> {
    fn read<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let (key, node) = self.entries.iter().find(|(k, _)| k.name == name)?;
        match decode_all(node) {
            Ok(value) => Some(value),
            Err(found) => {
                self.errors
                    .extend(found.into_iter().map(|e| e.at(node.span.or(key.span)).within(name)));
                None
            }
        }
    }

    fn number(&mut self, name: &str, bounds: &str, fits: impl Fn(f64) -> bool) -> Option<f64> {
        let value = self.read::<Option<f64>>(name).flatten()?;
        if fits(value) {
            return Some(value);
        }
        let span = self
            .entries
            .iter()
            .find(|(k, _)| k.name == name)
            .and_then(|(_, n)| n.span);
        self.errors.push(
            ConfigError::new(format!("`{name}` must be {bounds}"))
                .at(span)
                .within(name),
        );
        None
    }

    /// `expire_metrics`: a table of seconds and nanoseconds.
    fn deprecated_expiration(&mut self) -> Option<f64> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Expiration {
            secs: u64,
            nanos: u32,
        }
        let found = self.read::<Option<Expiration>>("expire_metrics").flatten()?;
        #[allow(clippy::cast_precision_loss)]
        Some(found.secs as f64 + f64::from(found.nanos) / 1e9)
    }
}

fn insert(section: &mut Section, what: &str, key: Key, node: Node, errors: &mut Vec<ConfigError>) {
    match section.get(&key.name) {
        Some((first, _)) => errors.push(
            ConfigError::new(format!("there are two of the {what} `{}`", key.name))
                .at(key.span)
                .related("the first is here", first.span)
                .within(key.name),
        ),
        None => {
            section.insert(key.name.clone(), (key, node));
        }
    }
}

/// Merges a global option of one file into that of the files before it.
fn merge_global(path: &str, mine_key: &Key, mine: &mut Node, key: &Key, other: Node, errors: &mut Vec<ConfigError>) {
    // `acknowledgements: true` is `acknowledgements: {enabled: true}`.
    let tables = [
        "proxy",
        "acknowledgements",
        "log_schema",
        "telemetry",
        "telemetry.tags",
        "api",
        "schema",
        "healthchecks",
    ];
    let span = mine.span;
    match (&mut mine.value, other.value) {
        (NodeValue::Table(entries), NodeValue::Table(more)) if tables.contains(&path) => {
            for (key, node) in more {
                match entries.iter_mut().find(|(k, _)| k.name == key.name) {
                    Some((mine_key, mine)) => {
                        merge_global(&format!("{path}.{}", key.name), mine_key, mine, &key, node, errors);
                    }
                    None => entries.push((key, node)),
                }
            }
        }
        (NodeValue::Array(items), NodeValue::Array(more)) if path == "expire_metrics_per_metric_set" => {
            items.extend(more);
        }
        (NodeValue::Bool(b), NodeValue::Bool(o)) if ["proxy.enabled", "healthchecks.enabled"].contains(&path) => {
            *b &= o;
        }
        (NodeValue::Bool(b), NodeValue::Bool(o))
            if path.starts_with("telemetry.tags.")
                || [
                    "api.enabled",
                    "schema.enabled",
                    "schema.validation",
                    "healthchecks.require_healthy",
                ]
                .contains(&path) =>
        {
            *b |= o;
        }
        (_, value) => {
            let other = Node {
                value,
                span: other.span,
            };
            let first_wins = [
                "buffer_utilization_ewma_half_life_seconds",
                "latency_ewma_alpha",
                "metrics_storage_refresh_period",
            ];
            let default = match path {
                "data_dir" => Some(DEFAULT_DATA_DIR),
                "api.address" => Some("127.0.0.1:8686"),
                _ => None,
            };
            // As paths, so that a slash at the end makes no difference; that does no harm to an address.
            let path_of = |n: &Node| n.as_str().map(|s| Path::new(s).to_owned());
            let is_default = |n: &Node| {
                matches!(n.value, NodeValue::Null)
                    || default.is_some_and(|d| path_of(n).as_deref() == Some(Path::new(d)))
            };
            let alike = |a: &Node, b: &Node| {
                a.same(b) || (default.is_some() && path_of(a).is_some() && path_of(a) == path_of(b))
            };
            if is_default(mine) {
                *mine = other;
            } else if !is_default(&other) && !first_wins.contains(&path) && !alike(mine, &other) {
                errors.push(
                    ConfigError::new(format!("two files give `{path}` different values"))
                        .at(other.span.or(key.span))
                        .related("the other value is here", span.or(mine_key.span)),
                );
            }
        }
    }
}

/// Merges the tree of one file of a directory into that of another: tables by key, lists one after the other, and of
/// two single values the later.
pub(crate) fn merge_tree(path: &str, mine: &mut Node, other: Node) -> Result<(), ConfigError> {
    let (kind, span) = (mine.kind(), mine.span);
    match (&mut mine.value, other.value) {
        (NodeValue::Table(entries), NodeValue::Table(more)) => {
            for (key, node) in more {
                match entries.iter_mut().find(|(k, _)| k.name == key.name) {
                    Some((_, mine)) => merge_tree(&format!("{path}.{}", key.name), mine, node)?,
                    None => entries.push((key, node)),
                }
            }
            Ok(())
        }
        (NodeValue::Array(items), NodeValue::Array(more)) => {
            items.extend(more);
            Ok(())
        }
        (_, value) => {
            let other = Node {
                value,
                span: other.span,
            };
            if other.kind() != kind {
                return Err(ConfigError::new(format!(
                    "two files of this directory differ at `{}`: {} and {kind}",
                    path.trim_start_matches('.'),
                    other.kind()
                ))
                .at(other.span)
                .related("the other value is here", span));
            }
            *mine = other;
            Ok(())
        }
    }
}

fn component(
    role: Role,
    key: &Key,
    mut node: Node,
    warnings: &mut Vec<ConfigError>,
) -> Result<ComponentSpec, Vec<ConfigError>> {
    let span = node.span.or(key.span);
    if !matches!(node.value, NodeValue::Table(_)) {
        let error = ConfigError::new(format!("expected a table of options, found {}", node.kind()));
        return Err(vec![error.at(node.span)]);
    }
    let mut errors = Vec::new();
    fn option<T: DeserializeOwned>(node: &mut Node, name: &str, errors: &mut Vec<ConfigError>) -> Option<T> {
        let (key, value) = node.take(name)?;
        match decode_all::<T>(&value) {
            Ok(value) => Some(value),
            Err(found) => {
                errors.extend(found.into_iter().map(|e| e.at(value.span.or(key.span)).within(name)));
                None
            }
        }
    }
    let (kind, kind_span) = match node.take("type") {
        None => {
            errors.push(ConfigError::new("missing key `type`").at(key.span.or(span)));
            (String::new(), None)
        }
        Some((_, value)) => match decode::<String>(&value) {
            Ok(kind) => (kind, value.span),
            Err(e) => {
                errors.push(e.at(value.span).within("type"));
                (String::new(), None)
            }
        },
    };
    let mut inputs = Vec::new();
    if role != Role::Source {
        match node.take("inputs") {
            None if role == Role::EnrichmentTable => {}
            None => errors.push(ConfigError::new("missing key `inputs`").at(key.span.or(span))),
            Some((
                _,
                Node {
                    value: NodeValue::Array(items),
                    ..
                },
            )) => {
                for item in items {
                    match item.value {
                        NodeValue::String(text) => inputs.push(InputSpec { text, span: item.span }),
                        _ => errors.push(
                            ConfigError::new(format!("expected the name of a component, found {}", item.kind()))
                                .at(item.span)
                                .within("inputs"),
                        ),
                    }
                }
            }
            Some((_, other)) => errors.push(
                ConfigError::new(format!("expected a list of components, found {}", other.kind()))
                    .at(other.span)
                    .within("inputs"),
            ),
        }
    }
    let graph = option::<GraphOptions>(&mut node, "graph", &mut errors).unwrap_or_default();
    let mut proxy = ProxyConfig::default();
    if matches!(role, Role::Source | Role::Sink) {
        proxy = option(&mut node, "proxy", &mut errors).unwrap_or_default();
    }
    let mut measure_cpu_usage = false;
    if role == Role::Transform {
        measure_cpu_usage = option(&mut node, "measure_cpu_usage", &mut errors).unwrap_or_default();
    }
    let sink = (role == Role::Sink).then(|| {
        let buffer = option::<BufferConfig>(&mut node, "buffer", &mut errors).unwrap_or_default();
        let mut healthcheck = option::<Healthcheck>(&mut node, "healthcheck", &mut errors).unwrap_or_default();
        let old = node.get("healthcheck_uri").and_then(|n| n.span);
        if let Some(uri) = option::<Option<String>>(&mut node, "healthcheck_uri", &mut errors).flatten() {
            warnings.push(ConfigError::new("`healthcheck_uri` is deprecated; use `healthcheck.uri`").at(old));
            healthcheck.uri.get_or_insert(uri);
        }
        SinkOptions {
            buffer,
            healthcheck,
            acknowledgements: option(&mut node, "acknowledgements", &mut errors).unwrap_or_default(),
        }
    });
    if errors.is_empty() {
        Ok(ComponentSpec {
            id: ComponentId::from(key.name.as_str()),
            role,
            kind,
            kind_span,
            inputs,
            node,
            span,
            key_span: key.span,
            proxy,
            sink,
            graph,
            measure_cpu_usage,
        })
    } else {
        Err(errors)
    }
}
