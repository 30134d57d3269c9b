//! A node's work, done on disk.

use std::sync::Arc;

use qd_kv_model::{
    Cf, CodecError, Direction, LogWrite, Modify, Pair, Range, ReadError, Reader, RegionId, RegionLog, RegionState,
    Snapshot, Writer,
};
use qd_kv_node::{Applied, ApplyTask, Install, Target, apply};
use qd_kv_store::{
    Durable, Export, Identity, KvBatch, KvDb, LogDb, Readers, StoreDir, StoreError, TransferError, Written, install,
};

/// Why a node's work cannot be done. It stops, and starts again from what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be read cannot be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry or a piece of a snapshot is not one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A snapshot cannot be taken.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The data has regions, and the log is new: somebody has taken it away, and with it the node's promises.
    #[error(
        "the data has {regions} regions and raft.db is empty; take the node out of the cluster and let it come back empty"
    )]
    NoLog {
        /// How many.
        regions: usize,
    },
}

/// A node's databases.
#[derive(Debug)]
pub struct Disk {
    log: LogDisk,
    data: DataDisk,
}

/// The log, for the thread that decides.
#[derive(Debug)]
pub struct LogDisk {
    log: LogDb,
    // The directory is this process's as long as anything of it is in use.
    _dir: Arc<StoreDir>,
}

/// The data, for the thread that applies.
#[derive(Debug)]
pub struct DataDisk {
    kv: KvDb,
    readers: Readers,
    durable: Durable,
    _dir: Arc<StoreDir>,
}

/// What was found on disk, as [`qd_kv_node::Node::new`] wants it.
#[derive(Debug)]
pub struct Opened {
    /// The regions as applied.
    pub regions: Vec<RegionState>,
    /// The logs.
    pub logs: Vec<RegionLog>,
}

/// How large pieces of a snapshot are, in bytes.
const PIECE: usize = 256 << 10;

impl Disk {
    /// Opens a node's directory. One that is new gets `first`, if it is given.
    ///
    /// # Errors
    /// When it cannot be opened, belongs to somebody else, or is damaged.
    pub fn open(
        path: &std::path::Path,
        identity: Identity,
        first: Option<&RegionState>,
        readers: usize,
    ) -> Result<(Self, Opened), DiskError> {
        let dir = StoreDir::open(path, identity)?;
        let durable = Durable::new();
        let (mut kv, mut regions) = KvDb::open(&dir, durable.clone())?;
        let (mut log, mut logs) = LogDb::open(&dir, durable.clone())?;
        if logs.is_empty() && !regions.is_empty() {
            return Err(DiskError::NoLog { regions: regions.len() });
        }
        if let Some(first) = first.filter(|_| regions.is_empty() && logs.is_empty()) {
            // The log comes first: a log without data is a node that has nothing, data without a log is an error.
            log.commit(&[LogWrite::Reset(first.region.id, first.applied, first.applied_term)])?;
            logs.push(RegionLog {
                region: first.region.id,
                purged: first.applied,
                purged_term: first.applied_term,
                ..RegionLog::default()
            });
        }
        if let Some(first) =
            first.filter(|f| regions.is_empty() && logs.iter().all(|l| l.region == f.region.id && l.entries.is_empty()))
        {
            let mut batch = kv.begin()?;
            batch.put_region(first)?;
            batch.commit()?;
            kv.checkpoint()?;
            regions.push(first.clone());
        }
        let readers = Readers::new(&dir, readers);
        let dir = Arc::new(dir);
        let log = LogDisk {
            log,
            _dir: Arc::clone(&dir),
        };
        Ok((
            Self {
                log,
                data: DataDisk {
                    kv,
                    readers,
                    durable,
                    _dir: dir,
                },
            },
            Opened { regions, logs },
        ))
    }

    /// Its two halves, for a thread each.
    pub fn split(self) -> (LogDisk, DataDisk) {
        (self.log, self.data)
    }

    /// Gives views of the data.
    pub fn readers(&self) -> Readers {
        self.data.readers()
    }

