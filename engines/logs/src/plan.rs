//! From a configuration to components that can be made: types found in the catalogue, options read, inputs resolved.
//!
//! A [`Plan`] is all that a start or a reload needs and nothing that runs. Everything that can be known to be wrong
//! without touching the machine is found here, all of it at once and each with its place. Two plans are compared
//! component by component to learn what a reload has to change.

use std::{collections::HashMap, fmt, sync::Arc};

use indexmap::IndexMap;
use qd_logs_config::{
    ComponentSpec, Config, ConfigError, Node, NodeValue, Role, Span,
    common::{BufferConfig, Healthcheck},
    nearest,
};
use qd_logs_model::{
    Catalog, EventKind, Globals, InputKinds, LogSchema, OutputPort, ProxySettings, Resource, SinkConfig, SourceConfig,
    TransformConfig,
};
use vrl::path::OwnedValuePath;

use crate::{Error, unsupported};

/// A way out of a component: its id and the port's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId {
    /// The component.
    pub component: Arc<str>,
    /// The port; `None` is the default one.
    pub port: Option<Arc<str>>,
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            Some(port) => write!(f, "{}.{port}", self.component),
            None => f.write_str(&self.component),
        }
    }
}

impl From<&qd_logs_config::OutputId> for OutputId {
    fn from(id: &qd_logs_config::OutputId) -> OutputId {
        OutputId {
            component: Arc::from(id.component.as_str()),
            port: id.port.as_deref().map(Arc::from),
        }
    }
}

/// Where the events of a component come from: an output of another one, as `id` or `id.port`.
pub type Inputs = Vec<OutputId>;

/// What all components of a plan have.
#[derive(Debug, Clone)]
pub struct Common {
    /// Its id.
    pub id: Arc<str>,
    /// The name of its `type`.
    pub kind: String,
    /// Its own keys, by which a reload sees whether it has changed.
    pub node: Node,
}

/// A source that can be made.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Id, type and keys.
    pub common: Common,
    /// Makes it.
    pub config: Arc<dyn SourceConfig>,
    /// Whether a sink behind it acknowledges end to end.
    pub acknowledgements: bool,
    /// Its proxies.
    pub proxy: Arc<ProxySettings>,
}

/// A transform that can be made.
#[derive(Debug, Clone)]
pub struct TransformPlan {
    /// Id, type and keys.
    pub common: Common,
    /// Makes it.
    pub config: Arc<dyn TransformConfig>,
    /// Where its events come from.
    pub inputs: Inputs,
}

/// A sink that can be made.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// Id, type and keys.
    pub common: Common,
    /// Makes it.
    pub config: Arc<dyn SinkConfig>,
    /// Where its events come from.
    pub inputs: Inputs,
    /// What stands before it.
    pub buffer: BufferConfig,
    /// Whether and how it is probed.
    pub healthcheck: Healthcheck,
    /// Its proxies.
    pub proxy: Arc<ProxySettings>,
}

/// A pipeline that can be started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What all components share.
    pub globals: Arc<Globals>,
    /// The sources.
    pub sources: IndexMap<Arc<str>, SourcePlan>,
    /// The transforms, each after those that it takes events from.
    pub transforms: IndexMap<Arc<str>, TransformPlan>,
    /// The sinks.
    pub sinks: IndexMap<Arc<str>, SinkPlan>,
    /// Whether sinks are probed at the start.
    pub healthchecks: bool,
    /// Whether a probe that fails ends the start.
    pub require_healthy: bool,
    /// What is odd but works, for a person to read.
    pub warnings: Vec<ConfigError>,
}

impl Plan {
    /// A plan without components, to be filled by hand and [`Plan::check`]ed.
    pub fn empty(globals: Globals) -> Plan {
        Plan {
            globals: Arc::new(globals),
            sources: IndexMap::new(),
            transforms: IndexMap::new(),
            sinks: IndexMap::new(),
            healthchecks: true,
            require_healthy: false,
            warnings: Vec::new(),
        }
    }

