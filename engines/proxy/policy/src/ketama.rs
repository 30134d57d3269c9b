//! Consistent hashing with the points of libketama, so that a ring agrees with memcached clients and nginx.
//!
//! A member of average weight has 160 points: 40 MD5 digests of `name-0`, `name-1`, …, each of which gives four numbers of
//! four bytes, the lowest byte first. A key goes to the first point at or after its own number, around the ring. When a
//! member comes or goes only the keys of its own points move.

use md5::{Digest, Md5};

/// Digests of a member of average weight.
const DIGESTS: f64 = 40.0;
/// Points that one ring has at most; weights beyond that are scaled down.
const MAX_POINTS: usize = 1 << 20;

/// A ring over the members 0, 1, ….
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// By point, then by member.
    points: Vec<(u32, u32)>,
}

fn digest(text: &[u8]) -> [u8; 16] {
    Md5::digest(text).into()
}

fn number(digest: &[u8; 16], quarter: usize) -> u32 {
    let at = quarter * 4;
    u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]])
}

/// The place of a key on the ring.
pub fn hash(key: &[u8]) -> u32 {
    number(&digest(key), 0)
}

impl Ring {
    /// The ring of members with their weights. A member of weight 0 has no points.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a str, u32)>) -> Ring {
        let members: Vec<(&str, u32)> = members.into_iter().collect();
        let total: f64 = members.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let count = members.iter().filter(|(_, weight)| *weight > 0).count() as f64;
        let room = (MAX_POINTS as f64 / (count * DIGESTS * 4.0)).min(1.0);
        let mut points = Vec::new();
        for (member, (name, weight)) in members.iter().enumerate() {
            let exact = f64::from(*weight) * DIGESTS * count * room / total.max(1.0);
            // A member with any weight has at least one digest.
            let digests = (exact.floor() as usize).max(usize::from(*weight > 0));
            for i in 0..digests {
                let digest = digest(format!("{name}-{i}").as_bytes());
                points.extend((0..4).map(|quarter| (number(&digest, quarter), member as u32)));
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|point| point.0);
        Ring { points }
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no member with a weight.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The members from the place of a hash on, once around; the same member comes up again and again.
    pub fn from(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.points.split_at(start.min(self.points.len()));
        after.iter().chain(before).map(|(_, member)| *member as usize)
    }

    /// The first member from the place of a hash on that is `fit`.
    pub fn pick(&self, hash: u32, mut fit: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut refused: Vec<usize> = Vec::new();
        self.from(hash).find(|member| {
            // Each member is asked once, however many points of it are passed.
            !refused.contains(member) && {
                let fits = fit(*member);
                if !fits {
                    refused.push(*member);
                }
                fits
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Worked out with Python's `hashlib` from the description above.
    #[test]
    fn the_golden_ring() {
        let ring = Ring::new([("10.0.1.1:11211", 1), ("10.0.1.2:11211", 1), ("10.0.1.3:11211", 2)]);
        assert_eq!(ring.len(), GOLDEN_LEN);
        assert_eq!(&ring.points[..4], &GOLDEN_POINTS);
        let picked: Vec<usize> = (0..12)
            .map(|i| ring.pick(hash(format!("key{i}").as_bytes()), |_| true).unwrap())
            .collect();
        assert_eq!(picked, GOLDEN_PICKS);
        assert_eq!(hash(b"key0"), GOLDEN_HASH);
    }

    const GOLDEN_LEN: usize = 480;
    const GOLDEN_POINTS: [(u32, u32); 4] = [(10171922, 0), (24617692, 2), (24991403, 1), (26122064, 1)];
    const GOLDEN_PICKS: [usize; 12] = [2, 1, 2, 0, 1, 2, 2, 2, 1, 2, 2, 1];
    const GOLDEN_HASH: u32 = 4060279841;

    #[test]
    fn weights_share_out_the_keys() {
        let ring = Ring::new([("a", 1), ("b", 3), ("c", 0)]);
        let mut counts = [0u32; 3];
        for i in 0..20_000u32 {
            counts[ring.pick(hash(&i.to_le_bytes()), |_| true).unwrap()] += 1;
        }
        assert_eq!(counts[2], 0);
        let share = f64::from(counts[1]) / 20_000.0;
        assert!((0.68..0.82).contains(&share), "{share}");
        assert_eq!(Ring::new([]).pick(7, |_| true), None);
        assert_eq!(Ring::new([("a", 0)]).pick(7, |_| true), None);
    }

    proptest! {
        #[test]
        fn only_the_keys_of_a_lost_member_move(
            names in prop::collection::hash_set("[a-z]{1,8}", 2..8),
            lost in any::<prop::sample::Index>(),
            keys in prop::collection::vec(any::<u32>(), 50)
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let lost = lost.index(names.len());
            let whole = Ring::new(names.iter().map(|n| (*n, 1)));
            let rest: Vec<&str> = names.iter().enumerate().filter(|(i, _)| *i != lost).map(|(_, n)| *n).collect();
            let less = Ring::new(rest.iter().map(|n| (*n, 1)));
            for key in keys {
                let before = whole.pick(key, |_| true).unwrap();
                let skipped = whole.pick(key, |m| m != lost).unwrap();
                let after = less.pick(key, |_| true).unwrap();
                // Passing over an unfit member and never having had it are the same, but for points that two share.
                prop_assert_eq!(names[skipped], rest[after]);
                if before != lost {
                    prop_assert_eq!(before, skipped);
                }
            }
        }
    }
}
