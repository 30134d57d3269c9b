//! JSON as RFC 8259 has it, with the place of every value.
//!
//! `serde_json` gives no places; the grammar is small enough to be read here. What is accepted is the same, which a
//! property test checks, with two more refusals: keys that stand twice, and whole numbers beyond `i64`.

use std::collections::HashMap;

use super::{MAX_DEPTH, MAX_NODES, duplicate, float, too_deep, too_large, too_many};
use crate::{ConfigError, FileId, Key, Node, NodeValue, Span};

pub(super) fn parse(text: &str, file: FileId) -> Result<Node, ConfigError> {
    let mut reader = Reader {
        text,
        file,
        at: 0,
        nodes: 0,
    };
    reader.blanks();
    let node = reader.value(0)?;
    reader.blanks();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.wrong("expected the end of the text")),
    }
}

struct Reader<'a> {
    text: &'a str,
    file: FileId,
    at: usize,
    nodes: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn place(&self, start: usize) -> Span {
        super::span(self.text, self.file, start, self.at)
    }

    fn wrong(&self, what: &str) -> ConfigError {
        let span = super::span(self.text, self.file, self.at, self.at + 1);
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the end of the text".to_owned(),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        ConfigError::new(format!("{what}, found {found}")).at(Some(span))
    }

    fn expect(&mut self, byte: u8) -> Result<(), ConfigError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.wrong(&format!("expected `{}`", char::from(byte))))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, ConfigError> {
        let start = self.at;
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(too_deep().at(Some(self.place(start))));
        }
        if self.nodes > MAX_NODES {
            return Err(too_many().at(Some(self.place(start))));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => NodeValue::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node {
            value,
            span: Some(self.place(start)),
        })
    }

    fn word(&mut self) -> Result<NodeValue, ConfigError> {
        for (word, value) in [
            ("null", NodeValue::Null),
            ("true", NodeValue::Bool(true)),
            ("false", NodeValue::Bool(false)),
        ] {
            if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("expected a value"))
    }

    fn object(&mut self, depth: usize) -> Result<NodeValue, ConfigError> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut seen: HashMap<String, Option<Span>> = HashMap::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(NodeValue::Table(entries));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a key in double quotes"));
            }
            let name = self.string()?;
            let key = Key {
                name,
                span: Some(self.place(start)),
            };
            if let Some(first) = seen.insert(key.name.clone(), key.span) {
                return Err(duplicate(&key, first));
            }
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            let value = self.value(depth + 1)?;
            entries.push((key, value));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(NodeValue::Table(entries));
                }
                _ => return Err(self.wrong("expected `,` or `}`")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<NodeValue, ConfigError> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(NodeValue::Array(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(NodeValue::Array(items));
                }
                _ => return Err(self.wrong("expected `,` or `]`")),
            }
        }
    }

    fn digits(&mut self) -> Result<(), ConfigError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.wrong("expected a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<NodeValue, ConfigError> {
        let start = self.at;
        let mut whole = true;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let place = Some(self.place(start));
        if whole && text != "-0" {
            if let Ok(value) = text.parse::<i64>() {
                return Ok(NodeValue::Int(value));
            }
            if text.parse::<u64>().is_ok() {
                return Err(too_large().at(place));
            }
        }
        float(text.parse::<f64>().unwrap_or(f64::NAN)).map_err(|e| e.at(place))
    }

    fn string(&mut self) -> Result<String, ConfigError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while let Some(byte) = self.peek() {
                if byte == b'"' || byte == b'\\' || byte < 0x20 {
                    break;
                }
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.wrong("control characters in texts must be escaped")),
                None => return Err(self.wrong("expected a closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigError> {
        let Some(byte) = self.peek() else {
            return Err(self.wrong("expected an escape"));
        };
        let simple = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.wrong("expected an escape")),
        };
        self.at += 1;
        Ok(simple)
    }

    fn unicode(&mut self) -> Result<char, ConfigError> {
        let high = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return Err(self.wrong("expected the second half of a surrogate pair"));
            }
            self.at += 2;
            let low = self.hex()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.wrong("the surrogate pair is broken"));
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.wrong("half a surrogate pair is no character"))
    }

    fn hex(&mut self) -> Result<u32, ConfigError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return Err(self.wrong("expected a hexadecimal digit"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
