//! VRL programs: compiled once, run on each event.

use std::sync::Arc;

use qd_logs_model::{Globals, LogEvent, Metric, Value};
use vrl::{
    compiler::{
        CompileConfig, ExpressionError, Target, TimeZone, TypeState, compile_with_state,
        runtime::{Runtime, Terminate},
        state::ExternalEnv,
    },
    diagnostic::{DiagnosticList, Formatter, Note},
    path::OwnedTargetPath,
    value::Kind,
};

use crate::{
    enrichment, functions,
    target::{LogTarget, MetricTarget, ReadTarget, TagMode},
};

/// What is said of a program that only an older VRL takes.
const OLDER: &str = "warning: since VRL 0.38 to_unix_timestamp can fail in nanoseconds, and this program does not handle that: \
                     it ends there. to_unix_timestamp!(...) says the same without this warning.\n";

/// A program that does not compile. Displays as VRL's own diagnostics, with the lines they are about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub String);

/// A program that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// Whether the program itself called `abort`; else something failed.
    pub aborted: bool,
    /// VRL's words, with the place in the source.
    pub message: String,
    /// The message given to `abort`, or VRL's words: what Vector writes into rerouted events.
    pub reason: String,
}

impl From<Terminate> for RunError {
    fn from(t: Terminate) -> RunError {
        let aborted = matches!(t, Terminate::Abort(_));
        let error = t.get_expression_error();
        RunError {
            aborted,
            reason: user_message(&error).unwrap_or_else(|| error.to_string()),
            message: error.to_string(),
        }
    }
}

fn user_message(error: &ExpressionError) -> Option<String> {
    use vrl::diagnostic::DiagnosticMessage;
    error
        .notes()
        .iter()
        .rev()
        .find(|n| matches!(n, Note::UserErrorMessage(_)))
        .map(ToString::to_string)
}

/// What a program may do, and what it knows.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The zone of times without one; `None` is the machine's.
    pub timezone: Option<String>,
    /// Paths that can't be written; the flag says whether what is below them can't either.
    pub read_only: Vec<(OwnedTargetPath, bool)>,
    /// Whether `.` is known to be an object, as it is in a pipeline; else it may be anything.
    pub object: bool,
}

impl Options {
    /// What programs of a pipeline's transforms get.
    pub fn of(globals: &Globals) -> Options {
        Options {
            timezone: globals.timezone.clone(),
            object: true,
            ..Options::default()
        }
    }
}

/// A compiled program.
#[derive(Debug, Clone)]
pub struct Program {
    program: vrl::compiler::Program,
    source: Arc<str>,
    timezone: TimeZone,
    warnings: Option<String>,
}

/// Renders diagnostics with the lines they are about.
fn render(source: &str, diagnostics: DiagnosticList) -> String {
    Formatter::new(source, diagnostics).to_string().trim().to_owned()
}

