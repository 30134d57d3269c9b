//! A client's connection of HTTP/2: each stream is a request of its own task.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::Request;
use qd_proxy_wire::{Framing, body};
use tokio::time::{Instant, timeout};

use crate::{
    conns::Spoken,
    exchange::{Down, DownH2},
    fault::Fault,
    forward::{self, ConnCx, Desk},
    io::Conn,
    shared::Stand,
    side::H2,
    switch, translate,
};

/// How long the streams of a connection that shall end may take.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves a connection.
pub(crate) async fn connection(cx: ConnCx, stand: &Stand, conn: Conn) {
    cx.entry.speaks(Spoken::Http2);
    let bounds = &stand.plan.bounds;
    let shake = h2::server::Builder::new()
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(u32::try_from(bounds.head.head_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(128 * 1024)
        .enable_connect_protocol()
        .max_concurrent_reset_streams(64)
        .handshake::<_, Bytes>(conn.into_rewound());
    let Ok(Ok(mut connection)) = timeout(bounds.handshake_timeout, shake).await else {
        return;
    };
    let streams = Arc::new(AtomicUsize::new(0));
    let mut draining = false;
    let mut alarm = crate::alarm::Alarm::default();
    alarm.after(bounds.idle_timeout);
    loop {
        let next = poll_fn(|task| {
            if !draining && cx.entry.poll_drain(task).is_ready() {
                draining = true;
                connection.graceful_shutdown();
                alarm.after(DRAIN);
            }
            if let Poll::Ready(next) = connection.poll_accept(task) {
                return Poll::Ready(next);
            }
            loop {
                match alarm.poll(task) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) if draining => return Poll::Ready(None),
                    Poll::Ready(()) if streams.load(Ordering::Relaxed) > 0 => alarm.after(bounds.idle_timeout),
                    Poll::Ready(()) => {
                        draining = true;
                        connection.graceful_shutdown();
                        alarm.after(Duration::from_secs(1));
                    }
                }
            }
        })
        .await;
        let Some(Ok((request, respond))) = next else {
            break;
        };
        if !draining {
            alarm.after(bounds.idle_timeout);
        }
        let guard = Counted::new(&streams);
        tokio::spawn(stream(cx.clone(), request, respond, guard));
    }
}

/// A stream that is counted while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(all: &Arc<AtomicUsize>) -> Counted {
        all.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(all))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a stream.
async fn stream(cx: ConnCx, request: Request<RecvStream>, respond: SendResponse<Bytes>, _counted: Counted) {
    let (mut parts, recv) = request.into_parts();
    let mut desk = Desk {
        switch: switch::from_h2(&mut parts),
        ..Desk::default()
    };
    let told = translate::request_from_h2(&parts, &mut desk.head);
    desk.head.scheme = qd_proxy_wire::rules::scheme(cx.tls);
    let ended = recv.is_end_stream();
    let (now, later) = match desk.switch {
        Some(_) => (None, Some(recv)),
        None => (Some(recv), None),
    };
    let mut down = DownH2 {
        body: H2::new(None, now),
        respond,
        later,
    };
    let framing = match (ended, body::request_framing(&desk.head)) {
        // What follows is the other protocol's.
        _ if desk.switch.is_some() => Framing::None,
        (true, _) => Framing::None,
        (false, Ok(Framing::Length(n))) => Framing::Length(n),
        (false, _) => Framing::Chunked,
    };
    if let Err(e) = told {
        let begun = Instant::now();
        let fault = Fault::Translate(e);
        let kind = crate::answer::Kind::of(&desk.head, true);
        crate::answer::fault(&mut Down::H2(&mut down), &fault, kind).await;
        crate::account::refused(&cx, &fault, begun);
        return;
    }
    forward::serve(&cx, &mut desk, &mut Down::H2(&mut down), framing).await;
}
