//! From arguments to an exit code: the walk, the threads, and what is written when all is done.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use grep_printer::Stats;
use ignore::WalkState;
use termcolor::{Buffer, BufferWriter};

use crate::error::Error;
use crate::flags;
use crate::flags::low::{Mode, Show, Sort, SortBy};
use crate::generate;
use crate::haystack::Haystack;
use crate::narrow::{self, Narrowed};
use crate::ordered::Belt;
use crate::pieces::Pieces;
use crate::plan::Plan;
use crate::report::Report;
use crate::worker::Worker;

const MATCHED: u8 = 0;
const NOTHING: u8 = 1;
pub(crate) const TROUBLE: u8 = 2;

/// Of sorted files, so many are searched as one piece of work once there are many.
const LARGEST_BATCH: usize = 16;

/// Of sorted results, so much may wait for its turn before no new files are searched.
const MOST_HELD: usize = 32 << 20;

/// Pieces of work under way for each thread, when output is sorted.
const BATCHES_AHEAD: usize = 16;

/// A thread passes on the paths it has listed when they fill this.
const LISTED: usize = 16 << 10;

/// Does what the arguments say.
pub(crate) fn command_line(arguments: Vec<OsString>, report: &Report) -> Result<u8, Error> {
    let low = flags::read(arguments, report)?;
    if let Some(special) = low.special {
        let (text, code) = generate::special(special, report.name());
        return write_text(&text, code);
    }
    let plan = Plan::new(low)?;
    // Not before the other arguments turned out to be right.
    if let Mode::Generate(kind) = plan.low.mode {
        return write_text(&generate::file(kind, report.name()), MATCHED);
    }
    let run = Run {
        narrowed: Narrowed::new(&plan, report),
        plan,
        report,
        started: Instant::now(),
    };
    run.all()
}

fn write_text(text: &str, code: u8) -> Result<u8, Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.trim_end().as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    Ok(code)
}

struct Run<'a> {
    plan: Plan,
    /// What an index leaves to be searched, where there is one.
    narrowed: Option<Narrowed>,
    report: &'a Report,
    started: Instant,
}

/// What the threads of one search find out together.
#[derive(Default)]
struct Tally {
    matched: AtomicBool,
    searched: AtomicBool,
    stats: Mutex<Stats>,
}

impl Tally {
    fn add(&self, stats: Option<&Stats>) {
        if let Some(stats) = stats {
            *self.stats.lock().unwrap_or_else(PoisonError::into_inner) += stats;
        }
    }
}

