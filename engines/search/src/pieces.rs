//! One large file, searched in pieces by several threads.
//!
//! A piece is the lines that begin in a part of the file of a fixed size. Each is searched by itself, as if it were a file, and
//! what is printed comes out in order. That gives what a search of the whole gives as long as lines have nothing to do with
//! each other; where they have (context, matches over several lines), the file is searched by one thread.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bstr::ByteSlice;
use grep_matcher::Matcher;
use grep_printer::{ColorSpecs, Standard, StandardSink, Stats, SummaryKind};
use grep_searcher::{BinaryDetection, Searcher, Sink, SinkContext, SinkFinish, SinkMatch};
use termcolor::{NoColor, WriteColor};

use crate::engine::Engine;
use crate::flags::low::{Context, Encoding, EngineChoice, Show};
use crate::haystack::Haystack;
use crate::marked::{Marked, Text, marks};
use crate::ordered::Belt;
use crate::plan::Plan;
use crate::worker::{Outcome, Worker};

/// Smaller files are searched by one thread.
const SMALLEST_FILE: u64 = 8 << 20;

/// The size of a part, in bytes: not so large that it does not stay in the processor's cache between being read and being
/// searched.
const PART: u64 = 1 << 20;

/// Of a very large file parts are larger, so that there are no more than this.
const MOST_PARTS: u64 = 1 << 16;

/// Results that wait for their turn take so much memory at most, and what the parts under way print.
const MOST_HELD: usize = 32 << 20;

/// So much at the beginning of a file is looked at for bytes that text does not have.
const HEAD: usize = 64 << 10;

/// A line that goes beyond its part is read in steps of this size.
const STEP: usize = 256 << 10;

/// A buffer that a long line made larger than this is given back after it.
const KEPT_BUFFER: usize = 16 << 20;

/// What is wanted of the matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Lines,
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
    /// The colours by which numbers are known in what is printed.
    marked: ColorSpecs,
}

/// What became of one piece.
enum Result {
    /// What it printed; how many lines it printed, and how many it has if they are counted.
    Lines {
        text: Text,
        printed: u64,
        lines: u64,
        binary: bool,
        number: u64,
    },
    /// How many matches it has, of what is counted.
    Count(u64),
    Failed(io::Error),
}

/// What the results add up to.
struct Total<'o, W> {
    out: &'o mut W,
    lines: u64,
    count: u64,
    failure: Option<io::Error>,
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
            Show::Json => return None,
            _ if low.quiet => Wanted::Any,
            Show::Lines => Wanted::Lines,
            Show::Count => Wanted::Count,
            Show::CountMatches => Wanted::CountMatches,
            Show::Paths | Show::PathsWithout => Wanted::Any,
        };
        let lines_alone = !low.multiline
            && !low.crlf
            && !low.stop_on_nonmatch
            && low.context != Context::Everything
            && low.context.lines() == (0, 0);
        let told_apart = wanted != Wanted::Lines
            || !((plan.heading && plan.with_filename) || plan.links || (plan.column && low.byte_offset));
        let counted = wanted != Wanted::CountMatches || low.max_count.is_none();
        let each_match = wanted == Wanted::CountMatches || (wanted == Wanted::Lines && sees_matches(plan));
        let looks_back =
            low.null_data || low.engine != EngineChoice::Default || plan.patterns.iter().any(|p| has_anchor(p));
        let decoded = matches!(low.encoding, Encoding::Named(_));
        if !lines_alone || !told_apart || !counted || (each_match && looks_back) || decoded || plan.stats {
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
        })
    }

    /// Searches all pieces and writes what is found to `out`.
    pub(crate) fn search(&self, engine: &Engine, out: &mut (impl Write + Send)) -> io::Result<Outcome> {
        match engine {
            Engine::Regex(matcher) => self.all(matcher, out),
            Engine::Pcre2(matcher) => self.all(matcher, out),
        }
    }

    fn all<M: Matcher + Clone + Send>(&self, matcher: &M, out: &mut (impl Write + Send)) -> io::Result<Outcome> {
        let parts = self.size.div_ceil(self.part);
        let hands = self.plan.hands.min(usize::try_from(parts).unwrap_or(usize::MAX));
        log::trace!("{}: searching {parts} parts on {hands} threads", self.path.display());
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        let total = Mutex::new(Total {
            out: &mut out,
            lines: 0,
            count: 0,
            failure: None,
        });
        // A part is but a number, so all may wait at once.
        let belt = Belt::new(usize::try_from(parts).unwrap_or(usize::MAX), MOST_HELD);
        for part in 0..parts {
            belt.put(part);
        }
        belt.close();
        std::thread::scope(|scope| {
            for _ in 0..hands {
                let (mut hand, belt, total) = (Hand::new(self, matcher.clone()), &belt, &total);
                scope.spawn(move || hand.work(belt, total));
            }
        });
        let Total { count, failure, .. } = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ended = match failure {
            Some(error) => out.flush().and(Err(error)),
            None => self.conclude(count, &mut out).and_then(|()| out.flush()),
        };
        // Whoever read the output has what it wanted.
        match ended {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
            _ => Ok(Outcome {
                matched: (count > 0) != (self.show == Show::PathsWithout),
                stats: None::<Stats>,
            }),
        }
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

/// One thread's means.
struct Hand<'a, M> {
    pieces: &'a Pieces<'a>,
    matcher: M,
    searcher: Searcher,
    printer: Standard<Marked>,
    buffer: Vec<u8>,
}

