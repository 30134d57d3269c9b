//! Components and options as the configuration gives them.

use std::sync::Arc;

use qd_logs_config::{ComponentSpec, Config, ConfigError, Node, NodeValue, Role, Span, nearest};
use qd_logs_model::{Catalog, Globals, LogSchema, ProxySettings};
use vrl::path::OwnedValuePath;

use super::{Common, TransformPlan};
use crate::unsupported;

/// Reads a transform; its inputs are not known yet.
pub(crate) fn parse_transform(
    catalog: &Catalog,
    spec: &ComponentSpec,
    errors: &mut Vec<ConfigError>,
) -> Option<TransformPlan> {
    let config = parse(&catalog.transforms, spec, errors)?;
    Some(TransformPlan {
        common: common(spec),
        config,
        inputs: Vec::new(),
    })
}

pub(super) fn common(spec: &ComponentSpec) -> Common {
    Common {
        id: Arc::from(spec.id.as_str()),
        kind: spec.kind.clone(),
        node: spec.node.clone(),
    }
}

/// Keys that every sink has.
const COMMON_TO_SINKS: [&str; 5] = ["inputs", "buffer", "healthcheck", "proxy", "graph"];

/// Components of a type that is not here: what can be said of a configuration that could not be read to its end.
pub(crate) fn strangers(config: &Config, catalog: &Catalog) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for spec in config.components() {
        let known = match spec.role {
            Role::Source => catalog.sources.iter().any(|e| e.name == spec.kind),
            Role::Transform => catalog.transforms.iter().any(|e| e.name == spec.kind),
            Role::Sink => catalog.sinks.iter().any(|e| e.name == spec.kind),
            _ => true,
        };
        if !known {
            errors.push(stranger(spec, std::iter::empty()));
        }
    }
    errors
}

/// What is said of a type that is not here.
fn stranger(spec: &ComponentSpec, known: impl Iterator<Item = &'static str>) -> ConfigError {
    let mut error = if unsupported::is_known(spec.role, &spec.kind) {
        ConfigError::new(format!(
            "unsupported type `{}`: Vector has such a {}, this pipeline does not",
            spec.kind,
            spec.role.word()
        ))
    } else {
        let known = known.chain(unsupported::names(spec.role));
        ConfigError::new(format!(
            "unknown type `{}` of the {} `{}`",
            spec.kind,
            spec.role.word(),
            spec.id.as_str()
        ))
        .suggest(nearest(&spec.kind, known))
    };
    error.path = vec![
        spec.role.section().to_owned(),
        spec.id.as_str().to_owned(),
        "type".to_owned(),
    ];
    error.at(spec.kind_span.or(spec.span))
}

pub(super) fn parse<T: ?Sized>(
    entries: &[qd_logs_model::Entry<T>],
    spec: &ComponentSpec,
    errors: &mut Vec<ConfigError>,
) -> Option<Arc<T>> {
    let section = spec.role.section();
    let id = spec.id.as_str();
    let Some(entry) = entries.iter().find(|e| e.name == spec.kind) else {
        errors.push(stranger(spec, entries.iter().map(|e| e.name)));
        return None;
    };
    match (entry.parse)(&spec.node) {
        Ok(parsed) => Some(Arc::from(parsed)),
        Err(mut e) => {
            // A key that all sinks have, with a slip in it, is none of this sink's own.
            let slip = e
                .path
                .last()
                .filter(|_| spec.role == Role::Sink && e.message.starts_with("unknown key"));
            if let Some(common) = slip.and_then(|k| nearest(k, COMMON_TO_SINKS.iter().copied())) {
                e.suggestion = Some(common);
            }
            e.path.splice(0..0, [section.to_owned(), id.to_owned()]);
            errors.push(e.at(spec.span));
            None
        }
    }
}

/// Gives a finding about a whole component the place of that component.
pub(super) fn place(config: &Config, error: ConfigError) -> ConfigError {
    let span: Option<Span> = error.path.get(1).and_then(|id| config.component(id)).and_then(|spec| {
        match error.path.get(2).map(String::as_str) {
            Some("inputs") => spec.inputs.first().and_then(|i| i.span).or(spec.key_span),
            _ => spec.key_span.or(spec.span),
        }
    });
    error.at(span)
}

pub(super) fn proxy(p: &qd_logs_config::common::ProxyConfig) -> Arc<ProxySettings> {
    Arc::new(ProxySettings {
        enabled: p.enabled,
        http: p.http.clone(),
        https: p.https.clone(),
        no_proxy: p.no_proxy.clone(),
    })
}

pub(crate) fn globals_of(config: &Config, errors: &mut Vec<ConfigError>) -> Globals {
    let g = &config.globals;
    let mut key = |name: &str, text: &str| -> Option<OwnedValuePath> {
        if text.is_empty() {
            return None;
        }
        // A leading dot is how paths into an event are mostly written.
        match vrl::path::parse_value_path(text.strip_prefix('.').unwrap_or(text)) {
            Ok(path) => Some(path),
            Err(_) => {
                let mut e = ConfigError::new(format!("`{text}` is not a path to a field"));
                e.path = vec!["log_schema".to_owned(), name.to_owned()];
                errors.push(e);
                None
            }
        }
    };
    let log_schema = LogSchema {
        message_key: key("message_key", &g.log_schema.message_key)
            .unwrap_or_else(|| OwnedValuePath::single_field("message")),
        timestamp_key: key("timestamp_key", &g.log_schema.timestamp_key),
        host_key: key("host_key", &g.log_schema.host_key),
        source_type_key: key("source_type_key", &g.log_schema.source_type_key),
        metadata_key: key("metadata_key", &g.log_schema.metadata_key),
    };
    Globals {
        data_dir: g.data_dir.clone(),
        timezone: g.timezone.clone(),
        log_schema,
        hostname: hostname(),
        proxy: proxy(&g.proxy),
    }
}

/// The machine's name; `localhost` where it cannot be known.
pub fn hostname() -> Arc<str> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => Arc::from("localhost"),
        text => Arc::from(text),
    }
}

/// Whether two trees say the same, wherever they stand and in whatever order their keys are.
pub fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (NodeValue::Table(x), NodeValue::Table(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| b.get(&k.name).is_some_and(|w| same(v, w)))
        }
        (NodeValue::Array(x), NodeValue::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        (x, y) => x == y,
    }
}
