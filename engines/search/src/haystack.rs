//! One thing to search: a file that the walk came across, or one that was named.

use std::path::Path;

use ignore::DirEntry;

use crate::report::Report;

/// A file, or standard input, that is to be searched.
#[derive(Debug)]
pub(crate) struct Haystack {
    entry: DirEntry,
    strip: bool,
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
        let haystack = Haystack { entry, strip };
        // What was named is searched whatever it is. Of the rest only files: a link is followed by the walk or not at all.
        if haystack.is_named() || haystack.entry.file_type().is_some_and(|t| t.is_file()) {
            return Some(haystack);
        }
        if !haystack.is_dir() {
            log::debug!(
                "ignoring {}: it is not a file but {:?}",
                haystack.entry.path().display(),
                haystack.entry.file_type()
            );
        }
        None
    }

    /// The path, as it is shown.
    pub(crate) fn path(&self) -> &Path {
        let path = self.entry.path();
        if self.strip {
            path.strip_prefix("./").unwrap_or(path)
        } else {
            path
        }
    }

    /// Whether this is standard input.
    pub(crate) fn is_stdin(&self) -> bool {
        self.entry.is_stdin()
    }

    /// Whether a person named this very file.
    pub(crate) fn is_named(&self) -> bool {
        self.is_stdin() || (self.entry.depth() == 0 && !self.is_dir())
    }

    fn is_dir(&self) -> bool {
        match self.entry.file_type() {
            None => false,
            Some(kind) if kind.is_dir() => true,
            Some(_) => self.entry.path_is_symlink() && self.entry.path().is_dir(),
        }
    }
}
