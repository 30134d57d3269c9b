//! Data in memory, with the behaviour of the one on disk: for simulations and tests.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::{Cf, Direction, Modify, Pair, Range, ReadError, Snapshot};

/// All column families as maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemData {
    cfs: [BTreeMap<Vec<u8>, Vec<u8>>; 4],
}

impl MemData {
    /// Does one write.
    pub fn modify(&mut self, m: &Modify) {
        match m {
            Modify::Put(cf, k, v) => {
                self.cfs[*cf as usize].insert(k.clone(), v.clone());
            }
            Modify::Delete(cf, k) => {
                self.cfs[*cf as usize].remove(k);
            }
            Modify::DeleteRange(cf, a, b) => {
                let range = Range::new(a, b);
                let all = &mut self.cfs[*cf as usize];
                let gone: Vec<Vec<u8>> = bounded(all, range).map(|(k, _)| k.clone()).collect();
                for k in gone {
                    all.remove(&k);
                }
            }
        }
    }

    /// How many pairs a column family has.
    pub fn len(&self, cf: Cf) -> usize {
        self.cfs[cf as usize].len()
    }

    /// Whether a column family has none.
    pub fn is_empty(&self, cf: Cf) -> bool {
        self.cfs[cf as usize].is_empty()
    }
}

fn bounded<'a>(
    all: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    range: Range<'a>,
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
    // An empty range must not reach the map, which refuses bounds in the wrong order.
    let end = match range.end {
        [] => Bound::Unbounded,
        _ if range.is_empty() => Bound::Included(range.start),
        end => Bound::Excluded(end),
    };
    let start = Bound::Included(range.start);
    all.range::<[u8], _>((start, end))
        .filter(move |(k, _)| range.contains(k))
}

impl Snapshot for MemData {
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.cfs[cf as usize].get(key).cloned())
    }

    fn scan(&self, cf: Cf, range: Range<'_>, limit: usize, direction: Direction) -> Result<Vec<Pair>, ReadError> {
        let rows = bounded(&self.cfs[cf as usize], range).map(|(k, v)| (k.clone(), v.clone()));
        Ok(match direction {
            Direction::Forward => rows.take(limit).collect(),
            Direction::Backward => rows.rev().take(limit).collect(),
        })
    }
}
