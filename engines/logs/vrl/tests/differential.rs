//! Programs of known shapes give what VRL gives: the same events with the same values, written the same, and what they
//! leave to VRL is left untouched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use qd_logs_model::{Docs, Line, Lines, LogBatch, LogEvent, Origin, Rows, Value};
use qd_logs_vrl::{
    Program,
    fast::{Part, Plan, Test},
    program::Options,
};
use vrl::path::OwnedValuePath;

const PROGRAMS: &[&str] = &[
    ". = parse_json!(.message)",
    ". = parse_json!(string!(.message))\n.",
    ". = object!(parse_json!(.message))",
    ". |= object!(parse_json!(.message))",
    ". = merge(., object!(parse_json!(.message)))",
    ". = parse_json!(.message)\n.a = to_int!(.a)",
    ". = parse_json!(.message)\n.a = to_int!(.b)\n.c = to_float!(.a)\ndel(.d)",
    ". = parse_json!(.message)\n.a = to_float!(.a)",
    ". = parse_json!(.message)\n.a = to_string!(.a)\n.b = to_string!(.b)",
    ". = parse_json!(.message)\n.a = string!(.a)\n.b = int!(.b)",
    ". = parse_json!(.message)\n.a = to_int(.a) ?? 7\n.b = to_float(.b) ?? to_int(.b) ?? \"none\"",
    ". = parse_json!(.message)\n.z = del(.a)\n.y = \"lit\\\"eral\"\n.x = 1.5\n.w = null\n.v = true\n.u = -3",
    ". = parse_json!(.message)\n.a = .b\n.\"f g\" = .c",
    ". = object!(parse_json!(.message))\n. |= object!(parse_json!(.a))",
    ". = parse_json!(.message)\n. = parse_json!(.a)",
    "m = 1\n. = parse_json!(.message)",
    ".a = .message\n. |= object!(parse_json!(.a))",
    ".message = \"x\"\n.q = del(.host)",
    ". = parse_json!(.message)\nif exists(.a) { .a = to_int!(.a) } else { .a = \"no\" }",
    ". = parse_json!(.message)\nif .a == \"1\" || .b == 1 { .c = 2 }\nif !(.a != 2.0) { del(.b) }",
    ". = parse_json!(.message)\nif is_null(.a) && contains(string!(.b), \"x\") { .k = 1 }",
    ". = parse_json!(.message)\nif match(string!(.a), r'^[a-c]+$') { .m = \"abc\" }",
    ". = parse_json!(.message)\nif starts_with(string!(.a), \"a\") { .m = 1 } else if ends_with!(.a, \"b\") { .m = 2 }",
    ". = parse_json!(.message)\nif int!(.a) > 3 { .m = 1 }\nif float!(.b) <= 0.5 { .n = 1 }",
    ". = parse_logfmt!(.message)",
    ". |= parse_key_value!(string!(.message))",
    ". = parse_nginx_log!(.message, \"combined\")\n.status = to_string!(.status)",
    ". |= parse_nginx_log!(string!(.message), \"combined\")",
    ". = merge(., parse_nginx_log!(.message, \"combined\"))\n. |= parse_logfmt!(.request)",
    ".timestamp = to_int(.timestamp) ?? 0\n. |= object!(parse_json!(.message))",
];

fn batch(texts: &[Vec<u8>], flat: bool) -> LogBatch {
    let mut block = Vec::new();
    let mut lines = Vec::new();
    for t in texts {
        let start = u32::try_from(block.len()).unwrap();
        block.extend_from_slice(t);
        lines.push(Line {
            start,
            end: u32::try_from(block.len()).unwrap(),
            offset: u64::from(start),
        });
        block.push(b'\n');
    }
    let mut fields = vec![
        (OwnedValuePath::single_field("file"), Value::from("/var/log/\"x\".log")),
        (OwnedValuePath::single_field("host"), Value::from("web")),
    ];
    if !flat {
        fields.push((vrl::path::parse_value_path("a.b").unwrap(), Value::from(1)));
    }
    LogBatch::lines(Lines {
        block: Bytes::from(block),
        lines,
        read_at: chrono::DateTime::from_timestamp(1_790_000_000, 120_000_000).unwrap(),
        origin: Arc::new(Origin {
            source: "in".into(),
            source_type: "file",
            message: OwnedValuePath::single_field("message"),
            timestamp: Some(OwnedValuePath::single_field("timestamp")),
            offset: Some(OwnedValuePath::single_field("offset")),
            fields,
        }),
    })
}

