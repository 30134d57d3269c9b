//! The query as it is typed: its three lines, its switches, the searches of before.

use qd_search_live::{Query, engine::Command};
use qd_ui::edit::LineEdit;

use super::SearchPane;

/// A line of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// What is searched for.
    Text,
    /// Which files, by globs.
    Globs,
    /// Which files, by types.
    Types,
}

impl SearchPane {
    /// The line that is edited.
    pub(super) fn edit(&mut self) -> &mut LineEdit {
        let [text, globs, types] = &mut self.fields;
        match self.field {
            Field::Text => text,
            Field::Globs => globs,
            Field::Types => types,
        }
    }

    /// The lines or the switches have changed: the newest query is the one that counts.
    pub(super) fn typed(&mut self) {
        let [text, globs, types] = &self.fields;
        let query = Query {
            text: text.text().to_owned(),
            globs: globs.text().to_owned(),
            types: types.text().to_owned(),
            ..self.query.clone()
        };
        self.query = query;
        self.send_query();
    }

    pub(super) fn send_query(&mut self) {
        match self.handle.call(Command::Search(self.query.clone())) {
            Ok(answer) => self.asked = Some(answer),
            Err(e) => self.say(e.to_string(), true),
        }
    }

    /// Takes a whole query, from history or a name.
    pub(super) fn take_query(&mut self, query: Query) {
        let [text, globs, types] = &mut self.fields;
        text.set(&query.text);
        globs.set(&query.globs);
        types.set(&query.types);
        let any = !query.text.is_empty();
        self.query = query;
        if any {
            self.send_query();
        }
    }

    /// Another switch.
    pub(super) fn switch(&mut self, change: impl FnOnce(&mut Query)) {
        change(&mut self.query);
        self.send_query();
    }

    /// Remembers what is searched for now; a thread of its own writes it.
    pub(super) fn remember(&mut self) {
        if self.query.text.is_empty() {
            return;
        }
        self.past = None;
        let (keep, query) = (self.keep.clone(), self.query.clone());
        let write = move || {
            // What is lost can be typed again.
            let _ = keep.remember(&query);
        };
        let _ = std::thread::Builder::new().name("qd-search-keep".into()).spawn(write);
    }

    /// A search of before, or the next one after it.
    pub(super) fn travel(&mut self, back: bool) {
        let all = self.keep.history();
        let to = match (self.past, back) {
            (None, true) => {
                // The newest may be what is shown.
                let newest = all.len().checked_sub(1);
                newest.map(|n| {
                    if all.get(n) == Some(&self.query) {
                        n.saturating_sub(1)
                    } else {
                        n
                    }
                })
            }
            (None, false) => None,
            (Some(n), true) => n.checked_sub(1),
            (Some(n), false) => Some(n + 1),
        };
        match to.and_then(|n| Some((n, all.get(n)?.clone()))) {
            Some((n, q)) => {
                self.past = Some(n);
                self.take_query(q);
            }
            None if back => self.say("there is no earlier search", true),
            None => self.say("there is no later search", true),
        }
    }
}
