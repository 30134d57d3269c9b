//! Files that notice when they are damaged: a checksum for every page, checksums of the checksums at the end.
//!
//! A file is its data, filled up to whole pages, the checksum (CRC-32C) of each page, and a footer of [`FOOTER`] bytes that has
//! a checksum too. Nothing is taken from a page before its checksum was compared. Files are read, not mapped: what was cut or
//! overwritten under a map would end the process.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, at};

/// Bytes with a checksum of their own.
const PAGE: usize = 4096;

/// The footer: magic, number of data bytes, place and length of the table of contents, checksum of checksums, its own checksum.
const FOOTER: usize = 8 + 8 + 8 + 8 + 4 + 4;

/// Of another format or version this is different.
const MAGIC: &[u8; 8] = b"qdngram1";

/// Writes such a file from its beginning to its end.
pub(crate) struct Writer {
    to: BufWriter<File>,
    path: PathBuf,
    page: Vec<u8>,
    sums: Vec<u8>,
    length: u64,
}

impl Writer {
    /// A new file at `path`.
    pub(crate) fn create(path: &Path) -> Result<Writer, Error> {
        let file = File::create_new(path).map_err(at(path, "cannot be made"))?;
        Ok(Writer {
            to: BufWriter::with_capacity(1 << 18, file),
            path: path.to_owned(),
            page: Vec::with_capacity(PAGE),
            sums: Vec::new(),
            length: 0,
        })
    }

    /// How many bytes were written.
    pub(crate) fn position(&self) -> u64 {
        self.length
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = (PAGE - self.page.len()).min(bytes.len());
            self.page.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            if self.page.len() == PAGE {
                self.page_out()?;
            }
        }
        Ok(())
    }

    fn page_out(&mut self) -> Result<(), Error> {
        self.page.resize(PAGE, 0);
        self.sums.extend(crc32c::crc32c(&self.page).to_le_bytes());
        self.to
            .write_all(&self.page)
            .map_err(at(&self.path, "cannot be written"))?;
        self.page.clear();
        Ok(())
    }

    /// Writes the table of contents and what makes the file whole, and waits until it is on the disk. Returns its size.
    pub(crate) fn finish(mut self, contents: &[u8]) -> Result<u64, Error> {
        let place = self.length;
        self.write(contents)?;
        let length = self.length;
        if !self.page.is_empty() {
            self.page_out()?;
        }
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend(MAGIC);
        for number in [length, place, contents.len() as u64] {
            footer.extend(number.to_le_bytes());
        }
        footer.extend(crc32c::crc32c(&self.sums).to_le_bytes());
        footer.extend(crc32c::crc32c(&footer).to_le_bytes());
        let cannot = "cannot be written";
        self.to.write_all(&self.sums).map_err(at(&self.path, cannot))?;
        self.to.write_all(&footer).map_err(at(&self.path, cannot))?;
        let file = self
            .to
            .into_inner()
            .map_err(|e| at(&self.path, cannot)(e.into_error()))?;
        file.sync_data().map_err(at(&self.path, cannot))?;
        let size = file.metadata().map_err(at(&self.path, cannot))?.len();
        Ok(size)
    }
}

/// Reads such a file, any part of it.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    path: PathBuf,
    sums: Vec<u8>,
    length: u64,
}

