//! What the status of an answer means for the events of the request.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use qd_logs_config::{ConfigError, Node, carry};
use serde::{Deserialize, Deserializer};

use super::Answer;
use crate::request::Verdict;

/// The `retry_strategy` table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum RetryStrategy {
    /// Nothing is sent again.
    None,
    /// 408, 429 and 5xx but 501.
    #[default]
    Default,
    /// Whatever is no success.
    All,
    /// These.
    Custom(Vec<u16>),
}

impl<'de> Deserialize<'de> for RetryStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            r#type: String,
            status_codes: Option<Vec<u16>>,
        }
        let node = Node::deserialize(deserializer)?;
        let read = || {
            let table: Table = qd_logs_config::decode(&node)?;
            Ok(match (table.r#type.as_str(), table.status_codes) {
                ("none", _) => RetryStrategy::None,
                ("default", _) => RetryStrategy::Default,
                ("all", _) => RetryStrategy::All,
                ("custom", Some(codes)) => RetryStrategy::Custom(codes),
                ("custom", None) => return Err(ConfigError::new("missing key `status_codes`").at(node.span)),
                (other, _) => {
                    return Err(ConfigError::new(format!(
                        "unknown value `{other}`, expected one of `none`, `default`, `all`, `custom`"
                    ))
                    .suggest(qd_logs_config::nearest(other, ["none", "default", "all", "custom"]))
                    .at(node.get("type").and_then(|n| n.span)));
                }
            })
        };
        read().map_err(carry)
    }
}

impl RetryStrategy {
    fn again(&self, status: StatusCode) -> bool {
        match self {
            RetryStrategy::None => false,
            RetryStrategy::Default => {
                matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                    || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
            }
            RetryStrategy::All => true,
            RetryStrategy::Custom(codes) => codes.contains(&status.as_u16()),
        }
    }

    /// What this answer means. 413 splits the request whatever the strategy.
    pub(crate) fn verdict(&self, answer: &Answer) -> Verdict {
        let status = answer.status;
        if status.is_success() {
            return Verdict::Delivered;
        }
        let why = answer.summary();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            return Verdict::TooLarge(why);
        }
        match self.again(status) {
            true => Verdict::Retry {
                why,
                after: retry_after(&answer.headers, Utc::now()),
                overloaded: true,
            },
            false => Verdict::Refused(why),
        }
    }

    /// What it means that there was no answer.
    pub(crate) fn no_answer(&self, why: String) -> Verdict {
        match self {
            RetryStrategy::None => Verdict::Refused(why),
            _ => Verdict::unreachable(why),
        }
    }
}

/// What an answer, or none, means to most sinks.
pub(crate) fn standard(answer: Result<Answer, String>) -> Verdict {
    match answer {
        Ok(answer) => RetryStrategy::Default.verdict(&answer),
        Err(why) => Verdict::unreachable(why),
    }
}

/// How long the receiver asks to wait: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    (until.with_timezone(&Utc) - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("1994-11-06T08:49:30Z").unwrap().to_utc();
        let asked = |v: &str| {
            let mut h = HeaderMap::new();
            h.insert(RETRY_AFTER, v.parse().unwrap());
            retry_after(&h, now)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:20 GMT"), None);
        assert_eq!(asked("soon"), None);
    }
}
