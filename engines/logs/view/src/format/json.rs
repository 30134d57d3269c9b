//! JSON lines: finding two keys without parsing, and flattening a whole object.

use std::borrow::Cow;

use memchr::memchr2;

use super::fields::{Field, FieldValue};

/// How deep objects are followed; deeper ones are kept as text.
const DEPTH: usize = 16;
/// How many fields a line may have; the rest is left out.
const FIELDS: usize = 512;

fn blanks(b: &[u8], mut i: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = b.get(i) {
        i += 1;
    }
    i
}

/// Where the string that begins at the quote at `i` ends (after its closing quote), and whether it has escapes.
fn string(b: &[u8], i: usize) -> Option<(usize, bool)> {
    let mut j = i + 1;
    let mut escaped = false;
    loop {
        j += memchr2(b'"', b'\\', b.get(j..)?)?;
        if b[j] == b'"' {
            return Some((j + 1, escaped));
        }
        escaped = true;
        j += 2;
    }
}

/// Where the value at `i` ends.
fn skip(b: &[u8], i: usize) -> Option<usize> {
    match b.get(i)? {
        b'"' => string(b, i).map(|(end, _)| end),
        b'{' | b'[' => {
            let (mut depth, mut j) = (0usize, i);
            loop {
                match b.get(j)? {
                    b'"' => {
                        j = string(b, j)?.0;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(j + 1);
                        }
                    }
                    _ => {}
                }
                j += 1;
            }
        }
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let rest = &b[i..];
            let len = rest
                .iter()
                .position(|c| matches!(c, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n'));
            Some(i + len.unwrap_or(rest.len()))
        }
        _ => None,
    }
}

/// Calls `each` with the key (raw, without quotes) and the raw value of each member until it says stop. `None` when the
/// text is no object; what was seen before the damage was handed out.
fn members<'a>(b: &'a [u8], at: usize, each: &mut dyn FnMut(&'a [u8], &'a [u8]) -> bool) -> Option<()> {
    let mut i = blanks(b, at);
    if b.get(i) != Some(&b'{') {
        return None;
    }
    i = blanks(b, i + 1);
    if b.get(i) == Some(&b'}') {
        return Some(());
    }
    loop {
        if b.get(i) != Some(&b'"') {
            return None;
        }
        let (end, _) = string(b, i)?;
        let key = &b[i + 1..end - 1];
        i = blanks(b, end);
        if b.get(i) != Some(&b':') {
            return None;
        }
        i = blanks(b, i + 1);
        let end = skip(b, i)?;
        if !each(key, &b[i..end]) {
            return Some(());
        }
        i = blanks(b, end);
        match b.get(i)? {
            b',' => i = blanks(b, i + 1),
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

/// The raw values of up to two dotted names; strings keep their quotes.
pub(crate) fn find<'a>(b: &'a [u8], names: [&[u8]; 2]) -> [Option<&'a [u8]>; 2] {
    let mut found = [None; 2];
    look(b, names, &mut found, 0);
    found
}

fn look<'a>(b: &'a [u8], names: [&[u8]; 2], found: &mut [Option<&'a [u8]>; 2], depth: usize) {
    let _ = members(b, 0, &mut |key, value| {
        for n in 0..2 {
            if found[n].is_some() || names[n].is_empty() {
                continue;
            }
            if key == names[n] {
                found[n] = Some(value);
            } else if let Some(rest) = names[n].strip_prefix(key)
                && rest.first() == Some(&b'.')
                && value.first() == Some(&b'{')
                && depth < DEPTH
            {
                let mut inner = [None; 2];
                look(value, [&rest[1..], b""], &mut inner, depth + 1);
                found[n] = inner[0];
            }
        }
        !(0..2).all(|n| found[n].is_some() || names[n].is_empty())
    });
}

/// A raw string value without quotes and escapes.
pub(crate) fn text(raw: &str) -> Cow<'_, str> {
    match raw.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(inner) => serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(inner), Cow::Owned),
        None => Cow::Borrowed(raw),
    }
}

