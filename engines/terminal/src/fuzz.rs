//! Entry points for fuzzers: they take any bytes and must never panic.

use qd_tty::{Cell, Size};

use crate::{ScrollbackLimits, Shape, Vt, vt::Pos};

/// Feeds arbitrary bytes to an emulator, in chunks and with changes of size that the bytes themselves decide, and looks
/// at all that can be looked at.
pub fn vt(data: &[u8]) {
    let byte = |i: usize| data.get(i).copied().unwrap_or(0);
    let limits = ScrollbackLimits {
        lines: u32::from(byte(0)),
        bytes: usize::from(byte(1)) << 10,
    };
    let mut vt = Vt::new(Size::new(u16::from(byte(2)), u16::from(byte(3))), limits);
    let mut rest = data.get(4..).unwrap_or_default();
    let mut replies = Vec::new();
    while let Some((n, tail)) = rest.split_first() {
        let (chunk, tail) = tail.split_at(tail.len().min(usize::from(*n)));
        vt.feed(chunk);
        rest = tail;
        if n % 16 == 1 {
            let cols = 1 + u16::from(byte(rest.len() / 2)) % 210;
            let rows = 1 + u16::from(byte(rest.len() / 3)) % 70;
            vt.resize(Size::new(cols, rows));
        }
        if n % 16 == 2 {
            vt.scroll_by(i64::from(byte(rest.len() / 2)) - 100);
        }
        replies.clear();
        vt.take_replies(&mut replies);
        vt.take_events();
    }
    let mut cells = vec![Cell::BLANK; usize::from(vt.size().cols)];
    for y in 0..vt.size().rows {
        vt.row(y, &mut cells);
    }
    let end = Pos {
        line: u64::MAX,
        col: u16::MAX,
    };
    for shape in [Shape::Stream, Shape::Line, Shape::Block] {
        let _ = vt.text_range(Pos::default(), end, shape);
    }
    let _ = (vt.cursor(), vt.prompts());
}
