//! Changing a pipeline that runs.
//!
//! What is the same in both plans goes on: sources keep their offsets and sockets, transforms what they hold back, sinks
//! their connections. What is new is made before anything is touched, so a mistake costs nothing. Then sources that
//! change or go are ended, the wiring is exchanged between two batches, transforms that change or go give out what they
//! hold to those that were behind them, and new sources start. A sink that changes ends at a batch boundary and its
//! successor takes over the buffer with all that is in it.
//!
//! Only where a new component needs what an old one holds (a port, a path) must the old one end first; if the new one
//! then cannot be made, the old one is made again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use qd_core::Severity;
use qd_logs_config::ConfigError;
use qd_logs_model::{Resource, telemetry::Intent};

use super::{
    Core, Pipeline, Running, RunningSink,
    build::{MadeSink, MadeSource, Parts, wire},
    run::Live,
};
use crate::{
    Error, Plan,
    buffer::{BufferIn, BufferOut},
    graph::{TransformNode, Walked},
    plan::{Common, conflict, same},
};

/// What a reload did, by component ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Made and started.
    pub added: Vec<String>,
    /// Ended.
    pub removed: Vec<String>,
    /// Made anew.
    pub changed: Vec<String>,
    /// The same as before, perhaps with other inputs or another bound of the buffer.
    pub kept: Vec<String>,
}

type Out = Arc<tokio::sync::Mutex<BufferOut>>;

/// How a sink of the new plan comes to run.
enum SinkStep {
    /// It runs already.
    Keep(Arc<BufferIn>),
    /// It is made, with the buffer of its predecessor.
    Succeed(MadeSink, Arc<BufferIn>, Out),
    /// It is made, with a buffer of its own; what is left in its predecessor's goes there.
    Fresh(MadeSink, Arc<BufferIn>, BufferOut, Option<Out>),
}

impl Pipeline {
    /// Changes the pipeline to another plan. One reload at a time; others wait.
    ///
    /// # Errors
    /// What kept a new component from being made. The pipeline then goes on as it was, unless the error is
    /// [`Error::NotRestored`].
    pub async fn reload(&self, plan: Plan) -> Result<Changes, Error> {
        let core = self.core.clone();
        // In a task of its own: whoever loses interest in the answer must not leave it half done.
        match self.core.runtime.spawn(reload(core, plan)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Stopping),
        }
    }
}

fn same_common(a: &Common, b: &Common) -> bool {
    a.kind == b.kind && same(&a.node, &b.node)
}

/// What is to be done, by ids.
struct Diff {
    /// Old components that end.
    ending: HashSet<Arc<str>>,
    /// New components that are made.
    making: HashSet<Arc<str>>,
}

fn diff(core: &Core, old: &Plan, new: &Plan) -> Diff {
    let all = !(old.globals.timezone == new.globals.timezone
        && old.globals.log_schema == new.globals.log_schema
        && old.globals.proxy == new.globals.proxy);
    let running = core.running.lock();
    let graph = core.graph.read();
    let mut d = Diff {
        ending: HashSet::new(),
        making: HashSet::new(),
    };
    for (id, s) in &new.sources {
        let keep = old.sources.get(id).is_some_and(|o| {
            same_common(&o.common, &s.common) && o.acknowledgements == s.acknowledgements && o.proxy == s.proxy
        });
        if !keep || all {
            d.making.insert(id.clone());
        }
    }
    for (id, t) in &new.transforms {
        let keep = old
            .transforms
            .get(id)
            .is_some_and(|o| same_common(&o.common, &t.common))
            && running.transforms.get(id).is_some_and(|n| !n.has_finished());
        if !keep || all {
            d.making.insert(id.clone());
        }
    }
    for (id, s) in &new.sinks {
        let keep = old
            .sinks
            .get(id)
            .is_some_and(|o| same_common(&o.common, &s.common) && o.proxy == s.proxy)
            && graph
                .sinks
                .iter()
                .any(|e| e.id == *id && e.entry.as_ref().is_some_and(|e| e.fits(&s.buffer)));
        if !keep || all {
            d.making.insert(id.clone());
        }
    }
    for id in old.sources.keys().chain(old.transforms.keys()).chain(old.sinks.keys()) {
        let stays = new.sources.contains_key(id) && old.sources.contains_key(id)
            || new.transforms.contains_key(id) && old.transforms.contains_key(id)
            || new.sinks.contains_key(id) && old.sinks.contains_key(id);
        if !stays || d.making.contains(id) {
            d.ending.insert(id.clone());
        }
    }
    d
}

