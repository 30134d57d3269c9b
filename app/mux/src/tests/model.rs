//! Focus, tabs, zoom, names: what actions do, by example.

use super::{bare, draw, refused, run, session};
use crate::{Action, Context, Effect, Mode, Model, OnExit, PaneId, PaneSpec, PaneState, TabId, enabled};

fn focused(m: &Model) -> u32 {
    m.focused().unwrap().0
}

fn tabs(m: &Model) -> Vec<u32> {
    m.tabs().iter().map(|t| t.id.0).collect()
}

/// ```text
/// 1 | 2
/// 1 | 3
/// ```
fn three() -> Model {
    let mut m = session(80, 24);
    run(&mut m, "new-pane -d right");
    run(&mut m, "new-pane -d down");
    m
}

#[test]
fn the_focus_goes_to_the_neighbour_that_had_it_last() {
    let mut m = three();
    run(&mut m, "move-focus left");
    assert_eq!(focused(&m), 1);
    run(&mut m, "move-focus right");
    assert_eq!(focused(&m), 3, "3 had the focus after 2");
    run(&mut m, "move-focus up");
    run(&mut m, "move-focus left");
    run(&mut m, "move-focus right");
    assert_eq!(focused(&m), 2);
    assert_eq!(refused(&mut m, "move-focus right"), "no pane to the right");
    assert_eq!(refused(&mut m, "move-focus up"), "no pane above");
    run(&mut m, "move-focus down");
    assert_eq!(refused(&mut m, "move-focus down"), "no pane below");
    run(&mut m, "move-focus left");
    assert_eq!(refused(&mut m, "move-focus left"), "no pane to the left");
}

#[test]
fn of_panes_that_never_had_the_focus_the_one_that_shares_most_border_gets_it() {
    use crate::{Axis, Dim, LayoutSpec, Node, TabSpec};
    let pane = |p, focus| Node::Pane {
        spec: PaneSpec::default(),
        size: Some(Dim::Percent(p)),
        focus,
    };
    let right = Node::Split {
        axis: Axis::Column,
        size: None,
        children: vec![pane(30.0, false), pane(70.0, false)],
    };
    let root = Node::Split {
        axis: Axis::Row,
        size: None,
        children: vec![pane(50.0, true), right],
    };
    let mut m = Model::new("test", qd_tty::Size::new(80, 24));
    m.open(&LayoutSpec {
        tabs: vec![TabSpec {
            name: None,
            focus: true,
            root,
        }],
    });
    assert_eq!(focused(&m), 1);
    run(&mut m, "move-focus right");
    assert_eq!(focused(&m), 3);
}

#[test]
fn the_focus_runs_through_panes_in_order_and_back_to_the_last() {
    let mut m = three();
    run(&mut m, "focus-next-pane");
    assert_eq!(focused(&m), 1);
    run(&mut m, "focus-previous-pane");
    assert_eq!(focused(&m), 3);
    run(&mut m, "focus-pane-id 2");
    run(&mut m, "focus-last-pane");
    assert_eq!(focused(&m), 3);
    run(&mut m, "focus-last-pane");
    assert_eq!(focused(&m), 2);
    let mut m = session(80, 24);
    assert_eq!(refused(&mut m, "focus-next-pane"), "there is only one pane in this tab");
    assert_eq!(refused(&mut m, "focus-last-pane"), "there is only one pane in this tab");
    assert_eq!(refused(&mut m, "focus-pane-id 9"), "there is no pane 9");
}

#[test]
fn at_the_side_of_the_screen_the_focus_can_go_on_to_the_next_tab() {
    let mut m = session(80, 24);
    assert_eq!(refused(&mut m, "move-focus-or-tab right"), "no pane to the right");
    run(&mut m, "new-tab");
    run(&mut m, "move-focus-or-tab left");
    assert_eq!(focused(&m), 1);
    run(&mut m, "new-pane -d right");
    run(&mut m, "move-focus-or-tab left");
    assert_eq!(focused(&m), 1);
    run(&mut m, "move-focus-or-tab left");
    assert_eq!(focused(&m), 2);
    assert_eq!(refused(&mut m, "move-focus-or-tab up"), "no pane above");
}

