//! A look at a part of the list: the rows with their texts, read from the haystacks as they are now.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use encoding_rs_io::DecodeReaderBytesBuilder;

use crate::{
    haystack::{Haystack, Source},
    query::Compiled,
    results::{Entry, Group, Place, Results},
};

/// The most bytes of a line that are shown.
const SHOWN: usize = 1024;
/// Bytes before the first match that are shown when it is far to the right.
const BEFORE: u64 = 60;
/// The most bytes that are read around a line for its context, in each direction.
const AROUND: u64 = 16 * 1024;
/// The most matches that are marked in one line.
const MARKS: usize = 200;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The first row.
    pub top: Place,
    /// How many rows are wanted; a page may have more, for a line keeps its context.
    pub rows: usize,
    /// Lines of context before and after each.
    pub context: u8,
    /// Haystacks of which only the heading is shown.
    pub folded: Arc<BTreeSet<u32>>,
}

/// A row with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The heading of a haystack.
    Heading {
        /// The haystack.
        group: Group,
        /// What a person is shown for it.
        title: String,
        /// Whether its lines are hidden.
        folded: bool,
    },
    /// A line that matches.
    Line {
        /// Its place in the list.
        place: Place,
        /// Where it is.
        entry: Entry,
        /// Its text, or a part of it; broken bytes are replaced.
        text: String,
        /// Whether the text begins after the beginning of the line.
        cut: bool,
        /// The matches, as bytes of the text. None when the line has changed since.
        marks: Vec<Range<usize>>,
    },
    /// A line of context.
    Context {
        /// The haystack.
        group: u32,
        /// Its number.
        line: u64,
        /// Its text, or the beginning of it.
        text: String,
    },
    /// Lines are left out here.
    Gap,
    /// The haystack cannot be read now.
    Gone {
        /// The line's place in the list.
        place: Place,
        /// Where it was.
        entry: Entry,
        /// Why.
        why: String,
    },
}

impl Row {
    /// Its place in the list; context has none.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Heading { group, .. } => Some(Place {
                group: group.id,
                line: None,
            }),
            Self::Line { place, .. } | Self::Gone { place, .. } => Some(*place),
            Self::Context { .. } | Self::Gap => None,
        }
    }
}

/// A part of the list as it was looked at.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was asked for.
    pub look: Look,
    /// The rows, from `look.top` on.
    pub rows: Vec<Row>,
}

/// How the bytes of a haystack become the text that offsets count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Plain,
    /// It begins with the mark of UTF-8, which is no part of the text.
    Utf8Mark,
    /// UTF-16: offsets are those of the decoded text.
    Utf16,
}

/// A haystack, opened wherever it is wanted.
struct Opened<'a> {
    hay: &'a dyn Haystack,
    code: Code,
}

impl<'a> Opened<'a> {
    fn new(hay: &'a dyn Haystack) -> io::Result<Self> {
        let mut head = Vec::new();
        hay.open(0)?.take(3).read_to_end(&mut head)?;
        let code = match head.as_slice() {
            [0xef, 0xbb, 0xbf] => Code::Utf8Mark,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Code::Utf16,
            _ => Code::Plain,
        };
        Ok(Self { hay, code })
    }

    /// So many bytes of the text, from one on.
    fn read(&self, at: u64, n: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match self.code {
            Code::Plain => self.hay.open(at)?.take(n).read_to_end(&mut out)?,
            Code::Utf8Mark => self.hay.open(at + 3)?.take(n).read_to_end(&mut out)?,
            Code::Utf16 => {
                let raw = self.hay.open(0)?;
                let mut text = DecodeReaderBytesBuilder::new()
                    .bom_override(true)
                    .strip_bom(true)
                    .build(raw);
                io::copy(&mut (&mut text).take(at), &mut io::sink())?;
                text.take(n).read_to_end(&mut out)?
            }
        };
        Ok(out)
    }
}

/// The whole text of a haystack, decoded, up to a bound. Answers whether there is more.
///
/// # Errors
/// When it cannot be read.
pub fn whole(hay: &dyn Haystack, bound: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Opened::new(hay)?.read(0, bound + 1)?;
    let more = bytes.len() as u64 > bound;
    bytes.truncate(usize::try_from(bound).unwrap_or(usize::MAX));
    Ok((bytes, more))
}

/// The text of a line that was found, or the beginning of it; empty when it cannot be read any more.
#[must_use]
pub fn text_of(hay: &dyn Haystack, entry: Entry) -> String {
    let bytes = Opened::new(hay).and_then(|o| o.read(entry.offset, SHOWN as u64));
    let bytes = bytes.unwrap_or_default();
    let end = memchr::memchr(b'\n', &bytes).unwrap_or(bytes.len());
    to_text(trimmed(bytes.get(..end).unwrap_or_default()), &[]).0
}

/// The bytes of a line without its end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Bytes as text, with ranges of the bytes as ranges of the text.
fn to_text(bytes: &[u8], marks: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    let mut out = Vec::with_capacity(marks.len());
    let mut upto = |text: &mut String, to: usize| {
        let to = to.clamp(at, bytes.len());
        text.push_str(&String::from_utf8_lossy(bytes.get(at..to).unwrap_or_default()));
        at = to;
        text.len()
    };
    for m in marks {
        let from = upto(&mut text, m.start);
        let to = upto(&mut text, m.end);
        out.push(from..to);
    }
    upto(&mut text, bytes.len());
    (text, out)
}

