//! Clusters at work: endpoints, and the connections that are kept to each.
//!
//! Every worker has a shard of an endpoint's pool of its own, so that a connection is used by the thread whose reactor
//! watches it and nobody waits for a lock. Counts and caps are the endpoint's. A connection goes back only if both messages
//! were read and written to their ends; an endpoint that is taken out closes what it kept at once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::{
    fault::Fault,
    plan::{self, Address},
    side::H1,
    tls::{Connector, TlsError},
};

/// A place in an endpoint's count of connections; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Slot(pub(crate) Arc<Endpoint>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.conns.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// A connection of HTTP/1 to an upstream.
#[derive(Debug)]
pub(crate) struct UpConn {
    pub(crate) side: H1,
    pub(crate) slot: Slot,
    /// It has served a request before.
    pub(crate) reused: bool,
}

/// A connection of HTTP/2 to an upstream.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) active: AtomicUsize,
    pub(crate) dead: AtomicBool,
    pub(crate) tls: bool,
    pub(crate) idle_since: Mutex<Instant>,
    pub(crate) close: Notify,
}

impl Link {
    fn has_room(&self) -> bool {
        !self.dead.load(Ordering::Acquire)
            && self.active.load(Ordering::Relaxed) < self.send.current_max_send_streams().max(1)
    }
}

#[derive(Debug, Default)]
struct Shard {
    idle: Vec<(Box<UpConn>, Instant)>,
    links: Vec<Arc<Link>>,
}

/// What an endpoint has done.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
}

/// One address of a cluster.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: u64,
    pub(crate) address: Address,
    /// The address as text.
    pub(crate) name: Arc<str>,
    pub(crate) conns: AtomicUsize,
    pub(crate) pending: AtomicUsize,
    pub(crate) freed: Notify,
    pub(crate) tally: Tally,
    removed: AtomicBool,
    draining: AtomicBool,
    shards: Box<[Mutex<Shard>]>,
    /// One at a time opens a connection of HTTP/2 in each shard.
    pub(crate) dialling: Box<[tokio::sync::Mutex<()>]>,
    /// The addresses of its host, and when they were asked for.
    pub(crate) resolved: Mutex<Option<(Instant, Arc<[std::net::SocketAddr]>)>>,
}

impl Endpoint {
    pub(crate) fn new(id: u64, address: Address, workers: usize) -> Endpoint {
        Endpoint {
            id,
            name: Arc::from(address.to_string()),
            address,
            conns: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            freed: Notify::new(),
            tally: Tally::default(),
            removed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            dialling: (0..workers).map(|_| tokio::sync::Mutex::default()).collect(),
            resolved: Mutex::default(),
        }
    }

    /// Whether new requests may go there.
    pub(crate) fn is_open(&self) -> bool {
        !self.removed.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }

