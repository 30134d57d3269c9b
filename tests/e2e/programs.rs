//! Programs people use, in a pane: they start, show what they show, take keys, and leave the screen as it was.

use crate::{
    harness::{House, installed, until},
    term::Term,
};

fn shell(house: &House) -> Term {
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    t.line("echo before$((1+1))");
    t.wait_text("before2");
    t
}

fn is_back(t: &Term) {
    t.wait_text("before2");
    // A program that is about to end may still take what is typed: the shell has to be at its prompt.
    t.wait("the shell's prompt before the cursor", |s| {
        let (row, col) = s.cursor_position();
        let cell = |c: u16| s.cell(row, c).map(|c| c.contents().to_owned()).unwrap_or_default();
        col >= 2 && cell(col - 2) == "$"
    });
    t.line("echo after$((1+1))");
    t.wait_text("after2");
}

#[test]
fn vim_edits_a_file() {
    if !installed("vim") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    t.line("vim -u NONE -N note.txt");
    t.wait_text("\"note.txt\"");
    // It is never left with Esc, which vim takes together with the next key for Alt when both come at once.
    t.send("ihello from vim\rhello from vim");
    t.wait("the line twice", |s| {
        s.contents().matches("hello from vim").count() == 2
    });
    // It hears of a new size.
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.leader("h");
    t.leader("z");
    t.wait_text("zoomed");
    let columns = || std::fs::read_to_string(house.path().join("columns")).unwrap_or_default();
    let knows = || {
        t.send("\x0f:call writefile([&columns], 'columns')\r");
        t.look_for(|_| columns() == "98\n")
    };
    assert!((0..8).any(|_| knows()), "it knows {:?}\n{}", columns(), t.text());
    t.send("\x0f:wq\r");
    is_back(&t);
    let text = std::fs::read_to_string(house.path().join("note.txt")).expect("it was written");
    assert_eq!(text, "hello from vim\nhello from vim\n");
}

#[test]
fn less_pages_and_searches() {
    if !installed("less") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    t.line("seq 1000 > numbers; less numbers");
    t.wait_text("│25 ");
    t.send(" ");
    t.wait_text("│50 ");
    t.send("/777\r");
    t.wait_text("│777 ");
    t.send("G");
    t.wait_text("(END)");
    t.send("q");
    is_back(&t);
}

#[test]
fn htop_shows_the_machine() {
    if !installed("htop") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    t.line("htop");
    t.wait_text("Load average");
    t.wait_text("F10Quit");
    t.send("\x1bOP");
    t.wait_text("htop ");
    t.wait_text("Released under the GNU GPL");
    t.send("q");
    t.wait_text("F10Quit");
    t.send("\x1b[21~");
    is_back(&t);
}

#[test]
fn fzf_finds() {
    if !installed("fzf") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    t.line("seq 1000 | fzf > picked; echo picked $(cat picked)");
    t.wait_text("1000/1000");
    t.send("733");
    // With a space before it: `7` alone has 271 of them.
    t.wait_text(" 1/1000");
    t.send("\r");
    t.wait_text("picked 733");
    is_back(&t);
}

#[test]
fn tmux_runs_inside() {
    if !installed("tmux") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    // Keys that come fast are keys here, not a paste.
    house.file("tmux.conf", "set -g assume-paste-time 0\n");
    t.line("tmux -f tmux.conf -L e2e$$ new -s inner");
    t.wait_text("[inner]");
    t.wait_prompt();
    t.send("\x02%");
    t.wait("tmux splits", |s| s.contents().matches("$ ").count() >= 2);
    t.line("echo deep$((1+1))");
    t.wait_text("deep2");
    t.line("tmux kill-server");
    t.wait_gone("[inner]");
    is_back(&t);
}

#[test]
fn mc_draws_its_panels() {
    if !installed("mc") {
        return;
    }
    let house = House::new();
    std::fs::create_dir(house.path().join("cargo-hold")).expect("a directory");
    let t = shell(&house);
    t.line("mc -u .");
    t.wait_text("cargo-hold");
    t.wait_text("10Quit");
    t.send("\x1b[B\r");
    t.wait_text("/cargo-hold ─");
    t.send("\x1b[21~");
    // It asks, or it does not, as it is set up.
    t.wait("it ends or asks", |s| {
        !s.contents().contains("10Quit") || s.contents().contains("Do you really want")
    });
    if t.text().contains("Do you really want") {
        t.send("\r");
    }
    is_back(&t);
}

#[test]
fn emacs_opens_a_buffer() {
    if !installed("emacs") {
        return;
    }
    let house = House::new();
    let t = shell(&house);
    // A terminal that is not asked what it is: the answer would mix with what is typed.
    t.line("TERM=vt220 emacs -nw -Q note.txt");
    t.wait_text("note.txt");
    t.send("written in emacs");
    t.wait_text("written in emacs");
    t.send("\x1bxsave-buffer\r");
    t.wait_text("Wrote ");
    t.send("\x18\x03");
    // That kind of terminal has no second screen to come back from.
    t.wait("the prompt", |s| s.rows(0, 100).any(|r| r.starts_with("│$ ")));
    t.line("echo after$((1+1))");
    t.wait_text("after2");
    let text = std::fs::read_to_string(house.path().join("note.txt")).expect("it was written");
    assert!(text.starts_with("written in emacs"));
}

/// A shell of its own in a pane: it prints, edits its line, finds a command of before, and leaves.
fn as_shell(program: &str, args: &[&str], prompt: &str) {
    if !installed(program) {
        return;
    }
    let house = House::new();
    let t = house.term(&[], 100, 30);
    t.wait_prompt();
    let mut words = vec!["run", "--close-on-exit", "--", program];
    words.extend(args);
    house.ok(&words);
    house.wait_panes("two panes", |l| l.len() == 2);
    t.leader("z");
    t.wait_text("zoomed");
    // Root has a prompt of its own.
    t.wait("its prompt", |s| {
        [prompt, "#"]
            .iter()
            .any(|p| s.rows(0, 100).nth(2).is_some_and(|l| l.contains(p)))
    });
    t.line("echo one");
    t.wait("it answers", |s| s.contents().matches("one").count() >= 2);
    t.send("echo wxy\x1b[Dz\r");
    t.wait_text("wxzy");
    t.send("\x1b[A");
    t.wait("the line of before", |s| s.contents().matches("echo wxzy").count() >= 2);
    // A shell that is still busy with its line may swallow the first.
    until("it has left", || {
        t.send("\x15exit\r");
        t.look_for(|s| !s.contents().contains("zoomed")).then_some(())
    });
    house.wait_panes("its pane is gone", |l| l.len() == 1);
}

#[test]
fn bash_works() {
    as_shell("bash", &["--norc", "-i"], "$");
}

#[test]
fn zsh_works() {
    as_shell("zsh", &["-f", "-i"], "%");
}

#[test]
fn fish_works() {
    as_shell("fish", &["--no-config", "-i"], ">");
}
