//! `qd logs` without a screen: pipelines that run, are loaded again and end; what is said of configurations; queries.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{House, installed, qd, until};

/// A `qd` that runs beside the test; it is killed when the test is over.
struct Beside {
    child: Child,
    log: std::path::PathBuf,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Beside {
    fn start(house: &House, name: &str, args: &[&str]) -> Beside {
        let log = house.path().join(format!("{name}.log"));
        let said = fs::File::create(&log).expect("a file");
        let child = command(house, args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .expect("the binary");
        Beside { child, log }
    }

    /// A pipeline that has started.
    fn pipeline(house: &House, name: &str, more: &[&str]) -> Beside {
        let run = Beside::start(house, name, &[&["logs", "run", "--name", name], more].concat());
        run.wait_said("the pipeline has started");
        run
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_said(&self, text: &str) {
        until(&format!("{text:?} in {}", self.log.display()), || {
            self.said().contains(text).then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it lives");
    }

    /// Ends it by SIGTERM; its exit status.
    fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        until("the end", || self.child.try_wait().expect("a child")).code()
    }
}

fn command(house: &House, args: &[&str]) -> Command {
    let mut c = Command::new(qd());
    c.args(args).env_clear().envs(house.vars()).current_dir(house.path());
    c
}

/// Runs it with this on its standard input.
fn feed(house: &House, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(house, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut to = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || to.write_all(&input));
    let out = child.wait_with_output().expect("its end");
    let _closed_early = writer.join();
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(house: &House, name: &str) -> Vec<String> {
    let all = fs::read_to_string(house.path().join(name)).unwrap_or_default();
    all.lines().map(str::to_owned).collect()
}

fn append(house: &House, name: &str, text: &str) {
    let path = house.path().join(name);
    let mut f = fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .expect("a file");
    f.write_all(text.as_bytes()).expect("room");
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|i| format!("line {i:06}\n")).collect()
}

/// A pipeline from `in.log` to these files; the state is in the house.
fn to_files(house: &House, outs: &[&str]) -> String {
    let at = house.path().display();
    fs::create_dir_all(house.path().join("data")).expect("a directory");
    let sinks: String = outs
        .iter()
        .map(|o| format!("  {o}: {{type: file, inputs: [in], path: {at}/{o}.txt, encoding: {{codec: text}}}}\n"))
        .collect();
    format!(
        "data_dir: {at}/data\nsources:\n  in: {{type: file, include: [{at}/in.log], glob_minimum_cooldown_ms: 50}}\nsinks:\n{sinks}"
    )
}

#[test]
fn a_pipeline_is_loaded_again_and_the_old_one_stays_where_the_new_one_is_wrong() {
    for watch in [false, true] {
        let house = House::new();
        let config = house.file("v.yaml", &to_files(&house, &["one"]));
        let config = config.to_str().expect("a path");
        append(&house, "in.log", &numbered(0, 100));
        let more: &[&str] = if watch { &["-w", "-c", config] } else { &["-c", config] };
        let mut run = Beside::pipeline(&house, "again", more);
        until("the first lines", || {
            (lines(&house, "one.txt").len() == 100).then_some(())
        });
        let load = |run: &Beside, text: &str| {
            house.file("v.yaml", text);
            if !watch {
                run.signal(Signal::HUP);
            }
        };
        load(&run, &to_files(&house, &["one", "two"]));
        run.wait_said("1 added, 0 removed, 0 changed, 2 kept");
        append(&house, "in.log", &numbered(100, 200));
        until("both", || {
            (lines(&house, "two.txt").len() == 100 && lines(&house, "one.txt").len() == 200).then_some(())
        });
        // A mistake is said with its place, and nothing changes.
        load(&run, &to_files(&house, &["one", "two"]).replace("include:", "inclued:"));
        run.wait_said("the old one goes on");
        run.wait_said("v.yaml:3:");
        run.wait_said("did you mean `include`?");
        append(&house, "in.log", &numbered(200, 300));
        until("both again", || {
            (lines(&house, "two.txt").len() == 200 && lines(&house, "one.txt").len() == 300).then_some(())
        });
        load(&run, &to_files(&house, &["two"]));
        run.wait_said("0 added, 1 removed");
        append(&house, "in.log", &numbered(300, 400));
        until("the one that is left", || {
            (lines(&house, "two.txt").len() == 300).then_some(())
        });
        assert_eq!(run.stop(), Some(0), "{}", run.said());
        assert_eq!(lines(&house, "one.txt"), numbered(0, 300).lines().collect::<Vec<_>>());
        assert_eq!(lines(&house, "two.txt"), numbered(100, 400).lines().collect::<Vec<_>>());
    }
}

#[test]
fn sigterm_writes_what_was_read_and_the_next_run_goes_on_there() {
    const ALL: usize = 400_000;
    let house = House::new();
    let config = house.file("v.yaml", &to_files(&house, &["out"]));
    let config = config.to_str().expect("a path");
    append(&house, "in.log", &numbered(0, ALL));
    let mut seen = 0;
    for _ in 0..3 {
        let mut run = Beside::pipeline(&house, "stop", &["-c", config]);
        until("more of it", || {
            let len = fs::metadata(house.path().join("out.txt")).map_or(0, |m| m.len());
            (len > seen || len == ALL as u64 * 12).then_some(())
        });
        assert_eq!(run.stop(), Some(0), "{}", run.said());
        seen = fs::metadata(house.path().join("out.txt")).expect("a file").len();
    }
    let mut run = Beside::pipeline(&house, "stop", &["-c", config]);
    until("all of it", || {
        (fs::metadata(house.path().join("out.txt")).map_or(0, |m| m.len()) >= ALL as u64 * 12).then_some(())
    });
    assert_eq!(run.stop(), Some(0));
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(&house, "out.txt") {
        *count.entry(line).or_default() += 1;
    }
    assert_eq!(count.len(), ALL);
    assert!(
        count.values().all(|n| *n == 1),
        "after an orderly end nothing comes twice"
    );
}

#[test]
fn standard_input_is_a_source_and_its_end_is_the_pipelines() {
    let house = House::new();
    let config = house.file(
        "v.toml",
        "data_dir = \".\"\n[sources.in]\ntype = \"stdin\"\n[sinks.out]\ntype = \"console\"\ninputs = [\"in\"]\nencoding.codec = \"text\"\n",
    );
    let out = feed(
        &house,
        &["logs", "run", "-q", "-c", config.to_str().expect("a path")],
        numbered(0, 5000).as_bytes(),
    );
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), numbered(0, 5000));
}

#[test]
fn mistakes_in_a_configuration_have_a_place_and_a_proposal() {
    let house = House::new();
    let check = |name: &str, body: &str, more: &[&str]| {
        let file = house.file(name, body);
        house.run(&[&["logs", "validate"], more, &["-c", file.to_str().expect("a path")]].concat())
    };
    let good = to_files(&house, &["out"]);
    let out = check("good.yaml", &good, &[]);
    assert!(
        out.status.success() && text(&out.stdout) == "Validated\n",
        "{}",
        text(&out.stderr)
    );
    for (name, body, place, proposal) in [
        ("key.yaml", good.replace("include:", "inclued:"), "key.yaml:3:20", "did you mean `include`?"),
        ("type.yaml", good.replace("type: file, inputs", "type: fiel, inputs"), "type.yaml:5:15", "did you mean `file`?"),
        ("value.yaml", good.replace("codec: text", "codec: txt"), "value.yaml:5:", "did you mean `text`?"),
        ("input.yaml", good.replace("inputs: [in]", "inputs: [im]"), "input.yaml:5:", "`im`"),
        ("syntax.yaml", good.replace("sinks:", "sinks: ]"), "syntax.yaml:4:", ""),
        ("kind.json", "{\n \"sources\": {\n  \"in\": {\"type\": \"file\", \"include\": 3}\n }\n}".to_owned(), "kind.json:3:37", "(sources.in.include)"),
        (
            "remap.toml",
            "[sources.in]\ntype = \"stdin\"\n[transforms.t]\ntype = \"remap\"\ninputs = [\"in\"]\nsource = \".a = parse_jsn(.b)\"\n[sinks.o]\ntype = \"blackhole\"\ninputs = [\"t\"]\n".to_owned(),
            "",
            "parse_json",
        ),
    ] {
        let out = check(name, &body, &[]);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(place) && said.contains(proposal), "{name}: {said}");
        assert!(out.stdout.is_empty() && !said.contains("panicked"), "{name}: {said}");
    }
    let out = house.run(&["logs", "validate", "-c", "/nowhere.yaml"]);
    assert!(out.status.code() == Some(2) && text(&out.stderr).contains("/nowhere.yaml"));
    assert_eq!(house.run(&["logs", "validate", "--nonsense"]).status.code(), Some(2));
    // A warning is no mistake unless it is denied.
    let unused = good.clone()
        + "\n"
        + "  other: {type: blackhole, inputs: [in]}\n"
        + "transforms: {t: {type: filter, inputs: [in], condition: 'true'}}\n";
    let out = check("unused.yaml", &unused, &[]);
    assert!(
        out.status.success() && text(&out.stderr).contains("warning: nothing reads"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(
        check("unused.yaml", &unused, &["--deny-warnings"]).status.code(),
        Some(1)
    );
    // What needs the machine is tried, unless it is not to be.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("an address");
    let busy = format!(
        "data_dir: {}/data\nsources: {{in: {{type: syslog, mode: tcp, address: \"{at}\"}}}}\nsinks: {{o: {{type: blackhole, inputs: [in]}}}}\n",
        house.path().display()
    );
    let out = check("busy.yaml", &busy, &[]);
    assert!(
        out.status.code() == Some(1) && text(&out.stderr).contains(&at.to_string()),
        "{}",
        text(&out.stderr)
    );
    assert!(check("busy.yaml", &busy, &["--no-environment"]).status.success());
}

#[test]
fn secrets_are_not_shown() {
    const SECRET: &str = "hunter2hunter2";
    let house = House::new().env("THE_TOKEN", SECRET);
    fs::create_dir_all(house.path().join("data")).expect("a directory");
    let head = format!(
        "data_dir: {}/data\nsources: {{in: {{type: demo_logs, format: json, interval: 0.01}}}}\n",
        house.path().display()
    );
    let mut all = Vec::new();
    for (name, sink) in [
        (
            "key.yaml",
            "{type: http, inputs: [in], uri: 'http://127.0.0.1:1', encoding: {codec: json}, auth: {strategy: basic, user: me, pasword: hunter2hunter2}}",
        ),
        (
            "near.yaml",
            "{type: http, inputs: [in], uri: 'http://me:hunter2hunter2@127.0.0.1:1', encoding: {codec: jsn}}",
        ),
        (
            "both.yaml",
            "{type: http, inputs: [in], uri: 'http://me:hunter2hunter2@127.0.0.1:1', encoding: {codec: json}, auth: {strategy: bearer, token: hunter2hunter2}}",
        ),
        (
            "env.yaml",
            "{type: http, inputs: [in], uri: 'http://127.0.0.1:1', encoding: {codec: json}, auth: {strategy: bearer, tokn: '${THE_TOKEN}'}}",
        ),
    ] {
        let file = house.file(name, &format!("{head}sinks: {{out: {sink}}}\n"));
        let out = house.run(&[
            "logs",
            "validate",
            "--dangerously-allow-env-var-interpolation",
            "-c",
            file.to_str().expect("a path"),
        ]);
        assert_eq!(out.status.code(), Some(1), "{name}");
        all.push((name, text(&out.stdout) + &text(&out.stderr)));
    }
    // Nor by one that runs, says all it can, and reaches nobody.
    let sinks = "sinks:\n  h: {type: http, inputs: [in], uri: 'http://127.0.0.1:1/?api_key=hunter2hunter2', encoding: {codec: json}, auth: {strategy: bearer, token: hunter2hunter2}, request: {headers: {X-Key: hunter2hunter2}}}\n  l: {type: loki, inputs: [in], endpoint: 'http://127.0.0.1:1', labels: {a: b}, encoding: {codec: json}, auth: {strategy: basic, user: u, password: hunter2hunter2}}\n";
    let file = house.file("run.yaml", &format!("{head}{sinks}"));
    let file = file.to_str().expect("a path");
    let mut run = Beside::pipeline(
        &house,
        "secret",
        &["-v", "-v", "--graceful-shutdown-limit-secs", "1", "-c", file],
    );
    run.wait_said("ERROR h:");
    run.wait_said("ERROR l:");
    all.push(("top", house.ok(&["logs", "top", "--once", "--json"])));
    all.push(("graph", house.ok(&["logs", "graph", "-c", file])));
    run.stop();
    all.push(("run", run.said()));
    for (name, said) in all {
        assert!(!said.contains(SECRET), "{name}: {said}");
        assert!(!said.is_empty(), "{name}");
    }
}

#[test]
fn unit_tests_of_a_configuration() {
    let house = House::new();
    let config = |wanted: &str| {
        format!(
            "sources: {{in: {{type: stdin}}}}\ntransforms:\n  t: {{type: remap, inputs: [in], source: '.n = to_int!(.message) + 1'}}\nsinks: {{o: {{type: blackhole, inputs: [t]}}}}\ntests:\n  - name: it counts\n    inputs: [{{insert_at: t, type: log, log_fields: {{message: \"41\"}}}}]\n    outputs: [{{extract_from: t, conditions: [{{type: vrl, source: '{wanted}'}}]}}]\n"
        )
    };
    let good = house.file("good.yaml", &config(".n == 42"));
    let out = house.run(&["logs", "test", good.to_str().expect("a path")]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), "Running tests\ntest it counts ... passed\n");
    let bad = house.file("bad.yaml", &config(".n == 43"));
    let out = house.run(&["logs", "test", bad.to_str().expect("a path")]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stdout).contains("test it counts ... failed"),
        "{}",
        text(&out.stdout)
    );
    assert!(
        text(&out.stdout).contains("42"),
        "the event is shown: {}",
        text(&out.stdout)
    );
    assert!(text(&out.stderr).contains("1 of 1 tests failed"));
}

#[test]
fn a_running_pipeline_is_looked_into() {
    let house = House::new();
    let said = house.fails(&["logs", "top", "--once"], 1);
    assert!(said.contains("no pipeline runs"), "{said}");
    let file = house.file(
        "v.yaml",
        &format!(
            "data_dir: {}\nsources: {{in: {{type: demo_logs, format: json, interval: 0.005}}}}\ntransforms: {{keep: {{type: remap, inputs: [in], source: '. = {{\"kept\": true}}'}}}}\nsinks: {{out: {{type: blackhole, inputs: [keep]}}}}\n",
            house.path().display()
        ),
    );
    let file = file.to_str().expect("a path");
    let mut one = Beside::pipeline(&house, "one", &["-c", file]);
    let counts = || -> BTreeMap<String, u64> {
        let v: serde_json::Value =
            serde_json::from_str(&house.ok(&["logs", "top", "--once", "--json", "--name", "one"])).expect("JSON");
        let all = v["components"].as_array().expect("components").iter();
        all.map(|c| {
            (
                c["id"].as_str().unwrap_or_default().to_owned(),
                c["events_in"].as_u64().unwrap_or(0),
            )
        })
        .collect()
    };
    until("events", || {
        (counts().get("out").is_some_and(|n| *n > 10)).then_some(())
    });
    assert_eq!(counts().keys().collect::<Vec<_>>(), ["in", "keep", "out"]);
    let table = house.ok(&["logs", "top", "--once"]);
    assert!(
        table.starts_with("id ") && table.lines().count() == 4 && !table.contains('\x1b'),
        "{table}"
    );
    for (args, key, value) in [
        (&["logs", "tap", "keep"][..], "kept", "true"),
        (
            &["logs", "tap", "--inputs-of", "out", "--meta"][..],
            "output",
            "\"keep\"",
        ),
    ] {
        let mut tap = Beside::start(&house, "tap", args);
        let mut first = String::new();
        BufReader::new(tap.child.stdout.take().expect("a pipe"))
            .read_line(&mut first)
            .expect("a line");
        let v: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        assert_eq!(v[key].to_string(), value, "{first}");
    }
    assert_eq!(house.run(&["logs", "tap", "--name", "nobody"]).status.code(), Some(1));
    // A name is one pipeline's.
    let out = house.run(&["logs", "run", "--name", "one", "-c", file]);
    assert!(
        !out.status.success() && text(&out.stderr).contains("runs already"),
        "{}",
        text(&out.stderr)
    );
    let _two = Beside::pipeline(&house, "two", &["-c", file]);
    let said = house.fails(&["logs", "top", "--once"], 2);
    assert!(said.contains("one") && said.contains("two"), "{said}");
    assert_eq!(one.stop(), Some(0));
    assert!(house.run(&["logs", "top", "--once"]).status.success());
}

#[test]
fn graphs_are_drawn() {
    let house = House::new();
    let file = house.file("v.yaml", &to_files(&house, &["out"]));
    let file = file.to_str().expect("a path");
    let dot = house.ok(&["logs", "graph", "-c", file]);
    assert!(dot.starts_with("digraph") && dot.contains("\"in\" -> \"out\""), "{dot}");
    let mermaid = house.ok(&["logs", "graph", "-f", "mermaid", "-c", file]);
    assert!(mermaid.contains("flowchart") && mermaid.contains("-->"), "{mermaid}");
    assert!(
        house
            .fails(&["logs", "graph", "-c", "/nowhere.yaml"], 2)
            .contains("/nowhere.yaml")
    );
}

fn entries(count: usize) -> String {
    (0..count)
        .map(|i| {
            let level = if i % 10 == 0 { "error" } else { "info" };
            format!(
                "{{\"timestamp\":\"2026-05-01T08:{:02}:{:02}Z\",\"level\":\"{level}\",\"n\":{i}}}\n",
                i / 60 % 60,
                i % 60
            )
        })
        .collect()
}

#[test]
fn files_are_queried() {
    let house = House::new().env("TZ", "UTC");
    house.file("a.log", &entries(300));
    let all = entries(300);
    let zipped = {
        let mut gz = Command::new("gzip")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("gzip");
        gz.stdin
            .take()
            .expect("a pipe")
            .write_all(all.as_bytes())
            .expect("gzip reads");
        gz.wait_with_output().expect("gzip").stdout
    };
    fs::write(house.path().join("b.log.gz"), zipped).expect("room");
    for path in ["a.log", "b.log.gz"] {
        assert_eq!(
            house.ok(&["logs", "query", path, "-f", "level:error"]).lines().count(),
            30,
            "{path}"
        );
        assert!(house.ok(&["logs", "query", path, "--count"]).contains("300"), "{path}");
        let by = house.ok(&["logs", "query", path, "--by", "level", "-o", "json"]);
        let by: Vec<serde_json::Value> = by.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(
            (by[0]["level"].as_str(), by[0]["count"].as_u64()),
            (Some("info"), Some(270)),
            "{by:?}"
        );
        let sql = house.ok(&[
            "logs",
            "query",
            path,
            "-o",
            "csv",
            "--sql",
            "select level, max(n) as m from log group by 1 order by 1",
        ]);
        assert_eq!(sql, "level,m\r\nerror,290\r\ninfo,299\r\n", "{path}");
        assert_eq!(house.ok(&["logs", "query", path, "-n", "3"]), entries(3), "{path}");
    }
    let out = feed(&house, &["logs", "query", "-", "-F", "level:info"], all.as_bytes());
    assert_eq!(text(&out.stdout).lines().count(), 30, "{}", text(&out.stderr));
    for (args, word) in [
        (&["logs", "query", "nothing.log"][..], "nothing.log"),
        (&["logs", "query", "a.log", "-f", "level:("][..], ""),
        (
            &["logs", "query", "a.log", "--sql", "selct 1"][..],
            "only statements that read are run",
        ),
        (&["logs", "query", "a.log", "--sql", "delete from log"][..], ""),
    ] {
        let out = house.run(args);
        assert!(!out.status.success() && !out.stderr.is_empty(), "{args:?}");
        assert!(text(&out.stderr).contains(word), "{args:?}: {}", text(&out.stderr));
    }
    // A pipe that closes early is no failure.
    let out = Command::new("sh")
        .args(["-c", "\"$0\" logs query a.log | head -n 1"])
        .arg(qd())
        .env_clear()
        .envs(house.vars())
        .current_dir(house.path())
        .output()
        .expect("a shell");
    assert_eq!(text(&out.stdout), entries(1));
    assert!(!text(&out.stderr).contains("panic"), "{}", text(&out.stderr));
}

#[test]
fn vrl_is_tried() {
    let house = House::new();
    assert_eq!(house.ok(&["logs", "vrl", ".a = 1; .b = .a + 1; .b"]), "2\n");
    let object: serde_json::Value =
        serde_json::from_str(&house.ok(&["logs", "vrl", "-o", ".a = to_int!(\"7\")"])).expect("JSON");
    assert_eq!(object, serde_json::json!({"a": 7}));
    house.file("in.jsonl", "{\"n\": 1}\n\n{\"n\": 2}\n");
    house.file("p.vrl", ".n = int!(.n) * 10\n");
    assert_eq!(house.ok(&["logs", "vrl", "-f", "p.vrl", "-i", "in.jsonl"]), "10\n20\n");
    let out = feed(&house, &["logs", "vrl"], b".x = 5\n.x + 1\nnonsense(\nexit\n.y\n");
    let said = text(&out.stdout);
    assert!(
        said.starts_with("5\n6\n") && said.to_lowercase().contains("error"),
        "{said}"
    );
    house.file("bad.jsonl", "{\"n\": 1}\n{\n");
    assert!(
        house
            .fails(&["logs", "vrl", ".n", "-i", "bad.jsonl"], 1)
            .contains("bad.jsonl:2")
    );
}

#[test]
fn logs_are_viewed_from_archives_and_pipes() {
    if !installed("gzip") {
        return;
    }
    let house = House::new().env("TZ", "UTC");
    house.file("a.log", &entries(50));
    assert!(
        Command::new("gzip")
            .arg(house.path().join("a.log"))
            .status()
            .expect("gzip")
            .success()
    );
    let t = house.term(&["logs", "view", "a.log.gz"], 100, 24);
    t.wait_text("a.log.gz  line 50");
    drop(t);
    let t = house.term(&["-s", "piped"], 160, 24);
    t.wait_text("$");
    t.send(format!(
        "for i in 1 2 3; do echo piped line $i; until [ -e {}/seen$i ]; do sleep 0.02; done; done | {} logs view -\r",
        house.path().display(),
        qd()
    ));
    // The lines are read for as long as they come, not until the pane is open.
    for i in 1..=3 {
        t.wait_text(&format!("piped line {i}"));
        house.file(&format!("seen{i}"), "");
    }
    until("the pane", || {
        house
            .act("-s piped list-panes --json")
            .contains("\"logs\"")
            .then_some(())
    });
    let said = house.fails(&["logs", "view", "nothing.log"], 1);
    assert!(said.contains("nothing.log"), "{said}");
}
