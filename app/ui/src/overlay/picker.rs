//! The picker: a list narrowed by typing. It serves commands, panes, tabs, sessions, themes and whatever else has a name.
//! It owns the query, the order, the cursor and the marks, and must never act on what is chosen.

use qd_frame::Frame;
use qd_tty::{CursorShape, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind, Rect};

use super::{
    Outcome, Overlay, Submit, hint, keep_in_view,
    rank::{Ranked, Ranker},
    step,
};
use crate::{
    edit::{Edit, LineEdit},
    theme::Look,
};

mod draw;

pub(crate) use draw::{grouped, scrollbar};

/// A row of a picker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PickItem {
    /// What the caller knows it by; unique in the list.
    pub id: String,
    /// Its name, matched first.
    pub label: String,
    /// More about it, matched when the name alone does not.
    pub detail: String,
    /// What it belongs to.
    pub group: String,
    /// The keys that do the same.
    pub keys: String,
    /// Why it can't be chosen now; `None` when it can.
    pub disabled: Option<String>,
    /// What the preview shows for it.
    pub preview: Option<String>,
    /// How often and how lately it was chosen; more is better.
    pub score: u32,
}

/// Whether more than one row can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Multi {
    /// Tab marks rows.
    Yes,
    /// One only.
    #[default]
    No,
}

/// Where a picker's rows come from, and how that is going. Each state has its own words on the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Feed {
    /// All rows are there.
    #[default]
    Ready,
    /// Rows are still coming.
    Loading {
        /// For how long already, in milliseconds.
        elapsed_ms: u64,
        /// How many are read, of how many, where that is known.
        progress: Option<(u64, u64)>,
    },
    /// The rows may not be read.
    Denied {
        /// What right is missing and how to get it, in a sentence.
        reason: String,
    },
    /// Where they come from can't be reached; the rows are the last known.
    Disconnected {
        /// How old the rows are, in milliseconds.
        age_ms: u64,
        /// When it is tried again, in milliseconds.
        retry_ms: u64,
    },
}

/// Something other than Enter that can be done with the rows, by Alt and its letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verb {
    /// The letter.
    pub key: char,
    /// What it does, in a word.
    pub label: String,
}

/// A list narrowed by typing.
pub struct Picker {
    title: String,
    prompt: String,
    nothing: String,
    enter: String,
    multi: Multi,
    feed: Feed,
    verbs: Vec<Verb>,
    items: Vec<PickItem>,
    query: LineEdit,
    ranker: Ranker,
    found: Vec<Ranked>,
    /// The row under the cursor, in `found`.
    at: usize,
    /// The first row shown, in `found`.
    first: usize,
    marked: Vec<String>,
    /// A sentence about the last key, shown until the next.
    note: Option<String>,
    /// Where the rows were drawn last.
    list: Rect,
    /// Where the whole popup was drawn last.
    outer: Rect,
}

impl Picker {
    /// A picker of `items`.
    #[must_use]
    pub fn new(title: impl Into<String>, items: Vec<PickItem>, multi: Multi) -> Self {
        let mut p = Self {
            title: title.into(),
            prompt: "> ".into(),
            nothing: "nothing yet".into(),
            enter: "choose".into(),
            multi,
            feed: Feed::Ready,
            verbs: Vec::new(),
            items,
            query: LineEdit::default(),
            ranker: Ranker::new(),
            found: Vec::new(),
            at: 0,
            first: 0,
            marked: Vec::new(),
            note: None,
            list: Rect::default(),
            outer: Rect::default(),
        };
        p.rank();
        p
    }

    /// With these words for a list that has no rows, in place of \u{201c}nothing yet\u{201d}.
    #[must_use]
    pub fn with_nothing(mut self, words: impl Into<String>) -> Self {
        self.nothing = words.into();
        self
    }

    /// With this word for what Enter does, in place of \u{201c}choose\u{201d}.
    #[must_use]
    pub fn with_enter(mut self, word: impl Into<String>) -> Self {
        self.enter = word.into();
        self
    }

    /// With more that can be done with the rows.
    #[must_use]
    pub fn with_verbs(mut self, verbs: Vec<Verb>) -> Self {
        self.verbs = verbs;
        self
    }

    /// With this query typed already.
    #[must_use]
    pub fn with_query(mut self, query: &str) -> Self {
        self.query.set(query);
        self.rank();
        self
    }

    /// With the cursor on the row of this id, where it is in the list.
    #[must_use]
    pub fn with_current(mut self, id: &str) -> Self {
        self.go_to(id);
        self
    }

    /// Replaces the rows. The query stays, and the cursor and the marks stay with their rows where those are still there.
    pub fn set_items(&mut self, items: Vec<PickItem>) {
        let kept = self.current_item().map(|i| i.id.clone());
        self.items = items;
        let items = &self.items;
        self.marked
            .retain(|id| items.iter().any(|i| i.id == *id && i.disabled.is_none()));
        self.rank();
        if let Some(id) = kept {
            self.go_to(&id);
        }
    }

    /// Says how the source of the rows is doing.
    pub fn set_feed(&mut self, feed: Feed) {
        self.feed = feed;
    }

    /// The row under the cursor.
    #[must_use]
    pub fn current_item(&self) -> Option<&PickItem> {
        self.items.get(self.found.get(self.at)?.item)
    }

    /// What is typed.
    #[must_use]
    pub fn query(&self) -> &str {
        self.query.text()
    }

    /// The ids of the rows that match, in their order.
    pub fn matches(&self) -> impl Iterator<Item = &str> {
        self.found
            .iter()
            .filter_map(|r| self.items.get(r.item))
            .map(|i| i.id.as_str())
    }

