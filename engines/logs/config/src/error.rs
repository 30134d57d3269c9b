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
}

impl ConfigError {
    /// A finding without a place; the decoder adds the place of the node it was reading.
    pub fn new(message: impl Into<String>) -> ConfigError {
        ConfigError {
            message: message.into(),
            span: None,
            suggestion: None,
            path: Vec::new(),
        }
    }

    /// The same with a place, unless it has one.
    pub fn at(mut self, span: Option<Span>) -> ConfigError {
        self.span = self.span.or(span);
        self
    }
}
