//! A stage on disk: what is in it outlives the process.
//!
//! A batch is delivered, as far as its source is concerned, when it has been written to the segment file (the machine's
//! page cache). It survives the end of this process at once, and the end of the machine's power when the file was synced:
//! every [`SYNC_EVERY`], at the change to a new segment, and at the close. What the sink has finished is written down as it
//! finishes it, and synced at the same times: after a kill only what the sink had in its hands is sent again, after a loss
//! of power also what it finished in the last [`SYNC_EVERY`].
//!
//! A disk that is full or broken lets the sender wait and try again, and says so; nothing panics and nothing is lost. A
//! bad tail of the last segment, as a crash leaves it, is cut off at the start; damage elsewhere is skipped to the next
//! whole record and counted (`buffer_errors_total`, `buffer_discarded_events_total`).

mod place;
mod record;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_model::{Batch, Delivery, Finalizers, InternalLog, Token, telemetry::Intent};
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_blocking},
};

use self::{
    place::{Place, PlaceFile},
    store::{Appended, Read, Store},
};
use super::{
    BufferError, Offer, StageStats,
    encode::{self, CodeError},
};

/// How often what was written and what was finished is synced to the disk.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a segment, at the most (unless one batch is larger).
const SEGMENT: u64 = 128 * 1024 * 1024;
/// The first and the longest wait before a failed write is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often it is said that a write still fails.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The folder of a sink's buffer. Ids may hold anything; a folder's name here is letters, digits, `_`, `-` and `%XX`.
pub(super) fn folder(data_dir: &Path, id: &str) -> PathBuf {
    let mut name = String::new();
    for b in id.bytes() {
        if b.is_ascii_alphanumeric() || b == b'_' || b == b'-' {
            name.push(char::from(b));
        } else {
            name.push_str(&format!("%{b:02X}"));
        }
    }
    data_dir.join("buffer").join("qd").join(name)
}

/// Records that were read and are not finished, in the order of the file.
#[derive(Debug, Default)]
struct Acks {
    /// The number of the first of them.
    first: u64,
    waiting: VecDeque<(Place, u64, bool)>,
    /// All before this is finished.
    done: Option<Place>,
}

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    acks: Mutex<Acks>,
    place: Arc<PlaceFile>,
    /// Events in it that are not finished.
    events: AtomicU64,
    bytes: AtomicU64,
    senders: AtomicUsize,
    deaf: AtomicBool,
    readable: Notify,
    writable: Notify,
    stats: StageStats,
    log: InternalLog,
    failing: Mutex<Failing>,
}

/// What is known, and was said, of writes that fail.
#[derive(Debug, Default)]
struct Failing {
    /// Whether the last one did.
    now: bool,
    /// Whether that was said.
    told: bool,
    /// When it was said last. A disk that is nearly full fails again and again.
    said: Option<Instant>,
}

/// What a write came to.
enum Written {
    Yes,
    Full(Batch, Vec<u8>),
    Failed(Batch, Vec<u8>, io::Error),
    Refused(Batch, CodeError),
}

impl Shared {
    /// Brings what was finished to the store. Blocks.
    fn apply_acks(&self, store: &mut Store) {
        if let Some(place) = self.acks.lock().done {
            store.acked(place);
        }
    }

    fn write(&self, batch: Batch, encoded: Option<Vec<u8>>) -> Written {
        let body = match encoded {
            Some(body) => body,
            None => {
                let mut body = Vec::with_capacity(batch.size() + 64);
                match encode::encode(&batch, &mut body) {
                    Ok(()) if body.len() as u64 <= u64::from(record::MAX_BODY) => body,
                    Ok(()) => return Written::Refused(batch, CodeError::Size),
                    Err(e) => return Written::Refused(batch, e),
                }
            }
        };
        let events = batch.len();
        let mut store = self.store.lock();
        if body.len() as u64 + record::HEAD + record::FRONT > store.max_size() {
            return Written::Refused(batch, CodeError::Size);
        }
        self.apply_acks(&mut store);
        match store.append(&body, u32::try_from(events).unwrap_or(u32::MAX)) {
            Ok(Appended::Done) => {
                let size = store.size();
                drop(store);
                self.bytes.store(size, Ordering::Relaxed);
                let all = self.events.fetch_add(events as u64, Ordering::Relaxed) + events as u64;
                self.stats.received(events, body.len(), all, size);
                self.readable.notify_one();
                Written::Yes
            }
            Ok(Appended::Full) => Written::Full(batch, body),
            Err(e) => Written::Failed(batch, body, e),
        }
    }

