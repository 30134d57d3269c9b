//! From a configuration to components that can be made: types found in the catalogue, options read, inputs resolved.
//!
//! A [`Plan`] is all that a start or a reload needs and nothing that runs. Everything that can be known to be wrong
//! without touching the machine is found here, all of it at once and each with its place. Two plans are compared
//! component by component to learn what a reload has to change.

mod check;
mod read;

use std::{fmt, sync::Arc};

use indexmap::IndexMap;
use qd_logs_config::{
    ComponentSpec, Config, ConfigError, Node, Role,
    common::{BufferConfig, Healthcheck},
};
use qd_logs_model::{
    BuildError, Catalog, EventKind, Globals, OutputPort, ProxySettings, SinkConfig, SourceConfig, TransformConfig,
};

pub(crate) use self::read::strangers;
use self::read::{common, parse, place, proxy};
pub use self::read::{hostname, same};
pub(crate) use self::{
    check::conflict,
    read::{globals_of, parse_transform},
};
use crate::{
    Error,
    tables::{self, LoadedTables, TablePlan},
};

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
    /// The enrichment tables.
    pub tables: IndexMap<String, TablePlan>,
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
            tables: IndexMap::new(),
            sources: IndexMap::new(),
            transforms: IndexMap::new(),
            sinks: IndexMap::new(),
            healthchecks: true,
            require_healthy: false,
            warnings: Vec::new(),
        }
    }

    /// What kept a component from being made, as a finding in its file: the deepest of the keys that it names.
    pub fn place(&self, component: &str, error: &BuildError) -> ConfigError {
        let of = |section: &str, common: &Common| {
            let mut path = vec![section.to_owned(), component.to_owned()];
            let mut node = &common.node;
            for key in &error.path {
                path.push(key.clone());
                if let Some(inner) = node.get(key) {
                    node = inner;
                }
            }
            let mut found = ConfigError::new(format!("component `{component}` cannot be made: {error}")).at(node.span);
            found.path = path;
            found
        };
        if let Some(s) = self.sources.get(component) {
            return of("sources", &s.common);
        }
        if let Some(t) = self.transforms.get(component) {
            return of("transforms", &t.common);
        }
        match self.sinks.get(component) {
            Some(s) => of("sinks", &s.common),
            None => ConfigError::new(format!("component `{component}` cannot be made: {error}")),
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
        plan.tables = tables::read(config, &mut errors);
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

    /// Loads the enrichment tables. Blocks while their files are read.
    ///
    /// # Errors
    /// A file that cannot be read, or a cell that is not of its column's type.
    pub fn load_tables(&self) -> Result<LoadedTables, Error> {
        LoadedTables::load(&self.tables, &self.globals)
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

impl From<Vec<ConfigError>> for Error {
    fn from(errors: Vec<ConfigError>) -> Error {
        Error::Config(errors)
    }
}
