//! What outlives a server: it is killed while programs run, and another goes on with them.

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{House, until},
    term::Term,
};

/// Kills the server of the session `main`, and waits until another has taken its place.
fn kill(house: &House) {
    let pid = house.server_pid("main");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("the server is there");
    until("another server", || (house.server_pid("main") != pid).then_some(()));
}

/// What a pane shows, as the server has it.
fn screen(house: &House, pane: &str) -> String {
    house.act(&format!("dump-screen --pane-id {pane}"))
}

fn ids(house: &House) -> Vec<String> {
    let panes = house.list("list-panes");
    panes.iter().map(|p| p["id"].to_string()).collect()
}

fn ready(t: &Term) {
    t.wait_prompt();
    // The greeting of the new server is above the prompt for a while; the shell answers below it.
    t.shell("true");
}

#[test]
fn a_shell_and_its_screen_outlive_the_server() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.shell("keep=here; seq 1 200; printf '\\033[1;31mred\\033[0m \\033]0;named\\007\\n'");
    let before = screen(&house, "1");
    let holder = house.holder("main");
    kill(&house);
    assert_eq!(screen(&house, "1"), before);
    assert_eq!(house.holder("main"), holder, "the holder stays");
    // The client came back by itself, to the same shell, with its scrollback.
    t.shell("echo $keep$((40+2))");
    t.wait_text("here42");
    t.leader("[");
    t.wait_mode("COPY");
    t.send("gg");
    t.wait_text("seq 1 200");
    t.send("q");
    t.wait_mode("RAW");
    t.line("exit");
    until("its socket is gone", || (!house.socket("main").exists()).then_some(()));
    until("the holder is gone", || {
        // Whoever inherits it may not have reaped it yet.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", holder.as_raw_nonzero())).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

#[test]
fn tabs_and_panes_are_where_they_were() {
    let house = House::new();
    let t = house.term(&[], 120, 40);
    t.wait_prompt();
    house.act("new-pane --direction=right");
    house.act("rename-pane left-over");
    house.act("new-tab --name second");
    house.act("new-pane --direction=down");
    house.wait_panes("four of them", |l| l.len() == 4);
    let tabs = house.act("list-tabs --json");
    let panes = house.wait_panes("they run", |l| {
        l.iter().all(|p| p["pid"].is_u64() && p["cwd"].is_string())
    });
    kill(&house);
    assert_eq!(house.act("list-tabs --json"), tabs);
    assert_eq!(house.list("list-panes"), panes);
    ready(&t);
    house.act("close-pane");
    house.wait_panes("one is closed", |l| l.len() == 3);
}

#[test]
fn how_a_program_ends_is_known_after_a_restart() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let go = house.path().join("go");
    let script = house.script(
        "waits",
        &format!("while [ ! -e {} ]; do sleep 0.05; done; exit 7", go.display()),
    );
    house.act(&format!("new-pane -- {}", script.display()));
    house.wait_panes("both", |l| l.len() == 2);
    kill(&house);
    std::fs::write(&go, "").expect("room");
    t.wait_text("exit 7");
}

#[test]
fn a_flood_and_an_editor_outlive_many_servers() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let count = house.path().join("count");
    let run = |name: &str, body: &str| {
        let script = house.script(name, body);
        house.act(&format!("new-pane -- {}", script.display()));
    };
    run("floods", "exec yes");
    run(
        "counts",
        &format!(
            "i=0; while :; do i=$((i+1)); echo $i >> {}; sleep 0.01; done",
            count.display()
        ),
    );
    run("quiet", "printf 'first line\\nsecond\\n'; exec sleep 600");
    t.wait_text("second");
    let quiet = ids(&house).last().cloned().expect("panes");
    let before = screen(&house, &quiet);
    let counted = || {
        let text = std::fs::read_to_string(&count).unwrap_or_default();
        text.lines().last().and_then(|l| l.parse::<u64>().ok()).unwrap_or(0)
    };
    for _ in 0..8 {
        let at = counted();
        kill(&house);
        assert_eq!(screen(&house, &quiet), before);
        until("the counter goes on", || (counted() > at).then_some(()));
    }
    let text = std::fs::read_to_string(&count).expect("a count");
    let numbers: Vec<u64> = text.lines().filter_map(|l| l.parse().ok()).collect();
    assert!(numbers.iter().zip(1..).all(|(n, i)| *n == i), "the counter began anew");
}

#[test]
fn a_session_goes_on_without_its_holder() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.shell("kept=yes");
    kill_process(house.holder("main"), Signal::KILL).expect("the holder is there");
    t.wait_text("would not outlive this server");
    t.shell("echo $kept$((40+2))");
    t.wait_text("yes42");
    house.act("new-pane");
    house.wait_panes("another shell", |l| l.len() == 2 && l.iter().all(|p| p["pid"].is_u64()));
    house.act("close-pane");
    house.wait_panes("it is closed", |l| l.len() == 1);
    t.line("exit");
    until("its socket is gone", || (!house.socket("main").exists()).then_some(()));
}
