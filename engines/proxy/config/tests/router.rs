//! The router against a matcher that looks at everything, and by hand.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Reverse;

use proptest::prelude::*;
use qd_proxy_config::{
    Config, Found, Hostname, HttpMatch, HttpRoute, HttpRule, Listener, Matcher, PathMatch, RequestView, Route, Router,
    match_form, parse,
};
use qd_tree::{Format, Spanned};

#[derive(Debug, Clone, Default)]
struct Request {
    host: String,
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    grpc: bool,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }
    fn any_header(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|(n, v)| n == name && test(v.as_bytes()))
    }
    fn is_grpc(&self) -> bool {
        self.grpc
    }
}

/// The precedence written down once more, over every match of every rule.
fn naive(config: &Config, request: &Request) -> Option<Found> {
    let path = match_form(request.path.as_bytes()).into_owned();
    let host = request.host.to_ascii_lowercase();
    let mut fitting = Vec::new();
    for (route, of) in config.routes.iter().enumerate() {
        let Route::Http(of) = of else { continue };
        let hosts: Vec<Option<&Hostname>> = match of.hostnames.as_slice() {
            [] => vec![None],
            some => some.iter().map(|h| Some(&h.value)).collect(),
        };
        for name in hosts {
            let host_rank = match name {
                Some(Hostname::Exact(own)) if *own == host => (0, Reverse(own.len())),
                Some(Hostname::Wildcard(own)) if host.ends_with(&format!(".{own}")) && host.len() > own.len() + 1 => {
                    (1, Reverse(own.len()))
                }
                None => (2, Reverse(0)),
                _ => continue,
            };
            for (rule, of) in of.rules.iter().enumerate() {
                let all = [Spanned::new(HttpMatch::default())];
                let matches = if of.matches.is_empty() { &all[..] } else { &of.matches };
                for (matched, m) in matches.iter().enumerate() {
                    let header = |(name, value): &(qd_proxy_config::HeaderName, Matcher)| {
                        request
                            .headers
                            .iter()
                            .any(|(n, v)| n == name.as_str() && value.fits(v.as_bytes()))
                    };
                    let query = |(name, value): &(String, Matcher)| {
                        let pairs = request.query.iter().flat_map(|q| q.split('&'));
                        let mut pairs = pairs.map(|p| p.split_once('=').unwrap_or((p, "")));
                        pairs
                            .find(|(n, _)| n == name)
                            .is_some_and(|(_, v)| value.fits(v.as_bytes()))
                    };
                    let fits = m.path.fits(&path)
                        && m.method.as_ref().is_none_or(|own| *own == request.method)
                        && m.headers.iter().all(header)
                        && m.query_params.iter().all(query);
                    if fits {
                        let (kind, length) = match &m.path {
                            PathMatch::Exact(_) => (0, 0),
                            PathMatch::Regex(_) => (1, 0),
                            PathMatch::Prefix(p) => (2, p.len()),
                        };
                        let rank = (
                            host_rank,
                            kind,
                            Reverse(length),
                            m.method.is_none(),
                            Reverse(m.headers.len()),
                            Reverse(m.query_params.len()),
                        );
                        let found = Found {
                            route,
                            rule,
                            matched,
                            prefix: length,
                        };
                        fitting.push((rank, (route, rule, matched), found));
                    }
                }
            }
        }
    }
    fitting
        .into_iter()
        .min_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)))
        .map(|f| f.2)
}

fn text() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        "[ab]{1,2}".prop_map(Matcher::Exact),
        prop::sample::select(vec!["a.*", "b|ab", "[ab]"]).prop_map(|rx| Matcher::regex(rx).unwrap()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 0..4)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn a_match() -> impl Strategy<Value = HttpMatch> {
    let path = prop_oneof![
        path().prop_map(PathMatch::Exact),
        path().prop_map(|p| PathMatch::Prefix(p.trim_end_matches('/').to_owned())),
        prop::sample::select(vec!["/a.*", "/[ab]/.*", ".*b"])
            .prop_map(|rx| PathMatch::Regex(Matcher::regex(rx).unwrap())),
    ];
    let name = prop::sample::select(vec!["x", "y"]);
    let headers = prop::collection::vec((name.clone().prop_map(|n: &str| n.parse().unwrap()), text()), 0..3);
    let query = prop::collection::vec((name.prop_map(str::to_owned), text()), 0..2);
    let method = prop::option::of(prop::sample::select(vec!["GET".to_owned(), "PUT".to_owned()]));
    (path, headers, query, method).prop_map(|(path, headers, query_params, method)| HttpMatch {
        path,
        headers,
        query_params,
        method,
    })
}

fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a.test", "b.a.test", "c.b.a.test", "test", "x.test", "A.Test"]).prop_map(str::to_owned)
}

