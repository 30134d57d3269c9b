//! Routes: which requests go to which clusters, and what is done to them on the way.

use std::time::Duration;

use qd_proxy_policy::Timeouts;
use qd_tree::{Node, NodeValue, Spanned, carry};
use serde::{Deserialize, Deserializer};

use crate::filter::Filter;
use crate::matches::{GrpcMatch, HttpMatch, Match};
use crate::names::Hostname;
use crate::policy::{RateLimits, Retry};
use crate::value;

/// A listener that a route belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentRef {
    /// The listener's name.
    pub listener: Spanned<String>,
}

impl<'de> Deserialize<'de> for ParentRef {
    /// A name alone, or a table with `name`; `sectionName`, if there is one, is the listener of the gateway `name`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ParentRef, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            #[serde(default, rename = "group")]
            _group: Option<String>,
            #[serde(default, rename = "kind")]
            _kind: Option<String>,
            #[serde(default, rename = "namespace")]
            _namespace: Option<String>,
            name: Spanned<String>,
            #[serde(default)]
            section_name: Option<Spanned<String>>,
        }
        let node = Node::deserialize(deserializer)?;
        let listener = match node.value {
            NodeValue::String(_) => qd_tree::decode(&node).map_err(carry)?,
            _ => {
                let table: Table = qd_tree::decode(&node).map_err(carry)?;
                table.section_name.unwrap_or(table.name)
            }
        };
        Ok(ParentRef { listener })
    }
}

/// A cluster that a rule sends to.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendRef {
    /// The cluster's name.
    pub name: Spanned<String>,
    /// Its share among the rule's clusters; 0 for none. Default 1.
    pub weight: u32,
    /// What is done to requests that go there only: changes of headers.
    pub filters: Vec<Filter>,
}

impl<'de> Deserialize<'de> for BackendRef {
    /// A name alone, or a table with `name`, `weight` and `filters`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BackendRef, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Table {
            name: Spanned<String>,
            #[serde(default = "one")]
            weight: u32,
            #[serde(default)]
            filters: Vec<Filter>,
        }
        let node = Node::deserialize(deserializer)?;
        if let NodeValue::String(_) = node.value {
            let name = qd_tree::decode(&node).map_err(carry)?;
            return Ok(BackendRef {
                name,
                weight: 1,
                filters: Vec::new(),
            });
        }
        let Table { name, weight, filters } = qd_tree::decode(&node).map_err(carry)?;
        Ok(BackendRef { name, weight, filters })
    }
}

fn one() -> u32 {
    1
}

/// The times of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RuleTimeouts {
    /// Of the whole request, tries and response included; none without it, and 0 is none as in the Gateway API.
    #[serde(deserialize_with = "value::some_duration")]
    pub request: Option<Duration>,
    /// Of one try, until its response's head.
    #[serde(deserialize_with = "value::some_duration")]
    pub backend_request: Option<Duration>,
    /// Without a byte either way.
    #[serde(deserialize_with = "value::some_duration")]
    pub idle: Option<Duration>,
}

impl RuleTimeouts {
    /// As the policies take them.
    pub fn timeouts(&self) -> Timeouts {
        let some = |length: Option<Duration>| length.filter(|l| !l.is_zero());
        Timeouts {
            request: some(self.request),
            per_try: some(self.backend_request),
            idle: some(self.idle),
        }
    }
}

/// A rule of an HTTP route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRule {
    /// Its name, for tables; the route's with a number without it.
    #[serde(default)]
    pub name: Option<String>,
    /// The ways to fit, any of them; every request without them.
    #[serde(default)]
    pub matches: Vec<Spanned<HttpMatch>>,
    /// What is done on the way.
    #[serde(default)]
    pub filters: Vec<Spanned<Filter>>,
    /// Where it goes.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
    /// Times.
    #[serde(default)]
    pub timeouts: RuleTimeouts,
    /// When it is sent again; never without it.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// Rates.
    #[serde(default)]
    pub rate_limit: RateLimits,
    /// The access policy, beside the listener's.
    #[serde(default)]
    pub access: Option<Spanned<String>>,
}

