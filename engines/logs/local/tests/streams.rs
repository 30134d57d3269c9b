//! The sources of sockets, programs, descriptors, the journal, panes and the pipeline itself, driven as their senders do.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    path::Path,
    process::Command,
};

use qd_core::{Record, Severity, SourceId};
use qd_logs_local::pane::Hub;
use qd_logs_model::{MetricValue, TagValue, Value};
use serde_json::json;
use support::{Running, at, context, field, message, parse};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// A free address; whoever takes it next does so within this test.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("an address")
}

fn start(ty: &str, config: serde_json::Value) -> (Running, tempfile::TempDir) {
    let d = dir();
    (Running::start(ty, config, d.path()), d)
}

fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut s = TcpStream::connect(address).expect("a connection");
    s.write_all(bytes).expect("a peer");
    s
}

#[test]
fn tcp_lines_know_their_sender() {
    let address = free();
    let (run, _d) = start("socket", json!({"mode": "tcp", "address": address}));
    let one = send(address, b"one\ntwo\nhal");
    run.wait_count(2);
    assert_eq!(run.messages(), ["one", "two"]);
    let port = one.local_addr().expect("an address").port().to_string();
    drop(one);
    // What has no end is a line when the connection has one.
    run.wait_message("hal");
    let e = run.stop();
    assert_eq!(field(&e[0], "host").as_deref(), Some("127.0.0.1"));
    assert_eq!(field(&e[0], "port"), Some(port));
    assert_eq!(field(&e[0], "source_type").as_deref(), Some("socket"));
}

