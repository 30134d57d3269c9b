//! The signals a server hears, as a descriptor for the event loop. It owns the flags and the pipe's end.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    flag, low_level,
};

/// What a signal means to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A program ended.
    Child,
    /// The server is to stop.
    Terminate,
}

/// The signals that came.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) read: UnixStream,
    child: Arc<AtomicBool>,
    term: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to listen. SIGHUP is ignored by default here: the server has no terminal.
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let child = Arc::new(AtomicBool::new(false));
        let term = Arc::new(AtomicBool::new(false));
        flag::register(SIGCHLD, Arc::clone(&child))?;
        low_level::pipe::register(SIGCHLD, write.try_clone()?)?;
        for s in [SIGTERM, SIGINT] {
            flag::register(s, Arc::clone(&term))?;
            low_level::pipe::register(s, write.try_clone()?)?;
        }
        Ok(Self { read, child, term })
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Vec<Signal> {
        let mut buf = [0; 256];
        while matches!((&self.read).read(&mut buf), Ok(n) if n > 0) {}
        let mut out = Vec::new();
        if self.child.swap(false, Ordering::SeqCst) {
            out.push(Signal::Child);
        }
        if self.term.swap(false, Ordering::SeqCst) {
            out.push(Signal::Terminate);
        }
        out
    }
}
