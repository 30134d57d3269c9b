//! The search pane and the picker "search everything" under the hands.

use crate::{
    harness::{House, until},
    screen::golden,
    term::Term,
};

/// A terminal with a search pane over `tree` in the house.
fn open(house: &House, cols: u16, rows: u16) -> Term {
    let root = house.path().join("tree");
    for d in ["src/deep", "doc"] {
        std::fs::create_dir_all(root.join(d)).expect("a directory");
    }
    house.file(
        "tree/src/main.rs",
        "// The needle is here.\nfn main() {\n    let needle = 42; // needle\n}\n",
    );
    house.file(
        "tree/src/deep/lib.rs",
        "pub fn thread() {}\npub const NEEDLE: u8 = 1;\n",
    );
    house.file("tree/doc/notes.txt", "hay\nhay\nhay\nneedles and pins\nhay\nhay\n");
    house.file("tree/.hidden", "a hidden needle\n");
    house.file(
        "config/quarterdeck/layouts/s.kdl",
        &format!(
            "layout {{ tab {{ pane kind=\"search\" name=\"find\" focus=#true cwd={:?}; pane; }} }}\n",
            root.display().to_string()
        ),
    );
    let t = house.term(&["--layout", "s"], cols, rows);
    t.wait_text("what to search for");
    t.wait_prompt();
    t
}

/// Waits for the list of all that was typed, with these numbers, under the keys of the list.
fn wait_list(t: &Term, numbers: &str) {
    t.wait_mode("NAV");
    t.wait(&format!("the list: {numbers}"), |s| {
        let text = s.contents();
        text.contains(numbers) && !text.contains("the query before")
    });
}

fn tree(house: &House, name: &str) -> String {
    std::fs::read_to_string(house.path().join("tree").join(name)).expect("it is there")
}

#[test]
fn it_finds_as_one_types() {
    let house = House::new();
    let t = open(&house, 100, 40);
    t.wait_mode("INPUT");
    t.send("need");
    t.wait_text("5 in 3 of 3 files");
    t.send("le");
    t.wait_text("src/main.rs  3");
    t.wait_text("let needle = 42; // needle");
    t.wait_text("pub const NEEDLE");
    // Whole words; then hidden files too; then case.
    t.send("\x1bw");
    t.wait_text("[word]");
    t.wait_gone("needles and pins");
    t.send("\x1bh");
    t.wait_text("a hidden needle");
    t.send("\x1bc\x1bc");
    t.wait_text("[case:match]");
    t.wait_gone("NEEDLE: u8");
    t.send("\x1bc\x1bh\x1bw");
    t.wait_text("needles and pins");
    // Only some files: by globs, then by types; what is none of them is told.
    t.send("\x1bg*.txt");
    t.wait_gone("main.rs");
    t.send("\x15\x1btrust");
    t.wait_gone("needles and pins");
    t.wait_text("let needle");
    t.send("x");
    t.wait_text("there is no file type");
    t.send("\x15\x1b");
    t.wait_text("needles and pins");
    // A half-typed expression keeps what was found, and says where it is wrong.
    t.send("\x1br(s");
    t.wait_text("unclosed group");
    t.wait_text("let needle");
    t.send("|x)");
    t.wait_gone("unclosed group");
    t.wait_gone("let needle");
    t.wait_text("[regex]");
    t.send("\x15zzz");
    t.wait_text("nothing found in 3 files");
}

