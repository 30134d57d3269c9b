//! `qd logs run`, `validate` and `graph`: Vector's pipeline from the command line.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use qd_core::Severity;
use qd_logs::{Error, Options, Pipeline, Plan, facade};
use qd_logs_config::{ConfigError, ConfigPath, Files, Format, Interpolation, LoadOptions, load};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::{ConfigArgs, GraphArgs, GraphFormat, RunArgs, ValidateArgs, VrlArgs};
use crate::{Failure, complain, print};

/// How often `--watch-config` looks at the files.
const WATCH: Duration = Duration::from_secs(1);

impl ConfigArgs {
    fn paths(&self) -> Vec<ConfigPath> {
        let files = |list: &[PathBuf], f: Option<Format>| -> Vec<ConfigPath> {
            list.iter().map(|p| ConfigPath::File(p.clone(), f)).collect()
        };
        let mut out = files(&self.config, None);
        out.extend(files(&self.files, None));
        out.extend(files(&self.config_toml, Some(Format::Toml)));
        out.extend(files(&self.config_yaml, Some(Format::Yaml)));
        out.extend(files(&self.config_json, Some(Format::Json)));
        out.extend(self.config_dir.iter().map(|d| ConfigPath::Dir(d.clone())));
        if out.is_empty() {
            out.push(ConfigPath::File(PathBuf::from(qd_logs_config::DEFAULT_PATH), None));
        }
        out
    }

    fn options(&self) -> LoadOptions {
        LoadOptions {
            interpolation: if self.dangerously_allow_env_var_interpolation || allowed_by_environment() {
                Interpolation::by_environment()
            } else {
                Interpolation::default()
            },
            ..LoadOptions::default()
        }
    }

    /// The files and directories themselves, to be watched.
    fn watched(&self) -> Vec<PathBuf> {
        self.paths()
            .into_iter()
            .map(|p| match p {
                ConfigPath::File(p, _) | ConfigPath::Dir(p) => p,
            })
            .collect()
    }
}

/// Whether the environment says what `--dangerously-allow-env-var-interpolation` says, in Vector's variable.
fn allowed_by_environment() -> bool {
    std::env::var("VECTOR_DANGEROUSLY_ALLOW_ENV_VAR_INTERPOLATION").is_ok_and(|v| matches!(v.as_str(), "true" | "1"))
}

fn rendered(files: &Files, errors: &[ConfigError]) -> String {
    let all: Vec<String> = errors.iter().map(|e| files.render(e)).collect();
    all.join("\n")
}

/// Reads and wires; what is wrong comes back as text with places.
fn plan(a: &ConfigArgs) -> Result<(Plan, Files, Vec<ConfigError>), Failure> {
    let catalog = facade::full_catalog();
    let loaded = load(&a.paths(), &a.options())
        .map_err(|e| Failure::failed(rendered(&e.files, &facade::refusals(&e, &catalog))))?;
    let plan = Plan::new(&loaded.config, &catalog).map_err(|e| Failure::failed(rendered(&loaded.files, &e)))?;
    let mut warnings = loaded.warnings;
    warnings.extend(plan.warnings.iter().cloned());
    Ok((plan, loaded.files, warnings))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("qd-logs")
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("the runtime could not be started: {e}")))
}

/// `qd logs validate`.
pub(crate) fn validate(a: &ValidateArgs) -> Result<(), Failure> {
    let (plan, files, warnings) = plan(&a.config)?;
    for w in &warnings {
        complain(&format!("warning: {}", files.render(w)));
    }
    if !a.no_environment {
        let errors = runtime()?.block_on(build_all(&plan, &files));
        if !errors.is_empty() {
            return Err(Failure::failed(errors.join("\n")));
        }
    }
    if a.deny_warnings && !warnings.is_empty() {
        return Err(Failure::failed(format!(
            "{} warnings, and they are denied",
            warnings.len()
        )));
    }
    print("Validated\n");
    Ok(())
}

/// Makes every component and lets it go again: programs are compiled, sockets bound, files opened. What fails, in sentences.
async fn build_all(plan: &Plan, files: &Files) -> Vec<String> {
    let telemetry = qd_logs_model::Telemetry::new();
    let log = qd_logs_model::InternalLog::new();
    let context = |common: &qd_logs::Common, kind: &str| qd_logs_model::Context {
        id: common.id.clone(),
        globals: plan.globals.clone(),
        telemetry: telemetry.component(&common.id, kind, &common.kind),
        log: log.component(&common.id),
        aborted: Arc::default(),
        acknowledgements: false,
    };
    let tables = match plan.load_tables() {
        Ok(tables) => tables,
        Err(e) => return vec![e.to_string()],
    };
    let mut errors = Vec::new();
    let mut note = |common: &qd_logs::Common, e: &qd_logs_model::BuildError| {
        errors.push(files.render(&plan.place(&common.id, e)));
    };
    for s in plan.sources.values() {
        if let Err(e) = tables.within_future(s.config.build(context(&s.common, "source"))).await {
            note(&s.common, &e);
        }
    }
    for t in plan.transforms.values() {
        if let Err(e) = tables.within(|| t.config.build(context(&t.common, "transform"))) {
            note(&t.common, &e);
        }
    }
    for s in plan.sinks.values() {
        if let Err(e) = tables.within_future(s.config.build(context(&s.common, "sink"))).await {
            note(&s.common, &e);
        }
    }
    errors
}

