//! OTLP's JSON as the messages of its protobuf: names in lowerCamelCase, ids in hexadecimal digits, enumerations as
//! integers, 64-bit integers as text or numbers (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//! Fields that are not known are passed over and `null` is no value, as protobuf's JSON has it.

mod read;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value as Any},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value as Number,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

use self::read::{Bad, Fields};

type Read<T> = Result<T, Bad>;

/// Reads the logs of a request.
///
/// # Errors
/// Text that is no JSON, and values that the place cannot have; the sentence names the place.
pub(super) fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, String> {
    read::message(body, |f| {
        Ok(ExportLogsServiceRequest {
            resource_logs: f.list("resourceLogs", resource_logs)?,
        })
    })
}

/// Reads the metrics of a request.
///
/// # Errors
/// As [`logs`].
pub(super) fn metrics(body: &[u8]) -> Result<ExportMetricsServiceRequest, String> {
    read::message(body, |f| {
        Ok(ExportMetricsServiceRequest {
            resource_metrics: f.list("resourceMetrics", resource_metrics)?,
        })
    })
}

/// Reads the spans of a request.
///
/// # Errors
/// As [`logs`].
pub(super) fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, String> {
    read::message(body, |f| {
        Ok(ExportTraceServiceRequest {
            resource_spans: f.list("resourceSpans", resource_spans)?,
        })
    })
}

fn any(f: &Fields<'_>) -> Read<AnyValue> {
    let value = if let Some(v) = f.find_text("stringValue")? {
        Some(Any::StringValue(v))
    } else if let Some(v) = f.find_bool("boolValue")? {
        Some(Any::BoolValue(v))
    } else if let Some(v) = f.find_i64("intValue")? {
        Some(Any::IntValue(v))
    } else if let Some(v) = f.find_f64("doubleValue")? {
        Some(Any::DoubleValue(v))
    } else if let Some(values) = f.message("arrayValue", |f| f.list("values", any))? {
        Some(Any::ArrayValue(ArrayValue { values }))
    } else if let Some(values) = f.message("kvlistValue", |f| f.list("values", attribute))? {
        Some(Any::KvlistValue(KeyValueList { values }))
    } else {
        f.find_base64("bytesValue")?.map(Any::BytesValue)
    };
    Ok(AnyValue { value })
}

fn attribute(f: &Fields<'_>) -> Read<KeyValue> {
    Ok(KeyValue {
        key: f.text("key")?,
        value: f.message("value", any)?,
        ..KeyValue::default()
    })
}

fn attributes(f: &Fields<'_>) -> Read<Vec<KeyValue>> {
    f.list("attributes", attribute)
}

fn resource(f: &Fields<'_>) -> Read<Resource> {
    Ok(Resource {
        attributes: attributes(f)?,
        dropped_attributes_count: f.u32("droppedAttributesCount")?,
        ..Resource::default()
    })
}

fn scope(f: &Fields<'_>) -> Read<InstrumentationScope> {
    Ok(InstrumentationScope {
        name: f.text("name")?,
        version: f.text("version")?,
        attributes: attributes(f)?,
        dropped_attributes_count: f.u32("droppedAttributesCount")?,
    })
}

fn resource_logs(f: &Fields<'_>) -> Read<ResourceLogs> {
    Ok(ResourceLogs {
        resource: f.message("resource", resource)?,
        scope_logs: f.list("scopeLogs", |f| {
            Ok(ScopeLogs {
                scope: f.message("scope", scope)?,
                log_records: f.list("logRecords", log_record)?,
                schema_url: f.text("schemaUrl")?,
            })
        })?,
        schema_url: f.text("schemaUrl")?,
    })
}

fn log_record(f: &Fields<'_>) -> Read<LogRecord> {
    Ok(LogRecord {
        time_unix_nano: f.u64("timeUnixNano")?,
        observed_time_unix_nano: f.u64("observedTimeUnixNano")?,
        severity_number: f.i32("severityNumber")?,
        severity_text: f.text("severityText")?,
        body: f.message("body", any)?,
        attributes: attributes(f)?,
        dropped_attributes_count: f.u32("droppedAttributesCount")?,
        flags: f.u32("flags")?,
        trace_id: f.hex("traceId")?,
        span_id: f.hex("spanId")?,
        event_name: f.text("eventName")?,
    })
}

fn resource_spans(f: &Fields<'_>) -> Read<ResourceSpans> {
    Ok(ResourceSpans {
        resource: f.message("resource", resource)?,
        scope_spans: f.list("scopeSpans", |f| {
            Ok(ScopeSpans {
                scope: f.message("scope", scope)?,
                spans: f.list("spans", span)?,
                schema_url: f.text("schemaUrl")?,
            })
        })?,
        schema_url: f.text("schemaUrl")?,
    })
}

fn span(f: &Fields<'_>) -> Read<Span> {
    Ok(Span {
        trace_id: f.hex("traceId")?,
        span_id: f.hex("spanId")?,
        trace_state: f.text("traceState")?,
        parent_span_id: f.hex("parentSpanId")?,
        flags: f.u32("flags")?,
        name: f.text("name")?,
        kind: f.i32("kind")?,
        start_time_unix_nano: f.u64("startTimeUnixNano")?,
        end_time_unix_nano: f.u64("endTimeUnixNano")?,
        attributes: attributes(f)?,
        dropped_attributes_count: f.u32("droppedAttributesCount")?,
        events: f.list("events", |f| {
            Ok(Event {
                time_unix_nano: f.u64("timeUnixNano")?,
                name: f.text("name")?,
                attributes: attributes(f)?,
                dropped_attributes_count: f.u32("droppedAttributesCount")?,
            })
        })?,
        dropped_events_count: f.u32("droppedEventsCount")?,
        links: f.list("links", |f| {
            Ok(Link {
                trace_id: f.hex("traceId")?,
                span_id: f.hex("spanId")?,
                trace_state: f.text("traceState")?,
                attributes: attributes(f)?,
                dropped_attributes_count: f.u32("droppedAttributesCount")?,
                flags: f.u32("flags")?,
            })
        })?,
        dropped_links_count: f.u32("droppedLinksCount")?,
        status: f.message("status", |f| {
            Ok(Status {
                message: f.text("message")?,
                code: f.i32("code")?,
            })
        })?,
    })
}

