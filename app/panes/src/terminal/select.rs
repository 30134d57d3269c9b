//! The mouse in a terminal pane: what the program does not want of it selects text and scrolls. And the marks of what is
//! selected and found.

use std::time::Instant;

use qd_frame::Frame;
use qd_terminal::{Pos, Shape};
use qd_tty::{Attrs, Mods, MouseButton, MouseEvent, MouseKind, Rect};
use qd_ui::{Look, Role};

use super::{CopyOnSelect, TerminalPane};
use crate::PaneEvent;

/// Lines a turn of the wheel moves.
const WHEEL_LINES: i64 = 3;

/// A selection made with the mouse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection {
    anchor: Pos,
    head: Pos,
    shape: Shape,
}

impl TerminalPane {
    /// What is selected, in reading order.
    pub(super) fn selection_range(&self) -> Option<(Pos, Pos, Shape)> {
        if let Some(c) = &self.copy {
            return c.selection();
        }
        self.selection.map(|s| {
            if s.anchor <= s.head {
                (s.anchor, s.head, s.shape)
            } else {
                (s.head, s.anchor, s.shape)
            }
        })
    }

    fn selected_text(&self) -> Option<String> {
        let (a, b, shape) = self.selection_range()?;
        let text = self.term.vt().text_range(a, b, shape);
        (!text.is_empty()).then_some(text)
    }

    /// A mouse event: the program's when it wants it, else for the scrollback and the selection.
    pub(super) fn mouse(&mut self, m: &MouseEvent) -> bool {
        let bypass = m.mods.contains(Mods::SHIFT);
        if !bypass && self.exit.is_none() && self.copy.is_none() && self.term.mouse(m) {
            return true;
        }
        let at = Pos {
            line: self.term.vt().view_top_line() + u64::from(m.row),
            col: m.col,
        };
        match m.kind {
            MouseKind::WheelUp => self.term.vt_mut().scroll_by(WHEEL_LINES),
            MouseKind::WheelDown => self.term.vt_mut().scroll_by(-WHEEL_LINES),
            MouseKind::Press(MouseButton::Left) => self.press(at, m),
            MouseKind::Drag(MouseButton::Left) => {
                if m.row == 0 {
                    self.term.vt_mut().scroll_by(1);
                } else if m.row + 1 >= self.size.rows {
                    self.term.vt_mut().scroll_by(-1);
                }
                if let Some(s) = self.selection.as_mut() {
                    s.head = at;
                }
            }
            MouseKind::Release(MouseButton::Left) => {
                let click = self
                    .selection
                    .is_some_and(|s| s.anchor == s.head && s.shape == Shape::Stream);
                if click {
                    self.selection = None;
                } else if self.options.copy_on_select == CopyOnSelect::Yes
                    && let Some(text) = self.selected_text()
                {
                    self.events.push(PaneEvent::Copied(text));
                }
            }
            _ => return false,
        }
        true
    }

    /// One click starts a selection, two take the word, three the line.
    fn press(&mut self, at: Pos, m: &MouseEvent) {
        let now = Instant::now();
        let (when, x, y, n) = self.clicks;
        let again = when.is_some_and(|t| now.duration_since(t).as_millis() < 400) && (x, y) == (m.col, m.row);
        let n = if again { n % 3 + 1 } else { 1 };
        self.clicks = (Some(now), m.col, m.row, n);
        let (anchor, head, shape) = match n {
            2 => {
                let (a, b) = crate::copy::word_at(self.term.vt(), at);
                (a, b, Shape::Stream)
            }
            3 => (at, at, Shape::Line),
            _ if m.mods.contains(Mods::ALT) => (at, at, Shape::Block),
            _ => (at, at, Shape::Stream),
        };
        // A stream selection of one cell is a click; mark a word of one letter by its shape instead.
        let shape = if n == 2 && anchor == head { Shape::Block } else { shape };
        self.selection = Some(Selection { anchor, head, shape });
    }

    /// Marks what is selected and what the search found.
    pub(super) fn paint_marks(&self, frame: &mut Frame, area: Rect, look: &Look) {
        let vt = self.term.vt();
        let top = vt.view_top_line();
        let mark = |frame: &mut Frame, a: Pos, b: Pos, shape: Shape, role: Role| {
            let style = look.style(role);
            for y in 0..area.h {
                let line = top + u64::from(y);
                if line < a.line || line > b.line {
                    continue;
                }
                let (from, to) = match shape {
                    Shape::Line => (0, area.w),
                    Shape::Block => (a.col.min(b.col), a.col.max(b.col) + 1),
                    Shape::Stream => (
                        if line == a.line { a.col } else { 0 },
                        if line == b.line { b.col + 1 } else { area.w },
                    ),
                };
                let (from, to) = (from.min(area.w), to.min(area.w));
                frame.restyle(Rect::new(area.x + from, area.y + y, to - from, 1), |c| {
                    if !style.fg.is_default() {
                        c.fg = style.fg;
                    }
                    if !style.bg.is_default() {
                        c.bg = style.bg;
                    }
                    c.attrs |= style.attrs & Attrs::STYLE;
                });
            }
        };
        if let Some(copy) = &self.copy {
            for (a, b) in copy.visible_matches(vt, top, area.h) {
                mark(frame, a, b, Shape::Stream, Role::SearchMatch);
            }
            if let Some((a, b)) = copy.current_match() {
                mark(frame, a, b, Shape::Stream, Role::SearchCurrent);
            }
        }
        if let Some((a, b, shape)) = self.selection_range() {
            mark(frame, a, b, shape, Role::Selection);
        }
    }
}
