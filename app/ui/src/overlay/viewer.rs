//! The viewer: lines to read, for help and messages. It owns the lines, the cursor and the filter, with the verbs that lists
//! have everywhere, and must never change what it shows.

use std::ops::Range;

use qd_frame::Frame;
use qd_tty::{CursorShape, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind, Rect};
use ratatui::{
    layout,
    style::Style,
    text::{Line, Span},
    widgets::{List, ListItem, Paragraph, Widget},
};

use super::{Outcome, Overlay, Popup, Submit, draw_input, hint, keep_in_view, on_row, step};
use crate::{
    canvas::{centred, fit, wrap},
    edit::{Edit, LineEdit},
    theme::{Look, Role},
};

/// A line of a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerLine {
    /// Its words.
    pub text: String,
    /// What they mean.
    pub role: Role,
}

impl ViewerLine {
    /// A line.
    #[must_use]
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self {
            text: text.into(),
            role,
        }
    }
}

/// Whether the filter is being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typing {
    Yes,
    No,
}

/// What long lines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Long {
    Wrap,
    Cut,
}

/// Lines to read.
#[derive(Debug, Clone)]
pub struct Viewer {
    title: String,
    nothing: String,
    lines: Vec<ViewerLine>,
    filter: LineEdit,
    typing: Typing,
    long: Long,
    /// The lines that pass the filter.
    shown: Vec<usize>,
    /// The line under the cursor, in `shown`.
    at: usize,
    /// The first row on the screen, counted in rows.
    first: usize,
    /// Whether `g` was pressed, and the next key says where to go.
    goto: bool,
    /// Where the lines were drawn last, and which entry of `shown` each row belongs to.
    list: Rect,
    rows: Vec<usize>,
}

impl Viewer {
    /// A viewer of these lines, at the first.
    #[must_use]
    pub fn new(title: impl Into<String>, lines: Vec<ViewerLine>) -> Self {
        let shown = (0..lines.len()).collect();
        Self {
            title: title.into(),
            nothing: "nothing yet".into(),
            lines,
            filter: LineEdit::default(),
            typing: Typing::No,
            long: Long::Wrap,
            shown,
            at: 0,
            first: 0,
            goto: false,
            list: Rect::default(),
            rows: Vec::new(),
        }
    }

    /// At the last line.
    #[must_use]
    pub fn at_end(mut self) -> Self {
        self.at = self.shown.len().saturating_sub(1);
        self
    }

    /// With these words where there are no lines, in place of \u{201c}nothing yet\u{201d}.
    #[must_use]
    pub fn with_nothing(mut self, words: impl Into<String>) -> Self {
        self.nothing = words.into();
        self
    }

    /// Replaces the lines. A cursor at the end stays there.
    pub fn set_lines(&mut self, lines: Vec<ViewerLine>) {
        let (at, followed) = (self.at, self.at + 1 >= self.shown.len());
        self.lines = lines;
        self.refilter();
        self.at = if followed { usize::MAX } else { at }.min(self.shown.len().saturating_sub(1));
    }

    /// Lines that hold the filter's words, whatever their case.
    fn refilter(&mut self) {
        let wanted = self.filter.text().to_lowercase();
        let passes = |i: &usize| {
            self.lines
                .get(*i)
                .is_some_and(|l| l.text.to_lowercase().contains(&wanted))
        };
        let kept = self.shown.get(self.at).copied();
        self.shown = (0..self.lines.len()).filter(passes).collect();
        // The cursor stays on its line, or goes to the next one that passes.
        self.at = kept.and_then(|k| self.shown.iter().position(|i| *i >= k)).unwrap_or(0);
    }

    fn move_by(&mut self, by: isize) -> Outcome {
        self.at = step(self.at, by, self.shown.len());
        Outcome::Changed
    }

    fn copy(&self, entries: Range<usize>) -> Outcome {
        let lines = self
            .shown
            .get(entries)
            .unwrap_or_default()
            .iter()
            .filter_map(|i| self.lines.get(*i));
        let text: Vec<&str> = lines.map(|l| l.text.as_str()).collect();
        if text.is_empty() {
            Outcome::Changed
        } else {
            Outcome::Submit(Submit::Copy(text.join("\n")))
        }
    }

    fn type_key(&mut self, e: &KeyEvent) -> Outcome {
        match e.chord().key {
            Key::Enter => self.typing = Typing::No,
            Key::Esc => return self.leave(),
            _ => match self.filter.key(e) {
                Edit::Ignored => return Outcome::Ignored,
                Edit::Moved => {}
                Edit::Changed => self.refilter(),
            },
        }
        Outcome::Changed
    }

