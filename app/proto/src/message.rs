//! The messages themselves.

use qd_tty::{InputEvent, Size};
use serde::{Deserialize, Serialize};

/// What the outer terminal can do, as the client found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// What may be written to it.
    pub paint: qd_frame::Caps,
    /// The kitty keyboard protocol.
    pub kitty_keyboard: bool,
    /// Only ASCII may be drawn by the chrome (`--ascii`, or a locale that is not UTF-8).
    pub ascii: bool,
    /// The terminal's background is light, where it told.
    pub light: Option<bool>,
}

/// Why a client connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To show the session and type into it.
    Attach(Attach),
    /// To run one action and go.
    Action(ActionRequest),
    /// To learn about the session.
    Info,
    /// To end the session.
    Kill,
}

/// What an attached client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachMode {
    /// Everything.
    Interactive,
    /// Look only.
    ReadOnly,
}

/// The first message of a client that attaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The size of its terminal.
    pub size: Size,
    /// What its terminal can do.
    pub caps: Capabilities,
    /// What it may do.
    pub mode: AttachMode,
    /// Variables of its environment that the session refreshes at attach (`SSH_AUTH_SOCK`, `DISPLAY`, …); `None` is
    /// one that is not set.
    pub env: Vec<(String, Option<String>)>,
    /// The path of its terminal, for listings.
    pub tty: Option<String>,
    /// Detach every other client.
    pub exclusive: bool,
}

/// One action from the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRequest {
    /// The action's name and its arguments, as typed.
    pub words: Vec<String>,
    /// The working directory of the caller.
    pub cwd: Option<String>,
    /// The pane the caller runs in (`QD_PANE_ID`), where it runs in one.
    pub from_pane: Option<u32>,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReply {
    /// 0 done, 1 it could not be done, 2 there is no such action or its arguments are wrong.
    pub status: u8,
    /// What goes to standard output.
    pub output: String,
    /// What goes to standard error.
    pub error: String,
}

/// A session, for listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its name.
    pub name: String,
    /// The server's process id.
    pub pid: u32,
    /// When it was made, seconds since 1970.
    pub created: u64,
    /// Attached clients.
    pub clients: u32,
    /// Tabs.
    pub tabs: u32,
    /// Panes.
    pub panes: u32,
    /// The build that serves it.
    pub build: String,
}

/// A terminal by its path, and by what tells whether another process finds the same one there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    /// Its path.
    pub path: String,
    /// The file system that the path is on (each container's `/dev/pts` is one of its own).
    pub dev: u64,
    /// Its inode there.
    pub ino: u64,
    /// The device.
    pub rdev: u64,
}

/// From a client to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMsg {
    /// The first message.
    Open(Purpose),
    /// What the person did, in order.
    Input(Vec<InputEvent>),
    /// The terminal has a new size.
    Resize(Size),
    /// More is known of the terminal.
    Caps(Capabilities),
    /// The frame with this number has been written to the terminal.
    Ack(u64),
    /// The terminal's content is lost (it was stopped and continued): draw everything.
    Repaint,
    /// The client leaves.
    Detach,
    /// The server may write to this terminal by itself from now on; the client writes nothing more to it before the
    /// server has let go of it, which it has when it says good-bye or closes the connection.
    Direct(Tty),
    /// The client's own bytes for its terminal: they come back before the next frame, wherever the frames go.
    Own(#[serde(with = "bytes")] Vec<u8>),
}

/// From the server to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerMsg {
    /// Bytes for the terminal; the client answers `Ack(number)` when they are written.
    Frame {
        /// The frame's number, growing.
        number: u64,
        /// The bytes.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// The client has been detached; the session goes on.
    Detached {
        /// Why, in a sentence.
        reason: String,
    },
    /// The session has ended.
    Ended {
        /// How, in a sentence.
        reason: String,
    },
    /// The client should attach to another session.
    Switch {
        /// That session's name.
        session: String,
    },
    /// The answer to an action.
    Action(ActionReply),
    /// The answer to `Info`.
    Info(SessionInfo),
    /// The request cannot be served.
    Refused {
        /// Why, in a sentence.
        reason: String,
    },
}

/// Byte strings in one piece, not as a sequence of numbers.
mod bytes {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(v: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(v)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E>(self, v: &[u8]) -> Result<Vec<u8>, E> {
            Ok(v.to_vec())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        d.deserialize_bytes(Bytes)
    }
}
