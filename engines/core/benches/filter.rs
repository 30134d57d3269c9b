//! What a filter costs: reading it, and asking it about one record.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qd_core::filter::{FieldType, Filter, Schema, complete, parse};
use qd_core::{Instant, Mono, Now, Record, Severity, SourceId, Timestamp};

const QUERIES: [(&str, &str); 6] = [
    ("word", "timeout"),
    ("missing word", "zebra"),
    ("regex", "/upstream .* (refused|timed out)/i"),
    ("fields", "status:>=500 path:/api/* took:1ms..2s"),
    ("fuzzy", "~upstrm"),
    ("mixed", "(level:>=warn OR status:>=500) -path:/health since:1d refused"),
];

fn schema() -> Schema {
    Schema::records()
        .with("status", FieldType::Number, "")
        .with("path", FieldType::Keyword, "")
        .with("took", FieldType::Duration, "")
}

fn records(now: Timestamp) -> Vec<Record> {
    let source = SourceId::new("web");
    (0..1000u64)
        .map(|n| {
            let at = Instant {
                wall: now.before(Duration::from_secs(n)),
                mono: Mono(n),
            };
            let severity = Severity::ALL[usize::try_from(n % 6).unwrap_or(0)];
            Record::build(&source, at, severity)
                .field("status", 200 + n % 400)
                .field("path", format!("/api/users/{n}/profile"))
                .field("took", Duration::from_micros(n * 37))
                .field("agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101")
                .body(format!(
                    "request {n} to upstream 10.0.0.{} ended: connection refused while reading the header",
                    n % 256
                ))
                .finish()
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let now = Now::utc(Timestamp(1_700_000_000_000_000_000));
    let (schema, records) = (schema(), records(now.at));
    let mut group = c.benchmark_group("parse");
    for (name, text) in QUERIES {
        group.bench_function(name, |b| b.iter(|| parse(black_box(text))));
    }
    group.finish();
    let mut group = c.benchmark_group("compile");
    for (name, text) in QUERIES {
        group.bench_function(name, |b| b.iter(|| Filter::new(black_box(text), &schema, &now)));
    }
    group.finish();
    let mut group = c.benchmark_group("match 1000 records");
    group.throughput(Throughput::Elements(records.len() as u64));
    for (name, text) in QUERIES {
        let Ok(filter) = Filter::new(text, &schema, &now) else {
            continue;
        };
        group.bench_function(name, |b| {
            b.iter(|| records.iter().filter(|record| filter.matches(*record)).count())
        });
    }
    group.finish();
    c.bench_function("complete", |b| {
        b.iter(|| complete(black_box("level:warn sta"), 14, &schema, &|_, _| Vec::new()))
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
