//! Framing: where one event's bytes end and the next one's begin.
//!
//! [`Framer`] cuts a stream into frames, [`FramingEncoder`] marks them. Frames that are too long are never kept in
//! memory: they are skipped (or cut, where the configuration says so) and counted.

mod chunked_gelf;
mod config;
mod encode;
mod framer;

pub use chunked_gelf::{ChunkedGelf, gelf_chunks};
pub use config::{
    CharacterDelimited, ChunkedGelfOptions, Decompression, FramingConfig, FramingEncoderConfig, LengthDelimited,
    NewlineDelimited, OversizedAction,
};
pub use encode::FramingEncoder;
pub use framer::{Framer, HARD_LIMIT};

/// A stream that can't be cut into frames, or a frame that can't be marked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The stream can't be read further: nobody knows where the next frame begins.
    #[error("{0}; the stream can't be read further")]
    Fatal(String),
    /// One frame is bad; the next ones can be read.
    #[error("{0}")]
    Frame(String),
}

impl FramingError {
    /// Whether the next frames can be read.
    pub fn can_continue(&self) -> bool {
        matches!(self, FramingError::Frame(_))
    }
}