/// Reads a zone's name as VRL does: one of the tz database or `local`.
///
/// # Errors
/// A sentence for a name that is neither.
pub fn timezone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        None => Ok(TimeZone::default()),
        Some(n) => TimeZone::parse(n)
            .ok_or_else(|| format!("unknown time zone `{n}`; give a name of the tz database, or `local`")),
    }
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// VRL's diagnostics, or an unknown time zone.
    pub fn compile(source: &str, options: &Options) -> Result<Program, CompileError> {
        let state = if options.object {
            TypeState {
                local: Default::default(),
                external: ExternalEnv::new_with_kind(
                    Kind::object(vrl::value::kind::Collection::any()),
                    Kind::object(vrl::value::kind::Collection::any()),
                ),
            }
        } else {
            TypeState::default()
        };
        let config = || {
            let mut config = CompileConfig::default();
            config.set_custom(enrichment::current());
            for (path, recursive) in &options.read_only {
                config.set_read_only_path(path.clone(), *recursive);
            }
            config
        };
        Program::with(source, options.timezone.as_deref(), &state, &config)
    }

    /// Compiles a condition: nothing can be written, and the result must be a boolean.
    pub(crate) fn compile_condition(source: &str) -> Result<Program, CompileError> {
        let config = || {
            let mut config = CompileConfig::default();
            config.set_custom(enrichment::current());
            config.set_read_only();
            config
        };
        let program = Program::with(source, None, &TypeState::default(), &config)?;
        if !program.program.final_type_info().result.is_boolean() {
            return Err(CompileError("VRL conditions must return a boolean.".to_owned()));
        }
        Ok(program)
    }

    /// Compiles with a state of types, for the REPL and tests. A program that only an older VRL takes is taken as that did,
    /// with a warning.
    pub(crate) fn with(
        source: &str,
        zone: Option<&str>,
        state: &TypeState,
        config: &dyn Fn() -> CompileConfig,
    ) -> Result<Program, CompileError> {
        let timezone = timezone(zone).map_err(CompileError)?;
        let mut remarks = String::new();
        let compiled = compile_with_state(source, &functions::all(), state, config()).or_else(|refused| {
            let refused = || CompileError(render(source, refused));
            if !functions::may_be_older(source) {
                return Err(refused());
            }
            let compiled = compile_with_state(source, &functions::older(), state, config()).map_err(|_| refused())?;
            remarks.push_str(OLDER);
            Ok(compiled)
        })?;
        if !compiled.warnings.is_empty() {
            remarks.push_str(&render(source, compiled.warnings));
        }
        let warnings = (!remarks.is_empty()).then_some(remarks);
        Ok(Program {
            program: compiled.program,
            source: source.into(),
            timezone,
            warnings,
        })
    }

    /// The source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What the compiler warns of, rendered like its errors.
    pub fn warnings(&self) -> Option<&str> {
        self.warnings.as_deref()
    }

    /// Whether the program can fail when it runs.
    pub fn fallible(&self) -> bool {
        self.program.info().fallible
    }

    /// Whether the program can call `abort`.
    pub fn abortable(&self) -> bool {
        self.program.info().abortable
    }

    /// VRL's own compiled form.
    pub fn inner(&self) -> &vrl::compiler::Program {
        &self.program
    }

    /// Runs on any target, with a runtime whose variables are kept.
    pub(crate) fn resolve(&self, runtime: &mut Runtime, target: &mut dyn Target) -> Result<Value, RunError> {
        runtime
            .resolve(target, &self.program, &self.timezone)
            .map_err(RunError::from)
    }

    /// Runs on a log event; the result is that of the last expression. The event keeps what was written before an error.
    ///
    /// # Errors
    /// An `abort`, or a failure that the program did not handle.
    pub fn run(&self, event: &mut LogEvent) -> Result<Value, RunError> {
        self.resolve(&mut Runtime::default(), &mut LogTarget(event))
    }

    /// Runs on a metric. The metric keeps what was written before an error.
    ///
    /// # Errors
    /// An `abort`, or a failure that the program did not handle.
    pub fn run_metric(&self, metric: &mut Metric, mode: TagMode) -> Result<Value, RunError> {
        self.resolve(&mut Runtime::default(), &mut MetricTarget::new(metric, mode))
    }

    /// Runs on an event that can't be changed.
    pub(crate) fn read(&self, target: &mut ReadTarget<'_>) -> Result<Value, RunError> {
        self.resolve(&mut Runtime::default(), target)
    }
}

/// Turns what a program left in `.` into events: an object is one, a list is one for each entry, anything else becomes
/// the `message` of one.
pub(crate) fn split_root(event: LogEvent, message: &vrl::path::OwnedValuePath, out: &mut Vec<LogEvent>) {
    let wrap = |v: Value| match v {
        v @ Value::Object(_) => v,
        v => {
            let mut o = Value::Object(Default::default());
            o.insert(message, v);
            o
        }
    };
    match event.value {
        Value::Array(all) => {
            for v in all {
                out.push(LogEvent {
                    value: wrap(v),
                    metadata: event.metadata.clone(),
                });
            }
        }
        v => out.push(LogEvent {
            value: wrap(v),
            metadata: event.metadata,
        }),
    }
}

/// Compiles a program and runs it on each event: the events it makes of each, or why not. For `qd logs vrl` without a
/// person.
///
/// # Errors
/// A program that does not compile.
pub fn run_program(
    source: &str,
    timezone: Option<&str>,
    events: impl IntoIterator<Item = LogEvent>,
) -> Result<Vec<Result<Vec<LogEvent>, RunError>>, CompileError> {
    let options = Options {
        timezone: timezone.map(str::to_owned),
        ..Options::default()
    };
    let program = Program::compile(source, &options)?;
    let message = vrl::path::OwnedValuePath::single_field("message");
    Ok(events
        .into_iter()
        .map(|mut event| {
            program.run(&mut event)?;
            let mut out = Vec::new();
            split_root(event, &message, &mut out);
            Ok(out)
        })
        .collect())
}
