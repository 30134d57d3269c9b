//! From the bytes of a file to a tree.
//!
//! The three formats give the same trees: numbers are whole or finite, keys are texts and stand once in a table, dates
//! are texts. What the formats can say beyond that is refused with its place. Input is bounded in bytes, depth and
//! nodes, so that no file, however hostile, takes more memory than a small multiple of its size.

mod json;
mod toml;
mod yaml;

use std::path::Path;
use std::str::FromStr;

use crate::{ConfigError, FileId, Key, Node, NodeValue, Span};

/// Bytes that one configuration file may have.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// How deep lists and tables may nest.
pub const MAX_DEPTH: usize = 96;

/// Values that one file may have, counted after aliases.
pub const MAX_NODES: usize = 1_000_000;

/// The language of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// One document of YAML 1.2 with merge keys.
    Yaml,
    /// JSON as in RFC 8259.
    Json,
}

impl Format {
    /// The format that a file's name tells: `.toml`, `.yaml`, `.yml`, `.json`; `None` for others.
    pub fn of_path(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "toml" => Some(Format::Toml),
            "yaml" | "yml" => Some(Format::Yaml),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = ConfigError;

    fn from_str(s: &str) -> Result<Format, ConfigError> {
        match s.to_lowercase().as_str() {
            "toml" => Ok(Format::Toml),
            "yaml" | "yml" => Ok(Format::Yaml),
            "json" => Ok(Format::Json),
            _ => Err(ConfigError::new(format!(
                "unknown format `{s}`, expected `toml`, `yaml` or `json`"
            ))),
        }
    }
}

/// Parses a text into a tree whose places are byte ranges of the text.
///
/// # Errors
/// Everything that was found wrong: what the grammar refuses, keys that stand twice in a table (with both places),
/// numbers beyond 64 bits or not finite, YAML's tags, several documents, and input beyond the bounds of this module.
pub fn parse(text: &str, format: Format, file: FileId) -> Result<Node, Vec<ConfigError>> {
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![ConfigError::new(format!(
            "the file has {} bytes; a configuration file has at most {MAX_FILE_BYTES}",
            text.len()
        ))]);
    }
    match format {
        Format::Toml => toml::parse(text, file),
        Format::Yaml => yaml::parse(text, file).map_err(|e| vec![e]),
        Format::Json => json::parse(text, file).map_err(|e| vec![e]),
    }
}

/// A span of a text, clipped to it.
fn span(text: &str, file: FileId, start: usize, end: usize) -> Span {
    let mut start = start.min(text.len());
    let mut end = end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    Span {
        file,
        start: u32::try_from(start).unwrap_or(u32::MAX),
        end: u32::try_from(end).unwrap_or(u32::MAX),
    }
}

/// A number with a fraction as a node.
fn float(value: f64) -> Result<NodeValue, ConfigError> {
    if value.is_finite() {
        Ok(NodeValue::Float(value))
    } else {
        Err(ConfigError::new("a number must be finite here"))
    }
}

fn too_large() -> ConfigError {
    ConfigError::new(format!("whole numbers go up to {}", i64::MAX))
}

fn too_deep() -> ConfigError {
    ConfigError::new(format!("lists and tables nest more than {MAX_DEPTH} deep"))
}

fn too_many() -> ConfigError {
    ConfigError::new(format!(
        "the file has more than {MAX_NODES} values, those of aliases included"
    ))
}

/// The finding that a key stands twice.
fn duplicate(key: &Key, first: Option<Span>) -> ConfigError {
    ConfigError::new(format!("the key `{}` stands twice in this table", key.name))
        .at(key.span)
        .related("it stands here first", first)
        .within(key.name.clone())
}
