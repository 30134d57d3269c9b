//! The parts beside the steps: timestamps, latches, waiting.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use qd_kv_model::Ts;
use qd_kv_txn::{Cycle, Latches, Lock, LockKind, Oracle, OracleError, WaitGraph, Write, WriteKind};

#[test]
fn timestamps_grow_over_restarts_and_clocks_that_go_back() {
    let mut disk = 0;
    let mut last = Ts::ZERO;
    let mut now = 1_700_000_000_000u64;
    for life in 0..50u64 {
        let mut o = Oracle::new(disk);
        assert_eq!(
            o.next(now, 1),
            Err(OracleError::Bound),
            "nothing is given before the promise is on disk"
        );
        for n in 0..40u64 {
            now = match (life + n) % 7 {
                0 => now.saturating_sub(3_600_000),
                1 => now + 5_000,
                _ => now + n,
            };
            if let Some(bound) = o.wants(now) {
                disk = bound;
                o.persisted(bound);
            }
            let count = 1 + n * 700 % 250_000;
            let ts = o.next(now, count).unwrap();
            assert!(ts.0 - count + 1 > last.0, "life {life}, {n}: {ts} after {last}");
            assert!(ts.physical_ms() < disk);
            last = ts;
        }
        // The process ends at once; what is on disk is all there is.
    }
    assert_eq!(Oracle::new(0).next(0, 0), Err(OracleError::TooMany(0)));
    assert_eq!(Oracle::new(0).next(0, 1 << 18), Err(OracleError::TooMany(1 << 18)));
}

#[test]
fn a_counter_that_is_full_goes_into_the_next_millisecond() {
    let mut o = Oracle::new(0);
    o.persisted(1_000);
    let a = o.next(5, 200_000).unwrap();
    let b = o.next(5, 200_000).unwrap();
    assert_eq!((a.physical_ms(), b.physical_ms()), (5, 6));
    // And never beyond the promise.
    let mut o = Oracle::new(0);
    o.persisted(6);
    o.next(5, 200_000).unwrap();
    assert_eq!(o.next(5, 200_000), Err(OracleError::Bound));
}

#[test]
fn steps_of_the_same_keys_take_turns() {
    let mut l = Latches::new(256);
    let (a, b): (&[&[u8]], &[&[u8]]) = (&[b"x", b"y"], &[b"y", b"z"]);
    assert!(l.acquire(1, a));
    assert!(!l.acquire(2, b));
    assert!(!l.acquire(3, a));
    assert!(l.acquire(4, &[b"somewhere else"]));
    assert_eq!(
        l.release(1, a)
            .into_iter()
            .filter(|i| *i == 2 && l.has_turn(2, b))
            .count(),
        1
    );
    assert!(!l.has_turn(3, a));
    l.release(2, b);
    assert!(l.has_turn(3, a));
}

#[test]
fn whoever_closes_a_circle_is_told() {
    let mut g = WaitGraph::new(10);
    g.wait(Ts(1), Ts(2), b"a").unwrap();
    g.wait(Ts(2), Ts(3), b"b").unwrap();
    let e = g.wait(Ts(3), Ts(1), b"c").unwrap_err();
    assert_eq!(
        e,
        Cycle(vec![
            (Ts(3), Ts(1), b"c".to_vec()),
            (Ts(1), Ts(2), b"a".to_vec()),
            (Ts(2), Ts(3), b"b".to_vec())
        ])
    );
    g.done(Ts(1), Ts(2), b"a");
    g.wait(Ts(3), Ts(1), b"c").unwrap();
    assert_eq!(g.len(), 2);
    g.forget(Ts(3));
    g.forget(Ts(2));
    assert!(g.is_empty());
    let mut full = WaitGraph::new(0);
    assert!(full.wait(Ts(1), Ts(2), b"a").is_err());
}

#[test]
fn records_come_back_and_every_cut_is_refused() {
    let lock = Lock {
        kind: LockKind::Put,
        primary: b"primary".to_vec(),
        start_ts: Ts(1 << 40),
        ttl: 3000,
        value: Some(b"v".to_vec()),
        for_update_ts: Ts(7),
        txn_size: 2,
        min_commit_ts: Ts(9),
        secondaries: Some(vec![b"s1".to_vec(), vec![]]),
    };
    let bytes = lock.encode();
    assert_eq!(Lock::decode(&bytes).unwrap(), lock);
    for n in 0..bytes.len() {
        assert!(Lock::decode(&bytes[..n]).is_err());
    }
    for value in [None, Some(vec![]), Some(vec![1; 200])] {
        for hides_rollback in [false, true] {
            let w = Write {
                kind: WriteKind::Put,
                start_ts: Ts(300),
                value: value.clone(),
                hides_rollback,
            };
            assert_eq!(Write::decode(&w.encode()).unwrap(), w);
        }
    }
    assert!(Write::decode(&[5, 1]).is_err());
}
