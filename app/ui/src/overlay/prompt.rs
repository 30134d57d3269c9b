//! The prompt: one line at the bottom of the screen, with history, completions above it and errors at their place below
//! it. It owns the line; what the words mean is the caller's, who hands in a completer and sets errors.

use std::ops::Range;

use qd_frame::Frame;
use qd_tty::{Attrs, CursorShape, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind, Rect, Underline};
use ratatui::{
    layout,
    text::{Line, Span},
    widgets::{List, ListItem, Widget},
};

use super::{Outcome, Overlay, Popup, Submit, hint, keep_in_view, on_row};
use crate::{
    canvas::{Pen, fit, width, width16},
    edit::{Edit, LineEdit},
    theme::{Look, Role},
};

/// The most completions shown at once.
const MAX_ROWS: usize = 10;

/// A way to go on with what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The bytes of the line that it takes the place of.
    pub replace: Range<usize>,
    /// What stands there then.
    pub text: String,
    /// What it is, in a line.
    pub doc: String,
}

/// Gives the completions for the text before the caret.
pub type Completer = Box<dyn Fn(&str) -> Vec<Completion> + Send>;

/// One line at the bottom of the screen.
pub struct Prompt {
    label: String,
    enter: String,
    line: LineEdit,
    history: Vec<String>,
    /// The place in the history, and what was typed before it was looked at.
    recalled: Option<(usize, String)>,
    completer: Option<Completer>,
    completions: Vec<Completion>,
    /// The completion that stands in the line, and the line without it.
    chosen: Option<(usize, LineEdit)>,
    first: usize,
    error: Option<(Range<usize>, String)>,
    /// Where the completions were drawn last.
    list: Rect,
}

impl Prompt {
    /// A prompt with a label and text to start from.
    #[must_use]
    pub fn new(label: impl Into<String>, initial: &str) -> Self {
        Self {
            label: label.into(),
            enter: "accept".into(),
            line: LineEdit::new(initial),
            history: Vec::new(),
            recalled: None,
            completer: None,
            completions: Vec::new(),
            chosen: None,
            first: 0,
            error: None,
            list: Rect::default(),
        }
    }

    /// With earlier lines, oldest first, for the arrows.
    #[must_use]
    pub fn with_history(mut self, history: Vec<String>) -> Self {
        self.history = history;
        self
    }

    /// With a completer.
    #[must_use]
    pub fn with_completer(mut self, completer: Completer) -> Self {
        self.completer = Some(completer);
        self.complete();
        self
    }

    /// With this word for what Enter does, in place of \u{201c}accept\u{201d}.
    #[must_use]
    pub fn with_enter(mut self, word: impl Into<String>) -> Self {
        self.enter = word.into();
        self
    }

    /// What is typed.
    #[must_use]
    pub fn text(&self) -> &str {
        self.line.text()
    }