    /// Reads every component of a configuration and wires them.
    ///
    /// # Errors
    /// Every finding: types that do not exist or are not supported, options that cannot be read, inputs that nobody
    /// puts out or of the wrong kind, cycles, resources that two components claim.
    pub fn new(config: &Config, catalog: &Catalog) -> Result<Plan, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut plan = Plan::empty(globals_of(config, &mut errors));
        plan.healthchecks = config.globals.healthchecks.enabled;
        plan.require_healthy = config.globals.healthchecks.require_healthy;
        for spec in config.sources.values() {
            let Some(parsed) = parse(&catalog.sources, spec, &mut errors) else {
                continue;
            };
            let common = common(spec);
            plan.sources.insert(
                common.id.clone(),
                SourcePlan {
                    common,
                    config: parsed,
                    acknowledgements: false,
                    proxy: proxy(&config.globals.proxy.with(&spec.proxy)),
                },
            );
        }
        for spec in config.transforms.values() {
            if let Some(t) = parse_transform(catalog, spec, &mut errors) {
                plan.transforms.insert(t.common.id.clone(), t);
            }
        }
        for spec in config.sinks.values() {
            let Some(parsed) = parse(&catalog.sinks, spec, &mut errors) else {
                continue;
            };
            let common = common(spec);
            let options = spec.sink.clone().unwrap_or_default();
            plan.sinks.insert(
                common.id.clone(),
                SinkPlan {
                    common,
                    config: parsed,
                    inputs: Vec::new(),
                    buffer: options.buffer,
                    healthcheck: options.healthcheck,
                    proxy: proxy(&config.globals.proxy.with(&spec.proxy)),
                },
            );
        }
        // A component that could not be read has unknown outputs; wiring would only report its absence again.
        if errors.is_empty() {
            plan.wire(config, &mut errors);
        }
        if errors.is_empty() {
            let acknowledging: Vec<Arc<str>> = config
                .sinks
                .values()
                .filter(|s| config.acknowledges(s))
                .map(|s| Arc::from(s.id.as_str()))
                .collect();
            plan.acknowledge(&acknowledging);
            if let Err(more) = plan.check() {
                errors.extend(more.into_iter().map(|e| place(config, e)));
            }
        }
        if errors.is_empty() { Ok(plan) } else { Err(errors) }
    }

    fn wire(&mut self, config: &Config, errors: &mut Vec<ConfigError>) {
        let ports = |spec: &ComponentSpec| -> Result<Vec<Option<String>>, ConfigError> {
            let id = spec.id.as_str();
            let outputs = match spec.role {
                Role::Source => self.sources.get(id).map(|s| s.config.outputs()),
                _ => self.transforms.get(id).map(|t| t.config.outputs()),
            };
            Ok(outputs.unwrap_or_default().into_iter().map(|o| o.name).collect())
        };
        let graph = match qd_logs_config::resolve(config, &ports) {
            Ok(graph) => graph,
            Err(found) => {
                errors.extend(found);
                return;
            }
        };
        self.warnings.extend(graph.warnings().iter().cloned());
        let inputs = |id: &str| -> Inputs { graph.inputs_of(id).map(OutputId::from).collect() };
        for (id, t) in &mut self.transforms {
            t.inputs = inputs(id);
        }
        for (id, s) in &mut self.sinks {
            s.inputs = inputs(id);
        }
    }

    /// Every output, with the kinds of events that come out of it, sources first.
    pub fn outputs(&self) -> Vec<(OutputId, Vec<EventKind>)> {
        let mut all = Vec::new();
        let mut add = |id: &Arc<str>, ports: Vec<OutputPort>| {
            for port in ports {
                all.push((
                    OutputId {
                        component: id.clone(),
                        port: port.name.map(Arc::from),
                    },
                    port.kinds,
                ));
            }
        };
        for (id, s) in &self.sources {
            add(id, s.config.outputs());
        }
        for (id, t) in &self.transforms {
            add(id, t.config.outputs());
        }
        all
    }

    /// Says which sources have an acknowledging sink behind them.
    pub fn acknowledge(&mut self, sinks: &[Arc<str>]) {
        let mut todo: Vec<Arc<str>> = Vec::new();
        let mut seen: Vec<Arc<str>> = Vec::new();
        for sink in sinks {
            if let Some(s) = self.sinks.get(sink) {
                todo.extend(s.inputs.iter().map(|i| i.component.clone()));
            }
        }
        while let Some(id) = todo.pop() {
            if seen.contains(&id) {
                continue;
            }
            if let Some(t) = self.transforms.get(&id) {
                todo.extend(t.inputs.iter().map(|i| i.component.clone()));
            }
            if let Some(s) = self.sources.get_mut(&id) {
                s.acknowledgements = true;
            }
            seen.push(id);
        }
    }

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
        let mut ready: std::collections::VecDeque<Arc<str>> =
            rest.keys().filter(|id| waiting.get(*id) == Some(&0)).cloned().collect();
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

