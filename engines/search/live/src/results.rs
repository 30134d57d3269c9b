//! What was found, small: of every line its number, its place and the first match's column, as differences of a few bytes
//! each, in blocks. Blocks stay in memory up to a bound and go to a file without a name beyond it; texts are not kept, they are
//! read again when they are looked at. Names of files stay in memory, up to a bound of their own.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fs::File,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering as Atomic},
};

use parking_lot::Mutex;

/// Lines in a block.
pub(crate) const BLOCK_LINES: usize = 1024;
/// Bytes of blocks that are kept in memory.
const MEMORY: usize = 16 << 20;
/// Bytes of names that are kept.
const NAMES: usize = 48 << 20;
/// Haystacks that are listed.
const GROUPS: usize = 1_000_000;

/// A line that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub line: u64,
    /// Where it begins, in bytes of the decoded text.
    pub offset: u64,
    /// Where in it the first match begins, in bytes.
    pub column: u64,
    /// How many matches are in it.
    pub matches: u32,
}

/// A row of the list: a haystack's heading, or one of its lines. It stays what it is while more is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The haystack, in the order in which they were found.
    pub group: u32,
    /// Which of its lines, from 0; `None` is the heading.
    pub line: Option<u32>,
}

/// What is known of a haystack in which something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// The source it is of, by its place in the list of sources.
    pub source: u16,
    /// What its source knows it by.
    pub name: Vec<u8>,
    /// Lines that match.
    pub lines: u32,
    /// Matches in them.
    pub matches: u64,
}

/// The numbers of a store at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Haystacks in which something was found.
    pub groups: u64,
    /// Lines that match.
    pub lines: u64,
    /// Matches.
    pub matches: u64,
    /// Lines that were counted but could not be kept.
    pub unlisted: u64,
}

#[derive(Debug)]
struct Kept {
    name_at: u32,
    name_len: u32,
    lines: u32,
    first: u32,
    last: u32,
    source: u16,
    matches: u64,
}

#[derive(Debug)]
struct Block {
    at: u64,
    first_line: u64,
    first_offset: u64,
    len: u32,
    next: u32,
    lines: u16,
}

/// No block, and the number of a haystack that is only counted.
const NONE: u32 = u32::MAX;

/// Bytes that are appended and read by their place; what is too much for memory is in a file.
#[derive(Debug, Default)]
struct Spill {
    memory: Vec<u8>,
    file: Option<File>,
    spilled: u64,
    full: bool,
}

impl Spill {
    fn append(&mut self, bytes: &[u8], bound: usize) -> Option<u64> {
        if self.full {
            return None;
        }
        if self.memory.len() + bytes.len() > bound && self.write_out().is_err() {
            // There is no room on disk either: what was kept stays, the rest is counted.
            self.full = true;
            return None;
        }
        let at = self.spilled + self.memory.len() as u64;
        self.memory.extend_from_slice(bytes);
        Some(at)
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(f) => f,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&self.memory, self.spilled)?;
        self.spilled += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        if let Some(inside) = at.checked_sub(self.spilled) {
            let from = usize::try_from(inside).ok()?;
            return Some(self.memory.get(from..from + len)?.to_vec());
        }
        let mut out = vec![0; len];
        self.file.as_ref()?.read_exact_at(&mut out, at).ok()?;
        Some(out)
    }
}

#[derive(Debug, Default)]
struct Store {
    groups: Vec<Kept>,
    blocks: Vec<Block>,
    names: Vec<u8>,
    data: Spill,
    /// The groups in the order of the list, and each one's place in it.
    order: Vec<u32>,
    rank: Vec<u32>,
    totals: Totals,
}

/// What a query has found. Threads add to it while others read.
#[derive(Debug)]
pub struct Results {
    store: Mutex<Store>,
    bound: usize,
    version: AtomicU64,
}

impl Default for Results {
    fn default() -> Self {
        Self::with_memory(MEMORY)
    }
}

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn get(bytes: &mut &[u8]) -> Option<u64> {
    let (mut n, mut shift) = (0u64, 0u32);
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(n);
        }
        shift += 7;
    }
}

/// Paths in the order of a listing: what is in a directory stands together.
fn by_path(a: &[u8], b: &[u8]) -> Ordering {
    let key = |c: &u8| if *c == b'/' { 0 } else { u16::from(*c) + 1 };
    a.iter().map(key).cmp(b.iter().map(key))
}

impl Results {
    /// A store that keeps so many bytes of lines in memory and the rest on disk.
    #[must_use]
    pub fn with_memory(bound: usize) -> Self {
        Self {
            store: Mutex::default(),
            bound,
            version: AtomicU64::new(0),
        }
    }

