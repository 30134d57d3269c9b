//! Framing and decoding: what they accept, what they refuse, and that no input harms them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use proptest::prelude::*;
use qd_logs_codecs::{Decoder, DecodingConfig, End, FramingConfig, FramingEncoder, FramingEncoderConfig};
use qd_logs_model::{Batch, EventKind, LogSchema, MetricValue, Rows, Value};
use serde_json::json;

fn lines_of(framing: serde_json::Value, input: &[u8], step: usize) -> (Vec<String>, u64, u64, u64) {
    let mut d = decoder(json!({"codec": "bytes"}), Some(framing));
    let all = decode(&mut d, input, step);
    let sum = |f: fn(&qd_logs_codecs::Decoded) -> u64| all.iter().map(f).sum();
    (messages(&all), sum(|d| d.skipped), sum(|d| d.cut), sum(|d| d.failed))
}

#[test]
fn lines_are_cut_alike_however_they_come() {
    let input = b"one\ntwo\r\n\nthree";
    for step in [1, 2, 5, 100] {
        let (m, ..) = lines_of(json!({"method": "newline_delimited"}), input, step);
        assert_eq!(m, ["one", "two\r", "", "three"], "{step}");
    }
}

#[test]
fn lines_stay_lines_of_their_block() {
    let mut d = decoder(json!({"codec": "bytes"}), None);
    let mut input = BytesMut::from(&b"a\nb\nc"[..]);
    let out = d.decode(&mut input, End::No, &origin(), time());
    assert_eq!((out.events(), out.frames, out.bytes), (2, 2, 2));
    let [Batch::Logs(b)] = out.batches.as_slice() else {
        panic!()
    };
    assert!(matches!(b.rows, Rows::Lines(_)));
    assert_eq!(&input[..], b"c");
    let v = b.value(0);
    assert_eq!(v, {
        let mut v = value(json!({"message": "a", "source_type": "test"}));
        v.insert(&p("timestamp"), Value::Timestamp(time()));
        v
    });
}

#[test]
fn big_blocks_become_many_batches() {
    let mut d = decoder(json!({"codec": "bytes"}), None);
    let mut input = BytesMut::new();
    for i in 0..2500 {
        input.extend_from_slice(format!("line {i}\n").as_bytes());
    }
    let out = d.decode(&mut input, End::No, &origin(), time());
    assert!(out.batches.iter().all(|b| b.len() <= 1000));
    let m = messages(&[out]);
    assert_eq!(m.len(), 2500);
    assert_eq!(
        (m[0].as_str(), m[1000].as_str(), m[2499].as_str()),
        ("line 0", "line 1000", "line 2499")
    );
}

#[test]
fn long_frames_are_skipped_or_cut_and_counted() {
    let f = json!({"method": "newline_delimited", "newline_delimited": {"max_length": 4}});
    let cut =
        json!({"method": "newline_delimited", "newline_delimited": {"max_length": 4, "oversized_action": "truncate"}});
    let input = b"1234\n12345\nab\n1234567890123\ncd\n123456";
    for step in [1, 3, 7, 100] {
        assert_eq!(
            lines_of(f.clone(), input, step),
            (vec!["1234".into(), "ab".into(), "cd".into()], 3, 0, 0),
            "{step}"
        );
        let (m, skipped, n, _) = lines_of(cut.clone(), input, step);
        assert_eq!(m, ["1234", "1234", "ab", "1234", "cd", "1234"], "{step}");
        assert_eq!((skipped, n), (0, 3));
    }
    let f = json!({"method": "character_delimited", "character_delimited": {"delimiter": "|", "max_length": 2}});
    assert_eq!(lines_of(f, b"a|bcd|ef|", 2).0, ["a", "ef"]);
}

#[test]
fn octets_are_counted() {
    let f = json!({"method": "octet_counting", "octet_counting": {"max_length": 10}});
    for step in [1, 4, 100] {
        let (m, skipped, _, failed) = lines_of(f.clone(), b"3 abc12 123456789012<4>line\r\n5 a\nb c2 x", step);
        assert_eq!(m, ["abc", "<4>line", "a\nb c"], "{step}");
        assert_eq!((skipped, failed), (1, 1), "the last frame is cut off");
    }
    let (m, _, _, failed) = lines_of(f.clone(), b"2 ab3x abc", 100);
    assert_eq!((m, failed), (vec!["ab".to_owned()], 1));
    let (_, _, _, failed) = lines_of(f, b"99999999999999999999999 a", 100);
    assert_eq!(failed, 1);
}

