//! WebSocket over HTTP/2 on either side, and what it becomes in HTTP/1.

use bytes::Bytes;
use h2::{RecvStream, SendStream, ext::Protocol, server::SendResponse};
use http::{Method, Request, Response, Version};
use qd_proxy::plan::UpstreamProtocol;

use crate::{
    h2_client,
    h2_server::{handler, upstream_with},
    harness::*,
};

/// Echoes what comes by a stream, and ends when it ends.
async fn echo(mut recv: RecvStream, mut send: SendStream<Bytes>) {
    while let Some(Ok(data)) = recv.data().await {
        recv.flow_control().release_capacity(data.len()).unwrap();
        send.send_data(data, false).unwrap();
    }
    send.send_data(Bytes::new(), true).unwrap();
}

async fn served(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(
        (request.method(), request.version()),
        (&Method::CONNECT, Version::HTTP_2)
    );
    assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
    assert_eq!(request.uri().to_string(), "http://h.example/chat?x");
    assert!(!request.headers().contains_key("sec-websocket-key"));
    assert_eq!(request.headers()["sec-websocket-protocol"], "p");
    let send = respond.send_response(Response::new(()), false).unwrap();
    echo(request.into_body(), send).await;
}

fn ask() -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://h.example/chat?x")
        .header("sec-websocket-protocol", "p")
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request
}

/// Opens one over HTTP/2 and sends something through.
async fn talk(front: &Front) {
    let client = h2_client::connect(front).await;
    let mut client = client.ready().await.unwrap();
    let (answer, mut send) = client.send_request(ask(), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut recv = answer.into_body();
    send.send_data(Bytes::from_static(b"hello"), false).unwrap();
    assert_eq!(recv.data().await.unwrap().unwrap(), "hello");
    send.send_data(Bytes::new(), true).unwrap();
    assert!(recv.data().await.is_none_or(|d| d.unwrap().is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_connect_passes_from_http_2_to_http_2() {
    let mut server = h2::server::Builder::new();
    server.enable_connect_protocol();
    let front = upstream_with(server, handler(served)).await;
    talk(&front).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_becomes_an_extended_connect() {
    let mut server = h2::server::Builder::new();
    server.enable_connect_protocol();
    let front = upstream_with(server, handler(served)).await;
    let mut client = front.connect();
    tokio::task::spawn_blocking(move || {
        client.send("GET /chat?x HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p\r\n\r\n");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert_eq!(header(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!((header(&head, "connection"), header(&head, "upgrade")), (Some("Upgrade"), Some("websocket")));
        assert_eq!(header(&head, "transfer-encoding"), None);
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
        client.half_close();
        assert_eq!(client.rest(), "");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extended_connect_becomes_an_upgrade() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.clusters[0].protocol = UpstreamProtocol::Http1);
    let play = tokio::task::spawn_blocking(move || {
        let mut upstream = origin.accept();
        let head = upstream.head();
        assert!(head.starts_with("GET /chat?x HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            (header(&head, "connection"), header(&head, "upgrade")),
            (Some("Upgrade"), Some("websocket"))
        );
        let key = header(&head, "sec-websocket-key").unwrap();
        assert_eq!((key.len(), headers(&head, "sec-websocket-version")), (24, vec!["13"]));
        let accept = accept(key);
        upstream.send(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"));
        let heard = upstream.exactly(5);
        upstream.send(heard);
        assert_eq!(upstream.rest(), "");
    });
    talk(&front).await;
    play.await.unwrap();
}

/// As an upstream would answer the key, worked out apart from the proxy.
fn accept(key: &str) -> String {
    use base64::Engine;
    use sha1::Digest;
    let sum = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_answer_to_the_key_is_no_switch_and_a_refusal_is_an_answer() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.clusters[0].protocol = UpstreamProtocol::Http1);
    let play = tokio::task::spawn_blocking(move || {
        for answer in [
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        ] {
            let mut upstream = origin.accept();
            upstream.head();
            upstream.send(answer);
        }
    });
    let client = h2_client::connect(&front).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let mut client = client.clone().ready().await.unwrap();
        let (answer, _send) = client.send_request(ask(), false).unwrap();
        statuses.push(answer.await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [502, 403]);
    play.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_take_it_is_not_asked() {
    let front = upstream_with(h2::server::Builder::new(), handler(async |_, _| panic!("asked"))).await;
    let client = h2_client::connect(&front).await;
    let mut client = client.ready().await.unwrap();
    let (answer, _send) = client.send_request(ask(), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["l5d-proxy-error"]),
        (502, &http::HeaderValue::from_static("no-switch"))
    );
}
