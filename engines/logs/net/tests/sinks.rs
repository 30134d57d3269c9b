//! Sinks against servers that push back, refuse, break off and lose nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use common::*;
use parking_lot::Mutex;
use prost::Message;
use qd_logs_model::Delivery;
use serde_json::{Value, json};

fn numbers(body: &[u8]) -> Vec<i64> {
    let values: Vec<Value> = match serde_json::from_slice(body) {
        Ok(Value::Array(all)) => all,
        _ => body
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect(),
    };
    values.iter().filter_map(|v| v["n"].as_i64()).collect()
}

#[tokio::test]
async fn http_delivers_all_to_a_receiver_in_trouble() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let turn = Arc::new(AtomicUsize::new(0));
    let (seen, counter) = (got.clone(), turn.clone());
    let at = serve(move |request| {
        let (seen, turn) = (seen.clone(), counter.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            let events = numbers(&request.body);
            match turn {
                0 => (500, vec![], "broken".to_owned()),
                2 => (429, vec![("retry-after", "1".to_owned())], String::new()),
                4 => (503, vec![], String::new()),
                // Nobody hears of this one again.
                6 => std::future::pending().await,
                _ if events.len() > 60 => (413, vec![], "too large".to_owned()),
                _ => {
                    assert_eq!(request.headers["content-type"], "application/json");
                    assert_eq!(
                        request.headers["x-app"],
                        "app-even".replace("even", &parity(&request.body))
                    );
                    seen.lock().extend(events);
                    ok()
                }
            }
        })
    })
    .await;
    fn parity(body: &[u8]) -> String {
        let first: Vec<Value> = serde_json::from_slice(body).unwrap();
        first[0]["app"].as_str().unwrap().to_owned()
    }
    let config = json!({
        "uri": format!("http://{at}/in"), "encoding": {"codec": "json"}, "compression": "gzip",
        "batch": {"max_events": 100, "timeout_secs": 0.2},
        "request": {"timeout_secs": 1, "headers": {"x-app": "app-{{ app }}"}, "concurrency": 4},
    });
    let ended = run_sink("http", config, many(2000)).await;
    assert!(ended.all_delivered());
    assert_eq!(sorted(got.lock().clone()), (0..2000).collect::<Vec<_>>());
    assert_eq!(ended.count("component_sent_events_total"), 2000);
    assert_eq!(ended.count("component_discarded_events_total"), 0);
    assert!(ended.count("component_errors_total") >= 4);
}

#[tokio::test]
async fn http_tells_who_waits_that_events_are_refused_or_lost() {
    let at = serve(|request| {
        Box::pin(async move {
            match request.path.as_str() {
                "/refuses" => (400, vec![], "no".to_owned()),
                "/fails" => (500, vec![], "later".to_owned()),
                "/full" => (413, vec![], "large".to_owned()),
                _ => ok(),
            }
        })
    })
    .await;
    for (path, delivery) in [
        ("refuses", Delivery::Rejected),
        ("fails", Delivery::Errored),
        ("full", Delivery::Rejected),
        ("takes", Delivery::Delivered),
    ] {
        let config = json!({
            "uri": format!("http://{at}/{path}"), "encoding": {"codec": "text"}, "request": {"retry_attempts": 1},
        });
        let ended = run_sink("http", config, many(200)).await;
        assert_eq!(ended.deliveries, [delivery; 2], "{path}");
        let lost = if delivery == Delivery::Delivered { 0 } else { 200 };
        assert_eq!(ended.count("component_discarded_events_total"), lost, "{path}");
        // What is refused is kept for a person; what is only late is the source's to send again.
        let refused = if delivery == Delivery::Rejected { 200 } else { 0 };
        assert_eq!(ended.count("component_dead_letter_events_total"), refused, "{path}");
        let mut letters = ended.letters();
        assert_eq!(letters.len() as u64, refused, "{path}");
        letters.sort_by_key(|(_, event)| event[6..].parse::<u64>().unwrap());
        for (i, (reason, event)) in letters.iter().enumerate() {
            assert_eq!(*event, format!("event {i}"));
            assert!(reason.contains(if path == "full" { "413" } else { "400" }), "{reason}");
        }
    }
}

