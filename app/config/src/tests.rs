//! The promises of the whole crate: defaults, presets, dumps, findings as a person sees them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use qd_mux::{Action, Binding, Change, CopyOp, Direction, Keymap, Mode, OnExit, PaneSpec};
use qd_tty::{Chord, Key, Mods};

use crate::*;

fn clean(text: &str) -> Loaded {
    let loaded = parse(text, "config.kdl");
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render());
    loaded
}

fn chord(s: &str) -> Chord {
    s.parse().unwrap()
}

fn uncommented() -> String {
    let options = default_text()
        .lines()
        .filter_map(|l| l.strip_prefix("//").filter(|l| !l.is_empty() && !l.starts_with(' ')));
    options.map(|l| format!("{l}\n")).collect()
}

#[test]
fn an_empty_file_and_the_commented_default_mean_the_defaults() {
    for text in ["", default_text()] {
        let loaded = clean(text);
        assert_eq!(loaded.config, Config::default());
        assert_eq!(Some(loaded.keymap), preset("default"));
    }
}

#[test]
fn the_uncommented_default_is_every_option_with_its_default() {
    let text = uncommented();
    let loaded = clean(&text);
    assert_eq!(loaded.config, Config::default());
    assert_eq!(Some(loaded.keymap), preset("default"));
    let said: Vec<&str> = text.lines().filter_map(|l| l.split_whitespace().next()).collect();
    for (name, doc) in options() {
        assert!(said.contains(&name), "{name} is not in config.kdl");
        let first = doc.split([';', ':', '.']).next().unwrap();
        let first = first.split(',').next().unwrap();
        assert!(
            default_text().contains(first),
            "{name}: config.kdl does not say “{first}”"
        );
    }
    assert_eq!(
        said.len(),
        options().count() + 1,
        "every line is an option, and keybinds"
    );
}

#[test]
fn every_option_can_be_set() {
    let text = r##"
        theme "nord"; theme_light "latte"; theme_dark "mocha"
        default_shell "/bin/fish"; default_cwd "/srv"; default_layout "shell"; default_mode "lock"
        scroll_buffer_size 5; scroll_buffer_bytes "2 MiB"
        mouse_mode #false; pane_frames false; hints "short"; ascii on; copy_command "wl-copy"; copy_on_select off
        osc52_read #true; escape_time 0; paste_guard #false; frame_rate 10
        env { EDITOR "vim"; N 3; }
        update_environment "A" "B"
        keybinds preset="tmux" leader="F12"
    "##;
    let c = clean(text).config;
    let expected = Config {
        theme: "nord".into(),
        theme_light: Some("latte".into()),
        theme_dark: Some("mocha".into()),
        preset: "tmux".into(),
        leader: Some(chord("F12")),
        default_mode: Mode::Lock,
        shell: Some("/bin/fish".into()),
        default_cwd: Some("/srv".into()),
        default_layout: Some("shell".into()),
        scrollback_lines: 5,
        scrollback_bytes: 2 << 20,
        mouse: Toggle::Off,
        pane_frames: Toggle::Off,
        hints: Hints::Short,
        ascii: Toggle::On,
        copy_command: Some("wl-copy".into()),
        copy_on_select: Toggle::Off,
        osc52_read: Toggle::On,
        escape_time_ms: 0,
        paste_guard: Toggle::Off,
        frame_rate: 10,
        env: BTreeMap::from([("EDITOR".into(), "vim".into()), ("N".into(), "3".into())]),
        update_environment: vec!["A".into(), "B".into()],
    };
    assert_eq!(c, expected);
}