fn compiled(source: &str) -> Program {
    let options = Options {
        object: true,
        ..Options::default()
    };
    Program::compile(source, &options).unwrap_or_else(|e| panic!("{source}\n{e}"))
}

fn written(v: &Value) -> String {
    serde_json::to_string(v).unwrap()
}

/// Runs a plan over rows and compares every event with VRL's; how many were done natively.
fn compare(source: &str, program: &Program, plan: &Plan, rows: &Rows, events: &[Value]) -> usize {
    let mut next = 0;
    let mut native = 0;
    let mut check = |part: Part| match part {
        Part::Left(i) => {
            assert_eq!(i, next, "in order");
            next += 1;
        }
        Part::Done(docs) => {
            for d in 0..docs.len() {
                let mut event = LogEvent::new(events[next].clone());
                program
                    .run(&mut event)
                    .unwrap_or_else(|e| panic!("native took what VRL refuses: {source}\n{}\n{e}", events[next]));
                let mut out = Vec::new();
                docs.write_json(d, &mut out);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    written(&event.value),
                    "{source}\n{}",
                    events[next]
                );
                assert_eq!(docs.value(d), event.value, "{source}\n{}", events[next]);
                next += 1;
                native += 1;
            }
        }
    };
    plan.run(rows, &mut check).unwrap();
    assert_eq!(next, events.len());
    native
}

fn docs_of(values: &[Value]) -> Option<Docs> {
    let text: Vec<u8> = values.iter().flat_map(|v| (written(v) + "\n").into_bytes()).collect();
    let mut b = qd_logs_model::DocsBuilder::new(Bytes::from(text));
    let mut at = 0;
    for v in values {
        let end = at + u32::try_from(written(v).len()).unwrap();
        b.parse(at, end).ok()?;
        b.commit();
        at = end + 1;
    }
    Some(b.take())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| format!("\"{n}\"")),
        any::<f64>()
            .prop_filter("JSON has none", |f| f.is_finite())
            .prop_map(|n| format!("{n:?}")),
        any::<f64>().prop_map(|n| format!("\"{n:?}\"")),
        Just("1".to_owned()),
        Just("2.0".to_owned()),
        Just("0.5".to_owned()),
        Just("\"1\"".to_owned()),
        Just("\"+5\"".to_owned()),
        Just("-0".to_owned()),
        Just("18446744073709551615".to_owned()),
        "-?[0-9]{1,3}\\.[0-9]{1,20}(e-?[0-9]{1,2})?".prop_filter("no leading zeros", |s| {
            let d = s.trim_start_matches('-');
            !d.starts_with('0') || d.starts_with("0.")
        }),
        "[a-cx]{0,4}".prop_map(|s| format!("\"{s}\"")),
        ".{0,6}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        Just("\"\\u0041\\/\\ud83d\\ude00\\u001f\"".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        Just("[1, 2,{\"b\":1,\"a\":1e3}]".to_owned()),
        Just("{\"y\":[],\"x\":{}}".to_owned()),
        Just("\"{\\\"x\\\": 1,\\\"b\\\":\\\"\\\\n\\\"}\"".to_owned()),
    ]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let doc = proptest::collection::vec(("[a-d]", scalar(), prop_oneof![4 => Just(""), 1 => Just(" ")]), 0..6)
        .prop_map(|f| {
            let f: Vec<_> = f.iter().map(|(k, v, s)| format!("{s}\"{k}\":{s}{v}{s}")).collect();
            format!("{{{}}}", f.join(",")).into_bytes()
        })
        .boxed();
    let word = || prop_oneof![6 => "[a-z0-9./:-]{1,6}", 1 => "[ -~]{0,5}", 1 => Just("".to_owned())];
    let pair = (
        word(),
        prop_oneof![4 => word(), 2 => word().prop_map(|w| format!("\"{w} {w}\"")), 1 => "[ -~é]{0,6}"],
    );
    let logfmt = proptest::collection::vec((pair, prop_oneof![9 => Just(" "), 1 => Just("  ")]), 1..6).prop_map(|p| {
        p.iter()
            .map(|((k, v), s)| format!("{k}={v}{s}"))
            .collect::<String>()
            .trim_end()
            .as_bytes()
            .to_vec()
    });
    let time = prop_oneof![
        6 => (1..32u8, 0..24u8, 0..62u8, prop_oneof![Just("+0000"), Just("-0330"), Just("+1400")])
            .prop_map(|(d, h, s, z)| format!("{d:02}/Feb/2026:{h:02}:05:{s:02} {z}")),
        1 => "[ -~]{0,26}",
    ];
    let quoted = || prop_oneof![6 => "[A-Za-z0-9 /.()=]{0,12}", 1 => "[ -~]{0,8}", 1 => Just("-".to_owned())];
    let end = prop_oneof![
        6 => Just("".to_owned()),
        2 => "[0-9.-]{1,4}".prop_map(|c| format!(" \"{c}\"")),
        1 => "[ -~]{0,6}",
    ];
    let nginx = (
        word(),
        word(),
        time,
        quoted(),
        0..700u16,
        "[0-9]{1,21}",
        quoted(),
        quoted(),
        end,
    )
        .prop_map(|(c, u, t, r, s, n, f, a, e)| {
            format!("{c} - {u} [{t}] \"{r}\" {s:03} {n} \"{f}\" \"{a}\"{e}").into_bytes()
        });
    prop_oneof![
        5 => logfmt,
        5 => nginx,
        12 => doc.clone(),
        1 => (doc, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut d, at, b)| {
            let at = at.index(d.len());
            d[at] = b;
            d
        }),
        1 => scalar().prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

