//! What a configuration costs at the start of a session: the defaults, the commented default file, another preset.

use criterion::{Criterion, criterion_group, criterion_main};
use qd_config::{default_text, parse};

fn load(c: &mut Criterion) {
    let cases = [
        ("defaults", ""),
        ("commented file", default_text()),
        ("zellij preset", "keybinds preset=\"zellij\""),
    ];
    for (name, text) in cases {
        c.bench_function(name, |b| b.iter(|| parse(std::hint::black_box(text), "config.kdl")));
    }
}

criterion_group!(benches, load);
criterion_main!(benches);
