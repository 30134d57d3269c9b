use std::path::{Path, PathBuf};

use qd_kv_model::{ReadError, RegionId};

/// Why the disk does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("{}: cannot {what}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has the directory.
    #[error("{}: another process uses this directory; stop it, or give each node a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// SQLite refuses.
    #[error("{}: cannot {what}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        what: &'static str,
        /// On which database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The database is of somebody else.
    #[error("{}: belongs to {found}, not to {wanted}", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        wanted: String,
    },
    /// What is there cannot be right.
    #[error("{}: damaged: {what}; take the node out of the cluster and let it come back empty", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A purge that would leave a hole after a loss of power.
    #[error("region {region}: the log is to be purged up to {wanted}, but only {durable} is durable in the data")]
    PurgeTooFar {
        /// The region.
        region: RegionId,
        /// Up to where.
        wanted: u64,
        /// What would be allowed.
        durable: u64,
    },
    /// Entries that do not follow what is there.
    #[error("region {region}: entry {index} does not follow {last}")]
    Gap {
        /// The region.
        region: RegionId,
        /// The entry.
        index: u64,
        /// The last one that is there.
        last: u64,
    },
    /// A write has failed before.
    #[error("{}: a write failed before, so nothing is written any more until the node starts again", path.display())]
    Stopped {
        /// The database.
        path: PathBuf,
    },
    /// The library is one with a bug that loses data.
    #[error("SQLite {found} is too old: it can damage a WAL when it is reset; 3.51.3 is the first without that")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
}

impl StoreError {
    pub(crate) fn sql(what: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Sqlite { what, path, source }
    }

    /// Whether the disk has no room: a state that can pass, in which a node answers that it is busy.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(e: StoreError) -> Self {
        Self::new(e.to_string())
    }
}
