//! What a configuration must hold beyond its types: names that are there, and parts that do not contradict each other.

use std::collections::HashMap;

use qd_proxy_policy::Strategy;
use qd_tree::{ConfigError, Span, Spanned, nearest};

use crate::cluster::Cluster;
use crate::filter::{Filter, PathEdit};
use crate::listener::{Listener, Mode, Protocol, TlsMode};
use crate::load::Config;
use crate::matches::{HttpMatch, PathMatch};
use crate::route::{BackendRef, Route};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) warnings: Vec<ConfigError>,
}

struct Checker<'a> {
    config: &'a Config,
    found: Findings,
}

/// Looks at everything.
pub(crate) fn check(config: &Config) -> Findings {
    let mut checker = Checker {
        config,
        found: Findings::default(),
    };
    checker.unique("listener", config.listeners.iter().map(|l| &l.name));
    checker.unique("cluster", config.clusters.iter().map(|c| &c.name));
    checker.unique("route", config.routes.iter().map(Route::name));
    checker.unique("access policy", config.access.iter().map(|a| &a.name));
    checker.addresses();
    for listener in &config.listeners {
        checker.listener(listener);
    }
    for cluster in &config.clusters {
        checker.cluster(cluster);
    }
    for route in &config.routes {
        checker.route(route);
    }
    for entry in config.access.iter().flat_map(|a| a.allow.iter().chain(&a.deny)) {
        for name in &entry.routes {
            checker.known("route", name, config.routes.iter().map(|r| r.name().as_str()));
        }
    }
    if let Some(tracing) = &config.tracing {
        if !(0.0..=1.0).contains(&tracing.sample) {
            checker.error("`sample` is a share, from 0 to 1", tracing.span);
        }
        if !tracing.endpoint.starts_with("http://") && !tracing.endpoint.starts_with("https://") {
            checker.error("a collector's `endpoint` begins with http:// or https://", tracing.span);
        }
    }
    checker.unused();
    checker.found
}

impl<'a> Checker<'a> {
    fn error(&mut self, message: impl Into<String>, span: Option<Span>) {
        self.found.errors.push(ConfigError::new(message).at(span));
    }

    fn warn(&mut self, message: impl Into<String>, span: Option<Span>) {
        self.found.warnings.push(ConfigError::new(message).at(span));
    }

    fn unique(&mut self, what: &str, names: impl Iterator<Item = &'a Spanned<String>>) {
        let mut seen: HashMap<&str, Option<Span>> = HashMap::new();
        for name in names {
            let plain =
                !name.is_empty() && name.len() <= 253 && !name.chars().any(|c| c.is_control() || c.is_whitespace());
            if !plain {
                self.error(
                    format!("the name of a {what} has no blanks and at most 253 bytes"),
                    name.span,
                );
            }
            if let Some(first) = seen.get(name.as_str()) {
                let error = ConfigError::new(format!("there are two {what}s `{name}`"));
                self.found
                    .errors
                    .push(error.at(name.span).related("the first is here", *first));
            } else {
                seen.insert(name, name.span);
            }
        }
    }

