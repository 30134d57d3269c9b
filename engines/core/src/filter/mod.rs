//! The filter language that every pane and command line shares.
//!
//! | written | matches |
//! | --- | --- |
//! | `word`, `"a phrase"` | the text anywhere; `*` in a word stands for anything |
//! | `/regex/`, `/regex/i` | the expression; a path such as `/var/log` is a word |
//! | `~fuzzy` | the letters in order and close together |
//! | `field:value` | the whole value of a name-like field, a part of a text field, the size of a typed one |
//! | `field:/api/*`, `field:*` | with wildcards; any value at all |
//! | `field:>=500`, `< <= > = !=` | compared by the value's type |
//! | `field:1ms..2s`, `1ms..`, `..2s` | both ends included |
//! | `field:/re/`, `field:~fuzzy` | the value's text |
//! | `-term`, `NOT term` | what does not match |
//! | `a b`, `a AND b`, `a OR b`, `( )` | OR binds looser than AND |
//! | `since:15m` `until:12:30` `sort:-duration,time` `limit:50` | the whole filter |
//!
//! Letters without a capital match either case; with a capital they match exactly. A backslash takes the meaning from the
//! character after it. A missing field matches nothing, so `-field:x` includes what has no such field and `field:!=x` does not.
//!
//! This module owns the language from text to matcher. A [`Filter`] is immutable and shared; it neither looks at a clock nor
//! keeps what it has seen.

mod ast;
mod compare;
mod compile;
mod complete;
mod diagnostic;
mod display;
mod fields;
mod needle;
mod parse;
#[cfg(test)]
mod properties;
mod scan;
mod schema;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

pub use ast::{Expr, Glob, Moment, Op, Query, Rx, RxCase, SortKey, SortOrder, Span, Term, TermKind, Test};
pub use complete::{Completion, CompletionKind, MAX_COMPLETIONS, complete};
pub use diagnostic::{Diagnostic, Level};
pub use fields::Fields;
pub use parse::{MAX_DEPTH, MAX_LENGTH, MAX_TERMS, parse};
pub use schema::{Field, FieldType, Openness, Schema};

use crate::time::{Now, Timestamp, When};

/// The words that say something about the whole filter instead of naming a field.
pub const DIRECTIVES: [&str; 4] = ["since", "until", "sort", "limit"];

#[derive(Debug)]
struct Compiled {
    query: Query,
    node: compile::Node,
    since: Option<When>,
    until: Option<When>,
    /// The present it was compiled at, if a term depends on that.
    timed: Option<Timestamp>,
    warnings: Vec<Diagnostic>,
}

/// A filter, ready to be asked. Cloning it costs one reference count.
#[derive(Debug, Clone)]
pub struct Filter {
    compiled: Arc<Compiled>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Default for Filter {
    /// The empty filter, which everything matches.
    fn default() -> Self {
        let query = Query::default();
        let compiled = Compiled {
            query,
            node: compile::Node::All,
            since: None,
            until: None,
            timed: None,
            warnings: Vec::new(),
        };
        Filter {
            compiled: Arc::new(compiled),
            from: None,
            to: None,
        }
    }
}

impl Filter {
    /// Reads and compiles a filter. The error holds at least one [`Level::Error`], and any warnings, in the order of the text.
    pub fn new(text: &str, schema: &Schema, now: &Now) -> Result<Filter, Vec<Diagnostic>> {
        Filter::compile(parse(text).map_err(|error| vec![error])?, schema, now)
    }

    /// Compiles a query that was read before.
    pub fn compile(query: Query, schema: &Schema, now: &Now) -> Result<Filter, Vec<Diagnostic>> {
        let compiled = compile::compile(&query, schema, now);
        if !compiled.is_valid() {
            return Err(compiled.diagnostics);
        }
        let compile::Compiled {
            node,
            since,
            until,
            timed,
            diagnostics,
        } = compiled;
        let timed = timed.then_some(now.at);
        let compiled = Arc::new(Compiled {
            query,
            node,
            since,
            until,
            timed,
            warnings: diagnostics,
        });
        Ok(Filter {
            compiled,
            from: None,
            to: None,
        }
        .at(now.at))
    }

