//! Enrichment tables of a configuration in programs: when it runs, when it changes, and in its unit tests.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "components")]

use std::{fs, path::Path, time::Duration};

use qd_logs::{Options, Pipeline, Plan, facade, run_tests};
use qd_logs_config::{Config, Format, LoadOptions, load_text};

fn read(text: &str) -> Config {
    let options = LoadOptions {
        allow_empty: true,
        ..LoadOptions::default()
    };
    load_text("c.yaml", text, Format::Yaml, &options).unwrap().config
}

fn plan(text: &str) -> Result<Plan, String> {
    Plan::new(&read(text), &facade::full_catalog()).map_err(|e| {
        let all: Vec<String> = e.iter().map(|e| format!("{}: {e}", e.path.join("."))).collect();
        all.join("\n")
    })
}

fn tables(dir: &Path) -> String {
    format!(
        "enrichment_tables:\n  people:\n    type: file\n    file: {{path: {}/people.csv, encoding: {{type: csv, delimiter: \
         ';'}}}}\n    schema: {{id: integer}}\n",
        dir.display()
    )
}

const REMAP: &str = "transforms:\n  who:\n    type: remap\n    inputs: [in]\n    source: |\n      id = to_int!(.message)\n      \
                     row, err = get_enrichment_table_record(\"people\", {\"id\": id})\n      .message = if err != null { \
                     \"nobody\" } else { row.name }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_find_rows_also_after_the_file_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    fs::write(d.join("people.csv"), "id;name\n1;Ann\n2;Bob\n").unwrap();
    fs::create_dir(d.join("in")).unwrap();
    fs::write(d.join("in/a.log"), "1\n2\n3\n").unwrap();
    let config = format!(
        "data_dir: {d}\n{}sources:\n  in: {{type: file, include: [{d}/in/*.log]}}\n{REMAP}sinks:\n  out: {{type: file, \
         inputs: [who], path: {d}/out.log, encoding: {{codec: text}}}}\n",
        tables(d),
        d = d.display(),
    );
    let pipeline = Pipeline::start(plan(&config).unwrap(), Options::default())
        .await
        .unwrap();
    let out = || fs::read_to_string(d.join("out.log")).unwrap_or_default();
    let wait = async |lines: usize| {
        while out().lines().count() < lines {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    wait(3).await;
    assert_eq!(out(), "Ann\nBob\nnobody\n");
    fs::write(d.join("people.csv"), "id;name\n1;Ann\n2;Bob\n3;Cem\n").unwrap();
    let changes = pipeline.reload(plan(&config).unwrap()).await.unwrap();
    assert_eq!(changes.changed, ["who"]);
    assert_eq!(changes.kept, ["in", "out"]);
    fs::write(d.join("in/b.log"), "this is no number, but it fails alone\n3\n").unwrap();
    fs::write(d.join("in/c.log"), "3\n").unwrap();
    while !out().contains("Cem") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A table that cannot be read leaves the old pipeline as it was.
    fs::write(d.join("people.csv"), "id;name\nx;Ann\n").unwrap();
    let error = pipeline.reload(plan(&config).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("`people`") && error.contains("integer"), "{error}");
    let before = out().lines().count();
    fs::write(d.join("in/d.log"), "2\n").unwrap();
    wait(before + 1).await;
    assert!(out().ends_with("Bob\n"), "{}", out());
    pipeline.stop().await;
}

#[test]
fn unit_tests_see_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("people.csv"), "id;name\n7;Eva\n").unwrap();
    let config = format!(
        "{}{REMAP}tests:\n  - name: found\n    inputs: [{{insert_at: who, type: raw, value: '7'}}]\n    outputs:\n      - \
         extract_from: who\n        conditions: [{{type: vrl, source: '.message == \"Eva\" && \
         get_enrichment_table_record!(\"people\", {{\"id\": 7}}).name == .message'}}]\n",
        tables(dir.path()).replace("inputs: [in]", "inputs: []")
    );
    let config = read(&config.replace("inputs: [in]", "inputs: []"));
    let results = run_tests(&config, &facade::full_catalog()).unwrap();
    assert!(results[0].passed(), "{:?}", results[0].errors);
}

#[test]
fn what_cannot_be_a_table_is_refused_by_name() {
    let rest = "sources: {in: {type: stdin}}\nsinks: {out: {type: blackhole, inputs: [in]}}\n";
    let refused = |table: &str| plan(&format!("enrichment_tables: {{t: {table}}}\n{rest}")).unwrap_err();
    for kind in ["geoip", "mmdb", "memory"] {
        let error = refused(&format!("{{type: {kind}, path: /x}}"));
        assert!(
            error.contains("enrichment_tables.t.type") && error.contains(&format!("unsupported type `{kind}`")),
            "{error}"
        );
    }
    let error = refused("{type: file, file: {path: /x, encoding: {delimiter: 'ö'}}}");
    assert!(error.contains("enrichment_tables.t.file.encoding.delimiter"), "{error}");
    let error = refused("{type: file, file: {path: /x, encodings: {}}}");
    assert!(error.contains("encodings") && error.contains("encoding"), "{error}");
}
