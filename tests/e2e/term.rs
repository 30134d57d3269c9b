//! A person's terminal: a PTY with the client in it, the bytes that came over the wire, and an emulator that shows what
//! they make of the screen; a second emulator of another make where a test compares the two.

use std::{
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use rustix::{event, process, pty, termios};

use crate::{
    harness::{House, PATIENCE, qd, until},
    mirror::Mirror,
};

/// How long the reader may wait before it looks whether it is to stop.
const STOP_CHECK: event::Timespec = event::Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What the terminal around the client is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outer {
    /// It takes so many bytes a second, no more.
    pub(crate) rate: Option<usize>,
    /// It speaks the kitty keyboard protocol.
    pub(crate) kitty: bool,
    /// A second emulator sees the same bytes.
    pub(crate) mirror: bool,
}

struct Shared {
    parser: vt100::Parser,
    size: (u16, u16),
    mirror: Option<Mirror>,
    wire: Vec<u8>,
    gone: bool,
    stop: bool,
}

type State = Arc<(Mutex<Shared>, Condvar)>;

/// A terminal with a client in it.
pub(crate) struct Term {
    state: State,
    master: Option<Arc<OwnedFd>>,
    reader: Option<std::thread::JoinHandle<()>>,
    child: Child,
}

impl Term {
    pub(crate) fn open(house: &House, args: &[&str], cols: u16, rows: u16, outer: Outer) -> Self {
        let flags = pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY | pty::OpenptFlags::CLOEXEC;
        let master = pty::openpt(flags).expect("a pty");
        pty::grantpt(&master).expect("a pty");
        pty::unlockpt(&master).expect("a pty");
        let path = pty::ptsname(&master, Vec::new()).expect("a pty's name");
        let path = path.to_str().expect("a path").to_owned();
        let slave = || {
            let mut open = std::fs::File::options();
            std::os::unix::fs::OpenOptionsExt::custom_flags(open.read(true).write(true), 0o400);
            open.open(&path).expect("the pty's other side")
        };
        let input = slave();
        termios::tcsetwinsize(&input, size(cols, rows)).expect("it takes a size");
        // setsid makes the PTY the controlling terminal, and becomes the client.
        let child = Command::new("setsid")
            .args(["--ctty", qd()])
            .args(args)
            .env_clear()
            .envs(house.vars())
            .current_dir(house.path())
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(slave()))
            .stderr(Stdio::from(slave()))
            .spawn()
            .expect("qd starts");
        let master = Arc::new(master);
        let state: State = Arc::new((
            Mutex::new(Shared {
                parser: vt100::Parser::new(rows, cols, 0),
                size: (rows, cols),
                mirror: outer.mirror.then(|| Mirror::new(cols, rows)),
                wire: Vec::new(),
                gone: false,
                stop: false,
            }),
            Condvar::new(),
        ));
        let (for_reader, fd) = (Arc::clone(&state), Arc::clone(&master));
        let reader = std::thread::spawn(move || read_all(&for_reader, &fd, outer));
        Self {
            state,
            master: Some(master),
            reader: Some(reader),
            child,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.state.0.lock().expect("the reader is well")
    }

    /// Types bytes.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        write_all(self.master.as_ref().expect("the terminal is there"), bytes.as_ref());
    }

    /// The leader, then these keys, each its own event.
    pub(crate) fn leader(&self, keys: &str) {
        self.send([b"\0", keys.as_bytes()].concat());
    }

    /// A shell command line, and its end.
    pub(crate) fn line(&self, text: &str) {
        self.send(format!("{text}\r"));
    }

    /// What is on the screen.
    pub(crate) fn text(&self) -> String {
        self.lock().parser.screen().contents()
    }

    /// A look at the emulator.
    pub(crate) fn screen<T>(&self, f: impl FnOnce(&vt100::Screen) -> T) -> T {
        f(self.lock().parser.screen())
    }

    /// Waits until both emulators show the same.
    pub(crate) fn wait_agreement(&self) {
        let end = Instant::now() + PATIENCE;
        let mut s = self.lock();
        while let Some(differs) = s.mirror.as_ref().and_then(|m| m.differs(s.parser.screen())) {
            if Instant::now() > end {
                drop(s);
                panic!("the emulators differ {differs}\n{}", self.text());
            }
            s = self
                .state
                .1
                .wait_timeout(s, Duration::from_millis(100))
                .expect("the reader is well")
                .0;
        }
    }

    /// How many bytes have come.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().wire.len()
    }

    /// The bytes that have come since.
    pub(crate) fn wire(&self, from: usize) -> Vec<u8> {
        self.lock().wire[from..].to_vec()
    }

    /// Waits until these bytes have come.
    pub(crate) fn wait_wire(&self, from: usize, needle: &[u8]) {
        let what = String::from_utf8_lossy(needle).into_owned();
        self.wait_state(&format!("{what:?} on the wire"), |s| {
            s.wire[from..].windows(needle.len()).any(|w| w == needle)
        });
    }

    fn wait_state(&self, what: &str, mut cond: impl FnMut(&Shared) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut s = self.lock();
        while !cond(&s) {
            let left = end.saturating_duration_since(Instant::now());
            let screen = s.parser.screen().contents();
            assert!(
                !left.is_zero() && !s.gone,
                "never came: {what} (gone: {})\n{screen}",
                s.gone
            );
            s = self.state.1.wait_timeout(s, left).expect("the reader is well").0;
        }
    }

    /// Waits until the screen fulfils a condition; the test fails, with the screen, when it never does.
    pub(crate) fn wait(&self, what: &str, mut cond: impl FnMut(&vt100::Screen) -> bool) {
        self.wait_state(what, |s| cond(s.parser.screen()));
    }

    /// Waits a while for a screen that somebody else will judge; says whether it came.
    pub(crate) fn look_for(&self, mut cond: impl FnMut(&vt100::Screen) -> bool) -> bool {
        let end = Instant::now() + PATIENCE / 8;
        let mut s = self.lock();
        while !cond(s.parser.screen()) {
            if s.gone || Instant::now() > end {
                return false;
            }
            s = self
                .state
                .1
                .wait_timeout(s, Duration::from_millis(100))
                .expect("the reader is well")
                .0;
        }
        true
    }

    /// Waits until nothing has come for a while: for making a golden screen, not for testing.
    pub(crate) fn settle(&self) {
        let (mut s, mut seen) = (self.lock(), 0);
        while s.wire.len() != seen || seen == 0 {
            seen = s.wire.len();
            drop(s);
            std::thread::sleep(Duration::from_millis(700));
            s = self.lock();
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

    /// Waits for the shell's prompt.
    pub(crate) fn wait_prompt(&self) {
        self.wait_text("$ ");
    }

    /// Runs a command line in the shell that has the keys, and waits until it is done: the shell computes the mark, so
    /// the echo of the line is not taken for it.
    pub(crate) fn shell(&self, command: &str) {
        let n = self.bytes();
        self.line(&format!("{command}; echo done$(({n}+1))."));
        self.wait_text(&format!("done{}.", n + 1));
    }

    /// Waits until the word for the keys' mode is at the left of the bottom line.
    pub(crate) fn wait_mode(&self, word: &str) {
        self.wait(&format!("mode {word}"), |s| {
            let (rows, cols) = s.size();
            s.rows(0, cols)
                .nth(usize::from(rows) - 1)
                .is_some_and(|l| l.trim_start().starts_with(word))
        });
    }

    /// Another size.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        let mut s = self.lock();
        s.size = (rows, cols);
        s.parser.screen_mut().set_size(rows, cols);
        if let Some(m) = s.mirror.as_mut() {
            m.resize(cols, rows);
        }
        drop(s);
        if let Some(m) = &self.master {
            termios::tcsetwinsize(m, size(cols, rows)).expect("it takes a size");
        }
    }

    /// The client's process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Sends the client a signal.
    pub(crate) fn signal(&self, s: process::Signal) {
        let pid = process::Pid::from_raw(self.pid()).expect("a pid");
        process::kill_process(pid, s).expect("it is there");
    }

    /// Waits until the client has ended and everything it wrote is on the screen; gives its exit status, 128 and more
    /// for a signal.
    pub(crate) fn wait_end(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(s) = self.child.try_wait().expect("it can be waited for") {
                break s;
            }
            assert!(Instant::now() < end, "the client never ended\n{}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        };
        until("the end of the output", || {
            (self.master.is_none() || self.lock().gone).then_some(())
        });
        status
            .code()
            .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0))
    }

    /// The terminal goes away, as when the network does.
    pub(crate) fn hang_up(&mut self) {
        self.lock().stop = true;
        if let Some(r) = self.reader.take() {
            r.join().expect("the reader is well");
        }
        self.master = None;
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(mut s) = self.state.0.lock() {
            s.stop = true;
        }
    }
}