impl HttpRule {
    /// One of its clusters, by weight; `number` is any number, evenly spread. `None` when no cluster has a weight.
    pub fn backend(&self, number: u64) -> Option<&BackendRef> {
        by_weight(&self.backend_refs, number)
    }
}

pub(crate) fn by_weight(backends: &[BackendRef], number: u64) -> Option<&BackendRef> {
    let total: u64 = backends.iter().map(|b| u64::from(b.weight)).sum();
    let mut left = number.checked_rem(total)?;
    backends.iter().find(|b| match left.checked_sub(u64::from(b.weight)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

/// A rule of a gRPC route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcRule {
    /// Its name, for tables.
    #[serde(default)]
    pub name: Option<String>,
    /// The ways to fit, any of them; every call without them.
    #[serde(default)]
    pub matches: Vec<Spanned<GrpcMatch>>,
    /// What is done on the way: changes of headers and copies.
    #[serde(default)]
    pub filters: Vec<Spanned<Filter>>,
    /// Where it goes.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
    /// Times.
    #[serde(default)]
    pub timeouts: RuleTimeouts,
    /// When it is sent again; never without it.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// Rates.
    #[serde(default)]
    pub rate_limit: RateLimits,
    /// The access policy, beside the listener's.
    #[serde(default)]
    pub access: Option<Spanned<String>>,
}

impl GrpcRule {
    /// The ways to fit; without any in the file, the one that every call fits.
    pub fn ways(&self) -> Vec<Match> {
        match self.matches.is_empty() {
            true => vec![Match::Grpc(GrpcMatch::default())],
            false => self.matches.iter().map(|m| Match::Grpc(m.value.clone())).collect(),
        }
    }

    /// One of its clusters, by weight; `number` is any number, evenly spread.
    pub fn backend(&self, number: u64) -> Option<&BackendRef> {
        by_weight(&self.backend_refs, number)
    }
}

/// Routes of HTTP requests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRoute {
    /// Its name.
    pub name: Spanned<String>,
    /// The listeners it belongs to; all of HTTP without them.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// The hosts it serves; all without them.
    #[serde(default)]
    pub hostnames: Vec<Spanned<Hostname>>,
    /// Its rules.
    pub rules: Vec<Spanned<HttpRule>>,
}

/// Routes of gRPC calls.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcRoute {
    /// Its name.
    pub name: Spanned<String>,
    /// The listeners it belongs to; all of HTTP without them.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// The hosts it serves; all without them.
    #[serde(default)]
    pub hostnames: Vec<Spanned<Hostname>>,
    /// Its rules.
    pub rules: Vec<Spanned<GrpcRule>>,
}

/// Where bytes go: a TCP route by its listener, a TLS route by the name that the client asks for as well.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamRoute {
    /// Its name.
    pub name: Spanned<String>,
    /// The listeners it belongs to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// For TLS: the names it serves; all without them.
    #[serde(default)]
    pub hostnames: Vec<Spanned<Hostname>>,
    /// Where they go: one rule.
    pub rules: Vec<StreamRule>,
}

/// The rule of a TCP or TLS route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamRule {
    /// Its name, for tables.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it goes.
    pub backend_refs: Vec<BackendRef>,
}

impl StreamRoute {
    /// One of its clusters, by weight; `number` is any number, evenly spread.
    pub fn backend(&self, number: u64) -> Option<&BackendRef> {
        self.rules
            .first()
            .and_then(|rule| by_weight(&rule.backend_refs, number))
    }
}

/// What kind of route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum RouteKind {
    /// Of HTTP requests.
    #[default]
    #[serde(rename = "HTTPRoute")]
    Http,
    /// Of gRPC calls.
    #[serde(rename = "GRPCRoute")]
    Grpc,
    /// Of bytes in TCP.
    #[serde(rename = "TCPRoute")]
    Tcp,
    /// Of bytes in TLS, by name.
    #[serde(rename = "TLSRoute")]
    Tls,
}

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// Of HTTP requests.
    Http(HttpRoute),
    /// Of gRPC calls.
    Grpc(GrpcRoute),
    /// Of bytes in TCP.
    Tcp(StreamRoute),
    /// Of bytes in TLS, by name.
    Tls(StreamRoute),
}

