//! What can go wrong, in words that say what to do.

use std::path::PathBuf;

/// Why something about a log could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file, or `-` for a stream.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A compressed or piped source grew past the space it may take on disk.
    #[error(
        "{path} unpacks to more than {limit} bytes; the first {limit} are shown (raise the spill limit to see more)"
    )]
    SpillFull {
        /// The source.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A log that another program gives, and that cannot be had.
    #[error("{location}: {reason}")]
    Location {
        /// As it was named.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory without log files.
    #[error("{0} has no log files in it")]
    EmptyDirectory(PathBuf),
    /// More sources than one view takes.
    #[error("a view takes at most {0} sources")]
    TooManySources(usize),
    /// A user format that cannot be used.
    #[error("format `{name}`: {reason}")]
    Format {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that cannot be compiled.
    #[error("bad pattern: {0}")]
    Pattern(String),
    /// A filter in the shared language that cannot be compiled; the first finding.
    #[error("bad filter: {0}")]
    Filter(String),
    /// There is no filter, source or mark with that number.
    #[error("there is no {0}")]
    NoSuch(&'static str),
    /// An SQL statement failed, was refused or took too long.
    #[error("sql: {0}")]
    Sql(String),
    /// The job was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The file with marks or the export could not be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A saved state that is no such thing.
    #[error("{path} is not a file of marks: {reason}")]
    BadState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
