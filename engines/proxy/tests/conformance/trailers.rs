//! 4: trailers of HTTP/1; those of HTTP/2 are in [`crate::h2_client`] and [`crate::h2_server`].

use crate::harness::*;

#[test]
fn trailers_pass_both_ways_without_what_could_change_the_message() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: evil\r\n\r\n",
    );
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert_eq!(header(&asked, "te"), Some("trailers"));
    assert_eq!(header(&asked, "connection"), Some("TE"));
    assert_eq!(header(&asked, "trailer"), Some("X-Sum"));
    assert_eq!(upstream.until("\r\n\r\n"), "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Undeclared: 2\r\nTransfer-Encoding: x\r\n\r\n");
    client.head();
    assert_eq!(client.until("\r\n\r\n"), "2\r\nok\r\n0\r\nX-Undeclared: 2\r\n\r\n");
}

#[test]
fn endless_trailers_are_refused() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    let line = format!("A: {}\r\n", "b".repeat(1000));
    for _ in 0..100 {
        if std::io::Write::write_all(&mut client.stream, line.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(status(&client.rest()), 431);
}
