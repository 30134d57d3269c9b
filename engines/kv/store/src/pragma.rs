//! How both databases are opened, and how they are checkpointed.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// The first version without the bug of WAL resets.
const OLDEST: i32 = 3_051_003;
/// Rows of 1 KiB fit a page of this size without overflow pages.
const PAGE: u32 = 8192;

/// When a commit has reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// When it returns.
    Commit,
    /// At the next checkpoint.
    Checkpoint,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Frames in the WAL.
    pub frames: u64,
    /// How many of them are in the database now, and durable.
    pub moved: u64,
}

impl Checkpoint {
    /// Whether everything that was committed before it is durable.
    pub fn complete(&self) -> bool {
        self.frames == self.moved
    }
}

pub(crate) fn open_writer(path: &Path, sync: Sync, cache_kib: u32) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST {
        return Err(StoreError::OldSqlite {
            found: rusqlite::version(),
        });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(StoreError::sql("open", path))?;
    let level = match sync {
        Sync::Commit => "FULL",
        Sync::Checkpoint => "NORMAL",
    };
    db.execute_batch(&format!(
        "PRAGMA page_size={PAGE}; PRAGMA journal_mode=WAL; PRAGMA synchronous={level}; PRAGMA wal_autocheckpoint=0;
         PRAGMA busy_timeout=10000; PRAGMA cache_size=-{cache_kib}; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"
    ))
    .map_err(StoreError::sql("set up", path))?;
    let mode: String = db
        .query_row("PRAGMA journal_mode", [], |r| r.get(0))
        .map_err(StoreError::sql("set up", path))?;
    if mode != "wal" {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            what: format!("its journal mode is {mode}, not wal"),
        });
    }
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

pub(crate) fn open_reader(path: &Path, cache_kib: u32) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(StoreError::sql("open", path))?;
    db.execute_batch(&format!(
        "PRAGMA busy_timeout=10000; PRAGMA cache_size=-{cache_kib}; PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;"
    ))
    .map_err(StoreError::sql("set up", path))?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Moves what is in the WAL into the database and syncs both. Readers of older moments keep it from being complete.
pub(crate) fn checkpoint(db: &Connection, path: &Path) -> Result<Checkpoint, StoreError> {
    let (frames, moved): (i64, i64) = db
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(1)?, r.get(2)?)))
        .map_err(StoreError::sql("checkpoint", path))?;
    // Minus one means that there is no WAL, which cannot be: the mode was looked at.
    match (u64::try_from(frames), u64::try_from(moved)) {
        (Ok(frames), Ok(moved)) => Ok(Checkpoint { frames, moved }),
        _ => Err(StoreError::Damaged {
            path: path.to_owned(),
            what: "it has lost its WAL".to_owned(),
        }),
    }
}
