//! Records: the one shape of everything that happens.
//!
//! A log line, a request, a state change or a search hit is a [`Record`]. This module owns its layout (one reference
//! count a record, fields flat with dotted names), the typed values, and severities with their many spellings. A record
//! never changes once it is made, and cloning one never copies its contents.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::filter::Fields;
use crate::time::{Mono, Timestamp};
use crate::units::{Bytes, HumanDuration};

/// How grave a record is; the six bands of OpenTelemetry, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Step by step detail.
    Trace,
    /// Of use to who wrote the program.
    Debug,
    /// Normal operation.
    #[default]
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
    /// The program cannot go on.
    Fatal,
}

impl Severity {
    /// Every severity, from the least to the most grave.
    pub const ALL: [Severity; 6] = [
        Severity::Trace,
        Severity::Debug,
        Severity::Info,
        Severity::Warn,
        Severity::Error,
        Severity::Fatal,
    ];

    /// The lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Trace => "trace",
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
            Severity::Fatal => "fatal",
        }
    }

    /// The number OpenTelemetry gives the band's first step: 1, 5, 9, 13, 17 or 21.
    pub fn number(self) -> u8 {
        1 + 4 * self as u8
    }

    /// The band of an OpenTelemetry severity number; `None` outside 1 to 24.
    pub fn from_number(number: u8) -> Option<Severity> {
        Self::ALL.get(usize::from(number.checked_sub(1)? / 4)).copied()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no severity; use trace, debug, info, warn, error or fatal")]
pub struct UnknownSeverity(pub String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    /// Reads the name or one of the spellings of syslog, log4j and glog, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        match text.to_ascii_lowercase().as_str() {
            "trace" | "trc" | "verbose" | "finest" => Ok(Severity::Trace),
            "debug" | "dbg" | "fine" => Ok(Severity::Debug),
            "info" | "inf" | "information" | "notice" => Ok(Severity::Info),
            "warn" | "wrn" | "warning" => Ok(Severity::Warn),
            "error" | "err" | "severe" => Ok(Severity::Error),
            "fatal" | "ftl" | "critical" | "crit" | "alert" | "emerg" | "emergency" | "panic" => Ok(Severity::Fatal),
            _ => Err(UnknownSeverity(text.to_owned())),
        }
    }
}

/// Who made a record: the stable name of a pane or an engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(Arc<str>);

impl SourceId {
    /// The source with this name.
    pub fn new(name: impl Into<Arc<str>>) -> SourceId {
        SourceId(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One typed value of a field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// Present but empty.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that may pass `i64::MAX`: counters, ids.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// A length of time.
    Duration(Duration),
    /// An amount of data.
    Bytes(Bytes),
    /// A wall-clock moment.
    Time(Timestamp),
    /// Raw bytes; matched and shown as text with replacement characters.
    Blob(Arc<[u8]>),
}

/// A borrowed [`Value`], as rows hand them to a filter without allocating.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// Present but empty.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that may pass `i64::MAX`.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// A length of time.
    Duration(Duration),
    /// An amount of data.
    Bytes(Bytes),
    /// A wall-clock moment.
    Time(Timestamp),
    /// A severity, ordered by gravity.
    Severity(Severity),
    /// Raw bytes.
    Blob(&'a [u8]),
}

impl Value {
    /// Borrows the value.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int(value) => ValueRef::Int(*value),
            Value::Uint(value) => ValueRef::Uint(*value),
            Value::Float(value) => ValueRef::Float(*value),
            Value::Str(value) => ValueRef::Str(value),
            Value::Duration(value) => ValueRef::Duration(*value),
            Value::Bytes(value) => ValueRef::Bytes(*value),
            Value::Time(value) => ValueRef::Time(*value),
            Value::Blob(value) => ValueRef::Blob(value),
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    /// The value as a pane shows it: durations and sizes with units, times as RFC 3339, null as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRef::Null => Ok(()),
            ValueRef::Bool(value) => write!(f, "{value}"),
            ValueRef::Int(value) => write!(f, "{value}"),
            ValueRef::Uint(value) => write!(f, "{value}"),
            ValueRef::Float(value) => write!(f, "{value}"),
            ValueRef::Str(value) => f.write_str(value),
            ValueRef::Duration(value) => write!(f, "{}", HumanDuration(*value)),
            ValueRef::Bytes(value) => write!(f, "{value}"),
            ValueRef::Time(value) => write!(f, "{value}"),
            ValueRef::Severity(value) => write!(f, "{value}"),
            ValueRef::Blob(value) => f.write_str(&String::from_utf8_lossy(value)),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<'a> ValueRef<'a> {
    /// The value as text, borrowed where it is text already.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            ValueRef::Str(text) => Cow::Borrowed(text),
            ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
            ValueRef::Severity(severity) => Cow::Borrowed(severity.name()),
            ValueRef::Bool(true) => Cow::Borrowed("true"),
            ValueRef::Bool(false) => Cow::Borrowed("false"),
            ValueRef::Null => Cow::Borrowed(""),
            other => {
                let mut text = String::new();
                // Writing to a String cannot fail.
                let _ = write!(text, "{other}");
                Cow::Owned(text)
            }
        }
    }

    /// Copies the value; a severity becomes its name.
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::Uint(value) => Value::Uint(value),
            ValueRef::Float(value) => Value::Float(value),
            ValueRef::Str(value) => Value::Str(value.into()),
            ValueRef::Duration(value) => Value::Duration(value),
            ValueRef::Bytes(value) => Value::Bytes(value),
            ValueRef::Time(value) => Value::Time(value),
            ValueRef::Severity(value) => Value::Str(value.name().into()),
            ValueRef::Blob(value) => Value::Blob(value.into()),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$variant(value.into())
            }
        }
    )*};
}

