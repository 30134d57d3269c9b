//! Which route a request takes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use qd_core::Clock;
use qd_proxy_policy::{Budget, Limiter};
use qd_proxy_wire::RequestHead;

use crate::{
    cluster::Cluster,
    plan::{Action, Match, Matcher, PathEdit, Route},
};

/// A route with its clusters.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) route: Route,
    /// With weights; empty if the route answers by itself.
    pub(crate) clusters: Vec<(Arc<Cluster>, u32)>,
    pub(crate) budget: Mutex<Budget>,
    pub(crate) limiter: Option<Mutex<Limiter<Option<IpAddr>>>>,
}

impl Way {
    /// One to these clusters.
    pub(crate) fn to(route: &Route, clusters: Vec<(Arc<Cluster>, u32)>, clock: &Arc<dyn Clock>) -> Way {
        let limited = route.rate.is_some() || route.client_rate.is_some();
        Way {
            clusters,
            budget: Mutex::new(Budget::new(route.retry.budget, clock.now().mono)),
            limiter: limited.then(|| Mutex::new(Limiter::new(route.rate, route.client_rate))),
            route: route.clone(),
        }
    }

    /// Finds the clusters; `Err` names one that there is not.
    pub(crate) fn new(
        route: &Route,
        clusters: &HashMap<String, Arc<Cluster>>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Way, String> {
        let named: &[(String, u32)] = match &route.action {
            Action::Forward(list) => list,
            _ => &[],
        };
        let find = |(name, weight): &(String, u32)| match clusters.get(name) {
            Some(cluster) => Ok((Arc::clone(cluster), *weight)),
            None => Err(name.clone()),
        };
        let clusters = named.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Way::to(route, clusters, clock))
    }

    /// One of the clusters, by weight; `number` is any number.
    pub(crate) fn cluster(&self, number: u64) -> Option<&Arc<Cluster>> {
        if let [(only, weight)] = &self.clusters[..] {
            return (*weight > 0).then_some(only);
        }
        let total: u64 = self.clusters.iter().map(|(_, w)| u64::from(*w)).sum();
        let mut left = number.checked_rem(total)?;
        for (cluster, weight) in &self.clusters {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return Some(cluster),
            }
        }
        None
    }
}

/// Whether a pattern of hosts fits; both in lower case.
pub(crate) fn host_fits(pattern: &str, host: &[u8]) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            host.len() > suffix.len()
                && host
                    .get(host.len() - suffix.len()..)
                    .is_some_and(|h| h.eq_ignore_ascii_case(suffix.as_bytes()))
        }
        None => host.eq_ignore_ascii_case(pattern.as_bytes()),
    }
}

/// The host without its port.
pub(crate) fn bare_host(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').unwrap_or(host.len());
        return host.get(1..end).unwrap_or_default();
    }
    let end = host.iter().rposition(|b| *b == b':').unwrap_or(host.len());
    host.get(..end).unwrap_or_default()
}

impl Matcher {
    fn fits(&self, text: &[u8]) -> bool {
        match self {
            Matcher::Exact(e) => text == e.as_slice(),
            Matcher::Prefix(p) => text.starts_with(p),
            Matcher::Regex(r) => r.is_match(text),
        }
    }

    fn fits_path(&self, path: &[u8]) -> bool {
        match self {
            Matcher::Prefix(p) => {
                let p = p.strip_suffix(b"/").unwrap_or(p);
                path.strip_prefix(p)
                    .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
            }
            other => other.fits(path),
        }
    }
}

/// Whether a request fits; `path` is its path in the form to compare, in which no spelling hides anything.
fn fits(m: &Match, head: &RequestHead, path: &[u8]) -> bool {
    let query = || {
        let all = head.query().unwrap_or_default();
        all.split(|b| *b == b'&').map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            (
                pair.get(..at).unwrap_or_default(),
                pair.get(at + 1..).unwrap_or_default(),
            )
        })
    };
    m.method
        .as_ref()
        .is_none_or(|method| head.method() == method.as_slice())
        && m.path.as_ref().is_none_or(|p| p.fits_path(path))
        && m.headers
            .iter()
            .all(|(name, value)| head.fields.get(name).is_some_and(|v| value.fits(v)))
        && m.query.iter().all(|(name, value)| {
            query()
                .find(|(n, _)| *n == name.as_slice())
                .is_some_and(|(_, v)| value.fits(v))
        })
}

