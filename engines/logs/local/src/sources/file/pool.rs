//! Blocks of memory that files are read into, used again when the last batch that refers to them is gone.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes of a block; larger ones are made for longer lines and not kept.
pub(crate) const BLOCK: usize = 256 * 1024 + 8 * 1024;
/// Blocks that are kept.
const KEPT: usize = 4;

/// Keeps blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// A block of at least `len` bytes, with anything in it.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        if len > BLOCK {
            return vec![0; len];
        }
        self.0.lock().pop().unwrap_or_else(|| vec![0; BLOCK])
    }

    /// Gives a block back.
    pub(crate) fn give(&self, block: Vec<u8>) {
        if block.len() == BLOCK {
            let mut kept = self.0.lock();
            if kept.len() < KEPT {
                kept.push(block);
            }
        }
    }

    /// The first `len` bytes of a block, to share.
    pub(crate) fn share(&self, mut block: Vec<u8>, len: usize) -> Bytes {
        if len < block.len() / 16 {
            // A few lines must not hold a whole block.
            let few = Bytes::copy_from_slice(block.get(..len).unwrap_or_default());
            self.give(block);
            return few;
        }
        if block.len() != BLOCK {
            block.truncate(len);
        }
        Bytes::from_owner(Pooled {
            block,
            len,
            pool: self.clone(),
        })
    }
}

struct Pooled {
    block: Vec<u8>,
    len: usize,
    pool: Pool,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        self.block.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.block));
    }
}
