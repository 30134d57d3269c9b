//! The tasks of a pipeline: sources, sinks, timers, and what happens when one of them ends.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use futures::FutureExt;
use parking_lot::Mutex;
use qd_core::Severity;
use qd_logs_model::{
    Batch, BoxFuture, Closed, ComponentError, Delivery, Finalizers, Outlet, Shutdown, Sink, SinkInput, Source,
    SourceOut,
};
use smallvec::SmallVec;
use tokio::sync::watch;

use super::{Core, RunningSink, RunningSource, Status};
use crate::{
    Error,
    buffer::{BufferIn, BufferOut},
    graph::{Pending, TransformNode, Walked, panic_text},
    meter::PortMeter,
    sink::{SinkControl, SinkInlet},
    snapshot::State,
};

/// Counts one task or delivery as long as it lives.
pub(super) struct Live(Arc<Core>);

impl Live {
    pub(super) fn new(core: &Arc<Core>) -> Live {
        core.live.send_modify(|n| *n += 1);
        Live(core.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let core = &self.0;
        core.live.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// A source's pipeline.
struct SourceOutlet {
    core: Arc<Core>,
    run: u64,
}

impl Outlet for SourceOutlet {
    fn send<'a>(&'a self, port: usize, batch: Batch) -> BoxFuture<'a, Result<(), Closed>> {
        let mut sent = Box::pin(async move {
            if matches!(&*self.core.status.borrow(), Status::Failing(_) | Status::Ended(..)) {
                batch.finalizers().report(Delivery::Errored);
                return Err(Closed);
            }
            let walked = self.core.graph.read().enter(self.run, port, batch);
            self.core.deliver(walked).await
        });
        // A source may send from a thread of its own, where there is no runtime; disk buffers and timers need one.
        Box::pin(std::future::poll_fn(move |cx| {
            let _runtime = self.core.runtime.enter();
            sent.as_mut().poll(cx)
        }))
    }
}

impl Core {
    /// Puts what came out of a walk into the buffers, and waits until there was room for all of it.
    pub(super) async fn deliver(self: &Arc<Core>, walked: Walked) -> Result<(), Closed> {
        if let Some((id, message)) = walked.panicked {
            for (_, batch) in &walked.pending {
                batch.finalizers().report(Delivery::Errored);
            }
            self.fail(Error::Panicked {
                component: id.to_string(),
                reason: message,
            });
            return Err(Closed);
        }
        fill(walked.pending).await;
        Ok(())
    }

    /// As [`Core::deliver`], beside what goes on.
    pub(super) fn deliver_beside(self: &Arc<Core>, walked: Walked) {
        if walked.pending.is_empty() && walked.panicked.is_none() {
            return;
        }
        let core = self.clone();
        let live = Live::new(self);
        self.runtime.spawn(async move {
            let _stops_anyway = core.deliver(walked).await;
            drop(live);
        });
    }

    /// A component cannot go on: the pipeline stops, and says by which it was.
    pub(super) fn fail(self: &Arc<Core>, error: Error) {
        let component = match &error {
            Error::Failed { component, .. } | Error::Panicked { component, .. } => component.clone(),
            _ => String::new(),
        };
        self.say(Severity::Error, &component, error.to_string());
        self.options
            .telemetry
            .with([("component_id", component)])
            .error("component_failed", "processing");
        let error = Arc::new(error);
        let first = self.status.send_if_modified(|status| match status {
            Status::Running => {
                *status = Status::Failing(error);
                true
            }
            Status::Failing(_) | Status::Ended(..) => false,
        });
        self.changed.notify_one();
        if first {
            let core = self.clone();
            let deadline = self.options.shutdown_deadline;
            self.runtime.spawn(async move {
                super::stop::stop(&core, deadline).await;
            });
        }
    }

    /// A source has come to its end: what only it fed ends too.
    fn source_ended(self: &Arc<Core>, run: u64) {
        let mut walked = Walked::default();
        {
            let mut graph = self.graph.write();
            if let Some(entry) = graph.sources.get_mut(&run) {
                entry.live = false;
            }
            if !self.holding.load(Ordering::Acquire) {
                graph.settle(&mut walked);
            }
        }
        self.deliver_beside(walked);
    }

