//! `qd logs view`: opens a log pane in the session, and the session when there is none.

use std::{
    fs::{File, OpenOptions},
    io::{IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use super::args::ViewArgs;
use crate::{
    Failure,
    cli::{AttachArgs, Cli},
    connect,
};

/// Bytes that standard input may bring into the spool.
const SPOOL_LIMIT: u64 = 4 << 30;

/// `qd logs view`.
pub(crate) fn run(cli: &Cli, a: &ViewArgs) -> Result<(), Failure> {
    let mut paths = Vec::new();
    let mut copying = None;
    for p in &a.paths {
        paths.push(if p == "-" {
            let (path, copy) = spool()?;
            copying = Some(copy);
            path.to_string_lossy().into_owned()
        } else if qd_logs_view::is_location(p) {
            p.clone()
        } else {
            absolute(p)?
        });
    }
    let mut words = vec!["new-pane".to_owned(), "--kind=logs".to_owned()];
    if !paths.is_empty() {
        words.push(format!("--arg=path={}", paths.join("\n")));
    }
    words.extend(a.filter.as_ref().map(|f| format!("--arg=filter={f}")));
    words.extend(a.view.as_ref().map(|v| format!("--arg=view={v}")));
    words.extend(a.direction.as_ref().map(|d| format!("--direction={d}")));
    if connect::inside().is_some() {
        connect::action(cli, words)?;
        // Standard input is read by this process as long as something comes.
        if let Some(copying) = copying {
            let _panicked = copying.join();
        }
        return Ok(());
    }
    let name = cli
        .session
        .clone()
        .unwrap_or_else(|| connect::DEFAULT_SESSION.to_owned());
    connect::ensure(cli, &name)?;
    let there = Cli {
        session: Some(name.clone()),
        ..cli.clone()
    };
    connect::action(&there, words)?;
    let attach = AttachArgs {
        name: Some(name),
        ..AttachArgs::default()
    };
    connect::attach(&there, &attach)
}

/// A path that means the same in the session.
fn absolute(path: &str) -> Result<String, Failure> {
    let full = std::path::absolute(path).map_err(|e| Failure::failed(format!("{path}: {e}")))?;
    if !full.exists() {
        return Err(Failure::failed(format!("there is no {}", full.display())));
    }
    if full.to_string_lossy().contains('\n') {
        return Err(Failure::usage(format!(
            "{:?} has an end of line in its name, which a log pane takes for two paths",
            full.display().to_string()
        )));
    }
    Ok(full.to_string_lossy().into_owned())
}

/// Copies standard input into a file that only this person can read, in a thread, as long as something comes.
fn spool() -> Result<(PathBuf, JoinHandle<()>), Failure> {
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input is the terminal: there is nothing to view",
        ));
    }
    let dir = connect::paths()?.runtime_dir;
    std::fs::create_dir_all(&dir).map_err(|e| Failure::failed(format!("{}: {e}", dir.display())))?;
    let path = dir.join(format!("stdin-{}.log", std::process::id()));
    let file = create(&path)?;
    let input = rustix::io::dup(std::io::stdin()).map_err(|e| Failure::failed(format!("standard input: {e}")))?;
    // What follows talks to the person by the terminal itself.
    if let Ok(tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") {
        rustix::stdio::dup2_stdin(&tty).map_err(|e| Failure::failed(format!("/dev/tty: {e}")))?;
    }
    let copy = move || pump(&mut File::from(input), file);
    let copying = std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(copy)
        .map_err(|e| Failure::failed(format!("a thread could not be started: {e}")))?;
    Ok((path, copying))
}

fn create(path: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

/// Copies until the end or the limit; a write that fails ends it.
fn pump(from: &mut File, mut to: File) {
    let mut left = SPOOL_LIMIT;
    let mut buf = vec![0; 128 * 1024];
    while left > 0 {
        match from.read(&mut buf) {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                let n = n.min(usize::try_from(left).unwrap_or(usize::MAX));
                if to.write_all(buf.get(..n).unwrap_or_default()).is_err() {
                    return;
                }
                left -= n as u64;
            }
        }
    }
}
