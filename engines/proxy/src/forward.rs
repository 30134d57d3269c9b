//! A request from its head to the end of its answer: route, endpoint, attempts, answer.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use qd_proxy_telemetry::Requests;
use qd_proxy_wire::{
    Authority, Framing, Known, RequestHead, ResponseHead, Version, fields,
    rules::{self, Hop, Trust},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    account,
    aim::Aim,
    alarm::Alarm,
    answer,
    cluster::{Cluster, Endpoint, Link, UpConn},
    connect::{Connected, Want, connect},
    conns::ConnEntry,
    exchange::Down,
    fault::Fault,
    flow::{Ended, Start},
    grpc_web, hold, inject,
    plan::{Action, Forward},
    replay::Again,
    retries::attempts,
    router,
    shared::{Shared, Slot, Stand},
    side::Replay,
    tap::Capture,
    tellers::Told,
    tunnel,
    way::{Client, Way},
};

/// What a connection's requests need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct ConnCx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    pub(crate) slot: Arc<Slot>,
    pub(crate) entry: Arc<ConnEntry>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: bool,
    /// The names of the client's certificate.
    pub(crate) names: Arc<[String]>,
    pub(crate) times: ConnTimes,
    /// What is sent again, if this is no client's connection.
    pub(crate) again: Option<Arc<Again>>,
    /// Where its requests go, whatever they ask for.
    pub(crate) aim: Option<Arc<Aim>>,
}

/// When what happened before the first request of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnTimes {
    pub(crate) accepted: Instant,
    pub(crate) handshake: Option<Duration>,
    pub(crate) detect: Option<Duration>,
}

impl ConnTimes {
    pub(crate) fn now() -> ConnTimes {
        ConnTimes {
            accepted: Instant::now(),
            handshake: None,
            detect: None,
        }
    }

    /// It is known what is spoken.
    pub(crate) fn detected(&mut self) {
        let all = self.accepted.elapsed();
        self.detect = Some(all.saturating_sub(self.handshake.unwrap_or_default()));
    }
}

/// What a connection uses for one request after another.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) head: RequestHead,
    pub(crate) answer: ResponseHead,
    pub(crate) replay: Replay,
    pub(crate) alarm: Alarm,
    /// The body, or the first of it, was put into `replay` before the first attempt.
    pub(crate) prefilled: bool,
    /// The protocol that an extended CONNECT wants to switch to.
    pub(crate) switch: Option<Vec<u8>>,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It serves the next request.
    Keep,
    /// It is closed in good order.
    Close,
    /// It is closed so that nothing looks complete.
    Cut,
}

/// What is known of a request while it goes on.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) status: u16,
    pub(crate) started: bool,
    pub(crate) attempts: u32,
    pub(crate) reused: bool,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// The route.
    pub(crate) way: Option<Arc<Way>>,
    pub(crate) cluster: Option<Arc<str>>,
    /// The endpoint of the last attempt, and when that began.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) sent_at: Option<Instant>,
    /// The status of gRPC.
    pub(crate) grpc: Option<u16>,
    /// The counters of the host that is asked for.
    pub(crate) counted: Option<Arc<Requests>>,
    /// What the access log and the collector are told, if there are any.
    pub(crate) told: Option<Box<Told>>,
    pub(crate) capture: Option<Box<Capture>>,
}

/// Serves one request, whose head is on the desk.
pub(crate) async fn serve(cx: &ConnCx, desk: &mut Desk, down: &mut Down<'_>, framing: Framing) -> After {
    let begun = Instant::now();
    let stand = cx.slot.stand.load_full();
    let mut sum = Sum {
        capture: begin(cx, &desk.head, begun, desk.head.version.name()),
        told: stand.tellers.begin(&desk.head),
        ..Sum::default()
    };
    let is_grpc = desk
        .head
        .fields
        .first(Known::ContentType)
        .is_some_and(|v| v.starts_with(b"application/grpc"));
    let is_head = desk.head.method() == b"HEAD";
    let version = desk.head.version;
    let keep = match version {
        Version::Http10 => desk.head.fields.lists(Known::Connection, b"keep-alive"),
        _ => !desk.head.fields.lists(Known::Connection, b"close"),
    };
    let result = route(cx, &stand, desk, down, framing, begun, &mut sum).await;
    let (after, fault) = match result {
        Ok(after) => (after, None),
        Err(fault) => {
            let after = if sum.started {
                down.cut()
            } else if matches!(fault, Fault::ClientGone) {
                sum.status = fault.status();
                down.cut()
            } else if matches!(fault, Fault::InjectedReset | Fault::Killed) {
                if let Down::H1(side) = down {
                    side.conn.io.reset_on_close();
                }
                down.cut();
                After::Cut
            } else {
                sum.status = fault.status();
                let kind = answer::Kind {
                    is_grpc,
                    is_head,
                    version,
                    keep: keep && !matches!(fault, Fault::BodyTooLarge | Fault::Body(_)),
                };
                answer::fault(down, &fault, kind).await
            };
            (after, Some(fault))
        }
    };
    let end = Instant::now();
    account::over(cx, &stand, &mut sum, fault.as_ref(), begun, end);
    if let Some(mut capture) = sum.capture.take() {
        capture.finish(end - begun, sum.ended(fault));
    }
    after
}

