//! Panes and tabs under the hands: splitting, moving, sizes, names, marks, and programs that end.

use crate::harness::{House, until};

fn ids(house: &House) -> Vec<i64> {
    house
        .list("list-panes")
        .iter()
        .filter_map(|p| p["id"].as_i64())
        .collect()
}

fn focused(house: &House) -> i64 {
    let all = house.list("list-panes");
    all.iter()
        .find(|p| p["focused"] == true)
        .and_then(|p| p["id"].as_i64())
        .expect("one has the focus")
}

fn place(house: &House, id: i64) -> (i64, i64, i64, i64) {
    let all = house.list("list-panes");
    let p = all.iter().find(|p| p["id"] == id).expect("it is there");
    let n = |k: &str| p[k].as_i64().expect("a number");
    (n("x"), n("y"), n("columns"), n("rows"))
}

fn active_tab(house: &House) -> (i64, String) {
    let all = house.list("list-tabs");
    let t = all.iter().find(|t| t["active"] == true).expect("one is active");
    (
        t["position"].as_i64().expect("a number"),
        t["name"].as_str().expect("a name").to_owned(),
    )
}

#[test]
fn panes_are_split_focused_and_zoomed() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("nr");
    house.wait_panes("a pane to the right", |l| l.len() == 2);
    t.leader("nd");
    house.wait_panes("a pane below", |l| l.len() == 3);
    assert_eq!(
        (place(&house, 1), place(&house, 2), place(&house, 3)),
        ((1, 2, 48, 26), (51, 2, 48, 12), (51, 16, 48, 12))
    );
    let went = |keys: &str, to: i64| {
        t.leader(keys);
        until(&format!("focus on {to} by {keys:?}"), || {
            (focused(&house) == to).then_some(())
        });
    };
    assert_eq!(focused(&house), 3);
    went("k", 2);
    went("\x1b[D", 1);
    went("\x1bOC", 2);
    went("j", 3);
    went("h", 1);
    went("\t", 2);
    went("\x1b[Z", 1);
    went("ww", 2);
    t.leader("j");
    t.leader("j");
    t.wait_text("no pane below");
    t.leader("z");
    house.wait_panes("zoomed", |l| l[2]["columns"] == 98 && l[2]["rows"] == 26);
    t.wait_text("zoomed");
    t.shell("stty size");
    t.wait_text("26 98");
    t.leader("z");
    house.wait_panes("as before", |l| l[2]["columns"] == 48 && l[2]["rows"] == 12);
    t.wait_gone("zoomed");
}

#[test]
fn resize_mode_moves_borders_until_it_is_left() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.leader("r");
    t.wait_mode("RESIZE");
    t.send("hhh");
    let p = house.wait_panes("wider", |l| l[1]["columns"].as_i64() > Some(50));
    let sum = |p: &[serde_json::Value]| p[0]["columns"].as_i64().unwrap_or(0) + p[1]["columns"].as_i64().unwrap_or(0);
    assert_eq!(sum(&p), 96);
    t.send("H");
    let wide = p[1]["columns"].as_i64();
    house.wait_panes("a little narrower", |l| l[1]["columns"].as_i64() < wide);
    t.send("=");
    house.wait_panes("equal", |l| l[0]["columns"] == 48 && l[1]["columns"] == 48);
    t.send("\x1b");
    t.wait_mode("RAW");
    t.shell("stty size");
    t.wait_text("26 48");
}

#[test]
fn panes_are_swapped_and_broken_out() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("echo first$((0+1))");
    t.wait_text("first1");
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.leader("wh");
    until("swapped", || {
        (place(&house, 2).0 == 1 && place(&house, 1).0 == 51).then_some(())
    });
    t.wait("its text moved along", |s| s.rows(50, 50).any(|r| r.contains("first1")));
    assert_eq!(focused(&house), 2, "the focus stays with the pane");
    t.leader("wb");
    until("a tab of its own", || {
        (house.list("list-tabs").len() == 2).then_some(())
    });
    house.wait_panes("both have the whole tab", |l| l.iter().all(|p| p["columns"] == 98));
    assert_eq!((focused(&house), active_tab(&house).0), (2, 2));
    t.leader("w[");
    until("back in the left tab", || {
        (house.list("list-tabs").len() == 1).then_some(())
    });
    assert_eq!(ids(&house).len(), 2);
}

