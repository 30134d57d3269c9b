//! The `file` source at its limits: few descriptors, lost permission, bombs, cut archives, torn positions, and the options
//! that say when a file is looked at and let go. Numbered lines are the ground truth.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use support::{Numbers, Running, message};

struct Place {
    dir: PathBuf,
    _own: Option<tempfile::TempDir>,
}

impl Place {
    fn new() -> Place {
        let own = tempfile::tempdir().expect("a directory");
        let place = Place::at(own.path());
        Place {
            _own: Some(own),
            ..place
        }
    }

    fn at(dir: &Path) -> Place {
        for d in ["logs", "data"] {
            fs::create_dir_all(dir.join(d)).expect("a directory");
        }
        Place {
            dir: dir.to_owned(),
            _own: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(name)
    }

    fn start(&self, glob: &str, more: serde_json::Value) -> Running {
        let mut config = json!({"include": [self.path(glob)], "glob_minimum_cooldown_ms": 50});
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        Running::start("file", config, &self.dir.join("data"))
    }
}

fn append(path: &Path, text: &[u8]) {
    let mut f = OpenOptions::new().create(true).append(true).open(path).expect("a log");
    f.write_all(text).expect("room");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::fast());
    e.write_all(text).expect("memory");
    e.finish().expect("memory")
}

/// The directory of a test that runs in a process of its own; `None` in the process that starts it.
fn child() -> Option<PathBuf> {
    std::env::var_os("FILE_BOUNDS_CHILD").map(PathBuf::from)
}

/// Runs one of these tests alone, in a process that the shell's words make.
fn in_child(test: &str, dir: &Path, exe: &Path, words: &str) {
    let done = Command::new("sh")
        .args(["-c", &format!("{words} \"$0\" \"$@\"")])
        .arg(exe)
        .args(["--exact", test, "--nocapture"])
        .env("FILE_BOUNDS_CHILD", dir)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn more_files_than_descriptors() {
    const FILES: usize = 300;
    let Some(dir) = child() else {
        let dir = tempfile::tempdir().expect("a directory");
        let exe = std::env::current_exe().expect("this program");
        return in_child("more_files_than_descriptors", dir.path(), &exe, "ulimit -n 64 && exec");
    };
    let (p, mut n) = (Place::at(&dir), Numbers::default());
    let file = |i: usize| p.path(&format!("{i:03}.log"));
    for i in 0..FILES {
        append(&file(i), n.lines(20).as_bytes());
    }
    let run = p.start("*.log", json!({}));
    run.wait_count(FILES * 20);
    // All of them grow, and some turn over.
    for i in 0..FILES {
        append(&file(i), n.lines(3).as_bytes());
    }
    run.wait_count(FILES * 23);
    for i in (0..FILES).step_by(10) {
        fs::rename(file(i), p.path(&format!("{i:03}.log.1"))).expect("a rename");
        append(&file(i), n.lines(7).as_bytes());
    }
    run.wait_count(FILES * 23 + FILES / 10 * 7);
    let open = fs::read_dir("/proc/self/fd").expect("descriptors").count();
    assert!(open <= 64, "{open}");
    n.check(&run.stop());
    // Positions of all of them are kept.
    let run = p.start("*.log", json!({}));
    append(&file(FILES - 1), b"after\n");
    run.wait_message("after");
    let again = run.stop();
    assert_eq!(again.len(), 1, "{:?}", again.iter().map(message).collect::<Vec<_>>());
}

#[test]
fn permission_lost_and_given_back() {
    let Some(dir) = child() else {
        let dir = tempfile::tempdir().expect("a directory");
        let exe = dir.path().join("test");
        fs::copy(std::env::current_exe().expect("this program"), &exe).expect("room");
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755)).expect("a change");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a change");
        let house = dir.path().join("house");
        fs::create_dir(&house).expect("a directory");
        if !rustix::process::geteuid().is_root() {
            return in_child("permission_lost_and_given_back", &house, &exe, "exec");
        }
        // This user may read everything; another one may not.
        if Command::new("setpriv").arg("--version").output().is_err() {
            eprintln!("skipped: setpriv is not installed, and root can't lose permission");
            return;
        }
        chown(&house, Some(65534), Some(65534)).expect("root");
        let other = "exec setpriv --reuid=65534 --regid=65534 --clear-groups";
        return in_child("permission_lost_and_given_back", &house, &exe, other);
    };
    let (p, mut n) = (Place::at(&dir), Numbers::default());
    let (open, shut) = (p.path("open.log"), p.path("shut.log"));
    let mode = |path: &Path, m| fs::set_permissions(path, fs::Permissions::from_mode(m)).expect("a change");
    append(&open, n.lines(10).as_bytes());
    append(&shut, n.lines(10).as_bytes());
    mode(&shut, 0o200);
    let mut run = p.start("*.log", json!({}));
    run.wait_count(10);
    run.wait_counter("component_errors_total", 1);
    let said = run.said();
    assert!(
        said.iter().any(|s| s.contains("shut.log") && s.contains("ermission")),
        "{said:?}"
    );
    // Taken away while open: the descriptor stays good.
    mode(&open, 0o200);
    append(&open, n.lines(5).as_bytes());
    run.wait_count(15);
    mode(&shut, 0o600);
    run.wait_count(25);
    // The directory may not be listed for a while; what is open goes on.
    let logs = dir.join("logs");
    let mut f = OpenOptions::new().append(true).open(&shut).expect("the log");
    mode(&logs, 0o000);
    f.write_all(n.lines(5).as_bytes()).expect("room");
    run.wait_count(30);
    mode(&logs, 0o700);
    append(&p.path("new.log"), n.lines(5).as_bytes());
    run.wait_count(35);
    n.check(&run.stop());
}

