//! Peak-EWMA: a latency that jumps up at once and comes down slowly.
//!
//! A sample above the present estimate replaces it; a lower one is blended in with the weight `1 - e^(-Δt/τ)`, where `Δt`
//! is the time since the last sample. Between samples the estimate decays as `v·e^(-Δt/τ)`, so that an endpoint that was
//! slow and got no requests becomes worth a try. Reading never changes it: a pane that looks must not move the balance.

use std::time::Duration;

use qd_core::Mono;

use crate::when::nanos;

/// How a latency is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EwmaConfig {
    /// What an endpoint without samples is taken to need; default 30 ms.
    pub seed: Duration,
    /// The time τ in which an old sample loses all but 1/e of its weight; default 10 s, at least 1 ns.
    pub decay: Duration,
}

impl Default for EwmaConfig {
    fn default() -> Self {
        EwmaConfig {
            seed: Duration::from_millis(30),
            decay: Duration::from_secs(10),
        }
    }
}

/// The averaged latency of one endpoint, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeakEwma {
    value: f64,
    stamp: Mono,
    decay: f64,
}

impl PeakEwma {
    /// An estimate that starts with the seed.
    pub fn new(config: EwmaConfig, now: Mono) -> PeakEwma {
        PeakEwma {
            value: nanos(config.seed) as f64,
            stamp: now,
            decay: nanos(config.decay).max(1) as f64,
        }
    }

    /// What the estimate has kept of its value by now: `e^(-Δt/τ)`.
    fn kept(&self, now: Mono) -> f64 {
        let elapsed = now.0.saturating_sub(self.stamp.0) as f64;
        (-elapsed / self.decay).exp()
    }

    /// The estimate by now, in nanoseconds.
    pub fn estimate(&self, now: Mono) -> f64 {
        self.value * self.kept(now)
    }

    /// Takes a sample in. One that is older than the last counts as being of the same moment.
    pub fn sample(&mut self, rtt: Duration, now: Mono) {
        let rtt = nanos(rtt) as f64;
        let kept = self.kept(now);
        let estimate = self.value * kept;
        self.value = if rtt > estimate {
            rtt
        } else {
            estimate + rtt * (1.0 - kept)
        };
        self.stamp = self.stamp.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::{millis, ms};
    use proptest::prelude::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    /// Worked out with Python's `math.exp` from the formulas above, in milliseconds.
    #[test]
    fn the_golden_sequence() {
        let mut e = PeakEwma::new(EwmaConfig::default(), ms(0));
        near(e.estimate(ms(0)), 30e6);
        near(e.estimate(ms(1_000)), GOLDEN[0] * 1e6);
        e.sample(millis(10), ms(1_000));
        near(e.estimate(ms(1_000)), GOLDEN[1] * 1e6);
        // A peak is taken as it is.
        e.sample(millis(200), ms(1_500));
        near(e.estimate(ms(1_500)), 200e6);
        near(e.estimate(ms(11_500)), GOLDEN[2] * 1e6);
        // 60 ms is below the decayed estimate.
        e.sample(millis(60), ms(11_500));
        near(e.estimate(ms(11_500)), GOLDEN[3] * 1e6);
        // 120 ms is above it, though below the peak.
        e.sample(millis(120), ms(12_000));
        near(e.estimate(ms(12_000)), 120e6);
        // At the same moment a lower sample weighs nothing.
        e.sample(millis(1), ms(12_000));
        near(e.estimate(ms(12_000)), 120e6);
        near(e.estimate(ms(72_000)), GOLDEN[4] * 1e6);
    }

    const GOLDEN: [f64; 5] = [
        27.145122541078784,
        28.09674836071919,
        73.57588823428847,
        111.50312176400193,
        0.29745026119996304,
    ];

    proptest! {
        #[test]
        fn reading_changes_nothing_and_the_estimate_stays_between_bounds(
            samples in prop::collection::vec((0u64..5_000, 0u64..60_000), 1..60)
        ) {
            let mut quiet = PeakEwma::new(EwmaConfig::default(), ms(0));
            let mut read = quiet;
            let mut now = 0;
            let mut top = 30e6f64;
            for (rtt, wait) in samples {
                for step in 0..4 {
                    let _ = read.estimate(ms(now + wait * step / 4));
                }
                now += wait;
                quiet.sample(millis(rtt), ms(now));
                read.sample(millis(rtt), ms(now));
                top = top.max(rtt as f64 * 1e6);
                prop_assert_eq!(quiet, read);
                let estimate = quiet.estimate(ms(now));
                prop_assert!((0.0..=top * (1.0 + 1e-9)).contains(&estimate));
                // Whatever was measured last is at least partly there; a peak wholly.
                prop_assert!(quiet.estimate(ms(now + 1)) <= estimate);
            }
        }
    }
}
