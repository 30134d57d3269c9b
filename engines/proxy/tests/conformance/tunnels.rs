//! 6: bytes that are not ours to read.

use std::time::Duration;

use qd_proxy::plan::{Forward, Protocol};

use crate::harness::*;

#[test]
fn each_direction_ends_by_itself() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].protocol = Protocol::Opaque);
    let mut client = front.connect();
    client.send("ping");
    let mut upstream = origin.accept();
    assert_eq!(upstream.exactly(4), b"ping");
    client.half_close();
    assert_eq!(upstream.rest(), "");
    upstream.send("late answer");
    assert_eq!(client.exactly(11), b"late answer");
    drop(upstream);
    assert_eq!(client.rest(), "");
}

#[test]
fn the_upstream_may_end_first() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].protocol = Protocol::Opaque);
    let mut client = front.connect();
    let mut upstream = origin.accept();
    upstream.send("hello");
    upstream.half_close();
    assert_eq!(client.rest(), "hello");
    client.send("late");
    assert_eq!(upstream.exactly(4), b"late");
}

#[test]
fn an_upstream_that_speaks_first_is_heard() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    let mut upstream = origin.accept();
    upstream.send("220 mail.example ready\r\n");
    assert_eq!(client.until("\r\n"), "220 mail.example ready\r\n");
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(upstream.head(), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_slow_client_of_http_is_not_taken_for_something_else() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    // The proxy asks the upstream meanwhile, which does not speak.
    let mut asked = origin.accept();
    for b in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n\r\n" {
        client.send([*b]);
    }
    let head = asked.head();
    assert_eq!(header(&head, "x-slow"), Some("1"));
    asked.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn bytes_that_are_no_http_go_through() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("*1\r\n$4\r\nPING\r\n");
    let mut upstream = origin.accept();
    assert_eq!(upstream.exactly(14), b"*1\r\n$4\r\nPING\r\n");
    upstream.send("+PONG\r\n");
    assert_eq!(client.until("\r\n"), "+PONG\r\n");
}

#[test]
fn an_upgrade_switches_both_ends() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n");
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert_eq!(
        (header(&asked, "connection"), header(&asked, "upgrade")),
        (Some("Upgrade"), Some("websocket"))
    );
    // Bytes of the new protocol right behind the head, in the same piece.
    upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: b\r\n\r\nfirst");
    let told = client.head();
    assert_eq!(
        (header(&told, "connection"), header(&told, "upgrade")),
        (Some("Upgrade"), Some("websocket"))
    );
    assert_eq!(client.exactly(5), b"first");
    client.send([0x81, 0x85, 1, 2, 3]);
    assert_eq!(upstream.exactly(5), [0x81, 0x85, 1, 2, 3]);
    client.half_close();
    assert_eq!(upstream.rest(), "");
    upstream.send("bye");
    drop(upstream);
    assert_eq!(client.rest(), "bye");
}

#[test]
fn a_refused_upgrade_is_an_answer() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.message().1, "no");
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(upstream.head().starts_with("GET /2 "));
}

#[test]
fn a_switch_that_nobody_asked_for_is_502() {
    let (_, told) = round(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    );
    assert_eq!(status(&told), 502);
}

#[test]
fn connect_needs_a_forward_proxy() {
    let answer = refused("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&answer), 403);
}

#[test]
fn connect_reaches_the_host_it_names() {
    let (origin, other) = (Origin::new(), Origin::new());
    let front = front_with(&other, |p| p.listeners[0].forward = Forward::On);
    let mut client = front.connect();
    let to = origin.address;
    client.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\nearly"));
    let mut upstream = origin.accept();
    assert_eq!(status(&client.head()), 200);
    assert_eq!(upstream.exactly(5), b"early");
    upstream.send("hello");
    upstream.half_close();
    assert_eq!(client.rest(), "hello");
    client.send("more");
    assert_eq!(upstream.exactly(4), b"more");
    assert!(!other.was_asked());
}

#[test]
fn an_absolute_target_reaches_its_host_through_a_forward_proxy() {
    let (origin, other) = (Origin::new(), Origin::new());
    let front = front_with(&other, |p| p.listeners[0].forward = Forward::On);
    let mut client = front.connect();
    let to = origin.address;
    client.send(format!(
        "GET http://{to}/a?b HTTP/1.1\r\nHost: lie\r\nProxy-Authorization: x\r\n\r\n"
    ));
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert!(asked.starts_with("GET /a?b HTTP/1.1\r\n"), "{asked}");
    assert_eq!(header(&asked, "host"), Some(to.to_string().as_str()));
    assert_eq!(header(&asked, "proxy-authorization"), None);
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn one_byte_at_a_time_is_a_stream_too() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    for b in b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" {
        client.send([*b]);
    }
    let mut upstream = origin.accept();
    upstream.head();
    assert!(upstream.until("0\r\n\r\n").replace("1\r\n", "").contains('a'));
    for b in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
        upstream.send([*b]);
        std::thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(client.message().1, "ok");
}
