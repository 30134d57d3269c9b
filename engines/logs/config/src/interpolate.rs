//! `$VARIABLES` and `SECRET[backend.key]` in the text of a file, before it is parsed.
//!
//! Replacement is textual, as in Vector: a number or a list may come out of a variable. A [`Mapped`] text remembers
//! what stood where, so that places in the result become places in the file.

use std::collections::HashMap;

use crate::{ConfigError, FileId, Key, Node, NodeValue, Span};

/// Bytes that a text may have after replacement.
const MAX_RESULT: usize = crate::MAX_FILE_BYTES;

/// A text with replacements and where they came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapped {
    pub(crate) text: String,
    /// In order: the range in `text`, and the range that it replaces.
    pieces: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
    /// The replacements before this one, the first first; their texts are gone.
    earlier: Vec<Mapped>,
}

impl Mapped {
    /// A text without replacements.
    pub(crate) fn plain(text: &str) -> Mapped {
        Mapped {
            text: text.to_owned(),
            ..Mapped::default()
        }
    }

    fn is_plain(&self) -> bool {
        self.pieces.is_empty() && self.earlier.iter().all(|m| m.pieces.is_empty())
    }

    /// This text with a later replacement of it.
    pub(crate) fn then(mut self, later: Mapped) -> Mapped {
        let mut layers = std::mem::take(&mut self.earlier);
        self.text = String::new();
        layers.push(self);
        Mapped {
            earlier: layers,
            ..later
        }
    }

    /// The place in the original for one in the text; inside of a replacement its start or end.
    fn origin(&self, at: usize, end: bool) -> usize {
        let next = self
            .pieces
            .partition_point(|(out, _)| out.start < at + usize::from(!end));
        let Some((out, source)) = next.checked_sub(1).and_then(|i| self.pieces.get(i)) else {
            return at;
        };
        if at < out.end || (end && at == out.end) {
            if end { source.end } else { source.start }
        } else {
            source.end + (at - out.end)
        }
    }

    pub(crate) fn span(&self, span: Span) -> Span {
        self.earlier
            .iter()
            .rev()
            .fold(self.span_here(span), |s, m| m.span_here(s))
    }

    fn span_here(&self, span: Span) -> Span {
        if self.pieces.is_empty() {
            return span;
        }
        let start = self.origin(span.start as usize, false);
        let end = self.origin(span.end as usize, true).max(start);
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
            ..span
        }
    }

    pub(crate) fn node(&self, node: &mut Node) {
        if self.is_plain() {
            return;
        }
        node.span = node.span.map(|s| self.span(s));
        match &mut node.value {
            NodeValue::Array(items) => items.iter_mut().for_each(|n| self.node(n)),
            NodeValue::Table(entries) => entries.iter_mut().for_each(|(key, n)| {
                let Key { span, .. } = key;
                *span = span.map(|s| self.span(s));
                self.node(n);
            }),
            _ => {}
        }
    }

    pub(crate) fn error(&self, mut error: ConfigError) -> ConfigError {
        error.span = error.span.map(|s| self.span(s));
        for (_, span) in &mut error.related {
            *span = self.span(*span);
        }
        error
    }
}

/// One reference in a text.
struct Reference<'a, T> {
    range: std::ops::Range<usize>,
    what: T,
    _text: std::marker::PhantomData<&'a str>,
}

fn replace<'a, T>(
    text: &'a str,
    file: FileId,
    find: impl Fn(&'a str, usize) -> Option<Reference<'a, T>>,
    mut value: impl FnMut(T) -> Result<String, ConfigError>,
) -> Result<Mapped, Vec<ConfigError>> {
    let mut mapped = Mapped::default();
    let mut errors = Vec::new();
    let mut at = 0;
    while let Some(Reference { range, what, .. }) = find(text, at) {
        mapped.text.push_str(&text[at..range.start]);
        let out = mapped.text.len();
        match value(what) {
            Ok(v) => mapped.text.push_str(&v),
            Err(e) => errors.push(e.at(Some(Span {
                file,
                start: u32::try_from(range.start).unwrap_or(u32::MAX),
                end: u32::try_from(range.end).unwrap_or(u32::MAX),
            }))),
        }
        mapped.pieces.push((out..mapped.text.len(), range.clone()));
        at = range.end;
        if mapped.text.len() > MAX_RESULT {
            errors.push(ConfigError::new("the text grows too large by its variables"));
            return Err(errors);
        }
    }
    mapped.text.push_str(&text[at..]);
    if errors.is_empty() { Ok(mapped) } else { Err(errors) }
}

