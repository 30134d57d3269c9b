//! Which endpoint a request goes to.
//!
//! A [`Balancer`] looks at a set of [`Candidate`]s and names one that is ready. It keeps only what its strategy needs from
//! one pick to the next; the set may change between picks as it likes. Candidates with a weight of 0 get nothing.

use parking_lot::Mutex;
use qd_core::Mono;
use serde::Deserialize;

use crate::dice::Dice;
use crate::ketama::Ring;

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// The cheaper of two ready ones that chance names: cost by peak-EWMA, over the weight.
    #[default]
    P2c,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest pending requests for its weight; chance among equals.
    LeastRequest,
    /// By weight, spread out evenly in time: 5, 1, 1 gives a a b a c a a.
    Weighted,
    /// By the hash of something in the request: the same key goes to the same endpoint while that is ready.
    ConsistentHash,
}

impl Strategy {
    /// The name in configurations and in the pane.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::P2c => "p2c",
            Strategy::RoundRobin => "roundRobin",
            Strategy::LeastRequest => "leastRequest",
            Strategy::Weighted => "weighted",
            Strategy::ConsistentHash => "consistentHash",
        }
    }
}

/// What a balancer sees of an endpoint.
pub trait Candidate {
    /// Its stable name, such as `10.0.0.1:80`: what a consistent hash is made of.
    fn name(&self) -> &str;
    /// Whether it may get requests: no open breaker, healthy, not drained.
    fn is_ready(&self, now: Mono) -> bool;
    /// What one more request costs there; see [`Load::cost`](crate::Load::cost).
    fn cost(&self, now: Mono) -> f64;
    /// Requests that wait there.
    fn pending(&self) -> u32;
    /// Its share compared with the others; 0 for none.
    fn weight(&self) -> u32 {
        1
    }
}

/// Draws before the ready ones are counted out: with half of them ready, one in 65,536 picks needs more.
const DRAWS: usize = 16;

/// A strategy and what it remembers. Shared: picks of several workers may go on at once.
#[derive(Debug)]
pub struct Balancer {
    strategy: Strategy,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Round robin: where the last pick was.
    last: usize,
    /// Weighted: what each candidate is owed, with the names they had.
    owed: Vec<i64>,
    /// Consistent hash: the ring, and the members it was made of.
    ring: Ring,
    members: Vec<(String, u32)>,
}

impl Balancer {
    /// A balancer that has picked nothing.
    pub fn new(strategy: Strategy) -> Balancer {
        Balancer {
            strategy,
            memory: Mutex::default(),
        }
    }

    /// Its strategy.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The index of the candidate that a request goes to; `None` when none is ready. `key` is what a consistent hash goes
    /// by, see [`hash`](crate::ketama::hash); without one it falls to chance.
    pub fn pick<C: Candidate>(&self, set: &[C], key: Option<u32>, now: Mono, dice: &mut Dice) -> Option<usize> {
        let fit = |i: usize| set.get(i).is_some_and(|c| c.weight() > 0 && c.is_ready(now));
        match self.strategy {
            _ if set.is_empty() => None,
            Strategy::P2c => {
                let (a, b) = two(set.len(), fit, dice)?;
                let cost = |i: usize| {
                    set.get(i)
                        .map_or(f64::MAX, |c| c.cost(now) / f64::from(c.weight().max(1)))
                };
                Some(match b {
                    Some(b) if cost(b) < cost(a) => b,
                    _ => a,
                })
            }
            Strategy::RoundRobin => {
                let mut memory = self.memory.lock();
                let next = (1..=set.len())
                    .map(|step| memory.last.wrapping_add(step) % set.len())
                    .find(|i| fit(*i))?;
                memory.last = next;
                Some(next)
            }
            Strategy::LeastRequest => {
                // Starting anywhere lets chance decide among equals.
                let start = dice.below(set.len());
                let mut best: Option<(usize, f64)> = None;
                for i in (start..set.len()).chain(0..start).filter(|i| fit(*i)) {
                    let load = set.get(i).map_or(f64::MAX, |c| {
                        (f64::from(c.pending()) + 1.0) / f64::from(c.weight().max(1))
                    });
                    if best.is_none_or(|(_, least)| load < least) {
                        best = Some((i, load));
                    }
                }
                best.map(|(i, _)| i)
            }
            Strategy::Weighted => self.weighted(set, fit),
            Strategy::ConsistentHash => {
                let mut memory = self.memory.lock();
                let same = memory.members.len() == set.len()
                    && memory
                        .members
                        .iter()
                        .zip(set)
                        .all(|((name, weight), c)| *weight == c.weight() && name == c.name());
                if !same {
                    memory.members = set.iter().map(|c| (c.name().to_owned(), c.weight())).collect();
                    memory.ring = Ring::new(set.iter().map(|c| (c.name(), c.weight())));
                }
                let key = key.unwrap_or_else(|| dice.bits() as u32);
                memory.ring.pick(key, fit)
            }
        }
    }

