//! The sinks `blackhole`, `pane` and `sqlite`.

use qd_core::{Overflow, Severity, Value};
use qd_logs_local::pane::Hub;
use qd_logs_model::Delivery;
use serde_json::json;

use crate::{batch, build, context, counter, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_blackhole_takes_everything() {
    let sink = start("blackhole", json!({})).await;
    assert_eq!(
        sink.deliver(batch([json!({"a": 1}), json!({"a": 2})])).await,
        Delivery::Delivered
    );
    let cx = sink.end().await;
    assert_eq!(counter(&cx, "component_sent_events_total"), 2);

    let sink = start("blackhole", json!({"print_interval_secs": 1, "rate": 1_000_000})).await;
    let mut said = sink.cx.log.listen();
    sink.deliver(batch([json!({"a": 1})])).await;
    loop {
        let text = said.recv().await.unwrap().message;
        if text.contains("collected 1 events") {
            break;
        }
    }
    sink.end().await;
    assert!(build(&context(), "blackhole", json!({"rte": 1})).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn panes_get_records() {
    let mut reader = Hub::global().subscribe("sink-test", 2, Overflow::DropOldest);
    let sink = start("pane", json!({"channel": "sink-test"})).await;
    let event = json!({"message": "hello", "timestamp": "2026-01-02T03:04:05Z", "level": "warning",
        "http": {"status": 502, "ok": false}, "list": [1, 2]});
    assert_eq!(sink.deliver(batch([event])).await, Delivery::Delivered);
    let r = reader.try_recv().unwrap();
    assert_eq!(
        (r.body(), r.severity(), r.source().as_str()),
        ("hello", Severity::Warn, "sink-test")
    );
    assert_eq!(r.wall().0, 1_767_323_045_000_000_000);
    assert_eq!(r.get("http.status"), Some(&Value::Int(502)));
    assert_eq!(r.get("http.ok"), Some(&Value::Bool(false)));
    assert_eq!(r.get("list"), Some(&Value::from("[1,2]")));
    assert_eq!(r.get("message"), None);
    // A slow pane misses the oldest, and that is counted.
    sink.deliver(batch((0..5).map(|i| json!({"message": i})))).await;
    assert_eq!(reader.try_recv().unwrap().body(), "3");
    assert_eq!(reader.counters().dropped, 3);
    assert!(Hub::global().names().contains(&"sink-test".to_owned()));
    sink.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_become_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/logs.db");
    let columns = json!({"at": "timestamp", "level": ".level", "odd \"name": "a.b[1]", "n": "n", "f": "f", "ok": "ok"});
    let config = json!({"path": path.to_str().unwrap(), "table": "my logs", "columns": columns});
    let sink = start("sqlite", config.clone()).await;
    let events = [
        json!({"timestamp": "t", "level": "info", "a": {"b": [1, {"c": 2}]}, "n": 7, "f": 1.5, "ok": true}),
        json!({"level": null}),
    ];
    assert_eq!(sink.deliver(batch(events)).await, Delivery::Delivered);
    // Acknowledged means committed: another connection sees it while the sink runs.
    let db = rusqlite::Connection::open(&path).unwrap();
    let row = |sql: &str| -> String { db.query_row(sql, [], |r| r.get(0)).unwrap() };
    assert_eq!(
        row(
            "SELECT quote(at)||quote(level)||quote(\"odd \"\"name\")||quote(n)||quote(f)||quote(ok) FROM \"my logs\" WHERE n"
        ),
        "'t''info''{\"c\":2}'71.51"
    );
    assert_eq!(
        row("SELECT count(*)||'' FROM \"my logs\" WHERE level IS NULL AND n IS NULL"),
        "1"
    );
    assert_eq!(row("PRAGMA journal_mode"), "wal");
    sink.end().await;

    // A table that has fewer columns gets the others.
    let more = json!({"path": path.to_str().unwrap(), "table": "my logs", "columns": {"n": "n", "host": "host"}});
    let sink = start("sqlite", more).await;
    assert_eq!(
        sink.deliver(batch([json!({"n": 8, "host": "h"})])).await,
        Delivery::Delivered
    );
    sink.end().await;
    assert_eq!(row("SELECT host FROM \"my logs\" WHERE n = 8"), "h");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_columns_the_event_is_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs.db");
    let sink = start("sqlite", json!({"path": path.to_str().unwrap(), "synchronous": "full"})).await;
    let all: Vec<_> = (0..2500)
        .map(|i| json!({"timestamp": format!("t{i}"), "n": i}))
        .collect();
    assert_eq!(sink.deliver(batch(all)).await, Delivery::Delivered);
    let cx = sink.end().await;
    assert_eq!(counter(&cx, "component_sent_events_total"), 2500);
    let db = rusqlite::Connection::open(&path).unwrap();
    let sum: i64 = db
        .query_row("SELECT sum(event->>'n') FROM logs WHERE time LIKE 't%'", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(sum, (0..2500).sum::<i64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs.db");
    let sink = start("sqlite", json!({"path": path.to_str().unwrap()})).await;
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let cell = sink.send(batch([json!({"n": 1})])).await;
    let cx = sink.cx.clone();
    until(|| counter(&cx, "component_errors_total") >= 1).await;
    assert_eq!(*cell.lock(), None);
    db.execute_batch("COMMIT").unwrap();
    until(|| cell.lock().is_some()).await;
    assert_eq!(*cell.lock(), Some(Delivery::Delivered));
    sink.end().await;
    let n: i64 = db.query_row("SELECT count(*) FROM logs", [], |r| r.get(0)).unwrap();
    assert_eq!(n, 1);
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let cx = context();
    let e = build(&cx, "sqlite", json!({"path": "/proc/none/x.db"}))
        .await
        .err()
        .unwrap();
    assert!(e.message.contains("/proc/none"), "{}", e.message);
    assert!(
        build(&cx, "sqlite", json!({"path": "x", "columns": {"a": "b..c"}}))
            .await
            .is_err()
    );
    assert!(build(&cx, "sqlite", json!({"path": "x", "colums": {}})).await.is_err());
    let e = build(
        &cx,
        "console",
        json!({"encoding": {"codec": "text"}, "target": "stdot"}),
    )
    .await
    .err()
    .unwrap();
    assert!(e.message.contains("did you mean `stdout`"), "{}", e.message);
}
