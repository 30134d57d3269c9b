//! Moving in the list, folding it, marking in it.

use std::sync::Arc;

use qd_search_live::{
    Place,
    engine::{Command, View},
    look::{Look, Page, Row},
};

use super::{Find, Region, SearchPane};

/// Finds that may be marked.
const MARKS: usize = 10_000;

impl SearchPane {
    /// Moves the selection by rows.
    pub(super) fn scroll(&mut self, by: i64) {
        if self.panel.is_some() {
            self.scroll_panel(by);
            return;
        }
        if self.replacing.is_some() {
            self.scroll_plan(by);
            return;
        }
        let v = self.view();
        if let Some(at) = self.at {
            let to = v.results.step(at, by, &self.folded);
            self.select(&v, to);
        }
    }

    /// Selects a row, and brings it into view.
    pub(super) fn select(&mut self, v: &View, to: Place) {
        self.moved = true;
        self.at = Some(to);
        let results = &v.results;
        // What fits: each line has its context with it.
        let each = i64::from(self.context) * 2 + if self.context > 0 { 2 } else { 1 };
        let fits = (i64::from(self.height.max(1)) / each).max(1);
        let Some(top) = self.top else {
            self.top = Some(to);
            return;
        };
        let (above, _) = results.rows(top, &self.folded);
        let (here, _) = results.rows(to, &self.folded);
        if here < above {
            self.top = Some(to);
        } else if here - above >= u64::try_from(fits).unwrap_or(1) {
            self.top = Some(results.step(to, 1 - fits, &self.folded));
        }
    }

    /// Asks for the part of the list that is to be seen, if it is not what was asked for last.
    pub(super) fn ask_page(&mut self) {
        let Some(top) = self.top else { return };
        let wanted = Look {
            top,
            rows: 2 * usize::from(self.height) + 1,
            context: self.context,
            folded: Arc::clone(&self.folded),
        };
        if self.glance.as_ref() != Some(&wanted) {
            self.glance = Some(wanted.clone());
            self.tell(Command::Look(wanted));
        }
    }

