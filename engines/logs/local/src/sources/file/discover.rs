//! Finding files: what a path leads to, and from where it is read.

use std::{
    collections::HashSet,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use qd_core::Severity;
use qd_logs_model::Closed;

use super::{
    checkpoint::{Entry, Progress},
    content::{Gzip, Kind, Opened, head, kind, read_full},
    recall::{Found, Retired, Verdict, recall},
    server::{Id, Server},
    tail::Tail,
};

/// How long a file that looks like a copy in the making must not change before it is a file of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that was found, opened, and not yet known to be new or old.
#[derive(Debug)]
pub(crate) struct Candidate {
    opened: Opened,
    path: PathBuf,
    entry: Entry,
    len: u64,
    changed: Instant,
    /// It was said that it has too few lines.
    said: bool,
    /// No path leads to it any more.
    lost: bool,
}

fn id(meta: &Metadata) -> Id {
    (meta.dev(), meta.ino())
}

fn state(meta: &Metadata) -> (u64, i64, i64) {
    (meta.size(), meta.ctime(), meta.ctime_nsec())
}

impl Server {
    /// Looks for files everywhere.
    pub(super) fn search(&mut self, startup: bool) -> Result<(), Closed> {
        self.seen = HashSet::new();
        self.crowded = false;
        let metrics = &self.metrics;
        let paths = self.plan.finder.walk(|path, e| {
            let text = format!("cannot list {}: {e}", path.display());
            metrics.error("globbing", "reader_failed", path, text);
        });
        if let Some(notify) = &mut self.notify {
            for root in self.plan.finder.roots() {
                notify.watch(&root);
            }
        }
        for path in &paths {
            self.consider(path, startup)?;
        }
        if startup {
            // The oldest are read first, as far as their turns go.
            let mut ids: Vec<Id> = self.candidates.keys().copied().collect();
            ids.sort_by_key(|id| self.candidates.get(id).map(|c| (c.entry.born, c.path.clone())));
            for id in ids {
                self.judge(id, true)?;
            }
            self.find_moved()?;
        } else {
            self.judge_all()?;
        }
        let seen = std::mem::take(&mut self.seen);
        let now = Instant::now();
        let mut woken = Vec::new();
        for (id, tail) in &mut self.tails {
            if !seen.contains(id) {
                tail.lost_since.get_or_insert(now);
            }
            if tail.look().unwrap_or(true) {
                woken.push(*id);
            }
        }
        for id in woken {
            self.enqueue(id);
        }
        let lost: Vec<Id> = self
            .candidates
            .keys()
            .filter(|id| !seen.contains(id))
            .copied()
            .collect();
        for id in lost {
            if let Some(c) = self.candidates.get_mut(&id) {
                c.lost = true;
            }
            self.judge(id, false)?;
        }
        self.put_off.retain(|id, _| seen.contains(id));
        Ok(())
    }

    /// A path of ours: a file to begin with, or one that is read already.
    pub(super) fn consider(&mut self, path: &Path, startup: bool) -> Result<(), Closed> {
        let meta = match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return Ok(()),
            Err(e) => {
                self.cannot(path, &e);
                return Ok(());
            }
        };
        let id = id(&meta);
        if self.seen.contains(&id) && self.paths.get(path) != Some(&id) {
            return Ok(());
        }
        self.seen.insert(id);
        if let Some(dir) = path.parent()
            && let Some(notify) = &mut self.notify
        {
            notify.watch(dir);
            if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
                if self.paths.get(path) != Some(&id) {
                    notify.forget(path);
                }
                notify.watch(path);
            }
        }
        if let Some(tail) = self.tails.get_mut(&id) {
            tail.lost_since = None;
            let old = tail.path.clone();
            if old != path && std::fs::metadata(&old).map(|m| self::id(&m)).ok() != Some(id) {
                let origin = self.origin(path);
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.renamed(path, origin);
                }
                if self.paths.get(&old) == Some(&id) {
                    self.paths.remove(&old);
                }
                self.paths.insert(path.to_owned(), id);
                self.store.touch();
            } else if old == path {
                self.paths.insert(old, id);
            }
            if self.tails.get_mut(&id).is_some_and(|t| t.look().unwrap_or(true)) {
                self.enqueue(id);
            }
            return Ok(());
        }
        if let Some(c) = self.candidates.get_mut(&id) {
            c.lost = false;
            c.path = path.to_owned();
            self.paths.insert(path.to_owned(), id);
            return self.judge(id, startup);
        }
        if self.put_off.get(&id) == Some(&state(&meta)) {
            return Ok(());
        }
        if self.open(path, false) && !startup {
            self.judge(id, false)?;
        }
        Ok(())
    }

    /// A file that had a name of ours was moved to where no glob finds it.
    pub(super) fn consider_moved(&mut self, path: &Path) -> Result<(), Closed> {
        let Ok(meta) = std::fs::metadata(path) else {
            return Ok(());
        };
        let id = id(&meta);
        if !meta.is_file() || self.tails.contains_key(&id) {
            return Ok(());
        }
        if let Some(c) = self.candidates.get_mut(&id) {
            c.lost = true;
        } else if !self.open(path, true) {
            return Ok(());
        }
        self.judge(id, false)
    }

    /// Files that were rotated out of the globs while nobody read: their rest is still to be read.
    fn find_moved(&mut self) -> Result<(), Closed> {
        let entries: Vec<Entry> = self.saved.iter().map(|p| p.entry()).collect();
        let mut looked: HashSet<PathBuf> = HashSet::new();
        for entry in entries.iter().rev() {
            if !self.plan.finder.matches(&entry.path) {
                continue;
            }
            let Some(dir) = entry.path.parent().filter(|d| looked.insert(d.to_path_buf())) else {
                continue;
            };
            let Ok(listing) = std::fs::read_dir(dir) else { continue };
            for found in listing.flatten() {
                let Ok(meta) = found.metadata() else { continue };
                let wanted =
                    |e: &Entry| (e.dev, e.ino) == id(&meta) && meta.len() > e.offset && e.path.parent() == Some(dir);
                let open = self.tails.contains_key(&id(&meta)) || self.candidates.contains_key(&id(&meta));
                if meta.is_file() && !open && entries.iter().any(wanted) && self.open(&found.path(), true) {
                    self.judge(id(&meta), false)?;
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, path: &Path, lost: bool) -> bool {
        if !self.share.has_room(self.tails.len() + self.candidates.len()) && !self.put_off_one() {
            self.crowded = true;
            if !std::mem::replace(&mut self.share.said, true) {
                let text = "there are more files than may be open at once (half of the descriptors): they take turns";
                self.metrics.say(Severity::Warn, text.to_owned(), path);
            }
            return false;
        }
        let opened = match Opened::open(path) {
            Ok(Some(opened)) => opened,
            Ok(None) => return false,
            Err(e) if matches!(e.raw_os_error(), Some(EMFILE | ENFILE)) && self.put_off_one() => {
                match Opened::open(path) {
                    Ok(Some(opened)) => opened,
                    Ok(None) => return false,
                    Err(e) => {
                        self.cannot(path, &e);
                        return false;
                    }
                }
            }
            Err(e) => {
                self.cannot(path, &e);
                return false;
            }
        };
        self.failing.remove(path);
        let entry = opened.entry(path);
        let id = (entry.dev, entry.ino);
        if self.tails.contains_key(&id) {
            return false;
        }
        self.put_off.remove(&id);
        self.paths.insert(path.to_owned(), id);
        self.candidates.insert(
            id,
            Candidate {
                len: opened.meta.len(),
                opened,
                path: path.to_owned(),
                entry,
                changed: Instant::now(),
                said: false,
                lost,
            },
        );
        true
    }

    fn cannot(&mut self, path: &Path, e: &io::Error) {
        if e.kind() == io::ErrorKind::NotFound && self.plan.ignore_not_found {
            return;
        }
        // Said once, until it can be opened again.
        if self.failing.len() < 10_000 && self.failing.insert(path.to_owned()) {
            let text = format!("cannot open {}: {e}", path.display());
            self.metrics.error("watching", "command_failed", path, text);
        }
    }

    /// Closes the file that was quiet longest, for want of descriptors; it is opened again when it changes.
    fn put_off_one(&mut self) -> bool {
        let quiet = self
            .tails
            .iter()
            .filter(|(_, t)| {
                !t.ready && !t.has_partial() && t.group.is_none() && t.lost_since.is_none() && !t.is_gzip()
            })
            .min_by_key(|(_, t)| t.last_data)
            .map(|(id, _)| *id);
        let Some(tail) = quiet.and_then(|id| self.tails.remove(&id)) else {
            return false;
        };
        let id = (tail.dev, tail.ino);
        if let Ok(meta) = std::fs::metadata(&tail.path)
            && self::id(&meta) == id
            && meta.len() == tail.position()
        {
            self.put_off.insert(id, state(&meta));
        }
        self.closed(id, &tail);
        self.retire(Retired {
            known: tail.known,
            died: i64::MIN,
            deleted: true,
        });
        true
    }

    /// Judges every file that waits.
    pub(super) fn judge_all(&mut self) -> Result<(), Closed> {
        let ids: Vec<Id> = self.candidates.keys().copied().collect();
        for id in ids {
            self.judge(id, false)?;
        }
        Ok(())
    }

    /// Decides whether a file is read now, and from where.
    pub(super) fn judge(&mut self, id: Id, startup: bool) -> Result<(), Closed> {
        let Some(mut c) = self.candidates.remove(&id) else {
            return Ok(());
        };
        match self.start(&mut c, startup) {
            Ok(Some((offset, progress))) => {
                let resumed = progress.is_some();
                let progress = progress.unwrap_or_else(|| {
                    let p = Progress::new(Entry {
                        offset,
                        ..c.entry.clone()
                    });
                    self.store.add(p.clone());
                    p
                });
                let origin = self.origin(&c.path);
                match Tail::new(c.opened, &c.path, offset, progress, origin) {
                    Ok(mut tail) => {
                        if offset > 0 && !resumed {
                            let (at, mark) = tail.known.marks.back().copied().unwrap_or_default();
                            tail.known.progress.update(|e| (e.offset, e.tail) = (at, mark));
                        }
                        if c.lost {
                            tail.lost_since = Some(Instant::now());
                        }
                        if resumed {
                            self.metrics.resumed(&c.path, offset);
                        } else {
                            self.metrics.added(&c.path);
                        }
                        self.follow(tail);
                        self.store.touch();
                    }
                    Err(e) => self.cannot(&c.path, &e),
                }
            }
            Ok(None) if c.lost && c.len == 0 => self.drop_path(id, &c.path),
            Ok(None) => {
                self.candidates.insert(id, c);
            }
            Err(e) => {
                self.cannot(&c.path, &e);
                self.drop_path(id, &c.path);
            }
        }
        Ok(())
    }

    fn drop_path(&mut self, id: Id, path: &Path) {
        if self.paths.get(path) == Some(&id) {
            self.paths.remove(path);
        }
    }

    /// From where a file is to be read, and the position it continues; `None` to wait.
    fn start(
        &mut self,
        c: &mut Candidate,
        startup: bool,
    ) -> io::Result<Option<(u64, Option<std::sync::Arc<Progress>>)>> {
        let meta = c.opened.file.metadata()?;
        if meta.len() != c.len {
            (c.len, c.changed) = (meta.len(), Instant::now());
        }
        c.opened.meta = meta;
        let file = &c.opened.file;
        let kind = kind(file)?;
        if c.len == 0 && c.lost {
            return Ok(None);
        }
        if kind == Kind::Unknown && !c.lost && self.plan.checksum.is_some() {
            self.small(c);
            return Ok(None);
        }
        if !self.has_lines(c, kind)? && !c.lost {
            self.small(c);
            return Ok(None);
        }
        let head = head(&c.opened.file, kind)?;
        let found = Found {
            file: &c.opened.file,
            entry: &c.entry,
            kind,
            len: c.len,
            head: &head,
        };
        let live = self.tails.values().map(|t| (&t.known, t.lost_since.is_none()));
        let patience = (!startup && !c.lost).then_some(PATIENCE);
        let copies = self.plan.checksum.is_some();
        let verdict = recall(
            &found,
            copies,
            &mut self.retired,
            &mut self.saved,
            live,
            patience,
            c.changed,
        )?;
        let too_old = self
            .plan
            .ignore_before
            .is_some_and(|before| c.opened.meta.modified().is_ok_and(|m| m < before));
        let at_end = too_old || (startup && self.plan.from_end && matches!(verdict, Verdict::New));
        if at_end {
            // The end of compressed content is not known without reading it, and it will not grow.
            let end = if kind == Kind::Gzip {
                Gzip::new(&c.opened.file).map(|_| None)?
            } else {
                Some(c.len)
            };
            let Some(end) = end else {
                self.put_off.insert((c.entry.dev, c.entry.ino), state(&c.opened.meta));
                return Err(io::Error::other(
                    "compressed files are only read from their beginning; this one is left out",
                ));
            };
            let progress = match verdict {
                Verdict::Read { progress, offset } if offset <= end => Some(progress),
                _ => None,
            };
            if let Some(p) = &progress {
                p.delivered(0, end, super::mark::Mark::default());
            }
            return Ok(Some((end, progress)));
        }
        Ok(match verdict {
            Verdict::New => Some((0, None)),
            Verdict::Read { offset, progress } => Some((offset, Some(progress))),
            Verdict::Wait => None,
        })
    }

    fn small(&self, c: &mut Candidate) {
        if !std::mem::replace(&mut c.said, true) {
            self.metrics.too_small(&c.path);
        }
    }

    /// Whether the file has the lines it must have to be told apart.
    fn has_lines(&self, c: &Candidate, kind: Kind) -> io::Result<bool> {
        let Some((lines, skip)) = self.plan.checksum.filter(|(lines, skip)| *lines > 1 || *skip > 0) else {
            return Ok(true);
        };
        let most = self.plan.reading.max_line;
        let mut bytes = Vec::new();
        if kind == Kind::Gzip {
            Gzip::new(&c.opened.file)?.read(skip + most, &mut bytes)?;
        } else {
            let want = usize::try_from(c.len).unwrap_or(usize::MAX).min(skip + most);
            bytes.resize(want, 0);
            let n = read_full(&c.opened.file, &mut bytes, 0)?;
            bytes.truncate(n);
        }
        let content = bytes.get(skip..).unwrap_or_default();
        let mut found = 0;
        self.plan.reading.delimiter.each(content, 0, skip as u64, |_| {
            found += 1;
            std::ops::ControlFlow::Continue(())
        });
        Ok(found >= lines || content.len() >= most)
    }
}

/// Too many open files in this process, and in the system (errno(3)).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
