//! Where sessions are found: one socket and one lock file a session, in a directory that is ours alone (0700). The lock
//! is held by the server for as long as it lives, so a socket without one is a dead server's and may be removed, and two
//! servers never serve one name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use qd_proto::{ClientMsg, Hello, ProtoError, Purpose, ServerMsg};
use rustix::fs::{FlockOperation, flock};

/// The longest session name, in bytes: with the directory it must fit a socket address (108 bytes).
pub const MAX_NAME: usize = 48;

/// What can go wrong on the way to a session.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The name cannot be a file's.
    #[error(
        "\u{201c}{0}\u{201d} cannot name a session: use letters, digits, -, _ and ., at most {MAX_NAME}, not beginning with a dot"
    )]
    Name(String),
    /// The directory is somebody else's, or open to others.
    #[error("the directory {path} is not safe for sockets: {why}; set XDG_RUNTIME_DIR to a directory of your own")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A server of that name is alive.
    #[error("a session named \u{201c}{0}\u{201d} is already running: qd attach {0}")]
    Taken(String),
    /// There is no such session.
    #[error("there is no session named \u{201c}{0}\u{201d}: qd ls lists them, qd attach --create {0} makes it")]
    Missing(String),
    /// The file system failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The wire failed.
    #[error(transparent)]
    Proto(#[from] ProtoError),
}

fn io_at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SocketError + 'a {
    move |source| SocketError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Whether a session may have this name.
