//! Sending what a sink takes: events are gathered, requests made of them and sent until the receiver has them, refuses
//! them or the retries run out. Requests overtake each other.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_config::common::{
    AdaptiveConcurrency, BatchSettings, Concurrency, JitterMode, RequestConfig, RequestDefaults,
};
use qd_logs_model::{
    Batch, BoxFuture, ComponentError, Context, Counter, DeadLetters, Delivery, Finalizers, InternalLog, SinkInput,
    Telemetry, telemetry::Intent,
};
use tokio::task::JoinSet;

use super::{
    backoff::Backoff,
    batcher::{Batcher, Part},
    concurrency::{Limiter, Outcome, Permit},
    rate::RateLimit,
};

/// Bytes of events from which on a request is made on a thread of its own.
const INLINE_BYTES: usize = 32 * 1024;
/// How often the same complaint is made.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What a receiver said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has all events.
    Delivered,
    /// It has some of the events: those of these indices must be sent again, those are refused.
    Partial {
        /// To be sent again.
        again: Vec<usize>,
        /// Refused for good.
        refused: Vec<usize>,
        /// What it said.
        why: String,
    },
    /// It may take them later.
    Retry {
        /// What happened.
        why: String,
        /// How long it asked to wait.
        after: Option<Duration>,
        /// Whether it is overloaded.
        overloaded: bool,
    },
    /// It took the request for too large: a part of it may pass.
    TooLarge(String),
    /// It will never take them.
    Refused(String),
}

impl Verdict {
    /// A failure of the connection, which says nothing of the load.
    pub(crate) fn unreachable(why: impl Into<String>) -> Verdict {
        Verdict::Retry {
            why: why.into(),
            after: None,
            overloaded: false,
        }
    }
}

/// How requests to one kind of receiver are made and sent.
pub(crate) trait Service: Send + Sync + 'static {
    /// What the events of a request have in common.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    /// An event that is ready to be sent.
    type Entry: Send + Sync + 'static;
    /// A request that can be sent many times.
    type Request: Send + Sync + 'static;

    /// Makes a request of events. It may block, for compression.
    ///
    /// # Errors
    /// Why these events can never be sent.
    fn prepare(&self, key: &Self::Key, entries: &[Self::Entry]) -> Result<Self::Request, String>;

    /// The event as it is sent, to be kept for a person when the receiver refuses it.
    fn letter(&self, entry: &Self::Entry) -> Bytes;

    /// The bytes of the request's body as it goes over the wire.
    fn body_len(&self, request: &Self::Request) -> usize;

    /// Sends it and waits for the answer. Dropped when the time is over.
    fn send<'a>(&'a self, request: &'a Self::Request) -> BoxFuture<'a, Verdict>;
}

/// Turns batches into entries.
pub(crate) trait Intake<S: Service>: Send {
    /// Encodes the events of a batch and adds them to where they belong. [`Batcher::begin`] was called.
    fn take(&mut self, batch: Batch, batcher: &mut Batcher<S::Key, S::Entry>, report: &Report);
}

/// The `request` table without its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestSettings {
    pub(crate) concurrency: Concurrency,
    pub(crate) adaptive: AdaptiveConcurrency,
    pub(crate) timeout: Duration,
    pub(crate) rate_limit: Option<(u64, Duration)>,
    pub(crate) retry_attempts: usize,
    pub(crate) initial_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) jitter: JitterMode,
}

impl<D: RequestDefaults> From<&RequestConfig<D>> for RequestSettings {
    fn from(c: &RequestConfig<D>) -> Self {
        RequestSettings {
            concurrency: c.concurrency,
            adaptive: c.adaptive_concurrency,
            timeout: c.timeout(),
            rate_limit: c.rate_limit(),
            retry_attempts: c.retry_attempts,
            initial_backoff: c.initial_backoff(),
            max_backoff: c.max_backoff(),
            jitter: c.retry_jitter_mode,
        }
    }
}

