//! Asking the watcher of an index what has changed.
//!
//! The watcher listens on a socket in the directory of the index, which only the owner may enter. A question is a byte and the
//! generation of the manifest it is about; an answer is its length in four bytes and a [`Reply`].

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, at};
use crate::fresh::Changes;
use crate::store::Place;
use crate::wanted::Wanted;

/// How long a search waits for the watcher before it looks for itself.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long it waits before it looks whether the answer is still wanted.
const GLANCE: Duration = Duration::from_millis(3);

/// The longest answer.
const LONGEST: u32 = 64 << 20;

/// The socket's name in the directory of the index.
const SOCKET: &str = "watch";

/// The longest path a socket can have.
const LONGEST_SOCKET: usize = 100;

/// What can be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Question {
    /// What has changed.
    Changes = b'c',
    /// The index was brought up to date by somebody else, or is to be.
    Renew = b'r',
    /// Nothing; to end.
    End = b'e',
}

impl Question {
    pub(crate) fn of(byte: u8) -> Option<Question> {
        [Question::Changes, Question::Renew, Question::End]
            .into_iter()
            .find(|q| *q as u8 == byte)
    }
}

/// Bytes of a question.
pub(crate) const ASKED: usize = 9;

/// What the watcher says.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Reply {
    /// The process.
    pub(crate) pid: u32,
    /// The generation that the changes are about.
    pub(crate) generation: u64,
    /// Why they are not all, if so.
    pub(crate) behind: Option<String>,
    /// What an audit found to be wrong.
    pub(crate) alarm: Option<String>,
    /// The index is wrong, and is being made anew.
    pub(crate) distrusted: bool,
    /// How many directories are watched.
    pub(crate) watched: u64,
    pub(crate) changes: Changes,
}

/// A path for the socket that is short enough, and what has to stay open while it is used.
pub(crate) fn socket(dir: &Path) -> Result<(PathBuf, Option<OwnedFd>), Error> {
    let path = dir.join(SOCKET);
    if path.as_os_str().len() <= LONGEST_SOCKET {
        return Ok((path, None));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(at(dir, "cannot be opened"))?;
    Ok((
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", fd.as_raw_fd())),
        Some(fd),
    ))
}

/// A question that was asked and is not answered yet.
#[derive(Debug)]
pub(crate) struct Pending {
    stream: UnixStream,
    generation: u64,
}

/// Asks the watcher of a place what has changed since `generation`; none when there is no watcher.
pub(crate) fn ask(place: &Place, generation: u64) -> Option<Pending> {
    let stream = send(place, Question::Changes, generation, PATIENCE)?;
    Some(Pending { stream, generation })
}

/// Connects at once or not at all: where the queue of a watcher that was stopped is full, connecting would wait for ever.
fn connect(path: &Path) -> rustix::io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(UnixStream::from(socket))
}

fn send(place: &Place, question: Question, generation: u64, patience: Duration) -> Option<UnixStream> {
    let (path, _open) = socket(&place.dir).ok()?;
    let mut stream = connect(&path).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    let mut bytes = [question as u8; ASKED];
    bytes[1..].copy_from_slice(&generation.to_le_bytes());
    stream.write_all(&bytes).ok()?;
    Some(stream)
}

/// A stream that is read until its time is up or nobody wants what it says.
struct Patient<'a> {
    stream: UnixStream,
    until: Instant,
    wanted: Wanted<'a>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
                        && Instant::now() < self.until
                        && self.wanted.check().is_ok() => {}
                other => return other,
            }
        }
    }
}

fn receive(mut stream: impl Read) -> Option<Reply> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return None;
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut stream)
        .take(u64::from(length))
        .read_to_end(&mut bytes)
        .ok()?;
    postcard::from_bytes(&bytes).ok()
}

impl Pending {
    /// What has changed; none when the watcher does not know or does not say. The error is that the index is not to be used.
    pub(crate) fn answer(self, wanted: Wanted<'_>) -> Option<Result<Changes, &'static str>> {
        self.stream.set_read_timeout(Some(GLANCE)).ok()?;
        let until = Instant::now() + PATIENCE;
        let reply = receive(Patient {
            stream: self.stream,
            until,
            wanted,
        })?;
        if reply.distrusted {
            return Some(Err("an audit found the index wrong, and it is being made anew"));
        }
        (reply.generation == self.generation && reply.behind.is_none()).then_some(Ok(reply.changes))
    }
}

/// Asks the watcher of a place something; none when there is none, or when it says nothing for so long.
pub(crate) fn call(place: &Place, question: Question, patience: Duration) -> Option<Reply> {
    receive(send(place, question, 0, patience)?)
}

/// Lets the watcher of a place, if there is one, bring the index up to date: it is damaged, or somebody else did.
pub fn renew(place: &Place) {
    // Without a watcher the next build finds out for itself.
    let _ = send(place, Question::Renew, 0, PATIENCE);
}

/// What the watcher of a place says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watching {
    /// Its process.
    pub pid: u32,
    /// Directories it watches.
    pub directories: u64,
    /// Files that are searched because they changed.
    pub changed: u64,
    /// Why it cannot say what has changed, if so.
    pub behind: Option<String>,
    /// What an audit found to be wrong with the index, before it was made anew.
    pub alarm: Option<String>,
}

/// Asks the watcher of a place how it is; none when there is none.
#[must_use]
pub fn watching(place: &Place) -> Option<Watching> {
    let reply = call(place, Question::Changes, Duration::from_secs(2))?;
    Some(Watching {
        pid: reply.pid,
        directories: reply.watched,
        changed: reply.changes.dirty.len() as u64,
        behind: reply.behind,
        alarm: reply.alarm,
    })
}

/// Ends the watcher of a place, if there is one, and waits until it is gone.
pub fn end_watch(place: &Place) {
    let patience = Duration::from_secs(10);
    if call(place, Question::End, patience).is_none() {
        return;
    }
    let until = Instant::now() + patience;
    let Ok((path, _open)) = socket(&place.dir) else { return };
    while path.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}
