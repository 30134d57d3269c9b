//! 7: nobody waits for ever.

use std::time::Duration;

use crate::harness::*;

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_head_must_come_in_time() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].bounds.head_timeout = SHORT);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nA");
    let answer = client.rest();
    assert_eq!(status(&answer), 408);
    assert!(answer.contains("slow-client"));
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].bounds.idle_timeout = SHORT);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    client.message();
    assert_eq!(client.rest(), "");
}

#[test]
fn a_silent_client_is_not_kept_for_ever() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.listeners[0].opaque = None;
        p.listeners[0].bounds.detect_timeout = SHORT;
    });
    let mut client = front.connect();
    assert_eq!(client.rest(), "");
    assert_eq!(front.proxy.snapshot().totals.detect_timeouts, 1);
}

#[test]
fn a_silent_upstream_is_504() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].routes[0].timeout = Some(SHORT));
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let head = client.head();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (504, Some("timeout"))
    );
    assert_eq!(upstream.rest(), "");
}

#[test]
fn an_attempt_has_its_own_time() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].routes[0].attempt_timeout = Some(SHORT));
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let _upstream = origin.accept();
    let head = client.head();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (504, Some("upstream-timeout"))
    );
}

#[test]
fn silence_within_an_answer_ends_it() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].bounds.idle_timeout = SHORT);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    client.head();
    assert_eq!(client.rest(), "abc");
}

#[test]
fn a_connection_that_does_not_come_about_is_502_or_504() {
    let origin = Origin::new();
    let address = origin.address;
    let front = front(&origin);
    drop(origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = client.message();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (502, Some("connect"))
    );
    assert!(
        !body.contains(&address.port().to_string()),
        "the answer tells where the upstream is: {body}"
    );
}

#[test]
fn grpc_hears_of_it_in_its_own_words() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].routes[0].timeout = Some(SHORT));
    let mut client = front.connect();
    client.send("POST /s/m HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n");
    let _upstream = origin.accept();
    let head = client.head();
    assert_eq!((status(&head), header(&head, "grpc-status")), (200, Some("4")));
    assert_eq!(header(&head, "content-type"), Some("application/grpc"));
}
