//! `sample`: lets a part of the events through.

use std::{collections::HashMap, num::NonZeroU64};

use qd_logs_codecs::{EventRef, Template};
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, InputKinds, LogBatch, OutputPort, Telemetry, Transform, TransformConfig, TransformOut,
    Value, telemetry::Intent,
};
use vrl::path::{OwnedTargetPath, OwnedValuePath, parse_value_path};

use super::{condition, events, keep, target_path, value_at};
use crate::Condition;

/// Groups that are told apart at the most; beyond, all start anew.
const MAX_GROUPS: usize = 100_000;

/// The configuration of `sample`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    rate: Option<u64>,
    ratio: Option<f64>,
    ratio_field: Option<String>,
    rate_field: Option<String>,
    key_field: Option<String>,
    #[serde(default = "sample_rate")]
    sample_rate_key: Option<String>,
    group_by: Option<String>,
    exclude: Option<Node>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional key")]
fn sample_rate() -> Option<String> {
    Some("sample_rate".to_owned())
}

impl SampleConfig {
    fn mode(&self) -> Result<Mode, BuildError> {
        if self.ratio_field.is_some() && self.rate_field.is_some() {
            return Err(BuildError::of(
                "rate_field",
                "Only one value can be provided for either 'ratio_field' or 'rate_field', but not both",
            ));
        }
        if self.key_field.is_some() && (self.ratio_field.is_some() || self.rate_field.is_some()) {
            return Err(BuildError::of(
                "key_field",
                "'key_field' cannot be combined with 'ratio_field' or 'rate_field' because dynamic values can vary per event \
                 and break key-based coherence",
            ));
        }
        match (self.rate, self.ratio) {
            (Some(_), Some(_)) => Err(BuildError::of(
                "ratio",
                "Only one value can be provided for either 'rate' or 'ratio', but not both",
            )),
            (None, None) => Err(BuildError::new(
                "Exactly one value must be provided for either 'rate' or 'ratio' to configure static sampling",
            )),
            (Some(rate), None) => NonZeroU64::new(rate)
                .map(Mode::Rate)
                .ok_or_else(|| BuildError::of("rate", "Only non-zero numbers are allowed values for `rate`")),
            (None, Some(ratio)) if ratio > 0.0 && ratio <= 1.0 => Ok(Mode::Ratio(ratio)),
            (None, Some(ratio)) => Err(BuildError::of(
                "ratio",
                format!("Only positive, non-zero numbers are allowed values for `ratio`, value: {ratio}"),
            )),
        }
    }
}

impl TransformConfig for SampleConfig {
    fn input(&self) -> InputKinds {
        InputKinds {
            logs: true,
            metrics: false,
            traces: true,
        }
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: Vec::new(),
        }]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let path = |p: &Option<String>, key: &str| p.as_deref().map(|p| target_path(p, key)).transpose();
        let rate_key = match self.sample_rate_key.as_deref() {
            None | Some("") => None,
            Some(p) => Some(
                parse_value_path(p)
                    .map_err(|_| BuildError::of("sample_rate_key", format!("`{p}` is no path of a field")))?,
            ),
        };
        let group_by = self
            .group_by
            .as_deref()
            .map(|t| Template::parse(t).map(|t| t.with_schema(&cx.globals.log_schema)))
            .transpose()
            .map_err(|e| BuildError::of("group_by", e.to_string()))?;
        Ok(Box::new(Sample {
            mode: self.mode()?,
            ratio_field: path(&self.ratio_field, "ratio_field")?,
            rate_field: path(&self.rate_field, "rate_field")?,
            key_field: path(&self.key_field, "key_field")?,
            rate_key,
            group_by,
            exclude: self
                .exclude
                .as_ref()
                .map(|c| condition(c, "exclude", &cx))
                .transpose()?,
            groups: HashMap::new(),
            telemetry: cx.telemetry,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    Rate(NonZeroU64),
    Ratio(f64),
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mode::Rate(r) => r.fmt(f),
            Mode::Ratio(r) => r.fmt(f),
        }
    }
}

/// The part of all hashes that is this part of the events.
fn threshold(ratio: f64) -> u64 {
    (ratio * u64::MAX as f64) as u64
}

/// How far a group is.
#[derive(Debug)]
struct Group {
    /// Events so far.
    count: u64,
    /// Events so far with a rate of their own.
    dynamic: u64,
    /// What a ratio has saved up.
    value: f64,
}

