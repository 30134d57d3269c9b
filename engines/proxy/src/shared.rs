//! What the workers have in common: the plan as it stands, clusters, connections, counters.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qd_core::Clock;
use qd_proxy_config::Router;
use qd_proxy_policy::{Dice, FaultSet, Room, shed::MAX_IN_FLIGHT};
use qd_proxy_telemetry::{Connections, Metrics};
use tokio::sync::Notify;
use tokio_rustls::rustls::ClientConfig;

use crate::{
    admin::{AdminSlot, LogLevel},
    cluster::Cluster,
    conns::Conns,
    hold::Holds,
    intercept::Authority,
    meter::Meter,
    plan::{self, Address, UpstreamProtocol},
    stats::{Errors, RouteStats},
    tap::Taps,
    tellers::Tellers,
    tls::{Acceptor, Connector},
    way::{Fork, Way},
};

/// A listener as it stands.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) plan: plan::Listener,
    /// Which of `ways` a request takes.
    pub(crate) router: Router,
    pub(crate) ways: Vec<Arc<Way>>,
    pub(crate) opaque: Option<Fork>,
    pub(crate) passthrough: Vec<(String, Fork)>,
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// What is told of requests beside counting them.
    pub(crate) tellers: Tellers,
    /// Opens TLS that goes elsewhere.
    pub(crate) authority: Option<Arc<Authority>>,
}

/// A listener's socket, which outlives its plans.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) bind: plan::Bind,
    /// Where it is bound in fact.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) stand: ArcSwap<Stand>,
    pub(crate) closed: AtomicBool,
    pub(crate) close: Notify,
    pub(crate) conns: AtomicUsize,
    pub(crate) refused: AtomicU64,
    /// Times that no descriptor was left.
    pub(crate) starved: AtomicU64,
    /// Requests that took no route.
    pub(crate) unrouted: Arc<RouteStats>,
    /// Its connections.
    pub(crate) counted: Arc<Connections>,
}

impl Slot {
    /// Takes no more connections.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.close.notify_waiters();
    }
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) conns: Arc<Conns>,
    pub(crate) meter: Meter,
    pub(crate) taps: Arc<Taps>,
    pub(crate) holds: Holds,
    pub(crate) metrics: Metrics,
    pub(crate) errors: Errors,
    pub(crate) slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// Plans that were taken over.
    pub(crate) plans: AtomicU64,
    /// There is something new for the keeper.
    pub(crate) changed: Notify,
    pub(crate) tellers: Mutex<Tellers>,
    pub(crate) admin: Mutex<Option<Arc<AdminSlot>>>,
    /// Whether it serves: from the first plan on until it stops.
    pub(crate) ready: AtomicBool,
    /// Somebody has asked for the end.
    shutdown: (AtomicBool, Notify),
    pub(crate) log: Mutex<Option<Arc<dyn LogLevel>>>,
    pub(crate) clusters: ArcSwap<HashMap<String, Arc<Cluster>>>,
    pub(crate) ids: AtomicU64,
    pub(crate) workers: usize,
    /// This hop's name in `Via`.
    pub(crate) pseudonym: String,
    pub(crate) clock: Arc<dyn Clock>,
    /// One for each worker.
    dice: Box<[Mutex<Dice>]>,
    pub(crate) room: Arc<Room>,
    pub(crate) faults: Mutex<FaultSet>,
    /// Whether there is any fault: what every request asks.
    pub(crate) any_fault: AtomicBool,
    dynamic: Mutex<HashMap<String, Arc<Cluster>>>,
}

