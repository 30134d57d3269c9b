//! Where requests go.

use std::path::PathBuf;
use std::time::Duration;

use qd_proxy_policy::{BackoffConfig, BreakerConfig, EwmaConfig, HealthConfig, QueueConfig, RateConfig, Strategy};
use qd_tree::{Node, NodeValue, Spanned, carry};
use serde::{Deserialize, Deserializer};

use crate::address::Address;
use crate::names::HeaderName;
use crate::value;

/// One place that serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where.
    pub address: Spanned<Address>,
    /// Its share among the others; 0 for none. Default 1.
    pub weight: u32,
}

impl<'de> Deserialize<'de> for Endpoint {
    /// An address alone, or a table with `address` and `weight`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            address: Spanned<Address>,
            #[serde(default = "one")]
            weight: u32,
        }
        let node = Node::deserialize(deserializer)?;
        if let NodeValue::Table(_) = node.value {
            let Table { address, weight } = qd_tree::decode(&node).map_err(carry)?;
            return Ok(Endpoint { address, weight });
        }
        let address = qd_tree::decode(&node).map_err(carry)?;
        Ok(Endpoint { address, weight: 1 })
    }
}

fn one() -> u32 {
    1
}

/// What endpoints speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Speaks {
    /// As the client does where both can: HTTP/2 where TLS agrees on it or the request is gRPC, else HTTP/1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Whether a connection begins with a PROXY header that says who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SendPreamble {
    /// It does not.
    #[default]
    None,
    /// In text.
    V1,
    /// In binary.
    V2,
}

/// What a consistent hash is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashOn {
    /// The client's address.
    Source,
    /// The path.
    Path,
    /// The value of a header field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Balance {
    /// The way.
    pub strategy: Spanned<Strategy>,
    /// For `consistentHash`.
    pub hash_on: Option<HashOn>,
    /// For `p2c`: what a new endpoint is taken to need; default 30 ms.
    #[serde(deserialize_with = "value::duration")]
    pub seed: Duration,
    /// For `p2c`: how fast the past is forgotten; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub decay: Duration,
}

impl Default for Balance {
    fn default() -> Self {
        let EwmaConfig { seed, decay } = EwmaConfig::default();
        Balance {
            strategy: Spanned::default(),
            hash_on: None,
            seed,
            decay,
        }
    }
}

impl Balance {
    /// How latencies are averaged.
    pub fn ewma(&self) -> EwmaConfig {
        EwmaConfig {
            seed: self.seed,
            decay: self.decay,
        }
    }
}

/// Whether an endpoint's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verify {
    /// Its chain and its name.
    #[default]
    Full,
    /// Nothing: whoever answers is believed. For tests.
    None,
}

/// TLS to endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterTls {
    /// The authorities; the system's without them.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and checked; the endpoint's host without it.
    pub server_name: Option<String>,
    /// What the proxy shows.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Whether the certificate is checked.
    pub verify: Verify,
}

/// What an active check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckKind {
    /// GET of a path; 200 to 399 is good.
    #[default]
    Http,
    /// `grpc.health.v1.Health/Check`.
    Grpc,
    /// A connection.
    Tcp,
}

/// Active checks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Check {
    /// What is done.
    pub kind: CheckKind,
    /// The path of `http`; the service of `grpc` (empty for the whole server). Default `/`.
    pub path: Option<String>,
    /// From one to the next; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub interval: Duration,
    /// How long one may take; default 2 s.
    #[serde(deserialize_with = "value::duration")]
    pub timeout: Duration,
    /// Good ones in a row until it is healthy; default 2.
    pub healthy: u32,
    /// Bad ones in a row until it is not; default 3.
    pub unhealthy: u32,
}

impl Default for Check {
    fn default() -> Self {
        let HealthConfig {
            interval,
            timeout,
            healthy,
            unhealthy,
        } = HealthConfig::default();
        Check {
            kind: CheckKind::default(),
            path: None,
            interval,
            timeout,
            healthy,
            unhealthy,
        }
    }
}

impl Check {
    /// The thresholds and times.
    pub fn health(&self) -> HealthConfig {
        HealthConfig {
            interval: self.interval,
            timeout: self.timeout,
            healthy: self.healthy,
            unhealthy: self.unhealthy,
        }
    }
}

/// Connections that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Pool {
    /// Connections to one endpoint at once; `None` for any number.
    pub connections: Option<usize>,
    /// Of these kept while idle; default 100.
    pub idle: usize,
    /// How long one is kept idle; default 60 s.
    #[serde(deserialize_with = "value::duration")]
    pub idle_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            connections: None,
            idle: 100,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Times of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterTimeouts {
    /// For a connection, its TLS included; default 1 s.
    #[serde(deserialize_with = "value::duration")]
    pub connect: Duration,
    /// How often an HTTP/2 connection is asked whether it is still there; default 30 s, 0 for never.
    #[serde(deserialize_with = "value::duration")]
    pub ping: Duration,
    /// How often the addresses of names are looked up; default 10 s.
    #[serde(deserialize_with = "value::duration")]
    pub resolve: Duration,
}

