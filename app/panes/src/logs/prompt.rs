//! The prompt at the bottom: what it asks for, what it says while one types, completion, and what an answer does.

use std::{path::PathBuf, sync::Arc};

use qd_core::{
    When,
    filter::{Diagnostic, Level},
};
use qd_logs_view::{FilterKind, PreviewState, SharedPredicate, Snapshot, is_location, plain};
use qd_tty::{Key, KeyEvent, Mods};
use qd_ui::edit::{Edit, LineEdit};

use super::{LogPane, complete::Choices, grouped, now, text::signed_nanos};

/// How many answers are remembered for each question.
const REMEMBERED: usize = 100;

/// What a typed filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Keeps the lines that match.
    In,
    /// Hides them.
    Out,
    /// Shows where they are, and changes nothing.
    Find,
}

/// What the prompt asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A filter, or a text to find.
    Filter(Mode),
    /// A moment to go to.
    Time,
    /// A moment for all log panes to go to.
    Moment,
    /// A line number of the selected line's source.
    Line,
    /// A share of everything to go to.
    Percent,
    /// What to add to the clock of a source.
    Clock(u32),
    /// An SQL statement.
    Sql,
    /// A file to write what is shown to.
    Export,
    /// Whether that file may be replaced.
    Replace(PathBuf),
    /// Another log to open.
    Open,
    /// A name for how the log is looked at.
    SaveView,
    /// A comment on the selected line.
    Comment,
    /// Its tags.
    Tags,
}

impl Ask {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Ask::Filter(Mode::In) => "show only",
            Ask::Filter(Mode::Out) => "hide",
            Ask::Filter(Mode::Find) => "find",
            Ask::Time => "go to time",
            Ask::Moment => "all logs to",
            Ask::Line => "go to line",
            Ask::Percent => "go to %",
            Ask::Clock(_) => "add to its clock",
            Ask::Sql => "SQL",
            Ask::Export => "write to",
            Ask::Replace(_) => "replace it? y or n",
            Ask::Open => "open",
            Ask::SaveView => "save this view as",
            Ask::Comment => "comment",
            Ask::Tags => "tags",
        }
    }

    /// What helps to answer.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Ask::Filter(Mode::In) => {
                "word \"a phrase\" field:>=500 /regex/ -not a OR b vrl:.a>1 \u{b7} Tab completes \u{b7} Ctrl-t: hide, find"
            }
            Ask::Filter(Mode::Out) => "what matches is hidden \u{b7} Tab completes \u{b7} Ctrl-t: find, show only",
            Ask::Filter(Mode::Find) => "a text, or /regex/ \u{b7} n N go on, \\ ends it \u{b7} Ctrl-t: show only, hide",
            Ask::Time | Ask::Moment => "12:30  2026-05-01 08:00  -15m",
            Ask::Line => "the number of a line of this source",
            Ask::Percent => "0 to 100",
            Ask::Clock(_) => "1h  -30s  +250ms",
            Ask::Sql => "select \u{2026} from log: line, time, level, source, body, fields, and the fields by name",
            Ask::Export => ".jsonl: JSON lines  .csv: CSV  else as they stand \u{b7} Tab completes",
            Ask::Replace(_) => "there is such a file already",
            Ask::Open => "a file, a directory, docker://name, journal://unit, ssh://host/path \u{b7} Tab completes",
            Ask::SaveView => "filters, level, search, columns and times are kept under this name",
            Ask::Comment => "an empty one takes it away",
            Ask::Tags => "blanks between them; none takes them away",
        }
    }

    /// Questions of the same number remember the same answers.
    fn group(&self) -> u8 {
        match self {
            Ask::Filter(_) => 0,
            Ask::Time | Ask::Moment => 1,
            Ask::Line | Ask::Percent => 2,
            Ask::Clock(_) => 3,
            Ask::Sql => 4,
            Ask::Export | Ask::Replace(_) => 5,
            Ask::Open => 6,
            Ask::Comment => 7,
            Ask::Tags => 8,
            Ask::SaveView => 9,
        }
    }
}