#[test]
fn what_is_wrong_keeps_its_default_and_the_rest_counts() {
    let text = r##"them "nord"
theme 3
mouse_mode "maybe"
scroll_buffer_size -1
hints "ful"
escape_time 25 30
env { GOOD "1"; "A=B" "2"; }
frame_rate fast=#true
simplified_ui true
pane_frames #false
pane_frames #false
keybinds preset="tmuxx" leedar="x" {
    rraw { bind "x" { detach; }; }
    leader {
        bind "Ctrl-Alt-" { detach; }
        bind "X" { new-pan; }
        bind "Y" { resize "sideways"; }
        bind "Z" { ToggleFloatingPanes; }
        bind "W"
        bin "V" { detach; }
        bind "Q" lable="x" { detach; }
    }
    bind "x" { detach; }
}
theme "unclosed
"##;
    let loaded = parse(text, "config.kdl");
    assert_eq!(loaded.config.pane_frames, Toggle::Off);
    assert_eq!(loaded.config.env.get("GOOD").map(String::as_str), Some("1"));
    assert_eq!(
        loaded.keymap.get(Mode::Leader, &chord("Q")).map(|b| &b.actions[..]),
        Some(&[Action::Detach][..])
    );
    assert_eq!(loaded.keymap.get(Mode::Leader, &chord("X")), None);
    let rest = Config {
        pane_frames: Toggle::Off,
        env: loaded.config.env.clone(),
        ..Config::default()
    };
    assert_eq!(loaded.config, rest);
    insta::assert_snapshot!("findings", loaded.render());
}

#[test]
fn slips_of_syntax_cost_only_their_statement() {
    let text = "theme \"nord\"\nhints \"full\" }\nmouse_mode = #false\nascii #true\nenv {\n  A \"1\"\n";
    let loaded = parse(text, "config.kdl");
    assert_eq!(loaded.config.theme, "nord");
    assert_eq!(loaded.config.ascii, Toggle::On);
    insta::assert_snapshot!("syntax", loaded.render());
}

#[test]
fn hostile_text_is_refused_in_words() {
    let deep = "a {".repeat(100_000);
    let dropped = format!("{}{}", "a /-{".repeat(20), "}".repeat(20));
    let large = "x\n".repeat(600_000);
    for (text, says) in [
        (deep.as_str(), "deeper"),
        (dropped.as_str(), "commented out"),
        (large.as_str(), "larger"),
        (&"/- ".repeat(50_000), "in a row"),
        (&format!("a {}", "/-\n/*x*/".repeat(50_000)), "in a row"),
        (&format!("a {}", "(".repeat(50_000)), "brackets"),
        (&format!("a {}", "=".repeat(60_000)), "not valid KDL"),
        (&format!("a {}", "{}".repeat(30_000)), "not valid KDL"),
        (&format!("a {}", "x= ".repeat(20_000)), "not valid KDL"),
        (&format!("a {}", "=".repeat(70_000)), "longer"),
        (&format!("{}{}", "/*".repeat(30_000), "*/".repeat(30_000)), "comment"),
        ("/* x", "never closed"),
        ("theme #\"x\"", "never closed"),
        ("}", "closes nothing"),
    ] {
        let loaded = parse(text, "f");
        assert_eq!(loaded.config, Config::default());
        assert!(
            loaded.diagnostics.iter().any(|d| d.message.contains(says)),
            "{}",
            loaded.render()
        );
    }
}

#[test]
fn files_that_cannot_be_read_mean_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&dir.path().join("none.kdl"));
    assert!(missing.diagnostics.is_empty());
    assert_eq!(missing.config, Config::default());
    let folder = load(dir.path());
    assert_eq!(folder.config, Config::default());
    assert!(
        folder.diagnostics[0].message.contains("cannot be read"),
        "{}",
        folder.render()
    );
    let bytes = dir.path().join("latin1.kdl");
    std::fs::write(&bytes, b"theme \"nord\"\nenv { A \"caf\xe9\"; }\n").unwrap();
    let latin = load(&bytes);
    assert_eq!(latin.config, Config::default());
    assert_eq!(
        (latin.diagnostics[0].line, latin.diagnostics[0].column),
        (2, 13),
        "{}",
        latin.render()
    );
    let good = dir.path().join("config.kdl");
    std::fs::write(&good, "theme \"nord\"").unwrap();
    assert_eq!(load(&good).config.theme, "nord");
}

