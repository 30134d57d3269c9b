//! What became of a key at a timestamp.

use qd_kv_model::{CodecError, Reader, Ts, Writer};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WriteKind {
    /// It got a value.
    Put = 0,
    /// It went.
    Delete = 1,
    /// Nothing; a transaction had locked it.
    Lock = 2,
    /// A transaction will never be. The record's own timestamp is the transaction's start.
    Rollback = 3,
}

/// A record of the column family `write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What happened.
    pub kind: WriteKind,
    /// The transaction.
    pub start_ts: Ts,
    /// A short value; a longer one is in the column family `default` at `start_ts`.
    pub value: Option<Vec<u8>>,
    /// A transaction that began at the very timestamp of this commit was rolled back.
    pub hides_rollback: bool,
}

impl Write {
    /// A record without a value.
    pub const fn new(kind: WriteKind, start_ts: Ts) -> Self {
        Self {
            kind,
            start_ts,
            value: None,
            hides_rollback: false,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(16 + self.value.as_ref().map_or(0, Vec::len));
        w.byte(self.kind as u8 | u8::from(self.hides_rollback) << 4)
            .num(self.start_ts.0);
        if let Some(v) = &self.value {
            w.bytes(v);
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new("write record", bytes);
        let head = r.byte()?;
        let kind = match head & 0xf {
            0 => WriteKind::Put,
            1 => WriteKind::Delete,
            2 => WriteKind::Lock,
            3 => WriteKind::Rollback,
            n => return Err(r.kind(u64::from(n))),
        };
        let start_ts = Ts(r.num()?);
        let value = if r.left() > 0 { Some(r.bytes()?.to_vec()) } else { None };
        r.end()?;
        Ok(Self {
            kind,
            start_ts,
            value,
            hides_rollback: head >> 4 != 0,
        })
    }
}
