//! Tests of known shapes.

use std::borrow::Cow;

use memchr::memmem;
use qd_logs_model::{LogBatch, Value};

use super::{
    expr::Constant,
    parse,
    row::{self, Fields, Found},
};

/// How two numbers are compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A test that can be made on the text of an event.
#[derive(Debug, Clone)]
pub enum Test {
    /// Always this answer.
    Always(bool),
    /// The opposite.
    Not(Box<Test>),
    /// Both.
    And(Box<Test>, Box<Test>),
    /// Either.
    Or(Box<Test>, Box<Test>),
    /// `.f == LITERAL`.
    #[doc(hidden)]
    Equal(String, Constant),
    /// `exists(.f)`.
    Exists(String),
    /// `is_null(.f)`.
    IsNull(String),
    /// `contains(string!(.f), "…")`.
    Contains(String, Box<memmem::Finder<'static>>),
    /// `starts_with(string!(.f), "…")`.
    StartsWith(String, String),
    /// `ends_with(string!(.f), "…")`.
    EndsWith(String, String),
    /// `match(string!(.f), r'…')`.
    Matches(String, regex::Regex),
    /// `int!(.f) < 5`.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "made by recognition only")]
    Number {
        /// The field.
        field: String,
        /// Whether it must be whole.
        int: bool,
        /// How it is compared.
        how: Compare,
        /// With what.
        with: Constant,
    },
}

/// The text of a field that must be a string; `None` when it is none, or its bytes are not UTF-8.
fn text<'a>(row: &'a dyn Fields, key: &str) -> Option<Cow<'a, [u8]>> {
    match row.field(key) {
        Found::Text(t) => Some(Cow::Borrowed(t)),
        Found::Json(j) => row::unquote(j),
        Found::Value(Value::Bytes(b)) => Some(Cow::Borrowed(b)),
        Found::Value(v @ Value::String(_)) => match v.to_str_lossy()? {
            Cow::Borrowed(s) => Some(Cow::Borrowed(s.as_bytes())),
            Cow::Owned(s) => Some(Cow::Owned(s.into_bytes())),
        },
        Found::Value(_) | Found::Nothing | Found::Unsure => None,
    }
}

impl Test {
    /// The test that a condition's source is; `None` if its shape is not known. The source must be one that VRL compiles
    /// as a condition.
    pub fn recognise(source: &str) -> Option<Test> {
        parse::condition(source)
    }

    pub(super) fn contains(field: String, needle: &str) -> Test {
        Test::Contains(field, Box::new(memmem::Finder::new(needle).into_owned()))
    }

    /// The answer for event `i` of a batch; `None` to ask VRL.
    pub fn check(&self, batch: &LogBatch, i: usize) -> Option<bool> {
        row::with(batch, i, |row| self.ask(row)).flatten()
    }

    pub(super) fn ask(&self, row: &dyn Fields) -> Option<bool> {
        match self {
            Test::Always(b) => Some(*b),
            Test::Not(t) => t.ask(row).map(|b| !b),
            Test::And(a, b) => {
                if a.ask(row)? {
                    b.ask(row)
                } else {
                    Some(false)
                }
            }
            Test::Or(a, b) => {
                if a.ask(row)? {
                    Some(true)
                } else {
                    b.ask(row)
                }
            }
            Test::Equal(f, c) => match row.field(f) {
                Found::Nothing => Some(matches!(c, Constant::Null)),
                Found::Text(t) => Some(matches!(c, Constant::Text(s) if s.as_bytes() == t)),
                Found::Json(j) => c.equals_json(j),
                Found::Value(v) => c.equals_value(v),
                Found::Unsure => None,
            },
            Test::Exists(f) => match row.field(f) {
                Found::Nothing => Some(false),
                Found::Unsure => None,
                _ => Some(true),
            },
            Test::IsNull(f) => match row.field(f) {
                Found::Nothing => Some(true),
                Found::Unsure => None,
                Found::Text(_) => Some(false),
                Found::Json(j) => Some(j == b"null"),
                Found::Value(v) => Some(v.is_null()),
            },
            Test::Contains(f, needle) => text(row, f).map(|t| needle.find(&t).is_some()),
            // A broken character at the edge is replaced before VRL looks, which changes nothing here: the replacement is
            // in no needle, and whole characters never begin or end within a broken one.
            Test::StartsWith(f, s) => text(row, f).map(|t| t.starts_with(s.as_bytes())),
            Test::EndsWith(f, s) => text(row, f).map(|t| t.ends_with(s.as_bytes())),
            Test::Matches(f, r) => {
                let t = text(row, f)?;
                std::str::from_utf8(&t).ok().map(|t| r.is_match(t))
            }
            Test::Number { field, int, how, with } => {
                let Found::Json(j) = row.field(field) else {
                    return None;
                };
                let number = std::str::from_utf8(j).ok()?;
                let whole = number.parse::<i64>().ok();
                if whole.is_some() != *int {
                    return None;
                }
                let order = match (whole, with) {
                    (Some(n), Constant::Int(i)) => n.cmp(i),
                    // Doubles between them are VRL's business: it has its own rules for large numbers.
                    (None, Constant::Float(x)) if matches!(j.first(), Some(b'-' | b'0'..=b'9')) => {
                        number.parse::<f64>().ok()?.partial_cmp(x)?
                    }
                    _ => return None,
                };
                Some(match how {
                    Compare::Less => order.is_lt(),
                    Compare::LessOrEqual => order.is_le(),
                    Compare::Greater => order.is_gt(),
                    Compare::GreaterOrEqual => order.is_ge(),
                })
            }
        }
    }
}
