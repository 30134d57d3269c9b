//! Lines into words and back, as a shell would: blanks separate, quotes join, a backslash takes the next character as it
//! is. It knows no variables, globs or comments, and must never grow them.

use crate::error::WordsError;

/// Splits a line into words. Within `'…'` every character is itself; within `"…"` a backslash escapes `"` and `\`;
/// outside, it escapes anything.
///
/// # Errors
/// When a quote is never closed, or the line ends in a backslash.
pub fn split_words(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let w = word.get_or_insert_default();
        match c {
            '\\' => w.push(chars.next().ok_or(WordsError::Backslash { at })?.1),
            '\'' | '"' => loop {
                match chars.next() {
                    None => return Err(WordsError::Unclosed { quote: c, at }),
                    Some((_, x)) if x == c => break,
                    Some((_, '\\')) if c == '"' => match chars.next_if(|(_, x)| matches!(x, '"' | '\\')) {
                        Some((_, x)) => w.push(x),
                        None => w.push('\\'),
                    },
                    Some((_, x)) => w.push(x),
                }
            },
            _ => w.push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Joins words into a line that [`split_words`] splits into the same words.
#[must_use]
pub fn join_words<S: AsRef<str>>(words: &[S]) -> String {
    let mut line = String::new();
    for (i, word) in words.iter().map(AsRef::as_ref).enumerate() {
        if i > 0 {
            line.push(' ');
        }
        if !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\')) {
            line.push_str(word);
        } else if !word.contains('\'') {
            line.push('\'');
            line.push_str(word);
            line.push('\'');
        } else {
            line.push('"');
            for c in word.chars() {
                if matches!(c, '"' | '\\') {
                    line.push('\\');
                }
                line.push(c);
            }
            line.push('"');
        }
    }
    line
}
