//! From a route to an endpoint: waiting for one that is ready, and trying again.

use std::{sync::Arc, time::Duration};

use qd_proxy_policy::{
    breaker::Verdict,
    class, ketama,
    queue::{Entry, Readiness},
};
use qd_proxy_wire::Framing;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    attempt::{End, Once},
    cluster::{Cluster, Sent},
    exchange::{Down, Times},
    fault::Fault,
    flow::Stage,
    forward::{After, Asked, ConnCx, Desk, Sum},
    plan::Methods,
    router::Way,
    shared::{Shared, Stand},
};

/// How often a request that waits looks for an endpoint that is ready.
const LOOK: Duration = Duration::from_millis(10);

/// A request at an endpoint. What became of it is told to the endpoint's breaker; nothing told is nothing known.
pub(crate) struct Going<'a> {
    pub(crate) sent: Sent,
    shared: &'a Shared,
    worker: usize,
}

impl Going<'_> {
    /// How the endpoint did.
    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        let now = self.shared.clock.now().mono;
        let sent = &mut self.sent;
        self.shared.roll(self.worker, |dice| sent.verdict(verdict, now, dice));
    }

    /// What an answer says of the endpoint.
    pub(crate) fn answered(&mut self, status: u16, grpc: Option<u16>) {
        self.verdict(match (status, grpc) {
            (429, _) | (_, Some(8)) => Verdict::Throttled,
            (_, Some(code)) if qd_proxy_policy::GrpcCode(code).class() == class::Class::Failure => Verdict::Failure,
            (status, None) if class::of_http(status) == class::Class::Failure => Verdict::Failure,
            _ => Verdict::Success,
        });
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let now = self.shared.clock.now().mono;
        self.sent.abandon(now);
    }
}

/// A place in a cluster's queue.
struct Waiting<'a>(&'a Cluster);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().leave();
    }
}

/// Waits for an endpoint that is ready.
pub(crate) async fn choose<'a>(
    cx: &'a ConnCx,
    cluster: &Cluster,
    tried: &[u64],
    key: Option<u32>,
) -> Result<Going<'a>, Fault> {
    let shared = &*cx.shared;
    let going = |sent| Going {
        sent,
        shared,
        worker: cx.worker,
    };
    loop {
        let found = shared.roll(cx.worker, |dice| {
            let found = cluster.pick(tried, key, &shared.clock, dice);
            found.or_else(|| cluster.pick_gone(&shared.clock, dice))
        });
        let now = shared.clock.now().mono;
        let readiness = match found.is_some() {
            true => Readiness::Ready,
            false => Readiness::Unready,
        };
        if let Some(sent) = found {
            cluster.queue.lock().observe(readiness, now);
            return Ok(going(sent));
        }
        if !cluster.has_endpoint() {
            return Err(Fault::NoEndpoint(Arc::clone(&cluster.name)));
        }
        let entry = cluster.queue.lock().enter(readiness, now);
        match entry {
            Entry::Pass => {}
            Entry::Wait { .. } => {
                let _waiting = Waiting(cluster);
                tokio::time::sleep(LOOK).await;
            }
            Entry::Refuse(_) => return Err(Fault::FailFast(Arc::clone(&cluster.name))),
        }
    }
}

/// What a consistent hash goes by.
fn key(cx: &ConnCx, cluster: &Cluster, desk: &Desk) -> Option<u32> {
    if cluster.plan.strategy != qd_proxy_policy::Strategy::ConsistentHash {
        return None;
    }
    let header = cluster.plan.hash_header.as_ref();
    match header.and_then(|name| desk.head.fields.get(name)) {
        Some(value) => Some(ketama::hash(value)),
        None => cx.peer.map(|p| ketama::hash(p.ip().to_string().as_bytes())),
    }
}

