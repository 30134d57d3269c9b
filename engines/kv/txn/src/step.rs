//! The steps of transactions, and the writes they come to.

use qd_kv_model::{Cf, Modify, Snapshot, Ts, encode_bytes, join_ts};

use crate::error::{Conflict, WhyConflict};
use crate::reader::{Locked, Reader, TxnRecord};
use crate::scan::scan_locks;
use crate::{CheckStatus, Lock, LockKind, Prewrite, Prewritten, Status, TxnError, Write, WriteKind};

/// Writes in the making.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteBatch(Vec<Modify>);

impl WriteBatch {
    /// The writes, in order.
    pub fn into_writes(self) -> Vec<Modify> {
        self.0
    }

    pub(crate) fn put_lock(&mut self, key: &[u8], lock: &Lock) {
        self.0.push(Modify::Put(Cf::Lock, encode_bytes(key), lock.encode()));
    }

    pub(crate) fn delete_lock(&mut self, key: &[u8]) {
        self.0.push(Modify::Delete(Cf::Lock, encode_bytes(key)));
    }

    pub(crate) fn put_value(&mut self, key: &[u8], start_ts: Ts, value: Vec<u8>) {
        self.0
            .push(Modify::Put(Cf::Default, join_ts(&encode_bytes(key), start_ts), value));
    }

    /// A commit. A rollback of a transaction that began at this very timestamp is not lost by it.
    pub(crate) fn put_commit<S: Snapshot>(
        &mut self,
        reader: &Reader<S>,
        key: &[u8],
        commit_ts: Ts,
        mut w: Write,
    ) -> Result<(), TxnError> {
        let at = join_ts(&encode_bytes(key), commit_ts);
        if let Some(there) = reader.snapshot.get(Cf::Write, &at)? {
            let there = Write::decode(&there)?;
            w.hides_rollback = there.kind == WriteKind::Rollback || there.hides_rollback;
        }
        self.0.push(Modify::Put(Cf::Write, at, w.encode()));
        Ok(())
    }

    /// The record that a transaction will never be. A commit at this very timestamp is not lost by it.
    pub(crate) fn put_rollback<S: Snapshot>(
        &mut self,
        reader: &Reader<S>,
        key: &[u8],
        start_ts: Ts,
    ) -> Result<(), TxnError> {
        let at = join_ts(&encode_bytes(key), start_ts);
        let w = match reader.snapshot.get(Cf::Write, &at)? {
            Some(there) => {
                let mut there = Write::decode(&there)?;
                there.hides_rollback |= there.kind != WriteKind::Rollback;
                there
            }
            None => Write::new(WriteKind::Rollback, start_ts),
        };
        self.0.push(Modify::Put(Cf::Write, at, w.encode()));
        Ok(())
    }

    /// Takes a lock back, with its value, for ever.
    pub(crate) fn roll_back_lock<S: Snapshot>(
        &mut self,
        reader: &Reader<S>,
        key: &[u8],
        lock: &Lock,
    ) -> Result<(), TxnError> {
        if lock.kind == LockKind::Put && lock.value.is_none() {
            self.0
                .push(Modify::Delete(Cf::Default, join_ts(&encode_bytes(key), lock.start_ts)));
        }
        self.delete_lock(key);
        self.put_rollback(reader, key, lock.start_ts)
    }

    fn commit_lock<S: Snapshot>(
        &mut self,
        reader: &Reader<S>,
        key: &[u8],
        lock: Lock,
        commit_ts: Ts,
    ) -> Result<(), TxnError> {
        if commit_ts < lock.min_commit_ts {
            let (start_ts, min_commit_ts) = (lock.start_ts, lock.min_commit_ts);
            return Err(TxnError::CommitTooEarly {
                start_ts,
                commit_ts,
                min_commit_ts,
                key: key.to_vec(),
            });
        }
        let kind = match lock.kind {
            LockKind::Put => WriteKind::Put,
            LockKind::Delete => WriteKind::Delete,
            LockKind::Lock | LockKind::Pessimistic => WriteKind::Lock,
        };
        let mut w = Write::new(kind, lock.start_ts);
        w.value = lock.value;
        self.delete_lock(key);
        self.put_commit(reader, key, commit_ts, w)
    }
}

