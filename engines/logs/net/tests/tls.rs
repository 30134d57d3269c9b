//! TLS between our own sinks and sources on the network.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tls/tests/certs/mod.rs"]
mod certs;
mod common;

use std::io::{Read, Write};

use certs::{Authority, Leaf};
use common::*;
use qd_logs_model::telemetry::Reading;
use serde_json::{Value as Json, json};

fn serving(leaf: &Leaf) -> Json {
    json!({"enabled": true, "crt_file": leaf.crt, "key_file": leaf.key})
}

fn and(base: &Json, more: Json) -> Json {
    let mut all = base.clone();
    for (k, v) in more.as_object().unwrap() {
        all[k] = v.clone();
    }
    all
}

fn numbers(out: &Collected) -> Vec<i64> {
    sorted(
        out.values()
            .iter()
            .filter_map(|v| field(v, "n")?.as_integer())
            .collect(),
    )
}

fn http(at: std::net::SocketAddr, host: &str, tls: &Json) -> Json {
    json!({"uri": format!("https://{host}:{}/", at.port()), "encoding": {"codec": "json"}, "framing": {"method": "newline_delimited"},
        "tls": tls, "request": {"retry_attempts": 0}})
}

#[tokio::test]
async fn http_is_verified_on_both_sides() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let names = ["localhost", "logs.test"];
    let (leaf, late) = (good.leaf(&names), good.expired(&names));
    let strict = and(
        &serving(&leaf),
        json!({"verify_certificate": true, "ca_file": good.pem}),
    );
    let trusting = json!({"ca_file": good.pem});
    let showing = |leaf: Leaf| and(&trusting, json!({"crt_file": leaf.crt, "key_file": leaf.key}));
    for (server, host, client, through) in [
        (serving(&leaf), "localhost", trusting.clone(), true),
        (serving(&leaf), "127.0.0.1", trusting.clone(), false),
        (
            serving(&leaf),
            "127.0.0.1",
            and(&trusting, json!({"verify_hostname": false})),
            true,
        ),
        (
            serving(&leaf),
            "127.0.0.1",
            and(&trusting, json!({"server_name": "logs.test"})),
            true,
        ),
        (serving(&leaf), "localhost", json!({"ca_file": other.pem}), false),
        (serving(&leaf), "localhost", json!({"verify_certificate": false}), true),
        // The system's authorities do not know ours.
        (serving(&leaf), "localhost", json!({}), false),
        (serving(&late), "localhost", trusting.clone(), false),
        (
            serving(&late),
            "localhost",
            and(&trusting, json!({"verify_hostname": false})),
            false,
        ),
        (strict.clone(), "localhost", showing(good.leaf(&["me"])), true),
        (strict.clone(), "localhost", trusting.clone(), false),
        (strict.clone(), "localhost", showing(other.leaf(&["me"])), false),
        (strict.clone(), "localhost", showing(good.expired(&["me"])), false),
        (
            and(&serving(&leaf), json!({"alpn_protocols": ["http/1.1"]})),
            "localhost",
            trusting.clone(),
            true,
        ),
    ] {
        let config = json!({"address": "127.0.0.1:0", "decoding": {"codec": "json"}, "tls": server});
        let source = run_source("http_server", config, false).await;
        let at = source.addresses[0];
        let case = format!("{host} {}", client.to_string().len());
        match sink_config("http", http(at, host, &client)).build(context()).await {
            Ok(_) => {
                let ended = run_sink("http", http(at, host, &client), many(300)).await;
                assert_eq!(ended.all_delivered(), through, "{case}");
                let out = source.stop().await;
                let wanted: Vec<i64> = if through { (0..300).collect() } else { Vec::new() };
                assert_eq!(numbers(&out), wanted, "{case}");
            }
            // A machine without any authority refuses the sink that trusts the system's.
            Err(e) => {
                assert!(
                    client == json!({}) && e.message.contains("no authority to trust"),
                    "{}",
                    e.message
                );
                source.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn grpc_and_otlp_speak_it_with_an_encrypted_key() {
    let good = Authority::new("good");
    let leaf = good.leaf(&["localhost"]);
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.der");
    std::fs::write(&key, encrypted(&leaf.der)).unwrap();
    let tls = json!({"enabled": true, "crt_file": leaf.crt, "key_file": key, "key_pass": "secret"});
    let source = run_source("vector", json!({"address": "127.0.0.1:0", "tls": tls}), false).await;
    let at = source.addresses[0].port();
    let trusting = json!({"enabled": true, "ca_file": good.pem});
    let config = json!({"address": format!("https://localhost:{at}"), "tls": trusting});
    sink_config("vector", config.clone())
        .build(context())
        .await
        .unwrap()
        .healthcheck
        .await
        .unwrap();
    assert!(run_sink("vector", config, many(200)).await.all_delivered());
    // Told that it is not to trust it, it says why.
    let stranger = json!({"enabled": true, "ca_file": Authority::new("other").pem});
    let config = json!({"address": format!("https://localhost:{at}"), "tls": stranger});
    let said = sink_config("vector", config)
        .build(context())
        .await
        .unwrap()
        .healthcheck
        .await
        .unwrap_err();
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(numbers(&source.stop().await), (0..200).collect::<Vec<_>>());
    let config =
        json!({"grpc": {"address": "127.0.0.1:0", "tls": tls}, "http": {"address": "127.0.0.1:0", "tls": tls}});
    let source = run_source("opentelemetry", config, false).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(good.pem.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]});
    let answer = client
        .post(format!("https://localhost:{}/v1/logs", source.addresses[1].port()))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_2)
    );
    let out = source.stop().await;
    assert_eq!(field(&out.values()[0], "message"), Some("hello".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_counted_and_does_not_disturb() {
    let good = Authority::new("good");
    let leaf = good.leaf(&["localhost"]);
    let mut cx = context();
    cx.id = "in".into();
    let config = json!({"address": "127.0.0.1:0", "decoding": {"codec": "json"}, "tls": serving(&leaf)});
    let source = run_source_in(cx.clone(), "http_server", config).await;
    let at = source.addresses[0];
    tokio::task::spawn_blocking(move || {
        for bytes in [
            &b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            &[0x16; 5000],
            b"\x16\x03\x01\xff\xff",
            b"",
        ] {
            let mut stream = std::net::TcpStream::connect(at).unwrap();
            stream.write_all(bytes).unwrap();
            // It may be closed already.
            let _reset_or_end = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let _reset_or_end = stream.read_to_end(&mut rest);
            assert!(rest.len() < 100, "{rest:?}");
        }
    })
    .await
    .unwrap();
    let failed = || {
        let all = cx.telemetry.read();
        let errors = all.iter().filter(|(n, ..)| *n == "component_errors_total");
        errors
            .map(|(_, _, r)| match r {
                Reading::Counter(c) => *c,
                _ => 0,
            })
            .sum::<u64>()
    };
    until(|| failed() == 4).await;
    let ended = run_sink("http", http(at, "localhost", &json!({"ca_file": good.pem})), many(100)).await;
    assert!(ended.all_delivered());
    assert_eq!(numbers(&source.stop().await), (0..100).collect::<Vec<_>>());
}

fn encrypted(der: &[u8]) -> Vec<u8> {
    use pkcs8::{PrivateKeyInfoRef, pkcs5::pbes2::Parameters};
    let params = Parameters::generate_pbkdf2_sha256_aes256cbc(1000, b"saltsalt", [7; 16]).unwrap();
    PrivateKeyInfoRef::try_from(der)
        .unwrap()
        .encrypt_with_params(params, "secret")
        .unwrap()
        .as_bytes()
        .to_vec()
}
