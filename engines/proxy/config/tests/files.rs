//! Files: what they may say, and how it is said what is wrong with them.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use qd_proxy_config::{
    Address, Bind, Config, Filter, HashOn, Loaded, Matcher, Mode, PathMatch, Protocol, Route, Short, Speaks, parse,
};
use qd_proxy_policy::{GrpcCode, Strategy};
use qd_tree::Format;

fn read(text: &str) -> Loaded {
    parse("proxy.yaml", text, Format::Yaml).unwrap_or_else(|failed| panic!("{failed}"))
}

/// What is said of a text, with all places.
fn wrong(text: &str) -> String {
    parse("proxy.yaml", text, Format::Yaml)
        .expect_err("it is wrong")
        .to_string()
}

const WHOLE: &str = r#"
admin: { address: 127.0.0.1:4191 }
maxInFlight: 5000
listeners:
  - name: web
    address: "0.0.0.0:8443"
    protocol: HTTPS
    hostname: "*.example.com"
    tls:
      certificates: [{ certificate: /etc/web.pem, key: /etc/web.key }]
      clientCa: /etc/clients.pem
      clientAuth: request
    proxyProtocolFrom: [10.0.0.0/8]
    limits: { headerBytes: 32KiB, bodyBytes: 10MB }
    timeouts: { idle: 2m }
    access: staff
  - name: db
    address: 5433
    protocol: TCP
    mode: opaque
clusters:
  - name: api
    endpoints:
      - 10.0.0.1:3000
      - { address: "api.internal:3000", weight: 3 }
      - unix:/run/api.sock
    balance: { strategy: consistentHash, hashOn: { header: X-User } }
    protocol: http2
    tls: { ca: /etc/ca.pem, serverName: api.internal }
    healthCheck: { path: /healthz, interval: 5s }
    breaker: { consecutiveFailures: 3, successRate: { threshold: 0.9 }, backoff: { min: 500ms } }
    queue: { capacity: 10, failfast: 1s }
    timeouts: { connect: 250ms }
  - name: db
    endpoints: [127.0.0.1:5432]
routes:
  - name: shop
    parentRefs: [web]
    hostnames: [shop.example.com]
    rules:
      - matches:
          - path: { type: PathPrefix, value: /api/ }
            method: GET
            headers: [{ name: X-Version, value: "2" }]
            queryParams: [{ name: q, type: RegularExpression, value: "a.*" }]
        filters:
          - type: URLRewrite
            urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /v2 } }
          - type: RequestHeaderModifier
            requestHeaderModifier: { set: [{ name: X-Via, value: qd }], remove: [cookie] }
        backendRefs: [{ name: api, weight: 9 }, { name: db, weight: 1 }]
        timeouts: { request: 10s, backendRequest: 2s }
        retry: { attempts: 2, codes: [503, 500-502], grpcCodes: [unavailable, 8], backoff: 20ms, budget: { ratio: 0.1 } }
        rateLimit: { total: 100/s, perClient: { rate: 30/m, burst: 5 } }
  - apiVersion: gateway.networking.k8s.io/v1
    kind: GRPCRoute
    metadata: { name: echo, namespace: default }
    spec:
      parentRefs: [{ name: gateway, sectionName: web }]
      rules:
        - matches: [{ method: { service: echo.Echo, method: Say } }]
          backendRefs: [{ name: api }]
  - kind: TCPRoute
    name: postgres
    parentRefs: [db]
    rules: [{ backendRefs: [db] }]
access:
  - name: staff
    allow: [{ networks: 10.0.0.0/8 }, { identities: ["*.ops.example"], routes: [shop] }]
    deny: [{ networks: [10.6.6.6/32] }]
"#;

