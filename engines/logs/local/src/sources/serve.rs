//! Serving sockets: accepting connections and receiving datagrams, for `socket` and `syslog`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use memchr::memrchr;
use qd_core::Severity;
use qd_logs_codecs::Decoded;
use qd_logs_config::common::TlsConfig;
use qd_logs_model::{
    Batch, BoxFuture, BuildError, Closed, ComponentError, Context, Origin, Rows, Shutdown, Source, SourceOut, Value,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use vrl::path::OwnedValuePath;

use super::{
    listen::{Keepalive, Network, SocketFile, acceptor, clear_path, permitted},
    stream::{Codec, Over, Received, message, origin, pump},
};

/// How long a client may take for TLS's handshake if the configuration does not say.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long accepting pauses when it fails, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of a peer.
#[derive(Debug, Clone)]
enum Peer {
    Net(SocketAddr),
    /// The path of a unix socket, if it has one.
    Unix(Option<String>),
}

/// Where the peer goes in an event.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) host: Option<OwnedValuePath>,
    pub(crate) port: Option<OwnedValuePath>,
    /// For syslog: where the host goes that a message names (else the peer), and where the peer's address goes.
    pub(crate) syslog: Option<(Option<OwnedValuePath>, OwnedValuePath)>,
}

impl Fields {
    fn of(&self, peer: &Peer) -> Vec<(OwnedValuePath, Value)> {
        let (host, port) = peer.values();
        let mut all = Vec::new();
        all.extend(self.host.clone().zip(host));
        all.extend(self.port.clone().zip(port));
        all
    }

    /// What syslog messages get that depends on the message.
    fn finish(&self, peer: &Peer, decoded: &mut Decoded) {
        let Some((host_key, ip_key)) = &self.syslog else {
            return;
        };
        let (host, _) = peer.values();
        let hostname = OwnedValuePath::single_field("hostname");
        for batch in &mut decoded.batches {
            let Batch::Logs(logs) = batch else { continue };
            let Rows::Events(events) = &mut logs.rows else { continue };
            for event in events {
                if let Some(host) = &host {
                    event.value.insert(ip_key, host.clone());
                }
                let named = event.value.get(&hostname).cloned().or_else(|| host.clone());
                if let (Some(path), Some(host)) = (host_key, named) {
                    event.value.insert(path, host);
                }
            }
        }
    }
}

impl Peer {
    fn values(&self) -> (Option<Value>, Option<Value>) {
        match self {
            Peer::Net(a) => (
                Some(Value::from(a.ip().to_canonical().to_string())),
                Some(Value::from(i64::from(a.port()))),
            ),
            Peer::Unix(path) => (path.clone().map(Value::from), None),
        }
    }
}

/// Options of a TCP server.
#[derive(Debug)]
pub(crate) struct TcpOptions {
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) permit_origin: Option<Vec<Network>>,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) receive_buffer: Option<usize>,
    /// How long a connection may last.
    pub(crate) most: Option<Duration>,
    pub(crate) handshake: Option<Duration>,
    pub(crate) limit: Option<u32>,
}

/// Options of a UDP server.
#[derive(Debug)]
pub(crate) struct UdpOptions {
    pub(crate) groups: Vec<Ipv4Addr>,
    pub(crate) interface: Option<Ipv4Addr>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) max_length: usize,
}

/// A server of connections.
pub(crate) enum Streams {
    Tcp {
        listener: TcpListener,
        options: Box<TcpOptions>,
        tls: Option<TlsAcceptor>,
    },
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
}

fn cannot_bind(what: &dyn std::fmt::Display, key: &str, e: &std::io::Error) -> BuildError {
    BuildError::of(key, format!("cannot listen at {what}: {e}"))
}

impl Streams {
    pub(crate) async fn tcp(address: SocketAddr, options: TcpOptions) -> Result<Streams, BuildError> {
        let tls = acceptor(options.tls.as_ref())?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| cannot_bind(&address, "address", &e))?;
        let options = Box::new(options);
        Ok(Streams::Tcp { listener, options, tls })
    }

    pub(crate) fn unix(path: &Path, mode: Option<u32>) -> Result<Streams, BuildError> {
        clear_path(path, std::os::unix::net::UnixStream::connect(path).is_ok())?;
        let listener = UnixListener::bind(path).map_err(|e| cannot_bind(&path.display(), "path", &e))?;
        Ok(Streams::Unix {
            listener,
            _file: SocketFile::new(path, mode)?,
        })
    }
}

enum Socket {
    Udp(UdpSocket),
    Unix(
        UnixDatagram,
        #[allow(dead_code, reason = "removes the file when dropped")] SocketFile,
    ),
}

