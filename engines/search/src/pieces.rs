//! One large file, searched in pieces by several threads.
//!
//! A piece is the lines that begin in a part of the file of a fixed size. Each is searched by itself, as if it were a file, and
//! what is printed comes out in order. That gives what a search of the whole gives as long as lines have nothing to do with
//! each other; where they have (matches over several lines), the file is searched by one thread. For context a piece is searched
//! with the lines around it, as many as can matter to its own, and only those are printed.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bstr::ByteSlice;
use grep_matcher::Matcher;
use grep_printer::{ColorSpecs, Stats};
use grep_searcher::{BinaryDetection, Searcher};
use termcolor::WriteColor;

use self::hand::{Count, Hand};
use self::load::read_at;
use self::total::Total;
use crate::engine::Engine;
use crate::flags::low::{Context, Encoding, EngineChoice, Show};
use crate::haystack::Haystack;
use crate::marked::marks;
use crate::ordered::Belt;
use crate::plan::Plan;
use crate::worker::{Outcome, Worker};

mod hand;
mod json;
mod load;
mod own;
mod total;

/// Smaller files are searched by one thread.
const SMALLEST_FILE: u64 = 8 << 20;

/// The size of a part, in bytes: small enough to stay in the processor's cache between being read and being searched.
const PART: u64 = 512 << 10;

/// Of a very large file parts are larger, so that there are no more than this.
const MOST_PARTS: u64 = 1 << 16;

/// Results that wait for their turn take so much memory at most, and what the parts under way print.
const MOST_HELD: usize = 32 << 20;

/// So much at the beginning of a file is looked at for bytes that text does not have.
const HEAD: usize = 64 << 10;

/// With more lines of context than this on one side, a file is searched by one thread.
const MOST_CONTEXT: usize = 1 << 10;

/// What is wanted of the matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Lines,
    Json,
    Count,
    CountMatches,
    /// Whether there is any.
    Any,
}

/// A file that can be searched in pieces.
pub(crate) struct Pieces<'a> {
    plan: &'a Plan,
    show: Show,
    wanted: Wanted,
    path: &'a Path,
    file: File,
    size: u64,
    part: u64,
    /// How many lines before and after its own a piece is searched with.
    around: (usize, usize),
    /// The colours by which numbers are known in what is printed.
    marked: ColorSpecs,
}

/// How far a search in pieces came.
#[derive(Debug)]
pub(crate) enum Searched {
    /// To the end.
    All(Outcome),
    /// So many bytes of output are written. What follows takes a search of the whole.
    Begun(u64),
}

impl<'a> Pieces<'a> {
    /// The pieces of a haystack, if it is a file that gains by it and loses nothing.
    pub(crate) fn of<W: WriteColor>(
        plan: &'a Plan,
        show: Show,
        haystack: &'a Haystack,
        worker: &Worker<W>,
    ) -> Option<Self> {
        let path = haystack.path();
        let one = plan.hands > 1 && plan.whole_files && haystack.is_named() && !haystack.is_stdin();
        if !one || !worker.reads_itself(path) {
            return None;
        }
        let file = File::open(path).ok()?;
        let data = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let pieces = Self::new(plan, show, path, file, data.len(), PART.max(data.len() / MOST_PARTS))?;
        (pieces.size >= SMALLEST_FILE).then_some(pieces)
    }

