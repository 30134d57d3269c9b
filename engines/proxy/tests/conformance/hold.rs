//! Flows while they go on: seen, held, edited, killed, sent again.

use std::{sync::Arc, time::Duration};

use qd_core::{Filter, Now, Schema, Timestamp, filter::FieldType};
use qd_proxy::{
    AnswerEdit, EditError, Flow, Hold, HoldAt, HoldError, Proxy, Release, ReleaseError, ReplayError, ReplayRequest,
    ReplayTo, RequestEdit, Stage, Tap, TapRequest,
};

use crate::harness::*;

fn filter(text: &str) -> Filter {
    let schema = Schema::records()
        .with("path", FieldType::Keyword, "")
        .with("method", FieldType::Keyword, "")
        .with("status", FieldType::Number, "")
        .open();
    Filter::new(text, &schema, &Now::utc(Timestamp(0))).unwrap()
}

fn rule(at: HoldAt, text: &str) -> Hold {
    Hold {
        at,
        filter: filter(text),
        deadline: Duration::from_secs(60),
        body: 1024,
    }
}

fn held(proxy: &Proxy) -> u64 {
    let mut id = None;
    eventually("a flow is held", || {
        id = proxy.snapshot().held.first().map(|h| h.id);
        id.is_some()
    });
    id.unwrap()
}

fn ended(tap: &mut Tap) -> Arc<Flow> {
    let mut flow = None;
    eventually("a flow ends", || {
        flow = tap.try_next();
        flow.is_some()
    });
    flow.unwrap()
}

fn replay(front: &Front, request: ReplayRequest) -> Result<Arc<Flow>, ReplayError> {
    let proxy = front.proxy.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(proxy.replay(request))
}

#[test]
fn a_flow_is_seen_while_it_goes_on() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest::default());
    let mut client = front.connect();
    client.send(
        "POST /a HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0OnNlY3JldA==\r\nContent-Length: 2\r\n\r\nhi",
    );
    let mut upstream = origin.accept();
    upstream.message();
    let running = || tap.running(Duration::ZERO, 10);
    eventually("it waits", || {
        running().first().is_some_and(|f| f.stage() == Stage::Waiting)
    });
    let flow = running().remove(0);
    assert_eq!(
        (flow.request().target(), flow.status(), flow.end().is_none()),
        (&b"/a"[..], None, true)
    );
    assert_eq!(flow.request().fields.get(b"authorization"), Some(&b"[redacted]"[..]));
    assert!(tap.running(Duration::from_secs(3600), 10).is_empty());
    upstream.send("HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 4\r\n\r\n");
    eventually("its answer comes", || flow.stage() == Stage::Answering);
    assert_eq!(flow.status(), Some(200));
    assert_eq!(
        flow.response().unwrap().fields.get(b"set-cookie"),
        Some(&b"[redacted]"[..])
    );
    upstream.send("done");
    assert_eq!(client.message().1, "done");
    let last = ended(&mut tap);
    // The same one that was seen before.
    assert!(Arc::ptr_eq(&last, &flow));
    assert!(tap.running(Duration::ZERO, 10).is_empty());
    let t = last.end().unwrap().timings;
    assert!(t.accepted.is_some() && t.detect.is_some() && t.dial.is_some() && t.handshake.is_none());
    let order = [t.chosen, t.connected, t.sent, t.first_byte, t.first_data, Some(t.end)];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
    assert_eq!(last.end().unwrap().request_body.data, b"hi");
}

#[test]
fn a_flow_whose_connection_is_closed_ends_too() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest::default());
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let id = front.proxy.snapshot().connections[0].id;
    assert!(front.proxy.close(id));
    assert_eq!(ended(&mut tap).end().unwrap().fault.as_ref().unwrap().0, "cut");
    assert!(tap.running(Duration::ZERO, 10).is_empty());
}

#[test]
fn bytes_that_are_passed_are_a_flow() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest::default());
    let mut client = front.connect();
    client.send("*1\r\n$4\r\nPING\r\n");
    let mut upstream = origin.accept();
    upstream.exactly(14);
    upstream.send("+PONG\r\n");
    drop(upstream);
    client.rest();
    drop(client);
    let flow = ended(&mut tap);
    let end = flow.end().unwrap();
    assert_eq!(
        (flow.version, &end.request_body.data[..]),
        ("TCP", &b"*1\r\n$4\r\nPING\r\n"[..])
    );
    assert_eq!(end.response_body.data, b"+PONG\r\n");
}

