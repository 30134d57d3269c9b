//! 8: bounds.

use crate::harness::*;

#[test]
fn heads_have_a_largest_size() {
    let answer = refused(format!(
        "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "b".repeat(70_000)
    ));
    assert_eq!(status(&answer), 431);
    let answer = refused(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200)));
    assert_eq!(status(&answer), 431);
    let answer = refused(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "b".repeat(70_000)));
    assert!([414, 431].contains(&status(&answer)));
}

#[test]
fn so_have_bodies_if_the_plan_says_so() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].bounds.body = Some(10));
    let mut client = front.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(status(&client.rest()), 413);
    assert!(!origin.was_asked());
    let mut client = front.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n");
    assert_eq!(status(&client.rest()), 413);
}

#[test]
fn one_address_has_so_many_connections() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.listeners[0].bounds.per_address = 2;
        p.listeners[0].opaque = None;
    });
    let kept: Vec<Wire> = (0..2).map(|_| front.connect()).collect();
    eventually("two connections", || front.proxy.snapshot().connection_count == 2);
    let mut third = front.connect();
    assert_eq!(third.rest(), "");
    drop(kept);
    eventually("room again", || front.proxy.snapshot().connection_count == 0);
    let mut fourth = front.connect();
    fourth.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    assert_eq!(fourth.message().1, "ok");
    assert_eq!(front.proxy.snapshot().listeners[0].refused, 1);
}

#[test]
fn a_flood_of_interim_answers_ends() {
    let (_, told) = round(
        "GET / HTTP/1.0\r\n\r\n",
        &"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100),
    );
    assert_eq!(status(&told), 502);
}

#[test]
fn an_upstream_has_so_many_connections() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.clusters[0].connections = 1;
        p.clusters[0].failfast = std::time::Duration::from_millis(60);
    });
    let mut first = front.connect();
    first.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let mut second = front.connect();
    second.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = second.head();
    assert_eq!((status(&head), header(&head, "l5d-proxy-error")), (503, Some("shed")));
    upstream.send(OK);
    assert_eq!(first.message().1, "ok");
    // With room again, the next one is served over the same connection.
    let mut third = front.connect();
    third.send("GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(upstream.head().starts_with("GET /3 "));
}
