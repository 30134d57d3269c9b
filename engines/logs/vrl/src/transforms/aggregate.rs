//! `aggregate`: one value a series and interval.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    time::{Duration, Instant},
};

use qd_logs_model::{
    Batch, BuildError, Context, EventKind, Finalizers, InputKinds, Metric, MetricKind, MetricValue, OutputPort,
    Telemetry, Transform, TransformConfig, TransformOut,
};

use super::metrics;

/// The configuration of `aggregate`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    #[serde(default = "ten_seconds")]
    interval_ms: u64,
    #[serde(default)]
    mode: Mode,
}

fn ten_seconds() -> u64 {
    10_000
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
enum Mode {
    #[default]
    Auto,
    Sum,
    Latest,
    Count,
    Diff,
    Max,
    Min,
    Mean,
    Stdev,
}

impl TransformConfig for AggregateConfig {
    fn input(&self) -> InputKinds {
        InputKinds::METRICS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Metric)]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        if self.interval_ms == 0 {
            return Err(BuildError::of("interval_ms", "`interval_ms` must be greater than zero"));
        }
        Ok(Box::new(Aggregate {
            interval: Duration::from_millis(self.interval_ms),
            mode: self.mode,
            now: HashMap::new(),
            before: HashMap::new(),
            many: HashMap::new(),
            finalizers: Finalizers::none(),
            telemetry: cx.telemetry,
        }))
    }
}

/// A metric's name, namespace and tags: what makes two values ones of the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Series {
    name: String,
    namespace: Option<String>,
    tags: qd_logs_model::Tags,
}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.namespace.hash(state);
        // Values of tags are compared, and mostly differ in names already.
        for (k, v) in &self.tags {
            k.hash(state);
            if let qd_logs_model::TagValue::One(v) = v {
                v.hash(state);
            }
        }
    }
}

struct Aggregate {
    interval: Duration,
    mode: Mode,
    now: HashMap<Series, Metric>,
    before: HashMap<Series, Metric>,
    many: HashMap<Series, Vec<Metric>>,
    finalizers: Finalizers,
    telemetry: Telemetry,
}

/// Adds `new` to a value of the same type; false if they can't be added.
fn add(old: &mut MetricValue, new: &MetricValue) -> bool {
    match (old, new) {
        (MetricValue::Counter { value: a }, MetricValue::Counter { value: b })
        | (MetricValue::Gauge { value: a }, MetricValue::Gauge { value: b }) => *a += b,
        (MetricValue::Set { values: a }, MetricValue::Set { values: b }) => a.extend(b.iter().cloned()),
        (
            MetricValue::Distribution {
                samples: a,
                statistic: x,
            },
            MetricValue::Distribution {
                samples: b,
                statistic: y,
            },
        ) if x == y => a.extend_from_slice(b),
        (
            MetricValue::AggregatedHistogram {
                buckets: a,
                count: ca,
                sum: sa,
            },
            MetricValue::AggregatedHistogram {
                buckets: b,
                count: cb,
                sum: sb,
            },
        ) if a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.upper_limit == y.upper_limit) => {
            for (x, y) in a.iter_mut().zip(b) {
                x.count += y.count;
            }
            *ca += cb;
            *sa += sb;
        }
        _ => return false,
    }
    true
}

/// Takes `old` from a value of the same type; false if that can't be.
fn subtract(new: &mut MetricValue, old: &MetricValue) -> bool {
    match (new, old) {
        // A counter that went back was reset: its value is the change.
        (MetricValue::Counter { value: a }, MetricValue::Counter { value: b }) if *a >= *b => *a -= b,
        (MetricValue::Counter { .. }, MetricValue::Counter { .. }) => return false,
        (MetricValue::Gauge { value: a }, MetricValue::Gauge { value: b }) => *a -= b,
        (MetricValue::Set { values: a }, MetricValue::Set { values: b }) => a.retain(|v| !b.contains(v)),
        (
            MetricValue::Distribution {
                samples: a,
                statistic: x,
            },
            MetricValue::Distribution {
                samples: b,
                statistic: y,
            },
        ) if x == y => {
            // Each sample takes one like it away.
            let mut gone: Vec<_> = b.clone();
            a.retain(|s| match gone.iter().position(|g| g == s) {
                Some(i) => {
                    gone.swap_remove(i);
                    false
                }
                None => true,
            });
        }
        (
            MetricValue::AggregatedHistogram {
                buckets: a,
                count: ca,
                sum: sa,
            },
            MetricValue::AggregatedHistogram {
                buckets: b,
                count: cb,
                sum: sb,
            },
        ) if *ca >= *cb
            && a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(x, y)| x.upper_limit == y.upper_limit && x.count >= y.count) =>
        {
            for (x, y) in a.iter_mut().zip(b) {
                x.count -= y.count;
            }
            *ca -= cb;
            *sa -= sb;
        }
        _ => return false,
    }
    true
}

