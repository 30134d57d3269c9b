//! Where the pieces of a filter begin and end: the rules that the parser and completion share.
//!
//! Everything here looks at text from a byte offset that is a character boundary and gives such offsets back. Nothing here
//! fails: what is unfinished extends to the end.

/// The character at `at`.
pub(super) fn peek(text: &str, at: usize) -> Option<char> {
    text.get(at..).and_then(|rest| rest.chars().next())
}

/// Past the white space at `at`.
pub(super) fn space(text: &str, at: usize) -> usize {
    text.get(at..)
        .map_or(text.len(), |rest| text.len() - rest.trim_start().len())
}

/// Whether a term can end at `at`: at the end, before white space or a parenthesis.
pub(super) fn boundary(text: &str, at: usize) -> bool {
    peek(text, at).is_none_or(|c| c.is_whitespace() || c == '(' || c == ')')
}

/// Whether a backslash takes away the meaning of `c`.
pub(super) fn escapable(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_whitespace()
}

/// The end of the run of text that starts at `at`: up to white space or a parenthesis that the run did not open.
pub(super) fn chunk(text: &str, at: usize) -> usize {
    let mut open = 0usize;
    let mut chars = text[at..].char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next_if(|(_, next)| escapable(*next));
            }
            '(' => open += 1,
            ')' if open > 0 => open -= 1,
            c if c == ')' || c.is_whitespace() => return at + offset,
            _ => {}
        }
    }
    text.len()
}

/// The end of the quoted text whose opening quote is at `at` (past the closing quote); `None` when it is never closed.
pub(super) fn quoted(text: &str, at: usize) -> Option<usize> {
    let mut chars = text[at..].char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' => return Some(at + offset + 1),
            _ => {}
        }
    }
    None
}

/// The closing slash of the regular expression whose opening slash is at `at`, and the end of the whole, flag included.
/// The first slash that is not escaped decides: if a term cannot end there, this is a path and not an expression.
pub(super) fn regex(text: &str, at: usize) -> Option<(usize, usize)> {
    let mut chars = text[at..].char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '/' => {
                let close = at + offset;
                let end = close + 1 + usize::from(peek(text, close + 1) == Some('i'));
                return (offset > 1 && boundary(text, end)).then_some((close, end));
            }
            _ => {}
        }
    }
    None
}

/// Whether `c` can stand in a field's name, at its beginning or after it.
pub(super) fn name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '@'
}

fn name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | '-' | '$')
}

/// The end of the name that starts at `at`; `at` itself when none does.
pub(super) fn name(text: &str, at: usize) -> usize {
    if !peek(text, at).is_some_and(name_start) {
        return at;
    }
    text[at..]
        .find(|c| !name_char(c))
        .map_or(text.len(), |length| at + length)
}

/// The end of the field's name at `at` if a colon makes it one. `std::io` and `http://host` are words.
pub(super) fn field(text: &str, at: usize) -> Option<usize> {
    let end = name(text, at);
    let rest = text.get(end..)?.strip_prefix(':')?;
    (end > at && !rest.starts_with(':') && !rest.starts_with("//")).then_some(end)
}

/// The `..` of a range within the unquoted text `at..end`; not one of three dots, and not part of a path.
pub(super) fn dots(text: &str, at: usize, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let byte = |index: Option<usize>| {
        index
            .filter(|i| (at..end).contains(i))
            .and_then(|i| bytes.get(i))
            .copied()
    };
    let mut from = at;
    while from + 1 < end {
        match (bytes.get(from), bytes.get(from + 1)) {
            (Some(b'\\'), _) => from += 2,
            (Some(b'.'), Some(b'.')) => {
                let before = byte(from.checked_sub(1));
                let after = byte(Some(from + 2));
                if before != Some(b'/') && after != Some(b'/') && after != Some(b'.') {
                    return (end - at > 2).then_some(from);
                }
                // Past the whole run of dots.
                while byte(Some(from)) == Some(b'.') {
                    from += 1;
                }
            }
            _ => from += 1,
        }
    }
    None
}
