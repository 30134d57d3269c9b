//! Terminals without a screen: a child process on a pty, the emulation of what it prints, and its scrollback.
//!
//! [`Terminal`] owns the pty, the child and a [`Vt`]; [`Vt`] alone turns bytes into cells, replies and events and can be
//! used without a process (tests, replay). Everything is synchronous, non-blocking and single-threaded: the caller polls
//! [`Terminal::fd`] and gives turns. Nothing here draws, sleeps, spawns a thread or reads the clock.

mod codec;
mod error;
mod event;
pub mod fuzz;
mod holder;
mod keys;
mod mouse;
mod program;
mod pty;
mod scrollback;
mod store;
mod vt;

pub use error::{RestoreError, SearchError, TerminalError};
pub use event::{Modes, MouseEncoding, MouseWant, Palette, Progress, Rgb, Scheme, VtEvent};
pub use holder::{Adopted, Greeting, Keep, Kept, Link, LinkError, Was, hold};
pub use keys::{KeyModes, ModifyOtherKeys, encode_key};
pub use mouse::encode_mouse;
pub use pty::{ExitStatus, Focus, Look, More, SpawnSpec, Terminal, Turn, WRITE_QUEUE_MAX, kill_orphans, reap_orphans};
pub use scrollback::{ClosedBlock, block_number, split_blocks};
pub use vt::{
    CELLS_MAX, Case, Checkpoint, Direction, LinesCopy, Match, MatchCount, Pos, Query, QueryKind, Restored,
    SYNC_TIMEOUT, ScrollbackLimits, Shape, Vt,
};
