//! Trees back to JSON and YAML.

use std::fmt::Write as _;

use crate::{Node, NodeValue};

impl Node {
    /// The value without places.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(b) => Value::Bool(*b),
            NodeValue::Int(i) => Value::from(*i),
            NodeValue::Float(f) => Value::from(*f),
            NodeValue::String(s) => Value::String(s.clone()),
            NodeValue::Array(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeValue::Table(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.to_json()))
                    .collect(),
            ),
        }
    }

    /// The value as a YAML document in block style; texts are in double quotes, so that they stay texts.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        write(self, 0, &mut out);
        out
    }

    /// Whether two trees hold the same, wherever they stand; the order of keys does not matter.
    pub fn same(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (NodeValue::Array(a), NodeValue::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (NodeValue::Table(a), NodeValue::Table(b)) => {
                a.len() == b.len() && a.iter().all(|(k, n)| other.get(&k.name).is_some_and(|o| n.same(o)))
            }
            (a, b) => a == b,
        }
    }
}

fn quoted(text: &str) -> String {
    // JSON's texts are YAML's double-quoted ones.
    serde_json::Value::from(text).to_string()
}

fn write(node: &Node, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match &node.value {
        NodeValue::Table(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let plain = !key.name.is_empty()
                    && key.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !["null", "true", "false"].contains(&key.name.to_lowercase().as_str());
                let name = if plain { key.name.clone() } else { quoted(&key.name) };
                let _ = write!(out, "{pad}{name}:");
                child(value, indent + 1, out);
            }
        }
        NodeValue::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "{pad}-");
                child(item, indent + 1, out);
            }
        }
        _ => {
            out.push_str(&inline(node));
            out.push('\n');
        }
    }
}

fn child(node: &Node, indent: usize, out: &mut String) {
    let block = match &node.value {
        NodeValue::Table(entries) => !entries.is_empty(),
        NodeValue::Array(items) => !items.is_empty(),
        _ => false,
    };
    if block {
        out.push('\n');
        write(node, indent, out);
    } else {
        let _ = writeln!(out, " {}", inline(node));
    }
}

fn inline(node: &Node) -> String {
    match &node.value {
        NodeValue::Null => "null".to_owned(),
        NodeValue::Bool(b) => b.to_string(),
        NodeValue::Int(i) => i.to_string(),
        NodeValue::Float(f) => {
            let text = f.to_string();
            if text.contains(['.', 'e']) {
                text
            } else {
                format!("{text}.0")
            }
        }
        NodeValue::String(s) => quoted(s),
        NodeValue::Array(_) => "[]".to_owned(),
        NodeValue::Table(_) => "{}".to_owned(),
    }
}
