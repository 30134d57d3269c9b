//! Knowing a file again: after a restart, under another name, as a copy, compressed.
//!
//! A file is (device, inode, time of birth) and what its content begins with; a position in it is only used where the
//! bytes right before it are those that were there. A copy of a file that is gone or was truncated (logrotate's
//! `copytruncate` and `compress`) is the same content at another place, and is read on from where the original was left.

use std::{
    fs::File,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    checkpoint::{Entry, Progress},
    content::{Kind, has_tail},
    mark::{HEAD, Mark},
    tail::Known,
};

/// Bytes of content a saved file must have been read for a copy of it to be known by them alone.
const ENOUGH: u64 = 256;

/// What was read of a generation that is no more.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) known: Known,
    /// When it ended, in nanoseconds since 1970: a copy was made before.
    pub(crate) died: i64,
    /// Whether it was deleted, rather than truncated: what is born the moment it died is a new file then.
    pub(crate) deleted: bool,
}

/// A file that was found and is not read yet.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) file: &'a File,
    pub(crate) entry: &'a Entry,
    pub(crate) kind: Kind,
    pub(crate) len: u64,
    pub(crate) head: &'a [u8],
}

/// What is to become of a file that was found.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Its content was not seen before.
    New,
    /// Its content was read up to here.
    Read { offset: u64, progress: Arc<Progress> },
    /// It looks like a copy that is still being made of a file that is still there.
    Wait,
}

fn same_place(a: &Entry, b: &Entry) -> bool {
    let same_birth = match (a.born, b.born) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    a.dev == b.dev && a.ino == b.ino && same_birth
}

/// Whether two heads may be of one content: one begins with the other.
fn alike(a: &[u8], b: &[u8]) -> bool {
    let n = a.len().min(b.len());
    n > 0 && a.get(..n) == b.get(..n)
}

impl Found<'_> {
    /// Whether this is the file of a saved position, and still has what was read.
    fn is_saved(&self, saved: &Entry) -> io::Result<bool> {
        Ok(same_place(self.entry, saved) && self.has_saved(saved)?)
    }

    fn has_saved(&self, saved: &Entry) -> io::Result<bool> {
        Ok(saved.head.begins(self.head) && has_tail(self.file, self.kind, saved.offset, saved.tail)?)
    }

    /// How far the content was read in `known`, if it is the same content as far as both go.
    fn read_in(&self, known: &Known) -> io::Result<Option<u64>> {
        if !alike(self.head, &known.head) {
            return Ok(None);
        }
        if self.kind == Kind::Gzip {
            return match known.marks.back() {
                Some((end, tail)) if has_tail(self.file, self.kind, *end, *tail)? => Ok(Some(*end)),
                _ => Ok(None),
            };
        }
        let end = known.sent.min(self.len);
        match known.marks.iter().rev().find(|(at, _)| *at <= end) {
            Some((at, tail)) => Ok(has_tail(self.file, self.kind, *at, *tail)?.then_some(end)),
            // Nothing is remembered of so early a place but the head.
            None => Ok((end <= HEAD as u64).then_some(end)),
        }
    }

    fn is_copy_of(&self, retired: &Retired) -> io::Result<Option<u64>> {
        let before = match self.entry.born {
            Some(born) if retired.deleted && self.kind != Kind::Gzip => born < retired.died,
            Some(born) => born <= retired.died,
            None => true,
        };
        if before { self.read_in(&retired.known) } else { Ok(None) }
    }
}

/// Looks a file up in what is remembered. `live` are the files being read, with whether a path still leads to each;
/// `quiet` is for how long this file has not changed.
pub(crate) fn recall<'a>(
    found: &Found<'_>,
    copies: bool,
    retired: &mut Vec<Retired>,
    saved: &mut Vec<Arc<Progress>>,
    live: impl Iterator<Item = (&'a Known, bool)>,
    patience: Option<Duration>,
    changed: Instant,
) -> io::Result<Verdict> {
    for i in (0..retired.len()).rev() {
        let Some(r) = retired.get(i) else { continue };
        let same = same_place(found.entry, &r.known.progress.entry());
        let read = if same {
            found.read_in(&r.known)?.filter(|end| *end == r.known.sent)
        } else if copies {
            found.is_copy_of(r)?
        } else {
            None
        };
        let Some(offset) = read else { continue };
        if offset < r.known.sent && patience.is_some_and(|p| changed.elapsed() < p) {
            return Ok(Verdict::Wait);
        }
        let progress = retired.remove(i).known.progress;
        return Ok(Verdict::Read { offset, progress });
    }
    for own_place in [true, false] {
        if !own_place && !copies {
            break;
        }
        for i in (0..saved.len()).rev() {
            let Some(entry) = saved.get(i).map(|p| p.entry()) else {
                continue;
            };
            let known = if own_place {
                found.is_saved(&entry)?
            } else {
                entry.offset >= ENOUGH && found.has_saved(&entry)?
            };
            if known {
                let progress = saved.remove(i);
                return Ok(Verdict::Read {
                    offset: entry.offset,
                    progress,
                });
            }
        }
    }
    if let Some(patience) = patience.filter(|_| copies) {
        for (known, has_path) in live {
            let waits = changed.elapsed() < patience || !has_path;
            if waits && known.sent > 0 && may_be_copy(found, known)? {
                return Ok(Verdict::Wait);
            }
        }
    }
    Ok(Verdict::New)
}

/// Whether a file may become a copy of one that is being read.
fn may_be_copy(found: &Found<'_>, known: &Known) -> io::Result<bool> {
    if !alike(found.head, &known.head) {
        return Ok(false);
    }
    if found.kind == Kind::Gzip {
        return Ok(true);
    }
    let place = known.marks.iter().rev().find(|(at, _): &&(u64, Mark)| *at <= found.len);
    match place {
        Some((at, tail)) => has_tail(found.file, found.kind, *at, *tail),
        None => Ok(true),
    }
}
