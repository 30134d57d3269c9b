//! Between a buffer and its sink: the end that the sink reads from, and the count of what it has not finished.
//!
//! Every batch gets a token of its own in place of those it carries. It passes the sink's verdict on to them, and knows
//! what the sink cannot: that the sink was cut off, so that what it still had is not delivered.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use qd_logs_model::{Batch, BoxFuture, Finalizers, Inlet, Telemetry, Token};
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::{
    buffer::{BufferOut, estimate},
    meter::{Busy, Received},
};

/// What the pipeline knows of a sink that runs, and how it makes it let go.
#[derive(Debug)]
pub(crate) struct SinkControl {
    /// What it holds when this is true is not delivered.
    pub(crate) aborted: Arc<AtomicBool>,
    /// Events that it took and has not finished.
    pub(crate) unfinished: Arc<AtomicU64>,
    detached: AtomicBool,
    detach: Notify,
    /// Whether it was told the end.
    pub(crate) told_end: AtomicBool,
    pub(crate) received: Received,
    pub(crate) busy: Busy,
}

impl SinkControl {
    pub(crate) fn new(telemetry: &Telemetry) -> SinkControl {
        SinkControl {
            aborted: Arc::default(),
            unfinished: Arc::default(),
            detached: AtomicBool::new(false),
            detach: Notify::new(),
            told_end: AtomicBool::new(false),
            received: Received::new(telemetry),
            busy: Busy::new(telemetry),
        }
    }

    /// Makes the sink read the end at the next batch, whatever is in its buffer; that stays for its successor.
    pub(crate) fn detach(&self) {
        self.detached.store(true, Ordering::Release);
        self.detach.notify_one();
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }
}

/// What a sink reads from.
pub(crate) struct SinkInlet {
    buffer: OwnedMutexGuard<BufferOut>,
    control: Arc<SinkControl>,
}

impl SinkInlet {
    pub(crate) fn new(mut buffer: OwnedMutexGuard<BufferOut>, control: Arc<SinkControl>) -> SinkInlet {
        buffer.set_abort_flag(&control.aborted);
        control.busy.begin();
        SinkInlet { buffer, control }
    }
}

impl Drop for SinkInlet {
    fn drop(&mut self) {
        self.control.busy.end();
    }
}

impl Inlet for SinkInlet {
    fn recv(&mut self) -> BoxFuture<'_, Option<Batch>> {
        Box::pin(async move {
            let control = &self.control;
            control.busy.end();
            // Goes on counting as work also when this future is dropped.
            let _busy_again = Again(&control.busy);
            if control.is_detached() {
                return None;
            }
            let batch = tokio::select! {
                biased;
                () = control.detach.notified() => return None,
                batch = self.buffer.recv() => batch,
            };
            let Some(mut batch) = batch else {
                control.told_end.store(true, Ordering::Release);
                return None;
            };
            let events = batch.len();
            control.received.count(events, estimate(&batch));
            control.unfinished.fetch_add(events as u64, Ordering::Relaxed);
            let waiting = batch.finalizers_mut().take();
            let unfinished = control.unfinished.clone();
            *batch.finalizers_mut() = Finalizers::one(Token::abort_flag(control.aborted.clone(), move |delivery| {
                unfinished.fetch_sub(events as u64, Ordering::Relaxed);
                waiting.report(delivery);
            }));
            Some(batch)
        })
    }
}

struct Again<'a>(&'a Busy);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        self.0.begin();
    }
}
