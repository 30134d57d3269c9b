//! What is wrong with a filter, and exactly where.

use std::fmt;

use super::ast::Span;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The filter works; it may not be what was meant.
    Warning,
    /// There is no filter.
    Error,
}

/// One thing to tell the person who typed the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The bytes of the text it is about; always inside the text and on character boundaries.
    pub span: Span,
    /// How bad it is.
    pub level: Level,
    /// One sentence.
    pub message: String,
    /// What could stand there instead, the likeliest first.
    pub suggestions: Vec<String>,
}

impl Diagnostic {
    pub(super) fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            span,
            level: Level::Error,
            message: message.into(),
            suggestions: Vec::new(),
        }
    }

    pub(super) fn warning(span: Span, message: impl Into<String>, suggestions: Vec<String>) -> Diagnostic {
        Diagnostic {
            span,
            level: Level::Warning,
            message: message.into(),
            suggestions,
        }
    }

    /// The text, a line of carets under the span, and the message; for a command line.
    pub fn render(&self, text: &str) -> String {
        // A filter is one line to a person, whatever white space it holds.
        let line: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        let before = text.get(..self.span.start).unwrap_or(text).chars().count();
        let marked = text.get(self.span.range()).unwrap_or("").chars().count().max(1);
        format!("{line}\n{}{}\n{self}", " ".repeat(before), "^".repeat(marked))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.suggestions.as_slice() {
            [] => Ok(()),
            list => write!(f, "; did you mean {}?", list.join(", ")),
        }
    }
}

impl std::error::Error for Diagnostic {}
