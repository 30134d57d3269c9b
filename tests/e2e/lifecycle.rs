//! Sessions and those who come and go: signals, lost terminals, several clients, ends of every kind.

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{House, until},
    term::{Outer, Term},
};

fn kill_server(house: &House, name: &str, signal: Signal) {
    let pid = Pid::from_raw(house.server_pid(name)).expect("a pid");
    kill_process(pid, signal).expect("the server is there");
}

fn clients(house: &House) -> usize {
    house.list("list-clients").len()
}

/// Loses the client in one way, and finds everything again.
fn survives(lose: impl Fn(&mut Term)) {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("keep=here; echo before$((40+2))");
    t.wait_text("before42");
    let pid = house.server_pid("main");
    lose(&mut t);
    t.wait_end();
    until("the server noticed", || (clients(&house) == 0).then_some(()));
    let t = house.term(&["attach"], 80, 24);
    t.wait_text("before42");
    t.line("echo still$keep");
    t.wait_text("stillhere");
    assert_eq!(house.server_pid("main"), pid, "the same server serves it");
}

#[test]
fn a_hang_up_of_the_client_loses_nothing() {
    survives(|t| t.signal(Signal::HUP));
}

#[test]
fn a_killed_client_loses_nothing() {
    survives(|t| t.signal(Signal::KILL));
}

#[test]
fn a_lost_terminal_loses_nothing() {
    survives(Term::hang_up);
}

#[test]
fn a_client_that_is_terminated_gives_the_terminal_back() {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    assert!(t.screen(vt100::Screen::alternate_screen));
    t.signal(Signal::TERM);
    t.wait_end();
    t.screen(|s| {
        assert!(!s.alternate_screen() && !s.hide_cursor() && !s.bracketed_paste());
        assert_eq!(s.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    });
}

#[test]
fn an_exclusive_attach_sends_the_others_away() {
    let house = House::new();
    let mut first = house.term(&[], 80, 24);
    first.wait_prompt();
    let second = house.term(&["attach", "-x"], 80, 24);
    second.wait_prompt();
    assert_eq!(first.wait_end(), 0);
    assert!(first.text().contains("took the session over"), "{}", first.text());
    second.line("echo mine$((1+1))");
    second.wait_text("mine2");
    assert_eq!(clients(&house), 1);
}

#[test]
fn who_watches_touches_nothing() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    let mut w = house.term(&["watch", "main"], 60, 10);
    w.wait("something", |s| !s.contents().trim().is_empty());
    until("two clients", || (clients(&house) == 2).then_some(()));
    w.send("echo bad$((1+1))\r");
    w.leader("d");
    w.leader("n");
    w.send("r");
    t.line("echo good$((1+1))");
    t.wait_text("good2");
    w.wait_text("good2");
    assert!(!t.text().contains("bad"), "{}", t.text());
    let panes = house.list("list-panes");
    assert_eq!(panes.len(), 1);
    assert_eq!(panes[0]["columns"], 78, "a watcher's size does not count");
    w.send("q");
    assert_eq!(w.wait_end(), 0);
    t.line("echo after$((1+1))");
    t.wait_text("after2");
}

#[test]
fn two_clients_share_the_smaller_size_until_it_leaves() {
    let house = House::new();
    let big = house.term(&[], 100, 30);
    big.wait_prompt();
    house.wait_panes("the large size", |l| l[0]["columns"] == 98 && l[0]["rows"] == 26);
    let mut small = house.term(&["attach"], 60, 40);
    house.wait_panes("the smallest of both", |l| l[0]["columns"] == 58 && l[0]["rows"] == 26);
    small.shell("stty size");
    small.wait_text("26 58");
    big.wait_text("26 58");
    big.wait("what lies outside is shaded", |s| {
        s.cell(10, 80).is_some_and(|c| c.contents() == "\u{b7}")
    });
    small.resize(40, 12);
    house.wait_panes("smaller still", |l| l[0]["columns"] == 38 && l[0]["rows"] == 8);
    small.leader("d");
    assert_eq!(small.wait_end(), 0);
    house.wait_panes("large again", |l| l[0]["columns"] == 98 && l[0]["rows"] == 26);
    big.wait("the shade is gone", |s| {
        s.cell(10, 80).is_some_and(|c| c.contents() != "\u{b7}")
    });
}

#[test]
fn the_last_shell_takes_the_session_along() {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("exit");
    assert_eq!(t.wait_end(), 0);
    assert!(t.text().contains("[main: the last pane was closed]"), "{}", t.text());
    until("no session", || house.ok(&["ls", "-q"]).is_empty().then_some(()));
    assert!(!house.socket("main").exists());
}

