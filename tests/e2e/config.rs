//! The configuration in a living session: faults are shown with their place, changes count at once, layouts open.

use crate::harness::{House, until};

#[test]
fn a_broken_configuration_is_shown_and_the_rest_counts() {
    let house = House::new().config("theme \"nord\"\nhints \"loud\"\nkeybinds leader=\"Ctrl-a\"\nescape_tim 10\n");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.wait_text("config.kdl:2:");
    // What is right in it counts.
    t.send("\x01m");
    t.wait_mode("NAV");
    t.wait_text("\"loud\"");
    t.wait_text("config.kdl:4:");
    t.wait_text("escape_time");
    t.send("\x1b");
    t.wait_mode("RAW");
    t.line("echo works$((1+1))");
    t.wait_text("works2");
}

#[test]
fn a_configuration_that_is_no_kdl_leaves_the_defaults() {
    let house = House::new().config("keybinds {\n    leader {\n  bind \"x\n");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.wait_text("config.kdl:");
    t.leader("nr");
    house.wait_panes("the default keys", |l| l.len() == 2);
    std::fs::remove_file(house.config_file()).expect("it is there");
    std::fs::create_dir(house.config_file()).expect("a directory in its place");
    house.act("reload-config");
    t.leader("nd");
    house.wait_panes("still the default keys", |l| l.len() == 3);
    std::fs::remove_dir(house.config_file()).expect("it is there");
}

#[test]
fn a_change_counts_at_once() {
    let house = House::new().config("theme \"catppuccin-mocha\"\n");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let frame = |s: &vt100::Screen| s.cell(1, 0).map(|c| (c.fgcolor(), c.bgcolor()));
    let before = t.screen(frame);
    let house = house.config("theme \"gruvbox-light\"\nkeybinds leader=\"Ctrl-b\" {\n    leader {\n        bind \"e\" label=\"east\" { new-pane \"--direction\" \"right\"; }\n    }\n}\n");
    t.wait("other colours", |s| frame(s) != before);
    t.wait_text("Ctrl-b menu");
    t.send("\x02e");
    house.wait_panes("the new key works", |l| l.len() == 2);
    t.send("\0");
    let house = house.config("pane_frames #false\nhints \"off\"\n");
    t.wait("no frames", |s| !s.contents().contains('╭'));
    t.wait_gone("menu");
    let house = house.config("pane_frames #true\nthem \"x\"\n");
    t.wait_text("config.kdl:2:");
    t.wait("frames again", |s| s.contents().contains('╭'));
    drop(house);
}

#[test]
fn variables_and_shells_come_from_it() {
    let house = House::new();
    let shell = house.script("other-shell", "echo this is the other shell of $HARBOUR; exec cat");
    let house = house.config(&format!(
        "default_shell \"{}\"\nenv {{ HARBOUR \"kiel\"; }}\n",
        shell.display()
    ));
    let t = house.term(&[], 100, 30);
    t.wait_text("this is the other shell of kiel");
}

#[test]
fn layouts_open_from_files_and_by_name() {
    let house = House::new();
    let text = r#"layout {
    tab name="ops" split_direction="vertical" {
        pane size="30%" name="left"
        pane split_direction="horizontal" {
            pane command="sh" { args "-c" "echo from the layout; exit 7"; }
            pane focus=#true name="lower"
        }
    }
    tab name="second"
}
"#;
    house.file("config/quarterdeck/layouts/ops.kdl", text);
    let t = house.term(&["--layout", "ops"], 100, 30);
    t.wait_text("from the layout");
    t.wait_text("exit 7");
    let tabs = house.list("list-tabs");
    assert_eq!((&tabs[0]["name"], &tabs[1]["name"]), (&"ops".into(), &"second".into()));
    let panes = house.list("list-panes");
    assert_eq!(panes.len(), 4);
    let left = panes.iter().find(|p| p["title"] == "left").expect("it is there");
    assert_eq!(left["columns"], 28);
    let lower = panes.iter().find(|p| p["title"] == "lower").expect("it is there");
    assert_eq!(lower["focused"], true);
    // What is dumped opens the same again.
    let dumped = house.file("again.kdl", &house.act("dump-layout"));
    let again = house.term(&["-s", "again", "--layout", &dumped.to_string_lossy()], 100, 30);
    again.wait_text("from the layout");
    let panes: Vec<serde_json::Value> =
        serde_json::from_str(&house.ok(&["action", "-s", "again", "list-panes", "--json"])).expect("JSON");
    assert_eq!(panes.len(), 4);
    assert!(panes.iter().any(|p| p["title"] == "left" && p["columns"] == 28));
}

#[test]
fn a_layout_that_is_not_there_or_wrong_is_told() {
    let house = House::new();
    let t = house.term(&["--layout", "nix"], 100, 30);
    t.wait_prompt();
    t.wait_text("nix");
    house.file(
        "config/quarterdeck/layouts/bad.kdl",
        "layout {\n    pane sizze=\"3\"\n    pne\n}\n",
    );
    let t = house.term(&["-s", "second", "--layout", "bad"], 100, 30);
    t.wait_prompt();
    t.wait_text("bad.kdl:");
    until("both live", || {
        (house.ok(&["ls", "-q"]).lines().count() == 2).then_some(())
    });
}
