//! Records in a segment file: how they are written, checked, and found again after damage.
//!
//! A segment begins with [`MAGIC`] and a version. A record is a head of [`HEAD`] bytes (mark, length of the body, number
//! of its first event, count of its events, CRC32C of the body, CRC32C of the head before it) and the body, a batch as
//! `encode` writes it. All numbers are little-endian. The head has a checksum of its own so that a damaged length is
//! never believed, and a mark by which the next record is found behind damage.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::super::BufferError;

/// The first bytes of a segment.
pub(super) const MAGIC: [u8; 8] = *b"QDLOGBUF";
/// The version of segments that is written.
pub(super) const VERSION: u32 = 1;
/// Bytes before the first record.
pub(super) const FRONT: u64 = 16;
/// Bytes of a record before its body.
pub(super) const HEAD: u64 = 32;
const MARK: [u8; 4] = [0xd7, b'Q', b'R', 0x1e];
/// Bytes of a body, at the most: what no batch comes near.
pub(super) const MAX_BODY: u32 = 1 << 30;
const WINDOW: usize = 1 << 20;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the body.
    pub(super) len: u32,
    /// The number of its first event.
    pub(super) seq: u64,
    /// How many events it has.
    pub(super) events: u32,
    /// The checksum of the body.
    pub(super) crc: u32,
}

impl Head {
    /// Bytes of the whole record.
    pub(super) fn record_len(&self) -> u64 {
        HEAD + u64::from(self.len)
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD as usize] {
        let mut b = [0; HEAD as usize];
        b[0..4].copy_from_slice(&MARK);
        b[4..8].copy_from_slice(&self.len.to_le_bytes());
        b[8..16].copy_from_slice(&self.seq.to_le_bytes());
        b[16..20].copy_from_slice(&self.events.to_le_bytes());
        b[20..24].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&b[0..24]);
        b[24..28].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub(super) fn of_bytes(b: &[u8]) -> Option<Head> {
        let u32_at = |i: usize| -> Option<u32> { Some(u32::from_le_bytes(b.get(i..i + 4)?.try_into().ok()?)) };
        if b.get(0..4)? != MARK || u32_at(24)? != crc32c::crc32c(b.get(0..24)?) {
            return None;
        }
        let len = u32_at(4)?;
        (len <= MAX_BODY).then_some(Head {
            len,
            seq: u64::from_le_bytes(b.get(8..16)?.try_into().ok()?),
            events: u32_at(16)?,
            crc: u32_at(20)?,
        })
    }
}

/// The first bytes of a new segment.
pub(super) fn front() -> [u8; FRONT as usize] {
    let mut b = [0; FRONT as usize];
    b[0..8].copy_from_slice(&MAGIC);
    b[8..12].copy_from_slice(&VERSION.to_le_bytes());
    b
}

/// Whether a segment's first bytes are whole; an error if a newer program wrote them.
pub(super) fn check_front(file: &File, path: &str) -> Result<bool, BufferError> {
    let mut b = [0; FRONT as usize];
    if file.read_exact_at(&mut b, 0).is_err() || b[0..8] != MAGIC {
        return Ok(false);
    }
    let version = u32::from_le_bytes([b[8], b[9], b[10], b[11]]);
    if version > VERSION {
        return Err(BufferError::Version {
            path: path.to_owned(),
            version,
        });
    }
    Ok(version == VERSION)
}

/// The head at a place, if a whole one is there and its record ends before `end`.
pub(super) fn head_at(file: &File, at: u64, end: u64) -> io::Result<Option<Head>> {
    if at.saturating_add(HEAD) > end {
        return Ok(None);
    }
    let mut b = [0; HEAD as usize];
    match file.read_exact_at(&mut b, at) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    Ok(Head::of_bytes(&b).filter(|h| at.saturating_add(h.record_len()) <= end))
}

/// The body behind a head, if it is whole.
pub(super) fn body_at(file: &File, at: u64, head: &Head) -> io::Result<Option<Vec<u8>>> {
    let mut body = vec![0; head.len as usize];
    match file.read_exact_at(&mut body, at + HEAD) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    }
    Ok((crc32c::crc32c(&body) == head.crc).then_some(body))
}

/// The place of the first whole record at or after `from`; `None` if there is none before `end`.
pub(super) fn find_record(file: &File, from: u64, end: u64) -> io::Result<Option<(u64, Head)>> {
    let mut window = vec![0; WINDOW];
    let mut at = from;
    while at + HEAD <= end {
        let want = usize::try_from(end - at).unwrap_or(WINDOW).min(WINDOW);
        let Some(part) = window.get_mut(..want) else {
            return Ok(None);
        };
        match file.read_exact_at(part, at) {
            Ok(()) => {}
            // Somebody has cut the file.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        for hit in memchr::memmem::find_iter(part, &MARK) {
            let place = at + hit as u64;
            if let Some(head) = head_at(file, place, end)?
                && body_at(file, place, &head)?.is_some()
            {
                return Ok(Some((place, head)));
            }
        }
        // The mark may lie across the edge of two windows.
        at += (want - (MARK.len() - 1)) as u64;
        if want < WINDOW {
            break;
        }
    }
    Ok(None)
}
