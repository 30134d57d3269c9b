//! Golden bytes of each encoder, and that the fast ways write what the slow one does.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use qd_logs_codecs::{EncodingConfig, FramingEncoderConfig, SinkType};
use qd_logs_model::{Batch, EventKind, LogSchema, Origin, Value};
use serde_json::json;
use vrl::path::OwnedValuePath;

fn sample() -> Value {
    let mut v =
        value(json!({"message": "he said \"hi\"\n\u{1}é", "z": 1, "a": {"b": [true, null, 2.5, 1e300]}, "host": "h"}));
    v.insert(
        &p("timestamp"),
        Value::Timestamp("2026-01-02T03:04:05.006Z".parse().unwrap()),
    );
    v
}

fn one(encoding: serde_json::Value) -> String {
    encode(&mut encoder(encoding, SinkType::Stream), &events([sample()]))
}

#[test]
fn json() {
    let text = r#"{"a":{"b":[true,null,2.5,1e+300]},"host":"h","message":"he said \"hi\"\n\u0001é","timestamp":"2026-01-02T03:04:05.006Z","z":1}"#;
    assert_eq!(one(json!({"codec": "json"})), format!("{text}\n"));
    assert_eq!(serde_json::to_string(&sample()).unwrap(), text);
    let pretty = one(json!({"codec": "json", "json": {"pretty": true}}));
    assert_eq!(
        pretty,
        format!("{}\n", serde_json::to_string_pretty(&sample()).unwrap())
    );
    assert_eq!(one(json!({"codec": "native_json"})), format!("{{\"log\":{text}}}\n"));
}

#[test]
fn text_and_raw_message() {
    assert_eq!(one(json!({"codec": "text"})), "he said \"hi\"\n\u{1}é\n");
    assert_eq!(one(json!({"codec": "raw_message"})), "he said \"hi\"\n\u{1}é\n");
    let mut e = encoder(json!({"codec": "text"}), SinkType::Stream);
    let batch = events([
        value(json!({"message": {"b": 1}})),
        value(json!({"a": 1})),
        value(json!({"message": 7})),
    ]);
    assert_eq!(encode(&mut e, &batch), "{\"b\":1}\n\n7\n");
}

#[test]
fn logfmt() {
    assert_eq!(
        one(json!({"codec": "logfmt", "only_fields": ["message", "z"]})),
        "message=\"he said \\\"hi\\\"\\\\n\u{1}é\" z=1\n"
    );
}

#[test]
fn csv() {
    let c = |options: serde_json::Value| {
        let mut csv = json!({"fields": ["message", "z", "a", ".a.b[2]", "missing", "timestamp"]});
        csv.as_object_mut()
            .unwrap()
            .extend(options.as_object().unwrap().clone());
        one(json!({"codec": "csv", "csv": csv, "only_fields": ["message", "z", "a", "timestamp"]}))
    };
    assert_eq!(
        c(json!({})),
        "\"he said \"\"hi\"\"\n\u{1}é\",1,,2.5,,2026-01-02T03:04:05.006Z\n"
    );
    assert_eq!(
        c(json!({"delimiter": ";", "quote": "'", "quote_style": "always", "capacity": 1})),
        "'he said \"hi\"\n\u{1}é';'1';'';'2.5';'';'2026-01-02T03:04:05.006Z'\n"
    );
    assert_eq!(
        c(json!({"double_quote": false, "escape": "\\", "quote_style": "non_numeric"})),
        "\"he said \\\"hi\\\"\n\u{1}é\",1,\"\",2.5,\"\",\"2026-01-02T03:04:05.006Z\"\n"
    );
    let none: EncodingConfig = config(json!({"codec": "csv", "csv": {"fields": []}})).unwrap();
    assert!(none.build(None, SinkType::Stream, &LogSchema::default()).is_err());
    assert!(config::<EncodingConfig>(json!({"codec": "csv"})).is_err());
}