    /// The same filter at another present moment: `since:15m` moves along. Times that were typed as such stay.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Filter {
        let from = self.compiled.since.map(|when| when.start(now));
        let to = self.compiled.until.map(|when| when.start(now));
        Filter {
            compiled: Arc::clone(&self.compiled),
            from,
            to,
        }
    }

    /// Whether an item passes: its time is within `since:` and `until:`, and every term matches.
    pub fn matches<F: Fields + ?Sized>(&self, item: &F) -> bool {
        if self.from.is_some() || self.to.is_some() {
            let time = item.time();
            let early = matches!((self.from, time), (Some(from), Some(at)) if at < from);
            let late = matches!((self.to, time), (Some(to), Some(at)) if at > to);
            if early || late {
                return false;
            }
        }
        self.compiled.node.matches(item)
    }

    /// How `sort:` orders two items; equal when there is none. Items without a value come last in either direction.
    pub fn compare<F: Fields + ?Sized>(&self, a: &F, b: &F) -> Ordering {
        let by_key = |key: &SortKey| match (a.field(&key.field), b.field(&key.field)) {
            (Some(a), Some(b)) => match key.order {
                SortOrder::Ascending => compare::order(a, b),
                SortOrder::Descending => compare::order(b, a),
            },
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        self.compiled
            .query
            .sort
            .iter()
            .map(by_key)
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// `limit:`.
    pub fn limit(&self) -> Option<u64> {
        self.compiled.query.limit
    }

    /// `sort:`, the most important key first.
    pub fn sort(&self) -> &[SortKey] {
        &self.compiled.query.sort
    }

    /// The moments that `since:` and `until:` stand for now, both included; for engines that can seek.
    pub fn window(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.from, self.to)
    }

    /// Whether the window moves with the clock, so that [`Filter::at`] is worth calling again.
    pub fn slides(&self) -> bool {
        [self.compiled.since, self.compiled.until]
            .into_iter()
            .flatten()
            .any(|when| matches!(when, When::Ago(_)))
    }

    /// Whether it lets everything through, in any order.
    pub fn is_empty(&self) -> bool {
        self.compiled.query == Query::default()
    }

    /// Fields that are not declared, with the names that were perhaps meant.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.compiled.warnings
    }

    /// The parse tree.
    pub fn query(&self) -> &Query {
        &self.compiled.query
    }

    /// Whether everything that passes this filter is sure to pass `earlier`, so that only what passed that one needs to be
    /// looked at again. May say no where yes would be true. Both must have been compiled against the same schema.
    pub fn narrows(&self, earlier: &Filter) -> bool {
        let bounds = |this: Option<Timestamp>, that: Option<Timestamp>, inner: Ordering| match (this, that) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(this), Some(that)) => this == that || this.cmp(&that) == inner,
        };
        let (mine, theirs) = (
            self.query().clone().without_spans(),
            earlier.query().clone().without_spans(),
        );
        // A time inside a term can mean another moment at another present.
        self.compiled.timed == earlier.compiled.timed
            && bounds(self.from, earlier.from, Ordering::Greater)
            && bounds(self.to, earlier.to, Ordering::Less)
            && theirs
                .conjuncts()
                .iter()
                .all(|old| mine.conjuncts().iter().any(|new| implies(new, old)))
    }
}

impl fmt::Display for Filter {
    /// A text that means the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.compiled.query.fmt(f)
    }
}

/// Whether whatever matches `new` matches `old`: the same term, or a longer word around the old one.
fn implies(new: &Expr, old: &Expr) -> bool {
    fn word(expr: &Expr) -> Option<&str> {
        match expr {
            Expr::Term(Term {
                kind: TermKind::Text(glob),
                ..
            }) => glob.as_literal().filter(|text| text.is_ascii()),
            _ => None,
        }
    }
    new == old
        || match (word(new), word(old)) {
            (Some(new), Some(old)) if needle::ignores_case([old]) => new.to_ascii_lowercase().contains(old),
            (Some(new), Some(old)) => new.contains(old),
            _ => false,
        }
}
