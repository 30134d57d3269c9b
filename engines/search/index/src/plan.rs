//! Which grams a match must have, read from a pattern's HIR.
//!
//! The HIR is taken after case folding, so `-i` is a matter of classes. For every part of it four things are computed: all the
//! strings it can match while they are few, how its matches can begin and end while those are few, and what else is known of
//! them. Anything that is given up becomes "anything": a plan may accept too much and never too little.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::grams::{counts, gram};

/// More strings than this are given up for their beginnings and ends.
const MOST_STRINGS: usize = 64;

/// Of longer strings only beginnings and ends are kept.
const LONGEST_STRING: usize = 256;

/// A longer beginning or end is cut, after its grams were noted.
const LONGEST_EDGE: usize = 24;

/// A class of more characters is any character.
const LARGEST_CLASS: usize = 24;

/// Repetitions are written out so many times.
const MOST_COPIES: u32 = 3;

/// A plan of more parts says nothing.
const LARGEST_PLAN: usize = 20_000;

/// What a block must have to be worth searching.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Query {
    /// Nothing in particular: every block is.
    All,
    /// This gram: three bytes, the first in the highest of the lower 24 bits.
    Gram(u32),
    /// All of these.
    And(Vec<Query>),
    /// One of these.
    Or(Vec<Query>),
}

impl Query {
    fn and(self, other: Query) -> Query {
        match (self, other) {
            (Query::All, q) | (q, Query::All) => q,
            (Query::And(mut a), Query::And(b)) => {
                a.extend(b);
                Query::And(a)
            }
            (Query::And(mut a), q) | (q, Query::And(mut a)) => {
                a.push(q);
                Query::And(a)
            }
            (a, b) => Query::And(vec![a, b]),
        }
    }

    /// Without doubles; one part stands for itself.
    fn tidy(self) -> Query {
        let (parts, is_and) = match self {
            Query::And(parts) => (parts, true),
            Query::Or(parts) => (parts, false),
            other => return other,
        };
        let set: BTreeSet<Query> = parts.into_iter().map(Query::tidy).collect();
        let mut parts: Vec<Query> = set.into_iter().collect();
        if is_and {
            parts.retain(|q| *q != Query::All);
        } else if parts.contains(&Query::All) {
            return Query::All;
        }
        match (parts.len(), is_and) {
            (0, true) => Query::All,
            (1, _) => parts.swap_remove(0),
            (_, true) => Query::And(parts),
            (_, false) => Query::Or(parts),
        }
    }

    fn size(&self) -> usize {
        match self {
            Query::All | Query::Gram(_) => 1,
            Query::And(parts) | Query::Or(parts) => 1 + parts.iter().map(Query::size).sum::<usize>(),
        }
    }

    /// Whether a text with these grams is accepted.
    #[must_use]
    pub fn accepts(&self, has: &impl Fn(u32) -> bool) -> bool {
        match self {
            Query::All => true,
            Query::Gram(gram) => has(*gram),
            Query::And(parts) => parts.iter().all(|q| q.accepts(has)),
            Query::Or(parts) => parts.iter().any(|q| q.accepts(has)),
        }
    }
}

/// How patterns are to be read; the fields are the flags of the same names.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Syntax {
    /// Patterns are strings.
    pub fixed_strings: bool,
    /// Case does not matter, or perhaps not (smart case).
    pub any_case: bool,
    /// Classes are of Unicode.
    pub unicode: bool,
    /// `.` matches a line feed.
    pub dot_matches_new_line: bool,
    /// Lines may end with a carriage return too.
    pub crlf: bool,
}

/// What a block must have so that one of the patterns can match in it. [`Query::All`] when the patterns are not understood:
/// the real engine will say what is wrong with them.
#[must_use]
pub fn plan<P: AsRef<str>>(patterns: &[P], syntax: Syntax) -> Query {
    let mut alternatives = Vec::with_capacity(patterns.len());
    let mut size = 0;
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let query = if syntax.fixed_strings && !syntax.any_case {
            strings([pattern.as_bytes()])
        } else {
            let escaped;
            let pattern = if syntax.fixed_strings {
                escaped = regex_syntax::escape(pattern);
                escaped.as_str()
            } else {
                pattern
            };
            let parsed = regex_syntax::ParserBuilder::new()
                .utf8(false)
                .multi_line(true)
                .case_insensitive(syntax.any_case)
                .unicode(syntax.unicode)
                .dot_matches_new_line(syntax.dot_matches_new_line)
                .crlf(syntax.crlf)
                .build()
                .parse(pattern);
            match parsed {
                Ok(hir) => of_hir(&hir),
                Err(_) => return Query::All,
            }
        };
        size += query.size();
        if query == Query::All || size > LARGEST_PLAN {
            return Query::All;
        }
        alternatives.push(query);
    }
    if alternatives.is_empty() {
        return Query::All;
    }
    Query::Or(alternatives).tidy()
}

