//! The filter language as a person meets it, its properties, and a naive oracle for matching.

use super::*;
use crate::clock::Instant;
use crate::record::{Record, Severity, SourceId, ValueRef};
use crate::time::Mono;
use crate::units::Bytes;
use proptest::prelude::*;
use std::time::Duration;

/// 2026-11-23T13:00:00Z
const NOW: Timestamp = Timestamp(1_795_438_800_000_000_000);

fn now() -> Now {
    Now::utc(NOW)
}

fn schema() -> Schema {
    Schema::records()
        .with("http.status", FieldType::Number, "the status code")
        .with("method", FieldType::Keyword, "")
        .with("path", FieldType::Keyword, "")
        .with("duration", FieldType::Duration, "")
        .with("size", FieldType::Bytes, "")
        .with("cached", FieldType::Bool, "")
}

fn record() -> Record {
    let at = Instant {
        wall: NOW.before(Duration::from_secs(600)),
        mono: Mono(0),
    };
    Record::build(&SourceId::new("web"), at, Severity::Warn)
        .field("http.status", 502u16)
        .field("method", "GET")
        .field("path", "/api/users")
        .field("duration", Duration::from_millis(250))
        .field("size", Bytes(8192))
        .field("cached", false)
        .field("user", "Ann Lee")
        .field("elapsed", "12ms")
        .body("Upstream connection refused (errno 111)")
        .finish()
}

fn matches(text: &str) -> bool {
    Filter::new(text, &schema(), &now())
        .unwrap_or_else(|e| panic!("{text}: {e:?}"))
        .matches(&record())
}

#[test]
fn it_matches_what_it_says() {
    for text in [
        "",
        "refused",
        "REFUSED OR refused",
        "Upstream",
        "\"connection refused\"",
        "conn*ref",
        "502",
        "/ref.sed/",
        "/UPSTREAM/i",
        "~cnctn",
        "method:get",
        "method:GET",
        "method:=get",
        "path:/api/*",
        "path:*users",
        "path:/api/",
        "path:\"/api/users\"",
        "http.status:502",
        "http.status:>=500",
        "http.status:500..599",
        "http.status:500..",
        "http.status:..502",
        "http.status:5*",
        "http.status:/^50/",
        "duration:>100ms",
        "duration:1ms..2s",
        "duration:250ms",
        "size:8k",
        "size:>4k",
        "size:<=8KiB",
        "cached:no",
        "cached:false",
        "level:warn",
        "level:>=info",
        "level:WARNING",
        "severity:warn..error",
        "source:web",
        "body:refused",
        "message:refused",
        "-absent",
        "-path:/x",
        "-missing:*",
        "user:\"ann lee\"",
        "user:ann*",
        "user:~anl",
        "http.status:!=200",
        "(nothing OR refused) GET",
        "NOT nothing",
        "since:15m",
        "until:5m",
        "since:12:45 until:12:55",
        "since:2026-11-23",
        "time:12:50",
        "time:>12:30",
        "time:12:30..12:55",
        "elapsed:12ms",
        "errno AND 111",
        "\\(errno",
        "since:1h refused sort:-duration limit:3",
        "user:*",
        "nothing OR since:1h refused",
    ] {
        assert!(matches(text), "{text}");
    }
    for text in [
        "nothing",
        "uPstream",
        "refused nothing",
        "/upstream/",
        "~dsfr",
        "method:ge",
        "method:Get",
        "path:/api",
        "path:api",
        "http.status:<500",
        "http.status:500..501",
        "duration:>1s",
        "duration:1us..2ms",
        "size:>8k",
        "cached:yes",
        "level:>warn",
        "body:=refused",
        "missing:*",
        "missing:!=1",
        "missing:/./",
        "-refused",
        "since:5m",
        "until:15m",
        "http.status:!=502",
        "-(nothing OR refused)",
        "time:12:51",
        "since:2026-11-24",
        "method:\"*\"",
    ] {
        assert!(!matches(text), "{text}");
    }
}

