//! Values that remember where they were written.

use std::fmt;
use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::{Node, Span, carry};

/// A value and its place. Two of them are equal when their values are, wherever they stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written; `None` for one that no file holds.
    pub span: Option<Span>,
}

impl<T> Spanned<T> {
    /// A value that no file holds.
    pub fn new(value: T) -> Spanned<T> {
        Spanned { value, span: None }
    }
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Spanned<T> {
        Spanned::new(value)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Spanned<T>) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<T>, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let value = crate::decode(&node).map_err(carry)?;
        Ok(Spanned { value, span: node.span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileId, Format, parse};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        names: Vec<Spanned<String>>,
        inner: Spanned<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        port: Spanned<u16>,
    }

    fn text(of: &str, span: Option<Span>) -> &str {
        let span = span.expect("a place");
        &of[span.start as usize..span.end as usize]
    }

    #[test]
    fn places_are_kept_at_every_depth() {
        let yaml = "names: [a, bc]\ninner:\n  port: 80\n";
        let node = parse(yaml, Format::Yaml, FileId(0)).unwrap();
        let outer: Outer = crate::decode(&node).unwrap();
        assert_eq!(text(yaml, outer.names[1].span), "bc");
        assert_eq!(text(yaml, outer.inner.port.span), "80");
        assert_eq!(*outer.inner.port, 80);
    }

    #[test]
    fn an_error_inside_keeps_its_own_place_and_suggestion() {
        let yaml = "names: []\ninner:\n  prot: 80\n";
        let node = parse(yaml, Format::Yaml, FileId(0)).unwrap();
        let error = crate::decode::<Outer>(&node).unwrap_err();
        assert_eq!(text(yaml, error.span), "prot");
        assert_eq!(error.suggestion.as_deref(), Some("port"));
        assert_eq!(error.path, ["inner", "prot"]);
    }
}
