//! Encoding: from batches to bytes.
//!
//! [`Encoder::encode_batch`] is for streams: every event becomes a frame. Sinks of messages (requests, objects) encode
//! events one after the other by [`Encoder::serialize_batch`] and join them by [`Encoder::join`], as brackets around
//! JSON and delimiters only between events need it.

mod config;
mod csv;
mod gelf;
mod json;
mod lines;
mod protobuf;
mod transform;

use std::fmt::Write as _;

use qd_logs_model::{Batch, BuildError, EventKind, InputKinds, LogBatch, LogSchema, Metric, Rows, Value};

pub use config::{CsvOptions, EncodingConfig, MetricTagValues, QuoteStyle, SerializerConfig, SinkType};
pub use json::write_string;
pub use transform::{TimestampFormat, Transformer};

use crate::{
    FramingEncoder, FramingEncoderConfig, FramingError,
    framing::LengthDelimited,
    native::{MetricJson, MetricText, single_tags},
};

/// An event that could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The codec can't say it.
    #[error("the event can't be encoded as {codec}: {message}")]
    Serialize {
        /// The codec.
        codec: &'static str,
        /// Why not.
        message: String,
    },
    /// The codec takes no events of this kind.
    #[error("{0} takes no {1}")]
    Kind(&'static str, &'static str),
    /// It is too long for its framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// How many events were written.
    pub events: usize,
    /// The events that were left out and why.
    pub failed: Vec<(usize, EncodeError)>,
}

/// Writes events.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    transformer: Transformer,
    framing: FramingEncoder,
    schema: LogSchema,
}

#[derive(Debug)]
enum Codec {
    Json { tags: MetricTagValues, pretty: bool },
    Text { tags: MetricTagValues },
    RawMessage,
    Logfmt,
    Csv(Box<csv::Csv>),
    Gelf { max_chunk_size: usize },
    NativeJson,
    Protobuf(Box<protobuf::Protobuf>),
}

impl Codec {
    fn name(&self) -> &'static str {
        match self {
            Codec::Json { .. } => "json",
            Codec::Text { .. } => "text",
            Codec::RawMessage => "raw_message",
            Codec::Logfmt => "logfmt",
            Codec::Csv(_) => "csv",
            Codec::Gelf { .. } => "gelf",
            Codec::NativeJson => "native_json",
            Codec::Protobuf(_) => "protobuf",
        }
    }
}

impl EncodingConfig {
    /// What the codec takes.
    pub fn input(&self) -> InputKinds {
        match &self.codec {
            SerializerConfig::Json { .. } | SerializerConfig::NativeJson => InputKinds::ALL,
            SerializerConfig::Text { .. } => InputKinds {
                logs: true,
                metrics: true,
                traces: false,
            },
            SerializerConfig::RawMessage
            | SerializerConfig::Logfmt
            | SerializerConfig::Csv(_)
            | SerializerConfig::Gelf { .. }
            | SerializerConfig::Protobuf(_) => InputKinds::LOGS,
        }
    }

    /// How events are framed if the configuration does not say.
    pub fn default_framing(&self, sink: SinkType) -> FramingEncoderConfig {
        match (&self.codec, sink) {
            (SerializerConfig::Json { .. }, SinkType::Message) => FramingEncoderConfig::CharacterDelimited(b','),
            (SerializerConfig::Gelf { .. }, _) => FramingEncoderConfig::CharacterDelimited(0),
            (SerializerConfig::Protobuf(_), _) => FramingEncoderConfig::LengthDelimited(LengthDelimited::default()),
            _ => FramingEncoderConfig::NewlineDelimited,
        }
    }