fn error(text: &str) -> (String, &str) {
    let list = Filter::new(text, &schema(), &now()).expect_err(text);
    (list[0].message.clone(), &text[list[0].span.range()])
}

#[test]
fn errors_point_at_the_bytes() {
    for (text, part, words) in [
        ("a \"b c", "\"b c", "quote is never closed"),
        ("a (b", "(", "never closed"),
        ("a b)", ")", "closes nothing"),
        ("()", "()", "nothing between"),
        ("a OR", "OR", "right"),
        ("OR a", "OR", "left"),
        ("a OR OR b", "OR", "right"),
        ("a AND", "AND", "right"),
        ("NOT", "NOT", "right"),
        ("level: warn", "level:", "needs a value"),
        ("level:>=", "level:>=", "needs a value"),
        ("é http.status:abc", "abc", "number"),
        ("duration:>500", ">500", "unit"),
        ("size:3zz", "3zz", "unit of size"),
        ("level:loud", "loud", "severity"),
        ("cached:maybe", "maybe", "true or false"),
        ("since:soon", "soon", "time"),
        ("limit:x", "x", "whole number"),
        ("limit:-1", "-1", "from 0"),
        ("sort:-", "", "needs a field"),
        ("sort:a,-9", "9", "needs a field"),
        ("(since:5m)", "since:5m", "parentheses"),
        ("-since:5m", "-since:5m", "negated"),
        ("since:5m since:6m", "since:6m", "twice"),
        ("a /x(/", "/x(/", "unclosed"),
        ("path:/[/", "/[/", "unclosed"),
    ] {
        let (message, found) = error(text);
        assert_eq!(found, part, "{text}: {message}");
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn bounds_are_kept() {
    assert!(error(&"a ".repeat(MAX_LENGTH)).0.contains("bytes long"));
    assert!(error(&"é".repeat(MAX_LENGTH)).0.contains("bytes long"));
    assert!(error(&"(".repeat(MAX_DEPTH + 1)).0.contains("deep"));
    assert!(error(&format!("{}a", "NOT ".repeat(MAX_DEPTH + 1))).0.contains("deep"));
    assert!(error(&"a ".repeat(MAX_TERMS + 1)).0.contains("terms"));
    assert!(matches(&format!(
        "{}refused{}",
        "(".repeat(MAX_DEPTH),
        ")".repeat(MAX_DEPTH)
    )));
    assert!(error(r"/\w{999}{999}/").0.contains("too large"));
}

#[test]
fn an_unknown_field_is_a_warning_with_suggestions() {
    let filter = Filter::new("metod:GET sort:-durration", &schema(), &now()).unwrap();
    let [first, second] = filter.warnings() else {
        panic!("{:?}", filter.warnings())
    };
    assert_eq!(
        (first.level, first.span.range(), first.suggestions[0].as_str()),
        (Level::Warning, 0..5, "method")
    );
    assert_eq!(
        (second.span.range(), second.suggestions[0].as_str()),
        (16..25, "duration")
    );
    assert_eq!(first.render("metod:GET sort:-durration").lines().nth(1), Some("^^^^^"));
    assert!(
        Filter::new("a:1", &Schema::empty(), &now())
            .unwrap()
            .warnings()
            .is_empty()
    );
    let open = schema().open();
    assert!(Filter::new("pod:1", &open, &now()).unwrap().warnings().is_empty());
    assert_eq!(Filter::new("metod:1", &open, &now()).unwrap().warnings().len(), 1);
}

#[test]
fn it_is_shown_as_it_was_typed_where_that_is_clear() {
    for text in [
        "refused",
        "\"a phrase\"",
        "/regex/i",
        "~fuzzy",
        "path:/api/*",
        "status:>=500",
        "took:1ms..2s",
        "took:1ms..",
        "f:/re/",
        "-term",
        "a OR b",
        "(a OR b) c",
        "-(a b)",
        "NOT -(a b)",
        "--force",
        "NOT --force",
        "a:b*c",
        "x:\"OR\"",
        "f:\"\"",
        "a since:15m until:12:30 sort:-duration,time limit:50",
        "http://host/x",
        "std::io",
        "x:~y",
        "a,b",
        "foo=bar",
    ] {
        let query = parse(text).unwrap();
        let shown = query.to_string();
        let expected = text.replace("x:\"OR\"", "x:OR");
        // A colon could be taken for a field's, so such a word may come back in quotes.
        assert!(
            shown == expected || shown == format!("\"{expected}\""),
            "{text} as {shown}"
        );
        assert_eq!(parse(&shown).unwrap().without_spans(), query.without_spans(), "{text}");
    }
    assert_eq!(parse("NOT a AND ( b )").unwrap().to_string(), "-a b");
}

#[test]
fn the_window_slides_only_when_it_is_relative() {
    let schema = schema();
    let filter = Filter::new("since:15m", &schema, &now()).unwrap();
    assert!(filter.slides() && filter.matches(&record()));
    let later = filter.at(NOW.after(Duration::from_secs(600)));
    assert!(!later.matches(&record()));
    let fixed = Filter::new("since:12:30", &schema, &now()).unwrap();
    assert!(!fixed.slides() && fixed.at(NOW.after(Duration::from_secs(6000))).matches(&record()));
    assert_eq!(fixed.window(), (Some(NOW.before(Duration::from_secs(1800))), None));
}

#[test]
fn items_are_sorted_with_missing_values_last() {
    let make = |n: Option<i64>| {
        let record = Record::build(&SourceId::new("s"), Instant::default(), Severity::Info);
        n.map_or(record, |n| {
            Record::build(&SourceId::new("s"), Instant::default(), Severity::Info).field("n", n)
        })
        .finish()
    };
    let mut list = [make(Some(2)), make(None), make(Some(10)), make(Some(-1))];
    let mut sorted = |text: &str| {
        let filter = Filter::new(text, &Schema::empty(), &now()).unwrap();
        list.sort_by(|a, b| filter.compare(a, b));
        list.iter()
            .map(|r| r.get("n").map(ToString::to_string).unwrap_or_default())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(sorted("sort:n"), "-1 2 10 ");
    assert_eq!(sorted("sort:-n"), "10 2 -1 ");
}

fn completions(text: &str) -> Vec<String> {
    let live = |field: &str, _: &str| match field {
        "path" => vec!["/api/users".to_owned(), "/my files".to_owned()],
        _ => Vec::new(),
    };
    complete(text, text.len(), &schema(), &live)
        .into_iter()
        .map(|c| format!("{}{}", &text[..c.span.start], c.text))
        .collect()
}

#[test]
fn completion_knows_fields_and_values() {
    assert_eq!(completions("du"), ["duration:"]);
    assert_eq!(completions("a (-stat"), ["a (-http.status:"]);
    assert!(completions("").contains(&"since:".to_owned()));
    assert_eq!(completions("level:wa"), ["level:warn"]);
    assert_eq!(completions("level:>=e")[0], "level:>=error");
    assert_eq!(completions("level:info..f"), ["level:info..fatal", "level:info..info"]);
    assert_eq!(completions("x path:/api"), ["x path:/api/users"]);
    assert_eq!(completions("path:/my"), ["path:\"/my files\""]);
    assert_eq!(completions("path:\"/my f"), ["path:\"/my files\""]);
    assert_eq!(completions("sort:-dur"), ["sort:-duration"]);
    assert_eq!(completions("sort:time,met"), ["sort:time,method"]);
    assert_eq!(completions("since:y"), ["since:yesterday", "since:today"]);
    for nothing in ["\"du", "/du", "~du", "zzz", "path:x", "path:/a b/"] {
        assert!(completions(nothing).is_empty(), "{nothing}: {:?}", completions(nothing));
    }
}

#[test]
fn a_filter_can_go_anywhere() {
    fn check<T: Send + Sync + Clone + 'static>(_: &T) {}
    check(&Filter::default());
    assert!(Filter::default().is_empty() && Filter::default().matches(&record()));
}

fn loose() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-cA-C0-9]{1,4}",
        "[a-b \"\\\\/()~:.<>=!*,i-]{0,6}",
        "\\PC{0,4}",
        prop::sample::select(vec![
            "OR", "AND", "NOT", "--x", "-", "since", "..", "...", "~", "//", "/a/", "/i", "x:y", "1..2"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_glob() -> impl Strategy<Value = Glob> {
    prop::collection::vec(loose(), 1..4).prop_map(Glob::pieces)
}

fn any_rx() -> impl Strategy<Value = Rx> {
    let case = prop_oneof![Just(RxCase::Sensitive), Just(RxCase::Insensitive)];
    ("([a-c. |]|\\\\/){1,5}", case).prop_map(|(pattern, case)| Rx { pattern, case })
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-z_@][a-z0-9_.$-]{0,5}".prop_filter("a directive", |name| !DIRECTIVES.contains(&name.as_str()))
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        any_glob().prop_map(Test::Is),
        any_rx().prop_map(Test::Regex),
        loose().prop_map(Test::Fuzzy),
        (prop::sample::select(Op::ALL.to_vec()), loose()).prop_map(|(op, text)| Test::Compare(op, text)),
        (loose(), prop::option::of(loose())).prop_map(|(low, high)| Test::Range(Some(low), high)),
        loose().prop_map(|high| Test::Range(None, Some(high))),
    ]
}

fn term(kind: TermKind) -> Expr {
    Expr::Term(Term {
        kind,
        span: Span::default(),
    })
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        any_glob().prop_map(TermKind::Text),
        any_rx().prop_map(TermKind::Regex),
        loose().prop_map(TermKind::Fuzzy),
        (any_name(), any_test()).prop_map(|(name, test)| TermKind::Field {
            name,
            test,
            value: Span::default()
        }),
    ];
    leaf.prop_map(term).prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn any_query() -> impl Strategy<Value = Query> {
    let moment = || {
        prop::option::of(loose().prop_map(|text| Moment {
            text,
            span: Span::default(),
        }))
    };
    let order = prop_oneof![Just(SortOrder::Ascending), Just(SortOrder::Descending)];
    let key = (any_name(), order).prop_map(|(field, order)| SortKey {
        field,
        order,
        span: Span::default(),
    });
    let expr = prop_oneof![1 => Just(Expr::All), 9 => any_expr()];
    (
        expr,
        moment(),
        moment(),
        prop::collection::vec(key, 0..3),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(expr, since, until, sort, limit)| Query {
            expr,
            since,
            until,
            sort,
            limit,
        })
}

/// A row of the oracle.
#[derive(Debug, Clone)]
struct Row {
    text: String,
    number: i64,
    duration: u64,
    label: String,
}

impl Fields for Row {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "text" => Some(ValueRef::Str(&self.text)),
            "number" => Some(ValueRef::Int(self.number)),
            "duration" => Some(ValueRef::Duration(Duration::from_millis(self.duration))),
            "label" => Some(ValueRef::Str(&self.label)),
            _ => None,
        }
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        found(&self.text) || found(&self.label)
    }
}

