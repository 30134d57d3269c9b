//! The log pane under the hands: what it shows of files that grow, turn over and lie, and how one moves in them.

use std::io::Write;

use crate::{
    harness::{House, until},
    screen::golden,
    term::Term,
};

/// The entries of a log: every fiftieth is an error, every tenth a warning; two speak of a needle.
fn entries(from: usize, to: usize) -> String {
    (from..to)
        .map(|i| {
            let level = match i {
                i if i % 50 == 0 => "error",
                i if i % 10 == 0 => "warn",
                _ => "info",
            };
            let what = if i == 7 || i == 250 { " needle" } else { "" };
            format!(
                "time=2026-05-01T08:{:02}:{:02}Z level={level} svc={} msg=\"entry {i}{what}\"\n",
                i / 60 % 60,
                i % 60,
                ["api", "web"][i % 2]
            )
        })
        .collect()
}

/// A terminal with a log pane in it; its log is `app.log` in the house.
fn open(house: &House, text: &str, args: &[&str], cols: u16, rows: u16) -> Term {
    house.file("app.log", text);
    let at = house.path().display();
    house.file(
        "config/quarterdeck/layouts/logs.kdl",
        &format!("layout {{ tab {{ pane kind=\"logs\" name=\"log\" cwd=\"{at}\" {{ path \"app.log\" }} }} }}\n"),
    );
    house.term(&[&["--layout", "logs"], args].concat(), cols, rows)
}

fn append(house: &House, text: &str) {
    let mut file = std::fs::File::options()
        .append(true)
        .open(house.path().join("app.log"))
        .expect("the log is there");
    file.write_all(text.as_bytes()).expect("it takes more");
}

/// How many rows show an entry.
fn shown(t: &Term) -> usize {
    t.text().matches("time=2026").count()
}

#[test]
fn lines_are_filtered_found_and_seen_closer() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 300), &[], 120, 30);
    t.wait_text("entry 299");
    let full = shown(&t);
    assert!(full > 20, "the screen is full:\n{}", t.text());
    // The screen stays full near the end, whatever is filtered.
    t.send("kkk/level:>=warn\r");
    t.wait_text("30/300");
    t.wait("only what is grave", |s| {
        let text = s.contents();
        text.contains("entry 290") && !text.contains("level=info")
    });
    until("a full screen", || (shown(&t) == full).then_some(()));
    t.send("\\/level:error\r");
    t.wait_text("entry 0\"");
    assert_eq!(shown(&t), 6);
    t.send("\\/svc:nobody\r");
    t.wait_text("0 of 300 lines pass");
    // A second filter narrows the first: nothing is left of the nothing; undoing it is one key.
    t.send("/level:error\r");
    t.wait_text("0/300");
    t.send("u");
    t.wait_text("undone");
    t.send("\\");
    until("a full screen", || (shown(&t) == full).then_some(()));
    // Hiding, and what was wrong is said where it is typed.
    t.send("/\x14level:zz\r");
    t.wait_text("is no severity");
    t.wait_text("hide: level:zz");
    t.send("\x15level:info\r");
    t.wait_text("30/300");
    t.send("\\G");
    t.wait_text("entry 299");
    // Finding: backwards from the end first, then on from the other end.
    t.send("/\x14\x14needle\r");
    t.wait_text("2 hits");
    t.wait_text("  line 251");
    t.send("n");
    t.wait_text("on from the beginning");
    t.wait_text("entry 7 needle");
    t.send("n");
    t.wait_text("  line 251");
    t.send("N");
    t.wait_text("  line 8");
    // Errors, and the last jump again.
    t.send("ge");
    t.wait_text("  line 51");
    t.send(".");
    t.wait_text("  line 101");
    t.send("[");
    t.wait_text("  line 51");
    t.send("d");
    t.wait_text("entry \u{b7} j k another");
    t.wait_text("svc");
    t.send("j");
    t.wait_text("  line 52");
    t.send("\x1b");
    t.wait_gone("j k another");
    t.send("\\");
    t.wait_gone("2 hits");
    t.send(">>>");
    t.wait_text("showing warn and above");
    t.wait_text("30/300");
}

