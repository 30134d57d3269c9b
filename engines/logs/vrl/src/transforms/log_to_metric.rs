//! `log_to_metric`: makes metrics of log events.

use chrono::Utc;
use indexmap::IndexMap;
use qd_logs_codecs::{EventRef, Template};
use qd_logs_config::{Node, NodeValue};
use qd_logs_model::{
    Batch, Bucket, BuildError, Context, EventKind, InputKinds, LogBatch, LogSchema, Metric, MetricKind, MetricValue,
    OutputPort, Quantile, Sample, Statistic, TagValue, Tags, Telemetry, Transform, TransformConfig, TransformOut,
    Value, telemetry::Intent,
};
use vrl::path::{OwnedTargetPath, OwnedValuePath, parse_value_path};

use super::{Seldom, metrics, target_path, value_at};

/// The configuration of `log_to_metric`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogToMetricConfig {
    metrics: Option<Vec<MetricConfig>>,
    all_metrics: Option<bool>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct MetricConfig {
    #[serde(rename = "type")]
    ty: Type,
    field: String,
    name: Option<String>,
    namespace: Option<String>,
    tags: Option<IndexMap<String, Node>>,
    #[serde(default)]
    increment_by_value: bool,
    #[serde(default)]
    kind: KindName,
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Counter,
    Histogram,
    Gauge,
    Set,
    Summary,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    #[default]
    Incremental,
    Absolute,
}

impl TransformConfig for LogToMetricConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Metric)]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let schema = &cx.globals.log_schema;
        let wanted = self.metrics.as_deref().unwrap_or_default();
        let wanted = wanted
            .iter()
            .enumerate()
            .map(|(i, c)| Wanted::new(c, &format!("metrics.{i}"), schema))
            .collect::<Result<_, _>>()?;
        Ok(Box::new(LogToMetric {
            wanted,
            all: self.all_metrics.unwrap_or_default(),
            timestamp: schema.timestamp_key.clone().map(OwnedTargetPath::event),
            say: Seldom::new(cx.log),
            telemetry: cx.telemetry,
        }))
    }
}

struct Wanted {
    ty: Type,
    field: OwnedTargetPath,
    field_text: String,
    name: Template,
    namespace: Option<Template>,
    tags: Vec<(Template, Option<Template>)>,
    by_value: bool,
    kind: MetricKind,
}

impl Wanted {
    fn new(c: &MetricConfig, at: &str, schema: &LogSchema) -> Result<Wanted, BuildError> {
        let template = |t: &str, key: &str| {
            Template::parse(t)
                .map(|t| t.with_schema(schema))
                .map_err(|e| BuildError::of(&format!("{at}.{key}"), e.to_string()))
        };
        let mut tags = Vec::new();
        for (name, node) in c.tags.iter().flatten() {
            let key = format!("tags.{name}");
            let mut one = |n: &Node| {
                let value = match &n.value {
                    NodeValue::Null => None,
                    NodeValue::String(s) => Some(template(s, &key)?),
                    _ => {
                        return Err(BuildError::of(
                            &format!("{at}.{key}"),
                            format!("expected text, null or a list of them, found {}", n.kind()),
                        ));
                    }
                };
                tags.push((template(name, &key)?, value));
                Ok(())
            };
            match &node.value {
                NodeValue::Array(all) => all.iter().try_for_each(one)?,
                _ => one(node)?,
            }
        }
        Ok(Wanted {
            ty: c.ty,
            field: target_path(&c.field, &format!("{at}.field"))?,
            field_text: c.field.clone(),
            name: template(c.name.as_deref().unwrap_or(&c.field), "name")?,
            namespace: c.namespace.as_deref().map(|n| template(n, "namespace")).transpose()?,
            tags,
            by_value: c.increment_by_value,
            kind: match c.kind {
                KindName::Incremental => MetricKind::Incremental,
                KindName::Absolute => MetricKind::Absolute,
            },
        })
    }
}

/// Why there is no metric.
enum Fail {
    Missing(String),
    Null(String),
    Number(String),
    Invalid(String),
    Template(String),
    Tags(String),
}

struct LogToMetric {
    wanted: Vec<Wanted>,
    all: bool,
    timestamp: Option<OwnedTargetPath>,
    say: Seldom,
    telemetry: Telemetry,
}

fn push_tag(tags: &mut Tags, name: String, value: Option<String>) {
    use std::collections::btree_map::Entry;
    let single = |v: Option<String>| v.map_or(TagValue::Bare, TagValue::One);
    match tags.entry(name) {
        Entry::Vacant(e) => {
            e.insert(single(value));
        }
        Entry::Occupied(mut e) => {
            let mut all = match std::mem::replace(e.get_mut(), TagValue::Bare) {
                TagValue::Bare => vec![None],
                TagValue::One(v) => vec![Some(v)],
                TagValue::Many(all) => all,
            };
            if !all.contains(&value) {
                all.push(value);
            }
            let tag = match all.len() {
                1 => single(all.pop().flatten()),
                _ => TagValue::Many(all),
            };
            e.insert(tag);
        }
    }
}