    fn known<'n>(&mut self, what: &str, name: &Spanned<String>, names: impl Iterator<Item = &'n str> + Clone) {
        if !names.clone().any(|n| n == name.as_str()) {
            let error = ConfigError::new(format!("there is no {what} `{name}`")).at(name.span);
            self.found.errors.push(error.suggest(nearest(name, names)));
        }
    }

    fn cluster_ref(&mut self, name: &Spanned<String>) {
        let config = self.config;
        self.known("cluster", name, config.clusters.iter().map(|c| c.name.as_str()));
    }

    fn access_ref(&mut self, name: Option<&Spanned<String>>) {
        let config = self.config;
        if let Some(name) = name {
            self.known("access policy", name, config.access.iter().map(|a| a.name.as_str()));
        }
    }

    fn addresses(&mut self) {
        let config = self.config;
        let all = config
            .listeners
            .iter()
            .map(|l| &l.address)
            .chain(config.admin.iter().map(|a| &a.address));
        let mut seen: HashMap<String, Option<Span>> = HashMap::new();
        for address in all {
            // Port 0 is another one each time.
            let any = matches!(&address.value, crate::Bind::Tcp(a) if a.port() == 0);
            if any {
                continue;
            }
            if let Some(first) = seen.insert(address.to_string(), address.span) {
                let error = ConfigError::new(format!("{address} is listened on twice"));
                self.found
                    .errors
                    .push(error.at(address.span).related("the first time is here", first));
            }
        }
    }

    fn listener(&mut self, l: &Listener) {
        if let Some(backend) = &l.backend {
            self.cluster_ref(backend);
        }
        self.access_ref(l.access.as_ref());
        let ends = l.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Terminate);
        match l.protocol.value {
            Protocol::Https if !ends => {
                self.error("HTTPS needs `tls` with `certificates`", l.protocol.span.or(l.name.span));
            }
            Protocol::Tls if l.tls.is_none() => {
                self.error(
                    "TLS needs `tls`: with `certificates`, or `mode: Passthrough`",
                    l.protocol.span.or(l.name.span),
                );
            }
            Protocol::Http | Protocol::Tcp if l.tls.is_some() => {
                let better = if l.protocol.value == Protocol::Http {
                    "HTTPS"
                } else {
                    "TLS"
                };
                self.error(
                    format!("this protocol has no TLS; with `tls` it is {better}"),
                    l.tls.as_ref().and_then(|tls| tls.span),
                );
            }
            _ => {}
        }
        if let Some(tls) = &l.tls {
            if tls.mode == TlsMode::Terminate && tls.certificates.is_empty() {
                self.error("TLS that ends here needs `certificates`", tls.span);
            }
            if tls.mode == TlsMode::Passthrough && (!tls.certificates.is_empty() || tls.client_ca.is_some()) {
                self.error(
                    "TLS that is passed through has neither certificates nor `clientCa`",
                    tls.span,
                );
            }
        }
        if l.mode.value == Mode::Intercept && l.intercept.is_none() {
            self.error("this mode needs `intercept` with the `ca` to sign with", l.mode.span);
        }
        if l.mode.value != Mode::Intercept && l.intercept.is_some() {
            self.error("`intercept` belongs to `mode: intercept`", l.mode.span.or(l.name.span));
        }
        if l.mode.value == Mode::Opaque && l.backend.is_none() && self.config.routes_of(&l.name).next().is_none() {
            self.error("this mode needs a `backend` or a TCPRoute", l.mode.span);
        }
        let open = matches!(l.mode.value, Mode::Forward | Mode::Intercept);
        if open && !l.address.is_local() && l.access.is_none() {
            self.warn(
                format!(
                    "{} lets everybody who reaches it use this machine as a proxy; add an access policy",
                    l.address.value
                ),
                l.address.span,
            );
        }
    }

    fn cluster(&mut self, c: &Cluster) {
        if c.endpoints.is_empty() {
            self.warn(format!("the cluster `{}` has no endpoints", c.name), c.name.span);
        } else if c.endpoints.iter().all(|e| e.weight == 0) {
            self.error("all endpoints have the weight 0, so none gets anything", c.name.span);
        }
        for (at, endpoint) in c.endpoints.iter().enumerate() {
            let first = c.endpoints.iter().take(at).find(|e| e.address == endpoint.address);
            if let Some(first) = first {
                let error = ConfigError::new(format!("the endpoint {} stands twice", endpoint.address));
                self.found.errors.push(
                    error
                        .at(endpoint.address.span)
                        .related("the first time is here", first.address.span),
                );
            }
        }
        let hashed = c.balance.strategy.value == Strategy::ConsistentHash;
        if hashed != c.balance.hash_on.is_some() {
            self.error(
                "`consistentHash` and `hashOn` need each other",
                c.balance.strategy.span.or(c.name.span),
            );
        }
        if let Some(tls) = &c.tls {
            if tls.certificate.is_some() != tls.key.is_some() {
                self.error("`certificate` and `key` need each other", tls.span);
            }
            if tls.verify == crate::Verify::None {
                self.warn(
                    format!("the certificates of the cluster `{}` are not checked", c.name),
                    tls.span,
                );
            }
        }
    }

    fn route(&mut self, route: &Route) {
        let config = self.config;
        for parent in route.parents() {
            self.known(
                "listener",
                &parent.listener,
                config.listeners.iter().map(|l| l.name.as_str()),
            );
            if let Some(listener) = config.listener(&parent.listener) {
                self.fits_listener(route, listener, parent.listener.span);
            }
        }
        if route.parents().is_empty() && !config.listeners.is_empty() {
            let any = config
                .listeners
                .iter()
                .any(|l| config.routes_of(&l.name).any(|(_, r)| std::ptr::eq(r, route)));
            if !any {
                self.warn(
                    format!("no listener speaks what the route `{}` is for", route.name()),
                    route.name().span,
                );
            }
        }
        for backend in route.backends() {
            self.cluster_ref(&backend.name);
            self.backend_filters(backend);
        }
        match route {
            Route::Http(r) => {
                for rule in &r.rules {
                    self.access_ref(rule.access.as_ref());
                    self.http_filters(&rule.matches, &rule.filters);
                    let answers = rule.filters.iter().any(|f| f.answers());
                    self.sends(&rule.backend_refs, answers, rule.span);
                }
            }
            Route::Grpc(r) => {
                for rule in &r.rules {
                    self.access_ref(rule.access.as_ref());
                    for filter in &rule.filters {
                        if filter.answers() || matches!(filter.value, Filter::Rewrite(_)) {
                            self.error(format!("a gRPC route has no filter {}", filter.kind()), filter.span);
                        }
                    }
                    self.once_each(&rule.filters);
                    self.sends(&rule.backend_refs, false, rule.span);
                }
            }
            Route::Tcp(r) | Route::Tls(r) => {
                if r.rules.len() != 1 {
                    self.error("a route of bytes has exactly one rule", r.name.span);
                }
                if matches!(route, Route::Tcp(_)) && !r.hostnames.is_empty() {
                    self.error("a TCPRoute knows no hostnames; a TLSRoute does", r.name.span);
                }
                for rule in &r.rules {
                    self.sends(&rule.backend_refs, false, r.name.span);
                }
            }
        }
    }

    fn fits_listener(&mut self, route: &Route, listener: &Listener, span: Option<Span>) {
        let passes = listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.mode == TlsMode::Passthrough);
        let fits = match route {
            Route::Http(_) | Route::Grpc(_) => {
                !passes
                    && listener.mode.value != Mode::Opaque
                    && matches!(
                        listener.protocol.value,
                        Protocol::Auto | Protocol::Http | Protocol::Https
                    )
            }
            Route::Tcp(_) => matches!(listener.protocol.value, Protocol::Auto | Protocol::Tcp | Protocol::Tls),
            Route::Tls(_) => {
                matches!(listener.protocol.value, Protocol::Auto | Protocol::Tls) && listener.tls.is_some()
            }
        };
        if !fits {
            self.error(
                format!(
                    "the listener `{}` does not speak what the route `{}` is for",
                    listener.name,
                    route.name()
                ),
                span,
            );
        }
        if let (Some(host), false) = (&listener.hostname, route.hostnames().is_empty())
            && !route.hostnames().iter().any(|own| own.meets(host))
        {
            self.error(
                format!("no hostname of the route `{}` is served by {host}", route.name()),
                span,
            );
        }
    }

    fn sends(&mut self, refs: &[BackendRef], answers: bool, span: Option<Span>) {
        match (refs.is_empty(), answers) {
            (true, false) => self.error("a rule needs `backendRefs`, or a filter that answers", span),
            (false, true) => self.error("a rule that answers by itself has no `backendRefs`", span),
            (false, false) if refs.iter().all(|r| r.weight == 0) => {
                self.warn("all weights are 0, so every request gets an error", span);
            }
            _ => {}
        }
    }

    fn once_each(&mut self, filters: &[Spanned<Filter>]) {
        for (at, filter) in filters.iter().enumerate() {
            let mirror = matches!(filter.value, Filter::Mirror(_));
            if let Some(first) = filters.iter().take(at).find(|f| !mirror && f.kind() == filter.kind()) {
                let error = ConfigError::new(format!("a rule has one filter {}", filter.kind()));
                self.found
                    .errors
                    .push(error.at(filter.span).related("the first is here", first.span));
            }
        }
    }

    fn http_filters(&mut self, matches: &[Spanned<HttpMatch>], filters: &[Spanned<Filter>]) {
        self.once_each(filters);
        let answering: Vec<&Spanned<Filter>> = filters.iter().filter(|f| f.answers()).collect();
        if let [_, second, ..] = answering.as_slice() {
            self.error("a rule answers in one way", second.span);
        }
        if let (Some(answer), true) = (
            answering.first(),
            filters.iter().any(|f| matches!(f.value, Filter::Rewrite(_))),
        ) {
            self.error(
                "what is answered here is not rewritten: leave one of the filters out",
                answer.span,
            );
        }
        for filter in filters {
            let prefix = matches!(filter.path(), Some(PathEdit::Prefix(_)));
            let other = matches.iter().find(|m| !matches!(m.path, PathMatch::Prefix(_)));
            if let (true, Some(other)) = (prefix, other) {
                let error =
                    ConfigError::new("`ReplacePrefixMatch` needs a match of `PathPrefix`, in each of the matches");
                self.found
                    .errors
                    .push(error.at(filter.span).related("this match has none", other.span));
            }
        }
    }

    fn backend_filters(&mut self, backend: &BackendRef) {
        let other = backend
            .filters
            .iter()
            .find(|f| !matches!(f, Filter::RequestHeader(_) | Filter::ResponseHeader(_)));
        if let Some(other) = other {
            self.error(
                format!("a backend has no filter {}; put it into the rule", other.kind()),
                backend.name.span,
            );
        }
    }

    fn unused(&mut self) {
        let config = self.config;
        for cluster in &config.clusters {
            let by_route = config
                .routes
                .iter()
                .any(|r| r.backends().iter().any(|b| b.name == cluster.name));
            let by_listener = config
                .listeners
                .iter()
                .any(|l| l.backend.as_ref() == Some(&cluster.name));
            if !by_route && !by_listener {
                self.warn(
                    format!("nothing goes to the cluster `{}`", cluster.name),
                    cluster.name.span,
                );
            }
        }
    }
}
