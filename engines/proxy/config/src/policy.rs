//! Retries, rates and access as they are written.

use std::time::Duration;

use ipnet::IpNet;
use qd_proxy_policy::access::Verdict;
use qd_proxy_policy::retry::{Methods, OnError, RetryPolicy};
use qd_proxy_policy::{AccessPolicy, AccessRule, BudgetConfig, GrpcCode, Identity, RateLimit};
use qd_tree::{ConfigError, Node, Spanned, carry};
use serde::{Deserialize, Deserializer};

use crate::value;

/// When a request is sent again, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The policy.
    pub policy: RetryPolicy,
    /// The share of requests that may be retries.
    pub budget: BudgetConfig,
}

/// One status, or a range of them.
fn statuses(node: &Node) -> Result<std::ops::RangeInclusive<u16>, ConfigError> {
    let text = value::text(node)?;
    let wrong = || ConfigError::new(format!("`{text}` is no status; write 503, or 500-504 for a range")).at(node.span);
    let (from, to) = text.split_once('-').unwrap_or((&text, &text));
    let from: u16 = from.trim().parse().map_err(|_| wrong())?;
    let to: u16 = to.trim().parse().map_err(|_| wrong())?;
    // Below 400 nothing went wrong.
    if (400..=599).contains(&from) && (from..=599).contains(&to) {
        Ok(from..=to)
    } else {
        Err(wrong())
    }
}

fn grpc_code(node: &Node) -> Result<GrpcCode, ConfigError> {
    let text = value::text(node)?;
    GrpcCode::parse(text.as_bytes())
        .filter(|code| (1..=16).contains(&code.0))
        .or_else(|| GrpcCode::of_name(&text.replace('-', "_")).filter(|code| *code != GrpcCode::OK))
        .ok_or_else(|| {
            ConfigError::new(format!(
                "`{text}` is no code of gRPC for an error; write 14 or UNAVAILABLE"
            ))
            .at(node.span)
        })
}

impl<'de> Deserialize<'de> for Retry {
    /// `attempts`, `codes`, `backoff` as in the Gateway API; `grpcCodes`, `methods`, `onError`, `budget` besides.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retry, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        struct Budget {
            ratio: f64,
            min_per_second: u32,
            #[serde(deserialize_with = "value::duration")]
            ttl: Duration,
        }
        impl Default for Budget {
            fn default() -> Self {
                let BudgetConfig {
                    ratio,
                    min_per_second,
                    ttl,
                } = BudgetConfig::default();
                Budget {
                    ratio,
                    min_per_second,
                    ttl,
                }
            }
        }
        #[derive(Deserialize, Clone, Copy)]
        #[serde(rename_all = "camelCase")]
        enum Which {
            Idempotent,
            All,
        }
        #[derive(Deserialize, Clone, Copy)]
        #[serde(rename_all = "camelCase")]
        enum When {
            Retry,
            IfUnsent,
            Fail,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            #[serde(default)]
            attempts: Option<u32>,
            #[serde(default)]
            codes: Option<Vec<Node>>,
            #[serde(default)]
            grpc_codes: Option<Vec<Node>>,
            #[serde(default, deserialize_with = "value::duration")]
            backoff: Duration,
            #[serde(default)]
            methods: Option<Which>,
            #[serde(default)]
            on_error: Option<When>,
            #[serde(default)]
            budget: Budget,
        }
        use serde::de::Error;
        let table = Table::deserialize(deserializer)?;
        let default = RetryPolicy::default();
        // Who writes `retry` wants one at least.
        let attempts = table.attempts.unwrap_or(1);
        if attempts > 100 {
            return Err(D::Error::custom("`attempts` is at most 100"));
        }
        if !(0.0..=1_000.0).contains(&table.budget.ratio) {
            return Err(D::Error::custom("the `ratio` of a budget goes from 0 to 1000"));
        }
        let list = |nodes: Option<Vec<Node>>| nodes.map(|n| n.iter().map(statuses).collect::<Result<Vec<_>, _>>());
        let codes = |nodes: Option<Vec<Node>>| nodes.map(|n| n.iter().map(grpc_code).collect::<Result<Vec<_>, _>>());
        Ok(Retry {
            policy: RetryPolicy {
                attempts,
                statuses: list(table.codes)
                    .transpose()
                    .map_err(carry)?
                    .unwrap_or(default.statuses),
                grpc: codes(table.grpc_codes)
                    .transpose()
                    .map_err(carry)?
                    .unwrap_or(default.grpc),
                on_error: match table.on_error {
                    None | Some(When::Retry) => OnError::Retry,
                    Some(When::IfUnsent) => OnError::IfUnsent,
                    Some(When::Fail) => OnError::Fail,
                },
                backoff: table.backoff,
                methods: match table.methods {
                    None | Some(Which::Idempotent) => Methods::Idempotent,
                    Some(Which::All) => Methods::All,
                },
            },
            budget: BudgetConfig {
                ratio: table.budget.ratio,
                min_per_second: table.budget.min_per_second,
                ttl: table.budget.ttl,
            },
        })
    }
}