#[test]
fn lengths_come_before_frames() {
    let f = json!({"method": "length_delimited", "length_delimited": {}});
    let mut input = Vec::new();
    for text in [&b"abc"[..], b"", b"defg"] {
        input.extend((text.len() as u32).to_be_bytes());
        input.extend(text);
    }
    for step in [1, 3, 100] {
        assert_eq!(lines_of(f.clone(), &input, step).0, ["abc", "", "defg"]);
    }
    let f = json!({"method": "length_delimited", "length_delimited":
        {"length_field_length": 2, "length_field_is_big_endian": false, "length_field_offset": 1, "max_frame_length": 3}});
    assert_eq!(lines_of(f.clone(), b"?\x02\x00ab", 1).0, ["ab"]);
    assert_eq!(lines_of(f, b"?\x04\x00abcd", 100).3, 1, "too long breaks the stream");
    let f = json!({"method": "varint_length_delimited"});
    let mut long = vec![0xac, 0x02];
    long.extend([b'x'; 300]);
    assert_eq!(lines_of(f.clone(), &long, 7).0, ["x".repeat(300)]);
    assert_eq!(lines_of(f, &[0xff; 11], 100).3, 1);
    assert!(config::<FramingConfig>(json!({"method": "length_delimited"})).is_err());
    assert!(
        config::<FramingConfig>(json!({"method": "length_delimited", "length_delimited": {"length_field_length": 9}}))
            .is_err()
    );
}

#[test]
fn a_message_is_one_frame() {
    let mut d = decoder(json!({"codec": "bytes"}), Some(json!({"method": "bytes"})));
    let out = d.decode_message(Bytes::from_static(b"a\nb"), &origin(), time());
    assert_eq!(messages(&[out]), ["a\nb"]);
    assert_eq!(lines_of(json!({"method": "bytes"}), b"a\nb\nc", 2).0, ["a\nb\nc"]);
}

#[test]
fn gelf_is_put_together_from_chunks() {
    let message = br#"{"version":"1.1","host":"h","short_message":"a long message to be cut"}"#;
    for compressed in [None, Some(qd_logs_codecs::Compression::GZIP)] {
        let mut body = Vec::new();
        match compressed {
            Some(c) => c.compress(message, &mut body).unwrap(),
            None => body.extend_from_slice(message),
        }
        let mut chunks = qd_logs_codecs::framing::gelf_chunks(&body, 30, 77).unwrap();
        assert!(chunks.len() > 2);
        chunks.reverse();
        let twice = chunks[0].clone();
        chunks.insert(1, twice);
        let config: DecodingConfig = config(json!({"codec": "gelf"})).unwrap();
        let mut d = Decoder::new(
            &config.default_message_framing(),
            config.build(&LogSchema::default()).unwrap(),
        );
        let all: Vec<_> = chunks
            .into_iter()
            .map(|c| d.decode_message(c.into(), &origin(), time()))
            .collect();
        assert_eq!(messages(&all), ["a long message to be cut"]);
        assert!(all.iter().all(|d| d.failed == 0));
        let bad = d.decode_message(
            Bytes::from_static(&[0x1e, 0x0f, 0, 0, 0, 0, 0, 0, 0, 1, 5, 5]),
            &origin(),
            time(),
        );
        assert_eq!((bad.failed, bad.broken), (1, false));
    }
}

