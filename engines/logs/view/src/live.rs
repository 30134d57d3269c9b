//! Live sources: a bounded ring of records from other engines, in blocks like a file's.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qd_core::Record;

use crate::block::{Line, Lines, MAX_LINE};
use crate::index::{Block, CHUNK_BLOCKS, Chunk, Index};
use crate::stamp::NONE;

/// How many records make a block.
pub(crate) const BLOCK_RECORDS: u64 = 256;

/// The newest records of a live source.
#[derive(Debug)]
pub(crate) struct Ring {
    records: VecDeque<Record>,
    /// The number of the first record that is still there; always a multiple of [`BLOCK_RECORDS`].
    first: u64,
    capacity: usize,
    /// How many records were pushed out.
    pub dropped: u64,
    blocks: VecDeque<Block>,
    last: i64,
}

impl Ring {
    /// Room for at least `capacity` records; a whole block of the oldest goes at once.
    pub(crate) fn new(capacity: usize) -> Ring {
        Ring {
            records: VecDeque::new(),
            first: 0,
            capacity: capacity.max(BLOCK_RECORDS as usize),
            dropped: 0,
            blocks: VecDeque::new(),
            last: NONE,
        }
    }

    pub(crate) fn push(&mut self, record: Record) {
        let seq = self.first + self.records.len() as u64;
        if seq.is_multiple_of(BLOCK_RECORDS) {
            self.blocks.push_back(Block {
                carry: self.last,
                ..Block::default()
            });
            self.last = NONE;
        }
        let (time, level) = (record.wall().0, record.severity() as u8);
        if let Some(block) = self.blocks.back_mut() {
            block.add(Some((time, level)), &mut self.last);
        }
        self.records.push_back(record);
        if self.records.len() > self.capacity + BLOCK_RECORDS as usize {
            self.records.drain(..BLOCK_RECORDS as usize);
            self.blocks.pop_front();
            self.first += BLOCK_RECORDS;
            self.dropped += BLOCK_RECORDS;
        }
    }

    /// The index of what is there now; whole chunks of `old` that cannot have changed are kept.
    pub(crate) fn index(&self, old: &Index) -> Index {
        let total = self.first + self.records.len() as u64;
        let blocks = total.div_ceil(BLOCK_RECORDS);
        let first_block = self.first / BLOCK_RECORDS;
        let mut index = Index {
            len: total,
            blocks,
            first_block,
            ..Index::default()
        };
        for chunk in 0..blocks.div_ceil(CHUNK_BLOCKS) {
            let from = chunk * CHUNK_BLOCKS;
            let kept = old.chunks.get(chunk as usize).and_then(Option::as_ref);
            let full = kept.is_some_and(|c| {
                c.blocks.len() as u64 == CHUNK_BLOCKS && (from + CHUNK_BLOCKS) * BLOCK_RECORDS <= old.len
            });
            if let (Some(kept), true) = (kept, full && from >= first_block) {
                index.chunks.push(Some(Arc::clone(kept)));
                continue;
            }
            let list = (from..blocks.min(from + CHUNK_BLOCKS)).map(|block| {
                let at = block.checked_sub(first_block).map(|n| n as usize);
                at.and_then(|n| self.blocks.get(n)).copied().unwrap_or_default()
            });
            index.chunks.push(Some(Arc::new(Chunk::seal(list.collect(), NONE))));
        }
        index.add_up();
        index
    }

    /// The lines of one block; empty when they are gone.
    pub(crate) fn lines(&self, block: u64) -> Lines {
        let total = self.first + self.records.len() as u64;
        let mut lines = Lines {
            upto: total,
            offset: block * BLOCK_RECORDS,
            carry: NONE,
            ..Lines::default()
        };
        let Some(from) = (block * BLOCK_RECORDS).checked_sub(self.first) else {
            return lines;
        };
        let mut data = Vec::new();
        for record in self.records.iter().skip(from as usize).take(BLOCK_RECORDS as usize) {
            let body = record.body();
            let mut len = body.len().min(MAX_LINE);
            while !body.is_char_boundary(len) {
                len -= 1;
            }
            lines.list.push(Line {
                start: data.len() as u32,
                len: len as u32,
                time: record.wall().0,
                level: record.severity() as u8,
                format: 0,
                cut: len < body.len(),
            });
            data.extend_from_slice(&body.as_bytes()[..len]);
            lines.records.push(record.clone());
        }
        lines.data = Bytes::from(data);
        lines
    }
}
