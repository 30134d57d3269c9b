//! W3C extended log files: the `#Fields:` header says what the columns are.

use std::borrow::Cow;
use std::ops::Range;

use super::fields::{Field, FieldValue, Parsed, typed};
use super::level::{self, UNKNOWN};
use super::text::Quick;
use crate::stamp::{self, Missing, Stamp};

/// The columns of a file, and the day of its header for columns that hold only a time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    names: Vec<String>,
    date: Option<usize>,
    time: Option<usize>,
    status: Option<usize>,
    day: Option<i64>,
}

impl Header {
    /// The header among the first lines of a file.
    pub(crate) fn find<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Header> {
        let (mut names, mut day) = (None, None);
        for line in lines {
            if let Some(list) = line.strip_prefix("#Fields:") {
                names = Some(list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            } else if let Some(date) = line.strip_prefix("#Date:") {
                day = stamp::parse(date.trim().as_bytes()).map(|(s, _)| s.secs.div_euclid(stamp::DAY));
            }
        }
        let names = names.filter(|names| !names.is_empty())?;
        let position = |wanted: &[&str]| {
            names
                .iter()
                .position(|name| wanted.contains(&name.to_ascii_lowercase().as_str()))
        };
        Some(Header {
            date: position(&["date", "date-local"]),
            time: position(&["time", "time-local"]),
            status: position(&["sc-status", "status"]),
            day,
            names,
        })
    }

    pub(crate) fn quick(&self, line: &[u8]) -> Option<Quick> {
        if matches!(line.first(), None | Some(b'#')) {
            return None;
        }
        let (mut date, mut time, mut level) = (None, None, UNKNOWN);
        let mut count = 0;
        let wanted = [self.date, self.time, self.status]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(0);
        for (n, span) in columns(line).enumerate() {
            let text = &line[span];
            if Some(n) == self.date {
                date = stamp::parse(text).map(|(stamp, _)| stamp);
            } else if Some(n) == self.time {
                time = stamp::parse(text).map(|(stamp, _)| stamp);
            } else if Some(n) == self.status && text.len() == 3 {
                level = level::status(text[0]);
            }
            count = n + 1;
            if n >= wanted {
                break;
            }
        }
        if count <= wanted {
            return None;
        }
        let stamp = match (date, time) {
            (Some(date), Some(time)) if date.secs % stamp::DAY == 0 => Some(Stamp {
                secs: date.secs + time.secs,
                nanos: time.nanos,
                zone: Some(time.zone.unwrap_or(0)),
                missing: Missing::Nothing,
            }),
            (Some(date), _) => Some(date),
            (None, Some(time)) => Some(match self.day {
                Some(day) if time.missing == Missing::Date => Stamp {
                    secs: day * stamp::DAY + time.secs,
                    zone: Some(0),
                    missing: Missing::Nothing,
                    ..time
                },
                _ => time,
            }),
            (None, None) => None,
        };
        // The draft has all times in GMT.
        let stamp = stamp.map(|stamp| Stamp {
            zone: Some(stamp.zone.unwrap_or(0)),
            ..stamp
        });
        Some(Quick { stamp, level })
    }

    pub(crate) fn fields<'a>(&self, line: &'a str) -> Option<Parsed<'a>> {
        if line.starts_with('#') {
            return None;
        }
        let mut fields = Vec::with_capacity(self.names.len());
        for (name, span) in self.names.iter().zip(columns(line.as_bytes())) {
            let text = line.get(span.clone())?;
            fields.push(Field {
                name: Cow::Owned(name.clone()),
                value: if text == "-" { FieldValue::Null } else { typed(text) },
                span: Some(span),
            });
        }
        Some(Parsed {
            fields,
            body: 0..line.len(),
            unescaped: None,
        })
    }
}

/// The columns of a line: cut at blanks and tabs, quotes hold together.
fn columns(line: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut i = 0;
    std::iter::from_fn(move || {
        while matches!(line.get(i), Some(b' ' | b'\t')) {
            i += 1;
        }
        let first = *line.get(i)?;
        if first == b'"' {
            let start = i + 1;
            let end = memchr::memchr(b'"', &line[start..]).map_or(line.len(), |n| start + n);
            i = end + 1;
            return Some(start..end);
        }
        let start = i;
        while i < line.len() && !matches!(line[i], b' ' | b'\t') {
            i += 1;
        }
        Some(start..i)
    })
}
