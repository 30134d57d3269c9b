//! A linear first look at KDL text: cuts it into its top-level statements, so that a slip in one of them costs only that
//! one, comments cost nothing, and the parser proper never sees nesting that could exhaust the stack or its patience. Knows
//! strings, raw strings and comments of KDL v1 and v2, and nothing else of the grammar.

use std::ops::Range;

use crate::diagnostic::Report;

/// The largest text that is read.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The largest statement that is read; the parser's appetite for stack grows with it.
const MAX_STATEMENT: usize = 64 << 10;
/// The deepest nesting of `/* */` in one another that is read.
const MAX_COMMENT_DEPTH: usize = 16;
/// The deepest nesting of braces that is read.
const MAX_DEPTH: usize = 24;
/// The deepest nesting of `/-` before a block: the parser's time doubles with each.
const MAX_DROPPED_DEPTH: usize = 3;
/// The most opening brackets in one statement for the same reason.
const MAX_PARENS: usize = 64;

/// Reads on from one place; all positions are bytes.
struct Scanner<'a> {
    text: &'a str,
    /// Where the next token is looked for.
    at: usize,
    /// Where the last token began.
    from: usize,
}

/// What stands at the scanner's place.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    End,
    Newline,
    Semicolon,
    Open,
    Close,
    Paren,
    Dropped,
    /// A string, number, word or sign.
    Other,
    /// A string or comment that nothing ends.
    Unclosed(&'static str),
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Skips blanks and comments but no line break, and consumes one token.
    fn next(&mut self) -> Token {
        loop {
            self.from = self.at;
            let rest = self.rest();
            let Some(c) = rest.chars().next() else {
                return Token::End;
            };
            if rest.starts_with("//") {
                self.at += rest.find(is_newline).unwrap_or(rest.len());
                continue;
            }
            if rest.starts_with("/*") {
                match block_comment(rest) {
                    Some(len) => self.at += len,
                    None => return self.unclosed("comment"),
                }
                continue;
            }
            if rest.starts_with("/-") {
                self.at += 2;
                return Token::Dropped;
            }
            if let Some(quoted) = quoted(rest) {
                match quoted {
                    Some(len) => self.at += len,
                    None => return self.unclosed("string"),
                }
                return Token::Other;
            }
            self.at += c.len_utf8();
            match c {
                '\\' => self.continue_line(),
                '\r' if self.rest().starts_with('\n') => {
                    self.at += 1;
                    return Token::Newline;
                }
                c if is_newline(c) => return Token::Newline,
                c if c.is_whitespace() || c == '\u{feff}' => {}
                ';' => return Token::Semicolon,
                '{' => return Token::Open,
                '}' => return Token::Close,
                '(' => return Token::Paren,
                _ => {
                    // The rest of a word: nothing in it opens anything.
                    let rest = self.rest();
                    self.at += rest.find(ends_word).unwrap_or(rest.len());
                    return Token::Other;
                }
            }
        }
    }

    fn unclosed(&mut self, what: &'static str) -> Token {
        self.at = self.text.len();
        Token::Unclosed(what)
    }

    /// After a backslash: the line break that follows is no end.
    fn continue_line(&mut self) {
        let rest = self.rest();
        let blank = rest
            .find(|c: char| is_newline(c) || !c.is_whitespace())
            .unwrap_or(rest.len());
        let tail = &rest[blank..];
        let comment = if tail.starts_with("//") {
            tail.find(is_newline).unwrap_or(tail.len())
        } else {
            0
        };
        let tail = &tail[comment..];
        let newline = match tail.chars().next() {
            Some('\r') if tail[1..].starts_with('\n') => 2,
            Some(c) if is_newline(c) => c.len_utf8(),
            _ => return,
        };
        self.at += blank + comment + newline;
    }
}

const fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || is_newline(c) || matches!(c, '{' | '}' | ';' | '(' | ')' | '"' | '/' | '\\' | '=' | '#')
}

