use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;

use super::*;

/// A record with every kind of value, written by hand as the specification has it.
const LOGS: &str = r#"{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}],
  "droppedAttributesCount": 2, "entityRefs": [{"type": "x"}]}, "scopeLogs": [{"scope": {"name": "lib", "version": null},
  "logRecords": [{"timeUnixNano": "1544712660300000001", "observedTimeUnixNano": 1544712661300000000,
  "severityNumber": 10, "severityText": "Information", "traceId": "5B8EFFF798038103d269b633813fc60c",
  "spanId": "eee19b7ec3c1b174", "flags": 1, "body": {"kvlistValue": {"values": [
    {"key": "s", "value": {"stringValue": ""}}, {"key": "b", "value": {"boolValue": false}},
    {"key": "i", "value": {"intValue": "-9223372036854775808"}}, {"key": "j", "value": {"intValue": 7}},
    {"key": "d", "value": {"doubleValue": 1.5}}, {"key": "n", "value": {"doubleValue": "-Infinity"}},
    {"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {}]}}},
    {"key": "y", "value": {"bytesValue": "_-8"}}, {"key": "none"}]}},
  "notKnown": [{}]}]}]}]}"#;

#[test]
fn logs_are_the_same_as_in_protobuf() {
    let read = logs(LOGS.as_bytes()).unwrap();
    let any = |v| AnyValue { value: Some(v) };
    let kv = |key: &str, v| KeyValue {
        key: key.to_owned(),
        value: Some(any(v)),
        ..KeyValue::default()
    };
    let body = vec![
        kv("s", Any::StringValue(String::new())),
        kv("b", Any::BoolValue(false)),
        kv("i", Any::IntValue(i64::MIN)),
        kv("j", Any::IntValue(7)),
        kv("d", Any::DoubleValue(1.5)),
        kv("n", Any::DoubleValue(f64::NEG_INFINITY)),
        kv(
            "a",
            Any::ArrayValue(ArrayValue {
                values: vec![any(Any::IntValue(1)), AnyValue { value: None }],
            }),
        ),
        kv("y", Any::BytesValue(vec![0xff, 0xef])),
        KeyValue {
            key: "none".to_owned(),
            ..KeyValue::default()
        },
    ];
    let record = LogRecord {
        time_unix_nano: 1_544_712_660_300_000_001,
        observed_time_unix_nano: 1_544_712_661_300_000_000,
        severity_number: 10,
        severity_text: "Information".to_owned(),
        body: Some(any(Any::KvlistValue(KeyValueList { values: body }))),
        flags: 1,
        trace_id: vec![
            0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c,
        ],
        span_id: vec![0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74],
        ..LogRecord::default()
    };
    let wanted = ResourceLogs {
        resource: Some(Resource {
            attributes: vec![kv("service.name", Any::StringValue("shop".to_owned()))],
            dropped_attributes_count: 2,
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope {
                name: "lib".to_owned(),
                ..InstrumentationScope::default()
            }),
            log_records: vec![record],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    };
    assert_eq!(read.resource_logs, [wanted]);
}

#[test]
fn metrics_of_every_kind_are_read() {
    let point = r#""timeUnixNano": "5", "attributes": [{"key": "k", "value": {"stringValue": "v"}}]"#;
    let text = format!(
        r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [
        {{"name": "g", "unit": "1", "gauge": {{"dataPoints": [{{"asDouble": 2, {point}}}]}}}},
        {{"name": "s", "sum": {{"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{{"asInt": "3", {point}}}]}}}},
        {{"name": "h", "histogram": {{"aggregationTemporality": 1, "dataPoints": [
            {{"count": "3", "sum": 6, "bucketCounts": ["1", 2], "explicitBounds": [1.5], "min": 1, {point}}}]}}}},
        {{"name": "e", "exponentialHistogram": {{"dataPoints": [{{"count": 4, "scale": -1, "zeroCount": "1",
            "positive": {{"offset": 1, "bucketCounts": ["3"]}}, {point}}}]}}}},
        {{"name": "q", "summary": {{"dataPoints": [{{"count": 1, "sum": 2.5,
            "quantileValues": [{{"quantile": 0.5, "value": 2.5}}], {point}}}]}}}},
        {{"name": "nothing"}}]}}]}}]}}"#
    );
    let read = metrics(text.as_bytes()).unwrap();
    let all = &read.resource_metrics[0].scope_metrics[0].metrics;
    assert_eq!(all.len(), 6);
    match &all[0].data {
        Some(Data::Gauge(g)) => assert_eq!(g.data_points[0].value, Some(Number::AsDouble(2.0))),
        other => panic!("{other:?}"),
    }
    match &all[1].data {
        Some(Data::Sum(s)) => {
            assert_eq!(s.data_points[0].value, Some(Number::AsInt(3)));
            assert!(s.is_monotonic && s.aggregation_temporality == 2);
        }
        other => panic!("{other:?}"),
    }
    match &all[2].data {
        Some(Data::Histogram(h)) => {
            let p = &h.data_points[0];
            assert_eq!((p.count, p.sum, p.min, p.max), (3, Some(6.0), Some(1.0), None));
            assert_eq!(
                (p.bucket_counts.as_slice(), p.explicit_bounds.as_slice()),
                (&[1, 2][..], &[1.5][..])
            );
        }
        other => panic!("{other:?}"),
    }
    match &all[3].data {
        Some(Data::ExponentialHistogram(e)) => {
            let p = &e.data_points[0];
            assert_eq!((p.scale, p.zero_count, p.negative.is_none()), (-1, 1, true));
            let positive = p.positive.clone().unwrap();
            assert_eq!((positive.offset, positive.bucket_counts), (1, vec![3]));
        }
        other => panic!("{other:?}"),
    }
    match &all[4].data {
        Some(Data::Summary(s)) => assert_eq!(s.data_points[0].quantile_values[0].value, 2.5),
        other => panic!("{other:?}"),
    }
    assert_eq!(all[5].data, None);
    // What was read is what protobuf gives back.
    assert_eq!(
        ExportMetricsServiceRequest::decode(&*read.encode_to_vec()).unwrap(),
        read
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let said = |text: &str| logs(text.as_bytes()).unwrap_err();
    let record = |field: &str| format!(r#"{{"resourceLogs":[{{}},{{"scopeLogs":[{{"logRecords":[{{{field}}}]}}]}}]}}"#);
    let at = "`resourceLogs[1].scopeLogs[0].logRecords[0].";
    for (field, end) in [
        (
            r#""traceId":"abc""#,
            "traceId`: expected pairs of hexadecimal digits, found the text \"abc\"",
        ),
        (
            r#""timeUnixNano":-1"#,
            "timeUnixNano`: expected an integer of 0 to 2^64-1, found the number -1",
        ),
        (
            r#""timeUnixNano":"1.5""#,
            "timeUnixNano`: expected an integer of 0 to 2^64-1, found the text \"1.5\"",
        ),
        (
            r#""severityNumber":"INFO""#,
            "severityNumber`: expected an integer of 64 bits, found the text \"INFO\"",
        ),
        (
            r#""flags":4294967296"#,
            "flags`: expected an integer of 0 to 2^32-1, found the number 4294967296",
        ),
        (r#""attributes":{}"#, "attributes`: expected a list, found an object"),
        (
            r#""attributes":[7]"#,
            "attributes[0]`: expected an object, found the number 7",
        ),
        (
            r#""body":{"bytesValue":"*"}"#,
            "body.bytesValue`: expected base64, found the text \"*\"",
        ),
        (r#""body":"text""#, "body`: expected an object, found the text \"text\""),
        (
            r#""severityText":true"#,
            "severityText`: expected text, found a boolean",
        ),
    ] {
        assert_eq!(said(&record(field)), format!("{at}{end}"));
    }
    assert_eq!(said("[]"), "the message: expected an object, found a list");
    assert!(said("{").starts_with("it is no JSON: EOF"), "{}", said("{"));
    assert_eq!(logs(b"{}").unwrap(), ExportLogsServiceRequest::default());
    assert_eq!(
        logs(record(r#""timeUnixNano":1e3"#).as_bytes())
            .unwrap()
            .resource_logs
            .len(),
        2
    );
}

#[test]
fn nesting_without_end_is_refused_and_not_followed() {
    let deep = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{}{{}}{}}}]}}]}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(100_000),
        "]}}".repeat(100_000)
    );
    assert!(logs(deep.as_bytes()).unwrap_err().contains("recursion limit"));
}

proptest::proptest! {
    #[test]
    fn no_text_brings_it_down(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), cut in 0usize..1200) {
        let _never_panics = logs(&body);
        let mut text = LOGS.as_bytes().to_vec();
        let at = cut % text.len();
        if let Some(b) = body.first() {
            text[at] = *b;
        }
        let _never_panics = logs(&text);
        let _never_panics = traces(&text);
        let _never_panics = metrics(&text[..at]);
    }
}