/// A rate: `100/s`, `30/m`, `5/h`, or a number for so many a second; with a burst as `{rate: 100/s, burst: 50}`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub RateLimit);

fn per_second(node: &Node) -> Result<f64, ConfigError> {
    let wrong = || ConfigError::new("expected a rate such as 100/s, 30/m or 5/h").at(node.span);
    let text = match &node.value {
        qd_tree::NodeValue::Float(number) => number.to_string(),
        _ => value::text(node)?,
    };
    let (count, per) = text.split_once('/').unwrap_or((&text, "s"));
    let count: f64 = count.trim().parse().map_err(|_| wrong())?;
    let seconds = match per.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let rate = count / seconds;
    (1e-6..=1e9).contains(&rate).then_some(rate).ok_or_else(wrong)
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            rate: Node,
            burst: Option<u32>,
        }
        let node = Node::deserialize(deserializer)?;
        let (rate, burst) = match node.entries() {
            Some(_) => {
                let table: Table = qd_tree::decode(&node).map_err(carry)?;
                (per_second(&table.rate).map_err(carry)?, table.burst)
            }
            None => (per_second(&node).map_err(carry)?, None),
        };
        // What comes in a second may come at once, unless something else is said.
        let burst = burst
            .unwrap_or(rate.ceil().clamp(1.0, f64::from(u32::MAX)) as u32)
            .max(1);
        Ok(Rate(RateLimit {
            per_second: rate,
            burst,
        }))
    }
}

/// The rates of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RateLimits {
    /// Of everybody together.
    pub total: Option<Rate>,
    /// Of each client: by the identity of its certificate, else by its address.
    pub per_client: Option<Rate>,
}

/// Whom an entry is about; what it does not say may be anything, what it says must all fit.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AccessEntry {
    /// Networks: `10.0.0.0/8`, `::1/128`.
    #[serde(deserialize_with = "value::one_or_many")]
    pub networks: Vec<IpNet>,
    /// Networks that are taken out of these.
    #[serde(deserialize_with = "value::one_or_many")]
    pub except: Vec<IpNet>,
    /// Names in client certificates: exact, `*` for any, `*.domain`.
    #[serde(deserialize_with = "identities")]
    pub identities: Vec<Identity>,
    /// Names of routes.
    #[serde(deserialize_with = "value::one_or_many")]
    pub routes: Vec<Spanned<String>>,
}

fn identities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Identity>, D::Error> {
    let texts: Vec<Spanned<String>> = value::one_or_many(deserializer)?;
    let one = |text: Spanned<String>| {
        let parsed = text.value.parse();
        parsed.map_err(|e: qd_proxy_policy::access::BadIdentity| carry(ConfigError::new(e.to_string()).at(text.span)))
    };
    texts.into_iter().map(one).collect()
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Its name, which listeners and rules refer to.
    pub name: Spanned<String>,
    /// Who may.
    #[serde(default)]
    pub allow: Vec<AccessEntry>,
    /// Who may not, whatever else is allowed.
    #[serde(default)]
    pub deny: Vec<AccessEntry>,
}

impl Access {
    /// The policy that decides.
    pub fn policy(&self) -> AccessPolicy {
        let rule = |verdict, entry: &AccessEntry| AccessRule {
            verdict,
            routes: entry.routes.iter().map(|r| r.value.clone()).collect(),
            networks: entry.networks.clone(),
            except: entry.except.clone(),
            identities: entry.identities.clone(),
        };
        let deny = self.deny.iter().map(|entry| rule(Verdict::Deny, entry));
        let allow = self.allow.iter().map(|entry| rule(Verdict::Allow, entry));
        AccessPolicy::new(deny.chain(allow).collect(), None)
    }
}
