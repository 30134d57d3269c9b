//! Looking at flows as they pass.
//!
//! A tap is a bounded queue: what does not fit is dropped and counted, and traffic never waits for who looks. Bodies are
//! kept up to a size for each flow and up to another for all flows on their way; what is beyond is counted as cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use qd_core::stream::{self, Overflow};
use qd_proxy_wire::{Fields, Known, RequestHead, ResponseHead, Version};
use serde::Serialize;

use crate::side::Watch;

/// What is taken of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapRequest {
    /// Flows that may wait for the reader.
    pub queue: usize,
    /// Bytes that are kept of each body.
    pub body: usize,
}

impl Default for TapRequest {
    fn default() -> Self {
        TapRequest {
            queue: 1024,
            body: 16 * 1024,
        }
    }
}

/// A body as far as it was kept.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// Its beginning.
    pub data: Vec<u8>,
    /// Bytes that passed.
    pub length: u64,
    /// Its trailers.
    pub trailers: Option<Box<Fields>>,
}

/// When what happened, from the beginning of the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timings {
    /// There was a connection.
    pub connected: Option<Duration>,
    /// The answer's head came.
    pub first_byte: Option<Duration>,
    /// All was over.
    pub end: Duration,
}

/// One request with its answer.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its number; they rise.
    pub id: u64,
    /// When it began.
    pub at: SystemTime,
    /// The number of the client's connection.
    pub connection: u64,
    /// The client.
    pub client: Option<SocketAddr>,
    /// The listener.
    pub listener: Arc<str>,
    /// The route, if one fitted.
    pub route: Option<Arc<str>>,
    /// The cluster.
    pub cluster: Option<Arc<str>>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<Arc<str>>,
    /// Whether the client came by TLS.
    pub tls: bool,
    /// The version the client spoke.
    pub version: &'static str,
    /// The request's head as it came.
    pub request: RequestHead,
    /// Its body.
    pub request_body: Body,
    /// The status, 0 if there was none.
    pub status: u16,
    /// The answer's head as it went; of an answer that was made here, nothing.
    pub response: ResponseHead,
    /// Its body.
    pub response_body: Body,
    /// Attempts.
    pub attempts: u32,
    /// Whether the connection to the upstream had been used before.
    pub reused: bool,
    /// What kept the upstream from answering.
    pub fault: Option<(&'static str, String)>,
    /// When what happened.
    pub timings: Timings,
}

impl Flow {
    /// The status of gRPC, from the trailers or else from the head.
    pub fn grpc_status(&self) -> Option<u16> {
        let trailers = self.response_body.trailers.as_ref();
        let value = trailers.and_then(|t| t.first(Known::GrpcStatus));
        let value = value.or_else(|| self.response.fields.first(Known::GrpcStatus))?;
        qd_proxy_policy::GrpcCode::parse(value).map(|code| code.0)
    }
}

/// A reader of flows.
#[derive(Debug)]
pub struct Tap {
    flows: stream::Receiver<Arc<Flow>>,
    lost: Arc<AtomicU64>,
}

impl Tap {
    /// The next one that has come.
    pub fn try_next(&mut self) -> Option<Arc<Flow>> {
        self.flows.try_recv()
    }

    /// Moves up to `max` that have come to the end of `into`; gives how many. Cheaper than one after the other.
    pub fn drain(&mut self, into: &mut Vec<Arc<Flow>>, max: usize) -> usize {
        self.flows.drain(into, max)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Option<Arc<Flow>> {
        self.flows.recv().await
    }

    /// Flows that were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Flows that came into the queue.
    pub fn accepted(&self) -> u64 {
        self.flows.counters().accepted
    }

    /// Calls `wake` when the empty queue gets its first flow; see [`stream::Receiver::on_ready`].
    #[must_use = "the callback goes away with the guard"]
    pub fn on_ready(&self, wake: qd_core::Wake) -> qd_core::WakeGuard {
        self.flows.on_ready(wake)
    }
}

#[derive(Debug)]
struct Reader {
    flows: stream::Sender<Arc<Flow>>,
    lost: Arc<AtomicU64>,
    body: usize,
}

/// Bytes of bodies that all flows on their way may hold.
const ALL_BODIES: usize = 16 << 20;

/// All readers.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    any: AtomicBool,
    readers: ArcSwap<Vec<Arc<Reader>>>,
    held: Arc<AtomicUsize>,
}

