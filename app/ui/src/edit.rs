//! One line of text under a caret, with readline's keys. It owns the text, the caret and the last text that was cut, and
//! must never know what the line is for.

use std::{borrow::Cow, ops::Range};

use qd_tty::{Key, KeyEvent, KeyKind, Mods};
use unicode_segmentation::UnicodeSegmentation;

use crate::canvas::width;

/// The longest line, in bytes: a paste past it is cut.
const MAX_BYTES: usize = 64 * 1024;

/// What a key did to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edit {
    /// It is none of the line's keys.
    Ignored,
    /// The caret moved, or had nowhere to go.
    Moved,
    /// The text changed.
    Changed,
}

/// One line of text under a caret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEdit {
    text: String,
    /// The caret, a byte offset at a grapheme's edge.
    caret: usize,
    cut: String,
    /// Whether the last key cut too, so that the next cut joins it.
    cutting: bool,
}

/// Which way a cut goes, and so at which end of the last one it joins.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Back,
    Ahead,
}

impl LineEdit {
    /// A line with this text and the caret at its end.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut e = Self::default();
        e.insert(text);
        e
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The caret, a byte offset into the text.
    #[must_use]
    pub const fn caret(&self) -> usize {
        self.caret
    }

    /// The text before the caret.
    #[must_use]
    pub fn before(&self) -> &str {
        self.text.get(..self.caret).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.caret..).unwrap_or_default()
    }

    /// Replaces the text; the caret goes to its end.
    pub fn set(&mut self, text: &str) {
        self.text.clear();
        self.caret = 0;
        self.cutting = false;
        self.insert(text);
    }

    /// Puts text in at the caret, as one line: breaks and tabs become blanks, other control characters are dropped.
    pub fn insert(&mut self, text: &str) -> Edit {
        let clean: String = text
            .trim_end_matches(['\r', '\n'])
            .chars()
            .map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c })
            .filter(|c| !c.is_control())
            .scan(self.text.len(), |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= MAX_BYTES).then_some(c)
            })
            .collect();
        self.cutting = false;
        if clean.is_empty() {
            return Edit::Moved;
        }
        self.text.insert_str(self.caret, &clean);
        self.caret += clean.len();
        self.mend();
        Edit::Changed
    }

    /// Puts `text` in place of `range`; a range that is none of the text's does nothing.
    pub fn replace(&mut self, range: Range<usize>, text: &str) -> Edit {
        if self.text.get(range.clone()).is_none() {
            return Edit::Moved;
        }
        self.text.replace_range(range.clone(), "");
        self.caret = range.start;
        self.insert(text);
        Edit::Changed
    }

    /// Moves the caret on to a grapheme's edge, where an edit joined two.
    fn mend(&mut self) {
        let edges = self
            .text
            .grapheme_indices(true)
            .map(|(i, _)| i)
            .chain([self.text.len()]);
        self.caret = edges.into_iter().find(|i| *i >= self.caret).unwrap_or(self.text.len());
    }

    fn left(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(i, _)| i)
    }

    fn right(&self) -> usize {
        self.caret + self.after().graphemes(true).next().map_or(0, str::len)
    }

    /// The start of the word before the caret; a word is what `part` says.
    fn word_left(&self, part: impl Fn(char) -> bool) -> usize {
        let trimmed = self.before().trim_end_matches(|c| !part(c));
        trimmed.trim_end_matches(&part).len()
    }

    fn word_right(&self, part: impl Fn(char) -> bool) -> usize {
        let rest = self.after().trim_start_matches(|c| !part(c)).trim_start_matches(&part);
        self.text.len() - rest.len()
    }

    fn go(&mut self, to: usize) -> Edit {
        self.caret = to.min(self.text.len());
        self.cutting = false;
        Edit::Moved
    }

    fn delete(&mut self, range: Range<usize>) -> Edit {
        self.cutting = false;
        if range.is_empty() || self.text.get(range.clone()).is_none() {
            return Edit::Moved;
        }
        self.caret = range.start;
        self.text.replace_range(range, "");
        self.mend();
        Edit::Changed
    }

    fn kill(&mut self, range: Range<usize>, way: Way) -> Edit {
        let joined = self.cutting;
        let Some(gone) = self.text.get(range.clone()).filter(|s| !s.is_empty()) else {
            return Edit::Moved;
        };
        self.cut = match (joined, way) {
            (false, _) => gone.to_owned(),
            (true, Way::Back) => format!("{gone}{}", self.cut),
            (true, Way::Ahead) => format!("{}{gone}", self.cut),
        };
        self.delete(range);
        self.cutting = true;
        Edit::Changed
    }

    /// What a key does to the line.
    pub fn key(&mut self, e: &KeyEvent) -> Edit {
        if e.kind == KeyKind::Release {
            return Edit::Ignored;
        }
        let word = |c: char| c.is_alphanumeric();
        let blank = |c: char| !c.is_whitespace();
        let (here, end) = (self.caret, self.text.len());
        let chord = e.chord();
        if chord.mods == Mods::CTRL {
            return match chord.key {
                Key::Char('a') => self.go(0),
                Key::Char('e') => self.go(end),
                Key::Char('b') => self.go(self.left()),
                Key::Char('f') => self.go(self.right()),
                Key::Char('h') => self.delete(self.left()..here),
                Key::Char('d') => self.delete(here..self.right()),
                Key::Char('w') => self.kill(self.word_left(blank)..here, Way::Back),
                Key::Char('u') => self.kill(0..here, Way::Back),
                Key::Char('k') => self.kill(here..end, Way::Ahead),
                Key::Char('t') => self.transpose(),
                Key::Char('y') => {
                    let cut = self.cut.clone();
                    self.insert(&cut)
                }
                Key::Left => self.go(self.word_left(word)),
                Key::Right => self.go(self.word_right(word)),
                Key::Backspace => self.kill(self.word_left(word)..here, Way::Back),
                Key::Delete => self.kill(here..self.word_right(word), Way::Ahead),
                _ => Edit::Ignored,
            };
        }
        if chord.mods == Mods::ALT {
            return match chord.key {
                Key::Char('b') | Key::Left => self.go(self.word_left(word)),
                Key::Char('f') | Key::Right => self.go(self.word_right(word)),
                Key::Char('d') => self.kill(here..self.word_right(word), Way::Ahead),
                Key::Backspace => self.kill(self.word_left(word)..here, Way::Back),
                _ => Edit::Ignored,
            };
        }
        if !(chord.mods - Mods::SHIFT).is_empty() {
            return Edit::Ignored;
        }
        match chord.key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Left => self.go(self.left()),
            Key::Right => self.go(self.right()),
            Key::Home => self.go(0),
            Key::End => self.go(end),
            Key::Backspace => self.delete(self.left()..here),
            Key::Delete => self.delete(here..self.right()),
            _ => Edit::Ignored,
        }
    }

    /// Swaps the graphemes around the caret.
    fn transpose(&mut self) -> Edit {
        let mid = if self.caret == self.text.len() {
            self.left()
        } else {
            self.caret
        };
        let at = Self {
            caret: mid,
            ..self.clone()
        };
        let (start, end) = (at.left(), at.right());
        let (Some(a), Some(b)) = (self.text.get(start..mid), self.text.get(mid..end)) else {
            return Edit::Moved;
        };
        if a.is_empty() || b.is_empty() {
            return Edit::Moved;
        }
        let swapped = format!("{b}{a}");
        self.text.replace_range(start..end, &swapped);
        self.go(end);
        self.mend();
        Edit::Changed
    }

    /// The part of the line to show on `cols` columns, so that the caret is among them; the byte it starts at, and the
    /// caret's column in it.
    #[must_use]
    pub fn view(&self, cols: usize) -> (Cow<'_, str>, usize, usize) {
        let room = cols.saturating_sub(1);
        let mut start = self.caret;
        let mut used = 0;
        for (i, g) in self.before().grapheme_indices(true).rev() {
            let w = width(g);
            if used + w > room {
                break;
            }
            used += w;
            start = i;
        }
        let mut end = start;
        let mut shown = 0;
        for (i, g) in self.text.get(start..).unwrap_or_default().grapheme_indices(true) {
            shown += width(g);
            if shown > cols {
                break;
            }
            end = start + i + g.len();
        }
        (
            Cow::Borrowed(self.text.get(start..end).unwrap_or_default()),
            start,
            used.min(room),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(e: &mut LineEdit, keys: &str) {
        for k in keys.split_whitespace() {
            let c: qd_tty::Chord = k.parse().unwrap();
            e.key(&KeyEvent::new(c.key, c.mods));
        }
    }

    /// The text with `|` at the caret.
    fn shown(e: &LineEdit) -> String {
        format!("{}|{}", e.before(), e.after())
    }

    /// Start text (caret at `|`), keys, and what they make of it.
    fn case(start: &str, keys: &str, want: &str) {
        let mut e = LineEdit::new(&start.replace('|', ""));
        e.caret = start.find('|').unwrap();
        press(&mut e, keys);
        assert_eq!(shown(&e), want, "{start} after {keys}");
    }

    #[test]
    fn readline_keys_do_what_readline_does() {
        case("|", "h i", "hi|");
        case("one two|", "Ctrl-a", "|one two");
        case("|one two", "Ctrl-e", "one two|");
        case("one two|", "Alt-b Alt-b", "|one two");
        case("|one two", "Alt-f", "one| two");
        case("one-two|", "Alt-b", "one-|two");
        case("one a-b|", "Ctrl-w", "one |");
        case("one two  |", "Ctrl-w", "one |");
        case("one a-b|", "Alt-Backspace", "one a-|");
        case("one| two", "Alt-d", "one|");
        case("one| two", "Ctrl-u", "| two");
        case("one| two", "Ctrl-k", "one|");
        case("one| two", "Ctrl-k Ctrl-a Ctrl-y", " two|one");
        case("a b|", "Ctrl-w Ctrl-w Ctrl-y", "a b|");
        case("a| b", "Ctrl-k x Ctrl-u Ctrl-y", "ax|");
        case("ab|", "Ctrl-t", "ba|");
        case("a|b", "Ctrl-t", "ba|");
        case("abc|", "Left Backspace", "a|c");
        case("abc|", "Home Delete", "|bc");
        case("ab|", "Ctrl-h Ctrl-h Ctrl-h", "|");
        case("ab|", "Ctrl-b Ctrl-d Ctrl-d Ctrl-f", "a|");
    }

    #[test]
    fn the_caret_steps_over_whole_graphemes() {
        case("e\u{301}x|", "Left Left", "|e\u{301}x");
        case("👩‍👩‍👧|", "Backspace", "|");
        let mut e = LineEdit::new("a\nb\tc\u{1b}[0m\r\n");
        assert_eq!(e.text(), "a b c[0m");
        e.replace(2..3, "日");
        assert_eq!(shown(&e), "a 日| c[0m");
        assert_eq!(e.replace(3..4, "no"), Edit::Moved, "a range inside a character");
    }

    #[test]
    fn a_long_line_shows_the_part_with_the_caret() {
        let mut e = LineEdit::new("abcdefgh");
        assert_eq!(e.view(4), ("fgh".into(), 5, 3));
        press(&mut e, "Home");
        assert_eq!(e.view(4), ("abcd".into(), 0, 0));
        assert_eq!(LineEdit::new("日本").view(3), ("本".into(), 3, 2));
        assert_eq!(e.view(0).2, 0);
    }

    #[test]
    fn a_paste_is_bounded() {
        let e = LineEdit::new(&"x".repeat(MAX_BYTES * 2));
        assert_eq!(e.text().len(), MAX_BYTES);
    }

    #[test]
    fn foreign_chords_are_left_alone() {
        let mut e = LineEdit::new("a");
        for k in ["Ctrl-x", "Alt-z", "Super-a", "Enter", "Tab", "Up", "Esc", "F1"] {
            let c: qd_tty::Chord = k.parse().unwrap();
            assert_eq!(e.key(&KeyEvent::new(c.key, c.mods)), Edit::Ignored, "{k}");
        }
    }
}