#[test]
fn gelf() {
    assert_eq!(
        one(json!({"codec": "gelf", "except_fields": ["a"]})),
        "{\"_z\":1,\"host\":\"h\",\"short_message\":\"he said \\\"hi\\\"\\n\\u0001é\",\"timestamp\":1767323045.006,\"version\":\"1.1\"}\0"
    );
    let mut e = encoder(json!({"codec": "gelf"}), SinkType::Stream);
    let batch = events([
        value(json!({"message": "no host"})),
        value(json!({"host": "h"})),
        value(json!({"host": "h", "message": "m", "nested": {}})),
        value(json!({"host": "h", "message": "m", "bad name": 1})),
        value(json!({"host": "h", "message": "m", "level": "high"})),
        value(json!({"host": "h", "short_message": "m", "_x": "y", "line": 1})),
    ]);
    let mut out = Vec::new();
    let mut ends = Vec::new();
    let encoded = e.encode_batch(&batch, &mut out, |i, at| ends.push((i, at)));
    assert_eq!(encoded.events, 1);
    assert_eq!(encoded.failed.iter().map(|f| f.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(ends, [(5, out.len())]);
    assert_eq!(
        out,
        b"{\"_x\":\"y\",\"host\":\"h\",\"line\":1,\"short_message\":\"m\",\"version\":\"1.1\"}\0"
    );
}

#[test]
fn metrics_in_json_and_as_text() {
    let all = [
        json!({"name": "a", "kind": "incremental", "counter": {"value": 1.0}}),
        json!({"name": "b c", "namespace": "n", "tags": {"t": ["1", null, "2"], "bare": null, "u": "v"},
            "timestamp": "2020-01-02T03:04:05.500Z", "interval_ms": 3, "kind": "absolute", "gauge": {"value": -1.5}}),
        json!({"name": "s", "kind": "incremental", "set": {"values": ["x", "y z"]}}),
        json!({"name": "d", "kind": "incremental", "distribution": {"samples": [{"value": 1.0, "rate": 2}], "statistic": "summary"}}),
        json!({"name": "h", "kind": "absolute", "aggregated_histogram":
            {"buckets": [{"upper_limit": 1.0, "count": 2}, {"upper_limit": "inf", "count": 1}], "count": 3, "sum": 4.5}}),
        json!({"name": "q", "kind": "absolute", "aggregated_summary": {"quantiles": [{"quantile": 0.5, "value": 2.0}], "count": 1, "sum": 2.0}}),
    ];
    let batch = metrics(all.clone());
    let native = encode(&mut encoder(json!({"codec": "native_json"}), SinkType::Stream), &batch);
    for (line, want) in native.lines().zip(&all) {
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(line).unwrap(),
            json!({ "metric": want })
        );
    }
    assert_eq!(
        native.lines().nth(1).unwrap(),
        r#"{"metric":{"name":"b c","namespace":"n","tags":{"bare":null,"t":["1",null,"2"],"u":"v"},"timestamp":"2020-01-02T03:04:05.500Z","interval_ms":3,"kind":"absolute","gauge":{"value":-1.5}}}"#
    );
    let json = encode(&mut encoder(json!({"codec": "json"}), SinkType::Stream), &batch);
    assert_eq!(
        json.lines().nth(1).unwrap(),
        r#"{"name":"b c","namespace":"n","tags":{"t":"2","u":"v"},"timestamp":"2020-01-02T03:04:05.500Z","interval_ms":3,"kind":"absolute","gauge":{"value":-1.5}}"#
    );
    let full = encode(
        &mut encoder(json!({"codec": "json", "metric_tag_values": "full"}), SinkType::Stream),
        &batch,
    );
    assert!(
        full.lines()
            .nth(1)
            .unwrap()
            .contains(r#""tags":{"bare":null,"t":["1",null,"2"],"u":"v"}"#)
    );
    let text = encode(
        &mut encoder(json!({"codec": "text", "metric_tag_values": "full"}), SinkType::Stream),
        &batch,
    );
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "a{} + 1",
            "2020-01-02T03:04:05.500Z n_\"b c\"{bare,t=\"1\",t,t=\"2\",u=\"v\"} = -1.5",
            "s{} + x \"y z\"",
            "d{} + summary 2@1",
            "h{} = count=3 sum=4.5 2@1 1@inf",
            "q{} = count=1 sum=2 0.5@2",
        ]
    );
    let mut e = encoder(json!({"codec": "logfmt"}), SinkType::Stream);
    assert_eq!(
        e.encode_batch(&batch, &mut Vec::new(), |_, _| {}).failed.len(),
        all.len()
    );
}

#[test]
fn traces_have_their_own_wrapper() {
    let Batch::Logs(mut b) = events([value(json!({"a": 1}))]) else {
        panic!()
    };
    b.kind = EventKind::Trace;
    let batch = Batch::Logs(b);
    assert_eq!(
        encode(&mut encoder(json!({"codec": "native_json"}), SinkType::Stream), &batch),
        "{\"trace\":{\"a\":1}}\n"
    );
    let mut e = encoder(json!({"codec": "raw_message"}), SinkType::Stream);
    assert_eq!(e.encode_batch(&batch, &mut Vec::new(), |_, _| {}).failed.len(), 1);
}

