//! The parsed parts of a line: typed fields with where they stand.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use qd_core::{Value, ValueRef};

/// The value of a field, borrowed from its line where that is possible.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue<'a> {
    /// Present but empty.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number past `i64::MAX`.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// A length of time, as `479ms` in logfmt.
    Duration(Duration),
    /// A value that came with a record and is none of the above.
    Other(Value),
}

impl FieldValue<'_> {
    /// As the shared filter language sees it.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            FieldValue::Null => ValueRef::Null,
            FieldValue::Bool(value) => ValueRef::Bool(*value),
            FieldValue::Int(value) => ValueRef::Int(*value),
            FieldValue::Uint(value) => ValueRef::Uint(*value),
            FieldValue::Float(value) => ValueRef::Float(*value),
            FieldValue::Str(value) => ValueRef::Str(value),
            FieldValue::Duration(value) => ValueRef::Duration(*value),
            FieldValue::Other(value) => value.as_ref(),
        }
    }
}

/// One field of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// The dotted name.
    pub name: Cow<'a, str>,
    /// The value.
    pub value: FieldValue<'a>,
    /// Where it stands in the line's text (bytes), if it stands there.
    pub span: Option<Range<usize>>,
}

/// What the full parse of a line gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed<'a> {
    /// The fields in the order of the line.
    pub fields: Vec<Field<'a>>,
    /// The message itself, in bytes of the line's text.
    pub body: Range<usize>,
    /// The message with escapes resolved, when it differs from what stands there.
    pub unescaped: Option<String>,
}

impl Parsed<'_> {
    /// The field with this name; the last one wins.
    pub fn get(&self, name: &str) -> Option<&FieldValue<'_>> {
        self.fields
            .iter()
            .rev()
            .find(|field| field.name == name)
            .map(|field| &field.value)
    }
}

/// Text with a guess at its type: whole numbers (not `007`) and fractions; the rest stays text.
pub(crate) fn typed(text: &str) -> FieldValue<'_> {
    let b = text.as_bytes();
    let digits = b.strip_prefix(b"-").unwrap_or(b);
    let plain = match digits {
        [] => false,
        [b'0'] => true,
        [b'0', b'.', ..] => true,
        [first, ..] => (b'1'..=b'9').contains(first),
    };
    if plain && digits.len() <= 20 && digits.iter().all(|c| c.is_ascii_digit() || *c == b'.') {
        if let Ok(value) = text.parse::<i64>() {
            return FieldValue::Int(value);
        }
        if let Ok(value) = text.parse::<f64>() {
            return FieldValue::Float(value);
        }
    }
    FieldValue::Str(Cow::Borrowed(text))
}

/// As [`typed`], and lengths of time with a unit too.
pub(crate) fn typed_with_units(text: &str) -> FieldValue<'_> {
    match typed(text) {
        FieldValue::Str(_)
            if text.len() < 24 && text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(['s', 'm', 'h']) =>
        {
            match qd_core::parse_duration(text) {
                Ok(value) => FieldValue::Duration(value),
                Err(_) => FieldValue::Str(Cow::Borrowed(text)),
            }
        }
        other => other,
    }
}