    /// Makes the encoder.
    ///
    /// # Errors
    /// CSV without fields, a file of descriptors that can't be read.
    pub fn build(
        &self,
        framing: Option<&FramingEncoderConfig>,
        sink: SinkType,
        schema: &LogSchema,
    ) -> Result<Encoder, BuildError> {
        let codec = match &self.codec {
            SerializerConfig::Json {
                metric_tag_values,
                pretty,
            } => Codec::Json {
                tags: *metric_tag_values,
                pretty: *pretty,
            },
            SerializerConfig::Text { metric_tag_values } => Codec::Text {
                tags: *metric_tag_values,
            },
            SerializerConfig::RawMessage => Codec::RawMessage,
            SerializerConfig::Logfmt => Codec::Logfmt,
            SerializerConfig::Csv(options) => Codec::Csv(Box::new(
                csv::Csv::new(options).map_err(|e| BuildError::of("encoding.csv.fields", e))?,
            )),
            SerializerConfig::Gelf { max_chunk_size } => Codec::Gelf {
                max_chunk_size: *max_chunk_size,
            },
            SerializerConfig::NativeJson => Codec::NativeJson,
            SerializerConfig::Protobuf(options) => Codec::Protobuf(Box::new(
                protobuf::Protobuf::load(options).map_err(|e| BuildError::of("encoding.protobuf.desc_file", e))?,
            )),
        };
        Ok(Encoder {
            codec,
            transformer: self.transformer.clone(),
            framing: FramingEncoder::new(framing.cloned().unwrap_or_else(|| self.default_framing(sink))),
            schema: schema.clone(),
        })
    }
}

impl Encoder {
    /// How it frames.
    pub fn framing(&self) -> &FramingEncoder {
        &self.framing
    }

