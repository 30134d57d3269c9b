//! Acknowledgements, health checks and proxies.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::OneOrMany;
use crate::{ConfigError, Node, NodeValue, carry};

/// Whether a source's progress waits for the delivery to the sink: `true`, `false` or a table with `enabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acknowledgements {
    /// What the configuration says; `None` if nothing.
    pub enabled: Option<bool>,
}

impl Acknowledgements {
    /// What the configuration says here, else there.
    pub fn or(self, other: Acknowledgements) -> Acknowledgements {
        Acknowledgements {
            enabled: self.enabled.or(other.enabled),
        }
    }

    /// Whether they are on; off if nothing is said.
    pub fn is_enabled(self) -> bool {
        self.enabled == Some(true)
    }
}

impl From<bool> for Acknowledgements {
    fn from(enabled: bool) -> Self {
        Acknowledgements { enabled: Some(enabled) }
    }
}

impl<'de> Deserialize<'de> for Acknowledgements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            enabled: Option<bool>,
        }
        struct Either(Option<bool>);
        impl From<bool> for Either {
            fn from(b: bool) -> Self {
                Either(Some(b))
            }
        }
        impl<'de> Deserialize<'de> for Either {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Table::deserialize(deserializer).map(|t| Either(t.enabled))
            }
        }
        super::bool_or_table::<Either, D>(deserializer).map(|e| Acknowledgements { enabled: e.0 })
    }
}

/// Whether and how a sink is probed at the start: `true`, `false` or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Healthcheck {
    /// Whether it is probed; true if nothing is said.
    pub enabled: bool,
    /// The address to probe instead of the sink's own.
    pub uri: Option<String>,
    /// How long the probe may take; 10 s if nothing is said.
    pub timeout: Duration,
}

impl Default for Healthcheck {
    fn default() -> Self {
        Healthcheck {
            enabled: true,
            uri: None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl From<bool> for Healthcheck {
    fn from(enabled: bool) -> Self {
        Healthcheck {
            enabled,
            ..Healthcheck::default()
        }
    }
}

impl<'de> Deserialize<'de> for Healthcheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            enabled: Option<bool>,
            uri: Option<String>,
            #[serde(default, deserialize_with = "seconds")]
            timeout: Option<Duration>,
        }
        struct Either(Healthcheck);
        impl From<bool> for Either {
            fn from(b: bool) -> Self {
                Either(b.into())
            }
        }
        impl<'de> Deserialize<'de> for Either {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let table = Table::deserialize(deserializer)?;
                let default = Healthcheck::default();
                Ok(Either(Healthcheck {
                    enabled: table.enabled.unwrap_or(true),
                    uri: table.uri,
                    timeout: table.timeout.unwrap_or(default.timeout),
                }))
            }
        }
        super::bool_or_table::<Either, D>(deserializer).map(|e| e.0)
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<f64>::deserialize(deserializer)?
        .map(|s| {
            Duration::try_from_secs_f64(s)
                .map_err(|_| serde::de::Error::custom("expected seconds: a number that is zero or more"))
        })
        .transpose()
}

/// Through which proxies requests go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// Whether proxies are used at all.
    pub enabled: bool,
    /// The proxy of plain requests.
    pub http: Option<String>,
    /// The proxy of requests over TLS.
    pub https: Option<String>,
    /// Hosts, `.domains`, addresses, CIDR ranges and `*` that are reached directly.
    #[serde(deserialize_with = "no_proxy")]
    pub no_proxy: Vec<String>,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        ProxyConfig {
            enabled: true,
            http: None,
            https: None,
            no_proxy: Vec::new(),
        }
    }
}

impl ProxyConfig {
    /// This with what `inner` sets in its place: a component's over the global's, the global's over the environment's.
    pub fn with(&self, inner: &ProxyConfig) -> ProxyConfig {
        ProxyConfig {
            enabled: self.enabled && inner.enabled,
            http: inner.http.clone().or_else(|| self.http.clone()),
            https: inner.https.clone().or_else(|| self.https.clone()),
            no_proxy: if inner.no_proxy.is_empty() {
                self.no_proxy.clone()
            } else {
                inner.no_proxy.clone()
            },
        }
    }

    /// The proxies that the variables `http_proxy`, `https_proxy` and `no_proxy` name, in lower case first; `lookup`
    /// is the environment.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> ProxyConfig {
        let get = |name: &str| lookup(name).or_else(|| lookup(&name.to_uppercase()));
        ProxyConfig {
            enabled: true,
            http: get("http_proxy"),
            https: get("https_proxy"),
            no_proxy: get("no_proxy").map(|list| split(&list)).unwrap_or_default(),
        }
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect()
}

fn no_proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let node = Node::deserialize(deserializer)?;
    match &node.value {
        NodeValue::Null => Ok(Vec::new()),
        NodeValue::String(_) | NodeValue::Array(_) => {
            let list: OneOrMany<String> = crate::decode(&node).map_err(carry)?;
            Ok(list.0.iter().flat_map(|s| split(s)).collect())
        }
        _ => Err(carry(
            ConfigError::new(format!("expected text or a list of texts, found {}", node.kind())).at(node.span),
        )),
    }
}
