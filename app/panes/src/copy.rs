//! Copy mode: a cursor over the screen and the scrollback, selections of three shapes, search and prompt jumps. It owns
//! the cursor, the anchor and the query; the lines belong to the emulator.

use qd_mux::CopyOp;
use qd_terminal::{Case, MatchCount, Pos, Query, QueryKind, Shape, Vt};

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

fn last_pos(vt: &Vt) -> Pos {
    let line = vt.screen_top_line() + u64::from(vt.size().rows.max(1)) - 1;
    Pos {
        line,
        col: vt.size().cols.saturating_sub(1),
    }
}

/// The cell before a place, in reading order.
fn before(vt: &Vt, at: Pos) -> Pos {
    match at.col.checked_sub(1) {
        Some(col) => Pos { line: at.line, col },
        None if at.line > vt.first_line() => Pos {
            line: at.line - 1,
            col: vt.size().cols.saturating_sub(1),
        },
        None => last_pos(vt),
    }
}

/// The cell after a place, in reading order.
fn after(vt: &Vt, at: Pos) -> Pos {
    if at.col + 1 < vt.size().cols {
        Pos {
            line: at.line,
            col: at.col + 1,
        }
    } else {
        Pos {
            line: at.line + 1,
            col: 0,
        }
    }
}

/// The characters of a line with the column each begins at.
fn columns(vt: &Vt, line: u64) -> Vec<(u16, char)> {
    let mut out = Vec::new();
    let mut col = 0u16;
    for c in vt.line_text(line).unwrap_or_default().chars() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if w > 0 {
            out.push((col, c));
            col = col.saturating_add(u16::try_from(w).unwrap_or(0));
        }
    }
    out
}

fn line_end(vt: &Vt, line: u64) -> u16 {
    columns(vt, line)
        .iter()
        .rev()
        .find(|(_, c)| !c.is_whitespace())
        .map_or(0, |(col, _)| *col)
}

fn step_left(vt: &Vt, at: Pos) -> Pos {
    let col = columns(vt, at.line).iter().rev().map(|(c, _)| *c).find(|c| *c < at.col);
    Pos {
        line: at.line,
        col: col.unwrap_or(at.col.saturating_sub(1)),
    }
}

fn step_right(vt: &Vt, at: Pos) -> Pos {
    let col = columns(vt, at.line).iter().map(|(c, _)| *c).find(|c| *c > at.col);
    Pos {
        line: at.line,
        col: col.unwrap_or(at.col.saturating_add(1)),
    }
}

/// What kind of character it is, for words: blank, part of a word, or a sign.
fn class(c: char) -> u8 {
    if c.is_whitespace() {
        0
    } else if c.is_alphanumeric() || "_-./~:@%+=".contains(c) {
        1
    } else {
        2
    }
}

fn word_right(vt: &Vt, at: Pos) -> Pos {
    let cols = columns(vt, at.line);
    let here = cols.iter().rposition(|(c, _)| *c <= at.col);
    if let Some(i) = here {
        let k = class(cols[i].1);
        let mut j = i;
        while j < cols.len() && k != 0 && class(cols[j].1) == k {
            j += 1;
        }
        while j < cols.len() && class(cols[j].1) == 0 {
            j += 1;
        }
        if let Some((col, _)) = cols.get(j) {
            return Pos {
                line: at.line,
                col: *col,
            };
        }
    }
    if at.line >= last_pos(vt).line {
        return at;
    }
    let first = columns(vt, at.line + 1)
        .iter()
        .find(|(_, c)| class(*c) != 0)
        .map_or(0, |(c, _)| *c);
    Pos {
        line: at.line + 1,
        col: first,
    }
}

fn word_left(vt: &Vt, at: Pos) -> Pos {
    let cols = columns(vt, at.line);
    let mut i = cols.iter().filter(|(c, _)| *c < at.col).count();
    while i > 0 && class(cols[i - 1].1) == 0 {
        i -= 1;
    }
    if i == 0 {
        if at.col > 0 || at.line <= vt.first_line() {
            return Pos { line: at.line, col: 0 };
        }
        return Pos {
            line: at.line - 1,
            col: line_end(vt, at.line - 1),
        };
    }
    let k = class(cols[i - 1].1);
    while i > 0 && class(cols[i - 1].1) == k {
        i -= 1;
    }
    Pos {
        line: at.line,
        col: cols[i].0,
    }
}

