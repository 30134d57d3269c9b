//! From a route to an endpoint: waiting for one that is ready, and trying again.

use std::{sync::Arc, time::Duration};

use qd_proxy_policy::{
    Cause, Deadline, RetryRefusal, Timeouts,
    breaker::Verdict,
    class, deadline, ketama,
    queue::{Entry, Readiness},
    retry::{self as policy, Ended},
};
use qd_proxy_wire::{Framing, RequestHead};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    account,
    attempt::{End, Once},
    client,
    cluster::{Cluster, Sent},
    exchange::{Down, Times},
    fault::Fault,
    flow::Stage,
    forward::{After, Asked, ConnCx, Desk, Sum},
    plan::HashOn,
    router,
    shared::{Shared, Stand},
    side::Replay,
    way::Way,
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
        let now = self.shared.clock.mono();
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
        if self.sent.is_undecided() {
            self.sent.abandon(self.shared.clock.mono());
        }
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
        let now = shared.clock.mono();
        let found = shared.roll(cx.worker, |dice| {
            let found = cluster.pick(tried, key, now, &shared.clock, dice);
            found.or_else(|| cluster.pick_gone(now, &shared.clock, dice))
        });
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
            Entry::Refuse(Cause::QueueFull) => return Err(Fault::QueueFull(Arc::clone(&cluster.name))),
            Entry::Refuse(_) => return Err(Fault::FailFast(Arc::clone(&cluster.name))),
        }
    }
}

/// What a consistent hash goes by.
fn key(cx: &ConnCx, cluster: &Cluster, head: &RequestHead) -> Option<u32> {
    if cluster.plan.strategy != qd_proxy_policy::Strategy::ConsistentHash {
        return None;
    }
    let found: Option<&[u8]> = match &cluster.plan.hash_on {
        HashOn::Source => None,
        HashOn::Path => Some(head.path()),
        HashOn::Header(name) => head.fields.get(name.as_str().as_bytes()),
        HashOn::Cookie(name) => {
            let lines = head.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(b"cookie"));
            let mut pairs = lines.flat_map(|(_, line)| line.split(|b| *b == b';'));
            pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        }
        HashOn::Query(name) => {
            let mut pairs = head.query().unwrap_or_default().split(|b| *b == b'&');
            pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        }
    };
    match found {
        Some(value) => Some(ketama::hash(value)),
        None => cx.peer.map(|p| ketama::hash(p.ip().to_string().as_bytes())),
    }
}

/// Whether a request may be tried again.
pub(crate) struct Chance<'a> {
    pub(crate) cx: &'a ConnCx,
    pub(crate) way: &'a Way,
    /// When the time of the whole request is over.
    pub(crate) total: Option<Instant>,
    /// Attempts so far.
    pub(crate) tries: u32,
    /// Whether the client has got anything.
    pub(crate) begun: bool,
}

impl Chance<'_> {
    /// How long to wait before another attempt, which is taken out of the budget; or what speaks against it.
    pub(crate) fn another(&self, ended: Ended, method: &[u8], replay: &Replay) -> Result<Duration, RetryRefusal> {
        let policy = &self.way.route.retry.policy;
        let shared = &self.cx.shared;
        let now = shared.clock.mono();
        let timeouts = Timeouts {
            request: self.total.map(|t| t.saturating_duration_since(Instant::now())),
            ..Timeouts::default()
        };
        let request = policy::Replay {
            method: std::str::from_utf8(method).unwrap_or_default(),
            tries: self.tries,
            body: match replay.is_possible() {
                true => policy::Body::Kept,
                false => policy::Body::Gone,
            },
            response: match self.begun {
                true => policy::Progress::Begun,
                false => policy::Progress::Nothing,
            },
        };
        let deadline = Deadline::new(&timeouts, None, now);
        let mut budget = self.way.budget.lock();
        shared.roll(self.cx.worker, |dice| {
            policy.decide(ended, &request, &deadline, &mut budget, now, dice)
        })
    }
}

/// When the time of a request is over: the earlier of the route's and what a client of gRPC asks for.
fn total(way: &Way, head: &mut RequestHead, begun: Instant) -> Option<Instant> {
    let route = way.route.timeout;
    let asked = match router::is_grpc(head) {
        true => head.fields.get(b"grpc-timeout").and_then(deadline::grpc_timeout),
        false => None,
    };
    if let (Some(route), Some(asked)) = (route, asked)
        && route < asked
    {
        // Nobody behind shall take itself to have more time than there is.
        head.fields
            .set(b"grpc-timeout", deadline::to_grpc_timeout(route).as_bytes());
    }
    route.into_iter().chain(asked).min().map(|time| begun + time)
}

