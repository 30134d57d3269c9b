//! The registry, and words into actions and back.

use std::collections::BTreeSet;

use proptest::prelude::*;
use qd_tty::{Chord, Key, Mods};

use super::parse;
use crate::{
    Action, ArgKind, Change, CopyOp, Danger, Direction, Extent, Format, Invocation, Mode, OnExit, PaneId, PaneSpec,
    Required, Side, TabId, Target, closest, command, join_words, registry, split_words,
};

fn text() -> BoxedStrategy<String> {
    prop_oneof!["[ -~]{0,12}", "-{1,3}[a-z]{0,4}=?", "\\PC{0,6}"].boxed()
}

fn some_text() -> BoxedStrategy<String> {
    text().prop_filter("not empty", |s| !s.is_empty()).boxed()
}

fn spec() -> BoxedStrategy<PaneSpec> {
    let argv = proptest::option::of(proptest::collection::vec(text(), 1..4));
    let args = proptest::collection::btree_map("[a-z]{1,4}", text(), 0..3);
    let exit = prop_oneof![Just(OnExit::Close), Just(OnExit::Hold)];
    (
        some_text(),
        proptest::option::of(text()),
        argv,
        proptest::option::of(text()),
        exit,
        args,
    )
        .prop_map(|(kind, name, command, cwd, on_exit, args)| PaneSpec {
            kind,
            name,
            command,
            cwd,
            on_exit,
            args,
        })
        .boxed()
}

fn direction() -> BoxedStrategy<Direction> {
    proptest::sample::select(&Direction::ALL).boxed()
}

fn chord() -> BoxedStrategy<Chord> {
    let key = prop_oneof![
        proptest::char::range('!', '~').prop_map(Key::Char),
        (1u8..=35).prop_map(Key::F),
        proptest::sample::select(&[
            Key::Up,
            Key::Enter,
            Key::Esc,
            Key::Tab,
            Key::PageDown,
            Key::Char(' '),
            Key::Char('é')
        ]),
    ];
    (key, 0u8..64)
        .prop_map(|(k, m)| Chord::new(k, Mods::from_bits_truncate(m)))
        .boxed()
}

/// Any action of a name; every arm of the registry has one, which [`every_command_has_exactly_one_action`] proves.
pub(super) fn any_of(name: &'static str) -> BoxedStrategy<Action> {
    let format = prop_oneof![Just(Format::Text), Just(Format::Json)];
    match name {
        "new-pane" => (spec(), proptest::option::of(direction()))
            .prop_map(|(spec, direction)| Action::NewPane { spec, direction })
            .boxed(),
        "new-tab" => (
            proptest::option::of(text()),
            proptest::option::of(text()),
            proptest::option::of(spec()),
        )
            .prop_map(|(name, cwd, spec)| {
                // The directory stands beside the description, and a description of a plain shell says nothing.
                let spec = spec
                    .map(|s| PaneSpec { cwd: None, ..s })
                    .filter(|s| *s != PaneSpec::default());
                Action::NewTab { name, cwd, spec }
            })
            .boxed(),
        "rename-pane" => text().prop_map(Action::RenamePane).boxed(),
        "rename-tab" => text().prop_map(Action::RenameTab).boxed(),
        "go-to-tab-name" => text().prop_map(Action::GoToTabName).boxed(),
        "write-chars" => text().prop_map(Action::WriteChars).boxed(),
        "paste" => text().prop_map(Action::Paste).boxed(),
        "set-theme" => text().prop_map(Action::SetTheme).boxed(),
        "search" => some_text().prop_map(Action::SearchScrollback).boxed(),
        "move-focus" => direction().prop_map(Action::MoveFocus).boxed(),
        "move-focus-or-tab" => direction().prop_map(Action::MoveFocusOrTab).boxed(),
        "move-pane" => proptest::option::of(direction()).prop_map(Action::MovePane).boxed(),
        "focus-pane-id" => any::<u32>().prop_map(|n| Action::FocusPane(PaneId(n))).boxed(),
        "resize" => (
            prop_oneof![Just(Change::Increase), Just(Change::Decrease)],
            proptest::option::of(direction()),
        )
            .prop_map(|(change, direction)| Action::Resize { change, direction })
            .boxed(),
        "go-to-line" => (1..=u64::MAX).prop_map(Action::GoToLine).boxed(),
        "go-to-tab" => (1..=u32::MAX).prop_map(Action::GoToTab).boxed(),
        "move-tab" => prop_oneof![Just(Side::Left), Just(Side::Right)]
            .prop_map(Action::MoveTab)
            .boxed(),
        "switch-mode" => proptest::sample::select(&Mode::ALL)
            .prop_map(Action::SwitchMode)
            .boxed(),
        "write" => proptest::collection::vec(any::<u8>(), 1..5)
            .prop_map(Action::Write)
            .boxed(),
        "send-keys" => proptest::collection::vec(chord(), 1..5)
            .prop_map(Action::SendKeys)
            .boxed(),
        "dump-screen" => (
            proptest::option::of(text()),
            prop_oneof![Just(Extent::Screen), Just(Extent::Full)],
        )
            .prop_map(|(path, full)| Action::DumpScreen { path, full })
            .boxed(),
        "list-panes" => format.prop_map(Action::ListPanes).boxed(),
        "list-tabs" => format.prop_map(Action::ListTabs).boxed(),
        "list-clients" => format.prop_map(Action::ListClients).boxed(),
        "list-commands" => format.prop_map(Action::ListCommands).boxed(),
        bare => Just(Action::parse(bare, &[]).unwrap()).boxed(),
    }
}