#[test]
fn closing_a_pane_returns_the_focus_to_the_one_before() {
    let mut m = three();
    run(&mut m, "focus-pane-id 1");
    let effects = run(&mut m, "close-pane");
    assert_eq!(focused(&m), 3);
    let moved = Effect::FocusChanged {
        from: Some(PaneId(1)),
        to: Some(PaneId(3)),
    };
    assert_eq!(effects, [Effect::Close { pane: PaneId(1) }, Effect::Relayout, moved]);
    // One that is not focused goes without moving the focus.
    let effects = run(&mut m, "close-pane --pane-id 2");
    assert_eq!(effects, [Effect::Close { pane: PaneId(2) }, Effect::Relayout]);
}

#[test]
fn the_last_pane_closes_its_tab_and_the_last_tab_ends_the_session() {
    let mut m = session(80, 24);
    run(&mut m, "new-tab");
    let effects = m.remove_pane(PaneId(2));
    assert!(
        effects.contains(&Effect::TabChanged) && !effects.contains(&Effect::Quit),
        "{effects:?}"
    );
    assert_eq!(tabs(&m), [1]);
    let effects = m.remove_pane(PaneId(1));
    m.check().unwrap();
    assert_eq!(effects.last(), Some(&Effect::Quit));
    assert!(m.remove_pane(PaneId(1)).is_empty());
    assert_eq!(refused(&mut m, "close-pane"), "there is no pane");
    assert_eq!(refused(&mut m, "close-tab"), "there is no tab");
    assert_eq!(refused(&mut m, "switch-mode copy"), "there is no pane");
    // Ids are not given out again.
    run(&mut m, "new-pane");
    assert_eq!((focused(&m), tabs(&m)), (3, vec![3]));
}

#[test]
fn zoom_fills_the_tab_and_ends_with_any_move() {
    for (line, stays) in [
        ("move-focus left", false),
        ("focus-next-pane", false),
        ("new-pane", false),
        ("move-pane left", false),
        ("equalize-panes", false),
        ("resize increase up", false),
        ("close-pane", false),
        ("close-pane --pane-id 1", true),
        ("rename-pane x", true),
        ("toggle-fullscreen", false),
        ("new-tab", true),
    ] {
        let mut m = three();
        run(&mut m, "toggle-fullscreen");
        assert!(draw(&m).chars().all(|c| matches!(c, '3' | '\n')));
        assert_eq!((m.placements().len(), m.placements_of(TabId(1)).len()), (1, 3));
        run(&mut m, line);
        assert_eq!(m.tabs()[0].fullscreen, stays, "{line}");
    }
    // Another pane can be zoomed from afar.
    let mut m = three();
    run(&mut m, "toggle-fullscreen --pane-id 1");
    assert!(draw(&m).starts_with("1111"));
    run(&mut m, "toggle-fullscreen --pane-id 2");
    assert!(m.tabs()[0].fullscreen && focused(&m) == 2);
}

#[test]
fn panes_trade_places_and_the_focus_goes_along() {
    let mut m = bare(20, 6);
    run(&mut m, "new-pane -d right");
    run(&mut m, "move-pane left");
    assert_eq!(draw(&m), "22222222221111111111\n".repeat(4));
    assert_eq!(focused(&m), 2);
    run(&mut m, "move-pane");
    assert_eq!(draw(&m), "11111111112222222222\n".repeat(4));
    assert_eq!(refused(&mut m, "move-pane right"), "no pane to the right");
    let mut m = session(20, 6);
    assert_eq!(refused(&mut m, "move-pane"), "there is only one pane in this tab");
}

