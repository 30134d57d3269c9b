//! Every key that a configuration file may have changes the plan, or the file is refused for it.
//!
//! The keys are not listed here: each table of the examples is asked what it knows by giving it a key that nothing has, and
//! every key it names must stand in an example. Then each key and each element of a list is taken away in turn; what comes
//! out must not be what came out before. So a setting that is read and then forgotten can't come back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use qd_proxy::{Plan, config, plan_of};
use serde_json::Value;

/// Everything with a value that is not the default one.
const WHOLE: &str = r#"{
  "admin": { "address": "127.0.0.1:4191" },
  "maxInFlight": 5000,
  "tracing": { "endpoint": "http://127.0.0.1:4318", "sample": 0.5, "service": "shop" },
  "accessLog": { "path": "/tmp/access.log", "format": "combined" },
  "shutdown": { "deadline": "7s" },
  "listeners": [
    { "name": "web", "address": "127.0.0.1:8443", "protocol": "HTTPS", "hostname": "*.example.com",
      "tls": { "certificates": [{ "certificate": "/c.pem", "key": "/c.key" }], "clientCa": "/ca.pem" },
      "backend": "db", "access": "staff",
      "proxyProtocolFrom": ["10.0.0.0/8"], "trustForwardedFrom": ["10.1.0.0/16"],
      "limits": { "connections": 7, "connectionsPerClient": 3, "headerBytes": "32KiB", "headerCount": 50,
                  "streams": 9, "bodyBytes": "1MB" },
      "timeouts": { "detect": "1s", "handshake": "2s", "header": "3s", "idle": "4s" } },
    { "name": "open", "address": "127.0.0.1:8080", "mode": "forward", "protocol": "HTTP" },
    { "name": "db", "address": "127.0.0.1:5433", "mode": "opaque" },
    { "name": "bytes", "address": "127.0.0.1:5434", "protocol": "TCP" },
    { "name": "names", "address": "127.0.0.1:5435", "protocol": "TLS", "tls": { "mode": "Passthrough" } }
  ],
  "clusters": [
    { "name": "api", "endpoints": [{ "address": "10.0.0.1:80", "weight": 3 }, "10.0.0.2:80"],
      "protocol": "http2",
      "balance": { "strategy": "consistentHash", "hashOn": { "header": "X-User" }, "seed": "9ms", "decay": "8s" },
      "tls": { "ca": "/ca.pem", "serverName": "api", "certificate": "/m.pem", "key": "/m.key", "verify": "none" },
      "healthCheck": { "kind": "grpc", "path": "echo", "interval": "5s", "timeout": "1s", "healthy": 4, "unhealthy": 5 },
      "breaker": { "consecutiveFailures": 3, "successRate": { "threshold": 0.9, "minRequests": 8 },
                   "backoff": { "min": "500ms", "max": "9s", "jitter": 0.1 } },
      "queue": { "capacity": 10, "failfast": "1s" },
      "pool": { "connections": 11, "idle": 12, "idleTimeout": "13s" },
      "timeouts": { "connect": "250ms", "ping": "14s", "resolve": "15s" },
      "proxyProtocol": "v1" },
    { "name": "db", "endpoints": ["127.0.0.1:5432"] }
  ],
  "routes": [
    { "name": "shop", "parentRefs": [{ "name": "gateway", "sectionName": "web" }], "hostnames": ["shop.example.com"],
      "rules": [
        { "name": "v2",
          "matches": [{ "path": { "type": "Exact", "value": "/a" }, "method": "GET",
                        "headers": [{ "type": "RegularExpression", "name": "x-v", "value": "2" }],
                        "queryParams": [{ "type": "RegularExpression", "name": "q", "value": "a" }] }],
          "filters": [
            { "type": "URLRewrite", "urlRewrite": { "hostname": "b.example.com",
                "path": { "type": "ReplaceFullPath", "replaceFullPath": "/b" } } },
            { "type": "RequestHeaderModifier", "requestHeaderModifier": {
                "set": [{ "name": "a", "value": "1" }], "add": [{ "name": "b", "value": "2" }], "remove": ["c"] } },
            { "type": "ResponseHeaderModifier", "responseHeaderModifier": {
                "set": [{ "name": "d", "value": "1" }], "add": [{ "name": "e", "value": "2" }], "remove": ["f"] } },
            { "type": "RequestMirror", "requestMirror": { "percent": 10.5, "backendRef": { "name": "db",
                "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["x"] } }] } } }
          ],
          "backendRefs": [
            { "name": "api", "weight": 9, "filters": [
              { "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["g"] } },
              { "type": "ResponseHeaderModifier", "responseHeaderModifier": { "remove": ["h"] } }] },
            "db"],
          "timeouts": { "request": "10s", "backendRequest": "2s", "idle": "3s" },
          "retry": { "attempts": 2, "codes": [503, "500-502"], "grpcCodes": ["RESOURCE_EXHAUSTED"], "backoff": "20ms",
                     "methods": "all", "onError": "ifUnsent",
                     "budget": { "ratio": 0.1, "minPerSecond": 3, "ttl": "5s" } },
          "rateLimit": { "total": "100/s", "perClient": { "rate": "30/m", "burst": 5 } },
          "access": "some" },
        { "matches": [{ "path": { "value": "/go" } }],
          "filters": [{ "type": "RequestRedirect", "requestRedirect": { "scheme": "https", "hostname": "c.example.com",
            "port": 8443, "statusCode": 308, "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/gone" } } }] },
        { "matches": [{ "path": { "value": "/no" } }],
          "filters": [{ "type": "DirectResponse", "directResponse": { "statusCode": 451, "body": "no" } }] }
      ] },
    { "kind": "GRPCRoute", "name": "echo", "parentRefs": ["open"], "hostnames": ["echo.example.com"],
      "rules": [{ "name": "say",
        "matches": [{ "method": { "type": "RegularExpression", "service": "e.*", "method": "S.*" },
                      "headers": [{ "name": "x", "value": "1" }] }],
        "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["c"] } }],
        "backendRefs": ["api"],
        "timeouts": { "request": "1s" }, "retry": { "attempts": 3 }, "rateLimit": { "total": 5 }, "access": "some" }] },
    { "kind": "TCPRoute", "name": "rows", "parentRefs": ["db"],
      "rules": [{ "name": "split", "backendRefs": [{ "name": "db", "weight": 2 }, "api"] }] },
    { "kind": "TCPRoute", "name": "raw", "parentRefs": ["bytes"], "rules": [{ "backendRefs": ["db"] }] },
    { "kind": "TLSRoute", "name": "closed", "parentRefs": ["names"], "hostnames": ["x.example.com"],
      "rules": [{ "backendRefs": ["db"] }] }
  ],
  "access": [
    { "name": "staff", "allow": [{ "networks": ["10.0.0.0/8"], "except": ["10.9.0.0/16"],
                                   "identities": ["*.ops"], "routes": ["shop"] }],
      "deny": [{ "networks": ["10.6.6.6/32"] }] },
    { "name": "some", "allow": [{ "networks": ["192.0.2.0/24"] }] }
  ]
}"#;

/// Keys that stand alone in a small file, of what does not go together with the rest: taken away, they change what comes out.
const ALONE: [(&str, &str, &str); 3] = [
    (
        "listeners[].intercept",
        "/listeners/0/intercept",
        r#"{ "listeners": [{ "name": "i", "address": "127.0.0.1:0", "mode": "intercept",
             "intercept": { "ca": { "certificate": "/ca.pem", "key": "/ca.key" }, "except": ["bank.example"] } }] }"#,
    ),
    (
        "listeners[].tls.clientAuth",
        "/listeners/0/tls/clientAuth",
        r#"{ "listeners": [{ "name": "t", "address": "127.0.0.1:0", "protocol": "HTTPS", "tls": { "clientCa": "/ca.pem",
             "clientAuth": "request", "certificates": [{ "certificate": "/c.pem", "key": "/c.key" }] } }] }"#,
    ),
    (
        "routes[].rules[].filters[].requestMirror.backendRef.weight",
        "/routes/0/rules/0/filters/0/requestMirror/backendRef/weight",
        r#"{ "listeners": [{ "name": "t", "address": "127.0.0.1:0" }], "clusters": [{ "name": "a", "endpoints": ["127.0.0.1:1"] }],
             "routes": [{ "name": "r", "rules": [{ "backendRefs": ["a"], "filters": [{ "type": "RequestMirror",
               "requestMirror": { "backendRef": { "name": "a", "weight": 2 } } }] }] }] }"#,
    ),
];