value_from! {
    bool => Bool, i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => Uint, u16 => Uint, u32 => Uint, u64 => Uint,
    f32 => Float, f64 => Float, &str => Str, String => Str, Arc<str> => Str, Duration => Duration, Bytes => Bytes,
    Timestamp => Time, &[u8] => Blob, Vec<u8> => Blob, Arc<[u8]> => Blob,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// The name of a field; nested ones are joined by dots (`http.status`). Free to make and copy for literals.
pub type Key = Cow<'static, str>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    wall: Timestamp,
    mono: Mono,
    source: SourceId,
    severity: Severity,
    fields: Box<[(Key, Value)]>,
    body: Arc<str>,
}

/// One thing that happened. Cloning costs one reference count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(Arc<Inner>);

impl Record {
    /// Starts a record of something that happened at `at`.
    pub fn build(source: &SourceId, at: Instant, severity: Severity) -> RecordBuilder {
        RecordBuilder {
            source: source.clone(),
            at,
            severity,
            fields: Vec::new(),
            body: None,
        }
    }

    /// When it happened by the wall clock.
    pub fn wall(&self) -> Timestamp {
        self.0.wall
    }

    /// When it happened by the monotonic clock of this session.
    pub fn mono(&self) -> Mono {
        self.0.mono
    }

    /// Who made it.
    pub fn source(&self) -> &SourceId {
        &self.0.source
    }

    /// How grave it is.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// Its fields in the order they were added.
    pub fn fields(&self) -> &[(Key, Value)] {
        &self.0.fields
    }

    /// The field with this dotted name; the last one wins if a name was added twice.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .fields
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The text of the record: a log line, a summary of a request.
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// The text of the record, shared.
    pub fn body_shared(&self) -> Arc<str> {
        Arc::clone(&self.0.body)
    }
}

impl Fields for Record {
    /// Besides its own fields a record has `time`, `source`, `level` (also `severity`) and `body` (also `message`); a
    /// field that it carries by one of these names wins.
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        if let Some(value) = self.get(name) {
            return Some(value.as_ref());
        }
        match name {
            "time" => Some(ValueRef::Time(self.0.wall)),
            "source" => Some(ValueRef::Str(self.0.source.as_str())),
            "level" | "severity" => Some(ValueRef::Severity(self.0.severity)),
            "body" | "message" => Some(ValueRef::Str(&self.0.body)),
            _ => None,
        }
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        found(&self.0.body)
            || self.0.fields.iter().any(|(_, value)| match value {
                Value::Str(text) => found(text),
                Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Bool(_) | Value::Blob(_) => {
                    found(&value.as_ref().text())
                }
                Value::Null | Value::Duration(_) | Value::Bytes(_) | Value::Time(_) => false,
            })
    }

    fn time(&self) -> Option<Timestamp> {
        Some(self.0.wall)
    }
}

/// A record being made.
#[derive(Debug)]
pub struct RecordBuilder {
    source: SourceId,
    at: Instant,
    severity: Severity,
    fields: Vec<(Key, Value)>,
    body: Option<Arc<str>>,
}

impl RecordBuilder {
    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn body(mut self, body: impl Into<Arc<str>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The finished record.
    #[must_use]
    pub fn finish(self) -> Record {
        Record(Arc::new(Inner {
            wall: self.at.wall,
            mono: self.at.mono,
            source: self.source,
            severity: self.severity,
            fields: self.fields.into_boxed_slice(),
            body: self.body.unwrap_or_else(|| Arc::from("")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record::build(
            &SourceId::new("web"),
            Instant {
                wall: Timestamp(7),
                mono: Mono(3),
            },
            Severity::Warn,
        )
        .field("http.status", 502u16)
        .field("path", "/api/users")
        .field("took", Duration::from_millis(3))
        .field("user", None::<&str>)
        .body("upstream refused")
        .finish()
    }

    #[test]
    fn a_clone_shares_everything() {
        let record = sample();
        assert!(std::ptr::eq(record.body(), record.clone().body()));
        assert_eq!(std::mem::size_of::<Record>(), std::mem::size_of::<usize>());
        assert!(std::mem::size_of::<Value>() <= 24);
    }

    #[test]
    fn fields_are_found_by_dotted_name_and_by_role() {
        let record = sample();
        assert_eq!(record.field("http.status"), Some(ValueRef::Uint(502)));
        assert_eq!(record.field("http"), None);
        assert_eq!(record.field("level"), Some(ValueRef::Severity(Severity::Warn)));
        assert_eq!(record.field("source"), Some(ValueRef::Str("web")));
        assert_eq!(record.field("user"), Some(ValueRef::Null));
        assert!(record.search(&mut |text| text == "502"));
        assert!(!record.search(&mut |text| text.contains("3ms")));
    }

    #[test]
    fn a_record_survives_serde() {
        let record = sample();
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn severities_have_many_spellings() {
        assert_eq!("WARNING".parse(), Ok(Severity::Warn));
        assert_eq!("crit".parse(), Ok(Severity::Fatal));
        assert!("loud".parse::<Severity>().is_err());
        for severity in Severity::ALL {
            assert_eq!(Severity::from_number(severity.number()), Some(severity));
            assert_eq!(severity.name().parse(), Ok(severity));
        }
        assert_eq!(Severity::from_number(0), None);
        assert_eq!(Severity::from_number(25), None);
    }
}
