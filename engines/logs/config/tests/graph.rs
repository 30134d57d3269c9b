//! Components are connected as Vector connects them, and what cannot be is refused by name and place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use qd_logs_config::{
    ComponentSpec, ConfigError, Format, Graph, LoadOptions, Loaded, load_text, resolve, resolve_for_tests,
};

fn loaded(yaml: &str) -> Loaded {
    load_text("v.yaml", yaml, Format::Yaml, &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

/// `route` has two named outputs, `odd` cannot tell its outputs, and everything else has the unnamed one.
fn outputs(spec: &ComponentSpec) -> Result<Vec<Option<String>>, ConfigError> {
    match spec.kind.as_str() {
        "route" => Ok(vec![Some("a".into()), Some("_unmatched".into())]),
        "reserved" => Ok(vec![Some("_default".into())]),
        "odd" => Err(ConfigError::new("this one is odd")),
        _ => Ok(vec![None]),
    }
}

fn graph(yaml: &str) -> Result<Graph, Vec<(String, usize)>> {
    let loaded = loaded(yaml);
    resolve(&loaded.config, &outputs).map_err(|errors| {
        errors
            .iter()
            .map(|e| {
                (
                    e.to_string(),
                    e.span.and_then(|s| loaded.files.position(s)).map_or(0, |p| p.line),
                )
            })
            .collect()
    })
}

fn inputs(graph: &Graph, id: &str) -> Vec<String> {
    graph.inputs_of(id).map(ToString::to_string).collect()
}

#[test]
fn names_outputs_and_patterns() {
    let graph = graph(
        "sources: {foo1: {type: x}, foo2: {type: x}, bar: {type: x}}\n\
         transforms: {foos: {type: x, inputs: ['foo*']}, r: {type: route, inputs: [bar]}}\n\
         sinks: {baz: {type: x, inputs: ['foos*', 'b*']}, oo: {type: x, inputs: ['*oo*']}, all: {type: x, inputs: ['*']}, r_a: {type: x, inputs: [r.a]}, rr: {type: x, inputs: ['r.*']}}\n",
    )
    .unwrap();
    assert_eq!(inputs(&graph, "foos"), ["foo1", "foo2"]);
    assert_eq!(inputs(&graph, "baz"), ["foos", "bar"]);
    assert_eq!(inputs(&graph, "oo"), ["foo1", "foo2", "foos"]);
    assert_eq!(
        inputs(&graph, "all"),
        ["foo1", "foo2", "bar", "foos", "r.a", "r._unmatched"]
    );
    assert_eq!(inputs(&graph, "r_a"), ["r.a"]);
    assert_eq!(inputs(&graph, "rr"), ["r.a", "r._unmatched"]);
    let output = graph.output("r.a").unwrap();
    assert_eq!((output.component.as_str(), output.port.as_deref()), ("r", Some("a")));
    assert_eq!(
        graph.consumers_of(output).map(|c| c.as_str()).collect::<Vec<_>>(),
        ["all", "r_a", "rr"]
    );
    assert_eq!(graph.outputs_of("r").len(), 2);
    let order: Vec<_> = graph.order().iter().map(|c| c.as_str()).collect();
    let at = |id: &str| order.iter().position(|o| *o == id).unwrap();
    assert_eq!(order.len(), 10);
    assert!(
        graph
            .edges()
            .iter()
            .all(|e| at(e.from.component.as_str()) < at(e.to.as_str()))
    );
    assert!(graph.warnings().is_empty());
}

#[test]
fn what_vector_refuses() {
    let errors = graph(
        "sources:\n  in: {type: x}\n  foo: {type: x}\n  odd: {type: odd}\n  d.ot: {type: x}\ntransforms:\n  \
         sample: {type: x, inputs: []}\n  sample2:\n    type: x\n    inputs:\n      - qwerty\n  foo: {type: x, inputs: [in]}\n  \
         r: {type: route, inputs: [in]}\n  res: {type: reserved, inputs: [in]}\nsinks:\n  out: {type: x, inputs: [asdf, in, in]}\n  typo: {type: x, inputs: [sampel]}\n  port: {type: x, inputs: [r]}\n  \
         port2: {type: x, inputs: [r.b]}\n  wild: {type: x, inputs: ['z*']}\n  fromsink: {type: x, inputs: [out]}\n",
    )
    .unwrap_err();
    for (part, line) in [
        ("two components have the name `foo`: a source and a transform", 12),
        ("`d.ot` must have no dot", 5),
        ("this one is odd", 4),
        ("the transform `sample` has no inputs", 7),
        ("the input `qwerty` of the transform `sample2` does not exist", 11),
        ("output `_default`", 14),
        ("the input `asdf` of the sink `out` does not exist", 16),
        ("the sink `out` has the input `in` more than once", 16),
        ("did you mean `sample`?", 17),
        ("its outputs are `r.a`, `r._unmatched`", 18),
        (
            "the input `r.b` of the sink `port2` does not exist; did you mean `r.a`?",
            19,
        ),
        ("the input `z*` of the sink `wild` matches no component", 20),
        ("it is a sink", 21),
    ] {
        assert!(
            errors.iter().any(|(m, l)| m.contains(part) && *l == line),
            "{part} in line {line}: {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 13, "{errors:#?}");
}

#[test]
fn nothing_to_run() {
    let errors = graph("timezone: UTC").unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let options = LoadOptions {
        allow_empty: true,
        ..LoadOptions::default()
    };
    let loaded = load_text("v", "", Format::Yaml, &options).unwrap();
    assert!(resolve(&loaded.config, &outputs).is_ok());
}

#[test]
fn circles_are_named() {
    let errors = graph(
        "sources: {in: {type: x}}\ntransforms:\n  a: {type: x, inputs: [in, c]}\n  b: {type: x, inputs: [a]}\n  c: {type: x, inputs: [b]}\nsinks: {out: {type: x, inputs: [c]}}\n",
    )
    .unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].0.ends_with("circle: a -> b -> c -> a"), "{errors:?}");
    assert_eq!(errors[0].1, 3);
    let errors = graph(
        "sources: {in: {type: x}}\ntransforms: {a: {type: x, inputs: [in, a]}}\nsinks: {out: {type: x, inputs: [a]}}\n",
    )
    .unwrap_err();
    assert!(errors[0].0.ends_with("circle: a -> a"), "{errors:?}");
    // A pattern does not match its own component.
    assert!(graph("sources: {in: {type: x}}\ntransforms: {a: {type: x, inputs: ['*']}}\nsinks: {out: {type: x, inputs: [a]}}\n").is_ok());
}

#[test]
fn relaxed_patterns_and_warnings() {
    let yaml = "wildcard_matching: relaxed\nsources: {in: {type: x}, lonely: {type: x}}\ntransforms: {r: {type: route, inputs: [in]}}\nsinks: {out: {type: x, inputs: [r.a, 'z*']}}\n";
    let resolved = graph(yaml).unwrap();
    let warnings: Vec<_> = resolved.warnings().iter().map(ToString::to_string).collect();
    for part in [
        "`z*` of `out` matches no component",
        "the source `lonely`",
        "the transform `r._unmatched`",
    ] {
        assert!(warnings.iter().any(|w| w.contains(part)), "{part}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 3);
    assert!(
        graph(&yaml.replace("'z*'", "z")).is_err(),
        "a name must exist even then"
    );
    assert!(graph(&yaml.replace("relaxed", "strict")).is_err());
}

#[test]
fn tests_name_outputs_that_exist() {
    let yaml = "transforms:\n  t: {type: x, inputs: []}\n  u: {type: x, inputs: [t, gone]}\ntests:\n  - name: one\n    input: {insert_at: t, value: x}\n    outputs: [{extract_from: [u, uu]}]\n    no_outputs_from: [u, vv]\n";
    let loaded = loaded(yaml);
    let errors = resolve_for_tests(&loaded.config, &outputs).unwrap_err();
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("`u` in `extract_from` of the test `one` stands under"));
    assert!(errors[1].contains("`uu`") && errors[2].contains("`vv`"));
    let good = yaml.replace(", uu", "").replace("[u, vv]", "[t]");
    let graph = resolve_for_tests(&self::loaded(&good).config, &outputs).unwrap();
    assert_eq!(inputs(&graph, "u"), ["t"]);
    assert_eq!(graph.order().len(), 2);
}

#[test]
fn enrichment_tables_read_too() {
    let graph = graph("sources: {in: {type: x}}\nenrichment_tables: {m: {type: memory, inputs: [in]}, f: {type: file}}\nsinks: {out: {type: x, inputs: [in]}}\n").unwrap();
    assert_eq!(inputs(&graph, "m"), ["in"]);
    assert!(graph.warnings().is_empty());
}
