//! The tree: values with the places they stand at.

/// Which of the loaded files a span lies in: an index into the loader's list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u16);

/// A range of bytes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A key of a table and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key, unescaped.
    pub name: String,
    /// Where it stands; `None` for a node that no file holds.
    pub span: Option<Span>,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: NodeValue,
    /// Where it stands; `None` for a node that no file holds.
    pub span: Option<Span>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text; TOML's dates and times come as their text.
    String(String),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values in the order of the file; no key twice.
    Table(Vec<(Key, Node)>),
}

impl Node {
    /// A node that no file holds.
    pub fn new(value: NodeValue) -> Node {
        Node { value, span: None }
    }

    /// An empty table.
    pub fn table() -> Node {
        Node::new(NodeValue::Table(Vec::new()))
    }

    /// The entry of a table; `None` if this is no table or has no such key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            NodeValue::Table(entries) => entries.iter().find(|(k, _)| k.name == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// The entries, if this is a table.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            NodeValue::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// Takes an entry out of a table; `None` if this is no table or has no such key.
    pub fn take(&mut self, key: &str) -> Option<(Key, Node)> {
        match &mut self.value {
            NodeValue::Table(entries) => {
                let at = entries.iter().position(|(k, _)| k.name == key)?;
                Some(entries.remove(at))
            }
            _ => None,
        }
    }

    /// Removes what stands at a path of keys and indices; whether there was anything.
    pub(crate) fn remove(&mut self, path: &[String]) -> bool {
        match (path, &mut self.value) {
            ([last], NodeValue::Table(_)) => self.take(last).is_some(),
            ([first, rest @ ..], NodeValue::Table(entries)) => entries
                .iter_mut()
                .find(|(k, _)| k.name == *first)
                .is_some_and(|(_, n)| n.remove(rest)),
            ([first, rest @ ..], NodeValue::Array(items)) if !rest.is_empty() => first
                .parse::<usize>()
                .ok()
                .and_then(|i| items.get_mut(i))
                .is_some_and(|n| n.remove(rest)),
            _ => false,
        }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(s) => Some(s),
            _ => None,
        }
    }

    /// What kind of value this is, in a word for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "null",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Int(_) => "a whole number",
            NodeValue::Float(_) => "a number",
            NodeValue::String(_) => "text",
            NodeValue::Array(_) => "a list",
            NodeValue::Table(_) => "a table",
        }
    }
}

impl From<serde_json::Value> for Node {
    /// A tree without places; numbers beyond `i64` become floats.
    fn from(value: serde_json::Value) -> Node {
        use serde_json::Value;
        Node::new(match value {
            Value::Null => NodeValue::Null,
            Value::Bool(b) => NodeValue::Bool(b),
            Value::Number(n) => match n.as_i64() {
                Some(i) => NodeValue::Int(i),
                None => NodeValue::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(s) => NodeValue::String(s),
            Value::Array(a) => NodeValue::Array(a.into_iter().map(Node::from).collect()),
            Value::Object(o) => NodeValue::Table(
                o.into_iter()
                    .map(|(name, v)| (Key { name, span: None }, Node::from(v)))
                    .collect(),
            ),
        })
    }
}
