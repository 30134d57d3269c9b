//! The process itself: one thread around one poll.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions},
};
use signal_hook::consts::SIGCHLD;

use super::wire::{FromHolder, Got, ToHolder, Wait, pair, receive, send};
use crate::{ExitStatus, SpawnSpec, pty, store};

/// How long a child may take to end after its terminal is gone.
const GRACE: Duration = Duration::from_secs(3);
/// A server that ends sooner than this after it began is counted; after some in a row the next one has to wait…
const SOON: Duration = Duration::from_millis(100);
/// …so long at the most when the last one had served.
const LONGEST_SERVED: Duration = Duration::from_secs(1);
/// After so many servers that ended before they served, what was left is not looked at any more.
const TRIES: u32 = 3;
/// The longest wait before another server is started, when the last one did not get so far as to serve.
const LONGEST: Duration = Duration::from_secs(30);

/// What a holder keeps from its start on.
#[derive(Debug)]
pub struct Keep {
    /// The session's listening socket.
    pub listener: OwnedFd,
    /// The session's lock.
    pub lock: OwnedFd,
}

/// How holding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The session ended.
    Ended,
    /// The first server never served; this is how it ended.
    Never(ExitStatus),
}

/// A terminal.
struct Held {
    meta: u32,
    pid: Pid,
    spec: SpawnSpec,
    master: OwnedFd,
    store: OwnedFd,
    exit: Option<ExitStatus>,
}

/// The server that runs, and its socket.
struct Server {
    child: Child,
    link: OwnedFd,
    since: Instant,
    ready: bool,
}

struct Holder {
    keep: Keep,
    state: OwnedFd,
    held: BTreeMap<u64, Held>,
    /// Children whose terminal is gone, and when they are killed.
    orphans: Vec<(Pid, Instant)>,
    next: u64,
    exe: Option<PathBuf>,
    restarts: u32,
    before: Option<ExitStatus>,
    /// Servers in a row that ended before they served, and that ended soon.
    failed: u32,
    soon: u32,
    served: bool,
    upgraded: bool,
    bye: bool,
}

/// Holds a session's terminals until it ends. `start` starts a server: of this program or of the one it is given, with the
/// descriptor as its standard input.
///
/// # Errors
/// When the first server cannot be started, or the system refuses what the holder itself needs.
pub fn hold(keep: Keep, start: &mut dyn FnMut(Option<&Path>, OwnedFd) -> io::Result<Child>) -> io::Result<Kept> {
    let (mut children, write) = UnixStream::pair()?;
    children.set_nonblocking(true)?;
    write.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGCHLD, write)?;
    let mut holder = Holder {
        keep,
        state: rustix::fs::memfd_create("quarterdeck-session", rustix::fs::MemfdFlags::CLOEXEC)?,
        held: BTreeMap::new(),
        orphans: Vec::new(),
        next: 1,
        exe: None,
        restarts: 0,
        before: None,
        failed: 0,
        soon: 0,
        served: false,
        upgraded: false,
        bye: false,
    };
    let mut server = Some(holder.start(start)?);
    let mut again: Option<Instant> = None;
    loop {
        holder.wait(server.as_ref(), &children, again)?;
        let mut buf = [0; 64];
        while matches!(children.read(&mut buf), Ok(n) if n > 0) {}
        if let Some(s) = &mut server {
            let gone = holder.hear(s);
            holder.reap(Some(&s.link));
            if let Some(status) = ended(&mut s.child, gone) {
                // Its last words may have come in between.
                holder.hear(s);
                if holder.bye {
                    break;
                }
                let was_ready = s.ready;
                let lived = s.since.elapsed();
                server = None;
                if !holder.served {
                    return Ok(Kept::Never(status));
                }
                again = Some(Instant::now() + holder.pause(status, was_ready, lived));
            }
        } else {
            holder.reap(None);
        }
        if again.is_some_and(|t| t <= Instant::now()) {
            again = None;
            holder.restarts += 1;
            match holder.start(start) {
                Ok(s) => server = Some(s),
                Err(_) => again = Some(Instant::now() + LONGEST),
            }
        }
    }
    holder.end(&children);
    Ok(Kept::Ended)
}

/// How a server ended; one that closed its socket is not waited for longer than it takes to exit.
fn ended(child: &mut Child, gone: bool) -> Option<ExitStatus> {
    let status = if gone {
        child.wait().ok()
    } else {
        child.try_wait().ok().flatten()
    };
    status.map(|s| ExitStatus {
        code: s.code(),
        signal: std::os::unix::process::ExitStatusExt::signal(&s),
    })
}

impl Holder {
    fn start(&self, start: &mut dyn FnMut(Option<&Path>, OwnedFd) -> io::Result<Child>) -> io::Result<Server> {
        let (ours, theirs) = pair()?;
        // A program that cannot be started is given up for the one that runs here.
        let theirs_too = theirs.try_clone()?;
        let child = match start(self.exe.as_deref(), theirs) {
            Err(_) if self.exe.is_some() => start(None, theirs_too)?,
            other => other?,
        };
        let server = Server {
            child,
            link: ours,
            since: Instant::now(),
            ready: false,
        };
        let hello = FromHolder::Hello {
            held: self.held.len(),
            restarts: self.restarts,
            before: self.before,
            blank: self.failed >= TRIES,
            upgraded: self.upgraded,
        };
        // Whatever goes wrong with a server's socket shows when it ends.
        let keep = [self.keep.listener.as_fd(), self.keep.lock.as_fd(), self.state.as_fd()];
        let mut sent = send(&server.link, &hello, &keep);
        for (key, h) in &self.held {
            let message = FromHolder::Held {
                key: *key,
                meta: h.meta,
                pid: h.pid.as_raw_nonzero().get(),
                exit: h.exit,
                spec: h.spec.clone(),
            };
            sent = sent.and_then(|()| send(&server.link, &message, &[h.master.as_fd(), h.store.as_fd()]));
        }
        Ok(server)
    }

