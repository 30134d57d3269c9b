//! The commands that talk to sessions: find one, make one, attach, ask.

use std::{
    fs::OpenOptions,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use qd_client::{ClientError, Exit, Mouse, Options, Probe, Writer};
use qd_config::Paths;
use qd_proto::{ActionRequest, Attach, AttachMode, ProtoError, Purpose, ServerMsg, SessionInfo};
use qd_server::{SocketDir, SocketError};
use qd_tty::Size;

use crate::{
    Failure,
    cli::{AttachArgs, Cli, KillArgs, LsArgs, RunArgs, ServerArgs},
    complain, need_terminal, print, serve,
};

/// A server that goes away sooner than this after a client came is counted…
const SOON: Duration = Duration::from_secs(2);
/// …and after so many in a row the client gives up.
const LOST: u32 = 100;

/// The session that plain `qd` opens.
pub(crate) const DEFAULT_SESSION: &str = "main";

/// The directories of this person.
pub(crate) fn paths() -> Result<Paths, Failure> {
    Paths::from_env(&|k| std::env::var(k).ok()).map_err(|e| Failure::of(&e))
}

fn sockets() -> Result<SocketDir, Failure> {
    SocketDir::open(&paths()?.runtime_dir).map_err(|e| Failure::of(&e))
}

/// The session this process runs in.
pub(crate) fn inside() -> Option<String> {
    std::env::var("QD_SESSION").ok().filter(|s| !s.is_empty())
}

/// The only session, or a sentence on why there is no such thing.
fn only_session(dir: &SocketDir) -> Result<String, Failure> {
    let mut names = dir.names().map_err(|e| Failure::of(&e))?;
    match names.len() {
        0 => Err(Failure::failed("there is no session: qd makes one")),
        1 => Ok(names.remove(0)),
        _ => Err(Failure::usage(format!(
            "there are several sessions, name one: {}",
            names.join(", ")
        ))),
    }
}

fn not_nested(cli: &Cli, name: &str) -> Result<(), Failure> {
    match inside() {
        Some(s) if !cli.nested => Err(Failure::usage(format!(
            "this terminal is inside the session {s}; --nested attaches to {name} all the same"
        ))),
        _ => Ok(()),
    }
}

/// Plain `qd`: attach, or make the session first.
pub(crate) fn open(cli: &Cli) -> Result<(), Failure> {
    let name = cli.session.clone().unwrap_or_else(|| DEFAULT_SESSION.to_owned());
    let args = AttachArgs {
        name: Some(name),
        create: true,
        ..AttachArgs::default()
    };
    attach(cli, &args)
}

/// `qd attach`.
pub(crate) fn attach(cli: &Cli, a: &AttachArgs) -> Result<(), Failure> {
    let dir = sockets()?;
    let name = match a.name.clone().or_else(|| cli.session.clone()) {
        Some(n) => n,
        None if a.create || a.create_background => DEFAULT_SESSION.to_owned(),
        None => only_session(&dir)?,
    };
    qd_server::check_name(&name).map_err(|e| Failure::usage(e.to_string()))?;
    if a.create_background {
        return match dir.connect(&name) {
            Ok(_) => Err(Failure::failed(SocketError::Taken(name))),
            Err(SocketError::Missing(_)) => {
                launch(cli, &dir, &name, Some(Size::new(80, 24)))?;
                dir.ask(&name, Purpose::Info).map(|_| ()).map_err(|e| Failure::of(&e))
            }
            Err(e) => Err(Failure::of(&e)),
        };
    }
    need_terminal()?;
    not_nested(cli, &name)?;
    show(cli, &dir, name, a.create, a.exclusive, AttachMode::Interactive)
}

/// Makes a session in the background unless it is there.
#[cfg(feature = "logs")]
pub(crate) fn ensure(cli: &Cli, name: &str) -> Result<(), Failure> {
    qd_server::check_name(name).map_err(|e| Failure::usage(e.to_string()))?;
    let dir = sockets()?;
    match dir.connect(name) {
        Ok(_) => Ok(()),
        Err(SocketError::Missing(_)) => launch(cli, &dir, name, Some(Size::new(80, 24))).map(drop),
        Err(e) => Err(Failure::of(&e)),
    }
}

/// `qd watch`.
pub(crate) fn watch(cli: &Cli, name: Option<&str>) -> Result<(), Failure> {
    need_terminal()?;
    let dir = sockets()?;
    let name = match name.map(str::to_owned).or_else(|| cli.session.clone()) {
        Some(n) => n,
        None => only_session(&dir)?,
    };
    not_nested(cli, &name)?;
    show(cli, &dir, name, false, false, AttachMode::ReadOnly)
}

/// Shows a session until it is left; follows when it is switched to another.
fn show(
    cli: &Cli,
    dir: &SocketDir,
    mut name: String,
    create: bool,
    exclusive: bool,
    mode: AttachMode,
) -> Result<(), Failure> {
    let paths = paths()?;
    let config_path = cli.config.clone().unwrap_or_else(|| paths.config_file());
    // How often a server went away soon after it was there.
    let mut lost = 0;
    loop {
        let since = Instant::now();
        let stream = match dir.connect(&name) {
            Ok(s) => s,
            Err(SocketError::Missing(_)) if lost > 0 => return Err(gone(&name)),
            Err(SocketError::Missing(_)) if create => {
                launch(cli, dir, &name, None)?;
                dir.connect(&name).map_err(|e| Failure::of(&e))?
            }
            Err(e) => return Err(Failure::of(&e)),
        };
        let config = qd_config::load(&config_path).config;
        let lookup = |k: &str| std::env::var(k).ok();
        let mut caps = qd_client::probe::from_env(&lookup);
        caps.ascii |= cli.ascii || config.ascii.is_on();
        let options = Options {
            escape: Duration::from_millis(config.escape_time_ms.into()),
            mouse: if config.mouse.is_on() { Mouse::On } else { Mouse::Off },
            probe: if qd_client::probe::may_ask(&lookup) {
                Probe::Ask
            } else {
                Probe::Trust
            },
            writer: if lookup("QD_NO_DIRECT_TTY").is_some_and(|v| !v.is_empty()) {
                Writer::Client
            } else {
                Writer::Server
            },
        };
        let hello = Attach {
            size: qd_client::terminal_size(rustix::stdio::stdout()),
            caps,
            mode,
            env: config
                .update_environment
                .into_iter()
                .map(|k| (std::env::var(&k).ok(), k))
                .map(|(v, k)| (k, v))
                .collect(),
            tty: rustix::termios::ttyname(rustix::stdio::stdout(), Vec::new())
                .ok()
                .map(|n| n.to_string_lossy().into_owned()),
            exclusive,
        };
        let exit = match qd_client::run(stream, hello, options) {
            // The next server ended too, before it greeted.
            Err(ClientError::Server(ProtoError::Io(_))) if lost > 0 => Exit::ServerGone,
            other => other.map_err(|e| Failure::of(&e))?,
        };
        match exit {
            Exit::Detached(reason) => {
                print(&format!("[{name}: {reason}]\n"));
                return Ok(());
            }
            Exit::Ended(reason) => {
                print(&format!("[{name}: {reason}]\n"));
                return Ok(());
            }
            Exit::SwitchTo(other) => name = other,
            Exit::Hangup => return Ok(()),
            // Its holder starts another one, to which the socket is open already.
            Exit::ServerGone => {
                lost = if since.elapsed() < SOON { lost + 1 } else { 1 };
                if lost > LOST {
                    return Err(gone(&name));
                }
            }
            Exit::Failed(why) => return Err(Failure::failed(why)),
        }
    }
}

fn gone(name: &str) -> Failure {
    Failure::failed(format!("the server of the session {name} went away"))
}

/// Starts a server for a name. The socket listens before the server runs, so whoever connects next is served.
fn launch(cli: &Cli, dir: &SocketDir, name: &str, detached: Option<Size>) -> Result<(), Failure> {
    let claim = dir.claim(name).map_err(|e| Failure::of(&e))?;
    let log = log_file(name)?;
    let exe = std::env::current_exe().map_err(|e| Failure::failed(format!("qd could not find its own binary: {e}")))?;
    let mut command = Command::new(exe);
    let cli = Cli {
        session: Some(name.to_owned()),
        ..cli.clone()
    };
    let args = ServerArgs {
        detached: detached.map(|s| format!("{}x{}", s.cols, s.rows)),
    };
    command.arg0("qd").args(serve::server_args(&cli, &args, "hold"));
    let Some((listener, lock)) = claim.into_parts() else {
        return Err(Failure::failed(
            "the session's socket could not be handed to its server",
        ));
    };
    command
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(lock))
        .stderr(Stdio::from(log));
    command
        .spawn()
        .map_err(|e| Failure::failed(format!("the session's server could not be started: {e}")))?;
    Ok(())
}

