//! `raft.db`: the logs of all regions, and what their peers must not forget.

use std::collections::BTreeMap;
use std::path::PathBuf;

use qd_kv_model::{HardState, LogEntry, LogWrite, RegionId, RegionLog};
use rusqlite::{Connection, params};

use crate::pragma::{self, Sync};
use crate::{Checkpoint, Durable, StoreDir, StoreError};

/// The logs. Belongs to one thread, which writes for all regions.
#[derive(Debug)]
pub struct LogDb {
    db: Connection,
    path: PathBuf,
    durable: Durable,
    /// The ends of the logs: the index before the first entry, and the last one.
    ends: BTreeMap<RegionId, (u64, u64)>,
    failed: bool,
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// How many entries.
    pub entries: u64,
    /// How many bytes of content they have.
    pub bytes: u64,
}

// Numbers of regions and peers may have the highest bit, indexes and terms never get there; SQLite's integers are signed.
fn int(n: u64) -> i64 {
    n as i64
}

fn checksum(region: RegionId, e: &LogEntry) -> u32 {
    let mut sum = crc32c::crc32c(&region.to_le_bytes());
    for n in [e.index, e.term, u64::from(e.kind)] {
        sum = crc32c::crc32c_append(sum, &n.to_le_bytes());
    }
    sum = crc32c::crc32c_append(sum, &e.context);
    crc32c::crc32c_append(sum, &e.data)
}

impl LogDb {
    /// Opens it, or makes it, and reads all of it.
    ///
    /// # Errors
    /// When it cannot be opened, belongs to another node, or is damaged.
    pub fn open(dir: &StoreDir, durable: Durable) -> Result<(Self, Vec<RegionLog>), StoreError> {
        let path = dir.file("raft.db");
        let db = pragma::open_writer(&path, Sync::Commit, 2048)?;
        dir.claim(&db, &path, "raft")?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS log (region INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL,
                 type INTEGER NOT NULL, sum INTEGER NOT NULL, context BLOB NOT NULL, data BLOB NOT NULL,
                 PRIMARY KEY (region, idx)) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS hard (region INTEGER PRIMARY KEY, term INTEGER NOT NULL, vote INTEGER NOT NULL,
                 commit_index INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS purged (region INTEGER PRIMARY KEY, idx INTEGER NOT NULL, term INTEGER NOT NULL);",
        )
        .map_err(StoreError::sql("set up", &path))?;
        dir.sync()?;
        let mut this = Self {
            db,
            path,
            durable,
            ends: BTreeMap::new(),
            failed: false,
        };
        let logs = this.load()?;
        for l in &logs {
            this.ends
                .insert(l.region, (l.purged, l.purged + l.entries.len() as u64));
        }
        Ok((this, logs))
    }

