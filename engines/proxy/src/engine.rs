//! The proxy as an engine of the session: supervised, watched by panes, told what to do by command.
//!
//! One life starts the workers and takes over the plan; it publishes a [`Snapshot`] each half second, emits a record for
//! each request while somebody reads records, and looks at the files of certificates each second. A plan that can't be is
//! refused and the one before it goes on.

use std::{sync::Arc, time::Duration};

use qd_core::{
    Record, Schema, Severity,
    filter::FieldType,
    supervise::{Context, Engine, Health, Request},
};
use qd_proxy_content::{Rules, escape};
use tokio::time::MissedTickBehavior;

use crate::{
    Changes, Drain, EndpointView, Flow, Held, Hold, HoldError, ListenerView, Options, Plan, PlanError, Proxy, Release,
    ReleaseError, ReplayError, ReplayRequest, Snapshot, Tap, TapRequest, policy, policy::fault::FaultError,
};

/// How often the snapshot is taken.
const PACE: Duration = Duration::from_millis(500);
/// How often records are made of flows.
const DRAIN: Duration = Duration::from_millis(50);
/// Flows that may wait to become records.
const QUEUE: usize = 8192;

/// What the engine is started with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What it shall do at first.
    pub plan: Plan,
    /// How it runs.
    pub options: Options,
    /// How long a stop waits for requests.
    pub deadline: Duration,
}

/// What the engine can be asked.
#[derive(Debug)]
pub enum Command {
    /// Take over another plan.
    Apply(Box<Plan>),
    /// Look at flows as they pass.
    Tap(TapRequest),
    /// End a connection.
    Close(u64),
    /// Give an endpoint no more requests, or requests again.
    Drain(u64, Drain),
    /// Inject a fault.
    Inject(Box<policy::Fault>),
    /// End a fault.
    EndFault(u64),
    /// Cover by these rules what is secret in flows that begin from now on.
    Redact(Box<Rules>),
    /// Hold flows.
    Hold(Box<Hold>),
    /// End a rule that holds flows, and let go what it holds.
    EndHold(u64),
    /// Show what is held under a number.
    Held(u64),
    /// Say how a held flow goes on.
    Release(u64, Box<Release>),
    /// Send a request again. The reply comes when its flow has ended.
    Replay(Box<ReplayRequest>),
}

/// What it answers.
#[derive(Debug)]
pub enum Reply {
    /// What a plan changed, or why it was refused.
    Applied(Result<Changes, PlanError>),
    /// The look that was asked for.
    Tap(Tap),
    /// Whether there was one of that number.
    Done(bool),
    /// The fault's number.
    Injected(Result<u64, FaultError>),
    /// The number of a rule that holds flows.
    Holding(Result<u64, HoldError>),
    /// What is held.
    Held(Option<Box<Held>>),
    /// Whether a held flow goes on as was said.
    Released(Result<(), ReleaseError>),
    /// The flow of a request that was sent again.
    Replayed(Result<Arc<Flow>, ReplayError>),
}

/// The proxy's engine.
#[derive(Debug)]
pub struct ProxyEngine;

/// A flow as a record: fields have the names that filters of the pane use.
pub fn record(flow: &Flow, cx: &Context<ProxyEngine>) -> Option<Record> {
    let text = |b: &[u8]| escape(&String::from_utf8_lossy(b));
    let (end, request) = (flow.end()?, flow.request());
    let severity = match (end.status, &end.fault) {
        (_, Some(_)) | (500.., _) => Severity::Error,
        (400.., _) => Severity::Warn,
        _ => Severity::Info,
    };
    let method = text(request.method());
    let target = text(request.target());
    let line = format!("{method} {target} {}", end.status);
    let mut record = cx
        .record(severity)
        .field("method", method)
        .field("path", target)
        .field("host", request.host().map(text))
        .field("status", end.status)
        .field("duration", end.timings.end)
        .field("size", qd_core::Bytes(end.response_body.length))
        .field("route", end.route.as_deref())
        .field("endpoint", end.endpoint.as_deref())
        .field("src", flow.client.map(|c| c.to_string()))
        .field("tls", flow.tls)
        .field("retry", u64::from(end.attempts.saturating_sub(1)));
    if let Some(status) = flow.grpc_status() {
        record = record.field("grpc.status", status);
    }
    if let Some((word, _)) = &end.fault {
        record = record.field("cause", *word);
    }
    Some(record.body(line).finish())
}

