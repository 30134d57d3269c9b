//! Looking for text in text: literals and globs with smart case, regular expressions, fuzzy words.
//!
//! Smart case: a needle without an upper-case letter matches either case, one with such a letter matches exactly. Every
//! needle is compiled once, is bounded in size, and looks through a text in linear time (a fuzzy one in linear time for
//! each of its letters).

use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};

use super::ast::{Glob, Rx, RxCase};

/// How much memory a typed regular expression may take when compiled.
const RX_LIMIT: usize = 1 << 20;
/// The same for what a word or a glob becomes; a filter's own length bounds those.
const WORD_LIMIT: usize = 32 << 20;

/// Where a match must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Anywhere,
    Whole,
}

/// A compiled needle.
#[derive(Debug, Clone)]
pub(super) enum Needle {
    /// Any text at all.
    Everything,
    /// Found anywhere, exactly.
    Within(Box<Finder<'static>>),
    /// The whole text, exactly.
    Equal(Box<str>),
    /// Whatever else.
    Pattern(Regex),
    Fuzzy(Fuzzy),
}

/// Whether a needle's letters match either case.
pub(super) fn ignores_case<'a>(parts: impl IntoIterator<Item = &'a str>) -> bool {
    !parts.into_iter().any(|part| part.chars().any(char::is_uppercase))
}

impl Needle {
    /// A word, phrase or glob. The error says why it cannot be compiled.
    pub(super) fn glob(glob: &Glob, extent: Extent) -> Result<Needle, String> {
        let any_case = ignores_case(glob.parts().iter().map(String::as_str));
        let exact = !any_case || !glob.parts().iter().any(|part| part.chars().any(char::is_alphabetic));
        if let (Some(text), true) = (glob.as_literal(), exact) {
            return Ok(match extent {
                Extent::Anywhere if text.is_empty() => Needle::Everything,
                Extent::Anywhere => Needle::Within(Box::new(Finder::new(text).into_owned())),
                Extent::Whole => Needle::Equal(text.into()),
            });
        }
        if glob.is_any() {
            return Ok(Needle::Everything);
        }
        let escaped: Vec<_> = glob.parts().iter().map(|part| regex::escape(part)).collect();
        let mut pattern = escaped.join(".*");
        if extent == Extent::Whole {
            pattern = format!(r"\A{pattern}\z");
        } else {
            // A star at an end of something that may be anywhere says nothing.
            pattern = pattern.trim_start_matches(".*").to_owned();
            if glob.parts().last().is_some_and(String::is_empty) {
                pattern.truncate(pattern.len().saturating_sub(2));
            }
        }
        build(&pattern, any_case, WORD_LIMIT).map(Needle::Pattern)
    }

    /// A typed regular expression.
    pub(super) fn regex(rx: &Rx) -> Result<Needle, String> {
        build(&rx.pattern, rx.case == RxCase::Insensitive, RX_LIMIT).map(Needle::Pattern)
    }

    pub(super) fn fuzzy(text: &str) -> Needle {
        let fuzzy = Fuzzy::new(text);
        if fuzzy.letters.is_empty() {
            Needle::Everything
        } else {
            Needle::Fuzzy(fuzzy)
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Needle::Everything => true,
            Needle::Within(finder) => finder.find(text.as_bytes()).is_some(),
            Needle::Equal(whole) => **whole == *text,
            Needle::Pattern(regex) => regex.is_match(text),
            Needle::Fuzzy(fuzzy) => fuzzy.matches(text),
        }
    }
}

fn build(pattern: &str, any_case: bool, limit: usize) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .case_insensitive(any_case)
        .size_limit(limit)
        .dfa_size_limit(limit)
        .nest_limit(100);
    // Globs need `.` to cross lines; in a typed expression it is the usual `.`.
    if limit == WORD_LIMIT {
        builder.dot_matches_new_line(true);
    }
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "this expression is too large".to_owned(),
        error => {
            // The last line of a syntax error says what is wrong; those above draw where, in a font we do not have.
            let text = error.to_string();
            text.lines()
                .last()
                .unwrap_or("")
                .trim_start_matches("error: ")
                .to_owned()
        }
    })
}

