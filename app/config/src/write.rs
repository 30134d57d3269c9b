//! KDL as we print it: strings and words that KDL v1 and v2 both read back as they were.

/// `text` as a quoted KDL string.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Characters that KDL v2 forbids in a file or takes for a line break.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `word` bare if it is a plain name, else quoted: for node and property names.
pub(crate) fn name(word: &str) -> String {
    let plain = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !matches!(word, "true" | "false" | "null" | "inf" | "nan");
    if plain { word.to_owned() } else { quote(word) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_versions_read_back_what_is_quoted(s in any::<String>(), key in any::<String>()) {
            let text = format!("{} {}={}", name(&key), name(&key), quote(&s));
            for document in [kdl::KdlDocument::parse_v2(&text), kdl::KdlDocument::parse_v1(&text)] {
                let document = document.map_err(|e| TestCaseError::fail(format!("{text}: {e:?}")))?;
                let node = &document.nodes()[0];
                prop_assert_eq!(node.name().value(), key.as_str());
                prop_assert_eq!(node.get(key.as_str()).and_then(|v| v.as_string()), Some(s.as_str()));
            }
        }
    }
}
