//! The three formats give the same trees, refuse the same things, and know where everything stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use qd_tree::{ConfigError, FileId, Format, MAX_DEPTH, Node, NodeValue, Span, parse};
use serde_json::json;

fn read(text: &str, format: Format) -> Result<Node, Vec<ConfigError>> {
    parse(text, format, FileId(0))
}

fn yaml(text: &str) -> serde_json::Value {
    read(text, Format::Yaml)
        .unwrap_or_else(|e| panic!("{text}: {e:?}"))
        .to_json()
}

fn refused(text: &str, format: Format) -> ConfigError {
    match read(text, format) {
        Ok(node) => panic!("{text:?} was read as {}", node.to_json()),
        Err(mut errors) => errors.remove(0),
    }
}

fn at(text: &str, span: Option<Span>) -> &str {
    let span = span.expect("a place");
    &text[span.start as usize..span.end as usize]
}

#[test]
fn all_formats_give_the_same_tree() {
    let want = json!({
        "data_dir": "/x",
        "sources": {"in": {"type": "file", "include": ["a", "b"], "n": 3, "r": 1.5, "on": true}},
        "tests": [{"name": "t"}]
    });
    let toml = "data_dir = '/x'\n[sources.in]\ntype = \"file\"\ninclude = [\"a\", 'b']\nn = 0x3\nr = 1.5\non = true\n[[tests]]\nname = 't'\n";
    let yaml = "data_dir: /x\nsources:\n  in:\n    type: file\n    include: [a, \"b\"]\n    n: 3\n    r: 1.5\n    on: true\ntests:\n- name: t\n";
    for (text, format) in [
        (toml, Format::Toml),
        (yaml, Format::Yaml),
        (&want.to_string(), Format::Json),
    ] {
        assert_eq!(read(text, format).unwrap().to_json(), want, "{format:?}");
    }
}

#[test]
fn every_value_and_key_knows_its_place() {
    let toml = "[sources.\"a b\"]\ntype = 'file' # c\ninclude = [ 'x', \"ü\" ]\n";
    let yaml = "# ü\nsources:\n  a b:\n    type: file  # c\n    include:\n      - x\n      - ü\n  z: |\n    text\n";
    let json = "{\"sources\": {\"a b\": {\"type\": \"file\", \"include\": [\"x\", \"ü\"]}}}";
    for (text, format, file, second) in [
        (toml, Format::Toml, "'file'", "\"ü\""),
        (yaml, Format::Yaml, "file", "ü"),
        (json, Format::Json, "\"file\"", "\"ü\""),
    ] {
        let tree = read(text, format).unwrap();
        let (key, spec) = &tree.get("sources").unwrap().entries().unwrap()[0];
        assert_eq!(key.name, "a b");
        assert!(at(text, key.span).contains("a b"), "{format:?}: {}", at(text, key.span));
        assert_eq!(at(text, spec.get("type").unwrap().span), file, "{format:?}");
        let NodeValue::Array(items) = &spec.get("include").unwrap().value else {
            panic!()
        };
        assert_eq!(at(text, items[1].span), second, "{format:?}");
    }
    let tree = read(yaml, Format::Yaml).unwrap();
    let spec = tree.get("sources").unwrap().get("a b").unwrap();
    assert_eq!(
        at(yaml, spec.span),
        "type: file  # c\n    include:\n      - x\n      - ü"
    );
    let block = tree.get("sources").unwrap().get("z").unwrap();
    assert_eq!(block.as_str(), Some("text\n"));
    assert!(at(yaml, block.span).ends_with("text"));
}

