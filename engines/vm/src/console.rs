//! The console: what a guest said, in a bounded ring, and who hears of it.
//!
//! Writing never waits. When the ring is full its oldest bytes go, and a reader who comes too late is told how many. Bytes
//! are numbered from the machine's start, so every reader keeps its own place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::machine::Watch;

#[derive(Default)]
struct Ring {
    bytes: VecDeque<u8>,
    // The number of the first byte in the ring.
    first: u64,
}

/// What a reader gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Bytes that were gone before.
    pub lost: u64,
    /// The number of the byte that comes next.
    pub next: u64,
}

/// The console of a machine.
pub struct Console {
    ring: Mutex<Ring>,
    room: usize,
    told: AtomicBool,
    watch: Watch,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("end", &self.end())
            .field("room", &self.room)
            .finish()
    }
}

impl Console {
    /// One that keeps `room` bytes and calls `watch` at the first byte after each [`Console::read`].
    pub fn new(room: usize, watch: Watch) -> Arc<Console> {
        Arc::new(Console {
            ring: Mutex::default(),
            room: room.max(1),
            told: AtomicBool::new(false),
            watch,
        })
    }

    /// Takes a byte from the guest.
    pub fn put(&self, byte: u8) {
        let mut ring = self.ring.lock();
        if ring.bytes.len() >= self.room {
            ring.bytes.pop_front();
            ring.first += 1;
        }
        ring.bytes.push_back(byte);
        drop(ring);
        if !self.told.swap(true, Ordering::AcqRel) {
            (self.watch)();
        }
    }

    /// What the guest said from the byte with this number on, `most` bytes at the most.
    pub fn read(&self, from: u64, most: usize) -> Read {
        self.told.store(false, Ordering::Release);
        let ring = self.ring.lock();
        let lost = ring.first.saturating_sub(from);
        let skip = usize::try_from(from.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let bytes: Vec<u8> = ring.bytes.iter().skip(skip).take(most).copied().collect();
        let next = from.max(ring.first) + u64::try_from(bytes.len()).unwrap_or(0);
        Read { bytes, lost, next }
    }

    /// The number of the byte that comes next.
    pub fn end(&self) -> u64 {
        let ring = self.ring.lock();
        ring.first + u64::try_from(ring.bytes.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn the_newest_is_kept_and_what_is_gone_is_counted() {
        let n = Arc::new(AtomicU32::new(0));
        let m = Arc::clone(&n);
        let c = Console::new(
            4,
            Arc::new(move || {
                m.fetch_add(1, Ordering::Relaxed);
            }),
        );
        b"abcdef".iter().for_each(|b| c.put(*b));
        assert_eq!(n.load(Ordering::Relaxed), 1, "told once until somebody reads");
        let r = c.read(0, 3);
        assert_eq!((r.bytes.as_slice(), r.lost, r.next), (&b"cde"[..], 2, 5));
        assert_eq!(
            c.read(r.next, 9),
            Read {
                bytes: b"f".to_vec(),
                lost: 0,
                next: 6
            }
        );
        assert_eq!(
            c.read(6, 9),
            Read {
                bytes: Vec::new(),
                lost: 0,
                next: 6
            }
        );
        c.put(b'g');
        assert_eq!((n.load(Ordering::Relaxed), c.end()), (2, 7));
    }
}
