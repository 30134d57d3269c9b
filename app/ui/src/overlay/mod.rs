//! What stands over the panes: pickers, prompts, viewers, questions and toasts. This module owns what they have in common:
//! how input reaches them, what they answer, and the popup they are drawn in. An overlay must never act by itself: it says
//! what the person chose, and the caller does it.

mod confirm;
mod picker;
mod prompt;
mod rank;
mod toast;
mod viewer;

use std::any::Any;

use qd_frame::Frame;
use qd_tty::{Attrs, KeyEvent, MouseEvent, Rect};
use ratatui::{
    buffer::Buffer,
    layout,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Widget},
};

pub use confirm::{Confirm, ConfirmKind};
pub use picker::{Feed, Multi, PickItem, Picker, Verb};
pub use prompt::{Completer, Completion, Prompt};
pub use toast::{Level, Toasts, Turnover};
pub use viewer::{Viewer, ViewerLine};

use crate::{
    canvas::{blit, fit, rat_rect, width},
    edit::LineEdit,
    theme::{Look, Role, to_rat},
};

/// What an overlay made of a piece of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It means nothing to the overlay.
    Ignored,
    /// The overlay took it and has to be drawn again.
    Changed,
    /// The person left: the overlay is to be taken away.
    Close,
    /// The person chose. The overlay stays until the caller takes it away.
    Submit(Submit),
}

/// What a person chose in an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submit {
    /// Rows of a picker.
    Pick {
        /// Their ids: the marked ones in the order of the list, or the one under the cursor.
        ids: Vec<String>,
        /// The verb they were chosen with; `None` for Enter.
        verb: Option<char>,
    },
    /// The text of a prompt.
    Text(String),
    /// Yes, to a question.
    Confirmed,
    /// Text for the clipboard. The overlay stays open.
    Copy(String),
}

/// Something that stands over the panes and has the keys.
pub trait Overlay: Any + Send {
    /// Takes a key.
    fn key(&mut self, e: &KeyEvent) -> Outcome;
    /// Takes a mouse event, in the coordinates of the last drawing.
    fn mouse(&mut self, e: &MouseEvent) -> Outcome;
    /// Takes pasted text.
    fn paste(&mut self, text: &str) -> Outcome;
    /// Draws it over a screen of size `area`, and sets the frame's cursor where it has a caret.
    fn draw(&mut self, area: Rect, frame: &mut Frame, look: &Look);
    /// The mode word while it has the keys: `INPUT` or `NAV`.
    fn mode(&self) -> &'static str;
    /// Its keys and what they do, the most useful first.
    fn hints(&self) -> Vec<(String, String)>;
    /// The id of the row under the cursor, for overlays that have rows: a caller can show it live (a theme, say).
    fn current(&self) -> Option<&str> {
        None
    }
}

/// A hint for [`Overlay::hints`].
fn hint(key: &str, label: &str) -> (String, String) {
    (key.to_owned(), label.to_owned())
}

/// Whether there is room for a box around anything.
const fn boxed(outer: Rect) -> bool {
    outer.w >= 3 && outer.h >= 3
}

/// A popup under construction: a buffer of its size, mostly with a box around it.
struct Popup {
    buffer: Buffer,
    outer: Rect,
    inner: layout::Rect,
}

impl Popup {
    fn new(outer: Rect, boxed: bool, title: &str, counter: &str, look: &Look) -> Self {
        let area = rat_rect(outer);
        let mut buffer = Buffer::empty(area);
        buffer.set_style(area, look.rat(Role::PopupBackground));
        let inner = if !boxed {
            area
        } else {
            let title = look.text(title);
            let title = fit(&title, usize::from(outer.w).saturating_sub(6), look.marks().ellipsis);
            let mut block = Block::bordered()
                .border_set(look.border())
                .border_style(look.rat(Role::PopupFrame))
                .style(look.rat(Role::PopupBackground));
            let edge = Span::styled(look.marks().horizontal, look.rat(Role::PopupFrame));
            if !title.is_empty() {
                let words = Span::styled(format!(" {title} "), look.rat(Role::PopupTitle));
                block = block.title_top(Line::from(vec![edge.clone(), words]));
            }
            let counter = look.text(counter);
            if !counter.is_empty() && width(&counter) + width(&title) + 9 <= usize::from(outer.w) {
                let line = Line::styled(
                    format!(" {counter} "),
                    look.rat_on(Role::TextDim, Role::PopupBackground),
                );
                block = block.title_top(line.right_aligned());
            }
            let inner = block.inner(area);
            block.render(area, &mut buffer);
            inner
        };
        Self { buffer, outer, inner }
    }

    fn finish(self, frame: &mut Frame, look: &Look) {
        blit(&self.buffer, self.outer, frame, look);
    }
}

/// Draws a line with its label into a row of a buffer; gives the caret's column.
fn draw_input(buffer: &mut Buffer, row: layout::Rect, label: &str, line: &LineEdit, look: &Look) -> Option<u16> {
    if row.width == 0 || row.height == 0 {
        return None;
    }
    let label = look.text(label);
    // The label gives way before the text does.
    let label = fit(&label, usize::from(row.width).saturating_sub(6), look.marks().ellipsis);
    let (x, _) = buffer.set_stringn(row.x, row.y, &*label, row.width.into(), look.rat(Role::InputPrompt));
    let room = row.right().saturating_sub(x);
    let (text, _, caret) = line.view(room.into());
    buffer.set_stringn(x, row.y, &*text, room.into(), look.rat(Role::PopupBackground));
    Some(x.saturating_add(u16::try_from(caret).unwrap_or(0)).min(row.right() - 1))
}

/// Moves a cursor by `by` among `len` rows, stopping at the ends.
fn step(at: usize, by: isize, len: usize) -> usize {
    at.saturating_add_signed(by).min(len.saturating_sub(1))
}

/// Moves the first shown row so that row `at` of `len` is among the `rows` that fit.
fn keep_in_view(first: usize, at: usize, rows: usize, len: usize) -> usize {
    let first = first.min(at).max((at + 1).saturating_sub(rows.max(1)));
    first.min(len.saturating_sub(rows))
}

/// The style of a role on a row of a list. On a selected row that is shown by reversing it, colours would be reversed one
/// by one: there only the modifiers stay, and plain words keep the row's style.
fn on_row(role: Role, selected: bool, look: &Look) -> Style {
    let row = look.style(Role::ListSelected);
    if !selected {
        return look.rat_on(role, Role::PopupBackground);
    }
    if row.attrs.contains(Attrs::REVERSE) {
        let own = qd_frame::Style {
            attrs: look.style(role).attrs - Attrs::DIM,
            ..row
        };
        return to_rat(own);
    }
    look.rat_on(role, Role::ListSelected)
}
