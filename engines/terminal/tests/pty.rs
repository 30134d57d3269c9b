//! Real children on real ptys.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use qd_terminal::{Focus, More, ScrollbackLimits, SpawnSpec, Terminal, TerminalError, WRITE_QUEUE_MAX};
use qd_tty::{Key, KeyEvent, Mods, MouseEvent, MouseKind, Size};
use rustix::event::{PollFd, PollFlags, poll};

fn spec(command: &[&str]) -> SpawnSpec {
    SpawnSpec {
        command: command.iter().map(|s| (*s).to_owned()).collect(),
        cwd: Some(PathBuf::from("/tmp")),
        env: Vec::new(),
        env_remove: Vec::new(),
        size: Size::new(80, 24),
        scrollback: ScrollbackLimits::default(),
    }
}

fn sh(script: &str) -> Terminal {
    Terminal::spawn(&spec(&["sh", "-c", script])).unwrap()
}

/// Gives turns until `done`, or fails after a long while.
fn until(t: &mut Terminal, mut done: impl FnMut(&mut Terminal) -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !done(t) {
        assert!(
            Instant::now() < give_up,
            "waited in vain; the screen is:\n{}",
            screen(t)
        );
        if t.fd().is_some() {
            {
                let fd = t.fd().unwrap();
                let mut fds = [PollFd::new(&fd, PollFlags::IN)];
                let timeout = rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: 20_000_000,
                };
                let _ = poll(&mut fds, Some(&timeout));
            }
            t.read_turn(65_536).unwrap();
            t.flush().unwrap();
        }
    }
}

fn screen(t: &Terminal) -> String {
    let first = t.vt().first_line();
    let end = t.vt().screen_top_line() + u64::from(t.vt().size().rows);
    (first..end)
        .filter_map(|n| t.vt().line_text(n))
        .collect::<Vec<_>>()
        .join("\n")
}

fn shows(text: &str) -> impl FnMut(&mut Terminal) -> bool {
    let text = text.to_owned();
    move |t| screen(t).contains(&text)
}

#[test]
fn output_and_exit_status() {
    let mut t = sh("echo hello from $TERM $COLORTERM $TERM_PROGRAM; exit 3");
    until(&mut t, |t| t.try_wait().is_some() && t.fd().is_none());
    assert_eq!(
        screen(&t).lines().next().unwrap(),
        "hello from xterm-256color truecolor quarterdeck"
    );
    let s = t.try_wait().unwrap();
    assert_eq!((s.code, s.signal), (Some(3), None));
    assert_eq!(t.pid(), None);
    assert_eq!(t.read_turn(1).unwrap().more, More::Eof);
}

#[test]
fn a_signal_is_told() {
    let mut t = sh("kill -TERM $$");
    until(&mut t, |t| t.try_wait().is_some());
    let s = t.try_wait().unwrap();
    assert_eq!((s.code, s.signal), (None, Some(15)));
}

#[test]
fn kill_ends_what_ignores_the_hangup() {
    let mut t = sh("trap '' HUP; echo ready; while :; do sleep 1; done");
    until(&mut t, shows("ready"));
    t.hangup();
    assert!(t.try_wait().is_none());
    t.kill();
    until(&mut t, |t| t.try_wait().is_some());
    assert_eq!(t.try_wait().unwrap().signal, Some(9));
}

#[test]
fn a_resize_reaches_the_child() {
    let mut t = sh("trap 'stty size' WINCH; stty size; while :; do sleep 0.05; done");
    until(&mut t, shows("24 80"));
    t.resize(Size::new(101, 33));
    until(&mut t, shows("33 101"));
    assert_eq!(t.vt().size(), Size::new(101, 33));
}

#[test]
fn keys_pastes_and_replies_reach_the_child() {
    let mut t =
        sh("stty raw -echo; printf '\\033[?2004h\\033[?1004h\\033[?1000h\\033[?1006h\\033[6nready'; exec cat -v");
    until(&mut t, shows("ready"));
    t.key(&KeyEvent::new(Key::Char('c'), Mods::CTRL));
    t.paste(b"x\x1b[201~\ny");
    t.focus(Focus::In);
    assert!(t.mouse(&MouseEvent {
        kind: MouseKind::WheelUp,
        col: 2,
        row: 3,
        mods: Mods::empty()
    }));
    t.write(b"END");
    until(&mut t, |t| {
        screen(t)
            .replace('\n', "")
            .contains("^[[1;1R^C^[[200~x^My^[[201~^[[I^[[<64;3;4MEND")
    });
}

