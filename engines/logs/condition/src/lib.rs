//! Filters of logs as they are typed: in the shared language, or in VRL after `vrl:`.
//!
//! A condition in VRL sees the fields of an entry by their names, and `.message`, `.timestamp`, `.level`, `.line` (all of its
//! text) and `.file` where the log has no such fields itself. Where it fails on an entry, the entry does not match.

use std::sync::Arc;

use qd_core::{
    Now,
    filter::{Diagnostic, Filter, Level, Span},
};
use qd_logs_model::{LogEvent, Value};
use qd_logs_view::{Entry, Predicate, SharedPredicate, field_json, from_filter, schema};
use qd_logs_vrl::Condition;
use serde_json::{Map, Value as Json};

/// What a filter in VRL begins with.
pub const VRL: &str = "vrl:";

/// The program in a filter's text, when it is one, and the byte at which it begins.
pub fn program(text: &str) -> Option<(usize, &str)> {
    let blanks = text.len() - text.trim_start().len();
    let rest = text.get(blanks..)?.strip_prefix(VRL)?;
    Some((blanks + VRL.len(), rest))
}

/// A filter of a text, and what is to be said about it all the same.
///
/// # Errors
/// What is wrong with the text, with the places.
pub fn compile(text: &str, now: &Now) -> Result<(SharedPredicate, Vec<Diagnostic>), Vec<Diagnostic>> {
    if let Some((at, source)) = program(text) {
        return match condition(source) {
            Ok(found) => Ok((Arc::new(Vrl(found)), Vec::new())),
            Err(words) => Err(vec![located(&words, text, at)]),
        };
    }
    let filter = Filter::new(text, &schema(), now)?;
    let warnings = filter.warnings().to_vec();
    Ok((from_filter(filter), warnings))
}

/// The same for where there is no place to show.
///
/// # Errors
/// What is wrong with the text, in one sentence.
pub fn predicate(text: &str, now: &Now) -> Result<SharedPredicate, String> {
    compile(text, now).map(|(found, _)| found).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        format!("bad filter: {first}")
    })
}

/// Compiles a condition. One that can fail (what is compared may be missing, or of another type) is not met where it does.
fn condition(source: &str) -> Result<Condition, String> {
    Condition::vrl(source).or_else(|first| {
        let careful = format!("({source}) ?? false");
        match Condition::vrl(&careful) {
            Ok(found) if !source.trim().is_empty() => Ok(found),
            _ => Err(first.message),
        }
    })
}

/// VRL's words about a program as one sentence, with the place in the whole text, where the program begins at byte `at`.
fn located(words: &str, text: &str, at: usize) -> Diagnostic {
    let mut lines = words.lines();
    let head = lines.next().unwrap_or_default();
    let mut message = head.split_once("]: ").map_or(head, |(_, m)| m).to_owned();
    let mut span = Span {
        start: at,
        end: text.len(),
    };
    let place = lines.by_ref().find_map(|line| line.split_once("\u{250c}\u{2500} :"));
    if let Some((row, column)) = place.and_then(|(_, p)| p.split_once(':')) {
        // A filter is one line; of another, only its beginning is marked.
        let column: usize = column.trim().parse().unwrap_or(1);
        let program = text.get(at..).unwrap_or_default();
        let inside = program.char_indices().nth(column.saturating_sub(1));
        if row.trim() == "1" {
            span.start = at + inside.map_or(program.len(), |(i, _)| i);
        }
    }
    if let Some((carets, line)) = lines.by_ref().find_map(|line| Some((line.find('^')?, line))) {
        let rest = line.get(carets..).unwrap_or_default();
        let label = rest.trim_start_matches('^');
        let marked = text.get(span.start..).unwrap_or_default().chars();
        let width: usize = marked.take(rest.len() - label.len()).map(char::len_utf8).sum();
        span.end = span.start + width;
        // What is wrong there stands beside the carets, or below them.
        let bare = |l: &str| {
            l.trim_matches(|c: char| c.is_whitespace() || c == '\u{2502}')
                .to_owned()
        };
        let label = std::iter::once(bare(label))
            .chain(lines.map(bare))
            .find(|l| !l.is_empty());
        if let Some(label) = label {
            message = format!("{message}: {label}");
        }
    }
    Diagnostic {
        span,
        level: Level::Error,
        message,
        suggestions: Vec::new(),
    }
}