#[tokio::test]
async fn http_waits_for_a_receiver_that_comes_later() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    drop(socket);
    let got = Arc::new(Mutex::new(0));
    let seen = got.clone();
    let late = tokio::spawn(async move {
        // The first attempt has failed by then: nothing listens.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(move |_| {
            *seen.lock() += 1;
            async { Ok::<_, std::convert::Infallible>(http::Response::new(String::new())) }
        });
        let _ended = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await;
    });
    let config = json!({"uri": format!("http://{at}/"), "encoding": {"codec": "text"}});
    let ended = run_sink("http", config, vec![numbered(0, 10)]).await;
    assert!(ended.all_delivered());
    assert_eq!(*got.lock(), 1);
    late.abort();
}

#[tokio::test]
async fn a_sink_that_is_dropped_reports_what_it_had() {
    let hung = Arc::new(AtomicBool::new(false));
    let flag = hung.clone();
    let at = serve(move |_| {
        flag.store(true, Ordering::SeqCst);
        Box::pin(std::future::pending())
    })
    .await;
    let config = json!({"uri": format!("http://{at}/"), "encoding": {"codec": "text"}});
    let task = tokio::spawn(run_sink("http", config, vec![]));
    task.await.unwrap();
    let built = sink_config(
        "http",
        json!({"uri": format!("http://{at}/"), "encoding": {"codec": "text"}}),
    )
    .build(context())
    .await
    .unwrap();
    struct One(Option<qd_logs_model::Batch>);
    impl qd_logs_model::Inlet for One {
        fn recv(&mut self) -> futures::future::BoxFuture<'_, Option<qd_logs_model::Batch>> {
            let batch = self.0.take();
            Box::pin(async move { batch })
        }
    }
    let told = Arc::new(Mutex::new(None));
    let mut batch = numbered(0, 5);
    let heard = told.clone();
    *batch.finalizers_mut() =
        qd_logs_model::Finalizers::one(qd_logs_model::Token::new(move |d| *heard.lock() = Some(d)));
    let input = qd_logs_model::SinkInput::new(Box::new(One(Some(batch))));
    let running = tokio::spawn(built.sink.run(input));
    until(|| hung.load(Ordering::SeqCst)).await;
    running.abort();
    until(|| told.lock().is_some()).await;
    assert_eq!(*told.lock(), Some(Delivery::Errored));
}

#[tokio::test]
async fn s3_stores_objects_by_prefix() {
    let objects = Arc::new(Mutex::new(Vec::new()));
    let (seen, failed) = (objects.clone(), AtomicBool::new(false));
    let at = serve(move |request| {
        let (seen, fail) = (seen.clone(), once(&failed));
        Box::pin(async move {
            if fail {
                return (503, vec![], "<Error><Code>SlowDown</Code></Error>".to_owned());
            }
            seen.lock().push(request);
            ok()
        })
    })
    .await;
    let config = json!({
        "bucket": "logs", "endpoint": format!("http://{at}"), "region": "us-east-1", "encoding": {"codec": "json"},
        "framing": {"method": "newline_delimited"}, "key_prefix": "app={{ app }}/", "filename_time_format": "t",
        "auth": {"access_key_id": "id", "secret_access_key": "secret"}, "acl": "private", "tags": {"a b": "c"},
        "storage_class": "STANDARD_IA", "batch": {"timeout_secs": 0.2},
    });
    let ended = run_sink("aws_s3", config, many(1000)).await;
    assert!(ended.all_delivered());
    let objects = objects.lock();
    assert_eq!(objects.len(), 2);
    let all = objects.iter().flat_map(|o| numbers(&o.body)).collect();
    assert_eq!(sorted(all), (0..1000).collect::<Vec<_>>());
    for o in objects.iter() {
        assert_eq!(o.method, "PUT");
        let name = o
            .path
            .strip_prefix("/logs/app%3Deven/t-")
            .or_else(|| o.path.strip_prefix("/logs/app%3Dodd/t-"))
            .expect(&o.path);
        let uuid = name.strip_suffix(".log.gz").unwrap();
        assert!(
            uuid::Uuid::try_parse(uuid).is_ok_and(|u| u.get_version_num() == 4),
            "{name}"
        );
        assert_eq!(o.headers["content-type"], "text/x-log");
        assert_eq!(o.headers["x-amz-acl"], "private");
        assert_eq!(o.headers["x-amz-storage-class"], "STANDARD_IA");
        assert_eq!(o.headers["x-amz-tagging"], "a%20b=c");
        let authorization = o.headers["authorization"].to_str().unwrap();
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=id/"),
            "{authorization}"
        );
        assert!(
            authorization.contains("x-amz-acl") && authorization.contains("x-amz-tagging"),
            "{authorization}"
        );
    }
}

