//! The key law by example: what keys do in each mode.

use qd_tty::{Chord, Size};

use super::{parse, run, session};
use crate::{Action, Binding, CopyOp, Direction, KeyOutcome, Keymap, Mode, Model, PaneId};

fn chord(s: &str) -> Chord {
    s.parse().unwrap()
}

fn keymap() -> Keymap {
    let mut k = Keymap::new(Some(chord("Ctrl-Space")));
    let mut bind = |mode, key: &str, lines: &[&str]| {
        let actions = lines.iter().map(|l| parse(l).unwrap()).collect();
        assert!(
            k.bind(
                mode,
                chord(key),
                Binding {
                    actions,
                    label: String::new()
                }
            )
            .is_none()
        );
    };
    bind(Mode::Leader, "h", &["move-focus left"]);
    bind(Mode::Leader, "w", &["switch-mode window"]);
    bind(Mode::Leader, "[", &["switch-mode copy"]);
    bind(Mode::Leader, "r", &["switch-mode resize"]);
    bind(Mode::Leader, "L", &["switch-mode lock"]);
    bind(Mode::Window, "d", &["new-pane --direction down"]);
    bind(Mode::Window, "z", &["toggle-fullscreen", "switch-mode raw"]);
    bind(Mode::Resize, "l", &["resize increase right"]);
    bind(Mode::Copy, "y", &["copy-yank"]);
    k
}

/// Presses keys as the session would, applying what they run; gives the last outcome.
fn press(m: &mut Model, k: &Keymap, keys: &str) -> KeyOutcome {
    let mut last = KeyOutcome::Swallow;
    for key in keys.split(' ') {
        last = m.key(&chord(key), k);
        if let KeyOutcome::Run(actions) | KeyOutcome::RunThenForward(actions) = &last {
            for a in actions {
                m.apply(&a.clone().into()).unwrap();
            }
        }
    }
    last
}

