//! Lines that are marked for what is done next: copying, writing to a file, tags, comments, bookmarks.

use std::collections::BTreeSet;

use qd_logs_view::{Anchor, Pos, Row};

use super::{LogPane, grouped};

/// How many lines can be marked at once.
pub(super) const MOST: usize = 10_000;
/// How many lines are asked for at once.
const STEP: usize = 1000;

/// The lines that are marked.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) lines: BTreeSet<Pos>,
    /// Where a range begins whose end is still to be said.
    pub(super) from: Option<Pos>,
}

impl LogPane {
    /// Marks the selected line, or takes its mark away, and goes on to the next.
    pub(super) fn toggle_pick(&mut self) {
        let Some(pos) = self.cursor else {
            self.fail("no line is selected");
            return;
        };
        self.leave_follow();
        if !self.picked.lines.remove(&pos) {
            if self.picked.lines.len() >= MOST {
                self.fail("no more lines can be marked");
                return;
            }
            self.picked.lines.insert(pos);
        }
        self.step(1);
        self.tell_picked();
    }

    fn tell_picked(&mut self) {
        self.tell(match self.picked.lines.len() {
            0 => "no line is marked".to_owned(),
            n => format!(
                "{} marked \u{b7} y copies, a writes, tags \u{b7} Esc drops the marks",
                lines(n)
            ),
        });
    }

    /// Begins a range at the selected line, or marks everything from its beginning to here.
    pub(super) fn pick_range(&mut self) {
        let Some(pos) = self.cursor else {
            self.fail("no line is selected");
            return;
        };
        self.leave_follow();
        let Some(from) = self.picked.from.take() else {
            self.picked.from = Some(pos);
            self.tell("a range begins here \u{b7} V marks up to another line \u{b7} Esc drops it");
            return;
        };
        let (a, b) = if self.is_before(from, pos) {
            (from, pos)
        } else {
            (pos, from)
        };
        let room = MOST - self.picked.lines.len().min(MOST);
        let found = self.between(a, b, room);
        let whole = found.last() == Some(&b);
        self.picked.lines.extend(found);
        if whole {
            self.tell_picked();
        } else {
            self.fail(&format!(
                "not all of the range: {} are marked; {} can be at once",
                lines(self.picked.lines.len()),
                lines(MOST)
            ));
        }
    }

    /// Whether a line stands before another in the order of the view.
    fn is_before(&self, a: Pos, b: Pos) -> bool {
        if a.source == b.source {
            return a < b;
        }
        let key = |p: Pos| (self.view.time_of(p).ok().flatten(), p.source);
        key(a) < key(b)
    }

    /// The lines that are shown from one to another, at most so many.
    fn between(&self, from: Pos, to: Pos, most: usize) -> Vec<Pos> {
        let mut out = Vec::new();
        let mut at = from;
        while out.len() < most {
            let take = STEP.min(most - out.len() + 1);
            let Ok(screen) = self.view.rows(Anchor::At(at), 0, take) else {
                break;
            };
            let again = usize::from(out.last() == screen.rows.first().map(|r| &r.pos));
            let before = out.len();
            for row in screen.rows.iter().skip(again).take(most - before) {
                out.push(row.pos);
                if row.pos == to {
                    return out;
                }
            }
            match out.last() {
                Some(last) if out.len() > before => at = *last,
                _ => break,
            }
        }
        out
    }

    /// The marked lines in the order of the view; the selected one where none is marked.
    pub(super) fn picked_rows(&self) -> Vec<Row> {
        if self.picked.lines.is_empty() {
            return self.selected().into_iter().collect();
        }
        let row = |pos: &Pos| {
            let screen = self.view.rows(Anchor::At(*pos), 0, 1).ok()?;
            screen.rows.into_iter().next().filter(|row| row.pos == *pos)
        };
        let mut rows: Vec<Row> = self.picked.lines.iter().filter_map(row).collect();
        // Within a source their order is that of their places.
        rows.sort_by_key(|row| row.time);
        rows
    }

    /// Drops the marks, and the beginning of a range; answers whether there were any.
    pub(super) fn drop_picks(&mut self) -> bool {
        let range = self.picked.from.take().is_some();
        let any = !self.picked.lines.is_empty();
        self.picked.lines.clear();
        range || any
    }
}

/// A number of lines in words.
pub(super) fn lines(n: usize) -> String {
    match n {
        1 => "1 line".to_owned(),
        n => format!("{} lines", grouped(n as u64)),
    }
}
