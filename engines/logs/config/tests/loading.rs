//! Files, directories, variables and secrets become one configuration, or findings with their lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use qd_logs_config::common::WhenFull;
use qd_logs_config::{
    ConfigPath, Format, Interpolation, LoadFailed, LoadOptions, Loaded, SecretBackend, TestInputKind, WildcardMatching,
    load, load_text,
};
use tempfile::TempDir;

fn text(text: &str) -> Result<Loaded, LoadFailed> {
    load_text("v.yaml", text, Format::Yaml, &LoadOptions::default())
}

fn refused(yaml: &str) -> LoadFailed {
    match text(yaml) {
        Ok(_) => panic!("{yaml} was read"),
        Err(failed) => failed,
    }
}

fn with(values: &[(&str, &str)]) -> LoadOptions {
    LoadOptions {
        interpolation: Interpolation::By(values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        ..LoadOptions::default()
    }
}

fn files(all: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in all {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn file(dir: &TempDir, name: &str) -> ConfigPath {
    ConfigPath::File(dir.path().join(name), None)
}

const WHOLE: &str = r#"
data_dir: /data
timezone: Europe/Berlin
wildcard_matching: relaxed
log_schema: {host_key: h}
acknowledgements: true
expire_metrics_secs: 60
expire_metrics_per_metric_set: [{name: {type: exact, value: x}, expire_secs: 1.5}]
healthchecks: {require_healthy: true}
api: {enabled: true, address: "127.0.0.1:9999"}
schema: {log_namespace: true}
proxy: {http: "http://p"}
telemetry: {tags: {emit_service: true}}
sources:
  in: {type: file, include: ["/a"], graph: {node_attributes: {color: red}}, proxy: {enabled: false}}
transforms:
  t: {type: remap, inputs: [in], source: ".", measure_cpu_usage: true}
sinks:
  out:
    type: console
    inputs: [t]
    encoding: {codec: json}
    buffer: {max_events: 7, when_full: drop_newest}
    healthcheck: false
    acknowledgements: {enabled: false}
enrichment_tables:
  csv: {type: file, file: {path: x}}
secret:
  f: {type: file, path: /s}
  e: {type: exec, command: [x], protocol: {version: v1_1, backend_type: b, backend_config: {a: 1}}}
tests:
  - name: one
    inputs:
      - {insert_at: t, type: log, log_fields: {a: 1}}
    outputs:
      - {extract_from: t, conditions: [{type: vrl, source: "true"}]}
    no_outputs_from: []
"#;

#[test]
fn a_whole_configuration() {
    let loaded = text(WHOLE).unwrap_or_else(|e| panic!("{e}"));
    let c = loaded.config;
    assert_eq!(c.globals.data_dir, Path::new("/data"));
    assert_eq!(c.globals.timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(c.globals.wildcard_matching, WildcardMatching::Relaxed);
    assert_eq!(
        (
            c.globals.log_schema.host_key.as_str(),
            c.globals.log_schema.message_key.as_str()
        ),
        ("h", "message")
    );
    assert_eq!(c.globals.expire_metrics_secs, Some(60.0));
    assert_eq!(c.globals.expire_metrics_per_metric_set[0].expire_secs, 1.5);
    assert!(c.globals.healthchecks.enabled && c.globals.healthchecks.require_healthy);
    assert_eq!(c.globals.api.address, Some("127.0.0.1:9999".parse().unwrap()));
    assert_eq!(c.globals.schema.log_namespace, Some(true));
    assert!(c.globals.telemetry.tags.emit_service);
    let source = &c.sources["in"];
    assert_eq!(
        (source.kind.as_str(), source.graph.node_attributes["color"].as_str()),
        ("file", "red")
    );
    assert!(!source.proxy.enabled);
    assert_eq!(source.node.entries().unwrap().len(), 1, "only its own keys stay");
    let transform = &c.transforms["t"];
    assert!(transform.measure_cpu_usage && transform.inputs[0].text == "in");
    let sink = &c.sinks["out"];
    let options = sink.sink.as_ref().unwrap();
    assert_eq!(options.buffer.stages()[0].when_full(), WhenFull::DropNewest);
    assert!(!options.healthcheck.enabled);
    assert!(!c.acknowledges(sink), "its own option is over the global one");
    assert_eq!(sink.node.entries().unwrap().len(), 1);
    assert_eq!(loaded.files.position(sink.key_span.unwrap()).unwrap().line, 19);
    assert_eq!(c.enrichment_tables["csv"].kind, "file");
    assert!(
        matches!(&c.secret["e"], SecretBackend::Exec { timeout, options: Some((b, _)), .. } if *timeout == Duration::from_secs(5) && b == "b")
    );
    let test = &c.tests[0];
    assert_eq!((test.name.as_str(), test.inputs[0].kind), ("one", TestInputKind::Log));
    assert_eq!(test.outputs[0].extract_from.0, ["t"]);
    assert!(test.check().is_empty());
    assert_eq!(c.components().count(), 3);
}

#[test]
fn defaults_of_an_empty_file() {
    let c = text("").unwrap().config;
    assert_eq!(c.globals, qd_logs_config::Globals::default());
    assert_eq!(c.globals.data_dir, Path::new("/var/lib/vector/"));
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let failed = refused(
        "sourcs: {}\ndata_dir: 3\nlatency_ewma_alpha: 1\nsources:\n  a: {include: []}\n  b: 3\ntransforms:\n  t: {type: x, inputs: in}\nsinks:\n  s: {type: x, inputs: [1], buffer: {max_evnts: 3}, healthcheck: x}\ntests:\n  - {name: n, outputz: []}\nschema: {enable: true}\nprovider: {type: http}\nsecret: {v: {type: vault}, a: {type: aws_secrets_manager}}\n",
    );
    let found: Vec<(usize, String)> = failed
        .errors
        .iter()
        .map(|e| {
            let d = failed.files.diagnostic(e);
            (
                d.position.map_or(0, |p| p.line),
                format!(
                    "{}{}",
                    d.message,
                    d.suggestion.map(|s| format!("?{s}")).unwrap_or_default()
                ),
            )
        })
        .collect();
    for (line, part) in [
        (1, "`sourcs`"),
        (1, "?sources"),
        (2, "string"),
        (3, "between 0 and 1"),
        (5, "missing key `type`"),
        (6, "table of options"),
        (8, "list of components"),
        (10, "name of a component"),
        (10, "?max_events"),
        (10, "true, false or a table"),
        (12, "?outputs"),
        (13, "?enabled"),
        (14, "provider `http` is not supported"),
        (15, "unknown secret backend `vault`"),
        (15, "`aws_secrets_manager` is not supported"),
    ] {
        assert!(
            found.iter().any(|(l, m)| *l == line && m.contains(part)),
            "{line} {part}: {found:#?}"
        );
    }
}

#[test]
fn a_rendered_finding_shows_the_line_and_hides_escapes() {
    let failed = refused("sources: {}\nsin\u{e9}s: \"\u{1b}[31m\u{202e}\" # 漢\n");
    let shown = failed.files.render(&failed.errors[0]);
    assert_eq!(
        shown,
        "unknown key `sinés` at the top of a configuration; did you mean `sinks`?\n --> v.yaml:2:1 (sinés)\n  |\n2 | sinés: \"\\u{1b}\" # 漢\n  | ^^^^^\n"
            .replace("\\u{1b}", "·[31m·")
    );
    let long = format!("a{}: 1\n", "x".repeat(500));
    let failed = refused(&long);
    assert!(
        failed
            .files
            .render(&failed.errors[0])
            .lines()
            .all(|l| l.chars().count() < 700)
    );
}

#[test]
fn files_are_added_to_each_other() {
    let dir = files(&[
        (
            "a.yaml",
            "data_dir: /var/lib/vector\nlog_schema: {host_key: h}\nsources:\n  in: {type: stdin}\napi: {enabled: true}\nhealthchecks: {enabled: false}\n",
        ),
        (
            "b.toml",
            "data_dir = '/data'\n[log_schema]\nmessage_key = 'm'\n[sinks.out]\ntype = 'console'\ninputs = ['in']\n[api]\naddress='127.0.0.1:1'\n",
        ),
        (
            "c.json",
            "{\"acknowledgements\": true, \"data_dir\": \"/data/\", \"healthchecks\": {\"enabled\": true}}",
        ),
    ]);
    for paths in [
        vec![file(&dir, "a.yaml"), file(&dir, "b.toml"), file(&dir, "c.json")],
        vec![ConfigPath::File(dir.path().join("*.*"), None)],
        vec![ConfigPath::Dir(dir.path().to_owned()), file(&dir, "b.toml")]
            .into_iter()
            .skip(1)
            .chain([file(&dir, "?.json"), file(&dir, "a.yaml")])
            .collect(),
    ] {
        let c = load(&paths, &LoadOptions::default())
            .unwrap_or_else(|e| panic!("{e}"))
            .config;
        assert_eq!(c.globals.data_dir, Path::new("/data"));
        assert_eq!(
            (
                c.globals.log_schema.host_key.as_str(),
                c.globals.log_schema.message_key.as_str()
            ),
            ("h", "m")
        );
        assert!(c.globals.api.enabled && c.globals.acknowledgements.is_enabled() && !c.globals.healthchecks.enabled);
        assert_eq!((c.sources.len(), c.sinks.len()), (1, 1));
    }
}

#[test]
fn conflicts_between_files_have_both_places() {
    let dir = files(&[
        (
            "a.yaml",
            "timezone: UTC\nproxy: {http: a}\nsources:\n  in: {type: stdin}\ntests: [{name: t}]\nexpire_metrics_secs: 1\n",
        ),
        (
            "b.yaml",
            "timezone: CET\nproxy: {http: b}\nsources:\n  in: {type: stdin}\ntests: [{name: t}]\nexpire_metrics_secs: 1\n",
        ),
    ]);
    let failed = load(&[file(&dir, "a.yaml"), file(&dir, "b.yaml")], &LoadOptions::default()).unwrap_err();
    let rendered: Vec<_> = failed.errors.iter().map(|e| failed.files.render(e)).collect();
    assert_eq!(rendered.len(), 4, "{failed}");
    for (text, word) in rendered
        .iter()
        .zip(["timezone", "proxy.http", "source `in`", "tests with the name `t`"])
    {
        assert!(
            text.contains(word) && text.contains("a.yaml:") && text.contains("b.yaml:"),
            "{text}"
        );
    }
}

#[test]
fn paths_that_are_not_there() {
    let dir = files(&[("bad.yaml", "a: [\n"), ("x.json", "{")]);
    for (path, part) in [
        (file(&dir, "none.yaml"), "there is no configuration at"),
        (file(&dir, "*.none"), "there is no configuration at"),
        (ConfigPath::Dir(dir.path().join("none")), "there is no configuration at"),
        (file(&dir, "a[.yaml"), "is no pattern"),
        (file(&dir, "bad.yaml"), "bad.yaml:"),
    ] {
        let failed = load(&[path], &LoadOptions::default()).unwrap_err();
        assert!(failed.to_string().contains(part), "{failed}");
    }
    let both = load(&[ConfigPath::Dir(dir.path().to_owned())], &LoadOptions::default()).unwrap_err();
    assert_eq!(both.errors.len(), 2, "{both}");
    fs::write(dir.path().join("bin.yaml"), [0x61, 0xff]).unwrap();
    let failed = load(&[file(&dir, "bin.yaml")], &LoadOptions::default()).unwrap_err();
    assert!(failed.to_string().contains("not UTF-8: byte 1"), "{failed}");
    // The format may be said, and without extension it is TOML.
    fs::write(dir.path().join("conf"), "[sources.in]\ntype='stdin'").unwrap();
    assert_eq!(
        load(&[file(&dir, "conf")], &LoadOptions::default())
            .unwrap()
            .config
            .sources
            .len(),
        1
    );
    fs::write(dir.path().join("conf"), "sources: {in: {type: stdin}}").unwrap();
    let path = ConfigPath::File(dir.path().join("conf"), Some("YAML".parse().unwrap()));
    assert_eq!(load(&[path], &LoadOptions::default()).unwrap().config.sources.len(), 1);
    assert!("xml".parse::<Format>().is_err());
}

#[test]
fn a_directory_names_its_components() {
    let dir = files(&[
        (
            "one.yaml",
            "timezone: UTC\nsinks: {s: {type: console, inputs: [t]}}\nx_list_is_not: {}\n",
        ),
        ("two.toml", "timezone = 'UTC'\n[sources.other]\ntype='stdin'\n"),
        ("note.txt", "no configuration"),
        ("sources/in.json", "{\"type\": \"stdin\"}"),
        ("sources/other.yaml", "type: exec\ncommand: [ls]\n"),
        ("sources/readme.md", "no configuration"),
        ("transforms/t.yaml", "type: remap\ninputs: [in]\n"),
        ("transforms/t.json", "{\"source\": \".\", \"inputs\": [\"other\"]}"),
        ("transforms/t/more/deep.yaml", "x: 1\n"),
        ("transforms/.hidden/z.yaml", "type: remap\n"),
        ("sinks/sub/z.yaml", "type: console\n"),
        (
            "tests/a.yaml",
            "name: a\ninput: {insert_at: t, value: x}\noutputs: [{extract_from: t}]\n",
        ),
        ("elsewhere/b.yaml", "this: fails\n"),
        ("enrichment_tables/e.toml", "type='file'\n"),
    ]);
    let failed = load(&[ConfigPath::Dir(dir.path().to_owned())], &LoadOptions::default()).unwrap_err();
    assert_eq!(failed.errors.len(), 1, "{failed}");
    fs::write(
        dir.path().join("one.yaml"),
        "timezone: UTC\nsinks: {s: {type: console, inputs: [t]}}\n",
    )
    .unwrap();
    let loaded =
        load(&[ConfigPath::Dir(dir.path().to_owned())], &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let c = loaded.config;
    let names: Vec<_> = c.components().map(|s| s.id.as_str()).collect();
    assert_eq!(names, ["other", "in", "t", "s"]);
    assert_eq!(
        c.sources["other"].kind, "exec",
        "the directory's takes the place of the file's"
    );
    assert!(loaded.warnings[0].message.contains("`other`") && loaded.warnings[0].related.len() == 1);
    let t = &c.transforms["t"];
    let inputs: Vec<_> = t.inputs.iter().map(|i| i.text.as_str()).collect();
    assert_eq!(
        inputs,
        ["other", "in"],
        "two files of one name are merged, the lists one after the other"
    );
    assert_eq!(t.node.get("source").unwrap().as_str(), Some("."));
    assert_eq!(
        t.node
            .get("more")
            .unwrap()
            .get("deep")
            .unwrap()
            .get("x")
            .unwrap()
            .to_json(),
        1
    );
    assert_eq!((c.tests.len(), c.enrichment_tables.len()), (1, 1));
    // Values of one kind: the later file's; of two kinds: refused with both places.
    fs::write(dir.path().join("two.toml"), "timezone = 3\n").unwrap();
    let failed = load(&[ConfigPath::Dir(dir.path().to_owned())], &LoadOptions::default()).unwrap_err();
    assert!(
        failed.to_string().contains("two.toml:1:12") && failed.to_string().contains("one.yaml:1:11"),
        "{failed}"
    );
}

#[test]
fn variables_are_replaced_only_when_asked() {
    let yaml = "sources:\n  in:\n    type: $KIND\n    n: ${N:-3}\n    x: \"$$\"\n";
    let c = text(yaml).unwrap().config;
    assert_eq!(c.sources["in"].kind, "$KIND");
    assert_eq!(c.sources["in"].node.get("x").unwrap().as_str(), Some("$$"));
    let c = load_text("v", yaml, Format::Yaml, &with(&[("KIND", "stdin")]))
        .unwrap()
        .config;
    assert_eq!(c.sources["in"].kind, "stdin");
    assert_eq!(c.sources["in"].node.get("n").unwrap().to_json(), 3);
    assert_eq!(c.sources["in"].node.get("x").unwrap().as_str(), Some("$"));
    let failed = load_text(
        "v",
        &format!("{yaml}# $A\n# $B\n"),
        Format::Yaml,
        &with(&[("KIND", "a\nb"), ("B", "")]),
    )
    .unwrap_err();
    let lines: Vec<_> = failed
        .errors
        .iter()
        .map(|e| failed.files.position(e.span.unwrap()).unwrap().line)
        .collect();
    assert_eq!(lines, [3, 6], "{failed}");
    // Places after a replacement are those of the file.
    let failed = load_text(
        "v",
        "# $LONG\nsources: {in: {type: \"$LONG\"}}\nsink: {}\n",
        Format::Yaml,
        &with(&[("LONG", &"x".repeat(90))]),
    )
    .unwrap_err();
    assert!(
        failed.to_string().contains("v:3:1") && failed.to_string().contains("| ^^^^\n"),
        "{failed}"
    );
}

#[test]
fn secrets_come_from_files_directories_and_programs() {
    let dir = files(&[
        ("s.json", "{\"a\": \"from file\", \"n\": \"5\", \"empty\": \"\"}"),
        ("d/nested/k", "from directory \n"),
        (
            "ask.sh",
            "#!/bin/sh\nread q\ncase \"$q\" in *'\"version\":\"1.0\",\"secrets\":[\"k1\",\"k2\"]'*) ;; *) exit 1;; esac\necho '{\"k1\": {\"value\": \"from program\", \"error\": null}, \"k2\": {\"value\": null, \"error\": \"locked\"}}'\n",
        ),
    ]);
    let base = dir.path().display().to_string();
    let yaml = |extra: &str| {
        format!(
            "secret:\n  f: {{type: file, path: '{base}/s.json'}}\n  d: {{type: directory, path: '{base}/d', remove_trailing_whitespace: true}}\n  e: {{type: exec, command: [sh, '{base}/ask.sh']}}\nsources:\n  in:\n    type: stdin\n    a: \"SECRET[f.a]\"\n    n: SECRET[f.n]\n    d: \"<SECRET[d.nested/k]>\"\n{extra}"
        )
    };
    let loaded = text(&yaml("")).unwrap_or_else(|e| panic!("{e}"));
    let node = &loaded.config.sources["in"].node;
    assert_eq!(node.get("a").unwrap().as_str(), Some("from file"));
    assert_eq!(node.get("n").unwrap().to_json(), 5);
    assert_eq!(node.get("d").unwrap().as_str(), Some("<from directory>"));
    assert_eq!(loaded.files.redact("x from file y"), "x [secret] y");
    let span = node.get("a").unwrap().span.unwrap();
    assert!(loaded.files.text(span.file).unwrap()[span.start as usize..span.end as usize].contains("SECRET[f.a]"));
    for (extra, part) in [
        ("timezone: SECRET[f.empty]", "`empty` is empty"),
        ("timezone: SECRET[f.none]", "no secret `none`"),
        ("timezone: SECRET[g.a]", "backend `g`"),
        ("timezone: SECRET[d.../s.json]", "outside"),
        ("timezone: SECRET[d.nope]", "cannot read"),
        ("timezone: SECRET[e.k1] SECRET[e.k2]", "locked"),
        ("timezone: SECRET[e.k3]", "answered nothing"),
        ("timezone: [\"SECRET[f.a]\"]", "invalid type"),
    ] {
        let failed = text(&yaml(extra)).map(|_| ()).expect_err(extra);
        let shown = failed.to_string();
        assert!(shown.contains(part), "{extra}: {shown}");
        assert!(!shown.contains("from file"), "{shown}");
    }
    fs::write(dir.path().join("ask.sh"), "exec sleep 1000").unwrap();
    let slow =
        format!("secret: {{e: {{type: exec, command: [sh, '{base}/ask.sh'], timeout: 0}}}}\ntimezone: SECRET[e.k]\n");
    assert!(refused(&slow).to_string().contains("took longer than 0 s"));
}
