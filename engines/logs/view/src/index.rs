//! The sparse index of a source: what each 64 KiB holds, never what each line holds.
//!
//! A *block* is the lines that begin within one 64 KiB stretch; a *chunk* is 64 blocks and the unit of work of an indexing
//! thread. A block takes 88 bytes, so a file of 20-byte lines costs 0.03 bytes a line. Line n is found by adding up counts and
//! reading one block. Which line stands where does not depend on the rest of the file, so chunks can be indexed in any
//! order.

use std::sync::Arc;

use memchr::memchr;

use crate::format::Reader;
use crate::format::level::{LEVELS, Level, UNKNOWN};
use crate::stamp::NONE;
use crate::store::Store;

/// The size of a block's stretch as a power of two.
pub(crate) const BLOCK_SHIFT: u32 = 16;
/// The size of a block's stretch in bytes.
pub(crate) const BLOCK: u64 = 1 << BLOCK_SHIFT;
/// How many blocks a chunk has.
pub(crate) const CHUNK_BLOCKS: u64 = 64;
/// The size of a chunk's stretch in bytes.
pub(crate) const CHUNK: u64 = BLOCK * CHUNK_BLOCKS;
/// How much of a line is looked at for its time and level.
const HEAD: usize = 64 << 10;
/// How far back the entry is looked for that a block's first lines continue.
const LOOK_BACK: u64 = 64 << 10;

/// What is known of the lines that begin in one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Block {
    /// The lowest and highest time of its entries; [`NONE`] without any.
    pub min: i64,
    pub max: i64,
    /// The time and level of the entry in effect when it begins.
    pub carry: i64,
    /// The least of the maxima from here to the end of the chunk: what orders blocks in a merged view.
    pub ceiling: i64,
    /// How many lines begin in it.
    pub lines: u32,
    /// How many entries of each level begin in it.
    pub counts: [u32; LEVELS],
    pub carry_level: Level,
    /// Whether its times never go back.
    pub sorted: bool,
    /// Whether its first line continues an entry from before it.
    pub continues: bool,
}

impl Default for Block {
    fn default() -> Self {
        Block {
            min: NONE,
            max: NONE,
            carry: NONE,
            ceiling: i64::MAX,
            lines: 0,
            counts: [0; LEVELS],
            carry_level: UNKNOWN,
            sorted: true,
            continues: false,
        }
    }
}

impl Block {
    /// How many entries begin in it.
    pub(crate) fn entries(&self) -> u64 {
        self.counts.iter().map(|n| u64::from(*n)).sum()
    }

    /// The levels that its lines have, as bits.
    pub(crate) fn levels(&self) -> u8 {
        let own = (0..LEVELS)
            .filter(|l| self.counts[*l] > 0)
            .fold(0, |bits, l| bits | 1 << l);
        if self.continues {
            own | 1 << self.carry_level
        } else {
            own
        }
    }

    pub(crate) fn add(&mut self, head: Option<(i64, Level)>, last: &mut i64) {
        if self.lines == 0 {
            self.continues = head.is_none();
        }
        self.lines += 1;
        let Some((time, level)) = head else { return };
        self.counts[usize::from(level)] += 1;
        if time != NONE {
            if self.min == NONE || time < self.min {
                self.min = time;
            }
            if time > self.max {
                self.max = time;
            }
            if time < *last {
                self.sorted = false;
            }
            *last = time;
        }
    }
}

/// The index of one chunk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    pub blocks: Vec<Block>,
    pub lines: u64,
    /// The least of the blocks' maxima; `i64::MAX` without times.
    pub ceiling: i64,
    /// The last time in it, or what was carried into it.
    pub last: i64,
}

impl Chunk {
    /// Adds up what the blocks say.
    pub(crate) fn seal(blocks: Vec<Block>, last: i64) -> Chunk {
        let mut chunk = Chunk {
            lines: blocks.iter().map(|b| u64::from(b.lines)).sum(),
            ceiling: i64::MAX,
            blocks,
            last,
        };
        for block in chunk.blocks.iter_mut().rev() {
            if block.max != NONE {
                chunk.ceiling = chunk.ceiling.min(block.max);
            }
            block.ceiling = chunk.ceiling;
        }
        chunk
    }
}

/// What is known of a whole source at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// Counts the times that the source began anew (truncated).
    pub generation: u32,
    /// How many bytes it covers when complete; for live sources the number of lines.
    pub len: u64,
    pub chunks: Vec<Option<Arc<Chunk>>>,
    /// Lines before each chunk, as far as all before are known.
    pub before: Vec<u64>,
    /// The least ceiling of all later chunks.
    pub after: Vec<i64>,
    /// How many chunks are known.
    pub known: usize,
    /// Lines of all known chunks.
    pub lines: u64,
    /// The first block that is still there (live sources forget).
    pub first_block: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// How many chunks are still to be indexed, or again because they have grown.
    pub open: usize,
    /// The last line has no newline yet.
    pub partial: bool,
}

