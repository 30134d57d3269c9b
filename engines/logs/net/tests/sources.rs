//! Sources with clients of the test's own, and our sink against our source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use prost::Message;
use qd_logs_model::{
    Batch, Bucket, Delivery, EventKind, Finalizers, LogBatch, LogEvent, Metric, MetricBatch, MetricKind, MetricValue,
    Quantile, Rows, Sample, Statistic, TagValue, Value,
};
use serde_json::json;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn http_server_takes_lines_and_says_what_it_knows_of_the_request() {
    let config = json!({
        "address": "127.0.0.1:0", "path": "/in", "strict_path": false, "headers": ["X-One", "x-many-*", "absent"],
        "query_parameters": ["q"], "host_key": "from", "response_code": 202, "decoding": {"codec": "json"},
        "auth": {"strategy": "basic", "username": "u", "password": "p"},
    });
    let source = run_source("http_server", config, false).await;
    let at = source.addresses[0];
    let post = |path: &str| {
        client()
            .post(format!("http://{at}{path}"))
            .basic_auth("u", Some("p"))
            .header("x-one", "1")
            .header("x-many-a", "2")
    };
    let answer = post("/in/deep?q=a%20b")
        .body("{\"n\":1,\"X-One\":\"own\"}\n{\"n\":2}\n{\"n\":3}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    let gz = {
        use std::io::Write;
        let mut e = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        e.write_all(b"{\"n\":4}").unwrap();
        e.finish().unwrap()
    };
    let answer = post("/in")
        .header("content-encoding", "gzip")
        .body(gz)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    for (status, request) in [
        (404, post("/out").body("{}")),
        (405, client().get(format!("http://{at}/in"))),
        (401, client().post(format!("http://{at}/in")).basic_auth("u", Some("x"))),
        (400, post("/in").body("{nonsense")),
        (415, post("/in").header("content-encoding", "br").body("x")),
        (422, post("/in").header("content-encoding", "gzip").body("x")),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let answer = client().get(format!("http://{at}/ping")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
        (200, "pong")
    );
    let values = source.stop().await.values();
    let numbers: Vec<_> = values.iter().map(|v| field(v, "n").unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4].map(Value::Integer));
    // A header does not take the place of the event's own field.
    assert_eq!(field(&values[0], "X-One"), Some(Value::from("own")));
    let first = &values[1];
    for (name, wanted) in [
        ("path", "/in/deep"),
        ("X-One", "1"),
        ("x-many-a", "2"),
        ("q", "a b"),
        ("from", "127.0.0.1"),
        ("source_type", "http_server"),
    ] {
        assert_eq!(field(first, name), Some(Value::from(wanted)), "{name}");
    }
    assert_eq!(field(first, "absent"), Some(Value::Null));
    assert!(matches!(field(first, "timestamp"), Some(Value::Timestamp(_))));
}

#[tokio::test]
async fn http_server_answers_with_what_became_of_the_events() {
    let source = run_source("http_server", json!({"address": "127.0.0.1:0"}), true).await;
    let at = source.addresses[0];
    for (delivery, status) in [
        (Delivery::Delivered, 200),
        (Delivery::Errored, 500),
        (Delivery::Rejected, 400),
    ] {
        *source.out.verdict.lock() = Some(delivery);
        let answer = client()
            .post(format!("http://{at}/"))
            .body("line")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
    }
    assert_eq!(source.stop().await.values().len(), 3);
}

