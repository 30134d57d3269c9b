//! Files below a directory as a source: walked in parallel under ignore rules, or taken from a list of candidates.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ignore::{IncrementalIgnore, WalkBuilder, WalkState};
use qd_search_index::Home;
use rustix::fs::{Mode, OFlags};

use crate::{
    haystack::{Haystack, Kind, Scope, Source},
    index::TreeIndex,
    query::Query,
    token::Token,
    work::{Go, Work},
};

/// The most threads that walk and search.
const THREADS: usize = 8;

/// Candidates that a thread takes at once.
const BATCH: usize = 8;

/// What may know which files can match at all, an index of the tree for one. It may only leave files out that are proven
/// not to match; what it names is searched if a walk would come to it.
pub trait Candidates: Send + Sync {
    /// The candidates of a query, as paths below the root; `None` when it cannot tell, and all files are walked. It returns
    /// soon after the token says stop.
    fn candidates(&self, query: &Query, token: &Token) -> Option<Vec<Vec<u8>>>;
}

/// Files below a directory.
#[derive(Clone)]
pub struct Files {
    root: PathBuf,
    index: Option<Arc<dyn Candidates>>,
    threads: usize,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("root", &self.root)
            .field("index", &self.index.is_some())
            .finish()
    }
}

impl Files {
    /// The files below `root`, searched on as many threads as there are processors, at most eight.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            root: root.into(),
            index: None,
            threads: cores.clamp(1, THREADS),
        }
    }

    /// The same, and where an index of the person's covers `root` it is asked before anything is walked.
    #[must_use]
    pub fn indexed(root: impl Into<PathBuf>) -> Self {
        let files = Self::new(root);
        match Home::from_env() {
            Ok(home) => {
                let index = TreeIndex::new(home, &files.root);
                files.with_index(Arc::new(index))
            }
            Err(_) => files,
        }
    }

    /// Asks this for candidates before it walks.
    #[must_use]
    pub fn with_index(mut self, index: Arc<dyn Candidates>) -> Self {
        self.index = Some(index);
        self
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The walk over everything that the query is about, if its globs are any.
    fn walker(&self, scope: Scope<'_>, work: &Work<'_>) -> Option<WalkBuilder> {
        let q = &scope.query.query;
        let mut b = WalkBuilder::new(&self.root);
        b.hidden(!q.hidden)
            .threads(self.threads)
            .types(scope.query.types().clone())
            .follow_links(false);
        match q.overrides(&self.root) {
            Ok(o) => b.overrides(o),
            Err(e) => {
                work.fault(&q.globs, e.message);
                return None;
            }
        };
        Some(b)
    }

    fn walk(&self, walker: &WalkBuilder, work: &Work<'_>) {
        walker.build_parallel().run(|| {
            let mut visitor = work.visitor();
            Box::new(move |entry| {
                if !work.token().is_live() {
                    return WalkState::Quit;
                }
                let entry = match entry {
                    Ok(e) => e,
                    Err(e) => {
                        work.fault("", e.to_string());
                        return WalkState::Continue;
                    }
                };
                if let Some(e) = entry.error() {
                    work.fault(entry.path().to_string_lossy(), e.to_string());
                }
                if !entry.file_type().is_some_and(|t| t.is_file()) {
                    return WalkState::Continue;
                }
                let file = OneFile::below(&self.root, entry.into_path());
                match visitor.visit(&file) {
                    Go::On => WalkState::Continue,
                    Go::Stop => WalkState::Quit,
                }
            })
        });
    }

    /// Searches those candidates that the walk would come to; not so when it has to be done after all.
    fn search_candidates(&self, ids: &[Vec<u8>], walker: &WalkBuilder, work: &Work<'_>) -> bool {
        let Some(mut rules) = walker.build_matchers().into_iter().next() else {
            return false;
        };
        // Rules around the tree that are not understood are for the walk to tell.
        if rules.matched_with_errors("x", true).1.is_some() {
            return false;
        }
        let next = AtomicUsize::new(0);
        let share = |mut rules: IncrementalIgnore| {
            let mut visitor = work.visitor();
            while let Some(batch) = ids.get(next.fetch_add(BATCH, Ordering::Relaxed)..) {
                if batch.is_empty() {
                    return;
                }
                for id in batch.iter().take(BATCH) {
                    if !work.token().is_live() {
                        return;
                    }
                    if let Some(file) = self.admit(id, &mut rules, work)
                        && visitor.visit(&file) == Go::Stop
                    {
                        return;
                    }
                }
            }
        };
        let threads = self.threads.min(ids.len().div_ceil(2 * BATCH));
        std::thread::scope(|s| {
            for _ in 1..threads {
                let rules = rules.clone();
                s.spawn(|| share(rules));
            }
            share(rules.clone());
        });
        true
    }

    /// The file, if a walk would come to it.
    fn admit(&self, id: &[u8], rules: &mut IncrementalIgnore, work: &Work<'_>) -> Option<OneFile> {
        let file = self.file(id);
        let (verdict, error) = rules.matched_with_errors(OsStr::from_bytes(id), false);
        if let Some(e) = error {
            work.fault(file.path.to_string_lossy(), e.to_string());
        }
        let there = !verdict.is_ignore() && file.path.symlink_metadata().is_ok_and(|about| about.is_file());
        there.then_some(file)
    }

    fn search_list(&self, ids: &[Vec<u8>], work: &Work<'_>) {
        let next = AtomicUsize::new(0);
        let threads = self.threads.min(ids.len()).max(1);
        let share = || {
            let mut visitor = work.visitor();
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                if visitor.visit(&self.file(id)) == Go::Stop {
                    return;
                }
            }
        };
        std::thread::scope(|s| {
            for _ in 1..threads {
                s.spawn(share);
            }
            share();
        });
    }

    fn file(&self, id: &[u8]) -> OneFile {
        OneFile {
            path: self.root.join(OsStr::from_bytes(id)),
            id: id.to_vec(),
        }
    }
}

impl Source for Files {
    fn kind(&self) -> Kind {
        Kind::Files
    }

    fn search(&self, scope: Scope<'_>, work: &Work<'_>) {
        if let Some(ids) = scope.only {
            self.search_list(ids, work);
            return;
        }
        let Some(walker) = self.walker(scope, work) else { return };
        let index = self.index.as_deref();
        let ids = index.and_then(|i| i.candidates(&scope.query.query, scope.token));
        let done = ids.is_some_and(|ids| self.search_candidates(&ids, &walker, work));
        if !done && scope.token.is_live() {
            self.walk(&walker, work);
        }
    }

    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>> {
        Some(Arc::new(self.file(id)))
    }

    fn path(&self, id: &[u8]) -> Option<PathBuf> {
        Some(self.root.join(OsStr::from_bytes(id)))
    }
}

/// One file.
struct OneFile {
    path: PathBuf,
    id: Vec<u8>,
}

impl OneFile {
    fn below(root: &Path, path: PathBuf) -> Self {
        let rest = path.strip_prefix(root).unwrap_or(&path);
        // A root that is a file has no path below itself.
        let id = if rest.as_os_str().is_empty() { &path } else { rest };
        Self {
            id: id.as_os_str().as_bytes().to_vec(),
            path,
        }
    }
}

impl Haystack for OneFile {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(from(open_regular(&self.path)?, at)?))
    }
}

/// Opens a regular file. What has become a FIFO or a device since it was listed does not hold anybody up.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// A file from a byte on.
pub(crate) fn from(mut file: File, at: u64) -> io::Result<File> {
    if at > 0 {
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(file)
}
