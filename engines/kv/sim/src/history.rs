//! What clients saw of one key, and whether a single copy of it could have shown them that.
//!
//! The search is Wing and Gong's, with Lowe's memory of configurations: an operation can be next if no other that has not
//! taken place yet was over before it began. One whose outcome nobody knows may take place at any time after its
//! beginning, or never.

use std::collections::HashSet;

/// What was done to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It got a value.
    Put(u64),
    /// It was looked at, and had this value, or none.
    Get(Option<u64>),
    /// It got the second value if it had the first; whether it had.
    Cas(Option<u64>, u64, bool),
}

/// An operation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// When it began.
    pub from: u64,
    /// When its answer came; nothing when none did, and it may have taken place or not.
    pub to: Option<u64>,
    /// What it was, as far as its client knows.
    pub act: Act,
}

/// More steps than this are not tried: the history is too unclear to be judged.
const MOST_STEPS: usize = 2_000_000;

/// Whether one copy could have shown it, beginning with no value. Nothing when it cannot be judged.
pub fn is_linearizable(ops: &[Op]) -> Option<bool> {
    let mut ops: Vec<&Op> = ops
        .iter()
        // A look whose answer never came says nothing.
        .filter(|o| o.to.is_some() || !matches!(o.act, Act::Get(_)))
        .collect();
    ops.sort_by_key(|o| o.from);
    let words = ops.len().div_ceil(64);
    let mut done = vec![0u64; words];
    let mut seen: HashSet<(Vec<u64>, Option<u64>)> = HashSet::new();
    // The way so far: which operation, and the value before it.
    let mut way: Vec<(usize, Option<u64>)> = Vec::new();
    let (mut value, mut at, mut steps) = (None, 0usize, 0usize);
    loop {
        steps += 1;
        if steps > MOST_STEPS {
            return None;
        }
        let is_done = |done: &[u64], i: usize| done[i / 64] >> (i % 64) & 1 == 1;
        if ops.iter().enumerate().all(|(i, o)| is_done(&done, i) || o.to.is_none()) {
            return Some(true);
        }
        // Nothing can be next that begins after another is over.
        let end = ops
            .iter()
            .enumerate()
            .filter(|(i, _)| !is_done(&done, *i))
            .filter_map(|(_, o)| o.to)
            .min()
            .unwrap_or(u64::MAX);
        let mut next = None;
        for (i, o) in ops.iter().enumerate().skip(at) {
            if o.from > end {
                break;
            }
            if is_done(&done, i) {
                continue;
            }
            let Some(after) = step(value, o) else { continue };
            let mut with = done.clone();
            with[i / 64] |= 1 << (i % 64);
            if seen.insert((with.clone(), after)) {
                next = Some((i, with, after));
                break;
            }
        }
        match next {
            Some((i, with, after)) => {
                way.push((i, value));
                (done, value, at) = (with, after, 0);
            }
            None => {
                let Some((i, before)) = way.pop() else {
                    return Some(false);
                };
                done[i / 64] &= !(1 << (i % 64));
                (value, at) = (before, i + 1);
            }
        }
    }
}

/// The value after an operation, if it can have been as its client saw it.
fn step(value: Option<u64>, o: &Op) -> Option<Option<u64>> {
    match (&o.act, o.to.is_some()) {
        (Act::Put(v), _) => Some(Some(*v)),
        (Act::Get(v), _) => (*v == value).then_some(value),
        (Act::Cas(was, v, true), true) => (*was == value).then_some(Some(*v)),
        (Act::Cas(was, _, false), true) => (*was != value).then_some(value),
        (Act::Cas(was, v, _), false) => Some(if *was == value { Some(*v) } else { value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(from: u64, to: u64, act: Act) -> Op {
        Op {
            from,
            to: (to > 0).then_some(to),
            act,
        }
    }

    #[test]
    fn worked_out_by_hand() {
        use Act::{Cas, Get, Put};
        assert_eq!(is_linearizable(&[]), Some(true));
        // A look after a write has ended sees it.
        assert_eq!(is_linearizable(&[op(1, 2, Put(1)), op(3, 4, Get(Some(1)))]), Some(true));
        assert_eq!(is_linearizable(&[op(1, 2, Put(1)), op(3, 4, Get(None))]), Some(false));
        // While it is under way both is right, but not back and forth.
        let during = |a, b| [op(1, 9, Put(1)), op(2, 3, Get(a)), op(4, 5, Get(b))];
        assert_eq!(is_linearizable(&during(None, Some(1))), Some(true));
        assert_eq!(is_linearizable(&during(Some(1), None)), Some(false));
        // One that nobody knows of may come late, or never, but not twice.
        let unknown = |a, b, c| {
            [
                op(1, 0, Put(1)),
                op(2, 3, Put(2)),
                op(4, 5, Get(a)),
                op(6, 7, Get(b)),
                op(8, 9, Get(c)),
            ]
        };
        assert_eq!(is_linearizable(&unknown(Some(2), Some(1), Some(1))), Some(true));
        assert_eq!(is_linearizable(&unknown(Some(2), Some(2), Some(2))), Some(true));
        assert_eq!(is_linearizable(&unknown(Some(1), Some(2), Some(1))), Some(false));
        // Of two swaps from the same value one fails.
        let swaps = |a, b| {
            [
                op(1, 2, Put(1)),
                op(3, 6, Cas(Some(1), 2, a)),
                op(4, 5, Cas(Some(1), 3, b)),
            ]
        };
        assert_eq!(is_linearizable(&swaps(true, false)), Some(true));
        assert_eq!(is_linearizable(&swaps(true, true)), Some(false));
        assert_eq!(is_linearizable(&swaps(false, false)), Some(false));
    }
}
