//! The one-line bars: tabs at the top, mode and hints at the bottom. They are drawn straight into the frame, since they
//! change with every key. This module owns what gives way when a line is short, and must never know what a hint does.

use qd_frame::{Frame, Style};
use qd_tty::{Attrs, Rect};

use crate::{
    canvas::{Pen, fit, width, width16},
    theme::{Look, Role},
};

/// What lies under a place on a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HitId {
    /// The tab with this place in [`TabBar::tabs`]; also the arrows that stand for hidden tabs.
    Tab(usize),
    /// The mark that opens a tab.
    NewTab,
    /// The session's name.
    Session,
    /// The mode word.
    Mode,
    /// The hint whose [`Hint::action`] is this.
    Hint(usize),
    /// The mark that says there are more hints.
    MoreHints,
}

/// A place on a bar that does something when it is clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Where.
    pub rect: Rect,
    /// What.
    pub id: HitId,
}

/// What lies at `x`, `y`.
#[must_use]
pub fn hit(hits: &[Hit], x: u16, y: u16) -> Option<HitId> {
    hits.iter().find(|h| h.rect.contains(x, y)).map(|h| h.id)
}

/// A tab on the tab bar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TabItem {
    /// Its number, as people count: from 1.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Whether it is the one that is shown.
    pub active: bool,
    /// Whether a bell rang in it since it was last shown.
    pub bell: bool,
    /// Whether it has output since it was last shown.
    pub activity: bool,
}

/// The tab bar.
#[derive(Debug, Clone, Copy)]
pub struct TabBar<'a> {
    /// The session's name.
    pub session: &'a str,
    /// The tabs, left to right.
    pub tabs: &'a [TabItem],
    /// Words at the right end; the first to give way.
    pub right: &'a str,
}

/// The widths that names are tried at, widest first, before tabs are hidden.
const NAME_WIDTHS: [usize; 4] = [32, 20, 14, 9];

impl TabItem {
    /// The marks after the name.
    fn marks(&self, look: &Look) -> [Option<(&'static str, Role)>; 2] {
        let m = look.marks();
        [
            self.bell.then_some((m.bell, Role::TabBell)),
            self.activity.then_some((m.activity, Role::TabActivity)),
        ]
    }

    /// The columns it takes with its name held to `name` columns: ` 1 shell ! `.
    fn cols(&self, name: usize, look: &Look) -> usize {
        let marks = self.marks(look).iter().flatten().count();
        let name = width(&self.name).min(name);
        2 + width(&self.index.to_string()) + usize::from(name > 0) + name + 2 * marks
    }

    fn draw(&self, pen: &mut Pen<'_>, name: usize, look: &Look) -> Rect {
        let style = look.style(if self.active {
            Role::TabActive
        } else {
            Role::TabInactive
        });
        // On the last few columns the number is all there is.
        let start = if pen.room() >= 3 {
            pen.put(" ", style)
        } else {
            Rect::new(pen.x, pen.y(), 0, 1)
        };
        pen.put(&self.index.to_string(), style);
        let shown = look.text(&self.name);
        let shown = fit(&shown, name, look.marks().ellipsis);
        if !shown.is_empty() {
            pen.put(" ", style);
            pen.put(&shown, style);
        }
        for (mark, role) in self.marks(look).into_iter().flatten() {
            let mut s = look.style(role);
            if self.active {
                s = Style {
                    attrs: style.attrs | s.attrs,
                    ..style
                };
            }
            pen.put(" ", style);
            pen.put(mark, s);
        }
        pen.put(" ", style);
        Rect::new(start.x, start.y, pen.x - start.x, 1)
    }
}

impl TabBar<'_> {
    /// Draws it on the first row of `area`; gives what can be clicked.
    pub fn draw(&self, frame: &mut Frame, area: Rect, look: &Look) -> Vec<Hit> {
        let mut hits = Vec::new();
        if area.is_empty() {
            return hits;
        }
        let area = Rect { h: 1, ..area };
        frame.fill(area, look.blank(Role::BarBackground));
        let active = self.tabs.iter().position(|t| t.active).unwrap_or(0);
        let need: usize = self.tabs.get(active).map_or(0, |t| t.cols(9, look));
        let mut pen = Pen::new(frame, look, area, area.y);
        if usize::from(area.w) >= need + 8 && !self.session.is_empty() {
            let shown = look.text(self.session);
            let shown = fit(
                &shown,
                usize::from(area.w).saturating_sub(need + 4).min(24),
                look.marks().ellipsis,
            );
            let rect = pen.put(&format!(" {shown} "), look.style(Role::BarSession));
            hits.push(Hit {
                rect,
                id: HitId::Session,
            });
            pen.put(" ", look.style(Role::BarBackground));
        }
        let plan = Plan::new(self.tabs, active, pen.room().into(), look);
        let dim = look.style(Role::TabInactive);
        if let Some(hidden) = plan.range.start.checked_sub(1).filter(|_| pen.room() >= 5) {
            let rect = pen.put(look.marks().more_left, dim);
            hits.push(Hit {
                rect,
                id: HitId::Tab(hidden),
            });
        }
        for i in plan.range.clone() {
            let Some(tab) = self.tabs.get(i) else { break };
            let rect = tab.draw(&mut pen, plan.name, look);
            hits.push(Hit {
                rect,
                id: HitId::Tab(i),
            });
        }
        if plan.range.end < self.tabs.len() {
            let rect = pen.put(look.marks().more_right, dim);
            hits.push(Hit {
                rect,
                id: HitId::Tab(plan.range.end),
            });
        } else if pen.room() >= 3 {
            let rect = pen.put(" + ", dim);
            hits.push(Hit {
                rect,
                id: HitId::NewTab,
            });
        }
        let right = look.text(self.right);
        let w = width16(&right);
        if w > 0 && pen.room() >= w.saturating_add(3) {
            let x = area.right().saturating_sub(w + 1);
            pen.at(x).put(&right, look.style(Role::BarText));
        }
        hits.retain(|h| !h.rect.is_empty());
        hits
    }
}

