//! Views of files as a pane uses them, against what is known of the generated logs.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use qd_core::{Instant, Mono, Now, Record, Severity, SourceId, Timestamp};
use qd_logs_view::{Anchor, Entry, FilterKind, LineNumber, Options, Pattern, Snapshot, Target, View};

const LONG: Duration = Duration::from_secs(120);
/// 2026-11-01T00:00:00Z.
const T0: i64 = 1_793_491_200_000_000_000;

fn options() -> Options {
    Options {
        zone: TimeZone::UTC,
        poll: Duration::from_millis(5),
        ..Options::default()
    }
}

/// A small generator with a seed: what stands where is known.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// An access log of so many lines, two a second, and how many have a status of 500 and above.
fn access(lines: u64) -> (String, u64) {
    let mut rng = Rng(7);
    let (mut text, mut errors) = (String::new(), 0);
    for n in 0..lines {
        let status = [200, 200, 200, 304, 404, 500][(rng.next() >> 32) as usize % 6];
        errors += u64::from(status >= 500);
        let at = n / 2;
        let (h, m, s) = (at / 3600 % 24, at / 60 % 60, at % 60);
        let day = 1 + at / 86_400;
        let _ = writeln!(
            text,
            "10.0.0.{} - - [{day:02}/Nov/2026:{h:02}:{m:02}:{s:02} +0000] \"GET /item/{n} HTTP/1.1\" {status} {} \"-\" \"curl/8\"",
            rng.next() >> 56,
            rng.next() >> 50,
        );
    }
    (text, errors)
}

fn open(path: &Path) -> View {
    let view = View::open([path], options()).unwrap();
    assert!(view.wait_until(LONG, |s| s.indexed), "{:?}", view.snapshot());
    view
}