#[test]
fn json_objects_are_events() {
    let mut d = decoder(json!({"codec": "json"}), None);
    let input =
        b"{\"a\":1,\"timestamp\":\"t\"}\n\n[{\"b\":2.5},{\"c\":18446744073709551615}]\n3\n{bad\n{\"d\":\"\xff\"}\n";
    let all = decode(&mut d, input, 1000);
    let v = values(&all);
    assert_eq!(v.len(), 4);
    assert_eq!(v[0], value(json!({"a": 1, "timestamp": "t", "source_type": "test"})));
    assert!(v[1].get(&p("timestamp")).unwrap().is_timestamp());
    assert_eq!(v[2].get(&p("c")).unwrap().to_string(), "18446744073709552000");
    assert_eq!(v[3].get(&p("d")).unwrap().to_string_lossy(), "\u{fffd}");
    assert_eq!((all[0].failed, all[0].broken, all[0].frames), (2, false, 6));
    let strict = decode(
        &mut decoder(json!({"codec": "json", "json": {"lossy": false}}), None),
        b"{\"d\":\"\xff\"}\n",
        100,
    );
    assert_eq!(strict[0].failed, 1);
    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        decode(&mut decoder(json!({"codec": "json"}), None), deep.as_bytes(), 1 << 20)[0].failed,
        1
    );
}

