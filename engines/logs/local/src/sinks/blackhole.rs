//! The `blackhole` sink: takes events, counts them, and lets them go as delivered.

use std::time::Duration;

use qd_core::Severity;
use qd_logs_model::{
    BoxFuture, BuildError, BuiltSink, ComponentError, Context, InputKinds, Sink, SinkConfig, SinkInput,
};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::report::Reporter;

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BlackholeConfig {
    /// How often it says how much it has taken, in seconds; 0 is never.
    print_interval_secs: u64,
    /// How many events a second it takes; as many as come if nothing is said.
    rate: Option<u64>,
}

impl SinkConfig for BlackholeConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        let sink = Blackhole {
            config: self.clone(),
            report: Reporter::new(&cx),
        };
        Box::pin(async move {
            Ok(BuiltSink {
                sink: Box::new(sink),
                healthcheck: Box::pin(async { Ok(()) }),
            })
        })
    }
}

struct Blackhole {
    config: BlackholeConfig,
    report: Reporter,
}

impl Sink for Blackhole {
    fn run(self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let (mut events, mut bytes) = (0u64, 0u64);
            let every = Duration::from_secs(self.config.print_interval_secs.max(1));
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut free_at = Instant::now();
            loop {
                let batch = tokio::select! {
                    batch = input.recv() => batch,
                    _ = ticks.tick(), if self.config.print_interval_secs > 0 => {
                        let text = format!("collected {events} events of {bytes} bytes in memory");
                        self.report.say(Severity::Info, text);
                        continue;
                    }
                };
                let Some(batch) = batch else { return Ok(()) };
                if let Some(rate) = self.config.rate.filter(|r| *r > 0) {
                    sleep_until(free_at).await;
                    let took = Duration::from_secs_f64(batch.len() as f64 / rate as f64);
                    free_at = free_at.max(Instant::now()) + took;
                }
                events += batch.len() as u64;
                let size = batch.size();
                bytes += size as u64;
                self.report.sent(batch.len(), size);
            }
        })
    }
}
