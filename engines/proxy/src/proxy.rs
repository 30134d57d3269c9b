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
use qd_core::Clock;
use qd_proxy_content::Rules;
use qd_proxy_policy::{BreakerState, FaultAction, fault::FaultError};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    cluster::{Cluster, Member},
    conns::ConnView,
    flow::Flow,
    hold::{Held, HeldView, Hold, HoldError, HoldView, Release, ReleaseError},
    listener::{self, BindError, Bound},
    meter::Totals,
    plan::{self, Bind, Plan},
    replay::{self, Job, ReplayError, ReplayRequest},
    router::Way,
    shared::{Shared, Slot, Stand},
    tap::{Tap, TapRequest},
    tls::{Acceptor, TlsError},
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

/// A listener as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct ListenerView {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is bound in fact.
    pub address: String,
    /// Connections.
    pub connections: usize,
    /// Connections that were refused by a bound.
    pub refused: u64,
    /// Times that no descriptor was left for a connection.
    pub starved: u64,
    /// Why its newest certificate is not used.
    pub tls_problem: Option<String>,
}

/// An endpoint as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointView {
    /// Its number.
    pub id: u64,
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Its address.
    pub address: Arc<str>,
    /// Its weight.
    pub weight: u32,
    /// Requests that wait for the first of their answers.
    pub pending: u32,
    /// The averaged latency by now, in milliseconds.
    pub latency_ms: f64,
    /// What one more request costs, in nanoseconds times requests.
    pub cost: f64,
    /// `closed`, `open` or `probing`.
    pub breaker: &'static str,
    /// Seconds until the probe may go, of an open breaker.
    pub next_probe: Option<f64>,
    /// Failures in a row.
    pub streak: u32,
    /// Connections, and those of them that are kept unused.
    pub connections: usize,
    /// Connections kept unused.
    pub idle: usize,
    /// Requests and failures so far.
    pub requests: u64,
    /// Requests that it failed.
    pub failures: u64,
    /// Connections that were begun.
    pub connects: u64,
    /// Connections that did not come about.
    pub connect_failures: u64,
    /// Whether it gets no new requests.
    pub draining: bool,
}

/// A picture of a proxy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// Sums since the start.
    pub totals: Totals,
    /// Listeners, by name.
    pub listeners: Vec<ListenerView>,
    /// Endpoints, by cluster.
    pub endpoints: Vec<EndpointView>,
    /// Connections, the oldest first, at most 1,000.
    pub connections: Vec<ConnView>,
    /// How many connections there are.
    pub connection_count: usize,
    /// Faults that are injected.
    pub faults: Vec<FaultView>,
    /// Rules that hold flows.
    pub holds: Vec<HoldView>,
    /// Flows that are held.
    pub held: Vec<HeldView>,
}

/// A fault as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct FaultView {
    /// Its number.
    pub id: u64,
    /// What happens.
    pub action: String,
    /// To how many of a hundred requests.
    pub percent: f64,
    /// On which route.
    pub route: Option<Arc<str>>,
    /// Seconds until it ends.
    pub expires: f64,
    /// Requests that it was for.
    pub matched: u64,
    /// Requests that met it.
    pub injected: u64,
}

/// Connections that a snapshot lists.
const LISTED: usize = 1000;
/// How often unused connections are looked through, and files of certificates.
const SWEEP: Duration = Duration::from_secs(1);

