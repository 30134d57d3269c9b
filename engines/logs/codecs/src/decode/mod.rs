//! Decoding: from bytes to batches.
//!
//! [`Decoder::decode`] takes what a source has read, cuts it into frames and makes events of them, with what the source
//! adds to each ([`Origin`]). For the `bytes` codec over lines, the events stay lines of the block that was read.

mod config;
pub(crate) mod gelf;
mod influxdb;
mod json;
mod native_json;
mod protobuf;
mod syslog;
mod vrl;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use memchr::{memchr_iter, memrchr};
use qd_logs_model::{
    Batch, BuildError, EventKind, Finalizers, Line, Lines, LogBatch, LogEvent, LogSchema, MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS, Metric, MetricBatch, Origin, Rows, Value,
};

pub use config::{DecodingConfig, GelfValidation, ProtobufOptions};

use crate::{Framer, FramingConfig, FramingError};

/// What could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The stream has no frames any more, or one frame is bad.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A frame is not what the codec reads.
    #[error("not valid as {codec}: {message}")]
    Parsing {
        /// The codec.
        codec: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl DecodeError {
    /// Whether the stream can be read further.
    pub fn can_continue(&self) -> bool {
        match self {
            DecodeError::Framing(e) => e.can_continue(),
            DecodeError::Parsing { .. } => true,
        }
    }
}

/// Whether more bytes will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// More may come: what is no whole frame yet stays in the input.
    No,
    /// The stream or message has ended: what is left is the last frame.
    Yes,
}

/// Errors that [`Decoded`] keeps; more are only counted.
pub const MAX_ERRORS: usize = 16;

/// What [`Decoder::decode`] found.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The events, in order within each kind, none of them empty.
    pub batches: Vec<Batch>,
    /// How many frames were read, good or bad.
    pub frames: u64,
    /// How many bytes the frames had, without delimiters and lengths.
    pub bytes: u64,
    /// How many frames were skipped because they were too long.
    pub skipped: u64,
    /// How many frames were cut because they were too long.
    pub cut: u64,
    /// How many frames could not be decoded.
    pub failed: u64,
    /// The first errors; not more than [`MAX_ERRORS`].
    pub errors: Vec<DecodeError>,
    /// The stream can't be read further: the connection must be closed.
    pub broken: bool,
}

impl Decoded {
    /// How many events.
    pub fn events(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    fn fail(&mut self, error: DecodeError) {
        self.failed += 1;
        self.broken |= !error.can_continue();
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }
}

/// What one frame holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Log events.
    pub logs: Vec<LogEvent>,
    /// Traces.
    pub traces: Vec<LogEvent>,
    /// Metrics.
    pub metrics: Vec<Metric>,
}

impl Parsed {
    fn log(&mut self, value: Value) {
        self.logs.push(LogEvent::new(value));
    }
}

/// Makes events of frames.
#[derive(Debug, Clone)]
pub struct Deserializer {
    codec: Codec,
    schema: LogSchema,
}

#[derive(Debug, Clone)]
enum Codec {
    Bytes,
    Json { lossy: bool },
    Syslog { lossy: bool },
    NativeJson { lossy: bool },
    Gelf { lossy: bool, validation: GelfValidation },
    Influxdb { lossy: bool },
    Protobuf(protobuf::Protobuf),
    Vrl(vrl::Program),
}

impl Deserializer {
    /// Makes one frame's events and adds them to `out`. A frame may hold none (empty JSON) or many (a JSON array).
    ///
    /// # Errors
    /// [`DecodeError::Parsing`]; nothing is added then.
    pub fn parse(&self, frame: Bytes, out: &mut Parsed) -> Result<(), DecodeError> {
        let (codec, result) = match &self.codec {
            Codec::Bytes => {
                let mut value = Value::Object(Default::default());
                value.insert(&self.schema.message_key, Value::Bytes(frame));
                out.log(value);
                return Ok(());
            }
            Codec::Json { lossy } => ("JSON", json::parse(&frame, *lossy, &self.schema, out)),
            Codec::Syslog { lossy } => ("syslog", syslog::parse(&frame, *lossy, &self.schema, out)),
            Codec::NativeJson { lossy } => ("native JSON", native_json::parse(&frame, *lossy, out)),
            Codec::Gelf { lossy, validation } => ("GELF", gelf::parse(&frame, *lossy, *validation, &self.schema, out)),
            Codec::Influxdb { lossy } => ("InfluxDB line protocol", influxdb::parse(&frame, *lossy, out)),
            Codec::Protobuf(p) => ("protobuf", p.parse(&frame, out)),
            Codec::Vrl(p) => ("the VRL program reads it", p.run(frame, &self.schema, out)),
        };
        result.map_err(|message| DecodeError::Parsing { codec, message })
    }
}

