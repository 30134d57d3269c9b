//! The preset keymaps. Each is a file under `assets/keymaps`, in the same words as a person's own `keybinds`. Because
//! reading KDL costs milliseconds and every session start needs a keymap, the files' content also lies in the modules below
//! as plain words; a test holds the two together (run it with `QD_BLESS=1` after editing a file).

mod default;
mod tmux;
mod unlock_first;
mod zellij;

use qd_mux::{Action, Binding, Keymap, Mode};
use qd_tty::Chord;

/// The preset in force when none is named.
pub(crate) const DEFAULT: &str = "default";
/// All presets' names.
pub(crate) const NAMES: &[&str] = &["default", "zellij", "tmux", "unlock-first"];

/// One key's binding as plain words.
pub(crate) struct Row {
    pub(crate) chords: &'static str,
    pub(crate) label: &'static str,
    pub(crate) actions: &'static [&'static [&'static str]],
}

/// A preset as plain words.
pub(crate) struct Table {
    pub(crate) leader: Option<&'static str>,
    pub(crate) modes: &'static [(&'static str, &'static [Row])],
}

const fn row(chords: &'static str, label: &'static str, actions: &'static [&'static [&'static str]]) -> Row {
    Row { chords, label, actions }
}

fn table(name: &str) -> Option<&'static Table> {
    match name {
        "default" => Some(&default::TABLE),
        "zellij" => Some(&zellij::TABLE),
        "tmux" => Some(&tmux::TABLE),
        "unlock-first" => Some(&unlock_first::TABLE),
        _ => None,
    }
}

/// The text of a preset's file.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    match name {
        "default" => Some(include_str!("../../../assets/keymaps/default.kdl")),
        "zellij" => Some(include_str!("../../../assets/keymaps/zellij.kdl")),
        "tmux" => Some(include_str!("../../../assets/keymaps/tmux.kdl")),
        "unlock-first" => Some(include_str!("../../../assets/keymaps/unlock-first.kdl")),
        _ => None,
    }
}

/// The keymap of a preset; of an unknown one, no key at all.
pub(crate) fn keymap(name: &str) -> Keymap {
    let Some(table) = table(name) else {
        return Keymap::new(None);
    };
    let mut keymap = Keymap::new(table.leader.and_then(|l| l.parse().ok()));
    for (mode, rows) in table.modes {
        let Ok(mode) = mode.parse::<Mode>() else { continue };
        for row in *rows {
            let Some(actions) = actions(row.actions) else { continue };
            // A blank divides the keys; the space key is written out.
            for chord in row.chords.split(' ').filter_map(|c| c.parse::<Chord>().ok()) {
                keymap.bind(
                    mode,
                    chord,
                    Binding {
                        actions: actions.clone(),
                        label: row.label.to_owned(),
                    },
                );
            }
        }
    }
    keymap
}

fn actions(rows: &[&[&str]]) -> Option<Vec<Action>> {
    let one = |words: &&[&str]| {
        let (name, args) = words.split_first()?;
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        Action::parse(name, &args).ok()
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
