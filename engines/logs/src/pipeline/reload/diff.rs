//! What a reload has to end and to make.

use std::{collections::HashSet, sync::Arc};

use qd_logs_model::Resource;

use super::{super::Core, Changes};
use crate::{
    Plan,
    plan::{Common, conflict, same},
};

fn same_common(a: &Common, b: &Common) -> bool {
    a.kind == b.kind && same(&a.node, &b.node)
}

/// What is to be done, by ids.
pub(super) struct Diff {
    /// Old components that end.
    pub(super) ending: HashSet<Arc<str>>,
    /// New components that are made.
    pub(super) making: HashSet<Arc<str>>,
}

/// Compares two plans; `tables` says whether the enrichment tables differ.
pub(super) fn diff(core: &Core, old: &Plan, new: &Plan, tables: bool) -> Diff {
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
        if !keep || all || tables {
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

/// What was done, in words.
pub(super) fn changes(old: &Plan, new: &Plan, d: &Diff) -> Changes {
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

/// Which old components must have ended before a new one can be made: those that hold what it needs, and the source whose
/// place it takes. Two sources of one id would share a checkpoint.
pub(super) fn in_the_way(old: &Plan, new: &Plan, d: &Diff, id: &Arc<str>) -> Vec<Arc<str>> {
    let wanted = resources(new, id);
    let holds = |owner: &Arc<str>| {
        let held = resources(old, owner);
        held.iter().any(|h| wanted.iter().any(|w| conflict(h, w)))
    };
    let predecessor = |owner: &Arc<str>| owner == id && old.sources.contains_key(id) && new.sources.contains_key(id);
    let mut all: Vec<_> = d
        .ending
        .iter()
        .filter(|o| predecessor(o) || holds(o))
        .cloned()
        .collect();
    all.sort();
    all
}