#[test]
fn what_an_event_has_stays() {
    let mut d = decoder(json!({"codec": "json"}), None);
    let v = values(&decode(&mut d, br#"{"source_type":"mine"}"#, 100));
    assert_eq!(v[0].get(&p("source_type")).unwrap().to_string_lossy(), "mine");
}

#[test]
fn syslog_has_its_fields() {
    let mut d = decoder(json!({"codec": "syslog"}), None);
    let input = "<13>1 2026-01-02T03:04:05.000006+02:00 host app 42 ID7 [ex@1 a=\"b\" c=\"d\"] the message\n\
                 <34>Oct 11 22:14:15 mymachine su: 'su root' failed\n";
    let v = values(&decode(&mut d, input.as_bytes(), 1000));
    let mut first = value(
        json!({"message": "the message", "hostname": "host", "severity": "notice", "facility": "user",
        "version": 1, "appname": "app", "msgid": "ID7", "procid": 42, "ex@1": {"a": "b", "c": "d"}, "source_type": "test"}),
    );
    first.insert(
        &p("timestamp"),
        Value::Timestamp("2026-01-02T01:04:05.000006Z".parse().unwrap()),
    );
    assert_eq!(v[0], first);
    assert_eq!(v[1].get(&p("appname")).unwrap().to_string_lossy(), "su");
    assert_eq!(v[1].get(&p("severity")).unwrap().to_string_lossy(), "crit");
    assert!(v[1].get(&p("version")).is_none());
}

#[test]
fn gelf_is_checked() {
    let parse = |validation: &str, json: serde_json::Value| {
        let mut d = decoder(json!({"codec": "gelf", "gelf": {"validation": validation}}), None);
        let mut input = json.to_string().into_bytes();
        input.push(0);
        let all = decode(&mut d, &input, 1000);
        match all[0].failed {
            0 => Ok(values(&all).remove(0)),
            _ => Err(all[0].errors[0].to_string()),
        }
    };
    let good = json!({"version": "1.1", "host": "h", "short_message": "s", "timestamp": 1700000000.5, "level": 3,
        "_x": 1, "_id": "gone", "line": 7.0});
    let v = parse("strict", good).unwrap();
    assert_eq!(v.get(&p("message")).unwrap().to_string_lossy(), "s");
    assert_eq!(v.get(&p("_x")), Some(&Value::Integer(1)));
    assert!(v.get(&p("_id")).is_none());
    assert_eq!(
        v.get(&p("timestamp")),
        Some(&Value::Timestamp("2023-11-14T22:13:20.5Z".parse().unwrap()))
    );
    for bad in [
        json!({"version": "1.0", "host": "h", "short_message": "s"}),
        json!({"version": "1.1", "host": "h", "short_message": "s", "x": 1}),
        json!({"version": "1.1", "host": "h", "short_message": "s", "_a b": 1}),
        json!({"version": "1.1", "host": "h", "short_message": "s", "_a": true}),
    ] {
        assert!(parse("strict", bad.clone()).is_err(), "{bad}");
        assert!(parse("relaxed", bad).is_ok());
    }
    assert!(parse("relaxed", json!({"version": "1.1", "short_message": "s"})).is_err());
    assert!(
        parse(
            "strict",
            json!({"version": "1.1", "host": "h", "short_message": "s", "timestamp": 1e300})
        )
        .is_err()
    );
}

#[test]
fn native_json_has_all_kinds() {
    let mut d = decoder(json!({"codec": "native_json"}), None);
    let input = br#"[{"log":{"a":1}},{"trace":{"t":1}},{"metric":{"name":"n","namespace":"s","tags":{"a":"1","b":[null,"2"],"c":null},"timestamp":"2020-01-02T03:04:05Z","interval_ms":5,"kind":"absolute","aggregated_histogram":{"buckets":[{"upper_limit":1.0,"count":2},{"upper_limit":"inf","count":1}],"count":3,"sum":4.5}}}]"#;
    let all = decode(&mut d, input, 10_000);
    let kinds: Vec<EventKind> = all.iter().flat_map(|d| &d.batches).map(Batch::kind).collect();
    assert_eq!(kinds, [EventKind::Log, EventKind::Trace, EventKind::Metric]);
    for bad in [
        &b"3"[..],
        b"{}",
        b"{\"log\":{},\"metric\":{}}",
        b"{\"other\":{}}",
        b"{\"trace\":1}",
        b"{\"metric\":{\"name\":\"n\",\"kind\":\"absolute\"}}",
        b"{\"metric\":{\"name\":\"n\",\"kind\":\"absolute\",\"sketch\":{}}}",
    ] {
        let out = decode(&mut decoder(json!({"codec": "native_json"}), None), bad, 1000);
        assert_eq!(
            out.iter().map(|d| d.failed).sum::<u64>(),
            1,
            "{:?}",
            String::from_utf8_lossy(bad)
        );
    }
}

#[test]
fn influxdb_lines_are_gauges() {
    let mut d = decoder(json!({"codec": "influxdb"}), Some(json!({"method": "bytes"})));
    let input = b"# comment\ncpu,host=a\\ b,dc=x idle=1.5,n=3i,up=true,text=\"a, \\\"b\\\"\" 1465839830100400200\nmem free=7u\n";
    let all = decode(&mut d, input, 1000);
    let Some(Batch::Metrics(m)) = all.iter().flat_map(|d| &d.batches).next() else {
        panic!("{all:?}")
    };
    let got: Vec<(String, f64)> = m
        .metrics
        .iter()
        .map(|m| match m.value {
            MetricValue::Gauge { value } => (m.name.clone(), value),
            _ => panic!(),
        })
        .collect();
    let want = [("cpu_idle", 1.5), ("cpu_n", 3.0), ("cpu_up", 1.0), ("mem_free", 7.0)];
    assert_eq!(got, want.map(|(n, v)| (n.to_owned(), v)));
    assert_eq!(m.metrics[0].tags["host"], qd_logs_model::TagValue::One("a b".into()));
    assert_eq!(
        m.metrics[0].timestamp.unwrap().to_rfc3339(),
        "2016-06-13T17:43:50.100400200+00:00"
    );
    assert!(m.metrics[3].timestamp.is_none());
    for bad in [
        &b"cpu"[..],
        b"cpu a=",
        b"cpu a=1 x",
        b"cpu a=\"b",
        b",a=b c=1",
        b"cpu a=1 1 1",
    ] {
        let out = decode(&mut decoder(json!({"codec": "influxdb"}), None), bad, 1000);
        assert_eq!(
            out.iter().map(|d| d.failed).sum::<u64>(),
            1,
            "{:?}",
            String::from_utf8_lossy(bad)
        );
    }
}

#[test]
fn a_program_decodes() {
    let source = ". = parse_json!(.message)\n.seen = true";
    let mut d = decoder(
        json!({"codec": "vrl", "vrl": {"source": source}}),
        Some(json!({"method": "newline_delimited"})),
    );
    let all = decode(&mut d, b"{\"a\":1}\nbad\n", 1000);
    assert_eq!(values(&all)[0].get(&p("seen")), Some(&Value::Boolean(true)));
    assert_eq!(all[0].failed, 1);
    let bad: DecodingConfig = config(json!({"codec": "vrl", "vrl": {"source": ". = "}})).unwrap();
    assert!(bad.build(&LogSchema::default()).is_err());
}

#[test]
fn wrong_configurations_are_named() {
    let e = config::<DecodingConfig>(json!({"codec": "jsn"})).unwrap_err();
    assert_eq!(e.suggestion.as_deref(), Some("json"));
    assert_eq!(e.path, ["codec"]);
    for codec in ["avro", "native", "otlp"] {
        let e = config::<DecodingConfig>(json!({ "codec": codec })).unwrap_err();
        assert!(e.message.contains("not supported") && e.message.contains(codec));
    }
    assert!(
        config::<DecodingConfig>(json!({}))
            .unwrap_err()
            .message
            .contains("missing key `codec`")
    );
    assert!(
        config::<FramingConfig>(json!({"method": "character_delimited", "character_delimited": {"delimiter": "ab"}}))
            .is_err()
    );
    assert!(
        config::<FramingConfig>(json!({"method": "character_delimited", "character_delimited": {"delimiter": "é"}}))
            .is_err()
    );
    let d: DecodingConfig =
        config(json!({"codec": "protobuf", "protobuf": {"desc_file": "/nowhere", "message_type": "m"}})).unwrap();
    assert!(d.build(&LogSchema::default()).unwrap_err().message.contains("/nowhere"));
}

const CODECS: [&str; 6] = ["bytes", "json", "syslog", "native_json", "gelf", "influxdb"];

proptest! {
    #[test]
    fn no_input_harms_a_decoder(
        input in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'{'), Just(b'"'), Just(b'1'), Just(b' '), Just(b'<'), Just(0u8)], 0..300),
        step in 1usize..50,
        codec in 0usize..6,
        method in 0usize..7,
    ) {
        let framing = match method {
            0 => json!({"method": "bytes"}),
            1 => json!({"method": "newline_delimited", "newline_delimited": {"max_length": 20}}),
            2 => json!({"method": "character_delimited", "character_delimited": {"delimiter": " ", "max_length": 9, "oversized_action": "truncate"}}),
            3 => json!({"method": "length_delimited", "length_delimited": {"length_field_length": 1}}),
            4 => json!({"method": "octet_counting", "octet_counting": {"max_length": 20}}),
            5 => json!({"method": "chunked_gelf", "chunked_gelf": {"pending_messages_limit": 2}}),
            _ => json!({"method": "varint_length_delimited"}),
        };
        let mut d = decoder(json!({"codec": CODECS[codec]}), Some(framing));
        let all = decode(&mut d, &input, step);
        prop_assert!(all.iter().all(|d| d.errors.len() <= 16));
    }

    #[test]
    fn steps_make_no_difference(
        input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), Just(b'b'), Just(b'3'), Just(b' ')], 0..100),
        step in 1usize..20,
        action in 0..2,
    ) {
        let action = if action == 0 { "drop" } else { "truncate" };
        let f = json!({"method": "newline_delimited", "newline_delimited": {"max_length": 5, "oversized_action": action}});
        prop_assert_eq!(lines_of(f.clone(), &input, step), lines_of(f, &input, 1000));
        let f = json!({"method": "octet_counting", "octet_counting": {"max_length": 5}});
        prop_assert_eq!(lines_of(f.clone(), &input, step), lines_of(f, &input, 1000));
    }

    #[test]
    fn what_is_framed_is_cut_again(
        frames in proptest::collection::vec(proptest::collection::vec(1u8..9, 1..40), 1..20),
        step in 1usize..50,
        method in 0usize..4,
    ) {
        let (encoding, framing) = match method {
            0 => (json!({"method": "newline_delimited"}), json!({"method": "newline_delimited"})),
            1 => {
                let c = json!({"method": "character_delimited", "character_delimited": {"delimiter": "|"}});
                (c.clone(), c)
            }
            2 => {
                let l = json!({"method": "length_delimited", "length_delimited": {"length_field_length": 3, "length_field_is_big_endian": false}});
                (l.clone(), l)
            }
            _ => {
                let v = json!({"method": "varint_length_delimited", "max_frame_length": 1000});
                (v.clone(), v)
            }
        };
        let framer = FramingEncoder::new(config::<FramingEncoderConfig>(encoding).unwrap());
        let mut out = Vec::new();
        for f in &frames {
            let start = out.len();
            out.extend_from_slice(f);
            framer.frame(&mut out, start).unwrap();
        }
        let got = lines_of(framing, &out, step).0;
        let want: Vec<String> = frames.iter().map(|f| String::from_utf8(f.clone()).unwrap()).collect();
        prop_assert_eq!(got, want);
    }
}
