//! The journal of a replacement: a directory with the old text of every file, and a list of what was to become of them. It
//! is whole on disk before the first file changes, and so takes back whatever part of it was done.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::{ffi::OsStringExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::ReplaceError;

/// The list's name.
const LIST: &str = "journal.json";
/// Journals that are kept.
const KEPT: usize = 10;

/// A text by its length and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    len: u64,
    hash: u64,
}

impl Digest {
    pub(super) fn of(text: &[u8]) -> Self {
        Self {
            len: text.len() as u64,
            hash: seahash::hash(text),
        }
    }
}

/// What is to become of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its path, byte by byte.
    path: Vec<u8>,
    /// The path of the new text while it is written.
    beside: Vec<u8>,
    /// The file in the journal with the old text.
    pub(super) backup: String,
    pub(super) old: Digest,
    pub(super) new: Digest,
}

impl Entry {
    pub(super) fn new(path: &Path, beside: &Path, backup: String, old: Digest, new: Digest) -> Self {
        let bytes = |p: &Path| p.as_os_str().to_owned().into_vec();
        Self {
            path: bytes(path),
            beside: bytes(beside),
            backup,
            old,
            new,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        OsString::from_vec(self.path.clone()).into()
    }

    pub(super) fn beside(&self) -> PathBuf {
        OsString::from_vec(self.beside.clone()).into()
    }
}

/// A journal.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) dir: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// Writes a file such that it is whole or not there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut f = File::create(&beside)?;
    f.write_all(bytes)?;
    f.sync_all()?;
    fs::rename(&beside, path)
}

impl Journal {
    /// Begins one below `state`; the oldest beyond ten go.
    pub(super) fn begin(state: &Path) -> Result<Self, ReplaceError> {
        let all = state.join("replaced");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let dir = all.join(format!("{:020}-{}", since.as_nanos(), std::process::id()));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|error| ReplaceError::Journal {
            path: dir.clone(),
            error,
        })?;
        let old = list(&all);
        for gone in old.iter().rev().skip(KEPT) {
            let _ = fs::remove_dir_all(gone);
        }
        Ok(Self {
            dir,
            entries: Vec::new(),
        })
    }

    fn failed(&self, error: io::Error) -> ReplaceError {
        ReplaceError::Journal {
            path: self.dir.clone(),
            error,
        }
    }

    /// Keeps a file's old text.
    pub(super) fn keep(&self, name: &str, text: &[u8]) -> Result<(), ReplaceError> {
        let write = || {
            let mut f = File::create(self.dir.join(name))?;
            f.write_all(text)?;
            f.sync_all()
        };
        write().map_err(|e| self.failed(e))
    }

    /// Writes the list; from then on the journal counts.
    pub(super) fn seal(&self) -> Result<(), ReplaceError> {
        let write = || {
            let text = serde_json::to_vec(&self.entries).map_err(io::Error::other)?;
            write_whole(&self.dir.join(LIST), &text)?;
            File::open(&self.dir)?.sync_all()?;
            self.dir.parent().map_or(Ok(()), |p| File::open(p)?.sync_all())
        };
        write().map_err(|e| self.failed(e))
    }

    /// The newest one that counts.
    pub(super) fn newest(state: &Path) -> Result<Self, ReplaceError> {
        let dirs = list(&state.join("replaced"));
        let dir = dirs.into_iter().rev().find(|d| d.join(LIST).is_file());
        let dir = dir.ok_or(ReplaceError::NothingToUndo)?;
        let damaged = |why: String| ReplaceError::Damaged { path: dir.clone(), why };
        let text = fs::read(dir.join(LIST)).map_err(|e| damaged(e.to_string()))?;
        let entries = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { dir, entries })
    }

    /// A file's old text; an error when it is not what was kept.
    pub(super) fn old_text(&self, e: &Entry) -> io::Result<Vec<u8>> {
        // Only a plain name is below the directory.
        let name = Path::new(&e.backup).file_name().unwrap_or_default();
        let text = fs::read(self.dir.join(name))?;
        if Digest::of(&text) != e.old {
            return Err(io::Error::other("its old text in the journal is damaged"));
        }
        Ok(text)
    }

    /// Takes it away.
    pub(super) fn remove(self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The journals in a directory, the oldest first.
fn list(all: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = fs::read_dir(all)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_dir())
        .collect();
    dirs.sort();
    dirs
}