/// Words of Kubernetes around a reference, which say nothing here.
const AROUND: [&str; 3] = [
    "routes[].parentRefs[].group",
    "routes[].parentRefs[].kind",
    "routes[].parentRefs[].namespace",
];

/// Places whose key says what is found out without it as well: a listener that passes TLS on by name is one by its `tls`.
const SAME: [&str; 1] = ["/listeners/4/protocol"];

/// Tables of one kind that stand in several places are one.
fn kind(shape: &str) -> String {
    shape
        .replace(".deny[]", ".allow[]")
        .replace(".requestMirror.backendRef", ".requestMirror.backendRefs[]")
        .replace("filters[].requestMirror.backendRefs[]", "backendRefs[]")
        .replace("backendRefs[].filters[]", "filters[]")
        .replace("requestRedirect.path", "urlRewrite.path")
}

/// What comes of a file: a plan, or what is wrong with it.
fn outcome(value: &Value) -> Result<Plan, String> {
    let text = value.to_string();
    let loaded = config::parse("p.json", &text, qd_tree::Format::Json).map_err(|e| e.to_string())?;
    plan_of(&loaded.config).map_err(|e| {
        assert!(e.0.iter().all(|e| e.span.is_some()), "a refusal without a place: {e}");
        e.to_string()
    })
}

