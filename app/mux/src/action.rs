//! Actions: one value for each thing a person can do, whether by a key, the palette, the `:` line, the mouse or
//! `qd action`. They are data; the model applies them, the registry documents them. Every action has a text form
//! ([`Action::words`]) that reads back as itself, and the match that makes it is exhaustive, so that a new action
//! cannot be forgotten.

use qd_tty::Chord;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{Direction, PaneId, Side, TabId},
    mode::Mode,
    spec::{OnExit, PaneSpec},
};

/// Greater or smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// The pane grows.
    Increase,
    /// The pane shrinks.
    Decrease,
}

/// How output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How much of a pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Extent {
    /// What is on the screen.
    #[default]
    Screen,
    /// The scrollback too.
    Full,
}

macro_rules! copy_ops {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// What can be done in the scrollback of a pane.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum CopyOp {
            $(#[doc = $doc] $variant,)*
        }

        impl CopyOp {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The action's name: `copy-left`, `copy-word-right`, ….
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence on what it does.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

copy_ops! {
    Left "copy-left" "Move the copy cursor one character to the left.";
    Right "copy-right" "Move the copy cursor one character to the right.";
    Up "copy-up" "Move the copy cursor one line up.";
    Down "copy-down" "Move the copy cursor one line down.";
    WordLeft "copy-word-left" "Move the copy cursor to the start of the word before.";
    WordRight "copy-word-right" "Move the copy cursor to the start of the next word.";
    LineStart "copy-line-start" "Move the copy cursor to the start of the line.";
    LineEnd "copy-line-end" "Move the copy cursor to the end of the line.";
    Top "copy-top" "Move the copy cursor to the oldest line.";
    Bottom "copy-bottom" "Move the copy cursor to the newest line.";
    ScreenTop "copy-screen-top" "Move the copy cursor to the first line on the screen.";
    ScreenMiddle "copy-screen-middle" "Move the copy cursor to the middle line on the screen.";
    ScreenBottom "copy-screen-bottom" "Move the copy cursor to the last line on the screen.";
    HalfPageUp "copy-half-page-up" "Move the copy cursor half a page up.";
    HalfPageDown "copy-half-page-down" "Move the copy cursor half a page down.";
    PageUp "copy-page-up" "Move the copy cursor a page up.";
    PageDown "copy-page-down" "Move the copy cursor a page down.";
    ToggleSelection "copy-toggle-selection" "Begin to select by characters, or stop.";
    ToggleLineSelection "copy-toggle-line-selection" "Begin to select by whole lines, or stop.";
    ToggleRectangle "copy-toggle-rectangle" "Begin to select a rectangle, or stop.";
    SwapEnds "copy-swap-ends" "Move the copy cursor to the other end of the selection.";
    Yank "copy-yank" "Copy the selection and leave the copy mode.";
    SearchPrompt "copy-search-prompt" "Ask for a text and search it towards newer lines.";
    SearchBackPrompt "copy-search-back-prompt" "Ask for a text and search it towards older lines.";
    SearchNext "copy-search-next" "Go to the next match.";
    SearchPrevious "copy-search-previous" "Go to the match before.";
    ToggleCase "copy-toggle-case" "Let the search heed upper and lower case, or not.";
    ToggleRegex "copy-toggle-regex" "Let the search read its text as a regular expression, or not.";
    PreviousPrompt "copy-previous-prompt" "Go to the shell prompt before.";
    NextPrompt "copy-next-prompt" "Go to the next shell prompt.";
    Cancel "copy-cancel" "Drop the selection and leave the copy mode.";
}

/// One thing a person can do. What each does is said once, in the registry ([`crate::command`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the registry documents each by name, and a test sees to it that it does"
)]
pub enum Action {
    NewPane {
        spec: PaneSpec,
        direction: Option<Direction>,
    },
    ClosePane,
    RerunPane,
    RenamePane(String),
    MoveFocus(Direction),
    MoveFocusOrTab(Direction),
    FocusNextPane,
    FocusPreviousPane,
    FocusLastPane,
    FocusPane(PaneId),
    Resize {
        change: Change,
        direction: Option<Direction>,
    },
    EqualizePanes,
    MovePane(Option<Direction>),
    ToggleFullscreen,
    TogglePaneFrames,
    BreakPane,
    BreakPaneLeft,
    BreakPaneRight,
    NewTab {
        name: Option<String>,
        cwd: Option<String>,
        spec: Option<PaneSpec>,
    },
    CloseTab,
    RenameTab(String),
    GoToTab(u32),
    GoToTabName(String),
    GoToNextTab,
    GoToPreviousTab,
    ToggleTab,
    MoveTab(Side),
    SwitchMode(Mode),
    SendLeader,
    Write(Vec<u8>),
    WriteChars(String),
    SendKeys(Vec<Chord>),
    Paste(String),
    ScrollUp,
    ScrollDown,
    PageScrollUp,
    PageScrollDown,
    HalfPageScrollUp,
    HalfPageScrollDown,
    ScrollToTop,
    ScrollToBottom,
    Copy(CopyOp),
    SearchScrollback(String),
    GoToLine(u64),
    ClearScrollback,
    DumpScreen {
        path: Option<String>,
        full: Extent,
    },
    DumpLayout,
    ListPanes(Format),
    ListTabs(Format),
    ListClients(Format),
    ListCommands(Format),
    Detach,
    Quit,
    Palette,
    CommandLine,
    Help,
    Messages,
    PanePicker,
    TabPicker,
    SessionPicker,
    ThemePicker,
    LeaderPicker,
    LastPicker,
    SearchEverything,
    SetTheme(String),
    CycleHints,
    ReloadConfig,
    NewPanePicker,
    RenamePanePrompt,
    RenameTabPrompt,
}

