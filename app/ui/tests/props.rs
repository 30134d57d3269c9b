//! Whatever the size, the text and the keys: nothing panics, nothing is drawn outside of its place, and ASCII stays ASCII.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod scenes;

use proptest::prelude::*;
use qd_frame::{ColorDepth, Frame};
use qd_tty::{Cell, Key, KeyEvent, Mods, MouseButton, MouseEvent, MouseKind, Rect, Size, Sym};
use qd_ui::{
    Completion, Confirm, ConfirmKind, Feed, Glyphs, Level, Look, Multi, Outcome, Overlay, PickItem, Picker, Prompt,
    Role, Submit, Theme, Toasts, Viewer, ViewerLine,
    bars::{Hint, HintBar, StatusItem, TabBar, TabItem},
    edit::LineEdit,
    pane_frame::{FrameState, PaneFrame, Scroll, Tick},
};

fn look(glyphs: Glyphs) -> Look {
    Look::new(&Theme::builtin("nord").unwrap(), ColorDepth::True, glyphs)
}

fn glyphs() -> impl Strategy<Value = Glyphs> {
    prop_oneof![Just(Glyphs::Unicode), Just(Glyphs::Ascii)]
}

/// Text with what breaks layouts: wide and joined characters, controls, tabs, marks without a base.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z ]{0,8}",
        1 => Just("日本語".to_owned()),
        1 => Just("👩\u{200d}👩\u{200d}👧".to_owned()),
        1 => Just("e\u{301}\u{fe0f}".to_owned()),
        1 => Just("\u{301}".to_owned()),
        1 => Just("\u{1b}[31m\t\r\n\0".to_owned()),
        1 => Just("\u{202e}שלום".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|v| v.concat())
}

fn area() -> impl Strategy<Value = Size> {
    prop_oneof![
        3 => (0u16..=210, 0u16..=210),
        2 => (0u16..=24, 0u16..=8),
    ]
    .prop_map(|(c, r)| Size::new(c, r))
}