    /// Adds lines of a haystack, which must be in order and come after those before. Answers the haystack's number, to be
    /// given with its next lines.
    pub(crate) fn push(&self, group: Option<u32>, source: u16, name: &[u8], lines: &[Entry]) -> Option<u32> {
        let first = lines.first()?;
        let mut bytes = Vec::with_capacity(lines.len() * 5);
        let (mut line, mut offset, mut matches) = (first.line, first.offset, 0u64);
        for e in lines {
            put(&mut bytes, e.line - line);
            put(&mut bytes, e.offset - offset);
            put(&mut bytes, e.column);
            put(&mut bytes, u64::from(e.matches));
            (line, offset) = (e.line, e.offset);
            matches += u64::from(e.matches);
        }
        let mut s = self.store.lock();
        let s = &mut *s;
        self.version.fetch_add(1, Atomic::Relaxed);
        s.totals.lines += lines.len() as u64;
        s.totals.matches += matches;
        s.totals.groups += u64::from(group.is_none());
        let fits = match group {
            Some(g) => g != NONE,
            None => s.groups.len() < GROUPS && s.names.len() + name.len() <= NAMES,
        };
        let at = if fits { s.data.append(&bytes, self.bound) } else { None };
        let Some(at) = at else {
            s.totals.unlisted += lines.len() as u64;
            return Some(group.unwrap_or(NONE));
        };
        let block = u32::try_from(s.blocks.len()).unwrap_or(NONE);
        s.blocks.push(Block {
            at,
            first_line: first.line,
            first_offset: first.offset,
            len: u32::try_from(bytes.len()).unwrap_or(0),
            next: NONE,
            lines: u16::try_from(lines.len()).unwrap_or(0),
        });
        let count = u32::try_from(lines.len()).unwrap_or(0);
        let id = match group {
            Some(g) => {
                if let Some(kept) = s.groups.get_mut(g as usize) {
                    if let Some(last) = s.blocks.get_mut(kept.last as usize) {
                        last.next = block;
                    }
                    kept.last = block;
                    kept.lines = kept.lines.saturating_add(count);
                    kept.matches += matches;
                }
                g
            }
            None => {
                let name_at = u32::try_from(s.names.len()).unwrap_or(0);
                s.names.extend_from_slice(name);
                s.groups.push(Kept {
                    name_at,
                    name_len: u32::try_from(name.len()).unwrap_or(0),
                    lines: count,
                    first: block,
                    last: block,
                    source,
                    matches,
                });
                u32::try_from(s.groups.len() - 1).unwrap_or(0)
            }
        };
        Some(id)
    }

