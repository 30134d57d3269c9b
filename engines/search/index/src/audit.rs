//! Comparing what an index says of files with what is in them.

use std::collections::{BTreeSet, HashSet};

use crate::build::{self, Scratch, Stop};
use crate::error::Error;
use crate::fresh;
use crate::merge::{Input, Source};
use crate::segment::{Entry, Postings, Segment};
use crate::store::Index;
use crate::wanted::Wanted;

/// What an audit found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Audit {
    /// Files that were compared.
    pub compared: u64,
    /// Files that changed in the meantime, or of which the index says nothing.
    pub skipped: u64,
    /// Files that have something of which the index says they have not. Relative to the root.
    pub wrong: Vec<Vec<u8>>,
    /// Files that changed without the watcher telling. Relative to the root.
    pub unnoticed: Vec<Vec<u8>>,
}

/// Compares all of an index with its checksums, then reads `samples` of its files again, chosen by `seed`, and looks for each
/// of their grams in the index. Where there is a watcher, what it says has changed is compared with what looking at every
/// file finds.
///
/// # Errors
/// [`Error::Corrupt`] when the index is damaged; others when it cannot be read, or its directory cannot be written to.
pub fn audit(index: &Index, samples: usize, seed: u64) -> Result<Audit, Error> {
    index.verify()?;
    let mut audit = Audit {
        unnoticed: unnoticed(index)?,
        ..Audit::default()
    };
    let entries = index.entries()?;
    let chosen = choose(entries.len(), samples, seed);
    let chosen: Vec<&(usize, u32, Entry)> = chosen.into_iter().map(|n| &entries[n]).collect();
    let sure: Vec<&(usize, u32, Entry)> = chosen.iter().copied().filter(|e| !e.2.unsure).collect();
    audit.skipped = (chosen.len() - sure.len()) as u64;
    let scratch = Scratch::new(index.place.dir.join(format!("audit-{}", std::process::id())))?;
    let files: Vec<_> = sure.iter().map(|e| (e.2.path.clone(), e.2.stamp)).collect();
    let inputs = build::index(&index.place.root, &files, &scratch.0, &Stop::new(false))?;
    let mut known = sure.iter().peekable();
    for mut input in inputs {
        // The file of each block of this input, with the block's number in its segment.
        let mut places: Vec<Option<(usize, u32, &[u8])>> = Vec::new();
        let files = std::mem::take(&mut input.files);
        for (file, _) in &files {
            let entry = loop {
                match known.next() {
                    Some(entry) if entry.2.path == file.path => break Some(entry),
                    // It is not there any more.
                    Some(_) => audit.skipped += 1,
                    None => break None,
                }
            };
            let Some((segment, id, entry)) = entry.filter(|e| e.2.stamp == file.stamp && !file.unsure) else {
                audit.skipped += 1;
                places.resize(places.len() + file.blocks as usize, None);
                continue;
            };
            audit.compared += 1;
            if (entry.blocks, entry.head) != (file.blocks, file.head) {
                audit.wrong.push(entry.path.clone());
                places.resize(places.len() + file.blocks as usize, None);
                continue;
            }
            let first = first_block(&index.segments[*segment], *id)?;
            places.extend((0..file.blocks).map(|n| Some((*segment, first + n, &entry.path[..]))));
        }
        let mut wrong = BTreeSet::new();
        look_up(index, input, &places, &mut wrong)?;
        audit.wrong.extend(wrong);
    }
    Ok(audit)
}

fn choose(count: usize, samples: usize, seed: u64) -> BTreeSet<usize> {
    if samples >= count {
        return (0..count).collect();
    }
    let (mut state, mut chosen) = (seed, BTreeSet::new());
    while chosen.len() < samples {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        chosen.insert((state >> 33) as usize % count);
    }
    chosen
}

fn first_block(segment: &Segment, id: u32) -> Result<u32, Error> {
    let group = id as usize / crate::segment::GROUP;
    let mut first = 0;
    segment.groups(group, group + 1, |number, block, _| {
        if number == id {
            first = block;
        }
    })?;
    Ok(first)
}

type At<'a> = Option<(usize, u32, &'a [u8])>;

/// Looks for each gram of an input in the index; the files for which it is not there go to `wrong`.
fn look_up(index: &Index, input: Input, places: &[At<'_>], wrong: &mut BTreeSet<Vec<u8>>) -> Result<(), Error> {
    let mut opaque: Vec<HashSet<u32>> = Vec::new();
    for segment in &index.segments {
        let mut set = HashSet::new();
        segment.opaque(|b| {
            set.insert(b);
        })?;
        opaque.push(set);
    }
    let at = |block: u32| places.get(block as usize).copied().flatten();
    for (segment, block, path) in input.opaque.iter().filter_map(|b| at(*b)) {
        if !opaque[segment].contains(&block) {
            wrong.insert(path.to_vec());
        }
    }
    let mut blocks = Vec::new();
    for mut source in input.sources {
        while source.gram() < crate::grams::GRAMS as u32 {
            let gram = source.gram();
            blocks.clear();
            Source::take(&mut *source, &mut blocks)?;
            for (number, segment) in index.segments.iter().enumerate() {
                let mut needed = blocks
                    .iter()
                    .filter_map(|b| at(*b))
                    .filter(|p| p.0 == number)
                    .peekable();
                if needed.peek().is_none() {
                    continue;
                }
                let postings = segment.postings(gram)?;
                if matches!(postings, Postings::Most) {
                    continue;
                }
                let mut noted = HashSet::new();
                segment.blocks(&postings, |b| {
                    noted.insert(b);
                })?;
                wrong.extend(
                    needed
                        .filter(|(_, b, _)| !noted.contains(b))
                        .map(|(_, _, path)| path.to_vec()),
                );
            }
        }
    }
    Ok(())
}

/// What a sweep finds changed and the watcher, asked afterwards, does not know of.
fn unnoticed(index: &Index) -> Result<Vec<Vec<u8>>, Error> {
    let Ok(found) = fresh::sweep(index, b"", Wanted::ALWAYS)? else {
        return Ok(Vec::new());
    };
    let Some(Ok(told)) = fresh::ask(index).and_then(|pending| pending.answer(Wanted::ALWAYS)) else {
        return Ok(Vec::new());
    };
    let told: HashSet<Vec<u8>> = told.dirty.into_iter().chain(told.gone).collect();
    let mut unsure = HashSet::new();
    for (_, _, entry) in index.entries()? {
        if entry.unsure {
            unsure.insert(entry.path);
        }
    }
    let is_told = |path: &[u8]| {
        let mut part = path;
        loop {
            if told.contains(part) {
                return true;
            }
            if part.is_empty() {
                return false;
            }
            part = crate::tree::parent(part);
        }
    };
    let changed = found.dirty.into_iter().chain(found.gone);
    Ok(changed
        .filter(|path| !is_told(path) && !unsure.contains(path))
        .collect())
}