#[test]
fn a_whole_file_is_read() {
    let loaded = read(WHOLE);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let c = loaded.config;
    assert_eq!(c.max_in_flight, 5000);
    let web = c.listener("web").unwrap();
    assert_eq!(
        (web.protocol.value, web.limits.header_bytes),
        (Protocol::Https, 32 << 10)
    );
    assert_eq!(web.limits.body_bytes, Some(10_000_000));
    assert_eq!(web.timeouts.idle, Duration::from_secs(120));
    assert_eq!(c.listener("db").unwrap().address.to_string(), "127.0.0.1:5433");
    let api = c.cluster("api").unwrap();
    assert_eq!(api.endpoints[1].weight, 3);
    assert_eq!(api.endpoints[2].address.value, Address::Unix("/run/api.sock".into()));
    assert!(matches!(&api.balance.hash_on, Some(HashOn::Header(h)) if h.as_str() == "x-user"));
    assert_eq!(
        (api.balance.strategy.value, api.protocol),
        (Strategy::ConsistentHash, Speaks::Http2)
    );
    assert_eq!(
        (api.breaker.consecutive, api.breaker.backoff.min),
        (Some(3), Duration::from_millis(500))
    );
    assert_eq!(api.breaker.rate.unwrap().min_requests, 5);
    assert_eq!(api.health_check.as_ref().unwrap().health().unhealthy, 3);
    let Route::Http(shop) = &c.routes[0] else {
        panic!("it is an HTTP route")
    };
    let rule = &shop.rules[0];
    assert_eq!(rule.matches[0].path, PathMatch::Prefix("/api".to_owned()));
    assert!(matches!(&rule.matches[0].query_params[0].1, Matcher::Regex { text, .. } if text == "a.*"));
    assert!(matches!(&rule.filters[1].value, Filter::RequestHeader(edit) if edit.remove[0].as_str() == "cookie"));
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!(retry.policy.statuses, [503..=503, 500..=502]);
    assert_eq!(retry.policy.grpc, [GrpcCode(14), GrpcCode(8)]);
    assert_eq!((retry.budget.ratio, retry.budget.min_per_second), (0.1, 10));
    assert_eq!(rule.rate_limit.per_client.unwrap().0.per_second, 0.5);
    assert_eq!(rule.rate_limit.total.unwrap().0.burst, 100);
    assert_eq!(rule.timeouts.timeouts().per_try, Some(Duration::from_secs(2)));
    // One of ten goes to the second.
    let to = |n| rule.backend(n).unwrap().name.value.clone();
    assert_eq!(
        (to(8), to(9), to(10)),
        ("api".to_owned(), "db".to_owned(), "api".to_owned())
    );
    let Route::Grpc(echo) = &c.routes[1] else {
        panic!("it is a gRPC route")
    };
    assert_eq!(
        (echo.name.as_str(), echo.parent_refs[0].listener.as_str()),
        ("echo", "web")
    );
    assert_eq!(c.access("staff").unwrap().policy().rules().len(), 3);
    assert_eq!(c.stream_route("db", None), Some(2));
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_the_closest_one() {
    let said = wrong("listeners:\n  - name: a\n    adress: 127.0.0.1:80\n    address: 127.0.0.1:80\nclustres: []\n");
    assert!(
        said.contains("unknown key `adress`") && said.contains("did you mean `address`?"),
        "{said}"
    );
    assert!(said.contains("proxy.yaml:3:5 (listeners.0.adress)"), "{said}");
    assert!(
        said.contains("did you mean `clusters`?") && said.contains("proxy.yaml:5:1"),
        "{said}"
    );
    let said =
        wrong("routes:\n  - name: r\n    rules:\n      - filters:\n          - {type: URLRewrit, urlRewrite: {}}\n");
    assert!(
        said.contains("did you mean `URLRewrite`?") && said.contains("proxy.yaml:5:20"),
        "{said}"
    );
    let said = wrong("clusters:\n  - name: a\n    endpoints: ['1.2.3.4:80']\n    breaker: { backoff: { mni: 1s } }\n");
    assert!(
        said.contains("did you mean `min`?") && said.contains("proxy.yaml:4:27"),
        "{said}"
    );
}

/// Each is wrong in one way, and it is said in these words at this place.
#[test]
fn mistakes_are_named_at_their_place() {
    let base = "listeners: [{name: l, address: 8080}]\nclusters: [{name: c, endpoints: ['1.2.3.4:80']}]\n";
    let rule = |rule: &str| format!("{base}routes:\n- name: r\n  rules:\n  - {rule}\n");
    let cases: Vec<(String, &str, &str)> = vec![
        (rule("{backendRefs: [d]}"), "there is no cluster `d`", "6:20"),
        (rule("{backendRefs: []}"), "needs `backendRefs`", "6:5"),
        (
            rule("{backendRefs: [c], matches: [{path: {value: api}}]}"),
            "must begin with `/`",
            "6:41",
        ),
        (
            rule("{backendRefs: [c], matches: [{path: {value: /a/../b}}]}"),
            "write `/b`",
            "6:41",
        ),
        (
            rule("{backendRefs: [c], matches: [{path: {type: RegularExpression, value: 'a)(b'}}]}"),
            "no regular expression",
            "6:41",
        ),
        (
            rule("{backendRefs: [c], matches: [{headers: [{name: 'a b', value: x}]}]}"),
            "no name of a header",
            "6:45",
        ),
        (
            rule("{backendRefs: [c], matches: [{method: get}]}"),
            "written in capitals",
            "6:43",
        ),
        (
            rule("{backendRefs: [c], timeouts: {request: 5}}"),
            "a duration needs a unit",
            "6:44",
        ),
        (
            rule("{backendRefs: [c], retry: {codes: [200]}}"),
            "`200` is no status",
            "6:40",
        ),
        (
            rule("{backendRefs: [c], rateLimit: {total: 5/d}}"),
            "expected a rate",
            "6:43",
        ),
        (
            rule("{backendRefs: [c], filters: [{type: RequestRedirect, requestRedirect: {}}]}"),
            "has no `backendRefs`",
            "6:5",
        ),
        (
            rule("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}"),
            "200 is no redirect",
            "6:70",
        ),
        (
            rule("{filters: [{type: RequestRedirect, urlRewrite: {}}]}"),
            "has the key `requestRedirect`",
            "6:16",
        ),
        (
            rule("{backendRefs: [c], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Te]}}]}"),
            "belongs to the connection",
            "6:87",
        ),
        (
            rule(
                "{backendRefs: [c], matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}",
            ),
            "needs a match of `PathPrefix`",
            "6:79",
        ),
        (
            format!("{base}routes: [{{name: r, parentRefs: [x], rules: []}}]"),
            "there is no listener `x`",
            "3:33",
        ),
        (
            format!("{base}routes: [{{name: r, kind: TCPRoute, parentRefs: [l], rules: []}}]"),
            "exactly one rule",
            "3:17",
        ),
        (format!("{base}admin: {{address: '8080'}}"), "listened on twice", "3:18"),
        (
            "listeners: [{name: a, address: example.com:80}]".to_owned(),
            "is a name",
            "1:32",
        ),
        (
            "listeners: [{name: a, address: 80}, {name: a, address: 81}]".to_owned(),
            "two listeners `a`",
            "1:44",
        ),
        (
            "listeners: [{name: a, address: 80, protocol: HTTPS}]".to_owned(),
            "HTTPS needs `tls`",
            "1:46",
        ),
        (
            "listeners: [{name: a, address: 80, mode: intercept}]".to_owned(),
            "needs `intercept`",
            "1:42",
        ),
        (
            "listeners: [{name: a, address: 80, access: x}]".to_owned(),
            "no access policy `x`",
            "1:44",
        ),
        (
            "clusters: [{name: a, endpoints: ['h:80', 'h:80']}]".to_owned(),
            "stands twice",
            "1:42",
        ),
        (
            "clusters: [{name: a, endpoints: [{address: 'h'}]}]".to_owned(),
            "has no port",
            "1:44",
        ),
        (
            "clusters: [{name: a, balance: {strategy: consistentHash}}]".to_owned(),
            "need each other",
            "1:42",
        ),
        (
            "clusters: [{name: a, breaker: {backoff: {min: 2s, max: 1s}}}]".to_owned(),
            "is longer than",
            "1:31",
        ),
        (
            "access: [{name: a, allow: [{networks: 10.0.0.0/40}]}]".to_owned(),
            "invalid IP",
            "1:39",
        ),
        (
            "access: [{name: a, allow: [{identities: ['a*']}]}]".to_owned(),
            "is no identity",
            "1:42",
        ),
        ("maxInFlight: lots".to_owned(), "expected usize", "1:14"),
        ("listeners: [".to_owned(), "", "1:"),
    ];
    let missed: Vec<String> = cases
        .into_iter()
        .map(|(text, words, place)| (wrong(&text), words, place))
        .filter(|(said, words, place)| !said.contains(words) || !said.contains(&format!("proxy.yaml:{place}")))
        .map(|(said, words, place)| format!("{said}should say “{words}” at {place}"))
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let loaded = read("listeners: [{name: f, address: '*:8080', mode: forward}]\nclusters: [{name: c}]\n");
    let said: Vec<&str> = loaded.warnings.iter().map(|w| w.message.as_str()).collect();
    assert!(said.iter().any(|w| w.contains("lets everybody")), "{said:?}");
    assert!(said.iter().any(|w| w.contains("has no endpoints")), "{said:?}");
    assert!(
        said.iter().any(|w| w.contains("nothing goes to the cluster")),
        "{said:?}"
    );
    assert_eq!(read("").config, Config::default());
}

#[test]
fn one_line_says_the_same_as_a_file() {
    let short = Short {
        listen: vec!["8080".to_owned()],
        to: vec!["127.0.0.1:3000,localhost:3001".to_owned()],
        ..Short::default()
    };
    let file = read(
        "listeners: [{name: main, address: '127.0.0.1:8080', backend: to}]\n\
         clusters: [{name: to, endpoints: ['127.0.0.1:3000', 'localhost:3001']}]\n\
         routes: [{name: default, rules: [{backendRefs: [to]}]}]\n",
    );
    assert_eq!(short.config().unwrap(), file.config);
    let tcp = Short {
        listen: vec!["[::1]:0".to_owned()],
        to: vec!["tcp://db:5432".to_owned()],
        ..Short::default()
    };
    let config = tcp.config().unwrap();
    assert_eq!((config.listeners[0].mode.value, config.routes.len()), (Mode::Opaque, 0));
    let tls = Short {
        listen: vec!["0".to_owned()],
        to: vec!["https://example.com/".to_owned()],
        balance: Some("round-robin".to_owned()),
        ..Short::default()
    };
    let cluster = &tls.config().unwrap().clusters[0];
    assert!(cluster.tls.is_some() && cluster.endpoints[0].address.to_string() == "example.com:443");
    assert_eq!(cluster.balance.strategy.value, Strategy::RoundRobin);
    let forward = Short {
        listen: vec!["3128".to_owned()],
        mode: Mode::Forward,
        ..Short::default()
    };
    let config = forward.config().unwrap();
    assert_eq!(
        config.listeners[0].address.value,
        "127.0.0.1:3128".parse::<Bind>().unwrap()
    );
    assert!(config.clusters.is_empty());
}

#[test]
fn one_line_says_what_is_wrong_with_it() {
    let said = |listen: &str, to: &str| {
        let short = Short {
            listen: vec![listen.to_owned()].into_iter().filter(|l| !l.is_empty()).collect(),
            to: vec![to.to_owned()],
            ..Short::default()
        };
        short.config().unwrap_err().to_string()
    };
    assert!(said("", "a:1").contains("add --listen"));
    assert!(said("80", "").contains("add --to"));
    assert!(said("80", "a").contains("`a` has no port"));
    assert!(said("80", "http://a:1,https://b:1").contains("speak the same"));
    assert!(said("80", "a:1,a:1").contains("stands twice"));
    assert!(said("a.example:80", "a:1").contains("is a name"));
}

#[test]
fn files_are_read_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, "[[clusters]]\nname = 'a'\nendpoints = ['1.2.3.4:80']\n").unwrap();
    assert_eq!(qd_proxy_config::load(&path).unwrap().config.clusters.len(), 1);
    let said = qd_proxy_config::load(&dir.path().join("none.yaml"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("cannot read") && said.contains("none.yaml"), "{said}");
}
