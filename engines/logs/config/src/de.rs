//! A serde deserializer over [`Node`]s whose errors know their place.

use std::fmt::Display;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::{ConfigError, Key, Node, NodeValue};

/// How far from a right word a wrong one may be to be taken for it: Jaro-Winkler, 0 to 1.
const CLOSE: f64 = 0.75;

impl de::Error for ConfigError {
    fn custom<T: Display>(msg: T) -> Self {
        ConfigError::new(msg.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        unknown("key", field, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        unknown("value", variant, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        ConfigError::new(format!("missing key `{field}`"))
    }
}

fn unknown(what: &str, word: &str, expected: &[&str]) -> ConfigError {
    let suggestion = expected
        .iter()
        .map(|e| (strsim::jaro_winkler(word, e), *e))
        .filter(|(score, _)| *score >= CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, e)| e.to_owned());
    let list = expected.iter().map(|e| format!("`{e}`")).collect::<Vec<_>>().join(", ");
    let message = if expected.is_empty() {
        format!("unknown {what} `{word}`; there are none here")
    } else {
        format!("unknown {what} `{word}`, expected one of {list}")
    };
    ConfigError {
        suggestion,
        ..ConfigError::new(message)
    }
}

pub(crate) fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, ConfigError> {
    T::deserialize(Reader(node))
}

struct Reader<'a>(&'a Node);

impl<'de> Reader<'de> {
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.0.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Bool(b) => visitor.visit_bool(*b),
            NodeValue::Int(i) => visitor.visit_i64(*i),
            NodeValue::Float(f) => visitor.visit_f64(*f),
            NodeValue::String(s) => visitor.visit_borrowed_str(s),
            NodeValue::Array(items) => visitor.visit_seq(Items { items, at: 0 }),
            NodeValue::Table(entries) => visitor.visit_map(Entries { entries, at: 0 }),
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = ConfigError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let span = self.0.span;
        self.any(visitor).map_err(|e| e.at(span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match self.0.value {
            NodeValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let span = self.0.span;
        match &self.0.value {
            NodeValue::String(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            NodeValue::Table(entries) if entries.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries { entries, at: 0 }))
            }
            _ => Err(ConfigError::new(format!("expected a name, found {}", self.0.kind()))),
        }
        .map_err(|e| e.at(span))
    }

    fn is_human_readable(&self) -> bool {
        true
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ConfigError> {
        let Some(item) = self.items.get(self.at) else {
            return Ok(None);
        };
        let at = self.at;
        self.at += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|mut e| {
            e.path.insert(0, at.to_string());
            e.at(item.span)
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.at)
    }
}

struct Entries<'a> {
    entries: &'a [(Key, Node)],
    at: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        let Some((key, _)) = self.entries.get(self.at) else {
            return Ok(None);
        };
        let reader: de::value::BorrowedStrDeserializer<'de, ConfigError> =
            de::value::BorrowedStrDeserializer::new(&key.name);
        seed.deserialize(reader).map(Some).map_err(|mut e| {
            e.path.insert(0, key.name.clone());
            e.at(key.span)
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ConfigError> {
        let Some((key, node)) = self.entries.get(self.at) else {
            return Err(ConfigError::new("a value was asked for before its key"));
        };
        self.at += 1;
        seed.deserialize(Reader(node)).map_err(|mut e| {
            e.path.insert(0, key.name.clone());
            e.at(node.span.or(key.span))
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len() - self.at)
    }
}
