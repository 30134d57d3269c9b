//! The content of a file: its bytes, or what gzip makes of them.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use flate2::write::MultiGzDecoder;

use super::{
    checkpoint::{Entry, born},
    mark::{HEAD, Mark, last},
};

/// What a gzip member with deflate begins with (RFC 1952, 2.3.1).
const MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
/// Compressed bytes given to the decoder at once. Deflate expands at most 1,032 times, which bounds the memory a bomb
/// can take.
const FEED: usize = 1024;

/// A file that was opened, and what it is.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) meta: Metadata,
}

impl Opened {
    /// Opens a regular file; `None` for anything else. A pipe or device is not waited for.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Opened>> {
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        Ok(meta.is_file().then_some(Opened { file, meta }))
    }

    /// What the file is by its place on the disk.
    pub(crate) fn entry(&self, path: &Path) -> Entry {
        Entry {
            path: path.to_owned(),
            dev: self.meta.dev(),
            ino: self.meta.ino(),
            born: born(self.meta.created().ok()),
            head: Mark::default(),
            offset: 0,
            tail: Mark::default(),
        }
    }
}

/// Reads as much as there is.
pub(crate) fn read_full(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = buf.get_mut(n..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, at + n as u64) {
            Ok(0) => break,
            Ok(m) => n += m,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// What the first bytes of a file say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unknown,
    Plain,
    Gzip,
}

/// Whether a file is compressed; unknown while it is too short to say.
pub(crate) fn kind(file: &File) -> io::Result<Kind> {
    let mut first = [0; MAGIC.len()];
    let n = read_full(file, &mut first, 0)?;
    Ok(match n {
        0 => Kind::Unknown,
        n if first.get(..n) != MAGIC.get(..n) => Kind::Plain,
        n if n < MAGIC.len() => Kind::Unknown,
        _ => Kind::Gzip,
    })
}

/// Decompresses a file that may still grow.
pub(crate) struct Gzip {
    file: File,
    /// Compressed bytes read.
    raw: u64,
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Decompressed bytes handed out.
    pub(crate) position: u64,
    damaged: bool,
    /// What is wrong, until somebody takes it.
    pub(crate) damage: Option<io::Error>,
}

impl std::fmt::Debug for Gzip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gzip")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Gzip {
    pub(crate) fn new(file: &File) -> io::Result<Gzip> {
        Ok(Gzip {
            file: file.try_clone()?,
            raw: 0,
            decoder: MultiGzDecoder::new(Vec::new()),
            position: 0,
            damaged: false,
            damage: None,
        })
    }

    /// Appends decompressed bytes, about `want`, to `out`; fewer at the end of what the file has now.
    ///
    /// Of a damaged file nothing more comes, and `damage` is set.
    ///
    /// # Errors
    /// The file can't be read.
    pub(crate) fn read(&mut self, want: usize, out: &mut Vec<u8>) -> io::Result<usize> {
        let mut raw = [0; FEED];
        let mut got = 0;
        while got < want && !self.damaged {
            let n = read_full(&self.file, &mut raw, self.raw)?;
            if n == 0 {
                break;
            }
            self.raw += n as u64;
            let fed = self.decoder.write_all(raw.get(..n).unwrap_or_default());
            let flushed = self.decoder.flush();
            let made = self.decoder.get_mut();
            got += made.len();
            self.position += made.len() as u64;
            out.append(made);
            if let Err(e) = fed.and(flushed) {
                self.damaged = true;
                self.damage = Some(e);
            }
        }
        Ok(got)
    }

    /// Decompresses up to a position, keeping the bytes right before it; `None` if the content ends before.
    pub(crate) fn skip_to(&mut self, offset: u64) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (mut kept, mut chunk) = (Vec::new(), Vec::new());
        while self.position < offset {
            chunk.clear();
            if self.read(1, &mut chunk)? == 0 {
                return Ok(None);
            }
            kept.extend_from_slice(&chunk);
            let over = usize::try_from(self.position.saturating_sub(offset)).unwrap_or(usize::MAX);
            let keep = over + super::mark::TAIL;
            if kept.len() > keep {
                kept.drain(..kept.len() - keep);
            }
        }
        let over = usize::try_from(self.position - offset).unwrap_or(usize::MAX);
        let ahead = kept.split_off(kept.len().saturating_sub(over));
        let before = last(&kept).to_vec();
        Ok(Some((before, ahead)))
    }
}

/// The first bytes of a file's content.
pub(crate) fn head(file: &File, kind: Kind) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if kind == Kind::Gzip {
        Gzip::new(file)?.read(HEAD, &mut bytes)?;
        bytes.truncate(HEAD);
    } else {
        bytes.resize(HEAD, 0);
        let n = read_full(file, &mut bytes, 0)?;
        bytes.truncate(n);
    }
    Ok(bytes)
}

/// Whether the content has these bytes right before this position.
pub(crate) fn has_tail(file: &File, kind: Kind, offset: u64, tail: Mark) -> io::Result<bool> {
    let len = u64::from(tail.len);
    if kind == Kind::Gzip {
        let found = Gzip::new(file)?.skip_to(offset)?;
        return Ok(found.is_some_and(|(before, _)| {
            let from = before.len().saturating_sub(tail.len as usize);
            before.get(from..).is_some_and(|b| Mark::of(b) == tail)
        }));
    }
    if file.metadata()?.len() < offset || len > offset {
        return Ok(false);
    }
    let mut bytes = vec![0; (tail.len as usize).min(super::mark::TAIL)];
    let n = read_full(file, &mut bytes, offset - len)?;
    Ok(n == bytes.len() && Mark::of(&bytes) == tail)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gz(data: &[u8]) -> Result<Vec<u8>, io::Error> {
        let mut e = GzEncoder::new(Vec::new(), Compression::fast());
        e.write_all(data)?;
        e.finish()
    }

    #[test]
    fn members_follow_each_other_and_a_cut_one_waits() -> Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::tempfile()?;
        let (one, two) = (gz(b"one\n")?, gz(b"two\n")?);
        file.write_all(&one)?;
        file.write_all(&two[..two.len() / 2])?;
        assert_eq!(kind(&file)?, Kind::Gzip);
        let (mut g, mut out) = (Gzip::new(&file)?, Vec::new());
        g.read(100, &mut out)?;
        assert!(out.starts_with(b"one\n") && out.len() < 8, "{out:?}");
        file.write_all(&two[two.len() / 2..])?;
        g.read(100, &mut out)?;
        assert_eq!(out, b"one\ntwo\n");
        Ok(())
    }

    #[test]
    fn a_bomb_comes_in_bounded_pieces() -> Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&gz(&vec![0; 64 << 20])?)?;
        let (mut g, mut out, mut total) = (Gzip::new(&file)?, Vec::new(), 0);
        loop {
            out.clear();
            let n = g.read(1, &mut out)?;
            if n == 0 {
                break;
            }
            assert!(n <= FEED * 1100, "{n}");
            total += n;
        }
        assert_eq!(total, 64 << 20);
        Ok(())
    }

    #[test]
    fn damage_is_an_error_after_what_was_good() -> Result<(), Box<dyn std::error::Error>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&gz(b"good\n")?)?;
        file.write_all(b"this is no gzip member")?;
        let (mut g, mut out) = (Gzip::new(&file)?, Vec::new());
        g.read(100, &mut out)?;
        assert_eq!(out, b"good\n");
        assert!(g.damage.is_some());
        Ok(())
    }
}
