//! `remap`: changes events by a VRL program.

use std::{path::PathBuf, sync::Arc};

use qd_logs_model::{
    Batch, BuildError, Context, EventKind, Finalizers, InputKinds, LogBatch, LogEvent, LogSchema, Metric, MetricBatch,
    OutputPort, Rows, TagValue, Telemetry, Transform, TransformConfig, TransformOut, Value, telemetry::Intent,
};
use vrl::value::ObjectMap;

use super::{Seldom, events, metrics, yes};
use crate::{
    Program, RunError, TagMode,
    fast::{Part, Plan},
    program::{Options, split_root},
};

/// The configuration of `remap`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemapConfig {
    source: Option<String>,
    file: Option<PathBuf>,
    files: Option<Vec<PathBuf>>,
    #[serde(default)]
    metric_tag_values: TagMode,
    timezone: Option<String>,
    #[serde(default)]
    drop_on_error: bool,
    #[serde(default = "yes")]
    drop_on_abort: bool,
    #[serde(default)]
    reroute_dropped: bool,
    #[serde(default)]
    #[expect(dead_code, reason = "there is one runtime; the key is checked and that is all")]
    runtime: RuntimeName,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum RuntimeName {
    #[default]
    Ast,
}

impl RemapConfig {
    fn program(&self) -> Result<(String, &'static str), BuildError> {
        let read = |path: &PathBuf, key| {
            std::fs::read_to_string(path)
                .map_err(|e| BuildError::of(key, format!("can't read the VRL program {}: {e}", path.display())))
        };
        match (&self.source, &self.file, &self.files) {
            (Some(source), None, None) => Ok((source.clone(), "source")),
            (None, Some(path), None) => Ok((read(path, "file")?, "file")),
            (None, None, Some(paths)) => {
                let mut all = String::new();
                for p in paths {
                    all.push_str(&read(p, "files")?);
                    all.push('\n');
                }
                Ok((all, "files"))
            }
            _ => Err(BuildError::new(
                "must provide exactly one of `source` or `file` or `files` configuration",
            )),
        }
    }
}

impl TransformConfig for RemapConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn outputs(&self) -> Vec<OutputPort> {
        let port = |name: Option<&str>| OutputPort {
            name: name.map(str::to_owned),
            kinds: Vec::new(),
        };
        let dropped = self.reroute_dropped.then(|| port(Some("dropped")));
        [port(None)].into_iter().chain(dropped).collect()
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let (source, key) = self.program()?;
        let mut options = Options::of(&cx.globals);
        if let Some(zone) = &self.timezone {
            crate::program::timezone(Some(zone)).map_err(|e| BuildError::of("timezone", e))?;
            options.timezone = Some(zone.clone());
        }
        let program = Program::compile(&source, &options).map_err(|e| BuildError::of(key, e.0))?;
        if let Some(w) = program.warnings() {
            cx.log.say(
                qd_core::Severity::Warn,
                format!("VRL compilation warning: {w}"),
                Vec::new(),
            );
        }
        Ok(Box::new(Remap {
            plan: Plan::recognise(&source),
            vrl: Vrl {
                program,
                drop_on_error: self.drop_on_error,
                drop_on_abort: self.drop_on_abort,
                reroute_dropped: self.reroute_dropped,
                tags: self.metric_tag_values,
                schema: cx.globals.log_schema.clone(),
                id: cx.id,
                say: Seldom::new(cx.log),
                telemetry: cx.telemetry,
            },
        }))
    }
}

struct Remap {
    plan: Option<Plan>,
    vrl: Vrl,
}

struct Vrl {
    program: Program,
    drop_on_error: bool,
    drop_on_abort: bool,
    reroute_dropped: bool,
    tags: TagMode,
    schema: LogSchema,
    id: Arc<str>,
    say: Seldom,
    telemetry: Telemetry,
}

/// What becomes of an event on which the program failed.
enum Fate {
    /// It goes on as it was.
    Kept,
    /// It goes to the port of dropped events.
    Rerouted,
    Dropped,
}

impl Transform for Remap {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        match batch {
            Batch::Logs(b) => self.logs(b, out),
            Batch::Metrics(b) => self.vrl.metrics(b, out),
        }
    }
}

