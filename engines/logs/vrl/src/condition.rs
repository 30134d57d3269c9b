//! Conditions: programs that only read and say true or false, and the tests for the kind of an event.

use std::sync::Arc;

use qd_logs_config::{Node, NodeValue};
use qd_logs_model::{Batch, BuildError, EventKind, Globals, LogBatch, LogEvent, Metadata, Metric, Telemetry, Value};

use crate::{
    Program, RunError, TagMode,
    fast::Test,
    target::{MetricTarget, ReadTarget},
};

/// Something an event meets or not.
#[derive(Debug, Clone)]
pub struct Condition(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    IsLog,
    IsMetric,
    IsTrace,
    Vrl(Box<Vrl>),
}

#[derive(Debug)]
struct Vrl {
    program: Program,
    native: Option<Test>,
}

/// Reads and compiles a condition: text is VRL; a table has `type` (`vrl` with `source`, `is_log`, `is_metric`,
/// `is_trace`).
///
/// # Errors
/// Unknown types and keys, `datadog_search` (its language is not ours), VRL's diagnostics, and programs that don't
/// return a boolean.
pub fn compile_condition(node: &Node, _globals: &Globals) -> Result<Condition, BuildError> {
    match &node.value {
        NodeValue::String(source) => Condition::vrl(source),
        NodeValue::Table(entries) => {
            let kind = node
                .get("type")
                .and_then(Node::as_str)
                .ok_or_else(|| BuildError::of("type", "a condition's table needs a `type`, such as `vrl`"))?;
            let only = |keys: &[&str]| match entries
                .iter()
                .find(|(k, _)| k.name != "type" && !keys.contains(&k.name.as_str()))
            {
                Some((k, _)) => Err(BuildError::of(
                    &k.name,
                    format!("unknown key `{}` of a condition", k.name),
                )),
                None => Ok(()),
            };
            match kind {
                "vrl" => {
                    only(&["source", "runtime"])?;
                    if node.get("runtime").is_some_and(|n| n.as_str() != Some("ast")) {
                        return Err(BuildError::of("runtime", "the only runtime is `ast`"));
                    }
                    let source = node
                        .get("source")
                        .and_then(Node::as_str)
                        .ok_or_else(|| BuildError::of("source", "a `vrl` condition needs its `source`"))?;
                    Condition::vrl(source).map_err(|e| BuildError::of("source", e.message))
                }
                "is_log" => only(&[]).map(|()| Condition(Arc::new(Kind::IsLog))),
                "is_metric" => only(&[]).map(|()| Condition(Arc::new(Kind::IsMetric))),
                "is_trace" => only(&[]).map(|()| Condition(Arc::new(Kind::IsTrace))),
                "datadog_search" => Err(BuildError::of(
                    "type",
                    "conditions of type `datadog_search` are not supported; write the condition in VRL",
                )),
                other => Err(BuildError::of(
                    "type",
                    format!(
                        "unknown type `{other}` of a condition, expected `vrl`, `is_log`, `is_metric` or `is_trace`"
                    ),
                )),
            }
        }
        _ => Err(BuildError::new(format!("expected a condition, found {}", node.kind()))),
    }
}

impl Condition {
    /// A condition in VRL.
    ///
    /// # Errors
    /// VRL's diagnostics, and programs that don't return a boolean.
    pub fn vrl(source: &str) -> Result<Condition, BuildError> {
        let program = Program::compile_condition(source).map_err(|e| BuildError::new(e.0))?;
        let native = Test::recognise(source);
        Ok(Condition(Arc::new(Kind::Vrl(Box::new(Vrl { program, native })))))
    }

    /// Whether a log event meets it; one on which the program fails does not.
    pub fn check(&self, event: &LogEvent) -> bool {
        self.try_check(event, EventKind::Log).unwrap_or(false)
    }

    /// Whether an event (of `kind` log or trace) meets it.
    ///
    /// # Errors
    /// Why the program came to no result.
    pub fn try_check(&self, event: &LogEvent, kind: EventKind) -> Result<bool, RunError> {
        self.try_value(&event.value, &event.metadata, kind)
    }

    fn try_value(&self, value: &Value, metadata: &Metadata, kind: EventKind) -> Result<bool, RunError> {
        match &*self.0 {
            Kind::IsLog => Ok(kind == EventKind::Log),
            Kind::IsTrace => Ok(kind == EventKind::Trace),
            Kind::IsMetric => Ok(kind == EventKind::Metric),
            Kind::Vrl(vrl) => vrl
                .program
                .read(&mut ReadTarget { value, metadata })
                .map(|v| v == Value::Boolean(true)),
        }
    }

    /// Whether a metric meets it.
    ///
    /// # Errors
    /// Why the program came to no result.
    pub fn try_check_metric(&self, metric: &Metric) -> Result<bool, RunError> {
        match &*self.0 {
            Kind::IsLog | Kind::IsTrace => Ok(false),
            Kind::IsMetric => Ok(true),
            Kind::Vrl(vrl) => {
                // Conditions can't write, so the copy is only there to satisfy the target.
                let mut copy = metric.clone();
                vrl.program
                    .resolve(
                        &mut Default::default(),
                        &mut MetricTarget::new(&mut copy, TagMode::Single),
                    )
                    .map(|v| v == Value::Boolean(true))
            }
        }
    }

    /// Whether event `i` of a batch meets it, without changing the batch's form where the condition can be read off the
    /// text. A failure counts as an error of processing, and as no.
    pub fn check_row(&self, batch: &LogBatch, i: usize, telemetry: &Telemetry) -> bool {
        if let Kind::Vrl(vrl) = &*self.0
            && let Some(test) = &vrl.native
            && let Some(answer) = test.check(batch, i)
        {
            return answer;
        }
        let result = match &batch.rows {
            qd_logs_model::Rows::Events(events) => match events.get(i) {
                Some(e) => self.try_check(e, batch.kind),
                None => Ok(false),
            },
            _ => self.try_value(&batch.value(i), &Metadata::default(), batch.kind),
        };
        counted(result, telemetry)
    }

    /// Whether a metric meets it; a failure counts as an error of processing, and as no.
    pub fn check_metric(&self, metric: &Metric, telemetry: &Telemetry) -> bool {
        counted(self.try_check_metric(metric), telemetry)
    }

    /// Whether each event of a batch meets it, in order.
    pub fn check_batch(&self, batch: &Batch, telemetry: &Telemetry) -> Vec<bool> {
        match batch {
            Batch::Logs(b) => (0..b.len()).map(|i| self.check_row(b, i, telemetry)).collect(),
            Batch::Metrics(b) => b.metrics.iter().map(|m| self.check_metric(m, telemetry)).collect(),
        }
    }
}

fn counted(result: Result<bool, RunError>, telemetry: &Telemetry) -> bool {
    result.unwrap_or_else(|_why| {
        telemetry.error("script_failed", "processing");
        false
    })
}
