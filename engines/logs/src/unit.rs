//! Unit tests of a configuration (`tests:`): events put in before transforms, and what must come out.
//!
//! Only transforms are made, anew for each test, and no timers run: the inputs go in one after the other in the order
//! of the file, then every transform is told the end in the order of the data, so that what is held back comes out.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    sync::atomic::AtomicBool,
};

use chrono::Utc;
use qd_logs_config::{ComponentSpec, Config, ConfigError, Node, NodeValue, Role, TestInput, TestInputKind, TestSpec};
use qd_logs_model::{
    Batch, Catalog, Context, EventKind, InternalLog, LogBatch, LogEvent, Metric, MetricBatch, Telemetry, Transform,
    TransformOut, Value,
};
use qd_logs_vrl::{Condition, Program, compile_condition, program};
use vrl::compiler::prelude::NotNan;

use crate::{
    OutputId, Plan, metric_json,
    plan::{TransformPlan, globals_of, parse_transform},
};

/// Events shown for a condition that none of them meets.
const SHOWN: usize = 20;

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// What was wrong, a paragraph each; empty if it passed.
    pub errors: Vec<String>,
    /// Events of outputs without conditions, for a person to look at.
    pub inspections: Vec<String>,
}

impl TestResult {
    /// Whether all that was expected came.
    pub fn passed(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Runs all tests of a configuration.
///
/// # Errors
/// What is wrong with the configuration itself: transforms that cannot be read, connections, outputs that do not exist.
pub fn run_tests(config: &Config, catalog: &Catalog) -> Result<Vec<TestResult>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let globals = globals_of(config, &mut errors);
    let mut plan = Plan::empty(globals);
    plan.tables = crate::tables::read(config, &mut errors);
    for spec in config.transforms.values() {
        if let Some(t) = parse_transform(catalog, spec, &mut errors) {
            plan.transforms.insert(t.common.id.clone(), t);
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let ports = |spec: &ComponentSpec| -> Result<Vec<Option<String>>, ConfigError> {
        Ok(match (spec.role, plan.transforms.get(spec.id.as_str())) {
            (Role::Transform, Some(t)) => t.config.outputs().into_iter().map(|o| o.name).collect(),
            // Nothing comes from sources in a test; their default output is enough to connect to.
            _ => vec![None],
        })
    };
    let graph = qd_logs_config::resolve_for_tests(config, &ports)?;
    let mut inputs: HashMap<Arc<str>, Vec<OutputId>> = HashMap::new();
    for id in plan.transforms.keys() {
        inputs.insert(id.clone(), graph.inputs_of(id).map(OutputId::from).collect());
    }
    let order: Vec<Arc<str>> = graph
        .order()
        .iter()
        .filter_map(|id| plan.transforms.get_key_value(id.as_str()).map(|(k, _)| k.clone()))
        .collect();
    let tables = plan
        .load_tables()
        .map_err(|e| vec![ConfigError::new(e.to_string()).within("enrichment_tables")])?;
    let results = || config.tests.iter().map(|t| run(t, &plan, &order, &inputs)).collect();
    Ok(tables.within(results))
}

/// A transform with its outputs.
type Made = (Box<dyn Transform>, Vec<OutputId>);

/// The transforms of one test.
struct Bench {
    transforms: HashMap<Arc<str>, Made>,
    readers: HashMap<OutputId, Vec<Arc<str>>>,
    seen: HashMap<OutputId, Vec<Batch>>,
}

impl Bench {
    /// Makes the transforms that the inputs can reach; the others have nothing to do with the test.
    fn new(test: &TestSpec, plan: &Plan, inputs: &HashMap<Arc<str>, Vec<OutputId>>) -> Result<Bench, String> {
        let mut reached: HashSet<Arc<str>> = test.all_inputs().map(|i| Arc::from(i.insert_at.as_str())).collect();
        loop {
            let more: Vec<Arc<str>> = inputs
                .iter()
                .filter(|(id, from)| !reached.contains(*id) && from.iter().any(|o| reached.contains(&o.component)))
                .map(|(id, _)| id.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let mut bench = Bench {
            transforms: HashMap::new(),
            readers: HashMap::new(),
            seen: HashMap::new(),
        };
        let log = InternalLog::new();
        let telemetry = Telemetry::new();
        for (id, t) in &plan.transforms {
            if !reached.contains(id) {
                continue;
            }
            let cx = Context {
                id: id.clone(),
                globals: plan.globals.clone(),
                telemetry: telemetry.component(id, "transform", &t.common.kind),
                log: log.component(id),
                aborted: Arc::new(AtomicBool::new(false)),
                acknowledgements: false,
            };
            let made = t
                .config
                .build(cx)
                .map_err(|e| format!("Transform '{id}' could not be built: {}", e.message))?;
            bench.transforms.insert(id.clone(), (made, ports_of(id, t)));
        }
        for (id, from) in inputs {
            for output in from {
                bench.readers.entry(output.clone()).or_default().push(id.clone());
            }
        }
        Ok(bench)
    }

    fn drive(&mut self, id: &Arc<str>, work: impl FnOnce(&mut dyn Transform, &mut TransformOut)) -> Result<(), String> {
        let mut out = TransformOut::default();
        let Some((transform, _)) = self.transforms.get_mut(id) else {
            return Ok(());
        };
        std::panic::catch_unwind(AssertUnwindSafe(|| work(&mut **transform, &mut out)))
            .map_err(|p| format!("Transform '{id}' crashed: {}", crate::graph::panic_text(&*p)))?;
        for (port, batch) in out.0 {
            let output = self.transforms.get(id).and_then(|(_, ports)| ports.get(port).cloned());
            let Some(output) = output else { continue };
            let readers = self.readers.get(&output).cloned().unwrap_or_default();
            for reader in readers {
                self.feed(&reader, batch.clone())?;
            }
            self.seen.entry(output).or_default().push(batch);
        }
        Ok(())
    }

    fn feed(&mut self, id: &Arc<str>, batch: Batch) -> Result<(), String> {
        self.drive(id, |t, out| t.transform(batch, out))
    }

    fn events(&self, outputs: &[OutputId]) -> Vec<Event> {
        let batches = outputs.iter().filter_map(|o| self.seen.get(o)).flatten();
        let mut all = Vec::new();
        for batch in batches {
            match batch.clone() {
                Batch::Logs(logs) => {
                    let kind = logs.kind;
                    all.extend(logs.into_events().0.into_iter().map(|e| Event::Log(Box::new(e), kind)));
                }
                Batch::Metrics(m) => all.extend(m.metrics.into_iter().map(|m| Event::Metric(Box::new(m)))),
            }
        }
        all
    }
}

fn ports_of(id: &Arc<str>, t: &TransformPlan) -> Vec<OutputId> {
    let output = |port: qd_logs_model::OutputPort| OutputId {
        component: id.clone(),
        port: port.name.map(Arc::from),
    };
    t.config.outputs().into_iter().map(output).collect()
}

enum Event {
    Log(Box<LogEvent>, EventKind),
    Metric(Box<Metric>),
}

impl Event {
    fn text(&self) -> String {
        match self {
            Event::Log(e, _) => e.value.to_string(),
            Event::Metric(m) => metric_json::value(m).to_string(),
        }
    }

    fn meets(&self, condition: &Condition) -> Result<bool, String> {
        match self {
            Event::Log(e, kind) => condition.try_check(e, *kind),
            Event::Metric(m) => condition.try_check_metric(m),
        }
        .map_err(|e| e.to_string())
    }
}

fn run(test: &TestSpec, plan: &Plan, order: &[Arc<str>], inputs: &HashMap<Arc<str>, Vec<OutputId>>) -> TestResult {
    let mut result = TestResult {
        name: test.name.clone(),
        errors: Vec::new(),
        inspections: Vec::new(),
    };
    if let Err(e) = check(test, plan, order, inputs, &mut result) {
        result.errors.push(e);
    }
    result
}

fn check(
    test: &TestSpec,
    plan: &Plan,
    order: &[Arc<str>],
    inputs: &HashMap<Arc<str>, Vec<OutputId>>,
    result: &mut TestResult,
) -> Result<(), String> {
    let mut bench = Bench::new(test, plan, inputs)?;
    let known: HashSet<OutputId> = plan.transforms.iter().flat_map(|(id, t)| ports_of(id, t)).collect();
    for input in test.all_inputs() {
        let Some((id, _)) = plan.transforms.get_key_value(input.insert_at.as_str()) else {
            return Err(format!(
                "The input's `insert_at` names no transform: '{}'",
                input.insert_at
            ));
        };
        bench.feed(&id.clone(), event_of(input, plan)?)?;
    }
    for id in order {
        bench.drive(id, |t, out| t.finish(out))?;
    }
    let output = |name: &str| -> Result<OutputId, String> {
        known
            .iter()
            .find(|o| o.to_string() == name)
            .cloned()
            .ok_or_else(|| format!("No transform puts out '{name}'"))
    };
    for expected in &test.outputs {
        let names = &expected.extract_from.0;
        let from: Vec<OutputId> = names.iter().map(|n| output(n)).collect::<Result<_, _>>()?;
        let events = bench.events(&from);
        let names = names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ");
        if let Some(n) = expected.expected_event_count
            && n != events.len()
        {
            result.errors.push(format!(
                "checks for transforms [{names}] failed: expected {n} events, got {}",
                events.len()
            ));
        }
        let Some(conditions) = &expected.conditions else {
            if expected.expected_event_count.is_none() {
                let list: Vec<String> = events.iter().map(Event::text).collect();
                result
                    .inspections
                    .push(format!("events from [{names}]:\n  {}", list.join("\n  ")));
            }
            continue;
        };
        if events.is_empty() {
            if expected.expected_event_count != Some(0) {
                result.errors.push(format!(
                    "checks for transforms [{names}] failed: no events received; the transform dropped them or nothing leads to it"
                ));
            }
            continue;
        }
        check_conditions(conditions, &events, &names, plan, result);
    }
    for name in &test.no_outputs_from {
        let events = bench.events(&[output(name)?]);
        if let Some(first) = events.first() {
            result.errors.push(format!(
                "expected no outputs from transform {name:?}, got {}; the first: {}",
                events.len(),
                first.text()
            ));
        }
    }
    Ok(())
}

/// A check passes if each of its conditions is met by at least one event.
fn check_conditions(conditions: &[Node], events: &[Event], names: &str, plan: &Plan, result: &mut TestResult) {
    let mut compiled = Vec::new();
    for (i, node) in conditions.iter().enumerate() {
        match compile_condition(node, &plan.globals) {
            Ok(c) => compiled.push(c),
            Err(e) => result.errors.push(format!(
                "checks for transforms [{names}]: condition[{i}] is invalid: {}",
                e.message
            )),
        }
    }
    if compiled.len() < conditions.len() {
        return;
    }
    for (i, condition) in compiled.iter().enumerate() {
        let mut failures: Vec<String> = Vec::new();
        let mut met = false;
        for event in events {
            match event.meets(condition) {
                Ok(true) => {
                    met = true;
                    break;
                }
                Ok(false) => failures.push(format!("condition[{i}] was false\n    output: {}", event.text())),
                Err(e) => failures.push(format!("condition[{i}]: {e}\n    output: {}", event.text())),
            }
        }
        if !met {
            failures.truncate(SHOWN);
            result.errors.push(format!(
                "checks for transforms [{names}] failed: no event met condition[{i}]:\n    {}",
                failures.join("\n    ")
            ));
        }
    }
}

fn value_of(node: &Node) -> Value {
    match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(b) => Value::Boolean(*b),
        NodeValue::Int(i) => Value::Integer(*i),
        NodeValue::Float(f) => NotNan::new(*f).map_or(Value::Null, Value::Float),
        NodeValue::String(s) => Value::from(s.as_str()),
        NodeValue::Array(a) => Value::Array(a.iter().map(value_of).collect()),
        NodeValue::Table(t) => Value::Object(t.iter().map(|(k, v)| (k.name.as_str().into(), value_of(v))).collect()),
    }
}

fn json_of(node: &Node) -> serde_json::Value {
    match &node.value {
        NodeValue::Null => serde_json::Value::Null,
        NodeValue::Bool(b) => (*b).into(),
        NodeValue::Int(i) => (*i).into(),
        NodeValue::Float(f) => (*f).into(),
        NodeValue::String(s) => s.as_str().into(),
        NodeValue::Array(a) => a.iter().map(json_of).collect(),
        NodeValue::Table(t) => serde_json::Value::Object(t.iter().map(|(k, v)| (k.name.clone(), json_of(v))).collect()),
    }
}

fn event_of(input: &TestInput, plan: &Plan) -> Result<Batch, String> {
    let missing = |key: &str| format!("An input at '{}' has no `{key}`", input.insert_at);
    let schema = &plan.globals.log_schema;
    let mut value = Value::Object(Default::default());
    match input.kind {
        TestInputKind::Raw => {
            let text = input.value.as_ref().ok_or_else(|| missing("value"))?;
            value.insert(&schema.message_key, Value::from(text.as_str()));
            if let Some(key) = &schema.timestamp_key {
                value.insert(key, Value::Timestamp(Utc::now()));
            }
        }
        TestInputKind::Log => {
            let fields = input.log_fields.as_ref().ok_or_else(|| missing("log_fields"))?;
            if let Some(key) = &schema.timestamp_key {
                value.insert(key, Value::Timestamp(Utc::now()));
            }
            for (path, node) in fields {
                let path = vrl::path::parse_value_path(path.strip_prefix('.').unwrap_or(path))
                    .map_err(|_| format!("`{path}` in `log_fields` is not a path"))?;
                value.insert(&path, value_of(node));
            }
        }
        TestInputKind::Vrl => {
            let source = input.source.as_ref().ok_or_else(|| missing("source"))?;
            let program = Program::compile(source, &program::Options::of(&plan.globals)).map_err(|e| e.to_string())?;
            let mut event = LogEvent::new(value);
            program.run(&mut event).map_err(|e| e.to_string())?;
            return Ok(Batch::Logs(LogBatch::events(vec![event])));
        }
        TestInputKind::Metric => {
            let node = input.metric.as_ref().ok_or_else(|| missing("metric"))?;
            let metric = qd_logs_codecs::native::metric_from_json(json_of(node))?;
            return Ok(Batch::Metrics(MetricBatch {
                metrics: vec![metric],
                ..MetricBatch::default()
            }));
        }
    }
    Ok(Batch::Logs(LogBatch::events(vec![LogEvent::new(value)])))
}
