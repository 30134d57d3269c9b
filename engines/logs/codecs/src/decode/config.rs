//! The `decoding` table of sources.

use std::path::PathBuf;

use qd_logs_config::{Node, carry};
use qd_logs_model::EventKind;
use serde::{Deserialize, Deserializer};

use crate::{FramingConfig, framing::CharacterDelimited, framing::OversizedAction, tagged};

/// How strictly GELF is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GelfValidation {
    /// As the specification says.
    #[default]
    Strict,
    /// Any version, any names and values of additional fields.
    Relaxed,
}

/// The `protobuf` table of an encoding or decoding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProtobufOptions {
    /// A compiled `FileDescriptorSet`, as `protoc -o` writes it.
    pub desc_file: PathBuf,
    /// The message's full name: `package.Message`.
    pub message_type: String,
    /// Whether fields have their JSON names instead of those in the `.proto` file.
    #[serde(default)]
    pub use_json_names: bool,
}

/// The `decoding` table of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DecodingConfig {
    /// The frame is the event's message.
    #[default]
    Bytes,
    /// An object, or a list of objects.
    Json {
        /// Whether bytes that are no UTF-8 are replaced instead of refused.
        lossy: bool,
    },
    /// RFC 3164 and RFC 5424.
    Syslog {
        /// Whether bytes that are no UTF-8 are replaced instead of refused.
        lossy: bool,
    },
    /// Vector's own JSON, which holds logs, metrics and traces.
    NativeJson {
        /// Whether bytes that are no UTF-8 are replaced instead of refused.
        lossy: bool,
    },
    /// Graylog's extended log format 1.1.
    Gelf {
        /// Whether bytes that are no UTF-8 are replaced instead of refused.
        lossy: bool,
        /// How strictly it is read.
        validation: GelfValidation,
    },
    /// Metrics in InfluxDB's line protocol.
    Influxdb {
        /// Whether bytes that are no UTF-8 are replaced instead of refused.
        lossy: bool,
    },
    /// A protobuf message.
    Protobuf(ProtobufOptions),
    /// Whatever a VRL program makes of the frame, which it finds as message.
    Vrl {
        /// The program.
        source: String,
        /// The zone of times without one; the machine's if nothing is said.
        timezone: Option<String>,
    },
}

const CODECS: [&str; 11] = [
    "bytes",
    "json",
    "protobuf",
    "otlp",
    "syslog",
    "native",
    "native_json",
    "gelf",
    "influxdb",
    "avro",
    "vrl",
];

#[derive(Deserialize)]
#[serde(default)]
struct Lossy {
    lossy: bool,
    validation: GelfValidation,
}

impl Default for Lossy {
    fn default() -> Self {
        Lossy {
            lossy: true,
            validation: GelfValidation::Strict,
        }
    }
}

#[derive(Deserialize)]
struct Vrl {
    source: String,
    timezone: Option<String>,
}

impl<'de> Deserialize<'de> for DecodingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let read = || {
            let lossy = |key| tagged::entry::<Lossy>(&node, key).map(|o| o.lossy);
            Ok(match tagged::tag(&node, "codec")? {
                "bytes" => DecodingConfig::Bytes,
                "json" => DecodingConfig::Json { lossy: lossy("json")? },
                "syslog" => DecodingConfig::Syslog {
                    lossy: lossy("syslog")?,
                },
                "native_json" => DecodingConfig::NativeJson {
                    lossy: lossy("native_json")?,
                },
                "gelf" => {
                    let o: Lossy = tagged::entry(&node, "gelf")?;
                    DecodingConfig::Gelf {
                        lossy: o.lossy,
                        validation: o.validation,
                    }
                }
                "influxdb" => DecodingConfig::Influxdb {
                    lossy: lossy("influxdb")?,
                },
                "protobuf" => DecodingConfig::Protobuf(tagged::required(&node, "protobuf")?),
                "vrl" => {
                    let o: Vrl = tagged::required(&node, "vrl")?;
                    DecodingConfig::Vrl {
                        source: o.source,
                        timezone: o.timezone,
                    }
                }
                codec @ ("otlp" | "native" | "avro") => return Err(tagged::unsupported(&node, "codec", codec)),
                other => return Err(tagged::unknown(&node, "codec", other, &CODECS)),
            })
        };
        read().map_err(carry)
    }
}

impl DecodingConfig {
    /// The framing of a stream if none is configured.
    pub fn default_stream_framing(&self) -> FramingConfig {
        match self {
            DecodingConfig::Bytes
            | DecodingConfig::Json { .. }
            | DecodingConfig::Influxdb { .. }
            | DecodingConfig::NativeJson { .. }
            | DecodingConfig::Syslog { .. } => FramingConfig::lines(None),
            DecodingConfig::Gelf { .. } => FramingConfig::CharacterDelimited(CharacterDelimited {
                delimiter: 0,
                max_length: None,
                oversized_action: OversizedAction::Drop,
            }),
            DecodingConfig::Protobuf(_) | DecodingConfig::Vrl { .. } => FramingConfig::Bytes,
        }
    }

    /// The framing of messages, such as datagrams, if none is configured.
    pub fn default_message_framing(&self) -> FramingConfig {
        match self {
            DecodingConfig::Gelf { .. } => FramingConfig::ChunkedGelf(Default::default()),
            _ => FramingConfig::Bytes,
        }
    }

    /// The kinds of events that come out.
    pub fn kinds(&self) -> Vec<EventKind> {
        match self {
            DecodingConfig::NativeJson { .. } => vec![EventKind::Log, EventKind::Metric, EventKind::Trace],
            DecodingConfig::Influxdb { .. } => vec![EventKind::Metric],
            _ => vec![EventKind::Log],
        }
    }
}