/// Locks that are taken before it is known what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PessimisticLock {
    /// The keys, and whether each must not have a value.
    pub keys: Vec<(Vec<u8>, bool)>,
    /// The key that decides.
    pub primary: Vec<u8>,
    /// The transaction.
    pub start_ts: Ts,
    /// How long the locks count, in milliseconds after the start.
    pub ttl: u64,
    /// The moment whose values the transaction sees.
    pub for_update_ts: Ts,
    /// The least commit timestamp the client asks for.
    pub min_commit_ts: Ts,
    /// Whether the values are wanted.
    pub return_values: bool,
}

/// How taking pessimistic locks went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PessimisticLocked {
    /// Keys at which it failed. When there are any, nothing is written.
    pub errors: Vec<TxnError>,
    /// The values at `for_update_ts`, in the order of the keys, if they were wanted.
    pub values: Vec<Option<Vec<u8>>>,
}

/// What the secondaries of an async commit say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secondaries {
    /// All are locked.
    Locked(Vec<Locked>),
    /// One is committed already, so all are, at this timestamp.
    Committed(Ts),
    /// One is not there, and never will be: the transaction is rolled back.
    RolledBack,
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The first phase.
    Prewrite(Prewrite),
    /// The second phase: transaction, commit timestamp, keys.
    Commit(Ts, Ts, Vec<Vec<u8>>),
    /// Takes a transaction back: transaction, keys.
    Rollback(Ts, Vec<Vec<u8>>),
    /// Takes locks before it is known what for.
    PessimisticLock(PessimisticLock),
    /// Gives such locks back: transaction, up to which `for_update_ts`, keys.
    PessimisticRollback(Ts, Ts, Vec<Vec<u8>>),
    /// Lives: primary, transaction, for how many milliseconds after its start.
    HeartBeat(Vec<u8>, Ts, u64),
    /// Asks what became of a transaction.
    CheckStatus(CheckStatus),
    /// Asks the secondaries of an async commit: transaction, keys.
    CheckSecondaries(Ts, Vec<Vec<u8>>),
    /// Does to locks what was decided: transaction, commit timestamp or zero, keys.
    Resolve(Ts, Ts, Vec<Vec<u8>>),
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// Of [`Step::Prewrite`].
    Prewritten(Prewritten),
    /// Of [`Step::Commit`]: when it was committed.
    Committed(Ts),
    /// Of [`Step::PessimisticLock`].
    PessimisticLocked(PessimisticLocked),
    /// Of [`Step::HeartBeat`]: the lock's life in milliseconds.
    Ttl(u64),
    /// Of [`Step::CheckStatus`].
    Status(Status),
    /// Of [`Step::CheckSecondaries`].
    Secondaries(Secondaries),
}

/// A step that was worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What has to be written before the answer is true. Often nothing.
    pub writes: Vec<Modify>,
    /// The answer.
    pub reply: Reply,
}

impl Step {
    /// The keys that nobody else may be working on meanwhile.
    pub fn keys(&self) -> Vec<&[u8]> {
        match self {
            Self::Prewrite(p) => p.mutations.iter().map(|m| m.key.as_slice()).collect(),
            Self::PessimisticLock(p) => p.keys.iter().map(|(k, _)| k.as_slice()).collect(),
            Self::Commit(_, _, keys)
            | Self::Rollback(_, keys)
            | Self::PessimisticRollback(_, _, keys)
            | Self::CheckSecondaries(_, keys)
            | Self::Resolve(_, _, keys) => keys.iter().map(Vec::as_slice).collect(),
            Self::HeartBeat(key, ..) => vec![key],
            Self::CheckStatus(c) => vec![&c.primary],
        }
    }

    /// The moment whose values the step looks at for its client: `max_ts` must not be less from then on, before it is run.
    /// A pessimistic lock can be lost, and whoever commits then must not do so behind the back of who saw the value.
    pub const fn reads_at(&self) -> Option<Ts> {
        match self {
            Self::PessimisticLock(p) => Some(p.for_update_ts),
            _ => None,
        }
    }

