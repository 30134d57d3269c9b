//! mitmproxy's `~` expressions as queries of the shared language.
//!
//! `~m POST & ~u /api & !~c 200` becomes `method:/POST/i url:/\/api/i -status:=200`. Expressions are regular and match
//! either case, a word without an operator is looked for in the URL, `&` may be left out, and binds closer than `|`.
//! What the proxy does not have (DNS, UDP, metadata) is refused, not ignored.

use qd_core::filter::{
    Diagnostic, Expr, Glob, Level, MAX_DEPTH, MAX_LENGTH, MAX_TERMS, Op, Query, Rx, RxCase, Span, Term, TermKind, Test,
};
use qd_core::{Filter, Now};

use crate::flow::schema;

/// What is wrong with an expression, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// One sentence.
    pub message: String,
    /// The bytes it is about.
    pub span: Span,
}

/// Operators that stand alone.
const PLAIN: [&str; 14] = [
    "a",
    "all",
    "dns",
    "e",
    "http",
    "marked",
    "q",
    "replay",
    "replayq",
    "replays",
    "s",
    "tcp",
    "udp",
    "websocket",
];
/// Operators with an expression.
const WITH_TEXT: [&str; 18] = [
    "b", "bq", "bs", "c", "comment", "d", "dst", "h", "hq", "hs", "m", "marker", "meta", "src", "t", "tq", "ts", "u",
];

/// Whether a text is meant in mitmproxy's way: it has one of its operators as a word. In the shared language `~u` alone
/// would be a fuzzy search for one letter, which nobody means.
pub fn is_tilde(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '&' | '|' | '!'))
        .filter_map(|word| word.strip_prefix('~'))
        .any(|op| PLAIN.contains(&op) || WITH_TEXT.contains(&op))
}

/// A filter over flows, written in the shared language or in mitmproxy's.
///
/// # Errors
/// What is wrong with it and where, as [`Filter::new`] has it.
pub fn filter(text: &str, now: &Now) -> Result<Filter, Vec<Diagnostic>> {
    if !is_tilde(text) {
        return Filter::new(text, &schema(), now);
    }
    let query = parse(text).map_err(|wrong| {
        vec![Diagnostic {
            span: wrong.span,
            level: Level::Error,
            message: wrong.message,
            suggestions: Vec::new(),
        }]
    })?;
    Filter::compile(query, &schema(), now)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Op(String),
    Word(String),
    Not,
    And,
    Or,
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<(Token, Span)>, Wrong> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let one = Span {
            start,
            end: start + c.len_utf8(),
        };
        match c {
            c if c.is_whitespace() => continue,
            '!' => tokens.push((Token::Not, one)),
            '&' => tokens.push((Token::And, one)),
            '|' => tokens.push((Token::Or, one)),
            '(' => tokens.push((Token::Open, one)),
            ')' => tokens.push((Token::Close, one)),
            '"' | '\'' => {
                let mut word = String::new();
                let mut end = None;
                while let Some((at, next)) = chars.next() {
                    match next {
                        next if next == c => {
                            end = Some(at + 1);
                            break;
                        }
                        // Before a quote a backslash takes its meaning; before anything else it is the expression's.
                        '\\' if chars.peek().is_some_and(|(_, q)| *q == c) => word.extend(chars.next().map(|(_, q)| q)),
                        next => word.push(next),
                    }
                }
                let Some(end) = end else {
                    return Err(Wrong {
                        message: "this quote is not closed".to_owned(),
                        span: Span { start, end: text.len() },
                    });
                };
                tokens.push((Token::Word(word), Span { start, end }));
            }
            c => {
                let mut word = String::from(c);
                let mut end = start + c.len_utf8();
                // A bracket belongs to a word that opened it, as in `(a|b)` within an expression.
                let stops = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '&' | '|' | '!' | '"' | '\'');
                while let Some((at, next)) = chars.next_if(|(_, c)| !stops(*c)) {
                    word.push(next);
                    end = at + next.len_utf8();
                }
                let span = Span { start, end };
                match word.strip_prefix('~') {
                    Some(op) => tokens.push((Token::Op(op.to_owned()), span)),
                    None => tokens.push((Token::Word(word), span)),
                }
            }
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(Token, Span)>>,
    end: usize,
    terms: usize,
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it and where: an operator that is none or that the proxy has nothing for, a missing word, a bracket.
pub fn parse(text: &str) -> Result<Query, Wrong> {
    let whole = Span {
        start: 0,
        end: text.len(),
    };
    if text.len() > MAX_LENGTH {
        return Err(Wrong {
            message: format!("a filter has at most {MAX_LENGTH} bytes"),
            span: whole,
        });
    }
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        end: text.len(),
        terms: 0,
    };
    if parser.tokens.peek().is_none() {
        return Ok(Query::default());
    }
    let expr = parser.or(0)?;
    match parser.tokens.next() {
        Some((_, span)) => Err(Wrong {
            message: "this bracket was not opened".to_owned(),
            span,
        }),
        None => Ok(Query {
            expr,
            ..Query::default()
        }),
    }
}

