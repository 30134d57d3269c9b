//! A segment: the grams of many files, written once and never changed.
//!
//! It has, in this order: the posting lists of all grams; the table of grams, in buckets by their first two bytes; the directory
//! of buckets; the files in groups, their paths relative to the one before; the directory of groups; the files' stamps. A
//! gram that most blocks have is in the table without a list. Blocks are numbered in the order of the files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::codec::{self, Malformed};
use crate::error::Error;
use crate::pages::Reader;
use crate::stamp::{STORED, Stamp};
use crate::tree::{is_in, order};
use crate::wanted::Wanted;

/// Files whose paths are stored together.
pub(crate) const GROUP: usize = 16;

/// Groups that are read before it is looked whether they are still wanted.
pub(crate) const GROUPS_AT_ONCE: usize = 64;

/// Buckets of grams.
pub(crate) const BUCKETS: usize = 1 << 16;

/// Bytes of a bucket in the directory: the place of its entries in the table, and of its lists.
pub(crate) const BUCKET: usize = 4 + 8;

/// Bytes of a group in its directory: its first block and the place of its files.
pub(crate) const GROUP_ENTRY: usize = 4 + 4;

/// The table of contents.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Contents {
    pub(crate) blocks: u32,
    pub(crate) files: u32,
    /// Bytes of the files.
    pub(crate) text: u64,
    pub(crate) table: u64,
    pub(crate) directory: u64,
    pub(crate) groups: u64,
    pub(crate) groups_length: u64,
    pub(crate) group_directory: u64,
    pub(crate) stamps: u64,
    /// Blocks that say nothing, as a list.
    pub(crate) opaque: Vec<u8>,
    pub(crate) opaque_count: u32,
    /// Numbers of the files that are unsure, as a list.
    pub(crate) unsure: Vec<u8>,
    pub(crate) unsure_count: u32,
}

/// A file in a segment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) stamp: Stamp,
    pub(crate) blocks: u32,
    /// Blocks before the first NUL byte.
    pub(crate) head: u32,
    /// What the segment says of it is not to be trusted: it could not be read, or may have changed since.
    pub(crate) unsure: bool,
}

/// What a segment knows of a gram.
pub(crate) enum Postings {
    /// No block has it.
    None,
    /// So many blocks have it that they are not listed.
    Most,
    /// These do.
    One(u32),
    /// So many do.
    List { count: u32, place: u64, length: usize },
}

impl Postings {
    /// How many blocks of `all` have it, about.
    pub(crate) fn count(&self, all: u32) -> u32 {
        match self {
            Postings::None => 0,
            Postings::Most => all,
            Postings::One(_) => 1,
            Postings::List { count, .. } => *count,
        }
    }
}

/// One that is open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    reader: Reader,
    pub(crate) contents: Contents,
    /// First block and place of each group.
    groups: Vec<(u32, u32)>,
}