/// Letters in order and close together: within three times their number.
#[derive(Debug, Clone)]
pub(super) struct Fuzzy {
    letters: Box<[char]>,
    any_case: bool,
}

/// How many characters, for each letter, a fuzzy match may stretch over.
const STRETCH: usize = 3;

impl Fuzzy {
    fn new(text: &str) -> Fuzzy {
        let any_case = ignores_case([text]);
        Fuzzy {
            letters: text
                .chars()
                .filter(|c| !c.is_whitespace())
                .map(|c| fold(c, any_case))
                .collect(),
            any_case,
        }
    }

    fn matches(&self, text: &str) -> bool {
        let window = self.letters.len() * STRETCH;
        let Some(first) = self.letters.first() else { return true };
        text.char_indices().any(|(at, c)| {
            // Taking each letter as early as it comes gives the shortest stretch from this first letter.
            fold(c, self.any_case) == *first && {
                let mut wanted = self.letters.iter().peekable();
                for c in text[at..].chars().take(window) {
                    wanted.next_if(|letter| **letter == fold(c, self.any_case));
                    if wanted.peek().is_none() {
                        return true;
                    }
                }
                false
            }
        })
    }
}

fn fold(c: char, any_case: bool) -> char {
    match any_case {
        true if c.is_ascii() => c.to_ascii_lowercase(),
        true => c.to_lowercase().next().unwrap_or(c),
        false => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &[&str], extent: Extent, text: &str) -> bool {
        let glob = Glob::pieces(pattern.iter().map(|p| (*p).to_owned()));
        Needle::glob(&glob, extent).unwrap().matches(text)
    }

    #[test]
    fn globs_match_wholes_and_parts() {
        use Extent::{Anywhere, Whole};
        assert!(found(&["/api/", ""], Whole, "/api/users\n2"));
        assert!(!found(&["/api/", ""], Whole, "/v1/api/users"));
        assert!(found(&["a", "c"], Anywhere, "xxAbbCxx"));
        assert!(!found(&["a", "c"], Whole, "xxabbcxx"));
        assert!(found(&["", ""], Anywhere, ""));
        assert!(found(&["", "x.y", ""], Anywhere, "ax.yb"));
        assert!(!found(&["", "x.y", ""], Anywhere, "axzyb"));
        assert!(found(&["", r"a\"], Anywhere, r"xa\"));
        assert!(found(&[r"a\", ""], Anywhere, r"xa\y"));
    }

    #[test]
    fn case_is_smart() {
        use Extent::Whole;
        assert!(found(&["get"], Whole, "GET"));
        assert!(!found(&["Get"], Whole, "GET"));
        assert!(found(&["straße"], Whole, "STRAßE"));
        assert!(found(&["42"], Whole, "42"));
    }

    #[test]
    fn fuzzy_letters_come_in_order_and_close() {
        let found = |needle: &str, text: &str| Needle::fuzzy(needle).matches(text);
        assert!(found("cnfg", "the Config file"));
        assert!(!found("cnfg", "can nobody find good names"));
        assert!(found("aab", "xaaab"));
        assert!(!found("ba", "ab"));
        assert!(found("", "x"));
        assert!(!found("C", "c"));
    }

    #[test]
    fn a_huge_expression_is_refused() {
        let rx = |pattern: &str| {
            Needle::regex(&Rx {
                pattern: pattern.to_owned(),
                case: RxCase::Sensitive,
            })
        };
        assert!(rx(r"\w{1000}{1000}").is_err());
        assert!(rx("(").unwrap_err().contains("unclosed"));
        assert!(rx(&"(".repeat(4000)).is_err());
        assert!(rx("a.b").unwrap().matches("xa-b"));
    }
}
