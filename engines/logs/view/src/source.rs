//! One source of lines: a file, an unpacked or spooled stream, or a ring of live records, with its index.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};
use qd_core::{Record, Timestamp};

use crate::block::Lines;
use crate::error::Result;
use crate::format::level::Level;
use crate::format::{Format, Reader, detect};
use crate::index::{BLOCK, CHUNK, CHUNK_BLOCKS, Index, first_line, scan};
use crate::live::Ring;
use crate::resolve::Resolver;
use crate::stamp::{Missing, NONE};
use crate::store::{Identity, Store};

/// How much of a file's beginning is looked at for its format, in bytes.
const SAMPLE: usize = 64 << 10;
/// How many lines of it.
const SAMPLE_LINES: usize = 400;
/// How many notes a source keeps.
const NOTES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Todo {
    Open,
    Claimed,
    Done,
}

#[derive(Debug, Default)]
struct Work {
    index: Index,
    todo: Vec<Todo>,
    /// When an index was published last.
    published: Option<std::time::Instant>,
    /// Bytes from which the formats were told.
    sampled: u64,
    /// Near which time each chunk begins, for times that leave something out.
    nears: Option<Arc<Vec<i64>>>,
    /// The last bytes before the known end, to notice that they were rewritten.
    tail: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    File(ArcSwap<Store>),
    Live(Mutex<Ring>),
}

/// One source of a view.
#[derive(Debug)]
pub(crate) struct Source {
    pub id: u32,
    pub name: String,
    pub kind: Kind,
    /// What is added to its times, in nanoseconds.
    pub clock: AtomicI64,
    index: ArcSwap<Index>,
    work: Mutex<Work>,
    formats: RwLock<(Arc<[Format]>, bool)>,
    user: Vec<Format>,
    zone: TimeZone,
    pub notes: Mutex<Vec<String>>,
    /// Its path leads elsewhere now; what it held is still readable.
    pub rotated: AtomicBool,
    /// A live source has records that its index does not know yet.
    pub fresh: AtomicBool,
}

impl Source {
    pub(crate) fn file(id: u32, name: String, store: Arc<Store>, user: Vec<Format>, zone: TimeZone) -> Source {
        let source = Source::new(id, name, Kind::File(ArcSwap::new(store)), user, zone);
        source.grow();
        source
    }

    pub(crate) fn live(id: u32, name: String, capacity: usize) -> Source {
        Source::new(
            id,
            name,
            Kind::Live(Mutex::new(Ring::new(capacity))),
            Vec::new(),
            TimeZone::UTC,
        )
    }

    fn new(id: u32, name: String, kind: Kind, user: Vec<Format>, zone: TimeZone) -> Source {
        Source {
            id,
            name,
            kind,
            clock: AtomicI64::new(0),
            index: ArcSwap::default(),
            work: Mutex::default(),
            formats: RwLock::new((Arc::from([Format::plain()]), false)),
            user,
            zone,
            notes: Mutex::default(),
            rotated: AtomicBool::new(false),
            fresh: AtomicBool::new(false),
        }
    }

    pub(crate) fn index(&self) -> arc_swap::Guard<Arc<Index>> {
        self.index.load()
    }

    pub(crate) fn formats(&self) -> Arc<[Format]> {
        Arc::clone(&self.formats.read().0)
    }

    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &self.kind {
            Kind::File(store) => Some(store.load().path.clone()),
            Kind::Live(_) => None,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        match &self.kind {
            Kind::File(store) => store.load().identity,
            Kind::Live(_) => Identity::default(),
        }
    }

