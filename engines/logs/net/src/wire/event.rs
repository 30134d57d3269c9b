//! The messages of Vector's `event.proto` and `vector.proto` (0.58), so that sinks and sources of both understand each
//! other. Deprecated fields of metadata are read by nobody and left out; sketches are skipped.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

use super::Timestamp;

/// Events that are sent together.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushEventsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) events: Vec<EventWrapper>,
}

/// They arrived.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushEventsResponse {}

/// 0 if it does.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

/// One event.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventWrapper {
    #[prost(oneof = "Event", tags = "1, 2, 3")]
    pub(crate) event: Option<Event>,
}

/// What it is.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Event {
    #[prost(message, tag = "1")]
    Log(Log),
    #[prost(message, tag = "2")]
    Metric(Metric),
    #[prost(message, tag = "3")]
    Trace(Trace),
}

/// A log event; `fields` is how older senders wrote it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Log {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) fields: BTreeMap<String, Value>,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub(crate) metadata: Option<Value>,
    #[prost(message, optional, tag = "4")]
    pub(crate) metadata_full: Option<Metadata>,
}

/// A trace.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Trace {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) fields: BTreeMap<String, Value>,
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub(crate) metadata_full: Option<Metadata>,
}

/// An object.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueMap {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) fields: BTreeMap<String, Value>,
}

/// An array.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueArray {
    #[prost(message, repeated, tag = "1")]
    pub(crate) items: Vec<Value>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 4, 5, 6, 7, 8, 9")]
    pub(crate) kind: Option<Kind>,
}

/// What it is.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Kind {
    #[prost(bytes = "bytes", tag = "1")]
    RawBytes(bytes::Bytes),
    #[prost(message, tag = "2")]
    Timestamp(Timestamp),
    #[prost(int64, tag = "4")]
    Integer(i64),
    #[prost(double, tag = "5")]
    Float(f64),
    #[prost(bool, tag = "6")]
    Boolean(bool),
    #[prost(message, tag = "7")]
    Map(ValueMap),
    #[prost(message, tag = "8")]
    Array(ValueArray),
    #[prost(int32, tag = "9")]
    Null(i32),
}

/// Secrets by name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Secrets {
    #[prost(btree_map = "string, string", tag = "1")]
    pub(crate) entries: BTreeMap<String, String>,
}

/// What is known of an event beside its content.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(crate) value: Option<Value>,
    #[prost(string, optional, tag = "3")]
    pub(crate) source_id: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) source_type: Option<String>,
    #[prost(message, optional, tag = "6")]
    pub(crate) secrets: Option<Secrets>,
}

/// A metric.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) timestamp: Option<Timestamp>,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(crate) tags_v1: BTreeMap<String, String>,
    #[prost(btree_map = "string, message", tag = "20")]
    pub(crate) tags_v2: BTreeMap<String, TagValues>,
    #[prost(enumeration = "MetricKind", tag = "4")]
    pub(crate) kind: i32,
    #[prost(oneof = "MetricValue", tags = "5, 6, 7, 8, 9, 10, 12, 13, 14, 16, 17")]
    pub(crate) value: Option<MetricValue>,
    #[prost(string, tag = "11")]
    pub(crate) namespace: String,
    #[prost(uint32, tag = "18")]
    pub(crate) interval_ms: u32,
    #[prost(message, optional, tag = "21")]
    pub(crate) metadata_full: Option<Metadata>,
}

/// Whether a metric is a change or a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum MetricKind {
    Incremental = 0,
    Absolute = 1,
}

/// A metric's value; of several versions the last is written.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum MetricValue {
    #[prost(message, tag = "5")]
    Counter(Number),
    #[prost(message, tag = "6")]
    Gauge(Number),
    #[prost(message, tag = "7")]
    Set(Set),
    #[prost(message, tag = "8")]
    Distribution1(Distribution1),
    #[prost(message, tag = "9")]
    AggregatedHistogram1(AggregatedHistogram1),
    #[prost(message, tag = "10")]
    AggregatedSummary1(AggregatedSummary1),
    #[prost(message, tag = "12")]
    Distribution2(Distribution2),
    #[prost(message, tag = "13")]
    AggregatedHistogram2(AggregatedHistogram2),
    #[prost(message, tag = "14")]
    AggregatedSummary2(AggregatedSummary2),
    #[prost(message, tag = "16")]
    AggregatedHistogram3(AggregatedHistogram3),
    #[prost(message, tag = "17")]
    AggregatedSummary3(AggregatedSummary3),
}

/// The values of a tag.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TagValues {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<TagValue>,
}

/// A value, or none for a bare tag.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TagValue {
    #[prost(string, optional, tag = "1")]
    pub(crate) value: Option<String>,
}

/// A counter or gauge.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
}

/// Different strings.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Set {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

/// Samples, the older way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Distribution1 {
    #[prost(double, repeated, tag = "1")]
    pub(crate) values: Vec<f64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) sample_rates: Vec<u32>,
    #[prost(int32, tag = "3")]
    pub(crate) statistic: i32,
}

/// Samples; the statistic is 0 for a histogram, 1 for a summary.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Distribution2 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) samples: Vec<Sample>,
    #[prost(int32, tag = "2")]
    pub(crate) statistic: i32,
}

/// A value and how often it was seen.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    #[prost(uint32, tag = "2")]
    pub(crate) rate: u32,
}

/// Buckets, the oldest way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedHistogram1 {
    #[prost(double, repeated, tag = "1")]
    pub(crate) buckets: Vec<f64>,
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) counts: Vec<u32>,
    #[prost(uint32, tag = "3")]
    pub(crate) count: u32,
    #[prost(double, tag = "4")]
    pub(crate) sum: f64,
}

/// Buckets, the older way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedHistogram2 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) buckets: Vec<Bucket2>,
    #[prost(uint32, tag = "2")]
    pub(crate) count: u32,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
}

/// Buckets.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedHistogram3 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) buckets: Vec<Bucket3>,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
}

/// A bucket, the older way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket2 {
    #[prost(double, tag = "1")]
    pub(crate) upper_limit: f64,
    #[prost(uint32, tag = "2")]
    pub(crate) count: u32,
}

/// A bucket.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket3 {
    #[prost(double, tag = "1")]
    pub(crate) upper_limit: f64,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
}

/// Quantiles, the oldest way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedSummary1 {
    #[prost(double, repeated, tag = "1")]
    pub(crate) quantiles: Vec<f64>,
    #[prost(double, repeated, tag = "2")]
    pub(crate) values: Vec<f64>,
    #[prost(uint32, tag = "3")]
    pub(crate) count: u32,
    #[prost(double, tag = "4")]
    pub(crate) sum: f64,
}

/// Quantiles, the older way.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedSummary2 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) quantiles: Vec<Quantile>,
    #[prost(uint32, tag = "2")]
    pub(crate) count: u32,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
}

/// Quantiles.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregatedSummary3 {
    #[prost(message, repeated, tag = "1")]
    pub(crate) quantiles: Vec<Quantile>,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
    #[prost(double, tag = "3")]
    pub(crate) sum: f64,
}

/// A quantile.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Quantile {
    #[prost(double, tag = "1")]
    pub(crate) quantile: f64,
    #[prost(double, tag = "2")]
    pub(crate) value: f64,
}