pub(super) fn any_action() -> BoxedStrategy<Action> {
    (0..registry().len())
        .prop_flat_map(|i| any_of(registry()[i].name))
        .boxed()
}

proptest! {
    #[test]
    fn words_read_back_as_the_same_action(action in any_action()) {
        let words = action.words();
        prop_assert_eq!(Action::parse(&words[0], &words[1..]), Ok(action));
    }

    #[test]
    fn lines_read_back_as_the_same_invocation(
        action in any_action(), pane in proptest::option::of(any::<u32>()), tab in proptest::option::of(any::<u32>())
    ) {
        let invocation = Invocation { action, target: Target { pane: pane.map(PaneId), tab: tab.map(TabId) } };
        let line = join_words(&invocation.words());
        prop_assert_eq!(Invocation::parse(&split_words(&line).unwrap()), Ok(invocation));
    }

    #[test]
    fn words_survive_a_line(words in proptest::collection::vec("\\PC{0,8}|[ '\"\\\\\t]{0,4}", 0..6)) {
        prop_assert_eq!(split_words(&join_words(&words)), Ok(words));
    }

    #[test]
    fn no_line_panics(line in "\\PC{0,40}", name in 0..registry().len()) {
        for line in [line.clone(), format!("{} {line}", registry()[name].name)] {
            if let Ok(words) = split_words(&line)
                && let Err(e) = Invocation::parse(&words)
            {
                prop_assert!(!e.to_string().is_empty());
            }
        }
    }
}

