//! Our events as VRL's targets: what `.`, `%` and secrets mean.

use std::collections::{BTreeMap, BTreeSet};

use qd_logs_model::{LogEvent, Metadata, Metric, MetricKind, MetricValue, TagValue, Value};
use vrl::{
    compiler::{SecretTarget, Target},
    path::{OwnedTargetPath, OwnedValuePath, PathPrefix},
    prelude::VrlValueConvert,
};

/// What `%` is while nothing was written to it.
static NO_METADATA: Value = Value::Object(BTreeMap::new());

fn get_metadata<'a>(metadata: &'a Metadata, path: &OwnedValuePath) -> Option<&'a Value> {
    metadata.value().unwrap_or(&NO_METADATA).get(path)
}

fn get_metadata_mut<'a>(metadata: &'a mut Metadata, path: &OwnedValuePath) -> Option<&'a mut Value> {
    if metadata.value().is_none() && !path.is_root() {
        return None;
    }
    metadata.value_mut().get_mut(path)
}

fn remove_metadata(metadata: &mut Metadata, path: &OwnedValuePath, compact: bool) -> Option<Value> {
    metadata.value()?;
    metadata.value_mut().remove(path, compact)
}

/// A log event or a trace's span that a program may change.
#[derive(Debug)]
pub struct LogTarget<'a>(pub &'a mut LogEvent);

impl Target for LogTarget<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Event => self.0.value.insert(&path.path, value),
            PathPrefix::Metadata => self.0.metadata.value_mut().insert(&path.path, value),
        };
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.0.value.get(&path.path),
            PathPrefix::Metadata => get_metadata(&self.0.metadata, &path.path),
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.0.value.get_mut(&path.path),
            PathPrefix::Metadata => get_metadata_mut(&mut self.0.metadata, &path.path),
        })
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.0.value.remove(&path.path, compact),
            PathPrefix::Metadata => remove_metadata(&mut self.0.metadata, &path.path, compact),
        })
    }
}

impl SecretTarget for LogTarget<'_> {
    fn get_secret(&self, key: &str) -> Option<&str> {
        self.0.metadata.secret(key)
    }

    fn insert_secret(&mut self, key: &str, value: &str) {
        self.0.metadata.set_secret(key, value);
    }

    fn remove_secret(&mut self, key: &str) {
        self.0.metadata.remove_secret(key);
    }
}

/// An event that a program only reads.
#[derive(Debug)]
pub(crate) struct ReadTarget<'a> {
    pub(crate) value: &'a Value,
    pub(crate) metadata: &'a Metadata,
}

const READ_ONLY: &str = "a condition can't change the event";

impl Target for ReadTarget<'_> {
    fn target_insert(&mut self, _path: &OwnedTargetPath, _value: Value) -> Result<(), String> {
        Err(READ_ONLY.to_owned())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.value.get(&path.path),
            PathPrefix::Metadata => get_metadata(self.metadata, &path.path),
        })
    }

    fn target_get_mut(&mut self, _path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        Err(READ_ONLY.to_owned())
    }

    fn target_remove(&mut self, _path: &OwnedTargetPath, _compact: bool) -> Result<Option<Value>, String> {
        Err(READ_ONLY.to_owned())
    }
}

impl SecretTarget for ReadTarget<'_> {
    fn get_secret(&self, key: &str) -> Option<&str> {
        self.metadata.secret(key)
    }

    fn insert_secret(&mut self, _key: &str, _value: &str) {}

    fn remove_secret(&mut self, _key: &str) {}
}

/// How a metric's tags look to a program (`metric_tag_values`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagMode {
    /// As strings; of several values the last. What is written is one value.
    #[default]
    Single,
    /// As lists, also of one. What is written may be several values.
    Full,
    /// One value as a string, several as a list; what is written likewise.
    Auto,
}

const READABLE: &str = ".name, .namespace, .interval_ms, .timestamp, .kind, .tags, .type";
const WRITABLE: &str = ".name, .namespace, .interval_ms, .timestamp, .kind, .tags";

/// A metric as a program sees it: the fields `.name`, `.namespace`, `.timestamp`, `.interval_ms`, `.kind`, `.tags` and
/// `.type`, of which all but the last can be written. Metrics have no metadata that outlive the program.
#[derive(Debug)]
pub struct MetricTarget<'a> {
    metric: &'a mut Metric,
    view: Value,
    mode: TagMode,
    metadata: Metadata,
}

fn one_or_null(v: Option<&String>) -> Value {
    v.map_or(Value::Null, |s| Value::from(s.as_str()))
}

