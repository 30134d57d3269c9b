//! Marks, export, aggregation and SQL, on files that a test writes.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use qd_core::{Now, Timestamp, Value};
use qd_logs_view::{
    Aggregate, Anchor, Error, ExportFormat, FilterKind, Format, Marks, Options, SqlLimits, View, columns,
};

const LONG: Duration = Duration::from_secs(120);

fn view(dir: &tempfile::TempDir, name: &str, text: &str, formats: Vec<Format>) -> View {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let options = Options {
        zone: TimeZone::UTC,
        formats,
        ..Options::default()
    };
    let view = View::open([path], options).unwrap();
    assert!(view.wait_until(LONG, |s| s.indexed));
    view
}

fn json(lines: u64) -> String {
    let line = |n: u64| {
        let at = Timestamp(1_793_491_200_000_000_000 + n as i64 * 1_000_000_000);
        let level = if n.is_multiple_of(5) { "error" } else { "info" };
        format!(
            "{{\"timestamp\":\"{at}\",\"level\":\"{level}\",\"svc\":\"s{}\",\"message\":\"m \\\"{n}\\\"\",\"http\":{{\"ms\":{}}}}}\n",
            n % 3,
            n % 100
        )
    };
    (0..lines).map(line).collect()
}

#[test]
fn counts_by_field_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let view = view(&dir, "a.log", &json(900), Vec::new());
    let what = Aggregate {
        by: vec!["svc".into(), "level".into()],
        ..Aggregate::default()
    };
    let table = view.aggregate(&what, &|| false).unwrap();
    assert_eq!(table.columns, ["svc", "level", "count"]);
    assert_eq!(table.rows.len(), 6);
    assert_eq!(table.rows[0], [Value::from("s0"), "info".into(), Value::Uint(240)]);
    let by_time = Aggregate {
        bucket: Some(Duration::from_secs(300)),
        ..Aggregate::default()
    };
    let table = view.aggregate(&by_time, &|| false).unwrap();
    assert_eq!(
        table.rows.iter().map(|r| r[1].clone()).collect::<Vec<_>>(),
        vec![Value::Uint(300); 3]
    );
    assert_eq!(table.json()[0]["time"], "2026-11-01T00:00:00Z");
}

#[test]
fn sql_reads_and_only_reads() {
    let dir = tempfile::tempdir().unwrap();
    let view = view(&dir, "a.log", &json(1_000), Vec::new());
    let sql = |text: &str| view.sql(text, SqlLimits::default(), &|| false);
    let table =
        sql("select svc, count(*) n, sum(\"http.ms\") ms from log where level = 'error' group by svc order by svc")
            .unwrap();
    assert_eq!(table.columns, ["svc", "n", "ms"]);
    let expected: Vec<Vec<Value>> = (0..3u64)
        .map(|s| {
            let own: Vec<u64> = (0..1_000).filter(|n| n % 5 == 0 && n % 3 == s).collect();
            vec![
                format!("s{s}").into(),
                Value::Int(own.len() as i64),
                Value::Int(own.iter().map(|n| (n % 100) as i64).sum()),
            ]
        })
        .collect();
    assert_eq!(table.rows, expected);
    let one = sql("select line, time, body, json_extract(fields, '$.svc') from log limit 1 offset 4").unwrap();
    assert_eq!(
        one.rows[0],
        [
            Value::Int(5),
            "2026-11-01T00:00:04Z".into(),
            "m \"4\"".into(),
            "s1".into()
        ]
    );
    for bad in [
        "drop table log",
        "attach '/tmp/x' as y",
        "select nothing from nowhere",
        "pragma user_version = 1",
    ] {
        assert!(matches!(sql(bad), Err(Error::Sql(_))), "{bad}");
    }
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n, log";
    let short = SqlLimits {
        time: Duration::from_millis(300),
        ..SqlLimits::default()
    };
    assert!(
        view.sql(endless, short, &|| false)
            .unwrap_err()
            .to_string()
            .contains("longer")
    );
    let few = SqlLimits {
        rows: 10,
        ..SqlLimits::default()
    };
    let table = view.sql("select count(*) from log", few, &|| false).unwrap();
    assert_eq!((table.rows[0][0].clone(), table.note.is_some()), (Value::Int(10), true));
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_passes_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let text = json(2_000);
    let view = view(&dir, "a.log", &text, Vec::new());
    view.filter(FilterKind::In, "svc:s1 level:error", &Now::utc(Timestamp(0)))
        .unwrap();
    assert!(view.wait_until(LONG, |s| s.filtered));
    let export = |format| {
        let sink = Sink::default();
        let count = view.export(Box::new(sink.clone()), format).unwrap().wait().unwrap();
        let text = String::from_utf8(sink.0.lock().clone()).unwrap();
        (count, text)
    };
    let wanted: String = text
        .split_inclusive('\n')
        .filter(|l| l.contains("\"s1\"") && l.contains("error"))
        .collect();
    let lines = wanted.lines().count() as u64;
    assert_eq!(export(ExportFormat::Raw), (lines, wanted));
    let (count, text) = export(ExportFormat::JsonLines);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (count, &first["body"], &first["fields"]["http.ms"]),
        (lines, &"m \"10\"".into(), &10.into())
    );
    let (_, text) = export(ExportFormat::Csv);
    assert!(
        text.lines().nth(1).unwrap().ends_with(",11,\"m \"\"10\"\"\""),
        "{text:.200}"
    );
}

