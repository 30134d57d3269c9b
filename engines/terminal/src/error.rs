//! What can go wrong, in words a person can act on.

use std::{io, path::PathBuf};

/// Why a terminal could not be started or driven.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The kernel gave no pseudo-terminal.
    #[error(
        "no pseudo-terminal could be opened ({0}); is /dev/ptmx usable, and the limit in /proc/sys/kernel/pty/max reached?"
    )]
    OpenPty(String),
    /// The command is empty.
    #[error("there is no command to run: give a program, or leave the command out for a shell")]
    EmptyCommand,
    /// The program does not exist, or may not be run.
    #[error("cannot run \u{201c}{program}\u{201d}: {reason}")]
    Program {
        /// What was to be run.
        program: String,
        /// Why it cannot be.
        reason: String,
    },
    /// Starting the child failed for another reason.
    #[error("cannot start \u{201c}{program}\u{201d} in {}: {reason}", cwd.display())]
    Spawn {
        /// What was to be run.
        program: String,
        /// The directory it was to run in.
        cwd: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// What the server before wrote down of it cannot be read.
    #[error("what was kept of a terminal cannot be read: {0}")]
    Restore(#[from] RestoreError),
    /// The process that keeps terminals could not start it.
    #[error(transparent)]
    Holder(#[from] crate::LinkError),
    /// The pty's descriptor misbehaved.
    #[error("the pseudo-terminal failed while {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a search could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Nothing to look for.
    #[error("there is nothing to search for")]
    Empty,
    /// The regular expression does not parse, or is too large.
    #[error("the pattern is not a regular expression: {0}")]
    Pattern(String),
}

/// Why a terminal could not be restored from a checkpoint ([`crate::Vt::restore`]). Places are counted in bytes from the
/// beginning of the checkpoint's body, or of a block's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It does not begin as a checkpoint does.
    #[error("this is not the checkpoint of a terminal")]
    Foreign,
    /// It was written by a program that keeps other things, or keeps them otherwise.
    #[error("the checkpoint is written in form {found}, this program reads form {known}")]
    Version {
        /// The form it is written in.
        found: u8,
        /// The form that is known.
        known: u8,
    },
    /// It is shorter than it says, or its checksum is another.
    #[error("the checkpoint is cut off or damaged ({have} bytes of {want}, or a wrong checksum)")]
    Torn {
        /// How many bytes there are.
        have: usize,
        /// How many there should be.
        want: usize,
    },
    /// It ends too early.
    #[error("the checkpoint ends at byte {at}, in {what}")]
    Short {
        /// What was read.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Something in it cannot be.
    #[error("what the checkpoint says of {what}, up to byte {at}, cannot be")]
    Bad {
        /// What was read.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// It is of a screen that is larger than any that is restored ([`crate::CELLS_MAX`]).
    #[error("the checkpoint is of a screen of {cols} by {rows} cells, which is more than can be restored")]
    TooLarge {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}
