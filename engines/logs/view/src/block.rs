//! One block in memory: its text and its lines with times and levels; and the bounded cache of such blocks.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memchr;
use qd_core::Record;

use crate::format::Reader;
use crate::format::level::{Level, UNKNOWN};
use crate::index::{BLOCK, carried, first_line};
use crate::stamp::NONE;
use crate::store::Store;

/// How much of a line is kept, in bytes; longer lines are cut there and marked.
pub const MAX_LINE: usize = 1 << 20;
/// The format number of a line that continues an entry.
pub(crate) const CONTINUES: u8 = u8::MAX;

/// One line of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub start: u32,
    pub len: u32,
    /// Its time or that of the entry it continues, or [`NONE`].
    pub time: i64,
    pub level: Level,
    pub format: u8,
    pub cut: bool,
}

/// A block's text and lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    pub data: Bytes,
    /// Where `data` begins in the source.
    pub offset: u64,
    pub list: Vec<Line>,
    /// How long the source was when this was read.
    pub upto: u64,
    /// The time carried into it.
    pub carry: i64,
    /// The records of a live source's block, one a line.
    pub records: Vec<Record>,
}

impl Lines {
    pub(crate) fn bytes(&self, line: &Line) -> &[u8] {
        let start = line.start as usize;
        self.data.get(start..start + line.len as usize).unwrap_or(&[])
    }

    /// The lines of the entry that line `n` belongs to, as far as they are in this block.
    pub(crate) fn entry(&self, n: usize) -> std::ops::Range<usize> {
        let continues = |line: &Line| line.format == CONTINUES;
        let from = self.list[..=n].iter().rposition(|line| !continues(line)).unwrap_or(0);
        let more = self.list[n + 1..].iter().position(|line| !continues(line));
        from..more.map_or(self.list.len(), |m| n + 1 + m)
    }

    fn weight(&self) -> usize {
        self.data.len() + self.list.len() * std::mem::size_of::<Line>() + self.records.len() * 64 + 256
    }

    /// Reads a block of a file of `len` bytes. `carry` is what is in effect before it, when known.
    pub(crate) fn read(
        store: &Store,
        reader: &mut Reader,
        block: u64,
        len: u64,
        carry: Option<(i64, Level)>,
    ) -> std::io::Result<Lines> {
        let start = block * BLOCK;
        let end = len.min(start + BLOCK);
        let mut lines = Lines {
            upto: len,
            offset: start,
            carry: NONE,
            ..Lines::default()
        };
        let Some(first) = first_line(store, start, end)? else {
            lines.carry = carry.map_or(NONE, |(time, _)| time);
            return Ok(lines);
        };
        lines.offset = first;
        let mut data = vec![0; (end - first) as usize];
        let got = store.read_at(&mut data, first)?;
        data.truncate(got);
        // The last line may reach beyond the block.
        let mut cut_last = false;
        if data.last() != Some(&b'\n') {
            let mut more = vec![0; 16 << 10];
            let last = memchr::memrchr(b'\n', &data).map_or(0, |n| n + 1);
            loop {
                let at = first + data.len() as u64;
                let want = more.len().min(len.saturating_sub(at) as usize);
                let got = store.read_at(&mut more[..want], at)?;
                if got == 0 {
                    break;
                }
                if let Some(newline) = memchr(b'\n', &more[..got]) {
                    data.extend_from_slice(&more[..newline]);
                    break;
                }
                data.extend_from_slice(&more[..got]);
                if data.len() - last > MAX_LINE {
                    data.truncate(last + MAX_LINE);
                    cut_last = true;
                    break;
                }
                more.resize(256 << 10, 0);
            }
        }
        let (mut time, mut level) = match carry {
            Some(carry) => carry,
            None if start == 0 => (NONE, UNKNOWN),
            None => carried(store, reader, first)?,
        };
        lines.carry = time;
        let mut pos = 0;
        while pos < data.len() {
            let newline = memchr(b'\n', &data[pos..]).map(|n| pos + n);
            let stop = newline.unwrap_or(data.len());
            let head = reader.head(&data[pos..stop]);
            let mut format = CONTINUES;
            if let Some(head) = head {
                format = head.format;
                level = head.level;
                if head.time != NONE {
                    time = head.time;
                }
            }
            let len = stop - pos - usize::from(stop > pos && data[stop - 1] == b'\r');
            lines.list.push(Line {
                start: pos as u32,
                len: len as u32,
                time,
                level,
                format,
                cut: cut_last && newline.is_none(),
            });
            pos = stop + 1;
        }
        lines.data = Bytes::from(data);
        Ok(lines)
    }

    /// The keys by which a merged view orders these lines: their times, never falling, within the block's bounds.
    pub(crate) fn keys(&self, floor: i64, ceiling: i64) -> Vec<i64> {
        let mut high = floor;
        let key = |line: &Line| {
            high = high.max(line.time.min(ceiling));
            high
        };
        self.list.iter().map(key).collect()
    }
}

/// Blocks that were read lately, at most so many bytes of them.
#[derive(Debug)]
pub(crate) struct Cache {
    map: HashMap<(u32, u32, u64), (Arc<Lines>, u64)>,
    weight: usize,
    limit: usize,
    tick: u64,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Cache {
        Cache {
            map: HashMap::new(),
            weight: 0,
            limit,
            tick: 0,
        }
    }

    /// A block of source and generation, unless it has grown since.
    pub(crate) fn get(&mut self, key: (u32, u32, u64), len: u64) -> Option<Arc<Lines>> {
        self.tick += 1;
        let (lines, tick) = self.map.get_mut(&key)?;
        if lines.upto != len && lines.offset + lines.data.len() as u64 + BLOCK + 1 >= lines.upto {
            return None;
        }
        *tick = self.tick;
        Some(Arc::clone(lines))
    }

    pub(crate) fn put(&mut self, key: (u32, u32, u64), lines: Arc<Lines>) {
        self.tick += 1;
        self.weight += lines.weight();
        if let Some((old, _)) = self.map.insert(key, (lines, self.tick)) {
            self.weight -= old.weight();
        }
        while self.weight > self.limit && self.map.len() > 4 {
            let Some(oldest) = self.map.iter().min_by_key(|(_, (_, tick))| *tick).map(|(key, _)| *key) else {
                break;
            };
            if let Some((old, _)) = self.map.remove(&oldest) {
                self.weight -= old.weight();
            }
        }
    }
}
