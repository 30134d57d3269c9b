//! A question before something that can't be taken back. It owns the answer so far, and must never do the thing itself.
//! A small matter is answered with `y`; a large one by typing the name of what will be gone.

use qd_frame::Frame;
use qd_tty::{CursorShape, Key, KeyEvent, KeyKind, Mods, MouseButton, MouseEvent, MouseKind, Rect};
use ratatui::{
    layout,
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Widget},
};

use super::{Outcome, Overlay, Popup, Submit, draw_input, hint};
use crate::{
    canvas::{centred, fit, width, width16, wrapped},
    edit::{Edit, LineEdit},
    theme::{Look, Role},
};

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfirmKind {
    /// With yes or no.
    YesNo,
    /// By typing this name.
    TypeName(String),
}

/// A question.
#[derive(Debug, Clone)]
pub struct Confirm {
    question: String,
    detail: String,
    kind: ConfirmKind,
    typed: LineEdit,
    /// Whether the cursor is on \u{201c}yes\u{201d}.
    yes: bool,
    buttons: [Rect; 2],
}

impl Confirm {
    /// A question with more about what will happen. The cursor starts on \u{201c}no\u{201d}.
    #[must_use]
    pub fn new(question: impl Into<String>, detail: impl Into<String>, kind: ConfirmKind) -> Self {
        Self {
            question: question.into(),
            detail: detail.into(),
            kind,
            typed: LineEdit::default(),
            yes: false,
            buttons: [Rect::default(); 2],
        }
    }

    fn name_matches(&self) -> bool {
        matches!(&self.kind, ConfirmKind::TypeName(name) if self.typed.text() == name)
    }
}

const YES: &str = " Yes (y) ";
const NO: &str = " No (n) ";

impl Overlay for Confirm {
    fn key(&mut self, e: &KeyEvent) -> Outcome {
        if e.kind == KeyKind::Release {
            return Outcome::Ignored;
        }
        let chord = e.chord();
        if chord.key == Key::Esc || chord.mods == Mods::CTRL && matches!(chord.key, Key::Char('c' | 'g')) {
            return Outcome::Close;
        }
        if let ConfirmKind::TypeName(_) = self.kind {
            if chord.key == Key::Enter {
                return if self.name_matches() {
                    Outcome::Submit(Submit::Confirmed)
                } else {
                    Outcome::Changed
                };
            }
            return match self.typed.key(e) {
                Edit::Ignored => Outcome::Ignored,
                Edit::Moved | Edit::Changed => Outcome::Changed,
            };
        }
        if !(chord.mods - Mods::SHIFT).is_empty() {
            return Outcome::Ignored;
        }
        match chord.key {
            Key::Char('y' | 'Y') => Outcome::Submit(Submit::Confirmed),
            Key::Char('n' | 'N' | 'q') => Outcome::Close,
            Key::Enter if self.yes => Outcome::Submit(Submit::Confirmed),
            Key::Enter => Outcome::Close,
            Key::Left | Key::Right | Key::Tab | Key::Char('h' | 'l') => {
                self.yes = !self.yes;
                Outcome::Changed
            }
            _ => Outcome::Ignored,
        }
    }

    fn mouse(&mut self, e: &MouseEvent) -> Outcome {
        if e.kind != MouseKind::Press(MouseButton::Left) {
            return Outcome::Ignored;
        }
        match self.buttons.map(|b| b.contains(e.col, e.row)) {
            [true, _] => Outcome::Submit(Submit::Confirmed),
            [_, true] => Outcome::Close,
            _ => Outcome::Ignored,
        }
    }

