//! A child on a pseudo-terminal and its emulator. It owns the master's descriptor, the child and what waits to be written
//! to it; all of it is non-blocking and driven by the caller's poll. It never waits, sleeps or starts a thread.

use std::{
    cell::RefCell,
    collections::VecDeque,
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use qd_tty::{Key, KeyEvent, Mods, MouseEvent, MouseKind, Size};
use rustix::{
    fs::OFlags,
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus},
    termios::Winsize,
};

use serde::{Deserialize, Serialize};

use crate::{
    ScrollbackLimits, TerminalError, Vt, VtEvent,
    holder::{Adopted, Link},
    program::{check_program, directory, environment},
    split_blocks,
    store::{Answered, Left, Step, Store},
};

/// How many bytes wait for the child, at the most; what comes beyond is dropped and counted.
pub const WRITE_QUEUE_MAX: usize = 16 << 20;

/// A terminal whose program printed no more than this since the last checkpoint is left as it is.
const SETTLED: u64 = 64 * 1024;

/// How many lines a turn of the wheel is on the alternate screen (mode 1007).
const WHEEL_LINES: usize = 3;

/// Children that outlived their terminal and are still to be reaped.
static ORPHANS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

thread_local! {
    /// One read buffer for all terminals of a thread: a pane must cost nothing while it is idle.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The same for checkpoints, and the blocks of the scrollback that go with them.
    static CHECKPOINT: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}
const BUFFER_SIZE: usize = 64 * 1024;
const CHECKPOINT_SIZE: usize = 256 * 1024;

/// What to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpawnSpec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where; when missing or gone, `$HOME`, then `/`.
    pub cwd: Option<PathBuf>,
    /// Variables to set, over those inherited and those a terminal sets.
    pub env: Vec<(String, String)>,
    /// Variables not to pass on.
    pub env_remove: Vec<String>,
    /// The size.
    pub size: Size,
    /// How much scrollback to keep.
    pub scrollback: ScrollbackLimits,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// Its exit status, where it exited.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
}

impl ExitStatus {
    /// Whether it ended well.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    fn of(s: WaitStatus) -> Self {
        Self {
            code: s.exit_status(),
            signal: s.terminating_signal(),
        }
    }
}

/// Whether there is more to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// No: poll.
    Drained,
    /// The budget is used up: come again.
    Pending,
    /// Never again: all have closed the other side.
    Eof,
}

/// What one turn of reading did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Bytes read and parsed.
    pub bytes: usize,
    /// Whether there is more.
    pub more: More,
}

/// Focus, as told to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// Gained.
    In,
    /// Lost.
    Out,
}

fn size_of(spec: &SpawnSpec) -> Size {
    Size::new(spec.size.cols.max(1), spec.size.rows.max(1))
}

fn kept(source: io::Error) -> TerminalError {
    TerminalError::Io {
        doing: "keeping what it prints",
        source,
    }
}

/// Starts a child on a new pty: the master, which does not block, and the child.
pub(crate) fn open(spec: &SpawnSpec) -> Result<(OwnedFd, Option<Pid>), TerminalError> {
    let program = spec
        .command
        .first()
        .filter(|p| !p.is_empty())
        .ok_or(TerminalError::EmptyCommand)?;
    let size = size_of(spec);
    let mut command = CommandBuilder::from_argv(spec.command.iter().map(OsString::from).collect());
    environment(&mut command, spec);
    let cwd = directory(spec.cwd.as_deref(), command.get_env("HOME").map(Path::new));
    command.env("PWD", &cwd);
    command.cwd(&cwd);
    check_program(program, &cwd, command.get_env("PATH"))?;

    let pair = native_pty_system()
        .openpty(PtySize {
            rows: size.rows,
            cols: size.cols,
            pixel_width: 0,
            pixel_height: 0,
        })
        .map_err(|e| TerminalError::OpenPty(e.root_cause().to_string()))?;
    let raw = pair
        .master
        .as_raw_fd()
        .ok_or_else(|| TerminalError::OpenPty("it has no descriptor".to_owned()))?;
    #[allow(unsafe_code)]
    // SAFETY: `pair.master` owns the descriptor and outlives this borrow, which ends with the duplication.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    let io = |doing| move |source: io::Error| TerminalError::Io { doing, source };
    let master = borrowed
        .try_clone_to_owned()
        .map_err(io("duplicating its descriptor"))?;
    let flags = rustix::fs::fcntl_getfl(&master).map_err(|e| io("reading its flags")(e.into()))?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).map_err(|e| io("making it non-blocking")(e.into()))?;

    let child = pair.slave.spawn_command(command).map_err(|e| TerminalError::Spawn {
        program: program.clone(),
        cwd: cwd.clone(),
        reason: e.root_cause().to_string(),
    })?;
    // Dropping the child's handle neither ends nor reaps it: its number is all that is needed.
    let pid = child.process_id().and_then(|p| Pid::from_raw(i32::try_from(p).ok()?));
    Ok((master, pid))
}

