//! Which files are to be read.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use qd_logs_model::BuildError;

use super::config::FileConfig;

/// A path alone must match as the walk over the directories would have found it.
const ALONE: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The globs of a configuration.
#[derive(Debug)]
pub(crate) struct Finder {
    include: Vec<(String, Pattern)>,
    exclude: Vec<Pattern>,
}

impl Finder {
    pub(crate) fn new(config: &FileConfig) -> Result<Finder, BuildError> {
        if config.include.is_empty() {
            return Err(BuildError::of(
                "include",
                "`include` must name at least one file or pattern",
            ));
        }
        let compile = |key: &str, path: &PathBuf| {
            let text = path
                .to_str()
                .ok_or_else(|| BuildError::of(key, format!("{} is not UTF-8", path.display())))?;
            let pattern =
                Pattern::new(text).map_err(|e| BuildError::of(key, format!("`{text}` is no pattern of paths: {e}")))?;
            Ok((text.to_owned(), pattern))
        };
        Ok(Finder {
            include: config
                .include
                .iter()
                .map(|p| compile("include", p))
                .collect::<Result<_, _>>()?,
            exclude: config
                .exclude
                .iter()
                .map(|p| compile("exclude", p).map(|(_, p)| p))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Every path that is to be read now. Directories that can't be listed are told to `failed`.
    pub(crate) fn walk(&self, mut failed: impl FnMut(&Path, &std::io::Error)) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (text, _) in &self.include {
            let Ok(paths) = glob::glob_with(text, MatchOptions::default()) else {
                continue;
            };
            for path in paths {
                match path {
                    Ok(path) if self.excluded(&path) => {}
                    Ok(path) => found.push(path),
                    Err(e) => failed(e.path(), e.error()),
                }
            }
        }
        found
    }

    fn excluded(&self, path: &Path) -> bool {
        self.exclude.iter().any(|p| p.matches_path(path))
    }

    /// Whether this path is to be read.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        self.include.iter().any(|(_, p)| p.matches_path_with(path, ALONE)) && !self.excluded(path)
    }

    /// The directories that patterns begin with.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        self.include
            .iter()
            .map(|(text, _)| {
                let mut root = PathBuf::new();
                let mut parts = Path::new(text).components().peekable();
                while let Some(part) = parts.next() {
                    let wild = matches!(part, Component::Normal(p) if p.to_string_lossy().contains(['*', '?', '[']));
                    if wild || parts.peek().is_none() {
                        break;
                    }
                    root.push(part);
                }
                root
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder(include: &[&str], exclude: &[&str]) -> Finder {
        let all = |paths: &[&str]| {
            paths
                .iter()
                .map(|p| {
                    let p = Pattern::new(p).expect("a pattern");
                    (p.as_str().to_owned(), p)
                })
                .collect::<Vec<_>>()
        };
        Finder {
            include: all(include),
            exclude: all(exclude).into_iter().map(|(_, p)| p).collect(),
        }
    }

    #[test]
    fn one_path_matches_as_the_walk_finds_it() {
        let f = finder(&["/var/log/*.log", "/srv/**/app.log"], &["/var/log/b*"]);
        for (path, yes) in [
            ("/var/log/a.log", true),
            ("/var/log/x/a.log", false),
            ("/var/log/b.log", false),
            ("/srv/app.log", true),
            ("/srv/a/b/app.log", true),
        ] {
            assert_eq!(f.matches(Path::new(path)), yes, "{path}");
        }
        assert_eq!(f.roots(), [PathBuf::from("/var/log"), PathBuf::from("/srv")]);
    }
}