    /// Takes a kept connection that is still good.
    pub(crate) fn checkout(&self, worker: usize, newest: Duration) -> Option<Box<UpConn>> {
        let shard = self.shards.get(worker)?;
        loop {
            let (mut conn, since) = shard.lock().idle.pop()?;
            // The sweep comes round once a second, which is soon enough for the clock; the socket is asked each time.
            let _ = (since, newest);
            if !conn.side.conn.is_stale() {
                conn.reused = true;
                return Some(conn);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn checkin(&self, worker: usize, mut conn: Box<UpConn>, most: usize, now: Instant) {
        if !self.is_open() {
            return;
        }
        conn.side.conn.rest();
        let refused = match self.shards.get(worker).map(|s| s.lock()) {
            Some(mut shard) if shard.idle.len() < most => {
                shard.idle.push((conn, now));
                None
            }
            _ => Some(conn),
        };
        drop(refused);
        // Somebody may wait for a connection although none was closed.
        if self.conns.load(Ordering::Relaxed) > 0 {
            self.freed.notify_one();
        }
        if !self.is_open() {
            self.purge();
        }
    }

    /// A connection of HTTP/2 with room for a stream.
    pub(crate) fn link(&self, worker: usize) -> Option<Arc<Link>> {
        let shard = self.shards.get(worker)?.lock();
        shard.links.iter().find(|l| l.has_room()).cloned()
    }

    pub(crate) fn add_link(&self, worker: usize, link: Arc<Link>) {
        if let Some(shard) = self.shards.get(worker) {
            shard.lock().links.push(link);
        }
        if !self.is_open() {
            self.purge();
        }
    }

    /// Takes a place for a connection, if the cap leaves one.
    pub(crate) fn slot(self: &Arc<Endpoint>, cap: usize) -> Option<Slot> {
        let taken = self
            .conns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < cap).then_some(n + 1));
        taken.ok().map(|_| Slot(Arc::clone(self)))
    }

    /// Closes kept connections that are old or dead.
    pub(crate) fn sweep(&self, worker: usize, oldest: Duration) {
        let Some(shard) = self.shards.get(worker) else {
            return;
        };
        let now = Instant::now();
        let mut gone = Vec::new();
        {
            let mut shard = shard.lock();
            let kept = std::mem::take(&mut shard.idle);
            for (mut conn, since) in kept {
                match now.duration_since(since) < oldest && !conn.side.conn.is_stale() {
                    true => shard.idle.push((conn, since)),
                    false => gone.push(conn),
                }
            }
            shard.links.retain(|l| {
                let idle = l.active.load(Ordering::Relaxed) == 0 && now.duration_since(*l.idle_since.lock()) > oldest;
                if idle {
                    l.close.notify_one();
                }
                !idle && !l.dead.load(Ordering::Acquire)
            });
        }
        drop(gone);
    }

    /// Closes whatever is kept.
    pub(crate) fn purge(&self) {
        for shard in &self.shards {
            let Shard { idle, links } = std::mem::take(&mut *shard.lock());
            links.iter().for_each(|l| l.close.notify_one());
            drop(idle);
        }
    }

    /// It is no longer part of a cluster.
    pub(crate) fn remove(&self) {
        self.removed.store(true, Ordering::Relaxed);
        self.purge();
        self.freed.notify_waiters();
    }

    /// Takes no more requests, or takes them again.
    pub(crate) fn drain(&self, drain: bool) {
        self.draining.store(drain, Ordering::Relaxed);
        if drain {
            self.purge();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many connections are kept unused.
    pub(crate) fn idle(&self) -> usize {
        self.shards.iter().map(|s| s.lock().idle.len()).sum()
    }
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub(crate) struct Pending(pub(crate) Arc<Endpoint>);

impl Pending {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Pending {
        endpoint.pending.fetch_add(1, Ordering::Relaxed);
        endpoint.tally.requests.fetch_add(1, Ordering::Relaxed);
        Pending(endpoint)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A cluster at work.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) plan: plan::Cluster,
    pub(crate) name: Arc<str>,
    pub(crate) endpoints: Vec<(Arc<Endpoint>, u32)>,
    pub(crate) tls: Option<Arc<Connector>>,
    turn: AtomicUsize,
}

impl Cluster {
    /// Makes one of a plan; endpoints that `old` has are taken over with what they keep.
    pub(crate) fn new(
        plan: &plan::Cluster,
        old: Option<&Cluster>,
        workers: usize,
        ids: &AtomicU64,
    ) -> Result<Cluster, TlsError> {
        let same_wire = old.is_some_and(|o| {
            o.plan.tls == plan.tls && o.plan.protocol == plan.protocol && o.plan.preamble == plan.preamble
        });
        let known: HashMap<&Address, &Arc<Endpoint>> = match old {
            Some(old) if same_wire => old.endpoints.iter().map(|(e, _)| (&e.address, e)).collect(),
            _ => HashMap::new(),
        };
        let endpoints = plan.endpoints.iter().map(|(address, weight)| {
            let endpoint = match known.get(address) {
                Some(endpoint) => Arc::clone(endpoint),
                None => {
                    let id = ids.fetch_add(1, Ordering::Relaxed);
                    Arc::new(Endpoint::new(id, address.clone(), workers))
                }
            };
            (endpoint, *weight)
        });
        let tls = match (&plan.tls, old.and_then(|o| o.tls.clone()).filter(|_| same_wire)) {
            (None, _) => None,
            (Some(_), Some(tls)) => Some(tls),
            (Some(plan), None) => Some(Arc::new(Connector::new(plan)?)),
        };
        Ok(Cluster {
            plan: plan.clone(),
            name: Arc::from(plan.name.as_str()),
            endpoints: endpoints.collect(),
            tls,
            turn: AtomicUsize::new(0),
        })
    }

    /// Chooses an endpoint for a request; one of `tried` only if there is no other.
    pub(crate) fn pick(&self, tried: &[u64]) -> Result<Arc<Endpoint>, Fault> {
        let fresh = |e: &Endpoint| e.is_open() && !tried.contains(&e.id);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // A request that began under an older plan may find that all its endpoints are gone from the newer one.
        let known = |e: &Endpoint| !e.is_draining();
        for allowed in [&fresh as &dyn Fn(&Endpoint) -> bool, &|e| e.is_open(), &known] {
            if let [(only, weight)] = &self.endpoints[..] {
                if *weight > 0 && allowed(only) {
                    return Ok(Arc::clone(only));
                }
                continue;
            }
            let total: usize = self.open(allowed).map(|(_, w)| w as usize).sum();
            if total == 0 {
                continue;
            }
            let mut left = turn % total;
            for (endpoint, weight) in self.open(allowed) {
                match left.checked_sub(weight as usize) {
                    Some(rest) => left = rest,
                    None => return Ok(Arc::clone(endpoint)),
                }
            }
        }
        Err(Fault::NoEndpoint(Arc::clone(&self.name)))
    }

    fn open<'a>(&'a self, allowed: &'a dyn Fn(&Endpoint) -> bool) -> impl Iterator<Item = (&'a Arc<Endpoint>, u32)> {
        self.endpoints
            .iter()
            .filter(move |(e, _)| allowed(e))
            .map(|(e, w)| (e, *w))
    }
}
