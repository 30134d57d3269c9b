//! Scans of keys, both ways, and of locks.

use qd_kv_model::{Cf, Direction, Pair, Range, ReadError, Snapshot, Ts, decode_bytes, encode_bytes, split_ts};

use crate::reader::{Locked, Reader};
use crate::{Lock, TxnError, Write, WriteKind};

/// What is scanned. Keys are the client's.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The first key of the range.
    pub start: &'a [u8],
    /// The key behind the last, or empty for all.
    pub end: &'a [u8],
    /// The moment.
    pub ts: Ts,
    /// At most so many results.
    pub limit: usize,
    /// Which way.
    pub direction: Direction,
    /// Transactions whose locks are looked through.
    pub known: &'a [Ts],
}

/// A result of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A key and its value.
    Pair(Pair),
    /// A key whose value depends on somebody's lock.
    Locked(Box<Locked>),
}

/// Rows of a range, read in blocks.
struct Rows<'s, S> {
    snapshot: &'s S,
    cf: Cf,
    start: Vec<u8>,
    end: Vec<u8>,
    direction: Direction,
    block: std::iter::Peekable<std::vec::IntoIter<Pair>>,
    step: usize,
    done: bool,
}

impl<S: Snapshot> Rows<'_, S> {
    fn peek(&mut self) -> Result<Option<&[u8]>, ReadError> {
        if self.block.peek().is_none() && !self.done {
            let range = Range::new(&self.start, &self.end);
            let rows = self.snapshot.scan(self.cf, range, self.step, self.direction)?;
            self.done = rows.len() < self.step;
            if let Some((k, _)) = rows.last() {
                match self.direction {
                    Direction::Forward => {
                        self.start.clone_from(k);
                        self.start.push(0);
                    }
                    Direction::Backward => self.end.clone_from(k),
                }
            }
            self.step = (self.step * 2).min(256);
            self.block = rows.into_iter().peekable();
        }
        Ok(self.block.peek().map(|(k, _)| k.as_slice()))
    }

    fn next(&mut self) -> Result<Option<Pair>, ReadError> {
        self.peek()?;
        Ok(self.block.next())
    }
}

fn bounds(start: &[u8], end: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (
        encode_bytes(start),
        if end.is_empty() { Vec::new() } else { encode_bytes(end) },
    )
}

/// The keys of a range with their values at a moment, in order. A lock that is in the way is a result of its own.
///
/// # Errors
/// When the data cannot be read.
pub fn scan<S: Snapshot>(reader: &Reader<S>, s: &Scan<'_>) -> Result<Vec<Found>, TxnError> {
    let (start, end) = bounds(s.start, s.end);
    if !end.is_empty() && end <= start {
        return Ok(Vec::new());
    }
    let rows = |cf| Rows {
        snapshot: &reader.snapshot,
        cf,
        start: start.clone(),
        end: end.clone(),
        direction: s.direction,
        block: Vec::new().into_iter().peekable(),
        step: s.limit.clamp(1, 32),
        done: false,
    };
    let (mut locks, mut writes) = (rows(Cf::Lock), rows(Cf::Write));
    let mut out = Vec::new();
    while out.len() < s.limit {
        // The next key that has a lock or a record.
        let lock = locks.peek()?.map(<[u8]>::to_vec);
        let write = match writes.peek()? {
            Some(k) => Some(split_ts(k)?.0.to_vec()),
            None => None,
        };
        let key = match (lock.as_ref(), write.as_ref(), s.direction) {
            (None, None, _) => break,
            (Some(k), None, _) | (None, Some(k), _) => k.clone(),
            (Some(a), Some(b), Direction::Forward) => a.min(b).clone(),
            (Some(a), Some(b), Direction::Backward) => a.max(b).clone(),
        };
        let mut blocked = None;
        if lock.as_ref() == Some(&key)
            && let Some((_, v)) = locks.next()?
        {
            let (user, lock) = (decode_bytes(&key)?, Lock::decode(&v)?);
            if lock.blocks_read(&user, s.ts) && !s.known.contains(&lock.start_ts) {
                blocked = Some(Locked { key: user, lock });
            }
        }
        // Its records come newest first going forward and oldest first going backward.
        let mut value: Option<Write> = None;
        while let Some(k) = writes.peek()? {
            let (encoded, ts) = split_ts(k)?;
            if encoded != key {
                break;
            }
            let Some((_, v)) = writes.next()? else { break };
            if ts > s.ts || (s.direction == Direction::Forward && value.is_some()) {
                continue;
            }
            let w = Write::decode(&v)?;
            if matches!(w.kind, WriteKind::Put | WriteKind::Delete) {
                value = Some(w);
            }
        }
        if let Some(l) = blocked {
            out.push(Found::Locked(Box::new(l)));
        } else if let Some(w) = value {
            let user = decode_bytes(&key)?;
            if let Some(v) = reader.value_of(&user, w)? {
                out.push(Found::Pair((user, v)));
            }
        }
    }
    Ok(out)
}

/// The locks of a range whose transactions began at `max` or before, in order; of one transaction if `of` names it.
///
/// # Errors
/// When the data cannot be read.
pub fn scan_locks<S: Snapshot>(
    reader: &Reader<S>,
    start: &[u8],
    end: &[u8],
    max: Ts,
    of: Option<Ts>,
    limit: usize,
) -> Result<Vec<Locked>, TxnError> {
    let (start, end) = bounds(start, end);
    let mut rows = Rows {
        snapshot: &reader.snapshot,
        cf: Cf::Lock,
        start,
        end,
        direction: Direction::Forward,
        block: Vec::new().into_iter().peekable(),
        step: 64,
        done: false,
    };
    let mut out = Vec::new();
    while out.len() < limit
        && let Some((k, v)) = rows.next()?
    {
        let lock = Lock::decode(&v)?;
        if lock.start_ts <= max && of.is_none_or(|ts| ts == lock.start_ts) {
            out.push(Locked {
                key: decode_bytes(&k)?,
                lock,
            });
        }
    }
    Ok(out)
}
