//! Whole programs of known shapes.

use bytes::Bytes;
use chrono::SecondsFormat;
use qd_logs_model::{Declined, Docs, DocsBuilder, FieldKind, Lines, Row, Rows, Value as Any};
use vrl::path::{OwnedSegment, OwnedValuePath};

use super::{
    expr::{Fail, Value},
    formats::{self, Format, Times},
    parse,
    row::{self, Fields, Found, LineRow},
    test::Test,
};

/// A statement.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// `. = parse_json!(.f)`; also with `object!` around, since only objects are taken here.
    Root(String, Format),
    /// `. |= object!(parse_json!(.f))`.
    Merge(String, Format),
    Set(String, Value),
    Del(String),
    If(Test, Vec<Step>, Vec<Step>),
}

/// A program that can be executed on the text of events.
#[derive(Debug, Clone)]
pub struct Plan {
    steps: Vec<Step>,
}

/// What became of a part of a batch, in order.
#[derive(Debug)]
pub enum Part {
    /// These events are done.
    Done(Docs),
    /// The event of this number is for VRL.
    Left(usize),
}

/// What execution needs beside the row.
#[derive(Default)]
struct Work {
    scratch: Vec<u8>,
    times: Times,
}

/// The field that holds a line's text, as long as it does, with the text's place in the block.
type Message<'a> = Option<(&'a str, &'a Bytes, (u32, u32))>;

impl From<Declined> for Fail {
    fn from(_: Declined) -> Fail {
        Fail::Unsure
    }
}

fn single(path: &OwnedValuePath) -> Option<&str> {
    match path.segments.as_slice() {
        [OwnedSegment::Field(f)] => Some(f),
        _ => None,
    }
}

impl Plan {
    /// The plan of a program; `None` if it has statements of no known shape. The source must be one that VRL compiles.
    pub fn recognise(source: &str) -> Option<Plan> {
        let steps = parse::program(source)?;
        (!steps.is_empty()).then_some(Plan { steps })
    }

    /// Executes it on lines or documents; `None` for rows of values, which are VRL's business.
    pub fn run(&self, rows: &Rows, mut part: impl FnMut(Part)) -> Option<()> {
        match rows {
            Rows::Lines(l) => self.lines(l, &mut part),
            Rows::Docs(d) => {
                let (mut b, mut work) = (d.edit(), Work::default());
                for i in 0..d.len() {
                    b.load(d, i);
                    if run(&self.steps, &mut b, None, &mut work).is_ok() {
                        b.commit();
                    } else {
                        last(&mut b, &mut part);
                        part(Part::Left(i));
                    }
                }
                last(&mut b, &mut part);
            }
            Rows::Events(_) => return None,
        }
        Some(())
    }

    fn lines(&self, lines: &Lines, part: &mut impl FnMut(Part)) {
        let mut b = DocsBuilder::new(lines.block.clone());
        // A program that begins by replacing the event needs nothing but the line's text.
        let replaces = match self.steps.first() {
            Some(Step::Root(f, _)) if matches!(LineRow(lines, 0).field(f), Found::Text(_)) => Some(f.as_str()),
            _ => None,
        };
        let prototype = if replaces.is_some() {
            None
        } else {
            let made = prototype(lines, &mut b);
            if made.is_none() {
                (0..lines.lines.len()).for_each(|i| part(Part::Left(i)));
                return;
            }
            made
        };
        let mut work = Work::default();
        for (i, line) in lines.lines.iter().enumerate() {
            let begun = match &prototype {
                None => Ok(replaces.unwrap_or_default()),
                Some((row, message)) => {
                    b.restore(row);
                    begin(&mut b, lines, i, message, &mut work.scratch).map(|()| message.as_str())
                }
            };
            let done = begun.and_then(|m| {
                run(
                    &self.steps,
                    &mut b,
                    Some((m, &lines.block, (line.start, line.end))),
                    &mut work,
                )
            });
            if done.is_ok() {
                b.commit();
            } else {
                last(&mut b, part);
                part(Part::Left(i));
            }
        }
        last(&mut b, part);
    }
}

fn last(b: &mut DocsBuilder, part: &mut impl FnMut(Part)) {
    if !b.is_empty() {
        part(Part::Done(b.take()));
    }
}

