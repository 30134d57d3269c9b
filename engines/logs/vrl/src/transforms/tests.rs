mod bounds;

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use qd_logs_model::{
    Delivery, Globals, Line, Lines, LogSchema, Metric, MetricKind, MetricValue, Origin, ProxySettings, TagValue,
    Telemetry, Token, Transform, TransformOut, telemetry::Reading,
};
use serde_json::json;

use super::*;

fn cx() -> Context {
    Context {
        id: "it".into(),
        globals: Arc::new(Globals {
            data_dir: "/nowhere".into(),
            timezone: None,
            log_schema: LogSchema::default(),
            hostname: "here".into(),
            proxy: Arc::new(ProxySettings::default()),
        }),
        telemetry: Telemetry::new(),
        log: InternalLog::new(),
        aborted: Arc::new(AtomicBool::new(false)),
        acknowledgements: false,
    }
}

fn config(ty: &str, config: serde_json::Value) -> Result<Box<dyn TransformConfig>, ConfigError> {
    let entry = catalog().transforms.into_iter().find(|e| e.name == ty).unwrap();
    (entry.parse)(&Node::from(config))
}

fn build(ty: &str, c: serde_json::Value) -> (Box<dyn Transform>, Context) {
    let cx = cx();
    (config(ty, c).unwrap().build(cx.clone()).unwrap(), cx)
}

fn refused(ty: &str, c: serde_json::Value) -> String {
    match config(ty, c) {
        Err(e) => e.to_string(),
        Ok(c) => match c.build(cx()) {
            Err(e) => e.to_string(),
            Ok(_) => panic!("was not refused"),
        },
    }
}

fn logs(values: impl IntoIterator<Item = serde_json::Value>) -> Batch {
    let values = values.into_iter().map(|v| LogEvent::new(Value::from(v)));
    Batch::Logs(LogBatch::events(values.collect()))
}

fn lines(texts: &[&str]) -> Batch {
    let mut block = String::new();
    let mut lines = Vec::new();
    for t in texts {
        let start = u32::try_from(block.len()).unwrap();
        block.push_str(t);
        lines.push(Line {
            start,
            end: u32::try_from(block.len()).unwrap(),
            offset: 0,
        });
        block.push('\n');
    }
    Batch::Logs(LogBatch::lines(Lines {
        block: Bytes::from(block),
        lines,
        read_at: chrono::Utc::now(),
        origin: Arc::new(Origin {
            source: "in".into(),
            source_type: "file",
            message: OwnedValuePath::single_field("message"),
            timestamp: None,
            offset: None,
            fields: vec![(OwnedValuePath::single_field("host"), Value::from("web"))],
        }),
    }))
}

fn run(t: &mut Box<dyn Transform>, batch: Batch) -> Vec<(usize, Batch)> {
    let mut out = TransformOut::default();
    t.transform(batch, &mut out);
    out.0
}

/// The events that came out, as JSON, by port.
fn seen(out: Vec<(usize, Batch)>) -> Vec<(usize, serde_json::Value)> {
    let mut all = Vec::new();
    for (port, batch) in out {
        let Batch::Logs(b) = batch else { panic!("metrics") };
        for i in 0..b.len() {
            all.push((port, serde_json::to_value(b.value(i)).unwrap()));
        }
    }
    all
}

fn ended(t: &mut Box<dyn Transform>) -> Vec<(usize, serde_json::Value)> {
    let mut out = TransformOut::default();
    t.finish(&mut out);
    seen(out.0)
}

fn count(cx: &Context, name: &str) -> u64 {
    let sum = cx.telemetry.read().into_iter().map(|(n, _, r)| match r {
        Reading::Counter(c) if n == name => c,
        _ => 0,
    });
    sum.sum()
}

