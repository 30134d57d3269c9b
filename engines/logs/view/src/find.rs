//! Searching and jumping: patterns with smart case, and jobs that look for the next line without holding up the screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use qd_core::Severity;
use regex::bytes::{Regex, RegexBuilder};

use crate::error::{Error, Result};
use crate::filter::{Ask, Lens};
use crate::index::CHUNK_BLOCKS;
use crate::mask::{Around, Mask};
use crate::row::{Entry, Pos, Predicate, Row, SharedPredicate, Span};
use crate::screen::Anchor;
use crate::shared::Shared;
use crate::view::View;
use crate::walk::{Budget, Place, Stream, Walk};

/// How large a typed pattern may become when compiled.
const PATTERN_LIMIT: usize = 4 << 20;

/// What is searched for: a text or a regular expression. Without capitals in it, either case matches. Matching takes linear
/// time.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// A text to be found as it is.
    pub fn literal(text: &str) -> Result<Pattern> {
        Pattern::new(text, &regex::escape(text))
    }

    /// A regular expression.
    pub fn regex(text: &str) -> Result<Pattern> {
        Pattern::new(text, text)
    }

    fn new(text: &str, pattern: &str) -> Result<Pattern> {
        // Classes as `\S` and `\W` are no capitals.
        let mut chars = text.chars();
        let mut capitals = false;
        while let Some(c) = chars.next() {
            if c == '\\' {
                chars.next();
            } else {
                capitals |= c.is_uppercase();
            }
        }
        let build = RegexBuilder::new(pattern)
            .case_insensitive(!capitals)
            .size_limit(PATTERN_LIMIT)
            .build();
        let regex = build.map_err(|error| Error::Pattern(error.to_string()))?;
        Ok(Pattern {
            text: text.to_owned(),
            regex,
        })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it is in a line's text, for highlighting; at most 256 places.
    pub fn spans(&self, text: &str) -> Vec<Span> {
        self.regex
            .find_iter(text.as_bytes())
            .take(256)
            .map(|m| m.range())
            .filter(|r| !r.is_empty())
            .collect()
    }
}

impl Predicate for Pattern {
    fn matches(&self, entry: &Entry<'_>) -> bool {
        self.regex.is_match(entry.line().as_bytes())
    }

    fn rules_out(&self, text: &[u8]) -> bool {
        // Anchors mean lines, not blocks.
        !self.text.contains(['^', '$', '\\']) && !self.regex.is_match(text)
    }

    fn by_line(&self) -> bool {
        true
    }
}

/// What to jump to.
#[derive(Clone)]
pub enum Target {
    /// An entry of at least this level.
    Level(Severity),
    /// A line that the search matches.
    Hit,
    /// An entry that fits.
    Fits(SharedPredicate),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Level(level) => f.debug_tuple("Level").field(level).finish(),
            Target::Hit => f.write_str("Hit"),
            Target::Fits(_) => f.write_str("Fits(…)"),
        }
    }
}

struct Slot<T> {
    result: Mutex<Option<Result<T>>>,
    done: Condvar,
    cancelled: AtomicBool,
}

/// Work going on elsewhere. Its end wakes the callbacks of [`View::published`]; dropping it cancels it.
pub struct Job<T> {
    slot: Arc<Slot<T>>,
}

impl<T> std::fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("done", &self.is_done()).finish()
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> Job<T> {
    /// Whether the result is there.
    pub fn is_done(&self) -> bool {
        self.slot.result.lock().is_some()
    }

    /// Takes the result, once, when it is there.
    pub fn poll(&self) -> Option<Result<T>> {
        self.slot.result.lock().take()
    }

    /// Gives it up; the result is then [`Error::Cancelled`], unless it was there already.
    pub fn cancel(&self) {
        self.slot.cancelled.store(true, Ordering::Relaxed);
    }

    /// Waits for the result; for commands and tests, never for a screen.
    pub fn wait(self) -> Result<T> {
        let mut result = self.slot.result.lock();
        loop {
            match result.take() {
                Some(result) => return result,
                None => self.slot.done.wait(&mut result),
            }
        }
    }
}

