//! The threads behind a view: two that index and evaluate filters, one that watches for growth and for new files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::block::Lines;
use crate::error::Result;
use crate::filter::{Lens, Set};
use crate::index::{CHUNK_BLOCKS, Chunk, Index};
use crate::mask::{Around, ChunkMask, Mask};
use crate::shared::Shared;
use crate::source::{Kind, Source};

/// How many threads index and filter.
const THREADS: usize = 2;

/// What a worker found to do.
enum Job {
    Index(Arc<Source>, (usize, u64, u32)),
    Filter(Arc<Source>, usize, Arc<Chunk>, Arc<Index>),
}

/// Starts the threads; they end when the view does.
pub(crate) fn start(view: &Arc<Shared>) -> std::io::Result<()> {
    for _ in 0..THREADS {
        let view = Arc::clone(view);
        std::thread::Builder::new()
            .name("logs-index".to_owned())
            .spawn(move || worker(&view))?;
    }
    let view = Arc::clone(view);
    std::thread::Builder::new()
        .name("logs-follow".to_owned())
        .spawn(move || follow(&view))?;
    Ok(())
}

fn worker(view: &Shared) {
    let mut buf = Vec::new();
    while !view.stopped() {
        let seen = view.work_version();
        match next(view) {
            Some(Job::Index(source, claim)) => {
                if source.run(claim, &mut buf, &|| view.stopped()) {
                    view.changed();
                }
                if source.open_chunks() == 0 {
                    view.changed();
                    view.poke();
                }
            }
            Some(Job::Filter(source, chunk, of, index)) => {
                let done = filter_chunk(view, &source, chunk, &of, &index);
                view.release(source.id, chunk);
                if done {
                    view.changed_soon();
                }
            }
            None => {
                view.publish();
                buf = Vec::new();
                view.wait_for_work(seen);
            }
        }
    }
}

fn next(view: &Shared) -> Option<Job> {
    let sources = view.sources();
    // The tails of all sources before the middles of any.
    for source in sources.iter().filter(|s| s.index().known == 0) {
        if let Some(claim) = source.claim() {
            return Some(Job::Index(Arc::clone(source), claim));
        }
    }
    if let Some(job) = next_filter(view, true) {
        return Some(job);
    }
    for source in sources.iter() {
        if let Some(claim) = source.claim() {
            return Some(Job::Index(Arc::clone(source), claim));
        }
    }
    next_filter(view, false)
}

/// A chunk whose filters are to be evaluated: around the screen, or anywhere.
fn next_filter(view: &Shared, near: bool) -> Option<Job> {
    let set = view.set();
    let search = view.search_lens();
    let preview = view.preview();
    if set.filters.is_empty() && set.level.is_none() && search.is_none() && preview.is_none() {
        return None;
    }
    let versions = view.versions();
    let focus = view.focus();
    for source in view.sources().iter() {
        let index = Arc::clone(&source.index());
        let count = index.chunks.len();
        let wanted = |chunk: usize| {
            let of = index.chunks.get(chunk)?.as_ref()?;
            let known = |lens: &Lens| lens.masks.get(source.id, chunk, of).is_some();
            let all = set.lenses().all(|lens| known(lens))
                && search.as_ref().is_none_or(|lens| known(lens))
                && (set.open() || set.masks.get(source.id, chunk, of).is_some())
                && preview
                    .as_ref()
                    .is_none_or(|p| known(&p.lens) && p.set.masks.get(source.id, chunk, of).is_some());
            (!all && view.take(source.id, chunk)).then(|| Arc::clone(of))
        };
        let job = |chunk, of| Some(Job::Filter(Arc::clone(source), chunk, of, Arc::clone(&index)));
        if near {
            let (id, block) = focus?;
            if id != source.id {
                continue;
            }
            let at = (block / CHUNK_BLOCKS) as usize;
            for chunk in [at, at + 1, at.saturating_sub(1)] {
                if let Some(of) = wanted(chunk) {
                    return job(chunk, of);
                }
            }
        } else {
            let from = view.hint(source.id, versions, count);
            // The tail changes while it grows; the rest is done from the end on.
            for chunk in count.checked_sub(1).into_iter().chain((0..from).rev()) {
                if let Some(of) = wanted(chunk) {
                    view.set_hint(source.id, versions, count, (chunk + 1).min(from));
                    return job(chunk, of);
                }
            }
        }
    }
    None
}

/// Evaluates all lenses over one chunk. `false` when it was given up.
fn filter_chunk(view: &Shared, source: &Source, chunk: usize, of: &Arc<Chunk>, index: &Index) -> bool {
    let set = view.set();
    let search = view.search_lens();
    let preview = view.preview();
    let unknown = |lens: &&Arc<Lens>| lens.masks.get(source.id, chunk, of).is_none();
    let mut open: Vec<&Arc<Lens>> = set.lenses().chain(search.iter()).filter(unknown).collect();
    let for_preview = open.is_empty();
    open.extend(preview.as_ref().map(|p| &p.lens).filter(unknown));
    // What is worth nothing any more is given up; the next key ends a preview, but not the work on the filters beside it.
    let (epoch, shown) = (set.epoch, preview.as_ref().map_or(0, |p| p.lens.id));
    let worthless = || {
        let (now, _, previewed) = view.versions();
        view.stopped() || now != epoch || (for_preview && previewed != shown)
    };
    match evaluate_chunk(&worthless, source, chunk, of, index, &open) {
        Ok(Some(found)) => {
            for (lens, blocks) in open.iter().zip(found) {
                lens.masks.put(source.id, chunk, Arc::new(ChunkMask::new(of, blocks)));
            }
        }
        Ok(None) => return false,
        Err(error) => {
            source.note(error.to_string());
            let none = || vec![Mask::None; of.blocks.len()];
            for lens in &open {
                lens.masks.put(source.id, chunk, Arc::new(ChunkMask::new(of, none())));
            }
        }
    }
    if !set.open() {
        combine_chunk(&set, source, chunk, of);
    }
    if let Some(preview) = &preview {
        combine_chunk(&preview.set, source, chunk, of);
    }
    true
}