fn write(dir: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn texts(view: &View, at: Anchor, before: usize, after: usize) -> Vec<String> {
    view.rows(at, before, after)
        .unwrap()
        .rows
        .iter()
        .map(|row| row.text().into_owned())
        .collect()
}

#[test]
fn every_line_is_found_by_number_time_and_share() {
    let dir = tempfile::tempdir().unwrap();
    let (text, errors) = access(60_000);
    let lines: Vec<&str> = text.lines().collect();
    let view = open(&write(&dir, "a.log", &text));
    let snapshot = view.snapshot();
    assert_eq!(
        (snapshot.lines, snapshot.sources[0].formats[0].as_str()),
        (60_000, "access")
    );
    for n in [0u64, 1, 318, 319, 29_999, 59_998, 59_999] {
        let pos = view.at_row(n).unwrap().unwrap();
        let screen = view.rows(Anchor::At(pos), 2, 3).unwrap();
        assert_eq!(screen.rows[screen.at].text(), lines[n as usize]);
        assert_eq!(screen.rows[screen.at].number, LineNumber::At(n + 1));
        assert_eq!(view.row_of(pos).unwrap(), Some(n));
        assert_eq!(view.at_line(0, n + 1).unwrap(), Some(pos));
        let at = view.time_of(pos).unwrap().unwrap();
        assert_eq!(at.0, T0 + (n as i64 / 2) * 1_000_000_000);
        assert_eq!(view.at_time(at).unwrap(), view.at_row(n & !1).unwrap());
    }
    assert_eq!(texts(&view, Anchor::End, 3, 0), lines[59_997..]);
    assert_eq!(view.at_row(60_000).unwrap(), None);
    let half = view.row_of(view.at_share(0.5).unwrap().unwrap()).unwrap().unwrap();
    assert!((29_000..31_000).contains(&half), "{half}");
    let from = view.start().unwrap().unwrap();
    let down = view.step(from, 30_000).unwrap().unwrap();
    assert_eq!(view.row_of(down).unwrap(), Some(30_000));
    assert_eq!(view.step(down, -30_000).unwrap(), Some(from));
    // Errors, by level.
    view.set_level(Some(Severity::Error));
    assert!(view.wait_until(LONG, |s| s.filtered));
    assert_eq!(view.snapshot().rows, errors);
    let histogram = view.histogram_exact(None, 50).unwrap().wait().unwrap().unwrap();
    let counted: u64 = (0..50).map(|b| histogram.at_least(b, Severity::Error)).sum();
    assert_eq!(counted, errors);
    view.set_level(None);
    let rough = view.histogram(None, 50).unwrap().unwrap();
    assert_eq!((0..50).map(|b| rough.total(b)).sum::<u64>(), 60_000);
    let exact = view.histogram_exact(None, 50).unwrap().wait().unwrap().unwrap();
    assert_eq!((0..50).map(|b| exact.total(b)).sum::<u64>(), 60_000);
    assert!(exact.exact && (0..50).all(|b| exact.total(b) == 1_200));
}

#[test]
fn filters_count_and_combine() {
    let dir = tempfile::tempdir().unwrap();
    let (text, errors) = access(40_000);
    let view = open(&write(&dir, "a.log", &text));
    let now = Now::utc(Timestamp(T0));
    let plain = |needle: &str| text.lines().filter(|l| l.contains(needle)).count() as u64;
    let by_status = view.filter(FilterKind::In, "status:>=500", &now).unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered));
    assert_eq!(view.snapshot().rows, errors);
    assert_eq!(view.snapshot().filters[0].matched, errors);
    let text_filter = view.filter(FilterKind::In, "\"/item/1\"", &now).unwrap();
    let out: Arc<dyn qd_logs_view::Predicate> = Arc::new(|entry: &Entry<'_>| entry.text().contains("/item/17"));
    view.add_filter(FilterKind::Out, "item 17", out, true).unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered && s.filters.iter().all(|f| f.evaluated == 40_000)));
    // Each takes something away.
    let expected = |l: &&str| l.contains(" 500 ") && l.contains("/item/1") && !l.contains("/item/17");
    let wanted: Vec<&str> = text.lines().filter(expected).collect();
    assert!(wanted.len() > 600 && (wanted.len() as u64) < errors);
    let snapshot = view.snapshot();
    assert_eq!(snapshot.rows, wanted.len() as u64);
    assert_eq!(snapshot.filters[1].matched, plain("/item/1"));
    assert_eq!(snapshot.filters[2].matched, plain("/item/17"));
    // The screen shows them in order, from either end, and rows are numbered among them.
    assert_eq!(texts(&view, Anchor::Start, 0, 500), wanted[..500]);
    assert_eq!(texts(&view, Anchor::End, 500, 0), wanted[wanted.len() - 500..]);
    let pos = view.at_row(577).unwrap().unwrap();
    assert_eq!(view.row_of(pos).unwrap(), Some(577));
    assert_eq!(texts(&view, Anchor::At(pos), 0, 1), wanted[577..578]);
    // Off: counted, not applied.
    view.enable_filter(by_status, false).unwrap();
    view.enable_filter(text_filter, false).unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered && s.rows == 40_000 - plain("/item/17")));
    assert!(view.enable_filter(999, true).is_err());
}

#[test]
fn a_filter_is_counted_while_it_is_typed() {
    let dir = tempfile::tempdir().unwrap();
    let (text, errors) = access(40_000);
    let view = open(&write(&dir, "a.log", &text));
    let now = Now::utc(Timestamp(T0));
    let both = |l: &&str| l.contains(" 500 ") && l.contains("/item/1");
    let both = text.lines().filter(both).count() as u64;
    let ones = text.lines().filter(|l| l.contains("/item/1")).count() as u64;
    view.filter(FilterKind::In, "status:>=500", &now).unwrap();
    let word = |w: &str| qd_logs_view::language(w, &now).unwrap();
    let first = view.preview(FilterKind::In, "/item/", word("\"/item/\""));
    let id = view.preview(FilterKind::In, "/item/1", word("\"/item/1\""));
    let done = |s: &qd_logs_view::Snapshot| s.filtered && s.preview.as_ref().is_some_and(|p| p.done);
    assert!(view.wait_until(LONG, done));
    let snapshot = view.snapshot();
    let preview = snapshot.preview.as_ref().unwrap();
    assert_eq!((preview.id, preview.matched, preview.rows), (id, ones, both));
    // It changes nothing yet.
    assert_eq!((snapshot.rows, snapshot.filters.len()), (errors, 1));
    // What hides is counted the other way.
    let hides = view.preview(FilterKind::Out, "/item/1", word("\"/item/1\""));
    assert!(view.wait_until(LONG, |s| s.preview.as_ref().is_some_and(|p| p.done && p.id == hides)));
    assert_eq!(view.snapshot().preview.as_ref().unwrap().rows, errors - both);
    // An earlier one is over; the last one becomes a filter, and is known already.
    assert!(!view.take_preview(first).unwrap());
    assert!(view.take_preview(hides).unwrap());
    let snapshot = view.snapshot();
    assert!(snapshot.preview.is_none() && snapshot.filtered);
    assert_eq!(snapshot.rows, errors - both);
    view.preview(FilterKind::In, "x", word("x"));
    view.end_preview();
    assert!(view.wait_until(LONG, |s| s.preview.is_none()));
    // What was is come back to, level and all.
    let stance = view.stance();
    view.set_level(Some(qd_core::Severity::Fatal));
    view.remove_filter(snapshot.filters[0].id).unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered && s.rows == 0));
    view.take_stance(&stance);
    assert!(view.wait_until(LONG, |s| s.filtered && s.rows == errors - both && s.level.is_none()));
    // With other times, everything is asked again.
    view.adjust_clock(0, 1_000_000_000).unwrap();
    view.take_stance(&stance);
    assert!(view.wait_until(LONG, |s| s.filtered && s.rows == errors - both));
}

