//! 3: bodies that are not there, answers before the answer, HTTP/1.0.

use crate::harness::*;

#[test]
fn head_204_and_304_have_no_body_whatever_their_length() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let head = client.head();
    assert_eq!(header(&head, "content-length"), Some("1234"));
    client.send("GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: a\r\n\r\n");
    upstream.head();
    upstream.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    assert_eq!(status(&client.head()), 304);
    client.send("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.head();
    upstream.send("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n");
    let head = client.head();
    assert_eq!((status(&head), header(&head, "content-length")), (204, None));
    // The connections are still in step.
    client.send("GET /last HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(upstream.head().starts_with("GET /last "));
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn interim_answers_are_passed_on() {
    let (_, told) = round(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(told, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

#[test]
fn but_not_to_http_1_0() {
    let (_, told) = round(
        "GET / HTTP/1.0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&told), 200);
}

#[test]
fn the_upstream_answers_an_expectation() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let mut upstream = origin.accept();
    assert_eq!(header(&upstream.head(), "expect"), Some("100-continue"));
    upstream.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(status(&client.head()), 100);
    client.send("abc");
    assert_eq!(upstream.exactly(3), b"abc");
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn an_expectation_can_fail_before_the_body() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    let answer = client.rest();
    assert_eq!(status(&answer), 417);
    // Nobody knows whether the body comes, so neither connection is used again.
    assert_eq!(upstream.rest(), "");
}

#[test]
fn an_answer_may_come_before_the_body_ends() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    let (head, body) = client.message();
    assert_eq!((status(&head), body.as_str()), (413, "no"));
}

#[test]
fn http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert!(asked.starts_with("GET / HTTP/1.1\r\n"));
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let answer = client.rest();
    assert!(
        answer.contains("Connection: close\r\n") && answer.ends_with("\r\n\r\nok"),
        "{answer}"
    );
    assert!(!answer.to_lowercase().contains("transfer-encoding"));
}

#[test]
fn http_1_0_may_keep_its_connection() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    let (head, _) = client.message();
    assert_eq!(header(&head, "connection"), Some("keep-alive"));
    client.send("GET /2 HTTP/1.0\r\n\r\n");
    assert!(upstream.head().starts_with("GET /2 "));
    upstream.send(OK);
    assert!(client.rest().ends_with("ok"));
}

#[test]
fn an_upstream_of_http_1_0_ends_its_body_with_the_connection() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.0 200 OK\r\n\r\nhello");
    drop(upstream);
    let head = client.head();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(client.until("0\r\n\r\n"), "5\r\nhello\r\n0\r\n\r\n");
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.accept().head();
}

#[test]
fn large_bodies_pass_both_ways() {
    let origin = Origin::new();
    let front = front(&origin);
    let body: Vec<u8> = (0..3_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut client = front.connect();
    let sent = body.clone();
    let mut writer = Wire::new(client.stream.try_clone().unwrap());
    let thread = std::thread::spawn(move || {
        writer.send(format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            sent.len()
        ));
        writer.send(&sent);
    });
    let mut upstream = origin.accept();
    upstream.head();
    assert!(upstream.exactly(body.len()) == body);
    thread.join().unwrap();
    let back = body.clone();
    let thread = std::thread::spawn(move || {
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for part in back.chunks(70_001) {
            upstream.send(format!("{:x}\r\n", part.len()));
            upstream.send(part);
            upstream.send("\r\n");
        }
        upstream.send("0\r\n\r\n");
        upstream
    });
    client.head();
    let mut got = Vec::new();
    loop {
        let line = client.until("\r\n");
        let n = usize::from_str_radix(line.trim(), 16).unwrap();
        got.extend(client.exactly(n));
        client.exactly(2);
        if n == 0 {
            break;
        }
    }
    assert!(got == body);
    thread.join().unwrap();
}

#[test]
fn an_answer_that_is_early_does_not_cost_the_connection() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    let mut upstream = origin.accept();
    upstream.head();
    assert_eq!(upstream.exactly(5), b"hello");
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
    // The rest comes after the answer, and after it the next request on the same connections.
    client.send("world");
    assert_eq!(upstream.exactly(5), b"world");
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(upstream.head().starts_with("GET /2 "));
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}