#[test]
fn marks_are_kept_by_file_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let view = view(&dir, "a.log", &json(3_000), Vec::new());
    let mut marks = Marks::load(state.path()).unwrap();
    for n in [100u64, 2_500] {
        let pos = view.at_row(n).unwrap().unwrap();
        let key = view.mark_key(pos).unwrap().unwrap();
        assert!(marks.edit(key, "text", |mark| {
            mark.bookmark = true;
            mark.tags = vec!["b".into(), "a".into(), "b".into()];
            mark.comment = Some("why".into());
        }));
    }
    marks.save().unwrap();
    let mut again = Marks::load(state.path()).unwrap();
    assert_eq!(again.iter().count(), 2);
    let (key, mark) = again.iter().next().map(|(k, m)| (k, m.clone())).unwrap();
    assert_eq!(
        (mark.tags.as_slice(), mark.comment.as_deref()),
        (&["a".to_owned(), "b".to_owned()][..], Some("why"))
    );
    let start = view.start().unwrap().unwrap();
    let first = view.next_mark(&again, start, true).unwrap().unwrap();
    let second = view.next_mark(&again, first, true).unwrap().unwrap();
    assert_eq!(
        (view.row_of(first).unwrap(), view.row_of(second).unwrap()),
        (Some(100), Some(2_500))
    );
    assert_eq!(view.next_mark(&again, second, true).unwrap(), None);
    assert_eq!(view.next_mark(&again, second, false).unwrap(), Some(first));
    again.edit(key, "", |mark| *mark = Default::default());
    assert_eq!(again.iter().count(), 1);
    std::fs::write(state.path().join("log-marks.json"), "{").unwrap();
    assert!(matches!(Marks::load(state.path()), Err(Error::BadState { .. })));
}

