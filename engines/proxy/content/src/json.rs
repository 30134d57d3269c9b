//! JSON laid out, also when it is cut in the middle. Numbers and texts stay as they were written.

use std::borrow::Cow;

use crate::out::{Full, Out};
use crate::redact::COVER;

/// How deep it may nest; deeper is no JSON that anybody reads.
const MAX_DEPTH: usize = 256;

/// What keeps a text from being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotJson {
    /// Something else stands there.
    Other,
    /// The output is full.
    Full,
}

impl From<Full> for NotJson {
    fn from(_: Full) -> NotJson {
        NotJson::Full
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    /// One of `{}[]:,`.
    Mark(u8),
    /// With its quotes; `whole` is false for one that was cut.
    Text { raw: &'a str, whole: bool },
    /// A number, true, false, null.
    Plain(&'a str),
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<Token<'a>>, NotJson> {
        let bytes = self.text.as_bytes();
        while bytes
            .get(self.at)
            .is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
        let start = self.at;
        let Some(&first) = bytes.get(start) else {
            return Ok(None);
        };
        match first {
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                self.at += 1;
                Ok(Some(Token::Mark(first)))
            }
            b'"' => {
                let mut at = start + 1;
                loop {
                    match bytes.get(at) {
                        Some(b'"') => break,
                        Some(b'\\') => at += 2,
                        Some(_) => at += 1,
                        None => {
                            self.at = bytes.len();
                            let raw = self.text.get(start..).ok_or(NotJson::Other)?;
                            return Ok(Some(Token::Text { raw, whole: false }));
                        }
                    }
                }
                self.at = at + 1;
                let raw = self.text.get(start..=at).ok_or(NotJson::Other)?;
                Ok(Some(Token::Text { raw, whole: true }))
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let in_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                let end = bytes
                    .iter()
                    .skip(start)
                    .position(|b| !in_word(b))
                    .map_or(bytes.len(), |n| start + n);
                self.at = end;
                let word = self.text.get(start..end).ok_or(NotJson::Other)?;
                let number = |w: &str| w.parse::<f64>().is_ok() && !w.ends_with(|c: char| c.is_ascii_alphabetic());
                let cut = end == bytes.len() && ["true", "false", "null"].iter().any(|full| full.starts_with(word));
                if matches!(word, "true" | "false" | "null")
                    || number(word)
                    || cut
                    || (end == bytes.len() && first == b'-')
                {
                    Ok(Some(Token::Plain(word)))
                } else {
                    Err(NotJson::Other)
                }
            }
            _ => Err(NotJson::Other),
        }
    }
}

/// A key without its quotes and escapes: `p\u0061ssword` names the same as `password`.
fn unescaped(raw: &str) -> Cow<'_, str> {
    let key = raw.trim_matches('"');
    if !key.contains('\\') {
        return Cow::Borrowed(key);
    }
    let mut plain = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after
            .strip_prefix('u')
            .and_then(|hex| u32::from_str_radix(hex.get(..4)?, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                plain.push(c);
                rest = after.get(5..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// What stands in a container so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A key or the end.
    Key,
    Colon,
    Value,
    /// A comma or the end.
    Comma,
}

/// Lays a text out. Values of keys that are secret are covered, containers as a whole. Several values one after the other
/// are taken too, as logs and streams have them.
///
/// # Errors
/// That it is no JSON; lines may have been written by then.
pub(crate) fn show(text: &str, out: &mut Out<'_>) -> Result<(), NotJson> {
    let mut tokens = Tokens { text, at: 0 };
    // Of each container its closing mark and what may come next.
    let mut stack: Vec<(u8, Next)> = Vec::new();
    let mut line = String::new();
    // The depth below which everything is covered.
    let mut covered: Option<usize> = None;
    let mut secret = false;
    let mut any = false;
    while let Some(token) = tokens.next()? {
        any = true;
        let shown = covered.is_none();
        let depth = stack.len();
        let state = stack.last_mut();
        match (&token, state) {
            (Token::Mark(b','), Some((close, next @ Next::Comma))) => {
                *next = if *close == b'}' { Next::Key } else { Next::Value };
                if shown {
                    line.push(',');
                    out.line(depth, &line)?;
                    line.clear();
                }
            }
            (Token::Mark(b':'), Some((_, next @ Next::Colon))) => {
                *next = Next::Value;
                if shown {
                    line.push_str(": ");
                }
            }
            (Token::Text { raw, .. }, Some((b'}', next @ Next::Key))) => {
                *next = Next::Colon;
                if shown {
                    secret = out.rules.is_key(&unescaped(raw));
                    line.push_str(raw);
                }
            }
            (Token::Mark(mark @ (b'}' | b']')), Some((close, next)))
                if mark == close
                    && (*next == Next::Comma || *next == Next::Key || (*next == Next::Value && *close == b']')) =>
            {
                stack.pop();
                if covered == Some(stack.len()) {
                    covered = None;
                    line.push_str(COVER);
                } else if shown {
                    if !line.is_empty() && !matches!(line.as_bytes().last(), Some(b'{' | b'[')) {
                        out.line(depth, &line)?;
                        line.clear();
                    }
                    line.push(char::from(*mark));
                }
                if let Some((_, next)) = stack.last_mut() {
                    *next = Next::Comma;
                } else if covered.is_none() {
                    out.line(0, &line)?;
                    line.clear();
                }
            }
            (Token::Mark(b',' | b':' | b'}' | b']'), _) => return Err(NotJson::Other),
            (_, Some((_, next))) if *next != Next::Value => return Err(NotJson::Other),
            // A value: of a container, or of its own.
            (value, state) => {
                if let Some((_, next)) = state {
                    *next = Next::Comma;
                }
                match value {
                    Token::Mark(open) => {
                        if depth >= MAX_DEPTH {
                            return Err(NotJson::Other);
                        }
                        if shown && secret {
                            covered = Some(depth);
                            secret = false;
                        } else if shown {
                            line.push(char::from(*open));
                            // An empty container stays on its line; so look for its end before the line is broken.
                            let mut ahead = Tokens { text, at: tokens.at };
                            let close = if *open == b'{' { b'}' } else { b']' };
                            if !matches!(ahead.next(), Ok(Some(Token::Mark(mark))) if mark == close) {
                                out.line(depth, &line)?;
                                line.clear();
                            }
                        }
                        stack.push(if *open == b'{' {
                            (b'}', Next::Key)
                        } else {
                            (b']', Next::Value)
                        });
                    }
                    Token::Text { raw, whole } if shown => {
                        line.push_str(if secret { COVER } else { raw });
                        if !whole {
                            line.push('…');
                        }
                    }
                    Token::Plain(word) if shown => line.push_str(if secret { COVER } else { word }),
                    _ => {}
                }
                if shown && covered.is_none() {
                    secret = false;
                }
                if stack.is_empty() {
                    out.line(0, &line)?;
                    line.clear();
                }
            }
        }
    }
    // What was cut ends here: at the depth of what is covered, if something is.
    if covered.is_some() {
        line.push_str(COVER);
    }
    if !line.is_empty() {
        out.line(covered.unwrap_or(stack.len()), &line)?;
    }
    if any { Ok(()) } else { Err(NotJson::Other) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Limits;
    use crate::redact::Rules;
    use proptest::prelude::*;

    fn shown(text: &str) -> Result<String, NotJson> {
        let rules = Rules::default();
        let mut out = Out::new(Limits::default(), &rules);
        show(text, &mut out)?;
        Ok(out.finish().join("\n"))
    }

    #[test]
    fn values_are_laid_out() {
        let text = shown(r#"{"a":[1,2.50,{}],"b":{"c":null},"d":[]}"#).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": {\n    \"c\": null\n  },\n  \"d\": []\n}"
        );
        assert_eq!(shown("1 \"a\"\n{}").unwrap(), "1\n\"a\"\n{}");
    }

    #[test]
    fn secrets_are_covered_whole() {
        let text = shown(r#"{"user":"a","password":"x","tokens":{"a":[1,{"b":2}]},"after":1}"#).unwrap();
        assert_eq!(
            text,
            "{\n  \"user\": \"a\",\n  \"password\": [redacted],\n  \"tokens\": [redacted],\n  \"after\": 1\n}"
        );
        assert_eq!(shown(r#"{"secret":{"a":"b"#).unwrap(), "{\n  \"secret\": [redacted]");
        assert!(!shown(r#"{"p\u0061ssword":"abc"}"#).unwrap().contains("abc"));
        assert!(!shown(r#"{"password":"abc"#).unwrap().contains("abc"));
    }

    #[test]
    fn what_was_cut_is_shown_as_far_as_it_goes() {
        assert_eq!(shown(r#"{"a":[1,"tw"#).unwrap(), "{\n  \"a\": [\n    1,\n    \"tw…");
        assert_eq!(shown(r#"{"a":tr"#).unwrap(), "{\n  \"a\": tr");
    }

    #[test]
    fn other_things_are_told_apart() {
        for other in [
            "",
            "hello",
            "{a:1}",
            "[1 2]",
            "{\"a\" 1}",
            "]",
            "{]",
            "[,]",
            "<html>",
            "{\"a\":1,,}",
        ] {
            assert_eq!(shown(other), Err(NotJson::Other), "{other}");
        }
        assert_eq!(shown(&"[".repeat(10_000)), Err(NotJson::Other));
    }

    proptest! {
        #[test]
        fn any_cut_of_any_value_is_shown(text in "[\\[\\]{},:\"\\\\a-c0-9. né]{0,60}") {
            let _ = shown(&text);
        }

        #[test]
        fn nothing_of_a_secret_comes_out(value in "[xyz]{4,12}", cut in 0usize..60) {
            let text = format!(r#"{{"a":[{{"passWord":["{value}",{{"k":"{value}"}}]}}],"apiKey":"{value}"}}"#);
            let text = &text[..text.len() - cut.min(text.len() - 1)];
            if let Ok(shown) = shown(text) {
                prop_assert!(!shown.contains(&value[..3]), "{shown}");
            }
        }
    }
}