/// A condition in VRL over the entries of a log: the fields by their names, and `.message`, `.timestamp`, `.level`, `.line`
/// (all of its text) and `.file` where the log has no such fields itself.
struct Vrl(Condition);

impl Predicate for Vrl {
    fn matches(&self, entry: &Entry<'_>) -> bool {
        self.0.check(&LogEvent::new(event(entry)))
    }

    fn slow(&self) -> bool {
        true
    }
}

fn event(entry: &Entry<'_>) -> Value {
    let mut object = Map::new();
    for field in &entry.parsed().fields {
        insert(&mut object, &field.name, field_json(&field.value));
    }
    let mut add = |name: &str, value: &str| {
        object.entry(name).or_insert_with(|| value.into());
    };
    add("message", entry.body());
    add("line", entry.text());
    add("file", entry.source());
    if let Some(level) = entry.level() {
        add("level", level.name());
    }
    let mut event = Value::from(Json::Object(object));
    if let (Value::Object(object), Some(at)) = (&mut event, entry.time()) {
        let at = Value::Timestamp(chrono::DateTime::from_timestamp_nanos(at.0));
        object.entry("timestamp".into()).or_insert(at);
    }
    event
}

/// Puts a field in its place: dots in its name are objects in objects.
fn insert(object: &mut Map<String, Json>, name: &str, value: Json) {
    if let Some((first, rest)) = name.split_once('.')
        && !first.is_empty()
        && !rest.is_empty()
        && let Json::Object(inner) = object.entry(first).or_insert_with(|| Json::Object(Map::new()))
    {
        return insert(inner, rest, value);
    }
    object.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use qd_core::Timestamp;

    fn now() -> Now {
        Now::utc(Timestamp(0))
    }

    fn faults(text: &str) -> Vec<Diagnostic> {
        compile(text, &now()).err().unwrap_or_default()
    }

    #[test]
    fn a_condition_may_compare_what_may_be_missing() {
        for good in [
            "vrl: .status >= 500",
            " vrl:.a == 1 && exists(.b)",
            "vrl: contains(string!(.message), \"x\")",
            "status:>=500",
        ] {
            assert!(faults(good).is_empty(), "{good}: {:?}", faults(good));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let text = "vrl: .status >= ";
        let fault = faults(text).remove(0);
        assert_eq!(fault.span.start, text.trim_end().len(), "{fault:?}");
        assert!(fault.message.contains("unexpected end"), "{}", fault.message);
        let fault = faults("vrl: .a == nosuch(.b)").remove(0);
        assert_eq!((fault.span.start, fault.span.end), (11, 17), "{fault:?}");
        // What is true or false is wanted, and nothing is written.
        assert!(faults("vrl: .status")[0].message.contains("boolean"));
        assert!(!faults("vrl: .a = 1; true").is_empty());
        assert!(!faults("vrl:").is_empty());
        assert!(faults("level:zz")[0].message.contains("severity"));
    }

    #[test]
    fn dots_are_objects_in_objects() {
        let mut object = Map::new();
        insert(&mut object, "client.ip", "::1".into());
        insert(&mut object, "client.port", 1.into());
        insert(&mut object, "x", 1.into());
        insert(&mut object, "x.y", 2.into());
        let wanted = serde_json::json!({"client": {"ip": "::1", "port": 1}, "x": 1, "x.y": 2});
        assert_eq!(Json::Object(object), wanted);
    }
}
