//! What is searched for, as a person sets it, and what becomes of that: a matcher, and errors with their place.

use std::{ops::Range, path::Path};

use grep_matcher::Matcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use ignore::{
    overrides::{Override, OverrideBuilder},
    types::{Types, TypesBuilder},
};
use serde::{Deserialize, Serialize};

/// Whether upper and lower case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// They are, unless the text has an upper case letter.
    #[default]
    Smart,
    /// They are.
    Insensitive,
    /// They are not.
    Sensitive,
}

impl Case {
    /// The next one, in turn.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Smart => Self::Insensitive,
            Self::Insensitive => Self::Sensitive,
            Self::Sensitive => Self::Smart,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Smart => "smart",
            Self::Insensitive => "ignore",
            Self::Sensitive => "match",
        }
    }
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// The text or the regular expression. An empty one finds nothing.
    pub text: String,
    /// Whether it is a regular expression.
    pub regex: bool,
    /// Whether it has to stand as a word.
    pub word: bool,
    /// Upper and lower case.
    pub case: Case,
    /// Whether hidden files are searched too.
    pub hidden: bool,
    /// Globs with blanks between, each as after `rg -g`: `*.rs !target/**`.
    pub globs: String,
    /// File types with blanks between, as after `rg -t`; with `!` before it, as after `-T`: `rust !js`.
    pub types: String,
}

/// The part of a query in which something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The text.
    Text,
    /// The globs.
    Globs,
    /// The types.
    Types,
}

/// Why a query cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// Where.
    pub field: Field,
    /// What is wrong, in one line.
    pub message: String,
    /// The bytes of the field that are wrong.
    pub span: Range<usize>,
}

/// A query that can run. Clones share what was compiled.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What it was made of.
    pub query: Query,
    /// What finds.
    pub matcher: RegexMatcher,
    types: Types,
}

/// The words of a field, with where they stand.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    text.split([' ', '\t', ',']).filter(|w| !w.is_empty()).map(|w| {
        let from = w.as_ptr() as usize - text.as_ptr() as usize;
        (from..from + w.len(), w)
    })
}

/// The first sentence of an error that may take several lines.
fn one_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .rfind(|l| !l.is_empty())
        .unwrap_or(text.trim());
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl Query {
    /// Whether its text means itself.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.regex || !self.text.chars().any(regex_syntax::is_meta_character)
    }

    /// Whether whatever matches this matches `other` too, on the same line, so that only what `other` found has to be looked
    /// at again.
    #[must_use]
    pub fn narrows(&self, other: &Self) -> bool {
        !other.text.is_empty()
            && self.is_literal()
            && other.is_literal()
            && self.text.contains(&other.text)
            && !other.word
            && (self.case == other.case || other.case == Case::Insensitive)
            && (self.hidden, &self.globs, &self.types) == (other.hidden, &other.globs, &other.types)
    }

    /// Makes a matcher of it.
    ///
    /// # Errors
    /// When the expression, a glob or a type is none, with its place.
    pub fn compile(&self) -> Result<Compiled, QueryError> {
        let wrong = |message: String, span: Range<usize>| QueryError {
            field: Field::Text,
            message,
            span,
        };
        if self.regex {
            // Parsed first by itself: only so is the place known.
            let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(&self.text);
            match parsed {
                Ok(_) => {}
                Err(regex_syntax::Error::Parse(e)) => {
                    let s = e.span();
                    return Err(wrong(e.kind().to_string(), s.start.offset..s.end.offset));
                }
                Err(regex_syntax::Error::Translate(e)) => {
                    let s = e.span();
                    return Err(wrong(e.kind().to_string(), s.start.offset..s.end.offset));
                }
                Err(e) => return Err(wrong(one_line(&e.to_string()), 0..self.text.len())),
            }
        }
        let mut b = RegexMatcherBuilder::new();
        b.multi_line(true)
            .unicode(true)
            .fixed_strings(!self.regex)
            .word(self.word)
            .line_terminator(Some(b'\n'));
        match self.case {
            Case::Smart => b.case_smart(true),
            Case::Insensitive => b.case_insensitive(true),
            Case::Sensitive => &mut b,
        };
        let matcher = b
            .build(&self.text)
            .map_err(|e| wrong(one_line(&e.to_string()), 0..self.text.len()))?;
        self.overrides(Path::new("/"))?;
        Ok(Compiled {
            types: self.compile_types()?,
            query: self.clone(),
            matcher,
        })
    }

    fn compile_types(&self) -> Result<Types, QueryError> {
        let mut b = TypesBuilder::new();
        if self.types.trim().is_empty() {
            return Ok(Types::empty());
        }
        b.add_defaults();
        let known: Vec<String> = b.definitions().iter().map(|d| d.name().to_owned()).collect();
        for (span, w) in words(&self.types) {
            let name = w.strip_prefix('!').unwrap_or(w);
            if name != "all" && !known.iter().any(|k| k == name) {
                return Err(QueryError {
                    field: Field::Types,
                    message: format!("there is no file type \u{201c}{name}\u{201d}"),
                    span,
                });
            }
            if w.starts_with('!') {
                b.negate(name);
            } else {
                b.select(name);
            }
        }
        b.build().map_err(|e| QueryError {
            field: Field::Types,
            message: one_line(&e.to_string()),
            span: 0..self.types.len(),
        })
    }

    /// The globs, as they are meant below `root`.
    pub(crate) fn overrides(&self, root: &Path) -> Result<Override, QueryError> {
        let mut b = OverrideBuilder::new(root);
        for (span, w) in words(&self.globs) {
            b.add(w).map_err(|e| QueryError {
                field: Field::Globs,
                message: one_line(&e.to_string()),
                span,
            })?;
        }
        b.build().map_err(|e| QueryError {
            field: Field::Globs,
            message: one_line(&e.to_string()),
            span: 0..self.globs.len(),
        })
    }

    /// The command line of ripgrep that finds the same below `root`.
    #[must_use]
    pub fn rg_command(&self, root: Option<&str>) -> String {
        let mut out = vec!["rg".to_owned()];
        let mut flag = |f: &str| out.push(f.to_owned());
        if !self.regex {
            flag("-F");
        }
        if self.word {
            flag("-w");
        }
        match self.case {
            Case::Smart => flag("-S"),
            Case::Insensitive => flag("-i"),
            Case::Sensitive => {}
        }
        if self.hidden {
            flag("--hidden");
        }
        for (_, w) in words(&self.globs) {
            flag(&format!("-g {}", shell_quote(w)));
        }
        for (_, w) in words(&self.types) {
            match w.strip_prefix('!') {
                Some(t) => flag(&format!("-T {}", shell_quote(t))),
                None => flag(&format!("-t {}", shell_quote(w))),
            }
        }
        flag(&format!("-e {}", shell_quote(&self.text)));
        if let Some(r) = root {
            flag(&format!("-- {}", shell_quote(r)));
        }
        out.join(" ")
    }
}

