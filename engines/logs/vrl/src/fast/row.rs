//! A field of an event, in whatever form the event is.

use std::borrow::Cow;

use qd_logs_model::{Docs, DocsBuilder, FieldKind, Lines, LogBatch, Rows, Value};
use vrl::path::{OwnedSegment, OwnedValuePath};

/// What a look for a field found.
pub(super) enum Found<'a> {
    /// There is none.
    Nothing,
    /// Canonical JSON.
    Json(&'a [u8]),
    /// Bytes that are a string's value.
    Text(&'a [u8]),
    /// A value.
    Value(&'a Value),
    /// Something that can't be judged here.
    Unsure,
}

/// Where fields can be looked for.
pub(super) trait Fields {
    /// The field of this name.
    fn field(&self, key: &str) -> Found<'_>;
}

fn found(of: Option<(&[u8], FieldKind)>) -> Found<'_> {
    match of {
        None => Found::Nothing,
        Some((text, FieldKind::Json)) => Found::Json(text),
        Some((_, FieldKind::Time)) => Found::Unsure,
    }
}

impl Fields for DocsBuilder {
    fn field(&self, key: &str) -> Found<'_> {
        found(self.get(key))
    }
}

pub(super) struct DocRow<'a>(pub(super) &'a Docs, pub(super) usize);

impl Fields for DocRow<'_> {
    fn field(&self, key: &str) -> Found<'_> {
        found(self.0.get(self.1, key))
    }
}

/// How the path stands to a field: the field itself, something in it, or something else.
enum Reach {
    Same,
    Within,
    Apart,
}

fn reach(path: &OwnedValuePath, key: &str) -> Reach {
    match path.segments.as_slice() {
        [OwnedSegment::Field(f)] if f.as_str() == key => Reach::Same,
        [OwnedSegment::Field(f), ..] if f.as_str() != key => Reach::Apart,
        _ => Reach::Within,
    }
}

pub(super) struct LineRow<'a>(pub(super) &'a Lines, pub(super) usize);

impl Fields for LineRow<'_> {
    fn field(&self, key: &str) -> Found<'_> {
        let origin = &*self.0.origin;
        // What was added last counts.
        for (path, value) in origin.fields.iter().rev() {
            match reach(path, key) {
                Reach::Same => return Found::Value(value),
                Reach::Within => return Found::Unsure,
                Reach::Apart => {}
            }
        }
        for path in [&origin.offset, &origin.timestamp].into_iter().flatten() {
            if !matches!(reach(path, key), Reach::Apart) {
                return Found::Unsure;
            }
        }
        match reach(&origin.message, key) {
            Reach::Same => Found::Text(self.0.text(self.1)),
            Reach::Within => Found::Unsure,
            Reach::Apart => Found::Nothing,
        }
    }
}

pub(super) struct ValueRow<'a>(pub(super) &'a Value);

impl Fields for ValueRow<'_> {
    fn field(&self, key: &str) -> Found<'_> {
        match self.0 {
            Value::Object(o) => o.get(key).map_or(Found::Nothing, Found::Value),
            _ => Found::Unsure,
        }
    }
}

/// Looks at row `i` of a batch; `None` beyond the end.
pub(super) fn with<T>(batch: &LogBatch, i: usize, look: impl FnOnce(&dyn Fields) -> T) -> Option<T> {
    match &batch.rows {
        Rows::Lines(l) if i < l.lines.len() => Some(look(&LineRow(l, i))),
        Rows::Docs(d) if i < d.len() => Some(look(&DocRow(d, i))),
        Rows::Events(e) => e.get(i).map(|e| look(&ValueRow(&e.value))),
        Rows::Lines(_) | Rows::Docs(_) => None,
    }
}

/// The value of a JSON string; `None` if the text is none.
pub(super) fn unquote(json: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let s: String = serde_json::from_slice(json).ok()?;
    Some(Cow::Owned(s.into_bytes()))
}
