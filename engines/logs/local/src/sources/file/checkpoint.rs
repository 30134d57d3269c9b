//! Positions: how far each file was delivered, in memory and on disk.
//!
//! Each batch carries a token with the range of the file it covers. [`Progress`] keeps the end of the highest contiguous
//! delivered range of one generation of one file; the [`Store`] writes all of them as one JSON file, write-temp, fsync,
//! rename, with the version before kept beside it. What was read of files that are gone is remembered for a while, so
//! that a copy of them is known.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use qd_logs_model::{Delivery, Token};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::mark::Mark;

/// The file with the positions.
const FILE: &str = "file-checkpoints.json";
/// The one before it.
const PREVIOUS: &str = "file-checkpoints.previous.json";
const LOCK: &str = "lock";
/// The format of the file.
const VERSION: u32 = 1;
/// How many files that are gone are remembered.
const KEPT: usize = 2048;

/// One file as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// When the inode was made, in nanoseconds since 1970; `None` where the file system does not say.
    pub(crate) born: Option<i64>,
    /// The first bytes of the content.
    pub(crate) head: Mark,
    /// Everything before it was delivered.
    pub(crate) offset: u64,
    /// The bytes right before `offset`.
    pub(crate) tail: Mark,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    files: Vec<Entry>,
}

/// How far one generation of one file was delivered.
#[derive(Debug)]
pub(crate) struct Progress {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    entry: Entry,
    /// Delivered ranges beyond `entry.offset`: start → (end, tail).
    done: BTreeMap<u64, (u64, Mark)>,
}

impl Progress {
    pub(crate) fn new(entry: Entry) -> Arc<Progress> {
        Arc::new(Progress {
            inner: Mutex::new(Inner {
                entry,
                done: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn entry(&self) -> Entry {
        self.inner.lock().entry.clone()
    }

    /// The end of what was delivered.
    pub(crate) fn offset(&self) -> u64 {
        self.inner.lock().entry.offset
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Entry)) {
        change(&mut self.inner.lock().entry);
    }

    /// A range was delivered.
    pub(crate) fn delivered(&self, start: u64, end: u64, tail: Mark) {
        let mut inner = self.inner.lock();
        if start > inner.entry.offset {
            // A neighbour that was delivered before grows, so that one hole costs one range however long it stays.
            match inner.done.range_mut(..start).next_back() {
                Some((_, before)) if before.0 == start => *before = (end, tail),
                _ => {
                    inner.done.insert(start, (end, tail));
                }
            }
            return;
        }
        if end > inner.entry.offset {
            (inner.entry.offset, inner.entry.tail) = (end, tail);
        }
        while let Some((&first, _)) = inner.done.first_key_value() {
            if first > inner.entry.offset {
                break;
            }
            let Some((_, (end, tail))) = inner.done.pop_first() else {
                break;
            };
            if end > inner.entry.offset {
                (inner.entry.offset, inner.entry.tail) = (end, tail);
            }
        }
    }
}

/// All positions of a source.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    progress: Mutex<Vec<Arc<Progress>>>,
    dirty: AtomicBool,
    outstanding: AtomicU64,
    ended: AtomicBool,
    writing: Mutex<()>,
    /// Why the last write failed, until somebody takes it.
    failure: Mutex<Option<io::Error>>,
    written: AtomicU64,
    _lock: File,
}

/// Why positions could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot make the directory for positions {}: {error}", .dir.display())]
    Dir { dir: PathBuf, error: io::Error },
    #[error("cannot lock {}: {error}", .path.display())]
    Lock { path: PathBuf, error: io::Error },
    #[error(
        "{} is in use by process {pid}: two instances must not share a data_dir; stop the other one or give this source \
         another `data_dir`", .dir.display()
    )]
    Busy { dir: PathBuf, pid: String },
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) entries: Vec<Entry>,
    /// What is wrong with the files, for people.
    pub(crate) complaints: Vec<String>,
}

