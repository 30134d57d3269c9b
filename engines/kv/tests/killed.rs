//! A real process with real files, killed without warning, again and again: nothing it has acknowledged is lost.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say what it saw"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/writers")
}

/// One life: what it finds must not be less than what was acknowledged, nor more than what was asked for. It is killed
/// after so many acknowledgements.
fn live(dir: &Path, writers: u64, acks: usize, known: &mut BTreeMap<u64, u64>) {
    let mut child = Command::new(program())
        .args([dir.to_str().unwrap(), &writers.to_string(), "1024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut left = acks;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut killed = false;
    let mut ready = false;
    // After the kill, what it had said before is still to be read.
    for line in lines.by_ref() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["have", w, n] => {
                let (w, n): (u64, u64) = (w.parse().unwrap(), n.parse().unwrap());
                let acked = known.get(&w).copied().unwrap_or(0);
                assert!(n >= acked, "writer {w}: {acked} was acknowledged, {n} is there");
                assert!(
                    n <= acked + 1,
                    "writer {w}: {n} is there, {} was the last that was asked for",
                    acked + 1
                );
                known.insert(w, n);
            }
            ["ready"] => ready = true,
            ["ack", w, n] => {
                known.insert(w.parse().unwrap(), n.parse().unwrap());
                left = left.saturating_sub(1);
                if left == 0 && !killed {
                    // SIGKILL: the process has no chance to do anything.
                    child.kill().unwrap();
                    killed = true;
                }
            }
            _ => panic!("{line}"),
        }
    }
    assert!(ready && killed, "it ended by itself: {:?}", child.wait());
    child.wait().unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let tmp = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    let lives = std::env::var("QD_KV_KILLS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(12);
    for life in 0..lives {
        live(tmp.path(), 6, 1 + life * 37 % 150, &mut known);
    }
    assert!(known.values().sum::<u64>() as usize > lives * 20, "{known:?}");
}
