//! The parse tree of a filter: plain data, with the bytes each part came from.
//!
//! The tree is what was typed, not what it means: operands stay text until a filter is compiled against a schema. So a tree
//! can be stored, shown (its `Display` reads back as the same tree) and compared without knowing any engine.

use std::ops::Range;

/// A stretch of bytes of the filter's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// As a range, to slice with.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A whole filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What must hold.
    pub expr: Expr,
    /// `since:`, as typed.
    pub since: Option<Moment>,
    /// `until:`, as typed.
    pub until: Option<Moment>,
    /// `sort:`, the most important key first.
    pub sort: Vec<SortKey>,
    /// `limit:`.
    pub limit: Option<u64>,
}

/// The moment of a `since:` or `until:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// As typed.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// One key of a `sort:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortKey {
    /// The field.
    pub field: String,
    /// Which way.
    pub order: SortOrder,
    /// Where the field's name stands.
    pub span: Span,
}

/// A direction of sorting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Expr {
    /// Everything matches: an empty filter.
    #[default]
    All,
    /// All of these; always two or more.
    And(Vec<Expr>),
    /// Any of these; always two or more.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// One term.
    Term(Term),
}

/// One term and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What it says.
    pub kind: TermKind,
    /// The whole term, without a leading `-`.
    pub span: Span,
}

/// What a term says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TermKind {
    /// `word` or `"a phrase"`: found anywhere.
    Text(Glob),
    /// `/regex/`.
    Regex(Rx),
    /// `~fuzzy`.
    Fuzzy(String),
    /// `field:…`.
    Field {
        /// The dotted name.
        name: String,
        /// What its value must be.
        test: Test,
        /// Where the value stands.
        value: Span,
    },
}

/// What a field's value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `field:value`, `field:"a value"`, `field:/api/*`.
    Is(Glob),
    /// `field:/re/`.
    Regex(Rx),
    /// `field:~fuzzy`.
    Fuzzy(String),
    /// `field:>=500`.
    Compare(Op, String),
    /// `field:1ms..2s`, `field:1ms..`, `field:..2s`: both ends are included.
    Range(Option<String>, Option<String>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`: the whole value, also of a text field.
    Eq,
    /// `!=`: there is a value, and it is another one.
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    /// Every comparison, the longer signs first.
    pub const ALL: [Op; 6] = [Op::Ge, Op::Le, Op::Ne, Op::Gt, Op::Lt, Op::Eq];

    /// How it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }
}

/// A regular expression as typed between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rx {
    /// The pattern, in the syntax of the `regex` crate; a slash in it is written `\/`.
    pub pattern: String,
    /// Whether `i` followed.
    pub case: RxCase,
}

/// How a regular expression treats case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RxCase {
    /// `/re/`
    Sensitive,
    /// `/re/i`
    Insensitive,
}

/// Text with `*` for anything: the literal pieces between the stars. Never empty; only the first and the last piece may be
/// empty strings when there is a star.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Text without a star.
    pub fn literal(text: impl Into<String>) -> Glob {
        Glob(vec![text.into()])
    }

    /// Pieces with a star between each two.
    pub fn pieces(pieces: impl IntoIterator<Item = String>) -> Glob {
        let mut all: Vec<String> = pieces.into_iter().collect();
        let last = all.len().saturating_sub(1);
        let mut at = 0;
        // Two stars in a row mean the same as one.
        all.retain(|piece| {
            at += 1;
            at == 1 || at == last + 1 || !piece.is_empty()
        });
        if all.is_empty() {
            all.push(String::new());
        }
        Glob(all)
    }

    /// The literal pieces.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The text, if there is no star.
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// Whether it is a star alone, which any value matches.
    pub fn is_any(&self) -> bool {
        self.0.len() == 2 && self.0.iter().all(String::is_empty)
    }
}

impl Query {
    /// The same query with every span zeroed, to compare what two texts mean.
    #[must_use]
    pub fn without_spans(mut self) -> Query {
        fn bare(expr: &mut Expr) {
            match expr {
                Expr::All => {}
                Expr::And(list) | Expr::Or(list) => list.iter_mut().for_each(bare),
                Expr::Not(inner) => bare(inner),
                Expr::Term(term) => {
                    term.span = Span::default();
                    if let TermKind::Field { value, .. } = &mut term.kind {
                        *value = Span::default();
                    }
                }
            }
        }
        bare(&mut self.expr);
        for moment in [&mut self.since, &mut self.until].into_iter().flatten() {
            moment.span = Span::default();
        }
        for key in &mut self.sort {
            key.span = Span::default();
        }
        self
    }

    /// The conditions that must all hold.
    pub fn conjuncts(&self) -> &[Expr] {
        match &self.expr {
            Expr::All => &[],
            Expr::And(list) => list,
            other => std::slice::from_ref(other),
        }
    }
}