/// The line that is typed at the bottom.
#[derive(Debug)]
pub(super) struct Typing {
    pub(super) ask: Ask,
    pub(super) edit: LineEdit,
    /// Why the last answer was refused.
    pub(super) error: Option<String>,
    /// What is wrong with the filter, and where.
    pub(super) faults: Vec<Diagnostic>,
    pub(super) choices: Option<Choices>,
    /// The preview of what is typed.
    preview: Option<u32>,
    past: Option<usize>,
}

impl Typing {
    /// What is to be said above the prompt, and whether it is bad.
    pub(super) fn words(&self, known: &Snapshot) -> (String, bool) {
        if let Some(e) = &self.error {
            return (plain(e.lines().next().unwrap_or_default()), true);
        }
        let counted = known
            .preview
            .as_ref()
            .filter(|p| Some(p.id) == self.preview)
            .map(|p| counted(p, known, matches!(self.ask, Ask::Filter(Mode::Find))));
        match (self.faults.first(), counted) {
            (Some(f), None) => (plain(&f.to_string()), f.level == Level::Error),
            (Some(f), Some(n)) => (format!("{n} \u{b7} {}", plain(&f.to_string())), false),
            (None, Some(n)) => (n, false),
            (None, None) => (self.ask.hint().to_owned(), false),
        }
    }
}

/// What a filter would do that is being typed, in words.
fn counted(p: &PreviewState, known: &Snapshot, finds: bool) -> String {
    let so_far = if p.done {
        String::new()
    } else {
        let share = p.evaluated as f64 * 100.0 / known.lines.max(1) as f64;
        format!(" so far \u{b7} {share:.0} % looked at")
    };
    if finds {
        return format!("{} lines have it{so_far}", grouped(p.rows));
    }
    let verb = match p.kind {
        FilterKind::In => "match",
        FilterKind::Out => "are hidden by it",
    };
    let mut out = format!("{} of {} lines {verb}", grouped(p.matched), grouped(known.lines));
    if known.level.is_some() || known.filters.iter().any(|f| f.enabled) || p.kind == FilterKind::Out {
        out.push_str(&format!(", {} of {} stay", grouped(p.rows), grouped(known.rows)));
    }
    out + &so_far
}

/// What was answered before, by group.
#[derive(Debug, Default)]
pub(super) struct History(Vec<(u8, String)>);

impl History {
    fn push(&mut self, group: u8, text: &str) {
        self.0.retain(|(g, t)| *g != group || t != text);
        self.0.push((group, text.to_owned()));
        if self.0.iter().filter(|(g, _)| *g == group).count() > REMEMBERED
            && let Some(first) = self.0.iter().position(|(g, _)| *g == group)
        {
            self.0.remove(first);
        }
    }

    /// The answers of a group, the newest first.
    fn of(&self, group: u8) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .rev()
            .filter(move |(g, _)| *g == group)
            .map(|(_, t)| t.as_str())
    }
}

impl LogPane {
    pub(super) fn ask(&mut self, ask: Ask, text: &str) {
        self.typing = Some(Typing {
            ask,
            edit: LineEdit::new(text),
            error: None,
            faults: Vec::new(),
            choices: None,
            preview: None,
            past: None,
        });
        self.typed();
    }

    /// Ends the prompt without an answer.
    fn leave_prompt(&mut self) {
        self.typing = None;
        self.view.end_preview();
    }

    /// A path as it is typed: from the home directory, from the pane's own, or absolute.
    pub(super) fn path_of(&self, text: &str) -> PathBuf {
        if let Some(rest) = text.strip_prefix("~/")
            && let Some(home) = std::env::var_os("HOME")
        {
            return PathBuf::from(home).join(rest);
        }
        match &self.base {
            Some(base) => base.join(text),
            None => PathBuf::from(text),
        }
    }

    pub(super) fn type_text(&mut self, text: &str) {
        if let Some(t) = &mut self.typing {
            t.edit.insert(text);
        }
        self.typed();
    }