    /// Works it out on a snapshot. See the crate's documentation for what the caller owes.
    ///
    /// # Errors
    /// What stands against it; nothing may be written then.
    pub fn run<S: Snapshot>(&self, snapshot: S, max_ts: Ts) -> Result<Done, TxnError> {
        let reader = Reader::new(snapshot);
        let mut out = WriteBatch::default();
        let reply = match self {
            Self::Prewrite(p) => Reply::Prewritten(p.run(&reader, max_ts, &mut out)?),
            Self::Commit(start, commit, keys) => commit_keys(&reader, *start, *commit, keys, &mut out)?,
            Self::Rollback(start, keys) => {
                for key in keys {
                    roll_back(&reader, key, *start, &mut out)?;
                }
                Reply::Done
            }
            Self::PessimisticLock(p) => Reply::PessimisticLocked(p.run(&reader, &mut out)?),
            Self::PessimisticRollback(start, for_update, keys) => {
                for key in keys {
                    if let Some(l) = reader.lock(key)?
                        && l.start_ts == *start
                        && l.kind == LockKind::Pessimistic
                        && l.for_update_ts <= *for_update
                    {
                        out.delete_lock(key);
                    }
                }
                Reply::Done
            }
            Self::HeartBeat(primary, start_ts, ttl) => match reader.lock(primary)? {
                Some(mut l) if l.start_ts == *start_ts => {
                    if l.ttl < *ttl {
                        l.ttl = *ttl;
                        out.put_lock(primary, &l);
                    }
                    Reply::Ttl(l.ttl)
                }
                _ => {
                    return Err(TxnError::LockMissing {
                        start_ts: *start_ts,
                        key: primary.clone(),
                    });
                }
            },
            Self::CheckStatus(c) => Reply::Status(c.run(&reader, &mut out)?),
            Self::CheckSecondaries(start, keys) => Reply::Secondaries(secondaries(&reader, *start, keys, &mut out)?),
            Self::Resolve(start, commit, keys) => {
                for key in keys {
                    match reader.lock(key)? {
                        Some(l) if l.start_ts == *start && commit.is_zero() => out.roll_back_lock(&reader, key, &l)?,
                        Some(l) if l.start_ts == *start => out.commit_lock(&reader, key, l, *commit)?,
                        _ => {}
                    }
                }
                Reply::Done
            }
        };
        Ok(Done {
            writes: out.into_writes(),
            reply,
        })
    }

    /// The steps that resolve all locks of a transaction in a range, at most `limit` keys of them.
    ///
    /// # Errors
    /// When the locks cannot be read.
    pub fn resolve_range<S: Snapshot>(
        snapshot: S,
        start: &[u8],
        end: &[u8],
        txn: Ts,
        commit_ts: Ts,
        limit: usize,
    ) -> Result<Self, TxnError> {
        let locks = scan_locks(&Reader::new(snapshot), start, end, Ts::MAX, Some(txn), limit)?;
        Ok(Self::Resolve(
            txn,
            commit_ts,
            locks.into_iter().map(|l| l.key).collect(),
        ))
    }
}

fn commit_keys<S: Snapshot>(
    reader: &Reader<S>,
    start_ts: Ts,
    commit_ts: Ts,
    keys: &[Vec<u8>],
    out: &mut WriteBatch,
) -> Result<Reply, TxnError> {
    let mut at = commit_ts;
    for key in keys {
        match reader.lock(key)? {
            Some(l) if l.start_ts == start_ts => out.commit_lock(reader, key, l, commit_ts)?,
            _ => match reader.record_of(key, start_ts)? {
                TxnRecord::Committed(ts, _) => at = ts,
                _ => {
                    return Err(TxnError::LockMissing {
                        start_ts,
                        key: key.clone(),
                    });
                }
            },
        }
    }
    Ok(Reply::Committed(at))
}

fn roll_back<S: Snapshot>(reader: &Reader<S>, key: &[u8], start_ts: Ts, out: &mut WriteBatch) -> Result<(), TxnError> {
    match reader.lock(key)? {
        Some(l) if l.start_ts == start_ts => out.roll_back_lock(reader, key, &l),
        _ => match reader.record_of(key, start_ts)? {
            TxnRecord::Committed(commit_ts, _) => Err(TxnError::Committed { start_ts, commit_ts }),
            TxnRecord::RolledBack => Ok(()),
            TxnRecord::None => out.put_rollback(reader, key, start_ts),
        },
    }
}