impl Route {
    /// Its name.
    pub fn name(&self) -> &Spanned<String> {
        match self {
            Route::Http(r) => &r.name,
            Route::Grpc(r) => &r.name,
            Route::Tcp(r) | Route::Tls(r) => &r.name,
        }
    }

    /// Its kind.
    pub fn kind(&self) -> RouteKind {
        match self {
            Route::Http(_) => RouteKind::Http,
            Route::Grpc(_) => RouteKind::Grpc,
            Route::Tcp(_) => RouteKind::Tcp,
            Route::Tls(_) => RouteKind::Tls,
        }
    }

    /// The listeners it belongs to.
    pub fn parents(&self) -> &[ParentRef] {
        match self {
            Route::Http(r) => &r.parent_refs,
            Route::Grpc(r) => &r.parent_refs,
            Route::Tcp(r) | Route::Tls(r) => &r.parent_refs,
        }
    }

    /// The hosts it serves.
    pub fn hostnames(&self) -> &[Spanned<Hostname>] {
        match self {
            Route::Http(r) => &r.hostnames,
            Route::Grpc(r) => &r.hostnames,
            Route::Tcp(r) | Route::Tls(r) => &r.hostnames,
        }
    }

    /// All clusters that its rules name, in order: those they send to, then those that get copies.
    pub fn backends(&self) -> Vec<&BackendRef> {
        fn with_filters<'a>(refs: &'a [BackendRef], filters: &'a [Spanned<Filter>]) -> Vec<&'a BackendRef> {
            let copies = filters.iter().filter_map(|f| match &f.value {
                Filter::Mirror(mirror) => Some(&mirror.backend_ref),
                _ => None,
            });
            refs.iter().chain(copies).collect()
        }
        match self {
            Route::Http(r) => r
                .rules
                .iter()
                .flat_map(|r| with_filters(&r.backend_refs, &r.filters))
                .collect(),
            Route::Grpc(r) => r
                .rules
                .iter()
                .flat_map(|r| with_filters(&r.backend_refs, &r.filters))
                .collect(),
            Route::Tcp(r) | Route::Tls(r) => r.rules.iter().flat_map(|r| &r.backend_refs).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Route {
    /// A table with its `kind`, `HTTPRoute` if there is none; or a manifest of Kubernetes, whose `metadata.name` and `spec`
    /// say the same.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Route, D::Error> {
        let mut node = Node::deserialize(deserializer)?;
        let kind = match node.take("kind") {
            Some((_, kind)) => qd_tree::decode(&kind).map_err(|e| carry(e.within("kind").at(kind.span)))?,
            None => RouteKind::default(),
        };
        if let Some((_, spec)) = node.take("spec") {
            node = manifest(node, spec).map_err(carry)?;
        }
        match kind {
            RouteKind::Http => qd_tree::decode(&node).map(Route::Http),
            RouteKind::Grpc => qd_tree::decode(&node).map(Route::Grpc),
            RouteKind::Tcp => qd_tree::decode(&node).map(Route::Tcp),
            RouteKind::Tls => qd_tree::decode(&node).map(Route::Tls),
        }
        .map_err(carry)
    }
}

/// A manifest as the plain table: the keys of `spec`, and the name.
fn manifest(outer: Node, spec: Node) -> Result<Node, qd_tree::ConfigError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Outer {
        #[serde(default, rename = "apiVersion")]
        _api_version: Option<String>,
        #[serde(default, rename = "status")]
        _status: Option<Node>,
        metadata: Node,
    }
    let read: Outer = qd_tree::decode(&outer)?;
    let Some(name) = read.metadata.get("name") else {
        return Err(qd_tree::ConfigError::new("missing key `name`")
            .at(read.metadata.span)
            .within("metadata"));
    };
    let mut plain = spec;
    if let NodeValue::Table(entries) = &mut plain.value {
        let key = qd_tree::Key {
            name: "name".to_owned(),
            span: name.span,
        };
        entries.insert(0, (key, name.clone()));
    }
    Ok(plain)
}