#[test]
fn the_wheel_scrolls_a_pager() {
    let mut t = sh("stty raw -echo; printf '\\033[?1049hready'; exec od -An -c -v");
    until(&mut t, shows("ready"));
    assert!(t.mouse(&MouseEvent {
        kind: MouseKind::WheelDown,
        col: 2,
        row: 3,
        mods: Mods::empty()
    }));
    t.write(b"1234567");
    until(
        &mut t,
        shows("033   [   B 033   [   B 033   [   B   1   2   3   4   5   6   7"),
    );
}

#[test]
fn a_child_that_never_reads_costs_no_more_than_the_bound() {
    let mut t = sh("stty raw -echo; echo ready; exec sleep 60");
    until(&mut t, shows("ready"));
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..20 {
        t.write(&chunk);
    }
    assert!(t.wants_write() && t.queued() <= WRITE_QUEUE_MAX);
    assert!(t.dropped() >= 3 << 20);
    t.flush().unwrap();
}

#[test]
fn a_large_paste_arrives_whole() {
    let mut t = sh("stty raw -echo; echo ready; head -c 3000000 | tr -d y | wc -c; echo done");
    until(&mut t, shows("ready"));
    t.write(&b"xxxxxxxxxy".repeat(300_000));
    until(&mut t, shows("done"));
    assert!(screen(&t).contains("2700000"), "{}", screen(&t));
}

#[test]
fn a_flood_is_read_in_turns() {
    let mut t = sh("seq 1 200000");
    let mut pending = 0;
    until(&mut t, |t| {
        let turn = t.read_turn(8192).unwrap();
        assert!(turn.bytes <= 8192);
        pending += usize::from(turn.more == More::Pending);
        turn.more == More::Eof
    });
    assert!(screen(&t).trim_end().ends_with("200000"));
    assert!(pending > 0);
    assert_eq!(t.vt().screen_top_line(), 200_001 - 24);
}

#[test]
fn a_missing_directory_and_a_missing_program() {
    let mut s = spec(&["sh", "-c", "pwd; echo \"[$PWD]\""]);
    s.cwd = Some(PathBuf::from("/no/such/place"));
    s.env = vec![("HOME".to_owned(), "/usr".to_owned())];
    let mut t = Terminal::spawn(&s).unwrap();
    until(&mut t, shows("[/usr]"));

    let fail = |command: &[&str]| Terminal::spawn(&spec(command)).err().unwrap();
    assert!(matches!(fail(&[]), TerminalError::EmptyCommand));
    let e = fail(&["no-such-program-here"]);
    assert_eq!(
        e.to_string(),
        "cannot run \u{201c}no-such-program-here\u{201d}: no such program is in $PATH"
    );
    assert!(fail(&["/etc/passwd"]).to_string().ends_with("it is not executable"));
    assert!(fail(&["/no/such"]).to_string().ends_with("there is no such file"));
    assert!(fail(&["/usr/bin"]).to_string().ends_with("it is a directory"));
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let mut s = spec(&["sh", "-c", "echo \"<$QD_A|$QD_B|$TMUX>\""]);
    s.env = vec![("QD_A".into(), "1".into()), ("TMUX".into(), String::new())];
    s.env_remove = vec!["QD_B".into()];
    let mut t = Terminal::spawn(&s).unwrap();
    until(&mut t, shows("<1||>"));
}

#[test]
fn no_descriptor_leaks_and_no_zombie_stays() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut keep = sh("ls -l /proc/self/fd | wc -l; sleep 60");
    until(&mut keep, |t| screen(t).trim().parse::<u32>().is_ok());
    // Standard streams, the directory itself, and the line of the total.
    assert!(screen(&keep).trim().parse::<u32>().unwrap() <= 5, "{}", screen(&keep));
    let before = count();
    let mut pids = Vec::new();
    for _ in 0..30 {
        let t = sh("sleep 60");
        pids.push(t.pid().unwrap());
    }
    // Other tests run beside this one and open descriptors too, but not thirty.
    assert!(count() < before + 30, "{} to {}", before, count());
    let give_up = Instant::now() + Duration::from_secs(30);
    let alive = |p: &u32| PathBuf::from(format!("/proc/{p}")).exists();
    while pids.iter().any(alive) {
        assert!(Instant::now() < give_up);
        qd_terminal::reap_orphans();
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_cwd_is_known() {
    let mut t = sh("cd /usr/bin; echo ready; sleep 60");
    until(&mut t, shows("ready"));
    assert_eq!(t.cwd(), Some(PathBuf::from("/usr/bin").canonicalize().unwrap()));
    assert_eq!(t.foreground_group(), t.pid());
}
