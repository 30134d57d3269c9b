//! A bounded queue of batches in memory.
//!
//! It is bounded by events or bytes. A batch is admitted if it fits, or if the queue is empty: a batch is up to 1,000
//! events, and a buffer of 500 must still pass it on. When the queue may not wait, a batch is split at the bound, so that
//! `drop_newest` drops exactly the events that do not fit.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use qd_logs_config::common::MemoryBound;
use qd_logs_model::{Batch, Delivery, LogBatch, MetricBatch};
use tokio::sync::Notify;

use super::{Offer, StageStats};

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Batch, usize)>,
    events: usize,
    bytes: usize,
    deaf: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bound: Mutex<MemoryBound>,
    senders: AtomicUsize,
    readable: Notify,
    writable: Notify,
    stats: StageStats,
}

/// The way in; when the last clone is gone, the other end reads what is left and then the end.
#[derive(Debug)]
pub(super) struct MemoryIn(Arc<Shared>);

/// The way out.
#[derive(Debug)]
pub(super) struct MemoryOut(Arc<Shared>);

pub(super) fn channel(bound: MemoryBound, stats: StageStats) -> (MemoryIn, MemoryOut) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        bound: Mutex::new(bound),
        senders: AtomicUsize::new(1),
        readable: Notify::new(),
        writable: Notify::new(),
        stats,
    });
    shared.tell_bound(bound);
    (MemoryIn(shared.clone()), MemoryOut(shared))
}

impl Shared {
    fn tell_bound(&self, bound: MemoryBound) {
        match bound {
            MemoryBound::Events(n) => self.stats.max_events.set(n.get() as f64),
            MemoryBound::Bytes(n) => self.stats.max_bytes.set(n.get() as f64),
        }
    }

    /// How many events of the batch fit now.
    fn room(&self, state: &State, events: usize, bytes: usize) -> usize {
        match *self.bound.lock() {
            MemoryBound::Events(max) => max.get().saturating_sub(state.events).min(events),
            MemoryBound::Bytes(max) => {
                let free = max.get().saturating_sub(state.bytes);
                if bytes <= free {
                    events
                } else {
                    // Bytes of single events are not known without making them values; the mean will do.
                    ((free as u128 * events as u128) / (bytes.max(1) as u128)) as usize
                }
            }
        }
    }

    fn put(&self, state: &mut State, batch: Batch, bytes: usize) {
        let events = batch.len();
        state.events += events;
        state.bytes += bytes;
        state.queue.push_back((batch, bytes));
        self.stats
            .received(events, bytes, state.events as u64, state.bytes as u64);
        self.readable.notify_one();
    }
}

impl MemoryIn {
    /// Puts in what fits now.
    pub(super) fn offer(&self, mut batch: Batch) -> Offer {
        let mut state = self.0.state.lock();
        if state.deaf {
            return Offer::Gone(batch);
        }
        let (events, bytes) = (batch.len(), super::estimate(&batch));
        let room = self.0.room(&state, events, bytes);
        if room >= events {
            self.0.put(&mut state, batch, bytes);
            return Offer::Taken;
        }
        if room == 0 {
            // An empty byte-bounded queue takes at least one event, or an event above the bound would never pass.
            if !state.queue.is_empty() {
                return Offer::Left(batch);
            }
            let rest = split(&mut batch, 1);
            let bytes = super::estimate(&batch);
            self.0.put(&mut state, batch, bytes);
            return rest.map_or(Offer::Taken, Offer::Left);
        }
        let rest = split(&mut batch, room);
        let bytes = super::estimate(&batch);
        self.0.put(&mut state, batch, bytes);
        rest.map_or(Offer::Taken, Offer::Left)
    }

    /// Puts a batch in whole if it fits or nothing waits; gives it back otherwise.
    fn enter(&self, batch: Batch) -> Offer {
        let mut state = self.0.state.lock();
        if state.deaf {
            return Offer::Gone(batch);
        }
        let (events, bytes) = (batch.len(), super::estimate(&batch));
        if state.queue.is_empty() || self.0.room(&state, events, bytes) >= events {
            self.0.put(&mut state, batch, bytes);
            Offer::Taken
        } else {
            Offer::Left(batch)
        }
    }

    /// Puts a batch in, waiting for room. A batch that nobody will read is reported as not delivered.
    pub(super) async fn send(&self, mut batch: Batch) {
        loop {
            let notified = self.0.writable.notified();
            match self.enter(batch) {
                Offer::Taken => return,
                Offer::Gone(b) => {
                    b.finalizers().report(Delivery::Errored);
                    return;
                }
                Offer::Left(b) => batch = b,
            }
            notified.await;
        }
    }

    pub(super) fn set_bound(&self, bound: MemoryBound) {
        *self.0.bound.lock() = bound;
        self.0.tell_bound(bound);
        self.0.writable.notify_waiters();
    }
}

impl Clone for MemoryIn {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::AcqRel);
        MemoryIn(self.0.clone())
    }
}

impl Drop for MemoryIn {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.readable.notify_one();
        }
    }
}

impl MemoryOut {
    /// The next batch; `None` when it is empty and nobody can put more in. Safe to cancel.
    pub(super) async fn recv(&mut self) -> Option<Batch> {
        loop {
            // The order matters: whoever sees the last sender gone must still look into the queue after that.
            let ended = self.0.senders.load(Ordering::Acquire) == 0;
            if let Some(batch) = self.take() {
                return Some(batch);
            }
            if ended {
                return None;
            }
            self.0.readable.notified().await;
        }
    }

    fn take(&mut self) -> Option<Batch> {
        let mut state = self.0.state.lock();
        let (batch, bytes) = state.queue.pop_front()?;
        let events = batch.len();
        state.events = state.events.saturating_sub(events);
        state.bytes = state.bytes.saturating_sub(bytes);
        self.0
            .stats
            .sent(events, bytes, state.events as u64, state.bytes as u64);
        drop(state);
        self.0.writable.notify_waiters();
        Some(batch)
    }
}

impl Drop for MemoryOut {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.deaf = true;
        let left = std::mem::take(&mut state.queue);
        (state.events, state.bytes) = (0, 0);
        drop(state);
        for (batch, _) in left {
            batch.finalizers().report(Delivery::Errored);
        }
        self.0.writable.notify_waiters();
    }
}

/// Cuts a batch after `at` events; what is cut off has everybody who waits for the whole.
pub(super) fn split(batch: &mut Batch, at: usize) -> Option<Batch> {
    if at >= batch.len() {
        return None;
    }
    Some(match batch {
        Batch::Logs(logs) => {
            let rest = logs.slice(at..logs.len());
            let first: LogBatch = logs.slice(0..at);
            *logs = first;
            Batch::Logs(rest)
        }
        Batch::Metrics(metrics) => Batch::Metrics(MetricBatch {
            metrics: metrics.metrics.split_off(at),
            finalizers: metrics.finalizers.clone(),
        }),
    })
}
