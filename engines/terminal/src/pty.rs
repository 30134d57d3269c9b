//! skeleton
use std::{io, os::fd::BorrowedFd, path::PathBuf};

use qd_tty::{KeyEvent, MouseEvent, Size};

use crate::{ScrollbackLimits, TerminalError, Vt, VtEvent};

/// How many bytes wait for the child, at the most; what comes beyond is dropped and counted.
pub const WRITE_QUEUE_MAX: usize = 16 << 20;

/// What to start.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Its exit status, where it exited.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
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

/// A child on a pty, with its emulator.
pub struct Terminal {
    vt: Vt,
}

impl Terminal {
    /// Starts a child.
    ///
    /// # Errors
    /// When there is no pty, or the program cannot be run.
    pub fn spawn(spec: &SpawnSpec) -> Result<Self, TerminalError> {
        Ok(Self {
            vt: Vt::new(spec.size, spec.scrollback),
        })
    }
    /// The child's process id; `None` once it is reaped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        None
    }
    /// The descriptor to poll; `None` once it is closed.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Reads and parses until the pty is drained or `budget` bytes are read.
    ///
    /// # Errors
    /// When reading fails otherwise than by the end of the stream.
    pub fn read_turn(&mut self, _budget: usize) -> Result<Turn, TerminalError> {
        Ok(Turn {
            bytes: 0,
            more: More::Eof,
        })
    }
    /// Sends bytes to the child, now or later.
    pub fn write(&mut self, _bytes: &[u8]) {}
    /// Whether bytes wait for the child.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        false
    }
    /// Writes what waits, as far as the child takes it.
    ///
    /// # Errors
    /// When the pty fails; what waited is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
    /// How many bytes wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        0
    }
    /// How many bytes were dropped because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        0
    }
    /// Sends a key.
    pub fn key(&mut self, _key: &KeyEvent) {}
    /// Sends a mouse event; false when the program does not want it.
    pub fn mouse(&mut self, _event: &MouseEvent) -> bool {
        false
    }
    /// Sends a paste.
    pub fn paste(&mut self, _bytes: &[u8]) {}
    /// Tells the focus, where asked for.
    pub fn focus(&mut self, _focus: Focus) {}
    /// Changes the size.
    pub fn resize(&mut self, size: Size) {
        self.vt.resize(size);
    }
    /// The exit status, once the child has ended; reaps it.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        None
    }
    /// Ends the child with SIGKILL.
    pub fn kill(&mut self) {}
    /// Ends the child's session with SIGHUP.
    pub fn hangup(&mut self) {}
    /// The process group in the foreground of the pty.
    #[must_use]
    pub fn foreground_group(&self) -> Option<u32> {
        None
    }
    /// The child's present directory, from the system.
    #[must_use]
    pub fn cwd(&self) -> Option<PathBuf> {
        None
    }
    /// The emulator.
    #[must_use]
    pub fn vt(&self) -> &Vt {
        &self.vt
    }
    /// The emulator, to scroll, search and configure.
    pub fn vt_mut(&mut self) -> &mut Vt {
        &mut self.vt
    }
    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<VtEvent> {
        self.vt.take_events()
    }
}