    fn new(plan: &'a Plan, show: Show, path: &'a Path, file: File, size: u64, part: u64) -> Option<Self> {
        let low = &plan.low;
        let wanted = match show {
            Show::Json if low.quiet => return None,
            Show::Json => Wanted::Json,
            _ if low.quiet => Wanted::Any,
            Show::Lines => Wanted::Lines,
            Show::Count => Wanted::Count,
            Show::CountMatches => Wanted::CountMatches,
            Show::Paths | Show::PathsWithout => Wanted::Any,
        };
        let shows = matches!(wanted, Wanted::Lines | Wanted::Json);
        let around = match low.context.lines() {
            (0, 0) => (0, 0),
            _ if !shows => (0, 0),
            // One more says whether there is a gap before the piece.
            (before, after) if before.max(after) <= MOST_CONTEXT => (after + 1, before),
            _ => return None,
        };
        let lines_alone = !low.multiline && !low.crlf && !low.stop_on_nonmatch && low.context != Context::Everything;
        let told_apart = wanted != Wanted::Lines
            || !((plan.heading && plan.with_filename) || plan.links || (plan.column && low.byte_offset));
        let limited =
            low.max_count.is_some() && (around != (0, 0) || matches!(wanted, Wanted::CountMatches | Wanted::Json));
        let each_match = match wanted {
            Wanted::Lines => sees_matches(plan),
            wanted => matches!(wanted, Wanted::CountMatches | Wanted::Json),
        };
        let looks_back =
            low.null_data || low.engine != EngineChoice::Default || plan.patterns.iter().any(|p| has_anchor(p));
        let decoded = matches!(low.encoding, Encoding::Named(_));
        let counted = plan.stats && wanted != Wanted::Json;
        if !lines_alone || !told_apart || limited || (each_match && looks_back) || decoded || counted {
            return None;
        }
        let mut head = vec![0; HEAD];
        let read = read_at(&file, &mut head, 0).ok()?;
        let head = &head[..read];
        let marked_as = |mark: &[u8]| matches!(low.encoding, Encoding::Auto) && head.starts_with(mark);
        if marked_as(b"\xEF\xBB\xBF") || marked_as(b"\xFF\xFE") || marked_as(b"\xFE\xFF") {
            return None;
        }
        if plan.binary.named != BinaryDetection::none() && head.find_byte(0).is_some() {
            return None;
        }
        Some(Pieces {
            marked: marks(&plan.color_list)?,
            plan,
            show,
            wanted,
            path,
            file,
            size,
            part,
            around,
        })
    }

    /// Searches all pieces and writes what is found to `out`.
    pub(crate) fn search(&self, engine: &Engine, out: &mut (impl Write + Send)) -> io::Result<Searched> {
        match engine {
            Engine::Regex(matcher) => self.all(matcher, out),
            Engine::Pcre2(matcher) => self.all(matcher, out),
        }
    }

    fn all<M: Matcher + Clone + Send>(&self, matcher: &M, out: &mut (impl Write + Send)) -> io::Result<Searched> {
        let parts = self.size.div_ceil(self.part);
        let hands = self.plan.hands.min(usize::try_from(parts).unwrap_or(usize::MAX));
        log::trace!("{}: searching {parts} parts on {hands} threads", self.path.display());
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        let searched = match self.wanted {
            Wanted::Lines | Wanted::Json => self.show(matcher, parts, hands, &mut out),
            _ => self.count(matcher, parts, hands, &mut out),
        };
        match out.flush() {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => searched.and(Err(error)),
            _ => searched,
        }
    }

    /// Shows what is found.
    fn show<M: Matcher + Clone + Send>(
        &self,
        matcher: &M,
        parts: u64,
        hands: usize,
        out: &mut (impl Write + Send),
    ) -> io::Result<Searched> {
        let started = Instant::now();
        let total = Mutex::new(Total::new(out, self.gap(), self.plan.is_watched()));
        // A part is but a number, so all may wait at once.
        let belt = Belt::full(0..parts, MOST_HELD);
        on_all(hands, || {
            let (hand, belt, total) = (Hand::new(self, matcher.clone()), &belt, &total);
            move || hand.show(belt, total)
        });
        let mut total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        match total.failure {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
            // Whoever read the output has what it wanted.
            Some(_) => total.alone = false,
            None => {}
        }
        if total.alone {
            return Ok(Searched::Begun(total.out.count));
        }
        let stats = (self.wanted == Wanted::Json).then(|| {
            let mut stats = Stats::new();
            stats.add_elapsed(started.elapsed());
            stats.add_searches(1);
            stats.add_searches_with_match(u64::from(total.matched > 0));
            stats.add_bytes_searched(total.nul.unwrap_or(total.size));
            stats.add_bytes_printed(total.out.count);
            stats.add_matched_lines(total.matched);
            stats.add_matches(total.matches);
            stats
        });
        if let Some(stats) = stats.as_ref().filter(|_| total.any) {
            let ended = json::end(&total.begin, total.nul, stats, &mut total.out);
            ended.or_else(|e| {
                if e.kind() == ErrorKind::BrokenPipe {
                    Ok(())
                } else {
                    Err(e)
                }
            })?;
        }
        Ok(Searched::All(Outcome {
            matched: total.matched > 0,
            stats,
        }))
    }