/// A kind of complaint, when it was made last, and how many were not made since.
type Complaint = (&'static str, Instant, u64);

/// A sink's counters and its voice. A complaint of one kind is made at most every ten seconds.
#[derive(Clone)]
pub(crate) struct Report {
    events: Counter,
    event_bytes: Counter,
    bytes: Counter,
    pub(crate) telemetry: Telemetry,
    log: InternalLog,
    said: Arc<Mutex<Vec<Complaint>>>,
    /// Where refused events go.
    pub(crate) dead: DeadLetters,
}

impl Report {
    pub(crate) fn new(cx: &Context) -> Report {
        Report {
            events: cx.telemetry.counter("component_sent_events_total"),
            event_bytes: cx.telemetry.counter("component_sent_event_bytes_total"),
            bytes: cx.telemetry.counter("component_sent_bytes_total"),
            telemetry: cx.telemetry.clone(),
            log: cx.log.clone(),
            said: Arc::default(),
            dead: DeadLetters::of(cx),
        }
    }

    /// Counts events that arrived, with their size before compression and the bytes sent for them.
    pub(crate) fn sent(&self, events: usize, event_bytes: usize, bytes: usize) {
        self.events.add(events as u64);
        self.event_bytes.add(event_bytes as u64);
        self.bytes.add(bytes as u64);
    }

    /// Complains, unless the same kind of complaint was made just now.
    pub(crate) fn complain(&self, kind: &'static str, severity: Severity, message: impl FnOnce() -> String) {
        let now = Instant::now();
        let missed = {
            let mut said = self.said.lock();
            match said.iter_mut().find(|s| s.0 == kind) {
                Some(s) if now.duration_since(s.1) < COMPLAIN_EVERY => {
                    s.2 += 1;
                    return;
                }
                Some(s) => {
                    s.1 = now;
                    std::mem::take(&mut s.2)
                }
                None => {
                    said.push((kind, now, 0));
                    0
                }
            }
        };
        let mut text = message();
        if missed > 0 {
            text.push_str(&format!(" ({missed} more of these were not logged)"));
        }
        self.log.say(severity, text, Vec::new());
    }

    /// Counts events that are lost, and says why.
    pub(crate) fn dropped(&self, events: usize, kind: &'static str, why: impl FnOnce() -> String) {
        if events == 0 {
            return;
        }
        self.telemetry.error(kind, "sending");
        self.telemetry.discarded(events as u64, Intent::Unintended);
        self.complain(kind, Severity::Error, why);
    }

    /// Events of a batch that can't be sent: whoever waits for the batch hears it.
    pub(crate) fn refuse(
        &self,
        finalizers: &Finalizers,
        events: usize,
        kind: &'static str,
        why: impl FnOnce() -> String,
    ) {
        if events > 0 {
            finalizers.report(Delivery::Rejected);
            self.dropped(events, kind, why);
        }
    }
}

/// Runs a sink that sends requests.
pub(crate) struct Driver<S: Service> {
    shared: Arc<Shared<S>>,
    limiter: Limiter,
    batch: BatchSettings,
}

struct Shared<S> {
    service: S,
    settings: RequestSettings,
    report: Report,
}

impl<S: Service> Shared<S> {
    /// Keeps events that the receiver refuses for a person to look at.
    async fn bury(&self, why: &str, entries: impl Iterator<Item = &S::Entry> + Send) {
        let letters: Vec<Bytes> = entries.map(|e| self.service.letter(e)).collect();
        let (dead, why) = (self.report.dead.clone(), why.to_owned());
        let keep = move || dead.keep(&why, letters.iter().map(|l| &**l));
        // A failure is said in the log; a panic has nothing left to say it to.
        let _kept = tokio::task::spawn_blocking(keep).await;
    }
}

impl<S: Service> Driver<S> {
    pub(crate) fn new(service: S, settings: RequestSettings, batch: BatchSettings, cx: &Context) -> Driver<S> {
        Driver {
            limiter: Limiter::new(settings.concurrency, settings.adaptive, &cx.telemetry),
            shared: Arc::new(Shared {
                service,
                settings,
                report: Report::new(cx),
            }),
            batch,
        }
    }

    /// Sends what comes in, until there is no more and all is answered. Dropping the future gives up on what is on its
    /// way, and whoever waits for that hears it.
    pub(crate) async fn run(self, mut input: SinkInput, mut intake: impl Intake<S>) -> Result<(), ComponentError> {
        let mut batcher = Batcher::new(self.batch);
        let mut rate = RateLimit::new(self.shared.settings.rate_limit);
        let mut tasks = JoinSet::new();
        let mut ended = false;
        loop {
            batcher.expire(tokio::time::Instant::now());
            while let Some(part) = batcher.pop() {
                let part = Guarded::new(part);
                rate.wait().await;
                let permit = self.limiter.acquire().await;
                tasks.spawn(deliver(self.shared.clone(), part, permit));
                while let Some(done) = tasks.try_join_next() {
                    intact(done)?;
                }
            }
            if ended {
                break;
            }
            let deadline = batcher.deadline();
            let expired = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                batch = input.recv() => match batch {
                    Some(batch) => {
                        batcher.begin(batch.finalizers().clone());
                        intake.take(batch, &mut batcher, &self.shared.report);
                        batcher.end();
                    }
                    None => {
                        batcher.flush();
                        ended = true;
                    }
                },
                () = expired => {}
                Some(done) = tasks.join_next() => intact(done)?,
            }
        }
        while let Some(done) = tasks.join_next().await {
            intact(done)?;
        }
        Ok(())
    }
}

