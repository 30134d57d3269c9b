//! The `encoding` table of sinks.

use qd_logs_config::{ConfigError, Node, carry};
use serde::{Deserialize, Deserializer};
use vrl::path::{OwnedTargetPath, parse_target_path};

use super::Transformer;
use crate::tagged;

use crate::decode::ProtobufOptions;

/// Whether a sink sends a stream of events, or messages of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkType {
    /// A stream: a file, a socket.
    Stream,
    /// Messages: requests, objects.
    Message,
}

/// How a metric's tags are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricTagValues {
    /// One value each: of many the last.
    #[default]
    Single,
    /// All values.
    Full,
}

/// When CSV's fields are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteStyle {
    /// Always.
    Always,
    /// When they hold a quote, a delimiter or the end of a line, or are a record's only field and empty.
    #[default]
    Necessary,
    /// When they are no number.
    NonNumeric,
    /// Never, even if they can't be read back then.
    Never,
}

/// The `csv` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CsvOptions {
    /// Between fields.
    #[serde(default = "comma", deserialize_with = "crate::ascii_char::deserialize")]
    pub delimiter: u8,
    /// Whether a quote in a field is doubled; else `escape` comes before it.
    #[serde(default = "yes")]
    pub double_quote: bool,
    /// Before a quote in a field if it is not doubled.
    #[serde(default = "quote", deserialize_with = "crate::ascii_char::deserialize")]
    pub escape: u8,
    /// Around a field.
    #[serde(default = "quote", deserialize_with = "crate::ascii_char::deserialize")]
    pub quote: u8,
    /// When fields are quoted.
    #[serde(default)]
    pub quote_style: QuoteStyle,
    /// Vector's size of an inner buffer; read and not used here.
    #[serde(default)]
    pub capacity: Option<usize>,
    /// The fields, in the order of the columns; one at least.
    #[serde(deserialize_with = "paths")]
    pub fields: Vec<OwnedTargetPath>,
}

fn comma() -> u8 {
    b','
}

fn quote() -> u8 {
    b'"'
}

fn yes() -> bool {
    true
}

fn paths<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<OwnedTargetPath>, D::Error> {
    Vec::<String>::deserialize(d)?
        .iter()
        .map(|p| parse_target_path(p).map_err(|_| serde::de::Error::custom(format!("`{p}` is no path of a field"))))
        .collect()
}

/// A codec with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SerializerConfig {
    /// JSON, an object without white space.
    Json {
        /// How a metric's tags are written.
        metric_tag_values: MetricTagValues,
        /// Over many lines.
        pretty: bool,
    },
    /// The message; a metric as a line of text.
    Text {
        /// How a metric's tags are written.
        metric_tag_values: MetricTagValues,
    },
    /// The message.
    RawMessage,
    /// `key=value` pairs.
    Logfmt,
    /// Some fields, separated.
    Csv(CsvOptions),
    /// Graylog's extended log format.
    Gelf {
        /// The longest datagram, where it is sent by such; 8,192 bytes if nothing is said.
        max_chunk_size: usize,
    },
    /// Vector's own JSON.
    NativeJson,
    /// A protobuf message.
    Protobuf(ProtobufOptions),
}

/// The `encoding` table of a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodingConfig {
    /// The codec.
    pub codec: SerializerConfig,
    /// What is done to events before.
    pub transformer: Transformer,
    /// Keys that say nothing to this codec. Vector ignores them without a word; a sink should say so.
    pub ignored: Vec<String>,
}

impl EncodingConfig {
    /// A codec without transformations.
    pub fn new(codec: SerializerConfig) -> EncodingConfig {
        EncodingConfig {
            codec,
            transformer: Transformer::default(),
            ignored: Vec::new(),
        }
    }

    /// Plain JSON.
    pub fn json() -> EncodingConfig {
        EncodingConfig::new(SerializerConfig::Json {
            metric_tag_values: MetricTagValues::Single,
            pretty: false,
        })
    }

    /// Plain text.
    pub fn text() -> EncodingConfig {
        EncodingConfig::new(SerializerConfig::Text {
            metric_tag_values: MetricTagValues::Single,
        })
    }
}

const CODECS: [&str; 13] = [
    "avro",
    "cef",
    "csv",
    "gelf",
    "json",
    "logfmt",
    "native",
    "native_json",
    "otlp",
    "protobuf",
    "raw_message",
    "text",
    "syslog",
];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Json {
    pretty: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct Gelf {
    max_chunk_size: usize,
}

impl Default for Gelf {
    fn default() -> Self {
        Gelf { max_chunk_size: 8192 }
    }
}

impl<'de> Deserialize<'de> for EncodingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        read(&node).map_err(carry)
    }
}

fn read(node: &Node) -> Result<EncodingConfig, ConfigError> {
    let tags = || tagged::entry::<MetricTagValues>(node, "metric_tag_values");
    let (codec, keys): (_, &[&str]) = match tagged::tag(node, "codec")? {
        "json" => (
            SerializerConfig::Json {
                metric_tag_values: tags()?,
                pretty: tagged::entry::<Json>(node, "json")?.pretty,
            },
            &["metric_tag_values", "json"],
        ),
        "text" => (
            SerializerConfig::Text {
                metric_tag_values: tags()?,
            },
            &["metric_tag_values"],
        ),
        "raw_message" => (SerializerConfig::RawMessage, &[]),
        "logfmt" => (SerializerConfig::Logfmt, &[]),
        "native_json" => (SerializerConfig::NativeJson, &[]),
        "csv" => (SerializerConfig::Csv(tagged::required(node, "csv")?), &["csv"]),
        "gelf" => {
            let max_chunk_size = tagged::entry::<Gelf>(node, "gelf")?.max_chunk_size;
            if max_chunk_size < 13 {
                return Err(
                    ConfigError::new("`max_chunk_size` must be 13 at least: a chunk's header has 12 bytes")
                        .at(node.get("gelf").and_then(|n| n.span))
                        .within("gelf"),
                );
            }
            (SerializerConfig::Gelf { max_chunk_size }, &["gelf"])
        }
        "protobuf" => (
            SerializerConfig::Protobuf(tagged::required(node, "protobuf")?),
            &["protobuf"],
        ),
        codec @ ("avro" | "cef" | "native" | "otlp" | "syslog") => {
            return Err(tagged::unsupported(node, "codec", codec));
        }
        other => return Err(tagged::unknown(node, "codec", other, &CODECS)),
    };
    let known = |k: &str| k == "codec" || keys.contains(&k) || Transformer::KEYS.contains(&k);
    Ok(EncodingConfig {
        codec,
        transformer: Transformer::read(node)?,
        ignored: node
            .entries()
            .unwrap_or_default()
            .iter()
            .map(|(k, _)| k.name.clone())
            .filter(|k| !known(k))
            .collect(),
    })
}
