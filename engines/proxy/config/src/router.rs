//! Which rule a request takes.
//!
//! The order is the Gateway API's: the most exact host first, then the path (exact, regular expression, the longest
//! prefix), then whether a method is asked for, then how many header fields and how many query parameters; among equals the
//! one that stands first. Where a host's rules do not fit, those of the next host that fits are asked.
//!
//! Exact hosts, wildcards, exact paths and prefixes are looked up in tables, so the number of routes costs nothing; only
//! regular expressions and what shares a path are tried one after the other.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use crate::load::Config;
use crate::matches::{HttpMatch, Match, Matcher, PathMatch};
use crate::names::{HeaderName, Hostname};
use crate::path::match_form;
use crate::route::Route;

/// What the router sees of a request.
pub trait RequestView {
    /// The host that is asked for, without its port; in any case.
    fn host(&self) -> &[u8];
    /// The method.
    fn method(&self) -> &[u8];
    /// The path as it came, without the query.
    fn path(&self) -> &[u8];
    /// The query without its `?`.
    fn query(&self) -> Option<&[u8]>;
    /// Whether `test` holds for the value of one of the header's lines of this name, which is in lower case.
    fn any_header(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
    /// Whether it is a gRPC call.
    fn is_grpc(&self) -> bool;
}

/// The rule of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// Its route, in [`Config::routes`].
    pub route: usize,
    /// The rule in the route.
    pub rule: usize,
    /// The match in the rule; 0 for a rule without.
    pub matched: usize,
    /// Bytes of the path that the prefix took, 0 for other kinds of match: what `ReplacePrefixMatch` replaces.
    pub prefix: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    found: Found,
    conditions: Match,
}

/// How an entry's path is found.
enum Place {
    Exact(Vec<u8>),
    Prefix(Vec<u8>),
    Tried,
}

impl Entry {
    fn place(&self) -> Place {
        match &self.conditions {
            Match::Http(m) => match &m.path {
                PathMatch::Exact(path) => Place::Exact(path.clone().into_bytes()),
                PathMatch::Prefix(path) => Place::Prefix(path.clone().into_bytes()),
                PathMatch::Regex(_) => Place::Tried,
            },
            Match::Grpc(m) => match (&m.service, &m.method) {
                (Some(Matcher::Exact(s)), Some(Matcher::Exact(m))) => Place::Exact(format!("/{s}/{m}").into_bytes()),
                (Some(Matcher::Exact(service)), None) => Place::Prefix(format!("/{service}").into_bytes()),
                (None, None) => Place::Prefix(Vec::new()),
                _ => Place::Tried,
            },
        }
    }

    /// The order among entries of one host.
    fn rank(&self) -> impl Ord + use<> {
        let (kind, length) = match self.place() {
            Place::Exact(_) => (0, 0),
            Place::Tried => (1, 0),
            Place::Prefix(prefix) => (2, prefix.len()),
        };
        let (method, headers, query) = match &self.conditions {
            Match::Http(m) => (m.method.is_some(), m.headers.len(), m.query_params.len()),
            Match::Grpc(m) => (m.method.is_some(), m.headers.len(), 0),
        };
        let Found {
            route, rule, matched, ..
        } = self.found;
        (
            kind,
            Reverse(length),
            Reverse(method),
            Reverse(headers),
            Reverse(query),
            (route, rule, matched),
        )
    }

    /// Whether a request fits whose path is in the form to compare.
    fn fits(&self, request: &dyn RequestView, path: &[u8]) -> bool {
        let fields = |headers: &[(HeaderName, Matcher)]| {
            headers
                .iter()
                .all(|(name, value)| request.any_header(name.as_str(), &mut |v| value.fits(v)))
        };
        match &self.conditions {
            Match::Http(own) => {
                own.path.fits(path)
                    && own.method.as_ref().is_none_or(|m| m.as_bytes() == request.method())
                    && fields(&own.headers)
                    && own
                        .query_params
                        .iter()
                        .all(|(name, value)| parameter(request.query(), name).is_some_and(|v| value.fits(&v)))
            }
            Match::Grpc(own) => request.is_grpc() && own.fits_path(path) && fields(&own.headers),
        }
    }
}