#[test]
fn fields_are_kept_removed_and_rewritten() {
    let t = |mut encoding: serde_json::Value| {
        encoding.as_object_mut().unwrap().insert("codec".into(), "json".into());
        one(encoding)
    };
    assert_eq!(
        t(json!({"only_fields": ["z", ".a.b[0]", "missing"]})),
        "{\"a\":{\"b\":[true]},\"z\":1}\n"
    );
    assert_eq!(
        t(json!({"except_fields": ["a", "message", "timestamp"]})),
        "{\"host\":\"h\",\"z\":1}\n"
    );
    for (format, want) in [
        ("unix", "1767323045"),
        ("unix_ms", "1767323045006"),
        ("unix_us", "1767323045006000"),
        ("unix_ns", "1767323045006000000"),
        ("unix_float", "1767323045.006"),
        ("rfc3339", "\"2026-01-02T03:04:05.006Z\""),
    ] {
        assert_eq!(
            t(json!({"only_fields": ["timestamp"], "timestamp_format": format})),
            format!("{{\"timestamp\":{want}}}\n")
        );
    }
    let e =
        config::<EncodingConfig>(json!({"codec": "json", "only_fields": ["a"], "except_fields": ["a"]})).unwrap_err();
    assert_eq!(e.path, ["except_fields"]);
}

#[test]
fn messages_are_joined() {
    let batch = events([value(json!({"a": 1})), value(json!({"a": 2}))]);
    let join = |encoding: serde_json::Value, framing: Option<FramingEncoderConfig>, n: usize| {
        let c: EncodingConfig = config(encoding).unwrap();
        let mut e = c
            .build(framing.as_ref(), SinkType::Message, &LogSchema::default())
            .unwrap();
        let mut raw = Vec::new();
        let mut ends = vec![0];
        e.serialize_batch(&batch, &mut raw, |_, at| ends.push(at));
        let mut out = Vec::new();
        e.join(ends.windows(2).take(n).map(|w| &raw[w[0]..w[1]]), &mut out)
            .unwrap();
        (String::from_utf8(out).unwrap(), e.content_type())
    };
    assert_eq!(
        join(json!({"codec": "json"}), None, 2),
        ("[{\"a\":1},{\"a\":2}]".into(), "application/json")
    );
    assert_eq!(join(json!({"codec": "json"}), None, 0).0, "[]");
    let lines = Some(FramingEncoderConfig::NewlineDelimited);
    assert_eq!(
        join(json!({"codec": "json"}), lines.clone(), 2),
        ("{\"a\":1}\n{\"a\":2}\n".into(), "application/x-ndjson")
    );
    assert_eq!(join(json!({"codec": "json"}), lines, 0).0, "");
    assert_eq!(
        join(json!({"codec": "logfmt"}), None, 2),
        ("a=1\na=2\n".into(), "text/plain")
    );
    let length = Some(FramingEncoderConfig::VarintLengthDelimited { max_frame_length: 100 });
    assert_eq!(
        join(json!({"codec": "json"}), length, 2).0,
        "\x07{\"a\":1}\x07{\"a\":2}"
    );
}

#[test]
fn frames_that_are_too_long_are_left_out() {
    let c: EncodingConfig = config(json!({"codec": "text"})).unwrap();
    let framing: FramingEncoderConfig = config(
        json!({"method": "length_delimited", "length_delimited": {"max_frame_length": 3, "length_field_length": 1}}),
    )
    .unwrap();
    let mut e = c
        .build(Some(&framing), SinkType::Stream, &LogSchema::default())
        .unwrap();
    let batch = events([value(json!({"message": "long"})), value(json!({"message": "ok"}))]);
    let mut out = Vec::new();
    let encoded = e.encode_batch(&batch, &mut out, |_, _| {});
    assert_eq!((encoded.events, encoded.failed.len()), (1, 1));
    assert_eq!(out, b"\x02ok");
}

#[test]
fn keys_without_meaning_are_named_and_bad_ones_refused() {
    let c: EncodingConfig = config(json!({"codec": "text", "json": {"pretty": true}, "avro": 1})).unwrap();
    assert_eq!(c.ignored, ["avro", "json"]);
    for codec in ["avro", "cef", "native", "otlp", "syslog"] {
        let e = config::<EncodingConfig>(json!({ "codec": codec })).unwrap_err();
        assert!(e.message.contains("not supported") && e.message.contains(codec), "{e}");
    }
    assert!(config::<EncodingConfig>(json!({"codec": "gelf", "gelf": {"max_chunk_size": 12}})).is_err());
    assert!(config::<EncodingConfig>(json!({"codec": "json", "timestamp_format": "unx"})).is_err());
    assert!(config::<EncodingConfig>(json!({"codec": "json", "only_fields": ["a..b"]})).is_err());
    assert!(config::<EncodingConfig>(json!("json")).is_err());
}

