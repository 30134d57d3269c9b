//! Metrics as Vector writes them: in JSON (which `native_json` wraps and `json` does not) and as text.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::{self, Write},
};

use chrono::{DateTime, Utc};
use qd_logs_model::{Bucket, Metric, MetricKind, MetricValue, Quantile, Sample, Statistic, TagValue, Tags};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

/// A metric with tags of one value each: of many values the last, bare ones left out.
pub fn single_tags(metric: &Metric) -> Cow<'_, Metric> {
    if metric.tags.values().all(|v| matches!(v, TagValue::One(_))) {
        return Cow::Borrowed(metric);
    }
    let mut m = metric.clone();
    m.tags = metric
        .tags
        .iter()
        .filter_map(|(name, v)| {
            let one = match v {
                TagValue::One(v) => v,
                TagValue::Bare => return None,
                TagValue::Many(all) => all.iter().rev().flatten().next()?,
            };
            Some((name.clone(), TagValue::One(one.clone())))
        })
        .collect();
    Cow::Owned(m)
}

/// A metric as JSON's object.
pub struct MetricJson<'a>(pub &'a Metric);

impl Serialize for MetricJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let m = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &m.name)?;
        if let Some(namespace) = &m.namespace {
            map.serialize_entry("namespace", namespace)?;
        }
        if !m.tags.is_empty() {
            map.serialize_entry("tags", &TagsJson(&m.tags))?;
        }
        if let Some(t) = &m.timestamp {
            map.serialize_entry("timestamp", &t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))?;
        }
        if let Some(ms) = m.interval_ms {
            map.serialize_entry("interval_ms", &ms)?;
        }
        let kind = match m.kind {
            MetricKind::Incremental => "incremental",
            MetricKind::Absolute => "absolute",
        };
        map.serialize_entry("kind", kind)?;
        let (name, body) = match &m.value {
            MetricValue::Counter { value } => ("counter", Body::Value { value: *value }),
            MetricValue::Gauge { value } => ("gauge", Body::Value { value: *value }),
            MetricValue::Set { values } => ("set", Body::Set { values: values.clone() }),
            MetricValue::Distribution { samples, statistic } => (
                "distribution",
                Body::Distribution {
                    samples: samples
                        .iter()
                        .map(|s| SampleJson {
                            value: s.value,
                            rate: s.rate,
                        })
                        .collect(),
                    statistic: match statistic {
                        Statistic::Histogram => StatisticJson::Histogram,
                        Statistic::Summary => StatisticJson::Summary,
                    },
                },
            ),
            MetricValue::AggregatedHistogram { buckets, count, sum } => (
                "aggregated_histogram",
                Body::Histogram {
                    buckets: buckets
                        .iter()
                        .map(|b| BucketJson {
                            upper_limit: Limit(b.upper_limit),
                            count: b.count,
                        })
                        .collect(),
                    count: *count,
                    sum: *sum,
                },
            ),
            MetricValue::AggregatedSummary { quantiles, count, sum } => (
                "aggregated_summary",
                Body::Summary {
                    quantiles: quantiles
                        .iter()
                        .map(|q| QuantileJson {
                            quantile: q.quantile,
                            value: q.value,
                        })
                        .collect(),
                    count: *count,
                    sum: *sum,
                },
            ),
        };
        map.serialize_entry(name, &body)?;
        map.end()
    }
}

struct TagsJson<'a>(&'a Tags);

