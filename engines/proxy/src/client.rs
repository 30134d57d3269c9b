//! Requests of the proxy's own: copies for mirrors, active checks, spans for a collector.
//!
//! They go the way of any request to an endpoint (the same pools, the same protocols), but nobody waits for their answer.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use qd_proxy_policy::breaker::Verdict;
use qd_proxy_wire::{Fields, Framing, RequestHead, ResponseHead, Scan};
use tokio::time::{Instant, timeout};

use crate::{
    cluster::{Cluster, Endpoint, Link, Sent, UpConn},
    connect::{Connected, Want, connect},
    exchange::{Heard, Up},
    fault::Fault,
    forward::{ConnCx, Desk},
    plan::UpstreamProtocol,
    shared::Shared,
    side::{Broken, Filled, PumpError, Pumped, Sink, Source, poll_pump},
    way::{Copies, Way},
};

/// Bytes of an answer that are kept.
const KEPT: usize = 64 * 1024;
/// How long a copy may take.
const COPY_TIME: Duration = Duration::from_secs(30);
/// Heads before the answer that are believed.
const INTERIMS: usize = 16;

/// A body that is there already.
struct Whole(Bytes);

impl Source for Whole {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        Poll::Ready(Ok(match self.0.len() {
            0 => Filled::End(None),
            n => Filled::Data(n),
        }))
    }
    fn front(&self) -> &[u8] {
        &self.0
    }
    fn consume(&mut self, n: usize) {
        let _ = self.take(n);
    }
    fn take(&mut self, n: usize) -> Bytes {
        self.0.split_to(n.min(self.0.len()))
    }
}

/// Takes a body and keeps its beginning.
#[derive(Default)]
struct Kept {
    data: Vec<u8>,
    trailers: Option<Box<Fields>>,
}

impl Sink for Kept {
    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        Poll::Ready(Ok(KEPT))
    }
    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken> {
        let room = KEPT.saturating_sub(self.data.len());
        let part = from.front().get(..n.min(room)).unwrap_or_default();
        self.data.extend_from_slice(part);
        from.consume(n);
        Ok(())
    }
    fn end(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Broken> {
        self.trailers = trailers;
        Ok(())
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    /// The first 64 KiB of its body.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Box<Fields>>,
}

/// Whether kept connections may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// They may, and this one is kept.
    Kept,
    /// It is a new one, which is closed afterwards.
    Own,
}

async fn reach(
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    worker: usize,
    want: Want,
    pool: Pool,
) -> Result<Result<Box<UpConn>, Arc<Link>>, Fault> {
    if pool == Pool::Kept && cluster.plan.is_shared() {
        match want {
            Want::Http2 => {
                if let Some(link) = endpoint.link(worker) {
                    return Ok(Err(link));
                }
            }
            _ => {
                if let Some(conn) = endpoint.checkout(worker, cluster.plan.idle_timeout) {
                    return Ok(Ok(conn));
                }
            }
        }
    }
    // Own connections are of no worker, so that none of them keeps one, and beyond the cap.
    let (worker, cap) = match pool {
        Pool::Kept => (worker, cluster.plan.connections),
        Pool::Own => (usize::MAX, usize::MAX),
    };
    let slot = endpoint.slot(cap).ok_or(Fault::Shed)?;
    match connect(cluster, slot, worker, want, None).await? {
        Connected::H1(conn) => Ok(Ok(conn)),
        Connected::H2(link) => Ok(Err(link)),
    }
}

/// Asks an endpoint and takes its whole answer.
pub(crate) async fn ask(
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    worker: usize,
    pool: Pool,
    head: &RequestHead,
    framing: Framing,
    body: Bytes,
) -> Result<Answer, Fault> {
    let want = match cluster.plan.protocol {
        UpstreamProtocol::Http1 => Want::Http1,
        UpstreamProtocol::Http2 => Want::Http2,
        UpstreamProtocol::Same if crate::router::is_grpc(head) => Want::Http2,
        UpstreamProtocol::Same => Want::Http1,
    };
    let link = reach(cluster, endpoint, worker, want, pool).await?;
    let own = match (&link, pool) {
        (Err(link), Pool::Own) => Some(Arc::clone(link)),
        _ => None,
    };
    let result = exchange(cluster, endpoint, worker, pool, link, head, framing, body).await;
    if let Some(link) = own {
        link.close.notify_one();
    }
    result
}

