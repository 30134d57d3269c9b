//! Names in routes: hosts and header fields.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::address::is_host;

/// A name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A host.
    #[error("`{0}` is no hostname: write a name without a port, or `*.` before a domain")]
    Host(String),
    /// A header field.
    #[error("`{0}` is no name of a header field")]
    Header(String),
}

/// The host of a request: a name, or a domain with everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hostname {
    /// This name, in lower case.
    Exact(String),
    /// `*.domain`: any name with at least one label before the domain, which is in lower case.
    Wildcard(String),
}

impl Hostname {
    /// Whether a host fits: without its port, in lower case, without the dot at its end.
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Hostname::Exact(name) => name == host,
            Hostname::Wildcard(domain) => host
                .strip_suffix(domain.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// The hosts that fit both: the narrower of the two, if there is any.
    pub fn narrowed(&self, other: &Hostname) -> Option<Hostname> {
        let narrower = match (self, other) {
            (Hostname::Exact(_), _) => self,
            (_, Hostname::Exact(_)) => other,
            (Hostname::Wildcard(a), Hostname::Wildcard(b)) if a.len() > b.len() => self,
            _ => other,
        };
        self.meets(other).then(|| narrower.clone())
    }

    /// Whether there is a host that fits both.
    pub fn meets(&self, other: &Hostname) -> bool {
        match (self, other) {
            (Hostname::Exact(host), pattern) | (pattern, Hostname::Exact(host)) => pattern.fits(host),
            (Hostname::Wildcard(a), Hostname::Wildcard(b)) => {
                let below = |a: &str, b: &str| a == b || a.strip_suffix(b).is_some_and(|rest| rest.ends_with('.'));
                below(a, b) || below(b, a)
            }
        }
    }
}

impl FromStr for Hostname {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Hostname, BadName> {
        let lower = text.to_ascii_lowercase();
        let is_address = lower.parse::<std::net::IpAddr>().is_ok();
        match lower.strip_prefix("*.") {
            Some(domain) if is_host(domain) && !domain.ends_with('.') => Ok(Hostname::Wildcard(domain.to_owned())),
            None if is_host(&lower) && !lower.ends_with('.') && !is_address => Ok(Hostname::Exact(lower)),
            _ => Err(BadName::Host(text.to_owned())),
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hostname::Exact(name) => f.write_str(name),
            Hostname::Wildcard(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl<'de> Deserialize<'de> for Hostname {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hostname, D::Error> {
        crate::value::from_text(deserializer)
    }
}

/// The name of a header field, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a byte may stand in a token of HTTP (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl FromStr for HeaderName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<HeaderName, BadName> {
        if !text.is_empty() && text.len() <= 256 && text.bytes().all(is_token) {
            Ok(HeaderName(text.to_ascii_lowercase()))
        } else {
            Err(BadName::Header(text.to_owned()))
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
        crate::value::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Hostname {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_are_whole_labels() {
        let wild = host("*.Example.com");
        assert!(wild.fits("a.example.com") && wild.fits("a.b.example.com"));
        assert!(!wild.fits("example.com") && !wild.fits("aexample.com") && !wild.fits(".example.com"));
        for bad in ["*", "*.", "a.*.b", "a:80", "1.2.3.4", "a..b", "", "*.*.a", "a.", "ä.de"] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hostnames_meet() {
        assert!(host("*.example.com").meets(&host("a.example.com")));
        assert!(host("*.b.example.com").meets(&host("*.example.com")));
        assert!(!host("*.example.com").meets(&host("example.com")));
        assert!(!host("*.example.com").meets(&host("*.xexample.com")));
    }

    #[test]
    fn the_narrower_host_is_what_both_serve() {
        let both = |a: &str, b: &str| host(a).narrowed(&host(b)).map(|h| h.to_string());
        assert_eq!(both("*.example.com", "a.example.com").as_deref(), Some("a.example.com"));
        assert_eq!(
            both("*.b.example.com", "*.example.com").as_deref(),
            Some("*.b.example.com")
        );
        assert_eq!(both("*.example.com", "other.com"), None);
    }

    #[test]
    fn header_names_are_tokens() {
        assert_eq!("X-Id".parse::<HeaderName>().unwrap().as_str(), "x-id");
        for bad in ["", "a b", "a:", "ä", "a\n"] {
            assert!(bad.parse::<HeaderName>().is_err(), "{bad:?}");
        }
    }
}
