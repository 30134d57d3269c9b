//! Files of many gzip members or zstd frames: writing them, and finding where the last whole one ends.
//!
//! A process that is killed while it writes leaves a part of a member, after which no reader finds the next one. Before
//! a file is continued, [`whole`] says how much of it is whole. Our own gzip members carry their length (an extra field
//! `QD`, as RFC 1952 allows), zstd's frames carry those of their blocks, so that walking over them takes one small read
//! a member; a gzip member of somebody else is decompressed to find its end.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use flate2::{Compression, GzBuilder};

use crate::StreamCompression;

/// Bytes of a header of ours: ten fixed, two of the extra field's length, four of its name and length, four of the
/// member's length.
const HEADER: usize = 20;

/// Appends `data` as one gzip member that carries its length.
pub(crate) fn gzip(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    let mut e = GzBuilder::new()
        .extra(vec![b'Q', b'D', 4, 0, 0, 0, 0, 0])
        .write(&mut *out, Compression::default());
    e.write_all(data)?;
    e.finish()?;
    let len = u32::try_from(out.len() - start).map_err(|_| io::Error::other("a gzip member is too long"))?;
    if let Some(slot) = out.get_mut(start + HEADER - 4..start + HEADER) {
        slot.copy_from_slice(&len.to_le_bytes());
    }
    Ok(())
}

/// What there is in a file that is to be continued.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whole {
    /// Up to here it is whole members.
    pub len: u64,
    /// What could be read of a broken member of somebody else after that; empty for one of ours, which nobody was told
    /// to be written.
    pub rescued: Vec<u8>,
}

/// The most that is rescued of a broken member, in bytes.
const MAX_RESCUED: u64 = 64 * 1024 * 1024;

/// How much of a file is whole members. A file without compression is whole.
///
/// # Errors
/// The file can't be read, or it begins with something else than the format; such a file should not be continued.
pub fn whole(file: &File, compression: StreamCompression) -> io::Result<Whole> {
    let end = file.metadata()?.len();
    match compression {
        StreamCompression::None => Ok(Whole {
            len: end,
            rescued: Vec::new(),
        }),
        StreamCompression::Gzip => gzip_whole(file, end),
        StreamCompression::Zstd => zstd_whole(file, end),
    }
}

fn read_at(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = buffer.get_mut(have..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

fn alien(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the file that is there holds no {what}"),
    )
}

fn gzip_whole(file: &File, end: u64) -> io::Result<Whole> {
    let mut at = 0;
    while at < end {
        let mut header = [0; HEADER];
        let n = read_at(file, at, &mut header)?;
        let magic = [0x1f, 0x8b];
        let begins = header.get(..n.min(2)).is_some_and(|h| magic.starts_with(h));
        if !begins {
            if at == 0 {
                return Err(alien("gzip"));
            }
            // After whole members anything else is rubbish, such as the zeros of a lost page.
            break;
        }
        let ours = header.get(10..16) == Some(&[8, 0, b'Q', b'D', 4, 0]) && header.get(3) == Some(&4);
        if n < HEADER || ours {
            let len = match header.get(16..) {
                Some(&[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])),
                _ => 0,
            };
            if n == HEADER && len > HEADER as u64 && at + len <= end {
                at += len;
                continue;
            }
            break;
        }
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(at))?;
        let mut member = flate2::bufread::GzDecoder::new(reader);
        let mut rescued = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match member.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    if (rescued.len() as u64) < MAX_RESCUED {
                        rescued.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    }
                }
                Err(_) => return Ok(Whole { len: at, rescued }),
            }
        }
        at = member.into_inner().stream_position()?;
    }
    Ok(Whole {
        len: at,
        rescued: Vec::new(),
    })
}

/// RFC 8878: a magic number, a header whose length its first byte says, blocks with three bytes of header, the last of
/// them marked, and perhaps a checksum.
fn zstd_whole(file: &File, end: u64) -> io::Result<Whole> {
    let mut at = 0;
    while at < end {
        match zstd_frame(file, at, end)? {
            Some(next) => at = next,
            None if at == 0 => {
                let mut magic = [0; 4];
                let n = read_at(file, 0, &mut magic)?;
                if !ZSTD_MAGIC.starts_with(magic.get(..n).unwrap_or_default()) {
                    return Err(alien("zstd"));
                }
                break;
            }
            None => break,
        }
    }
    Ok(Whole {
        len: at,
        rescued: Vec::new(),
    })
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn zstd_frame(file: &File, start: u64, end: u64) -> io::Result<Option<u64>> {
    let mut header = [0; 8];
    let n = read_at(file, start, &mut header)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3] = header;
    if n == 8 && (m0 & 0xf0, m1, m2, m3) == (0x50, 0x2a, 0x4d, 0x18) {
        let next = start + 8 + u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        return Ok((next <= end).then_some(next));
    }
    if n < 6 || [m0, m1, m2, m3] != ZSTD_MAGIC {
        return Ok(None);
    }
    let single = l0 & 0x20 != 0;
    let dictionary = [0, 1, 2, 4].get(usize::from(l0 & 3)).copied().unwrap_or(0);
    let content = match (l0 >> 6, single) {
        (0, true) => 1,
        (0, false) => 0,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    let mut at = start + 5 + u64::from(!single) + dictionary + content;
    loop {
        let mut block = [0; 3];
        if read_at(file, at, &mut block)? < 3 {
            return Ok(None);
        }
        let [a, b, c] = block;
        let word = u32::from_le_bytes([a, b, c, 0]);
        let size = match (word >> 1) & 3 {
            1 => 1,
            3 => return Ok(None),
            _ => u64::from(word >> 3),
        };
        at += 3 + size;
        if word & 1 == 1 {
            at += if l0 & 4 != 0 { 4 } else { 0 };
            return Ok((at <= end).then_some(at));
        }
    }
}