#[test]
fn sessions_are_listed_and_killed() {
    let house = House::new();
    house.ok(&["attach", "-b", "one"]);
    house.ok(&["attach", "-b", "two"]);
    assert_eq!(house.ok(&["ls", "-q"]), "one\ntwo\n");
    let mut t = house.term(&["attach", "two"], 80, 24);
    t.wait_prompt();
    house.ok(&["action", "-s", "two", "new-tab"]);
    let text = house.ok(&["ls"]);
    assert!(
        text.contains("one: 1 tab, 1 pane,") && text.contains("two: 2 tabs, 2 panes,"),
        "{text}"
    );
    assert!(text.contains("(attached: 1)"), "{text}");
    let list: serde_json::Value = serde_json::from_str(&house.ok(&["ls", "--json"])).expect("JSON");
    assert_eq!(list[1]["name"], "two");
    assert_eq!((&list[1]["tabs"], &list[1]["clients"]), (&2.into(), &1.into()));
    assert!(house.fails(&["attach", "-b", "one"], 1).contains("already running"));
    assert!(house.fails(&["action", "list-tabs"], 2).contains("one, two"));
    house.ok(&["kill", "two"]);
    assert_eq!(t.wait_end(), 0);
    assert!(t.text().contains("ended from the command line"), "{}", t.text());
    until("one is left", || (house.ok(&["ls", "-q"]) == "one\n").then_some(()));
    assert!(house.fails(&["kill", "two"], 1).contains("no session named"));
}

#[test]
fn a_server_that_is_told_to_stop_tells_its_clients() {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    kill_server(&house, "main", Signal::TERM);
    assert_eq!(t.wait_end(), 0);
    assert!(t.text().contains("told to stop"), "{}", t.text());
    until("its socket is gone", || (!house.socket("main").exists()).then_some(()));
}

#[test]
fn what_a_killed_server_leaves_is_cleared_away() {
    let house = House::new();
    let mut t = house.term(&[], 80, 24);
    t.wait_prompt();
    // The holder first, since it would start another server.
    kill_process(house.holder("main"), Signal::KILL).expect("the holder is there");
    kill_server(&house, "main", Signal::KILL);
    assert_eq!(t.wait_end(), 1);
    assert!(t.text().contains("went away"), "{}", t.text());
    assert!(!t.screen(vt100::Screen::alternate_screen));
    let mut t = house.term(&["attach", "main"], 80, 24);
    assert_eq!(t.wait_end(), 1);
    assert!(t.text().contains("no session named"), "{}", t.text());
    assert!(!house.socket("main").exists(), "the dead socket was removed");
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.line("echo new$((1+1))");
    t.wait_text("new2");
}

#[test]
fn a_name_has_one_server() {
    let house = House::new();
    for round in 0..5 {
        let name = format!("race{round}");
        let won = std::thread::scope(|scope| {
            let one = || house.run(&["attach", "-b", &name]).status.code();
            let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            all.into_iter()
                .filter_map(|h| h.join().expect("it ran"))
                .filter(|c| *c == 0)
                .count()
        });
        assert_eq!(won, 1, "round {round}");
        house.ok(&["action", "-s", &name, "list-tabs"]);
    }
    assert_eq!(house.ok(&["ls", "-q"]).lines().count(), 5);
    assert!(
        house
            .fails(&["server", "--session", "race0"], 2)
            .contains("started by qd itself")
    );
}

#[test]
fn the_sockets_are_for_nobody_else() {
    let house = House::new();
    house.ok(&["attach", "-b", "main"]);
    let mode = |p: &std::path::Path| std::fs::metadata(p).expect("it is there").permissions().mode() & 0o777;
    let socket = house.socket("main");
    assert_eq!(mode(&socket), 0o600);
    let dir = socket.parent().expect("a directory");
    assert_eq!(mode(dir), 0o700);
    std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).expect("it can be opened");
    house.ok(&["ls"]);
    assert_eq!(mode(dir), 0o700, "a directory that was opened is closed again");
}

#[test]
fn a_slow_client_holds_nobody_up_and_sees_the_end() {
    let house = House::new();
    let t = house.term(&[], 120, 30);
    t.wait_prompt();
    let slow = Term::open(
        &house,
        &["attach"],
        120,
        30,
        Outer {
            rate: Some(100_000),
            ..Outer::default()
        },
    );
    slow.wait_prompt();
    let stop = house.path().join("stop");
    let flood = format!(
        "while [ ! -e {} ]; do head -c 200000 /dev/urandom | base64; done; head -c 15000000 /dev/urandom | base64; echo; echo flood is over",
        stop.display()
    );
    let script = house.script("flood", &flood);
    house.ok(&["run", "--direction", "right", "--", &script.to_string_lossy()]);
    house.wait_panes("two panes", |l| l.len() == 2);
    house.act("move-focus left");
    // The flood goes on until it is told to stop: whoever waited for it would never see these.
    for i in 0..5 {
        t.line(&format!("echo quick$(({i}+10))"));
        t.wait_text(&format!("quick{}", i + 10));
    }
    slow.wait_text("quick14");
    std::fs::write(&stop, "").expect("a file");
    t.wait_text("flood is over");
    slow.wait_text("flood is over");
    slow.wait_text("exit 0");
}