/// Whether what a terminal left is looked at when it is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is: the screen is as it was.
    Everything,
    /// It is not: the screen is empty. For when looking at it ended the process.
    Nothing,
}

/// What a terminal that is held has besides.
struct Held {
    link: Link,
    key: u64,
    store: Store,
}

/// A child on a pty, with its emulator.
pub struct Terminal {
    vt: Vt,
    master: Option<OwnedFd>,
    pid: Option<Pid>,
    exit: Option<ExitStatus>,
    queue: VecDeque<u8>,
    dropped: u64,
    scratch: Vec<u8>,
    held: Option<Held>,
}

impl Terminal {
    /// Starts a child on a new pty. It leads its own session, with the pty as its terminal.
    ///
    /// # Errors
    /// When there is no pty, or the program cannot be run.
    pub fn spawn(spec: &SpawnSpec) -> Result<Self, TerminalError> {
        let (master, pid) = open(spec)?;
        Ok(Self::new(Vt::new(size_of(spec), spec.scrollback), master, pid))
    }

    /// The same, by a holder: the child and what it prints outlive this process. `meta` is what [`crate::Adopted`] calls it.
    ///
    /// # Errors
    /// When there is no pty, the program cannot be run, or the holder is gone.
    pub fn spawn_held(link: &Link, meta: u32, spec: &SpawnSpec) -> Result<Self, TerminalError> {
        let (key, pid, master, store) = link.spawn(meta, spec)?;
        let size = size_of(spec);
        let store = Store::new(store, size).map_err(kept)?;
        let mut term = Self::new(Vt::new(size, spec.scrollback), master, Pid::from_raw(pid));
        term.held = Some(Held {
            link: link.clone(),
            key,
            store,
        });
        Ok(term)
    }

    /// Takes over a terminal that another process left.
    ///
    /// # Errors
    /// When what it left cannot be read; the terminal is let go of then.
    pub fn adopt(link: &Link, adopted: Adopted, look: Look) -> Result<Self, TerminalError> {
        let size = size_of(&adopted.spec);
        let limits = adopted.spec.scrollback;
        let (store, left) = match look {
            Look::Everything => Store::open(adopted.store).map_err(kept)?,
            Look::Nothing => {
                let store = Store::new(adopted.store, size).map_err(kept)?;
                let left = Left {
                    checkpoint: None,
                    steps: Vec::new(),
                };
                (store, left)
            }
        };
        let mut vt = match left.checkpoint {
            None => Vt::new(size, limits),
            Some((state, blocks)) => Vt::restore(&state, split_blocks(&blocks), limits)?.vt,
        };
        let mut replies = Vec::new();
        for step in left.steps {
            match step {
                Step::Resized(size) => vt.resize(size),
                Step::Printed(bytes, answered) => {
                    vt.feed(&bytes);
                    if answered == Answered::Yes {
                        replies.clear();
                        vt.take_replies(&mut replies);
                    }
                }
            }
        }
        let mut term = Self::new(vt, adopted.master, Pid::from_raw(adopted.pid));
        term.held = Some(Held {
            link: link.clone(),
            key: adopted.key,
            store,
        });
        if let Some(status) = adopted.exit {
            term.exit = Some(status);
            term.pid = None;
        }
        term.send_replies();
        Ok(term)
    }

    fn new(vt: Vt, master: OwnedFd, pid: Option<Pid>) -> Self {
        Self {
            vt,
            master: Some(master),
            pid,
            exit: None,
            queue: VecDeque::new(),
            dropped: 0,
            scratch: Vec::new(),
            held: None,
        }
    }

