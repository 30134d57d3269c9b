//! Completion: what could be typed at the cursor.
//!
//! Fields and directives come from the schema, values from whoever knows them (a callback that looks at live data). It
//! works on unfinished text, so it follows the scanning rules and never the parser.

use super::ast::{Glob, Op, Span};
use super::schema::{FieldType, Schema};
use super::{DIRECTIVES, display, scan};
use crate::record::Severity;

/// What a completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompletionKind {
    /// A field's name.
    Field,
    /// `since:`, `until:`, `sort:` or `limit:`.
    Directive,
    /// A value.
    Value,
}

/// One thing that could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The bytes of the text that it replaces; they end at the cursor.
    pub span: Span,
    /// What to put there, quoted where it must be.
    pub text: String,
    /// What to show, unquoted.
    pub label: String,
    /// One line about it; may be empty.
    pub detail: String,
    /// What it is.
    pub kind: CompletionKind,
}

/// The most completions given at once.
pub const MAX_COMPLETIONS: usize = 100;

/// The term that the cursor is in or right behind.
enum Place<'a> {
    /// In a name, or a word that could become one.
    Name { start: usize },
    /// After a field's colon.
    Value { field: &'a str, start: usize },
    /// In something that cannot be completed: a regular expression, a phrase.
    Nothing,
}

/// Finds the term at the end of `text`.
fn place(text: &str) -> Place<'_> {
    let mut at = 0;
    loop {
        at = text[at..]
            .find(|c: char| !c.is_whitespace() && c != '(' && c != ')')
            .map_or(text.len(), |skip| at + skip);
        let dash = text[at..].strip_prefix('-').is_some_and(|rest| !rest.starts_with('-'));
        let start = at + usize::from(dash);
        let colon = scan::field(text, start);
        let value = colon.map_or(start, |end| end + 1);
        let signs = Op::ALL
            .iter()
            .find(|op| text[value..].starts_with(op.sign()))
            .map_or(0, |op| op.sign().len());
        let body = if colon.is_some() { value + signs } else { value };
        let end = match scan::peek(text, body) {
            Some('"') => scan::quoted(text, body).unwrap_or(usize::MAX),
            Some('/') => scan::regex(text, body).map_or_else(|| scan::chunk(text, body), |(_, end)| end),
            _ => scan::chunk(text, body),
        };
        if end < text.len() {
            // A character that belongs to no term (none is known) must not hold the loop.
            at = end.max(at + text[at..].chars().next().map_or(1, char::len_utf8));
            continue;
        }
        return match (colon, scan::peek(text, body)) {
            (Some(colon), Some('"')) if end == usize::MAX => Place::Value {
                field: &text[start..colon],
                start: body,
            },
            (_, Some('"' | '~')) => Place::Nothing,
            (None, Some('/')) => Place::Nothing,
            (None, _) => Place::Name { start },
            (Some(colon), _) => {
                let start_of_value = scan::dots(text, body, text.len()).map_or(body, |dots| dots + 2);
                Place::Value {
                    field: &text[start..colon],
                    start: start_of_value,
                }
            }
        };
    }
}

/// How well `candidate` fits what was typed: lower is better, `None` not at all.
fn fit(typed: &str, candidate: &str) -> Option<usize> {
    let candidate = candidate.to_lowercase();
    if candidate.starts_with(typed) {
        Some(0)
    } else if candidate
        .split(['.', '_', '-', '/'])
        .any(|part| part.starts_with(typed))
    {
        Some(1)
    } else {
        candidate.contains(typed).then_some(2)
    }
}

fn ranked(mut list: Vec<(usize, Completion)>) -> Vec<Completion> {
    list.sort_by_key(|(fit, _)| *fit);
    list.truncate(MAX_COMPLETIONS);
    list.into_iter().map(|(_, completion)| completion).collect()
}

/// What could be typed at the byte `cursor` of `text`, the best first. `values` gives live values of a field that may fit
/// what was typed so far; it need not filter them.
pub fn complete(
    text: &str,
    cursor: usize,
    schema: &Schema,
    values: &dyn Fn(&str, &str) -> Vec<String>,
) -> Vec<Completion> {
    let cursor = (0..=cursor.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let text = &text[..cursor];
    match place(text) {
        Place::Nothing => Vec::new(),
        Place::Name { start } => names(&text[start..], Span::new(start, cursor), schema),
        Place::Value { field: "sort", start } => {
            let key = text[start..].rfind([',', '-', '+']).map_or(start, |at| start + at + 1);
            let typed = text[key..].to_lowercase();
            let span = Span::new(key, cursor);
            let fields = schema
                .fields()
                .iter()
                .filter_map(|field| Some((fit(&typed, &field.name)?, field)));
            ranked(
                fields
                    .map(|(fit, field)| (fit, completion(span, &field.name, &field.doc, CompletionKind::Field)))
                    .collect(),
            )
        }
        Place::Value { field, start } => known_values(field, &text[start..], Span::new(start, cursor), schema, values),
    }
}

fn completion(span: Span, text: &str, detail: &str, kind: CompletionKind) -> Completion {
    Completion {
        span,
        text: text.to_owned(),
        label: text.to_owned(),
        detail: detail.to_owned(),
        kind,
    }
}

fn names(typed: &str, span: Span, schema: &Schema) -> Vec<Completion> {
    let typed = typed.to_lowercase();
    let fields = schema.fields().iter().map(|field| {
        let detail = match field.doc.as_ref() {
            "" => field.kind.word().to_owned(),
            doc => format!("{} · {doc}", field.kind.word()),
        };
        (field.name.as_ref(), detail, CompletionKind::Field)
    });
    let docs = [
        "from this time on",
        "up to this time",
        "order by a field; a dash for the largest first",
        "at most so many",
    ];
    let directives = DIRECTIVES.into_iter().zip(docs);
    let directives = directives.map(|(name, doc)| (name, doc.to_owned(), CompletionKind::Directive));
    let fitting = fields.chain(directives).filter_map(|(name, detail, kind)| {
        Some((fit(&typed, name)?, completion(span, &format!("{name}:"), &detail, kind)))
    });
    ranked(fitting.collect())
}

fn known_values(
    field: &str,
    typed: &str,
    span: Span,
    schema: &Schema,
    values: &dyn Fn(&str, &str) -> Vec<String>,
) -> Vec<Completion> {
    let typed = typed.strip_prefix('"').unwrap_or(typed);
    let lower = typed.to_lowercase();
    let fixed: Vec<String> = match (field, schema.get(field).map(|field| field.kind)) {
        ("since" | "until", _) => ["5m", "15m", "1h", "6h", "1d", "today", "yesterday"]
            .map(str::to_owned)
            .into(),
        ("limit", _) => ["10", "50", "100", "1000"].map(str::to_owned).into(),
        (_, Some(FieldType::Severity)) => Severity::ALL.map(|severity| severity.name().to_owned()).into(),
        (_, Some(FieldType::Bool)) => ["true", "false"].map(str::to_owned).into(),
        _ => values(field, typed),
    };
    let mut seen = std::collections::HashSet::new();
    let fitting = fixed
        .into_iter()
        .filter(|value| seen.insert(value.clone()))
        .filter_map(|value| {
            let text = display::value(&Glob::literal(value.as_str()));
            let fit = fit(&lower, &value)?;
            Some((
                fit,
                Completion {
                    span,
                    text,
                    label: value,
                    detail: String::new(),
                    kind: CompletionKind::Value,
                },
            ))
        });
    ranked(fitting.collect())
}
