//! The `framing` tables of sources and sinks.

use qd_logs_config::{Node, carry};
use serde::{Deserialize, Deserializer};

use crate::tagged;

/// What becomes of a frame that is longer than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OversizedAction {
    /// It is skipped.
    #[default]
    Drop,
    /// Its beginning is kept.
    Truncate,
}

/// `character_delimited`, in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct CharacterDelimited {
    /// The ASCII character after each frame.
    #[serde(deserialize_with = "crate::ascii_char::deserialize")]
    pub delimiter: u8,
    /// The longest frame in bytes, without the delimiter.
    pub max_length: Option<usize>,
    /// What becomes of longer ones.
    #[serde(default)]
    pub oversized_action: OversizedAction,
}

/// `newline_delimited`, in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct NewlineDelimited {
    /// The longest line in bytes, without the newline.
    pub max_length: Option<usize>,
    /// What becomes of longer ones.
    #[serde(default)]
    pub oversized_action: OversizedAction,
}

/// `length_delimited`, in sources and sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LengthDelimited {
    /// The longest frame in bytes: 8 MiB if nothing is said.
    pub max_frame_length: usize,
    /// Bytes of the length field, 1 to 8: 4 if nothing is said.
    #[serde(deserialize_with = "field_length")]
    pub length_field_length: usize,
    /// Bytes before the length field: none if nothing is said.
    pub length_field_offset: usize,
    /// The order of its bytes; big-endian if nothing is said.
    pub length_field_is_big_endian: bool,
}

fn field_length<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
    let n = usize::deserialize(d)?;
    match n {
        1..=8 => Ok(n),
        _ => Err(serde::de::Error::custom("a length field has 1 to 8 bytes")),
    }
}

/// The longest frame of the binary framings if nothing is said: 8 MiB.
pub(crate) const DEFAULT_MAX_FRAME: usize = 8 * 1024 * 1024;

impl Default for LengthDelimited {
    fn default() -> Self {
        LengthDelimited {
            max_frame_length: DEFAULT_MAX_FRAME,
            length_field_length: 4,
            length_field_offset: 0,
            length_field_is_big_endian: true,
        }
    }
}

/// How messages of chunked GELF are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Decompression {
    /// As their first bytes say.
    #[default]
    Auto,
    /// By gzip.
    Gzip,
    /// By zlib.
    Zlib,
    /// Not.
    None,
}

/// `chunked_gelf`, in a source.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct ChunkedGelfOptions {
    /// How long all chunks of a message may take, in seconds: 5 if nothing is said.
    pub timeout_secs: f64,
    /// How many messages may be incomplete at a time. If nothing is said, as many as fit into
    /// [`HARD_LIMIT`](super::HARD_LIMIT) bytes.
    pub pending_messages_limit: Option<usize>,
    /// The longest message in bytes, before it is decompressed.
    pub max_length: Option<usize>,
    /// How messages are compressed.
    pub decompression: Decompression,
}

impl Default for ChunkedGelfOptions {
    fn default() -> Self {
        ChunkedGelfOptions {
            timeout_secs: 5.0,
            pending_messages_limit: None,
            max_length: None,
            decompression: Decompression::Auto,
        }
    }
}

/// The `framing` table of a source.
#[derive(Debug, Clone, PartialEq)]
pub enum FramingConfig {
    /// All bytes to the end of the message or stream are one frame.
    Bytes,
    /// A character after each frame.
    CharacterDelimited(CharacterDelimited),
    /// A length before each frame.
    LengthDelimited(LengthDelimited),
    /// A newline after each frame.
    NewlineDelimited(NewlineDelimited),
    /// RFC 6587: a decimal length and a space before each frame, or lines.
    OctetCounting {
        /// The longest frame in bytes.
        max_length: Option<usize>,
    },
    /// GELF's chunks in datagrams.
    ChunkedGelf(ChunkedGelfOptions),
    /// A length as protobuf's varint before each frame.
    VarintLengthDelimited {
        /// The longest frame in bytes.
        max_frame_length: usize,
    },
}

impl FramingConfig {
    /// Lines of at most this many bytes.
    pub fn lines(max_length: Option<usize>) -> FramingConfig {
        FramingConfig::NewlineDelimited(NewlineDelimited {
            max_length,
            ..NewlineDelimited::default()
        })
    }
}

const METHODS: [&str; 7] = [
    "bytes",
    "character_delimited",
    "length_delimited",
    "newline_delimited",
    "octet_counting",
    "chunked_gelf",
    "varint_length_delimited",
];

#[derive(Deserialize, Default)]
struct OctetCounting {
    max_length: Option<usize>,
}

impl<'de> Deserialize<'de> for FramingConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let read = || {
            Ok(match tagged::tag(&node, "method")? {
                "bytes" => FramingConfig::Bytes,
                "character_delimited" => {
                    FramingConfig::CharacterDelimited(tagged::required(&node, "character_delimited")?)
                }
                "length_delimited" => FramingConfig::LengthDelimited(tagged::required(&node, "length_delimited")?),
                "newline_delimited" => FramingConfig::NewlineDelimited(tagged::entry(&node, "newline_delimited")?),
                "octet_counting" => FramingConfig::OctetCounting {
                    max_length: tagged::entry::<OctetCounting>(&node, "octet_counting")?.max_length,
                },
                "chunked_gelf" => FramingConfig::ChunkedGelf(tagged::entry(&node, "chunked_gelf")?),
                "varint_length_delimited" => FramingConfig::VarintLengthDelimited {
                    max_frame_length: tagged::entry::<Option<usize>>(&node, "max_frame_length")?
                        .unwrap_or(DEFAULT_MAX_FRAME),
                },
                other => return Err(tagged::unknown(&node, "method", other, &METHODS)),
            })
        };
        read().map_err(carry)
    }
}

/// The `framing` table of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FramingEncoderConfig {
    /// Nothing.
    Bytes,
    /// A character after each frame, as in [`CharacterDelimited`].
    CharacterDelimited(u8),
    /// A length before each frame.
    LengthDelimited(LengthDelimited),
    /// A newline after each frame.
    NewlineDelimited,
    /// A length as protobuf's varint before each frame.
    VarintLengthDelimited {
        /// The longest frame in bytes.
        max_frame_length: usize,
    },
}

const ENCODER_METHODS: [&str; 5] = [
    "bytes",
    "character_delimited",
    "length_delimited",
    "newline_delimited",
    "varint_length_delimited",
];

#[derive(Deserialize)]
struct Delimiter {
    #[serde(deserialize_with = "crate::ascii_char::deserialize")]
    delimiter: u8,
}

impl<'de> Deserialize<'de> for FramingEncoderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let read = || {
            Ok(match tagged::tag(&node, "method")? {
                "bytes" => FramingEncoderConfig::Bytes,
                "character_delimited" => {
                    let d: Delimiter = tagged::required(&node, "character_delimited")?;
                    FramingEncoderConfig::CharacterDelimited(d.delimiter)
                }
                "length_delimited" => {
                    FramingEncoderConfig::LengthDelimited(tagged::required(&node, "length_delimited")?)
                }
                "newline_delimited" => FramingEncoderConfig::NewlineDelimited,
                "varint_length_delimited" => FramingEncoderConfig::VarintLengthDelimited {
                    max_frame_length: tagged::entry::<Option<usize>>(&node, "max_frame_length")?
                        .unwrap_or(DEFAULT_MAX_FRAME),
                },
                other => return Err(tagged::unknown(&node, "method", other, &ENCODER_METHODS)),
            })
        };
        read().map_err(carry)
    }
}
