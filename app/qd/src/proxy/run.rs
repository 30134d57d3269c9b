//! Running a proxy: in a pane when this is a session's terminal, else here until a signal comes.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use qd_core::{
    EngineHandle, EngineState, Handle, RealClock, SourceId, Supervisor, Timestamp,
    supervise::{Policy, Restart},
};
use qd_proxy::{
    Options, ProxyEngine, TapRequest,
    config::{Mode, Short},
    control::{Control, ControlError},
    engine::{Command, EngineConfig, Reply},
    source::{Source, WATCH},
};
use qd_proxy_content::escape;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::{CheckArgs, ModeArg, ProxyArgs};
use crate::{Failure, cli::Cli, complain, connect, print};

/// Flows that may wait to be printed.
const QUEUE: usize = 8192;
/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(100);

impl ProxyArgs {
    /// What it shall do.
    fn source(&self) -> Result<Source, Failure> {
        if let Some(file) = &self.config {
            let full = std::path::absolute(file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
            return Ok(Source::File(full));
        }
        let parts = |list: &[String]| -> Vec<String> {
            let split = list.iter().flat_map(|l| l.split(','));
            split.map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
        };
        Ok(Source::Short(Short {
            listen: parts(&self.listen),
            to: parts(&self.to),
            mode: match self.mode {
                ModeArg::Reverse => Mode::Reverse,
                ModeArg::Forward => Mode::Forward,
                ModeArg::Opaque => Mode::Opaque,
            },
            balance: self.balance.clone(),
            admin: self.admin.clone(),
        }))
    }
}

/// `qd proxy check`.
pub(super) fn check(a: &CheckArgs) -> Result<(), Failure> {
    let read = Source::File(a.file.clone()).read().map_err(Failure::failed)?;
    for w in &read.warnings {
        complain(&format!("warning: {w}"));
    }
    if a.deny_warnings && !read.warnings.is_empty() {
        return Err(Failure::failed(format!(
            "{} warnings, and they are denied",
            read.warnings.len()
        )));
    }
    let endpoints: usize = read.plan.clusters.iter().map(|c| c.endpoints.len()).sum();
    print(&format!(
        "{}: {} listeners, {} clusters, {endpoints} endpoints\n",
        a.file.display(),
        read.plan.listeners.len(),
        read.plan.clusters.len()
    ));
    Ok(())
}

/// `qd proxy`.
pub(super) fn run(cli: &Cli, a: &ProxyArgs) -> Result<(), Failure> {
    let source = a.source()?;
    // What is wrong is wrong wherever it would run.
    let read = source.read().map_err(|e| match source {
        Source::Short(_) => Failure::usage(e),
        Source::File(_) => Failure::failed(e),
    })?;
    read.warnings.iter().for_each(|w| complain(&format!("warning: {w}")));
    if connect::inside().is_some() && std::io::stdout().is_terminal() && !a.headless {
        return pane(cli, a, &source);
    }
    let deadline = a.deadline.map(Duration::from_secs).unwrap_or(read.deadline);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("qd-proxy")
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("the runtime could not be started: {e}")))?;
    let config = EngineConfig {
        plan: read.plan,
        options: a.workers.map_or_else(Options::default, |workers| Options { workers }),
        deadline,
    };
    let name = a.name.clone().unwrap_or_else(|| std::process::id().to_string());
    let supervisor = Supervisor::new(runtime.handle().clone(), Arc::new(RealClock::new()));
    let policy = Policy {
        restart: Restart::Never,
        stop_deadline: deadline + Duration::from_secs(2),
        ..Policy::default()
    };
    let handle = supervisor
        .start::<ProxyEngine>(SourceId::new(name.as_str()), config, policy)
        .map_err(|e| Failure::of(&e))?;
    let signal = Arc::new(AtomicUsize::new(0));
    for s in [SIGHUP, SIGINT, SIGTERM] {
        let number = usize::try_from(s).unwrap_or(0);
        signal_hook::flag::register_usize(s, Arc::clone(&signal), number)
            .map_err(|e| Failure::failed(format!("signals: {e}")))?;
    }
    let result = runtime.block_on(serve(a, &source, &handle, &name, &signal));
    supervisor.shutdown_blocking(deadline + Duration::from_secs(3));
    result
}

