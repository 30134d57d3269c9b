//! What is wrong with a configuration, and where.

use crate::Span;

/// One finding in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
pub struct ConfigError {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The culprit; `None` where no file holds it.
    pub span: Option<Span>,
    /// The closest word that would have been right.
    pub suggestion: Option<String>,
    /// The path of keys to the culprit, outermost first: `sinks`, `out`, `encoding`.
    pub path: Vec<String>,
    /// Other places that the finding is about, each with what is there: "first defined here".
    pub related: Vec<(String, Span)>,
}

impl ConfigError {
    /// A finding without a place; the decoder adds the place of the node it was reading.
    pub fn new(message: impl Into<String>) -> ConfigError {
        ConfigError {
            message: message.into(),
            span: None,
            suggestion: None,
            path: Vec::new(),
            related: Vec::new(),
        }
    }

    /// The same with a place, unless it has one.
    pub fn at(mut self, span: Option<Span>) -> ConfigError {
        self.span = self.span.or(span);
        self
    }

    /// The same at a better place, if there is one.
    pub fn moved(mut self, span: Option<Span>) -> ConfigError {
        self.span = span.or(self.span);
        self
    }

    /// The same with the word that would have been right.
    pub fn suggest(mut self, word: Option<String>) -> ConfigError {
        self.suggestion = self.suggestion.or(word);
        self
    }

    /// The same with one more place that it is about, if that is known.
    pub fn related(mut self, what: impl Into<String>, span: Option<Span>) -> ConfigError {
        if let Some(span) = span {
            self.related.push((what.into(), span));
        }
        self
    }

    /// The same below a key: its path begins with it.
    pub fn within(mut self, key: impl Into<String>) -> ConfigError {
        self.path.insert(0, key.into());
        self
    }
}