    /// Grows with everything that is added.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Atomic::Relaxed)
    }

    /// The numbers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.store.lock().totals
    }

    /// Puts what was added since the last time into its place in the list.
    pub fn settle(&self) {
        let mut s = self.store.lock();
        s.settle();
    }

    /// The haystacks in the order of the list, from place `from` on, at most `n`.
    #[must_use]
    pub fn groups(&self, from: usize, n: usize) -> Vec<Group> {
        let s = self.store.lock();
        s.order.iter().skip(from).take(n).filter_map(|g| s.group(*g)).collect()
    }

    /// How many haystacks are in the list.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.store.lock().order.len()
    }

    /// A haystack by its number.
    #[must_use]
    pub fn group(&self, id: u32) -> Option<Group> {
        self.store.lock().group(id)
    }

    /// The haystack at the place after this one's in the list, or before it.
    #[must_use]
    pub fn neighbour(&self, id: u32, forward: bool) -> Option<Group> {
        let s = self.store.lock();
        let rank = *s.rank.get(id as usize)? as usize;
        let to = if forward { rank + 1 } else { rank.checked_sub(1)? };
        s.group(*s.order.get(to)?)
    }

    /// The lines of a haystack from `from` on, at most `n`. May read from disk.
    #[must_use]
    pub fn entries(&self, group: u32, from: u32, n: usize) -> Vec<Entry> {
        let s = self.store.lock();
        let Some(kept) = s.groups.get(group as usize) else {
            return Vec::new();
        };
        let (mut at, mut skip) = (kept.first, from as usize);
        let mut out = Vec::new();
        while let Some(b) = s.blocks.get(at as usize) {
            if skip >= usize::from(b.lines) {
                skip -= usize::from(b.lines);
            } else {
                let data = s.data.read(b.at, b.len as usize).unwrap_or_default();
                let mut rest = data.as_slice();
                let (mut line, mut offset) = (b.first_line, b.first_offset);
                for i in 0..usize::from(b.lines) {
                    let mut next = || get(&mut rest);
                    let (Some(l), Some(o), Some(column), Some(m)) = (next(), next(), next(), next()) else {
                        break;
                    };
                    (line, offset) = (line + l, offset + o);
                    if i >= skip {
                        out.push(Entry {
                            line,
                            offset,
                            column,
                            matches: u32::try_from(m).unwrap_or(u32::MAX),
                        });
                        if out.len() >= n {
                            return out;
                        }
                    }
                }
                skip = 0;
            }
            at = b.next;
        }
        out
    }

    /// The first row of the list.
    #[must_use]
    pub fn first(&self) -> Option<Place> {
        let s = self.store.lock();
        Some(Place {
            group: *s.order.first()?,
            line: None,
        })
    }

    /// The last row of the list, where these haystacks are folded.
    #[must_use]
    pub fn last(&self, folded: &BTreeSet<u32>) -> Option<Place> {
        let s = self.store.lock();
        let group = *s.order.last()?;
        let lines = s.shown(group, folded);
        Some(Place {
            group,
            line: lines.checked_sub(1),
        })
    }

    /// The row that stands so many rows below another, or above it; at the ends it stops.
    #[must_use]
    pub fn step(&self, from: Place, by: i64, folded: &BTreeSet<u32>) -> Place {
        let s = self.store.lock();
        let Some(rank) = s.rank.get(from.group as usize) else {
            return from;
        };
        let (mut rank, mut left) = (*rank as usize, by);
        // The heading is row 0 of its haystack.
        let mut row = from.line.map_or(0, |l| i64::from(l) + 1);
        let rows = |rank: usize| s.order.get(rank).map(|g| i64::from(s.shown(*g, folded)) + 1);
        row = row.min(rows(rank).unwrap_or(1) - 1);
        loop {
            let here = rows(rank).unwrap_or(1);
            let to = row.saturating_add(left);
            if to >= here {
                if rank + 1 >= s.order.len() {
                    row = here - 1;
                    break;
                }
                left -= here - row;
                (rank, row) = (rank + 1, 0);
            } else if to < 0 {
                if rank == 0 {
                    row = 0;
                    break;
                }
                left += row + 1;
                rank -= 1;
                row = rows(rank).unwrap_or(1) - 1;
            } else {
                row = to;
                break;
            }
        }
        Place {
            group: s.order.get(rank).copied().unwrap_or(from.group),
            line: u32::try_from(row - 1).ok(),
        }
    }

    /// How many rows stand above one, and how many there are.
    #[must_use]
    pub fn rows(&self, at: Place, folded: &BTreeSet<u32>) -> (u64, u64) {
        let s = self.store.lock();
        let (mut above, mut all) = (0u64, 0u64);
        for g in &s.order {
            if *g == at.group {
                above = all + at.line.map_or(0, |l| u64::from(l) + 1);
            }
            all += 1 + u64::from(s.shown(*g, folded));
        }
        (above, all)
    }

    /// The names of everything that was found in, by source; `None` when not all of it is listed.
    #[must_use]
    pub fn names(&self, sources: usize) -> Option<Vec<Vec<Vec<u8>>>> {
        let s = self.store.lock();
        if s.totals.unlisted > 0 {
            return None;
        }
        let mut out = vec![Vec::new(); sources];
        for k in &s.groups {
            out.get_mut(usize::from(k.source))?.push(s.name(k).to_vec());
        }
        Some(out)
    }
}

impl Store {
    fn name(&self, k: &Kept) -> &[u8] {
        let from = k.name_at as usize;
        self.names.get(from..from + k.name_len as usize).unwrap_or_default()
    }

    fn group(&self, id: u32) -> Option<Group> {
        let k = self.groups.get(id as usize)?;
        Some(Group {
            id,
            source: k.source,
            name: self.name(k).to_vec(),
            lines: k.lines,
            matches: k.matches,
        })
    }

    /// Lines of a haystack that have a row.
    fn shown(&self, group: u32, folded: &BTreeSet<u32>) -> u32 {
        if folded.contains(&group) {
            return 0;
        }
        self.groups.get(group as usize).map_or(0, |k| k.lines)
    }

    fn settle(&mut self) {
        let known = self.order.len();
        if known == self.groups.len() {
            return;
        }
        let compare = |a: &u32, b: &u32| {
            let (Some(x), Some(y)) = (self.groups.get(*a as usize), self.groups.get(*b as usize)) else {
                return Ordering::Equal;
            };
            x.source
                .cmp(&y.source)
                .then_with(|| by_path(self.name(x), self.name(y)))
                .then_with(|| a.cmp(b))
        };
        let mut new: Vec<u32> = (known..self.groups.len())
            .filter_map(|i| u32::try_from(i).ok())
            .collect();
        new.sort_unstable_by(compare);
        let mut merged = Vec::with_capacity(self.groups.len());
        let (mut old, mut fresh) = (self.order.iter().peekable(), new.iter().peekable());
        while let (Some(a), Some(b)) = (old.peek(), fresh.peek()) {
            let next = if compare(a, b) == Ordering::Greater {
                fresh.next()
            } else {
                old.next()
            };
            merged.extend(next);
        }
        merged.extend(old.chain(fresh));
        self.order = merged;
        self.rank.resize(self.order.len(), 0);
        for (i, g) in self.order.iter().enumerate() {
            if let Some(r) = self.rank.get_mut(*g as usize) {
                *r = u32::try_from(i).unwrap_or(u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests;