#[test]
fn attempts_that_failed_are_told() {
    let (origin, other) = (Origin::new(), Origin::new());
    let mut plan = plan(&[&origin, &other]);
    plan.listeners[0].routes[0].retry.policy.attempts = 1;
    plan.listeners[0].routes[0].retry.policy.statuses = vec![503..=503];
    let front = start(&plan);
    let mut tap = front.proxy.tap(TapRequest::default());
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let play = |origin: Origin, first: &'static str| {
        std::thread::spawn(move || {
            let mut upstream = origin.try_accept(PATIENCE)?;
            upstream.head();
            upstream.send(first);
            Some(upstream)
        })
    };
    // Whichever comes first says 503; nobody is asked twice.
    let no = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
    let (a, b) = (play(origin, no), play(other, no));
    let (head, _) = client.message();
    assert_eq!(status(&head), 503);
    let flow = ended(&mut tap);
    let end = flow.end().unwrap();
    assert_eq!((end.attempts, end.earlier.len()), (2, 1));
    let first = &end.earlier[0];
    assert!(first.endpoint != end.endpoint.clone().unwrap() && first.status == 503 && first.fault.is_none());
    assert!(first.began <= first.ended && first.ended <= end.timings.end);
    drop((a.join().unwrap(), b.join().unwrap()));
}

#[test]
fn a_held_request_goes_on_edited() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest::default());
    let id = front.proxy.hold(rule(HoldAt::Request, "path:/held*")).unwrap();
    let mut client = front.connect();
    client.send("GET /free HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    client.message();
    client.send("POST /held HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello");
    let number = held(&front.proxy);
    let shown = front.proxy.held(number).unwrap();
    assert_eq!(
        (&shown.body[..], shown.view.is_whole, shown.view.rule),
        (&b"hello"[..], true, id)
    );
    assert_eq!(
        (shown.flow.stage(), shown.flow.held()),
        (Stage::HeldRequest, Some(number))
    );
    let mut edit = RequestEdit::of(&shown.flow);
    assert!(edit.headers.contains(&(b"Cookie".to_vec(), b"[redacted]".to_vec())));
    edit.target = b"/a b".to_vec();
    let bad = front.proxy.release(number, Release::Request(edit.clone()));
    assert_eq!(bad, Err(ReleaseError::Edit(EditError("the target is none"))));
    let other = AnswerEdit {
        status: 200,
        headers: vec![],
        body: None,
    };
    assert_eq!(
        front.proxy.release(number, Release::Answer(other)),
        Err(ReleaseError::Other)
    );
    edit.method = b"PUT".to_vec();
    edit.target = b"/edited?x".to_vec();
    edit.headers.retain(|(n, _)| n != b"X-A");
    edit.body = Some(b"other body".to_vec());
    front.proxy.release(number, Release::Request(edit)).unwrap();
    let (head, body) = upstream.message();
    assert!(head.starts_with("PUT /edited?x HTTP/1.1\r\n"), "{head}");
    // What was covered goes on as it was.
    assert_eq!((header(&head, "cookie"), header(&head, "x-a")), (Some("secret"), None));
    assert_eq!(
        (headers(&head, "content-length"), body.as_str()),
        (vec!["10"], "other body")
    );
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
    assert_eq!(front.proxy.release(number, Release::Resume), Err(ReleaseError::Gone));
    ended(&mut tap);
    let flow = ended(&mut tap);
    let end = flow.end().unwrap();
    assert!(end.timings.held > Duration::ZERO && flow.held().is_none());
    assert_eq!(end.request_body.data, b"other body");
    let rules = front.proxy.snapshot().holds;
    assert_eq!((rules[0].matched, rules[0].held, rules[0].expired), (1, 1, 0));
}

