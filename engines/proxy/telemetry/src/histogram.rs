//! Latencies in microseconds, from 1 µs to 60 s, to two significant digits.
//!
//! The layout is that of HdrHistogram with a lowest value of 1 and two digits: 256 steps of one, then 128 steps of each
//! power of two. Recording is one addition to an atomic number; reading copies the numbers and works on the copy.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Steps of one power of two.
const HALF: usize = 128;
/// The greatest value that is told apart, in microseconds: 60 s. What is longer counts as that long.
pub const MAX_MICROS: u64 = 60_000_000;
/// Numbers of a histogram.
const LEN: usize = 2_560;

/// Where a value is counted.
fn index(micros: u64) -> usize {
    let value = micros.clamp(1, MAX_MICROS);
    // Values below 256 have steps of one; above, of two to the number of bits beyond eight.
    let shift = (64 - (value | 0xff).leading_zeros() as usize) - 8;
    let step = (value >> shift) as usize;
    (shift + 1) * HALF + step - HALF
}

/// The greatest value that is counted at an index.
fn highest(index: usize) -> u64 {
    let shift = (index / HALF).saturating_sub(1);
    let step = if index < 2 * HALF { index } else { index % HALF + HALF } as u64;
    ((step + 1) << shift) - 1
}

/// Latencies that are being counted. Shared; 10 KiB.
#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU32]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// One without values.
    pub fn new() -> Histogram {
        Histogram {
            counts: (0..LEN).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Counts one latency.
    pub fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(index(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets everything. What is recorded meanwhile may be forgotten too or not.
    pub fn clear(&self) {
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Adds what was counted to a copy.
    pub fn add_to(&self, latencies: &mut Latencies) {
        for (sum, count) in latencies.counts.iter_mut().zip(&self.counts) {
            *sum += u64::from(count.load(Ordering::Relaxed));
        }
    }
}

/// Latencies that were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    counts: Box<[u64]>,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            counts: vec![0; LEN].into_boxed_slice(),
        }
    }
}

impl Latencies {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latency that a share of all do not pass, 0 to 1; `None` when there are none. As exact as the two digits: the
    /// greatest latency that is counted together with the one at that place.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all = self.len();
        let place = ((share.clamp(0.0, 1.0) * all as f64).ceil() as u64).clamp(1, all.max(1));
        let mut sum = 0;
        self.counts.iter().enumerate().find_map(|(at, count)| {
            sum += count;
            (*count > 0 && sum >= place).then(|| Duration::from_micros(highest(at)))
        })
    }

    /// The numbers for a bar chart: each value that was counted, as the greatest that is counted with it, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(at, count)| (Duration::from_micros(highest(at)), *count))
    }

    /// Takes others out, as far as they are in.
    pub fn remove(&mut self, other: &Latencies) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_sub(*count);
        }
    }

    /// Takes others in.
    pub fn merge(&mut self, other: &Latencies) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Latencies {
        let histogram = Histogram::new();
        values.iter().for_each(|v| histogram.record(Duration::from_micros(*v)));
        let mut latencies = Latencies::default();
        histogram.add_to(&mut latencies);
        latencies
    }

    #[test]
    fn ends_are_kept() {
        assert_eq!(index(MAX_MICROS) / HALF, LEN / HALF - 1);
        assert_eq!(of(&[0]).quantile(1.0), Some(Duration::from_micros(1)));
        let long = of(&[u64::MAX / 1_000]).quantile(0.5).unwrap();
        assert!(long >= Duration::from_secs(60) && long < Duration::from_secs(61));
        assert_eq!(of(&[]).quantile(0.5), None);
        assert!(of(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn it_says_what_hdrhistogram_says(
            values in prop::collection::vec(prop_oneof![1u64..300, 1u64..100_000, 1u64..MAX_MICROS], 1..300),
            share in 0.001f64..=1.0
        ) {
            let mut theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, MAX_MICROS, 2).unwrap();
            for value in &values {
                theirs.record(*value).unwrap();
            }
            let ours = of(&values);
            prop_assert_eq!(ours.len(), theirs.len());
            for share in [share, 0.5, 0.95, 0.99, 1.0] {
                let theirs = Duration::from_micros(theirs.value_at_quantile(share));
                // Theirs never says more than the greatest value it has seen.
                let ours = ours.quantile(share).unwrap();
                prop_assert!(ours == theirs || theirs == Duration::from_micros(*values.iter().max().unwrap()), "{ours:?} {theirs:?}");
            }
        }

        #[test]
        fn two_digits_are_kept(micros in 1u64..MAX_MICROS) {
            let high = highest(index(micros));
            prop_assert!(high >= micros && (high - micros) * 100 <= micros);
        }
    }
}
