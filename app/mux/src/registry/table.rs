//! The registry's table itself. An entry is a name, a sentence, a category, arguments and danger, and the function that
//! makes the action out of what was given. Order is the manual's.

use std::sync::LazyLock;

use super::{Arg, ArgForm, ArgKind, Category, Command, Danger, Reader, Required};
use crate::{
    action::{Action, CopyOp},
    error::ActionError,
    parse::{Given, read},
};

const DIRECTIONS: ArgKind = ArgKind::OneOf(&["left", "right", "up", "down"]);
const SIDES: ArgKind = ArgKind::OneOf(&["left", "right"]);
const CHANGES: ArgKind = ArgKind::OneOf(&["increase", "decrease"]);
const MODES: ArgKind = ArgKind::OneOf(&[
    "raw", "nav", "input", "leader", "window", "tab", "new", "copy", "resize", "move", "session", "lock",
]);

const fn arg(name: &'static str, kind: ArgKind, required: Required, form: ArgForm, doc: &'static str) -> Arg {
    Arg {
        name,
        doc,
        required,
        kind,
        form,
        short: None,
    }
}

const fn must(name: &'static str, kind: ArgKind, doc: &'static str) -> Arg {
    arg(name, kind, Required::Yes, ArgForm::Positional, doc)
}

const fn may(name: &'static str, kind: ArgKind, doc: &'static str) -> Arg {
    arg(name, kind, Required::No, ArgForm::Positional, doc)
}

const fn many(name: &'static str, kind: ArgKind, doc: &'static str) -> Arg {
    arg(name, kind, Required::Yes, ArgForm::Repeated, doc)
}

const fn flag(name: &'static str, short: Option<char>, kind: ArgKind, doc: &'static str) -> Arg {
    Arg {
        short,
        ..arg(name, kind, Required::No, ArgForm::Flag, doc)
    }
}

const fn switch(name: &'static str, short: Option<char>, doc: &'static str) -> Arg {
    Arg {
        short,
        ..arg(name, ArgKind::Nothing, Required::No, ArgForm::Switch, doc)
    }
}

const KIND: Arg = flag(
    "kind",
    None,
    ArgKind::PaneKind,
    "The kind of the pane; terminal unless said.",
);
const CWD: Arg = flag("cwd", None, ArgKind::Path, "The directory to start in.");
const CLOSE: Arg = switch(
    "close-on-exit",
    Some('c'),
    "Close the pane when its program ends; a shell's pane does anyway.",
);
const HOLD: Arg = switch(
    "hold-on-exit",
    None,
    "Keep the pane when its program ends; a command's pane does anyway.",
);
const PAIRS: Arg = arg(
    "arg",
    ArgKind::Pair,
    Required::No,
    ArgForm::RepeatedFlag,
    "A setting of an engine's pane, as KEY=VALUE.",
);
const COMMAND: Arg = arg(
    "command",
    ArgKind::Command,
    Required::No,
    ArgForm::Trailing,
    "The program to run instead of the shell.",
);
const JSON: Arg = switch("json", Some('j'), "Write JSON.");
const DIRECTION: Arg = must("direction", DIRECTIONS, "Which way.");
const TEXT: Arg = must("text", ArgKind::Text, "The text.");
const NAME: Arg = must("name", ArgKind::Text, "The name; an empty one takes the name away.");

const NEW_PANE: &[Arg] = &[
    flag(
        "direction",
        Some('d'),
        DIRECTIONS,
        "On which side of the focused pane; along its longer side unless said.",
    ),
    flag("name", Some('n'), ArgKind::Text, "The pane's name."),
    KIND,
    CWD,
    CLOSE,
    HOLD,
    PAIRS,
    COMMAND,
];
const NEW_TAB: &[Arg] = &[
    flag("name", Some('n'), ArgKind::Text, "The tab's name."),
    flag("pane-name", None, ArgKind::Text, "The name of its pane."),
    KIND,
    CWD,
    CLOSE,
    HOLD,
    PAIRS,
    COMMAND,
];

