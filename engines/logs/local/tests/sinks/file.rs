//! The file sink.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use qd_logs_model::Delivery;
use serde_json::json;

use crate::{batch, build, context, counter, start, until};

pub(crate) fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    flate2::read::MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text
}

pub(crate) fn unzstd(path: &Path) -> String {
    String::from_utf8(zstd::decode_all(fs::File::open(path).unwrap()).unwrap()).unwrap()
}

fn n(i: usize) -> serde_json::Value {
    json!({"message": format!("line {i}"), "n": i, "app": if i.is_multiple_of(2) { "even" } else { "odd" }})
}

fn config(path: impl AsRef<Path>, more: serde_json::Value) -> serde_json::Value {
    let mut c = json!({"path": path.as_ref().to_str().unwrap(), "encoding": {"codec": "text"}});
    c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    c
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_appended_at_once_and_then_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/folders/out.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "before\n").unwrap();
    let sink = start("file", config(&path, json!({}))).await;
    assert_eq!(sink.deliver(batch([n(0), n(1)])).await, Delivery::Delivered);
    // The input is still open: what was acknowledged is there for readers.
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nline 0\nline 1\n");
    let cells = [
        sink.send(batch((2..1000).map(n))).await,
        sink.send(batch((1000..2000).map(n))).await,
    ];
    let cx = sink.end().await;
    assert!(cells.iter().all(|c| *c.lock() == Some(Delivery::Delivered)));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2001);
    assert_eq!(counter(&cx, "component_sent_events_total"), 2000);
    assert_eq!(counter(&cx, "component_sent_bytes_total"), text.len() as u64 - 7);
    assert_eq!(counter(&cx, "open_files"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_made_of_fields_and_stay_below_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs/{{ app }}/out.log");
    let sink = start(
        "file",
        config(&path, json!({"internal_metrics": {"include_file_tag": true}})),
    )
    .await;
    assert_eq!(sink.deliver(batch((0..10).map(n))).await, Delivery::Delivered);
    let escape = json!({"message": "m", "app": "../../escaped"});
    assert_eq!(sink.deliver(batch([escape])).await, Delivery::Errored);
    assert_eq!(sink.deliver(batch([json!({"message": "m"})])).await, Delivery::Errored);
    assert_eq!(
        sink.deliver(batch([json!({"message": "m", "app": "."})])).await,
        Delivery::Delivered
    );
    let cx = sink.end().await;
    let read = |p: &str| fs::read_to_string(dir.path().join(p)).unwrap();
    assert_eq!(read("logs/even/out.log"), "line 0\nline 2\nline 4\nline 6\nline 8\n");
    assert_eq!(read("logs/odd/out.log"), "line 1\nline 3\nline 5\nline 7\nline 9\n");
    assert_eq!(read("logs/out.log"), "m\n");
    assert!(!dir.path().join("escaped").exists());
    assert_eq!(counter(&cx, "component_discarded_events_total"), 2);
    let tags: Vec<_> = cx
        .telemetry
        .read()
        .into_iter()
        .filter_map(|(_, l, _)| l.get("file").cloned())
        .collect();
    assert_eq!(tags.len(), 3, "{tags:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_read_whole_after_restarts() {
    for (compression, read) in [("gzip", gunzip as fn(&Path) -> String), ("zstd", unzstd)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log.x");
        for round in 0..3 {
            let sink = start("file", config(&path, json!({"compression": compression}))).await;
            assert_eq!(sink.deliver(batch((0..100).map(n))).await, Delivery::Delivered);
            // Acknowledged is readable, though the file is still open.
            assert_eq!(read(&path).lines().count(), 200 * round + 100);
            sink.send(batch((0..100).map(n))).await;
            sink.end().await;
        }
        assert_eq!(
            read(&path),
            (0..6)
                .flat_map(|_| (0..100).map(|i| format!("line {i}\n")))
                .collect::<String>()
        );
        // A file of another format is not spoilt.
        fs::write(&path, "plain").unwrap();
        let sink = start("file", config(&path, json!({"compression": compression}))).await;
        assert_eq!(sink.deliver(batch([n(0)])).await, Delivery::Errored);
        sink.end().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "plain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for() {
    let sink = start("file", config("/dev/full", json!({}))).await;
    let mut said = sink.cx.log.listen();
    let cell = sink.send(batch([n(0)])).await;
    let cx = sink.cx.clone();
    until(|| counter(&cx, "component_errors_total") >= 2).await;
    assert_eq!(*cell.lock(), None, "neither delivered nor dropped");
    assert_eq!(counter(&cx, "component_discarded_events_total"), 0);
    let text = said.recv().await.unwrap().message;
    assert!(
        text.contains("/dev/full") && text.contains("waiting for room"),
        "{text}"
    );
    // The deadline of the shutdown ends the waiting, and the source hears that nothing was delivered.
    sink.kill();
    until(|| cell.lock().is_some()).await;
    assert_eq!(*cell.lock(), Some(Delivery::Errored));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_opened_lose_only_their_events() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("l/even.log")).unwrap();
    let path = dir.path().join("l/{{ app }}.log");
    let sink = start("file", config(path, json!({}))).await;
    assert_eq!(sink.deliver(batch((0..4).map(n))).await, Delivery::Errored);
    let cx = sink.end().await;
    assert_eq!(
        fs::read_to_string(dir.path().join("l/odd.log")).unwrap(),
        "line 1\nline 3\n"
    );
    assert_eq!(counter(&cx, "component_discarded_events_total"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_files_are_open_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l/{{ n }}.log");
    let sink = start("file", config(path, json!({}))).await;
    for _ in 0..2 {
        assert_eq!(sink.deliver(batch((0..600).map(n))).await, Delivery::Delivered);
    }
    assert!(counter(&sink.cx, "open_files") <= 256);
    sink.end().await;
    for i in 0..600 {
        let text = fs::read_to_string(dir.path().join(format!("l/{i}.log"))).unwrap();
        assert_eq!(text, format!("line {i}\nline {i}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_of_an_event_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "number 1").unwrap();
    let sink = start("file", config(dir.path().join("a"), json!({}))).await;
    assert_eq!(sink.deliver(batch([n(0)])).await, Delivery::Delivered);
    sink.end().await;
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "number 1\nline 0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_files_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = start("file", config(dir.path().join("a"), json!({"idle_timeout_secs": 0}))).await;
    assert_eq!(sink.deliver(batch([n(0)])).await, Delivery::Delivered);
    let cx = sink.cx.clone();
    until(|| counter(&cx, "open_files") == 0).await;
    assert_eq!(sink.deliver(batch([n(1)])).await, Delivery::Delivered);
    sink.end().await;
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "line 0\nline 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_files_are_emptied_if_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let age = |path: &PathBuf, seconds| {
        let file = fs::File::options().append(true).create(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    };
    for (seconds, want) in [(100, "line 0\n"), (5, "old\nline 0\n")] {
        let path = dir.path().join(format!("{seconds}"));
        fs::write(&path, "old\n").unwrap();
        age(&path, seconds);
        let sink = start(
            "file",
            config(&path, json!({"truncate": {"after_close_time_secs": 50}})),
        )
        .await;
        assert_eq!(sink.deliver(batch([n(0)])).await, Delivery::Delivered);
        sink.end().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_only_where_nobody_else_chooses_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real.log");
    std::os::unix::fs::symlink(&real, dir.path().join("link.log")).unwrap();
    let sink = start("file", config(dir.path().join("link.log"), json!({}))).await;
    assert_eq!(sink.deliver(batch([n(0)])).await, Delivery::Delivered);
    sink.end().await;
    assert_eq!(fs::read_to_string(&real).unwrap(), "line 0\n");
    let sink = start("file", config(dir.path().join("{{ app }}.log"), json!({}))).await;
    let through = json!({"message": "m", "app": "link"});
    assert_eq!(sink.deliver(batch([through])).await, Delivery::Errored);
    sink.end().await;
    assert_eq!(fs::read_to_string(&real).unwrap(), "line 0\n");
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let cx = context();
    let error = |json: serde_json::Value| {
        let cx = cx.clone();
        async move { build(&cx, "file", json).await.err().unwrap().message }
    };
    let e = error(json!({"path": "/tmp/x", "encoding": {"codec": "text"}, "compresion": "gzip"})).await;
    assert!(
        e.contains("compresion") && e.contains("did you mean `compression`"),
        "{e}"
    );
    assert!(
        error(json!({"encoding": {"codec": "text"}}))
            .await
            .contains("missing key `path`")
    );
    assert!(
        error(json!({"path": "/tmp/x"}))
            .await
            .contains("missing key `encoding`")
    );
    let e = error(json!({"path": "{{ a }}.log", "encoding": {"codec": "text"}})).await;
    assert!(e.contains("base_dir"), "{e}");
    let e = error(json!({"path": "/tmp/x", "encoding": {"codec": "text"}, "truncate": {"after": 1}})).await;
    assert!(e.contains("after"), "{e}");
    let e = error(json!({"path": "/tmp/%F", "encoding": {"codec": "text"}, "timezone": "Nowhere"})).await;
    assert!(e.contains("Nowhere"), "{e}");
    let e = error(json!({"path": "/tmp/x", "encoding": {"codec": "text"}, "compression": "snappy"})).await;
    assert!(e.contains("snappy"), "{e}");
    let odd = json!({"path": "{{ a }}.log", "encoding": {"codec": "text"},
        "dangerously_allow_unconfined_template_resolution": true});
    assert!(build(&cx, "file", odd).await.is_ok());
}
