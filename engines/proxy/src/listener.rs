//! Sockets that clients come to: binding them, and taking connections from them.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{
    io::Io,
    owner,
    plan::Bind,
    serve,
    shared::{Shared, Slot},
};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 4096;

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("listener `{listener}`: {bind} is in use by {owner}")]
    InUse {
        /// The listener.
        listener: String,
        /// Its address.
        bind: Bind,
        /// Who holds it, as far as this user may know.
        owner: String,
    },
    /// It is a port for root.
    #[error("listener `{listener}`: {bind}: ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Forbidden {
        /// The listener.
        listener: String,
        /// Its address.
        bind: Bind,
    },
    /// Anything else.
    #[error("listener `{listener}`: can't listen on {bind}: {source}")]
    Other {
        /// The listener.
        listener: String,
        /// Its address.
        bind: Bind,
        /// Why.
        source: io::Error,
    },
}

/// A bound socket, of which every worker gets a copy.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Bound::Tcp(l) => l.local_addr().ok(),
            Bound::Unix(_) => None,
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Bound> {
        Ok(match self {
            Bound::Tcp(l) => Bound::Tcp(l.try_clone()?),
            Bound::Unix(l) => Bound::Unix(l.try_clone()?),
        })
    }
}

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` takes both families only where the system says so by itself.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        // Nobody is behind it any more.
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Binds an address.
pub(crate) fn bind(listener: &str, bind: &Bind) -> Result<Bound, BindError> {
    let result = match bind {
        Bind::Tcp(address) => tcp(*address).map(Bound::Tcp),
        Bind::Unix(path) => unix(path).map(Bound::Unix),
    };
    result.map_err(|source| {
        let (listener, to) = (listener.to_owned(), bind.clone());
        match (source.kind(), bind) {
            (io::ErrorKind::AddrInUse, Bind::Tcp(address)) => BindError::InUse {
                listener,
                bind: to,
                owner: owner::of_port(*address).unwrap_or_else(|| "another process".to_owned()),
            },
            (io::ErrorKind::AddrInUse, Bind::Unix(_)) => BindError::InUse {
                listener,
                bind: to,
                owner: "another process".to_owned(),
            },
            (io::ErrorKind::PermissionDenied, Bind::Tcp(a)) if a.port() < 1024 => {
                BindError::Forbidden { listener, bind: to }
            }
            _ => BindError::Other {
                listener,
                bind: to,
                source,
            },
        }
    })
}

/// How long a listener sleeps that has no descriptor left, at first and at most.
const STARVED: Duration = Duration::from_millis(20);
const STARVED_MOST: Duration = Duration::from_secs(1);

/// A socket that connections are taken from.
pub(crate) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// Within a reactor.
    pub(crate) fn new(bound: Bound) -> io::Result<Accepting> {
        match bound {
            Bound::Tcp(l) => TcpListener::from_std(l).map(Accepting::Tcp),
            Bound::Unix(l) => UnixListener::from_std(l).map(Accepting::Unix),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Io, Option<SocketAddr>)> {
        match self {
            Accepting::Tcp(l) => {
                let (stream, peer) = l.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((Io::Tcp(stream), Some(peer)))
            }
            Accepting::Unix(l) => Ok((Io::Unix(l.accept().await?.0), None)),
        }
    }
}

/// Takes connections until the listener is closed.
pub(crate) async fn accept(shared: Arc<Shared>, worker: usize, slot: Arc<Slot>, bound: Bound) {
    let Ok(socket) = Accepting::new(bound) else {
        return;
    };
    let mut pause = STARVED;
    loop {
        let close = slot.close.notified();
        tokio::pin!(close);
        close.as_mut().enable();
        if slot.closed.load(Ordering::Acquire) {
            return;
        }
        let taken = tokio::select! {
            biased;
            () = close => return,
            taken = socket.accept() => taken,
        };
        match taken {
            Ok((io, peer)) => {
                pause = STARVED;
                let bounds = &slot.stand.load().plan.bounds;
                let listed = match slot.conns.load(Ordering::Relaxed) < bounds.connections {
                    true => shared.conns.add(&slot.name, &slot.counted, peer, bounds.per_address),
                    false => None,
                };
                let Some(listed) = listed else {
                    slot.refused.fetch_add(1, Ordering::Relaxed);
                    io.reset_on_close();
                    continue;
                };
                slot.conns.fetch_add(1, Ordering::Relaxed);
                let (shared, slot) = (Arc::clone(&shared), Arc::clone(&slot));
                tokio::spawn(async move {
                    let counted = Arc::clone(&slot);
                    serve::connection(shared, worker, slot, io, peer, listed).await;
                    counted.conns.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(e) => match e.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                // A descriptor will be there when some connection ends; asking at once would only burn time.
                Some(
                    rustix::io::Errno::MFILE
                    | rustix::io::Errno::NFILE
                    | rustix::io::Errno::NOBUFS
                    | rustix::io::Errno::NOMEM,
                ) => {
                    slot.starved.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(STARVED_MOST);
                }
                // The connection ended before it was taken.
                _ => tokio::task::yield_now().await,
            },
        }
    }
}
