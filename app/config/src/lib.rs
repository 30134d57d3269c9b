//! Configuration: KDL files into options, keymaps and layouts, and back. Every finding carries file, line, column and span;
//! what is wrong keeps its default and the rest counts, so that no file can keep a session from starting. Depends on the
//! model's types only; it reads the files it is told to and writes none.

mod actions;
mod diagnostic;
mod dump;
mod keybinds;
mod layout;
mod options;
mod paths;
mod presets;
mod scan;
mod tree;
mod write;

pub mod fuzz;

use std::path::Path;

use qd_mux::Keymap;

pub use diagnostic::{Diagnostic, Severity};
pub use dump::dump;
pub use layout::{LoadedLayout, builtin_layout, builtin_layouts, load_layout, parse_layout, write_layout};
pub use options::{Config, Hints, Toggle, options};
pub use paths::{Paths, PathsError};

use diagnostic::{Report, did_you_mean};

/// What came of a configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The options in force.
    pub config: Config,
    /// The keys in force.
    pub keymap: Keymap,
    /// What is wrong with the file, in its order.
    pub diagnostics: Vec<Diagnostic>,
    /// The file's text, for [`Diagnostic::render`]; empty when there is no file.
    pub source: String,
}

impl Loaded {
    /// All findings as [`Diagnostic::render`] shows them, with empty lines between; empty when there are none.
    #[must_use]
    pub fn render(&self) -> String {
        let shown: Vec<String> = self.diagnostics.iter().map(|d| d.render(&self.source)).collect();
        shown.join("\n")
    }
}

/// Reads a configuration file. A missing file means the defaults; one that cannot be read means the defaults and a finding.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let file = path.display().to_string();
    let unreadable = |error: String| {
        let mut report = Report::new(&file, "");
        report.error(0..0, error, Some("the defaults are in force".to_owned()));
        Loaded {
            diagnostics: report.finish(),
            ..parse("", &file)
        }
    };
    // One byte more than is allowed tells a large file from one that just fits, and a device that never ends does no harm.
    let limit = u64::try_from(scan::MAX_BYTES).map_or(u64::MAX, |max| max + 1);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|f| std::io::Read::read_to_end(&mut std::io::Read::take(f, limit), &mut bytes));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => parse("", &file),
        Err(e) => unreadable(format!("cannot be read: {e}")),
        Ok(_) => parse_bytes(&bytes, &file),
    }
}

/// Reads configuration text as it came from a file; `file` is its name in findings.
#[must_use]
pub fn parse_bytes(bytes: &[u8], file: &str) -> Loaded {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, file),
        Err(e) => {
            let text = String::from_utf8_lossy(bytes);
            let at = e.valid_up_to();
            let mut report = Report::new(file, &text);
            let message = "the file is not UTF-8 text from here on";
            report.error(at..at + 1, message, Some("the defaults are in force".to_owned()));
            Loaded {
                diagnostics: report.finish(),
                source: text.into_owned(),
                ..parse("", file)
            }
        }
    }
}

/// Reads configuration text; `file` is its name in findings.
#[must_use]
pub fn parse(text: &str, file: &str) -> Loaded {
    let mut report = Report::new(file, text);
    let nodes = tree::parse(text, &mut report);
    let mut config = Config::default();
    // Bindings are laid over the preset wherever in the file it is named.
    for node in nodes.iter().filter(|n| n.name == "keybinds") {
        if let Some(preset) = keybinds::preset(node, &mut report) {
            config.preset = preset.to_owned();
        }
    }
    let mut keymap = presets::keymap(&config.preset);
    let mut seen: Vec<&str> = Vec::new();
    for node in &nodes {
        if node.name == "keybinds" {
            keybinds::read(node, &mut keymap, &mut report);
            continue;
        }
        if seen.contains(&node.name.as_str()) {
            report.warning(
                node.name_span.clone(),
                format!("“{}” is set twice; this one counts", node.name),
                None,
            );
        }
        seen.push(&node.name);
        option(node, &mut config, &mut report);
    }
    config.leader = keymap.leader();
    Loaded {
        config,
        keymap,
        diagnostics: report.finish(),
        source: text.to_owned(),
    }
}

fn option(node: &tree::Node, config: &mut Config, report: &mut Report<'_>) {
    if let Some(def) = options::DEFS.iter().find(|d| d.name == node.name) {
        let mut wrong = (def.read)(config, node).err().into_iter().collect::<Vec<_>>();
        while let Some(mut w) = wrong.pop() {
            wrong.append(&mut w.more);
            report.error(w.span, w.message, w.help);
        }
    } else if options::is_elsewhere(&node.name) {
        let message = format!("the option “{}” of zellij has no effect here", node.name);
        report.warning(node.name_span.clone(), message, None);
    } else {
        let help = did_you_mean(&node.name, options::DEFS.iter().map(|d| d.name).chain(["keybinds"]));
        report.error(
            node.name_span.clone(),
            format!("there is no option “{}”", node.name),
            help,
        );
    }
}

/// The commented default configuration.
#[must_use]
pub const fn default_text() -> &'static str {
    include_str!("../../../assets/config.kdl")
}

/// The names of the preset keymaps.
#[must_use]
pub const fn presets() -> &'static [&'static str] {
    presets::NAMES
}

/// The keymap of a preset; `None` when there is none of this name.
#[must_use]
pub fn preset(name: &str) -> Option<Keymap> {
    presets::NAMES.contains(&name).then(|| presets::keymap(name))
}

/// The text of a preset's file.
#[must_use]
pub fn preset_text(name: &str) -> Option<&'static str> {
    presets::text(name)
}

#[cfg(test)]
mod tests;
