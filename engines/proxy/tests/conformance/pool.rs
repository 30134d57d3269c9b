//! 9: connections that are kept.

use qd_proxy::{Plan, plan::Bind};

use crate::harness::*;

#[test]
fn a_connection_serves_many_clients() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut upstream = None;
    for n in 0..5 {
        let mut client = front.connect();
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        assert!(upstream.head().starts_with(&format!("GET /{n} ")));
        upstream.send(OK);
        assert_eq!(client.message().1, "ok");
    }
    assert!(!origin.was_asked());
    assert_eq!(front.proxy.snapshot().endpoints[0].connects, 1);
}

#[test]
fn not_after_a_body_that_was_not_read() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    // More than was announced: whatever follows can't be told from an answer.
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    assert_eq!(client.message().1, "ok");
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut second = origin.accept();
    second.head();
    second.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_not_the_clients_business() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    client.message();
    // It is closed at the moment the next request comes.
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.head();
    drop(upstream);
    let mut second = origin.accept();
    assert!(second.head().starts_with("GET /2 "));
    second.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn but_what_may_have_had_an_effect_is_not_sent_twice() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    client.message();
    client.send("POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    upstream.head();
    drop(upstream);
    assert_eq!(status(&client.head()), 502);
    assert!(!origin.was_asked());
}

#[test]
fn connections_to_an_endpoint_that_is_removed_are_closed() {
    let (old, new) = (Origin::new(), Origin::new());
    let mut plan = plan(&[&old]);
    let front = start(&plan);
    plan.listeners[0].bind = Bind::Tcp("127.0.0.1:0".parse().unwrap());
    let mut client = front.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut kept = old.accept();
    kept.head();
    kept.send(OK);
    client.message();
    eventually("kept", || front.proxy.snapshot().endpoints[0].idle == 1);
    plan.clusters[0].endpoints = vec![(new.endpoint(), 1)];
    let changes = front.proxy.apply(&plan).unwrap();
    assert_eq!(changes.removed_endpoints, 1);
    assert_eq!(kept.rest(), "");
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = new.accept();
    assert!(upstream.head().starts_with("GET /2 "));
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn retries_take_another_endpoint_with_the_same_body() {
    let (bad, good) = (Origin::new(), Origin::new());
    let mut plan: Plan = plan(&[&bad, &good]);
    plan.listeners[0].routes[0].retry.policy.attempts = 1;
    plan.listeners[0].routes[0].retry.policy.statuses = vec![503..=503];
    let front = start(&plan);
    let mut client = front.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    // Whichever is asked first fails.
    let (mut first, other) = loop {
        if let Some(wire) = bad.try_accept(std::time::Duration::from_millis(5)) {
            break (wire, &good);
        }
        if let Some(wire) = good.try_accept(std::time::Duration::from_millis(5)) {
            break (wire, &bad);
        }
    };
    first.message();
    first.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    let mut second = other.accept();
    assert_eq!(second.message().1, "hello");
    second.send(OK);
    assert_eq!(client.message().1, "ok");
    eventually("counted", || front.proxy.snapshot().totals.retries == 1);
}
