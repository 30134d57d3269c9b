//! One thread's means of searching pieces.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use bstr::ByteSlice;
use grep_matcher::Matcher;
use grep_printer::{JSON, Standard, SummaryKind};
use grep_searcher::{BinaryDetection, Searcher};
use termcolor::NoColor;

use super::load::Window;
use super::own::{Counter, Nul, Own};
use super::total::{Found, Shown, Total};
use super::{Pieces, Wanted, json};
use crate::marked::Marked;
use crate::ordered::Belt;

/// A buffer that a long line made larger than this is given back after it.
const KEPT_BUFFER: usize = 16 << 20;

/// One thread's means.
pub(super) struct Hand<'a, M> {
    pieces: &'a Pieces<'a>,
    matcher: M,
    searcher: Searcher,
    printer: Printer,
    buffer: Vec<u8>,
}

/// Prints what is shown of a piece.
enum Printer {
    Lines(Box<Standard<Marked>>),
    Json(JSON<Vec<u8>>),
}

/// What the threads count together.
#[derive(Default)]
pub(super) struct Count {
    /// The next piece.
    pub(super) next: AtomicU64,
    pub(super) count: AtomicU64,
    /// It is known what was asked.
    pub(super) enough: AtomicBool,
    pub(super) failure: Mutex<Option<io::Error>>,
}

impl<'a, M: Matcher> Hand<'a, M> {
    pub(super) fn new(pieces: &'a Pieces<'a>, matcher: M) -> Self {
        let plan = pieces.plan;
        let printer = if pieces.wanted == Wanted::Json {
            Printer::Json(plan.json().build(Vec::new()))
        } else {
            let (real, marked) = (&plan.colors, &pieces.marked);
            let to = Marked::new(plan.buffers().buffer(), real, marked, plan.low.byte_offset);
            Printer::Lines(Box::new(plan.standard().color_specs(marked.clone()).build(to)))
        };
        Hand {
            pieces,
            matcher,
            searcher: pieces.searcher(plan.low.max_count, BinaryDetection::none()),
            printer,
            buffer: Vec::new(),
        }
    }

