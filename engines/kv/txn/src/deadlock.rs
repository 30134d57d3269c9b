//! Who waits for whom, and whether that goes round in a circle.

use std::collections::{BTreeMap, BTreeSet};

use qd_kv_model::Ts;

/// Transactions that wait for each other, the one that would have closed the circle first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<(Ts, Ts, Vec<u8>)>);

/// The graph of waiting transactions. An edge is of one key: who waits, for whom, at which key.
#[derive(Debug, Default, Clone)]
pub struct WaitGraph {
    edges: BTreeMap<Ts, BTreeMap<(Ts, Vec<u8>), ()>>,
    count: usize,
    most: usize,
}

impl WaitGraph {
    /// At most `most` edges; whoever would wait beyond that is told that it is a circle of itself.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// A transaction wants to wait.
    ///
    /// # Errors
    /// With the circle, if there would be one; it does not wait then.
    pub fn wait(&mut self, waiter: Ts, holder: Ts, key: &[u8]) -> Result<(), Cycle> {
        if waiter == holder || self.count >= self.most {
            return Err(Cycle(vec![(waiter, holder, key.to_vec())]));
        }
        if let Some(mut path) = self.path(holder, waiter) {
            path.insert(0, (waiter, holder, key.to_vec()));
            return Err(Cycle(path));
        }
        if self
            .edges
            .entry(waiter)
            .or_default()
            .insert((holder, key.to_vec()), ())
            .is_none()
        {
            self.count += 1;
        }
        Ok(())
    }

    /// It waits no more at that key.
    pub fn done(&mut self, waiter: Ts, holder: Ts, key: &[u8]) {
        if let Some(of) = self.edges.get_mut(&waiter) {
            if of.remove(&(holder, key.to_vec())).is_some() {
                self.count -= 1;
            }
            if of.is_empty() {
                self.edges.remove(&waiter);
            }
        }
    }

    /// A transaction is over: it waits for nobody.
    pub fn forget(&mut self, waiter: Ts) {
        if let Some(of) = self.edges.remove(&waiter) {
            self.count -= of.len();
        }
    }

    /// How many edges there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The way from one transaction to another along the edges.
    fn path(&self, from: Ts, to: Ts) -> Option<Vec<(Ts, Ts, Vec<u8>)>> {
        let mut came: BTreeMap<Ts, (Ts, Vec<u8>)> = BTreeMap::new();
        let (mut todo, mut seen) = (vec![from], BTreeSet::from([from]));
        while let Some(at) = todo.pop() {
            if at == to {
                let mut way = Vec::new();
                let mut at = to;
                while let Some((before, key)) = came.get(&at) {
                    way.push((*before, at, key.clone()));
                    at = *before;
                }
                way.reverse();
                return Some(way);
            }
            for (next, key) in self.edges.get(&at).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(*next) {
                    came.insert(*next, (at, key.clone()));
                    todo.push(*next);
                }
            }
        }
        None
    }
}
