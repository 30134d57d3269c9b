//! Who writes to the terminal: the server by itself where it can, and the client where that cannot be. A person must not
//! see which of the two it is, least of all when the terminal is given back.

use std::{os::fd::AsFd, time::Duration};

use rustix::{
    process::Signal,
    termios::{Action, tcflow},
};

use crate::{
    harness::{House, until},
    term::{Outer, Term},
};

/// A way to write frames: the house for it, and what the list of clients says.
fn ways() -> [(House, bool); 2] {
    [(House::new(), true), (House::new().env("QD_NO_DIRECT_TTY", "1"), false)]
}

fn wait_way(house: &House, direct: bool) {
    until("the way frames go", || {
        let list = house.list("list-clients");
        (list.len() == 1 && list[0]["direct"] == direct).then_some(())
    });
}

fn is_given_back(t: &Term) {
    t.screen(|s| {
        assert!(!s.alternate_screen() && !s.hide_cursor() && !s.bracketed_paste());
        assert_eq!(s.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    });
}

/// What came after the terminal was given back.
fn after_the_end(t: &Term) -> String {
    let wire = t.wire(0);
    let mark = b"\x1b[?1049l\x1b[23;0t";
    let at = wire.windows(mark.len()).rposition(|w| w == mark);
    String::from_utf8_lossy(&wire[at.expect("it was given back") + mark.len()..]).into_owned()
}

const LEFT: &str = "[main: detached: qd attach main comes back]\r\n";

#[test]
fn both_ways_show_the_same_and_give_the_terminal_back() {
    for (house, direct) in ways() {
        let mut t = Term::open(
            &house,
            &[],
            80,
            24,
            Outer {
                kitty: true,
                mirror: true,
                ..Outer::default()
            },
        );
        t.wait_prompt();
        wait_way(&house, direct);
        t.wait_wire(0, b"\x1b[>5u");
        t.shell("seq 1 3000");
        t.line("printf '\\033]2;a title\\033\\\\'");
        t.wait_wire(0, b"a title");
        t.resize(60, 20);
        house.wait_panes("the new size", |l| l[0]["columns"] == 58);
        t.shell("stty size");
        t.wait_text("16 58");
        t.wait_agreement();
        // The leader as the kitty protocol spells it is understood as well as the old one.
        t.leader("d");
        assert_eq!(t.wait_end(), 0);
        is_given_back(&t);
        assert_eq!(after_the_end(&t), LEFT, "direct: {direct}");
    }
}

#[test]
fn a_flood_does_not_reach_the_terminal_after_the_client_left() {
    for (house, direct) in ways() {
        for end in ["detach", "terminate"] {
            let mut t = house.term(&["attach", "-c", "main"], 120, 40);
            t.wait_prompt();
            wait_way(&house, direct);
            t.line("while :; do seq 1 100000; done");
            t.wait_text("00");
            match end {
                "terminate" => t.signal(Signal::TERM),
                _ => t.leader("d"),
            }
            t.wait_end();
            is_given_back(&t);
            let said = after_the_end(&t);
            let wanted = if end == "terminate" { "" } else { LEFT };
            assert_eq!(said, wanted, "{end}, direct: {direct}");
            house.ok(&["kill", "--all"]);
            until("no session", || house.ok(&["ls", "-q"]).is_empty().then_some(()));
        }
    }
}

#[test]
fn a_slow_terminal_gets_its_frame_to_the_end_before_it_is_given_back() {
    for (house, direct) in ways() {
        let slow = Outer {
            rate: Some(60_000),
            mirror: true,
            ..Outer::default()
        };
        let mut t = Term::open(&house, &[], 200, 60, slow);
        t.wait_prompt();
        wait_way(&house, direct);
        let script = house.script("flood", "while :; do head -c 100000 /dev/urandom | base64 -w 190; done");
        house.ok(&["run", "--direction", "right", "--", &script.to_string_lossy()]);
        let n = t.bytes();
        until("a frame is on its way", || (t.bytes() > n + 20_000).then_some(()));
        house.act("detach");
        assert_eq!(t.wait_end(), 0);
        is_given_back(&t);
        let said = after_the_end(&t);
        assert_eq!(
            said,
            "[main: detached from the command line: qd attach main comes back]\r\n"
        );
    }
}

#[test]
fn a_stopped_terminal_costs_nothing_and_goes_on() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    wait_way(&house, true);
    let slave = std::fs::File::options()
        .read(true)
        .write(true)
        .open(house.list("list-clients")[0]["tty"].as_str().expect("a path"))
        .expect("the terminal");
    tcflow(slave.as_fd(), Action::OOff).expect("it stops");
    let pid = house.server_pid("main");
    t.line("seq 1 20; echo through$((1+1))");
    std::thread::sleep(Duration::from_millis(300));
    let before = cpu(pid);
    std::thread::sleep(Duration::from_secs(1));
    assert!(cpu(pid) - before <= 10, "the server waits and does not spin");
    assert!(!t.text().contains("through2"));
    tcflow(slave.as_fd(), Action::OOn).expect("it goes on");
    t.wait_text("through2");
}

/// Clock ticks that a process has used.
fn cpu(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    let rest = stat.rsplit(')').next().expect("a line");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")
}

#[test]
fn a_killed_client_has_its_terminal_left_alone() {
    let house = House::new();
    let mut t = house.term(&[], 100, 30);
    t.wait_prompt();
    wait_way(&house, true);
    let pid = house.server_pid("main");
    let tty = house.list("list-clients")[0]["tty"]
        .as_str()
        .expect("a path")
        .to_owned();
    let holds = || {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the server's descriptors");
        fds.flatten()
            .filter_map(|f| std::fs::read_link(f.path()).ok())
            .any(|p| p.to_string_lossy() == tty)
    };
    assert!(holds());
    t.line("while :; do seq 1 100000; done");
    t.wait_text("00");
    t.signal(Signal::KILL);
    until("the server let go", || (!holds()).then_some(()));
    // Nobody holds it any more: the terminal is at its end.
    t.wait_end();
}

#[test]
fn a_client_that_is_stopped_leaves_the_terminal_to_the_shell() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    wait_way(&house, true);
    // The loop ends by a file: a Ctrl-C at the moment a `sleep` ends by itself is lost on bash in any terminal.
    let end = house.path().join("end");
    t.line(&format!(
        "i=0; while [ ! -e {} ]; do i=$((i+1)); echo line $i; sleep 0.01; done",
        end.display()
    ));
    t.wait_text("line 5");
    t.signal(Signal::STOP);
    until("the server let go", || {
        let list = house.list("list-clients");
        (list[0]["direct"] == false).then_some(())
    });
    let n = t.bytes();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(t.bytes(), n, "nothing is written into what the shell shows");
    t.signal(Signal::CONT);
    t.wait_wire(n, b"\x1b[?1049h");
    wait_way(&house, true);
    std::fs::write(&end, "").unwrap();
    t.line("clear; echo back$((1+1))");
    t.wait_text("back2");
}
