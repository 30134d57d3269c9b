//! A person at a terminal: a PTY with the real binary in it, an emulator that shows the screen, and a house of its own
//! (configuration, state, sockets) for every test.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a condition may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub(crate) fn qd() -> &'static str {
    env!("CARGO_BIN_EXE_qd")
}

/// A home of its own for one test: nothing of the machine's person leaks in, and its sessions end with it.
pub(crate) struct House {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for d in ["run", "config/quarterdeck", "state", "home"] {
            std::fs::create_dir_all(dir.path().join(d)).expect("a directory");
        }
        std::fs::write(dir.path().join("bashrc"), "PS1='$ '\nunset PROMPT_COMMAND\nbind 'set enable-bracketed-paste off'\n")
            .expect("a file");
        let shell = dir.path().join("shell");
        let script = format!("#!/bin/sh\nexec bash --rcfile {}/bashrc -i \"$@\"\n", dir.path().display());
        std::fs::write(&shell, script).expect("a file");
        std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&shell).expect("it is there").permissions(), 0o755);
        std::fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
        Self { dir, env: Vec::new() }
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

    fn vars(&self) -> Vec<(String, String)> {
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

    /// Runs the binary without a terminal.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(qd())
            .args(args)
            .env_clear()
            .envs(self.vars())
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("qd runs")
    }

    /// Runs it and expects success; gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "qd {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Opens a terminal with the binary in it.
    pub(crate) fn term(&self, args: &[&str], cols: u16, rows: u16) -> Term {
        Term::open(self, args, cols, rows)
    }

    /// The server's process id.
    pub(crate) fn server_pid(&self, name: &str) -> i32 {
        let list: serde_json::Value = serde_json::from_str(&self.ok(&["ls", "--json"])).expect("JSON");
        let pid = list.as_array().and_then(|a| a.iter().find(|s| s["name"] == name)).map(|s| s["pid"].clone());
        i32::try_from(pid.and_then(|p| p.as_i64()).expect("the session is listed")).expect("a pid")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.run(&["kill", "--all"]);
    }
}

struct Shared {
    parser: vt100::Parser,
    bytes: u64,
    gone: bool,
}

/// A terminal with a client in it.
pub(crate) struct Term {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    master: Option<Box<dyn MasterPty + Send>>,
    child: Box<dyn Child + Send + Sync>,
}

impl Term {
    fn open(house: &House, args: &[&str], cols: u16, rows: u16) -> Self {
        let pair = native_pty_system()
            .openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })
            .expect("a pty");
        let mut cmd = CommandBuilder::new(qd());
        cmd.args(args);
        cmd.env_clear();
        for (k, v) in house.vars() {
            cmd.env(k, v);
        }
        cmd.cwd(house.path());
        let child = pair.slave.spawn_command(cmd).expect("qd starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let writer = Arc::new(Mutex::new(pair.master.take_writer().expect("a writer")));
        let shared = Arc::new((
            Mutex::new(Shared { parser: vt100::Parser::new(rows, cols, 0), bytes: 0, gone: false }),
            Condvar::new(),
        ));
        let (for_reader, answers) = (Arc::clone(&shared), Arc::clone(&writer));
        std::thread::spawn(move || {
            let mut buf = [0; 65536];
            loop {
                let n = reader.read(&mut buf).unwrap_or(0);
                let (lock, cond) = &*for_reader;
                let mut s = lock.lock().expect("no panic");
                if n == 0 {
                    s.gone = true;
                    cond.notify_all();
                    return;
                }
                s.parser.process(&buf[..n]);
                s.bytes += n as u64;
                cond.notify_all();
                drop(s);
                // The fence of the client's questions: primary attributes.
                if buf[..n].windows(3).any(|w| w == b"\x1b[c") {
                    let _ = answers.lock().expect("no panic").write_all(b"\x1b[?62;22c");
                }
            }
        });
        Self { shared, writer, master: Some(pair.master), child }
    }

    /// Types bytes.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut w = self.writer.lock().expect("no panic");
        w.write_all(bytes.as_ref()).expect("the terminal takes input");
        w.flush().expect("the terminal takes input");
    }

    /// The leader, then these keys.
    pub(crate) fn leader(&self, keys: &str) {
        self.send([b"\0", keys.as_bytes()].concat());
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        self.shared.0.lock().expect("no panic").parser.screen().contents()
    }

    /// A look at the emulator.
    pub(crate) fn screen<T>(&self, f: impl FnOnce(&vt100::Screen) -> T) -> T {
        f(self.shared.0.lock().expect("no panic").parser.screen())
    }

    /// Bytes that have come.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.0.lock().expect("no panic").bytes
    }

    /// Waits until the screen fulfils a condition; the test fails, with the screen, when it never does.
    pub(crate) fn wait(&self, what: &str, mut cond: impl FnMut(&vt100::Screen) -> bool) {
        let (lock, var) = &*self.shared;
        let end = Instant::now() + PATIENCE;
        let mut s = lock.lock().expect("no panic");
        while !cond(s.parser.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !s.gone, "never came: {what} (gone: {})\n{}", s.gone, s.parser.screen().contents());
            s = var.wait_timeout(s, left).expect("no panic").0;
        }
    }

    /// Waits until a text is on the screen.
    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(text, |s| s.contents().contains(text));
    }

    /// Waits until a text is on the screen no more.
    pub(crate) fn wait_gone(&self, text: &str) {
        self.wait(&format!("{text} gone"), |s| !s.contents().contains(text));
    }

    /// Waits for the shell's prompt and that the screen has been at rest for a moment of output.
    pub(crate) fn wait_prompt(&self) {
        self.wait("a prompt", |s| s.contents().contains("$ "));
    }

    /// Another size.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        self.shared.0.lock().expect("no panic").parser.screen_mut().set_size(rows, cols);
        if let Some(m) = &self.master {
            m.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).expect("it resizes");
        }
    }

    /// The client's process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.process_id().expect("it runs")).expect("a pid")
    }

    /// Sends the client a signal.
    pub(crate) fn signal(&self, s: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        rustix::process::kill_process(pid, s).expect("it is there");
    }

    /// Waits until the client has ended; gives its exit status.
    pub(crate) fn wait_end(&mut self) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(s) = self.child.try_wait().expect("it can be waited for") {
                return s.exit_code();
            }
            assert!(Instant::now() < end, "the client never ended\n{}", self.text());
            std::thread::yield_now();
        }
    }

    /// The terminal goes away, as when the network does.
    pub(crate) fn hang_up(&mut self) {
        self.master = None;
        *self.writer.lock().expect("no panic") = Box::new(std::io::sink());
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
