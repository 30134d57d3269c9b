//! Bookmarks, tags and comments: on which lines they are, and keeping them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use qd_logs_view::{Mark, Marks, Pos, Row};
use qd_mux::PaneSpec;

use super::LogPane;

/// What went wrong in writing them, until it is told.
pub(super) type Unsaved = Arc<Mutex<Option<String>>>;

/// Why a line cannot be marked.
pub(super) const NO_KEY: &str = "it is no line of a file, and would not be found again";

/// Where marks are kept: the pane's `state`, else below the person's state directory.
pub(super) fn state_dir(spec: &PaneSpec) -> PathBuf {
    if let Some(dir) = spec.args.get("state") {
        return PathBuf::from(dir);
    }
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("XDG_STATE_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| var("HOME").map(|h| h.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("quarterdeck/logs")
}

impl LogPane {
    pub(super) fn load_marks(&mut self) {
        match Marks::load(&self.state) {
            Ok(m) => self.marks = m,
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// What is noted about a row.
    pub(super) fn mark_of(&self, row: &Row) -> Option<&Mark> {
        self.marks.iter().next()?;
        let key = self.view.mark_key(row.pos).ok().flatten()?;
        self.marks.get(key)
    }

    /// Why the selected line cannot be marked, if it cannot.
    pub(super) fn cannot_mark(&self) -> Option<&'static str> {
        match self.cursor.map(|c| self.view.mark_key(c)) {
            None => Some("no line is selected"),
            Some(Ok(Some(_))) => None,
            Some(_) => Some(NO_KEY),
        }
    }

    /// Changes what is noted about the marked lines, or the selected one, and keeps it. Gives what is noted about the last.
    pub(super) fn edit_mark(&mut self, change: impl Fn(&mut Mark)) -> Result<Mark, String> {
        let mut keys = Vec::new();
        for row in self.picked_rows() {
            let key = self.view.mark_key(row.pos).map_err(|e| e.to_string())?.ok_or(NO_KEY)?;
            keys.push((key, row.text().into_owned()));
        }
        let last = keys.last().map(|(key, _)| *key).ok_or("no line is selected")?;
        // Until it is safely on disk may take a while; the next change waits for that.
        if let Some(before) = self.saving.take() {
            let _ = before.join();
        }
        // Other panes keep theirs in the same file.
        self.marks = Marks::load(&self.state).map_err(|e| e.to_string())?;
        for (key, line) in keys {
            if !self.marks.edit(key, &line, &change) {
                return Err("there are too many marks".to_owned());
            }
        }
        self.ticks.forget();
        let (marks, unsaved, wake) = (self.marks.clone(), Arc::clone(&self.unsaved), Arc::clone(&self.wake));
        let save = move || {
            if let Err(e) = marks.save() {
                *unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                wake();
            }
        };
        self.saving = Some(
            std::thread::Builder::new()
                .name("logs-marks".to_owned())
                .spawn(save)
                .map_err(|e| e.to_string())?,
        );
        Ok(self.marks.get(last).cloned().unwrap_or_default())
    }

    /// Sets or takes away the bookmark of the selected line.
    pub(super) fn toggle_bookmark(&mut self) {
        // Of several lines, what the first one gets they all get.
        let first = self.picked_rows().first().and_then(|row| self.mark_of(row).cloned());
        let on = !first.is_some_and(|m| m.bookmark);
        match self.edit_mark(|m| m.bookmark = on) {
            Ok(m) if m.bookmark => self.tell("bookmarked; ' goes to the next one"),
            Ok(_) => self.tell("the bookmark is gone"),
            Err(e) => self.fail(&e),
        }
    }

    /// Notes a comment on the selected line; an empty one takes it away.
    pub(super) fn set_comment(&mut self, text: &str) -> Result<(), String> {
        self.edit_mark(|m| m.comment = Some(text.to_owned()))
            .map(|m| self.tell(m.comment.map_or("the comment is gone", |_| "commented")))
    }

    /// Notes the tags of the selected line, blanks between them.
    pub(super) fn set_tags(&mut self, text: &str) -> Result<(), String> {
        let tags = text
            .split([' ', ','])
            .filter(|t| !t.is_empty())
            .map(|t| t.trim_start_matches('#').to_owned());
        let tags: Vec<String> = tags.collect();
        self.edit_mark(|m| m.tags.clone_from(&tags)).map(|m| {
            self.tell(format!(
                "tags: {}",
                if m.tags.is_empty() {
                    "none".to_owned()
                } else {
                    m.tags.join(" ")
                }
            ))
        })
    }

    /// Goes to the next or previous mark, from the other end when there is none.
    pub(super) fn jump_to_mark(&mut self, from: Pos, forward: bool) {
        match self.view.next_mark(&self.marks, from, forward) {
            Ok(Some(pos)) => self.visit(pos),
            Ok(None) => {
                let end = if forward { self.view.start() } else { self.view.end() };
                let all: Vec<Pos> = self
                    .marks
                    .iter()
                    .filter_map(|(key, _)| self.view.marked(key).ok().flatten())
                    .collect();
                let first = end.ok().flatten().and_then(|pos| {
                    if all.contains(&pos) {
                        return Some(pos);
                    }
                    self.view.next_mark(&self.marks, pos, forward).ok().flatten()
                });
                match first.or(all.first().copied()) {
                    Some(pos) => {
                        self.visit(pos);
                        self.tell(if pos == from {
                            "this is the only mark"
                        } else if forward {
                            "past the end: on from the beginning"
                        } else {
                            "past the beginning: on from the end"
                        });
                    }
                    None => self.fail("there are no marks here; m sets one"),
                }
            }
            Err(e) => self.fail(&e.to_string()),
        }
    }
}
