//! Copy mode: a cursor over the screen and the scrollback, selections of three shapes, search and prompt jumps. It owns
//! the cursor, the anchor and the query; the lines belong to the emulator.

mod places;

use qd_mux::CopyOp;
use qd_terminal::{Case, MatchCount, Pos, Query, QueryKind, Shape, Vt};

pub(crate) use self::places::word_at;
use self::places::{after, before, last_pos, line_end, step_left, step_right, word_left, word_right};
use crate::terminal::SearchDirection;

/// How many matches are counted before the count reads "n+".
const MAX_COUNT: usize = 9_999;
/// How many matches are marked on one screen.
const MAX_VISIBLE: usize = 500;

/// What an operation leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Copy mode goes on.
    Stay,
    /// It ends, and this text is copied.
    Yank(String),
    /// A search text is wanted.
    Prompt(SearchDirection),
    /// It ends.
    Leave,
}

/// The state of copy mode.
#[derive(Debug, Clone)]
pub struct CopyMode {
    cursor: Pos,
    want_col: u16,
    anchor: Option<(Pos, Shape)>,
    query: Option<Query>,
    case: Case,
    kind: QueryKind,
    direction: SearchDirection,
    current: Option<(Pos, Pos)>,
    count: Option<MatchCount>,
}

impl CopyMode {
    /// Copy mode with its cursor at `at`, remembering the query of last time.
    #[must_use]
    pub fn new(at: Pos, query: Option<Query>) -> Self {
        Self {
            cursor: at,
            want_col: at.col,
            anchor: None,
            case: query.as_ref().map_or(Case::Smart, |q| q.case),
            kind: query.as_ref().map_or(QueryKind::Literal, |q| q.kind),
            query,
            direction: SearchDirection::Older,
            current: None,
            count: None,
        }
    }

