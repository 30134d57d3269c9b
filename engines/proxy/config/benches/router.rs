//! What it costs to find a request's rule, among few and among many.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use qd_proxy_config::{RequestView, Router, parse};
use qd_tree::Format;

struct Get(&'static str, &'static str);

impl RequestView for Get {
    fn host(&self) -> &[u8] {
        self.0.as_bytes()
    }
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn path(&self) -> &[u8] {
        self.1.as_bytes()
    }
    fn query(&self) -> Option<&[u8]> {
        None
    }
    fn any_header(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
    fn is_grpc(&self) -> bool {
        false
    }
}

fn router(c: &mut Criterion) {
    for count in [1, 10_000] {
        let mut yaml =
            "listeners: [{name: l, address: 0}]\nclusters: [{name: c, endpoints: ['1.2.3.4:80']}]\nroutes:\n"
                .to_owned();
        for i in 0..count {
            let _ = writeln!(
                yaml,
                "- {{name: r{i}, hostnames: [h{}.test], rules: [{{matches: [{{path: {{value: /a/{i}}}}}], backendRefs: [c]}}]}}",
                i % 100
            );
        }
        let Ok(loaded) = parse("bench.yaml", &yaml, Format::Yaml) else {
            return;
        };
        let router = Router::new(&loaded.config, "l");
        c.bench_function(&format!("find one of {count} prefixes"), |b| {
            b.iter(|| black_box(router.find(black_box(&Get("h0.test", "/a/0/some/longer/path")))));
        });
    }
}

criterion_group!(benches, router);
criterion_main!(benches);
