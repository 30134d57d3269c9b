//! A proxy that runs: its workers, its plan, what it shows and what it can be told.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qd_core::{Clock, RealClock};
use qd_proxy_content::Rules;
use qd_proxy_policy::fault::FaultError;
use qd_proxy_telemetry::{Direction, PeerSide, TlsState, metrics::ConnectionLabels};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    access::AccessError,
    admin::{AdminSlot, LogLevel},
    cluster::Cluster,
    flow::Flow,
    hold::{Held, Hold, HoldError, Release, ReleaseError},
    keeper::{Errand, Keeper},
    listener::{self, BindError, Bound},
    plan::{Bind, Plan},
    replay::{self, Job, ReplayError, ReplayRequest},
    shared::{Shared, Slot},
    stand::stand,
    stats::RouteStats,
    tap::{Tap, TapRequest},
    tellers::Tellers,
    tls::TlsError,
};

/// Why a plan can't be taken over. The one before it goes on unchanged.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS can't be set up.
    #[error("{place}: {source}")]
    Tls {
        /// The listener or cluster.
        place: String,
        /// Why.
        source: TlsError,
    },
    /// The access log can't be written.
    #[error(transparent)]
    AccessLog(#[from] AccessError),
    /// A name that nothing has.
    #[error("{place}: there is no cluster `{cluster}`")]
    NoCluster {
        /// Who names it.
        place: String,
        /// The name.
        cluster: String,
    },
    /// Two things of one name.
    #[error("two {what} have the name `{name}`")]
    Twice {
        /// What they are.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A thread can't be started, or the proxy has stopped.
    #[error("the proxy does not run: {0}")]
    Stopped(String),
}

/// How a proxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Threads that do the work; at least one.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Options { workers: cores.min(8) }
    }
}

enum Order {
    Listen(Arc<Slot>, Bound),
    Replay(Box<Job>),
    Stop(oneshot::Sender<()>),
}

struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What changed with a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Listeners that were opened.
    pub opened: Vec<String>,
    /// Listeners that were closed; their connections finish what they do.
    pub closed: Vec<String>,
    /// Listeners that go on with new rules.
    pub changed: Vec<String>,
    /// Endpoints that are no longer used.
    pub removed_endpoints: usize,
}

/// How often unused connections are looked through, and files of certificates.
const SWEEP: Duration = Duration::from_secs(1);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    workers: Mutex<Vec<Worker>>,
    keeper: Keeper,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for worker in self.workers.get_mut() {
            let (reply, _) = oneshot::channel();
            let _ = worker.orders.send(Order::Stop(reply));
        }
    }
}

/// A proxy that runs. Clones are the same one; it ends when the last is gone or [`Proxy::stop`] was called.
#[derive(Clone)]
pub struct Proxy(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("connections", &self.0.shared.conns.count())
            .finish_non_exhaustive()
    }
}

fn work(shared: Arc<Shared>, worker: usize, mut orders: mpsc::UnboundedReceiver<Order>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(2))
        .build();
    let Ok(runtime) = runtime else {
        return;
    };
    let reply = runtime.block_on(async move {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Listen(slot, bound)) => {
                        tokio::spawn(listener::accept(Arc::clone(&shared), worker, slot, bound));
                    }
                    Some(Order::Replay(job)) => {
                        tokio::spawn(replay::run(Arc::clone(&shared), worker, *job));
                    }
                    Some(Order::Stop(reply)) => return Some(reply),
                    None => return None,
                },
                _ = sweep.tick() => shared.sweep(worker),
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Some(reply) = reply {
        let _ = reply.send(());
    }
}

impl Proxy {
    /// Starts the workers and takes over the first plan.
    ///
    /// # Errors
    /// As [`Proxy::apply`], and a thread that can't be started.
    pub fn start(plan: &Plan, options: Options) -> Result<Proxy, PlanError> {
        Proxy::start_by(plan, options, Arc::new(RealClock::new()))
    }

