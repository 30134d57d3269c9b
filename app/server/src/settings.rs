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
        let file = paths.config_dir.join("themes").join(format!("{name}.toml"));
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
        if frames != self.model.frames() {
            let effects = self.model.set_frames(frames);
            self.run_effects(effects);
        }
        if well {
            self.say(Level::Info, "the configuration was reread");
        }
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