#[test]
fn both_versions_of_kdl_may_stand_in_one_file() {
    let c = clean("mouse_mode false\nascii #true\ndefault_shell r#\"/bin/\"x\"\"#\ntheme #\"no\"rd\"#\n").config;
    assert_eq!((c.mouse, c.ascii), (Toggle::Off, Toggle::On));
    assert_eq!((c.shell.as_deref(), c.theme.as_str()), (Some("/bin/\"x\""), "no\"rd"));
}

#[test]
fn bindings_in_the_words_of_zellij() {
    let text = r##"
keybinds clear-defaults=true {
    normal { bind "Ctrl p" { SwitchToMode "Pane"; }; }
    locked { bind "Ctrl g" { SwitchToMode "Normal"; }; }
    pane {
        bind "n" "Enter" { NewPane "Right"; SwitchToMode "Normal"; }
        bind "c" { SwitchToMode "RenamePane"; PaneNameInput 0;}
    }
    scroll { bind "d" { HalfPageScrollDown; }; }
    entersearch { bind "Esc" { SwitchToMode "Scroll"; }; }
    shared_except "locked" "tab" "entersearch" { bind "Alt h" { MoveFocusOrTab "Left"; }; }
}"##;
    let k = clean(text).keymap;
    let right = PaneSpec::default();
    let new = Action::NewPane {
        spec: right,
        direction: Some(Direction::Right),
    };
    let pane = k.get(Mode::Window, &chord("Enter")).unwrap();
    assert_eq!(pane.actions, [new, Action::SwitchMode(Mode::Raw)]);
    assert_eq!(
        k.get(Mode::Window, &chord("c")).unwrap().actions,
        [Action::RenamePanePrompt]
    );
    assert_eq!(
        k.get(Mode::Raw, &chord("Ctrl-p")).unwrap().actions,
        [Action::SwitchMode(Mode::Window)]
    );
    assert_eq!(
        k.get(Mode::Lock, &chord("Ctrl-g")).unwrap().actions,
        [Action::SwitchMode(Mode::Raw)]
    );
    assert_eq!(
        k.get(Mode::Copy, &chord("d")).unwrap().actions,
        [Action::HalfPageScrollDown]
    );
    assert!(k.get(Mode::Raw, &chord("Alt-h")).is_some() && k.get(Mode::Resize, &chord("Alt-h")).is_some());
    assert!(k.get(Mode::Lock, &chord("Alt-h")).is_none() && k.get(Mode::Tab, &chord("Alt-h")).is_none());
    assert!(k.get(Mode::Leader, &chord("p")).is_none(), "the preset was cleared");
}