struct Sample {
    mode: Mode,
    ratio_field: Option<OwnedTargetPath>,
    rate_field: Option<OwnedTargetPath>,
    key_field: Option<OwnedTargetPath>,
    rate_key: Option<OwnedValuePath>,
    group_by: Option<Template>,
    exclude: Option<Condition>,
    groups: HashMap<Option<String>, Group>,
    telemetry: Telemetry,
}

impl Sample {
    fn own_mode(&self, batch: &LogBatch, i: usize) -> Option<Mode> {
        let at = |p: &Option<OwnedTargetPath>| value_at(batch, i, p.as_ref()?);
        let ratio = at(&self.ratio_field).and_then(|v| match v {
            Value::Integer(n) => Some(n as f64),
            Value::Float(f) => Some(f.into_inner()),
            v => v.to_str_lossy()?.parse().ok(),
        });
        if let Some(r) = ratio.filter(|r| *r > 0.0 && *r <= 1.0) {
            return Some(Mode::Ratio(r));
        }
        at(&self.rate_field)
            .and_then(|v| match v {
                Value::Integer(n) => u64::try_from(n).ok().and_then(NonZeroU64::new),
                v => v.to_str_lossy()?.parse().ok(),
            })
            .map(Mode::Rate)
    }

    /// Whether event `i` goes through, and at what rate.
    fn takes(&mut self, batch: &LogBatch, i: usize) -> (bool, Mode) {
        let key = self.group_by.as_ref().and_then(|t| {
            let rendered = t.render(EventRef::Row(batch, i));
            rendered
                .map_err(|_missing| self.telemetry.error("template_failed", "processing"))
                .ok()
        });
        let own = self.own_mode(batch, i);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.groups.clear();
        }
        let start = match self.mode {
            Mode::Ratio(r) => 1.0 - r,
            Mode::Rate(_) => 0.0,
        };
        let by_key = self.key_field.as_ref().and_then(|p| value_at(batch, i, p));
        let group = self.groups.entry(key.clone()).or_insert(Group {
            count: 0,
            dynamic: 0,
            value: start,
        });
        if let Some(mode) = own {
            let mut h = seahash::SeaHasher::new();
            std::hash::Hash::hash(&key.as_deref(), &mut h);
            std::hash::Hash::hash(&group.dynamic, &mut h);
            group.dynamic += 1;
            return (within(mode, std::hash::Hasher::finish(&h)), mode);
        }
        let counted = match self.mode {
            Mode::Rate(rate) => group.count % rate == 0,
            Mode::Ratio(ratio) => {
                let sum = group.value + ratio;
                group.value = if sum >= 1.0 { sum - 1.0 } else { sum };
                sum >= 1.0
            }
        };
        group.count += 1;
        let takes = match by_key {
            Some(v) => within(self.mode, seahash::hash(v.to_string_lossy().as_bytes())),
            None => counted,
        };
        (takes, self.mode)
    }
}

fn within(mode: Mode, hash: u64) -> bool {
    match mode {
        Mode::Rate(rate) => hash % rate == 0,
        Mode::Ratio(ratio) => hash <= threshold(ratio),
    }
}

impl Transform for Sample {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Logs(b) = batch else {
            out.push(batch);
            return;
        };
        let mut flags = Vec::with_capacity(b.len());
        let mut rates = Vec::new();
        for i in 0..b.len() {
            let excluded = match &self.exclude {
                Some(c) => c.check_row(&b, i, &self.telemetry),
                None => false,
            };
            let (take, rate) = if excluded {
                (true, None)
            } else {
                let (take, mode) = self.takes(&b, i);
                (take, Some(mode))
            };
            flags.push(take);
            if take {
                rates.push(rate);
            }
        }
        let dropped = flags.len() - rates.len();
        if dropped > 0 {
            self.telemetry.discarded(dropped as u64, Intent::Intended);
        }
        let Some(path) = &self.rate_key else {
            out.push(keep(Batch::Logs(b), &flags));
            return;
        };
        let Batch::Logs(kept) = keep(Batch::Logs(b), &flags) else {
            return;
        };
        let kind = kept.kind;
        let (mut all, finalizers) = kept.into_events();
        for (event, rate) in all.iter_mut().zip(rates) {
            if let Some(rate) = rate {
                event.value.insert(path, Value::from(rate.to_string()));
            }
        }
        out.push(events(all, kind, finalizers));
    }
}
