//! From a stream of bytes to batches, for every source that decodes one.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use qd_core::Severity;
use qd_logs_codecs::{Decoded, Decoder, DecodingConfig, Deserializer, End, FramingConfig};
use qd_logs_model::{
    Batch, BuildError, Closed, Context, Counter, InternalLog, Origin, Shutdown, SourceOut, Telemetry, Value,
    telemetry::Intent,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use vrl::path::OwnedValuePath;

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// What a source of streams counts, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    bytes: Counter,
    events: Counter,
    event_bytes: Counter,
    telemetry: Telemetry,
    log: InternalLog,
}

impl Received {
    /// The counters of a source that receives by `protocol` (Vector's label).
    pub(crate) fn new(cx: &Context, protocol: &str) -> Received {
        let t = &cx.telemetry;
        Received {
            bytes: t
                .with([("protocol", protocol.to_owned())])
                .counter("component_received_bytes_total"),
            events: t.counter("component_received_events_total"),
            event_bytes: t.counter("component_received_event_bytes_total"),
            telemetry: t.clone(),
            log: cx.log.clone(),
        }
    }

    pub(crate) fn bytes(&self, n: usize) {
        self.bytes.add(n as u64);
    }

    pub(crate) fn events(&self, n: usize, bytes: usize) {
        self.events.add(n as u64);
        self.event_bytes.add(bytes as u64);
    }

    /// An error of this type (`reader_failed`, `connection_failed`…), with a sentence.
    pub(crate) fn error(&self, error_type: &str, message: String) {
        self.telemetry.error(error_type, "receiving");
        self.log.say(Severity::Error, message, Vec::new());
    }

    /// Events that are lost.
    pub(crate) fn lost(&self, n: u64, message: String) {
        self.telemetry.discarded(n, Intent::Unintended);
        self.log.say(Severity::Warn, message, Vec::new());
    }

    pub(crate) fn say(&self, severity: Severity, message: String) {
        self.log.say(severity, message, Vec::new());
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Counts what was decoded, and sends it.
    pub(crate) async fn send(&self, decoded: Decoded, out: &SourceOut) -> Result<(), Closed> {
        let events = decoded.events();
        let size: usize = decoded.batches.iter().map(Batch::size).sum();
        self.events(events, size);
        let too_long = decoded.skipped;
        if too_long > 0 {
            self.lost(
                too_long,
                format!("{too_long} frame(s) longer than max_length were dropped"),
            );
        }
        if decoded.cut > 0 {
            self.say(
                Severity::Warn,
                format!("{} frame(s) longer than max_length were cut", decoded.cut),
            );
            self.telemetry.error("condition_failed", "receiving");
        }
        if decoded.failed > 0 {
            for _ in 0..decoded.failed {
                self.telemetry.error("parser_failed", "processing");
            }
            let first = decoded.errors.first().map(ToString::to_string).unwrap_or_default();
            self.lost(
                decoded.failed,
                format!("{} frame(s) could not be decoded; the first: {first}", decoded.failed),
            );
        }
        for batch in decoded.batches {
            out.send(batch).await?;
        }
        Ok(())
    }
}

/// How a source cuts and reads streams, ready to be used.
#[derive(Debug, Clone)]
pub(crate) struct Codec {
    framing: FramingConfig,
    deserializer: Deserializer,
}

impl Codec {
    /// For streams: the framing given, else the one that goes with the decoding, with lines of at most `max` bytes.
    pub(crate) fn stream(
        cx: &Context,
        framing: Option<&FramingConfig>,
        decoding: &DecodingConfig,
        max: Option<usize>,
    ) -> Result<Codec, BuildError> {
        let framing = framing
            .cloned()
            .unwrap_or_else(|| match (decoding.default_stream_framing(), max) {
                (FramingConfig::NewlineDelimited(mut lines), Some(max)) => {
                    lines.max_length = lines.max_length.or(Some(max));
                    FramingConfig::NewlineDelimited(lines)
                }
                (framing, _) => framing,
            });
        Ok(Codec {
            framing,
            deserializer: decoding.build(&cx.globals.log_schema)?,
        })
    }