#[test]
fn tcp_with_json_and_a_limit_of_connections() {
    let address = free();
    let (run, _d) = start(
        "socket",
        json!({"mode": "tcp", "address": address, "connection_limit": 1,
        "decoding": {"codec": "json"}}),
    );
    let first = send(address, b"{\"a\": 1}\nno json\n");
    run.wait_count(1);
    let second = send(address, b"{\"a\": 2}\n");
    // The second waits until the first has gone.
    run.wait_counter("component_discarded_events_total", 1);
    assert_eq!(run.events().len(), 1);
    drop(first);
    run.wait_count(2);
    drop(second);
    let e = run.stop();
    assert_eq!(e.iter().filter_map(|e| field(e, "a")).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn strangers_may_not_connect() {
    let address = free();
    let (run, _d) = start(
        "socket",
        json!({"mode": "tcp", "address": address, "permit_origin": ["10.0.0.0/8"]}),
    );
    let _closed = TcpStream::connect(address).and_then(|mut s| s.write_all(b"no\n"));
    run.wait_counter("component_errors_total", 1);
    assert!(run.stop().is_empty());
}

#[test]
fn datagrams_are_messages() {
    let address = free();
    let (run, _d) = start("socket", json!({"mode": "udp", "address": address, "max_length": 20}));
    let s = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    s.send_to(b"one", address).expect("a send");
    s.send_to(b"much longer than twenty bytes", address).expect("a send");
    s.send_to(b"two", address).expect("a send");
    run.wait_message("two");
    assert_eq!(run.counter("component_discarded_events_total"), 1);
    let e = run.stop();
    assert_eq!(e.iter().map(message).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(field(&e[0], "host").as_deref(), Some("127.0.0.1"));
}

#[test]
fn unix_sockets_of_both_kinds() {
    let d = dir();
    let (stream, datagram) = (d.path().join("s"), d.path().join("d"));
    let run = Running::start(
        "socket",
        json!({"mode": "unix_stream", "path": stream, "socket_file_mode": 0o600}),
        d.path(),
    );
    let mode = fs::metadata(&stream).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    UnixStream::connect(&stream)
        .and_then(|mut s| s.write_all(b"a\nb\n"))
        .expect("a send");
    run.wait_count(2);
    // Somebody listens there, so nobody else can.
    let taken = Running::try_start("socket", json!({"mode": "unix_stream", "path": stream}), d.path());
    assert!(taken.map(|_| ()).expect_err("taken").contains("listens"));
    run.stop();
    assert!(!stream.exists(), "the socket goes with the source");
    let run = Running::start("socket", json!({"mode": "unix_datagram", "path": datagram}), d.path());
    let s = UnixDatagram::unbound().expect("a socket");
    s.send_to(b"x", &datagram).expect("a send");
    s.send_to(b"y", &datagram).expect("a send");
    run.wait_count(2);
    assert_eq!(run.stop().iter().map(message).collect::<Vec<_>>(), ["x", "y"]);
}

fn openssl(dir: &Path, args: &[&str]) {
    let done = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("openssl");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn tls_with_and_without_certificates_of_clients() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: there is no openssl program to make certificates with");
        return;
    }
    let d = dir();
    let (key, crt) = (d.path().join("key.pem"), d.path().join("crt.pem"));
    openssl(
        d.path(),
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "crt.pem",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
        ],
    );
    let client = |address: SocketAddr, certificate: bool| {
        let mut c = Command::new("openssl");
        c.args(["s_client", "-quiet", "-no_ign_eof", "-connect", &address.to_string()])
            .current_dir(d.path());
        if certificate {
            c.args(["-cert", "crt.pem", "-key", "key.pem"]);
        }
        c.stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("openssl")
    };
    let address = free();
    let tls = json!({"enabled": true, "crt_file": crt, "key_file": key});
    let (run, _d) = start("socket", json!({"mode": "tcp", "address": address, "tls": tls}));
    let mut c = client(address, false);
    c.stdin
        .as_mut()
        .expect("a pipe")
        .write_all(b"secret\n")
        .expect("a send");
    run.wait_message("secret");
    let _gone = c.kill();
    let _gone = c.wait();
    // Plain text is no handshake.
    let _closed = TcpStream::connect(address).and_then(|mut s| s.write_all(b"plain\n"));
    run.wait_counter("component_errors_total", 1);
    assert_eq!(run.stop().len(), 1);
    for missing in ["crt_file", "key_file"] {
        let mut tls = tls.clone();
        if let Some(t) = tls.as_object_mut() {
            t.remove(missing);
        }
        let e = Running::try_start(
            "socket",
            json!({"mode": "tcp", "address": free(), "tls": tls}),
            d.path(),
        );
        assert!(e.map(|_| ()).expect_err("refused").contains(missing));
    }
    let address = free();
    let tls = json!({"enabled": true, "crt_file": crt, "key_file": key, "ca_file": crt, "verify_certificate": true});
    let (run, _d) = start("socket", json!({"mode": "tcp", "address": address, "tls": tls}));
    let mut c = client(address, false);
    let _closed = c.stdin.as_mut().expect("a pipe").write_all(b"stranger\n");
    run.wait_counter("component_errors_total", 1);
    let _gone = c.kill();
    let _gone = c.wait();
    assert!(run.stop().is_empty());
}

#[test]
fn syslog_of_both_kinds_over_everything() {
    let address = free();
    let (run, _d) = start("syslog", json!({"mode": "tcp", "address": address}));
    let new = "<165>1 2023-10-11T22:14:15.003Z mymachine app 8710 ID47 [a@1 k=\"v\"] hello";
    let counted = format!("{} {new}", new.len());
    let _s = send(
        address,
        format!("{counted}{counted}<34>Oct 11 22:14:15 old su[1]: failed\n").as_bytes(),
    );
    run.wait_count(3);
    let e = run.stop();
    assert_eq!(e.iter().map(message).collect::<Vec<_>>(), ["hello", "hello", "failed"]);
    for (name, v) in [
        ("hostname", "mymachine"),
        ("host", "mymachine"),
        ("appname", "app"),
        ("facility", "local4"),
        ("severity", "notice"),
        ("source_ip", "127.0.0.1"),
        ("source_type", "syslog"),
    ] {
        assert_eq!(field(&e[0], name).as_deref(), Some(v), "{name}");
    }
    assert_eq!(
        at(&e[0], "timestamp").map(|t| t.to_string()).as_deref(),
        Some("t'2023-10-11T22:14:15.003Z'")
    );
    let address = free();
    let (run, _d) = start(
        "syslog",
        json!({"mode": "udp", "address": address, "host_key": "where"}),
    );
    let s = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    s.send_to(new.as_bytes(), address).expect("a send");
    run.wait_count(1);
    assert_eq!(field(&run.stop()[0], "where").as_deref(), Some("mymachine"));
}

#[test]
fn the_logger_program_is_understood() {
    if Command::new("logger").arg("--version").output().is_err() {
        eprintln!("skipped: there is no logger program");
        return;
    }
    let address = free();
    let (run, _d) = start("syslog", json!({"mode": "tcp", "address": address}));
    let port = address.port().to_string();
    for (n, format) in ["--rfc3164", "--rfc5424"].iter().enumerate() {
        let text = format!("over tcp {n}");
        let done = Command::new("logger")
            .args([
                "--tcp",
                "--server",
                "127.0.0.1",
                "--port",
                &port,
                format,
                "--tag",
                "tester",
            ])
            .args(["--priority", "user.err", "--octet-count", &text])
            .status()
            .expect("logger");
        assert!(done.success());
        run.wait_message(&text);
    }
    for e in run.stop() {
        assert_eq!(field(&e, "appname").as_deref(), Some("tester"));
        assert_eq!(field(&e, "severity").as_deref(), Some("err"));
        assert_eq!(field(&e, "facility").as_deref(), Some("user"));
    }
}

#[test]
fn programs_are_run_once_in_a_while() {
    let (run, _d) = start(
        "exec",
        json!({"mode": "scheduled", "scheduled": {"exec_interval_secs": 1},
        "command": ["sh", "-c", "echo out $WORD; echo err >&2"], "environment": {"WORD": "given"}}),
    );
    run.wait_count(4);
    let e = run.stop();
    let of = |stream: &str| {
        e.iter()
            .find(|e| field(e, "stream").as_deref() == Some(stream))
            .map(message)
    };
    assert_eq!(of("stdout").as_deref(), Some("out given"));
    assert_eq!(of("stderr").as_deref(), Some("err"));
    assert_eq!(
        at(&e[0], "command[0]")
            .map(|v| v.to_string_lossy().into_owned())
            .as_deref(),
        Some("sh")
    );
    assert!(at(&e[0], "pid").is_some_and(Value::is_integer));
    assert_eq!(field(&e[0], "host").as_deref(), Some("testhost"));
}

#[test]
fn programs_are_run_again_when_they_end() {
    let d = dir();
    let config = json!({"mode": "streaming", "streaming": {"respawn_interval_secs": 0}, "include_stderr": false,
        "command": ["sh", "-c", "pwd; echo err >&2"], "working_directory": d.path(), "clear_environment": true,
        "environment": {"PATH": "/usr/bin:/bin"}});
    let run = Running::start("exec", config, d.path());
    run.wait_count(3);
    let here = d.path().to_string_lossy().into_owned();
    assert!(run.stop().iter().all(|e| message(e) == here));
    let config = json!({"mode": "streaming", "streaming": {"respawn_on_exit": false}, "command": ["echo", "once"]});
    let run = Running::start("exec", config, d.path());
    let (end, events) = run.finish();
    assert!(end.is_ok());
    assert_eq!(events.len(), 1);
    let run = Running::start(
        "exec",
        json!({"mode": "streaming", "command": ["/no/such/program"]}),
        d.path(),
    );
    run.wait_counter("component_errors_total", 1);
    run.stop();
}

#[test]
fn the_whole_process_group_ends_with_the_source() {
    let d = dir();
    // The shell waits for a child that would outlive it.
    let config = json!({"mode": "streaming", "command": ["sh", "-c", "sleep 1000 & echo $!; wait"]});
    let run = Running::start("exec", config, d.path());
    run.wait_count(1);
    let pid = run.messages()[0].clone();
    let proc = format!("/proc/{pid}/stat");
    assert!(Path::new(&proc).exists());
    run.stop();
    // It may be a zombie for as long as nobody asks for it.
    let gone = || fs::read_to_string(&proc).map_or(true, |s| s.contains(") Z "));
    let begin = std::time::Instant::now();
    while !gone() {
        assert!(begin.elapsed().as_secs() < 60, "{pid} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_descriptor_is_read_to_its_end() {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let (run, _d) = start("file_descriptor", json!({"fd": reader.as_raw_fd(), "max_length": 5}));
    let mut w = fs::File::from(writer);
    w.write_all(b"one\nmuch too long\ntwo").expect("a reader");
    drop(w);
    let (end, events) = run.finish();
    assert!(end.is_ok());
    assert_eq!(events.iter().map(message).collect::<Vec<_>>(), ["one", "two"]);
}

#[cfg(unix)]
fn fake_journal(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("journalctl");
    // Writes its arguments down, then gives entries behind the cursor it is asked for, and stays.
    let script = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "systemd 249 (249.1)"; exit; fi
echo "$@" >> "$(dirname "$0")/asked"
from=1
for a in "$@"; do case "$a" in --after-cursor=c*) from=$((${a#--after-cursor=c} + 1));; esac; done
for i in 1 2 3 4 5; do
  [ $i -ge $from ] && echo "{\"__CURSOR\":\"c$i\",\"MESSAGE\":\"m$i\",\"_HOSTNAME\":\"h\",\"PRIORITY\":\"6\",\"_SYSTEMD_UNIT\":\"u$((i % 2)).service\",\"__REALTIME_TIMESTAMP\":\"1700000000000000\"}"
done
[ $from -le 6 ] && printf '{"__CURSOR":"c6","MESSAGE":[104,105,255]}\n'
exec sleep 1000
"#;
    fs::write(&path, script).expect("room");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

#[test]
fn the_journal_goes_on_behind_its_cursor() {
    let d = dir();
    let path = fake_journal(d.path());
    let run = Running::start("journald", json!({"journalctl_path": path}), d.path());
    run.wait_count(6);
    let e = run.stop();
    assert_eq!(message(&e[0]), "m1");
    assert_eq!(message(&e[5]), "hi\u{fffd}");
    assert_eq!(field(&e[0], "host").as_deref(), Some("h"));
    assert_eq!(field(&e[0], "PRIORITY").as_deref(), Some("6"));
    assert_eq!(field(&e[0], "__CURSOR"), None);
    assert_eq!(
        at(&e[0], "timestamp").map(|t| t.to_string()).as_deref(),
        Some("t'2023-11-14T22:13:20Z'")
    );
    let saved = fs::read_to_string(d.path().join("in/checkpoint.txt")).expect("a cursor");
    assert_eq!(saved.trim(), "c6");
    // Asked for what comes behind, and nothing comes.
    let run = Running::start(
        "journald",
        json!({"journalctl_path": path, "extra_args": ["--merge"]}),
        d.path(),
    );
    let asked = d.path().join("asked");
    run.wait_until("the second start", || {
        fs::read_to_string(&asked).unwrap_or_default().lines().count() == 2
    });
    assert!(run.stop().is_empty());
    let asked = fs::read_to_string(asked).expect("arguments");
    assert_eq!(
        asked.lines().collect::<Vec<_>>(),
        [
            "--follow --all --show-cursor --output=json --boot --since=2000-01-01",
            "--follow --all --show-cursor --output=json --boot --after-cursor=c6 --merge"
        ]
    );
}

#[test]
fn the_journal_is_filtered() {
    let d = dir();
    let path = fake_journal(d.path());
    let config = json!({"journalctl_path": path, "include_units": ["u1"], "exclude_matches": {"MESSAGE": ["m3"]},
        "emit_cursor": true, "remap_priority": true});
    let run = Running::start("journald", config, d.path());
    run.wait_count(2);
    // The entries that were left out move the cursor too.
    run.wait_until("the cursor", || {
        fs::read_to_string(d.path().join("in/checkpoint.txt")).is_ok_and(|c| c.trim() == "c6")
    });
    let e = run.stop();
    assert_eq!(e.iter().map(message).collect::<Vec<_>>(), ["m1", "m5"]);
    assert_eq!(field(&e[0], "__CURSOR").as_deref(), Some("c1"));
    assert_eq!(field(&e[0], "PRIORITY").as_deref(), Some("INFO"));
    let both = json!({"journalctl_path": path, "include_units": ["a"], "exclude_units": ["a"]});
    assert!(Running::try_start("journald", both, d.path()).is_err());
    let none = Running::try_start("journald", json!({"journalctl_path": "/no/journalctl"}), d.path());
    assert!(none.map(|_| ()).expect_err("refused").contains("/no/journalctl"));
}

#[test]
fn demo_lines_of_every_format() {
    for (format, codec) in [
        ("json", "json"),
        ("syslog", "syslog"),
        ("bsd_syslog", "syslog"),
        ("rfc3164", "syslog"),
        ("apache_common", "bytes"),
        ("apache_error", "bytes"),
    ] {
        let (run, _d) = start(
            "demo_logs",
            json!({"format": format, "count": 300, "interval": 0,
            "decoding": {"codec": codec}}),
        );
        let failed = run.cx.telemetry.clone();
        let (_, events) = run.finish();
        assert_eq!(events.len(), 300, "{format}");
        assert!(
            failed.read().iter().all(|(n, ..)| *n != "component_errors_total"),
            "{format}"
        );
    }
    let (run, _d) = start(
        "demo_logs",
        json!({"format": "shuffle", "lines": ["a"], "sequence": true, "count": 600,
        "interval": 0}),
    );
    let (_, events) = run.finish();
    assert_eq!(message(&events[599]), "599 a");
    assert_eq!(field(&events[0], "service").as_deref(), Some("vector"));
    let few = parse("demo_logs", json!({"format": "shuffle"}))
        .map(|_| ())
        .expect_err("refused");
    assert!(few.contains("lines"));
    assert!(
        parse("demo_logs", json!({"format": "jsn"}))
            .map(|_| ())
            .expect_err("refused")
            .contains("`json`")
    );
}

#[test]
fn the_pipeline_speaks_of_itself() {
    let d = dir();
    let cx = context("in", d.path());
    let log = cx.log.component("other");
    let run = Running::with(cx, "internal_logs", json!({})).expect("a source");
    log.say(Severity::Warn, "something", vec![("count", Value::Integer(3))]);
    run.wait_message("something");
    let e = run.stop();
    let text = |path: &str| at(&e[0], path).map(|v| v.to_string_lossy().into_owned());
    assert_eq!(text("metadata.level").as_deref(), Some("WARN"));
    assert_eq!(text("vector.component_id").as_deref(), Some("other"));
    assert_eq!(text("count").as_deref(), Some("3"));
    assert_eq!(text("pid"), Some(std::process::id().to_string()));
}

#[test]
fn the_pipeline_counts_itself() {
    let d = dir();
    let cx = context("in", d.path());
    cx.telemetry
        .component("x", "sink", "blackhole")
        .counter("component_sent_events_total")
        .add(5);
    let config = json!({"scrape_interval_secs": 0.05, "namespace": "own", "tags": {"pid_key": "pid"}});
    let run = Running::with(cx, "internal_metrics", config).expect("a source");
    run.wait_until("a metric", || {
        run.metrics().iter().any(|m| m.name == "component_sent_events_total")
    });
    let m = run
        .metrics()
        .into_iter()
        .find(|m| m.name == "component_sent_events_total")
        .expect("the metric");
    run.stop();
    assert_eq!(m.value, MetricValue::Counter { value: 5.0 });
    assert_eq!(m.namespace.as_deref(), Some("own"));
    assert_eq!(m.tags.get("component_id"), Some(&TagValue::One("x".to_owned())));
    assert_eq!(m.tags.get("host"), Some(&TagValue::One("testhost".to_owned())));
    assert!(m.tags.contains_key("pid"));
}

#[test]
fn a_pane_is_a_source() {
    let (run, _d) = start("pane", json!({"channel": "streams-test"}));
    let source = SourceId::new("vm-1");
    let record = Record::build(&source, Default::default(), Severity::Error)
        .field("http.status", 500)
        .body("it broke")
        .finish();
    Hub::global().publish("streams-test", record);
    run.wait_message("it broke");
    let e = run.stop();
    assert_eq!(field(&e[0], "level").as_deref(), Some("error"));
    assert_eq!(field(&e[0], "pane").as_deref(), Some("vm-1"));
    assert_eq!(at(&e[0], "http.status"), Some(&Value::Integer(500)));
}
