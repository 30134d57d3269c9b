//! The small words of the emulator's interface: places, shapes, queries and limits. Data only.

use std::time::Duration;

/// How long a synchronized update (mode 2026) may hold back the screen.
pub const SYNC_TIMEOUT: Duration = Duration::from_millis(150);

/// How much scrollback a terminal keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ScrollbackLimits {
    /// Lines, at the most.
    pub lines: u32,
    /// Bytes of packed text and styles, at the most.
    pub bytes: usize,
}

impl Default for ScrollbackLimits {
    fn default() -> Self {
        Self {
            lines: 10_000,
            bytes: 16 << 20,
        }
    }
}

/// A place in the scrollback or on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pos {
    /// Line, counted from the first line ever; it stays the same while output arrives.
    pub line: u64,
    /// Column, 0-based.
    pub col: u16,
}

/// The shape of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// From one place to the other, as text runs.
    #[default]
    Stream,
    /// Whole lines.
    Line,
    /// The rectangle between two corners.
    Block,
}

/// How letters compare in a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// Case matters when the query has a capital letter.
    #[default]
    Smart,
    /// Case matters.
    Sensitive,
    /// Case does not matter.
    Insensitive,
}

/// What the text of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryKind {
    /// Text as it stands.
    #[default]
    Literal,
    /// A regular expression.
    Regex,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What to look for.
    pub text: String,
    /// How letters compare.
    pub case: Case,
    /// What the text is.
    pub kind: QueryKind,
}

/// The direction of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards newer lines.
    Forward,
    /// Towards older lines.
    Backward,
}

/// A match: its first and its last cell, both inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The first cell.
    pub start: Pos,
    /// The last cell.
    pub end: Pos,
}

/// How many matches there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchCount {
    /// Exactly so many.
    Exact(usize),
    /// At least so many: counting stopped there.
    AtLeast(usize),
}
