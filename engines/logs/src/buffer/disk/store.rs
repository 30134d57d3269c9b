//! The files of a disk buffer: segments that are appended to, read and deleted, and the place up to which all is
//! acknowledged. Everything here blocks; it is called from threads that may.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    super::BufferError,
    place::{Place, PlaceFile},
    record::{self, FRONT, Head},
};

/// The file that holds the lock against a second instance.
const LOCK: &str = "lock";
/// Bytes of a segment in which all is acknowledged and which is not followed by another, before its room is given back
/// though nobody asks for it.
const IDLE: u64 = 1024 * 1024;

#[derive(Debug)]
struct Segment {
    id: u64,
    /// Bytes that hold whole records.
    len: u64,
    file: Arc<File>,
}

/// What an append came to.
pub(super) enum Appended {
    /// It is in the file.
    Done,
    /// There is no room below `max_size`.
    Full,
}

/// What a read came to.
#[derive(Debug)]
pub(super) enum Read {
    /// A record: its events and body, and the place behind it.
    Record {
        /// How many events.
        events: u64,
        /// The batch.
        body: Vec<u8>,
        /// The place behind it.
        end: Place,
        /// Events that damage before it cost.
        lost: u64,
        /// Bytes that damage before it cost.
        lost_bytes: u64,
    },
    /// Nothing is left to read now.
    Nothing {
        /// Bytes that damage cost.
        lost_bytes: u64,
    },
}

/// The open files.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    max_size: u64,
    segment_size: u64,
    segments: VecDeque<Segment>,
    next_seq: u64,
    read: Place,
    acked: Place,
    place: Arc<PlaceFile>,
    dirty: bool,
    /// Whether `read.seq` is the number of the next event, or only not known yet.
    seq_known: bool,
    /// Held as long as the store lives.
    _lock: File,
}

/// What was found when a store was opened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Events that wait to be read.
    pub(super) events: u64,
    /// Bytes cut off the end of the last segment.
    pub(super) cut: u64,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BufferError {
    let path = path.display().to_string();
    move |error| BufferError::Io { what, path, error }
}

fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:020}.seg"))
}

impl Store {
    /// Opens or makes the buffer in a folder.
    pub(super) fn open(dir: &Path, max_size: u64, segment_size: u64) -> Result<(Store, Found), BufferError> {
        fs::create_dir_all(dir).map_err(failed("cannot create", dir))?;
        let lock_path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed("cannot open", &lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| BufferError::Locked {
            path: lock_path.display().to_string(),
        })?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed("cannot read", dir))? {
            let name = entry.map_err(failed("cannot read", dir))?.file_name();
            if let Some(id) = name
                .to_str()
                .and_then(|n| n.strip_suffix(".seg"))
                .and_then(|n| n.parse().ok())
            {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let (place, saved) = PlaceFile::open(dir).map_err(failed("cannot open the acknowledged place in", dir))?;
        let mut store = Store {
            dir: dir.to_owned(),
            max_size,
            segment_size,
            segments: VecDeque::new(),
            next_seq: saved.map_or(0, |p| p.seq),
            read: Place::default(),
            acked: Place::default(),
            place: Arc::new(place),
            dirty: false,
            seq_known: false,
            _lock: lock,
        };
        let mut found = Found::default();
        let last = ids.last().copied();
        for id in ids {
            store.adopt(id, Some(id) == last, saved, &mut found)?;
        }
        // Ids never come again: a new segment is never taken for one in which all was acknowledged.
        if store
            .segments
            .back()
            .is_none_or(|s| saved.is_some_and(|p| p.segment > s.id))
        {
            store
                .grow(saved.map_or(0, |p| p.segment + 1))
                .map_err(failed("cannot create a segment in", dir))?;
        }
        let first = store.segments.front().map_or(0, |s| s.id);
        let begin = |segment: u64| Place {
            segment,
            at: FRONT,
            seq: store.next_seq,
        };
        (store.acked, store.seq_known) = match saved {
            Some(place) => match store.segments.iter().find(|s| s.id >= place.segment) {
                Some(s) if s.id == place.segment => {
                    // The file can be shorter after a loss of power, and what is written next lies behind its end.
                    let at = place.at.min(s.len);
                    (Place { at, ..place }, at == place.at)
                }
                Some(s) => (
                    Place {
                        seq: place.seq,
                        ..begin(s.id)
                    },
                    true,
                ),
                None => (begin(first), false),
            },
            // The first segment of all begins with event 0.
            None => (Place { seq: 0, ..begin(first) }, first == 0),
        };
        store.read = store.acked;
        store
            .place
            .reset(store.acked)
            .map_err(failed("cannot write the acknowledged place in", dir))?;
        store.reclaim();
        Ok((store, found))
    }

    /// The file of the acknowledged place.
    pub(super) fn place(&self) -> Arc<PlaceFile> {
        self.place.clone()
    }

    /// Takes a segment that is there: counts what waits in it, and cuts a bad tail off the last one.
    fn adopt(&mut self, id: u64, last: bool, acked: Option<Place>, found: &mut Found) -> Result<(), BufferError> {
        let path = segment_path(&self.dir, id);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("cannot open", &path))?;
        let end = file.metadata().map_err(failed("cannot read", &path))?.len();
        let whole = record::check_front(&file, &path.display().to_string())?;
        if !whole && end < FRONT {
            // It was being made when the machine stopped; nothing can be in it.
            fs::remove_file(&path).map_err(failed("cannot remove", &path))?;
            return Ok(());
        }
        // What is acknowledged is not looked at: a segment of 128 MiB would be read for nothing.
        let from = match acked {
            Some(p) if p.segment == id => p.at.clamp(FRONT.min(end), end),
            Some(p) if p.segment > id => end,
            _ => FRONT,
        };
        let read = |e| failed("cannot read", &path)(e);
        let mut at = from;
        let mut good = from;
        while at < end {
            let head = match record::head_at(&file, at, end).map_err(read)? {
                // The tail is what a crash tears: there the body is checked too.
                Some(head) if !last || record::body_at(&file, at, &head).map_err(read)?.is_some() => Some((at, head)),
                _ => record::find_record(&file, at + 1, end).map_err(read)?,
            };
            let Some((place, head)) = head else { break };
            at = place + head.record_len();
            good = at;
            self.next_seq = self.next_seq.max(head.seq + u64::from(head.events));
            found.events += u64::from(head.events);
        }
        let len = if last {
            if good < end {
                file.set_len(good).map_err(failed("cannot truncate", &path))?;
                found.cut = end - good;
            }
            good
        } else {
            end
        };
        self.segments.push_back(Segment {
            id,
            len,
            file: Arc::new(file),
        });
        Ok(())
    }