#[test]
fn remap_of_lines_keeps_order_and_errors() {
    let (mut t, cx) = build(
        "remap",
        json!({"source": ". = parse_json!(.message)\n.a = to_int!(.a)"}),
    );
    let out = run(
        &mut t,
        lines(&[
            r#"{"b":1,"a":"5"}"#,
            "nonsense",
            r#"{"a":"x"}"#,
            r#"{"a":7}"#,
            "[{\"a\":1}]",
        ]),
    );
    assert!(matches!(
        &out[0].1,
        Batch::Logs(LogBatch {
            rows: Rows::Docs(_),
            ..
        })
    ));
    assert_eq!(
        seen(out),
        [
            (0, json!({"a":5,"b":1})),
            (0, json!({"message":"nonsense","host":"web"})),
            (0, json!({"message":"{\"a\":\"x\"}","host":"web"})),
            (0, json!({"a":7})),
            // A field of a list is null, and writing one makes an object of it: VRL says so.
            (0, json!({"a":0})),
        ]
    );
    assert_eq!(count(&cx, "component_errors_total"), 2);
    assert_eq!(count(&cx, "component_discarded_events_total"), 0);
}

#[test]
fn remap_splits_lists() {
    let (mut t, _) = build("remap", json!({"source": ". = parse_json!(.message)"}));
    assert_eq!(
        seen(run(&mut t, lines(&["[{\"a\":1},2]", "3"]))),
        [
            (0, json!({"a":1})),
            (0, json!({"message":2})),
            (0, json!({"message":3}))
        ]
    );
}

#[test]
fn remap_reroutes_what_it_drops() {
    let source = "if .x == 1 { abort \"no ones\" }\n.x = to_int!(.x)";
    let (mut t, cx) = build(
        "remap",
        json!({"source": source, "drop_on_error": true, "drop_on_abort": true, "reroute_dropped": true}),
    );
    let out = seen(run(&mut t, logs([json!({"x":1}), json!({"x":"a"}), json!({"x":"2"})])));
    let (dropped, kept): (Vec<_>, Vec<_>) = out.into_iter().partition(|(p, _)| *p == 1);
    assert_eq!(kept, [(0, json!({"x":2}))]);
    assert_eq!(
        dropped[0].1,
        json!({"x":1,"metadata":{"dropped":{
            "reason":"abort","message":"no ones","component_id":"it","component_type":"remap","component_kind":"transform"}}})
    );
    assert_eq!(dropped[1].1["metadata"]["dropped"]["reason"], "error");
    assert_eq!(count(&cx, "component_discarded_events_total"), 0);
    let (mut t, cx) = build("remap", json!({"source": source, "drop_on_error": true}));
    assert_eq!(seen(run(&mut t, logs([json!({"x":1}), json!({"x":"a"})]))), []);
    assert_eq!(count(&cx, "component_discarded_events_total"), 2);
}

fn counter(name: &str, value: f64, kind: MetricKind) -> Metric {
    Metric {
        name: name.to_owned(),
        namespace: None,
        tags: [("host".to_owned(), TagValue::One("a".to_owned()))].into(),
        timestamp: None,
        interval_ms: None,
        kind,
        value: MetricValue::Counter { value },
    }
}

fn gauge(name: &str, value: f64) -> Metric {
    Metric {
        value: MetricValue::Gauge { value },
        ..counter(name, 0.0, MetricKind::Absolute)
    }
}

fn of_metrics(out: Vec<(usize, Batch)>) -> Vec<Metric> {
    out.into_iter()
        .flat_map(|(_, b)| match b {
            Batch::Metrics(m) => m.metrics,
            Batch::Logs(_) => panic!("logs"),
        })
        .collect()
}

