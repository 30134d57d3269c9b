//! The fields an engine's records (or rows) have, with types: what a filter is checked against and completed from.
//!
//! A schema is advice. It makes diagnostics and completion possible; evaluation goes by the values themselves, so a field
//! that is missing here still works in a filter.

use std::borrow::Cow;

use super::DIRECTIVES;

/// What kind of values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// A name, an address, a path: `field:value` compares the whole value.
    Keyword,
    /// Prose: `field:value` finds the value anywhere in it.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A length of time; written with a unit.
    Duration,
    /// An amount of data; written with a unit or as bytes.
    Bytes,
    /// A moment.
    Time,
    /// A severity, in order of gravity.
    Severity,
    /// Anything; each value is compared by what it is.
    Any,
}

impl FieldType {
    /// One word for hints.
    pub fn word(self) -> &'static str {
        match self {
            FieldType::Keyword => "word",
            FieldType::Text => "text",
            FieldType::Number => "number",
            FieldType::Bool => "yes/no",
            FieldType::Duration => "duration",
            FieldType::Bytes => "size",
            FieldType::Time => "time",
            FieldType::Severity => "severity",
            FieldType::Any => "any",
        }
    }
}

/// One declared field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The dotted name.
    pub name: Cow<'static, str>,
    /// What kind of values it has.
    pub kind: FieldType,
    /// One line for completion.
    pub doc: Cow<'static, str>,
}

/// Whether fields that are not declared are to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Openness {
    /// An undeclared field is probably a slip: it gets a warning.
    #[default]
    Closed,
    /// Records carry fields of their own (parsed logs): only declared names close to a typo get a warning.
    Open,
}

/// The declared fields, in the order in which completion offers them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    fields: Vec<Field>,
    openness: Openness,
}

impl Schema {
    /// A schema without fields.
    pub fn empty() -> Schema {
        Schema::default()
    }

    /// The fields that every [`crate::Record`] has: `time`, `level`, `source`, `body`.
    pub fn records() -> Schema {
        Schema::empty()
            .with("time", FieldType::Time, "when it happened")
            .with("level", FieldType::Severity, "how grave it is: trace to fatal")
            .with("source", FieldType::Keyword, "the pane or engine it came from")
            .with("body", FieldType::Text, "its text")
    }

    /// Adds a field, or replaces the one of that name. A name that a directive has (`since`, `sort`, …) can be declared,
    /// but a filter that says `sort:` always means the directive.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        kind: FieldType,
        doc: impl Into<Cow<'static, str>>,
    ) -> Schema {
        let field = Field {
            name: name.into(),
            kind,
            doc: doc.into(),
        };
        match self.fields.iter_mut().find(|known| known.name == field.name) {
            Some(known) => *known = field,
            None => self.fields.push(field),
        }
        self
    }

    /// The same schema for records that also carry fields of their own.
    #[must_use]
    pub fn open(mut self) -> Schema {
        self.openness = Openness::Open;
        self
    }

    /// Whether undeclared fields are to be expected.
    pub fn openness(&self) -> Openness {
        self.openness
    }

    /// The declared fields.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The declared field of this name; `severity` and `message` also find `level` and `body`.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let find = |name: &str| self.fields.iter().find(|field| field.name == name);
        find(name).or_else(|| match name {
            "severity" => find("level"),
            "message" => find("body"),
            _ => None,
        })
    }

    /// Up to `max` declared names that look like `name`, the closest first.
    pub fn closest(&self, name: &str, max: usize) -> Vec<String> {
        let lower = name.to_lowercase();
        let score = |known: &str| {
            let known = known.to_lowercase();
            let last = known.rsplit('.').next().unwrap_or(&known);
            let by_part = if last == lower || (lower.len() > 1 && known.starts_with(&lower)) {
                0.95
            } else {
                0.0
            };
            strsim::jaro_winkler(&lower, &known).max(by_part)
        };
        let names = self.fields.iter().map(|field| field.name.as_ref()).chain(DIRECTIVES);
        let mut scored: Vec<(f64, &str)> = names
            .map(|known| (score(known), known))
            .filter(|s| s.0 >= 0.75)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(max).map(|(_, name)| name.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_found() {
        let schema =
            Schema::records()
                .with("http.status", FieldType::Number, "")
                .with("duration", FieldType::Duration, "");
        assert_eq!(schema.closest("durration", 3)[0], "duration");
        assert_eq!(schema.closest("status", 3)[0], "http.status");
        assert_eq!(schema.closest("http", 3)[0], "http.status");
        assert_eq!(schema.closest("limt", 3)[0], "limit");
        assert!(schema.closest("zzzz", 3).is_empty());
    }

    #[test]
    fn a_field_is_declared_once() {
        let schema = Schema::records().with("body", FieldType::Keyword, "again");
        assert_eq!(schema.fields().len(), 4);
        assert_eq!(schema.get("message").map(|f| f.kind), Some(FieldType::Keyword));
    }
}