fn metrics() -> Vec<Metric> {
    let metric = |name: &str, kind, value| Metric {
        name: name.to_owned(),
        namespace: Some("ns".to_owned()),
        tags: BTreeMap::from([
            ("one".to_owned(), TagValue::One("1".to_owned())),
            ("bare".to_owned(), TagValue::Bare),
            (
                "many".to_owned(),
                TagValue::Many(vec![Some("a".to_owned()), None, Some("b".to_owned())]),
            ),
        ]),
        timestamp: chrono::DateTime::from_timestamp(1_700_000_000, 123_456_789),
        interval_ms: Some(10),
        kind,
        value,
    };
    use MetricKind::{Absolute, Incremental};
    vec![
        metric("counter", Incremental, MetricValue::Counter { value: 1.5 }),
        metric("gauge", Absolute, MetricValue::Gauge { value: -2.0 }),
        metric(
            "set",
            Incremental,
            MetricValue::Set {
                values: BTreeSet::from(["x".to_owned()]),
            },
        ),
        metric(
            "distribution",
            Incremental,
            MetricValue::Distribution {
                samples: vec![Sample { value: 1.0, rate: 3 }],
                statistic: Statistic::Summary,
            },
        ),
        metric(
            "histogram",
            Absolute,
            MetricValue::AggregatedHistogram {
                buckets: vec![
                    Bucket {
                        upper_limit: 1.0,
                        count: 2,
                    },
                    Bucket {
                        upper_limit: f64::INFINITY,
                        count: 1,
                    },
                ],
                count: 3,
                sum: 4.5,
            },
        ),
        metric(
            "summary",
            Absolute,
            MetricValue::AggregatedSummary {
                quantiles: vec![Quantile {
                    quantile: 0.5,
                    value: 2.0,
                }],
                count: 3,
                sum: 4.5,
            },
        ),
    ]
}

#[tokio::test]
async fn what_the_vector_sink_sends_the_vector_source_takes() {
    for compression in [json!(false), json!("gzip"), json!("zstd")] {
        let source = run_source("vector", json!({"address": "127.0.0.1:0"}), true).await;
        *source.out.verdict.lock() = Some(Delivery::Delivered);
        let value = Value::from(json!({"text": "a", "int": 1, "float": 1.5, "bool": true, "null": null,
            "array": [1, "x", {"y": []}], "object": {"a.b": "c"}, "source_type": "vector"}));
        let mut event = LogEvent::new(value.clone());
        event.value.insert(
            &vrl::owned_value_path!("timestamp"),
            chrono::DateTime::from_timestamp(1, 5).unwrap(),
        );
        event.metadata.value_mut().insert(&vrl::owned_value_path!("m"), 7);
        let trace = LogBatch {
            rows: Rows::Events(vec![LogEvent::new(value)]),
            kind: EventKind::Trace,
            finalizers: Finalizers::none(),
        };
        let batches = vec![
            Batch::Logs(LogBatch::events(vec![event.clone()])),
            Batch::Logs(trace),
            Batch::Metrics(MetricBatch {
                metrics: metrics(),
                finalizers: Finalizers::none(),
            }),
        ];
        let config = json!({"address": source.addresses[0].to_string(), "compression": compression});
        let built = sink_config("vector", config.clone()).build(context()).await.unwrap();
        built.healthcheck.await.unwrap();
        let ended = run_sink("vector", config, batches).await;
        assert!(ended.all_delivered());
        let out = source.stop().await;
        assert_eq!(out.metrics(), metrics());
        let batches = out.batches.lock();
        let of = |kind| {
            batches
                .iter()
                .find_map(|(_, b)| match b {
                    Batch::Logs(l) if l.kind == kind => l.clone().to_events().first().cloned(),
                    _ => None,
                })
                .unwrap()
        };
        assert_eq!(of(EventKind::Log), event);
        assert_eq!(field(&of(EventKind::Trace).value, "text"), Some(Value::from("a")));
    }
}

