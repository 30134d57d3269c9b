//! Tests of the cold scrollback.

use qd_tty::{Attrs, Cell, Color};
use unicode_width::UnicodeWidthChar;

use super::*;

fn push(s: &mut Scrollback, text: &str, wrapped: bool) {
    let mut w = s.push();
    for c in text.chars() {
        let mut b = [0; 4];
        w.glyph(
            c.encode_utf8(&mut b),
            if c.width() == Some(2) { 2 } else { 1 },
            Style::DEFAULT,
        );
    }
    w.finish(wrapped);
}

#[test]
fn lines_over_the_budget_go_and_numbers_stay() {
    let mut s = Scrollback::new(100, 1 << 20);
    for i in 0..5000 {
        push(&mut s, &format!("line {i}"), false);
    }
    assert_eq!((s.first(), s.next()), (4900, 5000));
    assert_eq!(s.row(4900).unwrap().text(), "line 4900");
    assert_eq!(s.row(4999).unwrap().text(), "line 4999");
    assert!(s.row(4899).is_none() && s.row(5000).is_none());
}

#[test]
fn bytes_over_the_budget_go() {
    let mut s = Scrollback::new(1_000_000, 300_000);
    for i in 0..20_000 {
        push(&mut s, &format!("{i:0100}"), false);
    }
    assert!(s.memory() < 600_000, "{}", s.memory());
    assert!(s.next() - s.first() > 1000);
    assert_eq!(s.row(19_999).unwrap().text(), format!("{:0100}", 19_999));
}

#[test]
fn no_budget_keeps_nothing() {
    let mut s = Scrollback::new(0, 0);
    for i in 0..3000 {
        push(&mut s, &format!("{i}"), i % 3 == 0);
    }
    assert!(s.next() - s.first() <= 1);
}

#[test]
fn rewrapping_keeps_text_styles_and_order() {
    let mut s = Scrollback::new(1000, 1 << 20);
    let red = Style {
        fg: Color::indexed(1),
        ..Style::DEFAULT
    };
    let mut w = s.push();
    for (i, c) in "abcdefgh\u{4e16}\u{754c}".chars().enumerate() {
        let mut b = [0; 4];
        let style = if (3..9).contains(&i) { red } else { Style::DEFAULT };
        w.glyph(c.encode_utf8(&mut b), if c.width() == Some(2) { 2 } else { 1 }, style);
    }
    w.finish(false);
    push(&mut s, "tail", false);
    let mut lines = [0, 1, 2];
    s.rewrap(3, &mut lines);
    assert_eq!(lines, [0, 5, 7]);
    let rows: Vec<_> = (0..s.next()).map(|i| s.row(i).unwrap().text().to_owned()).collect();
    assert_eq!(rows, ["abc", "def", "gh", "\u{4e16}", "\u{754c}", "tai", "l"]);
    let mut cells = [Cell::BLANK; 3];
    s.row(3).unwrap().fill(&mut cells);
    assert_eq!(cells[0].fg, Color::indexed(1));
    assert!(cells[0].attrs.contains(Attrs::WIDE) && cells[1].attrs.contains(Attrs::WIDE_TAIL));
    s.rewrap(80, &mut []);
    let rows: Vec<_> = (0..s.next()).map(|i| s.row(i).unwrap().text().to_owned()).collect();
    assert_eq!(rows, ["abcdefgh\u{4e16}\u{754c}", "tail"]);
    let mut cells = [Cell::BLANK; 12];
    s.row(0).unwrap().fill(&mut cells);
    assert_eq!(
        (cells[2].fg, cells[3].fg, cells[8].fg),
        (Color::DEFAULT, Color::indexed(1), Color::indexed(1))
    );
    assert_eq!(cells[10].fg, Color::DEFAULT);
}

/// A row as the emulator would give it: each grapheme with its style.
type Line = Vec<(char, bool)>;

/// Cuts lines into rows as the emulator does.
fn wrap(line: &Line, cols: usize) -> Vec<Line> {
    let mut rows = vec![Vec::new()];
    let mut x = 0;
    for g in line {
        let w = if g.0.width() == Some(2) { 2 } else { 1 };
        if x + w > cols {
            rows.push(Vec::new());
            x = 0;
        }
        rows.last_mut().unwrap().push(*g);
        x += w;
    }
    rows
}

fn red() -> Style {
    Style {
        fg: Color::indexed(1),
        ..Style::DEFAULT
    }
}

fn push_styled(s: &mut Scrollback, row: &Line, wrapped: bool) {
    let mut w = s.push();
    for (c, styled) in row {
        let mut b = [0; 4];
        let style = if *styled { red() } else { Style::DEFAULT };
        let width = if c.width() == Some(2) { 2 } else { 1 };
        w.glyph(c.encode_utf8(&mut b), width, style);
    }
    w.finish(wrapped);
}

