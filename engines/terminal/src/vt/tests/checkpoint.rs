//! Properties of checkpoints: wherever a stream is cut, what is restored goes on as if nothing had happened.

use std::collections::BTreeMap;

use alacritty_terminal::term::cell::Cell as Src;
use proptest::prelude::*;

use super::{
    props::{any_token, chunks},
    *,
};
use crate::{Checkpoint, RestoreError, block_number, split_blocks};

/// Keeps what is handed out, as a keeper would.
#[derive(Default)]
struct Keeper {
    state: Vec<u8>,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Keeper {
    fn take(&mut self, vt: &mut Vt) -> Checkpoint {
        self.state.clear();
        let mut blocks = Vec::new();
        let c = vt.checkpoint(&mut self.state, &mut blocks);
        for b in &c.closed {
            let bytes = &blocks[b.at.clone()];
            assert_eq!(block_number(bytes), Some(b.number));
            assert!(
                self.blocks
                    .insert(b.number, bytes.to_vec())
                    .is_none_or(|old| old == bytes),
                "a block changed under its number"
            );
        }
        assert_eq!(split_blocks(&blocks).count(), c.closed.len());
        self.blocks.retain(|n, _| c.kept.iter().any(|k| k.contains(n)));
        assert_eq!(
            self.blocks.len() as u64,
            c.kept.iter().map(|k| k.end - k.start).sum::<u64>()
        );
        c
    }

    fn restore(&self, limits: ScrollbackLimits) -> Vt {
        let r = Vt::restore(&self.state, self.blocks.values().map(Vec::as_slice), limits).unwrap();
        assert_eq!(r.lost_blocks, 0);
        r.vt
    }
}

fn grid_rows(vt: &Vt) -> Vec<Vec<Src>> {
    let grid = vt.core.term.grid();
    let history = i32::try_from(grid.history_size()).unwrap();
    let rows = i32::try_from(grid.screen_lines()).unwrap();
    (-history..rows).map(|l| grid[Line(l)][..].to_vec()).collect()
}

/// All that can be seen of two emulators, and what cannot.
fn assert_equal(a: &mut Vt, b: &mut Vt) {
    assert_eq!(a.size(), b.size());
    assert_eq!(a.generation(), b.generation());
    assert_eq!(a.cursor(), b.cursor());
    assert_eq!(a.modes(), b.modes());
    assert_eq!(a.key_modes(), b.key_modes());
    assert_eq!(a.title(), b.title());
    assert_eq!(a.prompts(), b.prompts());
    assert_eq!(a.sync_pending(), b.sync_pending());
    assert_eq!(a.core.tabs, b.core.tabs);
    assert_eq!(a.core.colors, b.core.colors);
    assert_eq!(a.core.term.grid().cursor, b.core.term.grid().cursor);
    assert_eq!(a.core.term.grid().saved_cursor, b.core.term.grid().saved_cursor);
    assert_eq!(a.core.term.mode(), b.core.term.mode());
    assert_eq!(replies(a), replies(b));
    assert_eq!(a.take_events(), b.take_events());
    assert_eq!(
        (
            a.first_line(),
            a.screen_top_line(),
            a.view_top_line(),
            a.core.store.first()
        ),
        (
            b.first_line(),
            b.screen_top_line(),
            b.view_top_line(),
            b.core.store.first()
        )
    );
    assert_eq!(grid_rows(a), grid_rows(b));
    let end = a.core.end_line();
    let (mut x, mut y) = (
        vec![Cell::BLANK; usize::from(a.size().cols)],
        vec![Cell::BLANK; usize::from(a.size().cols)],
    );
    for n in a.first_line()..end {
        a.line_cells(n, &mut x);
        b.line_cells(n, &mut y);
        assert_eq!(x, y, "line {n}");
        assert_eq!(a.line_text(n), b.line_text(n), "line {n}");
        assert_eq!(a.line_wrapped(n), b.line_wrapped(n), "line {n}");
    }
    for most in [u64::MAX, 30] {
        assert_eq!(a.copy_lines(most).text(), b.copy_lines(most).text());
    }
    let query = Query {
        text: "a.*[b1]".to_owned(),
        kind: QueryKind::Regex,
        ..Query::default()
    };
    assert_eq!(
        a.count_matches(&query, 50).unwrap(),
        b.count_matches(&query, 50).unwrap()
    );
    assert_eq!(
        a.matches_in(&query, 0..end).unwrap(),
        b.matches_in(&query, 0..end).unwrap()
    );
}

/// What is done to an emulator.
#[derive(Debug, Clone)]
enum Step {
    Feed(Vec<u8>),
    Resize(u16, u16),
    Scroll(i64),
    Clear,
}

impl Step {
    fn apply(&self, vt: &mut Vt) {
        match self {
            Self::Feed(bytes) => vt.feed(bytes),
            Self::Resize(cols, rows) => vt.resize(Size::new(*cols, *rows)),
            Self::Scroll(by) => vt.scroll_by(*by),
            Self::Clear => vt.clear_scrollback(),
        }
    }
}

/// What the other generators leave out: what is kept between sequences.
fn state_token() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "\x1b[?1h",
        "\x1b[?1000h",
        "\x1b[?1002h",
        "\x1b[?1003l",
        "\x1b[?1006h",
        "\x1b[?1005h",
        "\x1b[?1015h",
        "\x1b[?9h",
        "\x1b[?2004h",
        "\x1b[?1004h",
        "\x1b[?25l",
        "\x1b[?12h",
        "\x1b[?1007l",
        "\x1b[?1042l",
        "\x1b=",
        "\x1b>",
        "\x1b[?67h",
        "\x1b[?5h",
        "\x1b[?2031h",
        "\x1b[?2026h",
        "\x1b[?2026l",
        "\x1b[>4;2m",
        "\x1b[>1u",
        "\x1b[=5;2u",
        "\x1b[<u",
        "\x1b[4 q",
        "\x1b]2;a title\x07",
        "\x1b[22t",
        "\x1b[23t",
        "\x1b]4;3;rgb:11/22/33\x07",
        "\x1b]10;#123456\x07",
        "\x1b]104;3\x07",
        "\x1b]7;file:///tmp/x\x07",
        "\x1b]9;4;1;30\x07",
        "\x1b]9;hello\x07",
        "\x1b]99;i=1:d=0;part\x07",
        "\x1b]99;i=1;end\x07",
        "\x1b]133;A\x07$ ",
        "\x1b]133;B\x07",
        "\x1b]133;C\x07",
        "\x1b]133;D;1\x07",
        "\x1b]52;c;aGVsbG8=\x07",
        "\x1b]52;c;?\x07",
        "\x07",
        "\x1b]8;id=x;http://a/b\x07link",
        "\x1b]8;;http://c\x07",
        "\x1b]8;;\x07",
        "\x1b[58;2;1;2;3m",
        "\x1b[48;5;9m\x1b[K",
        "\x1b[?1049h\x1b[5;5H\x1b7\x1b[44m",
        "\x1b[?1049l",
        "\x1b[6n",
        "\x1b[?1$p",
        "\x1bP$qr\x1b\\",
        "\x1b]4;3;?\x07",
        "\x1b[c",
        "\x1b[3;9r",
        "\x1b[?6h",
        "\x1b[5G\x1bH",
        "\x1b[3g",
        "\x1b(0qqq\x1b(B",
        "\x1bn",
        "\x1b*0",
        "e\u{301}\u{302}",
        "\u{1f468}\u{200d}\u{1f4bb}",
        "\x1b[7b",
        "\x1b[48;5;4m\r\n\r\n",
        "\x1b[2J",
        "\x1b[H\x1b[41m\x1b[J",
    ])
    .prop_map(|s| s.as_bytes().to_vec())
}

