//! Numbers in few bytes: variable-length integers, and ascending lists as Rice codes of their gaps.

/// So many gaps share a parameter.
const CHUNK: usize = 64;

/// The largest parameter.
const MOST_LOW_BITS: u32 = 31;

/// What was read is not what a list can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// Appends `value` in groups of seven bits.
pub(crate) fn put(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Takes a number off the front of `bytes`.
pub(crate) fn get(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes a number of 32 bits off the front of `bytes`.
pub(crate) fn get32(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    u32::try_from(get(bytes)?).map_err(|_| Malformed)
}

/// Takes `n` bytes off the front of `bytes`.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], Malformed> {
    let (front, rest) = bytes.split_at_checked(n).ok_or(Malformed)?;
    *bytes = rest;
    Ok(front)
}

struct Bits<'a> {
    to: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u64, bits: u32) {
        self.held |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.to.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    fn zeros(&mut self, mut n: u64) {
        while n > 0 {
            let now = n.min(32);
            self.put(0, now as u32);
            n -= now;
        }
    }
}

/// Appends an ascending list: for every [`CHUNK`] gaps five bits with a parameter, then for each gap less one its high part in
/// unary and its low bits.
pub(crate) fn put_list(list: &[u32], to: &mut Vec<u8>) {
    let mut bits = Bits { to, held: 0, count: 0 };
    let mut next = 0_u64;
    let mut gaps = [0_u64; CHUNK];
    for chunk in list.chunks(CHUNK) {
        for (gap, &value) in gaps.iter_mut().zip(chunk) {
            *gap = u64::from(value).saturating_sub(next);
            next = u64::from(value) + 1;
        }
        let gaps = &gaps[..chunk.len()];
        let low = parameter(gaps);
        bits.put(u64::from(low), 5);
        for &gap in gaps {
            bits.zeros(gap >> low);
            bits.put(1 | (gap & ((1 << low) - 1)) << 1, low + 1);
        }
    }
    if bits.count > 0 {
        bits.put(0, 8 - bits.count);
    }
}

/// The parameter with the fewest bits, of those near the mean.
fn parameter(gaps: &[u64]) -> u32 {
    let mean = gaps.iter().sum::<u64>() / gaps.len().max(1) as u64;
    let near = (64 - mean.leading_zeros()).min(MOST_LOW_BITS);
    let cost = |low: u32| u64::from(low) * gaps.len() as u64 + gaps.iter().map(|g| g >> low).sum::<u64>();
    (near.saturating_sub(2)..=near)
        .min_by_key(|low| cost(*low))
        .unwrap_or(near)
}

/// Calls `each` with the `count` values of a list. What follows it in `bytes` is left alone.
pub(crate) fn list(bytes: &[u8], count: usize, mut each: impl FnMut(u32)) -> Result<(), Malformed> {
    let (mut held, mut have, mut at) = (0_u64, 0_u32, 0_usize);
    let mut fill = |held: &mut u64, have: &mut u32| {
        if let Some(word) = bytes.get(at..at + 4) {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            *held |= u64::from(word) << *have;
            *have += 32;
            at += 4;
        } else {
            while let Some(&byte) = bytes.get(at).filter(|_| *have <= 56) {
                *held |= u64::from(byte) << *have;
                *have += 8;
                at += 1;
            }
        }
    };
    let (mut next, mut low) = (0_u64, 0);
    for index in 0..count {
        if index % CHUNK == 0 {
            if have < 5 {
                fill(&mut held, &mut have);
            }
            if have < 5 {
                return Err(Malformed);
            }
            low = (held & 31) as u32;
            held >>= 5;
            have -= 5;
        }
        let mut high = 0_u64;
        loop {
            if have < 32 {
                fill(&mut held, &mut have);
            }
            if have == 0 {
                return Err(Malformed);
            }
            let zeros = held.trailing_zeros();
            if zeros < have {
                high += u64::from(zeros);
                held = held >> zeros >> 1;
                have -= zeros + 1;
                break;
            }
            high += u64::from(have);
            (held, have) = (0, 0);
        }
        if have < low {
            fill(&mut held, &mut have);
        }
        if have < low {
            return Err(Malformed);
        }
        let value = next + (high << low) + (held & ((1 << low) - 1));
        held >>= low;
        have -= low;
        each(u32::try_from(value).map_err(|_| Malformed)?);
        next = value + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(bytes: &[u8], count: usize) -> Result<Vec<u32>, Malformed> {
        let mut out = Vec::new();
        list(bytes, count, |v| out.push(v)).map(|()| out)
    }

    #[test]
    fn extremes() {
        for values in [vec![], vec![0], vec![u32::MAX], vec![0, u32::MAX], (0..1000).collect()] {
            let mut bytes = Vec::new();
            put_list(&values, &mut bytes);
            assert_eq!(back(&bytes, values.len()).unwrap(), values);
        }
        assert_eq!(back(&[], 1), Err(Malformed));
        assert_eq!(get(&mut &[0x80; 11][..]), Err(Malformed));
        assert_eq!(get(&mut &[][..]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn lists_come_back(set in prop::collection::btree_set(any::<u32>().prop_map(|v| v >> (v % 30)), 0..400)) {
            let values: Vec<u32> = set.into_iter().collect();
            let mut bytes = Vec::new();
            put_list(&values, &mut bytes);
            bytes.extend([0xAA; 3]);
            prop_assert_eq!(back(&bytes, values.len()).unwrap(), values);
        }

        #[test]
        fn noise_is_refused_or_read_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_usize..500) {
            let _ = back(&bytes, count);
        }

        #[test]
        fn numbers_come_back(value: u64) {
            let mut bytes = Vec::new();
            put(value, &mut bytes);
            prop_assert_eq!(get(&mut &bytes[..]), Ok(value));
        }
    }
}