/// Where a session's server writes what it has to tell to no screen.
pub(crate) fn log_file(name: &str) -> Result<std::fs::File, Failure> {
    let dir = paths()?.state_dir.join("logs");
    std::fs::create_dir_all(&dir).map_err(|e| Failure::failed(format!("{} could not be made: {e}", dir.display())))?;
    let path = dir.join(format!("{name}.log"));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|e| Failure::failed(format!("{} could not be opened: {e}", path.display())))
}

fn infos(dir: &SocketDir) -> Result<Vec<SessionInfo>, Failure> {
    let mut out = Vec::new();
    for name in dir.names().map_err(|e| Failure::of(&e))? {
        match dir.ask(&name, Purpose::Info) {
            Ok(ServerMsg::Info(i)) => out.push(i),
            Ok(_) => complain(&format!("the session {name} gave a strange answer")),
            Err(e) => complain(&format!("{name}: {e}")),
        }
    }
    Ok(out)
}

/// `qd ls`.
pub(crate) fn list(l: &LsArgs) -> Result<(), Failure> {
    let dir = sockets()?;
    let list = infos(&dir)?;
    if l.json {
        let rows: Vec<_> = list
            .iter()
            .map(|i| {
                serde_json::json!({
                    "name": i.name, "pid": i.pid, "created": i.created, "clients": i.clients, "tabs": i.tabs,
                    "panes": i.panes, "build": i.build,
                })
            })
            .collect();
        print(&format!("{}\n", serde_json::Value::Array(rows)));
        return Ok(());
    }
    if list.is_empty() && !l.short {
        complain("there is no session: qd makes one");
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    for i in list {
        if l.short {
            print(&format!("{}\n", i.name));
            continue;
        }
        let s = |n: u32| if n == 1 { "" } else { "s" };
        print(&format!(
            "{}: {} tab{}, {} pane{}, made {} ago{}\n",
            i.name,
            i.tabs,
            s(i.tabs),
            i.panes,
            s(i.panes),
            age(now.saturating_sub(i.created)),
            if i.clients > 0 {
                format!(" (attached: {})", i.clients)
            } else {
                String::new()
            },
        ));
    }
    Ok(())
}

/// A length of time in its largest unit or two.
fn age(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86400 => format!("{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} d {} h", secs / 86400, secs / 3600 % 24),
    }
}

