//! The pipeline pane: a configuration of Vector's runs inside the session, and its events, numbers and faults are seen.

use std::{io::Write, path::PathBuf};

use crate::{
    harness::{House, until},
    term::Term,
};

const CONFIG: &str = r#"data_dir: "@/data"
sources:
  in: {type: file, include: ["@/in.log"], read_from: beginning}
transforms:
  parse:
    type: remap
    inputs: [in]
    drop_on_error: true
    source: |
      . = parse_json!(.message)
  split:
    type: route
    inputs: [parse]
    route: {bad: (to_int(.status) ?? 0) >= 500}
sinks:
  out: {type: file, inputs: [parse], path: "@/out.json", encoding: {codec: json}}
  bad: {type: blackhole, inputs: [split.bad]}
"#;

fn config(house: &House, text: &str) -> PathBuf {
    house.file("p.yaml", &text.replace('@', &house.path().display().to_string()))
}

fn open(house: &House, text: &str, cols: u16, rows: u16) -> Term {
    let path = config(house, text);
    house.file("in.log", "");
    let layout = format!(
        "layout {{ tab {{ pane kind=\"pipeline\" {{ config {:?} }} }} }}\n",
        path.display().to_string()
    );
    house.file("config/quarterdeck/layouts/p.kdl", &layout);
    house.term(&["--layout", "p"], cols, rows)
}

fn append(house: &House, text: &[u8]) {
    let mut file = std::fs::File::options()
        .append(true)
        .open(house.path().join("in.log"))
        .expect("the log is there");
    file.write_all(text).expect("it takes more");
}

fn written(house: &House) -> String {
    std::fs::read_to_string(house.path().join("out.json")).unwrap_or_default()
}

#[test]
fn events_are_counted_seen_and_filtered_and_nothing_in_them_is_obeyed() {
    let house = House::new();
    let t = open(&house, CONFIG, 110, 30);
    t.wait_text("blackhole");
    t.send("j");
    t.wait_text("events out of parse");
    append(
        &house,
        b"{\"message\":\"one\",\"status\":200}\n{\"message\":\"two\",\"status\":502}\nno json\n",
    );
    t.wait_text("one");
    t.wait_text("status=502");
    until("it is written", || (written(&house).lines().count() == 2).then_some(()));
    // The row of the transform: what came, and what was lost by an error.
    t.send("d");
    t.wait_text("3 events");
    t.wait_text("1 by errors");
    t.send("d");
    t.wait_text("two");
    t.send("/status:>=500");
    t.wait_gone("one status=200");
    t.wait_text("1 of 2");
    t.send(" (");
    t.wait_text("is never closed");
    t.send("\x1b");
    t.wait_gone("is never closed");
    t.send("\\");
    t.wait_text("one");
    let n = t.bytes();
    append(
        &house,
        b"{\"message\":\"evil \\u001b]0;owned\\u0007 \\u009b31m end\",\"status\":200}\n",
    );
    t.wait_text("end");
    let wire = t.wire(n);
    let wire = String::from_utf8_lossy(&wire);
    assert!(!wire.contains("\u{1b}]0;owned") && !wire.contains('\u{9b}'), "{wire:?}");
    t.send("x");
    t.wait_text("bad: bad");
    // The edge that carries only what is bad.
    t.send("jjj");
    t.wait_text("events out of split.bad");
    append(
        &house,
        b"{\"message\":\"fine\",\"status\":200}\n{\"message\":\"broken\",\"status\":503}\n",
    );
    t.wait_text("broken");
    assert!(!t.text().contains("fine status"), "{}", t.text());
    t.send("l");
    t.wait_text("what components said");
    t.wait_text("nothing reads the transform");
}

#[test]
fn a_changed_configuration_is_taken_over_and_a_broken_one_is_not() {
    let house = House::new();
    let t = open(&house, CONFIG, 100, 30);
    t.wait_text("blackhole");
    append(&house, b"{\"message\":\"before\",\"status\":200}\n");
    until("it is written", || written(&house).contains("before").then_some(()));
    config(&house, &CONFIG.replace("type: blackhole", "type: blackwhole"));
    t.wait_text("not taken over");
    append(&house, b"{\"message\":\"meanwhile\",\"status\":200}\n");
    until("the old one runs", || {
        written(&house).contains("meanwhile").then_some(())
    });
    config(
        &house,
        &CONFIG
            .replace(">= 500", ">= 400")
            .replace("  bad: {type", "  worse: {type"),
    );
    t.wait_text("worse");
    t.wait_gone("not taken over");
    t.send("r");
    t.wait_text("reloaded: 0 added");
    append(&house, b"{\"message\":\"after\",\"status\":200}\n");
    until("it goes on", || written(&house).contains("after").then_some(()));
    let lines = written(&house);
    for word in ["before", "meanwhile", "after"] {
        assert_eq!(lines.matches(word).count(), 1, "{lines}");
    }
}

#[test]
fn what_keeps_a_pipeline_from_running_is_said_with_its_place() {
    let house = House::new();
    let t = open(&house, &CONFIG.replace("include:", "inclood:"), 100, 24);
    t.wait_text("does not run");
    t.wait_text("inclood");
    t.wait_text("p.yaml:3");
    config(&house, CONFIG);
    t.send("r");
    t.wait_text("blackhole");
    t.wait_gone("does not run");
}

#[test]
fn every_size_shows_something() {
    let house = House::new();
    let t = open(&house, CONFIG, 100, 30);
    t.wait_text("blackhole");
    for (w, h) in [(20, 5), (1, 1), (2, 30), (200, 2), (37, 9), (60, 12), (300, 80)] {
        t.resize(w, h);
        for keys in ["x", "d", "l", "?", "\x1b", "/", "\x1b", "x"] {
            t.send(keys);
        }
        house.wait_panes("it lives", |l| l.len() == 1);
    }
    t.resize(80, 24);
    t.wait_text("component");
    t.wait_text("blackhole");
    assert!(house.log("main").matches("panic").count() == 0, "{}", house.log("main"));
}

#[test]
fn the_default_layout_judges_the_machines_logs() {
    let house = House::new();
    let real = include_str!("../../assets/layouts/default.kdl");
    house.file("config/quarterdeck/layouts/real.kdl", real);
    let t = house.term(&["--layout", "real"], 110, 36);
    t.wait_prompt();
    t.send("\0");
    t.send("2");
    t.wait_text("pipeline");
    t.wait_text("internal_logs");
    t.wait_text("problems");
}

#[test]
fn a_log_pane_shows_what_a_pipeline_sends_to_panes() {
    let house = House::new();
    let config = "data_dir: \"@/data\"\nsources:\n  in: {type: file, include: [\"@/in.log\"], read_from: beginning}\n\
                  sinks:\n  found: {type: pane, inputs: [in]}\n";
    let path = config.replace('@', &house.path().display().to_string());
    let path = house.file("p.yaml", &path);
    house.file("in.log", "");
    let layout = format!(
        "layout {{\n tab {{ pane kind=\"pipeline\" {{ config {path:?} }} }}\n \
         tab focus=#true {{ pane kind=\"logs\" {{ path \"pane://found\" }} }}\n}}\n"
    );
    house.file("config/quarterdeck/layouts/p.kdl", &layout);
    let t = house.term(&["--layout", "p"], 100, 20);
    t.wait_text("pane://found");
    append(&house, b"one line\nanother \x1b[2Jline\n");
    t.wait_text("another");
    t.wait_text("2 \u{25cf}follow");
    assert!(t.text().contains("one line"), "{}", t.text());
}