/// Which tabs are shown, and how wide their names may be.
struct Plan {
    range: std::ops::Range<usize>,
    name: usize,
}

impl Plan {
    fn new(tabs: &[TabItem], active: usize, room: usize, look: &Look) -> Self {
        for name in NAME_WIDTHS {
            if tabs.iter().map(|t| t.cols(name, look)).sum::<usize>() <= room {
                return Self {
                    range: 0..tabs.len(),
                    name,
                };
            }
        }
        // Some have to hide: keep the active one, then its neighbours in turn while they fit.
        let [.., narrow] = NAME_WIDTHS;
        let cols = |i: usize| tabs.get(i).map_or(0, |t| t.cols(narrow, look));
        let (mut start, mut end) = (active, (active + 1).min(tabs.len()));
        let mut used = cols(active);
        let arrows = |start: usize, end: usize| usize::from(start > 0) + usize::from(end < tabs.len());
        loop {
            let mut grown = false;
            if end < tabs.len() && used + cols(end) + arrows(start, end + 1) <= room {
                used += cols(end);
                end += 1;
                grown = true;
            }
            if start > 0 && used + cols(start - 1) + arrows(start - 1, end) <= room {
                used += cols(start - 1);
                start -= 1;
                grown = true;
            }
            if !grown {
                break;
            }
        }
        let fixed = tabs.get(active).map_or(0, |t| t.cols(0, look)) + arrows(start, end) + 1;
        let name = if end - start <= 1 {
            room.saturating_sub(fixed).min(NAME_WIDTHS[0])
        } else {
            narrow
        };
        Self {
            range: start..end,
            name,
        }
    }
}

/// Whether a hint can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HintState {
    /// It can.
    #[default]
    Ready,
    /// It can't: it is dimmed and struck through.
    Disabled,
}

/// A key and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// The key, as people read it.
    pub key: String,
    /// What it does, in a word or two.
    pub label: String,
    /// What the caller knows it by.
    pub action: usize,
    /// Whether it can be used now.
    pub state: HintState,
}

impl Hint {
    /// A hint that can be used.
    #[must_use]
    pub fn new(key: impl Into<String>, label: impl Into<String>, action: usize) -> Self {
        Self {
            key: key.into(),
            label: label.into(),
            action,
            state: HintState::Ready,
        }
    }
}

/// Words at the right end of the hint bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusItem {
    /// The words.
    pub text: String,
    /// Their role.
    pub role: Role,
}

