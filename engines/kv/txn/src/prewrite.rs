//! The first phase: locks with what is to become of the keys; or, when one phase is enough, the commit itself.

use qd_kv_model::{Snapshot, Ts};

use crate::error::{Conflict, WhyConflict};
use crate::reader::{Locked, Reader, TxnRecord};
use crate::step::WriteBatch;
use crate::{Lock, LockKind, SHORT_VALUE, TxnError, Write, WriteKind};

/// What a mutation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The key gets a value.
    Put,
    /// The key goes.
    Delete,
    /// Nobody else may write the key.
    Lock,
    /// The key gets a value and must not have one.
    Insert,
    /// The key must not have a value. It is not locked.
    CheckNotExists,
}

/// What a client is sure of, to be told when it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assertion {
    /// Nothing.
    #[default]
    None,
    /// The key has a value.
    Exist,
    /// The key has none.
    NotExist,
}

/// What a pessimistic transaction has done about a key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pessimism {
    /// Nothing, and nothing newer needs to be looked for: the key's order is kept by another key's lock.
    #[default]
    Skip,
    /// The key is locked already.
    Locked,
    /// Nothing, and a newer version is a conflict.
    CheckNewer,
}

/// One key of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// What is done.
    pub op: Op,
    /// To which key.
    pub key: Vec<u8>,
    /// The value of [`Op::Put`] and [`Op::Insert`].
    pub value: Vec<u8>,
    /// What the client is sure of.
    pub assertion: Assertion,
    /// Of a pessimistic transaction, what was done before.
    pub pessimism: Pessimism,
}

/// A prewrite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prewrite {
    /// The keys, each once.
    pub mutations: Vec<Mutation>,
    /// The key that decides.
    pub primary: Vec<u8>,
    /// The transaction.
    pub start_ts: Ts,
    /// How long the locks count, in milliseconds after the start.
    pub ttl: u64,
    /// How many keys there are in all.
    pub txn_size: u64,
    /// For a pessimistic transaction the newest moment it has seen, else zero.
    pub for_update_ts: Ts,
    /// The least commit timestamp the client asks for.
    pub min_commit_ts: Ts,
    /// With async commit: the other keys, when the primary is among the mutations; else empty.
    pub async_commit: Option<Vec<Vec<u8>>>,
    /// Whether all keys of the transaction are here and it may be committed at once.
    pub one_phase: bool,
    /// The latest timestamp at which the client lets async or one-phase commit happen; zero for any.
    pub max_commit_ts: Ts,
}

/// How a prewrite went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prewritten {
    /// Keys at which it failed. When there are any, nothing is written.
    pub errors: Vec<TxnError>,
    /// With async commit: the transaction commits at this or later. Zero: do it the plain way.
    pub min_commit_ts: Ts,
    /// With one phase: committed, at this. Zero: it is not; do it in two.
    pub one_phase_commit_ts: Ts,
}

/// A key that is found to be in order.
enum Key {
    /// Locked so already, by this very step before.
    There(Ts),
    /// To be locked.
    New(Option<Lock>),
    /// Only looked at.
    Checked,
    /// The transaction is committed: an answer was lost.
    Committed(Ts),
}