#[test]
fn closing_asks_when_a_program_runs() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.wait("its prompt", |s| s.rows(50, 50).any(|r| r.contains("$ ")));
    t.line("sleep 1000");
    let child = || {
        let pid = house.list("list-panes")[1]["pid"].to_string();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        let name = std::fs::read_to_string(format!("/proc/{}/comm", children.trim())).ok()?;
        (name.trim() == "sleep").then_some(())
    };
    until("sleep runs", child);
    t.leader("D");
    t.wait_text("Still running: sleep. End it?");
    t.send("n");
    t.wait_gone("Still running");
    assert_eq!(ids(&house).len(), 2);
    t.leader("D");
    t.wait_text("Still running");
    t.send("y");
    house.wait_panes("closed", |l| l.len() == 1);
    t.leader("nd");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.wait("its prompt", |s| s.rows(0, 100).skip(15).any(|r| r.contains("$ ")));
    t.leader("D");
    house.wait_panes("an idle shell is closed at once", |l| l.len() == 1);
}

#[test]
fn a_held_command_shows_its_end_and_runs_again() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let script = house.script("count", "echo x >> runs; echo run number $(wc -l < runs); exit 3");
    house.ok(&["run", "--", &script.to_string_lossy()]);
    t.wait_text("run number 1");
    t.wait_text("exit 3");
    t.send("\r");
    t.wait_text("run number 2");
    t.wait_text("exit 3");
    house.act("rerun-pane");
    t.wait_text("run number 3");
    t.wait_text("exit 3");
    t.send("x");
    t.send("\x03");
    house.wait_panes("closed", |l| l.len() == 1);
    house.ok(&["run", "--", "sh", "-c", "kill -9 $$"]);
    t.wait_text("killed by signal 9");
    house.act("close-pane");
    house.ok(&["run", "--close-on-exit", "--", "true"]);
    house.wait_panes("gone by itself", |l| l.len() == 1);
}

#[test]
fn tabs_are_made_named_moved_and_closed() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("tn");
    until("two tabs", || (house.list("list-tabs").len() == 2).then_some(()));
    t.leader("tr");
    t.wait_text("tab name:");
    t.send("\x15build\r");
    t.wait("its name is on the bar", |s| {
        s.rows(0, 100).next().is_some_and(|l| l.contains("build"))
    });
    t.leader("1");
    until("the first", || (active_tab(&house).0 == 1).then_some(()));
    t.leader("t\t");
    until("the last one used", || (active_tab(&house).1 == "build").then_some(()));
    t.leader("tH");
    until("moved to the left", || {
        (active_tab(&house) == (1, "build".into())).then_some(())
    });
    t.leader("tn");
    until("three tabs", || (house.list("list-tabs").len() == 3).then_some(()));
    t.leader("tl");
    until("round the end", || (active_tab(&house).0 == 1).then_some(()));
    t.leader("th");
    until("and back", || (active_tab(&house).0 == 3).then_some(()));
    t.leader("tD");
    until("closed", || (house.list("list-tabs").len() == 2).then_some(()));
    t.leader("tp");
    t.wait_text("tabs");
    t.send("build\r");
    until("chosen by its name", || (active_tab(&house).1 == "build").then_some(()));
    t.leader("q");
    t.wait_text("q does nothing here");
}

