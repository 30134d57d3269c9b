//! The command line as scripts use it: exit codes, ids, JSON, sentences on standard error, and both ends of the protocol.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use crate::harness::{House, until};

#[test]
fn without_a_terminal_there_is_a_sentence_and_no_escape() {
    let house = House::new();
    for args in [&[][..], &["attach", "-c"], &["attach", "-c", "x"], &["watch", "x"]] {
        let said = house.fails(args, 2);
        assert!(said.starts_with("qd: this needs a terminal"), "{said}");
    }
    assert_eq!(house.ok(&["ls", "-q"]), "", "nothing was started");
}

#[test]
fn a_wrong_request_is_told_what_was_meant() {
    let house = House::new();
    for (words, hint) in [
        (&["new-pan"][..], "new-pane"),
        (&["lits-panes"], "list-panes"),
        (&["move-focus", "lft"], "left"),
        (&["resize"], "CHANGE"),
        (&["go-to-tab", "x"], "x"),
        (&["new-pane", "--directoin", "right"], "direction"),
        (&["send-keys", "Crtl-c"], "Crtl-c"),
        (&["write", "256"], "256"),
    ] {
        let args: Vec<&str> = ["action"].into_iter().chain(words.iter().copied()).collect();
        let said = house.fails(&args, 2);
        assert!(said.contains(hint), "{words:?}: {said}");
    }
    for name in ["a/b", ".x", "", "a b", &"n".repeat(60)] {
        let said = house.fails(&["attach", "-b", name], 2);
        assert!(said.contains("cannot name a session"), "{name:?}: {said}");
    }
    assert!(house.fails(&["attach"], 1).contains("there is no session"));
    assert!(
        house
            .fails(&["action", "list-panes"], 1)
            .contains("there is no session")
    );
    assert!(
        house
            .fails(&["action", "-s", "nobody", "list-panes"], 1)
            .contains("nobody")
    );
    assert!(house.fails(&["frobnicate"], 2).contains("frobnicate"));
    assert_eq!(house.ok(&["ls"]), "");
    assert_eq!(house.ok(&["ls", "--json"]), "[]\n");
}

#[test]
fn ids_are_printed_and_listed() {
    let house = House::new();
    house.ok(&["attach", "-b", "main"]);
    let id: u64 = house
        .act("new-pane --direction right --name side")
        .parse()
        .expect("an id");
    let panes = house.list("list-panes");
    let new = panes.iter().find(|p| p["id"] == id).expect("it is listed");
    assert_eq!(
        (&new["title"], &new["focused"], &new["kind"]),
        (&"side".into(), &true.into(), &"terminal".into())
    );
    assert!(new["pid"].as_u64().is_some_and(|p| p > 1));
    let tab: u64 = house.act("new-tab --name work").parse().expect("an id");
    let tabs = house.list("list-tabs");
    assert_eq!(
        (&tabs[1]["id"], &tabs[1]["name"], &tabs[1]["active"]),
        (&tab.into(), &"work".into(), &true.into())
    );
    assert!(
        house.act("list-panes").lines().count() == 4,
        "{}",
        house.act("list-panes")
    );
    assert!(house.act("list-tabs").starts_with("ID"));
    assert!(house.act("list-clients").starts_with("ID"));
    let run = house.ok(&["run", "--name", "greeting", "--", "echo", "hi there"]);
    let run: u64 = run.trim().parse().expect("an id");
    let target = format!("dump-screen --pane-id {run}");
    until("its output", || house.act(&target).contains("hi there").then_some(()));
    until("its end", || {
        house
            .list("list-panes")
            .iter()
            .any(|p| p["id"] == run && p["exited"] == true)
            .then_some(())
    });
}