fn intact(done: Result<(), tokio::task::JoinError>) -> Result<(), ComponentError> {
    done.map_err(|e| ComponentError::new(format!("a request's task ended badly: {e}")))
}

/// Events that are errored if nobody says what became of them.
struct Guarded<K, E> {
    part: Option<Part<K, E>>,
    finalizers: Finalizers,
    verdict: Option<Delivery>,
}

impl<K, E> Guarded<K, E> {
    fn new(mut part: Part<K, E>) -> Guarded<K, E> {
        Guarded {
            finalizers: part.finalizers.take(),
            part: Some(part),
            verdict: None,
        }
    }
}

impl<K, E> Drop for Guarded<K, E> {
    fn drop(&mut self) {
        self.finalizers.report(self.verdict.unwrap_or(Delivery::Errored));
    }
}

/// What became of a part of a request.
enum Ended {
    /// All that could be done was done.
    As(Delivery),
    /// It must be sent in halves.
    TooLarge(String),
}

async fn deliver<S: Service>(shared: Arc<Shared<S>>, mut part: Guarded<S::Key, S::Entry>, permit: Permit) {
    let Some(Part {
        key, entries, bytes, ..
    }) = part.part.take()
    else {
        return;
    };
    let mut permit = Some(permit);
    let mut worst = Delivery::Delivered;
    let mut parts = vec![(entries, bytes)];
    while let Some((entries, bytes)) = parts.pop() {
        let count = entries.len();
        let (ended, mut entries) = send_all(&shared, &key, entries, bytes, &mut permit).await;
        match ended {
            Ended::As(delivery) => worst = worst.max(delivery),
            Ended::TooLarge(_) if entries.len() > 1 => {
                let second = entries.split_off(entries.len() / 2);
                let share = bytes * entries.len() / count.max(1);
                parts.push((second, bytes - share));
                parts.push((entries, share));
            }
            Ended::TooLarge(why) => {
                worst = Delivery::Rejected;
                shared.bury(&why, entries.iter()).await;
                let why = || format!("an event of {bytes} bytes is too large for the receiver and is dropped: {why}");
                shared.report.dropped(entries.len(), "request_failed", why);
            }
        }
    }
    if let Some(permit) = permit {
        permit.end(Outcome::Other);
    }
    part.verdict = Some(worst);
}

/// Makes the request of events where it does not hold up others.
async fn prepare<S: Service>(
    shared: &Arc<Shared<S>>,
    key: &S::Key,
    entries: Vec<S::Entry>,
    bytes: usize,
) -> (Result<S::Request, String>, Vec<S::Entry>) {
    if bytes < INLINE_BYTES {
        return (shared.service.prepare(key, &entries), entries);
    }
    let (shared, key) = (shared.clone(), key.clone());
    let work = move || (shared.service.prepare(&key, &entries), entries);
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => (
            Err(format!("the thread that makes requests ended badly: {e}")),
            Vec::new(),
        ),
    }
}