fn health(snapshot: &Snapshot) -> Health {
    if let Some(l) = snapshot.listeners.iter().find(|l| l.tls_problem.is_some()) {
        let why = l.tls_problem.as_deref().unwrap_or_default();
        return Health::degraded(format!("listener `{}` keeps its old certificate: {why}", l.name));
    }
    let open = snapshot.endpoints.iter().filter(|e| e.breaker != "closed").count();
    match open {
        0 => Health::healthy(),
        n if n == snapshot.endpoints.len() => Health::failing("every endpoint is left alone".to_owned()),
        n => Health::degraded(format!("{n} of {} endpoints are left alone", snapshot.endpoints.len())),
    }
}

/// Whether two pictures show the same, but for what falls with time by itself.
fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    // Rates of the last minute fall when nothing comes.
    let steady = |s: &Snapshot| {
        s.faults.is_empty()
            && s.holds.is_empty()
            && s.endpoints.iter().all(|e| e.breaker == "closed")
            && s.routes.iter().all(|r| r.effective.rps <= 0.0)
    };
    let endpoint = |e: &EndpointView| {
        (
            e.id,
            e.pending,
            e.connections,
            e.idle,
            e.draining,
            e.requests,
            e.failures,
            e.health,
        )
    };
    let listener = |l: &ListenerView| (l.address.clone(), l.refused, l.tls_problem.clone());
    steady(a)
        && steady(b)
        && a.totals == b.totals
        && a.connection_count == b.connection_count
        && a.endpoints.iter().map(endpoint).eq(b.endpoints.iter().map(endpoint))
        && a.listeners.iter().map(listener).eq(b.listeners.iter().map(listener))
}

/// The next flow, not before `rest`.
async fn next(flows: &mut Option<Tap>, rest: tokio::time::Instant) -> Option<std::sync::Arc<Flow>> {
    let tap = flows.as_mut()?;
    tokio::time::sleep_until(rest).await;
    tap.next().await
}

fn answer(proxy: &Proxy, command: Command) -> Reply {
    match command {
        Command::Apply(plan) => Reply::Applied(proxy.apply(&plan)),
        Command::Tap(request) => Reply::Tap(proxy.tap(request)),
        Command::Close(id) => Reply::Done(proxy.close(id)),
        Command::Drain(id, drain) => Reply::Done(proxy.drain_endpoint(id, drain)),
        Command::Inject(fault) => Reply::Injected(proxy.inject(*fault)),
        Command::EndFault(id) => Reply::Done(proxy.end_fault(id)),
        Command::Redact(rules) => {
            proxy.redact(*rules);
            Reply::Done(true)
        }
        Command::Hold(hold) => Reply::Holding(proxy.hold(*hold)),
        Command::EndHold(id) => Reply::Done(proxy.end_hold(id)),
        Command::Held(id) => Reply::Held(proxy.held(id).map(Box::new)),
        Command::Release(id, release) => Reply::Released(proxy.release(id, *release)),
        Command::Replay(_) => Reply::Done(false),
    }
}

impl Engine for ProxyEngine {
    type Config = EngineConfig;
    type Command = Command;
    type Reply = Reply;
    type Snapshot = Snapshot;
    type Error = PlanError;
    const KIND: &'static str = "proxy";

    fn schema() -> Schema {
        Schema::records()
            .with("method", FieldType::Keyword, "the request's method")
            .with("path", FieldType::Keyword, "its target")
            .with("host", FieldType::Keyword, "its host")
            .with("status", FieldType::Number, "the answer's status")
            .with(
                "duration",
                FieldType::Duration,
                "from its head to the end of the answer",
            )
            .with("size", FieldType::Bytes, "bytes of the answer's body")
            .with("route", FieldType::Keyword, "the route it took")
            .with("endpoint", FieldType::Keyword, "who answered it")
            .with("grpc.status", FieldType::Number, "the status of gRPC")
            .with("retry", FieldType::Number, "attempts beyond the first")
            .with("tls", FieldType::Bool, "whether it came by TLS")
            .with("src", FieldType::Keyword, "the client's address")
            .with("cause", FieldType::Keyword, "why the proxy answered by itself")
    }

