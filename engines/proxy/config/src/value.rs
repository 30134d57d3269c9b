//! Values as people write them: lengths of time, sizes, one or a list.

use std::time::Duration;

use qd_core::{Bytes, parse_duration};
use qd_tree::{ConfigError, Node, NodeValue, carry};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

/// A node as text: text, or a whole number as its digits.
pub(crate) fn text(node: &Node) -> Result<String, ConfigError> {
    match &node.value {
        NodeValue::String(text) => Ok(text.clone()),
        NodeValue::Int(number) => Ok(number.to_string()),
        _ => Err(ConfigError::new(format!("expected text, found {}", node.kind())).at(node.span)),
    }
}

/// Reads a type from its text, `8080` and `"8080"` alike.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let node = Node::deserialize(deserializer)?;
    let text = text(&node).map_err(carry)?;
    text.parse()
        .map_err(|e| carry(ConfigError::new(format!("{e}")).at(node.span)))
}

/// A length of time: `30s`, `1.5ms`, `1h30m`, or 0.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let node = Node::deserialize(deserializer)?;
    let text = text(&node).map_err(carry)?;
    parse_duration(&text).map_err(D::Error::custom)
}

/// The same, where none means no limit.
pub(crate) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// An amount of data in bytes: `64KiB`, `10MB`, or a number of bytes.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let node = Node::deserialize(deserializer)?;
    let text = text(&node).map_err(carry)?;
    text.parse::<Bytes>().map(|bytes| bytes.0).map_err(D::Error::custom)
}

/// The same, where none means no limit.
pub(crate) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    size(deserializer).map(Some)
}

/// One value, or a list of them.
pub(crate) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let node = Node::deserialize(deserializer)?;
    match node.value {
        NodeValue::Array(_) => qd_tree::decode(&node).map_err(carry),
        _ => qd_tree::decode(&node).map(|one| vec![one]).map_err(carry),
    }
}