/// A flood, or many lines in colours, or one that never ends.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    (0..4u8, 20..700usize, any::<u16>()).prop_map(|(kind, n, seed)| {
        (0..n)
            .map(|i| {
                let k = i.wrapping_mul(31).wrapping_add(usize::from(seed));
                match kind {
                    0 => format!("line {i} {}\r\n", "a1 ".repeat(k % 20)),
                    1 => format!(
                        "\x1b[38;2;{};{};9m{}\x1b[4{}m{i}\x1b[m\r\n",
                        k % 256,
                        i % 256,
                        "ab ".repeat(k % 9),
                        k % 8
                    ),
                    2 => format!(
                        "{}\u{4e16}\u{754c}a{i}{}",
                        "b1".repeat(k % 5),
                        if k % 7 == 0 { "\r\n" } else { "" }
                    ),
                    _ => format!("\u{e9}a {i} b\r\n"),
                }
            })
            .collect::<String>()
            .into_bytes()
    })
}

/// A full-screen program, about.
fn redraw() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), 3..24usize, 10..90usize, any::<u8>()).prop_map(|(alt, rows, cols, seed)| {
        let mut out = String::new();
        if alt {
            out.push_str("\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l");
        }
        out.push_str("\x1b[?2026h\x1b[H\x1b[2J");
        for y in 1..=rows {
            let k = y * 7 + usize::from(seed);
            out.push_str(&format!(
                "\x1b[{y};1H\x1b[38;5;{}m{y:>3} \x1b[m{}\x1b[{};7m{}\x1b[K\x1b[m",
                k % 256,
                "word ".repeat(k % (cols / 5)),
                30 + k % 8,
                "\u{2502}"
            ));
        }
        out.push_str(&format!(
            "\x1b[2;{rows}r\x1b[{rows};1H\n\n\x1bM\x1b[r\x1b[3;5H\x1b[?2026l"
        ));
        if alt && seed % 2 == 0 {
            out.push_str("\x1b[?1049l\x1b[?25h\x1b>");
        }
        out.into_bytes()
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![10 => any_token(), 6 => state_token(), 1 => lines(), 1 => redraw()],
        0..50,
    )
    .prop_map(|t| t.concat())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (stream(), prop::collection::vec(any::<prop::sample::Index>(), 0..3)).prop_map(|(s, cuts)| {
            chunks(&s, &cuts).into_iter().map(Step::Feed).collect()
        }),
        3 => (1..120u16, 1..40u16).prop_map(|(c, r)| vec![Step::Resize(c, r)]),
        1 => (-50..300i64).prop_map(|n| vec![Step::Scroll(n)]),
        1 => Just(vec![Step::Clear]),
    ];
    prop::collection::vec(step, 0..7).prop_map(|s: Vec<Vec<Step>>| s.concat())
}