///
/// # Errors
/// [`SocketError::Name`] when not.
pub fn check_name(name: &str) -> Result<(), SocketError> {
    let ok = !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with(['.', '-'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if ok {
        Ok(())
    } else {
        Err(SocketError::Name(name.to_owned()))
    }
}

/// The directory of the sockets.
#[derive(Debug, Clone)]
pub struct SocketDir {
    dir: PathBuf,
}

/// What a server holds while it serves a name; the files go when it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// The listening socket.
    pub listener: UnixListener,
    lock: Option<File>,
    socket: PathBuf,
    lock_path: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_file(&self.socket);
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

impl Claim {
    /// Hands the claim on: the files stay, and the lock with whoever inherits these two descriptors.
    #[must_use]
    pub fn into_parts(mut self) -> Option<(UnixListener, File)> {
        let lock = self.lock.take()?;
        self.listener.try_clone().ok().map(|l| (l, lock))
    }
}

impl SocketDir {
    /// The directory at `dir`, made if it is not there, and checked: ours, and closed to others.
    ///
    /// # Errors
    /// [`SocketError::Directory`] when it is somebody else's or no directory.
    pub fn open(dir: &Path) -> Result<Self, SocketError> {
        let unsafe_dir = |why: &str| SocketError::Directory {
            path: dir.to_owned(),
            why: why.to_owned(),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io_at("could not make", dir))?;
        let meta = fs::symlink_metadata(dir).map_err(io_at("could not look at", dir))?;
        if !meta.is_dir() {
            return Err(unsafe_dir("it is not a directory"));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(unsafe_dir("it belongs to another user"));
        }
        if meta.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                .map_err(|e| unsafe_dir(&format!("others may enter it, and that could not be changed ({e})")))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// The socket of a session.
    #[must_use]
    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.sock"))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.lock"))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Claims a name: takes its lock, clears a dead server's socket away, and listens.
    ///
    /// # Errors
    /// [`SocketError::Taken`] when a server of that name lives.
    pub fn claim(&self, name: &str) -> Result<Claim, SocketError> {
        check_name(name)?;
        let lock_path = self.lock_path(name);
        let socket = self.socket(name);
        loop {
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&lock_path)
                .map_err(io_at("could not open", &lock_path))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(SocketError::Taken(name.to_owned()));
            }
            // The last owner removes the file when it goes: a lock on a removed file holds nothing.
            let same = fs::metadata(&lock_path).is_ok_and(|m| lock.metadata().is_ok_and(|n| n.ino() == m.ino()));
            if !same {
                continue;
            }
            match fs::remove_file(&socket) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_at("could not remove", &socket)(e)),
                _ => {}
            }
            let listener = UnixListener::bind(&socket).map_err(io_at("could not listen on", &socket))?;
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))
                .map_err(io_at("could not protect", &socket))?;
            return Ok(Claim {
                listener,
                lock: Some(lock),
                socket,
                lock_path,
            });
        }
    }

    /// Takes over a claim that another process made and handed on.
    #[must_use]
    pub fn inherit(&self, name: &str, listener: UnixListener, lock: File) -> Claim {
        Claim {
            listener,
            lock: Some(lock),
            socket: self.socket(name),
            lock_path: self.lock_path(name),
        }
    }

    /// Connects to a session, without a word. A dead server's socket is removed.
    ///
    /// # Errors
    /// [`SocketError::Missing`] when no server listens.
    pub fn connect(&self, name: &str) -> Result<UnixStream, SocketError> {
        check_name(name)?;
        let path = self.socket(name);
        match UnixStream::connect(&path) {
            Ok(s) => Ok(s),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(SocketError::Missing(name.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                self.sweep(name);
                Err(SocketError::Missing(name.to_owned()))
            }
            Err(e) => Err(io_at("could not connect to", &path)(e)),
        }
    }

    /// Removes a dead server's files, if it is dead.
    fn sweep(&self, name: &str) {
        let path = self.lock_path(name);
        let dead = match OpenOptions::new().write(true).open(&path) {
            Ok(f) => flock(&f, FlockOperation::NonBlockingLockExclusive).is_ok(),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            let _ = fs::remove_file(self.socket(name));
            let _ = fs::remove_file(path);
        }
    }

    /// The names of all sessions that have a socket, sorted; dead ones are cleared away.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, SocketError> {
        let mut out = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io_at("could not read", &self.dir))? {
            let Ok(entry) = entry else { continue };
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|f| f.strip_suffix(".sock")) else {
                continue;
            };
            match UnixStream::connect(entry.path()) {
                Ok(_) => out.push(name.to_owned()),
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => self.sweep(name),
                Err(_) => {}
            }
        }
        out.sort();
        Ok(out)
    }

    /// Asks a session one thing and waits for the answer.
    ///
    /// # Errors
    /// When it cannot be reached, or goes away before it answers; a version mismatch names both.
    pub fn ask(&self, name: &str, purpose: Purpose) -> Result<ServerMsg, SocketError> {
        let mut stream = self.connect(name)?;
        greet(&mut stream)?;
        qd_proto::write_msg(&mut stream, &ClientMsg::Open(purpose))?;
        qd_proto::read_msg(&mut stream)?.ok_or_else(|| SocketError::Missing(name.to_owned()))
    }
}

/// Exchanges greetings on a fresh connection.
///
/// # Errors
/// When the other side is no server of this version.
pub fn greet(stream: &mut UnixStream) -> Result<(), ProtoError> {
    stream.write_all(&Hello::ours().to_bytes())?;
    qd_proto::read_hello(stream)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "main", "web-1", "x_y.z", &"n".repeat(48)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".x", "-x", "a/b", "a b", "é", &"n".repeat(49)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dead_socket_is_cleared_and_a_living_one_is_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = SocketDir::open(tmp.path()).unwrap();
        let claim = dir.claim("a").unwrap();
        assert!(matches!(dir.claim("a"), Err(SocketError::Taken(_))));
        assert_eq!(dir.names().unwrap(), ["a"]);
        // A server that was killed leaves its files, without the lock.
        let (listener, lock) = claim.into_parts().unwrap();
        drop(listener);
        drop(lock);
        assert!(dir.socket("a").exists());
        assert!(matches!(dir.connect("a"), Err(SocketError::Missing(_))));
        assert!(!dir.socket("a").exists());
        let again = dir.claim("a").unwrap();
        drop(again);
        assert!(!dir.socket("a").exists());
    }

    #[test]
    fn a_directory_open_to_others_is_closed() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("open");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        SocketDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let file = tmp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(SocketDir::open(&file).is_err());
    }
}
