//! A client's connection from its first byte to its end.

use std::{
    future::poll_fn,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use qd_proxy_policy::breaker::Verdict;
use qd_proxy_wire::{
    Detected, Framing, HeadError, Known, RequestHead, Scan, Version, body,
    detect::{detect, is_begun_http},
    hello::{self, HelloError},
    preamble::{self, PreambleError},
    rules,
};
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::{
    account, aim, answer,
    cluster::{Cluster, UpConn},
    connect::Want,
    conns::{Listed, Said, Spoken},
    exchange::{Down, Up},
    fault::Fault,
    flow::Stage,
    forward::{self, After, ConnCx, ConnTimes, Desk, Sum, acquire},
    identity,
    io::{Conn, Io},
    plan::{Protocol, Transparent},
    retries::choose,
    router, serve_h2,
    shared::{Shared, Slot, Stand},
    side::H1,
    tunnel::{expect_body, pass, poll_discard},
    way::{Client, Fork},
};

/// What is taken of a request after its connection is given up, so that the client reads the answer before it sees the end.
const LINGER: usize = 512 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How long a client may be silent before its upstream is asked whether it speaks first.
pub(crate) const SILENCE: Duration = Duration::from_millis(100);

/// Serves a connection.
pub(crate) async fn connection(
    shared: Arc<Shared>,
    worker: usize,
    slot: Arc<Slot>,
    io: Io,
    peer: Option<SocketAddr>,
    listed: Listed,
) {
    let stand = slot.stand.load_full();
    let mut cx = ConnCx {
        entry: Arc::clone(&listed.entry),
        local: slot.local,
        shared,
        worker,
        slot,
        peer,
        tls: false,
        names: Arc::from([]),
        times: ConnTimes::now(),
        again: None,
        aim: None,
    };
    let entry = Arc::clone(&listed.entry);
    let work = async {
        let mut conn = Conn::new(io, BytesMut::new());
        if let Err(fault) = begin(&mut cx, &stand, &mut conn).await {
            tracing::debug!(connection = cx.entry.id, "not served: {fault}");
            return;
        }
        if stand.plan.transparent == Transparent::On {
            return redirected(cx, &stand, conn).await;
        }
        let conn = match &stand.tls {
            Some(acceptor) => match secure(&stand, acceptor.live.get(), conn).await {
                Some((conn, h2, names, said)) => {
                    cx.times.handshake = Some(cx.times.accepted.elapsed());
                    cx.tls = true;
                    cx.names = names;
                    cx.entry.is_tls(said);
                    if h2 {
                        cx.times.detected();
                        return serve_h2::connection(cx, &stand, conn).await;
                    }
                    conn
                }
                None => return,
            },
            None => conn,
        };
        spoken(cx, &stand, conn).await;
    };
    // The future of a connection is large, and most connections do nothing most of the time.
    entry.unless_killed(Box::pin(work)).await;
    drop(listed);
}

/// Serves a connection that the system redirected here.
async fn redirected(mut cx: ConnCx, stand: &Stand, conn: Conn) {
    let to = match aim::original(&conn.io) {
        // One that was meant for the listener itself would come round for ever.
        Ok(to) if cx.slot.local.is_none_or(|l| l.port() != to.port() || !is_own(l, to)) => to,
        other => {
            tracing::debug!(connection = cx.entry.id, "not a redirected connection: {other:?}");
            conn.io.reset_on_close();
            return;
        }
    };
    cx.local = Some(to);
    let host = to.ip().to_canonical().to_string();
    aim::serve(cx, stand, conn, &host, to.port()).await;
}

/// Whether an address is one that the listener is bound to.
fn is_own(listener: SocketAddr, to: SocketAddr) -> bool {
    listener.ip().is_unspecified() && to.ip().is_loopback() || listener.ip().to_canonical() == to.ip().to_canonical()
}

/// Reads once; `None` at the end and after errors.
pub(crate) async fn more(conn: &mut Conn) -> Option<usize> {
    let n = poll_fn(|cx| conn.poll_read(cx)).await.ok()?;
    (n > 0).then_some(n)
}

/// Takes the PROXY header, of peers that must send it.
async fn begin(cx: &mut ConnCx, stand: &Stand, conn: &mut Conn) -> Result<(), Fault> {
    let Some(ip) = cx.peer.map(|p| p.ip()) else {
        return Ok(());
    };
    if !stand.plan.preamble_from.iter().any(|n| n.contains(ip)) {
        return Ok(());
    }
    let work = async {
        loop {
            match preamble::parse(&conn.rbuf) {
                Ok(found) => {
                    conn.consume(found.length);
                    return Ok(found.addresses);
                }
                Err(PreambleError::More) => more(conn).await.ok_or(Fault::ClientGone)?,
                Err(_) => return Err(Fault::Request("there is no PROXY header")),
            };
        }
    };
    let addresses = timeout(stand.plan.bounds.detect_timeout, work)
        .await
        .map_err(|_| Fault::SlowClient)??;
    if let Some((from, to)) = addresses {
        cx.peer = Some(from);
        cx.local = Some(to);
        cx.entry.set_peer(Some(from));
    }
    Ok(())
}

pub(crate) type Secured = (Conn, bool, Arc<[String]>, Said);

pub(crate) async fn secure(
    stand: &Stand,
    config: Arc<tokio_rustls::rustls::ServerConfig>,
    conn: Conn,
) -> Option<Secured> {
    let work = TlsAcceptor::from(config).accept(conn.into_rewound());
    match timeout(stand.plan.bounds.handshake_timeout, work).await {
        Ok(Ok(stream)) => {
            let shaken = stream.get_ref().1;
            let h2 = shaken.alpn_protocol() == Some(b"h2");
            let names = identity::of(shaken);
            let said = Said {
                version: identity::version(shaken),
                server_name: shaken.server_name().map(str::to_owned),
                identity: names.first().cloned(),
            };
            let io = Io::Tls(Box::new(TlsStream::Server(stream)));
            Some((Conn::new(io, BytesMut::new()), h2, Arc::from(names), said))
        }
        Ok(Err(e)) => {
            tracing::debug!("handshake: {e}");
            None
        }
        Err(_) => None,
    }
}

/// Finds out what is spoken and goes on with that.
async fn spoken(mut cx: ConnCx, stand: &Stand, mut conn: Conn) {
    let target = fork(&cx, stand, stand.opaque.as_ref());
    if stand.plan.protocol == Protocol::Opaque {
        match target {
            Some(cluster) => opaque(&cx, stand, cluster, conn, None).await,
            None => conn.io.reset_on_close(),
        }
        return;
    }
    let mut early: Option<Box<UpConn>> = None;
    let by = Instant::now() + stand.plan.bounds.detect_timeout;
    let detected = loop {
        match detect(&conn.rbuf) {
            Detected::More => {}
            Detected::Tls if !stand.passthrough.is_empty() => match hello::parse(&conn.rbuf) {
                Err(HelloError::More) => {}
                Ok(hello) => return by_name(&cx, stand, conn, hello.name.as_deref()).await,
                Err(HelloError::Invalid) => break Detected::Opaque,
            },
            other => break other,
        }
        let waits_for_first = conn.rbuf.is_empty() && early.is_none();
        let may_ask = waits_for_first && target.is_some() && stand.plan.protocol == Protocol::Auto;
        if may_ask && let Some(cluster) = target {
            match timeout(SILENCE, more(&mut conn)).await {
                Ok(Some(_)) => continue,
                Ok(None) => return,
                Err(_) => early = ask(&cx, cluster).await,
            }
            if early.is_some() {
                continue;
            }
        }
        let read = async {
            match &mut early {
                None => more(&mut conn).await.map(|_| false),
                // Whoever speaks first decides.
                Some(up) => {
                    poll_fn(|cx| {
                        if let Poll::Ready(n) = conn.poll_read(cx) {
                            return Poll::Ready(n.ok().filter(|n| *n > 0).map(|_| false));
                        }
                        match up.side.conn.poll_read(cx) {
                            Poll::Ready(Ok(n)) if n > 0 => Poll::Ready(Some(true)),
                            // It does not want to be spoken to; the client will be told when it asks.
                            Poll::Ready(_) => Poll::Ready(Some(true)),
                            Poll::Pending => Poll::Pending,
                        }
                    })
                    .await
                }
            }
        };
        match tokio::time::timeout_at(by, read).await {
            Ok(Some(false)) => {}
            Ok(Some(true)) => {
                // An upstream that closes unasked has nothing to say; HTTP may still be spoken over another connection.
                match early.as_ref().is_some_and(|up| !up.side.conn.rbuf.is_empty()) {
                    true => break Detected::Opaque,
                    false => early = None,
                }
            }
            Ok(None) => return,
            Err(_) => {
                cx.shared.meter.detect_timeout(cx.worker);
                match conn.rbuf.is_empty() {
                    true => return,
                    // It is told that it is slow; its upstream has nothing to do with it.
                    false if is_begun_http(&conn.rbuf) => break Detected::Http1,
                    false => break Detected::Opaque,
                }
            }
        }
    };
    cx.times.detected();
    match detected {
        Detected::Http2 => serve_h2::connection(cx, stand, conn).await,
        Detected::Http1 => {
            if let (Some(mut up), Some(cluster)) = (early, target)
                && !up.side.conn.is_stale()
            {
                let endpoint = Arc::clone(&up.slot.0);
                if cluster.tls.is_none() && cluster.plan.is_shared() {
                    endpoint.checkin(cx.worker, up, cluster.plan.idle, Instant::now());
                }
            }
            http1(cx, conn).await;
        }
        _ => match (target, stand.plan.protocol) {
            (Some(cluster), Protocol::Auto) => opaque(&cx, stand, cluster, conn, early).await,
            _ => {
                // Whatever it is, it is told in the only words there are.
                http1(cx, conn).await;
            }
        },
    }
}

/// The cluster of bytes, if the client may go there.
fn fork<'s>(cx: &ConnCx, stand: &'s Stand, fork: Option<&'s Fork>) -> Option<&'s Arc<Cluster>> {
    let fork = fork?;
    let client = Client {
        address: cx.peer.map(|p| p.ip()),
        names: &cx.names,
    };
    if !client.may(stand.plan.access.as_ref(), &fork.name) {
        tracing::debug!(connection = cx.entry.id, "{}", Fault::Denied);
        return None;
    }
    fork.cluster(cx.shared.roll(cx.worker, |dice| dice.bits()))
}

/// Opens a connection to the upstream before the client has said anything.
pub(crate) async fn ask(cx: &ConnCx, cluster: &Cluster) -> Option<Box<UpConn>> {
    let mut going = choose(cx, cluster, &[], None).await.ok()?;
    let endpoint = Arc::clone(&going.sent.endpoint);
    let asked = acquire(cx, cluster, &endpoint, Want::Opaque, None).await;
    going.verdict(match asked {
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Failure,
    });
    asked.ok()?.ok()
}

/// TLS that is passed through goes by the name that the client asks for.
async fn by_name(cx: &ConnCx, stand: &Stand, conn: Conn, name: Option<&str>) {
    cx.entry.asks_for(name);
    let name = name.unwrap_or_default().as_bytes();
    let found = stand.passthrough.iter().find(|(p, _)| router::host_fits(p, name));
    match fork(cx, stand, found.map(|(_, fork)| fork).or(stand.opaque.as_ref())) {
        Some(cluster) => opaque(cx, stand, cluster, conn, None).await,
        None => {
            tracing::debug!(connection = cx.entry.id, "no cluster for this name");
            conn.io.reset_on_close();
        }
    }
}

/// Passes bytes.
pub(crate) async fn opaque(cx: &ConnCx, stand: &Stand, cluster: &Cluster, conn: Conn, early: Option<Box<UpConn>>) {
    cx.entry.speaks(Spoken::Opaque);
    let begun = Instant::now();
    let mut sum = Sum {
        capture: forward::begin(cx, &RequestHead::default(), begun, "TCP"),
        cluster: Some(Arc::clone(&cluster.name)),
        ..Sum::default()
    };
    let mut tried: Vec<u64> = Vec::new();
    let mut early = early;
    let mut up = loop {
        if let Some(up) = early.take() {
            break up;
        }
        let Ok(mut going) = choose(cx, cluster, &tried, None).await else {
            conn.io.reset_on_close();
            return;
        };
        let endpoint = Arc::clone(&going.sent.endpoint);
        sum.attempts += 1;
        sum.endpoint = Some(Arc::clone(&endpoint));
        if let Some(capture) = &mut sum.capture {
            capture.times.chosen = Some(capture.since());
        }
        match acquire(cx, cluster, &endpoint, Want::Opaque, None).await {
            Ok(Ok(up)) => {
                going.verdict(Verdict::Success);
                going.sent.settle();
                break up;
            }
            Ok(Err(_)) => return,
            Err(fault) => {
                endpoint.failed();
                going.verdict(Verdict::Failure);
                tracing::debug!(connection = cx.entry.id, "{fault}");
                if tried.contains(&endpoint.id) {
                    conn.io.reset_on_close();
                    return;
                }
                tried.push(endpoint.id);
            }
        }
    };
    let mut side = H1::new(conn, stand.plan.bounds.head);
    side.tunnel();
    if let Some(capture) = &mut sum.capture {
        let opened = up.opened.take();
        capture.times.connected = Some(capture.since());
        capture.times.dial = opened.map(|o| o.dial);
        capture.times.upstream_handshake = opened.and_then(|o| o.handshake);
        capture.flow.set_stage(Stage::Answering);
    }
    sum.endpoint = Some(Arc::clone(&up.slot.0));
    let mut up = Up::H1(up);
    if let Up::H1(conn) = &mut up {
        conn.side.tunnel();
    }
    let mut alarm = crate::alarm::Alarm::default();
    let mut down = Down::H1(&mut side);
    let (result, request, response) = pass(cx, stand, &mut down, &mut up, &mut alarm, sum.capture.as_deref_mut()).await;
    if let Some(mut capture) = sum.capture.take() {
        let fault = result.as_ref().err().cloned();
        capture.finish(begun.elapsed(), sum.ended(fault));
    }
    cx.shared.meter.tunnel(cx.worker);
    cx.entry.received.fetch_add(request, Ordering::Relaxed);
    cx.entry.sent.fetch_add(response, Ordering::Relaxed);
    match result {
        Ok(()) => {}
        Err(Fault::ClientGone) => {
            if let Up::H1(conn) = &up {
                conn.side.conn.io.reset_on_close();
            }
        }
        Err(_) => side.conn.io.reset_on_close(),
    }
}

/// Why no head came.
enum NoHead {
    /// The connection ended between requests.
    End,
    Bad(HeadError),
    Slow,
}

/// Waits for a whole head; gives where it ends.
async fn read_head(
    cx: &ConnCx,
    side: &mut H1,
    desk: &mut Desk,
    stand: &Stand,
    idle: Duration,
) -> Result<usize, NoHead> {
    let bounds = &stand.plan.bounds;
    let mut scan = Scan::default();
    let mut begun = !side.conn.rbuf.is_empty();
    let mut armed = false;
    poll_fn(|task| {
        loop {
            if begun && let Some(end) = scan.find(&side.conn.rbuf, &bounds.head).map_err(NoHead::Bad)? {
                return Poll::Ready(Ok(end));
            }
            if !begun && cx.entry.poll_drain(task).is_ready() {
                return Poll::Ready(Err(NoHead::End));
            }
            match side.conn.poll_read(task) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    if !begun {
                        begun = true;
                        armed = false;
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Err(NoHead::End)),
                Poll::Pending => {
                    if !armed {
                        armed = true;
                        desk.alarm.after(if begun { bounds.head_timeout } else { idle });
                        if !begun {
                            side.conn.rest();
                            desk.head.fields.shrink(4096);
                            desk.answer.fields.shrink(4096);
                        }
                    }
                    return match desk.alarm.poll(task) {
                        Poll::Ready(()) if begun => Poll::Ready(Err(NoHead::Slow)),
                        Poll::Ready(()) => Poll::Ready(Err(NoHead::End)),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    })
    .await
}

/// What is wrong with a head that could be read.
fn objection(desk: &Desk) -> Option<Fault> {
    let head = &desk.head;
    let hosts = head.fields.all(Known::Host).count();
    if hosts > 1 || (hosts == 0 && head.version == Version::Http11) {
        return Some(Fault::Request("there must be one Host"));
    }
    if let Some(host) = head.host()
        && !host.is_empty()
        && qd_proxy_wire::Authority::parse(host).is_none()
    {
        return Some(Fault::Request("the Host can't be one"));
    }
    None
}

/// Serves requests of HTTP/1, one after another.
pub(crate) async fn http1(cx: ConnCx, conn: Conn) {
    cx.entry.speaks(Spoken::Http1);
    let mut stand = cx.slot.stand.load_full();
    let mut side = H1::new(conn, stand.plan.bounds.head);
    let mut desk = Desk::default();
    let mut idle = stand.plan.bounds.head_timeout;
    loop {
        let read = read_head(&cx, &mut side, &mut desk, &stand, idle).await;
        let fault = match read {
            Ok(end) => {
                let text = side.conn.rbuf.get(..end).unwrap_or_default();
                let parsed = desk.head.parse(text, &stand.plan.bounds.head);
                side.conn.consume(end);
                match parsed {
                    Ok(()) => None,
                    Err(e) => Some(Fault::Head(e)),
                }
            }
            Err(NoHead::End) => break,
            Err(NoHead::Bad(e)) => Some(Fault::Head(e)),
            Err(NoHead::Slow) => Some(Fault::SlowClient),
        };
        desk.alarm.clear();
        let framing = match fault.or_else(|| objection(&desk)) {
            Some(fault) => Err(fault),
            None => body::request_framing(&desk.head).map_err(Fault::Body),
        };
        let after = match framing {
            Ok(framing) => {
                desk.head.scheme = rules::scheme(cx.tls);
                expect_body(&mut side, framing);
                forward::serve(&cx, &mut desk, &mut Down::H1(&mut side), framing).await
            }
            Err(fault) => {
                // Where this message ends is not known.
                expect_body(&mut side, Framing::UntilClose);
                let kind = answer::Kind {
                    is_grpc: false,
                    is_head: false,
                    version: Version::Http11,
                    keep: false,
                };
                account::refused(&cx, &fault, Instant::now());
                answer::fault(&mut Down::H1(&mut side), &fault, kind).await
            }
        };
        // What was spoken within a tunnel has been counted there.
        cx.entry.received.fetch_max(side.conn.received, Ordering::Relaxed);
        cx.entry.sent.fetch_max(side.conn.sent, Ordering::Relaxed);
        match after {
            After::Keep => {}
            After::Close => {
                linger(&mut side).await;
                break;
            }
            After::Cut => break,
        }
        let now = cx.slot.stand.load();
        if !Arc::ptr_eq(&now, &stand) {
            stand = Arc::clone(&now);
            side.limits = stand.plan.bounds.head;
        }
        idle = stand.plan.bounds.idle_timeout;
    }
}

/// Ends a connection so that what was said last is read: closing with unread bytes would take it back.
async fn linger(side: &mut H1) {
    if poll_fn(|cx| side.conn.poll_shutdown(cx)).await.is_err() {
        return;
    }
    // What follows a finished message is not wanted either.
    expect_body(side, Framing::UntilClose);
    let mut left = LINGER;
    let _ = timeout(LINGER_TIME, poll_fn(|cx| poll_discard(cx, side, &mut left))).await;
}
