//! SIGKILL: what was acknowledged before is there after. The test starts itself as the process that is killed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use qd_logs_model::Delivery;
use serde_json::json;

use crate::{batch, file, start};

const ENV: &str = "QD_SINK_CHILD";

/// The process that is killed: sends numbered events and prints the number of each batch that was acknowledged.
#[test]
fn child() {
    let Ok(arguments) = std::env::var(ENV) else { return };
    let arguments: serde_json::Value = serde_json::from_str(&arguments).unwrap();
    let ty = arguments["type"].as_str().unwrap().to_owned();
    let mut n = arguments["first"].as_u64().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let sink = start(&ty, arguments["config"].clone()).await;
        // The harness keeps standard output to itself; standard error is ours.
        loop {
            let events = (n..n + 100).map(|i| json!({"message": format!("number {i}"), "n": i}));
            assert_eq!(sink.deliver(batch(events)).await, Delivery::Delivered);
            n += 100;
            writeln!(std::io::stderr(), "acknowledged {n}").unwrap();
        }
    });
}

/// Runs the child until it has acknowledged `batches`, kills it, and says up to which number all was acknowledged.
fn run(ty: &str, config: &serde_json::Value, first: u64, batches: usize) -> u64 {
    let arguments = json!({"type": ty, "config": config, "first": first});
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(ENV, arguments.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = first;
    let mut seen = 0;
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let Some(n) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        acknowledged = n.parse().unwrap();
        seen += 1;
        if seen == batches {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= batches);
    acknowledged
}

fn check(text: &str, acknowledged: u64) {
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let mut torn = 0;
    for line in text.lines() {
        match line.strip_prefix("number ").and_then(|n| n.parse().ok()) {
            Some(n) => *seen.entry(n).or_default() += 1,
            // The kernel may stop a write between two pages.
            None => torn += 1,
        }
    }
    for n in 0..acknowledged {
        assert!(seen.contains_key(&n), "{n} of {acknowledged} is lost");
    }
    let twice: usize = seen.values().map(|c| c - 1).sum();
    assert!(twice <= 200 * 8, "{twice} duplicates");
    assert!(torn <= 9, "{torn} torn lines");
}

fn kill_file(compression: &str, read: fn(&Path) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let config = json!({"path": path.to_str().unwrap(), "encoding": {"codec": "text"}, "compression": compression});
    let mut acknowledged = 0;
    for round in 0..8 {
        acknowledged = run("file", &config, acknowledged, 1 + round % 3);
    }
    // One more start, to cut what the last kill left.
    acknowledged = run("file", &config, acknowledged, 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let sink = start("file", config.clone()).await;
        sink.deliver(batch([json!({"message": format!("number {acknowledged}")})]))
            .await;
        sink.end().await;
    });
    check(&read(&path), acknowledged + 1);
}

#[test]
fn plain_files_keep_what_was_acknowledged() {
    kill_file("none", |p| std::fs::read_to_string(p).unwrap());
}

#[test]
fn gzip_files_keep_what_was_acknowledged() {
    kill_file("gzip", file::gunzip);
}

#[test]
fn zstd_files_keep_what_was_acknowledged() {
    kill_file("zstd", file::unzstd);
}

#[test]
fn databases_keep_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.db");
    let config = json!({"path": path.to_str().unwrap(), "columns": {"text": "message"}});
    let mut acknowledged = 0;
    for round in 0..6 {
        acknowledged = run("sqlite", &config, acknowledged, 1 + round % 5);
    }
    let db = rusqlite::Connection::open(&path).unwrap();
    let mut select = db.prepare("SELECT text FROM logs").unwrap();
    let rows: Vec<String> = select
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    check(&rows.join("\n"), acknowledged);
}

#[test]
fn the_console_is_written() {
    // Standard output of a child whose console sink is the only writer: the harness prints around it.
    let arguments = json!({"type": "console", "config": {"encoding": {"codec": "json"}}, "first": 0});
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(ENV, arguments.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let json = |l: String| l.find('{').and_then(|at| l.get(at..).map(str::to_owned));
    let all: Vec<String> = lines.filter_map(json).take(250).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for (i, line) in all.iter().enumerate() {
        assert_eq!(*line, format!("{{\"message\":\"number {i}\",\"n\":{i}}}"));
    }
    assert_eq!(all.len(), 250);
}
