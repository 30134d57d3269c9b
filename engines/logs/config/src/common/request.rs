//! How requests to a service are limited, timed out and retried.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};

use crate::{ConfigError, Node, NodeValue, carry};

/// How many requests are under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Concurrency {
    /// One at a time.
    None,
    /// As many as the service takes without its answers getting slower.
    #[default]
    Adaptive,
    /// At most so many.
    Fixed(NonZeroUsize),
}

impl Concurrency {
    /// The fixed limit; `None` if it adapts.
    pub fn fixed(&self) -> Option<NonZeroUsize> {
        match self {
            Concurrency::None => Some(NonZeroUsize::MIN),
            Concurrency::Adaptive => None,
            Concurrency::Fixed(n) => Some(*n),
        }
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let fixed = |i: i64| {
            usize::try_from(i)
                .ok()
                .and_then(NonZeroUsize::new)
                .map(Concurrency::Fixed)
        };
        match &node.value {
            NodeValue::String(s) if s == "adaptive" => Some(Concurrency::Adaptive),
            NodeValue::String(s) if s == "none" => Some(Concurrency::None),
            NodeValue::Int(i) => fixed(*i),
            _ => None,
        }
        .ok_or_else(|| {
            let mut error = ConfigError::new("expected \"adaptive\", \"none\" or a whole number above zero");
            if let Some(word) = node.as_str() {
                error.suggestion = crate::nearest(word, ["adaptive", "none"]);
            }
            carry(error.at(node.span))
        })
    }
}

/// How the delays between retries are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum JitterMode {
    /// Exactly the backoff.
    None,
    /// Anywhere between zero and the backoff.
    #[default]
    Full,
}

/// The constants of adaptive concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveConcurrency {
    /// The limit at the start, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub initial_concurrency: usize,
    /// What the limit is multiplied with when it shrinks, 0 to 1.
    #[serde(deserialize_with = "ratio")]
    pub decrease_ratio: f64,
    /// The weight of the newest round-trip time in the running mean, 0 to 1.
    #[serde(deserialize_with = "ratio")]
    pub ewma_alpha: f64,
    /// By how many deviations a round-trip time must exceed the mean to shrink the limit, at least 0.
    #[serde(deserialize_with = "not_negative")]
    pub rtt_deviation_scale: f64,
    /// The highest limit, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub max_concurrency_limit: usize,
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        AdaptiveConcurrency {
            initial_concurrency: 1,
            decrease_ratio: 0.9,
            ewma_alpha: 0.4,
            rtt_deviation_scale: 2.5,
            max_concurrency_limit: 200,
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    NonZeroUsize::deserialize(deserializer).map(NonZeroUsize::get)
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(serde::de::Error::custom("must lie between 0 and 1"))
    }
}

fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value >= 0.0 && value.is_finite() {
        Ok(value)
    } else {
        Err(serde::de::Error::custom("must be zero or more"))
    }
}

/// A sink's own defaults.
pub trait RequestDefaults: Copy + Debug + PartialEq + 'static {
    /// Requests at once.
    const CONCURRENCY: Concurrency = Concurrency::Adaptive;
    /// Seconds until a request is given up.
    const TIMEOUT_SECS: u64 = 60;
    /// Requests in [`RATE_LIMIT_DURATION_SECS`](Self::RATE_LIMIT_DURATION_SECS).
    const RATE_LIMIT_NUM: u64 = i64::MAX as u64;
    /// The window of the rate limit in seconds.
    const RATE_LIMIT_DURATION_SECS: u64 = 1;
    /// Retries of one request.
    const RETRY_ATTEMPTS: usize = isize::MAX as usize;
}

/// The defaults of most sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardRequest;

impl RequestDefaults for StandardRequest {}

/// The `request` table of a sink with the defaults `D`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(bound = "")]
pub struct RequestConfig<D: RequestDefaults = StandardRequest> {
    /// Requests at once.
    #[serde(default = "concurrency::<D>")]
    pub concurrency: Concurrency,
    /// The constants behind [`Concurrency::Adaptive`].
    #[serde(default)]
    pub adaptive_concurrency: AdaptiveConcurrency,
    /// Seconds until a request is given up.
    #[serde(default = "timeout_secs::<D>")]
    pub timeout_secs: u64,
    /// The window of the rate limit in seconds.
    #[serde(default = "rate_limit_duration_secs::<D>")]
    pub rate_limit_duration_secs: u64,
    /// Requests in a window; `i64::MAX` stands for "no limit".
    #[serde(default = "rate_limit_num::<D>")]
    pub rate_limit_num: u64,
    /// Retries of one request; `isize::MAX` stands for "no limit".
    #[serde(default = "retry_attempts::<D>")]
    pub retry_attempts: usize,
    /// The delay before the first retry in seconds; the next follow Fibonacci.
    #[serde(default = "one")]
    pub retry_initial_backoff_secs: NonZeroU64,
    /// The longest delay between two retries in seconds.
    #[serde(default = "thirty")]
    pub retry_max_duration_secs: NonZeroU64,
    /// How the delays are spread.
    #[serde(default)]
    pub retry_jitter_mode: JitterMode,
    /// Headers of every request, for the sinks that speak HTTP and take them (http, elasticsearch).
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    #[serde(skip)]
    defaults: PhantomData<D>,
}

impl<D: RequestDefaults> RequestConfig<D> {
    /// The time until a request is given up.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_secs)
    }

    /// Requests and the window they are counted in; `None` if there is no limit.
    pub fn rate_limit(&self) -> Option<(u64, Duration)> {
        (self.rate_limit_num < i64::MAX as u64 && self.rate_limit_duration_secs > 0)
            .then(|| (self.rate_limit_num, Duration::from_secs(self.rate_limit_duration_secs)))
    }

    /// The delay before the first retry.
    pub fn initial_backoff(&self) -> Duration {
        Duration::from_secs(self.retry_initial_backoff_secs.get())
    }

    /// The longest delay between two retries.
    pub fn max_backoff(&self) -> Duration {
        Duration::from_secs(self.retry_max_duration_secs.get())
    }
}

impl<D: RequestDefaults> Default for RequestConfig<D> {
    fn default() -> Self {
        RequestConfig {
            concurrency: D::CONCURRENCY,
            adaptive_concurrency: AdaptiveConcurrency::default(),
            timeout_secs: D::TIMEOUT_SECS,
            rate_limit_duration_secs: D::RATE_LIMIT_DURATION_SECS,
            rate_limit_num: D::RATE_LIMIT_NUM,
            retry_attempts: D::RETRY_ATTEMPTS,
            retry_initial_backoff_secs: one(),
            retry_max_duration_secs: thirty(),
            retry_jitter_mode: JitterMode::default(),
            headers: IndexMap::new(),
            defaults: PhantomData,
        }
    }
}

const fn concurrency<D: RequestDefaults>() -> Concurrency {
    D::CONCURRENCY
}

const fn timeout_secs<D: RequestDefaults>() -> u64 {
    D::TIMEOUT_SECS
}

const fn rate_limit_num<D: RequestDefaults>() -> u64 {
    D::RATE_LIMIT_NUM
}

const fn rate_limit_duration_secs<D: RequestDefaults>() -> u64 {
    D::RATE_LIMIT_DURATION_SECS
}

const fn retry_attempts<D: RequestDefaults>() -> usize {
    D::RETRY_ATTEMPTS
}

const fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

const fn thirty() -> NonZeroU64 {
    match NonZeroU64::new(30) {
        Some(n) => n,
        None => NonZeroU64::MIN,
    }
}