    /// The row of a page that the selection is in.
    pub(super) fn row_of<'p>(&self, page: &'p Page) -> Option<(usize, &'p Row)> {
        page.rows.iter().enumerate().find(|(_, r)| r.place() == self.at)
    }

    /// The first, the last row.
    pub(super) fn go_to_end(&mut self, last: bool) {
        if self.panel.is_some() || self.replacing.is_some() {
            self.scroll(if last { i64::from(i32::MAX) } else { i64::from(i32::MIN) });
            return;
        }
        let v = self.view();
        let to = if last {
            v.results.last(&self.folded)
        } else {
            v.results.first()
        };
        if let Some(to) = to {
            self.select(&v, to);
        }
    }

    /// The heading of the next file, or of the one before.
    pub(super) fn next_file(&mut self, forward: bool) {
        let v = self.view();
        let Some(at) = self.at else { return };
        let here = Place {
            group: at.group,
            line: None,
        };
        if !forward && at.line.is_some() {
            self.select(&v, here);
            return;
        }
        match v.results.neighbour(at.group, forward) {
            Some(g) => {
                let to = Place {
                    group: g.id,
                    line: None,
                };
                self.select(&v, to);
            }
            None => self.say(
                if forward {
                    "this is the last"
                } else {
                    "this is the first"
                },
                true,
            ),
        }
    }

    /// Hides the lines of the file under the cursor, or shows them.
    pub(super) fn fold(&mut self) {
        let Some(at) = self.at else { return };
        let folded = Arc::make_mut(&mut self.folded);
        if !folded.remove(&at.group) {
            folded.insert(at.group);
            self.at = Some(Place {
                group: at.group,
                line: None,
            });
        }
        self.keep_in_view();
    }

    /// Hides the lines of every file, or shows all.
    pub(super) fn fold_all(&mut self) {
        let v = self.view();
        if self.folded.is_empty() {
            let all = v.results.groups(0, usize::MAX);
            self.folded = Arc::new(all.iter().map(|g| g.id).collect());
            self.at = self.at.map(|at| Place {
                group: at.group,
                line: None,
            });
        } else {
            self.folded = Arc::default();
        }
        self.keep_in_view();
    }

    fn keep_in_view(&mut self) {
        let v = self.view();
        self.top = self.top.map(|t| v.results.step(t, 0, &self.folded));
        if let Some(at) = self.at {
            self.select(&v, at);
        }
    }

    /// A find with everything that can be done with it; of a heading, its file.
    pub(super) fn find_at(&self, v: &View, place: Place) -> Option<Find> {
        let group = v.results.group(place.group)?;
        let source = v.sources.get(usize::from(group.source))?;
        let entry = v
            .results
            .entries(group.id, place.line.unwrap_or(0), 1)
            .into_iter()
            .next()?;
        let text = v.page.as_ref().and_then(|p| {
            p.rows.iter().find_map(|r| match r {
                Row::Line { place: at, text, .. } if *at == place => Some(text.clone()),
                _ => None,
            })
        });
        let text = text.or_else(|| {
            let hay = source.again(&group.name)?;
            Some(qd_search_live::look::text_of(&*hay, entry))
        });
        Some(Find {
            source: group.source,
            title: source.title(&group.name),
            path: source.path(&group.name),
            name: group.name,
            line: entry.line,
            column: entry.column,
            text: text.unwrap_or_default(),
        })
    }

    /// The find under the cursor.
    pub(super) fn current(&mut self) -> Option<Find> {
        let v = self.view();
        let found = self.at.and_then(|at| self.find_at(&v, at));
        if found.is_none() {
            self.say("nothing is selected", true);
        }
        found
    }

    /// The marked finds in the order of the list; without any, the one under the cursor.
    pub(super) fn chosen(&mut self) -> Vec<Find> {
        if self.marked.is_empty() {
            return self.current().into_iter().collect();
        }
        let v = self.view();
        let mut all: Vec<(u64, Find)> = self
            .marked
            .iter()
            .map(|(p, f)| (v.results.rows(*p, &Default::default()).0, f.clone()))
            .collect();
        all.sort_by_key(|(n, _)| *n);
        all.into_iter().map(|(_, f)| f).collect()
    }

    /// Marks the line under the cursor, or takes its mark away, and goes on.
    pub(super) fn toggle_mark(&mut self) {
        let Some(at) = self.at.filter(|at| at.line.is_some()) else {
            self.scroll(1);
            return;
        };
        if self.marked.remove(&at).is_none() {
            let v = self.view();
            if let Some(f) = self.find_at(&v, at).filter(|_| self.marked.len() < MARKS) {
                self.marked.insert(at, f);
            }
        }
        self.scroll(1);
    }

    /// Marks every line from the last mark above to the cursor.
    pub(super) fn mark_range(&mut self) {
        let v = self.view();
        let Some(at) = self.at else { return };
        let none = Default::default();
        let (here, _) = v.results.rows(at, &none);
        let from = self
            .marked
            .keys()
            .map(|p| (v.results.rows(*p, &none).0, *p))
            .filter(|(n, _)| *n < here)
            .max();
        let Some((n, mut p)) = from else {
            self.say("Space marks where the range begins", true);
            return;
        };
        for _ in n..here.min(n + MARKS as u64) {
            p = v.results.step(p, 1, &none);
            if p.line.is_some()
                && self.marked.len() < MARKS
                && let Some(f) = self.find_at(&v, p)
            {
                self.marked.insert(p, f);
            }
        }
    }

    /// A click selects; one on what is selected opens it.
    pub(super) fn click(&mut self, _col: u16, row: u16) {
        let hit = self.shown.iter().find(|(y, _)| *y == row).map(|(_, p)| *p);
        if let Some(p) = hit {
            self.region = Region::List;
            if self.at == Some(p) {
                self.enter();
            } else {
                let v = self.view();
                self.select(&v, p);
            }
        } else if row == 0 {
            self.region = Region::Query;
        }
    }
}
