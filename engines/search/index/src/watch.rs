//! The watcher of an index: it hears of every change in the tree and tells searches which files those are.
//!
//! It watches every directory. What the kernel tells of a change is waiting before the call that made the change returns, so
//! whoever asks after that hears of it: all that waits is taken in before a question is answered. Where events are lost
//! (more than the kernel keeps), it says that it is behind until it has looked at every file again; searches look for
//! themselves meanwhile.
//!
//! Writing to a memory map raises no event. A file that somebody has open for writing when it is indexed is noted as one that
//! is always searched. One that is mapped later is found in the maps of the processes, at every question (`mapped`), or when its
//! writer lets go of it, which is an event. Maps that are not for this process to see show in the times, which the watcher
//! compares for all files after searches.

mod listen;
mod mapped;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags};
use rustix::io::Errno;

use crate::audit::{Audit, audit};
use crate::build::Stop;
use crate::client::{ASKED, Question, Reply, socket};
use crate::error::{Error, at};
use crate::fresh::{self, Changes};
use crate::store::{Index, Place, Summary, update};
use crate::tree::{self, below};
use crate::wanted::Wanted;

/// With so many files changed the index is brought up to date.
const MANY_FILES: usize = 500;

/// With so many bytes in changed files it is, too.
const MANY_BYTES: u64 = 64 << 20;

/// No two updates follow each other faster.
const BETWEEN_UPDATES: Duration = Duration::from_secs(5);

/// How long after a search the times of all files are compared again, at the earliest after the last time.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);

/// How long between two audits, when nobody asks.
const BETWEEN_AUDITS: Duration = Duration::from_secs(1800);

/// Files that are read again for an audit.
const AUDITED: usize = 100;

/// Updates that fail are tried again after this at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How long the tree must be quiet before everything is looked at again after events were lost.
const QUIET: Duration = Duration::from_millis(200);

/// How long processes are looked at for files they have mapped, at each question.
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// How long a client may take for its question.
const PATIENCE: Duration = Duration::from_millis(200);

/// File systems that change elsewhere too, where events say little: the network's, and those of programs.
const FOREIGN: [u64; 8] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFE53_4D42, // SMB 2
    0xFF53_4D42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00C3_6400, // Ceph
    0x794C_7630, // overlay: a file may change below it
];

/// How a watcher behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// It ends when nobody asked for so long.
    pub idle: Duration,
    /// Whether it brings the index up to date by itself.
    pub updates: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            idle: Duration::from_secs(24 * 3600),
            updates: true,
        }
    }
}

/// Watches the tree of an index until the index is dropped, nobody asks for long, or it is told to end.
///
/// # Errors
/// [`Error::Busy`] when there is a watcher already; [`Error::Unsuitable`] when the tree cannot be watched.
pub fn watch(place: &Place, manners: Manners) -> Result<(), Error> {
    let mut watcher = Watcher::new(place, manners)?;
    watcher.catch_up()?;
    watcher.run()
}

struct Update {
    result: Receiver<Result<Summary, Error>>,
    stop: Arc<Stop>,
    /// What it was started for; it stays dirty until the update is done.
    changes: Sets,
}

#[derive(Clone, Debug, Default)]
struct Sets {
    dirty: HashSet<Vec<u8>>,
    gone: HashSet<Vec<u8>>,
}

struct Watcher {
    place: Place,
    manners: Manners,
    device: u64,
    generation: u64,
    events: OwnedFd,
    listener: UnixListener,
    socket_inode: u64,
    paths: HashMap<i32, Vec<u8>>,
    watches: BTreeMap<Vec<u8>, i32>,
    changes: Sets,
    /// Files that are mapped, as of the last question.
    mapped: Vec<Vec<u8>>,
    behind: Option<&'static str>,
    /// Looking at everything again did not help.
    stuck: bool,
    update: Option<Update>,
    sweep: Option<Receiver<(u64, Changes)>>,
    audit: Option<Receiver<Audit>>,
    /// What an audit found to be wrong.
    alarm: Option<String>,
    /// Files that are always searched, and may be certain once they are read again.
    unsure: usize,
    pause: Duration,
    last_update: Option<Instant>,
    last_audit: Instant,
    last_sweep: Instant,
    last_question: Instant,
    last_event: Instant,
    asked_since_sweep: bool,
    ended: bool,
}

