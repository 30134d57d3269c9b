//! A configuration file's words as a plan.
//!
//! Every key of a file either changes the plan or is refused here with its place; nothing is left out in silence (a test
//! walks all keys).

use std::{fmt, sync::Arc};

use qd_proxy_config::{self as config, Config, ConfigError, Filter, Match, Route as ConfigRoute, Span};
use qd_proxy_policy::AccessPolicy;
use qd_tree::Spanned;

use crate::{
    intercept::Intercept,
    plan::{
        AccessLog, Action, Address, Backend, Bind, Bounds, Cluster, Forward, HeaderEdit, HealthCheck, Hostname,
        Listener, Mirror, Network, Plan, Protocol, Retry, Route, Split, Tracing, Transparent, UpstreamProtocol,
    },
    tls::{Check, ClientAuth, ClientTls, ServerTls},
};

/// What a configuration asks for and is not served, each with its place; [`config::Files::render`] shows it there.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Unserved(pub Vec<ConfigError>);

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = self.0.iter().map(|e| e.message.as_str()).collect();
        f.write_str(&all.join("; "))
    }
}

/// Makes a plan of a configuration that was checked.
///
/// # Errors
/// Everything in it that is not served, with its place.
pub fn plan(config: &Config) -> Result<Plan, Unserved> {
    let mut made = Maker {
        config,
        refused: Vec::new(),
    };
    let plan = Plan {
        listeners: config.listeners.iter().map(|l| made.listener(l)).collect(),
        clusters: config.clusters.iter().map(|c| made.cluster(c)).collect(),
        max_in_flight: config.max_in_flight,
        deadline: config.shutdown.deadline,
        admin: config.admin.as_ref().map(|a| bind(&a.address.value)),
        tracing: config.tracing.as_ref().map(|t| Tracing {
            endpoint: t.value.endpoint.clone(),
            sample: t.value.sample,
            service: t.value.service.clone(),
        }),
        access_log: config.access_log.as_ref().map(|l| AccessLog {
            path: l.path.clone(),
            format: l.format,
        }),
    };
    match made.refused.is_empty() {
        true => Ok(plan),
        false => Err(Unserved(made.refused)),
    }
}

struct Maker<'c> {
    config: &'c Config,
    refused: Vec<ConfigError>,
}

fn bind(bind: &config::Bind) -> Bind {
    match bind {
        config::Bind::Tcp(a) => Bind::Tcp(*a),
        config::Bind::Unix(p) => Bind::Unix(p.clone()),
    }
}

fn networks(nets: &[ipnet::IpNet]) -> Vec<Network> {
    let one = |n: &ipnet::IpNet| Network {
        address: n.addr(),
        bits: n.prefix_len(),
    };
    nets.iter().map(one).collect()
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

fn split(route: &config::StreamRoute) -> Split {
    let all = route.rules.iter().flat_map(|rule| &rule.backend_refs);
    let rule = route.rules.iter().find_map(|rule| rule.name.as_deref());
    Split {
        name: rule_name(&route.name.value, rule, 0, 1),
        clusters: all.map(|b| (b.name.value.clone(), b.weight)).collect(),
    }
}

/// What a rule is called in metrics: by its own name, or by its number where there are others.
fn rule_name(route: &str, rule: Option<&str>, number: usize, of: usize) -> Arc<str> {
    match (rule, of) {
        (Some(rule), _) => Arc::from(format!("{route}/{rule}")),
        (None, 0 | 1) => Arc::from(route),
        (None, _) => Arc::from(format!("{route}/{}", number + 1)),
    }
}

/// What rules of HTTP and gRPC have in common.
struct Rule<'c> {
    name: Arc<str>,
    family: &'c str,
    hosts: &'c [Spanned<config::Hostname>],
    matches: Vec<Match>,
    filters: &'c [Spanned<Filter>],
    backends: &'c [config::BackendRef],
    timeouts: &'c config::RuleTimeouts,
    retry: Option<&'c config::Retry>,
    rates: &'c config::RateLimits,
    access: Option<&'c Spanned<String>>,
}

impl<'c> Maker<'c> {
    fn refuse(&mut self, what: impl Into<String>, span: Option<Span>) {
        self.refused.push(ConfigError::new(what).at(span));
    }

    fn access(&mut self, name: Option<&Spanned<String>>) -> Option<Arc<AccessPolicy>> {
        let name = name?;
        match self.config.access(&name.value) {
            Some(access) => Some(Arc::new(access.policy())),
            None => {
                self.refuse(format!("there is no access policy `{}`", name.value), name.span);
                None
            }
        }
    }

