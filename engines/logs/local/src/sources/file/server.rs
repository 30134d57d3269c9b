//! The thread that reads: finds files, gives each its turn, and sends what it read.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};

use chrono::Utc;
use qd_core::Severity;
use qd_logs_model::{Batch, Closed, Finalizers, Lines, LogBatch, Origin, Shutdown, SourceOut, Value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vrl::path::OwnedValuePath;

use super::{
    checkpoint::{Progress, Store},
    discover::Candidate,
    finder::Finder,
    metrics::{Metrics, empty_event_size},
    notify::{Note, Notify},
    recall::Retired,
    share::Share,
    tail::{Known, Piece, Reading, Status, Tail},
};

/// Bytes of a turn when only one file has more to read.
const WHOLE_TURN: usize = 256 * 1024;
/// Bytes of a turn when several have.
const SHARED_TURN: usize = 64 * 1024;
/// Bytes of a turn when the configuration says less: lines are taken of them as far as it allows.
const SMALL_TURN: usize = 4 * 1024;
/// How long a file that no path leads to must be quiet before it is let go: its writer may not know yet.
const GRACE: Duration = Duration::from_secs(2);
/// The least time between two rounds of reading while little comes, so that a line is not a batch.
const COALESCE: Duration = Duration::from_millis(10);
/// The time between two looks at timeouts.
const TICK: Duration = Duration::from_millis(20);
/// How many generations that are no more are remembered.
const REMEMBERED: usize = 256;
/// The time between two searches when files wait for descriptors.
const CROWDED: Duration = Duration::from_millis(50);

/// A file's place on the disk: device and inode.
pub(crate) type Id = (u64, u64);

/// What a configuration comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) finder: Finder,
    pub(crate) reading: Reading,
    /// The origin of lines, with the file's path still missing.
    pub(crate) origin: Origin,
    pub(crate) file_key: Option<OwnedValuePath>,
    /// Bytes of a turn, if the configuration says so.
    pub(crate) turn: Option<usize>,
    pub(crate) oldest_first: bool,
    pub(crate) from_end: bool,
    pub(crate) use_saved: bool,
    /// Lines a file must have, after so many bytes, when files are told apart by content.
    pub(crate) checksum: Option<(usize, usize)>,
    pub(crate) ignore_before: Option<SystemTime>,
    pub(crate) ignore_not_found: bool,
    pub(crate) cooldown: Duration,
    pub(crate) remove_after: Option<Duration>,
    pub(crate) rotate_wait: Option<Duration>,
}

/// The reader of one source.
pub(crate) struct Server {
    pub(super) plan: Plan,
    pub(super) metrics: Metrics,
    pub(super) store: Arc<Store>,
    aborted: Arc<AtomicBool>,
    out: SourceOut,
    shutdown: Shutdown,
    wake: OwnedFd,
    pub(super) notify: Option<Notify>,
    pub(super) tails: HashMap<Id, Tail>,
    turns: VecDeque<Id>,
    pub(super) paths: HashMap<PathBuf, Id>,
    pub(super) candidates: HashMap<Id, Candidate>,
    pub(super) retired: Vec<Retired>,
    pub(super) saved: Vec<Arc<Progress>>,
    /// Files that are not read at all, and files closed for want of descriptors: with their size and time of change.
    pub(super) put_off: HashMap<Id, (u64, i64, i64)>,
    pub(super) seen: HashSet<Id>,
    /// Paths that could not be opened: said once.
    pub(super) failing: HashSet<PathBuf>,
    /// Some files are not open for want of descriptors, and wait for their turn.
    pub(super) crowded: bool,
    pub(super) share: Share,
    sizes: HashMap<Id, u64>,
    pieces: Vec<Piece>,
}

