//! One thing to search: a file that the walk came across, or one that was named.

use std::path::{Path, PathBuf};

use ignore::DirEntry;

use crate::report::Report;

/// A file, or standard input, that is to be searched.
#[derive(Debug)]
pub(crate) struct Haystack {
    path: PathBuf,
    strip: bool,
    stdin: bool,
    named: bool,
}

impl Haystack {
    /// What the walk found, if it is to be searched. Errors of the walk are said here. With `strip`, the path is shown
    /// without the `./` that the walk began with.
    pub(crate) fn found(result: Result<DirEntry, ignore::Error>, strip: bool, report: &Report) -> Option<Haystack> {
        let entry = match result {
            Ok(entry) => entry,
            Err(error) => {
                report.error(error);
                return None;
            }
        };
        if let Some(error) = entry.error() {
            report.ignore_rule(error);
        }
        let stdin = entry.is_stdin();
        let named = stdin || (entry.depth() == 0 && !is_dir(&entry));
        // What was named is searched whatever it is. Of the rest only files: a link is followed by the walk or not at all.
        if named || entry.file_type().is_some_and(|t| t.is_file()) {
            return Some(Haystack {
                path: entry.into_path(),
                strip,
                stdin,
                named,
            });
        }
        if !is_dir(&entry) {
            log::debug!(
                "ignoring {}: it is not a file but {:?}",
                entry.path().display(),
                entry.file_type()
            );
        }
        None
    }

    /// A file that a walk would have found. `strip` is as in [`Haystack::found`].
    pub(crate) fn known(path: PathBuf, strip: bool) -> Haystack {
        Haystack {
            path,
            strip,
            stdin: false,
            named: false,
        }
    }

    /// The path, as it is shown.
    pub(crate) fn path(&self) -> &Path {
        if self.strip {
            self.path.strip_prefix("./").unwrap_or(&self.path)
        } else {
            &self.path
        }
    }

    /// Whether this is standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.stdin
    }

    /// Whether a person named this very file.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }
}

fn is_dir(entry: &DirEntry) -> bool {
    match entry.file_type() {
        None => false,
        Some(kind) if kind.is_dir() => true,
        Some(_) => entry.path_is_symlink() && entry.path().is_dir(),
    }
}