#[derive(Clone, PartialEq, Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<LokiEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct LokiEntry {
    #[prost(string, tag = "2")]
    line: String,
}

#[tokio::test]
async fn loki_gets_streams_by_labels() {
    for compression in ["snappy", "gzip", "none"] {
        let got = Arc::new(Mutex::new(Vec::new()));
        let (seen, failed) = (got.clone(), AtomicBool::new(false));
        let at = serve(move |request| {
            let (seen, fail) = (seen.clone(), once(&failed));
            Box::pin(async move {
                assert_eq!(request.path, "/loki/api/v1/push");
                assert_eq!(request.headers["x-scope-orgid"], "t");
                if fail {
                    return (429, vec![], "slow down".to_owned());
                }
                let add = |labels: &str, line: &str| {
                    let event: Value = serde_json::from_str(line).unwrap();
                    assert!(event.get("app").is_none() && event.get("timestamp").is_none());
                    let n = event["n"].as_i64().unwrap();
                    let odd = labels.contains("app-odd");
                    assert_eq!(odd, n % 2 == 1, "{labels}");
                    seen.lock().push(n);
                };
                if request.headers["content-type"] == "application/x-protobuf" {
                    for s in Push::decode(&*request.body).unwrap().streams {
                        s.entries.iter().for_each(|e| add(&s.labels, &e.line));
                    }
                } else {
                    let push: Value = serde_json::from_slice(&request.body).unwrap();
                    for s in push["streams"].as_array().unwrap() {
                        for v in s["values"].as_array().unwrap() {
                            add(&s["stream"].to_string(), v[1].as_str().unwrap());
                        }
                    }
                }
                (204, vec![], String::new())
            })
        })
        .await;
        let config = json!({
            "endpoint": format!("http://{at}"), "encoding": {"codec": "json"}, "compression": compression,
            "labels": {"app": "app-{{ app }}", "fixed": "x"}, "remove_label_fields": true, "tenant_id": "t",
            "batch": {"max_events": 300, "timeout_secs": 0.2},
        });
        let ended = run_sink("loki", config, many(1000)).await;
        assert!(ended.all_delivered());
        assert_eq!(
            sorted(got.lock().clone()),
            (0..1000).collect::<Vec<_>>(),
            "{compression}"
        );
    }
}

#[tokio::test]
async fn elasticsearch_sends_only_what_failed_again() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let seen = got.clone();
    let at = serve(move |request| {
        let seen = seen.clone();
        Box::pin(async move {
            if request.path == "/" {
                return (200, vec![], r#"{"version":{"number":"7.17.1"}}"#.to_owned());
            }
            assert_eq!(
                (request.path.as_str(), request.query.as_str()),
                ("/_bulk", "timeout=60s&pipeline=p")
            );
            let lines: Vec<Value> = request
                .body
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .map(|l| serde_json::from_slice(l).unwrap())
                .collect();
            let first = seen.lock().is_empty();
            let mut items = Vec::new();
            for pair in lines.chunks(2) {
                let n = pair[1]["n"].as_i64().unwrap();
                assert_eq!(
                    pair[0],
                    json!({"index": {"_index": "logs-x", "_id": format!("event {n}")}})
                );
                let status = match (n % 10, first) {
                    (3, true) => 429,
                    (7, _) => 400,
                    _ => {
                        seen.lock().push(n);
                        201
                    }
                };
                let error = (status > 201).then(|| json!({"type": "t", "reason": "r"}));
                items.push(json!({"index": {"status": status, "error": error}}));
            }
            let body = json!({"errors": items.iter().any(|i| i["index"]["status"] != 201), "items": items});
            (200, vec![], body.to_string())
        })
    })
    .await;
    let config = json!({
        "endpoints": [format!("http://{at}")], "bulk": {"index": "logs-x"}, "id_key": "message", "pipeline": "p",
        "request_retry_partial": true, "batch": {"timeout_secs": 0.2}, "compression": "gzip",
    });
    let ended = run_sink("elasticsearch", config, many(500)).await;
    let wanted: Vec<i64> = (0..500).filter(|n| n % 10 != 7).collect();
    assert_eq!(sorted(got.lock().clone()), wanted);
    assert_eq!(ended.count("component_discarded_events_total"), 50);
    assert!(ended.deliveries.iter().all(|d| *d == Delivery::Rejected));
    assert_eq!(ended.count("component_sent_events_total"), 450);
}

