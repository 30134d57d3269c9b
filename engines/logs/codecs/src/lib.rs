//! Framing, decoding, encoding and compression of events, and templates over their fields.
//!
//! Keys, defaults and refusals of every configuration type are those of Vector 0.58; fields of decoded events are those
//! of its legacy namespace. A source turns bytes into batches by a [`Decoder`] (made from [`DecodingConfig`] and
//! [`FramingConfig`]), a sink turns batches into bytes by an [`Encoder`] (made from [`EncodingConfig`] and
//! [`FramingEncoderConfig`]). Both work on whole batches, and on the cheap forms of a batch where the result is the
//! same. One bad event never spoils the others: it is reported and left out.

pub mod compression;
pub mod confine;
pub mod decode;
pub mod encode;
pub mod framing;
pub mod members;
pub mod native;
pub mod template;

pub use compression::{Compression, CompressionLevel, StreamCompression};
pub use confine::{ConfineError, Confinement, ConfinementError, PathConfinement};
pub use decode::{DecodeError, Decoded, Decoder, DecodingConfig, Deserializer, End, GelfValidation, ProtobufOptions};
pub use encode::{
    EncodeError, Encoded, Encoder, EncodingConfig, MetricTagValues, SinkType, TimestampFormat, Transformer,
};
pub use framing::{Framer, FramingConfig, FramingEncoder, FramingEncoderConfig, FramingError};
pub use template::{EventRef, RenderError, Template, TemplateError, UnsignedIntTemplate, timezone_offset};

/// One ASCII character as Vector's configurations write it: a text of exactly one character.
pub(crate) mod ascii_char {
    use serde::{Deserialize, Deserializer, de::Error};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        let c = char::deserialize(deserializer)?;
        u8::try_from(c)
            .ok()
            .filter(u8::is_ascii)
            .ok_or_else(|| D::Error::custom(format!("expected an ASCII character, found `{c}`")))
    }
}

/// Reads what stands beside a table's discriminating key as the type that the key asks for: serde's internal tags
/// would lose the places of mistakes.
pub(crate) mod tagged {
    use qd_logs_config::{ConfigError, Node, NodeValue};

    /// The value of the key `tag` of a table.
    ///
    /// # Errors
    /// If this is no table, or has no such key, or it is no text.
    pub(crate) fn tag<'n>(node: &'n Node, tag: &'static str) -> Result<&'n str, ConfigError> {
        let Some(_) = node.entries() else {
            return Err(ConfigError::new(format!("expected a table, found {}", node.kind())).at(node.span));
        };
        let Some(value) = node.get(tag) else {
            return Err(ConfigError::new(format!("missing key `{tag}`")).at(node.span));
        };
        value.as_str().ok_or_else(|| {
            ConfigError::new(format!("expected text, found {}", value.kind()))
                .at(value.span)
                .within(tag)
        })
    }

    /// That the value of the key is none of the right ones.
    pub(crate) fn unknown(node: &Node, tag: &'static str, found: &str, right: &[&str]) -> ConfigError {
        let list = right.iter().map(|e| format!("`{e}`")).collect::<Vec<_>>().join(", ");
        ConfigError::new(format!("unknown value `{found}`, expected one of {list}"))
            .suggest(qd_logs_config::nearest(found, right.iter().copied()))
            .at(node.get(tag).and_then(|n| n.span))
            .within(tag)
    }

    /// That Vector knows this value, but it is not supported here.
    pub(crate) fn unsupported(node: &Node, tag: &'static str, found: &str) -> ConfigError {
        ConfigError::new(format!("the {tag} `{found}` is not supported"))
            .at(node.get(tag).and_then(|n| n.span))
            .within(tag)
    }

    /// One entry of a table, or the default where there is none (or it is null).
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub(crate) fn entry<T: serde::de::DeserializeOwned + Default>(
        node: &Node,
        key: &'static str,
    ) -> Result<T, ConfigError> {
        match node.get(key) {
            Some(n) if n.value != NodeValue::Null => qd_logs_config::decode(n).map_err(|e| e.within(key)),
            _ => Ok(T::default()),
        }
    }

    /// One entry of a table that must be there.
    ///
    /// # Errors
    /// What is wrong with the entry, or that it is missing.
    pub(crate) fn required<T: serde::de::DeserializeOwned>(node: &Node, key: &'static str) -> Result<T, ConfigError> {
        match node.get(key) {
            Some(n) => qd_logs_config::decode(n).map_err(|e| e.within(key)),
            None => Err(ConfigError::new(format!("missing key `{key}`")).at(node.span)),
        }
    }
}
