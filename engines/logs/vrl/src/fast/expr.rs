//! Expressions of known shapes, from the text of fields to the text of a value.

use std::cell::Cell;

use qd_logs_model::{DocsBuilder, FieldKind};

use super::row;

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
}

impl Constant {
    /// Its JSON text; `None` if it has none.
    pub(super) fn json(&self) -> Option<Vec<u8>> {
        match self {
            Constant::Text(s) => serde_json::to_vec(s).ok(),
            Constant::Int(i) => Some(i.to_string().into_bytes()),
            Constant::Float(f) if f.is_finite() => serde_json::to_vec(f).ok(),
            Constant::Float(_) => None,
            Constant::Bool(b) => Some(b.to_string().into_bytes()),
            Constant::Null => Some(b"null".to_vec()),
        }
    }

    /// Whether VRL's `==` holds with a value of this canonical text; `None` for what can't be judged.
    pub(super) fn equals_json(&self, json: &[u8]) -> Option<bool> {
        Some(match (self, json.first()?) {
            (Constant::Text(s), b'"') => &*row::unquote(json)? == s.as_bytes(),
            (Constant::Int(_) | Constant::Float(_), b'-' | b'0'..=b'9') => {
                // Numbers are compared as doubles, also whole ones.
                let other: f64 = std::str::from_utf8(json).ok()?.parse().ok()?;
                match self {
                    Constant::Int(i) => *i as f64 == other,
                    Constant::Float(f) => *f == other,
                    _ => false,
                }
            }
            (Constant::Bool(b), b't' | b'f') => (json == b"true") == *b,
            (Constant::Null, b'n') => true,
            _ => false,
        })
    }

    /// The same with a value.
    pub(super) fn equals_value(&self, value: &qd_logs_model::Value) -> Option<bool> {
        use qd_logs_model::Value;
        Some(match (self, value) {
            (Constant::Text(s), v @ (Value::Bytes(_) | Value::String(_))) => match v {
                Value::Bytes(b) => &**b == s.as_bytes(),
                v => v.to_str_lossy()?.as_bytes() == s.as_bytes(),
            },
            (Constant::Int(i), Value::Integer(v)) => *i as f64 == *v as f64,
            (Constant::Int(i), Value::Float(v)) => *i as f64 == v.into_inner(),
            (Constant::Float(f), Value::Integer(v)) => *f == *v as f64,
            (Constant::Float(f), Value::Float(v)) => *f == v.into_inner(),
            (Constant::Bool(a), Value::Boolean(b)) => a == b,
            (Constant::Null, Value::Null) => true,
            (_, Value::Regex(_)) => return None,
            _ => false,
        })
    }
}

/// An expression. Its functions are VRL's of the same names.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// This text.
    Constant(Vec<u8>),
    /// A field, and where it was the last time.
    Field(String, Cell<usize>),
    Del(String),
    ToInt(Box<Value>),
    ToFloat(Box<Value>),
    ToString(Box<Value>),
    AsString(Box<Value>),
    AsInt(Box<Value>),
    /// `a ?? b`.
    Else(Box<Value>, Box<Value>),
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fail {
    /// VRL raises an error here.
    Error,
    /// It can't be said here what VRL does.
    Unsure,
}

type Eval<T = ()> = Result<T, Fail>;

fn utf8(text: &[u8]) -> Eval<&str> {
    std::str::from_utf8(text).map_err(|_| Fail::Unsure)
}

fn write_float(f: f64, out: &mut Vec<u8>) -> Eval {
    if !f.is_finite() {
        return Err(Fail::Unsure);
    }
    serde_json::to_writer(out, &f).map_err(|_| Fail::Unsure)
}

fn write_int(i: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
}

