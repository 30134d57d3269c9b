//! Where a log pane stands: what of it is for what, the rows that are shown, and moving among them.

use qd_logs_view::{Anchor, Error, Pos, Row, Screen, Snapshot};
use qd_tty::Rect;

use super::LogPane;

/// How many places are remembered for going back.
const PLACES: usize = 100;

/// The parts of the pane, from its own top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) strip: Rect,
    /// The names of the columns.
    pub(super) header: Rect,
    pub(super) lines: Rect,
    pub(super) panel: Rect,
    /// The state, or the prompt.
    pub(super) bottom: Rect,
}

/// Which part of a long answer is the screen: the first row, so that `height` rows are shown, the one at `at` as near to
/// row `wanted` as can be.
fn window(rows: usize, at: usize, wanted: usize, height: usize) -> usize {
    at.saturating_sub(wanted).min(rows.saturating_sub(height))
}

impl LogPane {
    pub(super) fn snapshot(&self) -> std::sync::Arc<Snapshot> {
        self.view.snapshot()
    }

    pub(super) fn areas(&self) -> Areas {
        let (w, h) = (self.size.cols, self.size.rows);
        let room = h.saturating_sub(1);
        let panel = self.panel.as_ref().map_or(0, |p| p.height(self.size)).min(room);
        let strip = self
            .strip
            .as_ref()
            .map_or(0, |_| super::strip::height(self.size))
            .min(room - panel);
        let header = u16::from(!self.columns.is_empty()).min((room - panel - strip).saturating_sub(2));
        let lines = room - panel - strip - header;
        Areas {
            strip: Rect::new(0, 0, w, strip),
            header: Rect::new(0, strip, w, header),
            lines: Rect::new(0, strip + header, w, lines),
            panel: Rect::new(0, strip + header + lines, w, panel),
            bottom: Rect::new(0, room, w, h.min(1)),
        }
    }

    /// Rows there are for lines.
    pub(super) fn height(&self) -> u16 {
        self.areas().lines.h
    }

    /// The rows to draw; the selection goes to the nearest of them when its line is not shown any more.
    pub(super) fn screen(&mut self) -> Result<Screen, Error> {
        let h = usize::from(self.height().max(1));
        if self.follow || self.cursor.is_none() {
            let s = self.view.rows(Anchor::End, h, 0)?;
            self.cursor = s.rows.last().map(|r| r.pos).or(self.cursor);
            self.cursor_row = u16::try_from(s.rows.len().saturating_sub(1)).unwrap_or(0);
            return Ok(s);
        }
        let Some(cursor) = self.cursor else {
            return Ok(Screen::default());
        };
        self.cursor_row = self.cursor_row.min(self.height().saturating_sub(1));
        let wanted = usize::from(self.cursor_row);
        let mut s = self.view.rows(Anchor::At(cursor), wanted, h.saturating_sub(wanted))?;
        if s.rows.len() < h && !(s.at_start && s.at_end) {
            // One side has less than its share: the other fills the screen.
            let more = self.view.rows(Anchor::At(cursor), h, h)?;
            let from = window(more.rows.len(), more.at, wanted, h);
            s = Screen {
                at: more.at.saturating_sub(from),
                at_start: more.at_start && from == 0,
                at_end: more.at_end && more.rows.len() <= from + h,
                pending: more.pending,
                rows: more.rows.into_iter().skip(from).take(h).collect(),
            };
        }
        // Past the last row that is left, the last one is the nearest.
        s.at = s.at.min(s.rows.len().saturating_sub(1));
        if let Some(row) = s.rows.get(s.at) {
            // While filters are still being looked at around here, the line itself may yet turn out to be shown.
            if !s.pending {
                self.cursor = Some(row.pos);
            }
            if !s.pending || s.rows.len() == h {
                self.cursor_row = u16::try_from(s.at).unwrap_or(0);
            }
        }
        Ok(s)
    }