    /// Syncs, writes down the acknowledged place, deletes what is finished. Blocks.
    fn keep_house(&self) {
        let file = self.store.lock().take_dirty();
        // Without the lock: a slow disk shall not keep the writer from the page cache.
        let synced = file.map_or(Ok(()), |f| f.sync_data());
        let mut store = self.store.lock();
        self.apply_acks(&mut store);
        let freed = store.tidy();
        let saved = store.save_place();
        self.bytes.store(store.size(), Ordering::Relaxed);
        drop(store);
        if freed > 0 {
            self.writable.notify_waiters();
        }
        if let Err(e) = synced.and(saved) {
            self.stats.telemetry.error("io_failed", "processing");
            self.log.say(
                Severity::Error,
                format!("the disk buffer could not be synced: {e}"),
                Vec::new(),
            );
        }
    }

    /// Takes events from the count of those that wait; what is left.
    fn less(&self, events: u64) -> u64 {
        let less = |n: u64| Some(n.saturating_sub(events));
        let before = self.events.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.unwrap_or_else(|n| n).saturating_sub(events)
    }

    /// The sink has finished a record.
    fn finished(&self, number: u64) {
        let mut acks = self.acks.lock();
        let Some(i) = number.checked_sub(acks.first).and_then(|i| usize::try_from(i).ok()) else {
            return;
        };
        if let Some(entry) = acks.waiting.get_mut(i) {
            entry.2 = true;
        }
        let before = acks.done.map(|p| p.segment);
        let mut finished = 0;
        while let Some((place, events, true)) = acks.waiting.front().copied() {
            acks.waiting.pop_front();
            acks.first += 1;
            acks.done = Some(place);
            finished += events;
        }
        let done = acks.done;
        let room = acks.waiting.is_empty() || done.map(|p| p.segment) != before;
        drop(acks);
        if finished > 0 {
            if let Some(place) = done {
                let _is_tried_again_with_the_next_sync = self.place.save(place);
            }
            let left = self.less(finished);
            self.stats.filled(left, self.bytes.load(Ordering::Relaxed));
            if room {
                self.writable.notify_waiters();
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The store writes it down when it is dropped itself.
        if let Some(place) = self.acks.get_mut().done {
            self.store.get_mut().acked(place);
        }
    }
}

/// The way in.
#[derive(Debug)]
pub(super) struct DiskIn(Arc<Shared>);

/// The way out.
#[derive(Debug)]
pub(super) struct DiskOut {
    shared: Arc<Shared>,
    reading: Option<JoinHandle<io::Result<Read>>>,
    /// Whether nobody could write any more when the present read began.
    ended: bool,
    aborted: Arc<AtomicBool>,
}

/// Opens a stage in a folder. Must be called on a tokio runtime.
pub(super) fn open(
    dir: &Path,
    max_size: u64,
    segment: Option<u64>,
    stats: StageStats,
    log: InternalLog,
) -> Result<(DiskIn, DiskOut), BufferError> {
    let segment = segment.unwrap_or_else(|| SEGMENT.min(max_size / 2));
    let (store, found) = Store::open(dir, max_size, segment)?;
    stats.max_bytes.set(max_size as f64);
    stats.filled(found.events, store.size());
    if found.cut > 0 {
        log.say(
            Severity::Warn,
            format!(
                "cut {} bytes off the disk buffer in {}: a record that was not written to its end",
                found.cut,
                dir.display()
            ),
            Vec::new(),
        );
    }
    if found.events > 0 {
        log.say(
            Severity::Info,
            format!("{} events of an earlier run are in the disk buffer", found.events),
            Vec::new(),
        );
    }
    let shared = Arc::new(Shared {
        bytes: AtomicU64::new(store.size()),
        place: store.place(),
        store: Mutex::new(store),
        acks: Mutex::default(),
        events: AtomicU64::new(found.events),
        senders: AtomicUsize::new(1),
        deaf: AtomicBool::new(false),
        readable: Notify::new(),
        writable: Notify::new(),
        stats,
        log,
        failing: Mutex::default(),
    });
    let weak = Arc::downgrade(&shared);
    tokio::spawn(async move {
        let mut every = tokio::time::interval(SYNC_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let Some(shared) = weak.upgrade() else { return };
            if spawn_blocking(move || shared.keep_house()).await.is_err() {
                return;
            }
        }
    });
    let out = DiskOut {
        shared: shared.clone(),
        reading: None,
        ended: false,
        aborted: Arc::default(),
    };
    Ok((DiskIn(shared), out))
}

impl DiskIn {
    async fn write(&self, batch: Batch, encoded: Option<Vec<u8>>) -> Option<Written> {
        let shared = self.0.clone();
        let waiting = batch.finalizers().clone();
        match spawn_blocking(move || shared.write(batch, encoded)).await {
            Ok(written) => Some(written),
            Err(_) => {
                waiting.report(Delivery::Errored);
                None
            }
        }
    }

    fn refuse(&self, batch: &Batch, error: CodeError) {
        let events = batch.len() as u64;
        self.0.stats.telemetry.error("encoder_failed", "processing");
        self.0
            .stats
            .discarded(events, super::estimate(batch) as u64, Intent::Unintended);
        self.0.log.say(
            Severity::Error,
            format!("{events} events cannot be kept on disk and are dropped: {error}"),
            Vec::new(),
        );
        batch.finalizers().report(Delivery::Rejected);
    }

    fn complain(&self, error: &io::Error) {
        self.0.stats.telemetry.error("io_failed", "sending");
        let what = format!("the disk buffer could not be written ({error}); the pipeline waits and tries again");
        let mut failing = self.0.failing.lock();
        if !std::mem::replace(&mut failing.now, true) {
            self.0.stats.telemetry.trouble(Some(what.clone()));
        }
        if failing.said.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            failing.said = Some(Instant::now());
            failing.told = true;
            self.0.log.say(Severity::Error, what, Vec::new());
        }
    }

    /// A write went well: what was said of failures holds no more.
    fn well(&self) {
        let mut failing = self.0.failing.lock();
        if std::mem::take(&mut failing.now) {
            self.0.stats.telemetry.trouble(None);
            if std::mem::take(&mut failing.told) {
                let message = "the disk buffer is written again";
                self.0.log.say(Severity::Info, message, Vec::new());
            }
        }
    }

    /// Writes a batch if there is room now. A disk that fails has no room.
    pub(super) async fn offer(&self, batch: Batch) -> Offer {
        if self.0.deaf.load(Ordering::Acquire) {
            return Offer::Gone(batch);
        }
        match self.write(batch, None).await {
            None => Offer::Taken,
            Some(Written::Yes) => {
                self.well();
                Offer::Taken
            }
            Some(Written::Full(batch, _)) => Offer::Left(batch),
            Some(Written::Failed(batch, _, e)) => {
                self.complain(&e);
                Offer::Left(batch)
            }
            Some(Written::Refused(batch, e)) => {
                self.refuse(&batch, e);
                Offer::Taken
            }
        }
    }

    /// Writes a batch, waiting for room.
    pub(super) async fn send(&self, mut batch: Batch) {
        let mut encoded = None;
        let mut wait = RETRY.0;
        loop {
            let notified = self.0.writable.notified();
            if self.0.deaf.load(Ordering::Acquire) {
                batch.finalizers().report(Delivery::Errored);
                return;
            }
            match self.write(batch, encoded).await {
                None => return,
                Some(Written::Yes) => return self.well(),
                Some(Written::Full(b, body)) => {
                    (batch, encoded) = (b, Some(body));
                    notified.await;
                }
                Some(Written::Failed(b, body, e)) => {
                    self.complain(&e);
                    (batch, encoded) = (b, Some(body));
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY.1);
                }
                Some(Written::Refused(b, e)) => return self.refuse(&b, e),
            }
        }
    }

