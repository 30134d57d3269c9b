//! Searching one haystack after another: what each thread of a query does, and where it looks whether it is still wanted.

use std::{
    io::{self, Read},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};
use parking_lot::Mutex;

use crate::{
    haystack::Haystack,
    query::Compiled,
    results::{BLOCK_LINES, Entry, Results},
    token::Token,
};

/// The longest line that is searched, in bytes: a longer one is told as a fault. The engine goes over a line in one step, which
/// nothing interrupts, so this bounds the memory and how long a query works on that nobody wants any more.
const LINE_LIMIT: usize = 4 << 20;
/// Bytes that are read at once: so much is searched before the query's number is looked at again.
const READ: usize = 64 * 1024;
/// Faults that are kept; the others are counted.
const FAULTS: usize = 1000;
/// What was found in a haystack is handed over at least so often.
const HAND_OVER: Duration = Duration::from_millis(20);
/// The most matches that are counted in one line.
const LINE_MATCHES: u32 = 10_000;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// There may be more.
    On,
    /// The query is over.
    Stop,
}

/// Something that could not be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub what: String,
    /// Why, in one line.
    pub why: String,
}

/// How far a query is. All of it may be read while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Haystacks that were searched.
    pub files: AtomicU64,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// Nanoseconds from the beginning to the first find; 0 while there is none.
    pub first: AtomicU64,
    faults: AtomicU64,
    kept: Mutex<Vec<Fault>>,
}

impl Progress {
    /// How much could not be searched.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The first thousand of these.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.kept.lock().clone()
    }

    /// Counts one that could not be searched, and keeps it while there is room.
    pub fn fault(&self, what: impl Into<String>, why: impl Into<String>) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        if kept.len() < FAULTS {
            kept.push(Fault {
                what: what.into(),
                why: why.into(),
            });
        }
    }
}

/// What all threads of a query share, for one source.
pub struct Work<'a> {
    compiled: &'a Compiled,
    token: &'a Token,
    results: &'a Results,
    progress: &'a Progress,
    source: u16,
    started: Instant,
    told: AtomicBool,
    tell: &'a (dyn Fn() + Sync),
    /// Whether a file ends where a NUL is: texts of terminals may hold any.
    binary: bool,
}

impl<'a> Work<'a> {
    /// The work of a query on one source; `tell` is called once, when something is found.
    pub(crate) fn new(
        compiled: &'a Compiled,
        token: &'a Token,
        results: &'a Results,
        progress: &'a Progress,
        source: u16,
        tell: &'a (dyn Fn() + Sync),
    ) -> Self {
        Self {
            compiled,
            token,
            results,
            progress,
            source,
            started: Instant::now(),
            told: AtomicBool::new(false),
            tell,
            binary: true,
        }
    }

    /// Since when it runs: also before it, other sources may have been searched.
    pub(crate) const fn since(mut self, started: Instant) -> Self {
        self.started = started;
        self
    }

    /// One thread's share. It is costly to make and cheap to use again.
    #[must_use]
    pub fn visitor(&self) -> Visitor<'_> {
        let mut b = SearcherBuilder::new();
        b.line_number(true).heap_limit(Some(LINE_LIMIT));
        if self.binary {
            b.binary_detection(BinaryDetection::quit(0));
        }
        Visitor {
            work: self,
            searcher: b.build(),
            matcher: self.compiled.matcher.clone(),
            lines: Vec::new(),
        }
    }

    /// Tells of something that cannot be searched.
    pub fn fault(&self, what: impl Into<String>, why: impl Into<String>) {
        self.progress.fault(what, why);
    }

    /// The query's number.
    #[must_use]
    pub const fn token(&self) -> &Token {
        self.token
    }

    fn found(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let _ = self
                .progress
                .first
                .compare_exchange(0, nanos.max(1), Ordering::Relaxed, Ordering::Relaxed);
            (self.tell)();
        }
    }
}

/// One thread's share of a query.
pub struct Visitor<'a> {
    work: &'a Work<'a>,
    searcher: Searcher,
    matcher: RegexMatcher,
    lines: Vec<Entry>,
}

impl Visitor<'_> {
    /// Searches one haystack.
    pub fn visit(&mut self, hay: &dyn Haystack) -> Go {
        let work = self.work;
        if !work.token.is_live() {
            return Go::Stop;
        }
        let reader = match hay.open(0) {
            Ok(r) => r,
            Err(e) => {
                work.fault(String::from_utf8_lossy(hay.id()), e.to_string());
                return Go::On;
            }
        };
        let reader = Watched {
            inner: reader,
            token: work.token,
            bytes: &work.progress.bytes,
        };
        self.lines.clear();
        let mut sink = Found {
            work,
            matcher: &self.matcher,
            id: hay.id(),
            group: None,
            lines: &mut self.lines,
            handed: Instant::now(),
            fresh: true,
        };
        let done = self.searcher.search_reader(&self.matcher, reader, &mut sink);
        sink.hand_over();
        if !work.token.is_live() {
            return Go::Stop;
        }
        work.progress.files.fetch_add(1, Ordering::Relaxed);
        if let Err(e) = done {
            let why = if e.to_string().contains("allocat") {
                format!("a line is longer than {} MiB", LINE_LIMIT >> 20)
            } else {
                e.to_string()
            };
            work.fault(String::from_utf8_lossy(hay.id()), why);
        }
        Go::On
    }
}

/// A reader that stops when the query is over.
struct Watched<'a> {
    inner: Box<dyn Read + Send>,
    token: &'a Token,
    bytes: &'a AtomicU64,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.token.is_live() {
            return Err(io::Error::other("cancelled"));
        }
        let room = buf.len().min(READ);
        let n = self.inner.read(buf.get_mut(..room).unwrap_or_default())?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Takes what is found in one haystack.
struct Found<'a> {
    work: &'a Work<'a>,
    matcher: &'a RegexMatcher,
    id: &'a [u8],
    group: Option<u32>,
    lines: &'a mut Vec<Entry>,
    handed: Instant,
    fresh: bool,
}

impl Found<'_> {
    fn hand_over(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        // What an old query still finds is nobody's business.
        if self.work.token.is_live() {
            let w = self.work;
            self.group = w.results.push(self.group, w.source, self.id, self.lines);
            w.found();
        }
        self.lines.clear();
        self.handed = Instant::now();
    }
}

impl Sink for Found<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, m: &SinkMatch<'_>) -> io::Result<bool> {
        if !self.work.token.is_live() {
            return Ok(false);
        }
        let (mut count, mut column) = (0u32, 0u64);
        self.matcher
            .find_iter(m.bytes(), |found| {
                if count == 0 {
                    column = found.start() as u64;
                }
                count += 1;
                count < LINE_MATCHES && self.work.token.is_live()
            })
            .map_err(io::Error::other)?;
        self.lines.push(Entry {
            line: m.line_number().unwrap_or(0),
            offset: m.absolute_byte_offset(),
            column,
            matches: count.max(1),
        });
        let often = std::mem::take(&mut self.fresh) && self.work.progress.first.load(Ordering::Relaxed) == 0;
        let late = || self.lines.len().is_multiple_of(64) && self.handed.elapsed() >= HAND_OVER;
        if often || self.lines.len() >= BLOCK_LINES || late() {
            self.hand_over();
        }
        Ok(true)
    }
}
