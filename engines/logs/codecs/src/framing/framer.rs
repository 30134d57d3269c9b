//! Cutting a stream into frames.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{ChunkedGelf, FramingConfig, FramingError, LengthDelimited, OversizedAction};

/// The longest frame where the configuration names no limit, in bytes (Vector has none then).
pub const HARD_LIMIT: usize = 64 * 1024 * 1024;

/// Cuts one stream into frames. A new stream needs a new one.
#[derive(Debug)]
pub struct Framer {
    kind: Kind,
    skipped: u64,
    cut: u64,
}

#[derive(Debug)]
enum Kind {
    Bytes { ended: bool, skipping: bool },
    Delimited(Delimited),
    Length(LengthDelimited),
    Varint { max: usize },
    Octets { max: usize, state: Octets },
    Gelf(ChunkedGelf),
}

#[derive(Debug)]
struct Delimited {
    delimiter: u8,
    max: usize,
    action: OversizedAction,
    /// Within a frame that is too long, of which nothing more is wanted.
    skipping: bool,
    /// Bytes that are known to hold no delimiter.
    searched: usize,
}

#[derive(Debug, Clone, Copy)]
enum Octets {
    Start,
    Skip(usize),
    SkipLine,
}

impl Framer {
    /// Cuts frames as this configuration has them.
    pub fn new(config: &FramingConfig) -> Framer {
        let delimited = |delimiter, max: Option<usize>, action| {
            Kind::Delimited(Delimited {
                delimiter,
                max: max.unwrap_or(HARD_LIMIT),
                action,
                skipping: false,
                searched: 0,
            })
        };
        let kind = match config {
            FramingConfig::Bytes => Kind::Bytes {
                ended: false,
                skipping: false,
            },
            FramingConfig::CharacterDelimited(c) => delimited(c.delimiter, c.max_length, c.oversized_action),
            FramingConfig::NewlineDelimited(c) => delimited(b'\n', c.max_length, c.oversized_action),
            FramingConfig::LengthDelimited(c) => Kind::Length(*c),
            FramingConfig::VarintLengthDelimited { max_frame_length } => Kind::Varint { max: *max_frame_length },
            FramingConfig::OctetCounting { max_length } => Kind::Octets {
                max: max_length.unwrap_or(HARD_LIMIT),
                state: Octets::Start,
            },
            FramingConfig::ChunkedGelf(c) => Kind::Gelf(ChunkedGelf::new(*c)),
        };
        Framer {
            kind,
            skipped: 0,
            cut: 0,
        }
    }

    /// How many frames were skipped because they were too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many frames were cut because they were too long.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The delimiter and the longest frame, if frames simply end with a character and the longer ones are skipped.
    pub(crate) fn delimiter(&self) -> Option<(u8, usize)> {
        match &self.kind {
            Kind::Delimited(d) if d.action == OversizedAction::Drop && !d.skipping => Some((d.delimiter, d.max)),
            _ => None,
        }
    }

    pub(crate) fn count_skipped(&mut self, n: u64) {
        self.skipped += n;
    }

    /// All bytes that are there were looked at and hold no delimiter.
    pub(crate) fn searched(&mut self, bytes: usize) {
        if let Kind::Delimited(d) = &mut self.kind {
            d.searched = bytes;
        }
    }

    /// Takes the next frame out of `input`; `None` if there is no whole one. With `ended`, what is left is the last
    /// frame.
    ///
    /// # Errors
    /// [`FramingError`]; the bad frame is taken out of `input`.
    pub fn next(&mut self, input: &mut BytesMut, ended: bool) -> Result<Option<Bytes>, FramingError> {
        match &mut self.kind {
            Kind::Bytes { ended: done, skipping } => {
                if input.len() > HARD_LIMIT || *skipping {
                    input.clear();
                    if !std::mem::replace(skipping, true) {
                        self.skipped += 1;
                    }
                }
                if !ended {
                    *done = false;
                    return Ok(None);
                }
                if *done && input.is_empty() {
                    return Ok(None);
                }
                *done = true;
                if std::mem::take(skipping) {
                    return Ok(None);
                }
                Ok(Some(input.split().freeze()))
            }
            Kind::Delimited(d) => Ok(d.next(input, ended, &mut self.skipped, &mut self.cut)),
            Kind::Length(o) => length(o, input, ended),
            Kind::Varint { max } => varint(*max, input, ended),
            Kind::Octets { max, state } => octets(*max, state, input, ended, &mut self.skipped),
            Kind::Gelf(g) => {
                if !ended || input.is_empty() {
                    return Ok(None);
                }
                g.datagram(input.split().freeze())
            }
        }
    }
}

impl Delimited {
    fn next(&mut self, input: &mut BytesMut, ended: bool, skipped: &mut u64, cut: &mut u64) -> Option<Bytes> {
        loop {
            let from = std::mem::take(&mut self.searched).min(input.len());
            let Some(at) = input.get(from..).and_then(|b| memchr(self.delimiter, b)) else {
                if ended && !self.skipping && !input.is_empty() && input.len() <= self.max {
                    return Some(input.split().freeze());
                }
                if input.len() > self.max || self.skipping {
                    let mut first = None;
                    if !std::mem::replace(&mut self.skipping, true) {
                        match self.action {
                            OversizedAction::Drop => *skipped += 1,
                            OversizedAction::Truncate => {
                                *cut += 1;
                                first = Some(input.split_to(self.max).freeze());
                            }
                        }
                    }
                    input.clear();
                    if ended {
                        self.skipping = false;
                    }
                    return first;
                }
                self.searched = input.len();
                return None;
            };
            let end = from + at;
            if std::mem::take(&mut self.skipping) {
                input.advance(end + 1);
                continue;
            }
            if end <= self.max {
                let frame = input.split_to(end).freeze();
                input.advance(1);
                return Some(frame);
            }
            match self.action {
                OversizedAction::Drop => {
                    *skipped += 1;
                    input.advance(end + 1);
                }
                OversizedAction::Truncate => {
                    *cut += 1;
                    let frame = input.split_to(self.max).freeze();
                    input.advance(end + 1 - self.max);
                    return Some(frame);
                }
            }
        }
    }
}

