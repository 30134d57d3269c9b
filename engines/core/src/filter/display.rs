//! Tree to text: the shortest spelling that reads back as the same tree.
//!
//! A plain spelling is used where it is known (by reading it back) to mean the same; otherwise text is quoted, or escaped
//! where it has wildcards.

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{Expr, Glob, Query, Rx, RxCase, SortOrder, TermKind, Test};
use super::parse::parse;
use super::scan;

/// Whether a spelling can be trusted not to reach into what follows it.
fn contained(text: &str) -> bool {
    let path = text.strip_prefix('/').is_none_or(|rest| rest.contains('/'));
    path && !text.contains(['\\', '"', '(', ')'])
}

/// The term a text reads as, if it is exactly one.
fn single(text: &str) -> Option<TermKind> {
    let query = parse(text).ok()?;
    let bare = query.since.is_none() && query.until.is_none() && query.sort.is_empty() && query.limit.is_none();
    match query.expr {
        Expr::Term(term) if bare && term.span.range() == (0..text.len()) => Some(term.kind),
        _ => None,
    }
}

pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if scan::escapable(c) && !matches!(c, '_' | ',') {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Spells a glob; `reads_back` says whether a spelling gives it back.
fn spell(glob: &Glob, reads_back: impl Fn(&str) -> bool) -> String {
    let simple = glob.parts().join("*");
    let stars_are_stars = glob.parts().iter().all(|part| !part.contains('*'));
    if stars_are_stars && contained(&simple) && reads_back(&simple) {
        return simple;
    }
    match glob.as_literal() {
        Some(text) => quote(text),
        None => {
            let mut out = String::new();
            for (index, part) in glob.parts().iter().enumerate() {
                if index > 0 {
                    out.push('*');
                }
                escape(part, &mut out);
            }
            out
        }
    }
}

/// Spells the value of `field:value`; also how completion inserts a live value.
pub(super) fn value(glob: &Glob) -> String {
    spell(glob, |text| {
        matches!(single(&format!("x:{text}")),
            Some(TermKind::Field { name, test: Test::Is(back), .. }) if name == "x" && back == *glob)
    })
}

fn word(glob: &Glob) -> String {
    spell(
        glob,
        |text| matches!(single(text), Some(TermKind::Text(back)) if back == *glob),
    )
}

/// Spells an operand: as it is if that is safe anywhere, else quoted.
pub(super) fn operand(text: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '+' | '-' | '%' | '.' | '@');
    let dots = text.starts_with(['.', ':']) || text.ends_with('.') || text.contains("..");
    if !text.is_empty() && !dots && text.chars().all(safe) {
        text.to_owned()
    } else {
        quote(text)
    }
}

impl Display for Glob {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&word(self))
    }
}

impl Display for Rx {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "/{}/{}",
            self.pattern,
            if self.case == RxCase::Insensitive { "i" } else { "" }
        )
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Test::Is(glob) => f.write_str(&value(glob)),
            Test::Regex(rx) => rx.fmt(f),
            Test::Fuzzy(text) => write!(f, "~{}", operand(text)),
            Test::Compare(op, text) => write!(f, "{}{}", op.sign(), operand(text)),
            Test::Range(low, high) => {
                for (index, end) in [low, high].into_iter().enumerate() {
                    if index > 0 {
                        f.write_str("..")?;
                    }
                    if let Some(end) = end {
                        f.write_str(&operand(end))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for TermKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TermKind::Text(glob) => glob.fmt(f),
            TermKind::Regex(rx) => rx.fmt(f),
            TermKind::Fuzzy(text) => write!(f, "~{}", operand(text)),
            TermKind::Field { name, test, .. } => write!(f, "{name}:{test}"),
        }
    }
}

/// Writes `expr`, in parentheses when they are needed inside something that binds tighter.
fn nested(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    if matches!(expr, Expr::And(_) | Expr::Or(_)) {
        write!(f, "({expr})")
    } else {
        expr.fmt(f)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::All => Ok(()),
            Expr::And(list) => {
                for (index, expr) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_char(' ')?;
                    }
                    nested(f, expr)?;
                }
                Ok(())
            }
            Expr::Or(list) => {
                for (index, expr) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" OR ")?;
                    }
                    if matches!(expr, Expr::Or(_)) {
                        nested(f, expr)?
                    } else {
                        expr.fmt(f)?
                    }
                }
                Ok(())
            }
            Expr::Not(inner) => {
                let text = match &**inner {
                    Expr::And(_) | Expr::Or(_) => format!("({inner})"),
                    other => other.to_string(),
                };
                // A dash before a dash would be a word; the long form reads the same at the same depth.
                let long = text.starts_with('-') || matches!(**inner, Expr::Not(_));
                write!(f, "{}{text}", if long { "NOT " } else { "-" })
            }
            Expr::Term(term) => term.kind.fmt(f),
        }
    }
}

impl Display for Query {
    /// A text that reads back as this query.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.expr != Expr::All {
            parts.push(self.expr.to_string());
        }
        for (name, moment) in [("since", &self.since), ("until", &self.until)] {
            if let Some(moment) = moment {
                parts.push(format!("{name}:{}", operand(&moment.text)));
            }
        }
        if !self.sort.is_empty() {
            let sign = |order| if order == SortOrder::Descending { "-" } else { "" };
            let keys: Vec<_> = self
                .sort
                .iter()
                .map(|key| format!("{}{}", sign(key.order), key.field))
                .collect();
            parts.push(format!("sort:{}", keys.join(",")));
        }
        if let Some(limit) = self.limit {
            parts.push(format!("limit:{limit}"));
        }
        f.write_str(&parts.join(" "))
    }
}
