//! A session on this terminal, from taking it to giving it back. Two threads: the caller's waits for keys and signals
//! and talks to the server, the other one hears the server: frames that it sends are written to the terminal, and each is
//! acknowledged when it has been. A terminal that takes no bytes stops the second thread only. Where it can, the server
//! writes to the terminal itself; the client offers that when its own setup is written, and what it has to write later
//! goes by way of the server, so that nothing comes in the middle of a frame. This module owns the socket and both
//! threads; it never draws and never interprets a key.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use qd_proto::{Attach, Capabilities, ClientMsg, FrameBuf, Hello, ProtoError, Purpose, ServerMsg};
use qd_tty::Size;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{SendFlags, send},
    termios::{QueueSelector, tcflush},
};

pub use crate::modes::Mouse;
use crate::{
    decode::{Decoded, Decoder, Reply},
    modes, probe,
    signals::Signals,
    tty::{self, Guard, terminal_size, timespec},
};

/// Whether the terminal is asked what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    /// Yes, see [`probe::queries`].
    #[default]
    Ask,
    /// No: what the environment says is all.
    Trust,
}

/// Who writes frames to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writer {
    /// The server, where it can open the terminal by itself; else the client.
    #[default]
    Server,
    /// The client.
    Client,
}

/// What a person can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a lone Escape waits for the rest of a sequence.
    pub escape: Duration,
    /// The mouse.
    pub mouse: Mouse,
    /// Questions to the terminal.
    pub probe: Probe,
    /// Who writes frames.
    pub writer: Writer,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            escape: Duration::from_millis(25),
            mouse: Mouse::On,
            probe: Probe::Ask,
            writer: Writer::Server,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The session goes on without this terminal; the server's reason.
    Detached(String),
    /// The session has ended; the server's reason.
    Ended(String),
    /// Attach to the session of this name.
    SwitchTo(String),
    /// The server closed the connection without a word.
    ServerGone,
    /// The terminal went away, or we were asked to by a signal.
    Hangup,
    /// The server refused, or what it sent could not be understood.
    Failed(String),
}

