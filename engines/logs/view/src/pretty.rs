//! Lines made readable: JSON and XML over several lines, logfmt a pair a line; fields as columns; relative times.

use std::collections::BTreeMap;

use qd_core::{HumanDuration, Timestamp};

use crate::format::{FieldValue, text};
use crate::row::Row;
use crate::source::clip;

/// How many lines one line may become.
pub const MAX_PRETTY: usize = 5_000;
/// How many columns are found in a sample.
const COLUMNS: usize = 256;

/// A line laid out for reading. What is JSON or XML in it is indented, logfmt becomes a pair a line, `\n` and `\t` in messages
/// become lines and tabs. The lines still have to go through [`crate::sanitize()`].
pub fn pretty(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let start = line.find(['{', '[', '<']);
    let (_, words) = text::pairs(line, 0, &mut |_, _, _| true);
    let (pairs, _) = text::pairs(line, 0, &mut |_, _, _| true);
    if pairs > 2 && pairs > words && !line.trim_start().starts_with(['{', '[', '<']) {
        text::pairs(line, 0, &mut |key, value, _| {
            let mut parts = text::unescape(value)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .into_iter();
            out.push(format!("{key} = {}", parts.next().unwrap_or_default()));
            out.extend(parts.map(|part| format!("    {part}")));
            out.len() < MAX_PRETTY
        });
        return out;
    }
    if let Some(start) = start {
        let body = &line[start..];
        let laid_out = if body.starts_with('<') { xml(body) } else { json(body) };
        if let Some(mut laid_out) = laid_out {
            if !line[..start].trim().is_empty() {
                out.push(line[..start].trim_end().to_owned());
            }
            out.append(&mut laid_out);
            out.truncate(MAX_PRETTY);
            return out;
        }
    }
    out.extend(
        line.replace("\\n", "\n")
            .replace("\\t", "\t")
            .lines()
            .take(MAX_PRETTY)
            .map(str::to_owned),
    );
    out
}

/// JSON indented by two, in its own order; what follows it is kept as a last line. `None` when it is no whole JSON.
fn json(text: &str) -> Option<Vec<String>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    stream.next()?.ok()?;
    let end = stream.byte_offset();
    let (body, rest) = text.split_at(end);
    let mut out = vec![String::new()];
    let mut depth = 0usize;
    let mut chars = body.chars().peekable();
    let mut quoted = false;
    let fresh = |out: &mut Vec<String>, depth: usize| out.push("  ".repeat(depth.min(64)));
    while let Some(c) = chars.next() {
        if out.len() > MAX_PRETTY {
            break;
        }
        if let Some(line) = out.last_mut() {
            match c {
                _ if quoted => {
                    line.push(c);
                    if c == '\\' {
                        line.extend(chars.next());
                    } else {
                        quoted = c != '"';
                    }
                    if quoted {
                        continue;
                    }
                }
                '"' => {
                    quoted = true;
                    line.push(c);
                }
                ':' => line.push_str(": "),
                c if c.is_whitespace() => {}
                c => line.push(c),
            }
        }
        let skip = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            while chars.peek().is_some_and(|c| c.is_whitespace()) {
                chars.next();
            }
        };
        match c {
            '{' | '[' => {
                skip(&mut chars);
                if !matches!(chars.peek(), Some('}' | ']')) {
                    depth += 1;
                    fresh(&mut out, depth);
                } else if let (Some(line), Some(close)) = (out.last_mut(), chars.next()) {
                    line.push(close);
                }
            }
            ',' => fresh(&mut out, depth),
            _ => {}
        }
        if !quoted {
            skip(&mut chars);
            if matches!(chars.peek(), Some('}' | ']')) {
                depth = depth.saturating_sub(1);
                fresh(&mut out, depth);
            }
        }
    }
    if !rest.trim().is_empty() {
        out.push(rest.trim().to_owned());
    }
    Some(out)
}

