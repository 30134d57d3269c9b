//! What surrounds a child: its environment, its directory, and whether its program can be run at all. Looks at the file
//! system, changes nothing.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use portable_pty::CommandBuilder;

use crate::{SpawnSpec, TerminalError};

/// Variables of other terminals, which would make programs take this one for them.
const FOREIGN: &[&str] = &[
    "ALACRITTY_WINDOW_ID",
    "COLUMNS",
    "ITERM_SESSION_ID",
    "KITTY_WINDOW_ID",
    "KONSOLE_VERSION",
    "LC_TERMINAL",
    "LC_TERMINAL_VERSION",
    "LINES",
    "STY",
    "TERMCAP",
    "TERM_SESSION_ID",
    "TMUX",
    "TMUX_PANE",
    "VTE_VERSION",
    "WEZTERM_PANE",
    "WINDOWID",
    "WT_SESSION",
    "ZELLIJ",
    "ZELLIJ_PANE_ID",
    "ZELLIJ_SESSION_NAME",
];

/// Sets what a program of a terminal finds in its environment.
pub(crate) fn environment(command: &mut CommandBuilder, spec: &SpawnSpec) {
    for name in FOREIGN
        .iter()
        .copied()
        .chain(spec.env_remove.iter().map(String::as_str))
    {
        command.env_remove(name);
    }
    for (name, value) in [
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TERM_PROGRAM", "quarterdeck"),
        ("TERM_PROGRAM_VERSION", env!("CARGO_PKG_VERSION")),
    ] {
        command.env(name, value);
    }
    for (name, value) in &spec.env {
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            command.env(name, value);
        }
    }
}

/// The first of the wanted directory, the home and the root that can be entered.
pub(crate) fn directory(wanted: Option<&Path>, home: Option<&Path>) -> PathBuf {
    let usable = |p: &&Path| p.is_dir() && rustix::fs::access(*p, rustix::fs::Access::EXEC_OK).is_ok();
    wanted
        .into_iter()
        .chain(home)
        .find(usable)
        .unwrap_or(Path::new("/"))
        .to_path_buf()
}

/// Makes sure that the program can be run, to say so in a sentence when it cannot.
pub(crate) fn check_program(program: &str, cwd: &Path, path: Option<&std::ffi::OsStr>) -> Result<(), TerminalError> {
    let fail = |reason: &str| TerminalError::Program {
        program: program.to_owned(),
        reason: reason.to_owned(),
    };
    if program.contains('\0') {
        return Err(fail("its name has a zero byte"));
    }
    let runnable = |p: &Path| {
        p.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let full = cwd.join(program);
        return match full.metadata() {
            Err(e) => Err(fail(&match e.kind() {
                io::ErrorKind::NotFound => "there is no such file".to_owned(),
                io::ErrorKind::PermissionDenied => "its directory may not be entered".to_owned(),
                _ => e.to_string(),
            })),
            Ok(m) if m.is_dir() => Err(fail("it is a directory")),
            Ok(_) if !runnable(&full) => Err(fail("it is not executable")),
            Ok(_) => Ok(()),
        };
    }
    let path = path.map(OsString::from).unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| runnable(&cwd.join(dir).join(program))) {
        Ok(())
    } else {
        Err(fail("no such program is in $PATH"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_falls_back() {
        let gone = Path::new("/nonexistent/dir");
        assert_eq!(directory(Some(gone), Some(Path::new("/tmp"))), Path::new("/tmp"));
        assert_eq!(directory(Some(gone), Some(gone)), Path::new("/"));
        assert_eq!(directory(Some(Path::new("/usr")), None), Path::new("/usr"));
    }
}
