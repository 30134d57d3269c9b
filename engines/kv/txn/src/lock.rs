//! A transaction's claim on a key.

use qd_kv_model::{CodecError, Reader, Ts, Writer};

/// What the claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LockKind {
    /// The key gets a value.
    Put = 0,
    /// The key goes.
    Delete = 1,
    /// Only that nobody else writes it.
    Lock = 2,
    /// A claim made before it is known what for. It keeps nobody from reading.
    Pessimistic = 3,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What for.
    pub kind: LockKind,
    /// The key whose fate is the transaction's.
    pub primary: Vec<u8>,
    /// The transaction.
    pub start_ts: Ts,
    /// How long after `start_ts` it counts, in milliseconds.
    pub ttl: u64,
    /// A short value; a longer one is in the column family `default`.
    pub value: Option<Vec<u8>>,
    /// Up to which moment its owner has seen the key; zero for an optimistic transaction.
    pub for_update_ts: Ts,
    /// How many keys the transaction has, as its client says.
    pub txn_size: u64,
    /// The transaction commits at this timestamp or later.
    pub min_commit_ts: Ts,
    /// When it is an async commit: on the primary's lock, the other keys.
    pub secondaries: Option<Vec<Vec<u8>>>,
}

impl Lock {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(self.primary.len() + 48 + self.value.as_ref().map_or(0, Vec::len));
        w.byte(1)
            .byte(self.kind as u8)
            .bytes(&self.primary)
            .num(self.start_ts.0)
            .num(self.ttl);
        w.num(self.for_update_ts.0).num(self.txn_size).num(self.min_commit_ts.0);
        match &self.value {
            Some(v) => w.byte(1).bytes(v),
            None => w.byte(0),
        };
        match &self.secondaries {
            Some(all) => {
                w.byte(1).num(all.len() as u64);
                for s in all {
                    w.bytes(s);
                }
            }
            None => {
                w.byte(0);
            }
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new("lock", bytes);
        match r.byte()? {
            1 => {}
            n => return Err(r.kind(u64::from(n))),
        }
        let kind = match r.byte()? {
            0 => LockKind::Put,
            1 => LockKind::Delete,
            2 => LockKind::Lock,
            3 => LockKind::Pessimistic,
            n => return Err(r.kind(u64::from(n))),
        };
        let (primary, start_ts, ttl) = (r.bytes()?.to_vec(), Ts(r.num()?), r.num()?);
        let (for_update_ts, txn_size, min_commit_ts) = (Ts(r.num()?), r.num()?, Ts(r.num()?));
        let value = if r.byte()? == 0 {
            None
        } else {
            Some(r.bytes()?.to_vec())
        };
        let secondaries = if r.byte()? == 0 {
            None
        } else {
            let mut all = Vec::new();
            for _ in 0..r.count()? {
                all.push(r.bytes()?.to_vec());
            }
            Some(all)
        };
        r.end()?;
        Ok(Self {
            kind,
            primary,
            start_ts,
            ttl,
            value,
            for_update_ts,
            txn_size,
            min_commit_ts,
            secondaries,
        })
    }

    /// Whether it was left behind, at a moment of the timestamps' clock.
    pub fn is_expired(&self, now: Ts) -> bool {
        self.start_ts.physical_ms().saturating_add(self.ttl) < now.physical_ms()
    }

    /// Whether somebody who reads `key` at `ts` has to know first what becomes of it.
    pub fn blocks_read(&self, key: &[u8], ts: Ts) -> bool {
        if self.start_ts > ts || self.min_commit_ts > ts || matches!(self.kind, LockKind::Lock | LockKind::Pessimistic)
        {
            return false;
        }
        // Who asks for the newest there is may have what is there, if the transaction's fate is decided by this very key:
        // it was not committed a moment ago.
        !(ts == Ts::MAX && self.primary == key && self.secondaries.is_none())
    }
}
