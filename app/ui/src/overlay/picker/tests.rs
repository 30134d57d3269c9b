//! Tests of what a picker does; how it looks is tested in `tests/screens.rs`.

use super::*;

fn item(id: &str) -> PickItem {
    PickItem {
        id: id.into(),
        label: id.into(),
        ..PickItem::default()
    }
}

fn picker(multi: Multi) -> Picker {
    let mut close = item("close pane");
    close.disabled = Some("the last pane stays".into());
    Picker::new(
        "Commands",
        vec![item("new pane"), item("new tab"), close, item("quit")],
        multi,
    )
}

fn press(p: &mut Picker, keys: &str) -> Outcome {
    let mut last = Outcome::Ignored;
    for k in keys.split_whitespace() {
        let c: qd_tty::Chord = k.parse().unwrap();
        last = p.key(&KeyEvent::new(c.key, c.mods));
    }
    last
}

fn picked(ids: &[&str], verb: Option<char>) -> Outcome {
    Outcome::Submit(Submit::Pick {
        ids: ids.iter().map(|s| (*s).into()).collect(),
        verb,
    })
}

#[test]
fn typing_narrows_and_enter_chooses() {
    let mut p = picker(Multi::No);
    assert_eq!(press(&mut p, "n t Enter"), picked(&["new tab"], None));
    assert_eq!(p.current(), Some("new tab"));
    assert_eq!(press(&mut p, "Esc"), Outcome::Changed);
    assert_eq!(p.query(), "");
    assert_eq!(press(&mut p, "Esc"), Outcome::Close);
}

#[test]
fn every_way_down_and_up_moves_the_cursor() {
    for (down, up) in [
        ("Down", "Up"),
        ("Ctrl-n", "Ctrl-p"),
        ("Ctrl-j", "Ctrl-k"),
        ("Tab", "Shift-Tab"),
    ] {
        let mut p = picker(Multi::No);
        press(&mut p, &format!("{down} {down} {up}"));
        assert_eq!(p.current(), Some("new tab"), "{down}");
        press(&mut p, &format!("{up} {up} {up}"));
        assert_eq!(p.current(), Some("new pane"), "{up}");
    }
}

#[test]
fn a_row_that_cannot_be_chosen_says_why() {
    let mut p = picker(Multi::Yes);
    press(&mut p, "c l o s e");
    assert_eq!(press(&mut p, "Enter"), Outcome::Changed);
    assert_eq!(p.note.as_deref(), Some("the last pane stays"));
    press(&mut p, "Tab");
    assert!(p.marked.is_empty());
    press(&mut p, "x");
    assert_eq!(p.note, None);
    assert_eq!(press(&mut p, "Enter"), Outcome::Changed, "no row, nothing to choose");
}

#[test]
fn marks_are_given_in_the_order_of_the_list() {
    let mut p = picker(Multi::Yes);
    press(&mut p, "q u i t Tab Esc Tab");
    assert_eq!(press(&mut p, "Enter"), picked(&["new pane", "quit"], None));
    press(&mut p, "Up Tab");
    assert_eq!(
        press(&mut p, "Enter"),
        picked(&["quit"], None),
        "Tab again takes a mark away"
    );
}

#[test]
fn verbs_are_alt_letters_and_only_the_known_ones() {
    let verb = Verb {
        key: 'd',
        label: "detach".into(),
    };
    let mut p = picker(Multi::No).with_verbs(vec![verb]);
    assert_eq!(press(&mut p, "Alt-d"), picked(&["new pane"], Some('d')));
    assert_eq!(press(&mut p, "Alt-z"), Outcome::Ignored);
    assert_eq!(p.query(), "");
}

#[test]
fn rows_that_come_later_leave_the_cursor_on_its_row() {
    let mut p = picker(Multi::Yes);
    press(&mut p, "Tab");
    assert_eq!(p.current(), Some("new tab"));
    p.set_items(vec![item("zero"), item("one"), item("new tab")]);
    assert_eq!(p.current(), Some("new tab"));
    assert!(p.marked.is_empty(), "its row has gone");
    p.set_items(Vec::new());
    assert_eq!(p.current(), None);
    assert_eq!(press(&mut p, "Down Up PageDown PageUp Tab Enter"), Outcome::Changed);
}

#[test]
fn a_click_selects_and_a_second_one_chooses() {
    let mut p = picker(Multi::No);
    let theme = crate::Theme::builtin("mono").unwrap();
    let look = Look::new(&theme, qd_frame::ColorDepth::Mono, crate::Glyphs::Ascii);
    let mut frame = Frame::new(qd_tty::Size::new(80, 24));
    p.draw(Rect::new(0, 0, 80, 24), &mut frame, &look);
    let at = |row| MouseEvent {
        kind: MouseKind::Press(MouseButton::Left),
        col: p_col(&p),
        row,
        mods: Mods::empty(),
    };
    let second = at(p.list.y + 1);
    let below = at(p.list.y + 4);
    assert_eq!(p.mouse(&second), Outcome::Changed);
    assert_eq!(p.mouse(&second), picked(&["new tab"], None));
    assert_eq!(p.mouse(&below), Outcome::Ignored);
    let outside = MouseEvent {
        kind: MouseKind::Press(MouseButton::Left),
        col: 0,
        row: 0,
        mods: Mods::empty(),
    };
    assert_eq!(p.mouse(&outside), Outcome::Close);
}

fn p_col(p: &Picker) -> u16 {
    p.list.x + 3
}