fn joined(mut list: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    match list.pop() {
        Some(only) if list.is_empty() => only,
        Some(last) => {
            list.push(last);
            join(list)
        }
        None => Expr::All,
    }
}

impl Parser {
    fn or(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let mut list = vec![self.and(depth)?];
        while self.tokens.next_if(|(t, _)| *t == Token::Or).is_some() {
            list.push(self.and(depth)?);
        }
        Ok(joined(list, Expr::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let mut list = vec![self.not(depth)?];
        loop {
            match self.tokens.peek() {
                Some((Token::And, _)) => {
                    self.tokens.next();
                    list.push(self.not(depth)?);
                }
                None | Some((Token::Or | Token::Close, _)) => return Ok(joined(list, Expr::And)),
                Some(_) => list.push(self.not(depth)?),
            }
        }
    }

    fn not(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let wrong = |message: &str, span| {
            Err(Wrong {
                message: message.to_owned(),
                span,
            })
        };
        let end = Span {
            start: self.end,
            end: self.end,
        };
        let Some((token, span)) = self.tokens.next() else {
            return wrong("something is missing here", end);
        };
        if depth >= MAX_DEPTH {
            return wrong("this is nested too deeply", span);
        }
        match token {
            Token::Not => Ok(Expr::Not(Box::new(self.not(depth + 1)?))),
            Token::Open => {
                let inner = self.or(depth + 1)?;
                match self.tokens.next() {
                    Some((Token::Close, _)) => Ok(inner),
                    _ => wrong("this bracket is not closed", span),
                }
            }
            Token::Close => wrong("something is missing before this bracket", span),
            Token::And | Token::Or => wrong("something is missing before this", span),
            Token::Word(word) => self.regex("url", &word, span),
            Token::Op(op) => self.op(&op, span),
        }
    }

    fn term(&mut self, name: &str, test: Test, span: Span) -> Result<Expr, Wrong> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(Wrong {
                message: format!("a filter has at most {MAX_TERMS} terms"),
                span,
            });
        }
        Ok(Expr::Term(Term {
            kind: TermKind::Field {
                name: name.to_owned(),
                test,
                value: span,
            },
            span,
        }))
    }

    fn regex(&mut self, name: &str, pattern: &str, span: Span) -> Result<Expr, Wrong> {
        self.term(name, rx(pattern), span)
    }

    fn is(&mut self, name: &str, value: &str, span: Span) -> Result<Expr, Wrong> {
        self.term(name, Test::Is(Glob::literal(value)), span)
    }

    fn there(&mut self, name: &str, span: Span) -> Result<Expr, Wrong> {
        self.term(name, Test::Is(Glob::pieces([String::new(), String::new()])), span)
    }

    fn op(&mut self, op: &str, span: Span) -> Result<Expr, Wrong> {
        match op {
            "all" => return Ok(Expr::All),
            // Assets: what pages are made of, by their type.
            "a" => return self.regex("type", "javascript|text/css|^image/|font|x-shockwave-flash", span),
            "e" => return self.there("error", span),
            "marked" => return self.is("marked", "true", span),
            // One that has no answer yet, and one that has.
            "q" => return Ok(Expr::Not(Box::new(self.there("status", span)?))),
            "s" => return self.there("status", span),
            "replay" | "replayq" | "replays" => return self.is("replay", "true", span),
            "http" => return self.regex("protocol", "^http", span),
            "tcp" | "websocket" => return self.is("protocol", op, span),
            _ if !WITH_TEXT.contains(&op) || matches!(op, "meta" | "marker") => {
                let known = PLAIN.contains(&op) || WITH_TEXT.contains(&op);
                let message = if known {
                    format!("`~{op}` asks for something that this proxy's flows do not have")
                } else {
                    format!("`~{op}` is no operator")
                };
                return Err(Wrong { message, span });
            }
            _ => {}
        }
        let (word, value) = match self.tokens.next() {
            Some((Token::Word(word), value)) => (word, value),
            other => {
                return Err(Wrong {
                    message: format!("`~{op}` needs an expression after it"),
                    span: other.map_or(span, |(_, span)| span),
                });
            }
        };
        let both = Span {
            start: span.start,
            end: value.end,
        };
        match op {
            "c" => match word.parse::<u16>() {
                Ok(code) => self.term("status", Test::Compare(Op::Eq, code.to_string()), both),
                Err(_) => Err(Wrong {
                    message: "`~c` needs a status such as 404".to_owned(),
                    span: value,
                }),
            },
            "m" => self.regex("method", &word, both),
            "d" => self.regex("host", &word, both),
            "u" => self.regex("url", &word, both),
            "src" => self.regex("src", &word, both),
            "dst" => self.regex("dst", &word, both),
            "comment" => self.regex("comment", &word, both),
            "bq" => self.regex("request.body", &word, both),
            "bs" => self.regex("response.body", &word, both),
            "hq" => self.regex("request.header", &multi(&word), both),
            "hs" => self.regex("response.header", &multi(&word), both),
            "tq" => self.regex("request.type", &word, both),
            "ts" => self.regex("type", &word, both),
            "b" => self.either("request.body", "response.body", &word, both),
            "t" => self.either("request.type", "type", &word, both),
            // `h`, the last of those with a text.
            _ => self.either("request.header", "response.header", &multi(&word), both),
        }
    }