#[test]
fn a_file_with_too_few_lines_is_not_read_yet() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let (a, b) = (p.path("a.log"), p.path("b.log"));
    append(&a, n.lines(2).as_bytes());
    append(&b, n.lines(3).as_bytes());
    let run = p.start("*.log", json!({"fingerprint": {"strategy": "checksum", "lines": 3}}));
    run.wait_count(3);
    append(&b, n.lines(1).as_bytes());
    run.wait_count(4);
    assert!(
        run.messages().iter().all(|m| m.as_str() >= "line 0000002"),
        "{:?}",
        run.messages()
    );
    append(&a, n.lines(1).as_bytes());
    run.wait_count(7);
    // Files that begin with the same three lines and go on otherwise are two.
    let banner = "one\ntwo\nthree\n";
    for name in ["c.log", "d.log"] {
        append(&p.path(name), banner.as_bytes());
        append(&p.path(name), n.lines(4).as_bytes());
    }
    run.wait_count(21);
    let (numbers, banners): (Vec<_>, Vec<_>) = run.stop().into_iter().partition(|e| message(e).starts_with("line"));
    assert_eq!(banners.len(), 6);
    n.check(&numbers);
}

#[test]
fn a_header_does_not_count_as_lines() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let a = p.path("a.log");
    let header = "# made by x\n# version 1\n";
    append(&a, header.as_bytes());
    append(&p.path("b.log"), n.lines(10).as_bytes());
    let fingerprint = json!({"strategy": "checksum", "ignored_header_bytes": header.len(), "lines": 1});
    let run = p.start("*.log", json!({"fingerprint": fingerprint}));
    run.wait_count(10);
    append(&a, n.lines(1).as_bytes());
    run.wait_count(13);
    let events = run.stop();
    // The header is read all the same.
    assert_eq!(events.iter().filter(|e| message(e).starts_with('#')).count(), 2);
    let numbers: Vec<_> = events.into_iter().filter(|e| message(e).starts_with("line")).collect();
    n.check(&numbers);
}

#[test]
fn a_rotated_file_is_let_go_after_its_time() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let (log, old) = (p.path("a.log"), p.path("a.old"));
    append(&log, n.lines(10).as_bytes());
    let run = p.start("a.log", json!({"rotate_wait_secs": 0}));
    run.wait_count(10);
    fs::rename(&log, &old).expect("a rename");
    append(&log, n.lines(10).as_bytes());
    run.wait_counter("files_unwatched_total", 1);
    // What is written there now is nobody's business any more.
    append(&old, b"too late\n");
    append(&log, n.lines(10).as_bytes());
    run.wait_count(30);
    n.check(&run.stop());
    // By default its writer may take as long as it likes while there is more to read.
    let (p, mut n) = (Place::new(), Numbers::default());
    let (log, old) = (p.path("a.log"), p.path("a.old"));
    append(&log, n.lines(10).as_bytes());
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    fs::rename(&log, &old).expect("a rename");
    append(&old, n.lines(20_000).as_bytes());
    append(&log, n.lines(10).as_bytes());
    run.wait_count(20_020);
    n.check(&run.stop());
}

