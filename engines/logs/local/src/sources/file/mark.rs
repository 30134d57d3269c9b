//! Marks: what is remembered of a file's bytes to know it again.

use serde::{Deserialize, Serialize};

/// Bytes of a file's beginning that are remembered.
pub(crate) const HEAD: usize = 1024;
/// Bytes before a position that are remembered.
pub(crate) const TAIL: usize = 256;

/// A length and the hash of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) len: u32,
    pub(crate) hash: u64,
}

impl Mark {
    pub(crate) fn of(bytes: &[u8]) -> Mark {
        Mark {
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            hash: fnv(bytes),
        }
    }

    /// Whether these bytes begin with what was marked.
    pub(crate) fn begins(&self, bytes: &[u8]) -> bool {
        bytes.get(..self.len as usize).is_some_and(|b| fnv(b) == self.hash)
    }
}

/// FNV-1a with 64 bits (draft-eastlake-fnv): the same on every machine, as it is written to disk.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The last bytes of `bytes`, as many as are remembered before a position.
pub(crate) fn last(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default()
}
