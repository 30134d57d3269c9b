//! A node's directory: what is promised comes back, and what must not be written is refused.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use qd_kv_model::{
    Cf, Direction, Epoch, HardState, LogEntry, LogWrite, Modify, Peer, Range, Region, RegionLog, RegionState, Role,
    Snapshot,
};
use qd_kv_store::{Durable, Export, Identity, KvDb, LogDb, Readers, StoreDir, StoreError, TransferError, install};

const ME: Identity = Identity { cluster: 7, node: 1 };

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry {
        index,
        term,
        kind: 0,
        data: format!("{index}/{term}").into_bytes(),
        context: vec![],
    }
}

fn state(id: u64, start: &[u8], end: &[u8], applied: u64) -> RegionState {
    RegionState {
        region: Region {
            id,
            start: start.to_vec(),
            end: end.to_vec(),
            epoch: Epoch {
                conf_ver: 1,
                version: 1,
            },
            peers: vec![Peer {
                id: 11,
                node: 1,
                role: Role::Voter,
            }],
        },
        peer: 11,
        applied,
        applied_term: 1,
        gone: false,
    }
}

fn kv(dir: &StoreDir) -> KvDb {
    KvDb::open(dir, Durable::new()).unwrap().0
}

fn put(kv: &mut KvDb, all: &[(Cf, &[u8], &[u8])], s: &RegionState) {
    let mut b = kv.begin().unwrap();
    for (cf, k, v) in all {
        b.modify(&Modify::Put(*cf, k.to_vec(), v.to_vec())).unwrap();
    }
    b.put_region(s).unwrap();
    b.commit().unwrap();
}

#[test]
fn a_directory_is_for_one() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("n1");
    let dir = StoreDir::open(&path, ME).unwrap();
    assert!(matches!(StoreDir::open(&path, ME), Err(StoreError::InUse { .. })));
    drop(LogDb::open(&dir, Durable::new()).unwrap());
    drop(dir);
    let other = StoreDir::open(&path, Identity { cluster: 7, node: 2 }).unwrap();
    let e = LogDb::open(&other, Durable::new()).unwrap_err();
    assert!(
        e.to_string().contains("cluster 7, node 1") && e.to_string().contains("cluster 7, node 2"),
        "{e}"
    );
}

#[test]
fn the_log_is_purged_only_up_to_what_is_durable() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = StoreDir::open(tmp.path(), ME).unwrap();
    let durable = Durable::new();
    let (mut kv, _) = KvDb::open(&dir, durable.clone()).unwrap();
    let (mut log, _) = LogDb::open(&dir, durable.clone()).unwrap();
    log.commit(&[LogWrite::Append(3, (1..=5).map(|i| entry(i, 1)).collect())])
        .unwrap();
    put(&mut kv, &[], &state(3, b"", b"", 4));
    let e = log.commit(&[LogWrite::Purge(3, 4, 1)]).unwrap_err();
    assert!(
        matches!(
            e,
            StoreError::PurgeTooFar {
                region: 3,
                wanted: 4,
                durable: 0
            }
        ),
        "{e}"
    );

    // A reader of an older moment keeps the newest commit from being moved.
    let view = Readers::new(&dir, 1).view().unwrap();
    put(&mut kv, &[], &state(3, b"", b"", 5));
    assert!(!kv.checkpoint().unwrap().complete());
    assert_eq!(durable.index(3), 0);
    drop(view);
    assert!(kv.checkpoint().unwrap().complete());
    assert_eq!(durable.index(3), 5);
    log.commit(&[LogWrite::Purge(3, 4, 1)]).unwrap();
    drop(log);
    let (_, logs) = LogDb::open(&dir, durable).unwrap();
    assert_eq!(
        (logs[0].purged, logs[0].purged_term, &logs[0].entries),
        (4, 1, &vec![entry(5, 1)])
    );
}

#[test]
fn gaps_and_damage_are_told() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = StoreDir::open(tmp.path(), ME).unwrap();
    let (mut log, _) = LogDb::open(&dir, Durable::new()).unwrap();
    log.commit(&[LogWrite::Append(1, vec![entry(1, 1), entry(2, 1)])])
        .unwrap();
    for bad in [vec![entry(4, 1)], vec![entry(0, 1)], vec![entry(3, 1), entry(5, 1)]] {
        assert!(matches!(
            log.commit(&[LogWrite::Append(1, bad)]),
            Err(StoreError::Gap { .. })
        ));
    }
    drop(log);
    let raw = rusqlite::Connection::open(tmp.path().join("raft.db")).unwrap();
    raw.execute("UPDATE log SET data=x'00' WHERE idx=2", []).unwrap();
    let e = LogDb::open(&dir, Durable::new()).unwrap_err();
    assert!(
        e.to_string().contains("entry 2 of region 1 has a wrong checksum"),
        "{e}"
    );
    raw.execute("DELETE FROM log WHERE idx=1", []).unwrap();
    let e = LogDb::open(&dir, Durable::new()).unwrap_err();
    assert!(e.to_string().contains("entry 2 where 1 is due"), "{e}");
}