    /// One level out: the filter, then the viewer.
    fn leave(&mut self) -> Outcome {
        if self.typing == Typing::No && self.filter.text().is_empty() {
            return Outcome::Close;
        }
        self.typing = Typing::No;
        self.filter.set("");
        self.refilter();
        Outcome::Changed
    }

    fn half(&self) -> isize {
        isize::try_from(self.list.h / 2).unwrap_or(1).max(1)
    }

    /// The rows that the lines take on `cols` columns.
    fn lay_out(&self, cols: usize) -> Vec<Row> {
        let mut rows = Vec::new();
        for (entry, line) in self.shown.iter().enumerate() {
            let Some(l) = self.lines.get(*line) else { continue };
            match self.long {
                Long::Wrap => wrap_line(entry, &l.text, cols, &mut rows),
                Long::Cut => {
                    let range = 0..l.text.find('\n').unwrap_or(l.text.len());
                    rows.push(Row {
                        entry,
                        range,
                        indent: 0,
                    });
                }
            }
        }
        rows
    }

    fn row(&self, row: &Row, cols: usize, look: &Look) -> ListItem<'static> {
        let selected = row.entry == self.at;
        let under = if selected {
            Role::ListSelected
        } else {
            Role::PopupBackground
        };
        let pointer = if selected { look.marks().pointer } else { " " };
        let mut spans = vec![Span::styled(pointer, on_row(Role::PopupTitle, selected, look))];
        spans.push(Span::raw(" ".repeat(row.indent)));
        if let Some(l) = self.shown.get(row.entry).and_then(|i| self.lines.get(*i)) {
            // Plain words take the row's own style, so that a reversed row stays reversed.
            let style = if l.role == Role::Text {
                Style::new()
            } else {
                on_row(l.role, selected, look)
            };
            let text = l.text.get(row.range.clone()).unwrap_or_default().replace('\t', "    ");
            let text = fit(&text, cols.saturating_sub(row.indent), look.marks().ellipsis);
            spans.extend(highlighted(
                &text,
                self.filter.text(),
                style,
                on_row(Role::SearchMatch, selected, look),
            ));
        }
        ListItem::new(Line::from(spans)).style(look.rat(under))
    }
}

/// A row on the screen: a part of a line.
struct Row {
    /// The line's place in `shown`.
    entry: usize,
    /// The bytes of it that the row shows.
    range: Range<usize>,
    /// The columns before them.
    indent: usize,
}

/// Breaks a line into rows. Those after the first stand a little further right than the first.
fn wrap_line(entry: usize, text: &str, cols: usize, rows: &mut Vec<Row>) {
    let lead = text.len() - text.trim_start_matches(' ').len();
    let indent = (lead + 2).min(cols / 3);
    let mut start = 0;
    for paragraph in text.split('\n') {
        let first = wrap(paragraph, cols).into_iter().next().unwrap_or(0..0);
        rows.push(Row {
            entry,
            range: start..start + first.end,
            indent: 0,
        });
        let rest = paragraph.get(first.end..).unwrap_or_default().trim_start_matches(' ');
        if !rest.is_empty() {
            let at = start + paragraph.len() - rest.len();
            let row = |r: Range<usize>| Row {
                entry,
                range: at + r.start..at + r.end,
                indent,
            };
            rows.extend(wrap(rest, cols.saturating_sub(indent)).into_iter().map(row));
        }
        start += paragraph.len() + 1;
    }
}

/// `text` with the places of `wanted` in another style.
fn highlighted(text: &str, wanted: &str, plain: Style, hit: Style) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    let mut rest = text;
    // Byte offsets carry over only where lower case keeps lengths.
    let (low, wanted) = (text.to_lowercase(), wanted.to_lowercase());
    if low.len() == text.len() && !wanted.is_empty() {
        while let Some(i) = low.get(text.len() - rest.len()..).and_then(|l| l.find(&wanted)) {
            let (Some(before), Some(found)) = (rest.get(..i), rest.get(i..i + wanted.len())) else {
                break;
            };
            spans.push(Span::styled(before.to_owned(), plain));
            spans.push(Span::styled(found.to_owned(), hit));
            rest = rest.get(i + wanted.len()..).unwrap_or_default();
        }
    }
    spans.push(Span::styled(rest.to_owned(), plain));
    spans
}

