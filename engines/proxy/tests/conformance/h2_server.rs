//! The upstream speaks HTTP/2; clients speak either protocol.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use qd_proxy::{
    Plan,
    plan::{Address, Bind, UpstreamProtocol},
};
use tokio::net::TcpListener;

use crate::{h2_client, harness::*};

pub(crate) type Served = Pin<Box<dyn Future<Output = ()> + Send>>;
pub(crate) type Handler = Arc<dyn Fn(Request<RecvStream>, SendResponse<Bytes>) -> Served + Send + Sync>;

/// An upstream of HTTP/2 in front of which a proxy stands.
async fn upstream(handler: Handler) -> Front {
    upstream_with(h2::server::Builder::new(), handler).await
}

/// The same with settings of its own.
pub(crate) async fn upstream_with(server: h2::server::Builder, handler: Handler) -> Front {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Address::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (handler, server) = (Arc::clone(&handler), server.clone());
            tokio::spawn(async move {
                let mut connection = server.handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(handler(request, respond));
                }
            });
        }
    });
    let mut plan = Plan::simple(vec![Bind::Tcp("127.0.0.1:0".parse().unwrap())], vec![to]);
    plan.clusters[0].protocol = UpstreamProtocol::Http2;
    start(&plan)
}

pub(crate) fn handler<F: Future<Output = ()> + Send + 'static>(
    f: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
) -> Handler {
    Arc::new(move |a, b| Box::pin(f(a, b)))
}

