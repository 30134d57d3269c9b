//! The value of a flag, and what it can be read as.

use std::ffi::OsString;
use std::path::PathBuf;

use bstr::ByteVec;

use crate::error::ValueError;

/// What a flag came with.
#[derive(Debug)]
pub(crate) enum Value {
    /// It was given, and takes no value.
    On,
    /// Its negation was given.
    Off,
    /// Its value.
    Given(OsString),
}

impl Value {
    /// Whether the flag, and not its negation, was given.
    pub(crate) fn on(&self) -> bool {
        !matches!(self, Value::Off)
    }

    /// The value as it is; empty for a switch.
    pub(crate) fn raw(self) -> OsString {
        match self {
            Value::Given(value) => value,
            Value::On | Value::Off => OsString::new(),
        }
    }

    /// The value as a path, where an empty one is none.
    pub(crate) fn program(self) -> Option<PathBuf> {
        Some(PathBuf::from(self.raw())).filter(|p| !p.as_os_str().is_empty())
    }

    /// The value as text.
    pub(crate) fn text(self) -> Result<String, ValueError> {
        self.raw().into_string().map_err(|_| ValueError::NotUtf8)
    }

    /// The value as a number.
    pub(crate) fn number<T>(self) -> Result<T, ValueError>
    where
        T: std::str::FromStr<Err = std::num::ParseIntError>,
    {
        Ok(self.text()?.parse()?)
    }

    /// The value as a number of bytes, with K, M or G behind it.
    pub(crate) fn size(self) -> Result<u64, ValueError> {
        Ok(grep_cli::parse_human_readable_size(&self.text()?)?)
    }

    /// The same, for what is kept in memory.
    pub(crate) fn memory(self) -> Result<usize, ValueError> {
        usize::try_from(self.size()?).map_err(|_| ValueError::TooBig)
    }

    /// The value as bytes written with escapes; none for the negation.
    pub(crate) fn separator(self) -> Result<Option<Vec<u8>>, ValueError> {
        match self {
            Value::Off => Ok(None),
            given => match given.text() {
                Ok(text) => Ok(Some(Vec::unescape_bytes(text))),
                Err(_) => Err(ValueError::SeparatorNotUtf8),
            },
        }
    }

    /// The meaning that `meanings` has for the value.
    pub(crate) fn choice<T: Copy>(self, choices: &'static [&'static str], meanings: &[T]) -> Result<T, ValueError> {
        let given = self.text()?;
        let found = choices.iter().zip(meanings).find(|(c, _)| **c == given);
        found.map(|(_, m)| *m).ok_or(ValueError::Choice { given, choices })
    }
}