/// `qd logs graph`.
pub(crate) fn graph(a: &GraphArgs) -> Result<(), Failure> {
    let (plan, ..) = plan(&a.config)?;
    let language = match a.format {
        GraphFormat::Dot => facade::Drawing::Dot,
        GraphFormat::Mermaid => facade::Drawing::Mermaid,
    };
    print(&facade::graph(&plan, language));
    Ok(())
}

/// `qd logs test`.
pub(crate) fn test(a: &ConfigArgs) -> Result<(), Failure> {
    let results = facade::test(&a.paths(), &a.options(), &facade::full_catalog())
        .map_err(|r| Failure::failed(r.errors.join("\n")))?;
    if results.is_empty() {
        print("there are no tests\n");
        return Ok(());
    }
    print("Running tests\n");
    for r in &results {
        print(&format!(
            "test {} ... {}\n",
            r.name,
            if r.passed() { "passed" } else { "failed" }
        ));
    }
    for r in results.iter().filter(|r| !r.inspections.is_empty()) {
        print(&format!("\ninspections of {}:\n{}\n", r.name, r.inspections.join("\n")));
    }
    let failed: Vec<_> = results.iter().filter(|r| !r.passed()).collect();
    for r in &failed {
        print(&format!("\nfailures of {}:\n{}\n", r.name, r.errors.join("\n")));
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} of {} tests failed",
        failed.len(),
        results.len()
    )))
}

/// `qd logs vrl`.
pub(crate) fn vrl(a: &VrlArgs) -> Result<(), Failure> {
    let mut program = a.program.clone();
    if let Some(file) = &a.file {
        program = Some(std::fs::read_to_string(file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?);
    }
    let mut objects = Vec::new();
    if let Some(input) = &a.input {
        let text = std::fs::read_to_string(input).map_err(|e| Failure::failed(format!("{}: {e}", input.display())))?;
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let json: serde_json::Value = serde_json::from_str(line)
                .map_err(|e| Failure::failed(format!("{}:{}: {e}", input.display(), i + 1)))?;
            objects.push(qd_logs_model::Value::from(json));
        }
    }
    let empty = || qd_logs_model::Value::Object(Default::default());
    if let Some(program) = program {
        if objects.is_empty() {
            objects.push(empty());
        }
        for object in objects {
            let mut repl = qd_logs_vrl::Repl::new(object, a.timezone.clone());
            let result = repl.eval(&program);
            let shown = if a.print_object {
                repl.object().to_string()
            } else {
                result
            };
            print(&format!("{}\n", shown.trim_end()));
        }
        return Ok(());
    }
    let mut repl = qd_logs_vrl::Repl::new(objects.into_iter().next().unwrap_or_else(empty), a.timezone.clone());
    let mut line = String::new();
    let interactive = std::io::IsTerminal::is_terminal(&std::io::stdin());
    loop {
        if interactive {
            print("$ ");
        }
        line.clear();
        match std::io::stdin().read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => match line.trim() {
                "" => {}
                "exit" | "quit" => return Ok(()),
                "help" => print("a VRL expression a line; `.` is the event and stays; exit leaves\n"),
                text => print(&format!("{}\n", repl.eval(text).trim_end())),
            },
            Err(e) => return Err(Failure::failed(format!("standard input: {e}"))),
        }
    }
}

/// A line of what the pipeline says, on standard error.
fn say(e: &qd_logs_model::InternalEvent) {
    let fields: String = e.fields.iter().map(|(k, v)| format!(" {k}={v}")).collect();
    let component = if e.component.is_empty() {
        String::new()
    } else {
        format!(" {}:", e.component)
    };
    let text = format!(
        "{} {:5}{component} {}{fields}",
        e.time.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
        e.severity.name().to_uppercase(),
        e.message
    );
    use std::io::Write;
    let _nobody_reads = writeln!(std::io::stderr(), "{}", qd_logs_view::plain(&text));
}

/// When the newest of these files changed; directories count with their entries.
fn newest(paths: &[PathBuf]) -> Option<SystemTime> {
    fn of(path: &Path, depth: u8) -> Option<SystemTime> {
        let meta = std::fs::metadata(path).ok()?;
        let own = meta.modified().ok();
        if !meta.is_dir() || depth == 0 {
            return own;
        }
        let inner = std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| of(&e.path(), depth - 1));
        inner.chain(own).max()
    }
    paths.iter().filter_map(|p| of(p, 3)).max()
}