#[tokio::test]
async fn elasticsearch_routes_data_streams_by_the_event() {
    let got = Arc::new(Mutex::new(String::new()));
    let seen = got.clone();
    let at = serve(move |request| {
        seen.lock().push_str(&String::from_utf8_lossy(&request.body));
        Box::pin(async { (200, vec![], r#"{"errors":false}"#.to_owned()) })
    })
    .await;
    let config = json!({"endpoints": [format!("http://{at}")], "mode": "data_stream", "api_version": "v8"});
    let event = |v: Value| qd_logs_model::LogEvent::new(qd_logs_model::Value::from(v));
    let batch = qd_logs_model::Batch::Logs(qd_logs_model::LogBatch::events(vec![
        event(json!({"a": 1, "timestamp": "x"})),
        event(json!({"a": 2, "data_stream": {"dataset": "mine"}})),
        event(json!({"a": 3, "data_stream": {"dataset": "../x"}})),
    ]));
    let ended = run_sink("elasticsearch", config, vec![batch]).await;
    let text = got.lock().clone();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0], json!({"create": {"_index": "logs-generic-default"}}));
    let stream = json!({"type": "logs", "dataset": "generic", "namespace": "default"});
    assert_eq!(lines[1], json!({"a": 1, "@timestamp": "x", "data_stream": stream}));
    assert_eq!(lines[2], json!({"create": {"_index": "logs-mine-default"}}));
    assert_eq!(lines.len(), 4);
    assert_eq!(ended.deliveries, [Delivery::Rejected]);
}

#[tokio::test]
async fn clickhouse_gets_rows() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let (seen, failed) = (got.clone(), AtomicBool::new(false));
    let at = serve(move |request| {
        let (seen, fail) = (seen.clone(), once(&failed));
        Box::pin(async move {
            let q = &request.query;
            assert!(
                q.contains("query=INSERT%20INTO%20%7Bdatabase%3AIdentifier%7D.%7Btable%3AIdentifier%7D"),
                "{q}"
            );
            assert!(q.contains("input_format_skip_unknown_fields=1"), "{q}");
            assert!(q.contains("param_database=db") && q.contains("param_table=t_"), "{q}");
            if fail {
                return (500, vec![], "Code: 252. Too many parts".to_owned());
            }
            seen.lock().extend(numbers(&request.body));
            ok()
        })
    })
    .await;
    let config = json!({
        "endpoint": format!("http://{at}"), "table": "t_{{ app }}", "database": "db", "skip_unknown_fields": true,
        "batch": {"timeout_secs": 0.2}, "auth": {"strategy": "basic", "user": "u", "password": "p"},
    });
    let ended = run_sink("clickhouse", config, many(1000)).await;
    assert!(ended.all_delivered());
    assert_eq!(sorted(got.lock().clone()), (0..1000).collect::<Vec<_>>());
    let refusing = serve(|_| Box::pin(async { (500, vec![], "Code: 117. Incorrect data".to_owned()) })).await;
    let config = json!({"endpoint": format!("http://{refusing}"), "table": "t"});
    let ended = run_sink("clickhouse", config, many(100)).await;
    assert_eq!(ended.deliveries, [Delivery::Rejected]);
}

