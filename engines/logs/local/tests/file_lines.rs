//! What the `file` source makes of lines: their ends, their bytes, their length, and how they are joined.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::json;
use support::{Numbers, Running, at, field, message, parse};
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

    fn start(&self, more: serde_json::Value) -> Running {
        let mut config = json!({"include": [self.path("*.log")], "glob_minimum_cooldown_ms": 50});
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        Running::start("file", config, self.1.path())
    }

    fn read(&self, bytes: &[u8], more: serde_json::Value, n: usize) -> Vec<String> {
        append(&self.path("a.log"), bytes);
        let run = self.start(more);
        run.wait_count(n);
        run.stop().iter().map(message).collect()
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let mut f = OpenOptions::new().create(true).append(true).open(path).expect("a log");
    f.write_all(bytes).expect("room");
}

#[test]
fn events_are_vectors() {
    let p = Place::new();
    let log = p.path("a.log");
    append(&log, b"one\ntwo\n");
    let run = p.start(json!({"offset_key": "offset"}));
    run.wait_count(2);
    let counted = run.labelled("component_received_bytes_total", &[("protocol", "file")]);
    assert_eq!((counted, run.counter("component_received_events_total")), (6, 2));
    assert_eq!(run.counter("files_added_total"), 1);
    let e = run.stop();
    let path = log.to_string_lossy().into_owned();
    assert_eq!(field(&e[1], "file"), Some(path));
    assert_eq!(field(&e[1], "host").as_deref(), Some("testhost"));
    assert_eq!(field(&e[1], "source_type").as_deref(), Some("file"));
    assert_eq!(field(&e[1], "offset").as_deref(), Some("4"));
    assert!(at(&e[1], "timestamp").is_some_and(|t| t.is_timestamp()));
    assert_eq!(e[1].as_object().map(|o| o.len()), Some(6));
}

#[test]
fn keys_can_be_renamed_and_left_out() {
    let p = Place::new();
    append(&p.path("a.log"), b"one\n");
    let run = p.start(json!({"file_key": "", "host_key": "log.host"}));
    run.wait_count(1);
    let e = run.stop();
    assert_eq!(field(&e[0], "file"), None);
    assert_eq!(
        at(&e[0], "log.host")
            .map(|v| v.to_string_lossy().into_owned())
            .as_deref(),
        Some("testhost")
    );
}

#[test]
fn a_partial_line_waits_for_its_end() {
    let p = Place::new();
    let log = p.path("a.log");
    append(&log, b"first\nhal");
    let run = p.start(json!({}));
    run.wait_count(1);
    append(&log, b"f");
    append(&log, b" and half\nlast\n");
    run.wait_message("last");
    assert_eq!(run.messages(), ["first", "half and half", "last"]);
    run.stop();
}

#[test]
fn bytes_stay_as_they_are() {
    let p = Place::new();
    let events = {
        append(&p.path("a.log"), b"cr\r\n\0nul\0\n\xff\xfe not utf-8\n\nempty before\n");
        let run = p.start(json!({}));
        run.wait_count(5);
        run.stop()
    };
    let raw: Vec<&[u8]> = events
        .iter()
        .filter_map(|e| at(e, "message")?.as_bytes().map(|b| b.as_ref()))
        .collect();
    assert_eq!(
        raw,
        [&b"cr\r"[..], b"\0nul\0", b"\xff\xfe not utf-8", b"", b"empty before"]
    );
}

