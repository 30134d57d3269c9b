//! The model on the screen: where the bars, the panes and their frames lie, what is under the mouse, and borders that
//! follow it.

use qd_tty::{Rect, Size};

use super::{Edge, Effect, Frames, Model, Part, Placement, Tab};
use crate::{
    ids::{Axis, PaneId, TabId},
    layout::Border,
};

/// Below these a pane has no frame.
const LEAST_FRAMED: Size = Size::new(3, 3);

impl Model {
    /// The row of the tab bar: the first, on screens of at least four rows.
    #[must_use]
    pub const fn tab_bar(&self) -> Option<Rect> {
        match self.size.rows {
            0..4 => None,
            _ => Some(Rect::new(0, 0, self.size.cols, 1)),
        }
    }

    /// The row of the hint bar: the last, on screens of at least three rows.
    #[must_use]
    pub const fn bottom_bar(&self) -> Option<Rect> {
        match self.size.rows {
            0..3 => None,
            rows => Some(Rect::new(0, rows - 1, self.size.cols, 1)),
        }
    }

    /// The rows between the bars, which the panes of a tab share.
    #[must_use]
    pub const fn area(&self) -> Rect {
        let top = self.tab_bar().is_some() as u16;
        let bottom = self.bottom_bar().is_some() as u16;
        Rect::new(0, top, self.size.cols, self.size.rows - top - bottom)
    }

    /// The least size of a pane with its frame, for splits and resizes: 4x2 inside.
    pub(super) const fn least(&self) -> Size {
        match self.frames {
            Frames::On => Size::new(6, 4),
            Frames::Off => Size::new(5, 3),
        }
    }

    fn place(&self, tab: &Tab, pane: PaneId, outer: Rect) -> Placement {
        let area = self.area();
        let fits = outer.w >= LEAST_FRAMED.cols && outer.h >= LEAST_FRAMED.rows;
        let framed = fits && self.frames == Frames::On;
        let inner = if framed {
            outer.shrink(1)
        } else if self.frames == Frames::Off {
            // A blank column or row parts a pane from the ones right of and below it.
            let gap = |end: u16, area_end: u16, size: u16| u16::from(end < area_end && size > 1);
            let w = outer.w - gap(outer.right(), area.right(), outer.w);
            let h = outer.h - gap(outer.bottom(), area.bottom(), outer.h);
            Rect { w, h, ..outer }
        } else {
            outer
        };
        Placement {
            pane,
            outer,
            inner,
            focused: pane == tab.focused,
            framed,
        }
    }

    /// The panes of the active tab that can be seen, back to front; in fullscreen the focused one alone.
    #[must_use]
    pub fn placements(&self) -> Vec<Placement> {
        match self.active_tab() {
            Some(tab) if tab.fullscreen => vec![self.place(tab, tab.focused, self.area())],
            Some(tab) => self.placements_of(tab.id),
            None => Vec::new(),
        }
    }

    /// All panes of a tab, hidden ones too: one that fills the tab comes last, over the others where they lie without
    /// it.
    #[must_use]
    pub fn placements_of(&self, tab: TabId) -> Vec<Placement> {
        let Some(tab) = self.tabs.iter().find(|t| t.id == tab) else {
            return Vec::new();
        };
        let tiles = tab.layout.solve(self.area());
        let mut out: Vec<Placement> = tiles.into_iter().map(|(p, r)| self.place(tab, p, r)).collect();
        if tab.fullscreen {
            out.retain(|p| p.pane != tab.focused);
            out.push(self.place(tab, tab.focused, self.area()));
        }
        out
    }

    /// The pane at a cell of the screen, and which part of it.
    #[must_use]
    pub fn pane_at(&self, x: u16, y: u16) -> Option<(PaneId, Part)> {
        let at = self.placements().into_iter().rev().find(|p| p.outer.contains(x, y))?;
        let part = if at.inner.contains(x, y) {
            Part::Inner
        } else if at.framed && y == at.outer.y {
            Part::Frame(Edge::Top)
        } else if y >= at.inner.bottom() {
            Part::Frame(Edge::Bottom)
        } else if x < at.inner.x {
            Part::Frame(Edge::Left)
        } else {
            Part::Frame(Edge::Right)
        };
        Some((at.pane, part))
    }

    /// The border at a cell, to be moved with [`Model::move_border`] while the mouse is held. Both cells that touch a
    /// border belong to it.
    #[must_use]
    pub fn border_at(&self, x: u16, y: u16) -> Option<Border> {
        self.border_for(x, y, None)
    }

    fn border_for(&self, x: u16, y: u16, wanted: Option<Axis>) -> Option<Border> {
        let tab = self
            .active_tab()
            .filter(|t| !t.fullscreen && self.area().contains(x, y))?;
        let (place, grip) = tab.layout.border_at(self.area(), x, y, wanted)?;
        Some(Border {
            tab: tab.id,
            place,
            grip,
        })
    }

    /// Moves a border to the mouse, as far as there is room.
    pub fn move_border(&mut self, border: &Border, to: (u16, u16)) -> Vec<Effect> {
        let (area, least) = (self.area(), self.least());
        let Some(tab) = self.tabs.iter_mut().find(|t| t.id == border.tab && !t.fullscreen) else {
            return Vec::new();
        };
        let Some(now) = tab.layout.position(area, &border.place) else {
            return Vec::new();
        };
        let mouse = if border.axis() == Axis::Row { to.0 } else { to.1 };
        let by = i32::from(mouse) - border.grip - i32::from(now);
        match tab.layout.move_border(area, &border.place, by, least) {
            0 => Vec::new(),
            _ => vec![Effect::Relayout],
        }
    }

    /// Moves the border at `from` by the way to `to`, as far as there is room; where two borders meet, the one that the
    /// longer way moves. A drag in many steps rather holds the border: [`Model::border_at`].
    pub fn drag(&mut self, from: (u16, u16), to: (u16, u16)) -> Vec<Effect> {
        let wide = from.0.abs_diff(to.0) >= from.1.abs_diff(to.1);
        let wanted = if wide { Axis::Row } else { Axis::Column };
        match self.border_for(from.0, from.1, Some(wanted)) {
            Some(border) => self.move_border(&border, to),
            None => Vec::new(),
        }
    }
}
