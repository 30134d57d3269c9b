//! The exchange of the wiring, and how sinks hand over their buffers.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    super::{
        Core, Running,
        build::{MadeSink, Parts, wire},
        run::Live,
    },
    Made, Opened,
    diff::Diff,
    end::Ending,
};
use crate::{
    Error, Plan,
    buffer::{BufferIn, BufferOut},
    graph::Walked,
};

/// The way out of a buffer.
pub(super) type Out = Arc<tokio::sync::Mutex<BufferOut>>;

/// How a sink of the new plan comes to run.
pub(super) enum SinkStep {
    /// It runs already.
    Keep(Arc<BufferIn>),
    /// It is made, with the buffer of its predecessor.
    Succeed(MadeSink, Arc<BufferIn>, Out),
    /// It is made, with a buffer of its own; what is left in its predecessor's goes there.
    Fresh(MadeSink, Arc<BufferIn>, BufferOut, Option<Out>),
}

/// Decides how each sink of the new plan comes to run; nothing is touched but bounds of buffers.
pub(super) fn plan_sinks(
    core: &Core,
    new: &Plan,
    made: &mut Made,
    mut fresh: Opened,
    outs: &HashMap<Arc<str>, Out>,
) -> Result<HashMap<Arc<str>, SinkStep>, Error> {
    let mut steps = HashMap::new();
    for (id, plan) in &new.sinks {
        let entry = core
            .graph
            .read()
            .sinks
            .iter()
            .find(|s| s.id == *id)
            .and_then(|s| s.entry.clone());
        let out = outs
            .get(id)
            .cloned()
            .or_else(|| core.running.lock().sinks.get(id).and_then(|s| s.out.upgrade()));
        let step = match (made.sinks.remove(id), fresh.remove(id), entry, out) {
            (None, _, Some(entry), _) if entry.fits(&plan.buffer) => {
                entry.adapt(&plan.buffer);
                SinkStep::Keep(entry)
            }
            (Some(sink), Some((entry, own)), _, out) => SinkStep::Fresh(sink, entry, own, out),
            (Some(sink), None, Some(entry), Some(out)) => {
                entry.adapt(&plan.buffer);
                SinkStep::Succeed(sink, entry, out)
            }
            // It ended by itself while the reload was under way.
            _ => {
                return Err(Error::Failed {
                    component: id.to_string(),
                    reason: "its buffer is gone".to_owned(),
                });
            }
        };
        steps.insert(id.clone(), step);
    }
    Ok(steps)
}

/// Exchanges the wiring between two batches, and starts what was made.
pub(super) fn swap(
    core: &Arc<Core>,
    old: &Plan,
    new: &Arc<Plan>,
    d: &Diff,
    made: Made,
    steps: HashMap<Arc<str>, SinkStep>,
    deadline: Duration,
) {
    let mut parts = Parts {
        sources: HashMap::new(),
        transforms: made.transforms,
        sinks: HashMap::new(),
    };
    let mut starting = Vec::new();
    let mut running = core.running.lock();
    let mut graph = core.graph.write();
    for (id, step) in &steps {
        let telemetry = core
            .options
            .telemetry
            .component(id, "sink", new.sinks.get(id).map_or("", |s| &s.common.kind));
        let entry = match step {
            SinkStep::Keep(e) | SinkStep::Succeed(_, e, _) | SinkStep::Fresh(_, e, _, _) => e.clone(),
        };
        parts.sinks.insert(id.clone(), (Some(entry), telemetry));
    }
    let mut tickers = Vec::new();
    for (id, node) in &parts.transforms {
        tickers.push(node.clone());
        running.transforms.insert(id.clone(), node.clone());
    }
    running.transforms.retain(|id, _| new.transforms.contains_key(id));
    for (id, node) in &running.transforms {
        parts.transforms.entry(id.clone()).or_insert_with(|| node.clone());
    }
    running
        .sources
        .retain(|id, _| new.sources.contains_key(id) && !d.ending.contains(id));
    for (id, s) in &running.sources {
        let live = graph.sources.get(&s.run).is_some_and(|e| e.live);
        parts.sources.insert(id.clone(), (s.run, s.ports.clone(), live));
    }
    for (id, source) in made.sources {
        let run = core.next_run.fetch_add(1, Ordering::Relaxed);
        parts.sources.insert(id.clone(), (run, source.ports.clone(), true));
        starting.push((id, run, source));
    }
    // The old wiring still stands: what old transforms hold goes to whoever was behind them.
    let mut walked = Walked::default();
    for at in 0..graph.transforms.len() {
        if graph.transforms.get(at).is_some_and(|t| d.ending.contains(&t.node.id)) {
            graph.finish(at, &mut walked);
        }
    }
    *graph = wire(new, &parts);
    drop(graph);
    *core.plan.lock() = new.clone();
    core.deliver_beside(walked);
    start_sinks(core, &mut running, steps, deadline);
    retire_sinks(core, new, &mut running, deadline);
    for (id, run, source) in starting {
        let source = core.spawn_source(&id, run, source.source, source.ports);
        running.sources.insert(id, source);
    }
    // In the order of the plan again, as snapshots list them.
    let Running { sources, sinks, .. } = &mut *running;
    sources.sort_by_cached_key(|id, _| new.sources.get_index_of(id));
    sinks.sort_by_cached_key(|id, _| new.sinks.get_index_of(id));
    drop(running);
    for node in tickers {
        core.spawn_ticker(&node);
    }
    for id in old.sources.keys().chain(old.transforms.keys()) {
        if !new.sources.contains_key(id) && !new.transforms.contains_key(id) && !new.sinks.contains_key(id) {
            core.options.telemetry.forget(id);
        }
    }
}