#[tokio::test]
async fn wrong_configurations_are_refused_by_name() {
    let refused = |kind: &str, config: Value| {
        let catalog = qd_logs_net::catalog();
        let entry = catalog.sinks.iter().find(|e| e.name == kind).unwrap();
        let config = match (entry.parse)(&node(config)) {
            Ok(c) => c,
            Err(e) => return futures::future::Either::Left(std::future::ready(e.to_string())),
        };
        futures::future::Either::Right(async move { config.build(context()).await.err().unwrap().to_string() })
    };
    let json_codec = json!({"codec": "json"});
    let cases = [
        (
            "http",
            json!({"uri": "http://a", "encoding": json_codec, "compresion": "gzip"}),
            "compresion",
        ),
        (
            "http",
            json!({"uri": "http://{{ host }}/", "encoding": json_codec}),
            "host",
        ),
        (
            "http",
            json!({"uri": "http://a", "encoding": json_codec, "auth": {"strategy": "aws"}}),
            "aws",
        ),
        (
            "aws_s3",
            json!({"bucket": "b", "region": "r", "encoding": json_codec, "auth": {"assume_role": "x"}}),
            "assume_role",
        ),
        (
            "aws_s3",
            json!({"bucket": "b", "region": "r", "encoding": json_codec, "key_prefix": "{{ a }}"}),
            "begins with a field",
        ),
        (
            "loki",
            json!({"endpoint": "http://a", "encoding": json_codec, "labels": {}}),
            "label",
        ),
        (
            "elasticsearch",
            json!({"endpoints": ["http://a"], "aws": {"region": "x"}}),
            "AWS",
        ),
        (
            "clickhouse",
            json!({"endpoint": "http://a", "table": "t", "format": "arrow_stream"}),
            "arrow_stream",
        ),
        (
            "vector",
            json!({"address": "a:1", "tls": {"enabled": true, "key_file": "x"}}),
            "`key_file` needs a `crt_file`",
        ),
    ];
    for (kind, config, word) in cases {
        let said = refused(kind, config).await;
        assert!(said.contains(word), "{kind}: {said}");
    }
}

#[tokio::test]
async fn prometheus_sees_what_came() {
    use qd_logs_model::{Batch, Finalizers, Metric, MetricBatch, MetricKind, MetricValue, SinkInput};
    let cx = context();
    let mut said = cx.log.listen();
    let config = json!({"address": "127.0.0.1:0", "default_namespace": "ns",
        "auth": {"strategy": "bearer", "token": "t"}});
    let built = sink_config("prometheus_exporter", config).build(cx).await.unwrap();
    let event = said.try_recv().unwrap();
    let at = event
        .fields
        .iter()
        .find(|(k, _)| *k == "address")
        .unwrap()
        .1
        .to_string_lossy()
        .into_owned();
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    let running = tokio::spawn(built.sink.run(SinkInput::new(Box::new(Channel(rx)))));
    let told = Arc::new(Mutex::new(None));
    let heard = told.clone();
    let metric = Metric {
        name: "hits".to_owned(),
        namespace: None,
        tags: Default::default(),
        timestamp: chrono::DateTime::from_timestamp(1, 0),
        interval_ms: None,
        kind: MetricKind::Incremental,
        value: MetricValue::Counter { value: 2.0 },
    };
    let token = qd_logs_model::Token::new(move |d| *heard.lock() = Some(d));
    let batch = Batch::Metrics(MetricBatch {
        metrics: vec![metric.clone(), metric],
        finalizers: Finalizers::one(token),
    });
    tx.send(batch).await.unwrap();
    until(|| told.lock().is_some()).await;
    assert_eq!(*told.lock(), Some(Delivery::Delivered));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str, token: &str| client.get(format!("http://{at}{path}")).bearer_auth(token).send();
    assert_eq!(get("/metrics", "x").await.unwrap().status(), 401);
    assert_eq!(get("/", "t").await.unwrap().status(), 404);
    let page = get("/metrics", "t").await.unwrap().text().await.unwrap();
    assert_eq!(page, "# HELP ns_hits ns_hits\n# TYPE ns_hits counter\nns_hits 4 1000\n");
    drop(tx);
    running.await.unwrap().unwrap();
}