    /// Searches pieces as long as there are any, and passes on what they show.
    pub(super) fn show<W: Write>(mut self, belt: &Belt<u64, Found>, total: &Mutex<Total<W>>) {
        while let Some((number, part)) = belt.take() {
            let found = self.one(part);
            let size = match &found {
                Found::Lines(shown) => shown.text.size(),
                _ => 0,
            };
            belt.finish(number, size, found, |found| {
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                match self.add(found, &mut total) {
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

    /// Searches pieces as long as there are any, and counts what is asked for.
    pub(super) fn count(mut self, parts: u64, total: &Count) {
        let most = self.pieces.most();
        while !total.enough.load(Relaxed) {
            let part = total.next.fetch_add(1, Relaxed);
            if part >= parts {
                break;
            }
            match self.counted(part) {
                Ok(0) => {}
                Ok(count) => {
                    if total.count.fetch_add(count, Relaxed) + count >= most {
                        total.enough.store(true, Relaxed);
                    }
                }
                Err(error) => {
                    *total.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    total.enough.store(true, Relaxed);
                }
            }
        }
    }

    /// Adds what became of a piece to those before it. Says whether more are wanted.
    fn add<W: Write>(&mut self, found: Found, total: &mut Total<W>) -> io::Result<bool> {
        let mut shown = match found {
            Found::Failed(error) => return Err(error),
            Found::Alone => {
                total.alone = true;
                return Ok(false);
            }
            Found::Lines(shown) => shown,
        };
        let left = self.pieces.plan.low.max_count.map(|m| m.saturating_sub(total.matched));
        let last = left.is_some_and(|l| shown.matched >= l);
        if let Some(left) = left.filter(|_| last) {
            let mut buffer = Vec::new();
            if let Some(window) = self.pieces.load(shown.number, &mut buffer)? {
                shown = self.shown(shown.number, &buffer[window.text.clone()], &window, Some(left))?;
            }
        }
        let go_on = !last && !shown.cut;
        total.add(shown, last)?;
        Ok(go_on)
    }

    /// Searches one piece for what it shows.
    fn one(&mut self, part: u64) -> Found {
        let mut buffer = std::mem::take(&mut self.buffer);
        let found = match self.pieces.load(part, &mut buffer) {
            Ok(Some(window)) => {
                let text = &buffer[window.text.clone()];
                match self.pieces.wanted {
                    Wanted::Json => self.messages(text, &window),
                    _ => self.shown(part, text, &window, None),
                }
            }
            Ok(None) => return Found::Alone,
            Err(error) => Err(error),
        };
        self.keep(buffer);
        match found {
            // Where there is context, it depends on the lines around it what a NUL byte ends.
            Ok(shown) if shown.cut && self.pieces.around != (0, 0) => Found::Alone,
            Ok(shown) => Found::Lines(shown),
            Err(error) => Found::Failed(error),
        }
    }

    /// Searches one piece for what is counted in it.
    fn counted(&mut self, part: u64) -> io::Result<u64> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let window = self.pieces.load(part, &mut buffer)?.unwrap_or_default();
        let count = self.count_in(&buffer[window.text]);
        self.keep(buffer);
        count
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER {
            self.buffer = buffer;
        }
    }

    /// The lines that a piece shows, `limit` at most.
    fn shown(&mut self, number: u64, text: &[u8], window: &Window, limit: Option<u64>) -> io::Result<Shown> {
        let plan = self.pieces.plan;
        let Printer::Lines(printer) = &mut self.printer else {
            return Ok(Shown::default());
        };
        printer.get_mut().begin(window.at);
        let mut limited;
        let searcher = match limit {
            None => &mut self.searcher,
            Some(_) => {
                limited = self.pieces.searcher(limit, BinaryDetection::none());
                &mut limited
            }
        };
        let nul = match plan.binary.named == BinaryDetection::none() {
            true => Nul::Byte,
            false => Nul::Ends,
        };
        let mut sink = Own::new(printer.sink_with_path(&self.matcher, self.pieces.path), window, nul);
        searcher.search_slice(&self.matcher, text, &mut sink)?;
        let (matched, seen) = (sink.to.match_count(), sink.seen);
        let mut out = printer.get_mut().take();
        if let Some((_, line)) = seen.nul.clone().filter(|_| self.pieces.around == (0, 0)) {
            out.push(&self.binary_message(&text[line.clone()], window.at + line.start as u64)?);
        }
        Ok(Shown {
            number,
            text: out,
            any: seen.any,
            joined: seen.joined,
            matched,
            lines: self.lines(text, window, seen.last),
            before: window.before,
            size: window.own.len() as u64,
            cut: seen.nul.is_some(),
            ..Shown::default()
        })
    }

    /// The messages of a piece.
    fn messages(&mut self, text: &[u8], window: &Window) -> io::Result<Shown> {
        let Printer::Json(printer) = &mut self.printer else {
            return Ok(Shown::default());
        };
        let nul = match self.pieces.plan.binary.named == BinaryDetection::none() {
            true => Nul::Byte,
            false => Nul::Told,
        };
        let mut sink = Own::new(printer.sink_with_path(&self.matcher, self.pieces.path), window, nul);
        self.searcher.search_slice(&self.matcher, text, &mut sink)?;
        let (stats, seen) = (sink.to.stats().clone(), sink.seen);
        let printed = std::mem::take(printer.get_mut());
        let (begin, rest) = json::split(&printed);
        Ok(Shown {
            text: json::renumbered(rest, window.at),
            any: seen.any,
            joined: seen.joined,
            matched: stats.matched_lines(),
            matches: stats.matches(),
            lines: self.lines(text, window, seen.last),
            before: window.before,
            size: window.own.len() as u64,
            nul: seen.nul.map(|(place, _)| window.at + place as u64),
            begin: begin.to_vec(),
            ..Shown::default()
        })
    }

    /// How many lines the piece has, if they are numbered. The searcher has counted them up to the last one that is shown.
    fn lines(&self, text: &[u8], window: &Window, last: Option<(u64, usize)>) -> u64 {
        if !self.pieces.plan.line_number {
            return 0;
        }
        let (lines, from) = match last {
            Some((number, place)) => (number.saturating_sub(1 + window.before), place),
            None => (0, window.own.start),
        };
        let end = self.pieces.plan.line_terminator().as_byte();
        lines + memchr::memchr_iter(end, &text[from..window.own.end]).count() as u64
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

    fn count_in(&mut self, text: &[u8]) -> io::Result<u64> {
        if self.pieces.wanted != Wanted::CountMatches {
            let mut sink = Counter {
                count: 0,
                one: self.pieces.wanted == Wanted::Any,
            };
            self.searcher.search_slice(&self.matcher, text, &mut sink)?;
            return Ok(sink.count);
        }
        let mut builder = grep_printer::SummaryBuilder::new();
        builder.kind(SummaryKind::CountMatches).path(false).exclude_zero(false);
        let mut printer = builder.build(NoColor::new(Vec::new()));
        let mut sink = printer.sink_with_path(&self.matcher, self.pieces.path);
        self.searcher.search_slice(&self.matcher, text, &mut sink)?;
        let digits = printer.into_inner().into_inner();
        let digits = digits.iter().filter(|d| d.is_ascii_digit());
        Ok(digits.fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    }
}
