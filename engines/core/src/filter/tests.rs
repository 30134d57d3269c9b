//! The filter language as a person meets it: what matches, what is wrong and where, what is offered.

use super::*;
use crate::clock::Instant;
use crate::record::{Record, Severity, SourceId};
use crate::time::Mono;
use crate::units::Bytes;
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
    for text in ["a:..(b)", "a:5..(b)", "a:\"1\"..(b)", "(a:5..)"] {
        let query = parse(text).unwrap();
        assert_eq!(
            parse(&query.to_string()).unwrap().without_spans(),
            query.without_spans(),
            "{text}"
        );
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