impl Taps {
    pub(crate) fn add(&self, request: TapRequest) -> Tap {
        let (sender, receiver) = stream::channel(request.queue, Overflow::DropNewest);
        let lost = Arc::new(AtomicU64::new(0));
        let reader = Arc::new(Reader {
            flows: sender,
            lost: Arc::clone(&lost),
            body: request.body,
        });
        self.readers.rcu(|list| {
            let mut list: Vec<_> = list.iter().filter(|r| r.flows.is_open()).cloned().collect();
            list.push(Arc::clone(&reader));
            list
        });
        self.any.store(true, Ordering::Release);
        Tap { flows: receiver, lost }
    }

    /// Begins to take a flow down, if anyone looks.
    pub(crate) fn begin(&self) -> Option<Box<Capture>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let readers = self.readers.load();
        let most = readers.iter().filter(|r| r.flows.is_open()).map(|r| r.body).max();
        let Some(most) = most else {
            self.any.store(false, Ordering::Release);
            // One that has come meanwhile must not be forgotten.
            let again = self.readers.load().iter().any(|r| r.flows.is_open());
            self.any.store(again, Ordering::Release);
            return None;
        };
        Some(Box::new(Capture {
            asked: RequestHead::default(),
            told: ResponseHead::default(),
            at: SystemTime::now(),
            request: Recording::new(most, &self.held),
            response: Recording::new(most, &self.held),
        }))
    }

    /// Gives a flow to every reader that has room.
    pub(crate) fn offer(&self, flow: Flow) {
        let flow = Arc::new(flow);
        for reader in self.readers.load().iter() {
            if let Err(stream::SendError::Full(_)) = reader.flows.offer(Arc::clone(&flow)) {
                reader.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A body that is taken down as it passes.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) body: Body,
    most: usize,
    held: Arc<AtomicUsize>,
    counted: usize,
}

impl Recording {
    fn new(most: usize, held: &Arc<AtomicUsize>) -> Recording {
        Recording {
            body: Body::default(),
            most,
            held: Arc::clone(held),
            counted: 0,
        }
    }

    /// Begins again, for another attempt.
    pub(crate) fn restart(&mut self) {
        self.body = Body::default();
    }

    fn take(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

impl Watch for Recording {
    fn data(&mut self, data: &[u8]) {
        self.body.length += data.len() as u64;
        let room = self.most.saturating_sub(self.body.data.len());
        let part = data.get(..room.min(data.len())).unwrap_or_default();
        if !part.is_empty() && self.held.load(Ordering::Relaxed) + part.len() <= ALL_BODIES {
            self.held.fetch_add(part.len(), Ordering::Relaxed);
            self.counted += part.len();
            self.body.data.extend_from_slice(part);
        }
    }

    fn trailers(&mut self, trailers: Option<&Fields>) {
        self.body.trailers = trailers.cloned().map(Box::new);
    }
}

/// A flow while it goes on.
#[derive(Debug)]
pub(crate) struct Capture {
    asked: RequestHead,
    told: ResponseHead,
    at: SystemTime,
    pub(crate) request: Recording,
    pub(crate) response: Recording,
}

impl Capture {
    /// The request as it came.
    pub(crate) fn request(&mut self, head: &RequestHead) {
        self.asked = head.clone();
    }

    /// The answer as it goes.
    pub(crate) fn response(&mut self, head: &ResponseHead) {
        self.told = head.clone();
    }

    /// The flow, of which the rest is filled in by the caller.
    pub(crate) fn finish(mut self, version: Version, listener: Arc<str>) -> Flow {
        Flow {
            id: 0,
            at: self.at,
            connection: 0,
            client: None,
            listener,
            route: None,
            cluster: None,
            endpoint: None,
            tls: false,
            version: version.name(),
            request: self.asked,
            request_body: self.request.take(),
            status: 0,
            response: self.told,
            response_body: self.response.take(),
            attempts: 0,
            reused: false,
            fault: None,
            timings: Timings::default(),
        }
    }
}
