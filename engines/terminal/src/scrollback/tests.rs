//! Tests of the cold scrollback.

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
    let moved = s.rewrap(3).unwrap();
    assert_eq!(moved, vec![0, 5]);
    let rows: Vec<_> = (0..s.next()).map(|i| s.row(i).unwrap().text().to_owned()).collect();
    assert_eq!(rows, ["abc", "def", "gh", "\u{4e16}", "\u{754c}", "tai", "l"]);
    let mut cells = [Cell::BLANK; 3];
    s.row(3).unwrap().fill(&mut cells);
    assert_eq!(cells[0].fg, Color::indexed(1));
    assert!(cells[0].attrs.contains(Attrs::WIDE) && cells[1].attrs.contains(Attrs::WIDE_TAIL));
    s.rewrap(80);
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
