//! Events as lines of a bulk request.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use qd_core::Severity;
use qd_logs_codecs::{
    EventRef, MetricTagValues, RenderError, Template, Transformer,
    native::{MetricJson, single_tags},
};
use qd_logs_model::{Batch, LogSchema, Metric, Value};
use serde_json::json;
use std::borrow::Cow;
use vrl::path::{OwnedValuePath, parse_value_path};

use super::VersionType;
use crate::request::driver::Report;

/// The longest part of a data stream's name that an event may give, in bytes.
const MAX_NAME_PART: usize = 255;

/// How documents are addressed.
pub(super) enum Mode {
    /// By an index.
    Bulk {
        index: Template,
        /// The index of events with which the template can't be rendered.
        fallback: Option<String>,
        action: Template,
        version: Option<Template>,
        version_type: VersionType,
    },
    /// By a data stream: type, dataset and namespace.
    DataStream {
        parts: [Template; 3],
        /// Whether the event's own `data_stream` fields count first.
        auto_routing: bool,
        /// Whether the event gets the fields it lacks.
        sync_fields: bool,
    },
}

/// The names of a data stream's parts in an event.
const PARTS: [&str; 3] = ["type", "dataset", "namespace"];

/// Makes documents.
pub(super) struct Documents {
    pub(super) mode: Mode,
    pub(super) id_key: Option<OwnedValuePath>,
    /// The type of documents, for servers that know types.
    pub(super) doc_type: Option<String>,
    pub(super) transformer: Transformer,
    pub(super) schema: LogSchema,
    /// The tag of metrics that becomes the host.
    pub(super) host_tag: Option<String>,
    pub(super) tags: MetricTagValues,
}

impl Documents {
    /// The events as values.
    pub(super) fn values(&self, batch: Batch) -> Vec<Value> {
        match batch {
            Batch::Logs(logs) => logs.into_events().0.into_iter().map(|e| e.value).collect(),
            Batch::Metrics(metrics) => metrics.metrics.iter().map(|m| self.metric(m)).collect(),
        }
    }

    /// A metric as the log that Vector makes of it.
    fn metric(&self, metric: &Metric) -> Value {
        let metric = match self.tags {
            MetricTagValues::Single => single_tags(metric),
            MetricTagValues::Full => Cow::Borrowed(metric),
        };
        let mut value = Value::from(serde_json::to_value(MetricJson(&metric)).unwrap_or_default());
        let stamp = OwnedValuePath::single_field("timestamp");
        let time = value
            .remove(&stamp, false)
            .and_then(|t| DateTime::parse_from_rfc3339(&t.to_string_lossy()).ok())
            .map_or_else(Utc::now, |t| t.with_timezone(&Utc));
        if let Some(path) = &self.schema.timestamp_key {
            value.insert(path, Value::Timestamp(time));
        }
        if let (Some(tag), Some(host)) = (&self.host_tag, &self.schema.host_key)
            && let Ok(path) = parse_value_path(tag)
            && let Some(v) = value.remove(&path, true)
        {
            value.insert(host, v);
        }
        value
    }

    /// The two lines of a document.
    ///
    /// # Errors
    /// Why the event can't be sent: a sentence.
    pub(super) fn encode(&self, mut value: Value, report: &Report) -> Result<Bytes, String> {
        let index = self.index(&value, report)?;
        let action = self.action(&value)?;
        let version = self.version(&value, report);
        if let Mode::DataStream { parts, sync_fields, .. } = &self.mode {
            if *sync_fields {
                sync(&mut value, parts);
            }
            if let Some(path) = &self.schema.timestamp_key {
                let ours = OwnedValuePath::single_field("@timestamp");
                if *path != ours
                    && let Some(time) = value.remove(path, false)
                {
                    value.insert(&ours, time);
                }
            }
        }
        let id = self
            .id_key
            .as_ref()
            .and_then(|key| value.remove(key, false))
            .and_then(|id| id.to_str_lossy().map(Cow::into_owned));
        self.transformer.apply(&mut value);
        let mut about = serde_json::Map::new();
        about.insert("_index".to_owned(), index.into());
        if let Some(t) = &self.doc_type {
            about.insert("_type".to_owned(), t.as_str().into());
        }
        if let Some(id) = id {
            about.insert("_id".to_owned(), id.into());
            if let Some((kind, number)) = version {
                about.insert("version_type".to_owned(), kind.into());
                about.insert("version".to_owned(), number.into());
            }
        }
        let mut out = json!({ action: about }).to_string().into_bytes();
        out.push(b'\n');
        serde_json::to_writer(&mut out, &value).map_err(|e| e.to_string())?;
        out.push(b'\n');
        Ok(out.into())
    }

