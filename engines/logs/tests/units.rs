//! The `tests:` of a configuration.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use qd_logs::{TestResult, facade, run_tests};
use qd_logs_config::{LoadOptions, load_text};

fn results(text: &str) -> Vec<TestResult> {
    let options = LoadOptions {
        allow_empty: true,
        ..LoadOptions::default()
    };
    let loaded = load_text("test.yaml", text, "yaml".parse().unwrap(), &options).unwrap();
    run_tests(&loaded.config, &facade::full_catalog()).unwrap()
}

const TRANSFORMS: &str = r#"
transforms:
  parse:
    type: remap
    inputs: []
    source: |
      .n = to_int!(.message)
  split:
    type: route
    inputs: [parse]
    route:
      small: to_int!(.n) < 10
"#;

#[test]
fn what_comes_out_is_checked() {
    let all = results(&format!(
        r#"{TRANSFORMS}
tests:
  - name: small
    inputs:
      - {{insert_at: parse, type: log, log_fields: {{message: "7"}}}}
    outputs:
      - extract_from: split.small
        conditions:
          - {{type: vrl, source: "assert_eq!(.n, 7); true"}}
    no_outputs_from: [split._unmatched]
  - name: wrong
    inputs:
      - {{insert_at: parse, value: "70"}}
    outputs:
      - extract_from: split._unmatched
        conditions:
          - {{type: vrl, source: ".n == 71"}}
  - name: nothing
    inputs:
      - {{insert_at: parse, value: "70"}}
    outputs:
      - extract_from: split.small
        conditions: [{{type: vrl, source: "true"}}]
    no_outputs_from: [parse]
"#
    ));
    assert!(all[0].passed(), "{:?}", all[0]);
    assert_eq!(all[1].errors.len(), 1);
    assert!(all[1].errors[0].contains("condition[0] was false"), "{:?}", all[1]);
    assert_eq!(all[2].errors.len(), 2);
    assert!(all[2].errors[0].contains("no events received"), "{:?}", all[2]);
    assert!(all[2].errors[1].contains("expected no outputs"), "{:?}", all[2]);
}