impl Compiled {
    /// The types that are wanted.
    pub(crate) const fn types(&self) -> &Types {
        &self.types
    }

    /// The matches in a line, the first so many.
    #[must_use]
    pub fn marks(&self, line: &[u8], most: usize) -> Vec<Range<usize>> {
        let mut marks = Vec::new();
        // An error of the matcher leaves the line without marks.
        let _ = self.matcher.find_iter(line, |m| {
            marks.push(m.start()..m.end());
            marks.len() < most
        });
        marks
    }
}

/// A word as a shell reads it back.
#[must_use]
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Query {
        Query {
            text: text.to_owned(),
            ..Query::default()
        }
    }

    fn re(text: &str) -> Query {
        Query { regex: true, ..q(text) }
    }

    #[test]
    fn an_error_has_its_place() {
        let e = re("foo(bar").compile().unwrap_err();
        assert_eq!((e.field, e.span.clone()), (Field::Text, 3..4));
        assert!(e.message.contains("unclosed group"), "{}", e.message);
        let e = re("a\\p{Nope}").compile().unwrap_err();
        assert_eq!(e.span, 1..9);
        let e = Query {
            globs: "*.rs [z".into(),
            ..q("x")
        };
        let e = e.compile().unwrap_err();
        assert_eq!((e.field, e.span), (Field::Globs, 5..7));
        let e = Query {
            types: "rust nope".into(),
            ..q("x")
        };
        let e = e.compile().unwrap_err();
        assert_eq!((e.field, e.span), (Field::Types, 5..9));
        // A fixed text may hold what an expression may not.
        assert!(q("foo(").compile().is_ok());
    }

    #[test]
    fn case_is_smart_unless_it_is_not() {
        let found = |q: &Query, t: &str| q.compile().unwrap().matcher.is_match(t.as_bytes()).unwrap();
        assert!(found(&q("abc"), "xABCx"));
        assert!(!found(&q("aBc"), "xabcx"));
        let s = Query {
            case: Case::Sensitive,
            ..q("abc")
        };
        assert!(!found(&s, "ABC"));
        let w = Query { word: true, ..q("abc") };
        assert!(found(&w, "x abc.") && !found(&w, "xabc"));
    }

    #[test]
    fn narrowing_is_only_where_it_is_safe() {
        assert!(q("foob").narrows(&q("foo")));
        assert!(q("foo").narrows(&q("foo")));
        assert!(!q("fo").narrows(&q("foo")));
        assert!(!q("foo").narrows(&q("")));
        assert!(re("foob").narrows(&re("foo")));
        assert!(!re("foo.").narrows(&re("foo")));
        assert!(!re("fooo*").narrows(&re("foo")));
        let word = |t: &str| Query { word: true, ..q(t) };
        assert!(word("foob").narrows(&q("foo")));
        assert!(!word("foob").narrows(&word("foo")));
        let case = |t: &str, case| Query { case, ..q(t) };
        assert!(case("foo", Case::Sensitive).narrows(&case("foo", Case::Insensitive)));
        assert!(!case("foo", Case::Insensitive).narrows(&case("foo", Case::Sensitive)));
        let glob = Query {
            globs: "*.c".into(),
            ..q("foob")
        };
        assert!(!glob.narrows(&q("foo")));
    }

    #[test]
    fn the_command_line_says_the_same() {
        let query = Query {
            text: "it's".into(),
            word: true,
            hidden: true,
            globs: "*.rs !x y".into(),
            types: "rust,!js".into(),
            ..Query::default()
        };
        assert_eq!(
            query.rg_command(Some("/srv/a b")),
            "rg -F -w -S --hidden -g '*.rs' -g '!x' -g y -t rust -T js -e 'it'\\''s' -- '/srv/a b'"
        );
    }
}
