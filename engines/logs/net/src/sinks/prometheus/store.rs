//! The state of all series.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use qd_logs_model::{Bucket, Metric, MetricKind, MetricValue, Quantile, Sample, TagValue};
use tokio::time::Instant;

/// Series at once, at the most.
const MAX_SERIES: usize = 1_000_000;

/// What a series is of. Histograms with other buckets and summaries with other quantiles are other series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Counter,
    Gauge,
    Set,
    Histogram(Vec<u64>),
    Summary(Vec<u64>),
    Sketch,
}

/// A series' name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) tags: Vec<(String, Vec<Option<String>>)>,
    pub(super) shape: Shape,
}

/// The value of a series now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Plain(MetricValue),
    Sketch(Sketch),
}

/// A series' value, with the time it is of and when it came.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) state: State,
    pub(super) timestamp: Option<DateTime<Utc>>,
    seen: Instant,
}

/// Counts of values in buckets whose limits grow by 2 %, so that a quantile is at most 1 % off.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sketch {
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    zeros: u64,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Sketch {
    const GROWTH: f64 = 1.02;

    fn index(value: f64) -> i32 {
        // The logarithms of all finite numbers are below 40,000 here; the cast cuts the rest.
        (value.ln() / Self::GROWTH.ln()).ceil() as i32
    }

    fn middle(index: i32) -> f64 {
        Self::GROWTH.powi(index) * 2.0 / (1.0 + Self::GROWTH)
    }

    fn add(&mut self, sample: &Sample) {
        let n = u64::from(sample.rate);
        if sample.value.is_nan() || n == 0 {
            return;
        }
        self.count += n;
        self.sum += sample.value * n as f64;
        if sample.value > 0.0 {
            *self.positive.entry(Self::index(sample.value)).or_default() += n;
        } else if sample.value < 0.0 {
            *self.negative.entry(Self::index(-sample.value)).or_default() += n;
        } else {
            self.zeros += n;
        }
    }

    /// The value below which a part `q` of all values lies; `None` without values.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.count.saturating_sub(1) as f64).round() as u64;
        let negative = self.negative.iter().rev().map(|(i, n)| (-Self::middle(*i), *n));
        let positive = self.positive.iter().map(|(i, n)| (Self::middle(*i), *n));
        let mut below = 0;
        for (value, n) in negative.chain([(0.0, self.zeros)]).chain(positive) {
            below += n;
            if rank < below {
                return Some(value);
            }
        }
        None
    }
}

/// All series in the order in which they first came.
pub(super) struct Store {
    series: IndexMap<Series, Current>,
    buckets: Vec<f64>,
    as_summaries: bool,
}

impl Store {
    /// A store that makes histograms of distributions with these buckets, rising, or summaries.
    pub(super) fn new(buckets: Vec<f64>, as_summaries: bool) -> Store {
        Store {
            series: IndexMap::new(),
            buckets,
            as_summaries,
        }
    }

