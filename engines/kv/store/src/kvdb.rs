//! `kv.db`: the data of all regions, with how far each has applied its log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use qd_kv_model::{Cf, Direction, Modify, Pair, Range, ReadError, RegionId, RegionState, Snapshot};
use rusqlite::{Connection, OptionalExtension, params};

use crate::pragma::{self, Sync};
use crate::{Checkpoint, Durable, StoreDir, StoreError};

/// The data, for the one thread that writes it.
#[derive(Debug)]
pub struct KvDb {
    db: Connection,
    path: PathBuf,
    durable: Durable,
    /// What is committed, durable or not.
    applied: BTreeMap<RegionId, u64>,
    failed: bool,
}

impl KvDb {
    /// Opens it, or makes it. What is there is made durable first, so that `durable` is known from the start.
    ///
    /// # Errors
    /// When it cannot be opened, belongs to another node, or is damaged.
    pub fn open(dir: &StoreDir, durable: Durable) -> Result<(Self, Vec<RegionState>), StoreError> {
        let path = dir.file("kv.db");
        let db = pragma::open_writer(&path, Sync::Checkpoint, 4096)?;
        dir.claim(&db, &path, "kv")?;
        let mut tables = String::new();
        for cf in Cf::ALL {
            tables += &format!(
                "CREATE TABLE IF NOT EXISTS cf_{cf} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
            );
        }
        tables += "CREATE TABLE IF NOT EXISTS region (id INTEGER PRIMARY KEY, state BLOB NOT NULL);";
        db.execute_batch(&tables).map_err(StoreError::sql("set up", &path))?;
        dir.sync()?;
        let mut this = Self {
            db,
            path,
            durable,
            applied: BTreeMap::new(),
            failed: false,
        };
        let regions = this.load()?;
        this.applied = regions.iter().map(|r| (r.region.id, r.applied)).collect();
        this.checkpoint()?;
        Ok((this, regions))
    }

    fn load(&self) -> Result<Vec<RegionState>, StoreError> {
        let err = || StoreError::sql("read the regions", &self.path);
        let mut q = self
            .db
            .prepare("SELECT id, state FROM region ORDER BY id")
            .map_err(err())?;
        let mut rows = q.query([]).map_err(err())?;
        let mut all = Vec::new();
        while let Some(r) = rows.next().map_err(err())? {
            let id = r.get::<_, i64>(0).map_err(err())? as u64;
            let bytes: Vec<u8> = r.get(1).map_err(err())?;
            let damaged = |what| StoreError::Damaged {
                path: self.path.clone(),
                what,
            };
            let state = RegionState::decode(&bytes).map_err(|e| damaged(format!("region {id}: {e}")))?;
            if state.region.id != id {
                return Err(damaged(format!("region {id} says it is region {}", state.region.id)));
            }
            all.push(state);
        }
        Ok(all)
    }

    /// Begins a transaction. It reads what it has written, and is nothing unless it is committed.
    ///
    /// # Errors
    /// When a write has failed before.
    pub fn begin(&mut self) -> Result<KvBatch<'_>, StoreError> {
        if self.failed {
            return Err(StoreError::Stopped {
                path: self.path.clone(),
            });
        }
        match self.db.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(KvBatch {
                kv: self,
                applied: BTreeMap::new(),
                done: false,
            }),
            Err(source) => {
                self.failed = true;
                Err(StoreError::Sqlite {
                    what: "begin",
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }

    /// Makes durable what was committed, and says so to the log. When a reader holds on to an older moment it does what it
    /// can, and nothing becomes known as durable.
    ///
    /// # Errors
    /// When that cannot be written; nothing is written any more then.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        if self.failed {
            return Err(StoreError::Stopped {
                path: self.path.clone(),
            });
        }
        let done = pragma::checkpoint(&self.db, &self.path).inspect_err(|_| self.failed = true)?;
        if done.complete() {
            self.durable.set(&self.applied);
        }
        Ok(done)
    }

    /// What SQLite finds wrong with the file, which takes as long as reading it does.
    ///
    /// # Errors
    /// When it is damaged, with the first finding, or cannot be read.
    pub fn check(&self) -> Result<(), StoreError> {
        let first: String = self
            .db
            .query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))
            .map_err(StoreError::sql("check", &self.path))?;
        if first == "ok" {
            Ok(())
        } else {
            Err(StoreError::Damaged {
                path: self.path.clone(),
                what: first,
            })
        }
    }
}

/// Writes that become one commit.
#[derive(Debug)]
pub struct KvBatch<'a> {
    kv: &'a mut KvDb,
    applied: BTreeMap<RegionId, Option<u64>>,
    done: bool,
}