/// The first route that fits.
pub(crate) fn find<'w>(ways: &'w [Arc<Way>], head: &RequestHead) -> Option<(&'w Arc<Way>, Option<&'w Match>)> {
    let host = bare_host(head.host().unwrap_or_default());
    let mut form = None;
    ways.iter().find_map(|way| {
        let route = &way.route;
        if !route.hosts.is_empty() && !route.hosts.iter().any(|h| host_fits(h, host)) {
            return None;
        }
        if route.matches.is_empty() {
            return Some((way, None));
        }
        let path = form.get_or_insert_with(|| qd_proxy_config::match_form(head.path()));
        let found = route.matches.iter().find(|m| fits(m, head, path));
        found.map(|m| (way, Some(m)))
    })
}

/// The target with its path replaced.
pub(crate) fn edit_path(edit: &PathEdit, found: Option<&Match>, head: &RequestHead) -> Vec<u8> {
    let path = head.path();
    let mut new = match edit {
        PathEdit::Full(full) => full.clone(),
        PathEdit::Prefix(with) => {
            let prefix = match found.and_then(|m| m.path.as_ref()) {
                Some(Matcher::Prefix(p)) => p.strip_suffix(b"/").unwrap_or(p),
                Some(Matcher::Exact(p)) => p.as_slice(),
                _ => b"",
            };
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let with = match rest.first() {
                Some(b'/') => with.strip_suffix(b"/").unwrap_or(with),
                _ => with,
            };
            [with, rest].concat()
        }
    };
    if new.first() != Some(&b'/') {
        new.insert(0, b'/');
    }
    if let Some(query) = head.query() {
        new.push(b'?');
        new.extend_from_slice(query);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use qd_proxy_wire::Limits;

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        head
    }

    fn way(name: &str, hosts: &[&str], matches: Vec<Match>) -> Arc<Way> {
        let route = Route {
            name: Arc::from(name),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            matches,
            ..Route::to("x")
        };
        let clock: Arc<dyn Clock> = Arc::new(qd_core::VirtualClock::default());
        Arc::new(Way::to(&route, Vec::new(), &clock))
    }

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let path = |p: &str| Match {
            path: Some(Matcher::Prefix(p.as_bytes().to_vec())),
            ..Match::default()
        };
        let ways = [
            way("wild", &["*.example.com"], vec![]),
            way("api", &["example.com"], vec![path("/api")]),
            way(
                "query",
                &[],
                vec![Match {
                    query: vec![(b"v".to_vec(), Matcher::Exact(b"2".to_vec()))],
                    ..Match::default()
                }],
            ),
        ];
        let name = |text: &str| find(&ways, &head(text)).map(|(w, _)| w.route.name.to_string());
        let get = |path: &str, host: &str| name(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(get("/", "A.b.Example.com:80").as_deref(), Some("wild"));
        assert_eq!(get("/api", "example.com").as_deref(), Some("api"));
        assert_eq!(get("/api/x", "example.com").as_deref(), Some("api"));
        assert_eq!(get("/apix", "example.com"), None);
        assert_eq!(get("/?a=1&v=2", "h").as_deref(), Some("query"));
    }

    #[test]
    fn prefixes_are_replaced_and_queries_stay() {
        let found = Match {
            path: Some(Matcher::Prefix(b"/a/".to_vec())),
            ..Match::default()
        };
        for (with, path, want) in [
            ("/b", "/a/x?q", "/b/x?q"),
            ("/", "/a/x", "/x"),
            ("/b/", "/a", "/b/"),
            ("/b", "/a", "/b"),
        ] {
            let head = head(&format!("GET {path} HTTP/1.1\r\n\r\n"));
            let edit = PathEdit::Prefix(with.as_bytes().to_vec());
            assert_eq!(edit_path(&edit, Some(&found), &head), want.as_bytes());
        }
    }

    #[test]
    fn ports_are_not_part_of_a_host() {
        assert_eq!(bare_host(b"[::1]:80"), b"::1");
        assert_eq!(bare_host(b"a:80"), b"a");
        assert_eq!(bare_host(b"a"), b"a");
    }
}