    /// Counts what is found, and says it.
    fn count<M: Matcher + Clone + Send>(
        &self,
        matcher: &M,
        parts: u64,
        hands: usize,
        out: &mut impl Write,
    ) -> io::Result<Searched> {
        let total = Count::default();
        on_all(hands, || {
            let (hand, total) = (Hand::new(self, matcher.clone()), &total);
            move || hand.count(parts, total)
        });
        if let Some(error) = total.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let count = total.count.load(Relaxed).min(self.most());
        self.conclude(count, out)?;
        Ok(Searched::All(Outcome {
            matched: (count > 0) != (self.show == Show::PathsWithout),
            stats: None,
        }))
    }

    /// What is counted no further.
    fn most(&self) -> u64 {
        match self.wanted {
            Wanted::Any => 1,
            _ => self.plan.low.max_count.unwrap_or(u64::MAX),
        }
    }

    /// What stands between lines that are not next to each other.
    fn gap(&self) -> Vec<u8> {
        let separator = self.plan.low.context_separator.0.as_ref();
        let line = |text: &Vec<u8>| [text.as_slice(), self.plan.line_terminator().as_bytes()].concat();
        let gaps = self.wanted == Wanted::Lines && self.around != (0, 0);
        separator.filter(|_| gaps).map(line).unwrap_or_default()
    }

    /// Writes what is known only at the end.
    fn conclude(&self, count: u64, out: &mut impl Write) -> io::Result<()> {
        let low = &self.plan.low;
        let end = self.plan.line_terminator();
        let mut text = self.plan.buffers().buffer();
        match self.show {
            _ if low.quiet => {}
            Show::Count | Show::CountMatches if count > 0 || low.include_zero => {
                if self.plan.with_filename {
                    let mut printer = self.plan.path_printer();
                    printer.terminator(if low.null { 0 } else { b':' });
                    printer.build(&mut text).write(self.path)?;
                }
                write!(text, "{count}")?;
                text.write_all(end.as_bytes())?;
            }
            Show::Paths | Show::PathsWithout if (count > 0) == (self.show == Show::Paths) => {
                let mut printer = self.plan.path_printer();
                printer.terminator(if low.null { 0 } else { end.as_byte() });
                printer.build(&mut text).write(self.path)?;
            }
            _ => {}
        }
        out.write_all(text.as_slice())
    }
}

impl Pieces<'_> {
    fn searcher(&self, limit: Option<u64>, binary: BinaryDetection) -> Searcher {
        let mut builder = self.plan.searcher_builder();
        // What looks like a mark at the beginning of a piece is in the middle of the file.
        builder.bom_sniffing(false).binary_detection(binary).max_matches(limit);
        if self.around == (0, 0) {
            builder.before_context(0).after_context(0);
        }
        builder.build()
    }
}

/// Does the work on so many threads, of which this is one.
fn on_all<F: FnOnce() + Send>(hands: usize, mut work: impl FnMut() -> F) {
    std::thread::scope(|scope| {
        for _ in 1..hands {
            scope.spawn(work());
        }
        work()();
    });
}

/// Whether the printer looks for each match in a line. It then lets the engine see the text before the line.
fn sees_matches(plan: &Plan) -> bool {
    let low = &plan.low;
    let colored = plan.color != termcolor::ColorChoice::Never && !plan.colors.matched().is_none();
    colored || plan.column || low.replace.is_some() || low.vimgrep || low.only_matching
}

/// Whether the pattern may ask for the beginning of the text, rather than of a line.
fn has_anchor(pattern: &str) -> bool {
    let flags = pattern.split("(?").skip(1).filter_map(|p| p.split([':', ')']).next());
    pattern.contains("\\A")
        || flags
            .filter_map(|f| f.split_once('-'))
            .any(|(_, off)| off.contains('m'))
}

#[cfg(test)]
mod tests;