#[test]
fn only_the_leader_is_ours_in_a_program() {
    let (mut m, k) = (session(80, 24), keymap());
    for key in ["a", "Esc", "Ctrl-c", "F1", "h", "w"] {
        assert_eq!(press(&mut m, &k, key), KeyOutcome::Forward, "{key}");
    }
    assert_eq!(press(&mut m, &k, "Ctrl-Space"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Leader);
}

#[test]
fn the_leader_twice_sends_itself() {
    let (mut m, k) = (session(80, 24), keymap());
    assert_eq!(
        press(&mut m, &k, "Ctrl-Space Ctrl-Space"),
        KeyOutcome::Run(vec![Action::SendLeader])
    );
    assert_eq!(m.mode(), Mode::Raw);
}

#[test]
fn a_menu_runs_one_binding_and_is_left() {
    let (mut m, k) = (session(80, 24), keymap());
    press(&mut m, &k, "Ctrl-Space w");
    assert_eq!(m.mode(), Mode::Window);
    press(&mut m, &k, "d");
    assert_eq!((m.mode(), m.panes().count()), (Mode::Raw, 2));
    assert_eq!(press(&mut m, &k, "d"), KeyOutcome::Forward);
}

#[test]
fn a_menu_is_cancelled_by_escape_and_by_what_is_not_bound() {
    let (mut m, k) = (session(80, 24), keymap());
    assert_eq!(press(&mut m, &k, "Ctrl-Space Esc"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Raw);
    assert_eq!(press(&mut m, &k, "Ctrl-Space Q"), KeyOutcome::Unbound);
    assert_eq!(m.mode(), Mode::Raw);
    assert_eq!(press(&mut m, &k, "Ctrl-Space w Ctrl-Space"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Leader);
}

#[test]
fn resize_stays_until_it_is_left() {
    let (mut m, k) = (session(80, 24), keymap());
    run(&mut m, "new-pane -d right");
    press(&mut m, &k, "Ctrl-Space r l l x");
    assert_eq!(m.mode(), Mode::Resize);
    for leave in ["Esc", "Enter"] {
        press(&mut m, &k, "Ctrl-Space r");
        assert_eq!(press(&mut m, &k, leave), KeyOutcome::Swallow);
        assert_eq!(m.mode(), Mode::Raw);
    }
}

#[test]
fn the_copy_mode_is_left_by_escape_by_yank_and_with_its_pane() {
    let (mut m, k) = (session(80, 24), keymap());
    assert_eq!(press(&mut m, &k, "Ctrl-Space [ q"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Copy);
    assert_eq!(
        press(&mut m, &k, "Esc"),
        KeyOutcome::Run(vec![Action::Copy(CopyOp::Cancel)])
    );
    assert_eq!(m.mode(), Mode::Raw);
    press(&mut m, &k, "Ctrl-Space [ y");
    assert_eq!(m.mode(), Mode::Raw);
    run(&mut m, "new-pane");
    press(&mut m, &k, "Ctrl-Space [");
    let effects = run(&mut m, "focus-next-pane");
    assert!(effects.contains(&crate::Effect::ModeChanged(Mode::Raw)), "{effects:?}");
}

#[test]
fn the_lock_passes_everything_until_the_leader_comes_twice() {
    let (mut m, k) = (session(80, 24), keymap());
    press(&mut m, &k, "Ctrl-Space L");
    assert_eq!(m.mode(), Mode::Lock);
    assert_eq!(press(&mut m, &k, "Esc"), KeyOutcome::Forward);
    // Held back, then sent on with the key that shows it was meant for the program.
    assert_eq!(press(&mut m, &k, "Ctrl-Space"), KeyOutcome::Swallow);
    assert_eq!(
        press(&mut m, &k, "x"),
        KeyOutcome::RunThenForward(vec![Action::SendLeader])
    );
    assert_eq!(press(&mut m, &k, "x"), KeyOutcome::Forward);
    assert_eq!(m.mode(), Mode::Lock);
    assert_eq!(press(&mut m, &k, "Ctrl-Space Ctrl-Space"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Raw);
}

#[test]
fn a_held_leader_does_not_survive_a_change_of_the_mode() {
    let (mut m, k) = (session(80, 24), keymap());
    m.set_mode(Mode::Lock);
    press(&mut m, &k, "Ctrl-Space");
    m.set_mode(Mode::Raw);
    m.set_mode(Mode::Lock);
    assert_eq!(press(&mut m, &k, "Ctrl-Space"), KeyOutcome::Swallow);
    assert_eq!(m.mode(), Mode::Lock);
}

#[test]
fn without_a_leader_bindings_open_the_lock() {
    let mut m = Model::new("test", Size::new(80, 24));
    let mut k = Keymap::new(None);
    k.bind(
        Mode::Lock,
        chord("Ctrl-g"),
        Binding {
            actions: vec![Action::SwitchMode(Mode::Raw)],
            label: String::new(),
        },
    );
    m.set_mode(Mode::Lock);
    assert_eq!(press(&mut m, &k, "Ctrl-Space"), KeyOutcome::Forward);
    press(&mut m, &k, "Ctrl-g");
    assert_eq!(m.mode(), Mode::Raw);
}

#[test]
fn a_view_of_our_own_gets_its_own_base_mode_back() {
    let (mut m, k) = (session(80, 24), keymap());
    run(&mut m, "new-pane --kind logs");
    m.set_home(PaneId(2), Mode::Nav);
    assert_eq!(m.mode(), Mode::Nav);
    press(&mut m, &k, "Ctrl-Space Esc");
    assert_eq!(m.mode(), Mode::Nav);
    press(&mut m, &k, "Ctrl-Space h");
    assert_eq!((m.focused(), m.mode()), (Some(PaneId(1)), Mode::Raw));
}

#[test]
fn the_keymap_keeps_its_order_and_answers_where_an_action_is() {
    let mut k = keymap();
    let order: Vec<String> = k.bindings(Mode::Leader).map(|(c, _)| c.to_string()).collect();
    assert_eq!(order, ["h", "w", "[", "r", "L"]);
    assert_eq!(
        k.keys_for(&Action::MoveFocus(Direction::Left)),
        [(Mode::Leader, chord("h"))]
    );
    assert_eq!(k.keys_for(&Action::MoveFocus(Direction::Right)), []);
    assert_eq!(k.keys_for(&Action::ToggleFullscreen), [(Mode::Window, chord("z"))]);
    assert_eq!(k.chords_for_name("new-pane"), [(Mode::Window, chord("d"))]);
    assert_eq!(k.chords_for_name("switch-mode").len(), 4);
    assert_eq!(k.route(Mode::Window), Some(vec![chord("Ctrl-Space"), chord("w")]));
    assert_eq!(k.route(Mode::Raw), Some(vec![]));
    assert_eq!(k.route(Mode::Session), None);
    assert!(k.unbind(Mode::Leader, &chord("w")).is_some());
    assert!(k.unbind(Mode::Leader, &chord("w")).is_none());
    assert!(k.get(Mode::Leader, &chord("w")).is_none());
    let again = Binding {
        actions: vec![Action::Help],
        label: "help".to_owned(),
    };
    assert!(k.bind(Mode::Leader, chord("h"), again).is_some());
    assert_eq!(k.bindings(Mode::Leader).next().unwrap().1.label, "help");
}

#[test]
fn modes_read_back_their_names() {
    for mode in Mode::ALL {
        assert_eq!(mode.name().parse(), Ok(mode));
        assert_eq!(mode.word(), mode.name().to_uppercase());
    }
    assert!("normal".parse::<Mode>().unwrap_err().to_string().contains("raw, nav"));
}