#[test]
fn a_long_body_waits_behind_what_is_held_and_can_not_be_replaced() {
    let origin = Origin::new();
    let front = front(&origin);
    front.proxy.hold(rule(HoldAt::Request, "")).unwrap();
    let mut client = front.connect();
    let body = "x".repeat(200_000);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let number = held(&front.proxy);
    let shown = front.proxy.held(number).unwrap();
    assert_eq!((shown.body.len(), shown.view.is_whole), (1024, false));
    let mut edit = RequestEdit::of(&shown.flow);
    edit.body = Some(vec![]);
    assert_eq!(
        front.proxy.release(number, Release::Request(edit.clone())),
        Err(ReleaseError::Truncated)
    );
    edit.body = None;
    edit.headers.push((b"X-B".to_vec(), b"2".to_vec()));
    front.proxy.release(number, Release::Request(edit)).unwrap();
    let mut upstream = origin.accept();
    let (head, came) = upstream.message();
    assert_eq!((header(&head, "x-b"), came == body), (Some("2"), true));
}

#[test]
fn a_held_answer_goes_on_edited_or_not_at_all() {
    let origin = Origin::new();
    let front = front(&origin);
    front.proxy.hold(rule(HoldAt::Answer, "status:201")).unwrap();
    let mut client = front.connect();
    let mut upstream = None;
    for (path, answer) in [
        ("/a", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "/b",
            "HTTP/1.1 201 Made\r\nSet-Cookie: s=1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n",
        ),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        upstream.head();
        upstream.send(answer);
        if path == "/a" {
            client.message();
        }
    }
    let number = held(&front.proxy);
    let shown = front.proxy.held(number).unwrap();
    let head = shown.answer.unwrap();
    assert_eq!(
        (head.status, &shown.body[..], head.fields.get(b"set-cookie")),
        (201, &b"old"[..], Some(&b"[redacted]"[..]))
    );
    let edit = AnswerEdit {
        status: 418,
        headers: vec![
            (b"Set-Cookie".to_vec(), b"[redacted]".to_vec()),
            (b"X-New".to_vec(), b"1".to_vec()),
        ],
        body: Some(b"brand new".to_vec()),
    };
    front.proxy.release(number, Release::Answer(edit)).unwrap();
    let (head, body) = client.message();
    assert_eq!(
        (status(&head), header(&head, "set-cookie"), header(&head, "x-new")),
        (418, Some("s=1"), Some("1"))
    );
    assert_eq!((header(&head, "transfer-encoding"), body.as_str()), (None, "brand new"));
    // The connection goes on.
    client.send("GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = upstream.unwrap();
    upstream.head();
    upstream.send("HTTP/1.1 201 Made\r\nContent-Length: 2\r\n\r\nno");
    let number = held(&front.proxy);
    front.proxy.release(number, Release::Kill).unwrap();
    assert!(!client.ends_well());
}

#[test]
fn a_deadline_and_the_end_of_a_rule_let_go() {
    let origin = Origin::new();
    let front = front(&origin);
    let short = Hold {
        deadline: Duration::from_millis(30),
        ..rule(HoldAt::Request, "path:/short")
    };
    front.proxy.hold(short).unwrap();
    let long = front.proxy.hold(rule(HoldAt::Request, "path:/long")).unwrap();
    let mut client = front.connect();
    client.send("GET /short HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    assert!(upstream.head().starts_with("GET /short "));
    upstream.send(OK);
    client.message();
    assert_eq!(front.proxy.snapshot().holds[0].expired, 1);
    client.send("GET /long HTTP/1.1\r\nHost: x\r\n\r\n");
    held(&front.proxy);
    assert!(front.proxy.end_hold(long) && !front.proxy.end_hold(long));
    assert!(upstream.head().starts_with("GET /long "));
    for (bad, why) in [
        (Duration::ZERO, HoldError::Deadline),
        (Duration::from_secs(601), HoldError::Deadline),
    ] {
        let bad = Hold {
            deadline: bad,
            ..rule(HoldAt::Both, "")
        };
        assert_eq!(front.proxy.hold(bad), Err(why));
    }
}

#[test]
fn a_client_that_leaves_is_not_held() {
    let origin = Origin::new();
    let front = front(&origin);
    front.proxy.hold(rule(HoldAt::Request, "")).unwrap();
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    held(&front.proxy);
    drop(client);
    eventually("gone", || front.proxy.snapshot().held.is_empty());
    assert!(!origin.was_asked());
}

#[test]
fn only_so_many_are_held() {
    let origin = Origin::new();
    let front = front(&origin);
    front.proxy.hold(rule(HoldAt::Request, "")).unwrap();
    let clients: Vec<Wire> = (0..qd_proxy::MAX_HELD)
        .map(|_| {
            let mut client = front.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
        })
        .collect();
    eventually("all are held", || front.proxy.snapshot().held.len() == clients.len());
    let mut client = front.connect();
    client.send("GET /free HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(origin.accept().head().starts_with("GET /free "));
    assert_eq!(front.proxy.snapshot().holds[0].passed, 1);
}

#[test]
fn a_request_is_sent_again_with_its_secrets_or_edited() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest { queue: 8, body: 4 });
    let mut client = front.connect();
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nContent-Length: 2\r\n\r\nhi");
    let mut upstream = origin.accept();
    upstream.message();
    upstream.send(OK);
    client.message();
    let flow = ended(&mut tap);
    let answers = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(upstream.message());
            upstream.send("HTTP/1.1 202 Again\r\nContent-Length: 5\r\n\r\nagain");
        }
        (seen, upstream)
    });
    let request = ReplayRequest {
        flow: Arc::clone(&flow),
        edit: None,
        to: ReplayTo::Routes,
        body: 100,
    };
    let again = replay(&front, request.clone()).unwrap();
    assert_eq!((again.replay_of, again.status()), (Some(flow.id), Some(202)));
    assert_eq!(again.end().unwrap().response_body.data, b"again");
    // Who looks sees it too.
    assert_eq!(ended(&mut tap).id, again.id);
    let mut edit = RequestEdit::of(&flow);
    edit.target = b"/b".to_vec();
    edit.body = Some(b"edited".to_vec());
    let edited = ReplayRequest {
        edit: Some(edit),
        to: ReplayTo::Endpoint,
        ..request.clone()
    };
    assert_eq!(replay(&front, edited).unwrap().status(), Some(202));
    let (seen, _upstream) = answers.join().unwrap();
    assert!(seen[0].0.starts_with("POST /a ") && seen[1].0.starts_with("POST /b "));
    assert_eq!((seen[0].1.as_str(), seen[1].1.as_str()), ("hi", "edited"));
    for (head, _) in &seen {
        assert_eq!(header(head, "cookie"), Some("secret"));
    }
    ended(&mut tap);
}

