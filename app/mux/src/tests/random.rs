//! Anything in any order at any size: the invariants hold after every step, and refusals change nothing.

use proptest::prelude::*;
use qd_tty::{Chord, Size};

use super::{actions::any_action, session};
use crate::{
    Action, Binding, Change, Dim, Direction, Effect, Invocation, Keymap, LayoutSpec, Mode, Model, Node, PaneId,
    PaneSpec, Side, TabId, TabSpec, Target,
};

#[derive(Debug, Clone)]
enum Step {
    Apply(Invocation),
    Resize(u16, u16),
    Remove(u32),
    Drag((u16, u16), (u16, u16)),
    Key(Chord),
    Open(LayoutSpec),
}

fn size() -> BoxedStrategy<(u16, u16)> {
    prop_oneof![
        4 => (40u16..=200, 12u16..=60),
        2 => (1u16..=500, 1u16..=200),
        1 => (0u16..=8, 0u16..=8),
        1 => Just((500, 200)),
    ]
    .boxed()
}

fn node() -> BoxedStrategy<Node> {
    let dim = proptest::option::of(prop_oneof![
        (-10f32..150.0).prop_map(Dim::Percent),
        (0u16..60).prop_map(Dim::Cells)
    ]);
    let leaf = (dim.clone(), any::<bool>()).prop_map(|(size, focus)| Node::Pane {
        spec: PaneSpec::default(),
        size,
        focus,
    });
    let axis = prop_oneof![Just(crate::Axis::Row), Just(crate::Axis::Column)];
    leaf.prop_recursive(3, 8, 4, move |inner| {
        (axis.clone(), dim.clone(), proptest::collection::vec(inner, 0..4))
            .prop_map(|(axis, size, children)| Node::Split { axis, size, children })
    })
    .boxed()
}

fn layout() -> BoxedStrategy<LayoutSpec> {
    let tab = (proptest::option::of("[a-c]{0,2}"), any::<bool>(), node()).prop_map(|(name, focus, root)| TabSpec {
        name,
        focus,
        root,
    });
    proptest::collection::vec(tab, 0..3)
        .prop_map(|tabs| LayoutSpec { tabs })
        .boxed()
}

/// The actions that change the layout, more often than the many that are handed back.
fn shaping() -> BoxedStrategy<Action> {
    let way = || proptest::sample::select(&Direction::ALL);
    let change = prop_oneof![Just(Change::Increase), Just(Change::Decrease)];
    prop_oneof![
        6 => proptest::option::of(way()).prop_map(|direction| Action::NewPane { spec: PaneSpec::default(), direction }),
        2 => Just(Action::ClosePane),
        3 => way().prop_map(Action::MoveFocus),
        1 => way().prop_map(Action::MoveFocusOrTab),
        3 => (change, proptest::option::of(way())).prop_map(|(change, direction)| Action::Resize { change, direction }),
        2 => proptest::option::of(way()).prop_map(Action::MovePane),
        1 => proptest::sample::select(&[
            Action::EqualizePanes, Action::ToggleFullscreen, Action::TogglePaneFrames, Action::BreakPane,
            Action::BreakPaneLeft, Action::BreakPaneRight, Action::GoToNextTab, Action::ToggleTab, Action::CloseTab,
            Action::FocusLastPane, Action::FocusNextPane, Action::MoveTab(Side::Left),
        ][..]),
        1 => Just(Action::NewTab { name: None, cwd: None, spec: None }),
    ]
    .boxed()
}

fn step() -> BoxedStrategy<Step> {
    let target = (
        proptest::option::weighted(0.2, 1u32..12),
        proptest::option::weighted(0.1, 1u32..5),
    )
        .prop_map(|(p, t)| Target {
            pane: p.map(PaneId),
            tab: t.map(TabId),
        });
    let action = prop_oneof![5 => shaping(), 1 => any_action()];
    let cell = || (0u16..200, 0u16..60);
    let keys = ["Ctrl-Space", "Esc", "a", "Enter", "r", "L", "["].map(|k| k.parse::<Chord>().unwrap());
    prop_oneof![
        12 => (action, target).prop_map(|(action, target)| Step::Apply(Invocation { action, target })),
        3 => size().prop_map(|(c, r)| Step::Resize(c, r)),
        1 => (1u32..20).prop_map(Step::Remove),
        2 => (cell(), cell()).prop_map(|(a, b)| Step::Drag(a, b)),
        3 => proptest::sample::select(keys.to_vec()).prop_map(Step::Key),
        1 => layout().prop_map(Step::Open),
    ]
    .boxed()
}

