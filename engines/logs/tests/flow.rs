//! Events through pipelines: all of them, once, to where they belong.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod kit;

use std::{sync::Arc, time::Duration};

use kit::{Build, Collect, Does, Feed, Verdicts, batch, plan, until};
use proptest::prelude::*;
use qd_logs::{Error, Options, Pipeline, Plan, TapRequest};
use qd_logs_model::{Delivery, Resource};

fn checked(mut plan: Plan) -> Plan {
    plan.check().unwrap();
    plan
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Which of the components before it each transform and sink reads, as random numbers.
#[derive(Debug, Clone)]
struct Shape {
    sources: usize,
    transforms: Vec<(Vec<prop::sample::Index>, u8)>,
    sinks: Vec<Vec<prop::sample::Index>>,
    batches: Vec<(prop::sample::Index, u16)>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let inputs = || prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    (
        1usize..4,
        prop::collection::vec((inputs(), 0u8..3), 0..6),
        prop::collection::vec(inputs(), 1..4),
        prop::collection::vec((any::<prop::sample::Index>(), 1u16..1200), 0..12),
    )
        .prop_map(|(sources, transforms, sinks, batches)| Shape {
            sources,
            transforms,
            sinks,
            batches,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_event_reaches_every_sink_once_a_path_and_is_answered_once(shape in shape()) {
        let feeds: Vec<Feed> = (0..shape.sources).map(|_| Feed::new()).collect();
        let mut p = plan();
        // By component: how many paths lead there from each source.
        let mut names = Vec::new();
        let mut paths: Vec<Vec<u64>> = Vec::new();
        for (i, f) in feeds.iter().enumerate() {
            p = p.source(&format!("in{i}"), 0, f.clone());
            names.push(format!("in{i}"));
            paths.push((0..shape.sources).map(|j| u64::from(i == j)).collect());
        }
        let pick = |names: &[String], paths: &[Vec<u64>], from: &[prop::sample::Index]| {
            let mut at: Vec<usize> = from.iter().map(|x| x.index(names.len())).collect();
            at.sort_unstable();
            at.dedup();
            let sum: Vec<u64> = (0..shape.sources).map(|s| at.iter().map(|i| paths[*i][s]).sum()).collect();
            (at.iter().map(|i| names[*i].clone()).collect::<Vec<_>>(), sum)
        };
        for (i, (from, does)) in shape.transforms.iter().enumerate() {
            let (inputs, sum) = pick(&names, &paths, from);
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let does = match does { 0 => Does::Pass, 1 => Does::Hold, _ => Does::HoldAndTick };
            p = p.transform(&format!("t{i}"), 0, does, &inputs);
            names.push(format!("t{i}"));
            paths.push(sum);
        }
        let mut sinks = Vec::new();
        for (i, from) in shape.sinks.iter().enumerate() {
            let (inputs, sum) = pick(&names, &paths, from);
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let sink = Collect::default();
            p = p.sink(&format!("out{i}"), 0, sink.clone(), &inputs);
            sinks.push((sink, sum));
        }
        let verdicts = Verdicts::default();
        let mut sent: Vec<(usize, i64)> = Vec::new();
        let mut next = 0;
        for (b, (source, n)) in shape.batches.iter().enumerate() {
            let s = source.index(shape.sources);
            let numbers = next..next + i64::from(*n);
            next = numbers.end;
            sent.extend(numbers.clone().map(|n| (s, n)));
            feeds[s].give(verdicts.on(batch(numbers), b as i64));
        }
        feeds.iter().for_each(Feed::end);
        runtime().block_on(async {
            let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
            pipeline.wait().await.unwrap();
            let shot = pipeline.snapshot();
            let total: u64 = shot.components.iter().filter(|c| &c.id[..2] == "in").map(|c| c.events_out).sum();
            assert_eq!(total, sent.len() as u64);
        });
        for (sink, sum) in sinks {
            let mut expected: Vec<i64> = sent.iter().flat_map(|(s, n)| std::iter::repeat_n(*n, sum[*s] as usize)).collect();
            expected.sort_unstable();
            prop_assert_eq!(sink.sorted(), expected);
        }
        let mut answered = verdicts.0.lock().clone();
        answered.sort_by_key(|(b, _)| *b);
        let all: Vec<_> = (0..shape.batches.len() as i64).map(|b| (b, Delivery::Delivered)).collect();
        prop_assert_eq!(answered, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_of_two_loses_nothing_and_holds_the_source_up() {
    let feed = Feed::new();
    let (slow, gate) = Collect::gated();
    let fast = Collect::default();
    let p = plan()
        .source("in", 0, feed.clone())
        .sink("slow", 0, slow.clone(), &["in"])
        .sink("fast", 0, fast.clone(), &["in"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    let verdicts = Verdicts::default();
    for i in 0..50 {
        feed.give(verdicts.on(batch(i * 100..i * 100 + 100), i));
    }
    // The slow one has one batch, its buffer five, and one waits for room: the fast one has all of these.
    until(|| fast.seen.lock().len() == 700).await;
    let shot = pipeline.snapshot();
    let buffer = shot.component("slow").unwrap().buffer.unwrap();
    assert_eq!((buffer.events, buffer.unfinished), (500, 100));
    assert_eq!(shot.component("in").unwrap().events_out, 700);
    assert_eq!(
        verdicts.count(),
        0,
        "nothing is delivered while one of two sinks has not"
    );
    gate.add_permits(50);
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(*slow.seen.lock(), (0..5000).collect::<Vec<_>>());
    assert_eq!(*fast.seen.lock(), (0..5000).collect::<Vec<_>>());
    assert_eq!(verdicts.count(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_newest_drops_what_does_not_fit_and_counts_it() {
    let feed = Feed::new();
    let (sink, gate) = Collect::gated();
    let p = plan()
        .source("in", 0, feed.clone())
        .sink("out", 0, sink.clone(), &["in"])
        .buffer("out", r#"{"max_events": 250, "when_full": "drop_newest"}"#);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    feed.give(batch(0..100));
    until(|| pipeline.snapshot().component("out").unwrap().buffer.unwrap().unfinished == 100).await;
    for i in 1..5 {
        feed.give(batch(i * 100..i * 100 + 100));
    }
    feed.end();
    until(|| pipeline.snapshot().component("out").unwrap().buffer.unwrap().dropped == 150).await;
    gate.add_permits(10);
    pipeline.wait().await.unwrap();
    assert_eq!(*sink.seen.lock(), (0..350).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overflow_goes_to_the_next_stage() {
    let feed = Feed::new();
    let (sink, gate) = Collect::gated();
    let p = plan()
        .source("in", 0, feed.clone())
        .sink("out", 0, sink.clone(), &["in"])
        .buffer(
            "out",
            r#"[{"max_events": 100, "when_full": "overflow"}, {"max_events": 10000}]"#,
        );
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    for i in 0..20 {
        feed.give(batch(i * 100..i * 100 + 100));
    }
    until(|| pipeline.snapshot().component("in").unwrap().events_out == 2000).await;
    gate.add_permits(1000);
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(sink.sorted(), (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn cycles_missing_inputs_and_shared_resources_are_refused() {
    let says = |p: Plan| {
        let mut p = p;
        let errors = p.check().unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let p = plan()
        .source("in", 0, Feed::new())
        .transform("a", 0, Does::Pass, &["in", "c"])
        .transform("b", 0, Does::Pass, &["a"])
        .transform("c", 0, Does::Pass, &["b"])
        .sink("out", 0, Collect::default(), &["c"]);
    let text = says(p);
    assert!(text.contains("circle") && text.contains("a -> b -> c"), "{text}");
    let p = plan()
        .source("in", 0, Feed::new())
        .sink("out", 0, Collect::default(), &["inn"]);
    assert!(says(p).contains("nothing puts out `inn`"));
    let held = |address: &str| Feed {
        resource: Some(Resource::Tcp(address.into())),
        ..Feed::new()
    };
    let p = plan()
        .source("a", 0, held("0.0.0.0:514"))
        .source("b", 0, held("127.0.0.1:514"))
        .sink("out", 0, Collect::default(), &["a", "b"]);
    assert!(says(p).contains("both want the TCP address"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_fails_stops_the_pipeline_and_is_named() {
    let feed = Feed::new();
    let broken = Collect {
        fails: true,
        ..Collect::default()
    };
    let p = plan().source("in", 0, feed.clone()).sink("broken", 0, broken, &["in"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    let verdicts = Verdicts::default();
    feed.give(verdicts.on(batch(0..3), 0));
    let error = pipeline.wait().await.unwrap_err();
    assert!(
        matches!(&*error, Error::Failed { component, .. } if component == "broken"),
        "{error}"
    );
    assert_eq!(*verdicts.0.lock(), [(0, Delivery::Errored)]);

    let feed = Feed::new();
    let p = plan()
        .source("in", 0, feed.clone())
        .transform("wild", 0, Does::Panic, &["in"])
        .sink("out", 0, Collect::default(), &["wild"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    let verdicts = Verdicts::default();
    feed.give(verdicts.on(batch(0..3), 0));
    let error = pipeline.wait().await.unwrap_err();
    assert!(
        matches!(&*error, Error::Panicked { component, .. } if component == "wild"),
        "{error}"
    );
    assert_eq!(*verdicts.0.lock(), [(0, Delivery::Errored)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_drains_and_its_deadline_counts_what_is_lost() {
    let feed = Feed::new();
    let sink = Collect::default();
    let p = plan()
        .source("in", 0, feed.clone())
        .transform("hold", 0, Does::Hold, &["in"])
        .sink("out", 0, sink.clone(), &["hold"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    feed.give(batch(0..10));
    until(|| pipeline.snapshot().component("hold").unwrap().events_in == 10).await;
    let report = pipeline.stop().await;
    assert_eq!((report.lost_events(), report.late.len()), (0, 0));
    assert_eq!(*sink.seen.lock(), (0..10).collect::<Vec<_>>());

    let feed = Feed::new();
    let (stuck, _gate) = Collect::gated();
    let p = plan().source("in", 0, feed.clone()).sink("stuck", 0, stuck, &["in"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    let verdicts = Verdicts::default();
    feed.give(verdicts.on(batch(0..10), 0));
    feed.give(verdicts.on(batch(10..30), 1));
    until(|| pipeline.snapshot().component("stuck").unwrap().buffer.unwrap().events == 20).await;
    let report = pipeline.stop_within(Duration::from_millis(50)).await;
    assert_eq!(report.late, ["stuck"]);
    assert_eq!(report.lost, [("stuck".to_owned(), 30)]);
    until(|| verdicts.count() == 2).await;
    assert!(verdicts.0.lock().iter().all(|(_, d)| *d == Delivery::Errored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_sees_what_passes_and_never_holds_it_up() {
    let feed = Feed::new();
    let sink = Collect::default();
    let p = plan()
        .source("in", 0, feed.clone())
        .transform("route", 0, Does::Route, &["in"])
        .sink("out", 0, sink.clone(), &["route", "route.odd"]);
    let pipeline = Pipeline::start(checked(p), Options::default()).await.unwrap();
    let odd = pipeline.tap(TapRequest {
        outputs_of: vec!["route.odd".into()],
        limit: 3,
        interval: Duration::from_secs(3600),
        ..TapRequest::default()
    });
    let before = pipeline.tap(TapRequest {
        outputs_of: Vec::new(),
        inputs_of: vec!["rou*".into()],
        limit: 1000,
        ..TapRequest::default()
    });
    feed.give(batch(0..100));
    feed.end();
    pipeline.wait().await.unwrap();
    let mut seen = Vec::new();
    while let Some(e) = odd.next().await {
        assert_eq!(e.output.to_string(), "route.odd");
        seen.push(e.value.to_string());
    }
    assert_eq!(seen, ["1", "3", "5"]);
    assert_eq!(odd.missed(), 47);
    let mut n = 0;
    while let Some(e) = before.next().await {
        assert_eq!(&*e.output.component, "in");
        n += 1;
    }
    assert_eq!(n, 100);
    assert_eq!(sink.sorted(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unhealthy_sink_ends_the_start_only_if_that_is_asked_for() {
    let make = |require| {
        let sink = Collect {
            unhealthy: true,
            ..Collect::default()
        };
        let feed = Feed::new();
        feed.end();
        let mut p = plan().source("in", 0, feed).sink("out", 0, sink, &["in"]);
        p.require_healthy = require;
        checked(p)
    };
    let error = Pipeline::start(make(true), Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unhealthy { component, .. } if component == "out"));
    Pipeline::start(make(false), Options::default())
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_buffer_carries_events_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let max = 2 * 128 * 1024 * 1024 + 32;
    let buffer = format!(r#"{{"type": "disk", "max_size": {max}}}"#);
    let start = |feed: &Feed, sink: &Collect| {
        let mut p = plan()
            .source("in", 0, feed.clone())
            .sink("out", 0, sink.clone(), &["in"])
            .buffer("out", &buffer);
        p.globals = Arc::new(kit::globals(dir.path().into()));
        Pipeline::start(checked(p), Options::default())
    };
    let mut feed = Feed::new();
    feed.threads = true;
    let (stuck, gate) = Collect::gated();
    let pipeline = start(&feed, &stuck).await.unwrap();
    let verdicts = Verdicts::default();
    for i in 0..10 {
        feed.give(verdicts.on(batch(i * 10..i * 10 + 10), i));
    }
    until(|| verdicts.count() == 10).await;
    gate.add_permits(3);
    until(|| stuck.seen.lock().len() == 30).await;
    let report = pipeline.stop_within(Duration::from_millis(50)).await;
    assert_eq!(report.late, ["out"]);
    assert_eq!(report.kept, [("out".to_owned(), 70)], "{report:?}");
    assert_eq!(report.lost_events(), 0, "{report:?}");

    let sink = Collect::default();
    let feed = Feed::new();
    let mut pipeline = start(&feed, &sink).await;
    while matches!(pipeline, Err(Error::Buffer { .. })) {
        // The aborted sink's files are closed a moment after the stop.
        pipeline = start(&feed, &sink).await;
    }
    let pipeline = pipeline.unwrap();
    feed.give(batch(100..105));
    feed.end();
    pipeline.wait().await.unwrap();
    assert_eq!(*sink.seen.lock(), (30..105).collect::<Vec<_>>());
}
