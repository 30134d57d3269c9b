//! Changing a running pipeline.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod kit;

use std::sync::{Arc, atomic::Ordering};

use kit::{Build, Collect, Does, Feed, Verdicts, batch, plan, until};
use proptest::prelude::*;
use qd_logs::{Error, Options, Pipeline, Plan};
use qd_logs_model::{Delivery, Resource};

fn checked(mut plan: Plan) -> Plan {
    plan.check().unwrap();
    plan
}

/// One configuration of the storm: which transforms stand between the source and the sink, and which sinks come and go.
#[derive(Debug, Clone)]
struct Variant {
    first: u8,
    second: Option<u8>,
    extra: Option<i64>,
    buffer: usize,
    fails: bool,
}

fn variant() -> impl Strategy<Value = Variant> {
    (
        0u8..4,
        prop::option::of(0u8..3),
        prop::option::of(0i64..3),
        1usize..2000,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(first, second, extra, buffer, fails)| Variant {
            first,
            second,
            extra,
            buffer,
            fails,
        })
}

fn does(n: u8) -> Does {
    match n {
        0 => Does::Pass,
        1 => Does::Hold,
        _ => Does::HoldAndTick,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Reload after reload, while numbers flow: through an unchanged source and sink each comes once.
    #[test]
    fn a_storm_of_reloads_loses_and_doubles_nothing(variants in prop::collection::vec(variant(), 1..12)) {
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        rt.block_on(async {
            let feed = Feed::new();
            let out = Collect::default();
            let verdicts = Verdicts::default();
            let make = |v: &Variant| {
                let mut p = plan()
                    .source("in", 0, feed.clone())
                    .transform("first", i64::from(v.first), does(v.first), &["in"]);
                let last = match v.second {
                    Some(n) => {
                        p = p.transform("second", i64::from(n), does(n), &["first"]);
                        "second"
                    }
                    None => "first",
                };
                if v.fails {
                    p = p.transform("bad", 0, Does::Refuse, &["in"]);
                }
                p = p.sink("out", 0, out.clone(), &[last]).buffer("out", &format!(r#"{{"max_events": {}}}"#, v.buffer));
                if let Some(version) = v.extra {
                    p = p.sink("extra", version, Collect::default(), &["in", "first"]);
                }
                checked(p)
            };
            let first = Variant { first: 0, second: None, extra: None, buffer: 500, fails: false };
            let pipeline = Pipeline::start(make(&first), Options::default()).await.unwrap();
            let mut next = 0;
            let mut key = 0;
            for v in &variants {
                for n in [1, 300, 1000] {
                    feed.give(verdicts.on(batch(next..next + n), key));
                    next += n;
                    key += 1;
                }
                let result = pipeline.reload(make(v)).await;
                assert_eq!(result.is_err(), v.fails, "{result:?}");
                if let Ok(changes) = result {
                    assert!(changes.kept.contains(&"in".to_owned()) && changes.kept.contains(&"out".to_owned()));
                }
            }
            feed.end();
            pipeline.wait().await.unwrap();
            assert_eq!(out.sorted(), (0..next).collect::<Vec<_>>());
            assert_eq!((feed.built.load(Ordering::Acquire), out.built.load(Ordering::Acquire)), (1, 1));
            until(|| verdicts.count() == key as usize).await;
            assert!(verdicts.0.lock().iter().all(|(_, d)| *d == Delivery::Delivered));
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_sink_takes_over_what_is_in_the_buffer() {
    let feed = Feed::new();
    let (stuck, gate) = Collect::gated();
    let make = |version, sink: &Collect| {
        checked(
            plan()
                .source("in", 0, feed.clone())
                .sink("out", version, sink.clone(), &["in"]),
        )
    };
    let pipeline = Pipeline::start(make(0, &stuck), Options::default()).await.unwrap();
    for i in 0..4 {
        feed.give(batch(i * 100..i * 100 + 100));
    }
    until(|| pipeline.snapshot().component("in").unwrap().events_out == 400).await;
    let second = Collect::default();
    let changes = pipeline.reload(make(1, &second)).await.unwrap();
    assert_eq!(
        (changes.changed, changes.kept),
        (vec!["out".to_owned()], vec!["in".to_owned()])
    );
    feed.give(batch(400..500));
    gate.add_permits(1);
    feed.end();
    pipeline.wait().await.unwrap();
    let mut all = stuck.sorted();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    all.extend(second.sorted());
    assert_eq!(all, (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_source_goes_on_where_its_predecessor_ended() {
    let feed = Feed::new();
    let out = Collect::default();
    let make = |version| {
        checked(
            plan()
                .source("in", version, feed.clone())
                .sink("out", 0, out.clone(), &["in"]),
        )
    };
    let pipeline = Pipeline::start(make(0), Options::default()).await.unwrap();
    for version in 1..10 {
        feed.give(batch(version * 10..version * 10 + 10));
        pipeline.reload(make(version)).await.unwrap();
    }
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(out.sorted(), (10..100).collect::<Vec<_>>());
    assert_eq!(out.built.load(Ordering::Acquire), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_leaves_the_old_pipeline_at_work() {
    let port = || Some(Resource::Tcp("127.0.0.1:9".into()));
    let feed = Feed {
        resource: port(),
        ..Feed::new()
    };
    let out = Collect {
        resource: Some(Resource::Path("/x".into())),
        ..Collect::default()
    };
    let p = plan()
        .source("in", 0, feed.clone())
        .sink("out", 0, out.clone(), &["in"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    feed.give(batch(0..10));
    // The new source wants the old one's port, so the old one has ended when the new one refuses.
    let refusing = Feed {
        resource: port(),
        ..Feed::new()
    };
    refusing.refuse.store(true, Ordering::Release);
    let p = plan()
        .source("other", 0, refusing)
        .sink("out", 1, out.clone(), &["other"]);
    let error = pipeline.reload(checked(p)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Build { component, .. } if component == "other"),
        "{error}"
    );
    assert_eq!(feed.built.load(Ordering::Acquire), 2, "the old source was made again");
    feed.give(batch(10..20));
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(out.sorted(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_sink_drains_and_is_forgotten() {
    let feed = Feed::new();
    let (kept, gone) = (Collect::default(), Collect::default());
    let both = plan()
        .source("in", 0, feed.clone())
        .sink("kept", 0, kept.clone(), &["in"])
        .sink("gone", 0, gone.clone(), &["in"]);
    let pipeline = Pipeline::start(checked(both), Options::default()).await.unwrap();
    feed.give(batch(0..10));
    until(|| pipeline.snapshot().component("in").unwrap().events_out == 10).await;
    let changes = pipeline
        .reload(checked(plan().source("in", 0, feed.clone()).sink(
            "kept",
            0,
            kept.clone(),
            &["in"],
        )))
        .await
        .unwrap();
    assert_eq!(changes.removed, ["gone"]);
    until(|| gone.seen.lock().len() == 10).await;
    let known = |id: &str| {
        pipeline
            .telemetry()
            .read()
            .iter()
            .any(|(_, l, _)| l.get("component_id").is_some_and(|c| c == id))
    };
    until(|| !known("gone")).await;
    assert!(known("kept"));
    feed.give(batch(10..20));
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!((kept.seen.lock().len(), gone.seen.lock().len()), (20, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buffer_moves_from_memory_to_disk_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::new();
    let (out, gate) = Collect::gated();
    let make = |buffer: &str| {
        let mut p = plan()
            .source("in", 0, feed.clone())
            .sink("out", 0, out.clone(), &["in"])
            .buffer("out", buffer);
        p.globals = Arc::new(kit::globals(dir.path().into()));
        checked(p)
    };
    let memory = r#"{"max_events": 100000}"#;
    let disk = r#"{"type": "disk", "max_size": 268435488}"#;
    let pipeline = Pipeline::start(make(memory), Options::default()).await.unwrap();
    for (i, buffer) in [disk, memory].into_iter().enumerate() {
        let first = i as i64 * 30;
        for n in 0..3 {
            feed.give(batch(first + n * 10..first + n * 10 + 10));
        }
        until(|| pipeline.snapshot().component("in").unwrap().events_out == first as u64 + 30).await;
        gate.add_permits(1);
        pipeline.reload(make(buffer)).await.unwrap();
    }
    gate.add_permits(100);
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(out.sorted(), (0..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_takes_the_place_of_another_is_made_after_its_end_and_the_old_one_comes_back() {
    let held = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let feed = Feed {
        exclusive: Some(held.clone()),
        ..Feed::new()
    };
    let out = Collect::default();
    let make = |version, feed: &Feed| {
        checked(
            plan()
                .source("in", version, feed.clone())
                .sink("out", 0, out.clone(), &["in"]),
        )
    };
    let pipeline = Pipeline::start(make(0, &feed), Options::default()).await.unwrap();
    feed.give(batch(0..10));
    let changes = pipeline.reload(make(1, &feed)).await.unwrap();
    assert_eq!(changes.changed, ["in"]);
    feed.give(batch(10..20));
    // One that cannot be made at all: its predecessor goes on.
    let broken = feed.clone();
    let refusing = Feed {
        refuse: Arc::new(std::sync::atomic::AtomicBool::new(true)),
        ..broken
    };
    let error = pipeline.reload(make(2, &refusing)).await.unwrap_err();
    assert!(error.to_string().contains("refused on purpose"), "{error}");
    feed.give(batch(20..30));
    assert!(held.load(Ordering::Acquire));
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(out.sorted(), (0..30).collect::<Vec<_>>());
    assert_eq!(feed.built.load(Ordering::Acquire), 3);
}

/// Fifty reloads while numbers flow by two ways: one where nothing changes, one where source, transform and sink do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_traffic_lose_nothing_and_double_nothing() {
    const PIECE: i64 = 20;
    let still = Feed {
        exclusive: Some(Arc::default()),
        ..Feed::new()
    };
    let moving = Feed {
        exclusive: Some(Arc::default()),
        threads: true,
        ..Feed::new()
    };
    let (kept, changed) = (Collect::default(), Collect::default());
    let make = |version: i64| {
        let mut p = plan()
            .source("still", 0, still.clone())
            .source("moving", version / 2, moving.clone())
            .transform("pass", 0, Does::HoldAndTick, &["still"])
            .transform("other", version / 3, does((version % 3) as u8), &["moving"])
            .sink("kept", 0, kept.clone(), &["pass"])
            .sink("changed", version, changed.clone(), &["other"]);
        if version % 5 == 4 {
            p = p.transform("bad", 0, Does::Refuse, &["still"]);
        }
        checked(p)
    };
    let pipeline = Pipeline::start(make(0), Options::default()).await.unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let traffic = {
        let (still, moving, stop) = (still.clone(), moving.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut next = 0;
            while !stop.load(Ordering::Acquire) {
                still.give(batch(next..next + PIECE));
                moving.give(batch(next..next + PIECE));
                next += PIECE;
                std::thread::yield_now();
                // The feeds are not bounded; the pipeline sets the pace.
                while still.queued() + moving.queued() > 100 && !stop.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
            next
        })
    };
    for version in 1..=50 {
        let before = kept.seen.lock().len();
        let result = pipeline.reload(make(version)).await;
        assert_eq!(result.is_err(), version % 5 == 4, "{version}: {result:?}");
        until(|| kept.seen.lock().len() > before).await;
    }
    stop.store(true, Ordering::Release);
    let sent = traffic.join().unwrap();
    still.end();
    moving.end();
    pipeline.wait().await.unwrap();
    let all: Vec<i64> = (0..sent).collect();
    assert!(
        kept.sorted() == all,
        "{} of {sent} by the way that stays",
        kept.seen.lock().len()
    );
    assert!(
        changed.sorted() == all,
        "{} of {sent} by the way that changes",
        changed.seen.lock().len()
    );
    assert_eq!(
        (still.built.load(Ordering::Acquire), kept.built.load(Ordering::Acquire)),
        (1, 1)
    );
    assert!(moving.built.load(Ordering::Acquire) > 10);
}
