//! Drawing and moving: rows around a position, and positions by line, time, share or step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qd_core::{Severity, Timestamp};

use crate::block::CONTINUES;
use crate::error::Result;
use crate::filter::{Active, Ask, FilterKind, Lens, MAX_FILTERS, Preview, Set, Stance};
use crate::format::level::severity;
use crate::index::CHUNK_BLOCKS;
use crate::row::{LineNumber, Pos, Row, Screen, SharedPredicate};
use crate::stamp::NONE;
use crate::view::View;
use crate::walk::{Budget, Place, Stream, Walk};

/// How many blocks one call may evaluate or feel its way through before it gives what it has.
const BUDGET: u32 = 24;
/// And how long that may take in all, beside the first of them.
const HURRY: Duration = Duration::from_micros(500);
/// How many rows one call gives.
pub const MAX_ROWS: usize = 4096;

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The beginning of everything.
    Start,
    /// The end of everything.
    End,
    /// A line.
    At(Pos),
    /// The first line at or after a moment.
    Time(Timestamp),
}

impl Anchor {
    pub(crate) fn place(self) -> Place {
        match self {
            Anchor::Start => Place::Start,
            Anchor::End => Place::End,
            Anchor::At(pos) => Place::At(pos),
            Anchor::Time(at) => Place::Key(at.0),
        }
    }
}

pub(crate) fn row(stream: &Stream, numbers: &mut Option<(u32, u64, LineNumber)>) -> Option<Row> {
    let (block, n, lines) = stream.here()?;
    let line = lines.list.get(n)?;
    let pos = stream.pos()?;
    // What stands before a block is worked out once for all rows of it.
    let first = match numbers {
        Some((source, b, first)) if *source == pos.source && *b == block => *first,
        _ => {
            let first = match stream.index.lines_before(block) {
                Some(before) => LineNumber::At(before + 1),
                None => match stream.index.lines_after(block) {
                    Some(after) => LineNumber::FromEnd(after + lines.list.len() as u64),
                    None => LineNumber::Unknown,
                },
            };
            *numbers = Some((pos.source, block, first));
            first
        }
    };
    let formats = stream.source.formats();
    Some(Row {
        pos,
        number: match first {
            LineNumber::At(first) => LineNumber::At(first + n as u64),
            LineNumber::FromEnd(last) => LineNumber::FromEnd(last - n as u64),
            LineNumber::Unknown => LineNumber::Unknown,
        },
        offset: lines.offset + u64::from(line.start),
        time: stream.source.moment(line.time),
        level: severity(line.level),
        continues: line.format == CONTINUES,
        cut: line.cut,
        bytes: lines.data.slice(line.start as usize..(line.start + line.len) as usize),
        format: formats.get(usize::from(line.format)).cloned(),
        record: lines.records.get(n).cloned(),
    })
}

fn too_many() -> crate::Error {
    crate::Error::Filter(format!("a view takes at most {MAX_FILTERS} filters"))
}

impl View {
    /// The rows around a place: at most `before` in front of it, and `after` from it on. For a screen's worth of rows this
    /// takes well under a millisecond when the blocks are cached, and reads one 64 KiB block a source when they are not.
    pub fn rows(&self, at: Anchor, before: usize, after: usize) -> Result<Screen> {
        self.gather(at.place(), before.min(MAX_ROWS), after.min(MAX_ROWS), BUDGET)
    }

    pub(crate) fn gather(&self, place: Place, before: usize, after: usize, budget: u32) -> Result<Screen> {
        let mut walk = Walk::with(self.shared(), Budget::hurry(budget, HURRY));
        let places = walk.places(place)?;
        let mut screen = Screen::default();
        let mut numbers = None;
        walk.face_backward(&places)?;
        while screen.rows.len() < before {
            let Some(n) = walk.best(false) else { break };
            screen.rows.extend(row(&walk.streams[n], &mut numbers));
            walk.advance(n, false)?;
        }
        screen.at_start = walk.best(false).is_none() && !walk.budget.spent();
        screen.rows.reverse();
        screen.at = screen.rows.len();
        walk.face_forward(&places)?;
        while screen.rows.len() < screen.at + after {
            let Some(n) = walk.best(true) else { break };
            screen.rows.extend(row(&walk.streams[n], &mut numbers));
            walk.advance(n, true)?;
        }
        screen.at_end = walk.best(true).is_none() && !walk.budget.spent();
        screen.pending = walk.budget.spent();
        Ok(screen)
    }