impl Overlay for Viewer {
    fn key(&mut self, e: &KeyEvent) -> Outcome {
        if e.kind == KeyKind::Release {
            return Outcome::Ignored;
        }
        if self.typing == Typing::Yes {
            return self.type_key(e);
        }
        let chord = e.chord();
        let goto = std::mem::take(&mut self.goto);
        let page = self.half() * 2;
        if chord.mods == Mods::CTRL {
            return match chord.key {
                Key::Char('d') => self.move_by(self.half()),
                Key::Char('u') => self.move_by(-self.half()),
                Key::Char('f') => self.move_by(page),
                Key::Char('b') => self.move_by(-page),
                Key::Char('n' | 'j') => self.move_by(1),
                Key::Char('p' | 'k') => self.move_by(-1),
                Key::Char('c' | 'g') => Outcome::Close,
                _ => Outcome::Ignored,
            };
        }
        if !(chord.mods - Mods::SHIFT).is_empty() {
            return Outcome::Ignored;
        }
        match chord.key {
            Key::Char('g') if goto => self.move_by(isize::MIN),
            Key::Char('g') => {
                self.goto = true;
                Outcome::Changed
            }
            Key::Home => self.move_by(isize::MIN),
            Key::Char('G') | Key::End => self.move_by(isize::MAX),
            Key::Char('j') | Key::Down => self.move_by(1),
            Key::Char('k') | Key::Up => self.move_by(-1),
            Key::PageDown | Key::Char(' ') => self.move_by(page),
            Key::PageUp => self.move_by(-page),
            Key::Char('/') => {
                self.typing = Typing::Yes;
                Outcome::Changed
            }
            Key::Char('\\') => {
                self.filter.set("");
                self.refilter();
                Outcome::Changed
            }
            Key::Char('w') => {
                self.long = if self.long == Long::Wrap { Long::Cut } else { Long::Wrap };
                Outcome::Changed
            }
            Key::Char('y') => self.copy(self.at..self.at + 1),
            Key::Char('Y') => self.copy(0..self.shown.len()),
            Key::Esc => self.leave(),
            Key::Char('q') => Outcome::Close,
            _ => Outcome::Ignored,
        }
    }

    fn mouse(&mut self, e: &MouseEvent) -> Outcome {
        match e.kind {
            MouseKind::WheelUp => self.move_by(-3),
            MouseKind::WheelDown => self.move_by(3),
            MouseKind::Press(MouseButton::Left) if self.list.contains(e.col, e.row) => {
                let row = self.first + usize::from(e.row - self.list.y);
                let Some(entry) = self.rows.get(row) else {
                    return Outcome::Ignored;
                };
                self.at = *entry;
                Outcome::Changed
            }
            _ => Outcome::Ignored,
        }
    }

