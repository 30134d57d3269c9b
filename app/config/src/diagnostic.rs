//! What is wrong with a file, where, and what to write instead. Owns the position arithmetic (bytes to lines and columns)
//! and the plain-text rendering; must never decide what a file means.

use std::{fmt, ops::Range};

use unicode_width::UnicodeWidthChar;

/// The widest part of a source line that is shown; longer lines are cut around the span.
const SHOWN_COLUMNS: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Understood, but it does nothing here (another program's option, a feature that does not exist yet).
    Warning,
    /// Not understood; the default stands in its place.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding in a file. `Display` gives one line: `config.kdl:3:7: message (help)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the person knows it: a path, or a word such as `default preset`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes concerned, in the file's text.
    pub span: Range<usize>,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// Several lines of plain text: the severity and message, `file:line:column`, the source line and carets under the
    /// span, and the help. `source` is the text that was parsed; control characters in it are made harmless.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        let line = source
            .split('\n')
            .nth(self.line.saturating_sub(1))
            .unwrap_or("")
            .trim_end_matches('\r');
        let line_start = self.span.start.saturating_sub(byte_of_column(line, self.column));
        let shown = Shown::cut(
            line,
            self.span.start - line_start,
            self.span.end.saturating_sub(line_start),
        );
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let mut out = format!("{}: {}\n", self.severity, self.message);
        out.push_str(&format!("{margin}--> {}:{}:{}\n", self.file, self.line, self.column));
        out.push_str(&format!("{margin} |\n"));
        out.push_str(format!("{number} | {}", shown.text).trim_end());
        out.push('\n');
        let carets = "^".repeat(shown.carets.len().max(1));
        out.push_str(&format!("{margin} | {}{carets}\n", " ".repeat(shown.carets.start)));
        if let Some(help) = &self.help {
            out.push_str(&format!("{margin} = {help}\n"));
        }
        out
    }
}

/// The byte at which the 1-based character `column` of `line` begins.
fn byte_of_column(line: &str, column: usize) -> usize {
    line.char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(i, _)| i)
}

/// A source line ready for the screen.
struct Shown {
    /// Printable text, at most [`SHOWN_COLUMNS`] and two ellipses wide.
    text: String,
    /// The columns under which carets go.
    carets: Range<usize>,
}

impl Shown {
    /// Makes the bytes `from..to` of `line` visible with as much around them as fits.
    fn cut(line: &str, from: usize, to: usize) -> Self {
        // Cells: what stands for each character, how wide, and the byte it comes from.
        let cells: Vec<(usize, String, usize)> = line
            .char_indices()
            .map(|(i, c)| match c {
                '\t' => (i, "    ".to_owned(), 4),
                c if c.is_control() => (i, "\u{fffd}".to_owned(), 1),
                c => (i, c.to_string(), c.width().unwrap_or(0)),
            })
            .collect();
        let total: usize = cells.iter().map(|(_, _, w)| w).sum();
        let before: usize = cells.iter().take_while(|(i, _, _)| *i < from).map(|(_, _, w)| w).sum();
        let skip = if total <= SHOWN_COLUMNS {
            0
        } else {
            before.saturating_sub(SHOWN_COLUMNS / 3)
        };
        let mut shown = Self {
            text: String::new(),
            carets: 0..0,
        };
        let (mut column, mut printed, mut start) = (0, 0, None);
        if skip > 0 {
            shown.text.push('…');
            printed = 1;
        }
        for (i, text, width) in &cells {
            let at = column;
            column += width;
            if at < skip {
                continue;
            }
            if printed + width > SHOWN_COLUMNS {
                shown.text.push('…');
                break;
            }
            if *i >= from && *i < to.max(from + 1) {
                start.get_or_insert(printed);
                shown.carets.end = printed + width;
            }
            shown.text.push_str(text);
            printed += width;
        }
        shown.carets.start = start.unwrap_or(printed);
        shown.carets.end = shown.carets.end.max(shown.carets.start + 1);
        shown
    }
}

/// Collects the findings of one file, and turns byte spans into lines and columns.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    found: Vec<Diagnostic>,
    dropped: usize,
}