/// A receiver of datagrams.
pub(crate) struct Datagrams {
    socket: Socket,
    max_length: usize,
}

impl Datagrams {
    pub(crate) async fn udp(address: SocketAddr, options: &UdpOptions) -> Result<Datagrams, BuildError> {
        let socket = UdpSocket::bind(address)
            .await
            .map_err(|e| cannot_bind(&address, "address", &e))?;
        if !options.groups.is_empty() {
            let IpAddr::V4(own) = address.ip() else {
                return Err(BuildError::of("multicast_groups", "only IPv4 multicast is supported"));
            };
            let interface = options.interface.unwrap_or(own);
            for group in &options.groups {
                socket.join_multicast_v4(*group, interface).map_err(|e| {
                    BuildError::of("multicast_groups", format!("cannot join {group} at {interface}: {e}"))
                })?;
            }
        }
        if let Some(bytes) = options.receive_buffer {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, bytes)
                .map_err(|e| BuildError::of("receive_buffer_bytes", format!("cannot set the buffer's size: {e}")))?;
        }
        Ok(Datagrams {
            socket: Socket::Udp(socket),
            max_length: options.max_length,
        })
    }

    pub(crate) fn unix(path: &Path, mode: Option<u32>, max_length: usize) -> Result<Datagrams, BuildError> {
        let probe = std::os::unix::net::UnixDatagram::unbound();
        clear_path(path, probe.and_then(|p| p.connect(path)).is_ok())?;
        let socket = UnixDatagram::bind(path).map_err(|e| cannot_bind(&path.display(), "path", &e))?;
        Ok(Datagrams {
            socket: Socket::Unix(socket, SocketFile::new(path, mode)?),
            max_length,
        })
    }

    async fn receive(&self, buf: &mut [u8]) -> std::io::Result<(usize, Peer)> {
        match &self.socket {
            Socket::Udp(s) => s.recv_from(buf).await.map(|(n, a)| (n, Peer::Net(a))),
            Socket::Unix(s, _) => s.recv_from(buf).await.map(|(n, a)| (n, unix_peer(&a))),
        }
    }
}

fn unix_peer(address: &tokio::net::unix::SocketAddr) -> Peer {
    Peer::Unix(address.as_pathname().map(|p| p.to_string_lossy().into_owned()))
}

/// What a source listens with.
pub(crate) enum Listening {
    Streams(Streams),
    Datagrams(Datagrams),
}

/// A source that listens.
pub(crate) struct Service {
    pub(crate) ty: &'static str,
    pub(crate) cx: Context,
    pub(crate) listening: Listening,
    pub(crate) codec: Codec,
    pub(crate) fields: Fields,
    pub(crate) received: Received,
}

/// What every connection needs.
struct Shared {
    ty: &'static str,
    cx: Context,
    codec: Codec,
    fields: Fields,
    received: Received,
    open: AtomicU64,
}

impl Shared {
    fn origin(&self, peer: &Peer) -> Arc<Origin> {
        origin(&self.cx, self.ty, self.fields.of(peer))
    }

    fn opened(&self, by: i64) {
        let before = self.open.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        let gauge = self.received.telemetry().gauge("open_connections");
        gauge.set(before.wrapping_add(by.cast_unsigned()) as f64);
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        peer: &Peer,
        most: Option<Duration>,
        out: &SourceOut,
        shutdown: &mut Shutdown,
    ) {
        let origin = self.origin(peer);
        self.opened(1);
        let finish = |d: &mut Decoded| self.fields.finish(peer, d);
        let over = pump(
            stream,
            self.codec.decoder(),
            &origin,
            &self.received,
            out,
            shutdown,
            most,
            finish,
        )
        .await;
        self.opened(-1);
        if over == Ok(Over::Broken) {
            let text = format!("a connection was closed: its stream has no frames any more ({peer:?})");
            self.received.say(Severity::Warn, text);
        }
    }
}

impl Source for Service {
    fn run(self: Box<Self>, out: SourceOut, shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let shared = Arc::new(Shared {
                ty: self.ty,
                cx: self.cx,
                codec: self.codec,
                fields: self.fields,
                received: self.received,
                open: AtomicU64::new(0),
            });
            match self.listening {
                Listening::Streams(streams) => accept(streams, &shared, out, shutdown).await,
                Listening::Datagrams(d) => {
                    // A closed pipeline is the end like any other.
                    let _closed = receive(d, &shared, out, shutdown).await;
                }
            }
            Ok(())
        })
    }
}

