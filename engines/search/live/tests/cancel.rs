//! What is still done for a query after it was cancelled, counted rather than timed: a read is the longest step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use qd_search_live::{
    Files, Generations, Go, Haystack, Kind, Progress, Query, Results, Scope, Source, Token, Work, run,
};

/// The largest step: so much is read and searched before it is looked whether the query is still wanted.
const STEP: u64 = 64 << 10;

/// The longest line that is searched.
const LONGEST_LINE: u64 = 4 << 20;

/// Many texts of lines, or of one line, without a match. A certain read cancels the query.
struct Counting {
    all: Generations,
    cancel_at: usize,
    end_of_line: bool,
    length: u64,
    reads: AtomicUsize,
    opened_late: AtomicUsize,
    read_late: AtomicUsize,
    bytes: AtomicU64,
    largest: AtomicUsize,
}

struct One(Arc<Counting>);

struct Reader(Arc<Counting>, u64);

impl Haystack for One {
    fn id(&self) -> &[u8] {
        b"one"
    }

    fn open(&self, _at: u64) -> io::Result<Box<dyn Read + Send>> {
        if self.0.reads.load(SeqCst) >= self.0.cancel_at {
            self.0.opened_late.fetch_add(1, SeqCst);
        }
        Ok(Box::new(Reader(Arc::clone(&self.0), self.0.length)))
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let number = self.0.reads.fetch_add(1, SeqCst) + 1;
        if number > self.0.cancel_at {
            self.0.read_late.fetch_add(1, SeqCst);
        } else if number == self.0.cancel_at {
            self.0.all.cancel();
        }
        self.0.largest.fetch_max(buffer.len(), SeqCst);
        let n = buffer.len().min(usize::try_from(self.1).unwrap());
        self.1 -= n as u64;
        self.0.bytes.fetch_add(n as u64, SeqCst);
        buffer[..n].fill(b'x');
        for end in buffer[..n].iter_mut().step_by(80).filter(|_| self.0.end_of_line) {
            *end = b'\n';
        }
        Ok(n)
    }
}

struct Many(Arc<Counting>);

impl Source for Many {
    fn kind(&self) -> Kind {
        Kind::Bodies
    }

    fn search(&self, _scope: Scope<'_>, work: &Work<'_>) {
        let mut visitor = work.visitor();
        while visitor.visit(&One(Arc::clone(&self.0))) == Go::On && self.0.reads.load(SeqCst) < 10_000 {}
    }

    fn again(&self, _id: &[u8]) -> Option<Arc<dyn Haystack>> {
        None
    }
}

fn search(source: impl Source + 'static, token: &Token, progress: &Progress, tell: &(dyn Fn() + Sync)) {
    let query = Query {
        text: "needle".to_owned(),
        ..Query::default()
    };
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(source)];
    let results = Results::default();
    run::search(
        &query.compile().unwrap(),
        &sources,
        None,
        token,
        &results,
        progress,
        tell,
    );
}

fn counting(cancel_at: usize, end_of_line: bool, length: u64) -> (Arc<Counting>, Progress) {
    let counting = Arc::new(Counting {
        all: Generations::default(),
        cancel_at,
        end_of_line,
        length,
        reads: AtomicUsize::new(0),
        opened_late: AtomicUsize::new(0),
        read_late: AtomicUsize::new(0),
        bytes: AtomicU64::new(0),
        largest: AtomicUsize::new(0),
    });
    let (token, progress) = (counting.all.begin(), Progress::default());
    search(Many(Arc::clone(&counting)), &token, &progress, &|| {});
    (counting, progress)
}

#[test]
fn nothing_is_opened_or_read_after_a_cancel() {
    for cancel_at in [1, 2, 7, 40, 333] {
        let (counted, _) = counting(cancel_at, true, 1 << 20);
        assert_eq!(counted.reads.load(SeqCst), cancel_at);
        assert_eq!(
            (counted.opened_late.load(SeqCst), counted.read_late.load(SeqCst)),
            (0, 0)
        );
        assert!(counted.largest.load(SeqCst) as u64 <= STEP);
    }
}

#[test]
fn in_a_long_line_too() {
    let (counted, _) = counting(20, false, u64::MAX);
    assert_eq!((counted.reads.load(SeqCst), counted.read_late.load(SeqCst)), (20, 0));
    assert!(counted.largest.load(SeqCst) as u64 <= STEP);
}

#[test]
fn a_line_that_would_be_a_long_step_is_told_and_left() {
    let (counted, progress) = counting(200_000, false, LONGEST_LINE + (1 << 20));
    let files = progress.fault_count();
    assert!(files > 0);
    // It is left as soon as it is known to be so long; what is searched in one step is no longer.
    assert!(counted.bytes.load(SeqCst) / files <= LONGEST_LINE + STEP);
    assert!(
        progress.faults()[0].why.contains("longer than 4 MiB"),
        "{:?}",
        progress.faults()[0]
    );
}

#[test]
fn files_are_left_after_the_step_that_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let text = ["a needle\n".to_owned(), "nothing of note\n".repeat(20_000)].concat();
    for number in 0..100 {
        fs::write(dir.path().join(number.to_string()), &text).unwrap();
    }
    let (all, progress) = (Generations::default(), Progress::default());
    let (token, before) = (all.begin(), AtomicU64::new(0));
    search(Files::new(dir.path()), &token, &progress, &|| {
        all.cancel();
        before.store(progress.bytes.load(SeqCst), SeqCst);
    });
    let (before, after) = (before.load(SeqCst), progress.bytes.load(SeqCst));
    assert!(before > 0, "nothing was found");
    // At most eight threads, each in a read of its own.
    assert!(after - before <= 8 * STEP, "{before} {after}");
}
