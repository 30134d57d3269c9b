//! How many events travel together.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{ConfigError, Node, NodeValue, carry, decode};

/// A sink's own defaults; a bound that is `None` does not hold unless the configuration sets it.
pub trait BatchDefaults: Copy + Debug + PartialEq + 'static {
    /// Events in a batch.
    const MAX_EVENTS: Option<usize>;
    /// Bytes in a batch, before compression.
    const MAX_BYTES: Option<usize>;
    /// The greatest age of a batch in seconds.
    const TIMEOUT_SECS: f64;
}

/// 1,000 events or 1 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealtimeByEvents;

impl BatchDefaults for RealtimeByEvents {
    const MAX_EVENTS: Option<usize> = Some(1000);
    const MAX_BYTES: Option<usize> = None;
    const TIMEOUT_SECS: f64 = 1.0;
}

/// 10 MB or 1 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealtimeBySize;

impl BatchDefaults for RealtimeBySize {
    const MAX_EVENTS: Option<usize> = None;
    const MAX_BYTES: Option<usize> = Some(10_000_000);
    const TIMEOUT_SECS: f64 = 1.0;
}

/// 10 MB or 300 s: fewer and larger objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkBySize;

impl BatchDefaults for BulkBySize {
    const MAX_EVENTS: Option<usize> = None;
    const MAX_BYTES: Option<usize> = Some(10_000_000);
    const TIMEOUT_SECS: f64 = 300.0;
}

/// The `batch` table of a sink with the defaults `D`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchConfig<D: BatchDefaults> {
    /// Events in a batch at most; unbounded if `None`.
    pub max_events: Option<NonZeroUsize>,
    /// Bytes in a batch at most, before compression; unbounded if `None`.
    pub max_bytes: Option<NonZeroUsize>,
    /// The age at which a batch leaves even if it is not full; greater than zero.
    pub timeout: Duration,
    defaults: PhantomData<D>,
}

/// The bounds of a batch without the type of the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// Events at most.
    pub max_events: usize,
    /// Bytes at most, before compression.
    pub max_bytes: usize,
    /// Age at most.
    pub timeout: Duration,
}

impl<D: BatchDefaults> BatchConfig<D> {
    /// The bounds with `usize::MAX` for "none".
    pub fn settings(&self) -> BatchSettings {
        BatchSettings {
            max_events: self.max_events.map_or(usize::MAX, NonZeroUsize::get),
            max_bytes: self.max_bytes.map_or(usize::MAX, NonZeroUsize::get),
            timeout: self.timeout,
        }
    }

    /// The same if `max_bytes` is at most `limit`.
    ///
    /// # Errors
    /// A `max_bytes` beyond the limit that the receiving service sets.
    pub fn limit_max_bytes(self, limit: usize) -> Result<Self, ConfigError> {
        match self.max_bytes {
            Some(n) if n.get() > limit => Err(ConfigError::new(format!(
                "`batch.max_bytes` is {n}, but at most {limit} bytes are possible here"
            ))),
            _ => Ok(self),
        }
    }

    /// The same if `max_events` is at most `limit`.
    ///
    /// # Errors
    /// A `max_events` beyond the limit that the receiving service sets.
    pub fn limit_max_events(self, limit: usize) -> Result<Self, ConfigError> {
        match self.max_events {
            Some(n) if n.get() > limit => Err(ConfigError::new(format!(
                "`batch.max_events` is {n}, but at most {limit} events are possible here"
            ))),
            _ => Ok(self),
        }
    }

    fn read(node: &Node) -> Result<Self, ConfigError> {
        if !matches!(node.value, NodeValue::Table(_)) {
            return Err(ConfigError::new(format!("expected a table, found {}", node.kind())).at(node.span));
        }
        let count = |key: &str, default: Option<usize>| -> Result<Option<NonZeroUsize>, ConfigError> {
            let Some(value) = node.get(key) else {
                return Ok(default.and_then(NonZeroUsize::new));
            };
            let fail = |mut e: ConfigError| {
                e.path.insert(0, key.to_owned());
                e.at(value.span)
            };
            match decode::<Option<usize>>(value).map_err(fail)? {
                Some(0) => Err(fail(ConfigError::new(format!("`{key}` must be greater than zero")))),
                Some(n) => Ok(NonZeroUsize::new(n)),
                None => Ok(default.and_then(NonZeroUsize::new)),
            }
        };
        let max_events = count("max_events", D::MAX_EVENTS)?;
        let max_bytes = count("max_bytes", D::MAX_BYTES)?;
        let mut seconds = D::TIMEOUT_SECS;
        let mut place = node.span;
        if let Some(value) = node.get("timeout_secs") {
            place = value.span;
            seconds = decode::<Option<f64>>(value)
                .map_err(|mut e| {
                    e.path.insert(0, "timeout_secs".to_owned());
                    e.at(value.span)
                })?
                .unwrap_or(D::TIMEOUT_SECS);
        }
        let timeout = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|t| !t.is_zero())
            .ok_or_else(|| ConfigError::new("`timeout_secs` must be greater than zero and finite").at(place))?;
        Ok(BatchConfig {
            max_events,
            max_bytes,
            timeout,
            defaults: PhantomData,
        })
    }
}

impl<D: BatchDefaults> Default for BatchConfig<D> {
    fn default() -> Self {
        BatchConfig {
            max_events: D::MAX_EVENTS.and_then(NonZeroUsize::new),
            max_bytes: D::MAX_BYTES.and_then(NonZeroUsize::new),
            timeout: Duration::try_from_secs_f64(D::TIMEOUT_SECS).unwrap_or(Duration::from_secs(1)),
            defaults: PhantomData,
        }
    }
}

impl<'de, D: BatchDefaults> Deserialize<'de> for BatchConfig<D> {
    fn deserialize<X: Deserializer<'de>>(deserializer: X) -> Result<Self, X::Error> {
        BatchConfig::read(&Node::deserialize(deserializer)?).map_err(carry)
    }
}