impl Value {
    /// Writes the value's JSON text into `out`, which is empty.
    pub(super) fn eval(&self, row: &mut DocsBuilder, out: &mut Vec<u8>) -> Eval<FieldKind> {
        match self {
            Value::Constant(text) => out.extend_from_slice(text),
            Value::Field(key, hint) => {
                let mut near = hint.get();
                let found = row.get_near(key, &mut near);
                let kind = match found {
                    Some((text, kind)) => {
                        out.extend_from_slice(text);
                        kind
                    }
                    None => {
                        out.extend_from_slice(b"null");
                        FieldKind::Json
                    }
                };
                hint.set(near);
                return Ok(kind);
            }
            Value::Del(key) => {
                let kind = match row.get(key) {
                    Some((text, kind)) => {
                        out.extend_from_slice(text);
                        kind
                    }
                    None => {
                        out.extend_from_slice(b"null");
                        FieldKind::Json
                    }
                };
                row.remove(key);
                return Ok(kind);
            }
            Value::ToInt(v) => {
                v.json(row, out)?;
                let i = to_int(out)?;
                out.clear();
                write_int(i, out);
            }
            Value::ToFloat(v) => {
                v.json(row, out)?;
                let f = to_float(out)?;
                out.clear();
                write_float(f, out)?;
            }
            Value::ToString(v) => {
                v.json(row, out)?;
                to_string(out)?;
            }
            Value::AsString(v) => {
                v.json(row, out)?;
                if out.first() != Some(&b'"') {
                    return Err(Fail::Error);
                }
            }
            Value::AsInt(v) => {
                v.json(row, out)?;
                utf8(out)?.parse::<i64>().map_err(|_| Fail::Error)?;
            }
            Value::Else(a, b) => match a.eval(row, out) {
                Ok(kind) => return Ok(kind),
                Err(Fail::Unsure) => return Err(Fail::Unsure),
                Err(Fail::Error) => {
                    out.clear();
                    return b.eval(row, out);
                }
            },
        }
        Ok(FieldKind::Json)
    }

    fn json(&self, row: &mut DocsBuilder, out: &mut Vec<u8>) -> Eval {
        match self.eval(row, out)? {
            FieldKind::Json => Ok(()),
            FieldKind::Time => Err(Fail::Unsure),
        }
    }
}

fn to_int(json: &[u8]) -> Eval<i64> {
    match json.first().ok_or(Fail::Unsure)? {
        b'"' => {
            let text = row::unquote(json).ok_or(Fail::Unsure)?;
            utf8(&text)?.parse().map_err(|_| Fail::Error)
        }
        b'-' | b'0'..=b'9' => {
            let text = utf8(json)?;
            match text.parse::<i64>() {
                Ok(i) => Ok(i),
                Err(_) => text.parse::<f64>().map(|f| f as i64).map_err(|_| Fail::Unsure),
            }
        }
        b't' => Ok(1),
        b'f' | b'n' => Ok(0),
        _ => Err(Fail::Error),
    }
}

fn to_float(json: &[u8]) -> Eval<f64> {
    match json.first().ok_or(Fail::Unsure)? {
        b'"' => {
            let text = row::unquote(json).ok_or(Fail::Unsure)?;
            let f: f64 = utf8(&text)?.parse().map_err(|_| Fail::Error)?;
            if f.is_nan() { Err(Fail::Error) } else { Ok(f) }
        }
        b'-' | b'0'..=b'9' => {
            let text = utf8(json)?;
            match text.parse::<i64>() {
                Ok(i) => Ok(i as f64),
                Err(_) => text.parse().map_err(|_| Fail::Unsure),
            }
        }
        b't' => Ok(1.0),
        b'f' | b'n' => Ok(0.0),
        _ => Err(Fail::Error),
    }
}

fn to_string(json: &mut Vec<u8>) -> Eval {
    match json.first().ok_or(Fail::Unsure)? {
        b'"' => {}
        b'-' | b'0'..=b'9' => {
            let text = utf8(json)?;
            let quoted = match text.parse::<i64>() {
                Ok(i) => format!("\"{i}\""),
                Err(_) => format!("\"{}\"", text.parse::<f64>().map_err(|_| Fail::Unsure)?),
            };
            *json = quoted.into_bytes();
        }
        b't' | b'f' => {
            json.insert(0, b'"');
            json.push(b'"');
        }
        b'n' => *json = b"\"\"".to_vec(),
        _ => return Err(Fail::Error),
    }
    Ok(())
}
