//! Split queues, with a driver that may be hostile.
//!
//! [`Queue::pop`] gives a [`Chain`]: buffers the device may read and buffers it may write, in that order, each still to be
//! checked against memory when it is used. A chain has no more buffers than the queue has entries, so a loop ends there.
//! What no driver may do to a queue (an index out of bounds, a loop, more entries than there are) is [`Broken`]; an address
//! outside memory is an error of that request only.

use std::sync::atomic::{Ordering, fence};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, VolatileSlice, bitmap::BS};

use crate::Memory;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const DESCRIPTOR: u64 = 16;
const NO_INTERRUPT: u16 = 1;

/// What a driver did to a queue that none may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// The rings cannot be there.
    #[error("the {0} does not lie in memory, or not aligned")]
    Place(&'static str),
    /// The size cannot be.
    #[error("a queue of {0} entries cannot be")]
    Size(u16),
    /// More available entries than the queue has.
    #[error("{0} entries are said to be available in a queue of {1}")]
    Runaway(u16, u16),
    /// An index beyond the table.
    #[error("descriptor {0} is beyond the table's {1}")]
    Index(u16, u16),
    /// A chain that does not end.
    #[error("a chain is longer than the queue's {0} entries, or loops")]
    Loop(u16),
    /// A table within a table, with a chain behind it, of no length or of none that fits.
    #[error("an indirect table of {0} bytes cannot be")]
    Indirect(u32),
    /// A buffer for reading behind one for writing.
    #[error("a buffer to be read follows one to be written")]
    Order,
}

/// A part of guest memory, as a driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Its address.
    pub at: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// A slice of guest memory.
pub type Slice<'a> = VolatileSlice<'a, BS<'a, vm_memory::bitmap::AtomicBitmap>>;

impl Buffer {
    /// The memory it names, or `None` where it names none.
    pub fn slice<'a>(&self, memory: &'a Memory) -> Option<Slice<'a>> {
        let len = usize::try_from(self.len).ok()?;
        memory
            .get_slices(GuestAddress(self.at), len)
            .next()
            .and_then(Result::ok)
            .filter(|s| s.len() == len)
    }

    /// The part of it from `from` on.
    pub fn tail(&self, from: u32) -> Option<Buffer> {
        Some(Buffer {
            at: self.at.checked_add(u64::from(from))?,
            len: self.len.checked_sub(from)?,
        })
    }
}

/// One request: its buffers in the driver's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The index by which it is given back.
    pub head: u16,
    /// What the device may read.
    pub readable: Vec<Buffer>,
    /// What the device may write.
    pub writable: Vec<Buffer>,
}

impl Chain {
    /// Fills `out` from what the device may read: how many bytes there were.
    pub fn read(&self, memory: &Memory, out: &mut [u8]) -> usize {
        let mut done = 0;
        for b in &self.readable {
            let Some(rest) = out.get_mut(done..).filter(|r| !r.is_empty()) else {
                break;
            };
            let Some(slice) = b.slice(memory) else { break };
            done += slice.copy_to(rest);
        }
        done
    }
}

/// A queue as it is kept and worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The most entries it may have.
    pub max: u16,
    /// Its entries: a power of two.
    pub size: u16,
    /// Whether the driver has set it up.
    pub ready: bool,
    /// Where the descriptors are.
    pub descriptors: u64,
    /// Where the driver's ring is.
    pub available: u64,
    /// Where the device's ring is.
    pub used: u64,
    /// The index of the entry that is taken next.
    pub next_available: u16,
    /// The index of the entry that is given back next.
    pub next_used: u16,
    /// Whether both sides say at which index they want to hear something.
    pub event_index: bool,
    // The index up to which the driver has been told.
    told: u16,
}

impl Queue {
    /// One that the driver has not set up.
    pub fn new(max: u16) -> Queue {
        Queue {
            max,
            size: max,
            ..Queue::default()
        }
    }

