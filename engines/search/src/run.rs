//! From arguments to an exit code: the walk, the threads, and what is written when all is done.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use grep_printer::Stats;
use ignore::WalkState;
use termcolor::{Buffer, BufferWriter, WriteColor};

use crate::error::Error;
use crate::flags;
use crate::flags::low::{Mode, Show, Sort, SortBy};
use crate::generate;
use crate::haystack::Haystack;
use crate::list::List;
use crate::narrow::{self, Narrowed};
use crate::ordered::Belt;
use crate::pieces::{Pieces, Searched};
use crate::plan::Plan;
use crate::report::{Report, Said};
use crate::sheet::{Results, Sheet};
use crate::sorting::sorted;
use crate::spool::Spool;
use crate::summary;
use crate::worker::{Outcome, Worker};

const MATCHED: u8 = 0;
const NOTHING: u8 = 1;
pub(crate) const TROUBLE: u8 = 2;

/// Of sorted files, so many are searched as one piece of work once there are many.
const LARGEST_BATCH: usize = 16;

/// Of sorted results, so much may wait for its turn before no new files are searched.
const MOST_HELD: usize = 32 << 20;

/// Of one piece of work so much is held; what is more is written when its turn comes.
const MOST_SPOOLED: usize = 8 << 20;

/// Pieces of work under way for each thread, when output is sorted.
const BATCHES_AHEAD: usize = 16;

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

/// What the threads of a sorted search are given, in order.
enum Item {
    Haystack(Haystack),
    Said(Said),
}

/// Output of which the beginning has been printed.
struct Rest<W> {
    out: W,
    /// So many bytes are still left out.
    printed: u64,
}

