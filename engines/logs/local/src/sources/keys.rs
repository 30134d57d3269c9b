//! Names of fields in configurations, and what every source adds to an event.

use std::sync::Arc;

use qd_logs_model::{BuildError, Context, LogSchema, Value};
use serde::{Deserialize, Deserializer, de};
use vrl::path::{OwnedValuePath, parse_value_path};

/// Where a source puts something; the empty text in a configuration suppresses it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptionalPath(pub Option<OwnedValuePath>);

impl OptionalPath {
    /// The field of this name.
    pub fn field(name: &str) -> OptionalPath {
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
            .map_err(|e| de::Error::custom(format!("`{text}` is no path to a field: {e}")))
    }
}

/// The key a configuration gives, else the one of the log schema.
pub(crate) fn host_key(given: &Option<OptionalPath>, schema: &LogSchema) -> Option<OwnedValuePath> {
    match given {
        Some(path) => path.0.clone(),
        None => schema.host_key.clone(),
    }
}

/// Refuses Vector's other namespace, which this pipeline does not write.
pub(crate) fn legacy_namespace(given: Option<bool>) -> Result<(), BuildError> {
    match given {
        Some(true) => Err(BuildError::of(
            "log_namespace",
            "only the legacy log namespace is supported; remove `log_namespace` or set it to false",
        )),
        _ => Ok(()),
    }
}

/// The machine's name as a value.
pub(crate) fn hostname(cx: &Context) -> Option<Value> {
    let name: &Arc<str> = &cx.globals.hostname;
    (!name.is_empty()).then(|| Value::from(&**name))
}