/// Turns one stream of bytes into batches. A new stream needs a new one.
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
    deserializer: Deserializer,
}

impl Decoder {
    /// A decoder of frames cut as `framing` says. To be kept as a template, keep the [`Deserializer`].
    pub fn new(framing: &FramingConfig, deserializer: Deserializer) -> Decoder {
        Decoder {
            framer: Framer::new(framing),
            deserializer,
        }
    }

    /// Whether the events come as lines of the block that was read.
    pub fn gives_lines(&self) -> bool {
        matches!(self.deserializer.codec, Codec::Bytes)
    }

    /// Decodes all whole frames of `input` and takes them out of it. Each log event gets what `origin` adds: of the
    /// `bytes` codec as [`Lines::value`] says; of the other codecs the time of reading and the fields where the event
    /// has none of its own at their paths.
    pub fn decode(&mut self, input: &mut BytesMut, end: End, origin: &Arc<Origin>, read_at: DateTime<Utc>) -> Decoded {
        let mut out = Decoded::default();
        let (skipped, cut) = (self.framer.skipped(), self.framer.cut());
        let mut batches = Batches::new(origin, read_at);
        if matches!(self.deserializer.codec, Codec::Bytes) {
            self.lines(input, end, &mut batches, &mut out);
        } else {
            self.events(input, end, &mut batches, &mut out);
        }
        out.batches = batches.finish();
        out.skipped = self.framer.skipped() - skipped;
        out.cut = self.framer.cut() - cut;
        out
    }

    /// Decodes a whole message, such as a datagram or a request's body.
    pub fn decode_message(&mut self, message: Bytes, origin: &Arc<Origin>, read_at: DateTime<Utc>) -> Decoded {
        let mut input = BytesMut::from(message);
        self.decode(&mut input, End::Yes, origin, read_at)
    }

    fn next(&mut self, input: &mut BytesMut, end: End, out: &mut Decoded) -> Option<Bytes> {
        loop {
            let before = input.len();
            match self.framer.next(input, end == End::Yes) {
                Ok(Some(frame)) => {
                    out.frames += 1;
                    out.bytes += frame.len() as u64;
                    return Some(frame);
                }
                Ok(None) => return None,
                Err(error) => {
                    out.frames += 1;
                    let goes_on = error.can_continue() && input.len() < before && !input.is_empty();
                    out.fail(error.into());
                    if !goes_on {
                        return None;
                    }
                }
            }
        }
    }

    fn lines(&mut self, input: &mut BytesMut, end: End, batches: &mut Batches<'_>, out: &mut Decoded) {
        if let Some((delimiter, max)) = self.framer.delimiter()
            && let Some(last) = memrchr(delimiter, input)
        {
            let block = input.split_to(last + 1).freeze();
            self.framer.searched(input.len());
            let mut start = 0;
            for at in memchr_iter(delimiter, &block) {
                let len = at - start;
                if len > max {
                    self.framer.count_skipped(1);
                } else {
                    out.frames += 1;
                    out.bytes += len as u64;
                    batches.line(&block, start, at);
                }
                start = at + 1;
            }
            batches.end_block(&block);
        }
        while let Some(frame) = self.next(input, end, out) {
            batches.line(&frame, 0, frame.len());
            batches.end_block(&frame);
        }
    }

    fn events(&mut self, input: &mut BytesMut, end: End, batches: &mut Batches<'_>, out: &mut Decoded) {
        let mut parsed = Parsed::default();
        while let Some(frame) = self.next(input, end, out) {
            if let Err(error) = self.deserializer.parse(frame, &mut parsed) {
                out.fail(error);
            }
            batches.take(&mut parsed);
        }
    }
}

/// Batches that are being filled.
struct Batches<'a> {
    origin: &'a Arc<Origin>,
    read_at: DateTime<Utc>,
    done: Vec<Batch>,
    /// Lines of the current block: start and end in it.
    lines: Vec<(usize, usize)>,
    logs: Vec<LogEvent>,
    traces: Vec<LogEvent>,
    metrics: Vec<Metric>,
}