    /// Shows a mistake at these bytes of the line, until the line changes.
    pub fn set_error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.error = Some((span, message.into()));
    }

    fn complete(&mut self) {
        self.chosen = None;
        self.first = 0;
        self.completions = self
            .completer
            .as_ref()
            .map(|c| c(self.line.before()))
            .unwrap_or_default();
    }

    fn edited(&mut self, edit: Edit) -> Outcome {
        match edit {
            Edit::Ignored => return Outcome::Ignored,
            Edit::Moved => {}
            Edit::Changed => {
                self.error = None;
                self.recalled = None;
            }
        }
        self.complete();
        Outcome::Changed
    }

    /// Puts the next completion in the line, or the previous one.
    fn cycle(&mut self, by: isize) -> Outcome {
        let n = self.completions.len();
        if n == 0 {
            return Outcome::Changed;
        }
        let next = match (&self.chosen, by > 0) {
            (None, true) => 0,
            (None, false) => n - 1,
            (Some((at, _)), true) => (at + 1) % n,
            (Some((at, _)), false) => (at + n - 1) % n,
        };
        self.take(next)
    }

    fn take(&mut self, i: usize) -> Outcome {
        let Some(c) = self.completions.get(i) else {
            return Outcome::Changed;
        };
        let base = self.chosen.take().map_or_else(|| self.line.clone(), |(_, base)| base);
        self.line = base.clone();
        self.line.replace(c.replace.clone(), &c.text);
        self.chosen = Some((i, base));
        self.error = None;
        Outcome::Changed
    }

    /// Goes through the lines of the history that start with what was typed.
    fn recall(&mut self, older: bool) -> Outcome {
        let (at, typed) = self
            .recalled
            .clone()
            .unwrap_or_else(|| (self.history.len(), self.line.text().to_owned()));
        let fits = |i: &usize| {
            self.history
                .get(*i)
                .is_some_and(|h| h.starts_with(&typed) && h != self.line.text())
        };
        let to = if older {
            (0..at).rev().find(fits)
        } else {
            (at + 1..self.history.len()).find(fits)
        };
        match to.and_then(|i| Some((i, self.history.get(i)?.clone()))) {
            Some((i, text)) => {
                self.line.set(&text);
                self.recalled = Some((i, typed));
            }
            None if older => return Outcome::Changed,
            None => {
                self.line.set(&typed);
                self.recalled = None;
            }
        }
        self.error = None;
        self.complete();
        Outcome::Changed
    }

    fn draw_completions(&mut self, area: Rect, line_y: u16, frame: &mut Frame, look: &Look) {
        self.list = Rect::default();
        let room = usize::from(line_y.saturating_sub(area.y)).saturating_sub(3);
        let rows = self.completions.len().min(MAX_ROWS).min(room);
        if rows == 0 || area.w < 12 {
            return;
        }
        let at = self.chosen.as_ref().map_or(0, |(i, _)| *i);
        self.first = keep_in_view(self.first, at, rows, self.completions.len());
        let name = self
            .completions
            .iter()
            .map(|c| width(&c.text))
            .max()
            .unwrap_or(0)
            .min(32);
        let doc = self.completions.iter().map(|c| width(&c.doc)).max().unwrap_or(0);
        let w = u16::try_from(name + doc + 6)
            .unwrap_or(u16::MAX)
            .clamp(20, 90)
            .min(area.w);
        let h = u16::try_from(rows).unwrap_or(0) + 2;
        let outer = Rect::new(area.x, line_y - h, w, h);
        let counter = if rows < self.completions.len() {
            format!("{}", self.completions.len())
        } else {
            String::new()
        };
        let mut popup = Popup::new(outer, super::boxed(outer), "", &counter, look);
        let inner = popup.inner;
        let doc_room = usize::from(inner.width).saturating_sub(name + 4);
        let m = look.marks();
        let shown = self
            .completions
            .iter()
            .enumerate()
            .skip(self.first)
            .take(rows)
            .map(|(i, c)| {
                let on = self.chosen.as_ref().is_some_and(|(at, _)| *at == i);
                let base = if on { Role::ListSelected } else { Role::PopupBackground };
                let text = look.text(&c.text);
                let text = fit(&text, name, m.ellipsis);
                let doc = look.text(&c.doc);
                let doc = fit(&doc, doc_room, m.ellipsis).into_owned();
                let pad = " ".repeat(name - width(&text).min(name) + 2);
                let lead = if on { m.pointer } else { " " };
                let spans = vec![
                    Span::styled(lead, on_row(Role::PopupTitle, on, look)),
                    Span::raw(format!("{text}{pad}")),
                    Span::styled(doc, on_row(Role::TextDim, on, look)),
                ];
                ListItem::new(Line::from(spans)).style(look.rat(base))
            });
        Widget::render(List::new(shown), inner, &mut popup.buffer);
        if rows < self.completions.len() {
            let bar = layout::Rect {
                x: outer.right() - 1,
                y: inner.y,
                width: 1,
                height: inner.height,
            };
            super::picker::scrollbar(bar, self.first, rows, self.completions.len(), &mut popup.buffer, look);
        }
        self.list = Rect::new(inner.x, inner.y, inner.width, inner.height);
        popup.finish(frame, look);
    }
}