    fn paste(&mut self, text: &str) -> Outcome {
        if self.kind == ConfirmKind::YesNo {
            return Outcome::Ignored;
        }
        self.typed.insert(text);
        Outcome::Changed
    }

    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look) {
        frame.set_cursor(None);
        self.buttons = [Rect::default(); 2];
        if area.is_empty() {
            return;
        }
        let dim = look.rat_on(Role::TextDim, Role::PopupBackground);
        let question = look.text(&self.question).into_owned();
        let detail = look.text(&self.detail).into_owned();
        let longest = detail.lines().map(width).chain([width(&question)]).max().unwrap_or(0);
        let wide = u16::try_from(longest + 6).unwrap_or(u16::MAX).clamp(36, 72).min(area.w);
        let cols = usize::from(wide.saturating_sub(4).max(1));
        let ask = wrapped(&question, cols);
        let body = if detail.is_empty() {
            Vec::new()
        } else {
            wrapped(&detail, cols)
        };
        let (ask_rows, body_rows) = (rows(&ask), rows(&body));
        let typing = matches!(self.kind, ConfirmKind::TypeName(_));
        let high = ask_rows
            .saturating_add(body_rows)
            .saturating_add(if typing { 5 } else { 4 });
        let outer = centred(area, wide, high);
        let mut popup = Popup::new(outer, super::boxed(outer), "", "", look);
        let bordered = popup.inner.width < popup.outer.w;
        let inner = if bordered && popup.inner.width > 4 {
            layout::Rect {
                x: popup.inner.x + 1,
                width: popup.inner.width - 2,
                ..popup.inner
            }
        } else {
            popup.inner
        };
        // From the bottom: the answer is what must never be cut off.
        let answer_rows = if typing { 2 } else { 1 }.min(inner.height);
        let answer = layout::Rect {
            y: inner.bottom() - answer_rows,
            height: answer_rows,
            ..inner
        };
        let above = layout::Rect {
            height: inner.height - answer_rows,
            ..inner
        };
        let ask_rows = ask_rows.min(above.height);
        lines(ask, look.rat(Role::PopupTitle)).render(
            layout::Rect {
                height: ask_rows,
                ..above
            },
            &mut popup.buffer,
        );
        let rest = layout::Rect {
            y: above.y + ask_rows,
            height: above.height - ask_rows,
            ..above
        };
        lines(body, dim).render(rest, &mut popup.buffer);

        match &self.kind {
            ConfirmKind::YesNo => {
                let styles = if self.yes {
                    [Role::PopupButton, Role::TextDim]
                } else {
                    [Role::TextDim, Role::PopupButton]
                };
                let [yes, no] = styles.map(|r| look.rat_on(r, Role::PopupBackground));
                let total = width16(YES) + width16(NO) + 2;
                let x = answer.x + answer.width.saturating_sub(total);
                let line = Line::from(vec![
                    Span::styled(YES, yes),
                    Span::styled("  ", Style::new()),
                    Span::styled(NO, no),
                ]);
                popup.buffer.set_line(x, answer.y, &line, answer.width);
                let clip = Rect::new(answer.x, answer.y, answer.width, answer.height.min(1));
                self.buttons = [
                    Rect::new(x, answer.y, width16(YES), 1).intersect(clip),
                    Rect::new(x + width16(YES) + 2, answer.y, width16(NO), 1).intersect(clip),
                ];
            }
            ConfirmKind::TypeName(name) => {
                if answer.height > 1 {
                    let ok = if self.name_matches() {
                        Role::TextOk
                    } else {
                        Role::TextDim
                    };
                    let text = look.text(&format!("type {name} and press Enter")).into_owned();
                    popup.buffer.set_stringn(
                        answer.x,
                        answer.y,
                        fit(&text, answer.width.into(), look.marks().ellipsis),
                        answer.width.into(),
                        look.rat_on(ok, Role::PopupBackground),
                    );
                }
                let row = layout::Rect {
                    y: answer.bottom().saturating_sub(1),
                    height: answer.height.min(1),
                    ..answer
                };
                let x = draw_input(&mut popup.buffer, row, "> ", &self.typed, look);
                frame.set_cursor(x.map(|x| (x, row.y, CursorShape::SteadyBar)));
            }
        }
        popup.finish(frame, look);
    }

    fn mode(&self) -> &'static str {
        match self.kind {
            ConfirmKind::YesNo => "NAV",
            ConfirmKind::TypeName(_) => "INPUT",
        }
    }

    fn hints(&self) -> Vec<(String, String)> {
        match self.kind {
            ConfirmKind::YesNo => vec![hint("y", "yes"), hint("n", "no"), hint("Esc", "leave")],
            ConfirmKind::TypeName(_) => vec![hint("Enter", "confirm the typed name"), hint("Esc", "leave")],
        }
    }
}

fn rows(lines: &[String]) -> u16 {
    u16::try_from(lines.len()).unwrap_or(u16::MAX)
}

fn lines(text: Vec<String>, style: Style) -> Paragraph<'static> {
    Paragraph::new(text.into_iter().map(Line::raw).collect::<Vec<_>>()).style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(c: &mut Confirm, k: &str) -> Outcome {
        let chord: qd_tty::Chord = k.parse().unwrap();
        c.key(&KeyEvent::new(chord.key, chord.mods))
    }

    #[test]
    fn enter_alone_never_says_yes() {
        let mut c = Confirm::new("Close?", "", ConfirmKind::YesNo);
        assert_eq!(key(&mut c, "Enter"), Outcome::Close);
        assert_eq!(key(&mut c, "y"), Outcome::Submit(Submit::Confirmed));
        assert_eq!(key(&mut c, "n"), Outcome::Close);
        assert_eq!(key(&mut c, "Ctrl-y"), Outcome::Ignored);
        assert_eq!(key(&mut c, "Tab"), Outcome::Changed);
        assert_eq!(key(&mut c, "Enter"), Outcome::Submit(Submit::Confirmed));
    }

    #[test]
    fn a_name_must_be_typed_in_full() {
        let mut c = Confirm::new("Stop?", "", ConfirmKind::TypeName("db".into()));
        assert_eq!(key(&mut c, "y"), Outcome::Changed);
        assert_eq!(key(&mut c, "Enter"), Outcome::Changed);
        key(&mut c, "Ctrl-u");
        c.paste("db\n");
        assert_eq!(key(&mut c, "Enter"), Outcome::Submit(Submit::Confirmed));
        key(&mut c, "x");
        assert_eq!(key(&mut c, "Enter"), Outcome::Changed);
        assert_eq!(key(&mut c, "Esc"), Outcome::Close);
    }
}
