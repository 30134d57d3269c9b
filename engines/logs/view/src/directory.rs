//! Directories that were opened: which of their files are logs, and those that appear later.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};
use crate::shared::Shared;
use crate::store::Identity;

/// How many files of a directory are opened, the newest first.
const MAX_FILES: usize = 128;
/// How often files with nothing in them are looked at.
const UNFILLED: Duration = Duration::from_secs(1);
/// How many times as long as a listing took the next one waits: a directory of very many files, where names change all the
/// time, takes a twentieth of a processor.
const REST: u32 = 20;

/// A directory that was opened.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// What was opened from here: what was closed again is not opened a second time.
    seen: HashSet<(PathBuf, Identity)>,
    /// When a name in it was last changed, as it was seen.
    changed: Option<SystemTime>,
    /// Files that have nothing in them yet: what they are will be seen when they have.
    unfilled: Vec<PathBuf>,
    /// When these are looked at next.
    unfilled_due: Instant,
    /// Before this, nothing is listed.
    rested: Instant,
    /// That there are more files than are opened was said.
    told: bool,
}

/// What a directory holds.
struct Listing {
    files: Vec<PathBuf>,
    unfilled: Vec<PathBuf>,
    more: bool,
}

/// The log files of a directory: by name, or text by its first bytes; sorted by name, at most 128, those that changed last.
pub(crate) fn log_files(path: &Path) -> Result<Vec<PathBuf>> {
    list(path).map(|listing| listing.files)
}

fn list(path: &Path) -> Result<Listing> {
    let wrong = |error| Error::Io {
        path: path.to_owned(),
        error,
    };
    let mut found = Vec::new();
    let mut unfilled = Vec::new();
    for item in std::fs::read_dir(path).map_err(wrong)? {
        let Ok(item) = item else { continue };
        let Ok(meta) = std::fs::metadata(item.path()) else {
            continue;
        };
        let name = item.file_name().to_string_lossy().into_owned();
        if !meta.is_file() || name.starts_with('.') {
            continue;
        }
        if meta.len() == 0 {
            if unfilled.len() < MAX_FILES {
                unfilled.push(item.path());
            }
            continue;
        }
        let named = name.ends_with(".log") || name.contains(".log.") || is_packed(&name);
        if named || is_text(&item.path()) {
            found.push((meta.modified().ok(), item.path()));
        }
    }
    found.sort_by_key(|item| std::cmp::Reverse(item.0));
    let more = found.len() > MAX_FILES;
    found.truncate(MAX_FILES);
    let mut files: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    files.sort();
    Ok(Listing { files, unfilled, more })
}

fn is_packed(name: &str) -> bool {
    name.ends_with(".gz") || name.ends_with(".zst")
}

fn is_text(path: &Path) -> bool {
    let mut head = [0; 512];
    let got = File::open(path).and_then(|mut f| f.read(&mut head)).unwrap_or(0);
    got > 0 && !head[..got].contains(&0)
}

/// A rotated file's name without what rotation put after it: `app.log` of `app.log.2.gz` and `app.log-20260501.zst`.
fn stem(name: &str) -> &str {
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if bare.len() == name.len() {
        return name;
    }
    bare.strip_suffix(['.', '-']).unwrap_or(name)
}

impl Directory {
    /// A directory whose log files have just been opened.
    pub(crate) fn new(path: PathBuf, files: &[PathBuf]) -> Directory {
        let with_identity = |file: &PathBuf| Some((file.clone(), identity(&std::fs::metadata(file).ok()?)));
        Directory {
            path,
            seen: files.iter().filter_map(with_identity).collect(),
            // Seen once more at first, for what came while it was opened.
            changed: None,
            unfilled: Vec::new(),
            unfilled_due: Instant::now(),
            rested: Instant::now(),
            told: false,
        }
    }

    /// Whether one of the files that had nothing in them has something now; asked once a second.
    fn is_filled(&mut self, now: Instant) -> bool {
        if self.unfilled.is_empty() || now < self.unfilled_due {
            return false;
        }
        self.unfilled_due = now + UNFILLED;
        let filled = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
        self.unfilled.iter().any(filled)
    }

    /// Opens what has appeared since the last look. It costs one `stat` as long as no name in the directory changes, and once a
    /// second one for each file that was empty.
    pub(crate) fn look(&mut self, view: &Arc<Shared>) {
        let now = Instant::now();
        if now < self.rested {
            return;
        }
        // One that is gone or cannot be read now may come back.
        let Ok(changed) = std::fs::metadata(&self.path).and_then(|meta| meta.modified()) else {
            return;
        };
        if self.changed == Some(changed) && !self.is_filled(now) {
            return;
        }
        let Ok(listing) = list(&self.path) else { return };
        self.rested = Instant::now() + now.elapsed() * REST;
        self.unfilled = listing.unfilled;
        // A change within the grain of the clock would not be seen: what was changed just now is looked at again.
        let settled = changed.elapsed().is_ok_and(|age| age.as_millis() > 100);
        self.changed = settled.then_some(changed);
        let sources = view.sources();
        let known: HashSet<Identity> = sources.iter().map(|s| s.identity()).collect();
        let names: HashSet<PathBuf> = sources.iter().filter_map(|s| s.path()).collect();
        let stems: HashSet<PathBuf> = names.iter().map(|path| stem_of(path)).collect();
        for path in listing.files {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            // A known file under another name was rotated; another file under a known name is the rotation's affair.
            let item = (path, identity(&meta));
            if known.contains(&item.1) || names.contains(&item.0) || self.seen.contains(&item) {
                continue;
            }
            let path = item.0.clone();
            self.seen.insert(item);
            // A packed file of a log that is followed holds lines that are here already.
            let packed = path.file_name().is_some_and(|name| is_packed(&name.to_string_lossy()));
            if packed && stems.contains(&stem_of(&path)) {
                continue;
            }
            if let Err(error) = view.add_path(&path, path.display().to_string())
                && let Some(first) = sources.first()
                && !std::mem::replace(&mut self.told, true)
            {
                first.note(format!("{} is not shown: {error}", path.display()));
            }
        }
        if listing.more
            && let Some(first) = sources.first()
            && !std::mem::replace(&mut self.told, true)
        {
            let path = self.path.display();
            first.note(format!(
                "of the files in {path}, the {MAX_FILES} that changed last are shown"
            ));
        }
    }
}

fn stem_of(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    path.with_file_name(stem(&name))
}

fn identity(meta: &Metadata) -> Identity {
    Identity {
        device: meta.dev(),
        inode: meta.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_taken_off_names() {
        for (name, bare) in [
            ("app.log", "app.log"),
            ("app.log.1", "app.log"),
            ("app.log.12.gz", "app.log"),
            ("app.log-20260501.zst", "app.log"),
            ("app.log.gz", "app.log"),
            ("web2", "web2"),
            ("2026", "2026"),
        ] {
            assert_eq!(stem(name), bare, "{name}");
        }
    }
}
