//! The buffer before a sink: one stage, or several of which each overflows into the next.

use std::num::{NonZeroU64, NonZeroUsize};

use serde::{Deserialize, Deserializer};

use crate::{ConfigError, Node, NodeValue, carry, decode, nearest};

/// Events that a memory buffer holds when nothing is said.
pub const MEMORY_BUFFER_EVENTS: NonZeroUsize = match NonZeroUsize::new(500) {
    Some(n) => n,
    None => NonZeroUsize::MIN,
};

/// The least `max_size` of a disk buffer, in bytes: two data files of 128 MiB and a ledger of 32 bytes.
pub const DISK_BUFFER_MINIMUM: u64 = 2 * 128 * 1024 * 1024 + 32;

/// What happens to an event that finds its stage full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The sender waits; pressure reaches the source.
    #[default]
    Block,
    /// The event is dropped and counted.
    DropNewest,
    /// The event goes to the next stage.
    Overflow,
}

/// What a memory stage is bounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBound {
    /// So many events.
    Events(NonZeroUsize),
    /// So many bytes of event memory.
    Bytes(NonZeroUsize),
}

/// One stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferStage {
    /// In memory: lost when the process ends.
    Memory {
        /// Its bound.
        bound: MemoryBound,
        /// What happens when it is reached.
        when_full: WhenFull,
    },
    /// On disk, below the data directory.
    Disk {
        /// Its bound in bytes, at least [`DISK_BUFFER_MINIMUM`].
        max_size: NonZeroU64,
        /// What happens when it is reached.
        when_full: WhenFull,
    },
}

impl BufferStage {
    /// What happens when the stage is full.
    pub fn when_full(&self) -> WhenFull {
        match self {
            BufferStage::Memory { when_full, .. } | BufferStage::Disk { when_full, .. } => *when_full,
        }
    }

    fn read(node: &Node) -> Result<BufferStage, ConfigError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            Memory,
            Disk,
        }
        const KEYS: [&str; 4] = ["type", "max_events", "max_size", "when_full"];
        let NodeValue::Table(entries) = &node.value else {
            return Err(ConfigError::new(format!("expected a table, found {}", node.kind())).at(node.span));
        };
        if let Some((key, _)) = entries.iter().find(|(k, _)| !KEYS.contains(&k.name.as_str())) {
            let mut error = ConfigError::new(format!(
                "unknown key `{}`, expected one of `type`, `max_events`, `max_size`, `when_full`",
                key.name
            ));
            error.suggestion = nearest(&key.name, KEYS);
            return Err(error.at(key.span));
        }
        fn field<T: serde::de::DeserializeOwned>(node: &Node, key: &str) -> Result<Option<T>, ConfigError> {
            node.get(key)
                .map(|value| {
                    decode(value).map_err(|mut e| {
                        e.path.insert(0, key.to_owned());
                        e.at(value.span)
                    })
                })
                .transpose()
        }
        let kind = field::<Kind>(node, "type")?.unwrap_or(Kind::Memory);
        let max_events: Option<NonZeroUsize> = field(node, "max_events")?;
        let max_size: Option<NonZeroU64> = field(node, "max_size")?;
        let when_full = field(node, "when_full")?.unwrap_or_default();
        let place = |key: &str| node.get(key).and_then(|n| n.span).or(node.span);
        match kind {
            Kind::Memory => {
                let bound = match (max_events, max_size) {
                    (Some(_), Some(_)) => {
                        return Err(ConfigError::new(
                            "a memory buffer is bounded by `max_events` or by `max_size`, not by both",
                        )
                        .at(place("max_events")));
                    }
                    (_, Some(size)) => MemoryBound::Bytes(NonZeroUsize::try_from(size).map_err(|_| {
                        ConfigError::new("`max_size` is more than this machine can address").at(place("max_size"))
                    })?),
                    (events, None) => MemoryBound::Events(events.unwrap_or(MEMORY_BUFFER_EVENTS)),
                };
                Ok(BufferStage::Memory { bound, when_full })
            }
            Kind::Disk => {
                if max_events.is_some() {
                    return Err(ConfigError::new(
                        "a disk buffer is bounded by `max_size` in bytes and takes no `max_events`",
                    )
                    .at(place("max_events")));
                }
                let Some(max_size) = max_size else {
                    return Err(
                        ConfigError::new("missing key `max_size`: a disk buffer needs its bound in bytes")
                            .at(node.span),
                    );
                };
                if max_size.get() < DISK_BUFFER_MINIMUM {
                    return Err(ConfigError::new(format!(
                        "the `max_size` of a disk buffer is at least {DISK_BUFFER_MINIMUM} bytes (about 256 MiB), not {max_size}"
                    ))
                    .at(place("max_size")));
                }
                Ok(BufferStage::Disk { max_size, when_full })
            }
        }
    }
}

/// The stages of a sink's buffer: at least one, each but the last overflowing, the last not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferConfig {
    stages: Vec<BufferStage>,
}

impl Default for BufferConfig {
    fn default() -> Self {
        BufferConfig {
            stages: vec![BufferStage::Memory {
                bound: MemoryBound::Events(MEMORY_BUFFER_EVENTS),
                when_full: WhenFull::Block,
            }],
        }
    }
}

impl BufferConfig {
    /// The stages in the order in which they fill; never empty.
    pub fn stages(&self) -> &[BufferStage] {
        &self.stages
    }

    /// The bytes that the disk stages may take together; 0 if there are none.
    pub fn disk_bytes(&self) -> u64 {
        self.stages.iter().fold(0, |sum, stage| match stage {
            BufferStage::Disk { max_size, .. } => sum.saturating_add(max_size.get()),
            BufferStage::Memory { .. } => sum,
        })
    }

    fn read(node: &Node) -> Result<BufferConfig, ConfigError> {
        let nodes = match &node.value {
            NodeValue::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut stages = Vec::with_capacity(nodes.len());
        for (at, item) in nodes.iter().enumerate() {
            let stage = BufferStage::read(item)?;
            let place = item.get("when_full").and_then(|n| n.span).or(item.span);
            let last = at + 1 == nodes.len();
            if last && stage.when_full() == WhenFull::Overflow {
                return Err(
                    ConfigError::new("the last stage of a buffer cannot overflow: there is no next stage").at(place),
                );
            }
            if !last && stage.when_full() != WhenFull::Overflow {
                return Err(ConfigError::new(format!(
                    "stage {at} of the buffer never reaches the stage after it: its `when_full` must be `overflow`"
                ))
                .at(place));
            }
            stages.push(stage);
        }
        if stages.is_empty() {
            return Err(ConfigError::new("a buffer needs at least one stage").at(node.span));
        }
        if stages.iter().filter(|s| matches!(s, BufferStage::Disk { .. })).count() > 1 {
            return Err(ConfigError::new("a buffer has at most one disk stage").at(node.span));
        }
        Ok(BufferConfig { stages })
    }
}

impl<'de> Deserialize<'de> for BufferConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BufferConfig::read(&Node::deserialize(deserializer)?).map_err(carry)
    }
}