/// Why a session could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The terminal failed.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[source] io::Error),
    /// Signals or threads could not be set up.
    #[error("the client could not be set up: {0}")]
    Setup(#[source] io::Error),
    /// The server could not be spoken with.
    #[error(transparent)]
    Server(#[from] ProtoError),
}

/// More than this many bytes that the server has not taken stop the reading of keys.
const BACKLOG: usize = 1 << 20;
/// How long the server's greeting may take.
const GREETING: Duration = Duration::from_secs(5);
/// While answers are awaited, a sequence cut by a slow link is not taken for a key before this.
const CUT: Duration = Duration::from_millis(100);
/// After this nobody believes any more that answers will come.
const ANSWERS: Duration = Duration::from_secs(2);
/// How long leaving waits for answers that are on their way, which the shell would otherwise read as keys.
const STRAY: Duration = Duration::from_millis(150);
/// How long leaving waits for the thread that writes frames.
const LAST_WRITE: Duration = Duration::from_millis(300);

/// What both threads use.
struct Shared {
    stream: UnixStream,
    /// Bytes for the server that the socket did not take yet.
    backlog: Mutex<Vec<u8>>,
    exit: Mutex<Option<Exit>>,
    /// Wakes the thread that waits for keys.
    wake: UnixStream,
}

impl Shared {
    /// Sends a message, or keeps what the socket does not take. Never blocks; a broken socket is for the reader to
    /// find.
    fn tell(&self, msg: &ClientMsg) {
        let mut q = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if qd_proto::encode(msg, &mut q).is_ok() {
            self.push_out(&mut q);
        }
    }

    fn flush(&self) {
        self.push_out(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn waiting(&self) -> usize {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn push_out(&self, q: &mut Vec<u8>) {
        let mut done = 0;
        while let Some(rest) = q.get(done..).filter(|r| !r.is_empty()) {
            match send(&self.stream, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => done = q.len(),
            }
        }
        q.drain(..done);
        if q.capacity() > BACKLOG && q.len() < 4096 {
            q.shrink_to(4096);
        }
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = send(&self.wake, b"w", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    fn end(&self, exit: Exit) {
        self.exit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(exit);
        self.wake();
    }
}

/// Shows the session behind `stream` on the terminal of standard input and output until one of them ends. Sends the
/// greeting and `attach` itself; the terminal is taken only when the server has answered, and is given back on every
/// path.
///
/// # Errors
/// When the server cannot be spoken with, or the terminal cannot be taken.
pub fn run(stream: UnixStream, attach: Attach, options: Options) -> Result<Exit, ClientError> {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(ClientError::Terminal);
    run_on(
        own(rustix::stdio::stdin())?,
        own(rustix::stdio::stdout())?,
        stream,
        attach,
        options,
    )
}

/// Like [`run`], on a terminal given by its descriptors.
///
/// # Errors
/// As [`run`].
pub fn run_on(
    input: OwnedFd,
    output: OwnedFd,
    mut stream: UnixStream,
    attach: Attach,
    options: Options,
) -> Result<Exit, ClientError> {
    let (size, caps) = (attach.size, attach.caps);
    let mut hello = Hello::ours().to_bytes();
    qd_proto::encode(&ClientMsg::Open(Purpose::Attach(attach)), &mut hello)?;
    stream.write_all(&hello).map_err(ProtoError::Io)?;
    stream.set_read_timeout(Some(GREETING)).map_err(ProtoError::Io)?;
    qd_proto::read_hello(&mut stream)?;
    stream.set_read_timeout(None).map_err(ProtoError::Io)?;

    let signals = Signals::catch().map_err(ClientError::Setup)?;
    let (woken, wake) = UnixStream::pair().map_err(ClientError::Setup)?;
    woken.set_nonblocking(true).map_err(ClientError::Setup)?;
    let (stopped, stop) = UnixStream::pair().map_err(ClientError::Setup)?;
    let shared = Arc::new(Shared {
        stream,
        backlog: Mutex::default(),
        exit: Mutex::default(),
        wake,
    });

    let dup = |fd: &OwnedFd| fd.try_clone().map_err(ClientError::Terminal);
    let guard = Guard::take(dup(&input)?, dup(&output)?).map_err(ClientError::Terminal)?;
    let mut first = Vec::new();
    modes::enter(options.mouse, &mut first);
    if options.probe == Probe::Ask {
        first.extend_from_slice(probe::queries());
    }
    if tty::write_all(output.as_fd(), &first).is_err() {
        return Ok(Exit::Hangup);
    }

    let frames = Frames {
        shared: shared.clone(),
        stopped,
        output: dup(&output)?,
    };
    let thread = std::thread::Builder::new()
        .name("frames".into())
        .spawn(move || frames.run())
        .map_err(ClientError::Setup)?;

    let mut keys = Keys {
        shared: &shared,
        guard: &guard,
        input: &input,
        output: &output,
        woken: &woken,
        signals: &signals,
        options,
        decoder: Decoder::new(),
        size,
        caps,
        fence: (options.probe == Probe::Ask).then(Instant::now),
    };
    keys.lend();
    let exit = keys.run();

    if !matches!(exit, Exit::Hangup | Exit::Failed(_)) {
        // The server has said that it is through, or is no more.
        guard.lend(None);
    }
    if exit == Exit::Hangup {
        shared.tell(&ClientMsg::Detach);
    }
    drop(stop);
    let end = Instant::now() + LAST_WRITE;
    while !thread.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
        if Instant::now() > end + LAST_WRITE {
            break;
        }
        if Instant::now() > end {
            // The terminal takes nothing: throw away what it was to get, or it would come after we left.
            let _ = tcflush(&output, QueueSelector::OFlush);
        }
    }
    if exit != Exit::Hangup {
        keys.swallow_answers();
    }
    drop(guard);
    let _ = shared.stream.shutdown(Shutdown::Both);
    Ok(exit)
}

/// The thread that hears the server and writes frames.
struct Frames {
    shared: Arc<Shared>,
    /// At its end when the other thread wants this one to end.
    stopped: UnixStream,
    output: OwnedFd,
}

/// Tells the other thread when this one ends, however it ends.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0
            .end(Exit::Failed("the thread that writes to the terminal ended".into()));
    }
}

impl Frames {
    fn run(self) {
        let _farewell = Farewell(self.shared.clone());
        if let Some(exit) = self.frames() {
            self.shared.end(exit);
        }
    }

    /// Until the end; `None` when the other thread asked for it.
    fn frames(&self) -> Option<Exit> {
        let mut frames = FrameBuf::new();
        let mut buf = vec![0; 64 << 10];
        loop {
            let (stopped, data) = {
                let mut fds = [
                    PollFd::from_borrowed_fd(self.stopped.as_fd(), PollFlags::IN),
                    PollFd::from_borrowed_fd(self.shared.stream.as_fd(), PollFlags::IN),
                ];
                match poll(&mut fds, None) {
                    Ok(_) => (!fds[0].revents().is_empty(), !fds[1].revents().is_empty()),
                    Err(Errno::INTR) => continue,
                    Err(e) => return Some(Exit::Failed(e.to_string())),
                }
            };
            if stopped {
                return None;
            }
            if !data {
                continue;
            }
            match (&self.shared.stream).read(&mut buf) {
                Ok(0) => return Some(Exit::ServerGone),
                Ok(n) => frames.push(buf.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Some(Exit::ServerGone),
            }
            loop {
                match frames.take_msg() {
                    Ok(None) => break,
                    Err(e) => return Some(Exit::Failed(e.to_string())),
                    Ok(Some(msg)) => {
                        if let Some(exit) = self.message(msg) {
                            return Some(exit);
                        }
                    }
                }
            }
        }
    }

    fn message(&self, msg: ServerMsg) -> Option<Exit> {
        match msg {
            ServerMsg::Frame { number, bytes } => {
                if tty::write_all(self.output.as_fd(), &bytes).is_err() {
                    return Some(Exit::Hangup);
                }
                self.shared.tell(&ClientMsg::Ack(number));
                if self.shared.waiting() > 0 {
                    // The socket is full; the other thread waits for it to drain.
                    self.shared.wake();
                }
                None
            }
            ServerMsg::Detached { reason } => Some(Exit::Detached(reason)),
            ServerMsg::Ended { reason } => Some(Exit::Ended(reason)),
            ServerMsg::Switch { session } => Some(Exit::SwitchTo(session)),
            ServerMsg::Refused { reason } => Some(Exit::Failed(reason)),
            ServerMsg::Action(_) | ServerMsg::Info(_) => None,
        }
    }
}

/// The thread that waits for keys.
struct Keys<'a> {
    shared: &'a Shared,
    guard: &'a Guard,
    input: &'a OwnedFd,
    output: &'a OwnedFd,
    woken: &'a UnixStream,
    signals: &'a Signals,
    options: Options,
    decoder: Decoder,
    size: Size,
    caps: Capabilities,
    /// When the terminal was asked, while the last answer has not come.
    fence: Option<Instant>,
}

/// What poll said.
#[derive(Clone, Copy)]
struct Ready {
    input: bool,
    nothing: bool,
}

impl Keys<'_> {
    fn run(&mut self) -> Exit {
        let mut buf = vec![0; 64 << 10];
        let mut decoded = Vec::new();
        let mut heard = Instant::now();
        // The size may have changed since it was told.
        self.check_size();
        loop {
            let deadline = self.patience().map(|p| heard + p);
            let Some(ready) = self.wait(deadline) else { continue };
            if let Some(exit) = self.shared.exit.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return exit;
            }
            if self.signals.stop.load(Ordering::SeqCst) {
                return Exit::Hangup;
            }
            if self.signals.cont.swap(false, Ordering::SeqCst) {
                self.come_back();
            }
            if self.signals.size.swap(false, Ordering::SeqCst) && !self.check_size() {
                // It changed and changed back: what the terminal lost in between is drawn anew.
                self.shared.tell(&ClientMsg::Repaint);
            }
            self.shared.flush();
            if ready.input {
                match rustix::io::read(self.input, buf.as_mut_slice()) {
                    Ok(0) => return Exit::Hangup,
                    Ok(n) => {
                        heard = Instant::now();
                        self.decoder.push(buf.get(..n).unwrap_or_default(), &mut decoded);
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => return Exit::Hangup,
                }
            } else if ready.nothing && deadline.is_some_and(|d| Instant::now() >= d) {
                self.decoder.flush(&mut decoded);
            }
            self.deliver(&mut decoded);
        }
    }

    fn patience(&self) -> Option<Duration> {
        let asked = self.fence.is_some_and(|f| f.elapsed() < ANSWERS);
        self.decoder.patience(if asked {
            self.options.escape.max(CUT)
        } else {
            self.options.escape
        })
    }

    /// Waits for something to do; `None` when a signal came in between.
    fn wait(&self, deadline: Option<Instant>) -> Option<Ready> {
        let waiting = self.shared.waiting();
        let keys = if waiting > BACKLOG {
            PollFlags::empty()
        } else {
            PollFlags::IN
        };
        let socket = if waiting > 0 {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        let mut fds = [
            PollFd::from_borrowed_fd(self.signals.pipe.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.input.as_fd(), keys),
            PollFd::from_borrowed_fd(self.shared.stream.as_fd(), socket),
        ];
        // A socket that hung up would be reported for ever; the reader of frames sees it too.
        let count = if waiting > 0 { 4 } else { 3 };
        let left = deadline.map(|d| timespec(d.saturating_duration_since(Instant::now())));
        let n = poll(fds.get_mut(..count).unwrap_or_default(), left.as_ref()).ok()?;
        let [signal, woken, input, _] = fds.map(|f| !f.revents().is_empty());
        let mut sink = [0; 64];
        if signal {
            let _ = (&self.signals.pipe).read(&mut sink);
        }
        if woken {
            let _ = (&*self.woken).read(&mut sink);
        }
        Some(Ready { input, nothing: n == 0 })
    }

    /// Tells the terminal's size, if it is another one than was told; says whether it is.
    fn check_size(&mut self) -> bool {
        let size = terminal_size(self.output.as_fd());
        let other = size != self.size;
        if other {
            self.size = size;
            self.shared.tell(&ClientMsg::Resize(size));
        }
        other
    }

    /// We were stopped, and the shell had the terminal.
    fn come_back(&mut self) {
        if self.guard.retake().is_err() {
            return;
        }
        let mut bytes = Vec::new();
        modes::enter(self.options.mouse, &mut bytes);
        if self.guard.keyboard.load(Ordering::SeqCst) {
            bytes.extend_from_slice(modes::PUSH_KEYBOARD);
        }
        self.shared.tell(&ClientMsg::Own(bytes));
        self.check_size();
        self.shared.tell(&ClientMsg::Repaint);
        self.lend();
    }

    /// Offers the terminal to the server.
    fn lend(&self) {
        if self.options.writer == Writer::Server
            && let Some(tty) = tty::identity(self.output.as_fd())
            && let Ok(server) = self.shared.stream.try_clone()
        {
            self.guard.lend(Some(server));
            self.shared.tell(&ClientMsg::Direct(tty));
        }
    }

    fn deliver(&mut self, decoded: &mut Vec<Decoded>) {
        let mut events = Vec::new();
        let mut learnt = false;
        for d in decoded.drain(..) {
            match d {
                Decoded::Event(e) => events.push(e),
                Decoded::Reply(r) => {
                    learnt |= probe::apply(&mut self.caps, &r);
                    if probe::is_fence(&r) {
                        self.fence = None;
                    }
                    if matches!(r, Reply::Kitty(_)) && !self.guard.keyboard.swap(true, Ordering::SeqCst) {
                        self.shared.tell(&ClientMsg::Own(modes::PUSH_KEYBOARD.to_vec()));
                    }
                }
            }
        }
        if learnt {
            self.shared.tell(&ClientMsg::Caps(self.caps));
        }
        if !events.is_empty() {
            self.shared.tell(&ClientMsg::Input(events));
        }
    }

    /// Reads the answers that are still to come, so that the shell does not take them for keys.
    fn swallow_answers(&mut self) {
        let Some(asked) = self.fence else { return };
        if asked.elapsed() >= ANSWERS {
            return;
        }
        let end = Instant::now() + STRAY;
        let mut buf = [0; 4096];
        let mut decoded = Vec::new();
        while self.fence.is_some() {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Err(Errno::INTR) => continue,
                Ok(n) if n > 0 => {}
                _ => return,
            }
            let Ok(n @ 1..) = rustix::io::read(self.input, &mut buf) else {
                return;
            };
            self.decoder.push(buf.get(..n).unwrap_or_default(), &mut decoded);
            if decoded
                .drain(..)
                .any(|d| matches!(&d, Decoded::Reply(r) if probe::is_fence(r)))
            {
                self.fence = None;
            }
        }
    }
}