#[test]
fn files_that_are_no_databases_are_refused() {
    for len in [10usize, 8192] {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("raft.db"), vec![b'x'; len]).unwrap();
        std::fs::write(tmp.path().join("kv.db"), vec![b'x'; len]).unwrap();
        let dir = StoreDir::open(tmp.path(), ME).unwrap();
        assert!(matches!(
            LogDb::open(&dir, Durable::new()),
            Err(StoreError::Sqlite { .. })
        ));
        assert!(matches!(
            KvDb::open(&dir, Durable::new()),
            Err(StoreError::Sqlite { .. })
        ));
    }
}

#[test]
fn after_a_failed_write_nothing_is_written() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = StoreDir::open(tmp.path(), ME).unwrap();
    let (mut log, _) = LogDb::open(&dir, Durable::new()).unwrap();
    let mut kv = kv(&dir);
    for db in ["raft.db", "kv.db"] {
        let other = rusqlite::Connection::open(tmp.path().join(db)).unwrap();
        other
            .execute_batch(
                "CREATE TRIGGER a BEFORE INSERT ON hard BEGIN SELECT RAISE(ABORT, 'no'); END;"
                    .replace("hard", if db == "kv.db" { "cf_raw" } else { "hard" })
                    .as_str(),
            )
            .unwrap();
    }
    let write = [LogWrite::State(
        1,
        HardState {
            term: 1,
            vote: 1,
            commit: 0,
        },
    )];
    assert!(matches!(log.commit(&write), Err(StoreError::Sqlite { .. })));
    assert!(matches!(log.commit(&[]), Err(StoreError::Stopped { .. })));
    let mut b = kv.begin().unwrap();
    assert!(b.modify(&Modify::Put(Cf::Raw, b"a".to_vec(), vec![])).is_err());
    assert!(matches!(b.commit(), Err(StoreError::Stopped { .. })));
    assert!(matches!(kv.begin().map(drop), Err(StoreError::Stopped { .. })));
    assert!(matches!(kv.checkpoint(), Err(StoreError::Stopped { .. })));
}

#[test]
fn a_batch_reads_itself_and_a_view_does_not() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = StoreDir::open(tmp.path(), ME).unwrap();
    let mut kv = kv(&dir);
    put(
        &mut kv,
        &[(Cf::Raw, b"a", b"1"), (Cf::Raw, b"b", b"2"), (Cf::Raw, b"c", b"3")],
        &state(1, b"", b"", 1),
    );
    let view = Readers::new(&dir, 2).view().unwrap();
    let mut b = kv.begin().unwrap();
    b.modify(&Modify::Delete(Cf::Raw, b"a".to_vec())).unwrap();
    assert_eq!(b.get(Cf::Raw, b"a").unwrap(), None);
    b.commit().unwrap();
    assert_eq!(view.get(Cf::Raw, b"a").unwrap(), Some(b"1".to_vec()));
    let back = view
        .scan(Cf::Raw, Range::new(b"a", b"c"), 9, Direction::Backward)
        .unwrap();
    assert_eq!(back, [(b"b".to_vec(), b"2".to_vec()), (b"a".to_vec(), b"1".to_vec())]);
    assert_eq!(
        view.scan(Cf::Raw, Range::new(b"b", b""), 1, Direction::Forward)
            .unwrap()
            .len(),
        1
    );
    // One that is dropped was nothing.
    let mut b = kv.begin().unwrap();
    b.modify(&Modify::DeleteRange(Cf::Raw, vec![], vec![])).unwrap();
    drop(b);
    assert_eq!(kv.begin().unwrap().get(Cf::Raw, b"c").unwrap(), Some(b"3".to_vec()));
    kv.check().unwrap();
}

fn pieces(dir: &Path, region: &Region, size: usize) -> Vec<Vec<u8>> {
    let dir = StoreDir::open(dir, ME).unwrap();
    let view = Readers::new(&dir, 1).view().unwrap();
    let mut export = Export::new(&view, region, size);
    std::iter::from_fn(|| export.next_piece().unwrap()).collect()
}

