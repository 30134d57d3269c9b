//! A configuration file's words as a plan.
//!
//! Routes are laid out in the order of the Gateway API, one for each host and match, so that the first that fits is the
//! right one. What the data plane does not do is refused by name and never left out in silence.

use std::sync::Arc;

use qd_proxy_config::{self as config, Config, Filter, PathMatch, Route as ConfigRoute};

use crate::{
    plan::{
        Action, Address, Bind, Bounds, Cluster, Forward, HeaderEdit, Listener, Match, Matcher, Methods, Network,
        PathEdit, Plan, Protocol, Retry, Route, UpstreamProtocol,
    },
    tls::{Check, ClientTls, ServerTls},
};

/// What a configuration asks for and is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not served: {}", .0.join("; "))]
pub struct Unserved(pub Vec<String>);

/// Makes a plan of a configuration that was checked.
///
/// # Errors
/// Everything in it that is not served, with its place.
pub fn plan(config: &Config) -> Result<Plan, Unserved> {
    let mut made = Maker {
        config,
        refused: Vec::new(),
    };
    if config.admin.is_some() {
        made.refuse("admin", "the admin endpoint");
    }
    if config.tracing.is_some() {
        made.refuse("tracing", "tracing");
    }
    let plan = Plan {
        listeners: config.listeners.iter().map(|l| made.listener(l)).collect(),
        clusters: config.clusters.iter().map(|c| made.cluster(c)).collect(),
    };
    match made.refused.is_empty() {
        true => Ok(plan),
        false => Err(Unserved(made.refused)),
    }
}

struct Maker<'c> {
    config: &'c Config,
    refused: Vec<String>,
}

/// How exactly a route fits: the higher, the earlier.
type Rank = (usize, usize, u8, usize, bool, usize, usize);

fn networks(nets: &[ipnet::IpNet]) -> Vec<Network> {
    let one = |n: &ipnet::IpNet| Network {
        address: n.addr(),
        bits: n.prefix_len(),
    };
    nets.iter().map(one).collect()
}

fn matcher(m: &config::Matcher) -> Matcher {
    match m {
        config::Matcher::Exact(text) => Matcher::Exact(text.clone().into_bytes()),
        config::Matcher::Regex { regex, .. } => Matcher::Regex(Arc::new((**regex).clone())),
    }
}

fn path_edit(edit: &config::PathEdit) -> PathEdit {
    match edit {
        config::PathEdit::Full(p) => PathEdit::Full(p.clone().into_bytes()),
        config::PathEdit::Prefix(p) => PathEdit::Prefix(p.clone().into_bytes()),
    }
}

fn add_edit(to: &mut HeaderEdit, edit: &config::HeaderEdit) {
    let pair = |(n, v): &(config::HeaderName, config::HeaderValue)| {
        (n.as_str().as_bytes().to_vec(), v.as_str().as_bytes().to_vec())
    };
    to.set.extend(edit.set.iter().map(pair));
    to.add.extend(edit.add.iter().map(pair));
    to.remove
        .extend(edit.remove.iter().map(|n| n.as_str().as_bytes().to_vec()));
}

fn retry(retry: Option<&config::Retry>) -> Retry {
    let Some(r) = retry else {
        return Retry::default();
    };
    Retry {
        attempts: r.policy.attempts,
        statuses: r.policy.statuses.iter().cloned().flatten().collect(),
        grpc: r.policy.grpc.iter().map(|c| c.0).collect(),
        backoff: r.policy.backoff,
        body: qd_proxy_policy::retry::MAX_REPLAY,
        methods: match r.policy.methods {
            qd_proxy_policy::retry::Methods::Idempotent => Methods::Idempotent,
            qd_proxy_policy::retry::Methods::All => Methods::All,
        },
        budget: r.budget,
    }
}

