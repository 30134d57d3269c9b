use proptest::prelude::*;

use super::*;

fn build(text: &[u8]) -> Result<Docs, Declined> {
    let mut b = DocsBuilder::new(Bytes::copy_from_slice(text));
    b.parse(0, u32::try_from(text.len()).unwrap())?;
    b.commit();
    Ok(b.take())
}

/// The truth: what `parse_json` makes of a text, and how it is written.
fn truth(text: &str) -> Option<(Value, String)> {
    let v: Value = serde_json::from_str(text).ok()?;
    let s = serde_json::to_string(&v).unwrap();
    Some((v, s))
}

fn agree(text: &str) {
    let mut out = Vec::new();
    if let Ok(d) = build(text.as_bytes()) {
        d.write_json(0, &mut out);
        let (value, written) = truth(text).unwrap_or_else(|| panic!("accepted what is no JSON: {text}"));
        assert_eq!(String::from_utf8(out).unwrap(), written, "of {text}");
        assert_eq!(d.value(0), value, "of {text}");
    }
}

/// As `agree`, and it must not be declined.
fn takes(text: &str) {
    assert!(build(text.as_bytes()).is_ok(), "declined {text}");
    agree(text);
}

#[test]
fn common_documents() {
    takes("{}");
    takes(" { } ");
    takes(r#"{"b":1,"a":"x"}"#);
    takes(r#"{"b": 1, "a" : "x" , "c":[1, 2,{"z":1,"y":2}]}"#);
    takes("{\"a\":1}\r\n");
    takes("{\t\"a\":\t1}");
    takes(r#"{"a":1,"a":2,"b":3,"a":{"c":1,"b":2}}"#);
    takes(r#"{"a":"\n\"\\\u0001","b":"\u00e9\/\ud83d\ude00","c":"é😀"}"#);
    takes(
        r#"{"n":[0,-0,-0.0,1.0,1.10,1e5,1E-7,0.00001,0.0001,12345678901234567890,9223372036854775807,-9223372036854775808]}"#,
    );
    takes(
        r#"{"n":123456789012345678,"m":-1,"x":1234567890123456789,"f":0.1,"g":100.50,"h":-0,"i":1.7976931348623157e308}"#,
    );
    takes(r#"{"t":true,"f":false,"n":null,"e":{},"l":[],"s":""}"#);
}

#[test]
fn what_is_no_object_is_declined() {
    for t in [
        "",
        "[]",
        "1",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":-}",
        "{\"a\":tru}",
        "{\"a\":1,}",
        "{\"a\":\"\u{1}\"}",
        r#"{"a":"\x"}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":[1,]}",
        "{\"a\":{\"b\":1,}}",
        "{\"a\":1e999}",
        "{\"a\":1e}",
        "\u{feff}{}",
        "{\"a\":--1}",
        "{\"a\":1 2}",
    ] {
        assert_eq!(build(t.as_bytes()).err(), Some(Declined), "{t}");
    }
    assert!(build(b"{\"a\":\"\xff\"}").is_err());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(build(deep.as_bytes()).is_err());
}

#[test]
fn shapes_change() {
    let lines = [
        r#"{"b":1,"a":2}"#,
        r#"{"b":3,"a":4}"#,
        r#"{"b":5}"#,
        r#"{"b":5,"a":6,"c":7}"#,
        r#"{"b":5,"a":6,"c":7}"#,
        r#"{"c":5,"a":6,"b":7}"#,
        r#"{"c":5,"c":6,"b":7}"#,
        r#"{}"#,
        r#"{}"#,
        r#"{"b" :1,"a":2}"#,
        r#"{"b":1,"a":2}"#,
    ];
    let text = lines.join("\n");
    let mut b = DocsBuilder::new(Bytes::from(text));
    let mut at = 0;
    for l in lines {
        let end = at + u32::try_from(l.len()).unwrap();
        b.parse(at, end).unwrap();
        b.commit();
        at = end + 1;
    }
    let d = b.take();
    for (i, l) in lines.iter().enumerate() {
        let mut out = Vec::new();
        d.write_json(i, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), truth(l).unwrap().1);
    }
}

#[test]
fn fields_are_set_and_removed() {
    let text = r#"{"c":"1","a":"{\"x\":\"\\n\",\"c\":2}"}"#;
    let mut b = DocsBuilder::new(Bytes::from(text));
    b.parse(0, u32::try_from(text.len()).unwrap()).unwrap();
    assert_eq!(b.get("c"), Some((&b"\"1\""[..], FieldKind::Json)));
    b.set("b", b"7", FieldKind::Json).unwrap();
    b.set("c", b"8", FieldKind::Json).unwrap();
    b.set("t", b"\"2026-01-02T03:04:05Z\"", FieldKind::Time).unwrap();
    b.commit();
    b.merge_field("a").unwrap();
    b.remove("a");
    b.remove("zz");
    b.commit();
    assert!(b.set("a\"b", b"1", FieldKind::Json).is_err());
    let d = b.take();
    let mut out = Vec::new();
    d.write_json(0, &mut out);
    out.push(b' ');
    d.write_json(1, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"a":"{\"x\":\"\\n\",\"c\":2}","b":7,"c":8,"t":"2026-01-02T03:04:05Z"} {"b":7,"c":2,"t":"2026-01-02T03:04:05Z","x":"\n"}"#
    );
    assert!(matches!(d.field(0, "t"), Some(Value::Timestamp(_))));
    assert_eq!(d.field(1, "x"), Some(Value::from("\n")));
    let mut e = d.edit();
    e.load(&d, 1);
    e.set("b", b"null", FieldKind::Json).unwrap();
    e.commit();
    assert_eq!(e.take().field(0, "b"), Some(Value::Null));
}

fn json_string() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{0,6}".prop_map(|s| format!("\"{s}\"")),
        1 => ".{0,8}".prop_map(|s| serde_json::to_string(&s).unwrap()),
        1 => proptest::collection::vec(
            prop_oneof![
                Just("\\u00e9".to_owned()), Just("\\uD83D\\uDE00".to_owned()), Just("\\ud800".to_owned()), Just("\\/".to_owned()),
                Just("\\u001f".to_owned()), Just("\\u001F".to_owned()), Just("\\u0008".to_owned()), Just("\\b".to_owned()),
                Just("\\u0022".to_owned()), Just("\\\"".to_owned()), Just("\\\\".to_owned()), Just("\\u000b".to_owned()),
                Just("é".to_owned()), Just("\u{7f}".to_owned()), Just("x".to_owned()), Just("\\q".to_owned()), Just("\t".to_owned()),
            ],
            0..5
        ).prop_map(|v| format!("\"{}\"", v.concat())),
    ]
}