/// Plays a client of HTTP/1 on a thread of its own.
async fn client<T: Send + 'static>(front: &Front, work: impl FnOnce(Wire) -> T + Send + 'static) -> T {
    let wire = front.connect();
    tokio::task::spawn_blocking(move || work(wire)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_http_1_becomes_one_of_http_2() {
    let front = upstream(handler(async |request, mut respond| {
        assert_eq!(request.uri().to_string(), "http://h.example/a%2F?b");
        let headers = request.headers();
        for gone in ["host", "connection", "x-one", "upgrade", "keep-alive", "te"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["x-raw"].as_bytes(), b"\xff");
        let mut recv = request.into_body();
        assert_eq!(recv.data().await.unwrap().unwrap(), "abc");
        let mut response = Response::new(());
        response
            .headers_mut()
            .append("set-cookie", HeaderValue::from_static("a"));
        response
            .headers_mut()
            .append("set-cookie", HeaderValue::from_static("b"));
        let mut send = respond.send_response(response, false).unwrap();
        send.send_data(Bytes::from_static(b"ok"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        send.send_trailers(trailers).unwrap();
    }))
    .await;
    client(&front, |mut client| {
        client.send(&b"POST /a%2F?b HTTP/1.1\r\nHost: h.example\r\nConnection: X-One, keep-alive\r\nX-One: 1\r\nX-Raw: \xff\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"[..]);
        let head = client.head();
        assert_eq!((status(&head), header(&head, "transfer-encoding")), (200, Some("chunked")));
        assert_eq!(headers(&head, "set-cookie"), ["a", "b"]);
        assert_eq!(client.until("\r\n\r\n"), "2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_body_has_a_length_for_http_1() {
    let front = upstream(handler(async |_, mut respond| {
        respond.send_response(Response::new(()), true).unwrap();
    }))
    .await;
    client(&front, |mut client| {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(header(&client.head(), "content-length"), Some("0"));
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        client.head();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_before_the_answer_is_502_and_within_it_a_cut() {
    let front = upstream(handler(async |request, mut respond| {
        if request.uri().path() == "/before" {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return;
        }
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(b"part"), false).unwrap();
        // What is sent must have left before the reset takes the rest back.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        send.send_reset(Reason::INTERNAL_ERROR);
    }))
    .await;
    client(&front, |mut client| {
        client.send("GET /before HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, _) = client.message();
        assert_eq!(
            (status(&head), header(&head, "l5d-proxy-error")),
            (502, Some("upstream-reset"))
        );
        client.send("GET /within HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(status(&client.head()), 200);
        let rest = client.rest();
        assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_stream_is_asked_again() {
    let refused = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let front = upstream(handler(move |_, mut respond| {
        let first = !refused.swap(true, std::sync::atomic::Ordering::SeqCst);
        async move {
            match first {
                true => respond.send_reset(Reason::REFUSED_STREAM),
                false => {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    }))
    .await;
    client(&front, |mut client| {
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(status(&client.head()), 200);
    })
    .await;
    eventually("counted", || front.proxy.snapshot().totals.retries == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_resets_its_stream() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let (came, comes) = tokio::sync::oneshot::channel();
    let came = std::sync::Mutex::new(Some(came));
    let front = upstream(handler(move |_, mut respond| {
        let told = told.lock().unwrap().take();
        let came = came.lock().unwrap().take();
        async move {
            came.unwrap().send(()).unwrap();
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            told.unwrap().send(reason.unwrap()).unwrap();
        }
    }))
    .await;
    let mut wire = front.connect();
    wire.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    comes.await.unwrap();
    drop(wire);
    assert_eq!(heard.await.unwrap(), Reason::CANCEL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_stream_at_once() {
    let front = upstream(handler(async |request, mut respond| {
        let mut recv = request.into_body();
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = recv.data().await {
            recv.flow_control().release_capacity(data.len()).unwrap();
            send.send_data(data, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        send.send_trailers(trailers).unwrap();
    }))
    .await;
    let client = h2_client::connect(&front).await;
    let request = Request::post("http://h/s/m")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut ready = client.ready().await.unwrap();
    let (answer, mut send) = ready.send_request(request, false).unwrap();
    let answer = answer.await.unwrap();
    let mut recv = answer.into_body();
    for text in ["one", "two", "three"] {
        send.send_data(Bytes::from(text), false).unwrap();
        let data = recv.data().await.unwrap().unwrap();
        recv.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(data, text);
    }
    send.send_data(Bytes::new(), true).unwrap();
    assert!(recv.data().await.is_none());
    assert_eq!(recv.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_megabyte_each_way_passes_the_windows() {
    let front = upstream(handler(async |request, mut respond| {
        let mut recv = request.into_body();
        let mut all = Vec::new();
        while let Some(Ok(data)) = recv.data().await {
            recv.flow_control().release_capacity(data.len()).unwrap();
            all.extend_from_slice(&data);
        }
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from(all), true).unwrap();
    }))
    .await;
    client(&front, |mut client| {
        let body: Vec<u8> = (0..1_000_000u32).map(|n| u8::try_from(n % 253).unwrap()).collect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        client.send(&body);
        client.head();
        let mut got = Vec::new();
        loop {
            let n = usize::from_str_radix(client.until("\r\n").trim(), 16).unwrap();
            got.extend(client.exactly(n));
            client.exactly(2);
            if n == 0 {
                break;
            }
        }
        assert!(got == body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_answer_pings_is_given_up() {
    // It says its settings and then reads no more.
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.clusters[0].protocol = UpstreamProtocol::Http2;
        p.clusters[0].ping = std::time::Duration::from_millis(50);
    });
    let silent = tokio::task::spawn_blocking(move || {
        let mut upstream = origin.accept();
        upstream.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        upstream.until("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // The connection is closed by the other end.
        upstream.rest();
    });
    let head = client(&front, |mut wire| {
        wire.send("POST / HTTP/1.1\r\nHost: h.example\r\nContent-Length: 0\r\n\r\n");
        wire.head()
    })
    .await;
    assert_eq!(status(&head), 502);
    silent.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_of_browsers_is_told_as_grpc() {
    let front = upstream(handler(async |request, mut respond| {
        let headers = request.headers();
        assert_eq!(
            (&headers["content-type"], &headers["te"]),
            (
                &"application/grpc+proto".parse::<HeaderValue>().unwrap(),
                &HeaderValue::from_static("trailers")
            )
        );
        assert!(!headers.contains_key("content-length"));
        let mut recv = request.into_body();
        assert_eq!(recv.data().await.unwrap().unwrap(), "\0\0\0\0\x02hi");
        let mut response = Response::new(());
        response
            .headers_mut()
            .append("content-type", HeaderValue::from_static("application/grpc+proto"));
        let mut send = respond.send_response(response, false).unwrap();
        send.send_data(Bytes::from_static(b"\0\0\0\0\x02yo"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        send.send_trailers(trailers).unwrap();
    }))
    .await;
    let mut tap = front.proxy.tap(qd_proxy::TapRequest::default());
    let (head, body) = client(&front, |mut wire| {
        wire.send(b"POST /s/M HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\nContent-Length: 7\r\n\r\n\0\0\0\0\x02hi");
        let head = wire.head();
        (head, wire.until("\r\n0\r\n\r\n"))
    })
    .await;
    assert_eq!(header(&head, "content-type"), Some("application/grpc-web+proto"));
    assert_eq!(
        body,
        "7\r\n\0\0\0\0\x02yo\r\n14\r\n\u{80}\0\0\0\u{f}grpc-status:0\r\n\r\n0\r\n\r\n"
    );
    // It is counted as what it is.
    let flow = tap.next().await.unwrap();
    assert!(flow.end().unwrap().fault.is_none());
}