#[test]
fn other_delimiters() {
    let p = Place::new();
    assert_eq!(
        p.read(b"a\r\nb\nc\r\n", json!({"line_delimiter": "\r\n"}), 2),
        ["a", "b\nc"]
    );
    let p = Place::new();
    // A delimiter across the edge of two reads.
    let log = p.path("a.log");
    append(&log, b"one<");
    let run = p.start(json!({"line_delimiter": "<end>"}));
    run.wait_counter("files_added_total", 1);
    append(&log, b"en");
    append(&log, b"d>two<end>");
    run.wait_count(2);
    assert_eq!(run.messages(), ["one", "two"]);
    run.stop();
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_line() {
    let p = Place::new();
    assert_eq!(p.read(b"\xef\xbb\xbfone\ntwo\n", json!({}), 2), ["one", "two"]);
}

#[test]
fn utf_16_of_both_orders() {
    for (charset, bytes) in [
        ("utf-16le", (|u: u16| u.to_le_bytes()) as fn(u16) -> [u8; 2]),
        ("utf-16be", (|u: u16| u.to_be_bytes()) as fn(u16) -> [u8; 2]),
    ] {
        let p = Place::new();
        // U+0A41 and U+4100 have the bytes of a line feed between them.
        let text = "\u{feff}eins \u{0a41}\u{4100}\nzwei 😀\n";
        let raw: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
        let got = p.read(&raw, json!({"encoding": {"charset": charset}}), 2);
        assert_eq!(got, ["eins \u{0a41}\u{4100}", "zwei 😀"], "{charset}");
    }
}

#[test]
fn a_character_across_the_edge_of_two_reads() {
    let p = Place::new();
    // Lines of three-byte characters over several blocks: every place of an edge in a character is met.
    let line = "€".repeat(1000);
    let mut text = String::new();
    for i in 0..400 {
        text.push_str(&"x".repeat(i % 7));
        text.push_str(&line);
        text.push('\n');
    }
    let got = p.read(text.as_bytes(), json!({"encoding": {"charset": "utf-8"}}), 400);
    assert!(
        got.iter()
            .enumerate()
            .all(|(i, m)| m.trim_start_matches('x') == line && m.len() == 3000 + i % 7)
    );
}

#[test]
fn lines_that_are_too_long_are_dropped_and_counted() {
    let p = Place::new();
    let log = p.path("a.log");
    append(&log, b"12345\n123456\n1\n");
    let run = p.start(json!({"max_line_bytes": 5}));
    run.wait_message("1");
    append(&log, b"begins and ");
    run.wait_until("the second drop", || {
        run.counter("component_discarded_events_total") == 2
    });
    append(&log, b"goes on\nshort\n");
    run.wait_message("short");
    assert_eq!(run.messages(), ["12345", "1", "short"]);
    assert_eq!(
        run.labelled("component_errors_total", &[("error_code", "reading_line_from_file")]),
        2
    );
    run.stop();
}

#[test]
fn a_line_of_two_gigabytes_takes_no_memory() {
    let p = Place::new();
    let log = p.path("a.log");
    append(&log, b"before\n");
    // A hole costs no room on the disk; to the reader it is a line of NULs.
    let f = OpenOptions::new().write(true).open(&log).expect("the log");
    f.set_len(2 << 30).expect("a hole");
    append(&log, b"\nafter\n");
    let run = p.start(json!({}));
    run.wait_message("after");
    assert_eq!(run.messages(), ["before", "after"]);
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(kib < 600 * 1024, "{kib} KiB");
    run.stop();
}

#[test]
fn bursts_come_in_full_batches() {
    let (p, mut n) = (Place::new(), Numbers::default());
    append(&p.path("a.log"), n.lines(100_000).as_bytes());
    let run = p.start(json!({}));
    run.wait_count(100_000);
    let batches = run.batches();
    assert!(batches.iter().all(|b| *b <= 1000));
    assert!(batches.len() < 300, "{}", batches.len());
    let events = run.stop();
    n.check(&events);
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(i, e)| message(e) == format!("line {i:07}")),
        "in order"
    );
}

#[test]
fn files_take_turns() {
    let p = Place::new();
    for name in ["a.log", "b.log"] {
        append(
            &p.path(name),
            (0..10).map(|i| format!("{name} {i}\n")).collect::<String>().as_bytes(),
        );
    }
    let run = p.start(json!({"max_read_bytes": 1}));
    run.wait_count(20);
    let first: Vec<String> = run.messages().into_iter().take(4).collect();
    run.stop();
    assert_eq!(first.iter().filter(|m| m.starts_with('a')).count(), 2, "{first:?}");
}

#[test]
fn the_oldest_is_read_first() {
    let p = Place::new();
    for name in ["z.log", "m.log", "a.log"] {
        append(
            &p.path(name),
            (0..1000)
                .map(|i| format!("{name} {i}\n"))
                .collect::<String>()
                .as_bytes(),
        );
        // Births are as fine as the kernel's tick.
        let made = std::fs::metadata(p.path(name))
            .and_then(|m| m.created())
            .expect("a birth");
        while File::create(p.path("clock"))
            .and_then(|f| f.metadata())
            .and_then(|m| m.created())
            .expect("a birth")
            <= made
        {
            let _gone = std::fs::remove_file(p.path("clock"));
        }
        let _gone = std::fs::remove_file(p.path("clock"));
    }
    let run = p.start(json!({"oldest_first": true, "max_read_bytes": 1}));
    run.wait_count(3000);
    let order: Vec<String> = run.messages().iter().map(|m| m[..1].to_owned()).collect();
    run.stop();
    let mut sorted = order.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(order, sorted);
}