    pub(super) fn set_max_size(&self, max: u64) {
        let shared = self.0.clone();
        // The store's lock may be held while the disk is written.
        spawn_blocking(move || {
            shared.store.lock().set_max_size(max, SEGMENT.min(max / 2));
            shared.stats.max_bytes.set(max as f64);
            shared.writable.notify_waiters();
        });
    }
}

impl Drop for DiskIn {
    fn drop(&mut self) {
        self.0.senders.fetch_sub(1, Ordering::AcqRel);
        self.0.readable.notify_one();
    }
}

impl DiskOut {
    pub(super) fn set_abort_flag(&mut self, aborted: Arc<AtomicBool>) {
        self.aborted = aborted;
    }

    /// The next batch; `None` when all was read and nobody can write more. Safe to cancel.
    pub(super) async fn recv(&mut self) -> Option<Batch> {
        loop {
            let reading = match &mut self.reading {
                Some(reading) => reading,
                None => {
                    self.ended = self.shared.senders.load(Ordering::Acquire) == 0;
                    let shared = self.shared.clone();
                    self.reading.insert(spawn_blocking(move || shared.store.lock().next()))
                }
            };
            let result = reading.await;
            self.reading = None;
            match result {
                Ok(Ok(Read::Record {
                    events,
                    body,
                    end,
                    lost,
                    lost_bytes,
                })) => {
                    self.damage(lost, lost_bytes);
                    let size = body.len();
                    let batch = encode::decode(&body.into());
                    let number = {
                        let mut acks = self.shared.acks.lock();
                        acks.waiting
                            .push_back((end, if batch.is_ok() { events } else { 0 }, false));
                        acks.first + acks.waiting.len() as u64 - 1
                    };
                    match batch {
                        Ok(batch) => return Some(self.hand_out(batch, number, size)),
                        Err(_) => {
                            self.damage(events, size as u64);
                            self.shared.finished(number);
                        }
                    }
                }
                Ok(Ok(Read::Nothing { lost_bytes })) => {
                    self.damage(0, lost_bytes);
                    if self.ended {
                        return None;
                    }
                    self.shared.readable.notified().await;
                }
                Ok(Err(e)) => {
                    self.shared.stats.telemetry.error("reader_failed", "processing");
                    self.shared.log.say(
                        Severity::Error,
                        format!("the disk buffer could not be read ({e}); trying again"),
                        Vec::new(),
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // The thread pool is going down, and with it everything.
                Err(_) => return None,
            }
        }
    }

    fn hand_out(&self, mut batch: Batch, number: u64, size: usize) -> Batch {
        let shared = self.shared.clone();
        let aborted = self.aborted.clone();
        let left = shared.events.load(Ordering::Relaxed);
        shared
            .stats
            .sent(batch.len(), size, left, shared.bytes.load(Ordering::Relaxed));
        *batch.finalizers_mut() = Finalizers::one(Token::new(move |delivery| {
            // A sink that was cut off or crashed has not finished it; one that gave it up has.
            let unfinished =
                delivery == Delivery::Errored && (aborted.load(Ordering::Acquire) || std::thread::panicking());
            if !unfinished {
                shared.finished(number);
            }
        }));
        batch
    }

    fn damage(&self, events: u64, bytes: u64) {
        if bytes == 0 && events == 0 {
            return;
        }
        let t = &self.shared.stats.telemetry;
        t.with([
            ("error_code", "corrupted".to_owned()),
            ("error_type", "reader_failed".to_owned()),
        ])
        .counter("buffer_errors_total")
        .add(1);
        self.shared.stats.discarded(events, bytes, Intent::Unintended);
        self.shared.less(events);
        self.shared.log.say(
            Severity::Error,
            format!("skipped {bytes} damaged bytes in the disk buffer; {events} events are lost"),
            Vec::new(),
        );
    }
}

impl Drop for DiskOut {
    fn drop(&mut self) {
        self.shared.deaf.store(true, Ordering::Release);
        self.shared.writable.notify_waiters();
    }
}