#[test]
fn actions_reach_the_pane_and_the_tab_they_name() {
    let house = House::new();
    house.ok(&["attach", "-b", "main"]);
    let first = house.list("list-panes")[0]["id"].to_string();
    let second = house.act("new-pane --direction down");
    let shows = |pane: &str, text: &str| {
        let words = format!("dump-screen --pane-id {pane}");
        until(text, || house.act(&words).contains(text).then_some(()));
    };
    shows(&first, "$");
    shows(&second, "$");
    house.act(&format!("write-chars --pane-id {first} not-this"));
    house.act(&format!("send-keys --pane-id {first} Ctrl-u"));
    house.ok(&["action", "write-chars", "--pane-id", &first, "echo one$((1+1))"]);
    house.act(&format!("send-keys --pane-id {first} Enter"));
    shows(&first, "one2");
    assert!(!house.act(&format!("dump-screen --pane-id {second}")).contains("one2"));
    house.ok(&["action", "paste", "--pane-id", &second, "echo two$((1+1))"]);
    house.act(&format!("write --pane-id {second} 13"));
    shows(&second, "two2");
    // More lines than the screen has: they are in the scrollback.
    house.ok(&[
        "action",
        "write-chars",
        "--pane-id",
        &second,
        "seq 500; echo all$((1+1))\r",
    ]);
    shows(&second, "all2");
    assert!(!house.act(&format!("dump-screen --pane-id {second}")).contains("\n41\n"));
    assert!(
        house
            .act(&format!("dump-screen --full --pane-id {second}"))
            .contains("\n41\n")
    );
    house.act(&format!("dump-screen --full --pane-id {second} out.txt"));
    let written = std::fs::read_to_string(house.path().join("out.txt")).expect("it was written");
    assert!(written.contains("\n41\n") && written.contains("all2"));
    assert!(
        house
            .fails(&["action", "dump-screen", "/no/such/dir/x"], 1)
            .contains("/no/such/dir/x")
    );

    house.act(&format!("rename-pane --pane-id {first} upper"));
    let tab = house.list("list-tabs")[0]["id"].to_string();
    house.act("new-tab");
    house.act(&format!("rename-tab --tab-id {tab} base"));
    assert_eq!(house.list("list-tabs")[0]["name"], "base");
    house.act("go-to-tab 1");
    house.act("move-focus up");
    let panes = house.list("list-panes");
    let focused: Vec<_> = panes.iter().filter(|p| p["focused"] == true).collect();
    assert_eq!((focused.len(), focused[0]["title"].as_str()), (1, Some("upper")));
    assert!(house.fails(&["action", "move-focus", "up"], 1).contains("no pane"));
    assert!(
        house
            .fails(&["action", "close-pane", "--pane-id", "99"], 1)
            .contains("99")
    );
    assert!(house.fails(&["action", "go-to-tab", "9"], 1).contains('9'));
    assert!(house.fails(&["action", "go-to-tab-name", "nix"], 1).contains("nix"));
    assert!(house.fails(&["action", "detach"], 1).contains("no client"));
    house.act(&format!("close-pane --pane-id {second}"));
    assert_eq!(house.list("list-panes").len(), 2);
    house.act(&format!("close-tab --tab-id {tab}"));
    assert_eq!(house.list("list-tabs").len(), 1);
    assert!(house.act("dump-layout").contains("pane"));
}

/// Arguments for an action that needs some.
fn example(name: &str) -> &'static [&'static str] {
    match name {
        "rename-pane" | "rename-tab" => &["named"],
        "move-focus" | "move-focus-or-tab" | "move-tab" => &["left"],
        "focus-pane-id" | "go-to-tab" | "go-to-line" => &["1"],
        "resize" => &["increase", "right"],
        "go-to-tab-name" | "search" => &["named"],
        "switch-mode" => &["copy"],
        "write" => &["27", "91", "65"],
        "write-chars" | "paste" => &["some text"],
        "send-keys" => &["a", "Ctrl-c", "F5", "Alt-Left"],
        "set-theme" => &["nord"],
        other => panic!("{other} needs arguments: give it an example here"),
    }
}

#[test]
fn no_action_of_the_registry_harms_the_server() {
    let house = House::new();
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    let pid = house.server_pid("main");
    let commands = house.list("list-commands");
    assert!(commands.len() > 80, "{}", commands.len());
    for c in &commands {
        let name = c["name"].as_str().expect("a name");
        if matches!(name, "detach" | "quit") {
            continue;
        }
        // Whatever was closed or broken before: there are two tabs, and two panes in the second.
        house.ok(&["action", "new-tab"]);
        house.ok(&["action", "new-pane"]);
        let bare = !c["usage"].as_str().expect("a usage").contains('<');
        let mut args = vec!["action", name];
        args.extend(if bare { &[] } else { example(name) });
        let out = house.run(&args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let code = out.status.code();
        assert!(
            code == Some(0) || (code == Some(1) && said.starts_with("qd: ")),
            "{args:?}: {code:?} {said}"
        );
        assert_eq!(house.server_pid("main"), pid, "the server lives after {args:?}");
        house.ok(&["action", "close-tab"]);
    }
    let log = house.log("main");
    assert!(!log.contains("panicked"), "{log}");
    let mut t = t;
    assert_eq!(house.ok(&["action", "detach"]), "");
    assert_eq!(t.wait_end(), 0);
    house.ok(&["action", "quit"]);
    until("the session is gone", || {
        house.ok(&["ls", "-q"]).is_empty().then_some(())
    });
}

#[test]
fn setup_tells_what_is_right_and_what_is_wrong() {
    let house = House::new();
    assert!(house.ok(&["setup", "--check"]).contains("the configuration is well"));
    let house = house.config("theme \"nord\"\nscroll_buffer_size \"many\"\nthem \"x\"\n");
    let said = house.fails(&["setup", "--check"], 1);
    let file = house.config_file().to_string_lossy().into_owned();
    assert!(
        said.contains(&format!("{file}:2:")) && said.contains(&format!("{file}:3:")),
        "{said}"
    );
    assert!(
        said.contains("theme"),
        "it names what is like the unknown option\n{said}"
    );
    let house = house.config("theme \"no-such-theme\"\n");
    assert!(house.fails(&["setup", "--check"], 1).contains("no-such-theme"));
    // What is printed is itself a configuration without a fault.
    let house = House::new();
    for dump in ["--dump-config", "--dump-effective"] {
        let text = house.ok(&["setup", dump]);
        assert!(text.lines().count() > 20, "{dump}\n{text}");
        let path = house.file("dumped.kdl", &text);
        house.ok(&["setup", "--check", "--config", &path.to_string_lossy()]);
    }
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let text = house.ok(&["setup", "--generate-completion", shell]);
        assert!(text.contains("attach") && text.len() > 1000, "{shell}");
    }
    assert!(house.ok(&["setup", "--generate-man"]).contains(".TH qd 1"));
    assert!(house.ok(&["setup", "--dump-layout", "shell"]).contains("layout {"));
    assert!(house.fails(&["setup", "--dump-layout", "nix"], 2).contains("default"));
    house.fails(&["setup"], 2);
    assert!(house.ok(&["--help"]).contains("Usage"));
    assert!(house.ok(&["--version"]).starts_with("qd "));
}