type Read = fn(&mut Given<'_>) -> Result<Action, ActionError>;

const fn plain(category: Category, name: &'static str, action: Action, doc: &'static str) -> Command {
    Command {
        name,
        doc,
        category,
        args: &[],
        danger: Danger::None,
        reader: Reader::Plain(action),
    }
}

const fn with(category: Category, name: &'static str, args: &'static [Arg], read: Read, doc: &'static str) -> Command {
    Command {
        name,
        doc,
        category,
        args,
        danger: Danger::None,
        reader: Reader::With(read),
    }
}

fn confirm(command: Command) -> Command {
    Command {
        danger: Danger::Confirm,
        ..command
    }
}

/// The table. `Copy…` entries come from the list of copy operations, which carries their names and sentences.
pub(super) static ALL: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let mut all = panes();
    all.extend(tabs());
    all.extend(input());
    all.extend(
        CopyOp::ALL
            .iter()
            .map(|op| plain(Category::Copy, op.name(), Action::Copy(*op), op.doc())),
    );
    all.extend(session());
    all
});

fn panes() -> Vec<Command> {
    use Category::{Focus, Layout, Panes};
    vec![
        with(
            Panes,
            "new-pane",
            NEW_PANE,
            read::new_pane,
            "Split a pane and open a shell, a command or an engine's view.",
        ),
        confirm(plain(
            Panes,
            "close-pane",
            Action::ClosePane,
            "Close a pane and end its program.",
        )),
        plain(
            Panes,
            "rerun-pane",
            Action::RerunPane,
            "Run a held pane's command again.",
        ),
        with(Panes, "rename-pane", &[NAME], read::rename_pane, "Name a pane."),
        with(
            Panes,
            "move-pane",
            const {
                &[may(
                    "direction",
                    DIRECTIONS,
                    "Which way; with the next pane unless said.",
                )]
            },
            read::move_pane,
            "Swap a pane with its neighbour.",
        ),
        plain(
            Panes,
            "break-pane",
            Action::BreakPane,
            "Move a pane to a tab of its own.",
        ),
        plain(
            Panes,
            "break-pane-left",
            Action::BreakPaneLeft,
            "Move a pane to the tab on the left.",
        ),
        plain(
            Panes,
            "break-pane-right",
            Action::BreakPaneRight,
            "Move a pane to the tab on the right.",
        ),
        with(
            Focus,
            "move-focus",
            &[DIRECTION],
            read::move_focus,
            "Move the focus to the pane on that side.",
        ),
        with(
            Focus,
            "move-focus-or-tab",
            &[DIRECTION],
            read::move_focus_or_tab,
            "Move the focus to the pane on that side, or at the screen's side to the next tab.",
        ),
        plain(
            Focus,
            "focus-next-pane",
            Action::FocusNextPane,
            "Move the focus to the next pane of the tab.",
        ),
        plain(
            Focus,
            "focus-previous-pane",
            Action::FocusPreviousPane,
            "Move the focus to the previous pane of the tab.",
        ),
        plain(
            Focus,
            "focus-last-pane",
            Action::FocusLastPane,
            "Move the focus to the pane that had it before.",
        ),
        with(
            Focus,
            "focus-pane-id",
            const { &[must("pane", ArgKind::Pane, "The pane's id.")] },
            read::focus_pane,
            "Move the focus to a pane, in whichever tab it is.",
        ),
        with(
            Layout,
            "resize",
            const {
                &[
                    must("change", CHANGES, "Whether the pane grows or shrinks."),
                    may("direction", DIRECTIONS, "Which of its borders moves; all unless said."),
                ]
            },
            read::resize,
            "Move a pane's borders.",
        ),
        plain(
            Layout,
            "equalize-panes",
            Action::EqualizePanes,
            "Give all panes of a tab equal shares.",
        ),
        plain(
            Layout,
            "toggle-fullscreen",
            Action::ToggleFullscreen,
            "Let a pane fill the tab, or put it back.",
        ),
        plain(
            Layout,
            "toggle-pane-frames",
            Action::TogglePaneFrames,
            "Show the frames of panes, or hide them.",
        ),
    ]
}