fn resource_metrics(f: &Fields<'_>) -> Read<ResourceMetrics> {
    Ok(ResourceMetrics {
        resource: f.message("resource", resource)?,
        scope_metrics: f.list("scopeMetrics", |f| {
            Ok(ScopeMetrics {
                scope: f.message("scope", scope)?,
                metrics: f.list("metrics", metric)?,
                schema_url: f.text("schemaUrl")?,
            })
        })?,
        schema_url: f.text("schemaUrl")?,
    })
}

fn metric(f: &Fields<'_>) -> Read<Metric> {
    let temporality = |f: &Fields<'_>| f.i32("aggregationTemporality");
    let gauge = f.message("gauge", |f| {
        Ok(Gauge {
            data_points: f.list("dataPoints", number)?,
        })
    })?;
    let sum = f.message("sum", |f| {
        Ok(Sum {
            data_points: f.list("dataPoints", number)?,
            aggregation_temporality: temporality(f)?,
            is_monotonic: f.find_bool("isMonotonic")?.unwrap_or_default(),
        })
    })?;
    let histogram = f.message("histogram", |f| {
        Ok(Histogram {
            data_points: f.list("dataPoints", histogram)?,
            aggregation_temporality: temporality(f)?,
        })
    })?;
    let exponential = f.message("exponentialHistogram", |f| {
        Ok(ExponentialHistogram {
            data_points: f.list("dataPoints", exponential)?,
            aggregation_temporality: temporality(f)?,
        })
    })?;
    let summary = f.message("summary", |f| {
        Ok(Summary {
            data_points: f.list("dataPoints", summary)?,
        })
    })?;
    Ok(Metric {
        name: f.text("name")?,
        description: f.text("description")?,
        unit: f.text("unit")?,
        data: (gauge.map(Data::Gauge))
            .or(sum.map(Data::Sum))
            .or(histogram.map(Data::Histogram))
            .or(exponential.map(Data::ExponentialHistogram))
            .or(summary.map(Data::Summary)),
        ..Metric::default()
    })
}

fn number(f: &Fields<'_>) -> Read<NumberDataPoint> {
    let double = f.find_f64("asDouble")?.map(Number::AsDouble);
    Ok(NumberDataPoint {
        attributes: attributes(f)?,
        start_time_unix_nano: f.u64("startTimeUnixNano")?,
        time_unix_nano: f.u64("timeUnixNano")?,
        flags: f.u32("flags")?,
        value: double.or(f.find_i64("asInt")?.map(Number::AsInt)),
        ..NumberDataPoint::default()
    })
}

fn histogram(f: &Fields<'_>) -> Read<HistogramDataPoint> {
    Ok(HistogramDataPoint {
        attributes: attributes(f)?,
        start_time_unix_nano: f.u64("startTimeUnixNano")?,
        time_unix_nano: f.u64("timeUnixNano")?,
        count: f.u64("count")?,
        sum: f.find_f64("sum")?,
        bucket_counts: f.u64s("bucketCounts")?,
        explicit_bounds: f.f64s("explicitBounds")?,
        flags: f.u32("flags")?,
        min: f.find_f64("min")?,
        max: f.find_f64("max")?,
        ..HistogramDataPoint::default()
    })
}

fn exponential(f: &Fields<'_>) -> Read<ExponentialHistogramDataPoint> {
    let buckets = |f: &Fields<'_>| {
        Ok(Buckets {
            offset: f.i32("offset")?,
            bucket_counts: f.u64s("bucketCounts")?,
        })
    };
    Ok(ExponentialHistogramDataPoint {
        attributes: attributes(f)?,
        start_time_unix_nano: f.u64("startTimeUnixNano")?,
        time_unix_nano: f.u64("timeUnixNano")?,
        count: f.u64("count")?,
        sum: f.find_f64("sum")?,
        scale: f.i32("scale")?,
        zero_count: f.u64("zeroCount")?,
        positive: f.message("positive", buckets)?,
        negative: f.message("negative", buckets)?,
        flags: f.u32("flags")?,
        min: f.find_f64("min")?,
        max: f.find_f64("max")?,
        zero_threshold: f.find_f64("zeroThreshold")?.unwrap_or_default(),
        ..ExponentialHistogramDataPoint::default()
    })
}

fn summary(f: &Fields<'_>) -> Read<SummaryDataPoint> {
    Ok(SummaryDataPoint {
        attributes: attributes(f)?,
        start_time_unix_nano: f.u64("startTimeUnixNano")?,
        time_unix_nano: f.u64("timeUnixNano")?,
        count: f.u64("count")?,
        sum: f.find_f64("sum")?.unwrap_or_default(),
        quantile_values: f.list("quantileValues", |f| {
            Ok(ValueAtQuantile {
                quantile: f.find_f64("quantile")?.unwrap_or_default(),
                value: f.find_f64("value")?.unwrap_or_default(),
            })
        })?,
        flags: f.u32("flags")?,
    })
}

#[cfg(test)]
mod tests;