/// Begins to take a flow down, if anyone wants it.
pub(crate) fn begin(cx: &ConnCx, head: &RequestHead, begun: Instant, version: &'static str) -> Option<Box<Capture>> {
    let first = cx.entry.requests.fetch_add(1, Ordering::Relaxed) == 0;
    let wanted = cx.shared.taps.wanted();
    let most = match &cx.again {
        Some(again) => Some(again.body.max(wanted.unwrap_or(0))),
        // What is held is shown, whether flows are or not.
        None => wanted.or_else(|| cx.shared.holds.any().then_some(0)),
    }?;
    let start = Start {
        id: cx.shared.taps.number(),
        connection: cx.entry.id,
        client: cx.peer,
        listener: Arc::clone(&cx.slot.name),
        tls: cx.tls,
        version,
        replay_of: cx.again.as_ref().map(|a| a.of),
        began: begun.into_std(),
    };
    let mut capture = cx.shared.taps.begin(cx.worker, start, head, most);
    if first && cx.again.is_none() {
        capture.times.accepted = Some(begun.saturating_duration_since(cx.times.accepted));
        capture.times.handshake = cx.times.handshake;
        capture.times.detect = cx.times.detect;
    }
    if let Some(again) = &cx.again {
        let _ = again.flow.set(Arc::clone(&capture.flow));
    }
    Some(capture)
}

/// What a request asks of this hop, and where it wants to go.
pub(crate) struct Asked {
    pub(crate) hop: Hop,
    pub(crate) upgrade: Option<Vec<u8>>,
    /// It is gRPC as browsers tell it; see [`crate::grpc_web::kind`].
    pub(crate) web: Option<Vec<u8>>,
    pub(crate) keep: bool,
}

/// Reads the target and makes it one of a path; gives the authority if the client named one for a forward proxy.
fn targeted(stand: &Stand, head: &mut RequestHead) -> Result<Option<Authority>, Fault> {
    let bad = Fault::Request("the target is none");
    let target = head.target();
    if head.method() == b"CONNECT" {
        let authority = Authority::parse(target).ok_or(bad)?;
        return match stand.plan.forward {
            Forward::On => Ok(Some(authority)),
            Forward::Off => Err(Fault::Refused("this is no forward proxy")),
        };
    }
    if target.first() == Some(&b'/') {
        return Ok(None);
    }
    if target == b"*" {
        return match head.method() {
            b"OPTIONS" => Ok(None),
            _ => Err(bad),
        };
    }
    let lower: Vec<u8> = target.iter().take(8).map(u8::to_ascii_lowercase).collect();
    let rest = match lower.strip_prefix(b"http://") {
        Some(_) => target.get(7..),
        None => lower.strip_prefix(b"https://").and_then(|_| target.get(8..)),
    };
    let rest = rest.ok_or(Fault::Request("the target is none"))?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let named = rest.get(..end).unwrap_or_default().to_vec();
    let mut path = rest.get(end..).unwrap_or_default().to_vec();
    let authority = Authority::parse(&named).ok_or(bad)?;
    if path.first() != Some(&b'/') {
        path.insert(0, b'/');
    }
    head.set_target(&path);
    // What the target says counts, whatever `Host` says.
    head.fields.set(b"Host", &named);
    Ok((stand.plan.forward == Forward::On).then_some(authority))
}

