//! 12: numbers that are true, and looks that cost nothing.

use qd_proxy::TapRequest;

use crate::harness::*;

#[test]
fn a_flow_tells_what_passed() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest { queue: 8, body: 4 });
    let mut client = front.connect();
    client.send("POST /a?b HTTP/1.1\r\nHost: x\r\nX-Q: 1\r\nContent-Length: 6\r\n\r\nabcdef");
    let mut upstream = origin.accept();
    upstream.message();
    upstream.send("HTTP/1.1 201 Made\r\nX-R: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 3\r\n\r\n");
    client.until("0\r\nX-T: 3\r\n\r\n");
    let mut flow = None;
    eventually("a flow", || {
        flow = tap.try_next();
        flow.is_some()
    });
    let flow = flow.unwrap();
    assert_eq!(
        (flow.request().method(), flow.request().target(), flow.status().unwrap()),
        (&b"POST"[..], &b"/a?b"[..], 201)
    );
    assert_eq!(flow.request().fields.get(b"x-q"), Some(&b"1"[..]));
    assert_eq!(flow.response().unwrap().fields.get(b"x-r"), Some(&b"2"[..]));
    let end = flow.end().unwrap();
    assert_eq!((&end.request_body.data[..], end.request_body.length), (&b"abcd"[..], 6));
    assert_eq!(&end.response_body.data[..], b"ok");
    let trailers = flow.response_trailers().unwrap();
    assert_eq!(trailers.get(b"x-t"), Some(&b"3"[..]));
    assert_eq!((end.attempts, end.reused), (1, false));
    assert_eq!(end.endpoint.as_deref(), Some(origin.address.to_string().as_str()));
    let t = end.timings;
    assert!(t.connected <= t.first_byte && t.first_byte.unwrap() <= t.end);
}

#[test]
fn a_reader_that_sleeps_loses_flows_and_knows_how_many() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest { queue: 3, body: 0 });
    let mut client = front.connect();
    let mut upstream = None;
    for _ in 0..10 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        upstream.head();
        upstream.send(OK);
        client.message();
    }
    eventually("all counted", || front.proxy.snapshot().totals.requests == 10);
    eventually("the last is lost too", || tap.dropped() == 7);
    assert_eq!(std::iter::from_fn(|| tap.try_next()).count(), 3);
}

#[test]
fn a_fault_is_a_flow_with_its_cause() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest::default());
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.accept().head();
    client.message();
    let mut flow = None;
    eventually("a flow", || {
        flow = tap.try_next();
        flow.is_some()
    });
    let flow = flow.unwrap();
    assert_eq!(
        (flow.status().unwrap(), flow.end().unwrap().fault.as_ref().unwrap().0),
        (502, "upstream-closed")
    );
}

#[test]
fn the_latency_counts_the_whole_answer() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    client.head();
    assert_eq!(front.proxy.snapshot().totals.requests, 0);
    upstream.send("k");
    client.exactly(2);
    eventually("counted at its end", || front.proxy.snapshot().totals.requests == 1);
    let totals = front.proxy.snapshot().totals;
    assert_eq!((totals.classes[2], totals.response_bytes, totals.faults), (1, 2, 0));
}

#[test]
fn connections_are_listed_and_closed() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let listed = front.proxy.snapshot().connections;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].peer, Some(client.stream.local_addr().unwrap()));
    assert!(front.proxy.close(listed[0].id));
    assert_eq!(client.rest(), "");
    assert_eq!(upstream.rest(), "");
    eventually("gone", || front.proxy.snapshot().connection_count == 0);
    assert!(!front.proxy.close(listed[0].id));
}
