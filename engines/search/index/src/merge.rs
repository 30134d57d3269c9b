//! From runs and segments to one segment.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codec;
use crate::error::{Error, at};
use crate::grams::GRAMS;
use crate::pages::Writer;
use crate::segment::{BUCKETS, Contents, Entry, GROUP, Postings, Segment, entry, put_entry, put_file};
use crate::tree::order;

/// A gram that more than one in so many blocks have has no list, where there are many blocks.
const MOST_SHARE: u64 = 2;

/// With fewer blocks every gram has a list.
const MANY_BLOCKS: u64 = 1024;

/// What comes after the last gram.
const END: u32 = GRAMS as u32;

/// Where posting lists come from, in the order of grams. Blocks are numbered as in the files of the input.
pub(crate) trait Source {
    /// The gram that is next, or one past the last.
    fn gram(&self) -> u32;
    /// Appends the blocks of that gram, ascending, and goes on to the next.
    fn take(&mut self, to: &mut Vec<u32>) -> Result<(), Error>;
}

/// Files and what is known of their blocks.
pub(crate) struct Input {
    /// In order; `false` for those that are left out.
    pub(crate) files: Vec<(Entry, bool)>,
    pub(crate) sources: Vec<Box<dyn Source>>,
    pub(crate) opaque: Vec<u32>,
}

/// Writes everything in `inputs` as one segment at `path`. Returns the files in it.
pub(crate) fn merge(inputs: Vec<Input>, path: &Path) -> Result<(Contents, Vec<Entry>), Error> {
    let mut maps: Vec<Vec<u32>> = inputs.iter().map(|i| unmapped(&i.files)).collect();
    let mut files: Vec<(&Entry, usize, usize)> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        let mut first = 0;
        for (entry, alive) in &input.files {
            if *alive {
                files.push((entry, number, first));
            }
            first += entry.blocks as usize;
        }
    }
    files.sort_by(|a, b| order(&a.0.path, &b.0.path));
    let mut blocks = 0_u32;
    for (entry, input, first) in &files {
        for block in &mut maps[*input][*first..*first + entry.blocks as usize] {
            *block = blocks;
            blocks += 1;
        }
    }
    let files: Vec<Entry> = files.into_iter().map(|(entry, ..)| entry.clone()).collect();
    let mut opaque: Vec<u32> = inputs
        .iter()
        .zip(&maps)
        .flat_map(|(input, map)| input.opaque.iter().map(|b| map[*b as usize]))
        .filter(|b| *b != u32::MAX)
        .collect();
    opaque.sort_unstable();

    let mut writer = Writer::create(path)?;
    let mut sources: Vec<(Box<dyn Source>, usize)> = Vec::new();
    for (number, input) in inputs.into_iter().enumerate() {
        sources.extend(input.sources.into_iter().map(|s| (s, number)));
    }
    let (table, directory) = lists(&mut sources, &maps, blocks, &mut writer)?;
    let mut contents = Contents {
        blocks,
        files: files.len() as u32,
        text: files.iter().map(|f| f.stamp.size).sum(),
        table: writer.position(),
        opaque_count: opaque.len() as u32,
        ..Contents::default()
    };
    codec::put_list(&opaque, &mut contents.opaque);
    let unsure: Vec<u32> = (0..).zip(&files).filter(|(_, f)| f.unsure).map(|(n, _)| n).collect();
    contents.unsure_count = unsure.len() as u32;
    codec::put_list(&unsure, &mut contents.unsure);
    writer.write(&table)?;
    contents.directory = writer.position();
    writer.write(&directory)?;
    write_files(&files, &mut contents, &mut writer)?;
    let table_of_contents =
        postcard::to_stdvec(&contents).map_err(|_| Error::unsuitable(path, "there is too much for one segment"))?;
    writer.finish(&table_of_contents)?;
    Ok((contents, files))
}

fn unmapped(files: &[(Entry, bool)]) -> Vec<u32> {
    vec![u32::MAX; files.iter().map(|(f, _)| f.blocks as usize).sum()]
}