    /// Where the cursor stands.
    #[must_use]
    pub fn cursor(&self) -> Pos {
        self.cursor
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> Option<&Query> {
        self.query.as_ref()
    }

    /// The match the cursor was taken to.
    #[must_use]
    pub fn current_match(&self) -> Option<(Pos, Pos)> {
        self.current
    }

    /// The selection in reading order.
    #[must_use]
    pub fn selection(&self) -> Option<(Pos, Pos, Shape)> {
        let (a, shape) = self.anchor?;
        let (a, b) = if a <= self.cursor {
            (a, self.cursor)
        } else {
            (self.cursor, a)
        };
        Some((a, b, shape))
    }

    /// What the frame says of it.
    #[must_use]
    pub fn status(&self) -> String {
        let mut parts = Vec::new();
        if let Some(q) = &self.query {
            let case = match self.case {
                Case::Smart => "",
                Case::Sensitive => " case",
                Case::Insensitive => " nocase",
            };
            let kind = if self.kind == QueryKind::Regex { " regex" } else { "" };
            let count = match self.count {
                Some(MatchCount::AtLeast(n)) => format!(" {n}+"),
                Some(MatchCount::Exact(n)) => format!(" {n}"),
                None => String::new(),
            };
            parts.push(format!("/{}{case}{kind}{count}", q.text));
        }
        if let Some((_, shape)) = self.anchor {
            parts.push(
                match shape {
                    Shape::Stream => "selecting",
                    Shape::Line => "selecting lines",
                    Shape::Block => "selecting a block",
                }
                .to_owned(),
            );
        }
        if parts.is_empty() {
            "copy".to_owned()
        } else {
            parts.join(" \u{b7} ")
        }
    }

    /// Sets what is searched for; the case and kind switches stay.
    pub fn set_query(&mut self, text: &str, direction: SearchDirection) {
        self.direction = direction;
        self.query = Some(Query {
            text: text.to_owned(),
            case: self.case,
            kind: self.kind,
        });
        self.count = None;
        self.current = None;
    }

    /// Goes to the next match in `direction`, round the ends.
    pub(crate) fn search_again(&mut self, vt: &mut Vt, direction: SearchDirection) -> Result<(), String> {
        let Some(q) = self.query.clone() else {
            return Err("nothing was searched for yet: / searches".to_owned());
        };
        let dir = match direction {
            SearchDirection::Older => qd_terminal::Direction::Backward,
            SearchDirection::Newer => qd_terminal::Direction::Forward,
        };
        if self.count.is_none() {
            self.count = Some(vt.count_matches(&q, MAX_COUNT).map_err(|e| e.to_string())?);
        }
        let wrap_from = match direction {
            SearchDirection::Older => last_pos(vt),
            SearchDirection::Newer => Pos {
                line: vt.first_line(),
                col: 0,
            },
        };
        // A search counts the place it begins at: the match the cursor is on is passed over.
        let from = if self.current.is_some_and(|(start, _)| start == self.cursor) {
            match direction {
                SearchDirection::Older => before(vt, self.cursor),
                SearchDirection::Newer => after(vt, self.cursor),
            }
        } else {
            self.cursor
        };
        let mut found = vt.search(&q, from, dir).map_err(|e| e.to_string())?;
        if found.is_none() {
            found = vt.search(&q, wrap_from, dir).map_err(|e| e.to_string())?;
        }
        let Some(m) = found else {
            self.current = None;
            return Err(format!("no match for \u{201c}{}\u{201d}", q.text));
        };
        self.current = Some((m.start, m.end));
        self.go(m.start, vt);
        Ok(())
    }

    /// The matches on the screen that begins at line `top`.
    #[must_use]
    pub fn visible_matches(&self, vt: &Vt, top: u64, rows: u16) -> Vec<(Pos, Pos)> {
        let Some(q) = &self.query else { return Vec::new() };
        vt.matches_in(q, top..top + u64::from(rows))
            .map(|v| v.into_iter().take(MAX_VISIBLE).map(|m| (m.start, m.end)).collect())
            .unwrap_or_default()
    }

    /// Moves the cursor, and the view so that it is seen.
    fn go(&mut self, to: Pos, vt: &mut Vt) {
        let rows = u64::from(vt.size().rows.max(1));
        let last = vt.screen_top_line() + rows - 1;
        self.cursor = Pos {
            line: to.line.clamp(vt.first_line(), last),
            col: to.col.min(vt.size().cols.saturating_sub(1)),
        };
        let top = vt.view_top_line();
        if self.cursor.line < top {
            vt.scroll_by(i64::try_from(top - self.cursor.line).unwrap_or(i64::MAX));
        } else if self.cursor.line >= top + rows {
            vt.scroll_by(-i64::try_from(self.cursor.line - (top + rows - 1)).unwrap_or(i64::MAX));
        }
    }

    /// Puts the cursor on a place, in the middle of the screen if it is not on it.
    pub(crate) fn visit(&mut self, to: Pos, vt: &mut Vt) {
        let rows = u64::from(vt.size().rows.max(1));
        let top = vt.view_top_line();
        if !(top..top + rows).contains(&to.line) {
            // Half a screen further on first, so that the lines on both sides of it are seen.
            let line = if to.line < top {
                to.line.saturating_sub(rows / 2)
            } else {
                to.line.saturating_add(rows / 2)
            };
            self.go(Pos { line, ..to }, vt);
        }
        self.want_col = to.col;
        self.go(to, vt);
    }

    fn vertical(&mut self, lines: i64, vt: &mut Vt) {
        let line = self.cursor.line.saturating_add_signed(lines);
        self.go(
            Pos {
                line,
                col: self.want_col,
            },
            vt,
        );
    }

    fn horizontal(&mut self, to: Pos, vt: &mut Vt) {
        self.go(to, vt);
        self.want_col = self.cursor.col;
    }

    fn toggle(&mut self, shape: Shape) {
        self.anchor = match self.anchor {
            Some((_, s)) if s == shape => None,
            Some((a, _)) => Some((a, shape)),
            None => Some((self.cursor, shape)),
        };
    }

    /// Carries an operation out.
    pub(crate) fn apply(&mut self, op: CopyOp, vt: &mut Vt) -> Result<Outcome, String> {
        let rows = i64::from(vt.size().rows.max(1));
        let at = self.cursor;
        let top = vt.view_top_line();
        let screen = |row: i64| Pos {
            line: top.saturating_add_signed(row),
            col: 0,
        };
        match op {
            CopyOp::Left => self.horizontal(step_left(vt, at), vt),
            CopyOp::Right => self.horizontal(step_right(vt, at), vt),
            CopyOp::Up => self.vertical(-1, vt),
            CopyOp::Down => self.vertical(1, vt),
            CopyOp::WordLeft => self.horizontal(word_left(vt, at), vt),
            CopyOp::WordRight => self.horizontal(word_right(vt, at), vt),
            CopyOp::LineStart => self.horizontal(Pos { line: at.line, col: 0 }, vt),
            CopyOp::LineEnd => self.horizontal(
                Pos {
                    line: at.line,
                    col: line_end(vt, at.line),
                },
                vt,
            ),
            CopyOp::Top => self.horizontal(
                Pos {
                    line: vt.first_line(),
                    col: 0,
                },
                vt,
            ),
            CopyOp::Bottom => self.horizontal(
                Pos {
                    line: last_pos(vt).line,
                    col: 0,
                },
                vt,
            ),
            CopyOp::ScreenTop => self.horizontal(screen(0), vt),
            CopyOp::ScreenMiddle => self.horizontal(screen(rows / 2), vt),
            CopyOp::ScreenBottom => self.horizontal(screen(rows - 1), vt),
            CopyOp::HalfPageUp => self.vertical(-rows / 2, vt),
            CopyOp::HalfPageDown => self.vertical(rows / 2, vt),
            CopyOp::PageUp => self.vertical(-(rows - 1).max(1), vt),
            CopyOp::PageDown => self.vertical((rows - 1).max(1), vt),
            CopyOp::ToggleSelection => self.toggle(Shape::Stream),
            CopyOp::ToggleLineSelection => self.toggle(Shape::Line),
            CopyOp::ToggleRectangle => self.toggle(Shape::Block),
            CopyOp::SwapEnds => {
                if let Some((a, shape)) = self.anchor {
                    self.anchor = Some((at, shape));
                    self.horizontal(a, vt);
                }
            }
            CopyOp::Yank => {
                let (a, b, shape) = self.selection().unwrap_or((at, at, Shape::Line));
                return Ok(Outcome::Yank(vt.text_range(a, b, shape)));
            }
            CopyOp::SearchPrompt => return Ok(Outcome::Prompt(SearchDirection::Newer)),
            CopyOp::SearchBackPrompt => return Ok(Outcome::Prompt(SearchDirection::Older)),
            CopyOp::SearchNext => self.search_again(vt, self.direction)?,
            CopyOp::SearchPrevious => {
                let other = match self.direction {
                    SearchDirection::Older => SearchDirection::Newer,
                    SearchDirection::Newer => SearchDirection::Older,
                };
                self.search_again(vt, other)?;
            }
            CopyOp::ToggleCase => {
                self.case = match self.case {
                    Case::Smart => Case::Sensitive,
                    Case::Sensitive => Case::Insensitive,
                    Case::Insensitive => Case::Smart,
                };
                self.requery();
            }
            CopyOp::ToggleRegex => {
                self.kind = if self.kind == QueryKind::Regex {
                    QueryKind::Literal
                } else {
                    QueryKind::Regex
                };
                self.requery();
            }
            CopyOp::PreviousPrompt => {
                let line = vt
                    .prompts()
                    .into_iter()
                    .rev()
                    .find(|l| *l < at.line)
                    .ok_or("no prompt above")?;
                self.horizontal(Pos { line, col: 0 }, vt);
            }
            CopyOp::NextPrompt => {
                let line = vt
                    .prompts()
                    .into_iter()
                    .find(|l| *l > at.line)
                    .ok_or("no prompt below")?;
                self.horizontal(Pos { line, col: 0 }, vt);
            }
            CopyOp::Cancel => {
                if self.anchor.take().is_none() {
                    return Ok(Outcome::Leave);
                }
            }
        }
        Ok(Outcome::Stay)
    }

    fn requery(&mut self) {
        if let Some(q) = self.query.as_mut() {
            q.case = self.case;
            q.kind = self.kind;
            self.count = None;
            self.current = None;
        }
    }
}

/// How a copied text is announced: its size in lines and characters.
#[must_use]
pub fn copied_words(text: &str) -> String {
    let lines = text.lines().count();
    let chars = text.chars().count();
    if lines > 1 {
        format!("copied {lines} lines")
    } else {
        format!("copied {chars} characters")
    }
}

#[cfg(test)]
mod tests;
