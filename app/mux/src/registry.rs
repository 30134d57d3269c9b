//! The command registry: the one table from which the `:` line, the palette, `?`, menus, `qd action`, the man page and
//! the completions take every action's name, documentation, category, arguments and danger, and by which words are read
//! into actions. It is constant data; whether something can be done now is [`crate::enabled`]'s question.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::{action::Action, error::ActionError, parse::Given};

mod table;

/// Where an action stands in menus and manuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Opening, closing, naming and moving panes.
    Panes,
    /// Moving the focus.
    Focus,
    /// The sizes of panes.
    Layout,
    /// Tabs.
    Tabs,
    /// Giving input to programs.
    Input,
    /// Looking at the scrollback.
    Scroll,
    /// The copy mode.
    Copy,
    /// Modes of the keys.
    Modes,
    /// Lists to choose from, prompts, help.
    Pickers,
    /// The session as a whole.
    Session,
    /// Looks and configuration.
    Settings,
    /// Output for scripts.
    Inspect,
}

impl Category {
    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Panes => "Panes",
            Self::Focus => "Focus",
            Self::Layout => "Layout",
            Self::Tabs => "Tabs",
            Self::Input => "Input",
            Self::Scroll => "Scrollback",
            Self::Copy => "Copy mode",
            Self::Modes => "Modes",
            Self::Pickers => "Pickers and prompts",
            Self::Session => "Session",
            Self::Settings => "Settings",
            Self::Inspect => "Inspection",
        }
    }
}

/// How much an action can destroy, and so how it is confirmed when a person starts it from a key or the palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Danger {
    /// Nothing.
    None,
    /// Running work: yes or no is asked.
    Confirm,
    /// Much: the name must be typed.
    TypeName,
}

/// Whether an argument must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Required {
    /// It must.
    Yes,
    /// It need not.
    No,
}

/// How an argument is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArgForm {
    /// By its place.
    Positional,
    /// By its place, as many as there are.
    Repeated,
    /// `--name VALUE` or `--name=VALUE`.
    Flag,
    /// `--name VALUE`, as often as wanted.
    RepeatedFlag,
    /// `--name` alone.
    Switch,
    /// Everything after `--`.
    Trailing,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArgKind {
    /// Nothing (a switch).
    Nothing,
    /// Any text; by its place, several words are joined with blanks.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number.
    Number,
    /// A byte, 0 to 255.
    Byte,
    /// A key, like `Ctrl-c`.
    Chord,
    /// A pane's id.
    Pane,
    /// A tab's name.
    TabName,
    /// A path.
    Path,
    /// A theme's name.
    Theme,
    /// A kind of pane.
    PaneKind,
    /// `KEY=VALUE`.
    Pair,
    /// A program and its arguments.
    Command,
}

/// An argument of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// Its name, without dashes.
    pub name: &'static str,
    /// One sentence on it.
    pub doc: &'static str,
    /// Whether it must be there.
    pub required: Required,
    /// What it takes.
    pub kind: ArgKind,
    /// How it is written.
    pub form: ArgForm,
    /// A one-letter form, `-d` for `--direction`.
    pub short: Option<char>,
}

/// How the words of an action become the action.
pub(crate) enum Reader {
    /// It takes no arguments.
    Plain(Action),
    /// It takes some.
    With(fn(&mut Given<'_>) -> Result<Action, ActionError>),
}

/// An entry of the registry.
pub struct Command {
    /// The action's name.
    pub name: &'static str,
    /// One sentence on what it does.
    pub doc: &'static str,
    /// Where it stands in menus and manuals.
    pub category: Category,
    /// Its arguments.
    pub args: &'static [Arg],
    /// How much it can destroy.
    pub danger: Danger,
    pub(crate) reader: Reader,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

impl Command {
    /// How it is written: `resize <CHANGE> [DIRECTION]`.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut out = self.name.to_owned();
        for a in self.args {
            let upper = a.name.to_uppercase().replace('-', "_");
            let text = match a.form {
                ArgForm::Positional => upper,
                ArgForm::Repeated => format!("{upper}…"),
                ArgForm::Flag => format!("--{} {upper}", a.name),
                ArgForm::RepeatedFlag => format!(
                    "--{} {}…",
                    a.name,
                    if a.kind == ArgKind::Pair { "KEY=VALUE" } else { &upper }
                ),
                ArgForm::Switch => format!("--{}", a.name),
                ArgForm::Trailing => format!("-- {upper}…"),
            };
            out.push_str(&match a.required {
                Required::Yes => format!(" <{text}>"),
                Required::No => format!(" [{text}]"),
            });
        }
        out
    }

    /// Whether it can be run without arguments.
    #[must_use]
    pub fn runs_bare(&self) -> bool {
        self.args.iter().all(|a| a.required == Required::No)
    }
}

/// Every action there is, in the order of the manual.
#[must_use]
pub fn registry() -> &'static [Command] {
    &table::ALL
}

/// The entry of a name.
#[must_use]
pub fn command(name: &str) -> Option<&'static Command> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Command>> =
        LazyLock::new(|| registry().iter().map(|c| (c.name, c)).collect());
    BY_NAME.get(name).copied()
}

/// The name that is most like the one given, if any is like it at all.
#[must_use]
pub fn closest(name: &str) -> Option<&'static str> {
    closest_of(name, registry().iter().map(|c| c.name))
}

/// The one of `known` that is most like `word`: begins with it or is a few letters off.
pub(crate) fn closest_of<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let likeness = |k: &str| {
        let bonus = if !word.is_empty() && (k.starts_with(&word) || word.starts_with(k)) {
            0.3
        } else {
            0.0
        };
        strsim::jaro_winkler(&word, k).max(strsim::normalized_damerau_levenshtein(&word, k)) + bonus
    };
    let best = known.map(|k| (likeness(k), k)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.75).then_some(best.1)
}