fn secondaries<S: Snapshot>(
    reader: &Reader<S>,
    start_ts: Ts,
    keys: &[Vec<u8>],
    out: &mut WriteBatch,
) -> Result<Secondaries, TxnError> {
    let mut locks = Vec::new();
    for key in keys {
        match reader.lock(key)? {
            // What it is for was never said, so it cannot have been part of a finished prewrite.
            Some(lock) if lock.start_ts == start_ts && lock.kind == LockKind::Pessimistic => {
                out.roll_back_lock(reader, key, &lock)?;
                return Ok(Secondaries::RolledBack);
            }
            Some(lock) if lock.start_ts == start_ts => locks.push(Locked { key: key.clone(), lock }),
            _ => match reader.record_of(key, start_ts)? {
                TxnRecord::Committed(ts, _) => return Ok(Secondaries::Committed(ts)),
                TxnRecord::RolledBack => return Ok(Secondaries::RolledBack),
                TxnRecord::None => {
                    out.put_rollback(reader, key, start_ts)?;
                    return Ok(Secondaries::RolledBack);
                }
            },
        }
    }
    Ok(Secondaries::Locked(locks))
}

impl PessimisticLock {
    fn run<S: Snapshot>(&self, reader: &Reader<S>, out: &mut WriteBatch) -> Result<PessimisticLocked, TxnError> {
        let mut answer = PessimisticLocked::default();
        let mut locks = Vec::with_capacity(self.keys.len());
        for (key, must_be_new) in &self.keys {
            match self.check(reader, key, *must_be_new) {
                Ok((lock, value)) => {
                    locks.push((key, lock));
                    answer.values.push(value);
                }
                Err(e) if e.is_broken() => return Err(e),
                Err(e) => {
                    answer.values.clear();
                    answer.errors = vec![e];
                    return Ok(answer);
                }
            }
        }
        for (key, lock) in locks {
            if let Some(lock) = lock {
                out.put_lock(key, &lock);
            }
        }
        if !self.return_values {
            answer.values.clear();
        }
        Ok(answer)
    }

    #[allow(
        clippy::type_complexity,
        reason = "a lock to be written and the value that was asked for"
    )]
    fn check<S: Snapshot>(
        &self,
        reader: &Reader<S>,
        key: &[u8],
        must_be_new: bool,
    ) -> Result<(Option<Lock>, Option<Vec<u8>>), TxnError> {
        let value = |reader: &Reader<S>| {
            if self.return_values || must_be_new {
                reader.committed(key, self.for_update_ts)
            } else {
                Ok(None)
            }
        };
        match reader.lock(key)? {
            Some(lock) if lock.start_ts != self.start_ts => {
                return Err(TxnError::Locked(Box::new(Locked {
                    key: key.to_vec(),
                    lock,
                })));
            }
            Some(lock) if lock.kind != LockKind::Pessimistic => {
                return Err(TxnError::AlreadyPrewritten {
                    start_ts: self.start_ts,
                    key: key.to_vec(),
                });
            }
            Some(mut lock) => {
                let newer = lock.for_update_ts < self.for_update_ts;
                if newer {
                    lock.for_update_ts = self.for_update_ts;
                    lock.min_commit_ts = lock.min_commit_ts.max(self.min_commit_ts);
                    lock.ttl = lock.ttl.max(self.ttl);
                }
                return Ok((newer.then_some(lock), value(reader)?));
            }
            None => {}
        }
        if let Some((commit_ts, w)) = reader.newest(key, Ts::MAX)? {
            let conflict = |why| {
                TxnError::Conflict(Box::new(Conflict {
                    start_ts: self.start_ts,
                    other_start_ts: w.start_ts,
                    other_commit_ts: commit_ts,
                    key: key.to_vec(),
                    primary: self.primary.clone(),
                    why,
                }))
            };
            if commit_ts > self.for_update_ts {
                return Err(conflict(WhyConflict::Pessimistic));
            }
            if commit_ts >= self.start_ts && reader.record_of(key, self.start_ts)? == TxnRecord::RolledBack {
                return Err(conflict(WhyConflict::RolledBack));
            }
        }
        let value = value(reader)?;
        if must_be_new && value.is_some() {
            return Err(TxnError::Exists { key: key.to_vec() });
        }
        let lock = Lock {
            kind: LockKind::Pessimistic,
            primary: self.primary.clone(),
            start_ts: self.start_ts,
            ttl: self.ttl,
            value: None,
            for_update_ts: self.for_update_ts,
            txn_size: 0,
            min_commit_ts: self.min_commit_ts,
            secondaries: None,
        };
        Ok((Some(lock), value))
    }
}