impl Reader {
    /// Opens the file at `path` and returns its table of contents with it.
    pub(crate) fn open(path: &Path) -> Result<(Reader, Vec<u8>), Error> {
        let bad = |what| Error::corrupt(path, what);
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => bad("a segment is missing"),
            _ => at(path, "cannot be opened")(e),
        })?;
        let size = file.metadata().map_err(at(path, "cannot be looked at"))?.len();
        let mut footer = [0; FOOTER];
        let place = size.checked_sub(FOOTER as u64).ok_or_else(|| bad("it is cut"))?;
        file.read_exact_at(&mut footer, place)
            .map_err(at(path, "cannot be read"))?;
        let (body, sum) = footer.split_at(FOOTER - 4);
        if crc32c::crc32c(body).to_le_bytes() != sum || !body.starts_with(MAGIC) {
            return Err(bad("its end is not that of a whole file"));
        }
        let number = |n: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&body[n..n + 8]);
            u64::from_le_bytes(bytes)
        };
        let (length, contents, contents_length) = (number(8), number(16), number(24));
        let pages = length.div_ceil(PAGE as u64);
        let whole = pages
            .checked_mul(PAGE as u64 + 4)
            .and_then(|n| n.checked_add(FOOTER as u64));
        if whole != Some(size) || contents.checked_add(contents_length) != Some(length) {
            return Err(bad("its size is not what it was"));
        }
        let mut sums = vec![0; pages as usize * 4];
        file.read_exact_at(&mut sums, pages * PAGE as u64)
            .map_err(at(path, "cannot be read"))?;
        if crc32c::crc32c(&sums).to_le_bytes() != body[32..36] {
            return Err(bad("the checksums are not what they were"));
        }
        let reader = Reader {
            file,
            path: path.to_owned(),
            sums,
            length,
        };
        let contents = reader.read(contents, contents_length as usize)?;
        Ok((reader, contents))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Something that was read is not what it can be.
    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::corrupt(&self.path, what)
    }

    /// The `length` bytes at `place`.
    pub(crate) fn read(&self, place: u64, length: usize) -> Result<Vec<u8>, Error> {
        let end = place.checked_add(length as u64).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| self.corrupt("it refers to what is not in it"))?;
        if length == 0 {
            return Ok(Vec::new());
        }
        let (first, last) = (place / PAGE as u64, end.div_ceil(PAGE as u64));
        let mut bytes = vec![0; (last - first) as usize * PAGE];
        self.file
            .read_exact_at(&mut bytes, first * PAGE as u64)
            .map_err(at(&self.path, "cannot be read"))?;
        let sums = self.sums[first as usize * 4..last as usize * 4].chunks_exact(4);
        for (page, sum) in bytes.chunks_exact(PAGE).zip(sums) {
            if crc32c::crc32c(page).to_le_bytes() != sum {
                return Err(self.corrupt("a page is not what was written"));
            }
        }
        let skip = (place - first * PAGE as u64) as usize;
        bytes.truncate(skip + length);
        if skip > 0 {
            bytes.drain(..skip);
        }
        Ok(bytes)
    }

    /// Compares every page with its checksum.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        let step = 256 * PAGE as u64;
        for place in (0..self.length).step_by(step as usize) {
            self.read(place, step.min(self.length - place) as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, bytes: usize) -> PathBuf {
        let path = dir.join(format!("f{bytes}"));
        let mut writer = Writer::create(&path).unwrap();
        let data: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
        for part in data.chunks(1000) {
            writer.write(part).unwrap();
        }
        assert_eq!(writer.position(), bytes as u64);
        let size = writer.finish(b"the table of contents").unwrap();
        assert_eq!(size, path.metadata().unwrap().len());
        path
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, PAGE - 30, PAGE, 3 * PAGE + 5, 300 * PAGE] {
            let path = file(dir.path(), size);
            let (reader, contents) = Reader::open(&path).unwrap();
            assert_eq!(contents, b"the table of contents");
            reader.verify().unwrap();
            for (place, length) in [
                (0, size),
                (size / 2, size - size / 2),
                (size.saturating_sub(3), 2.min(size)),
            ] {
                let expected: Vec<u8> = (place..place + length).map(|i| (i * 7 + i / 251) as u8).collect();
                assert_eq!(reader.read(place as u64, length).unwrap(), expected);
            }
            assert!(reader.read(size as u64, 1000).unwrap_err().is_corrupt());
            assert!(reader.read(u64::MAX, 1).unwrap_err().is_corrupt());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 2 * PAGE + 100);
        let whole = std::fs::read(&path).unwrap();
        let is_fine = || Reader::open(&path).and_then(|(r, _)| r.verify());
        for place in (0..whole.len())
            .step_by(13)
            .chain(whole.len() - FOOTER - 20..whole.len())
        {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(is_fine().unwrap_err().is_corrupt(), "byte {place} of {}", whole.len());
        }
        for length in (0..whole.len()).step_by(97).chain(whole.len() - 3..whole.len()) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(is_fine().unwrap_err().is_corrupt(), "cut to {length}");
        }
        std::fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(is_fine().is_err());
        std::fs::write(&path, &whole).unwrap();
        is_fine().unwrap();
    }
}
