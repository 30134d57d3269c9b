//! What a terminal leaves behind: a file in memory that another process keeps open, with what the program printed lately
//! and the newest checkpoint of the emulator. From it a terminal is made again after its server was killed at any moment.
//!
//! The program's output is read straight into a ring in that file, so there is no moment at which bytes have left the PTY
//! and are nowhere else: what was read is in the ring, and what the head does not yet count is found by being there, since
//! the ring ahead of the head is zero (a NUL means nothing to a terminal). Nothing is overwritten before a checkpoint
//! covers it.
//!
//! | at | what |
//! | --- | --- |
//! | 0 | magic, head, answered, clean, sizes |
//! | 4 KiB | the ring |
//! | 16 MiB, 144 MiB | two checkpoints, written in turn: length, position, number, the blocks' place, then the bytes |
//! | 272 MiB | closed blocks of the scrollback, one after the other |

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Checkpoint, block_number, split_blocks};
use qd_tty::Size;
use rustix::{
    fs::{FallocateFlags, MemfdFlags, SealFlags},
    io::Errno,
    mm::{MapFlags, ProtFlags},
};

/// Bytes of the ring.
const RING: u64 = 1 << 20;
const PAGE: usize = 4096;
/// What one call reads at the most, and how far the ring is zero ahead of the head.
pub(crate) const READ_MAX: u64 = 64 * 1024;
/// So much more is made zero when it has to be, to do it seldom.
const LUMP: u64 = 32 * 1024;
const MAGIC: u64 = 0x7164_7374_6f72_6531;
const SLOTS: [u64; 2] = [16 << 20, 144 << 20];
const SLOT_HEAD: u64 = 64;
/// The most a checkpoint may have.
const SLOT_MAX: u64 = (128 << 20) - SLOT_HEAD;
const BLOCKS: u64 = 272 << 20;
/// The most of them that is read.
const BLOCKS_MAX: u64 = 1 << 30;
/// Sizes that are noted between two checkpoints.
const SIZES: usize = 200;

const AT_MAGIC: usize = 0;
const AT_HEAD: usize = 8;
const AT_ANSWERED: usize = 16;
const AT_CLEAN: usize = 24;
const AT_SIZES: usize = 32;
const AT_FIRST: usize = 40;

/// The mapped beginning of the file: the header and the ring.
struct Map {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the value alone in this process, and moves with it; the other process that has the file
// neither maps nor writes it.
#[allow(unsafe_code)]
unsafe impl Send for Map {}

impl Map {
    #[allow(unsafe_code)]
    fn new(fd: &OwnedFd, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing that is there. The file is sealed
        // against becoming shorter, so its pages stay.
        let at = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, len })
    }

    /// A word of the header.
    #[allow(unsafe_code)]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= PAGE, "words are in the header");
        // SAFETY: it is inside the mapping, aligned, and the header is only ever used as such words.
        unsafe { AtomicU64::from_ptr(self.at.as_ptr().add(at).cast()) }
    }

    /// Bytes of the ring, from an offset in it.
    #[allow(unsafe_code)]
    fn ring(&self, from: usize, len: usize) -> &[u8] {
        assert!(from + len <= self.len - PAGE, "it is in the ring");
        // SAFETY: it is inside the mapping and behind the header. Nobody writes while it is borrowed: this process only by
        // `ring_mut`, which borrows the mapping alone, and other processes not at all.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(PAGE + from), len) }
    }

    /// The same, to be written.
    #[allow(unsafe_code)]
    fn ring_mut(&mut self, from: usize, len: usize) -> &mut [u8] {
        assert!(from + len <= self.len - PAGE, "it is in the ring");
        // SAFETY: as for `ring`, and it is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(PAGE + from), len) }
    }
}

impl Drop for Map {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and no borrow of it outlives the value.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// What a terminal leaves behind.
pub(crate) struct Store {
    fd: OwnedFd,
    map: Map,
    /// Bytes ever read.
    head: u64,
    /// Up to there, and no further than a ring after `base`, the ring is zero.
    clean: u64,
    /// Up to there a checkpoint covers it.
    base: u64,
    /// The number of the newest checkpoint; 0 is none.
    number: u64,
    /// Where the next closed block is written.
    blocks_end: u64,
    /// The blocks from the oldest that is needed on: number and offset.
    blocks: VecDeque<(u64, u64)>,
}

/// One step on the way from the checkpoint to the last moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The program printed this; what is asked in it was answered or not.
    Printed(Vec<u8>, Answered),
    /// The size was changed.
    Resized(Size),
}

