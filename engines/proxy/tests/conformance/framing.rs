//! 2: a message has one length, or it goes no further.

use crate::harness::*;

fn refuses(lines: &str, want: u16) {
    let answer = refused(format!("POST / HTTP/1.1\r\n{lines}\r\n"));
    assert_eq!(status(&answer), want, "{lines:?}: {answer}");
    assert!(answer.contains("l5d-proxy-error: "), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused() {
    for (lines, want) in [
        ("Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Host: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Host: x\r\nContent-Length: 5, 5\r\n", 400),
        ("Host: x\r\nContent-Length: 0x5\r\n", 400),
        ("Host: x\r\nContent-Length: -1\r\n", 400),
        ("Host: x\r\nTransfer-Encoding: xchunked\r\n", 501),
        ("Host: x\r\nTransfer-Encoding: chunked, identity\r\n", 501),
        (
            "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            501,
        ),
        ("Host: x\r\nTransfer-Encoding : chunked\r\n", 400),
        ("Host: x\r\nContent-Length : 5\r\n", 400),
        ("Host: x\r\nA: b\r\n folded\r\n", 400),
        ("Host: x\r\nA: b\0c\r\n", 400),
        ("Host: x\r\nA: b\rc\r\n", 400),
        ("Host: x\nA: b\r\n", 400),
        ("A: b\r\n", 400),
        ("Host: x\r\nHost: x\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: x/y\r\n", 400),
    ] {
        refuses(lines, want);
    }
}

#[test]
fn request_lines_are_read_strictly() {
    for (line, want) in [
        ("GET  / HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET / HTTP/1.2x", 400),
        ("GET / HTTP/9.1", 505),
    ] {
        let answer = refused(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert_eq!(status(&answer), want, "{line}: {answer}");
    }
}

#[test]
fn a_coding_from_http_1_0_is_refused() {
    let answer = refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(status(&answer), 400);
}

#[test]
fn broken_chunks_end_the_exchange_and_never_look_whole() {
    for body in [
        "5\nhello\r\n",
        "x\r\n",
        "5\r\nhelloX",
        "5;a\0\r\nhello\r\n",
        "ffffffffffffffff1\r\n",
    ] {
        let origin = Origin::new();
        let front = front(&origin);
        let mut client = front.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{body}"
        ));
        if let Some(mut upstream) = origin.try_accept(std::time::Duration::from_millis(200)) {
            let seen = upstream.rest();
            assert!(!seen.contains("0\r\n\r\n"), "{body:?}: {seen}");
        }
        assert_eq!(status(&client.rest()), 400, "{body:?}");
    }
}

#[test]
fn an_answer_with_both_lengths_goes_on_as_chunks_only() {
    let (_, told) = round(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    assert_eq!(header(&told, "content-length"), None);
    assert_eq!(header(&told, "transfer-encoding"), Some("chunked"));
}

#[test]
fn answers_that_could_be_read_in_two_ways_become_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTQ/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
    ] {
        let (_, told) = round("GET / HTTP/1.1\r\nHost: x\r\n\r\n", answer);
        assert_eq!(status(&told), 502, "{answer:?}");
        assert_eq!(header(&told, "l5d-proxy-error"), Some("upstream-malformed"));
    }
}

#[test]
fn lengths_that_agree_are_one_length() {
    let (_, told) = round(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    );
    assert_eq!(status(&told), 200);
    assert!(header(&told, "transfer-encoding").is_none());
}

#[test]
fn a_smuggled_request_is_the_next_request_or_nothing() {
    // What follows a body is another request of this client, not part of the upstream's stream.
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    assert!(upstream.head().starts_with("POST /1 "));
    assert_eq!(upstream.exactly(3), b"abc");
    upstream.send(OK);
    assert!(upstream.head().starts_with("GET /2 "));
    upstream.send(OK);
    client.message();
    client.message();
}