/// `qd kill`.
pub(crate) fn kill(k: &KillArgs) -> Result<(), Failure> {
    let dir = sockets()?;
    let names = if k.all {
        dir.names().map_err(|e| Failure::of(&e))?
    } else {
        k.names.clone()
    };
    for name in names {
        dir.ask(&name, Purpose::Kill).map_err(|e| Failure::of(&e))?;
    }
    Ok(())
}

/// `qd run`: a new pane with a command.
pub(crate) fn run(cli: &Cli, r: RunArgs) -> Result<(), Failure> {
    let mut words = vec!["new-pane".to_owned()];
    for (flag, value) in [("direction", r.direction), ("name", r.name), ("cwd", r.cwd)] {
        words.extend(value.map(|v| format!("--{flag}={v}")));
    }
    if r.close_on_exit {
        words.push("--close-on-exit".to_owned());
    }
    words.push("--".to_owned());
    words.extend(r.command);
    action(cli, words)
}

/// `qd action`.
pub(crate) fn action(cli: &Cli, words: Vec<String>) -> Result<(), Failure> {
    // A wrong action is wrong whether or not there is a session to try it on.
    qd_mux::Invocation::parse(&words).map_err(|e| Failure::usage(e.to_string()))?;
    let dir = sockets()?;
    let name = match cli.session.clone().or_else(inside) {
        Some(n) => n,
        None => only_session(&dir)?,
    };
    let request = ActionRequest {
        words,
        cwd: std::env::current_dir().ok().map(|p| p.to_string_lossy().into_owned()),
        from_pane: std::env::var("QD_PANE_ID").ok().and_then(|s| s.parse().ok()),
    };
    match dir.ask(&name, Purpose::Action(request)).map_err(|e| Failure::of(&e))? {
        ServerMsg::Action(reply) => {
            print(&reply.output);
            match reply.status {
                0 => Ok(()),
                2 => Err(Failure::usage(reply.error)),
                _ => Err(Failure::failed(reply.error)),
            }
        }
        ServerMsg::Refused { reason } => Err(Failure::failed(reason)),
        other => Err(Failure::failed(format!(
            "the session {name} gave a strange answer: {other:?}"
        ))),
    }
}