    fn load(&self) -> Result<Vec<RegionLog>, StoreError> {
        let err = || StoreError::sql("read the log", &self.path);
        let mut logs: BTreeMap<RegionId, RegionLog> = BTreeMap::new();
        let of = |region: i64, logs: &mut BTreeMap<RegionId, RegionLog>| -> RegionId {
            let region = region as u64;
            logs.entry(region).or_default().region = region;
            region
        };
        let mut q = self
            .db
            .prepare("SELECT region, term, vote, commit_index FROM hard")
            .map_err(err())?;
        let mut rows = q.query([]).map_err(err())?;
        while let Some(r) = rows.next().map_err(err())? {
            let get = |i| r.get::<_, i64>(i).map(|n| n as u64);
            let hard = HardState {
                term: get(1).map_err(err())?,
                vote: get(2).map_err(err())?,
                commit: get(3).map_err(err())?,
            };
            let region = of(r.get(0).map_err(err())?, &mut logs);
            logs.entry(region).or_default().hard = hard;
        }
        let mut q = self.db.prepare("SELECT region, idx, term FROM purged").map_err(err())?;
        let mut rows = q.query([]).map_err(err())?;
        while let Some(r) = rows.next().map_err(err())? {
            let region = of(r.get(0).map_err(err())?, &mut logs);
            let log = logs.entry(region).or_default();
            log.purged = r.get::<_, i64>(1).map_err(err())? as u64;
            log.purged_term = r.get::<_, i64>(2).map_err(err())? as u64;
        }
        let mut q = self
            .db
            .prepare("SELECT region, idx, term, type, sum, context, data FROM log ORDER BY region, idx")
            .map_err(err())?;
        let mut rows = q.query([]).map_err(err())?;
        while let Some(r) = rows.next().map_err(err())? {
            let region = of(r.get(0).map_err(err())?, &mut logs);
            let entry = LogEntry {
                index: r.get::<_, i64>(1).map_err(err())? as u64,
                term: r.get::<_, i64>(2).map_err(err())? as u64,
                kind: r.get(3).map_err(err())?,
                context: r.get(5).map_err(err())?,
                data: r.get(6).map_err(err())?,
            };
            let log = logs.entry(region).or_default();
            let due = log.purged + log.entries.len() as u64 + 1;
            if entry.index != due {
                return Err(self.damaged(format!("region {region} has entry {} where {due} is due", entry.index)));
            }
            if checksum(region, &entry) != r.get::<_, u32>(4).map_err(err())? {
                return Err(self.damaged(format!("entry {} of region {region} has a wrong checksum", entry.index)));
            }
            log.entries.push(entry);
        }
        Ok(logs.into_values().collect())
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what,
        }
    }

    /// Writes all of it in one transaction. When this returns it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written, after which nothing can be any more, or when a purge goes too far or entries leave a
    /// gap, in which case nothing was written.
    pub fn commit(&mut self, writes: &[LogWrite]) -> Result<Written, StoreError> {
        if self.failed {
            return Err(StoreError::Stopped {
                path: self.path.clone(),
            });
        }
        let ends = self.ends_after(writes)?;
        match self.write(writes) {
            Ok(written) => {
                self.ends = ends;
                Ok(written)
            }
            Err(source) => {
                self.failed = true;
                Err(StoreError::Sqlite {
                    what: "write the log",
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }

    /// What the ends will be; refuses what must not be written.
    fn ends_after(&self, writes: &[LogWrite]) -> Result<BTreeMap<RegionId, (u64, u64)>, StoreError> {
        let mut ends = self.ends.clone();
        for w in writes {
            match w {
                LogWrite::Append(region, entries) => {
                    let end = ends.entry(*region).or_default();
                    for (i, e) in entries.iter().enumerate() {
                        let fits = if i == 0 {
                            e.index > end.0 && e.index <= end.1 + 1
                        } else {
                            e.index == end.1 + 1
                        };
                        if !fits {
                            return Err(StoreError::Gap {
                                region: *region,
                                index: e.index,
                                last: end.1,
                            });
                        }
                        end.1 = e.index;
                    }
                }
                LogWrite::State(..) => {}
                LogWrite::Reset(region, index, _) => {
                    ends.insert(*region, (*index, *index));
                }
                LogWrite::Purge(region, index, _) => {
                    let durable = self.durable.index(*region);
                    if *index > durable {
                        return Err(StoreError::PurgeTooFar {
                            region: *region,
                            wanted: *index,
                            durable,
                        });
                    }
                    let end = ends.entry(*region).or_default();
                    *end = (end.0.max(*index), end.1.max(*index));
                }
                LogWrite::Forget(region) => {
                    ends.remove(region);
                }
            }
        }
        Ok(ends)
    }

    fn write(&mut self, writes: &[LogWrite]) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        let tx = self.db.transaction()?;
        let mut last: BTreeMap<RegionId, u64> = BTreeMap::new();
        for w in writes {
            match w {
                LogWrite::Append(region, entries) => {
                    let Some(first) = entries.first() else { continue };
                    let known = last
                        .get(region)
                        .or_else(|| self.ends.get(region).map(|e| &e.1))
                        .copied();
                    if known.is_some_and(|l| l >= first.index) {
                        tx.prepare_cached("DELETE FROM log WHERE region=?1 AND idx>=?2")?
                            .execute([int(*region), int(first.index)])?;
                    }
                    let mut put = tx.prepare_cached("INSERT INTO log VALUES (?1,?2,?3,?4,?5,?6,?7)")?;
                    for e in entries {
                        let sum = checksum(*region, e);
                        put.execute(params![
                            int(*region),
                            int(e.index),
                            int(e.term),
                            e.kind,
                            sum,
                            e.context,
                            e.data
                        ])?;
                        written.entries += 1;
                        written.bytes += e.data.len() as u64;
                        last.insert(*region, e.index);
                    }
                }
                LogWrite::State(region, h) => {
                    tx.prepare_cached("INSERT OR REPLACE INTO hard VALUES (?1,?2,?3,?4)")?
                        .execute([int(*region), int(h.term), int(h.vote), int(h.commit)])?;
                }
                LogWrite::Reset(region, index, term) => {
                    tx.prepare_cached("DELETE FROM log WHERE region=?1")?
                        .execute([int(*region)])?;
                    tx.prepare_cached("INSERT OR REPLACE INTO purged VALUES (?1,?2,?3)")?
                        .execute([int(*region), int(*index), int(*term)])?;
                    last.insert(*region, *index);
                }
                LogWrite::Purge(region, index, term) => {
                    tx.prepare_cached("DELETE FROM log WHERE region=?1 AND idx<=?2")?
                        .execute([int(*region), int(*index)])?;
                    tx.prepare_cached("INSERT OR REPLACE INTO purged VALUES (?1,?2,?3)")?
                        .execute([int(*region), int(*index), int(*term)])?;
                }
                LogWrite::Forget(region) => {
                    for table in ["log", "hard", "purged"] {
                        tx.prepare_cached(&format!("DELETE FROM {table} WHERE region=?1"))?
                            .execute([int(*region)])?;
                    }
                    last.insert(*region, 0);
                }
            }
        }
        tx.commit()?;
        Ok(written)
    }

    /// Moves the WAL into the database, so that it does not grow without end.
    ///
    /// # Errors
    /// When that cannot be written; the log is stopped then.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        if self.failed {
            return Err(StoreError::Stopped {
                path: self.path.clone(),
            });
        }
        pragma::checkpoint(&self.db, &self.path).inspect_err(|_| self.failed = true)
    }
}
