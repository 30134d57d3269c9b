//! Entries over time, by level: at once from block summaries, exactly by a job.

use std::sync::Arc;

use qd_core::{Severity, Timestamp};

use crate::block::CONTINUES;
use crate::error::{Error, Result};
use crate::find::Job;
use crate::format::level::LEVELS;
use crate::index::CHUNK_BLOCKS;
use crate::mask::Mask;
use crate::shared::Shared;
use crate::stamp::NONE;
use crate::view::View;
use crate::walk::Budget;

/// How many buckets a histogram may have.
pub const MAX_BUCKETS: usize = 4096;

/// How many entries there are in each stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Where the first bucket begins.
    pub from: Timestamp,
    /// How long each bucket is, in nanoseconds.
    pub width: u64,
    /// The counts by level in each: trace, debug, info, warn, error, fatal, and without one.
    pub buckets: Vec<[u64; LEVELS]>,
    /// Whether they are exact; else entries of one 64 KiB block are spread evenly over the block's time.
    pub exact: bool,
}

impl Histogram {
    /// All entries of a bucket.
    pub fn total(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).map_or(0, |counts| counts.iter().sum())
    }

    /// The entries of a bucket of at least a level.
    pub fn at_least(&self, bucket: usize, least: Severity) -> u64 {
        self.buckets
            .get(bucket)
            .map_or(0, |counts| counts[least as usize..LEVELS - 1].iter().sum())
    }

    /// When a bucket begins.
    pub fn start_of(&self, bucket: usize) -> Timestamp {
        Timestamp(
            self.from
                .0
                .saturating_add((self.width as i64).saturating_mul(bucket as i64)),
        )
    }

    fn bucket(&self, time: i64) -> Option<usize> {
        let n = (i128::from(time) - i128::from(self.from.0)) / i128::from(self.width);
        (time >= self.from.0 && n < self.buckets.len() as i128).then_some(n as usize)
    }
}

impl View {
    /// The entries that pass, over a stretch of time (or all of it) in so many buckets; by what is indexed so far and by block
    /// summaries only. `None` when no times are known.
    pub fn histogram(&self, within: Option<(Timestamp, Timestamp)>, buckets: usize) -> Result<Option<Histogram>> {
        build(self.shared(), within, buckets, false, &|| false)
    }

    /// The same, exactly: blocks that lie in more than one bucket, or pass in part, are read.
    pub fn histogram_exact(
        &self,
        within: Option<(Timestamp, Timestamp)>,
        buckets: usize,
    ) -> Result<Job<Option<Histogram>>> {
        self.job(move |view, cancelled| build(view, within, buckets, true, cancelled))
    }
}

fn span(view: &Shared) -> Option<(i64, i64)> {
    let mut span: Option<(i64, i64)> = None;
    for source in view.sources().iter() {
        let clock = source.offset();
        for block in source
            .index()
            .chunks
            .iter()
            .flatten()
            .flat_map(|c| &c.blocks)
            .filter(|b| b.max != NONE)
        {
            let (low, high) = (block.min.saturating_add(clock), block.max.saturating_add(clock));
            span = Some(span.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
        }
    }
    span
}

fn build(
    view: &Arc<Shared>,
    within: Option<(Timestamp, Timestamp)>,
    buckets: usize,
    exact: bool,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<Histogram>> {
    let Some((from, to)) = within.map(|(a, b)| (a.0, b.0)).or_else(|| span(view)) else {
        return Ok(None);
    };
    let buckets = buckets.clamp(1, MAX_BUCKETS);
    let length = (i128::from(to) - i128::from(from)).max(0) + 1;
    let width = (length as u128).div_ceil(buckets as u128).clamp(1, i64::MAX as u128) as u64;
    let mut found = Histogram {
        from: Timestamp(from),
        width,
        buckets: vec![[0; LEVELS]; buckets],
        exact,
    };
    let (set, all) = (view.set(), Budget::new(u32::MAX));
    for source in view.sources().iter() {
        let index = Arc::clone(&source.index());
        let clock = source.offset();
        for number in index.first_block..index.blocks {
            let Some(block) = index.block(number) else {
                found.exact = false;
                continue;
            };
            if block.max == NONE || block.entries() == 0 {
                continue;
            }
            let (low, high) = (block.min.saturating_add(clock), block.max.saturating_add(clock));
            if high < from || low > to {
                continue;
            }
            let chunk = (number / CHUNK_BLOCKS) as usize;
            let known = index
                .chunks
                .get(chunk)
                .and_then(Option::as_ref)
                .and_then(|of| set.masks.get(source.id, chunk, of));
            let mask = match (set.open(), known, exact) {
                (true, ..) => Mask::All,
                (_, Some(known), _) => known
                    .blocks
                    .get((number % CHUNK_BLOCKS) as usize)
                    .cloned()
                    .unwrap_or(Mask::None),
                (_, None, true) => view.mask(source, &index, number, &all)?.unwrap_or(Mask::None),
                // Not evaluated yet: shown as if it passed.
                (_, None, false) => Mask::All,
            };
            let (first, last) = (found.bucket(low), found.bucket(high));
            match mask {
                Mask::None => {}
                Mask::All if first.is_some() && first == last => {
                    let counts = &mut found.buckets[first.unwrap_or(0)];
                    (0..LEVELS).for_each(|l| counts[l] += u64::from(block.counts[l]));
                }
                mask if exact => {
                    if cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let lines = source.load(&index, number)?;
                    for (n, line) in lines.list.iter().enumerate() {
                        if line.format == CONTINUES || line.time == NONE || !mask.get(n) {
                            continue;
                        }
                        if let Some(bucket) = found.bucket(line.time.saturating_add(clock)) {
                            found.buckets[bucket][usize::from(line.level)] += 1;
                        }
                    }
                }
                mask => {
                    let share = mask.count(u64::from(block.lines)) as f64 / f64::from(block.lines.max(1));
                    spread(&mut found, &block.counts, share, low, high);
                }
            }
        }
    }
    Ok(Some(found))
}

/// Spreads the entries of a block evenly over its time; what falls outside is left out.
fn spread(found: &mut Histogram, counts: &[u32; LEVELS], share: f64, low: i64, high: i64) {
    let length = (i128::from(high) - i128::from(low) + 1) as f64;
    let first = found.bucket(low).unwrap_or(0);
    let last = found.bucket(high).unwrap_or(found.buckets.len() - 1);
    for (level, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (mut given, mut reached) = (0u64, 0f64);
        for bucket in first..=last {
            let start = found.start_of(bucket).0.max(low);
            let end = found.start_of(bucket + 1).0.min(high.saturating_add(1));
            reached += (i128::from(end) - i128::from(start)).max(0) as f64 / length * f64::from(*count) * share;
            let now = reached.round() as u64;
            found.buckets[bucket][level] += now - given;
            given = now;
        }
    }
}
