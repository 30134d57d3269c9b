//! Batches as bytes, for disk buffers.
//!
//! Everything is little-endian and begins with a version; numbers have fixed widths, texts and lists their length before
//! them. A batch comes back in the form it had, with the same events, kinds, metadata and times: lines stay lines, with
//! what they have in common written once, and documents stay text with a table of fields. Nobody waits for a batch that
//! comes back.

mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use qd_logs_model::Batch;

/// The version that is written, and the only one that is read.
const VERSION: u8 = 2;
/// How deep values may nest.
const MAX_DEPTH: usize = 512;
/// Different names of types of sources that are kept for good.
const MAX_TYPES: usize = 256;

/// The first byte after the version: what form the batch has.
mod form {
    /// Lines of one block.
    pub(super) const LINES: u8 = 0;
    /// Values with metadata.
    pub(super) const EVENTS: u8 = 1;
    /// Metrics.
    pub(super) const METRICS: u8 = 2;
    /// Documents as text.
    pub(super) const DOCS: u8 = 3;
}

/// Why a batch cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodeError {
    /// Values nest too deep.
    #[error("values nest deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A length does not fit 32 bits.
    #[error("it is larger than 4 GiB")]
    Size,
    /// The bytes end too early, or say what cannot be.
    #[error("the bytes are no batch")]
    Bytes,
    /// Another version.
    #[error("the batch is of another version")]
    Version,
}

type Coded<T> = Result<T, CodeError>;

/// Appends a batch.
pub(crate) fn encode(batch: &Batch, out: &mut Vec<u8>) -> Coded<()> {
    out.push(VERSION);
    write::put_batch(batch, out)
}

/// Reads a batch; its texts share the block.
pub(crate) fn decode(block: &Bytes) -> Coded<Batch> {
    read::Reader::new(block).batch()
}
