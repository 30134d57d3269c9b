//! What has become of a transaction, asked at its primary, by whoever met one of its locks.

use qd_kv_model::{Snapshot, Ts};

use crate::reader::{Locked, Reader, TxnRecord};
use crate::step::WriteBatch;
use crate::{Lock, LockKind, TxnError};

/// The question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStatus {
    /// The transaction's primary key.
    pub primary: Vec<u8>,
    /// The transaction.
    pub start_ts: Ts,
    /// Who asks: a reader at this moment. [`Ts::MAX`] for one that must not push anything.
    pub caller_ts: Ts,
    /// The time.
    pub now: Ts,
    /// What to do when nothing is known of it: roll it back, so that it can never be, or say so.
    pub rollback_if_absent: bool,
    /// Treat an async commit as a plain one: its secondaries were found to be in disorder.
    pub force_sync: bool,
    /// The asker met a pessimistic lock.
    pub resolving_pessimistic: bool,
    /// Refuse when the lock's primary is another key.
    pub verify_primary: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is committed, at this timestamp.
    Committed(Ts),
    /// It was rolled back before.
    RolledBack,
    /// It was left behind, and is rolled back now.
    Expired,
    /// Its primary's pessimistic lock was left behind, and is gone now. Nothing is decided of the transaction.
    PessimisticExpired,
    /// Nothing was known of it; it is rolled back now.
    AbsentRolledBack,
    /// Nothing is known of it, and nothing was done.
    Absent,
    /// It lives. If `pushed`, it cannot commit at the caller's moment or before any more.
    Alive {
        /// The primary's lock.
        lock: Box<Lock>,
        /// Whether its least commit timestamp is behind the caller's moment.
        pushed: bool,
    },
}

impl CheckStatus {
    /// Asks.
    ///
    /// # Errors
    /// When nothing is known and it shall not be rolled back, when this is not its primary, or when the data cannot be read.
    pub fn run<S: Snapshot>(&self, reader: &Reader<S>, out: &mut WriteBatch) -> Result<Status, TxnError> {
        match reader.lock(&self.primary)? {
            Some(lock) if lock.start_ts == self.start_ts => self.of_lock(reader, lock, out),
            _ => self.of_records(reader, out),
        }
    }

    fn of_lock<S: Snapshot>(
        &self,
        reader: &Reader<S>,
        mut lock: Lock,
        out: &mut WriteBatch,
    ) -> Result<Status, TxnError> {
        if self.verify_primary && lock.primary != self.primary {
            return Err(TxnError::NotPrimary(Box::new(Locked {
                key: self.primary.clone(),
                lock,
            })));
        }
        if lock.secondaries.is_some() {
            if !self.force_sync {
                // Its fate is the sum of its locks; nobody decides it here.
                return Ok(Status::Alive {
                    lock: Box::new(lock),
                    pushed: false,
                });
            }
            lock.secondaries = None;
            out.put_lock(&self.primary, &lock);
        }
        if lock.is_expired(self.now) {
            if lock.kind == LockKind::Pessimistic && self.resolving_pessimistic {
                out.delete_lock(&self.primary);
                return Ok(Status::PessimisticExpired);
            }
            out.roll_back_lock(reader, &self.primary, &lock)?;
            return Ok(Status::Expired);
        }
        let mut pushed = self.caller_ts == Ts::MAX;
        if !lock.min_commit_ts.is_zero() && self.caller_ts != Ts::MAX {
            if self.caller_ts >= lock.min_commit_ts {
                lock.min_commit_ts = self.caller_ts.next().max(self.now);
                out.put_lock(&self.primary, &lock);
            }
            pushed = true;
        }
        Ok(Status::Alive {
            lock: Box::new(lock),
            pushed,
        })
    }

    fn of_records<S: Snapshot>(&self, reader: &Reader<S>, out: &mut WriteBatch) -> Result<Status, TxnError> {
        match reader.record_of(&self.primary, self.start_ts)? {
            TxnRecord::Committed(ts, _) => Ok(Status::Committed(ts)),
            TxnRecord::RolledBack => Ok(Status::RolledBack),
            TxnRecord::None if !self.rollback_if_absent => Err(TxnError::Unknown {
                start_ts: self.start_ts,
                key: self.primary.clone(),
            }),
            TxnRecord::None if self.resolving_pessimistic => Ok(Status::Absent),
            TxnRecord::None => {
                out.put_rollback(reader, &self.primary, self.start_ts)?;
                Ok(Status::AbsentRolledBack)
            }
        }
    }
}
