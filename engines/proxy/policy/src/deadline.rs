//! How much time is left: the route's limits, what a gRPC client asks for, and each try's share.

use std::time::Duration;

use qd_core::Mono;

use crate::when::{after, nanos};

/// The limits of a route; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// From the request's head to the end of the response, all tries included.
    pub request: Option<Duration>,
    /// Of one try, from its dispatch to the head of its response.
    pub per_try: Option<Duration>,
    /// Without a byte either way.
    pub idle: Option<Duration>,
}

/// When a request must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline {
    total: Option<Mono>,
    per_try: Option<Duration>,
}

impl Deadline {
    /// The deadline of a request that came in at `now`: the earlier of the route's and what the client asks for, so that
    /// a client may shorten its time and never lengthen it.
    pub fn new(timeouts: &Timeouts, asked: Option<Duration>, now: Mono) -> Deadline {
        let total = match (timeouts.request, asked) {
            (Some(route), Some(asked)) => Some(route.min(asked)),
            (route, asked) => route.or(asked),
        };
        Deadline {
            total: total.map(|length| after(now, length)),
            per_try: timeouts.per_try,
        }
    }

    /// The last moment of the whole request.
    pub fn total(&self) -> Option<Mono> {
        self.total
    }

    /// What is left of the whole; `None` without a limit, zero when it is over.
    pub fn left(&self, now: Mono) -> Option<Duration> {
        self.total.map(|total| total.since(now))
    }

    /// Whether the time is over.
    pub fn is_over(&self, now: Mono) -> bool {
        self.total.is_some_and(|total| now >= total)
    }

    /// The last moment of a try that is sent at `now`, and whether it is the whole request's.
    pub fn of_try(&self, now: Mono) -> Option<(Mono, Limit)> {
        let own = self.per_try.map(|length| after(now, length));
        match (own, self.total) {
            (Some(own), Some(total)) if own < total => Some((own, Limit::Try)),
            (_, Some(total)) => Some((total, Limit::Request)),
            (Some(own), None) => Some((own, Limit::Try)),
            (None, None) => None,
        }
    }
}

/// Which limit a moment belongs to: what the answer says when it is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The whole request's: nothing is tried again.
    Request,
    /// One try's.
    Try,
}

/// Reads `grpc-timeout`: at most eight digits and a unit of `H`, `M`, `S`, `m`, `u` or `n`; `None` for anything else.
pub fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 3_600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Writes a `grpc-timeout` for what is left, in the finest unit whose eight digits hold it; rounded down, so that nobody
/// behind the proxy takes itself to have more time than there is.
pub fn to_grpc_timeout(left: Duration) -> String {
    let nanos = nanos(left);
    for (unit, size) in [("n", 1u64), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000)] {
        if nanos / size < 100_000_000 {
            return format!("{}{unit}", nanos / size);
        }
    }
    format!("{}H", (nanos / 3_600_000_000_000).min(99_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::test::{millis, ms};
    use proptest::prelude::*;

    #[test]
    fn the_earliest_limit_counts() {
        let timeouts = Timeouts {
            request: Some(millis(1_000)),
            per_try: Some(millis(300)),
            idle: None,
        };
        let d = Deadline::new(&timeouts, None, ms(50));
        assert_eq!(d.of_try(ms(50)), Some((ms(350), Limit::Try)));
        assert_eq!(d.of_try(ms(900)), Some((ms(1_050), Limit::Request)));
        assert_eq!(d.left(ms(550)), Some(millis(500)));
        assert!(!d.is_over(ms(1_049)) && d.is_over(ms(1_050)));
        assert_eq!(d.left(ms(9_000)), Some(Duration::ZERO));
        // A client shortens it and cannot lengthen it.
        assert_eq!(
            Deadline::new(&timeouts, Some(millis(200)), ms(0)).total(),
            Some(ms(200))
        );
        assert_eq!(
            Deadline::new(&timeouts, Some(millis(5_000)), ms(0)).total(),
            Some(ms(1_000))
        );
        let none = Deadline::new(&Timeouts::default(), None, ms(0));
        assert_eq!(
            (none.of_try(ms(0)), none.left(ms(0)), none.is_over(ms(u32::MAX.into()))),
            (None, None, false)
        );
    }

    #[test]
    fn grpc_timeouts_are_read() {
        assert_eq!(grpc_timeout(b"100m"), Some(millis(100)));
        assert_eq!(
            grpc_timeout(b"99999999H"),
            Some(Duration::from_secs(99_999_999 * 3_600))
        );
        assert_eq!(grpc_timeout(b"7u"), Some(Duration::from_micros(7)));
        for bad in ["", "m", "10", "100000000n", "1.5S", "-1S", "1x"] {
            assert_eq!(grpc_timeout(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_never_longer(nanos in any::<u64>()) {
            let left = Duration::from_nanos(nanos);
            let text = to_grpc_timeout(left);
            let back = grpc_timeout(text.as_bytes()).unwrap();
            prop_assert!(back <= left, "{text}");
            // Eight digits lose less than one part in ten million, until hours are needed.
            if nanos < 100_000_000 * 1_000_000_000 {
                prop_assert!(left - back <= left / 10_000_000 + Duration::from_nanos(1), "{text}");
            }
        }

        #[test]
        fn reading_never_panics(value in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = grpc_timeout(&value);
        }
    }
}
