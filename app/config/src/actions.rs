//! The words of an action in a `bind` block: ours (`new-pane direction="right"`) and zellij's (`NewPane "Right"`), turned
//! into the words that the action registry reads. Decides nothing about what an action does.

use crate::{
    options::{Toggle, Wrong, switch},
    tree::{Entry, Node, Value},
};

/// What an action node stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Translated {
    /// The words of one action: its name and arguments.
    Words(Vec<String>),
    /// It has nothing to do here, on purpose (another action or the prompt does it).
    Nothing,
    /// Another program's action that does not exist here yet; the words name the part that is missing.
    Missing(String),
}

/// The words of the action that `node` names.
///
/// # Errors
/// When a value has no form as a word.
pub(crate) fn translate(node: &Node) -> Result<Translated, Wrong> {
    if node.name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return zellij(node);
    }
    let mut words = vec![node.name.clone()];
    for (key, entry) in node.props() {
        flag(&mut words, key, entry)?;
    }
    for child in &node.children {
        match child.args().next() {
            Some(entry) => flag(&mut words, &child.name, entry)?,
            None => words.push(format!("--{}", dashed(&child.name))),
        }
    }
    for entry in node.args() {
        words.push(word(entry)?);
    }
    Ok(Translated::Words(words))
}

fn word(entry: &Entry) -> Result<String, Wrong> {
    match &entry.value {
        Value::Null => Err(Wrong::new(&entry.span, "an action takes no null")),
        value => Ok(value.word()),
    }
}

/// `key=value` as `--key value`, a switch as `--key` or nothing.
fn flag(words: &mut Vec<String>, key: &str, entry: &Entry) -> Result<(), Wrong> {
    match entry.value {
        Value::Bool(false) => {}
        Value::Bool(true) => words.push(format!("--{}", dashed(key))),
        _ => words.push(format!("--{}={}", dashed(key), word(entry)?)),
    }
    Ok(())
}

fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

/// zellij's names whose arguments need no more than lower case.
const RENAMED: &[(&str, &str)] = &[
    ("BreakPane", "break-pane"),
    ("BreakPaneLeft", "break-pane-left"),
    ("BreakPaneRight", "break-pane-right"),
    ("Clear", "clear"),
    ("CloseFocus", "close-pane"),
    ("ClosePane", "close-pane"),
    ("CloseTab", "close-tab"),
    ("Copy", "copy-yank"),
    ("Detach", "detach"),
    ("DumpLayout", "dump-layout"),
    ("FocusLastPane", "focus-last-pane"),
    ("FocusNextPane", "focus-next-pane"),
    ("FocusPreviousPane", "focus-previous-pane"),
    ("GoToNextTab", "go-to-next-tab"),
    ("GoToPreviousTab", "go-to-previous-tab"),
    ("GoToTab", "go-to-tab"),
    ("HalfPageScrollDown", "half-page-scroll-down"),
    ("HalfPageScrollUp", "half-page-scroll-up"),
    ("MoveFocus", "move-focus"),
    ("MoveFocusOrTab", "move-focus-or-tab"),
    ("MovePane", "move-pane"),
    ("MoveTab", "move-tab"),
    ("PageScrollDown", "page-scroll-down"),
    ("PageScrollUp", "page-scroll-up"),
    ("Quit", "quit"),
    ("ScrollDown", "scroll-down"),
    ("ScrollToBottom", "scroll-to-bottom"),
    ("ScrollToNextPrompt", "copy-next-prompt"),
    ("ScrollToPreviousPrompt", "copy-previous-prompt"),
    ("ScrollToTop", "scroll-to-top"),
    ("ScrollUp", "scroll-up"),
    ("SwitchFocus", "focus-next-pane"),
    ("ToggleFocusFullscreen", "toggle-fullscreen"),
    ("TogglePaneFrames", "toggle-pane-frames"),
    ("ToggleTab", "toggle-tab"),
    ("Write", "write"),
];

/// zellij's names whose arguments stay as they are.
const TEXT: &[(&str, &str)] = &[
    ("DumpScreen", "dump-screen"),
    ("GoToTabName", "go-to-tab-name"),
    ("WriteChars", "write-chars"),
];