#[test]
fn a_filter_is_counted_while_it_is_typed_and_each_narrows() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 300), &[], 120, 30);
    t.wait_text("entry 299");
    t.wait_text("NAV");
    t.send("/level:>=warn");
    t.wait_text("30 of 300 lines match");
    t.wait_text("INPUT");
    // Nothing has changed yet.
    assert!(t.text().contains("level=info"), "{}", t.text());
    t.send("\r");
    t.wait_text("30/300");
    t.wait_text("NAV");
    t.send("/svc:api");
    t.wait_text("150 of 300 lines match, 30 of 30 stay");
    t.send("\r");
    t.wait_text("30/300");
    t.send("/\x14\"entry 5\"");
    t.wait_text("11 of 300 lines are hidden by it, 29 of 30 stay");
    t.send("\r");
    t.wait_text("29/300");
    // Each is listed with its own count, and can be switched.
    t.send("F");
    t.wait_text("150 of 300 pass");
    t.wait_text("are hidden");
    t.send("jj ");
    t.wait_text("30/300");
    t.send("k ");
    t.wait_text("30/300");
    t.send("kD");
    t.wait_text("300");
    t.send("\x1b");
    t.wait_gone("filters \u{b7}");
    // Every change can be taken back, and the view before come back to.
    t.send("u");
    t.wait_text("30/300");
    t.send("-");
    t.wait_text("the view before");
    until("the filter is gone again", || {
        (!t.text().contains("30/300")).then_some(())
    });
    t.send("-");
    t.wait_text("30/300");
    t.send("uuuuuuuuu");
    t.wait_text("nothing to undo");
}

#[test]
fn conditions_in_vrl_are_filters() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 300), &[], 120, 30);
    t.wait_text("entry 299");
    t.send("/vrl: .level == \"error\" && ");
    t.wait_text("syntax error: unexpected end");
    t.send(".svc == \"api\"");
    t.wait_text("6 of 300 lines match");
    t.send("\r");
    t.wait_text("6/300");
    t.send("/vrl: contains(string!(.msg), \"entry 1\")\r");
    t.wait_text("2/300");
    t.wait("what is left", |s| {
        let text = s.contents();
        text.contains("entry 100") && text.contains("entry 150") && !text.contains("entry 50")
    });
    // What cannot be compared is not met; what gives no yes or no is refused.
    t.send("\\\\/vrl: .nothing > 5\r");
    t.wait_text("0/300");
    t.send("\\/vrl: .svc\r");
    t.wait_text("must return a boolean");
    t.send("\x1b");
    t.wait_text("entry 2");
}

#[test]
fn marked_lines_are_copied_written_and_tagged_together() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 100), &[], 110, 30);
    t.wait_text("entry 99");
    t.send("gl10\r");
    t.wait_text("  line 10 ");
    t.send(" ");
    t.wait_text("1 line marked");
    t.send("jjVjjV");
    t.wait_text("4 lines marked");
    t.wait_text("(4 marked)");
    t.send("yy");
    t.wait_text("copied from 4 lines");
    t.send("ajjjjjjjjj\r");
    t.wait_text("tags:");
    t.send("seen\r");
    t.wait_text("tags: seen");
    until("the tags on disk", || {
        let text = std::fs::read_to_string(house.path().join("state/quarterdeck/logs/log-marks.json")).ok()?;
        (text.matches("seen").count() == 4).then_some(())
    });
    let out = house.path().join("some.csv");
    t.send(format!("ajjj\r{}\r", out.display()));
    t.wait_text("4 lines written");
    let written = std::fs::read_to_string(&out).expect("it was written");
    assert_eq!(written.lines().count(), 5, "{written}");
    assert!(
        written.contains("entry 9\"") || written.contains("entry 9"),
        "{written}"
    );
    t.send("\x1b");
    t.wait_gone("4 marked");
}

#[test]
fn the_prompt_completes_fields_and_values() {
    let house = House::new();
    let t = open(&house, &entries(0, 100), &[], 100, 30);
    t.wait_text("entry 99");
    t.send("/sv\t");
    t.wait_text("show only: svc:");
    t.send("w\t");
    t.wait_text("show only: svc:web");
    t.send("\r");
    t.wait_text("50/100");
}

#[test]
fn a_log_is_followed_until_one_moves_away() {
    let house = House::new();
    let t = open(&house, &entries(0, 100), &[], 100, 24);
    t.wait_text("entry 99");
    append(&house, &entries(100, 102));
    t.wait_text("entry 101");
    // Before a log has been indexed once, none of its lines is new.
    t.wait_text("102 \u{25cf}follow");
    t.send("k");
    t.wait_text("paused");
    append(&house, &entries(102, 105));
    t.wait_text("3 new");
    assert!(!t.text().contains("entry 104"));
    t.send("G");
    t.wait_text("entry 104");
    t.wait_text("follow");
}

/// Whether a process is there and has not ended.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