    /// The text changed: what was said about it counts no more.
    pub(super) fn typed(&mut self) {
        let Some(t) = &mut self.typing else { return };
        t.error = None;
        t.choices = None;
        t.faults.clear();
        t.preview = None;
        let text = t.edit.text().trim();
        let (kind, found) = match t.ask {
            Ask::Filter(_) if text.is_empty() => (FilterKind::In, None),
            Ask::Filter(Mode::Find) => {
                let found = super::jobs::pattern(text).ok();
                (FilterKind::In, found.map(|p| Arc::new(p) as SharedPredicate))
            }
            Ask::Filter(mode) => {
                let found = match qd_logs_condition::compile(t.edit.text(), &now()) {
                    Ok((found, warnings)) => {
                        t.faults = warnings;
                        Some(found)
                    }
                    Err(faults) => {
                        t.faults = faults;
                        None
                    }
                };
                // The worst is told first.
                t.faults.sort_by_key(|f| std::cmp::Reverse(f.level));
                (
                    if mode == Mode::In {
                        FilterKind::In
                    } else {
                        FilterKind::Out
                    },
                    found,
                )
            }
            _ => return,
        };
        // It is counted in the background, until the next key.
        match found {
            Some(found) => t.preview = Some(self.view.preview(kind, text, found)),
            None => self.view.end_preview(),
        }
    }

    pub(super) fn type_key(&mut self, k: &KeyEvent) -> bool {
        let Some(t) = &mut self.typing else { return false };
        let chord = k.chord();
        match (chord.key, chord.mods) {
            (Key::Esc, _) => {
                // One level out: what is offered first.
                if t.choices.take().is_none() {
                    self.leave_prompt();
                }
            }
            (Key::Char('c' | 'g'), Mods::CTRL) => self.leave_prompt(),
            (Key::Enter, _) => self.answer(),
            (Key::Tab, Mods::SHIFT) => self.complete(false),
            (Key::Tab, m) if m.is_empty() => self.complete(true),
            (Key::Char('t'), Mods::CTRL) => {
                if let Ask::Filter(mode) = &mut t.ask {
                    *mode = match mode {
                        Mode::In => Mode::Out,
                        Mode::Out => Mode::Find,
                        Mode::Find => Mode::In,
                    };
                    self.typed();
                }
            }
            (Key::Up | Key::Down, m) if m.is_empty() => {
                let next = match (t.past, chord.key == Key::Up) {
                    (None, true) => Some(0),
                    (Some(i), true) => Some(i + 1),
                    (Some(i), false) => i.checked_sub(1),
                    (None, false) => None,
                };
                match next.map(|i| self.history.of(t.ask.group()).nth(i)) {
                    Some(Some(text)) => {
                        t.edit.set(text);
                        t.past = next;
                    }
                    Some(None) => return true,
                    None if t.past.is_some() => {
                        t.edit.set("");
                        t.past = None;
                    }
                    None => return true,
                }
                self.typed();
            }
            _ => match t.edit.key(k) {
                Edit::Changed => self.typed(),
                Edit::Moved => t.choices = None,
                Edit::Ignored => {}
            },
        }
        true
    }

    /// Enter in the prompt.
    fn answer(&mut self) {
        let Some(mut t) = self.typing.take() else { return };
        let text = t.edit.text().trim().to_owned();
        let may_be_empty = matches!(t.ask, Ask::Comment | Ask::Tags);
        if text.is_empty() && !may_be_empty {
            self.view.end_preview();
            return;
        }
        let known = t
            .preview
            .take()
            .filter(|_| matches!(t.ask, Ask::Filter(Mode::In | Mode::Out)));
        let done = match known {
            Some(id) => self.take_preview(id, &t.ask, &text),
            None => self.take_answer(&t.ask, &text),
        };
        if matches!(t.ask, Ask::Filter(_)) {
            self.view.end_preview();
        }
        match done {
            Ok(()) => {
                if !matches!(t.ask, Ask::Replace(_)) && !text.is_empty() {
                    self.history.push(t.ask.group(), &text);
                }
            }
            Err(e) => {
                t.error = Some(e);
                t.choices = None;
                self.typing = Some(t);
            }
        }
    }

