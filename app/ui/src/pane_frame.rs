//! The frame around a pane: a box, the title in its top edge, the state at the right of it, and a scrollbar in its right
//! edge. Drawn straight into the frame. It must never touch the cells inside, except where there is no room for a box.

use qd_frame::{Frame, Style};
use qd_tty::{Attrs, Rect};

use crate::{
    canvas::{Pen, fit, whole, width, width16},
    theme::{Look, Role, cell},
};

/// Below this many columns or rows there is no box.
const MIN_COLS: u16 = 20;
const MIN_ROWS: u16 = 5;
/// The title of a pane that has ended keeps this many columns, blanks included.
const TITLE_LEAST: usize = 9;

/// What state a pane is in, as its frame tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FrameState {
    /// Nothing special.
    #[default]
    Normal,
    /// It has the keys.
    Focused,
    /// It asks for attention.
    Alert,
    /// Its program has ended.
    Dead,
    /// Its program has ended, and it has the keys.
    DeadFocused,
}

/// How far a pane is scrolled. Drawn only while something lies below what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scroll {
    /// The first line that is shown, from 0.
    pub top: u64,
    /// How many lines are shown.
    pub visible: u64,
    /// How many there are.
    pub total: u64,
}

impl Scroll {
    /// How many lines lie below what is shown.
    #[must_use]
    pub const fn below(&self) -> u64 {
        self.total.saturating_sub(self.top.saturating_add(self.visible))
    }

    /// The `[back/history]` of the frame's edge; `None` at the bottom.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let below = self.below();
        (below > 0).then(|| format!("[{below}/{}]", self.total.saturating_sub(self.visible)))
    }

    /// Where the thumb lies on a track of `rows` rows: its first row, and how many.
    fn thumb(&self, rows: u64) -> (u64, u64) {
        let total = self.total.max(1);
        let scale = |v: u64| u64::try_from(u128::from(v) * u128::from(rows) / u128::from(total)).unwrap_or(rows);
        let len = scale(self.visible.min(total)).clamp(1, rows.max(1));
        (scale(self.top).min(rows.saturating_sub(len)), len)
    }
}

/// A mark on the scrollbar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The line it stands for, from 0.
    pub line: u64,
    /// Its role.
    pub role: Role,
}

/// The frame around a pane.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaneFrame<'a> {
    /// The title, in the left of the top edge.
    pub title: &'a str,
    /// The state, in the right of the top edge. The scroll position is added by itself.
    pub right: &'a str,
    /// The pane's state.
    pub state: FrameState,
    /// How far it is scrolled.
    pub scroll: Option<Scroll>,
    /// Marks on the scrollbar.
    pub ticks: &'a [Tick],
}