impl Watcher {
    fn new(place: &Place, manners: Manners) -> Result<Watcher, Error> {
        use std::os::unix::fs::MetadataExt;
        let index = Index::open(place)?;
        let system = rustix::fs::statfs(&place.root).map_err(at(&place.root, "cannot be looked at"))?;
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
        let kind = system.f_type as u64 & 0xFFFF_FFFF;
        if FOREIGN.contains(&kind) {
            return Err(Error::unsuitable(
                &place.root,
                "its file system may change without the kernel telling, so it is not watched",
            ));
        }
        let (path, _open) = socket(&place.dir)?;
        if crate::client::call(place, Question::Changes, PATIENCE).is_some() {
            return Err(Error::Busy(place.root.clone()));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&path, "cannot be removed")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(at(&place.dir, "cannot be listened in"))?;
        listener
            .set_nonblocking(true)
            .map_err(at(&place.dir, "cannot be listened in"))?;
        let socket_inode = path.metadata().map_err(at(&path, "cannot be looked at"))?.ino();
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(at(&place.root, "cannot be watched"))?;
        let now = Instant::now();
        Ok(Watcher {
            place: place.clone(),
            manners,
            device: index.manifest.device,
            generation: index.manifest.generation,
            events,
            listener,
            socket_inode,
            paths: HashMap::new(),
            watches: BTreeMap::new(),
            changes: Sets::default(),
            mapped: Vec::new(),
            behind: Some("the watcher has not looked at all files yet"),
            stuck: false,
            update: None,
            sweep: None,
            audit: None,
            alarm: None,
            unsure: 0,
            pause: BETWEEN_UPDATES,
            last_update: None,
            last_audit: now,
            last_sweep: now,
            last_question: now,
            last_event: now,
            asked_since_sweep: false,
            ended: false,
        })
    }

    /// Watches everything that is there, and finds out what is not as it was indexed.
    fn catch_up(&mut self) -> Result<(), Error> {
        if self.behind.take().is_some() {
            // Which directory a watch belongs to may have been among what was lost.
            self.events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
                .map_err(at(&self.place.root, "cannot be watched"))?;
            self.paths.clear();
            self.watches.clear();
        }
        // What comes up while directories are listed is listed the next time round.
        let tree = loop {
            let tree = tree::list(&self.place.root, b"", self.device, self.place.own.as_deref())?;
            let mut new = false;
            for (dir, _) in &tree.dirs {
                if !self.watches.contains_key(dir) {
                    new = true;
                    self.add_watch(dir)?;
                }
            }
            if !new {
                break tree;
            }
        };
        let index = Index::open(&self.place)?;
        self.generation = index.manifest.generation;
        let entries = index.entries()?;
        self.unsure = entries.iter().filter(|e| e.2.unsure).count();
        // Those that are unsure are candidates anyway.
        let changes = fresh::compare(entries.iter().map(|e| &e.2), &tree.files, Wanted::ALWAYS)?;
        let unsure: HashSet<&[u8]> = entries.iter().filter(|e| e.2.unsure).map(|e| &e.2.path[..]).collect();
        self.changes.gone.extend(changes.gone);
        self.changes
            .dirty
            .extend(changes.dirty.into_iter().filter(|d| !unsure.contains(&d[..])));
        if tree.trouble.iter().any(|t| !index.manifest.trouble.contains(t)) {
            self.behind = Some("a directory in the tree cannot be read");
        }
        self.stuck = self.behind.is_some();
        self.last_sweep = Instant::now();
        self.asked_since_sweep = false;
        Ok(())
    }