    /// Whether an index of this length covers all that unpacking will ever give.
    pub(crate) fn settled(&self, len: u64) -> bool {
        match &self.kind {
            Kind::File(store) => {
                let store = store.load();
                store.settled() && store.len() == len
            }
            Kind::Live(_) => true,
        }
    }

    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock();
        if notes.len() < NOTES && notes.last() != Some(&text) {
            notes.push(text);
        }
    }

    /// Takes records; the index learns of them by [`Source::grow`].
    pub(crate) fn push(&self, records: impl IntoIterator<Item = Record>) {
        if let Kind::Live(ring) = &self.kind {
            let mut ring = ring.lock();
            records.into_iter().for_each(|record| ring.push(record));
            self.fresh.store(true, Ordering::Release);
        }
    }

    /// Learns the formats from the beginning of the file.
    fn sample(&self, store: &Store, len: u64) {
        let mut head = vec![0; SAMPLE.min(len as usize)];
        let got = store.read_at(&mut head, 0).unwrap_or(0);
        head.truncate(got);
        let whole = if got as u64 == len {
            got
        } else {
            memchr::memrchr(b'\n', &head).unwrap_or(got)
        };
        let text = String::from_utf8_lossy(&head[..whole]);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // Detection looks at lines as readers do: without colours in front.
        let clean = text.contains('\u{1b}').then(|| crate::sanitize::plain_lines(text));
        let text = clean.as_deref().unwrap_or(text);
        let lines: Vec<&str> = text
            .lines()
            .take(SAMPLE_LINES)
            .map(|line| clip(line, 16 << 10))
            .collect();
        let found = detect(&lines, &self.user);
        let reader = Reader::new(Arc::clone(&found), Resolver::new(TimeZone::UTC, NONE));
        let vague = lines
            .iter()
            .filter_map(|line| reader.quick(line.as_bytes()))
            .any(|(_, quick)| quick.stamp.is_some_and(|stamp| stamp.missing != Missing::Nothing));
        *self.formats.write() = (found, vague);
    }

    /// Whether times in it leave out the year or the date.
    fn vague(&self) -> bool {
        self.formats.read().1
    }

    fn reader(&self, near: i64) -> Reader {
        Reader::new(self.formats(), Resolver::new(self.zone.clone(), near))
    }

    /// Notices that the source has grown (or has been cut): what is new becomes work. Gives whether anything changed.
    pub(crate) fn grow(&self) -> bool {
        match &self.kind {
            Kind::Live(ring) => {
                if !self.fresh.swap(false, Ordering::AcqRel) {
                    return false;
                }
                let index = ring.lock().index(&self.index.load());
                self.index.store(Arc::new(index));
                true
            }
            Kind::File(store) => self.grow_file(&store.load()),
        }
    }

    fn grow_file(&self, store: &Store) -> bool {
        let look = store.look();
        let mut work = self.work.lock();
        let old = work.index.len;
        let mut changed = false;
        if look.moved && !self.rotated.swap(true, Ordering::AcqRel) {
            self.note("its path leads to another file now; what it held before is kept open".to_owned());
            changed = true;
        }
        let rewritten = |work: &Work| {
            let from = old - work.tail.len() as u64;
            let mut now = vec![0; work.tail.len()];
            store.read_at(&mut now, from).is_ok() && now != work.tail
        };
        if look.len < old || (look.len > old && !work.tail.is_empty() && rewritten(&work)) {
            self.note(format!(
                "it was truncated from {old} to {} bytes and is read anew",
                look.len
            ));
            let generation = work.index.generation + 1;
            *work = Work {
                index: Index {
                    generation,
                    ..Index::default()
                },
                ..Work::default()
            };
        } else if look.len == old && work.published.is_some() {
            return changed;
        }
        let old = work.index.len;
        store.set_len(look.len);
        if work.sampled < 4096 {
            self.sample(store, look.len);
            work.sampled = look.len;
        }
        let count = Index::chunk_count(look.len);
        if old > 0 && !old.is_multiple_of(CHUNK) {
            let last = Index::chunk_count(old) - 1;
            work.todo[last] = Todo::Open;
        }
        work.todo.resize(count, Todo::Open);
        work.index.chunks.resize(count, None);
        work.index.len = look.len;
        work.index.blocks = look.len.div_ceil(BLOCK);
        let mut tail = vec![0; look.len.min(64) as usize];
        let from = look.len - tail.len() as u64;
        let got = store.read_at(&mut tail, from).unwrap_or(0);
        work.index.partial = got > 0 && tail.get(got - 1) != Some(&b'\n');
        work.tail = tail;
        // The neighbourhoods of old chunks stay; new ones are near to the present.
        work.nears = None;
        self.publish(&mut work, true);
        true
    }

    fn publish(&self, work: &mut Work, now: bool) -> bool {
        let due = work.published.is_none_or(|at| at.elapsed().as_millis() >= 60);
        work.index.open = work.todo.iter().filter(|t| **t != Todo::Done).count();
        let done = work.index.open == 0;
        if !(now || due || done) {
            return false;
        }
        work.index.add_up();
        work.published = Some(std::time::Instant::now());
        self.index.store(Arc::new(work.index.clone()));
        true
    }

    /// Takes the next chunk to index, from the tail on; `None` when there is nothing to do.
    pub(crate) fn claim(&self) -> Option<(usize, u64, u32)> {
        let mut work = self.work.lock();
        let chunk = work.todo.iter().rposition(|t| *t == Todo::Open)?;
        work.todo[chunk] = Todo::Claimed;
        Some((chunk, work.index.len, work.index.generation))
    }

    /// How much of it is still to be indexed, in chunks.
    pub(crate) fn open_chunks(&self) -> usize {
        self.work.lock().todo.iter().filter(|t| **t != Todo::Done).count()
    }

    /// Indexes a claimed chunk. Gives whether a new index was published.
    pub(crate) fn run(&self, claim: (usize, u64, u32), buf: &mut Vec<u8>, cancel: &dyn Fn() -> bool) -> bool {
        let (chunk, len, generation) = claim;
        let Kind::File(store) = &self.kind else { return false };
        let store = store.load_full();
        let result = self.scan_near(&store, chunk, len, buf, cancel);
        let mut work = self.work.lock();
        if work.index.generation != generation {
            return false;
        }
        let done = match result {
            Ok(Some(done)) => done,
            Ok(None) => {
                work.todo[chunk] = Todo::Open;
                return false;
            }
            Err(error) => {
                self.note(format!(
                    "bytes {} to {} cannot be read: {error}",
                    chunk as u64 * CHUNK,
                    (chunk as u64 + 1) * CHUNK
                ));
                crate::index::Chunk::default()
            }
        };
        work.index.chunks[chunk] = Some(Arc::new(done));
        // It grew meanwhile, and this was the last chunk then.
        let short = len < work.index.len && len < (chunk as u64 + 1) * CHUNK;
        work.todo[chunk] = if short { Todo::Open } else { Todo::Done };
        let last = chunk + 1 == work.todo.len();
        self.publish(&mut work, last)
    }

    fn scan_near(
        &self,
        store: &Store,
        chunk: usize,
        len: u64,
        buf: &mut Vec<u8>,
        cancel: &dyn Fn() -> bool,
    ) -> std::io::Result<Option<crate::index::Chunk>> {
        if !self.vague() {
            return scan(store, &mut self.reader(NONE), chunk as u64, len, buf, cancel);
        }
        let nears = self.nears(store, len);
        let mut near = nears.get(chunk).copied().unwrap_or(NONE);
        let limit = nears
            .get(chunk + 1)
            .copied()
            .filter(|n| *n != NONE)
            .unwrap_or(store.mtime.saturating_add(86_400_000_000_000));
        const YEAR: i64 = 365 * 86_400 * 1_000_000_000;
        for _ in 0..30 {
            let done = scan(store, &mut self.reader(near), chunk as u64, len, buf, cancel)?;
            match &done {
                // It rolled over more often than the distance to what follows allows: it began earlier.
                Some(found) if found.last != NONE && found.last > limit.saturating_add(YEAR / 6) => {
                    near = near.saturating_sub(YEAR)
                }
                _ => return Ok(done),
            }
        }
        scan(store, &mut self.reader(near), chunk as u64, len, buf, cancel)
    }

    /// The time near which each chunk begins, told backwards from the file's last change.
    fn nears(&self, store: &Store, len: u64) -> Arc<Vec<i64>> {
        if let Some(nears) = &self.work.lock().nears {
            return Arc::clone(nears);
        }
        let count = Index::chunk_count(len);
        let mut nears = vec![NONE; count];
        let mut reader = self.reader(NONE);
        let mut limit = store.mtime;
        let mut buf = vec![0; 16 << 10];
        for chunk in (0..count).rev() {
            let Ok(Some(start)) = first_line(store, chunk as u64 * CHUNK, len) else {
                continue;
            };
            let got = store.read_at(&mut buf, start).unwrap_or(0);
            let found = buf[..got]
                .split(|c| *c == b'\n')
                .find_map(|line| reader.quick(line)?.1.stamp);
            if let Some(stamp) = found {
                limit = reader.resolver.before(&stamp, limit);
                nears[chunk] = limit;
            }
        }
        let nears = Arc::new(nears);
        self.work.lock().nears = Some(Arc::clone(&nears));
        nears
    }

    /// Reads one block.
    pub(crate) fn load(&self, index: &Index, block: u64) -> Result<Lines> {
        let store = match &self.kind {
            Kind::Live(ring) => return Ok(ring.lock().lines(block)),
            Kind::File(store) => store.load_full(),
        };
        let known: Option<(i64, Level)> = index.block(block).map(|b| (b.carry, b.carry_level));
        let mut near = known.map_or(NONE, |(time, _)| time);
        if near == NONE && self.vague() {
            let nears = self.nears(&store, index.len);
            near = nears.get((block / CHUNK_BLOCKS) as usize).copied().unwrap_or(NONE);
        }
        let mut reader = self.reader(near);
        Lines::read(&store, &mut reader, block, index.len, known).map_err(|error| crate::Error::Io {
            path: store.path.clone(),
            error,
        })
    }

    /// Its times are moved by this much.
    pub(crate) fn offset(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// A raw time of it as a moment.
    pub(crate) fn moment(&self, time: i64) -> Option<Timestamp> {
        (time != NONE).then(|| Timestamp(time.saturating_add(self.offset())))
    }

    pub(crate) fn dropped(&self) -> u64 {
        match &self.kind {
            Kind::Live(ring) => ring.lock().dropped,
            Kind::File(_) => 0,
        }
    }
}

/// A text cut at a character to at most so many bytes.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