fn keymap() -> Keymap {
    let mut k = Keymap::new("Ctrl-Space".parse().ok());
    for (key, action) in [
        ("r", Action::SwitchMode(Mode::Resize)),
        ("L", Action::SwitchMode(Mode::Lock)),
        ("[", Action::SwitchMode(Mode::Copy)),
        (
            "a",
            Action::NewPane {
                spec: PaneSpec::default(),
                direction: None,
            },
        ),
    ] {
        k.bind(
            Mode::Leader,
            key.parse().unwrap(),
            Binding {
                actions: vec![action],
                label: String::new(),
            },
        );
    }
    k
}

/// What the session does with effects, checked for sense against the model after the step.
fn check_effects(m: &Model, before: (Option<PaneId>, Mode, usize), effects: &[Effect]) -> Result<(), TestCaseError> {
    let (focus, mode, panes) = before;
    let told_focus = effects.iter().rev().find_map(|e| match e {
        Effect::FocusChanged { to, .. } => Some(*to),
        _ => None,
    });
    prop_assert_eq!(
        told_focus.unwrap_or(focus),
        m.focused(),
        "the focus moved untold: {:?}",
        effects
    );
    let told_mode = effects.iter().rev().find_map(|e| match e {
        Effect::ModeChanged(mode) => Some(*mode),
        _ => None,
    });
    prop_assert_eq!(
        told_mode.unwrap_or(mode),
        m.mode(),
        "the mode changed untold: {:?}",
        effects
    );
    let spawned = effects.iter().filter(|e| matches!(e, Effect::Spawn { .. })).count();
    let closed = effects.iter().filter(|e| matches!(e, Effect::Close { .. })).count();
    prop_assert_eq!(panes + spawned - closed, m.panes().count(), "{:?}", effects);
    for e in effects {
        match e {
            Effect::Spawn { pane, .. } => prop_assert!(m.pane(*pane).is_some()),
            Effect::Close { pane } => prop_assert!(m.pane(*pane).is_none()),
            _ => {}
        }
    }
    Ok(())
}

fn take(m: &mut Model, keys: &Keymap, step: Step) -> Result<(), TestCaseError> {
    let before = (m.focused(), m.mode(), m.panes().count());
    let effects = match step {
        Step::Apply(invocation) => {
            let image = format!("{m:?}");
            match m.apply(&invocation) {
                Ok(effects) => effects,
                Err(refusal) => {
                    prop_assert!(!refusal.to_string().is_empty());
                    prop_assert_eq!(format!("{:?}", m), image, "refused, but changed");
                    Vec::new()
                }
            }
        }
        Step::Resize(cols, rows) => m.resize(Size::new(cols, rows)),
        Step::Remove(pane) => m.remove_pane(PaneId(pane)),
        Step::Drag(from, to) => m.drag(from, to),
        Step::Open(layout) => m.open(&layout),
        Step::Key(chord) => {
            m.key(&chord, keys);
            return m.check().map_err(TestCaseError::fail);
        }
    };
    m.check().map_err(TestCaseError::fail)?;
    check_effects(m, before, &effects)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_the_model((cols, rows) in size(), steps in proptest::collection::vec(step(), 1..80)) {
        let (mut m, keys) = (session(cols, rows), keymap());
        for step in steps {
            take(&mut m, &keys, step)?;
        }
    }

    #[test]
    fn any_size_and_back_shows_the_same(
        (cols, rows) in (20u16..200, 10u16..60), actions in proptest::collection::vec(shaping(), 1..30),
        sizes in proptest::collection::vec(size(), 1..6)
    ) {
        let mut m = session(cols, rows);
        for action in actions {
            // Some are refused; that is as good a state as any.
            let _ = m.apply(&action.into());
        }
        let before = m.placements();
        for (c, r) in sizes {
            m.resize(Size::new(c, r));
            m.check().map_err(TestCaseError::fail)?;
        }
        m.resize(Size::new(cols, rows));
        prop_assert_eq!(m.placements(), before);
    }

    #[test]
    fn a_split_never_makes_a_pane_too_small((cols, rows) in size(), actions in proptest::collection::vec(shaping(), 1..30)) {
        let mut m = session(cols, rows);
        for action in actions {
            let splits = matches!(action, Action::NewPane { .. }) && m.focused().is_some();
            let opened = m.apply(&action.into());
            if let (true, Ok(_), Some(new)) = (splits, opened, m.placements().iter().find(|p| p.focused)) {
                let new = new.inner;
                prop_assert!(new.w >= 4 && new.h >= 2, "{:?}", new);
            }
        }
    }

    #[test]
    fn a_dump_opens_as_it_was((cols, rows) in size(), layout in layout()) {
        let mut m = Model::new("test", Size::new(cols, rows));
        m.open(&layout);
        let dump = m.dump_layout();
        let mut again = Model::new("test", Size::new(cols, rows));
        again.open(&dump);
        again.check().map_err(TestCaseError::fail)?;
        prop_assert_eq!(again.panes().count(), m.panes().count());
        prop_assert_eq!(again.active_index(), m.active_index());
    }
}
