//! Layouts read, written and refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use qd_mux::{Axis, Dim, LayoutSpec, Node, OnExit, PaneSpec, TabSpec};

use super::*;

/// Most of the grammar in one file.
pub(crate) const SAMPLE: &str = r##"
layout {
    cwd "/srv"
    default_tab_template {
        pane size=1 borderless=true { plugin location="zellij:tab-bar"; }
        children
        pane size=2 borderless=true { plugin location="status-bar"; }
    }
    pane_template name="watch" command="watch" close_on_exit=true { args "-n" "1"; }
    pane_template name="pair" split_direction="vertical" { children; pane size="30%"; }
    tab_template name="duo" { pane split_direction="vertical" { pane; children; }; }
    tab name="code" focus=true split_direction="Vertical" cwd="code" {
        pane size="60%" command="vim" focus=true { args "src/main.rs"; }
        pane split_direction="horizontal" {
            watch cwd="sub"
            watch { args "ls"; }
            pane name="log" cwd="/var/log" command="tail" start_suspended=true { args "-f" "x"; }
        }
    }
    tab { pair { pane; pane name="two"; }; }
    duo name="three" { pane name="inner"; }
    tab { pane kind="logs" { path "/var/log/syslog"; follow true; args size="big"; }; }
    tab
}
"##;

fn pane(spec: PaneSpec) -> Node {
    Node::Pane {
        spec,
        size: None,
        focus: false,
    }
}

fn sized(node: Node, dim: Dim) -> Node {
    match node {
        Node::Pane { spec, focus, .. } => Node::Pane {
            spec,
            size: Some(dim),
            focus,
        },
        Node::Split { axis, children, .. } => Node::Split {
            axis,
            size: Some(dim),
            children,
        },
    }
}

fn shell(cwd: &str) -> PaneSpec {
    PaneSpec {
        cwd: Some(cwd.to_owned()),
        ..PaneSpec::default()
    }
}

fn command(argv: &[&str], cwd: &str) -> PaneSpec {
    PaneSpec {
        cwd: Some(cwd.to_owned()),
        ..PaneSpec::command(argv.iter().map(|a| (*a).to_owned()).collect())
    }
}

fn split(axis: Axis, children: Vec<Node>) -> Node {
    Node::Split {
        axis,
        size: None,
        children,
    }
}

fn read(text: &str) -> LayoutSpec {
    let loaded = load_layout(text, "layout.kdl");
    let shown: String = loaded.diagnostics.iter().map(|d| d.render(text)).collect();
    assert!(loaded.diagnostics.is_empty(), "{shown}");
    loaded.layout.unwrap()
}