/// Whether `text` matches a pattern in which `*` stands for any text and `?` for one character.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < t.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || t.get(j) == Some(c) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((si, sj)) => {
                    star = Some((si, sj + 1));
                    i = si + 1;
                    j = sj + 1;
                }
                None => return false,
            },
        }
    }
    p.get(i..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

/// Reads a transform; its inputs are not known yet.
pub(crate) fn parse_transform(
    catalog: &Catalog,
    spec: &ComponentSpec,
    errors: &mut Vec<ConfigError>,
) -> Option<TransformPlan> {
    let config = parse(&catalog.transforms, spec, errors)?;
    Some(TransformPlan {
        common: common(spec),
        config,
        inputs: Vec::new(),
    })
}

fn common(spec: &ComponentSpec) -> Common {
    Common {
        id: Arc::from(spec.id.as_str()),
        kind: spec.kind.clone(),
        node: spec.node.clone(),
    }
}

fn parse<T: ?Sized>(
    entries: &[qd_logs_model::Entry<T>],
    spec: &ComponentSpec,
    errors: &mut Vec<ConfigError>,
) -> Option<Arc<T>> {
    let section = spec.role.section();
    let id = spec.id.as_str();
    let Some(entry) = entries.iter().find(|e| e.name == spec.kind) else {
        let mut error = if unsupported::is_known(spec.role, &spec.kind) {
            ConfigError::new(format!(
                "unsupported type `{}`: Vector has such a {}, this pipeline does not",
                spec.kind,
                spec.role.word()
            ))
        } else {
            let known = entries.iter().map(|e| e.name).chain(unsupported::names(spec.role));
            ConfigError::new(format!(
                "unknown type `{}` of the {} `{id}`",
                spec.kind,
                spec.role.word()
            ))
            .suggest(nearest(&spec.kind, known))
        };
        error.path = vec![section.to_owned(), id.to_owned(), "type".to_owned()];
        errors.push(error.at(spec.kind_span.or(spec.span)));
        return None;
    };
    match (entry.parse)(&spec.node) {
        Ok(parsed) => Some(Arc::from(parsed)),
        Err(mut e) => {
            e.path.splice(0..0, [section.to_owned(), id.to_owned()]);
            errors.push(e.at(spec.span));
            None
        }
    }
}

/// Gives a finding about a whole component the place of that component.
fn place(config: &Config, error: ConfigError) -> ConfigError {
    let span: Option<Span> = error.path.get(1).and_then(|id| config.component(id)).and_then(|spec| {
        match error.path.get(2).map(String::as_str) {
            Some("inputs") => spec.inputs.first().and_then(|i| i.span).or(spec.key_span),
            _ => spec.key_span.or(spec.span),
        }
    });
    error.at(span)
}

fn proxy(p: &qd_logs_config::common::ProxyConfig) -> Arc<ProxySettings> {
    Arc::new(ProxySettings {
        enabled: p.enabled,
        http: p.http.clone(),
        https: p.https.clone(),
        no_proxy: p.no_proxy.clone(),
    })
}

pub(crate) fn globals_of(config: &Config, errors: &mut Vec<ConfigError>) -> Globals {
    let g = &config.globals;
    let mut key = |name: &str, text: &str| -> Option<OwnedValuePath> {
        if text.is_empty() {
            return None;
        }
        // A leading dot is how paths into an event are mostly written.
        match vrl::path::parse_value_path(text.strip_prefix('.').unwrap_or(text)) {
            Ok(path) => Some(path),
            Err(_) => {
                let mut e = ConfigError::new(format!("`{text}` is not a path to a field"));
                e.path = vec!["log_schema".to_owned(), name.to_owned()];
                errors.push(e);
                None
            }
        }
    };
    let log_schema = LogSchema {
        message_key: key("message_key", &g.log_schema.message_key)
            .unwrap_or_else(|| OwnedValuePath::single_field("message")),
        timestamp_key: key("timestamp_key", &g.log_schema.timestamp_key),
        host_key: key("host_key", &g.log_schema.host_key),
        source_type_key: key("source_type_key", &g.log_schema.source_type_key),
        metadata_key: key("metadata_key", &g.log_schema.metadata_key),
    };
    Globals {
        data_dir: g.data_dir.clone(),
        timezone: g.timezone.clone(),
        log_schema,
        hostname: hostname(),
        proxy: proxy(&g.proxy),
    }
}

/// The machine's name; `localhost` where it cannot be known.
pub fn hostname() -> Arc<str> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => Arc::from("localhost"),
        text => Arc::from(text),
    }
}

/// Whether two trees say the same, wherever they stand and in whatever order their keys are.
pub fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (NodeValue::Table(x), NodeValue::Table(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| b.get(&k.name).is_some_and(|w| same(v, w)))
        }
        (NodeValue::Array(x), NodeValue::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        (x, y) => x == y,
    }
}

impl From<Vec<ConfigError>> for Error {
    fn from(errors: Vec<ConfigError>) -> Error {
        Error::Config(errors)
    }
}