#[test]
fn what_was_not_kept_is_not_sent_again() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest { queue: 8, body: 1 });
    let mut client = front.connect();
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    let mut upstream = origin.accept();
    upstream.message();
    let running = tap.running(Duration::ZERO, 1).remove(0);
    let request = |flow: &Arc<Flow>| ReplayRequest {
        flow: Arc::clone(flow),
        edit: None,
        to: ReplayTo::Routes,
        body: 0,
    };
    assert_eq!(replay(&front, request(&running)).unwrap_err(), ReplayError::Running);
    upstream.send(OK);
    client.message();
    let flow = ended(&mut tap);
    assert_eq!(
        replay(&front, request(&flow)).unwrap_err(),
        ReplayError::Truncated { kept: 1, length: 2 }
    );
}

#[test]
fn a_bomb_is_opened_with_a_bound_and_only_by_who_looks() {
    use std::io::Write;
    let origin = Origin::new();
    let front = front(&origin);
    let mut tap = front.proxy.tap(TapRequest {
        queue: 8,
        body: 1 << 20,
    });
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b'a'; 64 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    ));
    upstream.send(&bomb);
    client.head();
    client.exactly(bomb.len());
    let flow = ended(&mut tap);
    assert_eq!(flow.end().unwrap().response_body.data, bomb);
    let limits = qd_proxy::content::Limits {
        decoded: 100_000,
        ..Default::default()
    };
    let view = flow.show_response(limits).unwrap();
    assert_eq!(view.lines.iter().map(String::len).sum::<usize>(), 100_000);
    assert!(!view.notes.is_empty());
}