#[test]
fn search_counts_jumps_and_highlights() {
    let dir = tempfile::tempdir().unwrap();
    let (text, _) = access(30_000);
    let lines: Vec<&str> = text.lines().collect();
    let view = open(&write(&dir, "a.log", &text));
    let pattern = Pattern::regex(r"ITEM/\d*99 ").unwrap();
    assert!(pattern.spans(lines[99]).is_empty());
    let pattern = Pattern::regex(r"item/\d*99 ").unwrap();
    assert_eq!(&lines[99][pattern.spans(lines[99])[0].clone()], "item/99 ");
    view.search(Some(pattern));
    assert!(view.wait_until(LONG, |s| s.search.as_ref().is_some_and(|s| s.evaluated == 30_000)));
    assert_eq!(view.snapshot().search.as_ref().map(|s| s.hits), Some(300));
    let row = |pos| view.row_of(pos).unwrap().unwrap();
    let first = view
        .find(Target::Hit, Anchor::Start, true)
        .unwrap()
        .wait()
        .unwrap()
        .unwrap();
    let second = view
        .find(Target::Hit, Anchor::At(first), true)
        .unwrap()
        .wait()
        .unwrap()
        .unwrap();
    let last = view
        .find(Target::Hit, Anchor::End, false)
        .unwrap()
        .wait()
        .unwrap()
        .unwrap();
    let back = view
        .find(Target::Hit, Anchor::At(second), false)
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(
        (row(first), row(second), row(last), back),
        (99, 199, 29_999, Some(first))
    );
    assert_eq!(
        view.find(Target::Hit, Anchor::At(last), true).unwrap().wait().unwrap(),
        None
    );
    let error = view
        .find(Target::Level(Severity::Error), Anchor::At(first), true)
        .unwrap()
        .wait()
        .unwrap()
        .unwrap();
    let expected = (100..).find(|n| lines[*n].contains(" 500 ")).unwrap() as u64;
    assert_eq!(row(error), expected);
}

#[test]
fn many_sources_are_merged_in_time_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut all) = (vec![String::new(); 3], Vec::new());
    let mut rng = Rng(11);
    for n in 0..30_000i64 {
        let file = (rng.next() >> 40) as usize % 3;
        let at = Timestamp(T0 + n * 1_000_000);
        let line = format!("{at} INFO from {file} number {n}");
        let _ = writeln!(files[file], "{line}");
        all.push(line);
    }
    let paths: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(n, text)| write(&dir, &format!("{n}.log"), text))
        .collect();
    let view = View::open(&paths, options()).unwrap();
    assert!(view.wait_until(LONG, |s| s.indexed));
    let (mut seen, mut at) = (Vec::new(), Anchor::Start);
    loop {
        let screen = view.rows(at, 0, 1000).unwrap();
        let skip = usize::from(!seen.is_empty());
        seen.extend(screen.rows.iter().skip(skip).map(|row| row.text().into_owned()));
        if screen.at_end {
            break;
        }
        at = Anchor::At(screen.rows.last().unwrap().pos);
    }
    assert_eq!(seen, all);
    assert_eq!(texts(&view, Anchor::End, 200, 0), all[29_800..]);
    for n in [0u64, 1, 9_999, 15_000, 29_999] {
        let pos = view.at_row(n).unwrap().unwrap();
        assert_eq!(texts(&view, Anchor::At(pos), 0, 1)[0], all[n as usize]);
        assert_eq!(view.row_of(pos).unwrap(), Some(n));
    }
    let pos = view.at_time(Timestamp(T0 + 12_345 * 1_000_000)).unwrap().unwrap();
    assert_eq!(view.row_of(pos).unwrap(), Some(12_345));
    // With a clock an hour ahead a source comes last.
    let own = |file: usize| {
        all.iter()
            .filter(|l| l.contains(&format!("from {file} ")))
            .cloned()
            .collect::<Vec<_>>()
    };
    view.adjust_clock(1, 3_600_000_000_000).unwrap();
    assert_eq!(texts(&view, Anchor::End, 100, 0), own(1)[own(1).len() - 100..]);
}

