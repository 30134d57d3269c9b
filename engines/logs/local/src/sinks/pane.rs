//! The `pane` sink: events as records in a channel of this process, where log panes find them. Nothing waits for a pane:
//! what a slow one misses is dropped from its queue and counted there.

use std::sync::Arc;

use qd_core::{Clock, RealClock, SourceId};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, ComponentError, Context, InputKinds, LogSchema, Sink, SinkConfig,
    SinkInput,
};
use serde::Deserialize;

use super::report::Reporter;
use crate::pane::{Hub, record_of};

/// The configuration.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PaneConfig {
    /// The channel; the component's id if nothing is said.
    channel: Option<String>,
}

impl SinkConfig for PaneConfig {
    fn input(&self) -> InputKinds {
        InputKinds {
            logs: true,
            metrics: false,
            traces: true,
        }
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        let name: Arc<str> = self.channel.as_deref().map_or_else(|| cx.id.clone(), Arc::from);
        let sink = Pane {
            channel: Hub::global().channel(&name),
            source: SourceId::new(name),
            schema: cx.globals.log_schema.clone(),
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

struct Pane {
    channel: qd_core::Hub<qd_core::Record>,
    source: SourceId,
    schema: LogSchema,
    report: Reporter,
}

impl Sink for Pane {
    fn run(self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let clock = RealClock::new();
            while let Some(batch) = input.recv().await {
                let Batch::Logs(logs) = &batch else { continue };
                let mut bytes = 0;
                // Without a pane there is nobody to make records for.
                if !self.channel.counters().is_empty() {
                    let now = clock.now();
                    for i in 0..logs.len() {
                        let record = record_of(&logs.value(i), &self.source, now, &self.schema);
                        bytes += record.body().len();
                        self.channel.offer(record);
                    }
                }
                self.report.sent(logs.len(), bytes);
            }
            Ok(())
        })
    }
}