fn route() -> impl Strategy<Value = HttpRoute> {
    let name = prop::sample::select(vec!["a.test", "*.a.test", "*.test", "b.a.test", "*.b.a.test"]);
    let hosts = prop::collection::vec(
        name.prop_map(|h: &str| Spanned::new(h.parse::<Hostname>().unwrap())),
        0..3,
    );
    let rule = prop::collection::vec(a_match().prop_map(Spanned::new), 0..4).prop_map(|matches| {
        Spanned::new(HttpRule {
            name: None,
            matches,
            filters: Vec::new(),
            backend_refs: Vec::new(),
            timeouts: Default::default(),
            retry: None,
            rate_limit: Default::default(),
            access: None,
        })
    });
    (hosts, prop::collection::vec(rule, 1..4)).prop_map(|(hostnames, rules)| HttpRoute {
        name: Spanned::new("r".to_owned()),
        parent_refs: Vec::new(),
        hostnames,
        rules,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let pairs = || prop::collection::vec((prop::sample::select(vec!["x", "y"]), "[ab]{0,2}"), 0..3);
    let odd = prop::sample::select(vec!["", "/.", "/../a", "/%61", "//"]);
    (
        host(),
        path(),
        odd,
        prop::sample::select(vec!["GET", "PUT", "POST"]),
        pairs(),
        pairs(),
    )
        .prop_map(|(host, path, odd, method, headers, query)| Request {
            host,
            method: method.to_owned(),
            path: format!("{path}{odd}"),
            query: (!query.is_empty()).then(|| {
                query
                    .iter()
                    .map(|(n, v)| format!("{n}={v}"))
                    .collect::<Vec<_>>()
                    .join("&")
            }),
            headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
            grpc: false,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_router_finds_what_the_order_says(
        routes in prop::collection::vec(route(), 0..5), requests in prop::collection::vec(request(), 1..12)
    ) {
        let config = Config {
            listeners: vec![Listener::new("l", "0".parse().unwrap())],
            routes: routes.into_iter().map(Route::Http).collect(),
            ..Config::default()
        };
        let router = Router::new(&config, "l");
        for request in requests {
            prop_assert_eq!(router.find(&request), naive(&config, &request), "{:?}", request);
        }
    }
}

fn rules(yaml: &str) -> (Config, Router) {
    let loaded = parse("p.yaml", yaml, Format::Yaml).unwrap_or_else(|failed| panic!("{failed}"));
    let router = Router::new(&loaded.config, "l");
    (loaded.config, router)
}

#[test]
fn grpc_routes_take_calls_only() {
    let (_, router) = rules(
        "listeners: [{name: l, address: 0, hostname: '*.test'}]
clusters: [{name: c, endpoints: ['1.2.3.4:80']}]
routes:
- {name: g, kind: GRPCRoute, rules: [
    {matches: [{method: {service: a.B, method: Get}}], backendRefs: [c]},
    {matches: [{method: {service: a.B}}], backendRefs: [c]},
    {matches: [{method: {method: 'List.*', type: RegularExpression}}], backendRefs: [c]}]}
- {name: h, rules: [{backendRefs: [c]}]}
",
    );
    let find = |host: &str, path: &str, grpc| {
        let request = Request {
            host: host.to_owned(),
            path: path.to_owned(),
            method: "POST".to_owned(),
            grpc,
            ..Request::default()
        };
        router.find(&request).map(|f| (f.route, f.rule))
    };
    assert_eq!(find("a.test", "/a.B/Get", true), Some((0, 0)));
    assert_eq!(find("a.test.", "/a.B/Put", true), Some((0, 1)));
    assert_eq!(find("A.test", "/x.Y/ListAll", true), Some((0, 2)));
    assert_eq!(find("a.test", "/x.Y/Get", true), Some((1, 0)));
    assert_eq!(find("a.test", "/a.B/Get", false), Some((1, 0)));
    assert_eq!(find("other", "/a.B/Get", true), None, "the listener serves other hosts");
}

#[test]
fn what_a_prefix_took_is_replaced() {
    let (config, router) = rules(
        "listeners: [{name: l, address: 0}]
clusters: [{name: c, endpoints: ['1.2.3.4:80']}]
routes:
- name: h
  rules:
  - matches: [{path: {value: /old/}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}}}]
    backendRefs: [c]
",
    );
    let Route::Http(route) = &config.routes[0] else {
        panic!("it is an HTTP route")
    };
    let edit = route.rules[0].filters[0].path().unwrap();
    let send = |path: &str| {
        let request = Request {
            path: path.to_owned(),
            ..Request::default()
        };
        let found = router.find(&request)?;
        Some(String::from_utf8(edit.apply(path.as_bytes(), found.prefix)).unwrap())
    };
    assert_eq!(send("/old/a%2Fb").as_deref(), Some("/new/a%2Fb"));
    assert_eq!(send("/x/../%6fld/b").as_deref(), Some("/new/b"));
    assert_eq!(send("/old").as_deref(), Some("/new"));
    assert_eq!(send("/older"), None);
    let root = qd_proxy_config::PathEdit::Prefix("/".to_owned());
    assert_eq!(root.apply(b"/old", 4), b"/");
    assert_eq!(root.apply(b"/old/a", 4), b"/a");
}

#[test]
fn tls_routes_go_by_the_name_asked_for() {
    let (config, _) = rules(
        "listeners: [{name: l, address: 0, protocol: TLS, tls: {mode: Passthrough}}]
clusters: [{name: c, endpoints: ['1.2.3.4:443']}]
routes:
- {name: wild, kind: TLSRoute, hostnames: ['*.a.test'], rules: [{backendRefs: [c]}]}
- {name: exact, kind: TLSRoute, hostnames: [b.a.test], rules: [{backendRefs: [c]}]}
- {name: all, kind: TLSRoute, rules: [{backendRefs: [c]}]}
",
    );
    assert_eq!(config.stream_route("l", Some("B.a.test")), Some(1));
    assert_eq!(config.stream_route("l", Some("c.a.test")), Some(0));
    assert_eq!(config.stream_route("l", Some("else")), Some(2));
    assert_eq!(config.stream_route("l", None), Some(2));
}