    /// The same by another clock, which decides about balancing, budgets, limits, breakers and checks; timers of connections
    /// go by the system's.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn start_by(plan: &Plan, options: Options, clock: Arc<dyn Clock>) -> Result<Proxy, PlanError> {
        let count = options.workers.clamp(1, 64);
        let shared = Arc::new(Shared::new(count, clock));
        let mut workers = Vec::new();
        for number in 0..count {
            let (orders, receiver) = mpsc::unbounded_channel();
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name(format!("proxy-{number}"))
                .spawn(move || work(shared, number, receiver))
                .map_err(|e| PlanError::Stopped(e.to_string()))?;
            workers.push(Worker {
                orders,
                thread: Some(thread),
            });
        }
        let keeper = Keeper::start(Arc::clone(&shared)).map_err(|e| PlanError::Stopped(e.to_string()))?;
        let proxy = Proxy(Arc::new(Inner {
            shared,
            workers: Mutex::new(workers),
            keeper,
        }));
        proxy.apply(plan)?;
        Ok(proxy)
    }

    /// Takes over a plan, whole or not at all. Requests on their way finish as they began.
    ///
    /// # Errors
    /// What in the plan can't be.
    pub fn apply(&self, plan: &Plan) -> Result<Changes, PlanError> {
        let shared = &self.0.shared;
        let mut slots = shared.slots.lock();
        let old = shared.clusters.load_full();
        let mut clusters = HashMap::new();
        for plan in &plan.clusters {
            let old = old.get(&plan.name);
            let cluster = match old {
                Some(same) if same.plan == *plan => Arc::clone(same),
                old => {
                    let cluster = Cluster::new(plan, old.map(|c| &**c), shared);
                    Arc::new(cluster.map_err(|source| PlanError::Tls {
                        place: format!("cluster `{}`", plan.name),
                        source,
                    })?)
                }
            };
            if clusters.insert(plan.name.clone(), cluster).is_some() {
                return Err(PlanError::Twice {
                    what: "clusters",
                    name: plan.name.clone(),
                });
            }
        }
        let tellers = Tellers::new(plan, &shared.tellers.lock())?;
        let mut names = HashSet::new();
        let mut stands = Vec::new();
        for listener in &plan.listeners {
            if !names.insert(listener.name.as_str()) {
                return Err(PlanError::Twice {
                    what: "listeners",
                    name: listener.name.clone(),
                });
            }
            let before = slots.get(&listener.name).map(|s| s.stand.load_full());
            stands.push(stand(listener, &clusters, before.as_deref(), &tellers, &shared.clock)?);
        }
        // Sockets last, since they are what can't be taken back unseen.
        let mut bound = Vec::new();
        for listener in &plan.listeners {
            let kept = slots.get(&listener.name).filter(|s| s.bind == listener.bind);
            bound.push(match kept {
                Some(_) => None,
                None => {
                    let socket = listener::bind(&listener.name, &listener.bind)?;
                    let workers = self.0.workers.lock();
                    let copies = (1..workers.len()).map(|_| socket.try_clone());
                    let copies: std::io::Result<Vec<Bound>> = copies.collect();
                    let mut copies = copies.map_err(|source| BindError::Other {
                        listener: listener.name.clone(),
                        bind: listener.bind.clone(),
                        source,
                    })?;
                    copies.push(socket);
                    Some(copies)
                }
            });
        }
        let admin = self.bind_admin(plan)?;
        let mut changes = Changes::default();
        self.set_admin(plan, admin);
        if let Some(tracer) = &tellers.tracer {
            self.0.keeper.send(Errand::Export(Arc::clone(tracer)));
        }
        *shared.tellers.lock() = tellers;
        shared.room.set_limit(plan.max_in_flight);
        shared.clusters.store(Arc::new(clusters));
        let mut next = HashMap::new();
        for ((listener, stand), bound) in plan.listeners.iter().zip(stands).zip(bound) {
            match (bound, slots.get(&listener.name)) {
                (None, Some(slot)) => {
                    if slot.stand.load().plan != stand.plan {
                        changes.changed.push(listener.name.clone());
                    }
                    slot.stand.store(Arc::new(stand));
                    next.insert(listener.name.clone(), Arc::clone(slot));
                }
                (sockets, _) => {
                    let name: Arc<str> = Arc::from(listener.name.as_str());
                    let slot = Arc::new(Slot {
                        unrouted: Arc::new(RouteStats::new(Arc::clone(&name), Arc::from("-"), shared.clock.mono())),
                        counted: shared.metrics.connections(&ConnectionLabels {
                            direction: Direction::Inbound,
                            peer: PeerSide::Src,
                            tls: match listener.tls {
                                Some(_) => TlsState::True,
                                None => TlsState::Disabled,
                            },
                            name: Arc::clone(&name),
                        }),
                        name,
                        bind: listener.bind.clone(),
                        local: sockets.iter().flatten().find_map(Bound::local),
                        stand: ArcSwap::from_pointee(stand),
                        closed: false.into(),
                        close: tokio::sync::Notify::new(),
                        conns: AtomicUsize::new(0),
                        refused: AtomicU64::new(0),
                        starved: AtomicU64::new(0),
                    });
                    let workers = self.0.workers.lock();
                    for (worker, socket) in workers.iter().zip(sockets.into_iter().flatten()) {
                        let _ = worker.orders.send(Order::Listen(Arc::clone(&slot), socket));
                    }
                    changes.opened.push(listener.name.clone());
                    next.insert(listener.name.clone(), slot);
                }
            }
        }
        for (name, slot) in slots.iter() {
            let goes_on = next.get(name).is_some_and(|n| Arc::ptr_eq(n, slot));
            if !goes_on {
                slot.close();
                if !next.contains_key(name) {
                    shared.conns.drain(Some(name));
                    changes.closed.push(name.clone());
                }
                if let Bind::Unix(path) = &slot.bind {
                    let taken = next.values().any(|n| n.bind == slot.bind);
                    if !taken {
                        let _ = std::fs::remove_file(path);
                    }
                }
            }
        }
        *slots = next;
        let used: HashSet<u64> = shared
            .clusters
            .load()
            .values()
            .flat_map(|c| c.members.iter().map(|m| m.endpoint.id))
            .collect();
        for endpoint in old.values().flat_map(|c| &c.members).map(|m| &m.endpoint) {
            if !used.contains(&endpoint.id) {
                endpoint.remove();
                changes.removed_endpoints += 1;
            }
        }
        shared.plans.fetch_add(1, Ordering::Relaxed);
        shared.ready.store(true, Ordering::Release);
        shared.changed.notify_one();
        Ok(changes)
    }

    /// Binds the admin's address, if it is another one than before.
    fn bind_admin(&self, plan: &Plan) -> Result<Option<Bound>, PlanError> {
        let before = self.0.shared.admin.lock().as_ref().map(|a| a.bind.clone());
        match &plan.admin {
            Some(bind) if before.as_ref() != Some(bind) => Ok(Some(listener::bind("admin", bind)?)),
            _ => Ok(None),
        }
    }

    fn set_admin(&self, plan: &Plan, bound: Option<Bound>) {
        let mut admin = self.0.shared.admin.lock();
        if (plan.admin.is_none() || bound.is_some())
            && let Some(before) = admin.take()
        {
            before.close();
        }
        if let (Some(bind), Some(bound)) = (&plan.admin, bound) {
            let slot = Arc::new(AdminSlot::new(bind, &bound));
            *admin = Some(Arc::clone(&slot));
            self.0.keeper.send(Errand::Admin(slot, bound));
        }
    }

    /// Where the proxy itself is asked, if it is by TCP.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.shared.admin.lock().as_ref()?.local
    }

    /// Lets `/proxy-log-level` ask and tell whoever decides what is logged.
    pub fn set_log_level(&self, log: Arc<dyn LogLevel>) {
        *self.0.shared.log.lock() = Some(log);
    }

    /// Waits until somebody has asked for the end by `/shutdown`. Whoever runs the proxy stops it then.
    pub async fn shutdown_asked(&self) {
        self.0.shared.shutdown_asked().await;
    }

    /// Everything that is counted, as text for Prometheus.
    pub fn metrics(&self) -> String {
        crate::admin::metrics(&self.0.shared)
    }

    /// Where a listener is bound in fact.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.0.shared.slots.lock().get(listener)?.local
    }

    /// Looks at flows as they pass.
    pub fn tap(&self, request: TapRequest) -> Tap {
        self.0.shared.taps.add(request)
    }

    /// Looks at the files of certificates; gives what could not be taken over, with its place.
    pub fn look_at_files(&self) -> Vec<(String, Result<(), TlsError>)> {
        let mut said = Vec::new();
        for (name, slot) in self.0.shared.slots.lock().iter() {
            let stand = slot.stand.load();
            if let Some(result) = stand.tls.as_ref().and_then(|t| t.look()) {
                said.push((format!("listener `{name}`"), result));
            }
        }
        for (name, cluster) in self.0.shared.clusters.load().iter() {
            if let Some(result) = cluster.tls.as_ref().and_then(|t| t.look()) {
                said.push((format!("cluster `{name}`"), result));
            }
        }
        said
    }

    /// Ends a connection now; whether there is one of that number.
    pub fn close(&self, connection: u64) -> bool {
        self.0.shared.conns.close(connection)
    }

    /// Gives an endpoint no more requests, or gives it requests again; whether there is one of that number.
    pub fn drain_endpoint(&self, id: u64, drain: Drain) -> bool {
        let clusters = self.0.shared.clusters.load();
        let mut all = clusters.values().flat_map(|c| &c.members);
        let found = all.find(|m| m.endpoint.id == id);
        found.inspect(|m| m.endpoint.drain(drain == Drain::Begin)).is_some()
    }

    /// Covers by these rules from the next flow on; see [`qd_proxy_content::Rules`].
    pub fn redact(&self, rules: Rules) {
        self.0.shared.taps.redact(rules);
    }

    /// Holds flows from now on; gives the rule's number.
    ///
    /// # Errors
    /// A rule that can't be.
    pub fn hold(&self, hold: Hold) -> Result<u64, HoldError> {
        self.0.shared.holds.add(hold)
    }

    /// Ends a rule, and lets go what it holds; whether there was one.
    pub fn end_hold(&self, id: u64) -> bool {
        self.0.shared.holds.remove(id)
    }

    /// What is held under a number.
    pub fn held(&self, id: u64) -> Option<Held> {
        self.0.shared.holds.held(id)
    }

    /// Says how a held flow goes on.
    ///
    /// # Errors
    /// Why it is not let go so. It stays held, if it is.
    pub fn release(&self, id: u64, release: Release) -> Result<(), ReleaseError> {
        self.0.shared.holds.release(id, release)
    }

    /// Sends a request again; gives its flow when that has ended.
    ///
    /// # Errors
    /// Why it is not sent.
    pub async fn replay(&self, request: ReplayRequest) -> Result<Arc<Flow>, ReplayError> {
        let (done, told) = oneshot::channel();
        let slot = self.0.shared.slots.lock().get(&*request.flow.listener).cloned();
        let number = request.flow.id;
        let job = Box::new(replay::prepare(&self.0.shared, slot, request, done)?);
        {
            let workers = self.0.workers.lock();
            let count = u64::try_from(workers.len()).unwrap_or(1).max(1);
            let worker = workers.get(usize::try_from(number % count).unwrap_or(0));
            let worker = worker.ok_or(ReplayError::Stopped)?;
            worker
                .orders
                .send(Order::Replay(job))
                .map_err(|_| ReplayError::Stopped)?;
        }
        told.await.unwrap_or(Err(ReplayError::Stopped))
    }

    /// Injects a fault from now on, for its life; gives its number.
    ///
    /// # Errors
    /// A fault that can't be.
    pub fn inject(&self, fault: qd_proxy_policy::Fault) -> Result<u64, FaultError> {
        let shared = &self.0.shared;
        let id = shared.faults.lock().add(fault, shared.clock.now().mono)?;
        shared.any_fault.store(true, Ordering::Release);
        Ok(id)
    }

    /// Ends a fault; whether there was one of that number.
    pub fn end_fault(&self, id: u64) -> bool {
        self.0.shared.faults.lock().remove(id)
    }

    /// Takes no more connections, waits until those there are have nothing to do, at most `deadline`, and ends the rest;
    /// gives how many had to be ended.
    pub async fn stop(&self, deadline: Duration) -> usize {
        let slots: Vec<Arc<Slot>> = self.0.shared.slots.lock().drain().map(|(_, s)| s).collect();
        for slot in &slots {
            slot.close();
            if let Bind::Unix(path) = &slot.bind {
                let _ = std::fs::remove_file(path);
            }
        }
        self.0.shared.ready.store(false, Ordering::Release);
        let conns = Arc::clone(&self.0.shared.conns);
        conns.drain(None);
        let drained = tokio::time::timeout(deadline, conns.empty()).await;
        let left = conns.count();
        if drained.is_err() {
            conns.kill(None);
            let _ = tokio::time::timeout(Duration::from_millis(500), conns.empty()).await;
        }
        if let Some(admin) = self.0.shared.admin.lock().take() {
            admin.close();
        }
        self.0.keeper.stop().await;
        let workers = std::mem::take(&mut *self.0.workers.lock());
        for mut worker in workers {
            let (reply, done) = oneshot::channel();
            if worker.orders.send(Order::Stop(reply)).is_ok() {
                let _ = done.await;
            }
            if let Some(thread) = worker.thread.take() {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
        }
        match drained {
            Ok(()) => 0,
            Err(_) => left,
        }
    }
}

/// Whether an endpoint is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// From now on.
    Begin,
    /// No longer.
    End,
}
