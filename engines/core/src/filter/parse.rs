//! Text to tree.
//!
//! A recursive descent over the text itself, bounded in length, depth and number of terms. Any text gives a tree or one
//! error that points at the bytes that are wrong; none makes it panic or take more than linear time.

use super::ast::{Expr, Glob, Moment, Op, Query, Rx, RxCase, SortKey, SortOrder, Span, Term, TermKind, Test};
use super::diagnostic::Diagnostic;
use super::scan;
use crate::units::Number;

/// The longest text that is read, in bytes.
pub const MAX_LENGTH: usize = 8192;
/// The deepest nesting of parentheses and negations.
pub const MAX_DEPTH: usize = 64;
/// The most terms.
pub const MAX_TERMS: usize = 512;

type Parsed<T> = Result<T, Diagnostic>;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    groups: usize,
    terms: usize,
    query: Query,
}

/// Reads a filter.
pub fn parse(text: &str) -> Result<Query, Diagnostic> {
    if text.len() > MAX_LENGTH {
        let start = (0..=MAX_LENGTH)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let message = format!("a filter can be {MAX_LENGTH} bytes long; this one has {}", text.len());
        return Err(Diagnostic::error(Span::new(start, text.len()), message));
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        groups: 0,
        terms: 0,
        query: Query::default(),
    };
    if let Some(expr) = parser.any_of()? {
        parser.query.expr = expr;
    }
    if parser.at < text.len() {
        // Only a closing parenthesis stops the descent early.
        let span = Span::new(parser.at, parser.at + 1);
        return Err(Diagnostic::error(
            span,
            "this `)` closes nothing; quote it to look for it: \")\"",
        ));
    }
    Ok(parser.query)
}

/// Takes the escapes out of quoted text.
fn unquote(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\')),
            c => text.push(c),
        }
    }
    text
}

/// Takes the escapes out of unquoted text; gives the pieces between the stars.
fn pieces(raw: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '*' => {
                all.push(String::new());
                continue;
            }
            '\\' => chars.next_if(|next| scan::escapable(*next)).unwrap_or('\\'),
            c => c,
        };
        if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    all
}

fn glob(raw: &str) -> Glob {
    Glob::pieces(pieces(raw))
}

