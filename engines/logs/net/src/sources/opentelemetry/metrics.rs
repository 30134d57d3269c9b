//! OTLP's metrics as the pipeline's.

use chrono::DateTime;
use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue, any_value::Value as Any},
    metrics::v1::{
        ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, ResourceMetrics, SummaryDataPoint,
        metric::Data, number_data_point::Value as Number,
    },
    resource::v1::Resource,
};
use qd_logs_model::{Bucket, Metric, MetricKind, MetricValue, Quantile, TagValue, Tags};

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: i32 = 1;

pub(super) fn metrics(all: Vec<ResourceMetrics>) -> Vec<Metric> {
    let mut out = Vec::new();
    for resource_metrics in all {
        let resource = resource_metrics.resource;
        for scope_metrics in resource_metrics.scope_metrics {
            let common = common_tags(resource.as_ref(), scope_metrics.scope.as_ref());
            for metric in scope_metrics.metrics {
                let name = metric.name;
                let mut add = |kind, attributes: &[KeyValue], nanos: u64, value| {
                    let mut tags = common.clone();
                    add_tags(&mut tags, "", attributes);
                    out.push(Metric {
                        name: name.clone(),
                        namespace: None,
                        tags,
                        timestamp: Some(DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))),
                        interval_ms: None,
                        kind,
                        value,
                    });
                };
                let kind = |temporality| match temporality {
                    DELTA => MetricKind::Incremental,
                    _ => MetricKind::Absolute,
                };
                match metric.data {
                    Some(Data::Gauge(g)) => {
                        for p in g.data_points {
                            let value = MetricValue::Gauge { value: number(&p) };
                            add(MetricKind::Absolute, &p.attributes, p.time_unix_nano, value);
                        }
                    }
                    Some(Data::Sum(s)) => {
                        for p in s.data_points {
                            let value = match s.is_monotonic {
                                true => MetricValue::Counter { value: number(&p) },
                                false => MetricValue::Gauge { value: number(&p) },
                            };
                            add(kind(s.aggregation_temporality), &p.attributes, p.time_unix_nano, value);
                        }
                    }
                    Some(Data::Histogram(h)) => {
                        for p in h.data_points {
                            let value = histogram(&p);
                            add(kind(h.aggregation_temporality), &p.attributes, p.time_unix_nano, value);
                        }
                    }
                    Some(Data::ExponentialHistogram(h)) => {
                        for p in h.data_points {
                            let value = exponential(&p);
                            add(kind(h.aggregation_temporality), &p.attributes, p.time_unix_nano, value);
                        }
                    }
                    Some(Data::Summary(s)) => {
                        for p in s.data_points {
                            let value = summary(&p);
                            add(MetricKind::Absolute, &p.attributes, p.time_unix_nano, value);
                        }
                    }
                    None => {}
                }
            }
        }
    }
    out
}

fn number(p: &NumberDataPoint) -> f64 {
    match p.value {
        Some(Number::AsDouble(f)) => f,
        Some(Number::AsInt(i)) => i as f64,
        None => 0.0,
    }
}

fn add_tags(tags: &mut Tags, prefix: &str, attributes: &[KeyValue]) {
    for a in attributes {
        let Some(value) = a.value.as_ref().and_then(|v| v.value.as_ref()) else {
            continue;
        };
        let text = match value {
            Any::StringValue(s) => s.clone(),
            Any::BoolValue(b) => b.to_string(),
            Any::IntValue(i) => i.to_string(),
            Any::DoubleValue(f) => f.to_string(),
            Any::BytesValue(b) => String::from_utf8_lossy(b).into_owned(),
            _ => "null".to_owned(),
        };
        tags.insert(format!("{prefix}{}", a.key), TagValue::One(text));
    }
}

fn common_tags(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Tags {
    let mut tags = Tags::new();
    if let Some(r) = resource {
        add_tags(&mut tags, "resource.", &r.attributes);
    }
    if let Some(s) = scope {
        for (key, value) in [("scope.name", &s.name), ("scope.version", &s.version)] {
            if !value.is_empty() {
                tags.insert(key.to_owned(), TagValue::One(value.clone()));
            }
        }
        add_tags(&mut tags, "scope.", &s.attributes);
    }
    tags
}

fn histogram(p: &HistogramDataPoint) -> MetricValue {
    let limit = |i: usize| p.explicit_bounds.get(i).copied().unwrap_or(f64::INFINITY);
    MetricValue::AggregatedHistogram {
        buckets: p
            .bucket_counts
            .iter()
            .enumerate()
            .map(|(i, count)| Bucket {
                upper_limit: limit(i),
                count: *count,
            })
            .collect(),
        count: p.count,
        sum: p.sum.unwrap_or(0.0),
    }
}

/// Bucket `i` of the positive side holds values up to `base^(i+1)`, of the negative side up to `-base^i`; in the order in
/// which they come, as with Vector.
fn exponential(p: &ExponentialHistogramDataPoint) -> MetricValue {
    let base = 2f64.powf(2f64.powi(p.scale.saturating_neg()));
    let mut buckets = Vec::new();
    let indices =
        |offset: i32, n: usize| (0..n).map(move |i| offset.saturating_add(i32::try_from(i).unwrap_or(i32::MAX)));
    if let Some(b) = &p.negative {
        let all = indices(b.offset, b.bucket_counts.len()).zip(&b.bucket_counts);
        buckets.extend(all.map(|(i, count)| Bucket {
            upper_limit: -base.powi(i),
            count: *count,
        }));
    }
    if p.zero_count > 0 {
        buckets.push(Bucket {
            upper_limit: 0.0,
            count: p.zero_count,
        });
    }
    if let Some(b) = &p.positive {
        let all = indices(b.offset, b.bucket_counts.len()).zip(&b.bucket_counts);
        buckets.extend(all.map(|(i, count)| Bucket {
            upper_limit: base.powi(i.saturating_add(1)),
            count: *count,
        }));
    }
    MetricValue::AggregatedHistogram {
        buckets,
        count: p.count,
        sum: p.sum.unwrap_or(0.0),
    }
}

fn summary(p: &SummaryDataPoint) -> MetricValue {
    MetricValue::AggregatedSummary {
        quantiles: p
            .quantile_values
            .iter()
            .map(|q| Quantile {
                quantile: q.quantile,
                value: q.value,
            })
            .collect(),
        count: p.count,
        sum: p.sum,
    }
}
