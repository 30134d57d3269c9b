//! Which lines of a block pass, in little space; and the evaluation of predicates over blocks.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::block::{CONTINUES, Lines};
use crate::format::Format;
use crate::index::Chunk;
use crate::row::{Entry, SharedPredicate};
use crate::source::Source;

/// Which lines of one block pass. Most blocks of most filters are the first two, which take no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mask {
    None,
    All,
    Some(Arc<[u64]>),
}

impl Mask {
    pub(crate) fn from_bits(bits: Vec<u64>, lines: usize) -> Mask {
        let count: u32 = bits.iter().map(|word| word.count_ones()).sum();
        match count as usize {
            0 => Mask::None,
            n if n == lines => Mask::All,
            _ => Mask::Some(bits.into()),
        }
    }

    pub(crate) fn get(&self, line: usize) -> bool {
        match self {
            Mask::None => false,
            Mask::All => true,
            Mask::Some(bits) => bits.get(line / 64).is_some_and(|word| word >> (line % 64) & 1 == 1),
        }
    }

    pub(crate) fn count(&self, lines: u64) -> u64 {
        match self {
            Mask::None => 0,
            Mask::All => lines,
            Mask::Some(bits) => bits.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }

    /// The first passing line at or after `from`, of `lines`.
    pub(crate) fn next(&self, from: usize, lines: usize) -> Option<usize> {
        match self {
            Mask::None => None,
            Mask::All => (from < lines).then_some(from),
            Mask::Some(_) => (from..lines).find(|line| self.get(*line)),
        }
    }

    /// The last passing line at or before `from`.
    pub(crate) fn back(&self, from: usize) -> Option<usize> {
        match self {
            Mask::None => None,
            Mask::All => Some(from),
            Mask::Some(_) => (0..=from).rev().find(|line| self.get(*line)),
        }
    }

    fn words(&self, lines: usize) -> Vec<u64> {
        let count = lines.div_ceil(64);
        match self {
            Mask::None => vec![0; count],
            Mask::All => {
                let mut words = vec![u64::MAX; count];
                if let (Some(last), false) = (words.last_mut(), lines.is_multiple_of(64)) {
                    *last = (1 << (lines % 64)) - 1;
                }
                words
            }
            Mask::Some(bits) => bits.to_vec(),
        }
    }

    pub(crate) fn and(&self, other: &Mask, lines: usize) -> Mask {
        match (self, other) {
            (Mask::None, _) | (_, Mask::None) => Mask::None,
            (Mask::All, mask) | (mask, Mask::All) => mask.clone(),
            _ => self.zip(other, lines, |a, b| a & b),
        }
    }

    pub(crate) fn without(&self, other: &Mask, lines: usize) -> Mask {
        match (self, other) {
            (Mask::None, _) | (_, Mask::All) => Mask::None,
            (_, Mask::None) => self.clone(),
            _ => self.zip(other, lines, |a, b| a & !b),
        }
    }

    fn zip(&self, other: &Mask, lines: usize, op: impl Fn(u64, u64) -> u64) -> Mask {
        let (a, b) = (self.words(lines), other.words(lines));
        Mask::from_bits(a.iter().zip(&b).map(|(a, b)| op(*a, *b)).collect(), lines)
    }
}

/// The masks of one chunk, and the index they were made by.
#[derive(Debug)]
pub(crate) struct ChunkMask {
    pub of: Arc<Chunk>,
    pub blocks: Vec<Mask>,
    pub count: u64,
}

impl ChunkMask {
    pub(crate) fn new(of: &Arc<Chunk>, blocks: Vec<Mask>) -> ChunkMask {
        let count = blocks
            .iter()
            .zip(&of.blocks)
            .map(|(mask, block)| mask.count(u64::from(block.lines)))
            .sum();
        ChunkMask {
            of: Arc::clone(of),
            blocks,
            count,
        }
    }
}

/// The masks of one predicate (or of a whole set of filters) over all sources, as far as they were evaluated.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    map: RwLock<HashMap<(u32, u32), Arc<ChunkMask>>>,
    matched: AtomicU64,
    evaluated: AtomicU64,
}

impl Masks {
    /// The masks of a chunk, if they were made by this very index of it.
    pub(crate) fn get(&self, source: u32, chunk: usize, of: &Arc<Chunk>) -> Option<Arc<ChunkMask>> {
        let found = self.map.read().get(&(source, chunk as u32)).cloned()?;
        Arc::ptr_eq(&found.of, of).then_some(found)
    }

    pub(crate) fn put(&self, source: u32, chunk: usize, mask: Arc<ChunkMask>) {
        let (count, lines) = (mask.count, mask.of.lines);
        let old = self.map.write().insert((source, chunk as u32), mask);
        self.matched.fetch_add(count, Ordering::Relaxed);
        self.evaluated.fetch_add(lines, Ordering::Relaxed);
        if let Some(old) = old {
            self.matched.fetch_sub(old.count, Ordering::Relaxed);
            self.evaluated.fetch_sub(old.of.lines, Ordering::Relaxed);
        }
    }