/// zellij's names for what its prompts do key by key; our prompts do it themselves.
const PROMPTS: &[&str] = &[
    "PaneNameInput",
    "TabNameInput",
    "SearchInput",
    "UndoRenamePane",
    "UndoRenameTab",
    "NoOp",
];

/// zellij's actions that do not exist here yet.
const MISSING: &[&str] = &[
    "CopyLastCommandOutput",
    "EditFile",
    "EditScrollback",
    "FocusGuestSession",
    "FocusHostSession",
    "HideFloatingPanes",
    "LaunchPlugin",
    "MessagePlugin",
    "MessagePluginId",
    "MovePaneBackwards",
    "NextSwapLayout",
    "OverrideLayout",
    "PreviousSwapLayout",
    "RenameSession",
    "SelectCommandAtScrollPosition",
    "SetDarkTheme",
    "SetLightTheme",
    "SetPaneFrameStyle",
    "ShowFloatingPanes",
    "SwitchSession",
    "ToggleActiveSyncTab",
    "ToggleFloatingPanes",
    "ToggleFocusNoUiFullscreen",
    "ToggleGroupMarking",
    "ToggleHostFullscreen",
    "ToggleMouseMode",
    "TogglePaneEmbedOrFloating",
    "TogglePaneInGroup",
    "TogglePanePinned",
    "ToggleTheme",
];

/// Every name of zellij's that is understood, for suggestions.
pub(crate) fn zellij_names() -> impl Iterator<Item = &'static str> {
    let special = [
        "SwitchToMode",
        "NewPane",
        "NewTab",
        "Resize",
        "Run",
        "Search",
        "SearchToggleOption",
        "LaunchOrFocusPlugin",
    ];
    RENAMED.iter().chain(TEXT).map(|(name, _)| *name).chain(special)
}

fn zellij(node: &Node) -> Result<Translated, Wrong> {
    let mut args = Vec::new();
    for entry in node.args() {
        args.push(word(entry)?);
    }
    let lower = || args.iter().map(|a| a.to_ascii_lowercase());
    let first = lower().next().unwrap_or_default();
    let name = node.name.as_str();
    let words = |name: &str, rest: &mut dyn Iterator<Item = String>| {
        Ok(Translated::Words(
            std::iter::once(name.to_owned()).chain(rest).collect(),
        ))
    };
    let missing = |what: String| Ok(Translated::Missing(what));
    if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == name) {
        return words(ours, &mut lower());
    }
    if let Some((_, ours)) = TEXT.iter().find(|(theirs, _)| *theirs == name) {
        return words(ours, &mut args.iter().cloned());
    }
    if PROMPTS.contains(&name) {
        return Ok(Translated::Nothing);
    }
    if MISSING.contains(&name) {
        return missing(name.to_owned());
    }
    match name {
        "SwitchToMode" => Ok(switch_to_mode(&first)),
        "Resize" => words("resize", &mut first.split_whitespace().map(str::to_owned)),
        "NewPane" if first == "stacked" => missing("a stacked NewPane".to_owned()),
        "NewPane" => {
            let mut out = vec!["new-pane".to_owned()];
            if !first.is_empty() {
                out.push(format!("--direction={first}"));
            }
            Ok(Translated::Words(out))
        }
        "NewTab" => with_block(node, "new-tab", &["name", "cwd"], Vec::new()),
        "Run" => with_block(node, "new-pane", &["direction", "cwd", "name", "close_on_exit"], args),
        "Search" if first == "up" => words("copy-search-previous", &mut std::iter::empty()),
        "Search" => words("copy-search-next", &mut std::iter::empty()),
        "SearchToggleOption" if first == "casesensitivity" => words("copy-toggle-case", &mut std::iter::empty()),
        "SearchToggleOption" => missing(format!("SearchToggleOption \"{}\"", args.join(" "))),
        "LaunchOrFocusPlugin" if matches!(first.as_str(), "session-manager" | "zellij:session-manager") => {
            words("session-picker", &mut std::iter::empty())
        }
        "LaunchOrFocusPlugin" => missing(format!("the plugin \"{}\"", args.join(" "))),
        _ => words(name, &mut args.iter().cloned()),
    }
}