async fn route(
    cx: &ConnCx,
    stand: &Stand,
    desk: &mut Desk,
    down: &mut Down<'_>,
    framing: Framing,
    begun: Instant,
    sum: &mut Sum,
) -> Result<After, Fault> {
    let (mut framing, mut begun) = (framing, begun);
    let head = &mut desk.head;
    let authority = targeted(stand, head)?;
    if rules::passed(&head.fields, &cx.shared.pseudonym) > 0 {
        return Err(Fault::Loop);
    }
    let upgrade = head.fields.first(Known::Upgrade).map(<[u8]>::to_vec);
    let hop = rules::strip_request(&mut head.fields);
    let asked = Asked {
        web: grpc_web::kind(head),
        keep: rules::keeps_alive(head.version, hop),
        upgrade: match desk.switch.take() {
            Some(protocol) => Some(protocol),
            None => upgrade.filter(|_| hop.upgrade && head.version == Version::Http11 && framing == Framing::None),
        },
        hop,
    };
    if head.version == Version::Http10 {
        head.fields.remove(Known::Expect);
    }
    if let (Some(most), Framing::Length(n)) = (stand.plan.bounds.body, framing)
        && n > most
    {
        return Err(Fault::BodyTooLarge);
    }
    let client = Client {
        address: cx.peer.map(|p| p.ip()),
        names: &cx.names,
    };
    // Where a request goes that takes no route, the listener's policy is all there is.
    let goes_past_routes = authority.is_some() || cx.aim.is_some();
    if goes_past_routes && cx.again.is_none() && !client.may(stand.plan.access.as_ref(), "") {
        return Err(Fault::Denied);
    }
    if let Some(aim) = &cx.aim
        && head.method() != b"CONNECT"
    {
        let head = &mut desk.head;
        rules::via(&mut head.fields, head.version, &cx.shared.pseudonym);
        let way = Way::direct(Arc::clone(&aim.cluster), &cx.slot.unrouted, &cx.shared.clock);
        if let Some((then, held)) = hold(cx, "", desk, down, framing, sum).await? {
            framing = then;
            begun += held;
        }
        let done = attempts(cx, stand, &way, desk, down, framing, begun, &asked, sum).await;
        // Whoever is looked into chose the host, and may know what is wrong with it.
        return done.map_err(|fault| match fault {
            Fault::Tls(_, why) => Fault::Untrusted(why),
            fault => fault,
        });
    }
    if let Some(authority) = authority {
        if head.method() == b"CONNECT" {
            return tunnel::connect(cx, stand, desk, down, &authority, sum).await;
        }
        let cluster = cx.shared.host(&authority.host, authority.port.unwrap_or(80));
        let cluster = cluster.ok_or_else(|| Fault::NoEndpoint(Arc::from(authority.to_string())))?;
        rules::via(&mut head.fields, head.version, &cx.shared.pseudonym);
        let way = Way::direct(cluster, &cx.slot.unrouted, &cx.shared.clock);
        if let Some((then, held)) = hold(cx, "", desk, down, framing, sum).await? {
            framing = then;
            begun += held;
        }
        return attempts(cx, stand, &way, desk, down, framing, begun, &asked, sum).await;
    }
    if let Some(cluster) = cx.again.as_ref().and_then(|a| a.to.clone()) {
        rules::forwarded(head, client.address, trust(stand, client.address));
        rules::via(&mut head.fields, head.version, &cx.shared.pseudonym);
        let way = Way::direct(cluster, &cx.slot.unrouted, &cx.shared.clock);
        return attempts(cx, stand, &way, desk, down, framing, begun, &asked, sum).await;
    }
    let (way, prefix) = find(cx, stand, head, &client)?;
    sum.way = Some(Arc::clone(&way));
    let host = head.host().unwrap_or_default();
    let counted = way.stats.counted(&cx.shared.metrics, host, cx.tls);
    counted.begin();
    sum.counted = Some(counted);
    way.limit(&client, &cx.shared.clock)?;
    if cx.shared.any_fault.load(Ordering::Acquire) {
        inject::perhaps(&cx.shared, cx.worker, &way.route.name, head, client.address).await?;
    }
    let held = hold(cx, &way.route.name, desk, down, framing, sum).await?;
    let head = &mut desk.head;
    let (way, prefix) = match held {
        None => (way, prefix),
        Some((then, held)) => {
            framing = then;
            begun += held;
            // It may have become another request.
            let (way, prefix) = find(cx, stand, head, &client)?;
            sum.way = Some(Arc::clone(&way));
            (way, prefix)
        }
    };
    let client = client.address;
    match &way.route.action {
        Action::Forward(_) => {}
        Action::Redirect { .. } => {
            let (status, location) = answer::location(&way.route.action, prefix, head, cx.tls);
            sum.status = status;
            let kind = answer::Kind::of(head, asked.keep);
            return Ok(answer::redirect(down, status, &location, kind).await);
        }
        Action::Respond { status, body } => {
            sum.status = *status;
            let kind = answer::Kind::of(head, asked.keep);
            return Ok(answer::text(down, *status, body, kind).await);
        }
    }
    if let Some(edit) = &way.route.path {
        let target = router::edit_path(edit, prefix, head);
        head.set_target(&target);
    }
    rules::forwarded(head, client, trust(stand, client));
    rules::via(&mut head.fields, head.version, &cx.shared.pseudonym);
    if let (Some(tracer), Some(told)) = (&stand.tellers.tracer, &mut sum.told) {
        told.span = Some(cx.shared.roll(cx.worker, |dice| tracer.begin(head, dice)));
    }
    if let Some(host) = &way.route.host {
        head.fields.set(b"Host", host.as_bytes());
    }
    if !way.route.request_headers.is_empty() {
        way.route.request_headers.apply(&mut head.fields);
    }
    attempts(cx, stand, &way, desk, down, framing, begun, &asked, sum).await
}

