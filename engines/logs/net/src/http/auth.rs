//! The `auth` table of sinks that speak HTTP, and of servers that ask for the same.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use qd_logs_config::{ConfigError, Node, carry};
use serde::{Deserialize, Deserializer};

/// How requests are authorized.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Auth {
    /// RFC 7617.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// RFC 6750.
    Bearer(String),
    /// The value of the header as it is.
    Custom(String),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::Basic { .. } => "Auth::Basic(…)",
            Auth::Bearer(_) => "Auth::Bearer(…)",
            Auth::Custom(_) => "Auth::Custom(…)",
        })
    }
}

impl Auth {
    /// The value of the `Authorization` header.
    ///
    /// # Errors
    /// If a header can't hold it.
    pub(crate) fn header(&self) -> Result<HeaderValue, ConfigError> {
        let text = match self {
            Auth::Basic { user, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Auth::Bearer(token) => format!("Bearer {token}"),
            Auth::Custom(value) => value.clone(),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| ConfigError::new("a token or header value must not have control characters"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Whether the headers of a request carry it. The comparison takes as long for wrong values as for right ones of the
    /// same length.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let (Ok(right), Some(given)) = (self.header(), headers.get(AUTHORIZATION)) else {
            return false;
        };
        let (right, given) = (right.as_bytes(), given.as_bytes());
        right.len() == given.len() && right.iter().zip(given).fold(0, |d, (a, b)| d | (a ^ b)) == 0
    }
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Basic {
            #[serde(alias = "username")]
            user: String,
            password: String,
            #[serde(rename = "strategy")]
            _strategy: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bearer {
            token: String,
            #[serde(rename = "strategy")]
            _strategy: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Custom {
            value: String,
            #[serde(rename = "strategy")]
            _strategy: String,
        }
        let node = Node::deserialize(deserializer)?;
        let read = || {
            let strategy = node
                .get("strategy")
                .ok_or_else(|| ConfigError::new("missing key `strategy`").at(node.span))?;
            let auth = match strategy.as_str().unwrap_or_default() {
                "basic" => qd_logs_config::decode(&node).map(|b: Basic| Auth::Basic {
                    user: b.user,
                    password: b.password,
                })?,
                "bearer" => qd_logs_config::decode(&node).map(|b: Bearer| Auth::Bearer(b.token))?,
                "custom" => qd_logs_config::decode(&node).map(|c: Custom| Auth::Custom(c.value))?,
                "aws" => {
                    return Err(ConfigError::new("the strategy `aws` is not supported").at(strategy.span));
                }
                other => {
                    return Err(ConfigError::new(format!(
                        "unknown value `{other}`, expected one of `basic`, `bearer`, `custom`"
                    ))
                    .suggest(qd_logs_config::nearest(other, ["basic", "bearer", "custom"]))
                    .at(strategy.span));
                }
            };
            auth.header().map_err(|e| e.at(node.span))?;
            Ok(auth)
        };
        read().map_err(carry)
    }
}