/// A key as a tag's name: lower case, with `_` for what is no letter, digit or `_`.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().map(plain).collect::<String>().to_lowercase()
}

impl Wanted {
    fn tags(&self, row: EventRef<'_>, telemetry: &Telemetry) -> Result<Tags, Fail> {
        let mut tags = Tags::new();
        for (name, value) in &self.tags {
            let render = |t: &Template| {
                t.render(row)
                    .map_err(|_missing| telemetry.error("template_failed", "processing"))
                    .ok()
            };
            let Some(name) = render(name) else {
                continue;
            };
            let Some(value) = value else {
                push_tag(&mut tags, name, None);
                continue;
            };
            let Some(value) = render(value) else {
                continue;
            };
            let Some(prefix) = name.strip_suffix('*') else {
                push_tag(&mut tags, name, Some(value));
                continue;
            };
            // `prefix_*` with an object makes a tag of each of its fields.
            let fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&value).map_err(|e| Fail::Tags(format!("can't expand the tag `{name}`: {e}")))?;
            for (k, v) in fields {
                if !v.is_null() {
                    let text = Value::from(v).to_string_lossy().into_owned();
                    push_tag(&mut tags, slug(&format!("{prefix}{k}")), Some(text));
                }
            }
        }
        Ok(tags)
    }

    fn metric(&self, b: &LogBatch, i: usize, telemetry: &Telemetry) -> Result<Metric, Fail> {
        let value = match value_at(b, i, &self.field) {
            None => return Err(Fail::Missing(self.field_text.clone())),
            Some(Value::Null) => return Err(Fail::Null(self.field_text.clone())),
            Some(v) => v,
        };
        let row = EventRef::Row(b, i);
        let render = |t: &Template| t.render(row).map_err(|e| Fail::Template(e.to_string()));
        let name = render(&self.name)?;
        let namespace = self.namespace.as_ref().map(render).transpose()?;
        let tags = self.tags(row, telemetry)?;
        let number = || {
            let text = value.to_string_lossy();
            text.parse::<f64>()
                .map_err(|e| Fail::Number(format!("{} of `{}`: {e}", text, self.field_text)))
        };
        let samples = |statistic| {
            let value = number()?;
            Ok(MetricValue::Distribution {
                samples: vec![Sample { value, rate: 1 }],
                statistic,
            })
        };
        let (kind, value) = match self.ty {
            Type::Counter => {
                let value = if self.by_value { number()? } else { 1.0 };
                (self.kind, MetricValue::Counter { value })
            }
            Type::Gauge => (MetricKind::Absolute, MetricValue::Gauge { value: number()? }),
            Type::Histogram => (MetricKind::Incremental, samples(Statistic::Histogram)?),
            Type::Summary => (MetricKind::Incremental, samples(Statistic::Summary)?),
            Type::Set => (
                MetricKind::Incremental,
                MetricValue::Set {
                    values: [value.to_string_lossy().into_owned()].into(),
                },
            ),
        };
        Ok(Metric {
            name,
            namespace,
            tags,
            timestamp: None,
            interval_ms: None,
            kind,
            value,
        })
    }
}

/// A log event in the form of Vector's native metrics, read field by field.
struct Native<'a>(&'a Value);