fn limits() -> impl Strategy<Value = ScrollbackLimits> {
    (
        prop_oneof![Just(0), 1..3000u32, Just(100_000)],
        prop_oneof![Just(0), 1..200_000usize, Just(1 << 24)],
    )
        .prop_map(|(lines, bytes)| ScrollbackLimits { lines, bytes })
}

fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("QD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(250))]

    /// The rest of a stream does the same to the restored emulator as to the one that was never killed, and so does a
    /// second checkpoint, byte by byte.
    #[test]
    fn what_is_restored_goes_on(
        before in steps(), cut in any::<prop::sample::Index>(), after in steps(), again in any::<prop::sample::Index>(),
        cols in 1..100u16, rows in 1..30u16, limits in limits(), events: bool,
    ) {
        let mut vt = Vt::new(Size::new(cols, rows), limits);
        let mut keeper = Keeper::default();
        let early = again.index(before.len() + 1);
        for (i, s) in before.iter().enumerate() {
            // One in between, so that blocks are handed out in parts.
            if i == early {
                keeper.take(&mut vt);
            }
            if let Step::Feed(bytes) = s && i + 1 == before.len() {
                // The stream is cut anywhere, also inside a sequence or a character.
                vt.feed(&bytes[..cut.index(bytes.len() + 1)]);
            } else {
                s.apply(&mut vt);
            }
            if events {
                vt.take_events();
            }
        }
        keeper.take(&mut vt);
        let mut new = keeper.restore(limits);
        if let Some(Step::Feed(bytes)) = before.last() {
            let rest = &bytes[cut.index(bytes.len() + 1)..];
            vt.feed(rest);
            new.feed(rest);
        }
        let second = again.index(after.len() + 1);
        for (i, s) in after.iter().enumerate() {
            if i == second {
                let mut theirs = Keeper { blocks: keeper.blocks.clone(), ..Keeper::default() };
                let (a, b) = (keeper.take(&mut vt), theirs.take(&mut new));
                prop_assert_eq!(a, b);
                prop_assert!(keeper.state == theirs.state);
                prop_assert!(keeper.blocks == theirs.blocks);
            }
            s.apply(&mut vt);
            s.apply(&mut new);
        }
        assert_equal(&mut vt, &mut new);
        let mut theirs = Keeper { blocks: keeper.blocks.clone(), ..Keeper::default() };
        let (a, b) = (keeper.take(&mut vt), theirs.take(&mut new));
        prop_assert_eq!(a, b);
        prop_assert!(keeper.state == theirs.state);
        prop_assert!(keeper.blocks == theirs.blocks);
        // And once more, from the second.
        let mut third = theirs.restore(limits);
        assert_equal(&mut vt, &mut third);
    }
}