fn start_sinks(core: &Arc<Core>, running: &mut Running, steps: HashMap<Arc<str>, SinkStep>, deadline: Duration) {
    for (id, step) in steps {
        let old = running.sinks.get(&id).map(|s| Ending::of(&id, s));
        if let (Some(old), SinkStep::Succeed(..) | SinkStep::Fresh(..)) = (&old, &step) {
            // At once: what it does not have in its hands yet is its successor's.
            old.detach();
        }
        match step {
            SinkStep::Keep(_) => {}
            SinkStep::Succeed(made, entry, out) => {
                // It begins when its predecessor has let go of the buffer.
                let sink = core.spawn_sink(&id, made.sink, &entry, out, made.telemetry);
                running.sinks.insert(id, sink);
                if let Some(old) = old {
                    let core = core.clone();
                    core.runtime
                        .clone()
                        .spawn(async move { old.end(&core, deadline).await });
                }
            }
            SinkStep::Fresh(made, entry, own, rest) => {
                let own = Arc::new(tokio::sync::Mutex::new(own));
                let sink = core.spawn_sink(&id, made.sink, &entry, own, made.telemetry);
                running.sinks.insert(id, sink);
                let (Some(old), Some(rest)) = (old, rest) else { continue };
                let live = Live::new(core);
                let core = core.clone();
                core.runtime.clone().spawn(async move {
                    old.end(&core, deadline).await;
                    let mut rest = rest.lock_owned().await;
                    while let Some(batch) = rest.recv().await {
                        entry.send(batch).await;
                    }
                    drop(live);
                });
            }
        }
    }
}

/// Lets sinks that are gone read what is left.
fn retire_sinks(core: &Arc<Core>, new: &Plan, running: &mut Running, deadline: Duration) {
    let gone: Vec<Arc<str>> = running
        .sinks
        .keys()
        .filter(|id| !new.sinks.contains_key(*id))
        .cloned()
        .collect();
    running.draining.retain(|(_, s)| !*s.ended.borrow());
    for id in gone {
        let Some(sink) = running.sinks.shift_remove(&id) else {
            continue;
        };
        let ending = Ending::of(&id, &sink);
        running.draining.push((id.clone(), sink));
        let core = core.clone();
        core.runtime.clone().spawn(async move {
            ending.wait(&core, deadline).await;
            let plan = core.plan.lock().clone();
            if !plan.sinks.contains_key(&id) && !plan.sources.contains_key(&id) && !plan.transforms.contains_key(&id) {
                core.options.telemetry.forget(&id);
            }
        });
    }
}
