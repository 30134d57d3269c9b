//! The `file` source through every way of rotating, with numbered lines as ground truth: none lost, none twice.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use support::{Numbers, Running};
use tempfile::TempDir;

struct Place {
    logs: TempDir,
    data: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            logs: tempfile::tempdir().expect("a directory"),
            data: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    fn start(&self, glob: &str, more: serde_json::Value) -> Running {
        let mut config = json!({"include": [self.path(glob)], "glob_minimum_cooldown_ms": 50});
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        Running::start("file", config, self.data.path())
    }
}

fn append(path: &Path, text: &str) {
    let mut f = OpenOptions::new().create(true).append(true).open(path).expect("a log");
    f.write_all(text.as_bytes()).expect("room");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut e = GzEncoder::new(Vec::new(), Compression::fast());
    e.write_all(text).expect("memory");
    e.finish().expect("memory")
}

#[test]
fn rename_and_create() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(100));
    let run = p.start("a.log", json!({}));
    run.wait_count(100);
    for i in 0..5 {
        append(&log, &n.lines(50));
        fs::rename(&log, p.path(&format!("a.log.{i}"))).expect("a rename");
        append(&log, &n.lines(50));
        run.wait_count(n.0);
    }
    n.check(&run.stop());
}

#[test]
fn a_writer_that_does_not_know_yet_writes_on_after_the_rename() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let mut writer = File::create(&log).expect("a log");
    writer.write_all(n.lines(10).as_bytes()).expect("room");
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    fs::rename(&log, p.path("a.log.1")).expect("a rename");
    append(&log, &n.lines(10));
    run.wait_count(20);
    writer.write_all(n.lines(10).as_bytes()).expect("room");
    run.wait_count(30);
    n.check(&run.stop());
}

#[test]
fn several_renames_between_two_looks() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    // The glob finds only the newest; the others must be caught on their way.
    let run = p.start("a.log", json!({"glob_minimum_cooldown_ms": 60_000}));
    run.wait_count(10);
    for _ in 0..4 {
        for i in (1..4).rev() {
            let _none = fs::rename(p.path(&format!("a.log.{i}")), p.path(&format!("a.log.{}", i + 1)));
        }
        append(&log, &n.lines(10));
        fs::rename(&log, p.path("a.log.1")).expect("a rename");
    }
    append(&log, &n.lines(10));
    run.wait_count(n.0);
    n.check(&run.stop());
}

#[test]
fn several_renames_with_a_glob_over_all() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let run = p.start("a.log*", json!({}));
    run.wait_count(10);
    for _ in 0..4 {
        for i in (1..5).rev() {
            let _none = fs::rename(p.path(&format!("a.log.{i}")), p.path(&format!("a.log.{}", i + 1)));
        }
        append(&log, &n.lines(10));
        fs::rename(&log, p.path("a.log.1")).expect("a rename");
        append(&log, &n.lines(10));
    }
    run.wait_count(n.0);
    n.check(&run.stop());
}

#[test]
fn copytruncate_whose_copies_match_the_glob() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(200));
    let run = p.start("a.log*", json!({}));
    run.wait_count(200);
    for i in 0..3 {
        append(&log, &n.lines(100));
        let copy = p.path(&format!("a.log.{i}"));
        fs::copy(&log, &copy).expect("a copy");
        OpenOptions::new()
            .write(true)
            .open(&log)
            .expect("the log")
            .set_len(0)
            .expect("a cut");
        append(&log, &n.lines(20));
        run.wait_count(n.0);
        // The copy is being read behind what was read of the original: a line of its own shows it.
        append(&copy, &n.lines(1));
        run.wait_count(n.0);
    }
    n.check(&run.stop());
}

#[test]
fn copies_are_other_files_when_inodes_are_asked_for() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(20));
    let run = p.start("a.log*", json!({"fingerprint": {"strategy": "device_and_inode"}}));
    run.wait_count(20);
    fs::copy(&log, p.path("a.log.1")).expect("a copy");
    run.wait_count(40);
    assert_eq!(run.stop().len(), 40);
}

#[test]
fn truncated_and_written_anew_longer_than_before() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(50));
    let run = p.start("a.log", json!({}));
    run.wait_count(50);
    for _ in 0..5 {
        // One call truncates and writes; the new content is longer than the old offset.
        fs::write(&log, n.lines(500)).expect("room");
        run.wait_count(n.0);
    }
    n.check(&run.stop());
}

#[test]
fn written_anew_with_the_same_beginning() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let header = "h".repeat(2000) + "\n";
    fs::write(&log, header.clone() + &n.lines(50)).expect("room");
    let run = p.start("a.log", json!({}));
    run.wait_count(51);
    fs::write(&log, header.clone() + &n.lines(500)).expect("room");
    run.wait_count(552);
    let events = run.stop();
    let (headers, numbers): (Vec<_>, Vec<_>) = events.into_iter().partition(|e| support::message(e).starts_with('h'));
    assert_eq!(headers.len(), 2);
    n.check(&numbers);
}

