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
