//! Canonical JSON text to values. Nothing is checked that canonical text can't be.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use vrl::value::{KeyString, ObjectMap};

use super::FieldKind;
use crate::Value;

/// A key from its text without quotes.
pub(super) fn key(text: &[u8]) -> KeyString {
    String::from_utf8_lossy(text).into_owned().into()
}

/// The text of a JSON string with its quotes, unescaped; nothing for what is no string.
pub(super) fn string(text: &[u8]) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return String::from_utf8_lossy(inner);
    }
    Cow::Owned(serde_json::from_slice(text).unwrap_or_default())
}

/// The value of a canonical text.
pub(super) fn of(text: &[u8], kind: FieldKind) -> Value {
    match kind {
        FieldKind::Json => Reader { text, at: 0 }.value(),
        FieldKind::Time => {
            let s = string(text);
            match DateTime::parse_from_rfc3339(&s) {
                Ok(t) => Value::Timestamp(t.with_timezone(&Utc)),
                Err(_) => Value::from(&*s),
            }
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    /// The string at hand, with its quotes.
    fn quoted(&mut self) -> &'a [u8] {
        let start = self.at;
        let mut i = start + 1;
        while let Some(n) = self.text.get(i..).and_then(|t| memchr::memchr2(b'"', b'\\', t)) {
            i += n;
            if self.text.get(i) == Some(&b'"') {
                break;
            }
            i += 2;
        }
        self.at = (i + 1).min(self.text.len());
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self) -> Value {
        match self.peek() {
            b'"' => Value::from(&*string(self.quoted())),
            b'{' => {
                let mut object = ObjectMap::new();
                self.at += 1;
                while self.peek() == b'"' {
                    let key = string(self.quoted()).into_owned();
                    self.at += 1;
                    let value = self.value();
                    object.insert(key.into(), value);
                    self.at += usize::from(self.peek() == b',');
                }
                self.at += 1;
                Value::Object(object)
            }
            b'[' => {
                let mut list = Vec::new();
                self.at += 1;
                while !matches!(self.peek(), b']' | 0) {
                    list.push(self.value());
                    self.at += usize::from(self.peek() == b',');
                }
                self.at += 1;
                Value::Array(list)
            }
            b't' => {
                self.at += 4;
                Value::Boolean(true)
            }
            b'f' => {
                self.at += 5;
                Value::Boolean(false)
            }
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                while matches!(self.peek(), b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    self.at += 1;
                }
                let text = std::str::from_utf8(self.text.get(start..self.at).unwrap_or_default()).unwrap_or_default();
                match text.parse::<i64>() {
                    Ok(i) => Value::Integer(i),
                    Err(_) => Value::from_f64_or_zero(text.parse().unwrap_or_default()),
                }
            }
            _ => {
                // `null`, or the end of what is no JSON: always forward.
                self.at += 4;
                Value::Null
            }
        }
    }
}
