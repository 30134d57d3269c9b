//! What the pieces of a file add up to, in their order.

use std::io::{self, Write};

use crate::marked::Text;

/// What became of one piece.
pub(super) enum Found {
    /// What it shows.
    Lines(Shown),
    /// It cannot be searched by itself.
    Alone,
    Failed(io::Error),
}

/// What a piece shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The piece's number.
    pub(super) number: u64,
    pub(super) text: Text,
    /// It shows a line.
    pub(super) any: bool,
    /// The line before its first one is shown too.
    pub(super) joined: bool,
    /// How many of its lines match.
    pub(super) matched: u64,
    /// How many matches there are in them, where that is counted.
    pub(super) matches: u64,
    /// How many lines it has, if they are counted.
    pub(super) lines: u64,
    /// How many lines before it were searched with it.
    pub(super) before: u64,
    /// How many bytes it has.
    pub(super) size: u64,
    /// A NUL byte ended it.
    pub(super) cut: bool,
    /// The place of the first NUL byte in the file.
    pub(super) nul: Option<u64>,
    /// What begins the file's results, if it shows a line.
    pub(super) begin: Vec<u8>,
}

/// What the pieces add up to.
pub(super) struct Total<W> {
    pub(super) out: Counted<W>,
    /// What separates lines that are not next to each other.
    pub(super) gap: Vec<u8>,
    /// Each piece is to be seen at once.
    pub(super) watched: bool,
    pub(super) any: bool,
    pub(super) lines: u64,
    pub(super) matched: u64,
    pub(super) matches: u64,
    pub(super) size: u64,
    pub(super) nul: Option<u64>,
    pub(super) begin: Vec<u8>,
    /// From here on the file has to be searched as a whole.
    pub(super) alone: bool,
    pub(super) failure: Option<io::Error>,
}

impl<W: Write> Total<W> {
    pub(super) fn new(out: W, gap: Vec<u8>, watched: bool) -> Self {
        Total {
            out: Counted { to: out, count: 0 },
            gap,
            watched,
            any: false,
            lines: 0,
            matched: 0,
            matches: 0,
            size: 0,
            nul: None,
            begin: Vec::new(),
            alone: false,
            failure: None,
        }
    }

    /// Adds what the next piece shows, `last` if nothing is shown of those after it.
    pub(super) fn add(&mut self, shown: Shown, last: bool) -> io::Result<()> {
        if shown.any {
            if !self.any {
                self.out.write_all(&shown.begin)?;
                self.begin = shown.begin;
            } else if !shown.joined {
                self.out.write_all(&self.gap)?;
            }
            self.any = true;
        }
        shown
            .text
            .write(self.lines.saturating_sub(shown.before), &mut self.out)?;
        if self.watched {
            self.out.flush()?;
        }
        self.lines += shown.lines;
        // A line that is not shown because of what is in it is a match all the same.
        self.matched += shown.matched + u64::from(shown.cut && !last);
        self.matches += shown.matches;
        self.size += shown.size;
        self.nul = self.nul.or(shown.nul);
        Ok(())
    }
}

/// Counts what is written.
pub(super) struct Counted<W> {
    to: W,
    pub(super) count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