#[test]
fn remap_of_metrics() {
    let source = ".name = upcase(string!(.name))\n.tags.env = \"prod\"\ndel(.tags.host)\n.namespace = .type\n.kind = \"absolute\"";
    let (mut t, _) = build("remap", json!({ "source": source }));
    let made = of_metrics(run(
        &mut t,
        metrics(vec![counter("hits", 1.0, MetricKind::Incremental)], Finalizers::none()),
    ));
    assert_eq!(made[0].name, "HITS");
    assert_eq!(made[0].namespace.as_deref(), Some("counter"));
    assert_eq!(made[0].kind, MetricKind::Absolute);
    assert_eq!(
        made[0].tags,
        [("env".to_owned(), TagValue::One("prod".to_owned()))].into()
    );
}

#[test]
fn what_is_refused() {
    assert!(refused("remap", json!({"source": ".", "sauce": 1})).contains("source"));
    assert!(refused("remap", json!({})).contains("exactly one of"));
    assert!(refused("remap", json!({"source": ".a = parse_json(.b)"})).contains("error[E"));
    assert!(refused("remap", json!({"source": ".", "timezone": "Moon/Sea"})).contains("Moon/Sea"));
    assert!(refused("filter", json!({"condition": ".a"})).contains("boolean"));
    assert!(refused("filter", json!({"condition": "del(.a) == 1"})).contains("error[E"));
    assert!(
        refused(
            "filter",
            json!({"condition": {"type": "datadog_search", "source": "a"}})
        )
        .contains("datadog_search")
    );
    assert!(refused("route", json!({"route": {"_unmatched": "true"}})).contains("_unmatched"));
    assert!(
        refused(
            "exclusive_route",
            json!({"routes": [{"name":"a","condition":"true"},{"name":"a","condition":"true"}]})
        )
        .contains("duplicate")
    );
    assert!(refused("sample", json!({"rate": 1, "ratio": 0.5})).contains("not both"));
    assert!(refused("sample", json!({"rate": 0})).contains("non-zero"));
    assert!(refused("throttle", json!({"threshold": 0, "window_secs": 1})).contains("non-zero"));
    assert!(refused("reduce", json!({"ends_when": "true", "starts_when": "true"})).contains("only one"));
    assert!(refused("reduce", json!({"merge_strategies": {"a[0]": "array"}})).contains("indexes"));
    assert!(refused("dedupe", json!({"cache": {"num_events": 0}})).contains("zero"));
    assert!(refused("aggregate", json!({"mode": "Sometimes"})).contains("Sometimes"));
}

#[test]
fn filter_and_kinds() {
    let (mut t, cx) = build("filter", json!({"condition": ".a == 1"}));
    assert_eq!(
        seen(run(&mut t, logs([json!({"a":1}), json!({"a":2}), json!({})]))),
        [(0, json!({"a":1}))]
    );
    assert_eq!(count(&cx, "component_discarded_events_total"), 2);
    let (mut t, _) = build("filter", json!({"condition": {"type": "is_metric"}}));
    assert!(run(&mut t, logs([json!({})])).is_empty());
    let (mut t, cx) = build("filter", json!({"condition": "int!(.a) > 1"}));
    assert!(run(&mut t, logs([json!({"a":"x"})])).is_empty());
    assert_eq!(count(&cx, "component_errors_total"), 1);
}

#[test]
fn routes() {
    let c = json!({"route": {"one": ".a == 1", "small": "int!(.a) < 3"}});
    let names: Vec<_> = config("route", c.clone())
        .unwrap()
        .outputs()
        .into_iter()
        .map(|o| o.name.unwrap())
        .collect();
    assert_eq!(names, ["one", "small", "_unmatched"]);
    let (mut t, cx) = build("route", c);
    assert_eq!(
        seen(run(&mut t, logs([json!({"a":1}), json!({"a":2}), json!({"a":3})]))),
        [
            (0, json!({"a":1})),
            (1, json!({"a":1})),
            (1, json!({"a":2})),
            (2, json!({"a":3}))
        ]
    );
    // What comes out by `_unmatched` is not discarded; what comes out nowhere is.
    assert_eq!(count(&cx, "component_discarded_events_total"), 0);
    let c = json!({"route": {"one": ".a == 1"}, "reroute_unmatched": false});
    let (mut t, cx) = build("route", c);
    assert_eq!(
        seen(run(&mut t, logs([json!({"a":1}), json!({"a":2}), json!({"a":3})]))),
        [(0, json!({"a":1}))]
    );
    assert_eq!(count(&cx, "component_discarded_events_total"), 2);
    let c = json!({"routes": [{"name":"one","condition":".a == 1"},{"name":"small","condition":"int!(.a) < 3"}]});
    let (mut t, _) = build("exclusive_route", c);
    assert_eq!(
        seen(run(&mut t, logs([json!({"a":1}), json!({"a":2}), json!({"a":3})]))),
        [(0, json!({"a":1})), (1, json!({"a":2})), (2, json!({"a":3}))]
    );
}