#[test]
fn all_are_recognised() {
    for source in PROGRAMS {
        let known = Plan::recognise(source).is_some();
        assert_eq!(known, !source.starts_with("m = "), "{source}");
        compiled(source);
    }
}

#[test]
fn common_lines_never_need_vrl() {
    let texts: Vec<Vec<u8>> = [
        r#"{"a":"1","b":1,"c":"x","d":[{"k":1,"j":2}],"e":{"b":1,"a":"\u00e9"}}"#,
        r#"{"b":1, "a":"200", "t":"2026-01-01", "f":0.25, "g":1e3}"#,
        r#"{"a":true,"b":null}"#,
    ]
    .iter()
    .map(|s| s.as_bytes().to_vec())
    .collect();
    let b = batch(&texts, true);
    let events: Vec<Value> = (0..texts.len()).map(|i| b.value(i)).collect();
    for (source, text) in [
        (
            ". = parse_logfmt!(.message)",
            "ts=2026-01-01T00:00:00Z level=info msg=\"a b\" dur=5ms url=/x?y=z",
        ),
        (". |= parse_key_value!(.message)", "a=1 b=\"\" c=x"),
        (
            ". = parse_nginx_log!(.message, \"combined\")",
            "10.0.0.1 - - [01/Apr/2021:12:02:31 +0200] \"GET / HTTP/1.1\" 200 15 \"-\" \"curl/8\"",
        ),
    ] {
        let b = batch(&[text.as_bytes().to_vec()], true);
        let plan = Plan::recognise(source).unwrap();
        assert_eq!(
            compare(source, &compiled(source), &plan, &b.rows, &[b.value(0)]),
            1,
            "{source}"
        );
    }
    for source in [PROGRAMS[0], PROGRAMS[3], PROGRAMS[5], PROGRAMS[10], PROGRAMS[11]] {
        let plan = Plan::recognise(source).unwrap();
        assert_eq!(
            compare(source, &compiled(source), &plan, &b.rows, &events),
            texts.len(),
            "{source}"
        );
    }
}