/// What the outside asks of a running pipeline.
enum Ask {
    /// End.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// Takes as many descriptors as this process may have: a pipeline reads many files.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, files take turns.
    let _stays = setrlimit(Resource::Nofile, limit);
}

/// `qd logs run`.
pub(crate) fn run(a: &RunArgs) -> Result<(), Failure> {
    more_descriptors();
    let (mut plan, files, warnings) = plan(&a.config)?;
    plan.require_healthy |= a.require_healthy;
    for w in &warnings {
        complain(&format!("warning: {}", files.render(w)));
    }
    let least = match i16::from(a.quiet) - i16::from(a.verbose) {
        2.. => Severity::Error,
        1 => Severity::Warn,
        0 => Severity::Info,
        -1 => Severity::Debug,
        _ => Severity::Trace,
    };
    let options = Options {
        shutdown_deadline: Duration::from_secs(a.graceful_shutdown_limit_secs),
        ..Options::default()
    };
    let log = options.log.clone();
    let mut heard = log.listen();
    let (ask, mut asked) = tokio::sync::mpsc::channel(4);
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|e| Failure::failed(format!("signals: {e}")))?;
    let by_signal = ask.clone();
    std::thread::spawn(move || {
        for s in signals.forever() {
            let what = if s == SIGHUP { Ask::Reload } else { Ask::Stop };
            if by_signal.blocking_send(what).is_err() {
                return;
            }
        }
    });
    if a.watch_config {
        let paths = a.config.watched();
        std::thread::spawn(move || {
            let mut seen = newest(&paths);
            loop {
                std::thread::sleep(WATCH);
                let now = newest(&paths);
                if now != seen {
                    seen = now;
                    if ask.blocking_send(Ask::Reload).is_err() {
                        return;
                    }
                }
            }
        });
    }
    let name = a.name.clone().unwrap_or_else(|| std::process::id().to_string());
    runtime()?.block_on(async move {
        let printer = tokio::spawn(async move {
            loop {
                match heard.recv().await {
                    Ok(e) if e.severity >= least => say(&e),
                    Ok(_) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(n)) => {
                        complain(&format!("{n} messages were missed"))
                    }
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                }
            }
        });
        let mut control = super::control::Control::listen(&name)?;
        let pipeline = match Pipeline::start(plan.clone(), options).await {
            Ok(p) => p,
            Err(e) => return Err(explain(&plan, &files, &e)),
        };
        control.serve(&pipeline);
        let ended = loop {
            tokio::select! {
                ended = pipeline.wait() => break ended.map_err(|e| explain(&plan, &files, &e)),
                what = asked.recv() => match what {
                    Some(Ask::Reload) => reload(&pipeline, &a.config).await,
                    Some(Ask::Stop) | None => break Ok(pipeline.stop().await),
                },
            }
        };
        // What was said last is printed before the end.
        tokio::task::yield_now().await;
        drop(pipeline);
        drop(log);
        let _in_time = tokio::time::timeout(Duration::from_millis(200), printer).await;
        let report = ended?;
        if report.lost_events() > 0 {
            return Err(Failure::failed(format!(
                "{} events were not delivered before the deadline",
                report.lost_events()
            )));
        }
        Ok(())
    })
}

fn explain(plan: &Plan, files: &Files, e: &Error) -> Failure {
    Failure::failed(facade::explain(e, plan, files))
}

async fn reload(pipeline: &Pipeline, a: &ConfigArgs) {
    let log = Arc::new(pipeline.log().clone());
    let a = a.clone();
    // Reading files may block.
    let read = tokio::task::spawn_blocking(move || plan(&a)).await;
    match read {
        Ok(Ok((plan, files, _))) => match pipeline.reload(plan.clone()).await {
            Ok(changes) => log.say(
                Severity::Info,
                format!(
                    "the configuration was loaded again: {} added, {} removed, {} changed, {} kept",
                    changes.added.len(),
                    changes.removed.len(),
                    changes.changed.len(),
                    changes.kept.len()
                ),
                Vec::new(),
            ),
            Err(e) => log.say(
                Severity::Error,
                format!(
                    "the new configuration does not work, the old one goes on: {}",
                    explain(&plan, &files, &e).text()
                ),
                Vec::new(),
            ),
        },
        Ok(Err(f)) => log.say(
            Severity::Error,
            format!(
                "the new configuration cannot be read, the old one goes on: {}",
                f.text()
            ),
            Vec::new(),
        ),
        Err(e) => log.say(
            Severity::Error,
            format!("the configuration could not be read: {e}"),
            Vec::new(),
        ),
    }
}