impl View {
    /// Runs something on a thread of its own.
    pub(crate) fn job<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Arc<Shared>, &dyn Fn() -> bool) -> Result<T> + Send + 'static,
    ) -> Result<Job<T>> {
        let slot = Arc::new(Slot {
            result: Mutex::new(None),
            done: Condvar::new(),
            cancelled: AtomicBool::new(false),
        });
        let (theirs, view) = (Arc::clone(&slot), Arc::clone(self.shared()));
        let work = move || {
            let cancelled = || theirs.cancelled.load(Ordering::Relaxed) || view.stopped();
            let result = run(&view, &cancelled);
            *theirs.result.lock() = Some(result);
            theirs.done.notify_all();
            view.changed();
        };
        std::thread::Builder::new()
            .name("logs-job".to_owned())
            .spawn(work)
            .map_err(|error| Error::Io {
                path: "a thread".into(),
                error,
            })?;
        Ok(Job { slot })
    }

    /// Begins (or with `None` ends) a search: its hits are counted on the worker threads and appear in the snapshot.
    pub fn search(&self, pattern: Option<Pattern>) {
        let shared = self.shared();
        let lens = pattern.map(|pattern| {
            let mut next = shared.edit.lock();
            *next += 1;
            let text = pattern.text().to_owned();
            Arc::new(Lens::predicate(
                *next - 1,
                text,
                Arc::new(pattern),
                (i64::MIN, i64::MAX),
            ))
        });
        shared.set_search(lens);
    }

    /// Looks for the next (or previous) passing line of a kind, from a place on and without the line there itself.
    pub fn find(&self, target: Target, from: Anchor, forward: bool) -> Result<Job<Option<Pos>>> {
        let lens = match target {
            Target::Level(least) => Arc::new(Lens::new(0, String::new(), Ask::Level(least as u8))),
            Target::Fits(predicate) => Arc::new(Lens::predicate(0, String::new(), predicate, (i64::MIN, i64::MAX))),
            Target::Hit => self.shared().search_lens().ok_or(Error::NoSuch("search"))?,
        };
        self.job(move |view, cancelled| find(view, &lens, from, forward, cancelled))
    }

    /// Hands every passing row in the view's order to `each` until that says no; gives how many there were. It reads
    /// everything and is not for screens.
    pub fn each(&self, cancelled: &dyn Fn() -> bool, each: &mut dyn FnMut(&Row) -> Result<bool>) -> Result<u64> {
        let mut walk = Walk::new(self.shared(), u32::MAX);
        let places = walk.places(Place::Start)?;
        walk.face_forward(&places)?;
        let mut count = 0;
        let mut numbers = None;
        while let Some(n) = walk.best(true) {
            if let Some(row) = crate::screen::row(&walk.streams[n], &mut numbers) {
                count += 1;
                if !each(&row)? {
                    break;
                }
            }
            walk.advance(n, true)?;
            if count % 1024 == 0 && cancelled() {
                return Err(Error::Cancelled);
            }
        }
        Ok(count)
    }

    /// Waits until the snapshot is as wanted, at most so long; for commands and tests, never for a screen.
    pub fn wait_until(&self, at_most: Duration, wanted: impl Fn(&crate::Snapshot) -> bool) -> bool {
        let gate = Arc::new((Mutex::new(()), Condvar::new()));
        let wake = Arc::clone(&gate);
        let _guard = self.published().on_change(Arc::new(move || {
            let _held = wake.0.lock();
            wake.1.notify_all();
        }));
        let until = std::time::Instant::now() + at_most;
        loop {
            let mut held = gate.0.lock();
            if wanted(&self.snapshot()) {
                return true;
            }
            if gate.1.wait_until(&mut held, until).timed_out() {
                return wanted(&self.snapshot());
            }
        }
    }
}

