//! What a person meets first: the greeting, the keys of a preset that keeps out of the way, and a program full of menus.

use crate::{
    harness::{House, installed, until},
    term::Term,
};

#[test]
fn the_first_run_says_hello_once_and_asks_nothing() {
    let house = House::new();
    let marker = house.path().join("state/quarterdeck/greeted");
    std::fs::remove_file(&marker).expect("it is there");
    let mut t = house.term(&[], 100, 30);
    t.wait_text("Welcome. Ctrl-Space opens the menu");
    // Whoever types on is not disturbed.
    t.line("echo typed$((1+1))");
    t.wait_text("typed2");
    assert!(marker.exists());
    t.hang_up();
    drop(t);
    house.ok(&["kill", "--all"]);
    let t = house.term(&["attach", "-c", "second"], 100, 30);
    t.wait_prompt();
    t.line("echo again$((1+1))");
    t.wait_text("again2");
    assert!(!t.text().contains("Welcome"), "{}", t.text());
}

#[test]
fn who_has_a_configuration_is_not_greeted() {
    let house = House::new().config("keybinds leader=\"Ctrl-b\" {\n}\n");
    std::fs::remove_file(house.path().join("state/quarterdeck/greeted")).expect("it is there");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("echo typed$((1+1))");
    t.wait_text("typed2");
    assert!(!t.text().contains("Welcome"), "{}", t.text());
}

#[test]
fn unlock_first_leaves_every_key_but_one_to_the_program() {
    let house = House::new().config("keybinds preset=\"unlock-first\"\n");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    house.script("keys", "stty raw -echo; printf ready; exec cat -vT");
    t.line("clear; ./keys");
    t.wait_text("ready");
    // What other presets take goes through: the default leader, and zellij's and tmux' keys.
    t.send("\0\x02\x0f\x10\x13\x14\x1bn\x1bh\x1b[A.");
    t.wait_text("^@^B^O^P^S^T^[n^[h^[[A.");
    assert_eq!(house.list("list-panes").len(), 1);
    // Unlocked for one command, and locked again.
    t.send("\x07");
    t.wait_mode("LEADER");
    t.send("p");
    t.wait_text("fullscreen");
    t.send("r");
    house.wait_panes("a pane at the right", |l| l.len() == 2);
    t.wait_mode("RAW");
    t.send("echo pr\x7f\x7fother$((1+1))\r");
    t.wait_text("other2");
    t.send("\x07h");
    // The menu key twice is the key itself.
    t.send("\x07\x07,");
    t.wait_text("^[[A.^G,");
    // The lock lets even that pass, until it is pressed twice.
    t.send("\x07L");
    t.wait_mode("LOCK");
    t.send("\x02p;");
    t.wait_text("^G,^Bp;");
}

fn wait_row(t: &Term, what: &str, row: usize, text: &str) {
    t.wait(what, |s| {
        let cols = s.size().1;
        s.rows(0, cols).nth(row).is_some_and(|r| r.contains(text))
    });
}

#[test]
fn the_menus_of_mc_open_with_their_key() {
    if !installed("mc") {
        return;
    }
    let house = House::new().env("MC_SKIN", "default");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("echo before$((1+1))");
    t.wait_text("before2");
    // Without a subshell it takes keys as soon as it has drawn.
    t.line("mc -u -x");
    t.wait_text("10Quit");
    wait_row(
        &t,
        "the line of menus",
        2,
        "Left     File     Command     Options     Right",
    );
    let look = |s: &vt100::Screen| s.cell(2, 4).map(|c| (c.fgcolor(), c.bgcolor()));
    let before = t.screen(look);
    // F9, as xterm sends it.
    t.send("\x1b[20~");
    t.wait("the line of menus has the keys", |s| look(s) != before);
    t.send("f");
    t.wait_text("View file");
    t.wait_text("Chmod");
    until("the menu closes", || {
        t.send("\x1b\x1b");
        t.look_for(|s| !s.contents().contains("View file")).then_some(())
    });
    t.send("\x1b[21~");
    t.wait_text("before2");
    t.line("echo after$((1+1))");
    t.wait_text("after2");
}