#[test]
fn bells_and_activity_mark_the_tab() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let bar = |s: &vt100::Screen| s.rows(0, 100).next().unwrap_or_default().trim_end().to_owned();
    t.leader("tn");
    until("two tabs", || (house.list("list-tabs").len() == 2).then_some(()));
    t.wait("the second shell", |s| {
        s.contents().contains("$ ") && bar(s).contains("2 ")
    });
    let calm = t.screen(bar);
    house.ok(&["action", "write-chars", "--pane-id", "1", "echo work\r"]);
    t.wait("a mark of activity", |s| bar(s) != calm);
    let active = t.screen(bar);
    let from = t.bytes();
    house.ok(&["action", "write-chars", "--pane-id", "1", "printf '\\a'\r"]);
    t.wait("a mark of the bell", |s| bar(s) != calm && bar(s) != active);
    t.wait_wire(from, b"\x07");
    t.leader("1");
    t.wait("no marks where the focus is", |s| bar(s) == calm);
}

#[test]
fn a_program_names_its_pane() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("printf '\\033]2;on the bridge\\007'");
    t.wait("the title is on the frame", |s| {
        s.rows(0, 100).nth(1).is_some_and(|l| l.contains("on the bridge"))
    });
    t.wait_wire(0, b"\x1b]2;main \xe2\x80\x94 on the bridge");
    // Control characters in a title reach neither the frame nor the outer terminal.
    t.line("printf '\\033]2;a\\033[31mb\\tc\\342\\200\\256d\\007'; echo set$((1+1))");
    t.wait_text("set2");
    t.leader("wn");
    t.wait_text("pane name:");
    t.send("helm\r");
    t.wait("a given name counts more", |s| {
        s.rows(0, 100).nth(1).is_some_and(|l| l.contains("helm"))
    });
    assert_eq!(house.list("list-panes")[0]["title"], "helm");
}

#[test]
fn a_new_pane_starts_where_the_old_one_is() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let dir = house.path().join("deep/er");
    std::fs::create_dir_all(&dir).expect("a directory");
    t.shell("cd deep/er");
    for keys in ["nr", "tn"] {
        t.leader(keys);
        let n = if keys == "nr" { 2 } else { 3 };
        let panes = house.wait_panes("one more", |l| l.len() == n);
        let new = panes.iter().find(|p| p["focused"] == true).expect("it has the focus");
        assert_eq!(new["cwd"].as_str(), dir.to_str(), "{keys}");
    }
}

#[test]
fn a_storm_of_sizes_ends_with_the_right_one() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    for i in 0..200u16 {
        t.resize(20 + i % 90, 5 + i % 40);
    }
    t.resize(90, 20);
    house.wait_panes("the last size", |l| l[0]["columns"] == 43 && l[0]["rows"] == 16);
    t.shell("stty size");
    t.wait_text("16 43");
    t.wait_mode("RAW");
}

#[test]
fn wide_characters_stay_whole_beside_a_border() {
    let house = House::new();
    let t = house.term(&[], 41, 12);
    t.wait_prompt();
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    // Odd and even starts, so that one of them must break before the border.
    t.line("clear; for s in '' x; do echo ${s}漢字漢字漢字漢字漢字漢字漢字漢字; done; echo ok$((1+1))");
    t.wait_text("ok2");
    t.leader("h");
    t.line("clear; for s in '' x; do echo ${s}漢字漢字漢字漢字漢字漢字漢字漢字; done; echo left$((1+1))");
    t.wait_text("left2");
    t.screen(|s| {
        let border = |x: u16| (2..10).all(|y| s.cell(y, x).is_some_and(|c| c.contents() == "│"));
        let borders: Vec<u16> = (0..41).filter(|x| border(*x)).collect();
        assert_eq!(
            borders.len(),
            4,
            "every border stands on every row: {borders:?}\n{}",
            s.contents()
        );
        for y in 2..10 {
            for x in 0..41 {
                let c = s.cell(y, x).expect("a cell");
                let next_is_rest = x + 1 < 41 && s.cell(y, x + 1).is_some_and(vt100::Cell::is_wide_continuation);
                assert_eq!(
                    c.is_wide(),
                    next_is_rest,
                    "half a character at {x},{y}\n{}",
                    s.contents()
                );
            }
        }
    });
}
