//! One log event as values.

use std::collections::BTreeMap;

pub use vrl::value::Value;

/// A log event (or a trace's span) as VRL sees it: `.` is `value`, `%` is `metadata.value`.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEvent {
    /// The event, nearly always an object.
    pub value: Value,
    /// What is known of the event beside its content.
    pub metadata: Metadata,
}

impl LogEvent {
    /// An event without metadata.
    pub fn new(value: Value) -> LogEvent {
        LogEvent {
            value,
            metadata: Metadata::default(),
        }
    }
}

/// What is known of an event beside its content. Empty metadata take one word.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(Option<Box<Filled>>);

#[derive(Debug, Clone, PartialEq)]
struct Filled {
    value: Value,
    secrets: BTreeMap<String, String>,
}

impl Default for Filled {
    fn default() -> Self {
        Filled {
            value: Value::Object(BTreeMap::new()),
            secrets: BTreeMap::new(),
        }
    }
}

impl Metadata {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// VRL's `%`; `None` while nothing was written to it.
    pub fn value(&self) -> Option<&Value> {
        self.0.as_ref().map(|f| &f.value)
    }

    /// VRL's `%`, made if it is not there.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0.get_or_insert_default().value
    }

    /// A secret by its name.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.secrets.get(name).map(String::as_str)
    }

    /// All secrets, with their names, sorted by these.
    pub fn secrets(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let all = self.0.as_ref().map_or(&NONE, |f| &f.secrets);
        all.iter().map(|(name, secret)| (name.as_str(), secret.as_str()))
    }

    /// Keeps a secret.
    pub fn set_secret(&mut self, name: impl Into<String>, secret: impl Into<String>) {
        self.0
            .get_or_insert_default()
            .secrets
            .insert(name.into(), secret.into());
    }

    /// Forgets a secret.
    pub fn remove_secret(&mut self, name: &str) {
        if let Some(f) = &mut self.0 {
            f.secrets.remove(name);
        }
    }
}
