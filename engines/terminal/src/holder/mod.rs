//! A small process that keeps what must outlive a session's server: the masters of the PTYs, the children, and what each
//! terminal leaves behind. It parses nothing that a program prints. It starts the server, and starts it again when it ends
//! without having said goodbye; the new one is handed everything and goes on.
//!
//! The two speak over a socket of packets: one JSON object each, with descriptors beside it where the message says so. The
//! holder may be older than the server it starts: fields and messages are only ever added, and what is not known is
//! passed over.

mod keep;
mod link;
mod wire;

pub use keep::{Keep, Kept, hold};
pub use link::{Adopted, Greeting, Link, LinkError, Was};
