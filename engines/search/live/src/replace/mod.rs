//! Replacing what was found, in files. First a plan: every line that would change, as it is and as it would be. Then each file
//! is written beside itself and renamed, after what it is now was compared with what was planned on; before the first of
//! them a journal is on disk that takes everything back, also after the process was killed in between.

mod apply;
mod attributes;
mod journal;
mod plan;
mod stamp;

use std::path::PathBuf;

pub use apply::Work;
pub use plan::{FilePlan, Hunk, Plan};
pub use stamp::Stamp;

/// Why nothing was replaced, or nothing taken back.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// More would change than can be shown.
    #[error("{0} lines would change, which is more than {1}: narrow the search")]
    TooMuch(usize, usize),
    /// The lines that would change do not fit into memory.
    #[error("the lines that would change take more than {0} MiB: narrow the search")]
    TooLong(usize),
    /// The expression matches nothing at all, between any two characters.
    #[error("the expression matches the empty text, which cannot be replaced")]
    Empty,
    /// Nothing that was found is a file.
    #[error("nothing that was found is in a file")]
    NoFiles,
    /// The journal cannot be written: without it nothing is touched.
    #[error("nothing was changed: the journal {path} could not be written: {error}")]
    Journal {
        /// Its place.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is no journal.
    #[error("there is nothing to take back")]
    NothingToUndo,
    /// The journal is damaged.
    #[error("the journal {path} cannot be read: {why}")]
    Damaged {
        /// Its place.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Matching failed.
    #[error("{0}")]
    Matcher(String),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Files that were changed.
    pub done: Vec<PathBuf>,
    /// Files that were left as they are, and why.
    pub refused: Vec<(PathBuf, String)>,
}