    pub(super) fn spawn_source(
        self: &Arc<Core>,
        id: &Arc<str>,
        run: u64,
        source: Box<dyn Source>,
        ports: Vec<Arc<PortMeter>>,
    ) -> RunningSource {
        let (shutdown, told) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let state = Arc::new(Mutex::new(State::Running));
        let core = self.clone();
        let live = Live::new(self);
        let task_id = id.clone();
        let task_state = state.clone();
        let task = self.runtime.spawn(async move {
            // Also when the task is cut off: what only this source fed must come to its end.
            let last = OnDrop(Some(|| {
                core.source_ended(run);
                let mut state = task_state.lock();
                if *state == State::Running || *state == State::Draining {
                    *state = State::Ended;
                }
                drop(state);
                let _nobody_waits = end.send(true);
                core.changed.notify_one();
                drop(live);
            }));
            let out = SourceOut::new(Arc::new(SourceOutlet {
                core: core.clone(),
                run,
            }));
            let work = async { source.run(out, Shutdown::new(told)).await };
            let error = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(ComponentError(reason))) => Some(Error::Failed {
                    component: task_id.to_string(),
                    reason,
                }),
                Err(payload) => Some(Error::Panicked {
                    component: task_id.to_string(),
                    reason: panic_text(&*payload),
                }),
            };
            if let Some(error) = error {
                *task_state.lock() = State::Failed;
                core.fail(error);
            }
            drop(last);
        });
        RunningSource {
            run,
            shutdown,
            ended,
            abort: task.abort_handle(),
            ports,
            state,
        }
    }

    pub(super) fn spawn_sink(
        self: &Arc<Core>,
        id: &Arc<str>,
        sink: Box<dyn Sink>,
        entry: &Arc<BufferIn>,
        out: Arc<tokio::sync::Mutex<BufferOut>>,
        telemetry: qd_logs_model::Telemetry,
    ) -> RunningSink {
        let control = Arc::new(SinkControl::new(&telemetry));
        let (end, ended) = watch::channel(false);
        let state = Arc::new(Mutex::new(State::Running));
        let weak_out = Arc::downgrade(&out);
        let core = self.clone();
        let live = Live::new(self);
        let task_id = id.clone();
        let task_state = state.clone();
        let task_control = control.clone();
        let task = self.runtime.spawn(async move {
            let last = OnDrop(Some(|| {
                let mut state = task_state.lock();
                if *state != State::Failed {
                    *state = State::Ended;
                }
                drop(state);
                let _nobody_waits = end.send(true);
                core.changed.notify_one();
                drop(live);
            }));
            let buffer = out.lock_owned().await;
            let input = SinkInput::new(Box::new(SinkInlet::new(buffer, task_control.clone())));
            let work = async { sink.run(input).await };
            let result = AssertUnwindSafe(work).catch_unwind().await;
            let early = !task_control.told_end.load(Ordering::Acquire) && !task_control.is_detached();
            let error = match result {
                Ok(Ok(())) if early => Some(Error::Failed {
                    component: task_id.to_string(),
                    reason: "it ended before its input did".to_owned(),
                }),
                Ok(Ok(())) => None,
                Ok(Err(ComponentError(reason))) => Some(Error::Failed {
                    component: task_id.to_string(),
                    reason,
                }),
                Err(payload) => Some(Error::Panicked {
                    component: task_id.to_string(),
                    reason: panic_text(&*payload),
                }),
            };
            if let Some(error) = error {
                *task_state.lock() = State::Failed;
                core.fail(error);
            }
            drop(last);
        });
        RunningSink {
            entry: Arc::downgrade(entry),
            probe: entry.probe(),
            out: weak_out,
            control,
            ended,
            abort: task.abort_handle(),
            telemetry,
            state,
        }
    }

    /// Lets time pass for a transform until it finishes.
    pub(super) fn spawn_ticker(self: &Arc<Core>, node: &Arc<TransformNode>) {
        let Some(every) = node.tick_every else { return };
        let core = Arc::downgrade(self);
        let node = Arc::downgrade(node);
        self.runtime.spawn(async move {
            let mut interval = tokio::time::interval(every.max(std::time::Duration::from_millis(1)));
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            interval.tick().await;
            loop {
                interval.tick().await;
                let (Some(core), Some(node)) = (core.upgrade(), node.upgrade()) else {
                    return;
                };
                if node.has_finished() {
                    return;
                }
                let walked = core.graph.read().tick(&node);
                drop(node);
                if core.deliver(walked).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Puts batches into their buffers: into each in order, into several side by side, so that a slow sink does not keep the
/// others from the batch that it waits for itself.
async fn fill(mut pending: Pending) {
    // A sender that is cut off in the middle must not leave the impression that all is well.
    let mut waiting = Undelivered(Finalizers::none());
    for (_, batch) in &pending {
        waiting.0.merge(batch.finalizers().clone());
    }
    if pending.len() <= 1 {
        if let Some((entry, batch)) = pending.pop() {
            entry.send(batch).await;
        }
        waiting.0.take();
        return;
    }
    let mut by_sink: SmallVec<[(Arc<BufferIn>, Vec<Batch>); 4]> = SmallVec::new();
    for (entry, batch) in pending {
        match by_sink.iter_mut().find(|(e, _)| Arc::ptr_eq(e, &entry)) {
            Some((_, batches)) => batches.push(batch),
            None => by_sink.push((entry, vec![batch])),
        }
    }
    futures::future::join_all(by_sink.into_iter().map(|(entry, batches)| async move {
        for batch in batches {
            entry.send(batch).await;
        }
    }))
    .await;
    waiting.0.take();
}

/// Those who wait for batches that are not in their buffers yet.
struct Undelivered(Finalizers);

impl Drop for Undelivered {
    fn drop(&mut self) {
        self.0.report(Delivery::Errored);
    }
}

/// Runs something when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}