/// Hosts of forward proxies whose connections are kept.
const DYNAMIC: usize = 512;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(workers: usize, clock: Arc<dyn Clock>) -> Shared {
        Shared {
            conns: Arc::default(),
            meter: Meter::new(workers),
            taps: Arc::new(Taps::new(workers)),
            holds: Holds::default(),
            metrics: Metrics::default(),
            errors: Errors::default(),
            slots: Mutex::default(),
            plans: AtomicU64::new(0),
            changed: Notify::new(),
            tellers: Mutex::default(),
            admin: Mutex::default(),
            ready: AtomicBool::new(false),
            shutdown: (AtomicBool::new(false), Notify::new()),
            log: Mutex::default(),
            clusters: ArcSwap::default(),
            ids: AtomicU64::new(1),
            workers,
            pseudonym: format!("qd-{:08x}", rand::random::<u32>()),
            clock,
            dice: (0..workers.max(1))
                .map(|_| Mutex::new(Dice::new(rand::random())))
                .collect(),
            room: Room::new(MAX_IN_FLIGHT),
            faults: Mutex::default(),
            any_fault: AtomicBool::new(false),
            dynamic: Mutex::default(),
        }
    }

    /// Somebody wants the proxy to end.
    pub(crate) fn ask_shutdown(&self) {
        self.shutdown.0.store(true, Ordering::Release);
        self.shutdown.1.notify_waiters();
    }

    /// Waits until somebody does.
    pub(crate) async fn shutdown_asked(&self) {
        let asked = self.shutdown.1.notified();
        tokio::pin!(asked);
        asked.as_mut().enable();
        if !self.shutdown.0.load(Ordering::Acquire) {
            asked.await;
        }
    }

    /// What is counted of each route, in the plan's order; of requests without one only if there were any.
    pub(crate) fn route_stats(&self) -> Vec<Arc<RouteStats>> {
        let mut slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = Vec::new();
        for slot in &slots {
            let stand = slot.stand.load();
            all.extend(stand.ways.iter().map(|w| Arc::clone(&w.stats)));
            all.extend(Some(&slot.unrouted).filter(|s| s.is_used()).cloned());
        }
        all
    }

    /// Calls with a worker's dice.
    pub(crate) fn roll<T>(&self, worker: usize, with: impl FnOnce(&mut Dice) -> T) -> T {
        match self.dice.get(worker).or(self.dice.first()) {
            Some(dice) => with(&mut dice.lock()),
            None => with(&mut Dice::new(0)),
        }
    }

    /// The cluster of a host that a client of a forward proxy named.
    pub(crate) fn host(&self, host: &str, port: u16) -> Option<Arc<Cluster>> {
        self.named(format!("{host}:{port}"), (host, port), UpstreamProtocol::Http1, None)
    }

    /// The same, spoken to in HTTP/2.
    pub(crate) fn host_h2(&self, host: &str, port: u16) -> Option<Arc<Cluster>> {
        self.named(format!("{host}:{port} h2"), (host, port), UpstreamProtocol::Http2, None)
    }

    /// The same by TLS, where it must have this name.
    pub(crate) fn host_tls(
        &self,
        host: &str,
        port: u16,
        name: &str,
        config: &Arc<ClientConfig>,
    ) -> Option<Arc<Cluster>> {
        let tls = || Connector::of(name, Arc::clone(config));
        self.named(
            format!("{host}:{port} {name}"),
            (host, port),
            UpstreamProtocol::Same,
            Some(&tls),
        )
    }

    fn named(
        &self,
        key: String,
        to: (&str, u16),
        protocol: UpstreamProtocol,
        tls: Option<&dyn Fn() -> Connector>,
    ) -> Option<Arc<Cluster>> {
        let (host, port) = to;
        let mut all = self.dynamic.lock();
        if let Some(cluster) = all.get(&key) {
            return Some(Arc::clone(cluster));
        }
        if all.len() >= DYNAMIC {
            all.retain(|_, c| c.members.iter().any(|m| m.endpoint.conns.load(Ordering::Relaxed) > 0));
        }
        let plan = plan::Cluster {
            protocol,
            connect_timeout: Duration::from_secs(10),
            ..plan::Cluster::new(key.clone(), [Address::Tcp(host.to_owned(), port)])
        };
        let mut cluster = Cluster::new(&plan, None, self).ok()?;
        cluster.tls = tls.map(|tls| Arc::new(tls()));
        let cluster = Arc::new(cluster);
        if all.len() < DYNAMIC {
            all.insert(key, Arc::clone(&cluster));
        }
        Some(cluster)
    }

    /// Lets windows take turns, and counts bytes of connections that go on.
    fn tick(&self) {
        let now = self.clock.mono();
        self.conns.count_bytes();
        let slots: Vec<Arc<Slot>> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            slot.unrouted.tick(now);
            slot.stand.load().ways.iter().for_each(|w| w.stats.tick(now));
        }
        for cluster in self.clusters.load().values() {
            cluster.members.iter().for_each(|m| m.endpoint.stats.tick(now));
        }
    }

    /// Closes connections that were unused for too long.
    pub(crate) fn sweep(&self, worker: usize) {
        if worker == 0 {
            self.tick();
        }
        let clusters = self.clusters.load_full();
        let dynamic: Vec<_> = self.dynamic.lock().values().cloned().collect();
        for cluster in clusters.values().chain(&dynamic) {
            for member in &cluster.members {
                member.endpoint.sweep(worker, cluster.plan.idle_timeout);
            }
        }
    }
}