fn tabs() -> Vec<Command> {
    use Category::Tabs;
    vec![
        with(
            Tabs,
            "new-tab",
            NEW_TAB,
            read::new_tab,
            "Open a tab after the last, with a shell, a command or an engine's view.",
        ),
        confirm(plain(
            Tabs,
            "close-tab",
            Action::CloseTab,
            "Close a tab and end the programs in it.",
        )),
        with(Tabs, "rename-tab", &[NAME], read::rename_tab, "Name a tab."),
        with(
            Tabs,
            "go-to-tab",
            const { &[must("index", ArgKind::Number, "Its place in the tab bar, from 1.")] },
            read::go_to_tab,
            "Go to the tab at this place.",
        ),
        with(
            Tabs,
            "go-to-tab-name",
            const { &[must("name", ArgKind::TabName, "Its name.")] },
            read::go_to_tab_name,
            "Go to the tab of this name.",
        ),
        plain(
            Tabs,
            "go-to-next-tab",
            Action::GoToNextTab,
            "Go to the next tab, or from the last to the first.",
        ),
        plain(
            Tabs,
            "go-to-previous-tab",
            Action::GoToPreviousTab,
            "Go to the previous tab, or from the first to the last.",
        ),
        plain(
            Tabs,
            "toggle-tab",
            Action::ToggleTab,
            "Go to the tab that was active before.",
        ),
        with(
            Tabs,
            "move-tab",
            const { &[must("side", SIDES, "Which way.")] },
            read::move_tab,
            "Move a tab one place along the tab bar, or round its end.",
        ),
    ]
}

fn input() -> Vec<Command> {
    use Category::{Input, Modes, Scroll};
    vec![
        with(
            Modes,
            "switch-mode",
            const { &[must("mode", MODES, "The mode.")] },
            read::switch_mode,
            "Put the keys in another mode.",
        ),
        plain(
            Input,
            "send-leader",
            Action::SendLeader,
            "Send the leader key itself to the pane.",
        ),
        with(
            Input,
            "write",
            const { &[many("byte", ArgKind::Byte, "A byte, 0 to 255.")] },
            read::write,
            "Send bytes to the pane.",
        ),
        with(
            Input,
            "write-chars",
            &[TEXT],
            read::write_chars,
            "Send text to the pane, as it is.",
        ),
        with(
            Input,
            "send-keys",
            const { &[many("key", ArgKind::Chord, "A key, like a, Enter or Ctrl-c.")] },
            read::send_keys,
            "Send keys to the pane, in the form its program asked for.",
        ),
        with(
            Input,
            "paste",
            &[TEXT],
            read::paste,
            "Paste text into the pane, in brackets if its program asked for them.",
        ),
        plain(Scroll, "scroll-up", Action::ScrollUp, "Scroll one line back."),
        plain(Scroll, "scroll-down", Action::ScrollDown, "Scroll one line forward."),
        plain(Scroll, "page-scroll-up", Action::PageScrollUp, "Scroll one page back."),
        plain(
            Scroll,
            "page-scroll-down",
            Action::PageScrollDown,
            "Scroll one page forward.",
        ),
        plain(
            Scroll,
            "half-page-scroll-up",
            Action::HalfPageScrollUp,
            "Scroll half a page back.",
        ),
        plain(
            Scroll,
            "half-page-scroll-down",
            Action::HalfPageScrollDown,
            "Scroll half a page forward.",
        ),
        plain(
            Scroll,
            "scroll-to-top",
            Action::ScrollToTop,
            "Scroll to the oldest line.",
        ),
        plain(
            Scroll,
            "scroll-to-bottom",
            Action::ScrollToBottom,
            "Scroll to the newest line.",
        ),
        with(
            Scroll,
            "search",
            &[TEXT],
            read::search,
            "Search the pane's scrollback for a text.",
        ),
        with(
            Scroll,
            "go-to-line",
            const {
                &[must(
                    "line",
                    ArgKind::Number,
                    "Its number, from 1: in a terminal of all lines it ever had, in logs of those shown.",
                )]
            },
            read::go_to_line,
            "Bring a line of the pane into view and put the cursor there.",
        ),
        plain(
            Scroll,
            "clear",
            Action::ClearScrollback,
            "Clear the pane's screen and scrollback.",
        ),
    ]
}