/// How many actions there are, counted where a new one cannot be forgotten: the match is exhaustive.
fn number(action: &Action) -> (u32, u32) {
    const LAST: u32 = 69;
    let n = match action {
        Action::NewPane { .. } => 0,
        Action::ClosePane => 1,
        Action::RerunPane => 2,
        Action::RenamePane(_) => 3,
        Action::MoveFocus(_) => 4,
        Action::MoveFocusOrTab(_) => 5,
        Action::FocusNextPane => 6,
        Action::FocusPreviousPane => 7,
        Action::FocusLastPane => 8,
        Action::FocusPane(_) => 9,
        Action::Resize { .. } => 10,
        Action::EqualizePanes => 11,
        Action::MovePane(_) => 12,
        Action::ToggleFullscreen => 13,
        Action::TogglePaneFrames => 14,
        Action::BreakPane => 15,
        Action::BreakPaneLeft => 16,
        Action::BreakPaneRight => 17,
        Action::NewTab { .. } => 18,
        Action::CloseTab => 19,
        Action::RenameTab(_) => 20,
        Action::GoToTab(_) => 21,
        Action::GoToTabName(_) => 22,
        Action::GoToNextTab => 23,
        Action::GoToPreviousTab => 24,
        Action::ToggleTab => 25,
        Action::MoveTab(_) => 26,
        Action::SwitchMode(_) => 27,
        Action::SendLeader => 28,
        Action::Write(_) => 29,
        Action::WriteChars(_) => 30,
        Action::SendKeys(_) => 31,
        Action::Paste(_) => 32,
        Action::ScrollUp => 33,
        Action::ScrollDown => 34,
        Action::PageScrollUp => 35,
        Action::PageScrollDown => 36,
        Action::HalfPageScrollUp => 37,
        Action::HalfPageScrollDown => 38,
        Action::ScrollToTop => 39,
        Action::ScrollToBottom => 40,
        Action::Copy(_) => 41,
        Action::SearchScrollback(_) => 42,
        Action::ClearScrollback => 43,
        Action::DumpScreen { .. } => 44,
        Action::DumpLayout => 45,
        Action::ListPanes(_) => 46,
        Action::ListTabs(_) => 47,
        Action::ListClients(_) => 48,
        Action::ListCommands(_) => 49,
        Action::Detach => 50,
        Action::Quit => 51,
        Action::Palette => 52,
        Action::CommandLine => 53,
        Action::Help => 54,
        Action::Messages => 55,
        Action::PanePicker => 56,
        Action::TabPicker => 57,
        Action::SessionPicker => 58,
        Action::ThemePicker => 59,
        Action::LastPicker => 60,
        Action::SetTheme(_) => 61,
        Action::CycleHints => 62,
        Action::ReloadConfig => 63,
        Action::NewPanePicker => 64,
        Action::RenamePanePrompt => 65,
        Action::LeaderPicker => 66,
        Action::GoToLine(_) => 67,
        Action::SearchEverything => 68,
        Action::RenameTabPrompt => LAST,
    };
    (n, LAST)
}

#[test]
fn every_command_has_exactly_one_action() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let mut last = 0;
    for c in registry() {
        let action = any_of(c.name).new_tree(&mut runner).unwrap().current();
        assert_eq!(action.name(), c.name);
        let (n, of) = number(&action);
        last = of;
        assert!(
            seen.insert(n) || matches!(action, Action::Copy(_)),
            "{} is there twice",
            c.name
        );
    }
    assert_eq!(seen, (0..=last).collect(), "an action has no command");
    assert_eq!(
        registry().iter().filter(|c| c.name.starts_with("copy-")).count(),
        CopyOp::ALL.len()
    );
}

#[test]
fn every_command_is_documented_once_and_well() {
    let mut names = BTreeSet::new();
    for c in registry() {
        assert!(names.insert(c.name), "{} is there twice", c.name);
        assert!(c.name.chars().all(|x| x.is_ascii_lowercase() || x == '-'), "{}", c.name);
        assert!(
            c.doc.ends_with('.') && c.doc.len() > 10 && c.doc.starts_with(char::is_uppercase),
            "{}: {}",
            c.name,
            c.doc
        );
        assert!(std::ptr::eq(command(c.name).unwrap(), c));
        let mut args = BTreeSet::new();
        for a in c.args {
            assert!(args.insert(a.name) && a.doc.ends_with('.'), "{} {}", c.name, a.name);
        }
        assert_eq!(c.runs_bare(), Action::parse(c.name, &[]).is_ok(), "{}", c.usage());
        if let Some(a) = c.args.iter().find(|a| a.required == Required::Yes) {
            let e = Action::parse(c.name, &[]).unwrap_err().to_string();
            assert!(e.contains(&a.name.to_uppercase()), "{e}");
        }
    }
    let modes: Vec<&str> = Mode::ALL.map(Mode::name).to_vec();
    assert_eq!(
        command("switch-mode").unwrap().args[0].kind,
        ArgKind::OneOf(&modes.leak()[..])
    );
    assert_eq!(command("quit").unwrap().danger, Danger::Confirm);
    assert_eq!(command("resize").unwrap().usage(), "resize <CHANGE> [DIRECTION]");
}