impl Segment {
    pub(crate) fn open(path: &Path) -> Result<Segment, Error> {
        let (reader, contents) = Reader::open(path)?;
        let contents: Contents =
            postcard::from_bytes(&contents).map_err(|_| reader.corrupt("the table of contents cannot be read"))?;
        let count = (contents.files as usize).div_ceil(GROUP);
        let bytes = reader.read(contents.group_directory, count * GROUP_ENTRY)?;
        let groups: Vec<(u32, u32)> = bytes
            .chunks_exact(GROUP_ENTRY)
            .map(|e| (word(e, 0), word(e, 4)))
            .collect();
        if !groups.is_sorted() || groups.last().is_some_and(|g| g.0 > contents.blocks) {
            return Err(reader.corrupt("its files are not in order"));
        }
        Ok(Segment {
            reader,
            contents,
            groups,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Compares every page with its checksum.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        self.reader.verify()
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        self.reader.corrupt(what)
    }

    fn malformed<T>(&self, result: Result<T, Malformed>) -> Result<T, Error> {
        result.map_err(|_| self.corrupt("a list cannot be read"))
    }

    /// The entries of a bucket, and where its lists are.
    pub(crate) fn bucket(&self, bucket: usize) -> Result<(Vec<u8>, u64), Error> {
        let at = self.contents.directory + (bucket * BUCKET) as u64;
        let bytes = self.reader.read(at, BUCKET + 4)?;
        let (start, end) = (word(&bytes, 0), word(&bytes, BUCKET));
        let length = end
            .checked_sub(start)
            .ok_or_else(|| self.corrupt("its grams are not in order"))?;
        let lists = u64::from(word(&bytes, 4)) | u64::from(word(&bytes, 8)) << 32;
        Ok((
            self.reader
                .read(self.contents.table + u64::from(start), length as usize)?,
            lists,
        ))
    }

    /// What is known of a gram.
    pub(crate) fn postings(&self, gram: u32) -> Result<Postings, Error> {
        let (entries, mut lists) = self.bucket(gram as usize >> 8)?;
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let (last, postings) = self.malformed(entry(&mut rest, &mut lists))?;
            if u32::from(last) == gram & 0xFF {
                return Ok(postings);
            }
        }
        Ok(Postings::None)
    }

    /// Calls `each` with the blocks of `postings`, which has them listed.
    pub(crate) fn blocks(&self, postings: &Postings, mut each: impl FnMut(u32)) -> Result<(), Error> {
        let mut within = true;
        let mut bounded = |block: u32| {
            within &= block < self.contents.blocks;
            if block < self.contents.blocks {
                each(block);
            }
        };
        match postings {
            Postings::None | Postings::Most => {}
            Postings::One(block) => bounded(*block),
            Postings::List { count, place, length } => {
                let bytes = self.reader.read(*place, *length)?;
                self.malformed(codec::list(&bytes, *count as usize, &mut bounded))?;
            }
        }
        if within {
            Ok(())
        } else {
            Err(self.corrupt("a list has a block that is not there"))
        }
    }

    /// Calls `each` with the blocks that say nothing.
    pub(crate) fn opaque(&self, each: impl FnMut(u32)) -> Result<(), Error> {
        self.malformed(codec::list(
            &self.contents.opaque,
            self.contents.opaque_count as usize,
            each,
        ))
    }

    /// Calls `each` with the numbers of the files that are unsure.
    pub(crate) fn unsure(&self, each: impl FnMut(u32)) -> Result<(), Error> {
        self.malformed(codec::list(
            &self.contents.unsure,
            self.contents.unsure_count as usize,
            each,
        ))
    }

    /// How many groups of files there are.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The blocks of a group: the first, and the first after them.
    pub(crate) fn group_blocks(&self, group: usize) -> (u32, u32) {
        let end = self.groups.get(group + 1).map_or(self.contents.blocks, |g| g.0);
        (self.groups.get(group).map_or(end, |g| g.0), end)
    }

    /// The files of groups `from` to before `to`, without their stamps, into `each` with their numbers and first blocks.
    pub(crate) fn groups(&self, from: usize, to: usize, mut each: impl FnMut(u32, u32, &Entry)) -> Result<(), Error> {
        let Some(&(mut block, start)) = self.groups.get(from).filter(|_| from < to) else {
            return Ok(());
        };
        let end = self
            .groups
            .get(to)
            .map_or(self.contents.groups_length, |g| u64::from(g.1));
        let length = end
            .checked_sub(u64::from(start))
            .ok_or_else(|| self.corrupt("its files are not in order"))?;
        let bytes = self
            .reader
            .read(self.contents.groups + u64::from(start), length as usize)?;
        let mut rest = &bytes[..];
        let mut entry = Entry::default();
        for number in from * GROUP..(to * GROUP).min(self.contents.files as usize) {
            if number % GROUP == 0 {
                entry.path.clear();
            }
            self.malformed(file(&mut rest, &mut entry))?;
            each(number as u32, block, &entry);
            block = block.saturating_add(entry.blocks);
        }
        Ok(())
    }

    /// The groups that may have files in the directory `dir`.
    pub(crate) fn groups_in(&self, dir: &[u8]) -> Result<(usize, usize), Error> {
        if dir.is_empty() {
            return Ok((0, self.groups.len()));
        }
        let from = self.partition(|first| order(first, dir).is_lt())?;
        let to = self.partition(|first| order(first, dir).is_lt() || is_in(first, dir))?;
        Ok((from.saturating_sub(1), to))
    }

    /// The number of groups, from the first on, of whose first files `before` is true.
    fn partition(&self, before: impl Fn(&[u8]) -> bool) -> Result<usize, Error> {
        let (mut low, mut high) = (0, self.groups.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let place = u64::from(self.groups[middle].1);
            let most = self.contents.groups_length.saturating_sub(place).min(8192);
            let bytes = self.reader.read(self.contents.groups + place, most as usize)?;
            let mut first = Entry::default();
            self.malformed(file(&mut &bytes[..], &mut first))?;
            if before(&first.path) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// All files with their stamps.
    pub(crate) fn files(&self, wanted: Wanted<'_>) -> Result<Vec<Entry>, Error> {
        let stamps = self
            .reader
            .read(self.contents.stamps, self.contents.files as usize * STORED)?;
        let mut files = Vec::with_capacity(self.contents.files as usize);
        let mut stamps = stamps.chunks_exact(STORED);
        for from in (0..self.groups.len()).step_by(GROUPS_AT_ONCE) {
            wanted.check()?;
            self.groups(from, (from + GROUPS_AT_ONCE).min(self.groups.len()), |_, _, entry| {
                let mut entry = entry.clone();
                if let Some(Ok(bytes)) = stamps.next().map(<&[u8; STORED]>::try_from) {
                    entry.stamp = Stamp::get(bytes);
                }
                files.push(entry);
            })?;
        }
        Ok(files)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Appends what the table says of a gram. `list` is the length of its list, if it has one.
pub(crate) fn put_entry(gram: u32, postings: &Postings, to: &mut Vec<u8>) {
    to.push(gram as u8);
    match postings {
        Postings::None | Postings::Most => codec::put(0, to),
        Postings::One(block) => {
            codec::put(1, to);
            codec::put(u64::from(*block), to);
        }
        Postings::List { count, length, .. } => {
            codec::put(u64::from(*count), to);
            codec::put(*length as u64, to);
        }
    }
}

/// Takes an entry of the table: the gram's last byte and what is known of it. `lists` moves on to the next list.
pub(crate) fn entry(bytes: &mut &[u8], lists: &mut u64) -> Result<(u8, Postings), Malformed> {
    let last = codec::take(bytes, 1)?[0];
    let postings = match codec::get32(bytes)? {
        0 => Postings::Most,
        1 => Postings::One(codec::get32(bytes)?),
        count => {
            let length = codec::get32(bytes)? as usize;
            let place = *lists;
            *lists = place.checked_add(length as u64).ok_or(Malformed)?;
            Postings::List { count, place, length }
        }
    };
    Ok((last, postings))
}

/// Appends a file after `before`.
pub(crate) fn put_file(entry: &Entry, before: &[u8], to: &mut Vec<u8>) {
    let same = entry.path.iter().zip(before).take_while(|(a, b)| a == b).count();
    codec::put(same as u64, to);
    codec::put((entry.path.len() - same) as u64, to);
    to.extend(&entry.path[same..]);
    codec::put(u64::from(entry.blocks) << 1 | u64::from(entry.unsure), to);
    codec::put(u64::from(entry.blocks - entry.head.min(entry.blocks)), to);
}

/// Takes a file; `entry` is the one before it and becomes it.
fn file(bytes: &mut &[u8], entry: &mut Entry) -> Result<(), Malformed> {
    let same = codec::get(bytes)? as usize;
    let more = codec::get(bytes)? as usize;
    if same > entry.path.len() {
        return Err(Malformed);
    }
    entry.path.truncate(same);
    entry.path.extend(codec::take(bytes, more)?);
    let number = codec::get(bytes)?;
    entry.unsure = number & 1 == 1;
    entry.blocks = u32::try_from(number >> 1).map_err(|_| Malformed)?;
    entry.head = entry.blocks.checked_sub(codec::get32(bytes)?).ok_or(Malformed)?;
    Ok(())
}
