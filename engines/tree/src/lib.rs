//! Configuration files as a tree with places, and the tree as types.
//!
//! A [`Node`] is one value of a TOML, YAML or JSON file and knows where it stands. [`decode`] turns a node into any type
//! that serde can read, and an error of that (an unknown key, a wrong type, a missing key) comes back as a
//! [`ConfigError`] with the span of the culprit and the closest key that would have been right. [`Spanned`] keeps the place
//! of a value for findings that come later, and [`Files::render`] shows a finding with its line. This crate knows no
//! engine: what a configuration may say lives with whoever reads it.

mod de;
mod dump;
mod error;
mod files;
mod mask;
mod node;
mod spanned;
mod text;

pub use de::{carry, nearest};
pub use error::ConfigError;
pub use files::{Diagnostic, Files, Position};
pub use node::{FileId, Key, Node, NodeValue, Span};
pub use spanned::Spanned;
pub use text::{Format, MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES, parse};

/// Reads a node as a `T`.
///
/// # Errors
/// What serde found wrong (unknown key of a type with `deny_unknown_fields`, missing key, wrong type, a message of the
/// type's own) with the innermost place and path known, and for an unknown key or variant the closest right one.
pub fn decode<T: serde::de::DeserializeOwned>(node: &Node) -> Result<T, ConfigError> {
    de::decode(node)
}

/// How many unknown keys [`decode_all`] names at most.
const UNKNOWN_KEYS: usize = 32;

/// Like [`decode`], but names all unknown keys and then the first of the other mistakes.
///
/// # Errors
/// As [`decode`]'s; at least one.
pub fn decode_all<T: serde::de::DeserializeOwned>(node: &Node) -> Result<T, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut pruned: Option<Node> = None;
    loop {
        match decode::<T>(pruned.as_ref().unwrap_or(node)) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(error) => {
                // Only without the unknown key can serde see what comes after it.
                let again = error.message.starts_with("unknown key")
                    && errors.len() < UNKNOWN_KEYS
                    && pruned.get_or_insert_with(|| node.clone()).remove(&error.path);
                errors.push(error);
                if !again {
                    return Err(errors);
                }
            }
        }
    }
}