impl Default for ClusterTimeouts {
    fn default() -> Self {
        ClusterTimeouts {
            connect: Duration::from_secs(1),
            ping: Duration::from_secs(30),
            resolve: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct BreakerTable {
    consecutive_failures: u32,
    success_rate: Option<RateTable>,
    backoff: BackoffTable,
}

impl Default for BreakerTable {
    fn default() -> Self {
        BreakerTable {
            consecutive_failures: 7,
            success_rate: None,
            backoff: BackoffTable::default(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RateTable {
    threshold: f64,
    min_requests: u64,
}

impl Default for RateTable {
    fn default() -> Self {
        let RateConfig {
            threshold,
            min_requests,
        } = RateConfig::default();
        RateTable {
            threshold,
            min_requests,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct BackoffTable {
    #[serde(deserialize_with = "value::duration")]
    min: Duration,
    #[serde(deserialize_with = "value::duration")]
    max: Duration,
    jitter: f64,
}

impl Default for BackoffTable {
    fn default() -> Self {
        let BackoffConfig { min, max, jitter } = BackoffConfig::default();
        BackoffTable { min, max, jitter }
    }
}

fn breaker<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BreakerConfig, D::Error> {
    use serde::de::Error;
    let table = BreakerTable::deserialize(deserializer)?;
    if table.backoff.min > table.backoff.max {
        return Err(D::Error::custom(
            "the shortest wait `min` is longer than the longest, `max`",
        ));
    }
    let rate = table.success_rate.as_ref();
    if !rate.is_none_or(|rate| (0.0..=1.0).contains(&rate.threshold)) || !(0.0..=1.0).contains(&table.backoff.jitter) {
        return Err(D::Error::custom("`threshold` and `jitter` are shares, from 0 to 1"));
    }
    Ok(BreakerConfig {
        consecutive: (table.consecutive_failures > 0).then_some(table.consecutive_failures),
        rate: rate.map(|rate| RateConfig {
            threshold: rate.threshold,
            min_requests: rate.min_requests,
        }),
        backoff: BackoffConfig {
            min: table.backoff.min,
            max: table.backoff.max,
            jitter: table.backoff.jitter,
        },
    })
}

fn queue<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QueueConfig, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
    struct Table {
        capacity: usize,
        #[serde(deserialize_with = "value::duration")]
        failfast: Duration,
    }
    impl Default for Table {
        fn default() -> Self {
            let QueueConfig { capacity, failfast } = QueueConfig::default();
            Table { capacity, failfast }
        }
    }
    let Table { capacity, failfast } = Table::deserialize(deserializer)?;
    Ok(QueueConfig { capacity, failfast })
}

/// A set of endpoints that serve the same.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Its name, which routes refer to.
    pub name: Spanned<String>,
    /// Where it is.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Speaks,
    /// How one of them is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// TLS to them; none without it.
    #[serde(default)]
    pub tls: Option<Spanned<ClusterTls>>,
    /// Active checks; none without them.
    #[serde(default)]
    pub health_check: Option<Check>,
    /// When one is left alone: `consecutiveFailures` (0 for never by that), `successRate`, `backoff`.
    #[serde(default, deserialize_with = "breaker")]
    pub breaker: BreakerConfig,
    /// Who waits for them: `capacity`, `failfast`.
    #[serde(default, deserialize_with = "queue")]
    pub queue: QueueConfig,
    /// Connections that are kept.
    #[serde(default)]
    pub pool: Pool,
    /// Times.
    #[serde(default)]
    pub timeouts: ClusterTimeouts,
    /// Whether connections begin with a PROXY header.
    #[serde(default)]
    pub proxy_protocol: SendPreamble,
}

impl Cluster {
    /// One with everything else as it is by default.
    pub fn new(name: impl Into<String>, endpoints: impl IntoIterator<Item = Address>) -> Cluster {
        let endpoints = endpoints.into_iter().map(|address| Endpoint {
            address: Spanned::new(address),
            weight: 1,
        });
        Cluster {
            name: Spanned::new(name.into()),
            endpoints: endpoints.collect(),
            protocol: Speaks::default(),
            balance: Balance::default(),
            tls: None,
            health_check: None,
            breaker: BreakerConfig::default(),
            queue: QueueConfig::default(),
            pool: Pool::default(),
            timeouts: ClusterTimeouts::default(),
            proxy_protocol: SendPreamble::default(),
        }
    }
}
