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
use qd_core::{Clock, Mono};
use qd_proxy_policy::{
    Balancer, Breaker, Candidate, Dice, Dispatch, Load, Permit, Queue, QueueConfig, Room, breaker::Verdict,
};
use qd_proxy_telemetry::{
    Connections, Direction, PeerSide, TlsState,
    metrics::{ConnectionLabels, Open},
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    checks::Checked,
    fault::Fault,
    plan::{self, Address},
    shared::Shared,
    side::H1,
    stats::EndpointStats,
    tls::{Connector, TlsError},
};

/// A place in an endpoint's count of connections; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Slot(
    pub(crate) Arc<Endpoint>,
    #[allow(dead_code, reason = "counts while it lives")] Open,
);

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
    /// How long it took to come about; taken by whoever it was opened for.
    pub(crate) opened: Option<Opened>,
    /// Bytes that were counted already, read and written.
    counted: (u64, u64),
}

impl UpConn {
    pub(crate) fn new(side: H1, slot: Slot, opened: Opened) -> UpConn {
        UpConn {
            side,
            slot,
            reused: false,
            opened: Some(opened),
            counted: (0, 0),
        }
    }

    /// Counts the bytes since the last time.
    fn count(&mut self) {
        let (read, written) = (self.side.conn.received, self.side.conn.sent);
        let endpoint = &self.slot.0;
        endpoint.counted.read(read.saturating_sub(self.counted.0));
        endpoint.counted.wrote(written.saturating_sub(self.counted.1));
        self.counted = (read, written);
    }
}

impl Drop for UpConn {
    fn drop(&mut self) {
        self.count();
    }
}

/// How long a connection took to come about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) dial: Duration,
    pub(crate) handshake: Option<Duration>,
}

/// A connection of HTTP/2 to an upstream.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) active: AtomicUsize,
    pub(crate) dead: AtomicBool,
    pub(crate) tls: bool,
    pub(crate) idle_since: Mutex<Instant>,
    pub(crate) opened: Mutex<Option<Opened>>,
    pub(crate) close: Notify,
}

/// How long the settings of a connection that is new may take to come.
const SETTINGS: Duration = Duration::from_secs(1);