/// More findings than this in one file help nobody.
const MAX_FOUND: usize = 100;

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            line_starts: Vec::new(),
            found: Vec::new(),
            dropped: 0,
        }
    }

    /// The text between two bytes; empty when they are no characters' borders.
    pub(crate) fn text(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or("")
    }

    pub(crate) fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Error, span, message.into(), help);
    }

    pub(crate) fn warning(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Severity::Warning, span, message.into(), help);
    }

    /// Whether an error (not only warnings) was found.
    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error)
    }

    fn push(&mut self, severity: Severity, span: Range<usize>, message: String, help: Option<String>) {
        if self.found.len() >= MAX_FOUND {
            self.dropped += 1;
            return;
        }
        let span = self.clamp(span);
        let (line, column) = self.position(span.start);
        self.found.push(Diagnostic {
            file: self.file.to_owned(),
            line,
            column,
            span,
            message,
            help,
            severity,
        });
    }

    /// Moves both ends inside the text and onto characters' borders.
    fn clamp(&self, span: Range<usize>) -> Range<usize> {
        let floor = |mut i: usize| {
            i = i.min(self.text.len());
            while !self.text.is_char_boundary(i) {
                i -= 1;
            }
            i
        };
        let start = floor(span.start);
        start..floor(span.end).max(start)
    }

    fn position(&mut self, at: usize) -> (usize, usize) {
        if self.line_starts.is_empty() {
            let breaks = self
                .text
                .bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(i, _)| i + 1);
            self.line_starts = std::iter::once(0).chain(breaks).collect();
        }
        let line = self.line_starts.partition_point(|s| *s <= at).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        (line, self.text.get(start..at).map_or(0, |s| s.chars().count()) + 1)
    }

    /// The findings, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        if self.dropped > 0
            && let Some(last) = self.found.last_mut()
        {
            last.help = Some(format!("and {} more findings in this file", self.dropped));
        }
        self.found.sort_by_key(|d| d.span.start);
        self.found
    }
}

/// The word in `known` that `word` most probably means: `did you mean “theme”?`.
pub(crate) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    closest(word, known).map(|k| format!("did you mean “{k}”?"))
}

/// The word in `known` nearest to `word`, if one is near; case and `-`/`_` do not count.
pub(crate) fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let fold = |s: &str| s.to_lowercase().replace('_', "-");
    let folded = fold(word);
    let near = |k: &'k str| {
        let k_folded = fold(k);
        let allowed = (folded.chars().count().max(k_folded.chars().count()) / 3).max(1);
        let distance = strsim::damerau_levenshtein(&folded, &k_folded);
        (distance <= allowed).then_some((distance, k))
    };
    // A word of many hundred letters is nobody's typing slip.
    if folded.len() > 80 {
        return None;
    }
    known
        .into_iter()
        .filter_map(near)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// `“a”, “b” or “c”`.
pub(crate) fn list_of<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|w| format!("“{w}”")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, span: Range<usize>) -> Diagnostic {
        let mut report = Report::new("config.kdl", text);
        report.error(span, "unknown option “them”", Some("did you mean “theme”?".to_owned()));
        report.finish().remove(0)
    }

    #[test]
    fn a_finding_shows_its_line_with_carets() {
        let text = "// a\nthem \"nord\"\n";
        let d = one(text, 5..9);
        assert_eq!((d.line, d.column), (2, 1));
        insta::assert_snapshot!(d.render(text), @r#"
        error: unknown option “them”
         --> config.kdl:2:1
          |
        2 | them "nord"
          | ^^^^
          = did you mean “theme”?
        "#);
        assert_eq!(
            d.to_string(),
            "config.kdl:2:1: unknown option “them” (did you mean “theme”?)"
        );
    }

    #[test]
    fn carets_stand_under_wide_characters_and_tabs() {
        let text = "\t世界 \u{1b}[31mx";
        let at = text.find('x').unwrap();
        let d = one(text, at..at + 1);
        let shown = d.render(text);
        assert!(!shown.contains('\u{1b}'));
        let lines: Vec<&str> = shown.lines().collect();
        let (source, carets) = (lines[3], lines[4]);
        let x = unicode_width::UnicodeWidthStr::width(&source[..source.find('x').unwrap()]);
        assert_eq!(carets.find('^').unwrap(), x);
    }

    #[test]
    fn a_long_line_is_cut_around_the_span() {
        let text = format!("{} here {}", "a".repeat(500), "b".repeat(500));
        let at = text.find("here").unwrap();
        let shown = one(&text, at..at + 4).render(&text);
        let source = shown.lines().nth(3).unwrap();
        assert!(source.contains("here") && source.chars().count() < 120, "{source}");
        assert_eq!(
            source.find("here").map(|i| source[..i].chars().count()),
            shown.lines().nth(4).unwrap().find('^')
        );
    }

    #[test]
    fn a_span_outside_the_text_is_moved_inside() {
        let text = "é";
        let d = one(text, 1..900);
        assert_eq!(d.span, 0..2);
        assert!(d.render(text).contains('^'));
        assert!(
            d.render("").contains('^'),
            "another text than the one parsed must not hurt"
        );
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(closest("them", ["theme", "mouse_mode"]), Some("theme"));
        assert_eq!(closest("mouse-mode", ["theme", "mouse_mode"]), Some("mouse_mode"));
        assert_eq!(closest("zebra", ["theme", "mouse_mode"]), None);
        assert_eq!(list_of(["a", "b", "c"]), "“a”, “b” or “c”");
    }
}
