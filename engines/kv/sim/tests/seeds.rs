//! Many seeds, and proof that a broken promise is noticed.
//!
//! `QD_KV_SEEDS=10000` runs so many (from `QD_KV_SEED`, 1 unless it is set). A failing seed is in the message; running it
//! alone gives the same run.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use qd_kv_sim::{Mutation, Plan, Report, run};

/// Raft has checks of its own that end in a panic.
fn caught(seed: u64, plan: Plan) -> Result<Report, String> {
    match std::panic::catch_unwind(|| run(seed, plan)) {
        Ok(r) => r.map_err(|e| e.to_string()),
        Err(p) => Err(match p.downcast_ref::<String>() {
            Some(s) => format!("panic: {s}"),
            None => "panic".to_owned(),
        }),
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn what_must_hold_holds() {
    let (from, seeds) = (number("QD_KV_SEED", 1), number("QD_KV_SEEDS", 300));
    let mut all = Report::default();
    let mut wrong = Vec::new();
    for seed in from..from + seeds {
        match caught(seed, Plan::default()) {
            Ok(r) => {
                all.operations += r.operations;
                all.transfers += r.transfers;
                all.audits += r.audits;
                all.resolved += r.resolved;
                all.crashes += r.crashes;
                all.elections += r.elections;
                all.splits += r.splits;
                all.changes += r.changes;
                all.snapshots += r.snapshots;
                all.unclear += r.unclear;
            }
            Err(e) => wrong.push(format!("seed {seed}: {e}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {seeds} seeds:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{seeds} seeds: {all:?}");
    // A storm in which nothing happens shows nothing.
    if seeds >= 100 {
        for (what, n) in [
            ("operations", all.operations / 40),
            ("transfers", all.transfers / 3),
            ("audits", all.audits / 2),
            ("locks that others resolved", all.resolved),
            ("crashes", all.crashes),
            ("elections", all.elections / 5),
            ("splits", all.splits),
            ("changes of peers", all.changes),
            ("snapshots", all.snapshots),
        ] {
            assert!(n * 2 >= seeds, "too few {what} in {seeds} seeds: {all:?}");
        }
        assert!(all.unclear * 20 <= seeds, "{all:?}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 1..4 {
        assert_eq!(run(seed, Plan::default()), run(seed, Plan::default()));
    }
}

fn is_caught(mutation: Mutation) {
    let plan = Plan {
        mutation,
        ..Plan::default()
    };
    let first = (1..=300).find_map(|seed| caught(seed, plan).err().map(|e| (seed, e)));
    let (seed, e) = first.expect("nobody noticed");
    let mut what = e;
    what.truncate(200);
    println!("{mutation:?} is noticed with seed {seed}: {what}");
}

#[test]
fn a_dropped_sync_is_noticed() {
    is_caught(Mutation::DropSync);
}

#[test]
fn an_acknowledgement_before_the_write_is_noticed() {
    is_caught(Mutation::EarlyAck);
}

#[test]
fn a_read_without_a_question_is_noticed() {
    is_caught(Mutation::SkipReadIndex);
}

#[test]
fn a_timestamp_that_comes_twice_is_noticed() {
    is_caught(Mutation::ReuseTimestamps);
}
