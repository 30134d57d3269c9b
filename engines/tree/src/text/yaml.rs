//! YAML, by the events of `saphyr-parser`.
//!
//! Plain scalars are resolved as Vector's reader does: `true`/`false` and `null`/`~` in their three cases, whole numbers
//! in base 2, 8, 10 and 16, numbers with a fraction or an exponent, and everything else is text, `yes`, `on` and `012`
//! included.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use super::{MAX_DEPTH, MAX_NODES, duplicate, float, too_deep, too_large, too_many};
use crate::{ConfigError, FileId, Key, Node, NodeValue, Span};

pub(super) fn parse(text: &str, file: FileId) -> Result<Node, ConfigError> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let places = Places::new(text, text.len() - body.len(), file);
    if is_empty(body) {
        return Ok(Node {
            value: NodeValue::Table(Vec::new()),
            span: Some(places.span(0, 0)),
        });
    }
    let mut composer = Composer {
        parser: Parser::new_from_str(body),
        places,
        anchors: HashMap::new(),
        nodes: 0,
    };
    composer.document()
}

/// Whether the text has blanks, comments, directives and document markers only.
fn is_empty(text: &str) -> bool {
    text.lines().all(|line| {
        let line = line.trim();
        let marker = |m: &str| {
            line.strip_prefix(m)
                .is_some_and(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with('#'))
        };
        line.is_empty() || line.starts_with(['#', '%']) || marker("---") || marker("...")
    })
}

/// From the parser's character positions to bytes.
struct Places<'a> {
    text: &'a str,
    file: FileId,
    /// Where the parser's text begins.
    base: usize,
    /// The byte of every character; empty where all characters are one byte.
    bytes: Vec<u32>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, base: usize, file: FileId) -> Places<'a> {
        let body = &text[base..];
        let bytes = if body.is_ascii() {
            Vec::new()
        } else {
            body.char_indices()
                .map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX))
                .collect()
        };
        Places {
            text,
            file,
            base,
            bytes,
        }
    }

    fn byte(&self, index: usize) -> usize {
        let offset = match self.bytes.get(index) {
            Some(at) => *at as usize,
            None if self.bytes.is_empty() => index,
            None => self.text.len(),
        };
        self.base.saturating_add(offset)
    }

    /// The span of characters, without the blanks at its end that block scalars and tables have.
    fn span(&self, start: usize, end: usize) -> Span {
        let start = self.byte(start).min(self.text.len());
        let end = self.byte(end).clamp(start, self.text.len());
        let trimmed = self
            .text
            .get(start..end)
            .map_or(end, |inner| start + inner.trim_end().len());
        super::span(self.text, self.file, start, trimmed)
    }

    fn of(&self, span: saphyr_parser::Span) -> Span {
        self.span(span.start.index(), span.end.index())
    }
}

/// A finished anchored node and the number of values in it.
struct Anchored {
    node: Node,
    nodes: usize,
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    places: Places<'a>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.places.of(span))),
            Some(Err(e)) => {
                let at = e.marker().index();
                Err(ConfigError::new(e.info().to_owned()).at(Some(self.places.span(at, at.saturating_add(1)))))
            }
            None => Err(ConfigError::new("the text ends too early")),
        }
    }

    fn document(&mut self) -> Result<Node, ConfigError> {
        let mut found: Option<Node> = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, span) => {
                    return found.ok_or_else(|| ConfigError::new("the text has no document").at(Some(span)));
                }
                (Event::DocumentStart(_), span) if found.is_some() => {
                    return Err(
                        ConfigError::new("a configuration file has one YAML document; a second begins here")
                            .at(Some(span)),
                    );
                }
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (event, span) => found = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), ConfigError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            return Err(too_many().at(Some(span)));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(too_deep().at(Some(span)));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (anchor, node) = match event {
            Event::Alias(id) => {
                let Some(Anchored { node, nodes }) = self.anchors.get(&id) else {
                    return Err(ConfigError::new("an alias inside of what it stands for has no end").at(Some(span)));
                };
                let more = *nodes;
                if self.nodes.saturating_add(more) > MAX_NODES {
                    return Err(too_many().at(Some(span)));
                }
                let mut node = node.clone();
                node.span = Some(span);
                // Depth was checked where the anchor stands; below an alias it adds up.
                if depth.saturating_add(height(&node)) > MAX_DEPTH {
                    return Err(too_deep().at(Some(span)));
                }
                self.count(more, span)?;
                (0, node)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref()).map_err(|e| e.at(Some(span)))?;
                (
                    anchor,
                    Node {
                        value,
                        span: Some(span),
                    },
                )
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq").map_err(|e| e.at(Some(span)))?;
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                };
                let span = join(span, end, items.last().and_then(|n| n.span));
                (
                    anchor,
                    Node {
                        value: NodeValue::Array(items),
                        span: Some(span),
                    },
                )
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map").map_err(|e| e.at(Some(span)))?;
                let (entries, end) = self.mapping(depth)?;
                let span = join(span, end, entries.last().and_then(|(_, n)| n.span));
                (
                    anchor,
                    Node {
                        value: NodeValue::Table(merge(entries)?),
                        span: Some(span),
                    },
                )
            }
            _ => return Err(ConfigError::new("expected a value").at(Some(span))),
        };
        if anchor > 0 {
            let nodes = self.nodes - before;
            // The copy that is kept counts too: nested anchors are kept several times.
            self.count(nodes, span)?;
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    nodes,
                },
            );
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<(Vec<(Key, Node)>, Span), ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Option<Span>> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok((entries, span));
            }
            let key = self.node(event, span, depth + 1)?;
            let NodeValue::String(name) = key.value else {
                return Err(
                    ConfigError::new(format!("keys are texts, but this is {}; put it in quotes", key.kind()))
                        .at(Some(span)),
                );
            };
            let key = Key { name, span: Some(span) };
            if let Some(first) = seen.insert(key.name.clone(), key.span) {
                return Err(duplicate(&key, first));
            }
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            entries.push((key, value));
        }
    }
}

