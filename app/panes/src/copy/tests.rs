//! Tests of copy mode.

use qd_terminal::ScrollbackLimits;
use qd_tty::Size;

use super::*;

fn vt(text: &str) -> Vt {
    let mut vt = Vt::new(Size::new(20, 4), ScrollbackLimits::default());
    vt.feed(text.replace('\n', "\r\n").as_bytes());
    vt
}

fn at(line: u64, col: u16) -> Pos {
    Pos { line, col }
}

/// Applies operations one after the other; gives the last outcome.
fn run(c: &mut CopyMode, vt: &mut Vt, ops: &[CopyOp]) -> Outcome {
    ops.iter().map(|op| c.apply(*op, vt).unwrap()).last().unwrap()
}

#[test]
fn words_and_ends_are_found() {
    let mut v = vt("ls -la /usr/bin | wc\n  indented");
    let mut c = CopyMode::new(at(0, 0), None);
    let stops: Vec<u16> = (0..5)
        .map(|_| {
            run(&mut c, &mut v, &[CopyOp::WordRight]);
            c.cursor().col
        })
        .collect();
    assert_eq!(stops, [3, 7, 16, 18, 2], "past the end is the next line's first word");
    assert_eq!(c.cursor().line, 1);
    run(&mut c, &mut v, &[CopyOp::WordLeft, CopyOp::WordLeft]);
    assert_eq!(
        c.cursor(),
        at(0, 19),
        "back over the indent to the end of the line above"
    );
    run(&mut c, &mut v, &[CopyOp::LineStart, CopyOp::LineEnd]);
    assert_eq!(c.cursor(), at(0, 19));
    assert_eq!(word_at(&v, at(0, 9)), (at(0, 7), at(0, 14)));
}

#[test]
fn wide_characters_are_one_step() {
    let mut v = vt("a\u{6f22}\u{5b57}b");
    let mut c = CopyMode::new(at(0, 0), None);
    let cols: Vec<u16> = (0..3)
        .map(|_| {
            run(&mut c, &mut v, &[CopyOp::Right]);
            c.cursor().col
        })
        .collect();
    assert_eq!(cols, [1, 3, 5]);
    run(&mut c, &mut v, &[CopyOp::Left]);
    assert_eq!(c.cursor().col, 3);
}

#[test]
fn the_three_shapes_yank_what_they_show() {
    let text = "one two\nthree four\nfive six";
    let yank = |ops: &[CopyOp]| {
        let mut v = vt(text);
        let mut c = CopyMode::new(at(0, 4), None);
        match run(&mut c, &mut v, ops) {
            Outcome::Yank(t) => t,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        yank(&[CopyOp::ToggleSelection, CopyOp::Down, CopyOp::Yank]),
        "two\nthree"
    );
    let lines = yank(&[CopyOp::ToggleLineSelection, CopyOp::Down, CopyOp::Yank]);
    assert_eq!(lines.trim_end(), "one two\nthree four");
    let block = yank(&[CopyOp::ToggleRectangle, CopyOp::Down, CopyOp::Right, CopyOp::Yank]);
    assert_eq!(block.trim_end(), "tw\ne");
    assert_eq!(
        yank(&[CopyOp::Yank]).trim_end(),
        "one two",
        "without a selection, the line"
    );
}

#[test]
fn the_other_end_of_a_selection_is_one_key_away() {
    let mut v = vt("one two three");
    let mut c = CopyMode::new(at(0, 4), None);
    run(
        &mut c,
        &mut v,
        &[CopyOp::ToggleSelection, CopyOp::WordRight, CopyOp::SwapEnds],
    );
    assert_eq!(c.cursor(), at(0, 4));
    assert_eq!(c.selection().unwrap().1, at(0, 8));
    run(&mut c, &mut v, &[CopyOp::Cancel]);
    assert!(c.selection().is_none(), "the first cancel drops the selection");
    assert_eq!(c.apply(CopyOp::Cancel, &mut v), Ok(Outcome::Leave));
}

#[test]
fn a_search_goes_round_and_the_view_follows() {
    let mut v = vt(&(0..40).map(|i| format!("line {i}\n")).collect::<String>());
    let last = v.screen_top_line() + 3;
    let mut c = CopyMode::new(at(last, 0), None);
    c.set_query("line 1", SearchDirection::Older);
    let mut seen = Vec::new();
    for _ in 0..12 {
        c.search_again(&mut v, SearchDirection::Older).unwrap();
        let here = c.cursor().line;
        seen.push(here);
        let top = v.view_top_line();
        assert!((top..top + 4).contains(&here), "line {here} is in view from {top}");
    }
    assert_eq!(
        seen,
        [19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 1, 19],
        "after the oldest, the newest again"
    );
    assert!(c.status().starts_with("/line 1 11"), "{}", c.status());
    run(&mut c, &mut v, &[CopyOp::SearchPrevious]);
    assert_eq!(c.cursor().line, 1, "N turns round");
    c.set_query("nowhere", SearchDirection::Older);
    let error = c.search_again(&mut v, SearchDirection::Older).unwrap_err();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn case_and_kind_of_a_search_are_switches() {
    let mut v = vt("Error: a.b\nerror: axb");
    let mut c = CopyMode::new(at(1, 0), None);
    c.set_query("a.b", SearchDirection::Newer);
    run(&mut c, &mut v, &[CopyOp::SearchNext]);
    assert_eq!(c.cursor(), at(0, 7), "a dot is a dot");
    run(&mut c, &mut v, &[CopyOp::ToggleRegex, CopyOp::SearchNext]);
    c.search_again(&mut v, SearchDirection::Newer).unwrap();
    let lines: Vec<u64> = c.visible_matches(&v, 0, 4).iter().map(|(a, _)| a.line).collect();
    assert_eq!(lines, [0, 1], "as an expression it is any character");
    c.set_query("error", SearchDirection::Newer);
    run(&mut c, &mut v, &[CopyOp::ToggleCase]);
    assert_eq!(c.visible_matches(&v, 0, 4).len(), 1);
    assert!(c.status().contains("case"));
}

#[test]
fn prompts_are_jumped_between() {
    let mut v = vt("");
    v.feed(b"\x1b]133;A\x07$ one\r\nout\r\n\x1b]133;A\x07$ two\r\nout\r\n");
    let mut c = CopyMode::new(at(3, 0), None);
    run(&mut c, &mut v, &[CopyOp::PreviousPrompt]);
    assert_eq!(c.cursor().line, 2);
    run(&mut c, &mut v, &[CopyOp::PreviousPrompt]);
    assert_eq!(c.cursor().line, 0);
    assert!(c.apply(CopyOp::PreviousPrompt, &mut v).is_err());
    run(&mut c, &mut v, &[CopyOp::NextPrompt]);
    assert_eq!(c.cursor().line, 2);
}

#[test]
fn copied_text_is_announced_by_its_size() {
    assert_eq!(copied_words("ab\u{6f22}"), "copied 3 characters");
    assert_eq!(copied_words("a\nb\n"), "copied 2 lines");
}