impl KvBatch<'_> {
    fn run(&mut self, f: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), StoreError> {
        if self.kv.failed {
            return Err(StoreError::Stopped {
                path: self.kv.path.clone(),
            });
        }
        f(&self.kv.db).map_err(|source| {
            self.kv.failed = true;
            StoreError::Sqlite {
                what: "write",
                path: self.kv.path.clone(),
                source,
            }
        })
    }

    /// Does one write.
    ///
    /// # Errors
    /// When it cannot be written; nothing can be any more then.
    pub fn modify(&mut self, m: &Modify) -> Result<(), StoreError> {
        self.run(|db| {
            match m {
                Modify::Put(cf, k, v) => db.prepare_cached(sql_put(*cf))?.execute(params![k, v])?,
                Modify::Delete(cf, k) => db.prepare_cached(sql_delete(*cf))?.execute(params![k])?,
                Modify::DeleteRange(cf, a, b) if b.is_empty() => db
                    .prepare_cached(&format!("DELETE FROM cf_{cf} WHERE key>=?1"))?
                    .execute(params![a])?,
                Modify::DeleteRange(cf, a, b) => db
                    .prepare_cached(&format!("DELETE FROM cf_{cf} WHERE key>=?1 AND key<?2"))?
                    .execute(params![a, b])?,
            };
            Ok(())
        })
    }

    /// Writes what is known of a region.
    ///
    /// # Errors
    /// As [`KvBatch::modify`].
    pub fn put_region(&mut self, state: &RegionState) -> Result<(), StoreError> {
        self.run(|db| {
            db.prepare_cached("INSERT OR REPLACE INTO region VALUES (?1,?2)")?
                .execute(params![state.region.id as i64, state.encode()])?;
            Ok(())
        })?;
        self.applied.insert(state.region.id, Some(state.applied));
        Ok(())
    }

    /// What is known of a region.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn region(&self, id: RegionId) -> Result<Option<RegionState>, StoreError> {
        let path = &self.kv.path;
        let bytes: Option<Vec<u8>> = self
            .kv
            .db
            .prepare_cached("SELECT state FROM region WHERE id=?1")
            .and_then(|mut q| q.query_row([id as i64], |r| r.get(0)).optional())
            .map_err(StoreError::sql("read a region", path))?;
        let damaged = |e| StoreError::Damaged {
            path: path.clone(),
            what: format!("region {id}: {e}"),
        };
        bytes.map(|b| RegionState::decode(&b)).transpose().map_err(damaged)
    }

    /// Forgets what is known of a region. Its data is not touched.
    ///
    /// # Errors
    /// As [`KvBatch::modify`].
    pub fn forget_region(&mut self, id: RegionId) -> Result<(), StoreError> {
        self.run(|db| {
            db.prepare_cached("DELETE FROM region WHERE id=?1")?
                .execute([id as i64])
                .map(drop)
        })?;
        self.applied.insert(id, None);
        Ok(())
    }

    /// Makes it so. It survives the end of the process from now on, and a loss of power from the next checkpoint on.
    ///
    /// # Errors
    /// When it cannot be written; nothing can be any more then.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.run(|db| db.execute_batch("COMMIT"))?;
        self.done = true;
        for (region, applied) in std::mem::take(&mut self.applied) {
            match applied {
                Some(index) => self.kv.applied.insert(region, index),
                None => self.kv.applied.remove(&region),
            };
        }
        Ok(())
    }
}

impl Drop for KvBatch<'_> {
    fn drop(&mut self) {
        if !self.done && self.kv.db.execute_batch("ROLLBACK").is_err() {
            // SQLite has rolled back by itself after some errors; after any other the file is not to be trusted.
            self.kv.failed |= !self.kv.db.is_autocommit();
        }
    }
}

impl Snapshot for KvBatch<'_> {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        get(&self.kv.db, cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        scan(&self.kv.db, cf, range, limit, direction)
    }
}

const fn sql_put(cf: Cf) -> &'static str {
    match cf {
        Cf::Default => "INSERT OR REPLACE INTO cf_default VALUES (?1,?2)",
        Cf::Lock => "INSERT OR REPLACE INTO cf_lock VALUES (?1,?2)",
        Cf::Write => "INSERT OR REPLACE INTO cf_write VALUES (?1,?2)",
        Cf::Raw => "INSERT OR REPLACE INTO cf_raw VALUES (?1,?2)",
    }
}

const fn sql_delete(cf: Cf) -> &'static str {
    match cf {
        Cf::Default => "DELETE FROM cf_default WHERE key=?1",
        Cf::Lock => "DELETE FROM cf_lock WHERE key=?1",
        Cf::Write => "DELETE FROM cf_write WHERE key=?1",
        Cf::Raw => "DELETE FROM cf_raw WHERE key=?1",
    }
}

const fn sql_get(cf: Cf) -> &'static str {
    match cf {
        Cf::Default => "SELECT value FROM cf_default WHERE key=?1",
        Cf::Lock => "SELECT value FROM cf_lock WHERE key=?1",
        Cf::Write => "SELECT value FROM cf_write WHERE key=?1",
        Cf::Raw => "SELECT value FROM cf_raw WHERE key=?1",
    }
}

fn read_error(cf: Cf) -> impl Fn(rusqlite::Error) -> ReadError {
    move |e| ReadError::new(format!("cannot read the column family {cf}: {e}"))
}

pub(crate) fn get(db: &Connection, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
    let run = || {
        db.prepare_cached(sql_get(cf))?
            .query_row([key], |r| r.get(0))
            .optional()
    };
    run().map_err(read_error(cf))
}

pub(crate) fn scan(
    db: &Connection,
    cf: Cf,
    range: Range<'_>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Pair>, ReadError> {
    let order = match direction {
        Direction::Forward => "",
        Direction::Backward => " DESC",
    };
    let end = if range.end.is_empty() { "?2=?2" } else { "key<?2" };
    let run = || -> rusqlite::Result<Vec<Pair>> {
        let sql = format!("SELECT key, value FROM cf_{cf} WHERE key>=?1 AND {end} ORDER BY key{order} LIMIT ?3");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut q = db.prepare_cached(&sql)?;
        q.query_map(params![range.start, range.end, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect()
    };
    run().map_err(read_error(cf))
}