/// A variable as it is written.
enum Variable<'a> {
    /// `$$`
    Dollar,
    /// `$NAME`, `${NAME}` and, with an operator and its word, `${NAME:-word}` and so on.
    Named(&'a str, &'a str, &'a str),
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn variable(text: &str, from: usize) -> Option<Reference<'_, Variable<'_>>> {
    let mut at = from;
    loop {
        let start = at + text.get(at..)?.find('$')?;
        let rest = &text[start + 1..];
        let found = |len: usize, what| {
            Some(Reference {
                range: start..start + 1 + len,
                what,
                _text: std::marker::PhantomData,
            })
        };
        if rest.starts_with('$') {
            return found(1, Variable::Dollar);
        }
        let bare = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if bare > 0 {
            return found(bare, Variable::Named(&rest[..bare], "", ""));
        }
        if let Some(inner) = rest.strip_prefix('{') {
            let name = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
            let (name, tail) = inner.split_at(name);
            if !name.is_empty() {
                if tail.starts_with('}') {
                    return found(name.len() + 2, Variable::Named(name, "", ""));
                }
                let operator = [":-", ":?", "-", "?"].into_iter().find(|o| tail.starts_with(o));
                if let Some(operator) = operator
                    && let Some(close) = tail.find('}')
                {
                    let word = &tail[operator.len()..close];
                    return found(1 + name.len() + close + 1, Variable::Named(name, operator, word));
                }
            }
        }
        at = start + 1;
    }
}

/// Replaces variables by the values of an environment.
///
/// # Errors
/// A variable that is not set, unless it has a default; one that is empty where `:?` asks for more; one whose value has
/// several lines, which could add keys to the configuration.
pub(crate) fn variables(
    text: &str,
    file: FileId,
    environment: &HashMap<String, String>,
) -> Result<Mapped, Vec<ConfigError>> {
    replace(text, file, variable, |variable| {
        let Variable::Named(name, operator, word) = variable else {
            return Ok("$".to_owned());
        };
        let value = environment.get(name).map(String::as_str);
        if value.is_some_and(|v| v.contains(['\n', '\r'])) {
            return Err(ConfigError::new(format!(
                "the environment variable `{name}` has several lines, which is refused"
            )));
        }
        let reason = if word.is_empty() {
            String::new()
        } else {
            format!(": {word}")
        };
        match (operator, value) {
            (":-", None | Some("")) | ("-", None) => Ok(word.to_owned()),
            (":?", None | Some("")) => Err(ConfigError::new(format!(
                "the environment variable `{name}` must be set and not empty{reason}"
            ))),
            (_, None) => Err(ConfigError::new(format!(
                "the environment variable `{name}` is not set{reason}"
            ))),
            (_, Some(v)) => Ok(v.to_owned()),
        }
    })
}

/// A secret as it is written: `SECRET[backend.key]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SecretName<'a> {
    pub(crate) backend: &'a str,
    pub(crate) key: &'a str,
}

fn secret(text: &str, from: usize) -> Option<Reference<'_, SecretName<'_>>> {
    const OPEN: &str = "SECRET[";
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut at = from;
    loop {
        let start = at + text.get(at..)?.find(OPEN)?;
        let rest = &text[start + OPEN.len()..];
        let backend = rest.find(|c| !word(c)).unwrap_or(rest.len());
        if backend > 0 && rest[backend..].starts_with('.') {
            let tail = &rest[backend + 1..];
            let key = tail.find(|c| !word(c) && c != '.' && c != '/').unwrap_or(tail.len());
            if key > 0 && tail[key..].starts_with(']') {
                return Some(Reference {
                    range: start..start + OPEN.len() + backend + 1 + key + 1,
                    what: SecretName {
                        backend: &rest[..backend],
                        key: &tail[..key],
                    },
                    _text: std::marker::PhantomData,
                });
            }
        }
        at = start + OPEN.len();
    }
}

/// The secrets that a text asks for, and where.
pub(crate) fn secret_names(text: &str) -> Vec<(std::ops::Range<usize>, SecretName<'_>)> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(found) = secret(text, at) {
        at = found.range.end;
        names.push((found.range, found.what));
    }
    names
}

