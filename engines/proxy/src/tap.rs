//! Looking at flows as they pass.
//!
//! A tap is a bounded queue of flows that have ended: what does not fit is dropped and counted, and traffic never waits for
//! who looks. Flows that go on are not told but looked up ([`Tap::running`]), so that a request that is over before anybody
//! could have seen it costs one message and not three. Bodies are kept up to a size for each flow and up to another for all
//! flows that nobody has taken yet; what is beyond is counted as cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qd_core::stream::{self, Overflow};
use qd_proxy_content::Rules;
use qd_proxy_wire::{Fields, RequestHead, ResponseHead};
use tokio::time::Instant;

use crate::{
    flow::{Attempt, Body, Ended, Flow, Stage, Start, Timings},
    side::Watch,
};

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

/// A reader of flows.
#[derive(Debug)]
pub struct Tap {
    flows: stream::Receiver<Arc<Flow>>,
    lost: Arc<AtomicU64>,
    taps: Arc<Taps>,
}

impl Tap {
    /// The next one that has ended.
    pub fn try_next(&mut self) -> Option<Arc<Flow>> {
        self.flows.try_recv().inspect(|f| f.taken())
    }

    /// Moves up to `max` that have ended to the end of `into`; gives how many. Cheaper than one after the other.
    pub fn drain(&mut self, into: &mut Vec<Arc<Flow>>, max: usize) -> usize {
        let before = into.len();
        let n = self.flows.drain(into, max);
        into.iter().skip(before).for_each(|f| f.taken());
        n
    }

    /// Waits for the next one that ends.
    pub async fn next(&mut self) -> Option<Arc<Flow>> {
        self.flows.recv().await.inspect(|f| f.taken())
    }

