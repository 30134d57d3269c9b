//! How the components are connected, and whether they can be.

use std::collections::{HashMap, HashSet};

use indexmap::{IndexMap, IndexSet};

use crate::schema::{ComponentId, ComponentSpec, Config, Role, WildcardMatching};
use crate::{ConfigError, nearest};

/// The name that no output may have.
const RESERVED_OUTPUT: &str = "_default";

/// Patterns match only within this many outputs times inputs.
const MAX_EDGES: usize = 1_000_000;

/// An output of a source or transform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId {
    /// Whose it is.
    pub component: ComponentId,
    /// Its name; `None` for the unnamed one.
    pub port: Option<String>,
}

impl std::fmt::Display for OutputId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.port {
            Some(port) => write!(f, "{}.{port}", self.component),
            None => write!(f, "{}", self.component),
        }
    }
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Where events come from.
    pub from: OutputId,
    /// The transform, sink or enrichment table that they go to.
    pub to: ComponentId,
}

/// All connections of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    edges: Vec<Edge>,
    outputs: IndexMap<ComponentId, Vec<OutputId>>,
    order: Vec<ComponentId>,
    warnings: Vec<ConfigError>,
}

impl Graph {
    /// The connections, by consumer in the order of the configuration: transforms, then sinks, then tables.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Where a component's events come from.
    pub fn inputs_of(&self, id: &str) -> impl Iterator<Item = &OutputId> {
        self.edges.iter().filter(move |e| e.to.as_str() == id).map(|e| &e.from)
    }

    /// Where the events of an output go.
    pub fn consumers_of(&self, output: &OutputId) -> impl Iterator<Item = &ComponentId> {
        self.edges.iter().filter(move |e| e.from == *output).map(|e| &e.to)
    }

    /// The outputs of a source or transform.
    pub fn outputs_of(&self, id: &str) -> &[OutputId] {
        self.outputs.get(id).map_or(&[], Vec::as_slice)
    }

    /// The output that a text `id` or `id.port` names.
    pub fn output(&self, text: &str) -> Option<&OutputId> {
        self.outputs.values().flatten().find(|o| o.to_string() == text)
    }

    /// Sources, transforms and sinks so that each comes after its inputs; empty if there is a cycle.
    pub fn order(&self) -> &[ComponentId] {
        &self.order
    }

    /// What is odd but no mistake: outputs that nobody reads, patterns that match nothing.
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }
}

/// Tells the outputs of a source or transform: `None` is the unnamed one.
pub type OutputsOf<'a> = dyn Fn(&ComponentSpec) -> Result<Vec<Option<String>>, ConfigError> + 'a;

/// Connects the components of a configuration that shall run.
///
/// `outputs_of` tells the outputs of a source or transform: `None` is the unnamed one.
///
/// # Errors
/// Everything that is wrong: no sources or sinks, names with dots, names that stand twice, missing, unknown and doubled
/// inputs, cycles, outputs of tests that do not exist, and what `outputs_of` says.
pub fn resolve(config: &Config, outputs_of: &OutputsOf<'_>) -> Result<Graph, Vec<ConfigError>> {
    let mut resolver = Resolver::new(config);
    resolver.check_names();
    resolver.check_shape();
    resolver.find_outputs(outputs_of);
    resolver.connect(Strictness::All);
    resolver.check_tests();
    resolver.order();
    resolver.finish()
}

/// Connects the components of a configuration whose tests shall run: sources and sinks may be missing, and inputs that
/// do not exist are left out.
///
/// # Errors
/// Names with dots, names that stand twice, cycles, outputs of tests that do not exist, and what `outputs_of` says.
pub fn resolve_for_tests(config: &Config, outputs_of: &OutputsOf<'_>) -> Result<Graph, Vec<ConfigError>> {
    let mut resolver = Resolver::new(config);
    resolver.check_names();
    resolver.find_outputs(outputs_of);
    resolver.connect(Strictness::Known);
    resolver.check_tests();
    resolver.order();
    resolver.graph.warnings.clear();
    resolver.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// Every input must exist.
    All,
    /// Those that do not are left out.
    Known,
}

struct Resolver<'a> {
    config: &'a Config,
    graph: Graph,
    errors: Vec<ConfigError>,
}

