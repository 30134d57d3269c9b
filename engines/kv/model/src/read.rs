//! Reading a node's data: column families, ranges, and the trait of everything that can be read at one moment.

use std::fmt;

/// One of the tables of a node's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cf {
    /// Long values of transactions: encoded key and start timestamp to the value.
    Default = 0,
    /// Locks of transactions: encoded key to the lock.
    Lock = 1,
    /// What was committed: encoded key and commit timestamp to what and where.
    Write = 2,
    /// Raw keys: the key as it is to the value with its end of life.
    Raw = 3,
}

impl Cf {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Default, Self::Lock, Self::Write, Self::Raw];

    /// By its number.
    pub const fn from_number(n: u8) -> Option<Self> {
        match n {
            0 => Some(Self::Default),
            1 => Some(Self::Lock),
            2 => Some(Self::Write),
            3 => Some(Self::Raw),
            _ => None,
        }
    }

    /// TiKV's name of it, and for raw keys ours.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Lock => "lock",
            Self::Write => "write",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Cf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keys from `start`, inclusive, to `end`, exclusive; an empty `end` is the end of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The key behind the last, or empty.
    pub end: &'a [u8],
}

impl<'a> Range<'a> {
    /// From `start` to before `end`.
    pub const fn new(start: &'a [u8], end: &'a [u8]) -> Self {
        Self { start, end }
    }

    /// Whether a key lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        contains(self.start, self.end, key)
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.end <= self.start
    }
}

/// Whether `key` lies between `start` and `end`, where an empty `end` is the end of everything.
pub fn contains(start: &[u8], end: &[u8], key: &[u8]) -> bool {
    key >= start && (end.is_empty() || key < end)
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From small keys to large ones.
    Forward,
    /// From large keys to small ones.
    Backward,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why something could not be read. Whoever meets it can only give up: the data is not there as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ReadError {
    /// What was read, and what came instead.
    pub what: String,
}

impl ReadError {
    /// With a sentence.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// The data of a node at one moment.
pub trait Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// At most `limit` pairs of a range, in the direction's order.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError>;

    /// The first pair of a range.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn first(&self, cf: Cf, range: Range<'_>) -> Result<Option<Pair>, ReadError> {
        Ok(self.scan(cf, range, 1, Direction::Forward)?.pop())
    }
}

impl<S: Snapshot + ?Sized> Snapshot for &S {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        (**self).get(cf, key)
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        (**self).scan(cf, range, limit, direction)
    }
}