impl Run<'_> {
    fn all(&self) -> Result<u8, Error> {
        let plan = &self.plan;
        let matched = match plan.low.mode {
            Mode::Types => return self.types(),
            Mode::Search(_) if !plan.can_match() => false,
            Mode::Search(show) if plan.threads == 1 => self.one_by_one(show)?,
            // The first file that matches ends the search, and nothing is said of those after it.
            Mode::Search(show) if plan.low.sort.is_some() && plan.stops_at_match() => self.one_by_one(show)?,
            Mode::Search(show) if plan.low.sort.is_some() => self.in_order(show)?,
            Mode::Search(show) => self.as_found(show)?,
            _ if plan.threads == 1 || plan.low.sort.is_some() => self.list_one_by_one()?,
            _ => self.list_as_found()?,
        };
        let errored = self.report.errored();
        Ok(match matched {
            true if plan.low.quiet || !errored => MATCHED,
            _ if errored => TROUBLE,
            _ => NOTHING,
        })
    }

    /// The haystacks in the order they are to be searched in.
    fn haystacks(&self) -> Box<dyn Iterator<Item = Haystack> + '_> {
        let strip = self.plan.paths.implicit;
        let found: Box<dyn Iterator<Item = Haystack> + '_> = match &self.narrowed {
            Some(narrowed) => Box::new(narrowed.haystacks(&self.plan, self.report)),
            None => {
                let walk = self.plan.walk(self.report).build();
                Box::new(walk.filter_map(move |result| Haystack::found(result, strip, self.report)))
            }
        };
        match self.plan.low.sort {
            None
            | Some(Sort {
                by: SortBy::Path,
                reverse: false,
            }) => found,
            Some(sort) => Box::new(sorted(found.collect(), sort).into_iter()),
        }
    }

    /// Searches on this thread, straight to standard output.
    fn one_by_one(&self, show: Show) -> Result<bool, Error> {
        let plan = &self.plan;
        let mut worker = Worker::new(plan, show, plan.stdout(), true)?;
        let (mut matched, mut searched) = (false, false);
        let mut stats = Stats::new();
        for haystack in self.haystacks() {
            searched = true;
            let outcome = match Pieces::of(plan, show, &haystack, &worker) {
                Some(pieces) => pieces.search(worker.engine(), &mut io::stdout()),
                None => worker.search(&haystack),
            };
            match outcome {
                Ok(outcome) => {
                    matched |= outcome.matched;
                    if let Some(more) = &outcome.stats {
                        stats += more;
                    }
                }
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) => self
                    .report
                    .error(format_args!("{}: {error}", haystack.path().display())),
            }
            if matched && plan.stops_at_match() {
                break;
            }
        }
        self.say_if_nothing(searched);
        self.summarize(show, &stats, worker.output());
        Ok(matched)
    }

    /// Searches on many threads and prints each file's results as they come.
    fn as_found(&self, show: Show) -> Result<bool, Error> {
        let plan = &self.plan;
        let (writer, tally) = (plan.buffers(), Tally::default());
        let mut first = Worker::new(plan, show, writer.buffer(), false)?;
        let walk = match &self.narrowed {
            None => Some(plan.walk(self.report)),
            Some(narrowed) => {
                let more = narrowed.each(plan, self.report, || {
                    let (mut worker, tally, writer) = (first.clone(), &tally, &writer);
                    move |haystack: &Haystack| self.found(haystack, &mut worker, tally, writer)
                });
                narrowed.walk(plan).filter(|_| more)
            }
        };
        let threads = walk.map(|walk| walk.build_parallel());
        threads.into_iter().for_each(|threads| {
            threads.run(|| {
                let (mut worker, tally, writer) = (first.clone(), &tally, &writer);
                Box::new(move |result| {
                    let Some(haystack) = Haystack::found(result, plan.paths.implicit, self.report) else {
                        return WalkState::Continue;
                    };
                    if self.found(&haystack, &mut worker, tally, writer) {
                        WalkState::Continue
                    } else {
                        WalkState::Quit
                    }
                })
            })
        });
        self.say_if_nothing(tally.searched.load(Relaxed));
        let stats = tally.stats.into_inner().unwrap_or_else(PoisonError::into_inner);
        first.output().clear();
        self.summarize(show, &stats, first.output());
        let _ = writer.print(first.output());
        Ok(tally.matched.load(Relaxed))
    }

    /// Searches one haystack and prints what was found. Says whether to go on.
    fn found(&self, haystack: &Haystack, worker: &mut Worker<Buffer>, tally: &Tally, writer: &BufferWriter) -> bool {
        worker.output().clear();
        if !self.search_for(haystack, worker, tally) {
            return true;
        }
        if let Err(error) = writer.print(worker.output()) {
            if error.kind() == ErrorKind::BrokenPipe {
                return false;
            }
            self.report
                .error(format_args!("{}: {error}", haystack.path().display()));
        }
        !(self.plan.stops_at_match() && tally.matched.load(Relaxed))
    }

    /// Searches one haystack into the worker's buffer. Says whether that could be done to the end.
    fn search_for(&self, haystack: &Haystack, worker: &mut Worker<Buffer>, tally: &Tally) -> bool {
        tally.searched.store(true, Relaxed);
        match worker.search(haystack) {
            Ok(outcome) => {
                if outcome.matched {
                    tally.matched.store(true, Relaxed);
                }
                tally.add(outcome.stats.as_ref());
                true
            }
            Err(error) => {
                self.report
                    .error(format_args!("{}: {error}", haystack.path().display()));
                false
            }
        }
    }

    /// Searches on many threads and prints in the order of the haystacks.
    fn in_order(&self, show: Show) -> Result<bool, Error> {
        let plan = &self.plan;
        let (buffers, tally) = (plan.buffers(), Tally::default());
        let mut first = Worker::new(plan, show, buffers.buffer(), true)?;
        first.separate_all()?;
        let belt: Belt<Vec<Haystack>, Results> = Belt::new(BATCHES_AHEAD * plan.threads, MOST_HELD);
        let sheet = Mutex::new(Sheet::new(plan));
        std::thread::scope(|scope| {
            for _ in 0..plan.threads {
                let mut worker = first.clone();
                let (belt, tally, sheet) = (&belt, &tally, &sheet);
                scope.spawn(move || {
                    while let Some((number, batch)) = belt.take() {
                        let results = self.batch(&batch, &mut worker, belt, tally);
                        let size = results.bytes.len();
                        belt.finish(number, size, results, |results| {
                            let mut sheet = sheet.lock().unwrap_or_else(PoisonError::into_inner);
                            if let Err(error) = sheet.write(&results) {
                                if error.kind() == ErrorKind::BrokenPipe {
                                    sheet.left = true;
                                } else {
                                    self.report.error(error);
                                }
                                belt.stop();
                            }
                        });
                    }
                });
            }
            self.hand_in(&belt);
        });
        self.say_if_nothing(tally.searched.load(Relaxed));
        let stats = tally.stats.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sheet = sheet.into_inner().unwrap_or_else(PoisonError::into_inner);
        first.output().clear();
        self.summarize(show, &less_printed(&stats, sheet.left_out), first.output());
        // Of a file that nobody read to its end it is not said that it matched.
        let matched = tally.matched.load(Relaxed) && (!sheet.left || sheet.passed);
        let _ = sheet.end(first.output().as_slice());
        Ok(matched)
    }

    /// Puts all haystacks on the belt: the first ones singly, so that results begin at once, then more and more together.
    fn hand_in(&self, belt: &Belt<Vec<Haystack>, Results>) {
        let mut size = 1;
        let mut batch = Vec::new();
        for haystack in self.haystacks() {
            batch.push(haystack);
            if batch.len() >= size {
                size = (2 * size).min(LARGEST_BATCH);
                if !belt.put(std::mem::replace(&mut batch, Vec::with_capacity(size))) {
                    break;
                }
            }
        }
        if !batch.is_empty() {
            belt.put(batch);
        }
        belt.close();
    }

    fn batch(
        &self,
        batch: &[Haystack],
        worker: &mut Worker<Buffer>,
        belt: &Belt<Vec<Haystack>, Results>,
        tally: &Tally,
    ) -> Results {
        worker.output().clear();
        let mut ends = Vec::new();
        for haystack in batch {
            let before = worker.output().len();
            self.search_for(haystack, worker, tally);
            let after = worker.output().len();
            if after > before {
                ends.push(after);
            }
            if self.plan.stops_at_match() && tally.matched.load(Relaxed) {
                belt.stop();
                break;
            }
        }
        Results {
            bytes: worker.output().as_slice().to_vec(),
            ends,
        }
    }

    /// Lists files on this thread.
    fn list_one_by_one(&self) -> Result<bool, Error> {
        let mut printer = self.plan.path_printer().build(self.plan.stdout());
        let mut any = false;
        for haystack in self.haystacks() {
            any = true;
            if self.plan.stops_at_match() {
                break;
            }
            match printer.write(haystack.path()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                result => result?,
            }
        }
        Ok(any)
    }

    /// Lists files as many threads come across them.
    fn list_as_found(&self) -> Result<bool, Error> {
        let plan = &self.plan;
        let writer = plan.buffers();
        let any = AtomicBool::new(false);
        let failure = Mutex::new(None);
        plan.walk(self.report).build_parallel().run(|| {
            let (any, failure) = (&any, &failure);
            let mut list = List::new(plan, &writer, failure);
            Box::new(move |result| {
                let Some(haystack) = Haystack::found(result, plan.paths.implicit, self.report) else {
                    return WalkState::Continue;
                };
                any.store(true, Relaxed);
                if plan.stops_at_match() || !list.add(&haystack) {
                    WalkState::Quit
                } else {
                    WalkState::Continue
                }
            })
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(any.load(Relaxed)),
        }
    }

    fn types(&self) -> Result<u8, Error> {
        let mut stdout = self.plan.stdout();
        let definitions = self.plan.types.definitions();
        for definition in definitions {
            writeln!(stdout, "{}: {}", definition.name(), definition.globs().join(", "))?;
        }
        stdout.flush()?;
        Ok(if definitions.is_empty() { NOTHING } else { MATCHED })
    }

    fn say_if_nothing(&self, searched: bool) {
        // What an index left out would have been searched.
        let any = || self.narrowed.is_some() && narrow::finds_any(&self.plan);
        if self.plan.paths.implicit && !searched && !any() {
            self.report.error(
                "No files were searched, which means ripgrep probably applied a filter you didn't expect.\n\
                 Running with --debug will show why files are being skipped.",
            );
        }
    }

    /// Writes the statistics, if they are wanted. There is nothing to do when nobody reads them.
    fn summarize(&self, show: Show, stats: &Stats, to: &mut dyn Write) {
        if self.plan.stats {
            let elapsed = self.started.elapsed();
            let _ = match show {
                Show::Json => summary_json(stats, elapsed, to),
                _ => summary_text(stats, elapsed, to),
            };
        }
    }
}