#[test]
fn the_list_is_walked_folded_marked_and_copied_from() {
    let house = House::new();
    let t = open(&house, 80, 40);
    t.send("needle\r");
    wait_list(&t, "5 in 3 of 3 files");
    t.send("c");
    t.wait_text("2 lines of context");
    t.wait_text("2 hay");
    t.send("c");
    t.wait_gone("2 hay");
    t.wait_text("no context");
    golden("search", &t);
    // Folding a file hides its lines, folding all leaves the headings.
    t.send("x");
    t.wait_gone("needles and pins");
    t.send("xX");
    t.wait_gone("let needle");
    t.wait_text("src/main.rs  3 +");
    t.send("X");
    t.wait_text("let needle");
    t.send("ggj");
    let n = t.bytes();
    t.send("yn");
    // OSC 52 with the place in base 64.
    let place = format!("{}:4:1", house.path().join("tree/doc/notes.txt").display());
    t.wait_wire(n, base64(&place).as_bytes());
    let n = t.bytes();
    t.send("yr");
    let rg = format!("rg -F -S -e needle -- {}", house.path().join("tree").display());
    t.wait_wire(n, base64(&rg).as_bytes());
    // A mark, and a range from it.
    t.send(" GV");
    t.wait_text("(4 marked)");
    let n = t.bytes();
    t.send("yl");
    let lines = "needles and pins\npub const NEEDLE: u8 = 1;\n// The needle is here.\n    let needle = 42; // needle";
    t.wait_wire(n, base64(lines).as_bytes());
    t.send("\x1b");
    t.wait_gone("marked");
    // The file around the line, with its line in the middle.
    t.send("p");
    t.wait_text("fn main() {");
    t.send("p");
    t.wait_gone("fn main() {");
    t.send("?");
    t.wait_text("the searches of before");
    t.send("G");
    t.wait_text("take the last replacement back");
    t.send("\x1b");
    t.wait_gone("take the last");
    t.send("a");
    t.wait_text("copy the rg command");
    t.send("\x1b");
    t.wait_gone("copy the rg command");
    // A search gets a name and is found by it; the one before comes back by itself.
    t.send("mmine\r");
    t.wait_text("kept as mine");
    t.send("\\hay\r");
    wait_list(&t, "5 in 1 of 3 files");
    t.send("'");
    t.wait_text("rg -F -S -e needle");
    t.send("\r");
    t.wait_text("src/main.rs  3");
    t.send("[");
    t.wait_text("notes.txt  5");
}

/// Base 64, as OSC 52 has it.
fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .flat_map(|c| {
            let n = c.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - c.len()));
            (0..4).map(move |i| {
                if i <= c.len() {
                    char::from(LETTERS[(n >> (18 - 6 * i)) as usize & 63])
                } else {
                    '='
                }
            })
        })
        .collect()
}

#[test]
fn a_find_is_opened_in_the_editor_and_sent_to_a_shell() {
    let house = House::new();
    let editor = house.script("edit", "printf 'edits %s;' \"$@\"; exec cat");
    let house = house.env("EDITOR", &editor.display().to_string());
    let t = open(&house, 120, 40);
    t.send("needle\r");
    wait_list(&t, "5 in 3 of 3 files");
    t.send("Go");
    t.wait_text("edits +3;");
    house.wait_panes("an editor", |l| l.len() == 3);
    t.send("\x04");
    house.wait_panes("it is closed", |l| l.len() == 2);
    t.wait_mode("NAV");
    t.send("sp");
    t.wait_mode("RAW");
    // No Enter: the person can go on before the path.
    t.wait_text("src/main.rs");
    t.send("\x01echo got \r");
    t.wait("the shell has it", |s| {
        let text: String = s.contents().split('\n').map(str::trim_end).collect();
        text.contains("got /") && text.matches("tree/src/main.rs").count() >= 2
    });
}

#[test]
fn replacing_shows_what_would_change_and_is_taken_back() {
    let house = House::new();
    let t = open(&house, 100, 40);
    t.send("needle\r");
    wait_list(&t, "5 in 3 of 3 files");
    t.send("Rpin\r");
    t.wait_text("-needles and pins");
    t.wait_text("+pins and pins");
    t.wait_text("4 lines in 3 files would change");
    golden("search-replace", &t);
    // The first file is left out.
    t.send(" ");
    t.wait_text("3 lines in 2 files would change");
    t.send("\r");
    t.wait_text("replace 3 lines in 2 files? y n");
    t.send("y");
    t.wait_text("replaced in 2 files");
    assert_eq!(
        tree(&house, "src/main.rs"),
        "// The pin is here.\nfn main() {\n    let pin = 42; // pin\n}\n"
    );
    assert_eq!(
        tree(&house, "src/deep/lib.rs"),
        "pub fn thread() {}\npub const pin: u8 = 1;\n"
    );
    assert!(tree(&house, "doc/notes.txt").contains("needles"));
    t.wait_gone("let needle");
    t.send("u");
    t.wait_text("taken back in 2 files");
    assert!(tree(&house, "src/main.rs").contains("let needle = 42; // needle"));
    // Leaving changes nothing.
    t.wait_text("let needle");
    t.send("Rx\r");
    t.wait_text("4 lines in 3 files");
    t.send("\x1b");
    t.wait_text("nothing was replaced");
    assert!(tree(&house, "src/main.rs").contains("needle"));
}