#[test]
fn own_bindings_lie_over_the_preset() {
    let text = r##"keybinds preset="default" leader="Ctrl-a" {
        raw { bind "Alt-n" { new-pane direction="right" close_on_exit=#true "--" "top" "-d"; }; }
        leader { bind "p" label="mine" { write 27 91; write-chars "x"; }; unbind "D"; }
        unbind "Tab"
    }"##;
    let loaded = clean(text);
    let k = loaded.keymap;
    assert_eq!(
        (k.leader(), loaded.config.leader),
        (Some(chord("Ctrl-a")), Some(chord("Ctrl-a")))
    );
    let command = Some(vec!["top".to_owned(), "-d".to_owned()]);
    let spec = PaneSpec {
        command,
        on_exit: OnExit::Close,
        ..PaneSpec::default()
    };
    let new = Action::NewPane {
        spec,
        direction: Some(Direction::Right),
    };
    assert_eq!(k.get(Mode::Raw, &chord("Alt-n")).unwrap().actions, [new]);
    let p = k.get(Mode::Leader, &chord("p")).unwrap();
    assert_eq!(
        (p.label.as_str(), &p.actions),
        (
            "mine",
            &vec![Action::Write(vec![27, 91]), Action::WriteChars("x".into())]
        )
    );
    assert!(k.get(Mode::Leader, &chord("D")).is_none());
    assert!(k.get(Mode::Leader, &chord("Tab")).is_none() && k.get(Mode::Tab, &chord("Tab")).is_none());
    assert!(
        k.get(Mode::Leader, &chord("z")).is_some(),
        "the rest of the preset stands"
    );
    assert_eq!(clean("keybinds leader=\"none\"").keymap.leader(), None);
}

/// Any action whose text form is worth a test.
fn any_action() -> impl Strategy<Value = Action> {
    let text = "[ -~é\u{1b}\n\"\\\\]{0,8}";
    let word = "[a-zA-Z0-9 =\"/-]{1,8}";
    let direction = prop::sample::select(Direction::ALL.to_vec());
    let spec = (
        prop::option::of(word),
        prop::option::of(prop::collection::vec(word, 1..3)),
        any::<bool>(),
    )
        .prop_map(|(name, command, close)| {
            let on_exit = if close { OnExit::Close } else { OnExit::Hold };
            PaneSpec {
                name,
                command,
                on_exit,
                ..PaneSpec::default()
            }
        });
    prop_oneof![
        (spec, prop::option::of(direction.clone())).prop_map(|(spec, direction)| Action::NewPane { spec, direction }),
        direction.clone().prop_map(Action::MoveFocus),
        prop::option::of(direction).prop_map(|direction| Action::Resize {
            change: Change::Decrease,
            direction
        }),
        text.prop_map(Action::WriteChars),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Action::Write),
        prop::collection::vec(any_chord(), 1..3).prop_map(Action::SendKeys),
        prop::sample::select(Mode::ALL.to_vec()).prop_map(Action::SwitchMode),
        (1u32..20).prop_map(Action::GoToTab),
        prop::sample::select(CopyOp::ALL).prop_map(Action::Copy),
        Just(Action::Detach),
    ]
}

fn any_chord() -> impl Strategy<Value = Chord> {
    let key = prop_oneof![
        "[!-~]".prop_map(|s| Key::Char(s.chars().next().unwrap())),
        Just(Key::Char(' ')),
        Just(Key::Char('ß')),
        (1u8..=35).prop_map(Key::F),
        prop::sample::select(vec![Key::Up, Key::Enter, Key::Esc, Key::PageDown, Key::Tab]),
    ];
    (key, 0u8..64).prop_map(|(key, mods)| Chord::new(key, Mods::from_bits_truncate(mods)))
}

