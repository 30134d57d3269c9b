//! A house of its own for every test (configuration, state, sockets), and the binary run in it without a terminal. The
//! terminal is [`crate::term`]'s business.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::term::{Outer, Term};

/// How long a condition may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// How long to rest between two looks at something that cannot be waited for.
const LOOK: Duration = Duration::from_millis(5);

/// The binary under test.
pub(crate) fn qd() -> &'static str {
    env!("CARGO_BIN_EXE_qd")
}

/// Waits until a condition gives something; the test fails when it never does.
pub(crate) fn until<T>(what: &str, mut cond: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(v) = cond() {
            return v;
        }
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Whether a program is installed; says so when it is not.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = path.split(':').any(|d| Path::new(d).join(program).exists());
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

/// A home of its own for one test: nothing of the machine's person leaks in, and its sessions end with it.
pub(crate) struct House {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for d in ["run", "config/quarterdeck/layouts", "state/quarterdeck", "home"] {
            std::fs::create_dir_all(dir.path().join(d)).expect("a directory");
        }
        let house = Self { dir, env: Vec::new() };
        // This person has been welcomed before.
        house.file("state/quarterdeck/greeted", "");
        // One shell, so that tests count panes and tabs from one; `logs.rs` opens the layout that people get.
        house.file("config/quarterdeck/layouts/default.kdl", "layout { tab { pane; }; }\n");
        house.file(
            "bashrc",
            "PS1='$ '\nunset PROMPT_COMMAND HISTFILE\nbind 'set enable-bracketed-paste off'\n",
        );
        house.script(
            "shell",
            &format!("exec bash --rcfile {}/bashrc -i \"$@\"", house.path().display()),
        );
        house
    }

    /// Writes a file, with the directories that it stands in; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the house")).expect("directories");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Writes a shell script; gives its path.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.file(name, &format!("#!/bin/sh\n{body}\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
        path
    }

    /// Sets a variable for everything started here from now on.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes the configuration file.
    pub(crate) fn config(self, text: &str) -> Self {
        std::fs::write(self.config_file(), text).expect("the configuration is written");
        self
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path().join("config/quarterdeck/config.kdl")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.path().join(format!("run/quarterdeck/{name}.sock"))
    }

    /// What a session's server wrote to its log.
    pub(crate) fn log(&self, name: &str) -> String {
        let path = self.path().join(format!("state/quarterdeck/logs/{name}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// The environment of everything in the house; later entries win.
    pub(crate) fn vars(&self) -> Vec<(String, String)> {
        let p = |s: &str| self.path().join(s).to_string_lossy().into_owned();
        let mut v: Vec<(String, String)> = vec![
            ("XDG_RUNTIME_DIR".into(), p("run")),
            ("XDG_CONFIG_HOME".into(), p("config")),
            ("XDG_STATE_HOME".into(), p("state")),
            ("HOME".into(), p("home")),
            ("SHELL".into(), p("shell")),
            ("TERM".into(), "xterm-256color".into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
        ];
        v.extend(self.env.clone());
        v
    }

    /// Runs the binary without a terminal; one that does not end is ended, and the test fails.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let out = self.start(args).and_then(|child| {
            let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            let (tell, hear) = std::sync::mpsc::channel();
            std::thread::spawn(move || tell.send(child.wait_with_output()));
            hear.recv_timeout(PATIENCE).map_err(|_| {
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                std::io::Error::from(std::io::ErrorKind::TimedOut)
            })?
        });
        out.unwrap_or_else(|e| panic!("qd {args:?}: {e}"))
    }

    fn start(&self, args: &[&str]) -> std::io::Result<std::process::Child> {
        Command::new(qd())
            .args(args)
            .env_clear()
            .envs(self.vars())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Runs it and expects success; gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(
            out.status.success(),
            "qd {args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs it and expects this exit status; gives what it said on standard error.
    pub(crate) fn fails(&self, args: &[&str], status: i32) -> String {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(status), "qd {args:?}: {said}");
        assert!(!out.stdout.contains(&0x1b), "qd {args:?} wrote an escape");
        said
    }

    /// `qd action` with these words, split at blanks; gives what it printed, trimmed.
    pub(crate) fn act(&self, words: &str) -> String {
        let args: Vec<&str> = ["action"].into_iter().chain(words.split_whitespace()).collect();
        self.ok(&args).trim().to_owned()
    }

    /// A list that `qd action` prints as JSON.
    pub(crate) fn list(&self, words: &str) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.act(&format!("{words} --json"))).expect("a JSON list")
    }

    /// Waits until the list of panes fulfils a condition.
    pub(crate) fn wait_panes(&self, what: &str, cond: impl Fn(&[serde_json::Value]) -> bool) -> Vec<serde_json::Value> {
        until(what, || Some(self.list("list-panes")).filter(|l| cond(l)))
    }

    /// Opens a terminal with the binary in it.
    pub(crate) fn term(&self, args: &[&str], cols: u16, rows: u16) -> Term {
        Term::open(self, args, cols, rows, Outer::default())
    }

    /// The server's process id.
    pub(crate) fn server_pid(&self, name: &str) -> i32 {
        let list: serde_json::Value = serde_json::from_str(&self.ok(&["ls", "--json"])).expect("JSON");
        let pid = list
            .as_array()
            .and_then(|a| a.iter().find(|s| s["name"] == name))
            .map(|s| s["pid"].clone());
        i32::try_from(pid.and_then(|p| p.as_i64()).expect("the session is listed")).expect("a pid")
    }
}

impl House {
    /// The process that keeps a session's terminals: the server's parent.
    pub(crate) fn holder(&self, name: &str) -> rustix::process::Pid {
        let parent = parent_of(self.server_pid(name)).expect("the server has a parent");
        let line = std::fs::read(format!("/proc/{parent}/cmdline")).expect("it is there");
        assert!(String::from_utf8_lossy(&line).contains("hold"), "{parent} is no holder");
        rustix::process::Pid::from_raw(parent).expect("a pid")
    }
}

/// The parent of a process, while that is there.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|l| l.strip_prefix("PPid:"))
        .and_then(|p| p.trim().parse().ok())
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The first failure is the one to show.
            let _ = self.start(&["kill", "--all"]).and_then(|mut c| c.wait());
        } else {
            self.run(&["kill", "--all"]);
        }
    }
}