/// Sends events until there is a verdict over them, all of them under the permit.
async fn send_all<S: Service>(
    shared: &Arc<Shared<S>>,
    key: &S::Key,
    entries: Vec<S::Entry>,
    mut bytes: usize,
    permit: &mut Option<Permit>,
) -> (Ended, Vec<S::Entry>) {
    let settings = &shared.settings;
    let report = &shared.report;
    let mut backoff = Backoff::new(settings.initial_backoff, settings.max_backoff, settings.jitter);
    let mut attempts_left = settings.retry_attempts;
    let mut worst = Delivery::Delivered;
    let all = entries.len();
    let (mut request, mut entries) = prepare(shared, key, entries, bytes).await;
    loop {
        let ready = match &request {
            Ok(ready) => ready,
            Err(why) => {
                shared.bury(why, entries.iter()).await;
                report.dropped(all.max(entries.len()), "request_build_failed", || {
                    format!("{all} events can't be made a request and are dropped: {why}")
                });
                return (Ended::As(Delivery::Rejected), entries);
            }
        };
        let verdict = match tokio::time::timeout(settings.timeout, shared.service.send(ready)).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Retry {
                why: format!("no answer within {} s", settings.timeout.as_secs()),
                after: None,
                overloaded: true,
            },
        };
        let sent = shared.service.body_len(ready);
        let (why, after, overloaded) = match verdict {
            Verdict::Delivered => {
                report.sent(entries.len(), bytes, sent);
                if let Some(permit) = permit.take() {
                    permit.end(Outcome::Taken);
                }
                return (Ended::As(worst), entries);
            }
            Verdict::Refused(why) => {
                let n = entries.len();
                shared.bury(&why, entries.iter()).await;
                let why = || format!("the receiver refuses {n} events, they are dropped: {why}");
                report.dropped(n, "request_failed", why);
                return (Ended::As(Delivery::Rejected), entries);
            }
            Verdict::TooLarge(why) => return (Ended::TooLarge(why), entries),
            Verdict::Retry { why, after, overloaded } => (why, after, overloaded),
            Verdict::Partial { again, refused, why } => {
                let count = entries.len();
                let taken = count.saturating_sub(again.len() + refused.len());
                let share = |n: usize| bytes * n / count.max(1);
                report.sent(taken, share(taken), sent);
                if !refused.is_empty() {
                    worst = Delivery::Rejected;
                    let n = refused.len();
                    shared.bury(&why, refused.iter().filter_map(|i| entries.get(*i))).await;
                    let why = || format!("the receiver refuses {n} of {count} events, they are dropped: {why}");
                    report.dropped(n, "request_failed", why);
                }
                if again.is_empty() {
                    if let Some(permit) = permit.take() {
                        permit.end(Outcome::Taken);
                    }
                    return (Ended::As(worst), entries);
                }
                bytes = share(again.len());
                let mut i = 0..;
                entries.retain(|_| i.next().is_some_and(|i| again.binary_search(&i).is_ok()));
                (request, entries) = prepare(shared, key, entries, bytes).await;
                (why, None, true)
            }
        };
        report.telemetry.error("request_failed", "sending");
        if attempts_left == 0 {
            if let (true, Some(permit)) = (overloaded, permit.take()) {
                permit.end(Outcome::PushedBack);
            }
            let n = entries.len();
            report.dropped(n, "retries_exhausted", || {
                format!("{n} events are dropped, all retries failed: {why}")
            });
            return (Ended::As(worst.max(Delivery::Errored)), entries);
        }
        attempts_left -= 1;
        report.complain("retry", Severity::Warn, || {
            format!("a request failed and is sent again: {why}")
        });
        let delay = backoff.next(rand::random::<f64>);
        tokio::time::sleep(backoff.at_least(delay, after)).await;
    }
}