fn any_config() -> impl Strategy<Value = Config> {
    let text = "\\PC{1,8}";
    let toggle = prop::sample::select(vec![Toggle::On, Toggle::Off]);
    let texts = (
        text,
        prop::option::of(text),
        prop::option::of(text),
        prop::option::of(text),
        prop::option::of(any::<String>()),
    );
    let numbers = (0u32..10_000_000, any::<u32>(), 0u16..=1000, 1u16..=240);
    let env = prop::collection::btree_map("[A-Z_é ]{1,4}", "[^\u{0}]{0,6}", 0..3);
    let names = prop::collection::vec("[A-Z_]{1,6}", 0..3);
    let switches = prop::collection::vec(toggle, 7);
    let words = (
        prop::sample::select(vec![Hints::Full, Hints::Short, Hints::Off]),
        prop::sample::select(presets::NAMES.to_vec()),
        prop::sample::select(vec![Mode::Raw, Mode::Lock]),
    );
    (texts, numbers, env, names, switches, words).prop_map(|(t, n, env, update_environment, s, w)| Config {
        theme: t.0,
        theme_light: t.1,
        shell: t.2,
        default_layout: t.3,
        copy_command: t.4.filter(|s| !s.is_empty()),
        scrollback_lines: n.0,
        scrollback_bytes: n.1 as usize,
        escape_time_ms: n.2,
        frame_rate: n.3,
        env,
        update_environment,
        mouse: s[0],
        pane_frames: s[1],
        ascii: s[2],
        copy_on_select: s[3],
        osc52_read: s[4],
        paste_guard: s[5],
        hints: w.0,
        preset: w.1.to_owned(),
        default_mode: w.2,
        ..Config::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_dump_reads_back_as_the_same(
        config in any_config(),
        leader in prop::option::of(any_chord()),
        keys in prop::collection::vec(
            (prop::sample::select(Mode::ALL.to_vec()), any_chord(), prop::collection::vec(any_action(), 0..3), "\\PC{0,6}"),
            0..12,
        ),
    ) {
        let mut keymap = Keymap::new(leader);
        for (mode, chord, actions, label) in keys {
            keymap.bind(mode, chord, Binding { actions, label });
        }
        let config = Config { leader, ..config };
        let text = dump(&config, &keymap);
        let again = parse(&text, "dump");
        prop_assert!(again.diagnostics.is_empty(), "{}\n{}", text, again.render());
        prop_assert_eq!(&again.config, &config);
        prop_assert_eq!(&again.keymap, &keymap, "{}", text);
    }

    #[test]
    fn any_text_gives_a_configuration(text in "([a-z_]{1,6}|[ \n\"{}#/*;=()\\\\-]|theme|keybinds|bind|true|leader){0,24}") {
        fuzz::config(text.as_bytes());
        fuzz::layout(text.as_bytes());
    }
}

/// Fuzzes both readers for `QD_FUZZ_SECONDS` (1 without), with mutations of real files.
#[test]
fn mutated_files_never_panic() {
    let seconds = std::env::var("QD_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse::<f64>().ok())
        .unwrap_or(1.0);
    let until = std::time::Instant::now() + std::time::Duration::from_secs_f64(seconds);
    let seeds: Vec<&str> = [
        default_text(),
        builtin_layout("default").unwrap(),
        builtin_layout("shell").unwrap(),
    ]
    .into_iter()
    .chain(presets::NAMES.iter().filter_map(|n| preset_text(n)))
    .chain([
        "env { A \"1\"; }\nkeybinds preset=\"tmux\" { raw { bind \"x\" { detach; }; }; }",
        "theme r#\"x\"#",
        layout::SAMPLE,
    ])
    .collect();
    let pieces = [
        "{", "}", "\"", "/-", "/*", "*/", "#", "\\", "\n", ";", "true", "#true", "(x)", "\u{feff}", "\u{85}", "é",
        "r#\"", "\"\"\"", "=", "1e9", "-", "pane", "children", "keybinds", "bind",
    ];
    // A small generator of our own keeps runs repeatable without another dependency.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let mut rounds = 0u64;
    // At least one round, however late it is.
    while rounds == 0 || std::time::Instant::now() < until {
        let seed = seeds[next(seeds.len())].as_bytes();
        let from = next(seed.len());
        let mut bytes = seed[from..(from + 1 + next(600)).min(seed.len())].to_vec();
        for _ in 0..next(6) {
            let at = next(bytes.len() + 1);
            match next(4) {
                0 => drop(bytes.splice(at..at, pieces[next(pieces.len())].bytes())),
                1 => drop(bytes.splice(at..at, [next(256) as u8])),
                2 => drop(bytes.drain(at..(at + next(40)).min(bytes.len()))),
                _ => {
                    let copy = bytes[at..(at + next(80)).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
            }
        }
        let began = std::time::Instant::now();
        fuzz::config(&bytes);
        fuzz::layout(&bytes);
        if began.elapsed().as_millis() > 500 {
            println!("slow, {:?}: {:?}", began.elapsed(), String::from_utf8_lossy(&bytes));
        }
        rounds += 1;
    }
}