impl<'a, M: Matcher> Hand<'a, M> {
    fn new(pieces: &'a Pieces<'a>, matcher: M) -> Self {
        let plan = pieces.plan;
        let (real, marked) = (&plan.colors, &pieces.marked);
        let to = Marked::new(plan.buffers().buffer(), real, marked, plan.low.byte_offset);
        let printer = plan.standard().color_specs(marked.clone()).build(to);
        Hand {
            pieces,
            matcher,
            searcher: pieces.searcher(plan.low.max_count, BinaryDetection::none()),
            printer,
            buffer: Vec::new(),
        }
    }

    fn work<W: Write>(&mut self, belt: &Belt<u64, Result>, total: &Mutex<Total<'_, W>>) {
        while let Some((number, part)) = belt.take() {
            let result = self.one(part).unwrap_or_else(Result::Failed);
            let size = match &result {
                Result::Lines { text, .. } => text.size(),
                _ => 0,
            };
            belt.finish(number, size, result, |result| {
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                match self.add(result, &mut total) {
                    Ok(true) => {}
                    Ok(false) => belt.stop(),
                    Err(error) => {
                        total.failure = Some(error);
                        belt.stop();
                    }
                }
            });
        }
    }

    /// Searches one piece.
    fn one(&mut self, part: u64) -> io::Result<Result> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self
            .pieces
            .load(part, &mut buffer)
            .and_then(|(range, at)| match self.pieces.wanted {
                Wanted::Lines => self.lines(part, &buffer[range], at, None),
                _ => self.count(&buffer[range]).map(Result::Count),
            });
        if buffer.capacity() <= KEPT_BUFFER {
            self.buffer = buffer;
        }
        result
    }

    /// Prints the lines of a piece that begins at byte `at`, `limit` at most.
    fn lines(&mut self, number: u64, text: &[u8], at: u64, limit: Option<u64>) -> io::Result<Result> {
        let plan = self.pieces.plan;
        if text.is_empty() {
            return Ok(Result::Lines {
                text: Text::default(),
                printed: 0,
                lines: 0,
                binary: false,
                number,
            });
        }
        self.printer.get_mut().begin(at);
        let mut limited;
        let searcher = match limit {
            None => &mut self.searcher,
            Some(_) => {
                limited = self.pieces.searcher(limit, BinaryDetection::none());
                &mut limited
            }
        };
        let mut sink = UpToBinary {
            sink: self.printer.sink_with_path(&self.matcher, self.pieces.path),
            binary: plan.binary.named != BinaryDetection::none(),
            line: None,
        };
        searcher.search_slice(&self.matcher, text, &mut sink)?;
        let (printed, line) = (sink.sink.match_count(), sink.line);
        let mut out = self.printer.get_mut().take();
        if let Some((start, end)) = line {
            out.push(&self.binary_message(&text[start..end], at + start as u64)?);
        }
        let end = plan.line_terminator().as_byte();
        let lines = if plan.line_number { bytes(text, end) } else { 0 };
        Ok(Result::Lines {
            text: out,
            printed,
            lines,
            binary: line.is_some(),
            number,
        })
    }

    /// What is printed instead of a line that has a NUL byte.
    fn binary_message(&self, line: &[u8], at: u64) -> io::Result<Vec<u8>> {
        let plan = self.pieces.plan;
        let mut printer = plan.standard().build(plan.buffers().buffer());
        let mut searcher = self.pieces.searcher(None, plan.binary.named.clone());
        let sink = printer.sink_with_path(&self.matcher, self.pieces.path);
        searcher.search_slice(&self.matcher, line, sink)?;
        let mut message = printer.into_inner().into_inner();
        // It ends with the number of the byte in what was searched.
        let place = line.find_byte(0).unwrap_or(0) as u64;
        if let Some(rest) = message.strip_suffix(format!("{place})\n").as_bytes()) {
            let length = rest.len();
            message.truncate(length);
            message.extend_from_slice(format!("{})\n", at + place).as_bytes());
        }
        Ok(message)
    }

    fn count(&mut self, text: &[u8]) -> io::Result<u64> {
        let kind = match self.pieces.wanted {
            Wanted::CountMatches => SummaryKind::CountMatches,
            Wanted::Count => SummaryKind::Count,
            Wanted::Lines | Wanted::Any => SummaryKind::QuietWithMatch,
        };
        let mut builder = grep_printer::SummaryBuilder::new();
        builder.kind(kind).path(false).exclude_zero(false);
        let mut printer = builder.build(NoColor::new(Vec::new()));
        let mut sink = printer.sink_with_path(&self.matcher, self.pieces.path);
        self.searcher.search_slice(&self.matcher, text, &mut sink)?;
        let any = sink.has_match();
        if self.pieces.wanted == Wanted::Any {
            return Ok(u64::from(any));
        }
        let digits = printer.into_inner().into_inner();
        let digits = digits.iter().filter(|d| d.is_ascii_digit());
        Ok(digits.fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    }

    /// Adds a result to those before it. Says whether more are wanted.
    fn add<W: Write>(&mut self, result: Result, total: &mut Total<'_, W>) -> io::Result<bool> {
        let most = self.pieces.plan.low.max_count;
        match result {
            Result::Failed(error) => Err(error),
            Result::Count(count) => {
                total.count += count;
                if let Some(most) = most.filter(|m| total.count >= *m && self.pieces.wanted == Wanted::Count) {
                    total.count = most;
                    return Ok(false);
                }
                Ok(total.count == 0 || self.pieces.wanted != Wanted::Any)
            }
            Result::Lines {
                mut text,
                mut printed,
                lines,
                binary,
                number,
            } => {
                let left = most.map(|m| m.saturating_sub(total.count));
                let last = left.is_some_and(|l| printed >= l);
                if let Some(left) = left.filter(|_| last) {
                    let mut buffer = Vec::new();
                    let (range, at) = self.pieces.load(number, &mut buffer)?;
                    if let Result::Lines {
                        text: t, printed: p, ..
                    } = self.lines(number, &buffer[range], at, Some(left))?
                    {
                        (text, printed) = (t, p);
                    }
                }
                text.write(total.lines, total.out)?;
                if self.pieces.plan.is_watched() {
                    total.out.flush()?;
                }
                total.lines += lines;
                // A line that is not shown is a match all the same.
                total.count += printed + u64::from(binary && !last);
                Ok(!last && !binary)
            }
        }
    }
}

