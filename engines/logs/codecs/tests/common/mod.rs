//! What the tests share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use qd_logs_codecs::{Decoded, Decoder, DecodingConfig, Encoder, EncodingConfig, End, FramingConfig, SinkType};
use qd_logs_config::{ConfigError, Node};
use qd_logs_model::{Batch, Line, Lines, LogBatch, LogEvent, LogSchema, MetricBatch, Origin, Rows, Value};
use vrl::path::OwnedValuePath;

pub fn node(json: serde_json::Value) -> Node {
    Node::from(json)
}

pub fn config<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> Result<T, ConfigError> {
    qd_logs_config::decode(&node(json))
}

pub fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        source: "in".into(),
        source_type: "test",
        message: OwnedValuePath::single_field("message"),
        timestamp: Some(OwnedValuePath::single_field("timestamp")),
        offset: None,
        fields: vec![(OwnedValuePath::single_field("source_type"), Value::from("test"))],
    })
}

pub fn time() -> DateTime<Utc> {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

pub fn decoder(decoding: serde_json::Value, framing: Option<serde_json::Value>) -> Decoder {
    let d: DecodingConfig = config(decoding).unwrap();
    let framing = match framing {
        Some(f) => config::<FramingConfig>(f).unwrap(),
        None => d.default_stream_framing(),
    };
    Decoder::new(&framing, d.build(&LogSchema::default()).unwrap())
}

/// Decodes `input` in pieces of `step` bytes.
pub fn decode(decoder: &mut Decoder, input: &[u8], step: usize) -> Vec<Decoded> {
    let mut buffer = BytesMut::new();
    let mut all = Vec::new();
    for piece in input.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        let d = decoder.decode(&mut buffer, End::No, &origin(), time());
        let broken = d.broken;
        all.push(d);
        if broken {
            return all;
        }
    }
    all.push(decoder.decode(&mut buffer, End::Yes, &origin(), time()));
    all
}

pub fn values(decoded: &[Decoded]) -> Vec<Value> {
    let mut all = Vec::new();
    for batch in decoded.iter().flat_map(|d| &d.batches) {
        if let Batch::Logs(b) = batch {
            all.extend((0..b.len()).map(|i| b.value(i)));
        }
    }
    all
}

pub fn messages(decoded: &[Decoded]) -> Vec<String> {
    values(decoded)
        .iter()
        .map(|v| {
            v.as_object()
                .unwrap()
                .get("message")
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

pub fn encoder(encoding: serde_json::Value, sink: SinkType) -> Encoder {
    let e: EncodingConfig = config(encoding).unwrap();
    e.build(None, sink, &LogSchema::default()).unwrap()
}

pub fn value(json: serde_json::Value) -> Value {
    Value::from(json)
}

pub fn events(values: impl IntoIterator<Item = Value>) -> Batch {
    Batch::Logs(LogBatch::events(values.into_iter().map(LogEvent::new).collect()))
}

pub fn metrics(json: impl IntoIterator<Item = serde_json::Value>) -> Batch {
    let read = |m| qd_logs_codecs::native::metric_from_json(m).unwrap();
    Batch::Metrics(MetricBatch {
        metrics: json.into_iter().map(read).collect(),
        ..MetricBatch::default()
    })
}

pub fn lines(texts: &[&[u8]], origin: Arc<Origin>) -> Batch {
    let mut block = Vec::new();
    let mut lines = Vec::new();
    for t in texts {
        let start = block.len() as u32;
        block.extend_from_slice(t);
        lines.push(Line {
            start,
            end: block.len() as u32,
            offset: u64::from(start),
        });
        block.push(b'\n');
    }
    Batch::Logs(LogBatch::lines(Lines {
        block: Bytes::from(block),
        lines,
        read_at: time(),
        origin,
    }))
}

/// The same events as values.
pub fn as_events(batch: &Batch) -> Batch {
    match batch {
        Batch::Logs(b) => {
            let mut b = b.clone();
            b.to_events();
            assert!(matches!(b.rows, Rows::Events(_)));
            Batch::Logs(b)
        }
        Batch::Metrics(_) => batch.clone(),
    }
}

pub fn encode(encoder: &mut Encoder, batch: &Batch) -> String {
    let mut out = Vec::new();
    let encoded = encoder.encode_batch(batch, &mut out, |_, _| {});
    assert_eq!(encoded.failed, vec![], "{out:?}");
    assert_eq!(encoded.events, batch.len());
    String::from_utf8(out).unwrap()
}

pub fn p(path: &str) -> OwnedValuePath {
    vrl::path::parse_value_path(path).unwrap()
}
