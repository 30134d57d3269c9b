//! Options that many components share: buffers, batches, requests, TLS, proxies, health checks, acknowledgements.
//!
//! Keys, defaults and refusals are those of Vector 0.58. Every type reads itself from a [`Node`](crate::Node) through
//! serde, so a component's own struct simply has a field of the type; a value that cannot work is refused while
//! reading, with the place of the culprit. Where Vector ignores unknown keys (`batch`, `request`, `healthcheck`,
//! `acknowledgements`), so do these types; where it refuses them (`buffer`, `tls`, `proxy`,
//! `adaptive_concurrency`), these refuse them too.

mod batch;
mod buffer;
mod delivery;
mod request;
mod tls;

pub use batch::{BatchConfig, BatchDefaults, BatchSettings, BulkBySize, RealtimeByEvents, RealtimeBySize};
pub use buffer::{BufferConfig, BufferStage, DISK_BUFFER_MINIMUM, MEMORY_BUFFER_EVENTS, MemoryBound, WhenFull};
pub use delivery::{Acknowledgements, Healthcheck, ProxyConfig};
pub use request::{AdaptiveConcurrency, Concurrency, JitterMode, RequestConfig, RequestDefaults, StandardRequest};
pub use tls::{TlsConfig, TlsServerConfig};

use serde::{Deserialize, Deserializer};

use crate::{Node, NodeValue, carry};

/// A list that may be written as its only item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        match &node.value {
            NodeValue::Array(_) => crate::decode(&node).map(OneOrMany).map_err(carry),
            _ => crate::decode(&node).map(|one| OneOrMany(vec![one])).map_err(carry),
        }
    }
}

/// Reads a type that may be written as `true`, `false` or a table, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// Those of the type, or that the value is neither.
pub fn bool_or_table<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: serde::de::DeserializeOwned + From<bool>,
    D: Deserializer<'de>,
{
    let node = Node::deserialize(deserializer)?;
    match &node.value {
        NodeValue::Bool(b) => Ok(T::from(*b)),
        NodeValue::Table(_) => crate::decode(&node).map_err(carry),
        _ => Err(carry(
            crate::ConfigError::new(format!("expected true, false or a table, found {}", node.kind())).at(node.span),
        )),
    }
}