impl Native<'_> {
    fn get(&self, path: &str) -> Result<&Value, Fail> {
        let parsed = parse_value_path(path).map_err(|_| Fail::Missing(path.to_owned()))?;
        self.0.get(&parsed).ok_or_else(|| Fail::Missing(path.to_owned()))
    }

    fn text(&self, path: &str) -> Result<String, Fail> {
        let text = self.get(path)?.to_str_lossy().map(|s| s.into_owned());
        text.ok_or_else(|| Fail::Missing(path.to_owned()))
    }

    fn float(&self, path: &str) -> Result<f64, Fail> {
        match self.get(path)? {
            Value::Float(f) => Ok(f.into_inner()),
            _ => Err(Fail::Invalid(format!("`{path}` is no float"))),
        }
    }

    fn count(&self, path: &str) -> Result<u64, Fail> {
        match self.get(path)? {
            Value::Integer(i) if *i >= 0 => Ok(i.unsigned_abs()),
            _ => Err(Fail::Invalid(format!("`{path}` is no whole number from 0 on"))),
        }
    }

    fn list<T>(&self, path: &str, each: impl Fn(Native<'_>) -> Result<T, Fail>) -> Result<Vec<T>, Fail> {
        match self.get(path)? {
            Value::Array(a) => a.iter().map(|v| each(Native(v))).collect(),
            _ => Err(Fail::Invalid(format!("`{path}` is no list"))),
        }
    }

    fn value(&self) -> Result<MetricValue, Fail> {
        let Value::Object(fields) = self.0 else {
            return Err(Fail::Missing("name".to_owned()));
        };
        for key in fields.keys() {
            return Ok(match key.as_str() {
                "counter" => MetricValue::Counter {
                    value: self.float("counter.value")?,
                },
                "gauge" => MetricValue::Gauge {
                    value: self.float("gauge.value")?,
                },
                "set" => MetricValue::Set {
                    values: self
                        .list("set.values", |v| {
                            let text = v.0.to_str_lossy().map(|s| s.into_owned());
                            text.ok_or_else(|| {
                                Fail::Invalid("`set.values` holds something else than strings".to_owned())
                            })
                        })?
                        .into_iter()
                        .collect(),
                },
                "distribution" => MetricValue::Distribution {
                    samples: self.list("distribution.samples", |s| {
                        Ok(Sample {
                            value: s.float("value")?,
                            rate: u32::try_from(s.count("rate")?)
                                .map_err(|_| Fail::Invalid("`rate` is too large".to_owned()))?,
                        })
                    })?,
                    statistic: match self.text("distribution.statistic")?.as_str() {
                        "histogram" => Statistic::Histogram,
                        "summary" => Statistic::Summary,
                        other => return Err(Fail::Invalid(format!("`distribution.statistic` is `{other}`"))),
                    },
                },
                "aggregated_histogram" => MetricValue::AggregatedHistogram {
                    buckets: self.list("aggregated_histogram.buckets", |b| {
                        Ok(Bucket {
                            upper_limit: b.float("upper_limit")?,
                            count: b.count("count")?,
                        })
                    })?,
                    count: self.count("aggregated_histogram.count")?,
                    sum: self.float("aggregated_histogram.sum")?,
                },
                "aggregated_summary" => MetricValue::AggregatedSummary {
                    quantiles: self.list("aggregated_summary.quantiles", |q| {
                        Ok(Quantile {
                            quantile: q.float("quantile")?,
                            value: q.float("value")?,
                        })
                    })?,
                    count: self.count("aggregated_summary.count")?,
                    sum: self.float("aggregated_summary.sum")?,
                },
                _ => continue,
            });
        }
        Err(Fail::Invalid("the event has no metric's value in it".to_owned()))
    }

    fn metric(&self) -> Result<Metric, Fail> {
        let name = self.text("name")?;
        let mut tags = Tags::new();
        if let Some(Value::Object(o)) = self.0.get(&OwnedValuePath::single_field("tags")) {
            for (k, v) in o {
                push_tag(&mut tags, k.to_string(), v.to_str_lossy().map(|s| s.into_owned()));
            }
        }
        let kind = match self.text("kind")?.as_str() {
            "absolute" => MetricKind::Absolute,
            "incremental" => MetricKind::Incremental,
            other => return Err(Fail::Invalid(format!("`kind` is `{other}`"))),
        };
        Ok(Metric {
            name,
            namespace: self.text("namespace").ok(),
            tags,
            timestamp: None,
            interval_ms: None,
            kind,
            value: self.value()?,
        })
    }
}

impl LogToMetric {
    fn one(&self, b: &LogBatch, i: usize, out: &mut Vec<Metric>) -> Result<(), Fail> {
        let time = self.timestamp.as_ref().and_then(|p| value_at(b, i, p));
        let time = match time {
            Some(Value::Timestamp(t)) => t,
            _ => Utc::now(),
        };
        // All metrics of an event, or none.
        let before = out.len();
        let made = if self.all {
            Native(&b.value(i)).metric().map(|m| out.push(m))
        } else {
            self.wanted
                .iter()
                .try_for_each(|w| w.metric(b, i, &self.telemetry).map(|m| out.push(m)))
        };
        if made.is_err() {
            out.truncate(before);
        }
        for m in out.iter_mut().skip(before) {
            m.timestamp = Some(time);
        }
        made
    }
}

impl Transform for LogToMetric {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Logs(b) = batch else {
            out.push(batch);
            return;
        };
        let mut made = Vec::with_capacity(b.len() * self.wanted.len().max(1));
        for i in 0..b.len() {
            let Err(e) = self.one(&b, i, &mut made) else {
                continue;
            };
            let (ty, message) = match e {
                Fail::Missing(field) => ("condition_failed", format!("Field does not exist: {field}")),
                Fail::Null(field) => ("condition_failed", format!("Unable to convert null value: {field}")),
                Fail::Number(m) => ("parser_failed", format!("Failed to parse field as float: {m}")),
                Fail::Invalid(m) => ("parser_failed", m),
                Fail::Template(m) => ("template_failed", m),
                Fail::Tags(m) => ("parser_failed", m),
            };
            self.telemetry.error(ty, "processing");
            self.telemetry.discarded(1, Intent::Unintended);
            self.say.error(|| message);
        }
        out.push(metrics(made, b.finalizers));
    }
}
