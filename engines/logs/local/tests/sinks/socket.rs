//! The socket sink.

use std::time::Duration;

use qd_logs_codecs::framing::{ChunkedGelf, ChunkedGelfOptions};
use qd_logs_model::Delivery;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, UdpSocket, UnixDatagram, UnixListener},
};

use crate::{batch, build, context, counter, start, until};

fn n(i: usize) -> serde_json::Value {
    json!({"message": format!("line {i}")})
}

async fn limit<T>(f: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), f).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_goes_on_where_a_connection_ended() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let config = json!({"mode": "tcp", "address": address, "encoding": {"codec": "text"},
        "keepalive": {"time_secs": 60}, "send_buffer_bytes": 65536, "surprise": 1});
    let sink = start("socket", config).await;
    for round in 0..3 {
        let first = sink.send(batch((0..100).map(|i| n(round * 100 + i)))).await;
        let (stream, _) = limit(server.accept()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        for i in 0..100 {
            let line = limit(lines.next_line()).await.unwrap().unwrap();
            assert_eq!(line, format!("line {}", round * 100 + i));
        }
        until(|| first.lock().is_some()).await;
        assert_eq!(*first.lock(), Some(Delivery::Delivered));
        // The server goes; what comes next goes over the next connection.
        drop(lines);
    }
    let cx = sink.cx.clone();
    let last = sink.send(batch([n(300)])).await;
    let (mut stream, _) = limit(server.accept()).await.unwrap();
    until(|| last.lock().is_some()).await;
    sink.end().await;
    let mut rest = String::new();
    limit(stream.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "line 300\n");
    assert_eq!(counter(&cx, "component_sent_events_total"), 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_break_within_a_batch_cuts_no_event() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let sink = start(
        "socket",
        json!({"mode": "tcp", "address": address, "encoding": {"codec": "json"}}),
    )
    .await;
    // More than the kernel's buffers hold, so that the write is still under way when the peer goes.
    let text = "x".repeat(64 * 1024);
    let total = 1000;
    let cell = sink
        .send(batch((0..total).map(|i| json!({"message": text, "n": i}))))
        .await;
    let (mut stream, _) = limit(server.accept()).await.unwrap();
    let mut some = vec![0; 1_000_000];
    limit(stream.read_exact(&mut some)).await.unwrap();
    drop(stream);
    let (stream, _) = limit(server.accept()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = None;
    while next != Some(total) {
        let line = limit(lines.next_line()).await.unwrap().unwrap();
        let v: serde_json::Value = serde_json::from_str(&line).unwrap();
        let i = v["n"].as_u64().unwrap();
        assert!(next.is_none_or(|n| n == i), "{i} after {next:?}");
        next = Some(i + 1);
    }
    until(|| cell.lock().is_some()).await;
    assert_eq!(*cell.lock(), Some(Delivery::Delivered));
    sink.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_is_waited_for() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let config = json!({"mode": "tcp", "address": address.to_string(), "encoding": {"codec": "text"}});
    let check = build(&context(), "socket", config.clone())
        .await
        .unwrap()
        .healthcheck
        .await;
    assert!(check.is_err());
    let sink = start("socket", config).await;
    let cell = sink.send(batch([n(0)])).await;
    let cx = sink.cx.clone();
    until(|| counter(&cx, "component_errors_total") >= 1).await;
    assert_eq!(*cell.lock(), None);
    let server = TcpListener::bind(address).await.unwrap();
    let (stream, _) = limit(server.accept()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(limit(lines.next_line()).await.unwrap().unwrap(), "line 0");
    sink.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_sends_each_event_by_itself() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let sink = start(
        "socket",
        json!({"mode": "udp", "address": address, "encoding": {"codec": "text"}}),
    )
    .await;
    assert_eq!(sink.deliver(batch([n(0), n(1)])).await, Delivery::Delivered);
    let mut buffer = vec![0; 70_000];
    for i in 0..2 {
        let len = limit(server.recv(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..len], format!("line {i}").as_bytes());
    }
    let long = json!({"message": "x".repeat(70_000)});
    assert_eq!(sink.deliver(batch([long, n(2)])).await, Delivery::Errored);
    let len = limit(server.recv(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"line 2");
    let cx = sink.end().await;
    assert_eq!(counter(&cx, "component_discarded_events_total"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn gelf_is_cut_into_datagrams() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let config = json!({"mode": "udp", "address": address,
        "encoding": {"codec": "gelf", "gelf": {"max_chunk_size": 100}}});
    let sink = start("socket", config).await;
    let event = json!({"host": "h", "message": "y".repeat(1000)});
    assert_eq!(sink.deliver(batch([event])).await, Delivery::Delivered);
    let mut whole = ChunkedGelf::new(ChunkedGelfOptions::default());
    let mut buffer = vec![0; 70_000];
    let message = loop {
        let len = limit(server.recv(&mut buffer)).await.unwrap();
        assert!(len <= 100);
        if let Some(m) = whole.datagram(buffer[..len].to_vec().into()).unwrap() {
            break m;
        }
    };
    let v: serde_json::Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(v["short_message"].as_str().unwrap().len(), 1000);
    sink.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unix_sockets_are_reached() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stream");
    let server = UnixListener::bind(&path).unwrap();
    let config = json!({"mode": "unix", "path": path.to_str().unwrap(), "encoding": {"codec": "text"},
        "framing": {"method": "character_delimited", "character_delimited": {"delimiter": "|"}}});
    let sink = start("socket", config).await;
    sink.send(batch([n(0), n(1)])).await;
    let (mut stream, _) = limit(server.accept()).await.unwrap();
    sink.end().await;
    let mut text = String::new();
    limit(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "line 0|line 1|");

    let path = dir.path().join("datagram");
    let config = json!({"mode": "unix_datagram", "path": path.to_str().unwrap(), "encoding": {"codec": "text"},
        "framing": {"method": "bytes"}});
    let sink = start("socket", config).await;
    let cell = sink.send(batch([n(0)])).await;
    let cx = sink.cx.clone();
    // Nobody is there yet.
    until(|| counter(&cx, "component_errors_total") >= 1).await;
    assert_eq!(*cell.lock(), None);
    let server = UnixDatagram::bind(&path).unwrap();
    let mut buffer = vec![0; 100];
    let len = limit(server.recv(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"line 0");
    sink.end().await;
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let cx = context();
    for (json, word) in [
        (
            json!({"mode": "tpc", "address": "a:1", "encoding": {"codec": "text"}}),
            "did you mean `tcp`",
        ),
        (
            json!({"mode": "tcp", "address": "nowhere", "encoding": {"codec": "text"}}),
            "host:port",
        ),
        (
            json!({"mode": "tcp", "encoding": {"codec": "text"}}),
            "missing key `address`",
        ),
        (json!({"mode": "udp", "address": "a:1"}), "missing key `encoding`"),
        (
            json!({"mode": "tcp", "address": "a:1", "encoding": {"codec": "text"}, "tls": {"enable": true}}),
            "enable",
        ),
        (
            json!({"mode": "tcp", "address": "a:1", "encoding": {"codec": "text"}, "tls": {"enabled": true, "ca_file": "/nowhere"}}),
            "`/nowhere` can't be read",
        ),
        (
            json!({"mode": "tcp", "address": "a:1", "encoding": {"codec": "text"}, "tls": {"enabled": true, "key_file": "x"}}),
            "`key_file` needs a `crt_file`",
        ),
    ] {
        let e = build(&cx, "socket", json).await.err().unwrap();
        assert!(e.message.contains(word), "{}: {word}", e.message);
    }
}
