//! Connections that say where they are going before they say what they speak: those inside a CONNECT that is looked into,
//! and those that the system redirected to a transparent listener.
//!
//! What is HTTP is served request by request, TLS is opened where the listener has an authority for that, and anything else
//! is passed as bytes.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use qd_proxy_wire::{
    Detected,
    detect::detect,
    hello::{self, Hello, HelloError},
};
use socket2::SockRef;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    cluster::{Cluster, UpConn},
    forward::ConnCx,
    io::{Conn, Io},
    serve::{SILENCE, ask, http1, more, opaque, secure},
    serve_h2,
    shared::Stand,
};

/// Where the requests of a connection go.
#[derive(Debug)]
pub(crate) struct Aim {
    pub(crate) cluster: Arc<Cluster>,
}

/// Where a connection was going before the system redirected it.
pub(crate) fn original(io: &Io) -> io::Result<SocketAddr> {
    let Io::Tcp(stream) = io else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let socket = SockRef::from(stream);
    let is_four = stream.local_addr()?.ip().to_canonical().is_ipv4();
    let found = match is_four {
        true => socket.original_dst_v4()?,
        false => socket.original_dst_v6()?,
    };
    found.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// What a client began with.
enum Began {
    Known(Detected),
    Tls(Hello),
    /// The upstream spoke first, over this connection.
    Upstream(Box<UpConn>),
    /// It left.
    Gone,
}

async fn begin(cx: &ConnCx, stand: &Stand, conn: &mut Conn, plain: &Cluster) -> Began {
    let by = Instant::now() + stand.plan.bounds.detect_timeout;
    let mut asked = false;
    let mut early: Option<Box<UpConn>> = None;
    loop {
        match detect(&conn.rbuf) {
            Detected::More => {}
            Detected::Tls => match hello::parse(&conn.rbuf) {
                Ok(hello) => return Began::Tls(hello),
                Err(HelloError::More) => {}
                Err(HelloError::Invalid) => return Began::Known(Detected::Opaque),
            },
            known => return Began::Known(known),
        }
        if conn.rbuf.is_empty() && !asked {
            asked = true;
            match timeout(SILENCE, more(conn)).await {
                Ok(Some(_)) => {}
                Ok(None) => return Began::Gone,
                // It may be the other end that speaks first.
                Err(_) => early = ask(cx, plain).await,
            }
            continue;
        }
        let read = poll_fn(|task| {
            if let Poll::Ready(n) = conn.poll_read(task) {
                return Poll::Ready(n.ok().filter(|n| *n > 0).map(|_| false));
            }
            match &mut early {
                Some(up) => up.side.conn.poll_read(task).map(|_| Some(true)),
                None => Poll::Pending,
            }
        });
        match timeout_at(by, read).await {
            Ok(Some(false)) => {}
            Ok(Some(true)) => {
                if let Some(up) = early.take()
                    && !up.side.conn.rbuf.is_empty()
                {
                    return Began::Upstream(up);
                }
            }
            Ok(None) => return Began::Gone,
            Err(_) => {
                cx.shared.meter.detect_timeout(cx.worker);
                return match conn.rbuf.is_empty() {
                    true => Began::Gone,
                    false => Began::Known(Detected::Opaque),
                };
            }
        }
    }
}

/// Serves a connection to its end. It may hold another one of its kind, so its future has no type of its own.
pub(crate) fn serve<'a>(
    mut cx: ConnCx,
    stand: &'a Stand,
    mut conn: Conn,
    host: &'a str,
    port: u16,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        let Some(plain) = cx.shared.host(host, port) else {
            conn.io.reset_on_close();
            return;
        };
        let began = begin(&cx, stand, &mut conn, &plain).await;
        cx.times.detected();
        match began {
            Began::Gone => {}
            Began::Upstream(up) => opaque(&cx, stand, &plain, conn, Some(up)).await,
            Began::Tls(hello) => tls(cx, stand, conn, &plain, (host, port), hello).await,
            Began::Known(Detected::Http1) => {
                cx.aim = Some(Arc::new(Aim { cluster: plain }));
                http1(cx, conn).await;
            }
            Began::Known(Detected::Http2) => {
                let cluster = cx.shared.host_h2(host, port).unwrap_or(plain);
                cx.aim = Some(Arc::new(Aim { cluster }));
                serve_h2::connection(cx, stand, conn).await;
            }
            Began::Known(_) => opaque(&cx, stand, &plain, conn, None).await,
        }
    })
}

async fn tls(mut cx: ConnCx, stand: &Stand, conn: Conn, plain: &Arc<Cluster>, to: (&str, u16), hello: Hello) {
    let (host, port) = to;
    let name = hello.name.as_deref().unwrap_or(host);
    let authority = match &stand.authority {
        Some(authority) if !authority.leaves_closed(name) && !authority.leaves_closed(host) => authority,
        _ => return opaque(&cx, stand, plain, conn, None).await,
    };
    let (Ok(config), Some(cluster)) = (
        authority.present(name),
        cx.shared.host_tls(host, port, name, &authority.upstream),
    ) else {
        tracing::debug!(connection = cx.entry.id, "no certificate can be made for `{name}`");
        conn.io.reset_on_close();
        return;
    };
    let began = Instant::now();
    let Some((conn, h2, _, said)) = secure(stand, config, conn).await else {
        tracing::debug!(
            connection = cx.entry.id,
            "the client does not trust the certificate for `{name}`"
        );
        return;
    };
    cx.times.handshake = Some(began.elapsed());
    cx.tls = true;
    cx.entry.is_tls(said);
    cx.aim = Some(Arc::new(Aim { cluster }));
    match h2 {
        true => serve_h2::connection(cx, stand, conn).await,
        false => http1(cx, conn).await,
    }
}
