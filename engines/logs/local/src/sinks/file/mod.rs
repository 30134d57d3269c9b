//! The `file` sink: appends events to files whose paths are templates.
//!
//! Events are encoded into one buffer a file and written in large pieces; when the input pauses, what is there is written
//! at once, so that a reader sees lines as they come. A batch is acknowledged when all its bytes have been given to the
//! kernel by `write(2)`: the death of this process loses nothing that was acknowledged, the death of the machine may lose
//! what the kernel had not yet put on the disk (files are synced when they are closed). With compression each piece is a
//! whole gzip member or zstd frame; a file that a killed process left is cut at the end of its last whole one before it is
//! continued, so that any reader reads all of it.
//!
//! A full disk (or quota) makes the sink wait and try again, and it says so; nothing is lost, the pipeline behind it
//! waits. Other failures to open or write a file drop the events for that file, counted, and report them as not delivered.

mod out;
mod writer;

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use qd_core::Severity;
use qd_logs_codecs::{
    EncodingConfig, FramingEncoderConfig, PathConfinement, SinkType, StreamCompression, Template, timezone_offset,
};
use qd_logs_model::{
    BoxFuture, BuildError, BuiltSink, ComponentError, Context, InputKinds, Sink, SinkConfig, SinkInput,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::report::{Reporter, warn_ignored};
use writer::{Settings, Writer};

/// The configuration, with Vector's keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    /// Where to write.
    path: Template,
    /// The folder that events may not lead out of; if nothing is said, the one in the path's constant beginning.
    base_dir: Option<PathBuf>,
    /// Whether events may lead anywhere.
    #[serde(default)]
    dangerously_allow_unconfined_template_resolution: bool,
    /// Seconds without an event after which a file is closed.
    #[serde(default = "thirty")]
    idle_timeout_secs: u64,
    encoding: EncodingConfig,
    framing: Option<FramingEncoderConfig>,
    #[serde(default)]
    compression: StreamCompression,
    /// The zone of times in the path; the pipeline's if nothing is said.
    timezone: Option<String>,
    #[serde(default)]
    internal_metrics: InternalMetrics,
    #[serde(default)]
    truncate: Truncate,
}

fn thirty() -> u64 {
    30
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InternalMetrics {
    /// Whether counters tell files apart.
    include_file_tag: bool,
}

/// When a file is emptied before the next event is written to it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Truncate {
    /// If it is not open and was last written longer ago than this many seconds.
    after_close_time_secs: Option<NonZeroU64>,
    /// If it is open and was last written longer ago than this many seconds.
    after_modified_time_secs: Option<NonZeroU64>,
    /// If it is open, for longer than this many seconds.
    after_secs: Option<NonZeroU64>,
}

impl SinkConfig for FileConfig {
    fn input(&self) -> InputKinds {
        self.encoding.input()
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<BuiltSink, BuildError>> {
        Box::pin(async move {
            let sink = self.make(cx)?;
            Ok(BuiltSink {
                sink: Box::new(sink),
                healthcheck: Box::pin(async { Ok(()) }),
            })
        })
    }
}

impl FileConfig {
    fn make(&self, cx: Context) -> Result<FileSink, BuildError> {
        let schema = &cx.globals.log_schema;
        let zone = self.timezone.as_ref().or(cx.globals.timezone.as_ref());
        let offset = match zone {
            None => None,
            Some(name) => Some(
                timezone_offset(name)
                    .ok_or_else(|| BuildError::of("timezone", format!("unknown time zone `{name}`")))?,
            ),
        };
        let confinement = match self.dangerously_allow_unconfined_template_resolution {
            true => {
                let text = "the path is not confined: whoever writes the events' fields may write any file".to_owned();
                cx.log.say(Severity::Warn, text, Vec::new());
                None
            }
            false => PathConfinement::of(&self.path, self.base_dir.as_deref())
                .map_err(|e| BuildError::of("path", e.to_string()))?,
        };
        if self.base_dir.as_ref().is_some_and(|d| d.is_relative()) {
            return Err(BuildError::of("base_dir", "the folder must be an absolute path"));
        }
        warn_ignored(&cx, &self.encoding);
        Ok(FileSink {
            settings: Settings {
                path: self.path.clone().with_schema(schema).with_offset(offset),
                confinement,
                idle: Duration::from_secs(self.idle_timeout_secs),
                compression: self.compression,
                truncate: self.truncate,
                file_tag: self.internal_metrics.include_file_tag,
            },
            encoder: self.encoding.build(self.framing.as_ref(), SinkType::Stream, schema)?,
            report: Reporter::new(&cx),
        })
    }
}

struct FileSink {
    settings: Settings,
    encoder: qd_logs_codecs::Encoder,
    report: Reporter,
}

impl Sink for FileSink {
    fn run(self: Box<Self>, input: SinkInput) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let stop = CancellationToken::new();
            // When the future is dropped because the deadline has passed, the thread must end too.
            let guard = stop.clone().drop_guard();
            let handle = tokio::runtime::Handle::current();
            let FileSink {
                settings,
                encoder,
                report,
            } = *self;
            let work = move || Writer::new(settings, encoder, report, handle, stop).run(input);
            let ended = tokio::task::spawn_blocking(work).await;
            drop(guard);
            ended.map_err(|e| ComponentError::new(format!("the file sink's thread ended badly: {e}")))
        })
    }
}