    /// How many series.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// The series and their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Series, &Current)> {
        self.series.iter()
    }

    /// Forgets the series that have not come for `period`.
    pub(super) fn expire(&mut self, now: Instant, period: Duration) {
        self.series.retain(|_, c| now.duration_since(c.seen) < period);
    }

    /// Adds a metric; false if there are too many series for it.
    pub(super) fn add(&mut self, metric: Metric, now: Instant) -> bool {
        let Metric {
            name,
            namespace,
            tags,
            timestamp,
            kind,
            value,
            ..
        } = metric;
        let state = match value {
            MetricValue::Distribution { samples, .. } => match self.as_summaries {
                true => {
                    let mut sketch = Sketch::default();
                    samples.iter().for_each(|s| sketch.add(s));
                    State::Sketch(sketch)
                }
                false => State::Plain(self.histogram(&samples)),
            },
            value => State::Plain(value),
        };
        let series = Series {
            namespace,
            name,
            tags: tags.into_iter().map(|(name, value)| (name, values(value))).collect(),
            shape: shape(&state),
        };
        if let Some(current) = self.series.get_mut(&series) {
            current.state = match kind {
                MetricKind::Absolute => state,
                MetricKind::Incremental => sum(&current.state, state),
            };
            current.timestamp = timestamp;
            current.seen = now;
            return true;
        }
        if self.series.len() >= MAX_SERIES {
            return false;
        }
        let current = Current {
            state,
            timestamp,
            seen: now,
        };
        self.series.insert(series, current);
        true
    }

    fn histogram(&self, samples: &[Sample]) -> MetricValue {
        let mut buckets: Vec<Bucket> = self
            .buckets
            .iter()
            .map(|l| Bucket {
                upper_limit: *l,
                count: 0,
            })
            .collect();
        let (mut count, mut sum) = (0, 0.0);
        for s in samples {
            if let Some(bucket) = buckets.iter_mut().find(|b| s.value <= b.upper_limit) {
                bucket.count += u64::from(s.rate);
            }
            count += u64::from(s.rate);
            sum += s.value * f64::from(s.rate);
        }
        MetricValue::AggregatedHistogram { buckets, count, sum }
    }
}

fn values(tag: TagValue) -> Vec<Option<String>> {
    match tag {
        TagValue::Bare => vec![None],
        TagValue::One(value) => vec![Some(value)],
        TagValue::Many(all) => all,
    }
}

fn shape(state: &State) -> Shape {
    match state {
        State::Sketch(_) => Shape::Sketch,
        State::Plain(value) => match value {
            MetricValue::Counter { .. } => Shape::Counter,
            MetricValue::Gauge { .. } => Shape::Gauge,
            MetricValue::Set { .. } => Shape::Set,
            MetricValue::AggregatedHistogram { buckets, .. } => {
                Shape::Histogram(buckets.iter().map(|b| b.upper_limit.to_bits()).collect())
            }
            MetricValue::AggregatedSummary { quantiles, .. } => {
                Shape::Summary(quantiles.iter().map(|q| q.quantile.to_bits()).collect())
            }
            MetricValue::Distribution { .. } => Shape::Sketch,
        },
    }
}

/// An increment on top of a state of the same shape. Summaries can't be added: the newer one counts.
fn sum(old: &State, new: State) -> State {
    use MetricValue as V;
    match (old, new) {
        (State::Sketch(a), State::Sketch(mut b)) => {
            for (i, n) in &a.positive {
                *b.positive.entry(*i).or_default() += n;
            }
            for (i, n) in &a.negative {
                *b.negative.entry(*i).or_default() += n;
            }
            b.zeros += a.zeros;
            b.count += a.count;
            b.sum += a.sum;
            State::Sketch(b)
        }
        (State::Plain(old), State::Plain(new)) => State::Plain(match (old, new) {
            (V::Counter { value: a }, V::Counter { value: b }) => V::Counter { value: a + b },
            (V::Gauge { value: a }, V::Gauge { value: b }) => V::Gauge { value: a + b },
            (V::Set { values: a }, V::Set { values: mut b }) => {
                b.extend(a.iter().cloned());
                V::Set { values: b }
            }
            (
                V::AggregatedHistogram {
                    buckets: a,
                    count: n,
                    sum: s,
                },
                V::AggregatedHistogram {
                    mut buckets,
                    count,
                    sum,
                },
            ) => {
                for (b, a) in buckets.iter_mut().zip(a) {
                    b.count += a.count;
                }
                V::AggregatedHistogram {
                    buckets,
                    count: count + n,
                    sum: sum + s,
                }
            }
            (_, new) => new,
        }),
        (_, new) => new,
    }
}

/// A summary's quantiles of a sketch.
pub(super) fn quantiles(sketch: &Sketch, wanted: &[f64]) -> Vec<Quantile> {
    wanted
        .iter()
        .map(|q| Quantile {
            quantile: *q,
            value: sketch.quantile(*q).unwrap_or(0.0),
        })
        .collect()
}
