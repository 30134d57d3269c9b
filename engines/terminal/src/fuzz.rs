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

/// Restores what claims to be a checkpoint and its blocks, and uses what comes of it. Damage shows in the checksums, so the
/// right ones are put in first: what they would keep out must be survived too.
pub fn restore(data: &[u8]) {
    let Some((n, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let at = (u32::from_le_bytes(*n) as usize).min(rest.len());
    let (mut state, mut blocks) = (rest[..at].to_vec(), rest[at..].to_vec());
    crate::vt::seal_checkpoint(&mut state);
    crate::scrollback::seal_blocks(&mut blocks);
    let Ok(mut restored) = Vt::restore(&state, crate::split_blocks(&blocks), ScrollbackLimits::default()) else {
        return;
    };
    let vt = &mut restored.vt;
    let look = |vt: &Vt| {
        let mut cells = vec![Cell::BLANK; usize::from(vt.size().cols)];
        for line in vt.first_line()..vt.screen_top_line() + u64::from(vt.size().rows) {
            vt.line_cells(line, &mut cells);
            let _ = (vt.line_text(line), vt.line_wrapped(line));
        }
        let _ = (vt.cursor(), vt.prompts(), vt.copy_lines(u64::MAX).text());
    };
    look(vt);
    vt.feed(b"\x1b8\x1b[5;5Hx\x1b[m\r\n\ta\x1b[?1049h\x1b8y\x1b[?1049l\x1b8\x1bM");
    vt.feed(&b"a line that is longer than a line of a narrow terminal is\r\n".repeat(200));
    for (cols, rows) in [(7, 3), (130, 70), (40, 20)] {
        vt.resize(Size::new(cols, rows));
        look(vt);
    }
    let (mut state, mut blocks) = (Vec::new(), Vec::new());
    vt.hand_out_again();
    vt.checkpoint(&mut state, &mut blocks);
    let again = Vt::restore(&state, crate::split_blocks(&blocks), ScrollbackLimits::default());
    assert!(
        matches!(&again, Ok(r) if r.lost_blocks == 0),
        "what was restored cannot be restored again: {again:?}"
    );
}