fn tag_value(tag: &TagValue, mode: TagMode) -> Value {
    match (tag, mode) {
        (TagValue::Bare, TagMode::Full) => Value::Array(vec![Value::Null]),
        (TagValue::Bare, _) => Value::Null,
        (TagValue::One(s), TagMode::Full) => Value::Array(vec![Value::from(s.as_str())]),
        (TagValue::One(s), _) => Value::from(s.as_str()),
        (TagValue::Many(all), TagMode::Single) => one_or_null(all.iter().rev().find_map(|v| v.as_ref())),
        (TagValue::Many(all), TagMode::Auto) if all.len() == 1 => one_or_null(all.first().and_then(Option::as_ref)),
        (TagValue::Many(all), _) => Value::Array(all.iter().map(|v| one_or_null(v.as_ref())).collect()),
    }
}

fn tags_value(metric: &Metric, mode: TagMode) -> Value {
    Value::Object(
        metric
            .tags
            .iter()
            .map(|(k, v)| (k.as_str().into(), tag_value(v, mode)))
            .filter(|(_, v)| mode != TagMode::Single || !v.is_null())
            .collect(),
    )
}

/// The name of a metric's type, as `.type` and Vector's JSON have it.
pub fn metric_type(value: &MetricValue) -> &'static str {
    match value {
        MetricValue::Counter { .. } => "counter",
        MetricValue::Gauge { .. } => "gauge",
        MetricValue::Set { .. } => "set",
        MetricValue::Distribution { .. } => "distribution",
        MetricValue::AggregatedHistogram { .. } => "aggregated histogram",
        MetricValue::AggregatedSummary { .. } => "aggregated summary",
    }
}

/// A metric's fields as a value, as a program sees them.
pub fn metric_value(metric: &Metric, mode: TagMode) -> Value {
    let mut view = BTreeMap::new();
    view.insert("name".into(), Value::from(metric.name.as_str()));
    if let Some(ns) = &metric.namespace {
        view.insert("namespace".into(), Value::from(ns.as_str()));
    }
    if let Some(t) = metric.timestamp {
        view.insert("timestamp".into(), Value::Timestamp(t));
    }
    if let Some(ms) = metric.interval_ms {
        view.insert("interval_ms".into(), Value::Integer(ms.into()));
    }
    let kind = match metric.kind {
        MetricKind::Absolute => "absolute",
        MetricKind::Incremental => "incremental",
    };
    view.insert("kind".into(), Value::from(kind));
    view.insert("type".into(), Value::from(metric_type(&metric.value)));
    if !metric.tags.is_empty() {
        view.insert("tags".into(), tags_value(metric, mode));
    }
    Value::Object(view)
}

fn invalid(path: &OwnedValuePath, expected: &str) -> String {
    format!("invalid path {path}: expected one of {expected}")
}

