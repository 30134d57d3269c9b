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

use ignore::{WalkBuilder, WalkState};
use rustix::fs::{Mode, OFlags};

use crate::{
    haystack::{Haystack, Kind, Scope, Source},
    query::Query,
    token::Token,
    work::{Go, Work},
};

/// The most threads that walk and search.
const THREADS: usize = 8;

/// What may know which files can match at all, an index of the tree for one. It may only leave files out that are proven
/// not to match; everything it names is searched.
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

    fn walk(&self, scope: Scope<'_>, work: &Work<'_>) {
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
                return;
            }
        };
        b.build_parallel().run(|| {
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
        let index = self.index.as_deref();
        match index.and_then(|i| i.candidates(&scope.query.query, scope.token)) {
            Some(ids) => self.search_list(&ids, work),
            None => self.walk(scope, work),
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
