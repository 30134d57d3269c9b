//! Every connection of a client: listed, counted, and closed by command.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use qd_proxy_telemetry::{Connections, metrics::Open};
use serde::Serialize;
use tokio::sync::Notify;

/// What a connection shall do.
const RUN: u8 = 0;
const DRAIN: u8 = 1;
const KILL: u8 = 2;

/// What is spoken on a connection, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spoken {
    /// Not known yet.
    Detecting,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Bytes.
    Opaque,
}

const SPOKEN: [Spoken; 4] = [Spoken::Detecting, Spoken::Http1, Spoken::Http2, Spoken::Opaque];

/// What the handshake of TLS said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) version: Option<&'static str>,
    pub(crate) server_name: Option<String>,
    pub(crate) identity: Option<String>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct ConnEntry {
    pub(crate) id: u64,
    pub(crate) listener: Arc<str>,
    pub(crate) since: Instant,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) requests: AtomicU64,
    counted: Arc<Connections>,
    /// Bytes that were counted for the listener already, received and sent.
    told: (AtomicU64, AtomicU64),
    peer: Mutex<Option<SocketAddr>>,
    said: Mutex<Option<Box<Said>>>,
    spoken: AtomicU8,
    tls: AtomicU8,
    wish: AtomicU8,
    waker: AtomicWaker,
    killer: AtomicWaker,
}

impl ConnEntry {
    fn new(id: u64, listener: &Arc<str>, counted: &Arc<Connections>, peer: Option<SocketAddr>) -> ConnEntry {
        ConnEntry {
            id,
            listener: Arc::clone(listener),
            since: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            counted: Arc::clone(counted),
            told: (AtomicU64::new(0), AtomicU64::new(0)),
            peer: Mutex::new(peer),
            said: Mutex::default(),
            spoken: AtomicU8::new(0),
            tls: AtomicU8::new(0),
            wish: AtomicU8::new(RUN),
            waker: AtomicWaker::new(),
            killer: AtomicWaker::new(),
        }
    }

    /// Counts the bytes since the last time for the listener.
    fn count(&self) {
        let news = |now: &AtomicU64, told: &AtomicU64| {
            let now = now.load(Ordering::Relaxed);
            now.saturating_sub(told.fetch_max(now, Ordering::Relaxed))
        };
        self.counted.read(news(&self.received, &self.told.0));
        self.counted.wrote(news(&self.sent, &self.told.1));
    }

    /// Who is at the other end; a PROXY header may say another one later.
    pub(crate) fn set_peer(&self, peer: Option<SocketAddr>) {
        *self.peer.lock() = peer;
    }

    pub(crate) fn speaks(&self, spoken: Spoken) {
        let number = SPOKEN.iter().position(|s| *s == spoken).unwrap_or(0);
        self.spoken.store(u8::try_from(number).unwrap_or(0), Ordering::Relaxed);
    }

    /// TLS has ended here.
    pub(crate) fn is_tls(&self, said: Said) {
        self.tls.store(1, Ordering::Relaxed);
        *self.said.lock() = Some(Box::new(said));
    }

    /// The name that a client of TLS asked for, where that is passed through.
    pub(crate) fn asks_for(&self, name: Option<&str>) {
        let mut said = self.said.lock();
        said.get_or_insert_default().server_name = name.map(str::to_owned);
    }

    /// Whether no further request is taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.wish.load(Ordering::Acquire) >= DRAIN
    }

    /// Ready when it shall end as soon as it has nothing to do.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.is_draining() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn wish(&self, wish: u8) {
        if self.wish.fetch_max(wish, Ordering::AcqRel) < wish {
            self.waker.wake();
            self.killer.wake();
        }
    }

    /// Works until it is done or the connection is killed.
    pub(crate) async fn unless_killed(&self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        let mut registered = false;
        std::future::poll_fn(|cx| {
            // The task stays the same, so once is enough.
            if !registered {
                self.killer.register(cx.waker());
                registered = true;
            }
            match self.wish.load(Ordering::Acquire) {
                KILL => Poll::Ready(()),
                _ => work.as_mut().poll(cx),
            }
        })
        .await;
    }
}

/// A connection as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct ConnView {
    /// Its number.
    pub id: u64,
    /// The listener it came by.
    pub listener: Arc<str>,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// What is spoken.
    pub spoken: Spoken,
    /// Whether TLS is ended here.
    pub tls: bool,
    /// The version of TLS.
    pub tls_version: Option<&'static str>,
    /// The name that the client asked for in the handshake.
    pub server_name: Option<String>,
    /// The first name of the client's certificate.
    pub identity: Option<String>,
    /// Seconds since it came.
    pub age: f64,
    /// Bytes that came from the client.
    pub received: u64,
    /// Bytes that went to the client.
    pub sent: u64,
    /// Requests.
    pub requests: u64,
    /// Whether it is about to end.
    pub draining: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    list: Mutex<HashMap<u64, Arc<ConnEntry>>>,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    count: AtomicUsize,
    next: AtomicU64,
    pub(crate) total: AtomicU64,
    gone: Notify,
}