#[test]
fn dedupe_forgets_the_oldest() {
    let (mut t, _) = build(
        "dedupe",
        json!({"fields": {"match": ["a"]}, "cache": {"num_events": 2}}),
    );
    let events = ["x", "x", "y", "x", "z", "y", "x"].map(|v| json!({"a":v}));
    let out: Vec<_> = seen(run(&mut t, logs(events)))
        .into_iter()
        .map(|(_, v)| v["a"].clone())
        .collect();
    // x was used after y, so that z pushes y out, and y then x.
    assert_eq!(out, ["x", "y", "z", "y", "x"]);
    let (mut t, _) = build("dedupe", json!({"fields": {"ignore": ["t", "d.e"]}}));
    let events = [
        json!({"a":1,"t":1,"d":{"e":1,"f":2}}),
        json!({"a":1,"t":2,"d":{"e":2,"f":2}}),
        json!({"a":1,"t":2,"d":{"e":2,"f":3}}),
        json!({"a":"1","t":2,"d":{"e":2,"f":3}}),
    ];
    assert_eq!(seen(run(&mut t, logs(events))).len(), 3);
    let (mut t, _) = build("dedupe", json!({"time_settings": {"max_age_ms": 0}}));
    assert_eq!(seen(run(&mut t, lines(&["a", "a"]))).len(), 2);
    let (mut t, _) = build("dedupe", json!({"time_settings": {"max_age_ms": 1_000_000}}));
    assert_eq!(seen(run(&mut t, lines(&["a", "a"]))).len(), 1);
}

#[test]
fn sample_by_count_and_ratio() {
    let (mut t, _) = build("sample", json!({"rate": 3, "exclude": ".keep == true"}));
    let events = (0..6).map(|i| json!({"i":i})).chain([json!({"keep":true})]);
    assert_eq!(
        seen(run(&mut t, logs(events))),
        [
            (0, json!({"i":0,"sample_rate":"3"})),
            (0, json!({"i":3,"sample_rate":"3"})),
            (0, json!({"keep":true}))
        ]
    );
    let (mut t, _) = build(
        "sample",
        json!({"ratio": 0.5, "sample_rate_key": "", "group_by": "{{ g }}"}),
    );
    let events = [("a", 0), ("a", 1), ("b", 2), ("a", 3), ("b", 4)].map(|(g, i)| json!({"g":g,"i":i}));
    let out: Vec<_> = seen(run(&mut t, logs(events)))
        .into_iter()
        .map(|(_, v)| v["i"].clone())
        .collect();
    assert_eq!(out, [0, 2, 3]);
    let (mut t, _) = build("sample", json!({"rate": 2, "key_field": "k"}));
    let events = (0..100).map(|i| json!({"k": i % 10}));
    let out = seen(run(&mut t, logs(events)));
    let keys: std::collections::BTreeSet<_> = out.iter().map(|(_, v)| v["k"].as_i64().unwrap()).collect();
    assert_eq!(out.len(), keys.len() * 10, "all events of a key or none");
}

