//! Transactions of all kinds at once, with clients that die, steps that are done twice and resolvers, held against a plain
//! model of snapshot isolation: a read sees what was committed up to its moment, nobody writes over what he has not seen,
//! and a transaction is everywhere or nowhere.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use std::collections::BTreeMap;

use qd_kv_model::{Cf, Direction, MemData, Range, Ts};
use qd_kv_txn::{
    Assertion, CheckStatus, Found, LockKind, Locked, Mutation, Op, Pessimism, PessimisticLock, Prewrite, Reader, Reply,
    Scan, Secondaries, Status, Step, TxnError, WhyConflict, collect, scan, scan_locks,
};

/// Chance from a seed (xorshift with a multiplication).
struct Luck(u64);

impl Luck {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct World {
    data: MemData,
    ts: u64,
    max_ts: Ts,
    reads: Vec<(Ts, Vec<u8>, Option<Vec<u8>>)>,
}

impl World {
    // Each timestamp is a millisecond of its own, so that short lives of locks end within a run.
    fn tso(&mut self) -> Ts {
        self.ts += 1;
        Ts::compose(self.ts, 0)
    }

    fn step(&mut self, s: &Step) -> Result<Reply, TxnError> {
        self.max_ts = self.max_ts.max(s.reads_at().unwrap_or(Ts::ZERO));
        let done = s.run(&self.data, self.max_ts)?;
        for w in &done.writes {
            self.data.modify(w);
        }
        Ok(done.reply)
    }

    fn read(&mut self, key: &[u8], ts: Ts) -> Result<Option<Vec<u8>>, TxnError> {
        self.max_ts = self.max_ts.max(ts);
        let value = Reader::new(&self.data).get(key, ts, &[])?;
        self.reads.push((ts, key.to_vec(), value.clone()));
        Ok(value)
    }