/// Unquoted text in which a star is a star.
fn plain(raw: &str) -> String {
    pieces(raw).join("*")
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        scan::peek(self.text, self.at)
    }

    fn space(&mut self) {
        self.at = scan::space(self.text, self.at);
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or("")
    }

    /// Takes a keyword if it stands here as a word of its own.
    fn keyword(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word) && scan::boundary(self.text, self.at + word.len());
        if found {
            self.at += word.len();
        }
        found
    }

    fn at_keyword(&mut self, word: &str) -> bool {
        let start = self.at;
        let found = self.keyword(word);
        self.at = start;
        found
    }

    fn deeper(&mut self, start: usize) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("a filter can nest {MAX_DEPTH} deep");
            return Err(Diagnostic::error(Span::new(start, self.at.max(start)), message));
        }
        Ok(())
    }

    /// `a OR b OR c`
    fn any_of(&mut self) -> Parsed<Option<Expr>> {
        let mut branches = Vec::new();
        let mut sign: Option<Span> = None;
        loop {
            let branch = self.all_of()?;
            let start = self.at;
            let more = self.keyword("OR");
            let here = Span::new(start, self.at);
            match (branch, sign) {
                (Some(branch), _) => branches.push(branch),
                (None, Some(sign)) => return Err(Diagnostic::error(sign, "OR needs a term on its right")),
                (None, None) if more => return Err(Diagnostic::error(here, "OR needs a term on its left")),
                (None, None) => {}
            }
            if !more {
                break;
            }
            sign = Some(here);
        }
        Ok(if branches.len() > 1 {
            Some(Expr::Or(branches))
        } else {
            branches.pop()
        })
    }

    /// `a b AND c`
    fn all_of(&mut self) -> Parsed<Option<Expr>> {
        let mut all = Vec::new();
        let mut sign: Option<Span> = None;
        loop {
            self.space();
            let start = self.at;
            if matches!(self.peek(), None | Some(')')) || self.at_keyword("OR") {
                break;
            }
            if self.keyword("AND") {
                let here = Span::new(start, self.at);
                if sign.is_some() || all.is_empty() {
                    return Err(Diagnostic::error(here, "AND needs a term on its left"));
                }
                sign = Some(here);
                continue;
            }
            if let Some(expr) = self.unary()? {
                all.push(expr);
                sign = None;
            }
        }
        match sign {
            Some(sign) => Err(Diagnostic::error(sign, "AND needs a term on its right")),
            None => Ok(if all.len() > 1 { Some(Expr::And(all)) } else { all.pop() }),
        }
    }

    /// A term, perhaps negated; `None` for a directive.
    fn unary(&mut self) -> Parsed<Option<Expr>> {
        let start = self.at;
        if self.keyword("NOT") {
            self.space();
            if matches!(self.peek(), None | Some(')')) || self.at_keyword("OR") || self.at_keyword("AND") {
                return Err(Diagnostic::error(
                    Span::new(start, start + 3),
                    "NOT needs a term on its right",
                ));
            }
            return self.negation(start).map(Some);
        }
        // A dash alone and an option (`--force`) are words.
        let next = scan::peek(self.text, self.at + 1);
        if self.peek() == Some('-') && next.is_some_and(|c| !c.is_whitespace() && c != '-' && c != ')') {
            self.at += 1;
            return self.negation(start).map(Some);
        }
        self.primary()
    }

    fn negation(&mut self, start: usize) -> Parsed<Expr> {
        self.deeper(start)?;
        let inner = self.unary()?;
        self.depth -= 1;
        match inner {
            Some(inner) => Ok(Expr::Not(Box::new(inner))),
            None => {
                let message = "since, until, sort and limit cannot be negated; `until:` is the opposite of `since:`";
                Err(Diagnostic::error(Span::new(start, self.at), message))
            }
        }
    }

    fn primary(&mut self) -> Parsed<Option<Expr>> {
        let start = self.at;
        if self.peek() == Some('(') {
            return self.group().map(Some);
        }
        let kind = match scan::field(self.text, start) {
            Some(end) if super::DIRECTIVES.contains(&self.slice(start, end)) => {
                self.directive(start, end)?;
                return Ok(None);
            }
            Some(end) => self.field(start, end)?,
            None => self.text()?,
        };
        self.terms += 1;
        let span = Span::new(start, self.at);
        if self.terms > MAX_TERMS {
            return Err(Diagnostic::error(span, format!("a filter can have {MAX_TERMS} terms")));
        }
        Ok(Some(Expr::Term(Term { kind, span })))
    }

    fn group(&mut self) -> Parsed<Expr> {
        let start = self.at;
        self.at += 1;
        self.deeper(start)?;
        self.groups += 1;
        let inner = self.any_of()?;
        self.groups -= 1;
        self.depth -= 1;
        if self.peek() != Some(')') {
            return Err(Diagnostic::error(
                Span::new(start, start + 1),
                "this `(` is never closed",
            ));
        }
        self.at += 1;
        inner.ok_or_else(|| Diagnostic::error(Span::new(start, self.at), "there is nothing between these parentheses"))
    }

    /// A term without a field.
    fn text(&mut self) -> Parsed<TermKind> {
        let start = self.at;
        match self.peek() {
            Some('"') => Ok(TermKind::Text(Glob::literal(self.quoted()?))),
            Some('/') if scan::regex(self.text, start).is_some() => Ok(TermKind::Regex(self.regex())),
            Some('~') if !scan::boundary(self.text, start + 1) => {
                self.at += 1;
                self.operand().map(TermKind::Fuzzy)
            }
            _ => {
                self.at = scan::chunk(self.text, start);
                Ok(TermKind::Text(glob(self.slice(start, self.at))))
            }
        }
    }

    fn quoted(&mut self) -> Parsed<String> {
        let start = self.at;
        let Some(end) = scan::quoted(self.text, start) else {
            return Err(Diagnostic::error(
                Span::new(start, self.text.len()),
                "this quote is never closed",
            ));
        };
        self.at = end;
        Ok(unquote(self.slice(start + 1, end - 1)))
    }

    /// The regular expression that is known to stand here.
    fn regex(&mut self) -> Rx {
        let start = self.at;
        let (close, end) = scan::regex(self.text, start).unwrap_or((self.text.len(), self.text.len()));
        self.at = end;
        let case = if end - close > 1 {
            RxCase::Insensitive
        } else {
            RxCase::Sensitive
        };
        Rx {
            pattern: self.slice(start + 1, close).to_owned(),
            case,
        }
    }

    /// Quoted or unquoted text without wildcards.
    fn operand(&mut self) -> Parsed<String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        self.at = scan::chunk(self.text, start);
        Ok(plain(self.slice(start, self.at)))
    }

    fn needs_value(&self, start: usize, end: usize) -> Diagnostic {
        let name = self.slice(start, end);
        let message =
            format!("`{name}:` needs a value right after the colon; quote it to look for the text: \"{name}:\"");
        Diagnostic::error(Span::new(start, self.at), message)
    }

    fn field(&mut self, start: usize, end: usize) -> Parsed<TermKind> {
        self.at = end + 1;
        if scan::boundary(self.text, self.at) {
            return Err(self.needs_value(start, end));
        }
        let value = self.at;
        let test = self.test(start, end)?;
        Ok(TermKind::Field {
            name: self.slice(start, end).to_owned(),
            test,
            value: Span::new(value, self.at),
        })
    }

    fn test(&mut self, start: usize, end: usize) -> Parsed<Test> {
        let op = Op::ALL
            .into_iter()
            .find(|op| self.text[self.at..].starts_with(op.sign()));
        if let Some(op) = op {
            self.at += op.sign().len();
            if scan::boundary(self.text, self.at) {
                return Err(self.needs_value(start, end));
            }
            return Ok(Test::Compare(op, self.operand()?));
        }
        match self.peek() {
            Some('~') if !scan::boundary(self.text, self.at + 1) => {
                self.at += 1;
                Ok(Test::Fuzzy(self.operand()?))
            }
            Some('/') if scan::regex(self.text, self.at).is_some() => Ok(Test::Regex(self.regex())),
            Some('"') => {
                let low = self.quoted()?;
                let rest = &self.text[self.at..];
                if rest.starts_with("..") && !rest.starts_with("...") {
                    self.at += 2;
                    let high = self.high()?;
                    return Ok(Test::Range(Some(low), high));
                }
                Ok(Test::Is(Glob::literal(low)))
            }
            _ => {
                let from = self.at;
                let to = scan::chunk(self.text, from);
                let Some(dots) = scan::dots(self.text, from, to) else {
                    self.at = to;
                    return Ok(Test::Is(glob(self.slice(from, to))));
                };
                let low = (dots > from).then(|| plain(self.slice(from, dots)));
                self.at = dots + 2;
                let high = self.high()?;
                Ok(Test::Range(low, high))
            }
        }
    }

    /// What follows the dots of a range; a parenthesis there is text, as it is inside a word.
    fn high(&mut self) -> Parsed<Option<String>> {
        match self.peek() {
            None | Some(')') => Ok(None),
            Some(c) if c.is_whitespace() => Ok(None),
            Some(_) => self.operand().map(Some),
        }
    }

    fn directive(&mut self, start: usize, end: usize) -> Parsed<()> {
        self.at = end + 1;
        let from = self.at;
        if scan::boundary(self.text, from) {
            return Err(self.needs_value(start, end));
        }
        let value = self.operand()?;
        let span = Span::new(from, self.at);
        let whole = Span::new(start, self.at);
        let name = self.slice(start, end).to_owned();
        if self.groups > 0 {
            let message = format!("`{name}:` is about the whole filter and cannot stand in parentheses");
            return Err(Diagnostic::error(whole, message));
        }
        let taken = match name.as_str() {
            "since" => self.query.since.replace(Moment { text: value, span }).is_some(),
            "until" => self.query.until.replace(Moment { text: value, span }).is_some(),
            "limit" => {
                let Ok(Number::Int(count)) = value.parse() else {
                    return Err(Diagnostic::error(span, "limit needs a whole number such as 50"));
                };
                let Ok(count) = u64::try_from(count) else {
                    return Err(Diagnostic::error(span, "limit needs a number from 0 up"));
                };
                self.query.limit.replace(count).is_some()
            }
            _ => {
                self.sort(&value, span)?;
                false
            }
        };
        if taken {
            return Err(Diagnostic::error(whole, format!("`{name}:` is given twice")));
        }
        Ok(())
    }

    fn sort(&mut self, value: &str, span: Span) -> Parsed<()> {
        // Offsets within the value are those of the text only when nothing was escaped or quoted.
        let literal = self.slice(span.start, span.end) == value;
        let mut offset = 0;
        for key in value.split(',') {
            let (order, field) = match key.strip_prefix('-') {
                Some(field) => (SortOrder::Descending, field),
                None => (SortOrder::Ascending, key.strip_prefix('+').unwrap_or(key)),
            };
            let end = offset + key.len();
            let here = if literal {
                Span::new(span.start + end - field.len(), span.start + end)
            } else {
                span
            };
            if field.is_empty() || scan::name(field, 0) != field.len() {
                let message = "sort needs a field, with a dash in front for the largest first: sort:-duration";
                return Err(Diagnostic::error(here, message));
            }
            if self.query.sort.len() >= MAX_TERMS {
                return Err(Diagnostic::error(here, "too many sort keys"));
            }
            self.query.sort.push(SortKey {
                field: field.to_owned(),
                order,
                span: here,
            });
            offset = end + 1;
        }
        Ok(())
    }
}
