//! The files of a configuration, and findings shown in them.

use std::fmt::Write as _;

use serde::Serialize;
use unicode_width::UnicodeWidthChar;

use crate::{ConfigError, FileId, Span};

/// Columns of a line that are shown around the culprit.
const SHOWN: usize = 120;

/// Secrets shorter than this are not looked for in messages: they would be found everywhere.
const REDACTED_FROM: usize = 4;

/// The texts that a configuration was read from, as they are on disk: before variables and secrets were put in.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// A place for people and editors; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The file as it was named.
    pub file: String,
    /// The line of the first character.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// The line of the end.
    pub end_line: usize,
    /// The column of the end.
    pub end_column: usize,
}

/// A finding as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// The closest right word.
    pub suggestion: Option<String>,
    /// The path of keys to the culprit.
    pub path: Vec<String>,
    /// Where it is.
    pub position: Option<Position>,
    /// Other places it is about.
    pub related: Vec<(String, Position)>,
}

impl Files {
    /// Adds a text under a name; the texts of one configuration must not be more than 65,536.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> Option<FileId> {
        let id = u16::try_from(self.files.len()).ok()?;
        self.files.push((name.into(), text.into()));
        Some(FileId(id))
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> Option<&str> {
        self.files.get(usize::from(file.0)).map(|(name, _)| name.as_str())
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Option<&str> {
        self.files.get(usize::from(file.0)).map(|(_, text)| text.as_str())
    }

    /// The names of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(name, _)| name.as_str())
    }

    /// Keeps these values out of every message from now on; those of less than 4 bytes would be found everywhere and stay.
    pub fn hide(&mut self, values: impl IntoIterator<Item = String>) {
        self.secrets
            .extend(values.into_iter().filter(|v| v.len() >= REDACTED_FROM));
        self.secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }

    /// A message without the values of secrets.
    pub fn redact(&self, message: &str) -> String {
        self.secrets.iter().fold(message.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "[secret]")
        })
    }

    /// Where a span is; `None` if it lies in no file of these.
    pub fn position(&self, span: Span) -> Option<Position> {
        let text = self.text(span.file)?;
        let (line, column) = line_column(text, span.start as usize);
        let (end_line, end_column) = line_column(text, (span.end.max(span.start)) as usize);
        Some(Position {
            file: self.name(span.file)?.to_owned(),
            line,
            column,
            end_line,
            end_column,
        })
    }

    /// A finding as data, without the values of secrets.
    pub fn diagnostic(&self, error: &ConfigError) -> Diagnostic {
        Diagnostic {
            message: self.redact(&error.message),
            suggestion: error.suggestion.clone(),
            path: error.path.clone(),
            position: error.span.and_then(|s| self.position(s)),
            related: error
                .related
                .iter()
                .filter_map(|(what, span)| Some((what.clone(), self.position(*span)?)))
                .collect(),
        }
    }

    /// A finding with its place, the line and a mark below the culprit; several lines, the last one ended too.
    ///
    /// Control characters of the files are shown as `·`, so that none reaches a terminal, and values of keys that hold
    /// secrets as stars.
    pub fn render(&self, error: &ConfigError) -> String {
        let mut out = String::new();
        // Some messages have lines of their own: what a program's compiler says.
        for (i, line) in self.redact(&error.to_string()).lines().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            out.push_str(&visible(line));
        }
        out.push('\n');
        let path = visible(&error.path.join("."));
        match error.span {
            Some(span) => self.excerpt(&mut out, span, &path),
            None if !path.is_empty() => {
                let _ = writeln!(out, "  at {path}");
            }
            None => {}
        }
        for (what, span) in &error.related {
            let _ = writeln!(out, "  {}:", visible(what));
            self.excerpt(&mut out, *span, "");
        }
        out
    }

    fn excerpt(&self, out: &mut String, span: Span, path: &str) {
        let (Some(place), Some(text)) = (self.position(span), self.text(span.file)) else {
            return;
        };
        let line = crate::mask::masked(text.lines().nth(place.line - 1).unwrap_or_default());
        let number = place.line.to_string();
        let gutter = " ".repeat(number.len());
        let place_text = format!("{}:{}:{}", visible(&place.file), place.line, place.column);
        let _ = if path.is_empty() {
            writeln!(out, "{gutter}--> {place_text}")
        } else {
            writeln!(out, "{gutter}--> {place_text} ({path})")
        };
        let first = place.column - 1;
        let last = if place.end_line > place.line {
            usize::MAX
        } else {
            place.end_column - 1
        };
        let from = if first > SHOWN / 2 { first - SHOWN / 4 } else { 0 };
        let mut shown = String::new();
        let mut mark = String::new();
        let mut marked = 0usize;
        for (at, c) in line.chars().enumerate().skip(from).take(SHOWN) {
            let c = if c == '\t' { ' ' } else { visible_char(c) };
            shown.push(c);
            let width = c.width().unwrap_or(1);
            if at < first {
                mark.push_str(&" ".repeat(width));
            } else if at < last {
                marked += width;
            }
        }
        let _ = writeln!(out, "{gutter} |");
        let _ = writeln!(out, "{number} | {}", shown.trim_end());
        let _ = writeln!(out, "{gutter} | {mark}{}", "^".repeat(marked.max(1)));
    }
}

fn line_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[start..].chars().count() + 1)
}

fn visible_char(c: char) -> char {
    // Control characters, and those that reorder or hide text.
    if c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    {
        '·'
    } else {
        c
    }
}

fn visible(text: &str) -> String {
    text.chars().map(visible_char).collect()
}
