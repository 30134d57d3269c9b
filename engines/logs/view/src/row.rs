//! What a pane gets: positions, rows, screens, and an entry as filters see it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use qd_core::{Fields, Record, Severity, Timestamp, ValueRef};

use crate::format::level::{Level, UNKNOWN, severity};
use crate::format::{Field, FieldValue, Format, Parsed};

/// Where a line is: it stays valid while indexing goes on, filters change and files grow. It ends with the generation of
/// its source (a truncated file); asking for a position that is gone gives the nearest one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pos {
    /// Which source of the view.
    pub source: u32,
    /// How often that source had begun anew.
    pub generation: u32,
    /// Which 64 KiB of the file (of a live source: which 256 records) the line begins in.
    pub block: u64,
    /// Which of the lines that begin there.
    pub line: u32,
}

/// The number of a line in its own source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineNumber {
    /// From the beginning, from 1.
    At(u64),
    /// From the end, the last line being 1: what is before it is not indexed yet.
    FromEnd(u64),
    /// Neither side is indexed yet.
    Unknown,
}

/// One line for the screen. Cloning copies no text.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it is.
    pub pos: Pos,
    /// Its number in its source.
    pub number: LineNumber,
    /// Where it begins in its file, in bytes.
    pub offset: u64,
    /// Its time, or that of the entry it continues, with the clock of its source adjusted.
    pub time: Option<Timestamp>,
    /// Its level, or that of the entry it continues.
    pub level: Option<Severity>,
    /// Whether it continues the entry before it (a stack trace).
    pub continues: bool,
    /// Whether it is longer than [`crate::MAX_LINE`] and shown without its end.
    pub cut: bool,
    pub(crate) bytes: Bytes,
    pub(crate) format: Option<Format>,
    pub(crate) record: Option<Record>,
}

impl Row {
    /// The raw bytes, without the end of line. They may hold escape sequences: show them through [`crate::sanitize()`].
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The line as text, with replacement characters for what is no UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The name of the format that read it; none for a line that continues an entry.
    pub fn format(&self) -> Option<&str> {
        self.format.as_ref().map(Format::name)
    }

    /// Its fields with types, from its text or from the record that it is.
    pub fn parse<'a>(&'a self, text: &'a str) -> Parsed<'a> {
        parse(text, self.format.as_ref(), self.record.as_ref())
    }
}

pub(crate) fn parse<'a>(text: &'a str, format: Option<&Format>, record: Option<&'a Record>) -> Parsed<'a> {
    if let Some(record) = record {
        let field = |(name, value): &'a (qd_core::Key, qd_core::Value)| Field {
            name: Cow::Borrowed(name.as_ref()),
            value: FieldValue::Other(value.clone()),
            span: None,
        };
        return Parsed {
            fields: record.fields().iter().map(field).collect(),
            body: 0..text.len(),
            unescaped: None,
        };
    }
    match format {
        Some(format) => format.parse(text),
        None => Parsed {
            body: 0..text.len(),
            ..Parsed::default()
        },
    }
}

/// Rows around a position.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// The rows in the order of the view.
    pub rows: Vec<Row>,
    /// Which of them is at, or the first after, the position asked for.
    pub at: usize,
    /// There is nothing before the first row.
    pub at_start: bool,
    /// There is nothing after the last row.
    pub at_end: bool,
    /// Filters are still being evaluated around here and the screen may be short; a wake-up follows.
    pub pending: bool,
}

/// An entry (a line and those that continue it) as filters see it: `time`, `level`, `source`, `format`, `body`, `line` (the
/// whole text) and the fields of its format. A field of the log's own wins over `source` and `format`, not over the others.
#[derive(Debug)]
pub struct Entry<'a> {
    pub(crate) source: &'a str,
    pub(crate) time: Option<Timestamp>,
    pub(crate) level: Level,
    pub(crate) format: Option<&'a Format>,
    pub(crate) record: Option<&'a Record>,
    /// The first line.
    pub(crate) head: Cow<'a, str>,
    /// All lines, when there are more than one.
    pub(crate) whole: Option<Cow<'a, str>>,
    pub(crate) parsed: OnceCell<Parsed<'a>>,
}

