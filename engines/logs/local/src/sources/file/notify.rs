//! What the kernel says about directories (inotify(7)). Everything here only makes things faster: what is not told is
//! found by the next search.

use std::{
    collections::HashMap,
    ffi::OsStr,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// A file was written to, or its metadata changed.
    Changed(PathBuf),
    /// A path leads to something else than before.
    Appeared(PathBuf),
    /// A path was moved from one watched directory to another (or the same).
    Moved { from: PathBuf, to: PathBuf },
    /// Something was lost: anything may have happened.
    Overflow,
}

/// Watches directories.
#[derive(Debug)]
pub(crate) struct Notify {
    fd: OwnedFd,
    places: HashMap<i32, PathBuf>,
    watches: HashMap<PathBuf, i32>,
}

impl Notify {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel has no inotify instance left for this user.
    pub(crate) fn new() -> Result<Notify, rustix::io::Errno> {
        Ok(Notify {
            fd: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            places: HashMap::new(),
            watches: HashMap::new(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Listens to a directory, or to the file behind a symbolic link; whether it can.
    pub(crate) fn watch(&mut self, path: &Path) -> bool {
        if self.watches.contains_key(path) {
            return true;
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF;
        match inotify::add_watch(&self.fd, path, flags) {
            Ok(wd) => {
                if let Some(old) = self.places.insert(wd, path.to_owned()) {
                    self.watches.remove(&old);
                }
                self.watches.insert(path.to_owned(), wd);
                true
            }
            Err(_) => false,
        }
    }

    /// Forgets a path, so that it can be watched anew when it leads elsewhere.
    pub(crate) fn forget(&mut self, path: &Path) {
        if let Some(wd) = self.watches.remove(path) {
            self.places.remove(&wd);
            let _gone = inotify::remove_watch(&self.fd, wd);
        }
    }

    /// Everything that happened since the last call.
    pub(crate) fn take(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut buf = [const { MaybeUninit::<u8>::uninit() }; 16 * 1024];
        let mut moved: HashMap<u32, PathBuf> = HashMap::new();
        let mut gone: Vec<i32> = Vec::new();
        let mut reader = inotify::Reader::new(&self.fd, &mut buf);
        // Ends with EAGAIN when there is nothing more.
        while let Ok(event) = reader.next() {
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                notes.push(Note::Overflow);
                continue;
            }
            if what.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::DELETE_SELF) {
                gone.push(event.wd());
                continue;
            }
            let Some(place) = self.places.get(&event.wd()) else {
                continue;
            };
            let path = match event.file_name() {
                Some(name) => place.join(OsStr::from_bytes(name.to_bytes())),
                None => place.clone(),
            };
            if what.contains(ReadFlags::MODIFY) {
                if notes.last() != Some(&Note::Changed(path.clone())) {
                    notes.push(Note::Changed(path));
                }
            } else if what.contains(ReadFlags::MOVED_FROM) {
                moved.insert(event.cookie(), path);
            } else if what.contains(ReadFlags::MOVED_TO) {
                notes.push(match moved.remove(&event.cookie()) {
                    Some(from) => Note::Moved { from, to: path },
                    None => Note::Appeared(path),
                });
            } else if what.contains(ReadFlags::CREATE) {
                notes.push(Note::Appeared(path));
            }
        }
        for wd in gone {
            if let Some(path) = self.places.remove(&wd) {
                self.watches.remove(&path);
                // It may be a directory that still exists elsewhere.
                let _gone = inotify::remove_watch(&self.fd, wd);
            }
        }
        notes
    }
}