fn oracle_schema() -> Schema {
    Schema::empty()
        .with("text", FieldType::Text, "")
        .with("number", FieldType::Number, "")
        .with("duration", FieldType::Duration, "")
        .with("label", FieldType::Keyword, "")
}

/// Conditions with their meaning written out naively: the text and a function.
#[derive(Clone)]
struct Condition {
    text: String,
    holds: Arc<dyn Fn(&Row) -> bool>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn condition(text: String, holds: impl Fn(&Row) -> bool + 'static) -> Condition {
    Condition {
        text,
        holds: Arc::new(holds),
    }
}

fn folded(text: &str, needle: &str) -> String {
    if needle.chars().any(char::is_uppercase) {
        text.to_owned()
    } else {
        text.to_lowercase()
    }
}

/// Whether a pattern with stars matches the whole text, by trying everything.
fn naive_glob(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| naive_glob(rest, &text[skip..])),
        Some((c, rest)) => text.first() == Some(c) && naive_glob(rest, &text[1..]),
    }
}

fn whole(pattern: &str, text: &str) -> bool {
    let text = folded(text, pattern);
    naive_glob(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let word = || "[abAé][abAé*]{0,2}";
    let leaf = prop_oneof![
        word().prop_map(|w| {
            let pattern = format!("*{w}*");
            condition(w, move |row| whole(&pattern, &row.text) || whole(&pattern, &row.label))
        }),
        word().prop_map(|w| condition(format!("label:{w}"), move |row| whole(&w, &row.label))),
        word().prop_map(|w| {
            let pattern = if w.contains('*') { w.clone() } else { format!("*{w}*") };
            condition(format!("text:{w}"), move |row| whole(&pattern, &row.text))
        }),
        (-3i64..4).prop_map(|n| condition(format!("number:{n}"), move |row| row.number == n)),
        (-3i64..4).prop_map(|n| condition(format!("number:>={n}.5"), move |row| row.number as f64
            >= n as f64 + n.signum() as f64 * 0.5 + if n == 0 { 0.5 } else { 0.0 })),
        (-3i64..4, -3i64..4).prop_map(
            |(a, b)| condition(format!("number:{a}..{b}"), move |row| a <= row.number
                && row.number <= b)
        ),
        (0u64..5).prop_map(|n| condition(format!("duration:<{n}s"), move |row| row.duration < n * 1000)),
        (0u64..5).prop_map(|n| condition(format!("duration:!={n}ms"), move |row| row.duration != n)),
        Just(condition("gone:a".to_owned(), |_| false)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|list| {
                let text = list
                    .iter()
                    .map(|c| format!("({})", c.text))
                    .collect::<Vec<_>>()
                    .join(" ");
                condition(text, move |row| list.iter().all(|c| (c.holds)(row)))
            }),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|list| {
                let text = list
                    .iter()
                    .map(|c| format!("({})", c.text))
                    .collect::<Vec<_>>()
                    .join(" OR ");
                condition(text, move |row| list.iter().any(|c| (c.holds)(row)))
            }),
            inner.prop_map(|c| condition(format!("-({})", c.text), move |row| !(c.holds)(row))),
        ]
    })
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        "[abABé]{0,4}",
        -4i64..5,
        prop_oneof![0u64..6, 0u64..6000],
        "[abABé]{0,3}",
    )
        .prop_map(|(text, number, duration, label)| Row {
            text,
            number,
            duration,
            label,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_shown_query_reads_back_the_same(query in any_query()) {
        let shown = query.to_string();
        let back = parse(&shown).map(Query::without_spans);
        prop_assert_eq!(back.as_ref(), Ok(&query), "{}", shown);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_span(text in "\\PC{0,40}|[a-c \"\\\\/()~:.<>=!*,iORNTsince0-9é-]{0,40}") {
        crate::fuzz::filter(text.as_bytes());
    }

    #[test]
    fn matching_agrees_with_a_naive_reading(c in any_condition(), rows in prop::collection::vec(any_row(), 1..8)) {
        let filter = Filter::new(&c.text, &oracle_schema(), &now()).unwrap();
        for row in rows {
            prop_assert_eq!(filter.matches(&row), (c.holds)(&row), "{} on {:?}", c.text, row);
        }
    }

    #[test]
    fn a_narrower_filter_lets_nothing_new_through(
        words in prop::collection::vec("[abA]{1,3}", 1..3),
        more in "[abA]{0,2}",
        extra in any_condition(),
        rows in prop::collection::vec(any_row(), 1..12),
    ) {
        let earlier = Filter::new(&words.join(" "), &oracle_schema(), &now()).unwrap();
        let longer = Filter::new(&format!("{}{more}", words.join(" ")), &oracle_schema(), &now()).unwrap();
        let stricter = Filter::new(&format!("{} ({})", words.join(" "), extra.text), &oracle_schema(), &now()).unwrap();
        prop_assert!(stricter.narrows(&earlier));
        for filter in [longer, stricter] {
            if filter.narrows(&earlier) {
                for row in &rows {
                    prop_assert!(!filter.matches(row) || earlier.matches(row), "{} after {}: {:?}", filter, earlier, row);
                }
            }
        }
    }
}