#[test]
fn logs_of_containers_the_journal_and_other_hosts_are_opened() {
    let house = House::new().env("TZ", "UTC");
    let bin = house.path().join("bin");
    std::fs::create_dir(&bin).expect("a directory for programs");
    let noted = |name: &str| house.path().join(name).display().to_string();
    // A program that goes on, one that goes on with a child of its own, and one that fails.
    house.script(
        "bin/journalctl",
        &format!(
            "echo \"$*\" > {}\necho $$ > {}\n\
             echo '{{\"__REALTIME_TIMESTAMP\":\"1777622400000000\",\"_HOSTNAME\":\"web-3\",\"_COMM\":\"nginx\",\"_PID\":\"7\",\"PRIORITY\":\"3\",\"MESSAGE\":\"it burns\"}}'\n\
             exec sleep 600\n",
            noted("journal.args"),
            noted("journal.pid"),
        ),
    );
    house.script(
        "bin/docker",
        &format!(
            "echo \"from $3\"; echo 'its complaint' >&2\nsleep 600 & echo $! > {}; echo $$ > {}\nwait\n",
            noted("child.pid"),
            noted("docker.pid"),
        ),
    );
    house.script(
        "bin/ssh",
        "echo \"$*\" | tr ' ' '_'; echo 'Permission denied (publickey).' >&2; exit 255\n",
    );
    let house = house.env("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    let t = open(&house, "", &[], 120, 30);
    t.wait_text("There are no lines yet");
    t.send("ojournal://nginx\r");
    t.wait_text("it burns");
    t.wait_text("web-3 nginx 7");
    let pid = |name: &str| {
        until("a process", || {
            let text = std::fs::read_to_string(house.path().join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|t| !t.is_empty())
        })
    };
    assert!(pid("journal.args").contains("--unit=nginx"));
    // It is an error, as its priority says.
    t.send("/level:error unit:-\x15level:error\r");
    t.wait_text("1/1");
    t.send("\\");
    t.send("odocker://web_1\r");
    t.wait_text("from web_1");
    t.wait_text("its complaint");
    // One that fails says so, and why.
    t.send("ossh://ops@web-9:2222/var/log/a b.log\r");
    t.wait_text("ssh failed: exit status 255: Permission denied (publickey).");
    t.wait_text("-p_2222_ops@web-9_exec_tail_-c_+1_-F_--_'/var/log/a_b.log'");
    t.send("x");
    t.wait_text("ssh failed: exit status 255");
    // A source that is taken away ends its program, with what that had started.
    let (docker, child, journal) = (pid("docker.pid"), pid("child.pid"), pid("journal.pid"));
    assert!(lives(&docker) && lives(&child) && lives(&journal));
    t.send("jjD");
    until("docker's end", || (!lives(&docker) && !lives(&child)).then_some(()));
    assert!(lives(&journal));
    t.send("\x1b");
    // What cannot be opened says why.
    t.send("odocker://--help\r");
    t.wait_text("cannot begin with -");
    t.send("\x15gopher://x\r");
    t.wait_text("there is no `gopher://`");
    t.send("\x15-\r");
    t.wait_text("qd logs view -");
    std::fs::remove_file(bin.join("ssh")).expect("it was there");
    if !std::path::Path::new("/usr/bin/ssh").exists() {
        t.send("\x15ssh://web-9/x\r");
        t.wait_text("ssh is not installed");
    }
    t.send("\x1b");
    // The end of the session is the end of all.
    house.ok(&["kill", "main"]);
    until("the journal's end", || (!lives(&journal)).then_some(()));
}

#[test]
fn views_are_saved_and_opened_by_name() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 100), &[], 120, 40);
    t.wait_text("entry 99");
    t.send("/svc:api\r");
    t.wait_text("50/100");
    t.send("/\x14vrl: .level == \"info\"\r");
    t.wait_text("10/100");
    let menu = |nth: usize| format!("a{}\r", "j".repeat(nth));
    t.send(menu(17));
    t.wait_text("save this view as:");
    t.send("grave ones\r");
    t.wait_text("saved as grave ones");
    t.send("\\\\");
    until("no filter", || (!t.text().contains("/100")).then_some(()));
    t.send(menu(16));
    t.wait_text("Enter takes");
    t.wait_text("(svc:api)  -(vrl: .level == \"info\")");
    t.send("\r");
    t.wait_text("10/100");
    t.send("u");
    until("no filter again", || (!t.text().contains("/100")).then_some(()));
    // By the command line, in a pane of its own.
    house.ok(&[
        "action",
        "new-pane",
        "--kind=logs",
        &format!("--arg=path={}", house.path().join("app.log").display()),
        "--arg=view=grave ones",
    ]);
    t.wait_text("10/100");
    let path = house.path().join("app.log").display().to_string();
    house.wait_panes("two panes", |l| l.len() == 2);
    // One that is not there is told with those that are.
    house.ok(&[
        "action",
        "new-pane",
        "--kind=logs",
        &format!("--arg=path={path}"),
        "--arg=view=other",
    ]);
    t.wait_text("there is no view other");
}

