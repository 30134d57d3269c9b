//! Options that components share: Vector's defaults, and its refusals with the place of the culprit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use qd_logs_config::common::*;
use qd_logs_config::{ConfigError, FileId, Format, Node, decode, decode_all, parse};
use serde::Deserialize;

fn node(text: &str) -> Node {
    parse(text, Format::Yaml, FileId(0)).unwrap()
}

fn ok<T: serde::de::DeserializeOwned>(text: &str) -> T {
    decode(&node(text)).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The error of a text, and the part of the text that it points to.
fn err<T: serde::de::DeserializeOwned>(text: &str) -> (ConfigError, String) {
    match decode::<T>(&node(text)) {
        Ok(_) => panic!("{text} was read"),
        Err(e) => {
            let span = e.span.expect("a place");
            (e, text[span.start as usize..span.end as usize].to_owned())
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sink {
    #[serde(default)]
    buffer: BufferConfig,
    #[serde(default)]
    batch: BatchConfig<RealtimeBySize>,
    #[serde(default)]
    request: RequestConfig,
    tls: Option<TlsConfig>,
    #[serde(default)]
    healthcheck: Healthcheck,
    #[serde(default)]
    acknowledgements: Acknowledgements,
    #[serde(default)]
    proxy: ProxyConfig,
    encoding: Option<Node>,
}

#[test]
fn defaults() {
    let sink: Sink = ok("{}");
    assert_eq!(
        sink.buffer.stages(),
        [BufferStage::Memory {
            bound: MemoryBound::Events(NonZeroUsize::new(500).unwrap()),
            when_full: WhenFull::Block
        }]
    );
    assert_eq!(
        sink.batch.settings(),
        BatchSettings {
            max_events: usize::MAX,
            max_bytes: 10_000_000,
            timeout: Duration::from_secs(1)
        }
    );
    assert_eq!(sink.request.concurrency, Concurrency::Adaptive);
    assert_eq!(sink.request.timeout(), Duration::from_secs(60));
    assert_eq!(sink.request.rate_limit(), None);
    assert_eq!(sink.request.max_backoff(), Duration::from_secs(30));
    assert_eq!(sink.request.initial_backoff(), Duration::from_secs(1));
    assert_eq!(sink.request.retry_jitter_mode, JitterMode::Full);
    assert_eq!(sink.request.adaptive_concurrency.max_concurrency_limit, 200);
    assert!(sink.tls.is_none() && sink.encoding.is_none());
    assert!(sink.healthcheck.enabled && sink.healthcheck.timeout == Duration::from_secs(10));
    assert!(!sink.acknowledgements.is_enabled());
    assert!(sink.proxy.enabled && sink.proxy.no_proxy.is_empty());
    assert_eq!(ok::<RequestConfig>("{}"), RequestConfig::default());
    assert_eq!(ok::<BatchConfig<BulkBySize>>("{}"), BatchConfig::default());
    assert_eq!(
        BatchConfig::<BulkBySize>::default().settings().timeout,
        Duration::from_secs(300)
    );
    assert_eq!(BatchConfig::<RealtimeByEvents>::default().settings().max_events, 1000);
}

#[test]
fn buffers() {
    let chain: BufferConfig = ok("- {max_events: 42, when_full: overflow}\n- {type: disk, max_size: 268435488}\n");
    assert_eq!(chain.stages().len(), 2);
    assert_eq!(chain.disk_bytes(), 268_435_488);
    assert_eq!(
        ok::<BufferConfig>("max_size: 4096").stages(),
        [BufferStage::Memory {
            bound: MemoryBound::Bytes(NonZeroUsize::new(4096).unwrap()),
            when_full: WhenFull::Block
        }]
    );
    assert_eq!(
        ok::<BufferConfig>("{type: disk, max_size: 300000000, when_full: drop_newest}").stages(),
        [BufferStage::Disk {
            max_size: NonZeroU64::new(300_000_000).unwrap(),
            when_full: WhenFull::DropNewest
        }]
    );
    for (text, place, part) in [
        ("{buffer: {max_size: 100, max_events: 42}}", "42", "not by both"),
        ("{buffer: {type: disk, max_size: 1024}}", "1024", "at least 268435488"),
        (
            "{buffer: {type: disk, max_size: 300000000, max_events: 3}}",
            "3",
            "no `max_events`",
        ),
        ("{buffer: {max_events: 0}}", "0", "nonzero"),
        ("{buffer: {max_events: -1}}", "-1", ""),
        ("{buffer: {type: disks, max_size: 1}}", "disks", "unknown value"),
        ("{buffer: {when_full: overflow}}", "overflow", "no next stage"),
        ("{buffer: [{when_full: block}, {}]}", "block", "overflow"),
        ("{buffer: {max_event: 3}}", "max_event", "unknown key"),
        ("{buffer: 3}", "3", "table"),
    ] {
        let (error, found) = err::<Sink>(text);
        assert_eq!(found, place, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.path[0], "buffer", "{text}");
    }
    assert!(err::<Sink>("{buffer: {type: disk}}").0.message.contains("max_size"));
    assert_eq!(
        err::<Sink>("{buffer: {max_event: 3}}").0.suggestion.as_deref(),
        Some("max_events")
    );
    assert!(err::<Sink>("{buffer: []}").0.message.contains("at least one stage"));
    let two = "[{type: disk, max_size: 300000000, when_full: overflow}, {type: disk, max_size: 300000000}]";
    assert!(err::<BufferConfig>(two).0.message.contains("one disk stage"));
}

#[test]
fn batches() {
    let batch: BatchConfig<RealtimeBySize> = ok("{max_events: 7, timeout_secs: 0.25, unknown: 1}");
    assert_eq!(
        batch.settings(),
        BatchSettings {
            max_events: 7,
            max_bytes: 10_000_000,
            timeout: Duration::from_millis(250)
        }
    );
    assert!(
        batch.limit_max_bytes(1000).is_err() && batch.limit_max_events(7).is_ok() && batch.limit_max_events(6).is_err()
    );
    for (text, place) in [
        ("{batch: {max_bytes: 0}}", "0"),
        ("{batch: {max_events: -2}}", "-2"),
        ("{batch: {timeout_secs: 0}}", "0"),
        ("{batch: {timeout_secs: -1.5}}", "-1.5"),
        ("{batch: {timeout_secs: 1.0e300}}", "1.0e300"),
        ("{batch: {timeout_secs: x}}", "x"),
    ] {
        assert_eq!(err::<Sink>(text).1, place, "{text}");
    }
}

#[test]
fn requests() {
    let request: RequestConfig =
        ok("concurrency: 10\nrate_limit_num: 5\nretry_attempts: 3\nretry_jitter_mode: None\nheaders: {A: b}\n");
    assert_eq!(request.concurrency.fixed().map(NonZeroUsize::get), Some(10));
    assert_eq!(request.rate_limit(), Some((5, Duration::from_secs(1))));
    assert_eq!(request.headers["A"], "b");
    assert_eq!(ok::<Concurrency>("none").fixed().map(NonZeroUsize::get), Some(1));
    for (text, place) in [
        ("{request: {concurrency: 0}}", "0"),
        ("{request: {concurrency: adaptiv}}", "adaptiv"),
        ("{request: {retry_initial_backoff_secs: 0}}", "0"),
        ("{request: {retry_jitter_mode: full}}", "full"),
        ("{request: {adaptive_concurrency: {ewma_alpha: 1.5}}}", "1.5"),
        ("{request: {adaptive_concurrency: {ewma: 1}}}", "ewma"),
        ("{request: {adaptive_concurrency: {max_concurrency_limit: 0}}}", "0"),
        ("{request: {timeout_secs: -1}}", "-1"),
    ] {
        assert_eq!(err::<Sink>(text).1, place, "{text}");
    }
    assert_eq!(
        err::<Sink>("{request: {concurrency: adaptiv}}").0.suggestion.as_deref(),
        Some("adaptive")
    );

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Slow;
    impl RequestDefaults for Slow {
        const CONCURRENCY: Concurrency = Concurrency::None;
        const TIMEOUT_SECS: u64 = 300;
    }
    let slow: RequestConfig<Slow> = ok("{}");
    assert_eq!((slow.concurrency, slow.timeout_secs), (Concurrency::None, 300));
}

#[test]
fn tls_proxy_healthcheck_acknowledgements() {
    let sink: Sink = ok(
        "tls: {enabled: true, ca_path: /ca, verify_hostname: false}\nproxy: {http: 'http://p', no_proxy: 'a, .b'}\n\
         healthcheck: false\nacknowledgements: true\nencoding: {codec: json}\n",
    );
    let tls = sink.tls.unwrap();
    assert!(tls.is_enabled() && tls.ca_file == Some("/ca".into()) && tls.verify_hostname == Some(false));
    assert_eq!(sink.proxy.no_proxy, ["a", ".b"]);
    assert!(!sink.healthcheck.enabled && sink.acknowledgements.is_enabled());
    assert!(sink.encoding.unwrap().get("codec").unwrap().span.is_some());
    let sink: Sink = ok(
        "healthcheck: {uri: 'http://x', timeout: 0.5}\nacknowledgements: {enabled: false}\nproxy: {no_proxy: [a, b]}",
    );
    assert_eq!(
        (sink.healthcheck.timeout, sink.healthcheck.enabled),
        (Duration::from_millis(500), true)
    );
    assert_eq!(sink.acknowledgements.enabled, Some(false));
    assert_eq!(sink.proxy.no_proxy, ["a", "b"]);
    for (text, place) in [
        ("{tls: {verify: true}}", "verify"),
        ("{proxy: {https_proxy: x}}", "https_proxy"),
        ("{healthcheck: maybe}", "maybe"),
        ("{healthcheck: {timeout: -1}}", "-1"),
        ("{acknowledgements: 1}", "1"),
        ("{proxy: {no_proxy: 3}}", "3"),
    ] {
        assert_eq!(err::<Sink>(text).1, place, "{text}");
    }
    let outer = ProxyConfig {
        http: Some("o".into()),
        no_proxy: vec!["x".into()],
        ..ProxyConfig::default()
    };
    let inner = ProxyConfig {
        enabled: false,
        https: Some("i".into()),
        ..ProxyConfig::default()
    };
    let both = outer.with(&inner);
    assert_eq!(
        (both.enabled, both.http.as_deref(), both.https.as_deref()),
        (false, Some("o"), Some("i"))
    );
    assert_eq!(both.no_proxy, ["x"]);
    let env = ProxyConfig::from_environment(|k| (k == "HTTP_PROXY").then(|| "e".to_owned()));
    assert_eq!(env.http.as_deref(), Some("e"));
    let on = Acknowledgements::from(true);
    assert!(Acknowledgements::default().or(on).is_enabled() && !Acknowledgements::from(false).or(on).is_enabled());
}

#[test]
fn all_unknown_keys_are_named_and_then_the_next_mistake() {
    let text = "{tsl: 1, batches: {}, buffer: {max_events: 0}, request: {timeout_secs: 3}}";
    let errors = decode_all::<Sink>(&node(text)).unwrap_err();
    let messages: Vec<_> = errors
        .iter()
        .map(|e| (e.path.join("."), e.suggestion.clone()))
        .collect();
    assert_eq!(
        messages,
        [
            ("tsl".to_owned(), Some("tls".to_owned())),
            ("batches".to_owned(), Some("batch".to_owned())),
            ("buffer.max_events".to_owned(), None)
        ]
    );
}

#[test]
fn nodes_pass_through_other_deserializers() {
    let value = serde_json::json!({"a": [1, null, "x", 1.5, true], "b": {}});
    let from_json: Node = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(from_json.to_json(), value);
    #[derive(Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, Node>,
        one: OneOrMany<u8>,
    }
    let flat: Flat = ok("{one: 3, a: {b: [1, null]}, c: 2}");
    assert_eq!(flat.one.0, [3]);
    assert_eq!(flat.rest["a"].to_json(), serde_json::json!({"b": [1, null]}));
    assert_eq!(flat.rest["c"].to_json(), 2);
    assert_eq!(ok::<OneOrMany<u8>>("[1, 2]").0, [1, 2]);
    assert_eq!(err::<OneOrMany<u8>>("[1, 'x']").1, "'x'");
}
