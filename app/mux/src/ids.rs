//! Identities and directions. Small copyable values with a text form; this module owns no state and hands out no ids
//! (the model does, from 1 up, and never gives one out twice).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A pane's identity, for as long as the session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaneId(pub u32);

/// A tab's identity, for as long as the session lives; not its place in the tab bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TabId(pub u32);

impl fmt::Display for PaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A word that is none of those that are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\u{201c}{value}\u{201d} is not {what}: {expected}")]
pub struct ParseWordError {
    /// The word.
    pub value: String,
    /// What it should have been, with its article.
    pub what: &'static str,
    /// The words that would do.
    pub expected: String,
}

/// A way on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To smaller columns.
    Left,
    /// To greater columns.
    Right,
    /// To smaller rows.
    Up,
    /// To greater rows.
    Down,
}

impl Direction {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Left, Self::Right, Self::Up, Self::Down];

    /// Its word: `left`, `right`, `up`, `down`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The way back.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    /// The axis it runs along.
    #[must_use]
    pub const fn axis(self) -> Axis {
        match self {
            Self::Left | Self::Right => Axis::Row,
            Self::Up | Self::Down => Axis::Column,
        }
    }

    /// Whether coordinates grow this way (right and down).
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Right | Self::Down)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Direction {
    type Err = ParseWordError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|d| d.word().eq_ignore_ascii_case(s))
            .ok_or_else(|| ParseWordError {
                value: s.to_owned(),
                what: "a direction",
                expected: "left, right, up or down".to_owned(),
            })
    }
}

/// One of the two sides of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Towards the first.
    Left,
    /// Towards the last.
    Right,
}

impl Side {
    /// Its word: `left`, `right`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Side {
    type Err = ParseWordError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        [Self::Left, Self::Right]
            .into_iter()
            .find(|d| d.word().eq_ignore_ascii_case(s))
            .ok_or_else(|| ParseWordError {
                value: s.to_owned(),
                what: "a side",
                expected: "left or right".to_owned(),
            })
    }
}

/// How a split lays out its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Side by side, left to right.
    Row,
    /// Stacked, top to bottom.
    Column,
}

impl Axis {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Row => Self::Column,
            Self::Column => Self::Row,
        }
    }
}