/// An emulator with something of everything, and what it hands out.
fn sample() -> (Vt, Vec<u8>, Vec<u8>, Checkpoint) {
    let mut v = Vt::new(Size::new(60, 12), LIMITS);
    for i in 0..6000 {
        v.feed(
            format!(
                "{i} \x1b[3{}mred\x1b[m \u{4e16}\u{754c} \x1b]8;;http://x/{i}\x07link\x1b]8;;\x07 end\r\n",
                i % 8
            )
            .as_bytes(),
        );
    }
    v.feed(
        "\x1b]133;A\x07$ e\u{301}\x1b[58;5;9;4mx\x1b[m\x1b]2;title\x07\x1b[22t\x1b]4;1;#fff\x07\x1b[?1003h".as_bytes(),
    );
    v.feed(b"\x1b[?1049h\x1b[44m\x1b[2J\x1b[3;4Hon the other\x1b7\x1b[2;8r\x1b[>4;1m\x1b]52;c;aGVs");
    let (mut state, mut blocks) = (Vec::new(), Vec::new());
    let c = v.checkpoint(&mut state, &mut blocks);
    (v, state, blocks, c)
}

#[test]
fn a_cut_or_damaged_checkpoint_is_an_error_that_names_the_place() {
    let (_, state, blocks, _) = sample();
    let restore = |state: &[u8]| Vt::restore(state, split_blocks(&blocks), LIMITS);
    assert_eq!(restore(&state).unwrap().lost_blocks, 0);
    // What stands behind it is not looked at.
    assert!(restore(&[&state[..], b"more"].concat()).is_ok());
    for n in 0..state.len() {
        assert!(matches!(restore(&state[..n]), Err(RestoreError::Torn { .. })), "{n}");
    }
    for i in 0..state.len() {
        let mut bad = state.clone();
        bad[i] ^= 1 << (i % 8);
        assert!(restore(&bad).is_err(), "{i}");
    }
    let mut other = state.clone();
    other[4] = 77;
    assert_eq!(
        restore(&other).unwrap_err(),
        RestoreError::Version { found: 77, known: 1 }
    );
    assert_eq!(restore(b"not a checkpoint").unwrap_err(), RestoreError::Foreign);
    // Cut where the checksum is right: the error says in what.
    let mut short = state[..state.len() / 2].to_vec();
    crate::vt::seal_checkpoint(&mut short);
    let e = restore(&short).unwrap_err();
    assert!(
        matches!(e, RestoreError::Short { .. } | RestoreError::Bad { .. }),
        "{e}"
    );
    let mut vast = [&state[..13], &[0xff, 0xff, 3, 0xff, 0xff, 3]].concat();
    crate::vt::seal_checkpoint(&mut vast);
    assert_eq!(
        restore(&vast).unwrap_err(),
        RestoreError::TooLarge {
            cols: u16::MAX,
            rows: u16::MAX
        }
    );
}