impl Link {
    /// Waits until it is known that the peer takes extended CONNECT.
    pub(crate) async fn takes_switches(&self) -> Result<(), Fault> {
        let by = Instant::now() + SETTINGS;
        while !self.send.is_extended_connect_protocol_enabled() {
            if Instant::now() >= by || self.dead.load(Ordering::Acquire) {
                return Err(Fault::NoSwitch);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

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
    /// Times that its breaker opened.
    pub(crate) trips: AtomicU64,
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
    pub(crate) load: Arc<Load>,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) freed: Notify,
    pub(crate) tally: Tally,
    pub(crate) stats: EndpointStats,
    counted: Arc<Connections>,
    /// What active checks say of it.
    pub(crate) health: Mutex<Option<Checked>>,
    unhealthy: AtomicBool,
    removed: AtomicBool,
    draining: AtomicBool,
    shards: Box<[Mutex<Shard>]>,
    /// One at a time opens a connection of HTTP/2 in each shard.
    pub(crate) dialling: Box<[tokio::sync::Mutex<()>]>,
    /// The addresses of its host, and when they were asked for.
    pub(crate) resolved: Mutex<Option<(Instant, Arc<[std::net::SocketAddr]>)>>,
}

impl Endpoint {
    fn new(plan: &plan::Cluster, cluster: &Arc<str>, address: Address, shared: &Shared) -> Endpoint {
        let (workers, now) = (shared.workers, shared.clock.mono());
        let name: Arc<str> = Arc::from(address.to_string());
        let tls = plan.tls.is_some();
        Endpoint {
            id: shared.ids.fetch_add(1, Ordering::Relaxed),
            stats: EndpointStats::new(&shared.metrics, cluster, &name, tls, now),
            counted: shared.metrics.connections(&ConnectionLabels {
                direction: Direction::Outbound,
                peer: PeerSide::Dst,
                tls: match tls {
                    true => TlsState::True,
                    false => TlsState::Disabled,
                },
                name: Arc::clone(&name),
            }),
            name,
            address,
            conns: AtomicUsize::new(0),
            load: Arc::new(Load::new(plan.ewma, now)),
            breaker: Mutex::new(Breaker::new(plan.breaker)),
            freed: Notify::new(),
            tally: Tally::default(),
            health: Mutex::default(),
            unhealthy: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            dialling: (0..workers).map(|_| tokio::sync::Mutex::default()).collect(),
            resolved: Mutex::default(),
        }
    }

    /// It failed a request.
    pub(crate) fn failed(&self) {
        self.tally.failures.fetch_add(1, Ordering::Relaxed);
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
        taken.ok().map(|_| Slot(Arc::clone(self), self.counted.open()))
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
                conn.count();
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

    /// Whether active checks, if there are any, find it well.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.unhealthy.store(!healthy, Ordering::Relaxed);
    }

    /// How many connections are kept unused.
    pub(crate) fn idle(&self) -> usize {
        self.shards.iter().map(|s| s.lock().idle.len()).sum()
    }
}

/// An endpoint as a member of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) weight: u32,
}

impl Candidate for Member {
    fn name(&self) -> &str {
        &self.endpoint.name
    }
    fn is_ready(&self, now: Mono) -> bool {
        self.endpoint.is_open() && self.endpoint.is_healthy() && self.endpoint.breaker.lock().is_ready(now)
    }
    fn cost(&self, now: Mono) -> f64 {
        self.endpoint.load.cost(now)
    }
    fn pending(&self) -> u32 {
        self.endpoint.load.pending()
    }
    fn weight(&self) -> u32 {
        self.weight
    }
}

/// A member that is not ready if it was tried already.
struct Untried<'a>(&'a Member, &'a [u64]);

impl Candidate for Untried<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn is_ready(&self, now: Mono) -> bool {
        !self.1.contains(&self.0.endpoint.id) && self.0.is_ready(now)
    }
    fn cost(&self, now: Mono) -> f64 {
        self.0.cost(now)
    }
    fn pending(&self) -> u32 {
        self.0.pending()
    }
    fn weight(&self) -> u32 {
        self.0.weight
    }
}

/// A request on its way to an endpoint. Dropped without a verdict, it says nothing about the endpoint but the time it took.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) endpoint: Arc<Endpoint>,
    permit: Option<Permit>,
    dispatch: Option<Dispatch>,
}

impl Sent {
    /// The first of the answer's body is here, or there is none.
    pub(crate) fn settle(&mut self) {
        if let Some(dispatch) = self.dispatch.take() {
            dispatch.settle();
        }
    }

    /// The endpoint asks to be left alone for a while.
    pub(crate) fn refused(&mut self, wait: Option<Duration>) {
        if let Some(dispatch) = self.dispatch.take() {
            dispatch.refused(wait);
        }
    }