    /// Puts snapshots in place, durably, and then writes the log. When this returns the work is persisted.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn persist(&mut self, installs: &[Install], writes: &[LogWrite]) -> Result<Written, DiskError> {
        self.data.install(installs)?;
        self.log.commit(writes)
    }

    /// As [`DataDisk::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply(&mut self, tasks: &[ApplyTask]) -> Result<Vec<Applied>, DiskError> {
        self.data.apply(tasks)
    }

    /// As [`DataDisk::destroy`].
    ///
    /// # Errors
    /// As there.
    pub fn destroy(&mut self, regions: &[RegionState]) -> Result<(), DiskError> {
        self.data.destroy(regions)
    }

    /// As [`DataDisk::snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn snapshot(&mut self, region: RegionId) -> Result<Option<(RegionState, Vec<u8>)>, DiskError> {
        self.data.snapshot(region)
    }

    /// Makes the data durable, and says up to where it is; the log's own file is kept from growing.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn checkpoint(&mut self) -> Result<Vec<(RegionId, u64)>, DiskError> {
        self.log.checkpoint()?;
        self.data.checkpoint()
    }
}

impl LogDisk {
    /// Writes all of it in one commit. When this returns it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn commit(&mut self, writes: &[LogWrite]) -> Result<Written, DiskError> {
        Ok(self.log.commit(writes)?)
    }

    /// Keeps the file from growing.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn checkpoint(&mut self) -> Result<(), DiskError> {
        self.log.checkpoint()?;
        Ok(())
    }
}

impl DataDisk {
    /// Gives views of the data.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// Puts snapshots in the place of regions' data. When this returns they are durable.
    ///
    /// # Errors
    /// When one is damaged, or it cannot be written; the node stops then.
    pub fn install(&mut self, installs: &[Install]) -> Result<(), DiskError> {
        if installs.is_empty() {
            return Ok(());
        }
        let mut batch = self.kv.begin()?;
        for i in installs {
            install(&mut batch, &i.state, pieces(&i.data)?)?;
        }
        batch.commit()?;
        // A reader of an older moment may keep it from being complete, but not for long.
        while !self.kv.checkpoint()?.complete() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(())
    }

    /// Applies entries, all in one commit.
    ///
    /// # Errors
    /// When the data cannot be read or written; the node stops then.
    pub fn apply(&mut self, tasks: &[ApplyTask]) -> Result<Vec<Applied>, DiskError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let mut target = Batch(self.kv.begin()?);
        let mut done = Vec::with_capacity(tasks.len());
        for t in tasks {
            done.extend(apply(&mut target, t.region, &t.entries)?);
        }
        target.0.commit()?;
        Ok(done)
    }

    /// Takes away the data of regions whose peers are gone.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn destroy(&mut self, regions: &[RegionState]) -> Result<(), DiskError> {
        if regions.is_empty() {
            return Ok(());
        }
        let mut batch = self.kv.begin()?;
        for state in regions {
            for cf in Cf::ALL {
                batch.modify(&Modify::DeleteRange(
                    cf,
                    state.region.start.clone(),
                    state.region.end.clone(),
                ))?;
            }
            batch.put_region(state)?;
        }
        Ok(batch.commit()?)
    }

    /// Makes the data durable, and says up to where it is.
    ///
    /// # Errors
    /// When it cannot be written; the node stops then.
    pub fn checkpoint(&mut self) -> Result<Vec<(RegionId, u64)>, DiskError> {
        self.kv.checkpoint()?;
        Ok(self.durable.all())
    }

    /// A region's data as a snapshot carries it, with what is known of the region at that moment; nothing when it is not
    /// here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn snapshot(&mut self, region: RegionId) -> Result<Option<(RegionState, Vec<u8>)>, DiskError> {
        let batch = self.kv.begin()?;
        let Some(state) = batch.region(region)?.filter(|s| !s.gone) else {
            return Ok(None);
        };
        let mut w = Writer::default();
        let mut export = Export::new(&batch, &state.region, PIECE);
        while let Some(piece) = export.next_piece()? {
            w.bytes(&piece);
        }
        Ok(Some((state, w.finish())))
    }
}

fn pieces(data: &[u8]) -> Result<Vec<&[u8]>, CodecError> {
    let mut r = Reader::new("snapshot", data);
    let mut all = Vec::new();
    while r.left() > 0 {
        all.push(r.bytes()?);
    }
    Ok(all)
}

/// A transaction of the data, as entries are applied to it.
struct Batch<'a>(KvBatch<'a>);

impl Snapshot for Batch<'_> {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.get(cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        self.0.scan(cf, range, limit, direction)
    }
}

impl Target for Batch<'_> {
    type Error = DiskError;

    fn modify(&mut self, m: &Modify) -> Result<(), DiskError> {
        Ok(self.0.modify(m)?)
    }

    fn put_region(&mut self, state: &RegionState) -> Result<(), DiskError> {
        Ok(self.0.put_region(state)?)
    }

    fn region(&self, id: RegionId) -> Result<Option<RegionState>, DiskError> {
        Ok(self.0.region(id)?)
    }
}