    /// For messages, such as datagrams.
    pub(crate) fn message(
        cx: &Context,
        framing: Option<&FramingConfig>,
        decoding: &DecodingConfig,
    ) -> Result<Codec, BuildError> {
        Ok(Codec {
            framing: framing.cloned().unwrap_or_else(|| decoding.default_message_framing()),
            deserializer: decoding.build(&cx.globals.log_schema)?,
        })
    }

    /// With exactly this framing.
    pub(crate) fn with(framing: FramingConfig, deserializer: Deserializer) -> Codec {
        Codec { framing, deserializer }
    }

    pub(crate) fn decoder(&self) -> Decoder {
        Decoder::new(&self.framing, self.deserializer.clone())
    }
}

/// What all events of a stream get.
pub(crate) fn origin(cx: &Context, ty: &'static str, fields: Vec<(OwnedValuePath, Value)>) -> Arc<Origin> {
    let schema = &cx.globals.log_schema;
    let mut all = Vec::with_capacity(fields.len() + 1);
    if let Some(path) = &schema.source_type_key {
        all.push((path.clone(), Value::from(ty)));
    }
    all.extend(fields);
    Arc::new(Origin {
        source: cx.id.clone(),
        source_type: ty,
        message: schema.message_key.clone(),
        timestamp: schema.timestamp_key.clone(),
        offset: None,
        fields: all,
    })
}

/// Why a stream is not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It has ended.
    End,
    /// It can't be read, or has no frames any more.
    Broken,
    /// The shutdown was asked for.
    Shutdown,
    /// Its time was over.
    Time,
}

/// Reads a stream to its end, and sends what it holds. On shutdown, what is there is sent. `finish` may change events
/// before they are sent.
#[allow(clippy::too_many_arguments, reason = "a stream's own things, all borrowed")]
pub(crate) async fn pump<R: AsyncRead + Unpin>(
    mut reader: R,
    mut decoder: Decoder,
    origin: &Arc<Origin>,
    received: &Received,
    out: &SourceOut,
    shutdown: &mut Shutdown,
    most: Option<Duration>,
    finish: impl Fn(&mut Decoded),
) -> Result<Over, Closed> {
    let mut input = BytesMut::new();
    let deadline = async {
        match most {
            Some(most) => tokio::time::sleep(most).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let over = loop {
        input.reserve(READ);
        let read = tokio::select! {
            read = reader.read_buf(&mut input) => read,
            () = shutdown.wait() => break Over::Shutdown,
            () = &mut deadline => break Over::Time,
        };
        match read {
            Ok(0) => break Over::End,
            Ok(n) => received.bytes(n),
            Err(e) => {
                received.error("reader_failed", format!("cannot read the stream: {e}"));
                break Over::Broken;
            }
        }
        let mut decoded = decoder.decode(&mut input, End::No, origin, Utc::now());
        let broken = decoded.broken;
        finish(&mut decoded);
        received.send(decoded, out).await?;
        if broken {
            return Ok(Over::Broken);
        }
    };
    let mut decoded = decoder.decode(&mut input, End::Yes, origin, Utc::now());
    finish(&mut decoded);
    received.send(decoded, out).await?;
    Ok(over)
}

/// Decodes one message and sends what it holds.
pub(crate) async fn message(
    codec: &Codec,
    text: Bytes,
    origin: &Arc<Origin>,
    received: &Received,
    out: &SourceOut,
    finish: impl Fn(&mut Decoded),
) -> Result<(), Closed> {
    let mut decoded = codec.decoder().decode_message(text, origin, Utc::now());
    finish(&mut decoded);
    received.send(decoded, out).await
}