#[test]
fn a_pane_breaks_out_to_a_tab_and_to_its_neighbours() {
    let mut m = three();
    run(&mut m, "break-pane");
    assert_eq!((tabs(&m), focused(&m)), (vec![1, 2], 3));
    assert_eq!(m.pane_tab(PaneId(3)), Some(TabId(2)));
    assert_eq!(refused(&mut m, "break-pane"), "there is only one pane in this tab");
    // The tab it leaves empty goes.
    run(&mut m, "break-pane-left");
    assert_eq!((tabs(&m), focused(&m), m.tabs()[0].panes().len()), (vec![1], 3, 3));
    assert_eq!(refused(&mut m, "break-pane-right"), "there is only one tab");
    run(&mut m, "new-tab");
    run(&mut m, "go-to-tab 1");
    run(&mut m, "break-pane-right");
    assert_eq!(
        (m.active_index(), focused(&m), m.tabs()[1].panes().len()),
        (Some(1), 3, 2)
    );
}

#[test]
fn tabs_open_after_the_last_and_close_to_the_one_before() {
    let mut m = session(80, 24);
    run(&mut m, "new-tab --name two --cwd /tmp");
    run(&mut m, "go-to-tab 1");
    run(&mut m, "new-tab -- htop");
    assert_eq!(tabs(&m), [1, 2, 3]);
    assert_eq!(m.pane(PaneId(2)).unwrap().spec.cwd.as_deref(), Some("/tmp"));
    let htop = m.pane(PaneId(3)).unwrap();
    assert_eq!((htop.label(), htop.spec.on_exit), ("htop", OnExit::Hold));
    run(&mut m, "close-tab");
    assert_eq!(m.active_tab().unwrap().id, TabId(1));
    run(&mut m, "go-to-tab-name two");
    run(&mut m, "toggle-tab");
    assert_eq!(m.active_index(), Some(0));
    run(&mut m, "go-to-previous-tab");
    assert_eq!(m.active_index(), Some(1));
    run(&mut m, "go-to-next-tab");
    assert_eq!(m.active_index(), Some(0));
    run(&mut m, "move-tab right");
    assert_eq!((tabs(&m), m.active_index()), (vec![2, 1], Some(1)));
    run(&mut m, "move-tab right");
    assert_eq!(tabs(&m), [1, 2]);
    assert_eq!(
        refused(&mut m, "go-to-tab 7"),
        "there is no tab 7: the tabs are numbered 1 to 2"
    );
    assert_eq!(
        refused(&mut m, "go-to-tab-name twoo"),
        "there is no tab “twoo”; did you mean “two”?"
    );
    run(&mut m, "close-tab --tab-id 2");
    for line in ["go-to-next-tab", "move-tab left", "toggle-tab"] {
        assert_eq!(refused(&mut m, line), "there is only one tab");
    }
    assert_eq!(refused(&mut m, "close-tab --tab-id 2"), "there is no tab with the id 2");
}

#[test]
fn targets_work_from_afar_and_leave_the_active_tab_alone() {
    let mut m = session(80, 24);
    run(&mut m, "new-tab");
    let effects = run(&mut m, "new-pane --tab-id 1 -d down");
    assert!(
        !effects
            .iter()
            .any(|e| matches!(e, Effect::FocusChanged { .. } | Effect::TabChanged)),
        "{effects:?}"
    );
    assert!(effects.contains(&Effect::Created {
        pane: Some(PaneId(3)),
        tab: None
    }));
    assert_eq!((focused(&m), m.tabs()[0].focused), (2, PaneId(3)));
    run(&mut m, "rename-tab --pane-id 3 first");
    assert_eq!(m.tabs()[0].name, "first");
    assert_eq!(refused(&mut m, "write-chars --pane-id 9 x"), "there is no pane 9");
}