    /// Waits until something is to be done.
    fn wait(&self, server: Option<&Server>, children: &UnixStream, again: Option<Instant>) -> io::Result<()> {
        let due = self.orphans.iter().map(|(_, t)| *t).chain(again).min();
        let left = due.map(|t| t.saturating_duration_since(Instant::now()));
        let left = left.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(d.subsec_nanos()),
        });
        let mut fds = vec![PollFd::new(children, PollFlags::IN)];
        fds.extend(server.map(|s| PollFd::new(&s.link, PollFlags::IN)));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Does what the server asks; true when it is gone.
    fn hear(&mut self, server: &mut Server) -> bool {
        loop {
            let message = match receive(&server.link, Wait::No) {
                Ok(Got::Message(m, _)) => m,
                Ok(Got::Nothing) => return false,
                Ok(Got::Gone) | Err(_) => return true,
            };
            match message {
                ToHolder::Spawn { meta, spec } => self.spawn(&server.link, meta, spec),
                ToHolder::Release { key } => self.release(key),
                ToHolder::Ready => {
                    server.ready = true;
                    self.served = true;
                    self.failed = 0;
                }
                ToHolder::Bye => self.bye = true,
            }
        }
    }

    fn spawn(&mut self, link: &OwnedFd, meta: u32, spec: SpawnSpec) {
        let made = pty::open(&spec)
            .map_err(|e| e.to_string())
            .and_then(|(master, pid)| match (store::file(), pid) {
                (Ok(store), Some(pid)) => Ok((master, store, pid)),
                (Err(e), _) => Err(format!("there is no memory for its output: {e}")),
                (_, None) => Err("the program that was started has no number".to_owned()),
            });
        let (master, store, pid) = match made {
            Ok(made) => made,
            Err(why) => {
                let _ = send(link, &FromHolder::Failed { why }, &[]);
                return;
            }
        };
        let key = self.next;
        self.next += 1;
        let message = FromHolder::Spawned {
            key,
            pid: pid.as_raw_nonzero().get(),
        };
        let _ = send(link, &message, &[master.as_fd(), store.as_fd()]);
        let held = Held {
            meta,
            pid,
            spec,
            master,
            store,
            exit: None,
        };
        self.held.insert(key, held);
    }

    fn release(&mut self, key: u64) {
        if let Some(h) = self.held.remove(&key) {
            self.orphans.push((h.pid, Instant::now() + GRACE));
        }
    }

    /// Looks which children ended. Those whose terminal is there stay unreaped, so that their number is not another's.
    fn reap(&mut self, link: Option<&OwnedFd>) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        for (key, h) in self.held.iter_mut().filter(|(_, h)| h.exit.is_none()) {
            let status = match rustix::process::waitid(WaitId::Pid(h.pid), options) {
                Ok(Some(s)) => ExitStatus {
                    code: s.exit_status(),
                    signal: s.terminating_signal(),
                },
                Ok(None) => continue,
                Err(_) => ExitStatus {
                    code: None,
                    signal: None,
                },
            };
            h.exit = Some(status);
            if let Some(link) = link {
                let _ = send(link, &FromHolder::Exited { key: *key, status }, &[]);
            }
        }
        let now = Instant::now();
        self.orphans.retain_mut(|(pid, due)| {
            if *due <= now {
                let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
                *due = now + GRACE;
            }
            matches!(rustix::process::waitpid(Some(*pid), WaitOptions::NOHANG), Ok(None))
        });
    }

    /// How long to wait before the next server, after one that ended like this.
    fn pause(&mut self, status: ExitStatus, ready: bool, lived: Duration) -> Duration {
        self.before = Some(status);
        self.failed = if ready { 0 } else { self.failed + 1 };
        self.soon = if lived < SOON { self.soon + 1 } else { 0 };
        let doubled = self.soon.saturating_sub(8).min(10);
        if doubled == 0 {
            Duration::ZERO
        } else {
            let longest = if ready { LONGEST_SERVED } else { LONGEST };
            (Duration::from_millis(50) * 2_u32.pow(doubled)).min(longest)
        }
    }

    /// Hangs everything up and waits until it has ended, or kills it.
    fn end(mut self, children: &UnixStream) {
        let due = Instant::now() + GRACE;
        for (_, h) in std::mem::take(&mut self.held) {
            if h.exit.is_none() {
                let _ = rustix::process::kill_process_group(h.pid, Signal::HUP);
                let _ = rustix::process::kill_process_group(h.pid, Signal::CONT);
            }
            self.orphans.push((h.pid, due));
        }
        let last = due + Duration::from_secs(1);
        self.reap(None);
        while !self.orphans.is_empty() && Instant::now() < last {
            if self.wait(None, children, Some(last)).is_err() {
                return;
            }
            let mut buf = [0; 64];
            let mut from = children;
            while matches!(from.read(&mut buf), Ok(n) if n > 0) {}
            self.reap(None);
        }
    }
}
