//! What has changed since an index was brought up to date: asked of the watcher, or found out by looking at every file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::segment::Entry;
use crate::store::Index;
use crate::tree;
use crate::wanted::Wanted;

/// File systems whose files change by way of memory maps without their times telling.
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58F6];

/// What an index does not know about.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Changes {
    /// Files that may be others than those that were indexed, or were not indexed.
    pub(crate) dirty: Vec<Vec<u8>>,
    /// Files and directories that are not there any more. What is dirty in them is there again.
    pub(crate) gone: Vec<Vec<u8>>,
}

/// A question to the watcher that was asked.
pub(crate) type Asked = Option<crate::client::Pending>;

/// Asks the watcher, if there is one.
pub(crate) fn ask(index: &Index) -> Asked {
    crate::client::ask(&index.place, index.manifest.generation)
}

/// What has changed in the directory `dir`. The inner error says why that cannot be known.
pub(crate) fn changes(
    index: &Index,
    dir: &[u8],
    asked: Asked,
    wanted: Wanted<'_>,
) -> Result<Result<Changes, &'static str>, Error> {
    let told = asked.and_then(|pending| pending.answer(wanted));
    wanted.check()?;
    if let Some(changes) = told {
        return Ok(changes);
    }
    let root = &index.place.root;
    let system = rustix::fs::statfs(root).map_err(crate::error::at(root, "cannot be looked at"))?;
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    if MEMORY_FILE_SYSTEMS.contains(&(system.f_type as u64)) {
        return Ok(Err("nobody watches, and files in memory change without a trace"));
    }
    sweep(index, dir, wanted)
}

/// Looks at every file in the directory `dir`. The inner error says why that cannot be done.
pub(crate) fn sweep(index: &Index, dir: &[u8], wanted: Wanted<'_>) -> Result<Result<Changes, &'static str>, Error> {
    let place = &index.place;
    let tree = tree::gather(&place.root, dir, index.manifest.device, place.own.as_deref(), wanted)?;
    if !tree.trouble.is_empty() {
        return Ok(Err("a directory in the tree cannot be read"));
    }
    let entries = index.entries_in_segments(wanted)?;
    let entries = entries.iter().map(|e| &e.2).filter(|e| tree::is_in(&e.path, dir));
    compare(entries, &tree.files, wanted).map(Ok)
}

/// What of `files` is not what `entries` say.
pub(crate) fn compare<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    files: &[(Vec<u8>, crate::stamp::Stamp)],
    wanted: Wanted<'_>,
) -> Result<Changes, Error> {
    let mut known: HashMap<&[u8], &Entry> = HashMap::with_capacity(files.len());
    for (number, entry) in entries.enumerate() {
        if number.is_multiple_of(1024) {
            wanted.check()?;
        }
        known.insert(&entry.path, entry);
    }
    let mut changes = Changes::default();
    for (number, (path, stamp)) in files.iter().enumerate() {
        if number.is_multiple_of(1024) {
            wanted.check()?;
        }
        let same = known.remove(&path[..]).is_some_and(|e| e.stamp == *stamp && !e.unsure);
        if !same {
            changes.dirty.push(path.clone());
        }
    }
    changes.gone = known.into_keys().map(<[u8]>::to_vec).collect();
    Ok(changes)
}