async fn accept(streams: Streams, shared_all: &Arc<Shared>, out: SourceOut, mut shutdown: Shutdown) {
    let mut connections = JoinSet::new();
    let limit = match &streams {
        Streams::Tcp { options, .. } => options.limit,
        Streams::Unix { .. } => None,
    };
    let permits = Arc::new(Semaphore::new(limit.map_or(Semaphore::MAX_PERMITS, |l| l as usize)));
    loop {
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = shutdown.wait() => break,
        };
        let (shared, out, mut stop) = (shared_all.clone(), out.clone(), shutdown.clone());
        let failed = match &streams {
            Streams::Tcp { listener, options, tls } => {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = shutdown.wait() => break,
                };
                match accepted {
                    Ok((stream, peer)) if permitted(options.permit_origin.as_deref(), peer.ip().to_canonical()) => {
                        set_options(&stream, options, &shared.received);
                        let (tls, most) = (tls.clone(), options.most);
                        let handshake = options.handshake.unwrap_or(HANDSHAKE);
                        connections.spawn(async move {
                            let _permit = permit;
                            connection(&shared, stream, peer, tls, handshake, most, &out, &mut stop).await;
                        });
                        None
                    }
                    Ok((_, peer)) => {
                        let text = format!("{} may not connect: it is not in permit_origin", peer.ip());
                        shared.received.error("connection_failed", text);
                        None
                    }
                    Err(e) => Some(e),
                }
            }
            Streams::Unix { listener, .. } => {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = shutdown.wait() => break,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(async move {
                            let _permit = permit;
                            shared.serve(stream, &unix_peer(&peer), None, &out, &mut stop).await;
                        });
                        None
                    }
                    Err(e) => Some(e),
                }
            }
        };
        if let Some(e) = failed {
            shared_all
                .received
                .error("connection_failed", format!("cannot accept a connection: {e}"));
            tokio::time::sleep(PAUSE).await;
        }
    }
    while connections.join_next().await.is_some() {}
}

#[allow(clippy::too_many_arguments, reason = "one connection's own things")]
async fn connection(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    handshake: Duration,
    most: Option<Duration>,
    out: &SourceOut,
    stop: &mut Shutdown,
) {
    let at = Peer::Net(peer);
    let Some(tls) = tls else {
        return shared.serve(stream, &at, most, out, stop).await;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(handshake, tls.accept(stream)) => shaken,
        () = stop.wait() => return,
    };
    match shaken {
        Ok(Ok(stream)) => shared.serve(stream, &at, most, out, stop).await,
        Ok(Err(e)) => shared.received.error(
            "connection_failed",
            format!("the TLS handshake with {peer} failed: {e}"),
        ),
        Err(_) => shared.received.error(
            "connection_failed",
            format!("{peer} took too long for the TLS handshake"),
        ),
    }
}

fn set_options(stream: &TcpStream, options: &TcpOptions, received: &Received) {
    use rustix::net::sockopt;
    let mut wrong = Vec::new();
    if let Some(time) = options.keepalive.and_then(|k| k.time_secs) {
        wrong.extend(sockopt::set_socket_keepalive(stream, true).err());
        wrong.extend(sockopt::set_tcp_keepidle(stream, Duration::from_secs(time)).err());
    }
    if let Some(bytes) = options.receive_buffer {
        wrong.extend(sockopt::set_socket_recv_buffer_size(stream, bytes).err());
    }
    for e in wrong {
        received.say(Severity::Warn, format!("cannot set an option of a connection: {e}"));
    }
}

async fn receive(d: Datagrams, shared: &Shared, out: SourceOut, mut shutdown: Shutdown) -> Result<(), Closed> {
    let mut buf = BytesMut::new();
    loop {
        // One byte more than allowed shows that a datagram is too long.
        buf.resize(d.max_length + 1, 0);
        let got = tokio::select! {
            got = d.receive(&mut buf) => got,
            () = shutdown.wait() => return Ok(()),
        };
        let (n, peer) = match got {
            Ok(got) => got,
            Err(e) => {
                shared
                    .received
                    .error("reader_failed", format!("cannot receive a datagram: {e}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        shared.received.bytes(n);
        let mut text = Bytes::copy_from_slice(buf.get(..n).unwrap_or_default());
        if n > d.max_length {
            let what = format!(
                "a datagram is longer than max_length ({}): its last frame is dropped",
                d.max_length
            );
            shared.received.lost(1, what);
            text.truncate(memrchr(b'\n', &text).map_or(0, |i| i + 1));
            if text.is_empty() {
                continue;
            }
        }
        let origin = shared.origin(&peer);
        let finish = |decoded: &mut Decoded| shared.fields.finish(&peer, decoded);
        message(&shared.codec, text, &origin, &shared.received, &out, finish).await?;
    }
}
