//! 1: what is for one hop goes no further.

use crate::harness::*;

#[test]
fn every_connection_line_and_the_names_in_it_are_taken_out_of_requests() {
    let (asked, _) = round(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-One\r\nX-One: 1\r\nConnection: x-two, keep-alive\r\nX-Two: 2\r\n\
         Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-Three: 3\r\n\r\n",
        OK,
    );
    for gone in ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "te"] {
        assert_eq!(header(&asked, gone), None, "{gone} in {asked}");
    }
    assert_eq!(header(&asked, "x-three"), Some("3"));
}

#[test]
fn and_out_of_answers() {
    let (_, told) = round(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: X-One\r\nX-One: 1\r\nconnection: X-Two\r\nX-Two: 2\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
    );
    for gone in ["connection", "x-one", "x-two", "keep-alive"] {
        assert_eq!(header(&told, gone), None, "{gone} in {told}");
    }
}

#[test]
fn host_and_length_can_not_be_named_away() {
    let (asked, _) = round(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: host, content-length\r\n\r\n",
        OK,
    );
    assert_eq!(header(&asked, "host"), Some("x"));
    assert_eq!(header(&asked, "content-length"), Some("0"));
}

#[test]
fn the_client_decides_about_its_connection_and_the_upstream_about_its_own() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut first = origin.accept();
    first.head();
    first.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let (head, _) = client.message();
    assert_eq!(header(&head, "connection"), None);
    drop(first);
    client.send("GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut second = origin.accept();
    assert_eq!(header(&second.head(), "connection"), None);
    second.send(OK);
    let answer = client.rest();
    assert!(
        answer.contains("Connection: close\r\n") && answer.ends_with("ok"),
        "{answer}"
    );
}