    /// The position `by` rows after (or before) another; the first or last one when there are not so many.
    pub fn step(&self, from: Pos, by: i64) -> Result<Option<Pos>> {
        let mut left = by.unsigned_abs();
        let mut at = Place::At(from);
        let mut found = None;
        loop {
            let take = left.min(MAX_ROWS as u64 - 1) as usize;
            let screen = match by < 0 {
                true => self.gather(at, take, 1, BUDGET * 8)?,
                false => self.gather(at, 0, take + 1, BUDGET * 8)?,
            };
            let next = if by < 0 {
                screen.rows.first()
            } else {
                screen.rows.last()
            };
            let Some(next) = next.map(|row| row.pos) else {
                return Ok(found);
            };
            let ended = if by < 0 { screen.at_start } else { screen.at_end };
            found = Some(next);
            left -= take as u64;
            if left == 0 || ended || screen.pending {
                return Ok(found);
            }
            at = Place::At(next);
        }
    }

    /// The first row of all.
    pub fn start(&self) -> Result<Option<Pos>> {
        Ok(self.rows(Anchor::Start, 0, 1)?.rows.first().map(|row| row.pos))
    }

    /// The last row of all.
    pub fn end(&self) -> Result<Option<Pos>> {
        Ok(self.rows(Anchor::End, 1, 0)?.rows.last().map(|row| row.pos))
    }

    /// The first row at or after a moment.
    pub fn at_time(&self, at: Timestamp) -> Result<Option<Pos>> {
        let screen = self.rows(Anchor::Time(at), 1, 1)?;
        Ok(screen.rows.last().map(|row| row.pos))
    }

    /// The row at a share (0 to 1) of the way: by bytes of a single source, which needs no index; by lines of several, as far
    /// as these are indexed.
    pub fn at_share(&self, share: f64) -> Result<Option<Pos>> {
        let share = share.clamp(0.0, 1.0);
        let sources = self.shared().sources();
        if share >= 1.0 {
            return self.end();
        }
        if let [source] = sources.as_slice() {
            let index = source.index();
            let span = index.blocks.saturating_sub(index.first_block);
            let pos = Pos {
                source: source.id,
                generation: index.generation,
                block: index.first_block + (share * span as f64) as u64,
                line: 0,
            };
            let screen = self.rows(Anchor::At(pos), 1, 1)?;
            return Ok(screen.rows.get(screen.at).or(screen.rows.last()).map(|row| row.pos));
        }
        let total = self.snapshot().rows;
        self.at_row((share * total as f64) as u64)
    }

    /// The line with this number (from 1) of one source, passing or not; the last indexed one when there are not so many.
    pub fn at_line(&self, source: u32, number: u64) -> Result<Option<Pos>> {
        let source = self.shared().source(source)?;
        let index = source.index();
        let pos = |(block, line)| Pos {
            source: source.id,
            generation: index.generation,
            block,
            line,
        };
        let last = || index.lines.checked_sub(1).and_then(|n| index.find_line(n));
        Ok(index.find_line(number.saturating_sub(1)).or_else(last).map(pos))
    }

    /// The row with this number (from 0) among those that pass, in the view's order. Needs a complete index (and evaluated
    /// filters) of what is before it; `None` past the end or before that is known.
    pub fn at_row(&self, number: u64) -> Result<Option<Pos>> {
        let mut walk = Walk::new(self.shared(), BUDGET);
        if walk.streams.len() == 1 {
            return self.single_row(&walk.streams[0], number);
        }
        // The least key up to which enough rows lie.
        let (mut low, mut high) = (i64::MIN, i64::MAX);
        while low < high {
            let middle = ((i128::from(low) + i128::from(high)) >> 1) as i64;
            match self.rows_up_to(&mut walk, middle)? {
                Some(count) if count <= number => low = middle + 1,
                Some(_) => high = middle,
                None => return Ok(None),
            }
        }
        let before = if low == i64::MIN {
            Some(0)
        } else {
            self.rows_up_to(&mut walk, low - 1)?
        };
        let Some(before) = before else { return Ok(None) };
        let screen = self.gather(
            Place::Key(low),
            0,
            ((number - before) as usize + 1).min(MAX_ROWS),
            BUDGET,
        )?;
        Ok(screen.rows.get((number - before) as usize).map(|row| row.pos))
    }

