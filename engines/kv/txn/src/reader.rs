//! Reading one key's locks, records and values.

use qd_kv_model::{Cf, Direction, Range, Snapshot, Ts, encode_bytes, join_ts, split_ts};

use crate::{Lock, TxnError, Write, WriteKind};

/// A lock with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The key.
    pub key: Vec<u8>,
    /// The lock.
    pub lock: Lock,
}

/// What the records say of a transaction at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnRecord {
    /// Nothing.
    None,
    /// It is committed.
    Committed(Ts, Write),
    /// It was rolled back.
    RolledBack,
}

/// Reads transactional data of a snapshot.
#[derive(Debug)]
pub struct Reader<S> {
    pub(crate) snapshot: S,
}

/// How many records of a key are looked at in one go.
const STEP: usize = 8;

impl<S: Snapshot> Reader<S> {
    /// Of a snapshot.
    pub const fn new(snapshot: S) -> Self {
        Self { snapshot }
    }

    /// The lock of a key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn lock(&self, key: &[u8]) -> Result<Option<Lock>, TxnError> {
        match self.snapshot.get(Cf::Lock, &encode_bytes(key))? {
            Some(bytes) => Ok(Some(Lock::decode(&bytes)?)),
            None => Ok(None),
        }
    }

    /// The records of a key at `from` and before, newest first, until `f` says something.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn records<T>(
        &self,
        key: &[u8],
        from: Ts,
        mut f: impl FnMut(Ts, Write) -> Option<T>,
    ) -> Result<Option<T>, TxnError> {
        let encoded = encode_bytes(key);
        let mut start = join_ts(&encoded, from);
        let mut end = join_ts(&encoded, Ts::ZERO);
        end.push(0);
        let mut step = 1;
        loop {
            let rows = self
                .snapshot
                .scan(Cf::Write, Range::new(&start, &end), step, Direction::Forward)?;
            let more = rows.len() == step;
            for (k, v) in rows {
                let (_, ts) = split_ts(&k)?;
                if let Some(t) = f(ts, Write::decode(&v)?) {
                    return Ok(Some(t));
                }
                start = k;
            }
            if !more {
                return Ok(None);
            }
            start.push(0);
            step = STEP;
        }
    }

    /// The newest record of a key that is not newer than `ts`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest(&self, key: &[u8], ts: Ts) -> Result<Option<(Ts, Write)>, TxnError> {
        self.records(key, ts, |ts, w| Some((ts, w)))
    }

    /// The newest record that says what the key's value is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest_data(&self, key: &[u8], ts: Ts) -> Result<Option<(Ts, Write)>, TxnError> {
        self.records(key, ts, |ts, w| {
            matches!(w.kind, WriteKind::Put | WriteKind::Delete).then_some((ts, w))
        })
    }

    /// What became of a transaction, as far as this key knows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record_of(&self, key: &[u8], start_ts: Ts) -> Result<TxnRecord, TxnError> {
        let found = self.records(key, Ts::MAX, |ts, w| {
            if w.start_ts == start_ts {
                return Some(match w.kind {
                    WriteKind::Rollback => TxnRecord::RolledBack,
                    _ => TxnRecord::Committed(ts, w),
                });
            }
            if ts == start_ts && w.hides_rollback {
                return Some(TxnRecord::RolledBack);
            }
            (ts < start_ts).then_some(TxnRecord::None)
        })?;
        Ok(found.unwrap_or(TxnRecord::None))
    }

    /// The value a record speaks of.
    pub(crate) fn value_of(&self, key: &[u8], w: Write) -> Result<Option<Vec<u8>>, TxnError> {
        match (w.kind, w.value) {
            (WriteKind::Put, Some(v)) => Ok(Some(v)),
            (WriteKind::Put, None) => match self
                .snapshot
                .get(Cf::Default, &join_ts(&encode_bytes(key), w.start_ts))?
            {
                Some(v) => Ok(Some(v)),
                None => Err(TxnError::ValueMissing {
                    key: key.to_vec(),
                    start_ts: w.start_ts,
                }),
            },
            _ => Ok(None),
        }
    }

    /// The value of a key at a moment, whoever holds a lock on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn committed(&self, key: &[u8], ts: Ts) -> Result<Option<Vec<u8>>, TxnError> {
        match self.newest_data(key, ts)? {
            Some((_, w)) => self.value_of(key, w),
            None => Ok(None),
        }
    }

    /// The value of a key at a moment. Locks of the transactions in `known` are looked through: their fate is known not to
    /// concern this moment.
    ///
    /// # Errors
    /// [`TxnError::Locked`] when another transaction may commit before that moment; and when it cannot be read.
    pub fn get(&self, key: &[u8], ts: Ts, known: &[Ts]) -> Result<Option<Vec<u8>>, TxnError> {
        if let Some(lock) = self.lock(key)?
            && lock.blocks_read(key, ts)
            && !known.contains(&lock.start_ts)
        {
            return Err(TxnError::Locked(Box::new(Locked {
                key: key.to_vec(),
                lock,
            })));
        }
        self.committed(key, ts)
    }
}