/// Sorts by what `sort` says. Files whose time is not known come last in ascending order.
fn sorted(mut haystacks: Vec<Haystack>, sort: Sort) -> Vec<Haystack> {
    let time: fn(&std::fs::Metadata) -> io::Result<SystemTime> = match sort.by {
        SortBy::Path => {
            haystacks.sort_by(|a, b| {
                if sort.reverse {
                    b.path().cmp(a.path())
                } else {
                    a.path().cmp(b.path())
                }
            });
            return haystacks;
        }
        SortBy::Modified => |m| m.modified(),
        SortBy::Accessed => |m| m.accessed(),
        SortBy::Created => |m| m.created(),
    };
    let dated = haystacks
        .into_iter()
        .map(|h| (h.path().metadata().and_then(|m| time(&m)).ok(), h));
    let mut dated: Vec<_> = dated.collect();
    // Files of the same time stay in the order they were found in, in both directions.
    dated.sort_by(|(a, _), (b, _)| {
        let order = a.is_none().cmp(&b.is_none()).then(a.cmp(b));
        if sort.reverse { order.reverse() } else { order }
    });
    dated.into_iter().map(|(_, h)| h).collect()
}

/// The statistics, with so many bytes less printed.
fn less_printed(stats: &Stats, bytes: u64) -> Stats {
    let mut less = Stats::new();
    less.add_elapsed(stats.elapsed());
    less.add_searches(stats.searches());
    less.add_searches_with_match(stats.searches_with_match());
    less.add_bytes_searched(stats.bytes_searched());
    less.add_bytes_printed(stats.bytes_printed().saturating_sub(bytes));
    less.add_matched_lines(stats.matched_lines());
    less.add_matches(stats.matches());
    less
}

