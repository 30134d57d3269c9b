//! Entry points for fuzzers, and for tests that play fuzzer.
//!
//! Each takes any bytes and asserts what must hold for any input. A fuzz target is one call; nothing here keeps state.

use std::time::Duration;

use crate::filter::{self, Diagnostic, Expr, FieldType, Fields, Filter, Schema, Span, TermKind};
use crate::record::{Severity, ValueRef};
use crate::time::{Now, Timestamp};
use crate::units::Bytes;

/// A row with a field of every type.
struct Row;

impl Fields for Row {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        Some(match name {
            "a" | "path" => ValueRef::Str("/api/users"),
            "b" | "n" => ValueRef::Int(-5),
            "c" | "size" => ValueRef::Bytes(Bytes(4096)),
            "d" | "took" => ValueRef::Duration(Duration::from_millis(5)),
            "e" | "time" => ValueRef::Time(Timestamp(1_700_000_000_000_000_000)),
            "f" | "level" => ValueRef::Severity(Severity::Warn),
            "g" => ValueRef::Float(f64::NAN),
            "h" => ValueRef::Blob(b"\xff\0x"),
            "i" => ValueRef::Null,
            "j" => ValueRef::Bool(true),
            _ => return None,
        })
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        found("the quick brown fox") || found("")
    }
}

fn schema() -> Schema {
    Schema::records()
        .with("path", FieldType::Keyword, "")
        .with("n", FieldType::Number, "")
        .with("size", FieldType::Bytes, "")
        .with("took", FieldType::Duration, "")
        .with("j", FieldType::Bool, "")
}

fn check_span(text: &str, span: Span) {
    assert!(
        text.get(span.range()).is_some(),
        "the span {span:?} is no part of {text:?}"
    );
}

fn check_diagnostics(text: &str, list: &[Diagnostic]) {
    for diagnostic in list {
        check_span(text, diagnostic.span);
        assert!(!diagnostic.render(text).is_empty());
    }
}

fn check_spans(text: &str, expr: &Expr) {
    match expr {
        Expr::All => {}
        Expr::And(list) | Expr::Or(list) => {
            assert!(list.len() > 1, "a list of one in {text:?}");
            list.iter().for_each(|expr| check_spans(text, expr));
        }
        Expr::Not(inner) => check_spans(text, inner),
        Expr::Term(term) => {
            check_span(text, term.span);
            if let TermKind::Field { name, value, .. } = &term.kind {
                check_span(text, *value);
                assert!(text[term.span.range()].starts_with(name.as_str()));
            }
        }
    }
}

/// Reads the bytes as a filter: it must not panic, every span must lie in the text, what is accepted must be shown in a
/// form that reads back the same and matches the same, and completion must work wherever the cursor is.
pub fn filter(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    let now = Now::utc(Timestamp(1_700_000_000_000_000_000));
    let schema = schema();
    let step = (text.len() / 16).max(1);
    for cursor in (0..=text.len() + 1).step_by(step) {
        for completion in filter::complete(text, cursor, &schema, &|_, _| vec!["a b".to_owned(), "x".to_owned()]) {
            check_span(text, completion.span);
            assert!(completion.span.end <= cursor);
        }
    }
    let query = match filter::parse(text) {
        Ok(query) => query,
        Err(error) => return check_diagnostics(text, &[error]),
    };
    check_spans(text, &query.expr);
    for key in &query.sort {
        check_span(text, key.span);
    }
    let shown = query.to_string();
    // Quoting can push a text that was near the limit over it.
    let back = filter::parse(&shown);
    if shown.len() <= filter::MAX_LENGTH {
        assert_eq!(
            back.map(filter::Query::without_spans).as_ref(),
            Ok(&query.clone().without_spans()),
            "{text:?} as {shown:?}"
        );
    }
    match Filter::compile(query, &schema, &now) {
        Ok(filter) => {
            check_diagnostics(text, filter.warnings());
            let matched = filter.matches(&Row);
            let _ = filter.compare(&Row, &Row);
            assert!(filter.narrows(&filter), "{text:?}");
            if let (true, Ok(again)) = (shown.len() <= filter::MAX_LENGTH, Filter::new(&shown, &schema, &now)) {
                assert_eq!(again.matches(&Row), matched, "{text:?} as {shown:?}");
            }
        }
        Err(list) => {
            assert!(!list.is_empty());
            check_diagnostics(text, &list);
        }
    }
}