    /// Smooth weighted round robin: everybody is owed its weight at each pick, the one that is owed most is taken and pays
    /// the sum of all.
    fn weighted<C: Candidate>(&self, set: &[C], fit: impl Fn(usize) -> bool) -> Option<usize> {
        let mut memory = self.memory.lock();
        memory.owed.resize(set.len(), 0);
        let mut total = 0i64;
        let mut best: Option<(usize, i64)> = None;
        for (i, (owed, candidate)) in memory.owed.iter_mut().zip(set).enumerate() {
            if !fit(i) {
                // Whoever is away is owed nothing when it comes back.
                *owed = 0;
                continue;
            }
            *owed += i64::from(candidate.weight());
            total += i64::from(candidate.weight());
            if best.is_none_or(|(_, most)| *owed > most) {
                best = Some((i, *owed));
            }
        }
        let (i, _) = best?;
        if let Some(owed) = memory.owed.get_mut(i) {
            *owed -= total;
        }
        Some(i)
    }
}

/// Two different ones of `0..len` that fit, each pair as likely as any other; the second is `None` when only one fits.
fn two(len: usize, fit: impl Fn(usize) -> bool, dice: &mut Dice) -> Option<(usize, Option<usize>)> {
    if len == 1 {
        return fit(0).then_some((0, None));
    }
    let mut first = None;
    for _ in 0..DRAWS {
        let i = dice.below(len);
        match first {
            Some(first) if i != first && fit(i) => return Some((first, Some(i))),
            None if fit(i) => first = Some(i),
            _ => {}
        }
    }
    // Few are ready: count them out.
    let ready: Vec<usize> = (0..len).filter(|i| fit(*i)).collect();
    let at = dice.below(ready.len());
    let first = first.or_else(|| ready.get(at).copied())?;
    let others: Vec<usize> = ready.into_iter().filter(|i| *i != first).collect();
    let at = dice.below(others.len());
    Some((first, others.get(at).copied()))
}

#[cfg(test)]
mod tests {
    use super::Strategy;
    use super::*;
    use crate::ketama::hash;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Spot {
        name: String,
        ready: bool,
        cost: f64,
        pending: u32,
        weight: u32,
    }

    impl Candidate for Spot {
        fn name(&self) -> &str {
            &self.name
        }
        fn is_ready(&self, _: Mono) -> bool {
            self.ready
        }
        fn cost(&self, _: Mono) -> f64 {
            self.cost
        }
        fn pending(&self) -> u32 {
            self.pending
        }
        fn weight(&self) -> u32 {
            self.weight
        }
    }

    fn spots(of: &[(bool, f64, u32, u32)]) -> Vec<Spot> {
        of.iter()
            .enumerate()
            .map(|(i, (ready, cost, pending, weight))| Spot {
                name: format!("10.0.0.{i}:80"),
                ready: *ready,
                cost: *cost,
                pending: *pending,
                weight: *weight,
            })
            .collect()
    }

    fn run(strategy: Strategy, set: &[Spot], times: usize) -> Vec<usize> {
        let balancer = Balancer::new(strategy);
        let mut dice = Dice::new(7);
        (0..times)
            .map(|_| balancer.pick(set, None, Mono(0), &mut dice).unwrap())
            .collect()
    }

