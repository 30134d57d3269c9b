//! Lines as JSON without values: what all lines of a batch have in common is written once.

use qd_logs_model::{Line, Lines, Origin, Value};
use vrl::path::{OwnedSegment, OwnedValuePath};

use super::json;

/// Whether the text of the origin's lines is what is found at this path, and nothing else is there.
pub(super) fn is_message(origin: &Origin, path: &OwnedValuePath) -> bool {
    origin.message == *path
        && path.segments.len() == 1
        && single_fields(origin).is_some_and(|f| f.iter().filter(|(k, _)| Some(*k) == single(path)).count() == 1)
}

pub(super) fn single(path: &OwnedValuePath) -> Option<&str> {
    match path.segments.as_slice() {
        [OwnedSegment::Field(name)] => Some(name.as_str()),
        _ => None,
    }
}

enum Source<'a> {
    Text,
    Time,
    Offset,
    Value(&'a Value),
}

/// The origin's fields in the order they are added; `None` if one of them is not a field of the root.
fn single_fields(o: &Origin) -> Option<Vec<(&str, Source<'_>)>> {
    let mut fields = vec![(single(&o.message)?, Source::Text)];
    if let Some(p) = &o.timestamp {
        fields.push((single(p)?, Source::Time));
    }
    if let Some(p) = &o.offset {
        fields.push((single(p)?, Source::Offset));
    }
    for (p, v) in &o.fields {
        fields.push((single(p)?, Source::Value(v)));
    }
    Some(fields)
}

enum Piece {
    Constant(Vec<u8>),
    Text,
    Offset,
}

/// A line's JSON, cut where lines differ.
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// Whether the whole block is UTF-8; then so are all lines that a line's end separates.
    utf8: bool,
}

impl Pieces {
    /// The pieces for these lines; `None` if the fields overlap or are nested: then values are needed.
    pub(super) fn new(lines: &Lines) -> Option<Pieces> {
        let mut fields = single_fields(&lines.origin)?;
        fields.sort_by(|a, b| a.0.cmp(b.0));
        if fields.windows(2).any(|w| matches!(w, [a, b] if a.0 == b.0)) {
            return None;
        }
        let mut pieces = Vec::new();
        let mut constant = vec![b'{'];
        for (i, (name, source)) in fields.into_iter().enumerate() {
            if i > 0 {
                constant.push(b',');
            }
            json::write_utf8(name.as_bytes(), &mut constant);
            constant.push(b':');
            let variable = match source {
                Source::Text => Piece::Text,
                Source::Offset => Piece::Offset,
                Source::Time => {
                    json::write_value(&Value::Timestamp(lines.read_at), &mut constant);
                    continue;
                }
                Source::Value(v) => {
                    json::write_value(v, &mut constant);
                    continue;
                }
            };
            pieces.push(Piece::Constant(std::mem::take(&mut constant)));
            pieces.push(variable);
        }
        constant.push(b'}');
        pieces.push(Piece::Constant(constant));
        let whole = |l: &Line| lines.block.get(l.end as usize).is_none_or(|b| b.is_ascii());
        Some(Pieces {
            pieces,
            utf8: std::str::from_utf8(&lines.block).is_ok() && lines.lines.iter().all(whole),
        })
    }

    /// Writes line `i`.
    pub(super) fn write(&self, lines: &Lines, i: usize, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Constant(c) => out.extend_from_slice(c),
                Piece::Text if self.utf8 => json::write_utf8(lines.text(i), out),
                Piece::Text => json::write_string(lines.text(i), out),
                Piece::Offset => {
                    let offset = lines.lines.get(i).map_or(0, |l| l.offset);
                    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                    out.extend_from_slice(itoa::Buffer::new().format(offset).as_bytes());
                }
            }
        }
    }
}