    /// The selected line.
    pub(super) fn selected(&self) -> Option<Row> {
        let cursor = self.cursor?;
        let s = self.view.rows(Anchor::At(cursor), 1, 1).ok()?;
        s.rows.get(s.at).or(s.rows.last()).cloned()
    }

    /// Rows around the selected line, as a sample of what is here.
    pub(super) fn sample(&self) -> Vec<Row> {
        let at = self.cursor.map_or(Anchor::End, Anchor::At);
        self.view.rows(at, 150, 150).map(|s| s.rows).unwrap_or_default()
    }

    /// Moves the selection by lines.
    pub(super) fn step(&mut self, by: i64) {
        let Some(from) = self.cursor else { return };
        match self.view.step(from, by) {
            Ok(Some(to)) => {
                if by < 0 {
                    self.leave_follow();
                }
                self.cursor = Some(to);
                if !self.follow {
                    let row = i64::from(self.cursor_row) + by;
                    self.cursor_row =
                        u16::try_from(row.clamp(0, i64::from(self.height().saturating_sub(1)))).unwrap_or(0);
                }
            }
            Ok(None) => {}
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// Moves the lines under the selection, as the wheel does.
    pub(super) fn scroll(&mut self, by: i64) {
        self.step(by);
        if !self.follow {
            let row = i64::from(self.cursor_row) - by;
            self.cursor_row = u16::try_from(row.clamp(0, i64::from(self.height().saturating_sub(1)))).unwrap_or(0);
        }
    }

    pub(super) fn leave_follow(&mut self) {
        if self.follow {
            self.follow = false;
            self.left_at = self.snapshot().lines;
        }
    }

    pub(super) fn set_follow(&mut self, follow: bool) {
        if follow {
            self.remember();
            self.follow = true;
            if let Ok(Some(end)) = self.view.end() {
                self.cursor = Some(end);
            }
        } else {
            self.leave_follow();
        }
    }

    /// Keeps the place for going back to.
    fn remember(&mut self) {
        self.ahead.clear();
        if let Some(here) = self.cursor.filter(|p| self.back.last() != Some(p)) {
            self.back.push(here);
            if self.back.len() > PLACES {
                self.back.remove(0);
            }
        }
    }

    /// Goes to a line; what is on the screen stays where it is when the line is among it.
    pub(super) fn visit(&mut self, pos: Pos) {
        self.remember();
        self.place(pos);
    }

    fn place(&mut self, pos: Pos) {
        self.leave_follow();
        self.region = super::Region::Lines;
        self.cursor_row = match self.shown.iter().position(|(_, p)| *p == pos) {
            Some(i) => u16::try_from(i).unwrap_or(0),
            None => self.height() / 3,
        };
        self.cursor = Some(pos);
    }

    /// Goes to a place that the view found.
    pub(super) fn go(&mut self, to: Result<Option<Pos>, Error>, what: &str) {
        match to {
            Ok(Some(pos)) => self.visit(pos),
            Ok(None) => self.fail(&format!("there is no {what}")),
            Err(e) => self.fail(&e.to_string()),
        }
    }

    /// Goes back to where the last jump began, or forward again.
    pub(super) fn travel(&mut self, back: bool) {
        let (from, to) = if back {
            (&mut self.back, &mut self.ahead)
        } else {
            (&mut self.ahead, &mut self.back)
        };
        let Some(pos) = from.pop() else {
            self.fail(if back {
                "there is no earlier place"
            } else {
                "there is no later place"
            });
            return;
        };
        to.extend(self.cursor);
        self.place(pos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_full_wherever_the_selection_is() {
        // 24 rows around the ninth, which is wanted in the fifth row of ten.
        assert_eq!(window(24, 9, 5, 10), 4);
        // Near the end there is little after it: rows before it fill up.
        assert_eq!(window(12, 11, 2, 10), 2);
        // Near the beginning it stands higher than wanted.
        assert_eq!(window(12, 1, 5, 10), 0);
        assert_eq!(window(3, 2, 5, 10), 0);
    }
}