/// What rules of HTTP and gRPC have in common.
struct Rule<'c> {
    name: String,
    matches: Vec<(Match, u8, usize)>,
    filters: Vec<&'c Filter>,
    backends: &'c [config::BackendRef],
    timeouts: &'c config::RuleTimeouts,
    retry: Option<&'c config::Retry>,
    rates: &'c config::RateLimits,
    has_access: bool,
}

impl<'c> Maker<'c> {
    fn refuse(&mut self, place: &str, what: &str) {
        self.refused.push(format!("{place}: {what}"));
    }

    fn listener(&mut self, l: &'c config::Listener) -> Listener {
        let name = &l.name.value;
        let place = format!("listener `{name}`");
        let bind = match &l.address.value {
            config::Bind::Tcp(a) => Bind::Tcp(*a),
            config::Bind::Unix(p) => Bind::Unix(p.clone()),
        };
        let mut made = Listener::new(name.clone(), bind);
        made.protocol = match (l.protocol.value, l.mode.value) {
            (_, config::Mode::Opaque) | (config::Protocol::Tcp, _) => Protocol::Opaque,
            (config::Protocol::Http | config::Protocol::Https, _) => Protocol::Http,
            (config::Protocol::Auto | config::Protocol::Tls, _) => Protocol::Auto,
        };
        match l.mode.value {
            config::Mode::Forward => made.forward = Forward::On,
            config::Mode::Transparent => self.refuse(&place, "mode `transparent`"),
            config::Mode::Intercept => self.refuse(&place, "mode `intercept`"),
            config::Mode::Reverse | config::Mode::Opaque => {}
        }
        if let Some(tls) = &l.tls
            && tls.value.mode == config::TlsMode::Terminate
        {
            match &tls.value.certificates[..] {
                [one] => {
                    made.tls = Some(ServerTls {
                        client_ca: tls.value.client_ca.clone(),
                        ..ServerTls::new(&one.certificate, &one.key)
                    });
                }
                _ => self.refuse(&place, "more than one certificate"),
            }
            if tls.value.client_ca.is_some() && tls.value.client_auth == config::ClientAuth::Request {
                self.refuse(&place, "client certificates that may be missing");
            }
        }
        if l.access.is_some() {
            self.refuse(&place, "`access`");
        }
        made.opaque = l.backend.as_ref().map(|b| b.value.clone());
        made.preamble_from = networks(&l.proxy_protocol_from);
        made.trusted = networks(&l.trust_forwarded_from);
        made.bounds = Bounds {
            head: qd_proxy_wire::Limits {
                head_bytes: usize::try_from(l.limits.header_bytes).unwrap_or(usize::MAX),
                fields: l.limits.header_count,
            },
            head_timeout: l.timeouts.header,
            detect_timeout: l.timeouts.detect,
            handshake_timeout: l.timeouts.handshake,
            idle_timeout: l.timeouts.idle,
            per_address: l.limits.connections_per_client.unwrap_or(0),
            connections: l.limits.connections,
            streams: l.limits.streams,
            body: l.limits.body_bytes,
        };
        let mut ranked: Vec<(Rank, Route)> = Vec::new();
        let config = self.config;
        for (_, route) in config.routes_of(name) {
            match route {
                ConfigRoute::Http(r) => {
                    for rule in &r.rules {
                        let rule = self.http_rule(&r.name.value, &rule.value);
                        self.lay_out(l, &r.hostnames, &rule, &mut ranked);
                    }
                }
                ConfigRoute::Grpc(r) => {
                    for rule in &r.rules {
                        let rule = self.grpc_rule(&r.name.value, &rule.value);
                        self.lay_out(l, &r.hostnames, &rule, &mut ranked);
                    }
                }
                ConfigRoute::Tcp(r) => made.opaque = self.only_backend(r).or(made.opaque),
                ConfigRoute::Tls(r) => {
                    if let Some(cluster) = self.only_backend(r) {
                        match r.hostnames.is_empty() {
                            true => made.passthrough.push(("*".to_owned(), cluster)),
                            false => made
                                .passthrough
                                .extend(r.hostnames.iter().map(|h| (h.value.to_string(), cluster.clone()))),
                        }
                    }
                }
            }
        }
        made.passthrough
            .sort_by_key(|(name, _)| std::cmp::Reverse((!name.starts_with('*'), name.len())));
        // Equals stay in their order.
        ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        made.routes = ranked.into_iter().map(|(_, r)| r).collect();
        if let (true, Some(backend)) = (made.routes.is_empty(), &made.opaque) {
            made.routes.push(Route::to(backend.clone()));
        }
        made
    }

