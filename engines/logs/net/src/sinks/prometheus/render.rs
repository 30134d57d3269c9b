//! The page: Prometheus' text format 0.0.4.

use std::fmt::Write;

use indexmap::IndexMap;
use qd_logs_model::MetricValue;

use super::store::{Current, Series, State, Store, quantiles};

/// All series, those of one name together.
pub(super) fn page(store: &Store, default_namespace: Option<&str>, wanted: &[f64]) -> String {
    let mut families: IndexMap<(String, &'static str), String> = IndexMap::new();
    for (series, current) in store.iter() {
        let name = match series.namespace.as_deref().or(default_namespace) {
            Some(namespace) => format!("{namespace}_{}", series.name),
            None => series.name.clone(),
        };
        let rows = families.entry((name.clone(), kind(&current.state))).or_default();
        // Writing to a string never fails.
        let _written = write_rows(rows, &name, series, current, wanted);
    }
    let mut page = String::new();
    for ((name, kind), rows) in families {
        let _written = write!(page, "# HELP {name} {name}\n# TYPE {name} {kind}\n{rows}");
    }
    page
}

fn kind(state: &State) -> &'static str {
    match state {
        State::Sketch(_) => "summary",
        State::Plain(value) => match value {
            MetricValue::Counter { .. } => "counter",
            MetricValue::Gauge { .. } | MetricValue::Set { .. } => "gauge",
            MetricValue::AggregatedHistogram { .. } | MetricValue::Distribution { .. } => "histogram",
            MetricValue::AggregatedSummary { .. } => "summary",
        },
    }
}

fn write_rows(out: &mut String, name: &str, series: &Series, current: &Current, wanted: &[f64]) -> std::fmt::Result {
    let mut row = |suffix: &str, extra: Option<(&str, f64)>, value: f64| -> std::fmt::Result {
        out.push_str(name);
        out.push_str(suffix);
        labels(out, series, extra)?;
        write!(out, " {}", number(value))?;
        if let Some(t) = current.timestamp {
            write!(out, " {}", t.timestamp_millis())?;
        }
        out.push('\n');
        Ok(())
    };
    match &current.state {
        State::Sketch(sketch) => {
            for q in quantiles(sketch, wanted) {
                row("", Some(("quantile", q.quantile)), q.value)?;
            }
            row("_sum", None, sketch.sum)?;
            row("_count", None, sketch.count as f64)
        }
        State::Plain(value) => match value {
            MetricValue::Counter { value } | MetricValue::Gauge { value } => row("", None, *value),
            MetricValue::Set { values } => row("", None, values.len() as f64),
            MetricValue::AggregatedHistogram { buckets, count, sum } => {
                let mut below = 0;
                for b in buckets.iter().filter(|b| b.upper_limit.is_finite()) {
                    below += b.count;
                    row("_bucket", Some(("le", b.upper_limit)), below as f64)?;
                }
                row("_bucket", Some(("le", f64::INFINITY)), *count as f64)?;
                row("_sum", None, *sum)?;
                row("_count", None, *count as f64)
            }
            MetricValue::AggregatedSummary { quantiles, count, sum } => {
                for q in quantiles {
                    row("", Some(("quantile", q.quantile)), q.value)?;
                }
                row("_sum", None, *sum)?;
                row("_count", None, *count as f64)
            }
            MetricValue::Distribution { .. } => Ok(()),
        },
    }
}

fn number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v => v.to_string(),
    }
}

fn labels(out: &mut String, series: &Series, extra: Option<(&str, f64)>) -> std::fmt::Result {
    let mut first = true;
    let mut label = |name: &str, value: &str| -> std::fmt::Result {
        out.push(if std::mem::replace(&mut first, false) { '{' } else { ',' });
        write!(out, "{name}=\"")?;
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    };
    for (name, values) in &series.tags {
        // Prometheus has one value a label: the last.
        if let Some(value) = values.iter().rev().flatten().next() {
            label(name, value)?;
        }
    }
    if let Some((name, value)) = extra {
        label(name, &number(value))?;
    }
    if !first {
        out.push('}');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use qd_logs_model::{Metric, MetricKind, Sample, Statistic, TagValue};
    use tokio::time::Instant;

    use super::*;

    fn metric(name: &str, kind: MetricKind, value: MetricValue) -> Metric {
        Metric {
            name: name.to_owned(),
            namespace: None,
            tags: BTreeMap::from([("a".to_owned(), TagValue::One("x\"\\\n".to_owned()))]),
            timestamp: None,
            interval_ms: None,
            kind,
            value,
        }
    }

    #[test]
    fn increments_add_up_and_states_replace() {
        let mut store = Store::new(vec![1.0, 2.0], false);
        let now = Instant::now();
        let count = |v| MetricValue::Counter { value: v };
        for v in [1.0, 2.5] {
            store.add(metric("hits", MetricKind::Incremental, count(v)), now);
            store.add(
                metric("level", MetricKind::Absolute, MetricValue::Gauge { value: v }),
                now,
            );
        }
        let page = page(&store, Some("ns"), &[]);
        let label = "{a=\"x\\\"\\\\\\n\"}";
        let wanted = format!(
            "# HELP ns_hits ns_hits\n# TYPE ns_hits counter\nns_hits{label} 3.5\n# HELP ns_level ns_level\n# TYPE ns_level \
             gauge\nns_level{label} 2.5\n"
        );
        assert_eq!(page, wanted);
    }

    fn samples() -> MetricValue {
        let sample = |value, rate| Sample { value, rate };
        MetricValue::Distribution {
            samples: vec![sample(0.5, 2), sample(1.5, 1), sample(9.0, 1)],
            statistic: Statistic::Histogram,
        }
    }

    #[test]
    fn buckets_are_running_sums() {
        let mut store = Store::new(vec![1.0, 2.0], false);
        store.add(metric("d", MetricKind::Incremental, samples()), Instant::now());
        let page = page(&store, None, &[]).replace("a=\"x\\\"\\\\\\n\"", "L");
        let wanted = "# HELP d d\n# TYPE d histogram\nd_bucket{L,le=\"1\"} 2\nd_bucket{L,le=\"2\"} 3\n\
                      d_bucket{L,le=\"+Inf\"} 4\nd_sum{L} 11.5\nd_count{L} 4\n";
        assert_eq!(page, wanted);
    }

    #[test]
    fn quantiles_are_near() {
        let mut store = Store::new(Vec::new(), true);
        for i in 1..=1000 {
            let value = MetricValue::Distribution {
                samples: vec![Sample {
                    value: f64::from(i),
                    rate: 1,
                }],
                statistic: Statistic::Summary,
            };
            store.add(metric("d", MetricKind::Incremental, value), Instant::now());
        }
        let (_, current) = store.iter().next().unwrap();
        let State::Sketch(sketch) = &current.state else {
            panic!("no sketch");
        };
        assert_eq!(sketch.count, 1000);
        for (q, wanted) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = sketch.quantile(q).unwrap();
            assert!((got - wanted).abs() <= wanted * 0.012, "{q}: {got}");
        }
    }
}