#[test]
fn stack_traces_belong_to_their_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..5_000 {
        let level = if n % 10 == 0 { "ERROR" } else { "INFO " };
        let _ = writeln!(
            text,
            "2026-11-01 00:{:02}:{:02},{:03} {level} [main] c.a.Service - message {n}",
            n / 60 % 60,
            n % 60,
            n % 1000
        );
        if n % 10 == 0 {
            text.push_str(
                "java.lang.NullPointerException: order\n\tat com.acme.A.b(A.java:1)\n\tat com.acme.C.d(C.java:2)\n",
            );
        }
    }
    let view = open(&write(&dir, "java.log", &text));
    assert_eq!(view.snapshot().sources[0].formats, ["log4j"]);
    view.set_level(Some(Severity::Error));
    assert!(view.wait_until(LONG, |s| s.filtered));
    assert_eq!(view.snapshot().rows, 500 * 4);
    let rows = view.rows(Anchor::Start, 0, 4).unwrap().rows;
    assert!(rows[1].continues && rows[3].level == Some(Severity::Error) && rows[3].time == rows[0].time);
    view.set_level(None);
    view.filter(FilterKind::In, "\"C.java:2\"", &Now::utc(Timestamp(T0)))
        .unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered));
    assert_eq!(view.snapshot().rows, 500 * 4);
}

#[test]
fn files_that_appear_in_a_directory_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    put("app.log", "2026-11-01T01:00:00Z INFO one\n");
    let view = View::open([dir.path()], options()).unwrap();
    let names = |s: &Snapshot| -> Vec<String> {
        let name = |p: &str| Path::new(p).file_name().unwrap().to_string_lossy().into_owned();
        s.sources.iter().map(|s| name(&s.name)).collect()
    };
    let wait = |lines: u64, wanted: &[&str]| {
        let met = view.wait_until(LONG, |s| s.lines == lines && names(s) == wanted);
        assert!(met, "{lines} {wanted:?}: {:?}", view.snapshot());
    };
    // One that has nothing in it yet is opened when it has.
    put("web.log", "");
    put("image", "\0\0");
    put("new", "2026-11-01T02:00:00Z INFO two\n");
    wait(2, &["app.log", "new"]);
    put("web.log", "2026-11-01T03:00:00Z INFO three\n");
    wait(3, &["app.log", "new", "web.log"]);
    // Rotation: the file is known, the new one belongs to it, and what is packed is here already.
    std::fs::rename(at("app.log"), at("app.log.1")).unwrap();
    put("app.log", "2026-11-01T04:00:00Z INFO four\n");
    wait(4, &["app.log", "new", "web.log", "app.log"]);
    put("app.log.2.gz", "2026-11-01T01:00:00Z INFO one\n");
    put("x.log", "2026-11-01T05:00:00Z INFO five\n");
    wait(5, &["app.log", "new", "web.log", "app.log", "x.log"]);
    // What was closed stays closed.
    let closed = view.snapshot().sources[1].id;
    view.remove(closed).unwrap();
    put("y.log", "2026-11-01T06:00:00Z INFO six\n");
    wait(5, &["app.log", "web.log", "app.log", "x.log", "y.log"]);
}