fn fatal(input: &mut BytesMut, what: impl Into<String>) -> FramingError {
    input.clear();
    FramingError::Fatal(what.into())
}

fn length(o: &LengthDelimited, input: &mut BytesMut, ended: bool) -> Result<Option<Bytes>, FramingError> {
    let n = o.length_field_length.clamp(1, 8);
    let header = o.length_field_offset + n;
    let cut_short = |input: &mut BytesMut| match ended && !input.is_empty() {
        true => Err(fatal(input, "the stream ends within a frame")),
        false => Ok(None),
    };
    let Some(field) = input.get(o.length_field_offset..header) else {
        return cut_short(input);
    };
    let add = |acc: u64, b: &u8| (acc << 8) | u64::from(*b);
    let len = match o.length_field_is_big_endian {
        true => field.iter().fold(0, add),
        false => field.iter().rev().fold(0, add),
    };
    let max = o.max_frame_length;
    let Some(len) = usize::try_from(len).ok().filter(|l| *l <= max) else {
        return Err(fatal(input, format!("a frame has {len} bytes, more than {max}")));
    };
    if input.len() < header + len {
        return cut_short(input);
    }
    input.advance(header);
    Ok(Some(input.split_to(len).freeze()))
}

fn varint(max: usize, input: &mut BytesMut, ended: bool) -> Result<Option<Bytes>, FramingError> {
    let mut len: u64 = 0;
    let mut header = None;
    for (i, b) in input.iter().take(10).enumerate() {
        len |= u64::from(b & 0x7f) << (7 * i).min(63);
        if b & 0x80 == 0 {
            header = Some(i + 1);
            break;
        }
    }
    let Some(header) = header else {
        if input.len() >= 10 {
            return Err(fatal(input, "a frame's length has more than ten bytes"));
        }
        return match ended && !input.is_empty() {
            true => Err(fatal(input, "the stream ends within a frame")),
            false => Ok(None),
        };
    };
    let Some(len) = usize::try_from(len).ok().filter(|l| *l <= max) else {
        return Err(fatal(input, format!("a frame has {len} bytes, more than {max}")));
    };
    if input.len() < header + len {
        return match ended {
            true => Err(fatal(input, "the stream ends within a frame")),
            false => Ok(None),
        };
    }
    input.advance(header);
    Ok(Some(input.split_to(len).freeze()))
}

/// RFC 6587: a frame that begins with a digit other than zero has its length before it, any other is a line.
fn octets(
    max: usize,
    state: &mut Octets,
    input: &mut BytesMut,
    ended: bool,
    skipped: &mut u64,
) -> Result<Option<Bytes>, FramingError> {
    loop {
        match *state {
            Octets::Skip(left) => {
                let n = left.min(input.len());
                input.advance(n);
                if n < left {
                    *state = Octets::Skip(left - n);
                    return Ok(None);
                }
                *state = Octets::Start;
            }
            Octets::SkipLine => match memchr(b'\n', input) {
                Some(at) => {
                    input.advance(at + 1);
                    *state = Octets::Start;
                }
                None => {
                    input.clear();
                    return Ok(None);
                }
            },
            Octets::Start => {
                let Some(first) = input.first() else {
                    return Ok(None);
                };
                if !(b'1'..=b'9').contains(first) {
                    match memchr(b'\n', input) {
                        Some(at) if at > max => {
                            *skipped += 1;
                            input.advance(at + 1);
                        }
                        Some(at) => {
                            let line = input.split_to(at).freeze();
                            input.advance(1);
                            return Ok(Some(strip_return(line)));
                        }
                        None if input.len() > max => {
                            *skipped += 1;
                            *state = Octets::SkipLine;
                        }
                        None if ended => return Ok(Some(strip_return(input.split().freeze()))),
                        None => return Ok(None),
                    }
                    continue;
                }
                let digits = input.iter().take_while(|b| b.is_ascii_digit()).count();
                match input.get(digits) {
                    None if digits > 20 => return Err(fatal(input, "a frame's length has more than 20 digits")),
                    None if ended => return Err(fatal(input, "the stream ends within a frame's length")),
                    None => return Ok(None),
                    Some(b' ') => {}
                    Some(_) => return Err(fatal(input, "a frame's length is no number")),
                }
                let text = input.get(..digits).and_then(|d| std::str::from_utf8(d).ok());
                let Some(len) = text.and_then(|d| d.parse::<usize>().ok()) else {
                    return Err(fatal(input, "a frame's length is too large"));
                };
                if len > max {
                    *skipped += 1;
                    input.advance(digits + 1);
                    *state = Octets::Skip(len);
                    continue;
                }
                if input.len() < digits + 1 + len {
                    return match ended {
                        true => Err(fatal(input, "the stream ends within a frame")),
                        false => Ok(None),
                    };
                }
                input.advance(digits + 1);
                return Ok(Some(input.split_to(len).freeze()));
            }
        }
    }
}

fn strip_return(mut line: Bytes) -> Bytes {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    line
}