fn resources(plan: &Plan, id: &str) -> Vec<Resource> {
    let sources = plan.sources.get(id).map(|s| s.config.resources());
    let sinks = plan.sinks.get(id).map(|s| s.config.resources());
    sources.into_iter().chain(sinks).flatten().collect()
}

/// Everything made for the new plan.
#[derive(Default)]
struct Made {
    transforms: HashMap<Arc<str>, Arc<TransformNode>>,
    sources: HashMap<Arc<str>, MadeSource>,
    sinks: HashMap<Arc<str>, MadeSink>,
    checks: Vec<super::build::Check>,
}

impl Made {
    async fn component(&mut self, core: &Core, plan: &Plan, id: &Arc<str>) -> Result<(), Error> {
        if let Some(t) = plan.transforms.get(id) {
            self.transforms.insert(id.clone(), core.make_transform(plan, t)?);
        }
        if let Some(s) = plan.sources.get(id) {
            self.sources.insert(id.clone(), core.make_source(plan, s).await?);
        }
        if let Some(s) = plan.sinks.get(id) {
            let mut made = core.make_sink(plan, s).await?;
            let check = std::mem::replace(&mut made.healthcheck, Box::pin(async { Ok(()) }));
            self.checks.push((id.clone(), check));
            self.sinks.insert(id.clone(), made);
        }
        Ok(())
    }
}