    /// How the endpoint did.
    pub(crate) fn verdict(&mut self, verdict: Verdict, now: Mono, dice: &mut Dice) {
        if let Some(permit) = self.permit.take()
            && self
                .endpoint
                .breaker
                .lock()
                .record(permit, verdict, now, dice)
                .is_some()
        {
            self.endpoint.tally.trips.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether nothing was said of the endpoint yet.
    pub(crate) fn is_undecided(&self) -> bool {
        self.permit.is_some()
    }

    /// Gives the permit back, if there was no verdict.
    pub(crate) fn abandon(&mut self, now: Mono) {
        if let Some(permit) = self.permit.take() {
            self.endpoint.breaker.lock().abandon(permit, now);
        }
    }
}

/// A cluster at work.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) plan: plan::Cluster,
    pub(crate) name: Arc<str>,
    pub(crate) members: Vec<Member>,
    pub(crate) tls: Option<Arc<Connector>>,
    pub(crate) queue: Mutex<Queue>,
    /// Requests that wait for a connection.
    pub(crate) waiting: Arc<Room>,
    balancer: Balancer,
}

impl Cluster {
    /// Makes one of a plan; endpoints that `old` has are taken over with what they keep.
    pub(crate) fn new(plan: &plan::Cluster, old: Option<&Cluster>, shared: &Shared) -> Result<Cluster, TlsError> {
        let name: Arc<str> = Arc::from(plan.name.as_str());
        let same_wire = old.is_some_and(|o| {
            o.plan.tls == plan.tls
                && o.plan.protocol == plan.protocol
                && o.plan.preamble == plan.preamble
                && o.plan.breaker == plan.breaker
                && o.plan.ewma == plan.ewma
        });
        let known: HashMap<&Address, &Arc<Endpoint>> = match old {
            Some(old) if same_wire => old.members.iter().map(|m| (&m.endpoint.address, &m.endpoint)).collect(),
            _ => HashMap::new(),
        };
        let members = plan.endpoints.iter().map(|(address, weight)| {
            let endpoint = match known.get(address) {
                Some(endpoint) => Arc::clone(endpoint),
                None => Arc::new(Endpoint::new(plan, &name, address.clone(), shared)),
            };
            Member {
                endpoint,
                weight: *weight,
            }
        });
        let tls = match (&plan.tls, old.and_then(|o| o.tls.clone()).filter(|_| same_wire)) {
            (None, _) => None,
            (Some(_), Some(tls)) => Some(tls),
            (Some(plan), None) => Some(Arc::new(Connector::new(plan)?)),
        };
        Ok(Cluster {
            plan: plan.clone(),
            members: members.collect(),
            name,
            tls,
            queue: Mutex::new(Queue::new(QueueConfig {
                capacity: plan.queue,
                failfast: plan.failfast,
            })),
            waiting: Room::new(plan.queue),
            balancer: Balancer::new(plan.strategy),
        })
    }

    /// Chooses an endpoint that is ready; one of `tried` only if no other is.
    pub(crate) fn pick(
        &self,
        tried: &[u64],
        key: Option<u32>,
        now: Mono,
        clock: &Arc<dyn Clock>,
        dice: &mut Dice,
    ) -> Option<Sent> {
        for _ in 0..3 {
            let fresh = match tried {
                [] => self.balancer.pick(&self.members, key, now, dice),
                _ => {
                    let others: Vec<Untried<'_>> = self.members.iter().map(|m| Untried(m, tried)).collect();
                    let found = self.balancer.pick(&others, key, now, dice);
                    found.or_else(|| self.balancer.pick(&self.members, key, now, dice))
                }
            };
            let member = self.members.get(fresh?)?;
            // Another worker may have taken the probe meanwhile.
            if let Some(permit) = member.endpoint.breaker.lock().admit(now) {
                return Some(self.send(member, Some(permit), now, clock));
            }
        }
        None
    }

    fn send(&self, member: &Member, permit: Option<Permit>, now: Mono, clock: &Arc<dyn Clock>) -> Sent {
        let endpoint = Arc::clone(&member.endpoint);
        endpoint.tally.requests.fetch_add(1, Ordering::Relaxed);
        Sent {
            dispatch: Some(endpoint.load.dispatch_at(clock, now)),
            permit,
            endpoint,
        }
    }

    /// An endpoint for a request that began under a plan whose endpoints are all gone from the newer one.
    pub(crate) fn pick_gone(&self, now: Mono, clock: &Arc<dyn Clock>, dice: &mut Dice) -> Option<Sent> {
        let gone = !self.members.is_empty() && self.members.iter().all(|m| !m.endpoint.is_open());
        let left: Vec<&Member> = self
            .members
            .iter()
            .filter(|m| !m.endpoint.is_draining() && m.weight > 0)
            .collect();
        match gone && !left.is_empty() {
            true => left.get(dice.below(left.len())).map(|m| self.send(m, None, now, clock)),
            false => None,
        }
    }

    /// Whether any endpoint could ever be ready.
    pub(crate) fn has_endpoint(&self) -> bool {
        self.members.iter().any(|m| m.weight > 0 && m.endpoint.is_open())
    }
}