#[test]
fn formats_are_recognised_and_their_fields_read() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &str, &str, &str); 21] = [
        (
            "access",
            r#"::1 - bob [01/Nov/2026:00:00:00 +0000] "GET /a?b=1 HTTP/1.1" 404 12 "-" "x y""#,
            "status=404 path=/a query=b=1 user=bob agent=x y",
            "warn",
        ),
        (
            "json",
            r#"{"ts":1793491200.5,"level":"warn","msg":"hi","a":{"b":[1]}}"#,
            "a.b=[1]",
            "warn",
        ),
        (
            "docker",
            r#"{"log":"hi\n","stream":"stdout","time":"2026-11-01T00:00:00Z"}"#,
            "stream=stdout",
            "",
        ),
        (
            "journald",
            r#"{"__REALTIME_TIMESTAMP":"1793491200000000","PRIORITY":"3","MESSAGE":"hi"}"#,
            "PRIORITY=3",
            "error",
        ),
        (
            "logfmt",
            r#"ts=2026-11-01T00:00:00Z level=warn msg="hi there" dur=479ms n=5"#,
            "n=5 dur=479ms",
            "warn",
        ),
        (
            "syslog",
            "<38>Nov  1 00:00:00 web-06 sudo[23491]: hi",
            "host=web-06 program=sudo pid=23491",
            "info",
        ),
        (
            "syslog",
            "<165>1 2026-11-01T00:00:00.003Z host.a app 12 ID47 [x@1 k=\"v w\"] hi",
            "program=app msgid=ID47 x@1.k=v w",
            "info",
        ),
        ("syslog", "Nov  1 00:00:00 web app: hi", "host=web program=app", ""),
        (
            "syslog",
            "2026-11-01T00:00:00.123456+00:00 web kernel: hi",
            "program=kernel",
            "",
        ),
        (
            "klog",
            "E1101 00:00:00.123456    1234 main.go:12] hi",
            "tid=1234 file=main.go line=12",
            "error",
        ),
        (
            "nginx_error",
            "2026/11/01 00:00:00 [crit] 12#34: *5 hi",
            "pid=12 connection=5",
            "fatal",
        ),
        (
            "apache_error",
            "[Sun Nov 01 00:00:00.123 2026] [core:error] [pid 12:tid 3] [client 1.2.3.4:5] hi",
            "module=core client=1.2.3.4:5",
            "error",
        ),
        (
            "log4j",
            "2026-11-01 00:00:00,123 WARN  [main] c.a.Service - hi",
            "thread=main logger=c.a.Service",
            "warn",
        ),
        (
            "python",
            "2026-11-01 00:00:00,123 - root - ERROR - hi",
            "logger=root",
            "error",
        ),
        (
            "rails",
            "W, [2026-11-01T00:00:00.123456 #99]  WARN -- : hi",
            "pid=99",
            "warn",
        ),
        (
            "cri",
            "2026-11-01T00:00:00.123456789Z stderr F hi",
            "stream=stderr tag=F",
            "",
        ),
        (
            "cef",
            "Nov  1 00:00:00 fw CEF:0|V|P|1.0|100|hi|8|src=1.2.3.4 msg=a b c dst=5",
            "vendor=V src=1.2.3.4 msg=a b c dst=5",
            "error",
        ),
        (
            "tracing",
            "2026-11-01T00:00:00.123456Z  INFO vector::app: hi",
            "target=vector::app",
            "info",
        ),
        ("journal_export", "__CURSOR=s=1;i=2;b=3;m=4;t=651c3a1a1c000;x=5", "", ""),
        ("generic", "2026-11-01 00:00:00 something ERROR happened", "", "error"),
        (
            "mine",
            "at 2026-11-01T00:00:00Z lvl E what hi who me",
            "who=me",
            "error",
        ),
    ];
    for (n, (name, line, fields, level)) in cases.iter().enumerate() {
        let user = Format::user(
            "mine",
            r"^at (?<time>\S+) lvl (?<level>\w) what (?<body>\w+) who (?<who>\w+)$",
        )
        .unwrap();
        let view = view(&dir, &format!("{n}.log"), &format!("{line}\n{line}\n"), vec![user]);
        assert_eq!(view.snapshot().sources[0].formats, [*name], "{line}");
        let row = view.rows(Anchor::Start, 0, 1).unwrap().rows.remove(0);
        assert!(row.time.is_some(), "{line}");
        assert_eq!(row.level.map_or("", |l| l.name()), *level, "{line}");
        let text = row.text();
        let parsed = row.parse(&text);
        let shown: Vec<String> = parsed
            .fields
            .iter()
            .map(|f| format!("{}={}", f.name, f.value.as_ref()))
            .collect();
        let all = format!(" {} ", shown.join(" "));
        let mut left = *fields;
        while let Some(name) = left.split('=').next().filter(|n| !n.is_empty()) {
            let found = shown
                .iter()
                .find(|f| left.starts_with(f.as_str()))
                .unwrap_or_else(|| panic!("{name} of `{left}` in {all}"));
            left = left[found.len()..].trim_start();
        }
        for field in &parsed.fields {
            assert!(field.span.clone().is_none_or(|s| text.get(s).is_some()));
        }
        if !matches!(*name, "journal_export" | "generic" | "access" | "docker") {
            assert_eq!(
                &text[parsed.body.clone()],
                if line.contains("\"hi there\"") {
                    "hi there"
                } else {
                    "hi"
                },
                "{line}"
            );
        }
        assert!(name != &"json" || columns(std::slice::from_ref(&row)).iter().any(|c| c.name == "a.b"));
    }
    let w3c = "#Software: x\n#Fields: date time cs-method sc-status\n2026-11-01 00:00:00 GET 503\n";
    let view = view(&dir, "w3c.log", w3c, Vec::new());
    let row = view.rows(Anchor::End, 1, 0).unwrap().rows.remove(0);
    assert_eq!(row.time.unwrap().to_string(), "2026-11-01T00:00:00Z");
    assert_eq!((row.format(), row.level), (Some("w3c"), Some(qd_core::Severity::Error)));
}

#[test]
fn formats_that_are_mixed_are_all_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..2_000 {
        let (m, s) = (n / 60 % 60, n % 60);
        text.push_str(&match n % 5 {
            0 => format!("10.0.0.1 - - [01/Nov/2026:00:{m:02}:{s:02} +0000] \"GET / HTTP/1.1\" 500 1 \"-\" \"x\"\n"),
            1 => format!(
                "{{\"timestamp\":\"2026-11-01T00:{m:02}:{s:02}.000Z\",\"level\":\"error\",\"message\":\"x\"}}\n"
            ),
            2 => format!("<35>Nov  1 00:{m:02}:{s:02} web-10 sudo[1]: x\n"),
            3 => format!("2026-11-01 00:{m:02}:{s:02},000 ERROR [main] c.a.Service - x\n\tat a.b.C(D.java:1)\n"),
            _ => format!("ts=2026-11-01T00:{m:02}:{s:02}.000Z level=error caller=a.go:1 msg=\"x\"\n"),
        });
    }
    let view = view(&dir, "mixed.log", &text, Vec::new());
    let mut formats = view.snapshot().sources[0].formats.clone();
    formats.sort();
    assert_eq!(formats, ["access", "json", "log4j", "logfmt", "syslog"]);
    let all = view.histogram(None, 1).unwrap().unwrap();
    assert_eq!(
        (all.total(0), all.buckets[0][4], view.snapshot().lines),
        (2_000, 2_000, 2_400)
    );
}
