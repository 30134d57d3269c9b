//! The `keybinds` block: which preset it builds on, the leader, and bindings laid over it. zellij's grammar (modes,
//! `shared_except`, `unbind`, `clear-defaults`) with our modes and actions beside its own names. Owns no key of its own;
//! those are in the preset files.

use qd_mux::{Action, Binding, Keymap, Mode};
use qd_tty::Chord;

use crate::{
    actions::{self, Translated},
    diagnostic::{Report, did_you_mean, list_of},
    options::{Toggle, switch},
    presets,
    tree::{Entry, Node, Value},
};

/// The modes a `shared` block stands for: all that have a keymap.
fn shared_modes() -> impl Iterator<Item = Mode> {
    Mode::ALL.into_iter().filter(|m| *m != Mode::Input)
}

/// The preset a `keybinds` node asks for, if it names one that exists.
pub(crate) fn preset(node: &Node, report: &mut Report<'_>) -> Option<&'static str> {
    let (_, entry) = node.props().find(|(key, _)| *key == "preset")?;
    let word = entry.value.word();
    let found = presets::NAMES.iter().find(|name| **name == word);
    if found.is_none() {
        let help = did_you_mean(&word, presets::NAMES.iter().copied())
            .unwrap_or_else(|| format!("write {}", list_of(presets::NAMES.iter().copied())));
        report.error(entry.span.clone(), format!("there is no preset “{word}”"), Some(help));
    }
    found.copied()
}

/// Lays the bindings of a `keybinds` node over `keymap`.
pub(crate) fn read(node: &Node, keymap: &mut Keymap, report: &mut Report<'_>) {
    if let Some(extra) = node.args().next() {
        report.error(extra.span.clone(), "“keybinds” takes no values of its own", None);
    }
    let mut reader = Reader { keymap, report };
    for (key, entry) in node.props() {
        reader.property(key, entry);
    }
    for block in &node.children {
        reader.block(block);
    }
}

struct Reader<'a, 'r> {
    keymap: &'a mut Keymap,
    report: &'a mut Report<'r>,
}

impl Reader<'_, '_> {
    fn property(&mut self, key: &str, entry: &Entry) {
        match key {
            "preset" => {}
            "leader" => self.leader(entry),
            "clear-defaults" | "clear_defaults" => match switch(entry) {
                Some(Toggle::On) => *self.keymap = Keymap::new(self.keymap.leader()),
                Some(Toggle::Off) => {}
                None => {
                    let help = Some("write #true or #false".to_owned());
                    self.report
                        .error(entry.span.clone(), "“clear-defaults” is a switch", help);
                }
            },
            _ => {
                let help = did_you_mean(key, ["preset", "leader", "clear-defaults"]);
                self.report
                    .error(entry.span.clone(), format!("“keybinds” has no property “{key}”"), help);
            }
        }
    }

    fn leader(&mut self, entry: &Entry) {
        if entry.value == Value::Null || entry.value == Value::Text("none".to_owned()) {
            self.keymap.set_leader(None);
        } else if let Some(chord) = self.chord(entry) {
            self.keymap.set_leader(Some(chord));
        }
    }

    fn chord(&mut self, entry: &Entry) -> Option<Chord> {
        let chord = match &entry.value {
            Value::Text(s) => s.parse::<Chord>().map_err(|e| e.to_string()),
            // A digit key may stand without quotes.
            Value::Integer(i) if (0..=9).contains(i) => i.to_string().parse::<Chord>().map_err(|e| e.to_string()),
            _ => Err("a key is text, such as \"Ctrl-Space\"".to_owned()),
        };
        chord
            .map_err(|message| self.report.error(entry.span.clone(), message, None))
            .ok()
    }

    fn block(&mut self, block: &Node) {
        match block.name.as_str() {
            "unbind" => self.unbind(block, &shared_modes().collect::<Vec<_>>()),
            "bind" => {
                let help = Some("put it in the block of a mode, such as raw { … }".to_owned());
                self.report
                    .error(block.name_span.clone(), "“bind” stands outside any mode", help);
            }
            "shared" => self.bindings(block, &shared_modes().collect::<Vec<_>>()),
            "shared_except" => {
                let named = self.named_modes(block);
                self.bindings(
                    block,
                    &shared_modes().filter(|m| !named.contains(m)).collect::<Vec<_>>(),
                );
            }
            "shared_among" => {
                let named = self.named_modes(block);
                self.bindings(block, &named);
            }
            // zellij's prompts have modes of their own; ours have fixed readline keys.
            "entersearch" | "renametab" | "renamepane" | "prompt" => {}
            name => match mode(name) {
                Some(mode) => {
                    if let Some(extra) = block.entries.first() {
                        let message = format!("“{name}” takes no values of its own");
                        self.report.error(extra.span.clone(), message, None);
                    }
                    self.bindings(block, &[mode]);
                }
                None => {
                    let others = ["shared", "shared_except", "shared_among", "unbind"];
                    let known = Mode::ALL.iter().map(|m| m.name()).chain(others);
                    let help = did_you_mean(name, known.clone()).unwrap_or_else(|| format!("write {}", list_of(known)));
                    self.report.error(
                        block.name_span.clone(),
                        format!("there is no mode “{name}”"),
                        Some(help),
                    );
                }
            },
        }
    }

    /// The modes that a `shared_…` node names.
    fn named_modes(&mut self, block: &Node) -> Vec<Mode> {
        let mut modes = Vec::new();
        for entry in block.args() {
            let word = entry.value.word();
            match mode(&word) {
                Some(mode) => modes.push(mode),
                None if matches!(word.as_str(), "entersearch" | "renametab" | "renamepane" | "prompt") => {}
                None => {
                    let help = did_you_mean(&word, Mode::ALL.iter().map(|m| m.name()));
                    self.report
                        .error(entry.span.clone(), format!("there is no mode “{word}”"), help);
                }
            }
        }
        modes
    }

    fn bindings(&mut self, block: &Node, modes: &[Mode]) {
        for node in &block.children {
            match node.name.as_str() {
                "bind" => self.bind(node, modes),
                "unbind" => self.unbind(node, modes),
                name => {
                    let help = did_you_mean(name, ["bind", "unbind"])
                        .unwrap_or_else(|| "write bind \"key\" { action; } or unbind \"key\"".to_owned());
                    let message = format!("“{name}” is neither “bind” nor “unbind”");
                    self.report.error(node.name_span.clone(), message, Some(help));
                }
            }
        }
    }

    fn unbind(&mut self, node: &Node, modes: &[Mode]) {
        for entry in node.args() {
            if let Some(chord) = self.chord(entry) {
                for mode in modes {
                    self.keymap.unbind(*mode, &chord);
                }
            }
        }
    }

    fn bind(&mut self, node: &Node, modes: &[Mode]) {
        let mut label = None;
        for (key, entry) in node.props() {
            if key == "label" {
                label = Some(entry.value.word());
            } else {
                let help = did_you_mean(key, ["label"]);
                self.report
                    .error(entry.span.clone(), format!("“bind” has no property “{key}”"), help);
            }
        }
        let chords: Vec<Chord> = node.args().filter_map(|entry| self.chord(entry)).collect();
        if node.args().next().is_none() {
            self.report.error(
                node.name_span.clone(),
                "“bind” names no key",
                Some("bind \"key\" { action; }".to_owned()),
            );
        }
        if node.children.is_empty() {
            let help = Some("name an action in a block, or use “unbind”".to_owned());
            self.report.error(node.span.clone(), "this binding does nothing", help);
            return;
        }
        let Some(actions) = self.actions(node) else { return };
        let label = label.unwrap_or_else(|| default_label(&actions));
        for mode in modes {
            for chord in &chords {
                let binding = Binding {
                    actions: actions.clone(),
                    label: label.clone(),
                };
                self.keymap.bind(*mode, *chord, binding);
            }
        }
    }

    /// The actions of a `bind` block; `None` when one of them cannot be used, since half a binding would surprise.
    fn actions(&mut self, node: &Node) -> Option<Vec<Action>> {
        let mut actions = Vec::new();
        let mut whole = true;
        for child in &node.children {
            match actions::translate(child) {
                Ok(Translated::Words(words)) => match self.action(child, &words) {
                    Some(action) => actions.push(action),
                    None => whole = false,
                },
                Ok(Translated::Nothing) => {}
                Ok(Translated::Missing(what)) => {
                    whole = false;
                    let message = format!("{what} does not exist here yet");
                    self.report
                        .warning(child.span.clone(), message, Some("the key stays as it was".to_owned()));
                }
                Err(wrong) => {
                    whole = false;
                    self.report.error(wrong.span, wrong.message, wrong.help);
                }
            }
        }
        whole.then_some(actions)
    }

    fn action(&mut self, node: &Node, words: &[String]) -> Option<Action> {
        let (name, args) = words.split_first()?;
        if qd_mux::command(name).is_none() {
            let near = if node.name == *name {
                qd_mux::closest(name)
            } else {
                None
            };
            let help = near
                .map(|k| format!("did you mean “{k}”?"))
                .or_else(|| did_you_mean(name, actions::zellij_names()));
            self.report
                .error(node.name_span.clone(), format!("there is no action “{name}”"), help);
            return None;
        }
        Action::parse(name, args)
            .map_err(|e| self.report.error(node.span.clone(), e.to_string(), None))
            .ok()
    }
}

/// The mode called `name` here or in zellij.
pub(crate) fn mode(name: &str) -> Option<Mode> {
    actions::mode_word(&name.to_ascii_lowercase()).parse().ok()
}

/// What the hint bar says of a binding without a label: the first action's words.
fn default_label(actions: &[Action]) -> String {
    let Some(first) = actions.first() else {
        return "nothing".to_owned();
    };
    let words = first.words();
    let spoken = words
        .iter()
        .enumerate()
        .map(|(i, w)| if i == 0 { w.replace('-', " ") } else { w.clone() });
    let label = spoken.filter(|w| !w.starts_with("--")).collect::<Vec<_>>().join(" ");
    match label.char_indices().nth(24) {
        Some((cut, _)) => format!("{}…", &label[..cut]),
        None => label,
    }
}