/// What an action is meant for; `None` is the focused pane, the active tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Target {
    /// The pane.
    pub pane: Option<PaneId>,
    /// The tab.
    pub tab: Option<TabId>,
}

/// An action and what it is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The action.
    pub action: Action,
    /// What it is meant for.
    pub target: Target,
}

impl From<Action> for Invocation {
    fn from(action: Action) -> Self {
        Self {
            action,
            target: Target::default(),
        }
    }
}

/// Collects the words of an action.
struct Spelling(Vec<String>);

impl Spelling {
    fn flag(&mut self, name: &str, value: Option<&str>) {
        if let Some(v) = value {
            self.0.push(format!("--{name}={v}"));
        }
    }

    fn word(&mut self, w: impl ToString) {
        self.0.push(w.to_string());
    }

    /// Text that may look like a flag.
    fn text(&mut self, w: &str) {
        if w.len() > 1 && w.starts_with('-') {
            self.word("--");
        }
        self.word(w);
    }

    fn format(&mut self, f: Format) {
        if f == Format::Json {
            self.word("--json");
        }
    }

    /// Everything of a pane's description but what the caller spells itself.
    fn spec(&mut self, s: &PaneSpec) {
        if s.kind != PaneSpec::TERMINAL {
            self.flag("kind", Some(&s.kind));
        }
        self.flag("cwd", s.cwd.as_deref());
        for (k, v) in &s.args {
            self.flag("arg", Some(&format!("{k}={v}")));
        }
        if s.on_exit != s.usual_on_exit() {
            self.word(match s.on_exit {
                OnExit::Close => "--close-on-exit",
                OnExit::Hold => "--hold-on-exit",
            });
        }
    }

    fn command(&mut self, s: &PaneSpec) {
        if let Some(argv) = &s.command {
            self.word("--");
            self.0.extend(argv.iter().cloned());
        }
    }
}