#[test]
fn a_growing_file_is_followed_through_truncation_and_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        &dir,
        "a.log",
        "2026-11-01T00:00:00Z INFO one\n2026-11-01T00:00:01Z INFO tw",
    );
    let view = open(&path);
    assert_eq!(texts(&view, Anchor::End, 9, 0).len(), 2);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"o\n2026-11-01T00:00:02Z WARN three\n").unwrap();
    assert!(view.wait_until(LONG, |s| s.lines == 3 && s.indexed));
    assert_eq!(
        texts(&view, Anchor::End, 2, 0),
        ["2026-11-01T00:00:01Z INFO two", "2026-11-01T00:00:02Z WARN three"]
    );
    let old = view.end().unwrap().unwrap();
    file.set_len(0).unwrap();
    file.write_all(b"2026-11-01T01:00:00Z INFO new\n").unwrap();
    assert!(view.wait_until(LONG, |s| s.lines == 1 && s.indexed));
    assert_eq!(texts(&view, Anchor::End, 9, 0), ["2026-11-01T01:00:00Z INFO new"]);
    assert!(view.rows(Anchor::At(old), 1, 1).is_ok());
    assert!(
        view.snapshot().sources[0].notes[0].contains("truncated"),
        "{:?}",
        view.snapshot().sources
    );
    // Rewritten in place with more than there was.
    let mut again = File::create(&path).unwrap();
    again
        .write_all(b"2026-11-01T02:00:00Z INFO other\n2026-11-01T02:00:01Z INFO other 2\n")
        .unwrap();
    assert!(view.wait_until(LONG, |s| s.lines == 2 && s.indexed));
    // Rotated: the old file stays, the new one comes beside it.
    std::fs::rename(&path, dir.path().join("a.log.1")).unwrap();
    std::fs::write(&path, "2026-11-01T03:00:00Z INFO rotated\n").unwrap();
    assert!(view.wait_until(LONG, |s| s.sources.len() == 2 && s.lines == 3 && s.indexed));
    assert!(view.snapshot().sources[0].rotated);
    assert_eq!(texts(&view, Anchor::End, 1, 0), ["2026-11-01T03:00:00Z INFO rotated"]);
}