/// Writes all lists; returns the table and the directory of its buckets.
fn lists(
    sources: &mut [(Box<dyn Source>, usize)],
    maps: &[Vec<u32>],
    blocks: u32,
    writer: &mut Writer,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (mut table, mut directory) = (Vec::new(), Vec::with_capacity((BUCKETS + 1) * 12));
    let (mut local, mut global, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut buckets = 0;
    loop {
        let gram = sources.iter().map(|(s, _)| s.gram()).min().unwrap_or(END);
        while buckets <= (gram >> 8).min(BUCKETS as u32) {
            directory.extend((table.len() as u32).to_le_bytes());
            directory.extend(writer.position().to_le_bytes());
            buckets += 1;
        }
        if gram >= END {
            return Ok((table, directory));
        }
        global.clear();
        for (source, input) in sources.iter_mut().filter(|(s, _)| s.gram() == gram) {
            local.clear();
            source.take(&mut local)?;
            let map = &maps[*input];
            global.extend(
                local
                    .iter()
                    .filter_map(|b| map.get(*b as usize))
                    .filter(|b| **b != u32::MAX),
            );
        }
        // Ascending already, or a few ascending parts.
        global.sort();
        let most = u64::from(blocks) >= MANY_BLOCKS && global.len() as u64 * MOST_SHARE > u64::from(blocks);
        let postings = match &global[..] {
            [] => continue,
            _ if most => Postings::Most,
            [one] => Postings::One(*one),
            list => {
                bytes.clear();
                codec::put_list(list, &mut bytes);
                let place = writer.position();
                writer.write(&bytes)?;
                Postings::List {
                    count: list.len() as u32,
                    place,
                    length: bytes.len(),
                }
            }
        };
        put_entry(gram, &postings, &mut table);
    }
}

fn write_files(files: &[Entry], contents: &mut Contents, writer: &mut Writer) -> Result<(), Error> {
    let (mut groups, mut directory, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
    let mut block = 0_u32;
    for group in files.chunks(GROUP) {
        directory.extend(block.to_le_bytes());
        directory.extend((groups.len() as u32).to_le_bytes());
        let mut before: &[u8] = b"";
        for file in group {
            put_file(file, before, &mut groups);
            file.stamp.put(&mut stamps);
            before = &file.path;
            block += file.blocks;
        }
    }
    contents.groups = writer.position();
    contents.groups_length = groups.len() as u64;
    writer.write(&groups)?;
    contents.group_directory = writer.position();
    writer.write(&directory)?;
    contents.stamps = writer.position();
    writer.write(&stamps)
}

/// Writes pairs of gram (the upper 32 bits) and block, sorted, as a run.
pub(crate) fn write_run(pairs: &[u64], path: &Path) -> Result<(), Error> {
    let file = File::create(path).map_err(at(path, "cannot be made"))?;
    let mut to = BufWriter::with_capacity(1 << 17, file);
    let (mut bytes, mut next) = (Vec::new(), 0);
    for same in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        bytes.clear();
        let gram = same[0] >> 32;
        codec::put(gram - next, &mut bytes);
        next = gram;
        codec::put(same.len() as u64, &mut bytes);
        let mut before = 0;
        for pair in same {
            let block = pair & 0xFFFF_FFFF;
            codec::put(block - before, &mut bytes);
            before = block;
        }
        to.write_all(&bytes).map_err(at(path, "cannot be written"))?;
    }
    to.flush().map_err(at(path, "cannot be written"))
}

/// A run that is read again. Its file is open only while a piece of it is read, so there can be many.
pub(crate) struct Run {
    path: PathBuf,
    place: u64,
    buffer: Vec<u8>,
    at: usize,
    piece: usize,
    gram: u32,
}

impl Run {
    /// The run at `path`, to be read in pieces of so many bytes.
    pub(crate) fn open(path: PathBuf, piece: usize) -> Result<Run, Error> {
        let mut run = Run {
            path,
            place: 0,
            buffer: Vec::new(),
            at: 0,
            piece: piece.max(64),
            gram: 0,
        };
        run.next()?;
        Ok(run)
    }

    fn next(&mut self) -> Result<(), Error> {
        self.gram = match self.number()? {
            Some(step) => self.gram.saturating_add(step).min(END),
            None => END,
        };
        Ok(())
    }

    fn number(&mut self) -> Result<Option<u32>, Error> {
        if self.buffer.len() - self.at < 10 {
            self.buffer.drain(..self.at);
            self.at = 0;
            let filled = self.buffer.len();
            self.buffer.resize(self.piece, 0);
            let read = File::open(&self.path)
                .and_then(|f| f.read_at(&mut self.buffer[filled..], self.place))
                .map_err(at(&self.path, "cannot be read"))?;
            self.place += read as u64;
            self.buffer.truncate(filled + read);
        }
        let mut rest = &self.buffer[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let number = codec::get32(&mut rest).map_err(|_| Error::corrupt(&self.path, "a run cannot be read"))?;
        self.at = self.buffer.len() - rest.len();
        Ok(Some(number))
    }
}

impl Source for Run {
    fn gram(&self) -> u32 {
        self.gram
    }

    fn take(&mut self, to: &mut Vec<u32>) -> Result<(), Error> {
        let count = self.number()?.unwrap_or(0);
        let mut block = 0_u32;
        for _ in 0..count {
            let step = self.number()?;
            block = block.saturating_add(step.ok_or_else(|| Error::corrupt(&self.path, "a run is cut"))?);
            to.push(block);
        }
        self.next()
    }
}

/// The lists of a segment, to be merged with others.
pub(crate) struct Lists {
    segment: Segment,
    bucket: usize,
    entries: Vec<u8>,
    at: usize,
    lists: u64,
    next: Option<(u32, Postings)>,
}

impl Lists {
    pub(crate) fn new(segment: Segment) -> Result<Lists, Error> {
        let mut lists = Lists {
            segment,
            bucket: 0,
            entries: Vec::new(),
            at: 0,
            lists: 0,
            next: None,
        };
        (lists.entries, lists.lists) = lists.segment.bucket(0)?;
        lists.advance()?;
        Ok(lists)
    }

    fn advance(&mut self) -> Result<(), Error> {
        while self.at >= self.entries.len() {
            self.bucket += 1;
            if self.bucket >= BUCKETS {
                self.next = None;
                return Ok(());
            }
            (self.entries, self.lists) = self.segment.bucket(self.bucket)?;
            self.at = 0;
        }
        let mut rest = &self.entries[self.at..];
        let (last, postings) =
            entry(&mut rest, &mut self.lists).map_err(|_| self.segment.corrupt("a list cannot be read"))?;
        self.at = self.entries.len() - rest.len();
        self.next = Some(((self.bucket as u32) << 8 | u32::from(last), postings));
        Ok(())
    }
}

impl Source for Lists {
    fn gram(&self) -> u32 {
        self.next.as_ref().map_or(END, |n| n.0)
    }

    fn take(&mut self, to: &mut Vec<u32>) -> Result<(), Error> {
        match &self.next {
            None => {}
            Some((_, Postings::Most)) => to.extend(0..self.segment.contents.blocks),
            Some((_, postings)) => self.segment.blocks(postings, |b| to.push(b))?,
        }
        self.advance()
    }
}
