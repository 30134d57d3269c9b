//! 5: what was cut off never looks complete, and a client that leaves takes its request with it.

use crate::harness::*;

fn cut(answer: &str, request: &str) -> (String, bool) {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send(request);
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(answer);
    let head = client.head();
    drop(upstream);
    let well = client.ends_well();
    (head + &client.rest(), well)
}

#[test]
fn a_length_that_is_not_reached_is_not_reached() {
    let (seen, _) = cut(
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(seen.ends_with("hello"), "{seen}");
}

#[test]
fn chunks_without_an_end_have_none() {
    let (seen, _) = cut(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(seen.ends_with("5\r\nhello\r\n"), "{seen}");
}

#[test]
fn an_answer_that_only_the_end_ends_is_reset() {
    let (_, well) = cut(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    );
    assert!(!well, "the client can't tell that something is missing");
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_502() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.accept().head();
    let head = client.head();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (502, Some("upstream-closed"))
    );
}

#[test]
fn a_client_that_leaves_cancels_its_request() {
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
    ] {
        let origin = Origin::new();
        let front = front(&origin);
        let mut client = front.connect();
        client.send(request);
        let mut upstream = origin.accept();
        upstream.head();
        drop(client);
        upstream.rest();
    }
}

#[test]
fn also_in_the_middle_of_an_answer() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
    client.head();
    drop(client);
    upstream.rest();
}