/// What one batch of haystacks printed: the end of each that printed anything.
struct Results {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Standard output of sorted results. What each file printed begins with the separator, as if there were something before it.
struct Sheet {
    out: io::BufWriter<io::Stdout>,
    separator: Option<Vec<u8>>,
    watched: bool,
    begun: bool,
    /// The size of the separator that the first file printed for nothing.
    left_out: u64,
    /// The reader has gone away.
    left: bool,
    /// Before that, something was passed on.
    passed: bool,
}

impl Sheet {
    fn new(plan: &Plan) -> Self {
        let separator = plan.file_separator.clone().map(|mut line| {
            line.extend_from_slice(plan.line_terminator().as_bytes());
            line
        });
        let out = io::BufWriter::with_capacity(1 << 16, io::stdout());
        Sheet {
            out,
            separator,
            watched: plan.is_watched(),
            begun: false,
            left_out: 0,
            left: false,
            passed: false,
        }
    }

    fn write(&mut self, results: &Results) -> io::Result<()> {
        let mut start = 0;
        for &end in &results.ends {
            let mut bytes = &results.bytes[start..end];
            if let Some(separator) = self.separator.as_ref().filter(|_| !self.begun)
                && let Some(rest) = bytes.strip_prefix(separator.as_slice())
            {
                self.left_out = separator.len() as u64;
                bytes = rest;
            }
            self.begun = true;
            self.out.write_all(bytes)?;
            start = end;
        }
        if self.watched {
            self.out.flush()?;
        }
        self.passed |= !results.ends.is_empty();
        Ok(())
    }