impl Index {
    pub(crate) fn complete(&self) -> bool {
        self.known == self.chunks.len() && self.open == 0
    }

    /// How many chunks a length makes.
    pub(crate) fn chunk_count(len: u64) -> usize {
        len.div_ceil(CHUNK) as usize
    }

    /// Brings the sums up to date after `chunks` changed.
    pub(crate) fn add_up(&mut self) {
        self.before.clear();
        self.after = vec![i64::MAX; self.chunks.len()];
        let (mut lines, mut whole) = (0, true);
        self.known = 0;
        self.lines = 0;
        for chunk in &self.chunks {
            if whole {
                self.before.push(lines);
            }
            match chunk {
                Some(chunk) => {
                    self.known += 1;
                    lines += chunk.lines;
                    self.lines += chunk.lines;
                }
                None => whole = false,
            }
        }
        let mut ceiling = i64::MAX;
        for (n, chunk) in self.chunks.iter().enumerate().rev() {
            self.after[n] = ceiling;
            if let Some(chunk) = chunk {
                ceiling = ceiling.min(chunk.ceiling);
            }
        }
    }

    pub(crate) fn block(&self, block: u64) -> Option<&Block> {
        if block < self.first_block {
            return None;
        }
        let chunk = self.chunks.get((block / CHUNK_BLOCKS) as usize)?.as_ref()?;
        chunk.blocks.get((block % CHUNK_BLOCKS) as usize)
    }

    /// The key that no line up to this block's end exceeds: the least maximum from here on.
    pub(crate) fn ceiling(&self, block: u64) -> Option<i64> {
        let after = *self.after.get((block / CHUNK_BLOCKS) as usize)?;
        Some(self.block(block)?.ceiling.min(after))
    }

    /// How many lines stand before a block; `None` until all before it are known.
    pub(crate) fn lines_before(&self, block: u64) -> Option<u64> {
        let n = (block / CHUNK_BLOCKS) as usize;
        let mut lines = *self.before.get(n)?;
        if !block.is_multiple_of(CHUNK_BLOCKS) {
            let chunk = self.chunks.get(n)?.as_ref()?;
            let within = (block % CHUNK_BLOCKS) as usize;
            lines += chunk
                .blocks
                .iter()
                .take(within)
                .map(|b| u64::from(b.lines))
                .sum::<u64>();
        }
        Some(lines)
    }

    /// How many lines stand after a block; `None` until all after it are known.
    pub(crate) fn lines_after(&self, block: u64) -> Option<u64> {
        let n = (block / CHUNK_BLOCKS) as usize;
        let mut lines = 0;
        for (k, chunk) in self.chunks.iter().enumerate().skip(n) {
            let chunk = chunk.as_ref()?;
            if k == n {
                let from = (block % CHUNK_BLOCKS) as usize + 1;
                lines += chunk.blocks.iter().skip(from).map(|b| u64::from(b.lines)).sum::<u64>();
            } else {
                lines += chunk.lines;
            }
        }
        Some(lines)
    }

    /// The block with line `n` (from 0) and the line's place in it.
    pub(crate) fn find_line(&self, n: u64) -> Option<(u64, u32)> {
        let chunk = self.before.partition_point(|before| *before <= n).checked_sub(1)?;
        let mut left = n - self.before[chunk];
        for (k, block) in self.chunks.get(chunk)?.as_ref()?.blocks.iter().enumerate() {
            if left < u64::from(block.lines) {
                return Some((chunk as u64 * CHUNK_BLOCKS + k as u64, left as u32));
            }
            left -= u64::from(block.lines);
        }
        None
    }
}

/// A window that rolls over a store, so that a line's head is always in one piece.
struct Rolling<'a> {
    store: &'a Store,
    buf: Vec<u8>,
    /// Where in the store the window begins.
    base: u64,
    filled: usize,
    end: u64,
}

