//! Descriptions: what a pane should run, and how the panes of a tab should lie when a layout is opened. Plain data that
//! the layout files are read into and dumped from; nothing here has an identity or a size in cells of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::Axis;

/// What happens to a pane when its program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// It closes.
    #[default]
    Close,
    /// It stays, shows the exit status, and can be run again.
    Hold,
}

/// What a pane runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaneSpec {
    /// `terminal`, or an engine's kind of pane.
    pub kind: String,
    /// The name a person gave it.
    pub name: Option<String>,
    /// The program and its arguments; `None` is the person's shell.
    pub command: Option<Vec<String>>,
    /// The working directory; `None` is the session's choice.
    pub cwd: Option<String>,
    /// What happens when the program ends.
    pub on_exit: OnExit,
    /// The configuration of an engine's pane.
    pub args: BTreeMap<String, String>,
}

impl PaneSpec {
    /// The kind of a pane with a program in it.
    pub const TERMINAL: &'static str = "terminal";

    /// A pane that runs a program; it holds when the program ends.
    #[must_use]
    pub fn command(argv: Vec<String>) -> Self {
        Self {
            command: Some(argv).filter(|v| !v.is_empty()),
            on_exit: OnExit::Hold,
            ..Self::default()
        }
    }

    /// What `on_exit` is when nothing is said: a shell's pane closes, a command's holds.
    #[must_use]
    pub fn usual_on_exit(&self) -> OnExit {
        if self.command.is_some() {
            OnExit::Hold
        } else {
            OnExit::Close
        }
    }

    /// What to call it when neither a person nor the program gave a name: the command's words, `shell`, or the kind.
    #[must_use]
    pub fn fallback_title(&self) -> String {
        match &self.command {
            Some(argv) => argv.join(" "),
            None if self.kind == Self::TERMINAL => "shell".to_owned(),
            None => self.kind.clone(),
        }
    }
}

impl Default for PaneSpec {
    /// The person's shell.
    fn default() -> Self {
        Self {
            kind: Self::TERMINAL.to_owned(),
            name: None,
            command: None,
            cwd: None,
            on_exit: OnExit::Close,
            args: BTreeMap::new(),
        }
    }
}

/// A size along the axis of the split that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Dim {
    /// A part of the split, in percent.
    Percent(f32),
    /// A fixed number of cells, the pane's frame included.
    Cells(u16),
}

/// A part of a tab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Node {
    /// One pane.
    Pane {
        /// What it runs.
        spec: PaneSpec,
        /// Its size within the split; `None` shares what is left.
        size: Option<Dim>,
        /// It gets the tab's focus.
        focus: bool,
    },
    /// Several parts in a line.
    Split {
        /// How they lie.
        axis: Axis,
        /// The split's size within the split that holds it; `None` shares what is left.
        size: Option<Dim>,
        /// The parts, in order.
        children: Vec<Node>,
    },
}

impl Node {
    /// Its size within the split that holds it.
    #[must_use]
    pub const fn size(&self) -> Option<Dim> {
        match self {
            Self::Pane { size, .. } | Self::Split { size, .. } => *size,
        }
    }
}

/// A tab to open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TabSpec {
    /// Its name; `None` numbers it.
    pub name: Option<String>,
    /// It becomes the active tab.
    pub focus: bool,
    /// Its panes.
    pub root: Node,
}

/// Tabs to open.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LayoutSpec {
    /// In the order of the tab bar.
    pub tabs: Vec<TabSpec>,
}

impl LayoutSpec {
    /// One tab with one pane.
    #[must_use]
    pub fn single(spec: PaneSpec) -> Self {
        let root = Node::Pane {
            spec,
            size: None,
            focus: true,
        };
        Self {
            tabs: vec![TabSpec {
                name: None,
                focus: true,
                root,
            }],
        }
    }
}
