//! The source `docker_logs` against a daemon of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use common::*;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use qd_logs_model::Value;
use serde_json::json;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// These bytes, and then nothing for ever or the end.
fn body(parts: Vec<Vec<u8>>, stays: bool) -> Body {
    let parts = stream::iter(parts.into_iter().map(|p| Ok(Frame::data(Bytes::from(p)))));
    match stays {
        true => StreamBody::new(parts.chain(stream::pending())).boxed_unsync(),
        false => StreamBody::new(parts).boxed_unsync(),
    }
}

/// A frame of Docker's stream of both outputs.
fn frame(output: u8, text: &str) -> Vec<u8> {
    let mut out = vec![output, 0, 0, 0];
    out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.bytes());
    out
}

fn at(n: u32) -> String {
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1) + chrono::TimeDelta::milliseconds(n.into());
    later.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

#[tokio::test]
async fn lines_of_wanted_containers_come_whole_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let lines: Arc<Vec<Vec<u8>>> = Arc::new(vec![
        frame(1, "2001-01-01T00:00:00Z before the start\n"),
        frame(1, &format!("{} one\n", at(1))),
        frame(1, &format!("{} begin, ", at(2))),
        frame(2, &format!("{} error\r\n", at(3))),
        frame(1, &format!("{} end\n", at(4))),
    ]);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, lines) = (seen.clone(), lines.clone());
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let path = request.uri().path().to_owned();
                // A version may stand before it.
                let path = path.trim_start_matches('/');
                let path = match path.strip_prefix("v1.") {
                    Some(rest) => rest.split_once('/').unwrap().1.to_owned(),
                    None => path.to_owned(),
                };
                seen.lock().push(path.clone());
                let times = seen.lock().iter().filter(|p| **p == path).count();
                let labels = json!({"team": "x"});
                let answer = match path.as_str() {
                    "events" => {
                        let started = json!({"Type": "container", "Action": "start", "Actor": {"ID": "c3",
                            "Attributes": {"name": "web-3", "image": "img:1"}}});
                        body(vec![format!("{started}\n").into_bytes()], true)
                    }
                    "containers/json" => {
                        let all = json!([{"Id": "c1", "Names": ["/web-1"], "Image": "img:1"},
                            {"Id": "c2", "Names": ["/db"], "Image": "img:1"}]);
                        body(vec![all.to_string().into_bytes()], false)
                    }
                    "containers/c1/json" | "containers/c3/json" => {
                        let name = path.replace("containers/c", "/web-").replace("/json", "");
                        let asked = seen.lock().iter().filter(|p| *p == "containers/c1/logs").count();
                        let running = path == "containers/c1/json" && asked == 1;
                        let about = json!({"Id": "x", "State": {"Running": running}, "Name": name, "Created": "2024-01-02T03:04:05Z",
                            "Config": {"Image": "img:1", "Labels": labels}});
                        body(vec![about.to_string().into_bytes()], false)
                    }
                    "containers/c1/logs" => match times {
                        // The first stream breaks off in the middle of a frame; the second has all again.
                        1 => body(vec![lines[..2].concat(), vec![1, 0, 0, 0, 0, 0, 0, 99, b'x']], false),
                        _ => body((*lines).clone(), false),
                    },
                    "containers/c3/logs" => body(vec![frame(1, &format!("{} three\n", at(9)))], false),
                    other => panic!("{other}"),
                };
                async move {
                    let mut response = http::Response::new(answer);
                    let kind = "application/vnd.docker.multiplexed-stream".parse().unwrap();
                    if path.ends_with("/logs") {
                        response.headers_mut().insert("content-type", kind);
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(async move {
                let _ended = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let config = json!({"docker_host": format!("unix://{}", socket.display()), "include_containers": ["web"],
        "retry_backoff_secs": 1});
    let source = run_source("docker_logs", config, false).await;
    let out = source.out.clone();
    until(|| out.values().len() >= 4).await;
    let mut values = source.stop().await.values();
    values.sort_by_key(|v| field(v, "timestamp").map(|t| t.to_string()));
    let messages: Vec<_> = values.iter().map(|v| field(v, "message").unwrap()).collect();
    assert_eq!(messages, ["one", "error", "begin, end", "three"].map(Value::from));
    let first = &values[0];
    for (name, wanted) in [
        ("container_id", "c1"),
        ("container_name", "web-1"),
        ("image", "img:1"),
        ("stream", "stdout"),
        ("source_type", "docker_logs"),
        ("host", "here"),
    ] {
        assert_eq!(field(first, name), Some(Value::from(wanted)), "{name}");
    }
    assert_eq!(field(&values[1], "stream"), Some(Value::from("stderr")));
    assert!(matches!(
        field(first, "container_created_at"),
        Some(Value::Timestamp(_))
    ));
    assert!(!asked.lock().iter().any(|p| p.contains("c2")));
}