    /// The name of the codec.
    pub fn codec(&self) -> &'static str {
        self.codec.name()
    }

    /// The length of GELF's datagrams, if this is GELF; see [`crate::framing::gelf_chunks`].
    pub fn gelf_chunk_size(&self) -> Option<usize> {
        match self.codec {
            Codec::Gelf { max_chunk_size } => Some(max_chunk_size),
            _ => None,
        }
    }

    /// Writes all events of a batch as frames at the end of `out`. After each, `end` gets its index in the batch and the
    /// length of `out`. An event that can't be written is left out.
    pub fn encode_batch(&mut self, batch: &Batch, out: &mut Vec<u8>, end: impl FnMut(usize, usize)) -> Encoded {
        self.encode_some(batch, 0..batch.len(), true, out, end)
    }

    /// As [`Encoder::encode_batch`], only the events of these indices.
    pub fn encode_events(
        &mut self,
        batch: &Batch,
        events: impl IntoIterator<Item = usize>,
        out: &mut Vec<u8>,
        end: impl FnMut(usize, usize),
    ) -> Encoded {
        self.encode_some(batch, events, true, out, end)
    }

    /// As [`Encoder::encode_batch`], but without framing.
    pub fn serialize_batch(&mut self, batch: &Batch, out: &mut Vec<u8>, end: impl FnMut(usize, usize)) -> Encoded {
        self.encode_some(batch, 0..batch.len(), false, out, end)
    }

    fn encode_some(
        &mut self,
        batch: &Batch,
        events: impl IntoIterator<Item = usize>,
        framed: bool,
        out: &mut Vec<u8>,
        mut end: impl FnMut(usize, usize),
    ) -> Encoded {
        let mut encoded = Encoded::default();
        let plan = match batch {
            Batch::Logs(logs) => self.plan(logs),
            Batch::Metrics(_) => Plan::Values,
        };
        for i in events {
            let start = out.len();
            let mut result = match batch {
                Batch::Logs(logs) => self.log(logs, i, &plan, out),
                Batch::Metrics(metrics) => match metrics.metrics.get(i) {
                    Some(m) => self.metric(m, out),
                    None => continue,
                },
            };
            if framed && result.is_ok() {
                result = self.framing.frame(out, start).map_err(EncodeError::from);
            }
            match result {
                Ok(()) => {
                    encoded.events += 1;
                    end(i, out.len());
                }
                Err(error) => {
                    out.truncate(start);
                    encoded.failed.push((i, error));
                }
            }
        }
        encoded
    }

    /// Writes one log event or trace without framing.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` may hold a part of it.
    pub fn serialize_value(&mut self, value: Value, kind: EventKind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut value = value;
        self.transformer.apply(&mut value);
        self.value(&value, kind, out)
    }

    /// Joins events that were encoded without framing to one message: with what the framing puts between them, and
    /// around them for lists of JSON.
    ///
    /// # Errors
    /// An event that is too long for its framing; `out` is as before.
    pub fn join<'e>(&self, events: impl IntoIterator<Item = &'e [u8]>, out: &mut Vec<u8>) -> Result<(), FramingError> {
        let start = out.len();
        out.extend_from_slice(self.prefix());
        let mut empty = true;
        for event in events {
            if let (Some(delimiter), false) = (self.framing.delimiter(), empty) {
                out.push(delimiter);
            }
            empty = false;
            let at = out.len();
            out.extend_from_slice(event);
            if self.framing.has_header()
                && let Err(error) = self.framing.frame(out, at)
            {
                out.truncate(start);
                return Err(error);
            }
        }
        out.extend_from_slice(self.suffix(empty));
        Ok(())
    }

    fn is_json_list(&self) -> bool {
        matches!(self.codec, Codec::Json { .. } | Codec::NativeJson)
            && *self.framing.config() == FramingEncoderConfig::CharacterDelimited(b',')
    }

    /// What a message of many events begins with: `[` for lists of JSON.
    pub fn prefix(&self) -> &'static [u8] {
        if self.is_json_list() { b"[" } else { b"" }
    }

    /// What a message of many events ends with: `]` for lists of JSON, a newline after lines.
    pub fn suffix(&self, empty: bool) -> &'static [u8] {
        match self.framing.config() {
            _ if self.is_json_list() => b"]",
            FramingEncoderConfig::NewlineDelimited if !empty => b"\n",
            _ => b"",
        }
    }

    /// The media type of a message of events.
    pub fn content_type(&self) -> &'static str {
        match (&self.codec, self.framing.config()) {
            (Codec::Json { .. } | Codec::NativeJson, FramingEncoderConfig::NewlineDelimited) => "application/x-ndjson",
            (
                Codec::Gelf { .. } | Codec::Json { .. } | Codec::NativeJson,
                FramingEncoderConfig::CharacterDelimited(b','),
            ) => "application/json",
            (Codec::Protobuf(_), _) => "application/octet-stream",
            _ => "text/plain",
        }
    }

    fn plan(&self, logs: &LogBatch) -> Plan {
        if !self.transformer.is_nothing() || logs.kind != EventKind::Log {
            return Plan::Values;
        }
        match (&logs.rows, &self.codec) {
            (Rows::Docs(_), Codec::Json { pretty: false, .. }) => Plan::Docs,
            (Rows::Docs(_), Codec::Text { .. } | Codec::RawMessage) => match lines::single(&self.schema.message_key) {
                Some(key) => Plan::TextDocs(key.to_owned()),
                None => Plan::Values,
            },
            (Rows::Lines(l), Codec::Json { pretty: false, .. }) => {
                lines::Pieces::new(l).map_or(Plan::Values, Plan::JsonLines)
            }
            (Rows::Lines(l), Codec::Text { .. } | Codec::RawMessage)
                if lines::is_message(&l.origin, &self.schema.message_key) =>
            {
                Plan::TextLines
            }
            _ => Plan::Values,
        }
    }

    fn log(&mut self, logs: &LogBatch, i: usize, plan: &Plan, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (&logs.rows, plan) {
            (Rows::Docs(docs), Plan::Docs) => docs.write_json(i, out),
            (Rows::Docs(docs), Plan::TextDocs(key)) => match docs.field(i, key) {
                Some(Value::Bytes(b)) => out.extend_from_slice(&b),
                Some(other) => out.extend_from_slice(&other.coerce_to_bytes()),
                None => {}
            },
            (Rows::Lines(l), Plan::TextLines) => out.extend_from_slice(l.text(i)),
            (Rows::Lines(l), Plan::JsonLines(pieces)) => pieces.write(l, i, out),
            (Rows::Events(events), _) if self.transformer.is_nothing() => {
                let Some(event) = events.get(i) else { return Ok(()) };
                return self.value(&event.value, logs.kind, out);
            }
            _ => return self.serialize_value(logs.value(i), logs.kind, out),
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, kind: EventKind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let codec = self.codec.name();
        let fail = |message: String| EncodeError::Serialize { codec, message };
        if kind == EventKind::Trace
            && !matches!(self.codec, Codec::Json { .. } | Codec::NativeJson | Codec::Text { .. })
        {
            return Err(EncodeError::Kind(codec, "traces"));
        }
        match &mut self.codec {
            Codec::Json { pretty: true, .. } => {
                serde_json::to_writer_pretty(out, value).map_err(|e| fail(e.to_string()))
            }
            Codec::Json { .. } => {
                json::write_value(value, out);
                Ok(())
            }
            Codec::Text { .. } if kind == EventKind::Trace => Ok(()),
            Codec::Text { .. } | Codec::RawMessage => {
                match value.get(&self.schema.message_key) {
                    Some(Value::Bytes(b)) => out.extend_from_slice(b),
                    Some(other) => out.extend_from_slice(&other.coerce_to_bytes()),
                    None => {}
                }
                Ok(())
            }
            Codec::Logfmt => {
                let text = vrl::core::encode_logfmt::encode_value(value).map_err(|e| fail(e.to_string()))?;
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Codec::Csv(csv) => {
                csv.write(value, out);
                Ok(())
            }
            Codec::Gelf { .. } => {
                let value = gelf::event(value.clone(), &self.schema).map_err(fail)?;
                json::write_value(&value, out);
                Ok(())
            }
            Codec::NativeJson => {
                out.extend_from_slice(if kind == EventKind::Trace {
                    b"{\"trace\":"
                } else {
                    b"{\"log\":"
                });
                json::write_value(value, out);
                out.push(b'}');
                Ok(())
            }
            Codec::Protobuf(p) => p.write(value, out).map_err(fail),
        }
    }

    fn metric(&mut self, metric: &Metric, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let codec = self.codec.name();
        let fail = |e: serde_json::Error| EncodeError::Serialize {
            codec,
            message: e.to_string(),
        };
        let reduced = |tags: MetricTagValues| match tags {
            MetricTagValues::Single => single_tags(metric),
            MetricTagValues::Full => std::borrow::Cow::Borrowed(metric),
        };
        match &self.codec {
            Codec::Json { tags, pretty } => {
                let m = reduced(*tags);
                match pretty {
                    true => serde_json::to_writer_pretty(out, &MetricJson(&m)),
                    false => serde_json::to_writer(out, &MetricJson(&m)),
                }
                .map_err(fail)
            }
            Codec::Text { tags } => {
                let mut text = String::new();
                let _never_fails = write!(text, "{}", MetricText(&reduced(*tags)));
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Codec::NativeJson => {
                out.extend_from_slice(b"{\"metric\":");
                serde_json::to_writer(&mut *out, &MetricJson(metric)).map_err(fail)?;
                out.push(b'}');
                Ok(())
            }
            _ => Err(EncodeError::Kind(codec, "metrics")),
        }
    }
}

/// How the events of a batch are written.
enum Plan {
    /// Made values first, if they are none.
    Values,
    /// As the documents' own text.
    Docs,
    /// As the documents' messages.
    TextDocs(String),
    /// As the lines' own text.
    TextLines,
    /// As JSON around the lines' text.
    JsonLines(lines::Pieces),
}