impl PaneFrame<'_> {
    /// Whether a pane of this size shows its title and state only, in place of a box and contents.
    #[must_use]
    pub const fn is_compact(outer: Rect) -> bool {
        outer.w < MIN_COLS || outer.h < MIN_ROWS
    }

    /// Draws it around the inside of `outer`.
    pub fn draw(&self, frame: &mut Frame, outer: Rect, look: &Look) {
        if outer.is_empty() {
            return;
        }
        if Self::is_compact(outer) {
            return self.draw_compact(frame, outer, look);
        }
        let (line, title) = self.styles(look);
        draw_box(frame, outer, line, look);
        self.draw_scrollbar(frame, outer, line, look);

        // Title and state share the top edge; a line stays between them, and the state gives way last.
        let m = look.marks();
        let room = usize::from(outer.w).saturating_sub(6);
        let name = look.text(self.title).into_owned();
        let left_wish = width(&name) + 2 * usize::from(!name.is_empty());
        let right_max = room.saturating_sub((left_wish + 2).min(room * 2 / 5));
        let right_max = match self.state {
            // What has ended says so, and how to go on, before it says what it was.
            FrameState::Dead | FrameState::DeadFocused => {
                right_max.max(room.saturating_sub(left_wish.min(TITLE_LEAST) + 2))
            }
            _ => right_max,
        };
        let right = self.right_within(right_max, look);
        let right = if right.is_empty() {
            right
        } else {
            format!(" {} ", fit(&right, right_max, m.ellipsis))
        };
        let left_max = room.saturating_sub(width(&right));
        if !name.is_empty() && left_max > 0 {
            let mut pen = Pen::new(frame, look, outer, outer.y).at(outer.x + 2);
            pen.put(&format!(" {} ", fit(&name, left_max, m.ellipsis)), title);
        }
        if !right.is_empty() {
            let x = outer.right().saturating_sub(width16(&right) + 2);
            Pen::new(frame, look, outer, outer.y).at(x).put(&right, title);
        }
    }

    /// The styles of the lines and of the words.
    fn styles(&self, look: &Look) -> (Style, Style) {
        let (line, title) = match self.state {
            FrameState::Normal => (Role::PaneFrame, Role::PaneTitle),
            FrameState::Focused => (Role::PaneFrameFocused, Role::PaneTitleFocused),
            FrameState::Alert => (Role::PaneFrameAlert, Role::PaneTitleAlert),
            FrameState::Dead => (Role::PaneFrameDead, Role::PaneTitleDead),
            FrameState::DeadFocused => (Role::PaneFrameFocused, Role::PaneTitleDead),
        };
        (look.style(line), look.style(title))
    }

    /// As many of the words at the right as fit; what says the least is the last.
    fn right_within(&self, max: usize, look: &Look) -> String {
        let mut state = self.right;
        loop {
            let text = look.text(&self.right_text(state, look)).into_owned();
            match state.rsplit_once(" \u{b7} ") {
                Some((rest, _)) if width(&text) > max => state = rest,
                _ => return text,
            }
        }
    }

    /// The words at the right, led by a mark where the state has one.
    fn right_text(&self, state: &str, look: &Look) -> String {
        let m = look.marks();
        let mark = match self.state {
            FrameState::Dead | FrameState::DeadFocused => Some(m.failed),
            FrameState::Alert => Some(m.alert),
            FrameState::Normal | FrameState::Focused => None,
        };
        let scroll = self.scroll.and_then(|s| s.label());
        let parts = [mark, Some(state), scroll.as_deref()];
        parts
            .into_iter()
            .flatten()
            .filter(|p| !p.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn draw_compact(&self, frame: &mut Frame, outer: Rect, look: &Look) {
        let (_, title) = self.styles(look);
        frame.fill(
            outer,
            cell(
                " ",
                Style {
                    attrs: title.attrs & Attrs::REVERSE,
                    ..title
                },
            ),
        );
        let right = self.right_within(outer.w.into(), look);
        let shown = look.text(self.title);
        let mut pen = Pen::new(frame, look, outer, outer.y);
        if outer.h == 1 && !right.is_empty() {
            // One row: the state first, the title in what is left of it.
            let keep = usize::from(outer.w).saturating_sub(width(&right) + 1);
            let name = fit(&shown, keep, look.marks().ellipsis).into_owned();
            if !name.is_empty() {
                pen.put(&name, title);
                pen.put(" ", title);
            }
            pen.put(&right, title);
            return;
        }
        pen.put(&shown, title);
        if !right.is_empty() {
            Pen::new(frame, look, outer, outer.y + 1).put(&right, title);
        }
    }

    fn draw_scrollbar(&self, frame: &mut Frame, outer: Rect, line: Style, look: &Look) {
        let Some(scroll) = self.scroll.filter(|s| s.below() > 0) else {
            return;
        };
        let rows = u64::from(outer.h.saturating_sub(2));
        let x = outer.right() - 1;
        let (first, len) = scroll.thumb(rows);
        let m = look.marks();
        let on_line = |role| Style {
            bg: line.bg,
            ..look.style(role)
        };
        let row = |n: u64| outer.y + 1 + u16::try_from(n).unwrap_or(u16::MAX - 1 - outer.y);
        for n in first..first + len {
            frame.set(x, row(n), cell(m.thumb, on_line(Role::ScrollbarThumb)));
        }
        for tick in self.ticks {
            let at = u128::from(tick.line) * u128::from(rows) / u128::from(scroll.total.max(1));
            let at = u64::try_from(at).unwrap_or(rows).min(rows.saturating_sub(1));
            frame.set(x, row(at), cell(m.tick, look.style(tick.role)));
        }
    }
}

/// Draws the lines of a box along the inside of `outer`.
pub(crate) fn draw_box(frame: &mut Frame, outer: Rect, style: Style, look: &Look) {
    let outer = outer.intersect(whole(frame.size()));
    if outer.w < 2 || outer.h < 2 {
        return;
    }
    let m = look.marks();
    let [tl, tr, bl, br] = m.corners;
    let (right, bottom) = (outer.right() - 1, outer.bottom() - 1);
    let horizontal = cell(m.horizontal, style);
    frame.fill(Rect::new(outer.x, outer.y, outer.w, 1), horizontal);
    frame.fill(Rect::new(outer.x, bottom, outer.w, 1), horizontal);
    let vertical = cell(m.vertical, style);
    frame.fill(Rect::new(outer.x, outer.y, 1, outer.h), vertical);
    frame.fill(Rect::new(right, outer.y, 1, outer.h), vertical);
    frame.set(outer.x, outer.y, cell(tl, style));
    frame.set(right, outer.y, cell(tr, style));
    frame.set(outer.x, bottom, cell(bl, style));
    frame.set(right, bottom, cell(br, style));
}
