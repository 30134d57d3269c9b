//! The protocol between a client and the session's server: a handshake that any two versions can read, then
//! length-delimited frames of serde-encoded messages. It owns the wire format and nothing else; it never decides what a
//! message means.
//!
//! Wire format: each side first writes a [`Hello`] in a fixed layout (magic `QDCK`, protocol number as u16 LE, length of
//! the build's name as u8, the name). After that every frame is a u32 LE length (at most [`MAX_FRAME`]) and that many
//! bytes of `postcard`.

mod message;
mod wire;

pub use message::{
    ActionReply, ActionRequest, Attach, AttachMode, Capabilities, ClientMsg, Purpose, ServerMsg, SessionInfo, Tty,
};
pub use wire::{FrameBuf, Hello, MAX_FRAME, PROTOCOL, ProtoError, encode, read_hello, read_msg, write_msg};

/// Entry points for fuzzing: bytes from a socket.
pub mod fuzz {
    /// Feeds arbitrary bytes to the handshake and to both directions of the frame decoder.
    pub fn frames(data: &[u8]) {
        let _ = super::read_hello(&mut &data[..]);
        let mut c = super::FrameBuf::new();
        c.push(data);
        while let Ok(Some(_)) = c.take_msg::<super::ClientMsg>() {}
        let mut s = super::FrameBuf::new();
        s.push(data);
        while let Ok(Some(_)) = s.take_msg::<super::ServerMsg>() {}
    }
}