/// What a block must have so that this can match in it.
#[must_use]
pub fn of_hir(hir: &Hir) -> Query {
    Facts::of(hir).all().tidy()
}

type Strings = BTreeSet<Vec<u8>>;

/// What is known of all strings that a part matches.
#[derive(Clone, Debug)]
struct Facts {
    /// All of them, if they are few.
    exact: Option<Strings>,
    /// Each begins with one of these.
    prefix: Strings,
    /// Each ends with one of these.
    suffix: Strings,
    /// Each has what this says.
    query: Query,
    /// How large `query` is.
    weight: usize,
}

impl Facts {
    fn exact(strings: Strings) -> Facts {
        Facts {
            exact: Some(strings),
            ..Facts::anything()
        }
        .bounded()
    }

    fn one(string: &[u8]) -> Facts {
        Facts::exact(Strings::from([string.to_vec()]))
    }

    fn anything() -> Facts {
        Facts {
            exact: None,
            prefix: Strings::from([Vec::new()]),
            suffix: Strings::from([Vec::new()]),
            query: Query::All,
            weight: 0,
        }
    }

    fn of(hir: &Hir) -> Facts {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Facts::one(b""),
            HirKind::Literal(literal) => Facts::one(&literal.0),
            HirKind::Class(class) => of_class(class),
            HirKind::Capture(capture) => Facts::of(&capture.sub),
            HirKind::Concat(parts) => parts.iter().map(Facts::of).fold(Facts::one(b""), Facts::then),
            HirKind::Alternation(parts) => {
                let mut parts = parts.iter().map(Facts::of);
                let first = parts.next().unwrap_or_else(Facts::anything);
                parts.fold(first, Facts::or)
            }
            HirKind::Repetition(repetition) => {
                let sub = Facts::of(&repetition.sub);
                let copies = |n: u32| (0..n).fold(Facts::one(b""), |done, _| done.then(sub.clone()));
                match (repetition.min, repetition.max) {
                    (0, Some(1)) => sub.or(Facts::one(b"")),
                    (min, Some(max)) if min == max && min <= MOST_COPIES => copies(min),
                    (0, _) => Facts::anything(),
                    // Some copies at both ends, which may be the same ones, and anything between them.
                    (min, _) => {
                        let mut some = copies(min.min(MOST_COPIES)).inexact();
                        some.note(strings(&some.prefix));
                        some.note(strings(&some.suffix));
                        some
                    }
                }
            }
        }
    }

    /// Adds what is known, unless that makes it too much.
    fn note(&mut self, more: Query) {
        let weight = more.size();
        if more != Query::All && self.weight + weight <= LARGEST_PLAN {
            self.weight += weight;
            self.query = std::mem::replace(&mut self.query, Query::All).and(more);
        }
    }

    fn begins(&self) -> &Strings {
        self.exact.as_ref().unwrap_or(&self.prefix)
    }

    fn ends(&self) -> &Strings {
        self.exact.as_ref().unwrap_or(&self.suffix)
    }

    /// Everything known as a query.
    fn all(mut self) -> Query {
        match self.exact.take() {
            Some(exact) => self.note(strings(&exact)),
            None => {
                self.note(strings(&self.prefix));
                self.note(strings(&self.suffix));
            }
        }
        self.query
    }

    fn then(self, next: Facts) -> Facts {
        let mut both = Facts {
            query: self.query.clone(),
            weight: self.weight,
            ..Facts::anything()
        };
        both.note(next.query.clone());
        if let (Some(a), Some(b)) = (&self.exact, &next.exact)
            && let Some(exact) = pairs(a, b)
        {
            both.exact = Some(exact);
            return both.bounded();
        }
        // What stands where the two meet.
        if let Some(meeting) = pairs(&tails(self.ends()), &heads(next.begins())) {
            both.note(strings(&meeting));
        }
        let prefix = self.exact.as_ref().and_then(|exact| pairs(exact, next.begins()));
        let suffix = next.exact.as_ref().and_then(|exact| pairs(self.ends(), exact));
        // What is not part of an edge from here on is noted now.
        if prefix.is_none() {
            both.note(strings(next.begins()));
        }
        if suffix.is_none() {
            both.note(strings(self.ends()));
        }
        both.prefix = prefix.unwrap_or_else(|| self.begins().clone());
        both.suffix = suffix.unwrap_or_else(|| next.ends().clone());
        both.bounded()
    }

    fn or(self, other: Facts) -> Facts {
        if let (Some(a), Some(b)) = (&self.exact, &other.exact)
            && self.query == Query::All
            && other.query == Query::All
            && a.len() + b.len() <= MOST_STRINGS
        {
            return Facts::exact(a | b);
        }
        let mut either = Facts {
            prefix: self.begins() | other.begins(),
            suffix: self.ends() | other.ends(),
            ..Facts::anything()
        };
        either.note(match (self.all(), other.all()) {
            (Query::All, _) | (_, Query::All) => Query::All,
            (Query::Or(mut a), Query::Or(b)) => {
                a.extend(b);
                Query::Or(a)
            }
            (Query::Or(mut a), q) | (q, Query::Or(mut a)) => {
                a.push(q);
                Query::Or(a)
            }
            (a, b) => Query::Or(vec![a, b]),
        });
        either.bounded()
    }

    fn inexact(mut self) -> Facts {
        if let Some(exact) = self.exact.take() {
            self.prefix.clone_from(&exact);
            self.suffix = exact;
        }
        self.bounded()
    }

    /// Gives up what has become too much, after noting what it says.
    fn bounded(mut self) -> Facts {
        if let Some(exact) = &self.exact {
            if exact.len() <= MOST_STRINGS && exact.iter().all(|s| s.len() <= LONGEST_STRING) {
                return self;
            }
            return self.inexact();
        }
        let too_much = |edge: &Strings| edge.len() > MOST_STRINGS / 2 || edge.iter().any(|s| s.len() > LONGEST_EDGE);
        if too_much(&self.prefix) {
            self.note(strings(&self.prefix));
            self.prefix = few(heads(&self.prefix));
        }
        if too_much(&self.suffix) {
            self.note(strings(&self.suffix));
            self.suffix = few(tails(&self.suffix));
        }
        self
    }
}

