//! The preset files against the law of the keys and against their plain tables.

use super::*;
use crate::{diagnostic::Report, tree};

/// A preset's file read as a person's file would be, laid over nothing.
fn from_file(name: &str) -> Keymap {
    let mut report = Report::new(name, text(name).unwrap());
    let nodes = tree::parse(text(name).unwrap(), &mut report);
    let mut keymap = Keymap::new(None);
    for node in &nodes {
        assert_eq!(node.name, "keybinds", "{name} holds keys only");
        crate::keybinds::read(node, &mut keymap, &mut report);
    }
    let found = report.finish();
    assert!(
        found.is_empty(),
        "{}",
        found.iter().map(|d| d.render(text(name).unwrap())).collect::<String>()
    );
    keymap
}

/// The module of a preset's table.
fn spell(name: &str, keymap: &Keymap) -> String {
    let mut out = format!(
        "//! The keys of the preset `{name}` as plain words. Written by the test `tables_hold_what_the_files_say` with\n\
         //! `QD_BLESS=1`; edit `assets/keymaps/{name}.kdl` instead.\n\n\
         use super::{{Table, row}};\n\n#[rustfmt::skip]\npub(super) const TABLE: Table = Table {{\n"
    );
    out.push_str(&format!(
        "    leader: {:?},\n    modes: &[\n",
        keymap.leader().map(|c| c.to_string())
    ));
    for mode in Mode::ALL {
        let mut rows: Vec<(Vec<String>, &Binding)> = Vec::new();
        for (chord, binding) in keymap.bindings(mode) {
            match rows.last_mut() {
                Some((chords, last)) if *last == binding => chords.push(chord.to_string()),
                _ => rows.push((vec![chord.to_string()], binding)),
            }
        }
        if rows.is_empty() {
            continue;
        }
        out.push_str(&format!("        ({:?}, &[\n", mode.name()));
        for (chords, binding) in rows {
            let actions: Vec<String> = binding.actions.iter().map(|a| format!("&{:?}", a.words())).collect();
            let row = format!("{:?}, {:?}, &[{}]", chords.join(" "), binding.label, actions.join(", "));
            out.push_str(&format!("            row({row}),\n"));
        }
        out.push_str("        ]),\n");
    }
    out.push_str("    ],\n};\n");
    out
}

#[test]
fn tables_hold_what_the_files_say() {
    if std::env::var_os("QD_BLESS").is_some() {
        for name in NAMES {
            let file = format!(
                "{}/src/presets/{}.rs",
                env!("CARGO_MANIFEST_DIR"),
                name.replace('-', "_")
            );
            std::fs::write(file, spell(name, &from_file(name))).unwrap();
        }
        return;
    }
    for name in NAMES {
        assert_eq!(keymap(name), from_file(name), "{name}: run this test with QD_BLESS=1");
    }
}

#[test]
fn no_preset_binds_a_key_twice_in_a_mode() {
    for name in NAMES {
        let file = text(name).unwrap();
        let mut report = Report::new(name, file);
        let nodes = tree::parse(file, &mut report);
        let mut seen = Vec::new();
        for block in nodes.iter().flat_map(|n| &n.children) {
            let modes: Vec<String> = match block.name.as_str() {
                "shared_among" => block.args().map(|e| e.value.word()).collect(),
                mode => vec![mode.to_owned()],
            };
            for (mode, entry) in modes.iter().flat_map(|m| {
                block
                    .children
                    .iter()
                    .flat_map(|b| b.args())
                    .map(move |e| (m.clone(), e))
            }) {
                let key = (mode, entry.value.word().parse::<Chord>().unwrap());
                assert!(!seen.contains(&key), "{name}: {} is bound twice in {}", key.1, key.0);
                seen.push(key);
            }
        }
    }
}

#[test]
fn only_the_leader_is_taken_from_programs() {
    for name in ["default", "tmux", "unlock-first"] {
        assert_eq!(keymap(name).bindings(Mode::Raw).count(), 0, "{name}");
        assert!(keymap(name).leader().is_some());
    }
    assert_eq!(keymap("default").leader().unwrap().to_string(), "Ctrl-Space");
}

#[test]
fn no_binding_hides_behind_the_leader_and_every_binding_does_something_and_says_what() {
    for name in NAMES {
        let keymap = keymap(name);
        let leader = keymap.leader().unwrap();
        for mode in Mode::ALL {
            for (chord, binding) in keymap.bindings(mode) {
                assert_ne!(*chord, leader, "{name}: {mode}");
                assert!(
                    !binding.actions.is_empty() && !binding.label.is_empty(),
                    "{name}: {chord} in {mode}"
                );
                assert!(binding.label.chars().count() <= 16, "{name}: {}", binding.label);
            }
        }
    }
}

#[test]
fn every_mode_with_keys_can_be_reached_and_left() {
    for name in NAMES {
        let keymap = keymap(name);
        for mode in Mode::ALL
            .into_iter()
            .filter(|m| !m.is_base() && keymap.bindings(*m).next().is_some())
        {
            assert!(keymap.route(mode).is_some(), "{name}: no key leads to {mode}");
            if mode.sticky() && mode != Mode::Lock {
                let esc = "Esc".parse().unwrap();
                assert!(keymap.get(mode, &esc).is_some(), "{name}: Esc does not leave {mode}");
            }
        }
    }
}

/// The leader table as it is documented, key by key.
#[test]
fn the_default_leader_menu_is_the_documented_one() {
    let keymap = keymap("default");
    let table = [
        ("p", "palette"),
        (":", "command-line"),
        ("/", "search-everything"),
        ("b", "pane-picker"),
        ("n", "switch-mode new"),
        ("'", "last-picker"),
        ("Left", "move-focus left"),
        ("h", "move-focus left"),
        ("j", "move-focus down"),
        ("k", "move-focus up"),
        ("l", "move-focus right"),
        ("w", "switch-mode window"),
        ("t", "switch-mode tab"),
        ("1", "go-to-tab 1"),
        ("9", "go-to-tab 9"),
        ("[", "switch-mode copy"),
        ("r", "switch-mode resize"),
        ("z", "toggle-fullscreen"),
        ("L", "switch-mode lock"),
        ("o", "session-picker"),
        ("d", "detach"),
        ("?", "help"),
    ];
    for (chord, action) in table {
        let binding = keymap.get(Mode::Leader, &chord.parse().unwrap()).unwrap();
        assert_eq!(binding.actions[0].words().join(" "), action, "{chord}");
    }
    // Keys that are promised to later work stay free.
    for free in ["f", "N"] {
        assert!(keymap.get(Mode::Leader, &free.parse().unwrap()).is_none(), "{free}");
    }
}