    fn listener(&mut self, l: &'c config::Listener) -> Listener {
        let name = &l.name.value;
        let mut made = Listener::new(name.clone(), bind(&l.address.value));
        made.protocol = match (l.protocol.value, l.mode.value) {
            (_, config::Mode::Opaque) | (config::Protocol::Tcp, _) => Protocol::Opaque,
            (config::Protocol::Http | config::Protocol::Https, _) => Protocol::Http,
            (config::Protocol::Auto | config::Protocol::Tls, _) => Protocol::Auto,
        };
        match l.mode.value {
            config::Mode::Forward => made.forward = Forward::On,
            config::Mode::Transparent => made.transparent = Transparent::On,
            config::Mode::Intercept => made.forward = Forward::On,
            config::Mode::Reverse | config::Mode::Opaque => {}
        }
        made.intercept = l.intercept.as_ref().map(|i| Intercept {
            certificate: i.ca.certificate.clone(),
            key: i.ca.key.clone(),
            except: i.except.iter().map(ToString::to_string).collect(),
            upstream_ca: i.upstream_ca.clone(),
        });
        if let Some(tls) = &l.tls
            && tls.value.mode == config::TlsMode::Terminate
        {
            match &tls.value.certificates[..] {
                [first, others @ ..] => {
                    made.tls = Some(ServerTls {
                        client_ca: tls.value.client_ca.clone(),
                        client_auth: match tls.value.client_auth {
                            config::ClientAuth::Require => ClientAuth::Require,
                            config::ClientAuth::Request => ClientAuth::Request,
                        },
                        others: others.iter().map(|c| (c.certificate.clone(), c.key.clone())).collect(),
                        ..ServerTls::new(&first.certificate, &first.key)
                    });
                }
                [] => self.refuse("TLS that ends here needs a certificate", tls.span),
            }
        }
        made.access = self.access(l.access.as_ref());
        made.opaque = l.backend.as_ref().map(|b| Split::from(b.value.as_str()));
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
        let config = self.config;
        for (_, route) in config.routes_of(name) {
            match route {
                ConfigRoute::Http(r) => {
                    for (number, rule) in r.rules.iter().enumerate() {
                        let rule = &rule.value;
                        let rule = Rule {
                            name: rule_name(&r.name.value, rule.name.as_deref(), number, r.rules.len()),
                            family: &r.name.value,
                            hosts: &r.hostnames,
                            matches: rule.matches.iter().map(|m| Match::Http(m.value.clone())).collect(),
                            filters: &rule.filters,
                            backends: &rule.backend_refs,
                            timeouts: &rule.timeouts,
                            retry: rule.retry.as_ref(),
                            rates: &rule.rate_limit,
                            access: rule.access.as_ref(),
                        };
                        made.routes.extend(self.route(l, &rule));
                    }
                }
                ConfigRoute::Grpc(r) => {
                    for (number, rule) in r.rules.iter().enumerate() {
                        let rule = &rule.value;
                        let rule = Rule {
                            name: rule_name(&r.name.value, rule.name.as_deref(), number, r.rules.len()),
                            family: &r.name.value,
                            hosts: &r.hostnames,
                            matches: rule.ways(),
                            filters: &rule.filters,
                            backends: &rule.backend_refs,
                            timeouts: &rule.timeouts,
                            retry: rule.retry.as_ref(),
                            rates: &rule.rate_limit,
                            access: rule.access.as_ref(),
                        };
                        made.routes.extend(self.route(l, &rule));
                    }
                }
                ConfigRoute::Tcp(r) => made.opaque = Some(split(r)),
                ConfigRoute::Tls(r) if r.hostnames.is_empty() => made.passthrough.push(("*".to_owned(), split(r))),
                ConfigRoute::Tls(r) => made
                    .passthrough
                    .extend(r.hostnames.iter().map(|h| (h.value.to_string(), split(r)))),
            }
        }
        made.passthrough
            .sort_by_key(|(name, _)| std::cmp::Reverse((!name.starts_with('*'), name.len())));
        // What no route takes.
        if let (Some(backend), true) = (&l.backend, made.protocol != Protocol::Opaque) {
            made.routes.push(Route {
                hosts: l.hostname.iter().cloned().collect(),
                ..Route::to(backend.value.clone())
            });
        }
        made
    }

