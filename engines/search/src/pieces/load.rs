//! Reading one piece, with as many lines around it as its context may need.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::Pieces;

/// Behind a part so much is read with it, in bytes: most lines that go beyond their part end there.
const BEHIND: usize = 4 << 10;

/// A line that goes further is read in steps that grow up to this.
const LARGEST_STEP: usize = 256 << 10;

/// In front of a part so much is read for each line of context at first.
const LINE: u64 = 128;

/// Lines of context reach no further than this, on each side, in bytes.
const FURTHEST: usize = 1 << 20;

/// The text in which one piece is searched.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Where it is in the buffer.
    pub(super) text: Range<usize>,
    /// The lines of the piece, in the text. Those around them belong to other pieces.
    pub(super) own: Range<usize>,
    /// How many lines of the text come before the piece's own.
    pub(super) before: u64,
    /// The place in the file of the text's first byte.
    pub(super) at: u64,
}

impl Pieces<'_> {
    /// Reads the lines that begin in a part, and what is around them. The rest of the buffer is of no use, but clearing it would
    /// take time. None if the lines around it are so long that they are a search of their own.
    pub(super) fn load(&self, part: u64, buffer: &mut Vec<u8>) -> io::Result<Option<Window>> {
        let (start, end) = (part * self.part, ((part + 1) * self.part).min(self.size));
        let (before, after) = self.around;
        // Whether a line begins with the part is said by the byte before it.
        let mut back = 1 + before as u64 * LINE;
        loop {
            let from = start.saturating_sub(back);
            // A part and what is in front of it are of a moderate size.
            let (begin, stop) = ((start - from) as usize, (end - from) as usize);
            let mut read = Reading {
                file: &self.file,
                size: self.size,
                from,
                filled: 0,
                step: BEHIND,
                end_of_line: self.plan.line_terminator().as_byte(),
                buffer,
            };
            read.more(stop + BEHIND)?;
            let Some(first) = read.first_line(begin, stop) else {
                return Ok(Some(Window::default()));
            };
            let own = first..read.line_end(stop - 1, usize::MAX)?.unwrap_or(first);
            let mut last = own.end;
            for _ in 0..after {
                match read.line_end(last, FURTHEST)? {
                    Some(end) if end - own.end <= FURTHEST => last = end,
                    _ => return Ok(None),
                }
            }
            match read.lines_back(own.start, before) {
                Some((first, lines)) => {
                    return Ok(Some(Window {
                        own: own.start - first..own.end - first,
                        text: first..last,
                        before: lines,
                        at: from + first as u64,
                    }));
                }
                None if back > FURTHEST as u64 => return Ok(None),
                None => back *= 8,
            }
        }
    }
}

/// A stretch of the file that is read on as it is needed.
struct Reading<'a> {
    file: &'a File,
    size: u64,
    /// The place of the buffer's first byte.
    from: u64,
    /// So much of the buffer was read.
    filled: usize,
    step: usize,
    end_of_line: u8,
    buffer: &'a mut Vec<u8>,
}

impl Reading<'_> {
    /// Reads so many more bytes, up to the end of the file. Says whether there were any.
    fn more(&mut self, bytes: usize) -> io::Result<bool> {
        let at = self.from + self.filled as u64;
        let bytes = bytes.min(usize::try_from(self.size.saturating_sub(at)).unwrap_or(bytes));
        if self.buffer.len() < self.filled + bytes {
            self.buffer.resize(self.filled + bytes, 0);
        }
        let read = read_at(self.file, &mut self.buffer[self.filled..self.filled + bytes], at)?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Where the first line begins that begins in a part.
    fn first_line(&self, begin: usize, stop: usize) -> Option<usize> {
        match begin {
            0 => (self.filled > 0).then_some(0),
            _ => {
                let text = self.buffer.get(begin - 1..(stop - 1).min(self.filled))?;
                let first = begin + memchr::memchr(self.end_of_line, text)?;
                (first < self.filled).then_some(first)
            }
        }
    }

    /// The end of the line that goes on at `place`, or of the file. None if it is further away than that.
    fn line_end(&mut self, place: usize, furthest: usize) -> io::Result<Option<usize>> {
        let mut at = place.min(self.filled);
        loop {
            if let Some(i) = memchr::memchr(self.end_of_line, &self.buffer[at..self.filled]) {
                return Ok(Some(at + i + 1));
            }
            at = self.filled;
            if at - place.min(at) > furthest {
                return Ok(None);
            }
            if !self.more(self.step)? {
                return Ok(Some(self.filled));
            }
            self.step = (2 * self.step).min(LARGEST_STEP);
        }
    }

    /// Where the line begins that comes `lines` before the one that begins at `place`, or the first one of the file; and how many
    /// they are. None if that is not in the buffer.
    fn lines_back(&self, place: usize, lines: usize) -> Option<(usize, u64)> {
        let (mut at, mut count) = (place, 0);
        while count < lines as u64 && (at > 0 || self.from > 0) {
            let text = self.buffer.get(..at.checked_sub(1)?)?;
            at = match memchr::memrchr(self.end_of_line, text) {
                Some(i) => i + 1,
                None if self.from == 0 => 0,
                None => return None,
            };
            count += 1;
        }
        Some((at, count))
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
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
