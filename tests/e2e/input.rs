//! Keys, pastes and the mouse, from the outer terminal to the program in the pane, and what Quarterdeck takes for itself.

use crate::{
    harness::{House, until},
    term::{Outer, Term},
};

/// A session with a program that shows the bytes it gets, after it has asked the terminal for something.
fn showing_keys(house: &House, asks: &str, outer: Outer) -> Term {
    let t = Term::open(house, &[], 80, 24, outer);
    t.wait_prompt();
    house.script("keys", "stty raw -echo; printf \"$1\"; printf ready; exec cat -vT");
    t.line(&format!("clear; ./keys '{asks}'"));
    t.wait_text("ready");
    t
}

fn expect(t: &Term, send: &str, shown: &str) {
    t.send(send);
    t.wait_text(shown);
    // Its own place for the next one.
    t.send("|");
    t.wait_text(&format!("{shown}|"));
}

#[test]
fn keys_reach_the_program_as_it_expects_them() {
    let house = House::new();
    let t = showing_keys(&house, "", Outer::default());
    expect(&t, "\0\0", "^@");
    expect(&t, "\x1bx", "^[x");
    expect(&t, "\x1b[A", "^[[A");
    expect(&t, "\x1bOB", "^[[B");
    expect(&t, "\x1b[1;5D", "^[[1;5D");
    expect(&t, "\x1bOP", "^[OP");
    expect(&t, "\x1b[15~", "^[[15~");
    expect(&t, "\x1b[3~", "^[[3~");
    expect(&t, "\x03\x1a\x1c", "^C^Z^\\");
    expect(&t, "\x7f", "^?");
    expect(&t, "\t\x1b[Z", "^I^[[Z");
    expect(&t, "é", "M-CM-)");
    t.send("\x1b");
    t.wait_text("|^[");
}

#[test]
fn application_keys_are_sent_when_asked_for() {
    let house = House::new();
    let t = showing_keys(&house, "\\033[?1h", Outer::default());
    expect(&t, "\x1b[A", "^[OA");
    expect(&t, "\x1b[1;2A", "^[[1;2A");
}

#[test]
fn the_kitty_keyboard_goes_through_when_both_ends_speak_it() {
    let house = House::new();
    let kitty = Outer {
        kitty: true,
        ..Outer::default()
    };
    let t = showing_keys(&house, "\\033[>1u", kitty);
    t.wait_wire(0, b"\x1b[>5u");
    expect(&t, "\x1b[105;5u", "^[[105;5u");
    expect(&t, "\x1b[27u", "^[[27u");
    expect(&t, "a", "a");
    let house = House::new();
    let t = showing_keys(&house, "", kitty);
    t.wait_wire(0, b"\x1b[>5u");
    // A program that did not ask gets what it knows.
    expect(&t, "\x1b[105;5u", "^I");
    expect(&t, "\x1b[99;5u", "^C");
    expect(&t, "\x1b[32;5u\x1b[32;5u", "^@");
}

#[test]
fn a_paste_is_bracketed_for_a_program_that_asked() {
    let house = House::new();
    let t = showing_keys(&house, "\\033[?2004h", Outer::default());
    t.send("\x1b[200~two\nlines \x1b[5nof\x1b[201~");
    t.wait_text("^[[200~two");
    t.wait_text("of^[[201~");
    assert!(!t.text().contains("^[[5n"), "no escape is smuggled in\n{}", t.text());
}

#[test]
fn several_lines_for_a_shell_are_confirmed() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.send("\x1b[200~echo a$((1+1))\necho b$((1+1))\n\x1b[201~");
    t.wait_text("Paste 2 lines?");
    t.wait_text("It begins: echo a$((1+1))");
    t.send("n");
    t.wait_gone("Paste 2 lines?");
    t.line("echo c$((1+1))");
    t.wait_text("c2");
    assert!(!t.text().contains("a2"), "{}", t.text());
    t.send("\x1b[200~echo d$((1+1))\necho e$((1+1))\n\x1b[201~");
    t.wait_text("Paste 2 lines?");
    t.send("y");
    t.wait_text("d2");
    t.wait_text("e2");
    t.send("\x1b[200~echo f$((1+1))\x1b[201~");
    t.wait_text("echo f$((1+1))");
    t.send("\r");
    t.wait_text("f2");
}

/// A mouse event at a cell that is counted from zero.
fn mouse(t: &Term, button: u16, x: u16, y: u16, end: char) {
    t.send(format!("\x1b[<{button};{};{}{end}", x + 1, y + 1));
}