/// The ends of the word at a place (the place itself, where there is none).
pub(crate) fn word_at(vt: &Vt, at: Pos) -> (Pos, Pos) {
    let cols = columns(vt, at.line);
    let Some(i) = cols.iter().rposition(|(c, _)| *c <= at.col) else {
        return (at, at);
    };
    let k = class(cols[i].1);
    let start = cols[..i].iter().rposition(|(_, c)| class(*c) != k).map_or(0, |p| p + 1);
    let end = cols[i..]
        .iter()
        .position(|(_, c)| class(*c) != k)
        .map_or(cols.len(), |p| i + p)
        - 1;
    (
        Pos {
            line: at.line,
            col: cols[start].0,
        },
        Pos {
            line: at.line,
            col: cols[end].0,
        },
    )
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
mod tests {
    use qd_terminal::ScrollbackLimits;
    use qd_tty::Size;

    use super::*;

    fn vt(text: &str) -> Vt {
        let mut vt = Vt::new(Size::new(20, 4), ScrollbackLimits::default());
        vt.feed(text.replace('\n', "\r\n").as_bytes());
        vt
    }

    fn at(line: u64, col: u16) -> Pos {
        Pos { line, col }
    }

    /// Applies operations one after the other; gives the last outcome.
    fn run(c: &mut CopyMode, vt: &mut Vt, ops: &[CopyOp]) -> Outcome {
        ops.iter().map(|op| c.apply(*op, vt).unwrap()).last().unwrap()
    }

    #[test]
    fn words_and_ends_are_found() {
        let mut v = vt("ls -la /usr/bin | wc\n  indented");
        let mut c = CopyMode::new(at(0, 0), None);
        let stops: Vec<u16> = (0..5)
            .map(|_| {
                run(&mut c, &mut v, &[CopyOp::WordRight]);
                c.cursor().col
            })
            .collect();
        assert_eq!(stops, [3, 7, 16, 18, 2], "past the end is the next line's first word");
        assert_eq!(c.cursor().line, 1);
        run(&mut c, &mut v, &[CopyOp::WordLeft, CopyOp::WordLeft]);
        assert_eq!(
            c.cursor(),
            at(0, 19),
            "back over the indent to the end of the line above"
        );
        run(&mut c, &mut v, &[CopyOp::LineStart, CopyOp::LineEnd]);
        assert_eq!(c.cursor(), at(0, 19));
        assert_eq!(word_at(&v, at(0, 9)), (at(0, 7), at(0, 14)));
    }

    #[test]
    fn wide_characters_are_one_step() {
        let mut v = vt("a\u{6f22}\u{5b57}b");
        let mut c = CopyMode::new(at(0, 0), None);
        let cols: Vec<u16> = (0..3)
            .map(|_| {
                run(&mut c, &mut v, &[CopyOp::Right]);
                c.cursor().col
            })
            .collect();
        assert_eq!(cols, [1, 3, 5]);
        run(&mut c, &mut v, &[CopyOp::Left]);
        assert_eq!(c.cursor().col, 3);
    }

    #[test]
    fn the_three_shapes_yank_what_they_show() {
        let text = "one two\nthree four\nfive six";
        let yank = |ops: &[CopyOp]| {
            let mut v = vt(text);
            let mut c = CopyMode::new(at(0, 4), None);
            match run(&mut c, &mut v, ops) {
                Outcome::Yank(t) => t,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            yank(&[CopyOp::ToggleSelection, CopyOp::Down, CopyOp::Yank]),
            "two\nthree"
        );
        let lines = yank(&[CopyOp::ToggleLineSelection, CopyOp::Down, CopyOp::Yank]);
        assert_eq!(lines.trim_end(), "one two\nthree four");
        let block = yank(&[CopyOp::ToggleRectangle, CopyOp::Down, CopyOp::Right, CopyOp::Yank]);
        assert_eq!(block.trim_end(), "tw\ne");
        assert_eq!(
            yank(&[CopyOp::Yank]).trim_end(),
            "one two",
            "without a selection, the line"
        );
    }

    #[test]
    fn the_other_end_of_a_selection_is_one_key_away() {
        let mut v = vt("one two three");
        let mut c = CopyMode::new(at(0, 4), None);
        run(
            &mut c,
            &mut v,
            &[CopyOp::ToggleSelection, CopyOp::WordRight, CopyOp::SwapEnds],
        );
        assert_eq!(c.cursor(), at(0, 4));
        assert_eq!(c.selection().unwrap().1, at(0, 8));
        run(&mut c, &mut v, &[CopyOp::Cancel]);
        assert!(c.selection().is_none(), "the first cancel drops the selection");
        assert_eq!(c.apply(CopyOp::Cancel, &mut v), Ok(Outcome::Leave));
    }

    #[test]
    fn a_search_goes_round_and_the_view_follows() {
        let mut v = vt(&(0..40).map(|i| format!("line {i}\n")).collect::<String>());
        let last = v.screen_top_line() + 3;
        let mut c = CopyMode::new(at(last, 0), None);
        c.set_query("line 1", SearchDirection::Older);
        let mut seen = Vec::new();
        for _ in 0..12 {
            c.search_again(&mut v, SearchDirection::Older).unwrap();
            let here = c.cursor().line;
            seen.push(here);
            let top = v.view_top_line();
            assert!((top..top + 4).contains(&here), "line {here} is in view from {top}");
        }
        assert_eq!(
            seen,
            [19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 1, 19],
            "after the oldest, the newest again"
        );
        assert!(c.status().starts_with("/line 1 11"), "{}", c.status());
        run(&mut c, &mut v, &[CopyOp::SearchPrevious]);
        assert_eq!(c.cursor().line, 1, "N turns round");
        c.set_query("nowhere", SearchDirection::Older);
        let error = c.search_again(&mut v, SearchDirection::Older).unwrap_err();
        assert!(error.contains("nowhere"), "{error}");
    }

    #[test]
    fn case_and_kind_of_a_search_are_switches() {
        let mut v = vt("Error: a.b\nerror: axb");
        let mut c = CopyMode::new(at(1, 0), None);
        c.set_query("a.b", SearchDirection::Newer);
        run(&mut c, &mut v, &[CopyOp::SearchNext]);
        assert_eq!(c.cursor(), at(0, 7), "a dot is a dot");
        run(&mut c, &mut v, &[CopyOp::ToggleRegex, CopyOp::SearchNext]);
        c.search_again(&mut v, SearchDirection::Newer).unwrap();
        let lines: Vec<u64> = c.visible_matches(&v, 0, 4).iter().map(|(a, _)| a.line).collect();
        assert_eq!(lines, [0, 1], "as an expression it is any character");
        c.set_query("error", SearchDirection::Newer);
        run(&mut c, &mut v, &[CopyOp::ToggleCase]);
        assert_eq!(c.visible_matches(&v, 0, 4).len(), 1);
        assert!(c.status().contains("case"));
    }

    #[test]
    fn prompts_are_jumped_between() {
        let mut v = vt("");
        v.feed(b"\x1b]133;A\x07$ one\r\nout\r\n\x1b]133;A\x07$ two\r\nout\r\n");
        let mut c = CopyMode::new(at(3, 0), None);
        run(&mut c, &mut v, &[CopyOp::PreviousPrompt]);
        assert_eq!(c.cursor().line, 2);
        run(&mut c, &mut v, &[CopyOp::PreviousPrompt]);
        assert_eq!(c.cursor().line, 0);
        assert!(c.apply(CopyOp::PreviousPrompt, &mut v).is_err());
        run(&mut c, &mut v, &[CopyOp::NextPrompt]);
        assert_eq!(c.cursor().line, 2);
    }

    #[test]
    fn copied_text_is_announced_by_its_size() {
        assert_eq!(copied_words("ab\u{6f22}"), "copied 3 characters");
        assert_eq!(copied_words("a\nb\n"), "copied 2 lines");
    }
}