    fn only_backend(&mut self, r: &config::StreamRoute) -> Option<String> {
        let all: Vec<&config::BackendRef> = r.rules.iter().flat_map(|rule| &rule.backend_refs).collect();
        match all[..] {
            [one] => Some(one.name.value.clone()),
            _ => {
                self.refuse(&format!("route `{}`", r.name.value), "not exactly one backend");
                None
            }
        }
    }

    fn http_rule(&mut self, route: &str, rule: &'c config::HttpRule) -> Rule<'c> {
        let headers = |m: &config::HttpMatch| {
            let one = |(n, v): &(config::HeaderName, config::Matcher)| (n.as_str().as_bytes().to_vec(), matcher(v));
            m.headers.iter().map(one).collect()
        };
        let one = |m: &config::HttpMatch| {
            let (path, kind, length) = match &m.path {
                PathMatch::Exact(p) => (Some(Matcher::Exact(p.clone().into_bytes())), 2, p.len()),
                PathMatch::Prefix(p) if p.is_empty() => (None, 0, 0),
                PathMatch::Prefix(p) => (Some(Matcher::Prefix(p.clone().into_bytes())), 0, p.len()),
                PathMatch::Regex(r) => (Some(matcher(r)), 1, 0),
            };
            let made = Match {
                path,
                method: m.method.clone().map(String::into_bytes),
                headers: headers(m),
                query: m
                    .query_params
                    .iter()
                    .map(|(n, v)| (n.clone().into_bytes(), matcher(v)))
                    .collect(),
            };
            (made, kind, length)
        };
        Rule {
            name: rule
                .name
                .as_ref()
                .map_or_else(|| route.to_owned(), |n| format!("{route}/{n}")),
            matches: rule.matches.iter().map(|m| one(&m.value)).collect(),
            filters: rule.filters.iter().map(|f| &f.value).collect(),
            backends: &rule.backend_refs,
            timeouts: &rule.timeouts,
            retry: rule.retry.as_ref(),
            rates: &rule.rate_limit,
            has_access: rule.access.is_some(),
        }
    }

    fn grpc_rule(&mut self, route: &str, rule: &'c config::GrpcRule) -> Rule<'c> {
        let place = format!("route `{route}`");
        let grpc = || (b"content-type".to_vec(), Matcher::Prefix(b"application/grpc".to_vec()));
        let mut matches = Vec::new();
        for m in &rule.matches {
            let m = &m.value;
            let (path, kind, length) = match (&m.service, &m.method) {
                (None, None) => (None, 0, 0),
                (Some(config::Matcher::Exact(s)), None) => {
                    (Some(Matcher::Prefix(format!("/{s}").into_bytes())), 0, s.len())
                }
                (Some(config::Matcher::Exact(s)), Some(config::Matcher::Exact(method))) => {
                    let path = format!("/{s}/{method}");
                    let length = path.len();
                    (Some(Matcher::Exact(path.into_bytes())), 2, length)
                }
                _ => {
                    self.refuse(&place, "a gRPC match by expression, or by method alone");
                    (None, 0, 0)
                }
            };
            let mut headers: Vec<_> = m
                .headers
                .iter()
                .map(|(n, v)| (n.as_str().as_bytes().to_vec(), matcher(v)))
                .collect();
            headers.push(grpc());
            let made = Match {
                path,
                headers,
                ..Match::default()
            };
            matches.push((made, kind, length));
        }
        if matches.is_empty() {
            let any = Match {
                headers: vec![grpc()],
                ..Match::default()
            };
            matches.push((any, 0, 0));
        }
        Rule {
            name: rule
                .name
                .as_ref()
                .map_or_else(|| route.to_owned(), |n| format!("{route}/{n}")),
            matches,
            filters: rule.filters.iter().map(|f| &f.value).collect(),
            backends: &rule.backend_refs,
            timeouts: &rule.timeouts,
            retry: rule.retry.as_ref(),
            rates: &rule.rate_limit,
            has_access: rule.access.is_some(),
        }
    }

    fn lay_out(
        &mut self,
        listener: &config::Listener,
        hostnames: &[qd_tree::Spanned<config::Hostname>],
        rule: &Rule<'_>,
        out: &mut Vec<(Rank, Route)>,
    ) {
        let place = format!("route `{}`", rule.name);
        let mut route = Route {
            name: Arc::from(rule.name.as_str()),
            action: Action::Forward(rule.backends.iter().map(|b| (b.name.value.clone(), b.weight)).collect()),
            timeout: rule.timeouts.request,
            attempt_timeout: rule.timeouts.backend_request,
            retry: retry(rule.retry),
            rate: rule.rates.total.map(|r| r.0),
            client_rate: rule.rates.per_client.map(|r| r.0),
            ..Route::to("")
        };
        if rule.has_access {
            self.refuse(&place, "`access`");
        }
        if rule.timeouts.idle.is_some() {
            self.refuse(&place, "an idle timeout of its own");
        }
        if rule.backends.iter().any(|b| !b.filters.is_empty()) {
            self.refuse(&place, "filters of a backend");
        }
        for filter in &rule.filters {
            match filter {
                Filter::RequestHeader(edit) => add_edit(&mut route.request_headers, edit),
                Filter::ResponseHeader(edit) => add_edit(&mut route.response_headers, edit),
                Filter::Rewrite(r) => {
                    route.path = r.path.as_ref().map(path_edit).or(route.path);
                    route.host = r.hostname.as_ref().map(ToString::to_string).or(route.host);
                }
                Filter::Redirect(r) => {
                    route.action = Action::Redirect {
                        status: r.status_code,
                        scheme: r.scheme.clone(),
                        host: r.hostname.as_ref().map(ToString::to_string),
                        port: r.port,
                        path: r.path.as_ref().map(path_edit),
                    };
                }
                Filter::Direct(d) => {
                    route.action = Action::Respond {
                        status: d.status_code,
                        body: Arc::from(d.body.as_str()),
                    };
                }
                Filter::Mirror(_) => self.refuse(&place, "mirroring"),
            }
        }
        let own = listener.hostname.as_ref();
        let hosts: Vec<Option<&config::Hostname>> = match hostnames.is_empty() {
            true => vec![own],
            false => hostnames
                .iter()
                .map(|h| &h.value)
                .filter(|h| own.is_none_or(|o| o.meets(h)))
                .map(Some)
                .collect(),
        };
        let any = [(Match::default(), 0, 0)];
        let matches = if rule.matches.is_empty() {
            &any[..]
        } else {
            &rule.matches[..]
        };
        for host in hosts {
            let host_rank = match host {
                Some(config::Hostname::Exact(h)) => (2, h.len()),
                Some(config::Hostname::Wildcard(h)) => (1, h.len()),
                None => (0, 0),
            };
            for (m, kind, length) in matches {
                let rank = (
                    host_rank.0,
                    host_rank.1,
                    *kind,
                    *length,
                    m.method.is_some(),
                    m.headers.len(),
                    m.query.len(),
                );
                let route = Route {
                    hosts: host.map(ToString::to_string).into_iter().collect(),
                    matches: vec![m.clone()],
                    ..route.clone()
                };
                out.push((rank, route));
            }
        }
    }

    fn cluster(&mut self, c: &config::Cluster) -> Cluster {
        let name = &c.name.value;
        let place = format!("cluster `{name}`");
        if c.health_check.is_some() {
            self.refuse(&place, "active health checks");
        }
        let address = |a: &config::Address| match a {
            config::Address::Ip(a) => Address::Tcp(a.ip().to_string(), a.port()),
            config::Address::Name { host, port } => Address::Tcp(host.clone(), *port),
            config::Address::Unix(p) => Address::Unix(p.clone()),
        };
        let mut made = Cluster::new(name.clone(), []);
        made.endpoints = c
            .endpoints
            .iter()
            .map(|e| (address(&e.address.value), e.weight))
            .collect();
        made.protocol = match c.protocol {
            config::Speaks::Auto => UpstreamProtocol::Same,
            config::Speaks::Http1 => UpstreamProtocol::Http1,
            config::Speaks::Http2 => UpstreamProtocol::Http2,
        };
        made.tls = c.tls.as_ref().map(|t| ClientTls {
            ca: t.value.ca.clone(),
            name: t.value.server_name.clone(),
            identity: t.value.certificate.clone().zip(t.value.key.clone()),
            check: match t.value.verify {
                config::Verify::Full => Check::Full,
                config::Verify::None => Check::None,
            },
        });
        made.connect_timeout = c.timeouts.connect;
        made.connections = c.pool.connections.unwrap_or(made.connections);
        made.idle = c.pool.idle;
        made.idle_timeout = c.pool.idle_timeout;
        made.failfast = c.queue.failfast;
        made.breaker = c.breaker;
        made.strategy = c.balance.strategy.value;
        match &c.balance.hash_on {
            None | Some(config::HashOn::Source) => {}
            Some(config::HashOn::Header(name)) => made.hash_header = Some(name.as_str().as_bytes().to_vec()),
            Some(_) => self.refuse(&place, "a hash of anything but the source or a header"),
        }
        match c.proxy_protocol {
            config::SendPreamble::None => {}
            config::SendPreamble::V2 => made.preamble = true,
            config::SendPreamble::V1 => self.refuse(&place, "version 1 of the PROXY protocol to endpoints"),
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Plan, Unserved> {
        let loaded = config::parse("p.yaml", text, qd_tree::Format::Yaml);
        plan(&loaded.unwrap_or_else(|e| panic!("{e}")).config)
    }

    const BASE: &str = "listeners: [{name: in, address: '127.0.0.1:0'}]\n\
        clusters: [{name: a, endpoints: ['127.0.0.1:1']}, {name: b, endpoints: ['[::1]:2']}]\n";

    #[test]
    fn the_most_exact_route_comes_first() {
        let plan = read(&format!(
            "{BASE}routes:\n\
             - kind: HTTPRoute\n  name: any\n  parentRefs: [in]\n  rules: [{{backendRefs: [a]}}]\n\
             - kind: HTTPRoute\n  name: host\n  parentRefs: [in]\n  hostnames: [x.example]\n  rules:\n\
             \x20 - name: short\n    matches: [{{path: {{type: PathPrefix, value: /a}}}}]\n    backendRefs: [a]\n\
             \x20 - name: exact\n    matches: [{{path: {{type: Exact, value: /a/b}}}}]\n    backendRefs: [b]\n\
             \x20   timeouts: {{request: 2s}}\n"
        ))
        .unwrap();
        let names: Vec<_> = plan.listeners[0].routes.iter().map(|r| r.name.to_string()).collect();
        assert_eq!(names, ["host/exact", "host/short", "any"]);
        assert_eq!(
            plan.listeners[0].routes[0].timeout,
            Some(std::time::Duration::from_secs(2))
        );
        assert_eq!(plan.clusters[1].endpoints[0].0.to_string(), "[::1]:2");
    }

    #[test]
    fn what_is_not_served_is_said() {
        let text = BASE.replace("address: '127.0.0.1:0'", "address: '127.0.0.1:0', mode: transparent");
        let error = read(&text).unwrap_err();
        assert_eq!(error.0, ["listener `in`: mode `transparent`"]);
    }
}
