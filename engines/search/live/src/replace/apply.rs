//! Carrying a plan out, and taking it back.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    FilePlan, Plan, ReplaceError, Report, Stamp, attributes,
    journal::{Digest, Entry, Journal},
};
use crate::files::open_regular;

/// Where journals are kept, and what is done with them.
#[derive(Debug, Clone)]
pub struct Work {
    state: PathBuf,
}

/// A file as it is now.
struct Now {
    file: File,
    meta: fs::Metadata,
    text: Vec<u8>,
}

impl Now {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = open_regular(path)?;
        let meta = file.metadata()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Self { file, meta, text })
    }

    /// Puts another text in its place: written beside it, synced, given what belongs to it, renamed.
    fn replace(&self, path: &Path, beside: &Path, text: &[u8]) -> io::Result<()> {
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside)?;
        let done = (|| {
            new.write_all(text)?;
            attributes::keep(&self.file, &self.meta, &new)?;
            new.sync_all()?;
            // The last look before it is done.
            if Stamp::of(&fs::symlink_metadata(path)?) != Stamp::of(&self.meta) {
                return Err(changed());
            }
            fs::rename(beside, path)
        })();
        if done.is_err() {
            let _ = fs::remove_file(beside);
        }
        done
    }
}

fn changed() -> io::Error {
    io::Error::other("it has changed since the preview")
}

/// The path of a file's new text while it is written.
fn beside(path: &Path, n: usize) -> PathBuf {
    path.with_file_name(format!(".qd-replace-{}-{n}", std::process::id()))
}

/// Makes renames last.
fn sync_dirs(dirs: BTreeSet<PathBuf>) {
    for d in dirs {
        // A directory that cannot be synced is as whole as it was before.
        let _ = File::open(d).and_then(|d| d.sync_all());
    }
}

impl Work {
    /// Journals are kept below this directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    /// Replaces what is planned but for the hunks in `off` (a file's place in the plan, the hunk's place in the file). A
    /// file that has changed since the plan was made is left as it is, as is one with several names, and told.
    ///
    /// # Errors
    /// When the journal cannot be written; nothing is changed then.
    pub fn apply(&self, plan: &Plan, off: &BTreeSet<(u32, u32)>) -> Result<Report, ReplaceError> {
        let mut report = Report::default();
        let mut journal = Journal::begin(&self.state)?;
        let mut wanted: Vec<(usize, &FilePlan)> = Vec::new();
        for (i, file) in plan.files.iter().enumerate() {
            let on = |h: usize| is_on(off, i, h);
            if !(0..file.hunks.len()).any(on) {
                continue;
            }
            match self.prepare(&journal, file, journal.entries.len(), on) {
                Ok(Ok(entry)) => {
                    journal.entries.push(entry);
                    wanted.push((i, file));
                }
                Ok(Err(why)) => report.refused.push((file.path.clone(), why.to_string())),
                Err(e) => {
                    journal.remove();
                    return Err(e);
                }
            }
        }
        if journal.entries.is_empty() {
            journal.remove();
            return Ok(report);
        }
        journal.seal()?;
        let mut dirs = BTreeSet::new();
        for ((i, file), entry) in wanted.into_iter().zip(&journal.entries) {
            let done = (|| {
                let now = Now::read(&file.path)?;
                if Stamp::of(&now.meta) != file.stamp {
                    return Err(changed());
                }
                let new = file.changed(&now.text, |h| is_on(off, i, h)).ok_or_else(changed)?;
                now.replace(&file.path, &entry.beside(), &new)
            })();
            match done {
                Ok(()) => {
                    dirs.extend(file.path.parent().map(Path::to_owned));
                    report.done.push(file.path.clone());
                }
                Err(e) => report.refused.push((file.path.clone(), e.to_string())),
            }
        }
        sync_dirs(dirs);
        if report.done.is_empty() {
            journal.remove();
        }
        Ok(report)
    }

    /// Keeps the old text of a file, if it can be replaced at all.
    fn prepare(
        &self,
        journal: &Journal,
        file: &FilePlan,
        n: usize,
        on: impl Fn(usize) -> bool,
    ) -> Result<io::Result<Entry>, ReplaceError> {
        let now = match Now::read(&file.path) {
            Ok(n) => n,
            Err(e) => return Ok(Err(e)),
        };
        if Stamp::of(&now.meta) != file.stamp {
            return Ok(Err(changed()));
        }
        if now.meta.nlink() > 1 {
            let why = format!("it has {} names, which would no longer be one file", now.meta.nlink());
            return Ok(Err(io::Error::other(why)));
        }
        let Some(new) = file.changed(&now.text, on) else {
            return Ok(Err(changed()));
        };
        let name = format!("{n}.old");
        journal.keep(&name, &now.text)?;
        let (old, new) = (Digest::of(&now.text), Digest::of(&new));
        Ok(Ok(Entry::new(&file.path, &beside(&file.path, n), name, old, new)))
    }

    /// Takes the newest replacement back, whatever part of it was done. A file that was changed since is left as it is, told,
    /// and stays in the journal.
    ///
    /// # Errors
    /// When there is none, or its journal cannot be read.
    pub fn undo(&self) -> Result<Report, ReplaceError> {
        let mut journal = Journal::newest(&self.state)?;
        let mut report = Report::default();
        let (mut dirs, mut left) = (BTreeSet::new(), Vec::new());
        for entry in journal.entries.iter().rev() {
            let path = entry.path();
            // What a process that was killed left behind.
            let _ = fs::remove_file(entry.beside());
            let done = (|| {
                let now = Now::read(&path)?;
                let is = Digest::of(&now.text);
                if is == entry.old {
                    return Ok(false);
                }
                if is != entry.new {
                    return Err(io::Error::other("it was changed after the replacement"));
                }
                let old = journal.old_text(entry)?;
                now.replace(&path, &entry.beside(), &old)?;
                Ok(true)
            })();
            match done {
                Ok(true) => {
                    dirs.extend(path.parent().map(Path::to_owned));
                    report.done.push(path);
                }
                Ok(false) => {}
                Err(e) => {
                    report.refused.push((path, e.to_string()));
                    left.push(entry.clone());
                }
            }
        }
        sync_dirs(dirs);
        if left.is_empty() {
            journal.remove();
        } else {
            journal.entries = left;
            journal.seal()?;
        }
        Ok(report)
    }
}

fn is_on(off: &BTreeSet<(u32, u32)>, file: usize, hunk: usize) -> bool {
    match (u32::try_from(file), u32::try_from(hunk)) {
        (Ok(f), Ok(h)) => !off.contains(&(f, h)),
        _ => false,
    }
}