/// A greeting of the wire.
fn hello(protocol: u16, build: &str) -> Vec<u8> {
    let mut out = b"QDCK".to_vec();
    out.extend(protocol.to_le_bytes());
    out.push(u8::try_from(build.len()).expect("a short name"));
    out.extend(build.as_bytes());
    out
}

#[test]
fn a_stranger_at_the_socket_is_shown_out() {
    let house = House::new();
    house.ok(&["attach", "-b", "main"]);
    for greeting in [hello(77, "0.0.1"), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 5000]] {
        let mut s = UnixStream::connect(house.socket("main")).expect("it listens");
        s.write_all(&greeting).expect("it is heard");
        let mut all = Vec::new();
        // A reset is a closed door as well.
        let _ = s.read_to_end(&mut all);
        assert!(all.starts_with(b"QDCK"), "the server says who it is");
    }
    // The right greeting, and then noise.
    let mut s = UnixStream::connect(house.socket("main")).expect("it listens");
    let mut first = [0; 7];
    s.read_exact(&mut first).expect("a greeting");
    let number = u16::from_le_bytes([first[4], first[5]]);
    s.write_all(&hello(number, "x")).expect("it is heard");
    s.write_all(&[0xff; 64]).expect("it is heard");
    let _ = s.read_to_end(&mut Vec::new());
    // Who connects and says nothing stops nobody.
    let _silent = UnixStream::connect(house.socket("main")).expect("it listens");
    assert_eq!(house.list("list-panes").len(), 1);
}

#[test]
fn a_server_of_another_version_is_named() {
    let house = House::new();
    house.ok(&["ls"]);
    let listener = UnixListener::bind(house.socket("old")).expect("a socket");
    std::thread::spawn(move || {
        while let Ok((mut s, _)) = listener.accept() {
            let _ = s.write_all(&hello(99, "9.9.9"));
            let _ = s.read(&mut [0; 64]);
        }
    });
    let mut t = house.term(&["attach", "old"], 200, 24);
    assert_ne!(t.wait_end(), 0);
    let text = t.text();
    let ours = env!("CARGO_PKG_VERSION");
    assert!(text.contains("9.9.9") && text.contains("protocol 99"), "{text}");
    assert!(text.contains(ours) && text.contains("protocol 2"), "{text}");
    assert!(!t.screen(vt100::Screen::alternate_screen));
    let said = house.fails(&["action", "-s", "old", "list-panes"], 1);
    assert!(said.contains("9.9.9") && said.contains(ours), "{said}");
}

#[test]
fn nothing_is_nested_by_accident() {
    let house = House::new();
    let t = house.term(&[], 120, 24);
    t.wait_prompt();
    let exe = crate::harness::qd();
    t.line(&format!("{exe} attach -c other; echo status$?."));
    t.wait_text("status2.");
    assert!(t.text().contains("--nested"), "{}", t.text());
    // Inside, an action means this session.
    t.line(&format!("{exe} action rename-tab inner; echo status$?,"));
    t.wait_text("status0,");
    t.wait_text("inner");
    assert_eq!(house.ok(&["ls", "-q"]), "main\n");
}

#[test]
fn a_search_is_a_command_and_a_name() {
    let house = House::new();
    house.file("a.txt", "one\na needle\n");
    assert_eq!(house.ok(&["search", "-n", "needle", "a.txt"]), "2:a needle\n");
    assert_eq!(house.fails(&["search", "-s", "Needle", "a.txt"], 1), "");
    assert!(house.fails(&["search", "(", "a.txt"], 2).starts_with("qd search: "));
    assert!(house.fails(&["--ascii", "search", "x"], 2).contains("comes first"));
    let rg = house.path().join("rg");
    std::os::unix::fs::symlink(crate::harness::qd(), &rg).expect("a link");
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(&rg);
        command.args(args).current_dir(house.path()).env_clear();
        command.stdin(std::process::Stdio::null()).output().expect("an answer")
    };
    let found = call(&["--path-separator", "/", "-c", "needle", "a.txt"]);
    assert_eq!((found.status.code(), &found.stdout[..]), (Some(0), &b"1\n"[..]));
    let refused = call(&["("]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("rg: "));
    assert!(call(&["--version"]).stdout.starts_with(b"ripgrep "));
}
