//! TLS between the sink `socket` and the sources `socket` and `syslog`, as they are configured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tls/tests/certs/mod.rs"]
mod certs;
mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use certs::Authority;
use qd_logs_model::{Batch, BoxFuture, Inlet, LogBatch, LogEvent, SinkInput, Value};
use serde_json::{Value as Json, json};
use support::{Numbers, Running, context, field};
use tokio::sync::mpsc;

struct Feed(mpsc::Receiver<Batch>);

impl Inlet for Feed {
    fn recv(&mut self) -> BoxFuture<'_, Option<Batch>> {
        Box::pin(self.0.recv())
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn sink_config(port: u16, host: &str, tls: &Json) -> Box<dyn qd_logs_model::SinkConfig> {
    let json = json!({"mode": "tcp", "address": format!("{host}:{port}"), "encoding": {"codec": "text"}, "tls": tls});
    let catalog = qd_logs_local::catalog();
    let entry = catalog.sinks.iter().find(|e| e.name == "socket").unwrap();
    (entry.parse)(&json.into()).unwrap_or_else(|e| panic!("{e}"))
}

/// Sends lines by the sink; gives back the runtime that it runs in, which ends it.
fn send(port: u16, host: &str, tls: &Json, lines: &str) -> tokio::runtime::Runtime {
    let runtime = runtime();
    let built = runtime
        .block_on(sink_config(port, host, tls).build(context("out", &std::env::temp_dir())))
        .unwrap();
    let (input, feed) = mpsc::channel(1);
    let events = lines
        .lines()
        .map(|l| LogEvent::new(Value::from(json!({"message": l}))))
        .collect();
    runtime
        .block_on(input.send(Batch::Logs(LogBatch::events(events))))
        .unwrap_or_else(|_| panic!("it takes no events"));
    runtime.spawn(built.sink.run(SinkInput::new(Box::new(Feed(feed)))));
    runtime
}

/// What the check before the start says.
fn check(port: u16, host: &str, tls: &Json) -> Result<(), String> {
    let runtime = runtime();
    let built = runtime
        .block_on(sink_config(port, host, tls).build(context("out", &std::env::temp_dir())))
        .unwrap();
    runtime.block_on(built.healthcheck)
}

#[test]
fn who_is_trusted_gets_through_and_nobody_else() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let names = ["localhost", "logs.test"];
    let (leaf, late) = (good.leaf(&names), good.expired(&names));
    let serving = |leaf: &certs::Leaf| json!({"enabled": true, "crt_file": leaf.crt, "key_file": leaf.key});
    let mut strict = serving(&leaf);
    strict["verify_certificate"] = json!(true);
    strict["ca_file"] = json!(good.pem);
    let trusting = json!({"enabled": true, "ca_file": good.pem});
    let with = |more: Json| {
        let mut all = trusting.clone();
        for (k, v) in more.as_object().unwrap() {
            all[k] = v.clone();
        }
        all
    };
    let showing = |leaf: certs::Leaf| with(json!({"crt_file": leaf.crt, "key_file": leaf.key}));
    let member = showing(good.leaf(&["somebody"]));
    for (server, host, client, wanted) in [
        (serving(&leaf), "localhost", trusting.clone(), Ok(())),
        (serving(&leaf), "127.0.0.1", trusting.clone(), Err("NotValidForName")),
        (
            serving(&leaf),
            "127.0.0.1",
            with(json!({"verify_hostname": false})),
            Ok(()),
        ),
        (
            serving(&leaf),
            "127.0.0.1",
            with(json!({"server_name": "logs.test"})),
            Ok(()),
        ),
        (
            serving(&leaf),
            "localhost",
            with(json!({"server_name": "other.test"})),
            Err("not valid for name"),
        ),
        (
            serving(&leaf),
            "localhost",
            with(json!({"ca_file": other.pem})),
            Err("UnknownIssuer"),
        ),
        (
            serving(&leaf),
            "localhost",
            json!({"enabled": true, "verify_certificate": false}),
            Ok(()),
        ),
        (serving(&late), "localhost", trusting.clone(), Err("expired")),
        (strict.clone(), "localhost", member.clone(), Ok(())),
        (strict.clone(), "localhost", trusting.clone(), Err("")),
        (strict.clone(), "localhost", showing(other.leaf(&["somebody"])), Err("")),
    ] {
        let (dir, at) = (tempfile::tempdir().unwrap(), free());
        let source = json!({"mode": "tcp", "address": at, "tls": server});
        let run = Running::start("socket", source, dir.path());
        let mut numbers = Numbers::default();
        let sink = send(at.port(), host, &client, &numbers.lines(500));
        match wanted {
            Ok(()) => run.wait_count(500),
            Err(word) => {
                // With TLS 1.3 a client hears only afterwards that its certificate is not good; the source says it then.
                run.wait_counter("component_errors_total", 1);
                assert!(run.events().is_empty());
                if !word.is_empty() {
                    let said = check(at.port(), host, &client).unwrap_err();
                    let same = |text: &str| text.to_lowercase().replace(' ', "");
                    let words = [word, "certificate not valid for name", "certificate expired"];
                    assert!(words.iter().any(|w| same(&said).contains(&same(w))), "{word}: {said}");
                }
                // Others are served all the same.
                let right = if server["verify_certificate"] == true {
                    &member
                } else {
                    &json!({"enabled": true, "verify_certificate": false})
                };
                drop(sink);
                let _other = send(at.port(), "localhost", right, "after it\n");
                run.wait_count(1);
                assert_eq!(run.messages(), ["after it"]);
                run.stop();
                continue;
            }
        }
        drop(sink);
        numbers.check(&run.stop());
    }
}