impl Remap {
    fn logs(&mut self, batch: LogBatch, out: &mut TransformOut) {
        let (kind, finalizers) = (batch.kind, batch.finalizers.clone());
        let (mut done, mut dropped) = (Vec::new(), Vec::new());
        if let Some(plan) = &self.plan {
            let vrl = &mut self.vrl;
            let ran = plan.run(&batch.rows, |part| match part {
                Part::Done(docs) => {
                    out.push(events(std::mem::take(&mut done), kind, finalizers.clone()));
                    out.push(Batch::Logs(LogBatch {
                        rows: Rows::Docs(docs),
                        kind,
                        finalizers: finalizers.clone(),
                    }));
                }
                Part::Left(i) => vrl.log(LogEvent::new(batch.value(i)), kind, &mut done, &mut dropped),
            });
            if ran.is_some() {
                self.send(done, dropped, kind, finalizers, out);
                return;
            }
        }
        let (all, finalizers) = batch.into_events();
        done.reserve(all.len());
        for event in all {
            self.vrl.log(event, kind, &mut done, &mut dropped);
        }
        self.send(done, dropped, kind, finalizers, out);
    }

    fn send(
        &mut self,
        done: Vec<LogEvent>,
        dropped: Vec<LogEvent>,
        kind: EventKind,
        finalizers: Finalizers,
        out: &mut TransformOut,
    ) {
        if !dropped.is_empty() {
            out.push_to(1, events(dropped, kind, finalizers.clone()));
        }
        out.push(events(done, kind, finalizers));
    }
}

impl Vrl {
    fn log(&mut self, event: LogEvent, kind: EventKind, done: &mut Vec<LogEvent>, dropped: &mut Vec<LogEvent>) {
        let needed = (self.program.fallible() && (!self.drop_on_error || self.reroute_dropped))
            || (self.program.abortable() && (!self.drop_on_abort || self.reroute_dropped));
        let original = needed.then(|| event.clone());
        let mut event = event;
        match self.program.run(&mut event) {
            Ok(_) => split_root(event, &self.schema.message_key, done),
            Err(e) => match (self.failed(&e), original) {
                (Fate::Kept, Some(original)) => done.push(original),
                (Fate::Rerouted, Some(mut original)) => {
                    if let Some(key) = &self.schema.metadata_key {
                        let why = self.why(&e);
                        let key = match kind {
                            EventKind::Trace => key.clone(),
                            _ => key.with_field_appended("dropped"),
                        };
                        original.value.insert(&key, why);
                    }
                    dropped.push(original);
                }
                _ => {}
            },
        }
    }

    fn metrics(&mut self, batch: MetricBatch, out: &mut TransformOut) {
        let (mut done, mut dropped) = (Vec::with_capacity(batch.metrics.len()), Vec::new());
        for mut metric in batch.metrics {
            let original = metric.clone();
            match self.program.run_metric(&mut metric, self.tags) {
                Ok(_) => done.push(metric),
                Err(e) => match self.failed(&e) {
                    Fate::Kept => done.push(original),
                    Fate::Rerouted => {
                        let mut original = original;
                        self.annotate(&mut original, &e);
                        dropped.push(original);
                    }
                    Fate::Dropped => {}
                },
            }
        }
        if !dropped.is_empty() {
            out.push_to(1, metrics(dropped, batch.finalizers.clone()));
        }
        out.push(metrics(done, batch.finalizers));
    }

    fn annotate(&self, metric: &mut Metric, e: &RunError) {
        let Some(key) = &self.schema.metadata_key else {
            return;
        };
        for (name, value) in [
            ("reason", reason(e)),
            ("component_id", &*self.id),
            ("component_type", "remap"),
            ("component_kind", "transform"),
        ] {
            metric
                .tags
                .insert(format!("{key}.dropped.{name}"), TagValue::One(value.to_owned()));
        }
    }

    fn why(&self, e: &RunError) -> Value {
        let text = |s: &str| Value::from(s);
        Value::Object(ObjectMap::from([
            ("reason".into(), text(reason(e))),
            ("message".into(), text(&e.reason)),
            ("component_id".into(), text(&self.id)),
            ("component_type".into(), text("remap")),
            ("component_kind".into(), text("transform")),
        ]))
    }

    /// Counts and tells a failure, and says what becomes of the event.
    fn failed(&mut self, e: &RunError) -> Fate {
        let drop = if e.aborted {
            self.drop_on_abort
        } else {
            self.drop_on_error
        };
        if !self.reroute_dropped {
            if !e.aborted {
                self.telemetry.error("conversion_failed", "processing");
                self.say.error(|| format!("Mapping failed with event: {}", e.message));
            }
            if drop {
                let intent = if e.aborted {
                    Intent::Intended
                } else {
                    Intent::Unintended
                };
                self.telemetry.discarded(1, intent);
            }
        }
        match (drop, self.reroute_dropped) {
            (false, _) => Fate::Kept,
            (true, true) => Fate::Rerouted,
            (true, false) => Fate::Dropped,
        }
    }
}

fn reason(e: &RunError) -> &'static str {
    if e.aborted { "abort" } else { "error" }
}
