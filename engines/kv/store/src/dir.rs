//! The directory of a node: its lock, and whose it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;

/// Who a node is. It is written into both databases when they are made, and compared ever after, so that a directory of
/// another node or cluster is not taken for one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's number.
    pub cluster: u64,
    /// The node's number.
    pub node: u64,
}

/// A directory that this process has for itself, as long as the value lives.
#[derive(Debug)]
pub struct StoreDir {
    path: PathBuf,
    identity: Identity,
    // Its lock goes with it.
    _lock: File,
}

impl StoreDir {
    /// Makes the directory, readable by its owner only, unless it is there, and takes it.
    ///
    /// # Errors
    /// When it cannot be made, or another process has it.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        let err = |what| {
            move |source| StoreError::File {
                what,
                path: path.to_owned(),
                source,
            }
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(err("make the directory"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("LOCK"))
            .map_err(err("open the lock file"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(e)) => return Err(err("lock the directory")(e)),
        }
        Ok(Self {
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the names of new files durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.path)
            .and_then(|d| d.sync_all())
            .map_err(|source| StoreError::File {
                what: "sync the directory",
                path: self.path.clone(),
                source,
            })
    }

    /// Compares what a database says it is with what it should be; writes it into a new one.
    pub(crate) fn claim(&self, db: &Connection, path: &Path, kind: &str) -> Result<(), StoreError> {
        let wanted = format!(
            "{kind} 1, cluster {}, node {}",
            self.identity.cluster, self.identity.node
        );
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS whose (only INTEGER PRIMARY KEY CHECK (only = 1), who TEXT NOT NULL)",
        )
        .map_err(StoreError::sql("set up", path))?;
        let found: Option<String> = db
            .query_row("SELECT who FROM whose", [], |r| r.get(0))
            .optional()
            .map_err(StoreError::sql("read whose it is", path))?;
        match found {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(StoreError::Foreign {
                path: path.to_owned(),
                found,
                wanted,
            }),
            None => db
                .execute("INSERT INTO whose VALUES (1, ?1)", [&wanted])
                .map(drop)
                .map_err(StoreError::sql("write whose it is", path)),
        }
    }
}
