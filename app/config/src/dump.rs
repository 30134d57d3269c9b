//! Prints a configuration as a complete file: every option with its value, every key of every mode. What is printed reads
//! back as the same configuration and keymap, whatever the presets of a later version say.

use qd_mux::{Action, Binding, Keymap, Mode};

use crate::{
    Config,
    options::DEFS,
    write::{name, quote},
};

/// The whole configuration in force as KDL text that reads back as the same values.
#[must_use]
pub fn dump(config: &Config, keymap: &Keymap) -> String {
    let mut out = String::new();
    for def in DEFS {
        out.push_str(&format!("// {}\n{} {}\n", def.doc, def.name, (def.show)(config)));
    }
    let leader = keymap.leader().map_or_else(|| "none".to_owned(), |c| c.to_string());
    out.push_str(&format!(
        "\n// All keys in force; \"clear-defaults\" keeps the preset's out.\nkeybinds preset={} leader={} clear-defaults=#true {{\n",
        quote(&config.preset),
        quote(&leader),
    ));
    for mode in Mode::ALL {
        let block = mode_block(mode, keymap);
        if !block.is_empty() {
            out.push_str(&format!("    {} {{\n{block}    }}\n", mode.name()));
        }
    }
    out.push_str("}\n");
    out
}

fn mode_block(mode: Mode, keymap: &Keymap) -> String {
    let mut lines: Vec<(String, &Binding)> = Vec::new();
    for (chord, binding) in keymap.bindings(mode) {
        let key = quote(&chord.to_string());
        match lines.last_mut() {
            // Neighbours that do the same share a line, as in the preset files.
            Some((keys, last)) if *last == binding => *keys = format!("{keys} {key}"),
            _ => lines.push((key, binding)),
        }
    }
    lines.iter().map(|(keys, binding)| bind_line(keys, binding)).collect()
}

fn bind_line(keys: &str, binding: &Binding) -> String {
    let actions: String = binding.actions.iter().map(|a| format!("{}; ", action(a))).collect();
    let actions = if actions.is_empty() {
        "NoOp; ".to_owned()
    } else {
        actions
    };
    format!("        bind {keys} label={} {{ {actions}}}\n", quote(&binding.label))
}

/// An action as a node.
fn action(action: &Action) -> String {
    let words = action.words();
    let spelled: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(i, w)| if i == 0 { name(w) } else { quote(w) })
        .collect();
    spelled.join(" ")
}
