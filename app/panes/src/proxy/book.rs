//! The flows that are kept for the screen: taken from the tap beside the session's thread, bounded in number and bytes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use qd_core::{EngineHandle, EngineState, Wake};
use qd_proxy::{
    Attempt, Flow, ProxyEngine, TapRequest, Timings,
    engine::{Command, Reply},
    telemetry::Flow as Told,
};

/// Flows that are kept at most.
const FLOWS: usize = 10_000;
/// Bytes that they weigh together at most.
const BYTES: usize = 16 << 20;
/// Flows that went wrong and are kept beside them.
const ERRORS: usize = 1000;
/// Flows that may wait to be taken.
const QUEUE: usize = 8192;
/// Bytes that are kept of each body.
pub(super) const BODY: usize = 64 * 1024;
/// How long the taking rests after a batch: many are cheaper at once.
const REST: Duration = Duration::from_millis(50);
/// How long to wait for an engine that does not run.
const RETRY: Duration = Duration::from_secs(2);

/// What the screen shows of a flow beyond what filters know.
#[derive(Debug, Clone, Default)]
pub(super) struct More {
    pub(super) connection: u64,
    pub(super) listener: Arc<str>,
    pub(super) cluster: Arc<str>,
    pub(super) version: &'static str,
    pub(super) attempts: u32,
    /// Those before the last.
    pub(super) earlier: Vec<Attempt>,
    pub(super) reused: bool,
    /// The flow itself, to send it again; none of those from a file.
    pub(super) flow: Option<Arc<Flow>>,
    /// Why there is no answer of an endpoint, in a sentence.
    pub(super) why: String,
    pub(super) timings: Option<Timings>,
}

/// A flow that is kept.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Its place among all that came; they rise.
    pub(super) seq: u64,
    pub(super) told: Told,
    pub(super) more: More,
    weight: usize,
}

impl Seen {
    fn new(flow: Arc<Flow>) -> Seen {
        let told = flow.told();
        let end = flow.end();
        let more = More {
            connection: flow.connection,
            listener: Arc::clone(&flow.listener),
            cluster: end.and_then(|e| e.cluster.clone()).unwrap_or_else(|| Arc::from("")),
            version: flow.version,
            attempts: end.map_or(0, |e| e.attempts),
            earlier: end.map(|e| e.earlier.clone()).unwrap_or_default(),
            reused: end.is_some_and(|e| e.reused),
            why: end
                .and_then(|e| e.fault.as_ref())
                .map(|(_, why)| why.clone())
                .unwrap_or_default(),
            timings: end.map(|e| e.timings),
            flow: Some(flow),
        };
        Seen {
            seq: 0,
            // The flow itself weighs as much again.
            weight: 2 * weight(&told),
            told,
            more,
        }
    }

    /// Whether it went wrong: the class of a failure, or an answer that was made here.
    pub(super) fn failed(&self) -> bool {
        self.told.class == Some(qd_proxy::policy::Class::Failure) || !self.told.error.is_empty()
    }
}

/// What a flow takes in memory, about.
fn weight(told: &Told) -> usize {
    let message = |m: &qd_proxy::telemetry::Message| {
        let line = |(n, v): &(String, Vec<u8>)| n.len() + v.len() + 48;
        m.body.len() + m.headers.iter().chain(&m.trailers).map(line).sum::<usize>()
    };
    size_of::<Seen>() + told.path.len() + told.host.len() + message(&told.request) + message(&told.response)
}

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) flows: VecDeque<Arc<Seen>>,
    pub(super) errors: VecDeque<Arc<Seen>>,
    bytes: usize,
    last: u64,
    /// Flows that came.
    pub(super) came: u64,
    /// Flows that are no longer kept.
    pub(super) let_go: u64,
    /// Flows that passed while the queue was full.
    pub(super) lost: u64,
}

impl Kept {
    fn put(&mut self, mut seen: Seen) {
        self.last += 1;
        self.came += 1;
        seen.seq = self.last;
        self.bytes += seen.weight;
        let seen = Arc::new(seen);
        if seen.failed() {
            if self.errors.len() >= ERRORS {
                self.errors.pop_front();
            }
            self.errors.push_back(Arc::clone(&seen));
        }
        self.flows.push_back(seen);
        while self.flows.len() > FLOWS || self.bytes > BYTES && self.flows.len() > 1 {
            let Some(old) = self.flows.pop_front() else { break };
            self.bytes -= old.weight;
            self.let_go += 1;
        }
    }

    /// The first that is kept, by its place.
    pub(super) fn first(&self) -> u64 {
        self.flows.front().map_or(self.last + 1, |s| s.seq)
    }

    /// Those after a place, the oldest first.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<Seen>> {
        let from = self.flows.partition_point(|s| s.seq <= seq);
        self.flows.range(from..)
    }
}

/// Since when the engine runs this time.
fn since(handle: &EngineHandle<ProxyEngine>) -> Option<qd_core::Instant> {
    match &*handle.states().load() {
        EngineState::Running { since } => Some(*since),
        _ => None,
    }
}

/// The book of a pane's flows. Clones are the same one.
#[derive(Clone)]
pub(super) struct Book(Arc<Inner>);

struct Inner {
    kept: Mutex<Kept>,
    /// Whether something came that no drawing has seen.
    news: AtomicBool,
    wake: Wake,
}

impl Book {
    /// An empty one, that `wake` is called for when the first flow comes after a look.
    pub(super) fn new(wake: Wake) -> Book {
        Book(Arc::new(Inner {
            kept: Mutex::default(),
            news: AtomicBool::new(false),
            wake,
        }))
    }