#[test]
fn throttle_by_key() {
    let (mut t, cx) = build(
        "throttle",
        json!({"threshold": 2, "window_secs": 100_000, "key_field": "{{ k }}", "exclude": "exists(.free)",
               "internal_metrics": {"emit_events_discarded_per_key": true}}),
    );
    let events = ["a", "a", "a", "b", "a"]
        .map(|k| json!({"k":k}))
        .into_iter()
        .chain([json!({"k":"a","free":1})]);
    assert_eq!(seen(run(&mut t, logs(events))).len(), 4);
    assert_eq!(count(&cx, "component_discarded_events_total"), 2);
    assert_eq!(count(&cx, "events_discarded_total"), 2);
}

#[test]
fn reduce_by_all_strategies() {
    let (mut t, _) = build(
        "reduce",
        json!({"group_by": ["id"], "ends_when": "exists(.end)", "merge_strategies": {
            "first": "discard", "last": "retain", "sum": "sum", "max": "max", "min": "min", "all": "array", "text": "concat",
            "lines": "concat_newline", "raw": "concat_raw", "short": "shortest_array", "long": "longest_array",
            "flat": "flat_unique", "o.list": "concat"}}),
    );
    let one = json!({"id":1,"first":"a","last":"a","sum":1,"max":1,"min":1.5,"all":1,"text":"a","lines":"a","raw":"a","short":[1,2],
                     "long":[1,2],"flat":[1,2],"o":{"list":[1],"n":1},"n":2,"s":"x"});
    let two = json!({"id":1,"first":"b","last":null,"sum":2.5,"max":3,"min":2,"all":"x","text":"b","lines":"b","raw":"b","short":[3],
                     "long":[1,2,3],"flat":{"k":2,"l":3},"o":{"list":2,"n":2},"n":3,"s":"y","end":true});
    let other = json!({"id":2,"n":1});
    assert_eq!(
        seen(run(&mut t, logs([one, other, two]))),
        [(
            0,
            json!({"id":1,"first":"a","last":"a","sum":3.5,"max":3,"min":1.5,"all":[1,"x"],"text":"a b","lines":"a\nb","raw":"ab",
                   "short":[3],"long":[1,2,3],"flat":[1,2,3],"o":{"list":[1,2],"n":3},"n":5,"s":"x","end":true})
        )]
        .map(|(p, mut v)| {
            // The group's id is a number, and numbers add up without a strategy.
            v["id"] = json!(2);
            (p, v)
        })
    );
    assert_eq!(ended(&mut t), [(0, json!({"id":2,"n":1}))]);
}

#[test]
fn reduce_starts_and_counts() {
    let (mut t, _) = build(
        "reduce",
        json!({"starts_when": "match(string!(.message), r'^\\w')", "merge_strategies": {"message": "concat_newline"}}),
    );
    let out = seen(run(&mut t, logs(["a", " b", " c", "d"].map(|m| json!({"message":m})))));
    assert_eq!(out, [(0, json!({"message":"a\n b\n c"}))]);
    assert_eq!(ended(&mut t), [(0, json!({"message":"d"}))]);
    let (mut t, _) = build("reduce", json!({"max_events": 2, "merge_strategies": {"i": "array"}}));
    let out = seen(run(&mut t, logs((0..5).map(|i| json!({"i":i})))));
    assert_eq!(out, [(0, json!({"i":[0,1]})), (0, json!({"i":[2,3]}))]);
    let mut late = TransformOut::default();
    t.tick(Instant::now() + Duration::from_secs(31), &mut late);
    assert_eq!(seen(late.0), [(0, json!({"i":[4]}))]);
}

#[test]
fn reduce_keeps_those_who_wait() {
    let (mut t, _) = build("reduce", json!({"max_events": 2}));
    let (tx, rx) = std::sync::mpsc::channel();
    for _ in 0..2 {
        let tx = parking_lot::Mutex::new(tx.clone());
        let mut batch = logs([json!({"a":1})]);
        *batch.finalizers_mut() = Finalizers::one(Token::new(move |d| {
            let _ = tx.lock().send(d);
        }));
        let out = run(&mut t, batch);
        assert!(
            rx.try_recv().is_err(),
            "nobody may hear before the merged event is through"
        );
        for (_, b) in out {
            b.finalizers().report(Delivery::Rejected);
            drop(b);
            assert_eq!(rx.try_recv(), Ok(Delivery::Rejected));
            assert_eq!(rx.try_recv(), Ok(Delivery::Rejected));
        }
    }
}