fn origins() -> Vec<Arc<Origin>> {
    let field = OwnedValuePath::single_field;
    let base = Origin::clone(&origin());
    let offset = Origin {
        offset: Some(field("offset")),
        fields: vec![
            (field("file"), Value::from("/a\"b")),
            (field("zz"), value(json!({"n": [1]}))),
        ],
        ..base.clone()
    };
    let nested = Origin {
        fields: vec![(vrl::path::parse_value_path("a.b").unwrap(), Value::from(1))],
        ..base.clone()
    };
    let overlap = Origin {
        fields: vec![(field("message"), Value::from("other"))],
        ..base.clone()
    };
    let elsewhere = Origin {
        message: field("text"),
        timestamp: None,
        ..base.clone()
    };
    [base, offset, nested, overlap, elsewhere]
        .into_iter()
        .map(Arc::new)
        .collect()
}

proptest! {
    #[test]
    fn lines_are_written_as_their_values_are(
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        ascii in any::<bool>(),
        which in 0usize..5,
    ) {
        let texts: Vec<Vec<u8>> = texts
            .into_iter()
            .map(|t| t.into_iter().map(|b| if ascii { b & 0x7f } else { b }).filter(|b| *b != b'\n').collect())
            .collect();
        let refs: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let batch = lines(&refs, origins()[which].clone());
        let slow = as_events(&batch);
        for codec in ["json", "text", "raw_message", "native_json", "logfmt"] {
            let mut e = encoder(json!({"codec": codec}), SinkType::Stream);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            e.encode_batch(&batch, &mut a, |_, _| {});
            e.encode_batch(&slow, &mut b, |_, _| {});
            prop_assert_eq!(String::from_utf8_lossy(&a), String::from_utf8_lossy(&b), "{}", codec);
        }
    }

    #[test]
    fn json_is_what_serde_json_writes(text in "\\PC{0,20}[\\x00-\\x7f]{0,20}", n in any::<i64>(), f in any::<f64>(), bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut v = value(json!({"n": n, "nested": {"list": [text, null]}}));
        v.insert(&p("text"), Value::from(text));
        v.insert(&p("bytes"), Value::Bytes(bytes.into()));
        v.insert(&p("f"), Value::from_f64_or_zero(f));
        let mut e = encoder(json!({"codec": "json"}), SinkType::Stream);
        let mut out = Vec::new();
        e.encode_batch(&events([v.clone()]), &mut out, |_, _| {});
        prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{}\n", serde_json::to_string(&v).unwrap()));
    }

    #[test]
    fn events_come_back_from_json(text in "\\PC{0,30}", n in any::<i64>()) {
        let v = value(json!({"message": text, "n": n, "timestamp": "t", "source_type": "x"}));
        let mut e = encoder(json!({"codec": "json"}), SinkType::Stream);
        let bytes = encode(&mut e, &events([v.clone()]));
        let mut d = decoder(json!({"codec": "json"}), None);
        prop_assert_eq!(values(&decode(&mut d, bytes.as_bytes(), 7)), vec![v.clone()]);
        let mut e = encoder(json!({"codec": "native_json"}), SinkType::Stream);
        let bytes = encode(&mut e, &events([v.clone()]));
        let mut d = decoder(json!({"codec": "native_json"}), None);
        prop_assert_eq!(values(&decode(&mut d, bytes.as_bytes(), 7)), vec![v]);
    }

    #[test]
    fn documents_are_written_as_their_values_are(texts in proptest::collection::vec("[a-z\"\\\\é\n]{0,12}", 1..5), n in any::<i64>()) {
        let mut block = Vec::new();
        let mut ends = Vec::new();
        for t in &texts {
            block.extend(json!({"z": n, "message": t, "a": {"n": [1, null]}}).to_string().into_bytes());
            ends.push(block.len() as u32);
            block.push(b'\n');
        }
        let mut builder = qd_logs_model::DocsBuilder::new(block.into());
        let mut at = 0;
        for end in ends {
            prop_assert!(builder.parse(at, end).is_ok());
            builder.commit();
            at = end + 1;
        }
        let mut docs = qd_logs_model::LogBatch::events(vec![]);
        docs.rows = qd_logs_model::Rows::Docs(builder.take());
        let batch = Batch::Logs(docs);
        let slow = as_events(&batch);
        for codec in ["json", "text", "raw_message", "native_json", "logfmt"] {
            let mut e = encoder(json!({"codec": codec}), SinkType::Stream);
            let (mut a, mut b) = (Vec::new(), Vec::new());
            e.encode_batch(&batch, &mut a, |_, _| {});
            e.encode_batch(&slow, &mut b, |_, _| {});
            prop_assert_eq!(String::from_utf8_lossy(&a), String::from_utf8_lossy(&b), "{}", codec);
        }
        let t = qd_logs_codecs::Template::parse("{{ message }} {{ a.n[0] }} {{ z }}").unwrap();
        for i in 0..texts.len() {
            let of = |b| t.render(qd_logs_codecs::EventRef::of(b, i).unwrap());
            prop_assert_eq!(of(&batch), of(&slow));
        }
    }
}