    /// Writes down up to where all is acknowledged, and has the disk keep it.
    pub(super) fn save_place(&self) -> io::Result<()> {
        self.place.save(self.acked)?;
        self.place.sync()
    }

    /// The file that has data the disk may not have yet, if any; the caller syncs it without holding the store.
    pub(super) fn take_dirty(&mut self) -> Option<Arc<File>> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.segments.back().map(|s| s.file.clone())
    }

    /// Bytes of all segments.
    pub(super) fn size(&self) -> u64 {
        self.segments.iter().map(|s| s.len).sum()
    }

    pub(super) fn set_max_size(&mut self, max: u64, segment_size: u64) {
        (self.max_size, self.segment_size) = (max, segment_size);
    }

    pub(super) fn max_size(&self) -> u64 {
        self.max_size
    }

    fn grow(&mut self, id: u64) -> io::Result<()> {
        if let Some(last) = self.segments.back() {
            last.file.sync_data()?;
        }
        let path = segment_path(&self.dir, id);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)?;
        if let Err(e) = file.write_all_at(&record::front(), 0).and_then(|()| file.sync_all()) {
            let _leave_no_half = fs::remove_file(&path);
            return Err(e);
        }
        // The name must outlive a crash as the data do.
        File::open(&self.dir)?.sync_all()?;
        self.segments.push_back(Segment {
            id,
            len: FRONT,
            file: Arc::new(file),
        });
        Ok(())
    }

    /// Appends a record; nothing of it stays if that fails.
    pub(super) fn append(&mut self, body: &[u8], events: u32) -> io::Result<Appended> {
        let len = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let head = Head {
            len,
            seq: self.next_seq,
            events,
            crc: crc32c::crc32c(body),
        };
        let record = head.record_len();
        if self.size() + record > self.max_size {
            self.reclaim();
            if self.size() + record > self.max_size {
                // All that is there may be acknowledged and still be in the way: then it begins anew.
                if FRONT + record > self.max_size || self.recycle(FRONT)? == 0 {
                    return Ok(Appended::Full);
                }
            }
        }
        let (id, at) = self.segments.back().map_or((0, FRONT), |s| (s.id, s.len));
        if at > FRONT && at + record > self.segment_size && self.recycle(FRONT)? == 0 {
            if let Err(e) = self.grow(id + 1) {
                return self.make_room(e);
            }
            self.skip_acked();
        }
        let Some(segment) = self.segments.back_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let at = segment.len;
        let written = segment
            .file
            .write_all_at(&head.to_bytes(), at)
            .and_then(|()| segment.file.write_all_at(body, at + record::HEAD));
        if let Err(e) = written {
            let _a_bad_tail_is_cut_at_the_next_start = segment.file.set_len(at);
            return self.make_room(e);
        }
        segment.len += record;
        self.next_seq += u64::from(events);
        self.dirty = true;
        Ok(Appended::Done)
    }

    /// After a write that failed: gives back what is acknowledged, in case the disk was full.
    fn make_room(&mut self, error: io::Error) -> io::Result<Appended> {
        self.reclaim();
        self.recycle(FRONT)?;
        Err(error)
    }

    /// Empties the last segment if all in it is acknowledged and it is longer than `beyond`; how many bytes became free.
    /// Its file gets the next id, so that this needs no room on a disk that is full.
    fn recycle(&mut self, beyond: u64) -> io::Result<u64> {
        self.skip_acked();
        let (acked, dir) = (self.acked, &self.dir);
        let Some(last) = self.segments.back_mut() else {
            return Ok(0);
        };
        if last.len <= beyond.max(FRONT) || acked.segment != last.id || acked.at < last.len {
            return Ok(0);
        }
        // A crash in between leaves a place beyond the end of the file, which is as good.
        self.place.save(acked)?;
        last.file.set_len(FRONT)?;
        let freed = last.len - FRONT;
        last.len = FRONT;
        fs::rename(segment_path(dir, last.id), segment_path(dir, last.id + 1))?;
        last.id += 1;
        let anew = Place {
            segment: last.id,
            at: FRONT,
            seq: acked.seq,
        };
        (self.acked, self.read) = (anew, anew);
        self.place.save(anew)?;
        Ok(freed)
    }

    /// Moves the acknowledged place from the end of a segment to the beginning of the next.
    fn skip_acked(&mut self) {
        for place in [&mut self.acked, &mut self.read] {
            while let Some(i) = self.segments.iter().position(|s| s.id == place.segment) {
                let done = self.segments.get(i).is_some_and(|s| place.at >= s.len);
                match self.segments.get(i + 1) {
                    Some(next) if done => {
                        place.segment = next.id;
                        place.at = FRONT;
                    }
                    _ => break,
                }
            }
        }
    }

    /// Deletes segments in which all is acknowledged; how many bytes became free.
    pub(super) fn reclaim(&mut self) -> u64 {
        self.skip_acked();
        let gone = |s: &Segment, acked: Place| s.id < acked.segment;
        let mut freed = 0;
        // The place first: after a crash in between, nothing is read again.
        if self.segments.front().is_some_and(|s| gone(s, self.acked)) && self.save_place().is_err() {
            return 0;
        }
        while self.segments.len() > 1
            && let Some(first) = self.segments.front()
            && gone(first, self.acked)
        {
            let (id, len) = (first.id, first.len);
            if fs::remove_file(segment_path(&self.dir, id)).is_err() {
                break;
            }
            freed += len;
            self.segments.pop_front();
        }
        freed
    }

    /// As [`Store::reclaim`], and gives back the room of a long last segment that nobody needs any more.
    pub(super) fn tidy(&mut self) -> u64 {
        self.reclaim() + self.recycle(IDLE).unwrap_or(0)
    }

    /// All before this place is acknowledged.
    pub(super) fn acked(&mut self, place: Place) {
        if place > self.acked {
            self.acked = place;
        }
    }

    /// Reads the next record, skipping what is damaged.
    pub(super) fn next(&mut self) -> io::Result<Read> {
        let mut lost_bytes = 0;
        loop {
            let Some(i) = self.segments.iter().position(|s| s.id >= self.read.segment) else {
                return Ok(Read::Nothing { lost_bytes });
            };
            let Some(segment) = self.segments.get(i) else {
                return Ok(Read::Nothing { lost_bytes });
            };
            if segment.id > self.read.segment {
                self.read = Place {
                    segment: segment.id,
                    at: FRONT,
                    seq: self.read.seq,
                };
            }
            let (file, end, at) = (&segment.file, segment.len, self.read.at);
            if at >= end {
                let Some(next) = self.segments.get(i + 1) else {
                    return Ok(Read::Nothing { lost_bytes });
                };
                self.read = Place {
                    segment: next.id,
                    at: FRONT,
                    seq: self.read.seq,
                };
                continue;
            }
            let found = match record::head_at(file, at, end)? {
                Some(head) => record::body_at(file, at, &head)?.map(|body| (at, head, body)),
                None => None,
            };
            let found = match found {
                Some(found) => Some(found),
                None => match record::find_record(file, at + 1, end)? {
                    Some((place, head)) => record::body_at(file, place, &head)?.map(|body| (place, head, body)),
                    None => None,
                },
            };
            match found {
                Some((place, head, body)) => {
                    lost_bytes += place - at;
                    let lost = if self.seq_known {
                        head.seq.saturating_sub(self.read.seq)
                    } else {
                        0
                    };
                    self.seq_known = true;
                    let end = Place {
                        segment: self.read.segment,
                        at: place + head.record_len(),
                        seq: head.seq + u64::from(head.events),
                    };
                    self.read = end;
                    return Ok(Read::Record {
                        events: u64::from(head.events),
                        body,
                        end,
                        lost,
                        lost_bytes,
                    });
                }
                None => {
                    lost_bytes += end - at;
                    self.read.at = end;
                }
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(file) = self.take_dirty() {
            let _nobody_to_tell = file.sync_data();
        }
        let _read_again_then = self.save_place();
    }
}
