//! What the threads of a view share: sources, caches, filters, and what there is to do.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Condvar, Mutex};
use qd_core::Published;

use crate::block::{Cache, Lines};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::filter::{Lens, Preview, PreviewState, Set};
use crate::index::{CHUNK_BLOCKS, Index};
use crate::mask::{Around, Mask};
use crate::program::Running;
use crate::source::Source;
use crate::store::Store;
use crate::view::{MAX_SOURCES, Options, SearchState, Snapshot, SourceState};
use crate::walk::Budget;

/// How many rotated predecessors of one path are kept open.
const ROTATIONS: usize = 4;

/// Masks of single blocks by source and block, and how long the source was then.
type Quick = HashMap<(u32, u64), (u64, Mask)>;
/// The versions of filters and search, the number of chunks, and the chunk below which work is left.
type Hint = (Versions, usize, usize);
/// The versions of the filters, the search and the preview.
pub(crate) type Versions = (u64, u32, u32);
/// How long a change of the filters may combine what is known before the workers go on with it.
const AT_ONCE: Duration = Duration::from_millis(2);

/// What the threads of a view share.
pub(crate) struct Shared {
    pub options: Options,
    pub(crate) sources: ArcSwap<Vec<Arc<Source>>>,
    pub(crate) next_source: AtomicU32,
    cache: Mutex<Cache>,
    set: ArcSwap<Set>,
    search: ArcSwapOption<Lens>,
    preview: ArcSwapOption<Preview>,
    /// The directories that were opened, for the files that come to stand there.
    pub(crate) directories: Mutex<Vec<Directory>>,
    /// The programs that give sources, by these.
    pub(crate) programs: Mutex<Vec<(u32, Arc<Running>)>>,
    /// How often what is known of a source was forgotten.
    forgotten: AtomicU64,
    /// Serialises changes of the filters; holds the next number.
    pub edit: Mutex<u32>,
    /// Masks made for the screen before the workers got there, by the set's epoch.
    quick: Mutex<(u64, Quick)>,
    focus: Mutex<Option<(u32, u64)>>,
    taken: Mutex<HashSet<(u32, usize)>>,
    hints: Mutex<HashMap<u32, Hint>>,
    pub(crate) snapshot: Published<Snapshot>,
    pub(crate) stop: AtomicBool,
    version: Mutex<u64>,
    work: Condvar,
    growth: Mutex<bool>,
    grown: Condvar,
    dirty: AtomicBool,
    published_at: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("sources", &self.sources.load().len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A view without sources.
    pub(crate) fn new(options: Options) -> Shared {
        Shared {
            cache: Mutex::new(Cache::new(options.cache)),
            options,
            sources: ArcSwap::default(),
            next_source: AtomicU32::new(0),
            set: ArcSwap::default(),
            search: ArcSwapOption::empty(),
            preview: ArcSwapOption::empty(),
            directories: Mutex::default(),
            programs: Mutex::default(),
            forgotten: AtomicU64::new(0),
            edit: Mutex::new(1),
            quick: Mutex::default(),
            focus: Mutex::default(),
            taken: Mutex::default(),
            hints: Mutex::default(),
            snapshot: Published::new(Snapshot::default()),
            stop: AtomicBool::new(false),
            version: Mutex::new(0),
            work: Condvar::new(),
            growth: Mutex::new(false),
            grown: Condvar::new(),
            dirty: AtomicBool::new(false),
            published_at: Mutex::default(),
        }
    }

    pub(crate) fn sources(&self) -> Arc<Vec<Arc<Source>>> {
        self.sources.load_full()
    }

    pub(crate) fn source(&self, id: u32) -> Result<Arc<Source>> {
        self.sources
            .load()
            .iter()
            .find(|s| s.id == id)
            .cloned()
            .ok_or(Error::NoSuch("such source"))
    }

    pub(crate) fn set(&self) -> Arc<Set> {
        self.set.load_full()
    }

    pub(crate) fn replace_set(&self, mut set: Set) {
        set.epoch = self.set.load().epoch + 1;
        // What the lenses know already is combined at once, from the end on, so that switching a filter on or off is
        // immediate; of a large log the workers do the rest.
        let until = Instant::now() + AT_ONCE;
        if !set.open() {
            'sources: for source in self.sources().iter() {
                let index = source.index();
                for (n, of) in index.chunks.iter().enumerate().rev() {
                    let Some(of) = of else { continue };
                    if set.masks.get(source.id, n, of).is_some() {
                        continue;
                    }
                    if Instant::now() > until {
                        break 'sources;
                    }
                    if set.asked().all(|lens| lens.masks.get(source.id, n, of).is_some()) {
                        crate::work::combine_chunk(&set, source, n, of);
                    }
                }
            }
        }
        self.preview.store(None);
        self.set.store(Arc::new(set));
        self.poke();
        self.changed();
    }

