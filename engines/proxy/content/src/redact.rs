//! Which values are covered before anybody sees them.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// What stands for a value that is covered.
pub const COVER: &str = "[redacted]";

/// Patterns at most, and what one may take when compiled.
const MAX_PATTERNS: usize = 64;
const RX_LIMIT: usize = 1 << 20;

/// The rules: names of headers and of keys, and patterns of text.
#[derive(Debug, Clone)]
pub struct Rules {
    headers: Vec<String>,
    keys: Vec<String>,
    patterns: Vec<Regex>,
}

const HEADERS: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-amz-security-token",
    "x-vault-token",
    "www-authenticate",
];

const KEYS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "sessionid",
    "creditcard",
    "cvv",
];

/// `Bearer` with what follows, and what looks like a JSON web token.
const PATTERNS: [&str; 2] = [
    r"(?i)\b(?:bearer|basic)\s+[a-z0-9._~+/=-]{8,}",
    r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*",
];

fn compiled(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(RX_LIMIT)
        .nest_limit(100)
        .build()
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned()
        })
}

impl Default for Rules {
    /// What is secret nearly everywhere: credentials, cookies, keys that are named so, bearer tokens.
    fn default() -> Self {
        Rules {
            headers: HEADERS.map(str::to_owned).to_vec(),
            keys: KEYS.map(str::to_owned).to_vec(),
            patterns: PATTERNS.iter().filter_map(|p| compiled(p).ok()).collect(),
        }
    }
}

/// A key without what people put between its words, in lower case.
fn plain(key: &str) -> String {
    key.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

impl Rules {
    /// Nothing is covered.
    pub fn none() -> Rules {
        Rules {
            headers: Vec::new(),
            keys: Vec::new(),
            patterns: Vec::new(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str) -> Rules {
        self.headers.push(name.to_ascii_lowercase());
        self
    }

    /// The same with one more part of the names of keys, `-` and `_` and case aside.
    #[must_use]
    pub fn with_key(mut self, part: &str) -> Rules {
        self.keys.push(plain(part));
        self.keys.retain(|k| !k.is_empty());
        self
    }

    /// The same with one more regular expression, whose matches in any text are covered.
    ///
    /// # Errors
    /// What is wrong with it, or that there are too many.
    pub fn with_pattern(mut self, pattern: &str) -> Result<Rules, String> {
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(format!("there are {MAX_PATTERNS} patterns already"));
        }
        self.patterns.push(compiled(pattern)?);
        Ok(self)
    }

    /// Whether the value of a header is covered.
    pub fn is_header(&self, name: &str) -> bool {
        self.headers.iter().any(|h| h.eq_ignore_ascii_case(name))
    }

    /// Whether the value of a key is covered.
    pub fn is_key(&self, key: &str) -> bool {
        let key = plain(key);
        self.keys.iter().any(|k| key.contains(k.as_str()))
    }

    /// The value of a header as it may be shown.
    pub fn header<'v>(&self, name: &str, value: &'v str) -> Cow<'v, str> {
        if self.is_header(name) {
            Cow::Borrowed(COVER)
        } else {
            self.cover(value)
        }
    }

    /// A text with what patterns match covered.
    pub fn cover<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.patterns.iter().fold(Cow::Borrowed(text), |text, pattern| {
            match pattern.replace_all(&text, regex::NoExpand(COVER)) {
                Cow::Borrowed(_) => text,
                Cow::Owned(covered) => Cow::Owned(covered),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_cover() {
        let rules = Rules::default()
            .with_header("X-Own")
            .with_key("pin-code")
            .with_pattern("sk_[a-z]+")
            .unwrap();
        assert_eq!(rules.header("Authorization", "Basic x"), COVER);
        assert_eq!(rules.header("x-own", "1"), COVER);
        assert_eq!(rules.header("accept", "text/html"), "text/html");
        for key in ["password", "userPassword", "access_token", "API-Key", "pinCode"] {
            assert!(rules.is_key(key), "{key}");
        }
        assert!(!rules.is_key("name"));
        assert_eq!(rules.cover("a Bearer abcdefgh1 b sk_live"), "a [redacted] b [redacted]");
        assert_eq!(rules.cover("t=eyJhbGciOi.eyJzdWIiOi.sig"), "t=[redacted]");
        assert!(Rules::none().with_pattern("(").is_err());
        assert_eq!(Rules::none().cover("Bearer abcdefgh1"), "Bearer abcdefgh1");
    }
}
