//! A client's terminal that the server writes to itself, which saves every frame the way through the client's process.
//! It is opened anew by its path, never passed: a description of our own can be non-blocking without making the one
//! non-blocking that the client shares with its shell. The kernel's buffer is the only queue; what it does not take of a
//! frame is kept here and goes on when there is room again. This module owns the descriptor and the rest of one frame.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use qd_proto::Tty;
use rustix::{
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
};

/// A terminal that we write to.
pub(crate) struct Direct {
    fd: OwnedFd,
    rest: Vec<u8>,
    at: usize,
    /// When the frame that is on its way was begun.
    pub(crate) since: Instant,
    /// Whether it is watched for room.
    pub(crate) watched: bool,
}

impl Direct {
    /// Opens a client's terminal, if the path leads here to the one that the client means.
    ///
    /// # Errors
    /// When it cannot be opened, or is another one: the client's container or user may not be ours.
    pub(crate) fn open(tty: &Tty) -> io::Result<Self> {
        let other = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", tty.path));
        let same = |s: &Stat| {
            (s.st_dev, s.st_ino, s.st_rdev) == (tty.dev, tty.ino, tty.rdev)
                && FileType::from_raw_mode(s.st_mode) == FileType::CharacterDevice
        };
        // Opening some devices does something: it is looked at first.
        if !same(&rustix::fs::stat(tty.path.as_str())?) {
            return Err(other("another file"));
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(tty.path.as_str(), flags, Mode::empty())?;
        // `/dev/tty` is everybody's own.
        if !same(&rustix::fs::fstat(&fd)?) || (rustix::fs::major(tty.rdev), rustix::fs::minor(tty.rdev)) == (5, 0) {
            return Err(other("another terminal"));
        }
        if !rustix::termios::isatty(&fd) {
            return Err(other("no terminal"));
        }
        Ok(Self {
            fd,
            rest: Vec::new(),
            at: 0,
            since: Instant::now(),
            watched: false,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether a frame is not written to its end.
    pub(crate) fn pending(&self) -> bool {
        self.at < self.rest.len()
    }

    /// Writes a frame as far as the terminal takes it, and keeps the rest. Only when nothing is pending.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn write(&mut self, frame: &[u8], now: Instant) -> Result<(), Errno> {
        self.since = now;
        let done = put(&self.fd, frame);
        let done = done.inspect_err(|_| self.rest = frame.to_vec())?;
        self.rest.extend_from_slice(frame.get(done..).unwrap_or_default());
        Ok(())
    }

    /// Goes on with the rest.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn go_on(&mut self) -> Result<(), Errno> {
        self.at += put(&self.fd, self.rest.get(self.at..).unwrap_or_default())?;
        if !self.pending() {
            self.rest = Vec::new();
            self.at = 0;
        }
        Ok(())
    }

    /// Closes the terminal; gives the bytes that are still to be written.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        self.rest.split_off(self.at)
    }
}

/// Writes what is taken at once. A terminal that is stopped (Ctrl-S) or slow takes nothing, and is not ready either.
fn put(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|r| !r.is_empty()) {
        match rustix::io::write(fd, rest) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) => return if done > 0 { Ok(done) } else { Err(e) },
        }
    }
    Ok(done)
}

/// Whether a process is there and not stopped. The shell has the terminal of a client that was stopped; the foreground
/// process group would tell as much, but a terminal tells it only to those whom it controls.
pub(crate) fn runs(pid: i32) -> bool {
    let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name, in parentheses, may hold anything.
    let state = stat
        .iter()
        .rposition(|b| *b == b')')
        .and_then(|at| stat.get(at + 2))
        .copied();
    !matches!(state, None | Some(b'T' | b't' | b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use rustix::pty;

    use super::*;

    fn terminal() -> (File, OwnedFd, Tty) {
        let master = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
        pty::grantpt(&master).unwrap();
        pty::unlockpt(&master).unwrap();
        let path = pty::ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = rustix::fs::open(path.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut raw = rustix::termios::tcgetattr(&slave).unwrap();
        raw.make_raw();
        rustix::termios::tcsetattr(&slave, rustix::termios::OptionalActions::Now, &raw).unwrap();
        let s = rustix::fs::fstat(&slave).unwrap();
        let tty = Tty {
            path,
            dev: s.st_dev,
            ino: s.st_ino,
            rdev: s.st_rdev,
        };
        (File::from(master), slave, tty)
    }

    #[test]
    fn only_the_terminal_that_is_meant_is_opened() {
        let (_master, _slave, tty) = terminal();
        assert!(Direct::open(&tty).is_ok());
        for wrong in [
            Tty {
                dev: tty.dev + 1,
                ..tty.clone()
            },
            Tty {
                ino: tty.ino + 1,
                ..tty.clone()
            },
            Tty {
                rdev: tty.rdev + 1,
                ..tty.clone()
            },
            Tty {
                path: "/dev/null".into(),
                ..tty.clone()
            },
            Tty {
                path: "/nowhere/at/all".into(),
                ..tty
            },
        ] {
            assert!(Direct::open(&wrong).is_err(), "{wrong:?}");
        }
        let null = rustix::fs::stat("/dev/null").unwrap();
        let no_terminal = Tty {
            path: "/dev/null".into(),
            dev: null.st_dev,
            ino: null.st_ino,
            rdev: null.st_rdev,
        };
        assert!(Direct::open(&no_terminal).is_err());
    }

    #[test]
    fn a_frame_that_does_not_fit_goes_on_where_it_stopped() {
        let (mut master, _slave, tty) = terminal();
        let mut d = Direct::open(&tty).unwrap();
        let frame: Vec<u8> = (0..300_000u32).map(|i| b'a' + (i % 23) as u8).collect();
        d.write(&frame, Instant::now()).unwrap();
        assert!(d.pending());
        let mut got = Vec::new();
        let mut buf = [0; 7000];
        while got.len() < 200_000 {
            let n = master.read(&mut buf).unwrap();
            got.extend_from_slice(&buf[..n]);
            d.go_on().unwrap();
        }
        let rest = d.into_rest();
        let on_their_way = frame.len() - got.len() - rest.len();
        let mut last = vec![0; on_their_way];
        master.read_exact(&mut last).unwrap();
        got.extend(last);
        got.extend(rest);
        assert!(got == frame);
    }

    #[test]
    fn a_terminal_that_is_gone_is_an_error_and_loses_nothing() {
        let (master, _slave, tty) = terminal();
        let mut d = Direct::open(&tty).unwrap();
        drop(master);
        assert_eq!(d.write(b"frame", Instant::now()), Err(Errno::IO));
        assert_eq!(d.into_rest(), b"frame");
    }

    #[test]
    fn a_stopped_process_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(runs(pid));
        let p = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(p, rustix::process::Signal::STOP).unwrap();
        let end = Instant::now() + std::time::Duration::from_secs(10);
        while runs(pid) && Instant::now() < end {
            std::thread::yield_now();
        }
        assert!(!runs(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!runs(pid));
    }
}