/// Every place in a value: as a JSON pointer, and as the same without numbers.
fn places(value: &Value, pointer: &str, shape: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let shape = if shape.is_empty() {
                    key.clone()
                } else {
                    format!("{shape}.{key}")
                };
                let pointer = format!("{pointer}/{key}");
                out.push((pointer.clone(), shape.clone()));
                places(inner, &pointer, &shape, out);
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                let (pointer, shape) = (format!("{pointer}/{at}"), format!("{shape}[]"));
                out.push((pointer.clone(), shape.clone()));
                places(inner, &pointer, &shape, out);
            }
        }
        _ => {}
    }
}

fn without(value: &Value, pointer: &str) -> Value {
    let mut value = value.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(last)),
        Value::Array(list) => drop(list.remove(last.parse().unwrap())),
        _ => unreachable!(),
    }
    value
}

/// The keys that the table at a place knows, from what is said about one it does not know.
fn known(value: &Value, pointer: &str) -> Vec<String> {
    let mut value = value.clone();
    let table = value.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    table.insert("aKeyThatNothingHas".to_owned(), Value::from(1));
    let said = outcome(&value).expect_err(pointer);
    let Some((_, list)) = said.split_once("unknown key `aKeyThatNothingHas`, expected") else {
        // One of several variants: it has one key.
        return Vec::new();
    };
    let line = list.lines().next().unwrap();
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_stands_in_an_example() {
    let whole: Value = serde_json::from_str(WHOLE).unwrap();
    outcome(&whole).unwrap();
    let mut all = Vec::new();
    places(&whole, "", "", &mut all);
    let given: BTreeSet<String> = all.iter().map(|(_, shape)| kind(shape)).collect();
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    let given_alone: BTreeSet<&str> = ALONE.iter().map(|(shape, ..)| *shape).collect();
    let mut tables = 0;
    let top = (String::new(), String::new());
    for (pointer, shape) in all.iter().chain([&top]) {
        if !whole.pointer(pointer).unwrap().is_object() {
            continue;
        }
        let keys = known(&whole, pointer);
        tables += usize::from(!keys.is_empty());
        for key in keys {
            let key = if shape.is_empty() {
                key
            } else {
                format!("{shape}.{key}")
            };
            let there =
                given.contains(&kind(&key)) || given_alone.contains(key.as_str()) || AROUND.contains(&key.as_str());
            if !there {
                missing.insert(key, pointer.clone());
            }
        }
    }
    assert!(tables > 50, "only {tables} tables said what they know");
    assert!(missing.is_empty(), "keys that no example has: {missing:#?}");
}

#[test]
fn every_key_has_an_effect_or_is_refused() {
    let whole: Value = serde_json::from_str(WHOLE).unwrap();
    let plan = outcome(&whole).unwrap();
    let mut all = Vec::new();
    places(&whole, "", "", &mut all);
    let forgotten: Vec<&String> = all
        .iter()
        .filter(|(pointer, _)| !SAME.contains(&pointer.as_str()))
        .filter(|(pointer, _)| outcome(&without(&whole, pointer)).is_ok_and(|other| other == plan))
        .map(|(pointer, _)| pointer)
        .collect();
    assert!(forgotten.is_empty(), "without effect: {forgotten:#?}");
    for (_, pointer, text) in ALONE {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_ne!(outcome(&value), outcome(&without(&value, pointer)), "{pointer}");
    }
}
