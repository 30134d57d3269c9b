//! Properties: the fast path and the flood are the slow path, our parser is alacritty's, sizes may change anywhere.

use alacritty_terminal::{
    event::VoidListener,
    grid::Dimensions,
    index::{Column, Line},
    term::{Config, Term},
    vte::ansi::{Processor, StdSyncHandler},
};
use proptest::prelude::*;

use super::*;
use crate::vt::{core::Path, grid::Dims};

/// One piece of a stream that alacritty's own parser understands in the same way as ours.
fn common_token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[ -~]{0,60}".prop_map(String::into_bytes),
        4 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just(b"\x08".to_vec()),
        2 => "[a-z\u{e9}\u{4e16}\u{754c}\u{1f600}\u{301}\u{200d}\u{fe0f}\u{1f1e6}]{1,12}".prop_map(String::into_bytes),
        3 => prop::sample::select(vec![
            "0", "1", "31", "32;44", "38;5;200", "48;2;1;2;3", "4:3", "4", "58;5;9", "59", "7", "9", "27", "39;49",
            "38:2::9:8:7", "38:5:17", "90;107", "22;23;24;28;29", "", "1;;3",
        ]).prop_map(|s| format!("\x1b[{s}m").into_bytes()),
        2 => (1..30u16, 1..90u16).prop_map(|(y, x)| format!("\x1b[{y};{x}H").into_bytes()),
        1 => (1..90u16).prop_map(|x| format!("\x1b[{x}G").into_bytes()),
        1 => (1..9u16, prop::sample::select(vec!['@', 'P', 'X', 'L', 'M', 'S', 'T', 'C', 'D', 'I']))
            .prop_map(|(n, c)| format!("\x1b[{n}{c}").into_bytes()),
        1 => prop::sample::select(vec![
            "\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[J", "\x1b[2J", "\x1bM", "\x1bD", "\x1bE", "\x1b7", "\x1b8", "\x1b#8",
            "\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b[?7l", "\x1b[?7h", "\x1b[4h", "\x1b[4l",
            "\x1b[?1049h", "\x1b[?1049l", "\x1bH", "\x1b[g", "\x1b[3g", "\x1b]8;id=a;http://x\x07", "\x1b]8;;\x1b\\",
        ]).prop_map(|s| s.as_bytes().to_vec()),
        1 => (1..3u16, 3..30u16).prop_map(|(a, b)| format!("\x1b[{a};{b}r").into_bytes()),
    ]
}

pub(super) fn any_token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => common_token(),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::sample::select(vec![
            "\x1bc", "\x1b[!p", "\x1b[3J", "\x1b[1J", "\x1b[20h", "\x1b[20l", "\x1b[?6h", "\x1b[?6l", "\x1b[5A", "\x1b[5B",
            "\x1b[2E", "\x1b[2F", "\x1b[3Z", "\x1b[4d", "\x1bP$qm\x1b\\", "\x1b_x\x1b\\", "\x1b]133;A\x07", "\x1b[?47h",
            "\x1b[?47l", "\x1b]2;t\x07", "\x1b[s", "\x1b[u", "\x1b[99999b", "\x1b[7b", "\x1b[?2026h", "\x1b]4;1;?\x07",
        ]).prop_map(|s| s.as_bytes().to_vec()),
    ]
}