impl Overlay for Prompt {
    fn key(&mut self, e: &KeyEvent) -> Outcome {
        if e.kind == KeyKind::Release {
            return Outcome::Ignored;
        }
        let chord = e.chord();
        let (ctrl, plain) = (chord.mods == Mods::CTRL, chord.mods.is_empty());
        match chord.key {
            Key::Enter => Outcome::Submit(Submit::Text(self.line.text().to_owned())),
            Key::Esc => Outcome::Close,
            Key::Char('c' | 'g') if ctrl => Outcome::Close,
            Key::Char('d') if ctrl && self.line.text().is_empty() => Outcome::Close,
            Key::Tab if plain => self.cycle(1),
            Key::Tab if chord.mods == Mods::SHIFT => self.cycle(-1),
            Key::Up if plain => self.recall(true),
            Key::Down if plain => self.recall(false),
            Key::Char('p') if ctrl => self.recall(true),
            Key::Char('n') if ctrl => self.recall(false),
            _ => {
                let edit = self.line.key(e);
                self.edited(edit)
            }
        }
    }

    fn mouse(&mut self, e: &MouseEvent) -> Outcome {
        match e.kind {
            MouseKind::Press(MouseButton::Left) if self.list.contains(e.col, e.row) => {
                self.take(self.first + usize::from(e.row - self.list.y))
            }
            MouseKind::WheelDown if self.list.contains(e.col, e.row) => self.cycle(1),
            MouseKind::WheelUp if self.list.contains(e.col, e.row) => self.cycle(-1),
            _ => Outcome::Ignored,
        }
    }