/// The hint bar.
#[derive(Debug, Clone, Copy)]
pub struct HintBar<'a> {
    /// The mode's word.
    pub mode: &'a str,
    /// Its role; see [`Role::for_mode`].
    pub mode_role: Role,
    /// The hints, the most useful first.
    pub hints: &'a [Hint],
    /// The status items, the most important last.
    pub right: &'a [StatusItem],
}

impl HintBar<'_> {
    /// Draws it on the first row of `area`; gives what can be clicked. When the line is short, status items go first
    /// (from the left, until they take at most half and leave room for two hints), then hints from the right.
    pub fn draw(&self, frame: &mut Frame, area: Rect, look: &Look) -> Vec<Hit> {
        let mut hits = Vec::new();
        if area.is_empty() {
            return hits;
        }
        let area = Rect { h: 1, ..area };
        frame.fill(area, look.blank(Role::BarBackground));
        let mut pen = Pen::new(frame, look, area, area.y);
        let word = if usize::from(area.w) >= width(self.mode) + 2 {
            format!(" {} ", self.mode)
        } else {
            self.mode.into()
        };
        let rect = pen.put(&word, look.style(self.mode_role));
        hits.push(Hit { rect, id: HitId::Mode });

        let room = usize::from(pen.room());
        let wanted: usize = self.hints.iter().map(|h| hint_cols(h, look)).sum();
        // At most half of the line, and not at the cost of the first hints.
        let first: usize = self.hints.iter().take(2).map(|h| hint_cols(h, look)).sum::<usize>() + 4;
        let most = room
            .saturating_sub(wanted)
            .max(room.saturating_sub(first).min(room / 2));
        let mut right = self.right;
        while !right.is_empty() && status_cols(right, look) > most {
            right = right.get(1..).unwrap_or_default();
        }
        let left = room.saturating_sub(status_cols(right, look));
        self.draw_hints(&mut pen, left, look, &mut hits);

        let x = area
            .right()
            .saturating_sub(u16::try_from(status_cols(right, look)).unwrap_or(u16::MAX));
        let mut pen = pen.at(x);
        for (i, item) in right.iter().enumerate() {
            pen.put(if i == 0 { " " } else { "  " }, look.style(Role::BarBackground));
            pen.put(&item.text, look.on(item.role, Role::BarBackground));
        }
        hits.retain(|h| !h.rect.is_empty());
        hits
    }

    fn draw_hints(&self, pen: &mut Pen<'_>, mut room: usize, look: &Look, hits: &mut Vec<Hit>) {
        let more = format!("{}?", look.marks().ellipsis);
        for (i, hint) in self.hints.iter().enumerate() {
            let cols = hint_cols(hint, look);
            let rest = if i + 1 < self.hints.len() { width(&more) + 2 } else { 0 };
            let rest_fits = self.hints.iter().skip(i).map(|h| hint_cols(h, look)).sum::<usize>() <= room;
            if cols + rest > room && !rest_fits {
                if width(&more) < room {
                    pen.put(" ", look.style(Role::BarBackground));
                    let rect = pen.put(&more, look.style(Role::HintKey));
                    hits.push(Hit {
                        rect,
                        id: HitId::MoreHints,
                    });
                }
                return;
            }
            let (key, label) = match hint.state {
                HintState::Ready => (Role::HintKey, Role::HintLabel),
                HintState::Disabled => (Role::HintDisabled, Role::HintDisabled),
            };
            pen.put("  ", look.style(Role::BarBackground));
            let at = pen.x;
            let y = pen.put(&hint.key, look.style(key)).y;
            if !hint.label.is_empty() {
                let mut gap = look.style(label);
                gap.attrs -= Attrs::STRIKE;
                pen.put(" ", gap);
                pen.put(&hint.label, look.style(label));
            }
            room -= cols;
            if hint.state == HintState::Ready {
                hits.push(Hit {
                    rect: Rect::new(at, y, pen.x - at, 1),
                    id: HitId::Hint(hint.action),
                });
            }
        }
    }
}

/// The columns of a hint with the gap before it.
fn hint_cols(h: &Hint, look: &Look) -> usize {
    2 + width(&look.text(&h.key)) + usize::from(!h.label.is_empty()) + width(&look.text(&h.label))
}

/// The columns of the status items, with a blank on either side and two between them.
fn status_cols(items: &[StatusItem], look: &Look) -> usize {
    if items.is_empty() {
        return 0;
    }
    items.iter().map(|i| 2 + width(&look.text(&i.text))).sum()
}
