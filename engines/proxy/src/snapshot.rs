//! A picture of a proxy at one moment, for panes and other processes.
//!
//! Taking one looks at counters and at locks that are held for moments; requests never wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use qd_core::Clock;
use qd_proxy_policy::{BreakerState, FaultAction};
use serde::Serialize;

use crate::{
    cluster::{Cluster, Member},
    conns::ConnView,
    hold::{HeldView, HoldView},
    meter::Totals,
    proxy::Proxy,
    shared::{Shared, Slot},
    stats::{ErrorView, Figures, RouteView},
};

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
    /// Connections, those that are kept unused among them.
    pub connections: usize,
    /// Connections kept unused.
    pub idle: usize,
    /// Requests and failures so far.
    pub requests: u64,
    /// Requests that it failed.
    pub failures: u64,
    /// Times that its breaker opened.
    pub trips: u64,
    /// Connections that were begun.
    pub connects: u64,
    /// Connections that did not come about.
    pub connect_failures: u64,
    /// Whether it gets no new requests.
    pub draining: bool,
    /// What active checks say of it: `up`, `down`, or `unchecked` where there are none.
    pub health: &'static str,
    /// What the last bad check said, until one is good.
    pub health_error: Option<String>,
    /// Rate, success and latencies of the last minute.
    pub recent: Figures,
}

/// A picture of a proxy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// Sums since the start.
    pub totals: Totals,
    /// Listeners, by name.
    pub listeners: Vec<ListenerView>,
    /// Routes, by listener and in the plan's order.
    pub routes: Vec<RouteView>,
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
    /// What went wrong, by its cause, the last first.
    pub errors: Vec<ErrorView>,
    /// Requests in flight, and how many there may be.
    pub in_flight: usize,
    /// The bound of these.
    pub max_in_flight: usize,
    /// Plans that were taken over.
    pub plans: u64,
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
pub(crate) const LISTED: usize = 1000;
fn listener_view(slot: &Slot) -> ListenerView {
    ListenerView {
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
    }
}

fn endpoint_views(cluster: &Cluster, clock: &Arc<dyn Clock>) -> Vec<EndpointView> {
    let now = clock.now();
    let show = |member: &Member| {
        let endpoint = &member.endpoint;
        // Requests take this lock; it is held for no more than these two.
        let (state, streak) = {
            let breaker = endpoint.breaker.lock();
            (breaker.state(), breaker.streak())
        };
        let (state, next_probe) = match state {
            BreakerState::Closed => ("closed", None),
            BreakerState::Open { until } => ("open", Some(until.since(now.mono).as_secs_f64())),
            BreakerState::Probing => ("probing", None),
        };
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let health = endpoint.health.lock();
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
            streak,
            connections: endpoint.conns.load(Ordering::Relaxed),
            idle: endpoint.idle(),
            requests: get(&endpoint.tally.requests),
            failures: get(&endpoint.tally.failures),
            connects: get(&endpoint.tally.connects),
            connect_failures: get(&endpoint.tally.connect_failures),
            draining: endpoint.is_draining(),
            trips: get(&endpoint.tally.trips),
            health: match &*health {
                None => "unchecked",
                Some(checked) if checked.health.is_up() => "up",
                Some(_) => "down",
            },
            health_error: health.as_ref().and_then(|c| c.health.last_error().map(str::to_owned)),
            recent: endpoint.stats.figures(now.mono),
        }
    };
    cluster.members.iter().map(show).collect()
}

impl Shared {
    /// Faults that are injected now.
    fn faults(&self) -> Vec<FaultView> {
        let shared = self;
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
    pub(crate) fn snapshot(&self) -> Snapshot {
        let shared = self;
        let now = shared.clock.mono();
        let slots: Vec<Arc<Slot>> = shared.slots.lock().values().cloned().collect();
        let mut listeners: Vec<ListenerView> = slots.iter().map(|slot| listener_view(slot)).collect();
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        let clusters = shared.clusters.load();
        let mut endpoints: Vec<EndpointView> = clusters
            .values()
            .flat_map(|c| endpoint_views(c, &shared.clock))
            .collect();
        endpoints.sort_by(|a, b| (&a.cluster, a.id).cmp(&(&b.cluster, b.id)));
        let routes: Vec<RouteView> = shared.route_stats().iter().map(|stats| stats.view(now)).collect();
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
            routes,
            errors: shared.errors.view(),
            in_flight: shared.room.taken(),
            max_in_flight: shared.room.limit(),
            plans: self.plans.load(Ordering::Relaxed),
        }
    }
}

impl Proxy {
    /// A picture of now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.shared.snapshot()
    }
}
