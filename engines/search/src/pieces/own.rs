//! What is found in a piece and around it, without what belongs to other pieces.

use std::io;
use std::ops::Range;

use bstr::ByteSlice;
use grep_searcher::{Searcher, Sink, SinkContext, SinkMatch};

use super::load::Window;

/// What is done about NUL bytes in lines that are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nul {
    /// They are as good as any other.
    Byte,
    /// The first one is told.
    Told,
    /// Nothing is shown from the first one on.
    Ends,
}

/// Passes a piece's own lines on.
pub(super) struct Own<S> {
    /// Where they go.
    pub(super) to: S,
    own: Range<u64>,
    nul: Nul,
    /// Where the last line ends that was passed on or left out.
    visited: u64,
    /// There is a gap before the next line.
    gap: bool,
    /// What was seen of the piece's own lines.
    pub(super) seen: Seen,
}

/// What there was in a piece. Places are in the text that was searched.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// There was a line that is shown.
    pub(super) any: bool,
    /// The line before the first one is shown too, by another piece.
    pub(super) joined: bool,
    /// The number and the place of the last line.
    pub(super) last: Option<(u64, usize)>,
    /// The place of the first NUL byte, and the line it is in.
    pub(super) nul: Option<(usize, Range<usize>)>,
}

/// What happens with a line.
enum Line {
    Passed,
    LeftOut,
    TheEnd,
}

impl<S: Sink<Error = io::Error>> Own<S> {
    pub(super) fn new(to: S, window: &Window, nul: Nul) -> Self {
        Own {
            to,
            own: window.own.start as u64..window.own.end as u64,
            nul,
            visited: 0,
            gap: false,
            seen: Seen::default(),
        }
    }

    fn line(&mut self, at: u64, bytes: &[u8], number: Option<u64>) -> Line {
        let end = at + bytes.len() as u64;
        if at >= self.own.end {
            return Line::TheEnd;
        }
        let before = std::mem::replace(&mut self.visited, end);
        if at < self.own.start {
            return Line::LeftOut;
        }
        // Texts are in memory, so that places in them are small enough.
        let place = at as usize;
        if self.nul != Nul::Byte
            && self.seen.nul.is_none()
            && let Some(i) = bytes.find_byte(0)
        {
            self.seen.nul = Some((place + i, place..end as usize));
        }
        if self.nul == Nul::Ends && self.seen.nul.is_some() {
            return Line::TheEnd;
        }
        if !self.seen.any {
            (self.seen.any, self.seen.joined) = (true, before == at);
            // Whether there is one before the first own line depends on other pieces.
            self.gap = false;
        }
        self.seen.last = number.map(|number| (number, place));
        Line::Passed
    }

    /// Says that there is a gap, now that a line of its own comes behind it.
    fn end_gap(&mut self, searcher: &Searcher) -> io::Result<()> {
        if std::mem::take(&mut self.gap) {
            self.to.context_break(searcher)?;
        }
        Ok(())
    }
}

impl<S: Sink<Error = io::Error>> Sink for Own<S> {
    type Error = io::Error;

    fn matched(&mut self, searcher: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        match self.line(found.absolute_byte_offset(), found.bytes(), found.line_number()) {
            Line::Passed => {
                self.end_gap(searcher)?;
                self.to.matched(searcher, found)
            }
            Line::LeftOut => Ok(true),
            Line::TheEnd => Ok(false),
        }
    }

    fn context(&mut self, searcher: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        match self.line(context.absolute_byte_offset(), context.bytes(), context.line_number()) {
            Line::Passed => {
                self.end_gap(searcher)?;
                self.to.context(searcher, context)
            }
            Line::LeftOut => Ok(true),
            Line::TheEnd => Ok(false),
        }
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        self.gap = true;
        Ok(true)
    }

    fn begin(&mut self, searcher: &Searcher) -> io::Result<bool> {
        self.to.begin(searcher)
    }
}

/// Counts lines that match.
pub(super) struct Counter {
    pub(super) count: u64,
    /// The first one is enough.
    pub(super) one: bool,
}

impl Sink for Counter {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, _: &SinkMatch<'_>) -> io::Result<bool> {
        self.count += 1;
        Ok(!self.one)
    }
}