fn json_number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        any::<f64>().prop_map(|n| format!("{n}")),
        "-?(0|[1-9][0-9]{0,4})\\.[0-9]{1,6}",
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "-?[0-9]{1,3}\\.?[0-9]{0,2}",
        "-?0\\.0{0,7}[0-9]{1,12}",
    ]
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        json_string(),
        json_number(),
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned())
    ];
    let space = prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t")];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let key = prop_oneof![4 => "\"[a-d]{1,2}\"", 1 => json_string()];
        let fields = proptest::collection::vec((key, inner.clone(), space.clone()), 0..5);
        prop_oneof![
            fields.prop_map(|f| {
                let f: Vec<_> = f.iter().map(|(k, v, s)| format!("{s}{k}{s}:{s}{v}{s}")).collect();
                format!("{{{}}}", f.join(","))
            }),
            proptest::collection::vec(inner, 0..4).prop_map(|v| format!("[{}]", v.join(","))),
        ]
    })
}

/// Whole documents, some of them damaged.
pub(super) fn document() -> impl Strategy<Value = String> {
    let key = prop_oneof![6 => "\"[a-e]{1,3}\"", 1 => json_string()];
    let space = prop_oneof![8 => Just(""), 1 => Just(" ")];
    let whole = proptest::collection::vec((key, json_value(), space), 0..8).prop_map(|f| {
        let f: Vec<_> = f.iter().map(|(k, v, s)| format!("{s}{k}{s}:{s}{v}")).collect();
        format!("{{{}}}", f.join(","))
    });
    (whole, any::<prop::sample::Index>(), 0..12u8, any::<char>()).prop_map(|(mut s, at, how, c)| {
        let at = at.index(s.len());
        if s.is_char_boundary(at) {
            match how {
                0 => s.truncate(at),
                1 => s.insert(at, c),
                2 if s.is_char_boundary(at + 1) => {
                    s.remove(at);
                }
                _ => {}
            }
        }
        s
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn text_is_as_values(doc in document()) {
        agree(&doc);
    }

    #[test]
    fn rows_after_another(docs in proptest::collection::vec(document(), 1..6)) {
        let text = docs.join("\n");
        let mut b = DocsBuilder::new(Bytes::from(text));
        let mut at = 0;
        let mut taken = Vec::new();
        for d in &docs {
            let end = at + u32::try_from(d.len()).unwrap();
            if b.parse(at, end).is_ok() {
                b.commit();
                taken.push(d);
            }
            at = end + 1;
        }
        let made = b.take();
        for (i, d) in taken.iter().enumerate() {
            let mut out = Vec::new();
            made.write_json(i, &mut out);
            let (value, written) = truth(d).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), written);
            prop_assert_eq!(made.value(i), value);
        }
    }
}