#[test]
fn names_are_bounded_and_harmless() {
    let mut m = session(80, 24);
    let pane = PaneId(1);
    assert_eq!(m.pane(pane).unwrap().label(), "shell");
    m.set_title(pane, format!("a\x1b[31m\n\u{202e}{}", "é".repeat(400)));
    let title = m.pane(pane).unwrap().title.clone();
    assert!(title.starts_with("a[31mé") && title.chars().count() == 256);
    run(&mut m, "rename-pane 'my\tshell'");
    assert_eq!(m.pane(pane).unwrap().label(), "myshell");
    run(&mut m, "rename-pane ''");
    assert_eq!(m.pane(pane).unwrap().label(), title);
    m.set_title(pane, String::new());
    assert_eq!(m.pane(pane).unwrap().label(), "shell");
    assert_eq!(m.tabs()[0].name, "Tab #1");
    run(&mut m, "rename-tab build");
    run(&mut m, "rename-tab ' '");
    assert_eq!(m.tabs()[0].name, "Tab #1");
}

#[test]
fn what_is_not_the_models_business_is_handed_back() {
    let mut m = session(80, 24);
    for line in [
        "detach",
        "palette",
        "write 3",
        "scroll-up",
        "list-panes --json",
        "rerun-pane",
        "copy-left",
        "set-theme nord",
    ] {
        let action = super::parse(line).unwrap();
        assert_eq!(run(&mut m, line), [Effect::Delegate(action)]);
    }
    assert_eq!(run(&mut m, "quit"), [Effect::Quit]);
    assert_eq!(run(&mut m, "switch-mode resize"), [Effect::ModeChanged(Mode::Resize)]);
    assert_eq!(run(&mut m, "toggle-pane-frames"), [Effect::Relayout]);
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut m = session(80, 24);
    let why = |m: &Model, name: &str| enabled(name, &m.context());
    assert_eq!(why(&m, "go-to-next-tab"), Err("there is only one tab"));
    assert_eq!(why(&m, "rerun-pane"), Err("the pane is still running"));
    assert_eq!(why(&m, "move-focus"), Err("there is only one pane in this tab"));
    assert_eq!(why(&m, "copy-yank"), Err("only in the copy mode"));
    assert_eq!(why(&m, "new-pane"), Ok(()));
    m.set_pane_state(PaneId(1), PaneState::Exited);
    assert_eq!(why(&m, "rerun-pane"), Ok(()));
    assert_eq!(why(&m, "paste"), Err("the pane's program has ended"));
    run(&mut m, "new-tab");
    assert_eq!(why(&m, "go-to-next-tab"), Ok(()));
    assert_eq!(why(&m, "toggle-tab"), Ok(()));
    let copy = Context {
        mode: Mode::Copy,
        ..m.context()
    };
    assert_eq!(enabled("copy-yank", &copy), Err("nothing is selected"));
    assert_eq!(
        enabled(
            "copy-yank",
            &Context {
                has_selection: true,
                ..copy
            }
        ),
        Ok(())
    );
    assert_eq!(enabled("close-pane", &Context::default()), Err("there is no pane"));
}

#[test]
fn what_is_enabled_is_not_refused_for_the_reason_that_was_judged() {
    // Every bare action in a few situations: what the judge denies for want of panes and tabs, the model refuses too.
    for setup in [
        &[][..],
        &["new-pane -d right"],
        &["new-tab"],
        &["new-pane", "new-tab", "close-pane --pane-id 2"],
    ] {
        for c in crate::registry().iter().filter(|c| c.runs_bare()) {
            let mut m = session(80, 24);
            setup.iter().for_each(|line| drop(run(&mut m, line)));
            let action = Action::parse(c.name, &[]).unwrap();
            let judged = enabled(c.name, &m.context());
            match (judged, m.apply(&action.into())) {
                (Ok(()), Err(e)) => panic!("{} with {setup:?}: enabled, but {e}", c.name),
                (Err(why), Err(e)) => assert_eq!(e.to_string(), why, "{} with {setup:?}", c.name),
                _ => {}
            }
        }
    }
}