/// Whether questions in some output were answered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// They were.
    Yes,
    /// They were not.
    No,
}

/// What was found in a store.
#[derive(Debug)]
pub(crate) struct Left {
    /// The newest checkpoint and its blocks; `None` when there was none, and the steps begin with an empty screen.
    pub(crate) checkpoint: Option<(Vec<u8>, Vec<u8>)>,
    /// What came after it.
    pub(crate) steps: Vec<Step>,
}

/// A new file for a store, which nobody can make shorter.
///
/// # Errors
/// When the system gives none.
pub(crate) fn file() -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("quarterdeck-pane", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, BLOCKS)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK)?;
    Ok(fd)
}

fn offset(at: u64) -> usize {
    usize::try_from(at % RING).unwrap_or(0)
}

fn number(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Store {
    /// A store in a new file.
    pub(crate) fn new(fd: OwnedFd, size: Size) -> io::Result<Self> {
        let map = Map::new(&fd, PAGE + number(RING))?;
        map.word(AT_CLEAN).store(RING, Ordering::Release);
        map.word(AT_MAGIC).store(MAGIC, Ordering::Release);
        let mut store = Self {
            fd,
            map,
            head: 0,
            clean: RING,
            base: 0,
            number: 0,
            blocks_end: BLOCKS,
            blocks: VecDeque::new(),
        };
        store.note_size(size);
        Ok(store)
    }

    /// A store that another process left, and what is in it.
    ///
    /// # Errors
    /// When it cannot be mapped, or is none.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<(Self, Left)> {
        let map = Map::new(&fd, PAGE + number(RING))?;
        if map.word(AT_MAGIC).load(Ordering::Acquire) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no terminal's store"));
        }
        let newest = SLOTS
            .iter()
            .filter_map(|slot| slot_head(&fd, *slot).map(|h| (h, *slot)))
            .max_by_key(|(h, _)| h.number);
        let mut store = Self {
            fd,
            map,
            head: 0,
            clean: 0,
            base: 0,
            number: 0,
            blocks_end: BLOCKS,
            blocks: VecDeque::new(),
        };
        let mut checkpoint = None;
        if let Some((h, slot)) = newest {
            let mut state = vec![0; number(h.len)];
            read_exact_at(&store.fd, &mut state, slot + SLOT_HEAD)?;
            let mut blocks = vec![0; number((h.blocks_end - h.blocks_from).min(BLOCKS_MAX))];
            read_exact_at(&store.fd, &mut blocks, h.blocks_from)?;
            let mut at = h.blocks_from;
            for block in split_blocks(&blocks) {
                store.blocks.extend(block_number(block).map(|n| (n, at)));
                at += block.len() as u64;
            }
            (store.base, store.number, store.blocks_end) = (h.position, h.number, h.blocks_end);
            checkpoint = Some((state, blocks));
        }
        let steps = store.recover();
        Ok((store, Left { checkpoint, steps }))
    }

    /// What was printed after the checkpoint, with what the head does not count yet.
    fn recover(&mut self) -> Vec<Step> {
        let head = self.map.word(AT_HEAD).load(Ordering::Acquire);
        let head = head.clamp(self.base, self.base + RING);
        let clean = self.map.word(AT_CLEAN).load(Ordering::Acquire);
        // Further than that nothing was read to, and what is there is old.
        let left = (RING - head % RING).min(READ_MAX).min(clean.saturating_sub(head));
        let left = left.min(self.base + RING - head);
        let ahead = self.map.ring(offset(head), number(left));
        let more = ahead.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        self.head = head + more as u64;
        // What is ahead may be of a read that was cut short; it is made zero again before it is used.
        self.set_clean(self.head);
        self.map.word(AT_HEAD).store(self.head, Ordering::Release);
        let answered = self.map.word(AT_ANSWERED).load(Ordering::Acquire);
        let mut cuts: Vec<(u64, Option<Size>)> = self.sizes().map(|(at, s)| (at, Some(s))).collect();
        cuts.push((answered, None));
        cuts.push((self.head, None));
        cuts.retain(|(at, _)| (self.base..=self.head).contains(at));
        cuts.sort_by_key(|(at, _)| *at);
        let (mut steps, mut at) = (Vec::new(), self.base);
        for (to, size) in cuts {
            if to > at {
                let known = if to <= answered { Answered::Yes } else { Answered::No };
                steps.push(Step::Printed(self.printed(at, to), known));
                at = to;
            }
            steps.extend(size.map(Step::Resized));
        }
        steps
    }

    fn printed(&self, from: u64, to: u64) -> Vec<u8> {
        let len = number(to - from);
        let first = len.min(number(RING) - offset(from));
        [self.map.ring(offset(from), first), self.map.ring(0, len - first)].concat()
    }

    /// The sizes noted since the newest checkpoint.
    fn sizes(&self) -> impl Iterator<Item = (u64, Size)> {
        let n = number(self.map.word(AT_SIZES).load(Ordering::Acquire)).min(SIZES);
        (0..n).filter_map(|i| {
            let at = self.map.word(AT_FIRST + 16 * i).load(Ordering::Acquire);
            let word = self.map.word(AT_FIRST + 16 * i + 8).load(Ordering::Acquire);
            let part = |shift: u32| u16::try_from(word >> shift & 0xffff).unwrap_or(0);
            let size = Size::new(part(16).max(1), part(0).max(1));
            (word >> 32 == self.number & 0xffff_ffff).then_some((at, size))
        })
    }

    /// Notes that the size was changed here. False when there is no room for it: a checkpoint is due.
    pub(crate) fn note_size(&mut self, size: Size) -> bool {
        let n = number(self.map.word(AT_SIZES).load(Ordering::Acquire));
        if n >= SIZES {
            return false;
        }
        let word = (self.number & 0xffff_ffff) << 32 | u64::from(size.cols) << 16 | u64::from(size.rows);
        self.map.word(AT_FIRST + 16 * n).store(self.head, Ordering::Release);
        self.map.word(AT_FIRST + 16 * n + 8).store(word, Ordering::Release);
        self.map.word(AT_SIZES).store(n as u64 + 1, Ordering::Release);
        true
    }

    /// Where to read to: at most `most` bytes and [`READ_MAX`]. `None` when a checkpoint is due before.
    pub(crate) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        let end = self.base + RING;
        let left = RING - self.head % RING;
        let window = left.min(READ_MAX).min(end - self.head);
        // Reads that are cut short at the end of the ring are not; those before a checkpoint are.
        if window == 0 || (window < 4096 && window == end - self.head) {
            return None;
        }
        self.wipe(self.head + window, end);
        let len = number(window).min(most);
        Some(self.map.ring_mut(offset(self.head), len))
    }

    /// Makes the ring zero up to a place, and somewhat further.
    fn wipe(&mut self, to: u64, end: u64) {
        if self.clean >= to {
            return;
        }
        let to = (to + LUMP).min(end);
        let mut at = self.clean.max(self.head);
        while at < to {
            let n = (to - at).min(RING - at % RING);
            self.map.ring_mut(offset(at), number(n)).fill(0);
            at += n;
        }
        self.set_clean(to);
    }

    fn set_clean(&mut self, to: u64) {
        self.clean = to;
        self.map.word(AT_CLEAN).store(to, Ordering::Release);
    }

    /// Counts what was read into [`Store::room`].
    pub(crate) fn advance(&mut self, n: usize) {
        self.head += n as u64;
        self.map.word(AT_HEAD).store(self.head, Ordering::Release);
    }

    /// The last `n` bytes that were read, which are not cut by the ring's end.
    pub(crate) fn last(&self, n: usize) -> &[u8] {
        self.map.ring(offset(self.head - n as u64), n)
    }

    /// Notes that what was asked until now was answered.
    pub(crate) fn answered(&self) {
        self.map.word(AT_ANSWERED).store(self.head, Ordering::Release);
    }

    /// Whether the next bytes are elsewhere than behind the last ones.
    pub(crate) fn at_seam(&self) -> bool {
        self.head.is_multiple_of(RING)
    }

    /// Bytes since the newest checkpoint.
    pub(crate) fn pending(&self) -> u64 {
        self.head - self.base
    }

    /// Whether a checkpoint is due.
    pub(crate) fn is_full(&self) -> bool {
        self.pending() + READ_MAX > RING
    }

    /// Gives up what was printed until now: the emulator could not be written down.
    pub(crate) fn skip(&mut self) {
        self.base = self.head;
    }

    /// Writes a checkpoint of the emulator as it is after everything that was read: the blocks that were closed since the
    /// last, the state, and then lets go of the blocks that it does not need.
    ///
    /// # Errors
    /// When there is no memory for it; the one before stays, and the blocks are to be given again.
    pub(crate) fn checkpoint(&mut self, state: &[u8], blocks: &[u8], made: &Checkpoint) -> io::Result<()> {
        if state.len() as u64 > SLOT_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the emulator's state is too large to be kept",
            ));
        }
        write_all_at(&self.fd, blocks, self.blocks_end)?;
        for b in &made.closed {
            self.blocks.push_back((b.number, self.blocks_end + b.at.start as u64));
        }
        self.blocks_end += blocks.len() as u64;
        let needed = |n: &u64| made.kept.iter().any(|k| k.contains(n));
        let freed = self.blocks.iter().take_while(|(n, _)| !needed(n)).count();
        let gone = self.blocks.drain(..freed).next().map(|(_, at)| at);
        let from = self.blocks.front().map_or(self.blocks_end, |(_, at)| *at);
        let next = self.number + 1;
        let slot = SLOTS[usize::from(next.is_multiple_of(2))];
        write_all_at(&self.fd, state, slot + SLOT_HEAD)?;
        let words = [state.len() as u64, self.head, next, from, self.blocks_end];
        let head: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        write_all_at(&self.fd, &head, slot)?;
        self.number = next;
        self.base = self.head;
        self.map.word(AT_SIZES).store(0, Ordering::Release);
        if let Some(gone) = gone.filter(|g| *g < from) {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(&self.fd, hole, gone, from - gone);
        }
        Ok(())
    }

    /// Gives the ring's memory back, right after a checkpoint, when nothing was printed for a while.
    pub(crate) fn shrink(&mut self) {
        if self.base != self.head {
            return;
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.fd, hole, PAGE as u64, RING).is_ok() {
            self.set_clean(self.base + RING);
        }
    }
}