    /// Forgets what belongs to a source that began anew.
    pub(crate) fn forget(&self, source: u32) {
        let mut map = self.map.write();
        let gone: Vec<_> = map.keys().filter(|(s, _)| *s == source).copied().collect();
        for key in gone {
            if let Some(old) = map.remove(&key) {
                self.matched.fetch_sub(old.count, Ordering::Relaxed);
                self.evaluated.fetch_sub(old.of.lines, Ordering::Relaxed);
            }
        }
    }

    /// Lines that match, so far.
    pub(crate) fn matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Lines that were looked at, so far.
    pub(crate) fn evaluated(&self) -> u64 {
        self.evaluated.load(Ordering::Relaxed)
    }
}

/// Makes an entry of lines `range` of a block. `before` is the text of an entry that the first line continues.
pub(crate) fn entry<'a>(
    source: &'a Source,
    formats: &'a [Format],
    lines: &'a Lines,
    range: std::ops::Range<usize>,
) -> Entry<'a> {
    let first = &lines.list[range.start];
    let head = String::from_utf8_lossy(lines.bytes(first));
    let whole = (range.len() > 1).then(|| {
        let last = &lines.list[range.end - 1];
        let text = &lines.data[first.start as usize..(last.start + last.len) as usize];
        String::from_utf8_lossy(text)
    });
    Entry {
        source: &source.name,
        time: source.moment(first.time),
        level: first.level,
        format: formats.get(usize::from(first.format)),
        record: lines.records.get(range.start),
        head,
        whole,
        parsed: OnceCell::new(),
    }
}

/// How many lines at a block's beginning continue an entry from before it.
pub(crate) fn leading(lines: &Lines) -> usize {
    lines.list.iter().take_while(|line| line.format == CONTINUES).count()
}

/// The blocks before and after one, where an entry reaches over from or to them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    pub before: Option<&'a Lines>,
    pub after: Option<&'a Lines>,
}

/// Which lines of a block match. An entry that lies in two blocks is judged by its parts in both; of one that lies in more,
/// each part is judged with that before it.
pub(crate) fn evaluate(source: &Source, predicate: &SharedPredicate, lines: &Lines, around: Around<'_>) -> Mask {
    let count = lines.list.len();
    let leading = leading(lines);
    let over = around.after.map_or(0, self::leading);
    let apart = leading + over == 0 || predicate.by_line();
    if count == 0 || (apart && lines.records.is_empty() && predicate.rules_out(&lines.data)) {
        return Mask::None;
    }
    let formats = source.formats();
    let mut bits = vec![0u64; count.div_ceil(64)];
    let mut set = |range: std::ops::Range<usize>| range.for_each(|n| bits[n / 64] |= 1 << (n % 64));
    if predicate.by_line() {
        for n in 0..count {
            if predicate.matches(&entry(source, &formats, lines, n..n + 1)) {
                set(n..n + 1);
            }
        }
        return Mask::from_bits(bits, count);
    }
    let mut n = 0;
    if leading > 0 {
        let matched = match around.before.filter(|b| !b.list.is_empty()) {
            Some(before) => {
                let range = before.entry(before.list.len() - 1);
                let mut found = entry(source, &formats, before, range);
                let here = entry(source, &formats, lines, 0..leading);
                let joined = format!("{}\n{}", found.text(), here.text());
                found.whole = Some(Cow::Owned(joined));
                predicate.matches(&found)
            }
            None => predicate.matches(&entry(source, &formats, lines, 0..leading)),
        };
        if matched {
            set(0..leading);
        }
        n = leading;
    }
    while n < count {
        let mut end = n + 1;
        while end < count && lines.list[end].format == CONTINUES {
            end += 1;
        }
        let mut found = entry(source, &formats, lines, n..end);
        if let Some(after) = around.after.filter(|_| end == count && over > 0) {
            let rest = entry(source, &formats, after, 0..over);
            found.whole = Some(Cow::Owned(format!("{}\n{}", found.text(), rest.text())));
        }
        if predicate.matches(&found) {
            set(n..end);
        }
        n = end;
    }
    Mask::from_bits(bits, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn masks_are_sets(a in prop::collection::vec(any::<bool>(), 1..200), seed in any::<u64>()) {
            let lines = a.len();
            let b: Vec<bool> = (0..lines).map(|n| seed >> (n % 64) & 1 == 1).collect();
            let mask = |list: &[bool]| {
                let mut bits = vec![0u64; lines.div_ceil(64)];
                list.iter().enumerate().filter(|(_, v)| **v).for_each(|(n, _)| bits[n / 64] |= 1 << (n % 64));
                Mask::from_bits(bits, lines)
            };
            let (x, y) = (mask(&a), mask(&b));
            for n in 0..lines {
                prop_assert_eq!(x.and(&y, lines).get(n), a[n] && b[n]);
                prop_assert_eq!(x.without(&y, lines).get(n), a[n] && !b[n]);
                prop_assert_eq!(x.next(n, lines), (n..lines).find(|k| a[*k]));
                prop_assert_eq!(x.back(n), (0..=n).rev().find(|k| a[*k]));
            }
            prop_assert_eq!(x.count(lines as u64), a.iter().filter(|v| **v).count() as u64);
        }
    }
}