/// The value of the first query parameter of a name, unescaped.
fn parameter<'q>(query: Option<&'q [u8]>, name: &str) -> Option<Cow<'q, [u8]>> {
    query?.split(|b| *b == b'&').find_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        (*unescape(pair.get(..at).unwrap_or_default()) == *name.as_bytes())
            .then(|| unescape(pair.get(at + 1..).unwrap_or_default()))
    })
}

/// Text of a form: `+` is a blank, `%41` is `A`; a `%` that begins no escape stays.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => plain.push(b' '),
            _ => plain.push(byte),
        }
        at += 1;
    }
    Cow::Owned(plain)
}

/// The entries of one host.
#[derive(Debug, Clone, Default)]
struct Bucket {
    exact: HashMap<Vec<u8>, Vec<Entry>>,
    tried: Vec<Entry>,
    prefix: HashMap<Vec<u8>, Vec<Entry>>,
    /// The length of the longest prefix: what is longer is not looked for.
    longest: usize,
}

impl Bucket {
    fn new(mut entries: Vec<Entry>) -> Bucket {
        entries.sort_by_key(Entry::rank);
        let mut bucket = Bucket::default();
        for entry in entries {
            match entry.place() {
                Place::Exact(path) => bucket.exact.entry(path).or_default().push(entry),
                Place::Prefix(path) => {
                    bucket.longest = bucket.longest.max(path.len());
                    bucket.prefix.entry(path).or_default().push(entry);
                }
                Place::Tried => bucket.tried.push(entry),
            }
        }
        bucket
    }

    fn find(&self, request: &dyn RequestView, path: &[u8]) -> Option<Found> {
        let first = |entries: &[Entry]| entries.iter().find(|e| e.fits(request, path)).map(|e| e.found);
        self.exact
            .get(path)
            .and_then(|entries| first(entries))
            .or_else(|| first(&self.tried))
            .or_else(|| {
                // A prefix ends where the path does or before a slash; the longest is asked first.
                let ends = (0..=path.len().min(self.longest))
                    .rev()
                    .filter(|end| path.get(*end).is_none_or(|b| *b == b'/'));
                ends.filter_map(|end| self.prefix.get(path.get(..end)?))
                    .find_map(|entries| first(entries))
            })
    }
}

/// The routes of one listener, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Router {
    hosts: HashMap<String, Bucket>,
    wildcards: HashMap<String, Bucket>,
    any: Bucket,
}

/// A rule as a router takes it.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// Its hosts; all if there is none.
    pub hosts: &'a [Hostname],
    /// The ways to fit, any of them; every request if there is none.
    pub matches: &'a [Match],
}

impl Router {
    /// The HTTP and gRPC routes of a listener.
    pub fn new(config: &Config, listener: &str) -> Router {
        let own = config.listener(listener).and_then(|l| l.hostname.as_ref());
        let mut hosts: HashMap<Option<Hostname>, Vec<Entry>> = HashMap::new();
        for (route, of) in config.routes_of(listener) {
            let entries = route_entries(route, of);
            let names = of.hostnames().iter().map(|h| &h.value);
            for host in served(own, names) {
                hosts.entry(host).or_default().extend(entries.iter().cloned());
            }
        }
        Router::build(hosts)
    }

