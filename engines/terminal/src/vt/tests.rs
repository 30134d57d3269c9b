//! Tests of the emulator: goldens, budgets, views and searches; the properties are in `props`.

mod checkpoint;
mod props;

use alacritty_terminal::index::Line;
use qd_tty::{Attrs, Color, Sym};

use super::*;
use crate::Rgb;

const LIMITS: ScrollbackLimits = ScrollbackLimits {
    lines: 100_000,
    bytes: 64 << 20,
};

fn vt(cols: u16, rows: u16) -> Vt {
    Vt::new(Size::new(cols, rows), LIMITS)
}

fn fed(cols: u16, rows: u16, bytes: impl AsRef<[u8]>) -> Vt {
    let mut vt = vt(cols, rows);
    vt.feed(bytes.as_ref());
    vt
}

fn replies(vt: &mut Vt) -> String {
    let mut out = Vec::new();
    vt.take_replies(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn screen(vt: &Vt) -> Vec<String> {
    let top = vt.view_top_line();
    (0..u64::from(vt.size().rows))
        .map(|y| vt.line_text(top + y).unwrap_or_default().trim_end().to_owned())
        .collect()
}

/// A blank looks the same whatever its foreground is.
fn normal(mut cells: Vec<Cell>) -> Vec<Cell> {
    let shows = Attrs::REVERSE | Attrs::STRIKE | Attrs::UL0 | Attrs::UL1 | Attrs::UL2 | Attrs::WIDE | Attrs::WIDE_TAIL;
    for c in &mut cells {
        if c.sym == Sym::SPACE && c.bg.is_default() && !c.attrs.intersects(shows) {
            *c = Cell::BLANK;
        }
    }
    cells
}

fn all_lines(vt: &Vt) -> Vec<Vec<Cell>> {
    let end = vt.screen_top_line() + u64::from(vt.size().rows);
    (vt.first_line()..end)
        .map(|n| {
            let mut cells = vec![Cell::BLANK; usize::from(vt.size().cols)];
            vt.line_cells(n, &mut cells);
            normal(cells)
        })
        .collect()
}

fn assert_same(a: &Vt, b: &Vt) {
    assert_eq!(a.core.term.grid().cursor, b.core.term.grid().cursor);
    assert_eq!(a.first_line(), b.first_line());
    assert_eq!(a.screen_top_line(), b.screen_top_line());
    assert_eq!(a.modes(), b.modes());
    for (i, (x, y)) in all_lines(a).iter().zip(&all_lines(b)).enumerate() {
        assert_eq!(x, y, "line {i}");
    }
    let wraps = |v: &Vt| {
        (v.first_line()..v.core.end_line())
            .map(|n| v.line_wrapped(n))
            .collect::<Vec<_>>()
    };
    assert_eq!(wraps(a), wraps(b));
    let rows = 0..a.core.dims.rows;
    for y in rows {
        let line = Line(i32::try_from(y).unwrap());
        assert_eq!(a.core.term.grid()[line], b.core.term.grid()[line], "grid row {y}");
    }
}

#[test]
fn lines_are_whole_whatever_they_were_wrapped_at() {
    let mut vt = Vt::new(
        Size::new(10, 3),
        ScrollbackLimits {
            lines: 100,
            bytes: 1 << 20,
        },
    );
    vt.feed(b"one\r\na line of more than ten\r\nthree\r\nfour\r\n");
    let copy = |vt: &Vt, most| {
        let (text, numbers) = vt.copy_lines(most).text();
        (String::from_utf8(text).unwrap(), numbers)
    };
    let (text, numbers) = copy(&vt, u64::MAX);
    assert_eq!(text, "one\na line of more than ten\nthree\nfour\n\n");
    assert_eq!(numbers, [0, 1, 4, 5, 6]);
    let (text, numbers) = copy(&vt, 3);
    assert_eq!((text.as_str(), numbers), ("three\nfour\n\n", vec![4, 5, 6]));
    // Most of it in the store, some of it forgotten, a line half in the store and half on the screen; at any width.
    let lines: String = (0..3000)
        .map(|i| format!("{i} {}\r\n", "\u{4e00}x".repeat(i % 23)))
        .collect();
    vt.feed(lines.as_bytes());
    vt.feed("and the last of them is long enough for the whole screen".as_bytes());
    for cols in [10, 7, 200, 3, 10] {
        vt.resize(Size::new(cols, 3));
        for most in [u64::MAX, 40, 7, 1] {
            let (text, numbers) = copy(&vt, most);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), numbers.len());
            let first = vt
                .first_line()
                .max(vt.screen_top_line() + 3 - most.min(vt.screen_top_line() + 3));
            assert!(numbers[0] <= first || most == u64::MAX, "{} {first}", numbers[0]);
            for (line, from) in lines.iter().zip(&numbers) {
                let mut whole = String::new();
                for row in *from.. {
                    whole.push_str(&vt.line_text(row).unwrap());
                    if !vt.line_wrapped(row) {
                        break;
                    }
                }
                assert_eq!(*line, whole, "row {from} of {cols} columns");
            }
        }
    }
}