/// The nearest line in the merged order that fits the lens and passes the filters.
fn find(
    view: &Arc<Shared>,
    lens: &Lens,
    from: Anchor,
    forward: bool,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<Pos>> {
    let mut walk = Walk::new(view, u32::MAX);
    let places = walk.places(from.place())?;
    let own = match from {
        Anchor::At(pos) => walk.streams.iter().position(|s| s.source.id == pos.source),
        _ => None,
    };
    let mut best: Option<(i64, usize, Pos)> = None;
    for (n, (stream, (block, line))) in walk.streams.iter_mut().zip(places).enumerate() {
        let place = if forward {
            (block, line + usize::from(own == Some(n)))
        } else {
            (block, line)
        };
        let limit = best.map(|(key, _, _)| key);
        let Some((block, line)) = seek(view, stream, lens, place, forward, limit, cancelled)? else {
            continue;
        };
        stream.forward(view, block, line, &Budget::new(u32::MAX))?;
        if let (Some(key), Some(pos)) = (stream.key(), stream.pos()) {
            let better = best.is_none_or(|(other, m, _)| {
                if forward {
                    (key, n) < (other, m)
                } else {
                    (key, n) > (other, m)
                }
            });
            if better {
                best = Some((key, n, pos));
            }
        }
    }
    Ok(best.map(|(_, _, pos)| pos))
}

/// The nearest line in one source at or after (or before) a place.
fn seek(
    view: &Shared,
    stream: &Stream,
    lens: &Lens,
    (mut block, mut line): (u64, usize),
    forward: bool,
    limit: Option<i64>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<(u64, usize)>> {
    let (source, index) = (&stream.source, &stream.index);
    let all = Budget::new(u32::MAX);
    if !forward {
        match line.checked_sub(1) {
            Some(before) => line = before,
            None if block > index.first_block => (block, line) = (block - 1, usize::MAX),
            None => return Ok(None),
        }
    }
    loop {
        if block >= index.blocks || block < index.first_block {
            return Ok(None);
        }
        if cancelled() {
            return Err(Error::Cancelled);
        }
        if let (Some(limit), Some(known)) = (limit, index.block(block)) {
            let (low, high) = (
                known.min.saturating_add(source.offset()),
                known.max.saturating_add(source.offset()),
            );
            let beyond = if forward { low > limit } else { high < limit };
            if known.max != crate::stamp::NONE && known.sorted && beyond {
                return Ok(None);
            }
        }
        let mask = lens_mask(view, stream, lens, block)?;
        if mask != Mask::None
            && let Some(passing) = view.mask(source, index, block, &all)?
        {
            let lines = view.lines(source, index, block)?.list.len();
            let both = mask.and(&passing, lines);
            let found = match forward {
                true => both.next(line, lines),
                false if lines > 0 => both.back(line.min(lines - 1)),
                false => None,
            };
            if let Some(found) = found {
                return Ok(Some((block, found)));
            }
        }
        let next = view.skip(source, index, block, forward);
        if !forward && next >= block {
            return Ok(None);
        }
        block = next;
        line = if forward { 0 } else { usize::MAX };
    }
}

/// Which lines of a block fit a lens: as known, by the block's summary, or by looking.
fn lens_mask(view: &Shared, stream: &Stream, lens: &Lens, block: u64) -> Result<Mask> {
    let (source, index) = (&stream.source, &stream.index);
    let chunk = (block / CHUNK_BLOCKS) as usize;
    if let Some(of) = index.chunks.get(chunk).and_then(Option::as_ref) {
        if let Some(known) = lens.masks.get(source.id, chunk, of) {
            return Ok(known
                .blocks
                .get((block % CHUNK_BLOCKS) as usize)
                .cloned()
                .unwrap_or(Mask::None));
        }
        if let Some(mask) = index.block(block).and_then(|summary| lens.by_summary(source, summary)) {
            return Ok(mask);
        }
    }
    if !lens.needs_around() {
        let lines = view.lines(source, index, block)?;
        return Ok(lens.by_lines(source, &lines, Around::default()));
    }
    Ok(match view.neighbourhood(source, index, block)? {
        [before, Some(lines), after] => {
            let around = Around {
                before: before.as_deref(),
                after: after.as_deref(),
            };
            lens.by_lines(source, &lines, around)
        }
        _ => Mask::None,
    })
}