#[test]
fn everything_is_searched_from_the_menu() {
    let house = House::new();
    house.file("home/.bash_history", "#1700000000\nmake the-haystack\n");
    house.file(
        "app.log",
        "level=info one\nlevel=warn the-haystack burns\nlevel=info two\n",
    );
    let at = house.path().display();
    std::fs::create_dir(house.path().join("work")).expect("a directory");
    house.file(
        "config/quarterdeck/layouts/all.kdl",
        &format!(
            "layout {{ tab name=\"sh\" focus=#true {{ pane cwd=\"{at}/work\"; }}\n\
             tab name=\"logs\" {{ pane kind=\"logs\" cwd=\"{at}\" {{ path \"app.log\" }} }} }}\n"
        ),
    );
    let t = house.term(&["--layout", "all"], 100, 30);
    t.wait_prompt();
    t.shell("clear; for i in $(seq 100); do echo line $i; done; printf 'the-hay%s\\n' stack; seq 100");
    t.leader("/");
    t.wait_text("search everything");
    t.wait_mode("INPUT");
    t.send("the-haystack");
    t.wait_text("scrollback: ");
    t.wait_text("log: ");
    t.wait_text("history: .bash_history");
    // The scrollback: copy mode, at the line.
    t.send("\r");
    t.wait_gone("search everything");
    t.wait_mode("COPY");
    t.wait_text("line 100");
    t.wait("the cursor is at the line", |s| {
        let (row, _) = s.cursor_position();
        s.rows(0, 90)
            .nth(usize::from(row))
            .is_some_and(|l| l.contains("the-haystack"))
    });
    t.send("q");
    t.wait_mode("RAW");
    // The log: its tab, its line.
    t.leader("/");
    t.wait_text("search everything");
    t.send("haystack burns");
    t.wait_text("1 in 1 of");
    t.send("\r");
    t.wait_gone("search everything");
    t.wait_text("  line 2");
    // The history: before the prompt, and not run.
    t.leader("/");
    t.wait_text("search everything");
    t.send("make the-hay");
    t.wait_text("1 in 1 of");
    t.send("\r");
    t.wait_mode("RAW");
    t.wait_text("$ make the-haystack");
    t.send("\x15");
    // It leaves by Esc, and nothing is left of it.
    t.leader("/");
    t.wait_text("search everything");
    t.send("\x1b");
    t.wait_gone("search everything");
    t.wait_mode("RAW");
}

#[test]
fn a_new_session_has_a_search_of_its_directory_and_it_is_usable_at_any_size() {
    let house = House::new();
    std::fs::remove_file(house.path().join("config/quarterdeck/layouts/default.kdl")).expect("it is there");
    house.file("here.txt", "the one needle\n");
    let t = house.term(&[], 80, 24);
    t.wait_prompt();
    t.leader("3");
    t.wait_text("what to search for");
    t.send("one needle");
    t.wait_text("here.txt  1");
    for (cols, rows) in [(40, 10), (20, 5), (3, 3), (1, 1), (200, 60), (80, 24)] {
        t.resize(cols, rows);
        until("the session has the size", || {
            let list = house.list("list-panes");
            (!list.is_empty()).then_some(())
        });
    }
    t.wait_text("here.txt  1");
    t.leader("1");
    t.wait_prompt();
}