    fn single_row(&self, stream: &Stream, number: u64) -> Result<Option<Pos>> {
        let set = self.shared().set();
        let mut left = number;
        for (n, chunk) in stream.index.chunks.iter().enumerate() {
            let Some(of) = chunk else { return Ok(None) };
            let known = set.masks.get(stream.source.id, n, of);
            let count = if set.open() {
                of.lines
            } else {
                match &known {
                    Some(known) => known.count,
                    None => return Ok(None),
                }
            };
            if left >= count {
                left -= count;
                continue;
            }
            for (k, block) in of.blocks.iter().enumerate() {
                let mask = known.as_ref().and_then(|m| m.blocks.get(k)).filter(|_| !set.open());
                let here = mask.map_or(u64::from(block.lines), |m| m.count(u64::from(block.lines)));
                if left >= here {
                    left -= here;
                    continue;
                }
                let line = match mask {
                    Some(mask) => (0..block.lines as usize).filter(|l| mask.get(*l)).nth(left as usize),
                    None => Some(left as usize),
                };
                return Ok(line.map(|line| Pos {
                    source: stream.source.id,
                    generation: stream.index.generation,
                    block: n as u64 * CHUNK_BLOCKS + k as u64,
                    line: line as u32,
                }));
            }
        }
        Ok(None)
    }

    /// How many passing rows have at most this key; `None` when that is not known yet.
    fn rows_up_to(&self, walk: &mut Walk<'_>, key: i64) -> Result<Option<u64>> {
        let mut total = 0;
        for stream in &mut walk.streams {
            let place = stream.bound(self.shared(), key, true)?;
            let Some(count) = self.passing_before(stream, place)? else {
                return Ok(None);
            };
            total += count;
        }
        Ok(Some(total))
    }

    /// How many lines of a source pass before a place in it.
    fn passing_before(&self, stream: &Stream, (block, line): (u64, usize)) -> Result<Option<u64>> {
        let set = self.shared().set();
        let index = &stream.index;
        let last = (block / CHUNK_BLOCKS) as usize;
        let mut total = 0;
        for (n, chunk) in index.chunks.iter().enumerate().take(last + 1) {
            let Some(of) = chunk else { return Ok(None) };
            let known = set.masks.get(stream.source.id, n, of);
            if !set.open() && known.is_none() {
                return Ok(None);
            }
            if n < last {
                total += known.filter(|_| !set.open()).map_or(of.lines, |m| m.count);
                continue;
            }
            let within = (block % CHUNK_BLOCKS) as usize;
            for (k, b) in of.blocks.iter().enumerate().take(within + 1) {
                let mask = known.as_ref().and_then(|m| m.blocks.get(k)).filter(|_| !set.open());
                total += match (k < within, mask) {
                    (true, Some(mask)) => mask.count(u64::from(b.lines)),
                    (true, None) => u64::from(b.lines),
                    (false, Some(mask)) => (0..line).filter(|l| mask.get(*l)).count() as u64,
                    (false, None) => line as u64,
                };
            }
        }
        Ok(Some(total))
    }

    /// The number (from 0) of a position among the rows that pass; `None` while what is before it is not known.
    pub fn row_of(&self, pos: Pos) -> Result<Option<u64>> {
        let mut walk = Walk::new(self.shared(), BUDGET);
        let places = walk.places(Place::At(pos))?;
        let mut total = 0;
        for (stream, place) in walk.streams.iter().zip(places) {
            match self.passing_before(stream, place)? {
                Some(count) => total += count,
                None => return Ok(None),
            }
        }
        Ok(Some(total))
    }

    /// Adds a filter: a predicate with the text it is listed by ([`crate::language`] makes one of the shared language). It
    /// takes part at once if `enabled`, else it is only counted. Gives its number.
    pub fn add_filter(&self, kind: FilterKind, text: &str, predicate: SharedPredicate, enabled: bool) -> Result<u32> {
        let shared = self.shared();
        let mut next = shared.edit.lock();
        let set = shared.set();
        if set.filters.len() >= MAX_FILTERS {
            return Err(too_many());
        }
        let id = *next;
        *next += 1;
        let lens = Arc::new(Lens::predicate(id, text.to_owned(), predicate, (i64::MIN, i64::MAX)));
        let mut filters = set.filters.clone();
        filters.push(Active { lens, kind, enabled });
        shared.replace_set(Set {
            filters,
            level: set.level.clone(),
            ..Set::default()
        });
        Ok(id)
    }

    /// Adds a filter in the shared language.
    pub fn filter(&self, kind: FilterKind, text: &str, now: &qd_core::Now) -> Result<u32> {
        self.add_filter(kind, text, crate::filter::language(text, now)?, true)
    }