#[test]
fn metrics_of_logs() {
    let (mut t, cx) = build(
        "log_to_metric",
        json!({"metrics": [
            {"type":"counter","field":"n","name":"n_total","namespace":"{{ app }}","increment_by_value":true,
             "tags":{"host":"{{ host }}","bare":null,"two":["x","{{ host }}"],"gone":"{{ nothing }}","d_*":"{{ obj }}"}},
            {"type":"gauge","field":"n"}, {"type":"set","field":"host"}, {"type":"histogram","field":"n"}, {"type":"summary","field":"n"},
        ]}),
    );
    let out = of_metrics(run(
        &mut t,
        logs([
            json!({"n":"2.5","host":"h","app":"a","obj":{"K-1":"v"}}),
            json!({"n":null,"host":"h","app":"a"}),
        ]),
    ));
    assert_eq!(out.len(), 5);
    assert_eq!(
        (out[0].name.as_str(), out[0].namespace.as_deref()),
        ("n_total", Some("a"))
    );
    assert_eq!(out[0].value, MetricValue::Counter { value: 2.5 });
    assert_eq!(
        out[0].tags["two"],
        TagValue::Many(vec![Some("x".into()), Some("h".into())])
    );
    assert_eq!(out[0].tags["bare"], TagValue::Bare);
    assert_eq!(out[0].tags["d_k_1"], TagValue::One("v".into()));
    assert!(!out[0].tags.contains_key("gone"));
    assert_eq!(out[1].value, MetricValue::Gauge { value: 2.5 });
    assert_eq!((out[1].name.as_str(), out[1].kind), ("n", MetricKind::Absolute));
    assert_eq!(count(&cx, "component_discarded_events_total"), 1);
}

#[test]
fn native_metrics_of_logs() {
    let (mut t, _) = build("log_to_metric", json!({"all_metrics": true}));
    let out = of_metrics(run(
        &mut t,
        logs([
            json!({"name":"a","kind":"absolute","gauge":{"value":1.5},"tags":{"x":"y"}}),
            json!({"name":"b","kind":"incremental","aggregated_histogram":{"buckets":[{"upper_limit":1.0,"count":2}],"count":2,"sum":1.5}}),
            json!({"name":"c","kind":"often","counter":{"value":1.0}}),
            json!({"name":"d","kind":"incremental","set":{"values":["p","q"]},"namespace":"n"}),
        ]),
    ));
    assert_eq!(out.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["a", "b", "d"]);
    assert_eq!(out[0].tags["x"], TagValue::One("y".into()));
    assert_eq!(out[2].namespace.as_deref(), Some("n"));
}