pub(super) fn chunks(stream: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts
        .iter()
        .map(|c| c.index(stream.len() + 1))
        .chain([0, stream.len()])
        .collect();
    at.sort_unstable();
    at.windows(2).map(|w| stream[w[0]..w[1]].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Same bytes, cut anywhere, on both paths: the same screen, history, cursor and replies.
    #[test]
    fn fast_path_is_the_slow_path(
        tokens in prop::collection::vec(any_token(), 0..150),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        cols in 1..90u16, rows in 1..25u16,
    ) {
        let stream = tokens.concat();
        let mut fast = vt(cols, rows);
        for c in chunks(&stream, &cuts) {
            fast.feed(&c);
        }
        let mut slow = vt(cols, rows);
        slow.core.path = Path::Slow;
        slow.feed(&stream);
        assert_same(&fast, &slow);
        prop_assert_eq!(replies(&mut fast), replies(&mut slow));
        prop_assert_eq!(fast.take_events(), slow.take_events());
    }

    /// Floods in large pieces take a short cut, to the same end.
    #[test]
    fn floods_are_the_slow_path(
        before in prop::collection::vec(any_token(), 0..6),
        lines in prop::collection::vec("[ -~]{0,40} {0,3}", 300..900),
        odd in prop::collection::vec((any::<prop::sample::Index>(), any_token()), 0..3),
        after in prop::collection::vec(any_token(), 0..6),
        cols in 30..60u16, rows in 1..20u16, budget in 0..400u32,
    ) {
        let mut lines = lines;
        let limits = ScrollbackLimits { lines: budget, bytes: 1 << 20 };
        for (at, token) in odd {
            let i = at.index(lines.len());
            lines[i] = String::from_utf8_lossy(&token).into_owned();
        }
        let start = [before.concat(), b"\x1b[m\r\nx\r\n".repeat(30)].concat();
        let flood = [lines.join("\r\n").into_bytes(), after.concat()].concat();
        let mut fast = Vt::new(Size::new(cols, rows), limits);
        fast.feed(&start);
        fast.feed(&flood);
        let stream = [start, flood].concat();
        let mut slow = Vt::new(Size::new(cols, rows), limits);
        slow.core.path = Path::Slow;
        slow.feed(&stream);
        prop_assert_eq!(fast.screen_top_line(), slow.screen_top_line());
        prop_assert_eq!(&fast.core.term.grid().cursor, &slow.core.term.grid().cursor);
        let end = fast.core.end_line();
        for n in fast.first_line().max(slow.first_line())..end {
            prop_assert_eq!(fast.line_text(n), slow.line_text(n), "line {}", n);
            prop_assert_eq!(fast.line_wrapped(n), slow.line_wrapped(n), "line {}", n);
        }
    }

    /// What alacritty's own parser makes of a stream is what ours makes of it.
    #[test]
    fn our_parser_agrees_with_alacritty(tokens in prop::collection::vec(common_token(), 0..120), cols in 2..90u16, rows in 3..25u16) {
        let stream = tokens.concat();
        let ours = fed(cols, rows, &stream);
        let dims = Dims { cols: usize::from(cols), rows: usize::from(rows) };
        let mut term = Term::new(Config { scrolling_history: 50_000, ..Config::default() }, &dims, VoidListener);
        Processor::<StdSyncHandler>::new().advance(&mut term, &stream);
        prop_assert_eq!(ours.cursor_cell().0 as usize, term.grid().cursor.point.column.0);
        prop_assert_eq!(&ours.core.term.grid().cursor, &term.grid().cursor);
        let history = if ours.core.alt() { 0 } else { ours.history_len() as usize };
        prop_assert_eq!(history, term.grid().history_size());
        for (i, line) in all_lines(&ours).into_iter().enumerate() {
            let row = &term.grid()[Line(i32::try_from(i).unwrap() - i32::try_from(history).unwrap())];
            let mut cells = vec![Cell::BLANK; dims.cols];
            cells::convert(&row[Column(0)..Column(dims.cols)], &mut cells);
            prop_assert_eq!(line, normal(cells), "line {}", i);
        }
    }

    /// Changes of size between any bytes: nothing panics, and on the main screen no text is lost.
    #[test]
    fn sizes_may_change_anywhere(
        steps in prop::collection::vec((prop::collection::vec(any_token(), 0..20), 1..500u16, 1..200u16), 0..12),
    ) {
        let mut v = vt(80, 24);
        for (tokens, cols, rows) in steps {
            v.feed(&tokens.concat());
            v.resize(Size::new(cols, rows));
            let mut cells = vec![Cell::BLANK; usize::from(cols)];
            for y in 0..rows {
                v.row(y, &mut cells);
                for (i, c) in cells.iter().enumerate() {
                    let tail = cells.get(i + 1).is_some_and(|n| n.attrs.contains(Attrs::WIDE_TAIL));
                    prop_assert_eq!(c.attrs.contains(Attrs::WIDE), tail);
                }
            }
            prop_assert!(v.core.hot() <= v.core.dims.cap());
        }
    }

    /// Lines survive any number of changes of size.
    #[test]
    fn no_line_is_lost_by_resizing(sizes in prop::collection::vec((2..220u16, 1..80u16), 1..8), n in 0..700usize, alt: bool) {
        let mut v = vt(100, 30);
        let lines: Vec<String> = (0..n).map(|i| format!("{i} {}\u{4e16}.", "word ".repeat(i % 40))).collect();
        for l in &lines {
            v.feed(format!("{l}\r\n").as_bytes());
        }
        if alt {
            v.feed(b"\x1b[?1049h on the other screen");
        }
        for (c, r) in sizes {
            v.resize(Size::new(c, r));
        }
        v.feed(b"\x1b[?1049l");
        let end = Pos { line: u64::MAX, col: u16::MAX };
        let text = v.text_range(Pos::default(), end, Shape::Stream);
        let got: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
        prop_assert_eq!(got, lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
