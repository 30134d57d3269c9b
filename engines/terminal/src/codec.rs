//! The small words that checkpoints are written in: numbers of variable length, lengths before bytes, checksums. Reading
//! looks at every length before it takes or reserves anything, and names the place where it had to stop.

use crate::{RestoreError, Rgb};

/// Appends a number: seven bits a byte, the lowest first.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a count or an index.
#[inline]
pub(crate) fn put_len(out: &mut Vec<u8>, n: usize) {
    put(out, n as u64);
}

/// Appends bytes, with their number before them.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a colour.
pub(crate) fn put_rgb(out: &mut Vec<u8>, c: Rgb) {
    out.extend_from_slice(&[c.r, c.g, c.b]);
}

/// The checksum that the whole of a checkpoint or of a block has.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Reads what the functions above wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// Says what is read from now on, for errors.
    pub(crate) fn part(&mut self, what: &'static str) {
        self.what = what;
    }

    /// How many bytes are left.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What was read last cannot be.
    pub(crate) const fn bad(&self) -> RestoreError {
        RestoreError::Bad {
            what: self.what,
            at: self.at,
        }
    }

    /// An error unless `ok`.
    pub(crate) fn check(&self, ok: bool) -> Result<(), RestoreError> {
        if ok { Ok(()) } else { Err(self.bad()) }
    }

    #[inline]
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], RestoreError> {
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len());
        let Some(part) = end.and_then(|e| self.bytes.get(self.at..e)) else {
            return Err(RestoreError::Short {
                what: self.what,
                at: self.at,
            });
        };
        self.at += n;
        Ok(part)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, RestoreError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, RestoreError> {
        let b = self.byte()?;
        self.check(b < 2)?;
        Ok(b == 1)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, RestoreError> {
        let (mut n, mut shift) = (0, 0);
        loop {
            let b = self.byte()?;
            self.check(shift < 63 || b < 2)?;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(n);
            }
            shift += 7;
            self.check(shift < 64)?;
        }
    }

    /// A number of at most `max`.
    #[inline]
    pub(crate) fn at_most(&mut self, max: u64) -> Result<u64, RestoreError> {
        let n = self.number()?;
        self.check(n <= max)?;
        Ok(n)
    }

    /// A number of at most `max`, as a length or an index.
    #[inline]
    pub(crate) fn len(&mut self, max: usize) -> Result<usize, RestoreError> {
        let n = self.at_most(max as u64)?;
        usize::try_from(n).map_err(|_| self.bad())
    }

    /// How many things follow that take a byte each at the least.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, RestoreError> {
        let n = self.len(max)?;
        if n > self.left() {
            return Err(RestoreError::Short {
                what: self.what,
                at: self.at,
            });
        }
        Ok(n)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RestoreError> {
        let n = self.number()?;
        u32::try_from(n).map_err(|_| self.bad())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, RestoreError> {
        let n = self.number()?;
        u16::try_from(n).map_err(|_| self.bad())
    }

    /// Bytes with their number before them, at most `max`.
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], RestoreError> {
        let n = self.count(max)?;
        self.take(n)
    }

    /// Text with its length before it, at most `max` bytes.
    pub(crate) fn text(&mut self, max: usize) -> Result<&'a str, RestoreError> {
        let bytes = self.bytes(max)?;
        std::str::from_utf8(bytes).map_err(|_| self.bad())
    }

    pub(crate) fn char(&mut self) -> Result<char, RestoreError> {
        let n = self.u32()?;
        char::from_u32(n).ok_or_else(|| self.bad())
    }

    pub(crate) fn rgb(&mut self) -> Result<Rgb, RestoreError> {
        let [r, g, b] = self.array()?;
        Ok(Rgb::new(r, g, b))
    }
}