/// Combines the masks of a set over one chunk, all of which must be known.
pub(crate) fn combine_chunk(set: &Set, source: &Source, chunk: usize, of: &Arc<Chunk>) {
    let blocks = of.blocks.iter().enumerate().map(|(n, block)| {
        set.combine(block.lines as usize, &mut |lens| {
            let known = lens.masks.get(source.id, chunk, of);
            known
                .and_then(|known| known.blocks.get(n).cloned())
                .unwrap_or(Mask::None)
        })
    });
    let mask = ChunkMask::new(of, blocks.collect());
    set.masks.put(source.id, chunk, Arc::new(mask));
}

fn evaluate_chunk(
    worthless: &dyn Fn() -> bool,
    source: &Source,
    chunk: usize,
    of: &Arc<Chunk>,
    index: &Index,
    lenses: &[&Arc<Lens>],
) -> Result<Option<Vec<Vec<Mask>>>> {
    let mut found: Vec<Vec<Mask>> = vec![Vec::with_capacity(of.blocks.len()); lenses.len()];
    // This block and its neighbours, as far as they were read.
    let mut near: Vec<(u64, Lines)> = Vec::new();
    for (n, block) in of.blocks.iter().enumerate() {
        let number = chunk as u64 * CHUNK_BLOCKS + n as u64;
        let answers: Vec<Option<Mask>> = lenses.iter().map(|lens| lens.by_summary(source, block)).collect();
        near.retain(|(at, _)| *at + 1 >= number);
        if answers.iter().any(Option::is_none) {
            let whole = lenses.iter().any(|lens| lens.needs_around());
            let before = whole && block.continues && number > 0;
            let after = whole && reaches(index, number);
            for (at, wanted) in [(number.wrapping_sub(1), before), (number, true), (number + 1, after)] {
                if wanted && !near.iter().any(|(known, _)| *known == at) {
                    near.push((at, source.load(index, at)?));
                }
            }
        }
        let read = |at: u64| near.iter().find(|(known, _)| *known == at).map(|(_, lines)| lines);
        let around = Around {
            before: number.checked_sub(1).and_then(read),
            after: read(number + 1),
        };
        for ((lens, answer), list) in lenses.iter().zip(answers).zip(&mut found) {
            list.push(match (answer, read(number)) {
                (Some(mask), _) => mask,
                (None, Some(lines)) => fitting(lens.by_lines(source, lines, around), lines, block.lines),
                (None, None) => Mask::None,
            });
        }
        if worthless() {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Whether the last entry of a block reaches over into the next one, as far as that is known.
pub(crate) fn reaches(index: &Index, block: u64) -> bool {
    block + 1 < index.blocks
        && index
            .block(block + 1)
            .is_none_or(|next| next.continues && next.lines > 0)
}

/// A mask for the number of lines that the index knows: the file may have grown between the two.
fn fitting(mask: Mask, lines: &Lines, known: u32) -> Mask {
    if lines.list.len() == known as usize {
        return mask;
    }
    let bits = (0..known as usize).fold(vec![0u64; (known as usize).div_ceil(64)], |mut bits, n| {
        bits[n / 64] |= u64::from(n < lines.list.len() && mask.get(n)) << (n % 64);
        bits
    });
    Mask::from_bits(bits, known as usize)
}

/// Watches for growth and publishes what is new of live sources.
fn follow(view: &Arc<Shared>) {
    let mut settled = 0;
    while !view.stopped() {
        let mut changed = false;
        let before = settled;
        settled = view.sources().iter().filter(|s| s.settled(s.index().len)).count();
        changed |= settled != before;
        for source in view.sources().iter() {
            let before = source.index().generation;
            let was_rotated = source.rotated.load(Ordering::Relaxed);
            if source.grow() {
                changed = true;
                if source.index().generation != before {
                    view.forget(source.id);
                }
                if !was_rotated && source.rotated.load(Ordering::Relaxed) {
                    view.follow_rotation(source);
                }
            }
            if let Kind::File(store) = &source.kind
                && let Some(spill) = &store.load().spill
                && let Some(note) = spill.note.lock().take()
            {
                source.note(note);
                changed = true;
            }
        }
        view.look_at_directories();
        if changed {
            view.poke();
            view.changed();
        } else {
            view.publish_if_due();
        }
        view.wait_for_growth(Duration::from_millis(if changed { 20 } else { view.poll_ms() }));
    }
}