/// Replaces secrets by their values, which are kept under `backend.key`.
///
/// # Errors
/// A secret that was not retrieved.
pub(crate) fn secrets(text: &str, file: FileId, values: &HashMap<String, String>) -> Result<Mapped, Vec<ConfigError>> {
    replace(text, file, secret, |SecretName { backend, key }| {
        values
            .get(&format!("{backend}.{key}"))
            .cloned()
            .ok_or_else(|| ConfigError::new(format!("there is no secret `{key}` in the backend `{backend}`")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> HashMap<String, String> {
        [
            ("FOO", "dogs"),
            ("FOOBAR", "cats"),
            ("FOO.BAR", "turtles"),
            ("EMPTY", ""),
            ("LINES", "a\nb"),
            ("CR", "a\rb"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    fn expand(text: &str) -> Result<String, String> {
        variables(text, FileId(0), &environment())
            .map(|m| m.text)
            .map_err(|e| e[0].message.clone())
    }

    #[test]
    fn variables_as_a_shell_writes_them() {
        for (text, want) in [
            ("$FOO", "dogs"),
            ("x${FOOBAR}y", "xcatsy"),
            ("$ x", "$ x"),
            ("$$FOO", "$FOO"),
            ("$$$FOO", "$dogs"),
            ("$FOO=bar", "dogs=bar"),
            ("$FOO.BAR", "turtles"),
            ("${FOO x", "${FOO x"),
            ("${}", "${}"),
            ("${:-cats}", "${:-cats}"),
            ("${FOO:-cats}", "dogs"),
            ("${NOT:-dogs and cats}", "dogs and cats"),
            ("${NOT:-}", ""),
            ("${NOT-cats}", "cats"),
            ("${EMPTY-cats}", ""),
            ("${EMPTY:-cats}", "cats"),
            ("${FOO:?why}", "dogs"),
            ("${EMPTY?why}", ""),
            ("${FOO+x} $", "${FOO+x} $"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(want), "{text}");
        }
        for text in [
            "$NOT",
            "x$FOOBARy",
            "${NOT:?why}",
            "${NOT?why}",
            "${EMPTY:?why}",
            "$LINES",
            "${CR:-x}",
        ] {
            assert!(expand(text).is_err(), "{text}");
        }
        assert!(expand("${NOT?set it}").unwrap_err().ends_with(": set it"));
    }

    #[test]
    fn places_survive_replacement() {
        let text = "a: $FOO # $FOO\nb: ${NOT:-x}\nc: 1";
        let mapped = variables(text, FileId(0), &environment()).unwrap();
        assert_eq!(mapped.text, "a: dogs # dogs\nb: x\nc: 1");
        let find = |needle: &str| {
            let start = mapped.text.find(needle).unwrap();
            let span = mapped.span(Span {
                file: FileId(0),
                start: start as u32,
                end: (start + needle.len()) as u32,
            });
            &text[span.start as usize..span.end as usize]
        };
        assert_eq!(find("dogs"), "$FOO");
        assert_eq!(find("og"), "$FOO");
        assert_eq!(find("# dogs"), "# $FOO");
        assert_eq!(find("x"), "${NOT:-x}");
        assert_eq!(find("c: 1"), "c: 1");
        assert_eq!(find("\nb"), "\nb");
    }

    #[test]
    fn secrets_are_found_and_replaced() {
        let text = "SECRET[a.b] SECRET[my-x.p/q.r] SECRET[no] SECRET[.x.y] SECRET[a...k]";
        let names = secret_names(text);
        let pairs: Vec<_> = names.iter().map(|(_, n)| (n.backend, n.key)).collect();
        assert_eq!(pairs, [("a", "b"), ("my-x", "p/q.r"), ("a", "..k")]);
        let values = [("a.b".to_owned(), "1".to_owned())].into();
        assert_eq!(
            secrets("x SECRET[a.b] SECRET[no]", FileId(0), &values).unwrap().text,
            "x 1 SECRET[no]"
        );
        let errors = secrets("x SECRET[a.c]", FileId(3), &values).unwrap_err();
        assert_eq!(
            errors[0].span,
            Some(Span {
                file: FileId(3),
                start: 2,
                end: 13
            })
        );
    }
}