    fn run(&mut self) -> Result<(), Error> {
        while !self.ended {
            let mut fds = [
                PollFd::new(&self.events, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            let busy = self.update.is_some() || self.behind.is_some() || self.asked_since_sweep || self.has_much();
            let pause = if busy { QUIET } else { Duration::from_secs(5) };
            let pause = Timespec::try_from(pause).ok();
            match poll(&mut fds, pause.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(at(&self.place.root, "cannot be watched")(error)),
            }
            self.drain()?;
            self.answer_all()?;
            self.look_after()?;
        }
        if let Some(update) = &self.update {
            update.stop.store(true, Relaxed);
        }
        Ok(())
    }

    fn has_much(&self) -> bool {
        self.manners.updates && self.changes.dirty.len() + self.unsure >= MANY_FILES
    }

    /// What is not for anybody who waits.
    fn look_after(&mut self) -> Result<(), Error> {
        self.end_update()?;
        if let Some(Ok((generation, changes))) = self.sweep.as_ref().map(Receiver::try_recv) {
            self.sweep = None;
            if generation == self.generation {
                self.changes.gone.extend(changes.gone);
                self.changes.dirty.extend(changes.dirty);
            }
        }
        if let Some(Ok(audit)) = self.audit.as_ref().map(Receiver::try_recv) {
            self.audit = None;
            if let Some(path) = audit.wrong.first() {
                let path = below(&self.place.root, path);
                self.alarm = Some(format!("{}: the index does not say what is in it", path.display()));
                self.start_update(true);
            }
        }
        let quiet = self.last_event.elapsed() >= QUIET;
        let since_sweep = self.last_sweep.elapsed();
        if self.behind.is_some() {
            let wait = if self.stuck { BETWEEN_SWEEPS } else { QUIET };
            if quiet && self.update.is_none() && since_sweep >= wait {
                self.catch_up()?;
            }
        } else if self.asked_since_sweep && since_sweep >= BETWEEN_SWEEPS && self.update.is_none() {
            self.start_sweep();
        } else if self.last_audit.elapsed() >= BETWEEN_AUDITS && self.last_question.elapsed() >= BETWEEN_SWEEPS {
            self.start_audit();
        }
        self.update_if_much();
        if self.last_question.elapsed() > self.manners.idle || !self.is_mine() {
            self.ended = true;
        }
        Ok(())
    }

    /// Takes over what an update has made, if it is done.
    fn end_update(&mut self) -> Result<(), Error> {
        let Some(result) = self.update.as_ref().map(|u| u.result.try_recv()) else {
            return Ok(());
        };
        match result {
            Err(TryRecvError::Empty) => {}
            Ok(Ok(summary)) => {
                self.update = None;
                self.pause = BETWEEN_UPDATES;
                self.generation = summary.generation;
            }
            // It is tried again later; until then what it was for stays changed.
            Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                if let Some(update) = self.update.take() {
                    self.changes.dirty.extend(update.changes.dirty);
                    self.changes.gone.extend(update.changes.gone);
                }
            }
        }
        Ok(())
    }

    fn start_sweep(&mut self) {
        (self.last_sweep, self.asked_since_sweep) = (Instant::now(), false);
        let place = self.place.clone();
        self.sweep = in_background(move || {
            let index = Index::open(&place).ok()?;
            let changes = fresh::sweep(&index, b"", Wanted::ALWAYS).ok()?.ok()?;
            Some((index.manifest.generation, changes))
        });
    }

    fn start_audit(&mut self) {
        self.last_audit = Instant::now();
        let (place, seed) = (self.place.clone(), crate::stamp::now() as u64);
        self.audit = in_background(move || audit(&Index::open(&place).ok()?, AUDITED, seed).ok());
    }

    /// Whether the index is there still, and nobody else watches it.
    fn is_mine(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let socket = socket(&self.place.dir);
        socket.is_ok_and(|(path, _open)| path.metadata().is_ok_and(|m| m.ino() == self.socket_inode))
    }

    fn update_if_much(&mut self) {
        let recent = self.last_update.is_some_and(|t| t.elapsed() < self.pause);
        if !self.manners.updates || self.update.is_some() || self.behind.is_some() || recent {
            return;
        }
        let mut much = self.has_much();
        if !much && !self.changes.dirty.is_empty() && self.last_event.elapsed() >= QUIET {
            let size = |path: &Vec<u8>| below(&self.place.root, path).symlink_metadata().map_or(0, |m| m.len());
            much = self.changes.dirty.iter().map(size).sum::<u64>() >= MANY_BYTES;
        }
        if much {
            self.start_update(false);
        }
    }

    fn start_update(&mut self, anew: bool) {
        let changes = std::mem::take(&mut self.changes);
        let (stop, place) = (Arc::new(Stop::new(false)), self.place.clone());
        let (theirs, changed) = (Arc::clone(&stop), changes.dirty.clone());
        let (send, result) = channel();
        let work = move || {
            // Nobody waits for it any more when this fails.
            let _ = send.send(update(&place, &changed, anew, &theirs));
        };
        // A thread that cannot be started shows in its channel.
        let _ = std::thread::Builder::new().name("index".to_owned()).spawn(work);
        self.last_update = Some(Instant::now());
        // Those that are not certain after this are left so.
        self.unsure = 0;
        self.update = Some(Update { result, stop, changes });
    }

    fn answer_all(&mut self) -> Result<(), Error> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.answer(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Ok(()),
            }
        }
    }

    fn answer(&mut self, mut stream: UnixStream) -> Result<(), Error> {
        let mut asked = [0; ASKED];
        let patient = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        let heard = patient
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .and_then(|()| stream.read_exact(&mut asked));
        if heard.is_err() {
            return Ok(());
        }
        self.last_question = Instant::now();
        match Question::of(asked[0]) {
            Some(Question::Changes) => {
                // After the question was asked: what happened before it is told now. The maps come first, as a map that ends
                // meanwhile is an event.
                self.mapped = mapped::mapped(&self.place.root, Instant::now() + LONGEST_LOOK);
                self.drain()?;
                self.end_update()?;
                self.asked_since_sweep = true;
            }
            Some(Question::Renew) if self.update.is_none() => self.start_update(false),
            Some(Question::Renew) => {}
            Some(Question::End) => self.ended = true,
            None => return Ok(()),
        }
        let bytes = postcard::to_stdvec(&self.reply()).unwrap_or_default();
        let length = (bytes.len() as u32).to_le_bytes();
        // Whoever asked has gone away when this fails.
        let _ = stream.write_all(&length).and_then(|()| stream.write_all(&bytes));
        Ok(())
    }

    fn reply(&self) -> Reply {
        let before = self.update.as_ref().map(|u| &u.changes);
        let all = |now: &HashSet<Vec<u8>>, before: Option<&HashSet<Vec<u8>>>| {
            let mut list: Vec<Vec<u8>> = now.iter().cloned().collect();
            list.extend(before.into_iter().flatten().filter(|b| !now.contains(*b)).cloned());
            list
        };
        let mut dirty = all(&self.changes.dirty, before.map(|b| &b.dirty));
        dirty.extend(self.mapped.iter().filter(|m| !self.changes.dirty.contains(*m)).cloned());
        Reply {
            pid: std::process::id(),
            generation: self.generation,
            behind: self.behind.map(str::to_owned),
            alarm: self.alarm.clone(),
            distrusted: self.alarm.is_some() && self.update.is_some(),
            watched: self.watches.len() as u64,
            changes: Changes {
                dirty,
                gone: all(&self.changes.gone, before.map(|b| &b.gone)),
            },
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.is_mine()
            && let Ok((path, _open)) = socket(&self.place.dir)
        {
            // A socket that stays is taken for that of a watcher that does not answer.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Does something on a thread of its own; nothing is received when it does not come to an end.
fn in_background<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<Receiver<T>> {
    let (send, result) = channel();
    let work = move || {
        if let Some(done) = work() {
            // Nobody waits for it any more when this fails.
            let _ = send.send(done);
        }
    };
    std::thread::Builder::new()
        .name("index".to_owned())
        .spawn(work)
        .ok()
        .map(|_| result)
}

/// Makes this process one that does not end with the terminal it was started from.
pub fn detach() {
    // It leads a session already when this fails.
    let _ = rustix::process::setsid();
}
