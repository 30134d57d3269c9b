//! Clients of raw keys: one operation at a time, with a history of each key.

use std::collections::BTreeMap;

use crate::history::{Act, Op};
use crate::luck::Luck;
use crate::serve::{Answer, Ask};

pub(crate) const KEYS: [&[u8]; 3] = [b"cash", b"lamp", b"zinc"];

/// How long a client waits.
pub(crate) const PATIENCE: u64 = 400;

#[derive(Debug)]
pub(crate) struct RawClient {
    me: u64,
    count: u64,
    left: u32,
    pub(crate) current: Option<(u64, usize, Op)>,
    last: BTreeMap<usize, Option<u64>>,
}

#[derive(Debug, Default)]
pub(crate) struct Histories(pub(crate) BTreeMap<usize, Vec<Op>>);

impl RawClient {
    pub(crate) fn new(me: u64, left: u32) -> Self {
        Self {
            me,
            count: 0,
            left,
            current: None,
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0 && self.current.is_none()
    }

    /// Begins something, if there is anything left to do.
    pub(crate) fn begin(&mut self, now: u64, luck: &mut Luck) -> Option<(u64, Ask)> {
        if self.left == 0 || self.current.is_some() {
            return None;
        }
        self.count += 1;
        let key = luck.below(KEYS.len() as u64) as usize;
        let value = self.me * 1_000_000 + self.count;
        let was = self.last.get(&key).copied().flatten();
        let act = match luck.below(6) {
            0..=2 => Act::Get(None),
            3 | 4 => Act::Put(value),
            _ => Act::Cas(was, value, true),
        };
        self.start(now, key, act)
    }

    /// A look at a key, after all is over.
    pub(crate) fn look(&mut self, now: u64, key: usize) -> Option<(u64, Ask)> {
        self.count += 1;
        self.start(now, key, Act::Get(None))
    }

    fn start(&mut self, now: u64, key: usize, act: Act) -> Option<(u64, Ask)> {
        let name = KEYS[key].to_vec();
        let ask = match &act {
            Act::Put(v) => Ask::Put(name, *v),
            Act::Get(_) => Ask::Get(name),
            Act::Cas(was, v, _) => Ask::Cas(name, *was, *v),
        };
        self.current = Some((
            self.count,
            key,
            Op {
                from: now,
                to: None,
                act,
            },
        ));
        Some((self.count, ask))
    }

    /// An answer came. Says whether it was one to what is under way.
    pub(crate) fn answer(&mut self, now: u64, op: u64, answer: &Answer, all: &mut Histories) -> bool {
        if self.current.as_ref().is_none_or(|(n, ..)| *n != op) {
            return false;
        }
        let Some((_, key, mut done)) = self.current.take() else {
            return false;
        };
        done.to = Some(now);
        match (answer, &mut done.act) {
            (Answer::Done, Act::Put(v)) => {
                self.last.insert(key, Some(*v));
            }
            (Answer::Value(v), Act::Get(seen)) => {
                *seen = *v;
                self.last.insert(key, *v);
            }
            (Answer::Swapped(did), Act::Cas(_, v, ok)) => {
                *ok = *did;
                self.last.insert(key, did.then_some(*v));
            }
            // Refused: it never was.
            _ => return true,
        }
        self.left = self.left.saturating_sub(1);
        all.0.entry(key).or_default().push(done);
        true
    }

    /// It has waited long enough: nobody knows what became of it.
    pub(crate) fn give_up(&mut self, now: u64, all: &mut Histories) {
        if let Some((_, key, op)) = self.current.take_if(|(_, _, op)| now >= op.from + PATIENCE) {
            self.left = self.left.saturating_sub(1);
            all.0.entry(key).or_default().push(op);
        }
    }
}