fn key() -> impl Strategy<Value = KeyEvent> {
    let keys = prop_oneof![
        4 => any::<char>().prop_map(Key::Char),
        4 => proptest::sample::select("abdefghjknpuwyGYq/\\ tc".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        6 => proptest::sample::select(vec![
            Key::Up, Key::Down, Key::Left, Key::Right, Key::Home, Key::End, Key::PageUp, Key::PageDown, Key::Enter,
            Key::Tab, Key::Esc, Key::Backspace, Key::Delete, Key::F(3),
        ]),
    ];
    (
        keys,
        proptest::sample::select(vec![Mods::empty(), Mods::empty(), Mods::SHIFT, Mods::CTRL, Mods::ALT]),
    )
        .prop_map(|(k, m)| KeyEvent::new(k, m))
}

#[derive(Debug, Clone)]
enum Input {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Draw(Size),
}

fn input() -> impl Strategy<Value = Input> {
    let kinds = vec![
        MouseKind::Press(MouseButton::Left),
        MouseKind::Release(MouseButton::Left),
        MouseKind::WheelUp,
        MouseKind::WheelDown,
        MouseKind::Move,
    ];
    prop_oneof![
        6 => key().prop_map(Input::Key),
        1 => (proptest::sample::select(kinds), 0u16..220, 0u16..220)
            .prop_map(|(kind, col, row)| Input::Mouse(MouseEvent { kind, col, row, mods: Mods::empty() })),
        1 => text().prop_map(Input::Paste),
        2 => area().prop_map(Input::Draw),
    ]
}

/// Draws on a frame with a margin around `at`; fails if a cell of the margin changed, or ASCII is not ASCII.
fn check(size: Size, glyphs: Glyphs, draw: impl FnOnce(Rect, &mut Frame, &Look)) -> Result<(), TestCaseError> {
    let mut frame = Frame::new(Size::new(size.cols + 4, size.rows + 4));
    let sand = Cell {
        sym: Sym::from_char('~'),
        ..Cell::BLANK
    };
    let all = Rect::new(0, 0, size.cols + 4, size.rows + 4);
    frame.fill(all, sand);
    let at = Rect::new(2, 2, size.cols, size.rows);
    draw(at, &mut frame, &look(glyphs));
    for y in 0..all.h {
        for (x, c) in (0u16..).zip(frame.row(y)) {
            prop_assert!(
                at.contains(x, y) || *c == sand,
                "drew outside at {x},{y}\n{}",
                frame.to_text()
            );
        }
    }
    if let Some((x, y, _)) = frame.cursor() {
        prop_assert!(at.contains(x, y), "the cursor is outside at {x},{y}");
    }
    if glyphs == Glyphs::Ascii {
        let text = frame.to_text();
        prop_assert!(text.is_ascii(), "{text}");
    }
    Ok(())
}

fn drive(o: &mut dyn Overlay, inputs: &[Input], glyphs: Glyphs) -> Result<(), TestCaseError> {
    for i in inputs {
        match i {
            Input::Key(e) => drop(o.key(e)),
            Input::Mouse(e) => drop(o.mouse(e)),
            Input::Paste(t) => drop(o.paste(t)),
            Input::Draw(size) => check(*size, glyphs, |at, f, l| o.draw(at, f, l))?,
        }
        prop_assert!(matches!(o.mode(), "INPUT" | "NAV"));
        prop_assert!(!o.hints().is_empty());
    }
    check(Size::new(80, 24), glyphs, |at, f, l| o.draw(at, f, l))
}

fn items() -> impl Strategy<Value = Vec<PickItem>> {
    let item = (
        text(),
        text(),
        text(),
        proptest::option::of(text()),
        proptest::option::of(text()),
        any::<u32>(),
    );
    proptest::collection::vec(item, 0..40).prop_map(|v| {
        v.into_iter()
            .enumerate()
            .map(|(i, (label, detail, keys, disabled, preview, score))| PickItem {
                id: i.to_string(),
                group: detail.chars().take(5).collect(),
                label,
                detail,
                keys,
                disabled,
                preview,
                score,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scenes_fit_any_screen(cols in 0u16..=210, rows in 0u16..=210, g in glyphs()) {
        let look = look(g);
        for (_, draw) in scenes::SCENES {
            let mut frame = Frame::new(Size::new(cols, rows));
            draw(&mut frame, &look);
        }
    }

    #[test]
    fn bars_stay_in_their_line(size in area(), g in glyphs(), names in proptest::collection::vec(text(), 0..30),
                               active in 0usize..30, s in text()) {
        let tabs: Vec<_> = names.iter().enumerate().map(|(i, n)| TabItem {
            index: i + 1, name: n.clone(), active: i == active, bell: i % 3 == 0, activity: i % 2 == 0,
        }).collect();
        let hints: Vec<_> = names.iter().enumerate().map(|(i, n)| Hint::new(s.clone(), n.clone(), i)).collect();
        let right: Vec<_> = names.iter().take(4).map(|n| StatusItem { text: n.clone(), role: Role::TextWarn }).collect();
        let mut hits = Vec::new();
        check(size, g, |at, f, l| hits = TabBar { session: &s, tabs: &tabs, right: &s }.draw(f, at, l))?;
        let line = Rect::new(2, 2, size.cols, size.rows.min(1));
        let shows = hits.iter().any(|h| h.id == qd_ui::bars::HitId::Tab(active));
        prop_assert!(active >= tabs.len() || line.is_empty() || shows, "the active tab is hidden: {hits:?}");
        check(size, g, |at, f, l| {
            hits.extend(HintBar { mode: "LEADER", mode_role: Role::ModeLeader, hints: &hints, right: &right }.draw(f, at, l));
        })?;
        for h in &hits {
            prop_assert_eq!(h.rect.intersect(line), h.rect);
        }
    }

    #[test]
    fn frames_keep_to_their_edge(size in area(), g in glyphs(), title in text(), right in text(),
                                 top in any::<u64>(), visible in any::<u64>(), total in any::<u64>(),
                                 line in any::<u64>(), state in 0usize..5) {
        let states = [FrameState::Normal, FrameState::Focused, FrameState::Alert, FrameState::Dead, FrameState::DeadFocused];
        let ticks = [Tick { line, role: Role::ScrollbarTick }];
        let scroll = Some(Scroll { top, visible, total });
        let p = PaneFrame { title: &title, right: &right, state: states[state], scroll, ticks: &ticks };
        check(size, g, |at, f, l| p.draw(f, at, l))?;
        if !PaneFrame::is_compact(Rect::new(0, 0, size.cols, size.rows)) {
            let mut f = Frame::new(size);
            let sand = Cell { sym: Sym::from_char('~'), ..Cell::BLANK };
            f.fill(Rect::new(0, 0, size.cols, size.rows), sand);
            p.draw(&mut f, Rect::new(0, 0, size.cols, size.rows), &look(g));
            for y in 1..size.rows - 1 {
                let inner = &f.row(y)[1..usize::from(size.cols) - 1];
                prop_assert!(inner.iter().all(|c| *c == sand), "it drew inside");
            }
        }
    }

    #[test]
    fn pickers_take_anything(items in items(), later in items(), a in proptest::collection::vec(input(), 0..12),
                             b in proptest::collection::vec(input(), 0..12), g in glyphs(), feed in 0usize..4) {
        let mut p = Picker::new("A picker", items, if a.len() % 2 == 0 { Multi::Yes } else { Multi::No });
        drive(&mut p, &a, g)?;
        p.set_items(later);
        p.set_feed([
            Feed::Ready,
            Feed::Loading { elapsed_ms: u64::MAX, progress: Some((u64::MAX, 0)) },
            Feed::Denied { reason: "日本".into() },
            Feed::Disconnected { age_ms: u64::MAX, retry_ms: 0 },
        ][feed].clone());
        drive(&mut p, &b, g)?;
        // What is chosen is in the list and can be chosen.
        if let Outcome::Submit(Submit::Pick { ids, .. }) = p.key(&KeyEvent::new(Key::Enter, Mods::empty())) {
            prop_assert!(!ids.is_empty());
        }
    }

    #[test]
    fn prompts_take_anything(label in text(), start in text(), inputs in proptest::collection::vec(input(), 0..16),
                             from in 0usize..40, len in 0usize..40, message in text(), g in glyphs()) {
        let completer = |before: &str| -> Vec<Completion> {
            (0..before.len() % 15)
                .map(|i| Completion { replace: i..before.len(), text: format!("{before}日{i}"), doc: before.into() })
                .collect()
        };
        let mut p = Prompt::new(label, &start).with_history(vec![start.clone(), "x".into()]).with_completer(Box::new(completer));
        drive(&mut p, &inputs, g)?;
        p.set_error(from..from + len, message);
        for size in [(1, 1), (1, 4), (3, 2), (20, 3), (80, 24)] {
            check(Size::new(size.0, size.1), g, |at, f, l| p.draw(at, f, l))?;
        }
    }

    #[test]
    fn viewers_take_anything(lines in proptest::collection::vec(text(), 0..40),
                             inputs in proptest::collection::vec(input(), 0..16), g in glyphs()) {
        let lines = lines.into_iter().map(|t| ViewerLine::new(t, Role::LogWarn)).collect();
        drive(&mut Viewer::new("A viewer", lines), &inputs, g)?;
    }

    #[test]
    fn questions_take_anything(q in text(), d in text(), name in proptest::option::of(text()),
                               inputs in proptest::collection::vec(input(), 0..12), g in glyphs()) {
        let kind = name.map_or(ConfirmKind::YesNo, ConfirmKind::TypeName);
        drive(&mut Confirm::new(q, d, kind), &inputs, g)?;
    }

    #[test]
    fn toasts_keep_to_the_screen(size in area(), g in glyphs(), words in proptest::collection::vec(text(), 0..12)) {
        let mut t = Toasts::new();
        for (i, w) in words.iter().enumerate() {
            t.push([Level::Info, Level::Ok, Level::Warn, Level::Error][i % 4], w.clone());
        }
        check(size, g, |at, f, l| t.draw(at, f, l))?;
    }

    #[test]
    fn a_line_keeps_its_caret_at_a_character(start in text(), keys in proptest::collection::vec(key(), 0..40), cols in 0usize..40) {
        let mut e = LineEdit::new(&start);
        for k in &keys {
            e.key(k);
            prop_assert!(e.text().is_char_boundary(e.caret()));
            prop_assert!(!e.text().contains(char::is_control));
        }
        let (shown, from, caret) = e.view(cols);
        prop_assert!(qd_ui::width(&shown) <= cols && from <= e.caret() && (caret < cols || cols == 0));
    }

    #[test]
    fn theme_files_never_panic(text in "(\\[(roles|palette|ansi16|mono)\\]\n)?(\"?[a-z.]{1,12}\"? ?= ?(\"#?[0-9a-z]{0,7}\"|\\{ fg = \"x\" \\}|7|\\[1\\])\n){0,6}") {
        let _ = Theme::parse(&text, "x.toml");
    }
}