/// The length of the nested `/* */` at the start of `rest`; `None` when it does not end, or nests too deep to be meant.
fn block_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut i) = (0usize, 0usize);
    while i + 1 < bytes.len() {
        match &bytes[i..i + 2] {
            b"/*" => (depth, i) = (depth + 1, i + 2),
            b"*/" => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return Some(i);
        }
        if depth > MAX_COMMENT_DEPTH {
            return None;
        }
    }
    None
}

/// If a string stands at the start of `rest`: its length, or `None` within when it does not end.
fn quoted(rest: &str) -> Option<Option<usize>> {
    let (old_raw, body) = rest.strip_prefix('r').map_or((false, rest), |b| (true, b));
    let hashes = body.bytes().take_while(|b| *b == b'#').count();
    let body = &body[hashes..];
    if !body.starts_with('"') {
        return None;
    }
    let quotes = if !old_raw && body.starts_with("\"\"\"") { 3 } else { 1 };
    let opened = usize::from(old_raw) + hashes + quotes;
    if old_raw || hashes > 0 {
        let end = format!("{}{}", "\"".repeat(quotes), "#".repeat(hashes));
        return Some(rest[opened..].find(&end).map(|i| opened + i + end.len()));
    }
    let bytes = rest.as_bytes();
    let mut i = opened;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' if bytes[i..].starts_with(&b"\"\"\""[..quotes]) => return Some(Some(i + quotes)),
            _ => i += 1,
        }
    }
    Some(None)
}

/// Where the braces of the present statement stand.
#[derive(Default)]
struct Nest {
    /// For each open brace, its byte and how many `/-` blocks it lies in.
    open: Vec<(usize, usize)>,
    parens: usize,
    /// A `/-` stands right before.
    dropping: bool,
    trouble: Option<(Range<usize>, String)>,
}

impl Nest {
    fn open(&mut self, at: usize) {
        let outer = self.open.last().map_or(0, |(_, dropped)| *dropped);
        let dropped = outer + usize::from(self.dropping);
        self.open.push((at, dropped));
        if self.open.len() > MAX_DEPTH {
            let message = format!("blocks nest deeper than {MAX_DEPTH} levels");
            self.trouble.get_or_insert((at..at + 1, message));
        }
        if dropped > MAX_DROPPED_DEPTH {
            let message = format!("blocks commented out by “/-” nest deeper than {MAX_DROPPED_DEPTH} levels");
            self.trouble.get_or_insert((at..at + 1, message));
        }
    }

    fn paren(&mut self, at: usize) {
        self.parens += 1;
        if self.parens > MAX_PARENS {
            self.trouble
                .get_or_insert((at..at + 1, "too many brackets in one statement".to_owned()));
        }
    }
}

/// The top-level statements of `text` that are fit to be parsed, in order. What is not is reported and left out.
pub(crate) fn statements(text: &str, report: &mut Report<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut scanner = Scanner { text, at: 0, from: 0 };
    let mut start: Option<usize> = None;
    let mut nest = Nest::default();
    loop {
        let token = scanner.next();
        let (here, end) = (scanner.from, scanner.at);
        let over = match token {
            Token::End => true,
            Token::Newline | Token::Semicolon => nest.open.is_empty() && !nest.dropping,
            Token::Close if nest.open.is_empty() => {
                report.error(here..end, "this “}” closes nothing", None);
                true
            }
            _ => false,
        };
        if over {
            finish(start.take(), here, std::mem::take(&mut nest), &mut found, report);
            if token == Token::End {
                return found;
            }
            continue;
        }
        match token {
            Token::Unclosed(what) => {
                let help = (what == "comment").then(|| format!("end it with “*/”; at most {MAX_COMMENT_DEPTH} nest"));
                report.error(here..here + 1, format!("this {what} is never closed"), help);
                return found;
            }
            Token::Open => nest.open(here),
            Token::Close => drop(nest.open.pop()),
            Token::Paren => nest.paren(here),
            // The parser would try every way to pair them off.
            Token::Dropped if nest.dropping => {
                nest.trouble.get_or_insert((here..end, "two “/-” in a row".to_owned()));
            }
            _ => {}
        }
        nest.dropping = token == Token::Dropped || (nest.dropping && token == Token::Newline);
        if start.is_none() && token != Token::Newline {
            start = Some(here);
        }
    }
}