    /// The child's process id; `None` once it is reaped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid.and_then(|p| u32::try_from(p.as_raw_nonzero().get()).ok())
    }

    /// The descriptor to poll; `None` once all have closed the other side.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    /// Reads and parses until the pty is drained or `budget` bytes are read. Replies to the program's questions are
    /// queued and sent.
    ///
    /// # Errors
    /// When reading fails otherwise than by the end of the stream.
    pub fn read_turn(&mut self, budget: usize) -> Result<Turn, TerminalError> {
        let Some(master) = self.master.as_ref() else {
            return Ok(Turn {
                bytes: 0,
                more: More::Eof,
            });
        };
        let read = match &mut self.held {
            None => read_plain(master, &mut self.vt, budget),
            Some(held) => read_held(master, &mut self.vt, held, budget),
        };
        let (bytes, more) = match read {
            Ok(read) => read,
            Err(e) => {
                self.close();
                return Err(e);
            }
        };
        if self.vt.has_replies() {
            let mut replies = std::mem::take(&mut self.scratch);
            replies.clear();
            self.vt.take_replies(&mut replies);
            self.write(&replies);
            self.scratch = replies;
        }
        if let Some(held) = &self.held {
            held.store.answered();
            if held.store.is_full() {
                self.checkpoint();
            }
        }
        if more == More::Eof {
            self.close();
        }
        Ok(Turn { bytes, more })
    }

    /// Writes down the emulator's state, so that what was printed until now need not be kept.
    fn checkpoint(&mut self) {
        let Some(held) = &mut self.held else { return };
        CHECKPOINT.with_borrow_mut(|(state, blocks)| {
            state.clear();
            blocks.clear();
            let made = self.vt.checkpoint(state, blocks);
            if held.store.checkpoint(state, blocks, &made).is_err() {
                self.vt.hand_out_again();
                held.store.skip();
            }
            // A large one leaves no large buffer behind.
            state.shrink_to(CHECKPOINT_SIZE);
            blocks.shrink_to(CHECKPOINT_SIZE);
        });
    }

    /// What its holder knows it by.
    #[must_use]
    pub fn holder_key(&self) -> Option<u64> {
        self.held.as_ref().map(|h| h.key)
    }

    /// Whether [`Terminal::settle`] has something to do.
    #[must_use]
    pub fn unsettled(&self) -> bool {
        self.held.as_ref().is_some_and(|h| h.store.pending() > SETTLED)
    }

    /// Gives memory back that only a lively program needs. For when nothing was printed for a while.
    pub fn settle(&mut self) {
        if self.unsettled() {
            self.checkpoint();
            if let Some(held) = &mut self.held {
                held.store.shrink();
            }
        }
    }

    fn close(&mut self) {
        self.master = None;
        self.queue = VecDeque::new();
    }

    /// Sends bytes to the child, now or as it takes them.
    pub fn write(&mut self, bytes: &[u8]) {
        let Some(master) = self.master.as_ref() else { return };
        let mut rest = bytes;
        while self.queue.is_empty() && !rest.is_empty() {
            match rustix::io::write(master, rest) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // A broken pty shows itself when it is read.
                Err(_) => break,
            }
        }
        let fits = rest.len().min(WRITE_QUEUE_MAX - self.queue.len().min(WRITE_QUEUE_MAX));
        self.dropped += (rest.len() - fits) as u64;
        self.queue.extend(&rest[..fits]);
    }

    /// Whether bytes wait for the child.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Writes what waits, as far as the child takes it.
    ///
    /// # Errors
    /// When the pty fails; what waited is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(master) = self.master.as_ref() else {
            return Ok(());
        };
        while !self.queue.is_empty() {
            match rustix::io::write(master, self.queue.as_slices().0) {
                Ok(n) => drop(self.queue.drain(..n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(e) => {
                    self.queue = VecDeque::new();
                    return Err(e.into());
                }
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > BUFFER_SIZE {
            self.queue = VecDeque::new();
        }
        Ok(())
    }

    /// How many bytes wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many bytes were dropped because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Encodes with `f` and sends.
    fn send(&mut self, f: impl FnOnce(&Vt, &mut Vec<u8>)) {
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        f(&self.vt, &mut out);
        self.write(&out);
        self.scratch = out;
    }

    /// Sends a key, as the program's modes ask.
    pub fn key(&mut self, key: &KeyEvent) {
        self.send(|vt, out| vt.encode_key(key, out));
    }

    /// Sends a mouse event (0-based, relative to the pane); false when the program does not want it. On the alternate
    /// screen the wheel becomes arrow keys where mode 1007 says so.
    pub fn mouse(&mut self, event: &MouseEvent) -> bool {
        let mut wanted = false;
        self.send(|vt, out| {
            wanted = vt.encode_mouse(event, out);
            let modes = vt.modes();
            if wanted || !modes.alt_screen || !modes.alternate_scroll || modes.mouse != crate::MouseWant::Nothing {
                return;
            }
            let key = match event.kind {
                MouseKind::WheelUp => Key::Up,
                MouseKind::WheelDown => Key::Down,
                _ => return,
            };
            for _ in 0..WHEEL_LINES {
                vt.encode_key(&KeyEvent::new(key, Mods::empty()), out);
            }
            wanted = true;
        });
        wanted
    }

    /// Sends a paste, in brackets where the program asked for them. Control characters are left out, line ends become
    /// what Enter sends.
    pub fn paste(&mut self, bytes: &[u8]) {
        self.send(|vt, out| {
            let bracketed = vt.modes().bracketed_paste;
            if bracketed {
                out.extend_from_slice(b"\x1b[200~");
            }
            clean_paste(bytes, out);
            if bracketed {
                out.extend_from_slice(b"\x1b[201~");
            }
        });
        // A large paste leaves no large buffer behind.
        self.scratch.shrink_to(BUFFER_SIZE);
    }

    /// Tells the focus, where the program asked for it (mode 1004).
    pub fn focus(&mut self, focus: Focus) {
        if self.vt.modes().focus_events {
            self.write(match focus {
                Focus::In => b"\x1b[I",
                Focus::Out => b"\x1b[O",
            });
        }
    }

    /// Changes the size of emulator and pty; the program hears of it by SIGWINCH.
    pub fn resize(&mut self, size: Size) {
        let size = Size::new(size.cols.max(1), size.rows.max(1));
        if size == self.vt.size() {
            return;
        }
        self.vt.resize(size);
        if let Some(held) = &mut self.held
            && !held.store.note_size(size)
        {
            self.checkpoint();
        }
        if let Some(master) = &self.master {
            let w = Winsize {
                ws_row: size.rows,
                ws_col: size.cols,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // It fails only for a dead pty, which reading finds out.
            let _ = rustix::termios::tcsetwinsize(master, w);
        }
    }

    /// The exit status, once the child has ended; the first such call reaps it. Never waits.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if let Some(held) = &self.held {
            if let Some(pid) = self.pid
                && let Some(status) = held
                    .link
                    .exit(held.key, pid.as_raw_nonzero().get(), self.master.is_none())
            {
                self.exit = Some(status);
                self.pid = None;
            }
            return self.exit;
        }
        if let Some(pid) = self.pid {
            match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) if status.exited() || status.signaled() => {
                    self.exit = Some(ExitStatus::of(status));
                    self.pid = None;
                }
                // Someone else reaped it: how it ended is lost.
                Err(Errno::CHILD) => {
                    self.exit = Some(ExitStatus {
                        code: None,
                        signal: None,
                    });
                    self.pid = None;
                }
                _ => {}
            }
        }
        self.exit
    }

    fn signal(&self, signal: Signal) {
        // An ended child that was not reaped still holds its number, so nobody else is hit.
        if let Some(pid) = self.pid {
            let _ = rustix::process::kill_process_group(pid, signal);
            if let Some(front) = self.foreground().filter(|g| *g != pid) {
                let _ = rustix::process::kill_process_group(front, signal);
            }
        }
    }

    fn foreground(&self) -> Option<Pid> {
        self.master.as_ref().and_then(|m| rustix::termios::tcgetpgrp(m).ok())
    }

    /// Ends the child, and what runs in the foreground, with SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Asks the child, and what runs in the foreground, to end, as a terminal that is closed does (SIGHUP).
    pub fn hangup(&mut self) {
        self.signal(Signal::HUP);
        // One that is stopped hears of it only when it runs again.
        self.signal(Signal::CONT);
    }

    /// The process group in the foreground of the pty.
    #[must_use]
    pub fn foreground_group(&self) -> Option<u32> {
        u32::try_from(self.foreground()?.as_raw_nonzero().get()).ok()
    }

    /// The present directory of what runs in the foreground, or else of the child, from the system.
    #[must_use]
    pub fn cwd(&self) -> Option<PathBuf> {
        let of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
        self.foreground_group().and_then(of).or_else(|| self.pid().and_then(of))
    }

    /// The emulator.
    #[must_use]
    pub fn vt(&self) -> &Vt {
        &self.vt
    }

    /// The emulator, to scroll, search and configure. Replies it makes by that are sent with the next turn or
    /// [`Terminal::send_replies`].
    pub fn vt_mut(&mut self) -> &mut Vt {
        &mut self.vt
    }

    /// Sends what the emulator answered outside a turn: clipboard, dark or light.
    pub fn send_replies(&mut self) {
        let mut out = Vec::new();
        self.vt.take_replies(&mut out);
        self.write(&out);
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<VtEvent> {
        self.vt.take_events()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            if self.exit.is_none() {
                self.hangup();
            }
            // The holder goes on from here: it kills what does not mind, and reaps.
            self.master = None;
            held.link.release(held.key);
            return;
        }
        if self.try_wait().is_none() {
            self.hangup();
            self.master = None;
            if self.try_wait().is_none()
                && let Some(pid) = self.pid
            {
                ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
            }
        }
    }
}