#[test]
fn lines_are_joined_and_the_last_group_comes_with_its_timeout() {
    let p = Place::new();
    let log = p.path("a.log");
    let multiline = json!({"multiline": {
        "start_pattern": "^INFO", "condition_pattern": "^INFO", "mode": "halt_before", "timeout_ms": 100,
    }, "offset_key": "offset"});
    append(&log, b"INFO one\n two\nINFO three\n four\n");
    let run = p.start(multiline);
    run.wait_count(2);
    append(&log, b"stray\nINFO five\n six\n");
    run.wait_count(4);
    let events = run.stop();
    let all: Vec<String> = events.iter().map(message).collect();
    assert_eq!(all, ["INFO one\n two", "INFO three\n four", "stray", "INFO five\n six"]);
    assert_eq!(field(&events[1], "offset").as_deref(), Some("14"));
}

#[test]
fn groups_of_two_files_do_not_mix() {
    let p = Place::new();
    let multiline = json!({"multiline": {
        "start_pattern": "^\\S", "condition_pattern": "^\\s", "mode": "continue_through", "timeout_ms": 60_000,
    }});
    let run = p.start(multiline);
    for i in 0..20 {
        for name in ["a", "b"] {
            append(&p.path(&format!("{name}.log")), format!("{name}{i}\n").as_bytes());
        }
        for name in ["a", "b"] {
            append(
                &p.path(&format!("{name}.log")),
                format!(" more of {name}{i}\n").as_bytes(),
            );
        }
    }
    // The last groups come with the shutdown.
    run.wait_count(38);
    let mut all: Vec<String> = run.stop().iter().map(message).collect();
    all.sort();
    let mut want: Vec<String> = (0..20)
        .flat_map(|i| ["a", "b"].map(|n| format!("{n}{i}\n more of {n}{i}")))
        .collect();
    want.sort();
    assert_eq!(all, want);
}

#[test]
fn positions_are_at_the_ends_of_groups() {
    let p = Place::new();
    let log = p.path("a.log");
    let multiline = json!({"multiline": {
        "start_pattern": "^INFO", "condition_pattern": "^INFO", "mode": "halt_before", "timeout_ms": 60_000,
    }});
    append(&log, b"INFO one\n two\nINFO three\n");
    let run = p.start(multiline.clone());
    run.wait_count(1);
    run.wait_until("the position", || {
        let saved = std::fs::read_to_string(p.1.path().join("in/file-checkpoints.json")).unwrap_or_default();
        saved.contains("\"offset\":14,")
    });
    // The group that is held comes with the shutdown, and its delivery moves the position behind it.
    let first: Vec<String> = run.stop().iter().map(message).collect();
    assert_eq!(first, ["INFO one\n two", "INFO three"]);
    append(&log, b"INFO four\nINFO five\n");
    let run = p.start(multiline);
    run.wait_count(1);
    assert_eq!(run.messages(), ["INFO four"]);
    run.stop();
}

#[test]
fn wrong_configurations_are_refused() {
    for (config, what) in [
        (json!({}), "missing key `include`"),
        (json!({"include": ["/x"], "exclud": []}), "did you mean `exclude`"),
        (
            json!({"include": ["/x"], "read_from": "middle"}),
            "unknown value `middle`",
        ),
        (
            json!({"include": ["/x"], "multiline": {"start_pattern": "x"}}),
            "missing key `condition_pattern`",
        ),
        (
            json!({"include": ["/x"], "fingerprint": {"strategy": "inode"}}),
            "inode",
        ),
    ] {
        let e = parse("file", config.clone())
            .map(|_| ())
            .expect_err("it must be refused");
        assert!(e.contains(what), "{config}: {e}");
    }
    let p = Place::new();
    for (config, what) in [
        (json!({"include": []}), "at least one"),
        (
            json!({"include": ["/x"], "encoding": {"charset": "klingon"}}),
            "klingon",
        ),
        (json!({"include": ["/x/***"]}), "no pattern"),
        (json!({"include": ["/x"], "line_delimiter": ""}), "must not be empty"),
        (
            json!({"include": ["/x"], "multiline": {"start_pattern": "(", "condition_pattern": "x",
                "mode": "halt_with", "timeout_ms": 1}}),
            "no regular expression",
        ),
    ] {
        let e = Running::try_start("file", config.clone(), p.1.path())
            .map(|_| ())
            .expect_err("it must be refused");
        assert!(e.contains(what), "{config}: {e}");
    }
    // The old names are still names.
    parse(
        "file",
        json!({"include": ["/x"], "ignore_older": 600, "glob_minimum_cooldown": 10, "remove_after": 1,
        "fingerprinting": {"strategy": "device_and_inode"}, "start_at_beginning": true,
        "message_start_indicator": "^x", "multi_line_timeout": 5, "acknowledgements": true}),
    )
    .map(|_| ())
    .expect("the old names");
}