fn gauge(m: &Metric) -> Option<f64> {
    match m.value {
        MetricValue::Gauge { value } => Some(value),
        _ => None,
    }
}

impl Aggregate {
    /// Takes a metric up, or gives it back when this mode is not for its kind.
    fn record(&mut self, metric: Metric) -> Option<Metric> {
        use MetricKind::{Absolute, Incremental};
        let series = Series {
            name: metric.name.clone(),
            namespace: metric.namespace.clone(),
            tags: metric.tags.clone(),
        };
        match (self.mode, metric.kind) {
            (Mode::Sum, Absolute)
            | (Mode::Latest | Mode::Diff | Mode::Max | Mode::Min | Mode::Mean | Mode::Stdev, Incremental) => {
                return Some(metric);
            }
            (Mode::Auto | Mode::Sum, Incremental) => match self.now.get_mut(&series) {
                Some(old) => {
                    if old.kind == Incremental && add(&mut old.value, &metric.value) {
                        old.timestamp = metric.timestamp.or(old.timestamp);
                    } else {
                        self.telemetry.counter("aggregate_failed_updates").add(1);
                        *old = metric;
                    }
                }
                None => {
                    self.now.insert(series, metric);
                }
            },
            (Mode::Auto | Mode::Latest | Mode::Diff, Absolute) => {
                self.now.insert(series, metric);
            }
            (Mode::Count, _) => {
                let one = MetricValue::Counter { value: 1.0 };
                match self.now.get_mut(&series) {
                    Some(old) if old.kind == metric.kind => {
                        let _counters_add = add(&mut old.value, &one);
                        old.timestamp = metric.timestamp.or(old.timestamp);
                    }
                    Some(_) => self.telemetry.counter("aggregate_failed_updates").add(1),
                    None => {
                        self.now.insert(series, Metric { value: one, ..metric });
                    }
                }
            }
            (Mode::Max | Mode::Min, Absolute) => match self.now.get_mut(&series) {
                Some(old) if old.kind == metric.kind => {
                    if let (Some(a), Some(b)) = (gauge(old), gauge(&metric)) {
                        let better = if self.mode == Mode::Max { b > a } else { b < a };
                        if better {
                            *old = metric;
                        }
                    }
                }
                Some(old) => {
                    self.telemetry.counter("aggregate_failed_updates").add(1);
                    *old = metric;
                }
                None => {
                    self.now.insert(series, metric);
                }
            },
            (Mode::Mean | Mode::Stdev, Absolute) => {
                if gauge(&metric).is_some() {
                    self.many.entry(series).or_default().push(metric);
                }
            }
        }
        self.telemetry.counter("aggregate_events_recorded_total").add(1);
        None
    }

    fn flush(&mut self, out: &mut TransformOut) {
        let now = std::mem::take(&mut self.now);
        let mut all = Vec::with_capacity(now.len() + self.many.len());
        for (series, metric) in &now {
            let mut metric = metric.clone();
            if self.mode == Mode::Diff
                && let Some(old) = self.before.get(series)
                && metric.kind == old.kind
                && !subtract(&mut metric.value, &old.value)
            {
                self.telemetry.counter("aggregate_failed_updates").add(1);
            }
            all.push(metric);
        }
        for (_, entries) in std::mem::take(&mut self.many) {
            let values: Vec<f64> = entries.iter().filter_map(gauge).collect();
            let Some(mut metric) = entries.into_iter().next_back() else {
                continue;
            };
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let value = match self.mode {
                Mode::Stdev => (values.iter().map(|v| (mean - v) * (mean - v)).sum::<f64>() / n).sqrt(),
                _ => mean,
            };
            metric.value = MetricValue::Gauge { value };
            all.push(metric);
        }
        if self.mode == Mode::Diff {
            self.before = now;
        }
        self.telemetry.counter("aggregate_flushes_total").add(1);
        out.push(metrics(all, self.finalizers.take()));
    }
}

impl Transform for Aggregate {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Metrics(b) = batch else {
            out.push(batch);
            return;
        };
        let n = b.metrics.len();
        let through: Vec<Metric> = b.metrics.into_iter().filter_map(|m| self.record(m)).collect();
        if through.len() < n {
            self.finalizers.merge(b.finalizers.clone());
        }
        out.push(metrics(through, b.finalizers));
    }

    fn tick_every(&self) -> Option<Duration> {
        Some(self.interval)
    }

    fn tick(&mut self, _now: Instant, out: &mut TransformOut) {
        self.flush(out);
    }

    fn finish(&mut self, out: &mut TransformOut) {
        self.flush(out);
    }
}