fn session() -> Vec<Command> {
    use Category::{Inspect, Pickers, Session, Settings};
    vec![
        plain(Pickers, "palette", Action::Palette, "Choose a command."),
        plain(Pickers, "command-line", Action::CommandLine, "Type a command."),
        plain(Pickers, "help", Action::Help, "Show all keys and commands."),
        plain(Pickers, "messages", Action::Messages, "Show what has been reported."),
        plain(Pickers, "pane-picker", Action::PanePicker, "Choose a pane of any tab."),
        plain(Pickers, "tab-picker", Action::TabPicker, "Choose a tab."),
        plain(Pickers, "session-picker", Action::SessionPicker, "Choose a session."),
        plain(Pickers, "theme-picker", Action::ThemePicker, "Choose a theme."),
        plain(
            Pickers,
            "leader-picker",
            Action::LeaderPicker,
            "Choose the key that opens the menu.",
        ),
        plain(
            Pickers,
            "new-pane-picker",
            Action::NewPanePicker,
            "Choose what a new pane shows.",
        ),
        plain(
            Pickers,
            "last-picker",
            Action::LastPicker,
            "Open the last list again, as it was left.",
        ),
        plain(
            Pickers,
            "search-everything",
            Action::SearchEverything,
            "Search files, the scrollback of all panes, open logs and shell history.",
        ),
        plain(
            Pickers,
            "rename-pane-prompt",
            Action::RenamePanePrompt,
            "Ask for a pane's name.",
        ),
        plain(
            Pickers,
            "rename-tab-prompt",
            Action::RenameTabPrompt,
            "Ask for a tab's name.",
        ),
        plain(Session, "detach", Action::Detach, "Leave the session; it goes on."),
        confirm(plain(
            Session,
            "quit",
            Action::Quit,
            "End the session and every program in it.",
        )),
        with(
            Settings,
            "set-theme",
            const { &[must("theme", ArgKind::Theme, "The theme's name.")] },
            read::set_theme,
            "Change the theme.",
        ),
        plain(
            Settings,
            "cycle-hints",
            Action::CycleHints,
            "Show all hints, short ones, or none.",
        ),
        plain(
            Settings,
            "reload-config",
            Action::ReloadConfig,
            "Read the configuration again.",
        ),
        with(
            Inspect,
            "dump-screen",
            const {
                &[
                    switch("full", Some('f'), "The scrollback too."),
                    may("path", ArgKind::Path, "The file to write; standard output unless said."),
                ]
            },
            read::dump_screen,
            "Write a pane's text.",
        ),
        plain(
            Inspect,
            "dump-layout",
            Action::DumpLayout,
            "Write the session as a layout.",
        ),
        with(
            Inspect,
            "list-panes",
            &[JSON],
            read::list_panes,
            "List the panes of all tabs.",
        ),
        with(Inspect, "list-tabs", &[JSON], read::list_tabs, "List the tabs."),
        with(
            Inspect,
            "list-clients",
            &[JSON],
            read::list_clients,
            "List the clients.",
        ),
        with(
            Inspect,
            "list-commands",
            &[JSON],
            read::list_commands,
            "List the actions with their arguments.",
        ),
    ]
}
