//! Labels and structured metadata from templates.

use std::collections::BTreeMap;

use qd_logs_codecs::{EventRef, RenderError, Template};
use qd_logs_model::Value;
use vrl::path::{OwnedTargetPath, parse_target_path};

/// Templates of names and values. A rendered name with `*` at its end takes an object as its value, of which each field
/// becomes a pair with the text before the `*` before its name.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(Template, Template)>);

impl Pairs {
    /// The fields the values are made of.
    pub(super) fn fields(&self) -> Vec<OwnedTargetPath> {
        self.0
            .iter()
            .flat_map(|(_, v)| v.fields())
            .filter_map(|f| parse_target_path(f).ok())
            .collect()
    }

    /// The pairs of an event. Those that can't be rendered are left out and told to `skipped`.
    ///
    /// # Errors
    /// A pair that leads out of where its template may lead: the event must not be sent.
    pub(super) fn render(
        &self,
        event: EventRef<'_>,
        skipped: impl Fn(&RenderError),
    ) -> Result<Vec<(String, String)>, RenderError> {
        let mut fixed = Vec::new();
        let mut pairs = BTreeMap::new();
        for (name, value) in &self.0 {
            let (name, value) = match (name.render(event), value.render(event)) {
                (Ok(name), Ok(value)) => (name, value),
                (Err(e @ RenderError::Confined(_)), _) | (_, Err(e @ RenderError::Confined(_))) => return Err(e),
                (Err(e), _) | (_, Err(e)) => {
                    skipped(&e);
                    continue;
                }
            };
            let Some(prefix) = name.strip_suffix('*') else {
                fixed.push((name, value));
                continue;
            };
            let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&value) else {
                skipped(&RenderError::Missing(vec![name]));
                continue;
            };
            for (key, value) in object {
                if !value.is_null() {
                    let text = Value::from(value).to_string_lossy().into_owned();
                    pairs.insert(slug(&format!("{prefix}{key}")), text);
                }
            }
        }
        pairs.extend(fixed);
        Ok(pairs.into_iter().collect())
    }
}

/// Letters, digits and `_` in lower case; anything else is a `_`.
fn slug(name: &str) -> String {
    name.chars()
        .map(|c| match c.is_ascii_alphanumeric() || c == '_' {
            true => c.to_ascii_lowercase(),
            false => '_',
        })
        .collect()
}

/// Whether this may be the name of a label, or a prefix with `*` at its end.
pub(super) fn is_name(name: &str) -> bool {
    let name = name.trim();
    if name == "*" {
        return true;
    }
    let name = name.strip_suffix('*').unwrap_or(name);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_expand_and_fixed_pairs_win() {
        let t = |s| Template::parse(s).unwrap();
        let pairs = Pairs(vec![
            (t("pod_*"), t("{{ labels }}")),
            (t("pod_a_b"), t("fixed")),
            (t("x"), t("{{ absent }}")),
        ]);
        let event = Value::from(serde_json::json!({"labels": {"A-b": "1", "c": 2, "d": null}}));
        let missed = std::cell::Cell::new(0);
        let got = pairs
            .render(EventRef::Value(&event), |_| missed.set(missed.get() + 1))
            .unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(got, [pair("pod_a_b", "fixed"), pair("pod_c", "2")]);
        assert_eq!(missed.get(), 1);
    }

    #[test]
    fn names_of_labels() {
        for good in ["a", "_a1", "*", "pod_*"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "\"*\"", "a*b"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