#[test]
fn aggregates() {
    let flushed = |mode: &str, all: Vec<Vec<Metric>>| {
        let (mut t, _) = build("aggregate", json!({"mode": mode}));
        let (mut through, mut last) = (Vec::new(), Vec::new());
        for m in all {
            through.extend(of_metrics(run(&mut t, metrics(m, Finalizers::none()))));
            let mut out = TransformOut::default();
            t.tick(Instant::now(), &mut out);
            last = of_metrics(out.0);
        }
        let value = |m: &Metric| match m.value {
            MetricValue::Counter { value } | MetricValue::Gauge { value } => value,
            _ => f64::NAN,
        };
        (through.len(), last.iter().map(value).collect::<Vec<_>>())
    };
    let inc = |v| counter("c", v, MetricKind::Incremental);
    let abs = |v| counter("c", v, MetricKind::Absolute);
    assert_eq!(flushed("Auto", vec![vec![inc(1.0), inc(2.0)]]), (0, vec![3.0]));
    assert_eq!(flushed("Auto", vec![vec![abs(1.0), abs(5.0)]]), (0, vec![5.0]));
    assert_eq!(flushed("Sum", vec![vec![inc(1.0), abs(5.0), inc(2.0)]]), (1, vec![3.0]));
    assert_eq!(
        flushed("Latest", vec![vec![abs(1.0), abs(5.0), inc(2.0)]]),
        (1, vec![5.0])
    );
    assert_eq!(flushed("Count", vec![vec![abs(7.0), abs(5.0)]]), (0, vec![2.0]));
    assert_eq!(flushed("Diff", vec![vec![abs(7.0)], vec![abs(10.0)]]), (0, vec![3.0]));
    let g = |v| gauge("g", v);
    assert_eq!(flushed("Max", vec![vec![g(1.0), g(3.0), g(2.0)]]), (0, vec![3.0]));
    assert_eq!(flushed("Min", vec![vec![g(2.0), g(1.0), g(3.0)]]), (0, vec![1.0]));
    assert_eq!(flushed("Mean", vec![vec![g(1.0), g(3.0)]]), (0, vec![2.0]));
    assert_eq!(flushed("Stdev", vec![vec![g(1.0), g(3.0)]]), (0, vec![1.0]));
}

#[test]
fn secrets_and_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(
        &path,
        "id,name,born\n1,Bob,1985-01-01\n2,Ann,1990-05-05\n3,bob,1991-01-01\n",
    )
    .unwrap();
    let schema = [
        ("id".to_owned(), "integer".to_owned()),
        ("born".to_owned(), "date".to_owned()),
    ]
    .into();
    let rows = crate::enrichment::Rows::load(&path, b',', true, &schema, Default::default()).unwrap();
    let memory = crate::enrichment::Memory::new(Duration::from_secs(1000), 10);
    assert!(memory.write([("k".into(), Value::from(5))].into()));
    let tables = crate::enrichment::Tables::new([
        ("people".to_owned(), crate::enrichment::Table::Rows(rows)),
        ("mem".to_owned(), crate::enrichment::Table::Memory(memory)),
    ]);
    let source = r#"
        .one = get_enrichment_table_record!("people", {"id": 2}, select: ["name"])
        .bobs = length(find_enrichment_table_records!("people", {"name": "BOB"}, case_sensitive: false))
        .dates = length(find_enrichment_table_records!("people", {"born": {"from": t'1990-01-01T00:00:00Z'}}))
        .none = get_enrichment_table_record("people", {"id": 9}) ?? "none"
        .two, .err = get_enrichment_table_record("people", {"name": "bob"}, case_sensitive: false)
        .mem = get_enrichment_table_record!("mem", {"key": "k"}).value
        set_secret("token", "s3cret")
        .secret = get_secret("token")
        remove_secret("token")
        .gone = get_secret("token")
        set_semantic_meaning(.one, "x")
    "#;
    let (mut t, _) = crate::enrichment::within(&tables, || build("remap", json!({ "source": source })));
    let out = seen(run(&mut t, logs([json!({})])));
    assert_eq!(out[0].1["one"], json!({"name":"Ann"}));
    assert_eq!(
        (&out[0].1["bobs"], &out[0].1["dates"], &out[0].1["none"]),
        (&json!(2), &json!(2), &json!("none"))
    );
    assert!(out[0].1["err"].as_str().unwrap().contains("More than one row found"));
    assert_eq!(
        (&out[0].1["mem"], &out[0].1["secret"], &out[0].1["gone"]),
        (&json!(5), &json!("s3cret"), &json!(null))
    );
    assert!(
        refused(
            "remap",
            json!({"source": "get_enrichment_table_record!(\"people\", {\"id\": 1})"})
        )
        .contains("error[E")
    );
}
