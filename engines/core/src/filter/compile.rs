//! Tree to matcher: checking a query against a schema and preparing everything that matching needs.
//!
//! All the work that can fail or is slow happens here, once; matching afterwards neither fails nor allocates for the common
//! kinds of values.

use std::cmp::Ordering;

use super::DIRECTIVES;
use super::ast::{Expr, Glob, Op, Query, Span, TermKind, Test};
use super::compare::Operand;
use super::diagnostic::{Diagnostic, Level};
use super::fields::Fields;
use super::needle::{Extent, Needle};
use super::schema::{FieldType, Openness, Schema};
use crate::record::ValueRef;
use crate::time::{Now, When};

/// A condition, ready to be asked.
#[derive(Debug)]
pub(super) enum Node {
    All,
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Not(Box<Node>),
    Anywhere(Needle),
    Field { name: Box<str>, check: Check },
}

/// What a field's value is asked.
#[derive(Debug)]
pub(super) enum Check {
    /// Whether there is a value.
    Present,
    /// Whether its text, whatever its type, matches.
    Text(Needle),
    /// Whether it is this: by text for text, by size for the rest.
    Is {
        needle: Needle,
        operand: Option<Operand>,
        by: By,
    },
    Compare(Op, Operand),
    Range(Option<Operand>, Option<Operand>),
}

/// By what a textual value is judged in [`Check::Is`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Text,
    Size,
}

impl Node {
    pub(super) fn matches<F: Fields + ?Sized>(&self, item: &F) -> bool {
        match self {
            Node::All => true,
            Node::And(list) => list.iter().all(|node| node.matches(item)),
            Node::Or(list) => list.iter().any(|node| node.matches(item)),
            Node::Not(node) => !node.matches(item),
            Node::Anywhere(needle) => item.search(&mut |text| needle.matches(text)),
            Node::Field { name, check } => item.field(name).is_some_and(|value| check.holds(value)),
        }
    }
}

impl Check {
    fn holds(&self, value: ValueRef<'_>) -> bool {
        match self {
            Check::Present => value != ValueRef::Null,
            Check::Text(needle) => needle.matches(&value.text()),
            Check::Is { needle, operand, by } => {
                let textual = matches!(value, ValueRef::Str(_) | ValueRef::Blob(_) | ValueRef::Null);
                if textual && *by == By::Text {
                    needle.matches(&value.text())
                } else {
                    operand
                        .as_ref()
                        .is_some_and(|operand| operand.compare(value) == Some(Ordering::Equal))
                }
            }
            Check::Compare(op, operand) => operand.compare(value).is_some_and(|order| match op {
                Op::Eq => order.is_eq(),
                Op::Ne => order.is_ne(),
                Op::Lt => order.is_lt(),
                Op::Le => order.is_le(),
                Op::Gt => order.is_gt(),
                Op::Ge => order.is_ge(),
            }),
            Check::Range(low, high) => {
                let within = |operand: &Option<Operand>, beyond: Ordering| {
                    operand
                        .as_ref()
                        .is_none_or(|end| end.compare(value).is_some_and(|order| order != beyond))
                };
                value != ValueRef::Null && within(low, Ordering::Less) && within(high, Ordering::Greater)
            }
        }
    }
}

/// What compiling a query found.
pub(super) struct Compiled {
    pub(super) node: Node,
    pub(super) since: Option<When>,
    pub(super) until: Option<When>,
    /// Whether a term was compared with a moment, which may be another one at another present.
    pub(super) timed: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
}

struct Compiler<'a> {
    schema: &'a Schema,
    now: &'a Now,
    timed: bool,
    diagnostics: Vec<Diagnostic>,
}

pub(super) fn compile(query: &Query, schema: &Schema, now: &Now) -> Compiled {
    let mut compiler = Compiler {
        schema,
        now,
        timed: false,
        diagnostics: Vec::new(),
    };
    let node = compiler.expr(&query.expr);
    let mut moment = |moment: &Option<super::ast::Moment>| {
        let moment = moment.as_ref()?;
        match When::parse(&moment.text, now) {
            Ok(when) => Some(when),
            Err(error) => {
                compiler.diagnostics.push(Diagnostic::error(moment.span, error.message));
                None
            }
        }
    };
    let (since, until) = (moment(&query.since), moment(&query.until));
    for key in &query.sort {
        compiler.kind(&key.field, key.span);
    }
    compiler.diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Compiled {
        node,
        since,
        until,
        timed: compiler.timed,
        diagnostics: compiler.diagnostics,
    }
}

