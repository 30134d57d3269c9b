//! The server's end: asking for terminals, taking over those that are there, hearing how they end.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::wire::{FromHolder, Got, ToHolder, Wait, receive, send};
use crate::{ExitStatus, SpawnSpec};

/// What can go wrong between a server and its holder.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("the process that keeps the session's terminals could not be spoken to: {0}")]
    Io(#[from] io::Error),
    /// It is gone.
    #[error("the process that keeps the session's terminals is gone: shells would not outlive this server")]
    Gone,
    /// It said something else than what it has to say here.
    #[error("the process that keeps the session's terminals said something unexpected: {0}")]
    Strange(String),
    /// It could not start a program.
    #[error("{0}")]
    Failed(String),
}

/// What there was before this server.
#[derive(Debug, Clone, Copy)]
pub struct Was {
    /// How often a server was started before this one.
    pub restarts: u32,
    /// How the last one ended.
    pub before: Option<ExitStatus>,
    /// Servers that looked at what was left ended at once, so it is not to be looked at.
    pub blank: bool,
    /// It was ended on purpose, for this one to take its place.
    pub upgraded: bool,
}

/// A terminal that was there before.
#[derive(Debug)]
pub struct Adopted {
    pub(crate) key: u64,
    /// What the server that asked for it called it.
    pub meta: u32,
    pub(crate) pid: i32,
    pub(crate) exit: Option<ExitStatus>,
    /// What was started.
    pub spec: SpawnSpec,
    pub(crate) master: OwnedFd,
    pub(crate) store: OwnedFd,
}

impl Adopted {
    /// What the holder knows it by.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }
}

/// What is received when a holder greets.
#[derive(Debug)]
pub struct Greeting {
    /// The session's listening socket.
    pub listener: OwnedFd,
    /// The session's lock.
    pub lock: OwnedFd,
    /// Where the session's own state is kept.
    pub state: OwnedFd,
    /// What there was before.
    pub was: Was,
    /// The terminals that were there before.
    pub held: Vec<Adopted>,
}

/// The connection of a server to its holder; clones are the same connection.
#[derive(Debug, Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    socket: OwnedFd,
    exits: Mutex<Exits>,
}

#[derive(Debug, Default)]
struct Exits {
    ended: HashMap<u64, ExitStatus>,
    gone: bool,
}

impl Link {
    /// Takes the holder's greeting on the socket that it gave this process.
    ///
    /// # Errors
    /// When the other end is no holder, or goes away.
    pub fn greet(socket: OwnedFd) -> Result<(Self, Greeting), LinkError> {
        let strange = |what: &str| LinkError::Strange(what.to_owned());
        let (held, was, fds) = match receive(&socket, Wait::Yes)? {
            Got::Message(
                FromHolder::Hello {
                    held,
                    restarts,
                    before,
                    blank,
                    upgraded,
                },
                fds,
            ) => {
                let was = Was {
                    restarts,
                    before,
                    blank,
                    upgraded,
                };
                (held, was, fds)
            }
            Got::Message(other, _) => return Err(LinkError::Strange(format!("{other:?}"))),
            Got::Nothing | Got::Gone => return Err(LinkError::Gone),
        };
        let [listener, lock, state]: [OwnedFd; 3] = fds
            .try_into()
            .map_err(|_| strange("a greeting without its descriptors"))?;
        let mut list = Vec::new();
        let mut exits = Exits::default();
        while list.len() < held {
            match receive(&socket, Wait::Yes)? {
                Got::Message(
                    FromHolder::Held {
                        key,
                        meta,
                        pid,
                        exit,
                        spec,
                    },
                    fds,
                ) => {
                    let [master, store]: [OwnedFd; 2] = fds
                        .try_into()
                        .map_err(|_| strange("a terminal without its descriptors"))?;
                    list.push(Adopted {
                        key,
                        meta,
                        pid,
                        exit,
                        spec,
                        master,
                        store,
                    });
                }
                Got::Message(FromHolder::Exited { key, status }, _) => {
                    exits.ended.insert(key, status);
                }
                Got::Message(other, _) => return Err(LinkError::Strange(format!("{other:?}"))),
                Got::Nothing | Got::Gone => return Err(LinkError::Gone),
            }
        }
        let greeting = Greeting {
            listener,
            lock,
            state,
            was,
            held: list,
        };
        let inner = Arc::new(Inner {
            socket,
            exits: Mutex::new(exits),
        });
        Ok((Self { inner }, greeting))
    }