#[test]
fn a_bomb_is_one_line_that_is_too_long() {
    let (p, mut n) = (Place::new(), Numbers::default());
    // A member of 512 MiB of zeros, which is half a megabyte, and members with lines around it.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..512 {
        bomb.write_all(&zeros).expect("memory");
    }
    let bomb = bomb.finish().expect("memory");
    assert!(bomb.len() < 8 << 20);
    let parts = [
        gzip(n.lines(100).as_bytes()),
        bomb,
        gzip(b"\n"),
        gzip(n.lines(100).as_bytes()),
    ];
    fs::write(p.path("a.log.gz"), parts.concat()).expect("room");
    let run = p.start("*.gz", json!({}));
    run.wait_count(200);
    assert_eq!(
        run.labelled("component_errors_total", &[("error_code", "reading_line_from_file")]),
        1
    );
    assert_eq!(run.counter("component_discarded_events_total"), 1);
    let status = fs::read_to_string("/proc/self/status").expect("this process");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(kib < 400 * 1024, "{kib} KiB");
    n.check(&run.stop());
}

#[test]
fn an_archive_that_is_cut_goes_on_when_the_rest_comes() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let gz = p.path("a.log.gz");
    let whole = [gzip(n.lines(20_000).as_bytes()), gzip(n.lines(20_000).as_bytes())].concat();
    // Cut at several places: within the head, within a member, between two, before the last byte.
    let middle = gzip(Numbers::default().lines(20_000).as_bytes()).len();
    let cuts = [2, 9, middle / 2, middle, middle + 5, whole.len() - 1, whole.len()];
    let mut from = 0;
    let run = p.start("*.gz", json!({}));
    for cut in cuts {
        append(&gz, &whole[from..cut]);
        from = cut;
        if cut > middle / 2 {
            run.wait_count(1);
        }
    }
    run.wait_count(40_000);
    assert_eq!(run.counter("component_errors_total"), 0);
    n.check(&run.stop());
    // One that stays cut: what is there comes, and after a restart nothing comes twice.
    let (p, mut n) = (Place::new(), Numbers::default());
    let gz = p.path("b.log.gz");
    let whole = gzip(n.lines(50_000).as_bytes());
    append(&gz, &whole[..whole.len() * 2 / 3]);
    let run = p.start("*.gz", json!({}));
    run.wait_count(20_000);
    let first = run.stop();
    let run = p.start("*.gz", json!({}));
    append(&gz, &whole[whole.len() * 2 / 3..]);
    run.wait_count(50_000 - first.len());
    let all: Vec<_> = first.into_iter().chain(run.stop()).collect();
    n.check(&all);
}

#[test]
fn torn_positions_cost_no_line() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, n.lines(10).as_bytes());
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    run.stop();
    let saved = p.dir.join("data/in/file-checkpoints.json");
    let whole = fs::read(&saved).expect("positions");
    let mut torn: Vec<Vec<u8>> = (0..whole.len())
        .step_by(whole.len() / 8)
        .map(|n| whole[..n].to_vec())
        .collect();
    torn.push(whole.iter().map(|b| b ^ 1).collect());
    torn.push([&whole[..], &whole].concat());
    torn.push(vec![0; whole.len()]);
    for text in torn {
        fs::write(&saved, &text).expect("room");
        let _none = fs::remove_file(p.dir.join("data/in/file-checkpoints.previous.json"));
        let run = p.start("a.log", json!({}));
        // Read again from the beginning: at least once, and each line at most once in this run.
        run.wait_count(10);
        n.check(&run.stop());
    }
    // The one before is used when the last is torn.
    let run = p.start("a.log", json!({}));
    append(&log, n.lines(10).as_bytes());
    run.wait_count(10);
    run.stop();
    if p.dir.join("data/in/file-checkpoints.previous.json").exists() {
        let whole = fs::read(&saved).expect("positions");
        fs::write(&saved, &whole[..whole.len() / 2]).expect("room");
        let run = p.start("a.log", json!({}));
        append(&log, n.lines(1).as_bytes());
        run.wait_message("line 0000020");
        let events = run.stop();
        assert!(events.len() <= 21, "{}", events.len());
    }
}