impl Prewrite {
    /// Does it.
    ///
    /// # Errors
    /// When the data cannot be read. What stands against the transaction is in the answer.
    pub fn run<S: Snapshot>(
        &self,
        reader: &Reader<S>,
        max_ts: Ts,
        out: &mut WriteBatch,
    ) -> Result<Prewritten, TxnError> {
        let mut answer = Prewritten::default();
        let mut keys = Vec::with_capacity(self.mutations.len());
        for m in &self.mutations {
            match self.check(reader, m) {
                Ok(k) => keys.push((m, k)),
                Err(e) if e.is_broken() => return Err(e),
                // A client does one thing about conflicts, and resolves all locks at once.
                Err(e @ TxnError::Locked(_)) => answer.errors.push(e),
                Err(e) => {
                    answer.errors = vec![e];
                    return Ok(answer);
                }
            }
        }
        if !answer.errors.is_empty() {
            return Ok(answer);
        }
        if let Some(ts) = keys
            .iter()
            .find_map(|(_, k)| if let Key::Committed(ts) = k { Some(*ts) } else { None })
        {
            if self.one_phase {
                answer.one_phase_commit_ts = ts;
            } else if self.async_commit.is_some() {
                answer.min_commit_ts = ts;
            }
            return Ok(answer);
        }
        let least = [
            max_ts.next(),
            self.start_ts.next(),
            self.for_update_ts.next(),
            self.min_commit_ts,
        ]
        .into_iter()
        .fold(Ts::ZERO, Ts::max);
        let quick = self.max_commit_ts.is_zero() || least <= self.max_commit_ts;
        // A lock that is there from an attempt before is of the two phases.
        let fresh = keys.iter().all(|(_, k)| !matches!(k, Key::There(_)));
        if self.one_phase && quick && fresh {
            self.commit_now(reader, keys, least, out)?;
            answer.one_phase_commit_ts = least;
            return Ok(answer);
        }
        let async_commit = self.async_commit.is_some() && quick;
        for (m, k) in keys {
            match k {
                Key::There(min) => {
                    if async_commit {
                        answer.min_commit_ts = answer.min_commit_ts.max(min);
                    }
                }
                Key::New(before) => {
                    let lock = self.lock(m, before, async_commit, least);
                    if async_commit {
                        answer.min_commit_ts = answer.min_commit_ts.max(lock.min_commit_ts);
                    }
                    if lock.value.is_none() && lock.kind == LockKind::Put {
                        out.put_value(&m.key, self.start_ts, m.value.clone());
                    }
                    out.put_lock(&m.key, &lock);
                }
                Key::Checked | Key::Committed(_) => {}
            }
        }
        Ok(answer)
    }

    fn lock(&self, m: &Mutation, before: Option<Lock>, async_commit: bool, least: Ts) -> Lock {
        let before_ttl = before.as_ref().map_or(0, |l| l.ttl);
        let before_min = before.as_ref().map_or(Ts::ZERO, |l| l.min_commit_ts);
        let before_for = before.as_ref().map_or(Ts::ZERO, |l| l.for_update_ts);
        let kind = match m.op {
            Op::Put | Op::Insert => LockKind::Put,
            Op::Delete => LockKind::Delete,
            Op::Lock | Op::CheckNotExists => LockKind::Lock,
        };
        let secondaries = match &self.async_commit {
            Some(all) if async_commit => Some(if m.key == self.primary { all.clone() } else { Vec::new() }),
            _ => None,
        };
        let asked = if async_commit { least } else { self.min_commit_ts };
        Lock {
            kind,
            primary: self.primary.clone(),
            start_ts: self.start_ts,
            ttl: self.ttl.max(before_ttl),
            value: (kind == LockKind::Put && m.value.len() <= SHORT_VALUE).then(|| m.value.clone()),
            for_update_ts: self.for_update_ts.max(before_for),
            txn_size: self.txn_size,
            min_commit_ts: asked.max(before_min),
            secondaries,
        }
    }

    fn commit_now<S: Snapshot>(
        &self,
        reader: &Reader<S>,
        keys: Vec<(&Mutation, Key)>,
        commit_ts: Ts,
        out: &mut WriteBatch,
    ) -> Result<(), TxnError> {
        for (m, k) in keys {
            let Key::New(before) = k else { continue };
            let kind = match m.op {
                Op::Put | Op::Insert => WriteKind::Put,
                Op::Delete => WriteKind::Delete,
                Op::Lock | Op::CheckNotExists => WriteKind::Lock,
            };
            let mut w = Write::new(kind, self.start_ts);
            if kind == WriteKind::Put {
                if m.value.len() <= SHORT_VALUE {
                    w.value = Some(m.value.clone());
                } else {
                    out.put_value(&m.key, self.start_ts, m.value.clone());
                }
            }
            if before.is_some() {
                out.delete_lock(&m.key);
            }
            out.put_commit(reader, &m.key, commit_ts, w)?;
        }
        Ok(())
    }

