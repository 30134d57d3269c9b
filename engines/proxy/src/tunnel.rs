//! Bytes that are passed as they come: CONNECT, switched protocols, what is not HTTP.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use qd_proxy_policy::breaker::Verdict;
use qd_proxy_wire::{Authority, Decoder, Framing, ResponseHead, Scan, Version};
use tokio::time::Instant;

use crate::{
    aim,
    alarm::Alarm,
    connect::Want,
    exchange::{Down, Exchange, Outgoing, Times, Up, Watches},
    fault::Fault,
    flow::Stage,
    forward::{After, ConnCx, ConnTimes, Desk, Sum, acquire},
    io::{Conn, Io},
    retries::choose,
    shared::Stand,
    side::{Filled, H1, Pumped, Replay, Source},
    tap::Capture,
};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// CONNECT: bytes to the host that the client names.
pub(crate) async fn connect(
    cx: &ConnCx,
    stand: &Stand,
    desk: &mut Desk,
    down: &mut Down<'_>,
    authority: &Authority,
    sum: &mut Sum,
) -> Result<After, Fault> {
    let port = authority.port.ok_or(Fault::Request("CONNECT needs a port"))?;
    if stand.authority.is_some()
        && cx.aim.is_none()
        && let Down::H1(side) = down
    {
        side.conn.wbuf.extend_from_slice(ESTABLISHED);
        poll_fn(|cx| side.conn.poll_flush(cx))
            .await
            .map_err(|_| Fault::ClientGone)?;
        sum.status = 200;
        sum.started = true;
        if let Some(capture) = &sum.capture {
            capture.flow.set_stage(Stage::Answering);
        }
        let conn = std::mem::replace(&mut side.conn, Conn::new(Io::Nobody, BytesMut::new()));
        let inner = ConnCx {
            times: ConnTimes::now(),
            ..cx.clone()
        };
        aim::serve(inner, stand, conn, &authority.host, port).await;
        return Ok(After::Cut);
    }
    let cluster = cx.shared.host(&authority.host, port);
    let cluster = cluster.ok_or_else(|| Fault::NoEndpoint(Arc::from(authority.to_string())))?;
    let mut going = choose(cx, &cluster, &[], None).await?;
    let endpoint = Arc::clone(&going.sent.endpoint);
    sum.cluster = Some(Arc::clone(&cluster.name));
    sum.endpoint = Some(Arc::clone(&endpoint));
    sum.attempts = 1;
    let conn = match acquire(cx, &cluster, &endpoint, Want::Opaque, None).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(_)) => return Err(Fault::Protocol),
        Err(fault) => {
            going.verdict(Verdict::Failure);
            return Err(fault);
        }
    };
    going.verdict(Verdict::Success);
    going.sent.settle();
    let mut up = Up::H1(conn);
    if let Up::H1(conn) = &mut up {
        conn.side.tunnel();
    }
    sum.status = 200;
    sum.started = true;
    match down {
        Down::H1(side) => {
            side.conn.wbuf.extend_from_slice(ESTABLISHED);
            side.tunnel();
        }
        Down::H2(_) => {
            let out = Outgoing {
                framing: Framing::UntilClose,
                version: Version::Http2,
                keep: true,
                is_head: false,
                upgrade: None,
            };
            down.send_head(&ResponseHead::new(200), out)?;
        }
    }
    cx.shared.meter.tunnel(cx.worker);
    let (result, request, response) = pass(cx, stand, down, &mut up, &mut desk.alarm, sum.capture.as_deref_mut()).await;
    sum.request_bytes = request;
    sum.response_bytes = response;
    result?;
    Ok(match down {
        Down::H1(_) => After::Close,
        Down::H2(_) => After::Keep,
    })
}

/// Passes bytes both ways until both ends are done; gives how many went each way.
pub(crate) async fn pass(
    _cx: &ConnCx,
    stand: &Stand,
    down: &mut Down<'_>,
    up: &mut Up,
    alarm: &mut Alarm,
    capture: Option<&mut Capture>,
) -> (Result<(), Fault>, u64, u64) {
    let mut replay = Replay::default();
    let watches = match capture {
        Some(c) => Watches {
            request: Some(&mut c.request),
            response: Some(&mut c.response),
        },
        None => Watches::default(),
    };
    let mut exchange = Exchange {
        down,
        up,
        replay: &mut replay,
        replay_most: 0,
        alarm,
        times: Times {
            total: None,
            attempt: None,
            idle: stand.plan.bounds.idle_timeout.max(Duration::from_secs(1)),
            now: Instant::now(),
        },
        watches,
        body_most: None,
        request: Pumped::default(),
        response: Pumped::default(),
        request_done: false,
        write_failed: None,
        scan: Scan::default(),
        interims: 0,
        kept: None,
        web: None,
    };
    exchange.arm(false);
    let result = poll_fn(|cx| exchange.poll_tunnel(cx)).await;
    (result, exchange.request.bytes, exchange.response.bytes)
}

/// Gets a client's end ready for a body that comes so.
pub(crate) fn expect_body(side: &mut H1, framing: Framing) {
    side.decoder = Decoder::new(framing);
}

/// Takes what is left of a body, up to so many bytes; whether it came to its end.
pub(crate) fn poll_discard(cx: &mut Context<'_>, source: &mut impl Source, left: &mut usize) -> Poll<bool> {
    loop {
        match ready!(source.poll_fill(cx)) {
            Ok(Filled::Data(n)) if n <= *left => {
                *left -= n;
                source.consume(n);
            }
            Ok(Filled::End(_)) => return Poll::Ready(true),
            _ => return Poll::Ready(false),
        }
    }
}
