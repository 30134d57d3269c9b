//! Toasts: passing words in the bottom right corner. They own when each goes, in a time the caller tells, and must never
//! take a key.

use qd_frame::{Frame, Style};
use qd_tty::{Attrs, Rect};

use crate::{
    canvas::{Pen, fit, width, width16, wrapped},
    theme::{Look, Role},
};

/// The most that are shown at once.
const MAX_SHOWN: usize = 4;
/// The most rows of one.
const MAX_ROWS: usize = 3;
/// Toasts that are kept at the most: a program that floods notifications pushes out the oldest.
const MAX_KEPT: usize = 32;
/// The widest one.
const MAX_COLS: u16 = 64;

/// How much a toast matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Something went well.
    Ok,
    /// Something needs a look.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// For how long it is shown, in milliseconds.
    const fn lifetime(self) -> u64 {
        match self {
            Self::Info | Self::Ok => 4_000,
            Self::Warn => 8_000,
            Self::Error => 12_000,
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Info => Role::ToastInfo,
            Self::Ok => Role::ToastOk,
            Self::Warn => Role::ToastWarn,
            Self::Error => Role::ToastError,
        }
    }

    const fn mark(self, look: &Look) -> &'static str {
        let m = look.marks();
        match self {
            Self::Info => m.info,
            Self::Ok => m.done,
            Self::Warn => m.alert,
            Self::Error => m.failed,
        }
    }
}

/// Whether the passing of time changed what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turnover {
    /// Nothing went.
    Same,
    /// Some went.
    Gone,
}

#[derive(Debug, Clone)]
struct Toast {
    level: Level,
    text: String,
    count: u32,
    /// When it goes; not known until the time is told after it came.
    until: Option<u64>,
}

/// The toasts on a screen.
#[derive(Debug, Clone, Default)]
pub struct Toasts {
    items: Vec<Toast>,
}

impl Toasts {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. The same words again count up the one that stands there. Its time runs from the next
    /// [`Toasts::expire`] on.
    pub fn push(&mut self, level: Level, text: impl Into<String>) {
        let text = text.into();
        let count = match self.items.iter().position(|t| t.level == level && t.text == text) {
            Some(i) => self.items.remove(i).count.saturating_add(1),
            None => 1,
        };
        if self.items.len() >= MAX_KEPT {
            self.items.remove(0);
        }
        self.items.push(Toast {
            level,
            text,
            count,
            until: None,
        });
    }

    /// Takes away what has been there long enough. `now_ms` is any clock that does not go back.
    pub fn expire(&mut self, now_ms: u64) -> Turnover {
        let before = self.items.len();
        for t in &mut self.items {
            t.until.get_or_insert(now_ms.saturating_add(t.level.lifetime()));
        }
        self.items.retain(|t| t.until.is_none_or(|u| u > now_ms));
        if self.items.len() == before {
            Turnover::Same
        } else {
            Turnover::Gone
        }
    }

    /// When the next one goes, in the time of [`Toasts::expire`]; `None` when nothing is shown.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.items.iter().filter_map(|t| t.until).min()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Draws them above the hint bar of a screen of size `area`, the newest lowest.
    pub fn draw(&self, area: Rect, frame: &mut Frame, look: &Look) {
        let top = area.y.saturating_add(u16::from(area.h >= 4));
        let mut bottom = area.bottom().saturating_sub(u16::from(area.h >= 3));
        let room = area.w.min(MAX_COLS);
        if room < 5 {
            return;
        }
        let m = look.marks();
        let cols = usize::from(room) - 4;
        let mut shown = 0;
        for t in self.items.iter().rev() {
            if shown == MAX_SHOWN {
                break;
            }
            let mut text = look.text(&t.text).into_owned();
            if t.count > 1 {
                text.push_str(&format!(" {}{}", m.times, t.count));
            }
            let mut rows = wrapped(&text, cols);
            if rows.len() > MAX_ROWS {
                let rest = rows.split_off(MAX_ROWS - 1).join(" ");
                rows.push(fit(&rest, cols, m.ellipsis).into_owned());
            }
            let high = u16::try_from(rows.len()).unwrap_or(u16::MAX);
            if bottom.saturating_sub(top) < high {
                break;
            }
            bottom -= high;
            let wide = rows.iter().map(|r| width(r)).max().unwrap_or(0);
            let wide = u16::try_from(wide + 5).unwrap_or(u16::MAX).min(room);
            let at = Rect::new(area.right() - wide, bottom, wide, high);
            draw_one(t, &rows, at, frame, look);
            shown += 1;
        }
        let hidden = self.items.len().saturating_sub(shown);
        if hidden > 0 && shown > 0 && bottom > top {
            let more = format!(" +{hidden} more ");
            let x = area.right().saturating_sub(width16(&more).min(area.w));
            let row = Rect::new(x, bottom - 1, area.right() - x, 1);
            Pen::new(frame, look, row, row.y).put(&more, look.on(Role::TextDim, Role::PopupBackground));
        }
    }
}

fn draw_one(t: &Toast, rows: &[String], at: Rect, frame: &mut Frame, look: &Look) {
    let style = look.style(t.level.role());
    let words = look.style(Role::PopupBackground);
    // Words take the toast's modifiers, so that without colour they still differ from what is around them.
    let words = Style {
        attrs: words.attrs | (style.attrs & (Attrs::BOLD | Attrs::REVERSE)),
        ..words
    };
    frame.fill(at, look.blank(Role::PopupBackground));
    for (y, text) in (at.y..at.bottom()).zip(rows) {
        let mut pen = Pen::new(frame, look, at, y);
        pen.put(
            look.marks().edge,
            Style {
                attrs: Attrs::empty(),
                ..style
            },
        );
        pen.put(if y == at.y { t.level.mark(look) } else { " " }, style);
        pen.put(" ", words);
        pen.put(text, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_count_up_and_live_on() {
        let mut t = Toasts::new();
        t.push(Level::Warn, "disk is full");
        assert_eq!(t.expire(1_000), Turnover::Same);
        t.push(Level::Info, "hello");
        t.push(Level::Warn, "disk is full");
        t.push(Level::Error, "disk is full");
        assert_eq!(t.items.iter().map(|t| t.count).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(t.expire(8_500), Turnover::Same);
        assert_eq!(t.next_expiry(), Some(12_500));
        assert_eq!(t.expire(12_500), Turnover::Gone);
        assert_eq!(t.expire(16_500), Turnover::Gone);
        assert_eq!(t.expire(u64::MAX), Turnover::Gone);
        assert!(t.is_empty());
        assert_eq!(t.next_expiry(), None);
    }
}