#[test]
fn a_flood_takes_the_short_cut() {
    let mut v = fed(80, 24, "x\r\n".repeat(50));
    let lines = (0..1000).map(|i| format!("line {i}  \r\n")).collect::<String>();
    let taken = v.core.skip_lines(lines.as_bytes());
    let rest = &lines[taken..];
    assert_eq!(rest.lines().count(), 64 + 24);
    assert!(rest.starts_with("line 912 "));
    v.feed(rest.as_bytes());
    assert_eq!(v.screen_top_line(), 1050 - 23);
    for (line, text) in [
        (49, "x"),
        (50, "line 0"),
        (961, "line 911"),
        (962, "line 912"),
        (1049, "line 999"),
        (1050, ""),
    ] {
        assert_eq!(v.line_text(line).unwrap(), text);
    }
    // Too few lines, a line that is too long, or colours: the long way.
    for odd in [
        lines[..1000].to_owned(),
        format!("{}\r\n{lines}", "y".repeat(81)),
        format!("\x1b[1m{lines}"),
    ] {
        assert_eq!(v.core.skip_lines(odd.as_bytes()), 0);
    }
}

#[test]
fn random_bytes_never_panic() {
    let seconds = std::env::var("QD_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let end = Instant::now() + std::time::Duration::from_secs(seconds);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let pieces: &[&[u8]] = &[
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b",
        b"m",
        b"H",
        b"J",
        b"K",
        b"L",
        b"r",
        b"S",
        b"?1049h",
        b"?1049l",
        b"\r\n",
        b"\n\n\n\n\n\n",
        b"999",
        b"1;1",
        "\u{4e16}".as_bytes(),
        "\u{301}".as_bytes(),
        b"\xe4",
        b"\x07",
        b"?2026h",
        b"c",
        b"hello world, a longer run of text that is plain",
        b"4h",
        b"?7l",
        b"?6h",
        b"2J",
        b"3J",
        b"b",
        b"@",
        b"P",
    ];
    let mut rounds = 0;
    while rounds < 20 || Instant::now() < end {
        let mut data = Vec::new();
        while data.len() < 3000 {
            let r = next();
            if r % 3 == 0 {
                data.extend_from_slice(&r.to_le_bytes()[..(r >> 8) as usize % 8 + 1]);
            } else {
                data.extend_from_slice(pieces[(r >> 16) as usize % pieces.len()]);
            }
        }
        crate::fuzz::vt(&data);
        rounds += 1;
    }
}

#[test]
fn after_garbage_a_reset_gives_a_usable_screen() {
    let mut v = vt(80, 24);
    let mut x = 1u32;
    let junk: Vec<u8> = (0..2_000_000)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect();
    v.feed(&junk);
    v.feed(b"\x1b\\\x1bchello");
    assert_eq!(screen(&v)[0], "hello");
    assert_eq!(v.cursor(), Some((5, 0, CursorShape::Default)));
    assert!(v.memory() < 40 << 20);
}