/// XML with an element a line. `None` when it has no closing tags.
fn xml(text: &str) -> Option<Vec<String>> {
    if !text.contains("</") && !text.contains("/>") {
        return None;
    }
    let (mut out, mut depth, mut at) = (Vec::new(), 0usize, 0);
    while at < text.len() && out.len() < MAX_PRETTY {
        let rest = &text[at..];
        if !rest.starts_with('<') {
            let end = rest.find('<').unwrap_or(rest.len());
            let inner = rest[..end].trim();
            if !inner.is_empty() {
                out.push(format!("{}{inner}", "  ".repeat(depth.min(64))));
            }
            at += end;
            continue;
        }
        let end = rest.find('>')? + 1;
        let tag = &rest[..end];
        let closing = tag.starts_with("</");
        let alone = tag.ends_with("/>") || tag.starts_with("<?") || tag.starts_with("<!");
        if closing {
            depth = depth.saturating_sub(1);
        }
        // A short text element stays on one line.
        let after = &rest[end..];
        let name = tag[1..tag.len() - 1].split_whitespace().next().unwrap_or("");
        let close = format!("</{name}>");
        if !closing
            && !alone
            && let Some(inner) = after.find('<').filter(|n| after[*n..].starts_with(&close) && *n < 80)
        {
            out.push(format!("{}{tag}{}{close}", "  ".repeat(depth.min(64)), &after[..inner]));
            at += end + inner + close.len();
            continue;
        }
        out.push(format!("{}{tag}", "  ".repeat(depth.min(64))));
        if !closing && !alone {
            depth += 1;
        }
        at += end;
    }
    Some(out)
}

/// A field that lines of a sample have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its dotted name.
    pub name: String,
    /// The type of its values: `text`, `number`, `yes/no`, `duration`, `any` when they differ.
    pub kind: &'static str,
    /// How many lines of the sample have it.
    pub lines: usize,
    /// The widest value, in characters, at most 200.
    pub width: usize,
}

/// The fields of some rows, the most frequent first.
pub fn columns(rows: &[Row]) -> Vec<Column> {
    let mut found: BTreeMap<String, (usize, Column)> = BTreeMap::new();
    for row in rows {
        let text = row.text();
        for field in row.parse(&text).fields {
            let kind = match &field.value {
                FieldValue::Null => "any",
                FieldValue::Bool(_) => "yes/no",
                FieldValue::Int(_) | FieldValue::Uint(_) | FieldValue::Float(_) => "number",
                FieldValue::Str(_) => "text",
                FieldValue::Duration(_) => "duration",
                FieldValue::Other(value) => match value {
                    qd_core::Value::Int(_) | qd_core::Value::Uint(_) | qd_core::Value::Float(_) => "number",
                    qd_core::Value::Bool(_) => "yes/no",
                    qd_core::Value::Duration(_) => "duration",
                    qd_core::Value::Str(_) | qd_core::Value::Blob(_) => "text",
                    _ => "any",
                },
            };
            let width = clip(&field.value.as_ref().text(), 800).chars().count().min(200);
            let order = found.len();
            if order >= COLUMNS && !found.contains_key(field.name.as_ref()) {
                continue;
            }
            let (_, column) = found.entry(field.name.to_string()).or_insert_with(|| {
                let column = Column {
                    name: field.name.to_string(),
                    kind,
                    lines: 0,
                    width: 0,
                };
                (order, column)
            });
            column.lines += 1;
            column.width = column.width.max(width);
            if kind != "any" && column.kind == "any" && column.lines == 1 {
                column.kind = kind;
            } else if kind != "any" && column.kind != kind {
                column.kind = "any";
            }
        }
    }
    let mut list: Vec<_> = found.into_values().collect();
    list.sort_by(|(a, x), (b, y)| y.lines.cmp(&x.lines).then(a.cmp(b)));
    list.into_iter().map(|(_, column)| column).collect()
}

/// A moment as seen from another: `+1m30s`, `-250ms`, `0`.
pub fn relative(at: Timestamp, from: Timestamp) -> String {
    match at.0.cmp(&from.0) {
        std::cmp::Ordering::Equal => "0".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", HumanDuration(at.since(from))),
        std::cmp::Ordering::Less => format!("-{}", HumanDuration(from.since(at))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn structures_are_laid_out() {
        assert_eq!(
            pretty(r#"x {"b":1,"a":[1,{"c":"},"}],"e":{}} y"#),
            [
                "x",
                "{",
                "  \"b\": 1,",
                "  \"a\": [",
                "    1,",
                "    {",
                "      \"c\": \"},\"",
                "    }",
                "  ],",
                "  \"e\": {}",
                "}",
                "y"
            ]
        );
        assert_eq!(
            pretty("<a><b>1</b><c x=\"1\"/></a>"),
            ["<a>", "  <b>1</b>", "  <c x=\"1\"/>", "</a>"]
        );
        assert_eq!(
            pretty("a=1 b=\"two\\nlines\" c=3"),
            ["a = 1", "b = two", "    lines", "c = 3"]
        );
        assert_eq!(pretty("one\\ntwo"), ["one", "two"]);
        assert_eq!(relative(Timestamp(90_000_000_000), Timestamp(0)), "+1m30s");
    }

    proptest! {
        #[test]
        fn nothing_panics(line in "[<>/{}\\[\\]\":,=a1 \\\\né]{0,60}") {
            let _ = pretty(&line);
        }
    }
}