fn value(raw: &str) -> FieldValue<'_> {
    match raw.as_bytes().first() {
        Some(b'"') => FieldValue::Str(text(raw)),
        Some(b't') => FieldValue::Bool(true),
        Some(b'f') => FieldValue::Bool(false),
        Some(b'n') => FieldValue::Null,
        Some(b'-' | b'0'..=b'9') => {
            if let Ok(value) = raw.parse::<i64>() {
                FieldValue::Int(value)
            } else if let Ok(value) = raw.parse::<u64>() {
                FieldValue::Uint(value)
            } else {
                raw.parse::<f64>()
                    .map_or(FieldValue::Str(Cow::Borrowed(raw)), FieldValue::Float)
            }
        }
        _ => FieldValue::Str(Cow::Borrowed(raw)),
    }
}

/// Every leaf of the object on a line under its dotted name, arrays as text; `false` when the line is no whole object.
pub(crate) fn flatten<'a>(line: &'a str, fields: &mut Vec<Field<'a>>) -> bool {
    let whole = line.trim_start().starts_with('{') && line.trim_end().ends_with('}');
    whole && walk(line, line, "", 0, fields)
}

fn walk<'a>(line: &'a str, part: &'a str, prefix: &str, depth: usize, fields: &mut Vec<Field<'a>>) -> bool {
    let b = part.as_bytes();
    let base = part.as_ptr() as usize - line.as_ptr() as usize;
    let mut nested_fine = true;
    let done = members(b, 0, &mut |key, raw| {
        // Members are cut at ASCII bytes, so that these are whole characters.
        let start = raw.as_ptr() as usize - b.as_ptr() as usize;
        let (Ok(key), Some(raw)) = (std::str::from_utf8(key), part.get(start..start + raw.len())) else {
            return false;
        };
        let key = if key.contains('\\') {
            serde_json::from_str::<String>(&format!("\"{key}\"")).map_or(Cow::Borrowed(key), Cow::Owned)
        } else {
            Cow::Borrowed(key)
        };
        let name = if prefix.is_empty() {
            key
        } else {
            Cow::Owned(format!("{prefix}.{key}"))
        };
        if raw.starts_with('{') && depth < DEPTH && raw.len() > 2 {
            nested_fine = walk(line, raw, &name, depth + 1, fields);
        } else if fields.len() < FIELDS {
            let quoted = usize::from(raw.starts_with('"'));
            fields.push(Field {
                name,
                value: value(raw),
                span: Some(base + start + quoted..base + start + raw.len() - quoted),
            });
        }
        nested_fine && fields.len() < FIELDS
    });
    done.is_some() && nested_fine
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_keys_are_found_without_parsing() {
        let line = br#"{"a":{"level":"no","t":[1,"}"]},"m":"\"level\":\"x\"", "level" : "warn","log":{"time":"T"}}"#;
        let found = find(line, [b"log.time", b"level"]);
        assert_eq!(found, [Some(&br#""T""#[..]), Some(&br#""warn""#[..])]);
        assert_eq!(find(b"{\"log.level\":1}", [b"log.level", b""])[0], Some(&b"1"[..]));
        assert_eq!(find(b"not json", [b"a", b"b"]), [None, None]);
    }

    #[test]
    fn an_object_is_flattened_with_types() {
        let line = r#"{"a":1,"b":{"c":"x\ny","d":[1,2]},"e":1.5,"f":null,"g":true,"h":18446744073709551615}"#;
        let mut fields = Vec::new();
        assert!(flatten(line, &mut fields));
        let shown: Vec<_> = fields
            .iter()
            .map(|f| format!("{}={}", f.name, f.value.as_ref()))
            .collect();
        assert_eq!(
            shown,
            [
                "a=1",
                "b.c=x\ny",
                "b.d=[1,2]",
                "e=1.5",
                "f=",
                "g=true",
                "h=18446744073709551615"
            ]
        );
        assert_eq!(&line[fields[1].span.clone().unwrap()], "x\\ny");
        assert!(!flatten("{\"a\":", &mut Vec::new()));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\[\\]{}\":,a1\\\\ né]{0,40}") {
            let mut fields = Vec::new();
            flatten(&text, &mut fields);
            find(text.as_bytes(), [b"a", b"a.n"]);
        }
    }
}