#[test]
fn scrollback_keeps_to_its_budget_and_numbers_lines() {
    let mut v = Vt::new(
        Size::new(80, 24),
        ScrollbackLimits {
            lines: 500,
            bytes: 1 << 20,
        },
    );
    for i in 0..5000 {
        v.feed(format!("line {i}\r\n").as_bytes());
    }
    assert_eq!(v.screen_top_line(), 5000 - 23);
    assert!((500..=700).contains(&v.history_len()), "{}", v.history_len());
    assert_eq!(v.line_text(4900).unwrap(), "line 4900");
    assert_eq!(v.line_text(v.first_line()).unwrap(), format!("line {}", v.first_line()));
    assert!(v.line_text(v.first_line() - 1).is_none());
    v.clear_scrollback();
    assert_eq!((v.history_len(), v.first_line()), (0, 4977));
    assert_eq!(screen(&v)[0], "line 4977");
}

#[test]
fn a_scrolled_view_stays_put() {
    let mut v = vt(40, 5);
    for i in 0..300 {
        v.feed(format!("l{i}\r\n").as_bytes());
    }
    v.scroll_by(100);
    let before = screen(&v);
    assert_eq!(before[0], "l196");
    assert_eq!((v.scroll_offset(), v.cursor()), (100, None));
    for i in 0..1000 {
        v.feed(format!("more {i}\r\n").as_bytes());
    }
    assert_eq!(screen(&v), before);
    assert_eq!(v.scroll_offset(), 1100);
    v.resize(Size::new(20, 5));
    assert_eq!(screen(&v), before);
    v.scroll_by(-1_000_000);
    assert_eq!(v.scroll_offset(), 0);
    assert!(v.cursor().is_some());
    v.scroll_to_top();
    assert_eq!(screen(&v)[0], "l0");
    v.scroll_to_line(700);
    assert_eq!(v.view_top_line(), 696);
}

#[test]
fn growing_brings_history_back() {
    let mut v = vt(40, 5);
    for i in 0..50 {
        v.feed(format!("l{i}\r\n").as_bytes());
    }
    v.resize(Size::new(40, 20));
    assert_eq!(screen(&v)[0], "l31");
    assert_eq!(v.cursor(), Some((0, 19, CursorShape::Default)));
    v.resize(Size::new(40, 3));
    assert_eq!(screen(&v), ["l48", "l49", ""]);
}

#[test]
fn text_of_ranges() {
    let mut v = fed(
        10,
        6,
        "abc\r\n0123456789ABCDE\r\n\u{4e16}\u{754c} \u{1f469}\u{200d}\u{1f4bb}x\r\nlast",
    );
    let pos = |line, col| Pos { line, col };
    assert_eq!(v.text_range(pos(0, 1), pos(2, 2), Shape::Stream), "bc\n0123456789ABC");
    assert_eq!(v.text_range(pos(2, 2), pos(0, 1), Shape::Stream), "bc\n0123456789ABC");
    assert_eq!(v.text_range(pos(0, 2), pos(1, 0), Shape::Line), "abc\n0123456789\n");
    assert_eq!(v.text_range(pos(0, 1), pos(2, 2), Shape::Block), "bc\n12\nBC");
    // Half of a wide character is all of it.
    assert_eq!(v.text_range(pos(3, 1), pos(3, 2), Shape::Stream), "\u{4e16}\u{754c}");
    assert_eq!(
        v.text_range(pos(3, 5), pos(3, 9), Shape::Stream),
        "\u{1f469}\u{200d}\u{1f4bb}x"
    );
    for i in 0..400 {
        v.feed(format!("\r\nfill {i}").as_bytes());
    }
    assert_eq!(v.text_range(pos(0, 1), pos(2, 2), Shape::Stream), "bc\n0123456789ABC");
    assert_eq!(v.text_range(pos(3, 1), pos(3, 2), Shape::Stream), "\u{4e16}\u{754c}");
    assert!(v.line_wrapped(1) && !v.line_wrapped(2));
}