/// Tries endpoints until one has answered or nothing speaks for another attempt.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn attempts(
    cx: &ConnCx,
    stand: &Stand,
    way: &Way,
    desk: &mut Desk,
    down: &mut Down<'_>,
    framing: Framing,
    begun: Instant,
    asked: &Asked,
    sum: &mut Sum,
) -> Result<After, Fault> {
    let _seat = cx.shared.room.sit().ok_or(Fault::Overloaded)?;
    let number = match way.clusters.len() {
        0 | 1 => 0,
        _ => cx.shared.roll(cx.worker, |dice| dice.bits()),
    };
    let cluster = way
        .cluster(number)
        .ok_or_else(|| Fault::NoEndpoint(Arc::clone(&way.route.name)))?;
    sum.cluster = Some(Arc::clone(&cluster.name));
    match std::mem::take(&mut desk.prefilled) {
        true => desk.replay.rewind(),
        false => desk.replay.clear(),
    }
    let retry = &way.route.retry;
    if retry.attempts > 0 {
        way.budget.lock().deposit(cx.shared.clock.now().mono);
    }
    let key = key(cx, cluster, desk);
    let repeatable = retry.methods == Methods::All || desk.head.is_idempotent();
    let mut tried: SmallVec<[u64; 4]> = SmallVec::new();
    let mut left = retry.attempts;
    let mut stale = 1;
    let mut pause = retry.backoff;
    let total = way.route.timeout.map(|t| begun + t);
    loop {
        let mut going = match total {
            None => choose(cx, cluster, &tried, key).await?,
            Some(by) => tokio::time::timeout_at(by, choose(cx, cluster, &tried, key))
                .await
                .map_err(|_| Fault::Timeout)??,
        };
        let endpoint = Arc::clone(&going.sent.endpoint);
        sum.attempts += 1;
        sum.endpoint = Some(Arc::clone(&endpoint.name));
        if let Some(capture) = &mut sum.capture {
            capture.times.chosen = Some(capture.since());
            capture.flow.set_stage(Stage::Connecting);
        }
        let once = Once {
            cx,
            stand,
            way,
            cluster,
            endpoint: &endpoint,
            framing,
            asked,
            times: Times {
                total,
                attempt: way.route.attempt_timeout.map(|t| Instant::now() + t),
                idle: stand.plan.bounds.idle_timeout,
                now: begun,
            },
            may_repeat: left > 0 && repeatable,
        };
        let fault = match once.run(desk, down, sum, &mut going).await {
            Ok(End::Done(after)) => return Ok(after),
            Ok(End::Again) => None,
            Err(fault) => Some(fault),
        };
        let word = fault.as_ref().map(Fault::word);
        if let Some(fault) = fault {
            let again = !sum.started && desk.replay.is_possible() && fault.is_upstream();
            // A connection that was kept may have been closed by the other end at the very moment; nothing was read then.
            let was_stale = sum.reused && matches!(fault, Fault::Closed | Fault::Io(_)) && desk.head.is_idempotent();
            let never_seen = matches!(fault, Fault::RefusedStream);
            if again && (was_stale || never_seen) && stale > 0 {
                stale -= 1;
                desk.replay.rewind();
                if let Some(capture) = &mut sum.capture {
                    capture.again(&endpoint.name, 0, Some(fault.word()));
                }
                continue;
            }
            if fault.is_upstream() {
                endpoint.failed();
                going.verdict(Verdict::Failure);
            }
            if !again || left == 0 || !(fault.is_before_request() || repeatable) {
                return Err(fault);
            }
            let now = cx.shared.clock.now().mono;
            if !way.budget.lock().withdraw(now) {
                return Err(fault);
            }
        }
        drop(going);
        if let Some(capture) = &mut sum.capture {
            let status = if word.is_none() { sum.status } else { 0 };
            capture.again(&endpoint.name, status, word);
        }
        left -= 1;
        tried.push(endpoint.id);
        desk.replay.rewind();
        if !pause.is_zero() {
            let wait = pause.min(Duration::from_secs(10));
            if total.is_some_and(|t| t <= Instant::now() + wait) {
                return Err(Fault::Timeout);
            }
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
    }
}