impl<'a> Resolver<'a> {
    fn new(config: &'a Config) -> Resolver<'a> {
        Resolver {
            config,
            graph: Graph::default(),
            errors: Vec::new(),
        }
    }

    fn check_names(&mut self) {
        let mut used: HashMap<&str, &ComponentSpec> = HashMap::new();
        for spec in self.config.components() {
            let name = spec.id.as_str();
            if name.contains('.') {
                self.errors.push(about(
                    spec,
                    format!(
                        "the name of the {} `{name}` must have no dot: dots separate outputs",
                        spec.role.word()
                    ),
                ));
            }
            if let Some(first) = used.insert(name, spec) {
                let (one, two) = (first.role.word(), spec.role.word());
                self.errors.push(
                    about(
                        spec,
                        format!("two components have the name `{name}`: a {one} and a {two}"),
                    )
                    .related(format!("the {one} is here"), first.key_span),
                );
            }
        }
    }

    fn check_shape(&mut self) {
        if self.config.allow_empty {
            return;
        }
        if self.config.sources.is_empty() {
            self.errors.push(ConfigError::new("the configuration has no sources"));
        }
        if self.config.sinks.is_empty() {
            self.errors.push(ConfigError::new("the configuration has no sinks"));
        }
    }

    fn find_outputs(&mut self, outputs_of: &OutputsOf<'_>) {
        for spec in self.config.sources.values().chain(self.config.transforms.values()) {
            let ports = match outputs_of(spec) {
                Ok(ports) => ports,
                Err(e) => {
                    self.errors.push(
                        e.at(spec.span.or(spec.key_span))
                            .within(spec.id.as_str())
                            .within(spec.role.section()),
                    );
                    // Its consumers are not to blame.
                    vec![None]
                }
            };
            if ports.iter().flatten().any(|p| p == RESERVED_OUTPUT) {
                self.errors.push(about(
                    spec,
                    format!(
                        "the {} `{}` has an output `{RESERVED_OUTPUT}`, but that name is reserved",
                        spec.role.word(),
                        spec.id
                    ),
                ));
            }
            let outputs = ports
                .into_iter()
                .map(|port| OutputId {
                    component: spec.id.clone(),
                    port,
                })
                .collect();
            self.graph.outputs.insert(spec.id.clone(), outputs);
        }
    }

    fn connect(&mut self, strictness: Strictness) {
        let outputs: IndexMap<String, OutputId> = self
            .graph
            .outputs
            .values()
            .flatten()
            .map(|o| (o.to_string(), o.clone()))
            .collect();
        let config = self.config;
        let consumers = config
            .transforms
            .values()
            .chain(config.sinks.values())
            .chain(config.enrichment_tables.values());
        for spec in consumers {
            if spec.inputs.is_empty() && strictness == Strictness::All && spec.role != Role::EnrichmentTable {
                self.errors.push(about(
                    spec,
                    format!("the {} `{}` has no inputs", spec.role.word(), spec.id),
                ));
            }
            let mut taken: IndexSet<&str> = IndexSet::new();
            let mut doubled: HashSet<&str> = HashSet::new();
            for input in &spec.inputs {
                let pattern = glob::Pattern::new(&input.text).ok();
                let matches = |name: &str| match &pattern {
                    Some(p) => p.matches(name),
                    None => input.text == name,
                };
                let mut matched = false;
                for (name, output) in &outputs {
                    if !matches(name) || name.as_str() == spec.id.as_str() && pattern_only(&input.text) {
                        continue;
                    }
                    matched = true;
                    if !taken.insert(name) {
                        if doubled.insert(name) && strictness == Strictness::All {
                            let what = format!(
                                "the {} `{}` has the input `{name}` more than once",
                                spec.role.word(),
                                spec.id
                            );
                            self.errors.push(about(spec, what).moved(input.span));
                        }
                        continue;
                    }
                    if self.graph.edges.len() < MAX_EDGES {
                        self.graph.edges.push(Edge {
                            from: output.clone(),
                            to: spec.id.clone(),
                        });
                    }
                }
                if !matched && strictness == Strictness::All {
                    self.unmatched(spec, input, &outputs);
                }
            }
        }
        if self.graph.edges.len() >= MAX_EDGES {
            self.errors.push(ConfigError::new(format!(
                "the components have more than {MAX_EDGES} connections"
            )));
        }
        self.unread(&outputs);
    }

    fn unmatched(
        &mut self,
        spec: &ComponentSpec,
        input: &crate::schema::InputSpec,
        outputs: &IndexMap<String, OutputId>,
    ) {
        let pattern = pattern_only(&input.text);
        if pattern && self.config.globals.wildcard_matching == WildcardMatching::Relaxed {
            self.graph.warnings.push(
                about(
                    spec,
                    format!("the input `{}` of `{}` matches no component", input.text, spec.id),
                )
                .moved(input.span),
            );
            return;
        }
        let what = if pattern {
            "matches no component"
        } else {
            "does not exist"
        };
        let mut error = about(
            spec,
            format!(
                "the input `{}` of the {} `{}` {what}",
                input.text,
                spec.role.word(),
                spec.id
            ),
        )
        .moved(input.span);
        if let Some(component) = self.config.component(&input.text) {
            // It does exist, but nothing comes out of it under that name.
            let own: Vec<_> = self
                .graph
                .outputs_of(component.id.as_str())
                .iter()
                .map(ToString::to_string)
                .collect();
            if component.role == Role::Sink {
                error
                    .message
                    .push_str(": it is a sink, and nothing comes out of a sink");
            } else if !own.is_empty() {
                error
                    .message
                    .push_str(&format!(": its outputs are `{}`", own.join("`, `")));
            }
        }
        if !pattern {
            let names = outputs.keys().map(String::as_str).filter(|n| *n != spec.id.as_str());
            error.suggestion = nearest(&input.text, names);
        }
        self.errors.push(error);
    }

    fn unread(&mut self, outputs: &IndexMap<String, OutputId>) {
        let read: HashSet<&OutputId> = self.graph.edges.iter().map(|e| &e.from).collect();
        let mut warnings = Vec::new();
        for (name, output) in outputs {
            if !read.contains(output)
                && let Some(spec) = self.config.component(output.component.as_str())
            {
                warnings.push(about(spec, format!("nothing reads the {} `{name}`", spec.role.word())));
            }
        }
        self.graph.warnings.extend(warnings);
    }

    fn check_tests(&mut self) {
        let mut errors = Vec::new();
        let names: Vec<String> = self.graph.outputs.values().flatten().map(ToString::to_string).collect();
        for test in &self.config.tests {
            let expected = test.outputs.iter().flat_map(|o| &o.extract_from.0);
            for (key, name) in expected
                .map(|n| ("extract_from", n))
                .chain(test.no_outputs_from.iter().map(|n| ("no_outputs_from", n)))
            {
                let wrong = if !names.contains(name) {
                    "does not exist"
                } else if key == "extract_from" && test.no_outputs_from.contains(name) {
                    "stands under `no_outputs_from` too"
                } else {
                    continue;
                };
                let mut error = ConfigError::new(format!(
                    "the output `{name}` in `{key}` of the test `{}` {wrong}",
                    test.name
                ))
                .at(test.span);
                if !names.contains(name) {
                    error.suggestion = nearest(name, names.iter().map(String::as_str));
                }
                errors.push(error);
            }
        }
        self.errors.extend(errors);
    }

    /// Sorts the components so that each comes after its inputs, and names a cycle if there is one.
    fn order(&mut self) {
        let mut waits: IndexMap<&str, usize> = self.config.components().map(|c| (c.id.as_str(), 0)).collect();
        let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
        for edge in &self.graph.edges {
            if let Some(n) = waits.get_mut(edge.to.as_str()) {
                *n += 1;
                next.entry(edge.from.component.as_str())
                    .or_default()
                    .push(edge.to.as_str());
            }
        }
        let mut ready: Vec<&str> = waits.iter().filter(|(_, n)| **n == 0).map(|(id, _)| *id).collect();
        let mut order = Vec::with_capacity(waits.len());
        let mut at = 0;
        while let Some(id) = ready.get(at).copied() {
            at += 1;
            order.push(ComponentId::from(id));
            for to in next.get(id).into_iter().flatten() {
                if let Some(n) = waits.get_mut(to) {
                    *n -= 1;
                    if *n == 0 {
                        ready.push(to);
                    }
                }
            }
        }
        if order.len() == waits.len() {
            self.graph.order = order;
            return;
        }
        // Every component that still waits has an input that still waits: walking back must come around.
        let waiting: HashSet<&str> = waits.iter().filter(|(_, n)| **n > 0).map(|(id, _)| *id).collect();
        let mut path: IndexSet<&str> = IndexSet::new();
        let mut here = waits.iter().find(|(_, n)| **n > 0).map(|(id, _)| *id);
        while let Some(id) = here {
            if let Some(start) = path.get_index_of(id) {
                let mut cycle: Vec<&str> = path.iter().skip(start).copied().collect();
                cycle.push(id);
                cycle.reverse();
                let text = cycle.join(" -> ");
                let spec = self.config.component(id);
                self.errors.push(
                    ConfigError::new(format!("the components form a circle: {text}"))
                        .at(spec.and_then(|s| s.key_span.or(s.span))),
                );
                return;
            }
            path.insert(id);
            here = self
                .graph
                .edges
                .iter()
                .find(|e| e.to.as_str() == id && waiting.contains(e.from.component.as_str()))
                .map(|e| e.from.component.as_str());
        }
    }

    fn finish(self) -> Result<Graph, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(self.graph)
        } else {
            Err(self.errors)
        }
    }
}

/// Whether a text is a pattern and not only a name.
fn pattern_only(text: &str) -> bool {
    text != glob::Pattern::escape(text)
}

fn about(spec: &ComponentSpec, message: String) -> ConfigError {
    ConfigError::new(message)
        .at(spec.key_span.or(spec.span))
        .within(spec.id.as_str())
        .within(spec.role.section())
}