    #[test]
    fn two_choices_shun_the_most_expensive_one() {
        let set = spots(&[(true, 1.0, 0, 1), (true, 5.0, 0, 1), (true, 9.0, 0, 1)]);
        let mut counts = [0; 3];
        run(Strategy::P2c, &set, 9_000).into_iter().for_each(|i| counts[i] += 1);
        // The cheapest wins two of three pairs, the next one of three, the last none.
        assert_eq!(counts[2], 0);
        assert!((5_800..6_200).contains(&counts[0]), "{counts:?}");
        // A weight makes up for a cost.
        let set = spots(&[(true, 4.0, 0, 1), (true, 9.0, 0, 3)]);
        assert!(run(Strategy::P2c, &set, 50).iter().all(|i| *i == 1));
    }

    #[test]
    fn round_robin_passes_over_those_that_are_not_ready() {
        let set = spots(&[
            (true, 0.0, 0, 1),
            (false, 0.0, 0, 1),
            (true, 0.0, 0, 1),
            (true, 0.0, 0, 0),
        ]);
        assert_eq!(run(Strategy::RoundRobin, &set, 5), [2, 0, 2, 0, 2]);
    }

    #[test]
    fn the_fewest_requests_for_the_weight() {
        let set = spots(&[
            (true, 0.0, 3, 1),
            (true, 0.0, 5, 4),
            (true, 0.0, 9, 5),
            (false, 0.0, 0, 9),
        ]);
        // 4, 1.5 and 2.
        assert_eq!(run(Strategy::LeastRequest, &set, 3), [1, 1, 1]);
        let equal = spots(&[(true, 0.0, 1, 1), (true, 0.0, 1, 1)]);
        let picks = run(Strategy::LeastRequest, &equal, 100);
        assert!(picks.contains(&0) && picks.contains(&1));
    }

    #[test]
    fn weights_are_spread_out_in_time() {
        let set = spots(&[(true, 0.0, 0, 5), (true, 0.0, 0, 1), (true, 0.0, 0, 1)]);
        assert_eq!(run(Strategy::Weighted, &set, 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(run(Strategy::Weighted, &set, 14)[7..], [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn a_key_stays_with_its_endpoint() {
        let mut set = spots(&[(true, 0.0, 0, 1), (true, 0.0, 0, 1), (true, 0.0, 0, 1)]);
        let balancer = Balancer::new(Strategy::ConsistentHash);
        let mut dice = Dice::new(1);
        let mut pick = |set: &[Spot], key: &str| balancer.pick(set, Some(hash(key.as_bytes())), Mono(0), &mut dice);
        let home = pick(&set, "session-42").unwrap();
        assert_eq!(pick(&set, "session-42"), Some(home));
        set[home].ready = false;
        let away = pick(&set, "session-42").unwrap();
        assert_ne!(away, home);
        set[home].ready = true;
        assert_eq!(pick(&set, "session-42"), Some(home));
        set.remove(home);
        let name = &set[pick(&set, "session-42").unwrap()].name;
        assert_eq!(*name, format!("10.0.0.{away}:80"));
    }

    proptest! {
        #[test]
        fn whoever_is_picked_is_ready(
            of in prop::collection::vec((any::<bool>(), 0.0f64..10.0, 0u32..5, 0u32..4), 0..12),
            seed in any::<u64>()
        ) {
            let set = spots(&of);
            let any = of.iter().any(|(ready, _, _, weight)| *ready && *weight > 0);
            let mut dice = Dice::new(seed);
            for strategy in [
                Strategy::P2c, Strategy::RoundRobin, Strategy::LeastRequest, Strategy::Weighted, Strategy::ConsistentHash,
            ] {
                let balancer = Balancer::new(strategy);
                for _ in 0..8 {
                    let picked = balancer.pick(&set, None, Mono(0), &mut dice);
                    prop_assert_eq!(picked.is_some(), any);
                    prop_assert!(picked.is_none_or(|i| set[i].ready && set[i].weight > 0));
                }
            }
        }

        #[test]
        fn two_are_never_the_same(ready in prop::collection::vec(any::<bool>(), 1..40), seed in any::<u64>()) {
            let mut dice = Dice::new(seed);
            let count = ready.iter().filter(|r| **r).count();
            match two(ready.len(), |i| ready[i], &mut dice) {
                None => prop_assert_eq!(count, 0),
                Some((a, None)) => prop_assert!(ready[a] && count == 1),
                Some((a, Some(b))) => prop_assert!(ready[a] && ready[b] && a != b),
            }
        }
    }
}
