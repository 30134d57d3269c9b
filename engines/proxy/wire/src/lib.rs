//! HTTP/1 on the wire.
//!
//! This crate owns how heads and bodies are read and written ([`head`], [`body`]), which headers belong to one hop only and
//! which are added on the way ([`rules`]), what the first bytes of a connection say ([`detect`], [`hello`], [`preamble`]).
//! It takes bytes and gives values; it never waits, and every size is bounded by [`Limits`].

pub mod authority;
pub mod body;
pub mod detect;
pub mod fields;
pub mod head;
pub mod hello;
pub mod preamble;
pub mod rules;

pub use authority::Authority;
pub use body::{BodyError, Decoded, Decoder, Framing};
pub use detect::Detected;
pub use fields::{Fields, Known};
pub use head::{HeadError, RequestHead, ResponseHead, Scan, Scheme, Version};

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, from its first line to the empty one. At most 1 MiB is useful.
    pub head_bytes: usize,
    /// Fields of a head, or of the trailers.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: 64 * 1024,
            fields: 128,
        }
    }
}
