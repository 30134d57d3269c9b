//! How values become bytes in entries and tables: variable-length numbers (seven bits a byte, lowest first), bytes with their
//! length before them.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end too early.
    #[error("the {what} is cut at byte {at}")]
    Cut {
        /// What was read.
        what: &'static str,
        /// Where it was.
        at: usize,
    },
    /// A number has more than 64 bits.
    #[error("the {what} has a number that is too large at byte {at}")]
    Number {
        /// What was read.
        what: &'static str,
        /// Where it was.
        at: usize,
    },
    /// A kind that nobody knows.
    #[error("the {what} at byte {at} is of the unknown kind {kind}")]
    Kind {
        /// What was read.
        what: &'static str,
        /// What it says to be.
        kind: u64,
        /// Where it was.
        at: usize,
    },
    /// Something stands behind it.
    #[error("{extra} bytes stand behind the {what}")]
    Extra {
        /// What was read.
        what: &'static str,
        /// How many bytes.
        extra: usize,
    },
}

/// Writes values.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty one with room.
    pub fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    /// One byte as it is.
    pub fn byte(&mut self, b: u8) -> &mut Self {
        self.0.push(b);
        self
    }

    /// A number.
    pub fn num(&mut self, mut n: u64) -> &mut Self {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, b: &[u8]) -> &mut Self {
        self.num(b.len() as u64);
        self.0.extend_from_slice(b);
        self
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads values, and says of what when it cannot.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads a `what`.
    pub fn new(what: &'static str, all: &'a [u8]) -> Self {
        Self { all, at: 0, what }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let b = *self.all.get(self.at).ok_or_else(|| self.cut())?;
        self.at += 1;
        Ok(b)
    }

    /// A number.
    ///
    /// # Errors
    /// When it is cut or too large.
    pub fn num(&mut self) -> Result<u64, CodecError> {
        let begin = self.at;
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let part = u64::from(b & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            n |= part << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(CodecError::Number {
            what: self.what,
            at: begin,
        })
    }

    /// Bytes with their length.
    ///
    /// # Errors
    /// When they are cut.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let n = self.num()?;
        if n > self.left() as u64 {
            return Err(self.cut());
        }
        let b = &self.all[self.at..self.at + n as usize];
        self.at += n as usize;
        Ok(b)
    }

    /// How many values follow: never more than bytes are left, since each takes at least one.
    ///
    /// # Errors
    /// When it says more than there can be.
    pub fn count(&mut self) -> Result<usize, CodecError> {
        let n = self.num()?;
        if n > self.left() as u64 {
            return Err(self.cut());
        }
        Ok(n as usize)
    }

    /// The error for a kind that is not known; the kind was the byte before.
    pub fn kind(&self, kind: u64) -> CodecError {
        CodecError::Kind {
            what: self.what,
            kind,
            at: self.at.saturating_sub(1),
        }
    }

    fn cut(&self) -> CodecError {
        CodecError::Cut {
            what: self.what,
            at: self.at,
        }
    }

    /// Says that everything was read.
    ///
    /// # Errors
    /// When it was not.
    pub fn end(self) -> Result<(), CodecError> {
        match self.left() {
            0 => Ok(()),
            extra => Err(CodecError::Extra { what: self.what, extra }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_come_back() {
        let mut w = Writer::default();
        for n in [0, 1, 127, 128, 1 << 35, u64::MAX] {
            w.num(n);
        }
        w.bytes(b"abc").byte(9);
        let all = w.finish();
        let mut r = Reader::new("test", &all);
        for n in [0, 1, 127, 128, 1 << 35, u64::MAX] {
            assert_eq!(r.num().unwrap(), n);
        }
        assert_eq!(r.bytes().unwrap(), b"abc");
        assert_eq!(r.byte().unwrap(), 9);
        r.end().unwrap();
    }

    #[test]
    fn says_where() {
        assert_eq!(
            Reader::new("x", &[5, 1]).bytes(),
            Err(CodecError::Cut { what: "x", at: 1 })
        );
        assert_eq!(
            Reader::new("x", &[0xff; 10]).num(),
            Err(CodecError::Number { what: "x", at: 0 })
        );
        assert_eq!(
            Reader::new("x", &[1]).end(),
            Err(CodecError::Extra { what: "x", extra: 1 })
        );
    }
}