#[test]
fn written_anew_with_the_same_length() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(50));
    let run = p.start("a.log", json!({}));
    run.wait_count(50);
    fs::write(&log, n.lines(50)).expect("room");
    run.wait_count(100);
    n.check(&run.stop());
}

#[test]
fn deleted_while_open() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let mut writer = File::create(&log).expect("a log");
    writer.write_all(n.lines(10).as_bytes()).expect("room");
    let run = p.start("a.log", json!({}));
    run.wait_count(10);
    fs::remove_file(&log).expect("a removal");
    writer.write_all(n.lines(10).as_bytes()).expect("room");
    // The last line never gets its end.
    writer.write_all(n.lines(1).trim_end().as_bytes()).expect("room");
    drop(writer);
    run.wait_count(21);
    run.wait_counter("files_unwatched_total", 1);
    append(&log, &n.lines(10));
    run.wait_count(31);
    n.check(&run.stop());
}

#[test]
fn a_symbolic_link_that_is_turned_to_another_file() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let (one, two, link) = (p.path("one"), p.path("two"), p.path("current.log"));
    append(&one, &n.lines(10));
    symlink(&one, &link).expect("a link");
    let run = p.start("current.log", json!({}));
    run.wait_count(10);
    append(&one, &n.lines(10));
    append(&two, &n.lines(10));
    let new = p.path("new");
    symlink(&two, &new).expect("a link");
    fs::rename(&new, &link).expect("a swap");
    run.wait_count(30);
    append(&two, &n.lines(10));
    run.wait_count(40);
    n.check(&run.stop());
}

#[test]
fn compressed_while_it_is_read() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(3000));
    let run = p.start("a.log*", json!({}));
    run.wait_count(3000);
    fs::rename(&log, p.path("a.log.1")).expect("a rename");
    append(&log, &n.lines(10));
    run.wait_count(n.0);
    // What gzip(1) does: the compressed file grows beside the original, which goes last.
    let compressed = gzip(&fs::read(p.path("a.log.1")).expect("the log"));
    let gz = p.path("a.log.1.gz");
    let mut out = File::create(&gz).expect("a file");
    for part in compressed.chunks(compressed.len() / 3 + 1) {
        out.write_all(part).expect("room");
        out.flush().expect("room");
    }
    fs::remove_file(p.path("a.log.1")).expect("a removal");
    run.wait_counter("files_resumed_total", 1);
    // Another member behind what was read shows that the rest was skipped.
    OpenOptions::new()
        .append(true)
        .open(&gz)
        .and_then(|mut f| f.write_all(&gzip(n.lines(5).as_bytes())))
        .expect("room");
    run.wait_count(n.0);
    n.check(&run.stop());
}

#[test]
fn compressed_files_are_read_with_all_their_members() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let gz = p.path("old.log.gz");
    fs::write(
        &gz,
        [gzip(n.lines(5000).as_bytes()), gzip(n.lines(5000).as_bytes())].concat(),
    )
    .expect("room");
    let run = p.start("*.gz", json!({}));
    run.wait_count(10_000);
    n.check(&run.stop());
    // Positions are in the content: nothing is read again.
    let run = p.start("*.gz", json!({}));
    run.wait_counter("files_resumed_total", 1);
    OpenOptions::new()
        .append(true)
        .open(&gz)
        .and_then(|mut f| f.write_all(&gzip(b"after\n")))
        .expect("room");
    run.wait_message("after");
    assert_eq!(run.stop().len(), 1);
}

#[test]
fn damaged_compression_is_said_and_what_was_good_comes() {
    let (p, mut n) = (Place::new(), Numbers::default());
    fs::write(
        p.path("bad.gz"),
        [gzip(n.lines(100).as_bytes()), b"garbage here".to_vec()].concat(),
    )
    .expect("room");
    let run = p.start("*.gz", json!({}));
    run.wait_count(100);
    run.wait_counter("component_errors_total", 1);
    n.check(&run.stop());
}

#[test]
fn an_inode_that_is_used_again() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    let mut reused = false;
    // Between two runs nobody holds the file, so the file system may give its inode to the next one.
    for _ in 0..20 {
        append(&log, &n.lines(10));
        let ino = fs::metadata(&log).expect("the log").ino();
        let run = p.start("a.log", json!({}));
        run.wait_count(10);
        run.stop();
        fs::remove_file(&log).expect("a removal");
        append(&log, &n.lines(30));
        reused |= fs::metadata(&log).expect("the log").ino() == ino;
        let run = p.start("a.log", json!({}));
        run.wait_count(30);
        assert_eq!(run.stop().len(), 30);
        fs::remove_file(&log).expect("a removal");
        if reused {
            break;
        }
    }
    if !reused {
        eprintln!("this file system did not use an inode again; the case was not met");
    }
}