    fn take_answer(&mut self, ask: &Ask, text: &str) -> Result<(), String> {
        match ask {
            Ask::Filter(Mode::In) => self.add_filter(FilterKind::In, text),
            Ask::Filter(Mode::Out) => self.add_filter(FilterKind::Out, text),
            Ask::Filter(Mode::Find) => self.start_search(text),
            Ask::Time => {
                let when = When::parse(text, &now()).map_err(|e| e.to_string())?;
                let to = self.view.at_time(when.start(now().at));
                self.go(to, "line at or after that time");
                Ok(())
            }
            Ask::Moment => {
                let when = When::parse(text, &now()).map_err(|e| e.to_string())?;
                let at = when.start(now().at);
                let to = self.view.at_time(at);
                self.set_moment(Some(at));
                self.go(to, "line at or after that time");
                Ok(())
            }
            Ask::Line => {
                let n = text
                    .replace(',', "")
                    .parse::<u64>()
                    .map_err(|_| "a line's number is wanted".to_owned())?;
                let source = self.cursor.map_or(0, |c| c.source);
                self.go_to_line(source, n);
                Ok(())
            }
            Ask::Percent => {
                let p = text
                    .trim_end_matches('%')
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|p| (0.0..=100.0).contains(p))
                    .ok_or("a number from 0 to 100 is wanted")?;
                let to = self.view.at_share(p / 100.0);
                self.go(to, "line");
                Ok(())
            }
            Ask::Clock(source) => {
                let n = signed_nanos(text)?;
                self.view.adjust_clock(*source, n).map_err(|e| e.to_string())?;
                self.tell("the clock is adjusted");
                Ok(())
            }
            Ask::Sql => self.start_sql(text),
            Ask::Export => {
                let path = self.path_of(text);
                if !self.start_export(&path, false)? {
                    self.ask(Ask::Replace(path), "");
                }
                Ok(())
            }
            Ask::Replace(path) => match text.to_ascii_lowercase().as_str() {
                "y" | "yes" => self.start_export(path, true).map(drop),
                "n" | "no" => {
                    self.tell("nothing was written");
                    Ok(())
                }
                _ => Err("y or n is wanted".to_owned()),
            },
            Ask::Open => {
                let place = if is_location(text) || text == "-" {
                    text.to_owned()
                } else {
                    self.path_of(text).display().to_string()
                };
                let count = super::open::open_one(&self.view, &place, &mut self.feeds)?;
                self.indexed = false;
                if !self.places.contains(&place) {
                    self.places.push(place);
                }
                self.tell(match count {
                    1 => "opened".to_owned(),
                    n => format!("{n} files opened"),
                });
                Ok(())
            }
            Ask::SaveView => self.save_view(text),
            Ask::Comment => self.set_comment(text),
            Ask::Tags => self.set_tags(text),
        }
    }

    /// Makes a filter of what was counted while it was typed.
    fn take_preview(&mut self, id: u32, ask: &Ask, text: &str) -> Result<(), String> {
        let before = self.guise();
        if self.view.take_preview(id).map_err(|e| e.to_string())? {
            self.changed_from(before);
            return Ok(());
        }
        self.take_answer(ask, text)
    }

    /// Adds a filter; the selection stays where it is, or at the nearest line that is left.
    pub(super) fn add_filter(&mut self, kind: FilterKind, text: &str) -> Result<(), String> {
        let found = qd_logs_condition::predicate(text, &now())?;
        let before = self.guise();
        self.view
            .add_filter(kind, text, found, true)
            .map_err(|e| e.to_string())?;
        self.changed_from(before);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_remembered_once_and_by_question() {
        let mut h = History::default();
        h.push(0, "a");
        h.push(1, "x");
        h.push(0, "b");
        h.push(0, "a");
        assert_eq!(h.of(0).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(h.of(1).collect::<Vec<_>>(), ["x"]);
        for i in 0..2 * REMEMBERED {
            h.push(0, &i.to_string());
        }
        assert_eq!(h.of(0).count(), REMEMBERED);
        assert_eq!(h.of(1).count(), 1);
    }
}