    fn exits(&self) -> MutexGuard<'_, Exits> {
        self.inner.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor to poll: it is readable when [`Link::hear`] has something to hear.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.socket.as_fd()
    }

    /// Takes in what the holder said. False when it is gone: terminals live on, but would not outlive this process.
    pub fn hear(&self) -> bool {
        let mut exits = self.exits();
        while !exits.gone {
            match receive(&self.inner.socket, Wait::No) {
                Ok(Got::Message(FromHolder::Exited { key, status }, _)) => {
                    exits.ended.insert(key, status);
                }
                Ok(Got::Message(..)) => {}
                Ok(Got::Nothing) => break,
                Ok(Got::Gone) | Err(_) => exits.gone = true,
            }
        }
        !exits.gone
    }

    /// How a child ended, if it has. `over` says that its terminal is at its end.
    pub(crate) fn exit(&self, key: u64, pid: i32, over: bool) -> Option<ExitStatus> {
        let here = self.hear();
        let known = self.exits().ended.get(&key).copied();
        // Without the holder nobody can say how it ended; that it did can be seen.
        known.or_else(|| {
            let lost = ExitStatus {
                code: None,
                signal: None,
            };
            let pid = rustix::process::Pid::from_raw(pid)?;
            (!here && (over || rustix::process::test_kill_process(pid).is_err())).then_some(lost)
        })
    }

    /// Starts a program on a new PTY: the key, the child, the master, the store.
    pub(crate) fn spawn(&self, meta: u32, spec: &SpawnSpec) -> Result<(u64, i32, OwnedFd, OwnedFd), LinkError> {
        let mut exits = self.exits();
        if exits.gone {
            return Err(LinkError::Gone);
        }
        let spec = spec.clone();
        send(&self.inner.socket, &ToHolder::Spawn { meta, spec }, &[])?;
        loop {
            match receive(&self.inner.socket, Wait::Yes)? {
                Got::Message(FromHolder::Spawned { key, pid }, fds) => {
                    let [master, store]: [OwnedFd; 2] = fds
                        .try_into()
                        .map_err(|_| LinkError::Strange("a terminal without its descriptors".to_owned()))?;
                    return Ok((key, pid, master, store));
                }
                Got::Message(FromHolder::Failed { why }, _) => return Err(LinkError::Failed(why)),
                Got::Message(FromHolder::Exited { key, status }, _) => {
                    exits.ended.insert(key, status);
                }
                Got::Message(other, _) => return Err(LinkError::Strange(format!("{other:?}"))),
                Got::Nothing | Got::Gone => {
                    exits.gone = true;
                    return Err(LinkError::Gone);
                }
            }
        }
    }

    fn tell(&self, message: &ToHolder) {
        // A holder that is gone is noticed where it is heard.
        let _ = send(&self.inner.socket, message, &[]);
    }

    /// Lets go of a terminal.
    pub(crate) fn release(&self, key: u64) {
        self.exits().ended.remove(&key);
        self.tell(&ToHolder::Release { key });
    }

    /// Lets go of a terminal that nobody takes over.
    pub fn refuse(&self, adopted: Adopted) {
        let key = adopted.key;
        drop(adopted);
        self.release(key);
    }

    /// The session is served: a server that ends from now on without [`Link::bye`] is started again.
    pub fn ready(&self) {
        self.tell(&ToHolder::Ready);
    }

    /// The session ends.
    pub fn bye(&self) {
        self.tell(&ToHolder::Bye);
    }
}
