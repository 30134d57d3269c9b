//! What the configuration means for a running session: themes, layouts, and rereading the file when it changes.

use std::{path::Path, time::SystemTime};

use qd_config::{Config, Loaded, Severity};
use qd_mux::{Frames, LayoutSpec};
use qd_panes::{CopyOnSelect, TerminalOptions};
use qd_ui::Theme;

use crate::{
    messages::{Level, Messages},
    session::Session,
};

/// When a file was last changed.
pub(crate) fn stamp(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// The theme to draw with: the light or dark one where the terminal told which it is, and the file of a person before
/// the built-in one of that name.
pub(crate) fn theme_of(config: &Config, light: Option<bool>, messages: &mut Messages) -> Option<Theme> {
    let name = match light {
        Some(true) => config.theme_light.as_ref(),
        Some(false) => config.theme_dark.as_ref(),
        None => None,
    }
    .unwrap_or(&config.theme);
    match find_theme(name) {
        Ok(t) => Some(t),
        Err(text) => {
            messages.push(Level::Error, &text);
            Theme::builtin("ansi16")
        }
    }
}

/// A theme by name: the person's file of that name, or a built-in one.
///
/// # Errors
/// A sentence, when there is none, or its file is wrong.
pub fn find_theme(name: &str) -> Result<Theme, String> {
    if let Ok(paths) = qd_config::Paths::from_env(&|k| std::env::var(k).ok()) {
        let file = paths.theme_dir().join(format!("{name}.toml"));
        if !name.contains('/')
            && let Ok(text) = std::fs::read_to_string(&file)
        {
            return Theme::parse(&text, &file.to_string_lossy()).map_err(|e| e.to_string());
        }
    }
    Theme::builtin(name).ok_or_else(|| {
        format!(
            "there is no theme \u{201c}{name}\u{201d}; there are {}",
            Theme::builtin_names().join(", ")
        )
    })
}

/// The names of all themes: the person's and the built-in ones.
pub(crate) fn theme_names() -> Vec<String> {
    let mut names: Vec<String> = Theme::builtin_names().iter().map(|n| (*n).to_owned()).collect();
    if let Ok(paths) = qd_config::Paths::from_env(&|k| std::env::var(k).ok()) {
        let files = std::fs::read_dir(paths.theme_dir()).into_iter().flatten().flatten();
        let own = files.filter_map(|f| f.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned));
        names.extend(own.filter(|n| Theme::builtin(n).is_none()));
    }
    names.sort();
    names
}

/// The layout of this name: a file of that path, one in the person's directory, or a built-in one.
pub(crate) fn find_layout(name: Option<&str>, dir: &Path) -> Result<(LayoutSpec, Vec<String>), String> {
    let name = name.unwrap_or("default");
    let candidates = [Path::new(name).to_owned(), dir.join(format!("{name}.kdl"))];
    for (i, file) in candidates.iter().enumerate() {
        if i == 0 && !name.contains('/') {
            continue;
        }
        let text = match std::fs::read_to_string(file) {
            Ok(t) => t,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(format!("the layout {} could not be read: {e}", file.display())),
        };
        return parse(&text, &file.to_string_lossy());
    }
    match qd_config::builtin_layout(name) {
        Some(text) => parse(text, name),
        None => Err(format!(
            "there is no layout \u{201c}{name}\u{201d} in {} and none built in",
            dir.display()
        )),
    }
}

fn parse(text: &str, file: &str) -> Result<(LayoutSpec, Vec<String>), String> {
    let loaded = qd_config::load_layout(text, file);
    match loaded.layout {
        Some(l) => Ok((l, loaded.diagnostics.iter().map(|d| d.render(text)).collect())),
        None => Err(loaded
            .diagnostics
            .iter()
            .map(|d| d.render(text))
            .collect::<Vec<_>>()
            .join("\n")),
    }
}

