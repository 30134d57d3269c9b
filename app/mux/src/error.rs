//! What can go wrong, as sentences a person can act on. Two families: words that are no action ([`ActionError`],
//! [`WordsError`]), and actions that cannot be done as things stand ([`Refusal`]).

use crate::ids::{Direction, PaneId, TabId};

fn hint(closest: Option<&str>) -> String {
    closest
        .map(|c| format!("; did you mean \u{201c}{c}\u{201d}?"))
        .unwrap_or_default()
}

/// Why words are no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The line is empty.
    #[error("an action's name is missing; \u{201c}list-commands\u{201d} shows them all")]
    Empty,
    /// No action has this name.
    #[error("there is no action \u{201c}{name}\u{201d}{}", hint(*closest))]
    Unknown {
        /// The name as given.
        name: String,
        /// The name that is most like it.
        closest: Option<&'static str>,
    },
    /// An argument is missing.
    #[error("{action} needs {argument}: {usage}")]
    Missing {
        /// The action.
        action: &'static str,
        /// What is missing.
        argument: String,
        /// How the action is written.
        usage: String,
    },
    /// A value is not what the argument takes.
    #[error("{action}: {argument} cannot be \u{201c}{value}\u{201d}: {expected}")]
    Value {
        /// The action.
        action: &'static str,
        /// The argument.
        argument: String,
        /// The value as given.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// The action has no such flag.
    #[error("{action} has no flag \u{201c}{flag}\u{201d}{}", hint(closest.as_deref()))]
    Flag {
        /// The action.
        action: &'static str,
        /// The flag as given.
        flag: String,
        /// The flag that is most like it.
        closest: Option<String>,
    },
    /// A word too many.
    #[error("{action} does not take \u{201c}{word}\u{201d}: {usage}")]
    Extra {
        /// The action.
        action: &'static str,
        /// The word.
        word: String,
        /// How the action is written.
        usage: String,
    },
    /// A target is not an id.
    #[error("{flag} needs a number, as {list} shows it, not \u{201c}{value}\u{201d}")]
    Target {
        /// `--pane-id` or `--tab-id`.
        flag: &'static str,
        /// The action that lists them.
        list: &'static str,
        /// The value as given.
        value: String,
    },
}

/// Why a line cannot be split into words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote has no end.
    #[error("the {quote} opened at column {} is never closed", at + 1)]
    Unclosed {
        /// The quote's character.
        quote: char,
        /// The byte offset of the quote.
        at: usize,
    },
    /// The line ends in a backslash.
    #[error("the line ends in a backslash; write \\\\ for one")]
    Backslash {
        /// The byte offset of the backslash.
        at: usize,
    },
}

/// Why an action cannot be done as things stand. Nothing has changed when one is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session has no pane.
    #[error("there is no pane")]
    NoPane,
    /// The session has no tab.
    #[error("there is no tab")]
    NoTab,
    /// No pane has this id.
    #[error("there is no pane {0}")]
    UnknownPane(PaneId),
    /// No tab has this id.
    #[error("there is no tab with the id {0}")]
    UnknownTab(TabId),
    /// No tab stands at this place.
    #[error("there is no tab {index}: the tabs are numbered 1 to {count}")]
    NoTabAt {
        /// The place, from 1.
        index: u32,
        /// How many tabs there are.
        count: usize,
    },
    /// No tab has this name.
    #[error("there is no tab \u{201c}{name}\u{201d}{}", hint(closest.as_deref()))]
    NoTabNamed {
        /// The name.
        name: String,
        /// The tab's name that is most like it.
        closest: Option<String>,
    },
    /// The focus cannot move that way.
    #[error("{}", match .0 {
        Direction::Left => "no pane to the left",
        Direction::Right => "no pane to the right",
        Direction::Up => "no pane above",
        Direction::Down => "no pane below",
    })]
    NoNeighbour(Direction),
    /// The tab has one pane.
    #[error("there is only one pane in this tab")]
    OnlyPane,
    /// The session has one tab.
    #[error("there is only one tab")]
    OnlyTab,
    /// No other pane had the focus before.
    #[error("no other pane had the focus before")]
    NoLastPane,
    /// No other tab was active before.
    #[error("no other tab was active before")]
    NoLastTab,
    /// A split would make panes too small.
    #[error("no room to split: {cols}x{rows} cells left, a pane needs {need_cols}x{need_rows}")]
    NoRoom {
        /// Columns of the pane to split.
        cols: u16,
        /// Its rows.
        rows: u16,
        /// Columns a pane needs.
        need_cols: u16,
        /// Rows a pane needs.
        need_rows: u16,
    },
    /// The pane has no border that could move this way.
    #[error("the pane has no border that could move {}", match .0 {
        Some(d) => d.word(),
        None => "in any direction",
    })]
    NoBorder(Option<Direction>),
    /// The border cannot move further.
    #[error("no room to resize: a pane needs {need_cols}x{need_rows}")]
    NoRoomToResize {
        /// Columns a pane needs.
        need_cols: u16,
        /// Rows a pane needs.
        need_rows: u16,
    },
}
