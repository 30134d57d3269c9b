//! A view: sources opened together, and everything a pane asks of them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::tz::TimeZone;
use qd_core::{Published, Record, Severity};

use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::filter::{FilterState, PreviewState};
use crate::format::Format;
use crate::shared::Shared;
use crate::source::Source;
use crate::store::Store;

/// How many sources one view takes.
pub const MAX_SOURCES: usize = 256;

/// How to open logs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// The user's formats; they are tried before the known ones.
    pub formats: Vec<Format>,
    /// Where compressed, UTF-16 and piped input is unpacked, in files without a name.
    pub spill_dir: PathBuf,
    /// How many bytes one such input may take there.
    pub spill_limit: u64,
    /// How many bytes of blocks are kept in memory for drawing.
    pub cache: usize,
    /// How often files are looked at for growth.
    pub poll: Duration,
}

impl Default for Options {
    /// The system's zone, no own formats, the system's temporary directory with 4 GiB a source, 16 MiB of cache, four looks
    /// a second.
    fn default() -> Self {
        Options {
            zone: TimeZone::system(),
            formats: Vec::new(),
            spill_dir: std::env::temp_dir(),
            spill_limit: 4 << 30,
            cache: 16 << 20,
            poll: Duration::from_millis(250),
        }
    }
}

/// One source as it is listed.
#[derive(Debug, Clone)]
pub struct SourceState {
    /// Its number, as in [`crate::Pos`]; also what to choose its colour by.
    pub id: u32,
    /// Its name: the path as given, or the name of a live source.
    pub name: String,
    /// The formats it is written in, the most frequent first.
    pub formats: Vec<String>,
    /// Lines that are indexed.
    pub lines: u64,
    /// The lowest and highest time among them, adjusted.
    pub span: Option<(qd_core::Timestamp, qd_core::Timestamp)>,
    /// Bytes (of a live source: records ever taken).
    pub len: u64,
    /// Whether all of it is indexed.
    pub complete: bool,
    /// Whether its path leads to another file now.
    pub rotated: bool,
    /// How many records a live source has forgotten.
    pub dropped: u64,
    /// What was added to its times, in nanoseconds.
    pub clock: i64,
    /// How the program ended that gave it, if one did.
    pub ended: Option<String>,
    /// What happened to it: truncation, damage, limits, what its program complained about.
    pub notes: Vec<String>,
}

/// A running or finished search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchState {
    /// As typed.
    pub text: String,
    /// Lines that match, so far.
    pub hits: u64,
    /// Lines that were looked at, so far.
    pub evaluated: u64,
}

/// What is known of a view at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The sources in the order they were opened.
    pub sources: Vec<SourceState>,
    /// Lines that are indexed in all sources.
    pub lines: u64,
    /// Lines that pass the filters, as far as these were evaluated.
    pub rows: u64,
    /// Whether everything is indexed and `lines` is the whole number.
    pub indexed: bool,
    /// Whether all filters were evaluated everywhere and `rows` is the whole number.
    pub filtered: bool,
    /// The indexed share, from 0 to 1.
    pub progress: f64,
    /// The filters in the order they were added.
    pub filters: Vec<FilterState>,
    /// What the filter would do that is being typed, if one is.
    pub preview: Option<PreviewState>,
    /// The minimum level, if there is one.
    pub level: Option<Severity>,
    /// The search, if there is one.
    pub search: Option<SearchState>,
}

/// Some logs, opened together and shown as one. Clones share it; its threads end with the last of them.
#[derive(Debug, Clone)]
pub struct View(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.end_programs(None);
        self.shared.poke();
        self.shared.notice();
    }
}

impl View {
    /// A view without sources; starts its three threads.
    pub fn new(options: Options) -> Result<View> {
        let shared = Arc::new(Shared::new(options));
        crate::work::start(&shared).map_err(|error| Error::Io {
            path: PathBuf::from("a thread"),
            error,
        })?;
        Ok(View(Arc::new(Handle { shared })))
    }

