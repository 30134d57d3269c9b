//! `throttle`: lets `threshold` events through in `window_secs`, for each key.
//!
//! Each key has a bucket of `threshold` that refills evenly over the window (the generic cell rate algorithm). Buckets
//! that are full again are forgotten, and of more than [`MAX_KEYS`] the ones that are nearest to full, so that memory is
//! bounded.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use qd_logs_codecs::{EventRef, Template};
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, EventKind, InputKinds, LogBatch, OutputPort, Telemetry, Transform, TransformConfig,
    TransformOut, telemetry::Intent,
};

use super::{condition, keep};
use crate::Condition;

/// Keys that are told apart at the most.
pub const MAX_KEYS: usize = 100_000;
/// Keys that get a counter of their own at the most.
const MAX_KEY_COUNTERS: usize = 1000;

/// The configuration of `throttle`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleConfig {
    threshold: u32,
    window_secs: f64,
    key_field: Option<String>,
    exclude: Option<Node>,
    #[serde(default)]
    internal_metrics: InternalMetrics,
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InternalMetrics {
    #[serde(default)]
    emit_events_discarded_per_key: bool,
}

impl TransformConfig for ThrottleConfig {
    fn input(&self) -> InputKinds {
        InputKinds::LOGS
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort::default_of(EventKind::Log)]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let window = Duration::try_from_secs_f64(self.window_secs)
            .map_err(|e| BuildError::of("window_secs", format!("{}: {e}", self.window_secs)))?;
        if self.threshold == 0 || window.is_zero() {
            return Err(BuildError::new("`threshold`, and `window_secs` must be non-zero"));
        }
        let interval = window / self.threshold;
        if interval.is_zero() {
            return Err(BuildError::new(
                "`threshold` events in `window_secs` are more than one a nanosecond",
            ));
        }
        Ok(Box::new(Throttle {
            interval,
            window,
            key: self
                .key_field
                .as_deref()
                .map(|t| Template::parse(t).map(|t| t.with_schema(&cx.globals.log_schema)))
                .transpose()
                .map_err(|e| BuildError::of("key_field", e.to_string()))?,
            exclude: self
                .exclude
                .as_ref()
                .map(|c| condition(c, "exclude", &cx))
                .transpose()?,
            per_key: self.internal_metrics.emit_events_discarded_per_key,
            counted_keys: 0,
            full_at: HashMap::new(),
            telemetry: cx.telemetry,
        }))
    }
}

struct Throttle {
    interval: Duration,
    window: Duration,
    key: Option<Template>,
    exclude: Option<Condition>,
    per_key: bool,
    counted_keys: usize,
    /// When each key's bucket is full again.
    full_at: HashMap<Option<String>, Instant>,
    telemetry: Telemetry,
}

impl Throttle {
    fn takes(&mut self, key: &Option<String>, now: Instant) -> bool {
        let full = match self.full_at.get(key) {
            Some(t) => (*t).max(now),
            None => now,
        };
        let next = full + self.interval;
        // The interval was rounded; half of one is less than a whole event.
        if next > now + self.window + self.interval / 2 {
            return false;
        }
        match self.full_at.get_mut(key) {
            Some(t) => *t = next,
            None => {
                if self.full_at.len() >= MAX_KEYS {
                    self.forget(now);
                }
                self.full_at.insert(key.clone(), next);
            }
        }
        true
    }

    /// Makes room: buckets that are full, and if these are not enough the half that is nearest to it.
    fn forget(&mut self, now: Instant) {
        self.full_at.retain(|_, t| *t > now);
        if self.full_at.len() >= MAX_KEYS {
            let mut times: Vec<Instant> = self.full_at.values().copied().collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.full_at.retain(|_, t| *t > median);
        }
    }

    fn count(&mut self, key: Option<String>) {
        self.telemetry.discarded(1, Intent::Intended);
        if self.per_key && self.counted_keys < MAX_KEY_COUNTERS {
            let key = key.unwrap_or_else(|| "None".to_owned());
            let counter = self.telemetry.with([("key", key)]).counter("events_discarded_total");
            if counter.get() == 0 {
                self.counted_keys += 1;
            }
            counter.add(1);
        }
    }

    fn check(&mut self, batch: &LogBatch, i: usize, now: Instant) -> bool {
        if let Some(c) = &self.exclude
            && c.check_row(batch, i, &self.telemetry)
        {
            return true;
        }
        let key = self.key.as_ref().and_then(|t| {
            t.render(EventRef::Row(batch, i))
                .map_err(|_missing| self.telemetry.error("template_failed", "processing"))
                .ok()
        });
        let takes = self.takes(&key, now);
        if !takes {
            self.count(key);
        }
        takes
    }
}

impl Transform for Throttle {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let Batch::Logs(b) = &batch else {
            out.push(batch);
            return;
        };
        let now = Instant::now();
        let flags: Vec<bool> = (0..b.len()).map(|i| self.check(b, i, now)).collect();
        out.push(keep(batch, &flags));
    }

    fn tick_every(&self) -> Option<Duration> {
        Some(self.window.max(Duration::from_millis(100)))
    }

    fn tick(&mut self, now: Instant, _out: &mut TransformOut) {
        self.full_at.retain(|_, t| *t > now);
    }
}
