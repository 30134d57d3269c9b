//! The environment of the session's programs. What belongs to a connection (`SSH_AUTH_SOCK`, `DISPLAY`, …) is taken anew
//! from every client that attaches; the agent's socket is reached through a link of the session's own, so that shells
//! which were started long ago find the agent of the newest connection.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use qd_config::Config;
use qd_mux::{PaneId, PaneSpec};
use qd_terminal::{ScrollbackLimits, SpawnSpec};
use qd_tty::Size;

use crate::{session::Session, sockets::SocketDir};

/// Variables of an outer multiplexer or terminal that would mislead the programs inside.
const REMOVED: &[&str] = &[
    "TMUX",
    "TMUX_PANE",
    "STY",
    "ZELLIJ",
    "ZELLIJ_SESSION_NAME",
    "ZELLIJ_PANE_ID",
    "COLUMNS",
    "LINES",
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "ALACRITTY_WINDOW_ID",
    "TERM_SESSION_ID",
    "ITERM_SESSION_ID",
    "KONSOLE_VERSION",
];

/// What programs of the session are given.
#[derive(Debug)]
pub(crate) struct SessionEnv {
    vars: BTreeMap<String, Option<String>>,
    agent_link: PathBuf,
    session: String,
    updates: Vec<String>,
}

impl SessionEnv {
    pub(crate) fn new(sockets: &SocketDir, name: &str, config: &Config) -> Self {
        let mut env = Self {
            vars: BTreeMap::new(),
            agent_link: sockets.path().join(format!("{name}.agent")),
            session: name.to_owned(),
            updates: config.update_environment.clone(),
        };
        if let Ok(agent) = std::env::var("SSH_AUTH_SOCK") {
            env.link_agent(&agent);
        }
        env
    }

    /// Takes the configured list of variables to refresh.
    pub(crate) fn set_updates(&mut self, names: Vec<String>) {
        self.updates = names;
    }

    /// What clients brought, to be written down.
    pub(crate) fn brought(&self) -> Vec<(String, Option<String>)> {
        self.vars.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Takes what clients had brought to the server before.
    pub(crate) fn bring(&mut self, vars: Vec<(String, Option<String>)>) {
        self.vars.extend(vars);
    }

    /// Takes what a client brought.
    pub(crate) fn update(&mut self, vars: &[(String, Option<String>)]) {
        for (k, v) in vars {
            if k == "SSH_AUTH_SOCK" {
                if let Some(agent) = v {
                    self.link_agent(agent);
                }
            } else if self.updates.contains(k) {
                self.vars.insert(k.clone(), v.clone());
            }
        }
    }

    /// Points the session's link at an agent's socket, by a rename, so that there is always one.
    fn link_agent(&mut self, agent: &str) {
        if Path::new(agent) == self.agent_link {
            return;
        }
        let tmp = self.agent_link.with_extension("agent.new");
        let _ = std::fs::remove_file(&tmp);
        if std::os::unix::fs::symlink(agent, &tmp).is_ok() && std::fs::rename(&tmp, &self.agent_link).is_ok() {
            let link = self.agent_link.to_string_lossy().into_owned();
            self.vars.insert("SSH_AUTH_SOCK".to_owned(), Some(link));
        }
    }
}

impl Drop for SessionEnv {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.agent_link);
    }
}

/// The shell to start: the configured one, `$SHELL`, or `/bin/sh`; one that is not there is passed over.
pub(crate) fn shell_of(config: &Config) -> String {
    let env = std::env::var("SHELL").ok();
    let there = |s: &String| !s.is_empty() && (!s.starts_with('/') || Path::new(s).exists());
    config
        .shell
        .clone()
        .filter(there)
        .or(env.filter(there))
        .unwrap_or_else(|| "/bin/sh".to_owned())
}

/// What to start for a pane.
pub(crate) fn spawn_spec(session: &Session, id: PaneId, spec: &PaneSpec, size: Size) -> SpawnSpec {
    let config = &session.config;
    let command = spec.command.clone().unwrap_or_else(|| vec![shell_of(config)]);
    let mut env: Vec<(String, String)> = config.env.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut env_remove: Vec<String> = REMOVED.iter().map(|s| (*s).to_owned()).collect();
    for (k, v) in &session.env.vars {
        match v {
            Some(v) => env.push((k.clone(), v.clone())),
            None => env_remove.push(k.clone()),
        }
    }
    env.push(("QD_SESSION".to_owned(), session.env.session.clone()));
    env.push(("QD_PANE_ID".to_owned(), id.0.to_string()));
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let cwd = spec.cwd.as_ref().map(|c| match (c.strip_prefix("~/"), home()) {
        (Some(rest), Some(h)) => h.join(rest),
        _ if c == "~" => home().unwrap_or_else(|| PathBuf::from("/")),
        _ => PathBuf::from(c),
    });
    let base = session.options.cwd.clone();
    let cwd = match (cwd, base) {
        (Some(c), Some(b)) if c.is_relative() => Some(b.join(c)),
        (Some(c), _) => Some(c),
        (None, b) => config.default_cwd.as_ref().map(PathBuf::from).or(b),
    };
    SpawnSpec {
        command,
        cwd,
        env,
        env_remove,
        size,
        scrollback: ScrollbackLimits {
            lines: config.scrollback_lines,
            bytes: config.scrollback_bytes,
        },
    }
}
