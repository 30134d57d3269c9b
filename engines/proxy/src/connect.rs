//! Coming to a connection with an upstream: names, addresses, the race between them, TLS.
//!
//! Addresses of both families are tried in turn, the next one a quarter of a second after the one before unless that has
//! failed already (RFC 8305); the first that answers is taken and the others are dropped.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::FuturesUnordered};
use qd_proxy_wire::{Limits, preamble};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    cluster::{Cluster, Endpoint, Link, Opened, Slot, UpConn},
    fault::Fault,
    io::{Conn, Io, Rewound},
    plan::{Address, SendPreamble},
    side::H1,
};

/// When the next address is tried.
const STAGGER: Duration = Duration::from_millis(250);

/// Heads of upstreams may be larger than those of clients.
const UPSTREAM_LIMITS: Limits = Limits {
    head_bytes: 256 * 1024,
    fields: 512,
};

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Http1,
    Http2,
    /// Whichever the upstream chooses in the handshake of TLS; HTTP/1 without TLS.
    Either,
    /// Bytes.
    Opaque,
}

/// What came of it.
pub(crate) enum Connected {
    H1(Box<UpConn>),
    H2(Arc<Link>),
}

/// The addresses of an endpoint, those of the two families in turn.
async fn addresses(endpoint: &Endpoint, host: &str, port: u16, believed: Duration) -> Result<Arc<[SocketAddr]>, Fault> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Arc::from([SocketAddr::new(ip, port)]));
    }
    if let Some((when, known)) = &*endpoint.resolved.lock()
        && when.elapsed() < believed
    {
        return Ok(Arc::clone(known));
    }
    let failed = |why: String| Fault::Dns(Arc::clone(&endpoint.name), Arc::from(why));
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|e| failed(e.to_string()))?;
    let (mut six, mut four): (Vec<_>, Vec<_>) = found.take(32).partition(SocketAddr::is_ipv6);
    let mut all = Vec::with_capacity(six.len() + four.len());
    six.reverse();
    four.reverse();
    loop {
        match (six.pop(), four.pop()) {
            (None, None) => break,
            (a, b) => all.extend(a.into_iter().chain(b)),
        }
    }
    if all.is_empty() {
        return Err(failed("it has no address".to_owned()));
    }
    let all: Arc<[SocketAddr]> = Arc::from(all);
    let before = endpoint.resolved.lock().replace((Instant::now(), Arc::clone(&all)));
    if before.is_some_and(|(_, old)| old.iter().any(|a| !all.contains(a))) {
        // Whoever was at the old address is not the host any more.
        endpoint.purge();
    }
    Ok(all)
}