impl Serialize for TagsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            match value {
                TagValue::Bare => map.serialize_entry(name, &())?,
                TagValue::One(v) => map.serialize_entry(name, v)?,
                TagValue::Many(values) => match values.as_slice() {
                    [one] => map.serialize_entry(name, one)?,
                    many => map.serialize_entry(name, many)?,
                },
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body {
    Value {
        value: f64,
    },
    Set {
        values: BTreeSet<String>,
    },
    Distribution {
        samples: Vec<SampleJson>,
        statistic: StatisticJson,
    },
    Histogram {
        buckets: Vec<BucketJson>,
        count: u64,
        sum: f64,
    },
    Summary {
        quantiles: Vec<QuantileJson>,
        count: u64,
        sum: f64,
    },
}

#[derive(Serialize, Deserialize)]
struct SampleJson {
    value: f64,
    rate: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatisticJson {
    Histogram,
    Summary,
}

#[derive(Serialize, Deserialize)]
struct BucketJson {
    upper_limit: Limit,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct QuantileJson {
    #[serde(alias = "upper_limit")]
    quantile: f64,
    value: f64,
}

/// A bucket's limit: JSON has no infinity, so it is written as text.
struct Limit(f64);

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            f64::INFINITY => serializer.serialize_str("inf"),
            f64::NEG_INFINITY => serializer.serialize_str("-inf"),
            f if f.is_nan() => serializer.serialize_str("NaN"),
            f => serializer.serialize_f64(f),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(n) => n.as_f64().map(Limit).ok_or_else(|| D::Error::custom("no number")),
            serde_json::Value::String(s) => match s.as_str() {
                "inf" => Ok(Limit(f64::INFINITY)),
                "-inf" => Ok(Limit(f64::NEG_INFINITY)),
                "NaN" => Ok(Limit(f64::NAN)),
                _ => Err(D::Error::custom("unknown limit")),
            },
            _ => Err(D::Error::custom("a limit is a number")),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TagJson {
    Bare(()),
    One(String),
    Many(Vec<Option<String>>),
}

#[derive(Deserialize)]
struct In {
    name: String,
    namespace: Option<String>,
    tags: Option<std::collections::BTreeMap<String, TagJson>>,
    timestamp: Option<DateTime<Utc>>,
    interval_ms: Option<std::num::NonZeroU32>,
    kind: InKind,
    counter: Option<InValue>,
    gauge: Option<InValue>,
    set: Option<InSet>,
    distribution: Option<InDistribution>,
    aggregated_histogram: Option<InHistogram>,
    aggregated_summary: Option<InSummary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum InKind {
    Incremental,
    Absolute,
}

#[derive(Deserialize)]
struct InValue {
    value: f64,
}

#[derive(Deserialize)]
struct InSet {
    values: BTreeSet<String>,
}

#[derive(Deserialize)]
struct InDistribution {
    samples: Vec<SampleJson>,
    statistic: StatisticJson,
}

#[derive(Deserialize)]
struct InHistogram {
    buckets: Vec<BucketJson>,
    count: u64,
    sum: f64,
}

#[derive(Deserialize)]
struct InSummary {
    quantiles: Vec<QuantileJson>,
    count: u64,
    sum: f64,
}

/// Reads a metric from its JSON object, the inverse of [`MetricJson`]. Sketches are not supported.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn metric_from_json(json: serde_json::Value) -> Result<Metric, String> {
    let sketch = json.get("sketch").is_some();
    let m: In = serde_json::from_value(json).map_err(|e| e.to_string())?;
    let value = if let Some(v) = m.counter {
        MetricValue::Counter { value: v.value }
    } else if let Some(v) = m.gauge {
        MetricValue::Gauge { value: v.value }
    } else if let Some(v) = m.set {
        MetricValue::Set { values: v.values }
    } else if let Some(v) = m.distribution {
        MetricValue::Distribution {
            samples: v
                .samples
                .into_iter()
                .map(|s| Sample {
                    value: s.value,
                    rate: s.rate,
                })
                .collect(),
            statistic: match v.statistic {
                StatisticJson::Histogram => Statistic::Histogram,
                StatisticJson::Summary => Statistic::Summary,
            },
        }
    } else if let Some(v) = m.aggregated_histogram {
        MetricValue::AggregatedHistogram {
            buckets: v
                .buckets
                .into_iter()
                .map(|b| Bucket {
                    upper_limit: b.upper_limit.0,
                    count: b.count,
                })
                .collect(),
            count: v.count,
            sum: v.sum,
        }
    } else if let Some(v) = m.aggregated_summary {
        MetricValue::AggregatedSummary {
            quantiles: v
                .quantiles
                .into_iter()
                .map(|q| Quantile {
                    quantile: q.quantile,
                    value: q.value,
                })
                .collect(),
            count: v.count,
            sum: v.sum,
        }
    } else if sketch {
        return Err("metrics of the kind `sketch` are not supported".to_owned());
    } else {
        return Err("a metric has no value".to_owned());
    };
    let tag = |t| match t {
        TagJson::Bare(()) => TagValue::Bare,
        TagJson::One(v) => TagValue::One(v),
        TagJson::Many(values) => TagValue::Many(values),
    };
    Ok(Metric {
        name: m.name,
        namespace: m.namespace,
        tags: m
            .tags
            .unwrap_or_default()
            .into_iter()
            .map(|(n, t)| (n, tag(t)))
            .collect(),
        timestamp: m.timestamp,
        interval_ms: m.interval_ms.map(Into::into),
        kind: match m.kind {
            InKind::Incremental => MetricKind::Incremental,
            InKind::Absolute => MetricKind::Absolute,
        },
        value,
    })
}

/// A metric as a line of text: `2020-01-02T03:04:05Z namespace_name{tag="value"} = 1`, `+` for an increment.
pub struct MetricText<'a>(pub &'a Metric);

fn word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    match word.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        true => write!(f, "{word:?}"),
        false => f.write_str(word),
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    separator: char,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_char(separator)?;
        }
        write(f, item)?;
    }
    Ok(())
}

impl fmt::Display for MetricText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        if let Some(t) = &m.timestamp {
            write!(f, "{t:?} ")?;
        }
        if let Some(namespace) = &m.namespace {
            word(f, namespace)?;
            f.write_char('_')?;
        }
        word(f, &m.name)?;
        f.write_char('{')?;
        let tags = m.tags.iter().flat_map(|(name, v)| {
            let values: Vec<Option<&str>> = match v {
                TagValue::Bare => vec![None],
                TagValue::One(v) => vec![Some(v)],
                TagValue::Many(all) => all.iter().map(Option::as_deref).collect(),
            };
            values.into_iter().map(move |v| (name, v))
        });
        list(f, ',', tags, |f, (name, value)| {
            word(f, name)?;
            value.map_or(Ok(()), |v| write!(f, "={v:?}"))
        })?;
        let kind = match m.kind {
            MetricKind::Absolute => '=',
            MetricKind::Incremental => '+',
        };
        write!(f, "}} {kind} ")?;
        match &m.value {
            MetricValue::Counter { value } | MetricValue::Gauge { value } => write!(f, "{value}"),
            MetricValue::Set { values } => list(f, ' ', values, |f, v| word(f, v)),
            MetricValue::Distribution { samples, statistic } => {
                f.write_str(match statistic {
                    Statistic::Histogram => "histogram ",
                    Statistic::Summary => "summary ",
                })?;
                list(f, ' ', samples, |f, s| write!(f, "{}@{}", s.rate, s.value))
            }
            MetricValue::AggregatedHistogram { buckets, count, sum } => {
                write!(f, "count={count} sum={sum} ")?;
                list(f, ' ', buckets, |f, b| write!(f, "{}@{}", b.count, b.upper_limit))
            }
            MetricValue::AggregatedSummary { quantiles, count, sum } => {
                write!(f, "count={count} sum={sum} ")?;
                list(f, ' ', quantiles, |f, q| write!(f, "{}@{}", q.quantile, q.value))
            }
        }
    }
}