#[test]
fn words_mean_what_a_person_means() {
    let shell = PaneSpec::default();
    let new = |spec, direction| Ok(Action::NewPane { spec, direction });
    assert_eq!(parse("new-pane"), new(shell.clone(), None));
    let top = PaneSpec::command(vec!["top".into(), "-d".into(), "1".into()]);
    assert_eq!(
        parse("new-pane -d right -- top -d 1"),
        new(top.clone(), Some(Direction::Right))
    );
    assert_eq!(
        parse("new-pane --name='my top' --close-on-exit --cwd /tmp -- top -d 1"),
        new(
            PaneSpec {
                name: Some("my top".into()),
                on_exit: OnExit::Close,
                cwd: Some("/tmp".into()),
                ..top
            },
            None
        )
    );
    assert_eq!(parse("rename-tab the build"), Ok(Action::RenameTab("the build".into())));
    assert_eq!(
        parse("write-chars -- --not-a-flag"),
        Ok(Action::WriteChars("--not-a-flag".into()))
    );
    assert_eq!(parse("write 27 91 65"), Ok(Action::Write(vec![27, 91, 65])));
    assert_eq!(
        parse("dump-screen --full /tmp/x"),
        Ok(Action::DumpScreen {
            path: Some("/tmp/x".into()),
            full: Extent::Full
        })
    );
    assert_eq!(parse("list-panes -j"), Ok(Action::ListPanes(Format::Json)));
    let line = ["--pane-id", "terminal_3", "close-pane"];
    let want = Target {
        pane: Some(PaneId(3)),
        tab: None,
    };
    assert_eq!(
        Invocation::parse(&line),
        Ok(Invocation {
            action: Action::ClosePane,
            target: want
        })
    );
    // What follows the dashes belongs to the command.
    let i = Invocation::parse(&split_words("new-pane -- x --pane-id 4").unwrap()).unwrap();
    assert_eq!(i.target, Target::default());
}

#[test]
fn errors_name_what_would_do() {
    for (line, want) in [
        ("", "an action's name is missing; “list-commands” shows them all"),
        ("new-pan", "there is no action “new-pan”; did you mean “new-pane”?"),
        (
            "toggle_fullscreen",
            "there is no action “toggle_fullscreen”; did you mean “toggle-fullscreen”?",
        ),
        ("xyzzy", "there is no action “xyzzy”"),
        ("move-focus", "move-focus needs DIRECTION: move-focus <DIRECTION>"),
        (
            "move-focus sideways",
            "move-focus: DIRECTION cannot be “sideways”: it is one of left, right, up, down",
        ),
        (
            "move-focus left left",
            "move-focus does not take “left”: move-focus <DIRECTION>",
        ),
        ("close-pane now", "close-pane does not take “now”: close-pane"),
        (
            "new-pane --directon left",
            "new-pane has no flag “--directon”; did you mean “--direction”?",
        ),
        (
            "new-pane --direction",
            "new-pane needs a value for --direction: new-pane [--direction DIRECTION] [--name NAME] [--kind KIND] [--cwd CWD] [--close-on-exit] [--hold-on-exit] [--arg KEY=VALUE…] [-- COMMAND…]",
        ),
        (
            "list-panes --json=yes",
            "list-panes has no flag “--json=yes”; did you mean “--json”?",
        ),
        (
            "resize bigger",
            "resize: CHANGE cannot be “bigger”: it is increase or decrease",
        ),
        ("write 256", "write: BYTE cannot be “256”: it is a byte, 0 to 255"),
        (
            "go-to-tab 0",
            "go-to-tab: INDEX cannot be “0”: tabs are numbered from 1",
        ),
        ("go-to-tab -1", "go-to-tab: INDEX cannot be “-1”: it is a whole number"),
        (
            "send-keys Ctrl-",
            "send-keys: KEY cannot be “Ctrl-”: it is a key, like a, Enter, Ctrl-c, Alt-x or F12",
        ),
        (
            "close-pane --pane-id x",
            "--pane-id needs a number, as list-panes shows it, not “x”",
        ),
        (
            "close-tab --tab-id",
            "--tab-id needs a number, as list-tabs shows it, not “”",
        ),
        ("rename-tab 'a", "the ' opened at column 12 is never closed"),
        ("x \\", "the line ends in a backslash; write \\\\ for one"),
    ] {
        assert_eq!(parse(line).unwrap_err(), want, "{line}");
    }
    assert_eq!(closest("zoom-to-the-moon"), None);
}

#[test]
fn lines_split_as_a_shell_splits_them() {
    let words = |l: &str| split_words(l).unwrap();
    assert_eq!(
        words("  a  'b c'\td\"e f\"g '' \"\\\"\\n\" h\\ i "),
        ["a", "b c", "de fg", "", "\"\\n", "h i"]
    );
    assert!(words(" \t ").is_empty());
}
