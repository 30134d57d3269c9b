//! Configuration of log pipelines: files to a tree with spans, and the tree to typed values.
//!
//! A [`Node`] is one value of a TOML, YAML or JSON file and knows where it stands. [`decode`] turns a node into any type
//! that serde can read, and an error of that (an unknown key, a wrong type, a missing key) comes back as a
//! [`ConfigError`] with the span of the culprit and the closest key that would have been right. This crate knows no
//! component: what a source, transform or sink is lives in `qd-logs-model`.

mod de;
mod error;
mod node;

pub use error::ConfigError;
pub use node::{FileId, Key, Node, NodeValue, Span};

/// Reads a node as a `T`.
///
/// # Errors
/// What serde found wrong (unknown key of a type with `deny_unknown_fields`, missing key, wrong type, a message of the
/// type's own) with the innermost place and path known, and for an unknown key or variant the closest right one.
pub fn decode<T: serde::de::DeserializeOwned>(node: &Node) -> Result<T, ConfigError> {
    de::decode(node)
}
