//! TOML, by the `toml` crate's spanned tables.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{MAX_DEPTH, MAX_NODES, float, too_deep, too_large, too_many};
use crate::{ConfigError, FileId, Key, Node, NodeValue, Span};

/// Mistakes that one file reports at most; one slip makes many.
const MAX_ERRORS: usize = 16;

pub(super) fn parse(text: &str, file: FileId) -> Result<Node, Vec<ConfigError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .into_iter()
            .take(MAX_ERRORS)
            .map(|e| {
                let place = e.span().map(|s| super::span(text, file, s.start, s.end));
                ConfigError::new(e.message().trim().replace('\n', ", ")).at(place)
            })
            .collect());
    }
    let mut reader = Reader { text, file, nodes: 0 };
    let place = reader.place(table.span());
    reader
        .table(table.into_inner(), 0)
        .map(|value| Node { value, span: place })
        .map_err(|e| vec![e.at(place)])
}

struct Reader<'a> {
    text: &'a str,
    file: FileId,
    nodes: usize,
}

impl Reader<'_> {
    fn place(&self, range: std::ops::Range<usize>) -> Option<Span> {
        Some(super::span(self.text, self.file, range.start, range.end))
    }

    fn table(&mut self, table: DeTable<'_>, depth: usize) -> Result<NodeValue, ConfigError> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let at = key.span().start;
            let key = Key {
                span: self.place(key.span()),
                name: key.into_inner().into_owned(),
            };
            let value = self.value(value, depth + 1)?;
            entries.push((at, (key, value)));
        }
        // The crate keeps tables sorted by name; the graph and the order of routes want the file's.
        entries.sort_by_key(|(at, _)| *at);
        Ok(NodeValue::Table(entries.into_iter().map(|(_, entry)| entry).collect()))
    }

    fn value(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node, ConfigError> {
        let span = self.place(value.span());
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(too_deep().at(span));
        }
        if self.nodes > MAX_NODES {
            return Err(too_many().at(span));
        }
        let value = match value.into_inner() {
            DeValue::String(s) => NodeValue::String(s.into_owned()),
            DeValue::Boolean(b) => NodeValue::Bool(b),
            DeValue::Datetime(d) => NodeValue::String(d.to_string()),
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
                .map(NodeValue::Int)
                .map_err(|_| too_large().at(span))?,
            DeValue::Float(f) => {
                let number = f.as_str().parse::<f64>().unwrap_or(f64::NAN);
                float(number).map_err(|e| e.at(span))?
            }
            DeValue::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.push(self.value(item, depth + 1)?);
                }
                NodeValue::Array(list)
            }
            DeValue::Table(table) => self.table(table, depth)?,
        };
        Ok(Node { value, span })
    }
}
