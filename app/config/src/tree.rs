//! KDL text as a plain tree of nodes with byte spans, whichever version of KDL each statement is written in (v2 is tried
//! first, then v1, so that files made for zellij read unchanged). Owns the boundary to the `kdl` crate; nothing above it
//! knows that crate, and no text makes it panic or run out of stack.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use kdl::{KdlDocument, KdlNode, KdlValue};

use crate::{
    diagnostic::Report,
    scan::{MAX_BYTES, statements},
};

/// More syntax findings than this for one statement are noise.
const MAX_SYNTAX_FINDINGS: usize = 2;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Bool(bool),
    Null,
}

impl Value {
    /// The value as a word on a command line would spell it.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Text(s) => s.clone(),
            Self::Integer(i) => i.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Null => String::new(),
        }
    }
}

/// An argument or, with a key, a property.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Option<String>,
    pub(crate) value: Value,
    pub(crate) span: Range<usize>,
}

/// A node with its children.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) name_span: Range<usize>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) children: Vec<Node>,
    /// From the name to the end of the last argument, or of the block.
    pub(crate) span: Range<usize>,
}

impl Node {
    /// The arguments, without properties.
    pub(crate) fn args(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.key.is_none())
    }

    /// The properties with their keys.
    pub(crate) fn props(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().filter_map(|e| e.key.as_deref().map(|k| (k, e)))
    }
}

/// Reads `text`; every statement that cannot be read is reported and left out.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Vec<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the file is larger than {MAX_BYTES} bytes; it is not read");
        report.error(0..0, message, None);
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for span in statements(text, report) {
        let chunk = report.text(&span);
        match parse_chunk(chunk) {
            Ok(document) => {
                let convert = Convert { text, base: span.start };
                nodes.extend(document.nodes().iter().map(|n| convert.node(n)));
            }
            Err(failures) => {
                for failure in failures.into_iter().take(MAX_SYNTAX_FINDINGS) {
                    let at = span.start + failure.at.start.min(chunk.len());
                    let end = span.start + failure.at.end.min(chunk.len());
                    report.error(at..end, failure.message, failure.help);
                }
            }
        }
    }
    nodes
}

/// What the parser says about a statement.
struct Failure {
    at: Range<usize>,
    message: String,
    help: Option<String>,
}

fn parse_chunk(chunk: &str) -> Result<KdlDocument, Vec<Failure>> {
    let parse = || {
        let v2 = match KdlDocument::parse_v2(chunk) {
            Ok(document) => return Ok(document),
            Err(error) => error,
        };
        match KdlDocument::parse_v1(chunk) {
            Ok(document) => Ok(document),
            Err(v1) if looks_like_v1(chunk) => Err(v1),
            Err(_) => Err(v2),
        }
    };
    let whole = |message: &str| {
        vec![Failure {
            at: 0..chunk.len(),
            message: message.to_owned(),
            help: None,
        }]
    };
    match with_roomy_stack(chunk.len(), parse) {
        Some(Ok(document)) => Ok(document),
        Some(Err(error)) if error.diagnostics.is_empty() => Err(whole("this is not valid KDL")),
        Some(Err(error)) => Err(error.diagnostics.into_iter().map(failure).collect()),
        None => Err(whole("this statement cannot be read as KDL")),
    }
}

/// Statements up to this many bytes are parsed where we are.
const IN_PLACE: usize = 512;
/// Stack for each byte of a longer statement: the parser goes a level deeper at every slip it recovers from, measured at
/// up to 0.8 KiB a byte. The pages are touched only when they are needed.
const STACK_A_BYTE: usize = 2048;

/// Runs a parser where it cannot exhaust the stack; `None` should it panic, or when there is no memory for a stack.
fn with_roomy_stack<T: Send>(bytes: usize, parse: impl FnOnce() -> T + Send) -> Option<T> {
    if bytes <= IN_PLACE {
        return catch_unwind(AssertUnwindSafe(parse)).ok();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes * STACK_A_BYTE);
        thread.spawn_scoped(scope, parse).ok()?.join().ok()
    })
}

/// Words that only v1 allows bare; a statement with one was meant as v1, and v1's complaint is the useful one.
fn looks_like_v1(chunk: &str) -> bool {
    [" true", " false", " null", "=true", "=false", "=null"]
        .iter()
        .any(|w| chunk.contains(w))
}

fn failure(d: kdl::KdlDiagnostic) -> Failure {
    let at = d.span.offset()..d.span.offset().saturating_add(d.span.len());
    let said = d.message.unwrap_or_else(|| "syntax error".to_owned());
    let said = said.trim_end_matches('.');
    let mut letters = said.chars();
    let lowered = letters
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(letters).collect());
    Failure {
        at,
        message: format!("not valid KDL: {lowered}"),
        help: d.help,
    }
}

/// Turns the crate's nodes into ours, with spans in the whole text.
struct Convert<'a> {
    text: &'a str,
    base: usize,
}

impl Convert<'_> {
    fn node(&self, node: &KdlNode) -> Node {
        let name_span = self.span(node.name().span().offset(), node.name().span().len());
        let children = node
            .children()
            .map(|c| c.nodes().iter().map(|n| self.node(n)).collect())
            .unwrap_or_default();
        let end = self
            .span(node.span().offset(), node.span().len())
            .end
            .max(name_span.end);
        Node {
            name: node.name().value().to_owned(),
            span: name_span.start..end,
            name_span,
            entries: node.entries().iter().map(|e| self.entry(e)).collect(),
            children,
        }
    }

    fn entry(&self, entry: &kdl::KdlEntry) -> Entry {
        Entry {
            key: entry.name().map(|n| n.value().to_owned()),
            value: match entry.value() {
                KdlValue::String(s) => Value::Text(s.clone()),
                KdlValue::Integer(i) => Value::Integer(*i),
                KdlValue::Float(x) => Value::Float(*x),
                KdlValue::Bool(b) => Value::Bool(*b),
                KdlValue::Null => Value::Null,
            },
            span: self.span(entry.span().offset(), entry.span().len()),
        }
    }

    /// The span in the whole text, without blanks and terminators at its ends.
    fn span(&self, offset: usize, len: usize) -> Range<usize> {
        let start = (self.base + offset).min(self.text.len());
        let end = (start + len).min(self.text.len());
        let Some(text) = self.text.get(start..end) else {
            return start..start;
        };
        let useless = |c: char| c.is_whitespace() || c == ';';
        let lead = text.len() - text.trim_start_matches(useless).len();
        let body = text.trim_matches(useless).len();
        start + lead..start + lead + body
    }
}
