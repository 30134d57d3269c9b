//! Clients of transactions: money goes from one account to another, and auditors look at all of them at one moment.

use qd_kv_model::{MemData, Modify, Ts};
use qd_kv_txn::{
    Assertion, CheckStatus, LockKind, Locked, Mutation, Op, Pessimism, Prewrite, Reply, Secondaries, Status, Step,
    TxnError, WhyConflict,
};

use crate::luck::Luck;
use crate::raw::PATIENCE;
use crate::run::Violation;
use crate::serve::{Answer, Ask};

pub(crate) const ACCOUNTS: [&[u8]; 4] = [b"anna", b"kurt", b"olga", b"yuri"];
const EACH: u64 = 100;
/// How long locks count, in milliseconds of the timestamps' clock, which are the steps of the simulation.
const TTL: u64 = 600;

/// The accounts with what everybody has at first.
pub(crate) fn opening() -> Result<Vec<Modify>, TxnError> {
    let keys: Vec<Vec<u8>> = ACCOUNTS.iter().map(|a| a.to_vec()).collect();
    let mut data = MemData::default();
    let first = Step::Prewrite(prewrite(Ts(1), &keys[0], &keys, &[EACH; 4], None));
    let mut all = first.run(&data, Ts::ZERO)?.writes;
    for w in &all {
        data.modify(w);
    }
    all.extend(Step::Commit(Ts(1), Ts(2), keys).run(&data, Ts::ZERO)?.writes);
    Ok(all)
}

fn prewrite(start: Ts, primary: &[u8], keys: &[Vec<u8>], values: &[u64], others: Option<Vec<Vec<u8>>>) -> Prewrite {
    let mutation = |(key, value): (&Vec<u8>, &u64)| Mutation {
        op: Op::Put,
        key: key.clone(),
        value: value.to_le_bytes().to_vec(),
        assertion: Assertion::None,
        pessimism: Pessimism::Skip,
    };
    Prewrite {
        mutations: keys.iter().zip(values).map(mutation).collect(),
        primary: primary.to_vec(),
        start_ts: start,
        ttl: TTL,
        txn_size: 2,
        for_update_ts: Ts::ZERO,
        min_commit_ts: start.next(),
        async_commit: others,
        one_phase: false,
        max_commit_ts: Ts::ZERO,
    }
}

#[derive(Debug, Clone)]
enum Stage {
    Read(usize),
    Prewrite(usize),
    CommitPrimary(Ts),
    CommitOther(Ts),
    /// Somebody's lock is in the way; afterwards it goes on with the stage.
    Check(Box<Locked>, Box<Stage>),
    Others(Box<Locked>, Ts, Vec<Vec<u8>>, Box<Stage>),
    Resolve(Ts, Ts, Vec<Vec<u8>>, Box<Stage>),
}

/// Counts of what became of transactions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Books {
    pub(crate) transfers: u64,
    pub(crate) audits: u64,
    pub(crate) resolved: u64,
    /// The newest commit that a client knows of.
    pub(crate) newest: Ts,
}

#[derive(Debug)]
pub(crate) struct Banker {
    count: u64,
    left: u32,
    start: Ts,
    keys: Vec<Vec<u8>>,
    values: Vec<u64>,
    is_async: bool,
    min_commit: Ts,
    stage: Option<Stage>,
    /// The request under way and when it was sent.
    sent: Option<(u64, u64)>,
    tries: u32,
}

