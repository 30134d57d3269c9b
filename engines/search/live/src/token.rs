//! Which query is the newest. Every query has a number; one whose number has been passed is to stop, and everything that
//! works for it asks often enough that it does within milliseconds.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The numbers of queries. Clones count on together.
#[derive(Debug, Clone, Default)]
pub struct Generations(Arc<AtomicU64>);

impl Generations {
    /// Begins a query: all before it are to stop.
    #[must_use]
    pub fn begin(&self) -> Token {
        Token {
            own: self.0.fetch_add(1, Ordering::AcqRel) + 1,
            newest: Arc::clone(&self.0),
        }
    }

    /// Lets every query that runs stop.
    pub fn cancel(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// One query's number. Clones are the same query.
#[derive(Debug, Clone)]
pub struct Token {
    own: u64,
    newest: Arc<AtomicU64>,
}

impl Token {
    /// Whether it is still the newest.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.newest.load(Ordering::Relaxed) == self.own
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_ends_with_the_next_one_or_by_request() {
        let all = Generations::default();
        let one = all.begin();
        assert!(one.is_live() && one.clone().is_live());
        let two = all.begin();
        assert!(!one.is_live() && two.is_live());
        all.cancel();
        assert!(!two.is_live());
    }
}