#[test]
fn toml_keeps_the_order_of_the_file() {
    let tree = read("[b]\nx=1\n[a]\ny=1\nx=2\n[b.c]\n", Format::Toml).unwrap();
    let names: Vec<_> = tree.entries().unwrap().iter().map(|(k, _)| k.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    let names: Vec<_> = tree
        .get("a")
        .unwrap()
        .entries()
        .unwrap()
        .iter()
        .map(|(k, _)| k.name.clone())
        .collect();
    assert_eq!(names, ["y", "x"]);
}

#[test]
fn keys_that_stand_twice_are_refused_with_both_places() {
    for (text, format) in [
        ("{\"a\": 1, \"a\": 2}", Format::Json),
        ("a: 1\nb: 2\na: 3\n", Format::Yaml),
    ] {
        let error = refused(text, format);
        assert!(error.message.contains("`a` stands twice"), "{error}");
        let first = error.related[0].1;
        let second = error.span.unwrap();
        assert!(first.start < second.start, "{format:?}");
        assert!(at(text, error.span).contains('a'));
    }
    let error = refused("a = 1\na = 2\n", Format::Toml);
    assert!(error.message.contains("duplicate"), "{error}");
    assert_eq!(error.span.unwrap().start, 6);
}

#[test]
fn toml_reports_all_its_errors() {
    let errors = read("a = \nb = 1\nc = [1, \nd = 'x\n", Format::Toml).unwrap_err();
    assert!(errors.len() > 1, "{errors:?}");
}

#[test]
fn plain_scalars_of_yaml() {
    for (text, want) in [
        ("true", json!(true)),
        ("TRUE", json!(true)),
        ("False", json!(false)),
        ("yes", json!("yes")),
        ("on", json!("on")),
        ("~", json!(null)),
        ("Null", json!(null)),
        ("", json!(null)),
        ("nUll", json!("nUll")),
        ("0", json!(0)),
        ("-0", json!(0)),
        ("+12", json!(12)),
        ("-12", json!(-12)),
        ("012", json!("012")),
        ("00", json!("00")),
        ("0x1F", json!(31)),
        ("-0o17", json!(-15)),
        ("0b101", json!(5)),
        ("0xg", json!("0xg")),
        ("1_000", json!("1_000")),
        ("1.5", json!(1.5)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        ("-1e3", json!(-1000.0)),
        ("1e999", json!("1e999")),
        ("inf", json!("inf")),
        ("1.2.3", json!("1.2.3")),
        ("2024-01-02", json!("2024-01-02")),
        ("9223372036854775807", json!(i64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("\"12\"", json!("12")),
        ("'true'", json!("true")),
        ("!!str 12", json!("12")),
        ("!!int 12", json!(12)),
        ("! 12", json!("12")),
        ("0.0.0.0:9000", json!("0.0.0.0:9000")),
        ("-", json!([null])),
    ] {
        let text = if text == "-" {
            "a:\n  -\n".to_owned()
        } else {
            format!("a: {text}\n")
        };
        assert_eq!(yaml(&text)["a"], want, "{text}");
    }
    for text in [
        "9223372036854775808",
        ".inf",
        "-.INF",
        ".nan",
        "!!int x",
        "!mine x",
        "!!binary aGk=",
        "1: 2",
        "[a]: 2",
    ] {
        refused(
            &format!("a:\n  b: {text}\n")
                .replace("b: 1:", "1:")
                .replace("b: [a]:", "[a]:"),
            Format::Yaml,
        );
    }
}

#[test]
fn empty_and_wrong_documents() {
    for text in [
        "",
        "  \n\t",
        "# c",
        "---",
        "--- # c",
        "%YAML 1.2\n---",
        "---\n...",
        "\u{feff}",
        "\u{feff}a: 1",
    ] {
        assert!(
            matches!(read(text, Format::Yaml).unwrap().value, NodeValue::Table(_)),
            "{text:?}"
        );
    }
    assert_eq!(yaml("null"), json!(null));
    let error = refused("a: 1\n---\nb: 2\n", Format::Yaml);
    assert!(error.message.contains("second"), "{error}");
    for text in ["a: [1, 2", "a: *x", "a: \"x", "a: b: c", "a: &x [*x]"] {
        refused(text, Format::Yaml);
    }
    let error = refused("a: 1\nb: [1, 2\nc: 3\n", Format::Yaml);
    assert!(error.span.is_some());
}

#[test]
fn aliases_and_merge_keys() {
    assert_eq!(yaml("a: &x {k: 1}\nb: *x\n"), json!({"a": {"k": 1}, "b": {"k": 1}}));
    assert_eq!(
        yaml("d: &d {codec: json, x: 1}\ne:\n  <<: *d\n  x: 2\n")["e"],
        json!({"codec": "json", "x": 2})
    );
    assert_eq!(
        yaml("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc:\n  <<: [*a, *b]\n  z: 3\n")["c"],
        json!({"x": 1, "y": 2, "z": 3})
    );
    assert_eq!(
        yaml("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n")["c"],
        json!({"x": 1, "y": 2})
    );
    refused("c:\n  <<: 3\n", Format::Yaml);
    refused("c:\n  <<: [3]\n", Format::Yaml);
    let text = "a: &a [1]\nb: *a\n";
    assert_eq!(at(text, read(text, Format::Yaml).unwrap().get("b").unwrap().span), "*a");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let inner = vec![format!("*a{}", i - 1); 10].join(",");
        text.push_str(&format!("a{i}: &a{i} [{inner}]\n"));
    }
    assert!(refused(&text, Format::Yaml).message.contains("values"));
}

#[test]
fn depth_is_bounded() {
    let deep = MAX_DEPTH + 5;
    for (text, format) in [
        (format!("{}{}", "[".repeat(deep), "]".repeat(deep)), Format::Json),
        (format!("a: {}{}", "[".repeat(deep), "]".repeat(deep)), Format::Yaml),
        (format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)), Format::Toml),
        ("[".repeat(100_000), Format::Json),
        (format!("a: {}", "[".repeat(100_000)), Format::Yaml),
        ("- ".repeat(50_000), Format::Yaml),
        ("{a: ".repeat(50_000), Format::Yaml),
        (format!("a = {}", "[".repeat(50_000)), Format::Toml),
        (format!("[{}]", "a.".repeat(50_000) + "a"), Format::Toml),
    ] {
        refused(&text, format);
    }
}

#[test]
fn strict_json() {
    for text in [
        "",
        "{",
        "{a: 1}",
        "{'a': 1}",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "1.",
        ".5",
        "+1",
        "nul",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\t\"",
        "1 2",
        "NaN",
        "1e999",
        "// c\n1",
        "18446744073709551615",
        "-",
    ] {
        refused(text, Format::Json);
    }
    let error = refused("{\"a\": tru}", Format::Json);
    assert_eq!(error.span.unwrap().start, 6);
    assert_eq!(
        read("\"\\u00fc\\ud83d\\ude00\\n\"", Format::Json).unwrap().as_str(),
        Some("ü😀\n")
    );
}

#[test]
fn dumps_are_read_back() {
    let text =
        "a: 1\nb: [x, {c: null}, [], [1, [2]]]\n\"1 k\": \"a\\nb: ü\"\nt: 'true'\nf: 1.0\ne: {}\nz: \"\\e\"\n\"\": 2\n";
    let tree = read(text, Format::Yaml).unwrap();
    assert!(
        read(&tree.to_yaml(), Format::Yaml).unwrap().same(&tree),
        "{}",
        tree.to_yaml()
    );
    assert!(read(&tree.to_json().to_string(), Format::Json).unwrap().same(&tree));
    assert!(
        !read("a: 1", Format::Yaml)
            .unwrap()
            .same(&read("a: 1.0", Format::Yaml).unwrap())
    );
}

fn inside(node: &Node, text: &str) {
    let check = |span: Option<Span>| {
        let span = span.expect("parsed nodes have places");
        assert!(
            text.get(span.start as usize..span.end as usize).is_some(),
            "{span:?} of {} bytes",
            text.len()
        );
    };
    check(node.span);
    match &node.value {
        NodeValue::Array(items) => items.iter().for_each(|n| inside(n, text)),
        NodeValue::Table(entries) => entries.iter().for_each(|(k, n)| {
            check(k.span);
            inside(n, text);
        }),
        _ => {}
    }
}

fn survives(text: &str) {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        match read(text, format) {
            Ok(node) => inside(&node, text),
            Err(errors) => {
                assert!(!errors.is_empty());
                for span in errors.iter().filter_map(|e| e.span) {
                    assert!(
                        text.get(span.start as usize..span.end as usize).is_some(),
                        "{format:?} {span:?}"
                    );
                }
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|i| json!(i)),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(|f| json!(f)),
        any::<String>().prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| json!(v)),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|m| json!(m)),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_text_like_a_configuration_makes_a_parser_panic(
        text in prop::collection::vec(
            prop::sample::select(vec![
                "a", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", "\"", "'", ",", "=", "#", "&x ", "*x", "<<", "|", ">",
                "!!str ", "---", "...", "ü", "\r\n", "\t", "0", ".", "-", "\\", "?", "%", "@", "[[", "]]", "\u{feff}", "1e5",
            ]),
            0..60,
        )
    ) {
        survives(&text.concat());
    }

    #[test]
    fn json_is_what_serde_json_reads(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let node = read(&text, Format::Json).unwrap();
        inside(&node, &text);
        prop_assert_eq!(node.to_json(), value.clone());
        prop_assert_eq!(read(&node.to_yaml(), Format::Yaml).unwrap().to_json(), value);
    }

    #[test]
    fn json_is_refused_where_serde_json_refuses(
        text in prop::collection::vec(
            prop::sample::select(vec!["{", "}", "[", "]", "\"a\"", "\"", ":", ",", "1", "-", ".", "e", "0", "true", "null", " ", "\\u", "d83d"]),
            0..12,
        )
    ) {
        let text = text.concat();
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match read(&text, Format::Json) {
            Ok(node) => prop_assert_eq!(node.to_json(), theirs.unwrap()),
            Err(errors) => {
                let ours = ["stands twice", "whole numbers"].iter().any(|m| errors[0].message.contains(m));
                prop_assert!(theirs.is_err() || ours, "{}: {:?}", text, errors);
            }
        }
    }
}