    /// Flows that go on now and are at least `older` old, the oldest first, at most `most`. They are the same values that
    /// come through the queue when they end, and tell more the further they are: see [`Flow::stage`].
    pub fn running(&self, older: Duration, most: usize) -> Vec<Arc<Flow>> {
        self.taps.running(older, most)
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

/// Bytes of bodies that all flows may hold which nobody has taken.
const ALL_BODIES: usize = 64 << 20;

/// Flows that go on, of one worker.
#[derive(Debug, Default)]
struct Running {
    places: Vec<Option<Arc<Flow>>>,
    free: Vec<usize>,
}

/// All readers.
#[derive(Debug)]
pub(crate) struct Taps {
    any: AtomicBool,
    readers: ArcSwap<Vec<Arc<Reader>>>,
    pub(crate) weight: AtomicUsize,
    rules: ArcSwap<Rules>,
    running: Box<[Mutex<Running>]>,
    numbers: AtomicU64,
}

impl Taps {
    pub(crate) fn new(workers: usize) -> Taps {
        Taps {
            any: AtomicBool::new(false),
            readers: ArcSwap::default(),
            weight: AtomicUsize::new(0),
            rules: ArcSwap::from_pointee(Rules::default()),
            running: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            numbers: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(self: &Arc<Taps>, request: TapRequest) -> Tap {
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
        Tap {
            flows: receiver,
            lost,
            taps: Arc::clone(self),
        }
    }

    /// What is covered from now on.
    pub(crate) fn redact(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// A number for a flow.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How much of a body is to be kept, if anyone looks.
    pub(crate) fn wanted(&self) -> Option<usize> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let readers = self.readers.load();
        let most = readers.iter().filter(|r| r.flows.is_open()).map(|r| r.body).max();
        if most.is_none() {
            self.any.store(false, Ordering::Release);
            // One that has come meanwhile must not be forgotten.
            let again = self.readers.load().iter().any(|r| r.flows.is_open());
            self.any.store(again, Ordering::Release);
        }
        most
    }

    /// Begins to take a flow down, and to keep so much of each body.
    pub(crate) fn begin(
        self: &Arc<Taps>,
        worker: usize,
        start: Start,
        head: &RequestHead,
        most: usize,
    ) -> Box<Capture> {
        let flow = Arc::new(Flow::new(start, head, Arc::clone(self)));
        let place = self.running.get(worker).map_or(0, |running| {
            let mut running = running.lock();
            match running.free.pop() {
                Some(place) => {
                    if let Some(free) = running.places.get_mut(place) {
                        *free = Some(Arc::clone(&flow));
                    }
                    place
                }
                None => {
                    running.places.push(Some(Arc::clone(&flow)));
                    running.places.len() - 1
                }
            }
        });
        Box::new(Capture {
            request: Recording::new(most, &flow),
            response: Recording::new(most, &flow),
            flow,
            worker,
            place,
            taps: Arc::clone(self),
            times: Timings::default(),
            earlier: Vec::new(),
            reused: false,
            done: false,
        })
    }

    fn running(&self, older: Duration, most: usize) -> Vec<Arc<Flow>> {
        let mut all = Vec::new();
        for running in &self.running {
            all.extend(running.lock().places.iter().flatten().cloned());
        }
        all.retain(|f| f.elapsed() >= older);
        all.sort_unstable_by_key(|f| f.id);
        all.truncate(most);
        all
    }

    fn ended(&self, worker: usize, place: usize) {
        if let Some(running) = self.running.get(worker) {
            let mut running = running.lock();
            if let Some(taken) = running.places.get_mut(place) {
                *taken = None;
                running.free.push(place);
            }
        }
    }

    /// Gives a flow to every reader that has room.
    fn offer(&self, flow: &Arc<Flow>) {
        for reader in self.readers.load().iter() {
            if let Err(stream::SendError::Full(_)) = reader.flows.offer(Arc::clone(flow)) {
                reader.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A body that is taken down as it passes.
#[derive(Debug)]
pub(crate) struct Recording {
    body: Body,
    most: usize,
    first: Option<Instant>,
    ended: Option<Instant>,
    /// The first of it came together with the head.
    pub(crate) is_there: bool,
    flow: Arc<Flow>,
}

impl Recording {
    fn new(most: usize, flow: &Arc<Flow>) -> Recording {
        Recording {
            body: Body::default(),
            most,
            first: None,
            ended: None,
            is_there: false,
            flow: Arc::clone(flow),
        }
    }

    /// Begins again, for another attempt.
    pub(crate) fn restart(&mut self) {
        if self.body.length > 0 {
            self.body = Body::default();
        }
    }
}

impl Watch for Recording {
    fn data(&mut self, data: &[u8]) {
        if self.body.length == 0 && !self.is_there {
            self.first = Some(Instant::now());
        }
        self.body.length += data.len() as u64;
        let room = self.most.saturating_sub(self.body.data.len());
        let part = data.get(..room.min(data.len())).unwrap_or_default();
        if !part.is_empty() && self.flow.grow(part.len(), ALL_BODIES) {
            self.body.data.extend_from_slice(part);
        }
    }

    fn trailers(&mut self, trailers: Option<&Fields>) {
        if self.body.length > 0 {
            self.ended = Some(Instant::now());
        }
        self.body.trailers = trailers.cloned().map(Box::new);
    }
}

/// A flow while it is taken down. One that is dropped before it has ended was cut.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) flow: Arc<Flow>,
    worker: usize,
    place: usize,
    taps: Arc<Taps>,
    pub(crate) request: Recording,
    pub(crate) response: Recording,
    pub(crate) times: Timings,
    pub(crate) earlier: Vec<Attempt>,
    pub(crate) reused: bool,
    done: bool,
}

impl Capture {
    /// How long it goes on by now.
    pub(crate) fn since(&self) -> Duration {
        self.flow.began.elapsed()
    }

    /// The answer as it goes.
    pub(crate) fn answered(&mut self, head: &ResponseHead) {
        self.flow.answered(head);
        self.flow.set_stage(Stage::Answering);
    }

    /// An attempt is given up and another one follows.
    pub(crate) fn again(&mut self, endpoint: &Arc<str>, status: u16, fault: Option<&'static str>) {
        self.earlier.push(Attempt {
            endpoint: Arc::clone(endpoint),
            began: self.times.chosen.unwrap_or_default(),
            ended: self.since(),
            status,
            fault,
        });
        self.times.connected = None;
        self.times.dial = None;
        self.times.upstream_handshake = None;
    }

    /// The end. Bodies, times and attempts are filled in here.
    pub(crate) fn finish(&mut self, took: Duration, ended: Ended) {
        self.done = true;
        let since = |at: Option<Instant>| at.map(|at| at.into_std().saturating_duration_since(self.flow.began));
        let times = Timings {
            sent: since(self.request.ended).or(self.times.connected),
            first_data: match self.response.is_there {
                true => self.times.first_byte,
                false => since(self.response.first),
            },
            end: took,
            ..self.times
        };
        let _ = self.flow.end.set(Ended {
            timings: times,
            earlier: std::mem::take(&mut self.earlier),
            reused: self.reused,
            request_body: std::mem::take(&mut self.request.body),
            response_body: std::mem::take(&mut self.response.body),
            ..ended
        });
        self.taps.ended(self.worker, self.place);
        self.taps.offer(&self.flow);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.done {
            let status = self.flow.status().unwrap_or(0);
            let why = "the connection was closed before the request was over".to_owned();
            self.finish(
                self.flow.began.elapsed(),
                Ended {
                    status,
                    fault: Some(("cut", why)),
                    ..Ended::default()
                },
            );
        }
    }
}