#[test]
fn a_region_moves_with_its_data_and_only_its_own() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s = state(4, b"b", b"m", 9);
    {
        let dir = StoreDir::open(from.path(), ME).unwrap();
        let mut kv = kv(&dir);
        let mut b = kv.begin().unwrap();
        for n in 0..600u32 {
            let key = [&b"b"[..], &n.to_be_bytes()].concat();
            b.modify(&Modify::Put(Cf::ALL[(n % 4) as usize], key, vec![n as u8; 30]))
                .unwrap();
        }
        b.modify(&Modify::Put(Cf::Raw, b"a".to_vec(), b"not mine".to_vec()))
            .unwrap();
        b.modify(&Modify::Put(Cf::Raw, b"m".to_vec(), b"not mine".to_vec()))
            .unwrap();
        b.commit().unwrap();
    }
    let good = pieces(from.path(), &s.region, 1000);
    assert!(good.len() > 10);
    let dir = StoreDir::open(to.path(), ME).unwrap();
    let mut kv = kv(&dir);
    put(
        &mut kv,
        &[(Cf::Raw, b"c-old", b"x"), (Cf::Raw, b"z", b"keep")],
        &state(9, b"", b"", 1),
    );
    let mut attempt = |all: &[Vec<u8>]| {
        let mut b = kv.begin().unwrap();
        install(&mut b, &s, all.iter().map(Vec::as_slice)).map(|()| b.commit().unwrap())
    };
    let mut cut = good.clone();
    cut.remove(3);
    assert!(matches!(attempt(&cut), Err(TransferError::Missing { wanted: 600, .. })));
    let mut torn = good.clone();
    torn[2][7] ^= 1;
    assert!(matches!(attempt(&torn), Err(TransferError::Checksum { piece: 2, .. })));
    assert!(matches!(
        attempt(&good[..good.len() - 1]),
        Err(TransferError::Missing { .. })
    ));
    attempt(&good).unwrap();
    let b = kv.begin().unwrap();
    assert_eq!(b.get(Cf::Raw, b"c-old").unwrap(), None);
    assert_eq!(b.get(Cf::Raw, b"z").unwrap(), Some(b"keep".to_vec()));
    assert_eq!(b.get(Cf::Raw, b"a").unwrap(), None);
    drop(b);
    drop(kv);
    drop(dir);
    assert_eq!(pieces(to.path(), &s.region, 1000), good);
}

/// What the log database should hold, kept the plain way.
#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<u64, RegionLog>);

impl Model {
    fn fix(&self, op: (u8, u64, u64, u64)) -> LogWrite {
        let (kind, region, a, term) = op;
        let log = self.0.get(&region).cloned().unwrap_or_default();
        let last = log.purged + log.entries.len() as u64;
        match kind {
            0..=3 => {
                let first = log.purged + 1 + a % (last - log.purged + 1);
                LogWrite::Append(region, (first..first + 1 + a % 4).map(|i| entry(i, term)).collect())
            }
            4 => LogWrite::State(
                region,
                HardState {
                    term,
                    vote: a,
                    commit: a,
                },
            ),
            5 => LogWrite::Reset(region, last + a, term),
            6 => LogWrite::Purge(region, log.purged + a % (last - log.purged + 1), term),
            _ => LogWrite::Forget(region),
        }
    }

    fn apply(&mut self, w: &LogWrite) {
        let log = |r: &u64, m: &mut BTreeMap<u64, RegionLog>| {
            m.entry(*r).or_insert_with(|| RegionLog {
                region: *r,
                ..RegionLog::default()
            });
        };
        match w {
            LogWrite::Append(r, all) => {
                log(r, &mut self.0);
                let l = self.0.get_mut(r).unwrap();
                l.entries.retain(|e| e.index < all[0].index);
                l.entries.extend(all.iter().cloned());
            }
            LogWrite::State(r, h) => {
                log(r, &mut self.0);
                self.0.get_mut(r).unwrap().hard = *h;
            }
            LogWrite::Reset(r, i, t) => {
                log(r, &mut self.0);
                let l = self.0.get_mut(r).unwrap();
                (l.purged, l.purged_term) = (*i, *t);
                l.entries.clear();
            }
            LogWrite::Purge(r, i, t) => {
                log(r, &mut self.0);
                let l = self.0.get_mut(r).unwrap();
                (l.purged, l.purged_term) = (*i, *t);
                l.entries.retain(|e| e.index > *i);
            }
            LogWrite::Forget(r) => {
                self.0.remove(r);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_log_is_what_was_written(batches in prop::collection::vec(
        prop::collection::vec((0u8..8, 1u64..4, 0u64..20, 1u64..9), 1..8), 1..12))
    {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StoreDir::open(tmp.path(), ME).unwrap();
        let durable = Durable::new();
        {
            // Everything counts as durable here, so that purges are allowed.
            let (mut kv, _) = KvDb::open(&dir, durable.clone()).unwrap();
            let mut b = kv.begin().unwrap();
            for r in 1..4 {
                b.put_region(&state(r, b"", b"", 1 << 40)).unwrap();
            }
            b.commit().unwrap();
            kv.checkpoint().unwrap();
        }
        let mut model = Model::default();
        let (mut log, _) = LogDb::open(&dir, durable.clone()).unwrap();
        for batch in batches {
            let mut writes = Vec::new();
            for op in batch {
                let w = model.fix(op);
                model.apply(&w);
                writes.push(w);
            }
            log.commit(&writes).unwrap();
            if writes.len() % 3 == 0 {
                log.checkpoint().unwrap();
            }
        }
        drop(log);
        let (_, logs) = LogDb::open(&dir, durable).unwrap();
        prop_assert_eq!(logs, model.0.into_values().collect::<Vec<_>>());
    }
}