/// What a read from a PTY gave.
enum Got {
    Bytes(usize),
    End(More),
}

fn read(master: &OwnedFd, buffer: &mut [u8]) -> Result<Got, TerminalError> {
    loop {
        return match rustix::io::read(master, &mut *buffer) {
            // The kernel says EIO when the last one has closed the other side.
            Ok(0) | Err(Errno::IO) => Ok(Got::End(More::Eof)),
            Ok(n) => Ok(Got::Bytes(n)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Got::End(More::Drained)),
            Err(e) => Err(TerminalError::Io {
                doing: "reading",
                source: e.into(),
            }),
        };
    }
}

/// Reads and parses, by way of a buffer.
fn read_plain(master: &OwnedFd, vt: &mut Vt, budget: usize) -> Result<(usize, More), TerminalError> {
    let mut bytes = 0;
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(BUFFER_SIZE, 0);
        while bytes < budget {
            // The kernel gives 4 KB at a time; the emulator likes them together.
            let want = BUFFER_SIZE.min(budget - bytes);
            let mut got = 0;
            let mut end = None;
            while got < want && end.is_none() {
                match read(master, &mut buffer[got..want]) {
                    Ok(Got::Bytes(n)) => got += n,
                    Ok(Got::End(more)) => end = Some(Ok((bytes + got, more))),
                    Err(e) => end = Some(Err(e)),
                }
            }
            bytes += got;
            vt.feed(&buffer[..got]);
            if let Some(end) = end {
                return end;
            }
        }
        Ok((bytes, More::Pending))
    })
}

