//! What must hold between the components of a plan, and the order of its transforms.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use indexmap::IndexMap;
use qd_logs_config::ConfigError;
use qd_logs_model::{EventKind, InputKinds, Resource};

use super::{Inputs, OutputId, Plan, TransformPlan};

impl Plan {
    /// Checks what holds between components, and puts the transforms into the order of the data.
    ///
    /// # Errors
    /// Inputs that nobody puts out, inputs of a kind that the component does not take, cycles, and resources that two
    /// components claim.
    pub fn check(&mut self) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let outputs: HashMap<OutputId, Vec<EventKind>> = self.outputs().into_iter().collect();
        self.check_kinds(&outputs, &mut errors);
        self.check_resources(&mut errors);
        if let Err(cycle) = self.sort() {
            errors.push(cycle);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_kinds(&self, outputs: &HashMap<OutputId, Vec<EventKind>>, errors: &mut Vec<ConfigError>) {
        let mut check = |word: &str, section: &str, id: &str, takes: InputKinds, inputs: &Inputs| {
            let at = |message: String| ConfigError::new(message).within("inputs").within(id).within(section);
            if inputs.is_empty() {
                errors.push(at(format!("{word} `{id}` has no inputs")));
            }
            for input in inputs {
                match outputs.get(input) {
                    None => errors.push(at(format!("{word} `{id}`: nothing puts out `{input}`"))),
                    Some(kinds) if !kinds.is_empty() && !kinds.iter().any(|k| takes.takes(*k)) => {
                        errors.push(at(format!(
                            "{word} `{id}` takes {} but its input `{input}` puts out {}",
                            kind_words(
                                &[EventKind::Log, EventKind::Metric, EventKind::Trace].map(|k| (k, takes.takes(k)))
                            ),
                            kind_words(&kinds.iter().map(|k| (*k, true)).collect::<Vec<_>>()),
                        )));
                    }
                    Some(_) => {}
                }
            }
        };
        for (id, t) in &self.transforms {
            check("transform", "transforms", id, t.config.input(), &t.inputs);
        }
        for (id, s) in &self.sinks {
            check("sink", "sinks", id, s.config.input(), &s.inputs);
        }
    }

    fn check_resources(&self, errors: &mut Vec<ConfigError>) {
        let mut holders: Vec<(Resource, &'static str, Arc<str>)> = Vec::new();
        let mut claim = |resource: Resource, section: &'static str, id: &Arc<str>| {
            if let Some((_, _, other)) = holders.iter().find(|(r, _, _)| conflict(r, &resource)) {
                errors.push(
                    ConfigError::new(format!(
                        "`{id}` and `{other}` both want {}; only one component can hold it",
                        resource_words(&resource)
                    ))
                    .within(&**id)
                    .within(section),
                );
            }
            holders.push((resource, section, id.clone()));
        };
        for (id, s) in &self.sources {
            for r in s.config.resources() {
                claim(r, "sources", id);
            }
        }
        for (id, s) in &self.sinks {
            for r in s.config.resources() {
                claim(r, "sinks", id);
            }
        }
    }

    /// Kahn's algorithm; the order of the configuration is kept where the data does not say otherwise.
    fn sort(&mut self) -> Result<(), ConfigError> {
        let mut placed: IndexMap<Arc<str>, TransformPlan> = IndexMap::with_capacity(self.transforms.len());
        let mut rest: IndexMap<Arc<str>, TransformPlan> = std::mem::take(&mut self.transforms);
        let mut waiting: HashMap<Arc<str>, usize> = HashMap::new();
        let mut behind: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for (id, t) in &rest {
            let mut from: Vec<&Arc<str>> = t
                .inputs
                .iter()
                .map(|i| &i.component)
                .filter(|c| rest.contains_key(*c))
                .collect();
            from.sort();
            from.dedup();
            waiting.insert(id.clone(), from.len());
            for c in from {
                behind.entry(c.clone()).or_default().push(id.clone());
            }
        }
        let mut ready: VecDeque<Arc<str>> = rest.keys().filter(|id| waiting.get(*id) == Some(&0)).cloned().collect();
        while let Some(id) = ready.pop_front() {
            if let Some(t) = rest.shift_remove(&id) {
                placed.insert(id.clone(), t);
            }
            for next in behind.remove(&id).unwrap_or_default() {
                if let Some(n) = waiting.get_mut(&next) {
                    *n = n.saturating_sub(1);
                    if *n == 0 {
                        ready.push_back(next);
                    }
                }
            }
        }
        if rest.is_empty() {
            self.transforms = placed;
            return Ok(());
        }
        let path = cycle(&rest);
        let first = path.first().cloned().unwrap_or_default();
        placed.extend(rest);
        self.transforms = placed;
        Err(
            ConfigError::new(format!("the events would go round in a circle: {}", path.join(" -> ")))
                .within("inputs")
                .within(first)
                .within("transforms"),
        )
    }
}

/// Whether two components cannot both hold these.
pub(crate) fn conflict(a: &Resource, b: &Resource) -> bool {
    let any = |host: &str| matches!(host, "0.0.0.0" | "[::]" | "::");
    let hosts = |a: &str, b: &str| match (a.rsplit_once(':'), b.rsplit_once(':')) {
        (_, Some((_, "0"))) => false,
        (Some((ha, pa)), Some((hb, pb))) => pa == pb && (ha == hb || any(ha) || any(hb)),
        _ => a == b,
    };
    match (a, b) {
        (Resource::Tcp(a), Resource::Tcp(b)) | (Resource::Udp(a), Resource::Udp(b)) => hosts(a, b),
        (a, b) => a == b,
    }
}

fn resource_words(r: &Resource) -> String {
    match r {
        Resource::Tcp(a) => format!("the TCP address {a}"),
        Resource::Udp(a) => format!("the UDP address {a}"),
        Resource::Path(p) => format!("the path {}", p.display()),
        Resource::Fd(0) => "the standard input".to_owned(),
        Resource::Fd(n) => format!("the file descriptor {n}"),
    }
}

fn kind_words(kinds: &[(EventKind, bool)]) -> String {
    let words: Vec<&str> = kinds
        .iter()
        .filter(|(_, yes)| *yes)
        .map(|(k, _)| match k {
            EventKind::Log => "logs",
            EventKind::Metric => "metrics",
            EventKind::Trace => "traces",
        })
        .collect();
    words.join(" and ")
}

/// A circle among transforms of which each has an input among them.
fn cycle(rest: &IndexMap<Arc<str>, TransformPlan>) -> Vec<String> {
    let Some(mut at) = rest.keys().next() else {
        return Vec::new();
    };
    let mut seen: Vec<&Arc<str>> = Vec::new();
    loop {
        if let Some(i) = seen.iter().position(|s| *s == at) {
            // Walked from reader to writer; said from writer to reader, from the first in the configuration on.
            let mut circle: Vec<&Arc<str>> = seen.into_iter().skip(i).rev().collect();
            let first = circle.iter().enumerate().min_by_key(|(_, id)| rest.get_index_of(**id));
            let first = first.map_or(0, |(i, _)| i);
            circle.rotate_left(first);
            let mut path: Vec<String> = circle.iter().map(ToString::to_string).collect();
            path.extend(path.first().cloned());
            return path;
        }
        seen.push(at);
        let next = rest
            .get(at)
            .and_then(|t| t.inputs.iter().find_map(|i| rest.get_key_value(&i.component)));
        match next {
            Some((id, _)) => at = id,
            None => return seen.iter().map(ToString::to_string).collect(),
        }
    }
}