fn click(t: &Term, x: u16, y: u16) {
    mouse(t, 0, x, y, 'M');
    mouse(t, 0, x, y, 'm');
}

#[test]
fn the_mouse_focuses_scrolls_and_drags_borders() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("seq 300; echo all$((1+1))");
    t.wait_text("all2");
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2 && l[1]["focused"] == true);
    click(&t, 10, 10);
    house.wait_panes("the left has the focus", |l| l[0]["focused"] == true);
    assert!(!t.text().contains("│260 "), "{}", t.text());
    for _ in 0..8 {
        mouse(&t, 64, 10, 10, 'M');
    }
    t.wait_text("│260 ");
    for _ in 0..9 {
        mouse(&t, 65, 10, 10, 'M');
    }
    t.wait_text("all2");
    let before = house.list("list-panes")[0]["columns"].as_i64().expect("a number");
    mouse(&t, 0, 40, 10, 'M');
    mouse(&t, 32, 45, 10, 'M');
    mouse(&t, 32, 50, 10, 'M');
    mouse(&t, 0, 50, 10, 'm');
    house.wait_panes("the left is ten wider", |l| {
        l[0]["columns"].as_i64() == Some(before + 10)
    });
    // The bars are to be clicked on too.
    t.leader("tn");
    until("two tabs", || (house.list("list-tabs").len() == 2).then_some(()));
    let at = t
        .screen(|s| s.rows(0, 80).next().and_then(|l| l.find("Tab #1")))
        .expect("the first tab is on the bar");
    click(&t, u16::try_from(at).expect("a column"), 0);
    until("the first tab", || {
        (house.list("list-tabs")[0]["active"] == true).then_some(())
    });
    let at = t
        .screen(|s| s.rows(0, 80).last().and_then(|l| l.find("menu")))
        .expect("the menu is on the bar");
    click(&t, u16::try_from(at).expect("a column"), 23);
    t.wait_mode("LEADER");
}

#[test]
fn what_is_selected_with_the_mouse_is_copied() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("clear; echo alpha beta/gamma.txt delta");
    t.wait("the line at the top", |s| {
        s.rows(0, 80).nth(2).is_some_and(|l| l.starts_with("│alpha beta"))
    });
    let from = t.bytes();
    mouse(&t, 0, 1, 2, 'M');
    mouse(&t, 32, 3, 2, 'M');
    mouse(&t, 32, 5, 2, 'M');
    mouse(&t, 0, 5, 2, 'm');
    t.wait_wire(from, b"\x1b]52;c;YWxwaGE=\x07");
    t.wait_text("copied 5 characters");
    click(&t, 10, 2);
    click(&t, 10, 2);
    // beta/gamma.txt
    t.wait_wire(from, b"\x1b]52;c;YmV0YS9nYW1tYS50eHQ=");
    click(&t, 10, 2);
    t.wait_wire(from, b"\x1b]52;c;YWxwaGEgYmV0YS9nYW1tYS50eHQgZGVsdGE");
}

#[test]
fn a_program_that_asked_for_the_mouse_gets_it() {
    let house = House::new();
    let t = showing_keys(&house, "\\033[?1002h\\033[?1006h", Outer::default());
    mouse(&t, 0, 11, 7, 'M');
    t.wait_text("^[[<0;11;6M");
    mouse(&t, 64, 11, 7, 'M');
    t.wait_text("^[[<64;11;6M");
    // Shift takes it back.
    let from = t.bytes();
    mouse(&t, 4, 1, 2, 'M');
    mouse(&t, 36, 5, 2, 'M');
    mouse(&t, 4, 5, 2, 'm');
    t.wait_wire(from, b"\x1b]52;c;cmVhZHk");
}

#[test]
fn a_program_may_set_the_clipboard() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    let from = t.bytes();
    t.line("printf '\\033]52;c;YWhveQ==\\007'");
    t.wait_wire(from, b"\x1b]52;c;YWhveQ==\x07");
}