    /// Opens files and directories; `-` is standard input. It fails when one of them cannot be opened.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>, options: Options) -> Result<View> {
        let view = View::new(options)?;
        for path in paths {
            view.add_path(path.as_ref())?;
        }
        Ok(view)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Adds a file, the newest log files of a directory, or standard input (`-`); gives the numbers of the new sources. Log
    /// files that come to stand in the directory later become sources as well.
    pub fn add_path(&self, path: &Path) -> Result<Vec<u32>> {
        if path == Path::new("-") {
            return Ok(vec![self.add_reader("-", Box::new(std::io::stdin()))?]);
        }
        if !path.is_dir() {
            return Ok(vec![self.shared().add_path(path, path.display().to_string())?]);
        }
        let files = crate::directory::log_files(path)?;
        if files.is_empty() {
            return Err(Error::EmptyDirectory(path.to_owned()));
        }
        let ids: Result<Vec<u32>> = files
            .iter()
            .map(|file| self.shared().add_path(file, file.display().to_string()))
            .collect();
        self.shared()
            .directories
            .lock()
            .push(Directory::new(path.to_owned(), &files));
        ids
    }

    /// Adds what a text names: `docker://name`, `journal://unit` (`journal://` is all of it), `ssh://host/path` (each by the
    /// program of that name, which ends with the source), or a path as [`View::add_path`] takes it.
    pub fn add_location(&self, text: &str) -> Result<Vec<u32>> {
        if !crate::program::is_location(text) {
            return self.add_path(Path::new(text));
        }
        let weak = Arc::downgrade(self.shared());
        let changed: crate::program::Changed = Arc::new(move || {
            if let Some(view) = weak.upgrade() {
                view.changed_soon();
                view.notice();
            }
        });
        let (running, reader) = crate::program::start(text, &changed)?;
        match self.add_reader(text, reader) {
            Ok(id) => {
                self.shared().programs.lock().push((id, running));
                self.shared().notice();
                Ok(vec![id])
            }
            Err(error) => {
                running.kill();
                Err(error)
            }
        }
    }

    /// Adds a stream that can be read once; what it gives is spooled to a file without a name, up to the spill limit.
    pub fn add_reader(&self, name: &str, reader: Box<dyn Read + Send>) -> Result<u32> {
        let options = &self.shared().options;
        let grown = self.shared().grown();
        let store = Store::spool(Path::new(name), reader, &options.spill_dir, options.spill_limit, grown)?;
        self.shared().add_store(store, name.to_owned())
    }

    /// Adds a source that is fed with records; it keeps at least the newest `capacity`, as long as they weigh no more than 64 MiB,
    /// and of a record at most 256 KiB.
    pub fn add_live(&self, name: &str, capacity: usize) -> Result<Live> {
        let id = self.shared().next_source.fetch_add(1, Ordering::Relaxed);
        self.shared().add(Source::live(id, name.to_owned(), capacity))?;
        Ok(Live {
            source: self.shared().source(id)?,
            view: Arc::downgrade(self.shared()),
        })
    }

    /// Takes a source away.
    pub fn remove(&self, source: u32) -> Result<()> {
        let shared = self.shared();
        shared.source(source)?;
        {
            let _edit = shared.edit.lock();
            let mut list = Vec::clone(&shared.sources.load());
            list.retain(|s| s.id != source);
            shared.sources.store(Arc::new(list));
        }
        shared.end_programs(Some(source));
        shared.forget(source);
        shared.changed();
        Ok(())
    }

    /// Adds so many nanoseconds to all times of a source, whose clock was wrong.
    pub fn adjust_clock(&self, source: u32, nanos: i64) -> Result<()> {
        self.shared().source(source)?.clock.store(nanos, Ordering::Relaxed);
        // Filters may ask for times.
        self.shared().forget(source);
        self.shared().poke();
        self.shared().changed();
        Ok(())
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared().snapshot.load()
    }

    /// The same with its version and callbacks: `published().on_change(wake)`.
    pub fn published(&self) -> &Published<Snapshot> {
        &self.shared().snapshot
    }
}

/// The feeding end of a live source.
#[derive(Debug, Clone)]
pub struct Live {
    source: Arc<Source>,
    view: std::sync::Weak<Shared>,
}

impl Live {
    /// The source's number.
    pub fn id(&self) -> u32 {
        self.source.id
    }

    /// Adds records. It never waits; the oldest are forgotten, and counted, when there are too many.
    pub fn push(&self, records: impl IntoIterator<Item = Record>) {
        self.source.push(records);
        if let Some(view) = self.view.upgrade() {
            view.notice();
        }
    }

    /// Whether the source is still part of a view.
    pub fn is_open(&self) -> bool {
        let listed = |view: Arc<Shared>| view.source(self.source.id).is_ok();
        self.view.upgrade().is_some_and(listed)
    }
}