impl Action {
    /// Its name in the registry, on the command line and in keymaps: kebab-case, zellij's where zellij has one.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NewPane { .. } => "new-pane",
            Self::ClosePane => "close-pane",
            Self::RerunPane => "rerun-pane",
            Self::RenamePane(_) => "rename-pane",
            Self::MoveFocus(_) => "move-focus",
            Self::MoveFocusOrTab(_) => "move-focus-or-tab",
            Self::FocusNextPane => "focus-next-pane",
            Self::FocusPreviousPane => "focus-previous-pane",
            Self::FocusLastPane => "focus-last-pane",
            Self::FocusPane(_) => "focus-pane-id",
            Self::Resize { .. } => "resize",
            Self::EqualizePanes => "equalize-panes",
            Self::MovePane(_) => "move-pane",
            Self::ToggleFullscreen => "toggle-fullscreen",
            Self::TogglePaneFrames => "toggle-pane-frames",
            Self::BreakPane => "break-pane",
            Self::BreakPaneLeft => "break-pane-left",
            Self::BreakPaneRight => "break-pane-right",
            Self::NewTab { .. } => "new-tab",
            Self::CloseTab => "close-tab",
            Self::RenameTab(_) => "rename-tab",
            Self::GoToTab(_) => "go-to-tab",
            Self::GoToTabName(_) => "go-to-tab-name",
            Self::GoToNextTab => "go-to-next-tab",
            Self::GoToPreviousTab => "go-to-previous-tab",
            Self::ToggleTab => "toggle-tab",
            Self::MoveTab(_) => "move-tab",
            Self::SwitchMode(_) => "switch-mode",
            Self::SendLeader => "send-leader",
            Self::Write(_) => "write",
            Self::WriteChars(_) => "write-chars",
            Self::SendKeys(_) => "send-keys",
            Self::Paste(_) => "paste",
            Self::ScrollUp => "scroll-up",
            Self::ScrollDown => "scroll-down",
            Self::PageScrollUp => "page-scroll-up",
            Self::PageScrollDown => "page-scroll-down",
            Self::HalfPageScrollUp => "half-page-scroll-up",
            Self::HalfPageScrollDown => "half-page-scroll-down",
            Self::ScrollToTop => "scroll-to-top",
            Self::ScrollToBottom => "scroll-to-bottom",
            Self::Copy(op) => op.name(),
            Self::SearchScrollback(_) => "search",
            Self::GoToLine(_) => "go-to-line",
            Self::ClearScrollback => "clear",
            Self::DumpScreen { .. } => "dump-screen",
            Self::DumpLayout => "dump-layout",
            Self::ListPanes(_) => "list-panes",
            Self::ListTabs(_) => "list-tabs",
            Self::ListClients(_) => "list-clients",
            Self::ListCommands(_) => "list-commands",
            Self::Detach => "detach",
            Self::Quit => "quit",
            Self::Palette => "palette",
            Self::CommandLine => "command-line",
            Self::Help => "help",
            Self::Messages => "messages",
            Self::PanePicker => "pane-picker",
            Self::TabPicker => "tab-picker",
            Self::SessionPicker => "session-picker",
            Self::ThemePicker => "theme-picker",
            Self::LeaderPicker => "leader-picker",
            Self::LastPicker => "last-picker",
            Self::SearchEverything => "search-everything",
            Self::SetTheme(_) => "set-theme",
            Self::CycleHints => "cycle-hints",
            Self::ReloadConfig => "reload-config",
            Self::NewPanePicker => "new-pane-picker",
            Self::RenamePanePrompt => "rename-pane-prompt",
            Self::RenameTabPrompt => "rename-tab-prompt",
        }
    }

    /// Its name and arguments, such that [`Action::parse`] gives the same action back.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut out = Spelling(vec![self.name().to_owned()]);
        self.spell_arguments(&mut out);
        out.0
    }

    fn spell_arguments(&self, out: &mut Spelling) {
        match self {
            Self::NewPane { spec, direction } => {
                out.flag("direction", direction.map(Direction::word));
                out.flag("name", spec.name.as_deref());
                out.spec(spec);
                out.command(spec);
            }
            Self::NewTab { name, cwd, spec } => {
                out.flag("name", name.as_deref());
                if let Some(spec) = spec {
                    out.flag("pane-name", spec.name.as_deref());
                    let cwd = spec.cwd.clone().or_else(|| cwd.clone());
                    out.spec(&PaneSpec { cwd, ..spec.clone() });
                    out.command(spec);
                } else {
                    out.flag("cwd", cwd.as_deref());
                }
            }
            Self::RenamePane(s)
            | Self::RenameTab(s)
            | Self::GoToTabName(s)
            | Self::WriteChars(s)
            | Self::Paste(s)
            | Self::SearchScrollback(s)
            | Self::SetTheme(s) => out.text(s),
            Self::MoveFocus(d) | Self::MoveFocusOrTab(d) => out.word(d),
            Self::FocusPane(id) => out.word(id),
            Self::Resize { change, direction } => {
                out.word(match change {
                    Change::Increase => "increase",
                    Change::Decrease => "decrease",
                });
                direction.iter().for_each(|d| out.word(d));
            }
            Self::MovePane(d) => d.iter().for_each(|d| out.word(d)),
            Self::GoToTab(n) => out.word(n),
            Self::GoToLine(n) => out.word(n),
            Self::MoveTab(side) => out.word(side),
            Self::SwitchMode(m) => out.word(m),
            Self::Write(bytes) => bytes.iter().for_each(|b| out.word(b)),
            Self::SendKeys(chords) => chords.iter().for_each(|c| out.word(c)),
            Self::DumpScreen { path, full } => {
                if *full == Extent::Full {
                    out.word("--full");
                }
                path.iter().for_each(|p| out.text(p));
            }
            Self::ListPanes(f) | Self::ListTabs(f) | Self::ListClients(f) | Self::ListCommands(f) => out.format(*f),
            Self::ClosePane
            | Self::RerunPane
            | Self::FocusNextPane
            | Self::FocusPreviousPane
            | Self::FocusLastPane
            | Self::EqualizePanes
            | Self::ToggleFullscreen
            | Self::TogglePaneFrames
            | Self::BreakPane
            | Self::BreakPaneLeft
            | Self::BreakPaneRight
            | Self::CloseTab
            | Self::GoToNextTab
            | Self::GoToPreviousTab
            | Self::ToggleTab
            | Self::SendLeader
            | Self::ScrollUp
            | Self::ScrollDown
            | Self::PageScrollUp
            | Self::PageScrollDown
            | Self::HalfPageScrollUp
            | Self::HalfPageScrollDown
            | Self::ScrollToTop
            | Self::ScrollToBottom
            | Self::Copy(_)
            | Self::ClearScrollback
            | Self::DumpLayout
            | Self::Detach
            | Self::Quit
            | Self::Palette
            | Self::CommandLine
            | Self::Help
            | Self::Messages
            | Self::PanePicker
            | Self::TabPicker
            | Self::SessionPicker
            | Self::ThemePicker
            | Self::LeaderPicker
            | Self::LastPicker
            | Self::SearchEverything
            | Self::CycleHints
            | Self::ReloadConfig
            | Self::NewPanePicker
            | Self::RenamePanePrompt
            | Self::RenameTabPrompt => {}
        }
    }
}

impl Invocation {
    /// The words of the whole line: the action's name, its target, its arguments.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = self.action.words();
        let mut flags = Vec::new();
        flags.extend(self.target.pane.map(|p| format!("--pane-id={p}")));
        flags.extend(self.target.tab.map(|t| format!("--tab-id={t}")));
        words.splice(1..1, flags);
        words
    }
}