impl<'a> Rolling<'a> {
    fn new(store: &'a Store, base: u64, end: u64, buf: Vec<u8>) -> Rolling<'a> {
        Rolling {
            store,
            buf,
            base,
            filled: 0,
            end,
        }
    }

    /// Drops what is before `pos` and reads on; gives how much came.
    fn more(&mut self, pos: usize) -> std::io::Result<usize> {
        self.buf.copy_within(pos..self.filled, 0);
        self.base += pos as u64;
        self.filled -= pos;
        let room = (self.buf.len() - self.filled) as u64;
        let left = self.end.saturating_sub(self.base + self.filled as u64);
        let want = room.min(left) as usize;
        let got = self.store.read_at(
            &mut self.buf[self.filled..self.filled + want],
            self.base + self.filled as u64,
        )?;
        self.filled += got;
        Ok(got)
    }
}

/// Where the byte order mark ends.
pub(crate) fn bom(store: &Store) -> std::io::Result<u64> {
    let mut head = [0; 3];
    let got = store.read_at(&mut head, 0)?;
    Ok(if got == 3 && head == [0xef, 0xbb, 0xbf] { 3 } else { 0 })
}

/// Where the line begins that holds, or follows, the stretch from `from` on: the first line beginning at or after it.
/// `None` when no line begins before `end`.
pub(crate) fn first_line(store: &Store, from: u64, end: u64) -> std::io::Result<Option<u64>> {
    if from == 0 {
        let start = bom(store)?;
        return Ok((start < end).then_some(start));
    }
    let mut buf = [0; 8192];
    let mut at = from - 1;
    while at < end {
        let want = buf.len().min((end - at) as usize);
        let got = store.read_at(&mut buf[..want], at)?;
        if got == 0 {
            return Ok(None);
        }
        if let Some(found) = memchr(b'\n', &buf[..got]) {
            let start = at + found as u64 + 1;
            return Ok((start < end).then_some(start));
        }
        at += got as u64;
    }
    Ok(None)
}

/// The time and level in effect at `at`, looked for in what stands before it.
pub(crate) fn carried(store: &Store, reader: &mut Reader, at: u64) -> std::io::Result<(i64, Level)> {
    let mut found = (NONE, UNKNOWN);
    // The nearest few lines usually have it.
    for back in [4 << 10, LOOK_BACK] {
        let from = at.saturating_sub(back);
        let mut buf = vec![0; (at - from) as usize];
        let got = store.read_at(&mut buf, from)?;
        let mut pos = match first_line(store, from, at)? {
            Some(start) => (start - from) as usize,
            None => got,
        };
        while pos < got {
            let end = memchr(b'\n', &buf[pos..got]).map_or(got, |n| pos + n);
            if let Some(head) = reader.head(&buf[pos..end]) {
                found = (if head.time == NONE { found.0 } else { head.time }, head.level);
            }
            pos = end + 1;
        }
        if found.0 != NONE || from == 0 {
            break;
        }
    }
    Ok(found)
}

/// Indexes one chunk of a store of `len` bytes. `buf` is scratch of at least twice [`HEAD`]; `cancel` is asked now and then.
pub(crate) fn scan(
    store: &Store,
    reader: &mut Reader,
    chunk: u64,
    len: u64,
    buf: &mut Vec<u8>,
    cancel: &dyn Fn() -> bool,
) -> std::io::Result<Option<Chunk>> {
    let start = chunk * CHUNK;
    let end = len.min(start + CHUNK);
    buf.resize(HEAD * 4, 0);
    let count = (end - start).div_ceil(BLOCK) as usize;
    let mut blocks = vec![Block::default(); count];
    let (mut time, mut level) = if start == 0 {
        (NONE, UNKNOWN)
    } else {
        carried(store, reader, start)?
    };
    let mut last = NONE;
    let mut current = 0;
    blocks[0].carry = time;
    blocks[0].carry_level = level;
    if let Some(first) = first_line(store, start, end)? {
        let mut rolling = Rolling::new(store, first, len, std::mem::take(buf));
        let mut pos = 0;
        rolling.more(0)?;
        loop {
            let offset = rolling.base + pos as u64;
            if offset >= end {
                break;
            }
            let mut line_end = memchr(b'\n', &rolling.buf[pos..rolling.filled]).map(|n| pos + n);
            if line_end.is_none() && rolling.filled - pos < HEAD {
                let got = rolling.more(pos)?;
                pos = 0;
                if got > 0 {
                    continue;
                }
                if rolling.filled == 0 {
                    break;
                }
            }
            let stop = line_end.unwrap_or(rolling.filled);
            let n = ((offset - start) >> BLOCK_SHIFT) as usize;
            while current < n {
                current += 1;
                blocks[current].carry = time;
                blocks[current].carry_level = level;
                last = NONE;
                if current % 8 == 0 && cancel() {
                    *buf = std::mem::take(&mut rolling.buf);
                    return Ok(None);
                }
            }
            let head = reader.head(&rolling.buf[pos..stop.min(pos + HEAD)]);
            blocks[n].add(head.map(|head| (head.time, head.level)), &mut last);
            if let Some(head) = head {
                level = head.level;
                if head.time != NONE {
                    time = head.time;
                }
            }
            // A line longer than the window: read on to its end.
            while line_end.is_none() {
                let filled = rolling.filled;
                if rolling.more(filled)? == 0 {
                    break;
                }
                line_end = memchr(b'\n', &rolling.buf[..rolling.filled]);
                if cancel() {
                    *buf = std::mem::take(&mut rolling.buf);
                    return Ok(None);
                }
            }
            match line_end {
                Some(newline) => pos = newline + 1,
                None => break,
            }
            if pos == rolling.filled {
                rolling.more(pos)?;
                pos = 0;
                if rolling.filled == 0 {
                    break;
                }
            }
        }
        *buf = std::mem::take(&mut rolling.buf);
    }
    while current + 1 < count {
        current += 1;
        blocks[current].carry = time;
        blocks[current].carry_level = level;
    }
    Ok(Some(Chunk::seal(blocks, time)))
}
