//! Golden screens: what a person sees, kept as text. The shells' prompt is fixed, and nothing on these screens tells the
//! time or the place.

use crate::{
    harness::{House, until},
    term::{Outer, Term},
};

const SNAPSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/snapshots");

/// Waits until the screen is the golden one; when it never is, the difference is shown.
pub(crate) fn golden(name: &str, t: &Term) {
    let path = format!("{SNAPSHOTS}/{name}.snap");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let want = kept.splitn(3, "---\n").nth(2).unwrap_or_default().trim_end().to_owned();
    let show = |s: &vt100::Screen| {
        let (_, cols) = s.size();
        let rows: Vec<String> = s.rows(0, cols).map(|r| r.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    };
    if want.is_empty() {
        // There is none yet: whoever makes one looks at it.
        t.settle();
    } else {
        let _ = t.look_for(|s| show(s) == want);
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(SNAPSHOTS);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, t.screen(show)));
}

fn two_panes(house: &House, args: &[&str], cols: u16, rows: u16) -> Term {
    split(house, house.term(args, cols, rows))
}

fn split(house: &House, t: Term) -> Term {
    t.wait_prompt();
    t.line("clear; echo ahoy");
    t.wait("a cleared screen", |s| {
        s.contents().contains("ahoy") && !s.contents().contains("clear")
    });
    t.leader("nr");
    house.wait_panes("two panes", |l| l.len() == 2);
    t.wait("both prompts", |s| {
        s.contents().matches("$ ").count() == 2 && !s.contents().contains("clear")
    });
    t
}

#[test]
fn two_panes_on_80x24() {
    let house = House::new();
    let t = two_panes(&house, &[], 80, 24);
    golden("two-panes", &t);
    t.leader("");
    t.wait_mode("LEADER");
    golden("leader", &t);
    t.send("w");
    golden("window-menu", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    t.leader("[");
    golden("copy", &t);
    t.send("q");
    t.leader("r");
    golden("resize", &t);
    t.send("\x1b");
    house.ok(&["run", "--direction", "down", "--", "sh", "-c", "echo broken; exit 3"]);
    t.wait_text("exit 3");
    golden("held", &t);
    assert!(t.screen(|s| s.hide_cursor()), "a dead pane has no cursor");
}

#[test]
fn overlays_on_80x24() {
    let house = House::new();
    let t = two_panes(&house, &[], 80, 24);
    t.leader("p");
    golden("palette", &t);
    t.send("tab");
    golden("palette-narrowed", &t);
    t.send("zzz");
    golden("palette-nothing", &t);
    t.send("\x1b");
    t.wait_text("99/99");
    t.send("\x1b");
    t.wait_mode("RAW");
    t.leader("?");
    golden("help", &t);
    t.send("q");
    t.wait_mode("RAW");
    t.leader(":");
    t.send("new-p");
    golden("command-line", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    t.leader("np");
    golden("kinds", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    t.leader("T");
    golden("themes", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    t.leader("b");
    golden("panes", &t);
}

#[test]
fn the_palette_has_a_preview_beside_it_where_there_is_room() {
    let house = House::new();
    let t = two_panes(&house, &[], 140, 30);
    t.leader("b");
    golden("panes-wide", &t);
}

#[test]
fn without_colour_no_colour_is_sent() {
    let house = House::new().env("NO_COLOR", "1");
    let t = two_panes(&house, &[], 80, 24);
    t.leader("p");
    golden("no-colour-palette", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    golden("no-colour", &t);
    let wire = String::from_utf8_lossy(&t.wire(0)).into_owned();
    for sgr in wire.split("\x1b[").filter_map(|s| s.split_once('m')).map(|(p, _)| p) {
        let numbers = sgr.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':');
        let colour = sgr
            .split([';', ':'])
            .any(|n| matches!(n.parse(), Ok(30..=49 | 58 | 90..=107)));
        assert!(!(numbers && colour), "a colour was sent: {sgr}");
    }
    // The focus is still to be seen, and the mode.
    let weight = |x| {
        t.screen(|s| {
            s.cell(1, x)
                .map(|c| (c.bold(), c.inverse(), c.dim(), c.contents().to_owned()))
        })
    };
    assert_ne!(
        weight(1),
        weight(41),
        "the frame of the focused pane looks like the other's"
    );
}

#[test]
fn ascii_is_all_that_is_sent_when_asked() {
    let house = House::new();
    let t = two_panes(&house, &["--ascii"], 80, 24);
    golden("ascii", &t);
    t.leader("");
    golden("ascii-leader", &t);
    t.send("p");
    golden("ascii-palette", &t);
    t.send("\x1b");
    t.wait_mode("RAW");
    for (keys, name) in [("?", "ascii-help"), ("T", "ascii-themes"), (":", "ascii-command-line")] {
        t.leader(keys);
        golden(name, &t);
        t.send("\x1b");
        t.wait_mode("RAW");
    }
    house.ok(&["run", "--direction", "down", "--", "sh", "-c", "exit 3"]);
    golden("ascii-held", &t);
    t.leader("h");
    t.line("seq 100; echo; echo end$((1+1))");
    t.wait_text("end2");
    t.leader("[");
    t.send("g");
    golden("ascii-scrolled", &t);
    t.send("q");
    // The title goes to the terminal, which may speak more than its lines can draw.
    let wire = t.wire(0);
    let text = String::from_utf8_lossy(&wire).into_owned();
    let drawn: String = text
        .split("\x1b]")
        .enumerate()
        .map(|(i, part)| {
            if i == 0 {
                part
            } else {
                part.split_once("\x1b\\").map_or("", |(_, rest)| rest)
            }
        })
        .collect();
    let strange: Vec<char> = drawn.chars().filter(|c| !c.is_ascii()).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn small_screens_break_nothing() {
    let house = House::new();
    // Many keys without a look between them: Esc must not be taken for the beginning of something.
    const ESC: &str = "\x1b[27u";
    let kitty = Outer {
        kitty: true,
        ..Outer::default()
    };
    let t = split(&house, Term::open(&house, &[], 40, 10, kitty));
    t.wait_wire(0, b"\x1b[>5u");
    golden("small-40x10", &t);
    t.leader("p");
    golden("small-40x10-palette", &t);
    t.send(ESC);
    t.wait_mode("RAW");
    t.resize(20, 5);
    golden("small-20x5", &t);
    t.leader("p");
    golden("small-20x5-palette", &t);
    t.send(ESC);
    for (c, r) in [(10, 3), (5, 2), (2, 2), (1, 1), (200, 1), (1, 50), (3, 4)] {
        t.resize(c, r);
        until("the clients' size", || {
            let l = house.list("list-clients");
            (l[0]["columns"] == c && l[0]["rows"] == r).then_some(())
        });
        for keys in ["p", "?", "b", "r"] {
            t.leader(keys);
            t.send(ESC);
        }
    }
    t.resize(80, 24);
    t.wait_mode("RAW");
    t.line("echo sane$((1+1))");
    t.wait_text("sane2");
    golden("grown-again", &t);
}