/// Keeps a connection in the list.
#[derive(Debug)]
pub(crate) struct Listed {
    conns: Arc<Conns>,
    pub(crate) entry: Arc<ConnEntry>,
    address: Option<IpAddr>,
    #[allow(dead_code, reason = "counts while it lives")]
    open: Open,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.entry.count();
        self.conns.list.lock().remove(&self.entry.id);
        if let Some(ip) = self.address {
            let mut all = self.conns.per_address.lock();
            if let Some(n) = all.get_mut(&ip) {
                *n -= 1;
                if *n == 0 {
                    all.remove(&ip);
                }
            }
        }
        self.conns.count.fetch_sub(1, Ordering::AcqRel);
        self.conns.gone.notify_waiters();
    }
}

impl Conns {
    /// Adds a connection; `None` if its address has `most` of them already (0 is any number).
    pub(crate) fn add(
        self: &Arc<Conns>,
        listener: &Arc<str>,
        counted: &Arc<Connections>,
        peer: Option<SocketAddr>,
        most: usize,
    ) -> Option<Listed> {
        let address = peer.map(|p| p.ip().to_canonical()).filter(|_| most > 0);
        if let Some(ip) = address {
            let mut all = self.per_address.lock();
            let n = all.entry(ip).or_insert(0);
            if *n >= most {
                return None;
            }
            *n += 1;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(ConnEntry::new(id, listener, counted, peer));
        self.list.lock().insert(entry.id, Arc::clone(&entry));
        self.count.fetch_add(1, Ordering::AcqRel);
        self.total.fetch_add(1, Ordering::Relaxed);
        Some(Listed {
            conns: Arc::clone(self),
            entry,
            address,
            open: counted.open(),
        })
    }

    /// An entry of a connection that the proxy makes for itself; it is not listed.
    pub(crate) fn apart(listener: &Arc<str>, counted: &Arc<Connections>, peer: Option<SocketAddr>) -> Arc<ConnEntry> {
        Arc::new(ConnEntry::new(0, listener, counted, peer))
    }

    /// Counts for the listeners what has passed since the last time.
    pub(crate) fn count_bytes(&self) {
        self.of(None).iter().for_each(|e| e.count());
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Those of a listener, or all.
    fn of(&self, listener: Option<&str>) -> Vec<Arc<ConnEntry>> {
        let list = self.list.lock();
        let fits = |e: &&Arc<ConnEntry>| listener.is_none_or(|l| &*e.listener == l);
        list.values().filter(fits).cloned().collect()
    }

    /// Asks connections to end when they have nothing to do.
    pub(crate) fn drain(&self, listener: Option<&str>) {
        self.of(listener).iter().for_each(|e| e.wish(DRAIN));
    }

    /// Ends connections now.
    pub(crate) fn kill(&self, listener: Option<&str>) {
        self.of(listener).iter().for_each(|e| e.wish(KILL));
    }

    /// Ends one; whether there is one of that number.
    pub(crate) fn close(&self, id: u64) -> bool {
        let entry = self.list.lock().get(&id).cloned();
        entry.inspect(|e| e.wish(KILL)).is_some()
    }

    /// Waits until there is none.
    pub(crate) async fn empty(&self) {
        loop {
            let gone = self.gone.notified();
            let mut gone = pin!(gone);
            gone.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// At most `most` of them, the oldest first.
    pub(crate) fn view(&self, most: usize) -> Vec<ConnView> {
        let mut all = self.of(None);
        all.sort_unstable_by_key(|e| e.id);
        let show = |e: &Arc<ConnEntry>| {
            let said = e.said.lock().as_deref().cloned().unwrap_or_default();
            ConnView {
                id: e.id,
                listener: Arc::clone(&e.listener),
                peer: *e.peer.lock(),
                spoken: SPOKEN
                    .get(usize::from(e.spoken.load(Ordering::Relaxed)))
                    .copied()
                    .unwrap_or(Spoken::Detecting),
                tls: e.tls.load(Ordering::Relaxed) > 0,
                tls_version: said.version,
                server_name: said.server_name,
                identity: said.identity,
                age: e.since.elapsed().as_secs_f64(),
                received: e.received.load(Ordering::Relaxed),
                sent: e.sent.load(Ordering::Relaxed),
                requests: e.requests.load(Ordering::Relaxed),
                draining: e.is_draining(),
            }
        };
        all.iter().take(most).map(show).collect()
    }
}