fn few(edge: Strings) -> Strings {
    if edge.len() > MOST_STRINGS / 2 {
        return Strings::from([Vec::new()]);
    }
    edge
}

/// All concatenations, unless there are too many.
fn pairs(a: &Strings, b: &Strings) -> Option<Strings> {
    if a.len().saturating_mul(b.len()) > MOST_STRINGS {
        return None;
    }
    Some(
        a.iter()
            .flat_map(|a| b.iter().map(move |b| [&a[..], b].concat()))
            .collect(),
    )
}

/// As much of the beginnings as a gram with something before them needs.
fn heads(strings: &Strings) -> Strings {
    strings.iter().map(|s| s[..s.len().min(2)].to_vec()).collect()
}

/// As much of the ends as a gram with something after them needs.
fn tails(strings: &Strings) -> Strings {
    strings
        .iter()
        .map(|s| s[s.len().saturating_sub(2)..].to_vec())
        .collect()
}

/// One of the strings, by its grams.
fn strings<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Query {
    let mut alternatives = Vec::new();
    for string in strings {
        let grams: BTreeSet<Query> = string
            .as_ref()
            .windows(3)
            .filter(|w| w.iter().all(|b| counts(*b)))
            .map(|w| Query::Gram(gram([w[0], w[1], w[2]])))
            .collect();
        if grams.is_empty() {
            return Query::All;
        }
        alternatives.push(Query::And(grams.into_iter().collect()));
    }
    Query::Or(alternatives).tidy()
}

fn of_class(class: &Class) -> Facts {
    let mut set = Strings::new();
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                if set.len() + range.len() > LARGEST_CLASS {
                    return Facts::anything();
                }
                set.extend((range.start()..=range.end()).map(|c| c.to_string().into_bytes()));
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                if set.len() + range.len() > LARGEST_CLASS {
                    return Facts::anything();
                }
                set.extend((range.start()..=range.end()).map(|b| vec![b]));
            }
        }
    }
    if set.is_empty() {
        // A class of nothing matches nothing, which is no reason to be clever.
        return Facts::anything();
    }
    Facts::exact(set)
}

#[cfg(test)]
mod tests;
