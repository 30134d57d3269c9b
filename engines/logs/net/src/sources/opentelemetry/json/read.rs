//! Reading protobuf's JSON field by field, with the place in what is said of a wrong value.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A value that its place cannot have, as a sentence.
#[derive(Debug)]
pub(super) struct Bad(String);

/// Where a value is.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Field(&'a Place<'a>, &'static str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => Ok(()),
            Place::Field(Place::Top, name) => f.write_str(name),
            Place::Field(outer, name) => write!(f, "{outer}.{name}"),
            Place::Item(outer, i) => write!(f, "{outer}[{i}]"),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Place<'_> {
    fn wrong<T>(&self, wanted: &str, found: &Value) -> Result<T, Bad> {
        let found = match found {
            Value::Number(n) => format!("the number {n}"),
            Value::String(s) => format!("the text {:?}", s.chars().take(40).collect::<String>()),
            other => kind(other).to_owned(),
        };
        let place = match self {
            Place::Top => "the message".to_owned(),
            place => format!("`{place}`"),
        };
        Err(Bad(format!("{place}: expected {wanted}, found {found}")))
    }

    fn u64(&self, value: &Value) -> Result<u64, Bad> {
        let found = match value {
            Value::Number(n) => n.as_u64().or_else(|| whole(n.as_f64()?)?.try_into().ok()),
            Value::String(s) => s.parse().ok(),
            _ => None,
        };
        found.map_or_else(|| self.wrong("an integer of 0 to 2^64-1", value), Ok)
    }

    fn i64(&self, value: &Value) -> Result<i64, Bad> {
        let found = match value {
            Value::Number(n) => n.as_i64().or_else(|| whole(n.as_f64()?)?.try_into().ok()),
            Value::String(s) => s.parse().ok(),
            _ => None,
        };
        found.map_or_else(|| self.wrong("an integer of 64 bits", value), Ok)
    }

    fn f64(&self, value: &Value) -> Result<f64, Bad> {
        let found = match value {
            Value::Number(n) => n.as_f64(),
            Value::String(s) => match s.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                // What Rust takes besides, such as `inf`, has letters.
                s => s.parse().ok().filter(|f: &f64| f.is_finite()),
            },
            _ => None,
        };
        found.map_or_else(
            || self.wrong("a number, \"NaN\", \"Infinity\" or \"-Infinity\"", value),
            Ok,
        )
    }
}

/// A float such as `1e3` as the integer that it is.
fn whole(f: f64) -> Option<i128> {
    (f.fract() == 0.0 && f.abs() < 2f64.powi(64)).then_some(f as i128)
}

/// The fields of an object and where it is.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: Place<'a>,
}

/// Reads a whole message. Objects and lists may be nested 127 deep, which is the parser's bound.
///
/// # Errors
/// A sentence that names the place.
pub(super) fn message<T>(body: &[u8], read: impl Fn(&Fields<'_>) -> Result<T, Bad>) -> Result<T, String> {
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("it is no JSON: {e}"))?;
    let place = Place::Top;
    object(&value, place).and_then(|f| read(&f)).map_err(|Bad(why)| why)
}

fn object<'a>(value: &'a Value, place: Place<'a>) -> Result<Fields<'a>, Bad> {
    match value {
        Value::Object(map) => Ok(Fields { map, place }),
        other => place.wrong("an object", other),
    }
}

impl Fields<'_> {
    fn find<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value, Place<'_>) -> Result<T, Bad>,
    ) -> Result<Option<T>, Bad> {
        match self.map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value, Place::Field(&self.place, name)).map(Some),
        }
    }

    fn items<T>(&self, name: &'static str, read: impl Fn(&Value, Place<'_>) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
        let list = self.find(name, |value, place| match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(i, v)| read(v, Place::Item(&place, i))).collect()
            }
            other => place.wrong("a list", other),
        })?;
        Ok(list.unwrap_or_default())
    }

    /// The messages of a list; none if the field is absent.
    pub(super) fn list<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Fields<'_>) -> Result<T, Bad>,
    ) -> Result<Vec<T>, Bad> {
        self.items(name, |value, place| read(&object(value, place)?))
    }

    /// A message within this one.
    pub(super) fn message<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Fields<'_>) -> Result<T, Bad>,
    ) -> Result<Option<T>, Bad> {
        self.find(name, |value, place| read(&object(value, place)?))
    }

    pub(super) fn find_text(&self, name: &'static str) -> Result<Option<String>, Bad> {
        self.find(name, |value, place| match value {
            Value::String(s) => Ok(s.clone()),
            other => place.wrong("text", other),
        })
    }

    pub(super) fn text(&self, name: &'static str) -> Result<String, Bad> {
        Ok(self.find_text(name)?.unwrap_or_default())
    }

    pub(super) fn find_bool(&self, name: &'static str) -> Result<Option<bool>, Bad> {
        self.find(name, |value, place| match value {
            Value::Bool(b) => Ok(*b),
            other => place.wrong("true or false", other),
        })
    }

    pub(super) fn find_i64(&self, name: &'static str) -> Result<Option<i64>, Bad> {
        self.find(name, |value, place| place.i64(value))
    }

    pub(super) fn find_f64(&self, name: &'static str) -> Result<Option<f64>, Bad> {
        self.find(name, |value, place| place.f64(value))
    }

    pub(super) fn u64(&self, name: &'static str) -> Result<u64, Bad> {
        Ok(self.find(name, |value, place| place.u64(value))?.unwrap_or_default())
    }

    pub(super) fn u32(&self, name: &'static str) -> Result<u32, Bad> {
        let found = self.find(name, |value, place| match u32::try_from(place.u64(value)?) {
            Ok(n) => Ok(n),
            Err(_) => place.wrong("an integer of 0 to 2^32-1", value),
        })?;
        Ok(found.unwrap_or_default())
    }

    pub(super) fn i32(&self, name: &'static str) -> Result<i32, Bad> {
        let found = self.find(name, |value, place| match i32::try_from(place.i64(value)?) {
            Ok(n) => Ok(n),
            Err(_) => place.wrong("an integer of 32 bits", value),
        })?;
        Ok(found.unwrap_or_default())
    }

    pub(super) fn u64s(&self, name: &'static str) -> Result<Vec<u64>, Bad> {
        self.items(name, |value, place| place.u64(value))
    }

    pub(super) fn f64s(&self, name: &'static str) -> Result<Vec<f64>, Bad> {
        self.items(name, |value, place| place.f64(value))
    }

    /// Bytes in hexadecimal digits of either case; none if the field is absent.
    pub(super) fn hex(&self, name: &'static str) -> Result<Vec<u8>, Bad> {
        let found = self.find(name, |value, place| {
            let bytes = match value {
                Value::String(s) => unhex(s),
                _ => None,
            };
            bytes.map_or_else(|| place.wrong("pairs of hexadecimal digits", value), Ok)
        })?;
        Ok(found.unwrap_or_default())
    }

    pub(super) fn find_base64(&self, name: &'static str) -> Result<Option<Vec<u8>>, Bad> {
        self.find(name, |value, place| {
            let bytes = match value {
                // The alphabet for addresses is taken as well.
                Value::String(s) => BASE64.decode(s.replace('-', "+").replace('_', "/")).ok(),
                _ => None,
            };
            bytes.map_or_else(|| place.wrong("base64", value), Ok)
        })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