impl<'a> MetricTarget<'a> {
    /// The metric with its tags seen in this way.
    pub fn new(metric: &'a mut Metric, mode: TagMode) -> MetricTarget<'a> {
        MetricTarget {
            view: metric_value(metric, mode),
            metric,
            mode,
            metadata: Metadata::default(),
        }
    }

    fn set_tag(&mut self, name: &str, value: &Value) {
        let list = match self.mode {
            TagMode::Single => false,
            TagMode::Full => true,
            TagMode::Auto => value.is_array(),
        };
        let text = |v: &Value| v.to_str_lossy().map(|s| s.into_owned());
        let tag = if list {
            let values = match value {
                Value::Array(a) => a.as_slice(),
                v => std::slice::from_ref(v),
            };
            let set: BTreeSet<_> = values
                .iter()
                .filter_map(|v| match v {
                    Value::Null => Some(None),
                    v => text(v).map(Some),
                })
                .collect();
            let mut all = Vec::with_capacity(set.len());
            // The order of the first occurrence, each value once.
            for v in values {
                let v = text(v).filter(|_| !v.is_null());
                if set.contains(&v) && !all.contains(&v) {
                    all.push(v);
                }
            }
            match (all.len(), all.pop()) {
                (0, _) | (_, None) => None,
                (1, Some(None)) => Some(TagValue::Bare),
                (1, Some(Some(s))) => Some(TagValue::One(s)),
                (_, Some(last)) => {
                    all.push(last);
                    Some(TagValue::Many(all))
                }
            }
        } else if value.is_null() {
            Some(TagValue::Bare)
        } else {
            match text(value) {
                Some(s) => Some(TagValue::One(s)),
                None => return,
            }
        };
        match tag {
            Some(tag) => self.metric.tags.insert(name.to_owned(), tag),
            None => self.metric.tags.remove(name),
        };
    }

    fn write(&mut self, path: &OwnedValuePath, value: &Value) -> Result<(), String> {
        let text = |v: &Value| v.clone().try_bytes_utf8_lossy().map(|s| s.into_owned());
        match fields(path).as_slice() {
            ["tags"] => {
                let tags = value.clone().try_object().map_err(|e| e.to_string())?;
                self.metric.tags.clear();
                for (name, value) in &tags {
                    self.set_tag(name, value);
                }
            }
            ["tags", name] => self.set_tag(name, value),
            ["name"] => self.metric.name = text(value).map_err(|e| e.to_string())?,
            ["namespace"] => self.metric.namespace = Some(text(value).map_err(|e| e.to_string())?),
            ["interval_ms"] => {
                let ms = value.clone().try_integer().map_err(|e| e.to_string())?;
                let ms = u32::try_from(ms).map_err(|e| e.to_string())?;
                if ms == 0 {
                    return Err("interval_ms can't be zero".to_owned());
                }
                self.metric.interval_ms = Some(ms);
            }
            ["timestamp"] => {
                self.metric.timestamp = Some(value.clone().try_timestamp().map_err(|e| e.to_string())?);
            }
            ["kind"] => {
                self.metric.kind = match text(value).map_err(|e| e.to_string())?.as_str() {
                    "absolute" => MetricKind::Absolute,
                    "incremental" => MetricKind::Incremental,
                    other => return Err(format!("invalid metric kind {other}: expected absolute or incremental")),
                };
            }
            _ => return Err(invalid(path, WRITABLE)),
        }
        Ok(())
    }
}

/// The names of a path of fields; empty for the root and for paths with an index or more than two names.
fn fields(path: &OwnedValuePath) -> Vec<&str> {
    let names: Option<Vec<&str>> = path
        .segments
        .iter()
        .map(|s| match s {
            vrl::path::OwnedSegment::Field(f) => Some(f.as_str()),
            vrl::path::OwnedSegment::Index(_) => None,
        })
        .collect();
    names.filter(|n| n.len() <= 2).unwrap_or_default()
}

impl Target for MetricTarget<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        if path.prefix == PathPrefix::Metadata {
            self.metadata.value_mut().insert(&path.path, value);
            return Ok(());
        }
        if path.path.is_root() {
            return Err("cannot set root path".to_owned());
        }
        self.write(&path.path, &value)?;
        self.view.insert(&path.path, value);
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(get_metadata(&self.metadata, &path.path));
        }
        if path.path.is_root() {
            return Ok(Some(&self.view));
        }
        match fields(&path.path).as_slice() {
            ["name" | "namespace" | "timestamp" | "interval_ms" | "kind" | "type" | "tags"] | ["tags", _] => {
                Ok(self.view.get(&path.path))
            }
            _ => Err(invalid(&path.path, READABLE)),
        }
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(get_metadata_mut(&mut self.metadata, &path.path));
        }
        if path.path.is_root() {
            return Ok(Some(&mut self.view));
        }
        match fields(&path.path).as_slice() {
            ["name" | "namespace" | "timestamp" | "interval_ms" | "kind" | "tags"] | ["tags", _] => {
                Ok(self.view.get_mut(&path.path))
            }
            _ => Err(invalid(&path.path, WRITABLE)),
        }
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Value>, String> {
        if path.prefix == PathPrefix::Metadata {
            return Ok(remove_metadata(&mut self.metadata, &path.path, compact));
        }
        if path.path.is_root() {
            return Err("cannot set root path".to_owned());
        }
        match fields(&path.path).as_slice() {
            ["namespace"] => self.metric.namespace = None,
            ["timestamp"] => self.metric.timestamp = None,
            ["interval_ms"] => self.metric.interval_ms = None,
            ["tags"] => self.metric.tags.clear(),
            ["tags", name] => {
                self.metric.tags.remove(*name);
            }
            _ => return Err(invalid(&path.path, WRITABLE)),
        }
        Ok(self.view.remove(&path.path, false))
    }
}

impl SecretTarget for MetricTarget<'_> {
    fn get_secret(&self, key: &str) -> Option<&str> {
        self.metadata.secret(key)
    }

    fn insert_secret(&mut self, key: &str, value: &str) {
        self.metadata.set_secret(key, value);
    }

    fn remove_secret(&mut self, key: &str) {
        self.metadata.remove_secret(key);
    }
}