struct Inner {
    shared: Arc<Shared>,
    workers: Mutex<Vec<Worker>>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    swaps: AtomicU64,
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
pub struct Proxy(Arc<Inner>);

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
        let count = options.workers.clamp(1, 64);
        let shared = Arc::new(Shared::new(count));
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
        let proxy = Proxy(Arc::new(Inner {
            shared,
            workers: Mutex::new(workers),
            slots: Mutex::default(),
            swaps: AtomicU64::new(0),
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
        let mut slots = self.0.slots.lock();
        let old = shared.clusters.load_full();
        let mut clusters = HashMap::new();
        for plan in &plan.clusters {
            let old = old.get(&plan.name);
            let cluster = match old {
                Some(same) if same.plan == *plan => Arc::clone(same),
                old => {
                    let cluster = Cluster::new(plan, old.map(|c| &**c), shared.workers, &shared.ids, &shared.clock);
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
            stands.push(stand(listener, &clusters, before.as_deref(), &shared.clock)?);
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
        let mut changes = Changes::default();
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
                    let slot = Arc::new(Slot {
                        name: Arc::from(listener.name.as_str()),
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
        self.0.swaps.fetch_add(1, Ordering::Relaxed);
        Ok(changes)
    }

    /// Where a listener is bound in fact.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.0.slots.lock().get(listener)?.local
    }

    /// Looks at flows as they pass.
    pub fn tap(&self, request: TapRequest) -> Tap {
        self.0.shared.taps.add(request)
    }

    /// Looks at the files of certificates; gives what could not be taken over, with its place.
    pub fn look_at_files(&self) -> Vec<(String, Result<(), TlsError>)> {
        let mut said = Vec::new();
        for (name, slot) in self.0.slots.lock().iter() {
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
        let slot = self.0.slots.lock().get(&*request.flow.listener).cloned();
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

    /// Faults that are injected now.
    fn faults(&self) -> Vec<FaultView> {
        let shared = &self.0.shared;
        let now = shared.clock.now().mono;
        let mut faults = shared.faults.lock();
        faults.expire(now);
        shared.any_fault.store(!faults.is_empty(), Ordering::Release);
        let show = |f: &qd_proxy_policy::fault::ActiveFault| FaultView {
            id: f.id,
            action: match f.fault.action {
                FaultAction::Delay(wait) => format!("delay {}ms", wait.as_millis()),
                FaultAction::Abort(status) => format!("abort {status}"),
                FaultAction::Reset => "reset".to_owned(),
            },
            percent: f.fault.percent,
            route: f.fault.route.clone(),
            expires: f.expires.since(now).as_secs_f64(),
            matched: f.matched,
            injected: f.injected,
        };
        faults.list().iter().map(show).collect()
    }

    /// A picture of now.
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.0.shared;
        let mut listeners: Vec<ListenerView> = self
            .0
            .slots
            .lock()
            .values()
            .map(|slot| ListenerView {
                name: Arc::clone(&slot.name),
                address: slot.local.map_or_else(|| slot.bind.to_string(), |a| a.to_string()),
                connections: slot.conns.load(Ordering::Relaxed),
                refused: slot.refused.load(Ordering::Relaxed),
                starved: slot.starved.load(Ordering::Relaxed),
                tls_problem: slot
                    .stand
                    .load()
                    .tls
                    .as_ref()
                    .and_then(|t| t.live.problem())
                    .map(|e| e.to_string()),
            })
            .collect();
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        let clusters = shared.clusters.load();
        let mut endpoints: Vec<EndpointView> = clusters
            .values()
            .flat_map(|c| endpoint_views(c, &shared.clock))
            .collect();
        endpoints.sort_by(|a, b| (&a.cluster, a.id).cmp(&(&b.cluster, b.id)));
        let (holds, held) = shared.holds.views();
        Snapshot {
            holds,
            held,
            totals: shared.meter.totals(),
            listeners,
            endpoints,
            connections: shared.conns.view(LISTED),
            connection_count: shared.conns.count(),
            faults: self.faults(),
        }
    }

    /// Takes no more connections, waits until those there are have nothing to do, at most `deadline`, and ends the rest;
    /// gives how many had to be ended.
    pub async fn stop(&self, deadline: Duration) -> usize {
        let slots: Vec<Arc<Slot>> = self.0.slots.lock().drain().map(|(_, s)| s).collect();
        for slot in &slots {
            slot.close();
            if let Bind::Unix(path) = &slot.bind {
                let _ = std::fs::remove_file(path);
            }
        }
        let conns = Arc::clone(&self.0.shared.conns);
        conns.drain(None);
        let drained = tokio::time::timeout(deadline, conns.empty()).await;
        let left = conns.count();
        if drained.is_err() {
            conns.kill(None);
            let _ = tokio::time::timeout(Duration::from_millis(500), conns.empty()).await;
        }
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

fn endpoint_views(cluster: &Cluster, clock: &Arc<dyn Clock>) -> Vec<EndpointView> {
    let now = clock.now();
    let show = |member: &Member| {
        let endpoint = &member.endpoint;
        let breaker = endpoint.breaker.lock();
        let (state, next_probe) = match breaker.state() {
            BreakerState::Closed => ("closed", None),
            BreakerState::Open { until } => ("open", Some(until.since(now.mono).as_secs_f64())),
            BreakerState::Probing => ("probing", None),
        };
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        EndpointView {
            id: endpoint.id,
            cluster: Arc::clone(&cluster.name),
            address: Arc::clone(&endpoint.name),
            weight: member.weight,
            pending: endpoint.load.pending(),
            latency_ms: endpoint.load.latency(now.mono).as_secs_f64() * 1e3,
            cost: endpoint.load.cost(now.mono),
            breaker: state,
            next_probe,
            streak: breaker.streak(),
            connections: endpoint.conns.load(Ordering::Relaxed),
            idle: endpoint.idle(),
            requests: get(&endpoint.tally.requests),
            failures: get(&endpoint.tally.failures),
            connects: get(&endpoint.tally.connects),
            connect_failures: get(&endpoint.tally.connect_failures),
            draining: endpoint.is_draining(),
        }
    };
    cluster.members.iter().map(show).collect()
}

fn stand(
    plan: &plan::Listener,
    clusters: &HashMap<String, Arc<Cluster>>,
    before: Option<&Stand>,
    clock: &Arc<dyn Clock>,
) -> Result<Stand, PlanError> {
    let place = || format!("listener `{}`", plan.name);
    let missing = |cluster: String| PlanError::NoCluster {
        place: place(),
        cluster,
    };
    let find = |name: &String| clusters.get(name).cloned().ok_or_else(|| missing(name.clone()));
    let ways = plan.routes.iter().map(|r| match Way::new(r, clusters, clock) {
        Ok(way) => Ok(Arc::new(way)),
        Err(cluster) => Err(PlanError::NoCluster {
            place: format!("listener `{}`, route `{}`", plan.name, r.name),
            cluster,
        }),
    });
    let kept = before.filter(|b| b.plan.tls == plan.tls).and_then(|b| b.tls.clone());
    let tls = match (&plan.tls, kept) {
        (None, _) => None,
        (Some(_), Some(kept)) => Some(kept),
        (Some(tls), None) => Some(Arc::new(
            Acceptor::new(tls).map_err(|source| PlanError::Tls { place: place(), source })?,
        )),
    };
    let passthrough = plan.passthrough.iter().map(|(p, c)| Ok((p.clone(), find(c)?)));
    Ok(Stand {
        ways: ways.collect::<Result<_, _>>()?,
        opaque: plan.opaque.as_ref().map(find).transpose()?,
        passthrough: passthrough.collect::<Result<_, PlanError>>()?,
        tls,
        plan: plan.clone(),
    })
}