fn findings(text: &str) -> String {
    let loaded = load_layout(text, "layout.kdl");
    loaded
        .diagnostics
        .iter()
        .map(|d| d.render(text))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_grammar_of_zellij_becomes_tabs_and_splits() {
    let layout = read(SAMPLE);
    let names: Vec<Option<&str>> = layout.tabs.iter().map(|t| t.name.as_deref()).collect();
    assert_eq!(names, [Some("code"), None, Some("three"), None, None]);
    assert_eq!(
        layout.tabs.iter().map(|t| t.focus).collect::<Vec<_>>(),
        [true, false, false, false, false]
    );

    let vim = Node::Pane {
        spec: command(&["vim", "src/main.rs"], "/srv/code"),
        size: Some(Dim::Percent(60.0)),
        focus: true,
    };
    let close = |spec| PaneSpec {
        on_exit: OnExit::Close,
        ..spec
    };
    let mut log = command(&["tail", "-f", "x"], "/var/log");
    log.name = Some("log".to_owned());
    log.args.insert("start_suspended".to_owned(), "true".to_owned());
    let right = split(
        Axis::Column,
        vec![
            pane(close(command(&["watch", "-n", "1"], "/srv/code/sub"))),
            pane(close(command(&["watch", "ls"], "/srv/code"))),
            pane(log),
        ],
    );
    assert_eq!(layout.tabs[0].root, split(Axis::Row, vec![vim, right]));

    let two = PaneSpec {
        name: Some("two".to_owned()),
        ..shell("/srv")
    };
    let group = split(Axis::Column, vec![pane(shell("/srv")), pane(two)]);
    let pair = split(Axis::Row, vec![group, sized(pane(shell("/srv")), Dim::Percent(30.0))]);
    assert_eq!(layout.tabs[1].root, pair);

    let inner = PaneSpec {
        name: Some("inner".to_owned()),
        ..shell("/srv")
    };
    assert_eq!(
        layout.tabs[2].root,
        split(Axis::Row, vec![pane(shell("/srv")), pane(inner)])
    );

    let args = [("path", "/var/log/syslog"), ("follow", "true"), ("size", "big")];
    let args: BTreeMap<String, String> = args.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(
        layout.tabs[3].root,
        pane(PaneSpec {
            kind: "logs".to_owned(),
            args,
            ..shell("/srv")
        })
    );
    assert_eq!(layout.tabs[4].root, pane(shell("/srv")));
}

#[test]
fn built_in_layouts_read_clean_and_have_a_shell() {
    for name in builtin_layouts() {
        assert!(!read(builtin_layout(name).unwrap()).tabs.is_empty());
    }
    let only = TabSpec {
        name: None,
        focus: false,
        root: pane(PaneSpec::default()),
    };
    assert_eq!(read(builtin_layout("single").unwrap()).tabs, [only]);
    // Without its engine a pane says so; the shell is always there, and has the focus.
    let default = read(builtin_layout("default").unwrap());
    let names: Vec<_> = default.tabs.iter().map(|t| t.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["shell", "logs", "search", "traffic"]);
    assert!(default.tabs[0].focus);
    assert_eq!(default.tabs[0].root, pane(PaneSpec::default()));
    assert_eq!(builtin_layout("none"), None);
}

/// The shapes of the layouts that zellij ships.
#[test]
fn bars_vanish_and_other_plugins_become_named_panes() {
    let bars = r##"
layout {
    pane size=1 borderless=true {
        plugin location="tab-bar"
    }
    pane
    pane size=2 borderless=true {
        plugin location="status-bar" {
            classic true
        }
    }
}"##;
    assert_eq!(read(bars).tabs[0].root, pane(PaneSpec::default()));
    let welcome = "layout {\n    pane borderless=true {\n        plugin location=\"welcome-screen\"\n    }\n}\n";
    let loaded = load_layout(welcome, "welcome.kdl");
    let Some(Node::Pane { spec, .. }) = loaded.layout.map(|l| l.tabs[0].root.clone()) else {
        unreachable!()
    };
    assert_eq!(
        (spec.kind.as_str(), spec.name.as_deref()),
        ("plugin", Some("welcome-screen"))
    );
    assert!(
        loaded.diagnostics[0]
            .message
            .contains("“welcome-screen” does not exist here")
    );
}

#[test]
fn panes_without_a_tab_share_one() {
    let two = split(
        Axis::Column,
        vec![
            pane(PaneSpec::default()),
            sized(pane(PaneSpec::default()), Dim::Cells(5)),
        ],
    );
    assert_eq!(read("layout { pane; pane size=5; }").tabs[0].root, two);
    assert_eq!(read("layout").tabs[0].root, pane(PaneSpec::default()));
}

#[test]
fn what_does_not_exist_yet_is_named_and_left_out() {
    let text = r##"
layout {
    swap_tiled_layout name="v" { tab max_panes=5 { pane; }; }
    tab {
        pane size="20%" { plugin location="zellij:strider"; }
        pane stacked=true { pane; pane; }
        pane edit="README.md" borderless=true
        floating_panes { pane x=1; }
    }
}
session_serialization false
"##;
    let loaded = load_layout(text, "layout.kdl");
    let Some(Node::Split { children, .. }) = loaded.layout.map(|l| l.tabs[0].root.clone()) else {
        unreachable!()
    };
    assert_eq!(children.len(), 3);
    assert!(
        matches!(&children[0], Node::Pane { spec, .. } if spec.kind == "plugin"),
        "{children:?}"
    );
    insta::assert_snapshot!("warnings", findings(text));
}

#[test]
fn errors_leave_no_layout() {
    let text = r##"
layout {
    pane_template name="a" { a; }
    pane_template { pane; }
    tab { a; }
    tab split_direction="diagonal" sise=3 {
        pane size="0%"
        pane size=70000 focus="maybe"
        pain
        pane { args "x"; }
    }
    pane
    tabb
}
layuot
"##;
    assert!(parse_layout(text, "layout.kdl").is_err());
    insta::assert_snapshot!("errors", findings(text));
    assert!(parse_layout("", "f").unwrap_err()[0].message.contains("no layout"));
    assert!(
        parse_layout("layout {", "f").unwrap_err()[0]
            .message
            .contains("never closed")
    );
}

#[test]
fn templates_cannot_grow_without_bounds() {
    let mut text = "layout {\n".to_owned();
    for i in 0..12 {
        let next = format!("t{}; ", i + 1).repeat(10);
        text.push_str(&format!("pane_template name=\"t{i}\" {{ {next} }}\n"));
    }
    text.push_str("tab { t0; }\n}\n");
    let found = parse_layout(&text, "f").unwrap_err();
    assert!(found.iter().any(|d| d.message.contains("more than")), "{found:?}");
}

fn any_spec() -> impl Strategy<Value = PaneSpec> {
    let text = || "[^\u{0}]{1,6}";
    let kind = prop::sample::select(vec!["terminal", "logs", "plugin"]);
    let keys = prop_oneof![
        "[a-z_é ]{1,5}",
        Just("size".to_owned()),
        Just("pane".to_owned()),
        Just("children".to_owned())
    ];
    (
        kind,
        prop::option::of(text()),
        prop::option::of(prop::collection::vec(text(), 1..3)),
        prop::option::of("/[^\u{0}]{0,6}"),
        any::<bool>(),
        prop::collection::btree_map(keys, text(), 0..3),
    )
        .prop_map(|(kind, name, command, cwd, close, args)| PaneSpec {
            kind: kind.to_owned(),
            name,
            command,
            cwd,
            on_exit: if close { OnExit::Close } else { OnExit::Hold },
            args,
        })
}

fn any_node() -> impl Strategy<Value = Node> {
    let dim = || {
        prop::option::of(prop_oneof![
            (0.01f32..100.0).prop_map(Dim::Percent),
            (1u16..500).prop_map(Dim::Cells)
        ])
    };
    let leaf = (any_spec(), dim(), any::<bool>()).prop_map(|(spec, size, focus)| Node::Pane { spec, size, focus });
    leaf.prop_recursive(4, 16, 4, move |inner| {
        let axis = prop::sample::select(vec![Axis::Row, Axis::Column]);
        (axis, dim(), prop::collection::vec(inner, 2..4)).prop_map(|(axis, size, children)| Node::Split {
            axis,
            size,
            children,
        })
    })
}

/// A tab fills the screen, so that its root has no size.
fn unsized_root(node: Node) -> Node {
    match node {
        Node::Pane { spec, focus, .. } => Node::Pane {
            spec,
            size: None,
            focus,
        },
        Node::Split { axis, children, .. } => Node::Split {
            axis,
            size: None,
            children,
        },
    }
}

proptest! {
    #[test]
    fn a_written_layout_reads_back_as_the_same(
        tabs in prop::collection::vec((prop::option::of("\\PC{0,6}"), any::<bool>(), any_node()), 1..4),
    ) {
        let tabs = tabs.into_iter().map(|(name, focus, root)| TabSpec { name, focus, root: unsized_root(root) }).collect();
        let layout = LayoutSpec { tabs };
        let text = write_layout(&layout);
        let loaded = load_layout(&text, "written");
        prop_assert!(loaded.diagnostics.is_empty(), "{}\n{:?}", text, loaded.diagnostics);
        prop_assert_eq!(loaded.layout.unwrap(), layout, "{}", text);
    }
}