fn switch_to_mode(mode: &str) -> Translated {
    let word = match mode {
        "renamepane" => return Translated::Words(vec!["rename-pane-prompt".to_owned()]),
        "renametab" => return Translated::Words(vec!["rename-tab-prompt".to_owned()]),
        "entersearch" => return Translated::Words(vec!["copy-search-prompt".to_owned()]),
        "prompt" => return Translated::Missing("SwitchToMode \"Prompt\"".to_owned()),
        other => mode_word(other),
    };
    Translated::Words(vec!["switch-mode".to_owned(), word.to_owned()])
}

/// Our name for a mode that zellij calls otherwise; ours stay.
pub(crate) fn mode_word(name: &str) -> &str {
    match name {
        "normal" => "raw",
        "locked" => "lock",
        "pane" => "window",
        "scroll" | "search" => "copy",
        "tmux" => "leader",
        other => other,
    }
}

/// An action whose block holds `known` flags, followed by a command.
fn with_block(node: &Node, name: &str, known: &[&str], command: Vec<String>) -> Result<Translated, Wrong> {
    let mut words = vec![name.to_owned()];
    let blocks = node
        .children
        .iter()
        .filter_map(|c| Some((c.name.as_str(), c.args().next()?)));
    for (key, entry) in node.props().chain(blocks) {
        if known.contains(&key) {
            match (key, &entry.value) {
                ("direction", Value::Text(t)) => words.push(format!("--direction={}", t.to_ascii_lowercase())),
                _ => flag(&mut words, key, entry)?,
            }
        } else if switch(entry).is_none_or(Toggle::is_on) {
            return Ok(Translated::Missing(format!("“{key}” of {}", node.name)));
        }
    }
    if !command.is_empty() {
        words.push("--".to_owned());
        words.extend(command);
    }
    Ok(Translated::Words(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diagnostic::Report, tree};

    fn one(text: &str) -> Translated {
        let mut report = Report::new("t", text);
        let nodes = tree::parse(text, &mut report);
        assert!(report.finish().is_empty(), "{text}");
        translate(&nodes[0]).unwrap()
    }

    fn words(text: &str) -> String {
        match one(text) {
            Translated::Words(words) => words.join(" "),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn properties_become_flags_before_the_arguments() {
        assert_eq!(
            words("new-pane \"--\" \"top\" direction=\"right\""),
            "new-pane --direction=right -- top"
        );
        assert_eq!(
            words("new-pane \"--direction\" \"right\""),
            "new-pane --direction right"
        );
        assert_eq!(
            words("new-pane close_on_exit=#true kind=\"logs\""),
            "new-pane --close-on-exit --kind=logs"
        );
        assert_eq!(words("dump-screen full=#false"), "dump-screen");
        assert_eq!(words("new-pane { direction \"down\"; }"), "new-pane --direction=down");
    }

    #[test]
    fn names_of_zellij_become_ours() {
        for (theirs, ours) in [
            ("NewPane", "new-pane"),
            ("NewPane \"Right\"", "new-pane --direction=right"),
            ("Resize \"Increase Left\"", "resize increase left"),
            ("MoveFocus \"Left\"", "move-focus left"),
            ("SwitchToMode \"Normal\"", "switch-mode raw"),
            ("SwitchToMode \"RenameTab\"", "rename-tab-prompt"),
            ("GoToTab 3", "go-to-tab 3"),
            ("Write 27 91", "write 27 91"),
            ("WriteChars \"Ls\"", "write-chars Ls"),
            (
                "Run \"htop\" \"-d\" { direction \"Down\"; cwd \"/Tmp\"; }",
                "new-pane --direction=down --cwd=/Tmp -- htop -d",
            ),
            ("NewTab { name \"Logs\"; }", "new-tab --name=Logs"),
            (
                "LaunchOrFocusPlugin \"session-manager\" { floating true; }",
                "session-picker",
            ),
        ] {
            assert_eq!(words(theirs), ours);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            one("ToggleFloatingPanes"),
            Translated::Missing("ToggleFloatingPanes".to_owned())
        );
        assert_eq!(
            one("Run \"x\" { floating true; }"),
            Translated::Missing("“floating” of Run".to_owned())
        );
        assert_eq!(one("TabNameInput 0"), Translated::Nothing);
    }
}
