//! What a paint costs at 200×60.

use criterion::{Criterion, criterion_group, criterion_main};
use qd_frame::{Caps, Frame, Painter, Style};
use qd_tty::{Color, CursorShape, Size};
use std::hint::black_box;

fn page(seed: usize) -> Frame {
    let mut f = Frame::new(Size::new(200, 60));
    for y in 0..60u16 {
        let n = seed + usize::from(y);
        let style = Style {
            fg: Color::indexed((n % 7 + 1) as u8),
            ..Style::default()
        };
        let text = format!("{n:06} ").repeat(n * 7 % 24 + 3);
        f.put_str(0, y, 200, &text, style);
    }
    f.set_cursor(Some((0, 59, CursorShape::Default)));
    f
}

fn two(c: &mut Criterion, name: &str, a: &Frame, b: &Frame) {
    let mut p = Painter::new(Caps::default());
    let mut out = Vec::new();
    p.paint(a, &mut out);
    c.bench_function(name, |bench| {
        bench.iter(|| {
            out.clear();
            p.paint(black_box(b), &mut out);
            p.paint(black_box(a), &mut out);
        });
    });
}

fn paint(c: &mut Criterion) {
    let a = page(0);
    two(c, "unchanged, twice", &a, &a);
    let mut b = a.clone();
    b.put_str(190, 30, 1, "x", Style::default());
    two(c, "one character there and back", &a, &b);
    two(c, "everything there and back", &a, &page(1000));
    two(c, "scrolled by one there and back", &a, &page(1));
}

criterion_group!(benches, paint);
criterion_main!(benches);