    /// Rules without a configuration around them: [`Found::route`] is the place in `rules`, and [`Found::rule`] is 0.
    pub fn of<'a>(rules: impl IntoIterator<Item = Served<'a>>) -> Router {
        let mut hosts: HashMap<Option<Hostname>, Vec<Entry>> = HashMap::new();
        for (route, rule) in rules.into_iter().enumerate() {
            let entries = entries(route, 0, rule.matches.iter().cloned());
            for host in served(None, rule.hosts.iter()) {
                hosts.entry(host).or_default().extend(entries.iter().cloned());
            }
        }
        Router::build(hosts)
    }

    fn build(hosts: HashMap<Option<Hostname>, Vec<Entry>>) -> Router {
        let mut router = Router::default();
        for (host, entries) in hosts {
            let bucket = Bucket::new(entries);
            match host {
                None => router.any = bucket,
                Some(Hostname::Exact(name)) => drop(router.hosts.insert(name, bucket)),
                Some(Hostname::Wildcard(domain)) => drop(router.wildcards.insert(domain, bucket)),
            }
        }
        router
    }

    /// The rule that a request takes; `None` when no route is for it.
    pub fn find(&self, request: &dyn RequestView) -> Option<Found> {
        let path = match_form(request.path());
        if !self.hosts.is_empty() || !self.wildcards.is_empty() {
            // A host that is no text fits no name.
            let host = std::str::from_utf8(request.host()).unwrap_or_default();
            let host = host.strip_suffix('.').unwrap_or(host);
            let lower: Cow<'_, str> = if host.bytes().any(|b| b.is_ascii_uppercase()) {
                Cow::Owned(host.to_ascii_lowercase())
            } else {
                Cow::Borrowed(host)
            };
            if let Some(found) = self.hosts.get(&*lower).and_then(|b| b.find(request, &path)) {
                return Some(found);
            }
            // From the longest domain on: after the first dot, after the second, …; before it is a label at least.
            if !self.wildcards.is_empty() && lower.len() <= 255 {
                for (at, _) in lower.match_indices('.').filter(|(at, _)| *at > 0) {
                    let bucket = lower.get(at + 1..).and_then(|domain| self.wildcards.get(domain));
                    if let Some(found) = bucket.and_then(|b| b.find(request, &path)) {
                        return Some(found);
                    }
                }
            }
        }
        self.any.find(request, &path)
    }
}

/// The hosts of a route that its listener, which may have one of its own, serves; `None` for any.
fn served<'a>(own: Option<&Hostname>, names: impl ExactSizeIterator<Item = &'a Hostname>) -> Vec<Option<Hostname>> {
    if names.len() == 0 {
        return vec![own.cloned()];
    }
    let narrowed = names.filter_map(|name| own.map_or_else(|| Some(name.clone()), |own| own.narrowed(name)));
    narrowed.map(Some).collect()
}

/// A rule's matches, each for itself.
fn entries(route: usize, rule: usize, matches: impl ExactSizeIterator<Item = Match>) -> Vec<Entry> {
    let entry = |(matched, conditions): (usize, Match)| Entry {
        found: Found {
            route,
            rule,
            matched,
            prefix: match &conditions {
                Match::Http(HttpMatch {
                    path: PathMatch::Prefix(prefix),
                    ..
                }) => prefix.len(),
                _ => 0,
            },
        },
        conditions,
    };
    match matches.len() {
        0 => vec![entry((0, Match::default()))],
        _ => matches.enumerate().map(entry).collect(),
    }
}

/// The same of all rules of a route.
fn route_entries(route: usize, of: &Route) -> Vec<Entry> {
    let of_rule = |(rule, matches): (usize, Vec<Match>)| entries(route, rule, matches.into_iter());
    match of {
        Route::Http(r) => {
            let rules = r
                .rules
                .iter()
                .map(|rule| rule.matches.iter().map(|m| Match::Http(m.value.clone())).collect());
            rules.enumerate().flat_map(of_rule).collect()
        }
        Route::Grpc(r) => r
            .rules
            .iter()
            .map(|rule| rule.ways())
            .enumerate()
            .flat_map(of_rule)
            .collect(),
        Route::Tcp(_) | Route::Tls(_) => Vec::new(),
    }
}

impl Config {
    /// The TCP or TLS route of a connection: by the name that its client asks for, if TLS says one.
    pub fn stream_route(&self, listener: &str, server_name: Option<&str>) -> Option<usize> {
        let name = server_name.map(str::to_ascii_lowercase);
        let fit = |route: &Route| -> Option<(bool, usize)> {
            match (route, &name) {
                (Route::Tcp(_), _) => Some((false, 0)),
                (Route::Tls(r), _) if r.hostnames.is_empty() => Some((false, 1)),
                (Route::Tls(r), Some(name)) => {
                    let fitting = r.hostnames.iter().filter(|h| h.fits(name));
                    fitting
                        .map(|h| (matches!(h.value, Hostname::Exact(_)), h.to_string().len()))
                        .max()
                }
                _ => None,
            }
        };
        // Of several that fit equally well the first is taken.
        self.routes_of(listener)
            .filter_map(|(at, route)| Some((fit(route)?, Reverse(at))))
            .max()
            .map(|(_, Reverse(at))| at)
    }
}
