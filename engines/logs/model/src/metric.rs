//! Metrics, in Vector's model: a series (name, namespace, tags) and one value of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::Finalizers;

/// The value of a tag. Most tags have one; `Many` keeps the order and the bare tags of sources that repeat names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TagValue {
    /// A name without a value.
    Bare,
    /// One value.
    One(String),
    /// Several values of one name; `None` is a bare one.
    Many(Vec<Option<String>>),
}

/// Tags by name.
pub type Tags = BTreeMap<String, TagValue>;

/// Whether a value replaces the one before it or adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A change since the value before.
    Incremental,
    /// The state itself.
    Absolute,
}

/// How the samples of a distribution are to be summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// As counts in buckets.
    Histogram,
    /// As quantiles.
    Summary,
}

/// A value seen `rate` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// How often it was seen.
    pub rate: u32,
}

/// A bucket of a histogram; its count is its own, not the running sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The greatest value that falls into it.
    pub upper_limit: f64,
    /// How many did.
    pub count: u64,
}

/// A quantile of a summary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// Which, 0 to 1.
    pub quantile: f64,
    /// Its value.
    pub value: f64,
}

/// A metric's value.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// Something that only grows.
    Counter {
        /// The count or the increment.
        value: f64,
    },
    /// Something that goes up and down.
    Gauge {
        /// The reading or the change.
        value: f64,
    },
    /// Different strings.
    Set {
        /// The strings.
        values: BTreeSet<String>,
    },
    /// Samples as they were seen.
    Distribution {
        /// The samples.
        samples: Vec<Sample>,
        /// What they are for.
        statistic: Statistic,
    },
    /// Counts in buckets.
    AggregatedHistogram {
        /// The buckets, by rising limit.
        buckets: Vec<Bucket>,
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
    },
    /// Quantiles.
    AggregatedSummary {
        /// The quantiles.
        quantiles: Vec<Quantile>,
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// One value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The name without the namespace.
    pub name: String,
    /// The namespace, written before the name with `_`.
    pub namespace: Option<String>,
    /// The tags.
    pub tags: Tags,
    /// When it was measured.
    pub timestamp: Option<DateTime<Utc>>,
    /// Over how long it was measured, in milliseconds.
    pub interval_ms: Option<u32>,
    /// Absolute or incremental.
    pub kind: MetricKind,
    /// The value.
    pub value: MetricValue,
}

/// Metrics that flow together.
#[derive(Debug, Clone, Default)]
pub struct MetricBatch {
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// Who waits to hear of them.
    pub finalizers: Finalizers,
}