#[test]
fn files_with_the_same_first_lines() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let banner = "starting\nversion 1\n";
    append(&p.path("a.log"), banner);
    append(&p.path("b.log"), banner);
    let run = p.start("*.log", json!({}));
    run.wait_count(4);
    append(&p.path("a.log"), &n.lines(10));
    append(&p.path("b.log"), &n.lines(10));
    run.wait_count(24);
    // One that comes later, with nothing but what another one has, too.
    append(&p.path("c.log"), banner);
    run.wait_count(26);
    append(&p.path("c.log"), &n.lines(10));
    run.wait_count(36);
    let events = run.stop();
    let (numbers, banners): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|e| support::message(e).starts_with("line"));
    assert_eq!(banners.len(), 6);
    n.check(&numbers);
}

#[test]
fn deleted_and_made_again_with_the_same_first_line() {
    let p = Place::new();
    let log = p.path("a.log");
    let run = p.start("a.log", json!({}));
    for i in 1..=3 {
        append(&log, "starting\n");
        run.wait_count(i);
        fs::remove_file(&log).expect("a removal");
        run.wait_counter("files_unwatched_total", i as u64);
    }
    assert_eq!(run.stop().len(), 3);
}

#[test]
fn empty_files_and_directories_that_appear_later() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let run = p.start("**/*.log", json!({}));
    File::create(p.path("empty.log")).expect("a file");
    let deep = p.path("x/y");
    fs::create_dir_all(&deep).expect("a directory");
    append(&deep.join("deep.log"), &n.lines(10));
    run.wait_count(10);
    append(&p.path("empty.log"), &n.lines(10));
    run.wait_count(20);
    append(&deep.join("deep.log"), &n.lines(10));
    run.wait_count(30);
    n.check(&run.stop());
}

#[test]
fn a_directory_that_is_replaced() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let dir = p.path("app");
    fs::create_dir(&dir).expect("a directory");
    append(&dir.join("a.log"), &n.lines(10));
    let run = p.start("app/*.log", json!({}));
    run.wait_count(10);
    fs::rename(&dir, p.path("app.old")).expect("a rename");
    fs::create_dir(&dir).expect("a directory");
    append(&dir.join("a.log"), &n.lines(10));
    run.wait_count(20);
    append(&dir.join("a.log"), &n.lines(10));
    run.wait_count(30);
    n.check(&run.stop());
}

#[test]
fn excluded_files_are_not_read() {
    let (p, mut n) = (Place::new(), Numbers::default());
    append(&p.path("yes.log"), &n.lines(10));
    append(&p.path("no.log"), "never\n");
    let run = p.start("*.log", json!({"exclude": [p.path("no*")]}));
    run.wait_count(10);
    append(&p.path("no2.log"), "never\n");
    append(&p.path("yes.log"), &n.lines(10));
    run.wait_count(20);
    n.check(&run.stop());
}

#[test]
fn files_are_removed_after_they_were_read() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let run = p.start("a.log", json!({"remove_after_secs": 0}));
    run.hold();
    run.wait_count(10);
    assert!(log.exists(), "not delivered, not removed");
    run.deliver(|_| true);
    run.wait_until("the removal", || !log.exists());
    run.wait_counter("files_deleted_total", 1);
    n.check(&run.stop());
}

#[test]
fn a_sparse_file() {
    let (p, mut n) = (Place::new(), Numbers::default());
    let log = p.path("a.log");
    append(&log, &n.lines(10));
    let mut f = OpenOptions::new().write(true).open(&log).expect("the log");
    f.seek(std::io::SeekFrom::End(512 << 20)).expect("a hole");
    f.write_all(b"\n").expect("room");
    f.write_all(n.lines(10).as_bytes()).expect("room");
    let run = p.start("a.log", json!({}));
    run.wait_count(20);
    assert_eq!(
        run.labelled("component_errors_total", &[("error_code", "reading_line_from_file")]),
        1
    );
    n.check(&run.stop());
}

#[test]
fn pipes_and_directories_are_let_alone() {
    let (p, mut n) = (Place::new(), Numbers::default());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        p.path("pipe.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a pipe");
    fs::create_dir(p.path("dir.log")).expect("a directory");
    append(&p.path("a.log"), &n.lines(10));
    let run = p.start("*.log", json!({}));
    run.wait_count(10);
    n.check(&run.stop());
}

#[test]
fn lost_permission() {
    use std::os::unix::fs::PermissionsExt;
    let (p, mut n) = (Place::new(), Numbers::default());
    let (open, shut) = (p.path("open.log"), p.path("shut.log"));
    append(&open, &n.lines(10));
    append(&shut, &n.lines(10));
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).expect("a change");
    if File::open(&shut).is_ok() {
        eprintln!("skipped: this user (root?) may read every file, so permission can't be lost");
        return;
    }
    let run = p.start("*.log", json!({}));
    run.wait_count(10);
    run.wait_counter("component_errors_total", 1);
    // Taken away while open: the descriptor stays good.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o0)).expect("a change");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o600)).expect("a change");
    run.wait_count(20);
    n.check(&run.stop());
}
