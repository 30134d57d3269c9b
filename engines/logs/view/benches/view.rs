//! Indexing, filtering and drawing on 32 MiB of access log and of JSON lines.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qd_core::{Now, Timestamp};
use qd_logs_view::{Anchor, FilterKind, Options, View};

const SIZE: usize = 32 << 20;
const LONG: Duration = Duration::from_secs(600);

fn access() -> String {
    let (mut text, mut n) = (String::with_capacity(SIZE + 256), 0u64);
    while text.len() < SIZE {
        let (s, status) = (n / 500, [200, 200, 304, 404, 502][(n * 7 % 5) as usize]);
        let _ = writeln!(
            text,
            "203.0.113.{} - - [01/Nov/2026:{:02}:{:02}:{:02} +0000] \"GET /api/v1/orders/{n} HTTP/1.1\" {status} {} \"https://shop.example.com/p/{}\" \"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0\"",
            n % 254,
            s / 3600 % 24,
            s / 60 % 60,
            s % 60,
            n * 37 % 48_000,
            n % 9999,
        );
        n += 1;
    }
    text
}

fn json() -> String {
    let (mut text, mut n) = (String::with_capacity(SIZE + 512), 0i64);
    while text.len() < SIZE {
        let at = Timestamp(1_793_491_200_000_000_000 + n * 2_000_000);
        let level = ["info", "info", "info", "warn", "error"][(n * 7 % 5) as usize];
        let _ = writeln!(
            text,
            "{{\"timestamp\":\"{at}\",\"level\":\"{level}\",\"service\":\"cart\",\"host\":\"web-03\",\"message\":\"db query took longer\",\"status\":\"200\",\"path\":\"/api/v1/orders/{n}\",\"duration_ms\":{}.25,\"client\":{{\"ip\":\"203.0.113.7\"}}}}",
            n % 900,
        );
        n += 1;
    }
    text
}

fn bench(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, field) in [
        ("access", access(), "status:>=500"),
        ("json", json(), "client.ip:203.0.113.7 level:error"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, &text).unwrap();
        let mut group = c.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
        let open = || {
            let view = View::open([&path], Options::default()).unwrap();
            assert!(view.wait_until(LONG, |s| s.indexed));
            view
        };
        group.bench_function("index", |b| b.iter(open));
        let view = open();
        let now = Now::utc(Timestamp(0));
        for (kind, filter) in [("filter a word", "\"orders/99\""), ("filter a field", field)] {
            group.bench_function(kind, |b| {
                b.iter(|| {
                    let id = view.filter(FilterKind::In, filter, &now).unwrap();
                    assert!(view.wait_until(LONG, |s| s.filtered && s.filters.len() == 1));
                    view.remove_filter(id).unwrap();
                });
            });
        }
        group.finish();
        c.bench_function(&format!("{name}/a screen of 60 rows"), |b| {
            b.iter(|| view.rows(Anchor::End, 60, 0).unwrap())
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