fn finish(start: Option<usize>, end: usize, nest: Nest, found: &mut Vec<Range<usize>>, report: &mut Report<'_>) {
    let Some(start) = start else { return };
    if let Some((span, message)) = nest.trouble {
        report.error(span, message, Some("the whole statement is left out".to_owned()));
    } else if let Some((at, _)) = nest.open.first() {
        report.error(
            *at..*at + 1,
            "this block is never closed",
            Some("add the missing “}”".to_owned()),
        );
    } else if end - start > MAX_STATEMENT {
        let message = format!("this statement is longer than {MAX_STATEMENT} bytes; it is not read");
        report.error(start..start + 1, message, None);
    } else {
        found.push(start..end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let mut report = Report::new("t", text);
        let found = statements(text, &mut report);
        assert!(report.finish().is_empty(), "{text}");
        found.into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn statements_end_at_line_breaks_and_semicolons_outside_everything() {
        for (text, expected) in [
            ("a 1; b\nc", vec!["a 1", "b", "c"]),
            ("a { b; c\n d }\ne", vec!["a { b; c\n d }", "e"]),
            ("a \";\\\"\n\" ; b", vec!["a \";\\\"\n\" ", "b"]),
            (
                "a #\"x\"y;\"# \n b r#\"\";\"#;c",
                vec!["a #\"x\"y;\"# ", "b r#\"\";\"#", "c"],
            ),
            ("a \"\"\"\n ;\"\n \"\"\"\nb", vec!["a \"\"\"\n ;\"\n \"\"\"", "b"]),
            ("a \\ // on\n b; c", vec!["a \\ // on\n b", "c"]),
            ("// a; b\n/* c\n /* d; */ */ e", vec!["e"]),
            ("/- a { b; }\nc", vec!["/- a { b; }", "c"]),
            ("/-\n a; b", vec!["/-\n a", "b"]),
            ("a http://x; b", vec!["a http://x; b"]),
            ("\u{feff}a\r\nb\u{85}c", vec!["a", "b", "c"]),
        ] {
            assert_eq!(cut(text), expected, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// A document that the parser takes whole is cut into statements that give the same nodes.
        #[test]
        fn cutting_changes_nothing_that_is_valid(
            text in "(a|b-c|\"x;\\{\"|#\"y\n\"#|k=1|#true| | |\n|;|\\{|\\}|;\\}|/-|//z\n|/\\*;\\*/|\\\\\n|1.5|\\(t\\)a){0,16}",
        ) {
            let Ok(whole) = kdl::KdlDocument::parse_v2(&text) else { return Ok(()) };
            let mut report = Report::new("t", &text);
            let spans = statements(&text, &mut report);
            if report.has_errors() {
                let refused = report.finish();
                prop_assert!(refused[0].message.contains("/-"), "{:?}: {:?}", text, refused);
                return Ok(());
            }
            let names = |d: &kdl::KdlDocument| -> Vec<String> {
                d.nodes().iter().map(|n| format!("{} {} {:?}", n.name().value(), n.entries().len(), n.children().map(|c| c.nodes().len()))).collect()
            };
            let mut cut = Vec::new();
            for span in spans {
                let part = kdl::KdlDocument::parse_v2(&text[span.clone()]);
                prop_assert!(part.is_ok(), "{:?} has {:?}", text, &text[span]);
                cut.extend(part.iter().flat_map(names));
            }
            prop_assert_eq!(cut, names(&whole), "{:?}", text);
        }
    }
}