impl Pieces<'_> {
    fn searcher(&self, limit: Option<u64>, binary: BinaryDetection) -> Searcher {
        let mut builder = self.plan.searcher_builder();
        // What looks like a mark at the beginning of a piece is in the middle of the file.
        builder.bom_sniffing(false).binary_detection(binary).max_matches(limit);
        builder.build()
    }

    /// Reads the lines that begin in a part. They are at the range of the buffer that is returned; the last number is the place
    /// of their first byte in the file. The rest of the buffer is of no use, but clearing it would take time.
    fn load(&self, part: u64, buffer: &mut Vec<u8>) -> io::Result<(Range<usize>, u64)> {
        let end_of_line = self.plan.line_terminator().as_byte();
        let (start, end) = (part * self.part, ((part + 1) * self.part).min(self.size));
        // Whether a line begins with the part is said by the byte before it.
        let from = start.saturating_sub(1);
        // A part is of a moderate size.
        let length = (end - from) as usize;
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let mut filled = read_at(&self.file, &mut buffer[..length], from)?;
        let first = match part {
            0 => 0,
            _ => buffer[..filled].find_byte(end_of_line).map_or(filled, |i| i + 1),
        };
        let mut at = end;
        let open = |buffer: &[u8], filled: usize| first < filled && buffer[filled - 1] != end_of_line;
        while filled >= length && at < self.size && open(buffer, filled) {
            let step = STEP.min(usize::try_from(self.size - at).unwrap_or(STEP));
            if buffer.len() < filled + step {
                buffer.resize(filled + step, 0);
            }
            let read = read_at(&self.file, &mut buffer[filled..filled + step], at)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            let more = buffer[filled..filled + read].find_byte(end_of_line);
            filled += more.map_or(read, |i| i + 1);
        }
        Ok((first..filled, from + first as u64))
    }
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

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn bytes(text: &[u8], byte: u8) -> u64 {
    memchr::memchr_iter(byte, text).count() as u64
}

/// Passes lines on up to the first that has a NUL byte.
struct UpToBinary<'p, 's, M: Matcher> {
    sink: StandardSink<'p, 's, M, Marked>,
    /// NUL bytes mean something.
    binary: bool,
    /// The line with the first one.
    line: Option<(usize, usize)>,
}

impl<M: Matcher> Sink for UpToBinary<'_, '_, M> {
    type Error = io::Error;

    fn matched(&mut self, searcher: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        if self.binary && found.bytes().find_byte(0).is_some() {
            let range = found.bytes_range_in_buffer();
            self.line = Some((range.start, range.end));
            return Ok(false);
        }
        self.sink.matched(searcher, found)
    }

    fn context(&mut self, searcher: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        self.sink.context(searcher, context)
    }

    fn begin(&mut self, searcher: &Searcher) -> io::Result<bool> {
        self.sink.begin(searcher)
    }

    fn finish(&mut self, searcher: &Searcher, finish: &SinkFinish) -> io::Result<()> {
        self.sink.finish(searcher, finish)
    }
}

#[cfg(test)]
mod tests;
