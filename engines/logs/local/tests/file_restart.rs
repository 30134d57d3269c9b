//! The `file` source over restarts: positions, acknowledgements, damage, and a reader that is killed.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::json;
use support::{Numbers, Running, message};
use tempfile::TempDir;

struct Place(TempDir, TempDir);

impl Place {
    fn new() -> Place {
        Place(
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn saved(&self) -> PathBuf {
        self.1.path().join("in/file-checkpoints.json")
    }

    fn start(&self, glob: &str, more: serde_json::Value) -> Running {
        let mut config = json!({"include": [self.path(glob)], "glob_minimum_cooldown_ms": 50});
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        Running::start("file", config, self.1.path())
    }
}

fn append(path: &Path, text: &str) {
    let mut f = OpenOptions::new().create(true).append(true).open(path).expect("a log");
    f.write_all(text.as_bytes()).expect("room");
}

#[test]
fn it_goes_on_where_it_was() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let mut all = Vec::new();
    for _ in 0..3 {
        append(&log, &n.lines(100));
        let run = p.start("a.log", json!({}));
        run.wait_count(100);
        all.extend(run.stop());
    }
    n.check(&all);
}

#[test]
fn rotated_while_nobody_read() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(100));
    let run = p.start("a.log", json!({}));
    run.wait_count(100);
    let mut all = run.stop();
    append(&log, &n.lines(50));
    fs::rename(&log, p.path("a.log.1")).expect("a rename");
    append(&log, &n.lines(50));
    // The glob does not find the rotated file, but it is known.
    let run = p.start("a.log", json!({}));
    run.wait_count(100);
    all.extend(run.stop());
    n.check(&all);
}

#[test]
fn copied_and_truncated_while_nobody_read() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(100));
    let run = p.start("a.log*", json!({}));
    run.wait_count(100);
    let mut all = run.stop();
    append(&log, &n.lines(50));
    fs::copy(&log, p.path("a.log.1")).expect("a copy");
    fs::write(&log, n.lines(300)).expect("room");
    let run = p.start("a.log*", json!({}));
    run.wait_count(350);
    all.extend(run.stop());
    n.check(&all);
}

#[test]
fn what_was_not_delivered_is_read_again() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    run.hold();
    for i in 1..=4 {
        append(&log, &n.lines(10));
        run.wait_count(10 + 10 * i);
    }
    // Of four batches the first and the last are delivered: the position is behind the first.
    let batches = run.batches().len() - 1;
    assert!(batches >= 4, "{:?}", run.batches());
    run.deliver(|i| i == 0 || i == batches - 1);
    let first: usize = run.batches()[..2].iter().sum();
    run.cx.aborted.store(true, std::sync::atomic::Ordering::Release);
    run.ask_to_stop();
    run.deliver(|_| false);
    let held = run.collector.clone();
    run.finish().0.expect("a clean end");
    drop(held);
    let run = p.start("a.log", json!({}));
    run.wait_count(50 - first);
    let again = run.stop();
    assert_eq!(message(&again[0]), format!("line {first:07}"));
    assert_eq!(again.len(), 50 - first);
}

#[test]
fn the_position_is_written_when_the_last_batch_is_delivered_after_the_end() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let run = p.start("a.log", json!({}));
    run.hold();
    append(&log, &n.lines(10));
    run.wait_count(10);
    run.ask_to_stop();
    let collector = run.collector.clone();
    let saved = p.saved();
    // The source ends before its batch is delivered.
    run.finish().0.expect("a clean end");
    assert!(
        !fs::read_to_string(&saved)
            .expect("positions")
            .contains("\"offset\":130")
    );
    collector.deliver_all();
    assert!(
        fs::read_to_string(&saved)
            .expect("positions")
            .contains("\"offset\":130")
    );
}

#[test]
fn from_the_end_and_without_positions() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, "old\n");
    let run = p.start("*.log", json!({"read_from": "end"}));
    run.wait_counter("files_added_total", 1);
    append(&log, &n.lines(10));
    // A file that appears while it runs is read from its beginning.
    append(&p.path("b.log"), &n.lines(10));
    run.wait_count(20);
    n.check(&run.stop());
    let run = p.start("*.log", json!({"read_from": "end"}));
    append(&log, &n.lines(1));
    run.wait_count(1);
    assert_eq!(run.stop().len(), 1);
    let run = p.start("*.log", json!({"ignore_checkpoints": true}));
    run.wait_count(22);
    assert_eq!(run.stop().len(), 22);
}

#[test]
fn old_files_are_read_from_their_end() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let (old, new) = (p.path("old.log"), p.path("new.log"));
    append(&old, "long ago\n");
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    OpenOptions::new()
        .append(true)
        .open(&old)
        .and_then(|f| f.set_modified(then))
        .expect("a time");
    append(&new, &n.lines(10));
    let run = p.start("*.log", json!({"ignore_older_secs": 600}));
    run.wait_count(10);
    append(&old, &n.lines(10));
    run.wait_count(20);
    n.check(&run.stop());
}

#[test]
fn damaged_positions_are_said_and_put_aside() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    run.stop();
    let text = fs::read(p.saved()).expect("positions");
    fs::write(p.saved(), &text[..text.len() / 2]).expect("room");
    let before = p.1.path().join("in/file-checkpoints.previous.json");
    let _none = fs::remove_file(before);
    let mut run = p.start("a.log", json!({}));
    run.wait_count(10);
    assert!(run.said().iter().any(|s| s.contains("damaged")), "it must be said");
    assert_eq!(run.counter("component_errors_total"), 1);
    run.stop();
    assert!(p.1.path().join("in/file-checkpoints.json.damaged").exists());
}

#[test]
fn a_source_waits_for_the_one_that_it_replaces() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let first = p.start("a.log", json!({}));
    first.wait_count(10);
    let second = p.start("a.log", json!({}));
    append(&log, &n.lines(10));
    first.wait_count(20);
    let mut all = first.stop();
    append(&log, &n.lines(10));
    second.wait_count(10);
    all.extend(second.stop());
    n.check(&all);
}

#[test]
fn another_process_on_the_same_directory_is_refused() {
    let p = Place::new();
    let dir = p.1.path().join("in");
    fs::create_dir_all(&dir).expect("a directory");
    let lock = dir.join("lock");
    fs::write(&lock, "1").expect("room");
    let held = fs::File::open(&lock).expect("the lock");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let e = Running::try_start("file", json!({"include": ["/x"]}), p.1.path())
        .map(|_| ())
        .expect_err("refused");
    assert!(e.contains("process 1") && e.contains("data_dir"), "{e}");
}
