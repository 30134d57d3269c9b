use std::collections::BTreeSet;

use grep_matcher::Matcher;
use grep_regex::RegexMatcherBuilder;
use proptest::prelude::*;

use super::*;

const PLAIN: Syntax = Syntax {
    fixed_strings: false,
    any_case: false,
    unicode: true,
    dot_matches_new_line: false,
    crlf: false,
};

fn grams(text: &[u8]) -> BTreeSet<u32> {
    let windows = text.windows(3).filter(|w| w.iter().all(|b| counts(*b)));
    windows.map(|w| gram([w[0], w[1], w[2]])).collect()
}

fn accepts(query: &Query, text: &str) -> bool {
    let has = grams(text.as_bytes());
    query.accepts(&|g| has.contains(&g))
}

#[test]
fn a_literal_needs_all_its_grams() {
    let query = plan(&["PM_RESUME"], PLAIN);
    assert!(accepts(&query, "the PM_RESUME call"));
    assert!(!accepts(&query, "the PM_RESUM call"));
    let Query::And(parts) = &query else { panic!("{query:?}") };
    assert_eq!(parts.len(), 7);
}

#[test]
fn alternatives_classes_and_repetitions_keep_what_they_can() {
    let yes_no = [
        ("foobar|quux", "a quux", "a foo a qux"),
        ("foo[0-9]bar", "foo7bar", "fooxbar"),
        ("foo(bar)?baz", "foobaz", "foobar"),
        ("(abc)+d", "abcabcd", "abc"),
        (r"needle\s+\w+thing", "needle something", "needle some"),
        ("(?i)straße", "STRAẞE", "strasse"),
        ("(?i)kelvin", "\u{212A}elvin", "elvin"),
        ("a{5}", "aaaaa", "aa"),
        ("^use-after-free$", "use-after-free", "use after free"),
        ("(foo|bar)(one|two)", "bartwo", "barfoo onetwo"),
        (r"\bfoo_[a-z]+_bar\b", "foo_x_bar", "foo bar"),
        ("(a|b)(c|d)(e|f)(g|h)(i|j)(k|l)(m|n)(o|p)", "bdfhjlnp", "bdfhjlno bdf"),
    ];
    for (pattern, yes, no) in yes_no {
        let query = plan(&[pattern], PLAIN);
        assert!(accepts(&query, yes), "{pattern}: {query:?}");
        if pattern.len() < 40 {
            assert!(!accepts(&query, no), "{pattern}: {query:?}");
        }
    }
}

#[test]
fn without_regard_to_case_every_fold_is_accepted() {
    let query = plan(
        &["pm_resume"],
        Syntax {
            any_case: true,
            ..PLAIN
        },
    );
    for text in ["PM_RESUME", "pm_resume", "Pm_rEsUmE", "pm_re\u{17F}ume"] {
        assert!(accepts(&query, text), "{text}");
    }
    assert!(!accepts(&query, "pm_rename"));
}

#[test]
fn what_says_nothing_is_everything() {
    for pattern in [
        "",
        "a",
        "ab",
        "x*",
        "foo|",
        "foo|a",
        r"\w+",
        ".",
        "^$",
        "a\\nb",
        "(",
        "[^a]+",
        r"\w{5}\s+",
    ] {
        assert_eq!(plan(&[pattern], PLAIN), Query::All, "{pattern}");
    }
    assert_eq!(plan::<&str>(&[], PLAIN), Query::All);
    assert_eq!(plan(&["foobar", "a"], PLAIN), Query::All);
}

#[test]
fn many_patterns_are_alternatives_and_too_many_are_given_up() {
    let words: Vec<String> = (0..300).map(|n| format!("word{n}")).collect();
    let query = plan(&words, PLAIN);
    assert!(accepts(&query, "a word217 here") && !accepts(&query, "a wort217 here"));
    let many: Vec<String> = (0..60_000).map(|n| format!("word{n}")).collect();
    assert_eq!(plan(&many, PLAIN), Query::All);
}

#[test]
fn hostile_patterns_are_planned_in_bounded_time_and_space() {
    for pattern in [
        "(?i)".to_owned() + &"abcdefghij".repeat(300),
        "(a|b|c|d)".repeat(200),
        "((((a{3}){3}){3}){3}){3}".to_owned(),
        "(foo|bar|baz)+".repeat(100),
        "[a-c]{2,9}".repeat(50),
    ] {
        assert!(plan(&[pattern], PLAIN).size() <= 3 * LARGEST_PLAN);
    }
}

/// Patterns that are put together from parts.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => "[abkKsS_ é]{1,5}",
        1 => Just(".".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just(r"\w".to_owned()),
        1 => Just(r"\b".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
        1 => Just("ſ".to_owned()),
        1 => Just(r"\s".to_owned()),
        1 => Just(String::new()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 1..4).prop_map(|p| p.concat()),
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|p| format!("({})", p.join("|"))),
            1 => inner.clone().prop_map(|p| format!("(?:{p})?")),
            1 => inner.clone().prop_map(|p| format!("(?:{p})*")),
            1 => inner.clone().prop_map(|p| format!("(?:{p})+")),
            1 => inner.clone().prop_map(|p| format!("(?:{p}){{2}}")),
            1 => inner.clone().prop_map(|p| format!("(?:{p}){{1,3}}")),
            1 => inner.clone().prop_map(|p| format!("(?:{p}){{4,}}")),
            1 => inner.prop_map(|p| format!("(?i:{p})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_match_is_lost(
        pattern in pattern(),
        texts in prop::collection::vec("[abkKsSſ\u{212A}_ éÉ]{0,12}", 1..12),
        any_case: bool,
        whole_lines: bool,
    ) {
        let matcher = RegexMatcherBuilder::new()
            .multi_line(true)
            .case_insensitive(any_case)
            .line_terminator(Some(b'\n'))
            .whole_line(whole_lines)
            .build(&pattern)
            .unwrap();
        let query = plan(&[&pattern], Syntax { any_case, ..PLAIN });
        for text in &texts {
            if matcher.is_match(text.as_bytes()).unwrap() {
                prop_assert!(accepts(&query, text), "{pattern:?} matches {text:?}, {query:?}");
            }
        }
    }

    #[test]
    fn texts_made_from_a_pattern_are_accepted((pattern, text) in pattern().prop_flat_map(|p| {
        let strategy = prop::string::string_regex(&p.replace(r"\b", "").replace(['^', '$'], ""));
        (Just(p), strategy.unwrap_or_else(|_| prop::string::string_regex("a").unwrap()))
    })) {
        let matcher = RegexMatcherBuilder::new().multi_line(true).build(&pattern).unwrap();
        if matcher.is_match(text.as_bytes()).unwrap() {
            let query = plan(&[&pattern], PLAIN);
            prop_assert!(accepts(&query, &text), "{pattern:?} matches {text:?}, {query:?}");
        }
    }
}