    async fn run(config: EngineConfig, mut cx: Context<Self>) -> Result<(), PlanError> {
        let (plan, options) = (config.plan, config.options);
        let mut deadline = config.deadline;
        // Binding and reading certificates block.
        let started = tokio::task::spawn_blocking(move || Proxy::start(&plan, options)).await;
        let proxy = started.map_err(|e| PlanError::Stopped(e.to_string()))??;
        cx.publish(proxy.snapshot());
        cx.running();
        let records = cx.records();
        let mut flows: Option<Tap> = None;
        let mut lost = 0;
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = 0u64;
        let (mut last, mut moved) = (Snapshot::default(), true);
        // Until when records rest: a batch of flows is cheaper than one after the other.
        let mut rest = tokio::time::Instant::now();
        loop {
            tokio::select! {
                request = cx.next() => match request {
                    None => {
                        let cut = proxy.stop(deadline).await;
                        if cut > 0 {
                            let body = format!("{cut} connections did not end in time and were closed");
                            records.offer(cx.record(Severity::Warn).body(body).finish());
                        }
                        return Ok(());
                    }
                    Some(Request { command: Command::Replay(request), reply }) => {
                        let proxy = proxy.clone();
                        // It takes as long as the upstream does.
                        tokio::spawn(async move { reply.send(Reply::Replayed(proxy.replay(*request).await)) });
                    }
                    Some(Request { command, reply }) => {
                        let next = match &command {
                            Command::Apply(plan) => plan.deadline,
                            _ => deadline,
                        };
                        let proxy = proxy.clone();
                        let said = tokio::task::spawn_blocking(move || answer(&proxy, command)).await;
                        if let Ok(said) = said {
                            if matches!(said, Reply::Applied(Ok(_))) {
                                deadline = next;
                            }
                            reply.send(said);
                        }
                    }
                },
                () = proxy.shutdown_asked() => {
                    proxy.stop(deadline).await;
                    return Ok(());
                }
                _ = pace.tick() => {
                    rounds += 1;
                    if rounds.is_multiple_of(2) {
                        for (place, result) in proxy.look_at_files() {
                            let (severity, body) = match result {
                                Ok(()) => (Severity::Info, format!("{place}: the changed certificate is used")),
                                Err(e) => (Severity::Error, format!("{place}: the old certificate is kept: {e}")),
                            };
                            records.offer(cx.record(severity).body(body).finish());
                        }
                    }
                    // Records are made only for those who read them.
                    match (records.counters().is_empty(), &flows) {
                        (false, None) => {
                            flows = Some(proxy.tap(TapRequest { queue: QUEUE, body: 0 }));
                            lost = 0;
                        }
                        (true, Some(_)) => flows = None,
                        _ => {}
                    }
                    let snapshot = proxy.snapshot();
                    // Nobody is woken for what is the same; once more after the last change, so that rates fall to zero.
                    let moves = !is_same(&last, &snapshot);
                    if moves || moved {
                        cx.set_health(health(&snapshot));
                        last = snapshot.clone();
                        cx.publish(snapshot);
                    }
                    moved = moves;
                }
                flow = next(&mut flows, rest), if flows.is_some() => {
                    rest = tokio::time::Instant::now() + DRAIN;
                    if let Some(tap) = &mut flows {
                        let mut batch: Vec<_> = flow.into_iter().collect();
                        tap.drain(&mut batch, QUEUE);
                        batch.iter().filter_map(|flow| record(flow, &cx)).for_each(|r| records.offer(r));
                        if tap.dropped() > lost {
                            let body = format!("{} requests have no record: they came too fast", tap.dropped() - lost);
                            lost = tap.dropped();
                            records.offer(cx.record(Severity::Warn).body(body).finish());
                        }
                    }
                }
            }
        }
    }
}