/// Opens a proxy pane in the session.
fn pane(cli: &Cli, a: &ProxyArgs, source: &Source) -> Result<(), Failure> {
    let mut words = vec!["new-pane".to_owned(), "--kind=proxy".to_owned()];
    match source {
        Source::File(path) => words.push(format!("--arg=config={}", path.display())),
        Source::Short(short) => {
            words.push(format!("--arg=listen={}", short.listen.join(",")));
            if !short.to.is_empty() {
                words.push(format!("--arg=to={}", short.to.join(",")));
            }
            let mode = match a.mode {
                ModeArg::Reverse => "reverse",
                ModeArg::Forward => "forward",
                ModeArg::Opaque => "opaque",
            };
            words.push(format!("--arg=mode={mode}"));
            words.extend(short.admin.as_ref().map(|a| format!("--arg=admin={a}")));
            words.extend(short.balance.as_ref().map(|b| format!("--arg=balance={b}")));
        }
    }
    words.extend(a.name.as_ref().map(|n| format!("--name={n}")));
    words.extend(a.direction.as_ref().map(|d| format!("--direction={d}")));
    let session = cli.session.clone().or_else(connect::inside);
    let there = Cli { session, ..cli.clone() };
    connect::action(&there, words)
}

/// Serves until a signal ends it, or it fails.
async fn serve(
    a: &ProxyArgs,
    source: &Source,
    handle: &EngineHandle<ProxyEngine>,
    name: &str,
    signal: &Arc<AtomicUsize>,
) -> Result<(), Failure> {
    loop {
        match &*handle.state() {
            EngineState::Running { .. } => break,
            state => {
                if let Some(f) = state.failure() {
                    return Err(Failure::failed(&f.message));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let dir = connect::paths()?.runtime_dir.join("proxy");
    let runtime = tokio::runtime::Handle::current();
    let _control = Control::listen(&runtime, &dir, name, handle.clone(), None).map_err(|e| match e {
        ControlError::Taken(n) => {
            Failure::usage(format!("a proxy named {n} runs already; --name gives this one another"))
        }
        ControlError::Name(_) => Failure::usage(e),
        e => Failure::of(&e),
    })?;
    for l in &handle.snapshot().listeners {
        complain(&format!("listening on {}", l.address));
    }
    if std::io::stdout().is_terminal() && !a.quiet {
        let Ok(Reply::Tap(mut tap)) = handle.ask(Command::Tap(TapRequest { queue: QUEUE, body: 0 })).await else {
            return Err(Failure::failed("the proxy gave a strange answer"));
        };
        tokio::spawn(async move {
            let mut lost = 0;
            while let Some(flow) = tap.next().await {
                let dropped = tap.dropped();
                if dropped > lost {
                    say(&format!(
                        "{} requests are not shown: they came too fast\n",
                        dropped - lost
                    ));
                    lost = dropped;
                }
                say(&line(&flow.told()));
            }
        });
    }
    let mut stamp = source.stamp();
    let mut looked = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(f) = handle.state().failure() {
            return Err(Failure::failed(&f.message));
        }
        let got = i32::try_from(signal.swap(0, Ordering::AcqRel)).unwrap_or(0);
        if matches!(got, SIGINT | SIGTERM) {
            complain("no more connections are taken; those that are open end");
            return Ok(());
        }
        let mut again = got == SIGHUP;
        if looked.elapsed() >= WATCH {
            looked = tokio::time::Instant::now();
            let new = source.stamp();
            again |= new.is_some() && new != stamp;
            stamp = new.or(stamp);
        }
        if again && source.path().is_none() {
            complain("there is no configuration file to read again");
        } else if again {
            match source.reload(handle).await {
                Ok(changes) => complain(&format!("reloaded: {}", changes.words())),
                Err(e) => complain(&format!("the old configuration runs on:\n{e}")),
            }
        }
    }
}

/// Writes to a terminal that may be slow, which is this task's affair alone.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone ends the process by its signal.
    let _gone = out.write_all(text.as_bytes());
}

/// A request in one line, for people.
pub(super) fn line(flow: &qd_proxy::telemetry::Flow) -> String {
    let zone = qd_core::Now::local(Timestamp(0)).zone;
    let status = flow.status.map_or_else(|| "-".to_owned(), |s| s.to_string());
    let took = flow
        .duration
        .map(|d| format!("{:.1}ms", d.as_secs_f64() * 1e3))
        .unwrap_or_default();
    let error = match flow.error.as_str() {
        "" => String::new(),
        word => format!("  {word}"),
    };
    let text = format!(
        "{} {status} {} {}{}  {took} {}  {}{error}",
        flow.started.time_of_day(&zone),
        flow.method,
        flow.host,
        flow.path,
        qd_core::Bytes(flow.response.size),
        flow.endpoint,
    );
    format!("{}\n", escape(&text))
}
