//! What must not bring a session down: panics in panes, storms of sizes beside floods, hundreds of panes, noise, huge
//! pastes, programs that will not go, programs that are not there.

use crate::{
    harness::{House, until},
    mirror::Mirror,
    term::{Outer, Term},
};

#[test]
fn a_panicking_pane_says_so_and_restarts_while_others_work() {
    let house = House::new().env("QD_TEST_PANES", "1");
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    house.act("new-pane --kind test --direction right");
    t.wait_text("count ");
    let works = |mark: &str| {
        t.leader("h");
        t.line(&format!("echo {mark}$((1+1))"));
        t.wait_text(&format!("{mark}2"));
        t.leader("l");
    };
    // The engine.
    t.send("p");
    t.wait_text("the test engine was told to panic");
    works("beside-a-dead-engine");
    t.send("r");
    t.wait_gone("told to panic");
    t.wait_text("count ");
    // The drawing.
    t.send("d");
    t.wait_text("This pane crashed:");
    t.wait_text("the test pane was told to");
    works("beside-a-crash");
    t.send("r");
    t.wait_gone("This pane crashed:");
    t.wait_text("count ");
    // And it can be closed in that state.
    t.send("d");
    t.wait_text("This pane crashed:");
    t.send("\x03");
    house.wait_panes("closed", |l| l.len() == 1);
    works("afterwards");
}

#[test]
fn a_kind_that_is_not_offered_is_refused() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    house.act("new-pane --kind test --direction right");
    t.wait_text("there is no pane of kind");
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u16) -> u16 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u16::try_from((self.0 >> 33) % u64::from(sides)).unwrap_or(0)
    }
}

#[test]
fn a_thousand_sizes_with_twenty_panes_and_floods() {
    let house = House::new();
    let outer = Outer {
        mirror: true,
        ..Outer::default()
    };
    let t = Term::open(&house, &[], 200, 60, outer);
    t.wait_prompt();
    let stop = house.path().join("stop");
    let flood = format!(
        "while [ ! -e {} ]; do printf '\\033[3%dmfl\u{f6}od 漢字 e\u{301} %0250d\\033[m\\n' $((RANDOM % 8)) $RANDOM; done; clear; echo calm",
        stop.display()
    );
    let flood = house.file("flood", &flood).to_string_lossy().into_owned();
    // Floods that never end a line: megabytes of scrollback that are one line.
    let endless = format!(
        "while [ ! -e {} ]; do yes 'y' | tr -d '\\n' | head -c 300000; yes 'fl\u{f6}od 漢字' | tr -d '\\n' | head -c 100001; done; clear; echo calm",
        stop.display()
    );
    let endless = house.file("endless", &endless).to_string_lossy().into_owned();
    for i in 0..19 {
        if i == 9 {
            house.act("new-tab");
        } else {
            house.act("equalize-panes");
        }
        if i % 4 == 0 {
            house.ok(&["run", "--", "bash", &flood]);
        } else if i % 4 == 2 {
            house.ok(&["run", "--", "bash", &endless]);
        } else {
            house.act("new-pane");
        }
    }
    let pid = house.server_pid("main");
    let panes = house.list("list-panes").len();
    assert!(panes >= 20, "{panes}");
    let mut dice = Dice(7);
    for i in 0..1000 {
        let (c, r) = (1 + dice.roll(500), 1 + dice.roll(200));
        t.resize(c, r);
        if i % 100 == 50 {
            house.act("go-to-next-tab");
        }
        if i % 50 == 25 {
            // The session keeps up with some of them.
            until("the client's size", || {
                let l = house.list("list-clients");
                (l[0]["columns"] == c && l[0]["rows"] == r).then_some(())
            });
        }
    }
    std::fs::write(&stop, "").expect("a file");
    t.resize(160, 50);
    house.wait_panes("all floods are over", |l| {
        l.iter().filter(|p| p["exited"] == true).count() == 10
    });
    until("the last size", || {
        (house.list("list-clients")[0]["columns"] == 160).then_some(())
    });
    for tab in ["1", "2"] {
        house.act(&format!("go-to-tab {tab}"));
        t.wait("the bars at their places", |s| {
            s.rows(0, 160)
                .last()
                .is_some_and(|l| l.contains("RAW") || l.contains("Enter"))
        });
        t.wait_agreement();
    }
    assert_eq!(house.server_pid("main"), pid);
    assert_eq!(house.list("list-panes").len(), panes);
    let log = house.log("main");
    assert!(!log.contains("panicked"), "{log}");
}

