//! The event loop's eyes: an epoll set with tokens, and a waker that other threads may use. It owns descriptors' interest
//! and nothing else; what an event means is the session's business. Level-triggered, so that a descriptor which was not
//! drained in its turn is simply reported again, after everybody else had theirs.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// Whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    /// The listening socket.
    Listener,
    /// Another thread called the waker.
    Wake,
    /// A signal arrived.
    Signal,
    /// The holder said something.
    Holder,
    /// A client's socket.
    Client(u32),
    /// A client's terminal.
    Tty(u32),
    /// A pane's PTY.
    Pane(u32),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Listener => 0,
            Self::Wake => 1,
            Self::Signal => 2,
            Self::Holder => 3,
            Self::Client(n) => 1 << 32 | u64::from(n),
            Self::Pane(n) => 2 << 32 | u64::from(n),
            Self::Tty(n) => 3 << 32 | u64::from(n),
        }
    }

    fn unpack(v: u64) -> Self {
        let low = v as u32;
        match v >> 32 {
            1 => Self::Client(low),
            2 => Self::Pane(low),
            3 => Self::Tty(low),
            _ => match low {
                0 => Self::Listener,
                1 => Self::Wake,
                3 => Self::Holder,
                _ => Self::Signal,
            },
        }
    }
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Whom it is for.
    pub(crate) token: Token,
    /// It can be read, or is at its end.
    pub(crate) readable: bool,
    /// It can be written.
    pub(crate) writable: bool,
}

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Nothing for now: its turn is put off.
    Nothing,
    /// Writing (a client that sends faster than it reads).
    Write,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
            Self::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::OUT,
            Self::Nothing => epoll::EventFlags::empty(),
            Self::Write => epoll::EventFlags::OUT,
        }
    }
}

/// An epoll set.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    buf: Vec<epoll::Event>,
}

impl Reactor {
    /// An empty set with its waker.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(
            &epoll,
            &wake,
            epoll::EventData::new_u64(Token::Wake.pack()),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            wake,
            buf: Vec::with_capacity(256),
        })
    }

    /// A function that any thread may call to make `wait` return.
    pub(crate) fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let fd = Arc::clone(&self.wake);
        Arc::new(move || {
            let _ = rustix::io::write(&*fd, &1u64.to_ne_bytes());
        })
    }

    /// Forgets the waker's calls up to now.
    pub(crate) fn clear_wake(&self) {
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
    }

    /// Watches a descriptor.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token.pack()),
            interest.flags(),
        )?)
    }

    /// Changes what is watched for.
    pub(crate) fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token.pack()),
            interest.flags(),
        )?)
    }

    /// Watches no longer.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for events, at most `timeout` (for ever when `None`), and puts them in `out`.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Ready>) -> io::Result<()> {
        out.clear();
        self.buf.clear();
        let ts = timeout.and_then(|t| Timespec::try_from(t).ok());
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.buf), ts.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for e in &self.buf {
            let flags = e.flags;
            let hup = epoll::EventFlags::HUP | epoll::EventFlags::ERR | epoll::EventFlags::RDHUP;
            out.push(Ready {
                token: Token::unpack(e.data.u64()),
                readable: flags.intersects(epoll::EventFlags::IN | hup),
                writable: flags.contains(epoll::EventFlags::OUT),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for t in [
            Token::Listener,
            Token::Wake,
            Token::Signal,
            Token::Holder,
            Token::Client(0),
            Token::Client(u32::MAX),
            Token::Pane(7),
            Token::Tty(7),
        ] {
            assert_eq!(Token::unpack(t.pack()), t);
        }
    }

    #[test]
    fn the_waker_wakes_and_is_forgotten() {
        let mut r = Reactor::new().unwrap();
        let wake = r.waker();
        let mut out = Vec::new();
        r.wait(Some(Duration::ZERO), &mut out).unwrap();
        assert!(out.is_empty());
        std::thread::spawn(move || wake()).join().unwrap();
        r.wait(None, &mut out).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].token, Token::Wake);
        r.clear_wake();
        r.wait(Some(Duration::ZERO), &mut out).unwrap();
        assert!(out.is_empty());
    }
}