#[test]
fn an_editor_and_a_shell_open_beside_a_log_and_panes_share_a_time() {
    let house = House::new().env("TZ", "UTC");
    let editor = house.script("editor", "echo \"edits $*\"; exec sleep 600\n");
    let house = house.env("EDITOR", &editor.display().to_string()).env("VISUAL", "");
    let t = open(&house, &entries(0, 100), &[], 160, 40);
    t.wait_text("entry 99");
    t.send("gl50\r");
    t.wait_text("  line 50");
    t.send("e");
    t.wait_text("edits +50");
    house.wait_panes("the editor's pane", |l| l.len() == 2);
    house.act("close-pane");
    house.wait_panes("it is closed", |l| l.len() == 1);
    let path = house.path().join("app.log").display().to_string();
    house.ok(&[
        "action",
        "new-pane",
        "--kind=logs",
        "--direction=down",
        &format!("--arg=path={path}"),
    ]);
    house.wait_panes("another log", |l| l.len() == 2);
    t.wait_text("follow");
    t.send("gl10\r");
    t.wait_text("  line 10 ");
    t.send("tc");
    t.wait_text("all logs stand at");
    until("both panes at the tenth line", || {
        (t.text().matches("line 10 ").count() >= 1 && !t.text().contains("\u{25cf}follow")).then_some(())
    });
    t.send("tl");
    until("both live", || {
        (t.text().matches("\u{25cf}follow").count() == 2).then_some(())
    });
}

#[test]
fn truncation_and_rotation_are_seen() {
    let house = House::new();
    let t = open(&house, &entries(0, 100), &[], 100, 24);
    t.wait_text("entry 99");
    std::fs::write(house.path().join("app.log"), entries(500, 503)).expect("it is written anew");
    t.wait_text("entry 502");
    t.wait_gone("entry 99");
    std::fs::rename(house.path().join("app.log"), house.path().join("app.log.1")).expect("it turns over");
    house.file("app.log", &entries(600, 604));
    t.wait_text("entry 603");
    // What was there before is still seen.
    t.wait_text("entry 502");
    t.send("x");
    t.wait_text("rotated");
}

#[test]
fn nothing_in_a_line_acts_on_the_terminal() {
    let house = House::new();
    let evil = "time=2026-05-01T09:00:00Z level=info msg=\"\x1b]0;owned\x07\x1b[2J\x1b[31;1mred\x1b[0m \u{9b}5n \x1bPq\x1b\\ end of it\"\n";
    let t = open(&house, &format!("{}{evil}", entries(0, 30)), &[], 120, 24);
    t.wait_text("end of it");
    // Nor from the panels, the copy of the prompt, or the title.
    t.send("d");
    t.wait_text("j k another");
    t.send("\x1b");
    t.wait_gone("j k another");
    t.send("p");
    t.wait_text("laid out");
    t.send("\x1b");
    t.wait_gone("laid out");
    t.wait_text("entry 29");
    let wire = t.wire(0);
    for bad in [
        &b"\x1b]0;owned"[..],
        b"\x1b[2Jred",
        b"\x1bPq",
        "\u{9b}5n".as_bytes(),
        b"owned\x07",
    ] {
        assert!(
            !wire.windows(bad.len()).any(|w| w == bad),
            "{:?} reached the terminal",
            String::from_utf8_lossy(bad)
        );
    }
}

#[test]
fn every_size_shows_something() {
    let house = House::new();
    let t = open(&house, &entries(0, 100), &[], 100, 30);
    t.wait_text("entry 99");
    t.send("tt");
    t.wait_text("a bar is");
    t.send("a");
    t.wait_text("what can be done");
    for (w, h) in [(20, 5), (1, 1), (2, 30), (200, 2), (37, 9)] {
        t.resize(w, h);
        house.wait_panes("it lives", |l| l.len() == 1);
    }
    t.resize(20, 5);
    t.wait("the state", |s| s.contents().contains("100"));
    t.resize(100, 30);
    t.wait_text("what can be done");
    t.send("\x1b");
    t.wait_gone("what can be done");
    t.wait_text("entry 99");
    t.send("\x1b");
    t.wait_gone("a bar is");
    assert!(house.log("main").matches("panic").count() == 0, "{}", house.log("main"));
}

