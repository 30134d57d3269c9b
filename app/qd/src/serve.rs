//! Becoming the processes of a session, away from the terminal: the holder, with the socket and the lock that the client
//! handed over, and the server that it starts.

use std::{
    ffi::OsString,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixListener, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use qd_server::{Handed, Options, SocketDir, TestPanes};
use qd_terminal::{Link, LinkError};
use qd_tty::Size;

use crate::{
    Failure,
    cli::{Cli, ServerArgs},
    connect,
};

/// `qd hold`: standard input is the listening socket, standard output the lock, standard error the log. It starts the
/// server, and keeps what must outlive it.
pub(crate) fn hold(cli: &Cli, a: &ServerArgs) -> Result<(), Failure> {
    let not_by_hand = || Failure::usage("qd hold is started by qd itself");
    if cli.session.is_none() {
        return Err(not_by_hand());
    }
    let listener = handed_over("socket", rustix::stdio::stdin())?;
    let lock = handed_over("lock", rustix::stdio::stdout())?;
    let listener = UnixListener::from(listener);
    if listener.local_addr().is_err() {
        return Err(not_by_hand());
    }
    let cwd = leave()?;
    let log = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
        .map_err(|e| Failure::failed(format!("the log was not handed over: {e}")))?;
    let own = std::env::current_exe().map_err(|e| Failure::failed(format!("qd could not find its own binary: {e}")))?;
    let mut start = |exe: Option<&Path>, link: OwnedFd| {
        let mut command = Command::new(exe.unwrap_or(&own));
        command.arg0("qd").args(server_args(cli, a, "server"));
        if let Some(cwd) = &cwd {
            command.current_dir(cwd);
        }
        command
            .stdin(Stdio::from(link))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log.try_clone()?));
        command.spawn()
    };
    let keep = qd_terminal::Keep {
        listener: listener.into(),
        lock,
    };
    match qd_terminal::hold(keep, &mut start) {
        Ok(qd_terminal::Kept::Ended) => Ok(()),
        // It has said why.
        Ok(qd_terminal::Kept::Never(_)) => Err(Failure::failed("the session's server did not begin")),
        Err(e) => Err(Failure::failed(format!("the session's terminals cannot be kept: {e}"))),
    }
}

/// The arguments of a process of the session, from those of this one.
pub(crate) fn server_args(cli: &Cli, a: &ServerArgs, command: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![command.into()];
    if let Some(name) = &cli.session {
        args.extend(["--session".into(), name.into()]);
    }
    let absolute = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    if let Some(c) = &cli.config {
        args.extend(["--config".into(), absolute(c).into()]);
    }
    if let Some(l) = &cli.layout {
        let full = if l.contains('/') {
            absolute(Path::new(l)).into()
        } else {
            OsString::from(l)
        };
        args.extend(["--layout".into(), full]);
    }
    if let Some(size) = &a.detached {
        args.extend(["--detached".into(), size.into()]);
    }
    args
}

fn handed_over(what: &str, fd: impl AsFd) -> Result<OwnedFd, Failure> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|e| Failure::failed(format!("the {what} was not handed over: {e}")))
}

/// Leaves the terminal and the directory; gives the directory.
fn leave() -> Result<Option<PathBuf>, Failure> {
    let err = |what: &str, e: rustix::io::Errno| Failure::failed(format!("{what}: {e}"));
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|e| Failure::failed(format!("/dev/null could not be opened: {e}")))?;
    rustix::stdio::dup2_stdin(&null).map_err(|e| err("standard input could not be closed", e))?;
    rustix::stdio::dup2_stdout(&null).map_err(|e| err("standard output could not be closed", e))?;
    // Already a leader of a session of its own: started by hand or by a service manager.
    let _ = rustix::process::setsid();
    let cwd = std::env::current_dir().ok();
    // A session must not keep a file system busy that the person wants to unmount.
    let _ = std::env::set_current_dir("/");
    Ok(cwd)
}

/// `qd server`: standard input is the socket to the holder, standard error the log.
pub(crate) fn run(cli: &Cli, a: &ServerArgs) -> Result<(), Failure> {
    let name = cli
        .session
        .clone()
        .ok_or_else(|| Failure::usage("qd server is started by qd itself"))?;
    let paths = connect::paths()?;
    let sockets = SocketDir::open(&paths.runtime_dir).map_err(|e| Failure::of(&e))?;
    let link = handed_over("connection to the holder", rustix::stdio::stdin())?;
    let (link, greeting) = Link::greet(link).map_err(|e| match e {
        LinkError::Io(_) => Failure::usage("qd server is started by qd itself"),
        other => Failure::of(&other),
    })?;
    let cwd = leave()?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("QD_LOG").unwrap_or_else(|_| "info".into()))
        .init();
    let detached = match &a.detached {
        None => None,
        Some(s) => Some(
            s.split_once('x')
                .and_then(|(c, r)| Some(Size::new(c.parse().ok()?, r.parse().ok()?)))
                .ok_or_else(|| Failure::usage(format!("{s} is no size: write it like 80x24")))?,
        ),
    };
    let claim = sockets.inherit(&name, UnixListener::from(greeting.listener), File::from(greeting.lock));
    let handed = Handed {
        link,
        state: greeting.state,
        was: greeting.was,
        held: greeting.held,
    };
    let test_panes = if std::env::var_os("QD_TEST_PANES").is_some() {
        TestPanes::Offered
    } else {
        TestPanes::Hidden
    };
    let options = Options {
        name,
        sockets,
        config_path: cli.config.clone().unwrap_or_else(|| paths.config_file()),
        state_dir: paths.state_dir.clone(),
        layout_dir: paths.layout_dir(),
        layout: cli.layout.clone(),
        cwd,
        detached,
        test_panes,
    };
    qd_server::serve(options, claim, Some(handed)).map_err(|e| Failure::of(&e))
}