    fn either(&mut self, a: &str, b: &str, pattern: &str, span: Span) -> Result<Expr, Wrong> {
        Ok(Expr::Or(vec![
            self.regex(a, pattern, span)?,
            self.regex(b, pattern, span)?,
        ]))
    }
}

/// Headers are one text of many lines, and `^` and `$` mean a line.
fn multi(pattern: &str) -> String {
    format!("(?m){pattern}")
}

/// An expression as the shared language writes it: slashes have a backslash before them.
fn rx(pattern: &str) -> Test {
    let mut escaped = String::with_capacity(pattern.len());
    let mut after_backslash = false;
    for c in pattern.chars() {
        if c == '/' && !after_backslash {
            escaped.push('\\');
        }
        after_backslash = c == '\\' && !after_backslash;
        escaped.push(c);
    }
    Test::Regex(Rx {
        pattern: escaped,
        case: RxCase::Insensitive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::tests::flow;
    use proptest::prelude::*;
    use qd_core::Timestamp;

    fn hits(text: &str) -> bool {
        let query = parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        Filter::compile(query, &schema(), &Now::utc(Timestamp(0)))
            .unwrap()
            .matches(&flow())
    }

    #[test]
    fn expressions_match_as_in_mitmproxy() {
        for yes in [
            "~all",
            "~m post",
            "~c 503",
            "~u /api/.*id=7",
            "~d shop",
            "~h x-user",
            "~hq ^content-type:.*json$",
            "~hs 'charset=utf-8$'",
            "~t json",
            "~ts html",
            "~b sorry",
            "~bq '\"item\":\"tea\"'",
            "~src ^192",
            "~dst 10.0.0.1:80",
            "~s & ~http",
            "!~q",
            "shop.example/api",
            "~m GET | ~c 503 & !~b coffee",
            "(~m GET | ~m POST) ~c 503",
            "!(~m GET)",
        ] {
            assert!(hits(yes), "{yes}");
        }
        for no in [
            "~m get",
            "~c 200",
            "~q",
            "~e",
            "~a",
            "~marked",
            "~websocket",
            "~hs x-user",
            "~bs tea",
            "~m POST !~c 503",
        ] {
            assert!(!hits(no), "{no}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where() {
        let wrong = |text: &str| {
            let wrong = parse(text).unwrap_err();
            (wrong.message, wrong.span.range())
        };
        assert_eq!(wrong("~m GET & ~zz").1, 9..12);
        assert!(wrong("~dns").0.contains("do not have"));
        assert!(wrong("~u").0.contains("needs an expression"));
        assert_eq!(wrong("~c abc").1, 3..6);
        assert!(wrong("(~s").0.contains("not closed"));
        assert!(wrong("~s)").0.contains("not opened"));
        assert!(wrong("~s &").0.contains("missing"));
        assert!(wrong("~u 'a").0.contains("quote"));
        assert!(wrong(&"!".repeat(2_000)).0.contains("nested"));
    }

    #[test]
    fn the_two_languages_are_told_apart() {
        for tilde in ["~u x", "!~s", "(~m GET)", "a ~b c"] {
            assert!(is_tilde(tilde), "{tilde}");
        }
        for ours in ["status:500", "~fuzzy", "path:~usr", "~user name"] {
            assert!(!is_tilde(ours), "{ours}");
        }
    }

    #[test]
    fn either_language_is_taken() {
        let now = Now::utc(Timestamp(0));
        assert!(filter("~m post status", &now).is_ok_and(|f| !f.matches(&flow())));
        assert!(filter("method:post status:503", &now).is_ok_and(|f| f.matches(&flow())));
        assert_eq!(filter("~u", &now).unwrap_err()[0].span.range(), 0..2);
        assert_eq!(filter("~u (", &now).unwrap_err()[0].level, Level::Error);
    }

    #[test]
    fn a_translated_query_is_shown_in_the_shared_language() {
        let query = parse("~m POST & ~u /api & !~c 200").unwrap();
        let filter = Filter::compile(query, &schema(), &Now::utc(Timestamp(0))).unwrap();
        let shown = filter.to_string();
        let again = Filter::new(&shown, &schema(), &Now::utc(Timestamp(0))).unwrap();
        assert!(again.matches(&flow()), "{shown}");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[~a-z0-9 ()&|!'\"\\\\./]{0,40}") {
            if let Ok(query) = parse(&text) {
                let _ = Filter::compile(query, &schema(), &Now::utc(Timestamp(0)));
            }
        }
    }
}
