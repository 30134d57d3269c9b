//! Ending what a reload changes or removes, and bringing it back when the change fails.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use qd_core::Severity;
use qd_logs_model::telemetry::Intent;

use super::{
    super::{Core, RunningSink},
    swap::Out,
};
use crate::{Error, Plan, sink::SinkControl};

/// Tells sources to end, and waits until they have.
pub(super) async fn end_sources(core: &Arc<Core>, ending: &HashSet<Arc<str>>, deadline: Duration) {
    let mut waiting = Vec::new();
    for (id, source) in &core.running.lock().sources {
        if ending.contains(id) {
            let _ended_already = source.shutdown.send(true);
            waiting.push((id.clone(), source.ended.clone(), source.abort.clone()));
        }
    }
    for (id, mut ended, abort) in waiting {
        if tokio::time::timeout(deadline, ended.wait_for(|e| *e)).await.is_err() {
            core.say(Severity::Warn, &id, "the source did not end in time and was cut off");
            abort.abort();
            let _gone = ended.wait_for(|e| *e).await;
        }
    }
}

/// Makes sinks let go of what they hold; their buffers stay.
pub(super) async fn end_sinks(
    core: &Arc<Core>,
    which: &HashSet<Arc<str>>,
    deadline: Duration,
) -> HashMap<Arc<str>, Out> {
    let mut outs = HashMap::new();
    let mut waiting = Vec::new();
    for (id, sink) in &core.running.lock().sinks {
        if which.contains(id) {
            if let Some(out) = sink.out.upgrade() {
                outs.insert(id.clone(), out);
            }
            waiting.push(Ending::of(id, sink));
        }
    }
    for ending in waiting {
        ending.end(core, deadline).await;
    }
    outs
}

/// A sink that ends.
pub(super) struct Ending {
    id: Arc<str>,
    control: Arc<SinkControl>,
    ended: tokio::sync::watch::Receiver<bool>,
    abort: tokio::task::AbortHandle,
    telemetry: qd_logs_model::Telemetry,
}

impl Ending {
    pub(super) fn of(id: &Arc<str>, sink: &RunningSink) -> Ending {
        Ending {
            id: id.clone(),
            control: sink.control.clone(),
            ended: sink.ended.clone(),
            abort: sink.abort.clone(),
            telemetry: sink.telemetry.clone(),
        }
    }

    /// Has it end at the next batch boundary, whatever is in its buffer.
    pub(super) fn detach(&self) {
        self.control.detach();
    }

    /// Has it end at the next batch boundary, and waits until it has.
    pub(super) async fn end(self, core: &Core, deadline: Duration) {
        self.detach();
        self.wait(core, deadline).await;
    }

    /// Waits for its end; after the deadline it is cut off.
    pub(super) async fn wait(mut self, core: &Core, deadline: Duration) {
        if tokio::time::timeout(deadline, self.ended.wait_for(|e| *e))
            .await
            .is_ok()
        {
            return;
        }
        qd_logs_model::component::abort(&self.control.aborted);
        let lost = self.control.unfinished.load(Ordering::Acquire);
        core.say(
            Severity::Warn,
            &self.id,
            format!("the sink did not end in time and was cut off; {lost} events are not delivered"),
        );
        self.telemetry.discarded(lost, Intent::Unintended);
        self.abort.abort();
        let _gone = self.ended.wait_for(|e| *e).await;
    }
}

/// Makes old components again after a change that failed.
pub(super) async fn restore(
    core: &Arc<Core>,
    old: &Arc<Plan>,
    ending: &HashSet<Arc<str>>,
    outs: HashMap<Arc<str>, Out>,
) -> Result<(), Error> {
    for (id, plan) in &old.sinks {
        if let Some(entry) = core
            .graph
            .read()
            .sinks
            .iter()
            .find(|s| s.id == *id)
            .and_then(|s| s.entry.clone())
        {
            entry.adapt(&plan.buffer);
        }
    }
    for (id, out) in outs {
        let Some(plan) = old.sinks.get(&id) else { continue };
        let made = core.make_sink(old, plan).await?;
        let entry = core
            .graph
            .read()
            .sinks
            .iter()
            .find(|s| s.id == id)
            .and_then(|s| s.entry.clone());
        let Some(entry) = entry else { continue };
        let sink = core.spawn_sink(&id, made.sink, &entry, out, made.telemetry);
        core.running.lock().sinks.insert(id, sink);
    }
    let mut again = Vec::new();
    for (id, plan) in &old.sources {
        // One that had come to its end before stays ended.
        let told = core
            .running
            .lock()
            .sources
            .get(id)
            .is_some_and(|s| *s.shutdown.borrow());
        if ending.contains(id) && told {
            again.push((id, core.make_source(old, plan).await?));
        }
    }
    for (id, made) in again {
        let run = core.next_run.fetch_add(1, Ordering::Relaxed);
        {
            let mut graph = core.graph.write();
            let old_run = core.running.lock().sources.get(id).map(|s| s.run);
            if let Some(mut entry) = old_run.and_then(|r| graph.sources.remove(&r)) {
                for (port, meter) in entry.ports.iter_mut().zip(&made.ports) {
                    port.meter = meter.clone();
                }
                entry.live = true;
                graph.sources.insert(run, entry);
            }
        }
        let source = core.spawn_source(id, run, made.source, made.ports);
        core.running.lock().sources.insert(id.clone(), source);
    }
    Ok(())
}
