//! Where files live: configuration, state, sockets. Reads the environment through a function so that tests need not touch
//! the process's own; creates nothing and checks no permission (the server does, when it opens its sockets).

use std::path::PathBuf;

/// The directory's name below each XDG base directory.
const NAME: &str = "quarterdeck";

/// The directories of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `$XDG_CONFIG_HOME/quarterdeck`: configuration, layouts, themes.
    pub config_dir: PathBuf,
    /// `$XDG_STATE_HOME/quarterdeck`: saved sessions, logs, histories.
    pub state_dir: PathBuf,
    /// `$XDG_RUNTIME_DIR/quarterdeck`, or `/tmp/quarterdeck-<uid>`: sockets. Must be 0700 and this user's.
    pub runtime_dir: PathBuf,
}

/// Why the directories are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// Neither the XDG variable nor `HOME` says.
    #[error(
        "cannot tell where {what} belongs: neither {variable} nor HOME is set to an absolute path; set one of them"
    )]
    NoHome {
        /// What was looked for: `configuration` or `state`.
        what: &'static str,
        /// The XDG variable that would say.
        variable: &'static str,
    },
}

impl Paths {
    /// Reads `XDG_CONFIG_HOME`, `XDG_STATE_HOME`, `XDG_RUNTIME_DIR` and `HOME` by `lookup`. As the XDG base directory
    /// specification asks, values that are empty or not absolute count as unset.
    ///
    /// # Errors
    /// When configuration or state have no place, see [`PathsError`].
    pub fn from_env(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, PathsError> {
        let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let below = |variable: &'static str, in_home: &str, what: &'static str| {
            absolute(variable)
                .or_else(|| absolute("HOME").map(|h| h.join(in_home)))
                .map(|base| base.join(NAME))
                .ok_or(PathsError::NoHome { what, variable })
        };
        let temporary = || PathBuf::from(format!("/tmp/{NAME}-{}", rustix::process::getuid().as_raw()));
        Ok(Self {
            config_dir: below("XDG_CONFIG_HOME", ".config", "configuration")?,
            state_dir: below("XDG_STATE_HOME", ".local/state", "state")?,
            runtime_dir: absolute("XDG_RUNTIME_DIR").map_or_else(temporary, |base| base.join(NAME)),
        })
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.kdl")
    }

    /// A person's own layouts, `<name>.kdl` each.
    #[must_use]
    pub fn layout_dir(&self) -> PathBuf {
        self.config_dir.join("layouts")
    }

    /// A person's own themes, `<name>.toml` each.
    #[must_use]
    pub fn theme_dir(&self) -> PathBuf {
        self.config_dir.join("themes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Paths, PathsError> {
        Paths::from_env(&|name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn xdg_variables_win_over_home() {
        let p = from(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ])
        .unwrap();
        assert_eq!(p.config_file(), PathBuf::from("/c/quarterdeck/config.kdl"));
        assert_eq!(p.state_dir, PathBuf::from("/h/.local/state/quarterdeck"));
        assert_eq!(p.runtime_dir, PathBuf::from("/run/user/7/quarterdeck"));
        assert_eq!(p.layout_dir(), PathBuf::from("/c/quarterdeck/layouts"));
        assert_eq!(p.theme_dir(), PathBuf::from("/c/quarterdeck/themes"));
    }

    #[test]
    fn relative_and_empty_values_count_as_unset() {
        let p = from(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "c"),
            ("XDG_STATE_HOME", ""),
            ("XDG_RUNTIME_DIR", "r"),
        ]);
        let p = p.unwrap();
        assert_eq!(p.config_dir, PathBuf::from("/h/.config/quarterdeck"));
        assert_eq!(p.state_dir, PathBuf::from("/h/.local/state/quarterdeck"));
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(p.runtime_dir, PathBuf::from(format!("/tmp/quarterdeck-{uid}")));
    }

    #[test]
    fn no_home_is_said_with_what_to_set() {
        let e = from(&[("XDG_CONFIG_HOME", "/c")]).unwrap_err();
        assert!(e.to_string().contains("XDG_STATE_HOME"), "{e}");
        assert!(from(&[("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")]).is_ok());
    }
}