    fn entry(&self, index: u16) -> u64 {
        u64::from(index & self.size.wrapping_sub(1))
    }

    /// Whether the rings can be where the driver says.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, memory: &Memory) -> Result<(), Broken> {
        if !self.size.is_power_of_two() || self.size > self.max {
            return Err(Broken::Size(self.size));
        }
        let n = u64::from(self.size);
        let parts = [
            ("descriptor table", self.descriptors, 16, DESCRIPTOR * n),
            ("available ring", self.available, 2, 6 + 2 * n),
            ("used ring", self.used, 4, 6 + 8 * n),
        ];
        for (name, at, align, len) in parts {
            let fits = usize::try_from(len).is_ok_and(|l| {
                // In one piece: memory has a hole, and a ring does not reach over it.
                memory.find_region(GuestAddress(at)).is_some() && memory.get_slice(GuestAddress(at), l).is_ok()
            });
            if at % align != 0 || !fits {
                return Err(Broken::Place(name));
            }
        }
        // Both indices may be any number, and no more than the queue apart.
        Ok(())
    }

    fn load16(memory: &Memory, at: u64, name: &'static str) -> Result<u16, Broken> {
        memory
            .load(GuestAddress(at), Ordering::Acquire)
            .map_err(|_| Broken::Place(name))
    }

    fn available_index(&self, memory: &Memory) -> Result<u16, Broken> {
        Self::load16(memory, self.available.wrapping_add(2), "available ring").map(u16::from_le)
    }

    /// Takes the next request, if there is one.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn pop(&mut self, memory: &Memory) -> Result<Option<Chain>, Broken> {
        let index = self.available_index(memory)?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting > self.size {
            return Err(Broken::Runaway(waiting, self.size));
        }
        if waiting == 0 {
            return Ok(None);
        }
        let at = self.available.wrapping_add(4 + 2 * self.entry(self.next_available));
        let head = u16::from_le(Self::load16(memory, at, "available ring")?);
        let chain = self.chain(memory, head)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(chain))
    }

    /// Puts the request that was taken last back, so that it is the next one again.
    pub fn undo_pop(&mut self) {
        self.next_available = self.next_available.wrapping_sub(1);
    }

    fn descriptor(memory: &Memory, table: u64, index: u16, size: u16) -> Result<(Buffer, u16, u16), Broken> {
        if index >= size {
            return Err(Broken::Index(index, size));
        }
        let mut raw = [0; 16];
        let at = GuestAddress(table.wrapping_add(DESCRIPTOR * u64::from(index)));
        memory
            .read_slice(&mut raw, at)
            .map_err(|_| Broken::Place("descriptor table"))?;
        let [a, b, c, d, e, f, g, h, l0, l1, l2, l3, f0, f1, n0, n1] = raw;
        let buffer = Buffer {
            at: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
        };
        Ok((buffer, u16::from_le_bytes([f0, f1]), u16::from_le_bytes([n0, n1])))
    }

    fn chain(&self, memory: &Memory, head: u16) -> Result<Chain, Broken> {
        let mut chain = Chain {
            head,
            readable: Vec::new(),
            writable: Vec::new(),
        };
        let (mut table, mut size, mut index) = (self.descriptors, self.size, head);
        let mut indirect = false;
        for seen in 0.. {
            if seen >= self.size {
                return Err(Broken::Loop(self.size));
            }
            let (buffer, flags, next) = Self::descriptor(memory, table, index, size)?;
            if flags & INDIRECT != 0 {
                let entries = buffer.len / 16;
                if indirect || seen > 0 || flags & NEXT != 0 || buffer.len % 16 != 0 || entries == 0 {
                    return Err(Broken::Indirect(buffer.len));
                }
                // A chain is never longer than the queue, so neither is its table.
                size = u16::try_from(entries)
                    .ok()
                    .filter(|e| *e <= self.size)
                    .ok_or(Broken::Indirect(buffer.len))?;
                (table, index, indirect) = (buffer.at, 0, true);
                let (first, flags, next) = Self::descriptor(memory, table, index, size)?;
                if flags & INDIRECT != 0 {
                    return Err(Broken::Indirect(first.len));
                }
                Self::put(&mut chain, first, flags)?;
                if flags & NEXT == 0 {
                    return Ok(chain);
                }
                index = next;
                continue;
            }
            Self::put(&mut chain, buffer, flags)?;
            if flags & NEXT == 0 {
                return Ok(chain);
            }
            index = next;
        }
        Ok(chain)
    }

    fn put(chain: &mut Chain, buffer: Buffer, flags: u16) -> Result<(), Broken> {
        if flags & WRITE != 0 {
            chain.writable.push(buffer);
        } else if chain.writable.is_empty() {
            chain.readable.push(buffer);
        } else {
            return Err(Broken::Order);
        }
        Ok(())
    }

    /// Gives a request back, into which `written` bytes were written.
    ///
    /// # Errors
    /// The ring is not in memory any more: the queue was never checked.
    pub fn push(&mut self, memory: &Memory, head: u16, written: u32) -> Result<(), Broken> {
        let place = |_| Broken::Place("used ring");
        let at = self.used.wrapping_add(4 + 8 * self.entry(self.next_used));
        let mut raw = [0; 8];
        let (id, len) = raw.split_at_mut(4);
        id.copy_from_slice(&u32::from(head).to_le_bytes());
        len.copy_from_slice(&written.to_le_bytes());
        memory.write_slice(&raw, GuestAddress(at)).map_err(place)?;
        self.next_used = self.next_used.wrapping_add(1);
        let index = GuestAddress(self.used.wrapping_add(2));
        memory
            .store(self.next_used.to_le(), index, Ordering::Release)
            .map_err(place)
    }

    /// Whether the driver wants to hear of what was given back since it was told last.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn wants_interrupt(&mut self, memory: &Memory) -> Result<bool, Broken> {
        // The index that was stored has to be seen before the driver's wish is read.
        fence(Ordering::SeqCst);
        if !self.event_index {
            let flags = u16::from_le(Self::load16(memory, self.available, "available ring")?);
            return Ok(flags & NO_INTERRUPT == 0);
        }
        let at = self.available.wrapping_add(4 + 2 * u64::from(self.size));
        let event = u16::from_le(Self::load16(memory, at, "available ring")?);
        let old = std::mem::replace(&mut self.told, self.next_used);
        Ok(self.next_used.wrapping_sub(event).wrapping_sub(1) < self.next_used.wrapping_sub(old))
    }

    /// Asks to be told of the next request: whether one has come meanwhile.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub fn listen(&mut self, memory: &Memory) -> Result<bool, Broken> {
        if self.event_index {
            let at = GuestAddress(self.used.wrapping_add(4 + 8 * u64::from(self.size)));
            let wish = self.next_available.to_le();
            memory
                .store(wish, at, Ordering::Relaxed)
                .map_err(|_| Broken::Place("used ring"))?;
            fence(Ordering::SeqCst);
        }
        Ok(self.available_index(memory)? != self.next_available)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const DESC: u64 = 0x1000;
    pub(crate) const AVAIL: u64 = 0x2000;
    pub(crate) const USED: u64 = 0x3000;

    pub(crate) fn memory() -> Memory {
        crate::allocate(1 << 20).unwrap()
    }

    pub(crate) fn queue(size: u16) -> Queue {
        Queue {
            size,
            ready: true,
            descriptors: DESC,
            available: AVAIL,
            used: USED,
            ..Queue::new(256)
        }
    }

    pub(crate) fn describe(m: &Memory, table: u64, i: u16, at: u64, len: u32, flags: u16, next: u16) {
        let mut raw = at.to_le_bytes().to_vec();
        raw.extend(len.to_le_bytes());
        raw.extend(flags.to_le_bytes());
        raw.extend(next.to_le_bytes());
        m.write_slice(&raw, GuestAddress(table + 16 * u64::from(i))).unwrap();
    }

    pub(crate) fn offer(m: &Memory, size: u16, head: u16) {
        let index: u16 = m.read_obj(GuestAddress(AVAIL + 2)).unwrap();
        m.write_obj(head, GuestAddress(AVAIL + 4 + 2 * u64::from(index % size)))
            .unwrap();
        m.write_obj(index.wrapping_add(1), GuestAddress(AVAIL + 2)).unwrap();
    }

    #[test]
    fn a_chain_in_order_and_given_back() {
        let (m, mut q) = (memory(), queue(8));
        q.check(&m).unwrap();
        assert_eq!(q.pop(&m), Ok(None));
        describe(&m, DESC, 3, 0x100, 16, NEXT, 5);
        describe(&m, DESC, 5, 0x200, 32, NEXT | WRITE, 1);
        describe(&m, DESC, 1, 0x300, 1, WRITE, 0);
        offer(&m, 8, 3);
        let c = q.pop(&m).unwrap().unwrap();
        assert_eq!(c.head, 3);
        assert_eq!(c.readable, [Buffer { at: 0x100, len: 16 }]);
        assert_eq!(
            c.writable,
            [Buffer { at: 0x200, len: 32 }, Buffer { at: 0x300, len: 1 }]
        );
        q.undo_pop();
        assert_eq!(q.pop(&m).unwrap(), Some(c));
        q.push(&m, 3, 33).unwrap();
        assert_eq!(m.read_obj::<[u32; 3]>(GuestAddress(USED)).unwrap(), [1 << 16, 3, 33]);
        assert_eq!(q.wants_interrupt(&m), Ok(true));
        m.write_obj(1u16, GuestAddress(AVAIL)).unwrap();
        assert_eq!(q.wants_interrupt(&m), Ok(false));
    }

    #[test]
    fn an_indirect_chain() {
        let (m, mut q) = (memory(), queue(8));
        describe(&m, DESC, 0, 0x4000, 48, INDIRECT, 0);
        describe(&m, 0x4000, 0, 0x100, 16, NEXT, 2);
        describe(&m, 0x4000, 2, 0x200, 8, WRITE, 0);
        offer(&m, 8, 0);
        let c = q.pop(&m).unwrap().unwrap();
        assert_eq!((c.readable.len(), c.writable.len()), (1, 1));
    }

    #[test]
    fn what_breaks_a_queue() {
        type Break = fn(&Memory);
        let cases: &[(Broken, Break)] = &[
            (Broken::Loop(8), |m| {
                describe(m, DESC, 0, 0, 1, NEXT, 1);
                describe(m, DESC, 1, 0, 1, NEXT, 0);
            }),
            (Broken::Index(8, 8), |m| describe(m, DESC, 0, 0, 1, NEXT, 8)),
            (Broken::Indirect(40), |m| describe(m, DESC, 0, 0x4000, 40, INDIRECT, 0)),
            (Broken::Indirect(0), |m| describe(m, DESC, 0, 0x4000, 0, INDIRECT, 0)),
            (Broken::Indirect(16 * 9), |m| {
                describe(m, DESC, 0, 0x4000, 16 * 9, INDIRECT, 0)
            }),
            (Broken::Indirect(0xffff_fff0), |m| {
                describe(m, DESC, 0, 0x4000, 0xffff_fff0, INDIRECT, 0)
            }),
            (Broken::Indirect(16), |m| {
                describe(m, DESC, 0, 0x4000, 16, INDIRECT | NEXT, 0)
            }),
            // A table in a table: itself.
            (Broken::Indirect(32), |m| describe(m, DESC, 0, DESC, 32, INDIRECT, 0)),
            (Broken::Place("descriptor table"), |m| {
                describe(m, DESC, 0, u64::MAX - 7, 32, INDIRECT, 0)
            }),
            (Broken::Order, |m| {
                describe(m, DESC, 0, 0, 1, NEXT | WRITE, 1);
                describe(m, DESC, 1, 0, 1, 0, 0);
            }),
            (Broken::Runaway(9, 8), |m| {
                m.write_obj(8u16, GuestAddress(AVAIL + 2)).unwrap()
            }),
        ];
        for (what, how) in cases {
            let (m, mut q) = (memory(), queue(8));
            how(&m);
            offer(&m, 8, 0);
            assert_eq!(q.pop(&m), Err(*what));
        }
        let (m, mut q) = (memory(), queue(8));
        offer(&m, 8, 8);
        assert_eq!(q.pop(&m), Err(Broken::Index(8, 8)));
    }

    #[test]
    fn rings_where_they_cannot_be() {
        let m = memory();
        type Change = fn(&mut Queue);
        let cases: &[(Change, Broken)] = &[
            (|q| q.size = 0, Broken::Size(0)),
            (|q| q.size = 3, Broken::Size(3)),
            (|q| q.size = 512, Broken::Size(512)),
            (|q| q.descriptors = 8, Broken::Place("descriptor table")),
            (|q| q.descriptors = (1 << 20) - 16, Broken::Place("descriptor table")),
            (|q| q.descriptors = u64::MAX - 15, Broken::Place("descriptor table")),
            (|q| q.available = 1, Broken::Place("available ring")),
            (|q| q.used = 2, Broken::Place("used ring")),
            (|q| q.used = 1 << 40, Broken::Place("used ring")),
        ];
        for (change, broken) in cases {
            let mut q = queue(8);
            change(&mut q);
            assert_eq!(q.check(&m), Err(*broken));
        }
    }

    #[test]
    fn event_indices_tell_once() {
        let (m, mut q) = (memory(), queue(4));
        q.event_index = true;
        // The driver wants to hear of the entry with index 1.
        m.write_obj(1u16, GuestAddress(AVAIL + 4 + 8)).unwrap();
        q.push(&m, 0, 0).unwrap();
        assert_eq!(q.wants_interrupt(&m), Ok(false));
        q.push(&m, 0, 0).unwrap();
        assert_eq!(q.wants_interrupt(&m), Ok(true));
        q.push(&m, 0, 0).unwrap();
        assert_eq!(q.wants_interrupt(&m), Ok(false));
        assert_eq!(q.listen(&m), Ok(false));
        offer(&m, 4, 0);
        assert_eq!(q.listen(&m), Ok(true));
    }

    proptest! {
        /// Whatever lies in memory: no panic, an end, and never more buffers than entries.
        #[test]
        fn any_memory_at_all(bytes in prop::collection::vec(any::<u8>(), 4096), index in any::<u16>(), log in 0u32..9, at in prop::collection::vec(0u64..1 << 20, 3)) {
            let (m, mut q) = (memory(), queue(1 << log));
            (q.descriptors, q.available, q.used) = (at[0] & !15, at[1] & !1, at[2] & !3);
            for page in 0..256u64 {
                m.write_slice(&bytes, GuestAddress(page * 4096)).unwrap();
            }
            if q.check(&m).is_err() {
                return Ok(());
            }
            q.next_available = index;
            m.write_obj(index.wrapping_add(1), GuestAddress(q.available + 2)).unwrap();
            if let Ok(Some(c)) = q.pop(&m) {
                prop_assert!(c.readable.len() + c.writable.len() <= usize::from(q.size));
                for b in c.readable.iter().chain(&c.writable) {
                    if let Some(s) = b.slice(&m) {
                        prop_assert!(b.at + u64::from(b.len) <= 1 << 20);
                        prop_assert_eq!(s.len(), b.len as usize);
                    }
                }
                let _ = c.read(&m, &mut [0; 64]);
                q.push(&m, c.head, 7).unwrap();
                q.wants_interrupt(&m).unwrap();
            }
        }
    }
}