#[test]
fn packed_piped_and_odd_input_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (text, _) = access(5_000);
    let gz = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let middle = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let members = [gz(&text[..middle]), gz(&text[middle..])].concat();
    assert_eq!(open(&write(&dir, "a.gz", &members)).snapshot().lines, 5_000);
    assert_eq!(
        open(&write(&dir, "a.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()))
            .snapshot()
            .lines,
        5_000
    );
    // Truncated: what is there is shown, with a note.
    let view = open(&write(&dir, "cut.gz", &members[..members.len() - 2_000]));
    assert!(view.wait_until(LONG, |s| !s.sources[0].notes.is_empty()));
    assert!(view.snapshot().lines > 2_000 && view.snapshot().sources[0].notes[0].contains("damage"));
    // A bomb is bounded.
    let small = Options {
        spill_limit: 100_000,
        ..options()
    };
    let view = View::open([write(&dir, "bomb.gz", gz(&"x".repeat(50_000_000)))], small).unwrap();
    assert!(view.wait_until(LONG, |s| s.indexed && !s.sources[0].notes.is_empty()));
    assert_eq!(view.snapshot().sources[0].len, 100_000);
    // UTF-16, a byte order mark, CRLF, NUL, no UTF-8, nothing.
    let wide: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(
            "2026-11-01T00:00:00Z INFO añb\r\nzwei\r\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        )
        .collect();
    assert_eq!(
        texts(&open(&write(&dir, "wide.log", wide)), Anchor::Start, 0, 9),
        ["2026-11-01T00:00:00Z INFO añb", "zwei"]
    );
    let view = open(&write(
        &dir,
        "bom.log",
        b"\xef\xbb\xbf2026-11-01T00:00:00Z WARN x\r\n\0a\xff\n",
    ));
    assert_eq!(
        texts(&view, Anchor::Start, 0, 9),
        ["2026-11-01T00:00:00Z WARN x", "\0a\u{fffd}"]
    );
    assert_eq!(
        view.rows(Anchor::Start, 0, 1).unwrap().rows[0].level,
        Some(Severity::Warn)
    );
    let empty = open(&write(&dir, "empty.log", ""));
    assert!(empty.rows(Anchor::End, 9, 9).unwrap().rows.is_empty());
    let view = View::new(options()).unwrap();
    view.add_reader("-", Box::new(std::io::Cursor::new(text.clone().into_bytes())))
        .unwrap();
    assert!(view.wait_until(LONG, |s| s.indexed && s.lines == 5_000));
}

#[test]
fn a_huge_line_is_bounded_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let huge = "y".repeat(9 << 20);
    let text = format!("2026-11-01T00:00:00Z INFO a\n2026-11-01T00:00:01Z INFO {huge}\n2026-11-01T00:00:02Z INFO b");
    let view = open(&write(&dir, "huge.log", &text));
    assert_eq!(view.snapshot().lines, 3);
    let rows = view.rows(Anchor::Start, 0, 9).unwrap().rows;
    assert_eq!(rows.len(), 3);
    assert!(rows[1].cut && rows[1].bytes().len() == qd_logs_view::MAX_LINE && !rows[2].cut);
    assert_eq!(
        view.rows(Anchor::End, 2, 0).unwrap().rows[1].text(),
        "2026-11-01T00:00:02Z INFO b"
    );
}

#[test]
fn live_records_are_a_bounded_source() {
    let view = View::new(options()).unwrap();
    let live = view.add_live("pane 3", 1_000).unwrap();
    let source = SourceId::new("pane 3");
    let record = |n: i64| {
        let at = Instant {
            wall: Timestamp(T0 + n),
            mono: Mono(0),
        };
        let level = if n % 100 == 0 { Severity::Error } else { Severity::Info };
        Record::build(&source, at, level)
            .field("n", n)
            .body(format!("event {n}"))
            .finish()
    };
    live.push((0..5_000).map(record));
    assert!(view.wait_until(LONG, |s| s.sources[0].len == 5_000));
    let snapshot = view.snapshot();
    assert!((1_000..1_600).contains(&snapshot.lines), "{}", snapshot.lines);
    assert_eq!(snapshot.sources[0].dropped + snapshot.lines, 5_000);
    assert_eq!(texts(&view, Anchor::End, 1, 0), ["event 4999"]);
    view.filter(FilterKind::In, "n:>=4950 level:error", &Now::utc(Timestamp(T0)))
        .unwrap();
    live.push((5_000..5_101).map(record));
    assert!(view.wait_until(LONG, |s| s.filtered && s.sources[0].len == 5_101));
    assert_eq!(texts(&view, Anchor::Start, 0, 9), ["event 5000", "event 5100"]);
}

#[test]
fn large_live_records_are_bounded_by_what_they_weigh() {
    let view = View::new(options()).unwrap();
    let live = view.add_live("pane 3", 100_000).unwrap();
    let source = SourceId::new("pane 3");
    let body: std::sync::Arc<str> = "x".repeat(1 << 20).into();
    let record = |_| {
        Record::build(&source, Instant::default(), Severity::Info)
            .field("large", body.to_string())
            .field("small", 1)
            .body(std::sync::Arc::clone(&body))
            .finish()
    };
    live.push((0..2_000).map(record));
    assert!(view.wait_until(LONG, |s| s.sources[0].len == 2_000));
    let snapshot = view.snapshot();
    assert_eq!(snapshot.sources[0].dropped + snapshot.lines, 2_000);
    // 64 MiB and a block of 256, of which each is cut to 128 KiB of body.
    assert!((256..=800).contains(&snapshot.lines), "{}", snapshot.lines);
    let text = texts(&view, Anchor::End, 1, 0).remove(0);
    assert!(
        text.ends_with("x \u{2026} 917504 bytes more"),
        "{}",
        &text[text.len() - 40..]
    );
}

#[test]
fn a_year_is_guessed_from_the_last_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(
        &dir,
        "syslog",
        "Dec 31 23:59:58 web app[1]: a\nDec 31 23:59:59 web app[1]: b\nJan  1 00:00:01 web app[1]: c\n",
    );
    let mtime = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_070_000);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(mtime)
        .unwrap();
    let view = open(&path);
    let times: Vec<_> = view
        .rows(Anchor::Start, 0, 9)
        .unwrap()
        .rows
        .iter()
        .map(|r| r.time.unwrap().to_string())
        .collect();
    assert_eq!(
        times,
        ["2023-12-31T23:59:58Z", "2023-12-31T23:59:59Z", "2024-01-01T00:00:01Z"]
    );
}
