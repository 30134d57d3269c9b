//! Transforms that remember keep within their bounds, however many keys come.

use super::*;

/// As many different keys as these transforms remember at the most.
const MANY: usize = 100_000;

fn keys(range: std::ops::Range<usize>) -> Vec<Batch> {
    let numbers: Vec<usize> = range.collect();
    numbers
        .chunks(1000)
        .map(|c| logs(c.iter().map(|n| json!({"k": format!("key{n}")}))))
        .collect()
}

fn passed(t: &mut Box<dyn Transform>, batches: Vec<Batch>) -> usize {
    let out = batches.into_iter().flat_map(|b| run(t, b));
    out.map(|(_, b)| b.len()).sum()
}

#[test]
fn throttle_forgets_the_oldest_of_too_many_keys() {
    let config = json!({"threshold": 1, "window_secs": 100_000, "key_field": "{{ k }}",
        "internal_metrics": {"emit_events_discarded_per_key": true}});
    let (mut t, cx) = build("throttle", config);
    assert_eq!(passed(&mut t, keys(0..MANY)), MANY);
    assert_eq!(
        passed(&mut t, keys(0..2000)),
        0,
        "all are remembered while they are not too many"
    );
    // Each that is discarded has a counter of its own, but no more than a thousand have.
    let counters = cx.telemetry.read();
    let counters = counters.iter().filter(|(n, ..)| *n == "events_discarded_total").count();
    assert!(counters <= 1000, "{counters}");
    assert_eq!(passed(&mut t, keys(MANY..MANY + 1000)), 1000);
    assert_eq!(passed(&mut t, keys(0..1000)), 1000, "the oldest are forgotten");
    assert_eq!(passed(&mut t, keys(MANY..MANY + 1000)), 0, "the newest are not");
}

#[test]
fn reduce_lets_the_older_groups_out_when_they_are_too_many() {
    let (mut t, cx) = build("reduce", json!({"group_by": ["k"], "expire_after_ms": 100_000_000}));
    assert_eq!(passed(&mut t, keys(0..MANY)), 0);
    let early = passed(&mut t, keys(MANY..MANY + 1000));
    assert!(early >= MANY / 3, "{early}");
    assert_eq!(count(&cx, "reduce_early_flushes_total"), 1);
    assert_eq!(early + ended(&mut t).len(), MANY + 1000, "none is lost");
}

#[test]
fn reduce_is_bounded_by_bytes_too() {
    let (mut t, cx) = build(
        "reduce",
        json!({"group_by": ["k"], "merge_strategies": {"text": "concat_newline"}}),
    );
    let text = "x".repeat(1 << 20);
    let mut early = 0;
    for n in 0..300 {
        early += passed(&mut t, vec![logs([json!({"k": n % 10, "text": text})])]);
    }
    assert!(early > 0 && count(&cx, "reduce_early_flushes_total") > 0);
}

#[test]
fn dedupe_remembers_as_many_as_it_was_told() {
    let (mut t, _) = build(
        "dedupe",
        json!({"fields": {"match": ["k"]}, "cache": {"num_events": 1000}}),
    );
    assert_eq!(passed(&mut t, keys(0..20_000)), 20_000);
    assert_eq!(passed(&mut t, keys(19_000..20_000)), 0);
    assert_eq!(passed(&mut t, keys(0..1000)), 1000);
}

#[test]
fn sample_counts_a_bounded_number_of_groups() {
    let (mut t, _) = build("sample", json!({"rate": 2, "group_by": "{{ k }}"}));
    // The first of each group passes, the second does not; of more groups than it counts all are new again.
    let first = passed(&mut t, keys(0..MANY));
    let again = passed(&mut t, keys(0..1000));
    assert_eq!((first, again), (MANY, 0));
    assert_eq!(passed(&mut t, keys(MANY..MANY + 1000)), 1000);
}
