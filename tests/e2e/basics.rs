//! What everybody does every day: open, type, split, leave, come back.

use crate::harness::House;

#[test]
fn opens_a_shell_and_echoes() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.send("echo a$((1+1))b\r");
    t.wait_text("a2b");
    assert!(
        t.text().contains("main"),
        "the session's name is on the tab bar\n{}",
        t.text()
    );
    assert!(t.text().contains("RAW"), "the mode is on the screen\n{}", t.text());
}

#[test]
fn detach_and_attach_keeps_everything() {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.send("echo kept$((40+2))\r");
    t.wait_text("kept42");
    t.leader("d");
    assert_eq!(t.wait_end(), 0);
    assert!(house.ok(&["ls"]).contains("main: 1 tab, 1 pane"));
    let t = house.term(&["attach"], 80, 24);
    t.wait_text("kept42");
    t.send("exit\r");
}
