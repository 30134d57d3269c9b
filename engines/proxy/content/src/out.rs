//! Lines with a bound, without control characters.

use std::fmt::Write as _;

use crate::redact::Rules;

/// How much is shown at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body after its encodings are taken away; default 4 MiB.
    pub decoded: usize,
    /// Lines; default 20,000.
    pub lines: usize,
    /// Bytes of one line, before it is broken; default 2,000.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            decoded: 4 << 20,
            lines: 20_000,
            line: 2_000,
        }
    }
}

/// Whether a character would do something to a terminal, or hide or reorder text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A text with its control characters, and those that hide or reorder text, written as escapes: `\x1b`, `\u{202e}`. Tabs
/// become `\t`, so that a line is as wide as it looks.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x100 && is_hidden(c) => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_hidden(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The output is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Where lines go.
pub(crate) struct Out<'a> {
    lines: Vec<String>,
    limits: Limits,
    pub(crate) rules: &'a Rules,
}

impl<'a> Out<'a> {
    pub(crate) fn new(limits: Limits, rules: &'a Rules) -> Out<'a> {
        Out {
            lines: Vec::new(),
            limits,
            rules,
        }
    }

    /// One line, escaped and with patterns of secrets covered; broken where it is longer than a line may be.
    pub(crate) fn line(&mut self, indent: usize, text: &str) -> Result<(), Full> {
        // Beyond this depth more blanks say nothing.
        let margin = "  ".repeat(indent.min(32));
        let covered = self.rules.cover(text);
        let plain = escape(&covered);
        let mut rest = plain.as_str();
        loop {
            if self.lines.len() >= self.limits.lines {
                return Err(Full);
            }
            let mut end = rest.len().min(self.limits.line.max(8));
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (now, later) = rest.split_at(end);
            self.lines.push(format!("{margin}{now}"));
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    /// A line that is our own and holds nothing to escape or to cover.
    pub(crate) fn plain(&mut self, line: String) -> Result<(), Full> {
        if self.lines.len() >= self.limits.lines {
            return Err(Full);
        }
        self.lines.push(line);
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<String> {
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal() {
        assert_eq!(escape("a\x1b[2Jb\x07\u{9b}"), "a\\x1b[2Jb\\x07\\x9b");
        assert_eq!(escape("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
        assert_eq!(escape("größe\t"), "größe\\t");
    }

    #[test]
    fn long_lines_are_broken_and_lines_are_counted() {
        let rules = Rules::none();
        let limits = Limits {
            lines: 3,
            line: 8,
            ..Limits::default()
        };
        let mut out = Out::new(limits, &rules);
        assert_eq!(out.line(1, "0123456789"), Ok(()));
        assert_eq!(out.line(0, "ééééééé"), Err(Full));
        assert_eq!(out.finish(), ["  01234567", "  89", "éééé"]);
    }
}