/// What the store has, line by line: each grapheme with its style.
fn read(s: &Scrollback) -> Vec<Line> {
    let mut out = vec![Vec::new()];
    for n in s.first()..s.next() {
        let row = s.row(n).unwrap();
        assert_eq!(row.wrapped, s.wrapped(n));
        assert!(row.cells <= s.cols, "row {n} is too wide");
        let mut cells = vec![Cell::BLANK; s.cols.min(500) as usize];
        row.fill(&mut cells);
        let mut x = 0;
        for g in row.glyphs() {
            out.last_mut()
                .unwrap()
                .push((g.text.chars().next().unwrap(), cells[x].fg == Color::indexed(1)));
            x += usize::from(g.width);
        }
        assert_eq!(x, row.cells as usize);
        if !row.wrapped {
            out.push(Vec::new());
        }
    }
    out
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]

    /// Rows that come in at one width are read at another: the same text in the same styles, whatever the widths were,
    /// and at one width row by row as they came. Lines are found again where they were.
    #[test]
    fn any_widths(
        steps in proptest::collection::vec((2..40usize, proptest::collection::vec("[a-c]{0,90}|[a\u{e9}\u{6f22}]{0,60}|\u{6f22}{0,40}", 0..8)), 1..8),
        styled: u64, ends: bool,
    ) {
        let mut s = Scrollback::new(usize::MAX, usize::MAX);
        let mut all: Vec<Line> = vec![Vec::new()];
        let mut open = false;
        let mut n = 0;
        for (cols, lines) in steps {
            let (last, top) = (s.next(), s.first());
            let mut found: Vec<u64> = (top..last + 3).collect();
            let texts: Vec<String> = (top..last).map(|n| s.row(n).unwrap().text().to_owned()).collect();
            s.rewrap(cols, &mut found);
            proptest::prop_assert!(found.is_sorted());
            proptest::prop_assert_eq!(&found[found.len() - 3..], &[s.next(), s.next() + 1, s.next() + 2]);
            for (line, text) in found.iter().zip(&texts) {
                let now = s.row(*line).unwrap().text().to_owned();
                proptest::prop_assert!(text.is_empty() || now.contains(text.chars().next().unwrap()), "{:?} {:?}", text, now);
            }
            let before = s.next();
            let mut rows: Vec<(Line, bool)> = Vec::new();
            let count = lines.len();
            for (i, text) in lines.iter().enumerate() {
                let line: Line = text.chars().map(|c| { n += 1; (c, styled >> (n / 7 % 64) & 1 != 0) }).collect();
                if open {
                    open = false;
                } else if !all.last().unwrap().is_empty() || i > 0 {
                    all.push(Vec::new());
                }
                all.last_mut().unwrap().extend(&line);
                let cut = wrap(&line, cols);
                let last = cut.len() - 1;
                for (j, row) in cut.into_iter().enumerate() {
                    // A line that goes on at another width.
                    let goes_on = j < last || (i + 1 == count && !ends && !row.is_empty());
                    if j == last { open = goes_on; }
                    rows.push((row, goes_on));
                }
            }
            for (row, wrapped) in &rows {
                push_styled(&mut s, row, *wrapped);
            }
            proptest::prop_assert_eq!(s.next() - before, rows.len() as u64);
            for (i, (row, wrapped)) in rows.iter().enumerate() {
                let got = s.row(before + i as u64).unwrap();
                let text: String = row.iter().map(|g| g.0).collect();
                proptest::prop_assert_eq!((got.text(), got.wrapped), (text.as_str(), *wrapped));
            }
        }
        let mut got = read(&s);
        got.retain(|l| !l.is_empty());
        all.retain(|l| !l.is_empty());
        proptest::prop_assert_eq!(&got, &all);
        // At one more width no seam is left: every line is cut as the emulator would.
        for cols in [200, 11, 7] {
            s.rewrap(cols, &mut []);
            let rows: usize = read(&s).iter().filter(|l| !l.is_empty()).map(|l| wrap(l, cols).len()).sum();
            let shown = (s.first()..s.next()).filter(|n| s.row(*n).unwrap().cells > 0).count();
            proptest::prop_assert_eq!(shown, rows);
        }
    }
}

#[test]
fn a_line_that_never_ends_keeps_to_the_budget_and_its_pieces_are_one_line() {
    let mut s = Scrollback::new(1_000_000, 1 << 20);
    s.rewrap(100, &mut []);
    for i in 0..30_000 {
        push(&mut s, &format!("{i:0100}"), true);
    }
    let bytes: usize = s.blocks.iter().map(Block::bytes).sum();
    assert!((900_000..1_200_000).contains(&bytes), "{bytes}");
    assert_eq!(s.next(), 30_000);
    assert_eq!(s.row(29_999).unwrap().text(), format!("{:0100}", 29_999));
    let mut line = [29_000, 30_000];
    s.rewrap(30, &mut line);
    assert!((s.first()..s.next()).all(|n| s.wrapped(n)));
    assert_eq!(line[1], s.next());
    let text: String = (0..4).map(|i| s.row(line[0] + i).unwrap().text().to_owned()).collect();
    assert!(text.contains(&format!("{:050}", 29_000)), "{text}");
    // In lines it counts by its pieces.
    s.set_limits(10, usize::MAX);
    assert!((s.next() - s.first()) * 30 < 10 * u64::from(2 * PIECE_CELLS));
}