/// Sends a request to an endpoint of its route, and copies of it to whoever gets them.
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
    let result = tries(cx, stand, way, desk, down, framing, begun, asked, sum).await;
    if !way.copies.is_empty() && sum.attempts > 0 {
        client::copies(cx, way, desk, framing);
    }
    result
}

/// Tries endpoints until one has answered or nothing speaks for another attempt.
#[allow(clippy::too_many_arguments)]
async fn tries(
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
    let lane = way.lane(|| cx.shared.roll(cx.worker, |dice| dice.bits()));
    let lane = lane.ok_or_else(|| Fault::NoEndpoint(Arc::clone(&way.route.name)))?;
    let cluster = &lane.cluster;
    sum.cluster = Some(Arc::clone(&cluster.name));
    if !lane.request_headers.is_empty() {
        lane.request_headers.apply(&mut desk.head.fields);
    }
    match std::mem::take(&mut desk.prefilled) {
        true => desk.replay.rewind(),
        false => desk.replay.clear(),
    }
    let attempts = way.route.retry.policy.attempts;
    if attempts > 0 {
        way.budget.lock().deposit(cx.shared.clock.mono());
    }
    let key = key(cx, cluster, &desk.head);
    let total = total(way, &mut desk.head, begun);
    let mut tried: SmallVec<[u64; 4]> = SmallVec::new();
    let mut stale = 1;
    // Attempts that the policy did not pay for.
    let mut free = 0;
    loop {
        let mut going = match total {
            None => choose(cx, cluster, &tried, key).await?,
            Some(by) => tokio::time::timeout_at(by, choose(cx, cluster, &tried, key))
                .await
                .map_err(|_| Fault::Timeout)??,
        };
        let endpoint = Arc::clone(&going.sent.endpoint);
        sum.attempts += 1;
        sum.sent_at = match sum.attempts {
            1 => Some(begun),
            _ => Some(Instant::now()),
        };
        sum.endpoint = Some(Arc::clone(&endpoint));
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
                idle: way.route.idle_timeout.unwrap_or(stand.plan.bounds.idle_timeout),
                now: begun,
            },
            lane,
            tries: sum.attempts - free,
        };
        let (fault, wait) = match once.run(desk, down, sum, &mut going).await {
            Ok(End::Done(after)) => return Ok(after),
            Ok(End::Again(wait)) => (None, wait),
            Err(fault) => {
                let again = !sum.started && desk.replay.is_possible() && fault.is_upstream();
                // A connection that was kept may have been closed by the other end at the very moment; nothing was read then.
                let was_stale =
                    sum.reused && matches!(fault, Fault::Closed | Fault::Io(_)) && desk.head.is_idempotent();
                let never_seen = matches!(fault, Fault::RefusedStream);
                if again && (was_stale || never_seen) && stale > 0 {
                    stale -= 1;
                    free += 1;
                    desk.replay.rewind();
                    if let Some(capture) = &mut sum.capture {
                        capture.again(&endpoint.name, 0, Some(fault.word()));
                    }
                    continue;
                }
                if !fault.is_upstream() {
                    return Err(fault);
                }
                endpoint.failed();
                going.verdict(Verdict::Failure);
                if attempts == 0 {
                    return Err(fault);
                }
                let ended = match fault.is_before_request() {
                    true => Ended::Unsent,
                    false => Ended::NoAnswer,
                };
                let chance = Chance {
                    cx,
                    way,
                    total,
                    tries: sum.attempts - free,
                    begun: sum.started,
                };
                match chance.another(ended, desk.head.method(), &desk.replay) {
                    Ok(wait) => (Some(fault), wait),
                    Err(why) => {
                        way.stats.not_again(why);
                        return Err(fault);
                    }
                }
            }
        };
        account::again(sum, &endpoint, fault.as_ref());
        drop(going);
        if let Some(capture) = &mut sum.capture {
            let status = if fault.is_none() { sum.status } else { 0 };
            capture.again(&endpoint.name, status, fault.as_ref().map(Fault::word));
        }
        tried.push(endpoint.id);
        desk.replay.rewind();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}