impl<'a> Batches<'a> {
    fn new(origin: &'a Arc<Origin>, read_at: DateTime<Utc>) -> Batches<'a> {
        Batches {
            origin,
            read_at,
            done: Vec::new(),
            lines: Vec::new(),
            logs: Vec::new(),
            traces: Vec::new(),
            metrics: Vec::new(),
        }
    }

    fn line(&mut self, block: &Bytes, start: usize, end: usize) {
        let first = self.lines.first().map_or(start, |l| l.0);
        if self.lines.len() >= MAX_BATCH_EVENTS || end.saturating_sub(first) > MAX_BATCH_BYTES {
            self.end_block(block);
        }
        self.lines.push((start, end));
    }

    fn end_block(&mut self, block: &Bytes) {
        let (Some(first), Some(last)) = (self.lines.first().copied(), self.lines.last().copied()) else {
            return;
        };
        let at = |n: usize| u32::try_from(n - first.0).unwrap_or(u32::MAX);
        let lines = self
            .lines
            .drain(..)
            .map(|(s, e)| Line {
                start: at(s),
                end: at(e),
                offset: 0,
            })
            .collect();
        self.done.push(Batch::Logs(LogBatch::lines(Lines {
            block: block.slice(first.0..last.1),
            lines,
            read_at: self.read_at,
            origin: self.origin.clone(),
        })));
    }

    fn take(&mut self, parsed: &mut Parsed) {
        let (origin, read_at) = (self.origin, self.read_at);
        let add = |mut e: LogEvent| {
            enrich(&mut e.value, origin, read_at);
            e
        };
        self.logs.extend(parsed.logs.drain(..).map(add));
        self.traces.extend(parsed.traces.drain(..).map(add));
        self.metrics.append(&mut parsed.metrics);
        if self.logs.len() + self.traces.len() + self.metrics.len() >= MAX_BATCH_EVENTS {
            self.cut();
        }
    }

    fn cut(&mut self) {
        for (events, kind) in [(&mut self.logs, EventKind::Log), (&mut self.traces, EventKind::Trace)] {
            while !events.is_empty() {
                let rest = events.split_off(events.len().min(MAX_BATCH_EVENTS));
                self.done.push(Batch::Logs(LogBatch {
                    rows: Rows::Events(std::mem::replace(events, rest)),
                    kind,
                    finalizers: Finalizers::none(),
                }));
            }
        }
        while !self.metrics.is_empty() {
            let rest = self.metrics.split_off(self.metrics.len().min(MAX_BATCH_EVENTS));
            self.done.push(Batch::Metrics(MetricBatch {
                metrics: std::mem::replace(&mut self.metrics, rest),
                finalizers: Finalizers::none(),
            }));
        }
    }

    fn finish(mut self) -> Vec<Batch> {
        self.cut();
        self.done
    }
}

/// Adds what a source adds to an event, where the event has nothing of its own.
pub fn enrich(value: &mut Value, origin: &Origin, read_at: DateTime<Utc>) {
    if let Some(path) = &origin.timestamp
        && !value.contains(path)
    {
        value.insert(path, Value::Timestamp(read_at));
    }
    for (path, v) in &origin.fields {
        if !value.contains(path) {
            value.insert(path, v.clone());
        }
    }
}

/// A frame as text: with replacement characters if `lossy`, else only if it is UTF-8.
fn text(frame: &[u8], lossy: bool) -> Result<std::borrow::Cow<'_, str>, String> {
    match lossy {
        true => Ok(String::from_utf8_lossy(frame)),
        false => std::str::from_utf8(frame)
            .map(std::borrow::Cow::Borrowed)
            .map_err(|e| e.to_string()),
    }
}

impl DecodingConfig {
    /// Makes the deserializer.
    ///
    /// # Errors
    /// A file of descriptors that can't be read, a program that does not compile.
    pub fn build(&self, schema: &LogSchema) -> Result<Deserializer, BuildError> {
        let codec = match self {
            DecodingConfig::Bytes => Codec::Bytes,
            DecodingConfig::Json { lossy } => Codec::Json { lossy: *lossy },
            DecodingConfig::Syslog { lossy } => Codec::Syslog { lossy: *lossy },
            DecodingConfig::NativeJson { lossy } => Codec::NativeJson { lossy: *lossy },
            DecodingConfig::Gelf { lossy, validation } => Codec::Gelf {
                lossy: *lossy,
                validation: *validation,
            },
            DecodingConfig::Influxdb { lossy } => Codec::Influxdb { lossy: *lossy },
            DecodingConfig::Protobuf(options) => Codec::Protobuf(
                protobuf::Protobuf::load(options).map_err(|e| BuildError::of("decoding.protobuf.desc_file", e))?,
            ),
            DecodingConfig::Vrl { source, timezone } => Codec::Vrl(vrl::Program::compile(source, timezone.as_deref())?),
        };
        Ok(Deserializer {
            codec,
            schema: schema.clone(),
        })
    }
}
