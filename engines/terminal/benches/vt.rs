//! How fast the emulator parses: plain text, colours, Unicode, and what full-screen programs print.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qd_terminal::{ScrollbackLimits, Vt, split_blocks};
use qd_tty::{Cell, Size};

/// A small, repeatable source of numbers.
struct Rng(u64);

impl Rng {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

const WORDS: &[&str] = &[
    "lorem",
    "ipsum",
    "dolor",
    "GET",
    "/api/v1/users",
    "200",
    "error",
    "10.0.0.1",
    "kernel",
    "et",
];

fn lines(mut word: impl FnMut(&mut Rng) -> String) -> Vec<u8> {
    let mut rng = Rng(7);
    let mut out = Vec::new();
    while out.len() < 1 << 20 {
        for _ in 0..2 + rng.next(17) {
            out.extend_from_slice(word(&mut rng).as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn pick(rng: &mut Rng) -> &'static str {
    WORDS[rng.next(WORDS.len() as u64) as usize]
}

fn feeds() -> Vec<(&'static str, Vec<u8>)> {
    let plain = lines(|r| pick(r).to_owned());
    let sgr = lines(|r| match r.next(3) {
        0 => format!("\x1b[38;5;{}m{}", r.next(256), pick(r)),
        1 => format!("\x1b[38;2;{};{};9m{}", r.next(256), r.next(256), pick(r)),
        _ => format!("\x1b[0;1;{}m{}", 30 + r.next(8), pick(r)),
    });
    let unicode = lines(|r| match r.next(3) {
        0 => (0..4)
            .filter_map(|_| char::from_u32(0x4e00 + r.next(500) as u32))
            .collect(),
        1 => "\u{e0}\u{ee}\u{2192}\u{416}\u{3bb} \u{1f468}\u{200d}\u{1f4bb}".to_owned(),
        _ => pick(r).to_owned(),
    });
    let mut tui = b"\x1b[?1049h\x1b[2J".to_vec();
    let mut rng = Rng(7);
    while tui.len() < 1 << 20 {
        let (y, x, c) = (1 + rng.next(58), 1 + rng.next(180), rng.next(256));
        let w = pick(&mut rng);
        tui.extend_from_slice(format!("\x1b[{y};{x}H\x1b[38;5;{c}m{w}\x1b[K\x1b[{x}G\x1b[m42%").as_bytes());
    }
    vec![("plain", plain), ("sgr", sgr), ("unicode", unicode), ("tui", tui)]
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("feed");
    for (name, bytes) in feeds() {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                for chunk in bytes.chunks(4095) {
                    vt.feed(chunk);
                }
            });
        });
    }
    group.finish();
}

fn rows(c: &mut Criterion) {
    let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
    vt.feed(&feeds()[1].1);
    let mut row = [Cell::BLANK; 200];
    c.bench_function("a screen of cells", |b| {
        b.iter(|| {
            for y in 0..58 {
                vt.row(y, &mut row);
            }
            row[0]
        });
    });
}

/// Another width, with a scrollback full of one line that never ends, or of ten thousand that do.
fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("resize");
    let endless = b"y".repeat(17 << 20);
    let mixed = "fl\u{f6}od \u{6f22}\u{5b57} ".repeat(1 << 20);
    let lines = b"a line that is as long as many lines are, with a few words more\r\n".repeat(12_000);
    let feeds: [(&str, &[u8]); 3] = [
        ("endless", &endless),
        ("endless, CJK", mixed.as_bytes()),
        ("lines", &lines),
    ];
    for (name, bytes) in feeds {
        let mut vt = Vt::new(Size::new(200, 58), ScrollbackLimits::default());
        vt.feed(bytes);
        for (how, a, b) in [("200 to 199", 200, 199), ("200 to 20", 200, 20), ("500 to 1", 500, 1)] {
            group.bench_function(format!("{name}, {how} and back"), |bench| {
                bench.iter(|| {
                    vt.resize(Size::new(a, 58));
                    vt.resize(Size::new(b, 58));
                });
            });
        }
    }
    // The same with a screen and a history above it that are full at the wide size.
    let screens = "y".repeat(500 * 58 * 4);
    for (how, a, b) in [("200 to 199", 200, 199), ("200 to 20", 200, 20), ("500 to 1", 500, 1)] {
        let mut vt = Vt::new(Size::new(a, 58), ScrollbackLimits::default());
        vt.feed(&endless);
        group.bench_function(format!("full screens, {how}"), |bench| {
            bench.iter_custom(|n| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..n {
                    vt.resize(Size::new(a, 58));
                    vt.feed(screens.as_bytes());
                    let start = std::time::Instant::now();
                    vt.resize(Size::new(b, 58));
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// What a checkpoint costs with a scrollback that is full, at the end of a flood and on the alternate screen, when nothing
/// was closed since the last; what one costs each time after a mebibyte of the flood, less the feeding; and restoring.
fn checkpoints(c: &mut Criterion) {
    let mut group = c.benchmark_group("checkpoint");
    for (cols, rows) in [(80, 24), (200, 60)] {
        for (name, bytes) in feeds() {
            let mut vt = Vt::new(Size::new(cols, rows), ScrollbackLimits::default());
            let (mut state, mut blocks) = (Vec::new(), Vec::new());
            let mut all = Vec::new();
            for chunk in bytes.chunks(4095) {
                vt.feed(chunk);
            }
            vt.checkpoint(&mut state, &mut all);
            eprintln!(
                "{cols}x{rows} {name}: {} bytes, blocks of {} bytes",
                state.len(),
                all.len()
            );
            group.bench_function(format!("{cols}x{rows}, {name}"), |b| {
                b.iter(|| {
                    state.clear();
                    blocks.clear();
                    vt.checkpoint(&mut state, &mut blocks)
                });
            });
            group.bench_function(format!("{cols}x{rows}, {name}, restore"), |b| {
                b.iter(|| Vt::restore(&state, split_blocks(&all), ScrollbackLimits::default()));
            });
            if name != "tui" {
                group.bench_function(format!("{cols}x{rows}, {name}, after each MiB"), |b| {
                    b.iter_custom(|n| {
                        let mut spent = std::time::Duration::ZERO;
                        for _ in 0..n {
                            for chunk in bytes.chunks(4095) {
                                vt.feed(chunk);
                            }
                            state.clear();
                            blocks.clear();
                            let start = std::time::Instant::now();
                            vt.checkpoint(&mut state, &mut blocks);
                            spent += start.elapsed();
                        }
                        spent
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, parse, rows, sizes, checkpoints);
criterion_main!(benches);