#[tokio::test]
async fn nothing_is_lost_between_two_of_us_when_the_second_is_in_trouble() {
    let source = run_source("vector", json!({"address": "127.0.0.1:0"}), true).await;
    *source.out.verdict.lock() = Some(Delivery::Errored);
    let at = source.addresses[0].to_string();
    let sending = tokio::spawn(async move {
        run_sink(
            "vector",
            json!({"address": at, "batch": {"timeout_secs": 0.1}}),
            many(1000),
        )
        .await
    });
    let out = source.out.clone();
    until(|| !out.batches.lock().is_empty()).await;
    // What came before was answered with an error and comes again.
    *source.out.verdict.lock() = Some(Delivery::Delivered);
    source.out.batches.lock().clear();
    assert!(sending.await.unwrap().all_delivered());
    let numbers: BTreeSet<i64> = source
        .stop()
        .await
        .values()
        .iter()
        .filter_map(|v| field(v, "n")?.as_integer())
        .collect();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn otlp_comes_by_http_and_grpc() {
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{self as m, ResourceMetrics, ScopeMetrics},
        resource::v1::Resource,
    };
    let any = |s: &str| {
        Some(AnyValue {
            value: Some(any_value::Value::StringValue(s.to_owned())),
        })
    };
    let attribute = |k: &str, v: &str| KeyValue {
        key: k.to_owned(),
        value: any(v),
        ..KeyValue::default()
    };
    let scope = || InstrumentationScope {
        name: "lib".to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = || Resource {
        attributes: vec![attribute("service.name", "shop")],
        ..Resource::default()
    };
    let record = LogRecord {
        body: any("hello"),
        time_unix_nano: 1_000_000_001,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        trace_id: vec![0xab; 16],
        attributes: vec![attribute("k", "v")],
        ..LogRecord::default()
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let point = m::NumberDataPoint {
        attributes: vec![attribute("k", "v")],
        value: Some(m::number_data_point::Value::AsInt(5)),
        ..m::NumberDataPoint::default()
    };
    let sum = m::Sum {
        data_points: vec![point],
        aggregation_temporality: 1,
        is_monotonic: true,
    };
    let metric = m::Metric {
        name: "hits".to_owned(),
        data: Some(m::metric::Data::Sum(sum)),
        ..m::Metric::default()
    };
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let config = json!({"grpc": {"address": "127.0.0.1:0"}, "http": {"address": "127.0.0.1:0"}});
    let source = run_source("opentelemetry", config, false).await;
    let (grpc, http) = (source.addresses[0], source.addresses[1]);
    let post = |path: &str, kind: &str| {
        client()
            .post(format!("http://{http}{path}"))
            .header("content-type", kind)
    };
    let answer = post("/v1/logs", "application/x-protobuf")
        .body(logs.encode_to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), "");
    // The same in JSON, and what is answered in it.
    let text = json!({"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeLogs": [{"scope": {"name": "lib"}, "logRecords": [{"body": {"stringValue": "hello"},
        "timeUnixNano": "1000000001", "severityNumber": 9, "severityText": "INFO", "traceId": "AB".repeat(16),
        "attributes": [{"key": "k", "value": {"stringValue": "v"}}]}]}]}]});
    let json = "application/json; charset=utf-8";
    let answer = post("/v1/logs", json).body(text.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.text().await.unwrap(), "{}");
    let answer = post("/v1/traces", json)
        .body("{\"resourceSpans\": 1}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap(),
        json!({"code": 2, "message": "the message can't be read: `resourceSpans`: expected a list, found the number 1"})
    );
    assert_eq!(
        post("/v1/logs", "text/plain").body("{}").send().await.unwrap().status(),
        415
    );
    assert_eq!(
        post("/v1/logs", "application/x-protobuf")
            .body("\u{7f}")
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(
        post("/v2/logs", "application/x-protobuf")
            .body("")
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let message = metrics.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    let h2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let answer = h2
        .post(format!(
            "http://{grpc}/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
        ))
        .header("content-type", "application/grpc")
        .body(framed)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), [0u8; 5].as_slice());
    let out = source.stop().await;
    let values = out.values();
    assert_eq!(values.len(), 2);
    let mut other = serde_json::to_value(&values[1]).unwrap();
    let value = serde_json::to_value(&values[0]).unwrap();
    // The record says no time of observation, so it is when it came.
    other["observed_timestamp"] = value["observed_timestamp"].clone();
    assert_eq!(other, value);
    assert_eq!(value["message"], "hello");
    assert_eq!(value["resources"]["service.name"], "shop");
    assert_eq!(value["scope"]["name"], "lib");
    assert_eq!(value["attributes"]["k"], "v");
    assert_eq!(value["severity_number"], 9);
    assert_eq!(value["trace_id"], "ab".repeat(16));
    assert_eq!(value["timestamp"], "1970-01-01T00:00:01.000000001Z");
    assert_eq!(value["source_type"], "opentelemetry");
    let got = out.metrics();
    assert_eq!(
        (got.len(), got[0].name.as_str(), got[0].kind),
        (1, "hits", MetricKind::Incremental)
    );
    assert_eq!(got[0].value, MetricValue::Counter { value: 5.0 });
    assert_eq!(got[0].tags["resource.service.name"], TagValue::One("shop".to_owned()));
    assert_eq!(got[0].tags["scope.name"], TagValue::One("lib".to_owned()));
    let ports: Vec<_> = out.batches.lock().iter().map(|(p, _)| *p).collect();
    assert_eq!(ports, [0, 0, 1]);
}