    /// Does what a client does that meets a lock. Answers whether the lock is gone.
    fn resolve(&mut self, met: &Locked, caller: Ts) -> bool {
        let now = self.tso();
        let lock = &met.lock;
        let mut check = CheckStatus {
            primary: lock.primary.clone(),
            start_ts: lock.start_ts,
            caller_ts: caller,
            now,
            rollback_if_absent: lock.is_expired(now),
            force_sync: false,
            resolving_pessimistic: lock.kind == LockKind::Pessimistic,
            verify_primary: true,
        };
        let status = match self.step(&Step::CheckStatus(check.clone())) {
            Ok(Reply::Status(s)) => s,
            Ok(other) => panic!("{other:?}"),
            Err(TxnError::Unknown { .. } | TxnError::NotPrimary(_)) => return false,
            Err(e) => panic!("{e}"),
        };
        let commit = match status {
            Status::Committed(ts) => ts,
            Status::RolledBack | Status::Expired | Status::AbsentRolledBack => Ts::ZERO,
            Status::PessimisticExpired | Status::Absent if lock.kind == LockKind::Pessimistic => {
                let s = Step::PessimisticRollback(lock.start_ts, Ts::MAX, vec![met.key.clone()]);
                self.step(&s).unwrap();
                return true;
            }
            Status::PessimisticExpired | Status::Absent => return false,
            Status::Alive { lock: primary, .. } => {
                let (Some(others), true) = (primary.secondaries.clone(), primary.is_expired(now)) else {
                    return false;
                };
                let ts = match self
                    .step(&Step::CheckSecondaries(lock.start_ts, others.clone()))
                    .unwrap()
                {
                    Reply::Secondaries(Secondaries::Committed(ts)) => ts,
                    Reply::Secondaries(Secondaries::RolledBack) => Ts::ZERO,
                    Reply::Secondaries(Secondaries::Locked(all))
                        if all.iter().all(|l| l.lock.secondaries.is_some()) =>
                    {
                        all.iter()
                            .map(|l| l.lock.min_commit_ts)
                            .fold(primary.min_commit_ts, Ts::max)
                    }
                    Reply::Secondaries(Secondaries::Locked(_)) => {
                        // Some were prewritten the plain way: so is all of it.
                        check.force_sync = true;
                        self.step(&Step::CheckStatus(check)).unwrap();
                        return false;
                    }
                    other => panic!("{other:?}"),
                };
                let all = others.into_iter().chain([lock.primary.clone()]).collect();
                self.step(&Step::Resolve(lock.start_ts, ts, all)).unwrap();
                return true;
            }
        };
        self.step(&Step::Resolve(lock.start_ts, commit, vec![met.key.clone()]))
            .unwrap();
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Commit {
    Two,
    Async,
    One,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Lock(usize),
    Prewrite(usize),
    CommitPrimary,
    CommitRest(Ts),
    RollBack,
    Over,
}

#[derive(Debug)]
struct Txn {
    start: Ts,
    keys: Vec<Vec<u8>>,
    pessimistic: bool,
    how: Commit,
    phase: Phase,
    for_update: Ts,
    min_commit: Ts,
    plain: bool,
    /// What it saw where it writes.
    seen: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What its client knows at the end.
    committed: Option<Ts>,
    rolled_back: bool,
}

fn value(start: Ts, key: &[u8]) -> Vec<u8> {
    // Some values are too long for the records.
    let mut v = format!("{start}").into_bytes();
    v.resize(if key[0].is_multiple_of(2) { 20 } else { 300 }, b'.');
    v
}

impl Txn {
    fn mutation(&self, key: &[u8]) -> Mutation {
        Mutation {
            op: if key[0] % 5 == 4 && self.start.0.is_multiple_of(3) {
                Op::Delete
            } else {
                Op::Put
            },
            key: key.to_vec(),
            value: value(self.start, key),
            assertion: Assertion::None,
            pessimism: if self.pessimistic {
                Pessimism::Locked
            } else {
                Pessimism::Skip
            },
        }
    }

    fn prewrite(&self, keys: &[Vec<u8>]) -> Step {
        let primary = self.keys[0].clone();
        let others = if keys.contains(&primary) {
            self.keys[1..].to_vec()
        } else {
            vec![]
        };
        Step::Prewrite(Prewrite {
            mutations: keys.iter().map(|k| self.mutation(k)).collect(),
            primary,
            start_ts: self.start,
            ttl: 25,
            txn_size: self.keys.len() as u64,
            for_update_ts: self.for_update,
            min_commit_ts: self.start.next(),
            async_commit: (self.how == Commit::Async).then_some(others),
            one_phase: self.how == Commit::One,
            max_commit_ts: if self.start.0.is_multiple_of(5) {
                Ts(self.start.0 + (12 << 18))
            } else {
                Ts::ZERO
            },
        })
    }

    /// One thing its client does.
    fn act(&mut self, w: &mut World, luck: &mut Luck) {
        match self.phase.clone() {
            Phase::Lock(i) => {
                let Some(key) = self.keys.get(i).cloned() else {
                    self.phase = Phase::Prewrite(0);
                    return;
                };
                self.for_update = w.tso();
                let s = Step::PessimisticLock(PessimisticLock {
                    keys: vec![(key.clone(), false)],
                    primary: self.keys[0].clone(),
                    start_ts: self.start,
                    ttl: 25,
                    for_update_ts: self.for_update,
                    min_commit_ts: self.for_update.next(),
                    return_values: true,
                });
                match twice(w, luck, &s) {
                    Ok(Reply::PessimisticLocked(mut p)) if p.errors.is_empty() => {
                        self.seen.insert(key, p.values.remove(0));
                        self.phase = Phase::Lock(i + 1);
                    }
                    Ok(Reply::PessimisticLocked(p)) => match &p.errors[0] {
                        TxnError::Locked(l) => {
                            if !w.resolve(l, self.for_update) && luck.one_in(4) {
                                self.phase = Phase::RollBack;
                            }
                        }
                        TxnError::Conflict(c) if c.why == WhyConflict::Pessimistic => {}
                        _ => self.phase = Phase::RollBack,
                    },
                    other => panic!("{other:?}"),
                }
            }
            Phase::Prewrite(i) => {
                let part = if self.how == Commit::One {
                    self.keys.clone()
                } else {
                    vec![self.keys[i].clone()]
                };
                let s = self.prewrite(&part);
                match twice(w, luck, &s) {
                    Ok(Reply::Prewritten(p)) if p.errors.is_empty() => {
                        if !p.one_phase_commit_ts.is_zero() {
                            self.committed = Some(p.one_phase_commit_ts);
                            self.phase = Phase::Over;
                            return;
                        }
                        if self.how == Commit::Async {
                            self.plain |= p.min_commit_ts.is_zero();
                            self.min_commit = self.min_commit.max(p.min_commit_ts);
                        }
                        if self.how != Commit::One && i + 1 < self.keys.len() {
                            self.phase = Phase::Prewrite(i + 1);
                        } else if self.how == Commit::Async && !self.plain {
                            self.committed = Some(self.min_commit);
                            self.phase = Phase::CommitRest(self.min_commit);
                        } else {
                            self.phase = Phase::CommitPrimary;
                        }
                    }
                    Ok(Reply::Prewritten(p)) => match &p.errors[0] {
                        TxnError::Locked(l) => {
                            let gone = w.resolve(l, self.start);
                            if !gone && luck.one_in(4) {
                                self.phase = Phase::RollBack;
                            }
                        }
                        _ => self.phase = Phase::RollBack,
                    },
                    other => panic!("{other:?}"),
                }
            }
            Phase::CommitPrimary => {
                let ts = w.tso();
                match twice(w, luck, &Step::Commit(self.start, ts, vec![self.keys[0].clone()])) {
                    Ok(Reply::Committed(ts)) => {
                        self.committed = Some(ts);
                        self.phase = Phase::CommitRest(ts);
                    }
                    Err(TxnError::CommitTooEarly { .. }) => {}
                    Err(TxnError::LockMissing { .. }) => self.phase = Phase::RollBack,
                    other => panic!("{other:?}"),
                }
            }
            Phase::CommitRest(ts) => {
                let at = luck.below(self.keys.len());
                let got = twice(w, luck, &Step::Commit(self.start, ts, vec![self.keys[at].clone()]));
                assert_eq!(got, Ok(Reply::Committed(ts)), "{self:?}");
                if luck.one_in(2) {
                    let got = w.step(&Step::Commit(self.start, ts, self.keys.clone()));
                    assert_eq!(got, Ok(Reply::Committed(ts)));
                    self.phase = Phase::Over;
                }
            }
            Phase::RollBack => {
                let all = Step::Rollback(self.start, self.keys.clone());
                match twice(w, luck, &all) {
                    Ok(Reply::Done) => self.rolled_back = true,
                    // An async commit whose answers were bad may have been completed by somebody who met its locks.
                    Err(TxnError::Committed { .. }) => {}
                    other => panic!("{other:?}"),
                }
                self.phase = Phase::Over;
            }
            Phase::Over => {}
        }
    }
}

/// Does a step, and sometimes again, as a client whose answer was lost.
fn twice(w: &mut World, luck: &mut Luck, s: &Step) -> Result<Reply, TxnError> {
    let first = w.step(s);
    if luck.one_in(5) { w.step(s) } else { first }
}

/// Of each key: when it was committed, by whom, and what it was then.
type Versions = BTreeMap<Vec<u8>, BTreeMap<Ts, (Ts, Option<Vec<u8>>)>>;

/// All versions of the keys, by what is stored: key, to commit timestamps with the transaction.
fn history(data: &MemData) -> Versions {
    use qd_kv_model::{Snapshot, decode_bytes, split_ts};
    let reader = Reader::new(data);
    let mut all: Versions = BTreeMap::new();
    for (k, v) in data
        .scan(Cf::Write, Range::new(b"", b""), usize::MAX, Direction::Forward)
        .unwrap()
    {
        let (key, ts) = split_ts(&k).unwrap();
        let w = qd_kv_txn::Write::decode(&v).unwrap();
        if w.kind != qd_kv_txn::WriteKind::Rollback {
            let key = decode_bytes(key).unwrap();
            let value = reader.committed(&key, ts).unwrap();
            all.entry(key).or_default().insert(ts, (w.start_ts, value));
        }
    }
    all
}

fn run(seed: u64) -> (usize, usize) {
    let mut luck = Luck(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut w = World {
        data: MemData::default(),
        ts: 1_000,
        max_ts: Ts::ZERO,
        reads: vec![],
    };
    let names: Vec<Vec<u8>> = (0..5u8).map(|n| vec![b'a' + n]).collect();
    let mut txns: Vec<Txn> = Vec::new();
    let mut alive: Vec<usize> = Vec::new();
    for _ in 0..160 {
        match luck.below(10) {
            0 | 1 if txns.len() < 24 => {
                let start = w.tso();
                let mut keys = names.clone();
                while keys.len() > 3 || (keys.len() > 1 && luck.one_in(2)) {
                    keys.swap_remove(luck.below(keys.len()));
                }
                let mut txn = Txn {
                    start,
                    pessimistic: luck.one_in(3),
                    how: [Commit::Two, Commit::Async, Commit::One][luck.below(3)],
                    phase: Phase::Prewrite(0),
                    for_update: Ts::ZERO,
                    min_commit: Ts::ZERO,
                    plain: false,
                    seen: BTreeMap::new(),
                    committed: None,
                    rolled_back: false,
                    keys,
                };
                if txn.pessimistic {
                    txn.phase = Phase::Lock(0);
                } else {
                    for key in txn.keys.clone() {
                        if let Ok(v) = w.read(&key, start) {
                            txn.seen.insert(key, v);
                        }
                    }
                }
                alive.push(txns.len());
                txns.push(txn);
            }
            2 => {
                let ts = w.tso();
                let key = names[luck.below(names.len())].clone();
                if let Err(TxnError::Locked(l)) = w.read(&key, ts) {
                    w.resolve(&l, ts);
                }
            }
            3 if luck.one_in(4) && !alive.is_empty() => {
                // A client dies.
                alive.swap_remove(luck.below(alive.len()));
            }
            _ if !alive.is_empty() => {
                let at = luck.below(alive.len());
                txns[alive[at]].act(&mut w, &mut luck);
                if txns[alive[at]].phase == Phase::Over {
                    alive.swap_remove(at);
                }
            }
            _ => {}
        }
    }
    // Everybody is dead, and somebody cleans up.
    w.ts += 100;
    for _ in 0..50 {
        for l in scan_locks(&Reader::new(&w.data), b"", b"", Ts::MAX, None, 1000).unwrap() {
            let now = w.tso();
            w.resolve(&l, now);
        }
    }
    assert!(w.data.is_empty(Cf::Lock), "seed {seed}: locks are left");
    let all = history(&w.data);
    let before = |key: &[u8], ts: Ts| {
        all.get(key)
            .and_then(|v| v.range(..=ts).next_back())
            .and_then(|(_, (_, value))| value.clone())
    };
    for (ts, key, saw) in &w.reads {
        assert_eq!(before(key, *ts), *saw, "seed {seed}: a read of {key:?} at {ts}");
    }
    let mut committed = 0;
    for t in &txns {
        let at: Vec<Option<Ts>> = t
            .keys
            .iter()
            .map(|k| {
                all.get(k)?
                    .iter()
                    .find(|(_, (start, _))| *start == t.start)
                    .map(|(ts, _)| *ts)
            })
            .collect();
        assert!(
            at.iter().all(|a| *a == at[0]),
            "seed {seed}: {t:?} is committed in part: {at:?}"
        );
        assert!(
            !(t.rolled_back && at[0].is_some()),
            "seed {seed}: {t:?} was rolled back and is committed"
        );
        if t.committed.is_some() {
            assert_eq!(t.committed, at[0], "seed {seed}: {t:?}");
        }
        let Some(ts) = at[0] else { continue };
        committed += 1;
        assert!(ts > t.start, "seed {seed}");
        for (key, saw) in &t.seen {
            assert_eq!(
                before(key, ts.prev()),
                *saw,
                "seed {seed}: {t:?} wrote over what it had not seen at {key:?}"
            );
        }
    }
    // Nothing that can still be asked for is collected.
    let safe = Ts::compose(1_000 + luck.below(100) as u64, 0);
    let mut from = Vec::new();
    let limit = 1 + luck.below(20);
    loop {
        let round = collect(&w.data, Range::new(&from, b""), safe, limit).unwrap();
        for m in &round.writes {
            w.data.modify(m);
        }
        let Some(next) = round.next else { break };
        from = next;
    }
    for ts in [safe, safe.next(), Ts::MAX.prev()]
        .into_iter()
        .chain(w.reads.iter().map(|r| r.0).filter(|t| *t >= safe))
    {
        let mut want: Vec<(Vec<u8>, Vec<u8>)> = names
            .iter()
            .filter_map(|k| before(k, ts).map(|v| (k.clone(), v)))
            .collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let s = Scan {
                start: b"",
                end: b"",
                ts,
                limit: 99,
                direction,
                known: &[],
            };
            let got: Vec<_> = scan(&Reader::new(&w.data), &s)
                .unwrap()
                .into_iter()
                .map(|f| if let Found::Pair(p) = f { p } else { panic!("a lock") })
                .collect();
            assert_eq!(got, want, "seed {seed}: scan at {ts} {direction:?}");
            want.reverse();
        }
    }
    (txns.len(), committed)
}

#[test]
fn snapshot_isolation_holds() {
    let seeds = std::env::var("QD_KV_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(3_000);
    let from = std::env::var("QD_KV_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let (mut all, mut committed) = (0, 0);
    for seed in from..from + seeds {
        let (a, c) = run(seed);
        all += a;
        committed += c;
    }
    // A test in which nothing is committed, or everything, shows nothing.
    assert!(
        committed * 10 > all * 2 && committed * 10 < all * 9,
        "{committed} of {all}"
    );
}