#[allow(clippy::too_many_arguments)]
async fn exchange(
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    worker: usize,
    pool: Pool,
    link: Result<Box<UpConn>, Arc<Link>>,
    head: &RequestHead,
    framing: Framing,
    body: Bytes,
) -> Result<Answer, Fault> {
    let mut up = Up::send_request(link, head, framing, None, false).await?;
    let mut state = Pumped::default();
    let mut body = Whole(body);
    let sent = poll_fn(|cx| poll_pump(cx, &mut body, &mut up, &mut state, None)).await;
    if let Err(PumpError::Source(e) | PumpError::Sink(e)) = sent {
        return Err(Fault::upstream(e));
    }
    let (mut scan, mut answer) = (Scan::default(), ResponseHead::default());
    let mut heads = 0;
    loop {
        match poll_fn(|cx| up.poll_head(cx, &mut scan, &mut answer, head.method()))
            .await?
            .0
        {
            Heard::Final => break,
            Heard::Interim if heads < INTERIMS => heads += 1,
            Heard::Interim => return Err(Fault::Protocol),
        }
    }
    if answer.status == 101 {
        up.cancel();
        return Err(Fault::Protocol);
    }
    let hop = qd_proxy_wire::rules::strip_response(&mut answer.fields);
    let stays = crate::exchange::keeps(&answer, hop);
    let mut kept = Kept::default();
    let mut state = Pumped::default();
    match poll_fn(|cx| poll_pump(cx, &mut up, &mut kept, &mut state, None)).await {
        Ok(()) => {}
        Err(PumpError::Source(e) | PumpError::Sink(e)) => return Err(Fault::upstream(e)),
    }
    if let Up::H1(conn) = up {
        let side = &conn.side;
        let clean = side.said_all() && side.decoder.is_over() && side.conn.rbuf.is_empty();
        if pool == Pool::Kept && stays && clean && cluster.plan.is_shared() {
            endpoint.checkin(worker, conn, cluster.plan.idle, Instant::now());
        }
    }
    Ok(Answer {
        status: answer.status,
        fields: std::mem::take(&mut answer.fields),
        body: kept.data,
        trailers: kept.trailers,
    })
}

/// Sends copies of a request that has been sent, to those who get one.
pub(crate) fn copies(cx: &ConnCx, way: &Way, desk: &Desk, framing: Framing) {
    for copies in &way.copies {
        if !cx.shared.roll(cx.worker, |dice| copies.chosen(dice)) {
            continue;
        }
        let whole = framing == Framing::None || desk.replay.is_whole();
        let Some(seat) = copies.room.sit().filter(|_| whole) else {
            way.stats.not_copied.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        way.stats.copied.fetch_add(1, Ordering::Relaxed);
        let mut head = desk.head.clone();
        copies.request_headers.apply(&mut head.fields);
        let body = Bytes::copy_from_slice(&desk.replay.data);
        let (shared, worker, copies) = (Arc::clone(&cx.shared), cx.worker, Arc::clone(copies));
        tokio::spawn(async move {
            if !copy(&shared, worker, &copies, &head, framing, body).await {
                tracing::debug!(cluster = &*copies.cluster.name, "a copy was not answered");
            }
            drop(seat);
        });
    }
}

/// Sends one; whether there was an answer. A cluster without an endpoint that is ready gets none: copies don't queue.
async fn copy(
    shared: &Shared,
    worker: usize,
    copies: &Copies,
    head: &RequestHead,
    framing: Framing,
    body: Bytes,
) -> bool {
    let cluster = &copies.cluster;
    let now = shared.clock.mono();
    let Some(mut sent) = shared.roll(worker, |dice| cluster.pick(&[], None, now, &shared.clock, dice)) else {
        return false;
    };
    let endpoint = Arc::clone(&sent.endpoint);
    let work = ask(cluster, &endpoint, worker, Pool::Kept, head, framing, body);
    let answer = timeout(COPY_TIME, work).await.unwrap_or(Err(Fault::Timeout));
    tell(shared, worker, &mut sent, answer.as_ref().map(|a| a.status));
    answer.is_ok()
}

/// Tells an endpoint's breaker what became of a request.
fn tell(shared: &Shared, worker: usize, sent: &mut Sent, answer: Result<u16, &Fault>) {
    let now = shared.clock.mono();
    let verdict = match answer {
        Ok(429) => Verdict::Throttled,
        Ok(500..) => Verdict::Failure,
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Failure,
    };
    shared.roll(worker, |dice| sent.verdict(verdict, now, dice));
}

/// The same with a time for all of it.
pub(crate) async fn ask_within(
    time: Duration,
    cluster: &Cluster,
    endpoint: &Arc<Endpoint>,
    head: &RequestHead,
    framing: Framing,
    body: Bytes,
) -> Result<Answer, Fault> {
    let work = ask(cluster, endpoint, 0, Pool::Own, head, framing, body);
    timeout(time, work).await.unwrap_or(Err(Fault::Timeout))
}

/// Opens a connection that is closed at once.
pub(crate) async fn reach_own(cluster: &Cluster, endpoint: &Arc<Endpoint>, want: Want) -> Result<(), Fault> {
    reach(cluster, endpoint, 0, want, Pool::Own).await.map(drop)
}
