//! Properties of the filter language over generated trees and texts, and a naive oracle for matching.

use super::*;
use crate::record::ValueRef;
use proptest::prelude::*;
use std::time::Duration;

fn now() -> Now {
    Now::utc(Timestamp(1_795_438_800_000_000_000))
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
            let pattern = format!("*{w}*");
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