/// The row of a line without its message and offset, and the name of the message's field. `None` if the lines' events
/// are not flat.
fn prototype(lines: &Lines, b: &mut DocsBuilder) -> Option<(Row, String)> {
    let o = &*lines.origin;
    let message = single(&o.message)?.to_owned();
    if let Some(path) = &o.timestamp {
        let time = lines.read_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        b.set(single(path)?, format!("\"{time}\"").as_bytes(), FieldKind::Time)
            .ok()?;
    }
    let offset = match &o.offset {
        Some(path) => Some(single(path)?),
        None => None,
    };
    for (path, value) in &o.fields {
        let key = single(path)?;
        if key == message || Some(key) == offset {
            return None;
        }
        let plain = match value {
            Any::Bytes(b) => std::str::from_utf8(b).is_ok(),
            Any::String(_) | Any::Integer(_) | Any::Boolean(_) | Any::Null => true,
            _ => false,
        };
        if !plain {
            return None;
        }
        b.set(key, &serde_json::to_vec(value).ok()?, FieldKind::Json).ok()?;
    }
    Some((b.save(), message))
}

/// Adds to a row what is each line's own.
fn begin(b: &mut DocsBuilder, lines: &Lines, i: usize, message: &str, scratch: &mut Vec<u8>) -> Result<(), Fail> {
    scratch.clear();
    let text = std::str::from_utf8(lines.text(i)).map_err(|_| Fail::Unsure)?;
    serde_json::to_writer(&mut *scratch, text).map_err(|_| Fail::Unsure)?;
    b.set(message, scratch, FieldKind::Json)?;
    if let Some(path) = &lines.origin.offset {
        let key = single(path).ok_or(Fail::Unsure)?;
        let offset = lines.lines.get(i).map(|l| l.offset).unwrap_or_default();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        b.set(key, itoa::Buffer::new().format(offset).as_bytes(), FieldKind::Json)?;
    }
    Ok(())
}

/// Adds the fields of a text to the row, which is empty if it is to be replaced.
fn read(format: Format, text: &[u8], row: &mut DocsBuilder, work: &mut Work) -> Result<(), Fail> {
    match format {
        Format::Json => Err(Fail::Unsure),
        Format::Logfmt => formats::logfmt(text, row, &mut work.scratch),
        Format::Nginx => formats::nginx(text, row, &mut work.times, &mut work.scratch),
    }
}

/// The text of a string field, copied.
fn text_of(row: &DocsBuilder, key: &str) -> Result<Vec<u8>, Fail> {
    match row.get(key) {
        Some((json, FieldKind::Json)) => row::unquote(json).map(|t| t.into_owned()).ok_or(Fail::Unsure),
        _ => Err(Fail::Unsure),
    }
}

/// Executes statements on a row.
fn run(steps: &[Step], row: &mut DocsBuilder, mut message: Message<'_>, work: &mut Work) -> Result<(), Fail> {
    for step in steps {
        match step {
            Step::Root(f, Format::Json) => match message.take() {
                Some((m, _, (start, end))) if m == f => row.parse(start, end)?,
                _ => row.parse_field(f)?,
            },
            Step::Merge(f, Format::Json) => match message.take() {
                Some((m, _, (start, end))) if m == f => row.merge(start, end)?,
                _ => row.merge_field(f)?,
            },
            Step::Root(f, format) | Step::Merge(f, format) => {
                let replace = matches!(step, Step::Root(..));
                match message.take() {
                    Some((m, block, (start, end))) if m == f => {
                        let text = block.get(start as usize..end as usize).ok_or(Fail::Unsure)?;
                        if replace {
                            row.clear();
                        }
                        read(*format, text, row, work)?;
                    }
                    _ => {
                        let text = text_of(row, f)?;
                        if replace {
                            row.clear();
                        }
                        read(*format, &text, row, work)?;
                    }
                }
            }
            Step::Set(key, value) => {
                let mut scratch = std::mem::take(&mut work.scratch);
                scratch.clear();
                let kind = value.eval(row, &mut scratch)?;
                row.set(key, &scratch, kind)?;
                work.scratch = scratch;
                // Whatever was written to the message's field, or taken out of it, replaced the line.
                message = message.filter(|(m, ..)| m != key && row.get(m).is_some());
            }
            Step::Del(key) => {
                row.remove(key);
                message = message.filter(|(m, ..)| m != key);
            }
            Step::If(test, then, otherwise) => {
                let steps = if test.ask(row).ok_or(Fail::Unsure)? {
                    then
                } else {
                    otherwise
                };
                run(steps, row, message.take(), work)?;
            }
        }
    }
    Ok(())
}