/// The first of the addresses that answers.
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;
    if let [only] = addresses {
        return TcpStream::connect(*only).await;
    }
    let mut attempts: FuturesUnordered<Attempt> = FuturesUnordered::new();
    let mut rest = addresses.iter();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        match rest.next() {
            Some(address) => attempts.push(Box::pin(TcpStream::connect(*address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let more = rest.len() > 0;
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

async fn dial(cluster: &Cluster, endpoint: &Endpoint) -> Result<Io, Fault> {
    let failed = |e: io::Error| Fault::Connect(Arc::clone(&endpoint.name), e.kind());
    match &endpoint.address {
        Address::Tcp(host, port) => {
            let addresses = addresses(endpoint, host, *port, cluster.plan.resolve).await?;
            let stream = race(&addresses).await.map_err(failed)?;
            let _ = stream.set_nodelay(true);
            Ok(Io::Tcp(stream))
        }
        Address::Unix(path) => Ok(Io::Unix(UnixStream::connect(path).await.map_err(failed)?)),
    }
}

async fn secure(cluster: &Cluster, endpoint: &Endpoint, io: Io, want: Want) -> Result<(Io, bool), Fault> {
    let Some(tls) = &cluster.tls else {
        return Ok((io, false));
    };
    let host = match &endpoint.address {
        Address::Tcp(host, _) => host.as_str(),
        Address::Unix(_) => "localhost",
    };
    let name = tls.plan.server_name(host)?;
    let mut config = rustls_config(&tls.live.get(), want);
    config.enable_sni = true;
    let plain = Rewound {
        prefix: Bytes::new(),
        io,
    };
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, plain)
        .await
        .map_err(|e| Fault::Tls(Arc::clone(&endpoint.name), Arc::from(e.to_string())))?;
    let chosen = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Io::Tls(Box::new(TlsStream::Client(stream))), chosen))
}

fn rustls_config(base: &tokio_rustls::rustls::ClientConfig, want: Want) -> tokio_rustls::rustls::ClientConfig {
    let mut config = base.clone();
    config.alpn_protocols = match want {
        Want::Http1 => vec![b"http/1.1".to_vec()],
        Want::Http2 => vec![b"h2".to_vec()],
        Want::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Want::Opaque => Vec::new(),
    };
    config
}

/// Opens a connection; `from` and `to` are the client's ends, for a PROXY header.
pub(crate) async fn connect(
    cluster: &Cluster,
    slot: Slot,
    worker: usize,
    want: Want,
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Result<Connected, Fault> {
    let endpoint = Arc::clone(&slot.0);
    endpoint.tally.connects.fetch_add(1, Ordering::Relaxed);
    let work = async {
        let began = Instant::now();
        let mut io = dial(cluster, &endpoint).await?;
        let dialled = Instant::now();
        if !cluster.plan.is_shared() {
            let mut header = Vec::new();
            match cluster.plan.preamble {
                SendPreamble::V1 => preamble::write_text(&mut header, ends),
                SendPreamble::None | SendPreamble::V2 => preamble::write(&mut header, ends),
            }
            let failed = |e: io::Error| Fault::Io(e.kind());
            tokio::io::AsyncWriteExt::write_all(&mut io, &header)
                .await
                .map_err(failed)?;
        }
        let (io, chose_h2) = secure(cluster, &endpoint, io, want).await?;
        let is_tls = cluster.tls.is_some();
        let opened = Opened {
            dial: dialled - began,
            handshake: is_tls.then(|| dialled.elapsed()),
        };
        let h2 = match want {
            Want::Http2 => true,
            Want::Either => chose_h2,
            Want::Http1 | Want::Opaque => false,
        };
        if !h2 {
            let side = H1::new(Conn::new(io, BytesMut::new()), UPSTREAM_LIMITS);
            return Ok((Some(side), None, is_tls, opened));
        }
        let shaken = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(256 * 1024)
            .max_send_buffer_size(256 * 1024)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(|e| Fault::h2(&e))?;
        Ok((None, Some(shaken), is_tls, opened))
    };
    let result = match timeout(cluster.plan.connect_timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::ConnectTimeout(Arc::clone(&endpoint.name))),
    };
    match result {
        Ok((Some(side), _, _, opened)) => Ok(Connected::H1(Box::new(UpConn::new(side, slot, opened)))),
        Ok((None, Some((send, connection)), tls, opened)) => {
            let link = Arc::new(Link {
                send,
                active: 0.into(),
                dead: false.into(),
                tls,
                idle_since: Instant::now().into(),
                opened: Some(opened).into(),
                close: tokio::sync::Notify::new(),
            });
            tokio::spawn(drive(connection, Arc::clone(&link), slot, cluster.plan.ping));
            endpoint.add_link(worker, Arc::clone(&link));
            Ok(Connected::H2(link))
        }
        Ok((None, None, ..)) => Err(Fault::Protocol),
        Err(fault) => {
            endpoint.tally.connect_failures.fetch_add(1, Ordering::Relaxed);
            Err(fault)
        }
    }
}

/// How long a connection of HTTP/2 may take to say that it lives.
const PING_WITHIN: Duration = Duration::from_secs(10);

/// Works for all streams of a connection of HTTP/2.
async fn drive(mut connection: h2::client::Connection<Io, Bytes>, link: Arc<Link>, slot: Slot, ping: Duration) {
    let pings = connection.ping_pong();
    let alive = async {
        let Some(mut pings) = pings.filter(|_| !ping.is_zero()) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(ping).await;
            if link.active.load(Ordering::Relaxed) == 0 {
                continue;
            }
            match timeout(PING_WITHIN.min(ping), pings.ping(h2::Ping::opaque())).await {
                Ok(Ok(_)) => {}
                _ => return,
            }
        }
    };
    let closed = async {
        link.close.notified().await;
        // Streams that go on are waited for.
        while link.active.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        _ = connection => {}
        () = alive => {}
        () = closed => {}
    }
    link.dead.store(true, Ordering::Release);
    drop(slot);
}