    fn go_to(&mut self, id: &str) {
        if let Some(at) = self
            .found
            .iter()
            .position(|r| self.items.get(r.item).is_some_and(|i| i.id == id))
        {
            self.at = at;
        }
    }

    fn rank(&mut self) {
        self.found = self.ranker.rank(&self.items, self.query.text());
        self.at = 0;
        self.first = 0;
    }

    fn move_by(&mut self, by: isize) -> Outcome {
        self.at = step(self.at, by, self.found.len());
        Outcome::Changed
    }

    fn page(&self) -> isize {
        isize::try_from(self.list.h).unwrap_or(1).max(1)
    }

    fn choose(&mut self, verb: Option<char>) -> Outcome {
        let ids = if self.marked.is_empty() {
            let Some(item) = self.current_item() else {
                return Outcome::Changed;
            };
            if let Some(reason) = &item.disabled {
                self.note = Some(reason.clone());
                return Outcome::Changed;
            }
            vec![item.id.clone()]
        } else {
            let marked = |i: &&PickItem| self.marked.contains(&i.id);
            self.items.iter().filter(marked).map(|i| i.id.clone()).collect()
        };
        Outcome::Submit(Submit::Pick { ids, verb })
    }

    fn toggle_mark(&mut self) -> Outcome {
        let Some(item) = self.current_item() else {
            return Outcome::Changed;
        };
        if let Some(reason) = &item.disabled {
            self.note = Some(reason.clone());
            return Outcome::Changed;
        }
        let id = item.id.clone();
        match self.marked.iter().position(|m| *m == id) {
            Some(i) => {
                self.marked.remove(i);
            }
            None => self.marked.push(id),
        }
        self.move_by(1)
    }

    fn edited(&mut self, edit: Edit) -> Outcome {
        match edit {
            Edit::Ignored => Outcome::Ignored,
            Edit::Moved => Outcome::Changed,
            Edit::Changed => {
                self.rank();
                Outcome::Changed
            }
        }
    }
}

impl Overlay for Picker {
    fn key(&mut self, e: &KeyEvent) -> Outcome {
        if e.kind == KeyKind::Release {
            return Outcome::Ignored;
        }
        self.note = None;
        let chord = e.chord();
        let (ctrl, alt, plain) = (chord.mods == Mods::CTRL, chord.mods == Mods::ALT, chord.mods.is_empty());
        match chord.key {
            Key::Up if plain => self.move_by(-1),
            Key::Down if plain => self.move_by(1),
            Key::Char('p' | 'k') if ctrl => self.move_by(-1),
            Key::Char('n' | 'j') if ctrl => self.move_by(1),
            Key::PageUp => self.move_by(-self.page()),
            Key::PageDown => self.move_by(self.page()),
            Key::Home if ctrl => self.move_by(isize::MIN),
            Key::End if ctrl => self.move_by(isize::MAX),
            Key::Enter => self.choose(None),
            Key::Tab if plain => match self.multi {
                Multi::Yes => self.toggle_mark(),
                Multi::No => self.move_by(1),
            },
            Key::Tab if chord.mods == Mods::SHIFT => self.move_by(-1),
            Key::Esc if !self.query.text().is_empty() => {
                self.query.set("");
                self.rank();
                Outcome::Changed
            }
            Key::Esc => Outcome::Close,
            Key::Char('c' | 'g') if ctrl => Outcome::Close,
            Key::Char(c) if alt && self.verbs.iter().any(|v| v.key == c) => self.choose(Some(c)),
            _ => {
                let edit = self.query.key(e);
                self.edited(edit)
            }
        }
    }

    fn mouse(&mut self, e: &MouseEvent) -> Outcome {
        match e.kind {
            MouseKind::WheelUp => self.move_by(-3),
            MouseKind::WheelDown => self.move_by(3),
            MouseKind::Press(MouseButton::Left) if self.list.contains(e.col, e.row) => {
                let row = self.first + usize::from(e.row - self.list.y);
                if row >= self.found.len() {
                    return Outcome::Ignored;
                }
                self.note = None;
                if row == self.at {
                    return self.choose(None);
                }
                self.at = row;
                Outcome::Changed
            }
            MouseKind::Press(_) if !self.outer.contains(e.col, e.row) => Outcome::Close,
            _ => Outcome::Ignored,
        }
    }

    fn paste(&mut self, text: &str) -> Outcome {
        let edit = self.query.insert(text);
        self.edited(edit)
    }

    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look) {
        let rows = draw::layout(self, area);
        self.list = rows.list;
        self.outer = rows.outer;
        self.first = keep_in_view(self.first, self.at, rows.list.h.into(), self.found.len());
        let caret = draw::draw(self, &rows, frame, look);
        frame.set_cursor(caret.map(|(x, y)| (x, y, CursorShape::SteadyBar)));
    }

    fn mode(&self) -> &'static str {
        "INPUT"
    }

    fn hints(&self) -> Vec<(String, String)> {
        let mut h = vec![hint("Enter", &self.enter)];
        if self.multi == Multi::Yes {
            h.push(hint("Tab", "mark"));
        }
        h.extend(self.verbs.iter().map(|v| hint(&format!("Alt-{}", v.key), &v.label)));
        h.push(hint("↑↓", "move"));
        h.push(hint(
            "Esc",
            if self.query.text().is_empty() { "close" } else { "clear" },
        ));
        h
    }

    fn current(&self) -> Option<&str> {
        self.current_item().map(|i| i.id.as_str())
    }
}

#[cfg(test)]
mod tests;