/// How many cases each property is tried on: `PROPTEST_CASES`, else enough for every day.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(1500, |n| n.parse().unwrap())
}

#[test]
fn strange_lines_are_left_to_vrl() {
    for text in [
        r#"a"b - "c [12/Feb/2026:05:05:15 +0000] "GET /" 200 15 "-" "x""#,
        r#"a - - [] "" 000 0 "" """#,
        r#"a - b"" [12/Feb/2026:05:05:15 +0000] "G"E"T" 200 15 "-" "x" "4""#,
    ] {
        let source = ". = parse_nginx_log!(.message, \"combined\")";
        let b = batch(&[text.as_bytes().to_vec()], true);
        let plan = Plan::recognise(source).unwrap();
        assert_eq!(
            compare(source, &compiled(source), &plan, &b.rows, &[b.value(0)]),
            0,
            "{text}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn lines_as_vrl(texts in proptest::collection::vec(line(), 1..6), which in 0..PROGRAMS.len(), flat in prop::bool::weighted(0.9)) {
        let source = PROGRAMS[which];
        if let Some(plan) = Plan::recognise(source) {
            let b = batch(&texts, flat);
            let events: Vec<Value> = (0..texts.len()).map(|i| b.value(i)).collect();
            compare(source, &compiled(source), &plan, &b.rows, &events);
        }
    }

    #[test]
    fn documents_as_vrl(texts in proptest::collection::vec(line(), 1..6), which in 0..PROGRAMS.len()) {
        let source = PROGRAMS[which].replace(".message", ".c");
        let values: Vec<Value> = texts
            .iter()
            .filter_map(|t| serde_json::from_slice::<Value>(t).ok())
            .filter(Value::is_object)
            .collect();
        if let (Some(plan), Some(docs)) = (Plan::recognise(&source), docs_of(&values)) {
            // Values as they are after a way through text: floats may lose their last digit when text is read.
            let values: Vec<Value> = (0..docs.len()).map(|i| docs.value(i)).collect();
            compare(&source, &compiled(&source), &plan, &Rows::Docs(docs), &values);
        }
    }

    #[test]
    fn tests_as_vrl(text in line(), which in 0..12usize, form in 0..3u8) {
        let field = if form == 0 { "message" } else { "a" };
        let source = [
            format!(".{field} == \"1\""),
            format!(".{field} != 2"),
            format!("2.0 == .{field}"),
            format!(".{field} == null || .host == \"web\""),
            format!("exists(.{field}) && !exists(.zz)"),
            format!("is_null(.{field})"),
            format!("contains(string!(.{field}), \"x\")"),
            format!("starts_with(string!(.{field}), \"a\") || ends_with(string!(.{field}), \"é\")"),
            format!("match(string!(.{field}), r'[a-c]{{2}}')"),
            format!("int!(.{field}) >= 1"),
            format!("float!(.{field}) < 0.75"),
            format!(".{field} == true"),
        ][which].clone();
        let condition = qd_logs_vrl::Condition::vrl(&source).unwrap();
        let test = Test::recognise(&source).unwrap_or_else(|| panic!("{source}"));
        let lines = batch(std::slice::from_ref(&text), true);
        let b = match form {
            0 => lines,
            _ => {
                let Ok(v) = serde_json::from_slice::<Value>(&text) else { return Ok(()); };
                if !v.is_object() { return Ok(()); }
                match (form, docs_of(std::slice::from_ref(&v))) {
                    (1, Some(d)) => LogBatch { rows: Rows::Docs(d), ..lines },
                    _ => LogBatch::events(vec![LogEvent::new(v)]),
                }
            }
        };
        if let Some(answer) = test.check(&b, 0) {
            let truth = condition.try_check(&LogEvent::new(b.value(0)), qd_logs_model::EventKind::Log);
            prop_assert_eq!(Ok(answer), truth, "{} on {}", source, b.value(0));
        }
    }
}