#[test]
fn lines_keep_their_numbers_when_blocks_are_lost() {
    let (mut v, state, blocks, c) = sample();
    assert!(c.closed.len() > 3, "{}", c.closed.len());
    let all: Vec<&[u8]> = split_blocks(&blocks).collect();
    let mut damaged = all[1].to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let ways: [(Vec<&[u8]>, usize); 3] = [
        (
            all.iter()
                .enumerate()
                .filter(|(i, _)| *i != 1)
                .map(|(_, b)| *b)
                .collect(),
            2,
        ),
        ([&[&damaged[..], all[0]], &all[2..]].concat(), 2),
        (Vec::new(), all.len()),
    ];
    v.feed(b"\x07\x1b[?1049l");
    for (blocks, lost) in ways {
        let r = Vt::restore(&state, blocks, LIMITS).unwrap();
        assert_eq!(r.lost_blocks, lost);
        let mut new = r.vt;
        new.feed(b"\x07\x1b[?1049l");
        assert!(new.first_line() > 0);
        assert_eq!(new.screen_top_line(), v.screen_top_line());
        for n in new.first_line()..v.core.end_line() {
            assert_eq!(new.line_text(n), v.line_text(n), "line {n}");
        }
        assert_eq!(new.line_text(new.first_line() - 1), None);
    }
}

#[test]
fn closed_blocks_are_handed_out_once_or_again_when_asked() {
    let (mut v, mut state, blocks, first) = sample();
    let (mut again, mut none) = (Vec::new(), Vec::new());
    state.clear();
    assert_eq!(v.checkpoint(&mut state, &mut none).closed, []);
    assert!(none.is_empty());
    v.hand_out_again();
    let c = v.checkpoint(&mut state, &mut again);
    assert_eq!((c.closed, c.kept), (first.closed, first.kept.clone()));
    assert!(again == blocks);
    // What is gone is needed no more.
    v.clear_scrollback();
    assert_eq!(v.checkpoint(&mut state, &mut again).kept, []);
    v.feed(&b"\x18\x1b[?1049l\x1b[r"[..]);
    v.feed(&b"new\r\n".repeat(5000));
    let c = v.checkpoint(&mut state, &mut again);
    assert!(
        c.kept[0].start >= first.kept.last().unwrap().end,
        "numbers are not used twice"
    );
}

#[test]
fn smaller_limits_forget_the_oldest() {
    let (v, state, blocks, _) = sample();
    let small = ScrollbackLimits {
        lines: 500,
        bytes: 1 << 20,
    };
    let mut new = Vt::restore(&state, split_blocks(&blocks), small).unwrap().vt;
    new.feed(b"\x18\x1b[?1049l");
    assert!((500..700).contains(&new.history_len()), "{}", new.history_len());
    assert_eq!(new.screen_top_line(), v.core.screen_top());
}

#[test]
fn hostile_checkpoints_never_panic() {
    let seconds = std::env::var("QD_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(2);
    let end = Instant::now() + std::time::Duration::from_secs(seconds);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 8).unwrap() % below.max(1)
    };
    let (_, large, large_blocks, _) = sample();
    let mut small = Vt::new(Size::new(9, 4), LIMITS);
    small.feed("one\r\ntwo \x1b[31mthree \u{4e16}\u{301} four five six seven eight nine\r\nten eleven\r\n\x1b]133;A\x07$ \x1b[3".as_bytes());
    small.feed(&b"mab\r\n".repeat(120));
    small.resize(Size::new(7, 5));
    small.feed(&b"cd\r\n".repeat(80));
    let (mut tiny, mut none) = (Vec::new(), Vec::new());
    small.checkpoint(&mut tiny, &mut none);
    let samples = [(large, large_blocks), (tiny, none)];
    let mut rounds = 0;
    while rounds < 60 || Instant::now() < end {
        // The small one mostly: it is quicker to read and all of its bytes count.
        let (state, blocks) = &samples[usize::from(rounds % 8 != 0)];
        let mut state = state.clone();
        for _ in 0..=next(4) {
            let at = next(state.len());
            match next(6) {
                0 => state[at] = 0xff,
                1 => state[at] = 0,
                2 => state[at] ^= 1 << next(8),
                3 => {
                    state.truncate(at);
                    state.resize(at.max(20), 0x80);
                }
                4 => {
                    let n = next(12).min(state.len() - at);
                    state.drain(at..at + n);
                    state.resize(state.len().max(20), 1);
                }
                _ => state[at] = next(256) as u8,
            }
        }
        let mut data = u32::try_from(state.len()).unwrap().to_le_bytes().to_vec();
        data.append(&mut state);
        data.extend_from_slice(blocks);
        crate::fuzz::restore(&data);
        rounds += 1;
    }
}