    pub(crate) fn preview(&self) -> Option<Arc<Preview>> {
        self.preview.load_full()
    }

    pub(crate) fn set_preview(&self, preview: Option<Preview>) {
        if preview.is_none() && self.preview.load().is_none() {
            return;
        }
        self.preview.store(preview.map(Arc::new));
        self.poke();
        self.changed_soon();
    }

    /// What work is done for: a change of it makes work that goes on worthless.
    pub(crate) fn versions(&self) -> Versions {
        (
            self.set.load().epoch,
            self.search.load().as_ref().map_or(0, |lens| lens.id),
            self.preview.load().as_ref().map_or(0, |p| p.lens.id),
        )
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub(crate) fn search_lens(&self) -> Option<Arc<Lens>> {
        self.search.load_full()
    }

    pub(crate) fn set_search(&self, lens: Option<Arc<Lens>>) {
        self.search.store(lens);
        self.poke();
        self.changed();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn poll_ms(&self) -> u64 {
        self.options.poll.as_millis() as u64
    }

    /// A block's lines, from the cache or read now.
    pub(crate) fn lines(&self, source: &Source, index: &Index, block: u64) -> Result<Arc<Lines>> {
        let key = (source.id, index.generation, block);
        if let Some(found) = self.cache.lock().get(key, index.len) {
            return Ok(found);
        }
        let lines = Arc::new(source.load(index, block)?);
        self.cache.lock().put(key, Arc::clone(&lines));
        Ok(lines)
    }

    /// A block between those that its first and last entries reach over to.
    pub(crate) fn neighbourhood(&self, source: &Source, index: &Index, block: u64) -> Result<[Option<Arc<Lines>>; 3]> {
        let lines = self.lines(source, index, block)?;
        let inside = block > 0 && crate::mask::leading(&lines) > 0;
        let before = if inside {
            Some(self.lines(source, index, block - 1)?)
        } else {
            None
        };
        let over = crate::work::reaches(index, block);
        let after = if over {
            Some(self.lines(source, index, block + 1)?)
        } else {
            None
        };
        Ok([before, Some(lines), after])
    }

    /// Which lines of a block pass the filters; `None` when that is not known and the budget is spent.
    pub(crate) fn mask(
        &self,
        source: &Arc<Source>,
        index: &Index,
        block: u64,
        budget: &Budget,
    ) -> Result<Option<Mask>> {
        let chunk = (block / CHUNK_BLOCKS) as usize;
        let of = index.chunks.get(chunk).and_then(Option::as_ref);
        if of.is_none() && !budget.take() {
            return Ok(None);
        }
        let set = self.set();
        if set.open() {
            return Ok(Some(Mask::All));
        }
        let within = (block % CHUNK_BLOCKS) as usize;
        if let Some(of) = of
            && let Some(known) = set.masks.get(source.id, chunk, of)
        {
            return Ok(known.blocks.get(within).cloned());
        }
        {
            let mut quick = self.quick.lock();
            if quick.0 != set.epoch || quick.1.len() > 4096 {
                *quick = (set.epoch, HashMap::new());
            }
            if let Some((upto, mask)) = quick.1.get(&(source.id, block))
                && *upto == index.len
            {
                return Ok(Some(mask.clone()));
            }
        }
        *self.focus.lock() = Some((source.id, block));
        if of.is_some() && !budget.take() {
            return Ok(None);
        }
        let unknown = |lens: &Arc<Lens>| of.is_none_or(|of| lens.masks.get(source.id, chunk, of).is_none());
        if budget.hurried() && set.asked().any(|lens| lens.slow() && unknown(lens)) {
            budget.give_up();
            return Ok(None);
        }
        let summary = index.block(block);
        let mut failed = None;
        let mut loaded: Option<[Option<Arc<Lines>>; 3]> = None;
        let count = match summary {
            Some(block) => block.lines as usize,
            None => self.lines(source, index, block)?.list.len(),
        };
        let mask = set.combine(count, &mut |lens| {
            if let Some(known) = of.and_then(|of| lens.masks.get(source.id, chunk, of)) {
                return known.blocks.get(within).cloned().unwrap_or(Mask::None);
            }
            if let Some(mask) = summary.and_then(|summary| lens.by_summary(source, summary)) {
                return mask;
            }
            if loaded.is_none() {
                match self.neighbourhood(source, index, block) {
                    Ok(read) => loaded = Some(read),
                    Err(error) => failed = Some(error),
                }
            }
            match &loaded {
                Some([before, Some(lines), after]) => {
                    let around = Around {
                        before: before.as_deref(),
                        after: after.as_deref(),
                    };
                    lens.by_lines(source, lines, around)
                }
                _ => Mask::None,
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        self.quick
            .lock()
            .1
            .insert((source.id, block), (index.len, mask.clone()));
        Ok(Some(mask))
    }

    /// The next block in a direction that may have passing lines; whole chunks without any are passed over.
    pub(crate) fn skip(&self, source: &Source, index: &Index, block: u64, forward: bool) -> u64 {
        let set = self.set();
        let mut block = if forward { block + 1 } else { block.wrapping_sub(1) };
        loop {
            if block >= index.blocks {
                return block;
            }
            let chunk = (block / CHUNK_BLOCKS) as usize;
            let Some(of) = index.chunks.get(chunk).and_then(Option::as_ref) else {
                return block;
            };
            let none =
                of.lines == 0 || !set.open() && set.masks.get(source.id, chunk, of).is_some_and(|mask| mask.count == 0);
            if !none {
                return block;
            }
            let from = chunk as u64 * CHUNK_BLOCKS;
            block = if forward {
                from + CHUNK_BLOCKS
            } else {
                from.wrapping_sub(1)
            };
        }
    }

    pub(crate) fn focus(&self) -> Option<(u32, u64)> {
        *self.focus.lock()
    }

    pub(crate) fn take(&self, source: u32, chunk: usize) -> bool {
        self.taken.lock().insert((source, chunk))
    }

    pub(crate) fn release(&self, source: u32, chunk: usize) {
        self.taken.lock().remove(&(source, chunk));
    }

    /// Below which chunk work is left, for these versions of filters and search.
    pub(crate) fn hint(&self, source: u32, versions: Versions, count: usize) -> usize {
        match self.hints.lock().get(&source) {
            Some((known, at, chunk)) if *known == versions && *at == count => *chunk,
            _ => count,
        }
    }

    pub(crate) fn set_hint(&self, source: u32, versions: Versions, count: usize, chunk: usize) {
        // One above, since the chunk itself is only begun; while not everything is indexed, nothing may be passed over.
        let whole = self
            .sources
            .load()
            .iter()
            .any(|s| s.id == source && s.index().complete());
        let chunk = if whole { (chunk + 1).min(count) } else { count };
        self.hints.lock().insert(source, (versions, count, chunk));
    }

    pub(crate) fn forget(&self, source: u32) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        let set = self.set();
        set.masks.forget(source);
        if let Some(preview) = self.preview() {
            preview.set.masks.forget(source);
            preview.lens.masks.forget(source);
        }
        set.lenses().for_each(|lens| lens.masks.forget(source));
        if let Some(search) = self.search_lens() {
            search.masks.forget(source);
        }
        self.quick.lock().1.clear();
        self.hints.lock().remove(&source);
    }

    /// Opens what has come to stand in the directories that were opened.
    pub(crate) fn look_at_directories(self: &Arc<Self>) {
        self.directories.lock().iter_mut().for_each(|d| d.look(self));
    }

    /// Opens the file that now has the path of a rotated source, as a new source.
    pub(crate) fn follow_rotation(self: &Arc<Self>, old: &Source) {
        let Some(path) = old.path() else { return };
        let same = |s: &&Arc<Source>| s.path().as_deref() == Some(&path);
        if self.sources.load().iter().filter(same).count() > ROTATIONS {
            let mut kept = Vec::clone(&self.sources.load());
            if let Some(oldest) = kept.iter().position(|s| same(&s)) {
                let gone = kept.remove(oldest);
                self.forget(gone.id);
                self.sources.store(Arc::new(kept));
            }
        }
        if let Err(error) = self.add_path(&path, old.name.clone()) {
            old.note(error.to_string());
        }
    }

    pub(crate) fn grown(self: &Arc<Self>) -> Arc<dyn Fn() + Send + Sync> {
        let weak = Arc::downgrade(self);
        Arc::new(move || {
            if let Some(view) = weak.upgrade() {
                view.notice();
            }
        })
    }

    pub(crate) fn add_path(self: &Arc<Self>, path: &Path, name: String) -> Result<u32> {
        let options = &self.options;
        let store = Store::open(path, &options.spill_dir, options.spill_limit, self.grown())?;
        self.add_store(store, name)
    }

    pub(crate) fn add_store(self: &Arc<Self>, store: Arc<Store>, name: String) -> Result<u32> {
        let id = self.next_source.fetch_add(1, Ordering::Relaxed);
        self.add(Source::file(
            id,
            name,
            store,
            self.options.formats.clone(),
            self.options.zone.clone(),
        ))
    }

    pub(crate) fn add(&self, source: Source) -> Result<u32> {
        let _edit = self.edit.lock();
        let mut list = Vec::clone(&self.sources.load());
        if list.len() >= MAX_SOURCES {
            return Err(Error::TooManySources(MAX_SOURCES));
        }
        let id = source.id;
        list.push(Arc::new(source));
        self.sources.store(Arc::new(list));
        self.poke();
        self.changed();
        Ok(id)
    }

    /// Ends the program that gives a source; of all of them without one.
    pub(crate) fn end_programs(&self, source: Option<u32>) {
        let mut programs = self.programs.lock();
        let gone = |id: u32| source.is_none_or(|source| source == id);
        programs.iter().filter(|(id, _)| gone(*id)).for_each(|(_, p)| p.kill());
        programs.retain(|(id, _)| !gone(*id));
    }

    /// There may be work.
    pub(crate) fn poke(&self) {
        *self.version.lock() += 1;
        self.work.notify_all();
    }

    pub(crate) fn work_version(&self) -> u64 {
        *self.version.lock()
    }

    pub(crate) fn wait_for_work(&self, seen: u64) {
        let mut version = self.version.lock();
        while *version == seen && !self.stopped() {
            self.work.wait(&mut version);
        }
    }

    /// A source has more than is indexed.
    pub(crate) fn notice(&self) {
        *self.growth.lock() = true;
        self.grown.notify_all();
    }

    pub(crate) fn wait_for_growth(&self, at_most: Duration) {
        let mut noticed = self.growth.lock();
        if !*noticed && !self.stopped() {
            self.grown.wait_for(&mut noticed, at_most);
        }
        *noticed = false;
    }

    /// Something that is seen has changed: published now.
    pub(crate) fn changed(&self) {
        self.publish();
    }

    /// The same, for what happens often: published at most twenty times a second.
    pub(crate) fn changed_soon(&self) {
        self.dirty.store(true, Ordering::Relaxed);
        self.publish_if_due();
    }

    pub(crate) fn publish_if_due(&self) {
        let due = self
            .published_at
            .lock()
            .is_none_or(|at| at.elapsed() >= Duration::from_millis(50));
        if due && self.dirty.swap(false, Ordering::Relaxed) {
            self.publish();
        }
    }

    pub(crate) fn publish(&self) {
        let mut at = self.published_at.lock();
        *at = Some(Instant::now());
        self.dirty.store(false, Ordering::Relaxed);
        let snapshot = self.look();
        self.snapshot.publish(snapshot);
    }

    fn look(&self) -> Snapshot {
        let set = self.set();
        let mut snapshot = Snapshot {
            indexed: true,
            ..Snapshot::default()
        };
        let (mut known, mut all) = (0, 0);
        let mut evaluated = true;
        let preview = self.preview();
        let mut previewed = true;
        let programs = self.programs.lock().clone();
        for source in self.sources.load().iter() {
            let index = source.index();
            let program = programs.iter().find(|(id, _)| *id == source.id).map(|(_, p)| p);
            // What a program gives may go on for ever: what is there of it is all there is.
            let complete = index.complete() && (program.is_some() || source.settled(index.len));
            snapshot.lines += index.lines;
            snapshot.indexed &= complete;
            known += index.known;
            all += index.chunks.len();
            let times = index
                .chunks
                .iter()
                .flatten()
                .flat_map(|c| [c.blocks.first(), c.blocks.last()])
                .flatten();
            let mut span: Option<(i64, i64)> = None;
            for block in times.filter(|b| b.max != crate::stamp::NONE) {
                let (low, high) = span.unwrap_or((block.min, block.max));
                span = Some((low.min(block.min), high.max(block.max)));
            }
            if !set.open() {
                for (n, of) in index.chunks.iter().enumerate() {
                    evaluated &= of.as_ref().is_some_and(|of| set.masks.get(source.id, n, of).is_some());
                }
            }
            if let Some(preview) = &preview {
                let known = |(n, of): (usize, &Arc<_>)| preview.set.masks.get(source.id, n, of).is_some();
                let mut chunks = index.chunks.iter().enumerate();
                previewed &= chunks.all(|(n, of)| of.as_ref().is_some_and(|of| known((n, of))));
            }
            let mut notes = source.notes.lock().clone();
            notes.extend(program.map(|p| p.complaints()).unwrap_or_default());
            snapshot.sources.push(SourceState {
                id: source.id,
                name: source.name.clone(),
                formats: source.formats().iter().map(|f| f.name().to_owned()).collect(),
                lines: index.lines,
                span: span.and_then(|(low, high)| Some((source.moment(low)?, source.moment(high)?))),
                len: index.len,
                complete,
                rotated: source.rotated.load(Ordering::Relaxed),
                dropped: source.dropped(),
                clock: source.offset(),
                ended: program.and_then(|p| p.ended()),
                notes,
            });
        }
        snapshot.progress = if all == 0 { 1.0 } else { known as f64 / all as f64 };
        snapshot.rows = if set.open() {
            snapshot.lines
        } else {
            set.masks.matched()
        };
        snapshot.filtered = snapshot.indexed && evaluated;
        snapshot.filters = set.states();
        snapshot.preview = preview.map(|preview| PreviewState {
            id: preview.lens.id,
            kind: preview.kind,
            text: preview.lens.text.clone(),
            matched: preview.lens.masks.matched(),
            evaluated: preview.lens.masks.evaluated(),
            rows: preview.set.masks.matched(),
            done: snapshot.indexed && previewed,
        });
        snapshot.level = set.level.as_ref().map(|(level, _)| *level);
        snapshot.search = self.search_lens().map(|lens| SearchState {
            text: lens.text.clone(),
            hits: lens.masks.matched(),
            evaluated: lens.masks.evaluated(),
        });
        snapshot
    }
}