    fn end(mut self, last: &[u8]) -> io::Result<()> {
        self.out.write_all(last)?;
        self.out.flush()
    }
}

/// The paths that one thread lists: passed on in pieces, each of whole paths.
struct List<'a> {
    plan: &'a Plan,
    writer: &'a BufferWriter,
    failure: &'a Mutex<Option<io::Error>>,
    buffer: Buffer,
    limit: usize,
    /// Paths need no colour, links or other separators.
    plain: bool,
}

impl<'a> List<'a> {
    fn new(plan: &'a Plan, writer: &'a BufferWriter, failure: &'a Mutex<Option<io::Error>>) -> Self {
        List {
            plan,
            writer,
            failure,
            buffer: writer.buffer(),
            limit: if plan.is_watched() { 0 } else { LISTED },
            plain: plan.color == termcolor::ColorChoice::Never && plan.low.path_separator.is_none(),
        }
    }

    /// Adds a path. Says whether more can be written.
    fn add(&mut self, haystack: &Haystack) -> bool {
        let written = if self.plain {
            let path = haystack.path().as_os_str().as_encoded_bytes();
            let end = if self.plan.low.null { b"\0" } else { b"\n" };
            self.buffer.write_all(path).and_then(|()| self.buffer.write_all(end))
        } else {
            self.plan.path_printer().build(&mut self.buffer).write(haystack.path())
        };
        // Writing to memory does not fail.
        written.is_ok() && (self.buffer.len() <= self.limit || self.pass_on())
    }

    fn pass_on(&mut self) -> bool {
        let result = self.writer.print(&self.buffer);
        self.buffer.clear();
        match result {
            Ok(()) => true,
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                false
            }
        }
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        self.pass_on();
    }
}

fn summary_text(stats: &Stats, elapsed: std::time::Duration, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to)?;
    writeln!(to, "{} matches", stats.matches())?;
    writeln!(to, "{} matched lines", stats.matched_lines())?;
    writeln!(to, "{} files contained matches", stats.searches_with_match())?;
    writeln!(to, "{} files searched", stats.searches())?;
    writeln!(to, "{} bytes printed", stats.bytes_printed())?;
    writeln!(to, "{} bytes searched", stats.bytes_searched())?;
    writeln!(to, "{:0.6} seconds spent searching", stats.elapsed().as_secs_f64())?;
    writeln!(to, "{:0.6} seconds total", elapsed.as_secs_f64())
}

fn summary_json(stats: &Stats, elapsed: std::time::Duration, to: &mut dyn Write) -> io::Result<()> {
    let total = serde_json::json!({
        "secs": elapsed.as_secs(),
        "nanos": elapsed.subsec_nanos(),
        "human": format!("{:0.6}s", elapsed.as_secs_f64()),
    });
    let summary = serde_json::json!({
        "type": "summary",
        "data": { "stats": stats, "elapsed_total": total },
    });
    serde_json::to_writer(&mut *to, &summary)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn haystacks(root: &std::path::Path) -> Vec<Haystack> {
        let report = Report::new("test");
        let walk = ignore::WalkBuilder::new(root)
            .sort_by_file_name(|a, b| a.cmp(b))
            .build();
        walk.filter_map(|r| Haystack::found(r, false, &report)).collect()
    }

    #[test]
    fn files_are_sorted_by_path_and_by_time_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        // `b` and `d` are of the same time.
        for (name, age) in [("a", 3), ("b", 1), ("c", 2), ("d", 1)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(start + Duration::from_secs(age)).unwrap();
        }
        let order = |by, reverse| -> String {
            let list = sorted(haystacks(dir.path()), Sort { by, reverse });
            list.iter()
                .map(|h| h.path().file_name().unwrap().to_str().unwrap())
                .collect()
        };
        assert_eq!(order(SortBy::Path, false), "abcd");
        assert_eq!(order(SortBy::Path, true), "dcba");
        assert_eq!(order(SortBy::Modified, false), "bdca");
        assert_eq!(order(SortBy::Modified, true), "acbd");
    }

    #[test]
    fn files_whose_time_is_not_known_come_last() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let list = haystacks(dir.path());
        std::fs::remove_file(dir.path().join("a")).unwrap();
        let list = sorted(
            list,
            Sort {
                by: SortBy::Modified,
                reverse: false,
            },
        );
        assert!(list.last().unwrap().path().ends_with("a"));
    }
}
