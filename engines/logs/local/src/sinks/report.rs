//! What sinks count and say, in one place.

use std::time::{Duration, Instant};

use qd_core::Severity;
use qd_logs_codecs::Encoded;
use qd_logs_model::{Batch, Context, Counter, Delivery, InternalLog, Telemetry, telemetry::Intent};

/// How often the same complaint is made.
const EVERY: Duration = Duration::from_secs(10);

/// A sink's counters and its voice. A complaint that repeats is made once in ten seconds.
pub(super) struct Reporter {
    events: Counter,
    bytes: Counter,
    pub(super) telemetry: Telemetry,
    log: InternalLog,
    said: Vec<(&'static str, Instant, u64)>,
}

impl Reporter {
    pub(super) fn new(cx: &Context) -> Reporter {
        Reporter {
            events: cx.telemetry.counter("component_sent_events_total"),
            bytes: cx.telemetry.counter("component_sent_bytes_total"),
            telemetry: cx.telemetry.clone(),
            log: cx.log.clone(),
            said: Vec::new(),
        }
    }

    /// Counts events that were sent.
    pub(super) fn sent(&self, events: usize, bytes: usize) {
        self.events.add(events as u64);
        self.bytes.add(bytes as u64);
    }

    /// Says something.
    pub(super) fn say(&self, severity: Severity, message: String) {
        self.log.say(severity, message, Vec::new());
    }

    /// Complains, unless the same kind of complaint was made just now.
    pub(super) fn complain(&mut self, kind: &'static str, severity: Severity, message: impl FnOnce() -> String) {
        let now = Instant::now();
        let missed = match self.said.iter_mut().find(|s| s.0 == kind) {
            Some(s) if now.duration_since(s.1) < EVERY => {
                s.2 += 1;
                return;
            }
            Some(s) => {
                s.1 = now;
                std::mem::take(&mut s.2)
            }
            None => {
                self.said.push((kind, now, 0));
                0
            }
        };
        let mut text = message();
        if missed > 0 {
            text.push_str(&format!(" ({missed} more of these were not logged)"));
        }
        self.log.say(severity, text, Vec::new());
    }

    /// Counts and tells what became of events that could not be encoded; their batch is reported as rejected.
    pub(super) fn encoded(&mut self, batch: &Batch, encoded: &Encoded) {
        let Some((_, first)) = encoded.failed.first() else {
            return;
        };
        batch.finalizers().report(Delivery::Rejected);
        self.telemetry.error("encoder_failed", "sending");
        self.telemetry
            .discarded(encoded.failed.len() as u64, Intent::Unintended);
        self.complain("encode", Severity::Error, || {
            format!(
                "{} events could not be encoded and are dropped: {first}",
                encoded.failed.len()
            )
        });
    }

    /// Counts and tells events that are given up; whoever waits for them hears it.
    pub(super) fn drop_events(
        &mut self,
        batch: &Batch,
        count: usize,
        delivery: Delivery,
        kind: &'static str,
        why: impl FnOnce() -> String,
    ) {
        batch.finalizers().report(delivery);
        self.telemetry.error(kind, "sending");
        self.telemetry.discarded(count as u64, Intent::Unintended);
        self.complain(kind, Severity::Error, why);
    }
}

/// Says which keys of an encoding have no meaning for its codec.
pub(super) fn warn_ignored(cx: &Context, encoding: &qd_logs_codecs::EncodingConfig) {
    for key in &encoding.ignored {
        let message = format!("`encoding.{key}` has no meaning for this codec and is ignored");
        cx.log.say(Severity::Warn, message, Vec::new());
    }
}
