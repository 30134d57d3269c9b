//! What the kernel tells of the tree, and which directories it is asked about.

use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::Watcher;
use crate::error::{Error, at};
use crate::tree::{below, is_in, join};

impl Watcher {
    pub(super) fn add_watch(&mut self, dir: &[u8]) -> Result<(), Error> {
        let path = below(&self.place.root, dir);
        let flags = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.events, &path, flags) {
            Ok(number) => {
                // A directory that was moved keeps its number.
                if let Some(before) = self.paths.insert(number, dir.to_vec())
                    && before != dir
                {
                    self.watches.remove(&before);
                }
                self.watches.insert(dir.to_vec(), number);
                Ok(())
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(Errno::ACCESS) => {
                self.behind = Some("a directory in the tree cannot be read");
                Ok(())
            }
            Err(Errno::NOSPC) => Err(Error::unsuitable(
                &path,
                "there are more directories than may be watched (fs.inotify.max_user_watches)",
            )),
            Err(error) => Err(at(&path, "cannot be watched")(error)),
        }
    }

    fn forget_watches(&mut self, dir: &[u8]) {
        let inside: Vec<Vec<u8>> = self.watches.keys().filter(|d| is_in(d, dir)).cloned().collect();
        for dir in inside {
            if let Some(number) = self.watches.remove(&dir) {
                self.paths.remove(&number);
                // It is gone already where the directory is.
                let _ = inotify::remove_watch(&self.events, number);
            }
        }
    }

    /// Takes in all that the kernel has to tell.
    pub(super) fn drain(&mut self) -> Result<(), Error> {
        let mut buffer = [MaybeUninit::uninit(); 1 << 16];
        let mut heard = Vec::new();
        {
            let mut reader = inotify::Reader::new(&self.events, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map(|n| n.to_bytes().to_vec());
                        heard.push((event.wd(), event.events(), name));
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(at(&self.place.root, "cannot be watched")(error)),
                }
            }
        }
        if !heard.is_empty() {
            self.last_event = Instant::now();
        }
        for (number, events, name) in heard {
            self.hear(number, events, name.as_deref())?;
        }
        Ok(())
    }

    fn hear(&mut self, number: i32, events: ReadFlags, name: Option<&[u8]>) -> Result<(), Error> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.behind = Some("more happened than the watcher was told");
            return Ok(());
        }
        let Some(dir) = self.paths.get(&number).cloned() else {
            return Ok(());
        };
        let Some(name) = name else {
            let lost = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            if dir.is_empty() && events.intersects(lost) {
                // What is there now is another tree.
                self.ended = true;
            } else if dir.is_empty() && events.contains(ReadFlags::ATTRIB) {
                self.behind = Some("the rights to a directory were changed");
            } else if events.contains(ReadFlags::IGNORED) {
                self.paths.remove(&number);
                if self.watches.get(&dir) == Some(&number) {
                    self.watches.remove(&dir);
                }
            }
            return Ok(());
        };
        let path = join(&dir, name);
        if self.place.own.as_ref().is_some_and(|own| is_in(&path, own)) {
            return Ok(());
        }
        if !events.contains(ReadFlags::ISDIR) {
            self.changes.dirty.insert(path);
            return Ok(());
        }
        if events.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
            self.forget_watches(&path);
            self.changes.dirty.retain(|d| !is_in(d, &path));
            self.changes.gone.insert(path);
        } else if events.intersects(ReadFlags::MOVED_TO | ReadFlags::CREATE) {
            self.adopt(path)?;
        } else if events.contains(ReadFlags::ATTRIB) {
            // Perhaps it can be read now, or cannot any more.
            self.behind = Some("the rights to a directory were changed");
        }
        Ok(())
    }

    /// Watches a directory that has come to be, and takes everything in it for new.
    fn adopt(&mut self, dir: Vec<u8>) -> Result<(), Error> {
        let mut waiting = vec![dir];
        while let Some(dir) = waiting.pop() {
            self.add_watch(&dir)?;
            let Ok(entries) = std::fs::read_dir(below(&self.place.root, &dir)) else {
                if below(&self.place.root, &dir).exists() {
                    self.behind = Some("a directory in the tree cannot be read");
                }
                continue;
            };
            for entry in entries.flatten() {
                let path = join(&dir, entry.file_name().as_bytes());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => waiting.push(path),
                    Ok(kind) if kind.is_file() => {
                        self.changes.dirty.insert(path);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