    fn paste(&mut self, text: &str) -> Outcome {
        if self.typing == Typing::No {
            return Outcome::Ignored;
        }
        self.filter.insert(text);
        self.refilter();
        Outcome::Changed
    }

    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look) {
        frame.set_cursor(None);
        if area.is_empty() {
            return;
        }
        let wide = if area.w < 64 {
            area.w
        } else {
            (area.w - area.w / 10).min(120)
        };
        let room = if area.h >= 8 {
            Rect::new(area.x, area.y + 1, area.w, area.h - 2)
        } else {
            area
        };
        let high = if room.h < 14 { room.h } else { room.h - room.h / 10 };
        let dot = look.marks().dot;
        let (n, all) = (self.shown.len(), self.lines.len());
        let grouped = super::picker::grouped;
        let mut counter = format!("{}/{}", grouped((self.at + 1).min(n)), grouped(n));
        if n < all {
            counter.push_str(&format!(" {dot} of {}", grouped(all)));
        }
        let outer = centred(room, wide, high);
        let mut popup = Popup::new(outer, super::boxed(outer), &self.title, &counter, look);
        let inner = popup.inner;
        let filtering = self.typing == Typing::Yes || !self.filter.text().is_empty();
        let input_rows = u16::from(filtering && inner.height > 1);
        let body = layout::Rect {
            height: inner.height - input_rows,
            ..inner
        };
        self.list = Rect::new(body.x, body.y, body.width, body.height);

        let cols = usize::from(body.width.saturating_sub(2));
        let rows = self.lay_out(cols.max(1));
        let visible = usize::from(body.height);
        let cursor = |from_end: bool| {
            let of_cursor = |r: &Row| r.entry == self.at;
            if from_end {
                rows.iter().rposition(of_cursor)
            } else {
                rows.iter().position(of_cursor)
            }
            .unwrap_or(0)
        };
        // The whole line under the cursor if it fits, else its beginning.
        self.first = keep_in_view(self.first, cursor(true), visible, rows.len()).min(cursor(false));
        let shown = rows.iter().skip(self.first).take(visible);
        let items: Vec<_> = shown.map(|row| self.row(row, cols, look)).collect();
        if items.is_empty() {
            let words = if all == 0 {
                self.nothing.clone()
            } else {
                format!("0 of {} match {dot} Esc clears", grouped(all))
            };
            let line = Line::styled(
                look.text(&words).into_owned(),
                look.rat_on(Role::TextDim, Role::PopupBackground),
            );
            Paragraph::new(line.centered()).render(body, &mut popup.buffer);
        }
        Widget::render(List::new(items), body, &mut popup.buffer);
        if rows.len() > visible && inner.width < popup.outer.w {
            let bar = layout::Rect {
                x: popup.outer.right() - 1,
                y: body.y,
                width: 1,
                height: body.height,
            };
            super::picker::scrollbar(bar, self.first, visible, rows.len(), &mut popup.buffer, look);
        }
        self.rows = rows.into_iter().map(|r| r.entry).collect();
        if input_rows > 0 {
            let row = layout::Rect {
                y: body.bottom(),
                height: 1,
                ..inner
            };
            let x = draw_input(&mut popup.buffer, row, "/", &self.filter, look);
            if self.typing == Typing::Yes {
                frame.set_cursor(x.map(|x| (x, row.y, CursorShape::SteadyBar)));
            }
        }
        popup.finish(frame, look);
    }

    fn mode(&self) -> &'static str {
        match self.typing {
            Typing::Yes => "INPUT",
            Typing::No => "NAV",
        }
    }

    fn hints(&self) -> Vec<(String, String)> {
        if self.typing == Typing::Yes {
            return vec![hint("Enter", "keep the filter"), hint("Esc", "clear")];
        }
        let out = if self.filter.text().is_empty() {
            "close"
        } else {
            "clear"
        };
        vec![
            hint("/", "filter"),
            hint("y", "copy line"),
            hint("Y", "copy all"),
            hint("w", "wrap"),
            hint("gg G", "ends"),
            hint("Esc", out),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer() -> Viewer {
        let lines = ["alpha", "beta", "gamma ALPHA", "delta"];
        Viewer::new("Messages", lines.map(|t| ViewerLine::new(t, Role::Text)).to_vec())
    }

    fn press(v: &mut Viewer, keys: &str) -> Outcome {
        let mut last = Outcome::Ignored;
        for k in keys.split_whitespace() {
            let c: qd_tty::Chord = k.parse().unwrap();
            last = v.key(&KeyEvent::new(c.key, c.mods));
        }
        last
    }

    fn copied(s: &str) -> Outcome {
        Outcome::Submit(Submit::Copy(s.into()))
    }

    #[test]
    fn the_verbs_move_and_copy() {
        let mut v = viewer();
        assert_eq!(press(&mut v, "j y"), copied("beta"));
        assert_eq!(press(&mut v, "G y"), copied("delta"));
        assert_eq!(press(&mut v, "g y"), copied("delta"), "a lone g goes nowhere");
        assert_eq!(press(&mut v, "g g y"), copied("alpha"));
        assert_eq!(press(&mut v, "Y"), copied("alpha\nbeta\ngamma ALPHA\ndelta"));
        assert_eq!(press(&mut v, "Esc"), Outcome::Close);
    }

    #[test]
    fn the_filter_narrows_and_escape_goes_one_level_out() {
        let mut v = viewer();
        press(&mut v, "/ a l p h");
        assert_eq!(v.mode(), "INPUT");
        press(&mut v, "Enter");
        assert_eq!((v.mode(), v.shown.as_slice()), ("NAV", &[0usize, 2][..]));
        assert_eq!(press(&mut v, "j j y"), copied("gamma ALPHA"));
        assert_eq!(press(&mut v, "Esc"), Outcome::Changed);
        assert_eq!(v.shown.len(), 4);
        assert_eq!(
            press(&mut v, "y"),
            copied("gamma ALPHA"),
            "the cursor stays on its line"
        );
        assert_eq!(press(&mut v, "q"), Outcome::Close);
        press(&mut v, "/ z z Enter");
        assert_eq!(press(&mut v, "y"), Outcome::Changed, "nothing to copy");
    }

    #[test]
    fn new_lines_are_followed_from_the_end_only() {
        let more = |n: usize| {
            (0..n)
                .map(|i| ViewerLine::new(i.to_string(), Role::Text))
                .collect::<Vec<_>>()
        };
        let mut v = viewer().at_end();
        v.set_lines(more(9));
        assert_eq!(press(&mut v, "y"), copied("8"));
        press(&mut v, "k k");
        v.set_lines(more(20));
        assert_eq!(press(&mut v, "y"), copied("6"));
    }
}
