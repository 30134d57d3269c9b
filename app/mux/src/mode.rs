//! The modes the keys can be in. A closed list with their words; which key does what in a mode is the keymap's business,
//! and when a mode is left is the model's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ids::ParseWordError;

/// What the keys mean now. The mode is always on the screen, as its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The program in the pane has the keys; only the leader is ours.
    #[default]
    Raw,
    /// One of our own views has the keys.
    Nav,
    /// A prompt has the keys.
    Input,
    /// The leader was pressed: the next key chooses.
    Leader,
    /// The window menu: split, zoom, break out, swap.
    Window,
    /// The tab menu.
    Tab,
    /// The menu of new panes.
    New,
    /// The scrollback: move, search, select, copy.
    Copy,
    /// Borders move with each key, until left.
    Resize,
    /// Panes move with each key, until left.
    Move,
    /// The session menu.
    Session,
    /// Even the leader passes, until it is pressed twice.
    Lock,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Raw,
        Self::Nav,
        Self::Input,
        Self::Leader,
        Self::Window,
        Self::Tab,
        Self::New,
        Self::Copy,
        Self::Resize,
        Self::Move,
        Self::Session,
        Self::Lock,
    ];

    /// The word on the screen: `RAW`, `LEADER`, ….
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "RAW",
            Self::Nav => "NAV",
            Self::Input => "INPUT",
            Self::Leader => "LEADER",
            Self::Window => "WINDOW",
            Self::Tab => "TAB",
            Self::New => "NEW",
            Self::Copy => "COPY",
            Self::Resize => "RESIZE",
            Self::Move => "MOVE",
            Self::Session => "SESSION",
            Self::Lock => "LOCK",
        }
    }

    /// The name in keymaps and on the command line: `raw`, `leader`, ….
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Nav => "nav",
            Self::Input => "input",
            Self::Leader => "leader",
            Self::Window => "window",
            Self::Tab => "tab",
            Self::New => "new",
            Self::Copy => "copy",
            Self::Resize => "resize",
            Self::Move => "move",
            Self::Session => "session",
            Self::Lock => "lock",
        }
    }

    /// Whether it stays after a key that is bound in it, unlike a menu.
    #[must_use]
    pub const fn sticky(self) -> bool {
        !self.is_menu()
    }

    /// Whether it is a menu: one key chooses, and the menu is left.
    #[must_use]
    pub const fn is_menu(self) -> bool {
        matches!(
            self,
            Self::Leader | Self::Window | Self::Tab | Self::New | Self::Session
        )
    }

    /// Whether keys that are not bound belong to what the pane or prompt shows.
    #[must_use]
    pub const fn is_base(self) -> bool {
        matches!(self, Self::Raw | Self::Nav | Self::Input)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ParseWordError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(s))
            .ok_or_else(|| ParseWordError {
                value: s.to_owned(),
                what: "a mode",
                expected: Self::ALL.map(Self::name).join(", "),
            })
    }
}