/// From the start of a collection to the end of what is in it; a block's end event stands at the next token.
fn join(start: Span, end: Span, last: Option<Span>) -> Span {
    let flow_end = if end.end > end.start { end.end } else { 0 };
    let inner = last.filter(|l| l.start >= start.start).map_or(0, |l| l.end);
    Span {
        end: start.end.max(flow_end).max(inner),
        ..start
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        NodeValue::Array(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        NodeValue::Table(entries) => 1 + entries.iter().map(|(_, n)| height(n)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Resolves `<<`: keys of the table itself win, then those of the earlier merged tables.
fn merge(mut entries: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, ConfigError> {
    let Some(at) = entries.iter().position(|(k, _)| k.name == "<<") else {
        return Ok(entries);
    };
    let (_, merged) = entries.remove(at);
    let refuse = |node: &Node| {
        ConfigError::new(format!("`<<` merges a table or a list of tables, not {}", node.kind())).at(node.span)
    };
    let mut add = |node: Node| match node.value {
        NodeValue::Table(inner) => {
            for (key, value) in inner {
                if !entries.iter().any(|(k, _)| k.name == key.name) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        _ => Err(refuse(&node)),
    };
    match merged.value {
        NodeValue::Table(_) => add(merged)?,
        NodeValue::Array(items) => {
            for item in items {
                add(item)?;
            }
        }
        _ => return Err(refuse(&merged)),
    }
    Ok(entries)
}

fn collection_tag(tag: Option<&Tag>, kind: &str) -> Result<(), ConfigError> {
    match tag {
        None => Ok(()),
        Some(t) if t.is_yaml_core_schema() && t.suffix == kind => Ok(()),
        Some(t) => Err(unsupported(t)),
    }
}

fn unsupported(tag: &Tag) -> ConfigError {
    ConfigError::new(format!(
        "YAML's tags have no meaning in a configuration: `{}{}`",
        tag.handle, tag.suffix
    ))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<NodeValue, ConfigError> {
    let plain = matches!(style, ScalarStyle::Plain);
    let Some(tag) = tag else {
        return if plain {
            resolve(text)
        } else {
            Ok(NodeValue::String(text.to_owned()))
        };
    };
    if format!("{}{}", tag.handle, tag.suffix) == "!" {
        return Ok(NodeValue::String(text.to_owned()));
    }
    if !tag.is_yaml_core_schema() {
        return Err(unsupported(tag));
    }
    let wrong = || ConfigError::new(format!("the tag `!!{}` does not fit this value", tag.suffix));
    match (tag.suffix.as_str(), resolve(text)?) {
        ("str", _) => Ok(NodeValue::String(text.to_owned())),
        ("null", v @ NodeValue::Null) | ("bool", v @ NodeValue::Bool(_)) => Ok(v),
        ("int", v @ NodeValue::Int(_)) | ("float", v @ NodeValue::Float(_)) => Ok(v),
        #[allow(clippy::cast_precision_loss)]
        ("float", NodeValue::Int(i)) => Ok(NodeValue::Float(i as f64)),
        ("null" | "bool" | "int" | "float", _) => Err(wrong()),
        _ => Err(unsupported(tag)),
    }
}

/// What a plain scalar means.
fn resolve(text: &str) -> Result<NodeValue, ConfigError> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(NodeValue::Null),
        "true" | "True" | "TRUE" => return Ok(NodeValue::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(NodeValue::Bool(false)),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes()[0] {
        b'+' => (false, &text[1..]),
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return float(f64::INFINITY);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(NodeValue::String(text.to_owned()));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            if rest.is_empty() || !rest.chars().all(|c| c.is_digit(radix)) {
                return Ok(NodeValue::String(text.to_owned()));
            }
            return whole(rest, radix, negative);
        }
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Ok(NodeValue::String(text.to_owned()));
        }
        return whole(digits, 10, negative);
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(NodeValue::Float(if negative { -value } else { value })),
        _ => Ok(NodeValue::String(text.to_owned())),
    }
}

fn whole(digits: &str, radix: u32, negative: bool) -> Result<NodeValue, ConfigError> {
    let value = i128::from_str_radix(digits, radix).map_err(|_| too_large())?;
    i64::try_from(if negative { -value } else { value })
        .map(NodeValue::Int)
        .map_err(|_| too_large())
}