/// Open descriptors, threads and children of a process.
fn holds(pid: i32) -> (usize, usize, usize) {
    let count = |dir: &str| std::fs::read_dir(format!("/proc/{pid}/{dir}")).map_or(0, Iterator::count);
    let tasks: Vec<_> =
        std::fs::read_dir(format!("/proc/{pid}/task")).map_or_else(|_| Vec::new(), |d| d.flatten().collect());
    let children = |t: &std::fs::DirEntry| std::fs::read_to_string(t.path().join("children")).unwrap_or_default();
    (
        count("fd"),
        tasks.len(),
        tasks.iter().map(|t| children(t).split_whitespace().count()).sum(),
    )
}

#[test]
fn two_hundred_panes_leave_nothing_behind() {
    let house = House::new();
    let t = house.term(&[], 120, 40);
    t.wait_prompt();
    let pid = house.server_pid("main");
    // What is made once and kept does not count.
    let id = house.act("new-pane");
    house.act(&format!("close-pane --pane-id {id}"));
    let settled = || {
        let mut last = (0, 0, 0);
        until("no client of a script is left", || {
            let now = holds(pid);
            let same = now == last;
            last = now;
            same.then_some(now)
        })
    };
    let before = settled();
    for i in 0..200 {
        let words = match i % 4 {
            0 => "new-tab",
            1 => "new-pane -- sleep 1000",
            2 => "new-pane -- cat",
            _ => "new-pane --direction down -- true",
        };
        house.act(words);
    }
    let all = house.list("list-panes");
    assert_eq!(all.len(), 201);
    assert!(holds(pid).0 > before.0 + 100, "they hold something while they live");
    t.leader("1");
    t.line("echo responsive$((1+1))");
    t.wait_text("responsive2");
    for p in all.iter().filter(|p| p["id"] != 1) {
        house.act(&format!("close-pane --pane-id {}", p["id"]));
    }
    assert_eq!(house.list("list-panes").len(), 1);
    until("all is given back", || {
        let now = holds(pid);
        (now.0 <= before.0 && now.1 <= before.1 && now.2 <= before.2).then_some(())
    });
    t.line("echo still$((1+1))");
    t.wait_text("still2");
}

#[test]
fn noise_is_survived_and_reset_helps() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("head -c 40000000 /dev/urandom; touch over");
    until("the noise is over", || house.path().join("over").exists().then_some(()));
    // What the noise asked for was answered; the answers are not to be run.
    // An interrupt throws away what was typed close to it: a person would try again.
    let done = house.path().join("reset-done");
    until("reset has run", || {
        t.send("\x03");
        t.send("\x15reset; stty sane; touch reset-done\r");
        t.look_for(|_| done.exists()).then_some(())
    });
    t.line("clear; echo usable$((1+1)) again");
    t.wait_text("usable2 again");
    // What stands for bytes that are no text, vt100 does not draw at all (`vt100_leaves_replacement_characters_out` in the
    // painter's tests): in such a row it shows everything after them too far left, until the row is drawn anew. To an
    // emulator that draws something there, nothing of the noise is left.
    until("two emulators agree that nothing is left", || {
        let wire = String::from_utf8_lossy(&t.wire(0)).replace('\u{fffd}', "?");
        let (mut vt, mut mirror) = (vt100::Parser::new(30, 100, 0), Mirror::new(100, 30));
        vt.process(wire.as_bytes());
        mirror.feed(wire.as_bytes());
        let line = vt.screen().rows(0, 100).any(|r| r.starts_with("│usable2 again  "));
        (line && mirror.differs(vt.screen()).is_none()).then_some(())
    });
    // For the looks that follow, the rows are drawn anew.
    t.resize(101, 30);
    house.wait_panes("the other size", |l| l[0]["columns"] == 99);
    t.resize(100, 30);
    t.wait("a line as it should be", |s| {
        s.rows(0, 100).any(|r| r.starts_with("│usable2 again  "))
    });
    t.shell("stty size");
    t.wait_text("26 98");
    assert!(!house.log("main").contains("panicked"), "{}", house.log("main"));
}