    fn index(&self, value: &Value, report: &Report) -> Result<String, String> {
        let event = EventRef::Value(value);
        match &self.mode {
            Mode::Bulk { index, fallback, .. } => match (index.render(event), fallback) {
                (Ok(name), _) => Ok(name),
                (Err(e @ RenderError::Confined(_)), _) | (Err(e), None) => Err(format!("`bulk.index`: {e}")),
                (Err(e), Some(fallback)) => {
                    report.telemetry.error("template_failed", "processing");
                    report.complain("template", Severity::Warn, || {
                        format!("`bulk.index` can't be rendered, the fallback is taken: {e}")
                    });
                    Ok(fallback.clone())
                }
            },
            Mode::DataStream {
                parts, auto_routing, ..
            } => {
                let own = value.as_object().and_then(|o| o.get("data_stream")?.as_object());
                let mut names = Vec::new();
                for (template, part) in parts.iter().zip(PARTS) {
                    let given = own.filter(|_| *auto_routing).and_then(|o| o.get(part));
                    let name = match given {
                        Some(v) => given_part(template, &v.to_string_lossy())
                            .ok_or_else(|| format!("its `data_stream.{part}` is no part of a data stream's name"))?,
                        None => template
                            .render(event)
                            .map_err(|e| format!("`data_stream.{part}`: {e}"))?,
                    };
                    if !name.is_empty() {
                        names.push(name);
                    }
                }
                Ok(names.join("-"))
            }
        }
    }

    fn action(&self, value: &Value) -> Result<&'static str, String> {
        let Mode::Bulk { action, .. } = &self.mode else {
            return Ok("create");
        };
        let name = action
            .render(EventRef::Value(value))
            .map_err(|e| format!("`bulk.action`: {e}"))?;
        ["index", "create", "update"]
            .into_iter()
            .find(|a| *a == name)
            .ok_or_else(|| format!("`{name}` is no action of a bulk request"))
    }

    fn version(&self, value: &Value, report: &Report) -> Option<(&'static str, u64)> {
        let Mode::Bulk {
            version: Some(template),
            version_type,
            ..
        } = &self.mode
        else {
            return None;
        };
        let kind = match version_type {
            VersionType::Internal => return None,
            VersionType::External => "external",
            VersionType::ExternalGte => "external_gte",
        };
        let number = template
            .render(EventRef::Value(value))
            .ok()
            .and_then(|v| v.parse().ok());
        if number.is_none() {
            report.telemetry.error("template_failed", "processing");
            report.complain("version", Severity::Warn, || {
                "an event has no whole number for `bulk.version` and is sent without".to_owned()
            });
        }
        number.map(|n| (kind, n))
    }
}

/// A part of a data stream's name that the event gives, if it may be one.
fn given_part(template: &Template, name: &str) -> Option<String> {
    let plain = name.len() <= MAX_NAME_PART && !name.contains(['/', '\\', '\0']) && !name.contains("..");
    // What an author pinned to a beginning stays there.
    let inside = !template.has_fields() || name.starts_with(template.literal_prefix());
    (plain && inside).then(|| name.to_owned())
}

/// Gives the event the `data_stream` fields it lacks.
fn sync(value: &mut Value, parts: &[Template; 3]) {
    let names: Vec<_> = parts.iter().map(|t| t.render(EventRef::Value(value)).ok()).collect();
    let Value::Object(object) = value else { return };
    let own = object
        .entry("data_stream".into())
        .or_insert_with(|| Value::Object(Default::default()));
    let Value::Object(own) = own else { return };
    for (part, name) in PARTS.into_iter().zip(names) {
        if let Some(name) = name {
            own.entry(part.into()).or_insert_with(|| Value::from(name));
        }
    }
}
