//! The messages between holder and server, and how they and their descriptors cross the socket.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ExitStatus, SpawnSpec};

/// The most bytes of a message.
const LONGEST: usize = 256 << 10;
/// The most descriptors beside a message.
const FDS: usize = 4;

/// What a server says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToHolder {
    /// Start this, for the pane `meta`.
    Spawn { meta: u32, spec: SpawnSpec },
    /// Let go of this terminal: it is hung up, and killed when it does not mind.
    Release { key: u64 },
    /// The session is served: from now on a server that ends is started again.
    Ready,
    /// The session ends: what is still held is hung up.
    Bye,
}

/// What the holder says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromHolder {
    /// The first word, with the listening socket, the lock and the session's state beside it.
    Hello {
        /// How many terminals follow.
        held: usize,
        /// How often a server was started before.
        restarts: u32,
        /// How the server before ended.
        before: Option<ExitStatus>,
        /// What was left is not to be looked at: servers that did so ended at once.
        #[serde(default)]
        blank: bool,
        /// The server before was ended for this one.
        #[serde(default)]
        upgraded: bool,
    },
    /// A terminal, with its master and its store beside it.
    Held {
        key: u64,
        meta: u32,
        pid: i32,
        exit: Option<ExitStatus>,
        spec: SpawnSpec,
    },
    /// What was asked for is started; its master and its store are beside it.
    Spawned { key: u64, pid: i32 },
    /// What was asked for could not be started.
    Failed { why: String },
    /// A child ended.
    Exited { key: u64, status: ExitStatus },
}

/// A pair of ends.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&pair.0, &pair.1] {
        // The longest message has to fit; the system may refuse, and then the long ones fail.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(end, 2 * LONGEST);
    }
    Ok(pair)
}

/// Sends a message.
pub(super) fn send(to: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LONGEST {
        return Err(Errno::MSGSIZE.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        match rustix::net::sendmsg(&to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether to wait for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until there is one.
    Yes,
    /// Only when there is one.
    No,
}

/// What was received.
pub(super) enum Got<T> {
    /// A message, with what came beside it.
    Message(T, Vec<OwnedFd>),
    /// There is none now.
    Nothing,
    /// The other end is gone.
    Gone,
}

/// Receives a message; one that is not understood is passed over.
pub(super) fn receive<T: DeserializeOwned>(from: impl AsFd, wait: Wait) -> io::Result<Got<T>> {
    let mut bytes = vec![0; LONGEST];
    let flags = match wait {
        Wait::Yes => RecvFlags::CMSG_CLOEXEC,
        Wait::No => RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    };
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = match rustix::net::recvmsg(&from, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(got) => got,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Ok(Got::Nothing),
            Err(Errno::CONNRESET) => return Ok(Got::Gone),
            Err(e) => return Err(e.into()),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if got.bytes == 0 {
            return Ok(Got::Gone);
        }
        if got.flags.contains(ReturnFlags::TRUNC) {
            continue;
        }
        if let Ok(message) = serde_json::from_slice(bytes.get(..got.bytes).unwrap_or_default()) {
            return Ok(Got::Message(message, fds));
        }
    }
}