async fn reload(core: Arc<Core>, plan: Plan) -> Result<Changes, Error> {
    let _one_at_a_time = core.reloading.lock().await;
    if core.is_stopping() {
        return Err(Error::Stopping);
    }
    let new = Arc::new(plan);
    let old = core.plan.lock().clone();
    if old.globals.data_dir != new.globals.data_dir {
        let mut e = ConfigError::new("`data_dir` cannot change while the pipeline runs; restart it");
        e.path = vec!["data_dir".to_owned()];
        return Err(Error::Config(vec![e]));
    }
    // While this lives, the pipeline is not taken for ended because all its old parts are.
    let _live = Live::new(&core);
    let d = diff(&core, &old, &new);
    let held: Vec<(Arc<str>, Resource)> = d
        .ending
        .iter()
        .flat_map(|id| resources(&old, id).into_iter().map(move |r| (id.clone(), r)))
        .collect();
    let in_the_way = |id: &str| -> Vec<Arc<str>> {
        let wanted = resources(&new, id);
        held.iter()
            .filter(|(_, h)| wanted.iter().any(|w| conflict(h, w)))
            .map(|(owner, _)| owner.clone())
            .collect()
    };
    let mut order: Vec<Arc<str>> = new
        .transforms
        .keys()
        .chain(new.sinks.keys())
        .chain(new.sources.keys())
        .cloned()
        .collect();
    order.retain(|id| d.making.contains(id));
    let (free, bound): (Vec<_>, Vec<_>) = order.into_iter().partition(|id| in_the_way(id).is_empty());
    let mut made = Made::default();
    for id in &free {
        made.component(&core, &new, id).await?;
    }
    core.probe(&new, std::mem::take(&mut made.checks)).await?;
    let fresh = open_buffers(&core, &old, &new)?;

    // From here on the old pipeline is touched.
    core.holding.store(true, Ordering::Release);
    let deadline = core.options.reload_deadline;
    end_sources(&core, &d.ending, deadline).await;
    let blocking: HashSet<Arc<str>> = bound.iter().flat_map(|id| in_the_way(id)).collect();
    let kept_outs = end_sinks(&core, &blocking, deadline).await;
    let mut result = Ok(());
    for id in &bound {
        result = made.component(&core, &new, id).await;
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() && !made.checks.is_empty() {
        result = core.probe(&new, std::mem::take(&mut made.checks)).await;
    }
    if let Err(error) = result {
        drop(made);
        let restored = restore(&core, &old, &d.ending, kept_outs).await;
        release(&core);
        return Err(match restored {
            Ok(()) => {
                core.say(
                    Severity::Error,
                    "",
                    format!("the reload failed, the old pipeline goes on: {error}"),
                );
                error
            }
            Err(restore) => {
                let error = Error::NotRestored {
                    change: Box::new(error),
                    restore: Box::new(restore),
                };
                core.fail(Error::Failed {
                    component: "pipeline".to_owned(),
                    reason: error.to_string(),
                });
                error
            }
        });
    }
    let steps = plan_sinks(&core, &new, &mut made, fresh, kept_outs)?;
    swap(&core, &old, &new, &d, made, steps, deadline);
    release(&core);
    core.reloads.fetch_add(1, Ordering::Relaxed);
    core.changed.notify_one();
    core.say(Severity::Info, "", "the pipeline was reloaded");
    Ok(changes(&old, &new, &d))
}

fn changes(old: &Plan, new: &Plan, d: &Diff) -> Changes {
    let ids = |p: &Plan| -> Vec<Arc<str>> {
        p.sources
            .keys()
            .chain(p.transforms.keys())
            .chain(p.sinks.keys())
            .cloned()
            .collect()
    };
    let (before, after) = (ids(old), ids(new));
    let mut c = Changes::default();
    for id in &after {
        let list = match (before.contains(id), d.making.contains(id)) {
            (false, _) => &mut c.added,
            (true, true) => &mut c.changed,
            (true, false) => &mut c.kept,
        };
        list.push(id.to_string());
    }
    c.removed = before
        .iter()
        .filter(|id| !after.contains(id))
        .map(ToString::to_string)
        .collect();
    c
}

/// Ends what is done with, now that the wiring is whole again.
fn release(core: &Arc<Core>) {
    core.holding.store(false, Ordering::Release);
    let mut walked = Walked::default();
    core.graph.write().settle(&mut walked);
    core.deliver_beside(walked);
    core.attach_taps();
}

/// Buffers that were opened, by the ids of their sinks.
type Opened = HashMap<Arc<str>, (Arc<BufferIn>, BufferOut)>;

/// Opens a buffer for each sink that cannot go on with the one it has.
fn open_buffers(core: &Core, old: &Plan, new: &Plan) -> Result<Opened, Error> {
    let mut fresh = HashMap::new();
    for (id, sink) in &new.sinks {
        let entry = core
            .graph
            .read()
            .sinks
            .iter()
            .find(|s| s.id == *id)
            .and_then(|s| s.entry.clone());
        let fits = entry.is_some_and(|e| e.fits(&sink.buffer));
        if !fits || !old.sinks.contains_key(id) {
            fresh.insert(id.clone(), core.open_buffer(new, sink)?);
        }
    }
    Ok(fresh)
}

async fn end_sources(core: &Arc<Core>, ending: &HashSet<Arc<str>>, deadline: Duration) {
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
async fn end_sinks(core: &Arc<Core>, which: &HashSet<Arc<str>>, deadline: Duration) -> HashMap<Arc<str>, Out> {
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
struct Ending {
    id: Arc<str>,
    control: Arc<crate::sink::SinkControl>,
    ended: tokio::sync::watch::Receiver<bool>,
    abort: tokio::task::AbortHandle,
    telemetry: qd_logs_model::Telemetry,
}

impl Ending {
    fn of(id: &Arc<str>, sink: &RunningSink) -> Ending {
        Ending {
            id: id.clone(),
            control: sink.control.clone(),
            ended: sink.ended.clone(),
            abort: sink.abort.clone(),
            telemetry: sink.telemetry.clone(),
        }
    }

    /// Has it end at the next batch boundary, whatever is in its buffer.
    async fn end(self, core: &Core, deadline: Duration) {
        self.control.detach();
        self.wait(core, deadline).await;
    }

    /// Waits for its end; after the deadline it is cut off.
    async fn wait(mut self, core: &Core, deadline: Duration) {
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
async fn restore(
    core: &Arc<Core>,
    old: &Arc<Plan>,
    ending: &HashSet<Arc<str>>,
    outs: HashMap<Arc<str>, Out>,
) -> Result<(), Error> {
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

fn plan_sinks(
    core: &Core,
    new: &Plan,
    made: &mut Made,
    mut fresh: HashMap<Arc<str>, (Arc<BufferIn>, BufferOut)>,
    mut outs: HashMap<Arc<str>, Out>,
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
            .remove(id)
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

fn swap(
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
