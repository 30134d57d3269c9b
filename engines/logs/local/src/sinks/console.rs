//! The `console` sink: events to standard output or standard error of this process.
//!
//! Writing may block for as long as whoever reads the output likes, so a thread does it. A batch is acknowledged when it
//! is written. An output that is closed ends the sink.

use std::io::{self, Write};

use qd_logs_codecs::{Encoder, EncodingConfig, FramingEncoderConfig, SinkType};
use qd_logs_model::{
    Batch, BoxFuture, BuildError, BuiltSink, ComponentError, Context, Delivery, InputKinds, Sink, SinkConfig, SinkInput,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::report::{Reporter, warn_ignored};

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    #[default]
    Stdout,
    Stderr,
}

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleConfig {
    /// Which output.
    #[serde(default)]
    target: Target,
    encoding: EncodingConfig,
    framing: Option<FramingEncoderConfig>,
}

impl SinkConfig for ConsoleConfig {
    fn input(&self) -> InputKinds {
        self.encoding.input()
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            warn_ignored(&cx, &self.encoding);
            let schema = &cx.globals.log_schema;
            let sink = Console {
                target: self.target,
                encoder: self.encoding.build(self.framing.as_ref(), SinkType::Stream, schema)?,
                report: Reporter::new(&cx),
            };
            Ok(BuiltSink {
                sink: Box::new(sink),
                healthcheck: Box::pin(async { Ok(()) }),
            })
        })
    }
}

struct Console {
    target: Target,
    encoder: Encoder,
    report: Reporter,
}

impl Sink for Console {
    fn run(self: Box<Self>, mut input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            // One batch at a time: what is not written yet stays in the sink's buffer.
            let (tx, rx) = mpsc::channel(1);
            let writer = tokio::task::spawn_blocking(move || match self.target {
                Target::Stdout => write(rx, io::stdout(), self.encoder, self.report),
                Target::Stderr => write(rx, io::stderr(), self.encoder, self.report),
            });
            while let Some(batch) = input.recv().await {
                if tx.send(batch).await.is_err() {
                    break;
                }
            }
            drop(tx);
            match writer.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(e)) => Err(ComponentError::new(format!("the output can't be written: {e}"))),
                Err(e) => Err(ComponentError::new(format!(
                    "the console sink's thread ended badly: {e}"
                ))),
            }
        })
    }
}

fn write(
    mut batches: mpsc::Receiver<Batch>,
    mut output: impl Write,
    mut encoder: Encoder,
    mut report: Reporter,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        buffer.clear();
        let encoded = encoder.encode_batch(&batch, &mut buffer, |_, _| {});
        report.encoded(&batch, &encoded);
        if let Err(e) = output.write_all(&buffer).and_then(|()| output.flush()) {
            batch.finalizers().report(Delivery::Errored);
            report.telemetry.error("writer_failed", "sending");
            return Err(e);
        }
        report.sent(encoded.events, buffer.len());
    }
    Ok(())
}
