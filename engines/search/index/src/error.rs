//! What can go wrong with an index.

use std::io;
use std::path::{Path, PathBuf};

/// Why an index could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("{}: {what}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the index does not hold what was written to it.
    #[error("{}: the index is damaged: {what}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The tree is not one that can be indexed.
    #[error("{}: {why}", .path.display())]
    Unsuitable {
        /// The root, or the place in it.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// There is no index of this tree.
    #[error("{}: there is no index of it", .0.display())]
    Missing(PathBuf),
    /// Another process builds the index.
    #[error("{}: its index is being built by another process", .0.display())]
    Busy(PathBuf),
    /// Nobody waits for the answer any more.
    #[error("the answer of the index is not wanted any more")]
    Unwanted,
    /// There is no place for indexes.
    #[error("there is no directory for indexes: neither XDG_STATE_HOME nor HOME is an absolute path")]
    NoHome,
}

impl Error {
    /// Whether files of the index are damaged, so that it has to be built again.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Error::Corrupt { .. })
    }

    pub(crate) fn corrupt(path: &Path, what: &'static str) -> Error {
        Error::Corrupt {
            path: path.to_owned(),
            what,
        }
    }

    pub(crate) fn unsuitable(path: &Path, why: &'static str) -> Error {
        Error::Unsuitable {
            path: path.to_owned(),
            why,
        }
    }
}

/// Names the place and the deed of an I/O error.
pub(crate) fn at<E: Into<io::Error>>(path: &Path, what: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::Io {
        path: path.to_owned(),
        what,
        source: source.into(),
    }
}