impl<'a> Entry<'a> {
    /// The name of its source.
    pub fn source(&self) -> &str {
        self.source
    }

    /// When it happened.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// How grave it is, if it says so.
    pub fn level(&self) -> Option<Severity> {
        severity(self.level)
    }

    /// All its lines.
    pub fn text(&self) -> &str {
        self.whole.as_deref().unwrap_or(&self.head)
    }

    /// Its first line.
    pub fn line(&self) -> &str {
        &self.head
    }

    /// Its fields; parsed when first asked for.
    pub fn parsed(&self) -> &Parsed<'_> {
        self.parsed
            .get_or_init(|| own(parse(&self.head, self.format, self.record)))
    }

    /// The message of it.
    pub fn body(&self) -> &str {
        let parsed = self.parsed();
        match &parsed.unescaped {
            Some(text) => text,
            None => self.head.get(parsed.body.clone()).unwrap_or(""),
        }
    }
}

/// The same with owned texts, so that they can live next to what they were cut from.
fn own<'b>(parsed: Parsed<'_>) -> Parsed<'b> {
    let field = |field: Field<'_>| Field {
        name: Cow::Owned(field.name.into_owned()),
        value: match field.value {
            FieldValue::Null => FieldValue::Null,
            FieldValue::Bool(value) => FieldValue::Bool(value),
            FieldValue::Int(value) => FieldValue::Int(value),
            FieldValue::Uint(value) => FieldValue::Uint(value),
            FieldValue::Float(value) => FieldValue::Float(value),
            FieldValue::Str(value) => FieldValue::Str(Cow::Owned(value.into_owned())),
            FieldValue::Duration(value) => FieldValue::Duration(value),
            FieldValue::Other(value) => FieldValue::Other(value),
        },
        span: field.span,
    };
    Parsed {
        fields: parsed.fields.into_iter().map(field).collect(),
        body: parsed.body,
        unescaped: parsed.unescaped,
    }
}

impl Fields for Entry<'_> {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "time" => return self.time.map(ValueRef::Time),
            "level" | "severity" if self.level != UNKNOWN => return severity(self.level).map(ValueRef::Severity),
            "line" => return Some(ValueRef::Str(self.text())),
            _ => {}
        }
        if let Some(value) = self.parsed().get(name) {
            return Some(value.as_ref());
        }
        match name {
            "body" | "message" => Some(ValueRef::Str(self.body())),
            "source" => Some(ValueRef::Str(self.source)),
            "format" => Some(ValueRef::Str(self.format.map_or("plain", Format::name))),
            _ => None,
        }
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        found(self.text()) || self.record.is_some_and(|record| record.search(found))
    }

    fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

/// Something that an entry either fits or not: what filters, searches and jumps are made of. A condition in another
/// language (VRL) is plugged in by implementing it. It is called on worker threads.
pub trait Predicate: Send + Sync {
    /// Whether the entry fits.
    fn matches(&self, entry: &Entry<'_>) -> bool;

    /// Whether surely nothing in this text (many raw lines at once) can match, so that they need not be looked at one by one.
    fn rules_out(&self, text: &[u8]) -> bool {
        let _ = text;
        false
    }

    /// Whether a screenful of blocks is too much to be judged while somebody waits: then only the worker threads ask it.
    fn slow(&self) -> bool {
        false
    }

    /// Whether each line is judged by itself instead of whole entries.
    fn by_line(&self) -> bool {
        false
    }
}

impl<F: Fn(&Entry<'_>) -> bool + Send + Sync> Predicate for F {
    fn matches(&self, entry: &Entry<'_>) -> bool {
        self(entry)
    }
}

/// A shared predicate.
pub type SharedPredicate = Arc<dyn Predicate>;

/// A stretch of a line's text, in bytes.
pub type Span = Range<usize>;