fn size(cols: u16, rows: u16) -> termios::Winsize {
    termios::Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)).expect("the terminal takes input");
        bytes = &bytes[n..];
    }
}

/// Reads what the client writes until it is gone or the terminal is closed.
fn read_all(state: &State, fd: &OwnedFd, outer: Outer) {
    let mut buf = vec![0; 65536];
    let take = outer.rate.map_or(buf.len(), |r| (r / 50).max(1));
    let (lock, cond) = &**state;
    let mut answered = 0;
    loop {
        if lock.lock().expect("no panic").stop {
            return;
        }
        let mut polled = [event::PollFd::new(fd, event::PollFlags::IN)];
        if event::poll(&mut polled, Some(&STOP_CHECK)).unwrap_or(0) == 0 {
            continue;
        }
        let n = rustix::io::read(fd, &mut buf[..take]).unwrap_or(0);
        let mut s = lock.lock().expect("no panic");
        if n == 0 {
            s.gone = true;
            cond.notify_all();
            return;
        }
        // The emulator is known to panic on screens of one column; it starts over then, and the next full frame heals it.
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.parser.process(&buf[..n])));
        if taken.is_err() {
            let (rows, cols) = s.size;
            s.parser = vt100::Parser::new(rows, cols, 0);
        }
        if let Some(m) = s.mirror.as_mut() {
            m.feed(&buf[..n]);
        }
        s.wire.extend_from_slice(&buf[..n]);
        // The client's questions, which end with the one for the primary attributes.
        let fence = b"\x1b[c";
        let from = s.wire.len().saturating_sub(n + 2).max(answered);
        let asked = s.wire[from..].windows(fence.len()).position(|w| w == fence);
        cond.notify_all();
        if let Some(at) = asked {
            answered = from + at + fence.len();
            drop(s);
            if outer.kitty {
                write_all(fd, b"\x1b[?0u");
            }
            write_all(fd, b"\x1b[?62;22c");
        } else {
            drop(s);
        }
        if outer.rate.is_some() {
            // This is the slowness that was asked for.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
