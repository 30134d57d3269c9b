//! The seed program, `. = parse_json!(.message)` and `.status = to_int!(.status)`, over lines as the file source reads
//! them: natively on text, and by VRL over values, in one run. Each figure is for the events of one batch; divide by the
//! number in its name for one event.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qd_logs_model::{Batch, Line, Lines, LogBatch, LogEvent, Origin, Rows, Value};
use qd_logs_vrl::{
    Condition, Program,
    fast::{Part, Plan},
    program::Options,
};
use vrl::path::OwnedValuePath;

const SEED: &str = ". = parse_json!(.message)\n.status = to_int!(.status)";

const LOGFMT: &str = "ts=2026-07-01T12:00:00.123Z level=info caller=checkout.go:512 msg=\"db query took longer than expected\" \
                      status=200 dur=77ms bytes=4711 trace=0123456789abcdef";
const NGINX: &str = "203.0.113.77 - user71 [01/Jul/2026:12:00:00 +0000] \"GET /api/v1/orders/4711 HTTP/1.1\" 200 15320 \
                     \"https://shop.example.com/p/815\" \"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0\"";

/// The same line so many times.
fn same(line: &str, n: usize) -> LogBatch {
    let mut batch = lines(n);
    if let Rows::Lines(l) = &mut batch.rows {
        let step = line.len() + 1;
        l.block = Bytes::from(format!("{line}\n").repeat(n));
        for (i, x) in l.lines.iter_mut().enumerate() {
            x.start = u32::try_from(i * step).unwrap_or_default();
            x.end = u32::try_from(i * step + line.len()).unwrap_or_default();
        }
    }
    batch
}

/// Lines of the shape the comparison with Vector uses, 390 bytes each.
fn lines(n: usize) -> LogBatch {
    let mut text = String::new();
    let mut lines = Vec::new();
    for i in 0..n {
        let start = u32::try_from(text.len()).unwrap_or_default();
        text.push_str(&format!(
            concat!(
                r#"{{"timestamp":"2026-07-0{}T12:00:{:02}.{:03}Z","level":"{}","service":"checkout","host":"web-{:02}","#,
                r#""message":"db query took longer than expected","trace_id":"{:016x}{:016x}","status":"{}","method":"GET","#,
                r#""path":"/api/v1/orders/{}","duration_ms":{}.{:02},"bytes":{},"client":{{"ip":"10.{}.7.9","#,
                r#""user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"}},"#,
                r#""tags":["env:prod","az:{}"]}}"#
            ),
            i % 9 + 1,
            i % 60,
            i % 1000,
            ["info", "warn", "error", "debug"][i % 4],
            i % 12,
            i * 0x9E37,
            i * 0x79B9,
            [200, 304, 404, 500][i % 4],
            i * 37 % 65536,
            i % 900,
            i % 100,
            i * 613 % 48000,
            i % 256,
            ["a", "b", "c"][i % 3],
        ));
        lines.push(Line {
            start,
            end: u32::try_from(text.len()).unwrap_or_default(),
            offset: u64::from(start),
        });
        text.push('\n');
    }
    let field = |name: &str, value: &'static str| (OwnedValuePath::single_field(name), Value::from(value));
    LogBatch::lines(Lines {
        block: Bytes::from(text),
        lines,
        read_at: chrono::Utc::now(),
        origin: Arc::new(Origin {
            source: "in".into(),
            source_type: "file",
            message: OwnedValuePath::single_field("message"),
            timestamp: Some(OwnedValuePath::single_field("timestamp")),
            offset: None,
            fields: vec![
                field("file", "/var/log/app.log"),
                field("host", "web"),
                field("source_type", "file"),
            ],
        }),
    })
}

fn native(batch: &LogBatch, plan: &Plan, out: &mut Vec<u8>) {
    out.clear();
    let ran = plan.run(&batch.rows, |part| match part {
        Part::Done(docs) => {
            for i in 0..docs.len() {
                docs.write_json(i, out);
                out.push(b'\n');
            }
        }
        Part::Left(_) => {}
    });
    black_box(ran);
}

fn by_vrl(batch: &LogBatch, program: &Program, out: &mut Vec<u8>) {
    out.clear();
    let Rows::Lines(lines) = &batch.rows else {
        return;
    };
    for i in 0..lines.lines.len() {
        let mut event = LogEvent::new(lines.value(i));
        if program.run(&mut event).is_ok() {
            let _written = serde_json::to_writer(&mut *out, &event.value);
            out.push(b'\n');
        }
    }
}

fn benches(c: &mut Criterion) {
    let batch = lines(600);
    let (Some(plan), Ok(program)) = (
        Plan::recognise(SEED),
        Program::compile(
            SEED,
            &Options {
                object: true,
                ..Options::default()
            },
        ),
    ) else {
        return;
    };
    let mut out = Vec::new();
    by_vrl(&batch, &program, &mut out);
    let truth = out.clone();
    native(&batch, &plan, &mut out);
    assert_eq!(out, truth, "both ways must write the same");

    let mut g = c.benchmark_group("seed/600");
    g.throughput(Throughput::Elements(600));
    g.bench_function("native, parse and to_int", |b| {
        b.iter(|| plan.run(&batch.rows, |part| drop(black_box(part))));
    });
    g.bench_function("native, with writing", |b| b.iter(|| native(&batch, &plan, &mut out)));
    g.bench_function("vrl, with writing", |b| b.iter(|| by_vrl(&batch, &program, &mut out)));
    g.finish();

    for (name, source, line) in [
        ("logfmt", ". = parse_logfmt!(.message)", LOGFMT),
        ("nginx", ". = parse_nginx_log!(.message, \"combined\")", NGINX),
    ] {
        let batch = same(line, 600);
        let options = Options {
            object: true,
            ..Options::default()
        };
        let (Some(plan), Ok(program)) = (Plan::recognise(source), Program::compile(source, &options)) else {
            return;
        };
        by_vrl(&batch, &program, &mut out);
        let truth = out.clone();
        native(&batch, &plan, &mut out);
        assert_eq!(out, truth, "both ways must write the same");
        let mut g = c.benchmark_group(format!("{name}/600"));
        g.throughput(Throughput::Elements(600));
        g.bench_function("native, with writing", |b| b.iter(|| native(&batch, &plan, &mut out)));
        g.bench_function("vrl, with writing", |b| b.iter(|| by_vrl(&batch, &program, &mut out)));
        g.finish();
    }

    let telemetry = qd_logs_model::Telemetry::new();
    let mut g = c.benchmark_group("condition/600");
    g.throughput(Throughput::Elements(600));
    for source in [
        r#"contains(string!(.message), "Firefox/128")"#,
        r#".host == "web""#,
        "downcase(string!(.host)) == \"web\"",
    ] {
        if let Ok(condition) = Condition::vrl(source) {
            let batch = Batch::Logs(batch.clone());
            g.bench_function(source, |b| b.iter(|| condition.check_batch(&batch, &telemetry)));
        }
    }
    g.finish();
}

criterion_group! {
    name = seed;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(3));
    targets = benches
}
criterion_main!(seed);
