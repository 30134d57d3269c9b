//! Groups 1 to 10 where the client speaks HTTP/2 and the upstream either protocol.

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Method, Request, Response};
use qd_proxy::plan::{Forward, UpstreamProtocol};
use tokio::net::TcpStream;

use crate::harness::*;

/// A client's connection.
pub(crate) async fn connect(front: &Front) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(front.address).await.unwrap();
    let (send, connection) = h2::client::Builder::new()
        .enable_push(false)
        // A stream that nobody reads must not use up the window of all.
        .initial_connection_window_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    send.ready().await.unwrap()
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://h.example{path}"))
}

type Answer = tokio::task::JoinHandle<Result<Response<RecvStream>, h2::Error>>;

/// Sends a request; the answer is waited for aside.
async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>, end: bool) -> (Answer, SendStream<Bytes>) {
    let mut ready = client.clone().ready().await.unwrap();
    let (answer, send) = ready.send_request(request, end).unwrap();
    (tokio::spawn(answer), send)
}

async fn body(recv: &mut RecvStream) -> Result<(String, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = recv.data().await {
        let data = data?;
        recv.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    Ok((String::from_utf8(all).unwrap(), recv.trailers().await?))
}

fn h1_front(origin: &Origin) -> Front {
    front_with(origin, |p| p.clusters[0].protocol = UpstreamProtocol::Http1)
}

/// Plays the upstream on a thread of its own, since its calls block.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_becomes_one_of_http_1() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let ask_for = request("GET", "/a%2F?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-raw", http::HeaderValue::from_bytes(b"\xff").unwrap())
        .body(())
        .unwrap();
    let (answer, _) = ask(&mut client, ask_for, true).await;
    let asked = aside(move || {
        let mut upstream = origin.accept();
        let asked = upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 1\r\nKeep-Alive: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n");
        asked
    })
    .await;
    assert!(asked.starts_with("GET /a%2F?b HTTP/1.1\r\n"), "{asked}");
    assert_eq!(headers(&asked, "host"), ["h.example"]);
    assert_eq!(headers(&asked, "cookie"), ["a=1; b=2"]);
    assert_eq!(header(&asked, "te"), Some("trailers"));
    assert_eq!(header(&asked, "x-raw"), Some("\u{ff}"));
    assert!(header(&asked, "via").unwrap().starts_with("2.0 qd-"));
    let mut answer = answer.await.unwrap().unwrap();
    for gone in ["connection", "x-a", "keep-alive", "transfer-encoding"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    let (text, trailers) = body(answer.body_mut()).await.unwrap();
    assert_eq!((text.as_str(), trailers.unwrap()["x-t"].as_bytes()), ("ok", &b"1"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_becomes_chunks_and_trailers_follow() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let (answer, mut send) = ask(&mut client, request("POST", "/").body(()).unwrap(), false).await;
    send.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("1"));
    send.send_trailers(trailers).unwrap();
    let (asked, text) = aside(move || {
        let mut upstream = origin.accept();
        let asked = upstream.head();
        let text = upstream.until("\r\n\r\n");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        (asked, text)
    })
    .await;
    assert_eq!(header(&asked, "transfer-encoding"), Some("chunked"));
    assert_eq!(text, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 204);
    assert!(answer.body().is_end_stream());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_stays_a_length_and_no_body_is_none() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let sized = request("PUT", "/").header("content-length", "3").body(()).unwrap();
    let (answer, mut send) = ask(&mut client, sized, false).await;
    send.send_data(Bytes::from_static(b"abc"), true).unwrap();
    let mut upstream = aside(move || {
        let mut upstream = origin.accept();
        let (asked, text) = upstream.message();
        assert_eq!((header(&asked, "transfer-encoding"), text.as_str()), (None, "abc"));
        upstream.send(OK);
        upstream
    })
    .await;
    assert_eq!(body(answer.await.unwrap().unwrap().body_mut()).await.unwrap().0, "ok");
    let (answer, _) = ask(&mut client, request("POST", "/").body(()).unwrap(), true).await;
    aside(move || {
        assert_eq!(header(&upstream.head(), "content-length"), Some("0"));
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
        // and goes: five were announced
    })
    .await;
    // The reset may overtake the head.
    let error = match answer.await.unwrap() {
        Ok(mut answer) => body(answer.body_mut()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.is_reset(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_by_the_client_reaches_the_upstream() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let (answer, mut send) = ask(&mut client, request("POST", "/").body(()).unwrap(), false).await;
    let mut upstream = aside(move || {
        let mut upstream = origin.accept();
        upstream.head();
        upstream
    })
    .await;
    send.send_reset(Reason::CANCEL);
    aside(move || {
        let rest = upstream.rest();
        assert!(!rest.contains("0\r\n\r\n"), "{rest}");
    })
    .await;
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_are_passed_on() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let client = connect(&front).await;
    let mut ready = client.ready().await.unwrap();
    let (mut answer, _) = ready.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    aside(move || {
        let mut upstream = origin.accept();
        upstream.head();
        upstream.send("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n");
        upstream.send(OK);
    })
    .await;
    let early = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
    let early = early.unwrap().unwrap();
    assert_eq!(
        (early.status().as_u16(), early.headers()["link"].as_bytes()),
        (103, &b"a"[..])
    );
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_are_one_too_many() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let two = request("GET", "/").header("host", "other.example").body(()).unwrap();
    let (answer, _) = ask(&mut client, two, true).await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 400);
    assert!(!origin.was_asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_served_side_by_side() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let mut answers = Vec::new();
    for n in 0..50 {
        let (answer, _) = ask(&mut client, request("GET", &format!("/{n}")).body(()).unwrap(), true).await;
        answers.push((n, answer));
    }
    aside(move || {
        let mut upstreams: Vec<Wire> = (0..50).map(|_| origin.accept()).collect();
        for upstream in upstreams.iter_mut().rev() {
            let asked = upstream.head();
            let path = asked.split(' ').nth(1).unwrap();
            upstream.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
                path.len()
            ));
        }
    })
    .await;
    for (n, answer) in answers {
        let text = body(answer.await.unwrap().unwrap().body_mut()).await.unwrap().0;
        assert_eq!(text, format!("/{n}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_is_a_tunnel() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.listeners[0].forward = Forward::On);
    let mut client = connect(&front).await;
    let mut tunnel = Request::new(());
    *tunnel.method_mut() = Method::CONNECT;
    *tunnel.uri_mut() = origin.address.to_string().parse().unwrap();
    let (answer, mut send) = ask(&mut client, tunnel, false).await;
    let mut upstream = aside(move || origin.accept()).await;
    let mut answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    send.send_data(Bytes::from_static(b"ping"), true).unwrap();
    aside(move || {
        assert_eq!(upstream.rest(), "ping");
        upstream.send("pong");
    })
    .await;
    assert_eq!(body(answer.body_mut()).await.unwrap().0, "pong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_does_not_hold_the_others_up() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = connect(&front).await;
    let (stalled, _) = ask(&mut client, request("GET", "/big").body(()).unwrap(), true).await;
    let origin = aside(move || {
        let mut upstream = origin.accept();
        upstream.head();
        std::thread::spawn(move || {
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            // As much as anyone takes.
            while std::io::Write::write_all(&mut upstream.stream, &[0; 65536]).is_ok() {}
        });
        origin
    })
    .await;
    let _stalled = stalled.await.unwrap().unwrap();
    let (answer, _) = ask(&mut client, request("GET", "/small").body(()).unwrap(), true).await;
    aside(move || {
        let mut upstream = origin.accept();
        upstream.head();
        upstream.send(OK);
    })
    .await;
    assert_eq!(body(answer.await.unwrap().unwrap().body_mut()).await.unwrap().0, "ok");
}

/// A frame of HTTP/2 as bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn raw(front: &Front) -> Wire {
    let mut client = front.connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(4, 0, 0, &[]));
    client
}

/// `GET /` of `h`, in HPACK without compression.
const HEADERS: &[u8] = b"\x82\x86\x84\x41\x01h";

/// Writes until the other end closes; whether it did before `most` pieces.
fn floods(client: &mut Wire, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> bool {
    let mut reader = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        // The other end must not be held up by what it says.
        let mut chunk = [0; 65536];
        while std::io::Read::read(&mut reader, &mut chunk).is_ok_and(|n| n > 0) {}
    });
    (0..most).any(|n| std::io::Write::write_all(&mut client.stream, &piece(n)).is_err())
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = raw(&front);
    let ended = floods(&mut client, 200_000, |n| {
        let stream = u32::try_from(n * 2 + 1).unwrap();
        [frame(1, 5, stream, HEADERS), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    });
    assert!(ended);
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    let mut client = raw(&front);
    client.send(frame(1, 1, 1, HEADERS));
    let field = [&b"\x00\x03abc\x7f\x81\x01"[..], &[b'x'; 256][..]].concat();
    assert!(floods(&mut client, 100_000, |_| frame(9, 0, 1, &field)));
}

#[test]
fn control_bytes_in_a_value_never_reach_an_upstream_of_http_1() {
    let origin = Origin::new();
    let front = h1_front(&origin);
    for evil in [&b"a\r\nx: y"[..], b"a\nb", b"a\0b"] {
        let mut client = raw(&front);
        let mut block = HEADERS.to_vec();
        block.extend_from_slice(b"\x00\x03abc");
        block.push(u8::try_from(evil.len()).unwrap());
        block.extend_from_slice(evil);
        client.send(frame(1, 5, 1, &block));
        // A stream error or the end of the connection, whichever: then a request that is sound is tried.
        client.send(frame(6, 0, 0, &[0; 8]));
        let mut head = client.exactly(9);
        while ![3, 7].contains(&head[3]) && head[3] != 6 {
            let n = usize::from(head[1]) << 8 | usize::from(head[2]);
            client.exactly(n);
            head = client.exactly(9);
        }
        assert!(!origin.was_asked(), "{evil:?}");
    }
}
