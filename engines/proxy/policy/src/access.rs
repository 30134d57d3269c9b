//! Who may come in: by network, by the identity of a client certificate, by route.
//!
//! A rule that denies and matches decides; else one that allows; else the policy's default, which is to deny as soon as
//! there is any rule that allows. So adding the first allowed client closes the door for all others.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The name in a client's certificate, or a pattern of such names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Any client with a certificate that was checked.
    Any,
    /// This name: a DNS name (compared without case) or a SPIFFE id.
    Exact(String),
    /// `*.ns.example`: names with at least one label more.
    Suffix(String),
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no identity: write a name, `*` for any client with a certificate, or `*.` before a domain")]
pub struct BadIdentity(pub String);

impl FromStr for Identity {
    type Err = BadIdentity;

    fn from_str(text: &str) -> Result<Identity, BadIdentity> {
        match text.strip_prefix('*') {
            Some("") => Ok(Identity::Any),
            Some(rest) => match rest.strip_prefix('.') {
                Some(domain) if !domain.is_empty() && !domain.contains('*') => {
                    Ok(Identity::Suffix(domain.to_ascii_lowercase()))
                }
                _ => Err(BadIdentity(text.to_owned())),
            },
            None if text.is_empty() || text.contains('*') => Err(BadIdentity(text.to_owned())),
            None => Ok(Identity::Exact(text.to_owned())),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Any => f.write_str("*"),
            Identity::Exact(name) => f.write_str(name),
            Identity::Suffix(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl Identity {
    /// Whether one of a client's names fits.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Identity::Any => true,
            // The path of a SPIFFE id has a case; names of hosts have none.
            Identity::Exact(own) if own.contains("://") => own == name,
            Identity::Exact(own) => own.eq_ignore_ascii_case(name),
            Identity::Suffix(domain) => {
                let name = name.to_ascii_lowercase();
                name.strip_suffix(domain.as_str())
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|label| !label.is_empty())
            }
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer<'a> {
    /// Where from; `None` for a unix socket.
    pub address: Option<IpAddr>,
    /// The names of its certificate, if that was checked.
    pub identities: &'a [String],
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// One rule. What it does not name, it does not ask for; what it names, must all fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// What it decides.
    pub verdict: Verdict,
    /// The routes it is for; empty for all.
    pub routes: Vec<String>,
    /// Networks, one of which the client is in.
    pub networks: Vec<IpNet>,
    /// Networks that are taken out of these.
    pub except: Vec<IpNet>,
    /// Identities, one of which the client has.
    pub identities: Vec<Identity>,
}

impl AccessRule {
    /// A rule for everybody on every route.
    pub fn new(verdict: Verdict) -> AccessRule {
        AccessRule {
            verdict,
            routes: Vec::new(),
            networks: Vec::new(),
            except: Vec::new(),
            identities: Vec::new(),
        }
    }

    fn fits(&self, peer: &Peer<'_>, route: &str) -> bool {
        let inside = |nets: &[IpNet]| {
            // An IPv4 client of a dual-stack socket is an IPv4 client.
            let address = peer.address.map(|a| a.to_canonical());
            address.is_some_and(|a| nets.iter().any(|net| net.contains(&a)))
        };
        (self.routes.is_empty() || self.routes.iter().any(|r| r == route))
            && (self.networks.is_empty() || inside(&self.networks))
            && !inside(&self.except)
            && (self.identities.is_empty()
                || self
                    .identities
                    .iter()
                    .any(|identity| peer.identities.iter().any(|name| identity.fits(name))))
    }
}

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessPolicy {
    rules: Vec<AccessRule>,
    default: Option<Verdict>,
}

impl AccessPolicy {
    /// A policy of rules, whose order says nothing. Without a default everybody may who is not denied, and as soon as a
    /// rule allows anybody, only those that are allowed.
    pub fn new(rules: Vec<AccessRule>, default: Option<Verdict>) -> AccessPolicy {
        AccessPolicy { rules, default }
    }

    /// Its rules.
    pub fn rules(&self) -> &[AccessRule] {
        &self.rules
    }

    /// Whether it lets everybody in.
    pub fn is_open(&self) -> bool {
        self.rules.is_empty() && self.default != Some(Verdict::Deny)
    }

    /// Whether a peer may use a route.
    pub fn check(&self, peer: &Peer<'_>, route: &str) -> Verdict {
        let any = |verdict| {
            self.rules
                .iter()
                .any(|rule| rule.verdict == verdict && rule.fits(peer, route))
        };
        if any(Verdict::Deny) {
            return Verdict::Deny;
        }
        if any(Verdict::Allow) {
            return Verdict::Allow;
        }
        let closed = self.rules.iter().any(|rule| rule.verdict == Verdict::Allow);
        self.default
            .unwrap_or(if closed { Verdict::Deny } else { Verdict::Allow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(of: &[&str]) -> Vec<IpNet> {
        of.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn check(policy: &AccessPolicy, address: &str, names: &[&str], route: &str) -> Verdict {
        let identities: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let peer = Peer {
            address: address.parse().ok(),
            identities: &identities,
        };
        policy.check(&peer, route)
    }

    #[test]
    fn networks_allow_and_deny() {
        let allow = AccessRule {
            networks: nets(&["10.0.0.0/8", "fd00::/8"]),
            except: nets(&["10.9.0.0/16"]),
            ..AccessRule::new(Verdict::Allow)
        };
        let deny = AccessRule {
            networks: nets(&["10.1.2.3/32"]),
            ..AccessRule::new(Verdict::Deny)
        };
        let policy = AccessPolicy::new(vec![allow, deny], None);
        let is = |address: &str| check(&policy, address, &[], "r");
        assert_eq!(is("10.1.1.1"), Verdict::Allow);
        assert_eq!(is("::ffff:10.1.1.1"), Verdict::Allow);
        assert_eq!(is("fd12::1"), Verdict::Allow);
        assert_eq!(is("10.1.2.3"), Verdict::Deny);
        assert_eq!(is("::ffff:10.1.2.3"), Verdict::Deny);
        assert_eq!(is("10.9.1.1"), Verdict::Deny);
        assert_eq!(is("192.0.2.1"), Verdict::Deny);
        assert_eq!(is("unix"), Verdict::Deny);
    }

    #[test]
    fn identities_are_names_and_patterns() {
        let rule = AccessRule {
            identities: vec!["web.ns.example".parse().unwrap(), "*.ops.example".parse().unwrap()],
            routes: vec!["admin".to_owned()],
            ..AccessRule::new(Verdict::Allow)
        };
        let policy = AccessPolicy::new(vec![rule], None);
        let is = |names: &[&str], route| check(&policy, "127.0.0.1", names, route);
        assert_eq!(is(&["Web.ns.example"], "admin"), Verdict::Allow);
        assert_eq!(is(&["x", "a.b.OPS.example"], "admin"), Verdict::Allow);
        assert_eq!(is(&["ops.example"], "admin"), Verdict::Deny);
        assert_eq!(is(&["evilops.example"], "admin"), Verdict::Deny);
        assert_eq!(is(&["web.ns.example"], "other"), Verdict::Deny);
        assert_eq!(is(&[], "admin"), Verdict::Deny);
        assert!(Identity::Any.fits("anything"));
        let spiffe: Identity = "spiffe://a/b".parse().unwrap();
        assert!(spiffe.fits("spiffe://a/b") && !spiffe.fits("spiffe://a/B"));
        for bad in ["", "*x", "*.", "a*b", "*.*.x"] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
        assert_eq!("*.A.b".parse::<Identity>().unwrap().to_string(), "*.a.b");
    }

    #[test]
    fn without_rules_the_default_decides() {
        assert_eq!(check(&AccessPolicy::default(), "1.2.3.4", &[], "r"), Verdict::Allow);
        assert!(AccessPolicy::default().is_open());
        let shut = AccessPolicy::new(Vec::new(), Some(Verdict::Deny));
        assert_eq!(check(&shut, "1.2.3.4", &[], "r"), Verdict::Deny);
        let deny_one = AccessPolicy::new(
            vec![AccessRule {
                networks: nets(&["1.2.3.4/32"]),
                ..AccessRule::new(Verdict::Deny)
            }],
            None,
        );
        assert_eq!(check(&deny_one, "1.2.3.5", &[], "r"), Verdict::Allow);
    }
}