/// How terminals behave.
pub(crate) fn terminal_options(config: &Config) -> TerminalOptions {
    let on = config.copy_on_select.is_on();
    TerminalOptions {
        copy_on_select: if on { CopyOnSelect::Yes } else { CopyOnSelect::No },
    }
}

impl Session {
    /// Says what is wrong with a configuration.
    pub(crate) fn report_diagnostics(&mut self, loaded: &Loaded) {
        for d in &loaded.diagnostics {
            let level = if d.severity == Severity::Error {
                Level::Error
            } else {
                Level::Warn
            };
            self.say(level, d.render(&loaded.source).trim_end());
        }
    }

    /// Rereads the configuration when the file has changed.
    pub(crate) fn reload_if_changed(&mut self) {
        let now = stamp(&self.options.config_path);
        if now != self.config_stamp {
            self.config_stamp = now;
            self.reload();
        }
    }

    /// Rereads the configuration. What is wrong in it is said, and keeps its default.
    pub(crate) fn reload(&mut self) {
        let loaded = qd_config::load(&self.options.config_path);
        let frames = if loaded.config.pane_frames.is_on() {
            Frames::On
        } else {
            Frames::Off
        };
        self.report_diagnostics(&loaded);
        let well = loaded.diagnostics.is_empty();
        self.config = loaded.config;
        self.keymap = loaded.keymap;
        self.hints = self.config.hints;
        self.env.set_updates(self.config.update_environment.clone());
        let light = self.clients.values().find_map(|c| c.caps.light);
        if let Some(t) = theme_of(&self.config, light, &mut self.messages) {
            self.theme = t;
        }
        for c in self.clients.values_mut() {
            c.set_theme(&self.theme);
        }
        let options = terminal_options(&self.config);
        for s in self.slots.values_mut() {
            if let Some(t) = s.pane.terminal() {
                t.set_options(options);
            }
        }
        if frames != self.model.frames() {
            let effects = self.model.set_frames(frames);
            self.run_effects(effects);
        }
        if well {
            self.say(Level::Info, "the configuration was reread");
        }
        self.touch_all();
    }

    /// Says, once in a person's life, how to begin. It is a toast and not a question: whoever types on is not disturbed.
    pub(crate) fn greet_first_run(&mut self) {
        let marker = self.options.state_dir.join("greeted");
        if marker.exists() || self.options.config_path.exists() {
            return;
        }
        if let Err(e) = std::fs::create_dir_all(&self.options.state_dir).and_then(|()| std::fs::write(&marker, "")) {
            tracing::warn!("{} could not be written: {e}", marker.display());
        }
        if let Some(leader) = self.keymap.leader() {
            let text = format!("Welcome. {leader} opens the menu; {leader} K chooses another key for it.");
            self.toast(Level::Info, &text);
        }
    }

    /// Takes another leader: for this session, and for good where there is no configuration file to respect.
    pub(crate) fn choose_leader(&mut self, key: &str) {
        let Ok(chord) = key.parse() else { return };
        self.keymap.set_leader(Some(chord));
        self.config.leader = Some(chord);
        let path = self.options.config_path.clone();
        let line = format!("keybinds leader=\"{key}\" {{\n}}\n");
        let text = if path.exists() {
            format!(
                "{key} opens the menu in this session. To keep it: {} in {}",
                line.trim().replace('\n', " "),
                path.display()
            )
        } else {
            let made = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, line));
            self.config_stamp = stamp(&path);
            match made {
                Ok(()) => format!("{key} opens the menu, written to {}", path.display()),
                Err(e) => format!(
                    "{key} opens the menu in this session; {} could not be written: {e}",
                    path.display()
                ),
            }
        };
        self.say(Level::Info, &text);
        self.touch_all();
    }

    /// Draws with another theme from now on.
    pub(crate) fn set_theme(&mut self, name: &str) -> Result<(), String> {
        self.theme = find_theme(name)?;
        for c in self.clients.values_mut() {
            c.set_theme(&self.theme);
        }
        self.touch_all();
        Ok(())
    }
}