#[test]
fn copy_mode_searches_selects_and_copies() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("for i in $(seq 400); do echo \"row $i of many\"; done; echo all$((1+1))");
    t.wait_text("all2");
    t.leader("[");
    t.wait_mode("COPY");
    t.send("?");
    t.wait_text("search back:");
    t.send("row 123\r");
    t.wait_text("row 123 of many");
    t.wait_mode("COPY");
    let from = t.bytes();
    t.send("wv$y");
    // "123 of many"
    t.wait_wire(from, b"\x1b]52;c;MTIzIG9mIG1hbnk=");
    t.wait_mode("RAW");
    t.wait_text("all2");
    t.leader("[");
    t.wait_mode("COPY");
    t.send("g");
    t.wait_text("row 1 of many");
    t.send("/");
    t.wait_text("search:");
    t.send("row 30\r");
    t.wait_text("row 30 of many");
    t.send("n");
    t.wait_text("row 300 of many");
    t.send("Vk");
    t.wait_text("selecting lines");
    let from = t.bytes();
    t.send("y");
    // "row 299 of many\nrow 300 of many"
    t.wait_wire(from, b"\x1b]52;c;cm93IDI5OSBvZiBtYW55CnJvdyAzMDAgb2YgbWFueQ");
    t.leader("[");
    t.wait_mode("COPY");
    t.send("/nowhere-to-be-found\r");
    t.wait_text("no match");
    t.send("q");
    t.wait_mode("RAW");
    house.ok(&["action", "search", "row 77 "]);
    t.wait_text("row 77 of many");
    t.wait_mode("COPY");
    t.send("\x1b");
    t.wait_mode("RAW");
    t.line("echo live$((1+1))");
    t.wait_text("live2");
}

#[test]
fn a_scrolled_view_stays_put_while_output_comes() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    let go = house.path().join("go");
    t.line(&format!(
        "seq 500; while [ ! -e {} ]; do :; done; seq 1000 3000; echo all$((1+1))",
        go.display()
    ));
    t.wait_text("│500 ");
    house.act("page-scroll-up");
    t.wait_text("│470 ");
    std::fs::write(go, "").expect("a file");
    until("the output is there", || {
        house.act("dump-screen --full").contains("all2").then_some(())
    });
    t.wait_text("│470 ");
    t.send("x");
    t.wait_text("all2");
}

#[test]
fn a_locked_session_leaves_every_key_to_the_program() {
    let house = House::new();
    let t = showing_keys(&house, "", Outer::default());
    t.leader("L");
    t.wait_mode("LOCK");
    expect(&t, "\0p", "^@p");
    expect(&t, "d", "d");
    t.send("\0\0");
    t.wait_mode("RAW");
    t.leader("d");
    t.wait_text("detached");
}

#[test]
fn the_keys_of_zellij() {
    let house = House::new().config("keybinds preset=\"zellij\"\n");
    let mut t = house.term(&[], 100, 24);
    t.wait_prompt();
    t.send("\x10r");
    house.wait_panes("a pane by Ctrl-p r", |l| l.len() == 2);
    t.send("\x1bn");
    house.wait_panes("a pane by Alt-n", |l| l.len() == 3);
    let focus = |l: &[serde_json::Value]| l.iter().find(|p| p["focused"] == true).map(|p| p["id"].clone());
    assert_eq!(focus(&house.list("list-panes")), Some(3.into()));
    t.send("\x1bh");
    house.wait_panes("the focus by Alt-h", |l| focus(l) != Some(3.into()));
    t.send("\x14n");
    until("a tab by Ctrl-t n", || {
        (house.list("list-tabs").len() == 2).then_some(())
    });
    t.send("\x07");
    t.wait_mode("LOCK");
    t.send("\x07");
    t.wait_mode("RAW");
    t.send("\x0fd");
    assert_eq!(t.wait_end(), 0);
    house.ok(&["action", "list-panes"]);
}

#[test]
fn the_keys_of_tmux() {
    let house = House::new().config("keybinds preset=\"tmux\"\n");
    let mut t = house.term(&[], 100, 24);
    t.wait_prompt();
    t.send("\x02%");
    house.wait_panes("a pane to the right", |l| l.len() == 2 && l[1]["columns"] == 48);
    t.send("\x02\"");
    house.wait_panes("a pane below", |l| l.len() == 3);
    t.send("\x02\x1b[D");
    house.wait_panes("the focus to the left", |l| {
        l.iter().any(|p| p["id"] == 1 && p["focused"] == true)
    });
    t.send("\x02z");
    house.wait_panes("zoomed", |l| l.iter().any(|p| p["id"] == 1 && p["columns"] == 98));
    t.send("\x02z\x02c");
    until("a new tab", || (house.list("list-tabs").len() == 2).then_some(()));
    t.send("\x02p");
    until("the tab before", || {
        (house.list("list-tabs")[0]["active"] == true).then_some(())
    });
    t.send("\x02[");
    t.wait_mode("COPY");
    t.send("q");
    t.wait_mode("RAW");
    t.send("\x02d");
    assert_eq!(t.wait_end(), 0);
}