/// Reads into the store and parses from there.
fn read_held(master: &OwnedFd, vt: &mut Vt, held: &mut Held, budget: usize) -> Result<(usize, More), TerminalError> {
    let mut bytes = 0;
    while bytes < budget {
        let want = BUFFER_SIZE.min(budget - bytes);
        let mut got = 0;
        let mut end = None;
        while got < want && end.is_none() {
            let Some(room) = held.store.room(want - got) else { break };
            let piece = room.len();
            match read(master, room) {
                Ok(Got::Bytes(n)) => {
                    held.store.advance(n);
                    got += n;
                    // The ring's end: what follows is elsewhere.
                    if n == piece && held.store.at_seam() {
                        break;
                    }
                }
                Ok(Got::End(more)) => end = Some(Ok((bytes + got, more))),
                Err(e) => end = Some(Err(e)),
            }
        }
        bytes += got;
        vt.feed(held.store.last(got));
        if let Some(end) = end {
            return end;
        }
        if held.store.is_full() {
            return Ok((bytes, More::Pending));
        }
    }
    Ok((bytes, More::Pending))
}

/// Reaps children that outlived their terminal; call it on SIGCHLD, or now and then. Returns how many still live.
pub fn reap_orphans() -> usize {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    orphans.retain(|pid| matches!(rustix::process::waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None)));
    orphans.len()
}

/// Ends children that outlived their terminal and did not mind the hangup, with SIGKILL.
pub fn kill_orphans() {
    for pid in ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
    }
}

/// Appends a paste without what could act on the terminal or the program: control characters, and with them any way to
/// end the brackets from inside.
fn clean_paste(bytes: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while let Some(b) = bytes.get(i) {
        match b {
            b'\r' if bytes.get(i + 1) == Some(&b'\n') => {}
            b'\n' | b'\r' => out.push(b'\r'),
            b'\t' => out.push(b'\t'),
            0x1b if bytes[i..].starts_with(b"\x1b[201~") || bytes[i..].starts_with(b"\x1b[200~") => i += 5,
            0..=0x1f | 0x7f => {}
            // The 8-bit controls, in UTF-8.
            0xc2 if bytes.get(i + 1).is_some_and(|c| (0x80..0xa0).contains(c)) => i += 1,
            b => out.push(*b),
        }
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pastes_cannot_leave_their_brackets() {
        let clean = |b: &[u8]| {
            let mut out = Vec::new();
            clean_paste(b, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(clean(b"a\x1b[201~b\x1b[20\x1b[201~1~c"), "ab[201~c");
        assert_eq!(clean("x\u{9b}201~\x03y\r\nz\n\tw".as_bytes()), "x201~y\rz\r\tw");
        assert_eq!(clean("h\u{e9}\u{4e16}".as_bytes()), "h\u{e9}\u{4e16}");
    }
}