    fn check<S: Snapshot>(&self, reader: &Reader<S>, m: &Mutation) -> Result<Key, TxnError> {
        let pessimistic = !self.for_update_ts.is_zero();
        match reader.lock(&m.key)? {
            Some(lock) if lock.start_ts != self.start_ts => {
                if pessimistic && m.pessimism == Pessimism::Locked {
                    // Somebody took the place of the lock this one should have.
                    return self.committed_or(reader, m, |s, m| s.lock_missing(m));
                }
                Err(TxnError::Locked(Box::new(Locked {
                    key: m.key.clone(),
                    lock,
                })))
            }
            Some(lock) if lock.kind == LockKind::Pessimistic => Ok(Key::New(Some(lock))),
            Some(lock) => Ok(Key::There(lock.min_commit_ts)),
            None => self.check_records(reader, m, pessimistic),
        }
    }

    fn check_records<S: Snapshot>(&self, reader: &Reader<S>, m: &Mutation, pessimistic: bool) -> Result<Key, TxnError> {
        let newest = reader.newest(&m.key, Ts::MAX)?;
        if let Some((commit_ts, w)) = &newest {
            if *commit_ts == self.start_ts && (w.kind == WriteKind::Rollback || w.hides_rollback) {
                return Err(self.conflict(m, *commit_ts, w, WhyConflict::RolledBack));
            }
            let newer = *commit_ts > self.start_ts;
            if pessimistic && m.pessimism == Pessimism::Locked && newer {
                return self.committed_or(reader, m, |s, m| s.lock_missing(m));
            }
            let looks = !pessimistic || m.pessimism == Pessimism::CheckNewer;
            if newer && looks {
                let conflict = self.conflict(m, *commit_ts, w, WhyConflict::Optimistic);
                return self.committed_or(reader, m, |_, _| conflict);
            }
            if newer && reader.record_of(&m.key, self.start_ts)? == TxnRecord::RolledBack {
                return Err(self.conflict(m, *commit_ts, w, WhyConflict::RolledBack));
            }
        }
        self.check_value(reader, m)?;
        Ok(if m.op == Op::CheckNotExists {
            Key::Checked
        } else {
            Key::New(None)
        })
    }

    /// The constraints on the value the key has.
    fn check_value<S: Snapshot>(&self, reader: &Reader<S>, m: &Mutation) -> Result<(), TxnError> {
        let must_be_new = matches!(m.op, Op::Insert | Op::CheckNotExists);
        if !must_be_new && m.assertion == Assertion::None {
            return Ok(());
        }
        let exists = reader
            .newest_data(&m.key, Ts::MAX)?
            .is_some_and(|(_, w)| w.kind == WriteKind::Put);
        if must_be_new && exists {
            return Err(TxnError::Exists { key: m.key.clone() });
        }
        let sure = match m.assertion {
            Assertion::None => return Ok(()),
            Assertion::Exist => true,
            Assertion::NotExist => false,
        };
        if sure == exists {
            return Ok(());
        }
        Err(TxnError::Assertion {
            start_ts: self.start_ts,
            key: m.key.clone(),
            exists,
        })
    }

    /// An error, unless the transaction is committed here and only the answer was lost.
    fn committed_or<S: Snapshot>(
        &self,
        reader: &Reader<S>,
        m: &Mutation,
        error: impl FnOnce(&Self, &Mutation) -> TxnError,
    ) -> Result<Key, TxnError> {
        match reader.record_of(&m.key, self.start_ts)? {
            TxnRecord::Committed(ts, _) => Ok(Key::Committed(ts)),
            _ => Err(error(self, m)),
        }
    }

    fn lock_missing(&self, m: &Mutation) -> TxnError {
        TxnError::PessimisticLockMissing {
            start_ts: self.start_ts,
            key: m.key.clone(),
        }
    }

    fn conflict(&self, m: &Mutation, commit_ts: Ts, w: &Write, why: WhyConflict) -> TxnError {
        TxnError::Conflict(Box::new(Conflict {
            start_ts: self.start_ts,
            other_start_ts: w.start_ts,
            other_commit_ts: commit_ts,
            key: m.key.clone(),
            primary: self.primary.clone(),
            why,
        }))
    }
}
