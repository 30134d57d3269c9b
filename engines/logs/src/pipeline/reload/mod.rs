//! Changing a pipeline that runs.
//!
//! What is the same in both plans goes on: sources keep their offsets and sockets, transforms what they hold back, sinks
//! their connections. What is new is made before anything is touched, so a mistake costs nothing. Then sources that
//! change or go are ended, the wiring is exchanged between two batches, transforms that change or go give out what they
//! hold to those that were behind them, and new sources start. A sink that changes ends at a batch boundary and its
//! successor takes over the buffer with all that is in it.
//!
//! Only where a new component needs what an old one holds (a port, a path), and where a source takes the place of another
//! (its checkpoint), must the old one have ended first; if the new one then cannot be made, the old one is made again.

mod diff;
mod end;
mod swap;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use qd_core::Severity;
use qd_logs_config::ConfigError;

use self::{
    diff::{changes, diff, in_the_way},
    end::{end_sinks, end_sources, restore},
    swap::{plan_sinks, swap},
};
use super::{
    Core, Pipeline,
    build::{MadeSink, MadeSource, load_tables},
    run::Live,
};
use crate::{
    Error, LoadedTables, Plan,
    buffer::{BufferIn, BufferOut},
    graph::{TransformNode, Walked},
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
    let tables = load_tables(&new).await?;
    let before = core.tables.lock().clone();
    let other_tables = old.tables != new.tables || !tables.looks_like(&before);
    *core.tables.lock() = tables;
    let result = change(&core, &old, &new, other_tables, &before).await;
    match &result {
        Ok(_) => {
            core.reloads.fetch_add(1, Ordering::Relaxed);
            core.changed.notify_one();
            core.say(Severity::Info, "", "the pipeline was reloaded");
        }
        Err(_) => *core.tables.lock() = before,
    }
    result
}

/// Does it. `other_tables` says that the enrichment tables differ, `before` are those of the old pipeline.
async fn change(
    core: &Arc<Core>,
    old: &Arc<Plan>,
    new: &Arc<Plan>,
    other_tables: bool,
    before: &LoadedTables,
) -> Result<Changes, Error> {
    let d = diff(core, old, new, other_tables);
    let mut order: Vec<Arc<str>> = new
        .transforms
        .keys()
        .chain(new.sinks.keys())
        .chain(new.sources.keys())
        .cloned()
        .collect();
    order.retain(|id| d.making.contains(id));
    let (free, bound): (Vec<_>, Vec<_>) = order
        .into_iter()
        .partition(|id| in_the_way(old, new, &d, id).is_empty());
    let mut made = Made::default();
    for id in &free {
        made.component(core, new, id).await?;
    }
    core.probe(new, std::mem::take(&mut made.checks)).await?;
    let fresh = open_buffers(core, old, new)?;

    // From here on the old pipeline is touched.
    core.holding.store(true, Ordering::Release);
    let deadline = core.options.reload_deadline;
    end_sources(core, &d.ending, deadline).await;
    let blocking: HashSet<Arc<str>> = bound.iter().flat_map(|id| in_the_way(old, new, &d, id)).collect();
    let kept_outs = end_sinks(core, &blocking, deadline).await;
    let steps = match make_bound(core, new, &bound, &mut made).await {
        Ok(()) => plan_sinks(core, new, &mut made, fresh, &kept_outs),
        Err(error) => Err(error),
    };
    let steps = match steps {
        Ok(steps) => steps,
        Err(error) => {
            drop(made);
            *core.tables.lock() = before.clone();
            let restored = restore(core, old, &d.ending, kept_outs).await;
            release(core);
            return Err(give_up(core, error, restored));
        }
    };
    drop(kept_outs);
    swap(core, old, new, &d, made, steps, deadline);
    release(core);
    Ok(changes(old, new, &d))
}

/// Makes what had to wait for the end of others.
async fn make_bound(core: &Arc<Core>, new: &Plan, bound: &[Arc<str>], made: &mut Made) -> Result<(), Error> {
    for id in bound {
        made.component(core, new, id).await?;
    }
    core.probe(new, std::mem::take(&mut made.checks)).await
}

/// Says what became of a change that failed.
fn give_up(core: &Arc<Core>, error: Error, restored: Result<(), Error>) -> Error {
    match restored {
        Ok(()) => {
            let message = format!("the reload failed, the old pipeline goes on: {error}");
            core.say(Severity::Error, "", message);
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
    }
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
