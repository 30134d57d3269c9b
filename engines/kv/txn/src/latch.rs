//! Latches: steps of the same keys take turns, in the order in which they came.
//!
//! A key is one of a fixed number of slots by its hash. A step queues at all its slots at once and has its turn when it is
//! the first everywhere; since all queue in the order of their coming, no two wait for each other.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

/// A step's number, as given by whoever uses the latches.
pub type LatchId = u64;

/// The slots.
#[derive(Debug)]
pub struct Latches {
    slots: Vec<VecDeque<LatchId>>,
}

impl Latches {
    /// With at least `slots` slots.
    pub fn new(slots: usize) -> Self {
        Self {
            slots: vec![VecDeque::new(); slots.max(1).next_power_of_two()],
        }
    }

    fn places(&self, keys: &[&[u8]]) -> Vec<usize> {
        let mut places: Vec<usize> = keys
            .iter()
            .map(|k| {
                let mut h = DefaultHasher::new();
                h.write(k);
                h.finish() as usize & (self.slots.len() - 1)
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Queues a step. Answers whether it has its turn at once.
    pub fn acquire(&mut self, id: LatchId, keys: &[&[u8]]) -> bool {
        let mut first = true;
        for at in self.places(keys) {
            self.slots[at].push_back(id);
            first &= self.slots[at].front() == Some(&id);
        }
        first
    }

    /// A step that had its turn is over. Answers those that are the first at one of its slots now; whether they are the
    /// first at all of theirs is for [`Latches::has_turn`].
    pub fn release(&mut self, id: LatchId, keys: &[&[u8]]) -> Vec<LatchId> {
        let mut next = Vec::new();
        for at in self.places(keys) {
            self.slots[at].retain(|i| *i != id);
            next.extend(self.slots[at].front().copied());
        }
        next.sort_unstable();
        next.dedup();
        next
    }

    /// Whether a step that was queued is the first everywhere.
    pub fn has_turn(&self, id: LatchId, keys: &[&[u8]]) -> bool {
        self.places(keys)
            .into_iter()
            .all(|at| self.slots[at].front() == Some(&id))
    }
}
