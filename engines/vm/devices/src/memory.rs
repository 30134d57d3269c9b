//! Guest memory: anonymous, in one region below the hole of the devices and one above 4 GiB.

use vm_memory::bitmap::AtomicBitmap;
use vm_memory::{GuestAddress, GuestMemoryMmap};

/// Guest memory with a bit for each page that a device has written.
pub type Memory = GuestMemoryMmap<AtomicBitmap>;

/// One GiB in bytes.
pub const GIB: u64 = 1 << 30;
/// The size of a page in bytes.
pub const PAGE: u64 = 4096;
/// Where the hole for devices begins.
pub const HOLE: u64 = 3 * GIB;
/// Where it ends.
pub const HOLE_END: u64 = 4 * GIB;

/// Where memory of so many bytes lies: address and length of each region.
pub fn regions(bytes: u64) -> Vec<(u64, u64)> {
    match bytes.checked_sub(HOLE) {
        None | Some(0) => vec![(0, bytes)],
        Some(above) => vec![(0, HOLE), (HOLE_END, above)],
    }
}

/// Memory of so many bytes, none of which is there before it is touched.
///
/// # Errors
/// What the host says: too much, or nothing at all.
pub fn allocate(bytes: u64) -> Result<Memory, String> {
    let size = |n: u64| usize::try_from(n).map_err(|e| e.to_string());
    let ranges = regions(bytes)
        .into_iter()
        .map(|(at, len)| Ok((GuestAddress(at), size(len)?)))
        .collect::<Result<Vec<_>, String>>()?;
    Memory::from_ranges(&ranges).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_leaves_the_hole_free() {
        assert_eq!(regions(128 << 20), [(0, 128 << 20)]);
        assert_eq!(regions(HOLE), [(0, HOLE)]);
        assert_eq!(regions(5 * GIB), [(0, HOLE), (HOLE_END, 2 * GIB)]);
    }
}