struct SlotHead {
    len: u64,
    position: u64,
    number: u64,
    blocks_from: u64,
    blocks_end: u64,
}

fn slot_head(fd: &OwnedFd, slot: u64) -> Option<SlotHead> {
    let mut words = [0; 40];
    read_exact_at(fd, &mut words, slot).ok()?;
    let word = |i: usize| {
        let bytes = words.get(8 * i..8 * i + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let head = SlotHead {
        len: word(0),
        position: word(1),
        number: word(2),
        blocks_from: word(3),
        blocks_end: word(4),
    };
    let sound = head.len <= SLOT_MAX && head.blocks_from <= head.blocks_end && head.blocks_from >= BLOCKS;
    (head.number > 0 && sound).then_some(head)
}

fn read_exact_at(fd: impl AsFd, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match rustix::io::pread(&fd, &mut *buf, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                at += n as u64;
                buf = &mut buf[n..];
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn write_all_at(fd: impl AsFd, mut buf: &[u8], mut at: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match rustix::io::pwrite(&fd, buf, at) {
            Ok(n) => {
                at += n as u64;
                buf = &buf[n..];
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the steps say was printed, and which sizes at which byte.
    fn told(steps: &[Step]) -> (Vec<u8>, Vec<(usize, Size)>) {
        let (mut bytes, mut sizes) = (Vec::new(), Vec::new());
        for s in steps {
            match s {
                Step::Printed(b, _) => bytes.extend_from_slice(b),
                Step::Resized(size) => sizes.push((bytes.len(), *size)),
            }
        }
        (bytes, sizes)
    }

    fn again(store: &Store) -> (Store, Left) {
        Store::open(store.fd.try_clone().unwrap()).unwrap()
    }

    /// Reads `bytes` as from a PTY, without a checkpoint; gives how many there was room for.
    fn read(store: &mut Store, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        while !bytes.is_empty() {
            let Some(room) = store.room(bytes.len()) else { break };
            let n = room.len();
            room.copy_from_slice(&bytes[..n]);
            store.advance(n);
            bytes = &bytes[n..];
        }
        all - bytes.len()
    }

    #[test]
    fn bytes_that_were_read_and_not_counted_are_found() {
        let mut store = Store::new(file().unwrap(), Size::new(80, 24)).unwrap();
        assert_eq!(read(&mut store, b"counted"), 7);
        // The process ends between the system call and the count.
        store.room(100).unwrap()[..9].copy_from_slice(b" and more");
        let (again, left) = again(&store);
        let (bytes, sizes) = told(&left.steps);
        assert_eq!(bytes, b"counted and more");
        assert_eq!(sizes, [(0, Size::new(80, 24))]);
        assert_eq!(again.head, 16);
        assert!(left.checkpoint.is_none());
    }

    #[test]
    fn what_was_answered_is_known() {
        let mut store = Store::new(file().unwrap(), Size::new(80, 24)).unwrap();
        read(&mut store, b"asked");
        store.answered();
        read(&mut store, b"again");
        let steps = again(&store).1.steps;
        assert_eq!(steps[1], Step::Printed(b"asked".to_vec(), Answered::Yes));
        assert_eq!(steps[2], Step::Printed(b"again".to_vec(), Answered::No));
    }

    #[test]
    fn it_is_no_store_that_was_not_made_as_one() {
        let other = file().unwrap();
        assert!(Store::open(other).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is read, resized, checkpointed, given back and lost: what comes after the newest checkpoint is there.
        #[test]
        fn nothing_after_the_checkpoint_is_lost(
            steps in prop::collection::vec((0..6_u8, 1..300_000_usize, any::<u8>()), 1..40),
        ) {
            let mut store = Store::new(file().unwrap(), Size::new(80, 24)).unwrap();
            let (mut state, mut since, mut sizes) = (None::<Vec<u8>>, Vec::new(), vec![(0, Size::new(80, 24))]);
            let mut blocks: Vec<(u64, Vec<u8>)> = Vec::new();
            for (i, (what, n, byte)) in steps.into_iter().enumerate() {
                match what {
                    0..=2 => {
                        let bytes: Vec<u8> = (0..n).map(|k| (k as u8).wrapping_mul(byte) | 1).collect();
                        let got = read(&mut store, &bytes);
                        since.extend_from_slice(&bytes[..got]);
                    }
                    3 => {
                        let size = Size::new(u16::from(byte) + 1, 7);
                        prop_assert!(store.note_size(size));
                        sizes.push((since.len(), size));
                    }
                    4 => {
                        let bytes = vec![byte; n];
                        let mut made = Checkpoint::default();
                        let mut vt = crate::Vt::new(Size::new(20, 4), crate::ScrollbackLimits::default());
                        vt.feed("line\r\n".repeat(n / 40).as_bytes());
                        let mut out = Vec::new();
                        let real = vt.checkpoint(&mut Vec::new(), &mut out);
                        // Numbers of their own for every round, and the last two rounds are kept.
                        let number = i as u64 * 1000;
                        let first = real.closed.first().map(|c| out[c.at.clone()].to_vec());
                        let mut joined = Vec::new();
                        if let Some(block) = first {
                            let mut block = block;
                            block[5..13].copy_from_slice(&number.to_le_bytes());
                            made.closed.push(crate::ClosedBlock { number, at: 0..block.len() });
                            joined = block.clone();
                            blocks.push((number, block));
                        }
                        let from = blocks.len().saturating_sub(2);
                        blocks.drain(..from);
                        made.kept = blocks.iter().map(|(n, _)| *n..*n + 1).collect();
                        store.checkpoint(&bytes, &joined, &made).unwrap();
                        state = Some(bytes);
                        since.clear();
                        sizes.clear();
                    }
                    _ => {
                        store.shrink();
                        let (new, left) = again(&store);
                        store = new;
                        prop_assert_eq!(left.checkpoint.is_some(), state.is_some());
                    }
                }
                let left = again(&store).1;
                let (bytes, seen) = told(&left.steps);
                prop_assert!(bytes == since, "{} bytes of {}", bytes.len(), since.len());
                prop_assert_eq!(&seen, &sizes);
                if let (Some((kept, found)), Some(state)) = (left.checkpoint, &state) {
                    prop_assert!(kept == *state);
                    let found: Vec<&[u8]> = split_blocks(&found).collect();
                    let wanted: Vec<&[u8]> = blocks.iter().map(|(_, b)| b.as_slice()).collect();
                    prop_assert!(found == wanted, "{} blocks of {}", found.len(), wanted.len());
                }
            }
        }
    }
}