impl Banker {
    pub(crate) fn new(left: u32) -> Self {
        Self {
            count: 0,
            left,
            start: Ts::ZERO,
            keys: vec![],
            values: vec![],
            is_async: false,
            min_commit: Ts::ZERO,
            stage: None,
            sent: None,
            tries: 0,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.left == 0 && self.stage.is_none()
    }

    const fn is_audit(&self) -> bool {
        self.keys.len() == ACCOUNTS.len()
    }

    pub(crate) fn audit_once(&mut self) {
        self.left = 1;
        self.stage = None;
        self.sent = None;
    }

    /// What to ask next, unless it waits.
    pub(crate) fn next(
        &mut self,
        now: u64,
        audit: bool,
        luck: &mut Luck,
        books: &Books,
        mut tso: impl FnMut() -> Ts,
    ) -> Result<Option<(u64, Ask)>, Violation> {
        if let Some((_, at)) = self.sent {
            if now < at + PATIENCE {
                return Ok(None);
            }
            // Nobody knows; it tries the same again, for a while.
            self.sent = None;
            self.tries += 1;
        }
        if self.tries > 12 {
            self.stage = None;
        }
        if self.stage.is_none() {
            if self.left == 0 {
                return Ok(None);
            }
            self.left -= 1;
            self.tries = 0;
            self.start = tso();
            // An async commit may be at the very next timestamp.
            if self.start < books.newest {
                return Err(Violation::new(format!(
                    "a transaction begins at {} after one was committed at {}",
                    self.start, books.newest
                )));
            }
            let mut keys: Vec<Vec<u8>> = ACCOUNTS.iter().map(|a| a.to_vec()).collect();
            if !audit && !luck.one_in(3) {
                while keys.len() > 2 {
                    keys.swap_remove(luck.below(keys.len() as u64) as usize);
                }
                if luck.one_in(2) {
                    keys.reverse();
                }
            }
            self.keys = keys;
            self.values.clear();
            self.is_async = luck.one_in(2);
            self.min_commit = Ts::ZERO;
            self.stage = Some(Stage::Read(0));
        }
        let Some(stage) = &self.stage else { return Ok(None) };
        let ask = match stage {
            Stage::Read(i) => Ask::TxnGet(self.keys[*i].clone(), self.start),
            Stage::Prewrite(i) => {
                let others = (self.is_async).then(|| if *i == 0 { vec![self.keys[1].clone()] } else { vec![] });
                let p = prewrite(
                    self.start,
                    &self.keys[0],
                    &self.keys[*i..=*i],
                    &self.values[*i..=*i],
                    others,
                );
                Ask::Step(Step::Prewrite(p))
            }
            Stage::CommitPrimary(ts) => Ask::Step(Step::Commit(self.start, *ts, vec![self.keys[0].clone()])),
            Stage::CommitOther(ts) => Ask::Step(Step::Commit(self.start, *ts, vec![self.keys[1].clone()])),
            Stage::Check(l, _) => {
                let now = tso();
                Ask::Step(Step::CheckStatus(CheckStatus {
                    primary: l.lock.primary.clone(),
                    start_ts: l.lock.start_ts,
                    caller_ts: self.start,
                    now,
                    rollback_if_absent: l.lock.is_expired(now),
                    force_sync: false,
                    resolving_pessimistic: l.lock.kind == LockKind::Pessimistic,
                    verify_primary: true,
                }))
            }
            Stage::Others(l, _, others, _) => Ask::Step(Step::CheckSecondaries(l.lock.start_ts, others.clone())),
            Stage::Resolve(start, ts, keys, _) => Ask::Step(Step::Resolve(
                *start,
                *ts,
                keys.last().map(|k| vec![k.clone()]).unwrap_or_default(),
            )),
        };
        self.count += 1;
        self.sent = Some((self.count, now));
        Ok(Some((self.count, ask)))
    }

    /// An answer came.
    pub(crate) fn answer(
        &mut self,
        op: u64,
        answer: Answer,
        books: &mut Books,
        mut tso: impl FnMut() -> Ts,
    ) -> Result<(), Violation> {
        if self.sent.is_none_or(|(n, _)| n != op) {
            return Ok(());
        }
        self.sent = None;
        let Some(stage) = self.stage.take() else { return Ok(()) };
        let again = |s: &mut Self, stage| {
            s.tries += 1;
            s.stage = Some(stage);
            Ok(())
        };
        match (stage, answer) {
            (stage, Answer::Refused) => return again(self, stage),
            (stage @ Stage::Read(i), Answer::TxnValue(v)) => match *v {
                Ok(v) => {
                    let v = v.and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
                    let v = v.ok_or_else(|| Violation::new("an account is gone".to_owned()))?;
                    self.values.push(v);
                    self.stage = (i + 1 < self.keys.len()).then_some(Stage::Read(i + 1));
                    if self.stage.is_none() {
                        self.all_read(books)?;
                    }
                }
                Err(TxnError::Locked(l)) => return again(self, Stage::Check(l, Box::new(stage))),
                Err(e) => return Err(Violation::new(format!("a read: {e}"))),
            },
            (stage, Answer::Step(r)) => self.stepped(stage, *r, books, &mut tso)?,
            (stage, other) => return Err(Violation::new(format!("{stage:?} is answered by {other:?}"))),
        }
        Ok(())
    }

    fn all_read(&mut self, books: &mut Books) -> Result<(), Violation> {
        if self.is_audit() {
            books.audits += 1;
            let sum: u64 = self.values.iter().sum();
            if sum != EACH * ACCOUNTS.len() as u64 {
                return Err(Violation::new(format!(
                    "at {} the accounts have {:?}, {sum} in all",
                    self.start, self.values
                )));
            }
            return Ok(());
        }
        let some = self.values[0].min(1 + self.start.0 % 30);
        self.values[0] -= some;
        self.values[1] += some;
        self.stage = Some(Stage::Prewrite(0));
        Ok(())
    }

    fn stepped(
        &mut self,
        stage: Stage,
        r: Result<Reply, TxnError>,
        books: &mut Books,
        tso: &mut impl FnMut() -> Ts,
    ) -> Result<(), Violation> {
        match (stage, r) {
            (stage @ Stage::Prewrite(i), Ok(Reply::Prewritten(p))) => match p.errors.into_iter().next() {
                None => {
                    if self.is_async {
                        self.min_commit = self.min_commit.max(p.min_commit_ts);
                    }
                    self.stage = Some(if i == 0 {
                        Stage::Prewrite(1)
                    } else if self.is_async {
                        self.committed(self.min_commit, books);
                        Stage::CommitPrimary(self.min_commit)
                    } else {
                        Stage::CommitPrimary(tso())
                    });
                }
                Some(TxnError::Locked(l)) => {
                    self.tries += 1;
                    self.stage = Some(Stage::Check(l, Box::new(stage)));
                }
                // It lost. Whoever meets what it has left behind takes it away.
                Some(TxnError::Conflict(c)) if c.why != WhyConflict::Pessimistic => {}
                Some(e) => return Err(Violation::new(format!("a prewrite: {e}"))),
            },
            (Stage::CommitPrimary(_), Ok(Reply::Committed(ts))) => {
                self.committed(ts, books);
                books.transfers += 1;
                self.stage = Some(Stage::CommitOther(ts));
            }
            (Stage::CommitPrimary(_), Err(TxnError::CommitTooEarly { .. })) if !self.is_async => {
                self.stage = Some(Stage::CommitPrimary(tso()));
            }
            (Stage::CommitPrimary(_), Err(TxnError::LockMissing { .. })) if !self.is_async => {}
            (Stage::CommitOther(_), Ok(Reply::Committed(_)) | Ok(Reply::Done)) => {}
            (Stage::Check(l, back), Ok(Reply::Status(s))) => self.checked(l, back, s),
            (Stage::Check(_, back), Err(TxnError::Unknown { .. })) => {
                self.tries += 1;
                self.stage = Some(*back);
            }
            (Stage::Others(l, min, others, back), Ok(Reply::Secondaries(s))) => {
                let ts = match s {
                    Secondaries::Committed(ts) => ts,
                    Secondaries::RolledBack => Ts::ZERO,
                    Secondaries::Locked(all) => all.iter().map(|l| l.lock.min_commit_ts).fold(min, Ts::max),
                };
                let keys = others
                    .into_iter()
                    .chain([l.lock.primary.clone(), l.key.clone()])
                    .collect();
                self.stage = Some(Stage::Resolve(l.lock.start_ts, ts, keys, back));
            }
            (Stage::Resolve(start, ts, mut keys, back), Ok(Reply::Done)) => {
                books.resolved += 1;
                keys.pop();
                self.stage = Some(if keys.is_empty() {
                    *back
                } else {
                    Stage::Resolve(start, ts, keys, back)
                });
            }
            (stage, r) => return Err(Violation::new(format!("{stage:?} of {self:?} came to {r:?}"))),
        }
        Ok(())
    }

    fn checked(&mut self, l: Box<Locked>, back: Box<Stage>, s: Status) {
        let ts = match s {
            Status::Committed(ts) => ts,
            Status::RolledBack | Status::Expired | Status::AbsentRolledBack => Ts::ZERO,
            Status::Alive { lock, .. } => {
                self.tries += 1;
                self.stage = Some(match lock.secondaries.clone() {
                    Some(others) if lock.is_expired(Ts::compose(self.start.physical_ms() + TTL, 0)) => {
                        Stage::Others(l, lock.min_commit_ts, others, back)
                    }
                    _ => *back,
                });
                return;
            }
            Status::PessimisticExpired | Status::Absent => {
                self.stage = Some(*back);
                return;
            }
        };
        self.stage = Some(Stage::Resolve(l.lock.start_ts, ts, vec![l.key.clone()], back));
    }

    fn committed(&mut self, ts: Ts, books: &mut Books) {
        books.newest = books.newest.max(ts);
    }
}