/// A matching line with its text.
fn line_row(opened: &Opened<'_>, compiled: &Compiled, place: Place, entry: Entry) -> Row {
    let skip = if entry.column > SHOWN as u64 / 2 {
        entry.column - BEFORE
    } else {
        0
    };
    let bytes = match opened.read(entry.offset + skip, SHOWN as u64) {
        Ok(b) => b,
        Err(e) => {
            return Row::Gone {
                place,
                entry,
                why: e.to_string(),
            };
        }
    };
    let end = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |i| i + 1);
    let line = trimmed(bytes.get(..end).unwrap_or_default());
    let (text, marks) = to_text(line, &compiled.marks(line, MARKS));
    Row::Line {
        place,
        entry,
        text,
        cut: skip > 0,
        marks,
    }
}

/// The lines before and after one, the nearest first.
fn around(opened: &Opened<'_>, entry: Entry, n: u8) -> io::Result<(Vec<String>, Vec<String>)> {
    let text = |l: &[u8]| {
        let l = trimmed(l);
        to_text(l.get(..SHOWN.min(l.len())).unwrap_or_default(), &[]).0
    };
    let from = entry.offset.saturating_sub(AROUND);
    let head = opened.read(from, entry.offset - from)?;
    let mut before: Vec<&[u8]> = head.split_inclusive(|b| *b == b'\n').collect();
    if from > 0 && !before.is_empty() {
        // The first one is cut.
        before.remove(0);
    }
    let before = before.iter().rev().take(n.into()).map(|l| text(l)).collect();
    let tail = opened.read(entry.offset, AROUND)?;
    let after = tail
        .split_inclusive(|b| *b == b'\n')
        .skip(1)
        .take(n.into())
        .map(text)
        .collect();
    Ok((before, after))
}

/// Reads the rows that are asked for. What it reads are files: it is nothing for a thread that must not wait.
#[must_use]
pub fn page(results: &Results, sources: &[Arc<dyn Source>], compiled: &Compiled, look: Look) -> Page {
    let mut rows = Vec::new();
    let mut group = results.group(look.top.group);
    let mut from = look.top.line;
    while let Some(g) = group {
        if rows.len() >= look.rows {
            break;
        }
        let source = sources.get(usize::from(g.source));
        let folded = look.folded.contains(&g.id);
        if from.is_none() {
            rows.push(Row::Heading {
                title: source.map_or_else(String::new, |s| s.title(&g.name)),
                group: g.clone(),
                folded,
            });
        }
        if !folded {
            let hay = source.and_then(|s| s.again(&g.name));
            lines_of(
                results,
                hay.as_deref(),
                compiled,
                &look,
                &g,
                from.unwrap_or(0),
                &mut rows,
            );
        }
        from = None;
        group = results.neighbour(g.id, true);
    }
    Page { look, rows }
}

fn lines_of(
    results: &Results,
    hay: Option<&dyn Haystack>,
    compiled: &Compiled,
    look: &Look,
    g: &Group,
    from: u32,
    rows: &mut Vec<Row>,
) {
    let room = look.rows.saturating_sub(rows.len());
    let entries = results.entries(g.id, from, room);
    let opened = match hay.map(Opened::new) {
        Some(Ok(o)) => Ok(o),
        Some(Err(e)) => Err(e.to_string()),
        None => Err("it is gone".to_owned()),
    };
    // Lines up to here are on the page.
    let mut shown = 0u64;
    for (i, entry) in entries.iter().enumerate() {
        let index = from.saturating_add(u32::try_from(i).unwrap_or(u32::MAX));
        let place = Place {
            group: g.id,
            line: Some(index),
        };
        let opened = match &opened {
            Ok(o) => o,
            Err(why) => {
                rows.push(Row::Gone {
                    place,
                    entry: *entry,
                    why: why.clone(),
                });
                continue;
            }
        };
        if look.context == 0 {
            rows.push(line_row(opened, compiled, place, *entry));
            continue;
        }
        let (before, after) = around(opened, *entry, look.context).unwrap_or_default();
        let first = entry.line.saturating_sub(before.len() as u64).max(shown + 1);
        if shown > 0 && first > shown + 1 {
            rows.push(Row::Gap);
        }
        for (n, text) in before.into_iter().enumerate().rev() {
            let line = entry.line.saturating_sub(n as u64 + 1);
            if line >= first {
                rows.push(Row::Context {
                    group: g.id,
                    line,
                    text,
                });
            }
        }
        rows.push(line_row(opened, compiled, place, *entry));
        shown = entry.line;
        let next = entries.get(i + 1).map_or(u64::MAX, |e| e.line);
        for (n, text) in after.into_iter().enumerate() {
            let line = entry.line + n as u64 + 1;
            if line < next {
                rows.push(Row::Context {
                    group: g.id,
                    line,
                    text,
                });
                shown = line;
            }
        }
        if rows.len() >= look.rows {
            return;
        }
    }
}