impl Server {
    #[allow(
        clippy::too_many_arguments,
        reason = "called once, by the source that owns all of these"
    )]
    pub(crate) fn new(
        plan: Plan,
        metrics: Metrics,
        store: Arc<Store>,
        aborted: Arc<AtomicBool>,
        out: SourceOut,
        shutdown: Shutdown,
        wake: OwnedFd,
    ) -> Server {
        Server {
            plan,
            metrics,
            store,
            aborted,
            out,
            shutdown,
            wake,
            notify: None,
            tails: HashMap::new(),
            turns: VecDeque::new(),
            paths: HashMap::new(),
            candidates: HashMap::new(),
            retired: Vec::new(),
            saved: Vec::new(),
            put_off: HashMap::new(),
            seen: HashSet::new(),
            failing: HashSet::new(),
            crowded: false,
            share: Share::default(),
            sizes: HashMap::new(),
            pieces: Vec::new(),
        }
    }

    /// Reads until the shutdown, or until nobody takes what is read.
    pub(crate) fn run(mut self) {
        self.recall_saved();
        match Notify::new() {
            Ok(n) => self.notify = Some(n),
            Err(e) => self.metrics.say(
                Severity::Warn,
                format!("the kernel does not tell about changes (inotify: {e}); files are looked at in intervals"),
                Path::new(""),
            ),
        }
        if self.serve().is_ok() {
            let ids: Vec<Id> = self.tails.keys().copied().collect();
            for id in ids {
                let pieces = self.tails.get_mut(&id).map(Tail::flush_group).unwrap_or_default();
                if self.send(id, pieces).is_err() {
                    break;
                }
            }
        }
        self.metrics.open(0);
        self.store.end();
        self.report_store();
    }

    fn recall_saved(&mut self) {
        let loaded = self.store.load();
        for complaint in loaded.complaints {
            self.metrics
                .error("reading_checkpoints", "reader_failed", Path::new(""), complaint);
        }
        if self.plan.use_saved {
            self.saved = loaded.entries.into_iter().map(Progress::new).collect();
            for p in &self.saved {
                self.store.add(p.clone());
            }
        }
    }

    fn serve(&mut self) -> Result<(), Closed> {
        self.search(true)?;
        let (mut last_search, mut last_tick, mut last_turn) = (Instant::now(), Instant::now(), Instant::now());
        while !self.shutdown.is_set() {
            let notes = self.notify.as_mut().map(Notify::take).unwrap_or_default();
            let lost = self.heed(notes)?;
            let cooldown = match self.crowded {
                // Others can be opened as soon as these are read.
                true => self.plan.cooldown.min(CROWDED),
                false => self.plan.cooldown,
            };
            if lost || last_search.elapsed() >= cooldown {
                self.search(false)?;
                self.report_store();
                last_search = Instant::now();
            }
            if last_tick.elapsed() >= TICK {
                self.tick()?;
                last_tick = Instant::now();
            }
            if self.turn()? {
                last_turn = Instant::now();
                continue;
            }
            let pause = COALESCE.saturating_sub(last_turn.elapsed());
            if !pause.is_zero() && self.notify.is_some() {
                self.wait(pause, false);
            }
            let next = cooldown.saturating_sub(last_search.elapsed());
            self.wait(next.min(self.next_deadline()), true);
        }
        Ok(())
    }

    /// Waits for the kernel's notes, the shutdown, or the time.
    fn wait(&self, time: Duration, for_notes: bool) {
        let time = Timespec::try_from(time + Duration::from_micros(500)).ok();
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        let notify = self.notify.as_ref().filter(|_| for_notes).map(Notify::fd);
        if let Some(fd) = &notify {
            fds.push(PollFd::new(fd, PollFlags::IN));
        }
        // An interrupted wait is a short wait.
        let _ready = poll(&mut fds, time.as_ref());
    }

    /// When [`Server::tick`] has something to do.
    fn next_deadline(&self) -> Duration {
        let busy = !self.candidates.is_empty()
            || self
                .tails
                .values()
                .any(|t| t.lost_since.is_some() || (t.is_gzip() && t.has_partial()));
        let groups = self.tails.values().filter_map(|t| t.group.as_ref()).map(|g| g.deadline);
        let now = Instant::now();
        let group = groups.min().map_or(Duration::MAX, |d| d.saturating_duration_since(now));
        let most = if busy {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(1)
        };
        group.min(most)
    }

    /// Acts on what the kernel said; whether everything must be looked at.
    fn heed(&mut self, notes: Vec<Note>) -> Result<bool, Closed> {
        let mut lost = false;
        // Paths that files with names of ours were moved to, where no glob may find them.
        let mut carried: Vec<PathBuf> = Vec::new();
        for note in notes {
            match note {
                Note::Changed(path) => match self.paths.get(&path).copied() {
                    Some(id) if self.tails.contains_key(&id) => self.enqueue(id),
                    Some(id) if self.candidates.contains_key(&id) => {
                        self.judge(id, false)?;
                    }
                    _ if self.plan.finder.matches(&path) => self.consider(&path, false)?,
                    _ => {}
                },
                Note::Appeared(path) if self.plan.finder.matches(&path) => self.consider(&path, false)?,
                Note::Appeared(_) => {}
                Note::Moved { from, to } => {
                    let was_carried = carried.iter().position(|c| *c == from);
                    let ours = was_carried.is_some() || self.plan.finder.matches(&from);
                    if let Some(i) = was_carried {
                        carried.swap_remove(i);
                    }
                    if self.plan.finder.matches(&to) {
                        self.consider(&to, false)?;
                    } else if ours {
                        carried.push(to);
                    }
                    if let Some(id) = self.paths.get(&from).copied() {
                        self.enqueue(id);
                    }
                }
                Note::Overflow => lost = true,
            }
        }
        for path in carried {
            self.consider_moved(&path)?;
        }
        Ok(lost)
    }

    /// A file may have more to read.
    pub(super) fn enqueue(&mut self, id: Id) {
        if let Some(tail) = self.tails.get_mut(&id) {
            tail.ready = true;
            if !self.turns.contains(&id) {
                self.turns.push_back(id);
            }
        }
    }

    /// Begins to read a file.
    pub(super) fn follow(&mut self, tail: Tail) {
        let id = (tail.dev, tail.ino);
        let size = empty_event_size(&tail.origin);
        self.sizes.insert(id, size);
        self.paths.insert(tail.path.clone(), id);
        self.tails.insert(id, tail);
        self.turns.retain(|t| *t != id);
        self.turns.push_back(id);
        self.metrics.open(self.tails.len());
    }

    /// What lines of this file have in common.
    pub(super) fn origin(&self, path: &Path) -> Arc<Origin> {
        let mut origin = self.plan.origin.clone();
        if let Some(key) = &self.plan.file_key {
            origin
                .fields
                .push((key.clone(), Value::from(path.to_string_lossy().into_owned())));
        }
        Arc::new(origin)
    }

    /// Gives one file its turn; whether there was one.
    fn turn(&mut self) -> Result<bool, Closed> {
        if self.plan.oldest_first && self.turns.len() > 1 {
            let tails = &self.tails;
            self.turns
                .make_contiguous()
                .sort_by_key(|id| tails.get(id).map(|t| (t.created, t.path.clone())));
        }
        let alone = self.turns.len() <= 1 || self.plan.oldest_first;
        let Some(id) = self.turns.pop_front() else {
            return Ok(false);
        };
        let Some(tail) = self.tails.get_mut(&id) else {
            return Ok(true);
        };
        let (limit, at_most) = match self.plan.turn {
            _ if alone => (WHOLE_TURN, None),
            Some(bytes) => (bytes.clamp(SMALL_TURN, WHOLE_TURN), Some(bytes)),
            None => (SHARED_TURN, None),
        };
        let mut pieces = std::mem::take(&mut self.pieces);
        // What happens after this look is another change, and brings another turn.
        let _same = tail.look();
        let status = tail.read(&self.plan.reading, limit, at_most, &mut pieces);
        let too_long = std::mem::take(&mut tail.too_long);
        if too_long > 0 {
            self.metrics.too_long(&tail.path, too_long, self.plan.reading.max_line);
        }
        if let Some(e) = tail.take_damage() {
            let text = format!("the compressed content of {} is damaged: {e}", tail.path.display());
            self.metrics.error("reading", "reader_failed", &tail.path, text);
        }
        match status {
            Ok(Status::More) => {}
            Ok(Status::End) => {
                tail.ready = false;
                tail.end_since.get_or_insert_with(Instant::now);
            }
            Ok(Status::Replaced) => pieces.extend(tail.flush(&self.plan.reading)),
            Err(ref e) => {
                tail.ready = false;
                tail.end_since.get_or_insert_with(Instant::now);
                let text = format!("cannot read {}: {e}", tail.path.display());
                let path = tail.path.clone();
                self.metrics.error("reading", "reader_failed", &path, text);
            }
        }
        let sent = self.send(id, pieces.drain(..));
        self.pieces = pieces;
        sent?;
        match status {
            Ok(Status::More) => self.turns.push_back(id),
            Ok(Status::Replaced) => self.begin_again(id)?,
            _ => {}
        }
        Ok(true)
    }

    /// A file was truncated or written anew: its next generation.
    fn begin_again(&mut self, id: Id) -> Result<(), Closed> {
        let Some(tail) = self.tails.remove(&id) else {
            return Ok(());
        };
        let (path, origin, lost_since) = (tail.path.clone(), tail.origin.clone(), tail.lost_since);
        self.metrics.say(
            Severity::Info,
            format!(
                "{} was truncated or written anew; reading it from its beginning",
                path.display()
            ),
            &path,
        );
        let (known, opened) = tail.replaced();
        self.retire(Retired {
            known,
            died: Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX),
            deleted: false,
        });
        let made = opened.and_then(|opened| {
            let progress = Progress::new(opened.entry(&path));
            self.store.add(progress.clone());
            Tail::new(opened, &path, 0, progress, origin)
        });
        match made {
            Ok(mut tail) => {
                tail.lost_since = lost_since;
                self.follow(tail);
            }
            Err(e) => {
                let text = format!("cannot read {}: {e}", path.display());
                self.metrics.error("watching", "command_failed", &path, text);
            }
        }
        self.judge_all()
    }

    pub(super) fn retire(&mut self, retired: Retired) {
        if self.retired.len() == REMEMBERED {
            let oldest = self.retired.remove(0);
            if oldest.died == i64::MIN {
                // It was only closed; its position is good as after a restart.
                self.saved.push(oldest.known.progress);
            }
        }
        self.retired.push(retired);
    }

    /// Sends what was read of a file.
    fn send(&mut self, id: Id, pieces: impl IntoIterator<Item = Piece>) -> Result<(), Closed> {
        let Some(tail) = self.tails.get(&id) else {
            return Ok(());
        };
        let fixed = self.sizes.get(&id).copied().unwrap_or(0);
        for piece in pieces {
            let events = piece.lines.len() as u64;
            self.metrics
                .received(&tail.path, piece.bytes, events, events * fixed + piece.bytes);
            let token = self
                .store
                .token(&self.aborted, &tail.known.progress, piece.range, piece.tail);
            let mut batch = LogBatch::lines(Lines {
                block: piece.block,
                lines: piece.lines,
                read_at: Utc::now(),
                origin: tail.origin.clone(),
            });
            batch.finalizers = Finalizers::one(token);
            self.out.send_blocking(Batch::Logs(batch))?;
        }
        Ok(())
    }

    /// Timeouts: of groups, of files no path leads to, of files to delete.
    fn tick(&mut self) -> Result<(), Closed> {
        let now = Instant::now();
        let mut flush: Vec<(Id, bool)> = Vec::new();
        let mut done: Vec<Id> = Vec::new();
        let mut delete: Vec<Id> = Vec::new();
        let grace = self.plan.rotate_wait.map_or(GRACE, |w| w.min(GRACE));
        for (id, tail) in &mut self.tails {
            let at_end = !tail.ready;
            if at_end && tail.group.as_ref().is_some_and(|g| g.deadline <= now) {
                flush.push((*id, false));
            }
            if let Some(since) = tail.lost_since {
                let lost = now.duration_since(since);
                if at_end && lost >= grace && now.duration_since(tail.last_data) >= grace {
                    // One last look: its writer may have written since.
                    if !tail.look().unwrap_or(false) {
                        done.push(*id);
                    }
                } else if self.plan.rotate_wait.is_some_and(|w| lost > w) {
                    done.push(*id);
                }
            } else if at_end && tail.is_gzip() && tail.has_partial() {
                if tail.end_since.is_some_and(|s| now.duration_since(s) >= GRACE) {
                    flush.push((*id, true));
                }
            } else if at_end
                && let Some(after) = self.plan.remove_after
                && now.duration_since(tail.last_data) >= after
                && tail.known.progress.offset() >= tail.position()
            {
                delete.push(*id);
            }
        }
        for (id, all) in flush {
            let reading = &self.plan.reading;
            let pieces = self
                .tails
                .get_mut(&id)
                .map(|t| if all { t.flush(reading) } else { t.flush_group() })
                .unwrap_or_default();
            self.send(id, pieces)?;
        }
        for id in delete {
            self.delete(id);
        }
        let woken: Vec<Id> = self.tails.iter().filter(|(_, t)| t.ready).map(|(id, _)| *id).collect();
        for id in woken {
            self.enqueue(id);
        }
        for id in &done {
            self.let_go(*id)?;
        }
        if !done.is_empty() || !self.candidates.is_empty() {
            self.judge_all()?;
        }
        Ok(())
    }

    /// Deletes a file that was read and delivered to its end.
    fn delete(&mut self, id: Id) {
        let Some(tail) = self.tails.get_mut(&id) else {
            return;
        };
        let still = std::fs::symlink_metadata(&tail.path).is_ok_and(|m| (m.dev(), m.ino()) == id);
        if !still || tail.look().unwrap_or(true) {
            return;
        }
        let path = tail.path.clone();
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tail.lost_since = Some(Instant::now());
                self.metrics.deleted(&path);
            }
            Err(e) => {
                // Not again before the same time has passed once more.
                tail.last_data = Instant::now();
                let text = format!("cannot delete {}: {e}", path.display());
                self.metrics.error("deletion_failed", "command_failed", &path, text);
            }
        }
    }

    /// Sends the rest of a file that no path leads to, and closes it.
    fn let_go(&mut self, id: Id) -> Result<(), Closed> {
        let reading = &self.plan.reading;
        let pieces = self.tails.get_mut(&id).map(|t| t.flush(reading)).unwrap_or_default();
        self.send(id, pieces)?;
        if let Some(tail) = self.tails.remove(&id) {
            self.metrics.unwatched(&tail.path, !tail.ready);
            self.closed(id, &tail);
            let unlinked = tail.unlinked_at();
            let died = unlinked.unwrap_or_else(|| Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX));
            let known: Known = tail.known;
            self.retire(Retired {
                known,
                died,
                deleted: unlinked.is_some(),
            });
        }
        Ok(())
    }

    /// A file is no longer open.
    pub(super) fn closed(&mut self, id: Id, tail: &Tail) {
        self.turns.retain(|t| *t != id);
        self.sizes.remove(&id);
        if self.paths.get(&tail.path) == Some(&id) {
            self.paths.remove(&tail.path);
        }
        self.metrics.open(self.tails.len());
    }

    fn report_store(&self) {
        if let Some(e) = self.store.take_failure() {
            let text = format!("cannot save positions: {e}; after a restart lines since the last save are read again");
            self.metrics.unsaved(text);
        }
        let written = self.store.take_written();
        if written > 0 {
            self.metrics.saved();
        }
        self.metrics.checkpoints(written);
    }
}
