//! 10: headers and targets arrive as they were sent.

use qd_proxy::plan::Network;

use crate::harness::*;

#[test]
fn order_case_and_bytes_are_kept() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send(&b"GET /a%2Fb//../c?x=%20&y HTTP/1.1\r\nhOST: Ex.Ample:80\r\nX-B: 2\r\nx-a: \xe9\xff\r\nX-b: 3\r\nE:\r\n\r\n"[..]);
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert!(
        asked.starts_with(
            "GET /a%2Fb//../c?x=%20&y HTTP/1.1\r\nhOST: Ex.Ample:80\r\nX-B: 2\r\nx-a: \u{e9}\u{ff}\r\nX-b: 3\r\nE: \r\n"
        ),
        "{asked}"
    );
    upstream.send(
        &b"HTTP/1.1 299 Odd \xe9\r\nSET-cookie: a\r\nX-Z: \xff\r\nset-Cookie: b\r\nContent-Length: 0\r\n\r\n"[..],
    );
    let told = client.head();
    assert!(
        told.starts_with("HTTP/1.1 299 Odd \u{e9}\r\nSET-cookie: a\r\nX-Z: \u{ff}\r\nset-Cookie: b\r\n"),
        "{told}"
    );
}

#[test]
fn a_stranger_does_not_say_where_it_comes_from() {
    let (asked, _) = round(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\n\r\n",
        OK,
    );
    assert_eq!(headers(&asked, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(headers(&asked, "x-forwarded-proto"), ["http"]);
    assert_eq!(headers(&asked, "x-forwarded-host"), ["x"]);
    assert_eq!(header(&asked, "forwarded"), None);
}

#[test]
fn a_trusted_proxy_does() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.listeners[0].trusted = vec![Network {
            address: "127.0.0.0".parse().unwrap(),
            bits: 8,
        }];
    });
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nVia: 1.0 a\r\n\r\n");
    let asked = origin.accept().head();
    assert_eq!(headers(&asked, "x-forwarded-for"), ["6.6.6.6, 127.0.0.1"]);
    assert_eq!(headers(&asked, "x-forwarded-proto"), ["https"]);
    assert_eq!(headers(&asked, "forwarded"), ["for=6.6.6.6, for=127.0.0.1;proto=http"]);
    assert!(header(&asked, "via").unwrap().starts_with("1.0 a, 1.1 qd-"));
}

#[test]
fn a_request_that_comes_round_is_a_loop() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    let via = header(&upstream.head(), "via").unwrap().to_owned();
    upstream.send(OK);
    client.message();
    client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nVia: {via}\r\n\r\n"));
    let head = client.head();
    assert_eq!((status(&head), header(&head, "l5d-proxy-error")), (508, Some("loop")));
}

#[test]
fn an_absolute_target_is_a_path_for_a_reverse_proxy() {
    let (asked, _) = round("GET http://h.example:81/a HTTP/1.1\r\nHost: other\r\n\r\n", OK);
    assert!(
        asked.starts_with("GET /a HTTP/1.1\r\nHost: h.example:81\r\n"),
        "{asked}"
    );
}

#[test]
fn options_may_ask_about_everything() {
    let (asked, _) = round("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", OK);
    assert!(asked.starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn no_route_is_404() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.listeners[0].routes[0].hosts = vec!["a.example".parse().unwrap()]
    });
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    let (head, _) = client.message();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (404, Some("no-route"))
    );
    client.send("GET / HTTP/1.1\r\nHost: A.example:99\r\n\r\n");
    origin.accept().head();
}