    /// Counts what a filter would do that is being typed ([`crate::Snapshot::preview`]), in the background; the next call, or
    /// any change of the filters, ends that. Gives its number.
    pub fn preview(&self, kind: FilterKind, text: &str, predicate: SharedPredicate) -> u32 {
        let shared = self.shared();
        let mut next = shared.edit.lock();
        let id = *next;
        *next += 1;
        let set = shared.set();
        let lens = Arc::new(Lens::predicate(id, text.to_owned(), predicate, (i64::MIN, i64::MAX)));
        let mut filters = set.filters.clone();
        filters.push(Active {
            lens: Arc::clone(&lens),
            kind,
            enabled: true,
        });
        let set = Set {
            filters,
            level: set.level.clone(),
            ..Set::default()
        };
        shared.set_preview(Some(Preview {
            lens,
            kind,
            set: Arc::new(set),
        }));
        id
    }

    /// Ends the preview, if there is one.
    pub fn end_preview(&self) {
        self.shared().set_preview(None);
    }

    /// Makes a filter of the preview, with all that is known of it. `false` when that preview is over.
    pub fn take_preview(&self, id: u32) -> Result<bool> {
        let shared = self.shared();
        let _guard = shared.edit.lock();
        let Some(preview) = shared.preview().filter(|p| p.lens.id == id) else {
            return Ok(false);
        };
        if preview.set.filters.len() > MAX_FILTERS {
            return Err(too_many());
        }
        shared.replace_set(Set {
            filters: preview.set.filters.clone(),
            level: preview.set.level.clone(),
            masks: Arc::clone(&preview.set.masks),
            ..Set::default()
        });
        Ok(true)
    }

    /// The filters and the minimum level as they are, to come back to.
    pub fn stance(&self) -> Stance {
        let forgotten = self.shared().forgotten();
        let set = self.shared().set();
        Stance {
            filters: set.filters.clone(),
            level: set.level.clone(),
            forgotten,
        }
    }

    /// Brings filters and minimum level back to what they were. What was known of them is still known, unless sources began
    /// anew or had their clocks adjusted meanwhile.
    pub fn take_stance(&self, stance: &Stance) {
        let shared = self.shared();
        let _guard = shared.edit.lock();
        let mut stance = stance.clone();
        if stance.forgotten != shared.forgotten() {
            for filter in &mut stance.filters {
                filter.lens = Arc::new(filter.lens.anew());
            }
            if let Some((_, lens)) = &mut stance.level {
                *lens = Arc::new(lens.anew());
            }
        }
        shared.replace_set(Set {
            filters: stance.filters,
            level: stance.level,
            ..Set::default()
        });
    }

    /// Switches a filter on or off.
    pub fn enable_filter(&self, id: u32, enabled: bool) -> Result<()> {
        self.edit_filters(id, |filters, at| filters[at].enabled = enabled)
    }

    /// Removes a filter.
    pub fn remove_filter(&self, id: u32) -> Result<()> {
        self.edit_filters(id, |filters, at| {
            filters.remove(at);
        })
    }

    fn edit_filters(&self, id: u32, edit: impl FnOnce(&mut Vec<Active>, usize)) -> Result<()> {
        let shared = self.shared();
        let _guard = shared.edit.lock();
        let set = shared.set();
        let mut filters = set.filters.clone();
        let at = filters
            .iter()
            .position(|f| f.lens.id == id)
            .ok_or(crate::Error::NoSuch("such filter"))?;
        edit(&mut filters, at);
        shared.replace_set(Set {
            filters,
            level: set.level.clone(),
            ..Set::default()
        });
        Ok(())
    }

    /// Shows only entries of at least this level; those without one count as informational.
    pub fn set_level(&self, least: Option<Severity>) {
        let shared = self.shared();
        let mut next = shared.edit.lock();
        let set = shared.set();
        let level = least.filter(|least| *least > Severity::Trace).map(|least| {
            let lens = Lens::new(*next, least.name().to_owned(), Ask::Level(least as u8));
            *next += 1;
            (least, Arc::new(lens))
        });
        shared.replace_set(Set {
            filters: set.filters.clone(),
            level,
            ..Set::default()
        });
    }

    /// The time of a position, adjusted.
    pub fn time_of(&self, pos: Pos) -> Result<Option<Timestamp>> {
        let source = self.shared().source(pos.source)?;
        let index = source.index();
        if index.generation != pos.generation {
            return Ok(None);
        }
        let lines = self.shared().lines(&source, &index, pos.block)?;
        let time = lines.list.get(pos.line as usize).map_or(NONE, |line| line.time);
        let clock = source.clock.load(Ordering::Relaxed);
        Ok((time != NONE).then(|| Timestamp(time.saturating_add(clock))))
    }
}