#[test]
fn marks_are_kept_and_lines_are_asked_and_written() {
    let house = House::new().env("TZ", "UTC");
    let t = open(&house, &entries(0, 100), &[], 110, 30);
    t.wait_text("entry 99");
    t.send("gl50\r");
    t.wait_text("  line 50");
    t.send("m");
    t.wait_text("bookmarked");
    t.send("G'");
    t.wait_text("on from the beginning");
    t.wait_text("entry 49");
    until("the marks on disk", || {
        std::fs::read_to_string(house.path().join("state/quarterdeck/logs/log-marks.json"))
            .ok()
            .filter(|s| s.contains("entry 49"))
    });
    // Another session finds them again.
    let again = house.term(&["-s", "again", "--layout", "logs"], 110, 30);
    again.wait_text("entry 99");
    again.send("'");
    again.wait_text("on from the beginning");
    again.wait_text("entry 49");
    // The menu: SQL, and what cannot be done with its reason.
    t.send("ajj\r");
    t.wait_text("SQL: select");
    t.send("\x15select svc, count(*) as n from log group by svc order by svc\r");
    t.wait_text("2 rows");
    t.wait("the counts", |s| {
        let text = s.contents();
        text.contains("api  50") && text.contains("web  50")
    });
    t.send("\x1b");
    t.wait_gone("2 rows");
    t.send("/svc:api\r");
    t.wait_text("50/100");
    let out = house.path().join("out.jsonl");
    t.send(format!("ajjj\r{}\r", out.display()));
    t.wait_text("50 lines written");
    let written = std::fs::read_to_string(&out).expect("it was written");
    assert_eq!(written.lines().count(), 50);
    assert!(written.lines().all(|l| l.starts_with('{') && l.contains("api")));
    // What is there is not written over unasked.
    t.send(format!("ajjj\r{}\r", out.display()));
    t.wait_text("replace it? y or n");
    t.send("n\r");
    t.wait_text("nothing was written");
    assert_eq!(std::fs::read_to_string(&out).expect("it is still there"), written);
}

#[test]
fn without_colour_and_in_ascii_it_is_still_to_be_read() {
    let house = House::new().env("TZ", "UTC").env("NO_COLOR", "1");
    let t = open(&house, &entries(0, 100), &["--ascii"], 80, 24);
    t.wait_text("entry 99");
    t.send("ge");
    t.wait_text("on from the beginning");
    golden("logs-ascii", &t);
    t.send("tt");
    t.wait_text("a bar is");
    golden("logs-ascii-strip", &t);
    t.send("\x1b");
    t.wait_gone("a bar is");
    t.send("a");
    t.wait_text("what can be done");
    golden("logs-ascii-menu", &t);
    t.send("\x1b");
    t.wait_gone("what can be done");
    for (keys, sign) in [
        ("?", "one level out"),
        ("d", "j k another"),
        ("p", "laid out"),
        ("c", "Space chooses"),
    ] {
        t.send(keys);
        if keys == "?" {
            t.send("\x1b[6~\x1b[6~\x1b[6~\x1b[6~");
        }
        t.wait_text(sign);
        assert!(t.text().is_ascii(), "{}", t.text());
        t.send("\x1b");
        t.wait_gone(sign);
    }
    t.send("trtr/");
    t.wait_text("Tab completes");
    assert!(t.text().is_ascii(), "{}", t.text());
}

#[test]
fn a_directory_is_opened_with_what_comes_into_it() {
    let house = House::new().env("TZ", "UTC");
    house.file("var/app.log", &entries(0, 3));
    let at = house.path().join("var");
    house.file(
        "config/quarterdeck/layouts/logs.kdl",
        &format!("layout {{ tab {{ pane kind=\"logs\" {{ path {at:?} }} }} }}\n"),
    );
    let t = house.term(&["--layout", "logs"], 100, 20);
    t.wait_text("entry 2");
    t.wait_text("3 \u{25cf}follow");
    house.file("var/new.log", &entries(3, 5));
    t.wait_text("entry 4");
    t.wait_text("2 logs");
    t.wait_text("5 \u{25cf}follow");
    // A file that is turned over is one log still.
    std::fs::rename(at.join("app.log"), at.join("app.log.1")).expect("it can be renamed");
    house.file("var/app.log", &entries(5, 6));
    t.wait_text("entry 5");
    t.wait_text("6 \u{25cf}follow");
}