    /// A rule as a route of a listener; `None` if the listener serves none of its hosts.
    fn route(&mut self, listener: &config::Listener, rule: &Rule<'c>) -> Option<Route> {
        let own = listener.hostname.as_ref();
        let hosts: Vec<Hostname> = match rule.hosts.is_empty() {
            true => own.into_iter().cloned().collect(),
            false => rule
                .hosts
                .iter()
                .filter_map(|h| own.map_or_else(|| Some(h.value.clone()), |own| own.narrowed(&h.value)))
                .collect(),
        };
        if hosts.is_empty() && !rule.hosts.is_empty() {
            return None;
        }
        let times = rule.timeouts.timeouts();
        let mut route = Route {
            name: Arc::clone(&rule.name),
            family: Arc::from(rule.family),
            hosts,
            matches: rule.matches.clone(),
            action: Action::Forward(rule.backends.iter().map(backend).collect()),
            timeout: times.request,
            attempt_timeout: times.per_try,
            idle_timeout: times.idle,
            retry: rule.retry.map_or_else(Retry::default, |r| Retry {
                policy: r.policy.clone(),
                budget: r.budget,
                ..Retry::default()
            }),
            rate: rule.rates.total.map(|r| r.0),
            client_rate: rule.rates.per_client.map(|r| r.0),
            access: self.access(rule.access),
            ..Route::to("")
        };
        for filter in rule.filters {
            match &filter.value {
                Filter::RequestHeader(edit) => add_edit(&mut route.request_headers, edit),
                Filter::ResponseHeader(edit) => add_edit(&mut route.response_headers, edit),
                Filter::Rewrite(r) => {
                    route.path = r.path.clone().or(route.path);
                    route.host = r.hostname.as_ref().map(ToString::to_string).or(route.host);
                }
                Filter::Redirect(r) => {
                    route.action = Action::Redirect {
                        status: r.status_code,
                        scheme: r.scheme.clone(),
                        host: r.hostname.as_ref().map(ToString::to_string),
                        port: r.port,
                        path: r.path.clone(),
                    };
                }
                Filter::Direct(d) => {
                    route.action = Action::Respond {
                        status: d.status_code,
                        body: Arc::from(d.body.as_str()),
                    };
                }
                Filter::Mirror(m) => {
                    let to = backend(&m.backend_ref);
                    if to.weight != 1 {
                        self.refuse(
                            "a copy has no `weight`; say how many of a hundred with `percent`",
                            filter.span,
                        );
                    }
                    if !to.response_headers.is_empty() {
                        self.refuse("what comes back for a copy is thrown away, not changed", filter.span);
                    }
                    route.mirrors.push(Mirror {
                        cluster: to.cluster,
                        percent: m.percent,
                        request_headers: to.request_headers,
                    });
                }
            }
        }
        Some(route)
    }

    fn cluster(&mut self, c: &config::Cluster) -> Cluster {
        let mut made = Cluster::new(c.name.value.clone(), []);
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
        made.ping = c.timeouts.ping;
        made.resolve = c.timeouts.resolve;
        made.connections = c.pool.connections.unwrap_or(made.connections);
        made.idle = c.pool.idle;
        made.idle_timeout = c.pool.idle_timeout;
        made.failfast = c.queue.failfast;
        made.queue = c.queue.capacity;
        made.breaker = c.breaker;
        made.strategy = c.balance.strategy.value;
        made.ewma = c.balance.ewma();
        made.hash_on = c.balance.hash_on.clone().unwrap_or(config::HashOn::Source);
        made.health = c.health_check.as_ref().map(|check| HealthCheck {
            kind: check.kind,
            path: check.path.clone().unwrap_or_else(|| match check.kind {
                config::CheckKind::Http => "/".to_owned(),
                config::CheckKind::Grpc | config::CheckKind::Tcp => String::new(),
            }),
            config: check.health(),
        });
        made.preamble = c.proxy_protocol;
        made
    }
}

fn address(a: &config::Address) -> Address {
    match a {
        config::Address::Ip(a) => Address::Tcp(a.ip().to_string(), a.port()),
        config::Address::Name { host, port } => Address::Tcp(host.clone(), *port),
        config::Address::Unix(p) => Address::Unix(p.clone()),
    }
}

fn backend(b: &config::BackendRef) -> Backend {
    let mut made = Backend {
        weight: b.weight,
        ..Backend::new(b.name.value.clone())
    };
    for filter in &b.filters {
        match filter {
            Filter::RequestHeader(edit) => add_edit(&mut made.request_headers, edit),
            Filter::ResponseHeader(edit) => add_edit(&mut made.response_headers, edit),
            // The configuration's own check refuses the others.
            _ => {}
        }
    }
    made
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
    fn rules_become_routes() {
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
        assert_eq!(names, ["any", "host/short", "host/exact"]);
        assert_eq!(
            plan.listeners[0].routes[2].timeout,
            Some(std::time::Duration::from_secs(2))
        );
        assert_eq!(plan.clusters[1].endpoints[0].0.to_string(), "[::1]:2");
    }

    #[test]
    fn every_mode_is_served() {
        let with = |more: &str| {
            let text = BASE.replace("address: '127.0.0.1:0'", &format!("address: '127.0.0.1:0', {more}"));
            read(&text).unwrap().listeners.remove(0)
        };
        assert_eq!(with("mode: transparent").transparent, Transparent::On);
        assert_eq!(with("mode: forward").forward, Forward::On);
        let own = "mode: intercept, intercept: {ca: {certificate: a.crt, key: a.key}, except: ['*.bank.example']}";
        let made = with(own);
        assert_eq!(made.forward, Forward::On);
        assert_eq!(made.intercept.unwrap().except, ["*.bank.example"]);
    }
}
