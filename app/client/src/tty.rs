//! The terminal's file descriptors: raw mode, size, writing, and giving everything back as it was, also when something
//! panics. It owns the saved state of the one terminal that is taken; it never sets `O_NONBLOCK`, which the shell that
//! started us would inherit. While the terminal is lent to the server, it is given back only after the server has let go.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use qd_proto::Tty;
use qd_tty::Size;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{self, OptionalActions, QueueSelector, Termios},
};

use crate::modes;

/// How long leaving waits for a terminal that takes no bytes.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long leaving waits for a server that writes to the terminal itself.
const LETTING_GO: Duration = Duration::from_millis(300);

/// What is needed to give the terminal back.
struct Taken {
    input: OwnedFd,
    output: OwnedFd,
    before: Termios,
    keyboard: Arc<AtomicBool>,
    /// The connection to the server that the terminal is lent to.
    lent: Option<UnixStream>,
}

static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

/// A terminal that is taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Set when the keyboard protocol has been asked for, so that it is ended too.
    pub(crate) keyboard: Arc<AtomicBool>,
}

/// The size of the terminal behind a descriptor, 80×24 where it does not tell.
#[must_use]
pub fn terminal_size(fd: BorrowedFd<'_>) -> Size {
    match termios::tcgetwinsize(fd) {
        Ok(w) if w.ws_col > 0 && w.ws_row > 0 => Size::new(w.ws_col, w.ws_row),
        _ => Size::new(80, 24),
    }
}

pub(crate) fn timespec(d: Duration) -> Timespec {
    Timespec {
        tv_sec: d.as_secs().min(1 << 30) as i64,
        tv_nsec: i64::from(d.subsec_nanos()),
    }
}

/// Waits until `fd` can be written to, or the time is over.
fn writable(fd: BorrowedFd<'_>, wait: Option<Duration>) -> bool {
    let end = wait.map(|w| Instant::now() + w);
    loop {
        let left = end.map(|e| timespec(e.saturating_duration_since(Instant::now())));
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Writes everything, in one call where the terminal takes it at once.
pub(crate) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Someone who shares the terminal made it non-blocking.
            Err(Errno::AGAIN) => {
                writable(fd, None);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Makes the terminal raw, starting from `before`.
fn make_raw(input: BorrowedFd<'_>, before: &Termios) -> io::Result<()> {
    let mut raw = before.clone();
    raw.make_raw();
    loop {
        match termios::tcsetattr(input, OptionalActions::Now, &raw) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn with_taken<T>(f: impl FnOnce(&mut Option<Taken>) -> T) -> T {
    f(&mut TAKEN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Where a descriptor's terminal is found by another process; `None` where it is none, or has no name.
pub(crate) fn identity(fd: BorrowedFd<'_>) -> Option<Tty> {
    let path = termios::ttyname(fd, Vec::new()).ok()?.into_string().ok()?;
    let stat = rustix::fs::fstat(fd).ok()?;
    Some(Tty {
        path,
        dev: stat.st_dev,
        ino: stat.st_ino,
        rdev: stat.st_rdev,
    })
}

/// Tells the server that we go, and waits until it has closed the connection: it writes nothing after that.
fn part(server: &UnixStream) {
    if server.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let end = Instant::now() + LETTING_GO;
    loop {
        let left = timespec(end.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::from_borrowed_fd(server.as_fd(), PollFlags::empty())];
        if poll(&mut fds, Some(&left)) != Err(Errno::INTR) {
            return;
        }
    }
}

/// Gives the terminal back, if it is taken.
fn give_back(taken: &mut Option<Taken>) {
    let Some(t) = taken.take() else { return };
    if let Some(server) = &t.lent {
        part(server);
    }
    let mut bytes = Vec::new();
    if t.keyboard.load(Ordering::SeqCst) {
        bytes.extend_from_slice(modes::POP_KEYBOARD);
    }
    modes::leave(&mut bytes);
    if !writable(t.output.as_fd(), Some(PATIENCE)) {
        // It is stopped or dead: what waits in the kernel would come after us.
        let _ = termios::tcflush(&t.output, QueueSelector::OFlush);
    }
    if writable(t.output.as_fd(), Some(Duration::ZERO)) {
        let _ = write_all(t.output.as_fd(), &bytes);
    }
    while termios::tcsetattr(&t.input, OptionalActions::Now, &t.before) == Err(Errno::INTR) {}
}

fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // The lock may be held by the thread that panics; then its guard is what gives the terminal back.
            if let Ok(mut taken) = TAKEN.try_lock() {
                give_back(&mut taken);
            }
            previous(info);
        }));
    });
}

impl Guard {
    /// Makes the terminal raw and remembers how it was.
    pub(crate) fn take(input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        install_panic_hook();
        let before = termios::tcgetattr(&input)?;
        make_raw(input.as_fd(), &before)?;
        let keyboard = Arc::new(AtomicBool::new(false));
        with_taken(|t| {
            give_back(t);
            *t = Some(Taken {
                input,
                output,
                before,
                keyboard: keyboard.clone(),
                lent: None,
            });
        });
        Ok(Self { keyboard })
    }

    /// From now on the server behind this connection may write to the terminal; `None` when it does no longer.
    pub(crate) fn lend(&self, server: Option<UnixStream>) {
        with_taken(|t| {
            if let Some(t) = t {
                t.lent = server;
            }
        });
    }

    /// Makes it raw again after a shell had it in between.
    pub(crate) fn retake(&self) -> io::Result<()> {
        with_taken(|t| t.as_ref().map_or(Ok(()), |t| make_raw(t.input.as_fd(), &t.before)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        with_taken(give_back);
    }
}

#[cfg(test)]
mod tests {
    use rustix::{fs, pty};

    use super::*;

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let master = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
        pty::grantpt(&master).unwrap();
        pty::unlockpt(&master).unwrap();
        let name = pty::ptsname(&master, Vec::new()).unwrap();
        let slave = fs::open(name, fs::OFlags::RDWR | fs::OFlags::NOCTTY, fs::Mode::empty()).unwrap();
        let before = format!("{:?}", termios::tcgetattr(&slave).unwrap());
        let now = || format!("{:?}", termios::tcgetattr(&slave).unwrap());
        let (a, b) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
        let guard = Guard::take(a, b).unwrap();
        assert_ne!(now(), before);
        // Another thread panics, which drops no guard: the hook does it.
        assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
        assert_eq!(now(), before);
        let mut shown = [0; 512];
        let n = rustix::io::read(&master, &mut shown).unwrap();
        assert!(String::from_utf8_lossy(&shown[..n]).contains("\x1b[?1049l"));
        drop(guard);
        assert_eq!(terminal_size(slave.as_fd()), Size::new(80, 24));
    }
}