#[test]
fn ten_megabytes_are_pasted_whole() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("stty -echo; touch ready; cat > pasted; stty echo; touch over");
    until("cat listens", || house.path().join("ready").exists().then_some(()));
    let mut text = String::new();
    for i in 0..160_000 {
        text.push_str(&format!(
            "{i:08} the quick brown fox jumps over the lazy dog 0123456789 +-\n"
        ));
    }
    assert!(text.len() > 10_000_000);
    t.send(b"\x1b[200~");
    t.send(&text);
    t.send(b"\x1b[201~");
    t.wait_text("Paste 160000 lines?");
    t.send("y");
    t.wait_gone("Paste 160000 lines?");
    t.send("\x04");
    until("cat has ended", || house.path().join("over").exists().then_some(()));
    let got = std::fs::read(house.path().join("pasted")).expect("it was written");
    assert_eq!(got.len(), text.len());
    assert!(got == text.as_bytes(), "not what was pasted");
    t.line("echo after$((1+1))");
    t.wait_text("after2");
}

#[test]
fn a_program_that_ignores_the_hang_up_holds_nothing_up() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let script = house.script(
        "stay",
        "trap '' HUP TERM INT; echo $$ > pid; echo staying; while :; do sleep 1; done",
    );
    let start = || {
        house.ok(&["run", "--", &script.to_string_lossy()]);
        let pid = until("its id", || {
            let text = std::fs::read_to_string(house.path().join("pid")).ok()?;
            text.trim().parse::<i32>().ok()
        });
        std::fs::remove_file(house.path().join("pid")).expect("it is there");
        pid
    };
    let lives = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let pids = [start(), start()];
    // Its pane goes at once; the program may go on, as one that was started with nohup is meant to.
    house.act("close-pane");
    house.wait_panes("closed", |l| l.len() == 2);
    t.wait_text("staying");
    assert!(lives(pids[0]));
    house.act("quit");
    until("nothing outlives the session", || {
        pids.iter().all(|p| !lives(*p)).then_some(())
    });
}

#[test]
fn a_shell_that_is_not_there_is_passed_over() {
    let house = House::new().env("SHELL", "/no/such/shell").env("PS1", "sh> ");
    let house = house.config("default_shell \"/nor/this/one\"\n");
    let t = house.term(&[], 100, 30);
    t.wait_text("sh> ");
    t.line("echo works$((1+1))");
    t.wait_text("works2");
}

#[test]
fn a_command_that_is_not_there_is_told() {
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    house.ok(&["run", "--", "/no/such/program", "-x"]);
    t.wait("its name and that it failed", |s| {
        let text = s.contents();
        text.contains("/no/such/program") && (text.contains("not started") || text.contains("exit 127"))
    });
    t.send("\r");
    t.send("\x03");
    house.wait_panes("closed", |l| l.len() == 1);
    house.ok(&["run", "--cwd", "/no/such/directory", "--", "pwd"]);
    house.wait_panes("two panes", |l| l.len() == 2);
    t.line("");
    house.act("close-pane");
    t.line("echo works$((1+1))");
    t.wait_text("works2");
}

#[test]
fn closing_the_last_pane_ends_the_session() {
    let house = House::new();
    let mut t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.leader("D");
    assert_eq!(t.wait_end(), 0);
    assert!(t.text().contains("the last pane was closed"), "{}", t.text());
    until("no session", || house.ok(&["ls", "-q"]).is_empty().then_some(()));
}

#[test]
fn a_layout_is_written_even_into_a_full_pipe() {
    // A reader that goes away early is no crash of the writer.
    let house = House::new();
    house.ok(&["attach", "-b", "main"]);
    let script = house.script(
        "pipe",
        "\"$1\" setup --dump-config | head -c 1; \"$1\" action list-commands --json | head -c 1",
    );
    let out = std::process::Command::new(&script)
        .arg(crate::harness::qd())
        .env_clear()
        .envs(house.vars())
        .output()
        .expect("it runs");
    assert!(out.status.success());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}