impl Store {
    /// Takes the directory for this instance alone.
    pub(crate) fn open(dir: &Path) -> Result<Store, StoreError> {
        fs::create_dir_all(dir).map_err(|error| StoreError::Dir {
            dir: dir.to_owned(),
            error,
        })?;
        let path = dir.join(LOCK);
        let failed = |error: io::Error| StoreError::Lock {
            path: dir.join(LOCK),
            error,
        };
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                return Err(StoreError::Busy {
                    dir: dir.to_owned(),
                    pid,
                });
            }
            Err(e) => return Err(failed(e.into())),
        }
        lock.set_len(0).map_err(failed)?;
        lock.write_all(std::process::id().to_string().as_bytes())
            .map_err(failed)?;
        Ok(Store {
            dir: dir.to_owned(),
            progress: Mutex::new(Vec::new()),
            dirty: AtomicBool::new(false),
            outstanding: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            writing: Mutex::new(()),
            failure: Mutex::new(None),
            written: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// Reads what was saved. A file that can't be read is put aside, with a complaint, and the one before it is used.
    pub(crate) fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        for name in [FILE, PREVIOUS] {
            let path = self.dir.join(name);
            let text = match fs::read(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    loaded
                        .complaints
                        .push(format!("cannot read the positions in {}: {e}", path.display()));
                    continue;
                }
            };
            match serde_json::from_slice::<Saved>(&text) {
                Ok(saved) if saved.version == VERSION => {
                    loaded.entries = saved.files;
                    return loaded;
                }
                Ok(saved) => loaded.complaints.push(format!(
                    "the positions in {} have version {}, this program knows version {VERSION}: they are not used",
                    path.display(),
                    saved.version
                )),
                Err(e) => {
                    let aside = self.dir.join(format!("{name}.damaged"));
                    let moved = fs::rename(&path, &aside).is_ok();
                    loaded.complaints.push(format!(
                        "the positions in {} are damaged ({e}){}: files are read from where positions saved before say, \
                         else as on a first start",
                        path.display(),
                        if moved {
                            format!(" and were put aside as {}", aside.display())
                        } else {
                            String::new()
                        }
                    ));
                }
            }
        }
        loaded
    }

    /// Follows one more generation of a file.
    pub(crate) fn add(&self, progress: Arc<Progress>) {
        let mut all = self.progress.lock();
        if all.len() >= KEPT
            && let Some(gone) = all.iter().position(|p| Arc::strong_count(p) == 1)
        {
            all.remove(gone);
        }
        all.push(progress);
        self.dirty.store(true, Ordering::Release);
    }

    /// Every generation that is remembered, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Progress>> {
        self.progress.lock().clone()
    }

    pub(crate) fn touch(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// A token for a range of a file.
    pub(crate) fn token(
        self: &Arc<Self>,
        aborted: &Arc<AtomicBool>,
        progress: &Arc<Progress>,
        range: std::ops::Range<u64>,
        tail: Mark,
    ) -> Token {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        let (store, progress) = (self.clone(), progress.clone());
        Token::abort_flag(aborted.clone(), move |delivery| {
            // What a receiver refused for good would be refused again; what could not be sent must be read again.
            if delivery != Delivery::Errored {
                progress.delivered(range.start, range.end, tail);
                store.dirty.store(true, Ordering::Release);
            }
            let last = store.outstanding.fetch_sub(1, Ordering::AcqRel) == 1;
            if last && store.ended.load(Ordering::Acquire) {
                // The source has gone, so nobody else would write it.
                store.save();
            }
        })
    }

    /// The source has ended: the last token writes.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.save();
    }

    /// Whether anything changed since the last write.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Writes if anything changed. Failures are kept for [`Store::take_failure`] and tried again with the next call.
    pub(crate) fn save(&self) {
        let _one = self.writing.lock();
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return;
        }
        let files: Vec<Entry> = self.all().iter().map(|p| p.entry()).collect();
        let count = files.len() as u64;
        match self.write(&Saved {
            version: VERSION,
            files,
        }) {
            Ok(()) => {
                self.written.fetch_add(count, Ordering::Relaxed);
            }
            Err(e) => {
                self.dirty.store(true, Ordering::Release);
                *self.failure.lock() = Some(e);
            }
        }
    }

    fn write(&self, saved: &Saved) -> io::Result<()> {
        let (path, temp) = (self.dir.join(FILE), self.dir.join("file-checkpoints.new"));
        let mut file = File::create(&temp)?;
        file.write_all(&serde_json::to_vec(saved).map_err(io::Error::other)?)?;
        file.sync_all()?;
        match fs::rename(&path, self.dir.join(PREVIOUS)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        fs::rename(&temp, &path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Why writing failed since the last call.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().take()
    }

    /// How many positions were written since the last call.
    pub(crate) fn take_written(&self) -> u64 {
        self.written.swap(0, Ordering::Relaxed)
    }
}

/// When a file was made, as it is saved.
pub(crate) fn born(created: Option<SystemTime>) -> Option<i64> {
    let since = created?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ino: u64) -> Entry {
        Entry {
            path: "/var/log/x".into(),
            dev: 1,
            ino,
            born: None,
            head: Mark::of(b"abc"),
            offset: 0,
            tail: Mark::default(),
        }
    }

    #[test]
    fn ranges_out_of_order_move_the_offset_only_without_holes() {
        let p = Progress::new(entry(1));
        let m = |n: u32| Mark { len: n, hash: 0 };
        p.delivered(10, 20, m(2));
        p.delivered(20, 30, m(3));
        p.delivered(40, 50, m(5));
        assert_eq!(p.offset(), 0);
        assert_eq!(p.inner.lock().done.len(), 2, "neighbours are merged");
        p.delivered(0, 10, m(1));
        assert_eq!((p.offset(), p.entry().tail), (30, m(3)));
        p.delivered(30, 40, m(4));
        assert_eq!((p.offset(), p.entry().tail), (50, m(5)));
        assert!(p.inner.lock().done.is_empty());
    }

    #[test]
    fn saved_positions_come_back_and_damage_falls_back_to_those_before() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path())?;
        let p = Progress::new(entry(7));
        store.add(p.clone());
        store.save();
        p.delivered(0, 9, Mark::of(b"x"));
        store.touch();
        store.save();
        assert!(store.take_failure().is_none());
        assert_eq!(store.load().entries, [p.entry()]);
        fs::write(dir.path().join(FILE), b"{\"version\":1,\"files\":[{")?;
        let loaded = store.load();
        assert_eq!(loaded.entries, [entry(7)], "the version before");
        assert!(loaded.complaints[0].contains("damaged"), "{:?}", loaded.complaints);
        assert!(dir.path().join(format!("{FILE}.damaged")).exists());
        Ok(())
    }

    #[test]
    fn two_instances_do_not_share_a_directory() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let first = Store::open(dir.path())?;
        let second = Store::open(dir.path());
        assert!(matches!(second, Err(StoreError::Busy { ref pid, .. }) if *pid == std::process::id().to_string()));
        drop(first);
        Store::open(dir.path())?;
        Ok(())
    }

    #[test]
    fn the_last_token_writes_after_the_end() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Arc::new(Store::open(dir.path())?);
        let p = Progress::new(entry(7));
        store.add(p.clone());
        let aborted = Arc::default();
        let (a, b) = (
            store.token(&aborted, &p, 0..5, Mark::of(b"a")),
            store.token(&aborted, &p, 5..9, Mark::of(b"b")),
        );
        store.end();
        drop(b);
        assert_eq!(store.load().entries[0].offset, 0);
        drop(a);
        assert_eq!(store.load().entries[0].offset, 9);
        Ok(())
    }
}
