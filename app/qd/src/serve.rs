//! Becoming the server of a session: away from the terminal, with the socket and the lock that the client handed over.

use std::{fs::File, os::unix::net::UnixListener};

use qd_server::{Options, SocketDir, TestPanes};
use qd_tty::Size;

use crate::{
    Failure,
    cli::{Cli, ServerArgs},
    connect,
};

/// `qd server`: standard input is the listening socket, standard output the lock, standard error the log.
pub(crate) fn run(cli: &Cli, a: &ServerArgs) -> Result<(), Failure> {
    let name = cli
        .session
        .clone()
        .ok_or_else(|| Failure::usage("qd server is started by qd itself"))?;
    let paths = connect::paths()?;
    let sockets = SocketDir::open(&paths.runtime_dir).map_err(|e| Failure::of(&e))?;
    let err = |what: &str, e: rustix::io::Errno| Failure::failed(format!("{what}: {e}"));
    let dup = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let listener = dup(rustix::stdio::stdin()).map_err(|e| err("the socket was not handed over", e))?;
    let lock = dup(rustix::stdio::stdout()).map_err(|e| err("the lock was not handed over", e))?;
    let listener = UnixListener::from(listener);
    if listener.local_addr().is_err() {
        return Err(Failure::usage("qd server is started by qd itself"));
    }
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
    let claim = sockets.inherit(&name, listener, File::from(lock));
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
    qd_server::serve(options, claim).map_err(|e| Failure::of(&e))
}
