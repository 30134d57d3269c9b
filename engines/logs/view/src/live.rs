//! Live sources: a bounded ring of records from other engines, in blocks like a file's.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use qd_core::{Instant, Record, Value};

use crate::block::{Line, Lines, MAX_LINE};
use crate::index::{Block, CHUNK_BLOCKS, Chunk, Index};
use crate::stamp::NONE;

/// How many records make a block.
pub(crate) const BLOCK_RECORDS: u64 = 256;

/// What the records of a ring may weigh, in bytes; one block of 256 more may be there.
const MOST: usize = 64 << 20;
/// What one record may weigh; more is cut off, and the body says so.
const MOST_OF_ONE: usize = 256 << 10;

/// About how many bytes of memory a value takes beyond its own place.
fn weight_of(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

/// About how many bytes of memory a record takes.
fn weight(record: &Record) -> usize {
    let fields = record
        .fields()
        .iter()
        .map(|(key, value)| 64 + key.len() + weight_of(value));
    128 + record.body().len() + fields.sum::<usize>()
}

/// A record as it can be kept: of one that is too large the beginning of its body, and the fields that there is room for.
fn bounded(record: Record) -> Record {
    if weight(&record) <= MOST_OF_ONE {
        return record;
    }
    let at = Instant {
        wall: record.wall(),
        mono: record.mono(),
    };
    let body = record.body();
    let kept = crate::source::clip(body, MOST_OF_ONE / 2);
    let mut small = Record::build(record.source(), at, record.severity());
    small = if kept.len() < body.len() {
        small.body(format!("{kept} \u{2026} {} bytes more", body.len() - kept.len()))
    } else {
        small.body(record.body_shared())
    };
    let mut room = MOST_OF_ONE / 2;
    for (key, value) in record.fields() {
        let size = 64 + key.len() + weight_of(value);
        if size <= room {
            room -= size;
            small = small.field(key.clone(), value.clone());
        }
    }
    small.finish()
}

/// The newest records of a live source.
#[derive(Debug)]
pub(crate) struct Ring {
    records: VecDeque<Record>,
    /// What they weigh together.
    held: usize,
    /// The number of the first record that is still there; always a multiple of [`BLOCK_RECORDS`].
    first: u64,
    capacity: usize,
    /// How many records were pushed out.
    pub dropped: u64,
    blocks: VecDeque<Block>,
    last: i64,
}

impl Ring {
    /// Room for at least `capacity` records, as long as they weigh no more than 64 MiB; a whole block of the oldest goes at once.
    pub(crate) fn new(capacity: usize) -> Ring {
        Ring {
            records: VecDeque::new(),
            held: 0,
            first: 0,
            capacity: capacity.max(BLOCK_RECORDS as usize),
            dropped: 0,
            blocks: VecDeque::new(),
            last: NONE,
        }
    }

    pub(crate) fn push(&mut self, record: Record) {
        let record = bounded(record);
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
        self.held += weight(&record);
        self.records.push_back(record);
        let block = BLOCK_RECORDS as usize;
        while self.records.len() > self.capacity + block || (self.held > MOST && self.records.len() > block) {
            self.held -= self.records.drain(..block).map(|r| weight(&r)).sum::<usize>();
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