    /// Takes flows from the engine's tap as long as it lives, through all its restarts.
    pub(super) fn follow(
        &self,
        runtime: &tokio::runtime::Handle,
        handle: EngineHandle<ProxyEngine>,
    ) -> tokio::task::AbortHandle {
        let book = self.clone();
        let task = runtime.spawn(async move {
            let mut states = handle.states().watch();
            loop {
                let life = since(&handle);
                let request = TapRequest {
                    queue: QUEUE,
                    body: BODY,
                };
                let Ok(Reply::Tap(mut tap)) = handle.ask(Command::Tap(request)).await else {
                    // It does not run: another state comes first, or soon.
                    let changed = tokio::time::timeout(RETRY, states.changed()).await;
                    if changed.is_ok_and(|c| c.is_err()) {
                        return;
                    }
                    continue;
                };
                let (mut batch, mut lost) = (Vec::new(), 0);
                loop {
                    tokio::select! {
                        flow = tap.next() => {
                            let Some(flow) = flow else { break };
                            batch.push(flow);
                            tap.drain(&mut batch, QUEUE);
                            let dropped = tap.dropped();
                            book.take(batch.drain(..).map(Seen::new), dropped - lost);
                            lost = dropped;
                            tokio::time::sleep(REST).await;
                        }
                        // A tap of a life that is over tells nothing more.
                        changed = states.changed() => match changed {
                            Err(_) => return,
                            Ok(()) if since(&handle) != life => break,
                            Ok(()) => {}
                        },
                    }
                }
            }
        });
        task.abort_handle()
    }

    fn take(&self, flows: impl Iterator<Item = Seen>, lost: u64) {
        // Made outside the lock, which the screen waits for.
        let flows: Vec<Seen> = flows.collect();
        {
            let mut kept = self.0.kept.lock();
            kept.lost += lost;
            flows.into_iter().for_each(|s| kept.put(s));
        }
        if !self.0.news.swap(true, Ordering::AcqRel) {
            (self.0.wake)();
        }
    }

    /// Puts flows in that came from a file.
    pub(super) fn load(&self, flows: Vec<Told>) {
        let seen = flows.into_iter().map(|told| Seen {
            seq: 0,
            weight: weight(&told),
            more: More {
                version: match told.spoken {
                    qd_proxy::telemetry::flow::Spoken::Http2 => "HTTP/2.0",
                    _ => "HTTP/1.1",
                },
                listener: Arc::from("a file"),
                attempts: 1,
                ..More::default()
            },
            told,
        });
        self.take(seen, 0);
    }

    /// Looks at what is kept. The next flow wakes the session again.
    pub(super) fn look<R>(&self, with: impl FnOnce(&Kept) -> R) -> R {
        self.0.news.store(false, Ordering::Release);
        with(&self.0.kept.lock())
    }

    /// Changes what was noted about a flow; gives it as it is now.
    pub(super) fn note(&self, seq: u64, change: impl FnOnce(&mut Told)) -> Option<Arc<Seen>> {
        let mut kept = self.0.kept.lock();
        let at = kept.flows.partition_point(|s| s.seq < seq);
        let error = kept.errors.iter().position(|s| s.seq == seq);
        let found = kept.flows.get(at).filter(|s| s.seq == seq).cloned();
        let found = found.or_else(|| kept.errors.get(error?).cloned())?;
        let mut new = (*found).clone();
        change(&mut new.told);
        new.told.changed();
        let new = Arc::new(new);
        if let Some(place) = kept.flows.get_mut(at).filter(|s| s.seq == seq) {
            *place = Arc::clone(&new);
        }
        if let Some(place) = error.and_then(|at| kept.errors.get_mut(at)) {
            *place = Arc::clone(&new);
        }
        Some(new)
    }

    /// All flows that are kept, the oldest first.
    pub(super) fn all(&self) -> Vec<Told> {
        self.0.kept.lock().flows.iter().map(|s| s.told.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, status: u16, body: usize) -> Told {
        Told {
            path: path.to_owned(),
            status: Some(status),
            class: Some(qd_proxy::policy::class::of_http(status)),
            response: qd_proxy::telemetry::Message {
                body: vec![b'x'; body],
                ..Default::default()
            },
            ..Told::default()
        }
    }

    fn book() -> (Book, Arc<std::sync::atomic::AtomicUsize>) {
        let wakes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let wake: Wake = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (Book::new(wake), wakes)
    }

    #[test]
    fn a_look_is_woken_for_once() {
        let (book, wakes) = book();
        book.load(vec![told("/", 200, 0)]);
        book.load(vec![told("/", 200, 0)]);
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
        assert_eq!(book.look(|k| k.came), 2);
        book.load(vec![told("/", 200, 0)]);
        assert_eq!(wakes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_is_kept_is_bounded_and_errors_stay_longer() {
        let (book, _) = book();
        book.load(vec![told("/bad", 500, 0)]);
        book.load((0..100).map(|_| told("/big", 200, 1 << 20)).collect());
        book.look(|k| {
            assert!(k.bytes <= BYTES, "{}", k.bytes);
            assert_eq!(k.let_go + k.flows.len() as u64, 101);
            assert_eq!(k.errors.len(), 1);
            assert_eq!(k.first(), k.flows[0].seq);
            assert_eq!(k.after(k.last - 1).count(), 1);
        });
        let new = book.note(1, |t| t.notes.comment = "look".to_owned()).unwrap();
        assert_eq!(new.told.notes.comment, "look");
        assert!(book.note(2, |_| ()).is_none(), "it is no longer kept");
        book.load((0..FLOWS + 7).map(|_| told("/", 200, 0)).collect());
        book.look(|k| assert_eq!(k.flows.len(), FLOWS));
    }
}
