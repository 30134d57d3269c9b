//! Search over scrollback and screen, logical line by logical line, so that a match may lie across a wrap. It owns
//! nothing; the work of one call is bounded by the scrollback's budget.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::{
    core::Core,
    types::{Case, Direction, Match, MatchCount, Pos, Query, QueryKind},
    view::LOGICAL_MAX,
};
use crate::SearchError;

/// How large a compiled pattern may be, in bytes.
const PATTERN_MAX: usize = 4 << 20;

pub(super) fn compile(query: &Query) -> Result<Regex, SearchError> {
    if query.text.is_empty() {
        return Err(SearchError::Empty);
    }
    let pattern = match query.kind {
        QueryKind::Literal => regex::escape(&query.text),
        QueryKind::Regex => query.text.clone(),
    };
    let insensitive = match query.case {
        Case::Sensitive => false,
        Case::Insensitive => true,
        Case::Smart => !query.text.chars().any(char::is_uppercase),
    };
    RegexBuilder::new(&pattern)
        .case_insensitive(insensitive)
        .size_limit(PATTERN_MAX)
        .dfa_size_limit(PATTERN_MAX)
        .build()
        .map_err(|e| {
            let text = e.to_string();
            let last = text.lines().last().unwrap_or_default();
            SearchError::Pattern(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        })
}

/// One logical line, with the place of each byte.
#[derive(Default)]
struct Logical {
    text: String,
    cols: Vec<u16>,
    /// Where in the text each row begins.
    rows: Vec<usize>,
    first: u64,
}

impl Logical {
    /// Reads the logical line that begins at `line`; the number of the line after it.
    fn read(&mut self, core: &Core, line: u64) -> u64 {
        self.text.clear();
        self.cols.clear();
        self.rows.clear();
        self.first = line;
        let mut n = line;
        while let Some(row) = core.line(n) {
            self.rows.push(self.text.len());
            row.push_text(0, usize::MAX, &mut self.text, Some(&mut self.cols));
            n += 1;
            if !row.wrapped() || n - line >= LOGICAL_MAX {
                break;
            }
        }
        n.max(line + 1)
    }

    fn pos(&self, byte: usize) -> Pos {
        let row = self.rows.partition_point(|r| *r <= byte).saturating_sub(1);
        Pos {
            line: self.first + row as u64,
            col: self.cols.get(byte).copied().unwrap_or(0),
        }
    }

    fn matches<'a>(&'a self, re: &'a Regex) -> impl Iterator<Item = Match> + 'a {
        re.find_iter(&self.text).filter(|m| !m.is_empty()).map(|m| Match {
            start: self.pos(m.start()),
            end: self.pos(m.end() - 1),
        })
    }
}

impl Core {
    pub(super) fn search(&self, query: &Query, from: Pos, dir: Direction) -> Result<Option<Match>, SearchError> {
        let re = compile(query)?;
        let (first, end) = (self.first_line(), self.end_line());
        let mut logical = Logical::default();
        match dir {
            Direction::Forward => {
                if from.line >= end {
                    return Ok(None);
                }
                let mut n = self.logical_start(from.line.max(first));
                while n < end {
                    let next = logical.read(self, n);
                    if let Some(m) = logical.matches(&re).find(|m| m.start >= from) {
                        return Ok(Some(m));
                    }
                    n = next;
                }
            }
            Direction::Backward => {
                if from.line < first {
                    return Ok(None);
                }
                let mut n = self.logical_start(from.line.min(end.saturating_sub(1)));
                loop {
                    logical.read(self, n);
                    if let Some(m) = logical.matches(&re).take_while(|m| m.start <= from).last() {
                        return Ok(Some(m));
                    }
                    if n <= first {
                        break;
                    }
                    n = self.logical_start(n - 1);
                }
            }
        }
        Ok(None)
    }

    pub(super) fn count_matches(&self, query: &Query, cap: usize) -> Result<MatchCount, SearchError> {
        let re = compile(query)?;
        let mut logical = Logical::default();
        let (mut n, end) = (self.first_line(), self.end_line());
        let mut count = 0;
        while n < end {
            n = logical.read(self, n);
            count += logical.matches(&re).count();
            if count > cap {
                return Ok(MatchCount::AtLeast(cap));
            }
        }
        Ok(MatchCount::Exact(count))
    }

    pub(super) fn matches_in(&self, query: &Query, lines: Range<u64>) -> Result<Vec<Match>, SearchError> {
        let re = compile(query)?;
        let mut logical = Logical::default();
        let mut out = Vec::new();
        let mut n = self.logical_start(lines.start.max(self.first_line()));
        let end = lines.end.min(self.end_line());
        while n < end {
            n = logical.read(self, n);
            out.extend(
                logical
                    .matches(&re)
                    .filter(|m| m.end.line >= lines.start && m.start.line < lines.end),
            );
        }
        Ok(out)
    }
}