impl<W: Write> Write for Rest<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.printed == 0 {
            return self.out.write(bytes);
        }
        let less = bytes.len().min(usize::try_from(self.printed).unwrap_or(usize::MAX));
        self.printed -= less as u64;
        Ok(less)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
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

    /// The haystacks in the order they are to be searched in. What is wrong with the walk is told `report`.
    fn haystacks<'a>(&'a self, report: &'a Report) -> Box<dyn Iterator<Item = Haystack> + 'a> {
        let strip = self.plan.paths.implicit;
        let found: Box<dyn Iterator<Item = Haystack> + 'a> = match &self.narrowed {
            Some(narrowed) => Box::new(narrowed.haystacks(&self.plan, report)),
            None => {
                let walk = self.plan.walk(report).build();
                Box::new(walk.filter_map(move |result| Haystack::found(result, strip, report)))
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
        for haystack in self.haystacks(self.report) {
            searched = true;
            let outcome = match Pieces::of(plan, show, &haystack, &worker) {
                Some(pieces) => match pieces.search(worker.engine(), &mut io::stdout()) {
                    Ok(Searched::All(outcome)) => Ok(outcome),
                    Ok(Searched::Begun(printed)) => self.rest(show, &haystack, printed)?,
                    Err(error) => Err(error),
                },
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

    /// Searches a haystack as a whole of which so many bytes of output have been printed.
    fn rest(&self, show: Show, haystack: &Haystack, printed: u64) -> Result<io::Result<Outcome>, Error> {
        let out = Rest {
            out: io::BufWriter::new(io::stdout()),
            printed,
        };
        let colored = self.plan.buffers().buffer().supports_color();
        let out: Box<dyn WriteColor> = match colored {
            true => Box::new(termcolor::Ansi::new(out)),
            false => Box::new(termcolor::NoColor::new(out)),
        };
        let mut worker = Worker::new(&self.plan, show, out, true)?;
        let outcome = worker.search(haystack);
        let flushed = worker.output().flush();
        Ok(outcome.and_then(|outcome| flushed.map(|()| outcome)))
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
        if self.search_for(haystack, worker, tally, self.report).is_none() {
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

    /// Searches one haystack into the worker's buffer. Says whether it matched, if it could be searched to the end.
    fn search_for<W: WriteColor>(
        &self,
        haystack: &Haystack,
        worker: &mut Worker<W>,
        tally: &Tally,
        report: &Report,
    ) -> Option<bool> {
        tally.searched.store(true, Relaxed);
        match worker.search(haystack) {
            Ok(outcome) => {
                if outcome.matched {
                    tally.matched.store(true, Relaxed);
                }
                tally.add(outcome.stats.as_ref());
                Some(outcome.matched)
            }
            Err(error) => {
                report.error(format_args!("{}: {error}", haystack.path().display()));
                None
            }
        }
    }

    /// Searches on many threads and prints in the order of the haystacks.
    fn in_order(&self, show: Show) -> Result<bool, Error> {
        let plan = &self.plan;
        let (buffers, tally) = (plan.buffers(), Tally::default());
        let belt: Belt<Vec<Item>, Results> = Belt::new(BATCHES_AHEAD * plan.threads, MOST_HELD);
        let sheet = Mutex::new(Sheet::new(plan, io::stdout()));
        let write = |results| {
            let mut sheet = sheet.lock().unwrap_or_else(PoisonError::into_inner);
            sheet.write(results, self.report).inspect_err(|error| {
                if error.kind() != ErrorKind::BrokenPipe {
                    self.report.error(error);
                }
                belt.stop();
            })
        };
        let pass = |number, results| match belt.wait_for_turn(number) {
            true => write(results),
            false => Err(ErrorKind::BrokenPipe.into()),
        };
        let mut first = Worker::new(plan, show, Spool::new(buffers.buffer(), MOST_SPOOLED, &pass), true)?;
        first.separate_all()?;
        std::thread::scope(|scope| {
            for _ in 0..plan.threads {
                let mut worker = first.clone();
                let (belt, tally, write) = (&belt, &tally, &write);
                scope.spawn(move || {
                    let held = self.report.holding();
                    while let Some((number, batch)) = belt.take() {
                        worker.output().begin(number);
                        self.batch(batch, &mut worker, tally, &held);
                        let results = worker.output().take();
                        // What went wrong has been said.
                        belt.finish(number, results.size(), results, |results| drop(write(results)));
                    }
                });
            }
            self.hand_in(&belt);
        });
        drop(first);
        self.say_if_nothing(tally.searched.load(Relaxed));
        let stats = tally.stats.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sheet = sheet.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut last = buffers.buffer();
        self.summarize(show, &summary::less_printed(&stats, sheet.left_out), &mut last);
        let matched = sheet.matched;
        let _ = sheet.end(last.as_slice());
        Ok(matched)
    }

    /// Puts all haystacks on the belt, and what the walk complains of between them: the first ones singly, so that results begin
    /// at once, then more and more together.
    fn hand_in(&self, belt: &Belt<Vec<Item>, Results>) {
        let held = self.report.holding();
        let mut haystacks = self.haystacks(&held);
        let (mut size, mut batch) = (1, Vec::new());
        loop {
            let haystack = haystacks.next();
            let ended = haystack.is_none();
            batch.extend(held.take().into_iter().map(Item::Said));
            batch.extend(haystack.map(Item::Haystack));
            if batch.len() >= size || (ended && !batch.is_empty()) {
                size = (2 * size).min(LARGEST_BATCH);
                if !belt.put(std::mem::replace(&mut batch, Vec::with_capacity(size))) {
                    break;
                }
            }
            if ended {
                break;
            }
        }
        belt.close();
    }

    /// Searches a batch. What is said of its files is kept by `held`, and goes with the results.
    fn batch(&self, batch: Vec<Item>, worker: &mut Worker<Spool<'_>>, tally: &Tally, held: &Report) {
        for item in batch {
            let (matched, said) = match item {
                Item::Said(said) => (false, vec![said]),
                Item::Haystack(haystack) => {
                    let matched = self.search_for(&haystack, worker, tally, held);
                    (matched == Some(true), held.take())
                }
            };
            if worker.output().is_left() {
                return;
            }
            worker.output().end(matched, said);
        }
    }

    /// Lists files on this thread.
    fn list_one_by_one(&self) -> Result<bool, Error> {
        let mut printer = self.plan.path_printer().build(self.plan.stdout());
        let mut any = false;
        for haystack in self.haystacks(self.report) {
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
            let _ = summary::write(show, stats, self.started.elapsed(), to);
        }
    }
}
