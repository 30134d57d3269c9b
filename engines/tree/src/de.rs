//! A serde deserializer over [`Node`]s whose errors know their place.

use std::cell::RefCell;
use std::fmt::Display;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{ConfigError, Key, Node, NodeValue};

/// How far from a right word a wrong one may be to be taken for it: Jaro-Winkler, 0 to 1.
const CLOSE: f64 = 0.75;

/// The name by which [`Node`] asks this deserializer for the node itself.
const WHOLE: &str = "$qd::tree::Node";

thread_local! {
    // Serde's data model has neither nodes nor places. These two slots carry one past it: each is filled right
    // before the call that empties it, on the same thread.
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
    static ERROR: RefCell<Option<ConfigError>> = const { RefCell::new(None) };
}

/// Turns a finding into any deserializer's error; if that is this crate's, place and suggestion survive.
pub fn carry<E: de::Error>(error: ConfigError) -> E {
    let text = error.to_string();
    ERROR.with_borrow_mut(|slot| *slot = Some(error));
    let carried = E::custom(text);
    ERROR.with_borrow_mut(|slot| slot.take());
    carried
}

impl de::Error for ConfigError {
    fn custom<T: Display>(msg: T) -> Self {
        let text = msg.to_string();
        match ERROR.with_borrow_mut(|slot| slot.take()) {
            Some(error) if error.to_string() == text => error,
            _ => ConfigError::new(text),
        }
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

/// The right word that is closest to a wrong one, if one is close enough: by the letters that differ, and among equals by
/// how alike the words begin.
pub fn nearest<'a>(word: &str, right: impl IntoIterator<Item = &'a str>) -> Option<String> {
    right
        .into_iter()
        .map(|e| (strsim::osa_distance(word, e), strsim::jaro_winkler(word, e), e))
        .filter(|(distance, alike, e)| {
            let length = word.chars().count().min(e.chars().count());
            *alike >= CLOSE || (length >= 3 && *distance <= (length / 3).max(1))
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, e)| e.to_owned())
}

fn unknown(what: &str, word: &str, expected: &[&str]) -> ConfigError {
    let suggestion = nearest(word, expected.iter().copied());
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
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        if name == WHOLE {
            NODE.with_borrow_mut(|slot| *slot = Some(self.0.clone()));
            return visitor.visit_unit();
        }
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

/// A node is read as itself, with its places where the source is a node too.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_newtype_struct(WHOLE, Whole)
    }
}

struct Whole;

impl Whole {
    fn plain<E>(value: NodeValue) -> Result<Node, E> {
        Ok(Node::new(value))
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(NODE
            .with_borrow_mut(|slot| slot.take())
            .unwrap_or_else(|| Node::new(NodeValue::Null)))
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Self::plain(NodeValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Whole)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Whole)
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Node, E> {
        Self::plain(NodeValue::Bool(v))
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Node, E> {
        Self::plain(NodeValue::Int(v))
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Node, E> {
        i64::try_from(v).map_or_else(|_| Err(E::custom("the number is too large")), |v| self.visit_i64(v))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Node, E> {
        Self::plain(NodeValue::Float(v))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Node, E> {
        Self::plain(NodeValue::String(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Self::plain(NodeValue::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Node>()? {
            entries.push((Key { name, span: None }, value));
        }
        Self::plain(NodeValue::Table(entries))
    }
}
