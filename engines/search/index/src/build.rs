//! Reads files and notes the grams of their blocks, on all processors and in bounded memory.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use encoding_rs_io::DecodeReaderBytesBuilder;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, at};
use crate::grams::{Content, Splitter};
use crate::merge::{Input, Run, Source, write_run};
use crate::segment::Entry;
use crate::stamp::{Stamp, Writers, now, writers};
use crate::tree::{below, threads};

/// Bytes that all threads together may hold as pairs of gram and block.
const MEMORY: usize = 192 << 20;

/// Bytes of pieces of runs that are held while they are merged.
const PIECES: usize = 32 << 20;

/// Bytes of files that are one piece of work.
const BATCH: u64 = 32 << 20;

/// Files that are one piece of work, however small.
const MOST_FILES: usize = 4096;

/// Bytes that are read at once.
const READ: usize = 256 << 10;

/// A stop that others can ask for.
pub(crate) type Stop = AtomicBool;

/// Reads `files` below `root` and leaves their grams in runs in the directory `scratch`.
pub(crate) fn index(root: &Path, files: &[(Vec<u8>, Stamp)], scratch: &Path, stop: &Stop) -> Result<Vec<Input>, Error> {
    let batches = batches(files);
    let threads = threads().min(batches.len()).max(1);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let failure = Mutex::new(None);
    let work = || {
        let mut worker = Worker::new(root, scratch, MEMORY / threads / 16);
        loop {
            let number = next.fetch_add(1, Relaxed);
            let Some(batch) = batches.get(number) else { break };
            match worker.batch(number, batch, stop) {
                Ok(result) => done
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((number, result)),
                Err(error) => {
                    next.store(batches.len(), Relaxed);
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(number, _)| *number);
    let runs: usize = done.iter().map(|(_, batch)| batch.runs.len()).sum();
    let piece = (PIECES / runs.max(1)).clamp(4 << 10, 256 << 10);
    done.into_iter()
        .map(|(_, batch)| {
            let runs = batch.runs.into_iter().map(|path| Run::open(path, piece));
            let sources = runs.map(|run| run.map(|run| Box::new(run) as Box<dyn Source>));
            Ok(Input {
                files: batch.files.into_iter().map(|file| (file, true)).collect(),
                sources: sources.collect::<Result<_, Error>>()?,
                opaque: batch.opaque,
            })
        })
        .collect()
}

fn batches(files: &[(Vec<u8>, Stamp)]) -> Vec<&[(Vec<u8>, Stamp)]> {
    let mut batches = Vec::new();
    let (mut start, mut size) = (0, 0_u64);
    for (number, (_, stamp)) in files.iter().enumerate() {
        size = size.saturating_add(stamp.size);
        if size >= BATCH || number + 1 - start >= MOST_FILES {
            batches.push(&files[start..=number]);
            (start, size) = (number + 1, 0);
        }
    }
    if start < files.len() {
        batches.push(&files[start..]);
    }
    batches
}

/// What became of a piece of work.
#[derive(Default)]
struct Batch {
    files: Vec<Entry>,
    runs: Vec<PathBuf>,
    opaque: Vec<u32>,
    blocks: u32,
}

struct Worker<'a> {
    root: &'a Path,
    scratch: &'a Path,
    splitter: Splitter,
    buffer: Vec<u8>,
    pairs: Vec<u64>,
    spare: Vec<u64>,
    most_pairs: usize,
}

/// What ended the reading of a file early.
enum Halt {
    /// It cannot be read.
    File,
    /// Nothing can be done any more.
    All(Error),
}

impl<'a> Worker<'a> {
    fn new(root: &'a Path, scratch: &'a Path, most_pairs: usize) -> Self {
        Worker {
            root,
            scratch,
            splitter: Splitter::new(),
            buffer: vec![0; READ],
            pairs: Vec::new(),
            spare: Vec::new(),
            most_pairs,
        }
    }

    fn batch(&mut self, number: usize, files: &[(Vec<u8>, Stamp)], stop: &Stop) -> Result<Batch, Error> {
        let mut batch = Batch::default();
        for (path, stamp) in files {
            if stop.load(Relaxed) {
                return Err(Error::unsuitable(self.root, "the building of the index was ended"));
            }
            if let Some(entry) = self.file(number, path, *stamp, &mut batch)? {
                batch.blocks += entry.blocks;
                batch.files.push(entry);
            }
        }
        self.run(number, &mut batch)?;
        Ok(batch)
    }

    /// Reads one file. None when there is no such file any more.
    fn file(&mut self, number: usize, path: &[u8], seen: Stamp, batch: &mut Batch) -> Result<Option<Entry>, Error> {
        let mut entry = Entry {
            path: path.to_vec(),
            stamp: seen,
            unsure: true,
            ..Entry::default()
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(below(self.root, path), flags, Mode::empty()) {
            Ok(fd) => std::fs::File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            // A search will say why.
            Err(_) => return Ok(Some(entry)),
        };
        let look = || rustix::fs::fstat(&file).ok().map(|s| Stamp::new(&s));
        let taken = now();
        let (Some(stamp), free) = (look(), writers(&file)) else {
            return Ok(Some(entry));
        };
        match self.read(number, &file, batch) {
            Ok(split) => (entry.blocks, entry.head) = (split.blocks, split.head),
            Err(Halt::All(error)) => return Err(error),
            Err(Halt::File) => {
                entry.blocks = self.splitter.abandon();
                entry.head = entry.blocks;
                return Ok(Some(entry));
            }
        }
        let same = stamp == seen && look() == Some(stamp);
        entry.stamp = stamp;
        entry.unsure = !same || stamp.is_fresh(taken) || free == Writers::Some;
        Ok(Some(entry))
    }

    fn read(
        &mut self,
        number: usize,
        mut file: &std::fs::File,
        batch: &mut Batch,
    ) -> Result<crate::grams::Split, Halt> {
        let mut filled = fill(&mut file, &mut self.buffer).map_err(|_| Halt::File)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let is_wide = matches!(buffer[..filled], [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
        let result = if is_wide {
            // The search will see it as UTF-8.
            let whole = io::Cursor::new(buffer[..filled].to_vec()).chain(file);
            let mut reader = DecodeReaderBytesBuilder::new()
                .utf8_passthru(true)
                .strip_bom(true)
                .build(whole);
            loop {
                match fill(&mut reader, &mut buffer) {
                    Ok(0) => break self.end(number, batch),
                    Ok(n) => {
                        if let Err(halt) = self.feed(number, &buffer[..n], batch) {
                            break Err(halt);
                        }
                    }
                    Err(_) => break Err(Halt::File),
                }
            }
        } else {
            loop {
                if let Err(halt) = self.feed(number, &buffer[..filled], batch) {
                    break Err(halt);
                }
                if filled < buffer.len() {
                    break self.end(number, batch);
                }
                match fill(&mut file, &mut buffer) {
                    Ok(n) => filled = n,
                    Err(_) => break Err(Halt::File),
                }
            }
        };
        self.buffer = buffer;
        result
    }

    fn feed(&mut self, number: usize, bytes: &[u8], batch: &mut Batch) -> Result<(), Halt> {
        let (pairs, opaque) = (&mut self.pairs, &mut batch.opaque);
        let mut block = batch.blocks + self.splitter.blocks();
        let mut emit = |content: Content<'_>| -> Result<(), Halt> {
            note(content, &mut block, pairs, opaque);
            Ok(())
        };
        self.splitter.feed(bytes, &mut emit)?;
        if self.pairs.len() >= self.most_pairs {
            self.run(number, batch).map_err(Halt::All)?;
        }
        Ok(())
    }

    fn end(&mut self, number: usize, batch: &mut Batch) -> Result<crate::grams::Split, Halt> {
        let (pairs, opaque) = (&mut self.pairs, &mut batch.opaque);
        let mut block = batch.blocks + self.splitter.blocks();
        let split = self.splitter.end(&mut |content| -> Result<(), Halt> {
            note(content, &mut block, pairs, opaque);
            Ok(())
        })?;
        if self.pairs.len() >= self.most_pairs {
            self.run(number, batch).map_err(Halt::All)?;
        }
        Ok(split)
    }

    /// Writes what is held as a run.
    fn run(&mut self, number: usize, batch: &mut Batch) -> Result<(), Error> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        sort(&mut self.pairs, &mut self.spare);
        let path = self.scratch.join(format!("run-{number}-{}", batch.runs.len()));
        write_run(&self.pairs, &path)?;
        batch.runs.push(path);
        self.pairs.clear();
        Ok(())
    }
}

fn note(content: Content<'_>, block: &mut u32, pairs: &mut Vec<u64>, opaque: &mut Vec<u32>) {
    match content {
        Content::Grams(grams) => pairs.extend(grams.iter().map(|g| u64::from(*g) << 32 | u64::from(*block))),
        Content::TooMany => opaque.push(*block),
    }
    *block += 1;
}

/// Sorts pairs by their grams. Blocks of a gram are in order already and stay so.
fn sort(pairs: &mut Vec<u64>, spare: &mut Vec<u64>) {
    spare.clear();
    spare.resize(pairs.len(), 0);
    for shift in [32, 44] {
        let digit = |pair: u64| (pair >> shift) as usize & 0xFFF;
        let mut places = [0_usize; 1 << 12];
        for pair in &*pairs {
            places[digit(*pair)] += 1;
        }
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for pair in &*pairs {
            let place = &mut places[digit(*pair)];
            spare[*place] = *pair;
            *place += 1;
        }
        std::mem::swap(pairs, spare);
    }
}

/// Reads until `buffer` is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A directory for runs that is gone when it is not needed any more.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(path: PathBuf) -> Result<Scratch, Error> {
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&path, "cannot be removed")(error));
            }
            _ => {}
        }
        std::fs::create_dir(&path).map_err(at(&path, "cannot be made"))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is removed when the index is built the next time.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_by_gram_and_block() {
        let mut state = 7_u64;
        let mut pairs: Vec<u64> = (0..5000_u64)
            .map(|n| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (((state >> 45) & 0xFF_FFFF) << 32) | (n / 10)
            })
            .collect();
        let mut expected = pairs.clone();
        expected.sort_unstable();
        sort(&mut pairs, &mut Vec::new());
        assert_eq!(pairs, expected);
    }

    #[test]
    fn batches_have_all_files_once() {
        let files: Vec<(Vec<u8>, Stamp)> = (0..10_000_u64)
            .map(|n| {
                let stamp = Stamp {
                    size: if n % 1000 == 0 { BATCH * 2 } else { 10 },
                    ..Stamp::default()
                };
                (n.to_string().into_bytes(), stamp)
            })
            .collect();
        let batches = batches(&files);
        assert_eq!(batches.concat(), files);
        assert!(batches.iter().all(|b| !b.is_empty() && b.len() <= MOST_FILES));
    }
}