#[test]
fn search_finds_across_wraps_and_stores() {
    let mut v = vt(10, 4);
    v.feed(b"first needle here\r\n");
    for i in 0..500 {
        v.feed(format!("row {i}\r\n").as_bytes());
    }
    v.feed("\u{4e16}\u{754c} Needle".as_bytes());
    let q = |text: &str, kind| Query {
        text: text.to_owned(),
        case: Case::Smart,
        kind,
    };
    let end = Pos {
        line: u64::MAX,
        col: u16::MAX,
    };
    // "first needle here" is wrapped after "first need".
    let m = v
        .search(&q("needle", QueryKind::Literal), Pos::default(), Direction::Forward)
        .unwrap()
        .unwrap();
    assert_eq!((m.start, m.end), (Pos { line: 0, col: 6 }, Pos { line: 1, col: 1 }));
    let after = Pos { line: 0, col: 7 };
    let m2 = v
        .search(&q("needle", QueryKind::Literal), after, Direction::Forward)
        .unwrap()
        .unwrap();
    assert_eq!(m2.start, Pos { line: 502, col: 5 });
    assert_eq!(
        v.search(&q("Needle", QueryKind::Literal), Pos::default(), Direction::Forward)
            .unwrap()
            .unwrap(),
        m2
    );
    assert_eq!(
        v.search(&q("needle", QueryKind::Literal), end, Direction::Backward)
            .unwrap()
            .unwrap(),
        m2
    );
    let before = Pos { line: 502, col: 4 };
    assert_eq!(
        v.search(&q("needle", QueryKind::Literal), before, Direction::Backward)
            .unwrap()
            .unwrap(),
        m
    );
    assert_eq!(
        v.count_matches(&q("^row [0-9]+$", QueryKind::Regex), 10_000).unwrap(),
        MatchCount::Exact(500)
    );
    assert_eq!(
        v.count_matches(&q("row", QueryKind::Literal), 100).unwrap(),
        MatchCount::AtLeast(100)
    );
    assert!(matches!(
        v.search(&q("(", QueryKind::Regex), end, Direction::Backward),
        Err(SearchError::Pattern(_))
    ));
    assert_eq!(
        v.search(&q("", QueryKind::Literal), end, Direction::Backward),
        Err(SearchError::Empty)
    );
    assert_eq!(v.matches_in(&q("needle", QueryKind::Literal), 0..2).unwrap(), vec![m]);
    let wide = v
        .search(&q("\u{754c}", QueryKind::Literal), end, Direction::Backward)
        .unwrap()
        .unwrap();
    assert_eq!(wide.start, Pos { line: 502, col: 2 });
}

#[test]
fn prompts_are_found_again_after_a_change_of_width() {
    let mut v = vt(20, 5);
    for i in 0..100 {
        v.feed(
            format!(
                "\x1b]133;A\x07prompt {i} $ \x1b]133;B\x07cmd\r\n{}\r\n",
                "out ".repeat(9)
            )
            .as_bytes(),
        );
    }
    for cols in [7, 33, 200, 20] {
        v.resize(Size::new(cols, 5));
        let prompts = v.prompts();
        assert_eq!(prompts.len(), 100);
        for (i, p) in prompts.iter().enumerate() {
            let text = v.text_range(Pos { line: *p, col: 0 }, Pos { line: p + 2, col: cols }, Shape::Stream);
            assert!(text.starts_with(&format!("prompt {i} $")), "{cols}: {i} at {p}: {text}");
        }
    }
}