#[test]
fn syslog_over_tls_with_an_encrypted_key() {
    let good = Authority::new("good");
    let leaf = good.leaf(&["localhost"]);
    let key = pkcs8_encrypted(&leaf.der);
    let (dir, at) = (tempfile::tempdir().unwrap(), free());
    let (key_file, crt_file) = (dir.path().join("key.der"), dir.path().join("crt.pem"));
    std::fs::write(&key_file, key).unwrap();
    std::fs::write(&crt_file, &leaf.crt).unwrap();
    let tls = json!({"enabled": true, "crt_file": crt_file, "key_file": key_file, "key_pass": "secret"});
    let wrong = json!({"enabled": true, "crt_file": crt_file, "key_file": key_file, "key_pass": "other"});
    let refused = Running::try_start(
        "syslog",
        json!({"mode": "tcp", "address": at, "tls": wrong}),
        dir.path(),
    );
    assert!(refused.err().unwrap().contains("the password does not open the key"));
    let mut run = Running::start(
        "syslog",
        json!({"mode": "tcp", "address": at, "tls": tls, "tls_handshake_timeout_secs": 1}),
        dir.path(),
    );
    let trusting = json!({"enabled": true, "ca_file": good.pem});
    let _sink = send(
        at.port(),
        "localhost",
        &trusting,
        "<13>1 2026-01-02T03:04:05Z host app 1 - - hello\n",
    );
    run.wait_count(1);
    assert_eq!(field(&run.events()[0], "message").as_deref(), Some("hello"));
    assert_eq!(field(&run.events()[0], "source_ip").as_deref(), Some("127.0.0.1"));
    // One that speaks no TLS is told so and let go; one that says nothing is let go after its time.
    let mut plain = TcpStream::connect(at).unwrap();
    plain
        .write_all(b"<13>1 2026-01-02T03:04:05Z host app 1 - - in the clear\n")
        .unwrap();
    let mut answer = Vec::new();
    let _reset_or_end = plain.read_to_end(&mut answer);
    assert!(answer.len() < 100 && !answer.starts_with(b"<"), "{answer:?}");
    let mut silent = TcpStream::connect(at).unwrap();
    let _reset_or_end = silent.read_to_end(&mut answer);
    run.wait_counter("component_errors_total", 2);
    let said = run.said();
    assert!(
        said.iter().any(|s| s.contains("TLS handshake") && s.contains("failed")),
        "{said:?}"
    );
    assert!(
        said.iter().any(|s| s.contains("too long for the TLS handshake")),
        "{said:?}"
    );
    assert_eq!(run.stop().len(), 1);
}

fn pkcs8_encrypted(der: &[u8]) -> Vec<u8> {
    use pkcs8::{PrivateKeyInfoRef, pkcs5::pbes2::Parameters};
    let params = Parameters::generate_pbkdf2_sha256_aes256cbc(1000, b"saltsalt", [7; 16]).unwrap();
    PrivateKeyInfoRef::try_from(der)
        .unwrap()
        .encrypt_with_params(params, "secret")
        .unwrap()
        .as_bytes()
        .to_vec()
}