    fn paste(&mut self, text: &str) -> Outcome {
        let edit = self.line.insert(text);
        self.edited(edit)
    }

    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look) {
        frame.set_cursor(None);
        if area.is_empty() {
            return;
        }
        // Above the hint bar, where there is one; an error takes the row below the line.
        let mut y = area.bottom() - if area.h >= 4 { 2 } else { 1 };
        let error_y = y;
        let shows_error = self.error.is_some() && y > area.y;
        if shows_error {
            y -= 1;
        }
        self.draw_completions(area, y, frame, look);

        frame.fill(Rect::new(area.x, y, area.w, 1), look.blank(Role::PopupBackground));
        let label = look.text(&self.label).into_owned();
        let label = fit(&label, usize::from(area.w).saturating_sub(6), look.marks().ellipsis).into_owned();
        let mut pen = Pen::new(frame, look, area, y);
        pen.put(&label, look.style(Role::InputPrompt));
        let x = pen.x;
        let (text, start, caret) = self.line.view(pen.room().into());
        pen.put(&text, look.style(Role::PopupBackground));

        let column = |byte: usize| {
            let shown = self.line.text().get(start..byte.max(start)).map_or(0, width16);
            x.saturating_add(shown).min(area.right())
        };
        if let (Some((span, message)), true) = (&self.error, shows_error) {
            let len = self.line.text().len();
            let (from, to) = (column(span.start.min(len)), column(span.end.min(len)));
            let style = look.style(Role::InputError);
            frame.restyle(Rect::new(from, y, to.saturating_sub(from), 1), |c| {
                c.fg = style.fg;
                c.ul = style.ul;
                let kind = match style.attrs.underline() {
                    Underline::None => Underline::Single,
                    kind => kind,
                };
                c.attrs = c.attrs.with_underline(kind);
            });
            let mut plain = style;
            plain.attrs = (plain.attrs & Attrs::BOLD).with_underline(Underline::None);
            frame.fill(Rect::new(area.x, error_y, area.w, 1), look.blank(Role::PopupBackground));
            let carets = "^".repeat(usize::from(to.saturating_sub(from).max(1)));
            let message = look.text(message).into_owned();
            // The message follows its carets; where it would be cut, it stands further left in place of them.
            let wish = usize::from(from - area.x) + carets.len() + 1 + width(&message);
            let mut pen = Pen::new(frame, look, area, error_y);
            if wish <= usize::from(area.w) {
                pen = pen.at(from);
                pen.put(&format!("{carets} "), plain);
            }
            pen.put(&message, plain);
        }
        let caret_x = x
            .saturating_add(u16::try_from(caret).unwrap_or(0))
            .min(area.right() - 1);
        frame.set_cursor(Some((caret_x, y, CursorShape::SteadyBar)));
    }

    fn mode(&self) -> &'static str {
        "INPUT"
    }

    fn hints(&self) -> Vec<(String, String)> {
        let mut h = vec![hint("Enter", &self.enter)];
        if self.completer.is_some() {
            h.push(hint("Tab", "complete"));
        }
        if !self.history.is_empty() {
            h.push(hint("↑↓", "history"));
        }
        h.push(hint("Esc", "leave"));
        h
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(p: &mut Prompt, keys: &str) -> Outcome {
        let mut last = Outcome::Ignored;
        for k in keys.split_whitespace() {
            let c: qd_tty::Chord = k.parse().unwrap();
            last = p.key(&KeyEvent::new(c.key, c.mods));
        }
        last
    }

    fn words() -> Completer {
        Box::new(|before| {
            let start = before.rfind(' ').map_or(0, |i| i + 1);
            let all = ["new-pane", "new-tab", "quit"].into_iter();
            all.filter(|w| w.starts_with(&before[start..]))
                .map(|w| Completion {
                    replace: start..before.len(),
                    text: w.into(),
                    doc: String::new(),
                })
                .collect()
        })
    }

    #[test]
    fn tab_goes_round_the_completions_and_typing_settles_one() {
        let mut p = Prompt::new(":", "").with_completer(words());
        press(&mut p, "n e");
        press(&mut p, "Tab");
        assert_eq!(p.text(), "new-pane");
        press(&mut p, "Tab");
        assert_eq!(p.text(), "new-tab");
        press(&mut p, "Tab");
        assert_eq!(p.text(), "new-pane");
        press(&mut p, "Shift-Tab");
        assert_eq!(p.text(), "new-tab");
        press(&mut p, "Space q Tab");
        assert_eq!(p.text(), "new-tab quit");
        assert_eq!(
            press(&mut p, "Enter"),
            Outcome::Submit(Submit::Text("new-tab quit".into()))
        );
    }

    #[test]
    fn history_keeps_to_what_was_typed_and_comes_back_to_it() {
        let history = ["quit", "new-tab", "new-pane", "quit"].map(String::from).to_vec();
        let mut p = Prompt::new(":", "").with_history(history);
        press(&mut p, "n Up");
        assert_eq!(p.text(), "new-pane");
        press(&mut p, "Up Up Up");
        assert_eq!(p.text(), "new-tab");
        press(&mut p, "Down");
        assert_eq!(p.text(), "new-pane");
        press(&mut p, "Down Down");
        assert_eq!(p.text(), "n");
        press(&mut p, "Ctrl-u Ctrl-p");
        assert_eq!(p.text(), "quit");
    }

    #[test]
    fn an_error_goes_when_the_text_changes_but_not_when_the_caret_moves() {
        let mut p = Prompt::new(":", "nope x");
        p.set_error(0..4, "no such command");
        press(&mut p, "Left");
        assert!(p.error.is_some());
        press(&mut p, "Backspace");
        assert!(p.error.is_none());
    }

    #[test]
    fn a_completer_that_answers_nonsense_does_no_harm() {
        let mut p = Prompt::new(":", "é").with_completer(Box::new(|_| {
            vec![Completion {
                replace: 1..99,
                text: "x".into(),
                doc: String::new(),
            }]
        }));
        press(&mut p, "Tab Tab Shift-Tab");
        assert_eq!(p.text(), "é");
        assert_eq!(press(&mut p, "Ctrl-d"), Outcome::Changed);
        assert_eq!(press(&mut p, "Ctrl-u Ctrl-d"), Outcome::Close);
    }
}