/// The route of a request, if the client may take it, and how much of the path it matched.
fn find(cx: &ConnCx, stand: &Stand, head: &RequestHead, client: &Client<'_>) -> Result<(Arc<Way>, usize), Fault> {
    // What an operator sends again is not asked who it is.
    let free = cx.again.is_some();
    let found = router::find(&stand.router, head);
    let found = found.and_then(|f| Some((stand.ways.get(f.route)?, f.prefix)));
    let family = found.map_or("", |(way, _)| &way.route.family);
    if !free && !client.may(stand.plan.access.as_ref(), family) {
        return Err(Fault::Denied);
    }
    let (way, prefix) = found.ok_or(Fault::NoRoute)?;
    match free || client.may(way.route.access.as_ref(), family) {
        true => Ok((Arc::clone(way), prefix)),
        false => Err(Fault::Denied),
    }
}

fn trust(stand: &Stand, client: Option<IpAddr>) -> Trust {
    match client {
        Some(ip) if stand.plan.trusted.iter().any(|n| n.contains(ip)) => Trust::Proxy,
        _ => Trust::Stranger,
    }
}

/// Finds or opens a connection.
pub(crate) async fn acquire(
    cx: &ConnCx,
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    want: Want,
    by: Option<Instant>,
) -> Result<Result<Box<UpConn>, Arc<Link>>, Fault> {
    let plan = &cluster.plan;
    if want != Want::Http2
        && want != Want::Opaque
        && plan.is_shared()
        && let Some(conn) = endpoint.checkout(cx.worker, plan.idle_timeout)
    {
        return Ok(Ok(conn));
    }
    let shares = matches!(want, Want::Http2 | Want::Either);
    if shares && let Some(link) = endpoint.link(cx.worker) {
        return Ok(Err(link));
    }
    let work = async {
        // One opens a shared connection, the others wait for it.
        let _dialling = match (shares, endpoint.dialling.get(cx.worker)) {
            (true, Some(lock)) => Some(lock.lock().await),
            _ => None,
        };
        if shares && let Some(link) = endpoint.link(cx.worker) {
            return Ok(Err(link));
        }
        let failfast = Instant::now() + plan.failfast;
        let mut seat = None;
        let slot = loop {
            let freed = endpoint.freed.notified();
            if let Some(slot) = endpoint.slot(plan.connections) {
                break slot;
            }
            if seat.is_none() {
                let full = || Fault::QueueFull(Arc::clone(&cluster.name));
                seat = Some(cluster.waiting.sit().ok_or_else(full)?);
            }
            timeout_at(failfast, freed).await.map_err(|_| Fault::Shed)?;
            if !shares && let Some(conn) = endpoint.checkout(cx.worker, plan.idle_timeout) {
                return Ok(Ok(conn));
            }
            if !endpoint.is_open() {
                return Err(Fault::Shed);
            }
        };
        let ends = cx.peer.zip(cx.local);
        match connect(cluster, slot, cx.worker, want, ends).await? {
            Connected::H1(conn) => Ok(Ok(conn)),
            Connected::H2(link) => Ok(Err(link)),
        }
    };
    match by {
        Some(by) => timeout_at(by, work).await.map_err(|_| Fault::Timeout)?,
        None => work.await,
    }
}

/// Holds a request if that is wanted.
async fn hold(
    cx: &ConnCx,
    route: &str,
    desk: &mut Desk,
    down: &mut Down<'_>,
    framing: Framing,
    sum: &mut Sum,
) -> Result<Option<(Framing, Duration)>, Fault> {
    match cx.shared.holds.any() && cx.again.is_none() {
        true => Box::pin(hold::request(cx, route, desk, down, framing, sum)).await,
        false => Ok(None),
    }
}

impl Sum {
    /// What is told of the end.
    pub(crate) fn ended(self, fault: Option<Fault>) -> Ended {
        Ended {
            route: self.way.as_ref().map(|way| Arc::clone(&way.route.name)),
            cluster: self.cluster,
            endpoint: self.endpoint.as_ref().map(|e| Arc::clone(&e.name)),
            status: self.status,
            attempts: self.attempts,
            fault: fault.map(|f| (f.word(), f.to_string())),
            ..Ended::default()
        }
    }
}

/// Whether a line of text can be a header's value.
pub(crate) fn is_value(text: &str) -> bool {
    fields::is_value(text.as_bytes())
}