#[test]
fn questions_are_answered() {
    for (ask, answer) in [
        ("\x1b[c", "\x1b[?62;22c"),
        ("\x1b[>c", "\x1b[>0;400;0c"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[3;7H\x1b[6n", "\x1b[3;7R"),
        (
            "\x1b[>q",
            concat!("\x1bP>|Quarterdeck ", env!("CARGO_PKG_VERSION"), "\x1b\\"),
        ),
        ("\x1b[18t", "\x1b[8;24;80t"),
        ("\x1b[14t", "\x1b[4;384;640t"),
        ("\x1b[16t", "\x1b[6;16;8t"),
        ("\x1b]2;rm -rf\x07\x1b[21t", "\x1b]l\x1b\\"),
        ("\x1b[?25$p", "\x1b[?25;1$y"),
        ("\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;1$y"),
        ("\x1b[?9999$p", "\x1b[?9999;0$y"),
        ("\x1b[?2026$p", "\x1b[?2026;2$y"),
        ("\x1b[4$p", "\x1b[4;2$y"),
        ("\x1b]10;?\x07", "\x1b]10;rgb:e5e5/e5e5/e5e5\x07"),
        ("\x1b]11;#102030\x07\x1b]11;?\x1b\\", "\x1b]11;rgb:1010/2020/3030\x1b\\"),
        (
            "\x1b]4;1;?;196;?\x07",
            "\x1b]4;1;rgb:cdcd/0000/0000\x07\x1b]4;196;rgb:ffff/0000/0000\x07",
        ),
        (
            "\x1b]4;1;rgb:f/8/0\x07\x1b]4;1;?\x07\x1b]104;1\x07\x1b]4;1;?\x07",
            "\x1b]4;1;rgb:ffff/8888/0000\x07\x1b]4;1;rgb:cdcd/0000/0000\x07",
        ),
        (
            "\x1b[1;4:3;38;5;9;48;2;1;2;3m\x1bP$qm\x1b\\",
            "\x1bP1$r0;1;4:3;38:5:9;48:2::1:2:3m\x1b\\",
        ),
        ("\x1b[2;9r\x1bP$qr\x1b\\", "\x1bP1$r2;9r\x1b\\"),
        ("\x1b[4 q\x1bP$q q\x1b\\", "\x1bP1$r4 q\x1b\\"),
        ("\x1bP$qz\x1b\\", "\x1bP0$r\x1b\\"),
        ("\x1bP+q544e\x1b\\", "\x1bP0+r\x1b\\"),
        (
            "\x1b[?u\x1b[>5u\x1b[?u\x1b[=2;2u\x1b[?u\x1b[<u\x1b[?u",
            "\x1b[?0u\x1b[?5u\x1b[?7u\x1b[?0u",
        ),
        ("\x1b[>1u\x1b[?1049h\x1b[?u\x1b[?1049l\x1b[?u", "\x1b[?0u\x1b[?1u"),
        ("\x1b[>4;2m\x1b[?4m", "\x1b[>4;2m"),
        ("\x1b[?996n", "\x1b[?997;1n"),
    ] {
        let mut v = fed(80, 24, ask);
        assert_eq!(replies(&mut v), answer, "{ask:?}");
    }
}

#[test]
fn events_come_out() {
    use VtEvent as E;
    let notify = |t: &str, b: &str| E::Notify {
        title: t.to_owned(),
        body: b.to_owned(),
    };
    let long = format!("\x1b]2;{}\x07", "x".repeat(5000));
    for (bytes, want) in [
        (
            "\x1b]0;hi\u{9b}\u{202e}\x01 there\x07",
            vec![E::Title("hi there".into())],
        ),
        (long.as_str(), vec![E::Title("x".repeat(256))]),
        ("\x07\x07\x07", vec![E::Bell]),
        ("\x1b]7;file://host/tmp/a%20b\x1b\\", vec![E::Cwd("/tmp/a b".into())]),
        ("\x1b]9;done\x07", vec![notify("", "done")]),
        ("\x1b]777;notify;T;B;c\x07", vec![notify("T", "B;c")]),
        (
            "\x1b]99;i=1:d=0;Ti\x07\x1b]99;i=1:p=body;Bo\x07",
            vec![notify("Ti", "Bo")],
        ),
        ("\x1b]9;4;1;42\x07", vec![E::Progress(crate::Progress::Percent(42))]),
        ("\x1b]52;c;aGk=\x07", vec![E::Clipboard(b"hi".to_vec())]),
        ("\x1b]52;c;?\x07", vec![E::ClipboardQuery]),
        (
            "\x1b]133;A\x07\x1b]133;C\x07\x1b]133;D;3\x07",
            vec![E::PromptStart, E::CommandStart, E::CommandEnd { exit: Some(3) }],
        ),
        (
            "\x1b]1337;File=inline=1:AAAA\x07\x1b_Gi=1;AAAA\x1b\\\x1bPq#0\x1b\\\x1bXz\x1b\\",
            vec![],
        ),
        ("\x1b[5 q", vec![E::CursorShape(CursorShape::BlinkingBar)]),
    ] {
        let mut v = fed(80, 24, bytes);
        assert_eq!(v.take_events(), want, "{bytes:?}");
        assert_eq!(screen(&v)[0], "", "{bytes:?}");
    }
}

#[test]
fn endless_strings_cost_no_memory() {
    for start in [
        "\x1b]52;c;",
        "\x1bP",
        "\x1bPq",
        "\x1b_",
        "\x1b^",
        "\x1bX",
        "\x1b[",
        "\x1b]8;;",
    ] {
        let mut v = fed(80, 24, start);
        for _ in 0..200 {
            v.feed(&[b'1'; 65_536]);
        }
        assert!(v.parser.memory() <= 4 << 20, "{start:?}: {}", v.parser.memory());
        v.feed(b"\x1b\\m\r\x1b[2Kok");
        assert_eq!(screen(&v)[0], "ok", "{start:?}");
    }
    let mut v = fed(80, 24, "a");
    v.feed("\u{301}".repeat(1_000_000).as_bytes());
    assert!(v.line_text(0).unwrap().len() < 64);
}

#[test]
fn synchronized_updates_end() {
    let mut v = fed(80, 24, "\x1b[?2026hhello");
    let now = Instant::now();
    assert!(v.sync_pending() && !v.sync_expired(now));
    assert!(!v.sync_expired(now + SYNC_TIMEOUT / 2));
    assert!(v.sync_expired(now + SYNC_TIMEOUT) && !v.sync_pending());
    v.feed(b"\x1b[?2026h\x1b[?2026l");
    assert!(!v.sync_pending());
    assert_eq!(screen(&v)[0], "hello");
}

#[test]
fn unsure_clusters_are_marked() {
    let v = fed(
        20,
        2,
        "\u{2764}\u{fe0f}x\u{1f469}\u{200d}\u{1f4bb}y\u{1f1eb}\u{1f1f7}z\u{4e16}e\u{301}",
    );
    let mut row = [Cell::BLANK; 20];
    v.row(0, &mut row);
    let marked: Vec<bool> = row.iter().map(|c| c.attrs.contains(Attrs::UNSURE_WIDTH)).collect();
    let text = |i: usize| {
        let mut s = String::new();
        row[i].sym.push_to(&mut s);
        (s, marked[i])
    };
    assert_eq!(text(0), ("\u{2764}\u{fe0f}".into(), true));
    assert_eq!(text(1), ("x".into(), false));
    assert!(marked[2]);
    let e = row
        .iter()
        .position(|c| {
            let mut s = String::new();
            c.sym.push_to(&mut s);
            s == "e\u{301}"
        })
        .unwrap();
    assert!(!marked[e] && !marked[e - 2]);
}

#[test]
fn a_soft_reset_leaves_the_text() {
    let mut v = fed(
        80,
        24,
        "text\x1b[?25l\x1b[4h\x1b[?6h\x1b[3;5r\x1b[31m\x1b(0\x1b[?1h\x1b[!p",
    );
    assert!(v.cursor().is_some() && !v.modes().app_cursor);
    v.feed(b"\x1b[1;6Hq\x1b[6n");
    assert_eq!(screen(&v)[0], "text q");
    let mut row = [Cell::BLANK; 8];
    v.row(0, &mut row);
    assert_eq!(row[5].fg, Color::DEFAULT);
}

#[test]
fn the_palette_answers_and_the_scheme_is_told() {
    let mut v = fed(80, 24, "\x1b[?2031h");
    let palette = Palette {
        background: Rgb::new(1, 2, 3),
        scheme: Scheme::Light,
        ..Palette::default()
    };
    v.set_palette(palette);
    v.feed(b"\x1b]11;?\x07");
    assert_eq!(replies(&mut v), "\x1b[?997;2n\x1b]11;rgb:0101/0202/0303\x07");
}

#[test]
fn one_cell_is_a_screen() {
    let mut v = fed(1, 1, "ab\u{4e16}c\r\n\x1b[5;5Hx");
    assert_eq!(v.size(), Size::new(1, 1));
    v.feed(b"\x1b[18t");
    assert_eq!(replies(&mut v), "\x1b[8;1;1t");
    assert!(v.cursor().is_some_and(|(x, y, _)| (x, y) == (0, 0)));
}