impl Compiler<'_> {
    fn fail(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(span, message));
    }

    fn expr(&mut self, expr: &Expr) -> Node {
        match expr {
            Expr::All => Node::All,
            Expr::And(list) => Node::And(list.iter().map(|expr| self.expr(expr)).collect()),
            Expr::Or(list) => Node::Or(list.iter().map(|expr| self.expr(expr)).collect()),
            Expr::Not(inner) => Node::Not(Box::new(self.expr(inner))),
            Expr::Term(term) => match &term.kind {
                TermKind::Text(glob) => self
                    .needle(Needle::glob(glob, Extent::Anywhere), term.span)
                    .map(Node::Anywhere),
                TermKind::Regex(rx) => self.needle(Needle::regex(rx), term.span).map(Node::Anywhere),
                TermKind::Fuzzy(text) => Some(Node::Anywhere(Needle::fuzzy(text))),
                TermKind::Field { name, test, value } => {
                    let name_span = Span::new(term.span.start, term.span.start + name.len());
                    let kind = self.kind(name, name_span);
                    self.check(test, kind, *value).map(|check| Node::Field {
                        name: name.as_str().into(),
                        check,
                    })
                }
            }
            // What could not be compiled has left an error, so this node is never asked.
            .unwrap_or(Node::All),
        }
    }

    fn needle(&mut self, needle: Result<Needle, String>, span: Span) -> Option<Needle> {
        needle.map_err(|message| self.fail(span, message)).ok()
    }

    /// The declared type of a field; warns about one that is not declared.
    fn kind(&mut self, name: &str, span: Span) -> FieldType {
        if let Some(field) = self.schema.get(name) {
            return field.kind;
        }
        let suggestions: Vec<_> = self
            .schema
            .closest(name, 3)
            .into_iter()
            .filter(|close| !DIRECTIVES.contains(&close.as_str()))
            .collect();
        let typo = suggestions
            .iter()
            .any(|close| strsim::damerau_levenshtein(close, name) <= 2);
        // Without any declaration nothing can be called unknown.
        let expected = match self.schema.openness() {
            Openness::Open => !typo,
            Openness::Closed => self.schema.fields().is_empty(),
        };
        if !expected {
            let message = format!("there is no field `{name}` here");
            self.diagnostics.push(Diagnostic::warning(span, message, suggestions));
        }
        FieldType::Any
    }

    fn operand(&mut self, text: &str, kind: FieldType, span: Span) -> Option<Operand> {
        let operand = Operand::new(text, kind, self.now);
        self.timed |= operand.as_ref().is_ok_and(Operand::is_timed);
        operand.map_err(|error| self.fail(span, error.message)).ok()
    }

    fn check(&mut self, test: &Test, kind: FieldType, span: Span) -> Option<Check> {
        match test {
            Test::Is(glob) => self.is(glob, kind, span),
            Test::Regex(rx) => self.needle(Needle::regex(rx), span).map(Check::Text),
            Test::Fuzzy(text) => Some(Check::Text(Needle::fuzzy(text))),
            Test::Compare(op, text) => Some(Check::Compare(*op, self.operand(text, kind, span)?)),
            Test::Range(low, high) => {
                let mut end = |text: &Option<String>| match text {
                    Some(text) => self.operand(text, kind, span).map(Some),
                    None => Some(None),
                };
                let (low, high) = (end(low), end(high));
                Some(Check::Range(low?, high?))
            }
        }
    }

    fn is(&mut self, glob: &Glob, kind: FieldType, span: Span) -> Option<Check> {
        if glob.is_any() {
            return Some(Check::Present);
        }
        let textual = matches!(kind, FieldType::Keyword | FieldType::Text | FieldType::Any);
        let extent = if kind == FieldType::Text {
            Extent::Anywhere
        } else {
            Extent::Whole
        };
        let needle = self.needle(Needle::glob(glob, extent), span)?;
        let Some(text) = glob.as_literal() else {
            return Some(Check::Text(needle));
        };
        let operand = if textual {
            let operand = Operand::new(text, kind, self.now).ok();
            self.timed |= operand.as_ref().is_some_and(Operand::is_timed);
            operand
        } else {
            Some(self.operand(text, kind, span)?)
        };
        Some(Check::Is {
            needle,
            operand,
            by: if textual { By::Text } else { By::Size },
        })
    }
}

impl Compiled {
    pub(super) fn is_valid(&self) -> bool {
        self.diagnostics
            .iter()
            .all(|diagnostic| diagnostic.level < Level::Error)
    }
}
